r"""Connected cumulants: what the components of an invariant, or the entries of a matrix, have in common.

**Cumulants of components.**  A disconnected graph is a product of random numbers, one for each component, and its mean
is dominated by the product of their means.  The joint cumulant takes that out: over all set partitions of the
components :math:`I_1, \dots, I_n` into blocks,

.. math:: K(I_1, \dots, I_n) = \sum_{\text{partitions}} (-1)^{b-1} (b-1)! \prod_{\text{blocks } B} E\Big[\prod_{i \in B}
   I_i\Big].

For one component K = E, for two it is their covariance, and it vanishes when the components fall into two independent
groups.  The expectation of a block is that of a graph, the union of its components, so K is predicted by
:func:`pigmm.expectation` and measured by averages.  Under a Gaussian law K is the part of Wick's sum in which the
matched pairs tie all components together.

**Cumulants of entries.**  Every factor :math:`W_{ij}` may be taken as the random number instead.  Wick's theorem sums
over blocks of one and two entries; what a measured average has beyond it are the blocks of three and more.  See
:func:`matrix_cumulant`.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np
from numpy.typing import ArrayLike

from .errors import PigmmError
from .graphs import as_graphs
from .irreps import Array
from .joint_cumulants import (
    Graphs,
    Parts,
    as_products,
    joint_cumulant,
    joint_cumulants_of,
    predicted,
    product,
    products,
)
from .measured_cumulants import Estimate, excess_cumulant, matrix_cumulant, measured_cumulant

__all__ = [
    "Estimate", "covariance", "cumulant", "cumulant_from_means", "excess_cumulant", "matrix_cumulant",
    "measured_cumulant",
]  # fmt: skip


def cumulant(graphs: Graphs, law: Any) -> Array:
    r"""Joint cumulants of the components of each graph under a law, exactly.

    Parameters
    ----------
    graphs : InvariantGraph, str, or an iterable of them
        n invariants of at most eight components; bipartite ones for laws of rectangular matrices.
    law : GaussianMatrixModel, TwoSidedGaussian, SimpleGaussian or LabelledRowGaussian
        As for :func:`pigmm.expectation`.

    Returns
    -------
    ndarray, shape (n,)
        In units of weight to the power of the degree.  The expectation for a connected graph, the covariance of the two
        components of ``"00+01.12"``, the variance of the trace for ``"00+00"``, its third cumulant for ``"00+00+00"``.

    Raises
    ------
    PigmmError
        As :func:`pigmm.expectation`, and for more than eight components.

    Notes
    -----
    The polynomials of the moments are combined before any number is put in.  What is left has positive integer
    coefficients, one for each way of matching factors that ties all components together, so no digits are lost however
    large the mean is.  (Under the labelled-row law numbers are subtracted: the error is some 1e-13 of the expectation.)
    All 361 graphs up to degree four take 0.6 s once and 0.3 ms for each further law.
    Source: Brillinger, *Time Series: Data Analysis and Theory* (1981), section 2.3.

    Examples
    --------
    Independent entries of variance 1: the trace has variance D, and is not correlated with the squared norm.

    >>> from pigmm import SimpleGaussian
    >>> cumulant(["00+00", "00+01.01", "01.01"], SimpleGaussian(0.0, 1.0, shape=10)).round(9)
    array([ 10.,   0., 100.])

    With a mean of 5 they are: Cov(tr W, Σ W²) = 2 m σ² D.

    >>> cumulant("00+01.01", SimpleGaussian(5.0, 1.0, shape=10)).round(9)
    array([100.])
    """
    graphs = as_products(graphs)
    return predicted(graphs, law)


def covariance(graphs: Graphs, law: Any) -> Array:
    r"""Covariance matrix of invariants under a law, exactly: :math:`E[I_G I_H] - E[I_G]\,E[I_H]`.

    Parameters
    ----------
    graphs : InvariantGraph, str, or an iterable of them
        n invariants, connected or not; two of them together may have degree 15.
    law : GaussianMatrixModel, TwoSidedGaussian, SimpleGaussian or LabelledRowGaussian

    Returns
    -------
    ndarray, shape (n, n)
        Of one matrix; divide by R for the covariance of averages over R matrices.

    Raises
    ------
    PigmmError
        As :func:`pigmm.expectation`, and when two invariants together exceed its degree.

    Notes
    -----
    A product of two invariants is the invariant of both graphs side by side, of twice the degree, and the cost is that
    of :func:`pigmm.expectation` for n(n+1)/2 of these.  On one core, the first time (later calls take milliseconds):

    * bipartite graphs and a two-sided law: the 48 of degree 1 to 4 take 1.5 s, the 91 of degree 5 36 s and 0.6 GB;
    * thirteen parameters: the 13 of degree 1 and 2 take 0.1 s, the 65 of degree 1 to 3 11 s and 0.8 GB.  Two quartic
      graphs together have degree 8, 0.2 s for the first and 44,000 for all: measure those instead, by
      ``np.cov(evaluate(graphs, law.sample(R)).T)``.

    Examples
    --------
    >>> from pigmm import SimpleGaussian
    >>> covariance(["00", "01", "01.01"], SimpleGaussian(0.0, 1.0, shape=10)).round(9)
    array([[ 10.,  10.,   0.],
           [ 10., 100.,   0.],
           [  0.,   0., 200.]])
    """
    graphs = as_graphs(graphs)
    upper = np.triu_indices(len(graphs))
    values = np.empty((len(graphs), len(graphs)))
    pairs = tuple((graphs[i].name, graphs[j].name) for i, j in zip(*upper, strict=True))
    values[upper] = joint_cumulants_of(pairs, graphs, law)
    values.T[upper] = values[upper]
    return values


def cumulant_from_means(graphs: Graphs, means: Mapping[str, ArrayLike]) -> Array:
    """Joint cumulants of components from averages of invariants, as an archive keeps them.

    Parameters
    ----------
    graphs : InvariantGraph, str, or an iterable of them
        n invariants of at most eight components.
    means : mapping
        Average of each invariant, by canonical name: of the graphs and of every choice of their components.  Numbers,
        or arrays of one shape, such as one number an epoch.

    Returns
    -------
    ndarray, shape (..., n)
        The error is some 1e-16 of the averages, not of the cumulant: from matrices use :func:`measured_cumulant`.

    Raises
    ------
    PigmmError
        If an average is missing.

    Examples
    --------
    >>> cumulant_from_means("00+00", {"00": [1.0, 3.0], "00+00": [5.0, 9.5]})
    array([[4. ],
           [0.5]])
    """
    graphs = as_products(graphs)
    sets = tuple(g.components for g in graphs)
    if missing := [g.name for g in products(sets) if g.name not in means]:
        raise PigmmError.of("means", got=f"no average of {', '.join(missing[:5])}", allowed="one for every product")
    moments = {g: np.asarray(means[g.name], dtype=np.float64) for g in products(sets)}
    known: dict[Parts, Any] = {}
    return np.stack([joint_cumulant(parts, lambda p: moments[product(p)], known) for parts in sets], axis=-1)
