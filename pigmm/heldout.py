r"""Which law predicts networks that no fit has seen?  Fitted to one half of the networks, judged on the other half.

Beside the Gaussian laws of :mod:`pigmm.models`, the quartic law of :mod:`pigmm.maxent` and the lognormal scale of
:mod:`pigmm.mixtures` three more compete: :class:`~pigmm.finite_mixtures.AnyScale`, a Gaussian law whose matrices have a
random scale of any distribution; :class:`~pigmm.finite_mixtures.Populations`, a few sorts of networks with a two-sided
law each; and :class:`~pigmm.shapes.NormAndShape`, any scale for the norm and an exponent of invariants for the shape.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import ArrayLike

from . import wick
from .action import fit_action
from .errors import PigmmError
from .finite_mixtures import any_scale, populations, scaled_expectation
from .graphs import invariant_graphs
from .invariants import evaluate
from .irreps import Array, as_matrices
from .maxent import MaximumEntropyLaw, maximum_entropy
from .mixture_fits import fit_mixture
from .mixtures import ScaleMixture
from .models import GaussianMatrixModel, LabelledRowGaussian, SimpleGaussian, TwoSidedGaussian
from .response import deviations
from .shapes import BIPARTITE, NormAndShape, fit_norm_and_shape
from .tables import draw_seeds, require_pandas

if TYPE_CHECKING:
    import pandas as pd

__all__ = ["LAWS", "HeldOut", "held_out", "predict"]

LAWS = {
    "independent": "independent weights",
    "5": "5 parameters",
    "13": "13 parameters",
    "action": "quartic law",
    "scale": "lognormal scale",
    "any scale": "any scale",
    "populations": "populations",
    "shape": "norm and shape",
    "labelled": "labelled rows",
    "labelled scale": "labelled rows, any scale",
}
"""The competitors of :func:`held_out`, and what tables and figures call them."""

ALL = invariant_graphs(3) + invariant_graphs(4)
PLACES = np.array([ALL.index(graph) for graph in BIPARTITE])
FEWEST = 20  # matrices for which an action or a scale can be fitted
DRAWS = 1000  # samples for the quartic law
Law = Any  # has log_likelihood; see predict


def predict(graphs: Any, law: Law) -> Array:
    """Expectations of invariants up to degree 4 under any law of this page, (n,); exact save for laws of samples.

    Raises
    ------
    PigmmError
        For scale mixtures with a scale for each row or column.

    Examples
    --------
    >>> predict(["01.01"], ScaleMixture(TwoSidedGaussian([0, 1, 1, 1, 1], (4, 5)), "matrix", 0.5)).round(9)
    array([20.])
    """
    if isinstance(law, ScaleMixture):
        if law.kind != "matrix":
            raise PigmmError.of("law", got=f"a scale for each {law.kind}", allowed="one scale for each matrix")
        return scaled_expectation(graphs, law.base, 1.0, 1 + law.spread)
    predicted: Array = law.predict(graphs) if hasattr(law, "predict") else wick.expectation(graphs, law)
    return predicted


@dataclass(frozen=True, eq=False)
class HeldOut:
    """What :func:`held_out` found.

    Attributes
    ----------
    table : DataFrame
        One row a law, see :func:`held_out`.
    nats : DataFrame, (R, laws)
        Held-out log-likelihood of every network minus that of the 5-parameter law, averaged over splits.
    left : DataFrame
        What each law leaves unexplained, one row an invariant: ``name``, and a z for each law.
    chosen : dict
        The invariants that the quartic law ("action") and the "shape" law of each fit have in their exponents.

    Examples
    --------
    >>> W = TwoSidedGaussian([0, 1, 1, 1, 1], (4, 4)).sample(100)
    >>> found = held_out(W, quartic=False, couplings=0)
    >>> found.nats.shape[0], len(found.left), "5" in set(found.table["law"])
    (100, 43, True)
    """

    table: pd.DataFrame
    nats: pd.DataFrame = field(repr=False)
    left: pd.DataFrame = field(repr=False)
    chosen: dict[str, tuple[tuple[str, ...], ...]] = field(default_factory=dict)


def held_out(
    W: ArrayLike, *, labelled: bool = False, splits: int = 1, couplings: int = 4, groups: int = 2,
    split_seed: int = 0, quartic: bool = True,
) -> HeldOut:  # fmt: skip
    r"""Fit every law to half of the networks, judge it on the other half, and the other way round.

    Parameters
    ----------
    W : array, (R, D, D)
        At least 24 square matrices.
    labelled : bool
        Whether rows carry labels, as in the last layer: then two laws that know them take part.
    splits : int
        How often the networks are cut in halves at random; scores are averages.
    couplings : int
        At most so many invariants in the exponents of the quartic law and of the shape, chosen on the training half.
        Of the selected ones the quartic law takes as many, in order, as make a density that exists; perhaps none.
    groups : int
        Number of populations.
    split_seed : int
        Of splits and draws.
    quartic : bool
        Whether the quartic law takes part, which costs the most time.

    Returns
    -------
    HeldOut
        ``table`` has for each law (a key of :data:`LAWS`; laws that so few networks cannot be fitted with are left out)

        - ``parameters``, on average over fits (of ``any scale`` those of its base; the scales are a curve), and
          ``effective``: how many samples the predictions of the law of norm and shape rest on, infinite for others;
        - ``nats``, ``nats_se``: held-out log-likelihood for each network above the 5-parameter law, from differences
          network by network; the errors of sampled normalisers are added in squares;
        - ``median``, ``wins``: median difference, and share of networks that the law predicts better;
        - ``inside``: the same mean on the networks that were fitted; ``split_sd``: standard deviation of ``nats`` over
          the fits, that is over training halves;
        - ``effect``, ``effect_se``: root mean square over the 348 cubic and quartic invariants of the paper's effect
          size, |held-out average - predicted| / standard deviation over networks;
        - ``z``, ``z_se``: root mean square over the 43 bipartite ones of the z of what the law claims *beyond* its
          training Gaussian, against the deviations of the held-out networks from *their* Gaussian fit: chance
          differences of mean and variances drop out, a true law has about 1.

        The law ``averages`` is no law: it repeats the averages of the training half.  Its ``effect`` is what sampling
        noise of two halves leaves to a model that is always right, about :math:`2/\sqrt R`; its ``z`` about
        :math:`\sqrt 2`.

    Raises
    ------
    PigmmError
        For unusable or too few matrices, and other arguments.

    Examples
    --------
    >>> truth = ScaleMixture(TwoSidedGaussian([0, 1, 1, 1, 1], (5, 5)), "matrix", 0.3)
    >>> table = held_out(truth.sample(400), couplings=1).table.set_index("law")
    >>> bool(table.nats["scale"] > 5 * table.nats_se["scale"] > 0), bool(table.z["scale"] < table.z["5"])
    (True, True)
    """
    batch = as_matrices(W, square=True, min_dim=4, min_runs=24)
    for name, value, low in (("splits", splits, 1), ("couplings", couplings, 0), ("populations", groups, 1)):
        if isinstance(value, bool) or not isinstance(value, int | np.integer) or value < low:
            raise PigmmError.of(name, got=value, allowed=f"an integer of at least {low}")
    if groups > (most := len(batch) // 20):
        raise PigmmError.of("populations", got=groups, allowed=f"at most {most} for {len(batch)} networks")
    pd = require_pandas()
    R, values = len(batch), evaluate(ALL, batch)
    nats: dict[str, Array] = {}
    fits = []
    for seed in draw_seeds(split_seed, int(splits)):
        order = np.random.default_rng(seed).permutation(R)
        for train, test in ((order[: R // 2], order[R // 2 :]), (order[R // 2 :], order[: R // 2])):
            laws = _competitors(batch[train], labelled, int(couplings), int(groups), split_seed, quartic)
            found = _judged(laws, batch[train], batch[test], values[train], values[test])
            for law, one in found.items():
                if "gain" in one:
                    nats.setdefault(law, np.zeros(R))[test] += one["gain"] / splits
            fits.append(found)
    rows, left = [], pd.DataFrame({"name": [graph.name for graph in BIPARTITE]})
    for law in fits[0]:
        some = [found[law] for found in fits]
        row = {key: np.mean([one[key] for one in some]) for key in ("parameters", "effective")} | {"law": law}
        if law in nats:
            gain = nats[law]
            sampled = np.sqrt(np.mean([one["sampled"] ** 2 for one in some]))
            row |= {
                "nats": gain.mean(), "nats_se": np.hypot(gain.std(ddof=1) / np.sqrt(R), sampled),
                "median": np.median(gain), "wins": (gain > 0).mean(),
                "inside": np.mean([one["inside"] for one in some]),
                "split_sd": np.std([one["gain"].mean() for one in some], ddof=1),
            }  # fmt: skip
        for key in ("effect", "z"):
            row[key] = np.mean([one[key] for one in some])
            row[f"{key}_se"] = np.mean([one[f"{key}_se"] for one in some]) / np.sqrt(2)  # two disjoint halves
        rows.append(row)
        gap, variance = (sum(one[key] for one in some) for key in ("gap", "variance"))
        left[law] = gap / np.sqrt(variance * splits)  # splits share the networks: average, no new information
    chosen: dict[str, Any] = {
        law: tuple(one[law]["graphs"] for one in fits) for law in ("action", "shape") if law in fits[0]
    }
    return HeldOut(pd.DataFrame(rows), pd.DataFrame(nats), left, chosen)


def _competitors(
    train: Array, labelled: bool, couplings: int, groups: int, seed: int, quartic: bool
) -> Iterator[tuple[str, float, Law]]:
    """Name, number of parameters and fit of every law that these networks can be fitted with."""
    five = TwoSidedGaussian.fit(train)
    yield "independent", 2, SimpleGaussian.fit(train)
    yield "5", 5, five
    yield "13", 13, GaussianMatrixModel.fit(train)
    norm = any_scale(train)
    yield "any scale", 5, norm
    if len(train) >= FEWEST:
        if quartic:
            law = _quartic(train, couplings, seed)
            yield "action", 5 + (len(law.action.graphs) if law else 0), law or five
        yield "scale", 6, fit_mixture(train, "matrix", method="likelihood")
        shape = fit_norm_and_shape(train, couplings, norm=norm, seed=seed)
        yield "shape", 5 + (len(shape.theta) if shape.graphs else 0), shape
    yield "populations", 6 * groups - 1, populations(train, groups)
    M = train.shape[1]
    if labelled and len(train) > 2 * M:
        yield "labelled", M + M * (M + 1), LabelledRowGaussian.fit(train)
        yield "labelled scale", M + M * (M + 1), any_scale(train, LabelledRowGaussian)


def _quartic(train: Array, couplings: int, seed: int) -> MaximumEntropyLaw | None:
    """The law of maximum entropy with as many of the selected invariants as make a density."""
    whole = fit_action(train, max_terms=couplings, seed=seed)
    for k in range(len(whole.graphs), 0, -1):
        kept = [*range(k), *range(-5, 0)]
        action = replace(
            whole, graphs=whole.graphs[:k], deviations=whole.deviations[:k], inner=whole.inner[:k, :k],
            covariance=whole.covariance[np.ix_(kept, kept)],
        )  # fmt: skip
        if action.exists:
            try:
                return maximum_entropy(action, DRAWS, seed)
            except PigmmError:  # first order exists, the law does not: averages that no such density reaches
                continue
    return None


def _judged(
    laws: Iterator[tuple[str, float, Law]], train: Array, test: Array, seen: Array, values: Array
) -> dict[str, dict[str, Any]]:
    """Scores on ``test`` of laws fitted to ``train``; ``seen`` and ``values``: the 348 invariants of both, (R, 348)."""
    average, spread = values.mean(axis=0), values.std(axis=0, ddof=1)
    e, psi = deviations(test, BIPARTITE, TwoSidedGaussian.fit(test))
    error = psi.std(axis=0, ddof=1) / np.sqrt(len(test))
    five = TwoSidedGaussian.fit(train)
    expected, reference = wick.expectation(BIPARTITE, five), (five.log_likelihood(test), five.log_likelihood(train))

    def scores(predicted: Array) -> dict[str, Any]:
        away = (average - predicted) / spread
        gap = e - (predicted[PLACES] - expected)
        return {
            "effect": _rms(away), "effect_se": _rms_error(away, (values - average) / spread),
            "z": _rms(gap / error), "z_se": _rms_error(gap / error, psi / error), "gap": gap, "variance": error**2,
        }  # fmt: skip

    found: dict[str, dict[str, Any]] = {}
    for name, count, law in laws:
        graphs = law.action.graphs if isinstance(law, MaximumEntropyLaw) else getattr(law, "graphs", ())
        found[name] = scores(predict(ALL, law)) | {
            "parameters": count, "gain": law.log_likelihood(test) - reference[0],
            "sampled": getattr(law, "log_normaliser_error", 0.0), "graphs": tuple(graph.name for graph in graphs),
            "effective": len(law.weights) * law.effective if isinstance(law, NormAndShape) else np.inf,
            "inside": float((law.log_likelihood(train) - reference[1]).mean()),
        }  # fmt: skip
    found["averages"] = scores(seen.mean(axis=0)) | {"parameters": np.nan, "sampled": 0.0, "effective": np.inf}
    return found


def _rms(x: Array) -> float:
    return float(np.sqrt(np.mean(x * x)))


def _rms_error(x: Array, influence: Array) -> float:
    """Standard error of the root mean square of x (n,), where ``influence`` (R, n) are R times those of the runs."""
    moved = influence @ x / (len(x) * max(_rms(x), 1e-300))
    return float(moved.std(ddof=1) / np.sqrt(len(influence)))
