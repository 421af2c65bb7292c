"""Drawings: everything is there, inside its box, apart, and where the names say."""

import math
import random
import re
import xml.etree.ElementTree as ET
from collections import Counter

import numpy as np
import pytest

from pigmm import InvariantGraph, PigmmError, bipartite_graphs, invariant_graphs
from pigmm.drawing import draw, gallery

UP_TO_FOUR = [g for k in (1, 2, 3, 4) for g in invariant_graphs(k)]
BIPARTITE = [g for k in (1, 2, 3, 4, 5) for g in bipartite_graphs(k)]


def random_graphs(degree, count, seed=0):
    rng = random.Random(seed)
    ends = [[(rng.randrange(n), rng.randrange(n)) for _ in range(degree)] for n in rng.choices(range(1, 8), k=count)]
    return [InvariantGraph.from_edges(edges) for edges in ends]


LARGER = [*random_graphs(5, 60), *random_graphs(6, 60), InvariantGraph("01.02.03.12.13.23")]


def numbers(text):
    return [float(n) for n in re.findall(r"-?\d+(?:\.\d+)?", text)]


def drawn(graph, **options):
    """Of one drawing: viewBox, kinds of shapes, and the points of nodes, arrow heads and curves, moved into place."""
    svg = ET.fromstring(draw(graph, **options))
    kinds, nodes, heads, curves = Counter(), [], [], []
    for group in svg.iter("{http://www.w3.org/2000/svg}g"):
        shift = np.array([numbers(group.get("transform"))[0], 0])
        for shape in group:
            kind = shape.tag.split("}")[1]
            kinds[kind] += 1
            if kind == "circle":
                nodes.append(shift + [float(shape.get("cx")), float(shape.get("cy"))])
            elif kind == "polygon":
                heads.append(shift + np.reshape(numbers(shape.get("points")), (3, 2)))
            elif kind == "path":
                curves.append(shift + curve(shape.get("d")))
    return numbers(svg.get("viewBox")), kinds, np.array(nodes), np.array(heads), curves


def curve(path):
    """Points of a quadratic or cubic Bézier curve."""
    points = np.reshape(numbers(path), (-1, 2))
    n, t = len(points) - 1, np.linspace(0, 1, 21)[:, None]
    return sum(math.comb(n, k) * t**k * (1 - t) ** (n - k) * p for k, p in enumerate(points))


def distances(nodes):
    apart = np.linalg.norm(nodes[:, None] - nodes[None], axis=-1)
    return apart[np.triu_indices(len(nodes), 1)]


def inside(points, box):
    left, top, width, height = box
    x, y = np.reshape(points, (-1, 2)).T
    return ((x >= left) & (x <= left + width) & (y >= top) & (y <= top + height)).all()


@pytest.mark.parametrize(
    ("graphs", "options"),
    [(UP_TO_FOUR, {}), (LARGER, {"names": True}), (BIPARTITE, {"bipartite": True}), (BIPARTITE[::4], {"names": True})],
)
def test_every_node_and_edge_is_there_apart_and_in_the_box(graphs, options):
    for graph in graphs:
        box, kinds, nodes, heads, curves = drawn(graph, **options)
        expected = {"path": graph.degree, "polygon": graph.degree, "circle": graph.nodes}
        assert kinds == expected | ({"text": graph.nodes} if options.get("names") else {}), graph
        assert (distances(nodes) > 20).all(), graph  # a node is 8 wide
        middles = heads.mean(axis=1)
        assert (np.linalg.norm(middles[:, None] - nodes[None], axis=-1) > 7).all(), graph  # no head under a node
        assert (distances(middles) > 3).all(), graph
        assert inside(nodes + 4, box), graph
        assert inside(nodes - 4, box), graph
        assert inside(heads, box), graph
        assert all(inside(line, box) for line in curves), graph


def test_nothing_crosses_that_need_not():
    """Every graph up to degree four is planar, and so is K4."""
    for graph in [*UP_TO_FOUR, InvariantGraph("01.02.03.12.13.23")]:
        if graph.connected and graph.nodes > 3:
            lines = {frozenset(e) for e in graph.edges if e[0] != e[1]}
            nodes = drawn(graph)[2]
            for a, b in ((tuple(e), tuple(f)) for e in lines for f in lines if not e & f):
                turns = [np.sign(np.linalg.det([nodes[q] - nodes[p], nodes[r] - nodes[p]]))
                         for (p, q), rs in ((a, b), (b, a)) for r in rs]  # fmt: skip
                assert not (turns[0] * turns[1] < 0 and turns[2] * turns[3] < 0), graph


def test_paths_are_straight_and_cycles_regular():
    for name in ("01.12", "01.02", "01.21.23.34", "00.01.12.23.34.45"):
        nodes = drawn(name)[2]
        assert np.ptp(nodes[:, 1]) == 0
        steps = sorted(np.diff(np.sort(nodes[:, 0])))
        assert steps == pytest.approx([46] * len(steps), abs=0.11)
    for n in (3, 4, 5, 6):
        cycle = InvariantGraph.from_edges([(k, (k + 1) % n) for k in range(n)])
        nodes = drawn(cycle)[2]
        radius = np.linalg.norm(nodes - nodes.mean(axis=0), axis=1)
        assert np.ptp(radius) < 0.5


def test_arrow_heads_point_along_the_edge():
    for graph in ["01", "01.10", "01.02.31", *random_graphs(5, 30, seed=1)]:
        graph = graph if isinstance(graph, InvariantGraph) else InvariantGraph(graph)
        _, _, nodes, heads, _ = drawn(graph)
        wanted = Counter(e for e in graph.edges if e[0] != e[1])
        seen = Counter()
        for head in heads:
            tip, back = head[0], head[1:].mean(axis=0)
            middle = head.mean(axis=0)
            # the edge whose line the head is nearest to, in the direction in which it points
            edge = min(
                wanted | Counter((j, i) for i, j in wanted),
                key=lambda e: bend(nodes[e[0]], nodes[e[1]], middle, tip - back),
                default=None,
            )
            if edge and bend(nodes[edge[0]], nodes[edge[1]], middle, tip - back) < 30:
                seen[edge] += 1
        assert all(seen[e] >= wanted[e] for e in wanted), graph
        assert all(seen[e] == 0 for e in seen if e not in wanted) or any(i == j for i, j in graph.edges), graph


def bend(start, end, middle, way):
    """How far a head is from the line of an edge; infinite if it points backwards or lies beyond an end."""
    along = (end - start) / np.linalg.norm(end - start)
    t = (middle - start) @ along / np.linalg.norm(end - start)
    if not 0.3 < t < 0.8 or way @ along < 0.9 * np.linalg.norm(way):
        return math.inf
    return float(np.linalg.norm(middle - start - t * (end - start)))


def test_parallel_edges_bend_apart():
    for name in ("01.01", "01.10", "01.01.10", "01.10.10.10", "01.02.20"):
        curves = drawn(name)[4]
        assert (distances(np.array([line[10] for line in curves])) > 8).all(), name


def test_names_stand_beside_their_nodes():
    for name in ("01.02.03", "00.01.12.20", "01.02.31.32+00"):
        svg = ET.fromstring(draw(name, names=True))
        for group in svg.iter("{http://www.w3.org/2000/svg}g"):
            dots = [(float(c.get("cx")), float(c.get("cy"))) for c in group if c.tag.endswith("circle")]
            texts = [(float(t.get("x")), float(t.get("y")) - 4) for t in group if t.tag.endswith("text")]
            for n, text in enumerate(texts):
                apart = [math.dist(text, dot) for dot in dots]
                assert min(apart) == apart[n] == pytest.approx(12, abs=0.2)


def test_two_rows_have_sources_above_and_sinks_below():
    for graph in BIPARTITE:
        _, _, nodes, _, _ = drawn(graph, bipartite=True)
        above = {i for i, _ in graph.edges}
        for n, (_, y) in enumerate(nodes):
            assert (y < 0) == (n in above), graph
    straight = drawn("01+01.02+01", bipartite=True)[2]
    assert straight[0, 0] == straight[1, 0]
    with pytest.raises(PigmmError, match=r"01\.12.; allowed: with bipartite=True"):
        draw("01.12", bipartite=True)


def test_large_graphs_are_drawn_too():
    for name in (".".join(f"0{n}" for n in range(1, 10)), ".".join(f"{i}{j}" for i in range(5) for j in range(5, 10))):
        box, _, nodes, heads, _ = drawn(name, bipartite=True)
        assert (distances(nodes) > 20).all()
        assert inside(heads, box)
        assert (distances(drawn(name)[2]) > 8).all()


def test_titles_names_and_ink():
    svg = ET.fromstring(draw("I17", names=True))
    assert svg[0].text == "invariant graph I17 = 00.00.01"
    assert svg.get("role") == "img"
    assert [t.text for t in svg.iter("{http://www.w3.org/2000/svg}text")] == ["0", "1"]
    assert not re.search(r"black|white|background|nan", draw("I17"))  # one mid-grey ink reads on light and on dark
    assert InvariantGraph("I17")._repr_svg_() == draw("I17")
    small, large = (ET.fromstring(draw("01.02", size=size)) for size in (50, 100))
    assert int(large.get("width")) == pytest.approx(2 * int(small.get("width")), abs=2)


def test_gallery():
    words = {"01.02": "squared <row> sums", "I8": "squared column sums"}
    html = gallery(words, words.values(), names=True)
    tree = ET.fromstring(html.replace("<br>", "<br/>"))
    assert tree.get("role") == "list"
    assert tree.get("aria-label") == "2 invariants drawn as graphs"
    figures = list(tree)
    assert [f.get("role") for f in figures] == ["listitem"] * 2
    assert ["".join(f[1].itertext()) for f in figures] == ["01.02squared <row> sums", "01.21squared column sums"]
    assert "<title>invariant graph I7 = 01.02</title>" in html
    assert "flex-wrap" in tree.get("style")
    assert gallery("01").count("<svg") == 1
    assert gallery(["01"]).count("<br>") == 0
    with pytest.raises(PigmmError, match="captions: got 1; allowed: one for each of the 2 graphs"):
        gallery(["01", "00"], ["sum"])
    with pytest.raises(PigmmError, match="empty"):
        gallery([])
