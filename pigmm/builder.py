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
from .layout import (
    EDGES,
    FILM_RUNS,
    STATISTICS,
    archived_bipartite,
    archived_graphs,
    axes_of,
    bipartite_places,
    counted,
    featured_layers,
    kept_epochs,
    kept_layers,
)
from .moments import Moments

__all__ = ["ArchiveBuilder"]


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
        later = ("change", "path")  # made of the others in the end
        self._features = {
            name: np.zeros((snapshots, R, width))
            for name, (width, _) in axes_of(config).items()
            if name.split("/")[0] not in later
        }
        self._norms = np.zeros((snapshots, R, len(config.shapes)))
        self._film = [k for k, run in enumerate(runs) if run < FILM_RUNS]
        self._weights: dict[str, NDArray[np.float32]] = {}
        for layer in kept_layers(config):
            shape = config.studied_shapes[layer]
            self._weights |= {
                f"weights/{epoch}/{layer}": np.zeros((R, *shape), np.float32) for epoch in kept_epochs(config)
            }
            self._weights[f"films/{layer}"] = np.zeros((len(self._film), snapshots, *shape), np.float32)

    def add(self, epoch: int, weights: Sequence[NDArray[Any]]) -> None:
        """Take the weight matrices of all layers at one epoch: a list of (R, out, in), the input layer first."""
        for place, W in enumerate(weights):
            self._measure(epoch, place, W)
        self._features["labelled"][epoch] = _labelled_features(np.asarray(weights[-1], dtype=np.float64))
        for layer in kept_layers(self.config):
            self._weights[f"films/{layer}"][:, epoch] = weights[layer + 1][self._film]
            if epoch in kept_epochs(self.config):
                self._weights[f"weights/{epoch}/{layer}"][...] = weights[layer + 1]

    def _measure(self, epoch: int, place: int, given: NDArray[Any]) -> None:
        """What is measured of every matrix; spectra in the precision of the training, which is twice as fast."""
        features, layer, W = self._features, place - 1, np.asarray(given, dtype=np.float64)
        self._norms[epoch, :, place] = np.sqrt((W * W).sum(axis=(1, 2)))
        features[f"two_sided/{place}"][epoch] = two_sided_statistics(W)
        features[f"singular/{place}"][epoch] = np.linalg.svd(given, compute_uv=False)
        if layer in featured_layers(self.config):
            invariants = evaluate(archived_graphs(), W)
            features[f"features/{layer}"][epoch] = np.hstack([sufficient_statistics(W), invariants])
            features[f"bipartite/{place}"][epoch] = invariants[:, bipartite_places()]
            features[f"eigenvalues/{layer}"][epoch] = np.sort(np.abs(np.linalg.eigvals(given)), axis=1)[:, ::-1]
        else:
            features[f"bipartite/{place}"][epoch] = evaluate(archived_bipartite(), W)

    def state(self) -> dict[str, NDArray[Any]]:
        """Arrays from which :meth:`from_state` continues."""
        return {**self._features, **self._weights, "norms": self._norms}

    @classmethod
    def from_state(cls, config: EnsembleConfig, runs: range, state: dict[str, NDArray[Any]]) -> ArchiveBuilder:
        """The builder as it was when ``state`` was taken."""
        builder = cls(config, runs)
        for name, array in builder.state().items():
            array[...] = state[name]
        return builder

    def finish(
        self,
        *,
        loss: Array,
        train_accuracy: Array,
        test_accuracy: Array,
        dead_units: NDArray[Any],
        provenance: dict[str, Any],
    ) -> Archive:
        """Reduce the features to moments.

        ``loss`` (R, epochs): mean training loss of each epoch; ``train_accuracy``, ``test_accuracy`` (R, epochs + 1);
        ``dead_units`` (R, epochs + 1, hidden layers): units silent on the whole test set.
        """
        alive = (dead_units[:, -1] < np.asarray(self.config.hidden)).all(axis=1)
        families = {name: axes for name, (_, axes) in axes_of(self.config).items()}
        moments = {
            f"{group}/{name}": Moments.of(self._family(name)[:, mask], axes)
            for group, mask in zip(GROUPS, (np.ones_like(alive), alive), strict=True)
            for name, axes in families.items()
        }
        counts = {
            name: np.stack([np.histogram(np.clip(x, EDGES[0], EDGES[-1]), EDGES)[0] for x in self._features[name]])
            for name in counted(self.config)
        }
        records = {
            "loss": np.asarray(loss, np.float64), "train_accuracy": np.asarray(train_accuracy, np.float64),
            "test_accuracy": np.asarray(test_accuracy, np.float64), "dead_units": np.asarray(dead_units, np.int64),
            "norms": self._norms.swapaxes(0, 1).copy(),
        }  # fmt: skip
        return Archive(
            template=self.config, first_run=self.runs.start, moments=moments, counts=counts, records=records,
            kept=dict(self._weights), provenance=provenance,
        )  # fmt: skip

    def _family(self, name: str) -> Array:
        """Features (epochs + 1, R, p) of one family."""
        family, _, layer = name.partition("/")
        if family == "change":
            features = self._features[f"features/{layer}"]
            return features - features[:1]
        if family == "path":
            now = self._features[f"features/{layer}"][..., :STATISTICS]
            before = np.concatenate([now[:1], now[:-1]])
            return np.concatenate([now, before, np.broadcast_to(now[:1], now.shape)], axis=-1)
        return self._features[name]


def _labelled_features(W: Array) -> Array:
    """Column average (M numbers) and the upper triangle of the contrasts' second moments, per matrix."""
    mean, contrasts = LabelledRows(*W.shape[1:]).project(W)
    gram = contrasts @ contrasts.swapaxes(1, 2) / max(W.shape[2] - 1, 1)
    a, b = np.triu_indices(W.shape[1])
    return np.concatenate([mean[..., 0], gram[:, a, b]], axis=1)
