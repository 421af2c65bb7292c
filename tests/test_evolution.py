"""Tables along a training, against the same numbers computed from raw weights or by resampling."""

from dataclasses import replace

import numpy as np
import pytest

import pigmm
from pigmm import GaussianMatrixModel, SimpleGaussian, evolution
from pigmm.irreps import sufficient_statistics
from tests.dense import random_parameters
from tests.ensembles import synthetic_archive


@pytest.fixture(scope="module")
def archive():
    return synthetic_archive()


def at(table, epoch, layer):
    return table[(table["epoch"] == epoch) & (table["layer"] == layer)]


@pytest.mark.parametrize(("distribution", "kurtosis"), [("normal", 3.0), ("uniform", 1.8)])
def test_iid_variances_by_simulation(distribution, kurtosis):
    rng, D, R = np.random.default_rng(0), 6, 40_000
    W = rng.normal(size=(R, D, D)) if distribution == "normal" else rng.uniform(-1, 1, size=(R, D, D)) * np.sqrt(3)
    values = pigmm.evaluate(evolution.LOW_ORDER, W)
    measured = values.var(axis=0, ddof=1)
    fourth = ((values - values.mean(axis=0)) ** 4).mean(axis=0)
    error = np.sqrt((fourth - measured**2) / R)
    assert (abs(measured - evolution.iid_variances(D, 1.0, kurtosis)) < 5 * error).all()


def test_initialisation_hits_the_exact_values(archive):
    table = evolution.initialisation(archive)
    assert len(table) == 39
    assert table["z"].abs().max() < 4
    row = table[(table["layer"] == "L1") & (table["paper"] == 3)].iloc[0]
    W = archive.weights(0, 0)
    assert row["measured"] == pytest.approx((W**2).sum(axis=(1, 2)).mean(), rel=1e-6)
    assert row["exact"] == pytest.approx(10)


def test_joint_test_of_the_start_accepts_the_truth_and_refuses_another_variance():
    archive = synthetic_archive(runs=400, epochs=1)
    chi2, degrees, p = evolution.initial_chi2(archive)
    assert degrees == 39
    assert p > 1e-3
    wrong = replace(archive, template=replace(archive.template, init="uniform"))
    assert evolution.initial_chi2(wrong)[2] < 1e-12


def test_mean_statistics_are_expectations():
    law = GaussianMatrixModel(random_parameters(np.random.default_rng(1)), 6)
    t = sufficient_statistics(law.sample(20_000, seed=0))
    error = t.std(axis=0) / np.sqrt(len(t))
    assert (abs(t.mean(axis=0) - evolution.mean_statistics(law)) < 4.5 * error).all()


def test_drift_is_zero_at_the_start_and_paired_later(archive):
    table = evolution.drift(archive)
    assert (table.loc[table["epoch"] == 0, ["change", "se"]] == 0).all().all()
    row = at(table, 3, "L2").set_index("paper").loc[7]
    first, later = (pigmm.evaluate(["01.02"], archive.weights(e, 1))[:, 0] for e in (0, 3))
    assert row["change"] == pytest.approx((later - first).mean(), rel=1e-5)
    assert row["se"] == pytest.approx((later - first).std(ddof=1) / np.sqrt(60), rel=1e-5)
    assert row["shift"] == pytest.approx(row["change"] / first.std(ddof=1), rel=1e-5)


def bootstrap(function, W, repeats=200):
    rng = np.random.default_rng(0)
    return np.std([function(W[rng.integers(0, len(W), len(W))]) for _ in range(repeats)])


def test_parameter_errors_are_those_of_the_bootstrap(archive):
    table, W = at(evolution.parameters(archive), 3, "L1"), archive.weights(3, 0)
    for k in (0, 2, 8, 11):
        expected = bootstrap(lambda X, k=k: GaussianMatrixModel.fit(X).parameters[k], W)
        assert table["se"].iloc[k] == pytest.approx(expected, rel=0.25)


def test_gains_and_distances_have_bootstrap_errors(archive):
    W, start = archive.weights(3, 0), SimpleGaussian(0.0, 0.1, 10).to_diagonal()

    def gain(X):
        return SimpleGaussian.fit(X).entropy() - GaussianMatrixModel.fit(X).entropy()

    row = at(evolution.gains(archive), 3, "L1").iloc[0]
    assert row["gain_13"] == pytest.approx(gain(W), rel=1e-6)
    assert row["se"] == pytest.approx(bootstrap(gain, W), rel=0.3)
    assert 0 < row["gain_5"] < row["gain_13"]

    def squared(X):
        return pigmm.w2_squared(GaussianMatrixModel.fit(X), start)

    row = at(evolution.distances(archive), 3, "L1").iloc[0]
    assert row["w2_squared"] == pytest.approx(squared(W), rel=1e-6)
    assert row["se"] == pytest.approx(bootstrap(squared, W), rel=0.3)
    assert row["w2"] ** 2 == pytest.approx(row["w2_squared"])
    assert row["floor"] == pytest.approx(7.5 * 0.1 / 60)


def test_noise_lines_hold_for_independent_entries():
    law, exceed = SimpleGaussian(0.0, 0.1, 10), []
    for seed in range(100):
        W = law.sample(100, seed=seed)
        exceed.append(SimpleGaussian.fit(W).entropy() - GaussianMatrixModel.fit(W).entropy())
    null = evolution.gains(synthetic_archive()).iloc[0]["null_13"] * 60 / 100
    assert 0 <= np.mean(np.array(exceed) > null) <= 0.13  # 5 % within Monte Carlo error


def test_predictions_summarise_the_comparison(archive):
    row, table = at(evolution.predictions(archive), 2, "L3").iloc[0], archive.comparison(2, 2)
    table = table[table["degree"] > 2]
    assert row["ratio_median"] == pytest.approx(table["ratio"].median())
    assert row["z_max"] == pytest.approx(table["z"].abs().max())
    assert row["leader"] == table.loc[table["z"].abs().idxmax(), "name"]
    assert row["ratio_max_paper"] == pytest.approx(table[table["paper"].notna()]["ratio"].max())


def test_training_table(archive):
    table = evolution.training(archive)
    assert list(table["epoch"]) == [0, 1, 2, 3]
    assert np.isnan(table["loss_median"][0])
    assert table["accuracy_median"][3] == pytest.approx(np.median(archive.accuracy))
    assert table["accuracy_se"][3] == pytest.approx(archive.accuracy.std(ddof=1) / np.sqrt(60))


def test_shrinkage_follows_the_square_root():
    archive = synthetic_archive(runs=400, epochs=1)
    table = evolution.shrinkage(archive, ["01.01", "01+01"])
    assert (abs(table["error"] - table["expected"]) < 4 * table["error_se"]).all()
    part = table[table["name"] == "01.01"]
    np.testing.assert_allclose(part["expected"] * np.sqrt(part["runs"]), part["expected"].iloc[0] * np.sqrt(2))
