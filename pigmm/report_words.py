"""What a report says in plain sentences, made from the tables and numbers of :mod:`pigmm.report_layer`."""

from __future__ import annotations

import math
from collections.abc import Iterator, Sequence
from typing import Any

from .claims import measured
from .own_weights import OwnWeights
from .report_layer import AVERAGES, POWER, LayerReport

__all__ = ["CAPTIONS", "CAVEATS", "LAWS", "layer_sentences", "warnings"]

SMALL = 0.2  # an effect size below this is called a small miss

CAPTIONS = {
    "ladder": "laws, each against the one it contains: gain in log-likelihood, nats per network, and its noise line",
    "parameters": "fitted parameters; errors from the runs themselves, and what Gaussian weights would give",
    "contrasts": "eight contrasts that vanish if rows and columns are relabelled separately",
    "predictions": "cubic and quartic averages predicted by each law: effect sizes (the paper's ratio) and z",
    "leaders": "the averages that the {law} misses most, in standard errors",
    "independence": "are the runs independent of each other?",
    "distance": "squared Wasserstein distance, in squared weights",
}
"""Tables of a layer in the order of the report, each with its caption; ``{law}`` is the law the layer calls for."""

CAVEATS = (
    "All errors and p-values take the runs as independent: trained alike, from different seeds, none chosen by its "
    "result. Fine-tuned copies of one checkpoint are not independent, whatever the tests say.",
    "A p-value above the level means that these runs do not refute the law, and not that the law is true.",
    "A gain of g nats per network makes the weights of R runs exp(g R) times as probable. A larger law always gains "
    "something; what chance alone seldom exceeds is the noise line.",
    "An effect size says how far a prediction is off in units of the spread between networks; z says whether that can "
    "be chance. Many runs make a small effect certain, few runs hide a large one.",
    "z is the difference between measurement and prediction over the error of that difference. It is often smaller "
    "than the error of the measurement, because both come from the same runs and rise and fall together.",
    "A law is tested on every layer by itself; with many layers some p-value is small by chance.",
    "Parameters: m is the mean of all weights; vr and vc are the variances of row and of column effects, vrc that of "
    "what is left, v00 that of the sum of all weights, scaled so that all four are equal if weights are independent. "
    "f1 to f13 are the parameters of the law with a special diagonal, as the paper numbers them.",
    "Averages: a pair of digits ij is a factor W[i, j]. The product is summed over all indices, on each side of a plus "
    "sign by itself, and averaged over runs: 01.21 is the sum of W[i, j] W[k, j] over i, j and k.",
)
"""How to read a report."""

LAWS = {
    "two-sided": "two-sided Gaussian law",
    "diagonal": "Gaussian law with a special diagonal",
    "labelled rows": "Gaussian law with labelled rows",
}
"""Laws that make predictions, in words."""

_FORMULA = "by a formula for many runs, which rejects too often with few"

_LADDER = {
    "two-sided": (
        "Independent weights of one variance are not refuted: row and column effects gain {gain}, within chance",
        "Weights are not independent: row and column effects (5 parameters instead of 2) gain {gain}",
    ),
    "diagonal": (
        "A special diagonal (13 parameters instead of 5) gains {gain}, within chance if weights are Gaussian",
        "A special diagonal (13 parameters instead of 5) gains {gain}; heavy tails alone can do that, the symmetry "
        "test decides",
    ),
    "labelled rows": (
        "Nothing says that rows differ: a law that knows their labels gains {gain}, within chance",
        "Rows are not alike: a law that knows their labels gains {gain}",
    ),
}


def layer_sentences(part: LayerReport, alpha: float, against: str = "") -> list[str]:
    """What the tables and numbers of a layer say at level ``alpha``; ``against`` names what it is compared with.

    Examples
    --------
    >>> import numpy as np
    >>> from pigmm.report_layer import layer_report
    >>> part = layer_report("fc", np.random.default_rng(0).normal(size=(20, 3, 5)), bootstrap=False)
    >>> layer_sentences(part, 0.05)[0]
    '20 matrices of 3 x 5 (rectangular), W[to, from].'
    """
    return list(_sentences(part, alpha, against))


def _sentences(part: LayerReport, alpha: float, against: str) -> Iterator[str]:
    numbers, (M, N), R = part.numbers, part.shape, part.runs
    if "parameters" in part.tables:
        kind = f"rows labelled, {N} exchangeable columns" if part.labelled else "square" if M == N else "rectangular"
        yield f"{R} matrices of {M} x {N} ({kind}), W[to, from]."
    for row in _records(part, "ladder"):
        gain = f"{row['gain']:.3g} nats per network"
        words = _LADDER[row["law"]][bool(row["p"] < alpha)].format(gain=gain)
        how = "" if numbers["ladder_repeats"] or R >= 200 else f", {_FORMULA}"
        yield f"{words} (noise line {row['noise line']:.2g}, p = {row['p']:.2g}{how})."
    if "symmetry_p" in numbers:
        yield _symmetry(part, alpha)
    if "law" in numbers:
        yield _predictions(part)
    if "joint_p" in numbers:
        refuted = numbers["joint_p"] < alpha
        caution = "; at this R the test rejects somewhat too often" if R < 1000 and refuted else ""
        yield (
            f"All {AVERAGES} bipartite averages together: the two-sided Gaussian law is "
            f"{'refuted' if refuted else 'not refuted'} (p = {numbers['joint_p']:.2g}{caution})."
        )
    if checks := _records(part, "independence"):
        answers = ("no sign of it", "yes")
        words = "; ".join(f"{row['check']}: {answers[row['p'] < alpha]}, p = {row['p']:.2g}" for row in checks)
        yield f"Independence of the runs. {words[0].upper()}{words[1:]}."
    for row in _records(part, "distance"):
        yield _distance(row, alpha, against)
    if words := "; ".join(_EFFECTS[name].format(size=size) for name, size in numbers.get("seen", {}).items()):
        yield f"{R} runs show, with probability {POWER:g}: {words}. Smaller effects may be there unseen."


_EFFECTS = {
    "effect": "a prediction that is off by an effect size of {size:.2g}",
    "gain": "row and column effects worth {size:.2g} nats per network",
    "contrasts": "contrasts that are off by {size:.2g} standard deviations",
}


def _symmetry(part: LayerReport, alpha: float) -> str:
    p, table = part.numbers["symmetry_p"], part.tables["contrasts"]
    if p < alpha:
        top = table.iloc[int(table["z"].abs().to_numpy().argmax())]
        return (
            f"The diagonal is special (symmetry test p = {p:.2g}, exact for weights of any law; strongest contrast "
            f"{top['name']}, z = {top['z']:.1f}), as where rows and columns are the same neurons (recurrent, residual, "
            "tied layers). The 13-parameter law is the one to use."
        )
    words = f"Nothing says that the diagonal is special (symmetry test p = {p:.2g})."
    if wanted := part.numbers.get("symmetry_runs_needed"):
        words += f" Contrasts as large as here, if real, would need {wanted} runs to be seen."
    return words


def _predictions(part: LayerReport) -> str:
    law = part.numbers["law"]
    best = next(row for row in _records(part, "predictions") if row["law"] == law)
    top = _records(part, "leaders")[0]
    size = "small" if best["effect: largest"] < SMALL else "not small"
    words = (
        f"Cubic and quartic averages: as a summary the {LAWS[law]} misses them by a median effect size of "
        f"{best['effect: median']:.2g} (largest {best['effect: largest']:.2g}, {size} against the spread between "
        "networks); as the truth it "
    )
    if not best["refuted"]:
        return (
            f"{words}is not refuted by {part.runs} runs (largest |z| {best['largest |z|']:.1f} among "
            f"{best['averages']}, p = {best['smallest p']:.2g})."
        )
    sure = best["calibrated"] or part.runs >= 200
    fail = "prediction fails" if best["refuted"] == 1 else "predictions fail"
    off = top["measured"] - top["predicted"]
    return (
        f"{words}{'is refuted' if sure else 'cannot be judged'}: {best['refuted']} of {best['averages']} {fail}"
        f"{'' if sure else f' ({_FORMULA})'}, most of all {best['at']} with z = {top['z']:.1f}, measured "
        f"{_value(top['measured'], top['se'])}, {abs(off):.2g} {'above' if off > 0 else 'below'} the prediction."
    )


def _distance(row: dict[str, Any], alpha: float, against: str) -> str:
    words = (
        f"Squared distance to {against}: {_value(row['without noise'], row['se'])} squared weights, its noise floor of "
        f"{row['noise floor']:.2g} taken off ({100 * (1 - alpha):g} % interval {row['low']:.3g} to {row['high']:.3g}): "
    )
    words += "the laws differ." if row["low"] > 0 else "no difference that these runs can show."
    return words + (f" Same law in both sets: p = {row['p, same law']:.2g}." if "p, same law" in row else "")


def _value(value: float, error: float) -> str:
    """A number with its error that stays readable for products of four weights."""
    if 1e-4 < abs(value) < 1e6 and error > 1e-6:
        return measured(value, error)
    return f"{value:.3g} ± {error:.2g}" if 0 < error < math.inf else f"{value:.3g}"


def _records(part: LayerReport, table: str) -> list[dict[str, Any]]:
    return part.tables[table].to_dict(orient="records") if table in part.tables else []  # type: ignore[return-value]


def warnings(weights: OwnWeights, layers: Sequence[LayerReport], alpha: float) -> Iterator[str]:
    """What makes the runs of an ensemble dependent or too few, as far as one can see."""
    for members, names in weights.copies:
        shown = ", ".join(members[:4]) + (f" and {len(members) - 4} more" if len(members) > 4 else "")
        where = "all layers" if len(names) == len(weights.arrays) - len(weights.frozen) else ", ".join(names[:4])
        yield (
            f"{shown} are identical in {where}: copies of one checkpoint are one run. Leave all but one of them out; "
            "the errors below count them as independent and are too small."
        )
    yield from (f"{note}." for note in weights.notes)
    if alike := _small("p_overlap", layers, alpha):
        yield (
            f"different runs resemble each other entry by entry in {alike}: fine-tuned copies of one checkpoint, a "
            "shared start, or a fixed pattern (a mask). The errors below assume independent runs."
        )
    if late := _small("p_order", layers, alpha):
        yield f"neighbours in the order of runs resemble each other in {late}: a drift, or shared batches."
    if weights.R < 20:
        rough = 100 / math.sqrt(2 * (weights.R - 1))
        yield f"with {weights.R} runs a standard error is itself known to about {rough:.0f} % only."


def _small(number: str, layers: Sequence[LayerReport], alpha: float) -> str:
    """Layers in which a p-value is small, after Bonferroni over layers and over the two warnings."""
    p = {part.name: part.numbers[number] for part in layers if number in part.numbers}
    return ", ".join(name for name, value in p.items() if value * 2 * len(p) <= alpha)
