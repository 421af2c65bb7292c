"""Figures of ensembles of several widths: they draw the tables of :mod:`pigmm.scaling`,
:mod:`pigmm.width_effects` and :mod:`pigmm.spectral`.

One shade a width, darker where wider.  Like :mod:`pigmm.figures`, each function returns a
:class:`~pigmm.style.Picture` that describes itself from the data.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any

import numpy as np
import seaborn as sns
from matplotlib.axes import Axes

from .listing import listed
from .spectral import quarter_circle
from .style import INK, PALETTE, SHADE, Picture, axes_grid, band, legend

if TYPE_CHECKING:
    import pandas as pd

__all__ = ["alive", "distances", "effects", "learning", "misfit", "movement", "rulers", "spectra"]

SHAPES = "osD^vPX*"


def _shades(widths: Sequence[int]) -> dict[int, Any]:
    """The colour of each width: the book's where they are known, else from the same palette in order."""
    if set(widths) <= set(SHADE):
        return {width: SHADE[width] for width in widths}
    return dict(zip(sorted(widths), sns.color_palette("crest", len(widths)), strict=True))


def _widths(table: pd.DataFrame) -> list[int]:
    return [int(width) for width in sorted(table["width"].unique())]


def _rows(table: pd.DataFrame) -> list[Any]:
    """The rows of a table, their columns as attributes."""
    return list(table.itertuples())


def _by_width(table: pd.DataFrame) -> list[tuple[int, pd.DataFrame]]:
    return [(width, table[table["width"] == width]) for width in _widths(table)]


def _width_axis(ax: Axes, widths: Sequence[int]) -> None:
    ax.set_xscale("log")
    ax.set_xticks(list(widths), [str(width) for width in widths])
    ax.minorticks_off()


def learning(tables: Mapping[int, pd.DataFrame], epoch: int) -> Picture:
    """Test error and training loss by epoch: median and the middle 80 % of networks, a shade a width."""
    figure, axes = axes_grid(2, 1, 4.8, sharex=True)
    words, shades = [], _shades(list(tables))
    for width, table in tables.items():
        color = shades[width]
        error = {q: 1 - table[f"accuracy_{q}"] for q in ("low", "median", "high")}
        axes[0, 0].plot(table["epoch"], error["median"], color=color, label=f"n = {width}")
        band(axes[0, 0], table["epoch"], error["high"], error["low"], color)
        after = table[table["epoch"] > 0]
        axes[1, 0].plot(after["epoch"], after["loss_median"], color=color)
        band(axes[1, 0], after["epoch"], after["loss_low"], after["loss_high"], color)
        row = table[table["epoch"] == epoch].iloc[0]
        words.append(f"n = {width}: {100 * (1 - row['accuracy_mean']):.2f} ± {100 * row['accuracy_se']:.2f} %")
    for ax, label in zip(axes[:, 0], ("test error", "training loss (nats)"), strict=True):
        ax.set(yscale="log", ylabel=label)
        ax.axvline(epoch, color=INK, linestyle=":", linewidth=1)
    axes[1, 0].set_xlabel("epoch")
    legend(axes[0, 0], columns=4)
    text = f"Mean test error after epoch {epoch}: {'; '.join(words)}."
    return Picture(
        figure, f"Test error and training loss by epoch for each width, log scales. {text}",
        f"What to see: {text} Lines are medians, bands the middle 80 % of networks; the dotted line marks the epoch at "
        "which widths are compared.",
        listed(
            {f"{width}": table for width, table in tables.items()},
            {"epoch": "epoch", "accuracy, mean": ("accuracy_mean", "accuracy_se"), "loss, median": "loss_median"},
            "width",
        ),
    )  # fmt: skip


def alive(table: pd.DataFrame, epoch: int) -> Picture:
    """Mean, and the variances of row sums, column sums and bulk, by epoch in units of the start."""
    figure, axes = axes_grid(4, 1, 7.6, sharex=True)
    shades, words = _shades(_widths(table)), []
    for ax, part in zip(axes[:, 0], ("mean", "rows", "columns", "bulk"), strict=True):
        for width, lines in _by_width(table[table["part"] == part]):
            color = shades[width]
            ax.plot(lines["epoch"], lines["value"], color=color, label=f"n = {width}")
            band(ax, lines["epoch"], lines["value"] - 1.96 * lines["se"], lines["value"] + 1.96 * lines["se"], color)
            row = lines[lines["epoch"] == epoch].iloc[0]
            words.append(f"{part} at n = {width} {row['value']:.2f} ± {row['se']:.2f}")
        ax.axhline(0 if part == "mean" else 1, color=INK, linewidth=0.8)
        ax.axvline(epoch, color=INK, linestyle=":", linewidth=1)
        ax.set_ylabel("mean" if part == "mean" else f"{part}:\nvariance")
        if part == "mean":
            ax.set_yscale("symlog", linthresh=1)
        else:
            ax.set_yscale("log")
            low, high = ax.get_ylim()
            marks = [x for x in (0.5, 1, 2, 4, 8, 16, 32) if low <= x <= high]
            ax.set_yticks(marks, [f"{x:g}" for x in marks])
            ax.minorticks_off()
    axes[-1, 0].set_xlabel("epoch")
    legend(axes[0, 0], columns=4)
    return Picture(
        figure,
        f"Mean and variances of row sums, column sums and bulk by epoch in units of the start. After epoch {epoch}: "
        f"{', '.join(words)}.",
        "What to see: how far each of the live parameters moves from its start (grey line) at each width, and where "
        "rows and columns part from the bulk. Bands are 95 % confidence; above one unit the scale is logarithmic.",
        listed(table, {"width": "width", "part": "part", "epoch": "epoch", "value / start": ("value", "se")}),
    )


def movement(table: pd.DataFrame, epochs: Sequence[int]) -> Picture:
    """Change of a weight, and squared distance of the law, against the width, with two expectations."""
    figure, axes = axes_grid(2, 1, 6.0, sharex=True)
    widths, words = _widths(table), []
    for k, epoch in enumerate(epochs):
        part, color, mark = table[table["epoch"] == epoch], PALETTE[(0, 3)[k]], SHAPES[k]
        top, bottom = axes[:, 0]
        for ax, value, error in ((top, "delta", "delta_se"), (bottom, "w2_squared", "se")):
            kept = part[part[value] > 2 * part[error]]
            ax.errorbar(
                kept["width"], kept[value], yerr=1.96 * kept[error], fmt=mark, color=color, markersize=6, capsize=2,
                label=f"epoch {epoch}",
            )  # fmt: skip
        top.plot(part["width"], part["walk"], "--", color=color, linewidth=1, label="random signs")
        bottom.plot(part["width"], part["w2_walk"], "--", color=color, linewidth=1)
        first = part.iloc[0]
        lazy = first["delta"] * (part["width"] / first["width"]) ** -1.5
        top.plot(part["width"], lazy, ":", color=color, linewidth=1.2, label="lazy, n$^{-3/2}$")
        words += [
            f"epoch {epoch}, n = {row.width}: weights {row.delta:.3f} ± {row.delta_se:.3f} (random signs "
            f"{row.walk:.3f}), law {row.w2_squared:.3g} ± {row.se:.1g}" for row in _rows(part)
        ]  # fmt: skip
    bottom.plot(part["width"], part["floor"], color=INK, linewidth=1.2)
    top.set(yscale="log", ylabel="change of a weight\n(root mean square)")
    bottom.set(yscale="log", ylabel="squared distance $W_2^2$\n(squared weights)", xlabel="width n")
    _width_axis(bottom, widths)
    legend(top, columns=3)
    return Picture(
        figure, f"Movement since the start against the width, log-log. {'; '.join(words)}.",
        "What to see: dashed lines are what steps of one size with random signs would give, without a free parameter; "
        "dotted lines have the slope of the lazy regime. The grey line is the noise floor; bars are 95 % confidence.",
        listed(table[table["epoch"].isin(epochs)], {
            "width": "width", "epoch": "epoch", "change of a weight": ("delta", "delta_se"),
            "random signs": "walk", "W2 squared": ("w2_squared", "se"), "noise floor": "floor",
        }),
    )  # fmt: skip


def distances(table: pd.DataFrame, epoch: int) -> Picture:
    """Squared distance of the law from its start over the initial squared norm, by epoch, with noise floors."""
    figure, axes = axes_grid(1, 1, 3.8)
    ax, shades, words = axes[0, 0], _shades(_widths(table)), []
    for width, part in _by_width(table[table["epoch"] > 0]):
        color, norm = shades[width], part["w2_squared"] / part["share"]
        ax.plot(part["epoch"], part["share"], color=color, label=f"n = {width}")
        band(ax, part["epoch"], part["share"] - 1.96 * part["share_se"], part["share"] + 1.96 * part["share_se"], color)
        ax.plot(part["epoch"], part["floor"] / norm, "--", color=color, linewidth=1)
        row = part[part["epoch"] == epoch].iloc[0]
        words.append(f"n = {width} {row['share']:.4f} ± {row['share_se']:.4f}, floor {row['floor'] / norm.iloc[0]:.1e}")
    ax.axvline(epoch, color=INK, linestyle=":", linewidth=1)
    ax.set(yscale="log", xlabel="epoch", ylabel="$W_2^2$ / initial squared norm")
    legend(ax, columns=4)
    return Picture(
        figure,
        "Squared Wasserstein distance from the exact initial law over the initial squared norm by epoch, log scale. "
        f"After epoch {epoch}: {'; '.join(words)}.",
        "What to see: the movement of the law as a share of what was there, at every width; dashed lines are the noise "
        "floors, which differ with the width and the number of networks.",
        listed(table, {"width": "width", "epoch": "epoch", "share": ("share", "share_se")}),
    )  # fmt: skip


def misfit(table: pd.DataFrame) -> Picture:
    """Effect sizes of the 43 predictions against the width: median, 90 % and largest, a panel an epoch."""
    epochs = sorted(table["epoch"].unique())
    figure, axes = axes_grid(1, len(epochs), 3.8, sharey=True)
    words = []
    for ax, epoch in zip(axes[0], epochs, strict=True):
        part = table[table["epoch"] == epoch]
        for (name, label), color, mark in zip(
            (("largest", "largest"), ("high", "90 %"), ("median", "median")), (PALETTE[3], PALETTE[1], PALETTE[0]),
            SHAPES, strict=False,
        ):  # fmt: skip
            ax.errorbar(
                part["width"], part[name], yerr=1.96 * part[f"{name}_se"], marker=mark, color=color, capsize=2,
                markersize=5, label=label,
            )  # fmt: skip
        ax.plot(part["width"], part["noise"], "--", color=INK, linewidth=1.2, label="noise")
        ax.set(yscale="log", xlabel="width n", title=f"epoch {epoch}")
        _width_axis(ax, _widths(table))
        words += [
            f"epoch {epoch}, n = {r.width}: median {r.median:.3f} ± {r.median_se:.3f}, largest {r.largest:.2f} ± "
            f"{r.largest_se:.2f} ({r.leader}), noise {r.noise:.3f}" for r in _rows(part)
        ]  # fmt: skip
    low = min(table["noise"].min(), table["median"][table["median"] > 0].min())
    axes[0, 0].set(ylabel="effect size", ylim=(low / 2, 1.5 * (table["largest"] + table["largest_se"]).max()))
    legend(axes[0, 0], columns=4)
    last = table[table["epoch"] == epochs[-1]]
    ends = [f"{r.largest:.1f} at n = {r.width}" for r in (last.iloc[0], last.iloc[-1])]
    return Picture(
        figure, f"Effect sizes of 43 predictions against the width, log-log. {'; '.join(words)}.",
        f"What to see: the largest effect after epoch {epochs[-1]} is {' and '.join(ends)}; the dashed line is the "
        "root mean square that a true law would show with as many networks. Bars are 95 % confidence.",
        listed(table, {
            "width": "width", "epoch": "epoch", "median": ("median", "median_se"), "90 %": ("high", "high_se"),
            "largest": ("largest", "largest_se"), "of": "leader", "noise": "noise",
        }),
    )  # fmt: skip


def _lines(ax: Axes, table: pd.DataFrame, names: Sequence[str], value: str, error: str | None = None) -> None:
    for k, name in enumerate(names):
        part = table[table["name"] == name].sort_values("width")
        ax.errorbar(
            part["width"], part[value], yerr=1.96 * part[error] if error else None, marker=SHAPES[k % len(SHAPES)],
            color=PALETTE[k % len(PALETTE)], capsize=2, markersize=5, label=name,
        )  # fmt: skip


def effects(table: pd.DataFrame, names: Sequence[str]) -> Picture:
    """Effects with their sign against the width, for some invariants."""
    figure, axes = axes_grid(1, 1, 4.4)
    ax = axes[0, 0]
    _lines(ax, table, names, "effect", "se")
    ax.axhline(0, color=INK, linewidth=0.8)
    ax.set_yscale("symlog", linthresh=0.1)
    limit = max(1.0, float(table["effect"].abs().max()))
    sizes = [x for x in (0.1, 1, 10, 100, 1000) if x <= 1.2 * limit]
    marks = [*(-x for x in reversed(sizes)), 0, *sizes]
    ax.set_yticks(marks, [f"{x:g}" for x in marks])
    ax.set(xlabel="width n", ylabel="(measured − predicted) / spread")
    _width_axis(ax, _widths(table))
    legend(ax, columns=3)
    words = []
    for name in names:
        part = table[table["name"] == name].sort_values("width")
        steps = [f"{r.effect:+.2f} ± {r.se:.2f} at n = {r.width}" for r in _rows(part)]
        words.append(f"{name}: {', '.join(steps)}")
    return Picture(
        figure, f"Effects of {len(names)} predictions with their sign against the width. {'; '.join(words)}.",
        f"What to see: the effects that are largest in the widest layer. {words[0]}. The scale is linear up to 0.1; "
        "bars are 95 % confidence.",
        listed(table[table["name"].isin(names)], {"graph": "name", "width": "width", "effect": ("effect", "se")}),
    )  # fmt: skip


def rulers(table: pd.DataFrame, names: Sequence[str]) -> Picture:
    """The three factors of an effect against the width: relative miss, resolution, stretch."""
    figure, axes = axes_grid(3, 1, 7.2, sharex=True)
    sized = table.assign(miss=table["miss"].abs())
    kinds = (
        ("miss", "relative miss", "miss_se"), ("resolution", "prediction /\npredicted spread", None),
        ("stretch", "spread /\npredicted spread", None),
    )  # fmt: skip
    for ax, (value, label, error) in zip(axes[:, 0], kinds, strict=True):
        _lines(ax, sized.assign(resolution=sized["resolution"].abs()), names, value, error)
        ax.set(yscale="log", ylabel=label)
    axes[2, 0].axhline(1, color=INK, linestyle="--", linewidth=1)
    low, high = axes[2, 0].get_ylim()
    marks = [x for x in (0.25, 0.5, 1, 2, 4, 8, 16) if low <= x <= high]
    axes[2, 0].set_yticks(marks, [f"{x:g}" for x in marks])
    axes[2, 0].set_xlabel("width n")
    _width_axis(axes[2, 0], _widths(table))
    legend(axes[0, 0], columns=3)
    words = []
    for name in names:
        part = table[table["name"] == name].sort_values("width").iloc[[0, -1]]
        ends = [
            f"miss {100 * r.miss:+.1f} %, resolution {abs(r.resolution):.1f}, stretch {r.stretch:.2f} at n = {r.width}"
            for r in _rows(part)
        ]
        words.append(f"{name}: {' and '.join(ends)}")
    return Picture(
        figure, f"Relative miss, resolution and stretch against the width, log-log. {'; '.join(words)}.",
        "What to see: an effect is the product of the upper two over the lowest. Where the middle curve rises, the "
        "same percentage of error is more spreads in a wide layer than in a narrow one.",
        listed(table[table["name"].isin(names)], {
            "graph": "name", "width": "width", "relative miss": ("miss", "miss_se"),
            "prediction / predicted spread": "resolution", "spread / predicted spread": "stretch",
        }),
    )  # fmt: skip


def spectra(table: pd.DataFrame) -> Picture:
    """Ordered singular values in units of their root mean square, start and later, beside the quarter circle."""
    widths, epochs = _widths(table), sorted(table["epoch"].unique())
    rows = -(-len(widths) // 2)
    figure, axes = axes_grid(rows, 2, 2.4 * rows + 0.6, sharey=True)
    words = []
    for ax, width in zip(axes.flat, widths, strict=False):
        part = table[table["width"] == width]
        for epoch, color, size in zip(epochs, (PALETTE[0], PALETTE[3]), (3.5, 2.5), strict=False):
            line = part[part["epoch"] == epoch]
            ax.errorbar(
                line["share"], line["value"], yerr=1.96 * line["se"], fmt="o", markersize=size, color=color,
                elinewidth=0.8, label=f"epoch {epoch}",
            )  # fmt: skip
            words.append(f"n = {width}, epoch {epoch}: {line['value'].iloc[0]:.2f} ± {line['se'].iloc[0]:.2f}")
        x = np.geomspace(part["share"].min() / 1.5, 1, 200)
        ax.plot(x, quarter_circle(1 - x), color=INK, linewidth=1.2, label="quarter circle")
        ax.set(xscale="log", title=f"n = {width}")
    for ax in axes.flat[len(widths):]:
        ax.set_visible(False)
    for ax in axes[:, 0]:
        ax.set_ylabel("singular value / rms")
    for ax in axes[-1]:
        ax.set_xlabel("share of ranks")
    legend(axes[0, 0])
    return Picture(
        figure, f"Mean ordered singular values over their root mean square. Largest: {'; '.join(words)}.",
        "What to see: on the left of each panel are the largest singular values; the grey curve, which ends at 2, is "
        "the law of independent entries.",
    )  # fmt: skip
