"""The calibration study: reproducible, resumable, and right about tests that are right."""

import json

import numpy as np
import pytest

from pigmm import PigmmError, calibration
from pigmm.cli import main

SMALL = {"repeats": 20, "dim": 4}


def numbers(cell):
    return {key: value for key, value in cell.items() if isinstance(value, list)}


def test_the_same_on_any_number_of_workers_and_from_the_command_line(tmp_path, capsys):
    one = calibration.study(["all thirteen"], [20], **SMALL)["cells"]["all thirteen, R = 20"]
    two = calibration.study(["uniform entries", "all thirteen"], [20], workers=2, **SMALL)["cells"]
    assert numbers(one) == numbers(two["all thirteen, R = 20"])
    path = tmp_path / "study.json"
    line = ["calibrate", "all thirteen", "--runs", "20", "--repeats", "20", "--dim", "4", "--workers", "1", "--quiet"]
    assert main([*line, "--output", str(path)]) == 0
    assert "all thirteen" in capsys.readouterr().out
    assert numbers(json.loads(path.read_text())["cells"]["all thirteen, R = 20"]) == numbers(one)


def test_finished_cells_are_kept_and_other_settings_begin_anew(tmp_path):
    path = tmp_path / "study.json"
    calibration.study(["uniform entries"], [20], output=path, **SMALL)
    written = json.loads(path.read_text())
    written["cells"]["uniform entries, R = 20"]["mark"] = 1
    path.write_text(json.dumps(written))
    again = calibration.study(["uniform entries", "independent normal"], [20], output=path, **SMALL)
    assert again["cells"]["uniform entries, R = 20"]["mark"] == 1
    assert len(again["cells"]) == 2
    other = calibration.study(["uniform entries"], [20], output=path, seed=1, **SMALL)
    assert "mark" not in other["cells"]["uniform entries, R = 20"]


def test_summary_counts_rejections():
    outcomes = {name: np.zeros(40) for name in ("symmetry exact", "symmetry F")}
    for law in ("13", "5"):
        outcomes |= {f"{law} {what}": np.full(40, 0.25) for what in ("z", "naive", "bh", "ratio", "ratio_max")}
        outcomes |= {f"{law} max": np.arange(40.0), f"{law} max_null": np.arange(40.0) / 2}
    for step in ("2-5", "5-13"):
        outcomes |= {f"{step} chi2": np.r_[np.ones(10), np.zeros(30)], step: np.zeros(40), f"{step} null": np.ones(40)}
    rates = calibration.summary(outcomes)
    assert rates["13 z"] == [0.25, 0.0]
    assert rates["5 family"][0] == np.mean(np.arange(40) > np.quantile(np.arange(40) / 2, 0.95))
    assert rates["2-5 chi2"] == [0.25, pytest.approx(np.sqrt(0.25 * 0.75 / 39))]
    assert rates["5-13 bootstrap"][0] == 0


def test_all_ensembles_have_the_variance_they_claim():
    for name, (_, draw) in calibration.ENSEMBLES.items():
        W = draw(np.random.default_rng(0), 4000, 6)
        assert W.shape == (4000, 6, 6)
        if name not in ("row and column effects", "all thirteen"):
            assert W.var() == pytest.approx(1, abs=0.03), name


def test_published_study_says_that_the_tests_have_their_size():
    result = calibration.published()
    assert result["settings"]["repeats"] >= 400
    cells = {(cell["ensemble"], cell["runs"]): cell for cell in result["cells"].values()}
    assert {(name, R) for name in calibration.ENSEMBLES for R in (100, 1000)} == set(cells)

    def near(cell, key, slack=0.0):
        value, error = cell[key]
        return abs(value - 0.05) < 3.3 * max(error, np.sqrt(0.05 * 0.95 / 400)) + slack

    for (name, R), cell in cells.items():
        kind = calibration.ENSEMBLES[name][0]
        if name in ("independent normal", "row and column effects"):
            assert all(near(cell, key) for key in ("symmetry exact", "5-13 bootstrap")), (name, R)
        if kind.startswith("Gaussian"):
            assert near(cell, "13 family"), (name, R)
            assert cell["13 naive"][0] < 0.02
        if kind.startswith("Gaussian") and R == 1000:
            assert near(cell, "13 z", 0.01), name
    assert cells["uniform entries", 1000]["13 family"][0] > 0.99
    assert cells["shifted diagonal", 1000]["symmetry exact"][0] > 0.9
    assert cells["loud matrices", 1000]["13 ratio_max"][0] < 0.5  # rejected for certain, and the ratio is small


@pytest.mark.parametrize(
    ("options", "word"),
    [
        ({"names": ["cauchy"]}, "cauchy"),
        ({"runs": [10]}, "runs"),
        ({"repeats": 5}, "repeats"),
        ({"dim": 3}, "dim"),
        ({"workers": 0}, "workers"),
        ({"seed": -1}, "seed"),
    ],
)
def test_bad_settings_are_named(options, word):
    with pytest.raises(PigmmError, match=word):
        calibration.study(**{"names": ["uniform entries"], "runs": [20], "repeats": 20, **options})


def test_a_file_of_another_kind_is_not_overwritten(tmp_path):
    path = tmp_path / "letter.json"
    path.write_text("Dear reader")
    with pytest.raises(PigmmError, match="new file"):
        calibration.study(["uniform entries"], [20], output=path, **SMALL)
    assert path.read_text() == "Dear reader"
