"""Figures of transplanted matrices: what accuracy survives a replacement, and along the way to it.

As in :mod:`pigmm.figures` each function returns a :class:`~pigmm.style.Picture`, described from the data; the tables
are those of :func:`pigmm.transplant_study.table`, one for each start.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any

from .listing import listed
from .replacements import KINDS_SHOWN, PLAIN
from .style import INK, LAYER, PALETTE, TITLE, Picture, band, legend, scheme_grid

if TYPE_CHECKING:
    import pandas as pd

__all__ = ["paths", "survival"]

_MARKERS = ("o", "o", "o", "s", "D", "^", "v")
_JOINED = (PALETTE[5], INK)  # all hidden matrices together, and all
_LINES: dict[str, tuple[Any, Any]] = {
    "own + noise": (INK, (0, (1, 1))), "Gaussian sample": (PALETTE[0], "-"), "other network": (PALETTE[1], "--"),
    "sample, matched": (PALETTE[0], (0, (5, 1, 1, 1))), "other, matched": (PALETTE[1], (0, (5, 1, 1, 1))),
    "other, aligned by activations": (PALETTE[3], "-"), "own, before training": (PALETTE[2], "-"),
}  # fmt: skip


def _color(layers: str, order: Sequence[str]) -> Any:
    if layers in LAYER:
        return LAYER[layers]
    joined = [name for name in order if "+" in name]
    return _JOINED[joined.index(layers) % 2] if layers in joined else INK


def survival(
    tables: Mapping[str, pd.DataFrame], conditions: Sequence[str], guess: Mapping[str, float], what: str = "replaced"
) -> Picture:
    """Accuracy left under each condition (rows): a mark for each choice of layers, 95 % intervals, one panel a start.

    Parameters
    ----------
    tables : accuracies or refits of each start
    conditions : which to show, from the top; those that a table lacks are left out
    guess : accuracy by chance, for each start
    what : what happened to the layers, for the description
    """
    there = {name for table in tables.values() for name in table["condition"]}
    conditions = [name for name in conditions if name in there]
    order = list(dict.fromkeys(layers for table in tables.values() for layers in table["layers"]))
    marks = [layers for layers in order if layers != "none"]
    figure, axes = scheme_grid(tables, 1.4 + 0.37 * len(conditions))
    words = []
    for ax, (start, table) in zip(axes[0], tables.items(), strict=True):
        whole = table[(table["fraction"] == 1) & table["condition"].isin(conditions)]
        for layers in order:
            part = whole[whole["layers"] == layers]
            if part.empty:
                continue
            shift = 0 if layers == "none" else 0.14 * (marks.index(layers) - (len(marks) - 1) / 2)
            rows = [conditions.index(name) + shift for name in part["condition"]]
            ax.errorbar(
                part["mean"], rows, xerr=1.96 * part["se"], linestyle="none", color=_color(layers, order),
                marker="*" if layers == "none" else _MARKERS[marks.index(layers) % 7], markersize=4.5,
                elinewidth=0.8, label="nothing replaced" if layers == "none" else layers,
            )  # fmt: skip
        ax.axvline(guess[start], color=INK, linestyle="--", linewidth=1)
        ax.set(xlabel="test accuracy", xlim=(0, 1), ylim=(len(conditions) - 0.4, -0.6))
        ax.set_xticks([0, 0.5, 1], ["0", "0.5", "1"])
        rest = whole[~whole["condition"].isin(PLAIN)]
        least, best = (rest.iloc[int(k)] for k in (rest["mean"].argmin(), rest["mean"].argmax()))
        ends = [f"{x['mean']:.3f} ± {x['se']:.3f} ({x['condition']}; {x['layers']})" for x in (least, best)]
        words.append(f"{TITLE[start]}: from {ends[0]} to {ends[1]}, guessing {guess[start]:.3f}")
    axes[0, 0].set_yticks(range(len(conditions)), conditions)
    for ax in axes[0, 1:]:
        ax.tick_params(labelleft=False)
    legend(axes[0, 0])
    text = "; ".join(words)
    return Picture(
        figure,
        f"Dot plot of mean test accuracy under {len(conditions)} conditions, a mark for each choice of layers {what}: "
        f"{text}.",
        f"What to see: {text}. The dashed line is guessing; bars are 95 % confidence of the mean.",
        listed(
            {start: t[(t["fraction"] == 1) & t["condition"].isin(conditions)] for start, t in tables.items()},
            {"layers": "layers", "condition": "condition", "accuracy": ("mean", "se")},
        ),
    )


def paths(
    tables: Mapping[str, pd.DataFrame], apart: Mapping[str, pd.DataFrame], guess: Mapping[str, float],
    layers: Sequence[str] = (),
) -> Picture:  # fmt: skip
    """Accuracy on the straight line from the own matrices to others, against the relative distance travelled.

    Parameters
    ----------
    tables : accuracies of each start
    apart : similarities of each start, which hold the whole distances
    guess : accuracy by chance, for each start
    layers : choices of layers, one row of panels each; by default each alone and all together
    """
    first = next(iter(apart.values()))
    layers = list(layers) or [name for name in dict.fromkeys(first["layers"]) if name.count("+") != 1 or "L3" in name]
    figure, axes = scheme_grid(tables, 1.0 + 1.75 * len(layers), rows=len(layers))
    words = []
    for column, (start, table) in enumerate(tables.items()):
        own = table[table["condition"] == "own"].iloc[0]
        whole = apart[start].set_index(["layers", "condition"])["distance"]
        for ax, name in zip(axes[:, column], layers, strict=True):
            reached = {}
            for condition in KINDS_SHOWN:
                part = table[(table["layers"] == name) & (table["condition"] == condition)].sort_values("fraction")
                if part.empty:
                    continue
                color, style = _LINES[condition]
                x = [0.0, *(part["fraction"] * whole[name, condition])]
                y, se = [own["mean"], *part["mean"]], [own["se"], *part["se"]]
                ax.plot(x, y, color=color, linestyle=style, label=condition)
                low, high = ([a + sign * 1.96 * b for a, b in zip(y, se, strict=True)] for sign in (-1, 1))
                band(ax, x, low, high, color)
                reached[condition] = (x[-1], y[-1])
            ax.axhline(guess[start], color=INK, linestyle="--", linewidth=1)
            ax.set(ylim=(0, 1), xlim=(0, 1.5))
            ends = ", ".join(f"{kind} {y:.2f} at distance {x:.2f}" for kind, (x, y) in reached.items())
            words.append(f"{TITLE[start]}, {name}: {ends}")
        axes[-1, column].set_xlabel("distance / norm of own")
    for ax, name in zip(axes[:, 0], layers, strict=True):
        ax.set_ylabel(f"{name}:\ntest accuracy")
    legend(axes[0, 0], columns=2)
    lost = []
    for start, table in tables.items():
        own, name = table[table["condition"] == "own"].iloc[0], layers[0]
        part = table[(table["layers"] == name) & (table["condition"] == "Gaussian sample")].sort_values("fraction")
        half = part[part["mean"] < (own["mean"] + guess[start]) / 2]
        share = f"{100 * half['fraction'].iloc[0]:.0f} %" if len(half) else "more than 100 %"
        lost.append(f"{TITLE[start]} {share}")
    return Picture(
        figure,
        f"Accuracy against the distance from the own matrix on straight lines to others. {'; '.join(words)}.",
        f"What to see: going from the own {layers[0]} to a sample, more than half of what is above guessing is lost by "
        f"this share of the way: {', '.join(lost)}. At one distance, directions differ.",
        listed(
            {start: t[t["condition"].isin(KINDS_SHOWN)] for start, t in tables.items()},
            {"layers": "layers", "condition": "condition", "share of the way": "fraction", "accuracy": ("mean", "se")},
        ),
    )
