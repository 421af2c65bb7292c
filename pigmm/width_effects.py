r"""The predictions of the five-parameter law by width: how large are their misses, and which invariants lead?

Rows and columns of a perceptron's matrix are relabelled separately, so that the 43 bipartite invariants of degree 3 and
4 say all that expectations can.  Their misses are measured in spreads over networks, which do not grow with the number
of networks.  Every function takes archives by width, as in :mod:`pigmm.scaling`.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np
from scipy import stats

from . import wick
from .archive import Archive
from .errors import PigmmError
from .evolution import frame
from .graphs import InvariantGraph
from .irreps import Array
from .joint import two_sided_moments
from .layout import archived_bipartite, archived_graphs
from .models import TwoSidedGaussian
from .scaling import Archives, power_law
from .transport import stacked_root

if TYPE_CHECKING:
    import pandas as pd

__all__ = ["GRAPHS", "MEANING", "effects", "exponents", "misfit", "predicted_spread"]

GRAPHS = tuple(graph for graph in archived_bipartite() if graph.degree > 2)
"""The 43 bipartite invariants that are predicted."""

ALL = tuple(graph for graph in archived_graphs() if graph.degree > 2)
PAPER = [k for k, graph in enumerate(ALL) if graph.paper_index]
CLEAR = 3.0  # standard errors that an effect must be away from zero to take part in a power law
ROUNDING = 1e-4  # of the variance of an invariant: published archives keep correlations in steps of 2^-17

MEANING = {
    "01.01.01": "cubes of the weights: skewness",
    "01.01.01.01": "fourth powers of the weights: heavy tails",
    "01.02.31.32": "fourth powers of the singular values",
    "01.01.02.02": "squared row norms, squared",
    "01.01.21.21": "squared column norms, squared",
    "01.01.01.02": "cubes times row sums",
    "01.01.01.21": "cubes times column sums",
    "01.01.02": "squared row norms times row sums",
    "01.01.21": "squared column norms times column sums",
    "01.01.02.03": "squared row norms times squared row sums",
    "01.01.21.31": "squared column norms times squared column sums",
    "01.01.02.31": "squared weights times row sum and column sum",
    "01.02.03": "cubes of row sums",
    "01.21.31": "cubes of column sums",
    "01.02.03.04": "fourth powers of row sums",
    "01.21.31.41": "fourth powers of column sums",
    "01.02.31": "weights times row sum and column sum",
    "01+01.01.01": "sum of weights times sum of cubes",
    "01.01+01.01": "squared norm, squared",
    "01+01.01": "sum of weights times squared norm",
}
"""What some of the 43 invariants measure, in words."""


@dataclass(frozen=True, eq=False)
class _Deviations:
    """The 43 invariants of one ensemble: measured minus predicted, its covariance, and the rulers.

    Where an invariant is nearly a function of the fitted statistics, its error is kept above what rounding leaves.
    """

    e: Array
    covariance: Array
    predicted: Array
    sd: Array
    predicted_sd: Array


def _deviations(archive: Archive, epoch: int, runs: str) -> _Deviations:
    law = archive.two_sided(epoch, 0, runs)
    fit = two_sided_moments(archive.bipartite(epoch, 0, runs), law.shape, list(GRAPHS))
    places = [archived_bipartite().index(graph) for graph in GRAPHS]
    own = archive.bipartite(epoch, 0, runs).comoment[np.ix_(places, places)]
    J = wick.jacobian(GRAPHS, law)
    cross = J @ fit.comoment[:, 5:]
    S = own - cross - cross.T + J @ fit.comoment[:, :5] @ J.T
    np.fill_diagonal(S, np.maximum(np.diag(S), ROUNDING * np.diag(own)))
    S /= (fit.count - 1) * fit.count
    predicted = wick.expectation(GRAPHS, law)
    sd = np.sqrt(fit.squares[5:] / (fit.count - 1))
    return _Deviations(fit.mean[5:] - predicted, S, predicted, sd, predicted_spread(law))


def predicted_spread(law: TwoSidedGaussian) -> Array:
    """Exact standard deviation of each of the 43 invariants of one matrix under the law, (43,).

    The square of an invariant is an invariant of twice the degree: two copies of its graph.
    """
    twice = [InvariantGraph.from_name("+".join(graph.components * 2)) for graph in GRAPHS]
    variance = wick.expectation(twice, law) - wick.expectation(GRAPHS, law) ** 2
    return np.asarray(np.sqrt(np.clip(variance, 0, None)))


def effects(archives: Archives, epoch: int, runs: str = "all") -> pd.DataFrame:
    """The 43 predictions of the five-parameter law at one epoch, a row an invariant and width.

    ``effect``: (measured - predicted) / spread over networks, with sign: the paper's ratio.  Its standard error ``se``
    counts that the spread is measured, too: a relative error of 1/sqrt(2(R - 1)), that of normal data.

    An effect is a product, ``miss`` x ``resolution`` / ``stretch``: the relative miss of the prediction, the prediction
    over its own predicted spread (how finely one matrix tells the invariant), and the measured spread over the
    predicted one.  ``z``, ``p_adjusted`` (Benjamini-Hochberg, within a width).
    """
    rows: list[dict[str, object]] = []
    for width, archive in archives.items():
        d, ruler = _deviations(archive, epoch, runs), 1 / np.sqrt(2 * (archive.count(runs) - 1))
        error = np.sqrt(np.diag(d.covariance))
        z = d.e / error
        adjusted = stats.false_discovery_control(2 * stats.norm.sf(np.abs(z)))
        for k, graph in enumerate(GRAPHS):
            rows.append({
                "name": graph.name, "width": width, "effect": d.e[k] / d.sd[k],
                "se": np.hypot(error[k], d.e[k] * ruler) / d.sd[k],
                "miss": d.e[k] / d.predicted[k], "resolution": d.predicted[k] / d.predicted_sd[k],
                "stretch": d.sd[k] / d.predicted_sd[k], "miss_se": abs(error[k] / d.predicted[k]),
                "z": z[k], "p_adjusted": adjusted[k],
            })  # fmt: skip
    return frame(rows)


def exponents(table: pd.DataFrame) -> pd.DataFrame:
    """How the effect of each invariant changes with the width: a row an invariant, largest effect at the widest first.

    ``first``, ``last`` (with errors): effects at the narrowest and the widest layer; ``trend``: "grows" or "shrinks" if
    the size of the effect changed by more than three standard errors, else "even"; ``widths``: from which width on the
    effect is clear of zero (three standard errors) and has the sign it has at the widest; ``law``: the
    :class:`PowerLaw` of these, or None for fewer than two.
    """
    rows: list[dict[str, object]] = []
    for name, part in table.groupby("name", sort=False):
        part = part.sort_values("width")
        low, high = part.iloc[0], part.iloc[-1]
        change, clear = abs(high["effect"]) - abs(low["effect"]), CLEAR * np.hypot(high["se"], low["se"])
        trend = "grows" if change > clear else "shrinks" if change < -clear else "even"
        alike = (part["effect"] * np.sign(high["effect"]) > CLEAR * part["se"]).to_numpy()
        used = part[np.logical_and.accumulate(alike[::-1])[::-1]]  # from the widest down, as far as they are alike
        law = power_law(used["width"], used["effect"].abs(), used["se"]) if len(used) > 1 else None
        rows.append({
            "name": name, "first": low["effect"], "first_se": low["se"], "last": high["effect"],
            "last_se": high["se"], "trend": trend, "widths": tuple(map(int, used["width"])), "law": law,
        })  # fmt: skip
    return frame(rows).sort_values("last", key=np.abs, ascending=False, ignore_index=True)


def misfit(archives: Archives, epochs: Sequence[int], runs: str = "all", draws: int = 400) -> pd.DataFrame:
    """How large the deviations are, by width and epoch, in measures that do not grow with the number of networks.

    Of the 43 effects of the five-parameter law: ``median``, ``high`` (90 %), ``largest`` with errors ``*_se`` (from
    ``draws`` normal draws with the measured covariance, and one relative error of 1/sqrt(2(R - 1)) for all spreads) and
    ``leader``; ``rms``, their root mean square with the noise subtracted (0 if noise explains it), and ``noise``,
    the root mean square that a true law would show; ``refuted``, how many have an adjusted p below 0.05.  ``joint``:
    the squared distance of all 43 from zero in units of the covariance of one network's influence,
    (T² corrected - k)/R, missing for fewer than 150 networks.  For comparison with the paper, of the 13-parameter law:
    ``paper_*``, the effects of its 39 invariants, and ``all_*``, of all 348.
    """
    rows: list[dict[str, object]] = []
    for width, archive in archives.items():
        for epoch in epochs:
            d = _deviations(archive, epoch, runs)
            effect, C = d.e / d.sd, d.covariance / np.outer(d.sd, d.sd)
            ruler = 1 / np.sqrt(2 * (archive.count(runs) - 1))
            normal = np.random.default_rng(0).standard_normal((draws, len(C) + 1))
            near = np.abs(effect + normal[:, 1:] @ stacked_root(C)) * (1 + ruler * normal[:, :1])
            summary: dict[str, Callable[[Array], float]] = {"median": np.median, "high": _ninety, "largest": np.max}
            row: dict[str, object] = {"width": width, "epoch": epoch, "runs": archive.count(runs)}
            for label, f in summary.items():
                row |= {label: float(f(np.abs(effect))), f"{label}_se": float(np.std([f(x) for x in near], ddof=1))}
            square, noise = float((effect**2).mean()), float(np.trace(C)) / len(C)
            spread = np.sqrt(2 * (C * C).sum() + 4 * effect @ C @ effect) / len(C)
            rms = np.sqrt(max(square - noise, 0.0))
            p = stats.false_discovery_control(2 * stats.norm.sf(np.abs(effect) / np.sqrt(np.diag(C))))
            row |= {
                "leader": GRAPHS[int(np.abs(effect).argmax())].name, "rms": rms, "noise": np.sqrt(noise),
                "rms_se": float(np.hypot(spread / (2 * rms), rms * ruler) if rms**2 > spread else np.sqrt(spread)),
                "refuted": int((p < 0.05).sum()), **_joint(archive, epoch, runs),
            }  # fmt: skip
            ratios, noises = _ratios(archive, epoch, runs)
            for label, places in (("paper", PAPER), ("all", slice(None))):
                row |= {f"{label}_median": float(np.median(ratios[places])), f"{label}_high": _ninety(ratios[places]),
                        f"{label}_largest": float(ratios[places].max()),
                        f"{label}_noise": 0.6745 * float(np.median(noises[places]))}  # fmt: skip
            rows.append(row)
    return frame(rows)


def _ratios(archive: Archive, epoch: int, runs: str) -> tuple[Array, Array]:
    """Effect sizes of the 348 predictions of the 13-parameter law, and their standard errors."""
    table = archive.comparison(epoch, 0, runs, graphs=ALL)
    return table["ratio"].to_numpy(), (table["se_difference"] / table["sd"]).to_numpy()


def _ninety(x: Array) -> float:
    return float(np.quantile(x, 0.9))


def _joint(archive: Archive, epoch: int, runs: str) -> dict[str, float]:
    """Hotelling's T² a network without its expectation under a true law, and its error for normal influences.

    Not a number with fewer than 150 networks, and where what the fit leaves of an invariant is below the rounding of
    the archive.
    """
    R, unknown = archive.count(runs), {"joint": np.nan, "joint_se": np.nan}
    if R < 150:
        return unknown
    try:
        test = archive.joint(epoch, 0, runs)
    except PigmmError:
        return unknown
    k, d = test.directions, R - test.directions
    F = test.statistic * d / (k * (R - 1))
    off = max(F * k * (d - 2) / d - k, 0.0)  # non-centrality: R times the squared distance
    variance = 2 * (d / k) ** 2 * ((k + off) ** 2 + (k + 2 * off) * (d - 2)) / ((d - 2) ** 2 * (d - 4))
    return {"joint": (F * k * (d - 2) / d - k) / R, "joint_se": float(np.sqrt(variance) * k * (d - 2) / d / R)}
