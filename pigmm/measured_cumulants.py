"""Cumulants measured on matrices, with standard errors: numbers that carry the influence of every matrix.

What they are is said in :mod:`pigmm.cumulants`, which offers them beside the predicted ones.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import ArrayLike

from . import labelled, wick
from .errors import PigmmError
from .graphs import InvariantGraph, as_graphs
from .invariants import evaluate
from .irreps import Array, as_matrices, sufficient_statistics, two_sided_statistics
from .joint_cumulants import Graphs, Parts, as_products, joint_cumulant, predicted, product, products
from .laws import MatrixLaw
from .models import GaussianMatrixModel, LabelledRowGaussian, TwoSidedGaussian
from .tables import unit

__all__ = ["Estimate", "excess_cumulant", "matrix_cumulant", "measured_cumulant"]


@dataclass(frozen=True, eq=False)
class Estimate:
    """Values measured on an ensemble and their standard errors, (n,) each.

    Examples
    --------
    >>> Estimate(np.array([0.3]), np.array([0.1])).z.round(9)
    array([3.])
    """

    value: Array
    se: Array

    @property
    def z(self) -> Array:
        """Values in standard errors; zero where both vanish."""
        with np.errstate(divide="ignore"):
            there = (self.value != 0) | (self.se > 0)
            return np.divide(self.value, self.se, out=np.zeros_like(self.value), where=there)


@dataclass(frozen=True, eq=False)
class _Influenced:
    """An estimate, and R times what each of the R matrices moves it by (to first order): sums and products of them."""

    value: float
    psi: Array

    def __mul__(self, other: _Influenced) -> _Influenced:
        return _Influenced(self.value * other.value, self.value * other.psi + other.value * self.psi)

    def __sub__(self, other: _Influenced) -> _Influenced:
        return _Influenced(self.value - other.value, self.psi - other.psi)


def _averages(values: Array) -> list[_Influenced]:
    """The averages of columns (R, n)."""
    return [_Influenced(mean, column - mean) for mean, column in zip(values.mean(axis=0), values.T, strict=True)]


def _estimate(numbers: Sequence[_Influenced], unit: Array) -> Estimate:
    runs = len(numbers[0].psi)
    value = np.array([n.value for n in numbers])
    se = np.array([np.sqrt(n.psi @ n.psi / (runs - 1) / runs) for n in numbers])
    return Estimate(wick._finite(value * unit), se * unit)


def _scaled(graphs: tuple[InvariantGraph, ...], batch: Array) -> tuple[Array, Array]:
    """Matrices with entries of order one, and the units of the invariants: so squares neither over- nor underflow."""
    largest = np.abs(batch).max()
    scale = unit(batch) if largest else 1.0
    with np.errstate(over="ignore", under="ignore"):
        units = scale ** np.array([float(g.degree) for g in graphs])
    if not (np.isfinite(units) & (units > 0)).all():
        raise PigmmError.of(
            "W", got=f"weights up to {largest:.3g}, too large or too small for degree {max(g.degree for g in graphs)}",
            fix="Divide the matrices by a constant first.",
        )  # fmt: skip
    return batch / scale, units


def _measured(graphs: tuple[InvariantGraph, ...], batch: Array) -> list[_Influenced]:
    names = tuple(dict.fromkeys(c for g in graphs for c in g.components))
    values = evaluate(names, batch)
    column = dict(zip(names, (values - values.mean(axis=0)).T, strict=True))
    moments: dict[Parts, _Influenced] = {}

    def moment(parts: Parts) -> _Influenced:  # of deviations, which changes no cumulant but the first, and cancels less
        if parts not in moments:
            product = np.prod([column[p] for p in parts], axis=0)
            moments[parts] = _Influenced(product.mean(), product - product.mean())
        return moments[parts]

    known: dict[Parts, _Influenced] = {}
    first = dict(zip(names, _averages(values), strict=True))
    return [first[g.name] if g.connected else joint_cumulant(g.components, moment, known) for g in graphs]


def measured_cumulant(graphs: Graphs, W: ArrayLike) -> Estimate:
    r"""Joint cumulants of the components of each graph over an ensemble of matrices, with standard errors.

    Parameters
    ----------
    graphs : InvariantGraph, str, or an iterable of them
        n invariants of at most eight components.
    W : array, (R, D, D), or (R, M, N) when all graphs are bipartite
        R at least 2.

    Returns
    -------
    Estimate
        ``value`` (n,), in units of weight to the power of the degree, ``se`` (n,) its standard error, and ``z``.
        Averages divide by R, as the fits of the laws do; the bias of order 1/R is a fraction 1/√R of the error.

    Raises
    ------
    PigmmError
        As :func:`pigmm.evaluate`, and for fewer than two matrices.

    Notes
    -----
    K is a polynomial in averages.  Removing one matrix changes it, to first order, by that matrix's influence, which
    the rules for sums and products carry along; the standard error is sd(influence)/√R (the infinitesimal jackknife).

    Examples
    --------
    >>> from pigmm import SimpleGaussian
    >>> W = SimpleGaussian(5.0, 1.0, shape=10).sample(2000, seed=1)
    >>> estimate = measured_cumulant("00+01.01", W)       # the covariance is 100
    >>> bool(abs(estimate.value[0] - 100) < 3 * estimate.se[0] < 40)
    True
    """
    graphs = as_products(graphs)
    batch, units = _scaled(graphs, as_matrices(W, min_runs=2))
    return _estimate(_measured(graphs, batch), units)


def excess_cumulant(graphs: Graphs, W: ArrayLike, law: MatrixLaw | type[MatrixLaw] | None = None) -> Estimate:
    r"""Joint cumulants over an ensemble minus those of a Gaussian law.

    Parameters
    ----------
    graphs, W
        As for :func:`measured_cumulant`.
    law : law or class of laws, optional
        A class, for example ``pigmm.TwoSidedGaussian``, is fitted to W, and the error then counts the fit.  A law is
        taken as known.  By default the thirteen-parameter class, or the two-sided one if the matrices are rectangular
        or smaller than 4 x 4.

    Returns
    -------
    Estimate
        Exactly zero, with no error, where the fit reproduces the measurement by construction (degree 1 and 2).

    Raises
    ------
    PigmmError
        As :func:`measured_cumulant` and the fit; for matrices that are all equal or whose mean is 1e5 times their
        spread.

    Examples
    --------
    >>> import numpy as np
    >>> W = np.random.default_rng(0).exponential(size=(2000, 6, 6))
    >>> excess_cumulant(["01+01", "01+01+01"], W).z.round(1)      # 36 exponential numbers: third cumulant 72, not 0
    array([0. , 4.6])
    """
    graphs = as_products(graphs)
    given = as_matrices(W, min_runs=2)
    batch, units = _scaled(graphs, given)
    measured = _measured(graphs, batch)
    if isinstance(law, MatrixLaw):
        if law.shape != batch.shape[1:]:
            raise PigmmError.of("law", got=f"shape {law.shape}", allowed=f"the shape of the matrices {batch.shape[1:]}")
        still = np.zeros(len(batch))
        expected = [_Influenced(value, still) for value in predicted(graphs, law) / units]
        return _estimate([m - e for m, e in zip(measured, expected, strict=True)], units)
    fitted = _fitted(batch, law)
    if abs(batch.mean()) > 1e5 * batch.std():
        raise PigmmError.of(
            "W", got="a mean that is more than 1e5 times the spread", allowed="less",
            fix="Subtract a constant from all weights: whether the law is Gaussian does not depend on it.",
        )  # fmt: skip
    needed = products(g.components for g in graphs)
    moments = dict(zip(needed, _expectations(needed, batch, fitted), strict=True))
    known: dict[Parts, _Influenced] = {}
    out = []
    for graph, seen, value in zip(graphs, measured, predicted(graphs, fitted), strict=True):
        slope = joint_cumulant(graph.components, lambda p: moments[product(p)], known)
        left = seen - _Influenced(value, slope.psi)
        matched = np.abs(left.psi).max() <= 1e-9 * np.abs(seen.psi).max()
        out.append(_Influenced(0.0, 0 * left.psi) if matched else left)
    return _estimate(out, units)


def _fitted(batch: Array, law: Any) -> MatrixLaw:
    family = law or (GaussianMatrixModel if batch.shape[1] == batch.shape[2] >= 4 else TwoSidedGaussian)
    if not (isinstance(family, type) and issubclass(family, MatrixLaw)):
        raise PigmmError.of("law", got=law, allowed="a law or a class of laws of pigmm.models")
    if not np.ptp(batch, axis=0).any():
        raise PigmmError.of("W", got="matrices that are all equal", allowed="matrices that differ")
    fitted: MatrixLaw = family.fit(batch)
    return fitted


def _expectations(graphs: tuple[InvariantGraph, ...], batch: Array, law: MatrixLaw) -> list[_Influenced]:
    """Expectations under the law fitted to these matrices."""
    values = wick.expectation(graphs, law)
    if isinstance(law, LabelledRowGaussian):
        psi = labelled.influence(graphs, law, batch)
    else:
        t = (sufficient_statistics if isinstance(law, GaussianMatrixModel) else two_sided_statistics)(batch)
        psi = (t - t.mean(axis=0)) @ wick.jacobian(graphs, law).T
    return [_Influenced(value, column) for value, column in zip(values, psi.T, strict=True)]


def matrix_cumulant(graphs: Graphs, W: ArrayLike, family: type[MatrixLaw] | None = None) -> Estimate:
    r"""Cumulants of three or four *entries*, summed over indices as the graph says: what a Gaussian law lacks.

    .. math:: \sum_{\text{indices}} \kappa(W_{e_1}, \dots, W_{e_k}),
       \qquad \kappa_3 = E[\,\cdot\,] - \text{Wick}, \qquad
       \kappa_4 = E[\,\cdot\,] - \text{Wick} - \sum_e E[W_e]\,\kappa_3(\text{the others}),

    of the law that relabelling at random leaves.  For entries of mean zero it is measured - predicted.

    Parameters
    ----------
    graphs : InvariantGraph, str, or an iterable of them
        n invariants of degree 3 or 4, connected or not.
    W : array, (R, D, D), or (R, M, N) when all graphs are bipartite
    family : class of laws, optional
        Says which relabelling and is fitted to W: GaussianMatrixModel or TwoSidedGaussian, by default as in
        :func:`excess_cumulant`.

    Returns
    -------
    Estimate
        ``value`` (n,), in units of weight to the power of the degree, ``se`` and ``z``; the error counts the fit.

    Raises
    ------
    PigmmError
        As :func:`excess_cumulant`, and for another degree or family.

    Notes
    -----
    Cumulants do not change when a constant is added, so the fitted mean a + b δ_ij is subtracted first; that it was
    fitted to the same matrices is in the error.

    Examples
    --------
    Independent entries: only terms in which all factors are the same entry count, 6 × 6 of them in a bipartite graph
    and 6 in others.  The third cumulant of an exponential number is 2, its fourth 6.

    >>> import numpy as np
    >>> W = np.random.default_rng(0).exponential(size=(4000, 6, 6))
    >>> estimate = matrix_cumulant(["01.01.01", "01.12.20", "01.01.01.01"], W)
    >>> bool((abs(estimate.value - [72, 12, 216]) < 3 * estimate.se).all())
    True
    """
    graphs = as_graphs(graphs)
    for graph in graphs:
        if graph.degree not in (3, 4):
            raise PigmmError.of("graphs", got=f"{graph.name} of degree {graph.degree}", allowed="degree 3 or 4")
    if family not in (None, GaussianMatrixModel, TwoSidedGaussian):
        raise PigmmError.of("family", got=family, allowed="GaussianMatrixModel or TwoSidedGaussian")
    batch, units = _scaled(graphs, as_matrices(W, min_runs=2))
    runs, M, N = batch.shape
    mean = [batch.mean(axis=(1, 2))]
    if isinstance(_fitted(batch, family), GaussianMatrixModel):
        on = np.einsum("rii->r", batch) / M
        off = (M * mean[0] - on) / (M - 1)
        mean = [off, on - off]
        batch = batch - mean[1].mean() * np.eye(M)
    batch = batch - mean[0].mean()
    lower = {g: _without_an_edge(g, M, N, len(mean)) for g in graphs if g.degree == 4}
    needed = tuple(dict.fromkeys([*graphs, *(h for terms in lower.values() for _, _, h in terms)]))
    pairs = zip(_averages(evaluate(needed, batch)), _expectations(needed, batch, _fitted(batch, family)), strict=True)
    beyond = dict(zip(needed, (seen - expected for seen, expected in pairs), strict=True))
    out = []
    for graph in graphs:
        total = beyond[graph]
        for which, factor, smaller in lower.get(graph, ()):
            shift = _Influenced(0.0, factor * (mean[which] - mean[which].mean()))
            total = total - shift * beyond[smaller]
        out.append(total)
    return _estimate(out, units)


def _without_an_edge(graph: InvariantGraph, M: int, N: int, means: int) -> list[tuple[int, float, InvariantGraph]]:
    """The graph with one edge replaced by its mean, a or b δ: which of the two, factor of free nodes, what is left."""
    terms = []
    for at, (i, j) in enumerate(graph.edges):
        rest = graph.edges[:at] + graph.edges[at + 1 :]
        left = {n for edge in rest for n in edge}
        terms.append((0, float((M if i not in left else 1) * (N if j not in left | {i} else 1)), rest))
        if means == 2:
            merged = tuple((i if p == j else p, i if q == j else q) for p, q in rest)
            terms.append((1, 1.0 if {i, j} & left else float(M), merged))
    return [(which, factor, InvariantGraph.from_edges(edges)) for which, factor, edges in terms]
