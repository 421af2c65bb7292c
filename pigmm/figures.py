"""Figures of an ensemble at one epoch: matrices, predictions against measurements, spectra.

They draw arrays and the tables of :mod:`pigmm.gaussianity`, no more; :mod:`pigmm.trajectories` draws a whole training.

Each function returns a :class:`~pigmm.style.Picture`: the figure, a description for those who cannot see it, and one
sentence saying what to see; both sentences are made from the data.  ``show`` displays it.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING

import numpy as np
import seaborn as sns
from numpy.typing import ArrayLike

from .listing import listed
from .style import INK, LAYER, PALETTE, Picture, axes_grid, legend, scheme_grid, show

if TYPE_CHECKING:
    import pandas as pd

__all__ = [
    "Picture", "agreement", "error_shrinkage", "initial_z", "matrices", "show", "spectra", "two_measures",
]  # fmt: skip


def matrices(W: ArrayLike, layer: str, epoch: int) -> Picture:
    """Three weight matrices of an ensemble, its mean and standard deviation matrices, and all its entries."""
    W = np.asarray(W)
    mean, spread = W.mean(axis=0), W.std(axis=0, ddof=1)
    figure, axes = axes_grid(2, 3, 4.4)
    limit = 2.5 * W.std()
    panels = [(matrix, f"network {k + 1}") for k, matrix in enumerate(W[:3])]
    panels += [(np.full_like(mean, np.nan), "")] * (3 - len(panels))
    panels += [(mean, f"mean\n{mean.min():.2f} to {mean.max():.2f}")]
    panels += [(spread, f"std. deviation\n{spread.min():.2f} to {spread.max():.2f}")]
    for ax, (matrix, title) in zip(axes.flat, panels, strict=False):
        image = ax.imshow(matrix, cmap=sns.color_palette("vlag", as_cmap=True), vmin=-limit, vmax=limit)
        ax.set(title=title, xticks=[], yticks=[])
        ax.grid(False)
    axes[0, 0].set_ylabel("to neuron i")
    axes[1, 0].set(xlabel="from neuron j", ylabel="to neuron i")
    bar = figure.colorbar(image, ax=axes[:, :2], shrink=0.7, location="left", label="weight")
    bar.outline.set_visible(False)
    bar.ax.tick_params(colors=INK)
    bar.ax.yaxis.label.set_color(INK)
    ax = axes[1, 2]
    ax.hist(W.ravel(), bins=60, density=True, color=PALETTE[0], alpha=0.5)
    x = np.linspace(-2 * limit, 2 * limit, 200)
    ax.plot(x, np.exp(-0.5 * ((x - W.mean()) / W.std()) ** 2) / W.std() / np.sqrt(2 * np.pi), color=INK)
    ax.set(title="all entries", xlabel="weight", yticks=[], xlim=(-1.6 * limit, 1.6 * limit))
    alt = (
        f"Heatmaps of layer {layer} at epoch {epoch}: {len(W[:3])} of {len(W)} networks look like unrelated noise; "
        f"the mean over networks has entries between {mean.min():.3f} and {mean.max():.3f}, the standard deviation "
        f"between {spread.min():.3f} and {spread.max():.3f}. A histogram of all entries lies beside a normal curve."
    )
    see = (
        f"What to see: single networks look unrelated, and what they share is statistical: over all entries the mean "
        f"is {W.mean():.3f} and the standard deviation {W.std():.3f}."
    )
    return Picture(figure, alt, see)


def initial_z(tables: Mapping[str, pd.DataFrame]) -> Picture:
    """Deviation of I1 ... I13 from their exact initial values in standard errors, by layer and scheme."""
    figure, axes = scheme_grid(tables, 4.6)
    for ax, table in zip(axes[0], tables.values(), strict=True):
        ax.axvspan(-1.96, 1.96, color=INK, alpha=0.15, linewidth=0)
        for shift, (layer, part) in enumerate(table.groupby("layer")):
            ax.plot(
                part["z"], part["paper"] + 0.2 * (shift - 1), "o", color=LAYER[str(layer)], label=layer, markersize=5
            )
        ax.set(xlabel="deviation / standard error", ylim=(13.7, 0.3), yticks=range(1, 14))
    first = next(iter(tables.values()))
    names = first.drop_duplicates("paper").sort_values("paper")
    axes[0, 0].set_yticklabels(
        [f"I{p}  {n}" for p, n in zip(names["paper"], names["name"], strict=True)], family="monospace"
    )
    legend(axes[0, -1])
    z = np.concatenate([table["z"] for table in tables.values()])
    share, largest = 100 * (np.abs(z) < 1.96).mean(), np.abs(z).max()
    text = f"{share:.0f} % of {len(z)} deviations lie within 1.96 standard errors, the largest at {largest:.1f}."
    return Picture(
        figure, f"Dot plot of thirteen invariants at initialisation for each layer and scheme. {text}",
        f"What to see: {text} With correct errors about 95 % should.",
        listed(tables, {"layer": "layer", "invariant": "name", "z": "z"}),
    )  # fmt: skip


def error_shrinkage(table: pd.DataFrame) -> Picture:
    """Root-mean-square relative error of invariants against the number of networks averaged."""
    figure, axes = axes_grid(1, 1, 3.6)
    ax, ends = axes[0, 0], []
    for k, (name, part) in enumerate(table.groupby("name", sort=False)):
        ax.errorbar(
            part["runs"], part["error"], yerr=part["error_se"], marker="o", markersize=4, color=PALETTE[k], label=name,
            linestyle="none",
        )  # fmt: skip
        ax.plot(part["runs"], part["expected"], color=PALETTE[k], linewidth=1)
        ends.append(f"{name} from {part['error'].iloc[0]:.2g} to {part['error'].iloc[-1]:.2g}")
    ax.set(xscale="log", yscale="log", xlabel="networks averaged, R", ylabel="relative error of the mean")
    sizes = sorted(table["runs"].unique())
    ax.set_xticks(sizes, [str(size) for size in sizes])
    ax.minorticks_off()
    legend(ax, columns=4)
    low, high = table["runs"].min(), table["runs"].max()
    alt = f"Relative error against the number of networks from {low} to {high}, log-log: {'; '.join(ends)}."
    see = "What to see: points follow the lines (standard deviation / √R); four times the networks halve the error."
    return Picture(
        figure, alt, see,
        listed(table, {
            "invariant": "name", "networks": "runs", "relative error": ("error", "error_se"), "expected": "expected",
        }),
    )


def agreement(tables: Mapping[str, pd.DataFrame]) -> Picture:
    """Measured against predicted for every cubic and quartic invariant, one panel a law, in units of the spread."""
    figure, axes = axes_grid(1, len(tables), 3.5, sharex=True, sharey=True)
    summary = {}
    for ax, (law, table) in zip(axes[0], tables.items(), strict=True):
        spread = table["sd"].where(table["sd"] > 0)
        for degree, marker, color in ((3, "o", PALETTE[0]), (4, "^", PALETTE[1])):
            part = table["degree"] == degree
            x, y = table["predicted"] / spread, table["measured"] / spread
            ax.errorbar(
                x[part], y[part], yerr=(table["se"] / spread)[part], fmt=marker, markersize=3.5, color=color,
                elinewidth=0.6, alpha=0.75, label=f"degree {degree}",
            )  # fmt: skip
        ax.axline((0, 0), slope=1, color=INK, linewidth=1, zorder=0)
        ax.set(title=law, xlabel="predicted / spread")
        summary[law] = float(np.sqrt(((table["measured"] - table["predicted"]) ** 2 / spread**2).mean()))
    axes[0, 0].set_ylabel("measured / spread")
    for ax in axes[0]:
        ax.set_xscale("symlog", linthresh=0.1)
        ax.set_yscale("symlog", linthresh=0.1)
    legend(axes[0, 0])
    words = "; ".join(f"{law}: {value:.2f}" for law, value in summary.items())
    return Picture(
        figure,
        f"Measured against predicted means of {len(table)} cubic and quartic invariants, in units of their spread over "
        f"networks. Root-mean-square miss: {words}.",
        f"What to see: the closer to the diagonal, the better the law predicts. Root-mean-square miss in units of the "
        f"spread over networks: {words}.",
    )


def two_measures(tables: Mapping[str, Mapping[str, pd.DataFrame]]) -> Picture:
    """Effect size (the paper's ratio) against |z| for every cubic and quartic invariant, by scheme and layer."""
    figure, axes = scheme_grid(tables, 3.6)
    highest = max(table["z"].abs().max() for layers in tables.values() for table in layers.values())
    words = []
    for ax, (scheme, layers) in zip(axes[0], tables.items(), strict=True):
        ax.axhspan(1e-3, 1.96, color=INK, alpha=0.15, linewidth=0)
        for layer, table in layers.items():
            z = table["z"].abs().clip(lower=0.02)
            ratio = table["ratio"].clip(lower=1e-4)
            ax.plot(ratio, z, ".", color=LAYER[layer], label=layer, markersize=4, alpha=0.7)
            top = table.iloc[int(z.to_numpy().argmax())]
            words.append(
                f"{scheme} {layer} largest |z| {abs(top['z']):.1f} ({top['name']}, effect size {top['ratio']:.2f})"
            )
        ax.set(xscale="log", yscale="log", xlabel="effect size", ylim=(0.02, 2 * highest))
    axes[0, 0].set_ylabel("|z|: difference / its error")
    legend(axes[0, -1])
    return Picture(
        figure,
        f"Scatter of the effect size against |z| of cubic and quartic predictions. {'; '.join(words)}.",
        "What to see: a true law leaves 95 % of points inside the grey band (|z| below 1.96), whatever the effect; "
        f"points far above it refute the law. The largest |z| is {highest:.1f}.",
    )


def spectra(values: Mapping[str, Mapping[str, ArrayLike]]) -> Picture:
    """Histograms of singular values, trained matrices against samples of fitted laws, one panel a layer."""
    figure, axes = axes_grid(len(values), 1, 1.8 * len(values) + 0.5, sharex=True)
    words = []
    # a few loud networks would squeeze everything else into a corner
    limit = max(np.quantile(np.asarray(x), 0.99) for sets in values.values() for x in sets.values())
    for ax, (layer, sets) in zip(axes[:, 0], values.items(), strict=True):
        arrays = {label: np.asarray(x) for label, x in sets.items()}
        edges = np.linspace(0, limit, 50)
        for k, (label, x) in enumerate(arrays.items()):
            height = np.histogram(x.ravel(), edges, density=True)[0]
            if k == 0:
                ax.stairs(height, edges, fill=True, color=LAYER[layer], alpha=0.35, label=label)
            else:
                ax.stairs(
                    height,
                    edges,
                    color=(PALETTE[3], INK)[k - 1],
                    linestyle=("--", "-")[k - 1],
                    linewidth=1.5,
                    label=label,
                )
        typical = {label: np.median(x) for label, x in arrays.items()}
        words.append(f"{layer}: " + ", ".join(f"{label} {value:.2f}" for label, value in typical.items()))
        ax.set_title(layer, loc="left")
        ax.set_yticks([])
    axes[-1, 0].set_xlabel("singular value")
    axes[len(values) // 2, 0].set_ylabel("density")
    legend(axes[0, 0])
    return Picture(
        figure,
        f"Histograms of singular values for each layer. Median singular value: {'; '.join(words)}.",
        "What to see: where the filled histogram and the lines differ, the fitted laws do not know the spectrum.",
    )  # fmt: skip
