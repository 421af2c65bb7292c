r"""How the expectations of invariants respond to a small change of a Gaussian law, and what runs say about it.

A law fitted to statistics t predicts the other invariants; :math:`e_G` is the measured average of :math:`I_G` minus the
prediction.  To first order it is the average over runs of the *influence* :math:`\psi_G = I_G - J_G \cdot t`,
:math:`J = dE_0[I]/dE_0[t]`, whose spread gives its error.  The same functions govern the response of the law: with
:math:`e^{g \cdot \psi_O}` in the density, the averages of t stay and the others move by

.. math:: \delta E[I_G] = C_{GO}\, g, \qquad C_{GO} = \mathrm{Cov}_0(\psi_G, \psi_O)
   = E_0[I_G I_O] - E_0[I_G] E_0[I_O] - J_G\, \mathrm{Cov}_0(t, t)\, J_O^T .

A product of invariants is the disjoint union of their graphs, so C is exact.  It belongs to the fitted law, which has
errors of its own: :func:`covariance_slopes` says how C moves with the statistics.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable
from functools import lru_cache

import numpy as np
from numpy.typing import ArrayLike, NDArray

from . import wick
from .errors import PigmmError
from .graphs import InvariantGraph, as_graphs
from .invariants import evaluate
from .irreps import Array, as_matrices, sufficient_statistics, two_sided_statistics
from .models import GaussianMatrixModel, TwoSidedGaussian

__all__ = [
    "DEPENDENT", "Graphs", "Law", "checked_draws", "connected_covariance", "covariance_slopes", "deviations",
    "expected_statistics", "fitted_base", "influences", "sampled_influences", "slopes_in_statistics", "solve",
    "standardised_statistics", "statistics_of",
]  # fmt: skip

Law = TwoSidedGaussian | GaussianMatrixModel
Graphs = InvariantGraph | str | Iterable[InvariantGraph | str]
MIN_RUNS = 20
DRAWS = 20_000  # matrices that stand for the law where exact covariances are out of reach
DEPENDENT = 1e-9  # a share of variance below which an invariant is a combination of others


def fitted_base(W: ArrayLike, law: type[TwoSidedGaussian] | type[GaussianMatrixModel]) -> Law:
    """The Gaussian fit to start from; PigmmError where there are too few matrices, or none that vary."""
    if law not in (TwoSidedGaussian, GaussianMatrixModel):
        raise PigmmError.of("law", got=law, allowed="TwoSidedGaussian or GaussianMatrixModel")
    batch = as_matrices(W, min_dim=2, min_runs=MIN_RUNS)
    base = law.fit(batch)
    values = [np.linalg.eigvalsh(covariance) for _, covariance in base.blocks()]
    if min(v[0] for v in values) <= 1e-13 * max(v[-1] for v in values):
        raise PigmmError.of(
            "W", got="a fit without variance in some direction", allowed="matrices that differ in all directions",
            fix="More matrices help, if they do differ.",
        )  # fmt: skip
    if abs(batch.mean()) > 10 * batch.std(axis=0).max():
        raise PigmmError.of(
            "W", got="a mean of more than ten times the spread", allowed="a smaller one, or products of eight drown",
            fix="Subtract a constant from all weights first: whether the law is Gaussian does not depend on it.",
        )  # fmt: skip
    return base


def statistics_of(law: Law, W: Array) -> Array:
    """The statistics t that the law is fitted to: 5 or 13 columns."""
    return two_sided_statistics(W) if isinstance(law, TwoSidedGaussian) else sufficient_statistics(W)


def influences(graphs: tuple[InvariantGraph, ...], law: Law, W: Array) -> Array:
    """psi of every matrix, (R, n), about its expectation under the law."""
    moved = (statistics_of(law, W) - expected_statistics(law)) @ wick.jacobian(graphs, law).T
    psi: Array = evaluate(graphs, W) - wick.expectation(graphs, law) - moved
    return psi


def expected_statistics(law: Law) -> Array:
    """E[t] under the law."""
    expected = np.array(law.parameters)
    if isinstance(law, TwoSidedGaussian):
        expected[1] = expected[1] / (law.shape[0] * law.shape[1]) + expected[0] ** 2
    else:
        expected[2:5] += np.array([expected[0] ** 2, expected[0] * expected[1], expected[1] ** 2])
    return expected


def deviations(W: ArrayLike, graphs: Graphs, law: Law | None = None) -> tuple[Array, Array]:
    r"""Measured minus predicted, and the influence of every run on it.

    Parameters
    ----------
    W : array, (R, M, N)
    graphs : graphs or names, n of them
    law : fitted to W; the five-parameter one by default

    Returns
    -------
    deviation : array, (n,)
    influence : array, (R, n)
        Centred: ``influence.std(axis=0) / sqrt(R)`` is the standard error of the deviation.

    Examples
    --------
    >>> from pigmm import SimpleGaussian
    >>> e, psi = deviations(SimpleGaussian(0, 1, (4, 6)).sample(500), ["01.01.01.01", "01.01"])
    >>> bool(abs(e[0]) < 4 * psi[:, 0].std() / 500**0.5), bool(abs(e[1]) < 1e-9)
    (True, True)
    """
    batch = as_matrices(W)
    law = fitted_base(batch, TwoSidedGaussian) if law is None else law
    psi = influences(as_graphs(graphs), law, batch)
    deviation = psi.mean(axis=0)
    return deviation, psi - deviation


def connected_covariance(left: Graphs, right: Graphs, law: Law, draws: int | None = None, seed: int = 0) -> Array:
    r"""Covariance of invariants under a Gaussian law, with the statistics it is fitted to held fixed.

    .. math:: C_{GO} = E_0[I_G I_O] - E_0[I_G] E_0[I_O] - J_G\, \mathrm{Cov}_0(t, t)\, J_O^T

    Parameters
    ----------
    left, right : graphs or names, n and k of them
    law : TwoSidedGaussian or GaussianMatrixModel
    draws : int, optional
        Estimate from so many matrices drawn from the law instead.  Default: exact for the five-parameter law, where
        all 43 x 43 take a second once and then a millisecond; 20,000 draws for the 13-parameter law, where products of
        degree eight are too many.
    seed : int
        Of the draws.

    Returns
    -------
    array, (n, k)

    Examples
    --------
    The sum of all fourth powers of independent entries: Var(x⁴ - 6 x²) = 24 for each of 30, of which fixing the
    average square took away 72 per entry.

    >>> law = TwoSidedGaussian([0, 1, 1, 1, 1], (5, 6))
    >>> connected_covariance("01.01.01.01", "01.01.01.01", law).round(6)
    array([[720.]])
    """
    left, right = as_graphs(left), as_graphs(right)
    if (draws := checked_draws(law, draws)) is not None:
        psi = sampled_influences(tuple(dict.fromkeys(left + right)), law, draws, seed)
        return psi(left).T @ psi(right) / draws
    unions, where = _unions(left, right)
    product = wick.expectation(unions, law)[where]
    mean = np.outer(wick.expectation(left, law), wick.expectation(right, law))
    J, K = wick.jacobian(left, law), wick.jacobian(right, law)
    covariance: Array = product - mean - J @ _statistics_covariance(law) @ K.T
    covariance[np.abs(covariance) < 1e-12 * (np.abs(product) + np.abs(mean))] = 0.0  # rounding
    return covariance


@lru_cache(maxsize=64)
def _unions(
    left: tuple[InvariantGraph, ...], right: tuple[InvariantGraph, ...]
) -> tuple[tuple[InvariantGraph, ...], NDArray[np.intp]]:
    """The distinct products of two invariants, and which of them each pair is, (n, k)."""
    number: dict[InvariantGraph, int] = {}
    pairs = [[InvariantGraph("+".join(a.components + b.components)) for b in right] for a in left]
    where = [[number.setdefault(union, len(number)) for union in row] for row in pairs]
    return tuple(number), np.array(where)


def _statistics_covariance(law: Law) -> Array:
    """Cov(t, t) of the five statistics: grand mean, its square, and three chi-squares."""
    M, N = law.shape
    m, v00, *rest = law.parameters
    a = v00 / (M * N)
    covariance = np.zeros((5, 5))
    covariance[:2, :2] = [[a, 2 * m * a], [2 * m * a, 2 * a * a + 4 * m * m * a]]
    dims = [block.dim for block in law.decomposition.blocks[1:]]
    covariance[range(2, 5), range(2, 5)] = [2 * v * v / n for v, n in zip(rest, dims, strict=True)]
    return covariance


def standardised_statistics(law: Law, W: Array) -> Array:
    """t minus its expectation, in standard deviations under the law; no columns where slopes are not known."""
    if not isinstance(law, TwoSidedGaussian):
        return np.zeros((len(W), 0))
    return (two_sided_statistics(W) - expected_statistics(law)) / np.sqrt(np.diag(_statistics_covariance(law)))


def covariance_slopes(left: Graphs, right: Graphs, law: Law, draws: int | None = None) -> Array:
    """How :func:`connected_covariance` moves with each of the :func:`standardised_statistics`, (5, n, k).

    None, (0, n, k), where covariances are sampled.
    """
    left, right = as_graphs(left), as_graphs(right)
    if draws is not None or not isinstance(law, TwoSidedGaussian):
        return np.zeros((0, len(left), len(right)))
    return slopes_in_statistics(lambda near: connected_covariance(left, right, near), law)


def slopes_in_statistics(function: Callable[[TwoSidedGaussian], Array], law: TwoSidedGaussian) -> Array:
    """Derivatives, (5, ...), of a function of the law in the averages it is fitted to, in standard deviations of t."""
    (M, N), centre, h = law.shape, expected_statistics(law), 0.01
    slopes = []
    for step in np.diag(h * np.sqrt(np.diag(_statistics_covariance(law)))):
        near = [centre + sign * step for sign in (1, -1)]
        laws = [TwoSidedGaussian(np.array([t[0], M * N * (t[1] - t[0] ** 2), *t[2:]]), (M, N)) for t in near]
        slopes.append((function(laws[0]) - function(laws[1])) / (2 * h))
    return np.array(slopes)


def checked_draws(law: Law, draws: int | None) -> int | None:
    if not isinstance(law, TwoSidedGaussian | GaussianMatrixModel):
        raise PigmmError.of("law", got=type(law).__name__, allowed="TwoSidedGaussian or GaussianMatrixModel")
    if draws is not None and (isinstance(draws, bool) or not isinstance(draws, int | np.integer) or draws < 1000):
        raise PigmmError.of("draws", got=draws, allowed="an integer of at least 1000, or None")
    return DRAWS if draws is None and isinstance(law, GaussianMatrixModel) else draws


def sampled_influences(graphs: tuple[InvariantGraph, ...], law: Law, draws: int, seed: int) -> Callable:
    """A function that gives psi on the draws for any of these graphs."""
    psi = influences(graphs, law, law.sample(draws, seed=seed))
    psi -= psi.mean(axis=0)
    column = {g: k for k, g in enumerate(graphs)}
    return lambda some: psi[:, [column[g] for g in some]]


def solve(C_go: Array, C_oo: Array) -> Array:
    """beta = C_GO C_OO^-1, solved in units of standard deviations; PigmmError if the O depend on each other."""
    sd = np.sqrt(np.diag(C_oo))
    correlation = C_oo / np.outer(sd, sd) if (sd > 0).all() else np.zeros_like(C_oo)
    if not np.isfinite(correlation).all() or (len(sd) and np.linalg.eigvalsh(correlation)[0] < DEPENDENT):
        raise PigmmError.of(
            "graphs", got="invariants that depend on each other, or on the fitted statistics, at this size",
            allowed="independent ones of degree 3 and more",
            fix="Take some of them away (the 43 of degree 3 and 4 need at least 4 x 4 matrices).",
        )  # fmt: skip
    beta: Array = np.linalg.solve(correlation, (C_go / sd).T).T / sd
    return beta
