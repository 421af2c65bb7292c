"""What can be said about an ensemble of weight matrices that somebody brings, in tables, figures and plain sentences.

:func:`report` runs what the rest of the package offers on every layer of a :class:`~pigmm.own_weights.OwnWeights`: the
ladder of laws, the symmetry test, the predictions of Gaussian laws in both measures, distances, and the checks of
independence that need no training history.  It says what cannot be told with so few runs, and how many would do.

The work is done by :mod:`pigmm.report_layer` (tables and numbers), :mod:`pigmm.report_words` (sentences),
:mod:`pigmm.report_figures` and :mod:`pigmm.report_pages` (text, Markdown, HTML, JSON).
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from . import power, report_pages
from .errors import PigmmError
from .irreps import Array
from .laws import MatrixLaw
from .models import SimpleGaussian
from .own_weights import OwnWeights, load_weights
from .report_layer import POWER, LayerReport, layer_report
from .report_pages import checked_output
from .report_words import layer_sentences, warnings
from .storage import write_whole
from .tables import draw_seeds, require_pandas

if TYPE_CHECKING:
    import pandas as pd

    from .style import Picture

__all__ = ["LayerReport", "Report", "checked_output", "report"]

STARTS = {"gaussian": (1.0, "1"), "uniform": (1 / 3, "1/3")}  # variance times fan-in, and that in words


@dataclass(frozen=True, eq=False)
class Report:
    """Everything about an ensemble: see :func:`report`.  ``write`` chooses the form by the ending of the file.

    Examples
    --------
    >>> import tempfile
    >>> from pigmm import SimpleGaussian
    >>> W = SimpleGaussian(0.0, 0.1, shape=(5, 6)).sample(60, seed=0)
    >>> found = report({"hidden": W}, bootstrap=False)
    >>> found.runs[0], sorted(found.to_dict())[:3], len(found.json()) > 1000
    ('run 0', ['against', 'alpha', 'layers'], True)
    >>> found.text().splitlines()[0], found.markdown(figures=False).splitlines()[0]
    ('Report on an ensemble of weight matrices', '# Report on an ensemble of weight matrices')
    >>> found.html().startswith("<!DOCTYPE html>"), len(list(found.pictures())) > 0
    (True, True)
    >>> found.write(f"{tempfile.mkdtemp()}/report.html").suffix
    '.html'
    """

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
        return report_pages.as_dict(self)

    def json(self) -> str:
        """JSON text, strict: no NaN."""
        return report_pages.as_json(self)

    def text(self) -> str:
        """Plain text, for a terminal; no figures."""
        return report_pages.as_text(self)

    def markdown(self, figures: bool = True) -> str:
        """One Markdown file with the figures inside."""
        return report_pages.as_markdown(self, figures)

    def html(self) -> str:
        """One HTML file that needs nothing else: figures are inside, with their descriptions."""
        return report_pages.as_html(self)

    def write(self, path: str | Path) -> Path:
        """Write ``.html``, ``.md``, ``.json`` or ``.txt``, whole or not at all."""
        target = checked_output(path)
        content = {".html": self.html, ".md": self.markdown, ".json": self.json, ".txt": self.text}
        write_whole(target, content[target.suffix.lower()]().encode())
        return target

    def pictures(self) -> Iterator[tuple[str, Picture]]:
        """Name and figure, those that this ensemble allows."""
        from .report_figures import pictures

        return pictures(self)


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
    if not isinstance(alpha, float | np.floating) or not 0.001 <= alpha <= 0.5:
        raise PigmmError.of("alpha", got=alpha, allowed="a number from 0.001 to 0.5")
    draw_seeds(seed, 1)
    require_pandas()  # said now, not after the work
    weights = load_weights(source, layer)
    if labelled is not None and not isinstance(labelled, str):
        raise PigmmError.of("labelled", got=labelled, allowed="the name of a layer")
    last = weights.layer(labelled, "labelled") if labelled else ""
    others, words, shared = _others(against, weights, layer)
    layers = []
    for name, W in weights.arrays.items():
        part = layer_report(
            name, W, labelled=name == last, other=others.get(name), alpha=alpha, bootstrap=bootstrap, seed=seed
        )
        part.sentences.extend(layer_sentences(part, alpha, words))
        layers.append(part)
    found = (*warnings(weights, layers, alpha), *shared)
    needed = _runs_table(float(alpha)).copy()
    return Report(weights.source, weights.runs, tuple(layers), weights.skipped, found, needed, alpha, seed, words)


@lru_cache(maxsize=8)
def _runs_table(alpha: float) -> pd.DataFrame:
    return power.runs_table(effects=(0.05, 0.1, 0.2, 0.5), power=POWER, alpha=alpha)


def _others(
    against: Any, weights: OwnWeights, layer: str | None
) -> tuple[Mapping[str, MatrixLaw | Array], str, list[str]]:
    """What layers are compared with, by their names; that in words; and what makes the two sets dependent."""
    if against is None or (isinstance(against, str) and against == ""):
        return {}, "", []
    if isinstance(against, str) and against in STARTS:
        variance, words = STARTS[against]
        starts = {name: SimpleGaussian(0.0, variance / shape[1], shape) for name, shape in weights.shapes.items()}
        return starts, f"a {against} start, variance {words} over fan-in", []
    try:
        second = load_weights(against, layer)
    except PigmmError as error:
        raise PigmmError(f"against: {error} Or one of: {', '.join(STARTS)}.") from None
    partners = {name: W for name, W in second.arrays.items() if weights.shapes.get(name) == W.shape[1:]}
    if len(weights.arrays) == len(second.arrays) == 1:  # then names do not matter
        (ours, shape), W = next(iter(weights.shapes.items())), next(iter(second.arrays.values()))
        partners = {ours: W} if shape == W.shape[1:] else {}
    if not partners:
        raise PigmmError.of(
            "against", got=f"layers {second.shapes}", allowed=f"a layer of the same name and shape: {weights.shapes}"
        )
    return partners, f"{second.R} runs from {second.source}", _dependent(weights, second, partners)


def _dependent(weights: OwnWeights, second: OwnWeights, partners: Mapping[str, Array]) -> list[str]:
    found = []
    both = max(len({m.tobytes() for m in weights.arrays[k]} & {m.tobytes() for m in W}) for k, W in partners.items())
    if both:
        found.append(f"{both} runs are in both sets, which are therefore not independent.")
    if weights.runs == second.runs and not weights.runs[0].startswith(("run ", "network ")):  # names of our making
        found.append(
            "the runs of both sets have the same names. If they are the same networks at two times, the errors of the "
            "distances are not those of independent sets: use pigmm.squared_distance(a, b, paired=True)."
        )
    return found
