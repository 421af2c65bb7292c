"""Plain networks on CPUs, trained one after another by the compiled kernel of :mod:`pigmm.kernel`."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Any

import numpy as np
from numpy.typing import DTypeLike, NDArray

from .errors import PigmmError
from .kernel import LANES, TEST_BLOCK, PackedImages, Scratch, evaluate_network, fill_records, train_network

__all__ = ["FastStack"]


class FastStack:
    """R networks of one shape; takes and gives what :class:`pigmm.network.Stack` does.

    The two agree to rounding. A network is the same, bit for bit, wherever it stands in a stack.

    Parameters
    ----------
    shapes : (out, in) of every matrix
    weights : for each network its matrices
    levels : pixel value that stands for white; the networks see x = 2 p/levels − 1
    dtype : float32 or float64

    Examples
    --------
    >>> rng = np.random.default_rng(0)
    >>> shapes = [(5, 64), (4, 5), (3, 4)]
    >>> networks = [[rng.normal(size=shape) / 4 for shape in shapes] for _ in range(2)]
    >>> stack = FastStack(shapes, networks, levels=16, learning_rate=0.01, weight_decay=0.0)
    >>> images, labels = rng.integers(0, 17, (90, 64), dtype=np.uint8), rng.integers(0, 3, 90)
    >>> data = stack.hold(images, labels)
    >>> orders = np.stack([rng.permutation(90) for _ in networks])
    >>> first, second = (stack.epoch(*data, orders, batch=30) for _ in range(2))
    >>> first.shape, bool((second < first).all())        # mean loss of each network
    ((2,), True)
    """

    def __init__(
        self,
        shapes: Sequence[tuple[int, int]],
        weights: Sequence[Sequence[NDArray[Any]]],
        *,
        levels: int,
        learning_rate: float,
        weight_decay: float,
        device: str = "cpu",
        dtype: DTypeLike = np.float32,
    ) -> None:
        if device != "cpu":
            raise PigmmError.of("device, of the compiled kernel", got=device, allowed="'cpu'")
        self.shapes, self.steps, self.unit = list(shapes), 0, np.array(2 / levels, dtype)[()]
        self.learning_rate, self.weight_decay = float(learning_rate), float(weight_decay)
        self._padded = [(_up(out, LANES), _up(into, LANES)) for out, into in shapes]
        self._starts = np.cumsum([0, *(width * lines for width, lines in self._padded)])
        self.flat, self.mean, self.square = (_zeros(dtype, len(weights), self._starts[-1]) for _ in range(3))
        self._panels = [  # views: network, panel, line, lane
            self.flat[:, start : start + width * lines].reshape(len(weights), -1, lines, LANES)
            for start, (width, lines) in zip(self._starts, self._padded, strict=False)
        ]
        for run, matrices in enumerate(weights):
            for panels, matrix in zip(self._panels, matrices, strict=True):
                for neuron, row in enumerate(matrix):
                    panels[run, neuron // LANES, : len(row), neuron % LANES] = row

    @staticmethod
    def hold(
        images: NDArray[np.uint8], labels: NDArray[np.int64], device: str = "cpu"
    ) -> tuple[PackedImages, NDArray[np.int64]]:
        """Images and labels in the form that training and evaluation want."""
        starts = np.concatenate([[0], np.cumsum(_up(np.count_nonzero(images, axis=1), 4))])
        packed = PackedImages(starts, np.zeros(starts[-1], np.uint16), np.zeros(starts[-1], np.uint8))
        fill_records(images, *packed)
        return packed, labels

    def _memory(self, images: PackedImages, batch: int) -> tuple[NDArray[np.int64], Scratch]:
        """The table of layers, and working memory for so many of these images at a time."""
        dtype, records = self.flat.dtype, batch * int(np.diff(images.starts).max(initial=0))
        values = np.cumsum([0, *(_up(batch, 8) * width for width, _ in self._padded)])
        layers = [
            (into, out, lines, width, start, value)
            for (out, into), (width, lines), start, value in zip(
                self.shapes, self._padded, self._starts, values, strict=False
            )
        ]
        scratch = Scratch(
            values=_zeros(dtype, values[-1]), deltas=_zeros(dtype, values[-1]),
            gradient=_zeros(dtype, self._starts[-1]),
            turned=_zeros(dtype, 2 * LANES * max(width for width, _ in self._padded)),
            images=np.zeros((batch + 1, 4), np.int64), lines=_zeros(np.int32, records), grey=_zeros(dtype, records),
        )  # fmt: skip
        return np.array(layers), scratch

    def epoch(
        self, images: PackedImages, labels: NDArray[np.int64], orders: NDArray[Any], batch: int
    ) -> NDArray[np.float64]:
        """Train every network once on the images in its own order, a row of ``orders``; mean losses (R,)."""
        batch = min(batch, orders.shape[1])
        layers, scratch = self._memory(images, batch)
        losses = [
            train_network(
                *state, self.steps, self.learning_rate, self.weight_decay, layers, images, labels, order, batch,
                self.unit, scratch,
            )
            for *state, order in zip(self.flat, self.mean, self.square, orders.astype(np.int32), strict=True)
        ]  # fmt: skip
        self.steps += -(-orders.shape[1] // batch)
        return np.array(losses)

    def evaluate(self, images: PackedImages, labels: NDArray[np.int64]) -> tuple[NDArray[Any], NDArray[Any]]:
        """Accuracy (R,) on the images and, per hidden layer, the units silent on all of them (R, H)."""
        layers, scratch = self._memory(images, TEST_BLOCK)
        widths = [out for out, _ in self.shapes[:-1]]
        active = np.zeros((len(self.flat), sum(widths)), np.bool_)
        correct = [
            evaluate_network(W, layers, images, labels, self.unit, scratch, units)
            for W, units in zip(self.flat, active, strict=True)
        ]
        silent = np.add.reduceat(~active, np.cumsum([0, *widths[:-1]]), axis=1, dtype=np.int64)
        return np.array(correct) / len(labels), silent

    def matrices(self) -> list[NDArray[Any]]:
        """A copy of every layer's weights, (R, out, in)."""
        return [
            panels.swapaxes(2, 3).reshape(len(panels), *padded)[:, :out, :into].copy()
            for panels, padded, (out, into) in zip(self._panels, self._padded, self.shapes, strict=True)
        ]

    def finite(self) -> NDArray[np.bool_]:
        """Which runs still have finite weights, (R,)."""
        return np.isfinite(self.flat).all(axis=1)

    def state(self) -> dict[str, NDArray[Any]]:
        """Weights and Adam state, all that is needed to go on."""
        return {
            "flat": self.flat.copy(), "exp_avg": self.mean.copy(), "exp_avg_sq": self.square.copy(),
            "step": np.array(self.steps),
        }  # fmt: skip

    def restore(self, state: dict[str, NDArray[Any]]) -> None:
        """Go on from :meth:`state`."""
        for name, array in (("flat", self.flat), ("exp_avg", self.mean), ("exp_avg_sq", self.square)):
            array[...] = state[name]
        self.steps = int(state["step"])


def _up(number: Any, unit: int) -> Any:
    """``number`` rounded up to a multiple of ``unit``."""
    return -(-number // unit) * unit


def _zeros(dtype: DTypeLike, *shape: int) -> NDArray[Any]:
    """Zeros from the start of a cache line on, which matters for speed alone."""
    size = math.prod(map(int, shape)) * np.dtype(dtype).itemsize
    raw = np.zeros(size + 64, np.uint8)
    start = -raw.ctypes.data % 64
    return raw[start : start + size].view(dtype).reshape(shape)
