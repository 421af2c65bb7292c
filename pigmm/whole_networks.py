"""Whole trained networks: their matrices from the input layer to the output, kept as they are after the last epoch."""

from __future__ import annotations

import datetime
import functools
import hashlib
import multiprocessing
import os
import platform
from concurrent.futures import ProcessPoolExecutor
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
import scipy
from numpy.typing import NDArray

from . import __version__
from .chunks import new_stack
from .config import EnsembleConfig
from .datasets import load_dataset
from .ensemble import chosen_backend, split_runs
from .errors import PigmmError
from .irreps import Array
from .storage import read_arrays, write_arrays
from .streams import batch_order
from .tables import progressing
from .workers import one_thread, versions

__all__ = ["BLOCK", "Networks", "checked", "kept_arrays", "provenance", "train_networks"]

FORM = "pigmm networks 1"
BLOCK = 50  # networks trained between two files


@dataclass(frozen=True, eq=False)
class Networks:
    """Whole networks after their last epoch: ``matrices[k]`` is (R, out, in), the input layer first, float32.

    Has the :attr:`config`, the :attr:`provenance` and the :meth:`weights` of an archive.
    """

    config: EnsembleConfig
    matrices: tuple[NDArray[np.float32], ...] = field(repr=False)
    provenance: dict[str, Any] = field(repr=False, default_factory=dict)

    def __post_init__(self) -> None:
        shapes = [(self.config.runs, *shape) for shape in self.config.shapes]
        given = [np.shape(W) for W in self.matrices]
        if given != shapes:
            raise PigmmError.of("matrices", got=f"shapes {given}", allowed=f"{shapes}, as the configuration says")
        if not all(np.isfinite(W).all() for W in self.matrices):
            raise PigmmError.of("matrices", got="numbers that are not finite", allowed="finite ones")

    def weights(self, epoch: int = -1, layer: int = 0) -> Array:
        """Matrices of one layer, (R, M, N), numbered like those of an archive; only the last epoch is there."""
        if epoch not in (-1, self.config.epochs):
            raise PigmmError.of("epoch", got=epoch, allowed=f"{self.config.epochs}, the last one")
        if not -1 <= layer < len(self.matrices) - 1:
            raise PigmmError.of("layer", got=layer, allowed=f"-1 (the input layer) to {len(self.matrices) - 2}")
        return self.matrices[layer + 1].astype(np.float64)

    def digest(self) -> str:
        """SHA-256 of all weights."""
        total = hashlib.sha256()
        for W in self.matrices:
            total.update(np.ascontiguousarray(W, np.float32).data)
        return total.hexdigest()


def train_networks(
    config: EnsembleConfig,
    *,
    folder: str | os.PathLike[str] | None = None,
    workers: int = 1,
    backend: str = "auto",
    progress: bool = False,
) -> Networks:
    """Train the networks of a configuration and keep them whole, as :func:`pigmm.train` does not.

    They are the same networks, bit for bit, as those whose statistics :func:`pigmm.train` collects with that backend.

    Parameters
    ----------
    config : EnsembleConfig, of architecture "mlp"
    folder : where blocks of 50 finished networks are kept; those already there are not trained again
    workers : processes, each on one thread
    backend : as for :func:`pigmm.train`
    progress : show a progress bar

    Examples
    --------
    >>> networks = train_networks(EnsembleConfig(dataset="digits", runs=2, epochs=1))
    >>> [W.shape for W in networks.matrices]
    [(2, 10, 64), (2, 10, 10), (2, 10, 10), (2, 10, 10)]
    """
    checked(config, workers)
    chosen = chosen_backend(backend, config, "cpu")
    digest = load_dataset(config.dataset).digest
    identity = {"dataset_digest": digest, **versions(chosen["backend"]), **chosen}
    work = functools.partial(_trained, config, identity, None if folder is None else str(folder))
    blocks = split_runs(config.run_numbers, BLOCK)
    if workers == 1 or len(blocks) == 1:
        parts = list(progressing(map(work, blocks), len(blocks), progress, "training"))
    else:
        with ProcessPoolExecutor(workers, mp_context=multiprocessing.get_context("spawn")) as pool:
            parts = list(progressing(pool.map(work, blocks), len(blocks), progress, "training"))
    matrices = tuple(np.concatenate(layer) for layer in zip(*parts, strict=True))
    return Networks(config, matrices, {**identity, **provenance()})


def _trained(
    config: EnsembleConfig, identity: dict[str, Any], folder: str | None, runs: range
) -> list[NDArray[np.float32]]:
    header = {"format": FORM, "config": config.to_dict(), "runs": [runs.start, runs.stop], **identity}
    header["config"] |= {"runs": 0, "first_run": 0}  # a network is the same in any ensemble
    path = None if folder is None else Path(folder) / f"{config.digest()}-{runs.start}-{runs.stop}.npz"
    if path is not None and (kept := kept_arrays(path, FORM, header)) is not None:
        return [kept[f"matrix {place}"] for place in range(len(config.shapes))]
    data = load_dataset(config.dataset)
    with one_thread():
        stack = new_stack(config, runs, data.levels, "cpu", identity["backend"])
        held = stack.hold(data.train_images, data.train_labels, "cpu")
        for epoch in range(config.epochs):
            orders = [batch_order(config, run, epoch, len(data.train_labels)).astype(np.int32) for run in runs]
            losses = stack.epoch(*held, np.stack(orders), config.batch_size)
            lost = ~(stack.finite() & np.isfinite(losses))
            if lost.any():
                names = ", ".join(str(runs[k]) for k in np.flatnonzero(lost)[:10])
                fix = f"Use a learning_rate below {config.learning_rate:g}."
                raise PigmmError.of(f"training diverged in epoch {epoch + 1}: run {names}", fix=fix)
        matrices: list[NDArray[np.float32]] = [W.astype(np.float32) for W in stack.matrices()]
    if path is not None:
        write_arrays(path, header, {f"matrix {place}": W for place, W in enumerate(matrices)})
    return matrices


def kept_arrays(path: Path, form: str, header: dict[str, Any]) -> dict[str, NDArray[Any]] | None:
    """Arrays of an earlier run of the same kind; None if there are none, or they are damaged or of another kind."""
    if not path.exists():
        return None
    try:
        found, arrays = read_arrays(path, form)
    except PigmmError:
        return None
    return arrays if found == header else None


def checked(config: EnsembleConfig, workers: int) -> None:
    """Refuse what is no ensemble of plain networks, or no number of processes."""
    if not isinstance(config, EnsembleConfig) or config.architecture != "mlp":
        got = getattr(config, "architecture", config)
        raise PigmmError.of("config", got=got, allowed="an EnsembleConfig of architecture 'mlp'")
    if isinstance(workers, bool) or not isinstance(workers, int) or workers < 1:
        raise PigmmError.of("workers", got=workers, allowed="an integer of at least 1")


def provenance() -> dict[str, str]:
    """Versions, machine and time, for the record."""
    cores = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1
    return {
        "python": platform.python_version(), "numpy": np.__version__, "scipy": scipy.__version__,
        "package_version": __version__, "hardware": f"{platform.system()} {platform.machine()}, {cores} cores",
        "date": datetime.datetime.now(datetime.UTC).isoformat(timespec="seconds"),
    }  # fmt: skip
