"""Weights trained elsewhere, read into one ensemble: matrices of the same layer of many networks.

A network is one *run*; :func:`load_weights` takes a folder with one checkpoint a run, a list of state dicts, or arrays
that hold all runs.  Nothing that a file says is ever executed: pickled code is refused, and every file, every name and
every number is checked before it is used.
"""

from __future__ import annotations

import glob
import hashlib
import os
import zipfile
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from functools import cached_property
from pathlib import Path
from types import MappingProxyType
from typing import Any

import numpy as np

from .checkpoint_files import ENDINGS, affordable, checkpoints_in, natural, read_checkpoint, run_names
from .errors import PigmmError, nearest
from .irreps import Array
from .state_dicts import LEAST_RUNS, find_layer, flat_tensors, is_tensor, real_numbers, stacked

__all__ = ["OwnWeights", "load_weights"]


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

    Examples
    --------
    >>> rng = np.random.default_rng(0)
    >>> W = {"a.weight": rng.normal(size=(4, 3, 3)), "b.weight": np.zeros((4, 2, 3))}
    >>> W["a.weight"][3] = W["a.weight"][0]
    >>> weights = load_weights(W)
    >>> weights.R, weights.shapes, weights.layer("a")
    (4, {'a.weight': (3, 3), 'b.weight': (2, 3)}, 'a.weight')
    >>> weights.frozen, weights.copies, weights.tied
    (('b.weight',), ((('run 0', 'run 3'), ('a.weight',)),), ())
    >>> weights.notes
    ('b.weight is identical in all runs: frozen, or all runs share one start',)
    """

    arrays: Mapping[str, Array]
    runs: tuple[str, ...]
    source: str
    skipped: Mapping[str, str] = field(default_factory=dict)

    def __post_init__(self) -> None:
        for name, W in self.arrays.items():
            W.setflags(write=False)
            largest = max(W.max(), -W.min())
            if largest > 0 and not 1e-30 < largest < 1e30:
                raise PigmmError.of(
                    f"{self.source}, {name}", got=f"weights up to {largest:.3g}", allowed="weights of 1e-30 to 1e30",
                    fix="Multiply all matrices by one constant: fourth powers must be numbers.",
                )  # fmt: skip
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

    def layer(self, name: str, what: str = "layer") -> str:
        """The full name of a layer; ``.weight`` at its end may be left out.  ``what`` is how errors call it."""
        return find_layer(name, self.arrays, self.skipped, what)

    @cached_property
    def frozen(self) -> tuple[str, ...]:
        """Layers that are the same in all runs, to the last bit."""
        return tuple(name for name, W in self.arrays.items() if not np.ptp(W, axis=0).any())

    @cached_property
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

    @cached_property
    def tied(self) -> tuple[tuple[str, str], ...]:
        """Pairs of layers with the same matrices in every run (tied weights), as they are or transposed."""
        layers = [(name, W) for name, W in self.arrays.items() if name not in self.frozen]
        return tuple(
            (a, b)
            for k, (a, W) in enumerate(layers)
            for b, V in layers[k + 1 :]
            if any(np.array_equal(W[0], X[0]) and np.array_equal(W, X) for X in (V, V.swapaxes(1, 2)))
        )

    @property
    def notes(self) -> tuple[str, ...]:
        """Frozen and tied layers, in words."""
        notes = [f"{name} is identical in all runs: frozen, or all runs share one start" for name in self.frozen]
        return (*notes, *(f"{a} and {b} are the same weights in every run (tied)" for a, b in self.tied))


def load_weights(source: Any, layer: str | None = None) -> OwnWeights:
    """Read the weight matrices of an ensemble of networks from files or from memory.

    Parameters
    ----------
    source : folder, file, list, array or mapping
        - a folder with one checkpoint a run (``.pt``, ``.pth``, ``.ckpt``, ``.safetensors``, ``.npz`` or ``.npy``, one
          kind), or with one sub-folder a run that holds one checkpoint; or a pattern such as ``"runs/*/last.pt"``;
        - a list of paths, of state dicts, of dicts of arrays, or of matrices: one entry a run;
        - an array (R, M, N), or a mapping of layer names to such arrays; or a ``.npy`` or ``.npz`` file with them;
        - an archive of this package: its name, its path, or itself (the weights kept after the last epoch).

        A checkpoint is a state dict, or a dict that holds one under a usual key (:data:`pigmm.state_dicts.KEYS`).  A
        matrix must be ``W[to, from]``, as in PyTorch: transpose kernels of Keras and Flax first.
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
        return _only(source, layer)
    if isinstance(source, Archive):
        return _from_archive(source, "an archive", layer)
    if isinstance(source, str | os.PathLike):
        return _from_path(os.fsdecode(source), layer)
    if isinstance(source, Mapping):
        return _from_arrays(source, "a mapping of arrays", layer)
    if isinstance(source, list | tuple):
        return _from_list(source, layer)
    if is_tensor(source):
        return _from_arrays({"W": source}, "an array", layer)
    raise PigmmError.of("source", got=type(source).__name__, allowed="a folder, a file, a list, an array or a mapping")


def _only(weights: OwnWeights, layer: str | None) -> OwnWeights:
    if layer is None:
        return weights
    name = weights.layer(layer, f"{weights.source}, layer")
    return replace(weights, arrays={name: weights.arrays[name]})


# ---- where the runs are


def _from_path(text: str, layer: str | None) -> OwnWeights:
    from .shelf import load, published

    path = Path(os.path.expanduser(text))  # os.path has an answer to names that are none, where Path would raise
    if text in published():
        return _from_archive(load(text), f"published archive {text}", layer)
    if text.strip() and os.path.isdir(path):
        return _from_files(checkpoints_in(path), f"in {path}", layer)
    if os.path.isfile(path):
        return _from_file(path, layer)
    if text.strip() and os.path.exists(path):
        raise PigmmError.of(str(path), got="neither a file nor a folder", allowed="a folder or a regular file")
    if glob.has_magic(text):
        found = sorted((Path(p) for p in glob.glob(str(path), recursive=True) if os.path.isfile(p)), key=natural)
        if not found:
            raise PigmmError.of("source", got=text, allowed="a pattern that some files match")
        return _from_files(found, text, layer)
    raise PigmmError.of(
        "source", got=text, allowed="an existing folder or file, or a published archive",
        fix=nearest(text, published()) or "Nothing has this name; give the path from the working folder.",
    )  # fmt: skip


def _from_file(path: Path, layer: str | None) -> OwnWeights:
    where, ending = str(path), path.suffix.lower()
    if ending not in ENDINGS:
        raise PigmmError.of(where, got=f"a file ending in {ending!r}", allowed=f"a folder, or {', '.join(ENDINGS)}")
    if ending == ".npz" and _is_archive(path):
        from .archive import Archive

        return _from_archive(Archive.load(path), where, layer)
    content = read_checkpoint(path)
    if isinstance(content, list | tuple):
        return replace(_from_list(content, layer), source=where)
    if not isinstance(content, Mapping):
        return _from_arrays({"W": content}, where, layer)
    if ending == ".npz":
        return _from_arrays(content, where, layer)
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


def _from_archive(archive: Any, source: str, layer: str | None) -> OwnWeights:
    from .layout import kept_layers

    places = kept_layers(archive.template)
    if not places:
        raise PigmmError.of(source, got="an archive without raw weights", allowed="one of layers up to 16 x 16")
    arrays = {f"L{k + 1}": archive.weights(-1, k) for k in places}
    where = f"{source}: {archive.runs} {archive.config.networks} on {archive.config.dataset}, epoch {archive.epochs}"
    runs = tuple(f"network {archive.first_run + k}" for k in range(archive.runs))
    return _only(OwnWeights(arrays, runs, where), layer)


def _from_files(paths: Sequence[Path], place: str, layer: str | None) -> OwnWeights:
    source = f"{len(paths)} checkpoint{'s' * (len(paths) > 1)} {place}"
    contents = ((str(path), read_checkpoint(path)) for path in paths)  # one at a time
    arrays, skipped = stacked(contents, len(paths), source, layer)
    return OwnWeights(arrays, tuple(run_names(paths)), source, skipped)


def _from_list(source: Sequence[Any], layer: str | None) -> OwnWeights:
    if not source:
        raise PigmmError.of("source", got="an empty list", allowed="one entry a run")
    if all(isinstance(entry, str | os.PathLike) for entry in source):
        paths = [Path(os.path.expanduser(os.fsdecode(entry))) for entry in source]
        if missing := [path for path in paths if not os.path.isfile(path)]:
            raise PigmmError.of(str(missing[0]), got="no such file", allowed="existing files, one a run")
        return _from_files(paths, "in a list", layer)
    dicts = isinstance(source[0], Mapping)
    for k, entry in enumerate(source):
        if not (isinstance(entry, Mapping) if dicts else is_tensor(entry) and len(entry.shape) == 2):
            shape = f" of shape {tuple(entry.shape)}" if is_tensor(entry) else ""
            same = f"a {'state dict' if dicts else 'matrix'}, like run 0"
            allowed = same if k else "a state dict, a dict of arrays, or a matrix"
            raise PigmmError.of(f"run {k}", got=type(entry).__name__ + shape, allowed=allowed)
    names = [f"run {k}" for k in range(len(source))]
    words = f"a list of {len(names)} {'state dicts' if dicts else 'matrices'}"
    arrays, skipped = stacked(zip(names, source, strict=True), len(names), words, layer)
    return OwnWeights(arrays, tuple(names), words, skipped)


def _from_arrays(arrays: Mapping[str, Any], source: str, layer: str | None) -> OwnWeights:
    """Arrays that hold all runs of a layer, (R, M, N)."""
    found, skipped = {}, {}
    for name, value in flat_tensors(arrays, source).items():
        shape = tuple(value.shape)
        if len(shape) == 3 and min(shape[1:]) >= 2:
            found[name] = value
        else:
            skipped[name] = f"shape {shape}, not (R, M, N) with M and N at least 2"
    if layer is not None:
        name = find_layer(layer, found, skipped, f"{source}, layer")
        found = {name: found[name]}
    if not found:
        names = "; ".join(f"{name}: {why}" for name, why in list(skipped.items())[:3])
        raise PigmmError.of(source, got=names, allowed="arrays of shape (R, M, N): runs, rows, columns")
    counts = {name: len(value) for name, value in found.items()}
    first, R = next(iter(counts.items()))
    for name, count in counts.items():
        if count != R:
            raise PigmmError.of(f"{source}, {name}", got=f"{count} runs", allowed=f"{R} runs, as in {first}")
    if R < LEAST_RUNS:
        raise PigmmError.of(f"{source}, {first}", got=f"{R} runs", allowed=f"at least {LEAST_RUNS} (too few runs)")
    affordable(source, 8 * sum(int(np.prod(value.shape)) for value in found.values()))
    stacked = {name: real_numbers(value, f"{source}, {name}") for name, value in found.items()}
    return OwnWeights(stacked, tuple(f"run {k}" for k in range(R)), source, skipped)
