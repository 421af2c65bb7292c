r"""What every Gaussian matrix law does, written once for isotypic blocks.

A law is a decomposition (:mod:`pigmm.irreps`) and, for each block, a mean and a small covariance ``C_b``.  With ``n_b``
the dimension of the irrep and ``Q_b(W)`` the block's second moments per dimension about its mean,

.. math:: \log p(W) = -\tfrac12 \Big[MN \log 2\pi + \sum_b n_b (\log\det C_b + \operatorname{tr} C_b^{-1} Q_b(W))\Big],

and entropy, Kullback-Leibler divergence, sampling and optimal transport are sums over blocks in the same way.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Sequence
from typing import Any, Self

import numpy as np
from numpy.typing import ArrayLike

from .errors import PigmmError
from .irreps import Array, Decomposition, as_matrices

__all__ = ["BlockParameters", "MatrixLaw", "common_law", "matrix_root"]

BlockParameters = list[tuple[Array, Array]]  # (mean (k,), covariance (k, k)) for each block


class MatrixLaw(ABC):
    """The verbs that all laws share; a subclass says how its parameters fill the blocks.

    Examples
    --------
    >>> from pigmm import SimpleGaussian
    >>> law = SimpleGaussian(0.0, 0.1, shape=(4, 5))
    >>> W = law.sample(300, seed=0)
    >>> W.shape, law.log_likelihood(W).shape
    ((300, 4, 5), (300,))
    >>> bool(abs(law.entropy() + law.log_likelihood(W).mean()) < 0.6)        # minus the mean log density, by definition
    True
    >>> fitted = SimpleGaussian.fit(W)
    >>> law.refit(W).variance == fitted.variance, law.kl(law), 0 < law.kl(fitted) < 0.01
    (True, 0.0, True)

    A law is its blocks, one for each irreducible representation in its decomposition:

    >>> [block.dim for block in law.decomposition.blocks], [covariance.item() for _, covariance in law.blocks()]
    ([1, 19], [0.1, 0.1])
    >>> law.from_blocks(law.blocks()).variance
    0.1
    """

    parameters: Array
    shape: tuple[int, int]

    @property
    @abstractmethod
    def decomposition(self) -> Decomposition:
        """How matrices of this shape split into blocks: see :mod:`pigmm.irreps`."""

    @abstractmethod
    def blocks(self) -> BlockParameters:
        """Mean and covariance of every block, in the order of the decomposition."""

    @abstractmethod
    def from_blocks(self, blocks: BlockParameters) -> Self:
        """The law of the same family and shape with these blocks."""

    @classmethod
    @abstractmethod
    def fit(cls, W: ArrayLike) -> Self:
        """Maximum likelihood from matrices (R, M, N)."""

    def refit(self, W: ArrayLike) -> Self:
        """The law of the same family fitted to W."""
        return type(self).fit(W)

    def _checked(self, names: Sequence[str]) -> None:
        """Refuse parameters that are not finite or make a block indefinite."""
        if not (np.abs(self.parameters) < 1e150).all():  # also catches NaN
            raise PigmmError.of("parameters", got=self.parameters.tolist(), allowed="finite numbers below 1e150")
        for block, (_, covariance), name in zip(self.decomposition.blocks, self.blocks(), names, strict=True):
            values = np.linalg.eigvalsh(covariance)
            if block.dim and values[0] < -1e-10 * max(abs(values[0]), abs(values[-1])):
                raise PigmmError.of(
                    name, got=f"eigenvalues {values.tolist()}", allowed="a covariance with no negative eigenvalue",
                    fix="The block is indefinite, so no such Gaussian law exists.",
                )  # fmt: skip

    def _definite(self, task: str) -> None:
        for block, (_, covariance) in zip(self.decomposition.blocks, self.blocks(), strict=True):
            values = np.linalg.eigvalsh(covariance)
            if block.dim and values[0] <= 1e-13 * values[-1]:
                raise PigmmError.of(
                    task, got=f"block {block.name} with eigenvalues {values.tolist()}",
                    allowed="positive definite blocks",
                    fix="The law is degenerate: fit it to more matrices, or to matrices that vary.",
                )  # fmt: skip

    def log_likelihood(self, W: ArrayLike) -> Array:
        """Natural logarithm of the density at each matrix, shape (R,)."""
        self._definite("log_likelihood")
        batch = self._batch(W)
        total = np.full(len(batch), -0.5 * batch[0].size * np.log(2 * np.pi))
        for block, part, (mean, covariance) in self._zip(self.decomposition.project(batch)):
            centred = part - mean[:, None]
            scale = np.linalg.cholesky(covariance)
            white = np.linalg.solve(scale, centred)
            total -= block.dim * np.log(np.diag(scale)).sum() + 0.5 * (white * white).sum(axis=(1, 2))
        return total

    def sample(self, R: int, seed: int = 0) -> Array:
        """Draw R matrices, shape (R, M, N); the same seed gives the same matrices."""
        R = checked_runs(R, 1)
        if isinstance(seed, bool) or not isinstance(seed, int | np.integer) or seed < 0:
            raise PigmmError.of("seed", got=seed, allowed="an integer of at least 0")
        noise = np.random.default_rng(seed).standard_normal((R, *self.shape))
        parts = []
        for block, part, (mean, covariance) in self._zip(self.decomposition.project(noise)):
            coloured = matrix_root(covariance) @ part
            parts.append(coloured + mean[:, None] if block.dim == 1 else coloured)
        return self.decomposition.recombine(tuple(parts))

    def entropy(self) -> float:
        """Differential entropy in nats."""
        self._definite("entropy")
        rows, columns = self.shape
        pairs = zip(self.decomposition.blocks, self.blocks(), strict=True)
        logdet = sum(block.dim * np.linalg.slogdet(covariance)[1] for block, (_, covariance) in pairs)
        return float(0.5 * (rows * columns * (1 + np.log(2 * np.pi)) + logdet))

    def kl(self, other: MatrixLaw) -> float:
        """Kullback-Leibler divergence KL(self || other) in nats; laws of nested families are lifted to the larger."""
        p, q = common_law(self, other)
        p._definite("kl")
        q._definite("kl")
        total = 0.0
        for block, (mp, cp), (mq, cq) in zip(p.decomposition.blocks, p.blocks(), q.blocks(), strict=True):
            ratio = np.linalg.solve(cq, cp)
            shift = mq - mp
            total += block.dim * (np.trace(ratio) - block.copies - np.linalg.slogdet(ratio)[1])
            total += shift @ np.linalg.solve(cq, shift)
        return float(max(0.5 * total, 0.0))

    def _batch(self, W: ArrayLike) -> Array:
        batch = as_matrices(W)
        if batch.shape[1:] != self.shape:
            raise PigmmError.of("W", got=f"shape {batch.shape[1:]}", allowed=f"the law's shape {self.shape}")
        return batch

    def _zip(self, parts: tuple[Array, ...]) -> Any:
        return zip(self.decomposition.blocks, parts, self.blocks(), strict=True)


def matrix_root(covariance: Array) -> Array:
    """Symmetric square root, safe for singular matrices."""
    values, vectors = np.linalg.eigh(covariance)
    root: Array = (vectors * np.sqrt(np.clip(values, 0, None))) @ vectors.T
    return root


def common_law(p: MatrixLaw, q: MatrixLaw) -> tuple[MatrixLaw, MatrixLaw]:
    """Both laws in the smallest family of the ladder that holds them; PigmmError if there is none.

    Examples
    --------
    >>> from pigmm import SimpleGaussian, TwoSidedGaussian
    >>> p, q = common_law(SimpleGaussian(0.0, 1.0, (3, 4)), TwoSidedGaussian([0.0, 1.0, 2.0, 1.0, 1.0], (3, 4)))
    >>> p.parameters, q.parameters
    (array([0., 1., 1., 1., 1.]), array([0., 1., 2., 1., 1.]))
    """
    for law in (p, q):
        if not isinstance(law, MatrixLaw):
            raise PigmmError.of("law", got=type(law).__name__, allowed="a law of pigmm.models")
    if p.shape != q.shape:
        raise PigmmError.of("laws", got=f"shapes {p.shape} and {q.shape}", allowed="two laws of matrices of one shape")
    for step in ("to_two_sided", "to_diagonal"):
        if type(p) is type(q) or (step == "to_diagonal" and p.shape[0] != p.shape[1]):
            break
        p, q = (getattr(law, step)() if hasattr(law, step) else law for law in (p, q))
    if type(p) is type(q) and p.decomposition == q.decomposition:  # labels may stand on different sides
        return p, q
    got = " and ".join(f"{type(law).__name__} with {law.decomposition}" for law in (p, q))
    raise PigmmError.of("laws", got=got, allowed="laws of one nested family")


def frozen_array(parameters: ArrayLike, count: int, what: str) -> Array:
    try:
        if np.iscomplexobj(parameters) or np.ma.is_masked(parameters):
            raise TypeError("complex or masked numbers")
        values = np.array(parameters, dtype=np.float64)
    except (TypeError, ValueError, RuntimeError) as error:
        raise PigmmError.of(what, got=type(parameters).__name__, allowed=f"{count} real numbers") from error
    if values.shape != (count,):
        raise PigmmError.of(what, got=f"shape {values.shape}", allowed=f"shape ({count},)")
    values.setflags(write=False)
    return values


def checked_shape(shape: Any, smallest: int) -> tuple[int, int]:
    sides = tuple(shape) if isinstance(shape, tuple | list) else (shape, shape)
    if len(sides) != 2 or any(not isinstance(n, int | np.integer) or n < smallest for n in sides):
        raise PigmmError.of("shape", got=shape, allowed=f"(rows, columns), each an integer of at least {smallest}")
    return int(sides[0]), int(sides[1])


def covariance_error(C: Array, a: int, b: int, degrees: float) -> float:
    """Sampling error of a Wishart estimate of C_ab."""
    return float(np.sqrt((C[a, a] * C[b, b] + C[a, b] ** 2) / degrees))


def checked_runs(R: int, least: int) -> int:
    if isinstance(R, bool) or not isinstance(R, int | np.integer) or least > R:
        raise PigmmError.of("R", got=R, allowed=f"an integer of at least {least}")
    return int(R)
