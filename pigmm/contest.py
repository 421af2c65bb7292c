r"""Which law beyond the Gaussian predicts networks it has not seen?  Actions against scale mixtures, on held-out runs.

Everything is fitted to training runs.  A model then claims by how much each of the 43 cubic and quartic invariants
deviates from the Gaussian prediction, and is judged by the deviations of the held-out runs from *their* Gaussian fit:
that held-out networks have by chance another average square says nothing about the shape of the law.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import ArrayLike

from . import wick
from .action import fit_action
from .errors import PigmmError
from .graphs import InvariantGraph, bipartite_graphs
from .irreps import Array, as_matrices
from .maxent import maximum_entropy, reweight
from .mixture_fits import fit_mixture
from .mixtures import KINDS, ScaleMixture
from .models import TwoSidedGaussian
from .response import deviations
from .tables import draw_seeds, require_pandas

if TYPE_CHECKING:
    import pandas as pd

__all__ = ["contest"]

REWEIGHTED = 4000  # samples for the effective sample size


@dataclass(frozen=True)
class _Entry:
    """What a model fitted to training runs claims about the 43 deviations, and how sure it is of that."""

    model: str
    extra: int
    claim: Array
    error: Array
    used: tuple[int, ...] = ()
    exists: bool = True
    effective: float = np.nan
    log_likelihood: Array | None = None  # of the held-out matrices


def contest(
    W: ArrayLike, *, folds: int = 2, terms: tuple[int, ...] = (1, 2, 4), exact: bool = True, draws: int = 2000,
    seed: int = 0,
) -> pd.DataFrame:  # fmt: skip
    r"""Gaussian, first-order actions, exact action and scale mixtures on held-out runs.

    Parameters
    ----------
    W : array, (R, M, N)
        At least 40 matrices for each fold.
    folds : int
        Every fold is held out once; the others train.
    terms : tuple of int
        Numbers of couplings for which first order is listed, along one selection, as far as it goes.
    exact : bool
        Whether to list the maximum-entropy law of the first of ``terms`` too, where it exists.
    draws : int
        Samples for that law.
    seed : int
        Of the split, the selection and the draws.

    Returns
    -------
    DataFrame
        One row a model, averages over folds.  ``extra`` parameters beyond the Gaussian five; ``rms``: root mean square
        over 43 invariants of (held-out deviation - claim) / (standard error of the held-out deviation), one yardstick
        for all models, in which a perfect claim has 1; ``rms_unused`` the same over those the model was not made to
        match; ``rms_z`` with the error of the claim counted too; ``miss``: median of |predicted - measured| /
        |measured| over the 33 quartic ones; ``exists``: whether a density has these averages, in all folds;
        ``effective``: share of Gaussian samples that still count when reweighted to the claim; ``nats``,
        ``nats_error``: held-out log-likelihood for each matrix above the Gaussian one, where there is a density to
        evaluate.

    Raises
    ------
    PigmmError
        For too few matrices or other arguments.

    Examples
    --------
    >>> from pigmm.mixtures import ScaleMixture
    >>> truth = ScaleMixture(TwoSidedGaussian([0, 1, 1, 1, 1], (5, 5)), "matrix", 0.3)
    >>> table = contest(truth.sample(800), terms=(1,)).set_index("model")
    >>> bool(table.loc["matrix scale", "rms"] < table.loc["Gaussian", "rms"]), bool(table.loc["action, 1", "exists"])
    (True, False)
    """
    pd = require_pandas()
    batch = as_matrices(W, min_dim=4)
    if isinstance(folds, bool) or not isinstance(folds, int) or not 2 <= folds <= len(batch) // 40:
        raise PigmmError.of("folds", got=folds, allowed="at least 2, with 40 matrices or more in each")
    if not terms or any(isinstance(k, bool) or not isinstance(k, int) or k < 1 for k in terms):
        raise PigmmError.of("terms", got=terms, allowed="a tuple of integers of at least 1")
    order = np.random.default_rng(draw_seeds(seed, 1)[0]).permutation(len(batch))
    rows = []
    for fold in range(folds):
        held = np.zeros(len(batch), bool)
        held[order[fold::folds]] = True
        rows += _judge(batch[~held], batch[held], tuple(sorted(terms)), exact, draws, seed)
    table = pd.DataFrame(rows)
    squares = ["rms", "rms_unused", "rms_z", "nats_error"]
    table[squares] = table[squares] ** 2
    grouped = table.groupby("model", sort=False)
    whole = grouped.mean(numeric_only=True)
    whole[squares] = np.sqrt(whole[squares])
    whole["nats_error"] /= np.sqrt(folds)
    whole["exists"] = grouped["exists"].all()
    return whole[grouped.size() == folds].reset_index()[list(rows[0])]


def _judge(train: Array, test: Array, terms: tuple[int, ...], exact: bool, draws: int, seed: int) -> list[dict]:
    cubic, quartic = bipartite_graphs(3), bipartite_graphs(4)
    graphs = cubic + quartic
    e, psi = deviations(test, graphs)
    se = psi.std(axis=0, ddof=1) / np.sqrt(len(test))
    at_test = wick.expectation(graphs, TwoSidedGaussian.fit(test))
    gaussian = TwoSidedGaussian.fit(train).log_likelihood(test)
    rows = []
    for entry in _entries(train, test, terms, exact, draws, seed):
        left = e - entry.claim
        unused = np.delete(left / se, entry.used)
        relative = np.abs(left / (at_test + e))[len(cubic) :]
        gain = np.full(1, np.nan) if entry.log_likelihood is None else entry.log_likelihood - gaussian
        rows.append({
            "model": entry.model, "extra": entry.extra, "rms": _rms(left / se), "rms_unused": _rms(unused),
            "rms_z": _rms(left / np.hypot(se, entry.error)), "miss": float(np.median(relative)),
            "exists": entry.exists, "effective": entry.effective, "nats": float(gain.mean()),
            "nats_error": float(gain.std() / np.sqrt(len(gain))),
        })  # fmt: skip
    return rows


def _rms(x: Array) -> float:
    return float(np.sqrt(np.mean(x * x))) if len(x) else np.nan


def _entries(train: Array, test: Array, terms: tuple[int, ...], exact: bool, draws: int, seed: int) -> list[_Entry]:
    graphs = bipartite_graphs(3) + bipartite_graphs(4)
    base = TwoSidedGaussian.fit(train)
    e, psi = deviations(train, graphs)
    noise = psi.std(axis=0, ddof=1) / np.sqrt(len(train))
    zero = np.zeros(len(graphs))
    entries = [_Entry("Gaussian", 0, zero, zero, effective=1.0, log_likelihood=base.log_likelihood(test))]
    longest = fit_action(train, max_terms=max(terms), seed=seed)
    for k in terms:
        if k > len(longest.graphs):
            break
        action = fit_action(train, longest.graphs[:k])
        used = tuple(graphs.index(g) for g in action.graphs)
        claim, error = action.deviation(graphs), action.deviation_errors(graphs)
        effective = reweight(action, REWEIGHTED, seed).effective
        entries.append(_Entry(f"action, {k}", k, claim, error, used, action.exists, effective))
        if exact and k == terms[0] and action.exists:
            law = maximum_entropy(action, draws, seed)
            claim = law.predict(graphs) - wick.expectation(graphs, base)
            error = np.hypot(error, law.predict_errors(graphs))
            entries.append(
                _Entry(f"exact action, {k}", k, claim, error, used, True, law.effective, law.log_likelihood(test))
            )
    entries.append(_Entry("training deviations", len(graphs), e, noise, tuple(range(len(graphs))), exists=False))
    for kind in KINDS:
        entries.append(_mixture(f"{kind} scale", fit_mixture(train, kind), graphs, None))
    likely = fit_mixture(train, "matrix", method="likelihood")
    entries.append(_mixture("matrix scale (ML)", likely, graphs, likely.log_likelihood(test)))
    return entries


def _mixture(
    model: str, law: ScaleMixture, graphs: tuple[InvariantGraph, ...], log_likelihood: Array | None
) -> _Entry:
    claim, step = law.deviation(graphs), -1e-3 * law.spread if law.spread > 0 else 1e-6
    slope = (replace(law, spread=law.spread + step).deviation(graphs) - claim) / step
    return _Entry(model, 1, claim, np.abs(slope) * law.spread_error, log_likelihood=log_likelihood)
