"""Slow and obviously right versions of what the package does fast; the tests compare the two."""

from __future__ import annotations

import itertools
import math
from collections.abc import Iterator
from fractions import Fraction

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


def count_graphs(degree: int) -> int:
    """Number of multigraphs with that many edges by Burnside's lemma, without drawing any of them.

    Permutations of n = 2·degree labelled nodes act on the n² possible edges; a cycle of length l of that action is
    used m times at the cost of l·m edges, so each permutation fixes [x^degree] Π 1/(1 - x^l) multigraphs.
    """
    n = 2 * degree
    total = Fraction(0)
    for cycles in partitions(n):
        series = [1] + [0] * degree
        for a, b in itertools.product(cycles, repeat=2):
            length = math.lcm(a, b)
            for _ in range(math.gcd(a, b)):
                for power in range(length, degree + 1):
                    series[power] += series[power - length]
        repeats = [cycles.count(c) for c in set(cycles)]
        total += Fraction(series[degree], math.prod(cycles) * math.prod(map(math.factorial, repeats)))
    return int(total)


def partitions(n: int, largest: int | None = None) -> Iterator[tuple[int, ...]]:
    """Ways to write n as a sum of positive integers, order ignored."""
    if n == 0:
        yield ()
    for first in range(min(n, largest or n), 0, -1):
        for rest in partitions(n - first, first):
            yield (first, *rest)


def canonical_name(graph: InvariantGraph) -> str:
    """The smallest spelling over all numberings of each component's nodes."""
    names = []
    for component in graph.components:
        edges = [(int(e[0]), int(e[1])) for e in component.split(".")]
        numberings = itertools.permutations(range(1 + max(map(max, edges))))
        names.append(min(".".join(sorted(f"{p[i]}{p[j]}" for i, j in edges)) for p in numberings))
    return "+".join(sorted(names, key=lambda name: (len(name), name)))


def rank_modulo(matrix: np.ndarray, prime: int = 2_147_483_629) -> int:
    """Exact rank of an integer matrix modulo a prime: a lower bound for its rank, free of rounding."""
    rows = np.array(matrix, dtype=np.int64) % prime
    rank = 0
    for column in range(rows.shape[1]):
        pivots = np.flatnonzero(rows[rank:, column])
        if len(pivots):
            rows[[rank, rank + pivots[0]]] = rows[[rank + pivots[0], rank]]
            rows[rank] = rows[rank] * pow(int(rows[rank, column]), -1, prime) % prime
            below = rows[rank + 1 :]
            below -= below[:, column : column + 1] * rows[rank] % prime
            below %= prime
            rank += 1
            if rank == len(rows):
                break
    return rank


def moment_tensor(mean: np.ndarray, covariance: np.ndarray, degree: int) -> np.ndarray:
    """⟨w … w⟩ of a Gaussian vector, shape (n,) * degree, summed over partial matchings."""
    total = np.zeros((len(mean),) * degree)
    for matching in partial_matchings(list(range(degree))):
        operands = []
        for block in matching:
            operands += [mean if len(block) == 1 else covariance, list(block)]
        total += np.einsum(*operands, list(range(degree)))
    return total


def dense_expectation(graph: InvariantGraph, tensor: np.ndarray, dim: int) -> float:
    """Pick the entries of the moment tensor whose indices the graph identifies, and add them up."""
    indices = [n for edge in graph.edges for n in edge]
    return float(np.einsum(tensor.reshape((dim,) * (2 * graph.degree)), indices, []))
