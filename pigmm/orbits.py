r"""Averages over an orbit: what joint invariants are worth when rows and columns are relabelled separately.

Relabel the columns of one matrix at random.  A law with separate symmetry gives all of these relabellings, the orbit of
the matrix, the same weight.  So whatever the law is, under the null and given the orbits, the mean of a joint invariant
is its average over the orbit, and that is a combination of bipartite invariants, which no relabelling changes.

Take a graph G. Its nodes with edges going out are rows, those with edges coming in are columns, and a node that is
both says that a row and a column have the same number. Sort the terms of :math:`I_G` by which rows coincide (a set
partition σ) and which columns do (τ). A random relabelling makes o given columns meet o given rows with probability
:math:`1/(D)_o = 1/(D (D-1) \cdots (D-o+1))`, so

.. math:: \langle I_G \rangle_{\text{orbit}} = \sum_{σ, τ} \frac{1}{(D)_{o(σ, τ)}} \sum_{σ' \ge σ,\, τ' \ge τ}
   μ(σ, σ')\, μ(τ, τ')\, I_{B(σ', τ')},

with the Möbius function μ of set partitions, which turns sums over distinct indices into free ones, and the bipartite
graph B that is left of G when its rows are merged by σ' and its columns by τ'. Pairs (σ, τ) in which a row would have
to meet two columns, or a column two rows, drop out.

Products of two of the eight contrasts of :func:`pigmm.symmetry_test` are of degree four at most, so their covariance
under the null follows from the 48 bipartite invariants of degree one to four, which archives keep: exactly, for any
law, and without an error of its own. Hotelling's T² instead takes it from as many samples as there are networks;
where two contrasts are nearly proportional, as x2 and x1 x2 are in wide layers whose x1 hardly varies, that can go
far astray.
"""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Iterable, Mapping
from dataclasses import replace
from functools import lru_cache
from typing import Any

import numpy as np
from numpy.typing import ArrayLike
from scipy import stats

from .errors import PigmmError
from .graphs import InvariantGraph, as_graphs
from .invariants import evaluate
from .irreps import Array, Diagonal, as_matrices, sufficient_statistics
from .layout import STATISTICS, archived_bipartite
from .mixtures import set_partitions
from .moments import Moments
from .symmetry import SymmetryTest, symmetry_from_moments
from .tables import unit

__all__ = ["contrast_covariance", "orbit_averages", "orbit_test", "orbit_test_from_moments"]

MAX_DEGREE = 4
ALIKE = 1e-6  # a combination of contrasts that varies less than this is zero but for rounding, and is left out
# What the contrasts are made of: trace and sum, their products, and the sums over products of two entries.
_GRAPHS = (
    "00", "01", "00+00", "00+01", "01+01", "01.02", "01.21", "01.12", "00.00", "00.01", "00.10", "01.01", "01.10",
)  # fmt: skip


def orbit_averages(graphs: InvariantGraph | str | Iterable[InvariantGraph | str], W: ArrayLike) -> Array:
    """Average of joint invariants over all relabellings of the columns of each matrix.

    Parameters
    ----------
    graphs : InvariantGraph, str, or an iterable of them
        n invariants of degree 1 to 4.
    W : array, (R, D, D)

    Returns
    -------
    ndarray, shape (R, n)
        In units of weight to the power of the degree; over all D! relabellings, at the price of a few bipartite
        invariants.

    Raises
    ------
    PigmmError
        For matrices that are not square, and degrees beyond four.

    Examples
    --------
    The trace is a sum of D of the D² entries, so its average is the sum of all of them over D.

    >>> orbit_averages(["00", "00.00", "01.10"], [[[1.0, 2.0], [3.0, 4.0]]])
    array([[ 5., 15., 25.]])
    """
    graphs, batch = as_graphs(graphs), as_matrices(W, square=True)
    for graph in graphs:
        if graph.degree > MAX_DEGREE:
            raise PigmmError.of("graphs", got=f"{graph.name} of degree {graph.degree}", allowed="degree 1 to 4")
    names = tuple(dict.fromkeys(name for graph in graphs for name, _, _ in _terms(graph.name)))
    values = dict(zip(names, evaluate(names, batch).T, strict=True))
    return np.stack([_average(graph.name, values, batch.shape[1]) for graph in graphs], axis=-1)


@lru_cache(maxsize=4096)
def _terms(name: str) -> tuple[tuple[str, int, int], ...]:
    """The average of a joint invariant: names of bipartite graphs, how many columns meet given rows, coefficients."""
    edges = InvariantGraph(name).edges
    rows, columns = (tuple(sorted({edge[end] for edge in edges})) for end in (0, 1))
    both = set(rows) & set(columns)
    found: Counter[tuple[tuple[tuple[int, int], ...], int]] = Counter()
    for fine_row, row, row_sign in _mergers(rows):
        for fine_column, column, column_sign in _mergers(columns):
            meet = {(fine_row[v], fine_column[v]) for v in both}
            if len({r for r, _ in meet}) == len(meet) == len({c for _, c in meet}):
                merged = tuple((row[i], ~column[j]) for i, j in edges)  # negative numbers: columns are other nodes
                found[merged, len(meet)] += row_sign * column_sign
    total: Counter[tuple[str, int]] = Counter()
    for (merged, meeting), coefficient in found.items():
        total[InvariantGraph.from_edges(merged).name, meeting] += coefficient
    return tuple((graph, meeting, coefficient) for (graph, meeting), coefficient in total.items() if coefficient)


@lru_cache(maxsize=64)
def _mergers(nodes: tuple[int, ...]) -> tuple[tuple[dict[int, int], dict[int, int], int], ...]:
    """All σ and σ' ≥ σ, as the number of the block of each node, with the Möbius function from σ to σ'."""
    found = []
    for fine in set_partitions(nodes):
        block = {node: k for k, part in enumerate(fine) for node in part}
        for coarse in set_partitions(tuple(range(len(fine)))):
            merged = {k: n for n, part in enumerate(coarse) for k in part}
            sign = math.prod((-1) ** (len(part) - 1) * math.factorial(len(part) - 1) for part in coarse)
            found.append((block, {node: merged[k] for node, k in block.items()}, sign))
    return tuple(found)


def _average(name: str, values: Mapping[str, Any], dim: int) -> Any:
    """The terms added up; more columns than there are meet nothing."""
    terms = ((c / math.perm(dim, meeting), graph) for graph, meeting, c in _terms(name) if meeting <= dim)
    return sum(weight * values[graph] for weight, graph in terms)


def contrast_covariance(means: Mapping[str, float], dim: int) -> Array:
    """Covariance of the eight contrasts of one matrix over its orbit, or its average over matrices.

    Parameters
    ----------
    means : mapping
        Averages of the bipartite invariants of degree 1 to 4 over an ensemble, by canonical name.
    dim : int
        D, at least 4.

    Returns
    -------
    ndarray, shape (8, 8)
        Divided by R it is the covariance of the mean contrasts of R independent matrices, whatever their law.

    Examples
    --------
    All permutation matrices are one orbit: their traces, numbers of fixed points, have mean 1 and variance 1.

    >>> from pigmm.layout import archived_bipartite
    >>> names = [graph.name for graph in archived_bipartite()]
    >>> means = dict(zip(names, evaluate(names, np.eye(5)[None])[0]))
    >>> float(contrast_covariance(means, 5)[0, 0].round(9))    # x2 is the trace less its mean, over sqrt(D - 1)
    0.25
    """
    C = _contrasts(dim)
    products = np.array([[_average(InvariantGraph(f"{g}+{h}").name, means, dim) for h in _GRAPHS] for g in _GRAPHS])
    return C @ products @ C.T


def _contrasts(dim: int) -> Array:
    """The eight contrasts as combinations of the invariants ``_GRAPHS``, (8, 13)."""
    _, VH, V2, V3 = (block.dim for block in Diagonal(dim).blocks)
    one = dict(zip(_GRAPHS, np.eye(len(_GRAPHS)), strict=True))
    sums = {"r": "01", "c": "01", "d": "00"}  # of row sums, column sums, diagonal entries
    inner = {"rr": "01.02", "cc": "01.21", "cr": "01.12", "dd": "00.00", "dr": "00.01", "cd": "00.10"}

    def centred(a: str, b: str) -> Array:  # inner product of two of these vectors, each less its mean
        product = "+".join(sorted((sums[a], sums[b])))
        return one[inner["".join(sorted(a + b))]] - one[product] / dim

    root, g = math.sqrt(dim), math.sqrt(dim / (dim - 2))
    u = {1: {"c": 1 / root}, 2: {"r": 1 / root}, 3: {"d": g, "r": -g / dim, "c": -g / dim}}

    def dot(a: int, b: int) -> Array:
        return sum((x * y * centred(p, q) for p, x in u[a].items() for q, y in u[b].items()), np.zeros(len(_GRAPHS)))

    x2 = (one["00"] - one["01"] / dim) / math.sqrt(dim - 1)
    x1x1, x1x2 = one["01+01"] / dim**2, (one["00+01"] / dim - one["01+01"] / dim**2) / math.sqrt(dim - 1)
    x2x2 = (one["00+00"] - 2 * one["00+01"] / dim + one["01+01"] / dim**2) / (dim - 1)
    plus = one["01.01"] - x1x1 - x2x2 - dot(1, 1) - dot(2, 2) - dot(3, 3)
    minus = one["01.10"] - x1x1 - x2x2 - 2 * dot(1, 2) - dot(3, 3)
    A, S = (plus - minus) / 2 / V3, (plus + minus) / 2 / V2
    return np.stack([x2, x1x2, dot(1, 2) / VH, dot(1, 3) / VH, dot(2, 3) / VH, x2x2 - A, dot(3, 3) / VH - A, S - A])


def orbit_test(W: ArrayLike) -> SymmetryTest:
    r"""Are rows and columns relabelled separately without changing the law?  With the exact covariance of the nulls.

    :math:`χ^2 = R\, \bar y^{\mathsf T} C^{-1} \bar y` with the mean contrasts and their covariance over the orbits
    of these very matrices.  Under the null its mean is 8 for every law and every R; only that it is distributed as a
    sum of eight squares is the central limit theorem's, so that few runs suffice.  :func:`pigmm.symmetry_test` is exact
    in its p-value too, but needs hundreds of relabellings of all matrices; from averages alone this test can be had.

    Parameters
    ----------
    W : array, (R, D, D)
        R at least 12, D at least 4.

    Returns
    -------
    SymmetryTest
        ``statistic`` is χ², ``pvalue`` its tail with eight degrees of freedom (fewer where contrasts are proportional
        to each other), ``errors`` are those of the orbits; ``f`` and ``p_f`` remain those of Hotelling's T².

    Raises
    ------
    PigmmError
        As :func:`pigmm.symmetry_test`.

    Examples
    --------
    >>> from pigmm import SimpleGaussian
    >>> W = SimpleGaussian(0.0, 0.1, shape=6).sample(300, seed=0)
    >>> bool(orbit_test(W).pvalue > 0.001)
    True
    >>> W[:, range(6), range(6)] += 0.2              # now the diagonal is special
    >>> bool(orbit_test(W).pvalue < 1e-6)
    True
    """
    batch = as_matrices(W, square=True, min_dim=4)
    scale = unit(batch) if batch.any() else 1.0
    batch = batch / scale
    test = orbit_test_from_moments(
        Moments.of(sufficient_statistics(batch), STATISTICS),
        Moments.of(evaluate(archived_bipartite(), batch), 0), batch.shape[1],
    )  # fmt: skip
    back = scale ** np.array([1, 2, 2, 2, 2, 2, 2, 2])  # the first contrast is linear in the weights
    return replace(test, values=test.values * back, errors=test.errors * back)


def orbit_test_from_moments(features: Moments, bipartite: Moments, dim: int) -> SymmetryTest:
    """:func:`orbit_test` from averages, as archives keep them: of the 13 statistics and the 48 bipartite invariants."""
    plain = symmetry_from_moments(features)
    names = [graph.name for graph in archived_bipartite()]
    covariance = contrast_covariance(dict(zip(names, bipartite.mean, strict=True)), dim) / plain.runs
    variances = np.diag(covariance)
    if not (variances > 0).all():
        raise PigmmError.of(
            "W", got="contrasts that no relabelling changes, within rounding", allowed="matrices with rows that differ",
            fix="If their mean is thousands of times the spread, subtract a constant from all weights first.",
        )  # fmt: skip
    errors = np.sqrt(variances)
    z, correlation = plain.values / errors, covariance / np.outer(errors, errors)
    size, direction = np.linalg.eigh(correlation)
    kept = size > ALIKE
    statistic = float(((z @ direction[:, kept]) ** 2 / size[kept]).sum())
    return replace(plain, statistic=statistic, pvalue=float(stats.chi2.sf(statistic, kept.sum())), errors=errors)
