"""One chunk of an ensemble: train its runs as one stack, epoch by epoch, with checkpoints on disk."""

from __future__ import annotations

import contextlib
import hashlib
import io
import json
import os
import sys
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
from .storage import differences, lock_file, remove_leftovers, write_whole
from .streams import batch_order, initial_weights

PROBE = 10_000
"""The accuracy on training images is that on so many of them, the first ones."""

__all__ = ["PROBE", "Chunk", "alone", "epochs_done", "new_stack", "set_aside", "train_chunk"]


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


def _say(message: str) -> None:
    print(message, file=sys.stderr, flush=True)


@contextlib.contextmanager
def alone(folder: Path, wait: bool = False, tell: Callable[[str], None] = _say) -> Iterator[None]:
    """Keep the checkpoints of one configuration to this process, and mend what a killed one has left there.

    Parameters
    ----------
    folder : where the checkpoints are; the lock is a file beside it
    wait : whether to wait for another process that trains this configuration, or else to raise
    tell : told, once, that and for what this process waits

    Raises
    ------
    PigmmError
        If another process has the lock (without ``wait``), or the disk fails: when the lock is made or in the block.
    KeyboardInterrupt
        On Ctrl-C in the block, with words that say where the training goes on.
    """
    path = folder.with_name(f"{folder.name}.lock")
    taken = f"this configuration is being trained by another process (lock {path})"
    try:
        file = lock_file(path, (lambda: tell(f"{taken}: waiting for it")) if wait else None)
    except BlockingIOError as error:
        fix = "Wait for it, or give this training another checkpoint_dir (--checkpoint-dir)."
        raise PigmmError.of(taken, fix=fix) from error
    except OSError as error:
        raise PigmmError.of(
            f"cannot keep checkpoints in {folder.parent}", got=error.strerror or str(error),
            fix="Name another folder: checkpoint_dir=, or --checkpoint-dir on the command line.",
        ) from error  # fmt: skip
    with file:
        try:
            remove_leftovers(folder)
            yield
        except KeyboardInterrupt as stop:
            if stop.args:
                raise
            raise KeyboardInterrupt(f"stopped; the same call goes on from {folder}") from None
        except OSError as error:
            fix = f"The same call goes on from the checkpoints in {folder}."
            raise PigmmError.of("training broke off", got=error.strerror or str(error), fix=fix) from error
        finally:
            with contextlib.suppress(OSError):  # a read-only disk, or Windows, which removes no open file
                path.unlink()


def epochs_done(chunk: Chunk) -> int:
    """How many epochs of a chunk its checkpoints hold.

    Damaged ones are ignored, and those made in other circumstances set aside, with a warning.
    """
    held = [_circumstances(path) for path in (chunk.finished, chunk.running)]
    if any(made not in (None, chunk.identity) for made in held) or _aside(chunk.folder, chunk.identity).exists():
        set_aside(chunk.folder, chunk.identity)
    try:
        if chunk.finished.exists():
            Archive.load(chunk.finished)
            return chunk.config.epochs
    except PigmmError as error:
        warnings.warn(f"checkpoint ignored: {error}", stacklevel=3)
    state = _read(chunk)
    return 0 if state is None else int(state["epoch"])


def set_aside(folder: Path, identity: dict[str, Any]) -> None:
    """Move checkpoints that were not made in these circumstances to ``folder/kept-…``, and bring back those that were.

    A warning says what differs.  Each set of circumstances has a folder of its own, so that nothing is lost when two
    versions or backends train one configuration by turns.
    """
    foreign: dict[Path, list[Path]] = {}
    changed = {}
    for path in sorted(folder.glob("runs-*")):
        made = _circumstances(path) if path.suffix in (".npz", ".running") else None
        if made is not None and made != identity:
            home = _aside(folder, made)
            changed[home] = "; ".join(differences(made, identity)) if made else "they do not say which"
            foreign.setdefault(home, []).append(path)
    for home, paths in foreign.items():
        names = ", ".join(path.name for path in paths[:3]) + (", ..." if len(paths) > 3 else "")
        warnings.warn(
            f"checkpoints made in other circumstances ({changed[home]}) are kept in {home} and used again in those, "
            f"but not here: {names}",
            stacklevel=4,
        )
        sidecars = [path.with_suffix(".json") for path in paths if path.suffix == ".npz"]
        home.mkdir(exist_ok=True)
        _move([path for path in sidecars if path.exists()] + paths, home)
    home = _aside(folder, identity)
    if home.exists():
        _move(sorted(home.glob("runs-*")), folder)
        with contextlib.suppress(OSError):
            home.rmdir()


def _move(paths: list[Path], folder: Path) -> None:
    for path in paths:  # sidecars come first: should we be killed, the file that is left says what it is
        os.replace(path, folder / path.name)


def _aside(folder: Path, identity: dict[str, Any]) -> Path:
    digest = hashlib.sha256(json.dumps(identity, sort_keys=True).encode()).hexdigest()
    return folder / f"kept-{digest[:12]}"


def _circumstances(path: Path) -> dict[str, Any] | None:
    """The identity with which a checkpoint was made; None if there is none, or it is damaged."""
    try:
        with path.open("rb") as file, np.load(file, allow_pickle=False) as arrays:
            if path.suffix == ".running":
                return json.loads(bytes(arrays["identity"]))
            return json.loads(bytes(arrays["header"]))["provenance"].get("checkpoint") or {}
    except Exception:  # whatever a damaged zip can raise
        return None


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
        loss=trainer.loss, train_accuracy=trainer.train_accuracy, test_accuracy=trainer.test_accuracy,
        dead_units=trainer.dead,
        provenance={"checkpoint": chunk.identity, "wall_seconds": time.perf_counter() - began},
    )  # fmt: skip


def new_stack(config: EnsembleConfig, runs: range, levels: int, device: str, backend: str) -> Any:
    """Networks at their start, in the class that trains them: one of STACKS, or FastStack for "compiled"."""
    require("torch")
    from .network import STACKS

    kind: Any = STACKS[config.architecture]
    if backend == "compiled":
        from .fast import FastStack as kind
    try:
        return kind(
            config.shapes, [initial_weights(config, run) for run in runs], levels=levels,
            learning_rate=config.learning_rate, weight_decay=config.weight_decay, device=device,
        )  # fmt: skip
    except (MemoryError, RuntimeError) as error:
        fix = "Use a smaller chunk, fewer workers or narrower layers."
        raise PigmmError.of(f"no memory for {len(runs)} networks of {config.layer_sizes}", fix=fix) from error


class _Trainer:
    """The stack of a chunk and what has been recorded of it so far."""

    def __init__(self, chunk: Chunk, data: Dataset) -> None:
        self.chunk, self.config = chunk, chunk.config
        config, runs = chunk.config, len(chunk.runs)
        self.stack = new_stack(config, chunk.runs, data.levels, chunk.device, chunk.identity["backend"])
        self.train_set = self.stack.hold(data.train_images, data.train_labels, chunk.device)
        self.probe_set = self.stack.hold(data.train_images[:PROBE], data.train_labels[:PROBE], chunk.device)
        self.test_set = self.stack.hold(data.test_images, data.test_labels, chunk.device)
        self.loss = np.zeros((runs, config.epochs))
        self.train_accuracy, self.test_accuracy = np.zeros((2, runs, config.epochs + 1))
        self.dead = np.zeros((runs, config.epochs + 1, len(config.hidden)), dtype=np.int64)
        state = _read(chunk)
        if state is None:
            self.epoch = 0
            self.builder = ArchiveBuilder(config, chunk.runs)
            self._snapshot()
        else:
            self.epoch = int(state["epoch"])
            self.stack.restore(state)
            self.loss, self.dead = state["loss"], state["dead"]
            self.train_accuracy, self.test_accuracy = state["train_accuracy"], state["test_accuracy"]
            prefix = "builder:"
            built = {name.removeprefix(prefix): a for name, a in state.items() if name.startswith(prefix)}
            self.builder = ArchiveBuilder.from_state(config, chunk.runs, built)

    def train_epoch(self, epoch: int) -> None:
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
                f"training diverged (weights, moments or loss not finite) in epoch {epoch + 1}: run {names}{more}",
                fix=f"Use a learning_rate below {self.config.learning_rate:g}"
                + (f" or a weight_decay below {self.config.weight_decay:g}" if self.config.weight_decay > 1 else "")
                + "; finished chunks are kept.",
            )

    def _snapshot(self) -> None:
        self.builder.add(self.epoch, self.stack.matrices())
        self.train_accuracy[:, self.epoch], _ = self.stack.evaluate(*self.probe_set)
        self.test_accuracy[:, self.epoch], self.dead[:, self.epoch] = self.stack.evaluate(*self.test_set)

    def save(self) -> None:
        header = np.frombuffer(json.dumps(self.chunk.identity, sort_keys=True).encode(), np.uint8)
        arrays: dict[str, NDArray[Any]] = {
            "identity": header, "epoch": np.array(self.epoch), **self.stack.state(),
            "loss": self.loss, "dead": self.dead,
            "train_accuracy": self.train_accuracy, "test_accuracy": self.test_accuracy,
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
