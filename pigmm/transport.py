r"""Optimal transport between Gaussian matrix laws: the Bures-Wasserstein geometry, block by block.

For Gaussian laws in a common decomposition

.. math:: W_2^2(p, q) = |m_p - m_q|^2 + \sum_b n_b \, \min_U \|C_p^{1/2} - C_q^{1/2} U\|_F^2,

with U orthogonal.  The minimum equals ``tr C_p + tr C_q - 2 |C_q^{1/2} C_p^{1/2}|_nuclear`` but, computed as a norm, it
does not cancel: two equal laws are at distance zero to rounding.  ``w2`` is the distance, ``w2_squared`` its square;
the published code of arXiv:2510.05218 returns the square under the name of the distance.  Distances that are estimated,
with their errors, are in :mod:`pigmm.geometry`.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from typing import Any

import numpy as np

from .errors import PigmmError
from .irreps import Array, Block
from .laws import MatrixLaw, checked_runs, common_law
from .models import SimpleGaussian

__all__ = ["LawStack", "distance_matrix", "geodesic", "noise_floor", "w2", "w2_by_block", "w2_squared"]


@dataclass(frozen=True, eq=False)
class LawStack:
    """Many laws of one family, block by block, along any leading axes: what the distance needs of them.

    ``means[b]`` has shape (..., k) and ``roots[b]``, the symmetric square roots of the covariances, (..., k, k).

    Examples
    --------
    >>> from pigmm.models import SimpleGaussian
    >>> stack = LawStack.of([SimpleGaussian(0.0, s * s, shape=5) for s in (1, 2)])
    >>> stack.parts, stack[0].squares(stack[1])
    (('mean', '00', 'rest'), array([ 0.,  1., 24.]))
    >>> stack[0].scaled(2.0).squares(stack[1])
    array([0., 0., 0.])
    """

    blocks: tuple[Block, ...]
    means: tuple[Array, ...]
    roots: tuple[Array, ...]

    @classmethod
    def of(cls, laws: Iterable[MatrixLaw]) -> LawStack:
        """Stack laws along one axis, all lifted to the smallest family of the ladder that holds them."""
        given = list(laws) if isinstance(laws, Iterable) else [laws]
        if not given:
            raise PigmmError.of("laws", got="none", allowed="at least one law")
        top = common_law(given[0], given[0])[0]  # checks that a single law is one
        for law in given:
            top = common_law(top, law)[0]
        lifted = [common_law(law, top)[0] for law in given]
        means, covariances = zip(*(zip(*law.blocks(), strict=True) for law in lifted), strict=True)
        return cls(
            top.decomposition.blocks,
            tuple(np.stack(m) for m in zip(*means, strict=True)),
            tuple(stacked_root(np.stack(c)) for c in zip(*covariances, strict=True)),
        )

    def __getitem__(self, index: Any) -> LawStack:
        return LawStack(self.blocks, tuple(m[index] for m in self.means), tuple(r[index] for r in self.roots))

    def scaled(self, factor: float) -> LawStack:
        """The laws of the matrices times a positive number, ``factor``."""
        return LawStack(self.blocks, tuple(factor * m for m in self.means), tuple(factor * r for r in self.roots))

    @property
    def parts(self) -> tuple[str, ...]:
        """What the columns of :meth:`squares` are called."""
        return ("mean", *(block.name for block in self.blocks))

    def squares(self, other: LawStack) -> Array:
        """Contributions to the squared distance to the laws of ``other``, one by one.

        Shape (..., 1 + blocks): that of the means, then that of each block's covariance.
        """
        terms: list[Any] = [sum(((p - q) ** 2).sum(axis=-1) for p, q in zip(self.means, other.means, strict=True))]
        for block, p, q in zip(self.blocks, self.roots, other.roots, strict=True):
            terms.append(block.dim * ((p - q @ turn(p, q)) ** 2).sum(axis=(-1, -2)))
        return np.stack(terms, axis=-1)


def stacked_root(covariance: Array) -> Array:
    """Symmetric square roots of matrices (..., k, k), safe for singular ones."""
    if covariance.shape[-1] == 1:
        return np.sqrt(np.clip(covariance, 0, None))
    values, vectors = np.linalg.eigh(covariance)
    root: Array = (vectors * np.sqrt(np.clip(values, 0, None))[..., None, :]) @ vectors.swapaxes(-1, -2)
    return root


def turn(root_p: Array, root_q: Array) -> Array:
    """The orthogonal U, (..., k, k), that brings ``root_q @ U`` closest to ``root_p``."""
    if root_p.shape[-1] == 1:  # roots of variances are not negative: nothing to turn
        return np.ones((1, 1))
    left, _, right = np.linalg.svd(root_q @ root_p)
    U: Array = left @ right
    return U


def w2_by_block(p: MatrixLaw, q: MatrixLaw) -> dict[str, float]:
    """Which part moved: contributions to the squared distance, in squared weights, that add up to it exactly.

    ``"mean"`` is the squared distance of the means.  The other keys are the blocks of the smallest family that holds
    both laws, each with the squared distance of the covariances there: ``"00"`` (variance of the grand mean),
    ``"rows"``, ``"columns"``, ``"bulk"`` for :class:`~pigmm.TwoSidedGaussian`; ``"V0"``, ``"VH"``, ``"V2"``, ``"V3"``
    for :class:`~pigmm.GaussianMatrixModel`; ``"00"``, ``"rest"`` for two laws of independent entries;
    ``"average"``, ``"contrasts"`` for labelled rows.

    Parameters
    ----------
    p, q : laws
        As for :func:`w2_squared`.

    Returns
    -------
    dict of str to float

    Raises
    ------
    PigmmError
        For laws of different shapes or of families that are not nested.

    Examples
    --------
    >>> from pigmm.models import SimpleGaussian, TwoSidedGaussian
    >>> p = SimpleGaussian(0.0, 1.0, shape=(3, 5))
    >>> w2_by_block(p, TwoSidedGaussian([0.2, 1.0, 4.0, 1.0, 1.0], (3, 5)))
    {'mean': 0.6, '00': 0.0, 'rows': 2.0, 'columns': 0.0, 'bulk': 0.0}
    """
    both = LawStack.of([p, q])
    return dict(zip(both.parts, map(float, both[0].squares(both[1])), strict=True))


def w2_squared(p: MatrixLaw, q: MatrixLaw) -> float:
    """Squared 2-Wasserstein distance, in squared weights (the quantity the paper plots).

    It is the sum of :func:`w2_by_block`.

    Parameters
    ----------
    p, q : laws of :mod:`pigmm.models`
        Of one shape; steps of the ladder SimpleGaussian, TwoSidedGaussian, GaussianMatrixModel may be mixed.

    Returns
    -------
    float
    Raises
    ------
    PigmmError
        For laws of different shapes or of families that are not nested.

    Examples
    --------
    >>> from pigmm.models import SimpleGaussian
    >>> a, b = SimpleGaussian(0.0, 1.0, shape=5), SimpleGaussian(0.0, 4.0, shape=5)
    >>> round(w2_squared(a, b), 12)  # 25 entries, each moved by 2 - 1
    25.0
    """
    return sum(w2_by_block(p, q).values())


def w2(p: MatrixLaw, q: MatrixLaw) -> float:
    """2-Wasserstein distance, in units of weight: the square root of :func:`w2_squared`.

    Parameters
    ----------
    p, q : laws
        As there.

    Returns
    -------
    float
    Examples
    --------
    >>> from pigmm.models import SimpleGaussian
    >>> round(w2(SimpleGaussian(0.0, 1.0, shape=5), SimpleGaussian(0.0, 4.0, shape=5)), 12)
    5.0
    """
    return float(np.sqrt(w2_squared(p, q)))


def distance_matrix(laws: Iterable[MatrixLaw]) -> Array:
    """2-Wasserstein distances between all laws, in units of weight: (n, n), symmetric, with a zero diagonal.

    The laws have one shape and are lifted to the smallest family of the ladder that holds them all.  One row of pairs
    is computed at a time, so that memory grows like n and not like its square times the size of a law.

    Parameters
    ----------
    laws : iterable of n laws

    Returns
    -------
    array, (n, n)

    Raises
    ------
    PigmmError
        For no laws, laws of different shapes or of families that are not nested.

    Examples
    --------
    >>> from pigmm.models import SimpleGaussian
    >>> distance_matrix([SimpleGaussian(0.0, s * s, shape=5) for s in (1, 2, 4)])
    array([[ 0.,  5., 15.],
           [ 5.,  0., 10.],
           [15., 10.,  0.]])
    """
    whole = LawStack.of(laws)
    n = len(whole.means[0])
    upper = np.zeros((n, n))
    for k in range(n - 1):
        upper[k, k + 1 :] = np.sqrt(whole[k].squares(whole[k + 1 :]).sum(axis=-1))
    return upper + upper.T


def geodesic(p: MatrixLaw, q: MatrixLaw, t: float) -> MatrixLaw:
    """The law at fraction t of the shortest path from p (t = 0) to q (t = 1); it stays in the family.

    Parameters
    ----------
    p, q : laws
        As for :func:`w2_squared`.
    t : float
        From 0 to 1.

    Returns
    -------
    MatrixLaw
        Of the smallest family of the ladder that holds both.

    Raises
    ------
    PigmmError
        For another t, laws of different shapes or of families that are not nested.

    Examples
    --------
    >>> from pigmm.models import SimpleGaussian
    >>> round(geodesic(SimpleGaussian(0.0, 1.0, shape=5), SimpleGaussian(0.0, 4.0, shape=5), 0.5).variance, 12)
    2.25
    """
    if isinstance(t, bool) or not isinstance(t, int | float | np.number) or not 0 <= t <= 1:
        raise PigmmError.of("t", got=t, allowed="a number from 0 to 1")
    p, q = common_law(p, q)
    blocks = []
    for (mp, cp), (mq, cq) in zip(p.blocks(), q.blocks(), strict=True):
        root_p, root_q = stacked_root(cp), stacked_root(cq)
        root = (1 - t) * root_p + t * root_q @ turn(root_p, root_q)
        blocks.append(((1 - t) * mp + t * mq, root @ root.T))
    return p.from_blocks(blocks)


def noise_floor(law: MatrixLaw, R: int, R2: int | None = None) -> float:
    r"""Expected squared distance between a law and its own fit to R matrices, to leading order in 1/R.

    .. math:: E\,W_2^2 \approx \frac1R \Big[\operatorname{tr} S
              + \tfrac12 \sum_b \sum_{ij} \frac{\lambda_i \lambda_j (1 + \delta_{ij})}{\lambda_i + \lambda_j}\Big],

    S the covariance of the fitted means and λ the eigenvalues of each block: 7.5 λ/R for the 13-parameter fit near
    independent entries of variance λ, 1.5 λ/R for the two-parameter fit of :class:`pigmm.SimpleGaussian`.  Directions
    in which the law does not vary add nothing.  With ``R2`` it is the floor between two fits to independent ensembles
    of R and R2 matrices: 1/R becomes 1/R + 1/R2.  A measured squared distance of this size is no movement at all.

    The data are taken to be Gaussian; :func:`pigmm.squared_distance` measures the floor of any data.

    Parameters
    ----------
    law : a law of :mod:`pigmm.models`
    R, R2 : int
        Numbers of matrices, at least 2.

    Returns
    -------
    float
        In squared weights.

    Raises
    ------
    PigmmError
        For anything that is no law, or fewer matrices.

    Examples
    --------
    >>> from pigmm.models import SimpleGaussian
    >>> law = SimpleGaussian(0.0, 0.1, shape=10).to_diagonal()
    >>> round(noise_floor(law, 1000), 9), round(noise_floor(law, 1000, 1000), 9)
    (0.00075, 0.0015)
    """
    if not isinstance(law, MatrixLaw):
        raise PigmmError.of("law", got=type(law).__name__, allowed="a law of pigmm.models")
    per_run = 1 / checked_runs(R, 2) + (0 if R2 is None else 1 / checked_runs(R2, 2))
    blocks = law.blocks()
    total = float(np.trace(blocks[0][1]))  # the first block is the one with a fitted mean
    for _, covariance in blocks[:1] if isinstance(law, SimpleGaussian) else blocks:  # one variance fills all its blocks
        values = np.clip(np.linalg.eigvalsh(covariance), 0, None)
        sums = np.add.outer(values, values)
        ratio = values / np.where(sums > 0, sums, 1)
        total += 0.5 * float((values[:, None] * ratio * (1 + np.eye(len(values)))).sum())
    return total * per_run
