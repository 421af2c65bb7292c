"""Archives on disk, and archives put together: what :class:`pigmm.Archive` saves, loads and merges."""

from __future__ import annotations

import os
from collections.abc import Iterable
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from .compact import pack_half, pack_moments, pack_series, rounded, unpack_moments, unpack_series
from .config import EnsembleConfig
from .errors import PigmmError
from .irreps import Array
from .layout import axes_of, counted
from .moments import Moments
from .storage import read_arrays, write_arrays

if TYPE_CHECKING:
    from .archive import Archive

__all__ = ["FORMAT", "RECORDS", "merged", "read", "write"]

FORMAT = "pigmm archive 3"
SERIES = ("loss", "train_accuracy", "test_accuracy", "norms")
RECORDS = (*SERIES, "dead_units")


def merged(archives: Iterable[Archive]) -> Archive:
    """Consecutive runs as one archive; refuses gaps, doubles and ensembles of other configurations."""
    parts = sorted(archives, key=lambda archive: archive.first_run)
    whole = parts[0]
    for part in parts[1:]:
        ours, theirs = (replace(a.template, runs=2, first_run=0).to_dict() for a in (whole, part))
        different = [name for name in ours | theirs if ours.get(name) != theirs.get(name)]
        if different:
            raise PigmmError.of(
                "merge", got=f"archives that differ in {', '.join(different)}", allowed="archives of one ensemble"
            )
        if part.first_run != whole.first_run + whole.runs:
            raise PigmmError.of(
                "merge", got=f"runs up to {whole.first_run + whole.runs - 1}, then runs from {part.first_run}",
                allowed="consecutive runs, each once",
            )  # fmt: skip
        whole = replace(
            whole,
            moments={name: ours.merge(part.moments[name]) for name, ours in whole.moments.items()},
            counts={name: ours + part.counts[name] for name, ours in whole.counts.items()},
            records={name: np.concatenate([ours, part.records[name]]) for name, ours in whole.records.items()},
            kept={  # initial weights that one of them does not keep are drawn from the seed
                name: np.concatenate([ours, part.kept[name]]) for name, ours in whole.kept.items() if name in part.kept
            },
            provenance=_joined(whole.provenance, part.provenance),
        )
    if len(parts) == 1:
        return whole
    return replace(whole, provenance={**whole.provenance, "config": whole.config.to_dict()})


def _joined(ours: dict[str, Any], theirs: dict[str, Any]) -> dict[str, Any]:
    """Provenance of both: times add up, and where texts or numbers differ all of them are named."""
    joined = {**theirs, **ours}
    for name in ours.keys() & theirs.keys():
        if name.endswith("_seconds"):
            joined[name] = round(ours[name] + theirs[name], 3)
        elif ours[name] != theirs[name] and not isinstance(ours[name], dict):
            known = str(ours[name]).split("; ")
            joined[name] = "; ".join([*known, *(text for text in str(theirs[name]).split("; ") if text not in known)])
    return joined


def write(archive: Archive, path: str | os.PathLike[str], compact: bool) -> Path:
    """Write ``NAME.npz`` and ``NAME.json``."""
    arrays: dict[str, NDArray[Any]] = {
        **{f"counts/{name}": counts.astype(np.uint32) for name, counts in archive.counts.items()},
        "records/dead_units": archive.dead_units.astype(np.uint16),
    }
    for name in SERIES:
        series = archive.records[name]
        arrays |= pack_series(f"records/{name}", series) if compact else {f"records/{name}": series}
    for name, moments in archive.moments.items():
        if name.startswith("alive") and moments.count == archive.runs:
            continue  # every network is alive: the same numbers again
        beside = archive.moments[name.replace("alive", "all", 1)] if name.startswith("alive") else None
        arrays |= pack_moments(name, moments, beside) if compact else moments.arrays(name)
        if compact and "/change/" in name:
            del arrays[f"{name}/mean"]  # it is a difference of means
            arrays[f"{name}/squares"] = rounded(arrays[f"{name}/squares"])
    for name, W in archive.kept.items():
        if not compact:
            arrays[name] = W
        elif not (name.startswith("weights/0/") and np.array_equal(W, _drawn(archive, name))):
            arrays[name] = pack_half(W)
    header = {
        "format": FORMAT, "first_run": archive.first_run, "runs": archive.runs,
        "config": archive.config.to_dict(), "provenance": archive.provenance,
    }  # fmt: skip
    return write_arrays(path, header, arrays, small=compact)


def read(path: str | os.PathLike[str]) -> dict[str, Any]:
    """The fields of the archive that was written to this file."""
    header, arrays = read_arrays(path, FORMAT)
    try:
        template, runs = EnsembleConfig.from_dict(header["config"]), header["runs"]
        snapshots = len(arrays["all/two_sided/0/mean"])
        records: dict[str, NDArray[Any]] = {name: unpack_series(f"records/{name}", arrays) for name in SERIES}
        records["dead_units"] = arrays["records/dead_units"].astype(np.int64)
        if (runs, template.epochs, snapshots) != (*records["loss"].shape, template.epochs + 1):
            raise ValueError(f"{runs} runs and {template.epochs} epochs, against {records['loss'].shape} losses")
        moments = {}
        for name in axes_of(template):
            everyone = moments[f"all/{name}"] = _moments_of(f"all/{name}", arrays)
            twin = f"alive/{name}"
            moments[twin] = _moments_of(twin, arrays, everyone) if f"{twin}/count" in arrays else everyone
        return {
            "template": template, "first_run": header["first_run"], "moments": moments,
            "counts": {name: arrays[f"counts/{name}"].astype(np.int64) for name in counted(template)},
            "records": records,
            "kept": {n: a.astype(np.float32) for n, a in arrays.items() if n.startswith(("weights/", "films/"))},
            "provenance": header["provenance"],
        }  # fmt: skip
    except (KeyError, TypeError, AttributeError) as error:
        raise PigmmError.of(f"{path} lacks {error}", allowed="an archive with all its entries") from error
    except (ValueError, IndexError) as error:
        raise PigmmError.of(f"{path} has entries that do not fit together ({error})") from error


def _drawn(archive: Archive, name: str) -> Array:
    """Initial weights as the seed gives them, whatever is kept."""
    return replace(archive, kept={}).weights(0, int(name.split("/")[2]))


def _moments_of(name: str, arrays: dict[str, NDArray[Any]], beside: Moments | None = None) -> Moments:
    if "/change/" in name and f"{name}/mean" not in arrays:
        mean = arrays[f"{name.replace('change', 'features')}/mean"].astype(np.float64)
        arrays = {**arrays, f"{name}/mean": mean - mean[:1]}
    return unpack_moments(name, arrays, beside) if f"{name}/pairs" in arrays else Moments.from_arrays(arrays, name)
