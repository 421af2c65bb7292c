r"""Exact expectation of any invariant under a permutation-invariant Gaussian law (Wick's theorem).

Mean and covariance of the entries are sums of Kronecker deltas, for the two kinds of symmetry

.. math:: \langle W_{ij} \rangle = a + b\,\delta_{ij}, \qquad
   \mathrm{Cov}(W_{ij}, W_{kl}) = \sum_{P} c_P\, \delta_P(i, j, k, l)
   \qquad\text{and}\qquad
   \langle W_{ij} \rangle = m, \qquad
   \mathrm{Cov}(W_{ij}, W_{kl}) = p + q\,\delta_{ik} + r\,\delta_{jl} + s\,\delta_{ik}\delta_{jl},

with P over the 15 set partitions of four indices, in 11 classes of equal coefficient.  :mod:`pigmm.contraction` turns
each graph into a polynomial in these coefficients; a prediction is then one small matrix product, its derivative
another.  Laws with labelled rows have sums over their labels instead: :mod:`pigmm.labelled`.
References: arXiv:1809.07559 (the model), arXiv:2510.05218 (the parameters' order).
"""

from __future__ import annotations

import math
from collections.abc import Iterable
from functools import lru_cache
from typing import Any

import numpy as np
from numpy.typing import ArrayLike, NDArray
from scipy import sparse

from .contraction import CLASSES, DIAGONAL, TWO_SIDED, Rules, table
from .errors import PigmmError
from .graphs import InvariantGraph, as_graphs
from .laws import MatrixLaw
from .models import GaussianMatrixModel, LabelledRowGaussian, SimpleGaussian, TwoSidedGaussian

__all__ = ["CLASSES", "coefficients", "expectation", "jacobian", "predict"]

Array = NDArray[np.float64]
Graphs = InvariantGraph | str | Iterable[InvariantGraph | str]
Shape = tuple[int, int]


# --- the law: from its parameters to the coefficients of the deltas, which is linear ----------------------------------


@lru_cache(maxsize=64)
def _linear_map(rules: Rules, shape: Shape) -> Array:
    """The matrix L with (coefficients) = L (parameters): 13×13 or 5×5."""
    return _two_sided_map(*shape) if rules is TWO_SIDED else _diagonal_map(shape[0])


def _two_sided_map(M: int, N: int) -> Array:
    m, v00, vr, vc, vrc = np.eye(5)
    return np.array([m, (v00 - vr - vc + vrc) / (M * N), (vr - vrc) / N, (vc - vrc) / M, vrc])


def _diagonal_map(D: int) -> Array:
    k, w = math.sqrt(D - 2), math.sqrt(D - 1)
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


def coefficients(parameters: ArrayLike, dim: int | Shape) -> Array:
    r"""Mean and covariance of the matrix entries as coefficients of Kronecker deltas.

    Parameters
    ----------
    parameters : array_like, shape (..., 13) or (..., 5)
        f1 … f13 in the order of the paper, or m, v00, vr, vc, vrc.
    dim : int or (int, int)
        D ≥ 4; with five parameters also M and N.

    Returns
    -------
    ndarray, shape (..., 13) or (..., 5)
        m, p, q, r, s; or a, b and the c_P of the classes in the order of :data:`CLASSES`:
        0000; 0001, 0100; 0010, 0111; 0011; 0012, 0122; 0101; 0102; 0110; 0112, 0120; 0121; 0123.
        The string 0112 stands for δ_jk, that is, positions with equal digits have equal indices;
        different digits may coincide.

    Raises
    ------
    PigmmError
        If ``parameters`` are not finite or of another number, or ``dim`` is not allowed.

    Examples
    --------
    Independent entries of variance 2 have only Cov = 2 δ_ik δ_jl, the class 0101:

    >>> coefficients([0, 0, 2, 0, 2, 2, 0, 0, 2, 0, 2, 2, 2], 10).round(12) + 0
    array([0., 0., 0., 0., 0., 0., 0., 2., 0., 0., 0., 0., 0.])
    """
    values, rules, shape = _law(parameters, dim)
    return values @ _linear_map(rules, shape).T




def _law(parameters: ArrayLike, dim: int | Shape) -> tuple[Array, Rules, Shape]:
    try:
        values = np.asarray(parameters, dtype=np.float64)
    except (TypeError, ValueError):
        raise PigmmError.of("parameters", got=str(type(parameters)), allowed="numbers of shape (..., 13)") from None
    if values.ndim == 0 or values.shape[-1] not in (5, 13):
        allowed = "(..., 13): f1 … f13, or (..., 5): m, v00, vr, vc, vrc"
        raise PigmmError.of("parameters", got=f"shape {values.shape}", allowed=allowed)
    if not np.isfinite(values).all():
        raise PigmmError.of("parameters", got=f"{values[~np.isfinite(values)][0]} among them", allowed="finite numbers")
    sides = dim if isinstance(dim, tuple) else (dim, dim)
    integers = len(sides) == 2 and all(isinstance(n, int | np.integer) and not isinstance(n, bool) for n in sides)
    if values.shape[-1] == 13:
        if not integers or sides[0] != sides[1] or sides[0] < 4:
            raise PigmmError.of("dim", got=dim, allowed="an integer of at least 4")
        return values, DIAGONAL, (int(sides[0]), int(sides[0]))
    if not integers or min(sides) < 1:
        raise PigmmError.of("dim", got=dim, allowed="(rows, columns), each an integer of at least 1, or one integer")
    return values, TWO_SIDED, (int(sides[0]), int(sides[1]))


def _for_graphs(
    graphs: tuple[InvariantGraph, ...], parameters: ArrayLike, dim: int | Shape
) -> tuple[Array, Rules, Shape]:
    """The law in the smallest terms that serve these graphs: five parameters if it has them and the graphs allow it."""
    values, rules, shape = _law(parameters, dim)
    mixed = next((g.name for g in graphs if g.sides is None), None)
    if rules is DIAGONAL or mixed is None:
        return values, rules, shape
    if shape[0] != shape[1] or shape[0] < 4:
        raise PigmmError.of(
            "graphs", got=f"{mixed} for {shape[0]}x{shape[1]} matrices",
            allowed="bipartite graphs, or square matrices with D at least 4",
            fix="pigmm.bipartite_graphs(degree) lists the invariants of rectangular matrices.",
        )  # fmt: skip
    return values @ _embedding(shape[0]).T, DIAGONAL, shape


@lru_cache(maxsize=64)
def _embedding(D: int) -> Array:
    """f1 … f13 of the law with (m, v00, vr, vc, vrc), a 13×5 matrix."""
    E = np.zeros((13, 5))
    E[0, 0] = D
    E[[2, 8, 5], [1, 2, 3]] = 1  # f3 = v00, f9 = vr, f6 = vc
    E[[4, 10, 11, 12], 4] = 1  # f5 = f11 = f12 = f13 = vrc
    return E


@lru_cache(maxsize=64)
def _matrix(graphs: tuple[InvariantGraph, ...], rules: Rules, shape: Shape) -> Any:
    """The (graphs, monomials) matrix at one shape: E = matrix @ monomials."""
    polynomials = table(graphs, rules)
    row, column, rows, columns, coefs = polynomials.entries
    values = coefs * float(shape[0]) ** rows * float(shape[1]) ** columns
    size = (polynomials.graphs, len(polynomials.factors))
    matrix = sparse.csr_array((values, (row, column)), shape=size)
    return matrix.toarray() if size[0] * size[1] < 1 << 22 else matrix


def predict(graphs: Graphs, parameters: ArrayLike, dim: int | Shape) -> Array:
    r"""Exact expectations of invariants for many laws at once.

    Parameters
    ----------
    graphs : InvariantGraph, str, or an iterable of them
        n invariants; more nodes than D are allowed.
    parameters : array_like, shape (..., 13) or (..., 5)
        f1 … f13 of each law, or m, v00, vr, vc, vrc.
    dim : int or (int, int)
        D ≥ 4; or M and N, with five parameters and bipartite graphs.

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
    about 0.1 ms.  The 1,724 of degree 5 take some 3 s, the 11,060 of degree 6 half a minute.  The result is exact up
    to rounding, about 1e-13 of the largest term.

    Examples
    --------
    Two laws of independent entries with variances 1 and 2, and ⟨Σ W_ij²⟩ = D² σ²:

    >>> f = [0, 0, 1, 0, 1, 1, 0, 0, 1, 0, 1, 1, 1]
    >>> predict(["01.01", "01.10"], [f, [2 * x for x in f]], 10).round(9)
    array([[100.,  10.],
           [200.,  20.]])
    """
    graphs = as_graphs(graphs)
    values, rules, shape = _for_graphs(graphs, parameters, dim)
    with np.errstate(over="ignore", invalid="ignore", under="ignore"):
        monomials = table(graphs, rules).monomials(values @ _linear_map(rules, shape).T)
        flat = _matrix(graphs, rules, shape) @ monomials.reshape(-1, monomials.shape[-1]).T
        return _finite(flat.T.reshape(*monomials.shape[:-1], len(graphs)))


def _parameters_of(model: Any) -> tuple[Array, int | Shape]:
    """Parameters and dim of a law, in the terms of :func:`predict`."""
    for step in ("to_two_sided", "to_diagonal"):  # of laws inside these families
        if hasattr(model, step) and not hasattr(model, "dim") and not isinstance(model, TwoSidedGaussian):
            model = getattr(model, step)()
    if isinstance(model, TwoSidedGaussian):
        return model.parameters, model.shape
    if not (hasattr(model, "parameters") and hasattr(model, "dim")):
        raise PigmmError.of("model", got=type(model).__name__, allowed="a law of pigmm.models")
    if np.ndim(model.parameters) != 1:
        got = f"parameters of shape {np.shape(model.parameters)}"
        raise PigmmError.of("model", got=got, allowed="(13,)", fix="Use predict for many.")
    return model.parameters, model.dim


def expectation(graphs: Graphs, model: Any) -> Array:
    """Exact expectations of invariants under one law.

    Parameters
    ----------
    graphs : InvariantGraph, str, or an iterable of them
        n invariants; bipartite ones for laws of rectangular matrices.
    model : GaussianMatrixModel, TwoSidedGaussian, SimpleGaussian or LabelledRowGaussian
        Or anything with ``parameters`` (13,) and ``dim``.

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

    A rectangular layer, 10 × 784, whose rows vary in their mean:

    >>> law = TwoSidedGaussian([0, 1, 3, 1, 1], shape=(10, 784))
    >>> expectation(["01.01", "01.02"], law).round(6)
    array([ 7858., 21952.])
    """
    if isinstance(model, LabelledRowGaussian):
        from .labelled import expectation as labelled_expectation

        return _finite(labelled_expectation(as_graphs(graphs), model))
    return predict(graphs, *_parameters_of(model))


def jacobian(graphs: Graphs, model: Any) -> Array:
    r"""Derivatives of the fitted model's expectations with respect to the averages it is fitted to.

    The fit turns ensemble averages ⟨t⟩ of sufficient statistics into parameters (:math:`f_1 = \langle x_1 \rangle`,
    :math:`f_3 = \langle x_1^2 \rangle - \langle x_1 \rangle^2` and so on); this is the chain rule through that map,
    :math:`J_{Gs} = \partial E_{\mathrm{fit}}[I_G] / \partial \langle t_s \rangle`. To first order
    ``measured - predicted`` is the mean over runs of ``I_G(W_r) - J_G · t_r``, which gives its standard error.

    Parameters
    ----------
    graphs, model
        As in :func:`expectation`; not the labelled-row law.

    Returns
    -------
    ndarray, shape (n, 13) or (n, 5)
        For GaussianMatrixModel columns in the order of :func:`pigmm.irreps.sufficient_statistics`, for TwoSidedGaussian
        and SimpleGaussian of :func:`pigmm.irreps.two_sided_statistics`.

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
    if isinstance(model, LabelledRowGaussian):
        raise PigmmError.of("model", got="LabelledRowGaussian", allowed="a law without labels")
    if isinstance(model, MatrixLaw) and not isinstance(model, GaussianMatrixModel | TwoSidedGaussian | SimpleGaussian):
        fix = "Of other laws only what does not depend on their fit is known: give a law, and not its class."
        raise PigmmError.of("model", got=type(model).__name__, allowed="a law of pigmm.models", fix=fix)
    parameters, dim = _parameters_of(model)
    values, rules, shape = _for_graphs(graphs, parameters, dim)
    with np.errstate(over="ignore", invalid="ignore", under="ignore"):
        L = _linear_map(rules, shape)
        slope = _matrix(graphs, rules, shape) @ table(graphs, rules).slopes(L @ values) @ L
        if isinstance(model, SimpleGaussian | TwoSidedGaussian):
            if rules is DIAGONAL:
                slope = slope @ _embedding(shape[0])
            return _finite(slope @ _two_sided_fit(model))
        return _finite(slope @ _diagonal_fit(values))


def _diagonal_fit(f: Array) -> Array:
    """df/d⟨t⟩ of the 13-parameter fit."""
    fit = np.eye(13)
    fit[2, 0], fit[4, 1] = -2 * f[0], -2 * f[1]
    fit[3, :2] = -f[1], -f[0]
    return fit


def _two_sided_fit(law: SimpleGaussian | TwoSidedGaussian) -> Array:
    """d(m, v00, vr, vc, vrc)/d⟨statistics⟩ of the 5-parameter fit, and of the 2-parameter one."""
    M, N = law.shape
    fit = np.eye(5)
    fit[1, :2] = -2 * M * N * law.parameters[0], M * N
    if isinstance(law, SimpleGaussian):  # one variance, the average over all dimensions
        fit[1:] = np.array([1, M - 1, N - 1, (M - 1) * (N - 1)]) @ fit[1:] / (M * N)
    return fit


def _finite(values: Array) -> Array:
    if not np.isfinite(values).all():
        raise PigmmError.of("expectation", got="a value beyond float64", fix="Divide the matrices by a constant first.")
    return values
