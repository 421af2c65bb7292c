"""Promised power against ensembles that are really drawn and tested."""

import numpy as np
import pytest

import pigmm
from pigmm import PigmmError, SimpleGaussian, TwoSidedGaussian, gaussianity, noise_floor, power
from pigmm.symmetry import symmetry_from_moments, symmetry_test

DRAWN = 300


def agrees(rejections, promised, slack=0.0):
    """A share of DRAWN rejections within three binomial errors, and what the approximation leaves open."""
    error = np.sqrt(promised * (1 - promised) / len(rejections))
    assert abs(np.mean(rejections) - promised) < 3 * error + slack, (np.mean(rejections), promised)


@pytest.mark.parametrize("effect", [0.0, 0.3, 0.45])
def test_hotelling_on_normal_contrasts(effect):
    from pigmm.symmetry import _hotelling

    rng = np.random.default_rng(0)
    mixing = rng.normal(size=(8, 8))  # any covariance: the Mahalanobis length counts
    direction = mixing @ np.eye(8)[0] * effect
    f = np.array([_hotelling(rng.normal(size=(60, 8)) @ mixing.T + direction)[1] for _ in range(DRAWN)])
    from scipy import stats

    agrees(stats.f.sf(f, 8, 52) < 0.05, power.contrast_power(60, effect))


def test_contrasts_of_matrices_with_a_special_diagonal():
    D, R, shift = 6, 80, 0.165
    W = SimpleGaussian(0.0, 1.0, shape=D).sample(R * DRAWN, seed=1).reshape(DRAWN, R, D, D)
    W[..., range(D), range(D)] += shift
    rejected = [symmetry_test(w, permutations=0).p_f < 0.05 for w in W[:200]]
    many = W.reshape(-1, D, D)
    test = symmetry_test(many, permutations=0)
    effect = np.sqrt(test.statistic / len(many))  # of the population, nearly
    assert 0.3 < effect < 0.6
    agrees(rejected, power.contrast_power(R, effect), slack=0.06)
    assert symmetry_from_moments  # the same statistic from moments


def test_likelihood_gain():
    R, law = 60, TwoSidedGaussian([0.0, 1.0, 1.35, 1.2, 1.0], (6, 6))
    simple = SimpleGaussian.fit(law.sample(40_000, seed=0))
    gain = simple.entropy() - law.entropy()
    found = [law.sample(R, seed=k) for k in range(DRAWN)]
    ratio = [2 * R * (SimpleGaussian.fit(w).entropy() - TwoSidedGaussian.fit(w).entropy()) for w in found]
    promised = power.gain_power(R, gain, 3)
    assert 0.3 < promised < 0.95
    agrees(np.array(ratio) > 7.8147, promised, slack=0.04)


def test_prediction():
    """Independent weights of a skewed law: the sum of cubes is off, by a known effect size and sharpness."""
    rng, R = np.random.default_rng(3), 60
    skewed = (rng.gamma(100.0, size=(DRAWN * R, 5, 5)) - 100) / 10
    row = gaussianity.compare(skewed, ["01.01.01"], model=TwoSidedGaussian).iloc[0]
    sharpness = row["sd"] / (row["se_difference"] * np.sqrt(len(skewed)))
    promised = power.prediction_power(R, row["ratio"], sharpness)
    assert 0.2 < promised < 0.98
    tables = [gaussianity.compare(w, ["01.01.01"], model=TwoSidedGaussian) for w in np.split(skewed, DRAWN)]
    agrees([abs(t["z"].iloc[0]) > 1.96 for t in tables], promised, slack=0.05)


@pytest.mark.parametrize("other", [False, True])
def test_distance_that_moves_in_the_noisiest_direction(other):
    """A shift of the mean: its weight is the largest, so that the promise is met and not only kept."""
    D, R, squared = 6, 50, 0.16 * (2 if other else 1)
    law = SimpleGaussian(0.0, 1.0, shape=D).to_diagonal()
    assert power.floor_weights(law).max() == pytest.approx(1.0)
    assert power.floor_weights(law).sum() / R == pytest.approx(noise_floor(law, R))

    def raw(k, shift):
        a = pigmm.GaussianMatrixModel.fit(law.sample(R, seed=k) + shift)
        b = pigmm.GaussianMatrixModel.fit(law.sample(R, seed=10**6 + k)) if other else law
        return pigmm.w2_squared(a, b)

    null = np.array([raw(k, 0.0) for k in range(250)])
    moved = np.array([raw(10**4 + k, np.sqrt(squared) / D) for k in range(150)])
    promised = power.distance_power(R, squared, law, other=other)
    assert 0.4 < promised < 0.95
    agrees(moved > np.quantile(null, 0.95), promised, slack=0.08)


def test_distance_promises_less_than_a_quiet_direction_gives():
    R, law = 50, SimpleGaussian(0.0, 1.0, shape=6).to_diagonal()
    moved = SimpleGaussian(0.0, 1.06, shape=6).to_diagonal()
    squared = pigmm.w2_squared(moved, law)

    def raw(of, k):
        return pigmm.w2_squared(pigmm.GaussianMatrixModel.fit(of.sample(R, seed=k)), law)

    line = np.quantile([raw(law, k) for k in range(200)], 0.95)
    assert np.mean([raw(moved, 1000 + k) > line for k in range(100)]) > power.distance_power(R, squared, law) - 0.1


def test_level_is_met_without_an_effect():
    law = SimpleGaussian(0.0, 2.0, shape=5).to_diagonal()
    for value in (
        power.contrast_power(40, 0.0), power.gain_power(40, 0.0, 8), power.prediction_power(40, 0.0),
        power.distance_power(40, 0.0, law),
    ):  # fmt: skip
        assert value == pytest.approx(0.05, abs=1e-3)


def test_runs_needed_and_smallest_effect_invert_the_power():
    def at(R, e):
        return power.contrast_power(R, e)

    R = power.runs_needed(lambda R: at(R, 0.3), power=0.9)
    assert at(R, 0.3) >= 0.9 > at(R - 1, 0.3)
    assert power.smallest_effect(lambda e: at(R, e), power=0.9) == pytest.approx(0.3, rel=0.01)
    assert power.runs_needed(lambda R: 1.0) == 12


def test_table_rises_as_effects_fall():
    table = power.runs_table(effects=(0.05, 0.2))
    for _, part in table.groupby("question"):
        assert part["runs"].is_monotonic_decreasing
    assert len(table) == 10


@pytest.mark.parametrize(
    ("call", "said"),
    [
        (lambda: power.contrast_power(11, 0.1), "an integer of at least 12"),
        (lambda: power.contrast_power(50, -0.1), "effect"),
        (lambda: power.contrast_power(50, float("nan")), "effect"),
        (lambda: power.gain_power(50, 0.1, 0), "parameters"),
        (lambda: power.gain_power(50, 0.1, 8, alpha=1.0), "alpha"),
        (lambda: power.prediction_power(50, 0.1, tests=0), "tests"),
        (lambda: power.distance_power(50, 0.1, "law"), "a law of"),
        (lambda: power.distance_power(50, 0.1, SimpleGaussian(0.0, 0.0, (5, 5))), "a law that varies"),
        (lambda: power.runs_needed(lambda R: power.gain_power(R, 0.0, 8)), "not zero"),
        (lambda: power.runs_needed(lambda R: 1.0, power=1.5), "between 0 and 1"),
        (lambda: power.smallest_effect(lambda e: 0.1), "some effect reaches"),
    ],
)
def test_bad_arguments_are_named(call, said):
    with pytest.raises(PigmmError, match=said):
        call()
