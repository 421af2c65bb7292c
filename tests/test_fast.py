"""The compiled kernel against torch.nn with torch.optim.Adam, against numpy, and against the stacks of torch."""

import itertools
import subprocess
import sys

import numpy as np
import pytest

torch = pytest.importorskip("torch")
pytest.importorskip("numba")

from pigmm import EnsembleConfig, PigmmError, train  # noqa: E402
from pigmm.datasets import load_dataset  # noqa: E402
from pigmm.fast import FastStack  # noqa: E402
from pigmm.network import Stack, batch_order, initial_weights  # noqa: E402


@pytest.fixture(scope="module")
def data():
    return load_dataset("digits")


@pytest.fixture(autouse=True)
def one_thread():
    threads = torch.get_num_threads()
    torch.set_num_threads(1)
    yield
    torch.set_num_threads(threads)


def problem(sizes, count, runs=3, levels=16, seed=0):
    """Shapes, networks, and images that are mostly background, with labels that can be learnt from them."""
    rng = np.random.default_rng(seed)
    shapes = [(out, into) for into, out in itertools.pairwise(sizes)]
    networks = [[rng.normal(size=shape) / np.sqrt(shape[1]) for shape in shapes] for _ in range(runs)]
    images = (rng.integers(1, levels + 1, (count, sizes[0])) * (rng.random((count, sizes[0])) < 0.3)).astype(np.uint8)
    labels = (images @ rng.normal(size=(sizes[0], sizes[-1]))).argmax(1)
    return shapes, networks, images, labels


def orders_of(runs, count, epochs, seed=0):
    rng = np.random.default_rng(seed)
    return [np.stack([rng.permutation(count) for _ in range(runs)]) for _ in range(epochs)]


def fast(shapes, networks, levels=16, learning_rate=1e-3, weight_decay=0.0, dtype=np.float64):
    return FastStack(
        shapes, networks, levels=levels, learning_rate=learning_rate, weight_decay=weight_decay, dtype=dtype
    )


def by_torch(networks, images, labels, orders, batch, levels=16, learning_rate=1e-3, weight_decay=0.0, dtype=None):
    """Each network trained by itself with autograd: its matrices, and its mean loss in every epoch."""
    dtype = dtype or torch.float64
    x, y = torch.tensor(images).to(dtype) * 2 / levels - 1, torch.tensor(labels)
    for run, start in enumerate(networks):
        layers = [torch.nn.Linear(*matrix.shape[::-1], bias=False, dtype=dtype) for matrix in start]
        for layer, matrix in zip(layers, start, strict=True):
            layer.weight.data = torch.tensor(matrix, dtype=dtype)
        model = torch.nn.Sequential(*[module for layer in layers for module in (layer, torch.nn.ReLU())][:-1])
        adam, losses = torch.optim.Adam(model.parameters(), lr=learning_rate, weight_decay=weight_decay), []
        for order in orders:
            total = 0.0
            for chosen in torch.tensor(order[run]).split(batch):
                adam.zero_grad()
                loss = torch.nn.functional.cross_entropy(model(x[chosen]), y[chosen])
                loss.backward()
                adam.step()
                total += loss.item() * len(chosen)
            losses.append(total / len(x))
        yield [layer.weight.detach().numpy() for layer in layers], losses


def assert_like_torch(shapes, networks, images, labels, batch, epochs, tolerance=1e-9, **options):
    orders = orders_of(len(networks), len(images), epochs)
    stack = fast(shapes, networks, **options)
    held = stack.hold(images, labels)
    losses = np.stack([stack.epoch(*held, order, batch) for order in orders], 1)
    ours = stack.matrices()
    for run, (matrices, expected) in enumerate(by_torch(networks, images, labels, orders, batch, **options)):
        np.testing.assert_allclose(losses[run], expected, rtol=tolerance)
        for a, b in zip(ours, matrices, strict=True):
            assert np.linalg.norm(a[run] - b) <= tolerance * np.linalg.norm(b)
    return stack, losses


# ---- training


CASES = [  # layer sizes, images, batch; at least 50 steps with these epochs
    ((64, 10, 10, 10, 10), 500, 100, 12, {}),
    ((64, 10, 10, 10, 10), 500, 100, 12, {"weight_decay": 0.01}),
    ((50, 7, 12, 3), 300, 64, 12, {"learning_rate": 1e-2}),  # the last batch has 44
    ((30, 17, 33, 5, 10), 210, 37, 10, {"weight_decay": 0.1}),  # the last has 25
    ((64, 16, 32, 16), 160, 8, 3, {}),  # nothing to fill up
    ((64, 40, 40, 10), 200, 20, 6, {"weight_decay": 0.01}),
    ((20, 48, 65, 2), 100, 9, 5, {}),
    ((9, 1, 1, 2), 60, 1, 1, {"learning_rate": 1e-2}),
    ((12, 100, 3), 90, 1000, 55, {}),  # a batch larger than the data
    ((784, 10, 10, 10), 100, 25, 13, {"levels": 255}),
    ((30, 640, 640, 10), 100, 25, 13, {}),  # the widest of the published ensembles
]


@pytest.mark.parametrize("width", [10, 40, 640])
def test_relabelled_neurons_learn_relabelled_matrices(width):
    """P U, Q W P^T, V Q^T train to themselves: with exchangeable starts, the eight symmetry nulls are exact.

    A start that is not relabelled alike (W alone) ends elsewhere.
    """
    shapes, networks, images, labels = problem((30, width, width, 10), 100, runs=1)
    rng, start = np.random.default_rng(1), networks[0]
    P, Q = rng.permutation(width), rng.permutation(width)

    def relabelled(network):
        U, W, V = network
        return [U[P], W[Q][:, P], V[:, Q]]

    stack = fast(shapes, [start, relabelled(start), [start[0], start[1][Q][:, P], start[2]]])
    held, orders = stack.hold(images, labels), orders_of(1, len(images), 13)
    for order in orders:
        stack.epoch(*held, np.repeat(order, 3, axis=0), 25)
    plain, theirs, other = ([matrices[k] for matrices in stack.matrices()] for k in range(3))
    for ours, expected, elsewhere, first in zip(relabelled(plain), theirs, other, relabelled(start), strict=True):
        learnt = np.linalg.norm(ours - first)
        assert learnt > 0.01 * np.linalg.norm(first)
        assert np.linalg.norm(ours - expected) < 1e-9 * learnt
        assert np.linalg.norm(ours - elsewhere) > 0.1 * learnt


@pytest.mark.parametrize(("sizes", "count", "batch", "epochs", "options"), CASES)
def test_double_precision_agrees_tightly(sizes, count, batch, epochs, options):
    shapes, networks, images, labels = problem(sizes, count, levels=options.get("levels", 16))
    start = fast(shapes, networks).matrices()
    stack, losses = assert_like_torch(shapes, networks, images, labels, batch, epochs, **options)
    assert (losses[:, -1] < losses[:, 0]).all() or epochs == 1
    assert all(np.linalg.norm(a - b) > 1e-2 for a, b in zip(stack.matrices(), start, strict=True))


@pytest.mark.parametrize("hidden", [(10, 10, 10), (40, 40), (7, 33)])
def test_single_precision_agrees_in_the_median(data, hidden):
    """A rounding may flip a ReLU and Adam amplifies it, so single runs may jump; the median run does not."""
    config, runs, batch = EnsembleConfig(hidden=hidden), range(15), 30
    networks = [initial_weights(config, run) for run in runs]
    orders = [np.stack([batch_order(config, run, 0, 1500) for run in runs])]
    stack = fast(config.shapes, networks, dtype=np.float32)
    stack.epoch(*stack.hold(data.train_images, data.train_labels), orders[0], batch)
    ours, gaps = stack.matrices(), []
    plain = by_torch(networks, data.train_images, data.train_labels, orders, batch, dtype=torch.float32)
    for run, (theirs, _) in enumerate(plain):
        gaps.append(max(np.linalg.norm(a[run] - b) / np.linalg.norm(b) for a, b in zip(ours, theirs, strict=True)))
    assert ours[0].dtype == np.float32
    assert np.median(gaps) < 1e-5


def loss_by_numpy(matrices, images, labels, levels):
    """Mean of −log softmax(logits)[label]."""
    values = images.astype(float) * 2 / levels - 1
    for matrix in matrices[:-1]:
        values = np.maximum(values @ matrix.T, 0)
    logits = values @ matrices[-1].T
    top = logits.max(1, keepdims=True)
    return float(np.mean(np.log(np.exp(logits - top).sum(1)) + top[:, 0] - logits[np.arange(len(labels)), labels]))


def gradients(stack, held, order, batch):
    """Those of the first step, read off Adam's first moment, which is a tenth of them."""
    stack.epoch(*held, order, batch)
    stack.flat[...] = stack.mean * 10
    return stack.matrices()


@pytest.mark.parametrize("sizes", [(12, 5, 4, 3), (5, 18, 3), (6, 3, 34, 2)])
def test_gradient_by_finite_differences(sizes):
    shapes, networks, images, labels = problem(sizes, 20, runs=2)
    stack, order = fast(shapes, networks), np.stack([np.arange(20), np.arange(20)[::-1]])
    found = gradients(stack, stack.hold(images, labels), order, 20)
    for run, network in enumerate(networks):
        for layer, matrix in enumerate(network):
            for place in np.ndindex(matrix.shape):
                kept, ends = matrix[place], []
                for step in (1e-6, -1e-6):
                    matrix[place] = kept + step
                    ends.append(loss_by_numpy(network, images, labels, 16))
                matrix[place] = kept
                assert found[layer][run][place] == pytest.approx((ends[0] - ends[1]) / 2e-6, abs=1e-8)


# ---- loss and images at the edge


@pytest.mark.parametrize("dtype", [np.float32, np.float64])
@pytest.mark.parametrize("scale", [1e-3, 1.0, 30.0, 1e4])
def test_loss_and_gradient_of_small_and_large_logits(scale, dtype):
    shapes, networks, images, labels = problem((64, 10, 10, 10), 40)
    for network in networks:
        network[-1] *= scale
    stack, order = fast(shapes, networks, dtype=dtype), orders_of(3, 40, 1)[0]
    held = stack.hold(images, labels)
    losses = stack.epoch(*held, order, 40)
    expected = [loss_by_numpy(network, images, labels, 16) for network in networks]
    np.testing.assert_allclose(losses, expected, rtol=1e-5 if dtype == np.float32 else 1e-12)
    assert stack.finite().all()
    found = gradients(fast(shapes, networks, dtype=dtype), held, order, 40)
    for run, network in enumerate(networks):
        leaves = [torch.tensor(matrix, requires_grad=True) for matrix in network]
        values = torch.tensor(images).double() / 8 - 1
        for leaf in leaves[:-1]:
            values = torch.relu(values @ leaf.T)
        torch.nn.functional.cross_entropy(values @ leaves[-1].T, torch.tensor(labels)).backward()
        for ours, leaf in zip(found, leaves, strict=True):
            gap = np.linalg.norm(ours[run] - leaf.grad.numpy()) / np.linalg.norm(leaf.grad.numpy())
            assert gap < (1e-4 if dtype == np.float32 else 1e-11)


def lit(*pixels, width=23):
    image = np.zeros(width, np.uint8)
    image[list(pixels)] = np.arange(1, len(pixels) + 1)
    return image


@pytest.mark.parametrize("levels", [16, 255])
@pytest.mark.parametrize(
    "images",
    [
        [lit()] * 3,  # background
        [np.full(23, 255, np.uint8)] * 3,
        [lit(k) for k in range(23)],  # one pixel, pixel 0 among them
        [lit(*range(k)) for k in range(23)],  # records are filled up with pixel 0, which is lit here
        [lit(*range(k, 23)) for k in range(23)],
        [lit(), lit(0), lit(), lit(22), np.full(23, 255, np.uint8), lit()],
    ],
    ids=["background", "white", "one", "from the first", "to the last", "mixed"],
)
def test_images_and_labels_at_the_edge(images, levels):
    """White is 16 or 255; pixels above it are not forbidden."""
    shapes, networks, *_ = problem((23, 10, 18, 4), 1)
    labels = np.arange(len(images)) % 2 * 3  # the first and the last class
    assert_like_torch(shapes, networks, np.stack(images), labels, batch=4, epochs=20, levels=levels)


# ---- weights that are lost


@pytest.mark.parametrize("wrong", [np.nan, np.inf, -np.inf])
@pytest.mark.parametrize("layer", [0, 1, 2])
def test_a_lost_network_is_noticed_and_disturbs_no_other(wrong, layer):
    shapes, networks, images, labels = problem((20, 10, 33, 4), 50)
    order = orders_of(3, 50, 1)[0]
    clean = fast(shapes, networks, dtype=np.float32)
    held = clean.hold(images, labels)
    clean_losses = clean.epoch(*held, order, 16)
    networks[1][layer][-1, -1] = wrong
    stack = fast(shapes, networks, dtype=np.float32)
    assert stack.finite().tolist() == [True, False, True]
    losses = stack.epoch(*held, order, 16)
    assert stack.finite().tolist() == [True, False, True]
    np.testing.assert_array_equal(losses[[0, 2]], clean_losses[[0, 2]])
    for ours, theirs in zip(stack.matrices(), clean.matrices(), strict=True):
        np.testing.assert_array_equal(ours[[0, 2]], theirs[[0, 2]])


def test_divergence_is_noticed():
    shapes, networks, images, labels = problem((20, 10, 10, 4), 50)
    for matrices, rate in ((networks, 1e30), ([[m * 1e25 for m in network] for network in networks], 1e-3)):
        stack = fast(shapes, matrices, learning_rate=rate, dtype=np.float32)
        losses = stack.epoch(*stack.hold(images, labels), orders_of(3, 50, 1)[0], 10)
        assert not (stack.finite() & np.isfinite(losses)).any()


def test_a_sum_that_overflows_in_the_first_layer_is_noticed():
    """It is inf − inf in every neuron: a ReLU must not take it for zero."""
    shapes, networks, *_ = problem((20, 10, 10, 4), 1)
    for network in networks:
        network[0][:] = 3e38
    stack = fast(shapes, networks, dtype=np.float32)
    held = stack.hold(np.full((8, 20), 16, np.uint8), np.zeros(8, np.int64))
    assert not np.isfinite(stack.epoch(*held, orders_of(3, 8, 1)[0], 8)).any()


# ---- the same network anywhere, and the same as torch's stacks


@pytest.mark.parametrize("sizes", [(64, 10, 10, 10, 10), (64, 17, 40, 10), (30, 3, 160, 4)])
def test_a_network_does_not_notice_its_neighbours(sizes):
    shapes, networks, images, labels = problem(sizes, 230, runs=7)
    orders = orders_of(7, 230, 3)

    def result(runs):
        stack = fast(shapes, [networks[run] for run in runs], dtype=np.float32, weight_decay=1e-3)
        held = stack.hold(images, labels)
        losses = [stack.epoch(*held, order[runs], 100) for order in orders]
        return [*losses, *stack.matrices(), *stack.evaluate(*held)]

    whole = result(list(range(7)))
    for runs in ([0], [4], [6], [5, 2], [3, 1, 0, 6]):
        for ours, theirs in zip(result(runs), whole, strict=True):
            np.testing.assert_array_equal(ours, theirs[runs])


def test_a_stack_goes_on_from_its_state():
    shapes, networks, images, labels = problem((64, 10, 40, 10), 230)
    orders = orders_of(3, 230, 4)
    whole, other = (fast(shapes, n, dtype=np.float32, weight_decay=1e-3) for n in (networks, networks[::-1]))
    held = whole.hold(images, labels)
    for order in orders[:2]:
        whole.epoch(*held, order, 100)
    state = whole.state()
    other.epoch(*held, orders[3], 50)
    other.restore(state)
    for order in orders[2:]:
        np.testing.assert_array_equal(whole.epoch(*held, order, 100), other.epoch(*held, order, 100))
    assert whole.state()["step"] == 12
    for name, array in whole.state().items():
        np.testing.assert_array_equal(array, other.state()[name])
    assert not np.array_equal(state["flat"], whole.state()["flat"]), "the state is a copy"


@pytest.mark.parametrize("hidden", [(10, 10, 10), (17, 40)])
def test_the_same_as_a_stack_of_torch(data, hidden):
    config, runs = EnsembleConfig(hidden=hidden, weight_decay=0.01), range(4, 8)
    networks = [initial_weights(config, run) for run in runs]
    given = {"levels": data.levels, "learning_rate": config.learning_rate, "weight_decay": config.weight_decay}
    stacks = [
        FastStack(config.shapes, networks, **given, dtype=np.float64),
        Stack(config.shapes, networks, **given, dtype=torch.float64),
    ]
    losses, found = [], []
    for stack in stacks:
        held = stack.hold(data.train_images, data.train_labels)
        tests = stack.hold(data.test_images, data.test_labels)
        orders = [np.stack([batch_order(config, run, epoch, 1500) for run in runs]) for epoch in range(3)]
        losses.append([stack.epoch(*held, order, config.batch_size) for order in orders])
        found.append((stack.matrices(), *stack.evaluate(*tests)))
        assert stack.finite().all()
    np.testing.assert_allclose(*losses, rtol=1e-9)
    (ours, accuracy, silent), (theirs, expected_accuracy, expected_silent) = found
    for a, b in zip(ours, theirs, strict=True):
        np.testing.assert_allclose(a, b, rtol=1e-7, atol=1e-10)
    np.testing.assert_array_equal(accuracy, expected_accuracy)
    np.testing.assert_array_equal(silent, expected_silent)
    assert silent.shape == (4, len(hidden))


@pytest.mark.parametrize("count", [1, 200, 1203])  # test images go through in blocks of 200
def test_accuracy_and_silent_units_against_numpy(count):
    shapes, networks, images, labels = problem((64, 20, 5, 4, 3), count, runs=4)
    networks[1][0][[2, 17]] = 0.0  # silent units on both sides of a panel's edge
    networks[3][1][:] = -np.abs(networks[3][1])  # a silent layer, and so are the next
    stack = fast(shapes, networks)
    accuracy, silent = stack.evaluate(*stack.hold(images, labels))
    for run, matrices in enumerate(networks):
        values, expected = images / 8.0 - 1, []
        for matrix in matrices[:-1]:
            values = np.maximum(values @ matrix.T, 0)
            expected.append(int((values.max(0) == 0).sum()))
        assert accuracy[run] == np.mean((values @ matrices[-1].T).argmax(1) == labels)
        assert silent[run].tolist() == expected
    assert silent[1, 0] >= 2
    assert silent[3, 1:].tolist() == [5, 4]


# ---- as a backend


CONFIG = EnsembleConfig(runs=4, epochs=1)


@pytest.fixture
def trained(tmp_path):
    def call(backend, config=CONFIG, **options):
        return train(config, backend=backend, workers=1, progress=False, checkpoint_dir=tmp_path / backend, **options)

    return call


def test_the_backend_says_which_it_was_and_agrees_with_the_other(trained):
    compiled, by_stacks = trained("compiled"), trained("torch")
    assert compiled.provenance["backend"] == "compiled"
    assert by_stacks.provenance["backend"] == "torch"
    assert trained("auto").provenance["backend"] == "compiled"
    np.testing.assert_array_equal(compiled.weights(0, 0), by_stacks.weights(0, 0))  # the same starts
    gap = np.linalg.norm(compiled.weights(-1, 0) - by_stacks.weights(-1, 0), axis=(1, 2))
    moved = np.linalg.norm(compiled.weights(-1, 0) - compiled.weights(0, 0), axis=(1, 2))
    assert np.median(gap / moved) < 1e-4
    np.testing.assert_allclose(compiled.loss, by_stacks.loss, rtol=1e-3)


def test_without_a_compiler_torch_takes_over(trained, monkeypatch):
    monkeypatch.setitem(sys.modules, "numba", None)
    assert trained("auto").provenance["backend"] == "torch"
    with pytest.raises(PigmmError, match=r"'compiled' needs numba.*pigmm\[fast\].*backend='torch'"):
        trained("compiled")


def test_what_the_kernel_cannot_do_is_said(trained):
    controls = EnsembleConfig(architecture="recurrent", hidden=(10, 10), runs=2, epochs=1)
    assert trained("auto", controls).provenance["backend"] == "torch"
    with pytest.raises(PigmmError, match=r"recurrent network.*backend='auto'"):
        trained("compiled", controls)
    with pytest.raises(PigmmError, match="Did you mean 'compiled'"):
        trained("compild")
    with pytest.raises(PigmmError, match="'cpu'"):
        FastStack([(3, 4)], [], levels=16, learning_rate=1e-3, weight_decay=0.0, device="cuda")


def test_the_compiler_is_imported_only_to_train():
    code = "import sys, pigmm, pigmm.ensemble; sys.exit('numba' in sys.modules or 'llvmlite' in sys.modules)"
    assert subprocess.run([sys.executable, "-c", code], check=False).returncode == 0
