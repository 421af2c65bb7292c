r"""Two ensembles side by side, without and with weight decay: what L2 regularisation does to the law of the weights.

Tables by epoch and layer: how networks learn, how far their law goes from its start and in which way, and how wrong its
predictions are.  :func:`tidy` puts the same table of several archives under each other, with columns ``scheme`` and
``decay``.  What becomes of single neurons is the matter of :mod:`pigmm.neurons`.

One fact serves as a yardstick.  A constant added to all outputs changes no probability, so the sums over classes of the
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
from .evolution import frame, initial_law, layer_name, mean_covariance, parameter_jacobian
from .gaussianity import compare
from .graphs import invariant_graphs
from .invariants import evaluate
from .irreps import Array, as_matrices, sufficient_statistics
from .laws import MatrixLaw
from .layout import featured_layers
from .models import GaussianMatrixModel
from .tables import require_pandas

if TYPE_CHECKING:
    import pandas as pd

__all__ = [
    "Misfit", "group", "learning", "misfit", "norm_variance", "paired", "ruler", "side_by_side", "spectra", "tidy",
    "travelled",
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


def group(archive: Archive, runs: str) -> NDArray[np.bool_]:
    """Which networks belong to the group "all" or "alive", (R,)."""
    archive.count(runs)  # raises for any other word
    return archive.alive if runs == "alive" else np.ones(archive.runs, bool)


# ---- learning, and the way the law goes


def learning(archive: Archive, runs: str = "all") -> pd.DataFrame:
    """By epoch: accuracy on test and training images, gap (training minus test), loss, and the norm of every matrix.

    Columns epoch, what, mean, se (standard error of the mean), sd (over networks), low and high (10 and 90 %).
    """
    mask = group(archive, runs)
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
            sd, (low, high) = x.std(ddof=1), np.quantile(x, [0.1, 0.9])
            rows.append({
                "epoch": epoch, "what": what, "mean": float(x.mean()), "se": float(sd / np.sqrt(len(x))), "sd": sd,
                "low": low, "high": high,
            })  # fmt: skip
    return frame(rows)


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
            moments = archive.features(epoch, layer, runs)
            jacobian = parameter_jacobian(moments.mean)
            covariance = jacobian @ mean_covariance(moments) @ jacobian.T
            row: dict[str, object] = {"epoch": epoch, "layer": layer_name(layer)}
            for name, (value, slope) in terms.items():
                row |= {name: value, f"{name}_se": float(np.sqrt(max(slope @ covariance @ slope, 0.0)))}
            row["share"] = terms["scale"][0] / terms["w2_squared"][0]
            rows.append(row)
    return frame(rows)


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


def spectra(archive: Archive, runs: str = "all") -> pd.DataFrame:
    """Mean singular values in descending order by epoch and layer: epoch, layer, place, mean, se, sd."""
    rows: list[dict[str, object]] = []
    for layer in range(len(archive.layers)):
        for epoch in range(archive.epochs + 1):
            moments = archive.singular_values(epoch, layer, runs)
            for k, (mean, se) in enumerate(zip(moments.mean, moments.standard_error(), strict=True)):
                rows.append({
                    "epoch": epoch, "layer": layer_name(layer), "place": k + 1, "mean": mean, "se": se,
                    "sd": se * np.sqrt(moments.count),
                })  # fmt: skip
    return frame(rows)


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
    mask = group(archive, runs)
    for layer in featured_layers(archive.template):
        for epoch in range(archive.epochs + 1):
            squares = archive.norms[mask, epoch, layer + 1] ** 2
            sd, predicted = squares.std(ddof=1), np.sqrt(norm_variance(archive.model(epoch, layer, runs)))
            rows.append({
                "epoch": epoch, "layer": layer_name(layer), "measured": sd, "predicted": predicted,
                "stretch": sd / predicted, "stretch_se": sd / predicted * _sd_error(squares),
            })  # fmt: skip
    return frame(rows)


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
