r"""What becomes of trained networks when matrices of theirs are replaced: by samples of fitted laws, and by controls.

The input layer stays.  Hidden matrices L1, L2, ... are replaced one at a time, all but the last together, and all
together; then the test images are counted.  Every replacement is an ensemble of matrices, one for each network, in the
numbering of that network; ``own + t (replacement - own)`` leads there in a straight line.  No network is trained again
except where ``refits`` say so, and there the last layer alone, on the features that the replaced layers leave.

Donors: network r + 1 gives to network r, so each one gives once.  :func:`study` trains the networks and evaluates them,
saving as it goes; :func:`published` is the study of the MNIST ensembles that comes with the package.
"""

from __future__ import annotations

import hashlib
import json
import os
from collections.abc import Callable, Iterable, Mapping
from dataclasses import asdict
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from . import __version__
from .config import EnsembleConfig
from .datasets import Dataset, load_dataset
from .errors import PigmmError
from .irreps import Array
from .replacements import ALIGNED, CONTROLS, LAWS, REFITTED, Plan, Replacements, digits, record, replacements
from .storage import write_arrays, write_whole
from .tables import progressing, require_pandas
from .transplant import (
    accuracy,
    chance,
    fit_readout,
    hidden,
)
from .whole_networks import Networks, checked, kept_arrays, provenance, train_networks

if TYPE_CHECKING:
    import pandas as pd

__all__ = [
    "ALIGNED", "CONTROLS", "LAWS", "REFITTED", "Networks", "Plan", "accuracies", "evaluate_networks", "opened",
    "published", "study", "table", "tables", "tolerance", "train_networks",
]  # fmt: skip

FORM = "pigmm transplants 1"
BLOCK = 50  # networks evaluated between two files
FEWEST = 20
SINGLE = ("own", "5 parameters", "labelled rows", "other, aligned by activations")
KEPT = 100  # networks whose own numbers are kept, for the conditions above


def accuracies(
    networks: Networks, replace: Mapping[int, NDArray[Any]] | None = None, data: Dataset | None = None
) -> Array:
    """Test accuracy of every network, (R,), with some layers replaced: ``replace`` maps 0 (L1), 1, ... to (R, M, N).

    Examples
    --------
    >>> networks = train_networks(EnsembleConfig(dataset="digits", runs=2, epochs=1))
    >>> silent = accuracies(networks, {1: np.zeros((2, 10, 10))})
    >>> bool(silent[0] == (load_dataset("digits").test_labels == 0).mean())          # all zeros: class 0, always
    True
    """
    data = data or load_dataset(networks.config.dataset)
    tail = list(networks.matrices[1:])
    for k, W in (replace or {}).items():
        if not 0 <= k < len(tail) or np.shape(W) != tail[k].shape:
            allowed = f"layers 0 to {len(tail) - 1}, each of {networks.config.runs} matrices of its shape"
            raise PigmmError.of("replace", got=f"layer {k}: shape {np.shape(W)}", allowed=allowed)
        tail[k] = np.asarray(W, np.float32)
    images = _inputs(data.test_images, data.levels)
    return np.array([
        accuracy(matrices, hidden([first], images), data.test_labels)
        for first, *matrices in zip(networks.matrices[0], *tail, strict=True)
    ])  # fmt: skip


def evaluate_networks(
    networks: Networks,
    data: Dataset | None = None,
    plan: Plan | None = None,
    *,
    folder: str | os.PathLike[str] | None = None,
    progress: bool = False,
) -> dict[str, Any]:
    """Replace matrices of every network in every way of the plan, and count the test images.

    Parameters
    ----------
    networks : at least 20 whole networks
    data : the images; those of the networks' configuration by default
    plan : seeds and sizes
    folder : where counts of blocks of 50 networks are kept; those already there are not counted again
    progress : show a progress bar

    Returns
    -------
    dict
        Plain values, fit for JSON: ``accuracies`` (one record for each choice of layers, condition and fraction: mean,
        se, sd over networks, quantiles), ``refits`` (the same, with a last layer fitted anew), ``similarities``,
        ``nats``, ``mixtures``, ``chance``, ``constant`` and where all of it comes from.
    """
    plan, config = plan or Plan(), networks.config
    checked(config, 1)
    if config.runs < FEWEST:
        raise PigmmError.of("networks", got=config.runs, allowed=f"at least {FEWEST}")
    data = data or load_dataset(config.dataset)
    small = slice(None, plan.images)
    probe, targets = _inputs(data.train_images[small], data.levels), data.train_labels[small]
    made = replacements(networks, probe, targets, plan)
    header = {
        "format": FORM, "config": config.to_dict(), "plan": asdict(plan), "package_version": __version__,
        "weights_digest": networks.digest(), "dataset_digest": data.digest, "numpy": np.__version__,
    }  # fmt: skip
    header = json.loads(json.dumps(header))  # as it will be read back
    counts, again = _counts(networks, data, made, plan, probe, targets, header, folder, progress)
    likely, constant = chance(data.test_labels)
    accuracies = [
        {**record(job), **_summary(values)} for job, values in zip(made.jobs, counts.T, strict=True)
    ]  # fmt: skip
    refits = [{**record(job), **_summary(values)} for job, values in zip(made.refits, again.T, strict=True)]
    whole = {f"{record(job)['layers']}: {job[1]}": values[:KEPT].round(4).tolist()
             for job, values in zip(made.jobs, counts.T, strict=True) if job[1] in SINGLE and job[2] == 1}  # fmt: skip
    return {
        **{name: value for name, value in header.items() if name not in ("format", "plan")},
        "networks": config.runs, "test_images": len(data.test_labels), "chance": likely, "constant": constant,
        "accuracies": accuracies, "refits": refits, "refitted_networks": len(again), "single_networks": whole,
        "similarities": made.similarities(), "nats": made.nats, "mixtures": made.mixtures,
        "provenance": {**networks.provenance, "evaluated": provenance()},
    }  # fmt: skip


def _inputs(images: NDArray[np.uint8], levels: int) -> NDArray[np.float32]:
    """Images as the networks see them, (pixels, images)."""
    x: NDArray[np.float32] = np.ascontiguousarray(images.T.astype(np.float32) * np.float32(2 / levels) - 1)
    return x


def _counts(
    networks: Networks, data: Dataset, made: Replacements, plan: Plan, probe: NDArray, targets: NDArray,
    header: dict[str, Any], folder: str | os.PathLike[str] | None, progress: bool,
) -> tuple[Array, Array]:  # fmt: skip
    images = _inputs(data.test_images, data.levels)
    name = hashlib.sha256(json.dumps(header, sort_keys=True).encode()).hexdigest()[:16]
    blocks = [range(at, min(at + BLOCK, networks.config.runs)) for at in range(0, networks.config.runs, BLOCK)]
    parts = []
    for block in progressing(blocks, len(blocks), progress, "replacing"):
        path = None if folder is None else Path(folder) / f"{name}-{block.start}-{block.stop}.npz"
        found = None if path is None else kept_arrays(path, FORM, header)
        if found is None:
            found = _block(networks, block, images, data, made, plan, probe, targets)
            if path is not None:
                write_arrays(path, header, found)
        parts.append(found)
    return np.concatenate([p["counts"] for p in parts]), np.concatenate([p["refits"] for p in parts])


def _block(
    networks: Networks, block: range, images: NDArray, data: Dataset, made: Replacements, plan: Plan,
    probe: NDArray, targets: NDArray,
) -> dict[str, Array]:  # fmt: skip
    counts, refits = [], []
    for r in block:
        first = networks.matrices[0][r]
        seen = hidden([first], images)
        counts.append([accuracy(made.tail(r, job), seen, data.test_labels) for job in made.jobs])
        if r >= plan.refits:
            continue
        learned, row = hidden([first], probe), []
        for job in made.refits:
            below = [] if job[1] == "no hidden matrix" else made.tail(r, job)[:-1]
            readout = fit_readout(hidden(below, learned), targets, data.classes).astype(np.float32)
            row.append(accuracy([*below, readout], seen, data.test_labels))
        refits.append(row)
    return {"counts": np.array(counts), "refits": np.array(refits).reshape(len(refits), len(made.refits))}


def _summary(values: Array) -> dict[str, Any]:
    sd = float(values.std(ddof=1)) if len(values) > 1 else 0.0
    return {
        "mean": digits(values.mean()), "se": digits(sd / len(values) ** 0.5), "sd": digits(sd),
        "quantiles": np.quantile(values, [0.05, 0.25, 0.5, 0.75, 0.95]).round(4).tolist(),
    }  # fmt: skip


# ---- the study


def study(
    configs: Iterable[EnsembleConfig],
    plan: Plan | None = None,
    *,
    source: Callable[[EnsembleConfig], Networks] | None = None,
    output: str | os.PathLike[str] | None = None,
    folder: str | os.PathLike[str] | None = None,
    workers: int = 1,
    progress: bool = False,
) -> dict[str, Any]:
    """Train the networks of each configuration and replace their matrices.

    Parameters
    ----------
    configs : ensembles of plain networks, each of another ``label``
    plan : seeds and sizes
    source : gives the networks of a configuration, instead of :func:`train_networks`
    output : JSON file, written after each ensemble; ensembles that it already holds, made the same way, are kept
    folder : where trained networks and counts are kept on the way, so that the same call goes on from there
    workers : processes for training
    progress : show progress bars

    Returns
    -------
    dict
        ``plan`` and ``ensembles``, by label such as "mnist-gaussian", of what :func:`evaluate_networks` returns.

    Raises
    ------
    PigmmError
        For other arguments, fewer than 20 networks, or an output file that is no such study.

    Examples
    --------
    >>> small = Plan(restarts=1, refits=2, images=200)
    >>> result = study([EnsembleConfig(dataset="digits", runs=20, epochs=1)], small)
    >>> list(result["ensembles"])
    ['digits-gaussian']
    """
    plan = plan or Plan()
    chosen = list(configs)
    for config in chosen:
        checked(config, workers)
    settings = json.loads(json.dumps(asdict(plan)))
    ensembles: dict[str, Any] = {}
    path = None if output is None else Path(output)
    if path is not None and path.exists():
        try:
            before = json.loads(path.read_text())
            ensembles = before["ensembles"] if before["plan"] == settings else {}
        except (OSError, ValueError, KeyError, TypeError) as error:
            raise PigmmError.of(str(path), got="something else", allowed="a study's file, or a new one") from error
    for config in chosen:
        there = ensembles.get(label(config))
        if there and (there["config"], there["package_version"]) == (config.to_dict(), __version__):
            continue
        if source is None:
            networks = train_networks(config, folder=folder, workers=workers, progress=progress)
        else:
            networks = source(config)
        ensembles[label(config)] = evaluate_networks(networks, None, plan, folder=folder, progress=progress)
        if path is not None:
            write_whole(path, (_compact({"plan": settings, "ensembles": ensembles}) + "\n").encode())
    return {"plan": settings, "ensembles": ensembles}


def label(config: EnsembleConfig) -> str:
    """Name of an ensemble in a study.

    Examples
    --------
    >>> label(EnsembleConfig(weight_decay=0.01))
    'digits-gaussian-l2'
    """
    return f"{config.dataset}-{config.init}" + ("-l2" if config.weight_decay else "")


def _compact(result: Any) -> str:
    """JSON with one record a line."""

    def text(value: Any, depth: int) -> str:
        if isinstance(value, dict) and depth < 3 and value:
            inner = (f"{json.dumps(name)}: {text(x, depth + 1)}" for name, x in value.items())
            return "{\n" + ",\n".join(inner) + "\n}"
        if isinstance(value, list) and value and isinstance(value[0], dict):
            return "[\n" + ",\n".join(json.dumps(x) for x in value) + "\n]"
        return json.dumps(value)

    return text(result, 0)


def published() -> dict[str, Any]:
    """The study that comes with the package: the networks of the archives mnist-gaussian and mnist-uniform.

    Examples
    --------
    >>> sorted(published()["ensembles"])
    ['mnist-gaussian', 'mnist-uniform']
    """
    result: dict[str, Any] = json.loads((Path(__file__).parent / "published" / "transplant.json").read_text())
    return result


def opened(config: EnsembleConfig, plan: Plan, *, workers: int = 1) -> tuple[dict[str, Any], Any]:
    """Results for a configuration and something with its ``weights``: published ones, or made now.

    Says which, with provenance.  Published results come with the published archive of the same networks.
    """
    from .notebook import open_archive
    from .shelf import published as archives
    from .shelf import published_config

    there = published()["ensembles"].get(label(config))
    names = [name for name in archives() if published_config(name) == config]
    if there and names and there["config"] == config.to_dict():
        archive = open_archive(config)
        made = there["provenance"]["evaluated"]
        print(
            f"  matrices replaced in all {there['networks']} networks: published study of {made['date'][:10]}, pigmm "
            f"{made['package_version']}, {made['hardware']}"
        )
        return there, archive
    if config.runs < FEWEST:
        raise PigmmError.of("runs", got=config.runs, allowed=f"at least {FEWEST} networks")
    networks = train_networks(config, workers=workers)
    result = evaluate_networks(networks, None, plan)
    print(f"{config.init} start: {config.runs} {config.networks} on {config.dataset}, trained and evaluated just now")
    return result, networks


# ---- tables


def table(result: dict[str, Any], kind: str = "accuracies") -> pd.DataFrame:
    """Records of one ensemble, one a row: ``kind`` is "accuracies", "refits", "similarities" or "nats".

    Accuracies and refits also have ``kept``, the share of what the networks know that survives: (accuracy - chance) /
    (own accuracy - chance), with ``kept_se`` from the errors of both means (taken as independent, which is careful).

    Examples
    --------
    >>> rows = table(published()["ensembles"]["mnist-gaussian"])
    >>> rows.query("condition == 'own'").kept.item()
    1.0
    """
    if kind not in ("accuracies", "refits", "similarities", "nats"):
        raise PigmmError.of("kind", got=kind, allowed="'accuracies', 'refits', 'similarities' or 'nats'")
    frame: pd.DataFrame = require_pandas().DataFrame(result[kind])
    if kind in ("accuracies", "refits"):
        own = next(row for row in result["accuracies"] if row["condition"] == "own")
        room = own["mean"] - result["chance"]
        frame["kept"] = (frame["mean"] - result["chance"]) / room
        frame["kept_se"] = np.hypot(frame["se"], frame["kept"] * own["se"]) / room
    return frame


def tolerance(result: dict[str, Any], layers: str = "L1", kept: float = 0.5) -> tuple[float, float]:
    """Noise, in standard deviations of the layer's weights, at which the share ``kept`` survives; with its error.

    Linear between the levels that were tried; infinite where even the loudest leaves more.

    Examples
    --------
    >>> level, error = tolerance(published()["ensembles"]["mnist-gaussian"], "L1")
    >>> 0.2 < level < 0.8, error < 0.05
    (True, True)
    """
    frame = table(result)
    part = frame[(frame["condition"] == "own + noise") & (frame["layers"] == layers)].sort_values("fraction")
    if part.empty or not 0 < kept < 1:
        known = ", ".join(dict.fromkeys(frame["layers"][frame["condition"] == "own + noise"]))
        raise PigmmError.of("tolerance", got=f"{layers}, {kept}", allowed=f"one of {known}, and a share in (0, 1)")
    x, y = np.array([0, *part["fraction"]]), np.array([1, *part["kept"]])
    se = np.array([0, *part["kept_se"]])
    below = np.flatnonzero(y < kept)
    if not len(below):
        return float("inf"), 0.0
    b = int(below[0])
    weight = (y[b - 1] - kept) / (y[b - 1] - y[b])
    slope = (y[b - 1] - y[b]) / (x[b] - x[b - 1])
    error = np.hypot((1 - weight) * se[b - 1], weight * se[b]) / slope
    return float(x[b - 1] + weight * (x[b] - x[b - 1])), float(error)


def tables(results: dict[str, dict[str, Any]], kind: str = "accuracies") -> pd.DataFrame:
    """:func:`table` of several ensembles, with their names in the first column, ``start``."""
    parts = [table(result, kind).assign(start=name) for name, result in results.items()]
    frame: pd.DataFrame = require_pandas().concat(parts, ignore_index=True)
    return frame[["start", *(column for column in frame if column != "start")]]
