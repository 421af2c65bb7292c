"""Data of the interactive page "Relabel me": the invariants it lists, with words and drawings.

The page itself is ``book/_static/explore/relabel.js``; it evaluates the invariants in the reader's browser.
"""

from __future__ import annotations

from typing import Any

from .drawing import draw
from .explore_knobs import assign, described, paper_order
from .graphs import InvariantGraph

__all__ = ["HIGHER", "files", "listed"]

HIGHER = {
    "01.12.20": "trace of W³",
    "01.02.03": "cubed row sums",
    "00.01.11": "entries between diagonal ones",
    "00+01.12": "trace × (column sums × row sums)",
    "01.01.01.01": "fourth powers of entries",
    "01.02.31.32": "trace of (W Wᵀ)²",
    "01.12.23.30": "trace of W⁴",
}
"""A few of the 348 invariants of degree three and four, in words."""


def listed() -> list[dict[str, Any]]:
    """The invariants of the page: the thirteen of the paper, then some of higher degree.

    ``two_sided`` tells whether no index is both a row and a column: only those survive when rows and columns are
    relabelled separately.

    >>> [entry["name"] for entry in listed() if entry["two_sided"]][:5]
    ['01', '01.01', '01.02', '01.21', '01+01']
    """
    graphs = [(graph, "") for graph in paper_order()]
    graphs += [(InvariantGraph(name), words) for name, words in HIGHER.items()]
    entries = []
    for graph, words in graphs:
        entry = described(graph, words) | {"degree": graph.degree, "two_sided": graph.sides is not None}
        if graph.sides is not None:
            entry["bipartite"] = draw(graph, size=75, bipartite=True)
        entries.append(entry)
    return entries


def files() -> dict[str, str]:
    """Name and text of the page's data file.

    >>> list(files())
    ['data-relabel.js']
    """
    return {"data-relabel.js": assign("relabel", {"invariants": listed()})}
