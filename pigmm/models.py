"""The four Gaussian laws of weight matrices.

The ladder is SimpleGaussian (2 parameters) < TwoSidedGaussian (5) < GaussianMatrixModel (13; arXiv:1809.07559);
LabelledRowGaussian serves layers whose rows carry names, such as the classes of a last layer.  What they all do
(likelihood, sampling, entropy, divergence) is in :mod:`pigmm.laws`.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import ArrayLike

from .errors import PigmmError
from .irreps import Array, Diagonal, LabelledRows, Pooled, TwoSided, as_matrices
from .laws import BlockParameters, MatrixLaw, checked_runs, checked_shape, covariance_error, frozen_array

__all__ = ["GaussianMatrixModel", "LabelledRowGaussian", "SimpleGaussian", "TwoSidedGaussian"]


@dataclass(frozen=True, eq=False)
class GaussianMatrixModel(MatrixLaw):
    r"""The most general Gaussian law of D x D matrices unchanged by relabelling: 13 parameters.

    ``f1, f2`` are the means of the two trivial coordinates; ``f3, f4, f5`` their covariance (block V0);
    ``f6 ... f11`` the covariance ``T11, T12, T13, T22, T23, T33`` of the three standard copies (VH); ``f12`` and
    ``f13`` the variances of the symmetric and antisymmetric blocks V2 and V3.  All are means and *covariances*,
    not couplings.

    Parameters
    ----------
    parameters : array, (13,)
        f1 ... f13 in the order of the paper (arXiv:2510.05218).
    dim : int
        D, at least 4.

    Raises
    ------
    PigmmError
        For a wrong count, non-finite numbers, D below 4 or an indefinite block.

    Examples
    --------
    >>> truth = SimpleGaussian(0.0, 0.1, shape=10).to_diagonal()
    >>> fitted = GaussianMatrixModel.fit(truth.sample(500, seed=1))
    >>> fitted.parameters.shape, fitted.dim
    ((13,), 10)
    >>> bool((abs(fitted.parameters - truth.parameters) < 4 * truth.parameter_errors(500)).all())
    True

    The parameters by block, in the order f1 ... f13:

    >>> law = GaussianMatrixModel.from_parameters([0.5, 0.1, 2, 0, 3, 4, 1, 0, 5, 0, 6, 7, 8], dim=6)
    >>> law.mean_trivial, law.cov_trivial.tolist()
    (array([0.5, 0.1]), [[2.0, 0.0], [0.0, 3.0]])
    >>> law.cov_standard.tolist(), law.var_symmetric, law.var_antisymmetric
    ([[4.0, 1.0, 0.0], [1.0, 5.0, 0.0], [0.0, 0.0, 6.0]], 7.0, 8.0)
    """

    parameters: Array
    dim: int

    def __post_init__(self) -> None:
        Diagonal(self.dim)
        object.__setattr__(self, "dim", int(self.dim))
        object.__setattr__(self, "parameters", frozen_array(self.parameters, 13, "parameters"))
        self._checked(["f3, f4, f5 (block V0)", "f6 ... f11 (block VH)", "f12 (block V2)", "f13 (block V3)"])

    @classmethod
    def fit(cls, W: ArrayLike) -> GaussianMatrixModel:
        """Maximum likelihood: match the 13 sufficient statistics.  Needs at least 3 matrices of D >= 4."""
        batch = as_matrices(W, square=True, min_dim=4, min_runs=3)
        x, u, s, a = Diagonal(batch.shape[1]).project(batch)
        n = [block.dim for block in Diagonal(batch.shape[1]).blocks]
        mean = x[..., 0].mean(axis=0)
        centred = x[..., 0] - mean
        V0 = centred.T @ centred / len(batch)
        VH = np.einsum("rai,rbi->ab", u, u) / (len(batch) * n[1])
        V2, V3 = (s * s).sum() / (len(batch) * n[2]), (a * a).sum() / (len(batch) * n[3])
        upper = V0[np.triu_indices(2)], VH[np.triu_indices(3)]
        return cls(np.concatenate([mean, *upper, [V2, V3]]), batch.shape[1])

    @classmethod
    def from_statistics(cls, mean: ArrayLike, covariance: ArrayLike, dim: int) -> GaussianMatrixModel:
        """Fit from the ensemble mean (13,) and population covariance (13, 13) of the sufficient statistics.

        Examples
        --------
        >>> from pigmm.irreps import sufficient_statistics
        >>> W = np.random.default_rng(0).normal(size=(50, 6, 6))
        >>> t = sufficient_statistics(W)
        >>> law = GaussianMatrixModel.from_statistics(t.mean(axis=0), np.cov(t.T, bias=True), dim=6)
        >>> bool(np.allclose(law.parameters, GaussianMatrixModel.fit(W).parameters))
        True
        """
        f = np.array(mean, dtype=np.float64)
        C = np.asarray(covariance)
        f[2:5] = C[0, 0], C[0, 1], C[1, 1]  # centred second moments: no cancellation
        return cls(f, dim)

    @classmethod
    def from_parameters(cls, f: ArrayLike, dim: int) -> GaussianMatrixModel:
        """The law with parameters f = (f1, ..., f13), shape (13,)."""
        return cls(np.asarray(f), dim)

    @property
    def shape(self) -> tuple[int, int]:  # type: ignore[override]
        """(D, D)."""
        return self.dim, self.dim

    @property
    def decomposition(self) -> Diagonal:
        return Diagonal(self.dim)

    @property
    def mean_trivial(self) -> Array:
        """(f1, f2): mean of the V0 coordinates."""
        return self.parameters[:2]

    @property
    def cov_trivial(self) -> Array:
        """((f3, f4), (f4, f5)): covariance in V0."""
        f = self.parameters
        return np.array([[f[2], f[3]], [f[3], f[4]]])

    @property
    def cov_standard(self) -> Array:
        """T, 3 x 3, built from f6 ... f11: covariance of the three copies of VH (columns, rows, diagonal)."""
        f = self.parameters
        return np.array([[f[5], f[6], f[7]], [f[6], f[8], f[9]], [f[7], f[9], f[10]]])

    @property
    def var_symmetric(self) -> float:
        """f12: variance in V2."""
        return float(self.parameters[11])

    @property
    def var_antisymmetric(self) -> float:
        """f13: variance in V3."""
        return float(self.parameters[12])

    def blocks(self) -> BlockParameters:
        none = np.zeros(1)
        return [
            (self.mean_trivial, self.cov_trivial), (np.zeros(3), self.cov_standard),
            (none, self.parameters[11:12, None]), (none, self.parameters[12:13, None]),
        ]  # fmt: skip

    def from_blocks(self, blocks: BlockParameters) -> GaussianMatrixModel:
        (mean, V0), (_, VH), (_, V2), (_, V3) = blocks
        upper = V0[np.triu_indices(2)], VH[np.triu_indices(3)]
        return GaussianMatrixModel(np.concatenate([mean, *upper, V2[0], V3[0]]), self.dim)

    def parameter_errors(self, R: int) -> Array:
        """Standard errors of f1 ... f13 fitted to R matrices drawn from this law (Gaussian theory), shape (13,)."""
        R = checked_runs(R, 2)
        n = [block.dim for block in self.decomposition.blocks]
        S, T = self.cov_trivial, self.cov_standard
        errors = [np.sqrt(S[0, 0] / R), np.sqrt(S[1, 1] / R)]
        errors += [covariance_error(S, a, b, R - 1) for a in range(2) for b in range(a, 2)]
        errors += [covariance_error(T, a, b, R * n[1]) for a in range(3) for b in range(a, 3)]
        errors += [self.var_symmetric * np.sqrt(2 / (R * n[2])), self.var_antisymmetric * np.sqrt(2 / (R * n[3]))]
        return np.array(errors)

    def to_diagonal(self) -> GaussianMatrixModel:
        """The law itself: it already is the top of the ladder."""
        return self


@dataclass(frozen=True, eq=False)
class TwoSidedGaussian(MatrixLaw):
    r"""The Gaussian law unchanged by separate relabelling of rows and columns; any M x N; 5 parameters.

    ``parameters = (m, v00, vr, vc, vrc)``: the mean of every entry, and the variances of the four irreps, so that
    ``Cov(W_ij, W_kl) = p + q d_ik + r d_jl + s d_ik d_jl`` with ``s = vrc``, ``q = (vr - vrc)/N``,
    ``r = (vc - vrc)/M``, ``p = (v00 - vr - vc + vrc)/(MN)``.

    Parameters
    ----------
    parameters : array, (5,)
        m, v00, vr, vc, vrc.
    shape : (M, N)

    Raises
    ------
    PigmmError
        For a wrong count, non-finite numbers, a side below 2 or a negative variance.

    Examples
    --------
    >>> law = TwoSidedGaussian([0.1, 0.2, 0.3, 0.4, 0.5], shape=(3, 7))
    >>> W = law.sample(2000, seed=0)
    >>> errors = law.parameter_errors(2000)
    >>> bool((abs(TwoSidedGaussian.fit(W).parameters - law.parameters) < 4 * errors).all())
    True
    >>> TwoSidedGaussian([0.1, 0.2, 0.3, 0.4, 0.5], shape=(5, 5)).to_diagonal().parameters
    array([0.5, 0. , 0.2, 0. , 0.5, 0.4, 0. , 0. , 0.3, 0. , 0.5, 0.5, 0.5])
    """

    parameters: Array
    shape: tuple[int, int]

    def __post_init__(self) -> None:
        object.__setattr__(self, "shape", checked_shape(self.shape, 2))
        object.__setattr__(self, "parameters", frozen_array(self.parameters, 5, "parameters"))
        self._checked(["v00", "vr", "vc", "vrc"])

    @classmethod
    def fit(cls, W: ArrayLike) -> TwoSidedGaussian:
        """Maximum likelihood; needs at least 2 matrices."""
        batch = as_matrices(W, min_dim=2, min_runs=2)
        decomposition = TwoSided(*batch.shape[1:])
        x, *rest = decomposition.project(batch)
        mean = x.mean()
        moments = [((x - mean) ** 2).mean()]
        for block, part in zip(decomposition.blocks[1:], rest, strict=True):
            moments.append((part * part).sum() / (len(batch) * block.dim))
        return cls(np.array([mean / np.sqrt(batch[0].size), *moments]), batch.shape[1:])

    @property
    def decomposition(self) -> TwoSided:
        return TwoSided(*self.shape)

    def blocks(self) -> BlockParameters:
        mean = np.array([self.parameters[0] * np.sqrt(self.shape[0] * self.shape[1])])
        means = [mean, np.zeros(1), np.zeros(1), np.zeros(1)]
        return [(m, v.reshape(1, 1)) for m, v in zip(means, self.parameters[1:], strict=True)]

    def from_blocks(self, blocks: BlockParameters) -> TwoSidedGaussian:
        mean = blocks[0][0][0] / np.sqrt(self.shape[0] * self.shape[1])
        return TwoSidedGaussian(np.array([mean, *(c[0, 0] for _, c in blocks)]), self.shape)

    def parameter_errors(self, R: int) -> Array:
        """Standard errors of the five parameters fitted to R matrices drawn from this law, shape (5,)."""
        R = checked_runs(R, 2)
        M, N = self.shape
        degrees = np.array([R - 1, *(R * b.dim for b in self.decomposition.blocks[1:])])
        return np.array([np.sqrt(self.parameters[1] / (R * M * N)), *self.parameters[1:] * np.sqrt(2 / degrees)])

    def to_diagonal(self) -> GaussianMatrixModel:
        """The same law inside the 13-parameter family (square matrices, D >= 4)."""
        M, N = self.shape
        if M != N:
            raise PigmmError.of("to_diagonal", got=f"shape {self.shape}", allowed="square laws")
        m, v00, vr, vc, vrc = self.parameters
        return GaussianMatrixModel(np.array([M * m, 0, v00, 0, vrc, vc, 0, 0, vr, 0, vrc, vrc, vrc]), M)


@dataclass(frozen=True, eq=False)
class SimpleGaussian(MatrixLaw):
    """Independent entries of one mean and one variance: 2 parameters, any M x N.

    Parameters
    ----------
    mean, variance : float
    shape : (M, N); a single number stands for a square

    Raises
    ------
    PigmmError
        For numbers that are not finite, a negative variance, or a side below 2.

    Examples
    --------
    >>> law = SimpleGaussian(0.0, 0.1, shape=(10, 10))
    >>> fitted = SimpleGaussian.fit(law.sample(1000, seed=0))
    >>> bool(abs(fitted.variance - 0.1) < 4 * law.parameter_errors(1000)[1])
    True
    >>> law.to_two_sided().parameters
    array([0. , 0.1, 0.1, 0.1, 0.1])
    >>> law.to_diagonal().parameters[[0, 2, 12]]
    array([0. , 0.1, 0.1])
    """

    mean: float
    variance: float
    shape: tuple[int, int]

    def __post_init__(self) -> None:
        object.__setattr__(self, "shape", checked_shape(self.shape, 2))
        values = frozen_array([self.mean, self.variance], 2, "mean, variance")
        object.__setattr__(self, "mean", float(values[0]))
        object.__setattr__(self, "variance", float(values[1]))
        object.__setattr__(self, "parameters", values)
        self._checked(["variance", "variance"])

    @classmethod
    def fit(cls, W: ArrayLike) -> SimpleGaussian:
        """Maximum likelihood: mean and variance of all entries of all matrices."""
        batch = as_matrices(W, min_dim=2, min_runs=2)
        mean = batch.mean()
        return cls(float(mean), float(((batch - mean) ** 2).mean()), batch.shape[1:])

    @property
    def decomposition(self) -> Pooled:
        return Pooled(*self.shape)

    def blocks(self) -> BlockParameters:
        C = np.array([[self.variance]])
        return [(np.array([self.mean * np.sqrt(self.shape[0] * self.shape[1])]), C), (np.zeros(1), C)]

    def from_blocks(self, blocks: BlockParameters) -> SimpleGaussian:
        (mean, _), (_, C) = blocks
        return SimpleGaussian(mean[0] / np.sqrt(self.shape[0] * self.shape[1]), C[0, 0], self.shape)

    def parameter_errors(self, R: int) -> Array:
        """Standard errors of mean and variance fitted to R matrices drawn from this law, shape (2,)."""
        entries = checked_runs(R, 2) * self.shape[0] * self.shape[1]
        return np.array([np.sqrt(self.variance / entries), self.variance * np.sqrt(2 / entries)])

    def to_two_sided(self) -> TwoSidedGaussian:
        """The same law inside the 5-parameter family."""
        return TwoSidedGaussian(np.array([self.mean, *[self.variance] * 4]), self.shape)

    def to_diagonal(self) -> GaussianMatrixModel:
        """The same law inside the 13-parameter family (square matrices, D >= 4)."""
        return self.to_two_sided().to_diagonal()


@dataclass(frozen=True, eq=False)
class LabelledRowGaussian(MatrixLaw):
    r"""Columns exchangeable, rows labelled: ``E W_ij = mu_i``, ``Cov(W_ij, W_kl) = A_ik + d_jl B_ik``.

    M + M(M+1) parameters: mu, then the upper triangles of A and B row by row.  ``sqrt(N)`` times the column average is
    ``N(sqrt(N) mu, B + N A)`` and each of the N - 1 contrasts ``N(0, B)``.  A is a difference of two covariances and
    need not be positive.

    Parameters
    ----------
    mu : array, (M,)
    A, B : arrays, (M, M), symmetric
    columns : int
        N, the size of the exchangeable side.
    labels : "rows" or "columns"
        Which side is labelled.  With "columns" the law is that of the transposed, N x M matrices, such as the first
        layer of a network, where columns are pixels and rows are exchangeable neurons.

    Raises
    ------
    PigmmError
        For shapes that do not fit, matrices that are not symmetric, or an indefinite B or B + N A.

    Examples
    --------
    >>> import numpy as np
    >>> W = np.random.default_rng(0).normal(size=(200, 3, 8))
    >>> law = LabelledRowGaussian.fit(W)
    >>> law.parameters.shape, law.parameter_errors(200).shape
    ((15,), (15,))
    >>> LabelledRowGaussian.fit(W, labels="columns").shape, LabelledRowGaussian.fit(W, labels="columns").mu.shape
    ((3, 8), (8,))
    """

    mu: Array
    A: Array
    B: Array
    columns: int
    labels: str = "rows"

    def __post_init__(self) -> None:
        M = len(self.mu) if hasattr(self.mu, "__len__") else 0
        object.__setattr__(self, "mu", frozen_array(self.mu, M, "mu"))
        for name in "AB":
            given = as_matrices(getattr(self, name))
            matrix = frozen_array(given.ravel(), given.size, name).reshape(given.shape[1:])
            if given.shape != (1, M, M) or abs(matrix - matrix.T).max() > 1e-10 * abs(matrix).max():
                raise PigmmError.of(name, got=f"shape {given.shape[1:]}", allowed=f"a symmetric {M}x{M} matrix")
            object.__setattr__(self, name, matrix)
        checked_shape((M, self.columns), 2)
        upper = np.triu_indices(M)
        object.__setattr__(self, "parameters", np.concatenate([self.mu, self.A[upper], self.B[upper]]))
        self._checked(["B + N A", "B"])

    @classmethod
    def fit(cls, W: ArrayLike, labels: str = "rows") -> LabelledRowGaussian:
        """Maximum likelihood; needs more matrices than labels."""
        batch = as_matrices(W, min_dim=2)
        R, *sides = batch.shape
        M, N = sides if labels == "rows" else sides[::-1]
        decomposition = LabelledRows(M, N, labels)
        if R <= M:
            raise PigmmError.of("W", got=f"{R} matrices", allowed=f"more than its {M} {labels} (too few runs)")
        x, contrasts = decomposition.project(batch)
        mean = x[..., 0].mean(axis=0)
        centred = x[..., 0] - mean
        B = np.einsum("rai,rbi->ab", contrasts, contrasts, optimize=True) / (R * (N - 1))
        return cls(mean / np.sqrt(N), (centred.T @ centred / R - B) / N, B, N, labels)

    def refit(self, W: ArrayLike) -> LabelledRowGaussian:
        return LabelledRowGaussian.fit(W, self.labels)

    @property
    def shape(self) -> tuple[int, int]:  # type: ignore[override]
        """Of the matrices: (labelled, exchangeable), or the reverse with labelled columns."""
        return self.decomposition.shape

    @property
    def decomposition(self) -> LabelledRows:
        return LabelledRows(len(self.mu), self.columns, self.labels)

    def blocks(self) -> BlockParameters:
        N = self.columns
        return [(np.sqrt(N) * self.mu, self.B + N * self.A), (np.zeros(len(self.mu)), self.B)]

    def from_blocks(self, blocks: BlockParameters) -> LabelledRowGaussian:
        (mean, total), (_, B) = blocks
        N = self.columns
        return LabelledRowGaussian(mean / np.sqrt(N), (total - B) / N, B, N, self.labels)

    def parameter_errors(self, R: int) -> Array:
        """Standard errors of mu, A and B fitted to R matrices drawn from this law."""
        R = checked_runs(R, 2)
        N, total = self.columns, self.B + self.columns * self.A
        pairs = [(a, b) for a in range(len(self.mu)) for b in range(a, len(self.mu))]
        B = np.array([covariance_error(self.B, a, b, R * (N - 1)) for a, b in pairs])
        whole = np.array([covariance_error(total, a, b, R - 1) for a, b in pairs])
        A = np.hypot(whole, B) / N
        return np.concatenate([np.sqrt(np.diag(total) / (R * N)), A, B])
