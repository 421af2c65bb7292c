"""Where the randomness of network k comes from: its own streams, a function of the seed and of k alone."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from .config import EnsembleConfig

__all__ = ["batch_order", "initial_weights"]


def initial_weights(config: EnsembleConfig, run: int) -> list[NDArray[np.float32]]:
    """Initial (out, in) matrices of network ``run``, the input layer first, float32.

    Examples
    --------
    >>> config = EnsembleConfig(dataset="digits", runs=100)
    >>> [W.shape for W in initial_weights(config, 7)]
    [(10, 64), (10, 10), (10, 10), (10, 10)]
    """
    rng = np.random.default_rng(np.random.SeedSequence(config.seed, spawn_key=(run, 0)))
    weights = []
    for out, into in config.shapes:
        if config.init == "gaussian":
            drawn = rng.standard_normal((out, into)) / np.sqrt(into)
        else:
            drawn = rng.uniform(-1.0, 1.0, (out, into)) / np.sqrt(into)
        weights.append(drawn.astype(np.float32))
    return weights


def batch_order(config: EnsembleConfig, run: int, epoch: int, images: int) -> NDArray[np.int64]:
    """The order in which network ``run`` sees the training images in ``epoch`` (0 is the first pass)."""
    rng = np.random.default_rng(np.random.SeedSequence(config.seed, spawn_key=(run, 1 + epoch)))
    return rng.permutation(images)
