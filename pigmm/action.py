r"""The first step beyond Gaussian: a few cubic and quartic invariants in the exponent, to first order.

With :math:`p_0` the fitted Gaussian law, t the statistics it is fitted to and O a few higher invariants, consider

.. math:: p(W) \propto p_0(W)\, e^{\,g \cdot O(W) + h \cdot t(W)},

h chosen such that the averages of t stay what they are.  To first order in g that is :math:`h = -g \cdot J`, the
exponent is :math:`g \cdot \psi_O` with the influences of :mod:`pigmm.response`, and expectations respond linearly:

.. math:: E[I_G] = E_0[I_G] + C_{GO}\, g, \qquad g = C_{OO}^{-1} e_O .

What is left unexplained, :math:`e_G - \beta_G e_O` with :math:`\beta_G = C_{GO} C_{OO}^{-1}`, has the influence
:math:`\psi_G - \beta_G \psi_O`, hence a standard error.  Whether such a density exists at all, and what lies beyond
first order: :mod:`pigmm.maxent`.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from functools import cached_property
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import ArrayLike

from . import wick
from .errors import PigmmError
from .graphs import InvariantGraph, as_graphs, bipartite_graphs, invariant_graphs
from .irreps import Array, as_matrices
from .models import GaussianMatrixModel, TwoSidedGaussian
from .response import (
    DEPENDENT,
    Graphs,
    Law,
    checked_draws,
    connected_covariance,
    covariance_slopes,
    deviations,
    fitted_base,
    sampled_influences,
    solve,
    standardised_statistics,
)
from .tables import draw_seeds, require_pandas

if TYPE_CHECKING:
    import pandas as pd

    from .maxent import MaximumEntropyLaw

__all__ = ["Action", "Step", "fit_action"]

BOOTSTRAPS = 1000


@dataclass(frozen=True)
class Step:
    """One step of the selection: the largest residual, its critical value, and the invariant that was taken in.

    Examples
    --------
    >>> Step("01.01.01.01", 5.2, 3.1, "01.01.01.01", 0.04).taken
    '01.01.01.01'
    """

    largest: str
    z: float
    critical: float
    taken: str | None = None
    gain: float = 0.0


@dataclass(frozen=True, eq=False)
class Action:
    """A Gaussian law and a few non-Gaussian couplings, to first order.  Get one from :func:`fit_action`.

    Attributes
    ----------
    base : the fitted Gaussian law
    graphs : the invariants O in the exponent, k of them
    deviations : array, (k,): measured minus Gaussian, which the couplings explain
    inner : array, (k, k): C_OO
    covariance : array, (k + 5, k + 5): of the sampling errors of the deviations and the standardised statistics
    runs : number of matrices it was fitted to
    steps : the selection, step by step
    draws, seed : how covariances are sampled; None where they are exact

    Examples
    --------
    >>> W = np.random.default_rng(0).uniform(-1, 1, size=(400, 4, 4))
    >>> action = fit_action(W, ["01.01.01.01"])
    >>> action.couplings.shape, action.errors.shape, action.strengths.shape, action.counterterms.shape
    ((1,), (1,), (1,), (5,))
    >>> bool(action.information > 0), action.exists, len(action.history)
    (True, True, 0)

    To first order, on the graph that the action has (exact) and on another one:

    >>> graphs = ["01.01.01.01", "01.01.01.02"]
    >>> bool(np.isclose(action.predict(graphs)[0], (W**4).sum(axis=(1, 2)).mean()))
    True
    >>> action.deviation(graphs).shape, action.deviation_errors(graphs).shape
    ((2,), (2,))
    >>> left, errors = action.residuals(W, graphs)
    >>> bool(abs(left[0]) < 1e-9 < errors[1])
    True

    To all orders:

    >>> action.exact(draws=1000).samples.shape[1:], action.sample(5).shape
    ((4, 4), (5, 4, 4))
    """

    base: Law
    graphs: tuple[InvariantGraph, ...]
    deviations: Array
    inner: Array = field(repr=False)
    covariance: Array = field(repr=False)
    runs: int = 0
    steps: tuple[Step, ...] = ()
    draws: int | None = None
    seed: int = 0

    @cached_property
    def couplings(self) -> Array:
        """g = C_OO^-1 e_O, (k,), in units of 1/O."""
        return solve(self.deviations[None], self.inner)[0]

    @cached_property
    def errors(self) -> Array:
        """Standard errors of the couplings, (k,), to first order in 1/R.

        The law that they refer to has errors too, and they know of it; only where covariances are sampled, they do not.
        """
        moved = -solve(self._slopes @ self.couplings, self.inner)
        return self._error(np.concatenate([solve(np.eye(len(self.graphs)), self.inner), moved]).T)

    @property
    def strengths(self) -> Array:
        """The couplings without units, g times the standard deviation of psi under the base: small if perturbative."""
        return self.couplings * np.sqrt(np.diag(self.inner))

    @cached_property
    def counterterms(self) -> Array:
        """h = -g J: what the couplings of the fitted statistics change by, to keep the averages of the latter."""
        return -self.couplings @ wick.jacobian(self.graphs, self.base) if self.graphs else np.zeros(0)

    @property
    def information(self) -> float:
        """e C_OO^-1 e / 2: to lowest order the gain over the Gaussian law, in nats for each matrix."""
        return 0.5 * float(self.deviations @ self.couplings)

    def deviation(self, graphs: Graphs) -> Array:
        """By how much the expectations differ from the Gaussian ones, beta e_O, (n,)."""
        return self._beta(as_graphs(graphs)) @ self.deviations

    def deviation_errors(self, graphs: Graphs) -> Array:
        """Standard errors of :meth:`deviation`: of the runs and, where covariances are sampled, of the draws."""
        graphs = as_graphs(graphs)
        beta = self._beta(graphs)
        error = self._error(np.concatenate([beta, self._moved(graphs, beta)], axis=1))
        if self.graphs and self.draws is not None:
            psi = sampled_influences(tuple(dict.fromkeys(graphs + self.graphs)), self.base, self.draws, self.seed)
            left = psi(graphs) - psi(self.graphs) @ beta.T
            error = np.hypot(error, (left * (psi(self.graphs) @ self.couplings)[:, None]).std(axis=0) / self.draws**0.5)
        return error

    def predict(self, graphs: Graphs) -> Array:
        """Expectations to first order in the couplings, (n,)."""
        return wick.expectation(graphs, self.base) + self.deviation(graphs)

    def residuals(self, W: ArrayLike, graphs: Graphs) -> tuple[Array, Array]:
        """What first order leaves unexplained on the matrices it was fitted to, and its standard errors, (n,) each."""
        graphs, batch = as_graphs(graphs), as_matrices(W)
        e, psi = deviations(batch, (*graphs, *self.graphs), self.base)
        beta, n = self._beta(graphs), len(graphs)
        left = psi[:, :n] - psi[:, n:] @ beta.T
        left = left - standardised_statistics(self.base, batch) @ self._moved(graphs, beta).T
        return e[:n] - beta @ e[n:], left.std(axis=0, ddof=1) / np.sqrt(len(psi))

    def _beta(self, graphs: tuple[InvariantGraph, ...]) -> Array:
        if not self.graphs:
            return np.zeros((len(graphs), 0))
        return solve(connected_covariance(graphs, self.graphs, self.base, self.draws, self.seed), self.inner)

    def _moved(self, graphs: tuple[InvariantGraph, ...], beta: Array) -> Array:
        """How beta e_O moves with the standardised statistics, (n, 5)."""
        if not self.graphs:
            return np.zeros((len(graphs), 0))
        outer = covariance_slopes(graphs, self.graphs, self.base, self.draws) @ self.couplings
        return outer.T - beta @ (self._slopes @ self.couplings).T

    @cached_property
    def _slopes(self) -> Array:
        return covariance_slopes(self.graphs, self.graphs, self.base, self.draws)

    def _error(self, slopes: Array) -> Array:
        size = slopes.shape[1]
        error: Array = np.sqrt(np.einsum("ga,ab,gb->g", slopes, self.covariance[:size, :size], slopes))
        return error

    @cached_property
    def exists(self) -> bool:
        """Whether the exponent falls in all directions, so that there is such a density: :mod:`pigmm.existence`."""
        from .existence import growth

        return growth(self)[0] < 0 if self.graphs else True

    def exact(self, draws: int = 4000, seed: int = 0) -> MaximumEntropyLaw:
        """The law of maximum entropy with the same averages, to all orders; PigmmError if there is none.

        ``draws`` as in :func:`pigmm.maxent.maximum_entropy`.
        """
        from .maxent import maximum_entropy

        return maximum_entropy(self, draws, seed)

    def sample(self, R: int, seed: int = 0) -> Array:
        """R matrices of the :meth:`exact` law, (R, M, N); PigmmError if there is none."""
        return self.exact(seed=seed).sample(R, seed=seed)

    @property
    def history(self) -> pd.DataFrame:
        """The selection as a table: step, largest residual |z| and its name, critical value, what was taken, gain."""
        pd = require_pandas()
        return pd.DataFrame(
            [(k, s.largest, s.z, s.critical, s.taken or "", s.gain) for k, s in enumerate(self.steps)],
            columns=["terms", "largest", "z", "critical", "taken", "gain"],
        )


def fit_action(
    W: ArrayLike,
    graphs: Graphs | None = None,
    *,
    candidates: Graphs | None = None,
    max_terms: int = 4,
    level: float = 0.05,
    law: type[TwoSidedGaussian] | type[GaussianMatrixModel] = TwoSidedGaussian,
    draws: int | None = None,
    seed: int = 0,
) -> Action:
    r"""Fit a non-Gaussian action: given invariants, or those that the data ask for.

    Forward selection.  In each step every candidate's residual deviation is divided by its standard error: the measured
    one or that of the Gaussian law, whichever is larger (quartic averages are skewed, and runs that happen to lack loud
    matrices would underestimate their own error).  If the largest absolute value is below what the largest of so many
    correlated normal variables exceeds with probability ``level`` (bootstrap with normal multipliers,
    :data:`BOOTSTRAPS` draws), the selection stops.  Otherwise, of the candidates beyond that critical value, the one is
    taken that explains most,
    :math:`\tfrac12\, \mathrm{residual}^2 / C_{GG|O}`, which to lowest order is the gain in nats for each matrix.
    Significance says whether to go on, the gain where to go: with a few loud networks many residuals are large, and
    the most certain one need not be the cause of the others.

    Parameters
    ----------
    W : array, (R, M, N)
        At least 20 matrices.
    graphs : graphs or names, optional
        Take exactly these and select nothing.
    candidates : graphs or names, optional
        To select from.  Default: all cubic and quartic invariants, 43 bipartite ones for the five-parameter law, 348
        for the 13-parameter one.
    max_terms : int
        Stop after so many.
    level : float
        Family-wise error of taking one too many, in each step.  On Gaussian ensembles something was taken in 4 % of
        cases at 10 x 10, in 2 % at 4 x 4.
    law : TwoSidedGaussian or GaussianMatrixModel
        The Gaussian law to start from.
    draws : int, optional
        See :func:`connected_covariance`.
    seed : int
        Of the bootstrap and of the draws.

    Raises
    ------
    PigmmError
        For bad matrices or arguments, matrices that do not vary, and invariants that depend on each other.

    Examples
    --------
    >>> import numpy as np
    >>> W = np.random.default_rng(0).uniform(-1, 1, size=(400, 6, 6))
    >>> action = fit_action(W, max_terms=1)
    >>> [g.name for g in action.graphs], bool(action.couplings[0] < 0), action.exists
    (['01.01.01.01'], True, True)
    """
    base = fitted_base(W, law)
    batch = as_matrices(W)
    if isinstance(max_terms, bool) or not isinstance(max_terms, int | np.integer) or max_terms < 0:
        raise PigmmError.of("max_terms", got=max_terms, allowed="an integer of at least 0")
    if not isinstance(level, float | int) or not 0 < level < 1:
        raise PigmmError.of("level", got=level, allowed="a probability between 0 and 1")
    draws = checked_draws(base, draws)
    family = bipartite_graphs if law is TwoSidedGaussian else invariant_graphs
    given = graphs if graphs is not None else candidates
    pool = family(3) + family(4) if given is None else as_graphs(given)
    e, psi = deviations(batch, pool, base)
    tau = standardised_statistics(base, batch)
    C = connected_covariance(pool, pool, base, draws, seed)
    taken, steps = list(range(len(pool))), tuple[Step, ...]()
    if graphs is None:
        slopes = covariance_slopes(pool, pool, base, draws)
        taken, steps = _select(pool, e, psi, C, tau[:, : len(slopes)], slopes, max_terms, level, seed)
    S = np.array(taken, int)
    influence = np.concatenate([psi[:, S], tau], axis=1)
    covariance = influence.T @ influence / (len(batch) - 1) / len(batch)
    chosen = tuple(pool[k] for k in taken)
    action = Action(base, chosen, e[S], C[np.ix_(S, S)], covariance, len(batch), steps, draws, seed)
    if not np.isfinite(action.couplings).all():
        raise PigmmError.of("couplings", got="beyond float64", fix="Divide the matrices by a constant first.")
    return action


def _select(
    pool: tuple[InvariantGraph, ...], e: Array, psi: Array, C: Array, tau: Array, slopes: Array,
    max_terms: int, level: float, seed: int,
) -> tuple[list[int], tuple[Step, ...]]:  # fmt: skip
    """Forward selection; see :func:`fit_action`."""
    R, own = len(psi), np.diag(C)
    taken: list[int] = []
    steps: list[Step] = []
    multipliers = np.random.default_rng(draw_seeds(seed, 1)[0]).standard_normal((BOOTSTRAPS, R))
    while True:
        S = np.array(taken, int)
        beta, g = solve(C[:, S], C[np.ix_(S, S)]), solve(e[None, S], C[np.ix_(S, S)])[0]
        left, spread = e - beta @ e[S], own - np.einsum("gk,gk->g", beta, C[:, S])
        moved = slopes[:, :, S] @ g - (slopes[:, S[:, None], S] @ g) @ beta.T  # of beta e_O, with the statistics
        rest = psi - psi[:, S] @ beta.T - tau @ moved
        measured = rest.std(axis=0, ddof=1)
        se = np.maximum(measured, np.sqrt(np.maximum(spread, 0))) / np.sqrt(R)
        free = (spread > DEPENDENT * own) & (measured > 0)  # not those taken: they have no variance left
        if not free.any():
            return taken, tuple(steps)
        z = np.divide(left, se, out=np.zeros_like(left), where=free)
        heights = np.abs(multipliers @ (rest[:, free] / measured[free])).max(axis=1) / np.sqrt(R)
        critical = float(np.quantile(heights, 1 - level))
        top = int(np.abs(z).argmax())
        gain = np.where(np.abs(z) > critical, 0.5 * left**2 / np.where(free, spread, 1), 0)
        best = int(gain.argmax())
        if len(taken) >= max_terms or gain[best] == 0:
            steps.append(Step(pool[top].name, float(z[top]), critical))
            return taken, tuple(steps)
        steps.append(Step(pool[top].name, float(z[top]), critical, pool[best].name, float(gain[best])))
        taken.append(best)
