"""Many small networks trained as one: stacked weights, a hand-written backward pass, one fused Adam.

Run r keeps its weights in row r of one flat buffer, each matrix padded to whole cache lines. So every run sees the
same memory alignment and the same kernels wherever it stands in the stack, and its numbers do not depend on its
neighbours. Activations are laid out (runs, neurons, images): the layout with the fastest batched products.

Three architectures share all but their forward and backward pass: :class:`Stack` is a plain network, which has
different neurons on the two sides of every matrix; in a :class:`ResidualStack` and a :class:`RecurrentStack` the same
neurons stand on both sides of the hidden matrices. All see x = 2 p/levels − 1 of raw pixels p and have no biases.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
import torch

from .streams import batch_order, initial_weights

__all__ = ["STACKS", "RecurrentStack", "ResidualStack", "Stack", "batch_order", "initial_weights"]

_LINE = 64  # pad every matrix to a multiple of this many elements
_TEST_BLOCK = 500  # test images per product: small enough for the cache, the same for every stack


class Stack:
    """Weights, gradients and Adam state of R networks of one shape: h_{l+1} = relu(W_l h_l), logits linear.

    Parameters
    ----------
    shapes : (out, in) of every matrix
    weights : for each network its matrices, or a (R, size) array from :meth:`state`
    levels : pixel value that stands for white; the networks see x = 2 p/levels − 1
    """

    def __init__(
        self,
        shapes: Sequence[tuple[int, int]],
        weights: Sequence[Sequence[np.ndarray]],
        *,
        levels: int,
        learning_rate: float,
        weight_decay: float,
        device: str = "cpu",
        dtype: torch.dtype = torch.float32,
    ) -> None:
        self.runs, self.levels, self.device, self.dtype = len(weights), levels, torch.device(device), dtype
        sizes = [-(-self.runs * out * into // _LINE) * _LINE for out, into in shapes]
        self.flat = torch.zeros(sum(sizes), dtype=dtype, device=self.device)
        self.flat.grad = torch.zeros_like(self.flat)
        starts = np.cumsum([0, *sizes[:-1]])

        def views(flat: torch.Tensor) -> list[torch.Tensor]:
            return [
                flat[start : start + self.runs * out * into].view(self.runs, out, into)
                for start, (out, into) in zip(starts, shapes, strict=True)
            ]

        self._views = views
        self.weights, self.gradients = views(self.flat), views(self.flat.grad)
        for run, matrices in enumerate(weights):
            for layer, matrix in enumerate(matrices):
                self.weights[layer][run] = torch.as_tensor(matrix)
        self.adam = torch.optim.Adam([self.flat], lr=learning_rate, weight_decay=weight_decay, fused=True)
        self._pixels: torch.Tensor | None = None

    def _inputs(self, images: torch.Tensor, index: torch.Tensor) -> torch.Tensor:
        """The chosen images as (R, batch, pixels) raw pixel values, in buffers that are used again."""
        count, width = len(index), images.shape[1]
        if self._pixels is None or len(self._pixels) < count:
            self._bytes = torch.empty(count, width, dtype=torch.uint8, device=self.device)
            self._pixels = torch.empty(count, width, dtype=self.dtype, device=self.device)
        raw = torch.index_select(images, 0, index, out=self._bytes[:count])
        return self._pixels[:count].copy_(raw).view(self.runs, -1, width)

    def _input_layer(self, pixels: torch.Tensor) -> torch.Tensor:
        """The first matrix times the image, (R, neurons, batch): W·(2p/levels − 1) = (2/levels) W·p − Σ_j W_j."""
        first = self.weights[0]
        return torch.baddbmm(-first.sum(-1, keepdim=True), first, pixels.transpose(1, 2), alpha=2 / self.levels)

    def _input_gradient(
        self, delta: torch.Tensor, pixels: torch.Tensor, out: torch.Tensor | None = None
    ) -> torch.Tensor:
        """Gradient of the first matrix from that of its products, ``delta``."""
        return torch.baddbmm(-delta.sum(-1, keepdim=True), delta, pixels, alpha=2 / self.levels, out=out)

    def _forward(self, pixels: torch.Tensor) -> list[torch.Tensor]:
        """All that the backward pass needs, each (R, neurons, batch), and last the logits."""
        values = [self._input_layer(pixels)]
        for weight in self.weights[1:]:
            values.append(torch.bmm(weight, values[-1].relu_()))
        return values

    def _backward(self, pixels: torch.Tensor, states: list[torch.Tensor], delta: torch.Tensor) -> None:
        """Fill the gradients, from that of the logits (``delta``) downwards."""
        for layer in range(len(states), 0, -1):
            below = states[layer - 1]
            torch.bmm(delta, below.transpose(1, 2), out=self.gradients[layer])
            delta = torch.bmm(self.weights[layer].transpose(1, 2), delta)
            delta = torch.ops.aten.threshold_backward(delta, below, 0.0)
        self._input_gradient(delta, pixels, out=self.gradients[0])

    def _active(self, states: list[torch.Tensor]) -> list[torch.Tensor]:
        """Per hidden layer, which units are not silent on all of these images, (R, H)."""
        return [values.amax(-1) > 0 for values in states]

    @staticmethod
    def hold(images: np.ndarray, labels: np.ndarray, device: str = "cpu") -> tuple[torch.Tensor, torch.Tensor]:
        """Images and labels in the form that training and evaluation want."""
        return torch.tensor(images, device=device), torch.tensor(labels, device=device)

    def epoch(self, images: torch.Tensor, labels: torch.Tensor, orders: np.ndarray, batch: int) -> np.ndarray:
        """Train every run once on the images in its own order, a row of ``orders``; mean losses (R,)."""
        indices = torch.as_tensor(orders, device=self.device).split(batch, dim=1)
        losses = torch.cat([self.step(images, labels, index) for index in indices], 1)
        return losses.cpu().numpy().mean(1, dtype=np.float64)

    def step(self, images: torch.Tensor, labels: torch.Tensor, index: torch.Tensor) -> torch.Tensor:
        """One Adam step of every run on its own batch; ``index`` is (R, batch). Returns the losses (R, batch)."""
        batch = index.shape[1]
        index = index.flatten()
        pixels = self._inputs(images, index)
        *states, logits = self._forward(pixels)
        target = labels.index_select(0, index).view(self.runs, 1, batch)
        loss = torch.log_softmax(logits, 1).gather(1, target).squeeze(1).neg_()
        delta = torch.softmax(logits, 1)  # d(mean loss)/d(logits) = (softmax − one-hot)/batch
        delta.scatter_add_(1, target, torch.full_like(target, -1, dtype=self.dtype)).div_(batch)
        self._backward(pixels, states, delta)
        self.adam.step()
        return loss

    def evaluate(self, images: torch.Tensor, labels: torch.Tensor) -> tuple[np.ndarray, np.ndarray]:
        """Accuracy (R,) on the images and, per hidden layer, the units silent on all of them (R, H)."""
        correct = torch.zeros(self.runs, dtype=torch.int64, device=self.device)
        alive: list[torch.Tensor] = []
        for start in range(0, len(images), _TEST_BLOCK):
            pixels = images[start : start + _TEST_BLOCK].to(self.dtype)
            *states, logits = self._forward(pixels.expand(self.runs, -1, -1))
            correct += (logits.argmax(1) == labels[start : start + _TEST_BLOCK]).sum(1)
            active = self._active(states)
            alive = [old | new for old, new in zip(alive, active, strict=True)] if alive else active
        dead = torch.stack([(~units).sum(1) for units in alive], 1)
        return correct.cpu().numpy() / len(images), dead.cpu().numpy()

    def matrices(self) -> list[np.ndarray]:
        """A copy of every layer's weights, (R, out, in)."""
        return [weight.cpu().numpy().copy() for weight in self.weights]

    def finite(self) -> np.ndarray:
        """Which runs still have finite weights and second moments, (R,): Adam stands still where these overflow."""
        moments = self._views(self.adam.state[self.flat]["exp_avg_sq"]) if self.adam.state else []
        arrays = [*self.weights, *moments]
        return torch.stack([torch.isfinite(array).all(-1).all(-1) for array in arrays]).all(0).cpu().numpy()

    def state(self) -> dict[str, np.ndarray]:
        """Weights and Adam state, all that is needed to go on."""
        inner: dict[str, Any] = self.adam.state[self.flat]
        return {
            "flat": self.flat.cpu().numpy().copy(),
            **{name: inner[name].cpu().numpy().copy() for name in ("exp_avg", "exp_avg_sq", "step")},
        }

    def restore(self, state: dict[str, np.ndarray]) -> None:
        """Go on from :meth:`state`."""
        self.flat.copy_(torch.as_tensor(state["flat"]))
        self.adam.state[self.flat] = {
            name: torch.as_tensor(state[name]).clone().to(self.device)
            for name in ("exp_avg", "exp_avg_sq", "step")
        }


class ResidualStack(Stack):
    """Residual networks: h_1 = relu(U x), then h_{l+1} = h_l + relu(W_l h_l), and logits V h_L.

    A unit of layer l is silent when h_l is zero on all images; what a block adds may be silent while h_l is not.
    """

    def _forward(self, pixels: torch.Tensor) -> list[torch.Tensor]:
        """h_1, relu(W_1 h_1), h_2, relu(W_2 h_2), ..., h_L and the logits."""
        states = [self._input_layer(pixels).relu_()]
        for weight in self.weights[1:-1]:
            added = torch.bmm(weight, states[-1]).relu_()
            states += [added, states[-1] + added]
        return [*states, torch.bmm(self.weights[-1], states[-1])]

    def _backward(self, pixels: torch.Tensor, states: list[torch.Tensor], delta: torch.Tensor) -> None:
        layers, added = states[::2], states[1::2]
        torch.bmm(delta, layers[-1].transpose(1, 2), out=self.gradients[-1])
        delta = torch.bmm(self.weights[-1].transpose(1, 2), delta)
        for block in range(len(added), 0, -1):  # block l has matrix l; it leads from layers[l - 1] to layers[l]
            through = torch.ops.aten.threshold_backward(delta, added[block - 1], 0.0)
            torch.bmm(through, layers[block - 1].transpose(1, 2), out=self.gradients[block])
            delta = delta.baddbmm_(self.weights[block].transpose(1, 2), through)  # past the block and through it
        delta = torch.ops.aten.threshold_backward(delta, layers[0], 0.0)
        self._input_gradient(delta, pixels, out=self.gradients[0])

    def _active(self, states: list[torch.Tensor]) -> list[torch.Tensor]:
        return super()._active(states[::2])


class RecurrentStack(Stack):
    """Recurrent networks that read rows x_t of an image: h_0 = 0, h_{t+1} = relu(W h_t + U x_t), logits V h_T.

    The two counts of silent units are those silent at every step, and those silent at the last one, which alone is
    read: a network whose last state is silent learns nothing any more.
    """

    def _rows(self, pixels: torch.Tensor) -> tuple[torch.Tensor, ...]:
        """The rows of the images, each (R, batch, pixels in a row)."""
        return pixels.unflatten(2, (-1, self.weights[0].shape[2])).unbind(2)

    def _forward(self, pixels: torch.Tensor) -> list[torch.Tensor]:
        """h_1, ..., h_T and the logits."""
        _, recurrent, output = self.weights
        first, *later = self._rows(pixels)
        states = [self._input_layer(first).relu_()]
        for row in later:
            states.append(self._input_layer(row).baddbmm_(recurrent, states[-1]).relu_())
        return [*states, torch.bmm(output, states[-1])]

    def _backward(self, pixels: torch.Tensor, states: list[torch.Tensor], delta: torch.Tensor) -> None:
        _, recurrent, output = self.weights
        input_gradient, recurrent_gradient, output_gradient = self.gradients
        torch.bmm(delta, states[-1].transpose(1, 2), out=output_gradient)
        delta = torch.bmm(output.transpose(1, 2), delta)
        input_gradient.zero_()
        recurrent_gradient.zero_()
        rows = self._rows(pixels)
        for step in range(len(rows) - 1, -1, -1):
            delta = torch.ops.aten.threshold_backward(delta, states[step], 0.0)
            input_gradient.add_(self._input_gradient(delta, rows[step]))
            if step > 0:
                recurrent_gradient.baddbmm_(delta, states[step - 1].transpose(1, 2))
                delta = torch.bmm(recurrent.transpose(1, 2), delta)

    def _active(self, states: list[torch.Tensor]) -> list[torch.Tensor]:
        active = torch.stack(super()._active(states))
        return [active.any(0), active[-1]]


STACKS = {"mlp": Stack, "recurrent": RecurrentStack, "residual": ResidualStack}
"""The class that trains each architecture of :class:`pigmm.EnsembleConfig`."""
