"""Train an ensemble: split it into chunks of runs, have them trained, collect one archive."""

from __future__ import annotations

import contextlib
import datetime
import functools
import importlib
import multiprocessing
import os
import platform
import sys
import time
import warnings
from collections.abc import Callable, Iterator, Sequence
from dataclasses import replace
from numbers import Integral
from pathlib import Path
from typing import Any

from .archive import Archive
from .chunks import Chunk, alone, epochs_done, set_aside
from .clusters import check_client, trained_on_dask
from .config import EnsembleConfig
from .datasets import cache_folder, load_dataset, require
from .errors import PigmmError, nearest
from .memory import fit_memory
from .storage import check_output
from .workers import check_devices, trained, versions

__all__ = ["chosen_backend", "default_chunk", "split_runs", "train"]


def train(
    config: EnsembleConfig,
    device: str | Sequence[str] = "cpu",
    workers: int | None = None,
    client: Any = None,
    progress: bool = True,
    resume: bool = True,
    checkpoint_dir: str | os.PathLike[str] | None = None,
    chunk: int | None = None,
    checkpoint_seconds: float = 20.0,
    output: str | os.PathLike[str] | None = None,
    backend: str = "auto",
    memory: str | float | None = None,
    wait: bool = False,
) -> Archive:
    """Train the networks of ``config`` and return the archive of their weights' statistics.

    Networks are trained in stacks of ``chunk`` runs with Adam and a hand-written backward pass. Run k draws its initial
    weights and the batch order of every epoch from its own streams, ``SeedSequence(seed, spawn_key=(k, …))``, so it is
    the same network, bit for bit on one machine and backend, in any chunk, on any worker, in any ensemble.

    Parameters
    ----------
    config : EnsembleConfig
    device : "cpu", or CUDA devices that torch sees: "cuda" (the first), "cuda:1", "cuda:0,cuda:1" or a list of names
        Every one of several devices gets a process; ``["cpu", "cpu"]`` is the same as two workers.
    workers : processes, each on one thread; all cores by default (none is started for a short training)
    client : a ``dask.distributed.Client`` of any cluster
        The chunks become tasks. Those of a worker that is lost go to another one, which resumes them if
        ``checkpoint_dir`` is a folder that all machines share.
    progress : show a progress bar
    resume : go on from checkpoints of the same configuration, versions, data and chunks; False discards them
        Those made with other versions, data or backends are set aside in a folder of their own, and used again there.
    checkpoint_dir : folder for checkpoints, instead of ``pigmm/checkpoints`` in the platform's cache folder
    chunk : runs trained as one stack, at most; chosen by size by default
    checkpoint_seconds : least time between two checkpoints of a running chunk, written at ends of epochs
    output : where to save the archive before the checkpoints are removed; by default it is only returned
    backend : "auto", "torch" or "compiled"
        The kernel of :mod:`pigmm.fast`, compiled by numba, trains plain networks on a CPU several times as fast as
        torch. "auto" takes it where it can. Starts and batches are the same; rounding differs, so that single networks
        drift apart in time while their law is the same. The archive's provenance says which one it was.
    memory : what all processes on this machine may use together, such as "4 GB"
        Chunks are made as small as they must be, and if that is not enough, fewer workers are taken; see
        :func:`pigmm.memory.estimate_memory`. It does not rule the workers of a ``client``.
    wait : wait for another process that trains this configuration, instead of raising
        If it has written ``output`` in the meantime, that archive is returned.

    Returns
    -------
    Archive

    Raises
    ------
    PigmmError
        If an argument is not allowed, the data cannot be had, a run diverges (its number and epoch are said), memory or
        disk is exhausted, a GPU fails, or a worker dies (of Dask's, several in a row). Checkpoints stay, so that the
        same call goes on from there.
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
    workers, chunk = checked_count("workers", workers), checked_count("chunk", chunk)
    if output is not None:
        check_output(output)
    named = isinstance(checkpoint_dir, str | os.PathLike) and checkpoint_dir != "" and "\0" not in str(checkpoint_dir)
    if checkpoint_dir is not None and not named:
        raise PigmmError.of("checkpoint_dir", got=checkpoint_dir, allowed="a folder, or None")
    number = isinstance(checkpoint_seconds, int | float) and not isinstance(checkpoint_seconds, bool)
    if not number or not checkpoint_seconds >= 0:
        raise PigmmError.of("checkpoint_seconds", got=checkpoint_seconds, allowed="a number of seconds >= 0")
    if client is not None:
        check_client(client)
        for name, value in (("workers", workers), ("memory", memory)):
            if value is not None:
                fix = "The client has its own workers; the size of their chunks is chunk=."
                raise PigmmError.of(name, got=value, allowed="None with a client", fix=fix)
    devices = check_devices(device, client)
    if len(devices) > 1 and workers not in (None, len(devices)):
        raise PigmmError.of("workers", got=workers, allowed=f"None or {len(devices)}, one for each device")
    kind = devices[0].split(":")[0]
    began, date = time.perf_counter(), datetime.datetime.now(datetime.UTC)

    chosen = chosen_backend(backend, config, kind)
    identity = {
        "config": config.to_dict(), "dataset_digest": load_dataset(config.dataset).digest, "device": kind,
        **versions(chosen["backend"]), **chosen,
    }  # fmt: skip
    runs_per_chunk = chunk or min(default_chunk(config, kind), -(-config.runs // len(devices)))
    most = len(devices) if len(devices) > 1 else workers or (_cores() if kind == "cpu" else 1)
    if memory is not None:
        fixed = chunk is not None, workers is not None or len(devices) > 1
        runs_per_chunk, most = fit_memory(config, memory, runs_per_chunk, most, kind, chosen["backend"], fixed=fixed)
    root = cache_folder() / "checkpoints" if checkpoint_dir is None else Path(checkpoint_dir).expanduser().absolute()
    folder = root / config.digest()
    chunks = [
        Chunk(config, runs.start, runs.stop, devices[0], folder, identity, checkpoint_seconds)
        for runs in split_runs(config.run_numbers, runs_per_chunk)
    ]
    others = []

    def tell(news: str) -> None:
        others.append(news)
        if progress:
            print(news, file=sys.stderr, flush=True)

    with alone(folder, wait, tell):
        if others and output is not None and (made := _written(output, identity)) is not None:
            return made
        places = functools.partial(_every, devices, workers, most)
        whole, processes = _all_chunks(config, chunks, folder, resume, client, places, progress)
        provenance = {
            **identity, "seed": config.seed, "python": platform.python_version(), "platform": platform.platform(),
            "hardware": _processor(), "device": ",".join(devices),
            "workers": processes if client is None else "dask", "threads_per_worker": 1,
            "chunk": max(len(piece.runs) for piece in chunks),
            "date": date.isoformat(timespec="seconds"), "wall_seconds": round(time.perf_counter() - began, 3),
            "process_seconds": round(whole.provenance["wall_seconds"], 3),
        }  # fmt: skip
        archive = replace(whole, provenance=provenance)
        if output is not None:
            archive.save(output)  # before the checkpoints go, so that a full disk costs nothing but another try
        _remove(folder)
    return archive


def _all_chunks(
    config: EnsembleConfig, chunks: list[Chunk], folder: Path, resume: bool, client: Any,
    places: Callable[[list[Chunk]], tuple[str, ...]], progress: bool,
) -> tuple[Archive, int]:  # fmt: skip
    """Train what is not finished yet, on these devices or by the client; the archive and the number of processes."""
    set_aside(folder, chunks[0].identity)
    if not resume:
        _remove(folder)
    _note_strangers(folder, chunks)
    done = {piece: epochs_done(piece) for piece in chunks} if folder.exists() else dict.fromkeys(chunks, 0)
    todo = [piece for piece in chunks if done[piece] < config.epochs]
    devices = places(todo)

    with _bar(config, sum(len(c.runs) * epochs for c, epochs in done.items()), progress) as report:
        try:
            finished = len(chunks) - len(todo)
            report(0, f"{finished}/{len(chunks)} chunks")
            results = trained(todo, devices, report) if client is None else trained_on_dask(todo, done, client, report)
            with contextlib.closing(results):  # workers stop at once, whoever may still hold the traceback
                for piece, archive in results:
                    archive.save(piece.finished)
                    del archive
                    piece.running.unlink(missing_ok=True)
                    finished += 1
                    report(0, f"{finished}/{len(chunks)} chunks")
        except KeyboardInterrupt:
            raise KeyboardInterrupt(
                f"stopped with {finished} of {len(chunks)} chunks finished; the same call goes on from {folder}"
            ) from None

    parts = (Archive.load(piece.finished) for piece in chunks)
    return functools.reduce(lambda a, b: Archive.merge([a, b]), parts), len(devices)


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


# ---- small matters


def chosen_backend(name: str, config: EnsembleConfig, device: str) -> dict[str, str]:
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


def _every(devices: tuple[str, ...], workers: int | None, most: int, todo: list[Chunk]) -> tuple[str, ...]:
    """The device of every process."""
    if len(devices) == 1:
        devices *= most if workers is not None or _seconds(todo) > 5 else 1
    if multiprocessing.current_process().daemon:  # it may have no children
        devices = devices[:1]
    return devices[: max(1, len(todo))]


def checked_count(name: str, count: Any) -> int | None:
    """A number of workers or of runs, or None."""
    if count is not None and (isinstance(count, bool) or not isinstance(count, Integral) or count < 1):
        raise PigmmError.of(name, got=count, allowed="an integer of at least 1, or None")
    return None if count is None else int(count)


def _written(output: str | os.PathLike[str], identity: dict[str, Any]) -> Archive | None:
    """The archive of another process that trained the same networks, if it is there."""
    with contextlib.suppress(PigmmError):
        archive = Archive.load(output)
        if all(archive.provenance.get(name) == value for name, value in identity.items() if name != "device"):
            return archive
    return None


def _seconds(todo: list[Chunk]) -> float:
    """A rough guess of the work, to start no processes for what is done before they are up."""
    seconds = 0.0
    for piece in todo:
        config, images = piece.config, len(load_dataset(piece.config.dataset).train_labels)
        flop = 6 * images * sum(out * into for out, into in config.shapes) * len(piece.runs)
        seconds += config.epochs * config.steps * (5e-4 * images / config.batch_size + flop / 5e10)
    return seconds


def _cores() -> int:
    return len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1


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
    with contextlib.suppress(OSError):  # the archive is at hand; files that cannot be removed do no harm
        for path in _checkpoints(folder):
            path.unlink(missing_ok=True)
        folder.rmdir()


def _processor() -> str:
    with contextlib.suppress(OSError):
        for line in Path("/proc/cpuinfo").read_text().splitlines():
            if line.startswith("model name"):
                return line.split(":", 1)[1].strip()
    return platform.processor() or platform.machine()
