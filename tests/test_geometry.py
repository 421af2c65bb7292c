"""Maps and paths of laws: points whose distances are known, and an archive read along its training."""


import numpy as np
import pytest

import pigmm
from pigmm import GaussianMatrixModel, LabelledRowGaussian, PigmmError, SimpleGaussian, TwoSidedGaussian, geometry, maps
from pigmm.transport import distance_matrix
from tests.ensembles import synthetic_archive
from tests.pictures import check_picture


def distances_between(points):
    return np.sqrt(((points[:, None] - points[None]) ** 2).sum(axis=-1))


@pytest.mark.parametrize("scale", [1.0, 1e-30, 1e30])
def test_points_of_a_plane_are_recovered(scale):
    points = scale * np.random.default_rng(0).normal(size=(12, 2)) * [3, 1]
    found = geometry.embed(distances_between(points))
    np.testing.assert_allclose(distances_between(found.coordinates), distances_between(points), rtol=1e-7)
    assert found.kept == pytest.approx(1)
    assert found.stress < 1e-7
    assert np.abs(found.coordinates.mean(axis=0)).max() < 1e-9 * scale
    assert (found.coordinates.max(axis=0) == np.abs(found.coordinates).max(axis=0)).all(), "axes point to the far end"


def test_a_map_keeps_what_principal_components_keep():
    points = np.random.default_rng(1).normal(size=(20, 4)) * [4, 3, 2, 1]
    centred = points - points.mean(axis=0)
    left, size, _ = np.linalg.svd(centred, full_matrices=False)
    for dimensions in (1, 2, 3):
        found = geometry.embed(distances_between(points), dimensions)
        assert found.kept == pytest.approx((size[:dimensions] ** 2).sum() / (size**2).sum())
        np.testing.assert_allclose(np.abs(found.coordinates), np.abs(left * size)[:, :dimensions], atol=1e-9)
        flat = distances_between((left * size)[:, :dimensions])
        miss = flat - distances_between(points)
        assert found.stress == pytest.approx(np.sqrt((miss**2).sum() / (distances_between(points) ** 2).sum()))
    np.testing.assert_allclose(found.eigenvalues[:4], size**2)


def test_five_parameter_laws_are_flat():
    """All their blocks are 1 x 1: the distance is Euclidean in (sqrt(MN) m, sqrt(n) sigma)."""
    rng = np.random.default_rng(2)
    laws = [TwoSidedGaussian([rng.normal(), *rng.uniform(0.1, 2, 4)], (3, 5)) for _ in range(9)]
    flat = np.array([[np.sqrt(15) * law.parameters[0], *np.sqrt([1, 2, 4, 8] * law.parameters[1:])] for law in laws])
    np.testing.assert_allclose(distance_matrix(laws), distances_between(flat), atol=1e-12)
    found = geometry.embed(distance_matrix(laws), 5)
    assert found.stress < 1e-7


def test_distances_that_no_flat_space_holds():
    cycle = np.array([[0, 1, 2, 1], [1, 0, 1, 2], [2, 1, 0, 1], [1, 2, 1, 0.0]])  # eigenvalues 2, 2, 0, -1
    found = geometry.embed(cycle)
    np.testing.assert_allclose(found.eigenvalues, [2, 2, 0, -1], atol=1e-12)
    assert found.kept == pytest.approx(1)
    assert found.stress == pytest.approx(np.sqrt(8 * (np.sqrt(2) - 1) ** 2 / 24))


def test_maps_of_few_points():
    assert geometry.embed([[0.0]], 1).coordinates.tolist() == [[0.0]]
    same = geometry.embed(np.zeros((3, 3)))
    assert (same.coordinates == 0).all()
    assert (same.kept, same.stress) == (1, 0)
    np.testing.assert_allclose(geometry.embed([[0, 2], [2, 0]], 1).coordinates[:, 0], [-1, 1])


def test_the_map_of_a_straight_path_is_straight():
    p, q = SimpleGaussian(0.0, 1.0, 5).to_diagonal(), SimpleGaussian(0.3, 4.0, 5).to_diagonal()
    laws = [pigmm.geodesic(p, q, t) for t in np.linspace(0, 1, 6)]
    found = geometry.embed(distance_matrix(laws), 1)
    np.testing.assert_allclose(np.diff(found.coordinates[:, 0]), pigmm.w2(p, q) / 5)
    way = geometry.path(laws)
    assert way.length == pytest.approx(way.straight) == pytest.approx(pigmm.w2(p, q))
    assert way.directness == pytest.approx(1)


def test_a_noisy_path_is_too_long_and_without_its_floors_too_short():
    R, step, n = 300, 0.12, 11
    laws = [SimpleGaussian(step * k, 1.0, (2, 3)).to_two_sided() for k in range(n)]
    floors = [pigmm.noise_floor(law, R, R) for law in laws[1:]]
    lengths = []
    for seed in range(20):
        fits = [TwoSidedGaussian.fit(law.sample(R, seed=100 * seed + k)) for k, law in enumerate(laws)]
        way = geometry.path(fits, floors)
        lengths.append((way.length, way.corrected))
    (noisy, corrected), true = np.mean(lengths, axis=0), geometry.path(laws).length
    assert true == pytest.approx(10 * step * np.sqrt(6))
    # to first order the excess is the noise across the step, 2/3 of the floor here, and the lack the noise along it
    step, floor = step * np.sqrt(6), np.mean(floors)
    assert noisy - true == pytest.approx(10 * floor * 2 / 3 / 2 / step, rel=0.3)
    assert true - corrected == pytest.approx(10 * floor / 3 / 2 / step, rel=0.5)
    assert geometry.path(laws).corrected is None
    assert geometry.path([laws[0], laws[0]], 1.0).corrected == 0
    assert geometry.path([laws[0], laws[0]]).directness == 1


@pytest.mark.parametrize("family", [GaussianMatrixModel, TwoSidedGaussian, SimpleGaussian])
def test_trajectory_reads_every_epoch_of_every_layer(family):
    archive = synthetic_archive()
    training = geometry.trajectory(archive, law=family)
    assert training.layers == ("L1",) * 4 + ("L2",) * 4 + ("L3",) * 4
    assert training.epochs == (0, 1, 2, 3) * 3
    W = archive.weights(3, 1)
    assert pigmm.w2(training.of("L2")[-1], family.fit(W)) < 1e-3 * pigmm.w2(training.of("L2")[0], training.of("L2")[3])
    some = geometry.trajectory(archive, layers=[2, 0], law=family)
    assert some.layers == ("L3",) * 4 + ("L1",) * 4


def test_trajectory_of_labelled_rows_is_that_of_the_last_layer():
    training = geometry.trajectory(synthetic_archive(), law=LabelledRowGaussian)
    assert training.layers == ("L3",) * 4
    assert isinstance(training.laws[0], LabelledRowGaussian)


def test_contributions_add_up():
    archive = synthetic_archive()
    training = geometry.trajectory(archive, law=TwoSidedGaussian)
    table = geometry.contributions(training)
    assert list(table.columns) == ["epoch", "layer", "mean", "00", "rows", "columns", "bulk"]
    for (_, row), law in zip(table.iterrows(), training.laws, strict=True):
        first = training.of(row["layer"])[0]
        assert row[2:].sum() == pytest.approx(pigmm.w2_squared(law, first), rel=1e-12)
    assert (table[table["epoch"] == 0].iloc[:, 2:] == 0).all(axis=None)
    end = table[table["epoch"] == 3].iloc[:, 2:].mean()
    assert end["rows"] > end[["00", "columns", "bulk"]].max()  # what the synthetic networks do
    start = {f"L{k}": SimpleGaussian(0, 0.1, 10) for k in (1, 2, 3)}
    assert (geometry.contributions(training, start)["bulk"] > 0).all()


def pictures():
    training = geometry.trajectory(synthetic_archive())
    plane = geometry.embed(distance_matrix(training.laws))
    five = geometry.trajectory(synthetic_archive(), law=TwoSidedGaussian)
    return {
        "training_map": maps.training_map(training, plane),
        "contributions": maps.contributions(geometry.contributions(five)),
        "contributions of 13": maps.contributions(geometry.contributions(training)),
        "contributions of one layer": maps.contributions(geometry.contributions(geometry.trajectory(
            synthetic_archive(), law=LabelledRowGaussian))),
    }  # fmt: skip


def test_figures_describe_themselves(monkeypatch, tmp_path):
    drawn = pictures()
    assert {name.split(" of ")[0] for name in drawn} == set(maps.__all__)
    for name, picture in drawn.items():
        check_picture(picture, name, monkeypatch, tmp_path)
    way = geometry.path(geometry.trajectory(synthetic_archive()).of("L2"))
    assert f"L2 ends {way.straight:.2f} from its start" in drawn["training_map"].alt


TRAINING = geometry.trajectory(synthetic_archive(), layers=[0])
BAD = {
    "not square": lambda: geometry.embed(np.zeros((2, 3))),
    "not symmetric": lambda: geometry.embed([[0, 1], [2, 0]]),
    "negative": lambda: geometry.embed([[0, -1], [-1, 0]]),
    "diagonal": lambda: geometry.embed([[1, 1], [1, 1]]),
    "nan": lambda: geometry.embed([[0, np.nan], [np.nan, 0]]),
    "words": lambda: geometry.embed("far"),
    "empty": lambda: geometry.embed(np.zeros((0, 0))),
    "dimensions": lambda: geometry.embed(np.zeros((3, 3)), 4),
    "no dimension": lambda: geometry.embed(np.zeros((3, 3)), 0),
    "one law": lambda: geometry.path(TRAINING.laws[:1]),
    "floors": lambda: geometry.path(TRAINING.laws, [1.0, 2.0]),
    "negative floors": lambda: geometry.path(TRAINING.laws, -1.0),
    "layer": lambda: TRAINING.of("L9"),
    "law": lambda: geometry.trajectory(synthetic_archive(), law="simple"),
    "no layers": lambda: geometry.trajectory(synthetic_archive(), layers=[]),
    "unknown layer": lambda: geometry.trajectory(synthetic_archive(), layers=[7]),
    "labelled layer": lambda: geometry.trajectory(synthetic_archive(), layers=[0], law=LabelledRowGaussian),
    "start": lambda: geometry.contributions(TRAINING, {"L2": SimpleGaussian(0, 1, 10)}),
}


@pytest.mark.parametrize("name", BAD)
def test_bad_input_is_refused(name):
    with pytest.raises(PigmmError):
        BAD[name]()
