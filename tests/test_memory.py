"""How much memory a training takes: the estimate, what was measured, and the chunks that fit a budget."""

import json
import os
import re
import subprocess
import sys
from dataclasses import replace

import numpy as np
import pytest

pytest.importorskip("torch")

from pigmm import Archive, EnsembleConfig, PigmmError, memory, train
from pigmm.cli import main
from pigmm.ensemble import default_chunk

SMALL = EnsembleConfig(runs=6, epochs=2, hidden=(5, 4, 4), learning_rate=5e-3)
WIDE = EnsembleConfig(dataset="mnist", hidden=(640, 640), runs=1000)


@pytest.mark.parametrize(
    ("text", "number"),
    [("4 GB", 4e9), ("500MB", 5e8), ("1.5gib", 1.5 * 2**30), ("2k", 2000), (" 7 ", 7), (123, 123), (1e9, 1e9)],
)
def test_amounts_of_memory(text, number):
    assert memory.as_bytes(text) == number


@pytest.mark.parametrize("text", ["", "GB", "4 G B", "-4 GB", "4 XB", "1e9 GB", 0, -1, True, float("nan"), None, [4]])
def test_no_amounts_of_memory(text):
    with pytest.raises(PigmmError, match="memory: got .*4 GB"):
        memory.as_bytes(text)


def test_what_the_defaults_need():
    assert memory.estimate_memory(WIDE, default_chunk(WIDE), 2, backend="compiled") < 2.5e9
    base = EnsembleConfig(dataset="mnist", runs=1000)
    for backend in ("torch", "compiled"):
        assert memory.estimate_memory(base, default_chunk(base), 2, backend=backend) < 2.4e9


def test_a_budget_makes_chunks_smaller_and_then_workers_fewer():
    need = [memory.estimate_memory(WIDE, chunk, workers) for chunk, workers in ((8, 2), (1, 2), (1, 1))]
    assert need == sorted(need, reverse=True)
    free = (False, False)
    assert memory.fit_memory(WIDE, need[0], 8, 2, "cpu", "torch", fixed=free) == (8, 2)
    assert memory.fit_memory(WIDE, need[0] - 1, 8, 2, "cpu", "torch", fixed=free) == (7, 2)
    assert memory.fit_memory(WIDE, need[1] - 1, 8, 2, "cpu", "torch", fixed=free) == (8, 1)
    assert memory.fit_memory(WIDE, need[2], 8, 2, "cpu", "torch", fixed=free) == (1, 1)
    with pytest.raises(PigmmError, match="leave chunk and workers"):
        memory.fit_memory(WIDE, need[0] - 1, 8, 2, "cpu", "torch", fixed=(True, True))


def test_what_would_fit_is_said():
    need = memory.estimate_memory(WIDE, 1, 1)
    with pytest.raises(PigmmError, match="would do, or layers of at most") as error:
        memory.fit_memory(WIDE, 0.9 * need, 8, 2, "cpu", "torch", fixed=(False, False))
    would, width = map(int, re.search(r'"(\d+) MB".*most (\d+)', str(error.value)).groups())
    assert need <= would * 1e6 < 1.01 * need
    narrow = replace(WIDE, hidden=(width, width))
    assert 0.7 * need < memory.estimate_memory(narrow, 1, 1) <= 0.9 * need
    with pytest.raises(PigmmError, match=r"would do\.$"):
        memory.fit_memory(WIDE, "100 MB", 8, 2, "cpu", "torch", fixed=(False, False))


def test_a_budget_for_training(tmp_path):
    options = {"backend": "torch", "progress": False, "workers": 1, "checkpoint_dir": tmp_path}
    archive = train(SMALL, memory=memory.estimate_memory(SMALL, 2, 1), **options)
    assert archive.provenance["chunk"] == 2
    np.testing.assert_array_equal(archive.loss, train(SMALL, chunk=2, **options).loss)
    ample = train(SMALL, memory="99 GB", **options)
    assert default_chunk(SMALL) == 4
    assert ample.provenance["chunk"] == 3  # six runs in two chunks
    with pytest.raises(PigmmError, match="would do"):
        train(SMALL, memory="100 MB", **options)


def test_the_command_line_takes_a_budget(tmp_path, monkeypatch, capsys):
    monkeypatch.chdir(tmp_path)
    words = "train --hidden 5,4,4 --runs 6 --epochs 1 --device cpu --workers 1 --quiet --checkpoint-dir here".split()
    assert main([*words, "--memory", "100MB"]) == 2
    assert re.search(r'pigmm: memory: got \'100MB\'.* A budget of "\d+ MB" would do', capsys.readouterr().err)
    assert main([*words, "--memory", "4 GB", "--wait", "--output", "small.npz"]) == 0
    assert Archive.load("small.npz").runs == 6


PEAK = """
import json, re, sys, threading, time, multiprocessing, pigmm
def peak(pid):
    with open(f"/proc/{pid}/status") as file:
        return 1024 * int(re.search(r"VmHWM:\\s+(\\d+)", file.read())[1])
peaks = {}
def watch():
    while True:
        for child in multiprocessing.active_children():
            try:
                peaks[child.pid] = peak(child.pid)
            except (OSError, TypeError):
                pass
        time.sleep(0.005)
threading.Thread(target=watch, daemon=True).start()
config = pigmm.EnsembleConfig(**json.loads(sys.argv[1]))
pigmm.train(config, progress=False, **json.loads(sys.argv[2]))
print(peak("self") + sum(peaks.values()))
"""


@pytest.mark.skipif(not os.path.exists("/proc/self/status"), reason="reads /proc")
@pytest.mark.parametrize(
    ("width", "chunk", "workers", "backend"),
    [(10, 4, 2, "torch"), (320, 4, 1, "torch"), (320, 4, 1, "compiled")],
)
def test_the_estimate_is_an_upper_bound(tmp_path, width, chunk, workers, backend):
    if backend == "compiled":
        pytest.importorskip("numba")
    config = EnsembleConfig(hidden=(width, width), runs=8 if width == 10 else 4, epochs=2)
    options = {"chunk": chunk, "workers": workers, "backend": backend, "checkpoint_seconds": 0}
    options["checkpoint_dir"] = str(tmp_path)
    given = [json.dumps({"hidden": config.hidden, "runs": config.runs, "epochs": 2}), json.dumps(options)]
    done = subprocess.run([sys.executable, "-c", PEAK, *given], capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    assert 1 < memory.estimate_memory(config, chunk, workers, "cpu", backend) / int(done.stdout) < 2


def test_arguments_of_the_estimate_are_checked():
    config = EnsembleConfig()
    for given, word in (
        ((config, 0), "runs_per_chunk"), ((config, "1"), "runs_per_chunk"), ((config, 4, -2), "workers"),
        (({}, 1), "config"), ((config, 1, 1, "gpu"), "device"), ((config, 1, 1, "cpu", "x"), "backend"),
    ):  # fmt: skip
        with pytest.raises(PigmmError, match=word):
            memory.estimate_memory(*given)
    with pytest.raises(PigmmError, match="memory"):
        memory.as_bytes(10**400)
    assert memory.as_bytes(np.int64(10**9)) == 10**9
