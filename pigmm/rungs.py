r"""Which rung of the ladder does an ensemble need, epoch by epoch: 2, 5 or 13 parameters?

Tables read from an archive, each gain of log-likelihood with its error, and beside every likelihood ratio a test that
asks the same of the data without believing in Gaussian weights.  All these tests are Hotelling's T² of means that the
smaller symmetry forces to zero.

- :func:`climb`: 2 to 5 to 13 parameters, all square layers; :func:`living`: which of the eight extra parameters live;
- :func:`snapshots`: the eight nulls of many ensembles at once, exactly, by relabelling columns;
- :func:`symmetrised`: the same question for cubic and quartic invariants.

The rung beside them, rows with labels, is in :mod:`pigmm.labelled_rungs`.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray
from scipy import stats

from .archive import Archive
from .errors import PigmmError
from .evolution import frame, layer_name, mean_covariance, parameter_jacobian
from .graphs import bipartite_graphs, invariant_graphs
from .invariants import evaluate
from .irreps import Array, as_matrices, sufficient_statistics
from .layout import STATISTICS, featured_layers
from .models import GaussianMatrixModel
from .moments import Moments
from .symmetry import CONTRAST_MATRIX, randomised_contrasts, symmetry_from_moments
from .tables import unit

if TYPE_CHECKING:
    import pandas as pd

__all__ = [
    "EIGHT", "Snapshots", "climb", "hotelling_p", "kept_weights", "living", "same_neurons", "snapshots", "symmetrised",
]  # fmt: skip

EIGHT = ("f2", "f4", "f7", "f8", "f10", "f5 - f13", "f11 - f13", "f12 - f13")
"""What separate relabelling of rows and columns forces to zero."""


def same_neurons(archive: Archive, layer: int) -> bool:
    """Do rows and columns of this matrix stand for the same neurons (recurrent and residual networks)?

    Examples
    --------
    >>> from pigmm import load
    >>> [same_neurons(load("digits-residual"), layer) for layer in (0, 1)]      # the block, the output matrix
    [True, False]
    """
    return archive.config.architecture != "mlp" and layer < len(archive.layers) - 1


def kept_weights(archive: Archive, epochs: Sequence[int] | None = None) -> list[tuple[int, int, Array]]:
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
                "epoch": epoch, "layer": layer_name(layer), "joined": same_neurons(archive, layer)
            }  # fmt: skip
            for small, large, dof in ((2, 5, 3), (5, 13, 8)):
                gain = laws[small].entropy() - laws[large].entropy()
                slope = _log_density(laws[large]) - _log_density(laws[small])
                row |= {
                    f"gain_{large}": gain, f"se_{large}": np.sqrt(slope @ mean_covariance(moments) @ slope),
                    f"noise_{large}": dof / (2 * R), f"p_chi2_{large}": stats.chi2.sf(2 * R * gain, dof),
                }  # fmt: skip
            both = laws[2].entropy() - laws[13].entropy()
            row |= {
                "p_chi2_2_13": stats.chi2.sf(2 * R * both, 11), "p_5": _rows_and_columns(moments, laws[2].dim),
                "p_13": symmetry_from_moments(moments).p_f,
            }  # fmt: skip
            rows.append(row)
    return frame(rows)


def _log_density(law: GaussianMatrixModel) -> Array:
    """The log-density of a law is a constant plus this (13,) times the sufficient statistics."""
    (mean, V0), (_, T), (_, S), (_, A) = law.blocks()
    _, n, n2, n3 = (block.dim for block in law.decomposition.blocks)
    P, K = np.linalg.inv(V0), np.linalg.inv(T)
    upper = [n * K[a, b] * (0.5 if a == b else 1) for a in range(3) for b in range(a, 3)]
    first = P @ mean
    second = [P[0, 0] / 2, P[0, 1], P[1, 1] / 2, *upper, n2 / S[0, 0] / 2, n3 / A[0, 0] / 2]
    return np.concatenate([first, -np.array(second)])


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
    J = L @ parameter_jacobian(moments.mean)
    return hotelling_p(values, J @ mean_covariance(moments) @ J.T, moments.count)


def hotelling_p(values: Array, covariance: Array, runs: int) -> float:
    """Are q values zero, given the covariance of their errors?  The tail of F(q, R - q) at T² (R - q)/(q (R - 1))."""
    q = len(values)
    return float(stats.f.sf(_t_squared(values, covariance) * (runs - q) / (q * (runs - 1)), q, runs - q))


def _t_squared(values: Array, covariance: Array) -> float:
    errors = np.sqrt(np.diag(covariance))
    z = values / errors  # solve in standard errors: the units differ
    return float(z @ np.linalg.solve(covariance / np.outer(errors, errors), z))


def living(archive: Archive, runs: str = "all") -> pd.DataFrame:
    """The :data:`EIGHT` by epoch and layer: epoch, layer, joined, parameter, value, se, z.

    ``se`` comes from the networks themselves (no Gaussian assumption).  Means are centred out, unlike in
    :func:`pigmm.symmetry_test`, so that each number speaks about one parameter alone.
    """
    rows: list[dict[str, object]] = []
    for layer in featured_layers(archive.template):
        for epoch in range(archive.epochs + 1):
            moments = archive.features(epoch, layer, runs)
            J = CONTRAST_MATRIX @ parameter_jacobian(moments.mean)
            values = CONTRAST_MATRIX @ _parameters(moments)
            errors = np.sqrt(np.diag(J @ mean_covariance(moments) @ J.T))
            for name, value, error in zip(EIGHT, values, errors, strict=True):
                rows.append({
                    "epoch": epoch, "layer": layer_name(layer), "joined": same_neurons(archive, layer),
                    "parameter": name, "value": value, "se": error, "z": value / error,
                })  # fmt: skip
    return frame(rows)


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
        for epoch, layer, W in kept_weights(archive):
            if same_neurons(archive, layer) or any(np.array_equal(W, other) for other in seen):
                continue
            seen.append(W)
            scaled = W / unit(W)
            plain = symmetry_from_moments(Moments.of(sufficient_statistics(scaled), STATISTICS))
            permuted = randomised_contrasts(scaled, permutations, 1000 * seed + layer)
            null = [_t_squared(y.mean(axis=0), np.cov(y.T) / len(y)) for y in permuted]
            drawn.append(stats.f.sf(np.array(null) * plain.f / plain.statistic, 8, len(W) - 8))
            rows.append({
                "ensemble": name, "layer": layer_name(layer), "epoch": epoch, "t2": plain.statistic, "p_f": plain.p_f
            })  # fmt: skip
    if not rows:
        raise PigmmError.of("archives", got="no weights between different neurons", allowed="one snapshot at least")
    table, null_p = frame(rows), np.array(drawn).T
    everything = np.concatenate([table["p_f"].to_numpy()[None], null_p])
    ranks = stats.rankdata(everything, method="max", axis=0) / (permutations + 1)
    table["p"] = ranks[0]
    worst, mean = everything.min(axis=1), np.log(everything).mean(axis=1)
    return Snapshots(table, ranks[1:], float((worst <= worst[0]).mean()), float((mean <= mean[0]).mean()))


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
    return frame([{"name": graph.name, "z": value} for graph, value in zip(graphs, z, strict=True)]), p
