"""Bures-Wasserstein distance against dense formulas, closed forms and simulation."""

import numpy as np
import pytest
from scipy import linalg

import pigmm
from pigmm import GaussianMatrixModel, PigmmError, SimpleGaussian, TwoSidedGaussian
from tests.dense import dense_law, random_parameters


def pair(seed, D):
    rng = np.random.default_rng(seed)
    f, g = random_parameters(rng), random_parameters(rng)
    return GaussianMatrixModel(f, D), GaussianMatrixModel(g, D)


def dense_w2_squared(f, g, D):
    (mp, Cp), (mq, Cq) = dense_law(f, D), dense_law(g, D)
    root = linalg.sqrtm(Cp)
    cross = linalg.sqrtm(root @ Cq @ root)
    return ((mp - mq) ** 2).sum() + np.trace(Cp + Cq - 2 * np.real(cross))


@pytest.mark.parametrize(("seed", "D"), [(0, 4), (1, 5), (2, 6)])
def test_blocks_give_the_dense_distance(seed, D):
    p, q = pair(seed, D)
    expected = dense_w2_squared(p.parameters, q.parameters, D)
    assert pigmm.w2_squared(p, q) == pytest.approx(expected, rel=1e-8)
    assert pigmm.w2(p, q) == pytest.approx(np.sqrt(expected), rel=1e-8)


def test_it_is_a_metric():
    (p, q), (r, _) = pair(0, 5), pair(1, 5)
    assert pigmm.w2(p, p) < 1e-12
    assert pigmm.w2(p, q) == pytest.approx(pigmm.w2(q, p), rel=1e-12)
    assert pigmm.w2(p, q) < pigmm.w2(p, r) + pigmm.w2(r, q)


def test_independent_entries_have_the_closed_form():
    p, q = SimpleGaussian(0.2, 0.09, (3, 7)), SimpleGaussian(0.5, 0.16, (3, 7))
    assert pigmm.w2_squared(p, q) == pytest.approx(21 * (0.3**2 + 0.1**2))


def test_laws_of_the_ladder_mix():
    simple = SimpleGaussian(0.2, 0.5, 6)
    assert pigmm.w2(simple, simple.to_diagonal()) < 1e-12
    two_sided = TwoSidedGaussian([0.1, 1.0, 0.5, 0.7, 0.3], (6, 6))
    expected = pigmm.w2(simple.to_diagonal(), two_sided.to_diagonal())
    assert pigmm.w2(simple, two_sided) == pytest.approx(expected, rel=1e-12)


def test_singular_blocks_are_safe():
    zero = GaussianMatrixModel(np.zeros(13), 5)
    p, _ = pair(0, 5)
    mean, covariance = dense_law(p.parameters, 5)
    assert pigmm.w2_squared(p, zero) == pytest.approx(np.trace(covariance) + mean @ mean)
    assert pigmm.w2(zero, zero) == 0


@pytest.mark.parametrize("t", [0.0, 0.25, 0.7, 1.0])
def test_geodesic_divides_the_distance(t):
    p, q = pair(3, 6)
    middle, length = pigmm.geodesic(p, q, t), pigmm.w2(p, q)
    assert pigmm.w2(p, middle) == pytest.approx(t * length, abs=1e-10)
    assert pigmm.w2(middle, q) == pytest.approx((1 - t) * length, abs=1e-10)


FLOORS = [
    SimpleGaussian(0.0, 0.1, 10).to_diagonal(), pair(4, 5)[0], SimpleGaussian(0.3, 0.1, (4, 6)),
    TwoSidedGaussian([0.1, 1.0, 0.5, 0.7, 0.3], (4, 7)),
]  # fmt: skip


@pytest.mark.parametrize("law", FLOORS, ids=["iid", "general", "simple", "two-sided"])
def test_noise_floor_is_the_mean_squared_distance_of_a_fit(law):
    R, repeats = 400, 120 if law.shape[0] * law.shape[1] > 30 else 900
    distances = [pigmm.w2_squared(law, type(law).fit(law.sample(R, seed=k))) for k in range(repeats)]
    error = np.std(distances) / np.sqrt(repeats)
    assert abs(np.mean(distances) - pigmm.noise_floor(law, R)) < 4 * error + 0.01 * pigmm.noise_floor(law, R)


def test_noise_floor_of_independent_entries():
    for D in (4, 10, 640):
        assert pigmm.noise_floor(SimpleGaussian(0.0, 0.3, D).to_diagonal(), 200) == pytest.approx(7.5 * 0.3 / 200)
        assert pigmm.noise_floor(SimpleGaussian(0.0, 0.3, D), 200) == pytest.approx(1.5 * 0.3 / 200)


@pytest.mark.parametrize(
    "call",
    [
        lambda: pigmm.w2(pair(0, 4)[0], pair(0, 5)[0]),
        lambda: pigmm.w2(pair(0, 4)[0], 3),
        lambda: pigmm.geodesic(*pair(0, 4), 1.5),
        lambda: pigmm.geodesic(*pair(0, 4), "half"),
        lambda: pigmm.noise_floor(pair(0, 4)[0], 1),
        lambda: pigmm.noise_floor(pair(0, 4)[0], "many"),
    ],
)
def test_bad_input_is_refused(call):
    with pytest.raises(PigmmError):
        call()
