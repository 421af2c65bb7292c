"""The compiled kernel of :class:`pigmm.fast.FastStack`: one epoch of one plain network, on one core.

What makes it fast:

- Most pixels are background, x = −1.  With v = x + 1 = 2p/levels, W x = W v − Σ_j W_j and dW = Σ d vᵀ − (Σ d) 1ᵀ
  exactly, so only pixels p > 0 are visited, 150 of 784 in MNIST.  Images are packed once as records of such pixels.
- A weight matrix lies in panels of LANES neurons.  A panel has one line for each input, with the weights that lead from
  it to these neurons: as many numbers as a processor handles at once.  A record adds its line times v to a register.
  With AVX-512 a record, or a number of another factor, is read once for two panels.
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
from llvmlite.binding import get_host_cpu_features
from numba import types
from numba.extending import intrinsic, models, register_model
from numpy.typing import NDArray

__all__ = ["LANES", "PackedImages", "Scratch", "evaluate_network", "fill_records", "train_network"]

LANES = 16  # numbers handled at once: one register with AVX-512, two with AVX2; a multiple of 8
TEST_BLOCK = 200  # test images handled together
AHEAD = 4  # images whose records are asked for before their turn
TINY = 1e-30  # smaller moments become zero: they are nothing beside Adam's eps, and denormal numbers are slow
ALONE = (0,)  # the start of a single line whose place is given otherwise
TOGETHER = 2 if get_host_cpu_features().get("avx512f") else 1  # panels handled at once, so as to read the rest once
INTO, OUT, LINES, WIDTH, WEIGHTS, VALUES = range(6)  # columns of the table of layers, see FastStack._memory

_compiled = numba.njit(nogil=True, error_model="numpy", fastmath={"contract"})  # contract: a·b + c in one rounding
_entry = numba.njit(nogil=True, error_model="numpy", fastmath={"contract"}, cache=True)


# ---- a numba type for lines of LANES numbers in registers, and what can be done with them; no index is checked


class Lines(types.Type):
    """One line or several, each of LANES numbers of one dtype."""

    def __init__(self, dtype: Any, count: int) -> None:
        self.dtype, self.count = dtype, count
        super().__init__(f"Lines({dtype}, {count})")


@register_model(Lines)
class _LinesModel(models.PrimitiveModel):
    def __init__(self, manager: Any, lines: Any) -> None:
        line = ir.VectorType(manager.lookup(lines.dtype).get_value_type(), LANES)
        super().__init__(manager, lines, ir.ArrayType(line, lines.count))


def _address(context, builder, kind, array, at, target):
    """Where array[at] is: a pointer to something of the LLVM type ``target``."""
    data = context.make_array(kind)(context, builder, array).data
    return builder.bitcast(builder.gep(data, [at]), target.as_pointer())


def _each(lines, make):
    """Code for ``lines``, where ``make(context, builder, args, k)`` writes that for line k."""

    def generate(context, builder, signature, args):
        result = ir.Constant(context.get_value_type(lines), ir.Undefined)
        for k in range(lines.count):
            result = builder.insert_value(result, make(context, builder, args, k), k)
        return result

    return generate


@intrinsic
def _item(typing, array, at):
    """array[at]"""

    def generate(context, builder, signature, args):
        return builder.load(_address(context, builder, array, args[0], args[1], context.get_value_type(array.dtype)))

    return array.dtype(array, types.intp), generate


@intrinsic
def _zero(typing, array, starts):
    """Zeros of the dtype of the array, one line for each of the ``starts``"""
    lines = Lines(array.dtype, len(starts))
    return lines(array, starts), lambda context, *_: ir.Constant(context.get_value_type(lines), None)


@intrinsic
def _load(typing, array, starts, at):
    """array[start + at : start + at + LANES] for each of the ``starts``"""
    lines = Lines(array.dtype, len(starts))

    def line(context, builder, args, k):
        place = builder.add(builder.extract_value(args[1], k), args[2])
        kind = context.get_value_type(lines).element
        return builder.load(_address(context, builder, array, args[0], place, kind), align=array.dtype.bitwidth // 8)

    return lines(array, starts, types.intp), _each(lines, line)


@intrinsic
def _store(typing, array, starts, at, lines):
    """array[start + at : start + at + LANES] = line, for each of the ``starts`` and ``lines``"""

    def generate(context, builder, signature, args):
        for k in range(lines.count):
            line, place = builder.extract_value(args[3], k), builder.add(builder.extract_value(args[1], k), args[2])
            address = _address(context, builder, array, args[0], place, line.type)
            builder.store(line, address, align=array.dtype.bitwidth // 8)
        return context.get_dummy_value()

    return types.void(array, starts, types.intp, lines), generate


@intrinsic
def _column(typing, array, at):
    """array[at : at + LANES**2 : LANES], one number from each of LANES lines"""
    lines = Lines(array.dtype, 1)

    def line(context, builder, args, _):
        column = ir.Constant(context.get_value_type(lines).element, ir.Undefined)
        for k in range(LANES):
            at = builder.add(args[1], args[1].type(k * LANES))
            number = builder.load(_address(context, builder, array, args[0], at, column.type.element))
            column = builder.insert_element(column, number, ir.IntType(32)(k))
        return column

    return lines(array, types.intp), _each(lines, line)


@intrinsic
def _plus(typing, total, factor, lines):
    """total + factor · lines, with a number as factor; in one rounding where the processor can"""

    def line(context, builder, args, k):
        total, line, flags = builder.extract_value(args[0], k), builder.extract_value(args[2], k), ["contract"]
        empty = ir.Constant(line.type, ir.Undefined)
        first = builder.insert_element(empty, args[1], ir.IntType(32)(0))
        factor = builder.shuffle_vector(first, empty, ir.Constant(ir.VectorType(ir.IntType(32), LANES), None))
        return builder.fadd(total, builder.fmul(factor, line, flags=flags), flags=flags)

    return total(total, total.dtype, lines), _each(total, line)


@intrinsic
def _gate(typing, sign, lines):
    """lines where sign > 0, else 0; what is not a number in ``sign`` opens the gate too, so as to be noticed"""

    def line(context, builder, args, k):
        sign, line = builder.extract_value(args[0], k), builder.extract_value(args[1], k)
        zero = ir.Constant(line.type, None)
        return builder.select(builder.fcmp_ordered("<=", sign, zero), zero, line)

    return lines(sign, lines), _each(lines, line)


@intrinsic
def _ask(typing, array, at):
    """Let the cache fetch array[at], for later."""

    def generate(context, builder, signature, args):
        address, number = _address(context, builder, array, args[0], args[1], ir.IntType(8)), ir.IntType(32)
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
def _pair(j, width):
    """Whether the panel of neuron j is handled together with the next one."""
    return TOGETHER == 2 and j + LANES < width


@_compiled
def _product(A, a, down, right, B, b, step, C, c, stride, rows, depth):
    """C[r] = Σ_k A[r, k] B[k] with lines of LANES numbers in B and C, for eight rows at a time.

    A[r, k] is at a + r down + k right, the line B[k] at b + k step, the line C[r] at c + r stride; the tuples ``b`` and
    ``c`` have one number for each panel of B.
    """
    zero = _zero(C, c)
    for r in range(0, rows, 8):
        t0 = t1 = t2 = t3 = t4 = t5 = t6 = t7 = zero
        for k in range(depth):
            line, i = _load(B, b, k * step), a + r * down + k * right
            t0 = _plus(t0, _item(A, i), line)
            t1 = _plus(t1, _item(A, i + down), line)
            t2 = _plus(t2, _item(A, i + 2 * down), line)
            t3 = _plus(t3, _item(A, i + 3 * down), line)
            t4 = _plus(t4, _item(A, i + 4 * down), line)
            t5 = _plus(t5, _item(A, i + 5 * down), line)
            t6 = _plus(t6, _item(A, i + 6 * down), line)
            t7 = _plus(t7, _item(A, i + 7 * down), line)
        i = r * stride
        _store(C, c, i, t0)
        _store(C, c, i + stride, t1)
        _store(C, c, i + 2 * stride, t2)
        _store(C, c, i + 3 * stride, t3)
        _store(C, c, i + 4 * stride, t4)
        _store(C, c, i + 5 * stride, t5)
        _store(C, c, i + 6 * stride, t6)
        _store(C, c, i + 7 * stride, t7)


@_compiled
def _first_values(W, panels, neurons, width, lines, batch, s):
    """What goes into the neurons of some panels of the first layer.

    The tuple ``panels`` says where the panels start, ``neurons`` where their neurons stand in the values of an image.
    """
    t0 = t1 = t2 = t3 = zero = _zero(W, panels)
    for p in range(0, lines * LANES, 4 * LANES):
        t0 = _plus(t0, -1, _load(W, panels, p))
        t1 = _plus(t1, -1, _load(W, panels, p + LANES))
        t2 = _plus(t2, -1, _load(W, panels, p + 2 * LANES))
        t3 = _plus(t3, -1, _load(W, panels, p + 3 * LANES))
    background = _plus(_plus(t0, 1, t1), 1, _plus(t2, 1, t3))
    for b in range(batch):
        t0, t1, t2, t3 = background, zero, zero, zero  # four sums: none has to wait for another
        for k in range(s.images[b, 3], s.images[b + 1, 3], 4):
            t0 = _plus(t0, _item(s.grey, k), _load(W, panels, _item(s.lines, k)))
            t1 = _plus(t1, _item(s.grey, k + 1), _load(W, panels, _item(s.lines, k + 1)))
            t2 = _plus(t2, _item(s.grey, k + 2), _load(W, panels, _item(s.lines, k + 2)))
            t3 = _plus(t3, _item(s.grey, k + 3), _load(W, panels, _item(s.lines, k + 3)))
        _store(s.values, neurons, b * width, _plus(_plus(t0, 1, t1), 1, _plus(t2, 1, t3)))


@_compiled
def _first_gradient(gradient, panels, neurons, width, into, batch, s):
    """The gradient of these panels of the first layer; for the tuples see :func:`_first_values`."""
    sums = _zero(gradient, panels)
    for b in range(batch):
        sums = _plus(sums, -1, _load(s.deltas, neurons, b * width))
    for p in range(0, into * LANES, LANES):
        _store(gradient, panels, p, sums)
    for b in range(batch):
        delta = _load(s.deltas, neurons, b * width)
        for k in range(s.images[b, 3], s.images[b + 1, 3], 4):
            p = _item(s.lines, k)
            q = _item(s.lines, k + 1)
            t = _item(s.lines, k + 2)
            u = _item(s.lines, k + 3)
            _store(gradient, panels, p, _plus(_load(gradient, panels, p), _item(s.grey, k), delta))
            _store(gradient, panels, q, _plus(_load(gradient, panels, q), _item(s.grey, k + 1), delta))
            _store(gradient, panels, t, _plus(_load(gradient, panels, t), _item(s.grey, k + 2), delta))
            _store(gradient, panels, u, _plus(_load(gradient, panels, u), _item(s.grey, k + 3), delta))


@_compiled
def _forward(W, layers, batch, s):
    """Values of all layers, the logits last; a batch is filled up to a multiple of eight with what nobody reads."""
    count, width, lines = -(-batch // 8) * 8, layers[0, WIDTH], layers[0, LINES]
    for j in range(0, width, TOGETHER * LANES):
        p, q = layers[0, WEIGHTS] + j * lines, layers[0, WEIGHTS] + (j + LANES) * lines
        if _pair(j, width):
            _first_values(W, (p, q), (j, j + LANES), width, lines, batch, s)
        else:
            _first_values(W, (p,), (j,), width, lines, batch, s)
    for layer in range(1, len(layers)):
        below, start, width = layers[layer, LINES], layers[layer - 1, VALUES], layers[layer, WIDTH]
        into, here, weights = layers[layer, INTO], layers[layer, VALUES], layers[layer, WEIGHTS]
        for i in range(start, start + count * below, LANES):
            _store(s.values, ALONE, i, _gate(_load(s.values, ALONE, i), _load(s.values, ALONE, i)))
        for j in range(0, width, TOGETHER * LANES):
            p, q, n, m = weights + j * below, weights + (j + LANES) * below, here + j, here + j + LANES
            if _pair(j, width):
                _product(s.values, start, below, 1, W, (p, q), LANES, s.values, (n, m), width, count, into)
            else:
                _product(s.values, start, below, 1, W, (p,), LANES, s.values, (n,), width, count, into)


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
    deltas[batch * width :] = 0  # of no image; exp would let them grow from batch to batch
    return loss


@_compiled
def _backward(W, layers, batch, s):
    """The gradient, from the derivatives with respect to the logits downwards."""
    count = -(-batch // 8) * 8
    for layer in range(len(layers) - 1, 0, -1):
        below, start, out = layers[layer, LINES], layers[layer - 1, VALUES], layers[layer, OUT]
        width, here, weights = layers[layer, WIDTH], layers[layer, VALUES], layers[layer, WEIGHTS]
        for j in range(0, width, TOGETHER * LANES):
            p, q, n, m = weights + j * below, weights + (j + LANES) * below, here + j, here + j + LANES
            if _pair(j, width):
                _product(s.values, start, 1, below, s.deltas, (n, m), width, s.gradient, (p, q), LANES, below, batch)
            else:
                _product(s.values, start, 1, below, s.deltas, (n,), width, s.gradient, (p,), LANES, below, batch)
        for i in range(0, below, TOGETHER * LANES):
            n, m, second = start + i, start + i + LANES, out * LANES
            for o in range(out):
                p = weights + (o // LANES * below + i) * LANES + o % LANES
                _store(s.turned, ALONE, o * LANES, _column(W, p))
                if _pair(i, below):
                    _store(s.turned, ALONE, o * LANES + second, _column(W, p + LANES**2))
            if _pair(i, below):
                _product(s.deltas, here, width, 1, s.turned, (0, second), LANES, s.deltas, (n, m), below, count, out)
            else:
                _product(s.deltas, here, width, 1, s.turned, (0,), LANES, s.deltas, (n,), below, count, out)
        for i in range(start, start + count * below, LANES):
            _store(s.deltas, ALONE, i, _gate(_load(s.values, ALONE, i), _load(s.deltas, ALONE, i)))
    width, lines, into = layers[0, WIDTH], layers[0, LINES], layers[0, INTO]
    for j in range(0, width, TOGETHER * LANES):
        p, q = layers[0, WEIGHTS] + j * lines, layers[0, WEIGHTS] + (j + LANES) * lines
        if _pair(j, width):
            _first_gradient(s.gradient, (p, q), (j, j + LANES), width, into, batch, s)
        else:
            _first_gradient(s.gradient, (p,), (j,), width, into, batch, s)


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
