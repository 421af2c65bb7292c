"""One chunk of an ensemble: train its runs as one stack, epoch by epoch, with checkpoints on disk."""

from __future__ import annotations

import contextlib
import io
import json
import time
import warnings
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from .archive import Archive
from .builder import ArchiveBuilder
from .config import EnsembleConfig
from .datasets import Dataset, load_dataset, require
from .errors import PigmmError
from .storage import write_whole

try:
    import fcntl
except ImportError:  # Windows has no such lock; two trainings at once are then up to the user
    fcntl = None  # type: ignore[assignment]

__all__ = ["Chunk", "alone", "epochs_done", "train_chunk"]


@dataclass(frozen=True, eq=False)
class Chunk:
    """Consecutive runs of an ensemble, and where their checkpoints are.

    ``identity`` says all that decides the numbers besides the run numbers: configuration, versions, data, device and
    backend.
    A finished chunk is an archive, ``runs-A-B.npz``; a running one is ``runs-A-B.running``.
    """

    config: EnsembleConfig
    start: int
    stop: int
    device: str
    folder: Path
    identity: dict[str, Any]
    seconds: float

    @property
    def runs(self) -> range:
        return range(self.start, self.stop)

    @property
    def finished(self) -> Path:
        return self.folder / f"runs-{self.start}-{self.stop}.npz"

    @property
    def running(self) -> Path:
        return self.folder / f"runs-{self.start}-{self.stop}.running"


@contextlib.contextmanager
def alone(folder: Path) -> Iterator[None]:
    """Keep the checkpoints of one configuration to this process; a folder that cannot be written shows here too."""
    path = folder.with_name(f"{folder.name}.lock")
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        file = path.open("w")
    except OSError as error:
        raise PigmmError.of(
            f"cannot keep checkpoints in {folder.parent}", got=error.strerror or str(error),
            fix="Name another folder: checkpoint_dir=, or --checkpoint-dir on the command line.",
        ) from error  # fmt: skip
    with file:
        try:
            if fcntl is not None:
                fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except OSError as error:
            raise PigmmError.of(
                f"this configuration is being trained by another process (lock {path})",
                fix="Wait for it, or give this training another checkpoint_dir (--checkpoint-dir).",
            ) from error
        try:
            yield
        finally:
            path.unlink(missing_ok=True)


def epochs_done(chunk: Chunk) -> int:
    """How many epochs of a chunk its checkpoints hold; damaged and foreign ones are ignored, with a warning."""
    try:
        if chunk.finished.exists():
            if Archive.load(chunk.finished).provenance.get("checkpoint") == chunk.identity:
                return chunk.config.epochs
            warnings.warn(f"{chunk.finished} was made in other circumstances and is ignored", stacklevel=3)
    except PigmmError as error:
        warnings.warn(f"checkpoint ignored: {error}", stacklevel=3)
    state = _read(chunk)
    return 0 if state is None else int(state["epoch"])


def train_chunk(chunk: Chunk, report: Callable[[int], None]) -> Archive:
    """Train the runs of a chunk, from its checkpoint if there is one.

    ``report`` is told the number of run-epochs after each epoch.
    """
    began = time.perf_counter()
    config, runs = chunk.config, chunk.runs
    data = load_dataset(config.dataset)
    if data.digest != chunk.identity["dataset_digest"]:
        raise PigmmError.of(f"dataset {config.dataset}: this worker's files differ from those of the main process")
    trainer = _Trainer(chunk, data)
    saved = time.monotonic()
    for epoch in range(trainer.epoch, config.epochs):
        trainer.train_epoch(epoch)
        report(len(runs))
        if epoch + 1 < config.epochs and time.monotonic() - saved >= chunk.seconds:
            trainer.save()
            saved = time.monotonic()
    return trainer.builder.finish(
        loss=trainer.loss, test_accuracy=trainer.accuracy, dead_units=trainer.dead,
        provenance={"checkpoint": chunk.identity, "wall_seconds": time.perf_counter() - began},
    )  # fmt: skip


class _Trainer:
    """The stack of a chunk and what has been recorded of it so far."""

    def __init__(self, chunk: Chunk, data: Dataset) -> None:
        require("torch")
        from .network import STACKS, initial_weights

        self.chunk, self.config = chunk, chunk.config
        config, runs = chunk.config, len(chunk.runs)
        kind: Any = STACKS[config.architecture]
        if chunk.identity["backend"] == "compiled":
            from .fast import FastStack as kind
        try:
            self.stack = kind(
                config.shapes, [initial_weights(config, run) for run in chunk.runs], levels=data.levels,
                learning_rate=config.learning_rate, weight_decay=config.weight_decay, device=chunk.device,
            )  # fmt: skip
        except (MemoryError, RuntimeError) as error:
            fix = "Use a smaller chunk, fewer workers or narrower layers."
            raise PigmmError.of(f"no memory for {runs} networks of {config.layer_sizes}", fix=fix) from error
        self.train_set = self.stack.hold(data.train_images, data.train_labels, chunk.device)
        self.test_set = self.stack.hold(data.test_images, data.test_labels, chunk.device)
        self.loss = np.zeros((runs, config.epochs))
        self.accuracy = np.zeros((runs, config.epochs + 1))
        self.dead = np.zeros((runs, config.epochs + 1, len(config.hidden)), dtype=np.int64)
        state = _read(chunk)
        if state is None:
            self.epoch = 0
            self.builder = ArchiveBuilder(config, chunk.runs)
            self._snapshot()
        else:
            self.epoch = int(state["epoch"])
            self.stack.restore(state)
            self.loss, self.accuracy, self.dead = state["loss"], state["accuracy"], state["dead"]
            prefix = "builder:"
            built = {name.removeprefix(prefix): a for name, a in state.items() if name.startswith(prefix)}
            self.builder = ArchiveBuilder.from_state(config, chunk.runs, built)

    def train_epoch(self, epoch: int) -> None:
        from .network import batch_order

        images = len(self.train_set[1])
        orders = [batch_order(self.config, run, epoch, images).astype(np.int32) for run in self.chunk.runs]
        self.loss[:, epoch] = self.stack.epoch(*self.train_set, np.stack(orders), self.config.batch_size)
        self._check(epoch)
        self.epoch = epoch + 1
        self._snapshot()

    def _check(self, epoch: int) -> None:
        lost = ~(self.stack.finite() & np.isfinite(self.loss[:, epoch]))
        if lost.any():
            names = ", ".join(str(self.chunk.start + k) for k in np.flatnonzero(lost)[:10])
            more = f" and {lost.sum() - 10} more" if lost.sum() > 10 else ""
            raise PigmmError.of(
                f"training diverged (weights or loss not finite) in epoch {epoch + 1}: run {names}{more}",
                fix=f"Use a learning_rate below {self.config.learning_rate:g}; finished chunks are kept.",
            )

    def _snapshot(self) -> None:
        self.builder.add(self.epoch, self.stack.matrices())
        self.accuracy[:, self.epoch], self.dead[:, self.epoch] = self.stack.evaluate(*self.test_set)

    def save(self) -> None:
        header = np.frombuffer(json.dumps(self.chunk.identity, sort_keys=True).encode(), np.uint8)
        arrays: dict[str, NDArray[Any]] = {
            "identity": header, "epoch": np.array(self.epoch), **self.stack.state(),
            "loss": self.loss, "accuracy": self.accuracy, "dead": self.dead,
            **{f"builder:{name}": array for name, array in self.builder.state().items()},
        }  # fmt: skip
        buffer = io.BytesIO()
        np.savez(buffer, **arrays)  # type: ignore[arg-type]
        write_whole(self.chunk.running, buffer.getvalue())


def _read(chunk: Chunk) -> dict[str, NDArray[Any]] | None:
    """The checkpoint of a running chunk, or None if there is none of these circumstances."""
    if not chunk.running.exists():
        return None
    try:
        with np.load(io.BytesIO(chunk.running.read_bytes()), allow_pickle=False) as file:
            state = {name: file[name] for name in file.files}
        identity = json.loads(bytes(state.pop("identity")))
    except Exception as error:  # whatever a damaged zip can raise
        warnings.warn(f"{chunk.running} is damaged and is ignored ({error})", stacklevel=4)
        return None
    if identity != chunk.identity:
        warnings.warn(f"{chunk.running} was made in other circumstances and is ignored", stacklevel=4)
        return None
    return state
