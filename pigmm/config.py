"""What an ensemble of trained networks is: one frozen, validated description with a digest."""

from __future__ import annotations

import contextlib
import hashlib
import json
import math
from collections.abc import Iterable, Mapping
from dataclasses import asdict, dataclass, fields
from numbers import Integral, Real
from typing import Any, NamedTuple

from pigmm.errors import PigmmError, nearest

__all__ = ["ARCHITECTURES", "DATASETS", "INITS", "EnsembleConfig", "Images"]


class Images(NamedTuple):
    """What is known of a dataset without opening a file.

    Parameters
    ----------
    inputs, classes : pixels of an image, and labels
    levels : the highest value of a pixel, from 0 on
    train, test : numbers of images
    loader : the function that reads them, such as ``"pigmm.datasets.read_idx"``
        Of the name and the data folder; it returns training images (n, inputs) as bytes, their labels, and the same
        for testing.
    row : pixels in a row where bytes run row by row, else 0
    share : of pixels above zero, for estimates of memory

    Examples
    --------
    >>> DATASETS["mnist"].inputs, DATASETS["mnist"].row
    (784, 28)
    """

    inputs: int
    classes: int
    levels: int
    train: int
    test: int
    loader: str
    row: int = 0
    share: float = 1.0


DATASETS = {
    "digits": Images(64, 10, 16, 1500, 297, "pigmm.datasets.read_digits", row=8, share=0.55),
    "mnist": Images(784, 10, 255, 60_000, 10_000, "pigmm.datasets.read_idx", row=28, share=0.2),
    "fashion-mnist": Images(784, 10, 255, 60_000, 10_000, "pigmm.datasets.read_idx", row=28),
    "cifar10": Images(3072, 10, 255, 50_000, 10_000, "pigmm.datasets.read_cifar"),  # its bytes come colour by colour
}
"""All datasets by name: the one place where they are written down."""

ARCHITECTURES = ("mlp", "recurrent", "residual")
"""``mlp``: different neurons on the two sides of every matrix; in the other two a hidden matrix W joins a layer to
itself.  ``residual``: h ← h + relu(W h).  ``recurrent``: h ← relu(W h + U x) for each row x of the image."""

INITS = ("gaussian", "uniform")
"""``gaussian`` draws N(0, 1/fan_in); ``uniform`` draws U(−1/√fan_in, 1/√fan_in), torch's own default."""


@dataclass(frozen=True)
class EnsembleConfig:
    """An ensemble of bias-free ReLU networks trained independently with Adam on cross-entropy.

    Two equal configurations train bit-identical ensembles on one machine. Run k of the ensemble is network
    ``first_run + k``: its initial weights and batch orders depend on that number and on ``seed`` alone.

    Parameters
    ----------
    dataset : "digits", "mnist", "fashion-mnist" or "cifar10"
    hidden : widths of the hidden layers, at least two (the studied matrices join hidden layers)
    init : "gaussian" for N(0, 1/fan_in), "uniform" for U(±1/√fan_in)
    weight_decay : L2 coefficient added to the gradient, as in ``torch.optim.Adam(weight_decay=…)``
    runs : number of networks, at least 2
    epochs : passes over the training images; snapshots are taken at epoch 0, 1, …, epochs
    batch_size : images per step; a smaller last batch is kept
    learning_rate : Adam's step size
    seed : seed of the whole ensemble
    first_run : number of the first network, to continue an ensemble where another one ends
    architecture : "mlp", "recurrent" or "residual"
        A residual network has h_1 = relu(U x), h_{l+1} = h_l + relu(W_l h_l) and logits V h_L; all widths in `hidden`
        are equal.  A recurrent one reads an image row by row, h_0 = 0, h_{t+1} = relu(W h_t + U x_t), logits V h_T;
        ``hidden=(D, D)`` names the two sides of its one hidden matrix W.

    Raises
    ------
    PigmmError
        If a value is not allowed; the message names the field and the values it may take.

    Examples
    --------
    >>> from pigmm import EnsembleConfig
    >>> config = EnsembleConfig(dataset="mnist", hidden=[40, 40], runs=100)
    >>> config.layer_sizes
    (784, 40, 40, 10)
    >>> config.studied_shapes          # (out, in) of each matrix behind the input layer
    ((40, 40), (10, 40))
    >>> config.square_layers
    (0,)
    >>> EnsembleConfig.from_dict(config.to_dict()) == config
    True
    >>> config.networks, config.steps, config.run_numbers, len(config.digest())
    ('networks 784-40-40-10', 1, range(0, 100), 16)
    >>> EnsembleConfig(architecture="recurrent", hidden=(12, 12)).shapes      # U, W, V
    ((12, 8), (12, 12), (10, 12))
    >>> EnsembleConfig(init="gausian")
    Traceback (most recent call last):
    ...
    pigmm.errors.PigmmError: init: got 'gausian'; allowed: 'gaussian', 'uniform'. Did you mean 'gaussian'?
    """

    dataset: str = "digits"
    hidden: tuple[int, ...] = (10, 10, 10)
    init: str = "gaussian"
    weight_decay: float = 0.0
    runs: int = 1000
    epochs: int = 50
    batch_size: int = 100
    learning_rate: float = 1e-3
    seed: int = 0
    first_run: int = 0
    architecture: str = "mlp"

    def __post_init__(self) -> None:
        # A frozen dataclass is filled through object.__setattr__; this normalises lists and numpy scalars.
        for name, value in {
            "dataset": _choice("dataset", self.dataset, DATASETS),
            "hidden": _widths(self.hidden),
            "init": _choice("init", self.init, INITS),
            "weight_decay": _number("weight_decay", self.weight_decay, zero=True),
            "runs": _integer("runs", self.runs, 2, "One run has no ensemble statistics."),
            "epochs": _integer("epochs", self.epochs, 1),
            "batch_size": _integer("batch_size", self.batch_size, 1),
            "learning_rate": _number("learning_rate", self.learning_rate, zero=False),
            "seed": _integer("seed", self.seed, 0),
            "first_run": _integer("first_run", self.first_run, 0),
            "architecture": _choice("architecture", self.architecture, ARCHITECTURES),
        }.items():
            object.__setattr__(self, name, value)
        if self.architecture != "mlp":
            _same_neurons(self)

    @property
    def layer_sizes(self) -> tuple[int, ...]:
        """Neurons of every layer, from inputs to classes; the inputs of a recurrent network are one row of pixels."""
        images = DATASETS[self.dataset]
        return (images.inputs // self.steps, *self.hidden, images.classes)

    @property
    def steps(self) -> int:
        """How many pieces an image is read in: the rows of the image for a recurrent network, else 1."""
        images = DATASETS[self.dataset]
        return images.inputs // images.row if self.architecture == "recurrent" else 1

    @property
    def networks(self) -> str:
        """What is trained, in words: ``networks 64-10-10-10``, ``recurrent networks 8-10-10-10``."""
        kind = "" if self.architecture == "mlp" else f"{self.architecture} "
        return f"{kind}networks {'-'.join(map(str, self.layer_sizes))}"

    @property
    def shapes(self) -> tuple[tuple[int, int], ...]:
        """(out, in) of every weight matrix, the input layer first."""
        sizes = self.layer_sizes
        return tuple(zip(sizes[1:], sizes[:-1], strict=True))

    @property
    def studied_shapes(self) -> tuple[tuple[int, int], ...]:
        """(out, in) of the studied matrices, from first-to-second hidden layer (0) to hidden-to-output."""
        return self.shapes[1:]

    @property
    def square_layers(self) -> tuple[int, ...]:
        """Indices of the studied matrices that are square."""
        return tuple(k for k, (out, into) in enumerate(self.studied_shapes) if out == into)

    @property
    def run_numbers(self) -> range:
        """Numbers of the networks of this ensemble."""
        return range(self.first_run, self.first_run + self.runs)

    def to_dict(self) -> dict[str, Any]:
        """Plain values, fit for JSON; no ``architecture`` means an MLP, as in archives older than that field."""
        values = {**asdict(self), "hidden": list(self.hidden)}
        if self.architecture == "mlp":
            del values["architecture"]
        return values

    def command(self) -> str:
        """The command line that trains this ensemble.

        Examples
        --------
        >>> EnsembleConfig(dataset="mnist", runs=800).command()
        'pigmm train --dataset mnist --runs 800'
        """
        given = []
        for field in fields(self):
            value = getattr(self, field.name)
            if value != field.default:
                text = ",".join(map(str, value)) if isinstance(value, tuple) else str(value)
                given.append(f"--{field.name.replace('_', '-')} {text}")
        return " ".join(["pigmm train", *given])

    @classmethod
    def from_dict(cls, values: Mapping[str, Any]) -> EnsembleConfig:
        """The inverse of :meth:`to_dict`: ``values`` left out take their defaults, unknown ones are refused."""
        if not isinstance(values, Mapping):
            raise PigmmError.of("config", got=values, allowed="a mapping of field names to values")
        known = [field.name for field in fields(cls)]
        for name in values:
            if name not in known:
                allowed = ", ".join(known)
                raise PigmmError.of("config", got=name, allowed=allowed, fix=nearest(name, known) or None)
        return cls(**values)

    def digest(self) -> str:
        """Sixteen hexadecimal digits that name this configuration (SHA-256 of its canonical JSON)."""
        text = json.dumps(self.to_dict(), sort_keys=True, separators=(",", ":"))
        return hashlib.sha256(text.encode()).hexdigest()[:16]


def _choice(what: str, value: Any, choices: Iterable[str]) -> str:
    if not isinstance(value, str) or value not in choices:
        allowed = ", ".join(repr(choice) for choice in choices)
        raise PigmmError.of(what, got=value, allowed=allowed, fix=nearest(value, choices) or None)
    return value


def _integer(what: str, value: Any, least: int, fix: str | None = None) -> int:
    if isinstance(value, bool) or not isinstance(value, Integral) or not least <= int(value) < 2**63:
        raise PigmmError.of(what, got=value, allowed=f"an integer of at least {least}", fix=fix)
    return int(value)


def _number(what: str, value: Any, *, zero: bool) -> float:
    number = math.nan
    if isinstance(value, Real) and not isinstance(value, bool):
        with contextlib.suppress(OverflowError):  # an integer too long for a float
            number = float(value)
    if not math.isfinite(number) or number < 0 or (number == 0 and not zero):
        raise PigmmError.of(what, got=value, allowed=f"a finite number {'>= 0' if zero else '> 0'}")
    return number + 0.0  # so that -0.0 and 0.0 have one digest


def _widths(value: Any) -> tuple[int, ...]:
    allowed = "at least two positive integers, such as (10, 10, 10)"
    if isinstance(value, str | bytes) or not isinstance(value, Iterable):
        raise PigmmError.of("hidden", got=value, allowed=allowed)
    widths = tuple(value)
    for width in widths:
        if isinstance(width, bool) or not isinstance(width, Integral) or width < 1:
            raise PigmmError.of("hidden", got=widths, allowed=allowed)
    if len(widths) < 2:
        fix = "A network with fewer hidden layers has no hidden-to-hidden matrix to study."
        raise PigmmError.of("hidden", got=widths, allowed=allowed, fix=fix)
    return tuple(int(width) for width in widths)


def _same_neurons(config: EnsembleConfig) -> None:
    """Refuse shapes in which a hidden matrix cannot join a layer to itself."""
    widths, name = config.hidden, f"hidden, of a {config.architecture} network"
    if config.architecture == "recurrent":
        if not DATASETS[config.dataset].row:
            by_row = [name for name, images in DATASETS.items() if images.row]
            raise PigmmError.of(
                "dataset, of a recurrent network", got=config.dataset, allowed=", ".join(map(repr, by_row)),
                fix="A recurrent network reads an image row by row; these images come colour by colour.",
            )  # fmt: skip
        if len(widths) != 2 or widths[0] != widths[1]:
            fix = "(D, D) names the two sides of its one hidden matrix."
            raise PigmmError.of(name, got=widths, allowed="twice the same width, such as (10, 10)", fix=fix)
    elif len(set(widths)) > 1:
        fix = "A block adds its output to its input, so all layers have one width."
        raise PigmmError.of(name, got=widths, allowed="equal widths, such as (10, 10, 10)", fix=fix)
