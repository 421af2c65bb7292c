"""Figures of the search for a better law: they draw the tables of :mod:`pigmm.heldout` and no more.

As in :mod:`pigmm.figures` each function returns a :class:`~pigmm.style.Picture`, described from the data.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import TYPE_CHECKING, Any

import numpy as np

from .heldout import LAWS
from .listing import listed
from .style import INK, LAYER, MARK, STYLE, TITLE, Picture, axes_grid, band, legend, scheme_grid

if TYPE_CHECKING:
    import pandas as pd

__all__ = ["carried", "forecasts", "gained", "misfits", "norm_or_shape"]

NAMES = LAWS | {"averages": "the averages again"}


def misfits(tables: Mapping[str, pd.DataFrame], decayed: bool = False) -> Picture:
    """Joint misfit and root mean square z of the 43 bipartite invariants by epoch (``decayed``: with round marks)."""
    figure, axes = scheme_grid(tables, 5.0, rows=2)
    words, ends, joint = [], [], any(table["delta"].notna().any() for table in tables.values())
    for (above, below), (scheme, table) in zip(axes.T, tables.items(), strict=True):
        for layer, part in table.groupby("layer"):
            options: dict[str, Any] = {"color": LAYER[str(layer)], "marker": MARK[decayed], "markevery": 5}
            y, e = (part["delta"], 1.96 * part["delta_se"]) if joint else (part["effect"], None)
            above.plot(part["epoch"], y, label=str(layer), **options)
            if e is not None:
                band(above, part["epoch"], np.maximum(y - e, 0), y + e, LAYER[str(layer)])
            below.plot(part["epoch"], part["z"], **options)
            top, last = int(y.to_numpy().argmax()), part.iloc[-1]
            ends.append((f"{scheme} {layer}", last))
            error = f" ± {part['delta_se'].iloc[top]:.2f}" if joint else ""
            words.append(
                f"{scheme} {layer} {y.iloc[0]:.2f} at the start, largest {y.iloc[top]:.2f}{error} at epoch "
                f"{int(part['epoch'].iloc[top])}, {y.iloc[-1]:.2f} at the end (z {last['z']:.1f})"
            )
        below.axhline(1, color=INK, linestyle="--", linewidth=1)
        below.set_xlabel("epoch")
        below.set_yscale("log")
    ticks = [t for t in (0.5, 1, 2, 5, 10, 20, 50) if axes[1, 0].get_ylim()[0] < t < axes[1, 0].get_ylim()[1]]
    axes[1, 0].set_yticks(ticks, [f"{t:g}" for t in ticks])
    axes[1, 0].minorticks_off()
    axes[0, 0].set_ylabel("joint misfit δ\n(st. dev. of a network)" if joint else "rms effect size")
    axes[1, 0].set_ylabel("rms z of 43")
    legend(axes[0, -1])
    low = [name for name, row in ends if row["directions"] < 43]
    bound = f"At the end δ is a lower bound in {', '.join(low)}: heavy tails make invariants alike. " if low else ""
    what = "Joint misfit" if joint else "Root mean square effect size"
    return Picture(
        figure,
        f"{what} of the 43 bipartite invariants by epoch above, their root mean square z below, log "
        f"scale. {'; '.join(words)}.",
        "What to see: the joint misfit and the typical z need not move together; heavy tails widen errors and hide "
        f"what single averages would show. {bound}Bands are 95 % confidence; the dashed line is what a true law gives.",
        listed(tables, {"layer": "layer", "epoch": "epoch", "misfit δ": ("delta", "delta_se"), "rms z": "z"}),
    )


def carried(tables: Mapping[str, Mapping[str, pd.DataFrame]]) -> Picture:
    """Share of the joint misfit that the first invariants carry: one panel a scheme, one line a layer."""
    figure, axes = scheme_grid(tables, 3.5)
    words = []
    for ax, (scheme, layers) in zip(axes[0], tables.items(), strict=True):
        for layer, table in layers.items():
            if table["share"].isna().any():
                words.append(f"{scheme} {layer}: no misfit beyond noise")
                continue
            ax.plot(
                table["terms"], table["share"], color=LAYER[layer], linestyle=STYLE[scheme], marker="o", markersize=4,
                label=layer,
            )  # fmt: skip
            margin = 1.96 * table["share_se"]
            band(ax, table["terms"], table["share"] - margin, table["share"] + margin, LAYER[layer])
            words.append(
                f"{scheme} {layer}: first {table['name'].iloc[0]} with {100 * table['share'].iloc[0]:.0f} ± "
                f"{100 * table['share_se'].iloc[0]:.0f} %, {len(table)} together {100 * table['share'].iloc[-1]:.0f} %"
            )
        ax.axhline(0.9, color=INK, linestyle="--", linewidth=1)
        ax.set(xlabel="invariants taken", ylim=(0, 1.15), xticks=range(1, len(table) + 1), xlim=(0.7, len(table) + 0.3))
    axes[0, 0].set_ylabel("share of the joint misfit δ²")
    legend(axes[0, -1])
    return Picture(
        figure,
        f"Share of the squared joint misfit carried by the first invariants. {'; '.join(words)}.",
        "What to see: where a curve rises to the dashed line (90 %) at once, one graph carries the misfit; where it "
        "climbs slowly, many do. Bands are 95 % confidence.",
        listed(
            {f"{scheme} {layer}": table for scheme, layers in tables.items() for layer, table in layers.items()},
            {"invariants": "terms", "the last is": "name", "share of δ²": ("share", "share_se")}, "matrix",
        ),
    )


def norm_or_shape(tables: Mapping[str, pd.DataFrame]) -> Picture:
    """Joint misfit before (hollow) and after (filled) matrices were stretched to one norm; spread of norms above."""
    figure, axes = scheme_grid(tables, 5.4, rows=2)
    words = []
    for (above, below), (scheme, table) in zip(axes.T, tables.items(), strict=True):
        places = {name: k for k, name in enumerate(table["ensemble"])}
        for row in _rows(table):
            color, x = LAYER[row.layer], places[row.ensemble]
            above.errorbar(x, row.spread, 1.96 * row.spread_se, fmt="o", color=color, markersize=5)
            options: dict[str, Any] = {"fmt": "o", "color": color, "markersize": 6, "elinewidth": 0.9}
            below.errorbar(x - 0.12, row.delta, 1.96 * row.delta_se, markerfacecolor="none", **options)
            below.errorbar(x + 0.12, row.delta_shape, 1.96 * row.delta_shape_se, **options)
            words.append(
                f"{scheme} {row.ensemble}: spread of norms {row.spread:.2f} ± {row.spread_se:.2f}, misfit "
                f"{row.delta:.2f} ± {row.delta_se:.2f} before, {row.delta_shape:.2f} ± {row.delta_shape_se:.2f} after"
            )
        above.axhline(1, color=INK, linestyle="--", linewidth=1)
        above.set_yscale("log")
        below.set_xticks(range(len(places)), places, rotation=60, ha="right")
    low, high = axes[0, 0].get_ylim()
    ticks = [t for t in (0.3, 0.5, 1, 2, 5, 10, 20, 50) if low < t < high]
    axes[0, 0].set_yticks(ticks, [f"{t:g}" for t in ticks])
    axes[0, 0].minorticks_off()
    axes[0, 0].set_ylabel("variance of squared\nnorms / Gaussian")
    axes[1, 0].set_ylabel("joint misfit δ")
    axes[1, 0].set_ylim(bottom=-0.1)
    for ax in axes[1]:
        ax.set_xlabel("layer, epoch")
    grown = [
        f"{scheme} {row.ensemble}" for scheme, table in tables.items() for row in _rows(table)
        if row.delta_shape > 0.8 * row.delta and row.delta_shape > 4 * row.delta_shape_se
    ]  # fmt: skip
    total = sum(len(table) for table in tables.values())
    return Picture(
        figure,
        "Spread of norms above; joint misfit before (hollow) and after (filled) norms were made equal. "
        f"{'; '.join(words)}.",
        f"What to see: without the norms at least four fifths of the joint misfit is still there in {len(grown)} of "
        f"{total} ensembles: the shape of the matrices is not Gaussian either. Bars are 95 % confidence.",
        listed(tables, {
            "ensemble": "ensemble", "spread of squared norms / Gaussian": ("spread", "spread_se"),
            "misfit δ": ("delta", "delta_se"), "δ without norms": ("delta_shape", "delta_shape_se"),
        }),
    )


def gained(tables: Mapping[str, pd.DataFrame], epoch: int) -> Picture:
    """Held-out nats above the 5-parameter law (filled) and in-sample nats (hollow) of every law, one colour a layer."""
    return _by_law(
        tables, f"epoch {epoch}", ("nats",), ("nats per network",),
        "What to see: right of zero a law predicts networks that it has not seen better than the 5-parameter Gaussian "
        "law does. Filled: held out, with 95 % confidence; hollow: on the networks it was fitted to.",
    )  # fmt: skip


def forecasts(tables: Mapping[str, pd.DataFrame], epoch: int) -> Picture:
    """Held-out prediction errors of every law: effect size of the 348 invariants above, z of the 43 below."""
    return _by_law(
        tables, f"epoch {epoch}", ("effect", "z"), ("rms effect size of 348", "rms z of 43"),
        "What to see: the last row repeats the averages of the training half, so its effect size is what noise alone "
        "leaves; a true law has a z of about one (dashed). Bars are 95 % confidence.",
    )  # fmt: skip


def _rows(table: pd.DataFrame) -> Iterator[Any]:
    """The rows of a table, with columns as attributes."""
    yield from table.itertuples()


def _by_law(
    tables: Mapping[str, pd.DataFrame], when: str, columns: tuple[str, ...], labels: tuple[str, ...], see: str
) -> Picture:
    nats = columns == ("nats",)
    found = {law for table in tables.values() for law in table["law"]} - ({"averages", "5"} if nats else set())
    laws = [law for law in NAMES if law in found]
    rows = len(columns)
    figure, axes = axes_grid(rows, len(tables), 0.5 + rows * (0.8 + 0.3 * len(laws)), sharey=True, sharex="row")
    words = []
    for upper, column, label, line in zip((True, False), columns, labels, axes, strict=False):
        for ax, (scheme, table) in zip(line, tables.items(), strict=True):
            layers = list(dict.fromkeys(table["layer"]))
            for k, layer in enumerate(layers):
                part = table[(table["layer"] == layer) & table["law"].isin(laws)]
                y = np.array([laws.index(law) for law in part["law"]]) + 0.22 * (k - (len(layers) - 1) / 2)
                ax.errorbar(
                    part[column], y, xerr=1.96 * part[f"{column}_se"], fmt="o", color=LAYER[layer], markersize=5,
                    elinewidth=0.9, label=layer,
                )  # fmt: skip
                if nats:
                    ax.plot(part["inside"], y, "o", color=LAYER[layer], markerfacecolor="none", markersize=8, alpha=0.6)
                best = part.loc[part[column].idxmax() if nats else part[part["law"] != "averages"][column].idxmin()]
                words.append(
                    f"{scheme} {layer} {column}: {'largest' if nats else 'smallest'} {best[column]:.2f} ± "
                    f"{best[f'{column}_se']:.2f} by {NAMES[best['law']]}"
                )
            if upper:
                ax.set_title(TITLE[scheme])
            ax.set_xlabel(label)
            if nats:
                ax.set_xscale("symlog", linthresh=0.1, linscale=0.6)
                ax.set_xticks([-1, 0, 0.1, 1, 10], ["−1", "0", ".1", "1", "10"])
                ax.axvline(0, color=INK, linewidth=1)
            else:
                ax.set_xscale("log")
                low, high = ax.get_xlim()
                ticks = [t for t in (0.02, 0.05, 0.1, 0.2, 0.5, 1, 2, 5, 10, 20, 50) if low < t < high]
                ax.set_xticks(ticks, [f"{t:g}" for t in ticks])
            ax.minorticks_off()
            if column == "z":
                ax.axvline(1, color=INK, linestyle="--", linewidth=1)
    axes[0, 0].set(yticks=range(len(laws)), ylim=(len(laws) - 0.5, -0.5))
    axes[0, 0].set_yticklabels([NAMES[law] for law in laws])
    for ax in axes[:, 0]:
        ax.set_ylabel("law")
    legend(axes[0, 0])
    headings = {label: (column, f"{column}_se") for column, label in zip(columns, labels, strict=True)}
    drawn = listed(
        {scheme: table[table["law"].isin(laws)].replace({"law": NAMES}) for scheme, table in tables.items()},
        {"layer": "layer", "law": "law", **headings, **({"in sample": "inside"} if nats else {})},
    )
    return Picture(figure, f"Held-out scores at {when} by law, with errors. {'; '.join(words)}.", see, drawn)
