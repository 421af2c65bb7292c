"""Checkpoints on disk: which files of a folder they are, and what one holds.  Nothing in a file is ever executed.

PyTorch files are read by ``torch.load(..., weights_only=True)``, NumPy files without pickle; whatever a damaged or
foreign file does to its library ends as one line that names the file.
"""

from __future__ import annotations

import re
import warnings
import zipfile
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np

from .errors import PigmmError

__all__ = ["ENDINGS", "affordable", "checkpoints_in", "natural", "read_checkpoint", "run_names"]

TORCH = (".pt", ".pth", ".ckpt")
ENDINGS = (*TORCH, ".safetensors", ".npz", ".npy")
"""Files that are taken for checkpoints."""

MOST_BYTES = 4 * 2**30


def natural(path: Path) -> list[Any]:
    """Sorts run2 before run10.

    Examples
    --------
    >>> [p.name for p in sorted(map(Path, ["run10.pt", "run2.pt", "Run1.pt"]), key=natural)]
    ['Run1.pt', 'run2.pt', 'run10.pt']
    """
    parts = re.split(r"([0-9]+)", str(path).casefold())
    return [int(part) if k % 2 else part for k, part in enumerate(parts)]


def run_names(paths: Sequence[Path]) -> list[str]:
    """The shortest names that tell the files apart.

    Examples
    --------
    >>> run_names([Path("a/1.pt"), Path("a/2.pt")]), run_names([Path("x/1/last.pt"), Path("x/2/last.pt")])
    (['1', '2'], ['1/last', '2/last'])
    """
    for names in ([p.stem for p in paths], [f"{p.parent.name}/{p.stem}" for p in paths]):
        if len(set(names)) == len(names):
            return names
    return [str(p) for p in paths]


def checkpoints_in(folder: Path) -> list[Path]:
    """The checkpoints of a folder, or those of its sub-folders, one each; other and hidden files do not count.

    Raises
    ------
    PigmmError
        For a folder that cannot be read or holds none, a sub-folder with several, and files of several kinds.
    """
    try:
        entries = sorted((p for p in folder.iterdir() if not p.name.startswith(".")), key=natural)
        files = _checkpoints(entries)
        if not files:
            for sub in (p for p in entries if p.is_dir()):
                inside = sorted(_checkpoints(sub.iterdir()), key=natural)
                if len(inside) > 1:
                    names = ", ".join(p.name for p in inside[:4])
                    raise PigmmError.of(
                        str(sub), got=f"{len(inside)} checkpoints ({names})", allowed="one checkpoint a run",
                        fix=f"Choose by a pattern, such as {folder}/*/{inside[-1].name}",
                    )  # fmt: skip
                files += inside
    except OSError as error:
        raise PigmmError.of(str(folder), got=error.strerror or str(error), allowed="a folder one may read") from None
    if not files:
        what = f"{len(entries)} other entries, such as {entries[0].name}" if entries else "an empty folder"
        raise PigmmError.of(str(folder), got=what, allowed=f"checkpoints, one a run, ending in {', '.join(ENDINGS)}")
    kinds = sorted({p.suffix.lower() for p in files})
    if len(kinds) > 1 and not set(kinds) <= set(TORCH):
        raise PigmmError.of(
            str(folder), got=f"files of several kinds: {', '.join(kinds)}", allowed="one kind of file",
            fix=f"Choose by a pattern, such as {folder}/*{kinds[0]}",
        )  # fmt: skip
    return files


def _checkpoints(paths: Any) -> list[Path]:
    return [p for p in paths if p.is_file() and p.suffix.lower() in ENDINGS and not p.name.startswith(".")]


def read_checkpoint(path: Path) -> Any:
    """What a file holds: an array, a dict of tensors by name, or whatever else PyTorch could read safely.

    Raises
    ------
    PigmmError
        For another ending, a missing library, pickled code, and files that are empty, damaged, foreign or too large.
    """
    ending = path.suffix.lower()
    if ending not in ENDINGS:
        raise PigmmError.of(str(path), got=f"a file ending in {ending!r}", allowed=", ".join(ENDINGS))
    reader = _read_torch if ending in TORCH else _read_safetensors if ending == ".safetensors" else _read_numpy
    try:
        if path.stat().st_size == 0:
            raise ValueError("an empty file")
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            return reader(path)
    except PigmmError:
        raise
    except Exception as error:  # a foreign file may fail in any way
        text = " ".join((str(error) or type(error).__name__).split())
        short = text if len(text) <= 120 else text[:117] + "..."
        got = f"not readable as {ending} ({short})"
        raise PigmmError.of(str(path), got=got, allowed="a whole checkpoint") from None


def _read_torch(path: Path) -> Any:
    try:
        import torch
    except ImportError:
        raise PigmmError.of(
            str(path), got="a PyTorch file, but PyTorch is not installed", allowed="any file whose library is there",
            fix="Install it with: pip install torch; or save the weights with numpy.savez.",
        ) from None  # fmt: skip
    import pickle

    try:
        return torch.load(path, map_location="cpu", weights_only=True)
    except pickle.UnpicklingError as error:
        kind = re.search(r"GLOBAL (\S+)", str(error))
        got = f"pickled objects ({kind.group(1)})" if kind else "pickled objects, or no PyTorch file"
        raise PigmmError.of(
            str(path), got=got, allowed="tensors alone: nothing in a file is executed",
            fix="Save it again with torch.save(model.state_dict(), path).",
        ) from None  # fmt: skip


def _read_safetensors(path: Path) -> Any:
    try:
        from safetensors import safe_open  # type: ignore[import-not-found, unused-ignore]
    except ImportError:
        raise PigmmError.of(
            str(path), got="a safetensors file, but the library is not installed",
            allowed="any file whose library is there", fix="Install it with: pip install safetensors.",
        ) from None  # fmt: skip
    try:
        import torch  # noqa: F401 (bfloat16 is unknown to numpy)

        framework = "pt"
    except ImportError:
        framework = "np"
    with safe_open(path, framework=framework) as file:
        return {name: file.get_tensor(name) for name in file.keys()}  # noqa: SIM118 (no mapping)


def _read_numpy(path: Path) -> Any:
    if zipfile.is_zipfile(path):
        with zipfile.ZipFile(path) as file:  # a small file may unpack to anything
            affordable(str(path), sum(entry.file_size for entry in file.infolist()))
    with open(path, "rb") as opened:  # numpy itself leaves damaged files open
        loaded = np.load(opened, allow_pickle=False)
        if isinstance(loaded, np.ndarray):
            return loaded
        with loaded:
            return {name: loaded[name] for name in loaded.files}


def affordable(where: str, size: int) -> None:
    """Refuse more bytes than the memory of a small machine."""
    if size > MOST_BYTES:
        raise PigmmError.of(
            where, got=f"{size / 2**30:.1f} GiB of weights", allowed=f"at most {MOST_BYTES / 2**30:.0f} GiB",
            fix="Choose one layer: layer=... (--layer on the command line), or fewer runs.",
        )  # fmt: skip
