"""Dense, D²-dimensional versions of the block formulas: slow, explicit, and independent of the package."""

import numpy as np


def zero_sum_basis(n):
    """Orthonormal vectors orthogonal to all ones, as rows (n - 1, n)."""
    q, _ = np.linalg.qr(np.column_stack([np.ones(n), np.eye(n)[:, : n - 1]]))
    return q[:, 1:].T


def diagonal_basis(D):
    """Orthonormal basis matrices of 2V0, 3VH, V2, V3, each (copies, dimension, D, D), from the table of the book."""
    J, identity, g = np.ones((D, D)), np.eye(D), np.sqrt(D / (D - 2))
    V0 = np.array([[J / D], [(identity - J / D) / np.sqrt(D - 1)]])
    v = zero_sum_basis(D)
    by_column = np.array([np.outer(np.ones(D), x) / np.sqrt(D) for x in v])
    by_row = np.array([np.outer(x, np.ones(D)) / np.sqrt(D) for x in v])
    diagonal = np.array([g * (np.diag(x) - (x[:, None] + x[None, :]) / D) for x in v])
    VH = np.array([by_column, by_row, diagonal])
    taken = np.concatenate([V0.reshape(-1, D * D), VH.reshape(-1, D * D)])
    rest = np.eye(D * D) - taken.T @ taken
    swap = np.eye(D * D).reshape(D, D, D, D).transpose(0, 1, 3, 2).reshape(D * D, D * D)
    spaces = []
    for sign in (1, -1):
        values, vectors = np.linalg.eigh(rest @ (np.eye(D * D) + sign * swap) @ rest / 2)
        spaces.append(vectors[:, values > 0.5].T.reshape(1, -1, D, D))
    return V0, VH, *spaces


def dense_law(f, D):
    """Mean (D²,) and covariance (D², D²) of the 13-parameter law."""
    V0, VH, V2, V3 = diagonal_basis(D)
    S = np.array([[f[2], f[3]], [f[3], f[4]]])
    T = np.array([[f[5], f[6], f[7]], [f[6], f[8], f[9]], [f[7], f[9], f[10]]])
    mean = np.einsum("a,anij->ij", f[:2], V0).reshape(-1)
    covariance = np.zeros((D * D, D * D))
    for basis, C in ((V0, S), (VH, T), (V2, [[f[11]]]), (V3, [[f[12]]])):
        flat = basis.reshape(*basis.shape[:2], -1)
        covariance += np.einsum("ab,anx,bny->xy", C, flat, flat)
    return mean, covariance


def random_parameters(rng, scale=1.0):
    """Thirteen parameters with all blocks comfortably positive definite and nothing zero."""
    a, b = rng.normal(size=(2, 4)), rng.normal(size=(3, 6))
    S, T = a @ a.T / 4 + 0.2 * np.eye(2), b @ b.T / 6 + 0.2 * np.eye(3)
    f = np.concatenate([rng.normal(size=2), S[np.triu_indices(2)], T[np.triu_indices(3)], rng.uniform(0.3, 2, 2)])
    f[:2] *= np.sqrt(scale)
    f[2:] *= scale
    return f
