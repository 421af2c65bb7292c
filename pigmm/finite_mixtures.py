r"""Mixtures of a few Gaussian laws, fitted by expectation and maximisation.

- :class:`AnyScale`: one Gaussian law whose matrices have a random scale of *any* distribution (Kiefer and Wolfowitz
  1956), the best that any scale mixture can do; :mod:`pigmm.mixtures` has those with a lognormal scale.
- :class:`Populations`: a few sorts of networks with a two-sided law each.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import ArrayLike
from scipy.special import logsumexp

from . import wick
from .errors import PigmmError
from .invariants import evaluate
from .irreps import Array, as_matrices, two_sided_statistics
from .laws import MatrixLaw
from .models import GaussianMatrixModel, LabelledRowGaussian, TwoSidedGaussian

__all__ = ["AnyScale", "Populations", "any_scale", "populations", "scaled_expectation"]

SPACING = 0.15  # of scales in log s: one matrix of 100 entries tells its own to 0.14
Family = type[TwoSidedGaussian] | type[GaussianMatrixModel] | type[LabelledRowGaussian]


# ---- a random scale --------------------------------------------------------------------------------------------------


@dataclass(frozen=True, eq=False)
class AnyScale:
    r"""A Gaussian law whose matrices are :math:`W = \mu + \sqrt s\, X` with s one of a list of scales.

    Attributes
    ----------
    base : MatrixLaw
        The law of :math:`\mu + X`.
    scales, weights : arrays, (k,)
        What s can be, and with which probability.

    Examples
    --------
    >>> base = TwoSidedGaussian([0, 1, 1, 1, 1], (2, 2))
    >>> AnyScale(base, np.array([0.5, 1.5]), np.array([0.5, 0.5])).predict(["01.01+01.01"]).round(9)  # (n² + 2n) E[s²]
    array([30.])

    Examples
    --------
    >>> W, same = base.sample(2), AnyScale(base, np.array([1.0]), np.array([1.0]))
    >>> same.log_likelihood(W) - base.log_likelihood(W)
    array([0., 0.])
    """

    base: MatrixLaw
    scales: Array
    weights: Array

    def log_likelihood(self, W: ArrayLike) -> Array:
        """Natural logarithm of the density at each matrix, (R,)."""
        n = self.base.shape[0] * self.base.shape[1]
        square = n - 2 * (self.base.log_likelihood(W) + self.base.entropy())
        total: Array = logsumexp(_terms(self.base, square, np.log(self.scales)), axis=1, b=self.weights)
        return total

    def predict(self, graphs: Any) -> Array:
        """Exact expectations of invariants up to degree 4, (n,)."""
        first, second = (float(self.weights @ self.scales**power) for power in (1, 2))
        return scaled_expectation(graphs, self.base, first, second)


def scaled_expectation(graphs: Any, base: MatrixLaw, first: float, second: float) -> Array:
    """Expectations, (n,), under a Gaussian law ``base`` with a random scale whose moments are ``first``, ``second``.
    Up to degree 4 the expectation at a fixed scale s is a quadratic function of s, and at s = 0 the value at the mean.

    Examples
    --------
    >>> scaled_expectation(["01.01", "01.01+01.01"], TwoSidedGaussian([0, 1, 1, 1, 1], (4, 5)), 1.0, 1.5).round(9)
    array([ 20., 660.])
    """
    laws = [base.from_blocks([(mean, s * covariance) for mean, covariance in base.blocks()]) for s in (0.0, 1.0, 2.0)]
    none = evaluate(graphs, laws[0].sample(1))[0]
    one, two = (wick.expectation(graphs, law) for law in laws[1:])
    curve = (two - 2 * one + none) / 2
    value: Array = none + (one - none - curve) * first + curve * second
    return value


def _terms(law: MatrixLaw, square: Array, log_scales: Array) -> Array:
    """Log density of matrices of these Mahalanobis squares (n on average) for each scale, (R, k)."""
    n = law.shape[0] * law.shape[1]
    terms: Array = 0.5 * n * (1 - log_scales) - law.entropy() - 0.5 * square[:, None] * np.exp(-log_scales)
    return terms


def any_scale(W: ArrayLike, family: Family = TwoSidedGaussian) -> AnyScale:
    r"""Maximum likelihood for a Gaussian law with a random scale of any distribution.

    The scales stand on a grid in log s from the quietest to the loudest matrix; their probabilities and the Gaussian
    law are found by expectation and maximisation, until the mean log-likelihood grows by less than 0.0001 nats in ten
    rounds.

    Parameters
    ----------
    W : array, (R, M, N)
        As many matrices as ``family`` needs.
    family : class of laws
        TwoSidedGaussian, GaussianMatrixModel or LabelledRowGaussian.

    Raises
    ------
    PigmmError
        For too few matrices, matrices that do not vary, and other families.

    Examples
    --------
    >>> from pigmm.mixtures import ScaleMixture
    >>> truth = ScaleMixture(TwoSidedGaussian([0, 1, 1, 1, 1], (6, 6)), "matrix", 0.3)
    >>> law = any_scale(truth.sample(600))
    >>> mean = law.weights @ law.scales
    >>> bool(abs(law.weights @ law.scales**2 / mean**2 - 1.3) < 0.1)
    True
    """
    if family not in (TwoSidedGaussian, GaussianMatrixModel, LabelledRowGaussian):
        raise PigmmError.of("family", got=family, allowed="TwoSidedGaussian, GaussianMatrixModel, LabelledRowGaussian")
    batch = as_matrices(W, min_runs=2)
    R = len(batch)
    law: MatrixLaw = family.fit(batch)
    law.entropy()  # refuses a degenerate law
    trivial, *others = law.decomposition.project(batch)
    x, grams = trivial[..., 0], [part @ part.swapaxes(1, 2) for part in others]  # all that these laws see of a matrix
    dims = [block.dim for block in law.decomposition.blocks[1:]]

    def squares(law: MatrixLaw) -> Array:
        """Mahalanobis square of each matrix, (R,)."""
        (mean, C), *rest = law.blocks()
        total: Array = ((x - mean) @ np.linalg.inv(C) * (x - mean)).sum(axis=1)
        for gram, (_, C) in zip(grams, rest, strict=True):
            total = total + np.einsum("rab,ab->r", gram, np.linalg.inv(C))
        return total

    def weighted(w: Array) -> MatrixLaw:
        """The M-step, block by block: mean sum(w x)/sum(w), covariance sum(w (x - mean)(x - mean)ᵀ)/(R dim)."""
        mean = w @ x / w.sum()
        blocks = [(mean, (x - mean).T @ (w[:, None] * (x - mean)) / R)]
        for gram, dim in zip(grams, dims, strict=True):
            blocks.append((np.zeros(gram.shape[1]), np.tensordot(w, gram, 1) / (R * dim)))
        return law.from_blocks(blocks)

    square = squares(law)
    low, high = np.log(square.min() / batch[0].size), np.log(square.max() / batch[0].size)
    grid = np.arange(low, high + SPACING, SPACING)
    weights, before = np.full(len(grid), 1 / len(grid)), -np.inf
    for _ in range(100):
        terms = _terms(law, square, grid)
        top = terms.max(axis=1, keepdims=True)
        density = np.exp(terms - top)
        for _ in range(10):
            total, old = density @ weights, weights
            weights = weights * (density.T @ (1 / total)) / R
        value = float((top[:, 0] + np.log(total)).mean())
        if value - before < 1e-4:
            break
        before = value
        law = weighted(density @ (old * np.exp(-grid)) / total)  # with the mean of 1/s given each matrix
        square = squares(law)
    return AnyScale(law, np.exp(grid), weights)


# ---- a few sorts of networks -----------------------------------------------------------------------------------------


@dataclass(frozen=True, eq=False)
class Populations:
    """Networks of a few sorts: with probability ``weights[k]`` a matrix follows ``laws[k]``.

    Examples
    --------
    >>> quiet, loud = (TwoSidedGaussian([0, v, v, v, v], (2, 2)) for v in (0.5, 1.5))
    >>> Populations((quiet, loud), np.array([0.5, 0.5])).predict(["01.01+01.01"]).round(9)
    array([30.])

    Examples
    --------
    >>> Populations((quiet, loud), np.array([0.5, 0.5])).log_likelihood(np.ones((3, 2, 2))).shape
    (3,)
    """

    laws: tuple[TwoSidedGaussian, ...]
    weights: Array

    def log_likelihood(self, W: ArrayLike) -> Array:
        """Natural logarithm of the density at each matrix, (R,)."""
        total: Array = logsumexp(np.column_stack([law.log_likelihood(W) for law in self.laws]), axis=1, b=self.weights)
        return total

    def predict(self, graphs: Any) -> Array:
        """Exact expectations of invariants, (n,)."""
        mixed: Array = self.weights @ np.stack([wick.expectation(graphs, law) for law in self.laws])
        return mixed


def populations(W: ArrayLike, count: int = 2) -> Populations:
    """Maximum likelihood for ``count`` populations with a two-sided law each: 6 ``count`` - 1 parameters.

    Expectation and maximisation, started from groups of equal size sorted by how unlikely a matrix is under one law.
    Every population borrows one matrix from that law, so that none can shrink to a point.

    Parameters
    ----------
    W : array, (R, M, N)
        At least ten matrices for each population.
    count : int

    Raises
    ------
    PigmmError
        For too few matrices or a count that is not a positive integer.

    Examples
    --------
    >>> quiet, loud = (TwoSidedGaussian([0, v, v, v, v], (6, 6)).sample(300) for v in (0.5, 2.0))
    >>> law = populations(np.concatenate([quiet, loud]))
    >>> law.weights.round(2), [one.parameters[4].round(1).item() for one in law.laws]
    (array([0.5, 0.5]), [0.5, 2.0])
    """
    batch = as_matrices(W, min_runs=2)
    if isinstance(count, bool) or not isinstance(count, int | np.integer) or not 1 <= count <= len(batch) // 10:
        raise PigmmError.of("populations", got=count, allowed=f"1 to {len(batch) // 10} for {len(batch)} matrices")
    M, N = batch.shape[1:]
    base, t = TwoSidedGaussian.fit(batch), two_sided_statistics(batch)
    dims = np.array([block.dim for block in base.decomposition.blocks])
    m0, v0 = base.parameters[0], base.parameters[1:]
    rank = np.argsort(np.argsort(-base.log_likelihood(batch), kind="stable"), kind="stable")
    share = np.eye(count)[rank * count // len(batch)]
    before = -np.inf
    for _ in range(1000):
        size = share.sum(axis=0)
        means = (share.T @ t[:, 0] + m0) / (size + 1)
        squares = M * N * (t[:, :1] - means) ** 2  # (R, count)
        trivial = ((share * squares).sum(axis=0) + v0[0]) / (size + 1)
        rest = (share.T @ t[:, 2:] + v0[1:]) / (size + 1)[:, None]
        v = np.column_stack([trivial, rest])
        exponent = squares / trivial * dims[0] + t[:, 2:] @ (dims[1:] / rest).T
        joint = np.log(size / len(batch)) - 0.5 * (exponent + np.log(v) @ dims)
        total = np.logaddexp.reduce(joint, axis=1)
        share = np.exp(joint - total[:, None])
        if abs(total.mean() - before) < 1e-6:
            break
        before = total.mean()
    laws = tuple(TwoSidedGaussian(np.array([m, *row]), (M, N)) for m, row in zip(means, v, strict=True))
    return Populations(laws, size / size.sum())
