r"""Gaussian scale mixtures: one random loudness for each matrix, each row or each column, and one more parameter.

.. math:: W_{ij} = m + \sqrt{s}\, X_{ij}, \qquad W_{ij} = m + \sqrt{s_i}\, X_{ij} \qquad\text{or}\qquad
   W_{ij} = m + \sqrt{s_j}\, X_{ij},

X a two-sided Gaussian law with mean zero, the s independent of it and of each other, lognormal with mean one and
variance ``spread``.  Whatever the spread, mean and second moments of W are those of ``base``: the law of X is solved
for, since what two rows share shrinks by the square of :math:`E \sqrt s`.

Expectations are exact.  For rows let v be the row nodes of a graph and n_v their degrees.  The factors
:math:`s_{i_v}^{n_v/2}` are independent between different rows, so their joint expectation is a sum over set partitions
of the row nodes, of the joint cumulants of the powers of one s, times deltas that merge the nodes:

.. math:: E[I_G] = \sum_{\sigma} \prod_{B \in \sigma} \kappa\big(s^{n_v/2} : v \in B\big)\; E_X[I_{G/\sigma}].

Lognormal, since loudness multiplies: its moments, fractional ones too, are :math:`E s^p = (1 + spread)^{p(p-1)/2}`.
With one scale per matrix quartic invariants only know :math:`E s^2 = 1 + spread`, whatever the distribution.
"""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from functools import cached_property, lru_cache
from itertools import combinations

import numpy as np
from numpy.typing import ArrayLike
from scipy import special

from . import wick
from .errors import PigmmError
from .graphs import InvariantGraph, as_graphs, name_of
from .irreps import Array, TwoSided, two_sided_statistics
from .models import TwoSidedGaussian

__all__ = ["KINDS", "ScaleMixture", "log_density", "set_partitions"]

KINDS = ("matrix", "row", "column")
MAX_DEGREE = 6
Graphs = InvariantGraph | str | Iterable[InvariantGraph | str]
Term = tuple[int, int, int, tuple[tuple[int, ...], ...], str]  # edges that are m, free rows and columns, blocks, graph
_NODES = (-8 + 0.7 * np.arange(44))[None]  # of the integral over log s, in widths of its peak


# --- expectations: sums over merged graphs ----------------------------------------------------------------------------


def set_partitions(items: tuple) -> Iterator[tuple[tuple, ...]]:
    """All ways to split the items into blocks.

    Examples
    --------
    >>> [len(list(set_partitions(tuple(range(n))))) for n in (0, 1, 2, 3, 4)]
    [1, 1, 2, 5, 15]
    """
    if not items:
        yield ()
        return
    first, rest = items[0], items[1:]
    for size in range(len(rest) + 1):
        for friends in combinations(rest, size):
            left = tuple(x for x in rest if x not in friends)
            yield from (((first, *friends), *others) for others in set_partitions(left))


@lru_cache(maxsize=4096)
def _terms(name: str, kind: str) -> tuple[tuple[Term, int], ...]:
    """E[I_G] as a sum of products: which edges are the mean, how scaled nodes merge, which Gaussian graph is left."""
    edges = InvariantGraph(name).edges
    side = 1 if kind == "column" else 0
    found: Counter[Term] = Counter()
    for size in range(0, len(edges) + 1, 2):  # an odd number of centred Gaussian factors averages to zero
        for moving in combinations(edges, size):
            rows, columns = (len({e[end] for e in edges} - {e[end] for e in moving}) for end in (0, 1))
            degree = Counter(e[side] for e in moving)
            if kind == "matrix":
                found[len(edges) - size, rows, columns, ((size,),), name_of(moving) if moving else ""] += 1
                continue
            for partition in set_partitions(tuple(degree)):
                blocks = tuple(sorted(tuple(sorted(degree[v] for v in block)) for block in partition))
                node = {v: block[0] for block in partition for v in block}
                merged = [tuple(node.get(n, n) if end == side else n for end, n in enumerate(e)) for e in moving]
                found[len(edges) - size, rows, columns, blocks, name_of(merged) if merged else ""] += 1
    return tuple(found.items())


@lru_cache(maxsize=64)
def _plan(
    graphs: tuple[InvariantGraph, ...], kind: str
) -> tuple[list[tuple[tuple[Term, int], ...]], tuple[InvariantGraph, ...]]:
    """The terms of every graph, and the graphs whose Gaussian expectations they need."""
    terms = [_terms(graph.name, kind) for graph in graphs]
    names = dict.fromkeys(term[4] for some in terms for term, _ in some if term[4])
    return terms, tuple(map(InvariantGraph, names))


def _moment(power: float, spread: float) -> float:
    """E s^power."""
    return math.exp(0.5 * power * (power - 1) * math.log1p(spread))


@lru_cache(maxsize=1 << 14)
def _cumulant(degrees: tuple[int, ...], spread: float) -> float:
    """Joint cumulant of s^(n/2), n in degrees."""
    total = 0.0
    for partition in set_partitions(tuple(range(len(degrees)))):
        sign = (-1) ** (len(partition) - 1) * math.factorial(len(partition) - 1)
        total += sign * math.prod(_moment(0.5 * sum(degrees[k] for k in block), spread) for block in partition)
    return total


# --- the law ----------------------------------------------------------------------------------------------------------


@dataclass(frozen=True, eq=False)
class ScaleMixture:
    r"""A Gaussian law whose matrices, rows or columns have a random scale with mean one and variance ``spread``.

    Parameters
    ----------
    base : TwoSidedGaussian
        Mean and variances of W (not of X): with spread 0 the law itself.
    kind : "matrix", "row" or "column"
    spread : float
        cv² of the scale, not negative.
    spread_error : float
        Standard error where the spread was fitted, else NaN.

    Raises
    ------
    PigmmError
        For other arguments, and where the second moments of ``base`` leave no room for this spread.

    Examples
    --------
    The squared norm of n = 4 x 5 entries of variance one: E[(ΣW²)²] = (n² + 2n) E[s²].

    >>> law = ScaleMixture(TwoSidedGaussian([0, 1, 1, 1, 1], (4, 5)), "matrix", 0.5)
    >>> law.expectation(["01.01", "01.01+01.01"]).round(9)
    array([ 20., 660.])

    Examples
    --------
    >>> law.shape, law.hidden.shape, law.deviation(["01.01", "01.01+01.01"]).round(9)
    ((4, 5), (4, 5), array([  0., 220.]))
    >>> W = law.sample(100, seed=0)
    >>> bool(law.log_likelihood(W).mean() > law.base.log_likelihood(W).mean())
    True
    """

    base: TwoSidedGaussian
    kind: str
    spread: float
    spread_error: float = math.nan

    def __post_init__(self) -> None:
        if not isinstance(self.base, TwoSidedGaussian):
            raise PigmmError.of("base", got=type(self.base).__name__, allowed="a TwoSidedGaussian")
        if self.kind not in KINDS:
            raise PigmmError.of("kind", got=self.kind, allowed="'matrix', 'row' or 'column'")
        if isinstance(self.spread, bool) or not isinstance(self.spread, float | int) or not 0 <= self.spread < 1e6:
            raise PigmmError.of("spread", got=self.spread, allowed="a number from 0 to a million")
        variances = self._variances
        if variances.min() < -1e-12 * variances.max():
            raise PigmmError.of(
                "spread", got=self.spread, allowed=f"less, for these second moments and one scale per {self.kind}",
                fix=f"If the scales differed this much, {self.kind}s would share less than they do.",
            )  # fmt: skip

    @property
    def shape(self) -> tuple[int, int]:
        """(M, N)."""
        return self.base.shape

    @cached_property
    def _variances(self) -> Array:
        """v00, vr, vc, vrc of X."""
        (M, N), (_, v00, vr, vc, s) = self.shape, self.base.parameters
        if self.kind == "matrix":
            return self.base.parameters[1:]
        p, q, r = (v00 - vr - vc + s) / (M * N), (vr - s) / N, (vc - s) / M  # no relation, same row, same column
        apart = _moment(0.5, self.spread) ** 2  # E of the root scales of two different rows
        p, within = p / apart, p - p / apart
        if self.kind == "row":
            q, r, s = q + within, r / apart, s + r - r / apart
        else:
            r, q, s = r + within, q / apart, s + q - q / apart
        return np.array([s + N * q + M * r + M * N * p, s + N * q, s + M * r, s])

    @cached_property
    def hidden(self) -> TwoSidedGaussian:
        """The law of m + X, before scaling: that for which W has the second moments of ``base``."""
        variances = np.maximum(self._variances, 0)
        return TwoSidedGaussian(np.concatenate([self.base.parameters[:1], variances]), self.shape)

    def expectation(self, graphs: Graphs) -> Array:
        """Exact expectations of bipartite invariants up to degree 6, (n,)."""
        graphs = as_graphs(graphs)
        for graph in graphs:
            if graph.sides is None or graph.degree > MAX_DEGREE:
                raise PigmmError.of("graphs", got=graph.name, allowed=f"bipartite, of degree at most {MAX_DEGREE}")
        terms, left = _plan(graphs, self.kind)
        centred = TwoSidedGaussian(np.concatenate([[0.0], self.hidden.parameters[1:]]), self.shape)
        values = wick.expectation(left, centred) if left else np.zeros(0)
        gaussian = dict(zip((g.name for g in left), values, strict=True)) | {"": 1.0}
        m, (M, N), spread = float(self.base.parameters[0]), self.shape, float(self.spread)
        return np.array([
            sum(
                count * m**means * float(M) ** rows * float(N) ** columns * gaussian[name]
                * math.prod(_cumulant(block, spread) for block in blocks)
                for (means, rows, columns, blocks, name), count in some
            )
            for some in terms
        ])  # fmt: skip

    def deviation(self, graphs: Graphs) -> Array:
        """Expectations minus those of the Gaussian ``base``, (n,)."""
        graphs = as_graphs(graphs)
        return self.expectation(graphs) - wick.expectation(graphs, self.base)

    def sample(self, R: int, seed: int = 0) -> Array:
        """Draw R matrices, (R, M, N)."""
        m, X = self.base.parameters[0], self.hidden.sample(R, seed=seed)
        size = {"matrix": (1, 1), "row": (self.shape[0], 1), "column": (1, self.shape[1])}[self.kind]
        tau = math.sqrt(math.log1p(self.spread))
        log_scale = tau * np.random.default_rng([seed, 1]).standard_normal((R, *size)) - tau * tau / 2
        W: Array = m + np.exp(log_scale / 2) * (X - m)
        return W

    def log_likelihood(self, W: ArrayLike) -> Array:
        """Natural logarithm of the density at each matrix, (R,); one scale per matrix only."""
        if self.kind != "matrix":
            raise PigmmError.of(
                "log_likelihood", got=f"kind {self.kind!r}", allowed="kind 'matrix'",
                fix="With a scale for each row or column the density is an integral over all of them.",
            )  # fmt: skip
        gaussian = self.base.log_likelihood(W)  # also refuses what it must
        if self.spread == 0:
            return gaussian
        tau2 = math.log1p(self.spread)
        return log_density(two_sided_statistics(W), np.append(self.base.parameters, tau2), self.shape)[0]


def log_density(t: Array, parameters: Array, shape: tuple[int, int]) -> tuple[Array, Array]:
    """Log density (R,) of one scale per matrix; its slopes (R, 6) in m, v00, vr, vc, vrc and tau² = log(1 + spread).

    The density is an integral over u = log s, by the trapezoidal rule about its peak; a slope is the average of the
    slope at fixed u over u given W (Fisher's identity).
    """
    m, *v, tau2 = parameters
    dims = np.array([block.dim for block in TwoSided(*shape).blocks])
    n, shift = dims.sum(), t[:, 0] - m
    moments = np.column_stack([n * (t[:, 1] - 2 * m * t[:, 0] + m * m), t[:, 2:]])  # squares per dimension of a block
    square = moments @ (dims / v)
    edges = np.stack([np.log(np.maximum(square, 1e-300) / n), np.full(len(t), -tau2 / 2)])
    low, high = edges.min(axis=0), edges.max(axis=0) + 1e-12
    for _ in range(50):  # the peak lies between those of likelihood and prior: bisect the slope
        u = (low + high) / 2
        rising = 0.5 * (square * np.exp(-u) - n) > (u + tau2 / 2) / tau2
        low, high = np.where(rising, u, low), np.where(rising, high, u)
    width = 1 / np.sqrt(0.5 * square * np.exp(-u) + 1 / tau2)
    x = u[:, None] + width[:, None] * _NODES
    off = x + tau2 / 2
    exponent = -0.5 * (square[:, None] * np.exp(-x) + n * x + off**2 / tau2)
    total = special.logsumexp(exponent, axis=1)
    weight = np.exp(exponent - total[:, None])
    value = total + np.log(_NODES[0, 1] - _NODES[0, 0]) + np.log(width)
    value = value - 0.5 * (n * np.log(2 * np.pi) + dims @ np.log(v) + np.log(2 * np.pi * tau2))
    inverse = (weight * np.exp(-x)).sum(axis=1)
    by_tau = (weight * (off**2 / tau2 - off - 1)).sum(axis=1) / (2 * tau2)
    by_v = 0.5 * dims / v * (inverse[:, None] * moments / v - 1)
    return value, np.column_stack([inverse * n * shift / v[0], by_v, by_tau])
