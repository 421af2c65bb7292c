"""The published archives as recipes: which ensemble each one is, how long it would take here, how to train it again.

:data:`RECIPES` is the one place where these ensembles are written down.  :func:`forecast` times a few steps of each on
this machine; :func:`reproduce` trains those that are not in a folder yet.
"""

from __future__ import annotations

import os
import time
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from .archive import Archive
from .config import EnsembleConfig
from .errors import PigmmError, nearest
from .storage import check_output, npz_path

if TYPE_CHECKING:
    from .datasets import Dataset

__all__ = ["RECIPES", "Forecast", "forecast", "reproduce"]

_DIGITS: dict[str, Any] = {"dataset": "digits", "epochs": 20, "batch_size": 25, "learning_rate": 5e-3}

RECIPES: dict[str, EnsembleConfig] = {
    "digits": EnsembleConfig(**_DIGITS, runs=200),
    "digits-recurrent": EnsembleConfig(**_DIGITS, hidden=(10, 10), architecture="recurrent"),
    "digits-residual": EnsembleConfig(**_DIGITS, hidden=(10, 10), architecture="residual"),
    "mnist-gaussian": EnsembleConfig(dataset="mnist"),
    "mnist-uniform": EnsembleConfig(dataset="mnist", init="uniform"),
    "mnist-gaussian-l2": EnsembleConfig(dataset="mnist", weight_decay=0.01),
    "mnist-uniform-l2": EnsembleConfig(dataset="mnist", init="uniform", weight_decay=0.01),
    "mnist-width-10": EnsembleConfig(dataset="mnist", hidden=(10, 10)),
    "mnist-width-40": EnsembleConfig(dataset="mnist", hidden=(40, 40)),
    "mnist-width-160": EnsembleConfig(dataset="mnist", hidden=(160, 160)),
    "mnist-width-640": EnsembleConfig(dataset="mnist", hidden=(640, 640), runs=100, epochs=20),
}
"""Name of each published archive → the ensemble behind it."""


@dataclass(frozen=True)
class Forecast:
    """What it would take to train one ensemble on this machine.

    ``run_epoch`` is seconds of one core for one network and epoch, ``seconds`` wall time for all that is left to do if
    every worker has a core of its own.

    Examples
    --------
    >>> config = EnsembleConfig(runs=10, epochs=5)
    >>> Forecast("mine", config, "torch", run_epoch=0.02, seconds=1.0, done=False).seconds
    1.0
    """

    name: str
    config: EnsembleConfig
    backend: str
    run_epoch: float
    seconds: float
    done: bool


def forecast(
    names: Iterable[str] | str | None = None,
    folder: str | os.PathLike[str] = "archives",
    *,
    workers: int | None = None,
    device: str | Sequence[str] = "cpu",
    backend: str = "auto",
) -> list[Forecast]:
    """Time some steps of training, an evaluation and a snapshot of each ensemble, and add up.

    Arguments as in :func:`reproduce`: ``names`` of recipes, all by default, and the ``folder`` where those that are
    finished lie.  The first use of the compiled backend takes some seconds more.  Work that lies in checkpoints is not
    subtracted.

    Raises
    ------
    PigmmError
        For an unknown name, device or backend, a dataset that cannot be had, or a file in the way.

    Examples
    --------
    >>> import tempfile
    >>> plan = forecast("digits", tempfile.mkdtemp(), workers=1, backend="torch")
    >>> plan[0].name, plan[0].done, 0 < plan[0].run_epoch < 1
    ('digits', False, True)
    """
    from .datasets import load_dataset
    from .ensemble import _cores, checked_count, chosen_backend, default_chunk
    from .workers import check_devices

    workers, devices = checked_count("workers", workers), check_devices(device)
    where = devices[0].split(":")[0]
    speeds: dict[tuple[Any, ...], tuple[str, float]] = {}
    plan = []
    for name in _chosen(names):
        config, done = RECIPES[name], _done(name, folder)
        key = (config.dataset, config.shapes, config.batch_size, config.architecture)
        if key not in speeds and not done:
            kind = chosen_backend(backend, config, where)["backend"]
            large = sum(out * into for out, into in config.shapes) > 100_000
            runs = 1 if kind == "compiled" and large else min(config.runs, default_chunk(config, where))
            speeds[key] = kind, _run_epoch(config, load_dataset(config.dataset), runs, devices[0], kind)
        kind, seconds = speeds.get(key, ("", 0.0))
        shared = len(devices) if where != "cpu" or len(devices) > 1 else min(workers or _cores(), config.runs)
        plan.append(
            Forecast(name, config, kind, seconds, 0.0 if done else seconds * config.runs * config.epochs / shared, done)
        )
    return plan


def reproduce(
    names: Iterable[str] | str | None = None,
    folder: str | os.PathLike[str] = "archives",
    *,
    workers: int | None = None,
    device: str | Sequence[str] = "cpu",
    backend: str = "auto",
    memory: str | float | None = None,
    checkpoint_dir: str | os.PathLike[str] | None = None,
    progress: bool = True,
) -> list[Path]:
    """Train the published ensembles that are not in ``folder`` yet, and save them there as they are published.

    Broken off at any moment, the same call goes on from what is finished and from checkpoints.

    Parameters
    ----------
    names : names of :data:`RECIPES`; all of them by default
    folder : where the archives go, ``NAME.npz`` with ``NAME.json``
    workers, device, backend, memory, checkpoint_dir, progress : as in :func:`pigmm.train`

    Returns
    -------
    list of Path
        The archives, trained now or found.

    Examples
    --------
    >>> import tempfile
    >>> reproduce("digits-residuel", tempfile.mkdtemp())
    Traceback (most recent call last):
    ...
    pigmm.errors.PigmmError: ...
    """
    from .ensemble import train

    paths = []
    for name in _chosen(names):
        done = _done(name, folder)
        path = npz_path(Path(folder) / name)
        if not done:
            archive = train(
                RECIPES[name], device, workers, backend=backend, memory=memory, checkpoint_dir=checkpoint_dir,
                progress=progress, output=path,
            )  # fmt: skip
            archive.save(path, compact=True)
        paths.append(path)
    return paths


def _chosen(names: Iterable[str] | str | None) -> list[str]:
    one = isinstance(names, str) or not isinstance(names, Iterable)
    wanted: list[Any] = [] if names is None else [names] if one else list(names)
    for name in wanted:
        if not isinstance(name, str) or name not in RECIPES:
            fix = nearest(name, RECIPES) if isinstance(name, str) else ""
            raise PigmmError.of("archive", got=name, allowed=", ".join(RECIPES), fix=fix or None)
    return list(dict.fromkeys(wanted)) or list(RECIPES)


def _done(name: str, folder: str | os.PathLike[str]) -> bool:
    if not isinstance(folder, str | os.PathLike):
        raise PigmmError.of("folder", got=folder, allowed="a folder")
    path = check_output(Path(folder) / name)
    if not path.exists():
        return False
    if (found := Archive.load(path).config) != RECIPES[name]:
        raise PigmmError.of(
            f"{path} is in the way", got=found.command(), allowed=RECIPES[name].command(),
            fix="Move it, or name another folder.",
        )  # fmt: skip
    return True


def _run_epoch(config: EnsembleConfig, data: Dataset, runs: int, device: str, backend: str) -> float:
    """Seconds for one network and epoch, in this very process and on one thread."""
    from .builder import ArchiveBuilder
    from .chunks import PROBE, new_stack
    from .workers import one_thread

    images = len(data.train_labels)
    few = min(images, 20 * config.batch_size)
    with one_thread():
        stack = new_stack(config, range(runs), data.levels, device, backend)
        part = stack.hold(data.train_images[:few], data.train_labels[:few], device)
        orders = np.tile(np.arange(few, dtype=np.int32), (runs, 1))
        builder = ArchiveBuilder(config, range(runs))
        work = {  # what is timed, and how many times it is in an epoch
            lambda: stack.epoch(*part, orders, config.batch_size): images / few,
            lambda: stack.evaluate(*part): (min(images, PROBE) + len(data.test_labels)) / few,
            lambda: builder.add(0, stack.matrices()): 1.0,
        }
        return sum(_seconds(piece) * times for piece, times in work.items()) / runs


def _seconds(work: Callable[[], object]) -> float:
    """The better of two times, after one that does not count: it may compile, or fill caches."""
    times = []
    for _ in range(3):
        began = time.perf_counter()
        work()
        times.append(time.perf_counter() - began)
    return min(times[1:])
