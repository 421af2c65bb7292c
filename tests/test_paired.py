"""Differences between epochs and between layers: their errors against the bootstrap over networks."""

import numpy as np
import pytest

import pigmm
from pigmm import GaussianMatrixModel, evolution, paired, w2_squared
from pigmm.irreps import sufficient_statistics


def distance(W, start, indices):
    return w2_squared(GaussianMatrixModel.fit(W[indices]), start)


@pytest.fixture(scope="module")
def archive():
    return pigmm.load("digits")


def test_steps_are_differences_of_distances(archive):
    table, far = paired.steps(archive), evolution.distances(archive).set_index(["layer", "epoch"])["w2_squared"]
    for row in table[table["epoch"].isin([1, 7, 20])].itertuples():
        assert row.step == pytest.approx(far[row.layer, row.epoch] - far[row.layer, row.epoch - 1], abs=1e-12)


def test_errors_of_steps_are_those_of_the_bootstrap(archive):
    rng = np.random.default_rng(0)
    table = paired.steps(archive).set_index(["layer", "epoch"])
    draws = rng.integers(0, archive.runs, (300, archive.runs))
    for layer in (0, 2):
        start = evolution.initial_law(archive, layer).to_diagonal()
        before, after = archive.weights(0, layer), archive.weights(1, layer)
        again = [distance(after, start, draw) - distance(before, start, draw) for draw in draws]
        error = table["se"]["L1" if layer == 0 else "L3", 1]
        assert error == pytest.approx(np.std(again, ddof=1), rel=0.2)
        alone = np.std([distance(after, start, draw) for draw in draws], ddof=1)
        assert error < 1.2 * alone


def test_errors_between_layers_are_those_of_the_bootstrap(archive):
    rng = np.random.default_rng(1)
    table = paired.between_layers(archive)
    draws = rng.integers(0, archive.runs, (300, archive.runs))
    starts = [evolution.initial_law(archive, layer).to_diagonal() for layer in range(3)]
    weights = [archive.weights(-1, layer) for layer in range(3)]
    for row, (low, high) in zip(table.itertuples(), ((0, 1), (1, 2)), strict=True):
        again = [distance(weights[high], starts[high], d) - distance(weights[low], starts[low], d) for d in draws]
        assert row.se == pytest.approx(np.std(again, ddof=1), rel=0.2)
        far = [w2_squared(archive.model(-1, layer), starts[layer]) for layer in (low, high)]
        assert row.difference == pytest.approx(far[1] - far[0])


@pytest.mark.parametrize("shift", [0.0, 0.4])
def test_slopes_are_those_of_the_distance(archive, shift):
    """Leaving one network out moves the distance by its influence, also where the mean of the weights is not small."""
    W, start = archive.weights(-1, 0) + shift, evolution.initial_law(archive, 0).to_diagonal()
    law, statistics = GaussianMatrixModel.fit(W), sufficient_statistics(W)
    mean = statistics.mean(axis=0)
    slope = paired._slope(law, start, mean)
    influence, moved = (statistics - mean) @ slope, []
    for left_out in range(40):
        few = np.arange(archive.runs) != left_out
        moved.append(w2_squared(law, start) - w2_squared(GaussianMatrixModel.fit(W[few]), start))
    fit = np.polyfit(influence[:40] / archive.runs, moved, 1)  # the constant is of second order
    assert fit[0] == pytest.approx(1, abs=0.05)
    assert np.corrcoef(influence[:40], moved)[0, 1] > 0.99
