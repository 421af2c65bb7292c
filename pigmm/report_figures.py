"""Figures of a report: gains of the laws, contrasts of the symmetry test, and predictions by both measures."""

from __future__ import annotations

from collections.abc import Iterator
from typing import TYPE_CHECKING

import numpy as np

from .ladder import FITS
from .report_pages import clean
from .style import INK, PALETTE, Picture, axes_grid, legend

if TYPE_CHECKING:
    from .report import Report
    from .report_layer import LayerReport

__all__ = ["picture_of_contrasts", "picture_of_gains", "picture_of_predictions", "pictures"]

MOST_STEPS = 24  # more would not fit
MOST_LAYERS = 6  # more colours and marks could not be told apart


def pictures(found: Report) -> Iterator[tuple[str, Picture]]:
    """Name and figure, those that this ensemble allows."""
    for name, table, draw in (
        ("gains", "ladder", picture_of_gains),
        ("contrasts", "contrasts", picture_of_contrasts),
        ("predictions", "invariants", picture_of_predictions),
    ):
        if any(table in part.tables for part in found.layers):
            yield name, draw(found)


def picture_of_gains(found: Report) -> Picture:
    """Gain of every step of the ladder and its noise line, one row a layer and step."""
    parts = [part for part in found.layers if "ladder" in part.tables]
    steps = [(clean(part.name), row) for part in parts for row in part.tables["ladder"].to_dict("records")]
    rows = steps[:MOST_STEPS]
    figure, axes = axes_grid(1, 1, 1.3 + 0.28 * len(rows))
    ax, colors = axes[0, 0], dict(zip(FITS, PALETTE, strict=False))
    low = 0.3 * min(row["noise line"] for _, row in rows)
    seen = set()
    for k, (_, row) in enumerate(rows):
        label = row["law"] if row["law"] not in seen else None
        seen.add(row["law"])
        ax.plot(max(row["gain"], low), k, "o", color=colors[row["law"]], label=label)
        ax.plot([low, row["noise line"]], [k, k], color=INK, linewidth=5, alpha=0.4, solid_capstyle="butt",
                label=None if k else "chance")  # fmt: skip
    ax.set(xscale="log", xlabel="gain in log-likelihood (nats per network)", ylim=(len(rows) - 0.4, -0.6))
    ax.set_yticks(range(len(rows)), [_short(name) for name, _ in rows])
    legend(ax, columns=4)
    beyond = sum(row["p"] < found.alpha for _, row in rows)
    words = "; ".join(
        f"{name} {row['law']} {row['gain']:.2g} (noise line {row['noise line']:.2g})" for name, row in rows[:8]
    )
    return Picture(
        figure, f"Dot plot of likelihood gains by layer and law, with grey bars for chance: {words}.",
        f"What to see: {beyond} of {len(rows)} steps gain more than chance. {100 - 100 * found.alpha:g} % of Gaussian "
        f"ensembles without the effect stay in the grey.{_rest(len(steps), MOST_STEPS, 'steps')}",
    )  # fmt: skip


def picture_of_contrasts(found: Report) -> Picture:
    """z of the eight contrasts for every square layer."""
    parts, rest = _with(found, "contrasts")
    figure, axes = axes_grid(1, 1, 3.6)
    ax = axes[0, 0]
    ax.axvspan(-1.96, 1.96, color=INK, alpha=0.15, linewidth=0)
    for k, part in enumerate(parts):
        z = part.tables["contrasts"]["z"]
        shift = 0.5 * (k - (len(parts) - 1) / 2) / max(len(parts), 2)
        ax.plot(z, np.arange(8) + shift, "o", color=PALETTE[k], label=_short(part.name), markersize=5)
    ax.set_yticks(range(8), list(parts[0].tables["contrasts"]["name"]))
    ax.set(xlabel="mean contrast / standard error", ylim=(7.6, -0.6))
    legend(ax, columns=2)
    words = "; ".join(f"{clean(part.name)} p = {part.numbers['symmetry_p']:.2g}" for part in parts)
    return Picture(
        figure, f"Dot plot of eight contrasts in standard errors for {len(parts)} square layers, together: {words}.",
        "What to see: dots outside the grey band are evidence that the diagonal is special, and one in twenty is there "
        f"by chance. All eight together: {words}.{rest}",
    )  # fmt: skip


def picture_of_predictions(found: Report) -> Picture:
    """Effect size against |z| of the cubic and quartic predictions, by layer."""
    parts, rest = _with(found, "invariants")
    figure, axes = axes_grid(1, 1, 3.6)
    ax, words = axes[0, 0], []
    ax.axhspan(1e-3, 1.96, color=INK, alpha=0.15, linewidth=0)
    for k, part in enumerate(parts):
        table = part.tables["invariants"]
        z = table["z"].abs().clip(lower=0.02)
        ax.plot(table["ratio"].clip(lower=1e-4), z, "o^sDvP"[k], color=PALETTE[k], label=_short(part.name),
                markersize=4, alpha=0.7)  # fmt: skip
        words.append(f"{clean(part.name)} largest |z| {z.max():.1f} ({part.numbers['leader']})")
    highest = max(part.numbers["largest_z"] for part in parts)
    ax.set(xscale="log", yscale="log", xlabel="effect size", ylim=(0.02, 2 * max(highest, 3.0)))
    ax.set_ylabel("|z|: difference / its error")
    legend(ax, columns=2)
    return Picture(
        figure, f"Scatter of effect size against |z| of cubic and quartic predictions. {'; '.join(words)}.",
        "What to see: a true law leaves 95 % of points in the grey band (|z| below 1.96), whatever their effect size; "
        f"points far above refute it. The largest |z| is {highest:.1f}.{rest}",
    )  # fmt: skip


def _with(found: Report, table: str) -> tuple[list[LayerReport], str]:
    """The first layers that have this table, and a sentence if there are more."""
    parts = [part for part in found.layers if table in part.tables]
    return parts[:MOST_LAYERS], _rest(len(parts), MOST_LAYERS, "layers")


def _rest(count: int, most: int, what: str) -> str:
    return f" The first {most} of {count} {what} are shown." if count > most else ""


def _short(name: str) -> str:
    short = clean(name).replace("$", r"\$")
    return short if len(short) <= 26 else "…" + short[-25:]
