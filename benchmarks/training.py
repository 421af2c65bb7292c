"""Time to train one network for one epoch, four ways, on one thread.  Run: python -m benchmarks.training

All ways share one process, dataset, network and thread, take turns, and are timed over some steps scaled to an epoch:
the best turn counts. Only the ratios mean something on another machine. MNIST is used if it can be had, else digits.
"""

from __future__ import annotations

import itertools
import time
from collections.abc import Callable, Iterator
from typing import Any

import numpy as np
import torch

from pigmm import EnsembleConfig, PigmmError
from pigmm.datasets import Dataset, load_dataset, torchvision_datasets
from pigmm.network import Stack, batch_order, initial_weights


def rows(runs: int = 32, hidden: tuple[int, ...] = (10, 10, 10), turns: int = 3) -> list[tuple[str, float]]:
    """(label, seconds for one network and epoch) of the dense floor and of three ways of training."""
    data = _data()
    config = EnsembleConfig(dataset=data.name, hidden=hidden, runs=max(runs, 2))
    steps = -(-len(data.train_labels) // config.batch_size)
    threads = torch.get_num_threads()
    torch.set_num_threads(1)
    try:
        ways: dict[str, tuple[Callable[[], Any], float]] = {  # one step, and how much of a run-epoch it is
            f"stack of {runs} networks (pigmm)": (_stacked(config, data, runs), runs / steps),
            "one network, images in memory, autograd": (_plain(config, data), 1 / steps),
            "one network, PIL → tensor → normalise per image": (_per_image(config, data), 1 / steps),
        }
        times = dict.fromkeys(ways, np.inf)
        floor = np.inf
        for _ in range(turns):
            floor = min(floor, _floor(config, len(data.train_labels)))
            for label, (step, share) in ways.items():
                times[label] = min(times[label], _time(step) / share)
    finally:
        torch.set_num_threads(threads)
    name = f"{data.name} {'-'.join(map(str, config.layer_sizes))}"
    floor_label = "matrix products alone, at the rate of a large one"
    return [(f"{name}: {label}", seconds) for label, seconds in [(floor_label, floor), *times.items()]]


def _data() -> Dataset:
    try:
        return load_dataset("mnist")
    except PigmmError:
        return load_dataset("digits")


def _time(step: Callable[[], Any], least: float = 0.7) -> float:
    """Seconds a step takes, over at least ``least`` seconds after a warm-up of two steps."""
    step(), step()
    start, count = time.perf_counter(), 0
    while (elapsed := time.perf_counter() - start) < least:
        step()
        count += 1
    return elapsed / count


def _floor(config: EnsembleConfig, images: int, size: int = 1536) -> float:
    """Forward and dW of the first layer, forward, dW and dx of the others: 2 flop a weight and image each."""
    (out, into), *rest = config.shapes
    flop = images * (4 * out * into + 6 * sum(a * b for a, b in rest))
    a, b = torch.randn(2, size, size)
    return flop / (2 * size**3 / _time(lambda: a @ b))


def _stacked(config: EnsembleConfig, data: Dataset, runs: int) -> Callable[[], Any]:
    stack = Stack(
        config.shapes, [initial_weights(config, run) for run in range(runs)], levels=data.levels,
        learning_rate=config.learning_rate, weight_decay=config.weight_decay,
    )  # fmt: skip
    images, labels = torch.tensor(data.train_images), torch.tensor(data.train_labels)
    order = torch.tensor(np.stack([batch_order(config, run, 0, len(labels)) for run in range(runs)]).astype(np.int32))
    batches = itertools.cycle(order.split(config.batch_size, 1))
    return lambda: stack.step(images, labels, next(batches))


def _model(config: EnsembleConfig) -> tuple[torch.nn.Module, Callable[[Any, Any], None]]:
    layers: list[torch.nn.Module] = [torch.nn.Flatten()]
    for out, into in config.shapes:
        layers += [torch.nn.Linear(into, out, bias=False), torch.nn.ReLU()]
    model = torch.nn.Sequential(*layers[:-1])
    adam = torch.optim.Adam(model.parameters(), lr=config.learning_rate, weight_decay=config.weight_decay)

    def step(images: Any, labels: Any) -> None:
        adam.zero_grad()
        torch.nn.functional.cross_entropy(model(images), labels).backward()
        adam.step()

    return model, step


def _plain(config: EnsembleConfig, data: Dataset) -> Callable[[], Any]:
    images, labels = torch.tensor(data.train_images).float() * 2 / data.levels - 1, torch.tensor(data.train_labels)
    batches = itertools.cycle(torch.tensor(batch_order(config, 0, 0, len(labels))).split(config.batch_size))
    _, step = _model(config)

    def one() -> None:
        batch = next(batches)
        step(images[batch], labels[batch])

    return one


def _per_image(config: EnsembleConfig, data: Dataset) -> Callable[[], Any]:
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

    batches = forever()
    _, step = _model(config)
    return lambda: step(*next(batches))


def main() -> None:
    measured = rows()
    floor, slowest = measured[0][1], measured[-1][1]
    print(f"{'':76s} ms    networks·epochs/s  x published  GEMM rate")
    for label, seconds in measured:
        share, speed = floor / seconds, slowest / seconds
        print(f"{label:72s} {1e3 * seconds:8.1f} {1 / seconds:12.1f} {speed:15.1f} {share:10.0%}")


if __name__ == "__main__":
    main()
