r"""A law of shapes: matrices stretched to one norm, and an exponent that makes some shapes more likely than others.

With :math:`q = (W-m)^T \Sigma^{-1} (W-m)` of a two-sided Gaussian law and n entries, :math:`q/n` is the loudness of a
matrix, and :math:`\hat W = m + \sqrt{n/q}\,(W - m)` has none.  Under *every* scale mixture of the Gaussian law
:math:`\hat W` is the same: uniform on an ellipsoid.  :class:`NormAndShape` leaves the norm to
:class:`~pigmm.finite_mixtures.AnyScale` and tilts the shape by a few invariants.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any

import numpy as np
from numpy.typing import ArrayLike
from scipy import optimize

from .finite_mixtures import AnyScale, any_scale
from .graphs import InvariantGraph, bipartite_graphs
from .invariants import evaluate
from .irreps import Array, as_matrices, two_sided_statistics
from .models import TwoSidedGaussian
from .tables import draw_seeds

__all__ = ["BIPARTITE", "NormAndShape", "fit_norm_and_shape", "shaped", "squares"]

BIPARTITE = bipartite_graphs(3) + bipartite_graphs(4)
STATISTICS = 4  # of the five two-sided ones: on the ellipsoid the last is a combination of the others
FEWEST_RUNS = 20
DRAWS = 5000  # samples to fit couplings on, and as many again to measure with
RIDGE = 1e-3
FEWEST = 0.015  # share of the samples that must count when reweighted


def squares(law: TwoSidedGaussian, t: Array) -> Array:
    """The Mahalanobis square, in parts by irrep, of matrices with these two-sided statistics (R, 5): (R, 4).

    Examples
    --------
    >>> law = TwoSidedGaussian([0.1, 2, 3, 4, 5], (3, 4))
    >>> squares(law, two_sided_statistics(law.sample(9000))).mean(axis=0).round(0)
    array([1., 2., 3., 6.])
    """
    dims = np.array([block.dim for block in law.decomposition.blocks])
    moments = np.column_stack([law.shape[0] * law.shape[1] * (t[:, 0] - law.parameters[0]) ** 2, t[:, 2:]])
    return moments * (dims / law.parameters[1:])


def shaped(law: TwoSidedGaussian, W: Array, t: Array) -> tuple[Array, Array]:
    """Matrices stretched about the mean to the norm that the law expects, and by how much, (R, 1, 1)."""
    stretch = np.sqrt(W[0].size / squares(law, t).sum(axis=1))[:, None, None]
    mean = law.parameters[0]
    return mean + stretch * (W - mean), stretch


def _features(law: TwoSidedGaussian, W: Array, graphs: tuple[InvariantGraph, ...]) -> Array:
    """F of the stretched matrices, (R, 4 + len(graphs))."""
    t = two_sided_statistics(W)
    shapes, stretch = shaped(law, W, t)
    c, m = stretch[:, 0, 0], law.parameters[0]
    x = m + c * (t[:, 0] - m)
    values = evaluate(graphs, shapes) if graphs else np.zeros((len(W), 0))
    return np.column_stack([x, x * x, (c * c)[:, None] * t[:, 2:STATISTICS], values])


@dataclass(frozen=True, eq=False)
class NormAndShape:
    r"""A random scale of any distribution times a law of shapes that is not uniform.

    .. math:: p(W) = p_{\text{any scale}}(W)\, e^{\theta \cdot F(\hat W)} / Z,

    F the two-sided statistics and a few cubic and quartic invariants.  All :math:`\hat W` lie on one ellipsoid, which
    is compact, so that the density exists whatever the sign of the couplings; and norm and shape are independent.

    Attributes
    ----------
    norm : AnyScale
        With a two-sided base.
    graphs : invariants among F
    theta : array
        Couplings of the standardised features, those of ``two_sided_statistics`` but the last first.
    centre, spread : arrays
        Mean and standard deviation of the features under ``norm``.
    log_normaliser, log_normaliser_error : float
        log Z and its Monte Carlo error.
    effective : share of the samples of ``norm`` that count when reweighted
    samples, weights : arrays, (n, M, N) and (n,)
        Draws of ``norm``, and weights that turn them into draws of this law.

    Examples
    --------
    >>> W = np.random.default_rng(0).uniform(-1, 1, size=(400, 4, 4))
    >>> law = fit_norm_and_shape(W, couplings=1)
    >>> law.log_likelihood(W).shape, law.predict(["01.01.01.01", "01.01"]).shape
    ((400,), (2,))
    """

    norm: AnyScale
    graphs: tuple[InvariantGraph, ...]
    theta: Array
    centre: Array
    spread: Array
    log_normaliser: float
    log_normaliser_error: float
    effective: float
    samples: Array = field(repr=False)
    weights: Array = field(repr=False)

    def log_likelihood(self, W: ArrayLike) -> Array:
        """Natural logarithm of the density at each matrix, (R,)."""
        assert isinstance(self.norm.base, TwoSidedGaussian)
        F = (_features(self.norm.base, as_matrices(W), self.graphs) - self.centre) / self.spread
        total: Array = self.norm.log_likelihood(W) + F @ self.theta - self.log_normaliser
        return total

    def predict(self, graphs: Any) -> Array:
        """Expectations of invariants up to degree 4, (n,): exact under ``norm``, by reweighting what is beyond."""
        if not self.graphs:
            return self.norm.predict(graphs)
        beyond: Array = (self.weights - 1 / len(self.weights)) @ evaluate(graphs, self.samples)
        return self.norm.predict(graphs) + beyond


def fit_norm_and_shape(
    W: ArrayLike, couplings: int = 4, *, norm: AnyScale | None = None, seed: int = 0
) -> NormAndShape:
    r"""Fit :class:`NormAndShape`: scales by :func:`any_scale`, then couplings of the shape, one by one.

    Each time the invariant is taken whose average over the stretched matrices is farthest from what the law so far
    gives, in nats of a Gaussian approximation, and all couplings are fitted again by maximum likelihood on 5000
    samples (with a ridge of 0.001).  It stops after ``couplings`` invariants, when nothing is beyond 3.3 standard
    errors (the largest of 43 normal numbers in 4 % of cases), or before less than 1.5 % of a second set of samples
    would count: on those the normaliser is measured and predictions are made.

    Parameters
    ----------
    W : array, (R, M, N)
        At least 20 matrices.
    couplings : int
        At most so many invariants.
    norm : AnyScale, optional
        The result of :func:`any_scale` if it is known already.
    seed : int
        Of the samples.

    Examples
    --------
    >>> W = np.random.default_rng(1).uniform(-1, 1, size=(300, 4, 4))
    >>> law = fit_norm_and_shape(W, 1)
    >>> [graph.name for graph in law.graphs], bool(law.theta[-1] < 0)
    (['01.01.01.01'], True)
    """
    batch = as_matrices(W, min_runs=FEWEST_RUNS)
    R, norm = len(batch), norm or any_scale(batch)
    base, seeds = norm.base, draw_seeds(seed, 3)
    assert isinstance(base, TwoSidedGaussian)
    second = base.sample(DRAWS, seed=seeds[1])
    first, other, target = (_features(base, x, BIPARTITE) for x in (base.sample(DRAWS, seed=seeds[0]), second, batch))
    centre, spread = first.mean(axis=0), first.std(axis=0)
    spread[spread < 1e-9 * np.abs(centre).max()] = np.inf  # a statistic that the ellipsoid fixes
    F, other, target = ((x - centre) / spread for x in (first, other, target))
    goal, error = target.mean(axis=0), target.std(axis=0, ddof=1) / np.sqrt(R)

    def tilted(taken: list[int]) -> tuple[Array, Array, float, float]:
        """theta and weights of greatest likelihood on F; log Z and effective share on the other samples."""
        theta = _couplings(F[:, taken], goal[taken], RIDGE)
        log_z, w = _weighed(other[:, taken], theta)
        return theta, _weighed(F[:, taken], theta)[1], log_z, 1 / float(w @ w * DRAWS)

    taken, best = list(range(STATISTICS)), tilted(list(range(STATISTICS)))
    while best[3] >= FEWEST and len(taken) < STATISTICS + couplings:
        here = best[1] @ F
        C = (F * best[1][:, None]).T @ F - np.outer(here, here)
        beta = np.linalg.solve(C[np.ix_(taken, taken)] + 1e-6 * np.eye(len(taken)), C[taken])
        free = np.diag(C) - np.einsum("sk,sk->k", C[taken], beta)
        rest = goal - here - (goal - here)[taken] @ beta
        clear = (free > 1e-3 * np.diag(C)) & (np.abs(rest) > 3.3 * np.maximum(error, np.sqrt(np.abs(free) / R)))
        clear[:STATISTICS] = False
        if not clear.any():
            break
        chosen = int(np.where(clear, rest**2 / np.maximum(free, 1e-12), 0).argmax())
        trial = tilted([*taken, chosen])
        if trial[3] < FEWEST:
            break
        taken, best = [*taken, chosen], trial
    theta, _, log_z, effective = best if len(taken) > STATISTICS else (np.zeros(STATISTICS), best[1], 0.0, 1.0)
    weights = _weighed(other[:, taken], _couplings(other[:, taken], goal[taken], 1e-6))[1]  # reach the averages
    scales = np.random.default_rng(seeds[2]).choice(norm.scales, size=DRAWS, p=norm.weights)
    samples = base.parameters[0] + np.sqrt(scales)[:, None, None] * (second - base.parameters[0])
    return NormAndShape(
        norm, tuple(BIPARTITE[k - STATISTICS] for k in taken[STATISTICS:]), theta, centre[taken], spread[taken],
        log_z, float(np.sqrt((1 / effective - 1) / DRAWS)), effective, samples, weights,
    )  # fmt: skip


def _weighed(F: Array, theta: Array) -> tuple[float, Array]:
    """log Z and weights of samples tilted by exp(theta . F)."""
    x = F @ theta
    top = float(x.max())
    w = np.exp(x - top)
    return top + float(np.log(w.mean())), w / w.sum()


def _couplings(F: Array, goal: Array, ridge: float) -> Array:
    """theta of greatest likelihood on samples F, given the averages that are wanted."""

    def objective(theta: Array) -> tuple[float, Array]:
        log_z, w = _weighed(F, theta)
        return log_z - float(goal @ theta - ridge / 2 * theta @ theta), w @ F - goal + ridge * theta

    theta: Array = optimize.minimize(
        objective, np.zeros(len(goal)), jac=True, method="BFGS", options={"gtol": 1e-7}
    ).x  # fmt: skip
    return theta
