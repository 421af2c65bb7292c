"""Datasets: the bundled one, fabricated files for the others, and everything that can be wrong with them."""

import gzip
import hashlib
import os
import pickle
import struct
import sys

import numpy as np
import pytest

from pigmm import PigmmError, datasets
from pigmm.datasets import load_dataset

NAMES = ["train-images-idx3-ubyte", "train-labels-idx1-ubyte", "t10k-images-idx3-ubyte", "t10k-labels-idx1-ubyte"]


@pytest.fixture(autouse=True)
def no_memory():
    """Datasets are remembered within a process; tests must see the files."""
    datasets._load.cache_clear()
    yield
    datasets._load.cache_clear()


@pytest.fixture
def no_network(monkeypatch):
    def refuse(self):
        raise OSError("no route to host")

    kinds = datasets.torchvision_datasets()
    for kind in (kinds.MNIST, kinds.CIFAR10):
        monkeypatch.setattr(kind, "download", refuse)


def idx(array):
    return b"\0\0\x08" + bytes([array.ndim]) + struct.pack(f">{array.ndim}I", *array.shape) + array.tobytes()


@pytest.fixture
def tiny_mnist(tmp_path, monkeypatch):
    """A folder with 7 + 3 random images in the four files of MNIST, whose MD5s are put in place of the true ones."""
    rng = np.random.default_rng(0)
    arrays = [
        rng.integers(0, 256, (7, 28, 28), np.uint8), rng.integers(0, 10, 7, np.uint8),
        rng.integers(0, 256, (3, 28, 28), np.uint8), rng.integers(0, 10, 3, np.uint8),
    ]  # fmt: skip
    folder = tmp_path / "MNIST" / "raw"
    folder.mkdir(parents=True)
    known = {}
    for name, array in zip(NAMES, arrays, strict=True):
        content = gzip.compress(idx(array))
        (folder / f"{name}.gz").write_bytes(content)
        known[f"{name}.gz"] = hashlib.md5(content).hexdigest()
        known[name] = hashlib.md5(idx(array)).hexdigest()
    monkeypatch.setitem(datasets._SOURCES, "mnist", ("MNIST", "MNIST/raw", known))
    monkeypatch.setenv("PIGMM_DATA", str(tmp_path))
    return folder, arrays


def test_digits_are_all_there():
    sklearn_datasets = pytest.importorskip("sklearn.datasets")
    data, bunch = load_dataset("digits"), sklearn_datasets.load_digits()
    images = np.concatenate([data.train_images, data.test_images])
    labels = np.concatenate([data.train_labels, data.test_labels])
    assert images.dtype == np.uint8
    assert (images.max(), data.levels, data.classes) == (16, 16, 10)

    def rows(images, labels):
        return sorted(map(tuple, np.column_stack([images, labels]).astype(int).tolist()))

    assert rows(images, labels) == rows(bunch.data, bunch.target)  # a permutation of the whole
    assert not np.array_equal(images[:100], bunch.data[:100])
    share = np.bincount(data.test_labels) / len(data.test_labels)
    assert np.abs(share - 0.1).max() < 0.05  # mixed: no class is missing from the test set


def test_digest_depends_on_contents():
    import dataclasses

    data = load_dataset("digits")
    assert data.digest == "1fed05347e996070ca427c1e7d096c86b162e482fd77ad128f460a2f345b4a20"
    changed = data.train_images.copy()
    changed[5, 5] ^= 1
    assert dataclasses.replace(data, train_images=changed).digest != data.digest
    assert dataclasses.replace(data, levels=255).digest != data.digest


def test_arrays_cannot_be_changed_by_accident():
    with pytest.raises(ValueError, match="read-only"):
        load_dataset("digits").train_images[0, 0] = 1


def test_unknown_names_are_refused():
    with pytest.raises(PigmmError, match="Did you mean 'fashion-mnist'"):
        load_dataset("fashionmnist")


@pytest.mark.parametrize("packed", [True, False])
def test_idx_files_packed_or_not(tiny_mnist, packed):
    folder, arrays = tiny_mnist
    if not packed:
        for name in NAMES:
            (folder / name).write_bytes(gzip.decompress((folder / f"{name}.gz").read_bytes()))
            (folder / f"{name}.gz").unlink()
    data = load_dataset("mnist")
    np.testing.assert_array_equal(data.train_images, arrays[0].reshape(7, 784))
    np.testing.assert_array_equal(data.train_labels, arrays[1])
    np.testing.assert_array_equal(data.test_images, arrays[2].reshape(3, 784))
    np.testing.assert_array_equal(data.test_labels, arrays[3])
    assert (data.levels, data.train_labels.dtype) == (255, np.int64)


def test_a_complete_folder_is_only_read(tiny_mnist, monkeypatch):
    folder, _ = tiny_mnist
    before = sorted(os.listdir(folder))
    for name in ("mkdir", "write_bytes"):
        monkeypatch.setattr(datasets.Path, name, lambda *a, **k: pytest.fail("nothing may be written"))
    load_dataset("mnist")
    assert sorted(os.listdir(folder)) == before


@pytest.mark.parametrize("file", NAMES)
@pytest.mark.parametrize("damage", ["cut", "flipped", "empty"])
def test_the_damaged_file_is_named(tiny_mnist, file, damage):
    folder, _ = tiny_mnist
    path = folder / f"{file}.gz"
    content = bytearray(path.read_bytes())
    if damage == "flipped":
        content[len(content) // 2] ^= 1
    path.write_bytes({"cut": content[:-5], "flipped": content, "empty": b""}[damage])
    with pytest.raises(PigmmError, match="MD5") as caught:
        load_dataset("mnist")
    assert str(path) in str(caught.value)
    assert "Delete this file" in str(caught.value)


@pytest.mark.parametrize(
    "content", [b"", b"<html>not found</html>", b"\0\0\x08\x03\0\0", idx(np.zeros((2, 28, 28), np.uint8))[:-1]]
)
def test_files_of_another_form_are_refused_even_with_the_right_md5(tiny_mnist, content):
    folder, _ = tiny_mnist
    packed = gzip.compress(content)
    (folder / f"{NAMES[0]}.gz").write_bytes(packed)
    datasets._SOURCES["mnist"][2][f"{NAMES[0]}.gz"] = hashlib.md5(packed).hexdigest()
    with pytest.raises(PigmmError, match=NAMES[0]):
        load_dataset("mnist")


def test_images_and_labels_must_match(tiny_mnist):
    folder, _ = tiny_mnist
    packed = gzip.compress(idx(np.zeros(6, np.uint8)))
    (folder / f"{NAMES[1]}.gz").write_bytes(packed)
    datasets._SOURCES["mnist"][2][f"{NAMES[1]}.gz"] = hashlib.md5(packed).hexdigest()
    with pytest.raises(PigmmError, match="6 labels"):
        load_dataset("mnist")


@pytest.mark.parametrize("name", ["mnist", "fashion-mnist", "cifar10"])
def test_without_files_and_network_both_ways_out_are_named(tmp_path, no_network, name):
    with pytest.raises(PigmmError) as caught:
        load_dataset(name, tmp_path / "absent")
    for words in ("no route to host", 'dataset="digits"', str(tmp_path / "absent"), "PIGMM_DATA"):
        assert words in str(caught.value)


def test_a_data_folder_that_cannot_be_made(tmp_path, no_network):
    (tmp_path / "file").write_text("")
    with pytest.raises(PigmmError, match="PIGMM_DATA"):
        load_dataset("mnist", tmp_path / "file" / "below")


def test_cifar_rows_come_from_the_six_batches(tmp_path, monkeypatch):
    rng = np.random.default_rng(1)
    folder, known, rows = tmp_path / "cifar-10-batches-py", {}, []
    folder.mkdir()
    for name in datasets._SOURCES["cifar10"][2]:
        batch = {b"data": rng.integers(0, 256, (2, 3072), np.uint8), b"labels": rng.integers(0, 10, 2).tolist()}
        content = pickle.dumps(batch)
        (folder / name).write_bytes(content)
        known[name] = hashlib.md5(content).hexdigest()
        rows.append(batch)
    monkeypatch.setitem(datasets._SOURCES, "cifar10", ("CIFAR10", folder.name, known))
    data = load_dataset("cifar10", tmp_path)
    np.testing.assert_array_equal(data.train_images, np.concatenate([batch[b"data"] for batch in rows[:5]]))
    assert data.train_labels.tolist() == [label for batch in rows[:5] for label in batch[b"labels"]]
    np.testing.assert_array_equal(data.test_images, rows[5][b"data"])
    (folder / "data_batch_3").write_bytes(b"\x80")  # a pickle is never opened unless its MD5 is right
    datasets._load.cache_clear()
    with pytest.raises(PigmmError, match=r"data_batch_3.*MD5"):
        load_dataset("cifar10", tmp_path)


def test_missing_libraries_are_named_with_the_extra(monkeypatch):
    monkeypatch.setitem(sys.modules, "sklearn.datasets", None)
    with pytest.raises(PigmmError, match=r"sklearn.*pigmm\[train\]"):
        load_dataset("digits")


def test_data_folder_is_chosen_by_the_environment(tmp_path, monkeypatch):
    monkeypatch.setenv("PIGMM_DATA", str(tmp_path))
    assert datasets.data_folder() == tmp_path
    monkeypatch.delenv("PIGMM_DATA")
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))
    monkeypatch.setattr(sys, "platform", "linux")
    assert datasets.data_folder() == tmp_path / "cache" / "pigmm" / "data"
    monkeypatch.setattr(sys, "platform", "win32")
    monkeypatch.setenv("LOCALAPPDATA", str(tmp_path / "local"))
    assert datasets.data_folder() == tmp_path / "local" / "pigmm" / "data"


def test_the_real_files_where_they_are():
    """MNIST's published size and class counts, if the data folder has it; else the fabricated files stand for it."""
    if not all((datasets.data_folder() / "MNIST" / "raw" / f"{name}.gz").exists() for name in NAMES):
        return
    data = load_dataset("mnist")
    assert data.train_images.shape == (60000, 784)
    assert np.bincount(data.test_labels).tolist() == [980, 1135, 1032, 1010, 982, 892, 958, 1028, 974, 1009]
    assert data.digest == "6cd80db0986b28f20178ee460607ad6cbab1d078012dd959e863f6e5fd23c2ba"
