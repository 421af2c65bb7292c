"""The notebooks open anywhere: pigmm is installed where it is missing, and what is published is read without torch."""

import json
import os
import subprocess
import sys
import tomllib
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest
from packaging.requirements import Requirement

from pigmm.launching import INSTALL

ROOT = Path(__file__).parents[1]
NOTEBOOKS = sorted((ROOT / "notebooks").glob("*.ipynb"))
PROJECT = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]
FAKE_PIP = "import subprocess, json\nsubprocess.run = lambda *a, **k: print(json.dumps([a, k]))\n"
# Runs the code cells of a notebook one after the other, without a kernel, where nothing can be trained.
WITHOUT_TORCH = """
import json, sys

class Absent:
    def find_spec(self, name, path=None, target=None):
        if name.split(".")[0] in {"torch", "torchvision", "numba", "sklearn", "tqdm"}:
            raise ModuleNotFoundError(name)

sys.meta_path.insert(0, Absent())
given = json.loads(sys.argv[2])
space = {"__name__": "__main__"}
for cell in json.load(open(sys.argv[1]))["cells"]:
    if cell["cell_type"] == "code":
        exec("".join(cell["source"]), space)
        if "parameters" in cell["metadata"].get("tags", []):
            space |= given
"""


def run(code, *words, cwd, options=(), timeout=600):
    """A Python that has nothing of this one; its output and the last line of its complaints."""
    environment = {k: v for k, v in os.environ.items() if k not in ("PYTHONPATH", "PIGMM_OUTPUT", "PIGMM_RESULTS")}
    environment |= {"XDG_CACHE_HOME": str(cwd / "cache"), "OMP_NUM_THREADS": "1", "MPLBACKEND": "agg"}
    command = [sys.executable, *options, "-c", code, *map(str, words)]
    done = subprocess.run(command, capture_output=True, text=True, cwd=cwd, env=environment, timeout=timeout)
    return done.returncode, done.stdout, done.stderr.strip().splitlines()[-1:]


@pytest.mark.parametrize("path", NOTEBOOKS, ids=lambda path: path.stem)
def test_first_code_cell_installs_pigmm(path):
    first = next(cell for cell in json.loads(path.read_text())["cells"] if cell["cell_type"] == "code")
    assert "".join(first["source"]) == INSTALL
    assert first["metadata"]["tags"] == ["remove-cell"]


@pytest.mark.parametrize("folder", [False, True], ids=["nothing", "a folder of that name"])
def test_pip_is_called_where_pigmm_is_missing(tmp_path, folder):
    if folder:
        (tmp_path / "pigmm").mkdir()  # as when the repository was cloned: an empty package of that name
    after = '\nprint("pigmm" in sys.modules)'
    code, said, complaints = run(FAKE_PIP + INSTALL + after, cwd=tmp_path, options=["-S"])  # without installed packages
    assert (code, complaints) == (0, [])
    call, still_there = said.splitlines()
    ((command,), options) = json.loads(call)
    assert command[1:4] == ["-m", "pip", "install"]
    assert options == {"check": True}
    assert still_there == "False"
    wanted = Requirement(command[-1])
    assert wanted.url == f"git+{PROJECT['urls']['Repository']}"
    assert wanted.name == PROJECT["name"]
    assert wanted.extras <= PROJECT["optional-dependencies"].keys()
    needed = [*PROJECT["dependencies"], *sum((PROJECT["optional-dependencies"][name] for name in wanted.extras), [])]
    assert {"matplotlib", "pandas"} <= {Requirement(each).name for each in needed}
    assert not {"torch", "torchvision", "numba", "pigmm"} & {Requirement(each).name for each in needed}
    assert not any(word.startswith("-U") or word in ("--upgrade", "--force-reinstall") for word in command)


def test_nothing_is_done_where_pigmm_is_installed(tmp_path):
    assert run(FAKE_PIP + INSTALL, cwd=tmp_path) == (0, "", [])


def test_published_chapters_need_no_torch(tmp_path):
    """One start of each is enough here, and the chapters not named read archives in the same way."""
    names = ("20-training-evolution", "10-initialisation", "00-quickstart")
    given = json.dumps({"init": "gaussian"})
    folders = [tmp_path / name for name in names]
    for folder in folders:
        folder.mkdir()

    def execute(name, folder):
        return run(WITHOUT_TORCH, ROOT / "notebooks" / f"{name}.ipynb", given, cwd=folder)

    with ThreadPoolExecutor() as pool:
        for code, said, complaints in pool.map(execute, names, folders):
            assert (code, complaints) == (0, [])
            assert "published archive" in said


@pytest.mark.parametrize(
    ("name", "given"), [("00-quickstart", {"runs": 30, "epochs": 1}), ("80-your-own-weights", {})]
)
def test_what_must_train_says_how_to_get_torch(tmp_path, name, given):
    code, _, (complaint,) = run(WITHOUT_TORCH, ROOT / "notebooks" / f"{name}.ipynb", json.dumps(given), cwd=tmp_path)
    assert code == 1
    assert complaint.startswith("pigmm.errors.PigmmError: ")
    assert 'pip install "pigmm[train]"' in complaint


def test_binder_installs_what_the_first_cell_would():
    post = (ROOT / ".binder" / "postBuild").read_text()
    assert "torch" not in post.replace("no torch", "")
    assert '-e ".[figures]"' in post
    version = (ROOT / ".binder" / "runtime.txt").read_text().strip().removeprefix("python-")
    assert version in Requirement("python" + PROJECT["requires-python"]).specifier
