r"""Permutation invariants of a matrix as directed multigraphs: enumerate and name them.

A polynomial in the entries of :math:`W` that stays the same when rows and columns are relabelled together,
:math:`W_{ij} \to W_{\pi(i)\pi(j)}`, is a combination of sums over *independent* indices, and each such sum is
a graph: every factor :math:`W_{ij}` is an edge i→j, every summed index a node.  :math:`\sum_{ijk}
W_{ij}W_{jk}` is the path ``01.12``; :math:`(\mathrm{tr}\,W)^2` is ``00+00``, two loops that share no index.

**Names.**  Nodes are digits and an edge i→j is ``ij``; the edges of a connected component are joined by ``.``
and the components by ``+`` (each component numbers its own nodes from 0).  Of all numberings the canonical
one makes the sorted edge list of the component lexicographically smallest; components are sorted by (number
of edges, text).

**Rectangular matrices.**  Where rows and columns are different things, and are relabelled separately, an index cannot
be both.  The invariants of an M×N matrix are therefore the graphs in which every node is either a row (all its edges
leave) or a column (all its edges arrive): the *bipartite* multigraphs, 1, 4, 10, 33 of degree 1 to 4.
"""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Iterable
from dataclasses import dataclass
from functools import cache, cached_property, lru_cache
from itertools import product

from pigmm.errors import PigmmError

__all__ = [
    "MAX_DEGREE", "PAPER", "Edges", "InvariantGraph",
    "as_graphs", "bipartite_graphs", "invariant_graphs", "name_of", "pairs",
]  # fmt: skip

Edges = tuple[tuple[int, int], ...]

MAX_DEGREE = 6
"""Largest degree :func:`invariant_graphs` enumerates (11,060 graphs); names of any degree are accepted."""

PAPER: tuple[str, ...] = (
    "00", "01",
    "01.01", "01.10", "00.01", "00.10", "01.02", "01.21", "01.12", "01+01", "00.00", "00+00", "00+01",
    "00.00.00", "00+00.00", "00.01.11", "00.00.01", "00.00.10", "00.01.01", "00.01.10", "00.10.10",
    "01.01.01", "01.01.10", "00+01+01", "01+01.12", "01+01.21", "01+01.02", "01+01+01",
    "00.00.00.00", "00+00.00.00", "00.00+00.00", "00.00.00.01", "00.00.00.10", "00.00.01.11", "00.00.10.11",
    "00.00.01.01", "00.00.01.10", "00.00.10.10", "00.01.01.11", "00.01.10.11", "00.01.01.01", "00.01.01.10",
    "00.01.10.10", "00.10.10.10", "01.01.01.01", "01.01.01.10", "01.01.10.10",
    "00+01+01+01", "01+01+01.12", "01+01+01.21", "01+01+01.02", "01+01+01+01",
)  # fmt: skip
"""The 52 invariants that arXiv:2510.05218 numbers I1 … I52, in its order."""

_GRAMMAR = (
    "edges such as '01' (from node 0 to node 1, one digit each) joined by '.' in a component and components "
    "joined by '+', for example '00+01.12'; or an alias of the paper, 'I1' to 'I52'"
)
_NAME = re.compile(r"[0-9]{2}(?:[.+][0-9]{2})*")
_ALIAS = re.compile(r"I([1-9][0-9]?)")


@dataclass(frozen=True, repr=False)
class InvariantGraph:
    r"""One permutation invariant :math:`\sum \prod_{\text{edges }ij} W_{ij}` (each node summed over 0 … D-1).

    Two graphs are equal when they are isomorphic, since the name is canonical.

    Parameters
    ----------
    name : str
        Any spelling of the graph, or a paper alias ``"I1"`` … ``"I52"``; replaced by the canonical name.

    Raises
    ------
    PigmmError
        If the text is not a graph; the message states the grammar.

    Examples
    --------
    >>> g = InvariantGraph.from_name("21.10+77")
    >>> g.name, g.degree, g.nodes, g.components
    ('00+01.12', 3, 4, ('00', '01.12'))
    >>> g.edges
    ((0, 0), (1, 2), (2, 3))
    >>> InvariantGraph.from_name("I17").name, InvariantGraph.from_name("00.00.01").label
    ('00.00.01', 'I17')

    Examples
    --------
    >>> g.connected, g.paper_index, InvariantGraph("I17").paper_index
    (False, None, 17)
    """

    name: str

    def __post_init__(self) -> None:
        if not isinstance(self.name, str):
            raise PigmmError.of("graph name", got=f"a {type(self.name).__name__}", allowed=f"text: {_GRAMMAR}")
        object.__setattr__(self, "name", _canonical_name(self.name))

    @classmethod
    def from_name(cls, name: str) -> InvariantGraph:
        """The graph of that name; see the class."""
        return cls(name)

    @classmethod
    def from_edges(cls, edges: Iterable[tuple[int, int]]) -> InvariantGraph:
        """The graph with these edges, nodes being any hashable labels; isolated nodes do not exist.

        >>> InvariantGraph.from_edges([("a", "b"), ("b", "b"), ("x", "y")])
        InvariantGraph('01+00.10')
        """
        return cls(name_of(edges))

    @cached_property
    def components(self) -> tuple[str, ...]:
        """Canonical names of the connected components, in order."""
        return tuple(self.name.split("+"))

    @cached_property
    def edges(self) -> Edges:
        """All edges, with nodes numbered through: a component starts where the one before it ended."""
        edges: list[tuple[int, int]] = []
        for component in self.components:
            start = 1 + max((max(e) for e in edges), default=-1)
            edges += [(start + i, start + j) for i, j in pairs(component)]
        return tuple(edges)

    @property
    def degree(self) -> int:
        """Number of edges, that is of matrix factors."""
        return len(self.edges)

    @cached_property
    def nodes(self) -> int:
        """Number of nodes, that is of summed indices."""
        return len({n for e in self.edges for n in e})

    @property
    def connected(self) -> bool:
        """Whether there is a single component."""
        return len(self.components) == 1

    @property
    def paper_index(self) -> int | None:
        """The k of the paper's I_k (1 … 52), or None."""
        return _PAPER_INDEX.get(self.name)

    @property
    def label(self) -> str:
        """The paper's alias (``"I17"``) where there is one, otherwise the name."""
        return f"I{self.paper_index}" if self.paper_index else self.name

    def __repr__(self) -> str:
        return f"InvariantGraph({self.name!r})"

    @cached_property
    def sides(self) -> tuple[int, int] | None:
        """(row nodes, column nodes) of a bipartite graph, in which no node has edges both out and in; else None.

        >>> InvariantGraph("01.02").sides, InvariantGraph("01.12").sides
        ((1, 2), None)
        """
        rows, columns = ({edge[end] for edge in self.edges} for end in (0, 1))
        return None if rows & columns else (len(rows), len(columns))

    def _repr_svg_(self) -> str:
        from pigmm.drawing import draw

        return draw(self)


_PAPER_INDEX = {name: k for k, name in enumerate(PAPER, 1)}


@lru_cache(maxsize=1 << 16)
def _canonical_name(text: str) -> str:
    alias = _ALIAS.fullmatch(text)
    if alias and int(alias[1]) <= len(PAPER):
        return PAPER[int(alias[1]) - 1]
    if not _NAME.fullmatch(text):
        raise PigmmError.of("graph name", got=text, allowed=_GRAMMAR)
    return name_of(((part, i), (part, j)) for part, c in enumerate(text.split("+")) for i, j in pairs(c))


def pairs(component: str) -> Edges:
    """The edges that a component's name spells."""
    return tuple((int(e[0]), int(e[1])) for e in component.split("."))


def name_of(edges: Iterable[tuple]) -> str:
    """Canonical name of the multigraph with these edges (any hashable node labels)."""
    pieces: list[tuple[set, list]] = []  # the connected pieces seen so far: their nodes and their edges
    for edge in edges:
        if len(edge) != 2:
            raise PigmmError.of("edge", got=edge, allowed="a pair (from, to)")
        apart = [p for p in pieces if p[0].isdisjoint(edge)]
        touched = [p for p in pieces if not p[0].isdisjoint(edge)]
        grown = (
            set(edge).union(*(nodes for nodes, _ in touched)),
            [e for _, piece in touched for e in piece] + [edge],
        )
        pieces = [*apart, grown]
    if not pieces:
        raise PigmmError.of("graph", got="no edges", allowed="at least one edge")
    names = []
    for nodes, piece in pieces:
        if len(nodes) > 10:
            got = f"a component with {len(nodes)} nodes"
            raise PigmmError.of("graph", got=got, allowed="at most 10 nodes in a component, one digit each")
        number: dict = {}
        numbered = [tuple(number.setdefault(n, len(number)) for n in e) for e in piece]
        names.append(".".join(f"{i}{j}" for i, j in _canonical_edges(tuple(sorted(numbered)))))
    return "+".join(sorted(names, key=lambda c: (len(c), c)))


@lru_cache(maxsize=1 << 16)
def _canonical_edges(edges: Edges) -> Edges:
    """Smallest sorted edge list of a connected multigraph over all numberings of its nodes 0 … n-1.

    Numbers are handed out one at a time.  Once node i has its number, the smallest list gives the next free
    numbers to its still unnumbered targets, those with most parallel edges first; only ties, and nodes that
    nothing numbered points to, need a search.  Of interchangeable nodes (twins) one is tried.
    """
    count = Counter(edges)
    nodes = range(1 + max(max(e) for e in edges))
    twin = {v: next(u for u in nodes if u == v or _swapped(edges, u, v) == edges) for v in nodes}
    best: Edges = ()

    def extend(order: tuple[int, ...], done: int, listed: Edges) -> None:
        nonlocal best
        if best and listed > best[: len(listed)]:
            return
        if done == len(nodes):
            best = listed
            return
        free = [v for v in nodes if v not in order]
        if done < len(order):
            node = order[done]
            targets = [v for v in free if count[node, v]]
            if not targets:
                own = sorted((done, order.index(j)) for i, j in edges if i == node)
                return extend(order, done + 1, listed + tuple(own))
            most = max(count[node, v] for v in targets)
            free = [v for v in targets if count[node, v] == most]
        for v in {twin[v]: v for v in free}.values():
            extend((*order, v), done, listed)

    extend((), 0, ())
    return best


def _swapped(edges: Edges, u: int, v: int) -> Edges:
    swap = {u: v, v: u}
    return tuple(sorted((swap.get(i, i), swap.get(j, j)) for i, j in edges))


@cache
def _connected(degree: int, bipartite: bool) -> tuple[str, ...]:
    """Canonical names of the connected multigraphs with so many edges: those with one fewer, plus an edge.

    All are reached, because every connected graph has an edge on a cycle or a leaf that can be taken away.
    """
    if degree == 1:
        return ("01",) if bipartite else ("00", "01")
    names: set[str] = set()
    for smaller in map(pairs, _connected(degree - 1, bipartite)):
        n = 1 + max(max(e) for e in smaller)
        rows, columns = {i for i, _ in smaller}, {j for _, j in smaller}
        for i, j in product(range(n + 1), repeat=2):
            if i == j == n or (bipartite and (i == j or i in columns or j in rows)):
                continue
            names.add(name_of((*smaller, (i, j))))
    return tuple(sorted(names))


@cache
def invariant_graphs(degree: int) -> tuple[InvariantGraph, ...]:
    """All invariants of one degree, ordered by (number of nodes, number of components, name).

    There are 2, 11, 52, 296, 1724, 11060 of degree 1 … 6 (OEIS A052171); they are linearly independent
    functions of a D×D matrix when D ≥ 2·degree.

    Parameters
    ----------
    degree : int
        1 … 6; the first call takes about 0.6 s for degree 5 and 5 s for degree 6.

    Returns
    -------
    tuple of InvariantGraph

    Raises
    ------
    PigmmError
        For any other degree.

    Examples
    --------
    >>> [len(invariant_graphs(k)) for k in (1, 2, 3, 4)]
    [2, 11, 52, 296]
    >>> [g.name for g in invariant_graphs(2)]
    ['00.00', '00.01', '00.10', '01.01', '01.10', '00+00', '01.02', '01.12', '01.21', '00+01', '01+01']
    """
    return _all(degree, bipartite=False)


@cache
def bipartite_graphs(degree: int) -> tuple[InvariantGraph, ...]:
    """The invariants of rectangular matrices: those of :func:`invariant_graphs` that are bipartite, in its order.

    There are 1, 4, 10, 33, 91, 298 of degree 1 … 6 (OEIS A007716).

    Parameters
    ----------
    degree : int
        1 … 6.

    Returns
    -------
    tuple of InvariantGraph

    Raises
    ------
    PigmmError
        For any other degree.

    Examples
    --------
    >>> [len(bipartite_graphs(k)) for k in (1, 2, 3, 4)]
    [1, 4, 10, 33]
    >>> [g.name for g in bipartite_graphs(2)]      # ΣW², squared row sums, squared column sums, (ΣW)²
    ['01.01', '01.02', '01.21', '01+01']
    """
    return _all(degree, bipartite=True)


def _all(degree: int, bipartite: bool) -> tuple[InvariantGraph, ...]:
    if isinstance(degree, bool) or not isinstance(degree, int) or not 1 <= degree <= MAX_DEGREE:
        raise PigmmError.of("degree", got=degree, allowed=f"an integer from 1 to {MAX_DEGREE}")
    parts = [(k, name) for k in range(1, degree + 1) for name in _connected(k, bipartite)]
    names = []

    def add(chosen: tuple[str, ...], start: int, left: int) -> None:
        if left == 0:
            names.append("+".join(chosen))
        for p in range(start, len(parts)):
            if parts[p][0] > left:
                break
            add((*chosen, parts[p][1]), p, left - parts[p][0])

    add((), 0, degree)
    return tuple(sorted(map(InvariantGraph, names), key=lambda g: (g.nodes, len(g.components), g.name)))


def as_graphs(graphs: InvariantGraph | str | Iterable[InvariantGraph | str]) -> tuple[InvariantGraph, ...]:
    """One graph or name, or an iterable of them, as a tuple of graphs; PigmmError for none or anything else."""
    if isinstance(graphs, (InvariantGraph, str)):
        graphs = (graphs,)
    if not isinstance(graphs, Iterable):
        raise PigmmError.of("graphs", got=graphs, allowed="graphs or names, e.g. pigmm.invariant_graphs(3)")
    items = tuple(graphs)
    if not items:
        raise PigmmError.of("graphs", got="an empty list", allowed="at least one graph or name")
    return tuple(g if isinstance(g, InvariantGraph) else InvariantGraph(g) for g in items)
