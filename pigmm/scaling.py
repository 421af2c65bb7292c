r"""Ensembles of several widths side by side: how the law of the middle matrix of 784-n-n-10 depends on n.

The ensembles differ in their number of networks R, so nothing is compared that grows with R: effects in units of the
spread over networks, squared distances, and sums from which the part that sampling noise alone would bring is
subtracted.  Every function takes archives by width and returns a tidy DataFrame; :func:`power_law` fits an exponent to
a column of one.  The matrix is layer 0, n x n, of a perceptron: rows and columns are relabelled separately, so that the
five-parameter law and the 43 bipartite invariants of degree 3 and 4 say all that expectations can.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import ArrayLike
from scipy import special, stats

from . import wick
from .archive import Archive
from .config import EnsembleConfig
from .errors import PigmmError
from .evolution import initial_law
from .graphs import InvariantGraph
from .intervals import squared_distance
from .irreps import Array
from .joint import two_sided_moments
from .layout import STATISTICS, archived_bipartite, archived_graphs
from .memory import IMAGES
from .models import TwoSidedGaussian
from .notebook import Settings
from .shelf import published, published_config
from .tables import require_pandas
from .transport import noise_floor, stacked_root

if TYPE_CHECKING:
    import pandas as pd

__all__ = [
    "MEANING", "PowerLaw", "alive", "common_epoch", "effects", "exponents", "largest_expected", "misfit", "movement",
    "power_law", "predicted_spread", "quarter_circle", "spectra", "spikes", "steps", "symmetries", "tails",
    "width_configs", "width_list",
]  # fmt: skip

Archives = Mapping[int, Archive]
WIDTHS = {"paper": (10, 40, 160, 640), "laptop": (10, 20, 40), "class": (5, 10, 20, 40)}
DIRECT: dict[str, Any] = {"runs": 100, "epochs": 20}  # in profile "paper", for widths without a published archive
GRAPHS = tuple(graph for graph in archived_bipartite() if graph.degree > 2)
ALL = tuple(graph for graph in archived_graphs() if graph.degree > 2)
PAPER = [k for k, graph in enumerate(ALL) if graph.paper_index]
PARTS = ("mean", "grand mean", "rows", "columns", "bulk")
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


# ---- which ensembles


def width_list(text: str, profile: str) -> tuple[int, ...]:
    """Widths from text such as ``"10,40,160"``, ascending; those of the profile for an empty text.

    Examples
    --------
    >>> width_list("40, 10", "paper"), width_list("", "class")
    ((10, 40), (5, 10, 20, 40))
    """
    if not isinstance(text, str) or not re.fullmatch(r"\s*(\d+\s*(,\s*\d+\s*)*)?", text):
        raise PigmmError.of("widths", got=text, allowed="integers with commas between them, such as '10,40,160'")
    widths = [int(number) for number in re.findall(r"\d+", text)] or list(WIDTHS[profile])
    if len(set(widths)) < 2 or len(set(widths)) < len(widths) or min(widths) < 4:
        raise PigmmError.of("widths", got=text, allowed="at least two different widths, each at least 4")
    return tuple(sorted(widths))


def width_configs(chosen: Settings, given: Mapping[str, Any], widths: Iterable[int]) -> dict[int, EnsembleConfig]:
    """One configuration a width: the published one where there is one, with the reader's own values in it.

    ``given`` is the notebook's ``globals()``; :func:`pigmm.notebook.settings` has checked its names.

    Raises
    ------
    PigmmError
        For two schemes at once: widths are compared for one start.
    """
    if len(chosen.configs) > 1:
        raise PigmmError.of("init", got="both", allowed="gaussian or uniform: widths are compared for one start")
    ((scheme, reference),) = chosen.configs.items()
    fixed: dict[str, Any] = {"init": scheme, "weight_decay": reference.weight_decay}
    names = (("dataset", ""), ("runs", 0), ("epochs", 0), ("batch_size", 0), ("learning_rate", 0.0), ("seed", -1))
    fixed |= {name: given[name] for name, unset in names if given.get(name, unset) != unset}
    configs = {}
    for width in widths:
        name = f"mnist-width-{width}"
        if chosen.profile == "paper" and name in published():
            base = published_config(name)
        else:
            base = replace(reference, hidden=(width, width))
            if chosen.profile == "paper":
                base = replace(base, **DIRECT)
        configs[width] = replace(base, **fixed)
    return configs


def common_epoch(ensembles: Mapping[int, Archive | EnsembleConfig], epoch: int = 0) -> int:
    """The epoch at which widths are compared, from archives or configurations; for 0 the largest that all have."""
    last = min(each.epochs for each in ensembles.values())
    if isinstance(epoch, bool) or not isinstance(epoch, int) or not 0 <= epoch <= last:
        raise PigmmError.of("epoch", got=epoch, allowed=f"an integer from 1 to {last}, or 0 for {last}")
    return epoch or last


def steps(config: EnsembleConfig, epoch: int) -> int:
    """Optimiser steps up to the end of an epoch.

    Examples
    --------
    >>> steps(EnsembleConfig(dataset="mnist"), 20)
    12000
    """
    return epoch * -(-IMAGES[config.dataset][0] // config.batch_size)


# ---- exponents


@dataclass(frozen=True)
class PowerLaw:
    """y = amplitude n^exponent, fitted to logarithms: see :func:`power_law`.

    ``se``: standard error of the exponent if the law is right; ``p``: of the fit (chi-squared, ``dof`` degrees; NaN for
    two points, which any power law fits); ``local``: exponents between neighbouring widths, and their errors.
    """

    exponent: float
    se: float
    amplitude: float
    chi2: float
    dof: int
    p: float
    local: tuple[tuple[float, float], ...]

    def __call__(self, n: ArrayLike) -> Array:
        return np.asarray(self.amplitude * np.asarray(n, dtype=float) ** self.exponent)

    @property
    def refuted(self) -> bool:
        """Is one power for all widths out of the question (p below 0.01)?"""
        return self.p < 0.01

    @property
    def text(self) -> str:
        """The exponent in words: with its error where one power fits, else the range of the local ones."""
        if not self.refuted:
            return f"{self.exponent:.2f} ± {self.se:.2f}{'' if self.dof else ' (two widths)'}"
        slopes = [slope for slope, _ in self.local]
        return f"no single power (between neighbours {min(slopes):.2f} to {max(slopes):.2f})"


def power_law(n: ArrayLike, y: ArrayLike, se: ArrayLike) -> PowerLaw:
    """Least squares of log y on log n, each point weighted by its relative error.

    Parameters
    ----------
    n, y, se : arrays
        At least two different widths; positive values; their standard errors, independent of each other and small
        against y.

    Raises
    ------
    PigmmError
        For fewer points, or numbers that are not positive.

    Examples
    --------
    >>> law = power_law([10, 40, 160], [2.0, 8.1, 32.0], [0.1, 0.4, 1.6])
    >>> law.text, law.dof, law.refuted
    ('1.00 ± 0.03', 1, False)
    >>> power_law([10, 40, 160], [2.0, 8.0, 64.0], [0.02, 0.08, 0.3]).text
    'no single power (between neighbours 1.00 to 1.50)'
    """
    x, values, errors = (np.asarray(a, dtype=float) for a in (n, y, se))
    if not (x.shape == values.shape == errors.shape and x.ndim == 1 and len(np.unique(x)) == len(x) > 1):
        raise PigmmError.of("n, y, se", got=f"{x.size}, {values.size}, {errors.size} numbers",
                            allowed="as many of each, at two different widths or more")  # fmt: skip
    if not all((a > 0).all() and np.isfinite(a).all() for a in (x, values, errors)):
        raise PigmmError.of("n, y, se", got=values.tolist(), allowed="positive numbers")
    order = np.argsort(x)
    log_x, log_y, relative = np.log(x[order]), np.log(values[order]), (errors / values)[order]
    (slope, offset), covariance = np.polyfit(log_x, log_y, 1, w=1 / relative, cov="unscaled")
    dof = len(x) - 2
    chi2 = float((((log_y - offset - slope * log_x) / relative) ** 2).sum())
    run = np.diff(log_x)
    local = zip(np.diff(log_y) / run, np.hypot(relative[1:], relative[:-1]) / run, strict=True)
    return PowerLaw(
        float(slope), float(np.sqrt(covariance[0, 0])), float(np.exp(offset)), chi2, dof,
        float(stats.chi2.sf(chi2, dof)) if dof else float("nan"), tuple((float(a), float(b)) for a, b in local),
    )  # fmt: skip


# ---- the law by width


def alive(archives: Archives, runs: str = "all") -> pd.DataFrame:
    """The five parameters that are alive, by width and epoch, in units of the start.

    ``part`` "mean" is n times the mean weight over the initial standard deviation, 1 being one standard deviation of
    the grand mean at the start; the other four are variances over the initial one.  ``se`` from the runs themselves,
    for the variance of the grand mean that of normal data.
    """
    rows: list[dict[str, object]] = []
    for width, archive in archives.items():
        unit = initial_law(archive, 0).variance
        for epoch in range(archive.epochs + 1):
            t = two_sided_moments(archive.bipartite(epoch, 0, runs), (width, width), [])
            own = t.comoment / (t.count - 1) / t.count
            m, v00 = t.mean[0], width * width * t.squares[0] / t.count
            values = [width * m / np.sqrt(unit), *(np.array([v00, *t.mean[2:]]) / unit)]
            errors = [width * np.sqrt(own[0, 0] / unit), v00 * np.sqrt(2 / (t.count - 1)) / unit]
            errors += list(np.sqrt(np.diag(own)[2:]) / unit)
            rows += [
                {"width": width, "epoch": epoch, "part": part, "value": float(value), "se": float(error)}
                for part, value, error in zip(PARTS, values, errors, strict=True)
            ]
    return _frame(rows)


def movement(archives: Archives, runs: str = "all") -> pd.DataFrame:
    r"""How far single weights and the law have moved, by width and epoch.

    ``delta``: root mean square change of a weight since the start, network by network.  Archives of wide layers keep no
    weights, but the joint moments of x2 now and at the start.  x2 is the coordinate along one unit vector of the large
    irrep of separate relabelling; by Schur's lemma its mean square change is that of every direction there, so

    .. math:: \delta^2 = E[(x_2(t) - x_2(0))^2] = \frac{E |\mathrm{bulk\ of\ } \Delta W|^2}{(n-1)^2}

    exactly.  That irrep's variance v now and at the start is known from all its dimensions; only the correlation rho is
    left to x2: ``delta^2 = v_t + v_0 - 2 rho sqrt(v_t v_0)``.  With x2 in units of sqrt(v) it is estimated by
    ``<x y> - r/(1 + r^2) (<x^2> + <y^2> - 2)``, r the sample correlation: one step to maximum likelihood with known
    variances, of error ``(1 - rho^2)/sqrt(R (1 + rho^2))`` for normal data.

    ``memory``: rho.  ``walk``: learning rate times the root of the number of steps, what steps of one size and
    independent signs would give.  ``w2_squared``: squared Wasserstein distance of the 13-parameter law from the exact
    initial one, corrected for noise, its error ``se``, and the noise ``floor``; ``w2_raw`` before correction;
    ``share``: over the initial squared norm.  ``w2_walk``: from ``walk`` alone.
    """
    rows: list[dict[str, object]] = []
    for width, archive in archives.items():
        start = initial_law(archive, 0)
        norm = width * width * start.variance
        for epoch in range(archive.epochs + 1):
            path, now = archive.path(epoch, 0, runs), archive.features(epoch, 0, runs)
            R, places = path.count, [1, 2 * STATISTICS + 1]
            variances = np.array([archive.two_sided(e, 0, runs).parameters[4] for e in (epoch, 0)])
            unit = np.sqrt(np.outer(variances, variances))
            C = (path.comoment[np.ix_(places, places)] / R + np.outer(path.mean[places], path.mean[places])) / unit
            r = C[0, 1] / np.sqrt(C[0, 0] * C[1, 1])
            rho = float(np.clip(C[0, 1] - r / (1 + r * r) * (C[0, 0] + C[1, 1] - 2), -1, 1))
            delta = float(np.sqrt(max(variances.sum() - 2 * rho * unit[0, 1], 0.0)))
            wrong = unit[0, 1] * (1 - rho * rho) / np.sqrt(R * (1 + rho * rho))  # half the error of delta squared
            distance = squared_distance(now, start, B=199)
            walk = archive.config.learning_rate * np.sqrt(steps(archive.config, epoch))
            grown = np.sqrt(start.variance + walk**2) - np.sqrt(start.variance)
            rows.append({
                "width": width, "epoch": epoch, "delta": delta, "delta_se": float(wrong / delta if delta else 0.0),
                "memory": rho, "memory_se": float(wrong / unit[0, 1]), "walk": float(walk),
                "w2_squared": distance.corrected, "se": distance.se, "w2_raw": distance.raw,
                "floor": noise_floor(start.to_diagonal(), R), "share": distance.corrected / norm,
                "share_se": distance.se / norm, "w2_walk": float((width * grown) ** 2),
            })  # fmt: skip
    return _frame(rows)


# ---- predictions by width


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
    return _frame(rows)


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
        change = abs(high["effect"]) - abs(low["effect"])
        clear = change > 0 and change > CLEAR * np.hypot(high["se"], low["se"])
        trend = "grows" if clear else "shrinks" if -change > CLEAR * np.hypot(high["se"], low["se"]) else "even"
        alike = (part["effect"] * np.sign(high["effect"]) > CLEAR * part["se"]).to_numpy()
        run = len(part) - (int(np.argmin(alike[::-1])) if not alike.all() else len(part))
        used = part.iloc[run:]
        law = power_law(used["width"], used["effect"].abs(), used["se"]) if len(used) > 1 else None
        rows.append({
            "name": name, "first": low["effect"], "first_se": low["se"], "last": high["effect"],
            "last_se": high["se"], "trend": trend, "widths": tuple(map(int, used["width"])), "law": law,
        })  # fmt: skip
    frame = _frame(rows)
    return frame.sort_values("last", key=np.abs, ascending=False, ignore_index=True)


def misfit(archives: Archives, epochs: Sequence[int], runs: str = "all", draws: int = 400) -> pd.DataFrame:
    """How large the deviations are, by width and epoch, in measures that do not grow with the number of networks.

    Of the 43 effects of the five-parameter law: ``median``, ``high`` (90 %), ``largest`` with errors ``*_se`` (from
    ``draws`` normal draws with the measured covariance, and one relative error of 1/sqrt(2(R - 1)) for all spreads) and
    ``leader``; ``rms``, their root mean square with the noise
    subtracted (0 if noise explains it), and ``noise``, the root mean square that a true law would show; ``refuted``,
    how many have an adjusted p below 0.05.  ``joint``: the squared distance of all 43 from zero in units of the
    covariance of one network's influence, (T² corrected - k)/R, missing for fewer than 150 networks.  For comparison
    with the paper, of the 13-parameter law: ``paper_*``, the effects of its 39 invariants, and ``all_*``, of all 348.
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
    return _frame(rows)


def _ratios(archive: Archive, epoch: int, runs: str) -> tuple[Array, Array]:
    """Effect sizes of the 348 predictions of the 13-parameter law, and their standard errors."""
    table = archive.comparison(epoch, 0, runs, graphs=ALL)
    return table["ratio"].to_numpy(), (table["se_difference"] / table["sd"]).to_numpy()


def _ninety(x: Array) -> float:
    return float(np.quantile(x, 0.9))


def _joint(archive: Archive, epoch: int, runs: str) -> dict[str, float]:
    """Hotelling's T² a network without its expectation under a true law, and its error for normal influences."""
    R = archive.count(runs)
    if R < 150:
        return {"joint": np.nan, "joint_se": np.nan}
    test = archive.joint(epoch, 0, runs)
    k, d = test.directions, R - test.directions
    F = test.statistic * d / (k * (R - 1))
    off = max(F * k * (d - 2) / d - k, 0.0)  # non-centrality: R times the squared distance
    variance = 2 * (d / k) ** 2 * ((k + off) ** 2 + (k + 2 * off) * (d - 2)) / ((d - 2) ** 2 * (d - 4))
    return {"joint": (F * k * (d - 2) / d - k) / R, "joint_se": float(np.sqrt(variance) * k * (d - 2) / d / R)}


# ---- spectra by width


def quarter_circle(share: ArrayLike) -> Array:
    r"""Quantile of the singular values of a large square matrix of independent entries, in units of their rms.

    .. math:: F(s) = \tfrac1\pi \left( \tfrac{s}{2} \sqrt{4 - s^2} + 2 \arcsin \tfrac{s}{2} \right), \quad 0 \le s \le 2

    Examples
    --------
    >>> quarter_circle([0.0, 0.5, 1.0]).round(4)
    array([0.    , 0.8079, 2.    ])
    """
    s = 2 * np.sqrt(special.betaincinv(0.5, 1.5, np.asarray(share, dtype=float)))  # s²/4 is Beta(1/2, 3/2)
    return np.asarray(s)


def largest_expected(n: int) -> float:
    r"""Mean largest singular value of an n x n matrix of independent normal entries of variance 1/n.

    Its square is near ``(mu + sigma TW)/n`` with the Tracy-Widom law TW of mean -1.2065 and variance 1.6078 (Johnstone
    2001; with n - 1/2 in place of n, Ma 2012): the edge at 2 is approached like n^(-2/3).

    Examples
    --------
    >>> W = np.random.default_rng(0).normal(size=(400, 30, 30)) / 30**0.5
    >>> abs(np.linalg.norm(W, 2, axis=(1, 2)).mean() - largest_expected(30)) < 0.02
    np.True_
    """
    half = n - 0.5
    sigma = 2 * np.sqrt(half) * (4 / half) ** (1 / 6) / n
    square = 4 * half / n - 1.2065 * sigma
    return float(np.sqrt(square) - 1.6078 * sigma**2 / (8 * square**1.5))


def spikes(law: TwoSidedGaussian) -> Array:
    r"""Singular values outside the bulk that a large square matrix of the five-parameter law has, largest first.

    Mean, row sums and column sums are a part of rank two, with Gram matrix

    .. math:: \begin{pmatrix} a^2 & x \\ x & b^2 \end{pmatrix}, \quad
       a^2 = n^2 m^2 + v_{00} + (n-1)(v_c - v_{rc}), \; b^2 = (n-1)(v_r - v_{rc}), \; x = n |m| b .

    One of its singular values theta stands out of a bulk with entries of variance v_rc, whose edge is at 2 sigma,
    ``sigma^2 = n v_rc``, if theta > sigma, and then at ``theta + sigma^2/theta`` (Benaych-Georges, Nadakuditi 2012).

    Examples
    --------
    >>> law = TwoSidedGaussian([0.0, 0.01, 0.01, 0.16, 0.01], (100, 100))
    >>> spikes(law).round(2), np.linalg.norm(law.sample(200), 2, axis=(1, 2)).mean().round(1)
    (array([4.11]), np.float64(4.1))
    """
    n = law.shape[0]
    m, v00, vr, vc, vrc = law.parameters
    a2 = n * n * m * m + v00 + (n - 1) * max(vc - vrc, 0.0)
    b2 = (n - 1) * max(vr - vrc, 0.0)
    x = n * abs(m) * np.sqrt(b2)
    theta2 = np.linalg.eigvalsh([[a2, x], [x, b2]])[::-1]
    out = theta2[theta2 > n * vrc]
    return np.asarray(np.sqrt(out) + n * vrc / np.sqrt(out))


def spectra(archives: Archives, epochs: Sequence[int], runs: str = "all") -> pd.DataFrame:
    """Means of the ordered singular values by width and epoch, in units of their root mean square.

    ``rank`` from 1; ``share``: (rank - 1/2)/n; ``value``, ``se``; ``quarter``: where the quarter circle has it.
    """
    frames = []
    for width, archive in archives.items():
        for epoch in epochs:
            s = archive.singular_values(epoch, 0, runs)
            rms = np.sqrt((s.mean**2 + s.squares / s.count).mean())
            share = (np.arange(width) + 0.5) / width
            frames.append(require_pandas().DataFrame({
                "width": width, "epoch": epoch, "rank": np.arange(1, width + 1), "share": share, "value": s.mean / rms,
                "se": s.standard_error() / rms, "quarter": quarter_circle(1 - share),
            }))  # fmt: skip
    frame: pd.DataFrame = require_pandas().concat(frames, ignore_index=True)
    return frame


def tails(archives: Archives, epochs: Sequence[int], runs: str = "all") -> pd.DataFrame:
    """Singular values beyond the edge, which for independent entries is at 2, and what they carry.

    In units of the root mean square singular value of the ensemble: ``largest`` (± ``largest_se``); ``beyond``: how
    many of a matrix are above 2 on average, each taken as normal with its own mean and variance, ``beyond_se`` an upper
    bound of its error (as if all moved together); ``fourth``: mean fourth power, 2 + 1/n for independent entries, from
    the invariant 01.02.31.32; and which part of its excess over that the largest one brings (``by_largest``) and those
    in the upper tenth (``by_tenth``), against the quarter circle, missing where the excess is below five standard
    errors.  ``law_largest``, ``law_beyond``: what the fitted five-parameter law would have, by :func:`spikes` and
    :func:`largest_expected`.
    """
    square = [graph.name for graph in GRAPHS].index("01.02.31.32")
    rows: list[dict[str, object]] = []
    for width, archive in archives.items():
        for epoch in epochs:
            s = archive.singular_values(epoch, 0, runs)
            variance = s.squares / max(s.count - 1, 1)
            rms2 = (s.mean**2 + s.squares / s.count).mean()
            mean, sd = s.mean / np.sqrt(rms2), np.sqrt(variance / rms2)
            edge = (mean - 2) / sd
            d = _deviations(archive, epoch, runs)
            unit = width * rms2 * rms2
            fourth, error = (d.e + d.predicted)[square] / unit, d.sd[square] / np.sqrt(s.count) / unit
            powers = mean**4 + 6 * mean**2 * sd**2 + 3 * sd**4
            excess = (powers - quarter_circle(1 - (np.arange(width) + 0.5) / width) ** 4) / width
            total = fourth - 2 - 1 / width
            tenth = max(1, width // 10)
            large = total > 5 * error
            law = archive.two_sided(epoch, 0, runs)
            out = spikes(law) / np.sqrt(rms2)
            bulk = float(np.sqrt(width * law.parameters[4] / rms2)) * largest_expected(width)
            rows.append({
                "width": width, "epoch": epoch, "largest": mean[0], "largest_se": sd[0] / np.sqrt(s.count),
                "beyond": float(stats.norm.cdf(edge).sum()),
                "beyond_se": float(stats.norm.pdf(edge).sum() / np.sqrt(s.count)),
                "law_largest": max([*out, bulk]), "law_beyond": int((out > 2).sum()),
                "fourth": fourth, "fourth_se": error, "independent": 2 + 1 / width,
                "by_largest": excess[0] / total if large else np.nan,
                "by_tenth": excess[:tenth].sum() / total if large else np.nan,
            })  # fmt: skip
    return _frame(rows)


# ---- symmetry by width


def symmetries(archives: Archives, epochs: Sequence[int], runs: str = "all") -> pd.DataFrame:
    """The test of the eight nulls by width and epoch: ``p``, and the largest |z| of a single contrast, at which."""
    rows: list[dict[str, object]] = []
    for width, archive in archives.items():
        for epoch in epochs:
            test = archive.symmetry(epoch, 0, runs)
            z = test.contrasts.set_index("name")["z"]
            rows.append({
                "width": width, "epoch": epoch, "runs": test.runs, "p": test.pvalue, "z_max": float(z.abs().max()),
                "contrast": z.abs().idxmax(),
            })  # fmt: skip
    return _frame(rows)


def _frame(rows: list[dict[str, object]]) -> pd.DataFrame:
    frame: pd.DataFrame = require_pandas().DataFrame(rows)
    return frame
