r"""Which relabellings leave the law of a matrix unchanged?  An exact null test, whatever the distribution.

If rows and columns may be relabelled separately (S_D x S_D), or if only one side may be relabelled on its own, the
means of eight *contrasts* of the 13 sufficient statistics vanish: ``x2, x1 x2, u1.u2, u1.u3, u2.u3`` and ``x2^2, u3.u3,
S.S``, each of the last three minus ``A.A`` (per dimension).  Equivalently f2 = f4 = f7 = f8 = f10 = 0 and
f5 = f11 = f12 = f13.  A recurrent or a residual layer, whose rows and columns are the same neurons, need not obey them.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import ArrayLike
from scipy import stats

from .errors import PigmmError
from .irreps import Array, Diagonal, as_matrices, sufficient_statistics
from .layout import STATISTICS
from .moments import Moments
from .tables import require_pandas, unit

if TYPE_CHECKING:
    import pandas as pd

__all__ = [
    "CONTRAST_MATRIX", "SymmetryTest", "randomised_contrasts", "symmetry_from_moments", "symmetry_test",
]  # fmt: skip

CONTRASTS = ("x2", "x1 x2", "u1.u2", "u1.u3", "u2.u3", "x2^2 - A", "u3.u3 - A", "S.S - A")
CONTRAST_MATRIX = np.zeros((8, STATISTICS))  # times the 13 statistics
CONTRAST_MATRIX[range(8), [1, 3, 6, 7, 9, 4, 10, 11]] = 1
CONTRAST_MATRIX[5:, 12] = -1


@dataclass(frozen=True, eq=False)
class SymmetryTest:
    """Outcome of :func:`symmetry_test`.

    Attributes
    ----------
    runs : int
        R.
    statistic, f : float
        Hotelling's T² of the eight means, and ``T² (R-8)/(8(R-1))``.
    pvalue : float
        The rank of f among its values after column permutations, exact at every R; where f exceeds them all, continued
        by the tail of the F law.  From an archive, which has no matrices to permute, ``p_f``; see there
        :func:`pigmm.orbit_test`.
    p_f : float
        Upper tail of F(8, R-8) at f.
    values, errors : arrays, (8,)
        Mean over runs of each contrast, and its standard error.

    Examples
    --------
    >>> from pigmm import SimpleGaussian
    >>> test = symmetry_test(SimpleGaussian(0.0, 0.1, shape=6).sample(100, seed=0))
    >>> test.runs, list(test.contrasts["name"][:3])
    (100, ['x2', 'x1 x2', 'u1.u2'])
    """

    runs: int
    statistic: float
    f: float
    pvalue: float
    p_f: float
    values: Array
    errors: Array

    @property
    def contrasts(self) -> pd.DataFrame:
        """name, value (mean over runs), se, z: one row a contrast."""
        pd = require_pandas()
        z = np.divide(self.values, self.errors, out=np.zeros(8), where=self.errors > 0)
        return pd.DataFrame({"name": CONTRASTS, "value": self.values, "se": self.errors, "z": z})


def symmetry_test(W: ArrayLike, permutations: int = 499, seed: int = 0) -> SymmetryTest:
    r"""Are rows and columns relabelled separately without changing the law?

    Hotelling's T² of the eight contrasts.  Its F law is approximate: contrasts that are squares are skewed, and at
    D = 10 the nominal 5 % is about 8 % for R = 100 and 6 % for R = 1000.  So the columns of every matrix are permuted
    at random, each on its own, which under the null changes nothing: the rank of f among its permuted values is an
    exact p-value, whatever the law and the R.  It cannot be below 1/(permutations + 1); an f beyond all permuted ones
    gets that, times the factor by which the tail of F falls from the largest of them to f.

    Parameters
    ----------
    W : array, (R, D, D)
        R at least 12, D at least 4.
    permutations : int
        0 for the plain F law, else at least 99.  A permutation of 1000 10 x 10 matrices costs about a millisecond.
    seed : int

    Returns
    -------
    SymmetryTest

    Raises
    ------
    PigmmError
        For too few or equal matrices, or contrasts that depend on each other.

    Examples
    --------
    >>> from pigmm import SimpleGaussian
    >>> W = SimpleGaussian(0.0, 0.1, shape=6).sample(300, seed=0)
    >>> bool(symmetry_test(W).pvalue > 0.001)
    True
    >>> W[:, range(6), range(6)] += 0.2              # now the diagonal is special
    >>> bool(symmetry_test(W).pvalue < 1e-6)
    True
    """
    batch = as_matrices(W, square=True, min_dim=4)
    if not np.ptp(batch, axis=0).any():
        raise PigmmError.of("W", got="matrices that are all equal", allowed="matrices that differ")
    for name, given, least in (("permutations", permutations, 0), ("seed", seed, 0)):
        if isinstance(given, bool) or not isinstance(given, int | np.integer) or given < least:
            raise PigmmError.of(name, got=given, allowed=f"an integer of at least {least}")
    if 0 < permutations < 99:
        raise PigmmError.of("permutations", got=permutations, allowed="0, or at least 99")
    scale = unit(batch)
    batch = batch / scale
    plain = symmetry_from_moments(Moments.of(sufficient_statistics(batch), STATISTICS))
    test = _with_exact_p(plain, batch, permutations, seed)
    back = scale ** np.array([1, 2, 2, 2, 2, 2, 2, 2])  # the first contrast is linear in the weights
    return replace(test, values=test.values * back, errors=test.errors * back)


def _with_exact_p(plain: SymmetryTest, batch: Array, permutations: int, seed: int) -> SymmetryTest:
    if not permutations:
        return plain
    null = np.array([_hotelling(y)[1] for y in randomised_contrasts(batch, permutations, seed)])
    return replace(plain, pvalue=_ranked(plain, null))


def _ranked(test: SymmetryTest, null: Array) -> float:
    """The rank of f among those of the null; beyond all of them the tail of F goes on."""
    pvalue = (1 + int((null >= test.f).sum())) / (len(null) + 1)
    if test.f > (largest := null.max()):
        tail = stats.f(8, test.runs - 8).logsf
        pvalue *= float(np.exp(tail(test.f) - tail(largest)))
    return pvalue


def randomised_contrasts(W: Array, repeats: int, seed: int) -> Iterator[Array]:
    """The contrasts (R, 8) after random permutations of the columns of every matrix on its own, ``repeats`` times.

    Row sums, the grand mean and the sum of squares stay; with h = Σ_ij W_ij W_ji the two equations
    |S|² + |A|² = Σ W² - (the rest) and |S|² - |A|² = h - x1² - x2² - 2 u1.u2 - |u3|² spare the projections.
    """
    runs, D, _ = W.shape
    _, VH, V2, V3 = (block.dim for block in Diagonal(D).blocks)
    rng = np.random.default_rng(seed)
    rows, columns = W.sum(axis=2), W.sum(axis=1)
    x1, square = rows.sum(axis=1) / D, np.einsum("rij,rij->r", W, W)
    u2 = _centre(rows) / np.sqrt(D)
    for _ in range(repeats):
        order = rng.permuted(np.tile(np.arange(D), (runs, 1)), axis=1)
        X = np.take_along_axis(W, order[:, None, :], axis=2)
        c, d = np.take_along_axis(columns, order, axis=1), np.einsum("rii->ri", X)
        x2 = (d.sum(axis=1) - x1) / np.sqrt(D - 1)
        u1 = _centre(c) / np.sqrt(D)
        u3 = np.sqrt(D / (D - 2)) * _centre(d - (rows + c) / D)
        g11, g12, g13 = (np.einsum("ri,ri->r", u1, v) for v in (u1, u2, u3))
        g22, g23, g33 = (np.einsum("ri,ri->r", a, b) for a, b in ((u2, u2), (u2, u3), (u3, u3)))
        plus = square - x1**2 - x2**2 - g11 - g22 - g33
        minus = np.einsum("rij,rji->r", X, X) - x1**2 - x2**2 - 2 * g12 - g33
        A = (plus - minus) / 2 / V3
        S = (plus + minus) / 2 / V2
        yield np.stack([x2, x1 * x2, g12 / VH, g13 / VH, g23 / VH, x2**2 - A, g33 / VH - A, S - A], axis=1)


def _centre(x: Array) -> Array:
    centred: Array = x - x.mean(axis=1, keepdims=True)
    return centred


def _hotelling(contrasts: Array) -> tuple[float, float]:
    """T² and f of contrasts (R, 8)."""
    runs = len(contrasts)
    mean = contrasts.mean(axis=0)
    centred = contrasts - mean
    return _statistic(mean, centred.T @ centred / (runs - 1) / runs, runs)


def _statistic(mean: Array, covariance: Array, runs: int) -> tuple[float, float]:
    errors = np.sqrt(np.diag(covariance))
    if not (errors > 0).all():
        raise PigmmError.of("W", got="contrasts that do not vary over the matrices", allowed="matrices that differ")
    z = mean / errors  # units of weight and of weight squared are mixed: solve in standard errors
    correlation = covariance / np.outer(errors, errors)
    if np.linalg.eigvalsh(correlation)[0] < 1e-10:
        raise PigmmError.of(
            "W", got="contrasts that depend on each other", allowed="at least nine matrices that differ in all entries",
            fix="If their mean is thousands of times the spread, subtract a constant from all weights first.",
        )  # fmt: skip
    statistic = float(z @ np.linalg.solve(correlation, z))
    return statistic, statistic * (runs - 8) / (8 * (runs - 1))


def symmetry_from_moments(moments: Moments) -> SymmetryTest:
    """The plain F test from the moments of the 13 statistics (they may be followed by other features)."""
    R = moments.count
    if R < 12:
        raise PigmmError.of("W", got=f"{R} matrices", allowed="at least 12 for eight contrasts (too few runs)")
    values = CONTRAST_MATRIX @ moments.mean[:STATISTICS]
    covariance = CONTRAST_MATRIX @ moments.comoment[:, :STATISTICS] @ CONTRAST_MATRIX.T / (R - 1) / R
    statistic, f = _statistic(values, covariance, R)
    p = float(stats.f.sf(f, 8, R - 8))
    return SymmetryTest(R, statistic, f, p, p, values, np.sqrt(np.diag(covariance)))
