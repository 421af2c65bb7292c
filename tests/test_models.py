"""The four laws against dense normal distributions, closed forms and their own samples."""

import numpy as np
import pytest
from scipy import linalg, stats

import pigmm
from pigmm import GaussianMatrixModel, LabelledRowGaussian, PigmmError, SimpleGaussian, TwoSidedGaussian
from tests.dense import dense_law, random_parameters


def dense_two_sided(law):
    (M, N), (m, v00, vr, vc, vrc) = law.shape, law.parameters
    s, q, r = vrc, (vr - vrc) / N, (vc - vrc) / M
    p = (v00 - vr - vc + vrc) / (M * N)
    same_row, same_column = np.kron(np.eye(M), np.ones((N, N))), np.kron(np.ones((M, M)), np.eye(N))
    return np.full(M * N, m), p + q * same_row + r * same_column + s * same_row * same_column


def dense_labelled(law):
    M, N = law.shape
    return np.repeat(law.mu, N), np.kron(law.A, np.ones((N, N))) + np.kron(law.B, np.eye(N))


def examples(seed=0):
    rng = np.random.default_rng(seed)
    root = rng.normal(size=(3, 5))
    B = root @ root.T / 5 + 0.3 * np.eye(3)
    A = 0.2 * np.outer(*[rng.normal(size=3)] * 2) - 0.02 * np.eye(3)
    f, h = random_parameters(rng), random_parameters(rng)
    simple = SimpleGaussian(0.3, 0.7, (3, 5))
    two_sided = TwoSidedGaussian([0.2, 1.3, 0.5, 0.9, 0.4], (4, 6))
    return [
        (GaussianMatrixModel(f, 5), dense_law(f, 5)),
        (GaussianMatrixModel(h, 4), dense_law(h, 4)),
        (two_sided, dense_two_sided(two_sided)),
        (simple, (np.full(15, 0.3), 0.7 * np.eye(15))),
        (LabelledRowGaussian(rng.normal(size=3), A, B, 6), None),
    ]


EXAMPLES = examples()
EXAMPLES[-1] = (EXAMPLES[-1][0], dense_labelled(EXAMPLES[-1][0]))
IDS = [type(law).__name__ + str(law.shape) for law, _ in EXAMPLES]
LAWS = pytest.mark.parametrize(("law", "dense"), EXAMPLES, ids=IDS)


@LAWS
def test_density_and_entropy_are_those_of_the_dense_normal_law(law, dense):
    mean, covariance = dense
    W = law.sample(20, seed=1)
    expected = stats.multivariate_normal(mean, covariance).logpdf(W.reshape(20, -1))
    np.testing.assert_allclose(law.log_likelihood(W), expected, rtol=1e-10)
    assert law.entropy() == pytest.approx(stats.multivariate_normal(mean, covariance).entropy(), rel=1e-12)


@LAWS
def test_samples_have_the_dense_mean_and_covariance(law, dense):
    mean, covariance = dense
    R = 40_000
    X = law.sample(R, seed=5).reshape(R, -1)
    spread = np.sqrt(np.diag(covariance))
    assert (abs(X.mean(axis=0) - mean) < 5 * spread / np.sqrt(R)).all()
    error = np.sqrt((np.outer(spread, spread) ** 2 + covariance**2) / R)
    assert (abs(np.cov(X.T) - covariance) < 5.5 * error).all()
    assert (law.sample(3, seed=5) == law.sample(3, seed=5)).all()
    assert (law.sample(3, seed=5) != law.sample(3, seed=6)).all()


@LAWS
def test_fit_recovers_parameters_within_their_stated_errors(law, dense):
    R, repeats = 200, 150
    fits = np.array([type(law).fit(law.sample(R, seed=k)).parameters for k in range(repeats)])
    error = law.parameter_errors(R)
    bias = fits.mean(axis=0) - law.parameters
    allowed_bias = 4.5 * error / np.sqrt(repeats) + 1.5 * abs(law.parameters) / R + 1.5 * error**2
    assert (abs(bias) < allowed_bias).all()
    ratio = fits.std(axis=0, ddof=1) / error
    assert (abs(ratio - 1) < 4.5 / np.sqrt(2 * repeats)).all(), ratio


@LAWS
def test_fit_is_a_maximum_of_the_likelihood(law, dense):
    W = law.sample(60, seed=2)
    fitted = type(law).fit(W)
    best = fitted.log_likelihood(W).sum()
    assert best > law.log_likelihood(W).sum()
    blocks = fitted.blocks()
    for number in range(len(blocks)):
        for factor in (0.95, 1.05):
            changed = [(m, C * factor if k == number else C) for k, (m, C) in enumerate(blocks)]
            if isinstance(law, SimpleGaussian):  # one variance fills both blocks
                changed = [(m, C * factor) for m, C in blocks]
            assert fitted.from_blocks(changed).log_likelihood(W).sum() < best


@LAWS
def test_kl_is_the_dense_one(law, dense):
    other = law.from_blocks([(m + 0.1 * (len(m) > 0), 1.5 * C) for m, C in law.blocks()])
    shift = np.asarray(other.sample(1, seed=0)).size
    m, C = dense
    if isinstance(law, GaussianMatrixModel):
        mq, Cq = dense_law(other.parameters, law.dim)
    elif isinstance(law, TwoSidedGaussian):
        mq, Cq = dense_two_sided(other)
    elif isinstance(law, LabelledRowGaussian):
        mq, Cq = dense_labelled(other)
    else:
        mq, Cq = np.full(shift, other.mean), other.variance * np.eye(shift)
    expected = 0.5 * (
        np.trace(linalg.solve(Cq, C)) - shift + np.linalg.slogdet(Cq)[1] - np.linalg.slogdet(C)[1]
        + (mq - m) @ linalg.solve(Cq, mq - m)
    )  # fmt: skip
    assert law.kl(other) == pytest.approx(expected, rel=1e-9)
    assert law.kl(law) == pytest.approx(0, abs=1e-12)


def test_the_ladder_is_nested():
    simple = SimpleGaussian(0.1, 0.4, (6, 6))
    W = simple.sample(30, seed=0)
    lifted = [simple, simple.to_two_sided(), simple.to_diagonal()]
    for law in lifted[1:]:
        np.testing.assert_allclose(law.log_likelihood(W), simple.log_likelihood(W), rtol=1e-12)
    fits = [cls.fit(W).log_likelihood(W).sum() for cls in (SimpleGaussian, TwoSidedGaussian, GaussianMatrixModel)]
    assert fits == sorted(fits)
    two_sided = TwoSidedGaussian([0.2, 1.3, 0.5, 0.9, 0.4], (6, 6))
    np.testing.assert_allclose(two_sided.to_diagonal().log_likelihood(W), two_sided.log_likelihood(W), rtol=1e-12)


def test_simple_gaussian_has_the_closed_form_parameters():
    f = SimpleGaussian(0.3, 0.5, 7).to_diagonal().parameters
    np.testing.assert_allclose(f, [2.1, 0, 0.5, 0, 0.5, 0.5, 0, 0, 0.5, 0, 0.5, 0.5, 0.5], atol=1e-15)


def test_fit_from_statistics_equals_fit_from_matrices():
    from pigmm.irreps import sufficient_statistics

    W = 1e5 + np.random.default_rng(0).normal(size=(40, 5, 5))
    t = sufficient_statistics(W)
    deviation = t[:, :2] - t[:, :2].mean(axis=0)
    from_t = GaussianMatrixModel.from_statistics(t.mean(axis=0), deviation.T @ (t - t.mean(axis=0)) / 40, 5)
    np.testing.assert_allclose(from_t.parameters, GaussianMatrixModel.fit(W).parameters, rtol=1e-7, atol=1e-9)


def test_law_is_symmetric_under_joint_but_not_one_sided_relabelling():
    law, p = EXAMPLES[0][0], np.array([3, 0, 4, 2, 1])
    W = law.sample(10, seed=0)
    np.testing.assert_allclose(law.log_likelihood(W[:, p][:, :, p]), law.log_likelihood(W), rtol=1e-12)
    assert (abs(law.log_likelihood(W[:, p]) - law.log_likelihood(W)) > 1e-6).all()


@pytest.mark.parametrize("scale", [1e-30, 1e30])
def test_extreme_scales_are_handled(scale):
    W = np.random.default_rng(0).normal(size=(30, 5, 5))
    fitted, plain = GaussianMatrixModel.fit(scale * W), GaussianMatrixModel.fit(W)
    expected = plain.log_likelihood(W) - 25 * np.log(scale)
    np.testing.assert_allclose(fitted.log_likelihood(scale * W), expected, rtol=1e-9)


def test_constant_ensembles_fit_but_have_no_density():
    fitted = GaussianMatrixModel.fit(np.ones((5, 4, 4)))
    assert fitted.parameters[0] == 4
    np.testing.assert_allclose(fitted.parameters[1:], 0, atol=1e-15)
    with pytest.raises(PigmmError, match="positive definite"):
        fitted.log_likelihood(np.ones((1, 4, 4)))
    assert (fitted.sample(2, seed=0) == 1).all()


@pytest.mark.parametrize(
    ("call", "word"),
    [
        (lambda: GaussianMatrixModel(np.ones(12), 5), "shape"),
        (lambda: GaussianMatrixModel(np.full(13, np.nan), 5), "finite"),
        (lambda: GaussianMatrixModel(np.ones(13), 3), "at least 4"),
        (lambda: GaussianMatrixModel([0, 0, 1, 2, 1] + [1, 0, 0, 1, 0, 1, 1, 1], 5), "indefinite"),
        (lambda: GaussianMatrixModel([0, 0, 1, 0, 1] + [1, 0, 0, 1, 0, 1, -1, 1], 5), "f12"),
        (lambda: GaussianMatrixModel("abc", 5), "13 real numbers"),
        (lambda: GaussianMatrixModel(np.ones(13) * 1j, 5), "13 real numbers"),
        (lambda: GaussianMatrixModel(1e200 * SimpleGaussian(0, 1, 5).to_diagonal().parameters, 5), "1e150"),
        (lambda: LabelledRowGaussian(None, np.eye(3), np.eye(3), 4), "mu"),
        (lambda: LabelledRowGaussian(np.zeros(3), np.triu(np.ones((3, 3))) * 1e-12, np.eye(3), 4), "symmetric"),
        (lambda: GaussianMatrixModel.fit(np.ma.masked_equal(np.eye(5)[None].repeat(9, 0), 0)), "masked"),
        (lambda: GaussianMatrixModel.fit(np.ones((2, 5, 5))), "too few runs"),
        (lambda: GaussianMatrixModel.fit(np.ones((9, 5, 4))), "square"),
        (lambda: TwoSidedGaussian([1, 2, 3], (3, 3)), "shape"),
        (lambda: TwoSidedGaussian([0, 1, 1, -1, 1], (3, 3)), "vc"),
        (lambda: TwoSidedGaussian([0, 1, 1, 1, 1], (3, 4)).to_diagonal(), "square"),
        (lambda: SimpleGaussian(0, -1, 5), "variance"),
        (lambda: SimpleGaussian(0, 1, "x"), "shape"),
        (lambda: LabelledRowGaussian.fit(np.ones((3, 3, 4))), "too few runs"),
        (lambda: EXAMPLES[0][0].sample(0, seed=1), "at least 1"),
        (lambda: EXAMPLES[0][0].sample(2, seed=-1), "seed"),
        (lambda: EXAMPLES[0][0].sample(2, seed="a"), "seed"),
        (lambda: GaussianMatrixModel.fit(np.full((9, 5, 5), 1e200)), "1e150"),
        (lambda: EXAMPLES[0][0].log_likelihood(np.ones((1, 4, 4))), "shape"),
        (lambda: EXAMPLES[0][0].parameter_errors(1), "at least 2"),
        (lambda: EXAMPLES[0][0].kl(EXAMPLES[1][0]), "one shape"),
        (lambda: EXAMPLES[0][0].kl("law"), "law"),
        (lambda: pigmm.w2(SimpleGaussian(0, 1, (3, 6)), EXAMPLES[4][0]), "nested"),
    ],
)
def test_bad_laws_are_refused_in_words(call, word):
    with pytest.raises(PigmmError, match=word):
        call()


def test_parameters_cannot_be_changed_in_place():
    with pytest.raises(ValueError, match="read-only"):
        EXAMPLES[0][0].parameters[0] = 3
    with pytest.raises(ValueError, match="read-only"):
        EXAMPLES[-1][0].A[0, 0] = 3


def test_labels_on_different_sides_are_different_families():
    W = np.random.default_rng(0).normal(size=(50, 4, 4))
    rows, columns = LabelledRowGaussian.fit(W), LabelledRowGaussian.fit(W, labels="columns")
    with pytest.raises(PigmmError, match="labels='columns'"):
        rows.kl(columns)
    turned = LabelledRowGaussian.fit(W.swapaxes(1, 2))
    assert rows.kl(turned) > 0.01
    assert columns.refit(W).labels == "columns"
