r"""What labels add: in the last layer every row is a class, in hidden layers rows are interchangeable.

Tables read from an archive.  The law of rows that keep their labels (:class:`pigmm.LabelledRowGaussian`) stands above
the five-parameter law on the ladder, beside the 13 parameters of :mod:`pigmm.rungs`.

- :func:`labels`: what the labels of the last layer add, by epoch; :func:`label_noise`: what useless ones add;
- :func:`labels_by_layer`: the same question for every square layer, also of networks that were not fitted;
- :func:`classes`, :func:`class_pairs`: the classes one by one, and two by two;
- :func:`alive_map`: all rungs in one table;
- :func:`travelled`: how far a layer has gone from its initial law, without and with the labels.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from functools import lru_cache, partial
from typing import TYPE_CHECKING

import numpy as np
from scipy import stats

from .archive import Archive
from .evolution import frame, initial_law, layer_name
from .irreps import Array
from .ladder import held_out
from .models import LabelledRowGaussian, TwoSidedGaussian
from .rungs import hotelling_p, kept_weights
from .tables import require_pandas
from .transport import w2_squared

if TYPE_CHECKING:
    import pandas as pd

__all__ = ["alive_map", "class_pairs", "classes", "label_noise", "labels", "labels_by_layer", "travelled"]


@lru_cache
def label_noise(shape: tuple[int, int], runs: int, draws: int = 2000, seed: int = 0) -> tuple[float, float]:
    r"""Mean and 95 % quantile of what labels gain over the two-sided law where they mean nothing, nats per network.

    For Gaussian weights the gain of the fit follows one law for every two-sided law (scaling a block changes
    nothing), so that it can be drawn, from the Wishart laws of the two blocks.  For many networks its mean is the
    number of added parameters, M² + 2M - 5, over 2R.

    Examples
    --------
    >>> mean, _ = label_noise((10, 10), 1000)
    >>> bool(abs(mean / (115 / 2000) - 1) < 0.05)
    True
    """
    M, N = shape
    rng = np.random.default_rng(seed)
    average = stats.wishart(runs - 1, np.eye(M)).rvs(draws, rng) / runs
    contrasts = stats.wishart(runs * (N - 1), np.eye(M)).rvs(draws, rng) / (runs * (N - 1))
    means = rng.chisquare(M - 1, draws) / runs
    gain = np.zeros(draws)
    for S, shift, dim in ((average, means, 1), (contrasts, 0.0, N - 1)):
        whole = S.sum(axis=(1, 2)) / M
        rest = (np.trace(S, axis1=1, axis2=2) - whole + shift) / (M - 1)
        gain += dim / 2 * (np.log(whole) + (M - 1) * np.log(rest) - np.linalg.slogdet(S)[1])
    return float(gain.mean()), float(np.quantile(gain, 0.95))


def labels(archive: Archive, runs: str = "all") -> pd.DataFrame:
    """What the labels of the last layer's rows add to the five parameters, by epoch.

    Returns
    -------
    DataFrame
        ``epoch``, ``layer``; ``gain`` in nats per network, and how much of it ``means`` of the classes alone would
        gain; ``noise``, ``noise_95``: :func:`label_noise`; ``p``: Hotelling's test that all classes have one mean
        weight, for weights of any law; ``rows``: the variance vr of row sums, ``within`` what is left of it when each
        class has its own mean, ``bulk``: vrc.

    Examples
    --------
    >>> from pigmm import load
    >>> table = labels(load("digits")).set_index("epoch")
    >>> bool(table["gain"][0] < 2 * table["noise"][0]), bool(table["gain"][20] > 20 * table["noise"][20])
    (True, True)
    """
    last = len(archive.layers) - 1
    R, (M, N) = archive.count(runs), archive.layers[last]
    noise, high = label_noise((M, N), R)
    rows: list[dict[str, object]] = []
    for epoch in range(archive.epochs + 1):
        law, small = archive.labelled(epoch, runs), archive.two_sided(epoch, last, runs)
        total, by_row = law.B + law.columns * law.A, small.parameters[2]
        within = (np.trace(total) - total.sum() / M) / (M - 1)  # means of their own leave less variance to row sums
        rows.append({
            "epoch": epoch, "layer": layer_name(last), "gain": small.entropy() - law.entropy(),
            "means": (M - 1) / 2 * np.log(by_row / within), "noise": noise, "noise_95": high,
            "p": _equal_means(law, R), "rows": by_row, "within": within, "bulk": small.parameters[4],
        })  # fmt: skip
    return frame(rows)


def _equal_means(law: LabelledRowGaussian, runs: int) -> float:
    L = np.eye(len(law.mu))[:-1] - 1 / len(law.mu)
    covariance = (law.B + law.columns * law.A) / law.columns / (runs - 1)
    return hotelling_p(L @ law.mu, L @ covariance @ L.T, runs)


def labels_by_layer(archive: Archive, epochs: Sequence[int] | None = None, seed: int = 0) -> pd.DataFrame:
    """Are rows worth labels?  Every square layer at the epochs whose weights are kept.

    Returns
    -------
    DataFrame
        ``epoch``, ``layer``, ``last`` (rows are classes); ``gain`` with ``se`` in nats per network on the networks of
        the fit, ``noise``: :func:`label_noise`; ``held_out`` with ``se_held_out`` on other networks (ten parts),
        ``cost``: what needless parameters lose there, 115/(1.8 R) for ten rows; ``p``: do all rows have one mean?
    """
    rows: list[dict[str, object]] = []
    for epoch, layer, W in kept_weights(archive, epochs):
        small, large = TwoSidedGaussian.fit(W), LabelledRowGaussian.fit(W)
        ratio = large.log_likelihood(W) - small.log_likelihood(W)
        out = held_out(W, ["two-sided", "labelled rows"], seed=seed).iloc[1]
        added = len(large.parameters) - 5
        rows.append({
            "epoch": epoch, "layer": layer_name(layer), "last": layer == len(archive.layers) - 1, "gain": ratio.mean(),
            "se": ratio.std(ddof=1) / np.sqrt(len(W)), "noise": label_noise(small.shape, len(W))[0],
            "held_out": out["gain"], "se_held_out": out["se_gain"], "cost": added / (1.8 * len(W)),
            "p": _equal_means(large, len(W)),
        })  # fmt: skip
    return frame(rows)


def classes(archive: Archive, epoch: int = -1) -> pd.DataFrame:
    """The rows of the last layer one by one: class, mean, se, spread, se_spread.

    ``mean`` of a weight that leads to this class, over columns and networks; ``spread``: root mean square deviation
    from it.  Standard errors over networks; raw weights of this epoch must be kept.
    """
    W = archive.weights(epoch, len(archive.layers) - 1)
    root = np.sqrt(len(W))
    by_row = W.mean(axis=2)
    mean = by_row.mean(axis=0)
    square = ((W - mean[:, None]) ** 2).mean(axis=2)
    spread = np.sqrt(square.mean(axis=0))
    return frame([
        {"class": k, "mean": mean[k], "se": by_row[:, k].std(ddof=1) / root, "spread": spread[k],
         "se_spread": square[:, k].std(ddof=1) / root / (2 * spread[k])}
        for k in range(len(mean))
    ])  # fmt: skip


def class_pairs(archive: Archive, epoch: int = -1, blocks: int = 20) -> pd.DataFrame:
    """Which classes listen to the same neurons: the correlations B_ik/sqrt(B_ii B_kk) of the labelled-row law.

    Columns ``one``, ``other``, ``correlation``, ``se`` (jackknife over ``blocks`` groups of networks), the largest
    correlation first.  Raw weights of this epoch must be kept.
    """
    W = archive.weights(epoch, len(archive.layers) - 1)
    upper = np.triu_indices(W.shape[1], 1)

    def correlations(X: Array) -> Array:
        B = LabelledRowGaussian.fit(X).B
        found: Array = (B / np.sqrt(np.outer(np.diag(B), np.diag(B))))[upper]
        return found

    values, errors = _jackknife(correlations, W, blocks)
    rows: list[dict[str, object]] = [
        {"one": i, "other": k, "correlation": value, "se": error}
        for i, k, value, error in zip(*upper, values, errors, strict=True)
    ]
    return frame(rows).sort_values("correlation", ascending=False, ignore_index=True)


def alive_map(climbed: pd.DataFrame, labelled: pd.DataFrame, by_layer: pd.DataFrame) -> pd.DataFrame:
    """One row a layer, epoch and rung: what the rung gains beyond noise, and the p-value of its being dead.

    Parameters
    ----------
    climbed, labelled, by_layer : results of :func:`pigmm.rungs.climb`, :func:`labels` and :func:`labels_by_layer`

    Returns
    -------
    DataFrame
        ``layer``, ``epoch``, ``rung`` ("2 to 5", "5 to 13" or "5 to labels"), ``gain`` (nats per network minus what
        noise gains on average), ``p``: of the two tests of a step the larger, since chi-squared is too ready where
        tails are heavy and the F law where networks are few; for labels that of equal row means.
    """
    columns = ["layer", "epoch", "rung", "gain", "p"]
    parts = []
    for rung, large in (("2 to 5", 5), ("5 to 13", 13)):
        gain = climbed[f"gain_{large}"] - climbed[f"noise_{large}"]
        p = np.maximum(climbed[f"p_{large}"], climbed[f"p_chi2_{large}"])
        parts.append(climbed.assign(rung=rung, gain=gain, p=p)[columns])
    for told in (labelled, by_layer[~by_layer["last"]]):
        parts.append(told.assign(rung="5 to labels", gain=told["gain"] - told["noise"])[columns])
    table: pd.DataFrame = require_pandas().concat(parts, ignore_index=True)
    return table


def travelled(archive: Archive, epochs: Sequence[int] | None = None, blocks: int = 20) -> pd.DataFrame:
    r"""Squared Wasserstein distance from the initial law, blind to labels and with them.

    The best law that ignores the labels is the average over relabelled rows, so that its distance is the smaller one:
    ``w2_blind`` <= ``w2_labelled``, and the difference is what moved in directions that tell rows apart.

    Returns
    -------
    DataFrame
        ``epoch``, ``layer``, ``last``; ``blind`` (5-parameter law), ``labelled`` (rows labelled), ``aware`` their
        difference, each with ``se_`` in front from a jackknife over ``blocks`` groups of networks; ``floor``: the
        difference that labels without meaning would show, on average over ensembles drawn from the 5-parameter fit.
    """
    rows: list[dict[str, object]] = []
    for epoch, layer, W in kept_weights(archive, epochs):
        start = initial_law(archive, layer)
        found, errors = _jackknife(partial(_distances, variance=start.variance), W, blocks)
        law = TwoSidedGaussian.fit(W)
        floor = np.mean([_distances(law.sample(len(W), seed=draw), start.variance)[2] for draw in range(4)])
        row: dict[str, object] = {"epoch": epoch, "layer": layer_name(layer), "last": layer == len(archive.layers) - 1}
        for name, value, error in zip(("blind", "labelled", "aware"), found, errors, strict=True):
            row |= {name: value, f"se_{name}": error}
        rows.append(row | {"floor": floor})
    return frame(rows)


def _distances(W: Array, variance: float) -> Array:
    M, N = W.shape[1:]
    blind = w2_squared(TwoSidedGaussian.fit(W), TwoSidedGaussian(np.array([0.0, *[variance] * 4]), (M, N)))
    start = LabelledRowGaussian(np.zeros(M), np.zeros((M, M)), variance * np.eye(M), N)
    labelled = w2_squared(LabelledRowGaussian.fit(W), start)
    return np.array([blind, labelled, labelled - blind])


def _jackknife(function: Callable[[Array], Array], W: Array, blocks: int) -> tuple[Array, Array]:
    """A function of an ensemble and its standard errors, from leaving out one group of networks after the other."""
    count = min(blocks, len(W) // 2)
    part = np.arange(len(W)) % count
    left = np.array([function(W[part != k]) for k in range(count)])
    return function(W), np.sqrt((count - 1) * left.var(axis=0))
