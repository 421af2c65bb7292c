r"""The law of maximum entropy: the non-Gaussian action to all orders, where it exists.

Of all laws with given averages :math:`\bar F` of F = (t, O) the density :math:`p_0\, e^{\theta \cdot F} / Z` is the
closest to the Gaussian :math:`p_0` in relative entropy; :math:`\theta` minimises the convex function
:math:`\log E_0\, e^{\theta \cdot (F - \bar F)}`.  :func:`reweight` does that on samples of :math:`p_0`; the *effective
sample size* :math:`(\sum w)^2 / \sum w^2` says how many of them still count.  :func:`maximum_entropy` goes there in
steps that each keep half of them, with Metropolis moves in between (a sequential Monte Carlo sampler).  The proposal
:math:`W' = \mu + \sqrt{1-b^2}\,(W - \mu) + b X` leaves the Gaussian law as it is, so that only the change of
:math:`\theta \cdot F` enters the acceptance.

Whether the law exists is another question, :mod:`pigmm.existence`.  References: Del Moral, Doucet and Jasra (2006) for
the sampler; Cotter, Roberts, Stuart and White (2013) for the proposal.
"""

from __future__ import annotations

from dataclasses import dataclass, field

import numpy as np
from numpy.typing import ArrayLike

from . import wick
from .action import Action
from .errors import PigmmError
from .existence import refuse_growth
from .graphs import as_graphs
from .invariants import evaluate
from .irreps import Array, as_matrices
from .laws import checked_runs
from .response import Graphs, expected_statistics, statistics_of
from .tables import draw_seeds

__all__ = ["MaximumEntropyLaw", "Tilt", "maximum_entropy", "reweight"]

MOVES = 20
FEWEST = 0.5  # share of the samples that a step must keep
STEPS = 60


class _Features:
    """F(W), here t and psi_O with mean zero and variance one under the base; ``target``: what the averages shall be."""

    def __init__(self, action: Action) -> None:
        self.base, self.graphs = action.base, action.graphs
        self.centre = self.base.from_blocks([(m, 0 * c) for m, c in self.base.blocks()]).sample(1)[0]
        self.mean_t, self.mean = expected_statistics(self.base), wick.expectation(self.graphs, self.base)
        self.slope = wick.jacobian(self.graphs, self.base)
        self.scale_t = statistics_of(self.base, self.base.sample(1000)).std(axis=0)
        self.scale = np.sqrt(np.diag(action.inner))
        self.target = np.concatenate([0 * self.scale_t, action.deviations / self.scale])

    def __call__(self, W: Array) -> Array:
        t = statistics_of(self.base, W) - self.mean_t
        psi = evaluate(self.graphs, W) - self.mean - t @ self.slope.T
        return np.concatenate([t / self.scale_t, psi / self.scale], axis=1)


# --- reweighting ------------------------------------------------------------------------------------------------------


@dataclass(frozen=True, eq=False)
class Tilt:
    """Weights on samples that give the features their target averages: see :func:`reweight`.

    Attributes
    ----------
    theta : array, (p,): couplings of the standardised features
    weights : array, (n,): they sum to one
    gain : float: relative entropy of the tilted law from the Gaussian one, in nats for each matrix
    effective : float: effective sample size as a share of n, 0 if no weights reach the target

    Examples
    --------
    >>> import numpy as np
    >>> from pigmm.action import fit_action
    >>> tilt = reweight(fit_action(np.random.default_rng(1).normal(size=(400, 4, 4)), ["01.01.01.01"]), 1000)
    >>> tilt.weights.shape, tilt.gain < 0.1
    ((1000,), True)
    """

    theta: Array
    weights: Array
    gain: float
    effective: float


def _solve(D: Array) -> Tilt:
    """Minimise log mean exp(theta . D) by damped Newton steps; D are features minus target."""
    n, p = D.shape
    theta = np.zeros(p)
    nothing = Tilt(theta, np.full(n, 1 / n), 0.0, 0.0)

    def dual(theta: Array) -> tuple[float, Array]:
        x = D @ theta
        top = x.max()
        w = np.exp(x - top)
        return float(top + np.log(w.mean())), w / w.sum()

    value, w = dual(theta)
    for _ in range(200):
        slope = w @ D
        H = (D * w[:, None]).T @ D - np.outer(slope, slope)
        H[np.diag_indices(p)] += 1e-10 * np.trace(H) / p
        try:
            step = np.linalg.solve(H, -slope)
        except np.linalg.LinAlgError:
            return nothing
        drop = float(-slope @ step)
        if not np.isfinite(drop) or drop < 0:
            return nothing
        if drop < 1e-12:
            return Tilt(theta, w, -value, float(1 / (w @ w) / n))
        size, rounding = 1.0, 1e-14 * (1 + abs(value))
        while (new := dual(theta + size * step))[0] > value - 1e-4 * size * drop + rounding and size > 1e-6:
            size /= 2
        if size <= 1e-6 or 1 / (w @ w) < 2 * p:  # the target lies outside what the samples span
            return nothing
        theta = theta + size * step
        value, w = new
    return nothing


def reweight(action: Action, draws: int = 20_000, seed: int = 0) -> Tilt:
    """Weights on samples of the Gaussian law for which the averages are exactly the measured ones.

    With infinitely many samples this is the law of maximum entropy.  With few the weights exist even where that law
    does not, and then mean nothing: look at ``action.exists`` first, then at ``effective``.

    Parameters
    ----------
    action : Action
    draws : int
        Number of samples, at least 1000.
    seed : int

    Examples
    --------
    >>> import numpy as np
    >>> from pigmm.action import fit_action
    >>> W = np.random.default_rng(1).normal(size=(400, 4, 4))
    >>> tilt = reweight(fit_action(W, ["01.01.01.01"]), 5000)
    >>> 0.9 < tilt.effective < 1, float(tilt.weights.sum().round(9))
    (True, 1.0)
    """
    _checked(action, draws)
    features = _Features(action)
    return _solve(features(action.base.sample(draws, seed=seed)) - features.target)


def _checked(action: Action, draws: int) -> None:
    if not isinstance(action, Action) or not action.graphs:
        raise PigmmError.of("action", got=action, allowed="an Action with at least one invariant")
    if isinstance(draws, bool) or not isinstance(draws, int | np.integer) or draws < 1000:
        raise PigmmError.of("draws", got=draws, allowed="an integer of at least 1000")


# --- the law ----------------------------------------------------------------------------------------------------------


@dataclass(frozen=True, eq=False)
class MaximumEntropyLaw:
    """The law p0 exp(theta . F)/Z with the averages of its action; get one from :func:`maximum_entropy`.

    Attributes
    ----------
    action : Action: whose averages it has
    theta : array, (p,): couplings of the standardised features, first of t, then of psi_O
    log_normaliser, log_normaliser_error : log Z and its Monte Carlo error
    samples, weights : arrays, (n, M, N) and (n,): nearly independent draws, and weights that make the averages exact
    effective : share of samples of p0 that count when reweighted at once: near 1, perturbation theory is good
    steps : number of intermediate laws on the way

    Examples
    --------
    >>> import numpy as np
    >>> from pigmm.action import fit_action
    >>> W = np.random.default_rng(0).uniform(-1, 1, size=(400, 4, 4))
    >>> law = maximum_entropy(fit_action(W, ["01.01.01.01"]), 1000)
    >>> 0 < law.gain, law.couplings.shape, law.theta.shape
    (True, (1,), (6,))
    >>> law.predict(["01.01.01.01"]).shape, law.predict_errors(["01.01.01.01"]).shape
    ((1,), (1,))
    >>> bool(law.log_likelihood(W).mean() > law.action.base.log_likelihood(W).mean()), law.tilt(W).shape
    (True, (400,))
    >>> law.sample(3, seed=1).shape
    (3, 4, 4)
    """

    action: Action
    theta: Array
    log_normaliser: float
    log_normaliser_error: float
    effective: float
    steps: int
    samples: Array = field(repr=False)
    weights: Array = field(repr=False)

    @property
    def gain(self) -> float:
        """Relative entropy from the Gaussian base, in nats for each matrix."""
        return float(self.theta @ _Features(self.action).target) - self.log_normaliser

    @property
    def couplings(self) -> Array:
        """g of the invariants O, to compare with ``action.couplings`` of first order."""
        return self.theta[-len(self.action.graphs) :] / np.sqrt(np.diag(self.action.inner))

    def predict(self, graphs: Graphs) -> Array:
        """Expectations of invariants, (n,), by Monte Carlo; exact for those of the action."""
        return self.weights @ evaluate(as_graphs(graphs), self.samples)

    def predict_errors(self, graphs: Graphs) -> Array:
        """Monte Carlo errors of :meth:`predict`: of what the features, whose averages are exact, do not explain."""
        values, F = evaluate(as_graphs(graphs), self.samples), _Features(self.action)(self.samples)
        root = np.sqrt(self.weights)[:, None]
        values, F = values - self.weights @ values, F - self.weights @ F
        beta = np.linalg.lstsq(root * F, root * values, rcond=None)[0]
        error: Array = np.sqrt(self.weights**2 @ (values - F @ beta) ** 2)
        return error

    def tilt(self, W: Array) -> Array:
        """theta . F of each matrix, (R,)."""
        exponent: Array = _Features(self.action)(W) @ self.theta
        return exponent

    def log_likelihood(self, W: ArrayLike) -> Array:
        """Natural logarithm of the density at each matrix, (R,)."""
        return self.action.base.log_likelihood(W) + self.tilt(as_matrices(W)) - self.log_normaliser

    def sample(self, R: int, seed: int = 0) -> Array:
        """R matrices, (R, M, N): each a stored sample moved on by Metropolis steps."""
        rng = np.random.default_rng(draw_seeds(seed, 1)[0])
        start = self.samples[rng.choice(len(self.samples), size=checked_runs(R, 1), p=self.weights)]
        return _move(start, self.theta, _Features(self.action), 2 * MOVES, rng)[0]


def _move(W: Array, theta: Array, features: _Features, moves: int, rng: np.random.Generator) -> tuple[Array, Array]:
    """Metropolis moves that leave p0 exp(theta . F) as it is; returns the matrices and their features."""
    centre, F, W, b = features.centre, features(W), W.copy(), 0.5
    for _ in range(moves):
        noise = features.base.sample(len(W), seed=int(rng.integers(1 << 62))) - centre
        proposed = centre + np.sqrt(1 - b * b) * (W - centre) + b * noise
        G = features(proposed)
        accepted = np.log(rng.random(len(W))) < (G - F) @ theta
        W[accepted], F[accepted] = proposed[accepted], G[accepted]
        b = float(np.clip(b * np.exp(0.5 * (accepted.mean() - 0.35)), 0.02, 0.95))
    return W, F


def maximum_entropy(action: Action, draws: int = 4000, seed: int = 0) -> MaximumEntropyLaw:
    r"""The law of maximum entropy relative to the Gaussian whose averages are those of the action.

    Parameters
    ----------
    action : Action
    draws : int
        Samples carried along, at least 1000.
    seed : int

    Raises
    ------
    PigmmError
        If the law does not exist: the exponent of first order, or the one found, grows without bound.

    Examples
    --------
    >>> import numpy as np
    >>> from pigmm.action import fit_action
    >>> W = np.random.default_rng(0).uniform(-1, 1, size=(400, 4, 4))
    >>> law = maximum_entropy(fit_action(W, ["01.01.01.01"]), 1000)
    >>> bool(abs(law.predict("01.01.01.01")[0] / 3.2 - 1) < 0.05)          # 16/5
    True
    """
    _checked(action, draws)
    refuse_growth(action)
    rng = np.random.default_rng(draw_seeds(seed, 1)[0])
    features = _Features(action)
    W = action.base.sample(draws, seed=seed)
    F, target = features(W), features.target
    theta, log_z, variance = np.zeros(len(target)), 0.0, 0.0
    effective, arrived = _solve(F - target).effective, False
    for step in range(STEPS):
        share, here = 1.0, F.mean(axis=0)
        while (tilt := _solve(F - here - share * (target - here))).effective < FEWEST:
            share /= 2
            if share < 1e-3:
                raise PigmmError.of("action", got="averages that no tilted Gaussian reaches", allowed="reachable ones")
        theta = theta + tilt.theta
        x = F @ tilt.theta
        log_z += float(np.log(np.mean(np.exp(x - x.max()))) + x.max())
        variance += (1 / tilt.effective - 1) / draws
        if arrived and share == 1.0:  # a last correction, on samples of a law that is all but the wanted one
            law = MaximumEntropyLaw(action, theta, log_z, float(np.sqrt(variance)), effective, step, W, tilt.weights)
            refuse_growth(action, law.tilt)
            return law
        places = (np.arange(draws) + rng.random()) / draws  # systematic resampling
        chosen = np.minimum(np.searchsorted(np.cumsum(tilt.weights), places), draws - 1)
        W, F = _move(W[chosen], theta, features, MOVES, rng)
        arrived = share == 1.0
    raise PigmmError.of("action", got=f"averages not reached in {STEPS} steps", allowed="reachable ones")
