"""Figures of the first step beyond Gaussian: how a selection goes on, and who predicts held-out networks.

As in :mod:`pigmm.figures` each function returns a :class:`~pigmm.style.Picture`, described from the data.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING

import numpy as np

from .action import Action
from .style import INK, LAYER, PALETTE, Picture, axes_grid, legend

if TYPE_CHECKING:
    import pandas as pd

__all__ = ["contests", "selections"]

MARKERS = "osD^vP*"


def selections(actions: Mapping[str, Action]) -> Picture:
    """Largest residual |z| against the number of couplings, one line an ensemble, with the critical value.

    A name that begins with a layer, such as "L1, epoch 50", gets the layer's colour; its second line is dashed.
    """
    figure, axes = axes_grid(1, 1, 3.4)
    ax, words, done, seen = axes[0, 0], [], [], set[str]()
    for k, (name, action) in enumerate(actions.items()):
        table = action.history
        height = table["z"].abs()
        layer = name.split(",")[0]
        style = "--" if layer in seen else "-"
        seen.add(layer)
        color = LAYER.get(layer, INK)
        ax.plot(table["terms"], height, style, color=color, marker=MARKERS[k % 8], markersize=5, label=name)
        first = f", first {action.graphs[0].name}" if action.graphs else ""
        words.append(f"{name} from {height.iloc[0]:.1f} to {height.iloc[-1]:.1f} with {len(action.graphs)}{first}")
        there = "with" if height.iloc[-1] < table["critical"].iloc[-1] else "not with"
        done.append(f"{name} {there} {len(action.graphs)}")
    critical = float(np.mean([step.critical for action in actions.values() for step in action.steps]))
    ax.axhspan(0.5, critical, color=INK, alpha=0.15, linewidth=0)
    most = max(len(action.graphs) for action in actions.values())
    ax.set(xlabel="couplings taken", ylabel="largest |z| left", yscale="log", xticks=range(most + 1))
    ticks = [1, 3, 10, 30, 100]
    ax.set_yticks(ticks, [str(tick) for tick in ticks])
    ax.minorticks_off()
    ax.set_ylim(bottom=1)
    legend(ax, columns=3)
    return Picture(
        figure,
        "Largest residual |z| of the cubic and quartic invariants against the number of couplings, log scale; grey "
        f"below the critical value, {critical:.1f} on average. {'; '.join(words)}.",
        f"What to see: in the grey band nothing is left that chance would not do. Couplings that get there: "
        f"{'; '.join(done)}.",
    )


def contests(tables: Mapping[str, pd.DataFrame], columns: int = 3) -> Picture:
    """Held-out root-mean-square z of every model, one panel an ensemble; hollow where there is no such density."""
    rows = -(-len(tables) // columns)
    found = dict.fromkeys(model for table in tables.values() for model in table["model"])
    models = sorted(found, key=lambda m: (m != "Gaussian", "action" not in m, "scale" not in m))  # stable within groups
    figure, axes = axes_grid(rows, columns, 0.6 + 2.3 * rows, sharex=True, sharey=True)
    words = []
    for ax, (name, table) in zip(axes.flat, tables.items(), strict=False):
        ax.axvline(1, color=INK, linewidth=1)
        for model, rms, exists in zip(table["model"], table["rms"], table["exists"], strict=True):
            color = PALETTE[0] if "action" in model else PALETTE[1] if "scale" in model else INK
            face = color if exists else "none"
            ax.plot(rms, models.index(model), "o", color=color, markerfacecolor=face, markersize=6)
        ax.set(title=name, xscale="log")
        laws = table[table["extra"] <= 4].set_index("model")["rms"]
        words.append(f"{name}: Gaussian {laws['Gaussian']:.1f}, best {laws.idxmin()} {laws.min():.1f}")
    for ax in axes.flat[len(tables) :]:
        ax.set_visible(False)
    for ax in axes[-1]:
        ax.set_xlabel("held-out rms z")
        ax.set_xticks([1, 2, 5, 10, 20], ["1", "2", "5", "10", "20"])
        ax.minorticks_off()
    heights = np.concatenate([table["rms"] for table in tables.values()])
    axes[0, 0].set(yticks=range(len(models)), yticklabels=models, ylim=(len(models) - 0.5, -0.5))
    axes[0, 0].set_xlim(0.8 * min(1, heights.min()), max(1.3 * heights.max(), 3))
    return Picture(
        figure,
        "Dots: root-mean-square z of 43 predictions on held-out networks for each model, log scale, one panel an "
        f"ensemble; a perfect law has 1. {'; '.join(words)}.",
        f"What to see: {'; '.join(words)} (with at most four more parameters). Hollow dots have no density.",
    )
