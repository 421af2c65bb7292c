"""What an archive keeps of a configuration: which graphs, which layers, which epochs."""

from __future__ import annotations

from functools import lru_cache

from .config import EnsembleConfig
from .graphs import InvariantGraph, invariant_graphs

__all__ = ["STATISTICS", "archived_graphs", "featured_layers", "kept_epochs", "kept_layers"]

STATISTICS = 13
"""Number of sufficient statistics; they come before the invariants among the features."""


@lru_cache
def archived_graphs() -> tuple[InvariantGraph, ...]:
    """The 361 graphs of degree 1 to 4 in the order in which archives keep them."""
    return tuple(graph for degree in range(1, 5) for graph in invariant_graphs(degree))


def kept_epochs(config: EnsembleConfig) -> tuple[int, ...]:
    """Epochs whose raw weights are kept: initialisation, the first and the last."""
    return tuple(sorted({0, 1, config.epochs}))


def kept_layers(config: EnsembleConfig) -> tuple[int, ...]:
    """Square layers small enough for their raw weights to be kept; of an MLP alone, also a square output matrix."""
    output = len(config.studied_shapes) - 1
    wanted = (layer for layer in config.square_layers if layer < output or config.architecture == "mlp")
    return tuple(layer for layer in wanted if config.studied_shapes[layer][0] <= 16)


def featured_layers(config: EnsembleConfig) -> tuple[int, ...]:
    """Layers that have the 13 statistics: square ones with D at least 4."""
    return tuple(layer for layer in config.square_layers if config.studied_shapes[layer][0] >= 4)
