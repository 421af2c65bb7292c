"""Slow and obviously right versions of what the package does fast; the tests compare the two."""

from __future__ import annotations

import itertools

import numpy as np

from pigmm import wick
from pigmm.graphs import InvariantGraph


def evaluate(graph: InvariantGraph, W: np.ndarray) -> float:
    """One invariant of one D×D matrix: the sum over every assignment of 0 … D-1 to the nodes."""
    total = 0.0
    for index in itertools.product(range(len(W)), repeat=graph.nodes):
        total += np.prod([W[index[i], index[j]] for i, j in graph.edges])
    return total


def evaluate_array(graph: InvariantGraph, W: np.ndarray) -> np.ndarray:
    """The same for a batch (R, D, D): one einsum over all nodes at once, in no clever order."""
    nodes = "abcdefghijkl"
    terms = ",".join(f"R{nodes[i]}{nodes[j]}" for i, j in graph.edges)
    return np.einsum(f"{terms}->R", *[W] * graph.degree, optimize=False)


def expectation(graph: InvariantGraph, parameters: np.ndarray, dim: int) -> float:
    """E[graph] as a sum over partial matchings of its edges, with every delta merging nodes (union-find).

    A single edge gives a, or b with its two ends merged; a pair gives c_P with its four ends merged as P says;
    each class of nodes that is left gives a factor D.  1051 matchings-with-choices for most quartics.
    """
    a, b, *c = wick.coefficients(parameters, dim)
    single = [(a, (0, 1)), (b, (0, 0))]
    pair = [(c[n], tuple(map(int, p))) for n, members in enumerate(wick.CLASSES) for p in members]
    total = 0.0
    for matching in partial_matchings(list(graph.edges)):
        for choice in itertools.product(*(single if len(block) == 1 else pair for block in matching)):
            parent = {n: n for n in range(graph.nodes)}

            def root(n, parent=parent):
                return n if parent[n] == n else root(parent[n])

            weight = 1.0
            for block, (coefficient, pattern) in zip(matching, choice, strict=True):
                weight *= coefficient
                ends = [n for edge in block for n in edge]
                for position, digit in enumerate(pattern):
                    parent[root(ends[position])] = root(ends[pattern.index(digit)])
            total += weight * dim ** len({root(n) for n in parent})
    return total


def partial_matchings(items: list) -> list[list[tuple]]:
    """All ways to split the items into singles and pairs."""
    if not items:
        return [[]]
    first, rest = items[0], items[1:]
    alone = [[(first,), *m] for m in partial_matchings(rest)]
    paired = [[(first, rest[n]), *m] for n in range(len(rest)) for m in partial_matchings(rest[:n] + rest[n + 1 :])]
    return alone + paired
