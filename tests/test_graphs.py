import random
from collections import Counter

import pytest

from pigmm import InvariantGraph, PigmmError, invariant_graphs
from pigmm.graphs import PAPER, as_graphs
from tests import slow_twins

UP_TO_FOUR = [g for k in (1, 2, 3, 4) for g in invariant_graphs(k)]


def shuffled_name(graph, rng):
    """The same graph in another spelling: other node numbers, edges and components in another order."""
    components = []
    for component in graph.components:
        numbers = rng.sample(range(10), 10)
        edges = ["".join(str(numbers[int(n)]) for n in edge) for edge in component.split(".")]
        components.append(".".join(rng.sample(edges, len(edges))))
    return "+".join(rng.sample(components, len(components)))


@pytest.mark.parametrize(("degree", "count"), [(1, 2), (2, 11), (3, 52), (4, 296), (5, 1724)])
def test_counts_are_oeis_a052171_and_burnside(degree, count):
    graphs = invariant_graphs(degree)
    assert len(graphs) == len({g.name for g in graphs}) == count == slow_twins.count_graphs(degree)
    assert {g.degree for g in graphs} == {degree}


def test_burnside_gives_degree_six():
    assert slow_twins.count_graphs(6) == 11060


def test_counts_by_nodes_and_of_connected_graphs():
    by_nodes = [sorted(Counter(g.nodes for g in invariant_graphs(k)).items()) for k in (2, 3, 4)]
    assert [[n for _, n in counts] for counts in by_nodes] == [
        [1, 5, 4, 1],
        [1, 9, 21, 16, 4, 1],
        [1, 18, 71, 108, 71, 22, 4, 1],
    ]
    assert [sum(g.connected for g in invariant_graphs(k)) for k in (1, 2, 3, 4)] == [2, 8, 32, 167]


def test_names_are_the_smallest_over_all_numberings():
    assert [g.name for g in UP_TO_FOUR] == [slow_twins.canonical_name(g) for g in UP_TO_FOUR]
    some = random.Random(0).sample(invariant_graphs(5), 60)
    assert [g.name for g in some] == [slow_twins.canonical_name(g) for g in some]


def test_every_spelling_leads_to_the_canonical_name():
    rng = random.Random(1)
    for graph in UP_TO_FOUR:
        assert InvariantGraph.from_name(graph.name) == graph
        for _ in range(3):
            spelling = shuffled_name(graph, rng)
            other = InvariantGraph.from_name(spelling)
            assert (other, hash(other)) == (graph, hash(graph)), spelling
        assert InvariantGraph.from_edges(graph.edges) == graph


def test_order_is_nodes_then_components_then_name():
    for degree in (2, 3, 4):
        keys = [(g.nodes, len(g.components), g.name) for g in invariant_graphs(degree)]
        assert keys == sorted(keys)


def test_the_paper_numbers_52_of_them():
    assert len(PAPER) == len(set(PAPER)) == 52
    assert [InvariantGraph(name).degree for name in PAPER] == [1] * 2 + [2] * 11 + [3] * 15 + [4] * 24
    for number, name in enumerate(PAPER, 1):
        graph = InvariantGraph.from_name(f"I{number}")
        assert (graph.name, graph.paper_index, graph.label) == (name, number, f"I{number}")
    assert {g.name for g in UP_TO_FOUR if g.paper_index} == set(PAPER)
    # The cubic and quartic ones are exactly those with 1, 2, 2k-1 or 2k nodes.
    for degree in (3, 4):
        chosen = {g.name for g in invariant_graphs(degree) if g.paper_index}
        assert chosen == {g.name for g in invariant_graphs(degree) if g.nodes in (1, 2, 2 * degree - 1, 2 * degree)}
    unnumbered = InvariantGraph("01.12.20")
    assert (unnumbered.paper_index, unnumbered.label) == (None, "01.12.20")


def test_parts_of_a_graph():
    graph = InvariantGraph("99+10+53.35")
    assert graph.name == str(graph.name) == "00+01+01.10"
    assert graph.edges == ((0, 0), (1, 2), (3, 4), (4, 3))
    assert graph.components == ("00", "01", "01.10")
    assert (graph.degree, graph.nodes, graph.connected, repr(graph)) == (4, 5, False, "InvariantGraph('00+01+01.10')")
    assert InvariantGraph("01.23").name == "01+01"  # pieces that hang together by '.' only are separate components
    assert InvariantGraph("01.12").connected
    with pytest.raises(AttributeError):
        graph.name = "00"


@pytest.mark.parametrize(
    "bad",
    ["0", "", "01..2", "01+", "+01", ".01", "01.2", "0 1", "01\n", "²³", "I0", "I53", "I017", "i17", "W", "01,12"],
)
def test_bad_names_explain_the_grammar(bad):
    with pytest.raises(PigmmError, match=r"graph name: got .*'01'.*joined by '\.'.*joined by '\+'.*'I1' to 'I52'"):
        InvariantGraph.from_name(bad)


@pytest.mark.parametrize("bad", [None, 17, 1.0, b"01", ["01"]])
def test_names_are_text(bad):
    with pytest.raises(PigmmError, match="graph name: got a .*; allowed: text"):
        InvariantGraph.from_name(bad)


def test_a_component_has_at_most_ten_nodes():
    star = [(0, n) for n in range(1, 10)]
    assert InvariantGraph.from_edges(star).name == ".".join(f"0{n}" for n in range(1, 10))
    complete = [(i, j) for i in range(10) for j in range(10)]  # so symmetric that a careless search would not end
    assert InvariantGraph.from_edges(complete).edges == tuple(complete)
    with pytest.raises(PigmmError, match="component with 11 nodes"):
        InvariantGraph.from_edges([*star, (0, 10)])
    with pytest.raises(PigmmError, match="pair"):
        InvariantGraph.from_edges([(0, 1, 2)])
    with pytest.raises(PigmmError, match="no edges"):
        InvariantGraph.from_edges([])


@pytest.mark.parametrize("degree", [0, -1, 7, 2.0, True, "3", None])
def test_degree_is_checked(degree):
    with pytest.raises(PigmmError, match="degree: .*from 1 to 6"):
        invariant_graphs(degree)


def test_as_graphs():
    g = InvariantGraph("00")
    assert as_graphs("00") == as_graphs(g) == as_graphs(["00"]) == as_graphs(iter([g])) == (g,)
    for bad in ([], (), 5, None):
        with pytest.raises(PigmmError, match="graphs"):
            as_graphs(bad)
    with pytest.raises(PigmmError, match="graph name"):
        as_graphs([5])
