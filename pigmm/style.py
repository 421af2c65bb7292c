"""How the book's figures look and how they are shown: colours, type, alt text, transparent SVG.

Across the book a layer has one colour, a scheme one line style, a regularised ensemble round marks on its lines, and a
width one shade, darker where wider.  Drawings are transparent with mid-grey ink, so that
they read on light and dark pages, and narrow enough for a phone.
"""

from __future__ import annotations

import io
import os
import re
from collections.abc import Mapping
from pathlib import Path
from typing import Any, NamedTuple

import matplotlib.pyplot as plt
import numpy as np
import pandas as pd
import seaborn as sns
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from numpy.typing import ArrayLike

from .listing import fold
from .storage import write_whole

__all__ = [
    "INK", "LAYER", "MARK", "PALETTE", "SHADE", "STYLE", "TITLE", "Picture", "axes_grid", "band", "legend",
    "scheme_grid", "show",
]  # fmt: skip

INK = "#7a7a7a"
PALETTE = sns.color_palette("colorblind")
LAYER = {f"L{k + 1}": PALETTE[c] for k, c in enumerate((0, 1, 2, 4, 7, 9))}
STYLE = {"gaussian": "-", "uniform": (0, (4, 1.5))}
MARK = {False: "", True: "o"}  # without and with weight decay
# Not to the dark end of the palette, which is lost on a dark page.
SHADE = dict(zip((10, 40, 160, 640), sns.color_palette("crest", as_cmap=True)([0.0, 0.25, 0.5, 0.75]), strict=True))
TITLE = {"gaussian": "Gaussian start", "uniform": "uniform start"}
WIDTH = 6.0  # inches: at phone width the 11 point type is still about 7 points

_RC: Any = {
    "figure.facecolor": "none", "axes.facecolor": "none", "savefig.facecolor": "none", "font.size": 11,
    "axes.titlesize": 11, "axes.labelsize": 11, "xtick.labelsize": 10, "ytick.labelsize": 10, "legend.fontsize": 10,
    "legend.frameon": False, "axes.edgecolor": INK, "axes.labelcolor": INK, "text.color": INK, "xtick.color": INK,
    "ytick.color": INK, "axes.titlecolor": INK, "axes.spines.top": False, "axes.spines.right": False,
    "grid.color": INK, "grid.alpha": 0.25, "axes.grid": True, "axes.axisbelow": True, "lines.linewidth": 1.6,
    "svg.hashsalt": "pigmm", "svg.fonttype": "path",
}  # fmt: skip


class Picture(NamedTuple):
    """A figure, its description for screen readers, the sentence that says what to see, and perhaps its numbers."""

    figure: Figure
    alt: str
    see: str
    numbers: pd.DataFrame | None = None


def show(picture: Picture, name: str) -> None:
    """Display a picture as SVG with its alt text, sentence and numbers; also save it if PIGMM_OUTPUT names a folder."""
    from IPython.display import HTML, SVG, Markdown, display

    buffer = io.StringIO()
    picture.figure.savefig(buffer, format="svg", bbox_inches="tight", metadata={"Date": None, "Creator": None})
    plt.close(picture.figure)
    svg = re.sub(r"<!--.*?-->", "", buffer.getvalue(), flags=re.DOTALL)
    if folder := os.environ.get("PIGMM_OUTPUT"):
        write_whole(Path(folder) / "figures" / f"{name}.svg", svg.encode())
    display(SVG(svg), metadata={"image/svg+xml": {"alt": picture.alt}})
    display(Markdown(f"*{picture.see}*"))
    if picture.numbers is not None:
        display(HTML(fold(picture.numbers, name.replace("-", " "))))


def axes_grid(rows: int, columns: int, height: float, **options: Any) -> tuple[Figure, Any]:
    """A figure of the book's width and its axes, always as a two-dimensional array."""
    with plt.rc_context(_RC):
        return plt.subplots(
            rows, columns, figsize=(WIDTH, height), squeeze=False, layout="constrained", **options
        )  # fmt: skip


def legend(ax: Axes, columns: int = 3) -> None:
    """The labels of one panel, in a row above all panels, where no curve can be."""
    handles, labels = ax.get_legend_handles_labels()
    with plt.rc_context(_RC):
        ax.figure.legend(handles, labels, loc="outside upper center", ncols=columns)


def band(ax: Axes, x: ArrayLike, low: ArrayLike, high: ArrayLike, color: Any) -> None:
    """A pale band, for errors or quantiles."""
    ax.fill_between(np.asarray(x), np.asarray(low), np.asarray(high), color=color, alpha=0.2, linewidth=0)


def scheme_grid(tables: Mapping[str, Any], height: float, rows: int = 1, **options: Any) -> tuple[Figure, Any]:
    """A grid with one column a scheme."""
    figure, axes = axes_grid(rows, len(tables), height, sharex=True, sharey="row", **options)
    for ax, scheme in zip(axes[0], tables, strict=True):
        ax.set_title(TITLE[scheme])
    return figure, axes
