"""The exact null of separate relabelling: size, power, invariance, and the fast randomisation against the plain one."""

import numpy as np
import pytest

from pigmm import GaussianMatrixModel, PigmmError, symmetry, symmetry_test
from pigmm.irreps import sufficient_statistics
from tests.dense import random_parameters


def test_symmetry_test_has_its_size_for_heavy_tails_and_one_labelled_side():
    rng, pvalues = np.random.default_rng(0), []
    rows = rng.normal(size=(6, 1)) * np.linspace(0.5, 2, 6)[:, None]  # rows labelled, columns exchangeable
    for k in range(200):
        W = rows + rng.standard_t(4, size=(60, 6, 6))
        pvalues.append(symmetry_test(W, permutations=99, seed=k).pvalue)
    rate = np.mean(np.array(pvalues) <= 0.05)
    assert abs(rate - 0.05) < 3 * np.sqrt(0.05 * 0.95 / 200), rate


def test_symmetry_test_finds_each_broken_contrast():
    base = np.random.default_rng(1).normal(size=(500, 6, 6))
    eye = np.eye(6, dtype=bool)
    planted = {
        "x2": base + 0.15 * eye,
        "u1.u2": base + 0.3 * (base.sum(axis=1)[:, :, None] / np.sqrt(6)),
        "S.S - A": base + 0.2 * base.swapaxes(1, 2),
    }
    for name, W in planted.items():
        result = symmetry_test(W)
        assert result.pvalue < 1e-4, name
        assert abs(result.contrasts.set_index("name")["z"][name]) > 5
    assert symmetry_test(base).pvalue > 1e-3


def test_symmetry_test_does_not_depend_on_units():
    W = np.random.default_rng(2).normal(size=(60, 5, 5))
    assert symmetry_test(1e-30 * W).statistic == pytest.approx(symmetry_test(W).statistic, rel=1e-9)


def test_randomised_contrasts_are_those_of_the_permuted_matrices():
    W = np.random.default_rng(3).normal(0.4, 1, size=(7, 6, 6))
    rng, order = np.random.default_rng(11), np.tile(np.arange(6), (7, 1))
    for fast in symmetry.randomised_contrasts(W, 3, seed=11):
        permuted = np.take_along_axis(W, rng.permuted(order, axis=1)[:, None, :], axis=2)
        t = sufficient_statistics(permuted)
        slow = np.column_stack([t[:, [1, 3, 6, 7, 9]], t[:, [4, 10, 11]] - t[:, [12]]])
        np.testing.assert_allclose(fast, slow, atol=1e-12)


def test_hotelling_is_the_textbook_one():
    W = np.random.default_rng(4).normal(size=(50, 5, 5))
    t = sufficient_statistics(W)
    y = np.column_stack([t[:, [1, 3, 6, 7, 9]], t[:, [4, 10, 11]] - t[:, [12]]])
    expected = 50 * y.mean(axis=0) @ np.linalg.solve(np.cov(y.T), y.mean(axis=0))
    test = symmetry_test(W, permutations=0)
    assert test.statistic == pytest.approx(expected, rel=1e-9)
    assert test.f == pytest.approx(expected * 42 / (8 * 49), rel=1e-9)
    assert test.pvalue == test.p_f == symmetry_test(W).p_f


def test_randomised_p_value_has_its_size_where_the_f_law_has_not():
    exact, approximate = [], []
    for k in range(300):
        test = symmetry_test(np.random.default_rng([5, k]).normal(size=(40, 6, 6)), permutations=99)
        exact.append(test.pvalue)
        approximate.append(test.p_f)
    assert abs(np.mean(np.array(exact) <= 0.05) - 0.05) < 3 * np.sqrt(0.05 * 0.95 / 300)
    assert np.mean(np.array(approximate) <= 0.05) > 0.075  # the F law alone would reject too often


def test_all_thirteen_alive_is_found_and_a_random_relabelling_of_columns_hides_it():
    W = GaussianMatrixModel(random_parameters(np.random.default_rng(6)), 6).sample(300, seed=0)
    assert symmetry_test(W).pvalue < 1e-10
    shuffled = np.random.default_rng(7).permuted(W, axis=2)  # entries of each row on their own: rows exchangeable too
    assert symmetry_test(shuffled).pvalue > 1e-3


def test_relabelling_both_sides_together_changes_nothing_and_one_side_does():
    rng = np.random.default_rng(8)
    W = GaussianMatrixModel(random_parameters(rng), 5).sample(100, seed=1)
    p = rng.permutation(5)
    plain = symmetry_test(W, permutations=0).statistic
    assert symmetry_test(W[:, p][:, :, p], permutations=0).statistic == pytest.approx(plain, rel=1e-9)
    assert symmetry_test(W[:, p], permutations=0).statistic != pytest.approx(plain, rel=1e-3)


@pytest.mark.parametrize(
    ("call", "word"),
    [
        (lambda: symmetry_test(np.random.default_rng(0).normal(size=(11, 5, 5))), "too few"),
        (lambda: symmetry_test(np.ones((30, 5, 5))), "all equal"),
        (lambda: symmetry_test(np.zeros((30, 5, 5))), "all equal"),
        (lambda: symmetry_test(np.repeat(np.random.default_rng(0).normal(size=(4, 5, 5)), 10, 0)), "depend"),
        (lambda: symmetry_test(np.arange(30.0)[:, None, None] * np.ones((5, 5))), "vary|depend"),
        (lambda: symmetry_test(np.random.default_rng(0).normal(size=(30, 5, 5)), permutations=7), "at least 99"),
        (lambda: symmetry_test(np.random.default_rng(0).normal(size=(30, 5, 5)), permutations=True), "permutations"),
        (lambda: symmetry_test(np.random.default_rng(0).normal(size=(30, 5, 5)), seed=-1), "seed"),
        (lambda: symmetry_test(np.random.default_rng(0).normal(size=(30, 3, 3))), "4x4"),
    ],
)
def test_bad_input_is_named(call, word):
    with pytest.raises(PigmmError, match=word):
        call()


@pytest.mark.parametrize("scale", [1.0, 0.3, 1e-8, 700.0])
def test_contrasts_are_in_the_units_of_the_weights(scale):
    W = scale * np.random.default_rng(0).normal(size=(200, 5, 5))
    W[:, range(5), range(5)] += scale
    test = symmetry_test(W, permutations=0)
    statistics = sufficient_statistics(W)
    expected = statistics[:, 1].mean(), (statistics[:, 11] - statistics[:, 12]).mean()
    np.testing.assert_allclose(test.values[[0, 7]], expected, rtol=1e-9)
    errors = statistics[:, 1].std(ddof=1), (statistics[:, 11] - statistics[:, 12]).std(ddof=1)
    np.testing.assert_allclose(test.errors[[0, 7]], np.array(errors) / 200**0.5, rtol=1e-9)
