"""Archives: what is kept of an ensemble, written whole, with provenance, and mergeable over runs.

Per epoch and studied square layer an archive holds the moments (:class:`pigmm.moments.Moments`) of 374 features of a
weight matrix: the 13 sufficient statistics and all 361 invariants of degree 1 to 4, with the co-moments of all of them
with the 13, which is what the standard error of a prediction needs.  Further: the two-sided statistics of every layer,
labelled-row moments of the last one, the paired change of every feature since initialisation, per-run loss, accuracy
and silent units, and the raw weights of a few epochs of small networks.  Everything is kept twice: over all runs, and
over the ``alive`` ones (a network is dead when a whole hidden layer is silent on the test set after the last epoch).

On disk an archive is ``NAME.npz`` (arrays) and ``NAME.json`` (configuration, provenance, SHA-256 of the arrays).
"""

from __future__ import annotations

import json
import os
from collections.abc import Iterable
from dataclasses import dataclass, field, replace
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from .config import EnsembleConfig
from .errors import PigmmError, nearest
from .graphs import as_graphs
from .irreps import Array
from .laws import MatrixLaw
from .layout import STATISTICS, archived_graphs, featured_layers, kept_epochs, kept_layers
from .models import GaussianMatrixModel, LabelledRowGaussian, SimpleGaussian, TwoSidedGaussian
from .moments import Moments
from .storage import npz_path, read_arrays, write_arrays

if TYPE_CHECKING:
    import pandas as pd

    from .graphs import InvariantGraph
    from .symmetry import SymmetryTest

__all__ = ["GROUPS", "Archive", "load", "published", "published_config"]

FORMAT = "pigmm archive 1"
GROUPS = ("all", "alive")


@dataclass(frozen=True, eq=False)
class Archive:
    """Statistics of an ensemble at every epoch, with provenance.  Get one from `pigmm.train` or `pigmm.load`.

    Layers are numbered like the paper's L1, L2, ...: layer 0 joins the first two hidden layers, the last one leads to
    the output.  Epoch 0 is initialisation; negative epochs count from the end.  ``runs`` arguments choose ``"all"``
    networks or the ``"alive"`` ones.
    """

    template: EnsembleConfig
    first_run: int
    moments: dict[str, Moments] = field(repr=False)
    kept: dict[str, NDArray[np.float32]] = field(repr=False)
    loss: Array = field(repr=False)
    test_accuracy: Array = field(repr=False)
    dead_units: NDArray[np.int64] = field(repr=False)
    provenance: dict[str, Any] = field(repr=False)

    # ---- what is in it

    @property
    def runs(self) -> int:
        """Number of networks."""
        return len(self.loss)

    @property
    def epochs(self) -> int:
        """Epochs trained; there are ``epochs + 1`` snapshots."""
        return self.template.epochs

    @cached_property
    def config(self) -> EnsembleConfig:
        """The configuration that trains exactly these networks."""
        if self.runs < 2:  # a chunk of one run is a piece of an ensemble, not an ensemble
            return self.template
        return replace(self.template, runs=self.runs, first_run=self.first_run)

    @property
    def layers(self) -> tuple[tuple[int, int], ...]:
        """(out, in) of every studied layer."""
        return self.template.studied_shapes

    @property
    def accuracy(self) -> Array:
        """Test accuracy of each network after the last epoch, shape (R,)."""
        return self.test_accuracy[:, -1]

    @property
    def alive(self) -> NDArray[np.bool_]:
        """Networks in which no hidden layer is wholly silent after the last epoch, shape (R,)."""
        return np.all(self.dead_units[:, -1] < np.asarray(self.template.hidden), axis=1)

    def count(self, runs: str = "all") -> int:
        """Number of networks in the group."""
        return self._moments("two_sided/0", runs).count

    def features(self, epoch: int, layer: int, runs: str = "all") -> Moments:
        """Moments of the 13 statistics and the 361 invariants (in the order of :func:`archived_graphs`)."""
        return self._moments(f"features/{self._square(layer)}", runs).at(self._epoch(epoch))

    def change(self, epoch: int, layer: int, runs: str = "all") -> Moments:
        """Moments of the same 374 features minus their value at initialisation, run by run."""
        return self._moments(f"change/{self._square(layer)}", runs).at(self._epoch(epoch))

    def weights(self, epoch: int, layer: int, runs: str = "all") -> Array:
        """Raw weight matrices (R, D, D), where they were kept."""
        epoch, layer = self._epoch(epoch), self._layer(layer)
        epochs = kept_epochs(self.template)
        if epoch not in epochs or f"weights/{layer}" not in self.kept:
            raise PigmmError.of(
                "weights", got=f"epoch {epoch}, layer {layer}",
                allowed=f"epochs {epochs} of layers {kept_layers(self.template)}",
                fix="Other snapshots are kept as statistics only.",
            )  # fmt: skip
        W = self.kept[f"weights/{layer}"][epochs.index(epoch)].astype(np.float64)
        return W if self._group(runs) == "all" else W[self.alive]

    # ---- laws fitted to it

    def model(self, epoch: int = -1, layer: int = 0, runs: str = "all") -> GaussianMatrixModel:
        """Maximum-likelihood 13-parameter law of a square layer."""
        moments = self.features(epoch, layer, runs)
        self._enough(moments.count, 3)
        statistics = moments.comoment[:, :STATISTICS] / moments.count
        return GaussianMatrixModel.from_statistics(moments.mean[:STATISTICS], statistics, self.layers[layer][0])

    def two_sided(self, epoch: int = -1, layer: int = 0, runs: str = "all") -> TwoSidedGaussian:
        """Maximum-likelihood 5-parameter law; ``layer=-1`` is the input layer."""
        place = 0 if layer == -1 else self._layer(layer) + 1
        moments = self._moments(f"two_sided/{place}", runs).at(self._epoch(epoch))
        self._enough(moments.count, 2)
        M, N = self.template.shapes[place]
        v00 = M * N * moments.squares[0] / moments.count
        return TwoSidedGaussian(np.array([moments.mean[0], v00, *moments.mean[2:]]), (M, N))

    def simple(self, epoch: int = -1, layer: int = 0, runs: str = "all") -> SimpleGaussian:
        """Maximum-likelihood law of independent entries; ``layer=-1`` is the input layer."""
        law = self.two_sided(epoch, layer, runs)
        dims = np.array([block.dim for block in law.decomposition.blocks])
        return SimpleGaussian(law.parameters[0], float(dims @ law.parameters[1:] / dims.sum()), law.shape)

    def labelled(self, epoch: int = -1, runs: str = "all") -> LabelledRowGaussian:
        """Maximum-likelihood law of the last layer with its rows labelled by class."""
        moments = self._moments("labelled", runs).at(self._epoch(epoch))
        M, N = self.layers[-1]
        self._enough(moments.count, M + 1)
        B = np.zeros((M, M))
        B[np.triu_indices(M)] = moments.mean[M:]
        B = B + np.triu(B, 1).T
        total = moments.comoment[:, :M] / moments.count
        return LabelledRowGaussian(moments.mean[:M] / np.sqrt(N), (total - B) / N, B, N)

    def comparison(
        self,
        epoch: int = -1,
        layer: int = 0,
        runs: str = "all",
        model: MatrixLaw | type[MatrixLaw] | None = None,
        graphs: Iterable[InvariantGraph | str] | None = None,
        *,
        bootstrap: int = 0,
        seed: int = 0,
        progress: bool = False,
    ) -> pd.DataFrame:
        """Predicted against measured, for all 361 invariants: see :func:`pigmm.gaussianity.compare`.

        ``model`` may be a law, taken as known, or one of GaussianMatrixModel (the default), TwoSidedGaussian and
        SimpleGaussian, fitted to these networks.  ``graphs`` chooses among those of degree up to 4.
        """
        from .gaussianity import add_bootstrap, bootstrap_z, comparison_table

        moments = self.features(epoch, layer, runs)
        fitted = not isinstance(model, MatrixLaw)
        law = model if isinstance(model, MatrixLaw) else self._fitted(model, epoch, layer, runs)
        chosen = archived_graphs()
        if graphs is not None:
            chosen = as_graphs(graphs)
            place = {graph: STATISTICS + k for k, graph in enumerate(archived_graphs())}
            if strange := [graph.name for graph in chosen if graph not in place]:
                raise PigmmError.of("graphs", got=strange[0], allowed="invariants of degree 1 to 4")
            moments = moments.take([*range(STATISTICS), *(place[graph] for graph in chosen)])
        table = comparison_table(chosen, moments, law, fitted)
        if bootstrap:
            add_bootstrap(table, bootstrap_z(chosen, law, moments.count, bootstrap, seed, progress, fitted))
        return table

    def _fitted(self, family: type[MatrixLaw] | None, epoch: int, layer: int, runs: str) -> MatrixLaw:
        if family is None or family is GaussianMatrixModel:
            return self.model(epoch, layer, runs)
        if family is TwoSidedGaussian:
            return self.two_sided(epoch, layer, runs)
        if family is SimpleGaussian:
            return self.simple(epoch, layer, runs)
        raise PigmmError.of(
            "model", got=getattr(family, "__name__", family),
            allowed="a law, or GaussianMatrixModel, TwoSidedGaussian or SimpleGaussian to be fitted",
            fix="Other laws need raw matrices: pigmm.compare(archive.weights(epoch, layer), model=...).",
        )  # fmt: skip

    def symmetry(self, epoch: int = -1, layer: int = 0, runs: str = "all") -> SymmetryTest:
        """Are rows and columns relabelled separately?  See :func:`pigmm.symmetry_test`."""
        from .symmetry import symmetry_from_moments

        return symmetry_from_moments(self.features(epoch, layer, runs))

    # ---- merging and files

    @classmethod
    def merge(cls, archives: Iterable[Archive]) -> Archive:
        """One archive of consecutive runs; equal, to rounding, to the archive of all of them trained at once.

        Raises
        ------
        PigmmError
            If the configurations differ in more than their runs, or runs are missing or doubled.
        """
        parts = list(archives) if isinstance(archives, Iterable) else [archives]
        if strangers := [type(part).__name__ for part in parts if not isinstance(part, Archive)]:
            raise PigmmError.of("merge", got=", ".join(strangers), allowed="archives")
        parts.sort(key=lambda archive: archive.first_run)
        if not parts:
            raise PigmmError.of("merge", got="no archive", allowed="at least one")
        whole = parts[0]
        for part in parts[1:]:
            ours, theirs = (replace(a.template, runs=2, first_run=0).to_dict() for a in (whole, part))
            different = [name for name in ours | theirs if ours.get(name) != theirs.get(name)]
            if different:
                raise PigmmError.of(
                    "merge", got=f"archives that differ in {', '.join(different)}", allowed="archives of one ensemble"
                )
            if part.first_run != whole.first_run + whole.runs:
                raise PigmmError.of(
                    "merge", got=f"runs up to {whole.first_run + whole.runs - 1}, then runs from {part.first_run}",
                    allowed="consecutive runs, each once",
                )  # fmt: skip
            seconds = [a.provenance.get("wall_seconds", 0.0) for a in (whole, part)]
            whole = replace(
                whole,
                moments={name: ours.merge(part.moments[name]) for name, ours in whole.moments.items()},
                kept={name: np.concatenate([ours, part.kept[name]], axis=1) for name, ours in whole.kept.items()},
                loss=np.concatenate([whole.loss, part.loss]),
                test_accuracy=np.concatenate([whole.test_accuracy, part.test_accuracy]),
                dead_units=np.concatenate([whole.dead_units, part.dead_units]),
                provenance={**whole.provenance, "wall_seconds": sum(seconds)},
            )
        return whole

    def save(self, path: str | os.PathLike[str], *, compact: bool = False) -> Path:
        """Write ``NAME.npz`` and ``NAME.json``; ``compact`` stores co-moments and squares in single precision."""
        arrays: dict[str, NDArray[Any]] = {
            "loss": self.loss, "test_accuracy": self.test_accuracy, "dead_units": self.dead_units.astype(np.uint16),
            **self.kept,
        }  # fmt: skip
        for name, moments in self.moments.items():
            if name.startswith("alive") and moments.count == self.runs:
                continue  # every network is alive: the same numbers again
            arrays |= moments.arrays(name)
        if compact:
            small = ("comoment", "squares", "loss", "test_accuracy")
            arrays = {name: a.astype(np.float32) if name.endswith(small) else a for name, a in arrays.items()}
        header = {
            "format": FORMAT, "first_run": self.first_run, "runs": self.runs,
            "config": self.config.to_dict(), "provenance": self.provenance,
        }  # fmt: skip
        return write_arrays(path, header, arrays)

    @classmethod
    def load(cls, path: str | os.PathLike[str]) -> Archive:
        """Read an archive and check it against its sidecar.

        Raises
        ------
        PigmmError
            If a file is missing, cut short, not an archive, or differs from what its sidecar says.
        """
        header, arrays = read_arrays(path, FORMAT)
        try:
            names = {name.rsplit("/", 1)[0] for name in arrays if name.startswith("all/")}
            moments = {name: Moments.from_arrays(arrays, name) for name in sorted(names)}
            for name in sorted(names):
                twin = "alive" + name.removeprefix("all")
                moments[twin] = Moments.from_arrays(arrays, twin) if f"{twin}/count" in arrays else moments[name]
            return cls(
                template=EnsembleConfig.from_dict(header["config"]), first_run=header["first_run"], moments=moments,
                kept={name: array for name, array in arrays.items() if name.startswith("weights/")},
                loss=arrays["loss"].astype(np.float64), test_accuracy=arrays["test_accuracy"].astype(np.float64),
                dead_units=arrays["dead_units"].astype(np.int64), provenance=header["provenance"],
            )  # fmt: skip
        except (KeyError, TypeError, AttributeError) as error:
            raise PigmmError.of(f"{path} lacks {error}", allowed="an archive with all its entries") from error

    # ---- checks of arguments

    def _group(self, runs: str) -> str:
        if runs not in GROUPS:
            raise PigmmError.of("runs", got=runs, allowed="'all' or 'alive'")
        return runs

    def _moments(self, name: str, runs: str) -> Moments:
        return self.moments[f"{self._group(runs)}/{name}"]

    def _epoch(self, epoch: int) -> int:
        last = self.epochs
        if isinstance(epoch, bool) or not isinstance(epoch, int | np.integer) or not -last - 1 <= epoch <= last:
            raise PigmmError.of("epoch", got=epoch, allowed=f"an integer from 0 to {last}, or negative from the end")
        return int(epoch) % (last + 1)

    def _layer(self, layer: int) -> int:
        if isinstance(layer, bool) or not isinstance(layer, int | np.integer) or not 0 <= layer < len(self.layers):
            raise PigmmError.of("layer", got=layer, allowed=f"an integer from 0 to {len(self.layers) - 1}")
        return int(layer)

    def _square(self, layer: int) -> int:
        if self._layer(layer) not in featured_layers(self.template):
            raise PigmmError.of(
                "layer", got=f"layer {layer} of shape {self.layers[layer]}", allowed="square layers with D at least 4",
                fix="archive.two_sided describes any shape.",
            )  # fmt: skip
        return int(layer)

    def _enough(self, count: int, least: int) -> None:
        if count < least:
            raise PigmmError.of("archive", got=f"{count} networks in the group", allowed=f"at least {least}")


def _published_folder() -> Path:
    return Path(__file__).parent / "published"


def published() -> tuple[str, ...]:
    """Names of the archives that come with the package.

    Examples
    --------
    >>> "mnist-gaussian" in published()
    True
    """
    return tuple(sorted(path.stem for path in _published_folder().glob("*.npz")))


def published_config(name: str) -> EnsembleConfig:
    """Configuration of a published archive, from its sidecar alone.

    Examples
    --------
    >>> published_config("mnist-uniform").init
    'uniform'
    """
    if name not in published():
        raise PigmmError.of("archive", got=name, allowed=", ".join(published()), fix=nearest(name, published()) or None)
    return EnsembleConfig.from_dict(json.loads((_published_folder() / f"{name}.json").read_text())["config"])


def load(name: str | os.PathLike[str]) -> Archive:
    """A published archive by name, or an archive file by path.

    Raises
    ------
    PigmmError
        If there is no such archive (the nearest name is offered) or the file is damaged.

    Examples
    --------
    >>> archive = load("mnist-gaussian")
    >>> archive.model(epoch=0, layer=0).dim
    10
    """
    if isinstance(name, str) and name in published():
        return Archive.load(_published_folder() / f"{name}.npz")
    if isinstance(name, str | os.PathLike) and os.path.exists(npz_path(name)):
        return Archive.load(name)
    raise PigmmError.of(
        "archive", got=str(name), allowed=f"a published name ({', '.join(published())}) or the path of an NPZ file",
        fix=nearest(name, published()) or None,
    )  # fmt: skip
