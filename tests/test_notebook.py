"""What notebooks rely on: checked parameters, the right archive, results written whole."""

import json

import numpy as np
import pytest

import pigmm
from pigmm import PigmmError, notebook

BASE = {"profile": "class", "dataset": "", "init": "both", "runs": 0, "epochs": 0, "seed": -1, "workers": 0}


def test_profiles_fill_what_is_left_out():
    chosen = notebook.settings(BASE)
    assert set(chosen.configs) == {"gaussian", "uniform"}
    assert chosen.configs["uniform"] == pigmm.EnsembleConfig(dataset="digits", init="uniform", runs=100, epochs=10)
    given = notebook.settings({**BASE, "init": "uniform", "runs": 7, "seed": 3, "weight_decay": 0.1})
    assert list(given.configs) == ["uniform"]
    config = given.configs["uniform"]
    assert (config.runs, config.epochs, config.seed, config.weight_decay) == (7, 10, 3, 0.1)


def test_paper_profile_is_the_published_archive():
    chosen = notebook.settings({**BASE, "profile": "paper"})
    for scheme, config in chosen.configs.items():
        assert config == pigmm.load(f"mnist-{scheme}").config


@pytest.mark.parametrize(
    ("change", "word"),
    [
        ({"profile": "clas"}, "class"),
        ({"init": "gausian"}, "gaussian"),
        ({"runs": -3}, "runs"),
        ({"dataset": "mnits"}, "mnist"),
        ({"In": ["", "# Parameters\nrusn = 5\n"]}, "Did you mean 'runs'"),
        ({"In": ["", "# Parameters\nlayer = 5\n"]}, "parameter: got 'layer'"),
    ],
)
def test_wrong_parameters_are_refused_with_the_nearest_name(change, word):
    with pytest.raises(PigmmError, match=word):
        notebook.settings({**BASE, **change})


def test_injected_names_that_exist_pass():
    namespace = {**BASE, "layer": 2, "In": ["x = 1", '# Parameters\nruns = 5\nlayer = 2\ninit = "uniform"\n']}
    assert notebook.settings(namespace, extras=["layer"]).extras == {"layer": 2}


def test_archives_are_trained_once_and_announced(tmp_path, monkeypatch, capsys):
    monkeypatch.setattr("pigmm.datasets.cache_folder", lambda: tmp_path)
    config = pigmm.EnsembleConfig(dataset="digits", runs=3, epochs=1)
    first = notebook.open_archive(config, workers=1)
    said = capsys.readouterr().out
    assert "gaussian start: trained just now" in said
    assert "3 networks 64-10-10-10-10 on digits, 1 epochs" in said
    again = notebook.open_archive(config, workers=1)
    assert "trained earlier" in capsys.readouterr().out
    assert (again.accuracy == first.accuracy).all()
    (tmp_path / "archives" / f"{config.digest()}.npz").write_bytes(b"broken")
    notebook.open_archive(config, workers=1)
    assert "trained just now" in capsys.readouterr().out


def test_published_archives_are_found_by_their_configuration(capsys):
    notebook.open_archive(pigmm.load("mnist-uniform").config)
    assert "published archive mnist-uniform" in capsys.readouterr().out


def test_results_and_provenance_are_written(tmp_path, monkeypatch):
    from pigmm.claims import Claim, Measure
    from tests.ensembles import synthetic_archive

    monkeypatch.setenv("PIGMM_OUTPUT", str(tmp_path / "one"))
    monkeypatch.setenv("PIGMM_RESULTS", str(tmp_path / "all"))
    archive = synthetic_archive()
    claim = Claim("b", "It stays.", "refined", np.bool_(True), "below 0.2", (Measure("median", np.float64(0.1), 0.01),))
    notebook.finish({"x": archive.accuracy.mean()}, {"a": archive}, chapter="20-x", claims=[claim])
    for folder in (tmp_path / "one", tmp_path / "all" / "20-x"):
        results = json.loads((folder / "results.json").read_text())
        assert results["x"] == pytest.approx(0.9, abs=0.1)
        assert (results["chapter"], results["claims"][0]["holds"]) == ("20-x", True)
        assert results["claims"][0]["effect"] == [{"label": "median", "value": 0.1, "error": 0.01, "unit": ""}]
        assert json.loads((folder / "provenance.json").read_text())["a"]["config"]["runs"] == 60
    notebook.finish({}, {})  # a notebook that is no chapter writes only what is its own
    assert [path.name for path in (tmp_path / "all").iterdir()] == ["20-x"]


@pytest.mark.parametrize(
    ("change", "word"),
    [({"key": "h"}, "claim: got 'h'"), ({"verdict": "reproducd"}, "reproduced"), ({"effect": (1,)}, "finite")],
)
def test_a_claim_says_what_is_wrong_with_it(change, word):
    from pigmm.claims import Claim, Measure

    given = {"key": "b", "found": "", "verdict": "refined", "holds": True, "check": ""} | change
    given["effect"] = tuple(Measure("x", float("nan")) for _ in given.get("effect", ()))
    with pytest.raises(PigmmError, match=word):
        Claim(**given)
