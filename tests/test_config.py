"""EnsembleConfig: every field is checked, and the digest names the ensemble."""

import dataclasses
import json
import subprocess
import sys

import numpy as np
import pytest

from pigmm import EnsembleConfig, PigmmError


@pytest.mark.parametrize(
    ("field", "value", "words"),
    [
        ("dataset", "mnst", ["dataset", "mnst", "Did you mean 'mnist'?"]),
        ("dataset", 3, ["dataset", "3", "cifar10"]),
        ("dataset", ["mnist"], ["dataset", "cifar10"]),
        ("init", "gausian", ["init", "Did you mean 'gaussian'?"]),
        ("init", None, ["init", "uniform"]),
        ("hidden", (10,), ["hidden", "(10,)", "no hidden-to-hidden matrix"]),
        ("hidden", (), ["hidden", "at least two"]),
        ("hidden", 10, ["hidden", "10", "at least two"]),
        ("hidden", "ab", ["hidden", "at least two"]),
        ("hidden", (10, 0), ["hidden", "(10, 0)"]),
        ("hidden", (10, 10.0), ["hidden", "10.0"]),
        ("hidden", (10, True), ["hidden", "True"]),
        ("weight_decay", -0.1, ["weight_decay", "-0.1", ">= 0"]),
        ("weight_decay", float("nan"), ["weight_decay", "nan"]),
        ("weight_decay", float("inf"), ["weight_decay", "inf"]),
        ("weight_decay", "0.1", ["weight_decay", "'0.1'"]),
        ("learning_rate", 0, ["learning_rate", "> 0"]),
        ("learning_rate", -1e-3, ["learning_rate", "-0.001"]),
        ("learning_rate", float("nan"), ["learning_rate", "nan"]),
        ("learning_rate", 1j, ["learning_rate", "finite number"]),
        ("learning_rate", True, ["learning_rate", "True"]),
        ("runs", 1, ["runs", "1", "at least 2"]),
        ("runs", 10.0, ["runs", "10.0", "integer"]),
        ("runs", True, ["runs", "True"]),
        ("runs", "10", ["runs", "'10'"]),
        ("epochs", True, ["epochs", "True"]),
        ("epochs", 0, ["epochs", "0", "at least 1"]),
        ("batch_size", 0, ["batch_size", "at least 1"]),
        ("seed", -1, ["seed", "-1", "at least 0"]),
        ("seed", 1.5, ["seed", "1.5"]),
        ("first_run", -1, ["first_run", "at least 0"]),
        ("architecture", "reccurent", ["architecture", "Did you mean 'recurrent'?"]),
        ("architecture", None, ["architecture", "'mlp', 'recurrent', 'residual'"]),
    ],
)
def test_bad_values_are_named(field, value, words):
    with pytest.raises(PigmmError) as caught:
        EnsembleConfig(**{field: value})
    for word in words:
        assert word in str(caught.value)


def test_values_are_normalised():
    config = EnsembleConfig(
        hidden=[np.int64(5), 6], runs=np.int32(7), weight_decay=0, learning_rate=np.float32(0.5), seed=np.uint8(3)
    )
    assert config == EnsembleConfig(hidden=(5, 6), runs=7, weight_decay=0.0, learning_rate=0.5, seed=3)
    assert [type(value) for value in (*config.hidden, config.runs, config.seed)] == [int] * 4
    assert type(config.weight_decay) is float
    assert hash(config) == hash(EnsembleConfig(hidden=(5, 6), runs=7, learning_rate=0.5, seed=3))
    json.dumps(config.to_dict())


def test_it_is_frozen():
    with pytest.raises(dataclasses.FrozenInstanceError):
        EnsembleConfig().runs = 3


def test_shapes():
    config = EnsembleConfig(dataset="cifar10", hidden=(10, 20, 20, 10))
    assert config.layer_sizes == (3072, 10, 20, 20, 10, 10)
    assert config.shapes == ((10, 3072), (20, 10), (20, 20), (10, 20), (10, 10))
    assert config.studied_shapes == config.shapes[1:]
    assert config.square_layers == (1, 3)
    assert EnsembleConfig(runs=3, first_run=4).run_numbers == range(4, 7)


def test_digest_is_stable_and_tells_every_field_apart():
    base = EnsembleConfig()
    # Written down once: a change here means that nobody finds an earlier archive or checkpoint again.
    assert base.digest() == "0efdef38be72055f"
    other = {
        "dataset": "mnist", "hidden": (10, 10), "init": "uniform", "weight_decay": 0.01, "runs": 999, "epochs": 49,
        "batch_size": 99, "learning_rate": 2e-3, "seed": 1, "first_run": 1, "architecture": "residual",
    }  # fmt: skip
    assert set(other) == {field.name for field in dataclasses.fields(EnsembleConfig)}
    digests = {dataclasses.replace(base, **{name: value}).digest() for name, value in other.items()}
    assert len(digests | {base.digest()}) == len(other) + 1
    assert EnsembleConfig(weight_decay=-0.0).digest() == base.digest()


def test_an_mlp_is_named_as_before_there_were_other_architectures():
    published = EnsembleConfig(dataset="mnist", runs=800)
    assert published.digest() == "fe2548b73d8e035a"
    assert published.to_dict().keys() == {field.name for field in dataclasses.fields(published)} - {"architecture"}
    assert EnsembleConfig(architecture="mlp").digest() == "0efdef38be72055f"
    assert EnsembleConfig(architecture="residual").to_dict()["architecture"] == "residual"


def test_shapes_of_networks_with_the_same_neurons_on_both_sides():
    residual = EnsembleConfig(architecture="residual", dataset="mnist", hidden=(7, 7, 7))
    assert residual.shapes == ((7, 784), (7, 7), (7, 7), (10, 7))
    assert (residual.square_layers, residual.steps) == ((0, 1), 1)
    for dataset, row in (("digits", 8), ("mnist", 28), ("fashion-mnist", 28)):
        recurrent = EnsembleConfig(architecture="recurrent", dataset=dataset, hidden=(6, 6))
        assert recurrent.layer_sizes == (row, 6, 6, 10)
        assert recurrent.studied_shapes == ((6, 6), (10, 6))
        assert recurrent.steps == row  # square images
    assert recurrent.networks == "recurrent networks 28-6-6-10"
    assert EnsembleConfig(hidden=(5, 6)).networks == "networks 64-5-6-10"


@pytest.mark.parametrize(
    ("values", "words"),
    [
        ({"architecture": "residual", "hidden": (10, 10, 9)}, ["residual", "(10, 10, 9)", "equal widths"]),
        ({"architecture": "residual", "hidden": (10,)}, ["hidden", "at least two"]),
        ({"architecture": "recurrent", "hidden": (10, 10, 10)}, ["recurrent", "(10, 10, 10)", "twice the same"]),
        ({"architecture": "recurrent", "hidden": (10, 9)}, ["recurrent", "(10, 9)", "one hidden matrix"]),
        ({"architecture": "recurrent", "hidden": (9, 9), "dataset": "cifar10"}, ["cifar10", "'mnist'", "colour"]),
    ],
)
def test_an_architecture_refuses_what_it_cannot_be(values, words):
    with pytest.raises(PigmmError) as caught:
        EnsembleConfig(**values)
    for word in words:
        assert word in str(caught.value)


def test_dictionaries_go_both_ways_and_unknown_keys_are_refused():
    for config in (
        EnsembleConfig(dataset="mnist", hidden=(4, 5), seed=9), EnsembleConfig(architecture="recurrent", hidden=(4, 4))
    ):
        assert EnsembleConfig.from_dict(json.loads(json.dumps(config.to_dict()))) == config
    assert EnsembleConfig.from_dict({}) == EnsembleConfig()
    with pytest.raises(PigmmError, match="Did you mean 'epochs'"):
        EnsembleConfig.from_dict({"epoch": 3})
    with pytest.raises(PigmmError, match="mapping"):
        EnsembleConfig.from_dict([1])


def test_the_configuration_needs_no_torch():
    code = "import sys, pigmm; pigmm.EnsembleConfig(); sys.exit('torch' in sys.modules)"
    assert subprocess.run([sys.executable, "-c", code], check=False).returncode == 0
