r"""Expectations of graphs as polynomials, by deletion and contraction.

For a Gaussian matrix an expectation of a product is a sum over partial matchings of the factors: a single factor gives
its mean, a pair its covariance.  Under permutation invariance both are sums of Kronecker deltas, and in the graph of an
invariant a delta merges nodes.  With e the first edge of G, and P running over the deltas of the covariance,

.. math:: E[G] = a\,E[G - e] + b\,E[(G - e)/e] + \sum_{f \ne e} \sum_P c_P\, E[(G - e - f)/P].

A node that has lost all its edges is a free sum, a factor M (rows) or N (columns).  Run once on symbols this makes each
expectation a polynomial with integer coefficients in the coefficients of the deltas and in M and N, remembered for the
smaller graphs.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from functools import lru_cache

import numpy as np
from numpy.typing import NDArray

from .errors import PigmmError
from .graphs import Edges, InvariantGraph, name_of

__all__ = ["CLASSES", "DIAGONAL", "TWO_SIDED", "Rules", "Table", "table"]

MAX_DEGREE = 15

CLASSES: tuple[tuple[str, ...], ...] = (
    ("0000",),
    ("0001", "0100"),
    ("0010", "0111"),
    ("0011",),
    ("0012", "0122"),
    ("0101",),
    ("0102",),
    ("0110",),
    ("0112", "0120"),
    ("0121",),
    ("0123",),
)
"""The 15 set partitions of (i, j, k, l) as restricted-growth strings, in 11 classes that share a coefficient."""


@dataclass(frozen=True)
class Rules:
    """Which deltas make up mean and covariance: pairs of a variable and a pattern over (i, j) or (i, j, k, l)."""

    name: str
    mean: tuple[tuple[int, str], ...]
    covariance: tuple[tuple[int, str], ...]

    @property
    def variables(self) -> int:
        """Number of coefficients."""
        return 1 + max(v for v, _ in self.mean + self.covariance)


DIAGONAL = Rules(
    "diagonal", ((0, "01"), (1, "00")), tuple((2 + c, p) for c, members in enumerate(CLASSES) for p in members)
)
"""Joint relabelling of rows and columns: a, b and the c of the eleven :data:`CLASSES`."""

TWO_SIDED = Rules("two-sided", ((0, "01"),), ((1, "0123"), (2, "0102"), (3, "0121"), (4, "0101")))
"""Separate relabelling: m, p, q (same row), r (same column), s (same entry).  Only for bipartite graphs."""


# A monomial is one int64: four bits for each exponent (up to 13 variables), then five bits for the power of M from bit
# 52 on and five for that of N from bit 57 on.  Multiplying by a monomial adds its key.
_ROWS, _COLUMNS = 52, 57
Polynomial = tuple[NDArray[np.int64], NDArray[np.int64]]  # keys, coefficients
_ONE: Polynomial = (np.zeros(1, np.int64), np.ones(1, np.int64))


@lru_cache(maxsize=1 << 17)
def _expectation(name: str, rules: Rules) -> Polynomial:
    """E[G]; G by its canonical name, the empty name standing for no edges."""
    if not name:
        return _ONE
    edges = InvariantGraph(name).edges
    first, rest = edges[0], edges[1:]
    columns = {j for _, j in edges} - {i for i, _ in edges}
    terms = [_contract(rest, edges, columns, first, pattern, variable, rules) for variable, pattern in rules.mean]
    for at, other in enumerate(rest):
        left = rest[:at] + rest[at + 1 :]
        for variable, pattern in rules.covariance:
            terms.append(_contract(left, edges, columns, (*first, *other), pattern, variable, rules))
    keys, coefs = (np.concatenate(part) for part in zip(*terms, strict=True))
    keys, where = np.unique(keys, return_inverse=True)
    return keys, np.bincount(where, weights=coefs).astype(np.int64)


def _contract(
    left: Edges, edges: Edges, columns: set[int], ends: tuple[int, ...], pattern: str, variable: int, rules: Rules
) -> Polynomial:
    """variable · E[the edges that are left, with ``ends`` merged by ``pattern``]; free nodes are factors M and N."""
    node = {n: n for e in edges for n in e}
    for at, digit in enumerate(pattern):
        keep, drop = node[ends[pattern.index(digit)]], node[ends[at]]
        if keep != drop:
            node = {n: keep if m == drop else m for n, m in node.items()}
    now = tuple((node[i], node[j]) for i, j in left)
    free = set(node.values()) - {n for e in now for n in e}
    keys, coefs = _expectation(name_of(now) if now else "", rules)
    sides = (len(free - columns) << _ROWS) + (len(free & columns) << _COLUMNS)
    return keys + ((1 << (4 * variable)) + sides), coefs


@dataclass(frozen=True, eq=False)
class Table:
    """Polynomials of several graphs: monomials as lists of factors, and the coefficient of each in each graph.

    ``factors`` (monomials, degree) names the variables of each monomial, padded with ``variables``, which stands for 1.
    """

    variables: int
    factors: NDArray[np.intp]
    entries: tuple[NDArray[np.int64], ...] = field(repr=False)  # graph, monomial, power of M, power of N, coefficient
    graphs: int

    def monomials(self, coefficients: NDArray[np.float64]) -> NDArray[np.float64]:
        """Values (..., monomials) at coefficients (..., variables)."""
        symbols = self.with_one(coefficients)
        values = symbols[..., self.factors[:, 0]]
        for column in self.factors.T[1:]:
            values = values * symbols[..., column]
        return values

    def slopes(self, coefficients: NDArray[np.float64]) -> NDArray[np.float64]:
        """Derivatives (monomials, variables) at coefficients (variables,), by the product rule."""
        value = self.with_one(coefficients)[self.factors]
        slope = np.zeros((len(self.factors), self.variables + 1))
        for at in range(self.factors.shape[1]):
            others = np.delete(value, at, axis=1).prod(axis=1)
            np.add.at(slope, (np.arange(len(self.factors)), self.factors[:, at]), others)
        return slope[:, : self.variables]

    @staticmethod
    def with_one(coefficients: NDArray[np.float64]) -> NDArray[np.float64]:
        return np.concatenate([coefficients, np.ones((*coefficients.shape[:-1], 1))], axis=-1)


@lru_cache(maxsize=64)
def table(graphs: tuple[InvariantGraph, ...], rules: Rules) -> Table:
    """The table of these graphs; the 348 cubic and quartic ones take about 0.2 s, a second call nothing."""
    highest = max(g.degree for g in graphs)
    if highest > MAX_DEGREE:
        raise PigmmError.of("graphs", got=f"degree {highest}", allowed=f"at most {MAX_DEGREE}")
    polynomials = [_expectation(g.name, rules) for g in graphs]
    row = np.repeat(np.arange(len(graphs)), [len(keys) for keys, _ in polynomials])
    keys, coefs = (np.concatenate(part) for part in zip(*polynomials, strict=True))
    monomials, column = np.unique(keys & ((1 << _ROWS) - 1), return_inverse=True)
    exponents = monomials[:, None] >> (4 * np.arange(rules.variables)) & 15
    factors = np.full((len(monomials), highest), rules.variables)
    for m, e in enumerate(exponents):
        factors[m, : e.sum()] = np.repeat(np.arange(rules.variables), e)
    return Table(rules.variables, factors, (row, column, keys >> _ROWS & 31, keys >> _COLUMNS, coefs), len(graphs))
