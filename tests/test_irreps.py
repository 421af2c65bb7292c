"""The decompositions against explicit basis matrices and group averages."""

import numpy as np
import pytest

from pigmm import PigmmError
from pigmm.irreps import (
    Diagonal,
    LabelledRows,
    Pooled,
    TwoSided,
    as_matrices,
    sufficient_statistics,
    two_sided_statistics,
)
from tests.dense import diagonal_basis

DIAGONAL = [Diagonal(4), Diagonal(5), Diagonal(9)]
DECOMPOSITIONS = [*DIAGONAL, TwoSided(3, 5), TwoSided(6, 6), Pooled(2, 4), LabelledRows(3, 4)]


def normal(*shape, seed=0):
    return np.random.default_rng(seed).normal(size=shape)


@pytest.mark.parametrize("decomposition", DECOMPOSITIONS, ids=repr)
def test_projection_is_an_isometry_and_recombines(decomposition):
    W = normal(6, *decomposition.shape) + 2
    parts = decomposition.project(W)
    np.testing.assert_allclose(decomposition.recombine(parts), W, atol=1e-13)
    norms = sum((part**2).sum(axis=(1, 2)) for part in parts)
    np.testing.assert_allclose(norms, (W**2).sum(axis=(1, 2)), rtol=1e-13)
    assert sum(b.copies * b.dim for b in decomposition.blocks) == W[0].size


@pytest.mark.parametrize("decomposition", DECOMPOSITIONS, ids=repr)
def test_blocks_are_orthogonal_subspaces_of_the_right_dimension(decomposition):
    M, N = decomposition.shape
    parts = decomposition.project(np.eye(M * N).reshape(-1, M, N))
    for number, block in enumerate(decomposition.blocks):
        only = tuple(part if k == number else np.zeros_like(part) for k, part in enumerate(parts))
        projector = decomposition.recombine(only).reshape(M * N, M * N)
        np.testing.assert_allclose(projector @ projector, projector, atol=1e-13)
        assert np.linalg.matrix_rank(projector) == block.copies * block.dim


@pytest.mark.parametrize("dim", [4, 5, 8])
def test_coordinates_are_inner_products_with_the_published_basis(dim):
    W = normal(5, dim, dim, seed=dim)
    x, u, s, a = Diagonal(dim).project(W)
    V0, VH, V2, V3 = diagonal_basis(dim)  # (2, 1, D, D), (3, D-1, D, D), (1, n2, D, D), (1, n3, D, D)
    np.testing.assert_allclose(x[..., 0], np.einsum("rij,anij->ra", W, V0), atol=1e-12)
    for part, basis in ((u, VH), (s, V2), (a, V3)):
        gram = np.einsum("rai,rbi->rab", part, part)
        coordinates = np.einsum("rij,anij->ran", W, basis)
        np.testing.assert_allclose(gram, np.einsum("ran,rbn->rab", coordinates, coordinates), atol=1e-12)


def test_relabelling_both_sides_permutes_within_blocks_and_one_side_mixes_them():
    W, p = normal(4, 7, 7), np.random.default_rng(1).permutation(7)
    t = sufficient_statistics(W)
    np.testing.assert_allclose(sufficient_statistics(W[:, p][:, :, p]), t, atol=1e-12)
    one_sided = sufficient_statistics(W[:, p])
    assert (abs(one_sided - t) > 1e-3).any(axis=0)[[1, 3, 4, 6, 7, 9, 10, 11, 12]].all()
    np.testing.assert_allclose(one_sided[:, [0, 2, 5, 8]], t[:, [0, 2, 5, 8]], atol=1e-12)  # what S_D x S_D keeps


def test_two_sided_statistics_ignore_each_relabelling_but_not_a_shuffle_of_entries():
    W, rng = normal(3, 4, 6), np.random.default_rng(2)
    t = two_sided_statistics(W)
    moved = W[:, rng.permutation(4)][:, :, rng.permutation(6)]
    np.testing.assert_allclose(two_sided_statistics(moved), t, atol=1e-13)
    shuffled = rng.permuted(W.reshape(3, -1), axis=1).reshape(W.shape)
    assert (abs(two_sided_statistics(shuffled) - t)[:, 2:] > 1e-3).all()


def test_statistics_survive_a_mean_a_million_times_the_spread():
    W = normal(50, 6, 6)
    shifted = sufficient_statistics(W + 1e6)
    np.testing.assert_allclose(shifted[:, 5:], sufficient_statistics(W)[:, 5:], atol=1e-8)


@pytest.mark.parametrize(
    ("bad", "word"),
    [
        (np.zeros((2, 3, 3)), "at least 4x4"),
        (np.zeros((2, 4, 5)), "square"),
        (np.full((2, 4, 4), np.nan), "NaN"),
        (np.array([[[0, np.inf] + [0, 0]] * 4]), "infinity"),
        (np.zeros((2, 4, 4), dtype=object), "dtype object"),
        (np.zeros((2, 4, 4), dtype=complex), "complex"),
        (np.zeros(4), "shape"),
        (np.zeros((0, 4, 4)), "shape"),
        ([[1, 2], [3]], "inhomogeneous"),
        ("abc", "dtype"),
        (None, "dtype"),
    ],
)
def test_bad_matrices_are_named(bad, word):
    with pytest.raises(PigmmError, match=word):
        sufficient_statistics(bad)


def test_integers_and_single_precision_become_doubles():
    for dtype in (int, np.float32, bool):
        assert as_matrices(np.ones((2, 3), dtype=dtype)).dtype == np.float64


@pytest.mark.parametrize("dim", [3, 0, -1, 4.0, True, "4"])
def test_dimension_must_be_an_integer_of_at_least_four(dim):
    with pytest.raises(PigmmError, match="at least 4"):
        Diagonal(dim)
