"""Figures of hidden neurons without and with weight decay: they draw the tables of :mod:`pigmm.neurons`.

They look like those of :mod:`pigmm.decay_figures`: lines with round marks belong to the regularised ensemble.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING

import numpy as np

from .decay_figures import curve, grid, key, span, versus
from .irreps import Array
from .style import INK, LAYER, PALETTE, Picture, axes_grid

if TYPE_CHECKING:
    import pandas as pd

__all__ = ["balance", "neurons"]

LOWEST = 1e-12  # squared norms below this, which float32 lets vanish altogether, are drawn here


def balance(neurons: Mapping[str, tuple[Array, Array]]) -> Picture:
    """Squared norm of the weights out of a hidden neuron against that of the weights into it, one panel an ensemble."""
    figure, axes = axes_grid(1, len(neurons), 3.6, sharex=True, sharey=True)
    words = []
    for k, (ax, (name, (into, out))) in enumerate(zip(axes[0], neurons.items(), strict=True)):
        x, y = (np.clip(np.ravel(v), LOWEST, None) for v in (into, out))
        ax.plot(x, y, ".", color=PALETTE[3 if k else 0], markersize=2, alpha=0.4, rasterized=True)
        ax.plot([LOWEST, max(x.max(), y.max())], [LOWEST, max(x.max(), y.max())], color=INK, linewidth=1)
        ax.set(xscale="log", yscale="log", title=name, xlabel="weights in, squared norm")
        gone, like = 100 * ((x < 1e-2) & (y < 1e-2)).mean(), np.corrcoef(x, y)[0, 1]
        words.append(f"{name}: correlation {like:.3f}, {gone:.1f} % of neurons below 0.01 on both sides")
    axes[0, 0].set_ylabel("weights out, squared norm")
    text = f"{'; '.join(words)}."
    return Picture(
        figure, f"Scatter of squared norms of weights out of and into hidden neurons, log-log. {text}",
        "What to see: on the diagonal a neuron's weights in and out have the same norm; far down on the left it is "
        f"gone. {text}",
    )  # fmt: skip


def neurons(silent: pd.DataFrame, films: pd.DataFrame) -> Picture:
    """Silent units of all networks by epoch, and vanished and near-duplicate rows of those that are filmed."""
    figure, axes, schemes = grid(films, 3, 6.6)
    layers = list(films["layer"].unique())
    for column, scheme in enumerate(schemes):
        for layer in layers:
            lines = silent[(silent["scheme"] == scheme) & (silent["layer"] == layer)]
            curve(axes[0, column], lines, "value", LAYER[layer], "-", "se", f"into {layer}")
            for row, measure in ((1, "vanished columns"), (2, "near-duplicate columns")):
                rows = (films["scheme"] == scheme) & (films["layer"] == layer) & (films["measure"] == measure)
                curve(axes[row, column], films[rows], "value", LAYER[layer], "-", "se")
    few = int(films["networks"].iloc[0])
    for ax, name in zip(axes[:, 0], ("silent\n(all networks)", f"vanished\n({few} networks)",
                                     f"near-duplicates\n({few} networks)"), strict=True):  # fmt: skip
        ax.set_ylabel(name)
        ax.set_ylim(bottom=0)
    key(axes[0, 0], films)
    gone = films[films["measure"] == "vanished columns"]
    return Picture(
        figure, "Share of silent, vanished and near-duplicate hidden neurons by epoch, in the colour of the matrix "
        f"they feed. Silent at the end: {versus(silent, 'value', ['layer'])}.",
        f"What to see: whether neurons fade, or merge, and when. Vanished at the end, mean of {few} networks: "
        f"{span(gone, 'value')}. Bands are 95 % confidence.",
    )  # fmt: skip
