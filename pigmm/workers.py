"""Where the chunks of an ensemble are trained on this machine: in this process, or in several; on which devices."""

from __future__ import annotations

import contextlib
import importlib
import multiprocessing
import os
import signal
import sys
import threading
from collections.abc import Callable, Generator, Iterator, Sequence
from concurrent.futures import FIRST_COMPLETED, Future, ProcessPoolExecutor, wait
from concurrent.futures.process import BrokenProcessPool
from dataclasses import replace
from multiprocessing.connection import wait as wait_for_handles
from typing import Any

import numpy as np

from . import __version__
from .archive import Archive
from .chunks import Chunk, train_chunk
from .datasets import require
from .errors import PigmmError, nearest

__all__ = [
    "STAY", "Report", "Trained", "check_devices", "one_thread", "piece_name", "train_alone", "trained", "versions",
]  # fmt: skip

STAY = "Checkpoints stay: the same call goes on from there."

Report = Callable[..., None]
"""Is told how many run-epochs more there are, and perhaps a note."""
Trained = Generator[tuple[Chunk, Archive], None, None]
"""Chunks with their archives, in order of completion."""


def trained(todo: list[Chunk], devices: Sequence[str], report: Report) -> Trained:
    """Train chunks, and give each with its archive as it is finished.

    There is a process for every device; a single one is served by this process. Nothing is remembered of an archive
    that was given away: a long ensemble has a thousand.
    """
    if len(devices) > 1:
        return _in_processes(todo, devices, report)
    return ((piece, train_alone(replace(piece, device=devices[0]), report)) for piece in todo)


def versions(backend: str) -> dict[str, str]:
    """The versions that decide the numbers of a training.

    Examples
    --------
    >>> list(versions("torch"))
    ['package_version', 'torch', 'numpy']
    """
    found = {"package_version": __version__, "torch": require("torch").__version__, "numpy": np.__version__}
    return found | ({"numba": importlib.import_module("numba").__version__} if backend == "compiled" else {})


# ---- checks of arguments


def check_devices(device: str | Sequence[str], client: Any = None) -> tuple[str, ...]:
    """The devices meant by one name, several with commas between them, or a list of names.

    Raises
    ------
    PigmmError
        If torch does not see one of them, or they are of two kinds.

    Examples
    --------
    >>> check_devices("cpu"), check_devices(["cpu", "cpu"])
    (('cpu',), ('cpu', 'cpu'))
    """
    known = ["cpu", "cuda"]
    if client is None:  # the machine of a client need not have the devices of its workers
        cuda = require("torch").cuda
        known[1:] = ["cuda", *(f"cuda:{k}" for k in range(cuda.device_count()))] if cuda.is_available() else []
    names = [name.strip() for name in device.split(",")] if isinstance(device, str) else device
    allowed = ", ".join(map(repr, known)) + ("" if client is not None else "; several of a kind as a list")
    if not isinstance(names, list | tuple) or not names:
        raise PigmmError.of("device", got=device, allowed=allowed)
    for name in names:
        if name not in known:
            raise PigmmError.of("device", got=name, allowed=allowed, fix=nearest(name, known) or None)
    if client is not None and len(names) > 1:
        raise PigmmError.of("device", got=device, allowed="one kind of device with a client, 'cpu' or 'cuda'")
    if len({name.split(":")[0] for name in names}) > 1:
        raise PigmmError.of("device", got=device, allowed="devices of one kind: numbers of a CPU and a GPU differ")
    return tuple(names)


# ---- in one process


@contextlib.contextmanager
def one_thread() -> Iterator[None]:
    """Let torch use one thread, so that numbers and speed are those of a worker."""
    torch = require("torch")
    threads = torch.get_num_threads()
    torch.set_num_threads(1)
    try:
        yield
    finally:
        torch.set_num_threads(threads)


def train_alone(piece: Chunk, report: Report) -> Archive:
    """Train in this very process or thread."""
    try:
        with one_thread():
            return train_chunk(piece, report)
    except (RuntimeError, MemoryError, PigmmError) as error:
        if (clear := _hardware_failure(piece, error)) is not None:
            raise clear from error
        raise


def _hardware_failure(piece: Chunk, error: Exception) -> PigmmError | None:
    """What to say of a GPU that is gone or full, or of a machine without memory; None of any other error."""
    root = error.__cause__ if isinstance(error, PigmmError) else error
    if isinstance(root, RuntimeError) and "CUDA" in f"{type(root).__name__} {root}":
        full = " Its memory may be shared with other programs, or the chunk too large." if "memory" in str(root) else ""
        return PigmmError.of(
            f"device {piece.device} failed while {piece_name(piece)} were trained",
            got=f"{type(root).__name__}: {str(root).splitlines()[0]}", fix=f"{STAY}{full}",
        )  # fmt: skip
    if error is root and (isinstance(root, MemoryError) or "allocate memory" in str(root)):
        fix = f"Use a smaller chunk, fewer workers or narrower layers. {STAY}"
        return PigmmError.of(f"no memory left while {piece_name(piece)} were trained", fix=fix)
    return None


def piece_name(piece: Chunk) -> str:
    return f"runs {piece.start} to {piece.stop - 1}"


# ---- in processes of this machine

_counter: Any = None  # in a worker process: the run-epochs trained by all workers together
_device = "cpu"  # in a worker process: what it trains on


def _in_processes(todo: list[Chunk], devices: Sequence[str], report: Report) -> Trained:
    context = multiprocessing.get_context("spawn")
    counter, number, seen = context.Value("q", 0), context.Value("i", 0), 0
    lifeline, cut = context.Pipe(duplex=False)

    def poll() -> None:
        nonlocal seen
        now = counter.get_obj().value  # without the lock: a worker killed while it holds it must not stop us
        report(now - seen)
        seen = now

    setting = (counter, lifeline, number, devices)
    pool = ProcessPoolExecutor(len(devices), mp_context=context, initializer=_enter, initargs=setting)
    futures: dict[Future[Archive], Chunk] = {}
    try:
        try:
            with _spawning():
                futures.update((pool.submit(_train_in_worker, piece), piece) for piece in todo)
        except OSError as error:  # a worker died while the others were starting: the pool is closing its own pipes
            raise BrokenProcessPool(str(error)) from error
        while futures:
            finished = wait(futures, timeout=0.2, return_when=FIRST_COMPLETED).done
            poll()
            while finished:
                future = finished.pop()
                yield futures.pop(future), future.result()
                del future  # and its archive
    except BrokenProcessPool as error:
        raise PigmmError.of(
            "a worker process died", fix="Memory may be exhausted: use fewer workers, a smaller chunk or memory=. "
            "Checkpoints stay; workers=1 trains in this process."
        ) from error  # fmt: skip
    finally:
        cut.send_bytes(b"stop")  # seen by every worker, for none reads it, even where a forked process holds a copy
        cut.close()
        for future in futures:
            future.cancel()
        poll()
        with contextlib.suppress(OSError):  # the same race, at the other end
            pool.shutdown(wait=True, cancel_futures=True)
        lifeline.close()


def _enter(counter: Any, lifeline: Any, number: Any, devices: Sequence[str]) -> None:
    """Begin a worker process; it ends when the main process says so on the lifeline, or dies."""
    global _counter, _device
    signal.signal(signal.SIGINT, signal.SIG_IGN)  # inherited already, but not on Windows
    threading.Thread(target=lambda: (wait_for_handles([lifeline]), os._exit(1)), daemon=True).start()
    _counter = counter
    with number.get_lock():
        _device = devices[number.value]
        number.value += 1


def _train_in_worker(piece: Chunk) -> Archive:
    def report(count: int) -> None:
        with _counter.get_lock():
            _counter.value += count

    return train_alone(replace(piece, device=_device), report)


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
