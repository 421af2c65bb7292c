r"""Connected cumulants: what the components of an invariant, or the entries of a matrix, have in common.

**Cumulants of components.**  A disconnected graph is a product of random numbers, one for each component, and its mean
is dominated by the product of their means.  The joint cumulant takes that out: over all set partitions of the
components :math:`I_1, \dots, I_n` into blocks,

.. math:: K(I_1, \dots, I_n) = \sum_{\text{partitions}} (-1)^{b-1} (b-1)! \prod_{\text{blocks } B} E\Big[\prod_{i \in B}
   I_i\Big].

For one component K = E, for two it is their covariance, and it vanishes when the components fall into two independent
groups.  The expectation of a block is that of a graph, the union of its components, so K is predicted by
:func:`pigmm.expectation` and measured by averages.  Under a Gaussian law K is the part of Wick's sum in which the
matched pairs tie all components together.

**Cumulants of entries.**  Every factor :math:`W_{ij}` may be taken as the random number instead.  Wick's theorem sums
over blocks of one and two entries; what a measured average has beyond it are the blocks of three and more.  See
:func:`matrix_cumulant`.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from functools import lru_cache
from itertools import combinations
from typing import Any, Protocol, TypeVar

import numpy as np
from numpy.typing import ArrayLike, NDArray
from scipy import sparse

from . import labelled, wick
from .contraction import Rules, Table, table
from .errors import PigmmError
from .graphs import InvariantGraph, as_graphs
from .invariants import evaluate
from .irreps import Array, as_matrices, sufficient_statistics, two_sided_statistics
from .laws import MatrixLaw
from .models import GaussianMatrixModel, LabelledRowGaussian, TwoSidedGaussian
from .tables import unit

__all__ = [
    "Estimate", "covariance", "cumulant", "cumulant_from_means", "excess_cumulant", "matrix_cumulant",
    "measured_cumulant",
]  # fmt: skip

Graphs = InvariantGraph | str | Iterable[InvariantGraph | str]
Parts = tuple[str, ...]  # invariants by name, which multiply

MAX_COMPONENTS = 8  # of a graph: 2^8 products of components


class _Number(Protocol):
    def __mul__(self, other: Any, /) -> Any: ...
    def __sub__(self, other: Any, /) -> Any: ...


T = TypeVar("T", bound=_Number)


def _joint(parts: Parts, moment: Callable[[Parts], T], known: dict[Parts, T]) -> T:
    """Joint cumulant of the parts, from the moments of their products.

    Sorting the set partitions by the block B of the first part gives ``E[S] = sum_B K[B] E[S - B]``; its last term, in
    which B is everything, is the one asked for.
    """
    if parts not in known:
        first, rest = parts[0], parts[1:]
        total = moment(parts)
        for choice in range((1 << len(rest)) - 1):
            block = (first, *(p for k, p in enumerate(rest) if choice >> k & 1))
            others = tuple(p for k, p in enumerate(rest) if not choice >> k & 1)
            total = total - _joint(block, moment, known) * moment(others)
        known[parts] = total
    return known[parts]


def _union(parts: Parts) -> InvariantGraph:
    return InvariantGraph("+".join(parts))


def _unions(sets: Iterable[Parts]) -> tuple[InvariantGraph, ...]:
    """The products of some of the parts of a set: all that its cumulant needs."""
    return tuple(dict.fromkeys(
        _union(block) for parts in sets for n in range(1, len(parts) + 1) for block in combinations(parts, n)
    ))  # fmt: skip


def _checked(graphs: Graphs) -> tuple[InvariantGraph, ...]:
    graphs = as_graphs(graphs)
    for graph in graphs:
        if (n := len(graph.components)) > MAX_COMPONENTS:
            raise PigmmError.of(
                "graphs", got=f"{graph.name} with {n} components", allowed=f"at most {MAX_COMPONENTS} components"
            )
    return graphs


# --- predicted: cumulants as polynomials in the coefficients of the law, in which all terms have one sign -------------

_ROWS, _COLUMNS = 52, 57  # a monomial in one integer: four bits for each exponent, then the powers of M and N


@dataclass(frozen=True, eq=False)
class _Polynomial:
    keys: NDArray[np.int64]
    coefs: NDArray[np.int64]

    @classmethod
    def _collect(cls, keys: NDArray[np.int64], coefs: NDArray[np.int64]) -> _Polynomial:
        keys, where = np.unique(keys, return_inverse=True)
        total = np.bincount(where, weights=coefs, minlength=len(keys)).astype(np.int64)
        return cls(keys[total != 0], total[total != 0])

    def __mul__(self, other: _Polynomial) -> _Polynomial:
        keys, coefs = self.keys[:, None] + other.keys, self.coefs[:, None] * other.coefs
        return self._collect(keys.ravel(), coefs.ravel())

    def __sub__(self, other: _Polynomial) -> _Polynomial:
        return self._collect(np.r_[self.keys, other.keys], np.r_[self.coefs, -other.coefs])


def _polynomials(graphs: tuple[InvariantGraph, ...], rules: Rules) -> dict[str, _Polynomial]:
    """The expectations of graphs, by name."""
    whole = table(graphs, rules)
    row, column, rows, columns, coefs = whole.entries
    bits = np.append(1 << 4 * np.arange(rules.variables), 0)  # the last stands for a factor 1
    keys = bits[whole.factors].sum(axis=1)[column] + (rows << _ROWS) + (columns << _COLUMNS)
    cuts = np.searchsorted(row, np.arange(len(graphs) + 1))
    return {g.name: _Polynomial(keys[a:b], coefs[a:b]) for g, a, b in zip(graphs, cuts, cuts[1:], strict=False)}


@lru_cache(maxsize=16)
def _table(sets: tuple[Parts, ...], rules: Rules) -> Table:
    """Joint cumulants of sets of invariants."""
    moments = _polynomials(_unions(sets), rules)
    known: dict[Parts, _Polynomial] = {}
    polynomials = [_joint(parts, lambda p: moments[_union(p).name], known) for parts in sets]
    row = np.repeat(np.arange(len(sets)), [len(p.keys) for p in polynomials])
    keys, coefs = (np.concatenate([getattr(p, part) for p in polynomials]) for part in ("keys", "coefs"))
    monomials, column = np.unique(keys & ((1 << _ROWS) - 1), return_inverse=True)
    exponents = monomials[:, None] >> (4 * np.arange(rules.variables)) & 15
    factors = np.full((len(monomials), max(exponents.sum(axis=1), default=1)), rules.variables)
    for m, e in enumerate(exponents):
        factors[m, : e.sum()] = np.repeat(np.arange(rules.variables), e)
    return Table(rules.variables, factors, (row, column, keys >> _ROWS & 31, keys >> _COLUMNS, coefs), len(sets))


@lru_cache(maxsize=16)
def _matrix(sets: tuple[Parts, ...], rules: Rules, shape: tuple[int, int]) -> Any:
    """(sets, monomials): joint cumulants = matrix @ monomials."""
    whole = _table(sets, rules)
    row, column, rows, columns, coefs = whole.entries
    values = coefs * float(shape[0]) ** rows * float(shape[1]) ** columns
    return sparse.csr_array((values, (row, column)), shape=(whole.graphs, len(whole.factors)))


def _predicted(sets: tuple[Parts, ...], graphs: tuple[InvariantGraph, ...], law: Any) -> Array:
    """Joint cumulants under a law; ``graphs`` are all graphs in the sets."""
    if isinstance(law, LabelledRowGaussian):  # sums over labels: numbers, not polynomials
        unions = _unions(sets)
        moments = dict(zip(unions, wick.expectation(unions, law), strict=True))
        known: dict[Parts, Any] = {}
        return np.array([_joint(parts, lambda p: moments[_union(p)], known) for parts in sets])
    values, rules, shape = wick._for_graphs(graphs, *wick._parameters_of(law))
    with np.errstate(over="ignore", invalid="ignore", under="ignore"):
        monomials = _table(sets, rules).monomials(wick._linear_map(rules, shape) @ values)
        return wick._finite(_matrix(sets, rules, shape) @ monomials)


def cumulant(graphs: Graphs, law: Any) -> Array:
    r"""Joint cumulants of the components of each graph under a law, exactly.

    Parameters
    ----------
    graphs : InvariantGraph, str, or an iterable of them
        n invariants of at most eight components; bipartite ones for laws of rectangular matrices.
    law : GaussianMatrixModel, TwoSidedGaussian, SimpleGaussian or LabelledRowGaussian
        As for :func:`pigmm.expectation`.

    Returns
    -------
    ndarray, shape (n,)
        In units of weight to the power of the degree.  The expectation for a connected graph, the covariance of the two
        components of ``"00+01.12"``, the variance of the trace for ``"00+00"``, its third cumulant for ``"00+00+00"``.

    Raises
    ------
    PigmmError
        As :func:`pigmm.expectation`, and for more than eight components.

    Notes
    -----
    The polynomials of the moments are combined before any number is put in.  What is left has positive integer
    coefficients, one for each way of matching factors that ties all components together, so no digits are lost however
    large the mean is.  (Under the labelled-row law numbers are subtracted: the error is some 1e-13 of the expectation.)
    All 361 graphs up to degree four take 0.6 s once and 0.3 ms for each further law.
    Source: Brillinger, *Time Series: Data Analysis and Theory* (1981), section 2.3.

    Examples
    --------
    Independent entries of variance 1: the trace has variance D, and is not correlated with the squared norm.

    >>> from pigmm import SimpleGaussian
    >>> cumulant(["00+00", "00+01.01", "01.01"], SimpleGaussian(0.0, 1.0, shape=10)).round(9)
    array([ 10.,   0., 100.])

    With a mean of 5 they are: Cov(tr W, Σ W²) = 2 m σ² D.

    >>> cumulant("00+01.01", SimpleGaussian(5.0, 1.0, shape=10)).round(9)
    array([100.])
    """
    graphs = _checked(graphs)
    return _predicted(tuple(g.components for g in graphs), graphs, law)


def covariance(graphs: Graphs, law: Any) -> Array:
    r"""Covariance matrix of invariants under a law, exactly: :math:`E[I_G I_H] - E[I_G]\,E[I_H]`.

    Parameters
    ----------
    graphs : InvariantGraph, str, or an iterable of them
        n invariants, connected or not; two of them together may have degree 15.
    law : GaussianMatrixModel, TwoSidedGaussian, SimpleGaussian or LabelledRowGaussian

    Returns
    -------
    ndarray, shape (n, n)
        Of one matrix; divide by R for the covariance of averages over R matrices.

    Raises
    ------
    PigmmError
        As :func:`pigmm.expectation`, and when two invariants together exceed its degree.

    Notes
    -----
    A product of two invariants is the invariant of both graphs side by side, of twice the degree, and the cost is that
    of :func:`pigmm.expectation` for n(n+1)/2 of these.  On one core, the first time (later calls take milliseconds):

    * bipartite graphs and a two-sided law: the 48 of degree 1 to 4 take 1.5 s, the 91 of degree 5 36 s and 0.6 GB;
    * thirteen parameters: the 13 of degree 1 and 2 take 0.1 s, the 65 of degree 1 to 3 11 s and 0.8 GB.  Two quartic
      graphs together have degree 8, 0.2 s for the first and 44,000 for all: measure those instead, by
      ``np.cov(evaluate(graphs, law.sample(R)).T)``.

    Examples
    --------
    >>> from pigmm import SimpleGaussian
    >>> covariance(["00", "01", "01.01"], SimpleGaussian(0.0, 1.0, shape=10)).round(9)
    array([[ 10.,  10.,   0.],
           [ 10., 100.,   0.],
           [  0.,   0., 200.]])
    """
    graphs = as_graphs(graphs)
    upper = np.triu_indices(len(graphs))
    values = np.empty((len(graphs), len(graphs)))
    pairs = tuple((graphs[i].name, graphs[j].name) for i, j in zip(*upper, strict=True))
    values[upper] = _predicted(pairs, graphs, law)
    values.T[upper] = values[upper]
    return values


def cumulant_from_means(graphs: Graphs, means: Mapping[str, ArrayLike]) -> Array:
    """Joint cumulants of components from averages of invariants, as an archive keeps them.

    Parameters
    ----------
    graphs : InvariantGraph, str, or an iterable of them
        n invariants of at most eight components.
    means : mapping
        Average of each invariant, by canonical name: of the graphs and of every choice of their components.  Numbers,
        or arrays of one shape, such as one number an epoch.

    Returns
    -------
    ndarray, shape (..., n)
        The error is some 1e-16 of the averages, not of the cumulant: from matrices use :func:`measured_cumulant`.

    Raises
    ------
    PigmmError
        If an average is missing.

    Examples
    --------
    >>> cumulant_from_means("00+00", {"00": [1.0, 3.0], "00+00": [5.0, 9.5]})
    array([[4. ],
           [0.5]])
    """
    graphs = _checked(graphs)
    sets = tuple(g.components for g in graphs)
    if missing := [g.name for g in _unions(sets) if g.name not in means]:
        raise PigmmError.of("means", got=f"no average of {', '.join(missing[:5])}", allowed="one for every product")
    moments = {g: np.asarray(means[g.name], dtype=np.float64) for g in _unions(sets)}
    known: dict[Parts, Any] = {}
    return np.stack([_joint(parts, lambda p: moments[_union(p)], known) for parts in sets], axis=-1)


# --- measured: numbers that carry the influence of every matrix -------------------------------------------------------


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
    return [first[g.name] if g.connected else _joint(g.components, moment, known) for g in graphs]


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
    graphs = _checked(graphs)
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
    graphs = _checked(graphs)
    given = as_matrices(W, min_runs=2)
    batch, units = _scaled(graphs, given)
    measured = _measured(graphs, batch)
    if isinstance(law, MatrixLaw):
        if law.shape != batch.shape[1:]:
            raise PigmmError.of("law", got=f"shape {law.shape}", allowed=f"the shape of the matrices {batch.shape[1:]}")
        still = np.zeros(len(batch))
        expected = [_Influenced(value, still) for value in cumulant(graphs, law) / units]
        return _estimate([m - e for m, e in zip(measured, expected, strict=True)], units)
    fitted = _fitted(batch, law)
    if abs(batch.mean()) > 1e5 * batch.std():
        raise PigmmError.of(
            "W", got="a mean that is more than 1e5 times the spread", allowed="less",
            fix="Subtract a constant from all weights: whether the law is Gaussian does not depend on it.",
        )  # fmt: skip
    unions = _unions(g.components for g in graphs)
    moments = dict(zip(unions, _expectations(unions, batch, fitted), strict=True))
    known: dict[Parts, _Influenced] = {}
    out = []
    for graph, seen, value in zip(graphs, measured, cumulant(graphs, fitted), strict=True):
        slope = _joint(graph.components, lambda p: moments[_union(p)], known)
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
