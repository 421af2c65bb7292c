"""Files written whole or not at all: an NPZ of arrays and a JSON sidecar that vouches for it."""

from __future__ import annotations

import contextlib
import errno
import glob
import hashlib
import io
import json
import os
import tempfile
import time
import warnings
import zipfile
from collections.abc import Callable
from pathlib import Path
from typing import IO, Any

import numpy as np
from numpy.typing import NDArray

from .errors import PigmmError

try:
    import fcntl
except ImportError:  # Windows has no such locks; two trainings at once are then up to the user
    fcntl = None  # type: ignore[assignment]

__all__ = ["differences", "lock_file", "npz_path", "read_arrays", "remove_leftovers", "write_arrays", "write_whole"]

_UMASK = os.umask(0)
os.umask(_UMASK)
_ADVICE = "Take the original file again, or train the ensemble anew."


def write_whole(path: str | os.PathLike[str], content: bytes) -> None:
    """Write a file whole or not at all: a temporary neighbour, flushed to disk, then renamed."""
    _write_all({Path(path): content})


def _write_all(contents: dict[Path, bytes]) -> None:
    """Several files that belong together: all are on disk under other names before the first takes its place.

    If anything fails, Ctrl-C included, what was there before is there again.
    """
    try:
        with contextlib.ExitStack() as after, contextlib.ExitStack() as undo:
            staged: dict[Path, str] = {}
            for target, content in contents.items():
                if target.is_dir():
                    raise IsADirectoryError(errno.EISDIR, os.strerror(errno.EISDIR))
                target.parent.mkdir(parents=True, exist_ok=True)
                remove_leftovers(target.parent, target.name)
                file = after.enter_context(_temporary(target))
                undo.callback(_discard, file.name)
                staged[target] = file.name
                file.write(content)
                file.flush()
                os.chmod(file.name, 0o666 & ~_UMASK)  # as any other new file, not as a secret one
                os.fsync(file.fileno())
                if fcntl is None:
                    file.close()  # Windows renames no open file; elsewhere its lock says that it is no leftover
            for target, temporary in staged.items():
                former = f"{temporary}.part"
                try:
                    os.link(target, former)
                except FileNotFoundError:
                    undo.callback(_discard, target)
                except OSError:  # a file system without second names: the former file cannot be put back
                    pass
                else:
                    after.callback(_discard, former)
                    undo.callback(os.replace, former, target)
                os.replace(temporary, target)
            undo.pop_all()
    except (OSError, ValueError) as error:  # ValueError: a name with a null byte
        raise PigmmError.of(
            f"cannot write {target}", got=getattr(error, "strerror", None) or str(error),
            fix="Free some space or choose another file; nothing was half-written.",
        ) from error  # fmt: skip


def _temporary(target: Path) -> IO[bytes]:
    """A new file beside the target, locked as long as it is open."""
    while True:
        file = tempfile.NamedTemporaryFile(  # noqa: SIM115 (the caller closes it)
            dir=target.parent, prefix=target.name, suffix=".part", delete=False
        )
        with contextlib.suppress(OSError):  # a file system without locks
            _lock(file)
        if os.fstat(file.fileno()).st_nlink:
            return file
        file.close()  # another process has just taken it for a leftover


def _discard(path: str | Path) -> None:
    with contextlib.suppress(OSError):  # it is a leftover then, to be removed at the next write
        os.unlink(path)


def _lock(file: IO[Any]) -> bool:
    """Lock an open file against other processes until it is closed; False if another one has locked it."""
    try:
        if fcntl is not None:
            fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        return False
    return True


def lock_file(path: Path, wait: Callable[[], None] | None = None) -> IO[str]:
    """The file that serves as a lock, made, open and locked.  Remove it, then close it.

    ``wait`` is called once if another process has the lock, which is then waited for.

    Raises
    ------
    BlockingIOError
        If another process has the lock and ``wait`` is None.
    OSError
        If the file cannot be made.
    """
    told = False
    while True:
        path.parent.mkdir(parents=True, exist_ok=True)
        file = path.open("w")
        try:
            ours = _lock(file)
        except OSError as error:
            words = f"{path.parent} knows no locks ({error.strerror}): see that no two processes use it at once"
            warnings.warn(words, stacklevel=4)
            return file
        if ours and _is_at(file, path):
            return file
        file.close()
        if ours:  # it was removed by whoever had the lock before: others would not find it
            continue
        if wait is None:
            raise BlockingIOError(errno.EWOULDBLOCK, os.strerror(errno.EWOULDBLOCK))
        if not told:
            wait()
        told = True
        time.sleep(0.1)


def _is_at(file: IO[str], path: Path) -> bool:
    try:
        return os.path.samestat(os.fstat(file.fileno()), path.stat())
    except FileNotFoundError:
        return False


def remove_leftovers(folder: Path, name: str = "") -> None:
    """Remove temporary files (of targets whose names begin so) that a killed process has left half-written."""
    for path in folder.glob(f"{glob.escape(name)}*.part"):
        with contextlib.suppress(OSError), path.open("rb+") as file:
            if fcntl is not None and _lock(file):  # whoever still writes it holds its lock
                path.unlink()


def write_arrays(
    path: str | os.PathLike[str], header: dict[str, Any], arrays: dict[str, NDArray[Any]], *, small: bool = False
) -> Path:
    """Write ``NAME.npz`` (arrays and header) and ``NAME.json`` (header and the SHA-256 of the NPZ).

    ``small`` compresses harder (LZMA) and keeps the first bytes of all numbers of an array together, then the second
    ones, and so on: first bytes are much alike.
    """
    target = npz_path(path)
    text = json.dumps(header, sort_keys=True)
    buffer = io.BytesIO()
    entries = dict(_planes(name, array) for name, array in arrays.items()) if small else arrays
    with zipfile.ZipFile(buffer, "w") as file:
        for name, array in {"header": np.frombuffer(text.encode(), np.uint8), **entries}.items():
            entry = zipfile.ZipInfo(f"{name}.npy")
            entry.compress_type = zipfile.ZIP_LZMA if small else zipfile.ZIP_DEFLATED
            with file.open(entry, "w", force_zip64=True) as stream:
                np.lib.format.write_array(stream, np.asanyarray(array), allow_pickle=False)
    content = buffer.getvalue()
    sidecar = {**header, "sha256": hashlib.sha256(content).hexdigest()}
    sidecar_text = json.dumps(sidecar, indent=1, sort_keys=True) + "\n"
    _write_all({target: content, target.with_suffix(".json"): sidecar_text.encode()})
    return target


def read_arrays(path: str | os.PathLike[str], form: str) -> tuple[dict[str, Any], dict[str, NDArray[Any]]]:
    """Header and arrays of a file written by :func:`write_arrays` with ``header["format"] == form``.

    Raises
    ------
    PigmmError
        If a file is missing, cut short, foreign, or differs from what its sidecar says.
    """
    target = npz_path(path)
    content, sidecar = _read(target), _read(target.with_suffix(".json"))
    try:
        said = json.loads(sidecar)
        digest = said.pop("sha256")
    except (ValueError, KeyError, AttributeError, TypeError) as error:
        raise PigmmError.of(f"{target.with_suffix('.json')} is not the sidecar of an archive", fix=_ADVICE) from error
    right = hashlib.sha256(content).hexdigest() == digest
    try:
        with np.load(io.BytesIO(content), allow_pickle=False) as file:
            arrays = dict(_whole(name, file[name]) for name in file.files)
        header = json.loads(bytes(arrays.pop("header")))
    except Exception as error:  # whatever a damaged zip can raise
        what = "is not an archive of pigmm" if right else "is truncated or altered: its SHA-256 is not the sidecar's"
        raise PigmmError.of(f"{target} {what}", fix=_ADVICE) from error
    changed = "; ".join(differences(header, said))
    if not right and changed:
        fix = "Put the two files of one archive side by side again."
        raise PigmmError.of(f"{target} and its sidecar are not of one archive, or were altered ({changed})", fix=fix)
    if not right:
        raise PigmmError.of(f"{target} is truncated or altered: its SHA-256 is not the sidecar's", fix=_ADVICE)
    if changed:
        raise PigmmError.of(f"{target}: its sidecar was edited ({changed})", fix=_ADVICE)
    if header.get("format") != form:
        raise PigmmError.of(f"{target}: format", got=header.get("format"), allowed=repr(form), fix=_ADVICE)
    return header, arrays


def check_output(path: str | os.PathLike[str]) -> Path:
    """The path of an NPZ file that could be written here, as far as one can tell; said now, and not after hours.

    Raises
    ------
    PigmmError
        If the name is none, a folder is in the way, or the folder above is a file or may not be written into.
    """
    target = npz_path(path).absolute()
    for file in (target, target.with_suffix(".json")):
        if file.is_dir():
            raise PigmmError.of(f"cannot write {file}: a folder of this name is in the way", fix="Name another file.")
    above = target.parent
    while not above.exists() and above != above.parent:
        above = above.parent
    if not above.is_dir() or not os.access(above, os.W_OK | os.X_OK):
        what = "may not be written into" if above.is_dir() else "is a file, not a folder"
        raise PigmmError.of(f"cannot write {target}: {above} {what}", fix="Name another folder.")
    return target


def _planes(name: str, array: NDArray[Any]) -> tuple[str, NDArray[Any]]:
    if array.dtype.kind != "f" or array.ndim == 0:
        return name, array
    split = np.moveaxis(np.ascontiguousarray(array)[..., None].view(np.uint8), -1, 0)
    return f"{name}:{array.dtype.str[1:]}", split if array.dtype.byteorder != ">" else split[::-1]


def _whole(name: str, array: NDArray[Any]) -> tuple[str, NDArray[Any]]:
    """The inverse of :func:`_planes`."""
    name, split, kind = name.partition(":")
    if not split:
        return name, array
    return name, np.ascontiguousarray(np.moveaxis(array, 0, -1)).view(f"<{kind}")[..., 0]


def differences(old: dict[str, Any], new: dict[str, Any], most: int = 6) -> list[str]:
    """What differs between two nested dictionaries, each as ``name: old -> new``; the first few.

    Examples
    --------
    >>> differences({"torch": "2.6", "config": {"seed": 1}}, {"torch": "2.7", "config": {"seed": 1}, "numba": "0.61"})
    ['numba: none -> 0.61', 'torch: 2.6 -> 2.7']
    """
    ours, theirs = _flat(old), _flat(new)
    names = [
        name for name in sorted(ours | theirs)
        if (name in ours, ours.get(name)) != (name in theirs, theirs.get(name))
    ]  # fmt: skip
    shown = [f"{name}: {_short(ours.get(name, 'none'))} -> {_short(theirs.get(name, 'none'))}" for name in names]
    return shown if len(shown) <= most else [*shown[:most], f"and {len(shown) - most} more"]


def _flat(values: dict[str, Any], prefix: str = "") -> dict[str, Any]:
    flat: dict[str, Any] = {}
    for name, value in values.items():
        inner = isinstance(value, dict) and value
        flat |= _flat(value, f"{prefix}{name}.") if inner else {f"{prefix}{name}": value}
    return flat


def _short(value: Any) -> str:
    text = str(value)
    return text if len(text) <= 40 else f"{text[:12]}..."


def npz_path(path: str | os.PathLike[str]) -> Path:
    text = os.fspath(path) if isinstance(path, str | os.PathLike) else ""
    if not isinstance(text, str) or not Path(text).name or text.endswith(os.sep) or "\0" in text:
        raise PigmmError.of("archive file", got=path, allowed="a path that ends in a file name")
    target = Path(path)
    return target if target.suffix == ".npz" else target.with_name(target.name + ".npz")


def _read(path: Path) -> bytes:
    try:
        return path.read_bytes()
    except (OSError, ValueError) as error:  # ValueError: a name with a null byte
        raise PigmmError.of(
            f"cannot read {path}", got=getattr(error, "strerror", None) or str(error),
            allowed="an archive is two files, NAME.npz and NAME.json, side by side",
        ) from error  # fmt: skip
