"""Chunks of an ensemble as tasks of a Dask cluster: any scheduler, one machine or many."""

from __future__ import annotations

import contextlib
import importlib
import itertools
import time
import uuid
from collections.abc import Mapping
from typing import Any

from .archive import Archive
from .chunks import Chunk, epochs_done
from .errors import PigmmError
from .workers import STAY, Report, Trained, check_devices, piece_name, train_alone, versions

__all__ = ["check_client", "trained_on_dask"]

RETRIES = 2  # of a task that fails for no reason of ours: a shared folder that is away for a moment


def check_client(client: Any) -> None:
    """Refuse what is not a connected Dask client whose methods wait for their results.

    Examples
    --------
    >>> check_client("localhost:8786")
    Traceback (most recent call last):
    ...
    pigmm.errors.PigmmError: client: ...
    """
    try:
        kind = importlib.import_module("distributed").Client
    except ImportError:
        kind = ()
    allowed = "a dask.distributed.Client, or None"
    if not isinstance(client, kind):
        fix = f"Use Client({client!r})." if isinstance(client, str) else None
        raise PigmmError.of("client", got=client, allowed=allowed, fix=fix)
    if client.asynchronous:
        raise PigmmError.of("client", got="an asynchronous client", allowed=allowed, fix="Use asynchronous=False.")
    if client.status != "running":
        raise PigmmError.of("client", got=f"a client that is {client.status}", allowed="a connected client")


def trained_on_dask(todo: list[Chunk], done: Mapping[Chunk, int], client: Any, report: Report) -> Trained:
    """Every chunk is a task. The scheduler gives those of a lost worker to another one; they resume if they can."""
    if not todo:
        return
    distributed = importlib.import_module("distributed")
    topic = f"pigmm-{uuid.uuid4().hex}"
    reached = {piece.start: done[piece] * len(piece.runs) for piece in todo}  # less again where a worker was lost
    running, shown = set(reached), sum(reached.values())

    def listen(event: Any) -> None:
        start, count = event[1]
        if start in running:
            reached[start] = count

    def show() -> None:
        nonlocal shown
        now = sum(reached.values())
        report(now - shown)
        shown = now

    def submit(piece: Chunk) -> None:
        future = client.submit(_task, piece, topic, key=(topic, next(numbers)), pure=False, retries=RETRIES)
        futures[future] = piece
        completed.add(future)

    futures: dict[Any, Chunk] = {}
    numbers, piece = itertools.count(), todo[0]
    try:
        client.subscribe_topic(topic, listen)
        completed = distributed.as_completed()
        for piece in todo:
            submit(piece)
        while futures:
            while not completed.has_ready():
                show()
                time.sleep(0.1)
            future = next(completed)
            piece = futures.pop(future)
            archive = future.result()
            del future  # and the archive on the worker
            if isinstance(archive, PigmmError):
                raise archive
            if archive is None:  # cancelled by the scheduler, and then asked for again
                submit(piece)
                continue
            running.discard(piece.start)
            reached[piece.start] = piece.config.epochs * len(piece.runs)
            show()
            yield piece, archive
    except PigmmError:
        raise
    except distributed.KilledWorker as error:
        raise PigmmError.of(
            f"{piece_name(piece)} were given up: {error.allowed_failures + 1} workers died while they trained them",
            fix=f"Memory may be exhausted: give workers more, or use a smaller chunk. {STAY}",
        ) from error
    except Exception as error:  # Dask passes on whatever went wrong on a worker or between machines
        what = f"{piece_name(piece)} were not trained by Dask"
        fix = f"Workers need this version of pigmm, the data and the checkpoint folder. {STAY}"
        raise PigmmError.of(what, got=f"{type(error).__name__}: {error}", fix=fix) from error
    finally:
        with contextlib.suppress(Exception):  # a client that is lost has nothing to cancel
            client.cancel(list(futures))
            client.unsubscribe_topic(topic)


class _Cancelled(Exception):
    pass


def _task(piece: Chunk, topic: str) -> Archive | PigmmError | None:
    """The task of a Dask worker. Our own errors are results: to try again would end in the same way."""
    worker = importlib.import_module("distributed").get_worker()
    key = worker.get_current_task()
    count = 0

    def report(more: int) -> None:
        nonlocal count
        count += more
        worker.log_event(topic, (piece.start, count))
        task = worker.state.tasks.get(key)
        if task is None or task.state == "cancelled":  # nobody waits for it: a thread ends only by itself
            raise _Cancelled

    try:
        for name, version in versions(piece.identity["backend"]).items():
            if (wanted := piece.identity[name]) != version:
                got, allowed = f"{name} {version} on {worker.address}", f"{wanted}, as in the main process"
                raise PigmmError.of("versions of Dask workers", got=got, allowed=allowed)
        check_devices(piece.device)
        report(epochs_done(piece) * len(piece.runs))
        return train_alone(piece, report)
    except PigmmError as error:
        return error
    except _Cancelled:
        return None
