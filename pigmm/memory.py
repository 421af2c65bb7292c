"""How much memory a training takes, and the chunks that fit a given amount of it."""

from __future__ import annotations

import contextlib
import math
import re
from dataclasses import replace
from numbers import Integral, Real
from typing import Any

from .config import DATASETS, EnsembleConfig
from .errors import PigmmError
from .layout import FILM_RUNS, axes_of, kept_epochs, kept_layers

__all__ = ["as_bytes", "estimate_memory", "fit_memory"]

_UNITS = {"": 1, "K": 10**3, "M": 10**6, "G": 10**9, "T": 10**12, "KI": 2**10, "MI": 2**20, "GI": 2**30, "TI": 2**40}
# Measured on Linux with Python 3.11 and torch 2.13, and rounded up:
_PROCESS = 420e6  # Python, torch with its optimisers, SciPy and what they allocate
_MAIN = 340e6  # the same without optimisers: a process that only collects what others train
_DIGITS = 100e6  # scikit-learn, which brings these images
_COMPILER = 60e6  # numba and LLVM, with kernels that are compiled already
_CUDA = 3e9  # allowed for, not measured: torch's CUDA libraries and their context
_MATRICES = 16  # arrays of D x D numbers that evaluating all invariants has at once
_BLOCK = 1 << 16  # numbers in each of these, at least


def as_bytes(memory: Any) -> int:
    """A number of bytes, from such a number or a text: units go by 1000 (kB, MB, GB, TB) or 1024 (KiB, MiB, GiB, TiB).

    Raises
    ------
    PigmmError
        If it is not an amount of memory.

    Examples
    --------
    >>> as_bytes("4 GB"), as_bytes("500MiB"), as_bytes(2e9)
    (4000000000, 524288000, 2000000000)
    """
    amount = math.nan
    if isinstance(memory, Real) and not isinstance(memory, bool):
        with contextlib.suppress(OverflowError):
            amount = float(memory)
    elif isinstance(memory, str):
        found = re.fullmatch(r"\s*(\d+\.?\d*|\.\d+)\s*([KMGT]?I?)B?\s*", memory.upper())
        if found and found[2] in _UNITS:
            amount = float(found[1]) * _UNITS[found[2]]
    if not (math.isfinite(amount) and amount >= 1):
        allowed = 'an amount such as "4 GB", "500 MiB" or a number of bytes'
        raise PigmmError.of("memory", got=memory, allowed=allowed)
    return int(amount)


def estimate_memory(
    config: EnsembleConfig,
    runs_per_chunk: int,
    workers: int = 1,
    device: str = "cpu",
    backend: str = "torch",
) -> int:
    r"""Bytes that a training needs at most in this machine's memory, all its processes together.

    With P weights in a network, R of them in a chunk, E epochs, n training images and w workers it is

    .. math:: w \, (b + d + R (c P + 20 n + s)) + b + 3 a, \qquad s \propto E,

    where b is a process, d the images (in the form they come and in the one that is trained on), c P the weights,
    their gradients, the state of Adam and a copy of all this as a checkpoint is written, s the features that are kept
    of a network until its chunk is finished, and a the archive. Workers that train beside this process do not share
    images. Terms that do not come at the same time are added all the same: it is an upper bound, and mostly within a
    factor of 1.6 of what was measured (Linux, torch 2.13). Memory of a GPU is not counted.

    Parameters
    ----------
    config : EnsembleConfig
    runs_per_chunk : runs trained as one stack
    workers : processes that train; a single one is this process
    device : "cpu" or a CUDA device, on which weights and images are then
    backend : "torch" or "compiled"

    Examples
    --------
    >>> config = EnsembleConfig(dataset="mnist", hidden=(640, 640))
    >>> 1e9 < estimate_memory(config, runs_per_chunk=1, workers=2) < 3e9
    True
    """
    if not isinstance(config, EnsembleConfig):
        raise PigmmError.of("config", got=config, allowed="an EnsembleConfig")
    for name, count in (("runs_per_chunk", runs_per_chunk), ("workers", workers)):
        if isinstance(count, bool) or not isinstance(count, Integral) or count < 1:
            raise PigmmError.of(name, got=count, allowed="an integer of at least 1")
    if backend not in ("torch", "compiled"):
        raise PigmmError.of("backend", got=backend, allowed="'torch' or 'compiled'")
    if not isinstance(device, str) or device.split(":")[0] not in ("cpu", "cuda"):
        raise PigmmError.of("device", got=device, allowed="'cpu' or a CUDA device such as 'cuda'")
    worker = _PROCESS + _COMPILER * (backend == "compiled") + _CUDA * (device != "cpu")
    worker += _data(config, device, backend) + _chunk(config, runs_per_chunk, device, backend)
    parts = -(-config.runs // runs_per_chunk)
    if workers == 1:
        return int(worker + _archives(config, 1 if parts == 1 else 3))
    main = _MAIN + _data(config, "", "torch") + _archives(config, 3 + workers)  # its images are not trained on
    return int(main + workers * (worker + _archives(config, 2)))


def fit_memory(
    config: EnsembleConfig, memory: Any, chunk: int, workers: int, device: str, backend: str, *,
    fixed: tuple[bool, bool],
) -> tuple[int, int]:  # fmt: skip
    """The largest chunk up to ``chunk``, and then the most workers up to ``workers``, that fit into ``memory``.

    ``fixed`` says whether chunk and workers were asked for and must stay.

    Raises
    ------
    PigmmError
        If nothing fits; it says how much would do, and which networks would fit.
    """
    budget = as_bytes(memory)
    for number in [workers] if fixed[1] else range(workers, 0, -1):
        for runs in [chunk] if fixed[0] else range(chunk, 0, -1):
            if estimate_memory(config, runs, number, device, backend) <= budget:
                return runs, number
    least = estimate_memory(config, chunk if fixed[0] else 1, workers if fixed[1] else 1, device, backend)
    enough = f'A budget of "{math.ceil(least / 1e6)} MB" would do'
    width = max(config.hidden)
    while width > 1:
        width -= -(-width // 20)
        narrow = replace(config, hidden=tuple(min(width, wide) for wide in config.hidden))
        if estimate_memory(narrow, 1, 1, device, backend) <= budget:
            enough += f", or layers of at most {width} neurons"
            break
    if any(fixed):
        enough += ", or leave chunk and workers to be chosen"
    raise PigmmError.of("memory", got=memory, allowed=f"enough for {config.networks}", fix=f"{enough}.")


def _sizes(config: EnsembleConfig) -> tuple[int, int]:
    """Training images and bytes in each."""
    return DATASETS[config.dataset].train, DATASETS[config.dataset].inputs


def _data(config: EnsembleConfig, device: str, backend: str) -> float:
    """The images as they are read, and what reading takes for a moment, or the form in which they are trained on."""
    images = DATASETS[config.dataset]
    train, pixels = _sizes(config)
    whole = (train + images.test) * pixels
    packed = 3 * images.share * whole  # three bytes for each pixel above zero
    held = packed + train * pixels if backend == "compiled" else whole
    library = _DIGITS if config.dataset == "digits" else 0
    return library + whole + max(1.4 * train * pixels, held if device == "cpu" else 0)


def _chunk(config: EnsembleConfig, runs: int, device: str, backend: str) -> float:
    """Weights, activations and features of a stack."""
    images, pixels = _sizes(config)
    lanes = 16 if backend == "compiled" else 1  # the kernel fills up panels of 16
    weights = sum(-(-out // lanes) * -(-into // lanes) * lanes**2 for out, into in config.shapes)
    largest = max(out * into for out, into in config.shapes)
    widths, steps = sum(config.layer_sizes[1:]), config.steps
    per_run = 28.0 * weights  # a checkpoint: the state's copy and the file in memory, or the other way round
    per_run += 4 * weights + 6 * 8 * largest  # a snapshot in double precision
    per_run += 20 * images  # batch orders and losses
    if device == "cpu":
        per_run += 16 * weights
    if device == "cpu" and backend == "torch":
        batch = min(config.batch_size, images)
        per_run += 5 * batch * pixels + 12 * max(500, batch) * widths * steps  # 500 test images at a time
    side = max(config.hidden)
    return runs * per_run + 8 * _MATRICES * max(_BLOCK, side * side) + _features(config, runs)


def _features(config: EnsembleConfig, runs: int) -> float:
    """What the builder holds of a chunk, and the moments being made of its widest family."""
    widths = [width for width, _ in axes_of(config).values()]
    return 8.0 * (config.epochs + 1) * runs * (sum(widths) + 5 * max(widths)) + _raw(config, runs)


def _raw(config: EnsembleConfig, runs: int) -> float:
    """Raw weights that are kept of so many runs."""
    entries = sum(math.prod(config.studied_shapes[layer]) for layer in kept_layers(config))
    return 4.0 * entries * (len(kept_epochs(config)) * runs + (config.epochs + 1) * min(FILM_RUNS, runs))


def _archives(config: EnsembleConfig, copies: int) -> float:
    """So many sets of moments; three, as two are merged into one, of what is kept of every run."""
    numbers = sum((2 + axes) * width for width, axes in axes_of(config).values())
    records = config.runs * (3 + 2 * len(config.hidden) + 2)
    return 8.0 * (config.epochs + 1) * (2 * copies * numbers + 3 * records) + 3 * _raw(config, config.runs)
