"""The stacked kernel against a plain loop of torch.nn modules and torch.optim.Adam, one network at a time."""

import numpy as np
import pytest

torch = pytest.importorskip("torch")

from pigmm import EnsembleConfig  # noqa: E402
from pigmm.datasets import load_dataset  # noqa: E402
from pigmm.network import STACKS, batch_order, initial_weights  # noqa: E402


@pytest.fixture(scope="module")
def data():
    return load_dataset("digits")


@pytest.fixture(autouse=True)
def one_thread():
    threads = torch.get_num_threads()
    torch.set_num_threads(1)
    yield
    torch.set_num_threads(threads)


def batches(config, run, epoch, images):
    order = batch_order(config, run, epoch, images)
    return [order[a : a + config.batch_size] for a in range(0, images, config.batch_size)]


class Residual(torch.nn.Module):
    def __init__(self, inner):
        super().__init__()
        self.inner = inner

    def forward(self, x):
        return x + torch.relu(self.inner(x))


class Recurrent(torch.nn.Module):
    """torch's own recurrent layer, and its last state."""

    def __init__(self, row, width, dtype):
        super().__init__()
        self.rnn = torch.nn.RNN(row, width, nonlinearity="relu", bias=False, batch_first=True, dtype=dtype)

    def forward(self, x):
        return self.rnn(x.view(len(x), -1, self.rnn.input_size))[1][0]


def plain_model(config, dtype):
    """A network of torch.nn modules; its parameters are our matrices, in our order."""
    linear = [torch.nn.Linear(into, out, bias=False, dtype=dtype) for out, into in config.shapes]
    if config.architecture == "recurrent":
        return torch.nn.Sequential(Recurrent(*config.layer_sizes[:2], dtype), linear[-1])
    if config.architecture == "residual":
        return torch.nn.Sequential(linear[0], torch.nn.ReLU(), *map(Residual, linear[1:-1]), linear[-1])
    return torch.nn.Sequential(*[module for layer in linear for module in (layer, torch.nn.ReLU())][:-1])


def plain_networks(config, runs, data, dtype, steps):
    """Weights and losses of each network, trained by itself with autograd."""
    images = torch.tensor(data.train_images).to(dtype) * 2 / data.levels - 1
    labels = torch.tensor(data.train_labels)
    for run in runs:
        model = plain_model(config, dtype)
        with torch.no_grad():
            for parameter, start in zip(model.parameters(), initial_weights(config, run), strict=True):
                parameter.copy_(torch.tensor(start))
        adam = torch.optim.Adam(model.parameters(), lr=config.learning_rate, weight_decay=config.weight_decay)
        losses, batch_list = [], [b for e in range(9) for b in batches(config, run, e, len(images))][:steps]
        for batch in batch_list:
            adam.zero_grad()
            loss = torch.nn.functional.cross_entropy(model(images[batch]), labels[batch])
            loss.backward()
            adam.step()
            losses.append(loss.item())
        yield [parameter.detach().numpy() for parameter in model.parameters()], losses


def stack_of(config, networks, data, dtype=torch.float64):
    return STACKS[config.architecture](
        config.shapes, networks, levels=data.levels, learning_rate=config.learning_rate,
        weight_decay=config.weight_decay, dtype=dtype,
    )  # fmt: skip


def stacked_networks(config, runs, data, dtype, steps):
    stack = stack_of(config, [initial_weights(config, run) for run in runs], data, dtype)
    images, labels = torch.tensor(data.train_images), torch.tensor(data.train_labels)
    lists = [[b for e in range(9) for b in batches(config, run, e, len(images))][:steps] for run in runs]
    steps_of_all = [torch.tensor(np.stack(step)) for step in zip(*lists, strict=True)]
    losses = [stack.step(images, labels, index).numpy().copy() for index in steps_of_all]
    return stack, losses


CASES = [
    {"hidden": (10, 10, 10)},
    {"hidden": (10, 10, 10), "weight_decay": 0.01},
    {"hidden": (7, 12), "init": "uniform", "batch_size": 64},  # 1500 images: the last batch has 28
    {"hidden": (5, 5, 5, 5), "init": "uniform", "weight_decay": 0.01, "learning_rate": 1e-2},
    {"architecture": "residual", "hidden": (10, 10), "weight_decay": 0.01},
    {"architecture": "residual", "hidden": (6, 6, 6, 6), "batch_size": 64, "learning_rate": 1e-2},
    {"architecture": "recurrent", "hidden": (10, 10), "weight_decay": 0.01},
    {"architecture": "recurrent", "hidden": (7, 7), "batch_size": 64, "init": "uniform", "learning_rate": 1e-2},
]


@pytest.mark.parametrize("case", CASES)
def test_double_precision_agrees_tightly(data, case):
    config, runs = EnsembleConfig(**case), range(3, 8)
    stack, losses = stacked_networks(config, runs, data, torch.float64, 50)
    for k, (weights, plain_losses) in enumerate(plain_networks(config, runs, data, torch.float64, 50)):
        for ours, theirs in zip(stack.matrices(), weights, strict=True):
            np.testing.assert_allclose(ours[k], theirs, rtol=1e-9, atol=1e-11)
        np.testing.assert_allclose([loss[k].mean() for loss in losses], plain_losses, rtol=1e-10)


@pytest.mark.parametrize("case", CASES)
def test_single_precision_agrees_in_the_median(data, case):
    """A rounding may flip a ReLU and Adam amplifies it, so single runs may jump; the median run does not."""
    config, runs = EnsembleConfig(**case), range(15)
    stack, _ = stacked_networks(config, runs, data, torch.float32, 50)
    ours, deviations = stack.matrices(), []
    for k, (weights, _) in enumerate(plain_networks(config, runs, data, torch.float32, 50)):
        gap = max(np.linalg.norm(a[k] - b) / np.linalg.norm(b) for a, b in zip(ours, weights, strict=True))
        deviations.append(gap)
    assert np.median(deviations) < 1e-5


@pytest.mark.parametrize(
    ("architecture", "hidden"),
    [
        *(("mlp", hidden) for hidden in [(10, 10, 10), (3, 5), (40, 40), (17, 9, 33)]),
        *((name, (D, D)) for name in ("recurrent", "residual") for D in (3, 10, 17, 40)),
    ],
)
@pytest.mark.parametrize("batch_size", [100, 64])
def test_a_network_does_not_notice_its_neighbours(data, architecture, hidden, batch_size):
    config = EnsembleConfig(architecture=architecture, hidden=hidden, batch_size=batch_size)
    whole, losses = stacked_networks(config, range(11), data, torch.float32, 30)
    tests = torch.tensor(data.test_images), torch.tensor(data.test_labels)
    accuracy, dead = whole.evaluate(*tests)
    for runs in ([4], [9, 2], list(range(3, 10))):
        part, part_losses = stacked_networks(config, runs, data, torch.float32, 30)
        for ours, theirs in zip(part.matrices(), whole.matrices(), strict=True):
            np.testing.assert_array_equal(ours, theirs[runs])
        for ours, theirs in zip(part_losses, losses, strict=True):
            np.testing.assert_array_equal(ours, theirs[runs])
        np.testing.assert_array_equal(part.evaluate(*tests)[0], accuracy[runs])
        np.testing.assert_array_equal(part.evaluate(*tests)[1], dead[runs])


@pytest.mark.parametrize(("architecture", "hidden"), [("mlp", (6, 7)), ("recurrent", (6, 6)), ("residual", (6, 6))])
def test_a_stack_goes_on_from_its_state(data, architecture, hidden):
    config = EnsembleConfig(architecture=architecture, hidden=hidden, weight_decay=1e-3)
    images, labels = torch.tensor(data.train_images), torch.tensor(data.train_labels)
    whole, _ = stacked_networks(config, range(3), data, torch.float32, 12)
    half, _ = stacked_networks(config, range(3), data, torch.float32, 6)
    other, _ = stacked_networks(config, range(5, 8), data, torch.float32, 1)
    other.restore(half.state())
    for step in range(6, 12):
        other.step(images, labels, torch.tensor(np.stack([batches(config, run, 0, 1500)[step] for run in range(3)])))
    for ours, theirs in zip(other.matrices(), whole.matrices(), strict=True):
        np.testing.assert_array_equal(ours, theirs)


def test_accuracy_and_silent_units_against_numpy(data):
    config = EnsembleConfig(hidden=(6, 5, 4))
    networks = [initial_weights(config, run) for run in range(4)]
    rng = np.random.default_rng(0)
    images = rng.integers(9, 17, (1203, 64)).astype(np.uint8)  # 1203: not a multiple of the block of test images
    labels = rng.integers(0, 10, 1203)
    networks[1][0][[2, 4]] = -1.0  # every x = p/8 − 1 is positive, so these two units are silent
    networks[3][1][:] = -np.abs(networks[3][1])  # a whole silent layer: the next ones are silent, too
    stack = stack_of(config, networks, data)
    accuracy, dead = stack.evaluate(torch.tensor(images), torch.tensor(labels))
    for k, weights in enumerate(networks):
        values, silent = images / 8.0 - 1, []
        for matrix in weights[:-1]:
            values = np.maximum(values @ matrix.T.astype(float), 0)
            silent.append(int((values.max(0) == 0).sum()))
        assert accuracy[k] == np.mean((values @ weights[-1].T).argmax(1) == labels)
        assert dead[k].tolist() == silent
    assert dead[1, 0] >= 2
    assert dead[3, 1:].tolist() == [5, 4]


@pytest.fixture
def pictures():
    """Images of noise with a dark last row, and labels; 1203: not a multiple of the block of test images."""
    rng = np.random.default_rng(0)
    images = rng.integers(0, 17, (1203, 64)).astype(np.uint8)
    images[:, 56:] = 0
    return images, rng.integers(0, 10, len(images))


def assert_evaluates(config, networks, data, pictures, states_of):
    """Accuracy and silent units are those of ``states_of(matrices, x)``: a list of (images, units) by layer."""
    images, labels = pictures
    stack = stack_of(config, networks, data)
    accuracy, dead = stack.evaluate(torch.tensor(images), torch.tensor(labels))
    for k, network in enumerate(networks):
        *states, last = states_of([matrix.astype(float) for matrix in network[:-1]], images / 8.0 - 1)
        assert accuracy[k] == np.mean((last @ network[-1].T).argmax(1) == labels)
        assert dead[k].tolist() == [int((state.max(0) == 0).sum()) for state in (*states, last)]
    return dead.tolist()


def test_silent_units_of_a_residual_network(data, pictures):
    def states_of(matrices, x):
        states = [np.maximum(x @ matrices[0].T, 0)]
        for matrix in matrices[1:]:
            states.append(states[-1] + np.maximum(states[-1] @ matrix.T, 0))
        return states

    config = EnsembleConfig(architecture="residual", hidden=(6, 6, 6))
    networks = [initial_weights(config, run) for run in range(3)]
    for network in networks[1:]:
        network[0][[1, 4]] = 0.0  # silent in layer 1; from there on only a block can wake them
        network[1][1], network[2][1] = 0.5, 0.5
        network[1][4], network[2][4] = 0.0, 0.5
    networks[2][1][:] = -1.0  # a block that adds nothing does not make the network dead
    dead = assert_evaluates(config, networks, data, pictures, states_of)
    assert dead == [[0, 0, 0], [2, 1, 0], [2, 2, 0]]


def test_silent_units_of_a_recurrent_network(data, pictures):
    def states_of(matrices, x):
        states = [np.zeros((len(x), 6))]
        for row in np.split(x, 8, axis=1):
            states.append(np.maximum(row @ matrices[0].T + states[-1] @ matrices[1].T, 0))
        return [np.max(states, axis=0), states[-1]]

    config = EnsembleConfig(architecture="recurrent", hidden=(6, 6))
    networks = [initial_weights(config, run) for run in range(3)]
    for network in networks[1:]:
        network[0][:] = np.abs(network[0])  # a dark row silences all units that do not hear themselves
        network[1][:] = np.diag([0, 0, 0, 100, 100, 100])
    networks[2][0][[2, 3]] = 0.0
    dead = assert_evaluates(config, networks, data, pictures, states_of)
    assert dead[1:] == [[0, 3], [2, 4]]


@pytest.mark.parametrize(("architecture", "one_side"), [("mlp", True), ("recurrent", False), ("residual", False)])
def test_which_relabellings_commute_with_training(data, architecture, one_side):
    """Relabelled, then trained = trained, then relabelled: for P U, P W P^T, V P^T always; for P W alone, in an MLP.

    W joins hidden layer a to hidden layer b. With different neurons in a and b, each may be relabelled by itself.
    """
    config = EnsembleConfig(architecture=architecture, hidden=(8, 8), learning_rate=1e-2)
    order = np.random.default_rng(0).permutation(8)
    assert not np.array_equal(order, np.arange(8))

    def relabelled(network, into, out):
        U, W, V = network
        return [U[into], W[out][:, into], V[:, out]]

    def trained(networks):
        stack = stack_of(config, networks, data)
        images, labels = torch.tensor(data.train_images), torch.tensor(data.train_labels)
        for batch in batches(config, 0, 0, len(images)):
            stack.step(images, labels, torch.tensor(np.stack([batch] * len(networks))))
        return [[matrices[k] for matrices in stack.matrices()] for k in range(len(networks))]

    start, same = initial_weights(config, 0), np.arange(8)
    plain, both, outer = trained([start, relabelled(start, order, order), relabelled(start, same, order)])
    learnt = max(np.abs(ours - theirs).max() for ours, theirs in zip(plain, start, strict=True))
    assert learnt > 0.05
    for into, network, commutes in ((order, both, True), (same, outer, one_side)):
        pairs = zip(network, relabelled(plain, into, order), strict=True)
        gap = max(np.abs(ours - theirs).max() for ours, theirs in pairs)
        assert gap < 1e-10 if commutes else gap > 0.05


@pytest.mark.parametrize("init", ["gaussian", "uniform"])
def test_initial_weights_have_the_stated_law(init):
    config = EnsembleConfig(dataset="mnist", hidden=(10, 20), init=init)
    networks = [initial_weights(config, run) for run in range(50)]
    for layer, (_, into) in enumerate(config.shapes):
        scaled = np.stack([weights[layer] for weights in networks]).ravel() * np.sqrt(into)
        second, fourth = (1.0, 3.0) if init == "gaussian" else (1 / 3, 1 / 5)
        n = len(scaled)
        assert abs(scaled.mean()) < 5 * np.sqrt(second / n)
        assert abs((scaled**2).mean() - second) < 5 * np.sqrt((fourth - second**2) / n)
        assert (np.abs(scaled).max() <= 1 + 1e-6) == (init == "uniform")
        assert networks[0][layer].dtype == np.float32


def test_every_run_has_its_own_start_and_orders():
    config = EnsembleConfig()
    starts = {initial_weights(config, run)[1].tobytes() for run in range(200)}
    assert len(starts) == 200
    assert initial_weights(config, 7)[0].tobytes() == initial_weights(config, 7)[0].tobytes()
    orders = {batch_order(config, run, epoch, 1500).tobytes() for run in range(10) for epoch in range(10)}
    assert len(orders) == 100
    assert sorted(batch_order(config, 3, 4, 1500)) == list(range(1500))
    other = EnsembleConfig(seed=1)
    assert initial_weights(other, 0)[0].tobytes() != initial_weights(config, 0)[0].tobytes()
    assert batch_order(other, 0, 0, 1500).tobytes() != batch_order(config, 0, 0, 1500).tobytes()


def test_streams_are_the_documented_ones():
    """Written against numpy alone, so that anyone can repeat a network without this package."""
    start, *epochs = np.random.SeedSequence(entropy=5, spawn_key=(12,)).spawn(3)
    config = EnsembleConfig(seed=5)
    expected = np.random.default_rng(start).standard_normal((10, 64)) / 8
    np.testing.assert_array_equal(initial_weights(config, 12)[0], expected.astype(np.float32))
    for epoch, stream in enumerate(epochs):
        np.testing.assert_array_equal(
            batch_order(config, 12, epoch, 99), np.random.default_rng(stream).permutation(99)
        )
