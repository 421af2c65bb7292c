"""The compiled kernel of :class:`pigmm.fast.FastStack`: one epoch of one plain network, on one core.

What makes it fast:

- Most pixels are background, x = −1.  With v = x + 1 = 2p/levels, W x = W v − Σ_j W_j and dW = Σ d vᵀ − (Σ d) 1ᵀ
  exactly, so only pixels p > 0 are visited, 150 of 784 in MNIST.  Images are packed once as records of such pixels.
- A weight matrix lies in panels of LANES neurons.  A panel has one line for each input, with the weights that lead from
  it to these neurons: as many numbers as a processor handles at once.  A record adds its line times v to a register.
- Weights, gradient and Adam state of a network stay in the cache of a core for a whole epoch.

Lanes beyond the last neuron and lines beyond the last input hold zeros and keep them.  Sums run in an order that
depends on the images alone, not on threads, addresses or other networks: a network is the same, bit for bit, in any
company.

numba compiles this at its first use (some seconds) and stores the result beside this file, or in its cache folder if
that is not writable.  To see whether that is out of date it looks at this file alone: all that is compiled stands here.
"""

from __future__ import annotations

import math
from typing import Any, NamedTuple

import numba
import numpy as np
from llvmlite import ir
from numba import types
from numba.extending import intrinsic, models, register_model
from numpy.typing import NDArray

__all__ = ["LANES", "PackedImages", "Scratch", "evaluate_network", "fill_records", "train_network"]

LANES = 16  # numbers handled at once: one register with AVX-512, two with AVX2; a multiple of 8
TEST_BLOCK = 200  # test images handled together
AHEAD = 4  # images whose records are asked for before their turn
TINY = 1e-30  # smaller moments become zero: they are nothing beside Adam's eps, and denormal numbers are slow
INTO, OUT, LINES, WIDTH, WEIGHTS, VALUES = range(6)  # columns of the table of layers, see FastStack._memory

_compiled = numba.njit(nogil=True, error_model="numpy", fastmath={"contract"})  # contract: a·b + c in one rounding
_entry = numba.njit(nogil=True, error_model="numpy", fastmath={"contract"}, cache=True)


# ---- a numba type for LANES numbers in a register, and what can be done with them; no index is checked


class Lanes(types.Type):
    """LANES numbers of one dtype."""

    def __init__(self, dtype: Any) -> None:
        self.dtype = dtype
        super().__init__(f"Lanes({dtype})")


@register_model(Lanes)
class _LanesModel(models.PrimitiveModel):
    def __init__(self, manager: Any, lanes: Any) -> None:
        super().__init__(manager, lanes, ir.VectorType(manager.lookup(lanes.dtype).get_value_type(), LANES))


def _address(context, builder, kind, place, target):
    """Where array[at] is, ``place`` being (array, at): a pointer to something of the type ``target``."""
    data = context.make_array(kind)(context, builder, place[0]).data
    return builder.bitcast(builder.gep(data, [place[1]]), context.get_value_type(target).as_pointer())


@intrinsic
def _item(typing, array, at):
    """array[at]"""
    return array.dtype(array, types.intp), lambda context, builder, _, args: builder.load(
        _address(context, builder, array, args, array.dtype)
    )


@intrinsic
def _load(typing, array, at):
    """array[at : at + LANES]"""
    lanes = Lanes(array.dtype)
    return lanes(array, types.intp), lambda context, builder, _, args: builder.load(
        _address(context, builder, array, args, lanes), align=array.dtype.bitwidth // 8
    )


@intrinsic
def _column(typing, array, at):
    """array[at : at + LANES**2 : LANES], one number from each of LANES lines"""
    lanes = Lanes(array.dtype)

    def generate(context, builder, signature, args):
        column = ir.Constant(context.get_value_type(lanes), ir.Undefined)
        for k in range(LANES):
            at = builder.add(args[1], args[1].type(k * LANES))
            number = builder.load(_address(context, builder, array, (args[0], at), array.dtype))
            column = builder.insert_element(column, number, ir.IntType(32)(k))
        return column

    return lanes(array, types.intp), generate


@intrinsic
def _store(typing, array, at, lanes):
    """array[at : at + LANES] = lanes"""

    def generate(context, builder, signature, args):
        builder.store(args[2], _address(context, builder, array, args[:2], lanes), align=lanes.dtype.bitwidth // 8)
        return context.get_dummy_value()

    return types.void(array, types.intp, lanes), generate


@intrinsic
def _fill(typing, number):
    """LANES times the same number"""
    lanes = Lanes(number)

    def generate(context, builder, signature, args):
        empty = ir.Constant(context.get_value_type(lanes), ir.Undefined)
        first = builder.insert_element(empty, args[0], ir.IntType(32)(0))
        return builder.shuffle_vector(first, empty, ir.Constant(ir.VectorType(ir.IntType(32), LANES), None))

    return lanes(number), generate


@intrinsic
def _plus(typing, total, factor, lanes):
    """total + factor · lanes, in one rounding where the processor can"""
    flags = ["contract"]
    return total(total, factor, lanes), lambda context, builder, _, args: builder.fadd(
        args[0], builder.fmul(args[1], args[2], flags=flags), flags=flags
    )


@intrinsic
def _gate(typing, sign, lanes):
    """lanes where sign > 0, else 0; what is not a number in ``sign`` opens the gate too, so as to be noticed"""

    def generate(context, builder, signature, args):
        zero = ir.Constant(args[0].type, None)
        return builder.select(builder.fcmp_ordered("<=", args[0], zero), zero, args[1])

    return lanes(sign, lanes), generate


@intrinsic
def _ask(typing, array, at):
    """Let the cache fetch array[at], for later."""

    def generate(context, builder, signature, args):
        address, number = _address(context, builder, array, args, types.int8), ir.IntType(32)
        kind = ir.FunctionType(ir.VoidType(), [address.type, number, number, number])
        prefetch = builder.module.declare_intrinsic("llvm.prefetch", [address.type], kind)
        builder.call(prefetch, [address, number(0), number(2), number(1)])  # data to be read, into the second level
        return context.get_dummy_value()

    return types.void(array, types.intp), generate


# ---- the kernel


class PackedImages(NamedTuple):
    """Records of images: k has ``starts[k] : starts[k + 1]``, a multiple of four, filled up with the value 0."""

    starts: NDArray[np.int64]
    pixel: NDArray[np.uint16]
    value: NDArray[np.uint8]


class Scratch(NamedTuple):
    """Working memory for a batch; ``values`` and ``deltas`` hold (images, width) for one layer after another."""

    values: NDArray[Any]  # of the neurons
    deltas: NDArray[Any]  # derivatives of the loss with respect to what goes into the neurons
    gradient: NDArray[Any]  # laid out as the weights
    turned: NDArray[Any]  # lines of a transposed weight matrix
    images: NDArray[np.int64]  # (batch + 1, 4): first and last record in PackedImages, label, first record here
    lines: NDArray[np.int32]  # where in a panel the line of a record begins
    grey: NDArray[Any]  # v of a record


@_entry
def fill_records(images, starts, pixel, value):
    """Write the pixels above zero of every image from ``starts`` on."""
    for k in range(len(images)):
        at = starts[k]
        for p in range(images.shape[1]):
            if images[k, p] > 0:
                pixel[at], value[at] = p, images[k, p]
                at += 1


@_compiled
def _unpack(images, labels, chosen, unit, s):
    """The records of the chosen images, side by side; ``unit`` is 2/levels."""
    end = 0
    for b in range(len(chosen)):
        first, last = images.starts[chosen[b]], images.starts[chosen[b] + 1]
        s.images[b, 0], s.images[b, 1], s.images[b, 2], s.images[b, 3] = first, last, labels[chosen[b]], end
        end += last - first
    s.images[len(chosen), 3] = end
    for b in range(len(chosen)):
        later = min(b + AHEAD, len(chosen) - 1)
        for k in range(s.images[later, 0], s.images[later, 1], 32):  # a cache line has 64 bytes
            _ask(images.pixel, k)
            _ask(images.value, k)
        source, target = slice(s.images[b, 0], s.images[b, 1]), slice(s.images[b, 3], s.images[b + 1, 3])
        pixel, value, lines, grey = images.pixel[source], images.value[source], s.lines[target], s.grey[target]
        for k in range(len(lines)):
            lines[k] = np.int32(pixel[k]) * np.int32(LANES)
        for k in range(len(grey)):
            grey[k] = value[k] * unit


@_compiled
def _product(A, a, down, right, B, b, step, C, c, stride, rows, depth):
    """C[r] = Σ_k A[r, k] B[k] with lines of LANES numbers in B and C, for eight rows at a time.

    A[r, k] is at a + r down + k right, the line B[k] at b + k step, the line C[r] at c + r stride.
    """
    zero = _fill(C.dtype.type(0))
    for r in range(0, rows, 8):
        t0 = t1 = t2 = t3 = t4 = t5 = t6 = t7 = zero
        for k in range(depth):
            line, i = _load(B, b + k * step), a + r * down + k * right
            t0 = _plus(t0, _fill(_item(A, i)), line)
            t1 = _plus(t1, _fill(_item(A, i + down)), line)
            t2 = _plus(t2, _fill(_item(A, i + 2 * down)), line)
            t3 = _plus(t3, _fill(_item(A, i + 3 * down)), line)
            t4 = _plus(t4, _fill(_item(A, i + 4 * down)), line)
            t5 = _plus(t5, _fill(_item(A, i + 5 * down)), line)
            t6 = _plus(t6, _fill(_item(A, i + 6 * down)), line)
            t7 = _plus(t7, _fill(_item(A, i + 7 * down)), line)
        i = c + r * stride
        _store(C, i, t0)
        _store(C, i + stride, t1)
        _store(C, i + 2 * stride, t2)
        _store(C, i + 3 * stride, t3)
        _store(C, i + 4 * stride, t4)
        _store(C, i + 5 * stride, t5)
        _store(C, i + 6 * stride, t6)
        _store(C, i + 7 * stride, t7)


@_compiled
def _forward(W, layers, batch, s):
    """Values of all layers, the logits last; a batch is filled up to a multiple of eight with zeros."""
    kind, count = W.dtype.type, -(-batch // 8) * 8
    zero, one, minus = _fill(kind(0)), _fill(kind(1)), _fill(kind(-1))
    width, lines = layers[0, WIDTH], layers[0, LINES]
    for j in range(0, width, LANES):
        panel = layers[0, WEIGHTS] + j * lines
        t0 = t1 = t2 = t3 = zero
        for p in range(panel, panel + lines * LANES, 4 * LANES):
            t0 = _plus(t0, minus, _load(W, p))
            t1 = _plus(t1, minus, _load(W, p + LANES))
            t2 = _plus(t2, minus, _load(W, p + 2 * LANES))
            t3 = _plus(t3, minus, _load(W, p + 3 * LANES))
        background = _plus(_plus(t0, one, t1), one, _plus(t2, one, t3))
        for b in range(batch):
            t0, t1, t2, t3 = background, zero, zero, zero  # four sums: none has to wait for another
            for k in range(s.images[b, 3], s.images[b + 1, 3], 4):
                t0 = _plus(t0, _fill(_item(s.grey, k)), _load(W, panel + _item(s.lines, k)))
                t1 = _plus(t1, _fill(_item(s.grey, k + 1)), _load(W, panel + _item(s.lines, k + 1)))
                t2 = _plus(t2, _fill(_item(s.grey, k + 2)), _load(W, panel + _item(s.lines, k + 2)))
                t3 = _plus(t3, _fill(_item(s.grey, k + 3)), _load(W, panel + _item(s.lines, k + 3)))
            _store(s.values, b * width + j, _plus(_plus(t0, one, t1), one, _plus(t2, one, t3)))
        for b in range(batch, count):
            _store(s.values, b * width + j, zero)
    for layer in range(1, len(layers)):
        below, start, width = layers[layer, LINES], layers[layer - 1, VALUES], layers[layer, WIDTH]
        for i in range(start, start + count * below, LANES):
            _store(s.values, i, _gate(_load(s.values, i), _load(s.values, i)))
        for j in range(0, width, LANES):
            panel, to = layers[layer, WEIGHTS] + j * below, layers[layer, VALUES] + j
            _product(s.values, start, below, 1, W, panel, LANES, s.values, to, width, count, layers[layer, INTO])


@_compiled
def _exp(x):
    """exp(x) for x ≤ 0, as the 1024th power of Taylor's polynomial of exp(x/1024); below −80 it stays 2e−35."""
    r = max(x, -80.0) / 1024
    y = 1 + r * (1 + r * (1 / 2 + r * (1 / 6 + r * (1 / 24 + r * (1 / 120 + r * (1 / 720 + r * (1 / 5040)))))))
    for _ in range(10):
        y *= y
    return y


@_compiled
def _loss(layers, batch, s):
    """Sum of −log softmax(logits)[label]; its derivatives, divided by the size of the batch, go to ``deltas``."""
    start, width, classes = layers[-1, VALUES], layers[-1, WIDTH], layers[-1, OUT]
    loss, kind, end = 0.0, s.values.dtype.type, start + -(-batch // 8) * 8 * width
    logits, deltas = s.values[start:end], s.deltas[start:end]
    for b in range(batch):
        i = b * width
        top = logits[i]
        for c in range(1, classes):
            top = max(top, logits[i + c])
        for c in range(classes):
            deltas[i + c] = logits[i + c] - top
        loss -= deltas[i + s.images[b, 2]]
    for i in range(len(deltas)):
        deltas[i] = _exp(deltas[i])
    for b in range(batch):
        i, total = b * width, kind(0)
        for c in range(classes):
            total += deltas[i + c]
        loss += math.log(total)
        share = kind(1) / (total * batch)
        for c in range(width):
            deltas[i + c] = deltas[i + c] * share if c < classes else kind(0)
        deltas[i + s.images[b, 2]] -= kind(1 / batch)
    deltas[batch * width :] = 0
    return loss


@_compiled
def _backward(W, layers, batch, s):
    """The gradient, from the derivatives with respect to the logits downwards."""
    count, minus, zero = -(-batch // 8) * 8, _fill(W.dtype.type(-1)), _fill(W.dtype.type(0))
    for layer in range(len(layers) - 1, 0, -1):
        below, start, out = layers[layer, LINES], layers[layer - 1, VALUES], layers[layer, OUT]
        width, here, weights = layers[layer, WIDTH], layers[layer, VALUES], layers[layer, WEIGHTS]
        for j in range(0, width, LANES):
            panel = weights + j * below
            _product(s.values, start, 1, below, s.deltas, here + j, width, s.gradient, panel, LANES, below, batch)
        for i in range(0, below, LANES):
            for o in range(out):
                _store(s.turned, o * LANES, _column(W, weights + (o // LANES * below + i) * LANES + o % LANES))
            _product(s.deltas, here, width, 1, s.turned, 0, LANES, s.deltas, start + i, below, count, out)
        for i in range(start, start + count * below, LANES):
            _store(s.deltas, i, _gate(_load(s.values, i), _load(s.deltas, i)))
    width = layers[0, WIDTH]
    for j in range(0, width, LANES):
        panel, sums = layers[0, WEIGHTS] + j * layers[0, LINES], zero
        for b in range(batch):
            sums = _plus(sums, minus, _load(s.deltas, b * width + j))
        for p in range(panel, panel + layers[0, INTO] * LANES, LANES):
            _store(s.gradient, p, sums)
        for b in range(batch):
            delta = _load(s.deltas, b * width + j)
            for k in range(s.images[b, 3], s.images[b + 1, 3], 4):
                p = panel + _item(s.lines, k)
                q = panel + _item(s.lines, k + 1)
                t = panel + _item(s.lines, k + 2)
                u = panel + _item(s.lines, k + 3)
                _store(s.gradient, p, _plus(_load(s.gradient, p), _fill(_item(s.grey, k)), delta))
                _store(s.gradient, q, _plus(_load(s.gradient, q), _fill(_item(s.grey, k + 1)), delta))
                _store(s.gradient, t, _plus(_load(s.gradient, t), _fill(_item(s.grey, k + 2)), delta))
                _store(s.gradient, u, _plus(_load(s.gradient, u), _fill(_item(s.grey, k + 3)), delta))


@_compiled
def _adam(W, mean, square, gradient, rate, scale, decay):
    """torch's Adam; ``rate`` and ``scale`` contain the corrections for the number of steps."""
    eps, tiny = W.dtype.type(1e-8), W.dtype.type(TINY)
    new_mean, new_square = W.dtype.type(1 - 0.9), W.dtype.type(1 - 0.999)
    for i in range(len(W)):
        g = gradient[i] + decay * W[i]
        m = mean[i] + new_mean * (g - mean[i])
        v = square[i] + new_square * (g * g - square[i])
        mean[i], square[i] = m if abs(m) > tiny else 0, v if v > tiny else 0
        W[i] -= rate * mean[i] / (math.sqrt(square[i]) * scale + eps)


@_entry
def train_network(W, mean, square, steps, learning_rate, decay, layers, images, labels, order, batch, unit, s):
    """One epoch of one network that has made so many steps; the mean loss."""
    loss, kind = 0.0, W.dtype.type
    for first in range(0, len(order), batch):
        chosen = order[first : first + batch]
        _unpack(images, labels, chosen, unit, s)
        _forward(W, layers, len(chosen), s)
        loss += _loss(layers, len(chosen), s)
        _backward(W, layers, len(chosen), s)
        steps += 1
        rate, scale = learning_rate / (1 - 0.9**steps), 1 / math.sqrt(1 - 0.999**steps)
        _adam(W, mean, square, s.gradient, kind(rate), kind(scale), kind(decay))
    return loss / len(order)


@_entry
def evaluate_network(W, layers, images, labels, unit, s, active):
    """The number of images in the right class; neurons above zero on any of them are marked in ``active``."""
    correct = 0
    for first in range(0, len(labels), TEST_BLOCK):
        chosen = np.arange(first, min(first + TEST_BLOCK, len(labels)), dtype=np.int32)
        _unpack(images, labels, chosen, unit, s)
        _forward(W, layers, len(chosen), s)
        for b in range(len(chosen)):
            logits = layers[-1, VALUES] + b * layers[-1, WIDTH]
            correct += s.values[logits : logits + layers[-1, OUT]].argmax() == s.images[b, 2]
            neuron = 0
            for layer in range(len(layers) - 1):
                i = layers[layer, VALUES] + b * layers[layer, WIDTH]
                for n in range(layers[layer, OUT]):
                    active[neuron] |= s.values[i + n] > 0
                    neuron += 1
    return correct
