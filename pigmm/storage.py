"""Files written whole or not at all: an NPZ of arrays and a JSON sidecar that vouches for it."""

from __future__ import annotations

import errno
import hashlib
import io
import json
import os
import tempfile
import zipfile
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from .errors import PigmmError

__all__ = ["npz_path", "read_arrays", "write_arrays", "write_whole"]

_UMASK = os.umask(0)
os.umask(_UMASK)
_ADVICE = "Take the original file again, or train the ensemble anew."


def write_whole(path: str | os.PathLike[str], content: bytes) -> None:
    """Write a file whole or not at all: a temporary neighbour, flushed to disk, then renamed."""
    _write_all({Path(path): content})


def _write_all(contents: dict[Path, bytes]) -> None:
    """Several files that belong together: all are on disk under other names before the first takes its place."""
    staged: dict[str, Path] = {}
    try:
        for target, content in contents.items():
            if target.is_dir():
                raise IsADirectoryError(errno.EISDIR, os.strerror(errno.EISDIR))
            target.parent.mkdir(parents=True, exist_ok=True)
            with tempfile.NamedTemporaryFile(
                dir=target.parent, prefix=target.name, suffix=".part", delete=False
            ) as file:
                staged[file.name] = target
                file.write(content)
                file.flush()
                os.chmod(file.name, 0o666 & ~_UMASK)  # as any other new file, not as a secret one
                os.fsync(file.fileno())
        for temporary, target in staged.items():
            os.replace(temporary, target)
    except (OSError, ValueError) as error:  # ValueError: a name with a null byte
        for temporary in staged:
            Path(temporary).unlink(missing_ok=True)
        raise PigmmError.of(
            f"cannot write {target}", got=getattr(error, "strerror", None) or str(error),
            fix="Free some space or choose another file; nothing was half-written.",
        ) from error  # fmt: skip


def write_arrays(path: str | os.PathLike[str], header: dict[str, Any], arrays: dict[str, NDArray[Any]]) -> Path:
    """Write ``NAME.npz`` (arrays and header) and ``NAME.json`` (header and the SHA-256 of the NPZ)."""
    target = npz_path(path)
    text = json.dumps(header, sort_keys=True)
    buffer = io.BytesIO()
    np.savez_compressed(buffer, header=np.frombuffer(text.encode(), np.uint8), **arrays)  # type: ignore[arg-type]
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
    if hashlib.sha256(content).hexdigest() != digest:
        raise PigmmError.of(f"{target} is truncated or altered: its SHA-256 is not the sidecar's", fix=_ADVICE)
    try:
        with np.load(io.BytesIO(content), allow_pickle=False) as file:
            arrays = {name: file[name] for name in file.files}
        header = json.loads(bytes(arrays.pop("header")))
    except (ValueError, KeyError, OSError, EOFError, TypeError, zipfile.BadZipFile) as error:
        raise PigmmError.of(f"{target} is not an archive of pigmm", fix=_ADVICE) from error
    if header != said or header.get("format") != form:
        raise PigmmError.of(f"{target}: its sidecar was edited, or it is of another format", fix=_ADVICE)
    return header, arrays


def npz_path(path: str | os.PathLike[str]) -> Path:
    if not isinstance(path, str | os.PathLike) or not Path(path).name:
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
