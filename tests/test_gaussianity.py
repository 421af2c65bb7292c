"""Predictions against data: calibration on simulated ensembles, power, and the exact symmetry null."""

import numpy as np
import pytest
from scipy import stats

from pigmm import (
    GaussianMatrixModel,
    LabelledRowGaussian,
    PigmmError,
    SimpleGaussian,
    TwoSidedGaussian,
    bipartite_graphs,
    gaussianity,
    invariant_graphs,
    wick,
)
from pigmm.compact import pack_moments, unpack_moments
from pigmm.graphs import as_graphs
from pigmm.invariants import evaluate
from pigmm.irreps import sufficient_statistics
from pigmm.moments import Moments
from tests.dense import random_parameters

GRAPHS = ["01.01.01", "00.00.00", "01.12.20", "00.01.11", "01.01.01.01", "01.01.10.10", "01.01.02.02", "01.12.23.30"]
BIPARTITE = [g for k in (1, 2, 3, 4) for g in bipartite_graphs(k)]
NOISE = np.random.default_rng(3).normal(size=(60, 4, 6))


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
        (lambda: gaussianity.compare(np.zeros((20, 5, 5))), "all equal"),
        (lambda: gaussianity.compare(NOISE, ["01.12"], TwoSidedGaussian), "01.12"),
        (lambda: gaussianity.compare(NOISE, model=GaussianMatrixModel), "4x6"),
        (lambda: gaussianity.compare(NOISE, model="two-sided"), "law class"),
        (lambda: gaussianity.compare(NOISE[:4], model=LabelledRowGaussian), "more than its 4 rows"),
        (lambda: gaussianity.compare(NOISE, bootstrap=20), "at least 99"),
        (lambda: gaussianity.compare(NOISE, bootstrap=99, seed=-1), "seed"),
        (lambda: gaussianity.compare(np.full((20, 5, 5), 0.3)), "all equal"),
    ],
)
def test_bad_input_is_named(call, word):
    with pytest.raises(PigmmError, match=word):
        call()


@pytest.mark.parametrize(
    ("family", "shape"),
    [
        (GaussianMatrixModel, (4, 4)),
        (TwoSidedGaussian, (3, 5)),
        (TwoSidedGaussian, (4, 4)),
        (SimpleGaussian, (3, 5)),
        (LabelledRowGaussian, (3, 5)),
        (LabelledRowGaussian, (4, 4)),
    ],
)
def test_influence_is_a_jackknife_for_every_family(family, shape):
    rng = np.random.default_rng(4)
    W = rng.normal(size=(400, *shape)) + rng.normal(size=(400, shape[0], 1)) * 0.3 + 0.2
    graphs = [g for k in (1, 2, 3) for g in invariant_graphs(k)] if shape[0] == shape[1] else BIPARTITE
    table = gaussianity.compare(W, graphs, model=family)

    def deviation(X):
        return gaussianity.evaluate(graphs, X).mean(axis=0) - wick.expectation(graphs, family.fit(X))

    blocks = np.array([deviation(np.delete(W, range(k, 400, 80), axis=0)) for k in range(80)])  # five at a time
    jackknife = blocks.std(axis=0) * np.sqrt(79)
    tested = table["p"] < 1
    assert tested.any()
    np.testing.assert_allclose(table["se_difference"][tested], jackknife[tested], rtol=0.45)
    assert abs(np.median(table["se_difference"][tested] / jackknife[tested]) - 1) < 0.1
    matched = ~tested.to_numpy()
    np.testing.assert_allclose(table["measured"][matched], table["predicted"][matched], rtol=1e-8)


def test_what_each_fit_matches():
    W = np.random.default_rng(5).normal(size=(50, 5, 5))
    graphs = [g for k in (1, 2) for g in invariant_graphs(k)]

    def matched(family):
        table = gaussianity.compare(W, graphs, family)
        return set(table["name"][table["p"] == 1])

    assert matched(GaussianMatrixModel) == {g.name for g in graphs}
    assert matched(TwoSidedGaussian) == matched(LabelledRowGaussian) == {"01", "01.01", "01.02", "01.21", "01+01"}
    assert matched(SimpleGaussian) == {"01", "01.01"}


def test_bootstrap_p_values_of_gaussian_ensembles_are_uniform_and_family_wise():
    law, family, own = TwoSidedGaussian([0.1, 0.3, 0.1, 0.2, 0.1], (4, 5)), [], []
    for k in range(60):
        table = gaussianity.compare(law.sample(40, seed=k), bootstrap=99, seed=1000 + k)
        family.append(table["p_family"].min())
        own.append(table["p_bootstrap"][3])
        assert (table["p_family"] >= table["p_bootstrap"]).all()
    assert stats.kstest(own, "uniform").pvalue > 1e-3
    assert np.mean(np.array(family) <= 0.05) < 0.15  # 5 % expected, and more than 9 of 60 in one case of 3000
    assert np.mean(np.array(family) <= 0.5) > 0.3  # and it is not a test that never rejects


def test_step_down_is_the_single_step_for_the_largest_and_smaller_below():
    rng = np.random.default_rng(6)
    W = TwoSidedGaussian([0.1, 0.3, 0.1, 0.2, 0.1], (4, 5)).sample(80, seed=0) * rng.gamma(9, 1 / 9, (80, 1, 1)) ** 0.5
    table = gaussianity.compare(W, bootstrap=199)
    zs = gaussianity.bootstrap_z(bipartite_graphs(3) + bipartite_graphs(4), TwoSidedGaussian.fit(W), 80, 199)
    single = [(1 + (np.abs(zs).max(axis=1) >= abs(z)).sum()) / 200 for z in table["z"]]
    first = table["z"].abs().idxmax()
    assert table["p_family"][first] == pytest.approx(single[first], abs=0.011)
    assert (table["p_family"] <= np.array(single) + 0.011).all()
    assert (table["p_family"] < np.array(single) - 0.02).any()


def test_bootstrap_p_values_depend_on_the_seed_alone():
    one, two, other = (gaussianity.compare(NOISE, bootstrap=99, seed=seed)["p_bootstrap"] for seed in (1, 1, 2))
    np.testing.assert_array_equal(one, two)
    assert (one != other).any()


def test_rectangular_layers_are_compared_with_the_five_parameter_law():
    table = gaussianity.compare(NOISE)
    assert list(table["name"]) == [g.name for k in (3, 4) for g in bipartite_graphs(k)]
    loud = NOISE * np.random.default_rng(0).lognormal(0, 0.4, size=(60, 1, 1))
    assert abs(gaussianity.compare(loud)["z"]).max() > abs(table["z"]).max()


def test_relative_is_missing_where_the_prediction_is_close_to_zero():
    table = gaussianity.compare(np.random.default_rng(0).normal(size=(200, 5, 5)), ["01.01.01.01", "01.12.20"])
    assert table["relative"][0] == pytest.approx(table["measured"][0] / table["predicted"][0])
    assert np.isnan(table["relative"][1])


def test_rounded_moments_of_wide_matrices_never_look_more_certain_than_they_are():
    """Nearly all of these products follows from the statistics; what is left is about the rounding of an archive."""
    graphs = as_graphs(["00+01.01", "01+01.01", "01.01+01.01"])
    W = np.random.default_rng(0).normal(size=(20, 400, 400)) / 20
    moments = Moments.of(np.concatenate([sufficient_statistics(W), evaluate(graphs, W)], axis=1)[None], 13)
    law = GaussianMatrixModel.fit(W)
    rounded = unpack_moments("x", pack_moments("x", moments)).at(0)
    again, exact = (gaussianity.comparison_table(graphs, m, law) for m in (rounded, moments.at(0)))
    run_by_run = gaussianity.compare(W, graphs)["se_difference"]
    assert (again["se_difference"] > 0.9 * run_by_run).all()
    assert again["z"].abs().max() < 4
    assert exact["z"].abs().max() < 4
