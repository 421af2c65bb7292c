"""What may stand in the place of a trained matrix: samples of laws, and controls, each numbered as its network."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from .errors import PigmmError
from .graphs import bipartite_graphs
from .irreps import Array
from .mixture_fits import fit_mixture
from .mixtures import KINDS, ScaleMixture
from .models import GaussianMatrixModel, LabelledRowGaussian, SimpleGaussian, TwoSidedGaussian
from .response import deviations
from .streams import initial_weights
from .transplant import (
    accuracy,
    align_activations,
    align_weights,
    entrywise,
    hidden,
    match_activations,
    match_matrix,
    match_network,
    renumbered,
    rotated,
    shuffled,
    similarity,
)
from .whole_networks import Networks

__all__ = [
    "ALIGNED", "CONTROLS", "LAWS", "REFITTED", "Plan", "Replacements", "best_mixture", "digits", "layer_names",
    "layer_sets", "record", "replacements",
]  # fmt: skip

Job = tuple[tuple[int, ...], str, float]  # layers to replace, by what, and how far to go there

PATHS = (
    "Gaussian sample", "sample, matched", "other network", "other, matched", "other, aligned by activations",
    "own, before training",
)  # fmt: skip
KINDS_SHOWN = ("own + noise", *PATHS)
PLAIN = ("own", "no hidden matrix", "own + noise")
LAWS = ("independent weights", "5 parameters", "13 parameters", "labelled rows", "scale mixture")
CONTROLS = ("other network", "own, shuffled", "own singular values", "mean only", "zero matrix", "own, before training")
ALIGNED = (
    "sample, matched", "other, matched", "sample, aligned by weights", "other, aligned by weights",
    "sample, aligned by activations", "other, aligned by activations", "mean of aligned (weights)",
    "sample of aligned (weights)", "mean of aligned (activations)", "sample of aligned (activations)",
)  # fmt: skip
REFITTED = (
    "5 parameters", "independent weights", "own, before training", "own, shuffled", "other network",
    "other, aligned by activations",
)  # fmt: skip


@dataclass(frozen=True)
class Plan:
    """Seeds and sizes of an evaluation.

    Parameters
    ----------
    seed : of all samples and shuffles
    restarts : beginnings of a match of two matrices
    rounds : rounds of the alignment of an ensemble
    refits : networks, the first ones, whose last layer is fitted anew
    images : training images for that, and for matching activations (of which the first 500)
    noise : standard deviations of the noise added to own matrices, in units of that of the layer's weights
    steps : pieces of the straight line between own matrices and others
    """

    seed: int = 0
    restarts: int = 8
    rounds: int = 3
    refits: int = 200
    images: int = 2000
    noise: tuple[float, ...] = (0.05, 0.1, 0.2, 0.3, 0.5, 0.7, 1.0, 1.5)
    steps: int = 8

    def __post_init__(self) -> None:
        for name, least in (("seed", 0), ("restarts", 1), ("rounds", 1), ("refits", 1), ("images", 100), ("steps", 1)):
            value = getattr(self, name)
            if isinstance(value, bool) or not isinstance(value, int) or value < least:
                raise PigmmError.of(name, got=value, allowed=f"an integer of at least {least}")
        object.__setattr__(self, "noise", tuple(map(float, self.noise)))
        if not all(0 < level < 100 for level in self.noise):
            raise PigmmError.of("noise", got=self.noise, allowed="positive numbers below 100")


@dataclass(frozen=True, eq=False)
class Replacements:
    """Every matrix that may stand in for one of network r, in the numbering of network r; and what to try.

    ``made[condition][layer]`` is (R, M, N), as is ``own[layer]``; layer 0 is L1.
    """

    own: tuple[NDArray[np.float32], ...]
    made: dict[str, dict[int, NDArray[np.float32]]]
    jobs: list[Job]
    refits: list[Job]
    nats: list[dict[str, Any]]
    mixtures: dict[str, Any]

    def tail(self, r: int, job: Job) -> list[NDArray[np.float32]]:
        """The matrices behind the input layer of network r after the replacement."""
        layers, condition, fraction = job
        result = [W[r] for W in self.own]
        for k in layers:
            new = self.made[condition][k][r]
            result[k] = new if fraction == 1 else result[k] + np.float32(fraction) * (new - result[k])
        return result

    def similarities(self) -> list[dict[str, Any]]:
        """How far own matrices and whole replacements are apart: one record for each choice of layers and condition."""
        records = []
        for layers, condition, fraction in self.jobs:
            if not layers or fraction != 1:
                continue
            pairs = [(self.own[k], self.made[condition][k]) for k in layers]
            if len(pairs) == 1:
                found = similarity(*pairs[0])
            else:
                gap, norm = (sum((x.astype(float) ** 2).sum(axis=(1, 2)) for x in xs)
                             for xs in ([a - b for a, b in pairs], [a for a, _ in pairs]))  # fmt: skip
                found = {"distance": np.sqrt(gap[norm > 0] / norm[norm > 0])}
            record: dict[str, Any] = {"layers": layer_names(layers), "condition": condition}
            for name, values in found.items():
                values = values[np.isfinite(values)]  # nothing is far from a matrix of zeros in units of its norm
                record |= {name: digits(values.mean()), f"{name}_se": digits(values.std(ddof=1) / len(values) ** 0.5)}
            records.append(record)
        return records


def layer_sets(depth: int) -> list[tuple[int, ...]]:
    """Which of the studied layers are replaced together: each alone, all but the last, all.

    Examples
    --------
    >>> layer_sets(3), layer_sets(2)
    ([(0,), (1,), (2,), (0, 1), (0, 1, 2)], [(0,), (1,), (0, 1)])
    """
    sets = [(k,) for k in range(depth)] + [tuple(range(depth - 1)), tuple(range(depth))]
    return list(dict.fromkeys(sets))


def layer_names(layers: tuple[int, ...]) -> str:
    """Such as "L1+L2"; "none" for no layer."""
    return "+".join(f"L{k + 1}" for k in layers) or "none"


def best_mixture(W: Array) -> ScaleMixture:
    """The scale mixture (by matrix, row or column) that comes closest to the 43 cubic and quartic invariants."""
    graphs = bipartite_graphs(3) + bipartite_graphs(4)
    e, psi = deviations(W, graphs, TwoSidedGaussian.fit(W))
    se = psi.std(axis=0, ddof=1)
    laws = [fit_mixture(W, kind) for kind in KINDS]
    return min(laws, key=lambda law: float((((e - law.deviation(graphs)) / se) ** 2).mean()))


def replacements(networks: Networks, probe: NDArray, targets: NDArray, plan: Plan) -> Replacements:
    """Fit the laws, draw from them, match and align: all that :func:`evaluate_networks` will put in.

    ``probe`` (pixels, images) and ``targets`` are some training images and their labels.
    """
    config, first = networks.config, networks.matrices[0]
    own = [W.astype(np.float64) for W in networks.matrices[1:]]
    R, last = len(first), len(own) - 1
    rng = np.random.default_rng([plan.seed, int(config.digest(), 16)])

    def seed() -> int:
        return int(rng.integers(2**62))

    def drawn(laws: dict[int, Any]) -> dict[int, Array]:
        return {k: law.sample(R, seed=seed()) for k, law in laws.items()}

    def matched(given: dict[int, Array]) -> dict[int, Array]:
        result = {}
        for k, batch in given.items():
            rows = k < last  # those of the last layer are classes
            found = [match_matrix(own[k][r], batch[r], rows=rows, restarts=plan.restarts, seed=r) for r in range(R)]
            result[k] = np.array([W[p][:, q] for W, (p, q) in zip(batch, found, strict=True)])
        return result

    places = range(last + 1)
    five = {k: TwoSidedGaussian.fit(own[k]) for k in places}
    labelled = LabelledRowGaussian.fit(own[last])
    mixtures = {k: best_mixture(own[k]) for k in places}
    square = [k for k in places if own[k].shape[1] == own[k].shape[2] >= 4]
    made: dict[str, dict[int, Array]] = {
        "independent weights": drawn({k: SimpleGaussian.fit(own[k]) for k in places}),
        "5 parameters": drawn(five),
        "13 parameters": drawn({k: GaussianMatrixModel.fit(own[k]) for k in square}),
        "scale mixture": drawn(mixtures),
    }
    made["Gaussian sample"] = made["labelled rows"] = {**made["5 parameters"], **drawn({last: labelled})}
    made["sample, matched"] = matched(made["Gaussian sample"])
    other = {k: np.roll(own[k], -1, axis=0) for k in places}
    made |= {"other network": other, "other, matched": matched(other)}

    probe_500 = probe[:, :500]
    features = _activations(networks.matrices, probe_500)
    foreign = np.roll(first, -1, axis=0)  # the input layer that goes with a donor, also with a sampled one
    for donor, tail in (("other", other), ("sample", made["Gaussian sample"])):
        given: list[NDArray[Any]] = [foreign, *(tail[k] for k in places)]
        seen = _activations(given, probe_500)
        by_weights = [match_network(*([W[r] for W in m] for m in (networks.matrices, given))) for r in range(R)]
        by_values = [[match_activations(X[r], Y[r]) for X, Y in zip(features, seen, strict=True)] for r in range(R)]
        for name, found in (("weights", by_weights), ("activations", by_values)):
            orders = [np.array(layer) for layer in zip(*found, strict=True)]
            made[f"{donor}, aligned by {name}"] = dict(enumerate(renumbered(given[1:], orders)))

    start = [initial_weights(config, run)[1:] for run in config.run_numbers]
    made["own, before training"] = {k: np.array([W[k] for W in start], dtype=np.float64) for k in places}
    made["own, shuffled"] = {k: shuffled(own[k], seed()) for k in places}
    made["own singular values"] = {k: rotated(own[k], seed()) for k in places}
    means = {k: np.full(own[k].shape[1:], five[k].parameters[0]) for k in places}
    means[last] = np.repeat(labelled.mu[:, None], own[last].shape[2], axis=1)
    made["mean only"] = {k: np.broadcast_to(means[k], own[k].shape) for k in places}
    made["zero matrix"] = {k: np.zeros_like(own[k]) for k in places}
    made["own + noise"] = {k: own[k] + own[k].std() * rng.standard_normal(own[k].shape) for k in places}

    reference = int(np.argmax([accuracy(m, hidden([W], probe), targets) for W, *m in zip(first, *own, strict=True)]))
    sampled: list[NDArray[Any]] = [first, *(made["Gaussian sample"][k] for k in places)]
    alignments: dict[str, tuple[list[Any], list[Array]]] = {
        "none": ([np.tile(np.arange(W.shape[2]), (R, 1)) for W in own], own),
        "weights": (align_weights(networks.matrices, reference, plan.rounds), own),
        "activations": (align_activations(features, reference, plan.rounds), own),
        "weights, sampled networks": (align_weights(sampled, reference, plan.rounds), sampled[1:]),
        "activations, sampled networks": (
            align_activations(_activations(sampled, probe_500), reference, plan.rounds), sampled[1:]
        ),
    }  # fmt: skip
    law: dict[int, Any] = {k: labelled if k == last else five[k] for k in places}
    nats = []
    for name, (orders, given) in alignments.items():
        laws = [entrywise(W) for W in renumbered(given, orders)]
        back = [np.argsort(order, axis=1) for order in orders]
        for k, (W, (mean, sd)) in enumerate(zip(renumbered(given, orders), laws, strict=True)):
            density = -0.5 * (((W - mean) / sd) ** 2 + np.log(2 * np.pi * sd**2)).sum(axis=(1, 2))
            gain = density - law[k].log_likelihood(given[k])
            error = gain.std(ddof=1) / R**0.5
            nats.append({"layers": f"L{k + 1}", "alignment": name, "gain": digits(gain.mean()), "se": digits(error)})
        if name in ("weights", "activations"):
            made[f"mean of aligned ({name})"] = dict(enumerate(renumbered([mean for mean, _ in laws], back)))
            noisy = [mean + sd * rng.standard_normal(mean.shape) for mean, sd in laws]
            made[f"sample of aligned ({name})"] = dict(enumerate(renumbered(noisy, back)))

    small = {name: {k: np.asarray(W, np.float32) for k, W in layers.items()} for name, layers in made.items()}
    chosen = {f"L{k + 1}": {"kind": m.kind, "spread": digits(m.spread), "spread_error": digits(m.spread_error)}
              for k, m in mixtures.items()}  # fmt: skip
    jobs, refits = _jobs(small, last, plan)
    return Replacements(tuple(networks.matrices[1:]), small, jobs, refits, nats, chosen)


def _activations(matrices: Sequence[NDArray[Any]], probe: NDArray) -> list[NDArray[np.float32]]:
    """Activations of every hidden layer, each (R, neurons, images)."""
    layers: list[NDArray[np.float32]] = [np.array([hidden([W], probe) for W in matrices[0]])]
    for batch in matrices[1:-1]:
        layers.append(np.maximum(batch.astype(np.float32) @ layers[-1], 0))
    return layers


def _jobs(made: dict[str, dict[int, Any]], last: int, plan: Plan) -> tuple[list[Job], list[Job]]:
    sets = layer_sets(last + 1)
    jobs: list[Job] = [((), "own", 1.0)]
    refits: list[Job] = [((), "own", 1.0), ((), "no hidden matrix", 1.0)]
    for layers in sets:
        for condition, there in made.items():
            if not set(layers) <= set(there) or (condition == "labelled rows" and last not in layers):
                continue
            fractions = [1.0]
            if condition == "own + noise":
                fractions = list(plan.noise) + [1.0] * (1.0 not in plan.noise)
            elif condition in PATHS:
                fractions = [step / plan.steps for step in range(1, plan.steps + 1)]
            jobs += [(layers, condition, fraction) for fraction in fractions]
        if last not in layers:
            refits += [(layers, condition, 1.0) for condition in REFITTED]
    return jobs, refits


def record(job: Job) -> dict[str, Any]:
    """What a job is, as it stands in the results."""
    return {"layers": layer_names(job[0]), "condition": job[1], "fraction": job[2]}


def digits(value: float) -> float:
    """Rounded to six significant digits, for JSON."""
    return float(f"{float(value):.6g}")
