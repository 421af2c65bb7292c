"""Weights from elsewhere: every way in gives the same arrays, and every bad input is named and never executed."""

import json
import os
import pickle
import struct
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
import torch

import pigmm
from pigmm import PigmmError
from pigmm.own_weights import load_weights
from tests.ensembles import synthetic_archive

R = 5
W = np.random.default_rng(0).normal(size=(R, 6, 4)).astype(np.float32)
V = np.random.default_rng(1).normal(size=(R, 3, 6)).astype(np.float32)
ROOT = Path(__file__).parents[1]


def state(r, prefix="", **more):
    """The state dict of run r: two matrices, a bias, a convolution, a counter, a table of whole numbers."""
    tensors = {
        "fc1.weight": torch.tensor(W[r], requires_grad=True), "fc1.bias": torch.zeros(6),
        "conv.weight": torch.zeros(4, 3, 2, 2), "norm.count": torch.tensor(7),
        "place": torch.zeros(2, 8, dtype=torch.int64), "fc2.weight": torch.tensor(V[r]),
    }  # fmt: skip
    return {prefix + name: tensor for name, tensor in tensors.items()} | more


def write_folder(folder, wrap=lambda s: s, ending=".pt", prefix=""):
    folder.mkdir(exist_ok=True)
    for r in range(R):
        torch.save(wrap(state(r, prefix)), folder / f"run{2 * r + 2}{ending}")  # run2 ... run10: text order is wrong
    return folder


def check(weights):
    assert list(weights.arrays) == ["fc1.weight", "fc2.weight"]
    np.testing.assert_array_equal(weights["fc1.weight"], W)
    np.testing.assert_array_equal(weights["fc2"], V)
    assert weights.shapes == {"fc1.weight": (6, 4), "fc2.weight": (3, 6)}


# ---- the ways in


@pytest.mark.parametrize("prefix", ["", "module.", "_orig_mod.module."])
@pytest.mark.parametrize("key", [None, "state_dict", "model_state_dict", "model"])
def test_folder_of_state_dicts(tmp_path, prefix, key):
    def wrap(s):
        return s if key is None else {"epoch": 3, key: s, "optimizer": {"state": {0: {"exp_avg": torch.zeros(3, 3)}}}}

    weights = load_weights(write_folder(tmp_path / "runs", wrap, prefix=prefix))
    check(weights)
    assert weights.runs == ("run2", "run4", "run6", "run8", "run10")
    assert "a vector" in weights.skipped["fc1.bias"]
    assert "convolution" in weights.skipped["conv.weight"]
    assert weights.skipped["norm.count"] == "a single number"
    assert "int64" in weights.skipped["place"]


def test_other_files_and_forms(tmp_path):
    folder = write_folder(tmp_path / "a", ending=".pth")
    (folder / "log.txt").write_text("hello")
    (folder / ".hidden.pt").write_text("x")
    check(load_weights(str(folder)))
    check(load_weights(f"{folder}/run*.pth"))
    check(load_weights(sorted(folder.glob("*.pth"), key=lambda p: int(p.stem[3:]))))
    check(load_weights([state(r) for r in range(R)]))
    check(load_weights({"fc1.weight": W, "fc2.weight": V, "accuracy": np.zeros(R)}))
    torch.save([state(r) for r in range(R)], tmp_path / "all.pt")
    check(load_weights(tmp_path / "all.pt"))
    np.savez(tmp_path / "all.npz", **{"fc1.weight": W, "fc2.weight": V})
    check(load_weights(tmp_path / "all.npz"))
    (tmp_path / "npz").mkdir()
    for r in range(R):
        np.savez(tmp_path / "npz" / f"{r}.npz", **{"fc1.weight": W[r], "fc2.weight": V[r]})
        (tmp_path / "sub" / f"seed {r}").mkdir(parents=True)
        torch.save(state(r), tmp_path / "sub" / f"seed {r}" / "last.pt")
    check(load_weights(tmp_path / "npz"))
    nested = load_weights(tmp_path / "sub")
    check(nested)
    assert nested.runs[3] == "seed 3/last"
    np.save(tmp_path / "one.npy", W)
    (tmp_path / "npy").mkdir()
    for r in range(R):
        np.save(tmp_path / "npy" / f"{r}.npy", W[r])
    np.testing.assert_array_equal(load_weights(tmp_path / "npy")["W"], W)
    for source in (W, tmp_path / "one.npy", list(W), torch.tensor(W).bfloat16().float()):
        assert load_weights(source).shapes == {"W": (6, 4)}
    flax = [{"params": {"fc1": {"weight": W[r]}, "fc2": {"weight": V[r]}}} for r in range(R)]
    check(load_weights(flax))
    half = load_weights([{"w": torch.tensor(W[r]).bfloat16()} for r in range(R)])
    np.testing.assert_allclose(half["w"], W, rtol=1e-2)


def test_one_layer_needs_only_that_layer_to_fit(tmp_path):
    states = [state(r, extra=torch.zeros(r + 2, 2)) for r in range(R)]
    np.testing.assert_array_equal(load_weights(states, "fc2")["fc2.weight"], V)
    with pytest.raises(PigmmError, match=r"run 1, extra: got shape \(3, 2\)"):
        load_weights(states)


def test_archives():
    archive = synthetic_archive()
    weights = load_weights(archive)
    assert list(weights.arrays) == ["L1", "L2", "L3"]
    np.testing.assert_array_equal(weights["L2"], archive.weights(-1, 1))
    named = load_weights("mnist-gaussian", "L3")
    assert named.shapes == {"L3": (10, 10)}
    assert len(named.runs) == pigmm.load("mnist-gaussian").runs


def safetensors_file(path, tensors):
    """The format by hand: length, JSON header, data."""
    header, data = {}, b""
    for name, tensor in tensors.items():
        header[name] = {"dtype": "F32", "shape": tensor.shape, "data_offsets": [len(data), len(data) + tensor.nbytes]}
        data += tensor.tobytes()
    text = json.dumps(header).encode()
    path.write_bytes(struct.pack("<Q", len(text)) + text + data)


def test_safetensors_or_how_to_get_it(tmp_path):
    for r in range(R):
        safetensors_file(tmp_path / f"{r}.safetensors", {"fc1.weight": W[r], "fc2.weight": V[r]})
    try:
        import safetensors  # noqa: F401
    except ImportError:
        with pytest.raises(PigmmError, match="pip install safetensors"):
            load_weights(tmp_path)
    else:
        check(load_weights(tmp_path))
        (tmp_path / "3.safetensors").write_bytes(b"\xff" * 40)
        with pytest.raises(PigmmError, match=r"3\.safetensors: got not readable"):
            load_weights(tmp_path)


def test_without_torch_all_but_its_own_files_can_be_read(tmp_path):
    write_folder(tmp_path / "pt")
    np.savez(tmp_path / "all.npz", W=W)
    code = f"""
import sys
class Blocker:
    def find_spec(self, name, path=None, target=None):
        if name.split(".")[0] == "torch":
            raise ModuleNotFoundError(name)
sys.meta_path.insert(0, Blocker())
from pigmm.own_weights import load_weights
assert load_weights({str(tmp_path / 'all.npz')!r}).R == {R}
try:
    load_weights({str(tmp_path / 'pt')!r})
except ValueError as error:
    print(error)
"""
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, cwd=ROOT, check=True)
    assert "PyTorch is not installed" in done.stdout
    assert "pip install torch" in done.stdout


# ---- what it notices


def test_copies_frozen_layers_and_tied_weights():
    w = np.random.default_rng(2).normal(size=(6, 4, 4))
    w[5] = w[1]
    tied = load_weights({"a": w, "b": w.swapaxes(1, 2), "frozen": np.tile(w[:1], (6, 1, 1))})
    assert tied.frozen == ("frozen",)
    assert tied.tied == (("a", "b"),)
    assert tied.copies == ((("run 1", "run 5"), ("a", "b")),)
    assert any("frozen" in note for note in tied.notes)
    assert load_weights(W).copies == ()


def test_arrays_cannot_be_changed_and_the_source_is_not():
    weights = load_weights(W)
    with pytest.raises(ValueError, match="read-only"):
        weights["W"][0] = 0
    with pytest.raises(TypeError):
        weights.arrays["V"] = V
    assert W.flags.writeable


# ---- hostile input


class Bomb:
    """Unpickling it would leave a mark."""

    def __reduce__(self):
        return os.mkdir, ("exploded",)


def spoil(change):
    """State dicts of which run 3 is changed."""
    states = [state(r) for r in range(R)]
    change(states[3])
    return states


def nan(s):
    s["fc2.weight"] = s["fc2.weight"].clone()
    s["fc2.weight"][1, 2] = float("nan")


IN_MEMORY = {
    "none": (None, "source: got 'NoneType'"),
    "number": (5, "source: got 'int'"),
    "empty list": ([], "an empty list"),
    "empty mapping": ({}, "a dict with no tensors"),
    "one run": ([state(0)], "got 1 run;"),
    "two runs": ([state(0), state(1)], "got 2 runs"),
    "NaN": (spoil(nan), r"run 3, fc2.weight: got NaN or infinity in 1 of 18 weights, first at \[1, 2\]"),
    "infinity": (np.where(W > 2, np.inf, W), "an array, W: got NaN or infinity"),
    "other shape": (spoil(lambda s: s.update({"fc1.weight": torch.ones(6, 5)})), r"fc1.weight: got shape \(6, 5\)"),
    "missing": (spoil(lambda s: s.pop("fc1.weight")), "run 3, fc1.weight: got no such matrix"),
    "additional": (spoil(lambda s: s.update(more=torch.ones(2, 2))), "run 3, more: got a matrix of its own"),
    "no matrix": ([{"b": np.zeros(3)} for _ in range(R)], r"run 0: got no matrix \(b: a vector of 3"),
    "only convolutions": ([{"c": np.zeros((2, 2, 3, 3))} for _ in range(R)], "convolution"),
    "sparse": ([{"w": torch.eye(3).to_sparse()} for _ in range(R)], "run 0, w: .*a dense tensor"),
    "meta": ([{"w": torch.zeros(3, 3, device="meta")} for _ in range(R)], "run 0, w: "),
    "complex": ([{"w": torch.zeros(3, 3, dtype=torch.complex64)} for _ in range(R)], "dtype complex64"),
    "objects": (np.array([[["a", None]] * 2] * R, dtype=object), "dtype object"),
    "masked": (np.ma.masked_greater(W, 1), "a masked array"),
    "text": ([{"w": "hello"}] * R, "a dict with no tensors"),
    "a list of numbers": ([1.0] * R, "run 0: got 'float'"),
    "mixed": ([state(0), W[0], state(2)], r"run 1: got ndarray of shape \(6, 4\); allowed: a state dict, like run 0"),
    "mixed the other way": ([W[0], state(1), W[2]], "run 1: got 'dict'; allowed: a matrix, like run 0"),
    "vectors": ([np.zeros(3)] * R, r"run 0: got ndarray of shape \(3,\)"),
    "two axes": (W[0], r"shape \(6, 4\), not \(R, M, N\)"),
    "four axes": (np.zeros((R, 2, 3, 3)), r"not \(R, M, N\)"),
    "no runs": (np.zeros((0, 3, 3)), "0 runs"),
    "other counts": ({"a": W, "b": V[:4]}, "a mapping of arrays, b: got 4 runs; allowed: 5 runs, as in a"),
    "optimiser": ([{"opt": {"state": {"m": torch.ones(3, 3)}, "lr": 1}}] * R, "a state dict, or one under"),
    "huge numbers": (W.astype(float) * 1e200, "an array, W: got weights up to"),
    "same name twice": ([{1: np.ones((2, 2)), "1": np.ones((2, 2))}] * R, "two tensors named 1"),
    "too large": (np.broadcast_to(np.float32(0), (10**4, 10**3, 10**3)), "at most 4 GiB"),
}  # fmt: skip


@pytest.mark.parametrize("case", IN_MEMORY)
def test_bad_input_in_memory_is_named(case):
    source, said = IN_MEMORY[case]
    with pytest.raises(PigmmError, match=said) as error:
        load_weights(source)
    assert "allowed" in str(error.value)


def truncated(path):
    path.write_bytes(path.read_bytes()[: path.stat().st_size // 2])


def bombed(path):
    torch.save({"fc1.weight": torch.ones(2, 2), "x": Bomb()}, path)


def old_pickle(path):
    path.write_bytes(pickle.dumps(Bomb()))


FILES = {
    "empty file": (lambda p: p.write_bytes(b""), r"run6\.pt: got not readable as .pt \(an empty file\)"),
    "text": (lambda p: p.write_text("not a checkpoint"), r"run6\.pt: got "),
    "truncated": (truncated, r"run6\.pt: got not readable"),
    "picture": (lambda p: p.write_bytes(b"\x89PNG\r\n\x1a\n" + bytes(100)), r"run6\.pt: got "),
    "code": (bombed, r"run6\.pt: got pickled objects \(.*mkdir\).*nothing in a file is executed"),
    "bare pickle": (old_pickle, r"run6\.pt: got pickled objects"),
    "whole model": (lambda p: torch.save(torch.nn.Linear(4, 6), p), "torch.nn.modules.linear.Linear.*state_dict"),
    "number": (lambda p: torch.save(3, p), r"run6\.pt: got 'int'; allowed: a state dict"),
    "other model": (lambda p: torch.save({"a": torch.ones(2, 2)}, p), r"run6\.pt, fc1.weight: got no such matrix"),
}


@pytest.mark.parametrize("case", FILES)
def test_bad_files_are_named_and_never_executed(tmp_path, monkeypatch, case):
    spoiler, said = FILES[case]
    monkeypatch.chdir(tmp_path)
    folder = write_folder(tmp_path / "runs")
    spoiler(folder / "run6.pt")
    with pytest.raises(PigmmError, match=said) as error:
        load_weights(folder)
    assert "\n" not in str(error.value)
    assert not (tmp_path / "exploded").exists()


def test_bad_places(tmp_path):
    (tmp_path / "empty").mkdir()
    (tmp_path / "other").mkdir()
    (tmp_path / "other" / "log.txt").write_text("x")
    (tmp_path / "several").mkdir()
    write_folder(tmp_path / "several" / "run1")
    mixed = write_folder(tmp_path / "mixed")
    np.save(mixed / "x.npy", W[0])
    torch.save(state(0), tmp_path / "one.pt")
    os.mkfifo(tmp_path / "pipe.pt")
    np.save(tmp_path / "objects.npy", np.array([{}, Bomb()], dtype=object), allow_pickle=True)
    np.savez(tmp_path / "half.npz", a=W)
    truncated(tmp_path / "half.npz")
    (tmp_path / "weights.txt").write_text("1 2 3")
    cases = {
        "empty": "an empty folder", "other": r"1 other entries, such as log\.txt", "several": "one checkpoint a run",
        "mixed": "files of several kinds: .npy, .pt", "nowhere": "allowed: an existing folder or file",
        "one.pt": "one checkpoint, that is one run", "pipe.pt": "neither a file nor a folder",
        "objects.npy": "not readable as .npy", "half.npz": "not readable as .npz", "weights.txt": "ending in '.txt'",
        "*.none": "a pattern that some files match",
    }  # fmt: skip
    for name, said in cases.items():
        with pytest.raises(PigmmError, match=said):
            load_weights(tmp_path / name)
    for source in ("", "\0", "mnist-gausian", "x" * 5000, "~nobody-here/runs"):
        with pytest.raises(PigmmError, match="source: got"):
            load_weights(source)
    for listed in (tmp_path / "two.pt", "~nobody-here/x.pt", "x" * 5000):
        with pytest.raises(PigmmError, match="no such file"):
            load_weights([tmp_path / "one.pt", listed])
    archive = tmp_path / "half archive.npz"
    synthetic_archive().save(archive)
    archive.with_suffix(".json").unlink()
    with pytest.raises(PigmmError, match="half archive"):
        load_weights(archive)


@pytest.mark.parametrize(
    ("layer", "said"),
    [("fc11", "mean 'fc1'"), ("conv.weight", "convolution"), ("fc1.bias", "a vector"), (2, "the name of a layer")],
)
def test_unknown_layers(layer, said):
    with pytest.raises(PigmmError, match=said):
        load_weights([state(r) for r in range(R)], layer)
