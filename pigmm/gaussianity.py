r"""Is the law Gaussian, and which symmetry has it?  Predictions against measurements, with honest errors.

The fitted law reproduces the linear and quadratic invariants by construction; the cubic and quartic ones are
predictions.  The error of a deviation ``e = mean(I) - E_fit[I]`` must count that the same runs were used for the fit:
to first order e is the mean over runs of ``psi = I(W) - J.t(W)``, with t the 13 sufficient statistics and
``J = dE_fit[I]/d<t>``, so ``se(e) = sd(psi)/sqrt(R)``.  Leaving J out makes a test that almost never rejects.

The paper's measure |e| / sd(I) (arXiv:2510.05218) is an effect size, not a test: it says how far the mean is off in
units of the spread over networks, whatever R.  Both are given, under their own names.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from types import ModuleType
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import ArrayLike
from scipy import stats

from . import wick
from .errors import PigmmError
from .graphs import InvariantGraph, as_graphs, invariant_graphs
from .invariants import evaluate
from .irreps import Array, as_matrices, sufficient_statistics
from .laws import MatrixLaw
from .layout import STATISTICS
from .models import GaussianMatrixModel
from .moments import Moments

if TYPE_CHECKING:
    import pandas as pd

__all__ = ["SymmetryTest", "compare", "comparison_table", "symmetry_from_moments", "symmetry_test"]

CONTRASTS = ("x2", "x1 x2", "u1.u2", "u1.u3", "u2.u3", "x2^2 - A", "u3.u3 - A", "S.S - A")


def compare(
    W: ArrayLike,
    graphs: Iterable[InvariantGraph | str] | None = None,
    model: MatrixLaw | None = None,
) -> pd.DataFrame:
    r"""Measured ensemble means of invariants beside their Gaussian predictions.

    Parameters
    ----------
    W : array, (R, D, D)
        R at least 3, D at least 4.
    graphs : graphs or names, optional
        By default the 348 cubic and quartic ones.
    model : a square law, optional
        By default the 13-parameter law fitted to W, and z then counts the fit.  A given law is taken as known.

    Returns
    -------
    DataFrame
        One row a graph, in the order given: ``name``, ``degree``, ``paper`` (1 to 52 or missing), ``measured``, ``sd``
        (standard deviation over runs), ``se`` (standard error of the mean, sd/√R), ``predicted``, ``ratio`` (the
        paper's: |difference| / sd), ``se_difference`` (standard error of measured - predicted), ``z``,
        ``p`` (two-sided normal) and ``p_adjusted`` (Benjamini-Hochberg over the rows that are predictions).
        Invariants of degree 1 and 2 are matched by a fit: z = 0, p = 1.

    Raises
    ------
    PigmmError
        For unusable matrices, no graphs, unknown names, or a law of another size.

    Examples
    --------
    >>> from pigmm import SimpleGaussian, gaussianity
    >>> W = SimpleGaussian(0.0, 0.1, shape=6).sample(400, seed=0)
    >>> table = gaussianity.compare(W, ["01.12.20", "01.01.01"])
    >>> list(table["name"]), bool((table["z"].abs() < 4).all())
    (['01.12.20', '01.01.01'], True)
    """
    batch = as_matrices(W, square=True, min_dim=4, min_runs=3)
    chosen = invariant_graphs(3) + invariant_graphs(4) if graphs is None else as_graphs(graphs)
    if model is not None and getattr(model, "shape", None) != batch.shape[1:]:
        raise PigmmError.of(
            "model", got=f"{type(model).__name__} of shape {getattr(model, 'shape', None)}",
            allowed=f"a law of {batch.shape[1]}x{batch.shape[2]} matrices, like W",
        )  # fmt: skip
    if not np.ptp(batch, axis=0).any():
        raise PigmmError.of("W", got="matrices that are all equal", allowed="matrices that differ")
    scale = _unit(batch)  # z does not depend on the unit; in units of order one nothing over- or underflows
    batch = batch / scale
    law = GaussianMatrixModel.fit(batch) if model is None else _rescaled(model, scale)
    t, values = sufficient_statistics(batch), evaluate(chosen, batch)
    moments = Moments.of(np.concatenate([t, values], axis=1), STATISTICS)
    psi = None
    if model is None:  # run by run, where less cancels than in the moments
        influence = values - values.mean(axis=0) - (t - t.mean(axis=0)) @ wick.jacobian(chosen, law).T
        psi = (influence**2).sum(axis=0) / (len(batch) - 1)
    table = comparison_table(chosen, moments, law, model is None, psi)
    factor = scale ** table["degree"]
    for column in ("measured", "sd", "se", "predicted", "se_difference"):
        table[column] *= factor
    return table


def _unit(batch: Array) -> float:
    """The power of two next to the largest weight."""
    return float(2.0 ** np.round(np.log2(np.abs(batch).max())))


def _rescaled(model: MatrixLaw, scale: float) -> GaussianMatrixModel:
    """The law of W/scale when W has the law ``model``."""
    law: GaussianMatrixModel = model.to_diagonal()  # type: ignore[attr-defined]
    return GaussianMatrixModel(law.parameters / np.repeat([scale, scale**2], [2, 11]), law.dim)


def comparison_table(
    graphs: Sequence[InvariantGraph],
    moments: Moments,
    model: MatrixLaw,
    fitted: bool = True,
    psi: Array | None = None,
) -> pd.DataFrame:
    """The table of :func:`compare` from the moments of (13 statistics, invariants); ``fitted``: to these very runs.

    ``psi``: variance over runs of the influence of each invariant, by default taken from the moments.
    """
    pd, R = require_pandas(), moments.count
    measured, predicted = moments.mean[STATISTICS:], wick.expectation(graphs, model)
    variance = np.clip(moments.squares[STATISTICS:], 0, None) / (R - 1)
    degree = np.array([graph.degree for graph in graphs])
    free = degree > 2 if fitted else np.ones(len(graphs), bool)
    if psi is None:
        psi = _influence_variance(graphs, moments, model) if fitted else variance
    se_difference = np.sqrt(psi / R)
    difference = measured - predicted
    rounding = 1e-14 * (np.abs(measured) + np.abs(predicted))
    if (drowned := free & (rounding > 0.1 * se_difference)).any():
        raise PigmmError.of(
            "W", got=f"differences that drown in rounding, first at {graphs[int(drowned.argmax())].name}",
            allowed="a mean that is not thousands of times the spread",
            fix="Subtract a constant from all weights first: whether the law is Gaussian does not depend on it.",
        )  # fmt: skip
    z = np.divide(difference, se_difference, out=np.zeros_like(difference), where=free & (se_difference > 0))
    p = 2 * stats.norm.sf(np.abs(z))
    adjusted = np.ones_like(p)
    if free.any():
        adjusted[free] = stats.false_discovery_control(p[free])
    spread = np.sqrt(variance)
    return pd.DataFrame({
        "name": [graph.name for graph in graphs],
        "degree": degree,
        "paper": pd.array([graph.paper_index for graph in graphs], dtype="Int64"),
        "measured": measured,
        "sd": spread,
        "se": spread / np.sqrt(R),
        "predicted": predicted,
        "ratio": np.divide(np.abs(difference), spread, out=np.zeros_like(spread), where=spread > 0),
        "se_difference": se_difference,
        "z": z,
        "p": p,
        "p_adjusted": adjusted,
    })  # fmt: skip


def require_pandas() -> ModuleType:
    """The pandas module, or a PigmmError that says how to get it."""
    try:
        import pandas
    except ImportError as error:
        raise PigmmError.of("tables need pandas", fix='Install it with: pip install "pigmm[figures]".') from error
    return pandas


def _influence_variance(graphs: Sequence[InvariantGraph], moments: Moments, model: MatrixLaw) -> Array:
    """Unbiased variance over runs of psi = I - J.t."""
    J = wick.jacobian(graphs, model)
    own = moments.comoment[:, :STATISTICS]
    cross = moments.comoment[:, STATISTICS:]
    total = moments.squares[STATISTICS:] - 2 * np.einsum("gt,tg->g", J, cross) + np.einsum("gt,ts,gs->g", J, own, J)
    variance: Array = np.clip(total, 0, None) / (moments.count - 1)
    return variance


@dataclass(frozen=True, eq=False)
class SymmetryTest:
    """Outcome of :func:`symmetry_test`: Hotelling's T², its F value and p-value, and the contrasts one by one."""

    runs: int
    statistic: float
    f: float
    pvalue: float
    values: Array
    errors: Array

    @property
    def contrasts(self) -> pd.DataFrame:
        """name, value (mean over runs), se, z: one row a contrast."""
        pd = require_pandas()
        z = np.divide(self.values, self.errors, out=np.zeros(8), where=self.errors > 0)
        return pd.DataFrame({"name": CONTRASTS, "value": self.values, "se": self.errors, "z": z})


def symmetry_test(W: ArrayLike) -> SymmetryTest:
    r"""Are rows and columns relabelled separately without changing the law?  Exact null, whatever the distribution.

    Under S_D x S_D the eight means ``<x2>, <x1 x2>, <u1.u2>, <u1.u3>, <u2.u3>`` and ``<x2²>, <u3.u3>/(D-1),
    <|S|²>/dim V2``, each of the last three minus ``<|A|²>/dim V3``, vanish.  Hotelling's
    ``T² (R-8)/(8(R-1)) ~ F(8, R-8)`` tests them together; one exchangeable side is enough for the null to hold.  The
    null is exact, the p-value is for large R: contrasts that are squares are skewed, and at D = 10 the nominal 5 % is
    about 8 % for R = 100 and 6 % for R = 1000.

    Parameters
    ----------
    W : array, (R, D, D)
        R at least 10, D at least 4.

    Examples
    --------
    >>> from pigmm import SimpleGaussian
    >>> W = SimpleGaussian(0.0, 0.1, shape=6).sample(300, seed=0)
    >>> bool(symmetry_test(W).pvalue > 0.001)
    True
    >>> W[:, range(6), range(6)] += 0.2              # now the diagonal is special
    >>> bool(symmetry_test(W).pvalue < 1e-6)
    True
    """
    batch = as_matrices(W, square=True, min_dim=4)
    if not batch.any():
        raise PigmmError.of("W", got="matrices of zeros", allowed="matrices that differ")
    return symmetry_from_moments(Moments.of(sufficient_statistics(batch / _unit(batch)), STATISTICS))


def symmetry_from_moments(moments: Moments) -> SymmetryTest:
    """The same test from the moments of the 13 statistics (they may be followed by other features)."""
    R = moments.count
    if R < 10:
        raise PigmmError.of("W", got=f"{R} matrices", allowed="at least 10 for eight contrasts (too few runs)")
    L = np.zeros((8, STATISTICS))
    L[range(8), [1, 3, 6, 7, 9, 4, 10, 11]] = 1
    L[5:, 12] = -1
    values = L @ moments.mean[:STATISTICS]
    covariance = L @ moments.comoment[:, :STATISTICS] @ L.T / (R - 1) / R
    errors = np.sqrt(np.diag(covariance))
    if not (errors > 0).all():
        raise PigmmError.of("W", got="contrasts that do not vary over the matrices", allowed="matrices that differ")
    z = values / errors  # units of weight and of weight squared are mixed: solve in standard errors
    correlation = covariance / np.outer(errors, errors)
    if np.linalg.eigvalsh(correlation)[0] < 1e-10:
        raise PigmmError.of(
            "W", got="contrasts that depend on each other", allowed="at least nine matrices that differ in all entries"
        )
    statistic = float(z @ np.linalg.solve(correlation, z))
    f = statistic * (R - 8) / (8 * (R - 1))
    return SymmetryTest(R, statistic, f, float(stats.f.sf(f, 8, R - 8)), values, errors)
