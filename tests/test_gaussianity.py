"""Predictions against data: calibration on simulated ensembles, power, and the exact symmetry null."""

import numpy as np
import pytest
from scipy import stats

from pigmm import GaussianMatrixModel, PigmmError, SimpleGaussian, TwoSidedGaussian, gaussianity, symmetry_test, wick
from pigmm.invariants import evaluate
from tests.dense import random_parameters

GRAPHS = ["01.01.01", "00.00.00", "01.12.20", "00.01.11", "01.01.01.01", "01.01.10.10", "01.01.02.02", "01.12.23.30"]


def test_columns_are_what_they_say():
    W = GaussianMatrixModel(random_parameters(np.random.default_rng(0)), 5).sample(200, seed=1)
    table = gaussianity.compare(W, GRAPHS)
    values = evaluate(GRAPHS, W)
    assert list(table["name"]) == GRAPHS
    np.testing.assert_allclose(table["measured"], values.mean(axis=0), rtol=1e-12)
    np.testing.assert_allclose(table["se"], stats.sem(values), rtol=1e-9)
    np.testing.assert_allclose(table["predicted"], wick.expectation(GRAPHS, GaussianMatrixModel.fit(W)), rtol=1e-10)
    ratio = abs(table["measured"] - table["predicted"]) / values.std(axis=0, ddof=1)
    np.testing.assert_allclose(table["ratio"], ratio, rtol=1e-8)
    np.testing.assert_allclose(table["p"], 2 * stats.norm.sf(abs(table["z"])), rtol=1e-12)
    np.testing.assert_allclose(table["p_adjusted"], stats.false_discovery_control(table["p"]), rtol=1e-12)


def test_error_of_the_difference_is_a_jackknife_over_runs():
    W = GaussianMatrixModel(random_parameters(np.random.default_rng(2)), 4).sample(300, seed=3)
    table = gaussianity.compare(W, GRAPHS)
    left_out = []
    for r in range(len(W)):
        rest = np.delete(W, r, axis=0)
        predicted = wick.expectation(GRAPHS, GaussianMatrixModel.fit(rest))
        left_out.append(evaluate(GRAPHS, rest).mean(axis=0) - predicted)
    jackknife = np.std(left_out, axis=0) * np.sqrt(len(W) - 1)
    np.testing.assert_allclose(table["se_difference"], jackknife, rtol=0.1)  # equal to first order in 1/R
    assert (table["se"] > 1.2 * table["se_difference"]).any()  # leaving the fit out would be another number


def test_z_is_calibrated_on_gaussian_ensembles_and_the_uncorrected_one_is_not():
    law = TwoSidedGaussian([0.05, 0.3, 0.1, 0.15, 0.1], (6, 6))
    z, naive = [], []
    for k in range(150):
        table = gaussianity.compare(law.sample(600, seed=k), GRAPHS)
        z.append(table["z"])
        naive.append((table["measured"] - table["predicted"]) / table["se"])
    z = np.array(z)
    rate = (abs(z) > 1.96).mean(axis=0)
    assert abs((abs(z) > 1.96).mean() - 0.05) < 0.025, rate
    assert np.all(abs(z.std(axis=0) - 1) < 0.3)
    assert (abs(np.array(naive)) > 1.96).mean() < 0.02


def test_planted_deviations_are_found():
    rng = np.random.default_rng(0)
    W = rng.normal(size=(800, 6, 6)) * rng.gamma(25, 1 / 25, size=(800, 1, 1)) ** 0.5  # one random scale per matrix
    table = gaussianity.compare(W)
    assert len(table) == 348
    assert table["p_adjusted"].min() < 1e-6
    assert (table["ratio"] < 1).all()  # and yet the effect size alone would not say so


def test_linear_and_quadratic_invariants_are_matched_by_the_fit():
    W = np.random.default_rng(0).normal(size=(50, 5, 5))
    table = gaussianity.compare(W, ["00", "01", "01.10", "00.01", "01+01"])
    np.testing.assert_allclose(table["measured"], table["predicted"], rtol=1e-9)
    assert (table["z"] == 0).all()
    assert (table["p"] == 1).all()


def test_a_given_law_is_taken_as_known():
    law = SimpleGaussian(0.0, 0.2, 5)
    table = gaussianity.compare(law.sample(4000, seed=0), [*GRAPHS, "01.01"], model=law)
    assert (abs(table["z"]) < 4.5).all()
    np.testing.assert_allclose(table["se"], table["se_difference"])
    wrong = gaussianity.compare(law.sample(4000, seed=0), ["01.01"], model=SimpleGaussian(0.0, 0.21, 5))
    assert abs(wrong["z"][0]) > 10


@pytest.mark.parametrize("scale", [1e-60, 1e60])
def test_z_does_not_depend_on_units(scale):
    W = np.random.default_rng(1).standard_t(5, size=(300, 6, 6))
    plain, scaled = gaussianity.compare(W), gaussianity.compare(scale * W)
    np.testing.assert_allclose(scaled["z"], plain["z"], rtol=1e-6, atol=1e-9)
    np.testing.assert_allclose(scaled["predicted"], plain["predicted"] * scale ** plain["degree"], rtol=1e-9)
    law = SimpleGaussian(0.0, 1.5, 6)
    known = gaussianity.compare(scale * W, GRAPHS, model=SimpleGaussian(0.0, 1.5 * scale**2, 6))
    np.testing.assert_allclose(known["z"], gaussianity.compare(W, GRAPHS, model=law)["z"], rtol=1e-9)


def test_a_large_mean_gives_the_right_answer_or_a_clear_refusal():
    rng, graphs = np.random.default_rng(15), ["00.01.11", "01.12.20", "01.01.01.01", "01+01.12.23"]
    for _ in range(12):  # of the same noise about two means; both so large that only the leading terms count
        W = rng.normal(size=(300, 6, 6))
        near, far = (gaussianity.compare(mean + W, graphs)["z"] for mean in (300, 1500))
        np.testing.assert_allclose(far, near, atol=0.05)
    W = rng.uniform(-1, 1, size=(500, 6, 6))
    with pytest.raises(PigmmError, match="drown in rounding"):
        gaussianity.compare(1e6 + W)


@pytest.mark.parametrize(
    ("call", "word"),
    [
        (lambda: gaussianity.compare(np.ones((20, 5, 5)), []), "graph"),
        (lambda: gaussianity.compare(np.ones((20, 5, 5)), ["01..2"]), "01..2"),
        (lambda: gaussianity.compare(np.ones((2, 5, 5))), "too few"),
        (lambda: gaussianity.compare(np.ones((20, 5, 5)), ["01"], SimpleGaussian(0, 1, 6)), "5"),
        (lambda: symmetry_test(np.random.default_rng(0).normal(size=(9, 5, 5))), "too few"),
        (lambda: symmetry_test(np.ones((30, 5, 5))), "do not vary"),
        (lambda: symmetry_test(np.zeros((30, 5, 5))), "zeros"),
        (lambda: symmetry_test(np.repeat(np.random.default_rng(0).normal(size=(4, 5, 5)), 10, 0)), "depend"),
        (lambda: gaussianity.compare(np.full((20, 5, 5), 0.3)), "all equal"),
    ],
)
def test_bad_input_is_named(call, word):
    with pytest.raises(PigmmError, match=word):
        call()


def test_symmetry_test_has_its_size_for_heavy_tails_and_one_labelled_side():
    rng, pvalues = np.random.default_rng(0), []
    rows = rng.normal(size=(6, 1)) * np.linspace(0.5, 2, 6)[:, None]  # rows labelled, columns exchangeable
    for _ in range(400):
        pvalues.append(symmetry_test(rows + rng.standard_t(9, size=(150, 6, 6))).pvalue)
    rate = np.mean(np.array(pvalues) < 0.05)
    assert abs(rate - 0.05) < 3.5 * np.sqrt(0.05 * 0.95 / 400), rate


def test_symmetry_test_finds_each_broken_contrast():
    base = np.random.default_rng(1).normal(size=(500, 6, 6))
    eye = np.eye(6, dtype=bool)
    planted = {
        "x2": base + 0.15 * eye,
        "u1.u2": base + 0.3 * (base.sum(axis=1)[:, :, None] / np.sqrt(6)),
        "S.S - A": base + 0.2 * base.swapaxes(1, 2),
    }
    for name, W in planted.items():
        result = symmetry_test(W)
        assert result.pvalue < 1e-4, name
        assert abs(result.contrasts.set_index("name")["z"][name]) > 5
    assert symmetry_test(base).pvalue > 1e-3


def test_symmetry_test_does_not_depend_on_units():
    W = np.random.default_rng(2).normal(size=(60, 5, 5))
    assert symmetry_test(1e-30 * W).statistic == pytest.approx(symmetry_test(W).statistic, rel=1e-9)
