"""Figures that compare ensembles without and with weight decay: they draw the tables of :mod:`pigmm.decay`.

Schemes stand side by side.  Lines with round marks belong to the regularised ensemble; colours and line styles are
those of the whole book.  Tables come from :func:`pigmm.decay.tidy`, so they have columns ``scheme`` and ``decay``.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any

import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from .listing import listed
from .style import INK, LAYER, MARK, PALETTE, STYLE, TITLE, Picture, axes_grid, band, legend

if TYPE_CHECKING:
    import pandas as pd

__all__ = [
    "blocks", "curve", "distances", "effects", "grid", "key", "learning", "norms", "pairs", "ruler", "span", "spectra",
    "versus", "z_scores",
]  # fmt: skip

_PLACE = {"start": "scheme", "decay": "decay", "layer": "layer", "epoch": "epoch"}  # what tables of numbers begin with
_WHAT = {"start": "scheme", "decay": "decay", "what": "what", "epoch": "epoch"}


def grid(table: pd.DataFrame, rows: int, height: float) -> tuple[Figure, Any, list[str]]:
    """A grid by epoch with one column a scheme."""
    schemes = list(table["scheme"].unique())
    figure, axes = axes_grid(rows, len(schemes), height, sharex=True, sharey="row")
    for column, scheme in enumerate(schemes):
        axes[0, column].set_title(TITLE[scheme])
        axes[-1, column].set_xlabel("epoch")
    return figure, axes, schemes


def _panels(
    table: pd.DataFrame, height: float, label: str
) -> tuple[Figure, Any, list[tuple[Axes, str, pd.DataFrame]]]:
    """Layers down, schemes across: the figure, its axes, and of every panel axes, layer, and part of the table."""
    layers = list(table["layer"].unique())
    figure, axes, schemes = grid(table, len(layers), height * len(layers) + 0.9)
    _label(axes, layers, label)
    panels = [
        (ax, layer, table[(table["scheme"] == scheme) & (table["layer"] == layer)])
        for column, scheme in enumerate(schemes) for ax, layer in zip(axes[:, column], layers, strict=True)
    ]  # fmt: skip
    return figure, axes, panels


def _label(axes: Any, layers: Sequence[str], label: str) -> None:
    for ax, layer in zip(axes[:, 0], layers, strict=True):
        ax.set_ylabel(f"{layer}: {label}")


def _log_scale(ax: Axes, ticks: Sequence[float]) -> None:
    ax.set_yscale("log")
    ax.set_yticks(ticks, [f"{tick:g}" for tick in ticks])
    ax.minorticks_off()


def curve(
    ax: Axes, part: pd.DataFrame, column: str, color: Any, style: Any = "-", edges: tuple[str, str] | str | None = None,
    label: str | None = None,
) -> None:  # fmt: skip
    """Two lines, without and with decay, and their bands: between two columns, or 95 % confidence from errors."""
    for decay in sorted(part["decay"].unique()):
        line, regular = part[part["decay"] == decay], bool(decay > 0)
        every = max(1, len(line) // 6)
        ax.plot(
            line["epoch"], line[column], color=color, linestyle=style, marker=MARK[regular], markevery=(0, every),
            markersize=4, label=None if regular else label,
        )  # fmt: skip
        if isinstance(edges, str):
            band(ax, line["epoch"], line[column] - 1.96 * line[edges], line[column] + 1.96 * line[edges], color)
        elif edges:
            band(ax, line["epoch"], line[edges[0]], line[edges[1]], color)


def key(ax: Axes, table: pd.DataFrame, columns: int = 3) -> None:
    """The legend: what the curves of the first panel are called, and which of them are regularised."""
    for decay in sorted(table["decay"].unique()):
        ax.plot([], [], color=INK, marker=MARK[bool(decay > 0)], markersize=4, label=_name(decay))
    legend(ax, columns)


def _name(decay: float) -> str:
    return f"decay {decay:g}" if decay > 0 else "no decay"


def _ends(table: pd.DataFrame) -> pd.DataFrame:
    return table[table["epoch"] == table["epoch"].max()]


def versus(table: pd.DataFrame, column: str, by: Sequence[str], digits: int = 2) -> str:
    """``gaussian L1 0.5 without, 0.7 with``, for every scheme and ``by`` at the last epoch."""
    words = []
    for place, part in _ends(table).groupby(["scheme", *by], sort=False):
        values = part.sort_values("decay")[column]
        first, last = values.iloc[0], values.iloc[-1]
        words.append(f"{' '.join(map(str, place))} {first:.{digits}f} without, {last:.{digits}f} with")
    return "; ".join(words)


def span(table: pd.DataFrame, column: str, digits: int = 2) -> str:
    """``0.5 to 0.7 without decay, 0.2 to 0.3 with``, over all schemes and layers at the last epoch."""
    words = []
    for decay in sorted(table["decay"].unique()):
        part = _ends(table[table["decay"] == decay])
        low, high = (f"{x:.{digits}f}" for x in (part[column].min(), part[column].max()))
        words.append(f"{low if low == high else f'{low} to {high}'} {'with' if decay > 0 else 'without decay'}")
    return ", ".join(words)


def learning(table: pd.DataFrame) -> Picture:
    """Test accuracy, generalisation gap and loss by epoch: mean, and the middle 80 % of networks."""
    figure, axes, schemes = grid(table, 3, 6.4)
    names = {"test accuracy": "test accuracy", "gap": "training minus\ntest accuracy", "loss": "training loss\n(nats)"}
    for column, scheme in enumerate(schemes):
        for row, what in enumerate(names):
            part = table[(table["scheme"] == scheme) & (table["what"] == what)]
            curve(axes[row, column], part, "mean", PALETTE[column], STYLE[scheme], ("low", "high"))
    for ax, name in zip(axes[:, 0], names.values(), strict=True):
        ax.set_ylabel(name)
    trained = table[(table["what"] == "test accuracy") & (table["epoch"] > 0)]
    axes[0, 0].set_ylim(bottom=trained["low"].min() - 0.02)  # the start, one in ten, would squeeze everything else
    _log_scale(axes[2, 0], [0.25, 0.5, 1, 2])
    key(axes[0, 0], table)
    chosen = table[table["what"].isin(list(names))]
    text = f"After the last epoch: {versus(chosen, 'mean', ['what'], 3)}."
    accuracy = table[table["what"] == "test accuracy"]
    return Picture(
        figure, f"Test accuracy, generalisation gap and loss by epoch, without and with decay. {text}",
        "What to see: how far the curves part, and how wide the bands are (the middle 80 % of networks). At the end "
        f"the mean test accuracy is {span(accuracy, 'mean', 3)}; its standard deviation over networks is "
        f"{span(accuracy, 'sd', 4)}.",
        listed(chosen, _WHAT | {"mean": "mean", "st. dev.": "sd"}),
    )  # fmt: skip


def norms(table: pd.DataFrame) -> Picture:
    """Norms of all four matrices by epoch with the middle 80 % of networks: without decay above, with it below."""
    figure, axes, schemes = grid(table, 2, 5.2)
    kinds = [what for what in table["what"].unique() if what.startswith("norm ")]
    for column, scheme in enumerate(schemes):
        for row, decay in enumerate(sorted(table["decay"].unique())):
            ax = axes[row, column]
            for what in kinds:
                name = what.removeprefix("norm ")
                rows = (table["scheme"] == scheme) & (table["what"] == what) & (table["decay"] == decay)
                curve(ax, table[rows], "mean", LAYER.get(name, INK), STYLE[scheme], ("low", "high"))
                if scheme == schemes[0] and row == 0:
                    ax.plot([], [], color=LAYER.get(name, INK), label=name)
            _log_scale(ax, [2, 3, 5, 10])
            axes[row, 0].set_ylabel(f"norm, {_name(decay)}")
    key(axes[0, 0], table)
    chosen = table[table["what"].isin(kinds)]
    tight = chosen.assign(spread=100 * chosen["sd"] / chosen["mean"])
    return Picture(
        figure, f"Frobenius norm of every matrix by epoch, log scale. At the end: {versus(chosen, 'mean', ['what'])}.",
        f"What to see: whether the layers come to one norm (at the end {span(chosen, 'mean', 1)}), and how far "
        f"networks differ: their standard deviation in per cent of the mean is {span(tight, 'spread', 1)}.",
        listed(chosen, _WHAT | {"mean": "mean", "st. dev.": "sd"}),
    )  # fmt: skip


def blocks(table: pd.DataFrame, unit: Mapping[str, float]) -> Picture:
    """Variance of every kind of coordinate by epoch over the initial variance: layers down, schemes across."""
    kinds = {"f3": ("grand mean", 2), "f9": ("row sums", 3), "f6": ("column sums", 0), "f12": ("bulk", 7)}
    scale = table["scheme"].map(unit)
    scaled = table.assign(y=table["value"] / scale, e=table["se"] / scale)
    scaled = scaled[scaled["parameter"].isin(list(kinds))]
    scaled = scaled.replace({"parameter": {name: label for name, (label, _) in kinds.items()}})
    figure, axes, panels = _panels(scaled, 1.9, "variance /\ninitial variance")
    for ax, _, part in panels:
        for label, color in kinds.values():
            line = part[part["parameter"] == label]
            line = line.assign(low=np.maximum(line["y"] - 1.96 * line["e"], line["y"] / 3))
            line = line.assign(high=line["y"] + 1.96 * line["e"])
            curve(ax, line, "y", PALETTE[color], "-", ("low", "high"), label)
        ax.axhline(1, color=INK, linewidth=0.8)
        ax.set_yscale("log")
    key(axes[0, 0], table)
    end = _ends(scaled[scaled["decay"] > 0])
    low = end.iloc[int(end["y"].to_numpy().argmin())]
    return Picture(
        figure,
        "Variances of grand mean, row sums, column sums and bulk by epoch over the initial variance, log scale. "
        f"At the end: {versus(scaled, 'y', ['layer', 'parameter'])}.",
        "What to see: decay narrows some kinds of coordinates more than others, and that is a change of shape. The "
        f"smallest at the end is that of the {low['parameter']} of {low['layer']}, {low['scheme']} start: "
        f"{low['y']:.2g} of the initial variance. Bands are 95 % confidence.",
        listed(_ends(scaled), _PLACE | {"part": "parameter", "variance / initial": ("y", "e")}),
    )


def distances(table: pd.DataFrame) -> Picture:
    """Squared distance from the start by epoch, and the part of it that is a change of shape."""
    figure, axes, panels = _panels(table, 1.8, "$W_2^2$\n(squared weights)")
    for ax, layer, part in panels:
        curve(ax, part, "w2_squared", LAYER[layer], "-", "w2_squared_se", "distance, squared")
        curve(ax, part, "shape", LAYER[layer], ":", "shape_se", "of it: shape")
    for ax in axes[:, 0]:
        ax.set_ylim(bottom=0)  # now that all panels of the row are drawn
    key(axes[0, 0], table, columns=2)
    return Picture(
        figure, "Squared Wasserstein distance from the start by epoch, and its shape part. At the end: "
        f"{versus(table, 'w2_squared', ['layer'])}.",
        "What to see: solid lines are the whole distance, dotted ones what remains when the start may be rescaled. "
        f"At the end the distance is {span(table, 'w2_squared')}, the shape part {span(table, 'shape')}. Bands are "
        "95 % confidence.",
        listed(table, _PLACE | {"W2 squared": ("w2_squared", "w2_squared_se"), "shape part": ("shape", "shape_se")}),
    )  # fmt: skip


def effects(table: pd.DataFrame) -> Picture:
    """Effect sizes of the 348 predictions by epoch: median and largest; layers down, schemes across."""
    figure, axes, panels = _panels(table, 1.8, "effect size")
    for ax, layer, part in panels:
        curve(ax, part, "ratio_median", LAYER[layer], "-", label="median")
        curve(ax, part, "ratio_max", LAYER[layer], ":", label="largest")
        ax.plot(*(part.groupby("epoch")["ratio_noise"].mean().reset_index().to_numpy().T), color=INK,
                linestyle="--", linewidth=1, label="median, if true" if ax is axes[0, 0] else None)  # fmt: skip
        ax.set_yscale("log")
    key(axes[0, 0], table)
    return Picture(
        figure, "Effect size of cubic and quartic predictions by epoch, log scale. Median at the end: "
        f"{versus(table, 'ratio_median', ['layer'], 3)}.",
        f"What to see: medians (solid) and leaders (dotted) need not move together. At the end the median is "
        f"{span(table, 'ratio_median', 3)}, the largest {span(table, 'ratio_max')}.",
        listed(table, _PLACE | {"median": "ratio_median", "largest": "ratio_max", "median, if true": "ratio_noise"}),
    )  # fmt: skip


def z_scores(table: pd.DataFrame) -> Picture:
    """Root-mean-square and largest |z| of the 348 predictions by epoch."""
    figure, axes, schemes = grid(table, 2, 5.0)
    for column, scheme in enumerate(schemes):
        for layer, part in table[table["scheme"] == scheme].groupby("layer"):
            for ax, name in zip(axes[:, column], ("z_rms", "z_max"), strict=True):
                curve(ax, part, name, LAYER[str(layer)], label=str(layer))
        for ax, line in zip(axes[:, column], (1, 3.2), strict=True):  # 3.2: the largest of 348 independent normals
            ax.axhline(line, color=INK, linestyle="--", linewidth=1)
            ax.set_yscale("log")
    axes[0, 0].set_ylabel("|z|, root mean square")
    axes[1, 0].set_ylabel("|z|, largest")
    key(axes[0, 0], table)
    return Picture(
        figure,
        f"z of the predictions by epoch, log scale. Largest at the end: {versus(table, 'z_max', ['layer'], 1)}.",
        "What to see: the dashed lines are what a true law would give. Root mean square at the end: "
        f"{span(table, 'z_rms', 1)}.",
        listed(table, _PLACE | {"z, rms": "z_rms", "|z|, largest": "z_max"}),
    )


def pairs(tables: Mapping[str, Mapping[str, pd.DataFrame]]) -> Picture:
    """Effect size of every invariant with decay against that without; schemes across, layers down."""
    schemes, layers = list(tables), list(next(iter(tables.values())))
    figure, axes = axes_grid(len(layers), len(schemes), 2.2 * len(layers) + 0.6, sharex=True, sharey=True)
    words = []
    for column, scheme in enumerate(schemes):
        axes[0, column].set_title(TITLE[scheme])
        axes[-1, column].set_xlabel("effect size, no decay")
        for ax, layer in zip(axes[:, column], layers, strict=True):
            table = tables[scheme][layer]
            for few, color, size, label in ((False, LAYER[layer], 3, "all 348"), (True, INK, 4, "the paper's 39")):
                part = table[table["paper"].notna()] if few else table
                ax.plot(
                    part["effect_0"].clip(lower=1e-3), part["effect_1"].clip(lower=1e-3), "s" if few else "o",
                    markersize=size, color=color, alpha=0.6, markerfacecolor="none" if few else color, label=label,
                )  # fmt: skip
            far = table.nlargest(8, "change")  # errors of all 348 would hide them
            ax.errorbar(far["effect_0"], far["effect_1"], xerr=far["se_0"], yerr=far["se_1"], fmt="none", ecolor=INK)
            ax.plot([1e-3, 5], [1e-3, 5], color=INK, linewidth=1)
            ax.set(xscale="log", yscale="log", xlim=(9e-4, 5), ylim=(9e-4, 5))
            more, less = ((table["change_p"] < 0.05) & (sign * table["change"] > 0) for sign in (1, -1))
            top = table.iloc[int(table["change"].to_numpy().argmax())]
            words.append(
                f"{scheme} {layer}: {more.sum()} clearly more, {less.sum()} clearly less, the most {top['name']} from "
                f"{top['effect_0']:.2f} to {top['effect_1']:.2f}"
            )
    _label(axes, layers, "effect size,\nwith decay")
    legend(axes[0, 0], 2)
    text = f"{'; '.join(words)}."
    return Picture(
        figure, f"Scatter of effect sizes with decay against those without, log-log, one point an invariant. {text}",
        f"What to see: points above the diagonal deviate more with decay. {text}",
    )


def ruler(table: pd.DataFrame) -> Picture:
    """Spread of the squared norm over networks, measured over predicted, by epoch."""
    figure, axes, schemes = grid(table, 1, 3.6)
    for ax, scheme in zip(axes[0], schemes, strict=True):
        for layer, part in table[table["scheme"] == scheme].groupby("layer"):
            curve(ax, part, "stretch", LAYER[str(layer)], "-", "stretch_se", str(layer))
        ax.axhline(1, color=INK, linestyle="--", linewidth=1)
        _log_scale(ax, [0.25, 0.5, 1, 2, 4])
    axes[0, 0].set_ylabel("spread of the squared norm,\nmeasured / predicted")
    key(axes[0, 0], table)
    return Picture(
        figure, "Standard deviation over networks of the squared norm over that of the fitted law, by epoch. "
        f"At the end: {versus(table, 'stretch', ['layer'])}.",
        "What to see: one is Gaussian; above it networks are loud and quiet, below it their norms are locked. At the "
        f"end {span(table, 'stretch')}. Bands are 95 % confidence.",
        listed(table, _PLACE | {"measured / predicted": ("stretch", "stretch_se")}),
    )  # fmt: skip


def spectra(table: pd.DataFrame) -> Picture:
    """Mean singular values by epoch of one scheme: layers down, without and with decay across."""
    layers, decays = list(table["layer"].unique()), sorted(table["decay"].unique())
    figure, axes = axes_grid(len(layers), len(decays), 1.8 * len(layers) + 0.5, sharex=True, sharey=True)
    words = []
    for column, decay in enumerate(decays):
        axes[0, column].set_title(_name(decay))
        axes[-1, column].set_xlabel("epoch")
        for ax, layer in zip(axes[:, column], layers, strict=True):
            part = table[(table["layer"] == layer) & (table["decay"] == decay)]
            for _, line in part.groupby("place"):
                ax.plot(line["epoch"], line["mean"], color=LAYER[layer], linewidth=1.2)
                band(ax, line["epoch"], line["mean"] - line["sd"], line["mean"] + line["sd"], LAYER[layer])
            end = _ends(part).sort_values("place")["mean"].to_numpy()
            words.append(f"{layer}, {_name(decay)}: largest {end[0]:.2f}, fifth {end[4]:.2f}, smallest {end[-1]:.3f}")
    _label(axes, layers, "singular\nvalues")
    return Picture(
        figure, f"Mean singular values in descending order by epoch. At the end: {'; '.join(words)}.",
        f"What to see: bands are one standard deviation over networks. At the end: {'; '.join(words)}.",
    )
