"""Every chapter with parameters of a reader's own: the class profile, and sets drawn anew at each run of the tests.

A notebook declares in its metadata, ``pigmm: ranges``, between which values its parameters may be drawn: a list of
values, or ``{"low": a, "high": b}`` for whole numbers.  PIGMM_DRAW=<number> repeats the draw that a failure names.
"""

import json
import os
import random
import subprocess
import sys
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[1]
NOTEBOOKS = sorted((ROOT / "notebooks").glob("*.ipynb"))
SETS = 3  # beside the class profile as it is


def contract(path):
    """Names of the parameters, and their ranges."""
    notebook = json.loads(path.read_text())
    (cell,) = [cell for cell in notebook["cells"] if "parameters" in cell["metadata"].get("tags", [])]
    names = [line.partition(":")[0] for line in "".join(cell["source"]).splitlines() if ":" in line.partition("#")[0]]
    return names, notebook["metadata"]["pigmm"]["ranges"]


def drawn(ranges, rng):
    """One value from each range."""
    return {
        name: rng.randint(values["low"], values["high"]) if isinstance(values, dict) else rng.choice(values)
        for name, values in ranges.items()
    }


def execute(path, given, folder):
    """What went wrong with this run of a chapter, or None."""
    words = [f"{name}={value}" for name, value in given.items()]
    command = [sys.executable, "-m", "pigmm.cli", "run", str(path), *words, "--quiet", "--output", str(folder)]
    environment = {**os.environ, "XDG_CACHE_HOME": str(folder / "cache"), "OMP_NUM_THREADS": "1"}
    done = subprocess.run(command, capture_output=True, text=True, timeout=1800, cwd=folder, env=environment)
    if done.returncode:
        return done.stderr
    results = Path(done.stdout.strip().splitlines()[-1])
    if not json.loads((folder / results / "results.json").read_text()):
        return "results.json is empty"
    for cell in json.loads((folder / results / path.name).read_text())["cells"]:
        silent = "remove-stderr" in cell["metadata"].get("tags", [])
        for output in [] if silent else cell.get("outputs", []):
            if output.get("name") == "stderr":
                return f"a cell warns: {''.join(output['text'])}"
    return None


@pytest.mark.parametrize("path", NOTEBOOKS, ids=lambda path: path.stem)
def test_ranges_name_parameters(path):
    names, ranges = contract(path)
    assert ranges
    assert set(ranges) <= set(names)
    for values in ranges.values():
        assert values["low"] < values["high"] if isinstance(values, dict) else len(values) > 1


@pytest.mark.parametrize("path", NOTEBOOKS, ids=lambda path: path.stem)
def test_chapter_runs_live_with_parameters_of_a_readers_own(path, tmp_path):
    draw = int(os.environ.get("PIGMM_DRAW", random.SystemRandom().randrange(10**6)))
    rng = random.Random(f"{draw} {path.stem}")
    names, ranges = contract(path)
    profile = {"profile": "class"} if "profile" in names else {}
    sets = [profile, *({**profile, **drawn(ranges, rng)} for _ in range(SETS))]
    folders = [tmp_path / str(k) for k in range(len(sets))]
    for folder in folders:
        folder.mkdir()
    with ThreadPoolExecutor(os.process_cpu_count() if hasattr(os, "process_cpu_count") else os.cpu_count()) as pool:
        found = list(pool.map(execute, [path] * len(sets), sets, folders))
    failed = [f"{given}: {error}" for given, error in zip(sets, found, strict=True) if error]
    assert not failed, f"PIGMM_DRAW={draw}\n" + "\n".join(failed)
