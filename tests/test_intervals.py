"""Measured distances: resampling against refits run by run, and bias, error and coverage by simulation."""

import numpy as np
import pytest

import pigmm
from pigmm import GaussianMatrixModel, LabelledRowGaussian, PigmmError, SimpleGaussian, TwoSidedGaussian
from pigmm.intervals import squared_distance
from pigmm.irreps import sufficient_statistics
from pigmm.moments import Moments
from tests.dense import random_parameters

LAW = GaussianMatrixModel(random_parameters(np.random.default_rng(1)), 5)
OTHER = GaussianMatrixModel(random_parameters(np.random.default_rng(2)), 5)
START = SimpleGaussian(0.0, 1.0, (3, 4))


def heavy(R, shape, seed):
    """Student t with 5 degrees of freedom, each matrix with a random scale; every entry has variance 1."""
    rng = np.random.default_rng(seed)
    scale = np.exp(0.3 * rng.normal(size=R) - 0.09)
    return rng.standard_t(5, size=(R, *shape)) * np.sqrt(0.6) * scale[:, None, None]


FAMILIES = [GaussianMatrixModel, TwoSidedGaussian, SimpleGaussian, LabelledRowGaussian]


@pytest.mark.parametrize("family", FAMILIES)
@pytest.mark.parametrize("paired", [False, True])
def test_resampling_is_refitting_resampled_matrices(family, paired):
    """The slow twin: fit the law to each resampled batch and measure the distance."""
    a, b = LAW.sample(40, seed=0) + 0.5, OTHER.sample(40, seed=1)
    measured = squared_distance(a, b, family, paired=paired, B=100, seed=3)
    again = []
    streams = [np.random.default_rng([3, 0 if paired else k]) for k in range(2)]
    for counts in zip(*(rng.multinomial(40, np.full(40, 1 / 40), size=100) for rng in streams), strict=True):
        fits = (family.fit(np.repeat(W, n, axis=0)) for W, n in zip((a, b), counts, strict=True))
        again.append(pigmm.w2_squared(*fits))
    raw = pigmm.w2_squared(family.fit(a), family.fit(b))
    assert measured.raw == pytest.approx(raw, rel=1e-9)
    assert measured.corrected == pytest.approx(2 * raw - np.mean(again), rel=1e-9)


@pytest.mark.parametrize("family", [TwoSidedGaussian, SimpleGaussian, LabelledRowGaussian])
def test_known_laws_are_lifted_and_floors_are_those_of_theory(family):
    W = START.sample(1000, seed=0)
    known = LabelledRowGaussian(np.zeros(3), np.zeros((3, 3)), np.eye(3), 4) if family is LabelledRowGaussian else START
    measured = squared_distance(W, known, family)
    fitted = family.fit(W)
    assert measured.raw == pytest.approx(pigmm.w2_squared(fitted, known), rel=1e-9)
    assert measured.floor == pytest.approx(pigmm.noise_floor(fitted, 1000), rel=0.15)
    assert measured == squared_distance(W, known, family, seed=0)
    assert measured.corrected != squared_distance(W, known, family, seed=1).corrected
    other = squared_distance(W, START.sample(500, seed=1), family)
    assert other.floor == pytest.approx(pigmm.noise_floor(fitted, 1000, 500), rel=0.15)


@pytest.mark.parametrize("side", [0, 1])
def test_floor_is_the_distance_between_refits_and_the_fit(side):
    W = LAW.sample(30, seed=0)
    measured = squared_distance(*((W, OTHER), (OTHER, W))[side], B=100, seed=4)
    counts = np.random.default_rng([4, side]).multinomial(30, np.full(30, 1 / 30), size=100)
    fitted = LAW.fit(W)
    again = [pigmm.w2_squared(fitted, LAW.fit(np.repeat(W, n, axis=0))) for n in counts]
    assert measured.floor == pytest.approx(np.mean(again), rel=1e-9)


def ensembles(case, k, R=60):
    """a, b and the true squared distance; entries of b have variance 1, those of a may be moved."""
    shape = (3, 4)
    Z = START.sample(R, seed=k) if case.startswith("gaussian") else heavy(R, shape, k)
    step = 0.0 if case.endswith("zero") else 0.15 if case.endswith("near") else 1.0
    a, true = (1 + step) * Z + 0.5 * step, 12 * step**2 * 1.25
    if "two" in case:
        return a, START.sample(2 * R, seed=k + 5000), true
    return a, START, true


CASES = ["gaussian zero", "gaussian near", "gaussian far", "gaussian two near", "heavy zero", "heavy near"]


@pytest.mark.parametrize("case", CASES)
def test_bias_error_and_coverage(case):
    """The percentile interval would cover 0 to 50 % near zero, and the plain bootstrap error be 1.7 times too large."""
    results, repeats = [], 120
    for k in range(repeats):
        a, b, true = ensembles(case, k)
        d = squared_distance(a, b, TwoSidedGaussian, B=199, seed=k)
        results.append([d.raw, d.corrected, d.se, d.low <= true <= d.high, d.low > 0, d.floor, d.high])
    raw, corrected, se, covered, moved, floor, high = np.array(results).T
    assert abs(corrected.mean() - true) < 3.5 * corrected.std() / np.sqrt(repeats) + 0.1 * floor.mean()
    if not case.endswith("far"):
        assert raw.mean() - true > 0.6 * floor.mean()
    if "gaussian" in case:
        assert 0.8 * corrected.std() < np.sqrt((se**2).mean()) < 1.4 * corrected.std()
    assert covered.mean() > (0.86 if "gaussian" in case else 0.8)
    assert (high > 0.4 * floor).all(), "less than the noise is not resolved"
    assert moved.mean() < 0.12 if case.endswith("zero") else moved.mean() > 0.3


def test_pairs_cancel_what_they_share():
    W = START.sample(100, seed=0)
    same = squared_distance(W, W, TwoSidedGaussian, paired=True)
    assert (same.raw, same.corrected, same.se, same.low, same.high, same.floor) == (0, 0, 0, 0, 0, 0)
    grown = 1.1 * W + 0.02 * START.sample(100, seed=1)
    paired, apart = (squared_distance(grown, W, TwoSidedGaussian, paired=p) for p in (True, False))
    assert paired.raw == apart.raw
    assert paired.se < apart.se / 3
    assert paired.floor < apart.floor / 20


def test_heavy_tails_raise_the_floor():
    W = heavy(1000, (5, 5), 0)
    measured, gaussian = squared_distance(W, SimpleGaussian(0, 1, 5)).floor, pigmm.noise_floor(LAW.fit(W), 1000)
    assert measured > 1.5 * gaussian


@pytest.mark.parametrize("other", ["law", "ensemble", "moments"])
def test_moments_say_the_same_as_matrices(other):
    a, b = LAW.sample(2000, seed=0), OTHER.sample(3000, seed=1)
    moments = Moments.of(sufficient_statistics(a), 13)
    second = {"law": OTHER, "ensemble": b, "moments": Moments.of(sufficient_statistics(b), 13)}[other]
    from_runs = squared_distance(a, OTHER if other == "law" else b, B=1999)
    from_moments = squared_distance(moments, second, B=1999, dim=5)
    assert from_moments.raw == pytest.approx(from_runs.raw, rel=1e-9)
    assert from_moments.corrected == pytest.approx(from_runs.corrected, abs=0.1 * from_runs.se)
    for name in ("se", "floor"):
        assert getattr(from_moments, name) == pytest.approx(getattr(from_runs, name), rel=0.1), name
    assert from_moments.low == pytest.approx(from_runs.low, abs=0.3 * from_runs.se)
    assert from_moments.high == pytest.approx(from_runs.high, abs=0.3 * from_runs.se)


def test_moments_far_from_zero_mean_lose_nothing():
    a = LAW.sample(500, seed=0)
    shifted = GaussianMatrixModel(OTHER.parameters + 500 * (np.arange(13) == 0), 5)
    near = squared_distance(Moments.of(sufficient_statistics(a), 13), OTHER)
    far = squared_distance(Moments.of(sufficient_statistics(a + 100), 13), shifted)
    assert [far.raw, far.se, far.floor] == pytest.approx([near.raw, near.se, near.floor], rel=1e-4)


@pytest.mark.parametrize("scale", [1e-30, 1e30, 1e140])
def test_distances_follow_the_unit(scale):
    a, b = LAW.sample(50, seed=0), OTHER.sample(50, seed=1)
    plain, scaled = squared_distance(a, b), squared_distance(scale * a, scale * b)
    for name in ("raw", "corrected", "se", "low", "high", "floor"):
        assert getattr(scaled, name) / scale / scale == pytest.approx(getattr(plain, name), rel=1e-6, abs=1e-12), name


def test_ensembles_without_spread_have_no_error():
    constant = np.repeat(LAW.sample(1, seed=0), 20, axis=0)
    d = squared_distance(constant, SimpleGaussian(0, 1, 5))
    assert d.raw > 1
    assert [d.corrected, d.low, d.high] == pytest.approx([d.raw] * 3)
    assert d.se < 1e-6
    zero = squared_distance(np.zeros((20, 5, 5)), np.zeros((20, 5, 5)))
    assert (zero.raw, zero.high) == (0, 0)


def test_labels_of_a_known_law_choose_the_side():
    W = np.random.default_rng(0).normal(size=(60, 4, 5)) + np.arange(5)
    known = LabelledRowGaussian.fit(W, labels="columns")
    assert squared_distance(W, known).raw < 1e-12
    turned = LabelledRowGaussian.fit(W.swapaxes(1, 2))
    assert squared_distance(W, known).floor == pytest.approx(squared_distance(W.swapaxes(1, 2), turned).floor)


W5, W6 = LAW.sample(20, seed=0), np.random.default_rng(0).normal(size=(20, 6, 6))
M5 = Moments.of(sufficient_statistics(W5), 13)
BAD = {
    "two laws": lambda: squared_distance(LAW, OTHER),
    "shapes": lambda: squared_distance(W5, W6),
    "shape of law": lambda: squared_distance(W6, LAW),
    "few runs": lambda: squared_distance(W5[:9], LAW),
    "few runs for labels": lambda: squared_distance(np.ones((12, 12, 3)), np.ones((20, 12, 3)), LabelledRowGaussian),
    "few moments": lambda: squared_distance(Moments.of(sufficient_statistics(W5[:9]), 13), LAW),
    "pairs of different length": lambda: squared_distance(W5, W5[:15], paired=True),
    "pair with a law": lambda: squared_distance(W5, LAW, paired=True),
    "pair of moments": lambda: squared_distance(M5, M5, paired=True, dim=5),
    "no dim": lambda: squared_distance(M5, M5),
    "bad dim": lambda: squared_distance(M5, M5, dim=3),
    "other dim": lambda: squared_distance(M5, LAW, dim=6),
    "moments of other features": lambda: squared_distance(Moments.of(W5[:, 0], 5), LAW),
    "moments of many places": lambda: squared_distance(Moments.of(np.ones((3, 20, 13)), 13), LAW),
    "moments with a small family": lambda: squared_distance(M5, LAW, TwoSidedGaussian),
    "law is a string": lambda: squared_distance(W5, W5, "gaussian"),
    "13 parameters of a rectangle": lambda: squared_distance(W5[:, :4], W5[:, :4], GaussianMatrixModel),
    "known law too large": lambda: squared_distance(W5, LAW, TwoSidedGaussian),
    "single row": lambda: squared_distance(np.ones((20, 1, 5)), np.ones((20, 1, 5))),
    "nan": lambda: squared_distance(np.full((20, 5, 5), np.nan), LAW),
    "level": lambda: squared_distance(W5, LAW, level=95),
    "B": lambda: squared_distance(W5, LAW, B=50),
    "seed": lambda: squared_distance(W5, LAW, seed=-1),
}


@pytest.mark.parametrize("name", BAD)
def test_bad_input_is_refused(name):
    with pytest.raises(PigmmError):
        BAD[name]()
