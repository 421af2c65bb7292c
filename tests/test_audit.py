"""Independence audited: audits have their size, find planted defects, and agree with plain slow versions."""

import itertools
from functools import lru_cache

import numpy as np
import pytest
from scipy import stats

from pigmm import EnsembleConfig, PigmmError, TwoSidedGaussian, audit, independence, load, symmetry_test, train
from pigmm.symmetry import randomised_contrasts
from tests.ensembles import synthetic_archive


def assert_size(pvalues, level=0.05):
    rate, error = np.mean(np.array(pvalues) <= level), np.sqrt(level * (1 - level) / len(pvalues))
    assert abs(rate - level) < 3 * error, (rate, error)


# ---- runs among themselves


def heavy_rows(seed, runs=14, D=5):
    """Independent runs, some much louder than others; rows are labelled, columns are not."""
    rng = np.random.default_rng(seed)
    rows = np.linspace(0.5, 2, D)[:, None]
    return rows * (1 + rng.standard_t(3, size=(runs, D, D))) * np.exp(rng.normal(size=(runs, 1, 1)))


def test_correlations_have_their_size_for_labelled_rows_heavy_tails_and_few_runs():
    options = {"permutations": 99, "lags": (1,), "blocks": (4,)}
    assert_size([audit.correlations(heavy_rows([0, k]), seed=k, **options).pvalue for k in range(120)])


def test_relabelling_a_network_relabels_its_neurons():
    rng = np.random.default_rng(1)
    layers = [rng.normal(size=(9, 4, 6)), rng.normal(size=(9, 5, 4)), rng.normal(size=(9, 3, 5))]
    moved = independence._relabelled(layers, "separate", np.random.default_rng(2))
    before, after = (np.einsum("rij,rjk,rkl->ril", *chain[::-1]) for chain in (layers, moved))
    assert not np.allclose(before, after)
    np.testing.assert_allclose(np.sort(after, axis=2), np.sort(before, axis=2))  # the inputs are in another order
    for old, new in zip(layers, moved, strict=True):
        np.testing.assert_allclose(np.sort(new.reshape(9, -1)), np.sort(old.reshape(9, -1)))
    shared = [rng.normal(size=(9, 4, 4)), rng.normal(size=(9, 4, 4))]
    moved = independence._relabelled(shared, "shared", np.random.default_rng(3))
    before, after = (np.einsum("rij,rjk->rik", *chain) for chain in (shared, moved))
    assert not np.allclose(before, after)
    for trace in ("rii->r", "rii,rii->r", "rij,rji->r"):
        operands = 1 + trace.count(",")
        np.testing.assert_allclose(np.einsum(trace, *[after] * operands), np.einsum(trace, *[before] * operands))


def test_overlaps_of_shared_neurons_keep_the_diagonal_apart():
    rng, pvalues = np.random.default_rng(2), []
    for k in range(150):
        W = rng.normal(size=(14, 4, 4)) + 2 * np.eye(4)  # a common diagonal is allowed: the neurons feed themselves
        found = audit.correlations(W, relabel="shared", permutations=99, lags=(1,), seed=k)
        assert max(abs(found.values[0]), abs(found.expected[0])) < 0.1  # 0.5 if the diagonal counted
        pvalues.append(found.pvalue)
    assert_size(pvalues)
    wrong = [audit.correlations(rng.normal(size=(30, 4, 4)) + np.eye(4), permutations=99).pvalue for _ in range(5)]
    assert max(wrong) < 0.05  # with relabel="separate" it is a common pattern


def planted():
    rng = np.random.default_rng(3)
    base = rng.normal(size=(80, 6, 6))
    copy = base.copy()
    copy[50] = -2.0 * copy[7]  # another scale and sign: still the same directions
    order = np.repeat(rng.normal(size=(8, 6, 6)), 10, axis=0)
    chain = base.copy()
    chain[2:] += 0.7 * base[:-2]
    half = base.copy()
    half[::2] += 0.6 * rng.normal(size=(6, 6))
    half[1::2] -= 0.6 * half[::2].mean(axis=0)
    return {
        "mean overlap": base + 0.3 * rng.normal(size=(6, 6)),
        "largest overlap": copy,
        "overlap, blocks of 10": base + 0.6 * order,
        "overlap, lag 2": chain,
        "rms overlap": half,
    }


@pytest.mark.parametrize("name", planted())
def test_correlations_find_each_defect(name):
    found = audit.correlations(planted()[name], permutations=99, blocks=(10,))
    assert found.pvalue == 0.01
    assert abs(found.z[found.names.index(name)]) > 5
    if name not in ("rms overlap", "mean overlap"):
        assert found.names[found.worst] == name


def test_overlaps_are_those_of_the_definition_and_their_scale_is_known():
    W = heavy_rows(4, runs=12)
    found = audit.correlations(W, permutations=999, lags=(1,), blocks=(5,))
    Y = W - W.mean(axis=2, keepdims=True)
    Y = Y / np.sqrt((Y**2).sum(axis=(1, 2), keepdims=True))
    pairs = list(itertools.combinations(range(12), 2))
    o = {(r, s): (Y[r] * Y[s]).sum() for r, s in pairs}
    blocks = [o[r, s] for r, s in pairs if r // 5 == s // 5]
    all_of_them = np.array(list(o.values()))
    expected = [all_of_them.mean(), np.sqrt((all_of_them**2).mean()), np.abs(all_of_them).max(),
                np.mean([o[r, r + 1] for r in range(11)]), np.mean(blocks)]  # fmt: skip
    np.testing.assert_allclose(found.values, expected, atol=1e-6)
    gram = np.einsum("rik,rjk->rij", Y, Y)
    variance = {(r, s): (gram[r] * gram[s]).sum() / 4 for r, s in pairs}  # D - 1 = 4: columns of one in random order
    scale = np.sqrt([sum(variance.values()) / 66**2, sum(variance[r, r + 1] for r in range(11)) / 11**2])
    np.testing.assert_allclose(found.scales[[0, 3]], scale, rtol=4 / np.sqrt(2 * 999))
    assert np.all(np.abs(found.expected[[0, 3]]) < 4 * scale / np.sqrt(999))
    assert found.expected[1] ** 2 == pytest.approx(np.mean(list(variance.values())), rel=0.05)


def test_correlations_do_not_depend_on_units_and_remember_the_seed():
    W = heavy_rows(5)
    a, b, c = (audit.correlations(w, permutations=99) for w in (W, 1e-30 * W, 1e30 * W))
    for other in (b, c):
        np.testing.assert_allclose(other.values, a.values, atol=1e-6)
        np.testing.assert_allclose(other.pvalues, a.pvalues)
    assert audit.correlations(W, permutations=99, seed=1).scales[0] != a.scales[0]


def test_run_order_has_its_size_with_ties_and_finds_blocks_lags_and_features():
    pvalues = []
    for k in range(200):
        x = np.random.default_rng([6, k]).standard_t(2, size=(30, 4))
        x[:, 1:] += x[:, :1]
        pvalues.append(audit.run_order(np.round(x), permutations=99, seed=k).pvalue)
    assert_size(pvalues)
    x = np.random.default_rng(7).normal(size=(100, 3))
    y = {"a": x[:, 0], "b": x[:, 1] + np.repeat(np.random.default_rng(8).normal(size=20), 5), "c": x[:, 2]}
    found = audit.run_order(y, blocks=(5,))
    assert found.pvalue == 0.001
    assert found.names[found.worst] == "b, blocks of 5"
    y["b"] = x[:, 1]
    y["c"] = x[:, 2] + np.roll(x[:, 2], 4)
    found = audit.run_order(y, lags=(1, 2, 3, 4))
    assert found.names[found.worst] == "c, lag 4"


def test_run_order_statistics_are_means_over_pairs():
    x = np.random.default_rng(9).normal(size=(11, 1))
    found = audit.run_order(x, lags=(2,), blocks=(4,), permutations=99)
    z = stats.norm.ppf(stats.rankdata(x) / 12)
    blocks = [z[r] * z[s] for r, s in itertools.combinations(range(11), 2) if r // 4 == s // 4]
    np.testing.assert_allclose(found.values, [np.mean(z[2:] * z[:-2]), np.mean(blocks)])


# ---- two ensembles


def test_same_law_has_its_size_for_features_that_hang_together():
    pvalues = []
    for k in range(300):
        x = np.random.default_rng([10, k]).standard_t(2, size=(30, 5))
        x[:, 1:] += x[:, :1]
        pvalues.append(audit.same_law(np.round(x[:12], 1), np.round(x[12:], 1), permutations=99, seed=k).pvalue)
    assert_size(pvalues)


def test_same_law_is_the_permutation_test_of_scipy():
    rng = np.random.default_rng(11)
    x, y = rng.normal(size=(9, 1)), rng.normal(0.8, 1, size=(13, 1))
    found = audit.same_law(x, y, permutations=4999)
    scores = independence._scores(np.concatenate([x, y]))[:, 0]
    for row, column in enumerate((scores, scores**2 - (scores**2).mean())):
        slow = stats.permutation_test(
            (column[:9], column[9:]), lambda a, b: abs(a.mean() - b.mean()), permutation_type="independent",
            alternative="greater", n_resamples=4999, rng=np.random.default_rng(0),
        )  # fmt: skip
        assert found.values[row] == pytest.approx(column[:9].mean())
        assert found.scales[row] == pytest.approx(slow.null_distribution.size and np.std(
            [rng.permutation(column)[:9].mean() for _ in range(4000)]), rel=0.05)  # fmt: skip
        assert found.pvalues[row] == pytest.approx(slow.pvalue, abs=4 * np.sqrt(2 * 0.25 / 5000))


def test_same_law_sees_level_and_spread_of_one_feature_among_many():
    rng = np.random.default_rng(12)
    x, y = rng.standard_t(3, size=(2, 120, 20))
    assert audit.same_law(x, y).pvalue > 0.01
    y[:, 3] += 0.7
    found = audit.same_law(x, y)
    assert (found.pvalue, found.names[found.worst]) == (0.0005, "feature 3, level")
    y[:, 3], y[:, 5] = x[:, 3], 3 * y[:, 5]
    found = audit.same_law(x, y)
    assert (found.pvalue, found.names[found.worst]) == (0.0005, "feature 5, spread")
    assert len(found.table) == 40


# ---- a shared order of the images, in real trainings


@lru_cache
def ensembles(groups=4, runs=50, epochs=10):
    """Features and test accuracies of small ensembles on digits, with one order of images each or one for every run."""
    torch = pytest.importorskip("torch")
    from pigmm.datasets import load_dataset
    from pigmm.network import Stack, batch_order, initial_weights

    threads = torch.get_num_threads()
    torch.set_num_threads(1)
    data = load_dataset("digits")
    config = EnsembleConfig(
        dataset="digits", hidden=(16, 16), runs=groups * runs, epochs=epochs, learning_rate=0.02, batch_size=20
    )
    stack = Stack(
        config.shapes, [initial_weights(config, r) for r in range(groups * runs)], levels=data.levels,
        learning_rate=config.learning_rate, weight_decay=0.0,
    )  # fmt: skip
    train, test = Stack.hold(data.train_images, data.train_labels), Stack.hold(data.test_images, data.test_labels)
    shared = np.arange(groups * runs) < groups // 2 * runs
    losses, accuracies = [], []
    for epoch in range(epochs):
        numbers = np.where(shared, 10**6 + np.arange(groups * runs) // runs, np.arange(groups * runs))
        orders = np.stack([batch_order(config, int(number), epoch, len(train[1])) for number in numbers])
        losses.append(stack.epoch(*train, orders, config.batch_size))
        accuracies.append(stack.evaluate(*test)[0])
    weights = stack.matrices()[1:]
    features = audit.matrix_features(weights[0], "L1") | audit.matrix_features(weights[1], "L2", labelled=True)
    for name, curves in (("loss", losses), ("accuracy", accuracies)):
        features |= {f"{name} {epoch}": curve for epoch, curve in enumerate(curves, 1)}
    torch.set_num_threads(threads)

    def part(g):
        chosen = slice(g * runs, (g + 1) * runs)
        return {
            "features": {name: x[chosen] for name, x in features.items()},
            "weights": [w[chosen] for w in weights],
            "accuracy": np.stack(accuracies, axis=1)[chosen],
        }

    return [part(g) for g in range(groups)]


def test_two_ensembles_with_a_shared_order_each_differ_and_independent_ones_do_not():
    shared, other, independent, second = (part["features"] for part in ensembles())
    assert audit.same_law(shared, other).pvalue < 0.005
    assert audit.same_law(independent, second).pvalue > 0.01


def test_a_shared_order_makes_the_mean_curve_jump():
    shared, other, independent, second = (audit.jumps(part["accuracy"][:, 1:], degree=4).pvalue for part in ensembles())
    assert audit.cauchy([shared, other]) < 1e-4
    assert min(independent, second) > 0.01


def test_one_snapshot_of_one_ensemble_cannot_show_a_shared_order():
    """Given the order, runs are independent: a test that rejected here would reject sound ensembles as well."""
    for part in ensembles()[:2]:
        assert audit.correlations(part["weights"], permutations=99).pvalue > 0.01
        assert audit.run_order(part["features"], permutations=199).pvalue > 0.01


def test_workers_that_share_an_order_are_found_in_one_ensemble():
    shared, other, *_ = (part["features"] for part in ensembles())
    both = {name: np.concatenate([x, other[name]]) for name, x in shared.items()}
    assert audit.run_order(both, blocks=(50,), permutations=199).pvalue <= 0.005


# ---- many epochs


def test_jumps_have_their_size_for_skewed_wandering_curves_and_ignore_polynomials():
    pvalues, t = [], np.linspace(0, 1, 12)
    for k in range(300):
        wander = np.cumsum(np.random.default_rng([13, k]).exponential(size=(80, 12)), axis=1)
        curves = wander + 100 * t**5 - 30 * t**2
        pvalues.append(audit.jumps(curves).pvalue)
    assert_size(pvalues)
    assert audit.jumps(curves + 100 * t**9, degree=5).pvalue < 1e-6
    assert audit.jumps({"a": curves, "b": 1e-30 * curves}).values == pytest.approx([audit.jumps(curves).values[0]] * 2)


def wandering(seed, epochs=5, runs=50, D=5):
    """Snapshots of one training: each the one before plus a little, heavy-tailed."""
    rng = np.random.default_rng(seed)
    steps = [rng.normal(size=(runs, D, D)), *(0.4 * rng.standard_t(4, size=(epochs - 1, runs, D, D)))]
    return np.cumsum(steps, axis=0)


def test_symmetry_of_correlated_snapshots_has_its_size():
    pvalues = []
    for k in range(50):
        snapshots = wandering([14, k], epochs=2, runs=24, D=4)
        pvalues.append(audit.symmetry_of_snapshots(snapshots, permutations=99, seed=k).pvalue)
    assert_size(pvalues)


def test_symmetry_of_snapshots_permutes_alike_at_all_epochs():
    W = wandering(16, epochs=1)[0]
    found = audit.symmetry_of_snapshots([W, W, 2 * W], permutations=99, seed=3)
    assert found.pvalue == found.pvalues[0] == found.pvalues[2]  # one snapshot thrice says no more than once
    alone = audit.symmetry_of_snapshots([W], permutations=99, seed=3)
    assert alone.pvalue == found.pvalue
    T2 = [audit._hotelling(y) for y in randomised_contrasts(W, 99, 3000)]
    assert alone.pvalue == (1 + np.sum(np.array(T2) >= symmetry_test(W, permutations=0).f)) / 100


def test_symmetry_of_snapshots_finds_one_broken_layer_at_one_epoch():
    W = wandering(17, epochs=4, runs=200)
    W[2] += 0.5 * np.eye(5)
    found = audit.symmetry_of_snapshots({"L1": wandering(18, epochs=4, runs=200), "L2": W}, permutations=99)
    assert (found.pvalue, found.names[found.worst]) == (0.01, "snapshot 2, L2")


def test_cauchy_joins_correlated_p_values():
    rng, joint = np.random.default_rng(19), []
    for _ in range(1000):
        z = np.cumsum(rng.normal(size=40)) / np.sqrt(np.arange(1, 41))  # a wandering z score
        joint.append(audit.cauchy(2 * stats.norm.sf(np.abs(z))))
    assert np.mean(np.array(joint) <= 0.05) < 0.05 + 3 * np.sqrt(0.05 * 0.95 / 1000)
    assert np.mean(np.array(joint) <= 0.05) > 0.02
    assert audit.cauchy([1e-200, 1, 0.7]) == pytest.approx(3e-200)
    assert audit.cauchy([0.0, 0.5]) < 1e-290


# ---- archives


def test_an_archive_is_audited_as_a_whole():
    archive = synthetic_archive()
    report = audit.audit(archive, permutations=99)
    table = report.table.set_index("check")
    assert {"two halves, epoch 3", "weights of runs overlap, epoch 0", "eight nulls, all epochs"} <= set(table.index)
    assert report.pvalue == min(1, len(table) * table["p"].min())
    through = audit.symmetry_through_training(archive)
    assert through.names[4] == "epoch 1, L2"
    assert through.pvalues[4] == archive.orbit_test(1, 1).pvalue  # with 60 runs
    many = load("mnist-gaussian")
    assert audit.symmetry_through_training(many, [0, 3]).pvalues[3] == many.symmetry(3, 0).p_f
    assert through.pvalue == audit.cauchy(through.pvalues)
    np.testing.assert_allclose(through.expected, 8)
    assert len(audit.symmetry_through_training(archive, epochs=[1, 3]).names) == 6


def test_neurons_of_a_recurrent_matrix_are_relabelled_together(monkeypatch):
    asked = {}

    def remember(network, **options):
        asked[len(asked)] = (len(network), options["relabel"])
        raise PigmmError.of("enough")

    monkeypatch.setattr(audit, "correlations", remember)
    for archive in (synthetic_archive(), load("digits-recurrent")):
        with pytest.raises(PigmmError, match="enough"):
            audit.audit(archive, epochs=[-1])
    assert list(asked.values()) == [(3, "separate"), (1, "shared")]
    assert audit._separate(load("digits-recurrent")) == [1]  # the output matrix alone
    assert audit._separate(synthetic_archive()) == [0, 1, 2]


def test_features_of_an_archive_belong_to_their_epoch():
    archive = synthetic_archive()
    last, first = audit.features(archive), audit.features(archive, 0)
    np.testing.assert_array_equal(last["loss"], archive.loss[:, 2])
    np.testing.assert_array_equal(audit.features(archive, 1)["loss"], archive.loss[:, 0])
    np.testing.assert_array_equal(audit.features(archive, -3)["loss"], archive.loss[:, 0])
    assert "loss" not in first
    np.testing.assert_array_equal(first["accuracy"], archive.test_accuracy[:, 0])
    W = archive.weights(3, 2)
    np.testing.assert_allclose(last["L3 row 4"], W[:, 4].mean(axis=1))
    assert last["L3 rows"].mean() == pytest.approx(TwoSidedGaussian.fit(W).parameters[2])


def test_a_doubled_run_in_an_archive_is_found():
    archive = synthetic_archive()
    W = [archive.weights(0, k) for k in range(3)]
    for w in W:
        w[33] = w[12]
    found = audit.correlations(W, permutations=99)
    assert (found.pvalue, found.names[found.worst]) == (0.01, "largest overlap")


NORMAL = np.random.default_rng(20).normal(size=(20, 5, 5))
BAD = [
    (lambda: audit.correlations(NORMAL[:7]), "too few"),
    (lambda: audit.correlations(NORMAL * np.nan), "NaN"),
    (lambda: audit.correlations([NORMAL, NORMAL[:, :, :4]]), "consecutive"),
    (lambda: audit.correlations([NORMAL, NORMAL[:19]]), "as many"),
    (lambda: audit.correlations(NORMAL[:, :4], relabel="shared"), "square"),
    (lambda: audit.correlations(NORMAL, relabel="both"), "separate"),
    (lambda: audit.correlations(np.ones((20, 5, 5))), "all columns equal"),
    (lambda: audit.correlations(NORMAL, lags=(11,)), "half of the runs"),
    (lambda: audit.correlations(NORMAL, blocks=(1,)), "from 2"),
    (lambda: audit.correlations(NORMAL, permutations=50), "at least 99"),
    (lambda: audit.correlations(NORMAL, seed=-1), "seed"),
    (lambda: audit.run_order(NORMAL), "shape"),
    (lambda: audit.run_order({"a": ["x"] * 20}), "real numbers"),
    (lambda: audit.run_order({}), "features"),
    (lambda: audit.same_law({"a": np.ones(9)}, {"b": np.ones(9)}), "different ones"),
    (lambda: audit.same_law(np.full((9, 2), np.inf), np.ones((9, 2))), "finite"),
    (lambda: audit.jumps(np.ones((20, 7))), "8 epochs"),
    (lambda: audit.jumps(np.random.default_rng(0).normal(size=(20, 30))), "twice"),
    (lambda: audit.jumps(np.ones((50, 12))), "do not vary"),
    (lambda: audit.jumps(NORMAL[:, 0], degree=-1), "degree"),
    (lambda: audit.symmetry_of_snapshots(NORMAL), "epochs, R"),
    (lambda: audit.symmetry_of_snapshots({"a": [NORMAL], "b": [NORMAL[:15]]}), "the same runs"),
    (lambda: audit.symmetry_through_training(synthetic_archive(), epochs=[]), "epochs"),
    (lambda: audit.cauchy([]), "0 to 1"),
    (lambda: audit.cauchy([0.5, 1.5]), "0 to 1"),
    (lambda: audit.features(synthetic_archive(), 4), "from 0 to 3"),
    (lambda: audit.audit(synthetic_archive(), epochs=[9]), "from 0 to 3"),
]


@pytest.mark.parametrize(("call", "word"), BAD)
def test_bad_input_is_named(call, word):
    with pytest.raises(PigmmError, match=word):
        call()


def test_features_without_variety_are_no_evidence():
    found = audit.same_law(np.ones((9, 2)), np.ones((9, 2)), permutations=99)
    assert found.pvalue == 1
    assert audit.run_order(np.ones((30, 2)), permutations=99).pvalue == 1


def test_backends_chunks_and_seeds_train_one_law(tmp_path):
    """Torch and the compiled kernel, in other chunks and with adjacent seeds; other starts are noticed."""

    def ensemble(runs=60, **options):
        settings = {"seed": options.pop("seed", 0), "init": options.pop("init", "gaussian")}
        config = EnsembleConfig(runs=runs, epochs=3, learning_rate=0.01, **settings)
        return train(config, workers=1, progress=False, checkpoint_dir=tmp_path, **options)

    reference = audit.features(ensemble(backend="torch", chunk=60))
    for other in (
        ensemble(backend="torch", chunk=7, seed=1),
        ensemble(backend="compiled", chunk=60, seed=2),
        ensemble(backend="compiled", chunk=13, seed=3),
    ):
        assert audit.same_law(reference, audit.features(other)).pvalue > 0.005
    assert audit.same_law(reference, audit.features(ensemble(init="uniform", backend="compiled"))).pvalue < 0.005


def test_arguments_of_the_audit_are_checked():
    archive = synthetic_archive()
    for call, word in (
        (lambda: audit.audit("digits"), "an Archive"), (lambda: audit.features(None), "an Archive"),
        (lambda: audit.audit(archive, epochs=5), "epochs"), (lambda: audit.audit(archive, lags=0), "lags"),
        (lambda: audit.audit(archive, lags=[], blocks=[]), "lags and blocks"),
        (lambda: audit.audit(archive, blocks=["a"]), "blocks"),
        (lambda: audit.audit(archive, permutations=None), "permutations"), (lambda: audit.jumps({}), "curves"),
        (lambda: audit.symmetry_through_training(archive, []), "epochs"),
        (lambda: audit.audit(synthetic_archive(runs=12)), "at least 16"),
    ):  # fmt: skip
        with pytest.raises(PigmmError, match=word):
            call()
