"""Invariant graphs as drawings: small standalone SVGs that read on light and on dark pages."""

from __future__ import annotations

import math
from itertools import permutations

from pigmm.graphs import Edges, InvariantGraph, as_graphs, pairs

__all__ = ["draw"]


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
    for c, edges in enumerate(map(pairs, graph.components)):
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
