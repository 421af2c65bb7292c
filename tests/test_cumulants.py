"""Connected cumulants, and expectations of degree five and six: set partitions, matchings, dense tensors, sampling."""

import itertools
import math
from fractions import Fraction
from types import SimpleNamespace

import numpy as np
import pytest

import pigmm
from pigmm import (
    GaussianMatrixModel,
    InvariantGraph,
    LabelledRowGaussian,
    PigmmError,
    SimpleGaussian,
    TwoSidedGaussian,
    bipartite_graphs,
    evaluate,
    expectation,
    invariant_graphs,
)
from pigmm.contraction import DIAGONAL, TWO_SIDED
from pigmm.cumulants import (
    Estimate,
    covariance,
    cumulant,
    cumulant_from_means,
    excess_cumulant,
    matrix_cumulant,
    measured_cumulant,
)
from pigmm.joint_cumulants import _table
from tests import slow_twins
from tests.dense import dense_law, random_parameters

UP_TO_FOUR = [g for k in (1, 2, 3, 4) for g in invariant_graphs(k)]
BIPARTITE = [g for k in (1, 2, 3, 4) for g in bipartite_graphs(k)]
CUBIC_QUARTIC = [g for g in UP_TO_FOUR if g.degree > 2]


def general_law(seed=0, dim=7):
    return GaussianMatrixModel(random_parameters(np.random.default_rng(seed)), dim)


def set_partitions(items):
    """All ways to split the items into blocks."""
    if not items:
        yield []
        return
    first, rest = items[0], items[1:]
    for others in set_partitions(rest):
        yield [[first], *others]
        for n in range(len(others)):
            yield [*others[:n], [first, *others[n]], *others[n + 1 :]]


def by_partitions(parts, moment):
    """The definition: sum over set partitions of (-1)^(b-1) (b-1)! times the moments of the blocks."""
    return sum(
        (-1) ** (len(blocks) - 1) * math.factorial(len(blocks) - 1) * math.prod(map(moment, blocks))
        for blocks in set_partitions(list(parts))
    )


def union(parts):
    return InvariantGraph("+".join(parts))


def random_graph(rng, degree, nodes):
    return InvariantGraph.from_edges(rng.integers(nodes, size=(degree, 2)).tolist())


def independent(law_of_entry, runs, dim, seed):
    return law_of_entry(np.random.default_rng(seed), (runs, dim, dim))


def exponential(rng, size):
    return rng.exponential(size=size)


# --- predicted cumulants ----------------------------------------------------------------------------------------------


def test_all_361_against_the_sum_over_set_partitions():
    law = general_law()
    moments = dict(zip(UP_TO_FOUR, expectation(UP_TO_FOUR, law), strict=True))
    expected = np.array([by_partitions(g.components, lambda block: moments[union(block)]) for g in UP_TO_FOUR])
    size = np.abs(list(moments.values()))
    np.testing.assert_allclose(cumulant(UP_TO_FOUR, law) / size, expected / size, atol=1e-12)
    joined = np.array([not g.connected for g in UP_TO_FOUR])
    assert (np.abs(expected - list(moments.values()))[joined] > 1e-6 * size[joined]).all()


def test_against_dense_moment_tensors():
    f, dim = random_parameters(np.random.default_rng(1)), 4
    tensors = {k: slow_twins.moment_tensor(*dense_law(f, dim), k) for k in (1, 2, 3, 4)}

    def moment(block):
        graph = union(block)
        return slow_twins.dense_expectation(graph, tensors[graph.degree], dim)

    expected = np.array([by_partitions(g.components, moment) for g in UP_TO_FOUR])
    size = np.array([dim**g.nodes for g in UP_TO_FOUR])
    np.testing.assert_allclose(cumulant(UP_TO_FOUR, GaussianMatrixModel(f, dim)) / size, expected / size, atol=1e-11)


@pytest.mark.parametrize(("rules", "graphs"), [(DIAGONAL, UP_TO_FOUR), (TWO_SIDED, BIPARTITE)])
def test_the_polynomials_count_matchings_that_tie_all_components_together(rules, graphs):
    """Every coefficient is positive; their sum is the number of connected matchings times the deltas of each pair."""
    whole = _table(tuple(g.components for g in graphs), rules)
    assert (whole.entries[4] > 0).all()
    totals = np.bincount(whole.entries[0], weights=whole.entries[4], minlength=len(graphs))
    for graph, total in zip(graphs, totals, strict=True):
        owner = [c for c, name in enumerate(graph.components) for _ in name.split(".")]
        expected = 0
        for matching in slow_twins.partial_matchings(list(range(graph.degree))):
            reached = {0}
            for _ in owner:
                for block in matching:
                    if reached & {owner[e] for e in block}:
                        reached |= {owner[e] for e in block}
            weights = [len(rules.mean) if len(block) == 1 else len(rules.covariance) for block in matching]
            expected += (len(reached) == len(graph.components)) * math.prod(weights)
        assert total == expected, graph


def test_powers_of_one_shared_number():
    """All entries the same number x of mean m and variance v: cumulants of powers of x in closed form."""
    D, m, v = 5, 0.7, 1.3
    law = TwoSidedGaussian([m, D * D * v, 0, 0, 0], (D, D))
    closed = {
        "01": D**2 * m, "01+01": D**4 * v, "01+01+01": 0, "01+01.01": D**4 * 2 * m * v,
        "01.01+01.01": D**4 * (4 * m**2 * v + 2 * v**2), "01+01+01.01": D**6 * 2 * v**2,
        "01+01.01.01": D**4 * (3 * m**2 * v + 3 * v**2),
    }  # fmt: skip
    np.testing.assert_allclose(cumulant(closed, law), list(closed.values()), rtol=1e-12, atol=1e-9)


def test_nothing_cancels_when_the_mean_is_huge():
    D, m, v = 6, 1e7, 1e-3
    law = SimpleGaussian(m, v, D)
    squares = 4 * m**2 * v * D**2 + 2 * v**2 * D**2
    third = 8 * v**3 * D**2 + 24 * m**2 * v**2 * D**2
    values = cumulant(["01+01", "01.01+01.01", "01.01+01.01+01.01"], law)
    np.testing.assert_allclose(values, [v * D**2, squares, third], rtol=1e-12)
    C = covariance(["01.01", "01", "01.02", "01.21"], law)
    assert (np.linalg.eigvalsh(C / np.sqrt(np.outer(np.diag(C), np.diag(C)))) > -1e-12).all()


def test_linear_invariants_have_two_cumulants_that_add_and_no_more():
    f, g = (random_parameters(np.random.default_rng(seed)) for seed in (2, 3))
    graphs = ["00", "01", "00+00", "00+01", "01+01"]
    values = [cumulant(graphs, GaussianMatrixModel(x, 6)) for x in (f, g, f + g)]
    np.testing.assert_allclose(values[0] + values[1], values[2], rtol=1e-12)
    assert (cumulant(["00+00+00", "00+00+01", "01+01+01+01"], GaussianMatrixModel(f, 6)) == 0).all()


def test_independent_groups_have_no_joint_cumulant():
    """Row sums, column sums and the rest are independent: without a common mean nothing joins their squares."""
    law = TwoSidedGaussian([0, 0, 2, 3, 0], (4, 6))  # W_ij = r_i + c_j, both centred
    row, column = "01.02", "01.21"
    values = cumulant([f"{row}+{column}", f"{row}+{row}+{column}", f"{row}+{row}"], law)
    np.testing.assert_allclose(values[:2], 0, atol=1e-9)
    assert values[2] > 1
    assert expectation(f"{row}+{column}", law)[0] > 1


def test_the_labelled_law_agrees_with_the_two_sided_one_where_they_overlap():
    M, N, m, p, q, r, s = 3, 5, 0.4, 0.2, 0.3, 0.15, 0.6
    eye, ones = np.eye(M), np.ones((M, M))
    labelled = LabelledRowGaussian(np.full(M, m), p * ones + q * eye, r * ones + s * eye, N)
    vr, vc = s + N * q, s + M * r
    law = TwoSidedGaussian([m, M * N * p + vr + vc - s, vr, vc, s], (M, N))
    graphs = [g for g in BIPARTITE if g.degree < 4] + ["01+01+01.02", "01+01.02.31"]
    np.testing.assert_allclose(cumulant(graphs, labelled), cumulant(graphs, law), rtol=1e-10, atol=1e-9)
    some = ["01", "01.02", "01.21+01"]
    np.testing.assert_allclose(covariance(some, labelled), covariance(some, law), rtol=1e-10)


# --- covariance matrices ----------------------------------------------------------------------------------------------


def test_variances_of_independent_entries_in_closed_form():
    D, v = 9, 0.6
    graphs = ["00", "01", "01.01", "01.10", "00.01", "01.02", "01.12", "01+01", "00.00"]
    m4 = 3 * v**2
    closed = [
        D * v, D**2 * v, D**2 * (m4 - v**2), D * m4 + D * (2 * D - 3) * v**2, D * m4 + D * (D - 2) * v**2,
        D**2 * m4 + D**2 * (2 * D - 3) * v**2, D * m4 + D * (D**2 + D - 3) * v**2,
        D**2 * m4 + D**2 * (2 * D**2 - 3) * v**2, D * (m4 - v**2),
    ]  # fmt: skip
    np.testing.assert_allclose(np.diag(covariance(graphs, SimpleGaussian(0, v, D))), closed, rtol=1e-12)


def test_covariance_is_made_of_expectations_of_unions():
    law = general_law(4)
    graphs = invariant_graphs(1) + invariant_graphs(2)
    C = covariance(graphs, law)
    E = expectation(graphs, law)
    pairs = [[union(g.components + h.components) for h in graphs] for g in graphs]
    expected = np.array([expectation(row, law) for row in pairs]) - np.outer(E, E)
    np.testing.assert_allclose(C, expected, rtol=1e-9, atol=1e-9 * np.abs(expected).max())
    assert (C == C.T).all()
    assert (np.linalg.eigvalsh(C / np.sqrt(np.outer(np.diag(C), np.diag(C)))) > -1e-12).all()
    assert covariance("00", law)[0, 0] == cumulant("00+00", law)[0]


def test_covariance_against_sampling():
    """40,000 matrices; a covariance has standard error sd(product of deviations)/√R, all within 4.5 of them."""
    law = TwoSidedGaussian([0.3, 0.5, 1.5, 0.7, 1.0], (3, 4))
    graphs = [g for g in BIPARTITE if g.degree < 4]
    values = evaluate(graphs, law.sample(40_000, seed=1))
    deviation = values - values.mean(axis=0)
    product = deviation[:, :, None] * deviation[:, None]
    z = (product.mean(axis=0) - covariance(graphs, law)) / (product.std(axis=0) / 200)
    assert np.abs(z).max() < 4.5
    assert np.abs((product.mean(axis=0) - 1.1 * covariance(graphs, law)) / (product.std(axis=0) / 200)).max() > 10


# --- measured cumulants -----------------------------------------------------------------------------------------------


def test_measured_against_the_sum_over_set_partitions():
    W = independent(exponential, 50, 5, 0)
    values = dict(zip(UP_TO_FOUR, evaluate(UP_TO_FOUR, W).mean(axis=0), strict=True))
    expected = np.array([by_partitions(g.components, lambda block: values[union(block)]) for g in UP_TO_FOUR])
    size = np.array(list(values.values()))
    np.testing.assert_allclose(measured_cumulant(UP_TO_FOUR, W).value / size, expected / size, atol=1e-12)
    table = {g.name: v for g, v in values.items()}
    np.testing.assert_allclose(cumulant_from_means(UP_TO_FOUR, table) / size, expected / size, atol=1e-12)


def test_exact_cumulants_of_a_small_population():
    """Integers, and the definition in fractions: 1, 4, 10 on three matrices whose only entries are shared."""
    W = np.array([1.0, 4.0, 10.0])[:, None, None] * np.ones((3, 2, 2))
    x = [Fraction(4 * n) for n in (1, 4, 10)]
    expected = [by_partitions("a" * n, lambda block: sum(v ** len(block) for v in x) / 3) for n in (2, 3, 4, 5)]
    values = measured_cumulant(["+".join(["01"] * n) for n in (2, 3, 4, 5)], W).value
    np.testing.assert_allclose(values, [float(e) for e in expected], rtol=1e-12)


def test_a_product_ensemble_has_independent_components():
    """Every trace with every sum off the diagonal: joint cumulants vanish, means of products do not."""
    a, b = np.meshgrid([1.0, 2.0, 5.0], [-1.0, 0.5, 3.0, 7.0])
    W = a.reshape(-1, 1, 1) * np.eye(4) + b.reshape(-1, 1, 1) * (1 - np.eye(4))
    off = W - np.einsum("rii->ri", W)[:, :, None] * np.eye(4)
    linear = np.einsum("rii->r", W), off.sum(axis=(1, 2))
    assert np.cov(*linear)[0, 1] == pytest.approx(0, abs=1e-12)
    # 01 = trace + off-diagonal sum, so K(00, 01) = K(00, 00) and K(00, 00, 01) = K(00, 00, 00)
    K = measured_cumulant(["00+00", "00+01", "00+00+00", "00+00+01", "00+00+00+01", "00+00+00+00"], W).value
    np.testing.assert_allclose(K[[0, 2, 4]], K[[1, 3, 5]], rtol=1e-12)
    assert abs(K[2]) > 1


def test_cumulants_of_sums_of_independent_ensembles_add():
    """Every X with every Y: exact for components of degree one, of any number."""
    X, Y = independent(exponential, 11, 3, 1), independent(exponential, 7, 3, 2) ** 2
    both = (X[:, None] + Y[None]).reshape(-1, 3, 3)
    graphs = ["00", "01+01", "00+01", "00+00+01", "01+01+01+01"]
    parts = [measured_cumulant(graphs, W).value for W in (X, Y, both)]
    np.testing.assert_allclose(parts[0] + parts[1], parts[2], rtol=1e-10)


def test_adding_a_constant_moves_only_the_first_cumulant_of_linear_invariants():
    W = independent(exponential, 40, 3, 3)
    graphs = ["01", "01+01", "00+01+01", "00+00+00+01"]
    here, there = measured_cumulant(graphs, W), measured_cumulant(graphs, W + 1000)
    np.testing.assert_allclose(there.value[1:], here.value[1:], rtol=1e-9)
    np.testing.assert_allclose(there.se, here.se, rtol=1e-9)
    assert there.value[0] == pytest.approx(here.value[0] + 9000)


def test_measured_cumulants_against_predicted_ones():
    law = general_law(5, 5)
    graphs = [g for g in UP_TO_FOUR if not g.connected]
    W = law.sample(6000, seed=2)
    estimate = excess_cumulant(graphs, W, law)
    assert np.abs(estimate.z).max() < 4.5
    assert 0.3 < np.sqrt((estimate.z**2).mean()) < 2
    wrong = GaussianMatrixModel(1.2 * law.parameters, 5)
    assert np.abs(excess_cumulant(graphs, W, wrong).z).max() > 8


@pytest.mark.parametrize("function", [measured_cumulant, excess_cumulant])
def test_joint_and_separate_relabelling(function):
    rng = np.random.default_rng(6)
    W = independent(exponential, 30, 5, 6)
    joint, other = rng.permuted(np.tile(np.arange(5), (2, 30, 1)), axis=2)
    runs = np.arange(30)[:, None, None]
    jointly = W[runs, joint[:, :, None], joint[:, None]]
    separately = W[runs, joint[:, :, None], other[:, None]]
    graphs = [g for g in UP_TO_FOUR if not g.connected]
    here, there, apart = (function(graphs, V) for V in (W, jointly, separately))
    np.testing.assert_allclose(there.value, here.value, rtol=1e-7, atol=1e-7)
    np.testing.assert_allclose(there.se, here.se, rtol=1e-7, atol=1e-9)
    two_sided = np.array([g.sides is not None for g in graphs])
    moved = np.abs(apart.value - here.value) > 1e-6 * np.abs(here.value)
    assert moved[~two_sided & (here.se > 0)].all()
    if function is measured_cumulant:  # the thirteen-parameter law itself changes under separate relabelling
        assert not moved[two_sided].any()


def test_separate_relabelling_of_rectangles():
    W = independent(exponential, 30, 5, 7)[:, :3]
    V = W[:, [2, 0, 1]][:, :, [4, 1, 0, 2, 3]]
    graphs = [g for g in BIPARTITE if not g.connected]
    for function in (measured_cumulant, excess_cumulant):
        here, there = function(graphs, W), function(graphs, V)
        np.testing.assert_allclose(there.value, here.value, rtol=1e-8, atol=1e-9)
        np.testing.assert_allclose(there.se, here.se, rtol=1e-8, atol=1e-9)
    cubic = bipartite_graphs(3)
    here, there = matrix_cumulant(cubic, W), matrix_cumulant(cubic, V)
    np.testing.assert_allclose(there.value, here.value, rtol=1e-8, atol=1e-9)


# --- standard errors --------------------------------------------------------------------------------------------------

SKEWED = independent(exponential, 300, 5, 8) * np.random.default_rng(9).uniform(0.7, 1.3, size=(300, 1, 1))


@pytest.mark.parametrize(
    ("function", "options"),
    [
        (measured_cumulant, {}),
        (excess_cumulant, {}),
        (excess_cumulant, {"law": TwoSidedGaussian}),
        (excess_cumulant, {"law": SimpleGaussian}),
        (excess_cumulant, {"law": LabelledRowGaussian}),
        (matrix_cumulant, {}),
        (matrix_cumulant, {"family": TwoSidedGaussian}),
    ],
)
def test_standard_errors_against_one_matrix_more(function, options):
    """Influence by differences, fit and all: 25 matrices, each 40 times, and one of them once more."""
    graphs = ["01+01.01", "01+01+01", "01.02+01.02", "01+01.02.31", "01.01.01", "01.02.31.32", "01+01+01+01"]
    graphs += [] if options else ["00+00.01", "00+01.12", "01.12.20", "00+01.12.20"]
    graphs = [g for g in graphs if function is not matrix_cumulant or InvariantGraph(g).degree in (3, 4)]
    few = SKEWED[:25]
    many = np.concatenate([few] * 40)
    start = function(graphs, many, **options).value
    more = np.array([function(graphs, np.concatenate([many, few[r : r + 1]]), **options).value for r in range(25)])
    influence = (more - start) * 1001
    expected = np.sqrt((influence**2).sum(axis=0) / 24 / 25)
    np.testing.assert_allclose(function(graphs, few, **options).se, expected, rtol=0.02)


def test_errors_are_those_of_repeated_experiments():
    """300 ensembles of 500 matrices: z of the excess over a fitted law has mean 0 and spread 1."""
    law = TwoSidedGaussian([0.2, 1.0, 1.5, 0.8, 1.0], (4, 4))
    graphs = ["01+01.02", "01.02+01.21", "01+01+01", "01.02+01.02", "01.01+01.02"]
    zs = np.array([excess_cumulant(graphs, law.sample(500, seed=s), TwoSidedGaussian).z for s in range(300)])
    assert (np.abs(zs.mean(axis=0)) < 0.25).all()
    np.testing.assert_allclose(zs.std(axis=0), 1, atol=0.15)


# --- what a Gaussian law lacks ----------------------------------------------------------------------------------------


def test_excess_of_connected_graphs_is_the_comparison_of_means():
    W = SKEWED[:60]
    connected = [g for g in CUBIC_QUARTIC if g.connected]
    table = pigmm.gaussianity.compare(W, connected)
    estimate = excess_cumulant(connected, W)
    np.testing.assert_allclose(estimate.value, table["measured"] - table["predicted"], rtol=1e-7, atol=1e-9)
    np.testing.assert_allclose(estimate.se, table["se_difference"], rtol=1e-7)
    np.testing.assert_allclose(estimate.z, table["z"], rtol=1e-6, atol=1e-8)


def test_what_the_fit_matches_has_no_excess():
    estimate = excess_cumulant(invariant_graphs(1) + invariant_graphs(2), SKEWED)
    assert (estimate.value == 0).all()
    assert (estimate.se == 0).all()
    assert (estimate.z == 0).all()
    two_sided = excess_cumulant(["01+01", "01.02", "01.12", "00"], SKEWED, TwoSidedGaussian)
    assert ((two_sided.se == 0) == [True, True, False, False]).all()


def same_entry(graph, D):
    """Index assignments for which all edges of the graph are the same matrix entry."""
    return D**2 if graph.sides else D


def test_matrix_cumulants_of_independent_entries():
    """Exponential numbers have cumulants 1, 2, 6; 8,000 matrices, all within 4.5 standard errors."""
    D = 5
    W = independent(exponential, 8000, D, 11) + 2.0
    graphs = CUBIC_QUARTIC[::4]
    closed = np.array([{3: 2, 4: 6}[g.degree] * same_entry(g, D) for g in graphs])
    estimate = matrix_cumulant(graphs, W)
    z = (estimate.value - closed) / estimate.se
    assert np.abs(z).max() < 4.5
    bipartite = [g for g in graphs if g.sides]
    estimate = matrix_cumulant(bipartite, W, TwoSidedGaussian)
    closed = np.array([{3: 2, 4: 6}[g.degree] * D**2 for g in bipartite])
    assert (np.abs(estimate.value - closed) < 4.5 * estimate.se).all()


def relabelled(W):
    """Every matrix with every joint relabelling."""
    permutations = np.array(list(itertools.permutations(range(W.shape[1]))))
    return W[:, permutations[:, :, None], permutations[:, None]].reshape(-1, *W.shape[1:])


def test_matrix_cumulants_of_sums_add():
    """Every X with every Y, both with all their relabellings: exact for every graph, unlike cumulants of components."""
    X, Y = (relabelled(independent(exponential, 2, 4, seed)) for seed in (12, 13))
    both = (X[:, None] + Y[None]).reshape(-1, 4, 4)
    graphs = CUBIC_QUARTIC[::6]
    parts = [matrix_cumulant(graphs, W).value for W in (X, Y, both)]
    np.testing.assert_allclose(parts[0] + parts[1], parts[2], rtol=1e-8, atol=1e-8)
    components = [measured_cumulant("01.01+01.01", W).value for W in (X, Y, both)]
    assert abs(components[0] + components[1] - components[2]) > 1


def test_matrix_cumulants_by_the_definition():
    """Entries of a relabelled population: κ of each choice of entries by set partitions of dense moments."""
    W = relabelled(independent(exponential, 2, 4, 14))
    flat = W.reshape(len(W), 16)
    m1, m2 = flat.mean(axis=0), flat.T @ flat / len(flat)
    m3 = np.einsum("ra,rb,rc->abc", flat, flat, flat, optimize=True) / len(flat)
    m4 = np.einsum("rx,ry->xy", *[(flat[:, :, None] * flat[:, None]).reshape(-1, 256)] * 2) / len(flat)
    dense = {1: m1, 2: m2, 3: m3, 4: m4.reshape([16] * 4)}
    for k, some in ((3, invariant_graphs(3)), (4, invariant_graphs(4)[::5])):
        tensor = np.zeros([16] * k)
        for blocks in set_partitions(list(range(k))):
            sign = (-1) ** (len(blocks) - 1) * math.factorial(len(blocks) - 1)
            operands = [x for block in blocks for x in (dense[len(block)], block)]
            tensor += sign * np.einsum(*operands, list(range(k)))
        expected = [slow_twins.dense_expectation(g, tensor, 4) for g in some]
        np.testing.assert_allclose(matrix_cumulant(some, W).value, expected, rtol=1e-8, atol=1e-8)


def test_matrix_cumulants_do_not_see_the_mean():
    graphs = CUBIC_QUARTIC[::4]
    here = matrix_cumulant(graphs, SKEWED)
    there = matrix_cumulant(graphs, SKEWED + 100 - 50 * np.eye(5))
    np.testing.assert_allclose(there.value, here.value, rtol=1e-7, atol=1e-7)
    np.testing.assert_allclose(there.se, here.se, rtol=1e-7)


def test_centred_quartics_are_measured_minus_predicted():
    """A sign drawn for each matrix makes all odd moments vanish in the population; exactly, with both signs present."""
    W = np.concatenate([SKEWED, -SKEWED])
    graphs = invariant_graphs(4)[::6]
    difference = evaluate(graphs, W).mean(axis=0) - expectation(graphs, GaussianMatrixModel.fit(W))
    np.testing.assert_allclose(matrix_cumulant(graphs, W).value, difference, rtol=1e-9, atol=1e-8)


# --- degree five and six ----------------------------------------------------------------------------------------------


def iid_twin(edges, mean, variance, D):
    """Independent entries: every matched pair merges starts and merges ends."""

    def walk(left, label):
        if not left:
            return D ** len(set(label.values()))
        (i, j), *rest = left
        total = mean * walk(rest, label)
        for n, (k, m) in enumerate(rest):
            merged = {v: label[i] if x == label[k] else x for v, x in label.items()}
            merged = {v: merged[j] if x == merged[m] else x for v, x in merged.items()}
            total += variance * walk(rest[:n] + rest[n + 1 :], merged)
        return total

    return walk(list(edges), {v: v for edge in edges for v in edge})


def test_degree_five_against_the_sum_over_matchings():
    rng, f = np.random.default_rng(20), random_parameters(np.random.default_rng(21))
    graphs = [random_graph(rng, 5, nodes) for nodes in (2, 3, 4, 5, 6, 8)]
    expected = [slow_twins.expectation(g, f, 6) for g in graphs]
    np.testing.assert_allclose(expectation(graphs, GaussianMatrixModel(f, 6)), expected, rtol=1e-10)


def test_degree_five_against_dense_tensors():
    rng, f, D = np.random.default_rng(22), random_parameters(np.random.default_rng(23)), 4
    tensor = slow_twins.moment_tensor(*dense_law(f, D), 5)
    graphs = [random_graph(rng, 5, rng.integers(2, 8)) for _ in range(60)]
    expected = np.array([slow_twins.dense_expectation(g, tensor, D) for g in graphs])
    size = np.array([D**g.nodes for g in graphs])
    np.testing.assert_allclose(expectation(graphs, GaussianMatrixModel(f, D)) / size, expected / size, atol=1e-10)


@pytest.mark.parametrize("degree", [5, 6])
def test_rectangular_graphs_against_dense_tensors(degree):
    M, N = 2, 3
    m, p, q, r, s = 0.4, 0.2, 0.3, 0.15, 0.6
    same = [np.kron(a, b) for a, b in itertools.product((np.ones((M, M)), np.eye(M)), (np.ones((N, N)), np.eye(N)))]
    C = p * same[0] + r * same[1] + q * same[2] + s * same[3]
    law = TwoSidedGaussian([m, M * N * p + N * q + M * r + s, s + N * q, s + M * r, s], (M, N))
    tensor = slow_twins.moment_tensor(np.full(M * N, m), C, degree).reshape((M, N) * degree)
    graphs = bipartite_graphs(degree) if degree == 5 else bipartite_graphs(6)[::6]
    expected = [np.einsum(tensor, [n for edge in g.edges for n in edge], []) for g in graphs]
    np.testing.assert_allclose(expectation(graphs, law), expected, rtol=1e-11)


def test_degree_six_of_independent_entries():
    rng = np.random.default_rng(24)
    graphs = [random_graph(rng, 6, rng.integers(2, 9)) for _ in range(40)]
    graphs.append(InvariantGraph("01.02.03.12.13.23"))  # four nodes joined pairwise
    expected = [iid_twin(g.edges, 0.3, 0.2, 7) for g in graphs]
    np.testing.assert_allclose(expectation(graphs, SimpleGaussian(0.3, 0.2, 7)), expected, rtol=1e-11)


def test_degree_six_in_closed_form():
    """Moments of the sum s and the trace t, which are jointly normal, and a Wishart trace."""
    law = general_law(25, 8)
    (m, t), C = expectation(["01", "00"], law), covariance(["01", "00"], law)
    v = C[0, 0]
    sixth = m**6 + 15 * m**4 * v + 45 * m**2 * v**2 + 15 * v**3
    fifth, fourth = m**5 + 10 * m**3 * v + 15 * m * v**2, m**4 + 6 * m**2 * v + 3 * v**2
    slope = C[0, 1] / v  # t = base + slope s + something independent of s
    base, rest = t - slope * m, C[1, 1] - slope * C[0, 1]
    mixed = (base**2 + rest) * fourth + 2 * base * slope * fifth + slope**2 * sixth
    values = expectation(["+".join(["01"] * 6), "+".join(["01"] * 4 + ["00"] * 2)], law)
    np.testing.assert_allclose(values, [sixth, mixed], rtol=1e-11)
    M, N = 4, 7  # E tr (W Wᵀ)³ of M × N independent entries
    hexagon = InvariantGraph.from_edges([("a", 1), ("b", 1), ("b", 2), ("c", 2), ("c", 3), ("a", 3)])
    wishart = M * N * (M**2 + N**2 + 3 * M * N + 3 * M + 3 * N + 4)
    assert expectation(hexagon, SimpleGaussian(0, 1, (M, N)))[0] == pytest.approx(wishart, rel=1e-13)


def test_one_shared_number_counts_pairings_and_odd_moments_vanish():
    rng, D = np.random.default_rng(26), 7
    shared = np.zeros(13)
    shared[2] = D**2
    six = [random_graph(rng, 6, rng.integers(2, 9)) for _ in range(30)] + [InvariantGraph("01.02.03.12.13.23")]
    five = [random_graph(rng, 5, rng.integers(2, 9)) for _ in range(30)]
    law = SimpleNamespace(parameters=shared, dim=D)
    np.testing.assert_allclose(expectation(six, law), [15.0 * D**g.nodes for g in six], rtol=1e-12)
    np.testing.assert_allclose(expectation(five, law), 0, atol=1e-9)
    f = random_parameters(rng)
    f[:2] = 0
    assert (expectation(five, GaussianMatrixModel(f, D)) == 0).all()
    assert (expectation(six, GaussianMatrixModel(f, D)) != 0).all()


def test_evaluating_degree_five_and_six():
    rng = np.random.default_rng(27)
    W = rng.normal(size=(5, 4, 4))
    graphs = [random_graph(rng, degree, rng.integers(2, 7)) for degree in (5, 6) for _ in range(40)]
    graphs.append(InvariantGraph("01.02.03.12.13.23"))
    expected = np.stack([slow_twins.evaluate_array(g, W) for g in graphs], axis=1)
    np.testing.assert_allclose(evaluate(graphs, W), expected, rtol=1e-10, atol=1e-10)


def test_cumulants_of_degree_five_and_six():
    law = general_law(28, 6)
    graphs = [InvariantGraph(n) for n in ("00+01+01.12.20", "01.10+01.12.02.21", "00+00+01+01.02", "01.12.20+01.12.20")]
    moments = {g: expectation(g, law)[0] for h in graphs for g in map(union, powerset(h.components))}
    expected = [by_partitions(g.components, lambda block: moments[union(block)]) for g in graphs]
    np.testing.assert_allclose(cumulant(graphs, law), expected, rtol=1e-8, atol=1e-8)


def powerset(parts):
    return [block for n in range(1, len(parts) + 1) for block in itertools.combinations(parts, n)]


# --- interface --------------------------------------------------------------------------------------------------------


def test_extreme_scales():
    graphs = ["01+01.02", "01+01+01", "01.01.01"]
    degree = np.array([3, 3, 3])
    for function in (measured_cumulant, excess_cumulant, matrix_cumulant):
        here = function(graphs[2:] if function is matrix_cumulant else graphs, SKEWED)
        for scale in (2.0**-100, 2.0**100):
            there = function(graphs[2:] if function is matrix_cumulant else graphs, scale * SKEWED)
            factor = scale ** degree[: len(here.value)]
            np.testing.assert_allclose(there.value, here.value * factor, rtol=1e-12)
            np.testing.assert_allclose(there.se, here.se * factor, rtol=1e-12)
            np.testing.assert_allclose(there.z, here.z, rtol=1e-12)
    law = GaussianMatrixModel.fit(SKEWED)
    tiny = GaussianMatrixModel(law.parameters * np.repeat([2.0**-100, 2.0**-200], [2, 11]), 5)
    np.testing.assert_allclose(
        excess_cumulant(graphs, 2.0**-100 * SKEWED, tiny).z, excess_cumulant(graphs, SKEWED, law).z, rtol=1e-9
    )
    np.testing.assert_allclose(cumulant(graphs, tiny), cumulant(graphs, law) * 2.0**-300, rtol=1e-12)
    with pytest.raises(PigmmError, match=r"too large or too small for degree 3.*Divide"):
        measured_cumulant(graphs, 1e120 * SKEWED)
    with pytest.raises(PigmmError, match="too large or too small"):
        matrix_cumulant("01.01.01.01", 1e-100 * SKEWED)


def test_matrices_without_variation():
    zero = measured_cumulant(["01", "01+01", "01.02"], np.zeros((3, 2, 2)))
    assert (zero.value == 0).all()
    assert (zero.se == 0).all()
    assert (zero.z == 0).all()
    same = measured_cumulant(["01", "01+01"], np.full((3, 2, 2), 0.1))
    np.testing.assert_allclose(same.value, [0.4, 0], atol=1e-15)
    for function in (excess_cumulant, matrix_cumulant):
        with pytest.raises(PigmmError, match="all equal"):
            function("01.01.01", np.ones((5, 4, 4)))
    with pytest.raises(PigmmError, match="times the spread"):
        excess_cumulant("01+01.01", SKEWED + 1e7)
    known = excess_cumulant("01+01", np.full((3, 2, 2), 0.1), SimpleGaussian(0.1, 1.0, 2))
    assert known.value[0] == pytest.approx(-4)
    assert known.z[0] == -np.inf


def test_a_large_mean_costs_no_digits():
    graphs = ["01+01+01", "00+00+01", "00+00+00+00"]
    here, there = excess_cumulant(graphs, SKEWED), excess_cumulant(graphs, SKEWED + 4096)
    np.testing.assert_allclose(there.value, here.value, rtol=1e-6)
    np.testing.assert_allclose(there.se, here.se, rtol=1e-3)


def test_rectangular_and_small_matrices_get_the_two_sided_law():
    W = independent(exponential, 40, 5, 30)[:, :2]
    graphs = ["01+01.02", "01.02+01.21"]
    for V in (W, W[:, :, :2]):
        default, chosen = excess_cumulant(graphs, V), excess_cumulant(graphs, V, TwoSidedGaussian)
        assert (default.value == chosen.value).all()
    assert isinstance(default, Estimate)


def test_means_over_epochs():
    archive = pigmm.load("mnist-gaussian")
    names = [g.name for g in UP_TO_FOUR]
    means = {name: [] for name in names}
    for epoch in (0, 50):
        for name, mean in zip(names, archive.features(epoch, 1).mean[13:], strict=True):
            means[name].append(mean)
    graphs = ["00+00", "01+01.02", "01+01+01+01"]
    values = cumulant_from_means(graphs, means)
    assert values.shape == (2, 3)
    for epoch, row in zip((0, 50), values, strict=True):
        # the published weights are rounded to three digits
        np.testing.assert_allclose(row, measured_cumulant(graphs, archive.weights(epoch, 1)).value, rtol=2e-3)


def test_bad_input():
    law = general_law()
    with pytest.raises(PigmmError, match="9 components; allowed: at most 8"):
        cumulant("+".join(["00"] * 9), law)
    with pytest.raises(PigmmError, match="degree 16; allowed: at most 15"):
        covariance(".".join(["00"] * 8), law)
    with pytest.raises(PigmmError, match="model: got"):
        cumulant("00+00", "gaussian")
    with pytest.raises(PigmmError, match=r"4x5 matrices; allowed: bipartite"):
        cumulant("00+00", SimpleGaussian(0, 1, (4, 5)))
    with pytest.raises(PigmmError, match=r"no average of 00; allowed: one for every product"):
        cumulant_from_means("00+00", {"00+00": 1.0})
    with pytest.raises(PigmmError, match="1 matrices; allowed: at least 2"):
        measured_cumulant("00+00", np.ones((4, 4)))
    with pytest.raises(PigmmError, match=r"W: got 4x5 matrices"):
        measured_cumulant("00+00", np.ones((3, 4, 5)))
    with pytest.raises(PigmmError, match=r"law: got shape \(7, 7\); allowed"):
        excess_cumulant("00+00", SKEWED, law)
    with pytest.raises(PigmmError, match="law: got 'simple'"):
        excess_cumulant("00+00", SKEWED, "simple")
    with pytest.raises(PigmmError, match="01.01 of degree 2; allowed: degree 3 or 4"):
        matrix_cumulant("01.01", SKEWED)
    with pytest.raises(PigmmError, match="family: got"):
        matrix_cumulant("01.01.01", SKEWED, SimpleGaussian)
    with pytest.raises(PigmmError, match="empty"):
        measured_cumulant([], SKEWED)
