r"""Does the law of a non-Gaussian action exist?

The exponent, a negative quadratic form plus :math:`g \cdot O(W) + h \cdot t(W)`, is a polynomial.  Far out its quartic
part decides: if that is positive in any direction, the density cannot be normalised, however small the coupling.  Tails
heavier than Gaussian want just that.  Then no law of maximum entropy has these averages (the supremum of the entropy is
approached by moving ever less probability ever further out: Cover and Thomas, Elements of Information Theory, 2nd
edition, section 12.3), and first order is a formal expansion.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING

import numpy as np
from scipy import optimize

from .errors import PigmmError
from .invariants import evaluate
from .irreps import Array
from .response import statistics_of

if TYPE_CHECKING:
    from .action import Action

__all__ = ["growth", "refuse_growth"]

FAR = 1e4  # standard deviations: where the leading power of the exponent decides
CLIMBS = 2


def growth(action: Action, tilt: Callable[[Array], Array] | None = None) -> tuple[float, Array]:
    r"""The largest value of the exponent found far out, and where: positive means that there is no such law.

    Searched are single entries, rows, columns, blocks, rank-one and random matrices, the best of them followed uphill.
    A positive answer shows that the exponent grows along that ray; a negative one, that no such ray was found.

    Parameters
    ----------
    action : Action
    tilt : callable, optional
        The exponent beyond the Gaussian one at matrices (R, M, N), (R,); by default g.O + h.t of the action.

    Returns
    -------
    value : float
        Exponent at :data:`FAR` standard deviations of all entries together, divided by the fourth power of that.
    direction : array, (M, N)
        A matrix of norm one.

    Examples
    --------
    >>> from pigmm import SimpleGaussian
    >>> from pigmm.action import fit_action
    >>> W = SimpleGaussian(0, 1, (4, 4)).sample(300)
    >>> W[::2] *= 1.5                                     # every other matrix is louder
    >>> growth(fit_action(W, ["01.01+01.01"]))[0] > 0
    True
    """
    base, (M, N) = action.base, action.base.shape
    blocks = list(zip(base.decomposition.blocks, base.blocks(), strict=True))
    size = FAR * np.sqrt(sum(block.dim * np.trace(covariance) for block, (_, covariance) in blocks) / (M * N))
    centre = base.from_blocks([(mean, 0 * covariance) for _, (mean, covariance) in blocks]).sample(1)
    at_centre = base.log_likelihood(centre)

    def exponent(U: Array) -> Array:
        W = centre + size * U / np.sqrt((U * U).sum(axis=(1, 2), keepdims=True))
        if tilt is None:
            beyond = evaluate(action.graphs, W) @ action.couplings + statistics_of(base, W) @ action.counterterms
        else:
            beyond = tilt(W)
        value: Array = (base.log_likelihood(W) - at_centre + beyond) / FAR**4
        return value

    starts = _directions(M, N)
    values = exponent(starts)
    order = np.argsort(-values)
    best, where = float(values[order[0]]), starts[order[0]]
    steps, unit = np.eye(M * N).reshape(-1, M, N), float(np.abs(values).max()) or 1.0

    def downhill(u: Array) -> tuple[float, Array]:
        U = u.reshape(1, M, N)
        step = 1e-4 * np.sqrt((U * U).sum())
        values = exponent(np.concatenate([U, U + step * steps, U - step * steps])) / unit
        return -values[0], -(values[1 : M * N + 1] - values[M * N + 1 :]) / (2 * step)

    for start in starts[order[:CLIMBS]]:
        if best > 0:
            break
        u = start.ravel() / np.linalg.norm(start)
        found = optimize.minimize(downhill, u, jac=True, method="L-BFGS-B", options={"maxiter": 50, "ftol": 1e-5})
        if -found.fun * unit > best:
            best, where = float(-found.fun * unit), found.x.reshape(M, N)
    return best, where / np.linalg.norm(where)


def _directions(M: int, N: int) -> Array:
    """Matrices that invariants like: an entry, a row, a column, blocks, checkerboards, rank one, random; and minus."""
    rng = np.random.default_rng(0)
    e, f, a, b = np.eye(M), np.eye(N), (-1.0) ** np.arange(M), (-1.0) ** np.arange(N)
    row, column = np.ones(N), np.ones(M)
    products = [(e[0], f[0]), (e[0], row), (column, f[0]), (column, row), (a, b), (e[0] + e[1], f[0] + f[1])]
    products += [(e[0] - e[1], f[0]), (e[0], f[0] - f[1]), (e[0] - e[1], f[0] - f[1])]
    products += [(rng.normal(size=M), rng.normal(size=N)) for _ in range(9)]
    found = np.stack([*(np.outer(x, y) for x, y in products), np.eye(M, N), *rng.normal(size=(10, M, N))])
    return np.concatenate([found, -found])


def refuse_growth(action: Action, tilt: Callable[[Array], Array] | None = None) -> None:
    """PigmmError if the exponent grows without bound."""
    if growth(action, tilt)[0] >= 0:
        raise PigmmError.of(
            "action", got="an exponent that grows without bound in some direction",
            allowed="one that falls in all directions",
            fix="No such density exists: tails heavier than Gaussian have no law of maximum entropy. First order is a "
            "formal expansion here; pigmm.mixtures has laws with heavy tails.",
        )  # fmt: skip
