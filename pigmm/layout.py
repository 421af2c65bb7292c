"""What an archive keeps of a configuration: which features of which layers, and whose raw weights at which epochs."""

from __future__ import annotations

from functools import lru_cache

import numpy as np

from .config import EnsembleConfig
from .graphs import InvariantGraph, bipartite_graphs, invariant_graphs

__all__ = [
    "EDGES", "FILM_RUNS", "STATISTICS", "archived_bipartite", "archived_graphs", "axes_of", "bipartite_places",
    "counted", "featured_layers", "kept_epochs", "kept_layers",
]  # fmt: skip

STATISTICS = 13
"""Number of sufficient statistics; they come before the invariants among the features."""

FILM_RUNS = 8
"""Networks 0 to 7 of an ensemble keep their raw weights at every epoch."""

EDGES = np.logspace(-3, 2, 101)
"""Edges of the histograms of singular values and moduli of eigenvalues; the outer bins take what lies outside."""


@lru_cache
def archived_graphs() -> tuple[InvariantGraph, ...]:
    """The 361 graphs of degree 1 to 4 in the order in which archives keep them."""
    return tuple(graph for degree in range(1, 5) for graph in invariant_graphs(degree))


@lru_cache
def archived_bipartite() -> tuple[InvariantGraph, ...]:
    """The 48 bipartite graphs of degree 1 to 4, which any layer has, in the order in which archives keep them."""
    return tuple(graph for degree in range(1, 5) for graph in bipartite_graphs(degree))


@lru_cache
def bipartite_places() -> tuple[int, ...]:
    """Where the bipartite graphs stand among all archived ones."""
    place = {graph: k for k, graph in enumerate(archived_graphs())}
    return tuple(place[graph] for graph in archived_bipartite())


def axes_of(config: EnsembleConfig) -> dict[str, tuple[int, int]]:
    """Name of each family of features → (number of features, how many of them have co-moments with all)."""
    families = {}
    for layer in featured_layers(config):
        width = STATISTICS + len(archived_graphs())
        families[f"features/{layer}"] = (width, STATISTICS)
        families[f"change/{layer}"] = (width, 0)
        families[f"path/{layer}"] = (3 * STATISTICS, 3 * STATISTICS)
        families[f"eigenvalues/{layer}"] = (config.studied_shapes[layer][0], 0)
    for place, shape in enumerate(config.shapes):
        families[f"two_sided/{place}"] = (5, 5)
        families[f"bipartite/{place}"] = (len(archived_bipartite()),) * 2
        families[f"singular/{place}"] = (min(shape), 0)
    classes = config.shapes[-1][0]
    families["labelled"] = (classes + classes * (classes + 1) // 2, classes)
    return families


def counted(config: EnsembleConfig) -> tuple[str, ...]:
    """Families of features of which histograms are kept."""
    return tuple(name for name in axes_of(config) if name.startswith(("singular", "eigenvalues")))


def kept_epochs(config: EnsembleConfig) -> tuple[int, ...]:
    """Epochs at which the raw weights of all networks are kept: initialisation, the first and the last."""
    return tuple(sorted({0, 1, config.epochs}))


def kept_layers(config: EnsembleConfig) -> tuple[int, ...]:
    """Square layers small enough for their raw weights to be kept; of an MLP alone, also a square output matrix."""
    output = len(config.studied_shapes) - 1
    wanted = (layer for layer in config.square_layers if layer < output or config.architecture == "mlp")
    return tuple(layer for layer in wanted if config.studied_shapes[layer][0] <= 16)


def featured_layers(config: EnsembleConfig) -> tuple[int, ...]:
    """Layers that have the 13 statistics: square ones with D at least 4."""
    return tuple(layer for layer in config.square_layers if config.studied_shapes[layer][0] >= 4)
