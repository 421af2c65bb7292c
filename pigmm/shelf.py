"""The archives that come with the package: their names, their configurations, and how to open one."""

from __future__ import annotations

import json
import os
from pathlib import Path

from .archive import Archive
from .config import EnsembleConfig
from .errors import PigmmError, nearest
from .storage import npz_path

__all__ = ["load", "published", "published_config"]


def _published_folder() -> Path:
    return Path(__file__).parent / "published"


def published() -> tuple[str, ...]:
    """Names of the archives that come with the package.

    Returns
    -------
    tuple of str
        For :func:`load`.

    Examples
    --------
    >>> "mnist-gaussian" in published()
    True
    """
    return tuple(sorted(path.stem for path in _published_folder().glob("*.npz")))


def published_config(name: str) -> EnsembleConfig:
    """Configuration of the published archive ``name``, from its sidecar alone.

    Examples
    --------
    >>> published_config("mnist-uniform").init
    'uniform'
    """
    if name not in published():
        raise PigmmError.of("archive", got=name, allowed=", ".join(published()), fix=nearest(name, published()) or None)
    return EnsembleConfig.from_dict(json.loads((_published_folder() / f"{name}.json").read_text())["config"])


def load(name: str | os.PathLike[str]) -> Archive:
    """A published archive by name, or an archive file by path.

    Parameters
    ----------
    name : str or path
        One of :func:`published`, or a file that :meth:`pigmm.Archive.save` or ``pigmm train`` has written.

    Returns
    -------
    Archive

    Raises
    ------
    PigmmError
        If there is no such archive (the nearest name is offered) or the file is damaged.

    Examples
    --------
    >>> archive = load("mnist-gaussian")
    >>> archive.model(epoch=0, layer=0).dim
    10
    """
    if isinstance(name, str) and name in published():
        return Archive.load(_published_folder() / f"{name}.npz")
    if isinstance(name, str | os.PathLike) and os.path.exists(npz_path(name)):
        return Archive.load(name)
    raise PigmmError.of(
        "archive", got=str(name), allowed=f"a published name ({', '.join(published())}) or the path of an NPZ file",
        fix=nearest(name, published()) or None,
    )  # fmt: skip
