"""One layer of an ensemble: every table and number of its report, computed by the rest of the package.

:func:`layer_report` fits the laws of the ladder and asks each test in turn.  What cannot be told of these matrices, for
want of runs or for another reason, is a line in ``unknown`` and stops nothing.  :mod:`pigmm.report_words` turns the
result into sentences.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

import numpy as np
from scipy.stats import chi2

from . import independence, power
from .errors import PigmmError
from .gaussianity import compare
from .intervals import squared_distance
from .irreps import Array, sufficient_statistics, two_sided_statistics
from .joint import joint_test
from .ladder import FITS
from .laws import MatrixLaw
from .symmetry import symmetry_test
from .tables import draw_seeds, require_pandas, unit

if TYPE_CHECKING:
    import pandas as pd

__all__ = ["AVERAGES", "POWER", "LayerReport", "layer_report"]

POWER = 0.8
"""The probability with which an effect shall be seen, wherever numbers of runs are given."""

AVERAGES = 43
"""Cubic and quartic averages that do not change if rows and columns are relabelled separately."""

STEPS = (("independent", "two-sided"), ("two-sided", "diagonal"), ("two-sided", "labelled rows"))
FIVE = ("m", "v00", "vr", "vc", "vrc")
NEEDS = {"symmetry": 12, "joint test": 50, "independence of the runs": 8, "distance": 10}  # runs


@dataclass(frozen=True, eq=False)
class LayerReport:
    """One layer: tables by name, numbers by name, what they say, and what cannot be told.

    ``tables`` may hold ladder, parameters, contrasts, predictions, invariants, leaders, independence and distance.
    """

    name: str
    shape: tuple[int, int]
    runs: int
    labelled: bool = False
    tables: dict[str, pd.DataFrame] = field(default_factory=dict)
    numbers: dict[str, Any] = field(default_factory=dict)
    sentences: list[str] = field(default_factory=list)
    unknown: list[str] = field(default_factory=list)

    def attempt(self, what: str, compute: Callable[..., Any], *given: Any, **options: Any) -> Any:
        """The result, or None and a line in ``unknown``."""
        if self.runs < NEEDS.get(what, 0):
            self.unknown.append(f"{what}: needs at least {NEEDS[what]} runs")
            return None
        try:
            return compute(*given, **options)
        except PigmmError as error:
            self.unknown.append(f"{what}: {error}")
            return None

    def tabulate(self, name: str, rows: list[dict[str, Any]]) -> None:
        """Keep a table, if it has rows."""
        if rows:
            self.tables[name] = require_pandas().DataFrame(rows)


def layer_report(
    name: str,
    W: Array,
    *,
    labelled: bool = False,
    other: MatrixLaw | Array | None = None,
    alpha: float = 0.05,
    bootstrap: bool = True,
    seed: int = 0,
) -> LayerReport:
    """Tables and numbers of one layer; the sentences are still missing.

    Parameters
    ----------
    name : str
    W : array (R, M, N)
        At least three finite matrices.
    labelled : bool
        Do the rows carry names, such as classes?
    other : law or array (S, M, N), optional
        What the layer is compared with.
    alpha, bootstrap, seed
        As in :func:`pigmm.report.report`.

    Examples
    --------
    >>> part = layer_report("fc", np.random.default_rng(0).normal(size=(20, 3, 5)), bootstrap=False)
    >>> sorted(part.tables), sorted(part.unknown)[0]
    (['independence', 'invariants', 'ladder', 'leaders', 'parameters', 'predictions'],
     'how small a miss of a prediction 20 runs would show: needs at least 30 runs')
    """
    R, M, N = W.shape
    part = LayerReport(name, (M, N), R, labelled)
    if not np.ptp(W, axis=0).any():
        part.unknown.append("anything: the matrices of all runs are equal")
        return part
    seeds = draw_seeds(seed, 5)
    scale = unit(W)
    X = W / scale  # in units of order one nothing over- or underflows
    names = ["independent", "two-sided"] + ["diagonal"] * (M == N >= 4) + ["labelled rows"] * labelled
    laws = {law: fitted for law in names if (fitted := part.attempt(f"{law} law", FITS[law], X))}
    part.attempt("laws", _ladder, part, X, laws, alpha, bootstrap, seeds[0])
    _parameters(part, X, laws, scale)
    if M == N >= 4:
        part.attempt("symmetry", _symmetry, part, X, scale, alpha, seeds[1])
    elif M == N:
        part.unknown.append(f"symmetry: the test needs matrices of at least 4 x 4, these are {M} x {N}")
    part.attempt("predictions", _predictions, part, W, laws, alpha, bootstrap, seeds[2])
    if X.size * min(M, N) <= 8e10:  # else it would take minutes
        part.attempt("joint test", _joint, part, X)
    part.attempt("independence of the runs", _independence, part, X, alpha, seeds[3])
    if other is not None:
        part.attempt("distance", _distance, part, W, other, alpha, seeds[4])
    _seen(part, alpha)
    return part


def _ladder(
    part: LayerReport, W: Array, laws: Mapping[str, MatrixLaw], alpha: float, bootstrap: bool, seed: int
) -> None:
    """Gains with noise lines from ensembles drawn from the smaller law; right at any R for Gaussian weights."""
    R, rows = len(W), []
    repeats = _repeats(alpha, W.size / 2e7) if bootstrap else 0
    for small, large in STEPS:
        if small not in laws or large not in laws:
            continue
        gain = part.attempt(f"{large} law", _gain, laws[small], laws[large])
        if gain is None:
            continue
        dof = len(laws[large].parameters) - len(laws[small].parameters)
        if repeats:
            draws = (laws[small].sample(R, draw) for draw in draw_seeds(seed, repeats))
            null = np.array([_gain(FITS[small](X), FITS[large](X)) for X in draws])
            mean, line, p = null.mean(), np.quantile(null, 1 - alpha), (1 + (null >= gain).sum()) / (1 + repeats)
        else:
            mean, line, p = dof / 2 / R, chi2.isf(alpha, dof) / 2 / R, chi2.sf(2 * R * gain, dof)
        rows.append({
            "law": large, "contains": small, "parameters added": dof, "gain": gain, "gain by chance": mean,
            "noise line": line, "p": p,
        })  # fmt: skip
        part.numbers[f"gain_{large.replace('-', '_').replace(' ', '_')}"] = gain
    part.numbers["ladder_repeats"] = repeats
    part.tabulate("ladder", rows)


def _gain(small: MatrixLaw, large: MatrixLaw) -> float:
    """Log-likelihood that the larger of two fitted laws gains per matrix."""
    return small.entropy() - large.entropy()


def _repeats(alpha: float, seconds: float) -> int:
    """Bootstrap ensembles: enough for the level, none where they would take more than some ten seconds."""
    return next((count for count in (_enough(alpha), 99) if count * seconds < 10 and count >= 4 / alpha - 1), 0)


def _enough(alpha: float) -> int:
    return max(199, math.ceil(10 / alpha) - 1)


def _parameters(part: LayerReport, W: Array, laws: Mapping[str, Any], scale: float) -> None:
    rows = []
    for law, fitted in laws.items():
        theory = fitted.parameter_errors(len(W))
        for k, (name, runs) in enumerate(_influence(W, law).items()):
            back = scale if name in ("mean", "m", "f1", "f2") or name.startswith("mean of row") else scale**2
            error = runs.std(ddof=1) / math.sqrt(len(W))
            rows.append({
                "law": law, "parameter": name, "value": back * runs.mean(), "se": back * error,
                "se if Gaussian": back * theory[k],
            })  # fmt: skip
    part.tabulate("parameters", rows)


def _influence(W: Array, law: str) -> dict[str, Array]:
    """One number a run for every parameter, whose mean is the parameter and whose spread its error (up to 1/R)."""
    if law == "independent":
        mean = W.mean(axis=(1, 2))
        return {"mean": mean, "variance": ((W - mean.mean()) ** 2).mean(axis=(1, 2))}
    if law == "two-sided":
        runs = two_sided_statistics(W)
        runs[:, 1] = W[0].size * (runs[:, 0] - runs[:, 0].mean()) ** 2
        return dict(zip(FIVE, runs.T, strict=True))
    if law == "diagonal":
        runs = sufficient_statistics(W)
        x = runs[:, :2] - runs[:, :2].mean(axis=0)
        runs[:, 2:5] = np.stack([x[:, 0] ** 2, x[:, 0] * x[:, 1], x[:, 1] ** 2], axis=1)
        return {f"f{k}": column for k, column in enumerate(runs.T, 1)}
    if W.shape[1] > 20:
        return {}
    return {f"mean of row {k}": row for k, row in enumerate(W.mean(axis=2).T)}  # of 120 numbers for ten labels


def _symmetry(part: LayerReport, W: Array, scale: float, alpha: float, seed: int) -> None:
    test = symmetry_test(W, permutations=_repeats(alpha, W.size / 1e8), seed=seed)
    table = test.contrasts
    for column in ("value", "se"):
        table[column] *= np.array([scale] + [scale**2] * 7)  # the first contrast is linear in the weights
    part.tables["contrasts"] = table
    R = len(W)
    effect = math.sqrt(max(0.0, (test.statistic * (R - 10) / (R - 1) - 8) / R))  # less what chance makes of it
    part.numbers.update(symmetry_p=test.pvalue, symmetry_T2=test.statistic, symmetry_effect=effect)
    if effect > 0.05:
        wanted = power.runs_needed(lambda R: power.contrast_power(R, effect, alpha), POWER)
        part.numbers["symmetry_runs_needed"] = wanted


def _predictions(
    part: LayerReport, W: Array, laws: Mapping[str, MatrixLaw], alpha: float, bootstrap: bool, seed: int
) -> None:
    """Every law that has predictions; details of the one that the layer calls for."""
    R, M, N = W.shape
    rows: dict[str, dict[str, Any]] = {}
    kept = {}
    for k, law in enumerate(name for name in ("two-sided", "diagonal", "labelled rows") if name in laws):
        what = f"predictions of the {law} law"
        seconds = R * (3e-5 * (1 + (law == "diagonal")) + M * N * min(M, N) / (3e8 if law == "diagonal" else 8e8))
        if seconds > 100:
            part.unknown.append(f"{what}: {R} matrices of {M} x {N} would take minutes")
            continue
        repeats = _repeats(alpha, seconds) if bootstrap and law != "labelled rows" else 0
        options = {"model": type(laws[law]), "bootstrap": repeats, "seed": draw_seeds(seed, 3)[k]}
        table = part.attempt(what, compare, W, **options)
        if table is None:
            continue
        p = table["p_family" if repeats else "p_adjusted"]
        top = table.iloc[int(table["z"].abs().to_numpy().argmax())]
        kept[law] = table
        rows[law] = {
            "law": law, "averages": len(table), "effect: median": table["ratio"].median(),
            "effect: largest": table["ratio"].max(), "refuted": int((p < alpha).sum()), "largest |z|": abs(top["z"]),
            "at": top["name"], "measured": top["measured"], "predicted": top["predicted"], "smallest p": p.min(),
            "calibrated": repeats > 0,
        }  # fmt: skip
    if not rows:
        return
    part.tabulate("predictions", list(rows.values()))
    special = part.numbers.get("symmetry_p", 1) < alpha
    wanted = ["labelled rows", *["diagonal"] * special, "two-sided", "diagonal"]
    law = next(law for law in wanted if law in rows)
    best, table = rows[law], kept[law]
    leaders = table.sort_values("z", key=abs, ascending=False).head(5)
    columns = ["name", "measured", "se", "predicted", "ratio", "z"]
    part.tables["invariants"] = table
    part.tables["leaders"] = leaders[columns].rename(columns={"ratio": "effect size"})
    tested = table[table["se_difference"] > 0]
    part.numbers.update(
        law=law, refuted=best["refuted"], largest_z=best["largest |z|"], leader=best["at"],
        median_effect=best["effect: median"],
        sharpness=float((tested["sd"] / tested["se_difference"]).median() / math.sqrt(R)),
    )  # fmt: skip


def _joint(part: LayerReport, W: Array) -> None:
    part.numbers["joint_p"] = joint_test(W).pvalue


def _independence(part: LayerReport, W: Array, alpha: float, seed: int) -> None:
    """Overlaps under whatever symmetry the layer may have, and the order of runs."""
    distinct = list({matrix.tobytes(): r for r, matrix in enumerate(W)}.values())  # copies have a warning of their own
    block = W[distinct][:200, :32, :32]  # what holds for all entries holds for these
    ways = [(block, "separate"), (block.swapaxes(1, 2), "separate")]  # either side may be labelled
    if W.shape[1] == W.shape[2]:
        ways.append((block, "shared"))

    def likeness() -> list[independence.Audit]:
        repeats = _enough(alpha)
        return [independence.correlations(w, relabel=how, permutations=repeats, seed=seed) for w, how in ways]

    audits = part.attempt("likeness of the runs", likeness)
    order = independence.run_order(independence.matrix_features(W, ""), seed=seed)
    found = {"neighbours in run order resemble each other": order}
    if audits:  # only a likeness that no relabelling explains is a sign of dependence
        gentlest = max(audits, key=lambda audit: audit.pvalue)
        found = {"runs resemble each other entry by entry": gentlest, **found}
        part.numbers.update(
            p_overlap=gentlest.pvalue, mean_overlap=float(gentlest.values[0]), largest_overlap=float(gentlest.values[2])
        )
    part.numbers["p_order"] = order.pvalue
    rows = []
    for check, audit in found.items():
        worst = audit.worst
        rows.append({
            "check": check, "worst": audit.names[worst].strip(), "value": audit.values[worst], "p": audit.pvalue
        })  # fmt: skip
    part.tabulate("independence", rows)


def _distance(part: LayerReport, W: Array, other: MatrixLaw | Array, alpha: float, seed: int) -> None:
    found = squared_distance(W, other, level=1 - alpha, B=max(999, math.ceil(5 / alpha)), seed=seed)
    row: dict[str, Any] = {
        "squared distance": found.raw, "without noise": found.corrected, "se": found.se, "low": found.low,
        "high": found.high, "noise floor": found.floor,
    }  # fmt: skip
    part.numbers.update(distance_squared=found.corrected, distance_squared_se=found.se, floor=found.floor)
    if not isinstance(other, MatrixLaw):
        x, y = independence.matrix_features(W, ""), independence.matrix_features(other, "")
        row["p, same law"] = part.numbers["same_law_p"] = independence.same_law(x, y, seed=seed).pvalue
    part.tabulate("distance", [row])


def _seen(part: LayerReport, alpha: float) -> None:
    """The smallest effects that this many runs show with probability POWER."""
    R, seen = part.runs, {}
    if R < 30:  # below, z is not nearly normal
        part.unknown.append(f"how small a miss of a prediction {R} runs would show: needs at least 30 runs")
    elif "sharpness" in part.numbers:
        sharp = part.numbers["sharpness"]
        seen["effect"] = power.smallest_effect(lambda e: power.prediction_power(R, e, sharp, AVERAGES, alpha), POWER)
    if R >= 10:
        seen["gain"] = power.smallest_effect(lambda g: power.gain_power(R, g, 3, alpha), POWER)
    if part.shape[0] == part.shape[1] >= 4 and R >= 12:
        seen["contrasts"] = power.smallest_effect(lambda e: power.contrast_power(R, e, alpha), POWER)
    part.numbers["seen"] = seen
