"""Figures of distances: a map of the laws of a whole training, and which part of the law moved.

They draw what :mod:`pigmm.geometry` computes, and describe themselves like all figures (see :mod:`pigmm.style`).
"""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from .geometry import Embedding, Trajectory, path
from .style import INK, LAYER, PALETTE, Picture, axes_grid, legend

if TYPE_CHECKING:
    import pandas as pd

__all__ = ["contributions", "training_map"]

MARKED = (0, 1, 2, 5, 10, 20, 50, 100, 200, 500)
"""Epochs that get a dot on the map."""
PART = {
    "mean": ("mean", 4), "00": ("variance of grand mean", 2), "rows": ("row sums", 3), "columns": ("column sums", 0),
    "bulk": ("bulk", 7), "V0": ("$V_0$", 2), "VH": ("$V_H$", 3), "V2": ("$V_2$", 7), "V3": ("$V_3$", 9),
    "rest": ("rest", 7), "average": ("average", 3), "contrasts": ("contrasts", 7),
}  # fmt: skip


def training_map(training: Trajectory, plane: Embedding) -> Picture:
    """The laws of a training as paths in the plane, one a layer, with dots at some epochs.

    ``plane`` is the :func:`pigmm.geometry.embed` of their distances.

    Examples
    --------
    >>> import pigmm
    >>> from pigmm.geometry import embed, trajectory
    >>> training = trajectory(pigmm.load("digits"), layers=[0])
    >>> picture = training_map(training, embed(pigmm.distance_matrix(training.laws)))
    >>> picture.alt.split(",")[0]
    'Map of the laws of 21 snapshots'
    """
    figure, axes = axes_grid(1, 1, 4.2)
    ax, words = axes[0, 0], []
    layers, epochs, last = np.array(training.layers), np.array(training.epochs), max(training.epochs)
    for layer in dict.fromkeys(training.layers):
        x, y = plane.coordinates[layers == layer].T
        when = epochs[layers == layer]
        ax.plot(x, y, color=LAYER[layer], label=layer)
        marked = np.isin(when, [*MARKED, last])
        ax.plot(x[marked], y[marked], "o", color=LAYER[layer], markersize=4)
        for k in np.flatnonzero(np.isin(when, [1, last])):
            ax.annotate(f"{when[k]}", (x[k], y[k]), xytext=(4, 4), textcoords="offset points", color=LAYER[layer])
        way = path(training.of(layer))
        words.append(f"{layer} ends {way.straight:.2f} from its start, {100 * way.directness:.0f} % of the way it took")
    start = plane.coordinates[epochs == 0].mean(axis=0)
    ax.annotate("start", start, xytext=(-4, -14), textcoords="offset points", color=INK, ha="right")
    ax.set(xlabel="first coordinate (weight)", ylabel="second coordinate")
    ax.set_aspect("equal", adjustable="datalim")
    legend(ax)
    text = (
        f"{'; '.join(words)}. The plane holds {100 * plane.kept:.1f} % of the squared distances; the root-mean-square "
        f"miss of a distance is {100 * plane.stress:.0f} %."
    )
    dots = ", ".join(str(epoch) for epoch in sorted({*MARKED, last}) if epoch in epochs)
    return Picture(
        figure, f"Map of the laws of {len(layers)} snapshots, one path a layer from a common start. {text}",
        f"What to see: where each layer's law goes, as true to distance as a plane can be. {text} Dots: epochs {dots}.",
    )  # fmt: skip


def contributions(table: pd.DataFrame) -> Picture:
    """Squared distance from the start by epoch, stacked by block, a panel a layer: the table of `geometry`.

    Examples
    --------
    >>> import pigmm
    >>> from pigmm import geometry
    >>> picture = contributions(geometry.contributions(geometry.trajectory(pigmm.load("digits"), layers=[0])))
    >>> picture.alt.split(",")[0]
    'Stacked areas: squared Wasserstein distance from the start by epoch'
    """
    layers = list(table["layer"].unique())
    parts = [name for name in table.columns if name not in ("epoch", "layer")]
    figure, axes = axes_grid(1, len(layers), 3.2, sharex=True)
    words = []
    for ax, layer in zip(axes[0], layers, strict=True):
        rows = table[table["layer"] == layer]
        colors = [PALETTE[PART[name][1]] for name in parts]
        ax.stackplot(
            rows["epoch"], rows[parts].to_numpy().T, labels=[PART[name][0] for name in parts], colors=colors, alpha=0.7,
            linewidth=0,
        )  # fmt: skip
        ax.set(title=layer, xlabel="epoch", ylim=(0, None), xlim=(rows["epoch"].min(), rows["epoch"].max()))
        end = rows.iloc[-1]
        total = end[parts].sum()
        shares = ", ".join(f"{PART[name][0]} {100 * end[name] / max(total, 1e-300):.0f} %" for name in parts)
        words.append(f"{layer} {total:.2f} ({shares})")
    axes[0, 0].set_ylabel("squared distance $W_2^2$\n(squared weights)")
    legend(axes[0, 0])
    text = f"At epoch {int(table['epoch'].max())}: {'; '.join(words)}."
    return Picture(
        figure, f"Stacked areas: squared Wasserstein distance from the start by epoch, split by block. {text}",
        f"What to see: which part of the law moved. {text} Each panel has its own scale.",
    )  # fmt: skip
