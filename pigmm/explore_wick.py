"""Data of the explorable "Wick by graph": the graphs with their drawings, and laws of published ensembles.

The page adds up the contributions itself; what it needs from here are places to draw nodes at, the deltas of the
covariance, and what was measured in the ensembles whose laws it offers.
"""

from __future__ import annotations

import json
from typing import Any

import numpy as np
from numpy.typing import ArrayLike

from .contraction import CLASSES
from .drawing import _layout
from .evolution import layer_name
from .explore_film import title
from .graphs import pairs
from .layout import archived_graphs
from .shelf import load

__all__ = ["LAWS", "files", "law"]

LAWS = (
    ("mnist-gaussian", 0, 0), ("mnist-gaussian", 0, -1), ("mnist-gaussian", 1, -1), ("mnist-gaussian", 2, -1),
    ("mnist-uniform", 2, -1), ("mnist-gaussian-l2", 2, -1), ("digits-residual", 0, -1), ("digits-recurrent", 0, -1),
    ("mnist-width-40", 0, -1), ("mnist-width-640", 0, -1),
)  # fmt: skip
"""Archive, layer and epoch of the laws that are offered."""


def files() -> dict[str, str]:
    """Name and text of the one script."""
    graphs = archived_graphs()
    components = dict.fromkeys(component for graph in graphs for component in graph.components)
    data = {
        "graphs": [[graph.name, graph.paper_index or 0] for graph in graphs],
        "places": {name: _layout(pairs(name)).round(3).tolist() for name in components},  # an edge has length 1
        "deltas": [[pattern, number] for number, members in enumerate(CLASSES) for pattern in members],
        "laws": [law(*place) for place in LAWS],
    }
    return {"data-wick.js": f"pigmmExplore.data.wick={json.dumps(data, separators=(',', ':'), allow_nan=False)};\n"}


def law(name: str, layer: int, epoch: int) -> dict[str, Any]:
    """The 13-parameter law of a published layer, and the means measured there with their standard errors."""
    archive = load(name)
    fitted, table = archive.model(epoch, layer), archive.comparison(epoch, layer)
    at = epoch % (archive.epochs + 1)
    return {
        "key": f"{name}.{layer_name(layer)}.{at}", "runs": archive.runs, "dim": fitted.dim,
        "title": f"{title(archive.template)}: {layer_name(layer)}, {'before training' if not at else f'epoch {at}'}",
        "f": _round(fitted.parameters, 12), "measured": _round(table["measured"], 7), "se": _round(table["se"], 3),
    }  # fmt: skip


def _round(values: ArrayLike, digits: int) -> list[float]:
    return [float(f"{x:.{digits}g}") for x in np.asarray(values, dtype=np.float64)]
