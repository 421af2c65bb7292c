"""Archives: the numbers they keep, merging, files, and everything that can be wrong with a file."""

import json
from dataclasses import replace

import numpy as np
import pytest

import pigmm
from pigmm import (
    Archive,
    EnsembleConfig,
    GaussianMatrixModel,
    LabelledRowGaussian,
    PigmmError,
    TwoSidedGaussian,
    gaussianity,
)
from pigmm.builder import ArchiveBuilder
from pigmm.compact import pack_series, unpack_series
from pigmm.irreps import sufficient_statistics
from pigmm.joint import joint_test
from pigmm.layout import archived_bipartite, archived_graphs
from pigmm.streams import initial_weights
from tests.ensembles import synthetic_archive

CONFIG = EnsembleConfig(dataset="digits", hidden=(10, 10, 5, 5), runs=30, epochs=2)  # 10x10, 5x10, 5x5, 10x5


@pytest.fixture(scope="module")
def ensemble():
    rng = np.random.default_rng(0)
    shapes = [(30, *shape) for shape in CONFIG.shapes]
    weights = [[rng.normal(0.02, 0.3, size=shape).astype(np.float32) for shape in shapes] for _ in range(3)]
    dead = rng.integers(0, 4, size=(30, 3, 4))
    dead[7, -1, 1] = 10  # network 7 is dead
    return weights, rng.random((30, 2)), rng.random((30, 3)), dead


def build(ensemble, start, stop, config=CONFIG):
    weights, loss, accuracy, dead = ensemble
    builder = ArchiveBuilder(config, range(start, stop))
    for epoch, layers in enumerate(weights):
        builder.add(epoch, [W[start:stop] for W in layers])
    cut = slice(start, stop)
    return builder.finish(
        loss=loss[cut], train_accuracy=accuracy[cut] / 2, test_accuracy=accuracy[cut], dead_units=dead[cut],
        provenance={"wall_seconds": 1.5},
    )


@pytest.fixture(scope="module")
def archive(ensemble):
    return build(ensemble, 0, 30)


def assert_equal_archives(a, b, rtol=1e-9):
    assert a.config == b.config
    assert a.moments.keys() == b.moments.keys()
    for name, ours in a.moments.items():
        theirs = b.moments[name]
        assert ours.count == theirs.count
        for part in ("mean", "comoment", "squares"):
            x, y = getattr(ours, part), getattr(theirs, part)
            np.testing.assert_allclose(x, y, rtol=rtol, atol=rtol * abs(x).max(initial=0))
    for name, counts in a.counts.items():
        np.testing.assert_array_equal(counts, b.counts[name])
    for part in ("loss", "train_accuracy", "test_accuracy", "dead_units", "norms", "alive", "accuracy"):
        np.testing.assert_array_equal(getattr(a, part), getattr(b, part))


def test_laws_are_the_fits_to_the_raw_weights(archive, ensemble):
    weights = ensemble[0]
    for epoch in range(3):
        for layer in (0, 2):
            W = weights[epoch][layer + 1]
            for runs, chosen in (("all", W), ("alive", np.delete(W, 7, axis=0))):
                expected = GaussianMatrixModel.fit(chosen).parameters
                model = archive.model(epoch, layer, runs)
                np.testing.assert_allclose(model.parameters, expected, rtol=1e-9, atol=1e-12)
        for layer in (-1, 0, 1, 2, 3):
            W = weights[epoch][layer + 1]
            np.testing.assert_allclose(
                archive.two_sided(epoch, layer).parameters, TwoSidedGaussian.fit(W).parameters, rtol=1e-9, atol=1e-12
            )
            simple = pigmm.SimpleGaussian.fit(W)
            np.testing.assert_allclose(archive.simple(epoch, layer).parameters, simple.parameters, rtol=1e-9)
        labelled = LabelledRowGaussian.fit(weights[epoch][-1])
        np.testing.assert_allclose(archive.labelled(epoch).parameters, labelled.parameters, rtol=1e-8, atol=1e-12)


def test_comparison_is_that_of_the_raw_weights(archive, ensemble):
    table = archive.comparison(epoch=1, layer=2)
    direct = gaussianity.compare(ensemble[0][1][3], archived_graphs())
    assert len(table) == 361
    for column in ("measured", "se", "predicted", "z", "ratio"):
        np.testing.assert_allclose(table[column], direct[column], rtol=1e-6, atol=1e-9)


def test_symmetry_is_that_of_the_raw_weights(archive, ensemble):
    direct = pigmm.symmetry_test(ensemble[0][1][3])
    assert archive.symmetry(epoch=1, layer=2).statistic == pytest.approx(direct.statistic, rel=1e-6)


def test_changes_are_paired_within_each_run(archive, ensemble):
    first, later = ensemble[0][0][1], ensemble[0][2][1]
    values = pigmm.evaluate(["01.01"], later) - pigmm.evaluate(["01.01"], first)
    place = 13 + [g.name for g in archived_graphs()].index("01.01")
    change = archive.change(2, 0)
    assert change.mean[place] == pytest.approx(values.mean())
    assert change.standard_error()[place] == pytest.approx(values.std(ddof=1) / np.sqrt(30))


def test_every_layer_has_its_bipartite_invariants_and_singular_values(archive, ensemble):
    for layer in (-1, 0, 1, 2, 3):
        W = ensemble[0][1][layer + 1]
        values, moments = pigmm.evaluate(archived_bipartite(), W), archive.bipartite(1, layer)
        np.testing.assert_allclose(moments.mean, values.mean(axis=0), rtol=1e-9, atol=1e-12)
        np.testing.assert_allclose(moments.comoment / 29, np.cov(values.T), rtol=1e-6, atol=1e-9)
        singular = np.linalg.svd(W, compute_uv=False)
        np.testing.assert_allclose(archive.singular_values(1, layer).mean, singular.mean(axis=0), rtol=1e-5)
        np.testing.assert_allclose(archive.norms[:, 1, layer + 1] ** 2, (singular**2).sum(axis=1), rtol=1e-5)
        counts, edges = archive.spectrum(1, layer)
        np.testing.assert_array_equal(counts, np.histogram(np.clip(singular, 1e-3, 100), edges)[0])
    moduli = np.sort(np.abs(np.linalg.eigvals(ensemble[0][1][1])))[:, ::-1]
    np.testing.assert_allclose(archive.eigenvalues(1, 0).mean, moduli.mean(axis=0), rtol=1e-5)
    assert archive.spectrum(1, 0, "eigenvalues")[0].sum() == 300


def test_rectangular_layers_are_compared_too(archive, ensemble):
    for layer in (-1, 1, 3):
        direct = gaussianity.compare(ensemble[0][1][layer + 1], archived_bipartite(), model=TwoSidedGaussian)
        table = archive.comparison(1, layer)
        assert list(table["name"]) == list(direct["name"])
        for column in ("measured", "se", "predicted", "z", "ratio"):
            np.testing.assert_allclose(table[column], direct[column], rtol=1e-6, atol=1e-7)
    some = archive.comparison(1, -1, graphs=["01.01.01", "01.21.31.41"])
    whole = archive.comparison(1, -1).set_index("name")
    np.testing.assert_allclose(some["z"], whole.loc[some["name"], "z"])
    with pytest.raises(PigmmError, match="bipartite invariants"):
        archive.comparison(1, -1, graphs=["00"])


def test_the_joint_test_is_that_of_the_raw_weights():
    archive = synthetic_archive()
    W = archive.weights(3, 1)
    ours, theirs = archive.joint(3, 1), joint_test(W)
    assert (ours.directions, ours.runs) == (theirs.directions, 60)
    assert ours.statistic == pytest.approx(theirs.statistic, rel=1e-6)


def test_paths_join_now_before_and_start(archive, ensemble):
    statistics = np.array([sufficient_statistics(ensemble[0][epoch][1]) for epoch in range(3)])
    for epoch, before in ((0, 0), (1, 0), (2, 1)):
        features = np.hstack([statistics[epoch], statistics[before], statistics[0]])
        moments = archive.path(epoch, 0)
        np.testing.assert_allclose(moments.mean, features.mean(axis=0))
        np.testing.assert_allclose(moments.comoment / 29, np.cov(features.T), rtol=1e-6, atol=1e-12)


def test_films_show_the_first_networks_at_every_epoch(archive, ensemble):
    film = archive.film(0)
    assert film.shape == (8, 3, 10, 10)
    np.testing.assert_array_equal(film[5, 1], ensemble[0][1][1][5])
    parts = [build(ensemble, 0, 3), build(ensemble, 3, 20), build(ensemble, 20, 30)]
    np.testing.assert_array_equal(Archive.merge(parts).film(0), film)
    with pytest.raises(PigmmError, match="networks 0 to 7"):
        parts[2].film(0)
    with pytest.raises(PigmmError, match="layers"):
        archive.film(1)


def test_initial_weights_are_drawn_again_where_they_are_not_kept(tmp_path):
    config = EnsembleConfig(dataset="digits", runs=12, epochs=1, first_run=5)
    drawn = [initial_weights(config, run) for run in config.run_numbers]
    start = [np.array(layer) for layer in zip(*drawn, strict=True)]
    builder = ArchiveBuilder(config, config.run_numbers)
    for epoch in (0, 1):
        builder.add(epoch, [(1 + epoch) * W for W in start])
    archive = builder.finish(
        loss=np.ones((12, 1)), train_accuracy=np.zeros((12, 2)), test_accuracy=np.zeros((12, 2)),
        dead_units=np.zeros((12, 2, 3)), provenance={},
    )  # fmt: skip
    loaded = Archive.load(archive.save(tmp_path / "small", compact=True))
    assert "weights/0/1" in archive.kept
    assert "weights/0/1" not in loaded.kept
    assert loaded.weight_epochs == (0, 1)
    for layer in (-1, 0, 1, 2):
        np.testing.assert_array_equal(loaded.weights(0, layer), start[layer + 1])
    np.testing.assert_allclose(loaded.weights(1, 2), 2 * start[3], rtol=5e-4, atol=1e-6)
    with pytest.raises(PigmmError, match="statistics only"):
        loaded.weights(1, -1)


def test_merging_parts_equals_the_whole(archive, ensemble):
    parts = [build(ensemble, 20, 30), build(ensemble, 0, 1), build(ensemble, 1, 20)]
    assert_equal_archives(Archive.merge(parts), archive)
    assert Archive.merge(parts).provenance["wall_seconds"] == 4.5
    np.testing.assert_array_equal(Archive.merge(parts).weights(2, 0), archive.weights(2, 0))


def test_merging_refuses_gaps_doubles_and_strangers(ensemble):
    first, second, third = build(ensemble, 0, 10), build(ensemble, 10, 20), build(ensemble, 20, 30)
    for parts, word in (([first, third], "consecutive"), ([first, first], "consecutive"), ([], "no archive")):
        with pytest.raises(PigmmError, match=word):
            Archive.merge(parts)
    stranger = replace(second, template=replace(CONFIG, seed=1))
    with pytest.raises(PigmmError, match="differ in seed"):
        Archive.merge([first, stranger])


def test_builder_continues_from_its_state(ensemble, archive):
    weights, loss, accuracy, dead = ensemble
    builder = ArchiveBuilder(CONFIG, range(30))
    builder.add(0, weights[0])
    builder = ArchiveBuilder.from_state(CONFIG, range(30), {k: v.copy() for k, v in builder.state().items()})
    for epoch in (1, 2):
        builder.add(epoch, weights[epoch])
    again = builder.finish(
        loss=loss, train_accuracy=accuracy / 2, test_accuracy=accuracy, dead_units=dead, provenance={}
    )
    assert_equal_archives(again, archive, rtol=0)


def test_files_round_trip_exactly_and_compactly(archive, tmp_path):
    loaded = Archive.load(archive.save(tmp_path / "whole"))
    assert_equal_archives(loaded, archive, rtol=0)
    assert loaded.provenance == archive.provenance
    np.testing.assert_array_equal(loaded.weights(0, 2), archive.weights(0, 2))
    compact = Archive.load(archive.save(tmp_path / "small", compact=True))
    assert (compact.count("all"), compact.count("alive")) == (30, 29)
    for group in ("all", "alive"):
        for layer in (0, 2):
            ours, theirs = (a.comparison(2, layer, group)["z"] for a in (compact, archive))
            np.testing.assert_allclose(ours, theirs, rtol=1e-3, atol=1e-4)
            ours, theirs = (a.change(2, layer, group).standard_error() for a in (compact, archive))
            np.testing.assert_allclose(ours, theirs, rtol=1e-4)
    for name in ("loss", "test_accuracy", "train_accuracy", "norms"):
        np.testing.assert_allclose(compact.records[name], archive.records[name], rtol=5e-4)
    assert (tmp_path / "small.npz").stat().st_size < 0.7 * (tmp_path / "whole.npz").stat().st_size
    assert not list(tmp_path.glob("*.part"))


@pytest.mark.parametrize("images", [7, 297, 1500, 10_000])
def test_accuracies_are_kept_exactly(images):
    counts = np.random.default_rng(images).integers(0, images + 1, size=(40, 11))
    counts[0, 0] = 1  # else all of them might be shares of fewer images
    packed = pack_series("accuracy", counts / images)
    np.testing.assert_array_equal(unpack_series("accuracy", packed), counts / images)
    assert packed["accuracy/images"] == images
    single = (counts / images).astype(np.float32).astype(np.float64)  # as some archives have kept them
    np.testing.assert_array_equal(unpack_series("accuracy", pack_series("accuracy", single)), counts / images)


@pytest.mark.parametrize("scale", [1e-12, -1.0, 1.0, 1e9])
def test_series_of_any_size_are_kept_to_three_digits(scale):
    series = scale * np.random.default_rng(0).lognormal(size=(6, 4, 3))
    again = unpack_series("x", {name: array.copy() for name, array in pack_series("x", series).items()})
    np.testing.assert_allclose(again, series, rtol=5e-4, atol=0 if scale > 1e-7 else 1e-7)


def test_damaged_files_are_refused(archive, tmp_path):
    def fresh():
        path = archive.save(tmp_path / "a")
        return path, path.with_suffix(".json")

    path, sidecar = fresh()
    path.write_bytes(path.read_bytes()[: path.stat().st_size // 2])
    with pytest.raises(PigmmError, match=r"a\.npz is truncated or altered"):
        Archive.load(path)

    path, sidecar = fresh()
    said = json.loads(sidecar.read_text())
    said["config"]["seed"] = 99
    sidecar.write_text(json.dumps(said))
    with pytest.raises(PigmmError, match="edited"):
        Archive.load(path)

    path, sidecar = fresh()
    sidecar.unlink()
    with pytest.raises(PigmmError, match=r"cannot read .*a\.json"):
        Archive.load(path)

    path, sidecar = fresh()
    sidecar.write_text("[1, 2]")
    with pytest.raises(PigmmError, match="not the sidecar"):
        Archive.load(path)

    import hashlib

    foreign = tmp_path / "b.npz"
    np.savez(foreign, x=np.ones(3))
    digest = hashlib.sha256(foreign.read_bytes()).hexdigest()
    foreign.with_suffix(".json").write_text(json.dumps({"sha256": digest}))
    with pytest.raises(PigmmError, match="not an archive of pigmm"):
        Archive.load(foreign)


def test_an_archive_without_its_entries_or_name_is_refused(tmp_path):
    from pigmm.storage import write_arrays

    hollow = write_arrays(tmp_path / "hollow", {"format": "pigmm archive 3"}, {})
    with pytest.raises(PigmmError, match="lacks"):
        Archive.load(hollow)
    for path in ("", ".", None, 5, "a\0b"):
        with pytest.raises(PigmmError):
            Archive.load(path)
    with pytest.raises(PigmmError, match="archives"):
        Archive.merge(["x"])


def test_both_files_are_written_or_neither(archive, tmp_path):
    (tmp_path / "a.json").mkdir()
    with pytest.raises(PigmmError, match=r"a\.json"):
        archive.save(tmp_path / "a")
    assert [p.name for p in tmp_path.iterdir()] == ["a.json"]


def test_failed_writes_leave_the_old_file_whole(archive, tmp_path, monkeypatch):
    path = archive.save(tmp_path / "a")
    before = path.read_bytes()

    def full(*_):
        raise OSError(28, "No space left on device")

    monkeypatch.setattr("pigmm.storage.os.fsync", full)
    with pytest.raises(PigmmError, match="No space left"):
        archive.save(path)
    assert path.read_bytes() == before
    assert sorted(p.name for p in tmp_path.iterdir()) == ["a.json", "a.npz"]


@pytest.mark.parametrize(
    ("call", "word"),
    [
        (lambda a: a.model(epoch=3), "epoch: got 3"),
        (lambda a: a.model(epoch=-4), "epoch"),
        (lambda a: a.model(epoch=1.5), "epoch"),
        (lambda a: a.model(layer=4), "layer: got 4"),
        (lambda a: a.model(layer=1), "square layers"),
        (lambda a: a.model(runs="living"), "'all' or 'alive'"),
        (lambda a: pigmm.load("mnist-gausian"), "mnist-gaussian"),
        (lambda a: pigmm.load("no/such/file.npz"), "no/such/file"),
        (lambda a: pigmm.load(None), "archive: got"),
    ],
)
def test_wrong_questions_are_answered_in_words(archive, call, word):
    with pytest.raises(PigmmError, match=word):
        call(archive)


def test_negative_epochs_count_from_the_end(archive):
    np.testing.assert_array_equal(archive.model(-1, 0).parameters, archive.model(2, 0).parameters)


def test_weights_are_kept_at_few_epochs_only(ensemble):
    config = replace(CONFIG, epochs=10)
    archive = ArchiveBuilder(config, range(30)).finish(
        loss=np.zeros((30, 10)), train_accuracy=np.zeros((30, 11)), test_accuracy=np.zeros((30, 11)),
        dead_units=np.zeros((30, 11, 4)), provenance={},
    )
    with pytest.raises(PigmmError, match=r"epochs \(0, 1, 10\)"):
        archive.weights(5, 0)


def test_published_archives_are_whole_and_say_where_they_come_from():
    assert {"mnist-gaussian", "mnist-uniform", "digits-recurrent", "digits-residual"} <= set(pigmm.published())
    for name in pigmm.published():
        archive = pigmm.load(name)
        assert archive.config.dataset == name.split("-")[0]
        assert archive.runs >= 100
        assert archive.epochs >= 15
        assert 0.8 < archive.accuracy.mean() < 0.99
        for key in ("package_version", "dataset_digest", "torch", "numpy", "hardware", "date", "wall_seconds"):
            assert archive.provenance[key], key


def test_a_law_of_other_matrices_is_refused(archive):
    for layer, law in ((0, TwoSidedGaussian([0.0, 1, 1, 1, 1], (7, 7))), (-1, archive.two_sided(1, 0))):
        with pytest.raises(PigmmError, match="a law of"):
            archive.comparison(1, layer, model=law)


def test_compact_files_keep_numbers_too_large_for_single_precision(ensemble, tmp_path):
    weights, *rest = ensemble
    loud = build(([[1e12 * W for W in layers] for layers in weights], *rest), 0, 30)
    loaded = Archive.load(loud.save(tmp_path / "loud", compact=True))
    np.testing.assert_allclose(loaded.comparison(1, -1)["z"], loud.comparison(1, -1)["z"], rtol=0.02, atol=0.02)


def test_compact_and_full_archives_merge_in_either_order(tmp_path):
    config = EnsembleConfig(dataset="digits", runs=8, epochs=1)

    def part(first, backend):
        part_config = replace(config, runs=4, first_run=first)
        builder = ArchiveBuilder(part_config, part_config.run_numbers)
        drawn = [initial_weights(config, run) for run in part_config.run_numbers]
        for epoch in (0, 1):
            builder.add(epoch, [np.array(layer) for layer in zip(*drawn, strict=True)])
        return builder.finish(
            loss=np.ones((4, 1)), train_accuracy=np.zeros((4, 2)), test_accuracy=np.zeros((4, 2)),
            dead_units=np.zeros((4, 2, 3)), provenance={"backend": backend, "wall_seconds": 2.0, "config": {"runs": 4}},
        )  # fmt: skip

    first, second = part(0, "torch"), part(4, "compiled")
    small = [Archive.load(a.save(tmp_path / f"{k}", compact=True)) for k, a in enumerate((first, second))]
    whole = Archive.merge([first, second]).weights(0, 1)
    for mixed in ([first, small[1]], [small[0], second]):
        merged = Archive.merge(mixed)
        np.testing.assert_array_equal(merged.weights(0, 1), whole)
        assert merged.provenance["backend"] == "torch; compiled"
        assert merged.provenance["wall_seconds"] == 4
        assert merged.provenance["config"]["runs"] == 8


def test_files_whose_entries_do_not_fit_together_are_refused(archive, tmp_path):
    from pigmm.storage import read_arrays, write_arrays

    header, arrays = read_arrays(archive.save(tmp_path / "a"), "pigmm archive 3")
    for change, cut in (({"runs": 99}, {}), ({}, {"records/loss": arrays["records/loss"][:2]}),
                        ({}, {"all/two_sided/0/mean": arrays["all/two_sided/0/mean"][:1]})):  # fmt: skip
        path = write_arrays(tmp_path / "b", header | change, arrays | cut)
        with pytest.raises(PigmmError, match="do not fit together"):
            Archive.load(path)


def test_the_input_layer_is_among_what_is_allowed(archive):
    with pytest.raises(PigmmError, match="-1 for the input layer"):
        archive.bipartite(0, -2)
    with pytest.raises(PigmmError, match="-1 for the input layer"):
        archive.weights(0, -1.0)
