r"""Expectations of invariants when the rows (or the columns) carry labels: :class:`pigmm.LabelledRowGaussian`.

With ``E W_ij = mu_i`` and ``Cov(W_ij, W_kl) = A_ik + d_jl B_ik`` an expectation is again a sum over partial matchings
of the edges (Isserlis), but only columns can be merged by a delta: rows are summed over their labels.  A term is a
product of entries of mu, A and B, summed over the nodes that are rows, times N for every other node.  For example

.. math:: E \sum_{ij} W_{ij}^2 = N \sum_i (\mu_i^2 + A_{ii} + B_{ii}) .
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from functools import lru_cache
from itertools import product

import numpy as np

from .errors import PigmmError
from .graphs import Edges, InvariantGraph
from .irreps import Array, LabelledRows
from .models import LabelledRowGaussian

__all__ = ["expectation", "influence"]

MAX_DEGREE = 6  # 331 terms of up to six factors in a graph
LETTERS = "abcdefghijklmnop"
Term = tuple[tuple[tuple[str, str], ...], int]  # factors (name of the array, its subscripts), power of N


def partial_matchings(items: tuple[int, ...]) -> Iterator[tuple[tuple[int, ...], ...]]:
    """All ways to split the items into singles and pairs.

    Examples
    --------
    >>> list(partial_matchings((0, 1, 2)))
    [((0,), (1,), (2,)), ((0,), (1, 2)), ((0, 1), (2,)), ((0, 2), (1,))]
    """
    if not items:
        yield ()
        return
    first, rest = items[0], items[1:]
    yield from (((first,), *others) for others in partial_matchings(rest))
    for at, partner in enumerate(rest):
        yield from (((first, partner), *others) for others in partial_matchings(rest[:at] + rest[at + 1 :]))


@lru_cache(maxsize=4096)
def _terms(edges: Edges) -> tuple[Term, ...]:
    terms = []
    for matching in partial_matchings(tuple(range(len(edges)))):
        pairs = [block for block in matching if len(block) == 2]
        for kinds in product("AB", repeat=len(pairs)):
            node = {n: n for edge in edges for n in edge}
            for (e, f), kind in zip(pairs, kinds, strict=True):
                keep, drop = node[edges[e][1]], node[edges[f][1]]
                if kind == "B" and keep != drop:  # a delta between the two columns
                    node = {n: keep if m == drop else m for n, m in node.items()}
            kind_of: dict[tuple[int, ...], str] = dict(zip(pairs, kinds, strict=True))
            rows = [[node[edges[e][0]] for e in block] for block in matching]
            factors = tuple(
                (kind_of.get(block, "mu"), "".join(LETTERS[n] for n in ends))
                for block, ends in zip(matching, rows, strict=True)
            )
            terms.append((factors, len(set(node.values()) - {n for ends in rows for n in ends})))
    return tuple(terms)


def _edges(graphs: Sequence[InvariantGraph], law: LabelledRowGaussian) -> list[Edges]:
    rows, columns = law.shape
    for graph in graphs:
        if rows != columns and graph.sides is None:
            raise PigmmError.of("graphs", got=f"{graph.name} for {rows}x{columns} matrices", allowed="bipartite graphs")
        if graph.degree > MAX_DEGREE:
            raise PigmmError.of("graphs", got=f"degree {graph.degree}", allowed=f"at most {MAX_DEGREE}")
    turned = law.labels == "columns"  # the invariant of a matrix is the reversed one of its transpose
    return [tuple((j, i) for i, j in graph.edges) if turned else graph.edges for graph in graphs]


def expectation(graphs: Sequence[InvariantGraph], law: LabelledRowGaussian) -> Array:
    """Exact expectations (n,); :func:`pigmm.expectation` is the public door.

    Examples
    --------
    >>> law = LabelledRowGaussian([1.0, 2.0], [[0.1, 0], [0, 0.1]], [[1, 0.5], [0.5, 1]], 3)
    >>> expectation([InvariantGraph("01.01")], law).round(6)      # 3 (1 + 4 + 0.2 + 2)
    array([21.6])
    """
    arrays = {"mu": law.mu, "A": law.A, "B": law.B}
    values = np.zeros(len(graphs))
    for k, edges in enumerate(_edges(graphs, law)):
        for factors, power in _terms(edges):
            subscripts = ",".join(indices for _, indices in factors)
            whole = np.einsum(f"{subscripts}->", *(arrays[name] for name, _ in factors), optimize=len(law.mu) > 16)
            values[k] += float(law.columns) ** power * whole
    return values


def _slopes(graphs: Sequence[InvariantGraph], law: LabelledRowGaussian) -> dict[str, Array]:
    """Derivatives with respect to every entry of mu (n, M), A and B (n, M, M)."""
    arrays = {"mu": law.mu, "A": law.A, "B": law.B}
    slopes = {name: np.zeros((len(graphs), *array.shape)) for name, array in arrays.items()}
    for k, edges in enumerate(_edges(graphs, law)):
        for factors, power in _terms(edges):
            for at, (name, indices) in enumerate(factors):
                others = [factor for n, factor in enumerate(factors) if n != at]
                ones = [np.ones(len(law.mu))] * len(set(indices))  # an index that no other factor carries
                subscripts = ",".join([*(letters for _, letters in others), *dict.fromkeys(indices)])
                slope = np.einsum(
                    f"{subscripts}->{''.join(dict.fromkeys(indices))}",
                    *(arrays[other] for other, _ in others), *ones, optimize=len(law.mu) > 16,
                )  # fmt: skip
                if name != "mu" and len(set(indices)) == 1:
                    slope = np.diag(slope)
                slopes[name][k] += float(law.columns) ** power * slope
    return slopes


def influence(graphs: Sequence[InvariantGraph], law: LabelledRowGaussian, W: Array) -> Array:
    """By how much each matrix moves the prediction of the law fitted to all of them, (R, n), to first order in 1/R."""
    x, contrasts = LabelledRows(len(law.mu), law.columns, law.labels).project(W)
    N = law.columns
    mean = x[..., 0] / np.sqrt(N)
    step = mean - mean.mean(axis=0)
    B = contrasts @ contrasts.swapaxes(1, 2) / (N - 1) - law.B
    A = step[:, :, None] * step[:, None, :] - (law.A + law.B / N) - B / N
    slopes = _slopes(graphs, law)
    moved: Array = step @ slopes["mu"].T
    for name, change in (("A", A), ("B", B)):
        moved = moved + np.einsum("rik,nik->rn", change, slopes[name], optimize=True)
    return moved
