"""Train an ensemble: split it into chunks of runs, spread them over processes, collect one archive."""

from __future__ import annotations

import contextlib
import datetime
import functools
import importlib
import multiprocessing
import os
import platform
import signal
import sys
import threading
import time
import warnings
from collections.abc import Callable, Iterator
from concurrent.futures import FIRST_COMPLETED, Future, ProcessPoolExecutor, wait
from concurrent.futures.process import BrokenProcessPool
from dataclasses import replace
from multiprocessing.connection import wait as wait_for_handles
from pathlib import Path
from typing import Any

import numpy as np

from . import __version__
from .archive import Archive
from .chunks import Chunk, alone, epochs_done, train_chunk
from .config import EnsembleConfig
from .datasets import cache_folder, load_dataset, require
from .errors import PigmmError, nearest

__all__ = ["default_chunk", "split_runs", "train"]


def train(
    config: EnsembleConfig,
    device: str = "cpu",
    workers: int | None = None,
    client: Any = None,
    progress: bool = True,
    resume: bool = True,
    checkpoint_dir: str | os.PathLike[str] | None = None,
    chunk: int | None = None,
    checkpoint_seconds: float = 20.0,
    output: str | os.PathLike[str] | None = None,
    backend: str = "auto",
) -> Archive:
    """Train the networks of ``config`` and return the archive of their weights' statistics.

    Networks are trained in stacks of ``chunk`` runs with Adam and a hand-written backward pass. Run k draws its initial
    weights and the batch order of every epoch from its own streams, ``SeedSequence(seed, spawn_key=(k, …))``, so it is
    the same network, bit for bit on one machine and backend, in any chunk, on any worker, in any ensemble.

    Parameters
    ----------
    config : EnsembleConfig
    device : "cpu" or a CUDA device that torch sees, such as "cuda"
    workers : processes, each on one thread; all cores by default (none is started for a short training)
    client : a Dask client: the chunks become its tasks, and `checkpoint_dir` should be a folder all machines share
    progress : show a progress bar
    resume : go on from checkpoints of the same configuration, versions, data and chunks; False discards them
    checkpoint_dir : folder for checkpoints, instead of ``pigmm/checkpoints`` in the platform's cache folder
    chunk : runs trained as one stack, at most; chosen by size by default
    output : where to save the archive before the checkpoints are removed; by default it is only returned
    checkpoint_seconds : least time between two checkpoints of a running chunk, written at ends of epochs
    backend : "auto", "torch" or "compiled"
        The kernel of :mod:`pigmm.fast`, compiled by numba, trains plain networks on a CPU several times as fast as
        torch. "auto" takes it where it can. Starts and batches are the same; rounding differs, so that single networks
        drift apart in time while their law is the same. The archive's provenance says which one it was.

    Raises
    ------
    PigmmError
        If an argument is not allowed, the data cannot be had, a run diverges (its number and epoch are said), memory or
        disk is exhausted, or a worker dies. Checkpoints stay, so that the same call goes on from there.
    KeyboardInterrupt
        On Ctrl-C, after the workers have stopped; checkpoints stay as well.

    Examples
    --------
    >>> from pigmm import EnsembleConfig
    >>> config = EnsembleConfig(dataset="digits", runs=4, epochs=2)
    >>> archive = train(config, workers=1, progress=False)
    >>> archive.test_accuracy.shape          # (runs, snapshots)
    (4, 3)
    """
    if not isinstance(config, EnsembleConfig):
        raise PigmmError.of("config", got=config, allowed="an EnsembleConfig")
    for name, count in (("workers", workers), ("chunk", chunk)):
        if count is not None and (isinstance(count, bool) or not isinstance(count, int) or count < 1):
            raise PigmmError.of(name, got=count, allowed="an integer of at least 1, or None")
    if checkpoint_dir is not None and not isinstance(checkpoint_dir, str | os.PathLike):
        raise PigmmError.of("checkpoint_dir", got=checkpoint_dir, allowed="a folder, or None")
    if not isinstance(checkpoint_seconds, int | float) or not checkpoint_seconds >= 0:
        raise PigmmError.of("checkpoint_seconds", got=checkpoint_seconds, allowed="a number of seconds >= 0")
    if client is not None and not hasattr(client, "get_executor"):
        raise PigmmError.of("client", got=client, allowed="a dask.distributed.Client, or None")
    if client is not None and workers is not None:
        raise PigmmError.of("workers", got=workers, allowed="None with a client", fix="The client has its own workers.")
    device = _device(device)
    began, date = time.perf_counter(), datetime.datetime.now(datetime.UTC)

    identity = {
        "config": config.to_dict(), "dataset_digest": load_dataset(config.dataset).digest,
        "device": device.split(":")[0], "package_version": __version__, "torch": require("torch").__version__,
        "numpy": np.__version__, **_backend(backend, config, device),
    }  # fmt: skip
    root = cache_folder() / "checkpoints" if checkpoint_dir is None else Path(checkpoint_dir).expanduser().absolute()
    folder = root / config.digest()
    chunks = [
        Chunk(config, runs.start, runs.stop, device, folder, identity, checkpoint_seconds)
        for runs in split_runs(config.run_numbers, chunk or default_chunk(config, device))
    ]
    with alone(folder):
        whole, processes = _all_chunks(config, chunks, folder, resume, workers, client, device, progress)
        provenance = {
            **identity, "seed": config.seed, "python": platform.python_version(), "platform": platform.platform(),
            "hardware": _processor(), "device": device, "workers": processes if client is None else "dask",
            "threads_per_worker": 1, "chunk": max(len(piece.runs) for piece in chunks),
            "date": date.isoformat(timespec="seconds"), "wall_seconds": round(time.perf_counter() - began, 3),
            "process_seconds": round(whole.provenance["wall_seconds"], 3),
        }  # fmt: skip
        archive = replace(whole, provenance=provenance)
        if output is not None:
            archive.save(output)  # before the checkpoints go, so that a full disk costs nothing but another try
        _remove(folder)
    return archive


def _all_chunks(
    config: EnsembleConfig, chunks: list[Chunk], folder: Path, resume: bool, workers: int | None, client: Any,
    device: str, progress: bool,
) -> tuple[Archive, int]:  # fmt: skip
    """Train what is not finished yet; the merged archive and the number of workers it took."""
    if not resume:
        _remove(folder)
    _note_strangers(folder, chunks)
    done = {piece: epochs_done(piece) for piece in chunks} if folder.exists() else dict.fromkeys(chunks, 0)
    todo = [piece for piece in chunks if done[piece] < config.epochs]
    processes = _workers(workers, todo, device)

    with _bar(config, sum(len(c.runs) * epochs for c, epochs in done.items()), progress) as report:
        try:
            finished = len(chunks) - len(todo)
            report(0, f"{finished}/{len(chunks)} chunks")
            for piece, archive in _results(todo, processes, client, report):
                archive.save(piece.finished)
                piece.running.unlink(missing_ok=True)
                finished += 1
                report(0, f"{finished}/{len(chunks)} chunks")
        except KeyboardInterrupt:
            raise KeyboardInterrupt(
                f"stopped with {finished} of {len(chunks)} chunks finished; the same call goes on from {folder}"
            ) from None

    parts = (Archive.load(piece.finished) for piece in chunks)
    return functools.reduce(lambda a, b: Archive.merge([a, b]), parts), processes



def split_runs(runs: range, chunk: int) -> list[range]:
    """Cut ``runs`` into the fewest consecutive ranges of at most ``chunk``, as even as they can be.

    Examples
    --------
    >>> split_runs(range(5, 15), 4)
    [range(5, 9), range(9, 12), range(12, 15)]
    """
    count = -(-len(runs) // chunk)
    cuts = [len(runs) // count * k + min(k, len(runs) % count) for k in range(count + 1)]
    return [runs[a:b] for a, b in zip(cuts[:-1], cuts[1:], strict=True)]


def default_chunk(config: EnsembleConfig, device: str = "cpu") -> int:
    """How many runs to train as one stack: it depends on the configuration alone, so that any workers agree."""
    parameters = sum(out * into for out, into in config.shapes)
    if device != "cpu":
        return max(1, min(1000, 2**32 // (16 * parameters)))
    fit = max(1, 640_000 // parameters)  # weights, gradients and Adam state of a stack stay near the cache
    return min(32, fit, max(4, -(-config.runs // 8)))  # at least eight chunks of an ensemble that is not tiny


# ---- where chunks are trained

_counter: Any = None  # in a worker process: the run-epochs trained by all workers together


def _results(
    todo: list[Chunk], workers: int, client: Any, report: Callable[..., None]
) -> Iterator[tuple[Chunk, Archive]]:
    """Trained chunks, in order of completion."""
    if client is not None:
        executor = client.get_executor()
        futures = {executor.submit(_train_alone, piece): piece for piece in todo}
        try:
            yield from _collect(futures, lambda: None, lambda piece: report(len(piece.runs) * piece.config.epochs))
        finally:
            for future in futures:
                future.cancel()
    elif workers == 1:
        for piece in todo:
            yield piece, _train_alone(piece, report)
    elif todo:
        yield from _pool(todo, workers, report)


def _pool(todo: list[Chunk], workers: int, report: Callable[..., None]) -> Iterator[tuple[Chunk, Archive]]:
    context = multiprocessing.get_context("spawn")
    counter, seen = context.Value("q", 0), 0
    lifeline, cut = context.Pipe(duplex=False)

    def poll() -> None:
        nonlocal seen
        now = counter.get_obj().value  # without the lock: a worker killed while it holds it must not stop us
        report(now - seen)
        seen = now

    pool = ProcessPoolExecutor(workers, mp_context=context, initializer=_enter, initargs=(counter, lifeline))
    futures: dict[Future[Archive], Chunk] = {}
    try:
        try:
            with _spawning():
                futures.update((pool.submit(_train_in_worker, piece), piece) for piece in todo)
        except OSError as error:  # a worker died while the others were starting: the pool is closing its own pipes
            raise BrokenProcessPool(str(error)) from error
        yield from _collect(futures, poll, lambda piece: None)
    except BrokenProcessPool as error:
        raise PigmmError.of(
            "a worker process died", fix="Memory may be exhausted: use fewer workers or a smaller chunk. "
            "Checkpoints stay; workers=1 trains in this process."
        ) from error  # fmt: skip
    finally:
        poll()
        for future in futures:
            future.cancel()
        cut.send_bytes(b"stop")  # seen by every worker, for none reads it, even where a forked process holds a copy
        cut.close()
        with contextlib.suppress(OSError):  # the same race, at the other end
            pool.shutdown(wait=True, cancel_futures=True)
        lifeline.close()


def _collect(
    futures: dict[Future[Archive], Chunk], poll: Callable[[], None], finished: Callable[[Chunk], None]
) -> Iterator[tuple[Chunk, Archive]]:
    pending = set(futures)
    while pending:
        done, pending = wait(pending, timeout=0.2, return_when=FIRST_COMPLETED)
        poll()
        for future in done:
            finished(futures[future])
            yield futures[future], future.result()


def _enter(counter: Any, lifeline: Any) -> None:
    """Begin a worker process; it ends when the main process says so on the lifeline, or dies."""
    global _counter
    signal.signal(signal.SIGINT, signal.SIG_IGN)  # inherited already, but not on Windows
    _counter = counter
    threading.Thread(target=lambda: (wait_for_handles([lifeline]), os._exit(1)), daemon=True).start()


def _train_in_worker(piece: Chunk) -> Archive:
    def report(count: int) -> None:
        with _counter.get_lock():
            _counter.value += count

    return _train_alone(piece, report)


def _train_alone(piece: Chunk, report: Callable[..., None] = lambda count: None) -> Archive:
    """Train in this very process or thread, on one thread, so that the numbers are those of a worker."""
    torch = require("torch")
    threads = torch.get_num_threads()
    torch.set_num_threads(1)
    try:
        return train_chunk(piece, report)
    finally:
        torch.set_num_threads(threads)


@contextlib.contextmanager
def _spawning() -> Iterator[None]:
    """Start worker processes that ignore Ctrl-C, keep to one thread, and do not run the user's script again.

    Workers import this package only; with ``__main__`` out of sight a script needs no ``if __name__`` guard.
    """
    main = sys.modules["__main__"]
    names: list[str] = [name for name in ("__file__", "__spec__") if name in main.__dict__]
    hidden = {name: main.__dict__.pop(name) for name in names}
    main.__spec__ = None
    limits = dict.fromkeys(("OMP_NUM_THREADS", "OPENBLAS_NUM_THREADS", "MKL_NUM_THREADS"), "1")
    before = {name: os.environ.get(name) for name in limits}
    os.environ.update(limits)
    in_main = threading.current_thread() is threading.main_thread()
    handler = signal.signal(signal.SIGINT, signal.SIG_IGN) if in_main else None
    try:
        yield
    finally:
        if in_main:
            signal.signal(signal.SIGINT, handler)
        for name, value in before.items():
            if value is None:
                del os.environ[name]
            else:
                os.environ[name] = value
        main.__dict__.update(hidden)


# ---- small matters


def _device(name: str) -> str:
    torch = require("torch")
    known = ["cpu"]
    if torch.cuda.is_available():
        known += ["cuda", *(f"cuda:{k}" for k in range(torch.cuda.device_count()))]
    if name not in known:
        raise PigmmError.of("device", got=name, allowed=", ".join(map(repr, known)), fix=nearest(name, known) or None)
    return name


def _backend(name: str, config: EnsembleConfig, device: str) -> dict[str, str]:
    """The backend and, if it is the compiled one, the version of its compiler."""
    known = ("auto", "torch", "compiled")
    if name not in known:
        raise PigmmError.of("backend", got=name, allowed=", ".join(map(repr, known)), fix=nearest(name, known) or None)
    if name == "torch" or (name == "auto" and (config.architecture != "mlp" or device != "cpu")):
        return {"backend": "torch"}
    if config.architecture != "mlp" or device != "cpu":
        got, allowed = f"a {config.architecture} network on {device}", "networks of architecture 'mlp' on device 'cpu'"
        raise PigmmError.of("backend 'compiled'", got=got, allowed=allowed, fix="Use backend='auto'.")
    try:
        return {"backend": "compiled", "numba": importlib.import_module("numba").__version__}
    except ImportError as error:
        if name == "auto":
            return {"backend": "torch"}
        fix = 'Install it: pip install "pigmm[fast]"; or use backend=\'torch\'.'
        raise PigmmError.of(f"backend 'compiled' needs numba, which cannot be imported ({error})", fix=fix) from error


def _workers(workers: int | None, todo: list[Chunk], device: str) -> int:
    if workers is None:
        if device != "cpu" or multiprocessing.current_process().daemon:
            return 1
        seconds = 0.0  # a rough guess, to start no processes for what is done before they are up
        for piece in todo:
            config, images = piece.config, len(load_dataset(piece.config.dataset).train_labels)
            flop = 6 * images * sum(out * into for out, into in config.shapes) * len(piece.runs)
            seconds += config.epochs * config.steps * (5e-4 * images / config.batch_size + flop / 5e10)
        cores = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1
        workers = cores if seconds > 5 else 1
    return max(1, min(workers, len(todo)))


@contextlib.contextmanager
def _bar(config: EnsembleConfig, initial: int, show: bool) -> Iterator[Callable[..., None]]:
    """A function (run-epochs, note) that moves the progress bar."""
    if not show:
        yield lambda count, note=None: None
        return
    with require("tqdm").tqdm(
        total=config.runs * config.epochs, initial=initial, unit="run·epoch", smoothing=0.05, mininterval=0.5
    ) as bar:

        def report(count: int, note: str | None = None) -> None:
            if note is not None:
                bar.set_postfix_str(note)
            bar.update(count)

        yield report


def _note_strangers(folder: Path, chunks: list[Chunk]) -> None:
    ours = {path for piece in chunks for path in (piece.finished, piece.running)}
    strangers = [path.name for path in _checkpoints(folder) if path not in ours and path.suffix in (".npz", ".running")]
    if strangers:
        warnings.warn(
            f"{folder} holds checkpoints of another chunking, which are ignored: {', '.join(sorted(strangers)[:3])}",
            stacklevel=3,
        )


def _checkpoints(folder: Path) -> list[Path]:
    return [path for path in folder.glob("runs-*") if path.is_file()]


def _remove(folder: Path) -> None:
    """Remove the checkpoints of one configuration; what else is in the folder stays."""
    for path in _checkpoints(folder):
        path.unlink(missing_ok=True)
    with contextlib.suppress(OSError):
        folder.rmdir()


def _processor() -> str:
    with contextlib.suppress(OSError):
        for line in Path("/proc/cpuinfo").read_text().splitlines():
            if line.startswith("model name"):
                return line.split(":", 1)[1].strip()
    return platform.processor() or platform.machine()
