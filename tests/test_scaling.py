"""Widths side by side: exponents, movement, effects, rulers and spectra against closed forms and simulations."""

from functools import lru_cache

import numpy as np
import pytest
from scipy import integrate

from pigmm import (
    EnsembleConfig,
    PigmmError,
    SimpleGaussian,
    TwoSidedGaussian,
    evaluate,
    evolution,
    notebook,
    scaling,
    spectral,
    width_effects,
)
from pigmm import scaling_figures as drawn
from pigmm.builder import ArchiveBuilder
from tests.pictures import check_picture

BASE = {"profile": "class", "init": "gaussian", "runs": 0, "epochs": 0, "seed": -1}


@lru_cache
def ensembles(heavy: bool = True, runs: int = 160) -> dict:
    """Archives of widths 6 and 12; in training every bulk entry makes a step of sd 0.2, and grows heavy tails."""
    return {width: _one(width, heavy, runs) for width in (6, 12)}


def _one(width, heavy, runs):
    config = EnsembleConfig(dataset="digits", hidden=(width, width), runs=runs, epochs=2)
    rng = np.random.default_rng(width)
    start = [rng.normal(size=(runs, *shape)) / shape[1] ** 0.5 for shape in config.shapes]
    builder = ArchiveBuilder(config, range(runs))
    for epoch in range(3):
        step = rng.standard_t(5, size=start[1].shape) if heavy else rng.normal(size=start[1].shape)
        moved = start[1] if epoch == 0 else start[1] + 0.2 * step / step.std()
        builder.add(epoch, [start[0], moved, *start[2:]])
    return builder.finish(
        loss=np.linspace(2.0, 1.0, 2)[None] + 0.1 * rng.random((runs, 1)), train_accuracy=np.full((runs, 3), 0.5),
        test_accuracy=np.linspace(0.1, 0.8, 3)[None] + 0.01 * rng.normal(size=(runs, 1)),
        dead_units=np.zeros((runs, 3, 2), int), provenance={"date": "2026-01-01", "package_version": "0"},
    )  # fmt: skip


# ---- which ensembles


@pytest.mark.parametrize("text", ["10;40", "ten", "10", "10,10", "3,10", "10,,40", "-10,40"])
def test_bad_widths_are_refused(text):
    with pytest.raises(PigmmError, match="widths"):
        scaling.width_list(text, "class")


def test_configurations_follow_the_readers_values():
    chosen = notebook.settings({**BASE, "runs": 30, "epochs": 2, "seed": 3, "init": "uniform"})
    configs = scaling.width_configs(chosen, {**BASE, "runs": 30, "epochs": 2, "seed": 3}, (5, 20))
    assert [c.hidden for c in configs.values()] == [(5, 5), (20, 20)]
    for c in configs.values():
        assert (c.runs, c.epochs, c.seed, c.dataset, c.init) == (30, 2, 3, "digits", "uniform")
    both = notebook.settings({**BASE, "init": "both"})
    with pytest.raises(PigmmError, match="init: got 'both'"):
        scaling.width_configs(both, BASE, (5, 20))


def test_published_widths_keep_their_own_runs_and_epochs():
    from pigmm.shelf import published, published_config

    chosen = notebook.settings({**BASE, "profile": "paper"})
    names = [name for name in published() if name.startswith("mnist-width-")]
    widths = [int(name.split("-")[-1]) for name in names]
    configs = scaling.width_configs(chosen, {**BASE, "profile": "paper"}, [*widths, 7])
    assert [configs[w] for w in widths] == [published_config(name) for name in names]
    assert (configs[7].hidden, configs[7].runs, configs[7].epochs) == ((7, 7), 100, 20)


def test_common_epoch_is_the_last_that_all_have():
    assert scaling.common_epoch(ensembles()) == 2
    assert scaling.common_epoch(ensembles(), 1) == 1
    for wrong in (3, -1, True):
        with pytest.raises(PigmmError, match="epoch"):
            scaling.common_epoch(ensembles(), wrong)


# ---- exponents


def test_power_law_has_the_right_error_and_goodness_of_fit():
    n, rng, found, ps = np.array([10, 40, 160, 640]), np.random.default_rng(0), [], []
    for _ in range(400):
        law = scaling.power_law(n, 3 * n**1.5 * (1 + 0.02 * rng.normal(size=4)), 0.06 * n**1.5)
        found.append((law.exponent - 1.5) / law.se)
        ps.append(law.p)
    assert abs(np.mean(found)) < 0.15
    assert np.std(found) == pytest.approx(1, abs=0.12)
    assert np.mean(np.array(ps) < 0.1) == pytest.approx(0.1, abs=0.06)


def test_a_bent_line_is_refuted_and_two_points_are_not_tested():
    n = np.array([10.0, 40, 160])
    bent = scaling.power_law(n, [1, 4, 64], [0.01, 0.04, 0.64])
    assert bent.refuted
    assert [slope for slope, _ in bent.local] == pytest.approx([1, 2])
    two = scaling.power_law(n[:2], [1, 4], [0.01, 0.04])
    assert not two.refuted
    assert two.text == "1.00 ± 0.01 (two widths)"
    assert two(160.0) == pytest.approx(16)
    for y in ([1, -1, 2], [1, 2]):
        with pytest.raises(PigmmError):
            scaling.power_law(n, y, np.ones(len(y)))


def test_exponents_know_sign_changes_and_trends():
    import pandas as pd

    rows = []
    for width, values in ((10, (-0.3, 0.5, 0.1)), (40, (0.4, 0.1, 0.11)), (160, (1.6, 0.02, 0.1))):
        rows += [{"name": "abc"[k], "width": width, "effect": v, "se": 0.02} for k, v in enumerate(values)]
    found = width_effects.exponents(pd.DataFrame(rows)).set_index("name")
    assert found["trend"].to_dict() == {"a": "grows", "c": "even", "b": "shrinks"}
    assert found.loc["a", "widths"] == (40, 160)
    assert found.loc["a", "law"].exponent == pytest.approx(1)
    assert found.loc["b", "widths"] == ()
    assert found.loc["c", "widths"] == (10, 40, 160)


# ---- the law


def test_movement_is_that_of_the_weights():
    table = scaling.movement(ensembles()).set_index(["width", "epoch"])
    for width, archive in ensembles().items():
        row = table.loc[width, 2]
        change = archive.weights(2, 0) - archive.weights(0, 0)
        assert abs(row.delta - change.std()) < 4 * row.delta_se
        assert row.delta == pytest.approx(0.2, abs=4 * row.delta_se)
        start = evolution.initial_law(archive, 0).variance
        assert abs(row.memory - (start / (start + 0.04)) ** 0.5) < 4 * row.memory_se
        expected = (width * ((start + 0.04) ** 0.5 - start**0.5)) ** 2
        assert abs(row.w2_squared - expected) < 4 * row.se
        assert row.share == pytest.approx(row.w2_squared / width)
        assert abs(table.loc[width, 0].w2_squared) < 4 * table.loc[width, 0].se
        assert table.loc[width, 0].floor == pytest.approx(7.5 / width / archive.runs)
        assert row.walk == pytest.approx(1e-3 * 30**0.5)  # 1500 images, batches of 100, two epochs


def test_live_parameters_start_at_one():
    table = scaling.alive(ensembles())
    start = table[table["epoch"] == 0]
    assert (np.abs(start["value"] - np.where(start["part"] == "mean", 0, 1)) < 4 * start["se"]).all()
    bulk = table[(table["part"] == "bulk") & (table["epoch"] == 2)].set_index("width")
    assert (np.abs(bulk["value"] - (1 + 0.04 * bulk.index)) < 5 * bulk["se"]).all()
    W = ensembles()[6].weights(1, 0)
    row = table[(table["width"] == 6) & (table["epoch"] == 1)].set_index("part")
    law = TwoSidedGaussian.fit(W)
    assert row["value"].to_numpy() == pytest.approx([6 * law.parameters[0] * 6**0.5, *6 * law.parameters[1:]], rel=1e-6)


# ---- predictions


def test_predicted_spread_is_that_of_samples():
    law = TwoSidedGaussian([0.1, 0.2, 0.3, 0.15, 0.1], (6, 6))
    values = evaluate(width_effects.GRAPHS, law.sample(20000, seed=1))
    assert width_effects.predicted_spread(law) == pytest.approx(values.std(axis=0), rel=0.12)


def test_effects_are_those_of_the_comparison_and_factor():
    table = width_effects.effects(ensembles(), 2).set_index(["width", "name"])
    for width, archive in ensembles().items():
        known = archive.comparison(2, 0, model=TwoSidedGaussian, graphs=width_effects.GRAPHS).set_index("name")
        mine = table.loc[width]
        assert mine["effect"].abs().to_numpy() == pytest.approx(known["ratio"].to_numpy(), rel=1e-6)
        error = (known["se_difference"] / known["sd"]).to_numpy()
        error = np.hypot(np.maximum(error, 0.01 / archive.runs**0.5), known["ratio"] / (2 * archive.runs - 2) ** 0.5)
        assert mine["se"].to_numpy() == pytest.approx(error.to_numpy(), rel=1e-5)
        product = mine["miss"] * mine["resolution"] / mine["stretch"]
        assert product.to_numpy() == pytest.approx(mine["effect"].to_numpy())


def test_misfit_without_noise_is_zero_for_a_true_law_and_not_for_heavy_tails():
    true = width_effects.misfit(ensembles(heavy=False), [0, 2])
    assert (true["rms"] < 3 * true["rms_se"]).all()
    assert (true["joint"].abs() < 4 * true["joint_se"]).all()
    heavy = width_effects.misfit(ensembles(), [2]).set_index("width").loc[12]
    assert heavy["rms"] > 3 * heavy["rms_se"]
    assert heavy["refuted"] > 0
    table = ensembles()[12].comparison(2, 0).query("degree > 2")
    assert heavy["all_median"] == pytest.approx(table["ratio"].median(), rel=1e-6)
    assert heavy["paper_largest"] == pytest.approx(table[table["paper"].notna()]["ratio"].max(), rel=1e-6)
    noise = 0.6745 * (table["se_difference"] / table["sd"]).median()
    assert heavy["all_noise"] == pytest.approx(noise, rel=1e-5)


def test_errors_of_the_summary_are_those_of_repeated_ensembles():
    config, rows = EnsembleConfig(dataset="digits", hidden=(8, 8), runs=60, epochs=1), []
    for seed in range(20):
        builder = ArchiveBuilder(config, range(60))
        W = np.random.default_rng(seed).uniform(-1, 1, (60, 8, 8))  # the law is far from true
        for epoch in range(2):
            builder.add(epoch, [np.zeros((60, 8, 64)), W, np.zeros((60, 10, 8))])
        archive = builder.finish(
            loss=np.ones((60, 1)), train_accuracy=np.ones((60, 2)), test_accuracy=np.ones((60, 2)),
            dead_units=np.zeros((60, 2, 2), int), provenance={},
        )  # fmt: skip
        rows.append(width_effects.misfit({8: archive}, [1], draws=200).iloc[0])
    assert min(row["largest"] for row in rows) > 1
    for name in ("median", "largest", "rms"):
        values, errors = (np.array([row[key] for row in rows]) for key in (name, f"{name}_se"))
        assert 0.5 < np.mean(errors) / values.std(ddof=1) < 2


# ---- spectra


def test_quarter_circle_is_the_inverse_of_its_distribution():
    for share in (0.1, 0.5, 0.9):
        s = float(spectral.quarter_circle(share))
        area, _ = integrate.quad(lambda x: np.sqrt(4 - x * x) / np.pi, 0, s)
        assert area == pytest.approx(share)


def test_spikes_are_where_samples_have_them():
    law = TwoSidedGaussian([0.02, 0.005, 0.05, 0.1, 0.005], (200, 200))
    measured = np.linalg.svd(law.sample(20, seed=0), compute_uv=False).mean(axis=0)
    out = spectral.spikes(law)
    assert len(out) == 2
    assert measured[:2] == pytest.approx(out, rel=0.03)
    assert measured[2] < 2.05
    assert len(spectral.spikes(SimpleGaussian(0.0, 0.005, shape=200).to_two_sided())) == 0


def test_tails_count_and_split_the_spectrum():
    table = spectral.tails(ensembles(), [0, 2]).set_index(["width", "epoch"])
    W = ensembles()[12].weights(2, 0)
    s = np.linalg.svd(W, compute_uv=False)
    s /= np.sqrt((s**2).mean())
    row = table.loc[12, 2]
    assert row.largest == pytest.approx(s[:, 0].mean(), rel=1e-3)
    assert row.fourth == pytest.approx((s**4).mean(), rel=1e-3)
    counted = (s > 2).sum(axis=1)
    assert abs(row.beyond - counted.mean()) < 4 * counted.std() / len(counted) ** 0.5 + 0.02
    assert abs(table.loc[12, 0].fourth - table.loc[12, 0].independent) < 4 * table.loc[12, 0].fourth_se
    order = spectral.spectra(ensembles(), [2]).query("width == 12")
    assert order["value"].to_numpy() == pytest.approx(s.mean(axis=0), rel=1e-3)


def test_symmetries_are_the_tests_of_the_archives():
    table = scaling.symmetries(ensembles(), [0, 2])
    places = [(archive, epoch) for archive in ensembles().values() for epoch in (0, 2)]
    assert table["p"].tolist() == [archive.orbit_test(epoch, 0).pvalue for archive, epoch in places]
    assert table["p_f"].tolist() == [archive.symmetry(epoch, 0).pvalue for archive, epoch in places]


# ---- figures


def pictures():
    archives = ensembles()
    effects = width_effects.effects(archives, 2)
    names, moved = list(effects["name"].unique()[:4]), scaling.movement(archives)
    return {
        "learning": lambda: drawn.learning({w: evolution.training(a) for w, a in archives.items()}, 2),
        "alive": lambda: drawn.alive(scaling.alive(archives), 2),
        "movement": lambda: drawn.movement(moved, [1, 2]),
        "distances": lambda: drawn.distances(moved, 2),
        "misfit": lambda: drawn.misfit(width_effects.misfit(archives, [0, 2])),
        "effects": lambda: drawn.effects(effects, names),
        "rulers": lambda: drawn.rulers(effects, names),
        "spectra": lambda: drawn.spectra(spectral.spectra(archives, [0, 2])),
    }


def test_every_figure_of_the_module_is_tested():
    assert set(pictures()) == set(drawn.__all__)


@pytest.mark.parametrize("name", drawn.__all__)
def test_figure_is_described_labelled_and_narrow(name, monkeypatch, tmp_path):
    check_picture(pictures()[name](), name, monkeypatch, tmp_path)
