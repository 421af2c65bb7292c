"""The trainer: chunks, workers, checkpoints, interruptions. Everything must end in the same archive, bit for bit."""

import contextlib
import errno
import multiprocessing
import os
import signal
import subprocess
import sys
import threading
import time
import weakref
from dataclasses import replace
from pathlib import Path
from types import SimpleNamespace

import numpy as np
import pytest

pytest.importorskip("torch")

import pigmm
from pigmm import EnsembleConfig, PigmmError, ensemble, network, storage, train, workers
from pigmm.chunks import Chunk

CONFIG = EnsembleConfig(runs=6, epochs=4, hidden=(5, 4, 4), learning_rate=5e-3)


@pytest.fixture(autouse=True)
def own_cache(tmp_path, monkeypatch):
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))


@pytest.fixture
def trained(tmp_path):
    def run(config=CONFIG, **options):
        given = {"backend": "torch", "progress": False, "workers": 1, "chunk": 2}
        options = given | {"checkpoint_dir": tmp_path / "checkpoints"} | options
        return train(config, **options)

    return run


@pytest.fixture(scope="module")
def reference(tmp_path_factory):
    folder = tmp_path_factory.mktemp("reference")
    return train(CONFIG, backend="torch", progress=False, workers=1, chunk=2, checkpoint_dir=folder)


def assert_same_runs(ours, theirs, picked=slice(None)):
    """Everything kept per run is equal to the bit."""
    for name in ("loss", "train_accuracy", "test_accuracy", "dead_units", "norms"):
        np.testing.assert_array_equal(getattr(ours, name), getattr(theirs, name)[picked])
    assert ours.kept.keys() == theirs.kept.keys() != set()
    for name, array in ours.kept.items():
        np.testing.assert_array_equal(array, theirs.kept[name][picked])


def assert_same(ours, theirs):
    """The whole archives are equal to the bit, provenance's date and times aside."""
    assert_same_runs(ours, theirs)
    assert ours.config == theirs.config
    assert ours.moments.keys() == theirs.moments.keys()
    for name, moments in ours.moments.items():
        for key, array in moments.arrays("").items():
            np.testing.assert_array_equal(array, theirs.moments[name].arrays("")[key])


def folder_of(tmp_path, config=CONFIG):
    return tmp_path / "checkpoints" / config.digest()


# ---- what comes out


def test_the_archive_holds_what_was_asked_for(reference):
    assert reference.config == CONFIG
    assert reference.test_accuracy.shape == (6, 5)
    assert reference.loss.shape == (6, 4)
    assert reference.dead_units.shape == (6, 5, 3)
    for name in ("config", "seed", "package_version", "dataset_digest", "torch", "numpy", "hardware", "workers",
                 "threads_per_worker", "device", "date", "wall_seconds", "python"):  # fmt: skip
        assert reference.provenance[name] not in (None, "")
    starts = np.stack([network.initial_weights(CONFIG, run)[2] for run in CONFIG.run_numbers])
    np.testing.assert_array_equal(reference.weights(0, 1), starts)


def test_networks_learn(trained):
    archive = trained(EnsembleConfig(runs=8, epochs=8, learning_rate=1e-2), chunk=8)
    assert np.abs(archive.test_accuracy[:, 0] - 0.1).max() < 0.15
    assert np.median(archive.accuracy) > 0.8
    assert (archive.loss[:, -1] < archive.loss[:, 0]).all()
    assert np.abs(archive.loss[:, 0] - np.log(10)).max() < 1.5


def test_mean_loss_and_accuracy_against_a_loop_of_steps(trained, reference):
    """The recorded numbers of one network, from the kernel alone."""
    import torch

    data = pigmm.datasets.load_dataset("digits")
    images, labels = torch.tensor(data.train_images), torch.tensor(data.train_labels)
    stack = network.Stack(
        CONFIG.shapes, [network.initial_weights(CONFIG, 3)], levels=16,
        learning_rate=CONFIG.learning_rate, weight_decay=0.0,
    )  # fmt: skip
    for epoch in range(CONFIG.epochs):
        order = torch.tensor(network.batch_order(CONFIG, 3, epoch, 1500))[None]
        losses = [stack.step(images, labels, order[:, a : a + 100]).mean().item() for a in range(0, 1500, 100)]
        assert reference.loss[3, epoch] == pytest.approx(np.mean(losses), rel=1e-5)
        accuracy, dead = stack.evaluate(torch.tensor(data.test_images), torch.tensor(data.test_labels))
        assert reference.test_accuracy[3, epoch + 1] == accuracy[0]
        np.testing.assert_array_equal(reference.dead_units[3, epoch + 1], dead[0])


# ---- the same whatever the way


def test_repeats_bit_for_bit(trained, reference):
    import torch

    before = torch.get_num_threads()
    torch.set_num_threads(3)
    assert_same(trained(), reference)
    assert torch.get_num_threads() == 3  # as it was found
    torch.set_num_threads(before)


@pytest.mark.parametrize("chunk", [1, 4, 6])
def test_chunks_do_not_matter(trained, reference, chunk):
    assert_same_runs(trained(chunk=chunk), reference)


def test_first_run_continues_an_ensemble(trained, reference):
    later = trained(replace(CONFIG, runs=3, first_run=3))
    assert_same_runs(later, reference, slice(3, 6))
    merged = pigmm.Archive.merge([trained(replace(CONFIG, runs=3)), later])
    assert_same_runs(merged, reference)


SAME_NEURONS = [
    EnsembleConfig(architecture=name, hidden=(10, 10), runs=6, epochs=3, learning_rate=5e-3, batch_size=75)
    for name in ("recurrent", "residual")
]


@pytest.mark.parametrize("config", SAME_NEURONS, ids=lambda config: config.architecture)
def test_other_architectures_are_as_repeatable(trained, monkeypatch, config):
    reference = trained(config)
    assert_same_runs(trained(config, chunk=6), reference)
    assert_same_runs(trained(replace(config, runs=3, first_run=3), chunk=1), reference, slice(3, 6))
    with monkeypatch.context() as patch:
        interrupt(patch, after=int(20 * 4.5))  # the first chunk is finished, the second has run one epoch
        with pytest.raises(Broken):
            trained(config, checkpoint_seconds=0)
    assert_same(trained(config), reference)
    assert reference.dead_units.shape == (6, 4, 2)
    assert {name.split("/")[-1] for name in reference.kept} == {"0"}
    assert (reference.loss[:, -1] < reference.loss[:, 0]).all()


def test_architectures_are_not_merged(trained):
    mlp = replace(SAME_NEURONS[1], architecture="mlp", epochs=1, runs=2)
    parts = trained(mlp), trained(replace(mlp, architecture="residual", first_run=2))
    for order in (parts, parts[::-1]):
        with pytest.raises(PigmmError, match="differ in architecture"):
            pigmm.Archive.merge(order)


@pytest.mark.parametrize("name", ["digits-recurrent", "digits-residual"])
def test_published_controls_are_what_their_configuration_trains(trained, name):
    """Four networks again: the same start, and the same first epoch to rounding (processors round differently)."""
    config, archive = pigmm.shelf.published_config(name), pigmm.load(name)
    assert archive.config == config
    again = trained(replace(config, runs=4, epochs=1), chunk=4)
    start, theirs = (archive.weights(epoch, 0)[:4] for epoch in (0, 1))
    np.testing.assert_array_equal(again.weights(0, 0), start)
    moved, gap = (np.linalg.norm(W - theirs, axis=(1, 2)) for W in (start, again.weights(1, 0)))
    assert np.median(gap / moved) < 1e-3
    assert np.median(np.abs(again.loss[:, 0] / archive.loss[:4, 0] - 1)) < 1e-3


@pytest.mark.parametrize("name", ["digits-recurrent", "digits-residual"])
def test_published_controls_have_the_diagonal_symmetry_alone(name):
    """The matrix that joins a layer to itself is no longer two-sided once trained; the output matrix stays so."""
    archive = pigmm.load(name)
    assert archive.alive.all()
    assert archive.accuracy.mean() > 0.85
    assert archive.symmetry(0, 0).pvalue > 1e-3
    trained = archive.symmetry(-1, 0)
    assert trained.pvalue < 1e-100
    assert trained.contrasts.set_index("name").z["x2"] > 20  # a positive trace: a neuron keeps its own value
    assert archive.symmetry(-1, 1).pvalue > 1e-3
    assert Path(pigmm.__file__).with_name("published").joinpath(f"{name}.npz").stat().st_size < 2.5e6


def test_the_seed_matters(trained, reference):
    other = trained(replace(CONFIG, seed=1))
    assert not np.array_equal(other.loss, reference.loss)


def test_workers_do_not_matter(trained, reference):
    """Also leaves no process and no change of the environment behind."""
    before = dict(os.environ), sys.modules["__main__"].__spec__
    assert_same(trained(workers=2), reference)
    assert (dict(os.environ), sys.modules["__main__"].__spec__) == before
    assert multiprocessing.active_children() == []


def test_several_devices_do_not_matter(trained, reference):
    archive = trained(workers=None, device=["cpu", "cpu"])
    assert_same(archive, reference)
    assert (archive.provenance["device"], archive.provenance["workers"]) == ("cpu,cpu", 2)


def test_every_process_has_its_own_device(monkeypatch):
    context, taken = multiprocessing.get_context("spawn"), []
    monkeypatch.setattr(workers.signal, "signal", lambda *given: None)
    monkeypatch.setattr(workers.threading, "Thread", lambda **given: SimpleNamespace(start=lambda: None))
    monkeypatch.setattr(workers, "_counter", context.Value("q", 0))
    monkeypatch.setattr(workers, "_device", "cpu")
    monkeypatch.setattr(workers, "train_alone", lambda piece, report: taken.append(piece.device))
    number = context.Value("i", 0)
    for _ in range(2):
        workers._enter(workers._counter, None, number, ("cuda:0", "cuda:1"))
        workers._train_in_worker(Chunk(CONFIG, 0, 2, "cuda:0", Path(), {}, 0.0))
    assert taken == ["cuda:0", "cuda:1"]


@pytest.mark.parametrize(("runs", "chunk"), [(10, 4), (10, 10), (10, 1), (7, 3), (1000, 32)])
def test_split_runs_covers_each_run_once(runs, chunk):
    pieces = ensemble.split_runs(range(5, 5 + runs), chunk)
    assert [run for piece in pieces for run in piece] == list(range(5, 5 + runs))
    sizes = [len(piece) for piece in pieces]
    assert max(sizes) <= chunk
    assert max(sizes) - min(sizes) <= 1
    assert len(pieces) == -(-runs // chunk)


def test_default_chunk_depends_on_size_only(monkeypatch):
    configs = [EnsembleConfig(dataset="mnist", hidden=(n, n)) for n in (10, 40, 160, 640)]
    sizes = [ensemble.default_chunk(config) for config in configs]
    assert sizes == sorted(sizes, reverse=True)
    assert sizes[0] == 32
    assert sizes[-1] == 1
    assert ensemble.default_chunk(EnsembleConfig(runs=2)) >= 1
    monkeypatch.setattr(ensemble, "_cores", lambda: 64)
    assert [ensemble.default_chunk(config) for config in configs] == sizes


@pytest.mark.parametrize("devices", [("cpu",), ("cpu", "cpu")])
def test_archives_are_not_kept_in_memory(tmp_path, devices):
    config = replace(CONFIG, epochs=1)
    identity = {"backend": "torch", "dataset_digest": pigmm.datasets.load_dataset("digits").digest}
    todo = [Chunk(config, run, run + 1, "cpu", tmp_path, identity, 9.0) for run in range(6)]
    given = []
    with contextlib.closing(workers.trained(todo, devices, lambda count: None)) as results:
        for _, archive in results:
            given.append(weakref.ref(archive))
            del archive
            assert sum(reference() is not None for reference in given[:-1]) <= 1
    assert len(given) == 6


# ---- interruptions


class Broken(Exception):
    pass


def interrupt(monkeypatch, after):
    """Make training break off before the given step, as if it were killed there."""
    step, count = network.Stack.step, 0

    def breaking(self, *args):
        nonlocal count
        count += 1
        if count > after:
            raise Broken
        return step(self, *args)

    monkeypatch.setattr(network.Stack, "step", breaking)


@pytest.mark.parametrize("epochs", [1.5, 3.2, 4.1, 7.9])
def test_resumes_from_any_place(trained, reference, tmp_path, monkeypatch, epochs):
    with monkeypatch.context() as patch:
        interrupt(patch, after=int(15 * epochs))
        with pytest.raises(Broken):
            trained(checkpoint_seconds=0)
    assert list(folder_of(tmp_path).glob("runs-*"))
    steps = []
    with monkeypatch.context() as patch:
        step = network.Stack.step
        patch.setattr(network.Stack, "step", lambda self, *a: steps.append(1) or step(self, *a))
        assert_same(trained(), reference)
    assert len(steps) == 15 * (3 * CONFIG.epochs - int(epochs))  # not one epoch too many
    assert not folder_of(tmp_path).exists()


def test_without_resume_it_starts_anew(trained, reference, tmp_path, monkeypatch):
    with monkeypatch.context() as patch:
        interrupt(patch, after=70)
        with pytest.raises(Broken):
            trained(checkpoint_seconds=0)
    steps = []
    step = network.Stack.step
    monkeypatch.setattr(network.Stack, "step", lambda self, *a: steps.append(1) or step(self, *a))
    assert_same(trained(resume=False), reference)
    assert len(steps) == 15 * 3 * CONFIG.epochs


def script(tmp_path, **options):
    """A user's script, without an ``if __name__`` guard, started as a process group of its own."""
    given = {"backend": "torch", "chunk": 2, "checkpoint_seconds": 0.0}
    options = given | {"checkpoint_dir": str(tmp_path / "checkpoints")} | options
    path = tmp_path / "script.py"
    path.write_text(f"import pigmm\nconfig = pigmm.{LONG!r}\nprint(pigmm.train(config, **{options!r}).runs)\n")
    env = os.environ | {"PYTHONPATH": os.pathsep.join(sys.path)}
    process = subprocess.Popen(
        [sys.executable, str(path)], start_new_session=True, stderr=subprocess.PIPE, env=env, text=True
    )
    deadline = time.monotonic() + 60
    while not list(folder_of(tmp_path, LONG).glob("*.running")):
        assert process.poll() is None, process.stderr.read()
        assert time.monotonic() < deadline
        time.sleep(0.01)
    return process


LONG = replace(CONFIG, runs=4, epochs=80)


def group(process):
    """The living processes of the script's group."""
    living = []
    for entry in filter(str.isdigit, os.listdir("/proc")):
        try:
            with open(f"/proc/{entry}/stat") as file:
                state, _, pgrp = file.read().rsplit(")", 1)[1].split()[:3]
        except OSError:
            continue
        if int(pgrp) == process.pid and state != "Z":
            living.append(int(entry))
    return living


def wait_until_gone(process, seconds=10):
    deadline = time.monotonic() + seconds
    while group(process):
        assert time.monotonic() < deadline, f"still there: {group(process)}"
        time.sleep(0.02)


@pytest.mark.skipif(not os.path.isdir("/proc/self"), reason="counts processes through /proc")
def test_killed_outright_and_resumed(trained, tmp_path):
    process = script(tmp_path, workers=2)
    os.kill(process.pid, signal.SIGKILL)  # the main process alone: its workers must notice
    process.communicate()
    wait_until_gone(process)
    assert list(folder_of(tmp_path, LONG).glob("*.running"))
    assert_same(trained(LONG), trained(LONG, checkpoint_dir=tmp_path / "elsewhere"))


@pytest.mark.skipif(not os.path.isdir("/proc/self"), reason="counts processes through /proc")
def test_ctrl_c_stops_workers_and_keeps_checkpoints(tmp_path):
    process = script(tmp_path, workers=2)
    os.killpg(process.pid, signal.SIGINT)  # as a terminal does: to the whole group
    _, errors = process.communicate(timeout=20)
    wait_until_gone(process, 1)
    assert process.returncode != 0
    assert errors.count("Traceback") == 1
    assert "KeyboardInterrupt: stopped with" in errors.strip().splitlines()[-1]
    assert str(folder_of(tmp_path, LONG)) in errors
    assert list(folder_of(tmp_path, LONG).glob("*.running"))


def test_a_dead_worker_is_reported(trained, tmp_path):
    def kill_one():
        while not (children := multiprocessing.active_children()):
            time.sleep(0.01)
        children[0].kill()

    killer = threading.Thread(target=kill_one)
    killer.start()
    with pytest.raises(PigmmError, match="a worker process died.*workers=1"):
        trained(LONG, workers=2)
    killer.join()
    for child in multiprocessing.active_children():  # one that was still starting ends itself
        child.join(20)
    assert multiprocessing.active_children() == []


# ---- checkpoints that do not fit


def broken_off(trained, monkeypatch, **options):
    with monkeypatch.context() as patch:
        interrupt(patch, after=100)  # the first chunk is finished, the second has run two epochs
        with pytest.raises(Broken):
            trained(checkpoint_seconds=0, **options)


def test_another_chunking_is_not_mixed_in(trained, reference, tmp_path, monkeypatch):
    broken_off(trained, monkeypatch, chunk=3)
    with pytest.warns(UserWarning, match="another chunking"):
        assert_same(trained(), reference)
    assert not folder_of(tmp_path).exists()


def test_another_version_is_not_mixed_in(trained, reference, monkeypatch):
    with monkeypatch.context() as patch:
        patch.setattr(pigmm.workers, "__version__", "0.0.1")
        broken_off(trained, monkeypatch)
    with pytest.warns(UserWarning, match="other circumstances") as caught:
        assert_same(trained(), reference)
    for name in ("runs-0-2.npz", "runs-2-4.running"):
        assert any(name in str(warning.message) for warning in caught)


@pytest.mark.parametrize("suffix", ["npz", "running", "json"])
@pytest.mark.parametrize("damage", ["cut", "empty", "gone"])
def test_damaged_checkpoints_are_ignored(trained, reference, tmp_path, monkeypatch, suffix, damage):
    broken_off(trained, monkeypatch)
    (path,) = folder_of(tmp_path).glob(f"*.{suffix}")
    if damage == "gone":
        path.unlink()
    else:
        path.write_bytes(path.read_bytes()[:-100] if damage == "cut" else b"")
    if damage == "gone" and suffix != "json":
        assert_same(trained(), reference)
    else:
        with pytest.warns(UserWarning, match="ignored"):
            assert_same(trained(), reference)


def test_foreign_files_in_the_folder_stay(trained, reference, tmp_path):
    folder_of(tmp_path).mkdir(parents=True)
    note = folder_of(tmp_path) / "note.txt"
    note.write_text("mine")
    assert_same(trained(), reference)
    assert note.read_text() == "mine"


def test_a_full_disk_leaves_the_earlier_checkpoint(trained, reference, tmp_path, monkeypatch):
    replaced = os.replace

    def full(source, target, *, count=[0]):  # noqa: B006
        count[0] += 1
        if count[0] > 2:
            raise OSError(errno.ENOSPC, "No space left on device")
        replaced(source, target)

    with monkeypatch.context() as patch:
        patch.setattr(storage.os, "replace", full)
        with pytest.raises(PigmmError, match="No space left on device"):
            trained(checkpoint_seconds=0)
    assert [path.name for path in folder_of(tmp_path).iterdir()] == ["runs-0-2.running"]
    assert_same(trained(), reference)


def test_a_checkpoint_folder_that_cannot_be_made(trained, tmp_path):
    (tmp_path / "file").write_text("")
    with pytest.raises(PigmmError, match="cannot keep checkpoints"):
        trained(checkpoint_dir=tmp_path / "file", checkpoint_seconds=0)


def test_default_folder_is_in_the_cache(tmp_path, monkeypatch):
    broken_off(train, monkeypatch, config=CONFIG, backend="torch", chunk=2, workers=1, progress=False)
    assert list((tmp_path / "cache" / "pigmm" / "checkpoints" / CONFIG.digest()).iterdir())


# ---- divergence and bad arguments


def test_divergence_names_runs_and_epoch_and_keeps_finished_chunks(trained, tmp_path, monkeypatch):
    start = network.initial_weights

    def huge(config, run):
        return [weights * np.float32(1e25 if run in (3, 4) else 1) for weights in start(config, run)]

    with monkeypatch.context() as patch:
        patch.setattr(pigmm.chunks, "initial_weights", huge)
        with np.errstate(all="ignore"), pytest.raises(PigmmError, match=r"diverged.*epoch 1: run 3, 4") as caught:
            trained(chunk=3, checkpoint_seconds=0)
    assert "learning_rate" in str(caught.value)
    assert (folder_of(tmp_path) / "runs-0-3.npz").exists()


def test_divergence_of_all(trained):
    with pytest.raises(PigmmError, match=r"diverged.*epoch 1: run 0, 1"):
        trained(replace(CONFIG, learning_rate=1e30))


def test_divergence_in_a_worker(trained):
    with pytest.raises(PigmmError, match=r"diverged.*epoch 1"):
        trained(replace(CONFIG, learning_rate=1e30), workers=2)
    assert multiprocessing.active_children() == []


@pytest.mark.parametrize(
    ("options", "words"),
    [
        ({"config": "digits"}, "config: got 'digits'"),
        ({"device": "cuda"}, "device: got 'cuda'"),
        ({"device": "cpuu"}, "Did you mean 'cpu'"),
        ({"workers": 0}, "workers: got 0"),
        ({"workers": True}, "workers: got True"),
        ({"chunk": 2.5}, "chunk: got 2.5"),
        ({"chunk": 0}, "chunk: got 0"),
        ({"client": 3, "workers": None}, "client: got 3"),
        ({"device": []}, r"device: got \[\]; allowed: 'cpu'"),
        ({"device": 0}, "device: got 0; allowed: 'cpu'"),
        ({"device": ["cpu", "cuda:1"]}, "device: got 'cuda:1'; allowed: 'cpu'"),
        ({"device": "cpu,cpu,cpu", "workers": 2}, "workers: got 2; allowed: None or 3"),
        ({"backend": "torhc"}, "backend: got 'torhc'.*Did you mean 'torch'"),
        ({"memory": "much"}, "memory: got 'much'; allowed: an amount such as"),
        ({"checkpoint_seconds": -1}, "checkpoint_seconds: got -1"),
        ({"checkpoint_seconds": "often"}, "checkpoint_seconds: got 'often'"),
    ],
)
def test_bad_arguments(trained, options, words, monkeypatch):
    import torch

    monkeypatch.setattr(torch.cuda, "is_available", lambda: False)
    with pytest.raises(PigmmError, match=words):
        trained(**options)


def test_missing_torch_is_named_with_the_extra(monkeypatch):
    monkeypatch.setitem(sys.modules, "torch", None)
    with pytest.raises(PigmmError, match=r"torch.*pigmm\[train\]"):
        train(CONFIG)


def test_no_memory_is_said(trained, monkeypatch):
    def exhausted(*args, **options):
        raise RuntimeError("DefaultCPUAllocator: can't allocate memory")

    monkeypatch.setitem(network.STACKS, "mlp", exhausted)
    with pytest.raises(PigmmError, match="smaller chunk"):
        trained()


CUDA = [
    RuntimeError("CUDA error: an illegal memory access was encountered\nCUDA kernel errors might be ..."),
    RuntimeError("CUDA out of memory. Tried to allocate 20.00 MiB."),
]


@pytest.mark.parametrize("error", CUDA, ids=["lost", "full"])
@pytest.mark.parametrize("when", ["start", "later"])
def test_a_gpu_that_fails_is_said(trained, tmp_path, monkeypatch, error, when):
    step, count = network.Stack.step, []

    def breaking(self, *args):
        count.append(1)
        if len(count) > 100:  # the first chunk is finished, the second has run two epochs
            raise error
        return step(self, *args)

    if when == "start":
        monkeypatch.setattr(network.Stack, "__init__", lambda *args, **options: (_ for _ in ()).throw(error))
    else:
        monkeypatch.setattr(network.Stack, "step", breaking)
    first = str(error).splitlines()[0]
    with pytest.raises(PigmmError, match=f"device cpu failed while runs .*{first}.*Checkpoints stay") as said:
        trained(checkpoint_seconds=0)
    assert "\n" not in str(said.value)
    if when == "later":
        assert {path.name for path in folder_of(tmp_path).iterdir()} >= {"runs-0-2.npz", "runs-2-4.running"}


def test_memory_that_ends_while_training_is_said(trained, monkeypatch):
    for error in (MemoryError(), RuntimeError("[enforce fail] DefaultCPUAllocator: can't allocate memory")):
        monkeypatch.setattr(network.Stack, "step", lambda *args, error=error: (_ for _ in ()).throw(error))
        with pytest.raises(PigmmError, match="no memory left while runs 0 to 1 were trained.*Checkpoints stay"):
            trained()
    monkeypatch.setattr(network.Stack, "step", lambda *args: (_ for _ in ()).throw(RuntimeError("shape '[2]'")))
    with pytest.raises(RuntimeError, match="shape"):  # a mistake of ours is no matter of memory
        trained()


def test_devices_that_torch_sees(monkeypatch):
    import torch

    monkeypatch.setattr(torch.cuda, "is_available", lambda: True)
    monkeypatch.setattr(torch.cuda, "device_count", lambda: 2)
    assert workers.check_devices("cuda") == ("cuda",)
    for both in ("cuda:0, cuda:1", ["cuda:0", "cuda:1"]):
        assert workers.check_devices(both) == ("cuda:0", "cuda:1")
    with pytest.raises(PigmmError, match="device: got 'cuda:2'; allowed: 'cpu', 'cuda', 'cuda:0', 'cuda:1'"):
        workers.check_devices("cuda:2")
    with pytest.raises(PigmmError, match="devices of one kind"):
        workers.check_devices("cpu,cuda")


def test_the_progress_bar_counts_run_epochs(trained, tmp_path, monkeypatch, capsys):
    broken_off(trained, monkeypatch)
    held = 2 * CONFIG.epochs + 2 * 2
    capsys.readouterr()
    trained(progress=True)
    shown = capsys.readouterr().err.replace("\r", "\n").strip().splitlines()
    total = CONFIG.runs * CONFIG.epochs
    assert f"{held}/{total}" in shown[0]
    assert f"{total}/{total}" in shown[-1]
    assert "run·epoch" in shown[-1]
    assert "3/3 chunks" in shown[-1]


def test_an_archive_that_cannot_be_saved_costs_no_training(tmp_path, monkeypatch):
    config = EnsembleConfig(runs=4, epochs=2)
    save = pigmm.Archive.save

    def full(archive, path, **options):
        if "taken" in str(path):
            raise PigmmError.of(f"cannot write {path}")
        return save(archive, path, **options)

    monkeypatch.setattr(pigmm.Archive, "save", full)  # a disk that is full only now
    with pytest.raises(PigmmError, match=r"taken\.npz"):
        train(config, workers=1, progress=False, checkpoint_dir=tmp_path, output=tmp_path / "taken.npz")
    kept = {path: path.stat().st_mtime_ns for path in (tmp_path / config.digest()).iterdir()}
    assert kept, "the finished chunks wait for the next try"
    archive = train(config, workers=1, progress=False, checkpoint_dir=tmp_path, output=tmp_path / "free.npz")
    assert (pigmm.Archive.load(tmp_path / "free.npz").accuracy == archive.accuracy).all()
    assert not (tmp_path / config.digest()).exists()


@pytest.mark.skipif(os.name == "nt", reason="Windows has no such lock")
def test_two_trainings_of_one_configuration_do_not_meet(tmp_path):
    import fcntl

    config = EnsembleConfig(runs=2, epochs=1)
    with (tmp_path / f"{config.digest()}.lock").open("w") as other:
        fcntl.flock(other, fcntl.LOCK_EX)
        with pytest.raises(PigmmError, match="being trained by another process"):
            train(config, workers=1, progress=False, checkpoint_dir=tmp_path)
    train(config, workers=1, progress=False, checkpoint_dir=tmp_path)
    assert not list(tmp_path.iterdir())


@pytest.mark.skipif(os.name == "nt", reason="Windows has no such lock")
@pytest.mark.parametrize("written", [True, False])
def test_waiting_for_another_training(tmp_path, capsys, written):
    """It takes what the other one has written, and trains if there is nothing."""
    import fcntl

    config = EnsembleConfig(runs=2, epochs=1)
    options = {"workers": 1, "progress": False, "checkpoint_dir": tmp_path / "checkpoints"}
    made = train(config, output=tmp_path / "other.npz", **options)
    lock = (tmp_path / "checkpoints" / f"{config.digest()}.lock").open("w")
    fcntl.flock(lock, fcntl.LOCK_EX)

    def finish():
        if written:
            for path in tmp_path.glob("other.*"):
                path.rename(path.with_stem("ours"))
        Path(lock.name).unlink()
        lock.close()

    timer = threading.Timer(0.5, finish)
    timer.start()
    archive = train(config, wait=True, output=tmp_path / "ours.npz", **options)
    timer.join()
    assert_same(archive, made)
    assert (archive.provenance["wall_seconds"] == made.provenance["wall_seconds"]) is written
    assert pigmm.Archive.load(tmp_path / "ours.npz").provenance == archive.provenance


@pytest.mark.parametrize("backend", ["torch", "compiled"])
def test_moments_that_overflow_are_a_divergence(trained, backend):
    """Adam stands still when its second moment is infinite: weights and loss stay finite, and nothing is learnt."""
    config = EnsembleConfig(runs=2, epochs=1, hidden=(4, 4), weight_decay=1e30)
    with pytest.raises(PigmmError, match="weight_decay below"):
        trained(config, backend=backend)


@pytest.mark.parametrize("output", ["file/z.npz", "folder/", "taken", 5, "", "a\0b"])
def test_an_output_that_cannot_be_written_is_said_before_training(trained, tmp_path, monkeypatch, output):
    (tmp_path / "file").touch()
    (tmp_path / "taken.npz").mkdir()
    monkeypatch.setattr("pigmm.ensemble._all_chunks", lambda *a: pytest.fail("trained first"))
    with pytest.raises(PigmmError, match="archive file|is a file, not a folder|in the way"):
        trained(output=f"{tmp_path}/{output}" if isinstance(output, str) and output else output)


def test_counts_may_be_numpy_integers(trained):
    assert trained(EnsembleConfig(runs=2, epochs=1), workers=np.int64(1), chunk=np.int32(2)).runs == 2
