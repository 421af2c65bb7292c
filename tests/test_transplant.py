"""Transplanted matrices: matching against brute force, accuracies against the trainer, and a study that resumes."""

import itertools
import json
from pathlib import Path

import numpy as np
import pytest

import pigmm
from pigmm import PigmmError, replacements, transplant, transplant_figures, whole_networks
from pigmm import transplant_study as ts
from pigmm.datasets import load_dataset
from tests.pictures import check_picture

SMALL = ts.Plan(restarts=2, refits=2, images=200, noise=(0.2, 1.0), steps=2, rounds=2)


def rng(k=0):
    return np.random.default_rng(k)


def network(k, sizes=(12, 6, 5, 4)):
    return [rng(k).normal(size=(out, into)) for into, out in itertools.pairwise(sizes)]


@pytest.fixture(scope="module")
def trained():
    return ts.train_networks(pigmm.EnsembleConfig(dataset="digits", runs=24, epochs=3))


@pytest.fixture(scope="module")
def result(trained, tmp_path_factory):
    return ts.evaluate_networks(trained, None, SMALL, folder=tmp_path_factory.mktemp("kept"))


# ---- matching


def test_a_match_is_the_best_of_all_permutations():
    for k in range(5):
        A, B = rng(k).normal(size=(2, 4, 4))
        values = {
            (p, q): (A * B[list(p)][:, list(q)]).sum()
            for p in itertools.permutations(range(4)) for q in itertools.permutations(range(4))
        }  # fmt: skip
        p, q = transplant.match_matrix(A, B, restarts=20)
        assert (A * B[p][:, q]).sum() == pytest.approx(max(values.values()))
        p, q = transplant.match_matrix(A, B, rows=False)
        assert p.tolist() == [0, 1, 2, 3]
        fixed = [value for (rows, _), value in values.items() if rows == (0, 1, 2, 3)]
        assert (A * B[p][:, q]).sum() == pytest.approx(max(fixed))
        q, p = transplant.match_matrix(A.T, B.T, columns=False)
        assert (A * B[p][:, q]).sum() == pytest.approx(max(fixed))


def test_more_restarts_are_never_worse():
    A, B = rng(7).normal(size=(2, 10, 10))
    reached = []
    for restarts in (1, 4, 16):
        p, q = transplant.match_matrix(A, B, restarts=restarts)
        reached.append((A * B[p][:, q]).sum())
    assert reached == sorted(reached)
    assert reached[0] > (A * B).sum()


def test_a_renumbered_network_computes_the_same_and_is_found_again():
    A, x = network(0), rng(1).normal(size=(12, 50))
    orders = [rng(2).permutation(6), rng(3).permutation(5)]
    B = [A[0][orders[0]], *transplant.renumbered(A[1:], orders)]
    logits = [W[-1] @ transplant.hidden(W[:-1], x) for W in (A, B)]
    np.testing.assert_allclose(logits[0], logits[1])
    found = transplant.match_network(A, B)
    for given, back in zip(orders, found, strict=True):
        assert given[back].tolist() == list(range(len(given)))
    for layer in range(2):
        X, Y = (transplant.hidden(W[: layer + 1], x) for W in (A, B))
        assert orders[layer][transplant.match_activations(X, Y)].tolist() == list(range(len(X)))


def test_no_other_numbering_of_one_layer_is_better():
    def closeness(A, B, orders):
        turned = [B[0][orders[0]], *transplant.renumbered(B[1:], orders)]
        return sum((a * b).sum() for a, b in zip(A, turned, strict=True))

    for k in range(10):
        A, B = network(2 * k, (3, 4, 3, 2)), network(2 * k + 1, (3, 4, 3, 2))
        A[0] *= 0.1  # so that the weights above decide
        orders = transplant.match_network(A, B)
        for layer, order in enumerate(orders):
            tried = [
                closeness(A, B, [np.array(p) if n == layer else o for n, o in enumerate(orders)])
                for p in itertools.permutations(range(len(order)))
            ]  # fmt: skip
            assert closeness(A, B, orders) == pytest.approx(max(tried))


@pytest.mark.parametrize("way", ["weights", "activations"])
def test_an_ensemble_of_renumbered_copies_is_aligned(way):
    A, x = network(0), rng(1).normal(size=(12, 40))
    copies = []
    for k in range(12):
        orders = [rng(10 + k).permutation(6), rng(30 + k).permutation(5)]
        turned = [A[0][orders[0]], *transplant.renumbered(A[1:], orders)]
        copies.append([W + 0.15 * rng(50 + k).normal(size=W.shape) for W in turned])
    matrices = [np.array(W) for W in zip(*copies, strict=True)]
    if way == "weights":
        orders = transplant.align_weights(matrices, 3)
    else:
        features = [np.array([transplant.hidden(W[: k + 1], x) for W in copies]) for k in range(2)]
        orders = transplant.align_activations(features, 3)
    before, after = (W[1:] for W in (matrices, [None, *transplant.renumbered(matrices[1:], orders)]))
    assert all(W.std(axis=0).mean() > 0.5 for W in before)
    assert all(W.std(axis=0).mean() < 0.2 for W in after)


def test_silent_neurons_match_nothing_but_do_not_hurt():
    X = rng(0).normal(size=(4, 30))
    X[2] = 0
    assert sorted(transplant.match_activations(X, X)) == [0, 1, 2, 3]
    assert transplant.match_activations(X, X)[2] == 2


# ---- replacements, likeness, bits


def test_shuffles_keep_entries_and_rotations_keep_singular_values():
    W = rng(0).normal(size=(400, 5, 5))
    mixed = transplant.shuffled(W)
    np.testing.assert_array_equal(np.sort(mixed.reshape(400, -1)), np.sort(W.reshape(400, -1)))
    assert (mixed != W).mean() > 0.9
    turned = transplant.rotated(W)
    np.testing.assert_allclose(*(np.linalg.svd(x, compute_uv=False) for x in (turned, W)), atol=1e-12)
    found = transplant.similarity(W, turned)
    for side in ("left", "right"):
        assert abs(found[side].mean() - transplant.random_overlap(5)) < 4 * found[side].std() / 20
    assert abs(found["correlation"].mean()) < 4 * found["correlation"].std() / 20
    assert np.linalg.det(turned).mean() == pytest.approx(0, abs=4 * np.abs(np.linalg.det(W)).std() / 20 + 0.5)


def test_others_are_all_but_the_own_one():
    W = rng(0).normal(size=(7, 2, 3)) + 5
    mean, sd = transplant.entrywise(W)
    for r in range(7):
        rest = np.delete(W, r, axis=0)
        np.testing.assert_allclose(mean[r], rest.mean(axis=0))
        np.testing.assert_allclose(sd[r], rest.std(axis=0))


def test_similarity_of_zeros_and_constants_is_a_number():
    A = rng(0).normal(size=(3, 4, 4))
    for B, distance in ((np.zeros_like(A), 1.0), (2 * A, 1.0), (A, 0.0)):
        found = transplant.similarity(A, B)
        np.testing.assert_allclose(found["distance"], distance, atol=1e-12)
        assert all(np.isfinite(x).all() for x in found.values())
    assert transplant.similarity(A, np.ones_like(A))["correlation"].tolist() == [0, 0, 0]


def test_a_noisy_copy_knows_what_shannon_says():
    law = pigmm.LabelledRowGaussian.fit(rng(0).normal(size=(200, 3, 4)) + rng(1).normal(size=(200, 3, 1)))
    dense = np.kron(law.A, np.ones((4, 4))) + np.kron(law.B, np.eye(4))
    for noise in (0.1, 1.0, 7.0):
        expected = 0.5 * np.linalg.slogdet(np.eye(12) + dense / noise**2)[1] / np.log(2)
        assert transplant.copy_information(law, noise) == pytest.approx(expected)
    fine = (law.entropy() - 6 * np.log(2 * np.pi * np.e * 1e-8)) / np.log(2)
    assert transplant.copy_information(law, 1e-4) == pytest.approx(fine)


def test_no_other_readout_is_better():
    H, labels = np.abs(rng(0).normal(size=(5, 400))), rng(1).integers(0, 3, 400)
    H[1] *= 100
    H[4] = 0  # a silent neuron
    V = transplant.fit_readout(H, labels, 3)
    size = np.sqrt((H * H).mean(axis=1))

    def loss(V):
        z = V @ H
        return np.mean(np.log(np.exp(z).sum(axis=0)) - z[labels, range(400)]) + 0.5e-4 * ((V * size) ** 2).sum()

    steps = rng(2).normal(size=(50, 3, 5)) * np.where(size > 0, 0.02 / np.maximum(size, 1e-9), 0)
    assert min(loss(V + step) for step in steps) > loss(V)
    assert loss(V) < np.log(3)


# ---- whole networks


def test_whole_networks_are_those_of_an_archive(trained):
    archive = pigmm.train(trained.config, workers=1, progress=False)
    for layer in range(3):
        np.testing.assert_array_equal(trained.weights(3, layer), archive.weights(-1, layer))
    np.testing.assert_allclose(ts.accuracies(trained), archive.accuracy, atol=1.01 / 297)


def test_blocks_are_kept_on_the_way(tmp_path, monkeypatch):
    config = pigmm.EnsembleConfig(dataset="digits", runs=4, epochs=1)
    monkeypatch.setattr(whole_networks, "BLOCK", 2)
    whole = ts.train_networks(config, folder=tmp_path)
    assert len(list(tmp_path.glob("*.npz"))) == 2
    first = sorted(tmp_path.glob("*-0-2.npz"))[0]
    first.write_bytes(b"broken")
    again = ts.train_networks(config, folder=tmp_path)
    assert again.digest() == whole.digest() == ts.train_networks(config).digest()
    monkeypatch.setattr(whole_networks, "new_stack", None)
    assert ts.train_networks(config, folder=tmp_path).digest() == whole.digest()


def test_records_agree_with_what_is_counted_here(result, trained):
    data = load_dataset("digits")
    rows = {(row["layers"], row["condition"], row["fraction"]): row for row in result["accuracies"]}
    own = ts.accuracies(trained)
    assert rows["none", "own", 1.0]["mean"] == pytest.approx(own.mean(), abs=1e-5)
    assert rows["none", "own", 1.0]["se"] == pytest.approx(own.std(ddof=1) / 24**0.5, abs=1e-5)
    zeros = (data.test_labels == 0).mean()
    assert {round(row["mean"], 4) for (_, name, _), row in rows.items() if name == "zero matrix"} == {round(zeros, 4)}
    other = ts.accuracies(trained, {k: np.roll(trained.weights(-1, k), -1, axis=0) for k in range(3)})
    assert rows["L1+L2+L3", "other network", 1.0]["mean"] == pytest.approx(other.mean(), abs=1e-5)
    half = np.float32(0.5) * (trained.matrices[2] + np.roll(trained.matrices[2], -1, axis=0))
    middle = ts.accuracies(trained, {1: half}).mean()
    assert rows["L2", "other network", 0.5]["mean"] == pytest.approx(middle, abs=0.002)
    assert rows["L1", "own + noise", 0.2]["mean"] > rows["L1", "own + noise", 1.0]["mean"]
    assert (result["chance"], result["constant"]) == transplant.chance(data.test_labels)
    assert result["single_networks"]["none: own"] == own.round(4).tolist()


def test_only_the_named_layers_move_and_as_far_as_told():
    own = tuple(rng(k).normal(size=(2, 3, 3)).astype(np.float32) for k in range(3))
    other = {k: rng(9 + k).normal(size=(2, 3, 3)).astype(np.float32) for k in range(3)}
    made = ts.Replacements(own, {"x": other}, [((0, 2), "x", 1.0)], [], [], {})
    found = made.tail(1, ((0, 2), "x", 0.2))
    for k in (0, 2):
        np.testing.assert_allclose(found[k], 0.8 * own[k][1] + 0.2 * other[k][1], rtol=1e-4, atol=1e-6)
    np.testing.assert_array_equal(found[1], own[1][1])
    (record,) = made.similarities()
    gap = sum(((own[k] - other[k]) ** 2).sum(axis=(1, 2)) for k in (0, 2))
    assert record["distance"] == pytest.approx(
        np.sqrt(gap / sum((own[k] ** 2).sum(axis=(1, 2)) for k in (0, 2))).mean(), rel=1e-4
    )


def test_every_law_and_control_is_there_for_every_choice_of_layers(result):
    seen = {(row["layers"], row["condition"]) for row in result["accuracies"]}
    for layers in ("L1", "L2", "L3", "L1+L2", "L1+L2+L3"):
        for condition in (*ts.LAWS, *ts.CONTROLS, *ts.ALIGNED):
            assert ((layers, condition) in seen) is not (condition == "labelled rows" and "L3" not in layers)
    records = result["accuracies"] + result["refits"]
    assert all(np.isfinite([row["mean"], row["se"], row["sd"]]).all() for row in records)
    alike = ts.table(result, "similarities").set_index(["layers", "condition"])
    assert alike.loc[("L1", "own, before training"), "correlation"] > 0.9
    assert alike.loc[("L1", "sample, matched"), "correlation"] > alike.loc[("L1", "5 parameters"), "correlation"] + 0.3
    for condition in ("other, aligned by weights", "sample, aligned by weights", "mean of aligned (weights)"):
        assert alike.loc[("L1", condition), "correlation"] > 0.2
    assert alike.loc[("L1", "mean of aligned (activations)"), "correlation"] > 0.15
    assert alike.loc[("L2", "zero matrix"), "distance"] == 1
    nats = ts.table(result, "nats").set_index(["layers", "alignment"])["gain"]
    assert nats["L1", "none"] < 0 < nats["L1", "weights"]
    assert json.loads(json.dumps(result)) == result


def test_a_fitted_readout_recovers_what_a_sample_hides(result):
    again = ts.table(result, "refits").set_index(["layers", "condition"])["mean"]
    swapped = ts.table(result).query("fraction == 1").set_index(["layers", "condition"])["mean"]
    assert again["L1", "5 parameters"] > swapped["L1", "5 parameters"] + 0.2


def quick(W):
    """A scale mixture without the fit, which has tests of its own."""
    return replacements.ScaleMixture(pigmm.TwoSidedGaussian.fit(W), "matrix", 0.1)


def test_counts_are_kept_and_damaged_ones_made_again(trained, tmp_path, monkeypatch):
    monkeypatch.setattr(replacements, "best_mixture", quick)
    light = ts.Plan(restarts=1, refits=1, images=100, noise=(0.5,), steps=1, rounds=1)
    first = ts.evaluate_networks(trained, None, light, folder=tmp_path)
    (path,) = tmp_path.glob("*.npz")
    path.write_bytes(b"broken")
    again = ts.evaluate_networks(trained, None, light, folder=tmp_path)
    assert first["accuracies"] == again["accuracies"]
    monkeypatch.setattr(ts, "_block", None)
    assert ts.evaluate_networks(trained, None, light, folder=tmp_path)["refits"] == first["refits"]


def test_dead_networks_and_other_shapes_are_no_trouble(monkeypatch):
    monkeypatch.setattr(replacements, "best_mixture", quick)
    config = pigmm.EnsembleConfig(dataset="digits", hidden=(6, 5), runs=20, epochs=1, init="uniform")
    matrices = [W.copy() for W in ts.train_networks(config).matrices]
    matrices[0][3] = -1
    matrices[1][4] = 0
    result = ts.evaluate_networks(ts.Networks(config, tuple(matrices)), None, ts.Plan(1, 1, 1, 2, 100, (1.0,), 1))
    seen = {(row["layers"], row["condition"]) for row in result["accuracies"]}
    assert {layers for layers, _ in seen} == {"none", "L1", "L2", "L1+L2"}
    assert "13 parameters" not in {condition for _, condition in seen}
    assert np.isfinite([row["mean"] for row in result["accuracies"]]).all()


# ---- the study


def test_a_study_goes_on_where_it_stopped(trained, result, tmp_path, monkeypatch):
    path, calls = tmp_path / "study.json", []

    def source(config):
        calls.append(config)
        return trained

    monkeypatch.setattr(ts, "evaluate_networks", lambda *a, **k: result)
    ts.study([trained.config], SMALL, source=source, output=path)
    ts.study([trained.config], SMALL, source=source, output=path)
    assert len(calls) == 1
    assert json.loads(path.read_text())["ensembles"]["digits-gaussian"] == result
    ts.study([trained.config], ts.Plan(seed=1), source=source, output=path)
    assert len(calls) == 2
    path.write_text("Dear reader")
    with pytest.raises(PigmmError, match="study"):
        ts.study([trained.config], SMALL, source=source, output=path)
    assert path.read_text() == "Dear reader"


def test_the_published_study_is_of_the_published_networks():
    folder = Path(pigmm.__file__).parent / "published"
    assert (folder / "transplant.json").stat().st_size < 300_000
    for name, found in ts.published()["ensembles"].items():
        archive = pigmm.load(name)
        assert found["config"] == archive.config.to_dict()
        assert found["networks"] == archive.runs == 1000
        assert found["dataset_digest"] == archive.provenance["dataset_digest"]
        rows = ts.table(found).query("fraction == 1").set_index(["layers", "condition"])
        assert rows.loc[("none", "own"), "mean"] == pytest.approx(archive.accuracy.mean(), abs=2e-6)
        for law in ("independent weights", "5 parameters", "13 parameters"):
            for layers in ("L1", "L2", "L3", "L1+L2+L3"):
                assert rows.loc[(layers, law), "mean"] < 0.15
        level, error = ts.tolerance(found)
        assert 0.2 < level < 0.8
        assert 0 < error < 0.05


def test_tolerance_lies_between_the_levels():
    def row(condition, mean, fraction=1.0, layers="L1"):
        return {"layers": layers, "condition": condition, "fraction": fraction, "mean": mean, "se": 0.01, "sd": 0.1}

    found = {"chance": 0.0, "accuracies": [
        row("own", 1.0, layers="none"), row("own + noise", 0.75, 0.1), row("own + noise", 0.25, 0.3)
    ]}  # fmt: skip
    assert ts.tolerance(found)[0] == pytest.approx(0.2)
    assert ts.tolerance(found, kept=0.1) == (float("inf"), 0.0)
    with pytest.raises(PigmmError, match="L7"):
        ts.tolerance(found, "L7")


@pytest.mark.parametrize(
    ("wrong", "word"),
    [
        (lambda: ts.Plan(refits=0), "refits"),
        (lambda: ts.Plan(noise=(-1.0,)), "noise"),
        (lambda: ts.train_networks(pigmm.EnsembleConfig(architecture="residual")), "residual"),
        (lambda: ts.train_networks(pigmm.EnsembleConfig(), workers=0), "workers"),
        (lambda: ts.Networks(pigmm.EnsembleConfig(runs=2), (np.zeros((2, 3, 4)),)), "shapes"),
        (lambda: ts.table({}, "acuracies"), "acuracies"),
        (lambda: transplant.match_matrix(np.eye(3), np.eye(4)), "shape"),
        (lambda: transplant.match_matrix(np.eye(3), np.eye(3), restarts=0), "restarts"),
        (lambda: transplant.similarity(np.eye(3), np.eye(4)), "shape"),
        (lambda: transplant.copy_information(pigmm.SimpleGaussian(0.0, 1.0, (3, 3)), 0.0), "noise"),
        (lambda: transplant.fit_readout(np.ones((2, 3)), np.zeros(4, int), 2), "features"),
        (lambda: transplant.entrywise(np.ones((2, 3, 3))), "2"),
    ],
)
def test_bad_arguments_are_named(wrong, word):
    with pytest.raises(PigmmError, match=word):
        wrong()


def test_too_few_networks_and_other_epochs_are_refused(trained):
    few = pigmm.EnsembleConfig(dataset="digits", runs=3, epochs=1)
    with pytest.raises(PigmmError, match="at least 20"):
        ts.evaluate_networks(ts.train_networks(few))
    for epoch, layer, word in ((1, 0, "epoch"), (-1, 3, "layer")):
        with pytest.raises(PigmmError, match=word):
            trained.weights(epoch, layer)
    with pytest.raises(PigmmError, match="replace"):
        ts.accuracies(trained, {5: trained.weights()})


# ---- figures


def test_figures_are_described_labelled_and_narrow(result, monkeypatch, tmp_path):
    guess = {"gaussian": result["chance"], "uniform": result["chance"]}
    tables, again, apart = (
        {start: ts.table(result, kind) for start in guess} for kind in ("accuracies", "refits", "similarities")
    )
    rows = ("own", *ts.LAWS, *ts.CONTROLS)
    check_picture(transplant_figures.survival(tables, rows, guess), "survival", monkeypatch, tmp_path)
    rows = ("own", "no hidden matrix", *ts.REFITTED)
    one = {"uniform": again["uniform"]}
    check_picture(transplant_figures.survival(one, rows, guess, "refitted"), "refits", monkeypatch, tmp_path)
    check_picture(transplant_figures.paths(tables, apart, guess), "paths", monkeypatch, tmp_path)
    worst = tables["uniform"].query("condition == 'other network' and layers == 'L1' and fraction == 1")["mean"].item()
    assert f"other network {worst:.2f} at distance" in transplant_figures.paths(tables, apart, guess, ["L1"]).alt
