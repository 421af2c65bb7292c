r"""Which rung of the ladder does an ensemble need, epoch by epoch: 2, 5 or 13 parameters, or labelled rows?

Tables read from an archive, each gain of log-likelihood with its error, and beside every likelihood ratio a test that
asks the same of the data without believing in Gaussian weights.  All these tests are Hotelling's T² of means that the
smaller symmetry forces to zero.

- :func:`climb`: 2 to 5 to 13 parameters, all square layers; :func:`living`: which of the eight extra parameters live;
- :func:`labels`, :func:`labels_by_layer`, :func:`classes`, :func:`class_pairs`: what the labels of the rows add;
- :func:`alive_map`: all rungs in one table;
- :func:`snapshots`: the eight nulls of many ensembles at once, exactly, by relabelling columns;
- :func:`symmetrised`: the same question for cubic and quartic invariants;
- :func:`travelled`: how far a layer has gone from its initial law, without and with the labels.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from functools import lru_cache, partial
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray
from scipy import stats

from .archive import Archive
from .errors import PigmmError
from .evolution import initial_law
from .graphs import bipartite_graphs, invariant_graphs
from .invariants import evaluate
from .irreps import Array, as_matrices, sufficient_statistics
from .ladder import held_out
from .layout import STATISTICS, featured_layers
from .models import GaussianMatrixModel, LabelledRowGaussian, TwoSidedGaussian
from .moments import Moments
from .symmetry import randomised_contrasts, symmetry_from_moments
from .tables import require_pandas, unit
from .transport import w2_squared

if TYPE_CHECKING:
    import pandas as pd

__all__ = [
    "EIGHT", "Snapshots", "alive_map", "class_pairs", "classes", "climb", "label_noise", "labels", "labels_by_layer",
    "living", "same_neurons", "snapshots", "symmetrised", "travelled",
]  # fmt: skip

EIGHT = ("f2", "f4", "f7", "f8", "f10", "f5 - f13", "f11 - f13", "f12 - f13")
"""What separate relabelling of rows and columns forces to zero."""

_EIGHT = np.zeros((8, STATISTICS))
_EIGHT[range(8), [1, 3, 6, 7, 9, 4, 10, 11]] = 1
_EIGHT[5:, 12] = -1


def same_neurons(archive: Archive, layer: int) -> bool:
    """Do rows and columns of this matrix stand for the same neurons (recurrent and residual networks)?

    Examples
    --------
    >>> from pigmm import load
    >>> [same_neurons(load("digits-residual"), layer) for layer in (0, 1)]      # the block, the output matrix
    [True, False]
    """
    return archive.config.architecture != "mlp" and layer < len(archive.layers) - 1


def _frame(rows: list[dict[str, object]]) -> pd.DataFrame:
    frame: pd.DataFrame = require_pandas().DataFrame(rows)
    return frame


# ---- 2, 5, 13


def climb(archive: Archive, runs: str = "all") -> pd.DataFrame:
    r"""The two steps 2 -> 5 and 5 -> 13 by epoch and layer: what they gain, and what chance would gain.

    Returns
    -------
    DataFrame
        ``epoch``, ``layer``, ``joined`` (same neurons on both sides); for each step k = 5, 13: ``gain_k`` in nats per
        network over the law below, its standard error ``se_k`` (over networks: the gain is the mean of a log-density
        ratio, which is linear in the 13 statistics), ``noise_k`` what useless parameters gain on average in Gaussian
        data, degrees of freedom/(2R); ``p_chi2_5``, ``p_chi2_13`` (3 and 8 degrees of freedom) and ``p_chi2_2_13``
        (11); ``p_5``, ``p_13``: Hotelling's T² by the F law, of v00, vr, vc each minus vrc and of the eight contrasts.

    Examples
    --------
    >>> from pigmm import load
    >>> table = climb(load("digits-residual")).query("epoch == 20 and joined")
    >>> bool((table["gain_13"] > 5 * table["noise_13"]).all())
    True
    """
    rows: list[dict[str, object]] = []
    R = archive.count(runs)
    for layer in featured_layers(archive.template):
        for epoch in range(archive.epochs + 1):
            moments = archive.features(epoch, layer, runs)
            laws = {
                2: archive.simple(epoch, layer, runs).to_diagonal(),
                5: archive.two_sided(epoch, layer, runs).to_diagonal(), 13: archive.model(epoch, layer, runs),
            }  # fmt: skip
            row: dict[str, object] = {
                "epoch": epoch, "layer": f"L{layer + 1}", "joined": same_neurons(archive, layer)
            }  # fmt: skip
            for small, large, dof in ((2, 5, 3), (5, 13, 8)):
                gain = laws[small].entropy() - laws[large].entropy()
                slope = _log_density(laws[large]) - _log_density(laws[small])
                row |= {
                    f"gain_{large}": gain, f"se_{large}": np.sqrt(slope @ _covariance(moments) @ slope),
                    f"noise_{large}": dof / (2 * R), f"p_chi2_{large}": stats.chi2.sf(2 * R * gain, dof),
                }  # fmt: skip
            both = laws[2].entropy() - laws[13].entropy()
            row |= {
                "p_chi2_2_13": stats.chi2.sf(2 * R * both, 11), "p_5": _rows_and_columns(moments, laws[2].dim),
                "p_13": symmetry_from_moments(moments).p_f,
            }  # fmt: skip
            rows.append(row)
    return _frame(rows)


def _covariance(moments: Moments) -> Array:
    """Covariance of the mean of the 13 statistics."""
    covariance: Array = moments.comoment[:, :STATISTICS] / (moments.count - 1) / moments.count
    return covariance


def _log_density(law: GaussianMatrixModel) -> Array:
    """The log-density of a law is a constant plus this (13,) times the sufficient statistics."""
    (mean, V0), (_, T), (_, S), (_, A) = law.blocks()
    _, n, n2, n3 = (block.dim for block in law.decomposition.blocks)
    P, K = np.linalg.inv(V0), np.linalg.inv(T)
    upper = [n * K[a, b] * (0.5 if a == b else 1) for a in range(3) for b in range(a, 3)]
    first = P @ mean
    second = [P[0, 0] / 2, P[0, 1], P[1, 1] / 2, *upper, n2 / S[0, 0] / 2, n3 / A[0, 0] / 2]
    return np.concatenate([first, -np.array(second)])


def _centred(mean: Array) -> Array:
    """df/d<t>: the 13 parameters are the mean statistics, except that the block V0 is centred."""
    J = np.eye(STATISTICS)
    x1, x2 = mean[:2]
    J[2, 0], J[3, 0], J[3, 1], J[4, 1] = -2 * x1, -x2, -x1, -2 * x2
    return J


def _parameters(moments: Moments) -> Array:
    """f1 ... f13 with unbiased V0."""
    f = moments.mean[:STATISTICS].copy()
    C = moments.comoment[:2, :2] / (moments.count - 1)
    f[2:5] = C[0, 0], C[0, 1], C[1, 1]
    return f


def _rows_and_columns(moments: Moments, D: int) -> float:
    """p of v00 = vr = vc = vrc by Hotelling's T², from the moments of the 13 statistics."""
    L = np.zeros((3, STATISTICS))
    L[range(3), [2, 8, 5]] = 1
    L[:, [4, 10, 11, 12]] -= np.array([1, D - 1, D * (D - 3) / 2, (D - 1) * (D - 2) / 2]) / (D - 1) ** 2
    values = L @ _parameters(moments)
    J = L @ _centred(moments.mean)
    return _hotelling_p(values, J @ _covariance(moments) @ J.T, moments.count)


def _hotelling_p(values: Array, covariance: Array, runs: int) -> float:
    """Tail of F(q, R - q) at T² (R - q)/(q (R - 1))."""
    q, errors = len(values), np.sqrt(np.diag(covariance))
    z = values / errors  # solve in standard errors: the units differ
    T2 = float(z @ np.linalg.solve(covariance / np.outer(errors, errors), z))
    return float(stats.f.sf(T2 * (runs - q) / (q * (runs - 1)), q, runs - q))


def living(archive: Archive, runs: str = "all") -> pd.DataFrame:
    """The :data:`EIGHT` by epoch and layer: epoch, layer, joined, parameter, value, se, z.

    ``se`` comes from the networks themselves (no Gaussian assumption).  Means are centred out, unlike in
    :func:`pigmm.symmetry_test`, so that each number speaks about one parameter alone.
    """
    rows: list[dict[str, object]] = []
    for layer in featured_layers(archive.template):
        for epoch in range(archive.epochs + 1):
            moments = archive.features(epoch, layer, runs)
            J = _EIGHT @ _centred(moments.mean)
            values, errors = _EIGHT @ _parameters(moments), np.sqrt(np.diag(J @ _covariance(moments) @ J.T))
            for name, value, error in zip(EIGHT, values, errors, strict=True):
                rows.append({
                    "epoch": epoch, "layer": f"L{layer + 1}", "joined": same_neurons(archive, layer),
                    "parameter": name, "value": value, "se": error, "z": value / error,
                })  # fmt: skip
    return _frame(rows)


# ---- labelled rows


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
            "epoch": epoch, "layer": f"L{last + 1}", "gain": small.entropy() - law.entropy(),
            "means": (M - 1) / 2 * np.log(by_row / within), "noise": noise, "noise_95": high,
            "p": _equal_means(law, R), "rows": by_row, "within": within, "bulk": small.parameters[4],
        })  # fmt: skip
    return _frame(rows)


def _equal_means(law: LabelledRowGaussian, runs: int) -> float:
    L = np.eye(len(law.mu))[:-1] - 1 / len(law.mu)
    covariance = (law.B + law.columns * law.A) / law.columns / (runs - 1)
    return _hotelling_p(L @ law.mu, L @ covariance @ L.T, runs)


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
    for epoch, layer, W in _kept(archive, epochs):
        small, large = TwoSidedGaussian.fit(W), LabelledRowGaussian.fit(W)
        ratio = large.log_likelihood(W) - small.log_likelihood(W)
        out = held_out(W, ["two-sided", "labelled rows"], seed=seed).iloc[1]
        added = len(large.parameters) - 5
        rows.append({
            "epoch": epoch, "layer": f"L{layer + 1}", "last": layer == len(archive.layers) - 1, "gain": ratio.mean(),
            "se": ratio.std(ddof=1) / np.sqrt(len(W)), "noise": label_noise(small.shape, len(W))[0],
            "held_out": out["gain"], "se_held_out": out["se_gain"], "cost": added / (1.8 * len(W)),
            "p": _equal_means(large, len(W)),
        })  # fmt: skip
    return _frame(rows)


def _kept(archive: Archive, epochs: Sequence[int] | None = None) -> list[tuple[int, int, Array]]:
    """(epoch, layer, weights) of every square layer at the epochs whose weights are kept, or at the given ones."""
    every = archive.weight_epochs if epochs is None else sorted({epoch % (archive.epochs + 1) for epoch in epochs})
    found = []
    for epoch in every:
        for layer in featured_layers(archive.template):
            try:
                found.append((epoch, layer, archive.weights(epoch, layer)))
            except PigmmError:  # of some layers only averages are kept
                continue
    return found


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
    return _frame([
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
    return _frame(rows).sort_values("correlation", ascending=False, ignore_index=True)


def _jackknife(function: Callable[[Array], Array], W: Array, blocks: int) -> tuple[Array, Array]:
    """A function of an ensemble and its standard errors, from leaving out one group of networks after the other."""
    count = min(blocks, len(W) // 2)
    part = np.arange(len(W)) % count
    left = np.array([function(W[part != k]) for k in range(count)])
    return function(W), np.sqrt((count - 1) * left.var(axis=0))


def alive_map(
    climbed: pd.DataFrame, labelled: pd.DataFrame | None = None, by_layer: pd.DataFrame | None = None
) -> pd.DataFrame:
    """One row a layer, epoch and rung: what the rung gains beyond noise, and the p-value of its being dead.

    Parameters
    ----------
    climbed, labelled, by_layer : results of :func:`climb`, :func:`labels` and :func:`labels_by_layer`

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
    if labelled is not None:
        parts.append(labelled.assign(rung="5 to labels", gain=labelled["gain"] - labelled["noise"])[columns])
    if by_layer is not None:
        hidden = by_layer[~by_layer["last"]]
        parts.append(hidden.assign(rung="5 to labels", gain=hidden["gain"] - hidden["noise"])[columns])
    table: pd.DataFrame = require_pandas().concat(parts, ignore_index=True)
    return table


# ---- exact nulls


@dataclass(frozen=True, eq=False)
class Snapshots:
    """The eight nulls in many snapshots at once: :func:`snapshots`.

    Attributes
    ----------
    table : DataFrame
        ``ensemble``, ``layer``, ``epoch``, ``t2``, ``p_f`` (by the F law), ``p`` (exact, by permutation).
    drawn : array (permutations, snapshots)
        Exact p-values of the permuted ensembles, all snapshots jointly.
    p_worst, p_all : float
        Of all snapshots together, exactly: by the smallest p_f, and by the mean of log p_f.
    """

    table: pd.DataFrame
    drawn: Array
    p_worst: float
    p_all: float


def snapshots(archives: Mapping[str, Archive], *, permutations: int = 199, seed: int = 0) -> Snapshots:
    """The eight exact nulls wherever raw weights are kept and the two sides are different neurons.

    Neurons keep their names during training, so the columns of a run are permuted alike at all its epochs, each run on
    its own; and alike in ensembles with as many runs, which may begin with the same weights (a matrix that occurs
    twice is counted once).  Under the symmetry this changes nothing in the joint law of all snapshots: p-values, and
    the envelope that ``drawn`` gives, are right for weights of any law and whatever the dependence of epochs.

    Raises
    ------
    PigmmError
        If permutations are fewer than 99, or no archive keeps weights between different neurons.

    Examples
    --------
    >>> from pigmm import load
    >>> found = snapshots({"digits": load("digits")}, permutations=99)
    >>> len(found.table), found.drawn.shape, bool(found.p_worst > 0.01)
    (9, (99, 9), True)
    """
    if isinstance(permutations, bool) or not isinstance(permutations, int | np.integer) or permutations < 99:
        raise PigmmError.of("permutations", got=permutations, allowed="an integer of at least 99")
    rows: list[dict[str, object]] = []
    drawn: list[Array] = []
    seen: list[Array] = []
    for name, archive in archives.items():
        for epoch, layer, W in _kept(archive):
            if same_neurons(archive, layer) or any(np.array_equal(W, other) for other in seen):
                continue
            seen.append(W)
            plain = symmetry_from_moments(Moments.of(sufficient_statistics(W / unit(W)), STATISTICS))
            null = [_t2(y) for y in randomised_contrasts(W / unit(W), permutations, 1000 * seed + layer)]
            drawn.append(stats.f.sf(np.array(null) * plain.f / plain.statistic, 8, len(W) - 8))
            rows.append({
                "ensemble": name, "layer": f"L{layer + 1}", "epoch": epoch, "t2": plain.statistic, "p_f": plain.p_f
            })  # fmt: skip
    if not rows:
        raise PigmmError.of("archives", got="no weights between different neurons", allowed="one snapshot at least")
    table, null_p = _frame(rows), np.array(drawn).T
    everything = np.concatenate([table["p_f"].to_numpy()[None], null_p])
    ranks = stats.rankdata(everything, method="max", axis=0) / (permutations + 1)
    table["p"] = ranks[0]
    worst, mean = everything.min(axis=1), np.log(everything).mean(axis=1)
    return Snapshots(table, ranks[1:], float((worst <= worst[0]).mean()), float((mean <= mean[0]).mean()))


def _t2(contrasts: Array) -> float:
    mean = contrasts.mean(axis=0)
    errors = contrasts.std(axis=0, ddof=1) / np.sqrt(len(contrasts))
    z = mean / errors
    return float(z @ np.linalg.solve(np.corrcoef(contrasts.T), z))


def symmetrised(
    W: Array, *, copies: int = 4, permutations: int = 199, seed: int = 0
) -> tuple[pd.DataFrame, float]:
    r"""Cubic and quartic invariants minus their average over column permutations: zero under separate relabelling.

    Of every matrix ``copies`` copies are made with their columns in random orders.  Under the symmetry the matrix and
    its copies are exchangeable, so ``I(W)`` minus the mean of the copies has mean zero, whatever the law.  Of the 348
    invariants 43 (the bipartite ones) do not change under permutations; the other 305 are tested.

    Returns
    -------
    table : DataFrame
        ``name``, ``z`` (mean over se), one row an invariant.
    p : float
        Exact p-value of the largest \|z\|: for each network any of the copies may have been the original.

    Examples
    --------
    >>> from pigmm import SimpleGaussian
    >>> table, p = symmetrised(SimpleGaussian(0.0, 0.1, shape=5).sample(100, seed=1), copies=2, permutations=99)
    >>> len(table), p > 0.01
    (305, True)
    """
    batch = as_matrices(W, square=True, min_dim=4, min_runs=12)
    bipartite = {graph.name for degree in (3, 4) for graph in bipartite_graphs(degree)}
    graphs = [graph for degree in (3, 4) for graph in invariant_graphs(degree) if graph.name not in bipartite]
    batch, rng = batch / unit(batch), np.random.default_rng(seed)
    runs, D, _ = batch.shape
    values = [evaluate(graphs, batch)]
    for _ in range(copies):
        order = rng.permuted(np.tile(np.arange(D), (runs, 1)), axis=1)
        values.append(evaluate(graphs, np.take_along_axis(batch, order[:, None, :], axis=2)))
    stack = np.array(values)
    stack -= stack.mean(axis=0)
    tiny = 1e-24 * (stack**2).sum(axis=(0, 1)) + 1e-300

    def scores(which: NDArray[Any]) -> Array:
        own = np.take_along_axis(stack, which[None, :, None], axis=0)[0]
        total = own.sum(axis=0)
        z: Array = total / np.sqrt(np.maximum((own**2).sum(axis=0) - total**2 / runs, tiny))
        return z

    z = scores(np.zeros(runs, dtype=np.int64))
    null = [np.abs(scores(rng.integers(0, copies + 1, (runs,)))).max() for _ in range(permutations)]
    p = (1 + int((np.array(null) >= np.abs(z).max()).sum())) / (permutations + 1)
    return _frame([{"name": graph.name, "z": value} for graph, value in zip(graphs, z, strict=True)]), p


# ---- how far, and in which directions


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
    for epoch, layer, W in _kept(archive, epochs):
        start = initial_law(archive, layer)
        found, errors = _jackknife(partial(_distances, variance=start.variance), W, blocks)
        law = TwoSidedGaussian.fit(W)
        floor = np.mean([_distances(law.sample(len(W), seed=draw), start.variance)[2] for draw in range(4)])
        row: dict[str, object] = {"epoch": epoch, "layer": f"L{layer + 1}", "last": layer == len(archive.layers) - 1}
        for name, value, error in zip(("blind", "labelled", "aware"), found, errors, strict=True):
            row |= {name: value, f"se_{name}": error}
        rows.append(row | {"floor": floor})
    return _frame(rows)


def _distances(W: Array, variance: float) -> Array:
    M, N = W.shape[1:]
    blind = w2_squared(TwoSidedGaussian.fit(W), TwoSidedGaussian(np.array([0.0, *[variance] * 4]), (M, N)))
    start = LabelledRowGaussian(np.zeros(M), np.zeros((M, M)), variance * np.eye(M), N)
    labelled = w2_squared(LabelledRowGaussian.fit(W), start)
    return np.array([blind, labelled, labelled - blind])
