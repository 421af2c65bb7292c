"""Weights trained elsewhere, read into one ensemble: matrices of the same layer of many networks.

A network is one *run*; :func:`load_weights` takes a folder with one checkpoint a run, a list of state dicts, or arrays
that hold all runs.  Nothing that a file says is ever executed: pickled code is refused, and every file, every name and
every number is checked before it is used.
"""

from __future__ import annotations

import glob
import hashlib
import os
import re
import warnings
import zipfile
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from types import MappingProxyType
from typing import Any

import numpy as np

from .errors import PigmmError, nearest
from .irreps import Array

__all__ = ["ENDINGS", "KEYS", "OwnWeights", "load_weights"]

TORCH = (".pt", ".pth", ".ckpt")
ENDINGS = (*TORCH, ".safetensors", ".npz", ".npy")
"""Files that are taken for checkpoints."""

KEYS = ("state_dict", "model_state_dict", "model_state", "model", "network", "net", "weights", "params")
"""Where a checkpoint may hold its state dict, the first that is there."""

PREFIXES = ("module.", "_orig_mod.")  # left by DistributedDataParallel and torch.compile
LEAST_RUNS = 3
MOST_BYTES = 4 * 2**30
DEEPEST = 8

Source = str | os.PathLike[str] | Sequence[Any] | Mapping[str, Any] | Any
Checkpoint = tuple[str, str, Callable[[], Any]]  # name of the run, how errors call it, and what reads it


@dataclass(frozen=True, eq=False)
class OwnWeights:
    """An ensemble read by :func:`load_weights`.

    Attributes
    ----------
    arrays : mapping of layer names to arrays (R, M, N)
        ``arrays[name][r]`` is the matrix of run r; read-only, float64.
    runs : tuple of str
        Names of the runs, in the order of the arrays.
    source : str
        What was read, in words.
    skipped : mapping of tensor names to reasons
        Biases, convolutions and whatever else is no matrix of weights.
    notes : tuple of str
        What else a reader of the report should know.
    """

    arrays: Mapping[str, Array]
    runs: tuple[str, ...]
    source: str
    skipped: Mapping[str, str] = field(default_factory=dict)
    notes: tuple[str, ...] = ()

    def __post_init__(self) -> None:
        for array in self.arrays.values():
            array.setflags(write=False)
        object.__setattr__(self, "arrays", MappingProxyType(dict(self.arrays)))
        object.__setattr__(self, "skipped", MappingProxyType(dict(self.skipped)))

    @property
    def R(self) -> int:
        """Number of runs."""
        return len(self.runs)

    @property
    def shapes(self) -> dict[str, tuple[int, int]]:
        """Shape (M, N) of the matrices of each layer."""
        return {name: (array.shape[1], array.shape[2]) for name, array in self.arrays.items()}

    def __getitem__(self, layer: str) -> Array:
        return self.arrays[self.layer(layer)]

    def layer(self, name: str) -> str:
        """The full name of a layer; ``.weight`` at its end may be left out."""
        return _layer(name, self.arrays, self.skipped, self.source)

    @property
    def frozen(self) -> tuple[str, ...]:
        """Layers that are the same in all runs, to the last bit."""
        return tuple(name for name, W in self.arrays.items() if not np.ptp(W, axis=0).any())

    @property
    def copies(self) -> tuple[tuple[tuple[str, ...], tuple[str, ...]], ...]:
        """Groups of runs with identical matrices, to the last bit, and the layers in which they are.

        Independent trainings are never equal.  Layers that all runs share are :attr:`frozen` and do not count here.
        """
        groups: dict[tuple[str, ...], list[str]] = {}
        for name, W in self.arrays.items():
            if name in self.frozen:
                continue
            same: dict[bytes, list[str]] = {}
            for run, matrix in zip(self.runs, W, strict=True):
                digest = hashlib.blake2b(np.ascontiguousarray(matrix).tobytes()).digest()
                same.setdefault(digest, []).append(run)
            for members in same.values():
                if len(members) > 1:
                    groups.setdefault(tuple(members), []).append(name)
        return tuple((members, tuple(layers)) for members, layers in groups.items())

    @property
    def tied(self) -> tuple[tuple[str, str], ...]:
        """Pairs of layers with the same matrices in every run (tied weights), as they are or transposed."""
        names, pairs = [name for name in self.arrays if name not in self.frozen], []
        for k, a in enumerate(names):
            for b in names[k + 1 :]:
                turned = self.arrays[b].swapaxes(1, 2)
                if np.array_equal(self.arrays[a], self.arrays[b]) or np.array_equal(self.arrays[a], turned):
                    pairs.append((a, b))
        return tuple(pairs)


def load_weights(source: Source, layer: str | None = None) -> OwnWeights:
    """Read the weight matrices of an ensemble of networks from files or from memory.

    Parameters
    ----------
    source : folder, file, list, array or mapping
        - a folder with one checkpoint a run (``.pt``, ``.pth``, ``.ckpt``, ``.safetensors``, ``.npz`` or ``.npy``, one
          kind), or with one sub-folder a run that holds one checkpoint; or a pattern such as ``"runs/*/last.pt"``;
        - a list of paths, of state dicts, of dicts of arrays, or of matrices: one entry a run;
        - an array (R, M, N), or a mapping of layer names to such arrays; or a ``.npy`` or ``.npz`` file with them;
        - an archive of this package: its name, its path, or itself (the weights kept after the last epoch).

        A checkpoint is a state dict, or a dict that holds one under a usual key (:data:`KEYS`).  A matrix must be
        ``W[to, from]``, as in PyTorch: transpose kernels of Keras and Flax first.
    layer : str, optional
        Read this layer alone; ``.weight`` at its end may be left out.

    Returns
    -------
    OwnWeights
        All two-dimensional tensors; what was left out is in ``skipped``, with the reason.

    Raises
    ------
    PigmmError
        Names the file, the tensor, what was found and what is allowed: no such file, nothing in it, unreadable, holding
        code, NaN or infinity, names or shapes that differ between runs, no matrix at all, fewer than 3 runs, or more
        than 4 GiB.

    Notes
    -----
    ``.pt`` files are read by ``torch.load(..., weights_only=True)``, ``.npy`` and ``.npz`` without pickle.

    Examples
    --------
    >>> rng = np.random.default_rng(0)
    >>> states = [{"module.fc.weight": rng.normal(size=(4, 6)), "module.fc.bias": np.zeros(4)} for _ in range(5)]
    >>> weights = load_weights(states)
    >>> weights.shapes, weights.R, dict(weights.skipped)
    ({'fc.weight': (4, 6)}, 5, {'fc.bias': 'a vector of 4, such as a bias or a scale: no matrix'})
    >>> load_weights({"a": rng.normal(size=(5, 3, 3))})["a"].shape
    (5, 3, 3)
    """
    from .archive import Archive

    if layer is not None and not isinstance(layer, str):
        raise PigmmError.of("layer", got=layer, allowed="the name of a layer, or None for all of them")
    if isinstance(source, OwnWeights):
        return source if layer is None else _only(source, layer)
    if isinstance(source, Archive):
        return _from_archive(source, "an archive", layer)
    if isinstance(source, str | os.PathLike):
        return _from_path(source, layer)
    if isinstance(source, Mapping):
        return _from_ensemble(source, "a mapping of arrays", layer)
    if isinstance(source, list | tuple):
        return _from_list(source, layer)
    if hasattr(source, "shape") and hasattr(source, "dtype"):
        return _from_ensemble({"W": source}, "an array", layer)
    raise PigmmError.of("source", got=type(source).__name__, allowed="a folder, a file, a list, an array or a mapping")


# ---- where the runs are


def _from_path(source: str | os.PathLike[str], layer: str | None) -> OwnWeights:
    from .shelf import load, published

    text = os.fspath(source)
    text = text.decode(errors="replace") if isinstance(text, bytes) else text
    path = Path(text).expanduser()
    if not text.strip() or "\0" in text:
        raise PigmmError.of("source", got=text, allowed="a folder, a file, or a pattern of files")
    if text in published():
        return _from_archive(load(text), f"published archive {text}", layer)
    if path.is_dir():
        files = _in_folder(path)
        return _from_checkpoints(_files(files), f"{len(files)} checkpoints in {path}", layer)
    if path.is_file():
        return _from_file(path, layer)
    if path.exists():
        raise PigmmError.of(str(path), got="neither a file nor a folder", allowed="a folder or a regular file")
    if glob.has_magic(text):
        found = sorted((Path(p) for p in glob.glob(str(path), recursive=True) if os.path.isfile(p)), key=natural)
        if not found:
            raise PigmmError.of("source", got=text, allowed="a pattern that some files match")
        return _from_checkpoints(_files(found), f"{len(found)} files {text}", layer)
    raise PigmmError.of(
        "source", got=text, allowed="an existing folder or file, or a published archive",
        fix=nearest(text, published()) or "Nothing has this name; give the path from the working folder.",
    )  # fmt: skip


def _in_folder(folder: Path) -> list[Path]:
    """The checkpoints of a folder, or those of its sub-folders, one each."""
    try:
        entries = sorted((p for p in folder.iterdir() if not p.name.startswith(".")), key=natural)
        files = [p for p in entries if p.is_file() and p.suffix.lower() in ENDINGS]
        if not files:
            for sub in (p for p in entries if p.is_dir()):
                inside = [p for p in sub.iterdir() if p.is_file() and p.suffix.lower() in ENDINGS]
                if len(inside) > 1:
                    names = ", ".join(p.name for p in sorted(inside, key=natural)[:4])
                    raise PigmmError.of(
                        str(sub), got=f"{len(inside)} checkpoints ({names})", allowed="one checkpoint a run",
                        fix=f"Choose by a pattern, such as {folder}/*/{sorted(inside, key=natural)[-1].name}",
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


def natural(path: Path) -> list[Any]:
    """Sorts run2 before run10.

    Examples
    --------
    >>> [p.name for p in sorted(map(Path, ["run10.pt", "run2.pt", "Run1.pt"]), key=natural)]
    ['Run1.pt', 'run2.pt', 'run10.pt']
    """
    parts = re.split(r"([0-9]+)", str(path).casefold())
    return [int(part) if k % 2 else part for k, part in enumerate(parts)]


def _files(paths: Sequence[Path]) -> list[Checkpoint]:
    for names in ([p.stem for p in paths], [f"{p.parent.name}/{p.stem}" for p in paths], [str(p) for p in paths]):
        if len(set(names)) == len(names):
            break
    return [(name, str(path), lambda path=path: _read(path)) for name, path in zip(names, paths, strict=True)]  # type: ignore[misc]


def _from_list(source: Sequence[Any], layer: str | None) -> OwnWeights:
    if not source:
        raise PigmmError.of("source", got="an empty list", allowed="one entry a run")
    if all(isinstance(entry, str | os.PathLike) for entry in source):
        paths = [Path(entry).expanduser() for entry in source]
        if missing := [path for path in paths if not path.is_file()]:
            raise PigmmError.of(str(missing[0]), got="no such file", allowed="existing files, one a run")
        return _from_checkpoints(_files(paths), f"a list of {len(paths)} files", layer)
    mappings = [isinstance(entry, Mapping) for entry in source]
    if any(mappings) and not all(mappings):
        odd = source[mappings.index(False)]
        raise PigmmError.of(
            f"run {mappings.index(False)}", got=type(odd).__name__, allowed="a state dict, like the other runs"
        )
    entries: list[Any] = list(source)
    if not any(mappings):
        for k, entry in enumerate(source):
            if not _is_tensor(entry) or len(entry.shape) != 2:
                got = type(entry).__name__ + (f" of shape {tuple(entry.shape)}" if _is_tensor(entry) else "")
                raise PigmmError.of(f"run {k}", got=got, allowed="a state dict, a dict of arrays, or a matrix")
        entries = [{"W": entry} for entry in source]
    runs: list[Checkpoint] = [(f"run {k}", f"run {k}", lambda entry=e: entry) for k, e in enumerate(entries)]  # type: ignore[misc]
    return _from_checkpoints(runs, f"a list of {len(runs)} state dicts" if any(mappings) else "a list", layer)


def _from_archive(archive: Any, source: str, layer: str | None) -> OwnWeights:
    from .layout import kept_layers

    places = kept_layers(archive.template)
    if not places:
        raise PigmmError.of(source, got="an archive without raw weights", allowed="one of layers up to 16 x 16")
    arrays = {f"L{k + 1}": archive.weights(-1, k) for k in places}
    where = f"{source}: {archive.runs} {archive.config.networks} on {archive.config.dataset}, epoch {archive.epochs}"
    runs = tuple(f"network {archive.first_run + k}" for k in range(archive.runs))
    return _only(_checked(OwnWeights(arrays, runs, where)), layer)


def _from_file(path: Path, layer: str | None) -> OwnWeights:
    where, ending = str(path), path.suffix.lower()
    if ending not in ENDINGS:
        raise PigmmError.of(where, got=f"a file ending in {ending!r}", allowed=f"a folder, or {', '.join(ENDINGS)}")
    if ending == ".npz" and _is_archive(path):
        from .archive import Archive

        return _from_archive(Archive.load(path), where, layer)
    content = _read(path)
    if isinstance(content, list | tuple):
        return _renamed(_from_list(content, layer), where)
    if not isinstance(content, Mapping):
        return _from_ensemble({"W": content}, where, layer)
    if ending == ".npz":
        return _from_ensemble(content, where, layer)
    raise PigmmError.of(
        where, got="one checkpoint, that is one run", allowed="a folder of checkpoints, or a file that holds a list",
        fix="Stacked weights (R, M, N) go into an .npz file, one array a layer.",
    )  # fmt: skip


def _is_archive(path: Path) -> bool:
    """An archive of this package, whole or not, by the names inside."""
    try:
        with zipfile.ZipFile(path) as file:
            return any(name.startswith("records/") for name in file.namelist())
    except (OSError, zipfile.BadZipFile):
        return False


# ---- reading one file, and executing nothing


def _read(path: Path) -> Any:
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
        with zipfile.ZipFile(path) as file:
            _affordable(str(path), sum(entry.file_size for entry in file.infolist()))
    with open(path, "rb") as opened:  # numpy itself leaves damaged files open
        loaded = np.load(opened, allow_pickle=False)
        if isinstance(loaded, np.ndarray):
            return loaded
        with loaded:
            return {name: loaded[name] for name in loaded.files}


def _affordable(where: str, size: int) -> None:
    if size > MOST_BYTES:
        raise PigmmError.of(
            where, got=f"{size / 2**30:.1f} GiB of weights", allowed=f"at most {MOST_BYTES / 2**30:.0f} GiB",
            fix="Choose one layer: layer=... (--layer on the command line), or fewer runs.",
        )  # fmt: skip


# ---- checkpoints into arrays


def _from_checkpoints(runs: Sequence[Checkpoint], source: str, layer: str | None) -> OwnWeights:
    if len(runs) < LEAST_RUNS:
        raise PigmmError.of(
            source, got=f"{len(runs)} run" + "s" * (len(runs) > 1), allowed=f"at least {LEAST_RUNS} (too few runs)",
            fix="A law needs many networks, trained alike from different seeds.",
        )  # fmt: skip
    first_name, first_where, read = runs[0]
    found, skipped = _sorted_out(_tensors(read(), first_where))
    if layer is not None:
        name = _layer(layer, found, skipped, first_where)
        found = {name: found[name]}
    if not found:
        names = "; ".join(f"{name}: {why}" for name, why in list(skipped.items())[:3])
        raise PigmmError.of(first_where, got=f"no matrix ({names})", allowed="tensors with two axes")
    shapes = {name: tuple(tensor.shape) for name, tensor in found.items()}
    _affordable(source, 8 * len(runs) * sum(rows * columns for rows, columns in shapes.values()))
    arrays = {name: np.empty((len(runs), *shape)) for name, shape in shapes.items()}
    for r, (_, where, read) in enumerate(runs):
        if r:
            found, _ = _sorted_out(_tensors(read(), where))
        wanted = set(shapes)
        if missing := [name for name in shapes if name not in found]:
            raise PigmmError.of(
                f"{where}, {missing[0]}", got="no such matrix", allowed=f"the names of {first_where}",
                fix=nearest(missing[0], found) or None,
            )  # fmt: skip
        if layer is None and (more := [name for name in found if name not in wanted]):
            raise PigmmError.of(f"{where}, {more[0]}", got="a matrix of its own", allowed=f"the names of {first_where}")
        for name, shape in shapes.items():
            if tuple(found[name].shape) != shape:
                raise PigmmError.of(
                    f"{where}, {name}", got=f"shape {tuple(found[name].shape)}", allowed=f"{shape}, as in {first_where}"
                )
            arrays[name][r] = _numbers(found[name], f"{where}, {name}")
    return _checked(OwnWeights(arrays, tuple(name for name, *_ in runs), source, skipped))


def _from_ensemble(arrays: Mapping[str, Any], source: str, layer: str | None) -> OwnWeights:
    """Arrays that hold all runs of a layer, (R, M, N)."""
    found, skipped = {}, {}
    for name, value in _flat(arrays, source).items():
        shape = tuple(value.shape)
        if len(shape) == 3 and min(shape[1:]) >= 2:
            found[name] = value
        else:
            skipped[name] = f"shape {shape}, not (R, M, N) with M and N at least 2"
    if layer is not None:
        name = _layer(layer, found, skipped, source)
        found = {name: found[name]}
    if not found:
        names = "; ".join(f"{name}: {why}" for name, why in list(skipped.items())[:3]) or "nothing"
        raise PigmmError.of(source, got=names, allowed="arrays of shape (R, M, N): runs, rows, columns")
    counts = {name: len(value) for name, value in found.items()}
    (first, R), *others = counts.items()
    for name, count in others:
        if count != R:
            raise PigmmError.of(f"{source}, {name}", got=f"{count} runs", allowed=f"{R} runs, as in {first}")
    if R < LEAST_RUNS:
        raise PigmmError.of(f"{source}, {first}", got=f"{R} runs", allowed=f"at least {LEAST_RUNS} (too few runs)")
    _affordable(source, 8 * sum(int(np.prod(value.shape)) for value in found.values()))
    stacked = {name: _numbers(value, f"{source}, {name}") for name, value in found.items()}
    return _checked(OwnWeights(stacked, tuple(f"run {k}" for k in range(R)), source, skipped))


def _checked(weights: OwnWeights) -> OwnWeights:
    for name, W in weights.arrays.items():
        largest = max(W.max(), -W.min())
        if largest > 0 and not 1e-30 < largest < 1e30:
            raise PigmmError.of(
                f"{weights.source}, {name}", got=f"weights up to {largest:.3g}", allowed="weights of 1e-30 to 1e30",
                fix="Multiply all matrices by one constant: fourth powers must be numbers.",
            )  # fmt: skip
    notes = [f"{name} is identical in all runs: frozen, or all runs share one start" for name in weights.frozen]
    notes += [f"{a} and {b} are the same weights in every run (tied)" for a, b in weights.tied]
    return OwnWeights(weights.arrays, weights.runs, weights.source, weights.skipped, tuple(notes))


def _only(weights: OwnWeights, layer: str | None) -> OwnWeights:
    if layer is None:
        return weights
    name = weights.layer(layer)
    return OwnWeights({name: weights.arrays[name].copy()}, weights.runs, weights.source, weights.skipped, weights.notes)


def _renamed(weights: OwnWeights, source: str) -> OwnWeights:
    return OwnWeights(weights.arrays, weights.runs, source, weights.skipped, weights.notes)


def _layer(name: str, found: Mapping[str, Any], skipped: Mapping[str, str], where: str) -> str:
    for known in (name, f"{name}.weight"):
        if known in found:
            return known
    got = f"{name!r}, {skipped[name]}" if name in skipped else name
    shown = ", ".join(list(found)[:12]) + (", ..." if len(found) > 12 else "")
    raise PigmmError.of(f"{where}, layer", got=got, allowed=shown or "none here", fix=_nearest(name, found))


def _nearest(name: str, found: Mapping[str, Any]) -> str | None:
    return nearest(name, [*found, *(full.removesuffix(".weight") for full in found)]) or None


# ---- names and tensors


def _is_tensor(value: Any) -> bool:
    return hasattr(value, "shape") and hasattr(value, "dtype")


def _tensors(content: Any, where: str) -> dict[str, Any]:
    """The state dict in what a file holds; a single matrix is called W."""
    if _is_tensor(content):
        content = {"W": content}
    for _ in range(DEEPEST):
        if not isinstance(content, Mapping):
            raise PigmmError.of(where, got=type(content).__name__, allowed="a state dict, or a dict that holds one")
        inner = next((content[key] for key in KEYS if isinstance(content.get(key), Mapping)), None)
        if inner is None:
            return _flat(content, where)
        content = inner
    raise PigmmError.of(where, got="dicts within dicts", allowed="a state dict, or a dict that holds one")


def _flat(content: Mapping[Any, Any], where: str) -> dict[str, Any]:
    """Tensors by name, those of nested dicts with joined names; without prefixes that all names share."""
    flat: dict[str, Any] = {}

    def visit(part: Mapping[Any, Any], prefix: str, depth: int) -> bool:
        whole = True  # nothing but tensors
        for key, value in part.items():
            name = f"{prefix}{key}"
            if _is_tensor(value):
                if name in flat:
                    raise PigmmError.of(where, got=f"two tensors named {name}", allowed="one tensor a name")
                flat[name] = value
            elif isinstance(value, Mapping) and depth < DEEPEST:
                if not visit(value, f"{name}.", depth + 1):
                    keys = ", ".join(map(str, list(content)[:8]))
                    raise PigmmError.of(
                        where, got=f"a dict with {keys}", allowed=f"a state dict, or one under {', '.join(KEYS)}"
                    )
            else:
                whole = False
        return whole

    visit(content, "", 0)
    if not flat:
        keys = ", ".join(map(str, list(content)[:8])) or "nothing in it"
        raise PigmmError.of(
            where, got=f"a dict with no tensors ({keys})", allowed=f"a state dict, or one under {', '.join(KEYS)}"
        )
    while prefix := next((p for p in PREFIXES if all(name.startswith(p) for name in flat)), ""):
        flat = {name.removeprefix(prefix): value for name, value in flat.items()}
    return flat


def _sorted_out(tensors: Mapping[str, Any]) -> tuple[dict[str, Any], dict[str, str]]:
    """Matrices of weights, and what is none with the reason."""
    found, skipped = {}, {}
    for name, tensor in tensors.items():
        shape = tuple(tensor.shape)
        if reason := _reason(shape, tensor.dtype):
            skipped[name] = reason
        else:
            found[name] = tensor
    return found, skipped


def _reason(shape: tuple[int, ...], dtype: Any) -> str:
    if len(shape) == 0:
        return "a single number"
    if len(shape) == 1:
        return f"a vector of {shape[0]}, such as a bias or a scale: no matrix"
    if len(shape) > 2:
        return f"{len(shape)} axes {shape}, such as a convolution: which of them may be relabelled is for you to say"
    if min(shape) < 2:
        return f"shape {shape}: a matrix needs two rows and two columns"
    kind = str(dtype).removeprefix("torch.")
    return "" if kind.startswith(("float", "bfloat", "complex")) else f"{kind} numbers: an index or a mask, no weights"


def _numbers(value: Any, where: str) -> Array:
    """A tensor or array of real, finite numbers as float64."""
    try:
        if hasattr(value, "detach"):
            value = value.detach().cpu()
            value = (value if value.is_complex() else value.double()).numpy()
        array = np.asarray(value)
        if np.ma.is_masked(value):
            raise TypeError("a masked array")
        if array.dtype.kind not in "fiub":
            raise TypeError(f"dtype {array.dtype}")
        with np.errstate(all="ignore"):  # long doubles beyond float64 become infinite, and are named below
            array = array.astype(np.float64)
    except Exception as error:  # sparse, quantised, meta or nested tensors each fail in their own way
        text = " ".join(str(error).split())[:100]
        raise PigmmError.of(where, got=text, allowed="a dense tensor of real numbers") from None
    if not (good := np.isfinite(array)).all():
        at = ", ".join(map(str, np.argwhere(~good)[0]))
        raise PigmmError.of(
            where, got=f"NaN or infinity in {(~good).sum()} of {good.size} weights, first at [{at}]",
            allowed="finite numbers", fix="A diverged run is no member of the ensemble: leave it out, and say so.",
        )  # fmt: skip
    return array
