import math
from types import SimpleNamespace

import numpy as np
import pytest

import pigmm
from pigmm import InvariantGraph, PigmmError, bipartite_graphs, evaluate, expectation, invariant_graphs
from pigmm.irreps import sufficient_statistics, two_sided_statistics
from pigmm.wick import CLASSES, coefficients, jacobian, predict
from tests import slow_twins
from tests.dense import dense_law, random_parameters

UP_TO_FOUR = [g for k in (1, 2, 3, 4) for g in invariant_graphs(k)]
DEGREES = np.array([g.degree for g in UP_TO_FOUR])
CUBIC_QUARTIC = invariant_graphs(3) + invariant_graphs(4)


def law(f, dim):
    return SimpleNamespace(parameters=np.asarray(f, dtype=float), dim=dim)


def iid(mean, variance, dim):
    """f1 … f13 of independent entries."""
    return np.array([dim * mean, 0, *np.array([1, 0, 1, 1, 0, 0, 1, 0, 1, 1, 1]) * variance])


def parameters(seed):
    return random_parameters(np.random.default_rng(seed))


# --- the coefficients against the dense covariance --------------------------------------------------------------------


@pytest.mark.parametrize("dim", [4, 5, 7])
def test_coefficients_rebuild_the_dense_mean_and_covariance(dim):
    f = parameters(dim)
    a, b, *c = coefficients(f, dim)
    index = np.indices((dim,) * 4)
    covariance = np.zeros((dim,) * 4)
    for value, members in zip(c, CLASSES, strict=True):
        for partition in members:
            same = [index[p] == index[partition.index(d)] for p, d in enumerate(partition)]
            covariance += value * np.all(same, axis=0)
    mean, dense = dense_law(f, dim)
    np.testing.assert_allclose((a + b * np.eye(dim)).ravel(), mean, atol=1e-13)
    np.testing.assert_allclose(covariance.reshape(dim**2, dim**2), dense, atol=1e-13)


def test_the_classes_are_the_fifteen_set_partitions():
    flat = [p for members in CLASSES for p in members]
    growth = ["0"]
    for _ in range(3):
        growth = [g + str(d) for g in growth for d in range(2 + int(max(g)))]
    assert sorted(flat) == sorted(growth)


# --- predictions against slower ways ----------------------------------------------------------------------------------


@pytest.mark.parametrize(("dim", "degree"), [(4, 4), (5, 3)])
def test_all_against_dense_moment_tensors(dim, degree):
    f = parameters(10 + dim)
    tensors = {k: slow_twins.moment_tensor(*dense_law(f, dim), k) for k in range(1, degree + 1)}
    graphs = [g for g in UP_TO_FOUR if g.degree <= degree]
    expected = np.array([slow_twins.dense_expectation(g, tensors[g.degree], dim) for g in graphs])
    scale = np.array([dim**g.nodes for g in graphs])  # number of terms: the natural size to compare rounding with
    np.testing.assert_allclose(expectation(graphs, law(f, dim)) / scale, expected / scale, rtol=1e-11, atol=1e-12)


@pytest.mark.parametrize("dim", [4, 5, 10, 640])
def test_all_361_against_the_sum_over_matchings(dim):
    f = parameters(20 + dim)
    graphs = UP_TO_FOUR if dim == 10 else UP_TO_FOUR[::7]
    expected = np.array([slow_twins.expectation(g, f, dim) for g in graphs])
    np.testing.assert_allclose(predict(graphs, f, dim), expected, rtol=1e-9)


def test_degree_five_and_six():
    f = parameters(3)
    graphs = [InvariantGraph(n) for n in ("00.01.12.20.22", "01+01.12+10.12", "01.02.03.12.13.23", "00+00+01.10+01.12")]
    expected = np.array([slow_twins.expectation(g, f, 6) for g in graphs])
    np.testing.assert_allclose(predict(graphs, f, 6), expected, rtol=1e-10)


def test_monte_carlo_with_stated_error():
    """20,000 matrices of the dense law; among 348 correlated means none is 4.5 standard errors off."""
    f, dim = parameters(4), 4
    mean, covariance = dense_law(f, dim)
    W = np.random.default_rng(6).multivariate_normal(mean, covariance, size=20_000).reshape(-1, dim, dim)
    values = evaluate(CUBIC_QUARTIC, W)
    z = (values.mean(0) - expectation(CUBIC_QUARTIC, law(f, dim))) / (values.std(0) / math.sqrt(len(W)))
    assert np.abs(z).max() < 4.5
    assert 0.3 < np.sqrt((z**2).mean()) < 2
    wrong = (values.mean(0) - expectation(CUBIC_QUARTIC, law(1.1 * f, dim))) / (values.std(0) / math.sqrt(len(W)))
    assert np.abs(wrong).max() > 10


# --- predictions against closed forms ---------------------------------------------------------------------------------


@pytest.mark.parametrize("dim", [4, 10, 100])
def test_variances_of_the_quadratic_invariants_of_independent_entries(dim):
    """Var I = E[I²] - E[I]², where I² is the graph drawn twice; m4 = 3 m2² for a normal law."""
    D, m2 = dim, 0.7
    m4 = 3 * m2**2
    published = {
        1: D * m2,
        2: D**2 * m2,
        3: D**2 * (m4 - m2**2),
        4: D * m4 + D * (2 * D - 3) * m2**2,
        12: D * m4 + D * (2 * D - 3) * m2**2,
        5: D * m4 + D * (D - 2) * m2**2,
        6: D * m4 + D * (D - 2) * m2**2,
        7: D**2 * m4 + D**2 * (2 * D - 3) * m2**2,
        8: D**2 * m4 + D**2 * (2 * D - 3) * m2**2,
        9: D * m4 + D * (D**2 + D - 3) * m2**2,
        13: D * m4 + D * (D**2 + D - 3) * m2**2,
        10: D**2 * m4 + D**2 * (2 * D**2 - 3) * m2**2,
        11: D * (m4 - m2**2),
    }
    names = [InvariantGraph(f"I{n}").name for n in published]
    model = law(iid(0, m2, dim), dim)
    variance = expectation([f"{n}+{n}" for n in names], model) - expectation(names, model) ** 2
    np.testing.assert_allclose(variance, list(published.values()), rtol=1e-11)


def test_one_shared_random_number_counts_pairings():
    """All entries the same normal number: E = D^nodes × 1·3·5…, or with mean 1 the involutions 1, 2, 4, 10, …"""
    dim = 7
    graphs = [*UP_TO_FOUR, *map(InvariantGraph, ("01.12.20.33+01", "00.01+01.12.21+01", "01.12.23.34.40.02"))]
    nodes = np.array([float(dim) ** g.nodes for g in graphs])
    only_variance = np.zeros(13)
    only_variance[2] = dim**2
    with_mean = only_variance.copy()
    with_mean[0] = dim
    pairings = {1: 0, 2: 1, 3: 0, 4: 3, 5: 0, 6: 15}
    involutions = {1: 1, 2: 2, 3: 4, 4: 10, 5: 26, 6: 76}
    for f, count in ((only_variance, pairings), (with_mean, involutions)):
        expected = nodes * [count[g.degree] for g in graphs]
        np.testing.assert_allclose(predict(graphs, f, dim), expected, rtol=1e-12, atol=1e-9)


def test_no_randomness_leaves_the_invariant_of_the_mean():
    f = np.zeros(13)
    f[:2] = 1.3, -0.4
    mean, _ = dense_law(f, 6)
    np.testing.assert_allclose(predict(UP_TO_FOUR, f, 6), evaluate(UP_TO_FOUR, mean.reshape(6, 6))[0], rtol=1e-11)


def test_odd_centred_moments_vanish():
    f = parameters(5)
    f[:2] = 0
    values = predict(UP_TO_FOUR, f, 8)
    assert (values[DEGREES % 2 == 1] == 0).all()
    assert (values[DEGREES % 2 == 0] != 0).all()


@pytest.mark.parametrize("dim", [4, 10])
def test_wishart_and_orthogonal_ensembles(dim):
    """Traces known from random-matrix theory: independent entries, and symmetric matrices (GOE)."""
    D = dim
    independent = predict(["01.21.23.03", "01.12.23.30", "01.10"], iid(0, 1, D), D)
    np.testing.assert_allclose(independent, [D**2 * (2 * D + 1), D * (D + 2), D], rtol=1e-12)
    # Cov = δ_ik δ_jl + δ_il δ_jk: variance 2 on symmetric matrices, none on antisymmetric ones
    goe = [0, 0, 2, 0, 2, 1, 1, 0, 1, 0, 2, 2, 0]
    np.testing.assert_allclose(predict(["01.10", "01.12.23.30"], goe, D), [D**2 + D, D * (2 * D**2 + 5 * D + 5)])


def test_scaling_the_weights():
    f, scale = parameters(6), 3.0
    scaled = np.concatenate([f[:2] * scale, f[2:] * scale**2])
    np.testing.assert_allclose(predict(UP_TO_FOUR, scaled, 9), predict(UP_TO_FOUR, f, 9) * scale**DEGREES, rtol=1e-9)


def test_fitted_model_returns_the_thirteen_averages_it_was_fitted_to():
    W = np.random.default_rng(8).standard_t(4, size=(40, 6, 6)) + 0.3  # any law: matching moments is what the fit does
    graphs = invariant_graphs(1) + invariant_graphs(2)
    predicted = expectation(graphs, pigmm.GaussianMatrixModel.fit(W))
    np.testing.assert_allclose(predicted, evaluate(graphs, W).mean(0), rtol=1e-11)
    cubic = invariant_graphs(3)
    assert not np.allclose(expectation(cubic, pigmm.GaussianMatrixModel.fit(W)), evaluate(cubic, W).mean(0), rtol=0.01)


# --- rows and columns relabelled separately, any shape ----------------------------------------------------------------


BIPARTITE = [g for k in (1, 2, 3, 4) for g in bipartite_graphs(k)]
FIVE = [0.4, 0.9, 0.5, 0.6, 0.3]


def dense_two_sided(parameters, M, N):
    """Mean and covariance from the four projections, without p, q, r, s."""
    m, *variances = parameters
    flat = [np.ones((n, n)) / n for n in (M, N)]
    parts = [(J, np.eye(len(J)) - J) for J in flat]
    which = [(0, 0), (1, 0), (0, 1), (1, 1)]  # (side of the rows, side of the columns) for 00, rows, columns, bulk
    covariance = sum(v * np.kron(parts[0][a], parts[1][b]) for v, (a, b) in zip(variances, which, strict=True))
    return np.full(M * N, m), covariance


@pytest.mark.parametrize("shape", [(2, 3), (3, 2), (1, 3), (3, 3)])
def test_bipartite_graphs_against_dense_moment_tensors(shape):
    for degree in (1, 2, 3, 4):
        tensor = slow_twins.moment_tensor(*dense_two_sided(FIVE, *shape), degree).reshape(shape * degree)
        for graph in bipartite_graphs(degree):
            indices = [n for edge in graph.edges for n in edge]
            expected = np.einsum(tensor, indices, [])
            assert predict(graph, FIVE, shape)[0] == pytest.approx(expected, rel=1e-11)


def test_five_parameters_in_a_square_are_thirteen_in_disguise():
    model = pigmm.TwoSidedGaussian(FIVE, (7, 7))
    np.testing.assert_allclose(expectation(BIPARTITE, model), expectation(BIPARTITE, model.to_diagonal()), rtol=1e-12)
    np.testing.assert_allclose(expectation(UP_TO_FOUR, model), expectation(UP_TO_FOUR, model.to_diagonal()), rtol=1e-12)
    other = pigmm.TwoSidedGaussian([0.4, 0.9, 0.6, 0.5, 0.3], (7, 7))  # rows and columns exchanged
    assert expectation("01.02", model)[0] == pytest.approx(expectation("01.21", other)[0], rel=1e-13)
    assert expectation("01.02", model)[0] != pytest.approx(expectation("01.21", model)[0], rel=1e-3)


def test_cubic_and_quartic_expectations_span_ten_and_thirty_three_dimensions():
    rng = np.random.default_rng(0)
    laws = [pigmm.TwoSidedGaussian(rng.uniform(0.2, 2, 5), (9, 9)) for _ in range(400)]
    for degree, dimensions in ((3, 10), (4, 33)):
        values = np.array([expectation(invariant_graphs(degree), model) for model in laws])
        assert np.linalg.matrix_rank(values / np.abs(values).max(axis=0), tol=1e-8) <= dimensions
        wider = np.array([predict(invariant_graphs(degree), parameters(k), 9) for k in range(60)])
        assert np.linalg.matrix_rank(wider / np.abs(wider).max(axis=0), tol=1e-8) > dimensions


@pytest.mark.parametrize("family", [pigmm.TwoSidedGaussian, pigmm.SimpleGaussian])
@pytest.mark.parametrize("shape", [(4, 6), (5, 5)])
def test_jacobian_of_the_smaller_fits_against_finite_differences(family, shape):
    rng = np.random.default_rng(1)
    W = rng.normal(0.3, 1, size=(40, *shape)) + rng.normal(size=(40, shape[0], 1))
    graphs = BIPARTITE if shape[0] != shape[1] else UP_TO_FOUR
    weights, step = rng.normal(size=40), 1e-4

    def fit(tilt):  # the law fitted to runs that count 1 + tilt·weight
        count = (1 + tilt * weights) / (1 + tilt * weights).sum()
        mean = count @ two_sided_statistics(W)
        v00 = W[0].size * (mean[1] - mean[0] ** 2)
        law = pigmm.TwoSidedGaussian([mean[0], v00, *mean[2:]], shape)
        if family is pigmm.SimpleGaussian:
            dims = np.array([block.dim for block in law.decomposition.blocks])
            law = pigmm.SimpleGaussian(mean[0], dims @ law.parameters[1:] / dims.sum(), shape)
        return law, mean

    (up, t_up), (down, t_down) = fit(step), fit(-step)
    change = (expectation(graphs, up) - expectation(graphs, down)) / (2 * step)
    linear = jacobian(graphs, family.fit(W)) @ (t_up - t_down) / (2 * step)
    np.testing.assert_allclose(linear, change, rtol=1e-5, atol=1e-6 * np.abs(change).max())


# --- the Jacobian -----------------------------------------------------------------------------------------------------


def fitted(t):
    """f1 … f13 from the averages of the 13 statistics."""
    f = np.array(t, dtype=float)
    f[..., 2] -= t[..., 0] ** 2
    f[..., 3] -= t[..., 0] * t[..., 1]
    f[..., 4] -= t[..., 1] ** 2
    return f


def test_jacobian_against_finite_differences():
    dim, f = 7, parameters(7)
    t = f.copy()
    t[2:5] += f[0] ** 2, f[0] * f[1], f[1] ** 2
    h = 1e-4
    up, down = (predict(UP_TO_FOUR, fitted(t + s * h * np.eye(13)), dim) for s in (1, -1))
    J = jacobian(UP_TO_FOUR, law(f, dim))
    assert J.shape == (361, 13)
    size = np.abs(J).max(axis=1, keepdims=True)
    np.testing.assert_allclose(J / size, (up - down).T / (2 * h) / size, atol=1e-6)


def test_jacobian_turns_the_quadratic_invariants_into_the_statistics():
    """They are linear in the 13 statistics, hence I(W) = J t(W) exactly and every influence vanishes."""
    W = np.random.default_rng(9).normal(size=(30, 5, 5))
    graphs = invariant_graphs(1) + invariant_graphs(2)
    J = jacobian(graphs, pigmm.GaussianMatrixModel.fit(W))
    np.testing.assert_allclose(sufficient_statistics(W) @ J.T, evaluate(graphs, W), atol=1e-11)


# --- interface --------------------------------------------------------------------------------------------------------


def test_many_laws_at_once():
    f = np.array([[parameters(s) for s in range(3)], [parameters(s) for s in range(3, 6)]])
    together = predict(CUBIC_QUARTIC, f, 10)
    assert together.shape == (2, 3, 348)
    for place in np.ndindex(2, 3):
        np.testing.assert_allclose(together[place], predict(CUBIC_QUARTIC, f[place], 10), rtol=1e-12)
        np.testing.assert_allclose(coefficients(f, 10)[place], coefficients(f[place], 10), rtol=1e-12)


def test_every_law_that_embeds_in_the_thirteen():
    D, graphs = 6, ["01", "01.01", "01.10", "01.12.23.30", "01.02.03"]
    simple = pigmm.SimpleGaussian(0.2, 0.5, shape=D)
    expected = predict(graphs, iid(0.2, 0.5, D), D)
    np.testing.assert_allclose(expectation(graphs, simple), expected, rtol=1e-12)
    np.testing.assert_allclose(expectation(graphs, simple.to_two_sided()), expected, rtol=1e-12)
    np.testing.assert_allclose(expectation(graphs, simple.to_diagonal()), expected, rtol=1e-12)
    np.testing.assert_allclose(expectation(graphs, law(iid(0.2, 0.5, D), D)), expected, rtol=1e-12)


def test_order_repetition_and_single_graphs():
    model = law(parameters(1), 5)
    assert expectation("I3", model).shape == (1,)
    twice = expectation(["01.12", "00", "01.12"], model)
    assert twice[0] == twice[2] == pytest.approx(expectation(InvariantGraph("21.10"), model)[0], rel=1e-13)


@pytest.mark.parametrize(
    "model", [None, 5, np.ones(13), "iid", SimpleNamespace(parameters=np.ones(13)), law(np.ones((2, 13)), 5)]
)
def test_other_models_are_refused(model):
    for function in (expectation, jacobian):
        with pytest.raises(PigmmError, match="model: got"):
            function("00", model)


def test_graphs_that_a_law_cannot_serve_are_refused():
    rectangular = pigmm.TwoSidedGaussian([0, 1, 1, 1, 1], shape=(4, 5))
    for function in (expectation, jacobian):
        with pytest.raises(PigmmError, match="bipartite"):
            function("00", rectangular)
    with pytest.raises(PigmmError, match="D at least 4"):
        expectation("00", pigmm.TwoSidedGaussian([0, 1, 1, 1, 1], shape=(3, 3)))
    labelled = pigmm.LabelledRowGaussian.fit(np.random.default_rng(0).normal(size=(50, 4, 4)))
    with pytest.raises(PigmmError, match="without labels"):
        jacobian("01", labelled)


@pytest.mark.parametrize("dim", [(3,), (0, 4), (2.0, 3), "4x5", (2, True)])
def test_bad_shapes(dim):
    with pytest.raises(PigmmError, match="dim: got"):
        predict("01", np.ones(5), dim)


@pytest.mark.parametrize(
    ("f", "dim", "message"),
    [
        (np.ones(12), 5, r"parameters: got shape \(12,\)"),
        (1.0, 5, "parameters: got shape"),
        ([None] * 13, 5, "parameters: got nan"),
        (["a"] * 13, 5, "parameters"),
        ([np.nan] + [1] * 12, 5, "parameters: got nan"),
        ([np.inf] + [1] * 12, 5, "parameters: got inf"),
        (np.ones(13), 3, "dim: got 3"),
        (np.ones(13), 4.0, r"dim: got 4\.0"),
        (np.ones(13), True, "dim: got True"),
    ],
)
def test_bad_parameters(f, dim, message):
    for call in (lambda: predict("00", f, dim), lambda: coefficients(f, dim)):
        with pytest.raises(PigmmError, match=message):
            call()


def test_bad_graphs_and_overflow():
    with pytest.raises(PigmmError, match="empty"):
        predict([], np.ones(13), 5)
    with pytest.raises(PigmmError, match="graph name"):
        predict(["x"], np.ones(13), 5)
    with pytest.raises(PigmmError, match="beyond float64"):
        predict("00.00.00.00", 1e200 * np.ones(13), 5)
    with pytest.raises(PigmmError, match="at most 15"):
        predict(".".join(["00"] * 16), np.ones(13), 5)
