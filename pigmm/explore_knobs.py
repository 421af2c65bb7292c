"""Data of the interactive page "The 13 knobs": names and words, and fitted parameters of the published archives.

The page itself is ``book/_static/explore/knobs.js``; it samples and predicts in the reader's browser.
"""

from __future__ import annotations

import json
from functools import cache
from typing import Any

from . import atlas, shelf
from .cli import PARAMETERS
from .config import EnsembleConfig
from .drawing import draw
from .errors import PigmmError
from .evolution import layer_name
from .graphs import InvariantGraph, invariant_graphs
from .layout import featured_layers

__all__ = ["DIGITS", "KNOBS", "SHORT", "assign", "described", "films", "files", "paper_order"]

DIGITS = 5  # significant ones; more cannot be seen on the page, and the fitted numbers are known to two or three
LARGEST = 10  # wider layers are no matrices to look at

KNOBS = (
    "how large the entries are on average: D times the mean entry",
    "how far the diagonal stands out: √(D − 1) times (mean on the diagonal − mean off it)",
    "how the overall mean varies from matrix to matrix",
    "whether the overall mean varies together with the diagonal excess",
    "how the diagonal excess varies from matrix to matrix",
    "column effects: neurons that send more than others",
    "whether a neuron that sends more also receives more",
    "whether column effects go with diagonal effects",
    "row effects: neurons that receive more than others",
    "whether row effects go with diagonal effects",
    "diagonal effects: neurons that feed themselves more than others",
    "variance of the symmetric rest",
    "variance of the antisymmetric rest",
)
"""What each of f1 ... f13 measures, in words."""

SHORT = {
    "00": "trace", "01": "sum of all entries", "01.01": "squared entries", "01.10": "trace of W²",
    "00.01": "diagonal × row sums", "00.10": "diagonal × column sums", "01.02": "squared row sums",
    "01.21": "squared column sums", "01.12": "column sums × row sums", "01+01": "square of the sum",
    "00.00": "squared diagonal", "00+00": "square of the trace", "00+01": "trace × sum",
}  # fmt: skip
"""The thirteen linear and quadratic invariants in two or three words."""


def assign(name: str, value: Any) -> str:
    """The text of a script that puts a value at ``pigmmExplore.data.NAME``.

    >>> assign("knobs.films['x']", [1, 2])
    "pigmmExplore.data.knobs.films['x'] = [1,2];\\n"
    """
    text = json.dumps(value, ensure_ascii=False, separators=(",", ":"), allow_nan=False)
    return f"pigmmExplore.data.{name} = {text};\n"


def described(graph: InvariantGraph, words: str = "") -> dict[str, Any]:
    """An invariant as the pages show it: name, paper's number, words and drawing."""
    text = words or SHORT.get(graph.name) or atlas.words(graph)
    if not text:
        raise PigmmError.of("words", got=f"none for {graph.name}", fix="Say in a few words what the invariant is.")
    return {"name": graph.name, "alias": graph.paper_index, "words": text, "drawing": draw(graph, size=75)}


def paper_order() -> list[InvariantGraph]:
    """The thirteen linear and quadratic invariants as the paper numbers them, I1 ... I13."""
    return sorted((*invariant_graphs(1), *invariant_graphs(2)), key=lambda graph: graph.paper_index or 0)


def _title(config: EnsembleConfig) -> str:
    """An archive in words."""
    data = {"mnist": "MNIST", "digits": "small digits"}.get(config.dataset, config.dataset)
    kind = "" if config.architecture == "mlp" else f", {config.architecture}"
    decay = ", weight decay" if config.weight_decay else ""
    widths = f", {len(config.hidden)} hidden layers"
    return f"{data}{kind}{widths}, {config.init.replace('gaussian', 'Gaussian')} start{decay}"


def _role(config: EnsembleConfig, layer: int) -> str:
    """Where a studied layer stands in its network."""
    if layer == len(config.studied_shapes) - 1:
        return "hidden → output"
    return {"recurrent": "recurrent matrix", "residual": "residual block"}.get(config.architecture, "hidden → hidden")


@cache
def films() -> dict[str, dict[str, Any]]:
    """For each published archive with small square layers: its title and f1 ... f13 by layer and epoch."""
    found = {}
    for name in shelf.published():
        config = shelf.published_config(name)
        layers = [k for k in featured_layers(config) if config.studied_shapes[k][0] <= LARGEST]
        if not layers:
            continue
        archive = shelf.load(name)
        parameters = {
            layer_name(k): [
                [float(f"{f:.{DIGITS}g}") for f in archive.model(epoch, k).parameters]
                for epoch in range(archive.epochs + 1)
            ]
            for k in layers
        }
        found[name] = {
            "title": _title(config), "runs": archive.runs, "layers": parameters,
            "dims": {layer_name(k): config.studied_shapes[k][0] for k in layers},
            "roles": {layer_name(k): _role(config, k) for k in layers},
        }  # fmt: skip
    return found


def files() -> dict[str, str]:
    """Names and texts of the page's data files: one with the page, one for each archive when it is chosen.

    >>> sorted(files())[0], max(len(text) for text in files().values()) < 60_000
    ('data-knobs-digits-recurrent.js', True)
    """
    names = [dict(zip(("name", "law"), entry.split(maxsplit=1), strict=True)) for entry in PARAMETERS]
    page = {
        "parameters": [{**entry, "words": words} for entry, words in zip(names, KNOBS, strict=True)],
        "invariants": [described(graph) for graph in paper_order()],
        "archives": [{"name": name, "title": film["title"]} for name, film in films().items()],
        "films": {},
    }
    more = {f"data-knobs-{name}.js": assign(f"knobs.films[{name!r}]", film) for name, film in films().items()}
    return {"data-knobs.js": assign("knobs", page), **more}
