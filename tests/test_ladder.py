"""Nested laws: likelihood ratios against the likelihood itself, sizes, power, and held-out scores."""

import numpy as np
import pytest
from scipy import stats

from pigmm import GaussianMatrixModel, LabelledRowGaussian, PigmmError, SimpleGaussian, TwoSidedGaussian, ladder
from tests.dense import random_parameters

TWO_SIDED = TwoSidedGaussian([0.1, 0.5, 0.3, 0.2, 0.15], (5, 5))


def test_likelihoods_from_entropies_are_the_likelihoods():
    W = np.random.default_rng(0).normal(0.2, 1, size=(80, 5, 5))
    laws = ladder.fits(W)
    table = ladder.criteria(laws, 80).set_index("law")
    for name, law in laws.items():
        assert table["log_likelihood"][name] == pytest.approx(law.log_likelihood(W).sum(), rel=1e-10)
    assert dict(table["parameters"]) == {
        "independent": 2, "two-sided": 5, "diagonal": 13, "labelled rows": 35, "labelled columns": 35,
    }  # fmt: skip
    np.testing.assert_allclose(table["aic"], 2 * table["parameters"] - 2 * table["log_likelihood"])
    np.testing.assert_allclose(table["bic"], np.log(80) * table["parameters"] - 2 * table["log_likelihood"])
    steps = ladder.steps(laws, 80)
    assert list(steps["dof"]) == [3, 8, 11, 30, 30]
    for row in steps.itertuples():
        gain = laws[row.large].log_likelihood(W).sum() - laws[row.small].log_likelihood(W).sum()
        assert row.statistic == pytest.approx(2 * gain, rel=1e-8)


def test_labelled_columns_are_labelled_rows_of_the_transpose():
    W = np.random.default_rng(1).normal(size=(60, 3, 5))
    columns, rows = ladder.fits(W, ["labelled columns"]), ladder.fits(W.swapaxes(1, 2), ["labelled rows"])
    one, two = columns["labelled columns"], rows["labelled rows"]
    np.testing.assert_allclose(one.parameters, two.parameters)
    np.testing.assert_allclose(one.log_likelihood(W), two.log_likelihood(W.swapaxes(1, 2)))
    drawn = one.sample(20_000, seed=4)
    np.testing.assert_allclose(drawn.mean(axis=(0, 1)), one.mu, atol=0.03)
    assert drawn.shape[1:] == (3, 5)


def test_ratios_of_gaussian_ensembles_follow_chi_squared():
    statistics = np.array([ladder.steps(ladder.fits(TWO_SIDED.sample(300, seed=k)), 300)["statistic"]
                           for k in range(200)])  # fmt: skip
    for column, dof in ((1, 8), (3, 30), (4, 30)):
        assert stats.kstest(statistics[:, column], stats.chi2(dof).cdf).pvalue > 1e-3
    assert statistics[:, 0].min() > stats.chi2(3).isf(1e-6)  # the law is not one of independent entries
    independent = SimpleGaussian(0.1, 0.3, (5, 5))
    null = [ladder.steps(ladder.fits(independent.sample(300, seed=k)), 300)["statistic"][[0, 2]] for k in range(200)]
    for column, dof in ((0, 3), (1, 11)):
        assert stats.kstest(np.array(null)[:, column], stats.chi2(dof).cdf).pvalue > 1e-3


def test_column_permutations_calibrate_the_ratio_for_heavy_tails_where_chi_squared_fails():
    exact, naive = [], []
    for k in range(80):
        W = np.random.default_rng([2, k]).standard_t(3, size=(60, 4, 4))
        table = ladder.likelihood_ratios(W, ["two-sided", "diagonal"], bootstrap=0, permutations=99, seed=k)
        exact.append(table["p_exact"][0])
        naive.append(table["p_chi2"][0])
    assert np.mean(np.array(exact) <= 0.05) < 0.05 + 3 * np.sqrt(0.05 * 0.95 / 80)
    assert stats.kstest(exact, "uniform").pvalue > 1e-3
    assert np.mean(np.array(naive) <= 0.05) > 0.2


def test_bootstrap_p_values_are_uniform_under_the_smaller_law():
    p = [
        ladder.likelihood_ratios(
            TWO_SIDED.sample(12, seed=k), ["two-sided", "diagonal"], bootstrap=99, permutations=0, seed=k
        )["p_bootstrap"][0]
        for k in range(50)
    ]
    assert stats.kstest(p, "uniform").pvalue > 1e-3


def test_a_planted_diagonal_is_found_by_every_measure():
    law = GaussianMatrixModel(random_parameters(np.random.default_rng(3)), 5)
    W = law.sample(150, seed=0)
    table = ladder.likelihood_ratios(W, ["two-sided", "diagonal"], bootstrap=99, permutations=99)
    assert table["p_bootstrap"][0] == table["p_exact"][0] == 0.01
    criteria = ladder.criteria(ladder.fits(W), 150).set_index("law")
    assert criteria["aic"].idxmin() == criteria["bic"].idxmin() == "diagonal"
    scores = ladder.held_out(W, ["two-sided", "diagonal"])
    assert scores["gain"][1] > 5 * scores["se_gain"][1]


def test_labels_pay_where_rows_differ_and_cost_where_they_do_not():
    rng = np.random.default_rng(4)
    mu, B = rng.normal(size=4), np.diag([0.5, 1, 1.5, 2])
    labelled = LabelledRowGaussian(mu, 0.1 * np.eye(4), B, 6).sample(300, seed=0)
    assert ladder.held_out(labelled, ["two-sided", "labelled rows"])["gain"][1] > 1
    plain = TwoSidedGaussian([0.1, 0.5, 0.3, 0.2, 0.15], (4, 6)).sample(300, seed=0)
    scores = ladder.held_out(plain, ["two-sided", "labelled rows"])
    assert scores["gain"][1] < 0
    assert abs(scores["gain"][1] + 19 / (2 * 270)) < 4 * scores["se_gain"][1]  # each needless parameter costs 1/(2R)


def test_held_out_scores_are_of_runs_that_were_left_out():
    W = np.random.default_rng(5).normal(size=(12, 3, 3))
    W[0] *= 30  # one wild matrix: laws fitted without it find it absurd
    table = ladder.held_out(W, ["two-sided"], folds=4)
    assert table["held_out"][0] < TwoSidedGaussian.fit(W).log_likelihood(W).mean() - 10


@pytest.mark.parametrize("scale", [1e-30, 1e30])
def test_ratios_do_not_depend_on_units(scale):
    W = np.random.default_rng(6).normal(size=(40, 4, 4))
    names = ["independent", "two-sided", "diagonal", "labelled rows"]
    one, two = (ladder.likelihood_ratios(s * W, names, bootstrap=99, permutations=99) for s in (1, scale))
    np.testing.assert_allclose(one["statistic"], two["statistic"], rtol=1e-6)
    np.testing.assert_allclose(one["p_bootstrap"], two["p_bootstrap"], atol=0.011)
    np.testing.assert_allclose(one["p_exact"], two["p_exact"], atol=0.011)


@pytest.mark.parametrize(
    ("call", "word"),
    [
        (lambda: ladder.fits(np.ones((20, 3, 4)), ["diagonal"]), "square"),
        (lambda: ladder.fits(np.ones((20, 3, 4)), ["wishart"]), "wishart"),
        (lambda: ladder.fits(np.ones((2, 3, 4))), "too few"),
        (lambda: ladder.likelihood_ratios(np.ones((20, 3, 4))), "all equal"),
        (lambda: ladder.likelihood_ratios(np.random.default_rng(0).normal(size=(20, 3, 4)), bootstrap=5), "99"),
        (lambda: ladder.held_out(np.random.default_rng(0).normal(size=(20, 3, 4)), folds=9), "from 2 to 6"),
        (lambda: ladder.held_out(np.random.default_rng(0).normal(size=(20, 3, 4)), folds=5, seed=1.5), "seed"),
        (lambda: ladder.criteria({}, 1), "R"),
        (lambda: ladder.likelihood_ratios(np.arange(20.0)[:, None, None] * np.ones((4, 4))), "degenerate"),
    ],
)
def test_bad_input_is_named(call, word):
    with pytest.raises(PigmmError, match=word):
        call()
