"""Held-out laws: densities and predictions against sums and samples, tests that hold their level, scores, figures."""

import numpy as np
import pytest

from pigmm import (
    GaussianMatrixModel,
    LabelledRowGaussian,
    PigmmError,
    SimpleGaussian,
    TwoSidedGaussian,
    heldout,
    heldout_figures,
    misfits,
    wick,
)
from pigmm.finite_mixtures import AnyScale, Populations, any_scale, populations
from pigmm.heldout import ALL
from pigmm.joint import joint_test
from pigmm.mixtures import ScaleMixture
from pigmm.response import deviations
from pigmm.shapes import BIPARTITE, fit_norm_and_shape
from pigmm.tables import draw_seeds
from tests.ensembles import synthetic_archive
from tests.pictures import check_picture

BASE = TwoSidedGaussian([0.2, 0.9, 0.7, 0.8, 0.5], (5, 5))
PLAIN = TwoSidedGaussian([0, 1, 1, 1, 1], (5, 5))
LOUD = ScaleMixture(PLAIN, "matrix", 0.3)
SCALES, WEIGHTS = np.array([0.4, 1.0, 2.5]), np.array([0.3, 0.5, 0.2])


def stretched(law, s):
    """The law of mean + sqrt(s) (W - mean)."""
    return law.from_blocks([(mean, s * covariance) for mean, covariance in law.blocks()])


# ---- the laws


@pytest.mark.parametrize("family", [SimpleGaussian, TwoSidedGaussian, GaussianMatrixModel, LabelledRowGaussian])
def test_a_random_scale_is_a_sum_over_gaussian_laws(family):
    base = family.fit(BASE.sample(60, seed=1))
    law, W = AnyScale(base, SCALES, WEIGHTS), BASE.sample(5, seed=2)
    parts = [stretched(base, s) for s in SCALES]
    expected = sum(w * wick.expectation(ALL[::9], one) for w, one in zip(WEIGHTS, parts, strict=True))
    np.testing.assert_allclose(heldout.predict(ALL[::9], law), expected, rtol=1e-9, atol=1e-9)
    density = sum(w * np.exp(one.log_likelihood(W)) for w, one in zip(WEIGHTS, parts, strict=True))
    np.testing.assert_allclose(law.log_likelihood(W), np.log(density), rtol=1e-10)


def test_a_fine_grid_of_scales_is_the_lognormal_law():
    z, weights = np.polynomial.hermite_e.hermegauss(40)
    tau = np.sqrt(np.log1p(LOUD.spread))
    law, W = AnyScale(PLAIN, np.exp(tau * z - tau**2 / 2), weights / weights.sum()), LOUD.sample(20, seed=3)
    np.testing.assert_allclose(law.log_likelihood(W), LOUD.log_likelihood(W), atol=1e-6)
    np.testing.assert_allclose(heldout.predict(BIPARTITE, LOUD), LOUD.expectation(BIPARTITE), rtol=1e-9, atol=1e-9)
    with pytest.raises(PigmmError, match="a scale for each row"):
        heldout.predict(BIPARTITE, ScaleMixture(PLAIN, "row", 0.1))


def test_any_scale_beats_what_it_contains_and_adds_nothing_to_a_gaussian():
    W = LOUD.sample(400, seed=4)
    law = any_scale(W)
    best = max(LOUD.log_likelihood(W).mean(), TwoSidedGaussian.fit(W).log_likelihood(W).mean())
    assert law.log_likelihood(W).mean() > best
    W = BASE.sample(400, seed=5)
    law = any_scale(W)
    assert abs((law.log_likelihood(W) - TwoSidedGaussian.fit(W).log_likelihood(W)).mean()) < 0.01
    mean = law.weights @ law.scales
    np.testing.assert_allclose(mean * law.base.parameters[4], BASE.parameters[4], rtol=0.03)
    np.testing.assert_allclose(law.base.parameters[0], BASE.parameters[0], atol=0.03)


def test_populations_are_mixtures_and_are_found():
    parts = (BASE, TwoSidedGaussian([-0.5, 0.5, 2.0, 0.5, 1.5], (5, 5)))
    law, W = Populations(parts, np.array([0.25, 0.75])), BASE.sample(5, seed=6)
    density = 0.25 * np.exp(parts[0].log_likelihood(W)) + 0.75 * np.exp(parts[1].log_likelihood(W))
    np.testing.assert_allclose(law.log_likelihood(W), np.log(density), rtol=1e-10)
    expected = 0.25 * wick.expectation(ALL[::9], parts[0]) + 0.75 * wick.expectation(ALL[::9], parts[1])
    np.testing.assert_allclose(heldout.predict(ALL[::9], law), expected, rtol=1e-10)
    W = np.concatenate([parts[0].sample(300, seed=7), parts[1].sample(900, seed=8)])
    found = populations(W)
    order = np.argsort(found.weights)
    np.testing.assert_allclose(found.weights[order], [0.25, 0.75], atol=0.02)
    for k, part in zip(order, parts, strict=True):
        error = part.parameter_errors(300)
        assert (np.abs(found.laws[k].parameters - part.parameters) < 5 * error).all()
    one = populations(W, 1)
    np.testing.assert_allclose(one.laws[0].parameters, TwoSidedGaussian.fit(W).parameters, rtol=0.02, atol=0.002)


@pytest.mark.parametrize("count", [0, True, 1.5, 7])
def test_populations_refuse_what_cannot_be(count):
    with pytest.raises(PigmmError, match="populations"):
        populations(BASE.sample(60), count)


def test_norm_and_shape_is_normalised_and_finds_the_shape():
    rng = np.random.default_rng(9)
    W = rng.uniform(-1, 1, size=(400, 5, 5)) * np.exp(0.3 * rng.normal(size=(400, 1, 1)))
    law = fit_norm_and_shape(W, 1)
    assert [graph.name for graph in law.graphs] == ["01.01.01.01"]
    assert (law.log_likelihood(W) - law.norm.log_likelihood(W)).mean() > 0.5
    fresh = AnyScale(law.norm.base, law.norm.scales, law.norm.weights)
    draws = fresh.base.sample(20_000, seed=77)
    ratio = np.exp(law.log_likelihood(draws) - law.norm.log_likelihood(draws))
    off = (ratio.mean() - 1) / np.hypot(ratio.std() / len(draws) ** 0.5, law.log_normaliser_error)
    assert abs(off) < 4, "the density integrates to one"
    quiet = fit_norm_and_shape(LOUD.sample(400, seed=10))
    assert quiet.graphs == ()
    np.testing.assert_array_equal(quiet.log_likelihood(W), quiet.norm.log_likelihood(W))


# ---- where, which, norm or shape


def test_the_squared_distance_is_that_of_the_joint_test():
    W = np.random.default_rng(0).uniform(-1, 1, size=(200, 5, 5))
    distance = misfits._Distance(*deviations(W, BIPARTITE), floor=1e-3)
    test = joint_test(W)
    assert (distance.directions, distance.T2) == pytest.approx((test.directions, test.statistic), rel=1e-6)
    assert distance.pvalue == pytest.approx(test.pvalue, rel=1e-6)


def test_influence_of_the_squared_distance_is_its_derivative():
    x = np.random.default_rng(1).normal(size=(80, 3)) @ np.array([[1, 0.4, 0], [0, 1, 0.3], [0, 0, 1]]) + [0.5, 0, 0.2]

    def square(weights):
        mean = weights @ x
        away = x - mean
        return mean @ np.linalg.solve((away * weights[:, None]).T @ away * 80 / 79, mean)

    mean = x.mean(axis=0)
    distance, even = misfits._Distance(mean, x - mean), np.full(80, 1 / 80)
    assert distance.square == pytest.approx(square(even))
    for r in (0, 17, 55):
        towards = np.eye(80)[r] - even
        slope = (square(even + 1e-5 * towards) - square(even - 1e-5 * towards)) / 2e-5
        assert distance.influence[r] == pytest.approx(slope, rel=0.03, abs=0.02)


def test_shape_test_ignores_loudness_and_holds_its_level():
    pvalues = [misfits.norm_and_shape(LOUD.sample(300, seed=s))["p_shape"] for s in range(12)]
    assert np.min(pvalues) > 1e-3
    assert np.mean(np.array(pvalues) < 0.05) < 0.4
    mean = TwoSidedGaussian([0.5, 0.9, 0.7, 1.8, 0.5], (5, 5))
    assert misfits.norm_and_shape(ScaleMixture(mean, "matrix", 0.5).sample(600, seed=1))["p_shape"] > 1e-3
    found = misfits.norm_and_shape(np.random.default_rng(2).uniform(-1, 1, size=(300, 5, 5)))
    assert found["p_shape"] < 1e-6
    assert found["spread"] < 0.7
    assert found["delta_shape"] > 10 * found["delta_shape_se"]


def test_influence_of_shapes_is_that_of_leaving_a_matrix_out():
    W = ScaleMixture(TwoSidedGaussian([0.5, 0.9, 0.7, 1.8, 0.5], (5, 5)), "matrix", 0.3).sample(400, seed=2)

    def shapes(batch):
        return misfits._shape_deviations(batch, TwoSidedGaussian.fit(batch))

    e, psi = shapes(W)
    for r in (0, 100, 399):
        without = shapes(np.delete(W, r, axis=0))[0]
        np.testing.assert_allclose(399 * (e - without), psi[r], atol=0.05 * psi.std(axis=0).max(), rtol=0.05)


def test_carriers_start_with_the_cause_and_end_with_everything():
    W = np.random.default_rng(3).uniform(-1, 1, size=(300, 5, 5))
    table = misfits.carriers(W, 43)
    assert table["name"][0] == "01.01.01.01"
    assert (table["share"] + 3 * table["share_se"] > 0.9).all()
    assert table["share"].iloc[-1] == pytest.approx(1)
    for terms in (0, 44, True):
        with pytest.raises(PigmmError, match="terms"):
            misfits.carriers(W, terms)


def test_misfit_has_every_epoch_and_layer():
    table = misfits.misfit(synthetic_archive())
    assert len(table) == 4 * 3
    assert table[["effect", "z", "delta", "delta_se"]].notna().all().all()
    test = synthetic_archive().joint(2, 1)
    row = table.query("epoch == 2 and layer == 'L2'").iloc[0]
    assert (row["T2"], row["p"]) == (test.statistic, test.pvalue)
    small = misfits.misfit(synthetic_archive(runs=40, epochs=1))
    assert small["delta"].isna().all()
    assert small["z"].notna().all()


# ---- held out


def test_scores_are_those_of_a_fit_to_the_other_half():
    W = LOUD.sample(120, seed=11)
    found = heldout.held_out(W, couplings=0)
    again = heldout.held_out(W, couplings=0)
    assert found.table.equals(again.table)
    order = np.random.default_rng(draw_seeds(0, 1)[0]).permutation(120)
    for train, test in ((order[:60], order[60:]), (order[60:], order[:60])):
        thirteen, five = (family.fit(W[train]) for family in (GaussianMatrixModel, TwoSidedGaussian))
        gain = thirteen.log_likelihood(W[test]) - five.log_likelihood(W[test])
        np.testing.assert_allclose(found.nats["13"].to_numpy()[test], gain)
    table = found.table.set_index("law")
    assert table.nats["13"] == pytest.approx(found.nats["13"].mean())
    assert table.nats["5"] == table.nats["action"] == 0
    assert table.parameters["populations"] == 11
    without = heldout.held_out(W, couplings=0, split_seed=1, quartic=False).table
    assert set(found.table["law"]) - set(without["law"]) == {"action"}
    assert without.set_index("law").nats["13"] != table.nats["13"]


def test_better_laws_win_and_useless_parameters_lose():
    table = heldout.held_out(LOUD.sample(400, seed=12), couplings=1, splits=2).table.set_index("law")
    assert table.nats["scale"] > 5 * table.nats_se["scale"]
    assert abs(table.nats["any scale"] - table.nats["scale"]) < 4 * table.nats_se["scale"]
    assert table.nats["13"] < 0 < table.inside["13"]
    assert table.z["scale"] < 1.6 < table.z["5"]
    gaussian = heldout.held_out(BASE.sample(400, seed=13), labelled=True).table.set_index("law")
    assert (gaussian["nats"].dropna() < 4 * gaussian["nats_se"].dropna() + 1e-6).all()
    assert gaussian.nats["labelled"] < gaussian.nats["13"] < 0
    assert 0.5 < gaussian.z["5"] < 1.6
    uniform = heldout.held_out(np.random.default_rng(4).uniform(-1, 1, size=(300, 5, 5)), couplings=1)
    scores = uniform.table.set_index("law")
    assert uniform.chosen["action"] == (("01.01.01.01",),) * 2
    assert scores.nats["action"] > 10 * scores.nats_se["action"]
    assert scores.z["action"] < scores.z["5"] / 2
    left = uniform.left.set_index("name")
    assert left["5"].abs().idxmax() == "01.01.01.01"
    assert abs(left["action"]["01.01.01.01"]) < 4


def test_few_networks_leave_laws_out_and_bad_arguments_are_named():
    W = BASE.sample(30)
    assert set(heldout.held_out(W, groups=1).table["law"]) == {
        "independent", "5", "13", "any scale", "populations", "averages",
    }  # fmt: skip
    for bad, word in ({"splits": 0}, "splits"), ({"couplings": -1}, "couplings"), ({"groups": 2}, "populations"):
        with pytest.raises(PigmmError, match=word):
            heldout.held_out(W, **bad)
    with pytest.raises(PigmmError):
        heldout.held_out(BASE.sample(20))


# ---- figures


def pictures():
    archives = {init: synthetic_archive(init) for init in ("gaussian", "uniform")}
    scored = {
        scheme: heldout.held_out(archive.weights(3, 2), labelled=True, couplings=0).table.assign(layer="L3")
        for scheme, archive in archives.items()
    }
    stretched = {
        scheme: [{"layer": "L1", "epoch": 3, "ensemble": "L1, 3"} | misfits.norm_and_shape(archive.weights(3, 0))]
        for scheme, archive in archives.items()
    }
    import pandas as pd

    frames = {scheme: pd.DataFrame(rows) for scheme, rows in stretched.items()}
    carried = {scheme: {"L1": misfits.carriers(archive.weights(3, 0), 3)} for scheme, archive in archives.items()}
    return {
        "misfits": lambda: heldout_figures.misfits({s: misfits.misfit(a) for s, a in archives.items()}, decayed=True),
        "carried": lambda: heldout_figures.carried(carried),
        "norm_or_shape": lambda: heldout_figures.norm_or_shape(frames),
        "gained": lambda: heldout_figures.gained(scored, 3),
        "forecasts": lambda: heldout_figures.forecasts(scored, 3),
    }


PICTURES = ("misfits", "carried", "norm_or_shape", "gained", "forecasts")


@pytest.fixture(scope="module")
def drawn():
    return pictures()


def test_every_figure_is_tested():
    assert set(PICTURES) == set(heldout_figures.__all__)


@pytest.mark.parametrize("name", PICTURES)
def test_figure_is_described_labelled_and_narrow(name, drawn, monkeypatch, tmp_path):
    check_picture(drawn[name](), name, monkeypatch, tmp_path)


def test_no_misfit_is_said_and_not_drawn():
    W = np.random.default_rng(4).normal(size=(200, 5, 5))
    tables = {f"L{k + 1}": misfits.carriers(W if k else np.sign(W), 2) for k in range(2)}
    assert tables["L2"]["share"].isna().all()
    picture = heldout_figures.carried({"gaussian": tables})
    assert "gaussian L2: no misfit beyond noise" in picture.alt
    assert "nan" not in picture.alt


def test_few_networks_are_drawn_without_the_joint_test():
    picture = heldout_figures.misfits({"gaussian": misfits.misfit(synthetic_archive(runs=40, epochs=1))})
    assert "effect size" in picture.alt
    assert "nan" not in picture.alt + picture.see
