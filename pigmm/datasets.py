"""Images to train on: raw pixel bytes and labels, verified file by file.

The handwritten digits of scikit-learn come with the library and need no network. MNIST, Fashion-MNIST and CIFAR-10 are
fetched once by torchvision into the data folder: ``$PIGMM_DATA`` if that is set, else ``pigmm/data`` in the cache
folder of the platform. Files already there are only read, so a complete folder may be read-only.
"""

from __future__ import annotations

import contextlib
import gzip
import hashlib
import importlib
import io
import os
import pickle
import sys
from collections.abc import Iterator
from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from .config import DATASETS
from .errors import PigmmError, nearest

__all__ = ["Dataset", "cache_folder", "data_folder", "load_dataset", "require", "torchvision_datasets"]

Bytes = NDArray[np.uint8]

# torchvision class, folder, then each original file with its MD5. An unpacked neighbour serves too; MD5s of those are
# known for MNIST only.
_IDX = ("train-images-idx3-ubyte", "train-labels-idx1-ubyte", "t10k-images-idx3-ubyte", "t10k-labels-idx1-ubyte")
_SOURCES: dict[str, tuple[str, str, dict[str, str]]] = {
    "mnist": ("MNIST", "MNIST/raw", {
        _IDX[0] + ".gz": "f68b3c2dcbeaaa9fbdd348bbdeb94873", _IDX[0]: "6bbc9ace898e44ae57da46a324031adb",
        _IDX[1] + ".gz": "d53e105ee54ea40749a09fcbcd1e9432", _IDX[1]: "a25bea736e30d166cdddb491f175f624",
        _IDX[2] + ".gz": "9fb629c4189551a2d022fa330f9573f3", _IDX[2]: "2646ac647ad5339dbf082846283269ea",
        _IDX[3] + ".gz": "ec29112dd5afa0611ce80d1b7f02629c", _IDX[3]: "27ae3e4e09519cfbb04c329615203637",
    }),
    "fashion-mnist": ("FashionMNIST", "FashionMNIST/raw", {
        _IDX[0] + ".gz": "8d4fb7e6c68d591d4c3dfef9ec88bf0d",
        _IDX[1] + ".gz": "25c81989df183df01b3e8a0aad5dffbe",
        _IDX[2] + ".gz": "bef4ecab320f06d8554ea6380940ec79",
        _IDX[3] + ".gz": "bb300cfdad3c16e7a12a480ee83cd310",
    }),
    "cifar10": ("CIFAR10", "cifar-10-batches-py", {
        "data_batch_1": "c99cafc152244af753f735de768cd75f", "data_batch_2": "d4bba439e000b95fd0a9bffe97cbabec",
        "data_batch_3": "54ebc095f3ab1f0389bbae665268c751", "data_batch_4": "634d18415352ddfa80567beed471001a",
        "data_batch_5": "482c414d41f54cd18b22e5b47cb7c3cb", "test_batch": "40351d587109b95175f43aff81a1287e",
    }),
}  # fmt: skip


@dataclass(frozen=True, eq=False)
class Dataset:
    """Images as bytes, one row each, and their labels. A network sees x = 2 p/levels − 1, so background is −1.

    Examples
    --------
    >>> data = load_dataset("digits")
    >>> data.name, data.train_images.dtype, data.classes, len(data.digest)
    ('digits', dtype('uint8'), 10, 64)
    """

    name: str
    train_images: Bytes
    train_labels: NDArray[np.int64]
    test_images: Bytes
    test_labels: NDArray[np.int64]
    classes: int
    levels: int

    @property
    def digest(self) -> str:
        """SHA-256 of the contents."""
        total = hashlib.sha256()
        for array in (self.train_images, self.train_labels, self.test_images, self.test_labels):
            total.update(f"{array.shape}{array.dtype.str}{self.levels}".encode())
            total.update(np.ascontiguousarray(array).data)
        return total.hexdigest()


def load_dataset(name: str, root: str | os.PathLike[str] | None = None) -> Dataset:
    """The dataset ``name``: "digits", "mnist", "fashion-mnist" or "cifar10".

    Parameters
    ----------
    name : str
    root : folder of the files, instead of :func:`data_folder`

    Raises
    ------
    PigmmError
        If the name is unknown, a file is damaged (which one is said), the files are neither there nor to be had from
        the network, or a library is not installed.

    Examples
    --------
    >>> data = load_dataset("digits")
    >>> data.train_images.shape, data.test_images.shape, data.levels
    ((1500, 64), (297, 64), 16)
    """
    if not isinstance(name, str) or name not in DATASETS:
        raise PigmmError.of("dataset", got=name, allowed=", ".join(DATASETS), fix=nearest(name, DATASETS) or None)
    return _load(name, data_folder() if root is None else Path(root).expanduser().absolute())


@lru_cache(maxsize=2)
def _load(name: str, root: Path) -> Dataset:
    inputs, classes, levels = DATASETS[name][:3]
    module, _, loader = DATASETS[name].loader.rpartition(".")
    parts = getattr(importlib.import_module(module), loader)(name, root)
    train_images, train_labels, test_images, test_labels = parts
    for images, labels in ((train_images, train_labels), (test_images, test_labels)):
        if images.shape != (len(labels), inputs) or not len(labels) or labels.max() >= classes:
            raise PigmmError.of(
                f"dataset {name}", got=f"images {images.shape}, {len(labels)} labels",
                allowed=f"images (n, {inputs}) and n labels below {classes}",
            )  # fmt: skip
    for array in parts:
        array.setflags(write=False)
    return Dataset(
        name, train_images, train_labels.astype(np.int64), test_images, test_labels.astype(np.int64), classes, levels
    )


def cache_folder() -> Path:
    """The folder of this package among the platform's caches.

    Examples
    --------
    >>> cache_folder().name
    'pigmm'
    """
    if sys.platform == "win32":
        base = os.environ.get("LOCALAPPDATA") or Path.home() / "AppData" / "Local"
    elif sys.platform == "darwin":
        base = Path.home() / "Library" / "Caches"
    else:
        base = os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache"
    return Path(base).absolute() / "pigmm"


def data_folder() -> Path:
    """Where image files are looked for: ``$PIGMM_DATA``, else ``data`` in the cache folder.

    Examples
    --------
    >>> isinstance(data_folder(), Path)
    True
    """
    chosen = os.environ.get("PIGMM_DATA")
    return Path(chosen).expanduser().absolute() if chosen else cache_folder() / "data"


def require(module: str) -> Any:
    """Import a library that only training needs."""
    try:
        return importlib.import_module(module)
    except ImportError as error:
        raise PigmmError.of(
            f"training needs {module}, which cannot be imported ({error})", fix='Install it: pip install "pigmm[train]"'
        ) from error


def read_digits(name: str, root: Path) -> list[NDArray[Any]]:
    """The images and labels of scikit-learn's digits: training, then testing."""
    bunch = require("sklearn.datasets").load_digits()
    order = np.random.default_rng(0).permutation(len(bunch.target))  # the bundled order goes by writer
    images, labels = bunch.data[order].astype(np.uint8), bunch.target[order]
    return [images[:1500], labels[:1500], images[1500:], labels[1500:]]


def read_idx(name: str, root: Path) -> list[NDArray[Any]]:
    """The images and labels of MNIST and its relatives, from four IDX files."""
    return [_parse_idx(*_fetch(name, root, file)) for file in _IDX]


def read_cifar(name: str, root: Path) -> list[NDArray[Any]]:
    """The images and labels of CIFAR-10, from its six batches."""
    images, labels = [], []
    for file in _SOURCES[name][2]:
        path, content = _fetch(name, root, file)
        with _named(path):
            batch = pickle.loads(content, encoding="bytes")  # safe: every MD5 is known and was right
            images.append(np.array(batch[b"data"], np.uint8))
            labels.append(np.array(batch[b"labels"], np.int64))
    return [np.concatenate(images[:-1]), np.concatenate(labels[:-1]), images[-1], labels[-1]]


def _fetch(name: str, root: Path, file: str) -> tuple[Path, bytes]:
    """Path and unpacked content of one file of a dataset, downloaded if it is not there."""
    kind, below, _ = _SOURCES[name]
    folder = root / below
    for attempt in range(2):
        for path in (folder / f"{file}.gz", folder / file):
            if os.path.isfile(path):  # False also where the folder may not be read
                return path, _verified(name, path)
        if attempt == 0:
            _download(kind, name, root)
    raise _missing(name, folder, f"{file} is still not there after the download")


def _verified(name: str, path: Path) -> bytes:
    with _named(path):
        content = path.read_bytes()
        md5 = hashlib.md5(content, usedforsecurity=False).hexdigest()
        known = _SOURCES[name][2].get(path.name, md5)
        if md5 != known:
            raise ValueError(f"its MD5 is {md5}, not {known}")
        return gzip.decompress(content) if path.suffix == ".gz" else content


def _parse_idx(path: Path, content: bytes) -> NDArray[Any]:
    """The array in an IDX file: two zero bytes, 8 for uint8, the number of axes, their lengths, the data."""
    with _named(path):
        if len(content) < 4 or content[:3] != b"\0\0\x08":
            raise ValueError("it is not an IDX file of bytes")
        axes = content[3]
        shape = tuple(np.frombuffer(content, ">u4", axes, 4).astype(int))
        data = np.frombuffer(content, np.uint8, offset=4 + 4 * axes)
        return data.reshape(shape[0], -1).copy() if axes > 1 else data.reshape(shape).copy()


@contextlib.contextmanager
def _named(path: Path) -> Iterator[None]:
    """Whatever goes wrong while a file is read, say which file."""
    try:
        yield
    except PigmmError:
        raise
    except Exception as error:  # a damaged file may fail anywhere in gzip, tarfile, pickle or numpy
        raise PigmmError.of(
            f"{path} cannot be used: {error}",
            fix="Delete this file, so that it is fetched again, or put a sound copy in its place.",
        ) from None


def _missing(name: str, folder: Path, why: str) -> PigmmError:
    return PigmmError.of(
        f"dataset {name}: its files are not in {folder} and cannot be fetched ({why})",
        fix='Use dataset="digits", which needs no files; or put the original files into that folder '
        "(set PIGMM_DATA to name another data folder).",
    )


def _download(kind: str, name: str, root: Path) -> None:
    """Let torchvision fetch the files of a dataset."""
    datasets = torchvision_datasets()
    talk = io.StringIO()
    try:
        root.mkdir(parents=True, exist_ok=True)
        with contextlib.redirect_stdout(talk), contextlib.redirect_stderr(talk):
            getattr(datasets, kind)(str(root), download=True)
    except Exception as error:  # no network, no disk, no permission, a mirror's HTML page in place of a file, ...
        reason = str(error).strip().splitlines() or [type(error).__name__]
        raise _missing(name, root / _SOURCES[name][1], reason[-1][:200]) from None


def torchvision_datasets() -> Any:
    """``torchvision.datasets``, also where torch is a CPU build and torchvision's compiled operators do not load.

    Datasets need none of those operators, but importing torchvision describes two of them to torch; they are declared
    here, without a body, if torch does not know them.
    """
    torch = require("torch")
    try:
        return importlib.import_module("torchvision.datasets")
    except RuntimeError as error:
        if "torchvision::nms" not in str(error):
            raise
    for module in [m for m in sys.modules if m.split(".")[0] == "torchvision"]:
        del sys.modules[module]  # half-imported
    library = torch.library.Library("torchvision", "DEF")
    library.define("nms(Tensor dets, Tensor scores, float iou_threshold) -> Tensor")
    library.define("qnms(Tensor dets, Tensor scores, float iou_threshold) -> Tensor")
    torchvision_datasets.library = library  # type: ignore[attr-defined]  # the declarations live as long as it does
    return importlib.import_module("torchvision.datasets")
