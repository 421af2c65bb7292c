"""Bures-Wasserstein distance against dense formulas, closed forms and simulation."""

from itertools import permutations

import numpy as np
import pytest
from scipy import linalg

import pigmm
from pigmm import GaussianMatrixModel, LabelledRowGaussian, PigmmError, SimpleGaussian, TwoSidedGaussian
from pigmm.transport import distance_matrix, w2_by_block
from tests.dense import dense_law, diagonal_basis, random_parameters


def pair(seed, D):
    rng = np.random.default_rng(seed)
    f, g = random_parameters(rng), random_parameters(rng)
    return GaussianMatrixModel(f, D), GaussianMatrixModel(g, D)


def labelled(seed, M=3, N=5, labels="rows"):
    rng = np.random.default_rng(seed)
    A, B = (x @ x.T / M for x in rng.normal(size=(2, M, M)))
    return LabelledRowGaussian(rng.normal(size=M), A / 4, B, N, labels)


def bures(Cp, Cq):
    """tr Cp + tr Cq - 2 tr (Cp^1/2 Cq Cp^1/2)^1/2 with scipy's matrix root."""
    root = linalg.sqrtm(Cp)
    return np.trace(Cp + Cq - 2 * np.real(linalg.sqrtm(root @ Cq @ root)))


def dense(law):
    """Mean and covariance of all entries; for two families written down entry by entry, without irreps."""
    M, N = law.shape
    if isinstance(law, LabelledRowGaussian):
        return np.repeat(law.mu, N), np.kron(law.A, np.ones((N, N))) + np.kron(law.B, np.eye(N))
    if isinstance(law, TwoSidedGaussian):
        m, v00, vr, vc, s = law.parameters
        q, r, p = (vr - s) / N, (vc - s) / M, (v00 - vr - vc + s) / (M * N)
        rows, columns = (np.ones((M, M)), np.eye(M)), (np.ones((N, N)), np.eye(N))
        terms = ((p, 0, 0), (q, 1, 0), (r, 0, 1), (s, 1, 1))
        return np.full(M * N, m), sum(x * np.kron(rows[i], columns[k]) for x, i, k in terms)
    return dense_law(law.parameters, M)


def dense_w2_squared(p, q):
    (mp, Cp), (mq, Cq) = dense(p), dense(q)
    return ((mp - mq) ** 2).sum() + bures(Cp, Cq)


TWO_SIDED = TwoSidedGaussian([0.1, 1.0, 0.5, 0.7, 0.3], (3, 5)), TwoSidedGaussian([-0.3, 0.2, 1.5, 0.4, 0.8], (3, 5))
PAIRS = [pair(0, 4), pair(1, 5), TWO_SIDED, (labelled(0), labelled(1))]


@pytest.mark.parametrize(("p", "q"), PAIRS, ids=["D=4", "D=5", "two-sided", "labelled"])
def test_blocks_give_the_dense_distance(p, q):
    expected = dense_w2_squared(p, q)
    assert pigmm.w2_squared(p, q) == pytest.approx(expected, rel=1e-8)
    assert pigmm.w2(p, q) == pytest.approx(np.sqrt(expected), rel=1e-8)
    assert sum(w2_by_block(p, q).values()) == pigmm.w2_squared(p, q)


@pytest.mark.parametrize("D", [4, 5])
def test_each_block_is_the_dense_distance_within_its_space(D):
    p, q = pair(7, D)
    parts = w2_by_block(p, q)
    (mp, Cp), (mq, Cq) = dense(p), dense(q)
    assert parts.pop("mean") == pytest.approx(((mp - mq) ** 2).sum())
    for (name, value), basis in zip(parts.items(), diagonal_basis(D), strict=True):
        E = basis.reshape(-1, D * D)
        assert value == pytest.approx(bures(E @ Cp @ E.T, E @ Cq @ E.T), rel=1e-7), name


def test_parts_of_a_two_sided_law_are_what_a_reader_expects():
    p, q = TWO_SIDED
    parts, root = w2_by_block(p, q), np.sqrt(p.parameters[1:]) - np.sqrt(q.parameters[1:])
    assert list(parts) == ["mean", "00", "rows", "columns", "bulk"]
    assert list(parts.values()) == pytest.approx([15 * 0.4**2, *(np.array([1, 2, 4, 8]) * root**2)])
    assert list(w2_by_block(SimpleGaussian(0, 1, (3, 5)), p)) == list(parts)
    assert list(w2_by_block(*pair(0, 4))) == ["mean", "V0", "VH", "V2", "V3"]


def test_distance_matrix_holds_all_pairs():
    laws = [*pair(0, 5), *pair(1, 5), SimpleGaussian(0.1, 0.4, 5), TwoSidedGaussian([0.1, 1, 0.5, 0.7, 0.3], (5, 5))]
    d = distance_matrix(laws)
    assert (d == d.T).all()
    assert (np.diag(d) == 0).all()
    for i, p in enumerate(laws):
        for j, q in enumerate(laws[:i]):
            assert d[i, j] == pytest.approx(np.sqrt(dense_w2_squared(p.to_diagonal(), q.to_diagonal())), rel=1e-7)
    assert all(d[i, k] < d[i, j] + d[j, k] for i, j, k in permutations(range(len(laws)), 3))
    assert distance_matrix(laws[:1]).tolist() == [[0]]


def test_distance_matrix_of_a_geodesic_is_that_of_a_line():
    p, q = pair(3, 6)
    t = np.linspace(0, 1, 7)
    d = distance_matrix([pigmm.geodesic(p, q, s) for s in t])
    np.testing.assert_allclose(d, np.abs(t[:, None] - t) * pigmm.w2(p, q), atol=1e-7 * d.max())


@pytest.mark.parametrize("scale", [1e-30, 1e30])
def test_distances_follow_the_unit(scale):
    (p, q), power = pair(2, 5), np.repeat([scale, scale**2], [2, 11])
    a, b = (GaussianMatrixModel(law.parameters * power, 5) for law in (p, q))
    assert distance_matrix([a, b])[0, 1] == pytest.approx(scale * pigmm.w2(p, q), rel=1e-12)
    assert pigmm.noise_floor(a, 100) == pytest.approx(scale**2 * pigmm.noise_floor(p, 100), rel=1e-12)


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


U = np.array([[1, 2, 2], [2, 1, -2], [2, -2, 1]]) / 3  # rotates the one silent direction of VH out of the axes
SINGULAR = [0, 0, 1, 1, 1, *(U @ np.diag([0, 1, 2]) @ U.T)[np.triu_indices(3)], 0, 0.5]
FLOORS = {
    "iid": SimpleGaussian(0.0, 0.1, 10).to_diagonal(), "general": pair(4, 5)[0],
    "simple": SimpleGaussian(0.3, 0.1, (4, 6)), "two-sided": TwoSidedGaussian([0.1, 1.0, 0.5, 0.7, 0.3], (4, 7)),
    "labelled": labelled(2), "labelled columns": labelled(3, labels="columns"),
    "singular": GaussianMatrixModel(SINGULAR, 5),
}  # fmt: skip


@pytest.mark.parametrize("law", FLOORS.values(), ids=FLOORS)
def test_noise_floor_is_the_mean_squared_distance_of_a_fit(law):
    R, repeats = 250, 250
    distances = [pigmm.w2_squared(law, law.refit(law.sample(R, seed=k))) for k in range(repeats)]
    error = np.std(distances) / np.sqrt(repeats)
    assert abs(np.mean(distances) - pigmm.noise_floor(law, R)) < 3.5 * error


def test_noise_floor_between_two_fits():
    law = FLOORS["two-sided"]
    fits = [[law.refit(law.sample(R, seed=s)) for s in range(k, k + 250)] for R, k in ((300, 0), (100, 250))]
    distances = [pigmm.w2_squared(a, b) for a, b in zip(*fits, strict=True)]
    expected = pigmm.noise_floor(law, 300, 100)
    assert abs(np.mean(distances) - expected) < 3.5 * np.std(distances) / np.sqrt(250)


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
        lambda: pigmm.noise_floor(pair(0, 4)[0], 100, 1),
        lambda: pigmm.noise_floor("law", 100),
        lambda: distance_matrix([]),
        lambda: distance_matrix([3]),
        lambda: distance_matrix([pair(0, 4)[0], pair(0, 5)[0]]),
        lambda: pigmm.w2(labelled(0, 4, 4), labelled(1, 4, 4, "columns")),
        lambda: pigmm.geodesic(labelled(0, 4, 4), labelled(1, 4, 4, "columns"), 0.5),
    ],
)
def test_bad_input_is_refused(call):
    with pytest.raises(PigmmError):
        call()
