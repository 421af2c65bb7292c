"""Joint cumulants from moments: the sum over set partitions, and what it makes of a law's polynomials.

What is done with them is said in :mod:`pigmm.cumulants`.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable
from dataclasses import dataclass
from functools import lru_cache
from itertools import combinations
from typing import Any, Protocol, TypeVar

import numpy as np
from numpy.typing import NDArray
from scipy import sparse

from . import wick
from .contraction import Rules, Table, table
from .errors import PigmmError
from .graphs import InvariantGraph, as_graphs
from .irreps import Array
from .models import LabelledRowGaussian

__all__ = [
    "MAX_COMPONENTS", "Graphs", "Parts", "as_products", "joint_cumulant", "joint_cumulants_of", "predicted", "product",
    "products",
]  # fmt: skip

Graphs = InvariantGraph | str | Iterable[InvariantGraph | str]
Parts = tuple[str, ...]  # invariants by name, which multiply

MAX_COMPONENTS = 8  # of a graph: 2^8 products of components


class _Number(Protocol):
    def __mul__(self, other: Any, /) -> Any: ...
    def __sub__(self, other: Any, /) -> Any: ...


T = TypeVar("T", bound=_Number)


def joint_cumulant(parts: Parts, moment: Callable[[Parts], T], known: dict[Parts, T]) -> T:
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
            total = total - joint_cumulant(block, moment, known) * moment(others)
        known[parts] = total
    return known[parts]


def product(parts: Parts) -> InvariantGraph:
    return InvariantGraph("+".join(parts))


def products(sets: Iterable[Parts]) -> tuple[InvariantGraph, ...]:
    """The products of some of the parts of a set: all that its cumulant needs."""
    return tuple(dict.fromkeys(
        product(block) for parts in sets for n in range(1, len(parts) + 1) for block in combinations(parts, n)
    ))  # fmt: skip


def as_products(graphs: Graphs) -> tuple[InvariantGraph, ...]:
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
    moments = _polynomials(products(sets), rules)
    known: dict[Parts, _Polynomial] = {}
    polynomials = [joint_cumulant(parts, lambda p: moments[product(p).name], known) for parts in sets]
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


def joint_cumulants_of(sets: tuple[Parts, ...], graphs: tuple[InvariantGraph, ...], law: Any) -> Array:
    """Joint cumulants under a law; ``graphs`` are all graphs in the sets."""
    if isinstance(law, LabelledRowGaussian):  # sums over labels: numbers, not polynomials
        graphs = products(sets)
        moments = dict(zip(graphs, wick.expectation(graphs, law), strict=True))
        known: dict[Parts, Any] = {}
        return np.array([joint_cumulant(parts, lambda p: moments[product(p)], known) for parts in sets])
    values, rules, shape = wick._for_graphs(graphs, *wick._parameters_of(law))
    with np.errstate(over="ignore", invalid="ignore", under="ignore"):
        monomials = _table(sets, rules).monomials(wick._linear_map(rules, shape) @ values)
        return wick._finite(_matrix(sets, rules, shape) @ monomials)


def predicted(graphs: tuple[InvariantGraph, ...], law: Any) -> Array:
    """Joint cumulants of the components of each graph."""
    return joint_cumulants_of(tuple(g.components for g in graphs), graphs, law)
