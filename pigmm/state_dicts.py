"""State dicts of any framework: the tensors in them by name, those that are weight matrices, and these run by run."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Any

import numpy as np

from .checkpoint_files import affordable
from .errors import PigmmError, nearest
from .irreps import Array

__all__ = ["KEYS", "find_layer", "flat_tensors", "is_tensor", "matrices", "real_numbers", "stacked", "state_dict"]

KEYS = ("state_dict", "model_state_dict", "model_state", "model", "network", "net", "weights", "params")
"""Where a checkpoint may hold its state dict, the first that is there."""

PREFIXES = ("module.", "_orig_mod.")  # left by DistributedDataParallel and torch.compile
DEEPEST = 8
LEAST_RUNS = 3


def is_tensor(value: Any) -> bool:
    """A tensor or array of any library."""
    return hasattr(value, "shape") and hasattr(value, "dtype")


def state_dict(content: Any, where: str) -> dict[str, Any]:
    """Tensors by name from what a checkpoint holds: a state dict, a dict around one, or a single matrix, called W.

    Examples
    --------
    >>> list(state_dict({"epoch": 3, "state_dict": {"module.fc.weight": np.ones((2, 2))}}, "run1.pt"))
    ['fc.weight']
    """
    if is_tensor(content):
        content = {"W": content}
    for _ in range(DEEPEST):
        if not isinstance(content, Mapping):
            raise PigmmError.of(where, got=type(content).__name__, allowed="a state dict, or a dict that holds one")
        inner = next((content[key] for key in KEYS if isinstance(content.get(key), Mapping)), None)
        if inner is None:
            return flat_tensors(content, where)
        content = inner
    raise PigmmError.of(where, got="dicts within dicts", allowed="a state dict, or a dict that holds one")


def flat_tensors(content: Mapping[Any, Any], where: str) -> dict[str, Any]:
    """Tensors by name, those of nested dicts with joined names; without prefixes that all names share.

    A nested dict that holds anything but tensors, such as the state of an optimiser, is refused.

    Examples
    --------
    >>> list(flat_tensors({"fc": {"kernel": np.ones((2, 2)), "bias": np.ones(2)}, "epoch": 3}, "here"))
    ['fc.kernel', 'fc.bias']
    """
    flat: dict[str, Any] = {}

    def refused(what: str) -> PigmmError:
        keys = ", ".join(map(str, list(content)[:8])) or "nothing in it"
        return PigmmError.of(where, got=what.format(keys), allowed=f"a state dict, or one under {', '.join(KEYS)}")

    def visit(part: Mapping[Any, Any], prefix: str, depth: int) -> None:
        for key, value in part.items():
            name = f"{prefix}{key}"
            if is_tensor(value):
                if name in flat:
                    raise PigmmError.of(where, got=f"two tensors named {name}", allowed="one tensor a name")
                flat[name] = value
            elif isinstance(value, Mapping) and depth < DEEPEST:
                visit(value, f"{name}.", depth + 1)
            elif depth:
                raise refused("a dict with {}")

    visit(content, "", 0)
    if not flat:
        raise refused("a dict with no tensors ({})")
    while prefix := next((p for p in PREFIXES if all(name.startswith(p) for name in flat)), ""):
        flat = {name.removeprefix(prefix): value for name, value in flat.items()}
    return flat


def matrices(tensors: Mapping[str, Any]) -> tuple[dict[str, Any], dict[str, str]]:
    """Matrices of weights, and what is none with the reason.

    Examples
    --------
    >>> matrices({"w": np.ones((2, 3)), "b": np.ones(2)})[1]
    {'b': 'a vector of 2, such as a bias or a scale: no matrix'}
    """
    reasons = {name: _reason(tuple(tensor.shape), tensor.dtype) for name, tensor in tensors.items()}
    found = {name: tensor for name, tensor in tensors.items() if not reasons[name]}
    return found, {name: reason for name, reason in reasons.items() if reason}


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


def real_numbers(value: Any, where: str) -> Array:
    """A tensor or array of real, finite numbers as float64.

    Raises
    ------
    PigmmError
        For sparse, quantised, masked, complex and other tensors that are no plain numbers, and NaN or infinity.
    """
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


def find_layer(name: str, found: Mapping[str, Any], skipped: Mapping[str, str], what: str) -> str:
    """The full name of a layer; ``.weight`` at its end may be left out.  ``what`` is how errors call it.

    Examples
    --------
    >>> find_layer("fc1", {"fc1.weight": 0, "fc2.weight": 1}, {}, "layer")
    'fc1.weight'
    """
    for known in (name, f"{name}.weight"):
        if known in found:
            return known
    got = f"{name!r}, {skipped[name]}" if name in skipped else name
    shown = ", ".join(list(found)[:12]) + (", ..." if len(found) > 12 else "")
    fix = nearest(name, [*found, *(full.removesuffix(".weight") for full in found)]) or None
    raise PigmmError.of(what, got=got, allowed=shown or "none here", fix=fix)


def stacked(
    checkpoints: Iterable[tuple[str, Any]], runs: int, source: str, layer: str | None = None
) -> tuple[dict[str, Array], dict[str, str]]:
    """The matrices of all runs, (R, M, N) by layer, and what was left out of the first run, with the reason.

    Parameters
    ----------
    checkpoints : pairs
        How errors call a run, and what its checkpoint holds; they are taken one at a time.
    runs : int
        Their number, at least 3.
    source : str
        What they are, in words.
    layer : str, optional
        This layer alone; others may then differ between runs.

    Raises
    ------
    PigmmError
        For too few runs, no matrix, and names, shapes or numbers in which a run differs from the first one.

    Examples
    --------
    >>> arrays, skipped = stacked([(f"run {k}", {"w": np.eye(2), "b": np.ones(2)}) for k in range(3)], 3, "a list")
    >>> arrays["w"].shape, list(skipped)
    ((3, 2, 2), ['b'])
    """
    if runs < LEAST_RUNS:
        raise PigmmError.of(
            source, got=f"{runs} run" + "s" * (runs > 1), allowed=f"at least {LEAST_RUNS} (too few runs)",
            fix="A law needs many networks, trained alike from different seeds.",
        )  # fmt: skip
    arrays: dict[str, Array] = {}
    skipped: dict[str, str] = {}
    first = ""
    for r, (where, content) in enumerate(checkpoints):
        found, rest = matrices(state_dict(content, where))
        if r == 0:
            first, skipped = where, rest
            names = list(found) if layer is None else [find_layer(layer, found, rest, f"{where}, layer")]
            if not names:
                words = "; ".join(f"{name}: {why}" for name, why in list(rest.items())[:3])
                raise PigmmError.of(where, got=f"no matrix ({words})", allowed="tensors with two axes")
            affordable(source, 8 * runs * sum(int(np.prod(found[name].shape)) for name in names))
            arrays = {name: np.empty((runs, *found[name].shape)) for name in names}
        if missing := [name for name in arrays if name not in found]:
            raise PigmmError.of(
                f"{where}, {missing[0]}", got="no such matrix", allowed=f"the names of {first}",
                fix=nearest(missing[0], found) or None,
            )  # fmt: skip
        if layer is None and (more := [name for name in found if name not in arrays]):
            raise PigmmError.of(f"{where}, {more[0]}", got="a matrix of its own", allowed=f"the names of {first}")
        for name, array in arrays.items():
            shape, expected = tuple(found[name].shape), array.shape[1:]
            if shape != expected:
                raise PigmmError.of(f"{where}, {name}", got=f"shape {shape}", allowed=f"{expected}, as in {first}")
            array[r] = real_numbers(found[name], f"{where}, {name}")
    return arrays, skipped
