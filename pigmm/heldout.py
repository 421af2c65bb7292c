r"""Where the Gaussian law fails, and which law predicts networks that no fit has seen.

Three questions about an ensemble of weight matrices, each answered by a table with errors:

- **When and how much?**  :func:`misfit`: the joint misfit of the 43 bipartite invariants by epoch, as an effect size
  :math:`\delta`, the distance of measured and predicted averages in standard deviations of single networks, and as a
  test.
- **Which graphs, and is it the norm?**  :func:`carriers`: the invariants that carry it, one after the other;
  :func:`norm_and_shape`: the misfit that is left when every matrix is stretched to the same norm.
- **Which law is better?**  :func:`held_out`: laws fitted to one half of the networks, judged on the other half.

Beside the laws of :mod:`pigmm.models`, :mod:`pigmm.maxent` and :mod:`pigmm.mixtures` three more compete:
:class:`AnyScale`, a Gaussian law whose matrices have a random scale of *any* distribution (Kiefer and Wolfowitz 1956),
the best that any scale mixture can do; :class:`Populations`, a few sorts of networks with a two-sided law each; and
:class:`NormAndShape`, any scale for the norm and an exponent of invariants for the shape.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import ArrayLike
from scipy.special import logsumexp

from . import wick
from .action import fit_action
from .errors import PigmmError
from .graphs import InvariantGraph, bipartite_graphs, invariant_graphs
from .invariants import evaluate
from .irreps import Array, as_matrices, two_sided_statistics
from .laws import MatrixLaw
from .maxent import MaximumEntropyLaw, maximum_entropy
from .mixture_fits import fit_mixture
from .mixtures import ScaleMixture
from .models import GaussianMatrixModel, LabelledRowGaussian, SimpleGaussian, TwoSidedGaussian
from .response import deviations
from .tables import draw_seeds, require_pandas

if TYPE_CHECKING:
    import pandas as pd

    from .archive import Archive

__all__ = [
    "LAWS", "AnyScale", "HeldOut", "NormAndShape", "Populations", "any_scale", "carriers", "fit_norm_and_shape",
    "held_out", "misfit", "norm_and_shape", "populations", "predict",
]  # fmt: skip

LAWS = {
    "independent": "independent weights",
    "5": "5 parameters",
    "13": "13 parameters",
    "action": "quartic law",
    "scale": "lognormal scale",
    "any scale": "any scale",
    "populations": "populations",
    "shape": "norm and shape",
    "labelled": "labelled rows",
    "labelled scale": "labelled rows, any scale",
}
"""The competitors of :func:`held_out`, and what tables and figures call them."""

BIPARTITE = bipartite_graphs(3) + bipartite_graphs(4)
ALL = invariant_graphs(3) + invariant_graphs(4)
PLACES = np.array([ALL.index(graph) for graph in BIPARTITE])
FEWEST = 20  # matrices for which an action or a scale can be fitted
Law = Any  # has log_likelihood; see predict


# ---- two more laws ---------------------------------------------------------------------------------------------------


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
    >>> law = AnyScale(SimpleGaussian(0, 1, (2, 2)), np.array([0.5, 1.5]), np.array([0.5, 0.5]))
    >>> predict(["01.01+01.01"], law).round(9)               # (n² + 2n) E[s²] with n = 4
    array([30.])
    """

    base: MatrixLaw
    scales: Array
    weights: Array

    def log_likelihood(self, W: ArrayLike) -> Array:
        """Natural logarithm of the density at each matrix, (R,)."""
        terms = _scale_terms(self.base, _square(self.base, W), np.log(self.scales))
        with np.errstate(divide="ignore"):  # a scale of no weight
            total: Array = logsumexp(terms + np.log(self.weights), axis=1)
        return total


@dataclass(frozen=True, eq=False)
class Populations:
    """Networks of a few sorts: with probability ``weights[k]`` a matrix follows ``laws[k]``.

    Examples
    --------
    >>> quiet, loud = (TwoSidedGaussian([0, v, v, v, v], (2, 2)) for v in (0.5, 1.5))
    >>> predict(["01.01+01.01"], Populations((quiet, loud), np.array([0.5, 0.5]))).round(9)
    array([30.])
    """

    laws: tuple[TwoSidedGaussian, ...]
    weights: Array

    def log_likelihood(self, W: ArrayLike) -> Array:
        """Natural logarithm of the density at each matrix, (R,)."""
        terms = np.column_stack([law.log_likelihood(W) for law in self.laws])
        total: Array = logsumexp(terms + np.log(self.weights), axis=1)
        return total


def predict(graphs: Any, law: Law) -> Array:
    """Expectations of invariants up to degree 4 under any law of this page, (n,); exact save for laws of samples.

    Examples
    --------
    >>> predict(["01.01"], ScaleMixture(TwoSidedGaussian([0, 1, 1, 1, 1], (4, 5)), "matrix", 0.5)).round(9)
    array([20.])
    """
    if isinstance(law, Populations):
        mixed: Array = law.weights @ np.stack([wick.expectation(graphs, one) for one in law.laws])
        return mixed
    if isinstance(law, AnyScale):
        return _by_scale(graphs, law.base, float(law.weights @ law.scales), float(law.weights @ law.scales**2))
    if isinstance(law, NormAndShape):
        if not law.graphs:
            return predict(graphs, law.norm)
        return predict(graphs, law.norm) + (law.weights - 1 / len(law.weights)) @ evaluate(graphs, law.samples)
    if isinstance(law, ScaleMixture):
        if law.kind != "matrix":
            raise PigmmError.of("law", got=f"a scale for each {law.kind}", allowed="one scale for each matrix")
        return _by_scale(graphs, law.base, 1.0, 1 + law.spread)
    return law.predict(graphs) if isinstance(law, MaximumEntropyLaw) else wick.expectation(graphs, law)


def _by_scale(graphs: Any, base: MatrixLaw, first: float, second: float) -> Array:
    """E over a random scale with these two moments: up to degree 4 every expectation is a quadratic function of it."""
    at = [wick.expectation(graphs, _stretched(base, s)) for s in (0.5, 1.0, 1.5)]
    curve = 2 * (at[0] - 2 * at[1] + at[2])
    slope = at[2] - at[0] - 2 * curve
    value: Array = at[1] - slope - curve + slope * first + curve * second
    return value


def _stretched(law: MatrixLaw, s: float) -> MatrixLaw:
    return law.from_blocks([(mean, s * covariance) for mean, covariance in law.blocks()])


def _square(law: MatrixLaw, W: ArrayLike) -> Array:
    """Mahalanobis square of each matrix under a Gaussian law, (R,): n on average."""
    n = law.shape[0] * law.shape[1]
    square: Array = n - 2 * (law.log_likelihood(W) + law.entropy())
    return square


def _scale_terms(law: MatrixLaw, square: Array, log_scales: Array) -> Array:
    """Log density of each matrix for each scale, (R, k)."""
    n = law.shape[0] * law.shape[1]
    terms: Array = 0.5 * n * (1 - log_scales) - law.entropy() - 0.5 * square[:, None] * np.exp(-log_scales)
    return terms


def any_scale(
    W: ArrayLike, family: type[MatrixLaw] = TwoSidedGaussian, *, spacing: float = 0.15, tolerance: float = 1e-4
) -> AnyScale:
    r"""Maximum likelihood for a Gaussian law with a random scale of any distribution.

    The scales stand on a grid of ``spacing`` in log s from the quietest to the loudest matrix (one matrix of 100
    entries tells its own log s to 0.14); their probabilities and the Gaussian law are found by expectation and
    maximisation, until the mean log-likelihood grows by less than ``tolerance`` nats in ten rounds.

    Parameters
    ----------
    W : array, (R, M, N)
        As many matrices as ``family`` needs.
    family : class of laws
        SimpleGaussian, TwoSidedGaussian, GaussianMatrixModel or LabelledRowGaussian.

    Examples
    --------
    >>> truth = ScaleMixture(TwoSidedGaussian([0, 1, 1, 1, 1], (6, 6)), "matrix", 0.3)
    >>> law = any_scale(truth.sample(600))
    >>> mean = law.weights @ law.scales
    >>> bool(abs(law.weights @ law.scales**2 / mean**2 - 1.3) < 0.1)
    True
    """
    batch = as_matrices(W, min_runs=2)
    law: MatrixLaw = family.fit(batch)
    square = _square(law, batch)
    low, high = (float(np.log(x / batch[0].size)) for x in (square.min(), square.max()))
    grid = np.arange(low, high + spacing, spacing)
    weights, before = np.full(len(grid), 1 / len(grid)), -np.inf
    for _ in range(100):
        terms = _scale_terms(law, square, grid)
        for _ in range(10):
            joint = terms + np.log(weights + 1e-300)
            total = logsumexp(joint, axis=1)
            share = np.exp(joint - total[:, None])
            weights = share.mean(axis=0)
        if total.mean() - before < tolerance:
            break
        before = total.mean()
        law = _weighted_fit(law, batch, share @ np.exp(-grid))
        square = _square(law, batch)
    return AnyScale(law, np.exp(grid), weights)


def _weighted_fit(law: MatrixLaw, W: Array, weights: Array) -> MatrixLaw:
    """The M-step: mean sum(w W)/sum(w) and covariance sum(w (W - m)(W - m)ᵀ)/R, as the symmetry of the law allows."""
    mean = np.einsum("r,rij->ij", weights, W) / weights.sum()
    for _ in range(2):  # first only to project the mean: a fit to mirror images m ± x has mean m
        away = np.sqrt(weights)[:, None, None] * (W - mean)
        law = law.refit(np.concatenate([mean + away, mean - away]))
        mean = law.from_blocks([(m, 0 * c) for m, c in law.blocks()]).sample(1)[0]
    return law


def populations(W: ArrayLike, count: int = 2, *, tolerance: float = 1e-6) -> Populations:
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
        total = logsumexp(joint, axis=1)
        share = np.exp(joint - total[:, None])
        if abs(total.mean() - before) < tolerance:
            break
        before = total.mean()
    laws = tuple(TwoSidedGaussian(np.array([m, *row]), (M, N)) for m, row in zip(means, v, strict=True))
    return Populations(laws, size / size.sum())


# ---- norm and shape --------------------------------------------------------------------------------------------------


@dataclass(frozen=True, eq=False)
class NormAndShape:
    r"""A random scale of any distribution times a law of shapes that is not uniform.

    .. math:: p(W) = p_{\text{any scale}}(W)\, e^{\theta \cdot F(\hat W)} / Z,
       \qquad \hat W = m + \sqrt{n/q}\,(W - m),

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
        F = (_shape_features(self.norm.base, as_matrices(W), self.graphs) - self.centre) / self.spread
        total: Array = self.norm.log_likelihood(W) + F @ self.theta - self.log_normaliser
        return total


def fit_norm_and_shape(
    W: ArrayLike, couplings: int = 4, *, norm: AnyScale | None = None, draws: int = 5000, seed: int = 0,
    fewest: float = 0.015,
) -> NormAndShape:  # fmt: skip
    r"""Fit :class:`NormAndShape`: scales by :func:`any_scale`, then couplings of the shape, one by one.

    ``norm`` is the result of :func:`any_scale` if it is known already.

    Each time the invariant is taken whose average over the stretched matrices is farthest from what the law so far
    gives, in nats of a Gaussian approximation, and all couplings are fitted again by maximum likelihood on ``draws``
    samples (with a ridge of 0.001).  It stops after ``couplings`` invariants, when nothing is beyond 3.3 standard
    errors (the largest of 43 normal numbers in 4 % of cases), or before less than the share ``fewest`` of a second set
    of samples would count: on those the normaliser is measured and predictions are made.

    Examples
    --------
    >>> W = np.random.default_rng(1).uniform(-1, 1, size=(300, 4, 4))
    >>> law = fit_norm_and_shape(W, 1)
    >>> [graph.name for graph in law.graphs], bool(law.theta[-1] < 0)
    (['01.01.01.01'], True)
    """
    batch = as_matrices(W, min_runs=FEWEST)
    R, norm = len(batch), norm or any_scale(batch)
    seeds = draw_seeds(seed, 3)
    first, second = (norm.base.sample(draws, seed=s) for s in seeds[:2])
    F, target = (_shape_features(norm.base, x, BIPARTITE) for x in (first, batch))
    centre, spread = F.mean(axis=0), F.std(axis=0)
    spread[spread < 1e-9 * np.abs(centre).max()] = np.inf  # a statistic that the ellipsoid fixes
    F, target = (F - centre) / spread, (target - centre) / spread
    F2 = (_shape_features(norm.base, second, BIPARTITE) - centre) / spread
    goal, error = target.mean(axis=0), target.std(axis=0, ddof=1) / np.sqrt(R)
    taken = list(range(STATISTICS))
    best = _tilted(F[:, taken], F2[:, taken], goal[taken])
    if best[3] >= fewest:
        for _ in range(couplings):
            here = best[4] @ F
            C = (F * best[4][:, None]).T @ F - np.outer(here, here)
            beta = np.linalg.solve(C[np.ix_(taken, taken)] + 1e-6 * np.eye(len(taken)), C[taken])
            free = np.diag(C) - np.einsum("sk,sk->k", C[taken], beta)
            rest = goal - here - (goal - here)[taken] @ beta
            clear = (free > 1e-3 * np.diag(C)) & (np.abs(rest) > 3.3 * np.maximum(error, np.sqrt(np.abs(free) / R)))
            clear[: STATISTICS + 1] = False
            if not clear.any():
                break
            chosen = int(np.where(clear, rest**2 / np.maximum(free, 1e-12), 0).argmax())
            trial = _tilted(F[:, [*taken, chosen]], F2[:, [*taken, chosen]], goal[[*taken, chosen]])
            if trial[3] < fewest:
                break
            taken, best = [*taken, chosen], trial
    if len(taken) == STATISTICS:  # nothing taken: no tilt
        best, goal = (np.zeros(STATISTICS), best[1], 0.0, 1.0, best[4]), 0 * goal
    theta, _, log_z, effective = best[:4]
    weights = _tilted(F2[:, taken], F2[:, taken], goal[taken], 1e-6)[1]  # for predictions: with the averages of F
    scales = np.random.default_rng(seeds[2]).choice(norm.scales, size=draws, p=norm.weights)
    centred = second - norm.base.parameters[0]
    samples = norm.base.parameters[0] + np.sqrt(scales)[:, None, None] * centred
    graphs = tuple(BIPARTITE[k - STATISTICS - 1] for k in taken[STATISTICS:])
    return NormAndShape(
        norm, graphs, theta, centre[taken], spread[taken], log_z, float(np.sqrt((1 / effective - 1) / draws)),
        effective, samples, weights,
    )  # fmt: skip


STATISTICS = 4  # of the five two-sided ones: on the ellipsoid the last is a combination of the others


def _shape_features(law: MatrixLaw, W: Array, graphs: tuple[InvariantGraph, ...]) -> Array:
    shaped = _shaped(law, W)
    values = evaluate(graphs, shaped) if graphs else np.zeros((len(W), 0))
    t = two_sided_statistics(shaped)
    return np.concatenate([t if graphs is BIPARTITE else t[:, :STATISTICS], values], axis=1)


def _shaped(law: MatrixLaw, W: Array) -> Array:
    """Matrices stretched about the mean to the norm that the law expects."""
    stretch = np.sqrt(W[0].size / _square(law, W))[:, None, None]
    mean = law.parameters[0]
    shaped: Array = mean + stretch * (W - mean)
    return shaped


def _tilted(F: Array, other: Array, goal: Array, ridge: float = 1e-3) -> tuple[Array, Array, float, float, Array]:
    """theta of greatest likelihood on samples F; on the others: weights, log Z, effective share; weights on F."""

    def weigh(theta: Array, F: Array) -> tuple[float, Array]:
        x = F @ theta
        w = np.exp(x - x.max())
        return float(x.max() + np.log(w.mean())), w / w.sum()

    theta = np.zeros(F.shape[1])
    log_z, w = weigh(theta, F)
    for _ in range(100):
        here = w @ F
        slope = goal - here - ridge * theta
        curve = (F * w[:, None]).T @ F - np.outer(here, here) + ridge * np.eye(len(theta))
        step = np.linalg.solve(curve, slope)
        if (rise := float(slope @ step)) < 1e-10:
            break
        value, size = goal @ theta - log_z - ridge / 2 * theta @ theta, 1.0
        while size > 1e-6:
            near = theta + size * step
            log_z, w = weigh(near, F)
            if goal @ near - log_z - ridge / 2 * near @ near >= value + 1e-4 * size * rise:
                break
            size /= 2
        theta = theta + size * step
    log_other, v = weigh(theta, other)
    return theta, v, log_other, float(1 / (v @ v) / len(v)), w


# ---- where and when, which graphs, norm or shape ---------------------------------------------------------------------


def misfit(archive: Archive, runs: str = "all") -> pd.DataFrame:
    r"""By epoch and layer: how far the 43 bipartite averages are from the fitted two-sided Gaussian law.

    ``effect``: root mean square of the paper's effect size; ``z``: root mean square of the 43 z scores (about 1
    for a true law).
    With 50 networks or more the joint test: ``T2``, ``directions``, ``p``, and ``delta``: the misfit of all invariants
    together in standard deviations of single networks, in the direction where it is largest,
    :math:`\delta^2 = e^T S^{-1} e`, corrected for what noise adds; ``delta_se`` is
    :math:`\sqrt{(1 + \delta^2/2)/R}`, as for normal contributions of the networks.  With fewer than 43 directions
    (heavy tails make invariants so alike that an archive cannot tell them apart) delta is a lower bound.
    """
    rows: list[dict[str, object]] = []
    R = archive.count(runs)
    for layer in range(len(archive.layers)):
        for epoch in range(archive.epochs + 1):
            table = archive.comparison(epoch, layer, runs, TwoSidedGaussian, BIPARTITE)
            row: dict[str, object] = {"epoch": epoch, "layer": f"L{layer + 1}"}
            row |= {"effect": _rms(table["ratio"].to_numpy()), "z": _rms(table["z"].to_numpy())}
            row |= dict.fromkeys(("T2", "directions", "p", "delta", "delta_se"), np.nan)
            if R >= 50:
                test = archive.joint(epoch, layer, runs)
                row |= {"T2": test.statistic, "directions": test.directions, "p": test.pvalue}
                delta = _delta(test.statistic, test.directions, R)
                row |= {"delta": delta, "delta_se": np.sqrt((1 + delta**2 / 2) / R)}
            rows.append(row)
    return _frame(rows)


def carriers(W: ArrayLike, terms: int = 8) -> pd.DataFrame:
    r"""The invariants that carry the misfit: greedy choice of those that explain most of the joint :math:`T^2`.

    Each row adds the invariant with which the chosen ones reach the largest :math:`T^2`.  ``share``: the part of
    :math:`\delta^2` of all 43 that the chosen ones have, both corrected for noise; ``share_se`` its standard error from
    the influence of every network; ``z`` the score of the invariant alone; ``connected``: the share of all connected
    invariants together, the same in every row.

    Examples
    --------
    >>> W = np.random.default_rng(0).uniform(-1, 1, size=(300, 5, 5))
    >>> table = carriers(W, 1)
    >>> table["name"][0], bool(table["share"][0] > 0.8)
    ('01.01.01.01', True)
    """
    batch = as_matrices(W, min_runs=50)
    if isinstance(terms, bool) or not isinstance(terms, int | np.integer) or not 1 <= terms <= len(BIPARTITE):
        raise PigmmError.of("terms", got=terms, allowed=f"1 to {len(BIPARTITE)}")
    e, psi = deviations(batch, BIPARTITE)
    whole = _Distance(e, psi)
    connected = _Distance(e[_CONNECTED], psi[:, _CONNECTED])
    taken: list[int] = []
    rows: list[dict[str, object]] = []
    for _ in range(int(terms)):
        left = [k for k in range(len(BIPARTITE)) if k not in taken]
        found = [_Distance(e[[*taken, k]], psi[:, [*taken, k]]) for k in left]
        best = int(np.argmax([d.T2 for d in found]))
        taken.append(left[best])
        share, error = _ratio(found[best], whole)
        z = float(e[left[best]] / psi[:, left[best]].std(ddof=1) * np.sqrt(len(batch)))
        rows.append({
            "terms": len(taken), "name": BIPARTITE[left[best]].name, "z": z, "share": share, "share_se": error,
            "connected": _ratio(connected, whole)[0],
        })  # fmt: skip
    return _frame(rows)


_CONNECTED = np.array([k for k, graph in enumerate(BIPARTITE) if graph.connected])


def norm_and_shape(W: ArrayLike) -> dict[str, float]:
    r"""Is the misfit one of norms, or of shapes?  Stretch every matrix to the same norm and test again.

    With :math:`q = (W-m)^T \Sigma^{-1} (W-m)` of the fitted two-sided law and n entries, :math:`q/n` is the loudness
    of a matrix, and :math:`\hat W = m + \sqrt{n/q}\,(W - m)` has none.  Under *every* scale mixture of the Gaussian law
    :math:`\hat W` is the same: uniform on an ellipsoid, where terms of Wick's sum with two pairs are smaller by
    :math:`n/(n+2)`.  So the 43 averages of :math:`\hat W` test shape alone.  Their errors count that m and
    :math:`\Sigma` were fitted.

    Returns
    -------
    dict
        ``spread``: variance of q over the Gaussian 2n (1: norms as they should be), with ``spread_se``; ``delta`` and
        ``delta_shape``: joint misfit before and after, as in :func:`misfit` but in all directions, with ``delta_se``
        and ``delta_shape_se`` from the influence of every network; ``T2_shape``, ``directions``, ``p_shape``: the test.

    Examples
    --------
    >>> loud = ScaleMixture(TwoSidedGaussian([0, 1, 1, 1, 1], (5, 5)), "matrix", 0.3).sample(400)
    >>> found = norm_and_shape(loud)
    >>> bool(found["spread"] > 2), bool(found["p_shape"] > 0.01)
    (True, True)
    """
    batch = as_matrices(W, min_runs=50)
    R, n = len(batch), batch[0].size
    law = TwoSidedGaussian.fit(batch)
    before, after = _Distance(*deviations(batch, BIPARTITE, law)), _Distance(*_shape_deviations(batch, law))
    square = _square(law, batch)
    off = (square - n) ** 2 / (2 * n)
    return {
        "spread": float(off.mean()), "spread_se": float(off.std(ddof=1) / np.sqrt(R)), "delta": before.delta,
        "delta_se": before.error, "delta_shape": after.delta, "delta_shape_se": after.error, "T2_shape": after.T2,
        "directions": after.directions, "p_shape": after.pvalue,
    }  # fmt: skip


def _shape_deviations(batch: Array, law: TwoSidedGaussian) -> tuple[Array, Array]:
    """Averages of the stretched matrices minus those of an ellipsoid, (43,), and the influence of each matrix."""
    t, n, (m, v00, *_) = two_sided_statistics(batch), batch[0].size, law.parameters
    moved = np.column_stack([t[:, 0] - m, n * (t[:, 0] - m) ** 2 - v00, t[:, 2:] - law.parameters[2:]])

    def values(parameters: Array) -> Array:
        near = TwoSidedGaussian(parameters, law.shape)
        difference: Array = evaluate(BIPARTITE, _shaped(near, batch)) - _by_scale(BIPARTITE, near, 1.0, n / (n + 2))
        return difference

    here = values(law.parameters)
    steps = 1e-3 * np.array([np.sqrt(v00 / n), *law.parameters[1:]])
    slopes = np.array([
        (values(law.parameters + d) - values(law.parameters - d)).mean(axis=0) / (2 * d.sum()) for d in np.diag(steps)
    ])  # fmt: skip
    e = here.mean(axis=0)
    return e, here - e + moved @ slopes


class _Distance:
    """Mahalanobis distance of deviations e (k,) with influences psi (R, k): T², noise-corrected delta, influence."""

    def __init__(self, e: Array, psi: Array, floor: float = 1e-8) -> None:
        spread = psi.std(axis=0, ddof=1)
        values, vectors = np.linalg.eigh(np.corrcoef(psi.T).reshape(len(e), len(e)))
        kept = values > floor
        self.runs, self.directions = len(psi), int(kept.sum())
        root = vectors[:, kept] / np.sqrt(values[kept])
        white = (e / spread) @ root
        self.square = float(white @ white)
        self.T2 = self.runs * self.square
        x = (psi / spread) @ (root @ white)  # projection on the direction of the misfit
        self.influence = 2 * x - (x * x - (x * x).mean())  # of e^T S^-1 e, by the product rule

    @property
    def noise_free(self) -> float:
        return _noise_free(self.T2, self.directions, self.runs)

    @property
    def delta(self) -> float:
        return _delta(self.T2, self.directions, self.runs)

    @property
    def error(self) -> float:
        """Standard error of delta; that of noise alone where delta is not clear of zero."""
        noise = self.runs**-0.5
        slope = self.influence.std(ddof=1) * noise / (2 * max(self.delta, noise))
        return float(max(slope, noise))

    @property
    def pvalue(self) -> float:
        from scipy import stats

        R, k = self.runs, self.directions
        return float(stats.f.sf(self.T2 * (R - k) / (k * (R - 1)), k, R - k))


def _noise_free(T2: float, k: int, R: int) -> float:
    """Unbiased estimate of e^T S^-1 e under a Gaussian law of the averages (noncentral F)."""
    return T2 * (R - k - 2) / (R * (R - 1)) - k / R


def _delta(T2: float, k: int, R: int) -> float:
    return float(np.sqrt(max(_noise_free(T2, k, R), 0.0)))


def _ratio(part: _Distance, whole: _Distance) -> tuple[float, float]:
    """Noise-corrected share of the squared distance, and its standard error."""
    if whole.noise_free <= 0:
        return np.nan, np.nan
    influence = (part.influence - part.square / whole.square * whole.influence) / whole.square
    return part.noise_free / whole.noise_free, float(influence.std(ddof=1) / np.sqrt(part.runs))


# ---- the competition -------------------------------------------------------------------------------------------------


@dataclass(frozen=True, eq=False)
class HeldOut:
    """What :func:`held_out` found.

    Attributes
    ----------
    table : DataFrame
        One row a law, see :func:`held_out`.
    nats : DataFrame, (R, laws)
        Held-out log-likelihood of every network minus that of the 5-parameter law, averaged over splits.
    left : DataFrame
        What each law leaves unexplained, one row an invariant: ``name``, and a z for each law.
    chosen : dict
        The invariants that the quartic law ("action") and the "shape" law of each fit have in their exponents.
    """

    table: pd.DataFrame
    nats: pd.DataFrame = field(repr=False)
    left: pd.DataFrame = field(repr=False)
    chosen: dict[str, tuple[tuple[str, ...], ...]] = field(default_factory=dict)


def held_out(
    W: ArrayLike, *, labelled: bool = False, splits: int = 1, couplings: int = 4, groups: int = 2, draws: int = 1000,
    split_seed: int = 0,
) -> HeldOut:  # fmt: skip
    r"""Fit every law to half of the networks, judge it on the other half, and the other way round.

    Parameters
    ----------
    W : array, (R, D, D)
        At least 24 square matrices.
    labelled : bool
        Whether rows carry labels, as in the last layer: then two laws that know them take part.
    splits : int
        How often the networks are cut in halves at random; scores are averages.
    couplings : int
        At most so many invariants in the exponents of the quartic law and of the shape, chosen on the training half.
        Of the selected ones the quartic law takes as many, in order, as make a density that exists; perhaps none.
    groups : int
        Number of populations.
    draws : int
        Samples for the quartic law.
    split_seed : int
        Of splits and draws.

    Returns
    -------
    HeldOut
        ``table`` has for each law (a key of :data:`LAWS`; laws that so few networks cannot be fitted with are left out)

        - ``parameters``, on average over fits (of ``any scale`` those of its base; the scales are a curve), and
          ``effective``: how many samples the predictions of the law of norm and shape rest on, infinite for others;
        - ``nats``, ``nats_se``: held-out log-likelihood for each network above the 5-parameter law, from differences
          network by network; the errors of sampled normalisers are added in squares;
        - ``median``, ``wins``: median difference, and share of networks that the law predicts better;
        - ``inside``: the same mean on the networks that were fitted; ``split_sd``: standard deviation of ``nats`` over
          the fits, that is over training halves;
        - ``effect``, ``effect_se``: root mean square over the 348 cubic and quartic invariants of the paper's effect
          size, |held-out average - predicted| / standard deviation over networks;
        - ``z``, ``z_se``: root mean square over the 43 bipartite ones of the z of what the law claims *beyond* its
          training Gaussian, against the deviations of the held-out networks from *their* Gaussian fit: chance
          differences of mean and variances drop out, a true law has about 1.

        The law ``averages`` is no law: it repeats the averages of the training half.  Its ``effect`` is what sampling
        noise of two halves leaves to a model that is always right, about :math:`2/\sqrt R`; its ``z`` about
        :math:`\sqrt 2`.

    Raises
    ------
    PigmmError
        For unusable or too few matrices, and other arguments.

    Examples
    --------
    >>> truth = ScaleMixture(TwoSidedGaussian([0, 1, 1, 1, 1], (5, 5)), "matrix", 0.3)
    >>> table = held_out(truth.sample(400), couplings=1).table.set_index("law")
    >>> bool(table.nats["scale"] > 5 * table.nats_se["scale"] > 0), bool(table.z["scale"] < table.z["5"])
    (True, True)
    """
    batch = as_matrices(W, square=True, min_dim=4, min_runs=24)
    for name, value, low in (("splits", splits, 1), ("couplings", couplings, 0), ("populations", groups, 1)):
        if isinstance(value, bool) or not isinstance(value, int | np.integer) or value < low:
            raise PigmmError.of(name, got=value, allowed=f"an integer of at least {low}")
    if groups > (most := len(batch) // 20):
        raise PigmmError.of("populations", got=groups, allowed=f"at most {most} for {len(batch)} networks")
    pd = require_pandas()
    R, nats, fits = len(batch), {}, []  # type: ignore[var-annotated]
    for seed in draw_seeds(split_seed, int(splits)):
        order = np.random.default_rng(seed).permutation(R)
        for train, test in ((order[: R // 2], order[R // 2 :]), (order[R // 2 :], order[: R // 2])):
            found = _judged(batch[train], batch[test], labelled, int(couplings), int(groups), draws, split_seed)
            for law, one in found.items():
                if "gain" in one:
                    nats.setdefault(law, np.zeros(R))[test] += one["gain"] / splits
            fits.append(found)
    rows, left = [], pd.DataFrame({"name": [graph.name for graph in BIPARTITE]})
    for law in fits[0]:
        some = [found[law] for found in fits]
        row = {key: np.mean([one[key] for one in some]) for key in ("parameters", "effective")} | {"law": law}
        if law in nats:
            gain = nats[law]
            sampled = np.sqrt(np.mean([one["sampled"] ** 2 for one in some]))
            row |= {
                "nats": gain.mean(), "nats_se": np.hypot(gain.std(ddof=1) / np.sqrt(R), sampled),
                "median": np.median(gain), "wins": (gain > 0).mean(),
                "inside": np.mean([one["inside"] for one in some]),
                "split_sd": np.std([one["gain"].mean() for one in some], ddof=1),
            }  # fmt: skip
        for key in ("effect", "z"):
            row[key] = np.mean([one[key] for one in some])
            row[f"{key}_se"] = np.mean([one[f"{key}_se"] for one in some]) / np.sqrt(2)  # two disjoint halves
        rows.append(row)
        gap, variance = (sum(one[key] for one in some) for key in ("gap", "variance"))
        left[law] = gap / np.sqrt(variance * splits)  # splits share the networks: average, no new information
    chosen: dict[str, Any] = {
        law: tuple(one[law]["graphs"] for one in fits) for law in ("action", "shape") if law in fits[0]
    }
    return HeldOut(pd.DataFrame(rows), pd.DataFrame(nats), left, chosen)


def _competitors(
    train: Array, labelled: bool, couplings: int, groups: int, draws: int, seed: int
) -> Iterator[tuple[str, float, Law]]:
    """Name, number of parameters and fit of every law that these networks can be fitted with."""
    five = TwoSidedGaussian.fit(train)
    yield "independent", 2, SimpleGaussian.fit(train)
    yield "5", 5, five
    yield "13", 13, GaussianMatrixModel.fit(train)
    norm = any_scale(train)
    yield "any scale", 5, norm
    if len(train) >= FEWEST:
        law = _quartic(train, couplings, draws, seed)
        yield "action", 5 + (len(law.action.graphs) if law else 0), law or five
        yield "scale", 6, fit_mixture(train, "matrix", method="likelihood")
        shape = fit_norm_and_shape(train, couplings, norm=norm, seed=seed)
        yield "shape", 5 + (len(shape.theta) if shape.graphs else 0), shape
    yield "populations", 6 * groups - 1, populations(train, groups)
    M = train.shape[1]
    if labelled and len(train) > 2 * M:
        yield "labelled", M + M * (M + 1), LabelledRowGaussian.fit(train)
        yield "labelled scale", M + M * (M + 1), any_scale(train, LabelledRowGaussian)


def _quartic(train: Array, couplings: int, draws: int, seed: int) -> MaximumEntropyLaw | None:
    """The law of maximum entropy with as many of the selected invariants as make a density."""
    selected = fit_action(train, max_terms=couplings, seed=seed).graphs
    for count in range(len(selected), 0, -1):
        action = fit_action(train, selected[:count])
        if action.exists:
            try:
                return maximum_entropy(action, draws, seed)
            except PigmmError:  # first order exists, the law does not: averages that no such density reaches
                continue
    return None


def _judged(train: Array, test: Array, labelled: bool, *options: int) -> dict[str, dict[str, Any]]:
    """Every law fitted to ``train`` and its scores on ``test``."""
    values = evaluate(ALL, test)
    average, spread = values.mean(axis=0), values.std(axis=0, ddof=1)
    e, psi = deviations(test, BIPARTITE, TwoSidedGaussian.fit(test))
    error = psi.std(axis=0, ddof=1) / np.sqrt(len(test))
    five = TwoSidedGaussian.fit(train)
    expected, reference = wick.expectation(BIPARTITE, five), (five.log_likelihood(test), five.log_likelihood(train))
    repeated = evaluate(ALL, train).mean(axis=0)

    def scores(predicted: Array) -> dict[str, Any]:
        away = (average - predicted) / spread
        gap = e - (predicted[PLACES] - expected)
        return {
            "effect": _rms(away), "effect_se": _rms_error(away, (values - average) / spread),
            "z": _rms(gap / error), "z_se": _rms_error(gap / error, psi / error), "gap": gap, "variance": error**2,
        }  # fmt: skip

    found: dict[str, dict[str, Any]] = {}
    for name, count, law in _competitors(train, labelled, *options):
        sampled = law.log_normaliser_error if isinstance(law, MaximumEntropyLaw | NormAndShape) else 0.0
        exponent = law.action if isinstance(law, MaximumEntropyLaw) else law
        graphs = tuple(g.name for g in getattr(exponent, "graphs", ()))
        found[name] = scores(predict(ALL, law)) | {
            "parameters": count, "gain": law.log_likelihood(test) - reference[0], "sampled": sampled, "graphs": graphs,
            "effective": len(law.weights) * law.effective if isinstance(law, NormAndShape) else np.inf,
            "inside": float((law.log_likelihood(train) - reference[1]).mean()),
        }  # fmt: skip
    found["averages"] = scores(repeated) | {"parameters": np.nan, "sampled": 0.0, "effective": np.inf}
    return found


def _rms(x: Array) -> float:
    return float(np.sqrt(np.mean(x * x)))


def _rms_error(x: Array, influence: Array) -> float:
    """Standard error of the root mean square of x (n,), where ``influence`` (R, n) are R times those of the runs."""
    moved = influence @ x / (len(x) * max(_rms(x), 1e-300))
    return float(moved.std(ddof=1) / np.sqrt(len(influence)))


def _frame(rows: list[dict[str, object]]) -> pd.DataFrame:
    frame: pd.DataFrame = require_pandas().DataFrame(rows)
    return frame
