r"""What becomes of trained networks when matrices of theirs are replaced: by samples of fitted laws, and by controls.

The input layer stays.  Hidden matrices L1, L2, ... are replaced one at a time, all but the last together, and all
together; then the test images are counted.  Every replacement is an ensemble of matrices, one for each network, in the
numbering of that network; ``own + t (replacement - own)`` leads there in a straight line.  No network is trained again
except where ``refits`` say so, and there the last layer alone, on the features that the replaced layers leave.

Donors: network r + 1 gives to network r, so each one gives once.  :func:`study` trains the networks and evaluates them,
saving as it goes; :func:`published` is the study of the MNIST ensembles that comes with the package.
"""

from __future__ import annotations

import datetime
import functools
import hashlib
import json
import multiprocessing
import os
import platform
from collections.abc import Callable, Iterable, Mapping, Sequence
from concurrent.futures import ProcessPoolExecutor
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import scipy
from numpy.typing import NDArray

from . import __version__
from .chunks import new_stack
from .config import EnsembleConfig
from .datasets import Dataset, load_dataset
from .ensemble import chosen_backend, split_runs
from .errors import PigmmError
from .graphs import bipartite_graphs
from .irreps import Array
from .mixture_fits import fit_mixture
from .mixtures import KINDS, ScaleMixture
from .models import GaussianMatrixModel, LabelledRowGaussian, SimpleGaussian, TwoSidedGaussian
from .response import deviations
from .storage import read_arrays, write_arrays, write_whole
from .streams import batch_order, initial_weights
from .tables import progressing, require_pandas
from .transplant import (
    accuracy,
    align_activations,
    align_weights,
    chance,
    entrywise,
    fit_readout,
    hidden,
    match_activations,
    match_matrix,
    match_network,
    renumbered,
    rotated,
    shuffled,
    similarity,
)
from .workers import one_thread, versions

if TYPE_CHECKING:
    import pandas as pd

__all__ = [
    "ALIGNED", "CONTROLS", "LAWS", "Networks", "Plan", "accuracies", "evaluate_networks", "opened", "published",
    "study", "table", "tables", "tolerance", "train_networks",
]  # fmt: skip

FORM_NETWORKS, FORM_COUNTS = "pigmm networks 1", "pigmm transplants 1"
BLOCK = 50  # networks evaluated, and trained, between two files
FEWEST = 20
SINGLE = ("own", "5 parameters", "labelled rows", "other, aligned by activations")
KEPT = 100  # networks whose own numbers are kept, for the conditions above


@dataclass(frozen=True, eq=False)
class Networks:
    """Whole networks after their last epoch: ``matrices[k]`` is (R, out, in), the input layer first, float32.

    Has the :attr:`config`, the :attr:`provenance` and the :meth:`weights` of an archive.
    """

    config: EnsembleConfig
    matrices: tuple[NDArray[np.float32], ...] = field(repr=False)
    provenance: dict[str, Any] = field(repr=False, default_factory=dict)

    def __post_init__(self) -> None:
        shapes = [(self.config.runs, *shape) for shape in self.config.shapes]
        given = [np.shape(W) for W in self.matrices]
        if given != shapes:
            raise PigmmError.of("matrices", got=f"shapes {given}", allowed=f"{shapes}, as the configuration says")
        if not all(np.isfinite(W).all() for W in self.matrices):
            raise PigmmError.of("matrices", got="numbers that are not finite", allowed="finite ones")

    def weights(self, epoch: int = -1, layer: int = 0) -> Array:
        """Matrices of one layer, (R, M, N), numbered like those of an archive; only the last epoch is there."""
        if epoch not in (-1, self.config.epochs):
            raise PigmmError.of("epoch", got=epoch, allowed=f"{self.config.epochs}, the last one")
        if not -1 <= layer < len(self.matrices) - 1:
            raise PigmmError.of("layer", got=layer, allowed=f"-1 (the input layer) to {len(self.matrices) - 2}")
        return self.matrices[layer + 1].astype(np.float64)

    def digest(self) -> str:
        """SHA-256 of all weights."""
        total = hashlib.sha256()
        for W in self.matrices:
            total.update(np.ascontiguousarray(W, np.float32).data)
        return total.hexdigest()


# ---- training


def train_networks(
    config: EnsembleConfig,
    *,
    folder: str | os.PathLike[str] | None = None,
    workers: int = 1,
    backend: str = "auto",
    progress: bool = False,
) -> Networks:
    """Train the networks of a configuration and keep them whole, as :func:`pigmm.train` does not.

    They are the same networks, bit for bit, as those whose statistics :func:`pigmm.train` collects with that backend.

    Parameters
    ----------
    config : EnsembleConfig, of architecture "mlp"
    folder : where blocks of 50 finished networks are kept; those already there are not trained again
    workers : processes, each on one thread
    backend : as for :func:`pigmm.train`
    progress : show a progress bar

    Examples
    --------
    >>> networks = train_networks(EnsembleConfig(dataset="digits", runs=2, epochs=1))
    >>> [W.shape for W in networks.matrices]
    [(2, 10, 64), (2, 10, 10), (2, 10, 10), (2, 10, 10)]
    """
    _checked(config, workers)
    chosen = chosen_backend(backend, config, "cpu")
    digest = load_dataset(config.dataset).digest
    identity = {"dataset_digest": digest, **versions(chosen["backend"]), **chosen}
    work = functools.partial(_trained, config, identity, None if folder is None else str(folder))
    blocks = split_runs(config.run_numbers, BLOCK)
    if workers == 1 or len(blocks) == 1:
        parts = list(progressing(map(work, blocks), len(blocks), progress, "training"))
    else:
        with ProcessPoolExecutor(workers, mp_context=multiprocessing.get_context("spawn")) as pool:
            parts = list(progressing(pool.map(work, blocks), len(blocks), progress, "training"))
    matrices = tuple(np.concatenate(layer) for layer in zip(*parts, strict=True))
    return Networks(config, matrices, {**identity, **_provenance()})


def _trained(
    config: EnsembleConfig, identity: dict[str, Any], folder: str | None, runs: range
) -> list[NDArray[np.float32]]:
    header = {"format": FORM_NETWORKS, "config": config.to_dict(), "runs": [runs.start, runs.stop], **identity}
    header["config"] |= {"runs": 0, "first_run": 0}  # a network is the same in any ensemble
    path = None if folder is None else Path(folder) / f"{config.digest()}-{runs.start}-{runs.stop}.npz"
    if path is not None and (kept := _kept(path, FORM_NETWORKS, header)) is not None:
        return [kept[f"matrix {place}"] for place in range(len(config.shapes))]
    data = load_dataset(config.dataset)
    with one_thread():
        stack = new_stack(config, runs, data.levels, "cpu", identity["backend"])
        held = stack.hold(data.train_images, data.train_labels, "cpu")
        for epoch in range(config.epochs):
            orders = [batch_order(config, run, epoch, len(data.train_labels)).astype(np.int32) for run in runs]
            losses = stack.epoch(*held, np.stack(orders), config.batch_size)
            lost = ~(stack.finite() & np.isfinite(losses))
            if lost.any():
                names = ", ".join(str(runs[k]) for k in np.flatnonzero(lost)[:10])
                fix = f"Use a learning_rate below {config.learning_rate:g}."
                raise PigmmError.of(f"training diverged in epoch {epoch + 1}: run {names}", fix=fix)
        matrices: list[NDArray[np.float32]] = [W.astype(np.float32) for W in stack.matrices()]
    if path is not None:
        write_arrays(path, header, {f"matrix {place}": W for place, W in enumerate(matrices)})
    return matrices


def _kept(path: Path, form: str, header: dict[str, Any]) -> dict[str, NDArray[Any]] | None:
    """Arrays of an earlier run of the same kind; None if there are none, or they are damaged or of another kind."""
    if not path.exists():
        return None
    try:
        found, arrays = read_arrays(path, form)
    except PigmmError:
        return None
    return arrays if found == header else None


def _checked(config: EnsembleConfig, workers: int) -> None:
    if not isinstance(config, EnsembleConfig) or config.architecture != "mlp":
        got = getattr(config, "architecture", config)
        raise PigmmError.of("config", got=got, allowed="an EnsembleConfig of architecture 'mlp'")
    if isinstance(workers, bool) or not isinstance(workers, int) or workers < 1:
        raise PigmmError.of("workers", got=workers, allowed="an integer of at least 1")


def _provenance() -> dict[str, str]:
    cores = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1
    return {
        "python": platform.python_version(), "numpy": np.__version__, "scipy": scipy.__version__,
        "package_version": __version__, "hardware": f"{platform.system()} {platform.machine()}, {cores} cores",
        "date": datetime.datetime.now(datetime.UTC).isoformat(timespec="seconds"),
    }  # fmt: skip


# ---- what stands in a matrix's place

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
                record |= {name: _digits(values.mean()), f"{name}_se": _digits(values.std(ddof=1) / len(values) ** 0.5)}
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
            nats.append({"layers": f"L{k + 1}", "alignment": name, "gain": _digits(gain.mean()), "se": _digits(error)})
        if name in ("weights", "activations"):
            made[f"mean of aligned ({name})"] = dict(enumerate(renumbered([mean for mean, _ in laws], back)))
            noisy = [mean + sd * rng.standard_normal(mean.shape) for mean, sd in laws]
            made[f"sample of aligned ({name})"] = dict(enumerate(renumbered(noisy, back)))

    small = {name: {k: np.asarray(W, np.float32) for k, W in layers.items()} for name, layers in made.items()}
    chosen = {f"L{k + 1}": {"kind": m.kind, "spread": _digits(m.spread), "spread_error": _digits(m.spread_error)}
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


def _record(job: Job) -> dict[str, Any]:
    return {"layers": layer_names(job[0]), "condition": job[1], "fraction": job[2]}


def _digits(value: float) -> float:
    """Rounded to six significant digits, for JSON."""
    return float(f"{float(value):.6g}")


# ---- evaluation


def accuracies(
    networks: Networks, replace: Mapping[int, NDArray[Any]] | None = None, data: Dataset | None = None
) -> Array:
    """Test accuracy of every network, (R,), with some layers replaced: ``replace`` maps 0 (L1), 1, ... to (R, M, N).

    Examples
    --------
    >>> networks = train_networks(EnsembleConfig(dataset="digits", runs=2, epochs=1))
    >>> silent = accuracies(networks, {1: np.zeros((2, 10, 10))})
    >>> bool(silent[0] == (load_dataset("digits").test_labels == 0).mean())          # all zeros: class 0, always
    True
    """
    data = data or load_dataset(networks.config.dataset)
    tail = list(networks.matrices[1:])
    for k, W in (replace or {}).items():
        if not 0 <= k < len(tail) or np.shape(W) != tail[k].shape:
            allowed = f"layers 0 to {len(tail) - 1}, each of {networks.config.runs} matrices of its shape"
            raise PigmmError.of("replace", got=f"layer {k}: shape {np.shape(W)}", allowed=allowed)
        tail[k] = np.asarray(W, np.float32)
    images = _inputs(data.test_images, data.levels)
    return np.array([
        accuracy(matrices, hidden([first], images), data.test_labels)
        for first, *matrices in zip(networks.matrices[0], *tail, strict=True)
    ])  # fmt: skip


def evaluate_networks(
    networks: Networks,
    data: Dataset | None = None,
    plan: Plan | None = None,
    *,
    folder: str | os.PathLike[str] | None = None,
    progress: bool = False,
) -> dict[str, Any]:
    """Replace matrices of every network in every way of the plan, and count the test images.

    Parameters
    ----------
    networks : at least 20 whole networks
    data : the images; those of the networks' configuration by default
    plan : seeds and sizes
    folder : where counts of blocks of 50 networks are kept; those already there are not counted again
    progress : show a progress bar

    Returns
    -------
    dict
        Plain values, fit for JSON: ``accuracies`` (one record for each choice of layers, condition and fraction: mean,
        se, sd over networks, quantiles), ``refits`` (the same, with a last layer fitted anew), ``similarities``,
        ``nats``, ``mixtures``, ``chance``, ``constant`` and where all of it comes from.
    """
    plan, config = plan or Plan(), networks.config
    _checked(config, 1)
    if config.runs < FEWEST:
        raise PigmmError.of("networks", got=config.runs, allowed=f"at least {FEWEST}")
    data = data or load_dataset(config.dataset)
    small = slice(None, plan.images)
    probe, targets = _inputs(data.train_images[small], data.levels), data.train_labels[small]
    made = replacements(networks, probe, targets, plan)
    header = {
        "format": FORM_COUNTS, "config": config.to_dict(), "plan": asdict(plan), "package_version": __version__,
        "weights_digest": networks.digest(), "dataset_digest": data.digest, "numpy": np.__version__,
    }  # fmt: skip
    header = json.loads(json.dumps(header))  # as it will be read back
    counts, again = _counts(networks, data, made, plan, probe, targets, header, folder, progress)
    likely, constant = chance(data.test_labels)
    accuracies = [
        {**_record(job), **_summary(values)} for job, values in zip(made.jobs, counts.T, strict=True)
    ]  # fmt: skip
    refits = [{**_record(job), **_summary(values)} for job, values in zip(made.refits, again.T, strict=True)]
    whole = {f"{_record(job)['layers']}: {job[1]}": values[:KEPT].round(4).tolist()
             for job, values in zip(made.jobs, counts.T, strict=True) if job[1] in SINGLE and job[2] == 1}  # fmt: skip
    return {
        **{name: value for name, value in header.items() if name not in ("format", "plan")},
        "networks": config.runs, "test_images": len(data.test_labels), "chance": likely, "constant": constant,
        "accuracies": accuracies, "refits": refits, "refitted_networks": len(again), "single_networks": whole,
        "similarities": made.similarities(), "nats": made.nats, "mixtures": made.mixtures,
        "provenance": {**networks.provenance, "evaluated": _provenance()},
    }  # fmt: skip


def _inputs(images: NDArray[np.uint8], levels: int) -> NDArray[np.float32]:
    """Images as the networks see them, (pixels, images)."""
    x: NDArray[np.float32] = np.ascontiguousarray(images.T.astype(np.float32) * np.float32(2 / levels) - 1)
    return x


def _counts(
    networks: Networks, data: Dataset, made: Replacements, plan: Plan, probe: NDArray, targets: NDArray,
    header: dict[str, Any], folder: str | os.PathLike[str] | None, progress: bool,
) -> tuple[Array, Array]:  # fmt: skip
    images = _inputs(data.test_images, data.levels)
    name = hashlib.sha256(json.dumps(header, sort_keys=True).encode()).hexdigest()[:16]
    blocks = [range(at, min(at + BLOCK, networks.config.runs)) for at in range(0, networks.config.runs, BLOCK)]
    parts = []
    for block in progressing(blocks, len(blocks), progress, "replacing"):
        path = None if folder is None else Path(folder) / f"{name}-{block.start}-{block.stop}.npz"
        found = None if path is None else _kept(path, FORM_COUNTS, header)
        if found is None:
            found = _block(networks, block, images, data, made, plan, probe, targets)
            if path is not None:
                write_arrays(path, header, found)
        parts.append(found)
    return np.concatenate([p["counts"] for p in parts]), np.concatenate([p["refits"] for p in parts])


def _block(
    networks: Networks, block: range, images: NDArray, data: Dataset, made: Replacements, plan: Plan,
    probe: NDArray, targets: NDArray,
) -> dict[str, Array]:  # fmt: skip
    counts, refits = [], []
    for r in block:
        first = networks.matrices[0][r]
        seen = hidden([first], images)
        counts.append([accuracy(made.tail(r, job), seen, data.test_labels) for job in made.jobs])
        if r >= plan.refits:
            continue
        learned, row = hidden([first], probe), []
        for job in made.refits:
            below = [] if job[1] == "no hidden matrix" else made.tail(r, job)[:-1]
            readout = fit_readout(hidden(below, learned), targets, data.classes).astype(np.float32)
            row.append(accuracy([*below, readout], seen, data.test_labels))
        refits.append(row)
    return {"counts": np.array(counts), "refits": np.array(refits).reshape(len(refits), len(made.refits))}


def _summary(values: Array) -> dict[str, Any]:
    sd = float(values.std(ddof=1)) if len(values) > 1 else 0.0
    return {
        "mean": _digits(values.mean()), "se": _digits(sd / len(values) ** 0.5), "sd": _digits(sd),
        "quantiles": np.quantile(values, [0.05, 0.25, 0.5, 0.75, 0.95]).round(4).tolist(),
    }  # fmt: skip


# ---- the study


def study(
    configs: Iterable[EnsembleConfig],
    plan: Plan | None = None,
    *,
    source: Callable[[EnsembleConfig], Networks] | None = None,
    output: str | os.PathLike[str] | None = None,
    folder: str | os.PathLike[str] | None = None,
    workers: int = 1,
    progress: bool = False,
) -> dict[str, Any]:
    """Train the networks of each configuration and replace their matrices.

    Parameters
    ----------
    configs : ensembles of plain networks, each of another ``label``
    plan : seeds and sizes
    source : gives the networks of a configuration, instead of :func:`train_networks`
    output : JSON file, written after each ensemble; ensembles that it already holds, made the same way, are kept
    folder : where trained networks and counts are kept on the way, so that the same call goes on from there
    workers : processes for training
    progress : show progress bars

    Returns
    -------
    dict
        ``plan`` and ``ensembles``, by label such as "mnist-gaussian", of what :func:`evaluate_networks` returns.

    Raises
    ------
    PigmmError
        For other arguments, fewer than 20 networks, or an output file that is no such study.

    Examples
    --------
    >>> small = Plan(restarts=1, refits=2, images=200)
    >>> result = study([EnsembleConfig(dataset="digits", runs=20, epochs=1)], small)
    >>> list(result["ensembles"])
    ['digits-gaussian']
    """
    plan = plan or Plan()
    chosen = list(configs)
    for config in chosen:
        _checked(config, workers)
    settings = json.loads(json.dumps(asdict(plan)))
    ensembles: dict[str, Any] = {}
    path = None if output is None else Path(output)
    if path is not None and path.exists():
        try:
            before = json.loads(path.read_text())
            ensembles = before["ensembles"] if before["plan"] == settings else {}
        except (OSError, ValueError, KeyError, TypeError) as error:
            raise PigmmError.of(str(path), got="something else", allowed="a study's file, or a new one") from error
    for config in chosen:
        there = ensembles.get(label(config))
        if there and (there["config"], there["package_version"]) == (config.to_dict(), __version__):
            continue
        if source is None:
            networks = train_networks(config, folder=folder, workers=workers, progress=progress)
        else:
            networks = source(config)
        ensembles[label(config)] = evaluate_networks(networks, None, plan, folder=folder, progress=progress)
        if path is not None:
            write_whole(path, (_compact({"plan": settings, "ensembles": ensembles}) + "\n").encode())
    return {"plan": settings, "ensembles": ensembles}


def label(config: EnsembleConfig) -> str:
    """Name of an ensemble in a study.

    Examples
    --------
    >>> label(EnsembleConfig(weight_decay=0.01))
    'digits-gaussian-l2'
    """
    return f"{config.dataset}-{config.init}" + ("-l2" if config.weight_decay else "")


def _compact(result: Any) -> str:
    """JSON with one record a line."""

    def text(value: Any, depth: int) -> str:
        if isinstance(value, dict) and depth < 3 and value:
            inner = (f"{json.dumps(name)}: {text(x, depth + 1)}" for name, x in value.items())
            return "{\n" + ",\n".join(inner) + "\n}"
        if isinstance(value, list) and value and isinstance(value[0], dict):
            return "[\n" + ",\n".join(json.dumps(x) for x in value) + "\n]"
        return json.dumps(value)

    return text(result, 0)


def published() -> dict[str, Any]:
    """The study that comes with the package: the networks of the archives mnist-gaussian and mnist-uniform.

    Examples
    --------
    >>> sorted(published()["ensembles"])
    ['mnist-gaussian', 'mnist-uniform']
    """
    result: dict[str, Any] = json.loads((Path(__file__).parent / "published" / "transplant.json").read_text())
    return result


def opened(config: EnsembleConfig, plan: Plan, *, workers: int = 1) -> tuple[dict[str, Any], Any]:
    """Results for a configuration and something with its ``weights``: published ones, or made now.

    Says which, with provenance.  Published results come with the published archive of the same networks.
    """
    from .notebook import open_archive
    from .shelf import published as archives
    from .shelf import published_config

    there = published()["ensembles"].get(label(config))
    names = [name for name in archives() if published_config(name) == config]
    if there and names and there["config"] == config.to_dict():
        archive = open_archive(config)
        made = there["provenance"]["evaluated"]
        print(
            f"  matrices replaced in all {there['networks']} networks: published study of {made['date'][:10]}, pigmm "
            f"{made['package_version']}, {made['hardware']}"
        )
        return there, archive
    if config.runs < FEWEST:
        raise PigmmError.of("runs", got=config.runs, allowed=f"at least {FEWEST} networks")
    networks = train_networks(config, workers=workers)
    result = evaluate_networks(networks, None, plan)
    print(f"{config.init} start: {config.runs} {config.networks} on {config.dataset}, trained and evaluated just now")
    return result, networks


# ---- tables


def table(result: dict[str, Any], kind: str = "accuracies") -> pd.DataFrame:
    """Records of one ensemble, one a row: ``kind`` is "accuracies", "refits", "similarities" or "nats".

    Accuracies and refits also have ``kept``, the share of what the networks know that survives: (accuracy - chance) /
    (own accuracy - chance), with ``kept_se`` from the errors of both means (taken as independent, which is careful).

    Examples
    --------
    >>> rows = table(published()["ensembles"]["mnist-gaussian"])
    >>> rows.query("condition == 'own'").kept.item()
    1.0
    """
    if kind not in ("accuracies", "refits", "similarities", "nats"):
        raise PigmmError.of("kind", got=kind, allowed="'accuracies', 'refits', 'similarities' or 'nats'")
    frame: pd.DataFrame = require_pandas().DataFrame(result[kind])
    if kind in ("accuracies", "refits"):
        own = next(row for row in result["accuracies"] if row["condition"] == "own")
        room = own["mean"] - result["chance"]
        frame["kept"] = (frame["mean"] - result["chance"]) / room
        frame["kept_se"] = np.hypot(frame["se"], frame["kept"] * own["se"]) / room
    return frame


def tolerance(result: dict[str, Any], layers: str = "L1", kept: float = 0.5) -> tuple[float, float]:
    """Noise, in standard deviations of the layer's weights, at which the share ``kept`` survives; with its error.

    Linear between the levels that were tried; infinite where even the loudest leaves more.

    Examples
    --------
    >>> level, error = tolerance(published()["ensembles"]["mnist-gaussian"], "L1")
    >>> 0.2 < level < 0.8, error < 0.05
    (True, True)
    """
    frame = table(result)
    part = frame[(frame["condition"] == "own + noise") & (frame["layers"] == layers)].sort_values("fraction")
    if part.empty or not 0 < kept < 1:
        known = ", ".join(dict.fromkeys(frame["layers"][frame["condition"] == "own + noise"]))
        raise PigmmError.of("tolerance", got=f"{layers}, {kept}", allowed=f"one of {known}, and a share in (0, 1)")
    x, y = np.array([0, *part["fraction"]]), np.array([1, *part["kept"]])
    se = np.array([0, *part["kept_se"]])
    below = np.flatnonzero(y < kept)
    if not len(below):
        return float("inf"), 0.0
    b = int(below[0])
    weight = (y[b - 1] - kept) / (y[b - 1] - y[b])
    slope = (y[b - 1] - y[b]) / (x[b] - x[b - 1])
    error = np.hypot((1 - weight) * se[b - 1], weight * se[b]) / slope
    return float(x[b - 1] + weight * (x[b] - x[b - 1])), float(error)


def tables(results: dict[str, dict[str, Any]], kind: str = "accuracies") -> pd.DataFrame:
    """:func:`table` of several ensembles, with their names in the first column, ``start``."""
    parts = [table(result, kind).assign(start=name) for name, result in results.items()]
    frame: pd.DataFrame = require_pandas().concat(parts, ignore_index=True)
    return frame[["start", *(column for column in frame if column != "start")]]


