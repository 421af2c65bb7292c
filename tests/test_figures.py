"""Every figure can be drawn, describes itself from the data, and is readable on a phone in light and dark."""


import numpy as np
import pytest

from pigmm import evolution as ev
from pigmm import figures, gaussianity, trajectories
from tests.ensembles import synthetic_archive
from tests.pictures import check_picture


def pictures():
    archives = {init: synthetic_archive(init) for init in ("gaussian", "uniform")}

    def each(function):
        return {scheme: function(archive) for scheme, archive in archives.items()}

    archive = archives["gaussian"]
    W = archive.weights(3, 0)
    compared = {f"L{k + 1}": archive.comparison(3, k).query("degree > 2") for k in range(3)}
    noise = np.random.default_rng(0).normal(size=(3, 50, 10, 10))
    singular = dict(zip(("trained", "a", "b"), np.linalg.svd(noise, compute_uv=False), strict=True))
    return {
        "matrices": lambda: figures.matrices(W, "L1", 3),
        "agreement": lambda: figures.agreement({"simple": gaussianity.compare(W), "13": gaussianity.compare(W)}),
        "initial_z": lambda: figures.initial_z(each(ev.initialisation)),
        "error_shrinkage": lambda: figures.error_shrinkage(ev.shrinkage(archive, ["01.01", "01+01"])),
        "two_measures": lambda: figures.two_measures(dict.fromkeys(archives, compared)),
        "curves": lambda: trajectories.curves(each(ev.training)),
        "drift": lambda: trajectories.drift(each(ev.drift)),
        "variances": lambda: trajectories.variances(each(ev.parameters), {"gaussian": 0.1, "uniform": 0.1 / 3}),
        "gains": lambda: trajectories.gains(each(ev.gains)),
        "misses": lambda: trajectories.misses(each(ev.misses)),
        "predictions": lambda: trajectories.predictions(each(ev.predictions)),
        "distances": lambda: trajectories.distances(each(ev.distances)),
        "spectra": lambda: figures.spectra({"L1": singular, "L2": singular}),
    }


PICTURES = pictures()


def test_every_figure_of_the_module_is_tested():
    drawing = {name for name in figures.__all__ + trajectories.__all__ if name not in ("Picture", "show")}
    assert drawing == set(PICTURES)


@pytest.mark.parametrize("name", PICTURES)
def test_figure_is_described_labelled_and_narrow(name, monkeypatch, tmp_path):
    check_picture(PICTURES[name](), name, monkeypatch, tmp_path)


def test_descriptions_follow_the_data():
    one, other = (trajectories.distances({s: ev.distances(synthetic_archive(s))}) for s in ("gaussian", "uniform"))
    assert one.alt != other.alt
    last = ev.distances(synthetic_archive()).query("epoch == 3 and layer == 'L2'").iloc[0]
    assert f"gaussian L2 {last.w2_squared:.2f} ± {last.se:.2f}" in one.alt


def test_one_scheme_and_one_layer_are_enough():
    table = ev.predictions(synthetic_archive()).query("layer == 'L1'")
    assert trajectories.predictions({"uniform": table}).figure.axes
