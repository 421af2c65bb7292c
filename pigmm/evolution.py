"""An archive read along its training: tables by epoch and layer, each number with its error.

Every function takes an archive and returns a tidy DataFrame; the figures only draw these tables.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from functools import partial
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import ArrayLike

from . import wick
from .archive import Archive
from .graphs import PAPER
from .invariants import evaluate
from .irreps import Array, sufficient_statistics
from .layout import STATISTICS, archived_graphs, featured_layers
from .models import GaussianMatrixModel, SimpleGaussian
from .moments import Moments
from .tables import require_pandas
from .transport import noise_floor, w2_squared

if TYPE_CHECKING:
    import pandas as pd

__all__ = [
    "distances", "drift", "frame", "gains", "iid_variances", "initial_chi2", "initial_law", "initialisation",
    "layer_name", "mean_covariance", "mean_statistics", "misses", "parameter_jacobian", "parameters", "predictions",
    "rms_effect", "shrinkage", "training",
]  # fmt: skip

LOW_ORDER = tuple(PAPER[:13])
"""The paper's I1 ... I13: both linear and all eleven quadratic invariants."""


def frame(rows: list[dict[str, object]]) -> pd.DataFrame:
    """A table from its rows."""
    table: pd.DataFrame = require_pandas().DataFrame(rows)
    return table


def _places(names: ArrayLike) -> list[int]:
    order = {graph.name: STATISTICS + k for k, graph in enumerate(archived_graphs())}
    return [order[str(name)] for name in np.atleast_1d(names)]


def layer_name(layer: int) -> str:
    """``"L1"`` for layer 0, as tables and figures call it."""
    return f"L{layer + 1}"


def initial_law(archive: Archive, layer: int) -> SimpleGaussian:
    """The exact second-order law of a layer before training: mean 0, variance 1/fan_in (Gaussian) or 1/(3 fan_in)."""
    fan_in = archive.layers[layer][1]
    variance = 1 / fan_in if archive.config.init == "gaussian" else 1 / (3 * fan_in)
    return SimpleGaussian(0.0, variance, archive.layers[layer])


def iid_variances(D: int, m2: float, m4: float) -> Array:
    """Variance of I1 ... I13 of one D x D matrix of independent symmetric entries with moments m2 and m4, (13,).

    Examples
    --------
    >>> iid_variances(10, 0.1, 0.03)[:2]     # tr W and the sum of all entries
    array([ 1., 10.])
    """
    s, e = m2 * m2, m4
    return np.array([
        D * m2, D * D * m2, D * D * (e - s), D * e + D * (2 * D - 3) * s, D * e + D * (D - 2) * s,
        D * e + D * (D - 2) * s, D * D * e + D * D * (2 * D - 3) * s, D * D * e + D * D * (2 * D - 3) * s,
        D * e + D * (D * D + D - 3) * s, D * D * e + D * D * (2 * D * D - 3) * s, D * (e - s),
        D * e + D * (2 * D - 3) * s, D * e + D * (D * D + D - 3) * s,
    ])  # fmt: skip


def initialisation(archive: Archive) -> pd.DataFrame:
    """I1 ... I13 before training beside their exact values: layer, paper, name, exact, exact_se, measured, z.

    ``exact_se`` is the exact standard error of a mean over the archive's runs, from second and fourth moments.
    """
    rows: list[dict[str, object]] = []
    for layer in featured_layers(archive.template):
        law, D = initial_law(archive, layer), archive.layers[layer][0]
        kurtosis = 3.0 if archive.config.init == "gaussian" else 1.8
        exact = wick.expectation(LOW_ORDER, law)
        errors = np.sqrt(iid_variances(D, law.variance, kurtosis * law.variance**2) / archive.runs)
        measured = archive.features(0, layer).mean[_places(LOW_ORDER)]
        for k, name in enumerate(LOW_ORDER):
            rows.append({
                "layer": layer_name(layer), "paper": k + 1, "name": name, "exact": exact[k], "exact_se": errors[k],
                "measured": measured[k], "z": (measured[k] - exact[k]) / errors[k],
            })  # fmt: skip
    return frame(rows)


def initial_chi2(archive: Archive) -> tuple[float, int, float]:
    """Joint test of the 13 mean statistics of all layers at the start against their exact values: chi2, degrees, p.

    The statistics of one layer are correlated; their covariance is that of 20,000 matrices drawn as the networks were
    started (a covariance measured on the same runs would reject too often).  Layers start independently.
    """
    from scipy import stats

    chi2, degrees, rng = 0.0, 0, np.random.default_rng(0)
    for layer in featured_layers(archive.template):
        law = initial_law(archive, layer)
        gap = archive.features(0, layer).mean[:STATISTICS] - mean_statistics(law.to_diagonal())
        side = np.sqrt(3 * law.variance)
        gaussian = archive.config.init == "gaussian"
        shape = (20_000 if law.shape[0] <= 40 else 1000, *law.shape)
        drawn = rng.normal(0, np.sqrt(law.variance), shape) if gaussian else rng.uniform(-side, side, shape)
        covariance = np.cov(sufficient_statistics(drawn).T) / archive.runs
        chi2 += float(gap @ np.linalg.solve(covariance, gap))
        degrees += STATISTICS
    return chi2, degrees, float(stats.chi2.sf(chi2, degrees))


def mean_statistics(law: GaussianMatrixModel) -> Array:
    """Exact expectation of the 13 sufficient statistics under a law, (13,)."""
    mean = law.parameters.copy()
    x1, x2 = law.mean_trivial
    mean[2:5] += x1 * x1, x1 * x2, x2 * x2
    return mean


def shrinkage(archive: Archive, names: Sequence[str], layer: int = 0) -> pd.DataFrame:
    """How the error of an invariant's mean falls with the number of networks: name, runs, error, error_se, expected.

    The networks at initialisation are cut into disjoint groups of ``runs``; ``error`` is the root mean square over
    groups of (group mean - exact) / exact, ``expected`` the standard deviation over networks / (exact sqrt(runs)).
    """
    W, law = archive.weights(0, layer), initial_law(archive, layer)
    rows: list[dict[str, object]] = []
    exact, values = wick.expectation(names, law), evaluate(names, W)
    for k, name in enumerate(names):
        for size in (2**n for n in range(1, 12)):
            groups = len(W) // size
            if groups < 4:
                break
            misses = values[: groups * size, k].reshape(groups, size).mean(axis=1) / exact[k] - 1
            error = np.sqrt((misses**2).mean())
            rows.append({
                "name": name, "runs": size, "error": error, "error_se": error / np.sqrt(2 * groups),
                "expected": values[:, k].std(ddof=1) / abs(exact[k]) / np.sqrt(size),
            })  # fmt: skip
    return frame(rows)


def training(archive: Archive) -> pd.DataFrame:
    """By epoch: median, 10 % and 90 % quantile over runs of test accuracy and training loss, and how many are dead."""
    rows: list[dict[str, object]] = []
    hidden = np.asarray(archive.template.hidden)
    for epoch in range(archive.epochs + 1):
        values = {"accuracy": archive.test_accuracy[:, epoch]}
        if epoch:
            values["loss"] = archive.loss[:, epoch - 1]
        row: dict[str, object] = {"epoch": epoch}
        for name, x in values.items():
            row |= {f"{name}_{q}": np.quantile(x, level) for q, level in (("low", 0.1), ("median", 0.5), ("high", 0.9))}
            row |= {f"{name}_mean": x.mean(), f"{name}_se": x.std(ddof=1) / np.sqrt(len(x))}
        row["dead"] = int((archive.dead_units[:, epoch] >= hidden).any(axis=1).sum())
        rows.append(row)
    return frame(rows)


def drift(archive: Archive, runs: str = "all") -> pd.DataFrame:
    """Paired change of I1 ... I13 since initialisation: epoch, layer, paper, name, change, se, shift.

    ``shift`` is the change in units of the standard deviation over networks at initialisation, ``shift_se`` its error.
    """
    rows: list[dict[str, object]] = []
    places = _places(LOW_ORDER)
    for layer in featured_layers(archive.template):
        start = archive.features(0, layer, runs)
        spread = np.sqrt(start.squares[places] / (start.count - 1))
        for epoch in range(archive.epochs + 1):
            moments = archive.change(epoch, layer, runs)
            change, error = moments.mean[places], moments.standard_error()[places]
            for k, name in enumerate(LOW_ORDER):
                rows.append({
                    "epoch": epoch, "layer": layer_name(layer), "paper": k + 1, "name": name, "change": change[k],
                    "se": error[k], "shift": change[k] / spread[k], "shift_se": error[k] / spread[k],
                })  # fmt: skip
    return frame(rows)


def parameters(archive: Archive, runs: str = "all") -> pd.DataFrame:
    """f1 ... f13 by epoch and layer with standard errors from the runs themselves (no Gaussian assumption)."""
    rows: list[dict[str, object]] = []
    for layer in featured_layers(archive.template):
        for epoch in range(archive.epochs + 1):
            moments, law = archive.features(epoch, layer, runs), archive.model(epoch, layer, runs)
            slope = parameter_jacobian(moments.mean)
            errors = np.sqrt(np.diag(slope @ mean_covariance(moments) @ slope.T))
            for k in range(13):
                rows.append({
                    "epoch": epoch, "layer": layer_name(layer), "parameter": f"f{k + 1}",
                    "value": law.parameters[k], "se": errors[k],
                })  # fmt: skip
    return frame(rows)


def parameter_jacobian(mean: Array) -> Array:
    """Slopes (13, 13) of f1 ... f13 in the mean statistics: f are these means, except that the block V0 is centred."""
    J = np.eye(STATISTICS)
    x1, x2 = mean[:2]
    J[2, 0], J[3, 0], J[3, 1], J[4, 1] = -2 * x1, -x2, -x1, -2 * x2
    return J


def mean_covariance(moments: Moments) -> Array:
    """Covariance (13, 13) of the means of the 13 statistics, which come first among the features."""
    covariance: Array = moments.comoment[:, :STATISTICS] / (moments.count - 1) / moments.count
    return covariance


def gains(archive: Archive, runs: str = "all") -> pd.DataFrame:
    """Log-likelihood gained per network over independent entries by the 5- and 13-parameter laws, in nats.

    ``se`` is the standard error of ``gain_13`` by the delta method (it means little near zero).  ``null_5`` and
    ``null_13`` are the 95 % quantiles of the gain that fitting noise alone would bring (Wilks).
    """
    from scipy import stats

    rows: list[dict[str, object]] = []
    for layer in featured_layers(archive.template):
        for epoch in range(archive.epochs + 1):
            base = archive.simple(epoch, layer, runs).entropy()
            law, R = archive.model(epoch, layer, runs), archive.count(runs)
            rows.append({
                "epoch": epoch, "layer": layer_name(layer), "gain_13": base - law.entropy(),
                "se": _delta_error(_gain, law, archive, epoch, layer, runs),
                "gain_5": base - archive.two_sided(epoch, layer, runs).entropy(),
                "null_5": stats.chi2.ppf(0.95, 3) / (2 * R), "null_13": stats.chi2.ppf(0.95, 11) / (2 * R),
            })  # fmt: skip
    return frame(rows)


def _gain(law: GaussianMatrixModel) -> float:
    """Entropy of the best law of independent entries minus the law's own."""
    D, dims = law.dim, [block.dim for block in law.decomposition.blocks]
    traces = sum(dim * np.trace(covariance) for dim, (_, covariance) in zip(dims, law.blocks(), strict=True))
    mean = law.parameters[0] / D
    variance = (traces + (law.mean_trivial**2).sum()) / D**2 - mean**2
    return SimpleGaussian(mean, variance, (D, D)).entropy() - law.entropy()


def _delta_error(
    function: Callable[[GaussianMatrixModel], float], law: GaussianMatrixModel, archive: Archive, *place: Any
) -> float:
    """Standard error of a function of the fitted law: its slope in f1 ... f13 and the measured covariance."""
    step = 1e-4 * law.parameters[11:].mean()
    slope = np.zeros(13)
    for k, shift in enumerate(step * np.eye(13)):
        up, down = (function(GaussianMatrixModel(law.parameters + sign * shift, law.dim)) for sign in (1, -1))
        slope[k] = (up - down) / (2 * step)
    moments = archive.features(*place)
    slope = slope @ parameter_jacobian(moments.mean)
    return float(np.sqrt(slope @ mean_covariance(moments) @ slope))


def predictions(archive: Archive, runs: str = "all") -> pd.DataFrame:
    """Cubic and quartic predictions by epoch and layer: how large the deviations are, by both measures.

    ``ratio_median``, ``ratio_high`` (90 %), ``ratio_max``: the paper's effect size over the 348 invariants, and
    ``*_paper`` over the 39 of the paper; ``ratio_noise``: the median that a true law would give.  ``z_rms``: root mean
    square z (1 when the law is right); ``z_max`` and the invariant ``leader`` that has it; ``rejected``: share with
    Benjamini-Hochberg adjusted p below 0.05.
    """
    rows: list[dict[str, object]] = []
    for layer in featured_layers(archive.template):
        for epoch in range(archive.epochs + 1):
            table = archive.comparison(epoch, layer, runs)
            table = table[table["degree"] > 2]
            published = table[table["paper"].notna()]
            z = table["z"].abs()
            leader = table.iloc[int(z.to_numpy().argmax())]
            rows.append({
                "epoch": epoch, "layer": layer_name(layer),
                "ratio_median": table["ratio"].median(), "ratio_high": table["ratio"].quantile(0.9),
                "ratio_max": table["ratio"].max(),
                "ratio_noise": 0.6745 * (table["se_difference"] / table["sd"]).median(),
                "ratio_median_paper": published["ratio"].median(),
                "ratio_max_paper": published["ratio"].max(), "z_rms": np.sqrt((z**2).mean()), "z_max": z.max(),
                "leader": leader["name"], "leader_measured": leader["measured"], "leader_se": leader["se"],
                "leader_predicted": leader["predicted"],
                "rejected": (table["p_adjusted"] < 0.05).mean(),
            })  # fmt: skip
    return frame(rows)


def misses(archive: Archive, runs: str = "all") -> pd.DataFrame:
    """Root-mean-square effect size of the 348 cubic and quartic predictions of three laws, by epoch and layer.

    ``miss_2``: independent entries, ``miss_5``: separate symmetry of rows and columns, ``miss_13``: the diagonal law;
    ``noise``: what the 13-parameter law would show if it were true.  All in units of the spread over networks.
    """
    rows: list[dict[str, object]] = []
    for layer in featured_layers(archive.template):
        for epoch in range(archive.epochs + 1):
            row: dict[str, object] = {"epoch": epoch, "layer": layer_name(layer)}
            for name, law in (("2", archive.simple), ("5", archive.two_sided), ("13", archive.model)):
                table = archive.comparison(epoch, layer, runs, None if name == "13" else law(epoch, layer, runs))
                table = table[table["degree"] > 2]
                row[f"miss_{name}"] = rms_effect(table)
            row["noise"] = float(np.sqrt(((table["se_difference"] / table["sd"]) ** 2).mean()))
            rows.append(row)
    return frame(rows)


def rms_effect(table: pd.DataFrame) -> float:
    """Root mean square over the rows of a comparison of the effect size |measured - predicted| / sd."""
    return float(np.sqrt((table["ratio"] ** 2).mean()))


def distances(archive: Archive, runs: str = "all") -> pd.DataFrame:
    """Squared Wasserstein distance of the fitted law from the exact initial one, by epoch and layer.

    ``w2_squared`` with its standard error (delta method on the measured covariance of the 13 statistics; it means
    little below the floor), ``w2``, and ``floor``: what sampling noise alone would show at initialisation.
    """
    rows: list[dict[str, object]] = []
    for layer in featured_layers(archive.template):
        start = initial_law(archive, layer).to_diagonal()
        for epoch in range(archive.epochs + 1):
            law = archive.model(epoch, layer, runs)
            squared = w2_squared(law, start)
            error = _delta_error(partial(w2_squared, start), law, archive, epoch, layer, runs)
            rows.append({
                "epoch": epoch, "layer": layer_name(layer), "w2_squared": squared, "se": error,
                "w2": np.sqrt(squared), "floor": noise_floor(start, archive.count(runs)),
            })  # fmt: skip
    return frame(rows)

