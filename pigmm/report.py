"""What can be said about an ensemble of weight matrices that somebody brings, in tables, figures and plain sentences.

:func:`report` runs what the rest of the package offers on every layer of a :class:`~pigmm.own_weights.OwnWeights`: the
ladder of laws, the symmetry test, the predictions of Gaussian laws in both measures, distances, and the checks of
independence that need no training history.  It says what cannot be told with so few runs, and how many would do.
"""

from __future__ import annotations

import base64
import html
import io
import json
import math
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field
from functools import lru_cache
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
from scipy.stats import chi2

from . import independence, power
from .claims import measured
from .errors import PigmmError, nearest
from .gaussianity import compare
from .intervals import squared_distance
from .irreps import Array, sufficient_statistics, two_sided_statistics
from .joint import joint_test
from .ladder import FITS
from .laws import MatrixLaw
from .models import SimpleGaussian
from .own_weights import OwnWeights, load_weights
from .storage import write_whole
from .symmetry import symmetry_test
from .tables import draw_seeds, require_pandas, unit

if TYPE_CHECKING:
    import pandas as pd

    from .style import Picture

__all__ = ["LayerReport", "Report", "picture_of_contrasts", "picture_of_gains", "picture_of_predictions", "report"]

FIVE = ("m", "v00", "vr", "vc", "vrc")
STARTS = {"gaussian": 1.0, "uniform": 1 / 3}  # variance times fan-in
POWER = 0.8
SMALL = 0.2  # an effect size below this is called a small miss

Block = tuple[str, Any]  # how reports are written: a kind and its content


@dataclass(frozen=True, eq=False)
class LayerReport:
    """One layer: tables by name, numbers by name, what they say, and what cannot be told.

    ``tables`` may hold ladder, parameters, contrasts, predictions, invariants and independence.
    """

    name: str
    shape: tuple[int, int]
    runs: int
    tables: dict[str, pd.DataFrame] = field(default_factory=dict)
    numbers: dict[str, Any] = field(default_factory=dict)
    sentences: list[str] = field(default_factory=list)
    unknown: list[str] = field(default_factory=list)

    def attempt(self, what: str, compute: Callable[..., Any], *given: Any, **options: Any) -> Any:
        """The result, or None and a line in ``unknown``."""
        try:
            return compute(*given, **options)
        except PigmmError as error:
            self.unknown.append(f"{what}: {error}")
            return None


@dataclass(frozen=True, eq=False)
class Report:
    """Everything about an ensemble: see :func:`report`.  ``write`` chooses the form by the ending of the file."""

    source: str
    runs: tuple[str, ...]
    layers: tuple[LayerReport, ...]
    skipped: Mapping[str, str]
    warnings: tuple[str, ...]
    needed: pd.DataFrame
    alpha: float
    seed: int
    against: str = ""

    def to_dict(self) -> dict[str, Any]:
        """Plain values; numbers that do not exist are None."""
        layers = {
            part.name: {
                "shape": part.shape, **part.numbers, "sentences": part.sentences, "cannot_tell": part.unknown,
                "tables": {name: table.to_dict(orient="records") for name, table in part.tables.items()},
            }
            for part in self.layers
        }  # fmt: skip
        whole: dict[str, Any] = _plain({
            "source": self.source, "runs": self.runs, "alpha": self.alpha, "seed": self.seed, "against": self.against,
            "warnings": self.warnings, "skipped": dict(self.skipped), "layers": layers,
            "runs_needed": self.needed.to_dict(orient="records"),
        })  # fmt: skip
        return whole

    def json(self) -> str:
        """JSON text, strict: no NaN."""
        return json.dumps(self.to_dict(), indent=1, allow_nan=False) + "\n"

    def text(self) -> str:
        """Plain text, for a terminal; no figures."""
        return "\n".join(_as_text(self.blocks(figures=False))) + "\n"

    def markdown(self, figures: bool = True) -> str:
        """One Markdown file with the figures inside."""
        return "\n".join(_as_markdown(self.blocks(figures))) + "\n"

    def html(self) -> str:
        """One HTML file that needs nothing else: figures are inside, with their descriptions."""
        return _PAGE.format(title=html.escape(self.source), body="\n".join(_as_html(self.blocks(figures=True))))

    def write(self, path: str | Path) -> Path:
        """Write ``.html``, ``.md``, ``.json`` or ``.txt``, whole or not at all."""
        target = checked_output(path)
        content = {".html": self.html, ".md": self.markdown, ".json": self.json, ".txt": self.text}
        write_whole(target, content[target.suffix.lower()]().encode())
        return target

    def pictures(self) -> Iterator[tuple[str, Picture]]:
        """Name and figure, those that this ensemble allows."""
        if any("ladder" in part.tables for part in self.layers):
            yield "gains", picture_of_gains(self)
        if any("contrasts" in part.tables for part in self.layers):
            yield "contrasts", picture_of_contrasts(self)
        if any("invariants" in part.tables for part in self.layers):
            yield "predictions", picture_of_predictions(self)

    def blocks(self, figures: bool) -> Iterator[Block]:
        """The report in order, in no particular form yet."""
        yield "h1", "Report on an ensemble of weight matrices"
        yield "p", f"{len(self.runs)} runs, {len(self.layers)} layers, from {self.source}."
        for text in self.warnings:
            yield "p", f"Warning: {text}"
        if figures:
            for _, picture in self.pictures():
                yield "picture", picture
        for part in self.layers:
            yield "h2", f"{part.name} ({part.shape[0]} x {part.shape[1]})"
            yield "list", part.sentences
            for name, caption in _CAPTIONS.items():
                if name in part.tables:
                    yield "table", (caption, part.tables[name])
            if part.unknown:
                yield "p", "Cannot be told:"
                yield "list", part.unknown
        yield "h2", "How many runs are needed"
        yield "table", (f"runs that see an effect with probability {POWER:g} at level {self.alpha:g}", self.needed)
        if self.skipped:
            yield "h2", "Left out"
            yield "list", [f"{name}: {reason}" for name, reason in self.skipped.items()]
        yield "h2", "How to read this"
        yield "list", list(_CAVEATS)


_CAPTIONS = {
    "ladder": "laws, each against the one it contains: gain in log-likelihood, nats per network, and its noise line",
    "parameters": "fitted parameters; errors from the runs themselves, and what Gaussian weights would give",
    "contrasts": "eight contrasts that vanish if rows and columns are relabelled separately",
    "predictions": "cubic and quartic averages predicted by each law: effect sizes (the paper's ratio) and z",
    "leaders": "the predictions that are furthest off, in standard errors",
    "independence": "are the runs independent of each other?",
    "distance": "squared Wasserstein distance, in squared weights",
}
_CAVEATS = (
    "All errors and p-values take the runs as independent: trained alike, from different seeds, none chosen by its "
    "result. Fine-tuned copies of one checkpoint are not independent, whatever the tests say.",
    "A p-value above the level means that these runs do not refute the law, and not that the law is true.",
    "An effect size says how far a prediction is off in units of the spread between networks; z says whether that can "
    "be chance. Many runs make a small effect certain, few runs hide a large one.",
    "A law is tested on every layer by itself; with many layers some p-value is small by chance.",
)


def report(
    source: Any,
    *,
    layer: str | None = None,
    labelled: str | None = None,
    against: Any = None,
    alpha: float = 0.05,
    bootstrap: bool = True,
    seed: int = 0,
) -> Report:
    """Analyse an ensemble of weight matrices.

    Parameters
    ----------
    source : OwnWeights, or whatever :func:`~pigmm.own_weights.load_weights` takes
    layer : str, optional
        This layer alone.
    labelled : str, optional
        The layer whose rows carry names, such as the classes of a last layer.
    against : optional
        Another ensemble (whatever ``load_weights`` takes) with layers of the same names and shapes, or "gaussian" or
        "uniform": the law of PyTorch-like starts with variance 1/fan-in or 1/(3 fan-in).
    alpha : float
        Level of the tests, 0.001 to 0.5.
    bootstrap : bool
        Draw ensembles from the fitted laws, so that noise lines and p-values are right for few runs too; False is
        quicker and takes the formulas for many runs.
    seed : int
        Of everything random: bootstrap ensembles, permutations, resampling.

    Returns
    -------
    Report

    Raises
    ------
    PigmmError
        For weights that cannot be read, and unknown layers.  What merely cannot be told of a layer is said in the
        report.

    Examples
    --------
    >>> from pigmm import TwoSidedGaussian
    >>> W = TwoSidedGaussian([0.0, 0.1, 0.5, 0.1, 0.1], shape=(5, 6)).sample(60, seed=0)
    >>> found = report({"hidden": W})
    >>> float(found.layers[0].numbers["gain_two_sided"]) > 0.1
    True
    >>> print(found.text().splitlines()[0])
    Report on an ensemble of weight matrices
    """
    number = isinstance(alpha, int | float | np.number) and not isinstance(alpha, bool)
    if not number or not 0.001 <= alpha <= 0.5:
        raise PigmmError.of("alpha", got=alpha, allowed="a number from 0.001 to 0.5")
    draw_seeds(seed, 1)
    weights = load_weights(source, layer)
    last = _named(labelled, weights)
    other, words, shared = _other(against, weights, layer)
    layers = [
        _layer_report(name, W, name == last, None if other is None else other(name, W), alpha, bootstrap, seed)
        for name, W in weights.arrays.items()
    ]
    needed = _runs_table(float(alpha))
    warnings = (*_warnings(weights, layers, alpha), *shared)
    return Report(weights.source, weights.runs, tuple(layers), weights.skipped, warnings, needed, alpha, seed, words)


@lru_cache(maxsize=8)
def _runs_table(alpha: float) -> pd.DataFrame:
    return power.runs_table(effects=(0.05, 0.1, 0.2, 0.5), power=POWER, alpha=alpha)


def _named(labelled: str | None, weights: OwnWeights) -> str:
    if labelled is None or labelled == "":
        return ""
    if not isinstance(labelled, str):
        raise PigmmError.of("labelled", got=labelled, allowed="the name of a layer")
    try:
        return weights.layer(labelled)
    except PigmmError:
        fix = nearest(labelled, weights.arrays) or None
        raise PigmmError.of("labelled", got=labelled, allowed=", ".join(weights.arrays), fix=fix) from None


def _other(
    against: Any, weights: OwnWeights, layer: str | None
) -> tuple[Callable[[str, Array], MatrixLaw | Array | None] | None, str, list[str]]:
    """What each layer is compared with, that in words, and what makes the two sets dependent."""
    if against is None or (isinstance(against, str) and against == ""):
        return None, "", []
    if isinstance(against, str) and against in STARTS:

        def start(_: str, W: Array) -> MatrixLaw:
            return SimpleGaussian(0.0, STARTS[against] / W.shape[2], (W.shape[1], W.shape[2]))

        return start, f"a {against} start, variance {'1' if against == 'gaussian' else '1/3'} over fan-in", []
    try:
        second = load_weights(against, layer)
    except PigmmError as error:
        raise PigmmError(f"against: {error} Or one of: {', '.join(STARTS)}.") from None
    partners = {name: W for name, W in second.arrays.items() if weights.shapes.get(name) == W.shape[1:]}
    if len(weights.arrays) == len(second.arrays) == 1:  # then names do not matter
        W, ours = next(iter(second.arrays.values())), next(iter(weights.arrays))
        partners = {ours: W} if weights.shapes[ours] == W.shape[1:] else {}
    if not partners:
        raise PigmmError.of(
            "against", got=f"layers {second.shapes}", allowed=f"a layer of the same name and shape: {weights.shapes}"
        )
    return lambda name, _: partners.get(name), f"{second.R} runs from {second.source}", _dependent(
        weights, second, partners
    )


def _dependent(weights: OwnWeights, second: OwnWeights, partners: Mapping[str, Array]) -> list[str]:
    found = []
    both = max(len({m.tobytes() for m in weights.arrays[k]} & {m.tobytes() for m in W}) for k, W in partners.items())
    if both:
        found.append(f"{both} runs are in both sets, which are therefore not independent.")
    if weights.runs == second.runs and not weights.runs[0].startswith("run "):
        found.append(
            "the runs of both sets have the same names. If they are the same networks at two times, the errors of the "
            "distances are not those of independent sets: use pigmm.squared_distance(a, b, paired=True)."
        )
    return found


def _warnings(weights: OwnWeights, layers: list[LayerReport], alpha: float) -> Iterator[str]:
    for members, names in weights.copies:
        shown = ", ".join(members[:4]) + (f" and {len(members) - 4} more" if len(members) > 4 else "")
        where = "all layers" if len(names) == len(weights.arrays) - len(weights.frozen) else ", ".join(names[:4])
        yield (
            f"{shown} are identical in {where}: copies of one checkpoint are one run. Leave all but one of them out; "
            "the errors below count them as independent and are too small."
        )
    yield from (f"{note}." for note in weights.notes)
    tested = [part for part in layers if "p_overlap" in part.numbers]
    suspects = [part.name for part in tested if part.numbers["p_overlap"] * 2 * len(tested) <= alpha]
    if suspects:
        yield (
            f"different runs resemble each other entry by entry in {', '.join(suspects)}: fine-tuned copies of one "
            "checkpoint, a shared start, or a fixed pattern (a mask). The errors below assume independent runs."
        )
    ordered = [part for part in layers if "p_order" in part.numbers]
    if late := [part.name for part in ordered if part.numbers["p_order"] * 2 * len(ordered) <= alpha]:
        yield f"neighbours in the order of runs resemble each other in {', '.join(late)}: a drift, or shared batches."
    if weights.R < 20:
        rough = 100 / math.sqrt(2 * (weights.R - 1))
        yield f"with {weights.R} runs a standard error is itself known to about {rough:.0f} % only."


# ---- one layer


def _layer_report(
    name: str, given: Array, labelled: bool, other: MatrixLaw | Array | None, alpha: float, bootstrap: bool, seed: int
) -> LayerReport:
    R, M, N = given.shape
    part = LayerReport(name, (M, N), R)
    if not np.ptp(given, axis=0).any():
        part.unknown.append("anything: the matrices of all runs are equal")
        return part
    rows = f"rows labelled, {N} exchangeable columns" if labelled else "square" if M == N else "rectangular"
    part.sentences.append(f"{R} matrices of {M} x {N} ({rows}), W[to, from].")
    seeds = draw_seeds(seed, 5)
    scale = unit(given)
    W = given / scale  # in units of order one nothing over- or underflows
    names = ["independent", "two-sided"] + ["diagonal"] * (M == N >= 4) + ["labelled rows"] * labelled
    laws = {law: fitted for law in names if (fitted := part.attempt(f"{law} law", FITS[law], W))}
    part.attempt("laws", _ladder, part, W, laws, alpha, bootstrap, seeds[0])
    part.tables["parameters"] = _parameters(W, laws, scale)
    if M == N >= 4:
        part.attempt("symmetry", _symmetry, part, W, scale, alpha, seeds[1])
    elif M == N:
        part.unknown.append(f"symmetry: the test needs matrices of at least 4 x 4, these are {M} x {N}")
    part.attempt("predictions", _predictions, part, given, laws, alpha, bootstrap, seeds[2])
    part.attempt("joint test", _joint, part, W, alpha)
    part.attempt("independence", _independence, part, W, alpha, seeds[3])
    if other is not None:
        part.attempt("distance", _distance, part, given, other, alpha, seeds[4])
    _seen(part, alpha)
    return part


_STEPS = (("independent", "two-sided"), ("two-sided", "diagonal"), ("two-sided", "labelled rows"))


def _ladder(
    part: LayerReport, W: Array, laws: Mapping[str, MatrixLaw], alpha: float, bootstrap: bool, seed: int
) -> None:
    """Gains with noise lines from ensembles drawn from the smaller law; right at any R for Gaussian weights."""
    R, rows = len(W), []
    repeats = _repeats(alpha, W.size / 2e7) if bootstrap else 0
    for small, large in _STEPS:
        if small not in laws or large not in laws:
            continue
        gain = part.attempt(f"{large} law", _advantage, laws[small], laws[large])
        if gain is None:
            continue
        dof = len(laws[large].parameters) - len(laws[small].parameters)
        if repeats:
            draws = (laws[small].sample(R, draw) for draw in draw_seeds(seed, repeats))
            null = np.array([_advantage(FITS[small](X), FITS[large](X)) for X in draws])
            mean, line, p = null.mean(), np.quantile(null, 1 - alpha), (1 + (null >= gain).sum()) / (1 + repeats)
        else:
            mean, line, p = dof / 2 / R, chi2.isf(alpha, dof) / 2 / R, chi2.sf(2 * R * gain, dof)
        rows.append({
            "law": large, "contains": small, "parameters added": dof, "gain": gain, "gain by chance": mean,
            "noise line": line, "p": p,
        })  # fmt: skip
        part.numbers[f"gain_{large.replace('-', '_').replace(' ', '_')}"] = gain
        shown = f"gain of {gain:.3g} nats per network (noise line {line:.2g}, p = {p:.2g})"
        part.sentences.append(_LADDER[large][bool(p < alpha)].format(shown=shown))
    if rows:
        part.tables["ladder"] = require_pandas().DataFrame(rows)


_LADDER = {
    "two-sided": (
        "Independent weights of one variance are not refuted: means of rows and columns add no more than a {shown}.",
        "Weights are not independent: row and column effects (5 parameters instead of 2) bring a {shown}.",
    ),
    "diagonal": (
        "A special diagonal (13 parameters instead of 5) brings no more than a {shown}, if weights are Gaussian.",
        "A special diagonal (13 parameters instead of 5) brings a {shown}; heavy tails alone can do that, the symmetry "
        "test decides.",
    ),
    "labelled rows": (
        "Labels on the rows bring no more than a {shown}.",
        "Rows are not alike: a law that knows their labels brings a {shown}.",
    ),
}


def _advantage(small: MatrixLaw, large: MatrixLaw) -> float:
    """Log-likelihood that the larger of two fitted laws gains per matrix."""
    return small.entropy() - large.entropy()


def _repeats(alpha: float, seconds: float) -> int:
    """Bootstrap ensembles: enough for the level, none where they would take more than some ten seconds."""
    wanted = max(199, math.ceil(10 / alpha) - 1)
    return next((count for count in (wanted, 99) if count * seconds < 10 and count >= 4 / alpha - 1), 0)


def _parameters(W: Array, laws: Mapping[str, Any], scale: float) -> pd.DataFrame:
    rows = []
    for law, fitted in laws.items():
        names, values, influence = _influence(W, law)
        if not names:
            continue
        back = np.array([scale if name in _LINEAR else scale**2 for name in names])
        values, errors = back * values, back * influence.std(axis=0, ddof=1) / np.sqrt(len(W))
        theory = back * fitted.parameter_errors(len(W))[: len(names)]
        for name, value, error, gaussian in zip(names, values, errors, theory, strict=True):
            rows.append({"law": law, "parameter": name, "value": value, "se": error, "se if Gaussian": gaussian})
    table: pd.DataFrame = require_pandas().DataFrame(rows)
    return table


_LINEAR = {"mean", "m", "f1", "f2", *(f"mean of row {k}" for k in range(1000))}


def _influence(W: Array, law: str) -> tuple[list[str], Array, Array]:
    """Names and values of parameters, and one number per run and parameter whose mean is the value (up to 1/R)."""
    if law == "independent":
        mean = W.mean(axis=(1, 2))
        runs = np.stack([mean, ((W - mean.mean()) ** 2).mean(axis=(1, 2))], axis=1)
        return ["mean", "variance"], runs.mean(axis=0), runs
    if law == "two-sided":
        runs = two_sided_statistics(W)
        runs[:, 1] = W[0].size * (runs[:, 0] - runs[:, 0].mean()) ** 2
        return list(FIVE), runs.mean(axis=0), runs
    if law == "diagonal":
        runs = sufficient_statistics(W)
        x = runs[:, :2] - runs[:, :2].mean(axis=0)
        runs[:, 2:5] = np.stack([x[:, 0] ** 2, x[:, 0] * x[:, 1], x[:, 1] ** 2], axis=1)
        return [f"f{k}" for k in range(1, 14)], runs.mean(axis=0), runs
    if W.shape[1] <= 20:  # 120 numbers for ten labels: the means say most
        runs = W.mean(axis=2)
        return [f"mean of row {k}" for k in range(W.shape[1])], runs.mean(axis=0), runs
    return [], np.empty(0), W[:, 0]


def _symmetry(part: LayerReport, W: Array, scale: float, alpha: float, seed: int) -> None:
    test = symmetry_test(W, permutations=_repeats(alpha, W.size / 1e8), seed=seed)
    table = test.contrasts
    for column in ("value", "se"):
        table[column] *= np.array([scale] + [scale**2] * 7)  # the first contrast is linear in the weights
    part.tables["contrasts"] = table
    part.numbers.update(symmetry_p=test.pvalue, symmetry_T2=test.statistic)
    R = len(W)
    length2 = max(0.0, (test.statistic * (R - 10) / (R - 1) - 8) / R)
    part.numbers["symmetry_effect"] = math.sqrt(length2)
    top = table.iloc[int(table["z"].abs().to_numpy().argmax())]
    if test.pvalue < alpha:
        part.sentences.append(
            f"The diagonal is special (symmetry test p = {test.pvalue:.2g}, exact for weights of any law; strongest "
            f"contrast {top['name']}, z = {top['z']:.1f}), as where rows and columns are the same neurons (recurrent, "
            "residual, tied layers). The 13-parameter law is the one to use."
        )
    else:
        words = f"Nothing says that the diagonal is special (symmetry test p = {test.pvalue:.2g})."
        if length2 > 0.05**2:
            words += f" Contrasts as large as here, if real, would need {_needed(length2**0.5, alpha)} runs to be seen."
        part.sentences.append(words)


def _needed(effect: float, alpha: float) -> int:
    return power.runs_needed(lambda R: power.contrast_power(R, effect, alpha), POWER)


def _predictions(
    part: LayerReport, W: Array, laws: Mapping[str, MatrixLaw], alpha: float, bootstrap: bool, seed: int
) -> None:
    R, M, N = W.shape
    rows, kept = [], {}
    for k, law in enumerate(name for name in ("two-sided", "diagonal", "labelled rows") if name in laws):
        seconds = R * (3e-5 * (1 + (law == "diagonal")) + M * N * min(M, N) / (3e8 if law == "diagonal" else 8e8))
        if seconds > 100:
            part.unknown.append(f"predictions of the {law} law: {R} matrices of {M} x {N} would take minutes")
            continue
        repeats = _repeats(alpha, seconds) if bootstrap and law != "labelled rows" else 0
        options = {"model": type(laws[law]), "bootstrap": repeats, "seed": draw_seeds(seed, 3)[k]}
        table = part.attempt(f"predictions of the {law} law", compare, W, **options)
        if table is None:
            continue
        p = table["p_family" if repeats else "p_adjusted"]
        top = table.iloc[int(table["z"].abs().to_numpy().argmax())]
        kept[law] = table
        rows.append({
            "law": law, "averages": len(table), "effect: median": table["ratio"].median(),
            "effect: largest": table["ratio"].max(), "refuted": int((p < alpha).sum()), "largest |z|": abs(top["z"]),
            "at": top["name"], "measured": top["measured"], "predicted": top["predicted"], "smallest p": p.min(),
            "calibrated": repeats > 0,
        })  # fmt: skip
    if not rows:
        return
    part.tables["predictions"] = require_pandas().DataFrame(rows)
    best = rows[-1] if part.numbers.get("symmetry_p", 1) < alpha and rows[-1]["law"] != "two-sided" else rows[0]
    best = rows[-1] if rows[-1]["law"] == "labelled rows" else best
    table = kept[best["law"]]
    part.tables["invariants"] = table
    leaders = table.sort_values("z", key=abs, ascending=False).head(5)
    part.tables["leaders"] = leaders[["name", "measured", "se", "predicted", "ratio", "z"]].rename(
        columns={"ratio": "effect size"}
    )
    part.numbers.update(
        refuted=best["refuted"], largest_z=best["largest |z|"], leader=best["at"], median_effect=best["effect: median"]
    )
    top = leaders.iloc[0]
    tested = table[table["se_difference"] > 0]
    part.numbers["sharpness"] = float((tested["sd"] / tested["se_difference"]).median() / R**0.5)
    summary = (
        f"As a summary the {best['law']} Gaussian law misses by a median effect size of {best['effect: median']:.2g} "
        f"(largest {best['effect: largest']:.2g}, {'small' if best['effect: largest'] < SMALL else 'not small'} "
        "against the spread between networks)"
    )
    ready = "" if best["calibrated"] or R >= 200 else " (by a formula for many runs, which here rejects too often)"
    if best["refuted"]:
        verdict = (
            f"as the truth it is refuted{ready}: {best['refuted']} of {best['averages']} predictions fail, most of all "
            f"{best['at']} with z = {top['z']:.1f}, measured {measured(top['measured'], top['se'])}, "
            f"predicted {top['predicted']:.3g}"
        )
    else:
        verdict = (
            f"as the truth it is not refuted by {R} runs (largest |z| {best['largest |z|']:.1f} among "
            f"{best['averages']}, p = {best['smallest p']:.2g})"
        )
    part.sentences.append(f"{summary}; {verdict}.")


def _joint(part: LayerReport, W: Array, alpha: float) -> None:
    R, M, N = W.shape
    if R * M * N * min(M, N) > 8e10:
        return
    test = joint_test(W)
    part.numbers["joint_p"] = test.pvalue
    word = "refuted" if test.pvalue < alpha else "not refuted"
    caution = "; at this R the test rejects somewhat too often" if R < 1000 and test.pvalue < alpha else ""
    part.sentences.append(
        f"All {test.invariants} bipartite averages together: the two-sided Gaussian law is {word} "
        f"(p = {test.pvalue:.2g}{caution})."
    )


def _independence(part: LayerReport, W: Array, alpha: float, seed: int) -> None:
    """Overlaps under whatever symmetry the layer may have, and the order of runs."""
    if len(W) < 8:
        part.unknown.append("independence of the runs: needs at least 8 runs; only exact copies were looked for")
        return
    distinct = list({matrix.tobytes(): r for r, matrix in enumerate(W)}.values())  # copies have a warning of their own
    block = W[distinct][:200, :32, :32]  # what holds for all entries holds for these
    repeats = max(199, math.ceil(10 / alpha) - 1)
    sides = {"columns": block, "rows": block.swapaxes(1, 2)}
    options: dict[str, Any] = {"permutations": repeats, "seed": seed}
    audits = {
        side: part.attempt(f"overlaps ({side})", independence.correlations, w, **options) for side, w in sides.items()
    }
    if W.shape[1] == W.shape[2]:
        options["relabel"] = "shared"
        audits["both"] = part.attempt("overlaps (both sides alike)", independence.correlations, block, **options)
    order = independence.run_order(independence.matrix_features(W, ""), seed=seed)
    rows = []
    if all(audits.values()):
        gentlest = max(audits.values(), key=lambda audit: audit.pvalue)
        rows.append({
            "check": "runs resemble each other entry by entry", "worst": gentlest.names[gentlest.worst],
            "value": gentlest.values[gentlest.worst], "p": gentlest.pvalue,
        })  # fmt: skip
        part.numbers.update(p_overlap=gentlest.pvalue, mean_overlap=float(gentlest.values[0]))
        part.numbers["largest_overlap"] = float(gentlest.values[2])
    rows.append({
        "check": "neighbours in run order resemble each other", "worst": order.names[order.worst].strip(),
        "value": order.values[order.worst], "p": order.pvalue,
    })  # fmt: skip
    part.numbers["p_order"] = order.pvalue
    part.tables["independence"] = require_pandas().DataFrame(rows)
    answers = ("no sign of it", "yes")
    words = "; ".join(f"{row['check']}: {answers[row['p'] < alpha]}, p = {row['p']:.2g}" for row in rows)
    part.sentences.append(f"Independence of the runs. {words[0].upper()}{words[1:]}.")


def _distance(part: LayerReport, W: Array, other: MatrixLaw | Array, alpha: float, seed: int) -> None:
    found = squared_distance(W, other, level=1 - alpha, B=max(999, math.ceil(5 / alpha)), seed=seed)
    row: dict[str, Any] = {
        "squared distance": found.raw, "without noise": found.corrected, "se": found.se, "low": found.low,
        "high": found.high, "noise floor": found.floor,
    }  # fmt: skip
    words = f"Squared distance {measured(found.corrected, found.se)} squared weights without its noise floor of "
    words += f"{found.floor:.2g} ({100 * found.level:g} % interval {found.low:.3g} to {found.high:.3g}): "
    words += "the law has moved." if found.low > 0 else "no movement that these runs can show."
    if not isinstance(other, MatrixLaw) and min(len(W), len(other)) >= 8:
        same = independence.same_law(
            independence.matrix_features(W, ""), independence.matrix_features(other, ""), seed=seed
        )
        row["p, same law"] = same.pvalue
        words += f" Same law in both sets: p = {same.pvalue:.2g}."
        part.numbers["same_law_p"] = same.pvalue
    part.numbers.update(distance_squared=found.corrected, distance_squared_se=found.se, floor=found.floor)
    part.tables["distance"] = require_pandas().DataFrame([row])
    part.sentences.append(words)


def _seen(part: LayerReport, alpha: float) -> None:
    """What this many runs can show at all."""
    R, words, seen = part.runs, [], {}
    if R >= 30 and "sharpness" in part.numbers:  # below, z is not nearly normal
        sharp = part.numbers["sharpness"]
        seen["effect"] = power.smallest_effect(lambda e: power.prediction_power(R, e, sharp, 43, alpha), POWER)
        words.append(f"a prediction that is off by an effect size of {seen['effect']:.2g}")
    if R >= 10:
        seen["gain"] = power.smallest_effect(lambda g: power.gain_power(R, g, 3, alpha), POWER)
        words.append(f"row and column effects worth {seen['gain']:.2g} nats per network")
    if part.shape[0] == part.shape[1] >= 4 and R >= 12:
        seen["contrasts"] = power.smallest_effect(lambda e: power.contrast_power(R, e, alpha), POWER)
        words.append(f"contrasts that are off by {seen['contrasts']:.2g} standard deviations")
    part.numbers["seen"] = seen
    if words:
        part.sentences.append(
            f"{R} runs show, with probability {POWER:g}: {'; '.join(words)}. Smaller effects may be there unseen."
        )
    if R < 30:
        part.unknown.append(f"how small a miss of a prediction {R} runs would show: at least 30 are needed")


# ---- figures


def picture_of_gains(found: Report) -> Picture:
    """Gain of every step of the ladder and its noise line, one row a layer and step."""
    from .style import INK, PALETTE, Picture, axes_grid, legend

    rows = [(part.name, row) for part in found.layers for row in _records(part, "ladder")][:24]
    figure, axes = axes_grid(1, 1, 1.3 + 0.28 * len(rows))
    ax, colors = axes[0, 0], dict(zip(FITS, PALETTE, strict=False))
    low = 0.3 * min(row["noise line"] for _, row in rows)
    seen = set()
    for k, (_, row) in enumerate(rows):
        label = row["law"] if row["law"] not in seen else None
        seen.add(row["law"])
        ax.plot(max(row["gain"], low), k, "o", color=colors[row["law"]], label=label)
        ax.plot([low, row["noise line"]], [k, k], color=INK, linewidth=5, alpha=0.4, solid_capstyle="butt",
                label=None if k else "chance")  # fmt: skip
    ax.set(xscale="log", xlabel="gain in log-likelihood (nats per network)", ylim=(len(rows) - 0.4, -0.6))
    ax.set_yticks(range(len(rows)), [_short(name) for name, _ in rows])
    legend(ax, columns=4)
    beyond = sum(row["p"] < found.alpha for _, row in rows)
    words = "; ".join(
        f"{name} {row['law']} {row['gain']:.2g} (noise line {row['noise line']:.2g})" for name, row in rows[:8]
    )
    return Picture(
        figure, f"Dot plot of likelihood gains by layer and law, with grey bars for chance: {words}.",
        f"What to see: {beyond} of {len(rows)} steps gain more than chance. {100 - 100 * found.alpha:g} % of Gaussian "
        "ensembles without the effect stay in the grey.",
    )  # fmt: skip


def picture_of_contrasts(found: Report) -> Picture:
    """z of the eight contrasts for every square layer."""
    from .style import INK, PALETTE, Picture, axes_grid, legend

    parts = [part for part in found.layers if "contrasts" in part.tables][:6]
    figure, axes = axes_grid(1, 1, 3.6)
    ax = axes[0, 0]
    ax.axvspan(-1.96, 1.96, color=INK, alpha=0.15, linewidth=0)
    for k, part in enumerate(parts):
        z = part.tables["contrasts"]["z"]
        shift = 0.5 * (k - (len(parts) - 1) / 2) / max(len(parts), 2)
        ax.plot(z, np.arange(8) + shift, "o", color=PALETTE[k], label=_short(part.name), markersize=5)
    ax.set_yticks(range(8), list(parts[0].tables["contrasts"]["name"]))
    ax.set(xlabel="mean contrast / standard error", ylim=(7.6, -0.6))
    legend(ax, columns=2)
    words = "; ".join(f"{part.name} p = {part.numbers['symmetry_p']:.2g}" for part in parts)
    return Picture(
        figure, f"Dot plot of eight contrasts in standard errors for {len(parts)} square layers, together: {words}.",
        "What to see: dots outside the grey band are evidence that the diagonal is special, and one in twenty is there "
        f"by chance. All eight together: {words}.",
    )  # fmt: skip


def picture_of_predictions(found: Report) -> Picture:
    """Effect size against |z| of the cubic and quartic predictions, by layer."""
    from .style import INK, PALETTE, Picture, axes_grid, legend

    parts = [part for part in found.layers if "invariants" in part.tables][:6]
    figure, axes = axes_grid(1, 1, 3.6)
    ax, words = axes[0, 0], []
    ax.axhspan(1e-3, 1.96, color=INK, alpha=0.15, linewidth=0)
    highest = 3.0
    for k, part in enumerate(parts):
        table = part.tables["invariants"]
        z = table["z"].abs().clip(lower=0.02)
        highest = max(highest, float(z.max()))
        ax.plot(table["ratio"].clip(lower=1e-4), z, "o^sDvP"[k], color=PALETTE[k], label=_short(part.name),
                markersize=4, alpha=0.7)  # fmt: skip
        words.append(f"{part.name} largest |z| {z.max():.1f} ({part.numbers['leader']})")
    ax.set(xscale="log", yscale="log", xlabel="effect size", ylim=(0.02, 2 * highest))
    ax.set_ylabel("|z|: difference / its error")
    legend(ax, columns=2)
    return Picture(
        figure, f"Scatter of effect size against |z| of cubic and quartic predictions. {'; '.join(words)}.",
        "What to see: a true law leaves 95 % of points in the grey band (|z| below 1.96), whatever their effect size; "
        f"points far above refute it. The largest |z| is {highest:.1f}.",
    )  # fmt: skip


def _records(part: LayerReport, table: str) -> list[dict[str, Any]]:
    return part.tables[table].to_dict(orient="records") if table in part.tables else []  # type: ignore[return-value]


def _short(name: str) -> str:
    clean = _clean(name).replace("$", r"\$")
    return clean if len(clean) <= 26 else "…" + clean[-25:]


# ---- forms


def _clean(text: str) -> str:
    """Without control characters: names come from files."""
    return "".join(c if c.isprintable() else "?" for c in text)


def _plain(value: Any) -> Any:
    if isinstance(value, Mapping):
        return {str(key): _plain(part) for key, part in value.items()}
    if isinstance(value, list | tuple):
        return [_plain(part) for part in value]
    if isinstance(value, np.generic):
        value = value.item()
    if value is None or (isinstance(value, float) and not math.isfinite(value)):
        return None
    return value if isinstance(value, str | int | float | bool) else None  # pandas' NA


def _cells(table: pd.DataFrame) -> tuple[list[str], list[list[str]]]:
    def cell(value: Any) -> str:
        if isinstance(value, float | np.floating):
            return f"{value:.3g}" if math.isfinite(value) else ""
        return _clean(str(value))

    return list(map(str, table.columns)), [[cell(value) for value in row] for row in table.itertuples(index=False)]


def _as_text(blocks: Iterator[Block]) -> Iterator[str]:
    import textwrap

    for kind, content in blocks:
        if kind in ("h1", "h2"):
            title = _clean(content)
            yield from (title, ("=" if kind == "h1" else "-") * len(title))
        elif kind == "p":
            yield from textwrap.wrap(_clean(content), 100)
        elif kind == "list":
            for item in content:
                yield from textwrap.wrap(_clean(item), 100, initial_indent="- ", subsequent_indent="  ")
        elif kind == "table":
            caption, table = content
            header, rows = _cells(table)
            widths = [max(map(len, column)) for column in zip(header, *rows, strict=True)]
            yield f"{caption}:"
            for row in [header, *rows]:
                yield "  " + "  ".join(x.ljust(width) for x, width in zip(row, widths, strict=True)).rstrip()
        yield ""


def _as_markdown(blocks: Iterator[Block]) -> Iterator[str]:
    def safe(text: str) -> str:
        return "".join(f"\\{c}" if c in "\\`*_<>[]|#$" else c for c in _clean(text))

    for kind, content in blocks:
        if kind in ("h1", "h2"):
            yield f"{'#' * int(kind[1])} {safe(content)}"
        elif kind == "p":
            yield safe(content)
        elif kind == "list":
            yield from (f"- {safe(item)}" for item in content)
        elif kind == "table":
            caption, table = content
            header, rows = _cells(table)
            yield from (f"*{safe(caption)}*", "")
            yield f"| {' | '.join(map(safe, header))} |"
            yield f"|{'---|' * len(header)}"
            yield from (f"| {' | '.join(map(safe, row))} |" for row in rows)
        else:
            yield from (f"![{safe(content.alt)}]({_svg(content)})", "", f"*{safe(content.see)}*")
        yield ""


def _as_html(blocks: Iterator[Block]) -> Iterator[str]:
    def safe(text: str) -> str:
        return html.escape(_clean(text))

    for kind, content in blocks:
        if kind in ("h1", "h2", "p"):
            yield f"<{kind}>{safe(content)}</{kind}>"
        elif kind == "list":
            yield "<ul>" + "".join(f"<li>{safe(item)}</li>" for item in content) + "</ul>"
        elif kind == "table":
            caption, table = content
            header, rows = _cells(table)
            head = "".join(f'<th scope="col">{safe(name)}</th>' for name in header)
            body = "".join("<tr>" + "".join(f"<td>{safe(x)}</td>" for x in row) + "</tr>" for row in rows)
            yield '<div class="wide" tabindex="0" role="region" aria-label="table">'
            yield f"<table><caption>{safe(caption)}</caption><thead><tr>{head}</tr></thead>"
            yield f"<tbody>{body}</tbody></table></div>"
        else:
            yield f'<figure><img alt="{safe(content.alt)}" src="{_svg(content)}">'
            yield f"<figcaption>{safe(content.see)}</figcaption></figure>"


def _svg(picture: Picture) -> str:
    """The figure as a data address: an image needs no ids of its own in the page."""
    import matplotlib.pyplot as plt

    buffer = io.BytesIO()
    with plt.rc_context({"svg.hashsalt": "pigmm", "svg.fonttype": "path"}):  # the same bytes every time
        picture.figure.savefig(buffer, format="svg", bbox_inches="tight", metadata={"Date": None, "Creator": None})
    plt.close(picture.figure)
    return "data:image/svg+xml;base64," + base64.b64encode(buffer.getvalue()).decode()


def checked_output(path: str | Path) -> Path:
    """A file that can be written, judged before any work is done."""
    target = Path(path)
    if target.suffix.lower() not in (".html", ".md", ".json", ".txt") or not target.parent.is_dir() or target.is_dir():
        allowed = "a file name ending in .html, .md, .json or .txt in an existing folder"
        raise PigmmError.of("output", got=str(target), allowed=allowed)
    return target


_PAGE = """<!DOCTYPE html>
<html lang="en-GB">
<head>
<meta charset="utf-8">
<meta name="viewport" content="width=device-width, initial-scale=1">
<title>Report: {title}</title>
<style>
:root {{ color-scheme: light dark; }}
body {{ font: 1rem/1.5 system-ui, sans-serif; max-width: 50rem; margin: 0 auto; padding: 1rem; }}
h2 {{ margin-top: 2rem; overflow-wrap: anywhere; }}
p, li {{ overflow-wrap: anywhere; }}
figure {{ margin: 1rem 0; }}
img {{ max-width: 100%; height: auto; }}
figcaption, caption {{ font-style: italic; text-align: left; }}
.wide {{ overflow-x: auto; margin: 1rem 0; }}
table {{ border-collapse: collapse; font-size: 0.85rem; font-variant-numeric: tabular-nums; }}
th, td {{ padding: 0.2rem 0.6rem; border-bottom: 1px solid #8885; text-align: left; white-space: nowrap; }}
</style>
</head>
<body>
{body}
</body>
</html>
"""
