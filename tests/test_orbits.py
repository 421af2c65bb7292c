"""Averages over relabellings: all of them at small D, drawn ones at larger D; what changes, and what does not."""

import itertools

import numpy as np
import pytest

import pigmm
from pigmm import PigmmError, evaluate, invariant_graphs, orbit_test, symmetry_test
from pigmm.irreps import sufficient_statistics
from pigmm.layout import archived_bipartite
from pigmm.orbits import _GRAPHS, _contrasts, contrast_covariance, orbit_averages
from pigmm.symmetry import CONTRAST_MATRIX, randomised_contrasts

NAMES = [graph.name for graph in archived_bipartite()]


def covariance_of(W):
    return contrast_covariance(dict(zip(NAMES, evaluate(NAMES, W).mean(axis=0), strict=True)), W.shape[1])


def every_relabelling(matrix):
    orders = list(itertools.permutations(range(len(matrix))))
    return np.stack([matrix[:, list(order)] for order in orders])


@pytest.mark.parametrize("dim", [2, 3, 4, 5])
def test_averages_are_those_over_all_relabellings(dim):
    graphs = sum((invariant_graphs(degree) for degree in (1, 2, 3, 4)), ())
    W = np.random.default_rng(dim).normal(0.3, 1.0, size=(2, dim, dim))
    expected = np.stack([evaluate(graphs, every_relabelling(matrix)).mean(axis=0) for matrix in W])
    found = orbit_averages(graphs, W)
    sizes = np.abs(evaluate(graphs, np.abs(W))).max(axis=0)  # what cancels
    assert (np.abs(found - expected) < 1e-12 * sizes).all()
    changed = np.abs(evaluate(graphs, W) - expected) > 1e-6 * sizes
    assert changed.any()  # a joint invariant is not its average


@pytest.mark.parametrize("dim", [4, 7, 30])
def test_contrasts_as_graphs(dim):
    W = np.random.default_rng(0).normal(0.5, 1.0, size=(20, dim, dim))
    expected = sufficient_statistics(W) @ CONTRAST_MATRIX.T
    np.testing.assert_allclose(evaluate(_GRAPHS, W) @ _contrasts(dim).T, expected, rtol=1e-8, atol=1e-10 * dim)


@pytest.mark.parametrize("dim", [4, 5])
def test_covariance_is_that_over_all_relabellings(dim):
    matrix = np.random.default_rng(1).normal(0.5, 1.0, size=(dim, dim))
    y = sufficient_statistics(every_relabelling(matrix)) @ CONTRAST_MATRIX.T
    np.testing.assert_allclose(y.mean(axis=0), 0, atol=1e-12)
    expected = y.T @ y / len(y)
    np.testing.assert_allclose(covariance_of(matrix[None]), expected, rtol=1e-9, atol=1e-10 * expected.max())


def test_covariance_against_drawn_relabellings_whatever_the_law():
    rng = np.random.default_rng(2)
    W = rng.standard_t(3, size=(40, 12, 1)) * rng.standard_t(3, size=(40, 1, 12)) + 0.3 * rng.normal(size=(40, 12, 12))
    drawn = np.stack(list(randomised_contrasts(W, 4000, seed=0)))
    expected = np.einsum("kra,krb->ab", drawn, drawn) / 4000 / 40
    found, scale = covariance_of(W), np.sqrt(np.outer(*[np.diag(expected)] * 2))
    assert np.abs(found - expected).max() / scale.max() < 0.05
    assert np.abs((found - expected) / scale).max() < 0.05


def test_the_statistic_is_the_same_for_any_relabelling_of_the_whole_and_any_unit():
    rng = np.random.default_rng(3)
    W, order = rng.normal(size=(50, 6, 6)), rng.permutation(6)
    test = orbit_test(W)
    for other in (W[:, order][:, :, order], W.swapaxes(1, 2)):
        assert orbit_test(other).statistic == pytest.approx(test.statistic, rel=1e-9)
    assert abs(orbit_test(W[:, :, order]).statistic - test.statistic) > 0.1  # other neurons meet
    np.testing.assert_allclose(orbit_test(W[:, :, order]).errors, test.errors, rtol=1e-9)  # the orbits are the same
    for scale in (1e-9, 0.3, 1e6):
        scaled = orbit_test(scale * W)
        assert scaled.statistic == pytest.approx(test.statistic, rel=1e-9)
        np.testing.assert_allclose(scaled.errors, test.errors * scale ** np.array([1, *[2] * 7]), rtol=1e-9)


def test_it_is_not_too_ready_with_few_runs_where_the_f_law_is():
    rng = np.random.default_rng(4)
    tests = [orbit_test(rng.standard_t(4, size=(20, 5, 5))) for _ in range(300)]
    noise = np.sqrt(0.05 * 0.95 / 300)
    assert abs(np.mean([test.pvalue < 0.05 for test in tests]) - 0.05) < 3 * noise
    assert np.mean([test.p_f < 0.05 for test in tests]) > 0.05 + 3 * noise


def test_contrasts_that_are_nearly_proportional():
    """All matrices with one mean: x2 and x1 x2 are one number, whose correlation twenty runs tell badly."""
    rng = np.random.default_rng(5)
    W = rng.normal(size=(400, 20, 8, 8))
    W += 5 - W.mean(axis=(2, 3), keepdims=True) + 0.1 * rng.normal(size=(400, 20, 1, 1))
    found = np.array([(test.pvalue, test.statistic) for test in map(orbit_test, W)])
    assert abs((found[:, 0] < 0.05).mean() - 0.05) < 3 * np.sqrt(0.05 * 0.95 / 400)
    assert abs(found[:, 1].mean() - 8) < 3 * found[:, 1].std() / 20
    same = W[0] + 40 - W[0].mean(axis=(1, 2), keepdims=True)
    same += 1e-3 * rng.normal(size=(20, 1, 1))  # now they are proportional but for rounding, and count once
    assert 0 < orbit_test(same).pvalue < 1


def test_broken_symmetry_is_found():
    W = np.random.default_rng(6).normal(size=(100, 6, 6))
    assert orbit_test(W).pvalue > 0.01
    W[:, range(6), range(6)] += 0.5
    test = orbit_test(W)
    assert test.pvalue < 1e-6
    assert test.contrasts.set_index("name")["z"]["x2"] > 8


def test_archives_know_what_the_weights_know():
    archive = pigmm.load("mnist-gaussian")
    for layer in range(3):
        W = archive.weights(-1, layer).astype(np.float64)
        ours, theirs = archive.orbit_test(-1, layer), orbit_test(W)
        assert ours.statistic == pytest.approx(theirs.statistic, rel=1e-3)
        np.testing.assert_allclose(ours.errors, theirs.errors, rtol=1e-3)
        assert ours.p_f == pytest.approx(symmetry_test(W, permutations=0).p_f, rel=1e-3)
    assert pigmm.load("digits-recurrent").orbit_test(-1, 0).pvalue < 1e-100


@pytest.mark.parametrize(
    ("call", "word"),
    [
        (lambda: orbit_test(np.zeros((20, 5, 5))), "matrices|contrasts"),
        (lambda: orbit_test(np.ones((20, 5, 5))), "matrices|contrasts"),
        (lambda: orbit_test(np.random.default_rng(0).normal(size=(11, 5, 5))), "at least 12"),
        (lambda: orbit_test(np.random.default_rng(0).normal(size=(20, 5, 6))), "square"),
        (lambda: orbit_test(np.full((20, 5, 5), np.nan)), "finite"),
        (lambda: orbit_averages("00+00+00+00+00", np.eye(3)[None]), "degree 5; allowed: degree 1 to 4"),
        (lambda: orbit_averages("00", np.ones((1, 2, 3))), "square"),
    ],
)
def test_bad_input_is_named(call, word):
    with pytest.raises(PigmmError, match=word):
        call()


