r"""How often do the tests reject, when they should and when they should not?

Ensembles of known laws are drawn again and again, and every test of the package is applied to each.  Laws with the
Gaussian property give the *size* of a test, which should be its nominal 5 %, others its *power*.  The paper's ratio
|difference| / sd is tabulated beside them.  Family-wise critical values come from one bootstrap ensemble a repeat,
pooled over the repeats (the warp-speed bootstrap of Giacomini, Politis and White, 2013).

One command makes the tables of the book: ``pigmm calibrate``.
"""

from __future__ import annotations

import datetime
import functools
import json
import multiprocessing
import os
import platform
import time
from collections.abc import Callable, Mapping, Sequence
from concurrent.futures import ProcessPoolExecutor
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import scipy
from scipy import stats

from . import __version__, ladder
from .errors import PigmmError, nearest
from .gaussianity import confront
from .graphs import InvariantGraph, bipartite_graphs, invariant_graphs
from .irreps import Array
from .laws import MatrixLaw
from .models import GaussianMatrixModel, SimpleGaussian, TwoSidedGaussian
from .storage import write_whole
from .symmetry import symmetry_test
from .tables import progressing, require_pandas

if TYPE_CHECKING:
    import pandas as pd

__all__ = ["ENSEMBLES", "published", "study", "summary", "table"]

ALPHA = 0.05
PERMUTATIONS = 99
LADDER = ("independent", "two-sided", "diagonal")


def _independent(rng: np.random.Generator, R: int, D: int) -> Array:
    return rng.standard_normal((R, D, D))


def _effects(rng: np.random.Generator, R: int, D: int) -> Array:
    rows, columns, grand = rng.standard_normal((R, D, 1)), rng.standard_normal((R, 1, D)), rng.normal(size=(R, 1, 1))
    return 0.1 + 0.5 * rows + 0.3 * columns + 0.1 * grand + _independent(rng, R, D)


def _diagonal(rng: np.random.Generator, R: int, D: int) -> Array:
    f = [0.5, 0.6, 1.2, 0.1, 1.1, 1.3, 0.1, -0.05, 1.2, 0.15, 1.0, 0.95, 1.05]
    return GaussianMatrixModel(np.array(f), D).sample(R, int(rng.integers(2**63)))


def _one_entry(rng: np.random.Generator, R: int, D: int) -> Array:
    W = _independent(rng, R, D)
    W[:, range(D), range(D)] += 0.05
    return W


ENSEMBLES: dict[str, tuple[str, Callable[[np.random.Generator, int, int], Array]]] = {
    "independent normal": ("Gaussian, 2 parameters", _independent),
    "row and column effects": ("Gaussian, 5 parameters", _effects),
    "all thirteen": ("Gaussian, 13 parameters", _diagonal),
    "shifted diagonal": ("Gaussian, diagonal raised by 5 % of an entry's spread", _one_entry),
    "uniform entries": ("independent, light tails", lambda rng, R, D: rng.uniform(-(3**0.5), 3**0.5, (R, D, D))),
    "Student t10 entries": ("independent, heavy tails", lambda rng, R, D: rng.standard_t(10, (R, D, D)) * 0.8**0.5),
    "rank-one part": (
        "5 % of the variance in one product of a row and a column vector",
        lambda rng, R, D: 0.95**0.5 * rng.standard_normal((R, D, D))
        + 0.05**0.5 * rng.standard_normal((R, D, 1)) * rng.standard_normal((R, 1, D)),
    ),
    "loud matrices": (
        "one random scale per matrix, variance of the variance 1 %",
        lambda rng, R, D: rng.standard_normal((R, D, D)) * rng.gamma(100, 0.01, (R, 1, 1)) ** 0.5,
    ),
}
"""Name -> (what it is, function of generator, R and D); the first three are Gaussian, the fourth breaks a symmetry."""


def _against(W: Array, graphs: tuple[InvariantGraph, ...], family: type[MatrixLaw], seed: int) -> dict[str, float]:
    """Outcomes of comparing invariants with the fitted law, and the largest |z| of one ensemble drawn from it."""
    law = family.fit(W)
    result = confront(graphs, W, law, True)
    z = result.z(law)
    difference = np.abs(result.measured - result.predicted)
    drawn = law.sample(len(W), seed)
    again = law.refit(drawn)
    p = stats.false_discovery_control(2 * stats.norm.sf(np.abs(z)))
    ratio = difference / np.sqrt(result.variance)
    return {
        "z": float((np.abs(z) > stats.norm.isf(ALPHA / 2)).mean()),
        "naive": float((ratio * np.sqrt(len(W)) > stats.norm.isf(ALPHA / 2)).mean()),
        "bh": float(p.min() < ALPHA),
        "max": float(np.abs(z).max()),
        "max_null": float(np.abs(confront(graphs, drawn, again, True).z(again)).max()),
        "ratio": float(np.median(ratio)), "ratio_max": float(ratio.max()),
    }  # fmt: skip


def _repeat(cell: tuple[str, int, int, int], k: int) -> dict[str, float]:
    """All tests on the k-th ensemble of a cell (name, R, D, seed): the same numbers in any order and any process."""
    name, R, D, seed = cell
    stream = np.random.SeedSequence(seed, spawn_key=(list(ENSEMBLES).index(name), R, D, k))
    rng = np.random.default_rng(stream)
    W = ENSEMBLES[name][1](rng, R, D)
    draws = [int(s) for s in rng.integers(2**63, size=3)]
    outcome: dict[str, float] = {}
    laws: tuple[tuple[str, type[MatrixLaw], Callable[[int], tuple[InvariantGraph, ...]]], ...] = (
        ("13", GaussianMatrixModel, invariant_graphs), ("5", TwoSidedGaussian, bipartite_graphs)
    )  # fmt: skip
    for label, family, listed in laws:
        found = _against(W, listed(3) + listed(4), family, draws[0])
        outcome |= {f"{label} {what}": value for what, value in found.items()}
    symmetry = symmetry_test(W, PERMUTATIONS, draws[1])
    steps = ladder.steps(ladder.fits(W, LADDER), R)
    null = ladder.steps(ladder.fits(TwoSidedGaussian.fit(W).sample(R, draws[2]), LADDER), R)
    flat = ladder.steps(ladder.fits(SimpleGaussian.fit(W).sample(R, draws[2]), LADDER), R)
    return outcome | {
        "symmetry exact": float(symmetry.pvalue <= ALPHA), "symmetry F": float(symmetry.p_f <= ALPHA),
        "2-5": float(steps["statistic"][0]), "2-5 null": float(flat["statistic"][0]),
        "2-5 chi2": float(steps["p_chi2"][0] <= ALPHA),
        "5-13": float(steps["statistic"][1]), "5-13 null": float(null["statistic"][1]),
        "5-13 chi2": float(steps["p_chi2"][1] <= ALPHA),
    }  # fmt: skip


def study(
    names: Sequence[str] = tuple(ENSEMBLES),
    runs: Sequence[int] = (100, 1000),
    repeats: int = 400,
    *,
    dim: int = 10,
    seed: int = 0,
    workers: int = 1,
    output: str | os.PathLike[str] | None = None,
    progress: bool = False,
) -> dict[str, Any]:
    """Apply every test to ``repeats`` ensembles of each law and size.

    Parameters
    ----------
    names : keys of :data:`ENSEMBLES`
    runs : numbers R of matrices in an ensemble
    repeats : ensembles of each kind, at least 20
    dim : D
    seed : seed of the whole study
    workers : processes
    output : JSON file, written after each cell; cells that it already holds, made with the same settings, are kept
    progress : show a progress bar

    Returns
    -------
    dict
        ``settings`` and ``cells``: for each law and R the outcomes of :func:`summary`.

    Examples
    --------
    >>> result = study(["independent normal"], [30], repeats=20, dim=4)
    >>> sorted(result)
    ['cells', 'settings']
    """
    for name in names:
        if name not in ENSEMBLES:
            raise PigmmError.of(
                "ensemble", got=name, allowed=", ".join(ENSEMBLES), fix=nearest(name, ENSEMBLES) or None
            )  # fmt: skip
    given = [("repeats", repeats, 20), ("dim", dim, 4), ("seed", seed, 0), ("workers", workers, 1)]
    for what, value, least in [*given, *(("runs", R, 16) for R in runs)]:
        if isinstance(value, bool) or not isinstance(value, int | np.integer) or value < least:
            raise PigmmError.of(what, got=value, allowed=f"an integer of at least {least}")
    settings = {"repeats": int(repeats), "dim": int(dim), "seed": int(seed), "package_version": __version__}
    cells: dict[str, Any] = {}
    path = None if output is None else Path(output)
    if path is not None and path.exists():
        try:
            before = json.loads(path.read_text())
            cells = before["cells"] if before["settings"] == settings else {}
        except (ValueError, KeyError, TypeError) as error:
            allowed = "the JSON file of a study, or a new file"
            raise PigmmError.of(str(path), got="something else", allowed=allowed) from error
    for R in runs:
        for name in names:
            key = f"{name}, R = {R}"
            if key not in cells:
                cells[key] = _cell((name, int(R), int(dim), int(seed)), int(repeats), int(workers), progress)
                if path is not None:
                    text = json.dumps({"settings": settings, "cells": cells}, indent=1)
                    write_whole(path, text.encode())
    return {"settings": settings, "cells": cells}


def _provenance() -> dict[str, str]:
    return {
        "python": platform.python_version(), "numpy": np.__version__, "scipy": scipy.__version__,
        "platform": platform.platform(), "date": datetime.datetime.now(datetime.UTC).isoformat(timespec="seconds"),
    }  # fmt: skip


def _cell(cell: tuple[str, int, int, int], repeats: int, workers: int, progress: bool) -> dict[str, Any]:
    work, began = functools.partial(_repeat, cell), time.perf_counter()
    what = f"{cell[0]}, R = {cell[1]}"
    if workers == 1:
        rows = list(progressing(map(work, range(repeats)), repeats, progress, what))
    else:
        with ProcessPoolExecutor(workers, mp_context=multiprocessing.get_context("spawn")) as pool:
            rows = list(progressing(pool.map(work, range(repeats), chunksize=4), repeats, progress, what))
    outcomes = {name: np.array([row[name] for row in rows]) for name in rows[0]}
    seconds = round(time.perf_counter() - began, 1)
    return {"ensemble": cell[0], "runs": cell[1], "seconds": seconds, **_provenance(), **summary(outcomes)}


def summary(outcomes: Mapping[str, Array]) -> dict[str, Any]:
    """Rejection rates at 5 %, each with its standard error, and the typical published ratio, from all repeats.

    ``outcomes`` has an array of what each test said in all repeats.  Rates of single invariants are shares of 348 or 43
    in one ensemble, averaged; their error is that of the average.

    Examples
    --------
    The cells of :func:`study`, and of the study that comes with the package, are such summaries:

    >>> rate, error = next(iter(published()["cells"].values()))["symmetry exact"]
    >>> 0.02 < rate < 0.08, 0 < error < 0.02
    (True, True)
    """

    def rate(values: Array) -> list[float]:
        return [float(values.mean()), float(values.std(ddof=1) / np.sqrt(len(values)))]

    def beyond(statistic: str, null: str) -> list[float]:
        return rate((outcomes[statistic] > np.quantile(outcomes[null], 1 - ALPHA)).astype(float))

    rates: dict[str, Any] = {}
    for law in ("13", "5"):
        for what in ("z", "naive", "bh", "ratio", "ratio_max"):
            rates[f"{law} {what}"] = rate(outcomes[f"{law} {what}"])
        rates[f"{law} family"] = beyond(f"{law} max", f"{law} max_null")
    for step in ("2-5", "5-13"):
        rates[f"{step} chi2"] = rate(outcomes[f"{step} chi2"])
        rates[f"{step} bootstrap"] = beyond(step, f"{step} null")
    for kind in ("symmetry exact", "symmetry F"):
        rates[kind] = rate(outcomes[kind])
    return rates


def table(result: Mapping[str, Any], columns: Mapping[str, str]) -> pd.DataFrame:
    """One row a cell: the chosen outcomes (keys of a cell to headings) as text, value ± standard error."""
    rows = []
    for cell in result["cells"].values():
        row = {"ensemble": cell["ensemble"], "R": cell["runs"]}
        for key, heading in columns.items():
            value, error = cell[key]
            row[heading] = f"{value:.3f} ± {error:.3f}"
        rows.append(row)
    frame: pd.DataFrame = require_pandas().DataFrame(rows)
    return frame


def published() -> dict[str, Any]:
    """The study that comes with the package: D = 10, R = 100 and 1000, 400 repeats.

    Examples
    --------
    >>> published()["settings"]["dim"]
    10
    """
    result: dict[str, Any] = json.loads((Path(__file__).parent / "published" / "calibration.json").read_text())
    return result
