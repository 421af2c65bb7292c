"""Slow and obviously right versions of what the package does fast; the tests compare the two."""

from __future__ import annotations

import itertools

import numpy as np

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
