"""The wheel and the source archive: what is in them, and that they work where there is only NumPy and SciPy.

Nothing is fetched: they are built with the setuptools that is installed here, and put into an empty environment that
sees just those two libraries. ``make dist`` builds the same files in a fresh environment.
"""

import email
import hashlib
import importlib.metadata
import os
import re
import shutil
import subprocess
import sys
import tarfile
import tomllib
import venv
import zipfile
from pathlib import Path

import pytest
import yaml

ROOT = Path(__file__).parents[1]
TEXTS = ("LICENSE", "LICENSE-CC-BY-4.0.txt", "LICENSE-text.md")
PREDICT = """
import sys
import numpy, pigmm
archive = pigmm.load("mnist-gaussian")
graphs = pigmm.invariant_graphs(3) + pigmm.invariant_graphs(4)
values = pigmm.expectation(graphs, archive.model(50, 0))
heavy = {"torch", "pandas", "matplotlib", "numba", "sklearn", "IPython"} & set(sys.modules)
print(len(values), numpy.isfinite(values).all(), sorted(heavy), pigmm.__file__)
"""
# What is asked for, and the extra that its answer must name.
NEEDS = {
    ("train", "--runs", "2", "--epochs", "1"): "train",
    ("reproduce", "digits"): "train",
    ("transplant",): "train",
    ("run", "20-training-evolution"): "book",
    ("audit", "digits"): "figures",
    ("calibrate", "--runs", "30", "--repeats", "20"): "figures",
    ("report", "mnist-gaussian", "--output", "report.html"): "figures",
}


def sources():
    """Every file of the project, by path: those that git knows or would take, else all but what is built."""
    listing = ["git", "-C", str(ROOT), "ls-files", "-co", "--exclude-standard", "-z"]
    if (ROOT / ".git").exists():
        names = subprocess.run(listing, capture_output=True, check=True, text=True).stdout.split("\0")
        return {name for name in names if name and (ROOT / name).is_file()}
    built = set("__pycache__ .venv _build build dist runs archives .ipynb_checkpoints pigmm.egg-info".split())
    paths = (path.relative_to(ROOT) for path in ROOT.rglob("*") if path.is_file())
    kept = {path.as_posix() for path in paths if not built & set(path.parts) and ".cache" not in str(path.parts[0])}
    return kept - {"PKG-INFO", "setup.cfg"}


def build(folder, kind, out):
    """The one file that a build leaves in ``out``."""
    command = [sys.executable, "-m", "build", "--no-isolation", f"--{kind}", "--outdir", str(out), str(folder)]
    done = subprocess.run(command, capture_output=True, text=True, timeout=300, cwd=out.parent)
    assert done.returncode == 0, done.stdout[-3000:] + done.stderr[-3000:]
    (path,) = out.iterdir()
    return path


@pytest.fixture(scope="module")
def built(tmp_path_factory):
    """Wheel and source archive of a clean copy of the project, and the wheel made from that source archive."""
    pytest.importorskip("setuptools", "77", reason="building without a network needs setuptools")
    folder = tmp_path_factory.mktemp("dist")
    for name in sources():
        (folder / "tree" / name).parent.mkdir(parents=True, exist_ok=True)
        shutil.copyfile(ROOT / name, folder / "tree" / name)
    out = {kind: folder / kind for kind in ("sdist", "wheel", "again")}
    for path in out.values():
        path.mkdir()
    sdist = build(folder / "tree", "sdist", out["sdist"])
    wheel = build(folder / "tree", "wheel", out["wheel"])
    with tarfile.open(sdist) as archive:
        archive.extractall(folder / "unpacked", filter="data")
    (unpacked,) = (folder / "unpacked").iterdir()
    return {"wheel": wheel, "sdist": sdist, "again": build(unpacked, "wheel", out["again"])}


@pytest.fixture(scope="module")
def bare(built, tmp_path_factory):
    """The programs of an empty environment into which the wheel was installed, and that sees only NumPy and SciPy."""
    folder = tmp_path_factory.mktemp("bare")
    venv.create(folder / "venv", with_pip=False, symlinks=True)
    python = folder / "venv" / "bin" / "python"
    visible = folder / "visible"
    visible.mkdir()
    for name in ("numpy", "scipy"):
        found = importlib.metadata.distribution(name)
        for top in {Path(file).parts[0] for file in found.files if ".." not in Path(file).parts}:
            (visible / top).symlink_to(found.locate_file(top))
    (site,) = (folder / "venv").glob("lib/python*/site-packages")
    (site / "visible.pth").write_text(f"{visible}\n")
    pip = [sys.executable, "-m", "pip", "--python", str(python), "install", "--no-deps", "--no-index", "--quiet"]
    subprocess.run([*pip, str(built["wheel"])], check=True, capture_output=True, timeout=300, env=clean())
    return python.parent


def clean():
    """The environment without what would lead programs to this checkout."""
    return {key: value for key, value in os.environ.items() if not key.startswith(("PIGMM", "PYTHON"))}


def run(bare, *command, cwd):
    """What a program of the bare environment says, started where nothing of the project lies."""
    program, environment = [str(bare / command[0]), *command[1:]], {**clean(), "XDG_CACHE_HOME": str(cwd)}
    return subprocess.run(program, capture_output=True, text=True, timeout=120, cwd=cwd, env=environment)


def contents(wheel):
    """Path to digest of the files in a wheel."""
    with zipfile.ZipFile(wheel) as archive:
        return {name: hashlib.sha256(archive.read(name)).hexdigest() for name in archive.namelist()}


def metadata(wheel):
    with zipfile.ZipFile(wheel) as archive:
        (name,) = (name for name in archive.namelist() if name.endswith(".dist-info/METADATA"))
        return email.message_from_bytes(archive.read(name))


def test_wheel_holds_the_package_its_archives_and_its_licences_and_nothing_else(built):
    found = {re.sub(r"^pigmm-[^/]*\.dist-info/", "INFO/", name) for name in contents(built["wheel"])}
    package = {name for name in sources() if name.startswith("pigmm/")}
    assert {"pigmm/py.typed", "pigmm/__init__.py", "pigmm/published/mnist-gaussian.npz"} <= package
    info = {f"INFO/{name}" for name in ("METADATA", "WHEEL", "RECORD", "entry_points.txt", "top_level.txt")}
    assert found == package | info | {f"INFO/licenses/{name}" for name in TEXTS}


def test_source_archive_holds_the_project_and_nothing_else(built):
    with tarfile.open(built["sdist"]) as archive:
        names = {member.name.partition("/")[2] for member in archive if member.isfile()}
    made = {name for name in names if name.startswith("pigmm.egg-info/")} | {"PKG-INFO", "setup.cfg"}
    assert names - made == sources()


def test_the_source_archive_builds_the_same_wheel(built):
    first, second = contents(built["wheel"]), contents(built["again"])
    assert first == second
    assert built["wheel"].name == built["again"].name


def test_metadata_say_what_the_project_says(built):
    project = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf8"))["project"]
    citation = yaml.safe_load((ROOT / "CITATION.cff").read_text(encoding="utf8"))
    found = metadata(built["wheel"])
    assert (found["Name"], found["Version"]) == ("pigmm", project["version"])
    assert found["License-Expression"] == "MIT AND CC-BY-4.0"
    assert set(found.get_all("License-File")) == set(TEXTS)
    links = dict(entry.split(", ") for entry in found.get_all("Project-URL"))
    assert (links["Repository"], links["Book"]) == (citation["repository-code"], citation["url"])
    assert found["Description-Content-Type"] == "text/markdown"
    assert [need for need in found.get_all("Requires-Dist") if "extra" not in need] == ["numpy>=2.0", "scipy>=1.13"]


def test_all_348_predictions_need_only_numpy_and_scipy(bare, tmp_path):
    done = run(bare, "python", "-c", PREDICT, cwd=tmp_path)
    assert done.returncode == 0, done.stderr
    count, finite, heavy, place = done.stdout.split(maxsplit=3)
    assert (count, finite, heavy) == ("348", "True", "[]")
    assert str(ROOT / "pigmm") not in place
    assert "site-packages" in place
    for name in ("torch", "pandas", "matplotlib"):
        assert run(bare, "python", "-c", f"import {name}", cwd=tmp_path).returncode == 1


@pytest.mark.parametrize("program", [["pigmm"], ["python", "-m", "pigmm"]])
def test_the_command_works_without_extras(bare, tmp_path, program):
    assert run(bare, *program, "--version", cwd=tmp_path).stdout.split()[0] == "pigmm"
    shown = run(bare, *program, "show", "digits", cwd=tmp_path)
    assert (shown.returncode, shown.stderr) == (0, "")
    assert "f13" in shown.stdout


@pytest.mark.parametrize(("words", "extra"), NEEDS.items(), ids=[words[0] for words in NEEDS])
def test_what_needs_an_extra_names_it_in_one_line(bare, tmp_path, words, extra):
    done = run(bare, "pigmm", *words, cwd=tmp_path)
    assert (done.returncode, done.stdout) == (2, "")
    (line,) = done.stderr.splitlines()
    assert line.startswith("pigmm: ")
    assert f"pigmm[{extra}]" in line


def test_modules_that_need_an_extra_name_it_too(bare, tmp_path):
    script = """
import pigmm
for name in ("maps", "figures", "kernel", "network"):
    try:
        getattr(pigmm, name)
    except pigmm.PigmmError as error:
        print(error)
"""
    lines = run(bare, "python", "-c", script, cwd=tmp_path).stdout.splitlines()
    assert [re.search(r"pigmm\[(\w+)\]", line)[1] for line in lines] == ["figures", "figures", "fast", "train"]
