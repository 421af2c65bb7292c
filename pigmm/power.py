r"""How many networks are needed to see an effect of a given size, or how small an effect R of them show.

Each function gives the *power* of a test at level ``alpha``: the probability that R runs reject, if the effect is what
it is said to be.  :func:`runs_needed` turns any of them round, :func:`smallest_effect` too.  Effects are those of the
population, not estimates: an effect that was noticed because it came out large is on average smaller.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from functools import lru_cache
from typing import TYPE_CHECKING

import numpy as np
from scipy import stats

from .errors import PigmmError
from .irreps import Array
from .laws import MatrixLaw, checked_runs
from .models import SimpleGaussian
from .tables import require_pandas

if TYPE_CHECKING:
    import pandas as pd

__all__ = [
    "contrast_power", "distance_power", "floor_weights", "gain_power", "prediction_power", "runs_needed",
    "runs_table", "smallest_effect",
]  # fmt: skip

MOST_RUNS = 10**9
DRAWS = 20_000


def contrast_power(R: int, effect: float, alpha: float = 0.05, contrasts: int = 8) -> float:
    r"""Power of the symmetry test (Hotelling's T² of eight contrasts) with R runs.

    The F statistic then follows the noncentral F law with 8 and R - 8 degrees of freedom and noncentrality
    ``R effect²``, exactly so if the contrasts are normal.

    Parameters
    ----------
    R : int
        At least 12, as :func:`pigmm.symmetry_test` wants (in general contrasts + 4).
    effect : float
        Mahalanobis length of the mean of the contrasts: :math:`\sqrt{\mu^T \Sigma^{-1} \mu}` with the covariance of one
        run.  One contrast whose mean is d of its standard deviations over runs has effect at least d.
    alpha : float
    contrasts : int
        How many there are.

    Examples
    --------
    >>> round(contrast_power(100, 0.0), 6), round(contrast_power(100, 0.4), 2)
    (0.05, 0.8)
    """
    _check(effect=effect, alpha=alpha)
    R = checked_runs(R, contrasts + 4)
    critical = stats.f.isf(alpha, contrasts, R - contrasts)
    noncentrality = R * effect**2
    if noncentrality > 1e4:  # the noncentral law is slow there, and the power is one
        return 1.0
    return float(stats.ncf.sf(critical, contrasts, R - contrasts, noncentrality)) if noncentrality else alpha


def gain_power(R: int, gain: float, parameters: int, alpha: float = 0.05) -> float:
    r"""Power of a likelihood-ratio test between nested laws with R runs.

    Twice the log-likelihood ratio follows the noncentral χ² law with as many degrees of freedom as there are added
    parameters and noncentrality ``2 R gain`` (Wald 1943): right for Gaussian data, small gains and R that is large
    against the parameters.

    Parameters
    ----------
    R : int
    gain : float
        In nats per network, of the best larger law over the best smaller one in the population.  An estimate from R
        runs is too large by about ``parameters/(2R)``.
    parameters : int
        Added by the larger law: 3, 8 and 11 on the ladder.
    alpha : float

    Examples
    --------
    >>> round(gain_power(100, 0.0, 8), 6), round(gain_power(200, 0.0375, 8), 2)
    (0.05, 0.8)
    """
    _check(gain=gain, alpha=alpha)
    if isinstance(parameters, bool) or not isinstance(parameters, int | np.integer) or parameters < 1:
        raise PigmmError.of("parameters", got=parameters, allowed="an integer of at least 1")
    noncentrality = 2 * checked_runs(R, 2) * gain
    if noncentrality > 1e5 + 1e2 * parameters:
        return 1.0
    critical = stats.chi2.isf(alpha, parameters)
    return float(stats.ncx2.sf(critical, parameters, noncentrality)) if noncentrality else alpha


def prediction_power(R: int, effect: float, sharpness: float = 1.0, tests: int = 1, alpha: float = 0.05) -> float:
    r"""Power to refute one prediction with R runs.

    ``z = effect sqrt(R) sharpness`` plus a standard normal number, two-sided at level alpha/tests (Bonferroni).

    Parameters
    ----------
    R : int
    effect : float
        The paper's ratio: |mean - prediction| over the standard deviation of the invariant over runs.
    sharpness : float
        That standard deviation over the one of the influence psi, ``sd/(se_difference sqrt(R))`` in the columns of
        :func:`pigmm.compare`.  One if the prediction were known without a fit; otherwise mostly larger.
    tests : int
        Number of predictions that are looked at.
    alpha : float

    Examples
    --------
    >>> round(prediction_power(100, 0.0), 6), round(prediction_power(100, 0.28), 2)
    (0.05, 0.8)
    """
    _check(effect=effect, sharpness=sharpness, alpha=alpha)
    if isinstance(tests, bool) or not isinstance(tests, int | np.integer) or tests < 1:
        raise PigmmError.of("tests", got=tests, allowed="an integer of at least 1")
    shift = abs(effect) * np.sqrt(checked_runs(R, 2)) * sharpness
    critical = stats.norm.isf(alpha / tests / 2)
    return float(stats.norm.sf(critical - shift) + stats.norm.cdf(-critical - shift))


def floor_weights(law: MatrixLaw) -> Array:
    r"""Weights w of the noise floor: R times the squared distance of a law to its own fit is like a sum of w χ²₁.

    To leading order in 1/R: an eigenvalue of the covariance of the fitted means has weight λ; in every block an
    eigenvalue λ weighs λ/2 and a pair of them λλ'/(λ + λ').  Their sum over R is :func:`pigmm.noise_floor`.

    Examples
    --------
    >>> float(floor_weights(SimpleGaussian(0.0, 1.0, shape=10).to_diagonal()).sum())       # 7.5 times the variance
    7.5
    """
    if not isinstance(law, MatrixLaw):
        raise PigmmError.of("law", got=type(law).__name__, allowed="a law of pigmm.models")
    blocks = law.blocks()
    weights = list(np.linalg.eigvalsh(blocks[0][1]))
    for _, covariance in blocks[:1] if isinstance(law, SimpleGaussian) else blocks:
        values = np.clip(np.linalg.eigvalsh(covariance), 0, None)
        weights += list(values / 2)
        pairs = zip(*np.triu_indices(len(values), 1), strict=True)
        weights += [values[i] * values[j] / (values[i] + values[j] or 1) for i, j in pairs]
    kept = np.clip(np.array(weights), 0, None)
    return kept[kept > 0]


def distance_power(
    R: int, squared: float, law: MatrixLaw, alpha: float = 0.05, *, other: bool = False, seed: int = 0
) -> float:
    r"""Power to tell a squared distance from its noise floor with R runs.

    The measured squared distance is compared with what chance alone gives, :math:`\sum w \chi^2_1/R` with the weights
    of :func:`floor_weights`; a true squared distance makes one of these numbers noncentral, by ``R squared/w``.  It is
    taken to be the one with the largest weight, the noisiest direction, so that the power is not promised too high: a
    movement in a quieter direction is seen with fewer runs.  Both laws are simulated (20,000 draws, the same for every
    R, so that the power never falls with R).

    Parameters
    ----------
    R : int
        Runs (of each ensemble, with ``other``).
    squared : float
        True squared 2-Wasserstein distance, in squared weights.
    law : a law of pigmm.models
        Near which this happens; its variances set the noise.
    alpha : float
    other : bool
        The distance is between two ensembles of R runs each, and not to a known law: the noise doubles.
    seed : int
        Of the simulation.

    Examples
    --------
    >>> start = SimpleGaussian(0.0, 0.1, shape=10).to_diagonal()
    >>> distance_power(100, 0.0, start) < 0.06, distance_power(100, 0.05, start) > 0.9
    (True, True)
    """
    _check(squared=squared, alpha=alpha)
    weights = np.sort(floor_weights(law))[::-1] * (2 if other else 1)
    if not len(weights):
        raise PigmmError.of("law", got="a law without any variance", allowed="a law that varies")
    R = checked_runs(R, 2)
    z = _normal_draws(len(weights), seed)
    null = z**2 @ weights
    critical = np.quantile(null, 1 - alpha)
    shift = np.sqrt(R * squared / weights[0])
    moved = (np.abs(z[:, 0]) + shift) ** 2, (np.abs(z[:, 0]) - shift) ** 2  # either sign, equally likely
    rest = null - weights[0] * z[:, 0] ** 2
    return float(np.mean([(rest + weights[0] * first > critical).mean() for first in moved]))


@lru_cache(maxsize=4)
def _normal_draws(columns: int, seed: int) -> Array:
    return np.random.default_rng(seed).standard_normal((DRAWS, columns))


def runs_needed(power_at: Callable[[int], float], power: float = 0.8, least: int = 12) -> int:
    """The smallest number of runs, at least ``least``, with this power.

    Parameters
    ----------
    power_at : function of R
        For example ``lambda R: gain_power(R, 0.02, 8)``; must not fall with R.
    power : float
        Probability with which the effect should be seen.
    least : int
        Below this the test cannot be made, or its law does not hold.

    Raises
    ------
    PigmmError
        If a thousand million runs are not enough, such as for an effect of zero.

    Examples
    --------
    >>> runs_needed(lambda R: prediction_power(R, 0.1))
    785
    >>> runs_needed(lambda R: contrast_power(R, 0.2), power=0.9)
    485
    """
    if isinstance(power, bool) or not isinstance(power, int | float | np.number) or not 0 < power < 1:
        raise PigmmError.of("power", got=power, allowed="a number between 0 and 1, such as 0.8")
    low, high = checked_runs(least, 2) - 1, least
    while power_at(high) < power:
        low, high = high, 2 * high
        if low >= MOST_RUNS:
            raise PigmmError.of("runs", got=f"more than {MOST_RUNS:.0e}", allowed="an effect that is not zero")
    while high - low > 1:
        middle = (low + high) // 2
        low, high = (low, middle) if power_at(middle) >= power else (middle, high)
    return high


def smallest_effect(power_of: Callable[[float], float], power: float = 0.8) -> float:
    """The smallest effect seen with this power, to three digits: the same question, asked for a given R.

    ``power_of`` gives the power at an effect and must not fall with it.

    Examples
    --------
    >>> smallest_effect(lambda effect: prediction_power(785, effect))
    0.1
    """
    low, high = 0.0, 1.0
    while power_of(high) < power:
        low, high = high, 2 * high
        if high > 1e12:
            raise PigmmError.of("power", got=power, allowed="a power that some effect reaches")
    while high - low > 1e-4 * high:
        middle = (low + high) / 2
        low, high = (low, middle) if power_of(middle) >= power else (middle, high)
    return float(f"{high:.3g}")


def runs_table(
    law: MatrixLaw | None = None, *, effects: Sequence[float] = (0.05, 0.1, 0.2, 0.5), power: float = 0.8,
    alpha: float = 0.05,
) -> pd.DataFrame:  # fmt: skip
    """Runs needed for small, medium and large effects of five kinds: question, effect, runs.

    ``effects`` are contrast and prediction effects; a gain of ``effect²/2`` nats and a squared distance of ``effect²``
    times the mean variance of a weight stand beside them.  Without a law, distances are near independent weights of
    10 x 10 matrices.  ``power`` is that with which the effects should be seen.

    Examples
    --------
    >>> runs_table(effects=[0.5])["runs"].tolist()[:2]
    [69, 61]
    """
    if law is None:
        law = SimpleGaussian(0.0, 1.0, (10, 10)).to_diagonal()
    pairs = zip(law.decomposition.blocks, law.blocks(), strict=True)
    variance = float(sum(block.dim * np.trace(C) for block, (_, C) in pairs) / np.prod(law.shape))
    rows: list[dict[str, object]] = []
    kinds: dict[str, tuple[Callable[[float], float], Callable[[int, float], float]]] = {
        "symmetry broken: contrasts off by (standard deviations)": (
            lambda e: e, lambda R, e: contrast_power(R, e, alpha)),
        "8 more parameters gain (nats per network)": (lambda e: e * e / 2, lambda R, e: gain_power(R, e, 8, alpha)),
        "one prediction misses by (effect size)": (lambda e: e, lambda R, e: prediction_power(R, e, alpha=alpha)),
        "the worst of 43 predictions misses by (effect size)": (
            lambda e: e, lambda R, e: prediction_power(R, e, tests=43, alpha=alpha)),
        "squared distance (variances of one weight)": (
            lambda e: e * e, lambda R, e: distance_power(R, e * variance, law, alpha)),
    }  # fmt: skip
    for question, (scale, at) in kinds.items():
        for effect in effects:
            _check(effect=effect)
            size = scale(effect)
            runs = runs_needed(lambda R, at=at, size=size: at(R, size), power)  # type: ignore[misc]
            rows.append({"question": question, "effect": size, "runs": runs})
    table: pd.DataFrame = require_pandas().DataFrame(rows)
    return table


def _check(**numbers: float) -> None:
    for name, value in numbers.items():
        real = isinstance(value, int | float | np.number) and not isinstance(value, bool) and np.isfinite(value)
        if name == "alpha":
            if not real or not 0 < value < 1:
                raise PigmmError.of(name, got=value, allowed="a number between 0 and 1, such as 0.05")
        elif not real or value < 0:
            raise PigmmError.of(name, got=value, allowed="a number of at least 0")
