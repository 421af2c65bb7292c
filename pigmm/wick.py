r"""Exact expectation of any invariant under a permutation-invariant Gaussian law (Wick's theorem).

For a Gaussian matrix an expectation of a product is a sum over partial matchings of the factors: a single factor gives
its mean, a pair its covariance.  Under permutation invariance both are sums of Kronecker deltas,

.. math:: \langle W_{ij} \rangle = a + b\,\delta_{ij}, \qquad
   \mathrm{Cov}(W_{ij}, W_{kl}) = \sum_{P} c_P\, \delta_P(i, j, k, l),

with P over the 15 set partitions of four indices, in 11 classes of equal coefficient.  In the graph of an invariant
a delta merges nodes, and each node that is left at the end gives a factor D.  Hence *deletion and contraction*: with
e the first edge of G,

.. math:: E[G] = a\,E[G - e] + b\,E[(G - e)/e] + \sum_{f \ne e} \sum_P c_P\, E[(G - e - f)/P].

Run once on symbols this makes each expectation a polynomial with integer coefficients in (a, b, c_1 … c_11, D),
remembered for the smaller graphs; a prediction is then one small matrix product, its derivative another.
References: arXiv:1809.07559 (the model), arXiv:2510.05218 (the parameters' order).
"""

from __future__ import annotations

import math
from collections.abc import Iterable
from functools import lru_cache
from typing import Any

import numpy as np
from numpy.typing import ArrayLike, NDArray

from pigmm.errors import PigmmError
from pigmm.graphs import InvariantGraph, as_graphs, name_of

__all__ = ["CLASSES", "coefficients", "expectation", "jacobian", "predict"]

Array = NDArray[np.float64]
Graphs = InvariantGraph | str | Iterable[InvariantGraph | str]

CLASSES: tuple[tuple[str, ...], ...] = (
    ("0000",),
    ("0001", "0100"),
    ("0010", "0111"),
    ("0011",),
    ("0012", "0122"),
    ("0101",),
    ("0102",),
    ("0110",),
    ("0112", "0120"),
    ("0121",),
    ("0123",),
)
"""The 15 set partitions of (i, j, k, l) as restricted-growth strings, in 11 classes that share a coefficient."""

_PARTITIONS = [(2 + c, tuple(map(int, p))) for c, members in enumerate(CLASSES) for p in members]


# --- the law: from f1 … f13 to a, b, c_1 … c_11, which is linear ------------------------------------------------------


@lru_cache(maxsize=64)
def _linear_map(dim: int) -> Array:
    """The 13×13 matrix L with (a, b, c_1 … c_11) = L f."""
    D, k, w = dim, math.sqrt(dim - 2), math.sqrt(dim - 1)
    f1, f2, S00, S01, S11, T11, T12, T13, T22, T23, T33, f12, f13 = np.eye(13)
    U = T33 - f12
    Y = T33 / (D * (D - 2)) - f12 / (2 * (D - 2))
    V = f12 / ((D - 1) * (D - 2))
    corner = S00 - 2 * S01 / w + S11 / (D - 1) - T11 - 2 * T12 - T22 + 4 * (T13 + T23) / k - 4 * T33 / (D - 2)
    return np.array(
        [
            f1 / D - f2 / (D * w),
            f2 / w,
            D * U / (D - 2),
            T23 / k - U / (D - 2),
            T13 / k - U / (D - 2),
            S11 / (D - 1) - T33 / (D - 2) + V,
            S01 / (D * w) - S11 / (D * (D - 1)) - (T13 + T23) / (D * k) + 2 * T33 / (D * (D - 2)) - V,
            (f12 + f13) / 2,
            T22 / D - 2 * T23 / (D * k) + Y - f13 / (2 * D),
            (f12 - f13) / 2,
            T12 / D - (T13 + T23) / (D * k) + Y + f13 / (2 * D),
            T11 / D - 2 * T13 / (D * k) + Y - f13 / (2 * D),
            corner / D**2 + V,
        ]
    )


def coefficients(parameters: ArrayLike, dim: int) -> Array:
    r"""Mean and covariance of the matrix entries as coefficients of Kronecker deltas.

    Parameters
    ----------
    parameters : array_like, shape (..., 13)
        f1 … f13 in the order of the paper.
    dim : int
        D ≥ 4.

    Returns
    -------
    ndarray, shape (..., 13)
        a, b and the c_P of the classes in the order of :data:`CLASSES`:
        0000; 0001, 0100; 0010, 0111; 0011; 0012, 0122; 0101; 0102; 0110; 0112, 0120; 0121; 0123.
        The string 0112 stands for δ_jk, that is, positions with equal digits have equal indices;
        different digits may coincide.

    Raises
    ------
    PigmmError
        If ``parameters`` are not finite or not 13, or ``dim`` is not an integer ≥ 4.

    Examples
    --------
    Independent entries of variance 2 have only Cov = 2 δ_ik δ_jl, the class 0101:

    >>> coefficients([0, 0, 2, 0, 2, 2, 0, 0, 2, 0, 2, 2, 2], 10).round(12) + 0
    array([0., 0., 0., 0., 0., 0., 0., 2., 0., 0., 0., 0., 0.])
    """
    f, dim = _law(parameters, dim)
    return f @ _linear_map(dim).T


def _law(parameters: ArrayLike, dim: int) -> tuple[Array, int]:
    try:
        f = np.asarray(parameters, dtype=np.float64)
    except (TypeError, ValueError):
        raise PigmmError.of("parameters", got=str(type(parameters)), allowed="numbers of shape (..., 13)") from None
    if f.ndim == 0 or f.shape[-1] != 13:
        raise PigmmError.of("parameters", got=f"shape {f.shape}", allowed="(..., 13): f1 … f13")
    if not np.isfinite(f).all():
        raise PigmmError.of("parameters", got=f"{f[~np.isfinite(f)][0]} among them", allowed="finite numbers")
    if not isinstance(dim, (int, np.integer)) or dim < 4:
        raise PigmmError.of("dim", got=dim, allowed="an integer of at least 4")
    return f, int(dim)


def _parameters_of(model: Any) -> tuple[Array, int]:
    """f1 … f13 and D of any law that has them or can be embedded by ``to_diagonal()``."""
    if hasattr(model, "to_diagonal"):
        model = model.to_diagonal()
    if not (hasattr(model, "parameters") and hasattr(model, "dim")):
        raise PigmmError.of(
            "model",
            got=type(model).__name__,
            allowed="GaussianMatrixModel, or SimpleGaussian and TwoSidedGaussian of square matrices",
        )
    f, dim = _law(model.parameters, model.dim)
    if f.ndim > 1:
        raise PigmmError.of("model", got=f"parameters of shape {f.shape}", allowed="(13,)", fix="Use predict for many.")
    return f, dim


# --- the symbols: polynomials as sorted integer keys ------------------------------------------------------------------
# A monomial a^p b^q c_1^r … D^s is one int64: four bits for each of the 13 exponents, from bit 52 on the power of D.
# Multiplying by a monomial adds its key.

_POWER_OF_D = 52
Polynomial = tuple[NDArray[np.int64], NDArray[np.int64]]  # keys, coefficients
_ONE: Polynomial = (np.zeros(1, np.int64), np.ones(1, np.int64))


def _variable(v: int) -> int:
    return 1 << (4 * v)


@lru_cache(maxsize=1 << 15)
def _expectation(name: str) -> Polynomial:
    """E[G] by deletion and contraction; G by its canonical name, the empty name standing for no edges."""
    if not name:
        return _ONE
    edges = InvariantGraph(name).edges
    (i, j), rest = edges[0], edges[1:]
    size = 1 + max(map(max, edges))
    terms = [_contract(rest, size, (), 0), _contract(rest, size, ((i, j),), 1)]
    for at, (k, m) in enumerate(rest):
        others = rest[:at] + rest[at + 1 :]
        for variable, partition in _PARTITIONS:
            ends = (i, j, k, m)
            merged = tuple((ends[partition.index(p)], ends[q]) for q, p in enumerate(partition))
            terms.append(_contract(others, size, merged, variable))
    keys, coefs = (np.concatenate(part) for part in zip(*terms, strict=True))
    keys, where = np.unique(keys, return_inverse=True)
    return keys, np.bincount(where, weights=coefs).astype(np.int64)


def _contract(edges: tuple, size: int, merged: tuple, variable: int) -> Polynomial:
    """The term variable · E[edges with some of the nodes 0 … size-1 merged]; nodes without edges are factors D."""
    node = list(range(size))
    for x, y in merged:
        keep, drop = node[x], node[y]
        node = [keep if n == drop else n for n in node]
    left = tuple((node[i], node[j]) for i, j in edges)
    isolated = len(set(node)) - len({n for e in left for n in e})
    keys, coefs = _expectation(name_of(left) if left else "")
    return keys + (_variable(variable) + (isolated << _POWER_OF_D)), coefs


@lru_cache(maxsize=16)
def _table(graphs: tuple[InvariantGraph, ...]) -> tuple[NDArray[np.intp], tuple[NDArray, ...]]:
    """Monomials as lists of factors (monomials, degree), padded with 13, and entries (graph, monomial, power, coef)."""
    highest = max(g.degree for g in graphs)
    if highest > 15:
        raise PigmmError.of("graphs", got=f"degree {highest}", allowed="at most 15")
    polynomials = [_expectation(g.name) for g in graphs]
    row = np.repeat(np.arange(len(graphs)), [len(keys) for keys, _ in polynomials])
    keys, coefs = (np.concatenate(part) for part in zip(*polynomials, strict=True))
    monomials, column = np.unique(keys & ((1 << _POWER_OF_D) - 1), return_inverse=True)
    exponents = monomials[:, None] >> (4 * np.arange(13)) & 15
    factors = np.full((len(monomials), highest), 13)
    for m, e in enumerate(exponents):
        factors[m, : e.sum()] = np.repeat(np.arange(13), e)
    return factors, (row, column, keys >> _POWER_OF_D, coefs)


@lru_cache(maxsize=32)
def _matrix(graphs: tuple[InvariantGraph, ...], dim: int) -> Array:
    """The (graphs, monomials) matrix at one D: E = matrix @ monomials."""
    factors, (row, column, power, coefs) = _table(graphs)
    matrix = np.zeros((len(graphs), len(factors)))
    np.add.at(matrix, (row, column), coefs * float(dim) ** power)
    return matrix


# --- predictions ------------------------------------------------------------------------------------------------------


def predict(graphs: Graphs, parameters: ArrayLike, dim: int) -> Array:
    r"""Exact expectations of invariants for many laws at once.

    Parameters
    ----------
    graphs : InvariantGraph, str, or an iterable of them
        n invariants; more nodes than D are allowed.
    parameters : array_like, shape (..., 13)
        f1 … f13 of each law.
    dim : int
        D ≥ 4.

    Returns
    -------
    ndarray, shape (..., n)

    Raises
    ------
    PigmmError
        For bad graphs, parameters or ``dim``, and when an expectation exceeds the largest float64.

    Notes
    -----
    The polynomials of the 348 cubic and quartic invariants are made once, in about 0.2 s; after that one law costs
    about 0.1 ms. The result is exact up to rounding, about 1e-13 of the largest term.

    Examples
    --------
    Two laws of independent entries with variances 1 and 2, and ⟨Σ W_ij²⟩ = D² σ²:

    >>> f = [0, 0, 1, 0, 1, 1, 0, 0, 1, 0, 1, 1, 1]
    >>> predict(["01.01", "01.10"], [f, [2 * x for x in f]], 10).round(9)
    array([[100.,  10.],
           [200.,  20.]])
    """
    graphs = as_graphs(graphs)
    f, dim = _law(parameters, dim)
    with np.errstate(over="ignore", invalid="ignore", under="ignore"):
        factors, _ = _table(graphs)
        symbols = _with_one(f @ _linear_map(dim).T)
        monomials = symbols[..., factors[:, 0]]
        for column in factors.T[1:]:
            monomials = monomials * symbols[..., column]
        return _finite(monomials @ _matrix(graphs, dim).T)


def expectation(graphs: Graphs, model: Any) -> Array:
    """Exact expectations of invariants under one law.

    Parameters
    ----------
    graphs : InvariantGraph, str, or an iterable of them
        n invariants.
    model : GaussianMatrixModel, or SimpleGaussian or TwoSidedGaussian of square matrices
        Anything with ``parameters`` (13,) and ``dim``, or with ``to_diagonal()`` that gives such a law.

    Returns
    -------
    ndarray, shape (n,)

    Raises
    ------
    PigmmError
        As :func:`predict`, and for any other kind of model.

    Examples
    --------
    >>> from types import SimpleNamespace
    >>> law = SimpleNamespace(parameters=[0, 0, 1, 0, 1, 1, 0, 0, 1, 0, 1, 1, 1], dim=10)
    >>> expectation(["I3", "01.01+01.01", "01.01.01.01"], law).round(9)
    array([  100., 10200.,   300.])
    """
    return predict(graphs, *_parameters_of(model))


def jacobian(graphs: Graphs, model: Any) -> Array:
    r"""Derivatives of the fitted model's expectations with respect to the averages it is fitted to.

    The fit turns the ensemble averages ⟨t⟩ of the 13 sufficient statistics into f1 … f13 (:math:`f_1 = \langle x_1
    \rangle`, :math:`f_3 = \langle x_1^2 \rangle - \langle x_1 \rangle^2` and so on); this is the chain rule through
    that map, :math:`J_{Gs} = \partial E_{\mathrm{fit}}[I_G] / \partial \langle t_s \rangle`. To first order
    ``measured - predicted`` is the mean over runs of ``I_G(W_r) - J_G · t_r``, which gives its standard error.

    Parameters
    ----------
    graphs, model
        As in :func:`expectation`.

    Returns
    -------
    ndarray, shape (n, 13)
        Columns in the order of :func:`pigmm.irreps.sufficient_statistics`.

    Raises
    ------
    PigmmError
        As :func:`expectation`.

    Examples
    --------
    ⟨(Σ W_ij)²⟩ = D² ⟨x1²⟩ is fitted exactly, so its only slope is D², in the third statistic:

    >>> from types import SimpleNamespace
    >>> law = SimpleNamespace(parameters=[3, 0, 1, 0, 1, 1, 0, 0, 1, 0, 1, 1, 1], dim=10)
    >>> jacobian("01+01", law).round(9)[0, :4] + 0
    array([  0.,   0., 100.,   0.])
    """
    graphs = as_graphs(graphs)
    f, dim = _parameters_of(model)
    fit = np.eye(13)  # df/d<t>
    fit[2, 0], fit[4, 1] = -2 * f[0], -2 * f[1]
    fit[3, :2] = -f[1], -f[0]
    with np.errstate(over="ignore", invalid="ignore", under="ignore"):
        factors, _ = _table(graphs)
        value = _with_one(_linear_map(dim) @ f)[factors]
        slope = np.zeros((len(factors), 14))  # of each monomial in (a, b, c_1 … c_11, 1): the product rule
        for s in range(factors.shape[1]):
            np.add.at(slope, (np.arange(len(factors)), factors[:, s]), np.delete(value, s, axis=1).prod(axis=1))
        return _finite(_matrix(graphs, dim) @ (slope[:, :13] @ _linear_map(dim) @ fit))


def _with_one(coefs: Array) -> Array:
    return np.concatenate([coefs, np.ones((*coefs.shape[:-1], 1))], axis=-1)


def _finite(values: Array) -> Array:
    if not np.isfinite(values).all():
        raise PigmmError.of("expectation", got="a value beyond float64", fix="Divide the matrices by a constant first.")
    return values
