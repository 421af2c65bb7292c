"""From weight matrices to features: what is measured of every network, and the builder that trainers feed."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from .archive import GROUPS, Archive
from .config import EnsembleConfig
from .invariants import evaluate
from .irreps import Array, LabelledRows, sufficient_statistics, two_sided_statistics
from .layout import STATISTICS, archived_graphs, featured_layers, kept_epochs, kept_layers
from .moments import Moments

__all__ = ["ArchiveBuilder"]


def _labelled_features(W: Array) -> Array:
    """Column average (M numbers) and the upper triangle of the contrasts' second moments, per matrix."""
    mean, contrasts = LabelledRows(*W.shape[1:]).project(W)
    gram = contrasts @ contrasts.swapaxes(1, 2) / max(W.shape[2] - 1, 1)
    a, b = np.triu_indices(W.shape[1])
    return np.concatenate([mean[..., 0], gram[:, a, b]], axis=1)


class ArchiveBuilder:
    """Collects the features of one chunk of runs, epoch by epoch, and ends in an :class:`Archive`.

    Parameters
    ----------
    config : EnsembleConfig
    runs : range
        Numbers of the networks in this chunk.
    """

    def __init__(self, config: EnsembleConfig, runs: range) -> None:
        self.config, self.runs = config, runs
        snapshots, R = config.epochs + 1, len(runs)
        width = {f"features/{layer}": STATISTICS + len(archived_graphs()) for layer in featured_layers(config)}
        width |= {f"two_sided/{layer}": 5 for layer in range(len(config.shapes))}
        last = config.shapes[-1][0]
        width |= {"labelled": last + last * (last + 1) // 2}
        self._features = {name: np.zeros((snapshots, R, p)) for name, p in width.items()}
        self._weights = {
            f"weights/{layer}": np.zeros((len(kept_epochs(config)), R, *config.studied_shapes[layer]), np.float32)
            for layer in kept_layers(config)
        }

    def add(self, epoch: int, weights: Sequence[NDArray[Any]]) -> None:
        """Take the weight matrices of all layers at one epoch: a list of (R, out, in), the input layer first."""
        for layer, W in enumerate(weights):
            self._features[f"two_sided/{layer}"][epoch] = two_sided_statistics(W)
        for layer in featured_layers(self.config):
            W = np.asarray(weights[layer + 1], dtype=np.float64)
            features = np.concatenate([sufficient_statistics(W), evaluate(archived_graphs(), W)], axis=1)
            self._features[f"features/{layer}"][epoch] = features
        self._features["labelled"][epoch] = _labelled_features(np.asarray(weights[-1], dtype=np.float64))
        if epoch in kept_epochs(self.config):
            for layer in kept_layers(self.config):
                self._weights[f"weights/{layer}"][kept_epochs(self.config).index(epoch)] = weights[layer + 1]

    def state(self) -> dict[str, NDArray[Any]]:
        """Arrays from which :meth:`from_state` continues."""
        return {**self._features, **self._weights}

    @classmethod
    def from_state(cls, config: EnsembleConfig, runs: range, state: dict[str, NDArray[Any]]) -> ArchiveBuilder:
        """The builder as it was when ``state`` was taken."""
        builder = cls(config, runs)
        for store in (builder._features, builder._weights):
            for name, array in store.items():
                array[...] = state[name]
        return builder

    def finish(
        self, *, loss: Array, test_accuracy: Array, dead_units: NDArray[Any], provenance: dict[str, Any]
    ) -> Archive:
        """Reduce the features to moments.

        ``loss`` (R, epochs): mean training loss of each epoch; ``test_accuracy`` (R, epochs + 1);
        ``dead_units`` (R, epochs + 1, hidden layers): units silent on the whole test set.
        """
        alive = (dead_units[:, -1] < np.asarray(self.config.hidden)).all(axis=1)
        moments = {}
        for group, mask in zip(GROUPS, (np.ones_like(alive), alive), strict=True):
            for name, features in self._features.items():
                axes = {"two_sided": 5, "features": STATISTICS}.get(name.split("/")[0], self.config.shapes[-1][0])
                moments[f"{group}/{name}"] = Moments.of(features[:, mask], axes)
                if name.startswith("features"):
                    change = features[:, mask] - features[:1, mask]
                    moments[f"{group}/{name.replace('features', 'change')}"] = Moments.of(change, 0)
        return Archive(
            template=self.config, first_run=self.runs.start, moments=moments, kept=dict(self._weights),
            loss=np.asarray(loss, np.float64), test_accuracy=np.asarray(test_accuracy, np.float64),
            dead_units=np.asarray(dead_units, np.int64), provenance=provenance,
        )  # fmt: skip
