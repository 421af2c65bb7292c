r"""Where the Gaussian law fails: when, by which graphs, and whether by the norms of the matrices or by their shapes.

Each question about an ensemble of weight matrices is answered by a table with errors:

- **When and how much?**  :func:`misfit`: the joint misfit of the 43 bipartite invariants by epoch, as an effect size
  :math:`\delta`, the distance of measured and predicted averages in standard deviations of single networks, and as a
  test.
- **Which graphs?**  :func:`carriers`: the invariants that carry it, one after the other.
- **Is it the norm?**  :func:`norm_and_shape`: the misfit that is left when every matrix is stretched to the same norm.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import ArrayLike
from scipy import stats

from .errors import PigmmError
from .finite_mixtures import scaled_expectation
from .invariants import evaluate
from .irreps import Array, as_matrices, two_sided_statistics
from .models import TwoSidedGaussian
from .response import deviations
from .shapes import BIPARTITE, shaped, squares
from .tables import require_pandas

if TYPE_CHECKING:
    import pandas as pd

    from .archive import Archive

__all__ = ["carriers", "misfit", "norm_and_shape"]

CONNECTED = np.array([k for k, graph in enumerate(BIPARTITE) if graph.connected])


def misfit(archive: Archive, runs: str = "all") -> pd.DataFrame:
    r"""By epoch and layer: how far the 43 bipartite averages are from the fitted two-sided Gaussian law.

    ``effect``: root mean square of the paper's effect size; ``z``: root mean square of the 43 z scores (about 1
    for a true law).
    With 50 networks or more the joint test: ``T2``, ``directions``, ``p``, and ``delta``: the misfit of all invariants
    together in standard deviations of single networks, in the direction where it is largest,
    :math:`\delta^2 = e^T S^{-1} e`, corrected for what noise adds; ``delta_se`` is
    :math:`\sqrt{(1 + \delta^2/2)/R}`, as for normal contributions of the networks.  With fewer than 43 directions
    (heavy tails make invariants so alike that an archive cannot tell them apart) delta is a lower bound.
    """
    rows: list[dict[str, object]] = []
    R = archive.count(runs)
    for layer in range(len(archive.layers)):
        for epoch in range(archive.epochs + 1):
            table = archive.comparison(epoch, layer, runs, TwoSidedGaussian, BIPARTITE)
            row: dict[str, object] = {"epoch": epoch, "layer": f"L{layer + 1}"}
            row |= {name: float(np.sqrt((table[of] ** 2).mean())) for name, of in (("effect", "ratio"), ("z", "z"))}
            row |= dict.fromkeys(("T2", "directions", "p", "delta", "delta_se"), np.nan)
            if R >= 50:
                test = archive.joint(epoch, layer, runs)
                row |= {"T2": test.statistic, "directions": test.directions, "p": test.pvalue}
                delta = np.sqrt(max(_noise_free(test.statistic, test.directions, R), 0.0))
                row |= {"delta": delta, "delta_se": np.sqrt((1 + delta**2 / 2) / R)}
            rows.append(row)
    frame: pd.DataFrame = require_pandas().DataFrame(rows)
    return frame


def carriers(W: ArrayLike, terms: int = 8) -> pd.DataFrame:
    r"""The invariants that carry the misfit: greedy choice of those that explain most of the joint :math:`T^2`.

    Each row adds the invariant with which the chosen ones reach the largest :math:`T^2`.  ``share``: the part of
    :math:`\delta^2` of all 43 that the chosen ones have, both corrected for noise; ``share_se`` its standard error from
    the influence of every network; ``z`` the score of the invariant alone; ``connected``: the share of all connected
    invariants together, the same in every row.

    Examples
    --------
    >>> W = np.random.default_rng(0).uniform(-1, 1, size=(300, 5, 5))
    >>> table = carriers(W, 1)
    >>> table["name"][0], bool(table["share"][0] > 0.8)
    ('01.01.01.01', True)
    """
    batch = as_matrices(W, min_runs=50)
    if isinstance(terms, bool) or not isinstance(terms, int | np.integer) or not 1 <= terms <= len(BIPARTITE):
        raise PigmmError.of("terms", got=terms, allowed=f"1 to {len(BIPARTITE)}")
    e, psi = deviations(batch, BIPARTITE)
    whole = _Distance(e, psi)
    connected = _Distance(e[CONNECTED], psi[:, CONNECTED])
    taken: list[int] = []
    rows: list[dict[str, object]] = []
    for _ in range(int(terms)):
        left = [k for k in range(len(BIPARTITE)) if k not in taken]
        found = [_Distance(e[[*taken, k]], psi[:, [*taken, k]]) for k in left]
        best = int(np.argmax([d.T2 for d in found]))
        taken.append(left[best])
        share, error = _ratio(found[best], whole)
        z = float(e[left[best]] / psi[:, left[best]].std(ddof=1) * np.sqrt(len(batch)))
        rows.append({
            "terms": len(taken), "name": BIPARTITE[left[best]].name, "z": z, "share": share, "share_se": error,
            "connected": _ratio(connected, whole)[0],
        })  # fmt: skip
    frame: pd.DataFrame = require_pandas().DataFrame(rows)
    return frame


def norm_and_shape(W: ArrayLike) -> dict[str, float]:
    r"""Is the misfit one of norms, or of shapes?  Stretch every matrix to the same norm and test again.

    With :math:`q = (W-m)^T \Sigma^{-1} (W-m)` of the fitted two-sided law and n entries, :math:`q/n` is the loudness
    of a matrix, and :math:`\hat W = m + \sqrt{n/q}\,(W - m)` has none.  Under *every* scale mixture of the Gaussian law
    :math:`\hat W` is the same: uniform on an ellipsoid, where terms of Wick's sum with two pairs are smaller by
    :math:`n/(n+2)`.  So the 43 averages of :math:`\hat W` test shape alone.  Their errors count that m and
    :math:`\Sigma` were fitted.

    Returns
    -------
    dict
        ``spread``: variance of q over the Gaussian 2n (1: norms as they should be), with ``spread_se``; ``delta`` and
        ``delta_shape``: joint misfit before and after, as in :func:`misfit` but in all directions, with ``delta_se``
        and ``delta_shape_se`` from the influence of every network; ``T2_shape``, ``directions``, ``p_shape``: the test.

    Examples
    --------
    >>> from pigmm.mixtures import ScaleMixture
    >>> loud = ScaleMixture(TwoSidedGaussian([0, 1, 1, 1, 1], (5, 5)), "matrix", 0.3).sample(400)
    >>> found = norm_and_shape(loud)
    >>> bool(found["spread"] > 2), bool(found["p_shape"] > 0.01)
    (True, True)
    """
    batch = as_matrices(W, min_runs=50)
    R, n = len(batch), batch[0].size
    law = TwoSidedGaussian.fit(batch)
    before, after = _Distance(*deviations(batch, BIPARTITE, law)), _Distance(*_shape_deviations(batch, law))
    square = squares(law, two_sided_statistics(batch)).sum(axis=1)
    off = (square - n) ** 2 / (2 * n)
    return {
        "spread": float(off.mean()), "spread_se": float(off.std(ddof=1) / np.sqrt(R)), "delta": before.delta,
        "delta_se": before.error, "delta_shape": after.delta, "delta_shape_se": after.error, "T2_shape": after.T2,
        "directions": after.directions, "p_shape": after.pvalue,
    }  # fmt: skip


def _shape_deviations(batch: Array, law: TwoSidedGaussian) -> tuple[Array, Array]:
    """Averages of the stretched matrices minus those of an ellipsoid, (43,), and the influence of each matrix.

    They move with the five fitted parameters in three ways: the stretch does, the centre of the stretch does, and the
    ellipsoid does.
    """
    t, n, (m, v00, *rest) = two_sided_statistics(batch), batch[0].size, law.parameters
    parts, (shapes, stretch) = squares(law, t), shaped(law, batch, t)
    q, unit, h = parts.sum(axis=1), np.sqrt(v00 / n), 1e-3

    def slope(moved: Array) -> Array:
        """Derivative of the invariants, (R, 43), when every shape moves like this."""
        change: Array = (evaluate(BIPARTITE, shapes + h * moved) - evaluate(BIPARTITE, shapes - h * moved)) / (2 * h)
        return change

    def ellipsoid(parameters: Array) -> Array:
        return scaled_expectation(BIPARTITE, TwoSidedGaussian(parameters, law.shape), 1.0, n / (n + 2))

    steps = h * np.array([unit, *law.parameters[1:]])
    expected = np.array([ellipsoid(law.parameters + d) - ellipsoid(law.parameters - d) for d in np.diag(steps)])
    log_stretch = np.column_stack([n * (t[:, 0] - m) / v00, parts / (2 * law.parameters[1:])]) / q[:, None]
    slopes = log_stretch.T @ slope(shapes - m) / len(batch) - expected / (2 * steps)[:, None]
    slopes[0] += slope(unit * (1 - stretch)).mean(axis=0) / unit
    here = evaluate(BIPARTITE, shapes) - ellipsoid(law.parameters)
    e = here.mean(axis=0)
    moved = np.column_stack([t[:, 0] - m, n * (t[:, 0] - m) ** 2 - v00, t[:, 2:] - rest])
    return e, here - e + moved @ slopes


class _Distance:
    """Mahalanobis distance of deviations e (k,) with influences psi (R, k): T², noise-corrected delta, influence."""

    def __init__(self, e: Array, psi: Array, floor: float = 1e-8) -> None:
        spread = psi.std(axis=0, ddof=1)
        values, vectors = np.linalg.eigh(np.corrcoef(psi.T).reshape(len(e), len(e)))
        kept = values > floor
        self.runs, self.directions = len(psi), int(kept.sum())
        root = vectors[:, kept] / np.sqrt(values[kept])
        white = (e / spread) @ root
        self.square = float(white @ white)
        self.T2 = self.runs * self.square
        x = (psi / spread) @ (root @ white)  # projection on the direction of the misfit
        self.influence = 2 * x - (x * x - (x * x).mean())  # of e^T S^-1 e, by the product rule
        self.noise_free = _noise_free(self.T2, self.directions, self.runs)
        self.delta = float(np.sqrt(max(self.noise_free, 0.0)))

    @property
    def error(self) -> float:
        """Standard error of delta; that of noise alone where delta is not clear of zero."""
        noise = self.runs**-0.5
        slope = self.influence.std(ddof=1) * noise / (2 * max(self.delta, noise))
        return float(max(slope, noise))

    @property
    def pvalue(self) -> float:
        R, k = self.runs, self.directions
        return float(stats.f.sf(self.T2 * (R - k) / (k * (R - 1)), k, R - k))


def _noise_free(T2: float, k: int, R: int) -> float:
    """Unbiased estimate of e^T S^-1 e under a Gaussian law of the averages (noncentral F)."""
    return T2 * (R - k - 2) / (R * (R - 1)) - k / R


def _ratio(part: _Distance, whole: _Distance) -> tuple[float, float]:
    """Noise-corrected share of the squared distance, and its standard error."""
    if whole.noise_free <= 0:
        return np.nan, np.nan
    influence = (part.influence - part.square / whole.square * whole.influence) / whole.square
    return part.noise_free / whole.noise_free, float(influence.std(ddof=1) / np.sqrt(part.runs))
