"""The published archives as recipes: what they say, how long they take, and that one of them can be made again."""

import numpy as np
import pytest

import pigmm
from pigmm import Archive, EnsembleConfig, PigmmError, cli, recipes
from pigmm.shelf import published_config

SMALL = {
    "first": EnsembleConfig(runs=4, epochs=2),
    "second": EnsembleConfig(runs=4, epochs=1, seed=1, hidden=(10, 10), architecture="residual"),
}


@pytest.fixture
def small(monkeypatch, tmp_path):
    monkeypatch.setattr(recipes, "RECIPES", SMALL)
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))
    return tmp_path / "archives"


def test_published_archives_are_those_of_the_recipes():
    assert set(pigmm.published()) <= set(recipes.RECIPES)
    for name in pigmm.published():
        assert published_config(name) == recipes.RECIPES[name]


def test_the_digits_archive_can_be_made_again(tmp_path, monkeypatch):
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))
    [path] = recipes.reproduce("digits", tmp_path, progress=False, backend="compiled")
    again, published = Archive.load(path), pigmm.load("digits")
    assert again.config == published.config
    # Bit for bit on one kind of processor; on another one rounding differs, and some networks drift apart.
    assert np.median(np.abs(again.loss[:, -1] - published.loss[:, -1])) < 0.01
    assert np.mean(np.abs(again.accuracy - published.accuracy) < 0.02) > 0.9
    ours, theirs = (archive.features(20, 1) for archive in (again, published))
    assert (np.abs(ours.mean - theirs.mean) < 0.5 * theirs.standard_error()).all()
    np.testing.assert_array_equal(again.weights(0, 2), published.weights(0, 2))


def test_reproduce_trains_what_is_missing_and_nothing_else(small, monkeypatch):
    first, second = recipes.reproduce(None, small, progress=False, workers=1)
    assert (first.name, second.name) == ("first.npz", "second.npz")
    assert Archive.load(first).config == SMALL["first"]
    direct = pigmm.train(SMALL["first"], progress=False, workers=1)
    np.testing.assert_array_equal(Archive.load(first).accuracy, direct.accuracy)
    monkeypatch.setattr("pigmm.ensemble.train", lambda *a, **k: pytest.fail("trained again"))
    assert recipes.reproduce(["second", "first"], small) == [second, first]


def test_the_forecast_times_what_is_not_done(small):
    one, two = recipes.forecast(folder=small, workers=2, backend="torch")
    assert (one.name, one.backend, one.done, two.done) == ("first", "torch", False, False)
    assert one.seconds == pytest.approx(one.run_epoch * 8 / 2)
    assert 1e-5 < one.run_epoch < 1
    recipes.reproduce("first", small, progress=False, workers=1)
    [one] = recipes.forecast("first", small)
    assert (one.done, one.seconds) == (True, 0)


def test_what_is_in_the_way_or_unknown_is_said(small):
    with pytest.raises(PigmmError, match="Did you mean 'first'"):
        recipes.forecast("frist", small)
    with pytest.raises(PigmmError, match="archive: got 7"):
        recipes.reproduce([7], small)
    with pytest.raises(PigmmError, match="backend"):
        recipes.forecast("first", small, backend="tensorflow")
    small.mkdir()
    pigmm.train(EnsembleConfig(runs=3, epochs=1), progress=False, output=small / "first.npz")
    for work in (recipes.forecast, recipes.reproduce):
        with pytest.raises(PigmmError, match="in the way"):
            work("first", small)


def test_on_the_command_line(small, capsys):
    words = ["reproduce", "first", "--folder", str(small), "--backend", "torch", "--workers", "1", "--quiet"]
    assert cli.main([*words, "--dry-run"]) == 0
    shown = capsys.readouterr().out
    assert "networks 64-10-10-10-10" in shown
    assert not small.exists()
    assert cli.main(words) == 0
    assert f"{small / 'first.npz'} is written" in capsys.readouterr().out
    assert cli.main(words) == 0
    assert "done" in capsys.readouterr().out
    assert cli.main(["reproduce", "frist", "--folder", str(small)]) == 2


def test_arguments_are_checked_before_anything_is_trained(small, tmp_path):
    (tmp_path / "file").touch()
    for work in (recipes.forecast, recipes.reproduce):
        for options, word in (
            ({"workers": -3}, "workers"), ({"workers": "3"}, "workers"), ({"device": "gpu"}, "device"),
            ({"folder": tmp_path / "file"}, "not a folder"), ({"folder": 5}, "folder"), ({"names": 5}, "archive"),
            ({"names": [["first"]]}, "archive"),
        ):  # fmt: skip
            with pytest.raises(PigmmError, match=word):
                work(**{"names": "first", "folder": small} | options)
    assert [item.name for item in recipes.forecast(["first", "first"], small, backend="torch")] == ["first"]
