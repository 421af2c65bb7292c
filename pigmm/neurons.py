"""What becomes of hidden neurons: silent, vanished, copies of each other, balanced; and what they do to the law.

Rows of a matrix are the neurons that it leads to, columns those that it comes from.  Counts stand beside those of a
:func:`surrogate`: matrices of the fitted Gaussian law with the same vanished neurons and norms.

One fact serves as a yardstick.  Where the gradient of loss + decay/2 |weights|² vanishes, and units are ReLU without
bias, the squared norms of the weights into and out of every hidden neuron are equal (multiply the ones by c and divide
the others by c: the outputs stay, so c = 1 must be stationary for c² a + b/c²).  Hence all layers between hidden
neurons have one norm.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import ArrayLike, NDArray

from .archive import Archive
from .decay import group
from .errors import PigmmError
from .evolution import frame, layer_name
from .irreps import Array, as_matrices
from .models import GaussianMatrixModel, TwoSidedGaussian

if TYPE_CHECKING:
    import pandas as pd

__all__ = ["effective_rank", "films", "hidden_neurons", "living", "silent", "surrogate", "treatments"]


def living(W: ArrayLike, faint: float = 0.1) -> tuple[NDArray[np.bool_], NDArray[np.bool_]]:
    """Which rows (R, M) and columns (R, N) have more than ``faint`` times the root-mean-square norm of their matrix.

    Examples
    --------
    >>> rows, columns = living(np.array([[[1.0, 0.0], [1.0, 0.01]]]))
    >>> rows[0].tolist(), columns[0].tolist()
    ([True, True], [True, False])
    """
    _check_fraction("faint", faint, "a number between 0 and 1, such as 0.1")
    batch = as_matrices(W)
    rows, columns = ((batch**2).sum(axis=axis) for axis in (2, 1))
    row_lives, column_lives = (x > faint**2 * x.mean(axis=1, keepdims=True) for x in (rows, columns))
    return row_lives, column_lives


def _check_fraction(name: str, given: float, allowed: str) -> None:
    if isinstance(given, bool) or not isinstance(given, int | float | np.number) or not 0 < given < 1:
        raise PigmmError.of(name, got=given, allowed=allowed)


def surrogate(W: ArrayLike, faint: float = 0.1, seed: int = 0) -> Array:
    """Matrices drawn from the fitted 5-parameter law, with the vanished rows and columns and the norms of W.

    What is left of an ensemble when networks keep their norm and their vanished neurons, and all else is Gaussian.
    """
    batch = as_matrices(W, min_runs=2)
    rows, columns = living(batch, faint)
    drawn = TwoSidedGaussian.fit(batch).sample(len(batch), seed) * rows[:, :, None] * columns[:, None, :]
    old, new = (np.sqrt((x**2).sum(axis=(1, 2))) for x in (batch, drawn))
    out: Array = drawn * np.divide(old, new, out=np.ones_like(old), where=new > 0)[:, None, None]
    return out


def treatments(W: ArrayLike, faint: float = 0.1, seed: int = 0) -> dict[str, Array]:
    """The ensemble as it is and after three treatments, by name, to see where its deviations come from.

    "one norm": every matrix rescaled to the same norm; "Gaussian norms": to the norms of matrices drawn from the fitted
    law; "surrogate": see :func:`surrogate`.
    """
    batch = as_matrices(W, square=True, min_dim=4, min_runs=3)
    norm = np.sqrt((batch**2).sum(axis=(1, 2)))
    drawn = GaussianMatrixModel.fit(batch).sample(len(batch), seed)
    unit = batch / np.where(norm > 0, norm, 1)[:, None, None]
    return {
        "as trained": batch, "one norm": unit * np.sqrt((norm**2).mean()),
        "Gaussian norms": unit * np.sqrt((drawn**2).sum(axis=(1, 2)))[:, None, None],
        "surrogate": surrogate(batch, faint, seed),
    }  # fmt: skip


def _cosines(W: Array, alive: NDArray[np.bool_]) -> tuple[Array, NDArray[np.bool_]]:
    """Cosines between the rows of each matrix (R, M, M), and which of them belong to two different living rows."""
    norm = np.sqrt((W**2).sum(axis=2, keepdims=True))
    U = np.divide(W, norm, out=np.zeros_like(W), where=norm > 0)
    pairs = alive[:, :, None] & alive[:, None, :] & ~np.eye(W.shape[1], dtype=bool)
    return U @ U.swapaxes(1, 2), pairs


def _likeness(W: Array, faint: float, similar: float) -> dict[str, tuple[Array, Array]]:
    """Numerators and denominators, run by run, of the share of near-duplicate rows and of the mean squared cosine."""
    alive = living(W, faint)[0]
    cosine, pairs = _cosines(W, alive)
    twins = ((cosine > similar) & pairs).any(axis=2).sum(axis=1)
    return {
        "near-duplicates": (twins, alive.sum(axis=1)),
        "squared cosine": (np.where(pairs, cosine**2, 0).sum(axis=(1, 2)), pairs.sum(axis=(1, 2))),
    }


def hidden_neurons(
    archive: Archive, faint: float = 0.1, similar: float = 0.9, seed: int = 0, runs: str = "all"
) -> pd.DataFrame:
    """Hidden neurons after the last epoch: hidden, measure, value, se, null, null_se.

    ``silent``: share of units that give zero on all test images.  ``vanished in``, ``out``, ``both``: share whose
    weights are faint (:func:`living`).  ``near-duplicates in``, ``out``: share of living neurons whose incoming
    (outgoing) weights have a cosine above ``similar`` with those of another; ``squared cosine in``, ``out``: mean over
    living pairs; ``null`` is the same in a :func:`surrogate`.  ``balance``: correlation between the squared norms of
    the weights into and out of a neuron.  The input matrix is not kept, so the first hidden layer has no "in".
    """
    _check_fraction("similar", similar, "a cosine between 0 and 1, such as 0.9")
    mask = group(archive, runs)
    weights = [archive.weights(-1, layer, runs) for layer in range(len(archive.layers))]
    rows: list[dict[str, object]] = []

    def add(measure: str, value: tuple[float, float], null: tuple[float, float] = (np.nan, np.nan)) -> None:
        row = {"hidden": h + 1, "measure": measure, "value": value[0], "se": value[1]}
        rows.append(row | {"null": null[0], "null_se": null[1]})

    for h, width in enumerate(archive.template.hidden):
        add("silent", _mean(archive.dead_units[mask, -1, h] / width))
        sides = {"in": weights[h - 1]} if h else {}
        sides["out"] = weights[h].swapaxes(1, 2)
        gone = {side: ~living(W, faint)[0] for side, W in sides.items()}
        for side, W in sides.items():
            add(f"vanished {side}", _mean(gone[side].mean(axis=1)))
            null = _likeness(surrogate(W, faint, seed), faint, similar)
            for name, counts in _likeness(W, faint, similar).items():
                add(f"{name} {side}", _ratio(*counts), _ratio(*null[name]))
        if h:
            add("vanished both", _mean((gone["in"] & gone["out"]).mean(axis=1)))
            add("balance", _correlation(*((sides[side] ** 2).sum(axis=2) for side in ("in", "out"))))
    return frame(rows)


def silent(archive: Archive, runs: str = "all") -> pd.DataFrame:
    """Share of hidden units that give zero on all test images: epoch, layer (the matrix they feed), value, se."""
    mask = group(archive, runs)
    rows: list[dict[str, object]] = []
    for h, width in enumerate(archive.template.hidden):
        for epoch in range(archive.epochs + 1):
            value, se = _mean(archive.dead_units[mask, epoch, h] / width)
            rows.append({"epoch": epoch, "layer": layer_name(h), "value": value, "se": se})
    return frame(rows)


def films(archive: Archive, faint: float = 0.1, similar: float = 0.9) -> pd.DataFrame:
    """By epoch and layer, over the first networks: share of vanished rows and columns, and of near-duplicate ones.

    Columns epoch, layer, measure ("vanished rows", "vanished columns", "near-duplicate rows", "... columns"), value,
    se (over these few networks: mean of ``networks``).
    """
    _check_fraction("similar", similar, "a cosine between 0 and 1, such as 0.9")
    rows: list[dict[str, object]] = []
    for layer in range(len(archive.layers)):
        film = archive.film(layer)
        for epoch in range(archive.epochs + 1):
            for side, W in (("rows", film[:, epoch]), ("columns", film[:, epoch].swapaxes(1, 2))):
                found = {
                    f"vanished {side}": _mean((~living(W, faint)[0]).mean(axis=1)),
                    f"near-duplicate {side}": _ratio(*_likeness(W, faint, similar)["near-duplicates"]),
                }
                for measure, (value, se) in found.items():
                    rows.append({
                        "epoch": epoch, "layer": layer_name(layer), "measure": measure, "value": value, "se": se,
                        "networks": len(film),
                    })  # fmt: skip
    return frame(rows)


def effective_rank(archive: Archive, faint: float = 0.1, seed: int = 0, runs: str = "all") -> pd.DataFrame:
    """(Σ s²)² / Σ s⁴ of the singular values where raw weights are kept: epoch, layer, value, se, null, null_se.

    D for equal singular values, 1 for a single one; ``null`` is that of a :func:`surrogate`.
    """
    rows: list[dict[str, object]] = []
    for epoch in archive.weight_epochs:
        for layer in range(len(archive.layers)):
            W = archive.weights(epoch, layer, runs)
            (value, se), (null, null_se) = (_mean(_rank(x)) for x in (W, surrogate(W, faint, seed)))
            rows.append({
                "epoch": epoch, "layer": layer_name(layer), "value": value, "se": se, "null": null, "null_se": null_se,
            })  # fmt: skip
    return frame(rows)


def _rank(W: Array) -> Array:
    squares = np.linalg.svd(W, compute_uv=False) ** 2
    fourth = (squares**2).sum(axis=1)
    return np.divide(squares.sum(axis=1) ** 2, fourth, out=np.zeros_like(fourth), where=fourth > 0)


def _mean(x: Array) -> tuple[float, float]:
    """Mean over runs and its standard error."""
    return float(x.mean()), float(x.std(ddof=1) / np.sqrt(len(x)))


def _ratio(d: Array, n: Array) -> tuple[float, float]:
    """Sum of d over sum of n, with the error that comes from the runs; 0 ± 0 if there is no n."""
    total = n.sum()
    value = d.sum() / total if total else 0.0
    return float(value), float((d - value * n).std(ddof=1) * np.sqrt(len(d)) / total) if total else 0.0


def _correlation(x: Array, y: Array) -> tuple[float, float]:
    """Correlation over all runs and neurons of x and y (R, n), and its error from the runs."""
    zx, zy = ((v - v.mean()) / (v.std() or 1.0) for v in (x, y))
    value = float((zx * zy).mean())
    return value, _mean((zx * zy - value * (zx**2 + zy**2) / 2).mean(axis=1))[1]
