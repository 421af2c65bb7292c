"""The joint test over bipartite invariants: its pieces against direct computation, its size, its power."""

import numpy as np
import pytest
from scipy import stats

from pigmm import PigmmError, SimpleGaussian, TwoSidedGaussian, evaluate, expectation, wick
from pigmm.irreps import two_sided_statistics
from pigmm.joint import bipartite_moments, joint_test, two_sided_moments
from pigmm.layout import archived_bipartite

LAW = TwoSidedGaussian([0.1, 0.3, 0.5, 0.1, 0.2], (5, 8))
GRAPHS = [graph for graph in archived_bipartite() if graph.degree > 2]


@pytest.mark.parametrize("shape", [(5, 8), (8, 5), (6, 6), (1, 4), (4, 1)])
def test_two_sided_statistics_follow_from_sums(shape):
    W = np.random.default_rng(0).normal(0.3, 1, size=(40, *shape))
    found = two_sided_moments(bipartite_moments(W), shape, GRAPHS)
    both = np.hstack([two_sided_statistics(W), evaluate(GRAPHS, W)])
    np.testing.assert_allclose(found.mean, both.mean(axis=0), rtol=1e-9, atol=1e-12)
    deviation = both - both.mean(axis=0)
    np.testing.assert_allclose(found.comoment, deviation[:, :5].T @ deviation, rtol=1e-7, atol=1e-7)
    np.testing.assert_allclose(found.squares, (deviation**2).sum(axis=0), rtol=1e-7, atol=1e-9)


def test_it_is_hotellings_test_of_the_influence():
    W = LAW.sample(400, seed=1)
    law = TwoSidedGaussian.fit(W)
    influence = evaluate(GRAPHS, W) - two_sided_statistics(W) @ wick.jacobian(GRAPHS, law).T
    e = evaluate(GRAPHS, W).mean(axis=0) - expectation(GRAPHS, law)
    found = joint_test(W, floor=1e-9)
    assert (found.directions, found.invariants, found.runs) == (43, 43, 400)
    T2 = 400 * e @ np.linalg.solve(np.cov(influence.T), e)
    assert found.statistic == pytest.approx(T2, rel=1e-5)
    assert found.pvalue == pytest.approx(stats.f.sf(T2 * 357 / (43 * 399), 43, 357), rel=1e-4)
    again = joint_test(bipartite_moments(W), (5, 8), floor=1e-9)
    assert again.statistic == pytest.approx(found.statistic, rel=1e-5)
    assert joint_test(1e-6 * W).statistic == pytest.approx(joint_test(W).statistic, rel=1e-5)


def test_it_is_quiet_for_gaussian_ensembles_and_loud_for_others():
    quiet = [joint_test(LAW.sample(500, seed=seed)).pvalue for seed in range(60)]
    assert 0 <= np.mean(np.array(quiet) < 0.05) < 0.2  # 3 expected of 60
    assert np.mean(quiet) > 0.3
    scale = np.random.default_rng(0).choice([0.7, 1.3], size=(500, 1, 1))
    assert joint_test(scale * LAW.sample(500, seed=0)).pvalue < 1e-4
    assert joint_test(np.random.default_rng(0).uniform(-1, 1, size=(500, 5, 8))).pvalue < 1e-4


def test_what_it_cannot_use_is_refused():
    W = SimpleGaussian(0.0, 1.0, shape=(4, 5)).sample(60, seed=0)
    with pytest.raises(PigmmError, match="at least 50"):
        joint_test(W[:49])
    with pytest.raises(PigmmError, match="all equal"):
        joint_test(np.ones((60, 4, 5)))
    with pytest.raises(PigmmError, match=r"shape=\(M, N\)"):
        joint_test(bipartite_moments(W))


def test_what_drowns_in_rounding_and_odd_arguments_are_refused():
    noise = np.random.default_rng(0).normal(size=(300, 6, 6))
    assert joint_test(1 + 0.01 * noise).pvalue > 0.01
    for spread in (1e-3, 1e-5, 1e-7):
        with pytest.raises(PigmmError, match="drowns in rounding"):
            joint_test(1 + spread * noise)
    for floor in (0, 1e9, np.nan, "x", True):
        with pytest.raises(PigmmError, match="floor"):
            joint_test(noise, floor=floor)
    for shape in ("66", 5, (0, 0), (6, 6, 1), (6.0, 6.0)):
        with pytest.raises(PigmmError, match="shape"):
            joint_test(bipartite_moments(noise), shape)
