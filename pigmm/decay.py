r"""Two ensembles side by side, without and with weight decay: what L2 regularisation does to the law of the weights.

Tables by epoch and layer, and at the last epoch run by run where raw weights are kept.  :func:`tidy` puts the same
table of several archives under each other, with columns ``scheme`` and ``decay``.

Two facts serve as yardsticks.  Where the gradient of loss + decay/2 |weights|² vanishes, and units are ReLU without
bias, the squared norms of the weights into and out of every hidden neuron are equal (multiply the ones by c and divide
the others by c: the outputs stay, so c = 1 must be stationary for c² a + b/c²).  Hence all layers between hidden
neurons have one norm.  And a constant added to all outputs changes no probability, so the sums over classes of the
last matrix have no gradient; decay alone moves them.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import ArrayLike, NDArray
from scipy import stats

from . import wick
from .archive import Archive
from .config import EnsembleConfig
from .errors import PigmmError
from .evolution import _covariance, _influence, initial_law
from .gaussianity import compare
from .graphs import invariant_graphs
from .invariants import evaluate
from .irreps import Array, as_matrices, sufficient_statistics
from .laws import MatrixLaw
from .layout import featured_layers
from .models import GaussianMatrixModel, TwoSidedGaussian
from .tables import require_pandas

if TYPE_CHECKING:
    import pandas as pd

__all__ = [
    "Misfit", "effective_rank", "films", "hidden_neurons", "learning", "living", "misfit", "norm_variance", "paired",
    "ruler", "side_by_side", "silent", "spectra", "surrogate", "tidy", "travelled", "treatments",
]  # fmt: skip


def side_by_side(configs: Mapping[str, EnsembleConfig]) -> dict[str, EnsembleConfig]:
    """Every configuration without and with its weight decay, by label.

    Raises
    ------
    PigmmError
        If there is no decay to compare with.

    Examples
    --------
    >>> list(side_by_side({"uniform": EnsembleConfig(init="uniform", weight_decay=0.01)}))
    ['uniform start, no decay', 'uniform start, decay 0.01']
    """
    both = {}
    for scheme, config in configs.items():
        if config.weight_decay == 0:
            raise PigmmError.of(
                "weight_decay", got=config.weight_decay, allowed="a number > 0, such as 0.01",
                fix="The ensemble without decay always stands beside it.",
            )  # fmt: skip
        both[f"{scheme} start, no decay"] = replace(config, weight_decay=0.0)
        both[f"{scheme} start, decay {config.weight_decay:g}"] = config
    return both


def tidy(archives: Mapping[str, Archive], table: Callable[..., pd.DataFrame], *args: Any) -> pd.DataFrame:
    """``table(archive, *args)`` of all archives, under each other, with columns ``scheme`` and ``decay``."""
    parts = [
        table(archive, *args).assign(scheme=archive.config.init, decay=archive.config.weight_decay)
        for archive in archives.values()
    ]
    stacked: pd.DataFrame = require_pandas().concat(parts, ignore_index=True)
    return stacked


def _frame(rows: list[dict[str, object]]) -> pd.DataFrame:
    frame: pd.DataFrame = require_pandas().DataFrame(rows)
    return frame


def _mean(x: Array) -> tuple[float, float]:
    """Mean over runs and its standard error."""
    return float(x.mean()), float(x.std(ddof=1) / np.sqrt(len(x)))


def _ratio(d: Array, n: Array) -> tuple[float, float]:
    """Sum of d over sum of n, with the error that comes from the runs; 0 ± 0 if there is no n."""
    total = n.sum()
    value = d.sum() / total if total else 0.0
    return float(value), float((d - value * n).std(ddof=1) * np.sqrt(len(d)) / total) if total else 0.0


# ---- learning, and the way the law goes


def learning(archive: Archive, runs: str = "all") -> pd.DataFrame:
    """By epoch: accuracy on test and training images, gap (training minus test), loss, and the norm of every matrix.

    Columns epoch, what, mean, se (standard error of the mean), sd (over networks), low and high (10 and 90 %).
    """
    mask = archive.alive if runs == "alive" else np.ones(archive.runs, bool)
    curves = {
        "test accuracy": archive.test_accuracy, "training accuracy": archive.train_accuracy,
        "gap": archive.train_accuracy - archive.test_accuracy,
        "loss": np.pad(archive.loss, ((0, 0), (1, 0)), constant_values=np.nan),  # loss is measured during an epoch
    }  # fmt: skip
    names = ["input", *(f"L{k + 1}" for k in range(len(archive.layers)))]
    curves |= {f"norm {name}": archive.norms[:, :, k] for k, name in enumerate(names)}
    rows: list[dict[str, object]] = []
    for what, values in curves.items():
        for epoch in range(int(what == "loss"), archive.epochs + 1):
            x = values[mask, epoch]
            mean, se = _mean(x)
            low, high = np.quantile(x, [0.1, 0.9])
            rows.append(
                {"epoch": epoch, "what": what, "mean": mean, "se": se, "sd": x.std(ddof=1), "low": low, "high": high}
            )
    return _frame(rows)


def travelled(archive: Archive, runs: str = "all") -> pd.DataFrame:
    r"""Squared distance of the fitted law from the start, split into rescaling and change of shape.

    Let the start have independent entries of variance σ², D x D, and the fitted law mean m and blocks C_b of
    dimensions n_b.  Of all rescaled starts, the one nearest to the law has entries of standard deviation c σ with

    .. math:: c = \frac{1}{D^2\sigma}\sum_b n_b \operatorname{tr} C_b^{1/2},

    the average over directions of the law's standard deviation, and with that start between them

    .. math:: W_2^2 = \underbrace{D^2\sigma^2(1-c)^2}_{\text{scale}} +
              \underbrace{|m|^2 + \sum_b n_b \operatorname{tr} C_b - D^2\sigma^2c^2}_{\text{shape}} .

    Shape is |m|² plus D² times the variance over directions of the standard deviation: zero only for independent
    entries.  Columns epoch, layer, w2_squared, scale, shape, factor (c), each with ``_se`` by the delta method on the
    measured covariance of the 13 statistics (linear errors: they mean little below the noise floor), and ``share``,
    scale over w2_squared.
    """
    rows: list[dict[str, object]] = []
    for layer in featured_layers(archive.template):
        start = initial_law(archive, layer)
        N, sigma = float(np.prod(start.shape)), np.sqrt(start.variance)
        for epoch in range(archive.epochs + 1):
            law = archive.model(epoch, layer, runs)
            S, slope_S = _sum_of_deviations(law)
            Q, slope_Q = _mean_square(law)
            c = S / (N * sigma)
            terms = {
                "w2_squared": (Q + N * start.variance - 2 * sigma * S, slope_Q - 2 * sigma * slope_S),
                "scale": (N * start.variance * (1 - c) ** 2, -2 * sigma * (1 - c) * slope_S),
                "shape": (Q - S * S / N, slope_Q - 2 * S / N * slope_S),
                "factor": (c, slope_S / (N * sigma)),
            }
            influence = _influence(archive.features(epoch, layer, runs).mean)
            covariance = influence @ _covariance(archive, epoch, layer, runs) @ influence.T
            row: dict[str, object] = {"epoch": epoch, "layer": f"L{layer + 1}"}
            for name, (value, slope) in terms.items():
                row |= {name: value, f"{name}_se": float(np.sqrt(max(slope @ covariance @ slope, 0.0)))}
            row["share"] = terms["scale"][0] / terms["w2_squared"][0]
            rows.append(row)
    return _frame(rows)


def _sum_of_deviations(law: GaussianMatrixModel) -> tuple[float, Array]:
    """Σ n_b tr C_b^½ and its slope in f1 ... f13 (zero in directions that do not vary)."""
    total, slope, place = 0.0, np.zeros(13), 2
    for block, (_, C) in zip(law.decomposition.blocks, law.blocks(), strict=True):
        values, vectors = np.linalg.eigh(C)
        roots = np.sqrt(np.clip(values, 0, None))
        inverse = np.divide(1, roots, out=np.zeros_like(roots), where=roots > 1e-9 * max(float(roots[-1]), 1e-300))
        total += block.dim * float(roots.sum())
        half = block.dim / 2 * (vectors * inverse) @ vectors.T
        i, j = np.triu_indices(len(C))
        slope[place : place + len(i)] = np.where(i == j, 1, 2) * half[i, j]
        place += len(i)
    return total, slope


def _mean_square(law: GaussianMatrixModel) -> tuple[float, Array]:
    """E|W|² and its slope in f1 ... f13."""
    dims = [block.dim for block in law.decomposition.blocks]
    slope = np.zeros(13)
    slope[:2], slope[[2, 4]], slope[[5, 8, 10]], slope[11:] = 2 * law.mean_trivial, dims[0], dims[1], dims[2:]
    return float(slope[2:] @ law.parameters[2:] + law.mean_trivial @ law.mean_trivial), slope


# ---- what the law predicts, and in which unit a miss is measured


def norm_variance(law: MatrixLaw) -> float:
    r"""Variance of the squared norm |W|² under a Gaussian law: Σ n_b 2 tr C_b² + 4 m.C m.

    Examples
    --------
    >>> from pigmm import SimpleGaussian
    >>> norm_variance(SimpleGaussian(0.0, 1.0, shape=10))       # chi-squared with 100 degrees of freedom
    200.0
    """
    parts = zip(law.decomposition.blocks, law.blocks(), strict=True)
    return float(sum(2 * block.dim * np.trace(C @ C) + 4 * m @ C @ m for block, (m, C) in parts))


def ruler(archive: Archive, runs: str = "all") -> pd.DataFrame:
    """Spread over networks of the squared norm of a matrix, measured over what the fitted law predicts.

    One is Gaussian; above one some networks are louder than others; below one their norms are locked together.
    Columns epoch, layer, measured and predicted (standard deviations), stretch (their ratio) and stretch_se.
    """
    rows: list[dict[str, object]] = []
    mask = archive.alive if runs == "alive" else np.ones(archive.runs, bool)
    for layer in featured_layers(archive.template):
        for epoch in range(archive.epochs + 1):
            squares = archive.norms[mask, epoch, layer + 1] ** 2
            sd, predicted = squares.std(ddof=1), np.sqrt(norm_variance(archive.model(epoch, layer, runs)))
            rows.append({
                "epoch": epoch, "layer": f"L{layer + 1}", "measured": sd, "predicted": predicted,
                "stretch": sd / predicted, "stretch_se": sd / predicted * _sd_error(squares),
            })  # fmt: skip
    return _frame(rows)


def _sd_error(x: Array) -> float:
    """Relative standard error of a standard deviation over runs."""
    square = (x - x.mean()) ** 2
    return float(square.std(ddof=1) / np.sqrt(len(x)) / square.mean() / 2) if square.any() else 0.0


@dataclass(frozen=True, eq=False)
class Misfit:
    """What :func:`misfit` returns: ``table``, and ``influence`` (R, n) of every run on every signed effect size."""

    table: pd.DataFrame
    influence: Array

    @property
    def rms(self) -> tuple[float, float]:
        """Root mean square of the effect sizes, without the noise that a true law would show, and standard error."""
        t, R = self.table["effect"].to_numpy(), len(self.influence)
        square = float((t * t).mean())
        share = (self.influence * t).mean(axis=1) * 2
        clean = max(square - float((self.table["effect_se"] ** 2).mean()), 0.0)
        error = float(share.std(ddof=1) / np.sqrt(R))
        return float(np.sqrt(clean)), error / 2 / np.sqrt(max(clean, error, 1e-300))  # the root is steep near zero

    @property
    def leader(self) -> pd.Series:
        """The row with the largest effect size."""
        return self.table.iloc[int(self.table["ratio"].to_numpy().argmax())]


def misfit(W: ArrayLike) -> Misfit:
    """The 348 cubic and quartic predictions of the 13-parameter law, with errors of the effect sizes themselves.

    The table of :func:`pigmm.gaussianity.compare`, and ``effect``, the signed effect size (measured - predicted)/sd,
    with ``effect_se``.  That error counts the miss, the fit, and that sd is measured, too: the influence of a run with
    deviation d is (psi/sd - effect (d²/sd² - 1)/2).  Invariants that are the same in all matrices are left out.

    Examples
    --------
    >>> from pigmm import SimpleGaussian
    >>> found = misfit(SimpleGaussian(0.0, 1.0, shape=6).sample(200, seed=0))
    >>> len(found.table), found.rms[0] < 0.05
    (348, True)
    """
    batch = as_matrices(W, square=True, min_dim=4, min_runs=3)
    graphs = invariant_graphs(3) + invariant_graphs(4)
    table, values = compare(batch, graphs), evaluate(graphs, batch)
    law, t = GaussianMatrixModel.fit(batch), sufficient_statistics(batch)
    deviation, sd = values - values.mean(axis=0), table["sd"].to_numpy()
    vary = sd > 1e-9 * np.abs(values).max(axis=0)
    psi = deviation - (t - t.mean(axis=0)) @ wick.jacobian(graphs, law).T
    table = table[vary].reset_index(drop=True)
    effect = ((table["measured"] - table["predicted"]) / table["sd"]).to_numpy()
    x = deviation[:, vary] / sd[vary]
    influence = psi[:, vary] / sd[vary] - effect * (x * x - (x * x).mean(axis=0)) / 2
    error = influence.std(axis=0, ddof=1) / np.sqrt(len(batch))
    return Misfit(table.assign(effect=effect, effect_se=error), influence)


def paired(without: Misfit, with_decay: Misfit) -> pd.DataFrame:
    """The same invariants in two ensembles: which deviate more in the second, and by how much?

    Columns name, degree, paper; ``effect_0``, ``effect_1`` (sizes), ``se_0``, ``se_1``, ``z_0``, ``z_1`` (sizes);
    ``change`` of the effect size with ``change_se`` (the ensembles taken as independent), ``change_z``, and
    ``change_p``, Benjamini-Hochberg adjusted over the invariants; ``relative_0``, ``relative_1`` measured/predicted.
    """
    columns = {"ratio": "effect", "effect_se": "se", "z": "z", "relative": "relative"}
    both = None
    for k, table in enumerate((without.table, with_decay.table)):
        keep = ["name", "degree", "paper"] if k == 0 else ["name"]
        part = table[[*keep, *columns]].rename(columns={old: f"{new}_{k}" for old, new in columns.items()})
        part[f"z_{k}"] = part[f"z_{k}"].abs()
        both = part if both is None else both.merge(part, on="name")
    assert both is not None
    both["change"] = both["effect_1"] - both["effect_0"]
    both["change_se"] = np.hypot(both["se_0"], both["se_1"])
    both["change_z"] = both["change"] / both["change_se"]
    both["change_p"] = stats.false_discovery_control(2 * stats.norm.sf(both["change_z"].abs()))
    return both


# ---- neurons: vanished, merged, balanced


def living(W: ArrayLike, faint: float = 0.1) -> tuple[NDArray[np.bool_], NDArray[np.bool_]]:
    """Which rows (R, M) and columns (R, N) have more than ``faint`` times the root-mean-square norm of their matrix.

    Examples
    --------
    >>> rows, columns = living(np.array([[[1.0, 0.0], [1.0, 0.01]]]))
    >>> rows[0].tolist(), columns[0].tolist()
    ([True, True], [True, False])
    """
    if isinstance(faint, bool) or not isinstance(faint, int | float | np.number) or not 0 < faint < 1:
        raise PigmmError.of("faint", got=faint, allowed="a number between 0 and 1, such as 0.1")
    batch = as_matrices(W)
    rows, columns = ((batch**2).sum(axis=axis) for axis in (2, 1))
    row_lives, column_lives = (x > faint**2 * x.mean(axis=1, keepdims=True) for x in (rows, columns))
    return row_lives, column_lives


def surrogate(W: ArrayLike, faint: float = 0.1, seed: int = 0) -> Array:
    """Matrices drawn from the fitted 5-parameter law, with the vanished rows and columns and the norms of W.

    What is left of an ensemble when networks keep their norm and their vanished neurons, and all else is Gaussian.
    """
    batch = as_matrices(W, min_runs=2)
    rows, columns = living(batch, faint)
    drawn = TwoSidedGaussian.fit(batch).sample(len(batch), seed) * rows[:, :, None] * columns[:, None, :]
    old, new = (np.sqrt((x**2).sum(axis=(1, 2))) for x in (batch, drawn))
    out: Array = drawn * np.divide(old, new, out=np.ones_like(old), where=new > 0)[:, None, None]
    return out


def treatments(W: ArrayLike, faint: float = 0.1, seed: int = 0) -> dict[str, Array]:
    """The ensemble as it is and after three treatments, by name, to see where its deviations come from.

    "one norm": every matrix rescaled to the same norm; "Gaussian norms": to the norms of matrices drawn from the fitted
    law; "surrogate": see :func:`surrogate`.
    """
    batch = as_matrices(W, square=True, min_dim=4, min_runs=3)
    norm = np.sqrt((batch**2).sum(axis=(1, 2)))
    drawn = GaussianMatrixModel.fit(batch).sample(len(batch), seed)
    unit = batch / np.where(norm > 0, norm, 1)[:, None, None]
    return {
        "as trained": batch, "one norm": unit * np.sqrt((norm**2).mean()),
        "Gaussian norms": unit * np.sqrt((drawn**2).sum(axis=(1, 2)))[:, None, None],
        "surrogate": surrogate(batch, faint, seed),
    }  # fmt: skip


def _cosines(W: Array, alive: NDArray[np.bool_]) -> tuple[Array, NDArray[np.bool_]]:
    """Cosines between the rows of each matrix (R, M, M), and which of them belong to two different living rows."""
    norm = np.sqrt((W**2).sum(axis=2, keepdims=True))
    U = np.divide(W, norm, out=np.zeros_like(W), where=norm > 0)
    pairs = alive[:, :, None] & alive[:, None, :] & ~np.eye(W.shape[1], dtype=bool)
    return U @ U.swapaxes(1, 2), pairs


def _likeness(W: Array, faint: float, similar: float) -> dict[str, tuple[Array, Array]]:
    """Numerators and denominators, run by run, of the share of near-duplicate rows and of the mean squared cosine."""
    alive = living(W, faint)[0]
    cosine, pairs = _cosines(W, alive)
    twins = ((cosine > similar) & pairs).any(axis=2).sum(axis=1)
    return {
        "near-duplicates": (twins, alive.sum(axis=1)),
        "squared cosine": (np.where(pairs, cosine**2, 0).sum(axis=(1, 2)), pairs.sum(axis=(1, 2))),
    }


def hidden_neurons(
    archive: Archive, faint: float = 0.1, similar: float = 0.9, seed: int = 0, runs: str = "all"
) -> pd.DataFrame:
    """Hidden neurons after the last epoch: hidden, measure, value, se, null, null_se.

    ``silent``: share of units that give zero on all test images.  ``vanished in``, ``out``, ``both``: share whose
    weights are faint (:func:`living`).  ``near-duplicates in``, ``out``: share of living neurons whose incoming
    (outgoing) weights have a cosine above ``similar`` with those of another; ``squared cosine in``, ``out``: mean over
    living pairs; ``null`` is the same in a :func:`surrogate`.  ``balance``: correlation between the squared norms of
    the weights into and out of a neuron.  The input matrix is not kept, so the first hidden layer has no "in".
    """
    _check_similar(similar)
    mask = archive.alive if runs == "alive" else np.ones(archive.runs, bool)
    weights = [archive.weights(-1, layer, runs) for layer in range(len(archive.layers))]
    rows: list[dict[str, object]] = []

    def add(measure: str, value: tuple[float, float], null: tuple[float, float] = (np.nan, np.nan)) -> None:
        row = {"hidden": h + 1, "measure": measure, "value": value[0], "se": value[1]}
        rows.append(row | {"null": null[0], "null_se": null[1]})

    for h, width in enumerate(archive.template.hidden):
        add("silent", _mean(archive.dead_units[mask, -1, h] / width))
        sides = {"in": weights[h - 1]} if h else {}
        sides["out"] = weights[h].swapaxes(1, 2)
        gone = {side: ~living(W, faint)[0] for side, W in sides.items()}
        for side, W in sides.items():
            add(f"vanished {side}", _mean(gone[side].mean(axis=1)))
            null = _likeness(surrogate(W, faint, seed), faint, similar)
            for name, counts in _likeness(W, faint, similar).items():
                add(f"{name} {side}", _ratio(*counts), _ratio(*null[name]))
        if h:
            add("vanished both", _mean((gone["in"] & gone["out"]).mean(axis=1)))
            add("balance", _correlation(*((sides[side] ** 2).sum(axis=2) for side in ("in", "out"))))
    return _frame(rows)


def _check_similar(similar: float) -> None:
    if isinstance(similar, bool) or not isinstance(similar, int | float | np.number) or not 0 < similar < 1:
        raise PigmmError.of("similar", got=similar, allowed="a cosine between 0 and 1, such as 0.9")


def _correlation(x: Array, y: Array) -> tuple[float, float]:
    """Correlation over all runs and neurons of x and y (R, n), and its error from the runs."""
    zx, zy = ((v - v.mean()) / (v.std() or 1.0) for v in (x, y))
    value = float((zx * zy).mean())
    return value, _mean((zx * zy - value * (zx**2 + zy**2) / 2).mean(axis=1))[1]


def silent(archive: Archive, runs: str = "all") -> pd.DataFrame:
    """Share of hidden units that give zero on all test images: epoch, layer (the matrix they feed), value, se."""
    mask = archive.alive if runs == "alive" else np.ones(archive.runs, bool)
    rows: list[dict[str, object]] = []
    for h, width in enumerate(archive.template.hidden):
        for epoch in range(archive.epochs + 1):
            value, se = _mean(archive.dead_units[mask, epoch, h] / width)
            rows.append({"epoch": epoch, "layer": f"L{h + 1}", "value": value, "se": se})
    return _frame(rows)


def films(archive: Archive, faint: float = 0.1, similar: float = 0.9) -> pd.DataFrame:
    """By epoch and layer, over the first networks: share of vanished rows and columns, and of near-duplicate ones.

    Columns epoch, layer, measure ("vanished rows", "vanished columns", "near-duplicate rows", "... columns"), value,
    se (over these few networks: mean of ``networks``).
    """
    _check_similar(similar)
    rows: list[dict[str, object]] = []
    for layer in range(len(archive.layers)):
        film = archive.film(layer)
        for epoch in range(archive.epochs + 1):
            for side, W in (("rows", film[:, epoch]), ("columns", film[:, epoch].swapaxes(1, 2))):
                found = {
                    f"vanished {side}": _mean((~living(W, faint)[0]).mean(axis=1)),
                    f"near-duplicate {side}": _ratio(*_likeness(W, faint, similar)["near-duplicates"]),
                }
                for measure, (value, se) in found.items():
                    rows.append({
                        "epoch": epoch, "layer": f"L{layer + 1}", "measure": measure, "value": value, "se": se,
                        "networks": len(film),
                    })  # fmt: skip
    return _frame(rows)


def effective_rank(archive: Archive, faint: float = 0.1, seed: int = 0, runs: str = "all") -> pd.DataFrame:
    """(Σ s²)² / Σ s⁴ of the singular values where raw weights are kept: epoch, layer, value, se, null, null_se.

    D for equal singular values, 1 for a single one; ``null`` is that of a :func:`surrogate`.
    """
    rows: list[dict[str, object]] = []
    for epoch in archive.weight_epochs:
        for layer in range(len(archive.layers)):
            W = archive.weights(epoch, layer, runs)
            (value, se), (null, null_se) = (_mean(_rank(x)) for x in (W, surrogate(W, faint, seed)))
            rows.append({
                "epoch": epoch, "layer": f"L{layer + 1}", "value": value, "se": se, "null": null, "null_se": null_se,
            })  # fmt: skip
    return _frame(rows)


def _rank(W: Array) -> Array:
    squares = np.linalg.svd(W, compute_uv=False) ** 2
    fourth = (squares**2).sum(axis=1)
    return np.divide(squares.sum(axis=1) ** 2, fourth, out=np.zeros_like(fourth), where=fourth > 0)


def spectra(archive: Archive, runs: str = "all") -> pd.DataFrame:
    """Mean singular values in descending order by epoch and layer: epoch, layer, place, mean, se, sd."""
    rows: list[dict[str, object]] = []
    for layer in range(len(archive.layers)):
        for epoch in range(archive.epochs + 1):
            moments = archive.singular_values(epoch, layer, runs)
            error = moments.standard_error()
            for k, (mean, se) in enumerate(zip(moments.mean, error, strict=True)):
                sd = se * np.sqrt(moments.count)
                rows.append({
                    "epoch": epoch, "layer": f"L{layer + 1}", "place": k + 1, "mean": mean, "se": se, "sd": sd,
                })  # fmt: skip
    return _frame(rows)
