"""Training beside the plain ways of doing it, in speed and in memory.  Run: python -m benchmarks.training [--wide]

All ways share dataset, network and batches, take turns, and are timed over some steps scaled to an epoch: the best
moment counts. Only ratios mean something on another machine. MNIST is used if it can be had, else the digits.

The published loop trains one network at a time in one process, where torch may use all cores: its better number of
threads counts. The compiled kernel has a process on every core instead.
"""

from __future__ import annotations

import contextlib
import itertools
import multiprocessing
import os
import subprocess
import sys
import time
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ProcessPoolExecutor
from functools import lru_cache
from typing import Any

import numpy as np
import torch

from pigmm import EnsembleConfig, PigmmError
from pigmm.datasets import Dataset, load_dataset, torchvision_datasets
from pigmm.ensemble import default_chunk
from pigmm.fast import FastStack
from pigmm.network import Stack, batch_order, initial_weights

CORES = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1
Step = tuple[Callable[[], Any], float]  # a piece of work, and how many networks it trains for how much of an epoch

MEMORY = """
import resource, sys, tempfile
from pigmm import EnsembleConfig, train
config = EnsembleConfig(dataset={dataset!r}, hidden={hidden}, runs={runs}, epochs=1)
with tempfile.TemporaryDirectory() as folder:
    train(config, workers=1, progress=False, checkpoint_dir=folder)
print(resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / (2**30 if sys.platform == "darwin" else 2**20))
"""

# ---- the ways of training


def _data() -> Dataset:
    try:
        return load_dataset("mnist")
    except PigmmError:
        return load_dataset("digits")


def _compiled(config: EnsembleConfig, data: Dataset) -> Step:
    stack = FastStack(
        config.shapes, [initial_weights(config, 0)], levels=data.levels,
        learning_rate=config.learning_rate, weight_decay=config.weight_decay,
    )  # fmt: skip
    held = stack.hold(data.train_images, data.train_labels)
    images = len(data.train_labels)
    piece = min(60 * config.batch_size, images)  # long enough that setting up a call does not count
    pieces = itertools.cycle(np.split(batch_order(config, 0, 0, images)[None], range(piece, images, piece), axis=1))
    return lambda: stack.epoch(*held, next(pieces), config.batch_size), piece / images


def _stacked(config: EnsembleConfig, data: Dataset) -> Step:
    runs = default_chunk(EnsembleConfig(dataset=data.name, hidden=config.hidden, runs=1000))
    stack = Stack(
        config.shapes, [initial_weights(config, run) for run in range(runs)], levels=data.levels,
        learning_rate=config.learning_rate, weight_decay=config.weight_decay,
    )  # fmt: skip
    images, labels = stack.hold(data.train_images, data.train_labels)
    order = torch.tensor(np.stack([batch_order(config, run, 0, len(labels)) for run in range(runs)]).astype(np.int32))
    batches = itertools.cycle(order.split(config.batch_size, 1))
    return lambda: stack.step(images, labels, next(batches)), runs * config.batch_size / len(labels)


def _model(config: EnsembleConfig) -> Callable[[Any, Any], None]:
    layers: list[torch.nn.Module] = [torch.nn.Flatten()]
    for out, into in config.shapes:
        layers += [torch.nn.Linear(into, out, bias=False), torch.nn.ReLU()]
    model = torch.nn.Sequential(*layers[:-1])
    adam = torch.optim.Adam(model.parameters(), lr=config.learning_rate, weight_decay=config.weight_decay)

    def step(images: Any, labels: Any) -> None:
        adam.zero_grad()
        torch.nn.functional.cross_entropy(model(images), labels).backward()
        adam.step()

    return step


def _in_memory(config: EnsembleConfig, data: Dataset) -> Step:
    images, labels = torch.tensor(data.train_images).float() * 2 / data.levels - 1, torch.tensor(data.train_labels)
    batches = itertools.cycle(torch.tensor(batch_order(config, 0, 0, len(labels))).split(config.batch_size))
    step = _model(config)

    def one() -> None:
        batch = next(batches)
        step(images[batch], labels[batch])

    return one, config.batch_size / len(labels)


def _published(config: EnsembleConfig, data: Dataset) -> Step:
    """The published protocol: a DataLoader that turns every image from PIL into a normalised tensor, every epoch."""
    from PIL import Image

    torchvision_datasets()  # makes torchvision importable beside a CPU build of torch
    from torchvision import transforms

    side = int(data.train_images.shape[1] ** 0.5)
    pixels = data.train_images.reshape(-1, side, side) * np.uint8(255 // data.levels)
    convert = transforms.Compose([transforms.ToTensor(), transforms.Normalize((0.5,), (0.5,))])

    class Images(torch.utils.data.Dataset):
        def __len__(self) -> int:
            return len(pixels)

        def __getitem__(self, k: int) -> tuple[Any, int]:
            return convert(Image.fromarray(pixels[k])), int(data.train_labels[k])

    loader = torch.utils.data.DataLoader(Images(), batch_size=config.batch_size, shuffle=True)

    def forever() -> Iterator[Any]:
        while True:
            yield from loader

    batches, step = forever(), _model(config)
    return lambda: step(*next(batches)), config.batch_size / len(pixels)


# ---- timing: networks · epochs a second


def _times(step: Step, threads: int = 1, start: float = 0.0, least: float = 1.0) -> list[float]:
    """When the pieces of work done in so many seconds ended, on a clock that all processes share."""
    before = torch.get_num_threads()
    torch.set_num_threads(threads)
    try:
        step[0](), step[0]()
        time.sleep(max(0.0, start - time.time()))
        times = [time.time()]
        while times[-1] < times[0] + least:
            step[0]()
            times.append(time.time())
    finally:
        torch.set_num_threads(before)
    return times


def _rate(share: float, *workers: list[float], window: float = 0.15) -> float:
    """That of all workers together in the best window: other users of the machine disturb short ones less often."""
    start, end = max(times[0] for times in workers), min(times[-1] for times in workers)
    grid = np.linspace(start, end, max(2, int((end - start) / window)))
    done = sum(np.interp(grid, times, np.arange(len(times))) for times in workers)
    return share * float((np.diff(done) / np.diff(grid)).max())


def _alone(step: Step, threads: int = 1) -> float:
    return _rate(step[1], _times(step, threads))


def _floor(config: EnsembleConfig, images: int, size: int = 1536) -> float:
    """By dense matrix products alone, at the rate of a large one on one thread.

    Forward and dW of the first layer, forward, dW and dx of the others: 2 flop a weight and image each.
    """
    (out, into), *rest = config.shapes
    flop = images * (4 * out * into + 6 * sum(a * b for a, b in rest))
    a, b = torch.randn(2, size, size)
    return _alone((lambda: a @ b, 2 * size**3 / flop))


@lru_cache
def _step_here(way: str, hidden: tuple[int, ...]) -> Step:
    data = _data()
    return (_compiled if way == "compiled" else _stacked)(EnsembleConfig(dataset=data.name, hidden=hidden), data)


def _in_worker(way: str, hidden: tuple[int, ...], start: float) -> tuple[float, list[float]]:
    step = _step_here(way, hidden)
    return step[1], _times(step, start=start)


def _on_all_cores(workers: list[ProcessPoolExecutor], way: str, hidden: tuple[int, ...]) -> float:
    start = time.time() + 0.3
    jobs = [worker.submit(_in_worker, way, hidden, start) for worker in workers]
    shares, times = zip(*[job.result() for job in jobs], strict=True)
    return _rate(shares[0], *times)


def rows(hidden: tuple[int, ...], turns: int = 4) -> dict[str, float]:
    """Networks · epochs a second of every way, the best of some turns."""
    data = _data()
    config = EnsembleConfig(dataset=data.name, hidden=hidden)
    compiled, stacked = _compiled(config, data), _stacked(config, data)
    in_memory, published = _in_memory(config, data), _published(config, data)
    with contextlib.ExitStack() as stack:
        spawn = multiprocessing.get_context("spawn")
        workers = [stack.enter_context(ProcessPoolExecutor(1, mp_context=spawn)) for _ in range(CORES)]
        for worker in workers:  # imports and data
            for way in ("compiled", "torch"):
                worker.submit(_in_worker, way, hidden, 0.0).result()
        ways: dict[str, Callable[[], float]] = {
            "matrix products alone": lambda: _floor(config, len(data.train_labels)),
            "compiled kernel": lambda: _alone(compiled),
            "stack of torch": lambda: _alone(stacked),
            "loop, images in memory": lambda: _alone(in_memory),
            "loop as published": lambda: _alone(published),
            "compiled kernel, all cores": lambda: _on_all_cores(workers, "compiled", hidden),
            "stack of torch, all cores": lambda: _on_all_cores(workers, "torch", hidden),
            "loop, images in memory, all threads": lambda: _alone(in_memory, CORES),
            "loop as published, all threads": lambda: _alone(published, CORES),
        }
        best = dict.fromkeys(ways, 0.0)
        for _ in range(turns):
            for label, work in ways.items():
                best[label] = max(best[label], work())
    return best


def memory(hidden: tuple[int, ...], runs: int) -> float:
    """GiB that a process needs at most to train so many runs for an epoch, with the default chunk."""
    code = MEMORY.format(dataset=_data().name, hidden=hidden, runs=runs)
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    return float(done.stdout)


def main(arguments: Sequence[str] = ()) -> None:
    """Prints memory, and a table for every width; ``--wide`` adds the width 640."""
    for runs, hidden in ((40, (10, 10, 10)), (3, (640, 640))):  # first: children inherit a parent's peak
        print(f"peak memory of a process, hidden {hidden}, {runs} runs: {memory(hidden, runs):.2f} GiB", flush=True)
    widths: list[tuple[int, ...]] = [(10, 10, 10), (40, 40), (160, 160)]
    for width in widths + [(640, 640)] * ("--wide" in arguments):
        best = rows(width)
        print(f"\n{_data().name}, hidden {width}, {CORES} cores; one thread unless said otherwise")
        print(f"{'':38s} ms a network·epoch  x published  x in memory  share of floor")
        for label, rate in best.items():
            ratios = [rate / best[f"loop{way}"] for way in (" as published", ", images in memory")]
            print(
                f"{label:38s} {1e3 / rate:16.2f} {ratios[0]:12.1f} {ratios[1]:12.1f} "
                f"{rate / best['matrix products alone']:14.0%}"
            )
        for way in (" as published", ", images in memory"):
            loop = max(best[f"loop{way}"], best[f"loop{way}, all threads"])
            ratios = [best[f"{ours}, all cores"] / loop for ours in ("compiled kernel", "stack of torch")]
            print(f"all cores, x the better loop{way}: kernel {ratios[0]:.1f}, torch {ratios[1]:.1f}", flush=True)


if __name__ == "__main__":
    main(sys.argv[1:])
