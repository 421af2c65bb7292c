"""Non-Gaussian actions: exact covariances, linear response, selection, existence, and the law to all orders."""

import itertools

import numpy as np
import pytest
from scipy import optimize, stats

from pigmm import GaussianMatrixModel, PigmmError, SimpleGaussian, TwoSidedGaussian, bipartite_graphs, wick
from pigmm.action import Action, fit_action
from pigmm.existence import growth
from pigmm.graphs import as_graphs
from pigmm.invariants import evaluate
from pigmm.irreps import two_sided_statistics
from pigmm.maxent import maximum_entropy, reweight
from pigmm.response import connected_covariance, deviations, expected_statistics, sampled_influences, statistics_of
from tests.dense import random_parameters

LAW = TwoSidedGaussian([0.3, 0.9, 0.7, 0.8, 0.5], (2, 2))
PLAIN = TwoSidedGaussian([0, 1, 1, 1, 1], (4, 4))
UNIFORM = np.random.default_rng(0).uniform(-1, 1, size=(600, 5, 5))


def quadrature(law, nodes):
    """Matrices and weights for which averages of polynomials of degree below 2·nodes are exact; no Wick theorem."""
    x, w = np.polynomial.hermite_e.hermegauss(nodes)
    n = law.shape[0] * law.shape[1]
    Z = np.array(list(itertools.product(x, repeat=n))).reshape(-1, *law.shape)
    weights = np.prod(np.array(list(itertools.product(w / w.sum(), repeat=n))), axis=1)
    parts = law.decomposition.project(Z)
    scaled = [np.sqrt(c[0, 0]) * part for part, (_, c) in zip(parts, law.blocks(), strict=True)]
    return law.decomposition.recombine(tuple(scaled)) + law.parameters[0], weights


def influences_by_regression(graphs, W, weights):
    """What a least-squares fit of the invariants by the five statistics leaves, and the invariants."""
    t = np.column_stack([np.ones(len(W)), two_sided_statistics(W)])
    root = np.sqrt(weights)[:, None]
    values = evaluate(graphs, W)
    return values - t @ np.linalg.lstsq(root * t, root * values, rcond=None)[0], values


def action_with(base, graphs, couplings):
    """An action that has these couplings, as if fitted without error."""
    graphs = as_graphs(graphs)
    C = connected_covariance(graphs, graphs, base)
    return Action(base, graphs, C @ np.asarray(couplings, float), C, np.zeros((len(C) + 5,) * 2))


# ---- linear response


@pytest.mark.parametrize("shape", [(2, 2), (2, 3)])
def test_covariances_equal_exact_quadrature(shape):
    law = TwoSidedGaussian(LAW.parameters, shape)
    graphs = bipartite_graphs(3) + bipartite_graphs(4)
    W, weights = quadrature(law, 5)  # exact up to degree 9
    psi, _ = influences_by_regression(graphs, W, weights)
    expected = psi.T @ (weights[:, None] * psi)
    scale = np.sqrt(np.outer(np.diag(expected), np.diag(expected)))
    assert np.abs((connected_covariance(graphs, graphs, law) - expected) / scale).max() < 1e-8


def test_covariances_with_other_invariants_and_of_other_degrees():
    W, weights = quadrature(LAW, 5)
    left, right = ["01.01.01.01.01", "01+01.02"], ["01.02.03", "01.01.01"]
    psi, _ = influences_by_regression([*left, *right], W, weights)
    expected = psi[:, :2].T @ (weights[:, None] * psi[:, 2:])
    np.testing.assert_allclose(connected_covariance(left, right, LAW), expected, rtol=1e-9)


def test_sampled_covariances_agree_with_exact_ones_within_their_error():
    law = TwoSidedGaussian([0.1, 0.9, 0.7, 0.8, 0.5], (5, 6))
    graphs = as_graphs(["01.01.01", "01.02.31", "01.01.01.01", "01.02.31.32", "01.01+01.01"])
    psi = sampled_influences(graphs, law, 40_000, 1)(graphs)
    products = psi[:, :, None] * psi[:, None, :]
    z = (products.mean(axis=0) - connected_covariance(graphs, graphs, law)) / stats.sem(products)
    assert np.abs(z).max() < 4
    np.testing.assert_allclose(connected_covariance(graphs, graphs, law, draws=40_000, seed=1), products.mean(axis=0))


@pytest.mark.parametrize("law", [LAW, GaussianMatrixModel(random_parameters(np.random.default_rng(0)), 4)])
def test_expected_statistics(law):
    t = statistics_of(law, law.sample(20_000, seed=2))
    assert np.abs((t.mean(axis=0) - expected_statistics(law)) / stats.sem(t)).max() < 4


def test_linear_response_is_correct_to_second_order():
    """Exact expectations under p0 exp(g psi)/Z on 2x2 matrices: the miss of first order shrinks as the square of g."""
    W, weights = quadrature(LAW, 12)
    names = ["01.01.01.01", "01.02.31", "01.01.21.21"]
    psi, values = influences_by_regression(names, W, weights)
    misses = []
    for g in (-1e-3, -5e-4, -2.5e-4):
        tilted = weights * np.exp(g * psi[:, 0])
        exact = (tilted / tilted.sum()) @ values
        action = action_with(LAW, names[:1], [g])
        assert action.couplings[0] == pytest.approx(g, rel=1e-9)
        moved = exact - wick.expectation(names, LAW)
        assert np.abs(action.deviation(names) / moved - 1).max() < 0.1
        misses.append(exact - action.predict(names))
    for one, half in itertools.pairwise(misses):
        assert np.all((np.abs(one / half) > 3.6) & (np.abs(one / half) < 4.4))


def test_couplings_of_the_statistics_keep_their_averages():
    W, weights = quadrature(LAW, 12)
    action = action_with(LAW, ["01.01.01.01"], [-1e-3])
    t = two_sided_statistics(W)
    quartic = -1e-3 * evaluate("01.01.01.01", W)[:, 0]
    tilted = (weights * np.exp(x) for x in (quartic + t @ action.counterterms, quartic))
    moved, without = (w / w.sum() @ t - weights @ t for w in tilted)
    assert np.abs(moved).max() < 0.03 * np.abs(without).max()


def test_what_is_in_the_action_is_predicted_as_measured():
    graphs = ["01.01.01.01", "01.01.01", "01.02.31.32"]
    action = fit_action(UNIFORM, graphs)
    np.testing.assert_allclose(action.predict(graphs), evaluate(graphs, UNIFORM).mean(axis=0), rtol=1e-9)
    np.testing.assert_allclose(action.predict(["01.01", "01.21"]), evaluate(["01.01", "01.21"], UNIFORM).mean(axis=0))
    left, se = action.residuals(UNIFORM, graphs)
    assert np.abs(left).max() < 1e-9
    assert np.abs(se).max() < 1e-9


def test_errors_are_a_jackknife_over_runs():
    """Also far from the Gaussian law, where the errors of the fitted law matter: they halve that of the coupling."""
    names, other, W = ["01.01.01.01", "01.01.01"], ["01.02.31.32", "01.01.01.02"], UNIFORM[:150]
    action = fit_action(W, names)
    without = [fit_action(np.delete(W, r, axis=0), names) for r in range(len(W))]
    factor = np.sqrt(len(W) - 1)
    np.testing.assert_allclose(action.errors, factor * np.std([a.couplings for a in without], axis=0), rtol=0.1)
    moved = np.std([a.deviation(other) for a in without], axis=0)
    np.testing.assert_allclose(action.deviation_errors(other), factor * moved, rtol=0.1)
    kept_fixed = np.sqrt(action.covariance[0, 0]) / action.inner[0, 0]
    assert kept_fixed > 1.5 * action.errors[0]
    residual = []
    for r, a in enumerate(without):
        rest = np.delete(W, r, axis=0)
        residual.append(deviations(rest, other)[0] - a.deviation(other))
    np.testing.assert_allclose(action.residuals(W, other)[1], factor * np.std(residual, axis=0), rtol=0.1)


def test_errors_of_the_couplings_are_calibrated_on_gaussian_ensembles():
    fits = [fit_action(PLAIN.sample(300, seed=k), ["01.01.01.01", "01.02.03"]) for k in range(100)]
    z = np.array([f.couplings / f.errors for f in fits])
    assert np.all(np.abs(z.std(axis=0) - 1) < 0.25)


def test_thirteen_parameters_by_sampling():
    names, other = ["01.01.01.01", "01.01.01"], ["01.02.31.32", "01.01.21.21"]
    five, thirteen = fit_action(UNIFORM, names), fit_action(UNIFORM, names, law=GaussianMatrixModel)
    assert thirteen.draws == 20_000
    assert len(thirteen.counterterms) == 13
    error = np.hypot(thirteen.deviation_errors(other), five.deviation_errors(other))
    assert np.abs((five.deviation(other) - thirteen.deviation(other)) / error).max() < 4
    assert thirteen.couplings[0] == pytest.approx(five.couplings[0], rel=0.1)
    rough = [fit_action(UNIFORM, names, law=GaussianMatrixModel, draws=2000, seed=k) for k in range(12)]
    sampling = np.sqrt(rough[0].deviation_errors(other) ** 2 - thirteen.deviation_errors(other) ** 2)
    np.testing.assert_allclose(np.std([a.deviation(other) for a in rough], axis=0, ddof=1), sampling, rtol=0.7)


# ---- selection


def test_selection_finds_what_was_planted_and_stops():
    action = fit_action(UNIFORM)
    assert [g.name for g in action.graphs] == ["01.01.01.01"]
    assert action.couplings[0] < -20 * action.errors[0]
    assert abs(action.steps[0].z) > 20
    assert abs(action.steps[-1].z) < action.steps[-1].critical
    table = action.history
    assert list(table["taken"]) == ["01.01.01.01", ""]
    rng = np.random.default_rng(5)
    loud = rng.normal(size=(500, 5, 6)) * rng.gamma(20, 1 / 20, size=(500, 1, 6)) ** 0.5  # a scale for each column
    assert fit_action(loud).graphs[0].name == "01.01.21.21"


def test_selection_takes_nothing_from_gaussian_ensembles_nearly_always():
    taken = [bool(fit_action(PLAIN.sample(500, seed=k), max_terms=1, seed=k).graphs) for k in range(80)]
    assert np.mean(taken) <= 0.05 + 2 * np.sqrt(0.05 * 0.95 / 80)


def test_selection_is_greedy_in_the_gain_among_the_significant():
    rng = np.random.default_rng(1)
    W = rng.standard_t(8, size=(500, 5, 5))
    action = fit_action(W, max_terms=3)
    one = [fit_action(W, [g]) for g in bipartite_graphs(3) + bipartite_graphs(4)]
    best = max(one, key=lambda a: a.information)
    assert action.graphs[0] == best.graphs[0]
    assert action.steps[0].gain == pytest.approx(best.information)
    both = fit_action(W, action.graphs[:2])
    assert both.information == pytest.approx(action.steps[0].gain + action.steps[1].gain)


def test_selection_judges_by_the_residuals_of_the_action():
    W = np.random.default_rng(2).standard_t(6, size=(300, 5, 5)) + 0.1
    action = fit_action(W)
    assert action.graphs
    last = action.steps[-1]
    left, se = action.residuals(W, [last.largest])
    assert last.z == pytest.approx(left[0] / se[0])


def test_selection_depends_on_the_seed_only_through_the_critical_value():
    one, same, other = (fit_action(UNIFORM, seed=s) for s in (0, 0, 1))
    assert one.steps == same.steps
    assert one.steps[0].critical != other.steps[0].critical
    assert one.steps[0].z == other.steps[0].z


# ---- existence


@pytest.mark.parametrize(
    ("graphs", "couplings", "exists"),
    [
        (["01.01.01.01"], [-1e-6], True),
        (["01.01.01.01"], [1e-6], False),
        (["01.01.01"], [1e-3], False),  # odd: some direction grows
        (["01.01.01", "01.01.01.01"], [0.1, -1e-3], True),
        (["01.01+01.01", "01.01.01.01"], [-0.01, 0.009], True),  # (ΣW²)² is at least ΣW⁴
        (["01.01+01.01", "01.01.01.01"], [-0.01, 0.011], False),
        (["01.01+01.01", "01+01.01.01"], [-0.015, 0.01], False),  # a large entry on a background: found by climbing
        (["01.01+01.01", "01+01.01.01"], [-0.03, 0.01], True),
        (["01.01+01.01", "01.01.01.01", "01.01.01"], [-0.01, 0.01, -0.01], False),  # only where one entry is negative
        (["01.02+01.02"], [-1e-3], True),  # flat where row sums vanish, but there the Gaussian falls
        (["01.02+01.02"], [1e-3], False),
        (["01.02.31.32", "01.01.02.02"], [1e-3, -0.9e-3], False),  # tr(WW')² is the larger where rows are alike
    ],
)
def test_existence(graphs, couplings, exists):
    action = action_with(PLAIN, graphs, couplings)
    assert action.exists is exists
    value, direction = growth(action)
    assert (value < 0) is exists
    if not exists:
        assert np.linalg.norm(direction) == pytest.approx(1)
        W = np.array([1e5 * direction, 1e6 * direction])
        near, far = action.base.log_likelihood(W) + evaluate(action.graphs, W) @ action.couplings
        assert far > near > 0
        with pytest.raises(PigmmError, match="grows without bound"):
            action.sample(10)


def test_heavy_tails_are_refused_and_light_ones_are_not():
    heavy = fit_action(np.random.default_rng(0).standard_t(5, size=(400, 5, 5)), max_terms=2)
    assert not heavy.exists
    with pytest.raises(PigmmError, match="formal expansion"):
        heavy.exact()
    assert fit_action(UNIFORM).exists
    assert fit_action(UNIFORM, max_terms=0).exists  # the Gaussian law itself


# ---- all orders


def exact_single_entry(kurtosis):
    """Couplings of x² - 1 and of x⁴ - 6x² + 3 that give one normal entry this fourth moment, and the gain, by sums."""
    x = np.linspace(-9, 9, 6001)
    p = stats.norm.pdf(x) * (x[1] - x[0])
    D = np.stack([x**2 - 1, x**4 - 6 * x**2 + 3 - (kurtosis - 3)])

    def dual(theta):
        return np.log(p @ np.exp(theta @ D))

    found = optimize.minimize(dual, [0, -0.01], method="Nelder-Mead", options={"xatol": 1e-9, "fatol": 1e-13})
    return found.x[1], -found.fun


def test_exact_law_of_independent_entries_is_that_of_one_entry():
    action = action_with(PLAIN, ["01.01.01.01"], [-1.2 / 24])  # the kurtosis of uniform entries, 1.8
    coupling, gain = exact_single_entry(1.8)
    law = maximum_entropy(action, 2000)
    assert coupling < -0.3  # far from the -0.05 of first order
    assert law.couplings[0] == pytest.approx(coupling, rel=0.08)
    assert law.gain == pytest.approx(16 * gain, rel=0.05)
    assert law.steps > 1
    assert law.effective < 0.2
    assert 1 / (law.weights**2).sum() > 0.95 * 2000  # the last correction is a small one
    np.testing.assert_allclose(law.predict(["01.01", "01.01.01.01"]), [16, 16 * 1.8], rtol=1e-6)
    sample = law.sample(2000, seed=3)
    assert len(np.unique(sample[:, 0, 0])) == 2000  # moved on, none twice
    assert abs((sample**4).mean() / 1.8 - 1) < 4 * (sample**4).std() / 1.8 / np.sqrt(sample.size) + 0.01
    six = (sample**6).mean()
    assert six < 6 < 15  # a box has 27/7, the Gaussian law 15


def test_few_moves_do_since_samples_are_drawn_again_by_their_weights(monkeypatch):
    monkeypatch.setattr("pigmm.maxent.MOVES", 3)
    law = maximum_entropy(action_with(PLAIN, ["01.01.01.01"], [-0.05]), 2000)
    assert law.couplings[0] == pytest.approx(exact_single_entry(1.8)[0], rel=0.12)
    assert 1 / (law.weights**2).sum() > 0.98 * 2000


def test_reweighting_reproduces_its_targets_and_quadrature():
    names = ["01.01.01.01", "01.01.21.21"]
    action = action_with(LAW, names, [-0.01, -0.005])
    tilt = reweight(action, 20_000, seed=1)
    W = LAW.sample(20_000, seed=1)
    np.testing.assert_allclose(tilt.weights @ evaluate(names, W), action.predict(names), rtol=1e-6)
    np.testing.assert_allclose(tilt.weights @ two_sided_statistics(W), expected_statistics(LAW), rtol=1e-6)
    assert tilt.effective == pytest.approx(1 / (tilt.weights**2).sum() / 20_000)
    W, weights = quadrature(LAW, 16)
    psi, values = influences_by_regression(names, W, weights)
    D = np.column_stack([two_sided_statistics(W) - expected_statistics(LAW), psi - action.deviations])

    def dual(theta):
        w = weights * np.exp(D @ theta)
        return np.log(w.sum()), w @ D / w.sum()

    exact = optimize.minimize(dual, np.zeros(7), jac=True, method="BFGS", options={"gtol": 1e-9})
    assert tilt.gain == pytest.approx(-exact.fun, abs=4 * np.sqrt(-2 * exact.fun / 20_000))
    law = maximum_entropy(action, 8000)
    np.testing.assert_allclose(law.couplings, exact.x[5:], rtol=0.15)
    other = ["01.02.31.32", "01.01+01.01"]
    weights = weights * np.exp(D @ exact.x)
    expected = weights @ evaluate(other, W) / weights.sum()
    assert np.abs((law.predict(other) - expected) / law.predict_errors(other)).max() < 4.5


def test_density_integrates_to_one():
    action = action_with(LAW, ["01.01.01.01"], [-0.02])
    law = maximum_entropy(action, 8000)
    W, weights = quadrature(LAW, 16)
    ratio = np.exp(law.log_likelihood(W) - LAW.log_likelihood(W))
    assert weights @ ratio == pytest.approx(1, abs=5 * law.log_normaliser_error + 0.01)


def test_small_couplings_are_perturbative_and_all_orders_agree_with_first():
    action = action_with(PLAIN, ["01.01.01.01"], [-2e-3])
    tilt = reweight(action, 20_000)
    assert tilt.effective > 0.99
    assert tilt.theta[-1] == pytest.approx(action.strengths[0], abs=4 / np.sqrt(20_000))


def test_weights_exist_for_samples_where_no_law_exists():
    """The trap: a finite sample gives weights for heavier tails, too; only `exists` and the effective size tell."""
    action = action_with(PLAIN, ["01.01.01.01"], [0.02])
    tilt = reweight(action, 4000)
    assert not action.exists
    assert 0 < tilt.effective < 1
    assert reweight(action_with(PLAIN, ["01.01.01.01"], [5.0]), 2000).effective == 0  # out of reach of the sample


# ---- units and refusals


@pytest.mark.parametrize("scale", [1e-30, 1e30])
def test_units_do_not_matter(scale):
    plain, scaled = fit_action(UNIFORM), fit_action(scale * UNIFORM)
    assert plain.graphs == scaled.graphs
    np.testing.assert_allclose([s.z for s in scaled.steps], [s.z for s in plain.steps], rtol=1e-6)
    np.testing.assert_allclose(scaled.strengths, plain.strengths, rtol=1e-6)
    np.testing.assert_allclose(scaled.couplings * scale**4, plain.couplings, rtol=1e-6)
    assert scaled.exists
    assert reweight(scaled, 1000).effective == pytest.approx(reweight(plain, 1000).effective, abs=1e-6)
    assert not fit_action(scale * np.random.default_rng(0).standard_t(5, size=(400, 5, 5)), max_terms=1).exists


@pytest.mark.parametrize(
    ("call", "word"),
    [
        (lambda: fit_action(np.ones((30, 4, 4))), "vary|differ"),
        (lambda: fit_action(UNIFORM[:10]), "too few"),
        (lambda: fit_action(np.full((30, 4, 4), np.nan)), "NaN"),
        (lambda: fit_action(UNIFORM + 50), "Subtract a constant"),
        (lambda: fit_action(UNIFORM, ["01.01"]), "depend"),
        (lambda: fit_action(UNIFORM, ["01.01.01.01", "01.01.01.01"]), "depend"),
        (lambda: fit_action(UNIFORM[:, :2, :2], bipartite_graphs(4)), "depend"),
        (lambda: fit_action(UNIFORM, ["nonsense"]), "nonsense"),
        (lambda: fit_action(UNIFORM, []), "graph"),
        (lambda: fit_action(UNIFORM[:, :, :4], ["00.01.11"]), "bipartite"),
        (lambda: fit_action(UNIFORM, max_terms=-1), "max_terms"),
        (lambda: fit_action(UNIFORM, max_terms=True), "max_terms"),
        (lambda: fit_action(UNIFORM, level=1.5), "level"),
        (lambda: fit_action(UNIFORM, seed=-1), "seed"),
        (lambda: fit_action(UNIFORM, draws=10), "draws"),
        (lambda: fit_action(UNIFORM, law=SimpleGaussian), "law"),
        (lambda: connected_covariance("01.01.01", "01.01.01", SimpleGaussian(0, 1, 4)), "law"),
        (lambda: reweight(fit_action(UNIFORM), 10), "draws"),
        (lambda: reweight(fit_action(UNIFORM, max_terms=0)), "at least one invariant"),
        (lambda: reweight("action"), "Action"),
        (lambda: maximum_entropy(fit_action(UNIFORM), 1000).sample(0), "R"),
        (lambda: deviations(UNIFORM[:, :2, :2], ["00.01.11"]), "bipartite"),
    ],
)
def test_bad_input_is_named(call, word):
    with pytest.raises(PigmmError, match=word):
        call()


def test_small_matrices_have_dependent_candidates_and_are_selected_from_all_the_same():
    W = np.random.default_rng(0).uniform(-1, 1, size=(400, 2, 2))
    action = fit_action(W, max_terms=3)
    assert 1 <= len(action.graphs) <= 3
    assert np.isfinite(action.couplings).all()
