"""The house itself: its files agree with each other, and with what the text promises."""

import importlib.util
import json
import re
import subprocess
import sys
import tomllib
from pathlib import Path

import pytest
import yaml
from packaging.requirements import Requirement
from packaging.utils import canonicalize_name

import pigmm

ROOT = Path(__file__).parents[1]
NOTEBOOKS = sorted((ROOT / "notebooks").glob("*.ipynb"))
PROJECT = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]
TEXT = {".bib", ".cfg", ".cff", ".css", ".ipynb", ".json", ".md", ".py", ".toml", ".txt", ".yml", ""}
CORE = "archive cli config errors gaussianity graphs invariants irreps models transport wick".split()
HEAVY = "torch torchvision numba sklearn tqdm matplotlib seaborn pandas papermill dask".split()


def text_files():
    """The project's own text files; not what was built or vendored."""
    folders = [ROOT / name for name in (".ci", ".github", "benchmarks", "book", "notebooks", "pigmm", "tests")]
    found = [*ROOT.iterdir(), *(path for folder in folders for path in folder.rglob("*"))]
    hidden = {"__pycache__", ".ipynb_checkpoints", "vendor"}
    return [path for path in found if path.is_file() and path.suffix in TEXT and not hidden & set(path.parts)]


def extension(name):
    """A module of book/_ext, which is no package."""
    spec = importlib.util.spec_from_file_location(name, ROOT / "book" / "_ext" / f"{name}.py")
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


# ---- versions and dependencies


def pins():
    lines = (ROOT / "constraints.txt").read_text().splitlines()
    return [Requirement(line) for line in lines if line and not line.startswith("#")]


def test_every_direct_dependency_is_pinned_within_its_bounds():
    pinned = {canonicalize_name(pin.name): pin for pin in pins()}
    direct = [*PROJECT["dependencies"], *sum(PROJECT["optional-dependencies"].values(), [])]
    for wanted in map(Requirement, direct):
        if wanted.name != "pigmm":
            (pin,) = pinned[canonicalize_name(wanted.name)].specifier
            assert pin.operator == "=="
            assert "+" not in pin.version, "a local version exists on one platform only"
            assert pin.version in wanted.specifier, wanted


def test_each_constraint_stands_once():
    names = [canonicalize_name(pin.name) for pin in pins()]
    assert sorted(names) == sorted(set(names))


def test_environment_follows_pyproject_and_constraints():
    environment = yaml.safe_load((ROOT / "environment.yml").read_text())
    python, pip, section = environment["dependencies"]
    assert python.removeprefix("python=") in Requirement("python" + PROJECT["requires-python"]).specifier
    assert pip == "pip"
    # By reference, so that no name or pin is written twice.
    assert section == {"pip": ["-c constraints.txt", "-e .[dev]"]}


def test_one_version_everywhere():
    citation = yaml.safe_load((ROOT / "CITATION.cff").read_text())
    assert {"cff-version", "message", "title", "authors", "version", "license"} <= citation.keys()
    assert pigmm.__version__ == PROJECT["version"] == citation["version"]
    assert f"## {pigmm.__version__}" in (ROOT / "CHANGELOG.md").read_text()


def test_one_repository_address_everywhere():
    config = yaml.safe_load((ROOT / "_config.yml").read_text())
    citation = yaml.safe_load((ROOT / "CITATION.cff").read_text())
    url = PROJECT["urls"]["Repository"]
    assert url == config["repository"]["url"] == citation["repository-code"]
    assert url in (ROOT / "README.md").read_text()


def test_core_needs_only_numpy_and_scipy():
    code = f"""
import sys
class Blocker:
    def find_spec(self, name, path=None, target=None):
        if name.split(".")[0] in {HEAVY}:
            raise ModuleNotFoundError(name)
sys.meta_path.insert(0, Blocker())
import numpy as np, pigmm, importlib
for name in {CORE}:
    importlib.import_module("pigmm." + name)
W = np.random.default_rng(0).normal(size=(50, 5, 5))
law = pigmm.GaussianMatrixModel.fit(W)
graphs = pigmm.invariant_graphs(2)
assert pigmm.evaluate(graphs, W).shape == (50, 11) and pigmm.expectation(graphs, law).shape == (11,)
assert law.sample(3, seed=0).shape == (3, 5, 5) and pigmm.w2(law, law) < 1e-6
"""
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, cwd=ROOT, check=False)
    assert done.returncode == 0, done.stderr


# ---- book and notebooks


def test_every_page_of_the_book_exists():
    toc = yaml.safe_load((ROOT / "_toc.yml").read_text())
    pages = [toc["root"], *(chapter["file"] for part in toc["parts"] for chapter in part["chapters"])]
    missing = [page for page in pages if not any((ROOT / (page + end)).is_file() for end in (".md", ".ipynb"))]
    assert missing == []
    assert {str(path.relative_to(ROOT).with_suffix("")) for path in NOTEBOOKS} <= set(pages)


@pytest.mark.parametrize("path", NOTEBOOKS, ids=lambda path: path.stem)
def test_notebook_contract(path):
    notebook = json.loads(path.read_text())
    tags = [tag for cell in notebook["cells"] for tag in cell["metadata"].get("tags", [])]
    assert tags.count("parameters") == 1
    assert notebook["metadata"]["kernelspec"]["name"] == "python3"  # papermill refuses a notebook that names none
    assert sum(len(json.dumps(cell.get("outputs", []))) for cell in notebook["cells"]) <= 50_000
    for cell in notebook["cells"]:  # nbval compares nothing where a cell with outputs has no number
        checked = "nbval-check-output" in cell["metadata"].get("tags", [])
        assert checked == bool(cell.get("outputs"))
        assert checked == bool(cell.get("execution_count"))


@pytest.mark.parametrize("path", NOTEBOOKS, ids=lambda path: path.stem)
def test_every_parameter_has_a_plain_type_and_a_comment(path):
    cells = json.loads(path.read_text())["cells"]
    (cell,) = [cell for cell in cells if "parameters" in cell["metadata"].get("tags", [])]
    lines = [line for line in "".join(cell["source"]).splitlines() if line.strip() and not line.startswith("#")]
    for line in lines:
        assert re.fullmatch(r"\w+: (int|float|str|bool) = \S.*  # \S.*", line), line


def test_cache_folder_follows_the_package(tmp_path):
    digest = extension("execution_cache").digest
    (tmp_path / "pigmm" / "__pycache__").mkdir(parents=True)
    (tmp_path / "constraints.txt").write_text("numpy==2.4.6\n")
    (tmp_path / "pigmm" / "a.py").write_text("x = 1\n")
    seen = [digest(tmp_path)]
    (tmp_path / "pigmm" / "__pycache__" / "a.pyc").write_text("")
    assert digest(tmp_path) == seen[0]
    (tmp_path / "pigmm" / "a.py").write_text("x = 2\n")
    seen.append(digest(tmp_path))
    (tmp_path / "pigmm" / "a.py").rename(tmp_path / "pigmm" / "b.py")
    seen.append(digest(tmp_path))
    (tmp_path / "constraints.txt").write_text("numpy==2.4.7\n")
    seen.append(digest(tmp_path))
    assert len(set(seen)) == 4


@pytest.mark.parametrize(
    ("text", "css", "count"),
    [
        ('<script src="https://cdn.example/x.js"></script><img alt="a" src=//cdn.example/x.png>', False, 2),
        ('<link rel="stylesheet" href="https://cdn.example/x.css">', False, 1),
        ('<link href="https://cdn.example/x.woff2" rel=preload>', False, 1),
        ('<a href="https://example.org">x</a><img src="x.png"><link rel="canonical" href="https://x.org">', False, 0),
        ('<script>const later = "https://cdn.example/x.js"</script>', False, 0),
        ("@import 'https://cdn.example/x.css'; a { background: url(//cdn.example/x.png) }", True, 2),
        ("a { background: url(../x.png); } /* https://example.org */", True, 0),
    ],
)
def test_remote_loads_are_found(text, css, count):
    assert len(extension("offline").remote_loads(text, css)) == count


def test_references_have_roles_that_hold():
    page = '<div role="list" class="citation-list"><div class="citation" id="i" role="doc-biblioentry"><p role="note">'
    mended = '<div class="citation-list"><div class="citation" id="i"><p role="note">'
    assert extension("accessible").mend(page) == mended


def test_scripts_of_thebe_are_left_out():
    class Script:
        def __init__(self, filename, body=None):
            self.filename, self.attributes = filename, {"body": body}

    scripts = [Script(None, "const THEBE_JS_URL = 1"), Script("_static/sphinx-thebe.js"), Script("_static/x.js"), "y"]
    assert extension("offline").without_thebe(scripts) == scripts[2:]


@pytest.mark.parametrize(("metadata", "built"), [({"image/svg+xml": {"alt": 'A "red" dot'}}, True), ({}, False)])
def test_alt_text_reaches_the_page_or_fails_the_build(tmp_path, metadata, built):
    svg = '<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 2 2"><circle cx="1" cy="1" r="1" fill="red"/></svg>'
    output = {"output_type": "display_data", "data": {"image/svg+xml": svg}, "metadata": metadata}
    text = {"cell_type": "markdown", "metadata": {}, "source": "# A page"}
    cell = {"cell_type": "code", "execution_count": 1, "metadata": {}, "source": "dot", "outputs": [output]}
    language = {"kernelspec": {"name": "python3"}, "language_info": {"name": "python"}}
    notebook = {"cells": [text, cell], "metadata": language, "nbformat": 4, "nbformat_minor": 4}
    (tmp_path / "index.ipynb").write_text(json.dumps(notebook))
    (tmp_path / "conf.py").write_text(
        f"import sys; sys.path.append({str(ROOT / 'book' / '_ext')!r})\n"
        "extensions = ['myst_nb', 'alt_text']\nnb_execution_mode = 'off'\n"
    )
    command = [sys.executable, "-m", "sphinx", "-q", "-W", "--keep-going", str(tmp_path), str(tmp_path / "html")]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    assert (done.returncode == 0) is built, done.stderr
    if built:
        assert '<img alt="A &quot;red&quot; dot" class="dark-light" src=' in (tmp_path / "html/index.html").read_text()
    else:
        assert "cell 2 has no alt text" in done.stderr


# ---- words


def test_commands_of_the_readme_exist():
    targets = set(re.findall(r"^(\w+):", (ROOT / "Makefile").read_text(), flags=re.MULTILINE))
    named = set(re.findall(r"\bmake (\w+)", (ROOT / "README.md").read_text()))
    assert {"book", "test"} <= named <= targets


def test_example_of_the_readme_runs(capsys):
    (code,) = re.findall(r"```python\n(.*?)```", (ROOT / "README.md").read_text(), flags=re.DOTALL)
    exec(code, {})
    assert "nan" not in capsys.readouterr().out


def test_no_registry_and_no_machine_is_named():
    registry = re.compile(r"python[h]osted|pypi\.org|registry\.npmjs|deb\.debian\.org|download\.pytorch")
    machine = re.compile(r"(?<![\w.])/(work|farm|tmp|root|opt|home)/[A-Za-z]")
    found = [
        f"{path.relative_to(ROOT)}: {match.group()}"
        for path in text_files()
        for match in [*registry.finditer(path.read_text()), *machine.finditer(path.read_text())]
    ]
    assert found == []
