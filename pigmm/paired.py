"""Differences within the same networks, whose errors are smaller than those of two separate ensembles.

Two epochs, or two layers, of one ensemble share their networks, and what varies between networks alike drops out of a
difference.  The squared Wasserstein distance from the start is a function of the 13 mean statistics; to first order its
error is a sum over networks of slope · (statistics of that network - mean), and so is that of a difference.
"""

from __future__ import annotations

from functools import partial
from typing import TYPE_CHECKING

import numpy as np

from .archive import Archive
from .evolution import frame, initial_law, layer_name, parameter_jacobian
from .irreps import Array, sufficient_statistics
from .layout import STATISTICS, featured_layers
from .models import GaussianMatrixModel
from .transport import w2_squared

if TYPE_CHECKING:
    import pandas as pd

__all__ = ["between_layers", "steps"]


def _slope(law: GaussianMatrixModel, start: GaussianMatrixModel, mean: Array) -> Array:
    """Slope of the squared distance from ``start`` in the 13 mean statistics, by central differences, (13,)."""
    width = 1e-4 * law.parameters[11:].mean()
    distance = partial(w2_squared, start)
    slope = [
        (distance(GaussianMatrixModel(law.parameters + move, law.dim))
         - distance(GaussianMatrixModel(law.parameters - move, law.dim))) / (2 * width)
        for move in width * np.eye(STATISTICS)
    ]  # fmt: skip
    along: Array = np.array(slope) @ parameter_jacobian(mean)
    return along


def steps(archive: Archive, runs: str = "all") -> pd.DataFrame:
    """How the squared distance from the start changed in each epoch: epoch, layer, step, se, z.

    ``step`` is W2²(epoch) - W2²(epoch - 1), from the exact initial law to the fitted 13-parameter one; ``se`` counts
    that both epochs have the same networks (:meth:`pigmm.Archive.path`); ``z`` is their ratio.

    Examples
    --------
    >>> import pigmm
    >>> table = steps(pigmm.load("digits"))
    >>> len(table), bool((table.query("layer == 'L3' and epoch < 4").z > 3).all())
    (60, True)
    """
    rows: list[dict[str, object]] = []
    for layer in featured_layers(archive.template):
        start = initial_law(archive, layer).to_diagonal()
        before = archive.model(0, layer, runs)
        for epoch in range(1, archive.epochs + 1):
            law, moments = archive.model(epoch, layer, runs), archive.path(epoch, layer, runs)
            mean = moments.mean
            slope = np.concatenate([
                _slope(law, start, mean[:STATISTICS]), -_slope(before, start, mean[STATISTICS : 2 * STATISTICS])
            ])  # fmt: skip
            both = slice(0, 2 * STATISTICS)
            covariance = moments.comoment[both, both] / (moments.count - 1) / moments.count
            step, error = w2_squared(law, start) - w2_squared(before, start), float(np.sqrt(slope @ covariance @ slope))
            rows.append({"epoch": epoch, "layer": layer_name(layer), "step": step, "se": error, "z": step / error})
            before = law
    return frame(rows)


def between_layers(archive: Archive, epoch: int = -1, runs: str = "all") -> pd.DataFrame:
    """By how much each layer's law is further from its start than that of the layer before: layers, difference, se, z.

    In squared Wasserstein distance.  Needs raw weights at that epoch; layers whose weights are not kept are left out.

    Examples
    --------
    >>> import pigmm
    >>> between_layers(pigmm.load("digits"))["layers"].tolist()
    ['L2 - L1', 'L3 - L2']
    """
    rows: list[dict[str, object]] = []
    last: tuple[int, float, Array] | None = None
    for layer in featured_layers(archive.template):
        statistics = sufficient_statistics(archive.weights(epoch, layer, runs))
        start, law = initial_law(archive, layer).to_diagonal(), archive.model(epoch, layer, runs)
        mean = statistics.mean(axis=0)
        distance, influence = w2_squared(law, start), (statistics - mean) @ _slope(law, start, mean)
        if last is not None:
            gap, spread = distance - last[1], (influence - last[2]).std(ddof=1)
            error = float(spread / np.sqrt(len(influence)))
            rows.append({
                "layers": f"{layer_name(layer)} - {layer_name(last[0])}", "difference": gap, "se": error,
                "z": gap / error,
            })  # fmt: skip
        last = layer, distance, influence
    return frame(rows)
