"""A small archive of synthetic weights, made in a moment and without torch."""

from functools import lru_cache

import numpy as np

from pigmm import Archive, EnsembleConfig, TwoSidedGaussian
from pigmm.builder import ArchiveBuilder


@lru_cache
def synthetic_archive(init: str = "gaussian", runs: int = 60, epochs: int = 3) -> Archive:
    """Networks 64-10-10-10-10 whose row sums spread more from epoch to epoch while the rest stays put."""
    config = EnsembleConfig(dataset="digits", init=init, runs=runs, epochs=epochs)
    rng = np.random.default_rng(0 if init == "gaussian" else 1)
    scale = 1.0 if init == "gaussian" else 1 / 3
    builder = ArchiveBuilder(config, range(runs))
    start = [rng.normal(size=(runs, *shape)) * np.sqrt(scale / shape[1]) for shape in config.shapes]
    push = TwoSidedGaussian([0.05, 0.02, 0.3, 0.01, 0.01], (10, 10)).sample(runs, seed=5)
    for epoch in range(epochs + 1):
        builder.add(epoch, [W + (epoch * push if W.shape[2] == 10 else 0) for W in start])
    return builder.finish(
        loss=np.linspace(2.3, 0.4, epochs)[None] + 0.1 * rng.random((runs, 1)),
        train_accuracy=np.full((runs, epochs + 1), 0.5),
        test_accuracy=np.clip(np.linspace(0.1, 0.9, epochs + 1) + 0.05 * rng.normal(size=(runs, 1)), 0, 1),
        dead_units=np.zeros((runs, epochs + 1, 3), int), provenance={"date": "2026-01-01", "package_version": "0"},
    )  # fmt: skip
