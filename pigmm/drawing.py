"""Invariant graphs as drawings: small standalone SVGs that read on light and on dark pages.

Nodes that are joined are drawn about one unit apart, others about as far as their distance along the graph (stress
majorisation, from several starts); a drawing with fewer crossings is preferred.
"""

from __future__ import annotations

import math
from collections.abc import Iterable
from functools import lru_cache
from html import escape
from itertools import combinations, permutations, product

import numpy as np
from numpy.typing import NDArray

from pigmm.errors import PigmmError
from pigmm.graphs import Edges, InvariantGraph, as_graphs, pairs

__all__ = ["draw", "gallery"]

Point = tuple[float, float]
Places = NDArray[np.float64]  # (nodes, 2), y down

EDGE, NODE, HEAD, LOOP, BEND = 46.0, 4.0, 4.6, 30.0, 9.0  # lengths in the drawing's units
STARTS, STEPS = 24, 150


def draw(graph: InvariantGraph | str, *, size: int = 84, bipartite: bool = False, names: bool = False) -> str:
    """The graph as a standalone SVG: transparent, mid-grey, so that it reads on light and on dark pages.

    Nodes are dots, edges carry an arrow head, parallel edges bend apart, loops point to where there is room, and
    components stand side by side; the name is the ``<title>``, which screen readers speak.

    Parameters
    ----------
    graph : InvariantGraph or str
    size : int
        Pixels for 100 units of the drawing; an edge is about 46 units long.
    bipartite : bool
        Rows of the matrix above, columns below: for graphs in which no node is both.
    names : bool
        Write the digits of the graph's name beside its nodes.

    Raises
    ------
    PigmmError
        For an unknown name, and with ``bipartite`` for a graph that is not.

    Examples
    --------
    >>> draw("01.12").count("<circle"), draw("01.12").count("<path")
    (3, 2)
    >>> draw("01.02.31", bipartite=True, names=True).count("<text")
    4
    """
    (graph,) = as_graphs(graph)
    if bipartite and graph.sides is None:
        raise PigmmError.of(
            "graph", got=graph.name, allowed="with bipartite=True, graphs in which no node is both a row and a column"
        )
    shapes: list[str] = []
    right = top = bottom = 0.0
    for edges in map(pairs, graph.components):
        parts, corners = _component(edges, _two_rows(edges) if bipartite else _layout(edges), names)
        (left, high), (end, low) = np.min(corners, axis=0), np.max(corners, axis=0)
        shift = right + (16 if shapes else 0) - left
        shapes.append(f'<g transform="translate({shift:.1f} 0)">{parts}</g>')
        right, top, bottom = shift + end, min(top, high), max(bottom, low)
    width, height = right + 4, bottom - top + 4
    title = graph.name if graph.label == graph.name else f"{graph.label} = {graph.name}"
    return (
        f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="-2 {top - 2:.1f} {width:.1f} {height:.1f}" '
        f'width="{width * size / 100:.0f}" height="{height * size / 100:.0f}" style="max-width:100%;height:auto" '
        f'role="img" fill="#808080" stroke="#808080" stroke-width="1.6">'
        f"<title>invariant graph {title}</title>{''.join(shapes)}</svg>"
    )


def gallery(
    graphs: InvariantGraph | str | Iterable[InvariantGraph | str],
    captions: Iterable[str] | None = None,
    *,
    size: int = 100,
    bipartite: bool = False,
    names: bool = False,
) -> str:
    """Drawings side by side, each with its name and a caption under it, as one piece of HTML.

    It needs no style sheet, breaks into lines at any width, and is a list to screen readers.

    Parameters
    ----------
    graphs : InvariantGraph, str, or an iterable of them
        A mapping from names to captions serves too: ``gallery(words, words.values())``.
    captions : iterable of str, optional
        One for each graph: plain text.
    size, bipartite, names
        As for :func:`draw`.

    Raises
    ------
    PigmmError
        As :func:`draw`, and when there are more or fewer captions than graphs.

    Examples
    --------
    >>> html = gallery(["01.02", "01.21"], ["squared row sums", "squared column sums"])
    >>> html.count("<figure"), "squared row sums" in html
    (2, True)
    """
    chosen = as_graphs(graphs)
    words = [""] * len(chosen) if captions is None else list(captions)
    if len(words) != len(chosen):
        raise PigmmError.of("captions", got=len(words), allowed=f"one for each of the {len(chosen)} graphs")
    small = "font-size:0.85em;line-height:1.35;font-weight:inherit;color:inherit;max-width:12em;margin:0.3em auto 0"
    figures = []
    for graph, text in zip(chosen, words, strict=True):
        picture = draw(graph, size=size, bipartite=bipartite, names=names)
        caption = f"<code>{graph.name}</code>" + (f"<br>{escape(text)}" if text else "")
        figures.append(
            '<figure role="listitem" style="margin:0;max-width:100%;text-align:center">'
            f'{picture}<figcaption style="{small}">'
            f"{caption}</figcaption></figure>"
        )
    style = "display:flex;flex-wrap:wrap;justify-content:center;align-items:baseline;gap:1.2em 1.8em;margin:1em 0"
    what = f"{len(chosen)} invariants drawn as graphs"
    return f'<div role="list" aria-label="{what}" style="{style}">{"".join(figures)}</div>'


# --- one component: shapes, and points that its box must hold ---------------------------------------------------------


def _component(edges: Edges, places: Places, names: bool) -> tuple[str, list[Point]]:
    place: list[Point] = [(EDGE * x, EDGE * y) for x, y in places]
    shapes: list[str] = []
    corners = [(x + dx, y + dy) for x, y in place for dx, dy in product((-NODE - 1, NODE + 1), repeat=2)]
    used: dict[int, list[float]] = {n: [] for n in range(len(place))}  # directions taken at each node
    groups: dict[tuple[int, ...], Edges] = {}
    for edge in edges:
        ends = tuple(sorted(set(edge)))
        groups[ends] = (*groups.get(ends, ()), edge)
    for ends, group in groups.items():
        if len(ends) == 2:
            for q, (i, j) in enumerate(group):
                step = (q - (len(group) - 1) / 2) * (1 if i < j else -1)  # symmetric around 0: … -1, 0, 1 …
                shape, points = _arc(place[i], place[j], BEND * step)
                shapes.append(shape)
                corners += points
            for a, b in (ends, ends[::-1]):
                (x, y), (u, v) = place[a], place[b]
                used[a].append(math.atan2(v - y, u - x))
    for (node, *others), group in groups.items():
        if not others:
            gap, start = _gap(used[node])
            fan = min(gap / (len(group) + 1), 1.25) if used[node] else gap / len(group)
            for q in range(len(group)):
                angle = start + fan * (q - (len(group) - 1) / 2) if used[node] else start + fan * q
                shape, points = _loop(place[node], angle, min(0.65, 0.45 * fan))
                shapes.append(shape)
                corners += points
            used[node] += [start + fan * (q - (len(group) - 1) / 2) for q in range(len(group))]
    shapes += [f'<circle cx="{x:.1f}" cy="{y:.1f}" r="{NODE:g}"/>' for x, y in place]
    if names:
        for node, (x, y) in enumerate(place):
            _, angle = _gap(used[node])
            u, v = x + 12 * math.cos(angle), y + 12 * math.sin(angle)
            shapes.append(
                f'<text x="{u:.1f}" y="{v + 4:.1f}" text-anchor="middle" font-size="12" stroke="none">{node}</text>'
            )
            corners += [(u - 5, v - 6), (u + 5, v + 6)]
    return "".join(shapes), corners


def _gap(angles: list[float]) -> tuple[float, float]:
    """Widest free angle between directions, and its middle; of equal ones the one nearest to straight up."""
    if not angles:
        return 2 * math.pi, -math.pi / 2
    turn = sorted(a % (2 * math.pi) for a in angles)
    gaps = [(b - a, (a + b) / 2) for a, b in zip(turn, [*turn[1:], turn[0] + 2 * math.pi], strict=True)]
    return max(gaps, key=lambda g: (round(g[0], 3), -round(math.sin(g[1]), 3), math.cos(g[1])))


def _head(x: float, y: float, angle: float) -> tuple[str, list[Point]]:
    """An arrow head whose middle is at (x, y)."""
    corners = [(x + HEAD * math.cos(angle + a), y + HEAD * math.sin(angle + a)) for a in (0, 2.5, -2.5)]
    return f'<polygon points="{" ".join(f"{u:.1f},{v:.1f}" for u, v in corners)}" stroke="none"/>', corners


def _arc(start: Point, end: Point, bend: float) -> tuple[str, list[Point]]:
    """An edge whose middle is moved sideways by ``bend``; its head beyond the middle, clear of what crosses there."""
    (x, y), (u, v) = start, end
    angle = math.atan2(v - y, u - x)
    cx, cy = (x + u) / 2 - 2 * bend * math.sin(angle), (y + v) / 2 + 2 * bend * math.cos(angle)
    t = 0.58
    hx, hy = ((1 - t) ** 2 * a + 2 * t * (1 - t) * c + t * t * b for a, c, b in ((x, cx, u), (y, cy, v)))
    way = math.atan2((1 - t) * (cy - y) + t * (v - cy), (1 - t) * (cx - x) + t * (u - cx))
    head, corners = _head(hx, hy, way)
    return f'<path d="M{x:.1f} {y:.1f}Q{cx:.1f} {cy:.1f} {u:.1f} {v:.1f}" fill="none"/>{head}', corners


def _loop(place: Point, angle: float, half: float) -> tuple[str, list[Point]]:
    """A loop in the direction ``angle``, from ``angle - half`` to ``angle + half``."""
    x, y = place
    (p, q), (s, t) = ((x + LOOP * math.cos(a), y + LOOP * math.sin(a)) for a in (angle - half, angle + half))
    line = f'<path d="M{x:.1f} {y:.1f}C{p:.1f} {q:.1f} {s:.1f} {t:.1f} {x:.1f} {y:.1f}" fill="none"/>'
    reach = 0.75 * LOOP * math.cos(half)
    head, corners = _head(x + reach * math.cos(angle), y + reach * math.sin(angle), angle + math.pi / 2)
    return line + head, corners


# --- where the nodes go -----------------------------------------------------------------------------------------------


@lru_cache(maxsize=1024)
def _layout(edges: Edges) -> Places:
    """Node places of a connected graph in units of an edge, long side across, node 0 to the left of the middle."""
    n = 1 + max(max(e) for e in edges)
    far = np.where(np.eye(n), 0.0, np.inf)
    for i, j in edges:
        if i != j:
            far[i, j] = far[j, i] = 1
    for k in range(n):
        far = np.minimum(far, far[:, k, None] + far[k])
    if far.max() == n - 1:  # a path
        from_an_end = far[np.argmax(far.max(axis=1))]
        return _turned(np.stack([from_an_end, 0 * from_an_end], axis=1))
    angles = 2 * np.pi * np.arange(n - 1) / (n - 1)
    ring = 0.6 / math.sin(math.pi / (n - 1)) * np.stack([np.cos(angles), np.sin(angles)], axis=1)
    hubs = [np.insert(ring, hub, 0, axis=0) for hub in range(n) if n > 3 and far[hub].max() == 1]
    places = np.stack([*_relaxed(np.random.default_rng(0).normal(size=(STARTS, n, 2)), far), *hubs])
    best = np.lexsort([_stress(places, far).round(6), _clashes(places, edges)])[0]
    return _turned(places[best])


def _relaxed(places: Places, far: Places) -> Places:
    """Stress majorisation of several drawings at once, (drawings, nodes, 2): see :func:`_stress`.

    Each step goes to the minimum of a bound on the stress that touches it at the present places (de Leeuw 1977).
    """
    weight = 1 / np.maximum(far, 1) ** 2
    np.fill_diagonal(weight, 0)
    inverse = np.linalg.pinv(np.diag(weight.sum(axis=1)) - weight)
    for _ in range(STEPS):
        length = np.linalg.norm(places[:, :, None] - places[:, None], axis=-1)
        pull = -weight * far / np.maximum(length, 1e-9)
        np.einsum("kii->ki", pull)[:] = -pull.sum(axis=2)
        places = inverse @ (pull @ places)
    return places


def _stress(places: Places, far: Places) -> Places:
    """Squares of (length - distance along the graph) / that distance, summed over all pairs of nodes."""
    length = np.linalg.norm(places[:, :, None] - places[:, None], axis=-1)
    stress: Places = (((length - far) / np.maximum(far, 1)) ** 2).sum(axis=(1, 2))
    return stress


def _clashes(places: Places, edges: Edges) -> NDArray[np.intp]:
    """For each of several drawings: pairs of edges that cross, and nodes that lie on an edge."""
    lines = np.array(sorted({(min(e), max(e)) for e in edges if e[0] != e[1]}))
    apart = [(*e, *f) for e, f in combinations(lines, 2) if not {*e} & {*f}]
    a, b, c, d = np.moveaxis(places[:, np.array(apart, dtype=np.intp).reshape(-1, 4)], 2, 0)
    crossing = (_side(a, b, c) * _side(a, b, d) < 0) & (_side(c, d, a) * _side(c, d, b) < 0)
    start, end, node = places[:, lines[:, 0], None], places[:, lines[:, 1], None], places[:, None]
    way = end - start
    along = np.clip(((node - start) * way).sum(axis=-1) / (way**2).sum(axis=-1), 0, 1)
    near = np.linalg.norm(node - start - along[..., None] * way, axis=-1) < 0.3
    near &= (lines[:, :1] != np.arange(places.shape[1])) & (lines[:, 1:] != np.arange(places.shape[1]))
    return crossing.sum(axis=1) + near.sum(axis=(1, 2))


def _side(a: Places, b: Places, c: Places) -> Places:
    """Positive, zero or negative: on which side of the line from a to b the point c lies."""
    way, other = b - a, c - a
    side: Places = way[..., 0] * other[..., 1] - way[..., 1] * other[..., 0]
    return side


def _turned(at: Places) -> Places:
    at = at - at.mean(axis=0)
    values, axes = np.linalg.eigh(at.T @ at)
    if values[1] > 1.05 * values[0]:
        at = at @ axes[:, ::-1]
    else:  # round: a corner on top, or of a square a side
        radius = np.linalg.norm(at, axis=1)
        first = at[np.argmax(radius.round(3))]
        square = math.pi / 4 if len(at) == 4 and np.ptp(radius) < 0.1 else 0.0
        angle = -math.pi / 2 + square - math.atan2(first[1], first[0])
        at = at @ np.array([[math.cos(angle), math.sin(angle)], [-math.sin(angle), math.cos(angle)]])
    early = at[: min(2, len(at))].T @ [1, 0.01][: len(at)]
    turned: Places = at * np.where(early > 1e-6, -1, 1)  # node 0 to the left and above
    return turned


@lru_cache(maxsize=1024)
def _two_rows(edges: Edges) -> Places:
    """Rows of the matrix above, columns below: few crossings, then short edges.

    Every order of the smaller side is tried; the other side follows, by the mean place of its neighbours.
    """
    sides = [sorted({edge[end] for edge in edges}) for end in (0, 1)]
    small = int(len(sides[1]) < len(sides[0]))
    lines = sorted({(edge[small], edge[1 - small]) for edge in edges})

    def arranged(order: tuple[int, ...]) -> dict[int, float]:
        x = {n: k - (len(order) - 1) / 2 for k, n in enumerate(order)}
        mean = {n: np.mean([x[i] for i, j in lines if j == n]) for n in sides[1 - small]}
        others = sorted(mean, key=lambda n: (round(mean[n], 9), n))
        return x | {n: k - (len(others) - 1) / 2 for k, n in enumerate(others)}

    def cost(x: dict[int, float]) -> tuple[int, float]:
        crossings = sum((x[i] - x[k]) * (x[j] - x[m]) < 0 for (i, j), (k, m) in combinations(lines, 2))
        return crossings, sum(abs(x[i] - x[j]) for i, j in lines)

    best = min(map(arranged, permutations(sides[small])), key=cost)
    return np.array([(best[n], -0.5 if n in sides[0] else 0.5) for n in range(len(best))])
