"""The command line, run for real: what it does, and what it says when an input is wrong."""

import json
import subprocess
import sys
from dataclasses import fields

import nbformat
import numpy as np
import pytest
from nbformat.v4 import new_code_cell, new_markdown_cell, new_notebook

import pigmm
from pigmm.cli import HELP, main

PARAMETERS = """\
runs: int = 20  # networks
rate: float = 0.5  # step size
init: str = "gaussian"  # gaussian or uniform
live: bool = False  # train now
"""
RESULTS = """\
import json, os, pathlib
answer = {"runs": runs, "rate": rate, "init": init, "live": live}
pathlib.Path(os.environ["PIGMM_OUTPUT"], "results.json").write_text(json.dumps(answer))
"""


@pytest.fixture
def project(tmp_path, monkeypatch):
    """An empty working folder with a space in its name and two small notebooks."""
    folder = tmp_path / "a project"
    (folder / "notebooks").mkdir(parents=True)
    for name, code in [("10-small", RESULTS), ("11-broken", "raise ValueError('no\\nluck')")]:
        notebook = new_notebook(metadata={"kernelspec": {"name": "python3", "language": "python", "display_name": "x"}})
        notebook.cells = [new_markdown_cell("# Title"), new_code_cell(PARAMETERS), new_code_cell(code)]
        notebook.cells[1].metadata["tags"] = ["parameters"]
        nbformat.write(notebook, folder / "notebooks" / f"{name}.ipynb")
    (folder / "notebooks" / "empty.ipynb").write_text("")
    monkeypatch.chdir(folder)
    return folder


def complaint(capsys, *words):
    """The one line on standard error with which a command ended."""
    assert main(words) == 2
    error = capsys.readouterr().err
    assert error.startswith("pigmm: ")
    assert error.count("\n") == 1
    return error


def test_train_then_show(project, capsys):
    words = "train --hidden 4,4 --runs 4 --epochs 1 --init uniform --workers 1 --quiet --output small.npz".split()
    assert main(words) == 0
    assert "4 networks 64-4-4-10 on digits, uniform, 1 epochs" in capsys.readouterr().out
    archive = pigmm.load("small.npz")
    assert archive.config == pigmm.EnsembleConfig(hidden=(4, 4), runs=4, epochs=1, init="uniform")

    assert main(["show", "small.npz"]) == 0
    shown = capsys.readouterr().out
    f1, error = archive.model(epoch=1, layer=0).parameters[0], archive.model(1, 0).parameter_errors(4)[0]
    row = next(line for line in shown.splitlines() if line.strip().startswith("f1 ")).split()
    np.testing.assert_allclose([float(row[-2]), float(row[-1])], [f1, error], atol=6e-7)
    assert "L2 (10 x 4)" in shown  # not square: the five two-sided parameters
    assert "vrc" in shown
    assert "provenance" in shown


def test_train_other_architectures(project, capsys):
    words = "train --architecture recurrent --hidden 5,5 --runs 3 --epochs 1 --workers 1 --quiet --output rnn.npz"
    assert main(words.split()) == 0
    assert "3 recurrent networks 8-5-5-10 on digits" in capsys.readouterr().out
    assert pigmm.load("rnn.npz").config.architecture == "recurrent"
    assert "twice the same width" in complaint(capsys, "train", "--architecture", "recurrent")


def test_every_field_of_a_configuration_is_an_option():
    assert list(HELP) == [field.name for field in fields(pigmm.EnsembleConfig)]


def test_list_names_every_published_archive(capsys):
    assert main(["list"]) == 0
    header, *rows = capsys.readouterr().out.splitlines()
    assert header.split() == ["name", "dataset", "hidden", "runs", "epochs"]
    assert [row.split()[0] for row in rows] == list(pigmm.published())


def test_run_writes_into_a_folder_of_its_own(project, capsys):
    assert main(["run", "10-small", "runs=7", "rate=1", "live=TRUE", "--quiet"]) == 0
    folder = project / capsys.readouterr().out.strip()
    assert folder.parent == project / "runs" / "10-small"
    results = json.loads((folder / "results.json").read_text())
    assert results == {"runs": 7, "rate": 1.0, "init": "gaussian", "live": True}
    assert (folder / "10-small.ipynb").is_file()


def test_run_reports_a_failing_cell(project, capsys):
    error = complaint(capsys, "run", "notebooks/11-broken.ipynb", "--quiet")
    assert "11-broken.ipynb, cell 2: ValueError: no luck" in error


@pytest.mark.parametrize(
    ("words", "said"),
    [
        (["run", "10-smal"], "Did you mean '10-small'?"),
        (["run", "nowhere/x.ipynb"], "got 'nowhere/x.ipynb'"),
        (["run", "notebooks/empty.ipynb"], "allowed: a notebook with a Python kernel"),
        (["run", "10-small", "rusn=3"], "Did you mean 'runs'?"),
        (["run", "10-small", "runs"], "allowed: key=value"),
        (["run", "10-small", "runs=2.5"], "allowed: a value like its default, 20"),
        (["run", "10-small", "live=perhaps"], "allowed: a value like its default, False"),
        (["show", "no-such-archive"], "no-such-archive"),
        (["train", "--runs", "1"], "an integer of at least 2"),
        (["train", "--init", "gausian"], "Did you mean 'gaussian'?"),
        (["train", "--architecture", "residual", "--hidden", "9,8"], "equal widths"),
        (["train", "--hidden", "10"], "at least two positive integers"),
        (["train", "--output", "missing/a.npz"], "in an existing"),
        (["train", "--output", "a.txt"], "ending in .npz"),
        (["report", "nowhere"], "an existing folder or file"),
        (["report", "mnist-gaussian", "--layer", "L9"], "allowed: L1, L2, L3"),
        (["report", "mnist-gaussian", "--output", "a.pdf"], "ending in .html"),
    ],
)
def test_bad_input_ends_in_one_line(project, capsys, words, said):
    assert said in complaint(capsys, *words)
    assert not (project / "runs").exists()


@pytest.mark.parametrize("words", [[], ["trian"], ["train", "--runs", "many"], ["train", "--hidden", "a,b"], ["run"]])
def test_malformed_commands_exit_with_2(capsys, words):
    with pytest.raises(SystemExit) as end:
        main(words)
    assert end.value.code == 2
    assert "usage: pigmm" in capsys.readouterr().err


def test_version(capsys):
    with pytest.raises(SystemExit) as end:
        main(["--version"])
    assert end.value.code == 0
    assert capsys.readouterr().out == f"pigmm {pigmm.__version__}\n"


def test_report(project, capsys):
    np.savez("own.npz", fc=np.random.default_rng(0).normal(size=(30, 5, 6)), bias=np.zeros((30, 5)))
    assert main(["report", "own.npz", "--labelled", "fc", "--against", "uniform"]) == 0
    shown = capsys.readouterr().out
    assert shown.startswith("Report on an ensemble of weight matrices\n")
    assert "fc (5 x 6)" in shown
    assert "Squared distance" in shown
    assert main(["report", "own.npz", "--layer", "fc", "--output", "own.html"]) == 0
    assert capsys.readouterr().out == "own.html: layers 1, runs 30, warnings 0\n"
    assert (project / "own.html").read_text().startswith("<!DOCTYPE html>")


def test_interrupt(monkeypatch, capsys):
    def interrupted():
        raise KeyboardInterrupt

    monkeypatch.setattr("pigmm.shelf.published", interrupted)
    assert main(["list"]) == 130
    assert capsys.readouterr().err.startswith("pigmm: interrupted")


def test_a_reader_that_leaves_is_no_error():
    command = [sys.executable, "-m", "pigmm.cli", "list"]
    with subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE) as process:
        process.stdout.close()
        assert process.stderr.read() == b""
    assert process.returncode == 0
