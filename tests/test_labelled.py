"""Expectations with labelled rows or columns: dense tensors, the five-parameter law, Monte Carlo, symmetry."""

import numpy as np
import pytest

from pigmm import (
    InvariantGraph,
    LabelledRowGaussian,
    PigmmError,
    TwoSidedGaussian,
    bipartite_graphs,
    evaluate,
    expectation,
    invariant_graphs,
    labelled,
)
from tests import slow_twins

BIPARTITE = [g for k in (1, 2, 3, 4) for g in bipartite_graphs(k)]


def random_law(M, N, seed=0, labels="rows"):
    rng = np.random.default_rng(seed)
    A, B = (X @ X.T / M for X in rng.normal(size=(2, M, M)))
    return LabelledRowGaussian(rng.normal(size=M), 0.3 * A, B + 0.2 * np.eye(M), N, labels)


def dense(law):
    """Mean (MN,) and covariance (MN, MN) entry by entry from the definition."""
    M, N = law.shape
    mean, covariance = np.zeros((M, N)), np.zeros((M, N, M, N))
    for i in range(M):
        for j in range(N):
            a, b = (i, j) if law.labels == "rows" else (j, i)
            mean[i, j] = law.mu[a]
            for k in range(M):
                for m in range(N):
                    c, d = (k, m) if law.labels == "rows" else (m, k)
                    covariance[i, j, k, m] = law.A[a, c] + (b == d) * law.B[a, c]
    return mean.ravel(), covariance.reshape(M * N, M * N)


@pytest.mark.parametrize("labels", ["rows", "columns"])
def test_all_invariants_of_square_matrices_against_dense_moments(labels):
    law = random_law(3, 3, labels=labels)
    for degree in (1, 2, 3, 4):
        tensor = slow_twins.moment_tensor(*dense(law), degree)
        graphs = invariant_graphs(degree)
        expected = [slow_twins.dense_expectation(g, tensor, 3) for g in graphs]
        np.testing.assert_allclose(expectation(graphs, law), expected, rtol=1e-10, atol=1e-10)


def test_density_is_the_dense_normal_one():
    for labels in ("rows", "columns"):
        law = random_law(2, 3, seed=1, labels=labels)
        W = law.sample(4, seed=2)
        mean, covariance = dense(law)
        step = W.reshape(4, -1) - mean
        quadratic = np.einsum("ri,ij,rj->r", step, np.linalg.inv(covariance), step)
        expected = -0.5 * (quadratic + np.linalg.slogdet(2 * np.pi * covariance)[1])
        np.testing.assert_allclose(law.log_likelihood(W), expected, rtol=1e-10)


def test_equal_rows_give_the_five_parameter_law():
    M, N, (p, q, r, s) = 4, 6, (0.1, 0.05, 0.2, 0.3)
    law = LabelledRowGaussian(np.full(M, 0.3), p + q * np.eye(M), r + s * np.eye(M), N)
    vr, vc = N * q + s, M * r + s
    two_sided = TwoSidedGaussian([0.3, M * N * p + vr + vc - s, vr, vc, s], (M, N))
    np.testing.assert_allclose(expectation(BIPARTITE, law), expectation(BIPARTITE, two_sided), rtol=1e-12)


@pytest.mark.parametrize("labels", ["rows", "columns"])
def test_rectangular_samples_have_the_predicted_invariants(labels):
    law = random_law(3, 5, seed=3, labels=labels)
    values = evaluate(BIPARTITE, law.sample(60_000, seed=4))
    z = (values.mean(axis=0) - expectation(BIPARTITE, law)) / (values.std(axis=0) / np.sqrt(len(values)))
    assert np.abs(z).max() < 4.5


def test_renaming_the_labels_changes_nothing_and_mixing_them_does():
    law, p = random_law(4, 5, seed=5), np.array([2, 0, 3, 1])
    renamed = LabelledRowGaussian(law.mu[p], law.A[np.ix_(p, p)], law.B[np.ix_(p, p)], 5)
    np.testing.assert_allclose(expectation(BIPARTITE, renamed), expectation(BIPARTITE, law), rtol=1e-12)
    mixed = LabelledRowGaussian(law.mu[p], law.A, law.B, 5)
    assert (np.abs(expectation(BIPARTITE, mixed) / expectation(BIPARTITE, law) - 1) > 1e-3).any()


def test_degree_five_by_monte_carlo():
    graphs = bipartite_graphs(5)[::9]
    law = random_law(2, 3, seed=6)
    values = evaluate(graphs, law.sample(200_000, seed=7))
    z = (values.mean(axis=0) - expectation(graphs, law)) / (values.std(axis=0) / np.sqrt(len(values)))
    assert np.abs(z).max() < 4


def test_limits_are_named():
    law = random_law(3, 5)
    with pytest.raises(PigmmError, match="bipartite"):
        expectation("01.12", law)
    with pytest.raises(PigmmError, match="at most 6"):
        labelled.expectation([InvariantGraph("01.01.01.01.01.01.01")], law)
    with pytest.raises(PigmmError, match="'rows' or 'columns'"):
        LabelledRowGaussian.fit(law.sample(20), labels="row")
    with pytest.raises(PigmmError, match="more than its 5 columns"):
        LabelledRowGaussian.fit(law.sample(5), labels="columns")
