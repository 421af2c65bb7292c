r"""Transplanting matrices: permutations that match two networks, randomisations of a matrix, and what bits they carry.

A network is a list of matrices (out, in), the input layer first; it computes :math:`h_1 = \mathrm{relu}(W_0 x)`,
:math:`h_{l+1} = \mathrm{relu}(W_l h_l)` and logits :math:`W_L h_L`.  Renumbering the neurons of hidden layers changes
the matrices and not the function, so before two networks are compared, one may be renumbered to look like the other.
Each step of that is a linear assignment problem, solved exactly by :func:`scipy.optimize.linear_sum_assignment`; steps
alternate until nothing improves (a local optimum).  The method is that of Ainsworth, Hayase and Srinivasa (2023) and,
with activations in place of weights, of Li et al. (2016).

An *order* is an array of indices: neuron i of the renumbered layer is neuron ``order[i]`` of the given one.
"""

from __future__ import annotations

import math
from collections.abc import Sequence

import numpy as np
from numpy.typing import ArrayLike, NDArray
from scipy import optimize, special

from .errors import PigmmError
from .irreps import Array, as_matrices
from .laws import MatrixLaw

__all__ = [
    "accuracy", "align_activations", "align_weights", "chance", "copy_information", "entrywise", "fit_readout",
    "hidden", "match_activations", "match_matrix", "match_network", "random_overlap", "renumbered", "rotated",
    "shuffled", "similarity",
]  # fmt: skip

Order = NDArray[np.intp]
Network = Sequence[NDArray]


# ---- what a network computes


def hidden(weights: Network, values: NDArray) -> NDArray:
    """relu(W h) for one matrix after the other; ``values`` and the result are (neurons, images)."""
    for W in weights:
        values = W @ values
        np.maximum(values, 0, out=values)
    return values


def accuracy(weights: Network, values: NDArray, labels: NDArray[np.int64]) -> float:
    """Share of images with the largest logit at their label; ``values`` (neurons, images) go into the first matrix.

    Equal logits count for the first of them, as in training: a silent network answers 0 to everything.

    Examples
    --------
    >>> accuracy([np.eye(3), np.eye(3)], np.eye(3), np.array([0, 1, 1])).__round__(3)
    0.667
    """
    logits = weights[-1] @ hidden(weights[:-1], values)
    return float((logits.argmax(axis=0) == labels).mean())


def chance(labels: ArrayLike) -> tuple[float, float]:
    """Accuracy of guesses that follow the frequencies of the labels, and that of always the most frequent one.

    Examples
    --------
    >>> chance([0, 0, 1, 2])
    (0.375, 0.5)
    """
    share = np.bincount(np.asarray(labels)) / np.size(labels)
    return float(share @ share), float(share.max())


def fit_readout(features: ArrayLike, labels: NDArray[np.int64], classes: int, penalty: float = 1e-4) -> Array:
    r"""Multinomial logistic regression without intercept: a last layer (classes, neurons) for fixed features.

    Minimises the mean of :math:`-\log\mathrm{softmax}(Vh)_{label}` plus penalty/2 times the squares of V, features
    scaled to root mean square one for each neuron.  Convex; solved by L-BFGS.

    Parameters
    ----------
    features : array, (neurons, images)
    labels : array, (images,)
    classes : number of classes
    penalty : strength of the L2 penalty, positive

    Examples
    --------
    >>> h = np.abs(np.random.default_rng(0).normal(size=(3, 300)))
    >>> accuracy([fit_readout(h, h.argmax(axis=0), 3)], h, h.argmax(axis=0)) > 0.95
    True
    """
    H = np.asarray(features, dtype=np.float64)
    labels = np.asarray(labels)
    if H.ndim != 2 or H.shape[1] != len(labels) or not np.isfinite(H).all():
        raise PigmmError.of("features", got=f"shape {H.shape}", allowed="finite numbers, (neurons, images)")
    if not penalty > 0:
        raise PigmmError.of("penalty", got=penalty, allowed="a positive number")
    size = np.sqrt((H * H).mean(axis=1))
    scale = np.where(size > 0, size, 1.0)
    H = H / scale[:, None]
    n, images = len(labels), np.arange(len(labels))

    def loss(x: Array) -> tuple[float, Array]:
        V = x.reshape(classes, -1)
        logits = V @ H
        logits -= logits.max(axis=0)
        p = np.exp(logits)
        total = p.sum(axis=0)
        value = (np.log(total) - logits[labels, images]).mean() + 0.5 * penalty * float(x @ x)
        p /= total
        p[labels, images] -= 1
        return float(value), (p @ H.T / n).ravel() + penalty * x

    start = np.zeros(classes * len(H))
    found = optimize.minimize(loss, start, jac=True, method="L-BFGS-B", options={"maxiter": 300, "gtol": 1e-4})
    V: Array = found.x.reshape(classes, -1) / scale
    return V


# ---- renumbering


def match_matrix(
    A: ArrayLike, B: ArrayLike, *, rows: bool = True, columns: bool = True, restarts: int = 8, seed: int = 0
) -> tuple[Order, Order]:
    r"""Orders of rows and columns that bring B close to A: maximise :math:`\sum_{ij} A_{ij} B_{p(i) q(j)}`.

    Rows and columns are assigned in turn, each exactly, from ``restarts`` beginnings; the best end is kept.  With one
    side alone (``rows`` or ``columns`` False) the result is exact and needs no restart.

    Examples
    --------
    >>> A = np.random.default_rng(0).normal(size=(6, 6))
    >>> B = A[[2, 0, 1, 5, 4, 3]][:, [1, 0, 3, 2, 5, 4]]
    >>> p, q = match_matrix(A, B)
    >>> bool((B[p][:, q] == A).all())
    True
    """
    a, b = as_matrices(A)[0], as_matrices(B)[0]
    if a.shape != b.shape:
        raise PigmmError.of("B", got=f"shape {b.shape}", allowed=f"the shape of A, {a.shape}")
    if isinstance(restarts, bool) or not isinstance(restarts, int) or restarts < 1:
        raise PigmmError.of("restarts", got=restarts, allowed="an integer of at least 1")
    rng = np.random.default_rng(seed)
    best, found = -math.inf, (np.arange(len(a)), np.arange(a.shape[1]))
    for attempt in range(restarts if rows and columns else 1):
        p, q = np.arange(len(a)), np.arange(a.shape[1])
        if attempt:
            q = rng.permutation(q)
        last = -math.inf
        while True:
            if rows:
                p = _assign(a @ b[:, q].T)
            if columns:
                q = _assign(a.T @ b[p])
            value = float((a * b[p][:, q]).sum())
            if value <= last + 1e-12 * abs(value) or not (rows and columns):
                break
            last = value
        if value > best:
            best, found = value, (p, q)
    return found


def match_network(A: Network, B: Network) -> list[Order]:
    """One order for each hidden layer that brings all matrices of B close to those of A together.

    A neuron is assigned by the weights on both its sides.  The first guess goes from the input upwards, by incoming
    weights alone; then layers are assigned anew, one after the other, until the sum of products stops growing.
    """
    depth = len(A) - 1
    given = A[0] @ B[0].T  # inputs carry labels: this part never changes
    orders: list[Order] = []
    for layer in range(depth):
        orders.append(_assign(given if layer == 0 else A[layer] @ B[layer][:, orders[-1]].T))
    last = -math.inf
    while True:
        for layer in range(depth):
            into = given if layer == 0 else A[layer] @ B[layer][:, orders[layer - 1]].T
            above = B[layer + 1] if layer == depth - 1 else B[layer + 1][orders[layer + 1]]
            orders[layer] = _assign(into + A[layer + 1].T @ above)
        value = float(given[np.arange(len(given)), orders[0]].sum())
        for layer in range(depth):
            turned = B[layer + 1][:, orders[layer]]
            value += float((A[layer + 1] * (turned if layer == depth - 1 else turned[orders[layer + 1]])).sum())
        if value <= last + 1e-9 * abs(value):
            return orders
        last = value


def match_activations(X: ArrayLike, Y: ArrayLike) -> Order:
    """Order of the neurons of Y in which they correlate most with those of X; both are (neurons, images).

    A neuron that is the same for all images correlates with none.

    Examples
    --------
    >>> X = np.random.default_rng(0).normal(size=(4, 50))
    >>> match_activations(X, 3 * X[[2, 0, 3, 1]] + 1)
    array([1, 3, 0, 2])
    """
    return _assign(_standardised(np.asarray(X)) @ _standardised(np.asarray(Y)).T)


def _standardised(X: NDArray) -> Array:
    centred = X - X.mean(axis=1, keepdims=True, dtype=np.float64)
    size = np.sqrt((centred * centred).sum(axis=1, keepdims=True))
    return np.divide(centred, size, out=np.zeros_like(centred), where=size > 1e-9 * np.abs(X).max(initial=0))


def _assign(score: NDArray) -> Order:
    """The order that makes the sum of score[i, order[i]] largest."""
    order: Order = optimize.linear_sum_assignment(score, maximize=True)[1]
    return order


def renumbered(tail: Network, orders: Sequence[Order]) -> list[NDArray]:
    """The matrices behind the input layer after the hidden layers were renumbered, one order for each hidden layer.

    Of one network, or of many: matrices (R, M, N) with orders (R, neurons).

    Examples
    --------
    >>> [W.tolist() for W in renumbered([np.array([[1, 2], [3, 4]]), np.array([[5, 6]])], [np.array([1, 0])] * 2)]
    [[[4, 3], [2, 1]], [[6, 5]]]
    """
    result = []
    for k, W in enumerate(tail):
        turned = np.take_along_axis(W, orders[k][..., None, :], axis=-1)
        if k + 1 < len(orders):
            turned = np.take_along_axis(turned, orders[k + 1][..., :, None], axis=-2)
        result.append(turned)
    return result


def align_weights(matrices: Network, reference: int, rounds: int = 3) -> list[Order]:
    """Orders (R, neurons) that bring whole networks close to a common one, by :func:`match_network`.

    The common one is network ``reference`` in the first round, later the mean of the aligned networks.

    Parameters
    ----------
    matrices : every matrix of all networks, (R, out, in), the input layer first
    """
    target: list[NDArray] = [W[reference] for W in matrices]
    for _ in range(rounds):
        found = [match_network(target, [W[r] for W in matrices]) for r in range(len(matrices[0]))]
        orders = [np.array(layer) for layer in zip(*found, strict=True)]
        first = np.take_along_axis(matrices[0], orders[0][..., None], axis=-2)
        target = [W.mean(axis=0) for W in (first, *renumbered(matrices[1:], orders))]
    return orders


def align_activations(features: Network, reference: int, rounds: int = 3) -> list[Order]:
    """Orders (R, neurons) that bring the activations of all networks close to common ones, layer by layer.

    Parameters
    ----------
    features : activations of each hidden layer, (R, neurons, images)
    reference : network whose activations are common in the first round; later it is their mean over networks
    """
    orders = []
    for layer in features:
        scaled = np.array([_standardised(X) for X in layer])
        target = scaled[reference]
        for _ in range(rounds):
            found = np.array([_assign(target @ X.T) for X in scaled])
            target = np.take_along_axis(scaled, found[..., None], axis=1).mean(axis=0)
        orders.append(found)
    return orders


# ---- what else may stand in a matrix's place


def shuffled(W: ArrayLike, seed: int = 0) -> Array:
    """The entries of each matrix in random places."""
    batch = as_matrices(W)
    flat = np.random.default_rng(seed).permuted(batch.reshape(len(batch), -1), axis=1)
    result: Array = flat.reshape(batch.shape)
    return result


def rotated(W: ArrayLike, seed: int = 0) -> Array:
    """Matrices with the singular values of each W and singular vectors drawn from the uniform (Haar) law.

    Examples
    --------
    >>> W = np.random.default_rng(0).normal(size=(2, 3, 5))
    >>> bool(np.allclose(np.linalg.svd(rotated(W), compute_uv=False), np.linalg.svd(W, compute_uv=False)))
    True
    """
    batch = as_matrices(W)
    rng = np.random.default_rng(seed)

    def turned(side: int) -> Array:  # QR of normal numbers, with the signs that make it Haar
        Q, R = np.linalg.qr(rng.standard_normal((len(batch), side, side)))
        signed: Array = Q * np.sign(np.diagonal(R, axis1=1, axis2=2))[:, None, :]
        return signed

    result: Array = turned(batch.shape[1]) @ batch @ turned(batch.shape[2])
    return result


def entrywise(W: ArrayLike) -> tuple[Array, Array]:
    """Mean and standard deviation of every entry over all *other* matrices of the batch, each (R, M, N).

    Examples
    --------
    >>> mean, sd = entrywise(np.array([[[0.0]], [[1.0]], [[3.0]]]))
    >>> mean.ravel(), sd.ravel()
    (array([2. , 1.5, 0.5]), array([1. , 1.5, 0.5]))
    """
    batch = as_matrices(W, min_runs=3)
    R = len(batch)
    mean = batch.mean(axis=0)
    left = (batch - mean) / (R - 1)  # what a matrix adds to the mean of all, R/(R-1) times
    others = mean - left
    squares = ((batch - mean) ** 2).mean(axis=0) * R - (batch - mean) ** 2 * R / (R - 1)
    return others, np.sqrt(np.maximum(squares, 0) / (R - 1))


# ---- how alike two batches of matrices are


def similarity(A: ArrayLike, B: ArrayLike) -> dict[str, Array]:
    """How alike the matrices of two batches are, pair by pair: arrays (R,).

    ``distance``: norm of A - B over that of A; ``correlation``: of the entries; ``left``, ``right``: |cosine| between
    the singular vectors of the largest singular values, to compare with :func:`random_overlap`.  A matrix whose entries
    are all equal has no correlation (0), one of zeros no direction (0).

    Examples
    --------
    >>> A = np.random.default_rng(0).normal(size=(1, 4, 4))
    >>> {name: round(float(x[0]), 6) for name, x in similarity(A, -A).items()}
    {'distance': 2.0, 'correlation': -1.0, 'left': 1.0, 'right': 1.0}
    """
    own, new = as_matrices(A), as_matrices(B)
    if own.shape != new.shape:
        raise PigmmError.of("B", got=f"shape {new.shape}", allowed=f"the shape of A, {own.shape}")
    a, b = (_standardised(x.reshape(len(x), -1)) for x in (own, new))
    sides = [np.linalg.svd(x) for x in (own, new)]
    vectors = [(s.U[:, :, 0] * (s.S[:, :1] > 0), s.Vh[:, 0] * (s.S[:, :1] > 0)) for s in sides]
    gap, norm = (np.linalg.norm(x, axis=(1, 2)) for x in (own - new, own))
    return {
        "distance": np.divide(gap, norm, out=np.full(len(own), np.inf), where=norm > 0),
        "correlation": (a * b).sum(axis=1),
        **{side: np.abs((vectors[0][k] * vectors[1][k]).sum(axis=1)) for k, side in enumerate(("left", "right"))},
    }


def random_overlap(n: int) -> float:
    r"""Mean of \|u·v\| for a fixed and a uniformly random unit vector of n dimensions: Γ(n/2) / (√π Γ((n+1)/2)).

    Examples
    --------
    >>> round(random_overlap(2) * math.pi / 2, 12), round(random_overlap(10), 4)
    (1.0, 0.2587)
    """
    return float(np.exp(special.gammaln(n / 2) - special.gammaln((n + 1) / 2)) / math.sqrt(math.pi))


# ---- how much there is to know


def copy_information(law: MatrixLaw, noise: float) -> float:
    r"""Bits that a noisy copy of a matrix of a Gaussian law contains about the matrix.

    The mutual information of W and W + noise N, N of independent standard normal entries: with :math:`\lambda_k` the
    variances of the law's coordinates, :math:`\tfrac12 \sum_k \log_2 (1 + \lambda_k / \text{noise}^2)` (Shannon's
    formula).  For a non-Gaussian law of the same second moments it is no more than that.

    Parameters
    ----------
    law : a Gaussian law
    noise : standard deviation of the noise on each entry, positive

    Examples
    --------
    >>> from pigmm import SimpleGaussian
    >>> copy_information(SimpleGaussian(0.0, 3.0, (10, 10)), 1.0)          # one bit an entry
    100.0
    """
    if isinstance(noise, bool) or not isinstance(noise, float | int) or not 0 < noise < math.inf:
        raise PigmmError.of("noise", got=noise, allowed="a positive number")
    return sum(
        0.5 * block.dim * float(np.linalg.slogdet(np.eye(len(C)) + C / noise**2)[1]) / math.log(2)
        for (_, C), block in zip(law.blocks(), law.decomposition.blocks, strict=True)
    )
