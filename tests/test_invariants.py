import itertools
import random

import numpy as np
import pytest

from pigmm import InvariantGraph, PigmmError, bipartite_graphs, evaluate, invariant_graphs, invariants
from tests import slow_twins

UP_TO_FOUR = [g for k in (1, 2, 3, 4) for g in invariant_graphs(k)]
TWO_SIDED = ["01", "01+01", "01.02", "01.21", "01.01"]  # up to degree 2 those that rows and columns alone preserve


def matrices(*shape, seed=0):
    return np.random.default_rng(seed).normal(size=shape)


def small_integers(*shape, seed=0):
    return np.random.default_rng(seed).integers(-2, 3, size=shape)


def test_all_361_equal_the_brute_force_sum_exactly():
    W = small_integers(3, 4, 4)  # integers, so that nothing is rounded anywhere
    expected = [slow_twins.evaluate_array(g, W.astype(float)) for g in UP_TO_FOUR]
    np.testing.assert_array_equal(evaluate(UP_TO_FOUR, W), np.array(expected).T)


def test_degree_up_to_three_at_five_and_real_entries():
    W = matrices(2, 5, 5)
    graphs = [g for g in UP_TO_FOUR if g.degree <= 3]
    expected = np.array([slow_twins.evaluate_array(g, W) for g in graphs]).T
    np.testing.assert_allclose(evaluate(graphs, W), expected, rtol=1e-12, atol=1e-12)


def test_the_twin_itself_by_explicit_loops():
    W = matrices(3, 3)
    for name in ("00", "01.12.20", "00.01+10.12", "01.02.03"):
        graph = InvariantGraph(name)
        assert slow_twins.evaluate(graph, W) == pytest.approx(slow_twins.evaluate_array(graph, W[None])[0])


def test_familiar_ones():
    W = matrices(7, 6, 6)
    T = W.swapaxes(1, 2)
    trace = lambda M: np.trace(M, axis1=1, axis2=2)  # noqa: E731
    known = {
        "00": trace(W),
        "01": W.sum((1, 2)),
        "01.10": trace(W @ W),
        "01.12.20": trace(W @ W @ W),
        "01.12.23.30": trace(W @ W @ W @ W),
        "01.21.23.03": trace(W @ T @ W @ T),
        "01.02": (W.sum(1 + 1) ** 2).sum(1),  # squared row sums
        "01.21": (W.sum(1) ** 2).sum(1),  # squared column sums
        "01.12": (W @ W).sum((1, 2)),
        "00+01.01": trace(W) * (W**2).sum((1, 2)),
    }
    np.testing.assert_allclose(evaluate(known, W), np.array(list(known.values())).T, rtol=1e-11, atol=1e-11)


def test_the_papers_first_thirteen_by_their_formulas():
    W = matrices(5, 4, 4)
    d, r, c = np.diagonal(W, axis1=1, axis2=2), W.sum(2), W.sum(1)
    t, s = d.sum(1), r.sum(1)
    formulas = [
        *(t, s, (W**2).sum((1, 2)), (W * W.swapaxes(1, 2)).sum((1, 2)), (d * r).sum(1), (d * c).sum(1)),
        *((r**2).sum(1), (c**2).sum(1), (r * c).sum(1), s**2, (d**2).sum(1), t**2, t * s),
    ]
    values = evaluate([f"I{n}" for n in range(1, 14)], W)
    np.testing.assert_allclose(values, np.array(formulas).T, rtol=1e-11, atol=1e-11)


def test_intermediates_are_shared():
    """209 components of degree 3 and 4, and only W², WWᵀ and WᵀW are ever multiplied out."""
    plan = invariants._plan(invariant_graphs(3) + invariant_graphs(4))
    operations = [operation for operation, _, _ in plan.steps]
    assert (len(plan.results), operations.count("mm")) == (209, 3)
    assert len(operations) <= 340


def test_degree_five_and_six_with_and_without_the_tetrahedron():
    rng = random.Random(1)
    graphs = [g for g in rng.sample(invariant_graphs(5), 60) if g.nodes < 8]
    tetrahedra = ["01.02.03.12.13.23", "01.02.30.12.13.32.33", "01.02.03.04.12.13.23", "01.02.03.04.12.13.14.23.24.34"]
    graphs += [
        InvariantGraph(t)
        for t in [*tetrahedra, "00.01.12.23.34.40", "00.01.11.12.20.22", "01.12.23.34.45.50", "01.02.03.12.13.24.34"]
    ]
    W = small_integers(2, 3, 3, seed=2)
    expected = [slow_twins.evaluate_array(g, W.astype(float)) for g in graphs]
    np.testing.assert_allclose(evaluate(graphs, W), np.array(expected).T, rtol=1e-12)


def test_relabelling_rows_and_columns_together_changes_nothing():
    W = small_integers(4, 7, 7)
    order = np.random.default_rng(3).permutation(7)
    np.testing.assert_array_equal(evaluate(UP_TO_FOUR, W[:, order][:, :, order]), evaluate(UP_TO_FOUR, W))


def test_relabelling_rows_alone_preserves_the_bipartite_ones_only():
    W = small_integers(4, 7, 7)
    rows = W[:, np.random.default_rng(3).permutation(7)]
    same = (evaluate(UP_TO_FOUR, rows) == evaluate(UP_TO_FOUR, W)).all(axis=0)

    def bipartite(graph):  # no node is the end of one edge and the start of another
        return not {i for i, _ in graph.edges} & {j for _, j in graph.edges}

    assert [g.name for g, s in zip(UP_TO_FOUR, same, strict=True) if s] == [g.name for g in UP_TO_FOUR if bipartite(g)]
    assert {g.name for g, s in zip(UP_TO_FOUR, same, strict=True) if s and g.degree <= 2} == set(TWO_SIDED)


def test_averages_over_column_orders_span_the_bipartite_multigraphs():
    """With independent row and column symmetry 2, 11, 52, 296 shrink to 1, 4, 10, 33 (OEIS A007716)."""
    W = small_integers(60, 4, 4, seed=4)
    total = sum(evaluate(UP_TO_FOUR, W[:, :, list(order)]) for order in itertools.permutations(range(4)))
    degrees = np.array([g.degree for g in UP_TO_FOUR])
    assert [slow_twins.rank_modulo(total[:, degrees == k]) for k in (1, 2, 3, 4)] == [1, 4, 10, 33]


def test_they_are_linearly_independent_at_twice_the_degree():
    W = small_integers(370, 8, 8, seed=5)  # five values, so that w, w², w³, w⁴ stay independent
    assert slow_twins.rank_modulo(evaluate(UP_TO_FOUR, W)) == 361
    small = evaluate(UP_TO_FOUR, W[:, :2, :2])  # at D = 2 four numbers make few polynomials: the check can fail
    assert slow_twins.rank_modulo(small) < 100


def test_degree_is_the_power_of_a_common_factor_even_of_extreme_ones():
    W = matrices(3, 5, 5)
    base = evaluate(UP_TO_FOUR, W)
    degrees = np.array([g.degree for g in UP_TO_FOUR])
    for exponent in (100, -100):  # powers of two rescale without rounding; 2^100 is about 1e30
        np.testing.assert_array_equal(evaluate(UP_TO_FOUR, W * 2.0**exponent), base * 2.0 ** (exponent * degrees))


def test_overflow_is_an_error_and_names_the_matrix():
    W = np.ones((3, 2, 2))
    W[1] = 1e100
    with pytest.raises(PigmmError, match=r"invariant 00\.00\.00\.00 of matrix 1: .*1e\+100.*Divide"):
        evaluate(["00", "I29"], W)
    assert evaluate("I29", W[1] / 1e200)[0, 0] == 0  # underflow rounds to zero


@pytest.mark.parametrize("dim", [1, 2, 3])
def test_tiny_matrices(dim):
    W = small_integers(2, dim, dim)
    graphs = [g for g in UP_TO_FOUR if g.nodes <= 6]
    expected = [slow_twins.evaluate_array(g, W.astype(float)) for g in graphs]
    np.testing.assert_array_equal(evaluate(graphs, W), np.array(expected).T)


def test_chunks_do_not_show(monkeypatch):
    W = matrices(50, 6, 6)
    whole = evaluate(UP_TO_FOUR, W)
    monkeypatch.setattr(invariants, "_CHUNK", 7 * 36)
    np.testing.assert_allclose(evaluate(UP_TO_FOUR, W), whole, rtol=1e-13, atol=1e-13)
    monkeypatch.setattr(invariants, "_CHUNK", 1)
    np.testing.assert_allclose(evaluate(UP_TO_FOUR, W), whole, rtol=1e-13, atol=1e-13)


def test_shapes_dtypes_and_kinds_of_graphs():
    W = matrices(4, 5, 5)
    graphs = [InvariantGraph("01.12"), "I3", "21.10"]
    values = evaluate(iter(graphs), W)
    assert values.shape == (4, 3)
    assert values.dtype == np.float64
    np.testing.assert_array_equal(values[:, 0], values[:, 2])
    assert evaluate("01", W).shape == evaluate(graphs[0], W).shape == (4, 1)
    np.testing.assert_allclose(evaluate(graphs, W[2]), values[2:3], rtol=1e-14)
    np.testing.assert_allclose(evaluate(graphs, np.asfortranarray(W)[::-1]), values[::-1], rtol=1e-14)
    single = W.astype(np.float32)
    np.testing.assert_array_equal(evaluate(graphs, single), evaluate(graphs, single.astype(np.float64)))
    assert evaluate("01.01", (W > 0).tolist()).tolist() == (W > 0).sum((1, 2))[:, None].tolist()


def test_the_weights_are_left_alone():
    W = matrices(4, 5, 5)
    before = W.copy()
    evaluate(UP_TO_FOUR, W)
    np.testing.assert_array_equal(W, before)


@pytest.mark.parametrize(
    ("W", "message"),
    [
        (np.ones((3, 4, 5)), "4x5"),
        (np.ones(4), "shape"),
        (np.ones((0, 4, 4)), "shape"),
        (np.ones((2, 0, 0)), "shape"),
        (np.ones((2, 4, 4), dtype=complex), "complex"),
        (np.full((2, 4, 4), None), "object"),
        ([[1, 2], [3]], "inhomogeneous"),
        ("01", "dtype"),
    ],
)
def test_bad_matrices(W, message):
    with pytest.raises(PigmmError, match=message):
        evaluate(["01", "01.12"], W)


@pytest.mark.parametrize("shape", [(3, 5), (5, 3), (1, 4), (4, 1), (2, 2)])
def test_bipartite_invariants_of_rectangular_matrices_are_sums_over_rows_and_columns(shape):
    graphs = [g for k in range(1, 5) for g in bipartite_graphs(k)]
    W = np.random.default_rng(0).normal(size=(4, *shape))
    padded = np.zeros((4, 8, 8))  # zeros beyond the matrix: a row index outside of it contributes nothing
    padded[:, : shape[0], : shape[1]] = W
    slow = [slow_twins.evaluate_array(g, padded) for g in graphs]
    np.testing.assert_allclose(evaluate(graphs, W), np.transpose(slow), rtol=1e-12, atol=1e-12)


def test_bipartite_invariants_ignore_the_order_of_rows_and_of_columns():
    rng = np.random.default_rng(1)
    graphs = [g for k in range(1, 6) for g in bipartite_graphs(k)]
    W = rng.normal(size=(3, 4, 7))
    moved = W[:, rng.permutation(4)][:, :, rng.permutation(7)]
    np.testing.assert_allclose(evaluate(graphs, moved), evaluate(graphs, W), rtol=1e-10, atol=1e-10)
    mixed = W.copy()
    mixed[:, 0] = W[:, 0, ::-1]  # one row alone: not a relabelling, so row sums stay and the rest moves
    change = np.abs(evaluate(["01.02", "01.21"], mixed) - evaluate(["01.02", "01.21"], W)).max(axis=0)
    assert change[0] < 1e-10 < 1e-2 < change[1]


@pytest.mark.parametrize("bad", [np.nan, np.inf, -np.inf])
def test_bad_numbers_name_the_matrix(bad):
    W = np.ones((6, 4, 4))
    W[3, 1, 2] = bad
    with pytest.raises(PigmmError, match=r"first in number 3"):
        evaluate(["01"], W)


def test_no_graphs_and_unknown_graphs():
    with pytest.raises(PigmmError, match="empty"):
        evaluate([], np.ones((2, 4, 4)))
    with pytest.raises(PigmmError, match="graph name"):
        evaluate(["nonsense"], np.ones((2, 4, 4)))
