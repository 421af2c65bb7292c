"""Rungs of the ladder, against raw weights, ensembles whose symmetry is known, and other tests of the package."""

from dataclasses import replace

import numpy as np
import pytest
from scipy import stats

import pigmm
from pigmm import LabelledRowGaussian, PigmmError, SimpleGaussian, TwoSidedGaussian, labelled_rungs, ladder, rungs
from pigmm import rungs_figures as figures
from tests.ensembles import synthetic_archive
from tests.pictures import check_picture


@pytest.fixture(scope="module")
def archive():
    return synthetic_archive()


@pytest.fixture(scope="module")
def residual():
    return pigmm.load("digits-residual")


def at(table, epoch, layer):
    return table[(table["epoch"] == epoch) & (table["layer"] == layer)].iloc[0]


def test_same_neurons_only_inside_recurrent_and_residual_networks(archive, residual):
    assert not any(rungs.same_neurons(archive, layer) for layer in range(3))
    assert [rungs.same_neurons(residual, layer) for layer in (0, 1)] == [True, False]


# ---- 2, 5, 13


def test_climb_is_the_ladder_of_raw_weights(archive):
    row, W = at(rungs.climb(archive), 3, "L1"), archive.weights(3, 0)
    laws = ladder.fits(W, ["independent", "two-sided", "diagonal"])
    steps = ladder.steps(laws, len(W))
    assert row["gain_5"] == pytest.approx(steps["statistic"][0] / (2 * len(W)), rel=1e-5)
    assert row["gain_13"] == pytest.approx(steps["statistic"][1] / (2 * len(W)), rel=1e-5)
    for k, name in enumerate(("p_chi2_5", "p_chi2_13", "p_chi2_2_13")):
        assert row[name] == pytest.approx(steps["p_chi2"][k], rel=1e-3, abs=1e-200)
    ratio = laws["diagonal"].log_likelihood(W) - laws["two-sided"].log_likelihood(W)
    assert ratio.mean() == pytest.approx(row["gain_13"], rel=1e-5)
    assert row["se_13"] == pytest.approx(ratio.std(ddof=1) / np.sqrt(len(W)), rel=1e-4)
    ratio = laws["two-sided"].log_likelihood(W) - laws["independent"].log_likelihood(W)
    assert row["se_5"] == pytest.approx(ratio.std(ddof=1) / np.sqrt(len(W)), rel=1e-4)
    assert row["p_13"] == pytest.approx(pigmm.symmetry_test(W, permutations=0).p_f, rel=1e-5)
    assert (row["noise_5"], row["noise_13"]) == (3 / 120, 8 / 120)


def robust_p(W):
    """p of v00 = vr = vc = vrc by the module's own test."""
    from pigmm.irreps import sufficient_statistics
    from pigmm.moments import Moments

    return rungs._rows_and_columns(Moments.of(sufficient_statistics(W), 13), W.shape[1])


def test_robust_step_from_2_to_5_has_its_size_and_power():
    rng = np.random.default_rng(0)
    p = np.array([robust_p(rng.standard_t(5, (200, 6, 6))) for _ in range(200)])
    assert 0.01 < (p < 0.05).mean() < 0.13  # heavy tails; the F law is a little too ready
    assert stats.kstest(p, "uniform").pvalue > 1e-3
    for place in range(2, 5):  # v00, vr, vc
        law = np.array([0.0, 1.0, 1.0, 1.0, 1.0])
        law[place - 1] = 2.0
        assert robust_p(TwoSidedGaussian(law, (6, 6)).sample(400, seed=place)) < 1e-4


def test_living_parameters_and_their_errors(archive, residual):
    table, W = rungs.living(archive), archive.weights(3, 1)
    fitted = pigmm.GaussianMatrixModel.fit(W).parameters
    part = table.query("epoch == 3 and layer == 'L2'").set_index("parameter")["value"]
    assert part["f7"] == pytest.approx(fitted[6], rel=1e-4)
    assert part["f4"] == pytest.approx(fitted[3] * len(W) / (len(W) - 1), rel=1e-4)  # unbiased
    assert part["f12 - f13"] == pytest.approx(fitted[11] - fitted[12], rel=1e-4)
    z = table.query("epoch == 3")["z"]
    assert 0.4 < z.std() < 1.6
    rng = np.random.default_rng(0)
    draws = [pigmm.GaussianMatrixModel.fit(W[rng.integers(0, len(W), len(W))]).parameters for _ in range(200)]
    error = table.query("epoch == 3 and layer == 'L2'").set_index("parameter")["se"]
    assert error["f4"] == pytest.approx(np.std([f[3] for f in draws]), rel=0.25)
    end = rungs.living(residual).query("epoch == 20")
    assert end[end["joined"]]["z"].abs().max() > 30
    assert end[~end["joined"]]["z"].abs().max() < 5


# ---- labels


def labelled_archive():
    """The synthetic archive with its last layer pushed differently row by row, from epoch to epoch."""
    from pigmm.builder import ArchiveBuilder

    plain = synthetic_archive()
    builder = ArchiveBuilder(plain.config, range(plain.runs))
    push = 0.2 * np.arange(10)[:, None] - 0.9
    for epoch in range(plain.epochs + 1):
        layers = [plain.weights(0, layer).copy() for layer in (-1, 0, 1, 2)]
        layers[-1] += epoch * push
        builder.add(epoch, layers)
    return builder.finish(
        loss=plain.loss, train_accuracy=plain.train_accuracy, test_accuracy=plain.test_accuracy,
        dead_units=plain.dead_units, provenance=plain.provenance,
    )  # fmt: skip


def test_label_noise_is_that_of_fits():
    W = (TwoSidedGaussian([0.3, 2.0, 0.5, 1.5, 1.0], (4, 6)).sample(60, seed=seed) for seed in range(200))
    gains = np.array([TwoSidedGaussian.fit(w).entropy() - LabelledRowGaussian.fit(w).entropy() for w in W])
    mean, high = labelled_rungs.label_noise((4, 6), 60)
    assert mean == pytest.approx(gains.mean(), abs=4 * gains.std() / np.sqrt(200))
    assert 0.01 <= (gains > high).mean() <= 0.11
    assert labelled_rungs.label_noise((10, 10), 4000)[0] == pytest.approx(115 / 8000, rel=0.03)


def test_labels_find_class_means_and_nothing_in_exchangeable_rows(archive):
    table, told = labelled_rungs.labels(archive), labelled_rungs.labels(labelled_archive())
    assert (table["p"] > 1e-3).all()
    assert (table["gain"] < 1.5 * table["noise"]).all()
    assert told["p"].iloc[0] > 1e-3
    assert (told["p"].iloc[1:] < 1e-6).all()
    assert (told["means"].iloc[1:] > 5 * told["noise"].iloc[1:]).all()
    sums = labelled_archive().weights(3, 2).sum(axis=2) / np.sqrt(10)
    contrasts = sums - sums.mean(axis=1, keepdims=True)
    assert told["within"].iloc[-1] == pytest.approx(contrasts.var(axis=0).sum() / 9, rel=1e-4)
    y = archive.weights(3, 2).mean(axis=2)
    y = y[:, :9] - y.mean(axis=1, keepdims=True)
    T2 = len(y) * y.mean(axis=0) @ np.linalg.solve(np.cov(y.T), y.mean(axis=0))
    assert table["p"].iloc[-1] == pytest.approx(stats.f.sf(T2 * 51 / (9 * 59), 9, 51), rel=1e-3)
    assert told["rows"].iloc[-1] == pytest.approx(0.1 + 10 * 9 * 0.04 * np.var(np.arange(10), ddof=1), rel=0.05)


def test_labels_by_layer_agree_with_epochs_and_held_out_cost(archive):
    table, told = labelled_rungs.labels_by_layer(archive), labelled_archive()
    assert (table["held_out"] < 0).all()
    row, law = at(labelled_rungs.labels_by_layer(told), 3, "L3"), at(labelled_rungs.labels(told), 3, "L3")
    assert row["gain"] == pytest.approx(law["gain"], rel=1e-4)
    assert row["p"] == pytest.approx(law["p"], rel=1e-2)
    assert row["held_out"] > 3 * row["se_held_out"]
    assert list(table["last"].unique()) == [False, True]
    assert set(labelled_rungs.labels_by_layer(archive, [-1])["epoch"]) == {3}


def test_classes_and_pairs_are_those_of_the_law():
    told = labelled_archive()
    table, W = labelled_rungs.classes(told), told.weights(3, 2)
    law = LabelledRowGaussian.fit(W)
    assert table["mean"].to_numpy() == pytest.approx(law.mu)
    assert table["spread"].to_numpy() ** 2 == pytest.approx(np.diag(law.A + law.B), rel=1e-6)
    error = W[:, 2].mean(axis=1).std(ddof=1) / np.sqrt(len(W))
    assert table["se"][2] == pytest.approx(error)
    twins = np.random.default_rng(0).normal(size=W.shape)
    twins[:, 7] = 0.8 * twins[:, 3] + 0.6 * twins[:, 7]
    kept = {**told.kept, "weights/3/2": twins.astype(np.float32)}
    pairs = labelled_rungs.class_pairs(replace(told, kept=kept))
    first = pairs.iloc[0]
    assert (first["one"], first["other"]) == (3, 7)
    assert first["correlation"] == pytest.approx(0.8, abs=4 * first["se"])
    assert 0.3 < first["se"] * np.sqrt(60 * 9) / (1 - 0.64) < 2


# ---- exact nulls


def test_snapshots_of_a_sound_ensemble_are_uniform_and_joint():
    found = rungs.snapshots({"a": synthetic_archive(), "same": synthetic_archive()}, permutations=99)
    assert len(found.table) == 9  # what occurs twice is counted once
    assert found.drawn.shape == (99, 9)
    assert 0 < found.drawn.min() <= found.drawn.max() == 1
    assert min(found.p_worst, found.p_all) > 0.01
    every = np.concatenate([found.table["p"].to_numpy()[None], found.drawn])
    assert (np.sort(every, axis=0)[-1] == 1).all()
    assert abs(every.mean() - 0.505) < 0.01


def test_snapshots_catch_a_special_diagonal(archive):
    W = archive.weights(3, 1).copy()
    W[:, range(10), range(10)] += 0.5
    broken = replace(archive, kept={**archive.kept, "weights/3/1": W.astype(np.float32)})
    found = rungs.snapshots({"broken": broken}, permutations=99)
    assert found.p_worst == 0.01
    assert found.table.loc[found.table["p_f"].idxmin(), "p"] == 0.01
    assert found.table.loc[found.table["p_f"].idxmin(), ["layer", "epoch"]].tolist() == ["L2", 3]


def test_snapshots_leave_out_joined_layers(residual):
    assert set(rungs.snapshots({"residual": residual}, permutations=99).table["layer"]) == {"L2"}


def test_snapshots_say_what_is_wrong(archive):
    with pytest.raises(PigmmError, match="permutations"):
        rungs.snapshots({"a": archive}, permutations=10)
    with pytest.raises(PigmmError, match="no weights between different neurons"):
        rungs.snapshots({})


def test_symmetrised_has_its_size_and_sees_a_broken_symmetry():
    rng = np.random.default_rng(1)
    p = []
    for k in range(40):
        W = rng.standard_t(4, (60, 4, 4)) * rng.gamma(2, size=(60, 1, 1))  # heavy and loud
        p.append(rungs.symmetrised(W, copies=2, permutations=39, seed=k)[1])
    assert np.mean(np.array(p) <= 0.1) < 0.25
    assert np.mean(p) == pytest.approx(0.51, abs=0.16)
    W = SimpleGaussian(0.0, 1.0, 5).sample(150, seed=0)
    W[:, range(5), range(5)] += 0.6
    table, exact = rungs.symmetrised(W, permutations=99)
    assert exact == 0.01
    assert table["z"].abs().max() > 5
    assert not set(table["name"]) & {"01.01.01", "01.02.31.32"}  # bipartite ones do not change
    assert len(table) == 52 + 296 - 43


# ---- how far


def test_travelled_is_the_distance_of_fitted_laws(archive):
    row, W = at(labelled_rungs.travelled(archive), 3, "L1"), archive.weights(3, 0)
    start = SimpleGaussian(0.0, 0.1, (10, 10))
    assert row["blind"] == pytest.approx(pigmm.w2_squared(TwoSidedGaussian.fit(W), start.to_two_sided()))
    rng = np.random.default_rng(0)
    draws = [
        pigmm.w2_squared(TwoSidedGaussian.fit(W[rng.integers(0, 60, 60)]), start.to_two_sided()) for _ in range(100)
    ]
    assert row["se_blind"] == pytest.approx(np.std(draws), rel=0.4)
    assert row["aware"] == pytest.approx(row["labelled"] - row["blind"])
    assert 0.5 < row["aware"] / row["floor"] < 1.6


def test_labels_move_a_layer_by_the_shift_of_its_class_means():
    row = at(labelled_rungs.travelled(labelled_archive(), [3]), 3, "L3")
    shift = 10 * (9 * (0.2 * np.arange(10) - 0.9) ** 2).sum()
    assert row["labelled"] == pytest.approx(shift, rel=0.05)
    assert row["blind"] < row["labelled"]
    assert row["aware"] > 5 * row["floor"]


# ---- figures


def pictures():
    plain, told = synthetic_archive(), labelled_archive()
    climbed, labelled, kept = rungs.climb(told), labelled_rungs.labels(told), labelled_rungs.labels_by_layer(told)
    table = labelled_rungs.alive_map(climbed, labelled, kept)
    W = plain.weights(0, 0)[0]
    found = rungs.snapshots({"plain": plain}, permutations=99)
    asked, _ = rungs.symmetrised(plain.weights(3, 0), permutations=39)
    asked = asked.rename(columns={"z": "symmetric"}).assign(gaussian=1.0)
    rows = [row | {"name": row["layer"]} for row in labelled_rungs.travelled(told, [3]).to_dict("records")]
    lively, by_class = rungs.living(plain).query("layer == 'L1'"), labelled_rungs.classes(told)
    return {
        "relabelled": lambda: figures.relabelled(W, W[::-1, ::-1], 1e-16),
        "alive": lambda: figures.alive({str(layer): part for layer, part in table.groupby("layer")}),
        "nulls": lambda: figures.nulls(found, {"plain": climbed, "recurrent": climbed.assign(joined=True)}),
        "eight": lambda: figures.eight({"L1": lively, "W": lively}),
        "label_gains": lambda: figures.label_gains({"gaussian": (labelled, kept)}),
        "class_rows": lambda: figures.class_rows({"gaussian": by_class, "uniform": by_class}),
        "two_questions": lambda: figures.two_questions({"gaussian L1": asked, "recurrent W": asked}),
        "travels": lambda: figures.travels(rows),
    }


@pytest.fixture(scope="module")
def drawn():
    return pictures()


@pytest.mark.parametrize("name", figures.__all__)
def test_figure_is_described_labelled_and_narrow(name, drawn, monkeypatch, tmp_path):
    assert set(drawn) == set(figures.__all__)
    check_picture(drawn[name](), name, monkeypatch, tmp_path)


def test_the_map_lights_what_is_alive(drawn):
    words = drawn["alive"]().alt
    assert "5 to 13: none" in words
    assert "5 to labels: L3" in words
