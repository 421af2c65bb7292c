r"""Which law of the ladder?  Likelihood ratios, information criteria and held-out likelihood.

SimpleGaussian (2 parameters) ⊂ TwoSidedGaussian (5) ⊂ GaussianMatrixModel (13) on square matrices, and
TwoSidedGaussian ⊂ LabelledRowGaussian on any.  At a maximum-likelihood fit every block's covariance equals its second
moments, so the log-likelihood of R matrices is ``-R`` times the entropy of the fitted law, and twice the gain of a
step is ``2R (H_small - H_large)``.  For Gaussian data and large R it follows chi-squared with the number of added
parameters; at any R it can be compared with ensembles drawn from the fitted smaller law, and in the step from 5 to 13,
for weights of any law, with the same matrices after random permutations of their columns.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import ArrayLike
from scipy import stats

from .errors import PigmmError
from .irreps import Array, as_matrices
from .laws import MatrixLaw, checked_runs
from .models import GaussianMatrixModel, LabelledRowGaussian, SimpleGaussian, TwoSidedGaussian
from .tables import draw_seeds, progressing, require_pandas, unit

if TYPE_CHECKING:
    import pandas as pd

__all__ = ["FITS", "criteria", "fits", "held_out", "likelihood_ratios", "steps"]


def _labelled_columns(W: ArrayLike) -> LabelledRowGaussian:
    return LabelledRowGaussian.fit(W, labels="columns")


FITS = {
    "independent": SimpleGaussian.fit,
    "two-sided": TwoSidedGaussian.fit,
    "diagonal": GaussianMatrixModel.fit,
    "labelled rows": LabelledRowGaussian.fit,
    "labelled columns": _labelled_columns,
}
"""The laws by their names in tables, each with its maximum-likelihood fit."""

STEPS = (
    ("independent", "two-sided"),
    ("two-sided", "diagonal"),
    ("independent", "diagonal"),
    ("two-sided", "labelled rows"),
    ("two-sided", "labelled columns"),
)
"""Pairs of nested laws, the smaller one first."""


def fits(W: ArrayLike, names: Sequence[str] | None = None) -> dict[str, MatrixLaw]:
    """Every law of the ladder fitted to W: those in ``names``, or all that these matrices allow.

    The diagonal law needs square matrices of D >= 4, a law with labels more matrices than labels.

    Examples
    --------
    >>> W = SimpleGaussian(0.0, 1.0, shape=(3, 5)).sample(100, seed=0)
    >>> list(fits(W))
    ['independent', 'two-sided', 'labelled rows', 'labelled columns']
    """
    batch = as_matrices(W, min_dim=2, min_runs=3)
    runs, rows, columns = batch.shape
    if names is None:
        possible = {"diagonal": rows == columns >= 4, "labelled rows": runs > rows, "labelled columns": runs > columns}
        names = [name for name in FITS if possible.get(name, True)]
    if unknown := [name for name in names if name not in FITS]:
        raise PigmmError.of("law", got=unknown[0], allowed=", ".join(FITS))
    return {name: FITS[name](batch) for name in names}


def criteria(laws: Mapping[str, MatrixLaw], R: int) -> pd.DataFrame:
    """Log-likelihood, AIC and BIC of laws fitted by maximum likelihood to R matrices.

    Parameters
    ----------
    laws : mapping of names to laws
        From :func:`fits`, or for example ``{"diagonal": archive.model(), "two-sided": archive.two_sided()}``.
    R : int
        Number of matrices they were fitted to.

    Returns
    -------
    DataFrame
        ``law``, ``parameters`` (count k), ``log_likelihood`` (nats, of all R matrices), ``aic`` = 2k - 2 log L,
        ``bic`` = k log R - 2 log L.  Smaller is better; only differences mean something.

    Examples
    --------
    >>> W = TwoSidedGaussian([0.0, 1.0, 3.0, 1.0, 1.0], shape=(5, 5)).sample(200, seed=0)
    >>> table = criteria(fits(W), 200)
    >>> table.loc[table["bic"].idxmin(), "law"]
    'two-sided'
    """
    R = checked_runs(R, 3)
    rows = []
    for name, law in laws.items():
        count, likelihood = len(law.parameters), -R * law.entropy()
        rows.append({
            "law": name, "parameters": count, "log_likelihood": likelihood,
            "aic": 2 * count - 2 * likelihood, "bic": count * np.log(R) - 2 * likelihood,
        })  # fmt: skip
    table: pd.DataFrame = require_pandas().DataFrame(rows)
    return table


def steps(laws: Mapping[str, MatrixLaw], R: int) -> pd.DataFrame:
    """Likelihood-ratio statistics of the nested pairs among fitted laws, with their chi-squared p-values.

    Returns
    -------
    DataFrame
        ``small``, ``large``, ``statistic`` = 2 (log L_large - log L_small), ``dof``, ``p_chi2``.

    Examples
    --------
    >>> W = TwoSidedGaussian([0.0, 1.0, 3.0, 1.0, 1.0], shape=(5, 5)).sample(200, seed=0)
    >>> steps(fits(W, ["independent", "two-sided", "diagonal"]), 200)[["small", "large", "dof"]]
             small      large  dof
    0  independent  two-sided    3
    1    two-sided   diagonal    8
    2  independent   diagonal   11
    """
    R = checked_runs(R, 3)
    rows = []
    for small, large in STEPS:
        if small in laws and large in laws:
            statistic = 2 * R * (laws[small].entropy() - laws[large].entropy())
            dof = len(laws[large].parameters) - len(laws[small].parameters)
            p = float(stats.chi2.sf(statistic, dof))
            rows.append({"small": small, "large": large, "statistic": statistic, "dof": dof, "p_chi2": p})
    columns = ["small", "large", "statistic", "dof", "p_chi2"]
    table: pd.DataFrame = require_pandas().DataFrame(rows, columns=columns)
    return table


def likelihood_ratios(
    W: ArrayLike,
    names: Sequence[str] | None = None,
    *,
    bootstrap: int = 199,
    permutations: int = 199,
    seed: int = 0,
    progress: bool = False,
) -> pd.DataFrame:
    """Likelihood-ratio tests up the ladder, with p-values that do not lean on large R.

    Parameters
    ----------
    W : array, (R, M, N)
    names : laws to fit; by default all that W allows
    bootstrap : int
        Ensembles drawn from each fitted smaller law and fitted again, at least 99, or 0 for none.
    permutations : int
        Random column permutations for the step from two-sided to diagonal, at least 99, or 0 for none.
    seed : int
    progress : bool

    Returns
    -------
    DataFrame
        The columns of :func:`steps`, ``p_bootstrap`` (right for Gaussian weights) and ``p_exact`` (two-sided against
        diagonal only, right for weights of any law; missing elsewhere).

    Examples
    --------
    >>> W = TwoSidedGaussian([0.0, 1.0, 3.0, 1.0, 1.0], shape=(5, 5)).sample(100, seed=0)
    >>> table = likelihood_ratios(W, ["independent", "two-sided", "diagonal"], bootstrap=99, permutations=99)
    >>> [float(p) < 0.02 for p in table["p_bootstrap"]]
    [True, False, True]
    """
    batch = as_matrices(W, min_dim=2, min_runs=3)
    if not np.ptp(batch, axis=0).any():
        raise PigmmError.of("W", got="matrices that are all equal", allowed="matrices that differ")
    for name, count in (("bootstrap", bootstrap), ("permutations", permutations)):
        if isinstance(count, bool) or not isinstance(count, int | np.integer) or count < 0 or 0 < count < 99:
            raise PigmmError.of(name, got=count, allowed="0, or an integer of at least 99")
    batch = batch / unit(batch)  # a statistic is a ratio of densities: the unit cancels
    laws, R = fits(batch, names), len(batch)
    table = steps(laws, R)
    seeds = draw_seeds(seed, 2)
    if bootstrap:
        p = []
        for small, large, statistic in zip(table["small"], table["large"], table["statistic"], strict=True):
            draws = progressing(draw_seeds(seeds[0], bootstrap), bootstrap, progress, f"{small} or {large}")
            null = np.array([_gain(laws[small].sample(R, draw), small, large) for draw in draws])
            p.append((1 + int((null >= statistic).sum())) / (1 + bootstrap))
        table["p_bootstrap"] = p
    if permutations:
        table["p_exact"] = np.nan
        step = (table["small"] == "two-sided") & (table["large"] == "diagonal")
        if step.any():
            rng = np.random.default_rng(seeds[1])
            turns = progressing(range(permutations), permutations, progress, "permutations")
            null = np.array([_gain(_shuffled(batch, rng), *STEPS[1]) for _ in turns])
            larger = int((null >= table.loc[step, "statistic"].item()).sum())
            table.loc[step, "p_exact"] = (1 + larger) / (1 + permutations)
    return table


def _shuffled(W: Array, rng: np.random.Generator) -> Array:
    """Every matrix with its columns in a random order of its own."""
    order = rng.permuted(np.tile(np.arange(W.shape[2]), (len(W), 1)), axis=1)
    return np.take_along_axis(W, order[:, None, :], axis=2)


def _gain(W: Array, small: str, large: str) -> float:
    return 2 * len(W) * (FITS[small](W).entropy() - FITS[large](W).entropy())


def held_out(W: ArrayLike, names: Sequence[str] | None = None, *, folds: int = 10, seed: int = 0) -> pd.DataFrame:
    """Log-likelihood of matrices that a law was not fitted to, by cross-validation over runs.

    Parameters
    ----------
    W : array, (R, M, N)
    names : laws to compare; by default all that W allows
    folds : int
        Parts into which the runs are dealt at random; each is judged by the laws fitted to the others.
    seed : int

    Returns
    -------
    DataFrame
        ``law``, ``parameters``, ``held_out`` (mean log-density of a held-out matrix, nats), ``se`` (its standard error
        over runs), ``gain`` over the law above it in the table (missing in the first row), and ``se_gain``, from paired
        differences run by run.
        Standard errors take runs as independent, which held-out scores of one fold only nearly are.

    Examples
    --------
    >>> W = TwoSidedGaussian([0.0, 1.0, 9.0, 1.0, 1.0], shape=(5, 5)).sample(200, seed=0)
    >>> table = held_out(W, ["independent", "two-sided"])
    >>> bool(table["gain"][1] > 5 * table["se_gain"][1])
    True
    """
    batch = as_matrices(W, min_dim=2, min_runs=6)
    runs = len(batch)
    if isinstance(folds, bool) or not isinstance(folds, int | np.integer) or not 2 <= folds <= runs // 3:
        raise PigmmError.of("folds", got=folds, allowed=f"an integer from 2 to {runs // 3}, a third of the runs")
    (draw,) = draw_seeds(seed, 1)
    part = np.random.default_rng(draw).permutation(runs) % folds
    names = list(fits(batch[part != 0], names)) if names is None else names
    scores = {name: np.empty(runs) for name in names}
    for fold in range(folds):
        for name, law in fits(batch[part != fold], names).items():
            scores[name][part == fold] = law.log_likelihood(batch[part == fold])
    rows, before = [], None
    for name, law in fits(batch, names).items():
        score = scores[name]
        gain = np.full(runs, np.nan) if before is None else score - before
        rows.append({
            "law": name, "parameters": len(law.parameters), "held_out": score.mean(),
            "se": score.std(ddof=1) / np.sqrt(runs), "gain": gain.mean(), "se_gain": gain.std(ddof=1) / np.sqrt(runs),
        })  # fmt: skip
        before = score
    table: pd.DataFrame = require_pandas().DataFrame(rows)
    return table
