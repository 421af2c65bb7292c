r"""Are the runs of one snapshot independent, and do two ensembles have one law?  An error s/sqrt(R) assumes it.

- :func:`correlations`: runs that share a pattern, resemble their neighbours or are copies (raw weights);
- :func:`run_order`: neighbours in run number that resemble each other (any numbers per run);
- :func:`same_law`: two ensembles whose runs follow different laws (any numbers per run).

:mod:`pigmm.audit` goes on to whole trainings and to archives.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import ArrayLike
from scipy import special, stats

from .errors import PigmmError
from .invariants import evaluate
from .irreps import Array, as_matrices, two_sided_statistics
from .tables import require_pandas, unit

if TYPE_CHECKING:
    import pandas as pd

__all__ = [
    "Audit", "correlations", "feature_table", "generator", "integers", "matrix_features", "randomised", "run_order",
    "same_law",
]  # fmt: skip

Features = Mapping[str, ArrayLike] | ArrayLike
INVARIANTS = ("01.01.01", "01.01.01.01", "01.02.31.32")
"""Invariants among the features of a matrix: sums of cubes and of fourth powers, and tr (W W^T)^2."""


@dataclass(frozen=True, eq=False)
class Audit:
    """Statistics of one audit, each with what independence leads to expect, and one p-value for all of them.

    Attributes
    ----------
    names : tuple of str
    values, expected, scales : arrays
        Each statistic, and its mean and standard deviation under the null.
    pvalues : array
        Of each statistic alone.
    pvalue : float
        Of all together: right however they depend on each other if ``exact``, otherwise nearly right.
    exact : bool
        Calibrated by randomisation, hence right at every R and for weights of any law.
    """

    names: tuple[str, ...]
    values: Array
    expected: Array
    scales: Array
    pvalues: Array
    pvalue: float
    exact: bool

    @property
    def z(self) -> Array:
        """(value - expected)/scale; zero where nothing varies."""
        return np.divide(self.values - self.expected, self.scales, out=np.zeros(len(self.names)), where=self.scales > 0)

    @property
    def worst(self) -> int:
        """Place of the smallest p-value; of the largest |z| among equals."""
        return int(np.lexsort((-np.abs(self.z), self.pvalues))[0])

    @property
    def table(self) -> pd.DataFrame:
        """name, value, expected, scale, z, p: one row a statistic."""
        columns = {
            "name": self.names, "value": self.values, "expected": self.expected, "scale": self.scales, "z": self.z,
            "p": self.pvalues,
        }  # fmt: skip
        table: pd.DataFrame = require_pandas().DataFrame(columns)
        return table


def correlations(
    W: ArrayLike | Sequence[ArrayLike],
    *,
    relabel: str = "separate",
    lags: Sequence[int] = (1, 2, 3),
    blocks: Sequence[int] = (),
    permutations: int = 199,
    seed: int = 0,
) -> Audit:
    r"""Is the overlap of the weights of different runs zero?

    Overlap of two runs: the cosine ``<Y_r, Y_s>/(|Y_r| |Y_s|)``, where Y is what is left of the weights when the part
    that relabelling cannot change (means of rows, or of all entries) is removed.  Statistics: its mean over all pairs
    (a pattern common to all runs), root mean square (groups of runs that share something), largest modulus (copies),
    mean over pairs that are ``lags`` apart, and over pairs in the same block of consecutive runs.  Nothing is
    subtracted that was estimated from the ensemble, so overlaps of independent runs are uncorrelated with mean 0.

    Under the null the neurons of every run may be relabelled, each run on its own, without changing the joint law.
    This is done ``permutations`` times: p-values are exact for weights of any law, at any R.  Weights that all runs
    share in the same place are found; a shift that has the symmetry of the layer, as a shared order of the images
    causes, is not.

    Parameters
    ----------
    W : array (R, M, N), or a list of them
        A list: consecutive matrices of the same networks, from the input to the output side.
    relabel : "separate" or "shared"
        "separate": rows and columns are different neurons; the rows of the last matrix stay, they may be labelled.
        "shared": all matrices are square and all their sides are the same neurons (residual, recurrent networks).
    lags, blocks : differences of run numbers; sizes of blocks (none may exceed R/2)
    permutations : at least 99; one costs about 20 ms for a thousand networks of 300 weights
    seed : int

    Examples
    --------
    >>> W = np.random.default_rng(0).normal(size=(60, 6, 6))
    >>> bool(correlations(W).pvalue > 0.05)
    True
    >>> W[41] = W[7]                                        # the same network twice
    >>> found = correlations(W)
    >>> found.names[found.worst], round(float(found.values[found.worst]), 6), found.pvalue
    ('largest overlap', 1.0, 0.005)
    """
    given: list[Any] = list(W) if isinstance(W, list | tuple) and W and np.ndim(W[0]) == 3 else [W]
    layers = [as_matrices(w, min_runs=8) for w in given]
    runs = len(layers[0])
    if any(len(w) != runs for w in layers):
        raise PigmmError.of("W", got=f"{[len(w) for w in layers]} matrices", allowed="as many in every layer")
    if relabel not in ("separate", "shared"):
        raise PigmmError.of("relabel", got=relabel, allowed="'separate' or 'shared'")
    for below, above in zip(layers, layers[1:], strict=False):
        if above.shape[2] != below.shape[1]:
            raise PigmmError.of("W", got=f"{below.shape[1]} rows, then {above.shape[2]} columns",
                                allowed="consecutive layers, of which rows are the columns of the next")  # fmt: skip
    if relabel == "shared" and any(w.shape[1] != w.shape[2] for w in layers):
        raise PigmmError.of("W", got="a rectangular matrix", allowed="square matrices, if relabel is 'shared'")
    distances = _distances(lags, blocks, runs)
    rng = generator(seed, permutations, 99)
    rest = [_movable(w / (unit(w) if w.any() else 1.0), relabel, last=w is layers[-1]) for w in layers]
    norms = np.sqrt(sum(np.einsum("rij,rij->r", y, y) for y in rest))
    if not (norms > 0).all():
        raise PigmmError.of("W", got=f"run {int(norms.argmin())} with all columns equal",
                            allowed="networks that relabelling changes")  # fmt: skip
    units = [(y / norms[:, None, None]).astype(np.float32) for y in rest]

    def statistics(moved: list[Array]) -> Array:
        X = np.concatenate([y.reshape(runs, -1) for y in moved], axis=1)
        overlaps = X @ X.T
        np.fill_diagonal(overlaps, 0)
        square = np.vecdot(overlaps, overlaps).sum(dtype=np.float64) / (runs * (runs - 1))
        largest = max(overlaps.max(), -overlaps.min())
        mean, *near = (float(_near(X, d).sum()) for d in (("block", runs), *distances))
        return np.array([mean, np.sqrt(square), largest, *near])

    observed = statistics(units)
    draws = np.array([statistics(_relabelled(units, relabel, rng)) for _ in range(permutations)])
    names = ("mean overlap", "rms overlap", "largest overlap", *(f"overlap, {_words(d)}" for d in distances))
    return randomised(names, observed, draws, upper=(1, 2))


def _movable(W: Array, relabel: str, last: bool) -> Array:
    """The matrices minus their average over all relabellings."""
    if relabel == "separate":
        return np.asarray(W - W.mean(axis=2 if last else (1, 2), keepdims=True))
    D = W.shape[1]
    trace, total = np.einsum("rii->r", W)[:, None, None], W.sum(axis=(1, 2), keepdims=True)
    off = (total - trace) / max(D * (D - 1), 1)
    return np.asarray(W - np.where(np.eye(D, dtype=bool), trace / D, off))


def _relabelled(layers: list[Array], relabel: str, rng: np.random.Generator) -> list[Array]:
    """All neurons of every run in a random order of that run's own."""
    runs = len(layers[0])

    def order(size: int) -> Array:
        return rng.permuted(np.tile(np.arange(size), (runs, 1)), axis=1)

    if relabel == "shared":
        orders = [order(layers[0].shape[2])] * (len(layers) + 1)
    else:
        orders = [order(w.shape[2]) for w in layers]
        orders.append(np.tile(np.arange(layers[-1].shape[1]), (runs, 1)))
    moved = []
    for w, columns, rows in zip(layers, orders, orders[1:], strict=False):
        index = rows[:, :, None] * w.shape[2] + columns[:, None, :]
        moved.append(np.take_along_axis(w.reshape(runs, -1), index.reshape(runs, -1), axis=1).reshape(w.shape))
    return moved


def run_order(
    x: Features,
    *,
    lags: Sequence[int] = (1, 2, 3),
    blocks: Sequence[int] = (),
    permutations: int = 999,
    seed: int = 0,
) -> Audit:
    """Do runs with neighbouring numbers resemble each other?

    For each feature, in normal scores: the mean product over pairs that are ``lags`` apart, and over pairs in the same
    block of consecutive runs (a worker, a chunk of runs trained together).  The order of the runs is permuted, which
    changes nothing if they are exchangeable; exact for features of any law, and the p-value of all is that of the
    largest |z|.

    Parameters
    ----------
    x : mapping of names to arrays (R,), or array (R, p)
        For example :func:`features`.
    lags, blocks, seed
        As in :func:`correlations`.
    permutations : at least 99

    Examples
    --------
    >>> x = np.random.default_rng(0).normal(size=(200, 3))
    >>> bool(run_order(x).pvalue > 0.05)
    True
    >>> x += np.repeat(np.random.default_rng(1).normal(size=(20, 3)), 10, axis=0)      # ten runs share something
    >>> found = run_order(x, blocks=(10,))
    >>> found.pvalue, "blocks of 10" in found.names[found.worst]
    (0.001, True)
    """
    names, values = feature_table(x, least=8)
    scores, runs = _scores(values), len(values)
    distances = _distances(lags, blocks, runs)
    if not distances:
        raise PigmmError.of("lags and blocks", got="none", allowed="at least one of them")
    rng = generator(seed, permutations, 99)

    def statistics(z: Array) -> Array:
        return np.concatenate([_near(z, d) for d in distances])

    draws = np.array([statistics(scores[rng.permutation(runs)]) for _ in range(permutations)])
    words = tuple(f"{name}, {_words(d)}" for d in distances for name in names)
    return randomised(words, statistics(scores), draws)


Distance = tuple[str, int]


def integers(name: str, given: Sequence[int]) -> list[int]:
    """A list of integers; what is none is named."""
    if isinstance(given, str) or not isinstance(given, Sequence | np.ndarray):
        raise PigmmError.of(name, got=given, allowed="a list of integers")
    for number in given:
        if isinstance(number, bool) or not isinstance(number, int | np.integer):
            raise PigmmError.of(name, got=number, allowed="integers")
    if not len(given) and name == "epochs":
        raise PigmmError.of(name, got="none", allowed="at least one integer")
    return [int(number) for number in given]


def _distances(lags: Sequence[int], blocks: Sequence[int], runs: int) -> list[Distance]:
    lags, blocks = integers("lags", lags), integers("blocks", blocks)
    chosen = [("lag", k) for k in lags] + [("block", b) for b in blocks]
    for kind, size in chosen:
        least = 1 if kind == "lag" else 2
        if isinstance(size, bool) or not isinstance(size, int | np.integer) or not least <= size <= runs // 2:
            raise PigmmError.of(f"{kind}s", got=size, allowed=f"integers from {least} to {runs // 2}, half of the runs")
    return chosen


def _words(distance: Distance) -> str:
    kind, size = distance
    return f"lag {size}" if kind == "lag" else f"blocks of {size}"


def _near(z: Array, distance: Distance) -> Array:
    """For each column of z (R, p) the mean product over pairs of runs at this distance, (p,)."""
    kind, size = distance
    if kind == "lag":
        return np.asarray((z[size:] * z[:-size]).mean(axis=0, dtype=np.float64))
    edges = np.arange(0, len(z), size)
    sums, counts = np.add.reduceat(z, edges, axis=0, dtype=np.float64), np.diff([*edges, len(z)])
    return np.asarray(((sums**2).sum(axis=0) - (z.astype(np.float64) ** 2).sum(axis=0)) / (counts**2 - counts).sum())


# ---- two ensembles


def same_law(x: Features, y: Features, *, permutations: int = 1999, seed: int = 0) -> Audit:
    r"""Do two ensembles have one law?  Two seeds, chunk sizes, backends, machines, or two halves of one ensemble.

    All runs together are turned into normal scores feature by feature, a.  The level of a feature is compared by the
    mean score of the first ensemble, its spread by the mean of a² minus its average; each over its standard deviation
    under relabelling of runs, ``s sqrt(n_y/(n_x (n - 1)))`` with s² the mean square of the scores.  p-values come from
    relabelling runs at random; the one of all features together is that of the largest |z|.  Exact if all runs are
    exchangeable, that is if all are independent and have one law.

    A rejection may mean a different law, or ensembles whose runs are not independent: what the runs of one share shifts
    its mean by more than independent runs allow.

    Parameters
    ----------
    x, y : mapping of names to arrays (R,), or array (R, p)
        The same features of both; R at least 8 each.
    permutations : at least 99
    seed : int

    Examples
    --------
    >>> rng = np.random.default_rng(0)
    >>> x, y = rng.normal(size=(100, 4)), rng.normal(size=(80, 4))
    >>> bool(same_law(x, y).pvalue > 0.05)
    True
    >>> y[:, 2] *= 2                                        # the third feature has another spread
    >>> found = same_law(x, y)
    >>> found.names[found.worst], found.pvalue
    ('feature 2, spread', 0.0005)
    """
    names, a = feature_table(x, least=8)
    others, b = feature_table(y, least=8)
    if names != others:
        stranger = sorted(set(names) ^ set(others))[:1] or ["another order"]
        raise PigmmError.of("features of x and y", got=f"different ones: {stranger[0]}", allowed="the same in both")
    rng = generator(seed, permutations, 99)
    level = _scores(np.concatenate([a, b]))
    spread = level**2 - (level**2).mean(axis=0)
    scores = np.concatenate([level, spread], axis=1)
    n, n_x = len(scores), len(a)
    first = np.arange(n) < n_x
    draws, step = [], max(1, 4_000_000 // n)
    for start in range(0, permutations, step):
        labels = rng.permuted(np.tile(first, (min(step, permutations - start), 1)), axis=1)
        draws.append(labels @ scores / n_x)
    scale = np.sqrt((scores**2).mean(axis=0) * (n - n_x) / (n_x * (n - 1)))
    words = tuple(f"{name}, {what}" for what in ("level", "spread") for name in names)
    return randomised(words, first @ scores / n_x, np.concatenate(draws), moments=(np.zeros(len(words)), scale))


def matrix_features(W: ArrayLike, name: str = "W", labelled: bool = False) -> dict[str, Array]:
    """Numbers per run that describe a weight matrix: m, row, column and bulk variance, and three invariants.

    With ``labelled`` also the mean of every row (of the output matrix: one for each class).

    Examples
    --------
    >>> list(matrix_features(np.ones((2, 3, 3)), "L1"))[:4]
    ['L1 mean', 'L1 rows', 'L1 columns', 'L1 bulk']
    """
    batch = as_matrices(W)
    five = two_sided_statistics(batch)
    found = {f"{name} {word}": five[:, k] for word, k in (("mean", 0), ("rows", 2), ("columns", 3), ("bulk", 4))}
    found |= {f"{name} {g}": column for g, column in zip(INVARIANTS, evaluate(INVARIANTS, batch).T, strict=True)}
    if labelled:
        found |= {f"{name} row {k}": column for k, column in enumerate(batch.mean(axis=2).T)}
    return found


# ---- shared with pigmm.audit


def feature_table(x: Features, least: int) -> tuple[tuple[str, ...], Array]:
    """Names and values (R, p) of features."""
    try:
        if isinstance(x, Mapping):
            names = tuple(map(str, x))
            values = np.stack([np.asarray(column, dtype=np.float64) for column in x.values()], axis=1)
        else:
            values = np.asarray(x, dtype=np.float64)
            names = tuple(f"feature {k}" for k in range(values.shape[1] if values.ndim == 2 else 0))
    except (ValueError, TypeError) as error:
        raise PigmmError.of("features", got=str(error).splitlines()[0], allowed="real numbers, (R, p)") from error
    if values.ndim != 2 or not values.shape[1] or len(values) < least:
        raise PigmmError.of("features", got=f"shape {values.shape}", allowed=f"(R, p) with R at least {least}")
    if not np.isfinite(values).all():
        raise PigmmError.of("features", got="NaN or infinity", allowed="finite numbers")
    return names, values


def _scores(values: Array) -> Array:
    """Normal scores of every column: ranks (ties share theirs) turned into quantiles of the normal law, mean zero."""
    scores = special.ndtri(stats.rankdata(values, axis=0) / (len(values) + 1))
    return np.asarray(scores - scores.mean(axis=0))


def generator(seed: int, permutations: int, least: int) -> np.random.Generator:
    for name, given, lowest in (("permutations", permutations, least), ("seed", seed, 0)):
        if isinstance(given, bool) or not isinstance(given, int | np.integer) or given < lowest:
            raise PigmmError.of(name, got=given, allowed=f"an integer of at least {lowest}")
    return np.random.default_rng(seed)


def randomised(
    names: tuple[str, ...],
    observed: Array,
    draws: Array,
    upper: tuple[int, ...] = (),
    moments: tuple[Array, Array] | None = None,
) -> Audit:
    """Ranks of the statistics, and of the largest deviation, among randomised ones (B, k); two-sided but for ``upper``.

    Means and deviations that are not known are taken over all B + 1, the observed one included, so that none of them is
    special.
    """
    every = np.concatenate([observed[None], draws])
    mean, scale = (every.mean(axis=0), every.std(axis=0)) if moments is None else moments
    scale = np.where(scale > 1e-12 * np.abs(every).max(axis=0), scale, 0.0)
    z = np.divide(every - mean, scale, out=np.zeros_like(every), where=scale > 0)
    one_sided = np.isin(np.arange(len(names)), upper)
    size = np.where(one_sided, z, np.abs(z))
    largest = size.max(axis=1)
    beaten = size >= size[0] - 1e-9
    pvalue = float((largest >= largest[0] - 1e-9).mean())
    return Audit(names, observed, mean, scale, beaten.mean(axis=0), pvalue, True)
