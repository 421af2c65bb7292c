r"""Permutation invariants of a matrix as directed multigraphs: enumerate, name and draw them.

A polynomial in the entries of :math:`W` that stays the same when rows and columns are relabelled together,
:math:`W_{ij} \to W_{\pi(i)\pi(j)}`, is a combination of sums over *independent* indices, and each such sum is
a graph: every factor :math:`W_{ij}` is an edge i→j, every summed index a node.  :math:`\sum_{ijk}
W_{ij}W_{jk}` is the path ``01.12``; :math:`(\mathrm{tr}\,W)^2` is ``00+00``, two loops that share no index.

**Names.**  Nodes are digits and an edge i→j is ``ij``; the edges of a connected component are joined by ``.``
and the components by ``+`` (each component numbers its own nodes from 0).  Of all numberings the canonical
one makes the sorted edge list of the component lexicographically smallest; components are sorted by (number
of edges, text).
"""

from __future__ import annotations

import math
import re
from collections import Counter
from collections.abc import Iterable
from dataclasses import dataclass
from functools import cache, cached_property, lru_cache
from itertools import permutations

from pigmm.errors import PigmmError

__all__ = ["MAX_DEGREE", "PAPER", "InvariantGraph", "as_graphs", "draw", "invariant_graphs"]

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
            edges += [(start + i, start + j) for i, j in _pairs(component)]
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

    def _repr_svg_(self) -> str:
        return draw(self)


_PAPER_INDEX = {name: k for k, name in enumerate(PAPER, 1)}


@lru_cache(maxsize=1 << 16)
def _canonical_name(text: str) -> str:
    alias = _ALIAS.fullmatch(text)
    if alias and int(alias[1]) <= len(PAPER):
        return PAPER[int(alias[1]) - 1]
    if not _NAME.fullmatch(text):
        raise PigmmError.of("graph name", got=text, allowed=_GRAMMAR)
    return name_of(((part, i), (part, j)) for part, c in enumerate(text.split("+")) for i, j in _pairs(c))


def _pairs(component: str) -> Edges:
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
def _connected(degree: int) -> tuple[str, ...]:
    """Canonical names of the connected multigraphs with so many edges: those with one fewer, plus an edge.

    All are reached, because every connected graph has an edge on a cycle or a leaf that can be taken away.
    """
    if degree == 1:
        return ("00", "01")
    names: set[str] = set()
    for smaller in map(_pairs, _connected(degree - 1)):
        n = 1 + max(max(e) for e in smaller)
        for i in range(n):
            names.update(name_of((*smaller, (i, j))) for j in range(n + 1))
            names.add(name_of((*smaller, (n, i))))
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
    if isinstance(degree, bool) or not isinstance(degree, int) or not 1 <= degree <= MAX_DEGREE:
        raise PigmmError.of("degree", got=degree, allowed=f"an integer from 1 to {MAX_DEGREE}")
    parts = [(k, name) for k in range(1, degree + 1) for name in _connected(k)]
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


def draw(graph: InvariantGraph | str, *, size: int = 84) -> str:
    """The graph as a standalone SVG: transparent, mid-grey, so that it reads on light and on dark pages.

    Nodes are dots, edges carry an arrow head in their middle, parallel edges bend apart, loops point
    outwards, and components stand side by side; the name is the ``<title>``, which screen readers speak.

    Parameters
    ----------
    graph : InvariantGraph or str
    size : int
        Height in pixels, which is also the width of each component.

    Examples
    --------
    >>> draw("01.12").count("<circle"), draw("01.12").count("<path")
    (3, 2)
    """
    (graph,) = as_graphs(graph)
    shapes = []
    for c, edges in enumerate(map(_pairs, graph.components)):
        place = [(100 * c + 50 + 26 * x, 50 + 26 * y) for x, y in _layout(edges)]
        groups: dict[tuple[int, ...], list[tuple[int, int]]] = {}
        for edge in edges:
            groups.setdefault(tuple(sorted(set(edge))), []).append(edge)
        for ends, group in groups.items():
            for q, edge in enumerate(group):
                step = q - (len(group) - 1) / 2  # symmetric around 0: … -1, 0, 1 …
                if len(ends) == 1:
                    shapes.append(_loop(place, ends[0], step, len(group), 100 * c + 50))
                else:
                    shapes.append(_arc(place[ends[0]], place[ends[1]], 9 * step, edge == ends))
        shapes += [f'<circle cx="{x:.1f}" cy="{y:.1f}" r="4"/>' for x, y in place]
    width = 100 * len(graph.components)
    title = graph.name if graph.label == graph.name else f"{graph.label} = {graph.name}"
    return (
        f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {width} 100" width="{width * size // 100}" '
        f'height="{size}" role="img" fill="#808080" stroke="#808080" stroke-width="1.6">'
        f"<title>invariant graph {title}</title>{''.join(shapes)}</svg>"
    )


def _layout(edges: Edges) -> list[tuple[float, float]]:
    """Node places in the unit disc: on a circle, ordered for short edges; a hub goes to the middle."""
    n = 1 + max(max(e) for e in edges)
    if n == 1:
        return [(0.0, 0.0)]
    near = {v: {w for e in edges if v in e for w in e} - {v} for v in range(n)}
    hub = [v for v in range(n) if len(near[v]) == n - 1 and (v, v) not in edges][:1] if n > 3 else []
    ring = [v for v in range(n) if v not in hub]
    start = math.pi if n == 2 else -math.pi / 2
    angles = [start + 2 * math.pi * k / len(ring) for k in range(len(ring))]
    spots = [(math.cos(a), math.sin(a)) for a in angles]
    # Trying every order is fine for the small graphs of everyday use; larger ones keep their numbering.
    orders = permutations(ring[1:]) if len(ring) <= 7 else [tuple(ring[1:])]

    def places(order: tuple[int, ...]) -> dict[int, tuple[float, float]]:
        return dict(zip([ring[0], *order, *hub], [*spots, (0.0, 0.0)], strict=False))

    best = min(map(places, orders), key=lambda at: round(sum(math.dist(at[i], at[j]) for i, j in edges), 9))
    return [best[v] for v in range(n)]


def _head(x: float, y: float, angle: float) -> str:
    """An arrow head whose middle is at (x, y)."""
    corners = [(x + 4.6 * math.cos(angle + a), y + 4.6 * math.sin(angle + a)) for a in (0, 2.5, -2.5)]
    return f'<polygon points="{" ".join(f"{px:.1f},{py:.1f}" for px, py in corners)}" stroke="none"/>'


def _arc(start: tuple[float, float], end: tuple[float, float], bend: float, forward: bool) -> str:
    """An edge whose middle is moved sideways by ``bend``; ``forward`` says which way its arrow points."""
    (x, y), (u, v) = start, end
    angle = math.atan2(v - y, u - x)
    dx, dy = -bend * math.sin(angle), bend * math.cos(angle)
    mx, my = (x + u) / 2, (y + v) / 2
    line = f'<path d="M{x:.1f} {y:.1f}Q{mx + 2 * dx:.1f} {my + 2 * dy:.1f} {u:.1f} {v:.1f}" fill="none"/>'
    return line + _head(mx + dx, my + dy, angle if forward else angle + math.pi)


def _loop(place: list[tuple[float, float]], node: int, step: float, loops: int, centre: float) -> str:
    """A loop that points away from the component's centre; several at one node fan out."""
    x, y = place[node]
    outward = math.atan2(y - 50, x - centre)
    if len(place) == 1:
        outward = -math.pi / 2
    fan = 2 * math.pi / max(loops, 3) if len(place) == 1 else 1.1
    angle, half = outward + fan * step, min(0.65, 0.45 * fan)
    (p, q), (s, t) = ((x + 32 * math.cos(a), y + 32 * math.sin(a)) for a in (angle - half, angle + half))
    line = f'<path d="M{x:.1f} {y:.1f}C{p:.1f} {q:.1f} {s:.1f} {t:.1f} {x:.1f} {y:.1f}" fill="none"/>'
    reach = 0.75 * 32 * math.cos(half)
    return line + _head(x + reach * math.cos(angle), y + reach * math.sin(angle), angle + math.pi / 2)
