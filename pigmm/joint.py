"""One test over all bipartite invariants at once: is the two-sided Gaussian law refuted, wherever it may fail?"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import ArrayLike
from scipy import stats

from . import wick
from .errors import PigmmError
from .graphs import InvariantGraph
from .invariants import evaluate
from .irreps import Array, as_matrices
from .layout import archived_bipartite
from .models import TwoSidedGaussian
from .moments import Moments

__all__ = ["JointTest", "bipartite_moments", "joint_test", "two_sided_moments"]


@dataclass(frozen=True)
class JointTest:
    """Hotelling's T² of measured minus predicted invariants.

    ``directions`` of their ``invariants``-dimensional space could be tested; ``pvalue`` is that of
    ``T² (R − k)/(k (R − 1))`` under F(k, R − k), with k the directions and R the runs.

    Examples
    --------
    >>> test = joint_test(TwoSidedGaussian([0.1, 0.2, 0.3, 0.2, 0.2], (5, 7)).sample(300, seed=0))
    >>> test.invariants, test.runs, 1 <= test.directions <= 43
    (43, 300, True)
    """

    statistic: float
    directions: int
    invariants: int
    runs: int
    pvalue: float


def joint_test(W: ArrayLike | Moments, shape: tuple[int, int] | None = None, *, floor: float = 1e-3) -> JointTest:
    r"""Do all bipartite invariants of degree 3 and 4 together agree with the fitted two-sided Gaussian law?

    The difference e of the 43 measured and predicted means is, to first order, the mean over runs of the influence
    ``psi = I - J t``, with t the five statistics that are fitted and J the Jacobian of the predictions.  So
    ``T^2 = R e^T S^-1 e`` with S the covariance of psi.  Invariants are alike in part: S is taken in units of the
    standard deviations of psi, and directions in which its eigenvalue is below ``floor`` are left out.

    The invariants are skewed and S is estimated, so that the test is somewhat too ready: of 400 simulated Gaussian
    ensembles of 10 x 10 matrices it rejected at 5 % in 13 % for R = 100 and in 6 to 8 % for R = 1000.  Which invariant
    is to blame, :func:`pigmm.compare` says; its bootstrap is calibrated.

    Parameters
    ----------
    W : array (R, M, N), or Moments
        Weight matrices, or the moments of their 48 bipartite invariants with all co-moments
        (``archive.bipartite(epoch, layer)``).
    shape : (M, N), needed with Moments
    floor : smallest eigenvalue that is not taken for rounding

    Raises
    ------
    PigmmError
        For unusable matrices, too few of them (50), or Moments of something else.

    Examples
    --------
    >>> law = TwoSidedGaussian([0.1, 0.2, 0.3, 0.2, 0.2], (5, 7))
    >>> joint_test(law.sample(300, seed=0)).pvalue > 0.01
    True
    >>> joint_test(np.sign(law.sample(300, seed=0))).pvalue < 0.01
    True
    """
    if isinstance(floor, bool) or not isinstance(floor, int | float) or not 0 < floor < 1:
        raise PigmmError.of("floor", got=floor, allowed="a number between 0 and 1")
    if isinstance(W, Moments):
        count = len(archived_bipartite())
        sizes = isinstance(shape, tuple) and len(shape) == 2 and all(isinstance(n, int) and n > 0 for n in shape)
        if not sizes or W.comoment.shape != (count, count):
            raise PigmmError.of(
                "W", got=f"moments with co-moments of shape {W.comoment.shape}, shape {shape}",
                allowed=f"the moments of {count} bipartite invariants, and shape=(M, N)",
            )  # fmt: skip
        moments, (M, N) = W, shape  # type: ignore[misc]
    else:
        batch = as_matrices(W)
        M, N = batch.shape[1:]
        scale = np.abs(batch).max() or 1.0  # the test does not depend on the unit
        moments = bipartite_moments(batch / scale)
    R = moments.count
    if R < 50:
        raise PigmmError.of("W", got=f"{R} matrices", allowed="at least 50, for a test with dozens of dimensions")
    if not (moments.squares > 1e-24 * R * moments.mean**2).any():
        raise PigmmError.of("W", got="matrices that are all equal", allowed="matrices that differ")
    graphs = [graph for graph in archived_bipartite() if graph.degree > 2]
    fit = two_sided_moments(moments, (M, N), graphs)
    variances = np.clip([M * N * fit.squares[0] / R, *fit.mean[2:5]], 0, None)  # rounding may go below
    law = TwoSidedGaussian(np.array([fit.mean[0], *variances]), (M, N))
    J = wick.jacobian(graphs, law)
    places = [archived_bipartite().index(graph) for graph in graphs]
    cross = J @ fit.comoment[:, 5:]
    S = moments.comoment[np.ix_(places, places)] - cross - cross.T + J @ fit.comoment[:, :5] @ J.T
    rounding = 1e-5 if isinstance(W, Moments) else 1e-12  # published archives keep correlations to steps of 2^-17
    if (np.diag(S) < rounding * moments.squares[places]).any():
        raise PigmmError.of(
            "W", got="invariants that are nearly functions of their averages, so that what is left drowns in rounding",
            allowed="a mean that is not many times the spread",
            fix="Subtract a constant from all weights first: whether the law is Gaussian does not depend on it.",
        )  # fmt: skip
    S /= R - 1
    spread = np.sqrt(np.diag(S))
    values, vectors = np.linalg.eigh(S / np.outer(spread, spread))
    kept = values > floor
    e = vectors[:, kept].T @ ((moments.mean[places] - wick.expectation(graphs, law)) / spread)
    k = int(kept.sum())
    T2 = float(R * (e * e / values[kept]).sum())
    return JointTest(T2, k, len(graphs), R, float(stats.f.sf(T2 * (R - k) / (k * (R - 1)), k, R - k)))


def bipartite_moments(W: Array) -> Moments:
    """Moments of the 48 bipartite invariants of degree 1 to 4, with all co-moments.

    Examples
    --------
    >>> bipartite_moments(np.ones((5, 2, 3))).mean.shape
    (48,)
    """
    return Moments.of(evaluate(archived_bipartite(), W), len(archived_bipartite()))


def two_sided_moments(bipartite: Moments, shape: tuple[int, int], graphs: list[InvariantGraph]) -> Moments:
    """Moments of the five two-sided statistics followed by these bipartite invariants, from those of all 48."""
    order = [graph.name for graph in archived_bipartite()]
    low = [order.index(name) for name in ("01", "01.01", "01.02", "01.21", "01+01")]
    places = [order.index(graph.name) for graph in graphs]
    A = _from_sums(*shape)
    own = A @ bipartite.comoment[np.ix_(low, low)] @ A.T
    cross = A @ bipartite.comoment[np.ix_(low, places)]
    return Moments(
        bipartite.count, np.concatenate([A @ bipartite.mean[low], bipartite.mean[places]]), np.hstack([own, cross]),
        np.concatenate([np.diag(own), bipartite.squares[places]]),
    )  # fmt: skip


def _from_sums(M: int, N: int) -> Array:
    """Turns (s, sum of w², of squared row sums, of squared column sums, s²) into the five two-sided statistics."""
    rows, columns, bulk = max(M - 1, 1), max(N - 1, 1), max((M - 1) * (N - 1), 1)
    return np.array([
        [1 / (M * N), 0, 0, 0, 0],
        [0, 0, 0, 0, 1 / (M * N) ** 2],
        [0, 0, 1 / (N * rows), 0, -1 / (M * N * rows)],
        [0, 0, 0, 1 / (M * columns), -1 / (M * N * columns)],
        [0, 1 / bulk, -1 / (N * bulk), -1 / (M * bulk), 1 / (M * N * bulk)],
    ])  # fmt: skip
