"""Figures of the rungs of the ladder: they draw the tables of :mod:`pigmm.rungs` and :mod:`pigmm.labelled_rungs`.

As in :mod:`pigmm.figures` each function returns a :class:`~pigmm.style.Picture`, described from the data.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Any

import matplotlib.pyplot as plt
import numpy as np
import pandas as pd
import seaborn as sns
from matplotlib.axes import Axes
from matplotlib.colors import ListedColormap, LogNorm, SymLogNorm
from matplotlib.figure import Figure
from numpy.typing import ArrayLike
from scipy import stats

from .listing import listed
from .rungs import EIGHT, Snapshots
from .style import INK, LAYER, PALETTE, STYLE, TITLE, Picture, axes_grid, band, legend

__all__ = ["alive", "class_rows", "eight", "label_gains", "nulls", "relabelled", "travels", "two_questions"]

CRITICAL = float(stats.norm.isf(0.025))
_OTHERS = {"recurrent": (PALETTE[3], "s"), "residual": (PALETTE[5], "D")}
_COLUMNS = (0, 1, 2, 3, 5, 10, 20, 30, 50)


def _epochs(ax: Axes, last: int) -> None:
    """An epoch axis that leaves room to the first epochs: linear up to 1, then logarithmic."""
    ax.set_xscale("symlog", linthresh=1)
    ticks = [0, *(t for t in (1, 3, 10, 30, 100, 300) if t <= last)]
    ax.set_xticks(ticks, [str(t) for t in ticks])
    ax.minorticks_off()
    ax.set_xlim(-0.5, last + 0.5)


def _columns(ax: Axes, tables: Iterable[pd.DataFrame]) -> list[int]:
    """The epochs that a map shows, one column each: the first ones, then fewer and fewer, and every last one."""
    ends = {int(table["epoch"].max()) for table in tables}
    chosen = sorted({epoch for epoch in _COLUMNS if epoch <= max(ends)} | ends)
    ax.set_xticks(range(0, len(chosen), 2), [str(epoch) for epoch in chosen[::2]])
    ax.set_xlabel("epoch")
    ax.grid(False)
    return chosen


def _small(p: float) -> str:
    return f"p = {p:.2g}" if p > 1e-5 else "p < 1e-5"


def _bar(figure: Figure, image: Any, axes: Any, label: str, ticks: Mapping[float, str]) -> None:
    """A horizontal colour bar below the panels."""
    bar = figure.colorbar(image, ax=axes, location="bottom", shrink=0.7, aspect=30)
    bar.set_ticks(list(ticks), labels=list(ticks.values()))
    bar.minorticks_off()
    bar.outline.set_visible(False)
    bar.ax.tick_params(colors=INK, labelsize=10)
    bar.ax.set_xlabel(label, color=INK, fontsize=11)


def relabelled(W: ArrayLike, other: ArrayLike, changed: float) -> Picture:
    """One matrix with two numberings of its neurons; ``changed``: by how much the network's outputs differ."""
    W, other = np.asarray(W), np.asarray(other)
    figure, axes = axes_grid(1, 2, 3.7)
    limit = np.abs(W).max()
    traces = [float(np.trace(matrix)) for matrix in (W, other)]
    for ax, matrix, title, trace in zip(axes[0], (W, other), ("as numbered", "renumbered"), traces, strict=True):
        image = ax.pcolormesh(matrix[::-1], cmap=sns.color_palette("vlag", as_cmap=True), vmin=-limit, vmax=limit)
        ax.set(title=f"{title}: trace {trace:+.2f}", xticks=[], yticks=[], xlabel="from neuron j", aspect="equal")
        ax.grid(False)
    axes[0, 0].set_ylabel("to neuron i")
    _bar(figure, image, axes, "weight", {-limit: f"{-limit:.1f}", 0: "0", limit: f"{limit:.1f}"})
    text = f"trace {traces[0]:+.3f} before and {traces[1]:+.3f} after, sum of squares {np.sum(W**2):.3f} in both"
    return Picture(
        figure,
        f"Heatmaps of one {W.shape[0]} x {W.shape[1]} matrix before and after its rows and columns were renumbered: "
        f"{text}; the outputs of the network differ by at most {changed:.1g}.",
        f"What to see: the same network twice. The outputs agree to {changed:.0g}; {text}. What sits on the diagonal "
        "is an accident of numbering.",
    )  # fmt: skip


def alive(tables: Mapping[str, pd.DataFrame]) -> Picture:
    """The map: matrices down, epochs across, one panel a rung; coloured where the rung is alive, pale where dead.

    ``tables``: matrix to its part of :func:`pigmm.labelled_rungs.alive_map` (one layer each).  A cell is alive if its
    p-value stays below 0.05 after correction for all cells drawn (Bonferroni) and its gain exceeds noise.
    """
    rungs = ("2 to 5", "5 to 13", "5 to labels")
    titles = ("2 → 5\nrows, columns", "5 → 13\nthe diagonal", "5 → labels\nrows have names")
    figure, axes = axes_grid(1, 3, 1.5 + 0.36 * len(tables), sharex=True, sharey=True)
    cells = sum(len(table) for table in tables.values())
    norm, colors, words = LogNorm(0.01, 30), sns.color_palette("crest", as_cmap=True), []
    counted = dict.fromkeys(rungs, 0)
    for ax, rung, title in zip(axes[0], rungs, titles, strict=True):
        shown, columns = [], _columns(ax, tables.values())
        for place, (name, table) in enumerate(tables.items()):
            part = table[table["rung"] == rung].sort_values("epoch")
            lives = ((part["p"] < 0.05 / cells) & (part["gain"] > 0)).to_numpy()
            counted[rung] += int(lives.any())
            if lives.any():
                row = part.iloc[-1]
                shown.append(f"{name} ({row['gain']:.2g} nats at epoch {int(row['epoch'])})")
            height = [place - 0.42, place + 0.42]
            for chosen, cmap, shade in ((lives, colors, 1.0), (~lives, ListedColormap([INK]), 0.16)):
                gains = dict(zip(part["epoch"].to_numpy()[chosen], part["gain"].to_numpy()[chosen], strict=True))
                values = np.array([[max(gains.get(epoch, np.nan), 1e-9) for epoch in columns]])
                ax.pcolormesh(np.arange(len(columns) + 1) - 0.5, height, values, cmap=cmap, norm=norm, alpha=shade)
        words.append(f"{rung}: " + (", ".join(shown) if shown else "none"))
        ax.set_title(title, fontsize=10)
        ax.set_ylim(len(tables) - 0.5, -0.5)
    axes[0, 0].set_yticks(range(len(tables)), list(tables))
    scale = {0.01: "0.01", 0.1: "0.1", 1.0: "1", 10.0: "10"}
    _bar(figure, plt.cm.ScalarMappable(norm, colors), axes, "nats per network", scale)
    return Picture(
        figure,
        f"Map of which rung of the ladder is alive, for {len(tables)} matrices at every epoch. Alive at some epoch "
        f"(with the gain beyond noise at the last one): {'; '.join(words)}.",
        f"What to see: coloured is alive, grey is dead, empty is not known. Of {len(tables)} matrices the step from 5 "
        f"to 13 lives in {counted['5 to 13']}, that from 2 to 5 in {counted['2 to 5']}, labels in "
        f"{counted['5 to labels']}.",
        listed(tables, {"rung": "rung", "epoch": "epoch", "nats per network": "gain", "p": "p"}, "matrix"),
    )


def nulls(found: Snapshots, climbed: Mapping[str, pd.DataFrame]) -> Picture:
    """p-values of the eight nulls: the exact ones, sorted, in their envelope; and by epoch, as the F law has them."""
    figure, axes = axes_grid(2, 1, 5.6)
    p = np.sort(found.table["p"].to_numpy())
    null = np.sort(found.drawn, axis=1)
    low, middle, high = np.quantile(null, [0.025, 0.5, 0.975], axis=0)
    place = (np.arange(len(p)) + 0.5) / len(p)
    ax = axes[0, 0]
    band(ax, place, low, high, INK)
    ax.plot(place, middle, color=INK, linewidth=1)
    ax.plot(place, p, "o", color=PALETTE[0], markersize=4)
    ax.set(xlabel="rank / number of snapshots", ylabel="exact p-value", xlim=(0, 1), ylim=(0, 1))
    ax, counts, joined = axes[1, 0], [0, 0], list[str]()
    for name, table in climbed.items():
        for layer, part in table.groupby("layer"):
            height = part["p_13"].clip(lower=1e-7)
            if part["joined"].iloc[0]:
                color, marker = _OTHERS.get(name, (INK, "v"))
                ax.plot(part["epoch"], height, color=color, marker=marker, markersize=4, label=f"{name} W, below")
                joined.append(f"{name} W {_small(part['p_13'].iloc[-1])} at the last epoch")
            else:
                ax.plot(part["epoch"], height, color=LAYER[str(layer)], linewidth=0.9, alpha=0.8)
                counts[0] += int((part["p_13"] < 0.05).sum())
                counts[1] += len(part)
    ax.axhline(0.05, color=INK, linestyle="--", linewidth=1)
    ax.set(xlabel="epoch", ylabel="p-value by the F law", yscale="log", ylim=(5e-8, 1.5))
    ax.set_yticks([1e-6, 1e-4, 1e-2, 1])
    ax.minorticks_off()
    _epochs(ax, max(int(table["epoch"].max()) for table in climbed.values()))
    if joined:
        legend(ax, columns=2)
    inside = int(((p >= low) & (p <= high)).sum())
    text = (
        f"{inside} of {len(p)} exact p-values lie in the band; all together p = {found.p_all:.2f}, the most extreme "
        f"p = {found.p_worst:.2f}"
    )
    others = f"; same neurons on both sides: {', '.join(joined)}" if joined else ""
    return Picture(
        figure,
        f"Above: sorted exact p-values of the eight nulls with the band that permutations of the data give. {text}. "
        f"Below: p-values by epoch and layer, {counts[0]} of {counts[1]} below 0.05 between different neurons{others}.",
        f"What to see: {text}. Below, thin lines are matrices between different neurons: {counts[0]} of {counts[1]} "
        f"values under 0.05, in long runs, for epochs remember each other{others}. Values under 1e-7 are drawn there.",
        listed(climbed, {"layer": "layer", "epoch": "epoch", "p, F law": "p_13"}, "ensemble"),
    )  # fmt: skip


def eight(tables: Mapping[str, pd.DataFrame]) -> Picture:
    """z of the eight superfluous parameters by epoch, one panel a matrix (parts of :func:`pigmm.rungs.living`)."""
    figure, axes = axes_grid(1, len(tables), 4.2, sharey=True)
    norm, words = SymLogNorm(linthresh=3, vmin=-60, vmax=60), []
    for ax, (name, table) in zip(axes[0], tables.items(), strict=True):
        columns = _columns(ax, [table])
        grid = table.pivot_table(index="parameter", columns="epoch", values="z").loc[list(EIGHT), columns]
        edges, cmap = np.arange(len(columns) + 1) - 0.5, sns.color_palette("vlag", as_cmap=True)
        image = ax.pcolormesh(edges, np.arange(9) - 0.5, grid.to_numpy(), cmap=cmap, norm=norm)
        ax.set_title(name)
        z = grid.iloc[:, -1]
        lit = z[z.abs() > 4].sort_values(key=np.abs, ascending=False)
        words.append(f"{name}: " + (", ".join(f"{k} {lit[k]:+.0f}" for k in lit.index) if len(lit) else "none"))
    axes[0, 0].set_yticks(range(8), [k.replace(" - ", " − ") for k in EIGHT])
    axes[0, 0].set_ylim(7.5, -0.5)
    ticks = (-30.0, -10.0, -3.0, 0.0, 3.0, 10.0, 30.0)
    _bar(figure, image, axes, "value / standard error", {t: f"{t:.0f}".replace("-", "−") for t in ticks})
    text = "; ".join(words)
    return Picture(
        figure,
        "Heatmaps of eight parameters in standard errors by epoch. Beyond four standard errors at the last epoch: "
        f"{text}.",
        f"What to see: what lives beyond four standard errors at the last epoch. {text}.",
        listed(tables, {"parameter": "parameter", "epoch": "epoch", "value / standard error": "z"}, "matrix"),
    )  # fmt: skip


def label_gains(tables: Mapping[str, tuple[pd.DataFrame, pd.DataFrame]]) -> Picture:
    """What labels gain over five parameters, by epoch.

    ``tables``: scheme to (:func:`~pigmm.labelled_rungs.labels`, :func:`~pigmm.labelled_rungs.labels_by_layer`).
    """
    figure, axes = axes_grid(1, 1, 4.0)
    ax, words, hidden = axes[0, 0], [], []
    for place, (scheme, (by_epoch, kept)) in enumerate(tables.items()):
        last = by_epoch["layer"].iloc[0]
        color = LAYER[last]
        ax.plot(
            by_epoch["epoch"], by_epoch["gain"], color=color, linestyle=STYLE[scheme],
            label=f"{last}, {TITLE[scheme]}",
        )  # fmt: skip
        ax.plot(
            by_epoch["epoch"], by_epoch["means"], color=color, linestyle=STYLE[scheme], linewidth=0.9, alpha=0.7
        )  # fmt: skip
        for layer, part in kept.groupby("layer"):
            x = part["epoch"] * (1 + 0.04 * place) + 0.04 * place
            ax.errorbar(
                x, part["gain"], 1.96 * part["se"], fmt="o" if scheme == "gaussian" else "s", markersize=4.5,
                color=LAYER[str(layer)], elinewidth=1, label=f"{layer}, {scheme}" if layer != last else None,
            )  # fmt: skip
        end = kept[kept["epoch"] == kept["epoch"].max()]
        top = end[end["last"]].iloc[0]
        words.append(f"{scheme} {last} {top['gain']:.2f} ± {top['se']:.2f}")
        hidden += [f"{r.layer} {scheme} {r.gain:.3f} ± {r.se:.3f}" for r in end[~end["last"]].itertuples()]
    noise = by_epoch["noise"].iloc[0]
    ax.axhline(noise, color=INK, linestyle="--", linewidth=1)
    ax.set(xlabel="epoch", ylabel="gain by labelling rows\n(nats per network)", yscale="log")
    ax.set_ylim(bottom=noise / 4)
    _epochs(ax, int(by_epoch["epoch"].max()))
    ax.set_xlim(right=1.25 * by_epoch["epoch"].max())
    legend(ax, columns=2)
    text = f"In nats ± standard error at the last epoch: {'; '.join(words)}; hidden rows {'; '.join(hidden)}"
    return Picture(
        figure,
        f"Gain of labelled rows over five parameters by epoch, log scale, with the noise line at {noise:.3f}. {text}.",
        f"What to see: {text}; useless labels gain {noise:.3f}, the dashed line. Thin lines: what the mean weights of "
        "the classes gain alone. Bars: 95 % confidence.",
        listed(
            {scheme: kept for scheme, (_, kept) in tables.items()},
            {"layer": "layer", "epoch": "epoch", "nats per network": ("gain", "se")},
        ),
    )  # fmt: skip


def class_rows(tables: Mapping[str, pd.DataFrame]) -> Picture:
    """Mean and spread of the weights that lead to each class, by scheme (:func:`pigmm.labelled_rungs.classes`)."""
    figure, axes = axes_grid(2, 1, 4.6, sharex=True)
    words = []
    for k, (scheme, table) in enumerate(tables.items()):
        for ax, name in zip(axes[:, 0], ("mean", "spread"), strict=True):
            error = 1.96 * table["se" if name == "mean" else "se_spread"]
            ax.errorbar(
                table["class"] + 0.2 * (k - 0.5 * (len(tables) - 1)), table[name], error, fmt="os"[k], markersize=5,
                color=PALETTE[k], label=TITLE[scheme], elinewidth=1.2,
            )  # fmt: skip
        order = table.sort_values("spread")
        low, high = order.iloc[0], order.iloc[-1]
        words.append(
            f"{scheme}: spread from {low['spread']:.3f} ± {low['se_spread']:.3f} (class {int(low['class'])}) to "
            f"{high['spread']:.3f} ± {high['se_spread']:.3f} (class {int(high['class'])}), mean weight from "
            f"{table['mean'].min():+.3f} to {table['mean'].max():+.3f} (± {table['se'].max():.3f})"
        )
    axes[0, 0].axhline(0, color=INK, linewidth=0.8)
    axes[0, 0].set_ylabel("mean weight")
    axes[1, 0].set(ylabel="spread of weights", xlabel="class (row of the last matrix)", xticks=table["class"])
    legend(axes[0, 0])
    text = "; ".join(words)
    return Picture(
        figure, f"Mean and spread of the weights into each of {len(table)} classes, with 95 % bars. {text}.",
        f"What to see: the rows are no copies of each other. {text}. If rows were exchangeable all dots of a colour "
        "would agree.",
        listed(tables, {"class": "class", "mean weight": ("mean", "se"), "spread of weights": ("spread", "se_spread")}),
    )  # fmt: skip


def two_questions(tables: Mapping[str, pd.DataFrame]) -> Picture:
    """|z| of "is it Gaussian?" against |z| of "is it symmetric?", one panel a matrix.

    ``tables``: matrix to a table with the columns ``gaussian`` and ``symmetric``, two z of each invariant.
    """
    columns = min(3, len(tables))
    rows = -(-len(tables) // columns)
    figure, axes = axes_grid(rows, columns, 0.6 + 2.2 * rows, sharex=True, sharey=True)
    words = []
    for ax, (name, table) in zip(axes.flat, tables.items(), strict=False):
        x, y = (table[column].abs().clip(lower=0.03) for column in ("gaussian", "symmetric"))
        color = LAYER.get(name.split()[-1]) or _OTHERS.get(name.split()[0], (INK, ""))[0]
        ax.axhspan(0.02, CRITICAL, color=INK, alpha=0.15, linewidth=0)
        ax.axvline(CRITICAL, color=INK, linestyle="--", linewidth=1)
        ax.plot(x, y, ".", color=color, markersize=4, alpha=0.6)
        ax.set(title=name, xscale="log", yscale="log", xlim=(0.02, 150), ylim=(0.02, 150))
        for axis in (ax.xaxis, ax.yaxis):
            axis.set_ticks([0.1, 1, 10, 100], ["0.1", "1", "10", "100"])
            axis.set_minor_locator(plt.NullLocator())
        words.append(f"{name} {x.max():.1f} and {y.max():.1f}")
    for ax in axes.flat[len(tables) :]:
        ax.set_visible(False)
    for ax in axes[-1]:
        ax.set_xlabel("|z|: Gaussian?")
    for ax in axes[:, 0]:
        ax.set_ylabel("|z|: symmetric?")
    text = f"Largest |z| for Gaussian and for symmetric: {'; '.join(words)}"
    return Picture(
        figure, f"Scatter of two |z| for {len(table)} cubic and quartic invariants, log scales. {text}.",
        f"What to see: to the right of the dashed line the Gaussian law misses; above the grey band relabelling fails. "
        f"{text}.",
    )  # fmt: skip


def travels(rows: list[Mapping[str, Any]]) -> Picture:
    """Squared distances from the initial law: the part that is blind to labels, and what the labels add.

    ``rows``: from top to bottom, each with a name and the columns of :func:`pigmm.labelled_rungs.travelled`.
    """
    figure, axes = axes_grid(1, 1, 1.4 + 0.36 * len(rows))
    ax, words = axes[0, 0], []
    for place, row in enumerate(rows):
        color = LAYER[row["layer"]]
        ax.barh(place, row["blind"], xerr=1.96 * row["se_blind"], color=color, height=0.7,
                error_kw={"elinewidth": 1, "ecolor": INK})  # fmt: skip
        ax.barh(place, row["aware"], left=row["blind"], color=color, alpha=0.4, height=0.7)
        parts = (f"{row[part]:.3f} ± {row['se_' + part]:.3f}" for part in ("blind", "aware"))
        words.append(f"{row['name']} {' and '.join(parts)}")
    ax.set(xlabel="squared distance $W_2^2$ (squared weights)", ylim=(len(rows) - 0.5, -0.5))
    ax.set_yticks(range(len(rows)), [row["name"] for row in rows])
    text = "; ".join(words)
    top = max(rows, key=lambda row: row["aware"])
    return Picture(
        figure,
        f"Bars of the squared distance from the initial law, blind to labels and what labels add: {text}.",
        "What to see: full bars are what a law without labels can see, pale ones what it cannot; the largest "
        f"pale part is {top['aware']:.2f} ± {top['se_aware']:.2f}, of {top['name']}. Error bars (of the full part): "
        "95 % confidence.",
        listed(pd.DataFrame(rows), {
            "matrix": "name", "blind to labels": ("blind", "se_blind"), "what labels add": ("aware", "se_aware"),
        }),
    )  # fmt: skip
