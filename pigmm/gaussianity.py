r"""Is the law Gaussian?  Predictions against measurements, with honest errors.

A fitted law reproduces some linear and quadratic invariants by construction; all others are predictions.  The error of
a deviation ``e = mean(I) - E_fit[I]`` must count that the same runs were used for the fit: to first order e is the mean
over runs of ``psi = I(W) - J.t(W)``, with t the sufficient statistics of the law and ``J = dE_fit[I]/d<t>``, so
``se(e) = sd(psi)/sqrt(R)``.  Leaving J out makes a test that almost never rejects.

The paper's measure |e| / sd(I) (arXiv:2510.05218) is an effect size, not a test: it says how far the mean is off in
units of the spread over networks, whatever R.  Both are given, under their own names.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import ArrayLike, NDArray
from scipy import stats

from . import labelled, wick
from .errors import PigmmError
from .graphs import InvariantGraph, as_graphs, bipartite_graphs, invariant_graphs
from .invariants import evaluate
from .irreps import Array, Diagonal, as_matrices, sufficient_statistics, two_sided_statistics
from .laws import MatrixLaw, checked_runs
from .layout import STATISTICS
from .models import GaussianMatrixModel, LabelledRowGaussian, SimpleGaussian, TwoSidedGaussian
from .moments import Moments
from .tables import draw_seeds, progressing, require_pandas, unit

if TYPE_CHECKING:
    import pandas as pd

__all__ = ["Confrontation", "bootstrap_z", "compare", "comparison_table", "confront"]


def compare(
    W: ArrayLike,
    graphs: Iterable[InvariantGraph | str] | None = None,
    model: MatrixLaw | type[MatrixLaw] | None = None,
    *,
    bootstrap: int = 0,
    seed: int = 0,
    progress: bool = False,
) -> pd.DataFrame:
    r"""Measured ensemble means of invariants beside their Gaussian predictions.

    Parameters
    ----------
    W : array, (R, D, D) or (R, M, N)
        R at least 3.
    graphs : graphs or names, optional
        By default the cubic and quartic predictions: 348 for the 13-parameter law, the 43 bipartite ones for the
        others, whose symmetry makes the rest follow from these.
    model : a law class, or a law; optional
        A class is fitted to W, and z then counts the fit; by default GaussianMatrixModel, or TwoSidedGaussian if the
        matrices are rectangular or smaller than 4 x 4.  A law is taken as known.
    bootstrap : int
        Number of ensembles of R matrices drawn from the law and fitted like the data, for ``p_bootstrap`` and
        ``p_family``; at least 99, or 0 for none.  999 of 1000 10 x 10 matrices take about half a minute.
    seed : int
        Seed of these ensembles.
    progress : bool
        Show a progress bar while drawing them.

    Returns
    -------
    DataFrame
        One row a graph, in the order given:

        - ``name``, ``degree``, ``paper`` (1 to 52 or missing);
        - ``measured``, ``sd`` (standard deviation over runs), ``se`` (standard error of the mean, sd/√R);
        - ``predicted``;
        - ``ratio``, the paper's effect size |measured - predicted| / sd;
        - ``relative``, measured / predicted; missing where the prediction is within ten standard errors of zero;
        - ``se_difference``, standard error of measured - predicted, and ``z``, the difference in its units;
        - ``p``, two-sided normal, and ``p_adjusted``, Benjamini-Hochberg over the rows that are predictions;
        - with ``bootstrap``: ``p_bootstrap``, the rank of |z| among its own bootstrap values, and ``p_family``,
          family-wise by the step-down maximum of |z| (Westfall and Young): rejecting where p_family < 0.05 makes one
          false rejection or more in at most 5 % of Gaussian ensembles.

        Invariants that the fit matches have z = 0 and p = 1.

    Raises
    ------
    PigmmError
        For unusable matrices, no graphs, unknown names, or a law of another size.

    Examples
    --------
    >>> from pigmm import SimpleGaussian, TwoSidedGaussian, gaussianity
    >>> W = SimpleGaussian(0.0, 0.1, shape=6).sample(400, seed=0)
    >>> table = gaussianity.compare(W, ["01.12.20", "01.01.01"])
    >>> list(table["name"]), bool((table["z"].abs() < 4).all())
    (['01.12.20', '01.01.01'], True)
    >>> len(gaussianity.compare(W, model=TwoSidedGaussian))
    43
    >>> W = SimpleGaussian(0.0, 0.1, shape=(3, 5)).sample(100, seed=1)
    >>> bool(gaussianity.compare(W, bootstrap=99)["p_family"].min() > 0.02)
    True
    """
    batch = as_matrices(W, min_runs=3)
    family, known = _family(model, batch)
    chosen = _default_graphs(family) if graphs is None else as_graphs(graphs)
    if not np.ptp(batch, axis=0).any():
        raise PigmmError.of("W", got="matrices that are all equal", allowed="matrices that differ")
    scale = unit(batch)  # z does not depend on the unit; in units of order one nothing over- or underflows
    batch = batch / scale
    law = family.fit(batch) if known is None else _rescaled(known, scale)
    result = confront(chosen, batch, law, known is None)
    table = _table(chosen, result, result.z(law))
    if bootstrap:
        add_bootstrap(table, bootstrap_z(chosen, law, len(batch), bootstrap, seed, progress, known is None))
    factor = scale ** table["degree"]
    for column in ("measured", "sd", "se", "predicted", "se_difference"):
        table[column] *= factor
    return table


def bootstrap_z(
    graphs: Sequence[InvariantGraph],
    law: MatrixLaw,
    R: int,
    repeats: int = 999,
    seed: int = 0,
    progress: bool = False,
    fitted: bool = True,
) -> Array:
    """z of every graph, (repeats, n), in ensembles of R matrices drawn from the law and, if ``fitted``, fitted again.

    Examples
    --------
    >>> from pigmm import SimpleGaussian
    >>> law = SimpleGaussian(0.0, 1.0, shape=5)
    >>> bootstrap_z(as_graphs(["01.01.01"]), law, 50, repeats=99).shape
    (99, 1)
    """
    R = checked_runs(R, 3)
    if isinstance(repeats, bool) or not isinstance(repeats, int | np.integer) or repeats < 99:
        raise PigmmError.of("bootstrap", got=repeats, allowed="0, or an integer of at least 99")
    zs = np.empty((repeats, len(graphs)))
    for b, draw in enumerate(progressing(draw_seeds(seed, repeats), repeats, progress, "bootstrap")):
        W = law.sample(R, draw)
        again = law.refit(W) if fitted else law
        zs[b] = confront(graphs, W, again, fitted).z(again)
    return zs


def add_bootstrap(table: pd.DataFrame, zs: Array) -> None:
    """Columns ``p_bootstrap`` and ``p_family`` from the |z| of bootstrap ensembles, in place."""
    z, null = np.abs(table["z"].to_numpy()), np.abs(zs)
    free = table["p"].to_numpy() < 1
    order = np.argsort(-z)
    highest = np.maximum.accumulate(null[:, order[::-1]], axis=1)[:, ::-1]  # of this row and of all with a smaller |z|
    steps = (1 + (highest >= z[order]).sum(axis=0)) / (1 + len(zs))
    family = np.empty(len(z))
    family[order] = np.maximum.accumulate(steps)
    table["p_bootstrap"] = np.where(free, (1 + (null >= z).sum(axis=0)) / (1 + len(zs)), 1.0)
    table["p_family"] = np.where(free, family, 1.0)


def comparison_table(
    graphs: Sequence[InvariantGraph], moments: Moments, model: MatrixLaw, fitted: bool = True
) -> pd.DataFrame:
    """The table of :func:`compare` from the moments of (13 or 5 statistics, invariants).

    ``fitted``: the law was fitted to these very runs.
    """
    axes = moments.comoment.shape[-2]
    measured, variance = moments.mean[axes:], np.clip(moments.squares[axes:], 0, None) / (moments.count - 1)
    psi = _influence_variance(graphs, moments, model) if fitted else variance
    result = Confrontation(graphs, moments.count, measured, variance, wick.expectation(graphs, model), psi, fitted)
    return _table(graphs, result, result.z(model))


@dataclass(frozen=True, eq=False)
class Confrontation:
    """Means of invariants over R runs, their variance over runs, the prediction, and the variance of the influence."""

    graphs: Sequence[InvariantGraph]
    runs: int
    measured: Array
    variance: Array
    predicted: Array
    psi: Array
    fitted: bool

    def z(self, law: MatrixLaw) -> Array:
        """Difference over its standard error; 0 where the fit matches."""
        free = ~_matched(self.graphs, type(law)) if self.fitted else np.ones(len(self.graphs), bool)
        difference, error = self.measured - self.predicted, np.sqrt(self.psi / self.runs)
        rounding = 1e-14 * (np.abs(self.measured) + np.abs(self.predicted))
        if (drowned := free & (rounding > 0.1 * error)).any():
            raise PigmmError.of(
                "W", got=f"differences that drown in rounding, first at {self.graphs[int(drowned.argmax())].name}",
                allowed="a mean that is not thousands of times the spread",
                fix="Subtract a constant from all weights first: whether the law is Gaussian does not depend on it.",
            )  # fmt: skip
        return np.divide(difference, error, out=np.zeros_like(difference), where=free & (error > 0))


def confront(graphs: Sequence[InvariantGraph], W: Array, law: MatrixLaw, fitted: bool) -> Confrontation:
    """Run by run, where less cancels than in the moments."""
    values = evaluate(graphs, W)
    deviation = values - values.mean(axis=0)
    variance = (deviation**2).sum(axis=0) / (len(W) - 1)
    psi = variance
    if fitted:
        if isinstance(law, LabelledRowGaussian):
            moved = labelled.influence(as_graphs(graphs), law, W)
        else:
            t = sufficient_statistics(W) if isinstance(law, GaussianMatrixModel) else two_sided_statistics(W)
            moved = (t - t.mean(axis=0)) @ wick.jacobian(graphs, law).T
        psi = ((deviation - moved) ** 2).sum(axis=0) / (len(W) - 1)
    return Confrontation(
        graphs, len(W), values.mean(axis=0), variance, wick.expectation(graphs, law), psi, fitted
    )  # fmt: skip


def _table(graphs: Sequence[InvariantGraph], result: Confrontation, z: Array) -> pd.DataFrame:
    pd = require_pandas()
    error, spread = np.sqrt(result.psi / result.runs), np.sqrt(result.variance)
    p = 2 * stats.norm.sf(np.abs(z))
    adjusted = np.ones_like(p)
    if (free := z != 0).any():
        adjusted[free] = stats.false_discovery_control(p[free])
    difference = np.abs(result.measured - result.predicted)
    clear = np.abs(result.predicted) > 10 * error
    return pd.DataFrame({
        "name": [graph.name for graph in graphs],
        "degree": np.array([graph.degree for graph in graphs]),
        "paper": pd.array([graph.paper_index for graph in graphs], dtype="Int64"),
        "measured": result.measured,
        "sd": spread,
        "se": spread / np.sqrt(result.runs),
        "predicted": result.predicted,
        "ratio": np.divide(difference, spread, out=np.zeros_like(spread), where=spread > 0),
        "relative": np.divide(result.measured, result.predicted, out=np.full_like(spread, np.nan), where=clear),
        "se_difference": error,
        "z": z,
        "p": p,
        "p_adjusted": adjusted,
    })  # fmt: skip


def _matched(graphs: Sequence[InvariantGraph], family: type[MatrixLaw]) -> NDArray[np.bool_]:
    """Which invariants a fit of this family reproduces by construction."""
    if issubclass(family, SimpleGaussian):
        return np.array([graph.name in ("01", "01.01") for graph in graphs])
    low = np.array([graph.degree <= 2 for graph in graphs])
    if issubclass(family, GaussianMatrixModel):
        return low
    return low & np.array([graph.sides is not None for graph in graphs])


def _family(model: Any, batch: Array) -> tuple[type[MatrixLaw], MatrixLaw | None]:
    """The family to fit, and the law if it is known."""
    rows, columns = batch.shape[1:]
    if model is None:
        return (GaussianMatrixModel if rows == columns >= 4 else TwoSidedGaussian), None
    if isinstance(model, type) and issubclass(model, MatrixLaw):
        return model, None
    if not isinstance(model, MatrixLaw) or model.shape != batch.shape[1:]:
        raise PigmmError.of(
            "model", got=f"{type(model).__name__} of shape {getattr(model, 'shape', None)}",
            allowed=f"a law class, or a law of {rows}x{columns} matrices, like W",
        )  # fmt: skip
    return type(model), model


def _default_graphs(family: type[MatrixLaw]) -> tuple[InvariantGraph, ...]:
    listed = invariant_graphs if issubclass(family, GaussianMatrixModel) else bipartite_graphs
    return listed(3) + listed(4)


def _rescaled(law: MatrixLaw, scale: float) -> MatrixLaw:
    """The law of W/scale when W has this law."""
    return law.from_blocks([(mean / scale, covariance / scale**2) for mean, covariance in law.blocks()])


def _influence_variance(graphs: Sequence[InvariantGraph], moments: Moments, model: MatrixLaw) -> Array:
    """Unbiased variance over runs of psi = I - J.t, as far as moments know it.

    Published archives keep correlations in steps of 2^-17.  Where nearly all of I follows from t, what is left may be
    less than that rounding; it is then set to the rounding, which makes z too small rather than too large.
    """
    J, axes = wick.jacobian(graphs, model), moments.comoment.shape[-2]
    if J.shape[1] == 5 and axes == STATISTICS:
        J = J @ two_sided_from_sufficient(model.shape[0])
    own, cross = moments.comoment[:, :axes], moments.comoment[:, axes:]
    total = moments.squares[axes:] - 2 * np.einsum("gt,tg->g", J, cross) + np.einsum("gt,ts,gs->g", J, own, J)
    terms = moments.squares[axes:] + J**2 @ np.diag(own)
    variance: Array = np.maximum(total, 2**-16 * terms) / (moments.count - 1)
    return variance


def two_sided_from_sufficient(D: int) -> Array:
    """The 5 x 13 matrix that turns the 13 statistics of a square matrix into the five two-sided ones."""
    _, VH, V2, V3 = (block.dim for block in Diagonal(D).blocks)
    A = np.zeros((5, STATISTICS))
    A[0, 0], A[1, 2], A[2, 8], A[3, 5] = 1 / D, 1 / D**2, 1, 1
    A[4, [4, 10, 11, 12]] = np.array([1, VH, V2, V3]) / (D - 1) ** 2
    return A
