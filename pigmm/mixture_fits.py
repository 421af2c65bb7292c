"""Fitting Gaussian scale mixtures (:mod:`pigmm.mixtures`): by the deviations they should explain, or by likelihood."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
from numpy.typing import ArrayLike
from scipy import optimize

from .errors import PigmmError
from .graphs import bipartite_graphs
from .irreps import Array, as_matrices, two_sided_statistics
from .mixtures import ScaleMixture, log_density
from .models import TwoSidedGaussian
from .response import connected_covariance, deviations, fitted_base, slopes_in_statistics, standardised_statistics

__all__ = ["fit_mixture"]


def fit_mixture(W: ArrayLike, kind: str = "matrix", *, method: str = "deviations") -> ScaleMixture:
    r"""Fit a scale mixture.

    ``method="deviations"``: the base is the Gaussian fit, and the spread makes :math:`(e - d)^T C^{-1} (e - d)` least,
    e the deviations of the 43 cubic and quartic invariants from the Gaussian prediction, d(spread) those of the
    mixture, C their exact covariance under the Gaussian fit.  Weights from the fit and not from the runs: a 43 x 43
    covariance of eighth moments, estimated from some hundred heavy-tailed runs, would itself favour small spreads.  The
    standard error comes from the influences of the runs.

    ``method="likelihood"`` (one scale per matrix): all six parameters by maximum likelihood, the error of the spread
    from the scores of the runs (sandwich), so that it also holds if the law is another one.

    A spread of exactly 0 says that the tails are lighter than Gaussian, which no scale mixture can be.

    Parameters
    ----------
    W : array, (R, M, N)
        At least 20 matrices.
    kind : "matrix", "row" or "column"
    method : "deviations" or "likelihood"

    Raises
    ------
    PigmmError
        For other arguments, too few matrices, or matrices that do not vary.

    Examples
    --------
    >>> from pigmm.mixtures import ScaleMixture
    >>> truth = ScaleMixture(TwoSidedGaussian([0, 1, 1, 1, 1], (6, 6)), "column", 0.3)
    >>> fitted = fit_mixture(truth.sample(600), "column")
    >>> bool(abs(fitted.spread - 0.3) < 4 * fitted.spread_error)
    True
    """
    base = fitted_base(W, TwoSidedGaussian)
    assert isinstance(base, TwoSidedGaussian)
    law = ScaleMixture(base, kind, 0.0)
    if method == "deviations":
        return _fit_deviations(as_matrices(W), law)
    if method != "likelihood" or kind != "matrix":
        allowed = "'deviations', or 'likelihood' with kind 'matrix'"
        raise PigmmError.of("method", got=f"{method!r} with kind {kind!r}", allowed=allowed)
    return _fit_likelihood(two_sided_statistics(W), base)


def _fit_deviations(batch: Array, law: ScaleMixture) -> ScaleMixture:
    graphs = bipartite_graphs(3) + bipartite_graphs(4)
    e, psi = deviations(batch, graphs, law.base)
    C = connected_covariance(graphs, graphs, law.base)
    sd = np.sqrt(np.diag(C))
    weight = np.linalg.pinv(C / np.outer(sd, sd), rcond=1e-9, hermitian=True)  # small shapes: some are combinations

    def standardised(spread: float) -> Array:
        return replace(law, spread=spread).deviation(graphs) / sd

    def miss(spread: float) -> float:
        left = e / sd - standardised(spread)
        return float(left @ weight @ left)

    top = _largest_spread(law)
    grid = np.concatenate([[0.0], np.geomspace(1e-3 * top, top, 14)])
    best = int(np.argmin([miss(x) for x in grid]))
    bounds = grid[max(best - 1, 0)], grid[min(best + 1, len(grid) - 1)]
    spread = float(optimize.minimize_scalar(miss, bounds=bounds, method="bounded", options={"xatol": 1e-5 * top}).x)
    spread = 0.0 if miss(0.0) <= miss(spread) else spread
    ends = max(spread - 1e-4 * top, 0.0), min(spread + 1e-4 * top, top)
    slope = (standardised(ends[1]) - standardised(ends[0])) / (ends[1] - ends[0])
    w = weight @ slope / (slope @ weight @ slope) / sd
    moved = slopes_in_statistics(lambda near: replace(law, base=near, spread=spread).deviation(graphs), law.base)
    influence = (psi - standardised_statistics(law.base, batch) @ moved) @ w  # the base has errors, too
    return replace(law, spread=spread, spread_error=float(influence.std(ddof=1) / np.sqrt(len(batch))))


def _largest_spread(law: ScaleMixture, most: float = 50.0) -> float:
    """The largest spread, up to ``most``, for which the second moments leave room."""

    def fits(spread: float) -> bool:
        try:
            return replace(law, spread=spread) is not None
        except PigmmError:
            return False

    if fits(most):
        return most
    low, high = 0.0, most
    for _ in range(30):
        low, high = (middle, high) if fits(middle := (low + high) / 2) else (low, middle)
    return low


def _fit_likelihood(t: Array, base: TwoSidedGaussian) -> ScaleMixture:
    shape, R, n = base.shape, len(t), base.shape[0] * base.shape[1]
    unit = np.array([np.sqrt(base.parameters[1] / n), *base.parameters[1:]])
    dims = np.array([block.dim for block in base.decomposition.blocks])
    m = base.parameters[0]
    square = np.column_stack([n * (t[:, 1] - 2 * m * t[:, 0] + m * m), t[:, 2:]]) @ (dims / base.parameters[1:])
    score = (square**2 - 2 * (n + 2) * square + n * (n + 2)) / 8  # slope of log p in the spread, at spread 0
    if score.mean() <= 0:
        return ScaleMixture(base, "matrix", 0.0, float(1 / np.sqrt(R * (score**2).mean())))

    def parameters(x: Array) -> Array:
        return np.concatenate([[m + unit[0] * x[0]], unit[1:] * np.exp(x[1:5]), np.exp(x[5:])])

    def slopes(x: Array) -> tuple[Array, Array]:
        value, by = log_density(t, parameters(x), shape)
        return value, by * np.concatenate([unit[:1], parameters(x)[1:]])

    def objective(x: Array) -> tuple[float, Array]:
        value, by = slopes(x)
        return -value.mean(), -by.mean(axis=0)

    start = np.array([0, 0, 0, 0, 0, np.log(np.log1p(np.clip(4 * score.mean() / (n * (n + 2) / 2), 1e-3, 10)))])
    x = optimize.minimize(
        objective, start, jac=True, method="L-BFGS-B", bounds=[(None, None)] * 5 + [(-18, 2.6)],
        options={"maxiter": 500, "ftol": 1e-14, "gtol": 1e-9},
    ).x  # fmt: skip
    step = 1e-4
    hessian = np.array([objective(x + d)[1] - objective(x - d)[1] for d in step * np.eye(6)]) / (2 * step)
    by = slopes(x)[1]
    bread = np.linalg.pinv(hessian)
    covariance = bread @ (by.T @ by / R) @ bread / R
    fitted, tau2 = parameters(x), float(np.exp(x[5]))
    error = float(np.sqrt(covariance[5, 5]) * tau2 * np.exp(tau2))
    return ScaleMixture(TwoSidedGaussian(fitted[:5], shape), "matrix", float(np.expm1(tau2)), error)
