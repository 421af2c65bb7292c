"""The recipes of CONTRIBUTING.md, followed word by word in a copy of the project."""

import json
import os
import re
import shutil
import subprocess
import sys
import textwrap
from pathlib import Path

import pytest

from .test_chapters import contract
from .test_project import test_every_parameter_has_a_plain_type_and_a_comment as parameters_are_plain
from .test_project import test_notebook_contract as keeps_the_contract

ROOT = Path(__file__).parents[1]
TEXT = (ROOT / "CONTRIBUTING.md").read_text(encoding="utf8")
BLOCK = re.compile(r"^(?P<indent> *)(?P<fence>```+|~~~+)\w+\n(?P<code>.*?)^(?P=indent)(?P=fence)$", re.S | re.M)
ORDERS = {
    "write": r"Write `(?P<path>[^`]+)`:$",
    "insert": r"In `(?P<path>[^`]+)`, below the line `(?P<line>[^`]+)`, add:$",
    "append": r"At the end of `(?P<path>[^`]+)`, add:$",
    "shell": r"Run:$",
    "python": r"Run in Python:$",
}


def steps(title):
    """What one recipe orders: kind, the words of the order, and the code."""
    (section,) = re.findall(rf"^### {title}\n(.*?)(?=^##|\Z)", TEXT, re.DOTALL | re.MULTILINE)
    found, end = [], 0
    for block in BLOCK.finditer(section):
        order = section[end : block.start()].strip().splitlines()[-1]
        end = block.end()
        fits = {kind: match for kind, words in ORDERS.items() if (match := re.search(words, order))}
        assert len(fits) == 1, f"nobody can follow: {order}"
        ((kind, match),) = fits.items()
        code = re.sub(rf"^{block['indent']}", "", block["code"], flags=re.MULTILINE)
        found.append((kind, match.groupdict(), code))
    return found


def follow(title, folder):
    """Do in a copy what a recipe says; what its commands printed."""
    said = []
    python = {**os.environ, "PYTHONPATH": str(folder), "XDG_CACHE_HOME": str(folder / ".cache"), "OMP_NUM_THREADS": "1"}
    python["PATH"] = os.pathsep.join([str(Path(sys.executable).parent), os.environ["PATH"]])
    for kind, words, code in steps(title):
        path = folder / words.get("path", "")
        if kind == "write":
            assert not path.exists(), f"{path} is there already"
            path.write_text(code, encoding="utf8")
        elif kind == "append":
            path.write_text(path.read_text(encoding="utf8") + code, encoding="utf8")
        elif kind == "insert":
            lines = path.read_text(encoding="utf8").splitlines(keepends=True)
            (place,) = [k for k, line in enumerate(lines) if line.strip() == words["line"]]
            path.write_text("".join([*lines[: place + 1], code, *lines[place + 1 :]]), encoding="utf8")
        else:
            commands = [[sys.executable, "-c", code]] if kind == "python" else [["bash", "-euc", code]]
            for command in commands:
                done = subprocess.run(command, cwd=folder, env=python, capture_output=True, text=True, timeout=300)
                assert done.returncode == 0, done.stdout + done.stderr
                said.append(done.stdout)
    return said


@pytest.fixture
def copy(tmp_path):
    """The project, as far as recipes touch it; the published archives are only linked."""
    folder = tmp_path / "project"
    shutil.copytree(ROOT / "pigmm", folder / "pigmm", ignore=shutil.ignore_patterns("published"))
    (folder / "pigmm" / "published").symlink_to(ROOT / "pigmm" / "published")
    for name in ("book/_ext", "book/_make", "book/api"):
        shutil.copytree(ROOT / name, folder / name, ignore=shutil.ignore_patterns("__pycache__"))
    for name in ("tests", "notebooks"):
        (folder / name).mkdir()
    for name in ("_toc.yml", "pyproject.toml", "tests/__init__.py", "tests/conftest.py", "tests/test_api.py"):
        shutil.copyfile(ROOT / name, folder / name)
    return folder


def linted(title, folder):
    """What ruff says of the modules that a recipe has made or changed."""
    changed = {words["path"] for _, words, _ in steps(title) if words.get("path", "").endswith(".py")}
    assert changed
    command = [sys.executable, "-m", "ruff", "check", "--no-cache", *sorted(changed)]
    done = subprocess.run(command, cwd=folder, capture_output=True, text=True)
    return done.stdout if done.returncode else ""


def asked(folder, code):
    """What a few lines print, executed with the package of the copy."""
    environment = {**os.environ, "PYTHONPATH": os.pathsep.join([str(folder), str(folder / "book" / "_ext")])}
    done = subprocess.run([sys.executable, "-c", code], cwd=folder, env=environment, capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    return done.stdout.splitlines()


def test_there_is_a_test_for_each_recipe():
    section = TEXT.partition("\n## Recipes\n")[2]
    assert re.findall(r"^### (.*)$", section, re.MULTILINE) == ["Add a dataset", "Add a law", "Add a chapter"]


def test_a_new_dataset_trains(copy):
    pytest.importorskip("torch")
    (shown,) = follow("Add a dataset", copy)
    assert "stripes" in shown
    assert linted("Add a dataset", copy) == ""
    code = """
import api, pigmm
archive = pigmm.load("stripes.npz")
print(pigmm.__file__, archive.runs, archive.config.dataset, archive.test_accuracy.shape, archive.two_sided().shape)
recurrent = pigmm.EnsembleConfig("stripes", (8, 8), architecture="recurrent")
print(recurrent.steps, pigmm.memory.estimate_memory(archive.config, 2) > 1e8, api.internal("stripes"))
"""
    first, second = asked(copy, code)
    assert first == f"{copy / 'pigmm' / '__init__.py'} 2 stripes (2, 3) (8, 8)"
    assert second == "8 True True"


def test_a_new_law_is_fitted_predicts_and_takes_part_in_the_ladder(copy):
    (tested,) = follow("Add a law", copy)
    assert re.search(r"^5 passed", tested.splitlines()[-1])  # three of its own, its example, its page
    assert linted("Add a law", copy) == ""
    code = """
from pigmm.independent_rows import IndependentRows
from pigmm.ladder import likelihood_ratios
law = IndependentRows([0, 3, 1], (4, 5))
print("independent rows" in list(likelihood_ratios(law.sample(60), bootstrap=99, permutations=0)["small"]))
print(abs(law.kl(law.to_two_sided())) < 1e-12)
"""
    assert asked(copy, code) == ["True", "True"]


def test_a_new_chapter_runs_and_keeps_the_contract(copy):
    pytest.importorskip("torch")
    pytest.importorskip("papermill")
    *_, printed = follow("Add a chapter", copy)
    path = copy / "notebooks" / "75-norms.ipynb"
    keeps_the_contract(path)
    parameters_are_plain(path)
    names, ranges = contract(path)
    assert set(ranges) <= set(names)
    results = json.loads((copy / printed.strip().splitlines()[-1] / "results.json").read_text())
    assert results["chapter"] == "75-norms"
    assert results["error"] > 0
    assert "      - file: notebooks/75-norms\n" in (copy / "_toc.yml").read_text()


def test_orders_that_nobody_can_follow_are_seen(monkeypatch):
    wrong = textwrap.dedent("""
        ### Do something

        Perhaps change this file somewhere:

        ```python
        x = 1
        ```
        """)
    monkeypatch.setattr(sys.modules[__name__], "TEXT", wrong)
    with pytest.raises(AssertionError, match="nobody can follow: Perhaps"):
        steps("Do something")
