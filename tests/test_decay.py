"""Weight decay: splits, rulers, errors and neurons against closed forms, simulation and planted structure."""

from dataclasses import replace
from functools import lru_cache, partial

import numpy as np
import pandas as pd
import pytest
from scipy.optimize import minimize_scalar

from pigmm import (
    EnsembleConfig,
    GaussianMatrixModel,
    PigmmError,
    SimpleGaussian,
    TwoSidedGaussian,
    decay,
    decay_figures,
    evolution,
    neurons,
    neurons_figures,
    w2_squared,
    wick,
)
from pigmm.gaussianity import compare

from .ensembles import synthetic_archive
from .pictures import check_picture


@lru_cache
def both():
    """An ensemble, and another one that is told to have been regularised."""
    plain = synthetic_archive()
    other = synthetic_archive("uniform")
    template = replace(plain.template, weight_decay=0.01)  # and started alike
    return {"no decay": plain, "decay": replace(other, template=template)}


def test_pairs_of_configurations():
    config = EnsembleConfig(weight_decay=0.02, runs=30)
    labels = decay.side_by_side({"gaussian": config})
    assert [c.weight_decay for c in labels.values()] == [0, 0.02]
    assert {replace(c, weight_decay=0.0) for c in labels.values()} == {replace(config, weight_decay=0.0)}
    with pytest.raises(PigmmError, match=r"weight_decay: got 0.0; allowed: a number > 0"):
        decay.side_by_side({"gaussian": EnsembleConfig()})


def test_learning_against_records():
    archive = synthetic_archive()
    table = decay.learning(archive).set_index(["what", "epoch"])
    x = archive.test_accuracy[:, 2]
    assert table.loc[("test accuracy", 2), "mean"] == pytest.approx(x.mean())
    assert table.loc[("test accuracy", 2), "se"] == pytest.approx(x.std(ddof=1) / 60**0.5)
    assert table.loc[("loss", 1), "mean"] == pytest.approx(archive.loss[:, 0].mean())
    assert ("loss", 0) not in table.index
    assert table.loc[("gap", 3), "mean"] == pytest.approx((archive.train_accuracy - archive.test_accuracy)[:, 3].mean())
    W = archive.weights(-1, 1)
    assert table.loc[("norm L2", 3), "mean"] == pytest.approx(np.linalg.norm(W, axis=(1, 2)).mean(), rel=1e-3)


def _far(law, variance, c):
    return w2_squared(law, SimpleGaussian(0.0, c * c * variance, (10, 10)))


def test_scale_and_shape_against_minimisation():
    """The nearest rescaled start by brute force, and Pythagoras between start, rescaled start and law."""
    archive = synthetic_archive()
    table = decay.travelled(archive).set_index(["epoch", "layer"])
    start = evolution.initial_law(archive, 0)
    for epoch in (1, 3):
        row, law = table.loc[(epoch, "L1")], archive.model(epoch, 0)
        assert row.w2_squared == pytest.approx(w2_squared(law, start), rel=1e-10)
        far = partial(_far, law, start.variance)
        best = minimize_scalar(far, bounds=(0.1, 5), method="bounded", options={"xatol": 1e-10})
        assert row.factor == pytest.approx(best.x, rel=1e-6)
        assert row["shape"] == pytest.approx(best.fun, rel=1e-9)
        assert row.scale == pytest.approx(w2_squared(start, SimpleGaussian(0.0, best.x**2 * start.variance, (10, 10))))
        assert row.scale + row["shape"] == pytest.approx(row.w2_squared)
        assert row.share == pytest.approx(row.scale / row.w2_squared)
    same = evolution.distances(archive).set_index(["epoch", "layer"])
    assert np.allclose(table["w2_squared_se"], same["se"], rtol=1e-3)  # there the slope is a finite difference


def test_errors_of_scale_and_shape_by_simulation():
    """Standard errors of both parts against their spread over independent ensembles."""
    law = TwoSidedGaussian([0.05, 0.5, 0.3, 0.15, 0.1], (10, 10)).to_diagonal()
    N, sigma, found = 100, 0.1**0.5, []
    for seed in range(200):
        fit = GaussianMatrixModel.fit(law.sample(100, seed=seed))
        (S, _), (Q, _) = decay._sum_of_deviations(fit), decay._mean_square(fit)
        found.append((0.1 * N * (1 - S / (N * sigma)) ** 2, Q - S * S / N))
    (S, slope_S), (Q, slope_Q) = decay._sum_of_deviations(law), decay._mean_square(law)
    assert pytest.approx((law.sample(20000, seed=1) ** 2).sum(axis=(1, 2)).mean(), rel=0.01) == Q
    D = [block.dim for block in law.decomposition.blocks]
    f, C = law.parameters, np.zeros((13, 13))
    C[0, 0], C[2, 2] = f[2], 2 * f[2] ** 2
    C[1, 1], C[4, 4], C[3, 3] = f[4], 2 * f[4] ** 2, f[2] * f[4]
    diagonal = {5: (5, 5), 6: (5, 8), 7: (5, 10), 8: (8, 8), 9: (8, 10), 10: (10, 10)}
    for k, (a, b) in diagonal.items():
        C[k, k] = f[a] * f[b] * (2 if a == b else 1) / D[1]
    C[11, 11], C[12, 12] = 2 * f[11] ** 2 / D[2], 2 * f[12] ** 2 / D[3]
    c = S / (N * sigma)
    for k, slope in enumerate((-2 * sigma * (1 - c) * slope_S, slope_Q - 2 * S / N * slope_S)):
        predicted = np.sqrt(slope @ C @ slope / 100)
        assert np.std(np.array(found)[:, k]) == pytest.approx(predicted, rel=0.15)  # 200 ensembles: 5 %, and curvature


@pytest.mark.parametrize("law", [
    SimpleGaussian(0.2, 0.7, (5, 5)).to_diagonal(), TwoSidedGaussian([0.3, 2, 1.5, 1, 0.5], (5, 5)).to_diagonal(),
])  # fmt: skip
def test_variance_of_the_norm_is_that_of_wick(law):
    first, second = wick.expectation(["01.01", "01.01+01.01"], law)
    assert decay.norm_variance(law) == pytest.approx(second - first**2, rel=1e-10)


def test_ruler_sees_loud_networks_and_locked_norms():
    archive = synthetic_archive()
    row = decay.ruler(archive).set_index(["epoch", "layer"]).loc[(3, "L2")]
    norms = (archive.weights(3, 1) ** 2).sum(axis=(1, 2))
    assert row.measured == pytest.approx(norms.std(ddof=1), rel=1e-3)
    assert row.predicted == pytest.approx(decay.norm_variance(archive.model(3, 1)) ** 0.5)
    assert row.stretch_se == pytest.approx(row.stretch / (2 * 60) ** 0.5, rel=0.6)  # normal: 1/sqrt(2 R)


def test_errors_of_effect_sizes_by_simulation():
    """effect_se and the error of the rms against the spread over ensembles; tails are heavy, so the ruler matters."""
    names, R = ["01.02.31.32", "01.01+01.01", "01.01.01.01"], 300
    rng, effects, errors, rms = np.random.default_rng(0), [], [], []
    for _ in range(40):
        W = rng.normal(size=(R, 4, 4)) * rng.gamma(8, 1 / 8, size=(R, 1, 1)) ** 0.5
        found = decay.misfit(W)
        table = found.table.set_index("name").loc[names]
        effects.append(table["effect"])
        errors.append(table["effect_se"])
        rms.append(found.rms)
    ratio = np.std(effects, axis=0, ddof=1) / np.mean(errors, axis=0)
    assert (np.abs(ratio - 1) < 0.35).all(), ratio  # 40 ensembles: 11 %, and tails make the errors vary
    assert np.std([r for r, _ in rms], ddof=1) == pytest.approx(np.mean([e for _, e in rms]), rel=0.35)


def test_misfit_agrees_with_compare_and_leaves_out_constants():
    W = SimpleGaussian(0.0, 1.0, shape=5).sample(50, seed=0)
    table = decay.misfit(W).table
    assert np.allclose(table["effect"].abs(), compare(W)["ratio"])
    assert np.array_equal(table["z"], compare(W)["z"])
    one = decay.misfit(neurons.treatments(W)["one norm"])
    assert set(table["name"]) - set(one.table["name"]) == {"01.01+01.01"}
    assert len(one.influence.T) == len(one.table) == 347


def test_noise_is_taken_out_of_the_rms():
    clean = [decay.misfit(SimpleGaussian(0.0, 1.0, shape=6).sample(100, seed=k)).rms[0] for k in range(12)]
    raw = decay.misfit(SimpleGaussian(0.0, 1.0, shape=6).sample(100, seed=0)).table["effect"]
    assert np.mean(clean) < 0.4 * np.sqrt((raw**2).mean())


def test_paired_changes():
    quiet, wild = SimpleGaussian(0.0, 1.0, shape=5).sample(300, seed=0), np.random.default_rng(1).uniform(
        -(3**0.5), 3**0.5, (300, 5, 5)
    )  # fmt: skip
    first, second = decay.misfit(quiet), decay.misfit(wild)
    table = decay.paired(first, second).set_index("name")
    row = table.loc["01.01.01.01"]
    assert row.change_z > 10
    assert row.change_p < 1e-6
    assert row.change == pytest.approx(row.effect_1 - row.effect_0)
    assert row.change_se == pytest.approx(np.hypot(*(m.table.set_index("name").effect_se["01.01.01.01"]
                                                     for m in (first, second))))  # fmt: skip
    assert table.index[table["change"].argmax()] == "01.01.01.01"
    assert (decay.paired(first, first)["change"] == 0).all()


def test_treatments_set_the_norm_and_nothing_else():
    W = SimpleGaussian(0.0, 1.0, shape=6).sample(500, seed=0) * np.random.default_rng(1).uniform(0.5, 2, (500, 1, 1))
    W[:, 2], W[:, :, 4] = 0, 0
    sets = neurons.treatments(W, seed=3)
    norm = {name: np.sqrt((x**2).sum(axis=(1, 2))) for name, x in sets.items()}
    assert np.ptp(norm["one norm"]) < 1e-12
    assert np.allclose(norm["surrogate"], norm["as trained"])
    for name in ("one norm", "Gaussian norms"):
        assert np.allclose(sets[name] / norm[name][:, None, None], W / norm["as trained"][:, None, None])
    fit = GaussianMatrixModel.fit(W)
    assert np.var(norm["Gaussian norms"] ** 2) == pytest.approx(decay.norm_variance(fit), rel=0.25)  # 500: 6 %, tails
    assert not sets["surrogate"][:, 2].any()
    assert not sets["surrogate"][:, :, 4].any()
    # all that is left is Gaussian: the rows of the surrogate are no more alike than chance
    assert (sets["surrogate"][:, [0, 1, 3], :4] != 0).all()


def test_planted_neurons_are_found():
    """Two vanished neurons, one pair of duplicates, balanced weights: every count is known."""
    archive = planted()
    table = neurons.hidden_neurons(archive).set_index(["hidden", "measure"])
    for hidden in (2, 3):
        for side in ("in", "out", "both"):
            assert table.loc[(hidden, f"vanished {side}"), "value"] == pytest.approx(0.2)
    assert table.loc[(2, "near-duplicates in"), "value"] == pytest.approx(2 / 8)
    assert table.loc[(2, "near-duplicates in"), "null"] < 0.1
    assert table.loc[(3, "near-duplicates in"), "value"] < 0.1
    assert table.loc[(2, "squared cosine in"), "value"] > table.loc[(2, "squared cosine in"), "null"]
    assert table.loc[(2, "balance"), "value"] > 0.999
    assert table.loc[(1, "silent"), "value"] == 0
    assert (1, "vanished in") not in table.index
    film = neurons.films(archive).set_index(["epoch", "layer", "measure"])
    assert film.loc[(1, "L1", "vanished rows"), "value"] == pytest.approx(0.2)
    assert film.loc[(1, "L2", "vanished columns"), "value"] == pytest.approx(0.2)
    assert film.loc[(1, "L1", "near-duplicate rows"), "value"] == pytest.approx(0.25)
    assert film["networks"].eq(8).all()
    rank = neurons.effective_rank(archive).set_index(["epoch", "layer"])
    assert rank.loc[(1, "L3"), "value"] == pytest.approx(8, abs=0.01)  # eight orthogonal columns, kept in float32
    assert rank.loc[(1, "L3"), "null"] < 6


@lru_cache
def planted():
    from pigmm.builder import ArchiveBuilder

    config, rng = EnsembleConfig(dataset="digits", runs=20, epochs=1), np.random.default_rng(3)
    builder, R = ArchiveBuilder(config, range(20)), 20
    start = [rng.normal(size=(R, *shape)) / np.sqrt(shape[1]) for shape in config.shapes]
    end = [W.copy() for W in start]
    L1, L2 = end[1], end[2]
    L1[:, 1] = 2 * L1[:, 0]  # neuron 1 of the second hidden layer copies neuron 0
    L1[:, [4, 7]], L2[:, :, [4, 7]], L2[:, [0, 5]] = 0, 0, 0
    into = np.linalg.norm(L1, axis=2)
    out = np.linalg.norm(L2, axis=1)
    L2 *= np.divide(into, out, out=np.zeros_like(out), where=out > 0)[:, None, :]
    end[3] = np.linalg.qr(end[3])[0]  # orthogonal columns
    end[3][:, :, [0, 5]] = 0
    builder.add(0, start)
    builder.add(1, end)
    return builder.finish(
        loss=np.ones((R, 1)), train_accuracy=np.full((R, 2), 0.5), test_accuracy=np.full((R, 2), 0.5),
        dead_units=np.zeros((R, 2, 3), int), provenance={},
    )  # fmt: skip


def test_relabelling_and_decay_commute():
    """A step of Adam with coupled decay, entry by entry, of a relabelled matrix is the relabelled step."""
    rng = np.random.default_rng(0)
    W, G, rows, columns = rng.normal(size=(6, 6)), rng.normal(size=(6, 6)), rng.permutation(6), rng.permutation(6)

    def step(W, G):
        g = G + 0.01 * W
        m, v = 0.1 * g, 0.001 * g * g
        return W - 1e-3 * (m / 0.1) / (np.sqrt(v / 0.001) + 1e-8)

    assert np.array_equal(step(W, G)[rows][:, columns], step(W[rows][:, columns], G[rows][:, columns]))


@pytest.mark.parametrize(("call", "word"), [
    (lambda a: neurons.hidden_neurons(a, faint=0), "faint: got 0"),
    (lambda a: neurons.hidden_neurons(a, similar=1.5), "similar: got 1.5"),
    (lambda a: neurons.films(a, similar=True), "similar: got True"),
    (lambda a: neurons.films(a, faint="x"), "faint: got 'x'"),
    (lambda a: decay.misfit(np.ones((5, 3, 3))), "at least"),
    (lambda a: decay.learning(a, "dead"), "runs: got 'dead'"),
    (lambda a: neurons.silent(a, "dead"), "runs: got 'dead'"),
    (lambda a: neurons.treatments(np.full((5, 4, 4), np.nan)), "NaN|finite"),
])  # fmt: skip
def test_wrong_values_are_named(call, word):
    with pytest.raises(PigmmError, match=word):
        call(synthetic_archive())


def test_tables_of_alive_networks():
    archive = synthetic_archive()  # no network is dead: the same numbers
    for table in (decay.learning, decay.ruler, decay.travelled, neurons.silent, decay.spectra):
        pd.testing.assert_frame_equal(table(archive), table(archive, "alive"))


def test_figures_describe_themselves(monkeypatch, tmp_path):
    archives = both()

    def of(function, *args):
        table = decay.tidy(archives, function, *args)
        return table[table["layer"] == "L2"] if "layer" in table else table

    found = [decay.misfit(archive.weights(-1, 0)) for archive in archives.values()]
    pairs = {"gaussian": {"L1": decay.paired(*found)}}
    judged, spectra = of(evolution.predictions), of(decay.spectra)
    W = planted().weights(-1, 0), planted().weights(-1, 1)
    into, out = (W[0] ** 2).sum(axis=2), (W[1] ** 2).sum(axis=1)
    pictures = {
        "learning": decay_figures.learning(of(decay.learning)), "norms": decay_figures.norms(of(decay.learning)),
        "blocks": decay_figures.blocks(of(evolution.parameters), {"gaussian": 0.1}),
        "distances": decay_figures.distances(of(decay.travelled)), "effects": decay_figures.effects(judged),
        "tests": decay_figures.z_scores(judged), "pairs": decay_figures.pairs(pairs),
        "ruler": decay_figures.ruler(of(decay.ruler)), "spectra": decay_figures.spectra(spectra),
        "balance": neurons_figures.balance({"no decay": (into, out), "decay": (into, out)}),
        "neurons": neurons_figures.neurons(of(neurons.silent), of(neurons.films)),
    }  # fmt: skip
    for name, picture in pictures.items():
        check_picture(picture, name, monkeypatch, tmp_path)
    shape = of(decay.travelled).query("epoch == 3 and decay > 0")["shape"]
    assert f"without decay, {shape.item():.2f} with." in pictures["distances"].see
    assert "correlation 1.000" in pictures["balance"].see
