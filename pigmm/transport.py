r"""Optimal transport between Gaussian matrix laws: the Bures-Wasserstein geometry, block by block.

For Gaussian laws in a common decomposition

.. math:: W_2^2(p, q) = |m_p - m_q|^2 + \sum_b n_b \, \min_U \|C_p^{1/2} - C_q^{1/2} U\|_F^2,

with U orthogonal.  The minimum equals ``tr C_p + tr C_q - 2 |C_q^{1/2} C_p^{1/2}|_nuclear`` but, computed as a norm, it
does not cancel: two equal laws are at distance zero to rounding.  ``w2`` is the distance, ``w2_squared`` its square;
the published code of arXiv:2510.05218 returns the square under the name of the distance.
"""

from __future__ import annotations

import numpy as np

from .errors import PigmmError
from .irreps import Array
from .laws import MatrixLaw, checked_runs, common_law, matrix_root
from .models import SimpleGaussian

__all__ = ["geodesic", "noise_floor", "w2", "w2_squared"]


def _aligned_roots(Cp: Array, Cq: Array) -> tuple[Array, Array]:
    """``C_p^{1/2}`` and ``C_q^{1/2} U`` with the orthogonal U that brings them closest."""
    root_p, root_q = matrix_root(Cp), matrix_root(Cq)
    left, _, right = np.linalg.svd(root_q @ root_p)
    return root_p, root_q @ (left @ right)


def w2_squared(p: MatrixLaw, q: MatrixLaw) -> float:
    """Squared 2-Wasserstein distance, in squared weights (the quantity the paper plots).

    Laws of the ladder SimpleGaussian, TwoSidedGaussian, GaussianMatrixModel may be mixed.

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
    p, q = common_law(p, q)
    total = 0.0
    for block, (mp, cp), (mq, cq) in zip(p.decomposition.blocks, p.blocks(), q.blocks(), strict=True):
        root_p, root_q = _aligned_roots(cp, cq)
        total += float(((mp - mq) ** 2).sum() + block.dim * ((root_p - root_q) ** 2).sum())
    return total


def w2(p: MatrixLaw, q: MatrixLaw) -> float:
    """2-Wasserstein distance, in units of weight: the square root of :func:`w2_squared`.

    Examples
    --------
    >>> from pigmm.models import SimpleGaussian
    >>> round(w2(SimpleGaussian(0.0, 1.0, shape=5), SimpleGaussian(0.0, 4.0, shape=5)), 12)
    5.0
    """
    return float(np.sqrt(w2_squared(p, q)))


def geodesic(p: MatrixLaw, q: MatrixLaw, t: float) -> MatrixLaw:
    """The law at fraction t of the shortest path from p (t = 0) to q (t = 1); it stays in the family.

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
        root_p, root_q = _aligned_roots(cp, cq)
        root = (1 - t) * root_p + t * root_q
        blocks.append(((1 - t) * mp + t * mq, root @ root.T))
    return p.from_blocks(blocks)


def noise_floor(law: MatrixLaw, R: int) -> float:
    r"""Expected squared distance between a law and its own fit to R matrices, to leading order in 1/R.

    .. math:: E\,W_2^2 \approx \frac1R \Big[\operatorname{tr} S
              + \tfrac12 \sum_b \sum_{ij} \frac{\lambda_i \lambda_j (1 + \delta_{ij})}{\lambda_i + \lambda_j}\Big],

    S the covariance of the fitted means and λ the eigenvalues of each block: 7.5 λ/R for the 13-parameter fit near
    independent entries of variance λ, 1.5 λ/R for the two-parameter fit of :class:`pigmm.SimpleGaussian`.
    A measured squared distance of this size is no movement at all.

    Examples
    --------
    >>> from pigmm.models import SimpleGaussian
    >>> round(noise_floor(SimpleGaussian(0.0, 0.1, shape=10).to_diagonal(), 1000), 9)
    0.00075
    """
    if not isinstance(law, MatrixLaw):
        raise PigmmError.of("law", got=type(law).__name__, allowed="a law of pigmm.models")
    R, blocks = checked_runs(R, 2), law.blocks()
    total = float(np.trace(blocks[0][1]))  # the first block is the one with a fitted mean
    for _, covariance in blocks[:1] if isinstance(law, SimpleGaussian) else blocks:  # one variance fills all its blocks
        values = np.clip(np.linalg.eigvalsh(covariance), 0, None)
        product, sums = np.outer(values, values) * (1 + np.eye(len(values))), np.add.outer(values, values)
        total += 0.5 * float((product / np.where(sums > 0, sums, 1)).sum())
    return total / R
