r"""Ensembles of several widths side by side: how the law of the middle matrix of 784-n-n-10 depends on n.

The ensembles differ in their number of networks R, so nothing is compared that grows with R: effects in units of the
spread over networks, squared distances, and sums from which the part that sampling noise alone would bring is
subtracted.  Every function takes archives by width and returns a tidy DataFrame; :func:`power_law` fits an exponent to
a column of one.  The matrix is layer 0, n x n, of a perceptron: rows and columns are relabelled separately, so that the
five-parameter law and the 43 bipartite invariants of degree 3 and 4 say all that expectations can.

Here are the choice of ensembles, exponents, and the movement of the law.  :mod:`pigmm.width_effects` has the
predictions, :mod:`pigmm.spectral` the singular values.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import ArrayLike
from scipy import stats

from .archive import Archive
from .config import DATASETS, EnsembleConfig
from .errors import PigmmError
from .evolution import frame, initial_law
from .intervals import squared_distance
from .irreps import Array
from .joint import two_sided_moments
from .layout import STATISTICS
from .notebook import Settings
from .shelf import published, published_config
from .transport import noise_floor

if TYPE_CHECKING:
    import pandas as pd

__all__ = [
    "PowerLaw", "alive", "common_epoch", "movement", "power_law", "steps", "symmetries", "width_configs", "width_list",
]  # fmt: skip

Archives = Mapping[int, Archive]
WIDTHS = {"paper": (10, 40, 160, 640), "laptop": (10, 20, 40), "class": (5, 10, 20, 40)}
DIRECT: dict[str, Any] = {"runs": 100, "epochs": 20}  # in profile "paper", for widths without a published archive
PARTS = ("mean", "grand mean", "rows", "columns", "bulk")


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
    return epoch * -(-DATASETS[config.dataset].train // config.batch_size)


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
    return frame(rows)


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
    return frame(rows)


# ---- symmetry by width


def symmetries(archives: Archives, epochs: Sequence[int], runs: str = "all") -> pd.DataFrame:
    """The eight nulls by width and epoch: ``p`` of :func:`pigmm.orbit_test`, the largest |z| of a contrast, at which.

    For comparison ``p_f``, that of Hotelling's T² by its F law.
    """
    rows: list[dict[str, object]] = []
    for width, archive in archives.items():
        for epoch in epochs:
            test = archive.orbit_test(epoch, 0, runs)
            z = test.contrasts.set_index("name")["z"]
            rows.append({
                "width": width, "epoch": epoch, "runs": test.runs,
                "p": test.pvalue, "p_f": test.p_f, "z_max": float(z.abs().max()), "contrast": z.abs().idxmax(),
            })  # fmt: skip
    return frame(rows)
