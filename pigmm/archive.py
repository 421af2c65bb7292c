"""Archives: what is kept of an ensemble, written whole, with provenance, and mergeable over runs.

Per epoch an archive holds moments (:class:`pigmm.moments.Moments`) of features of the weight matrices:

- of square layers the 13 sufficient statistics and all 361 invariants of degree 1 to 4, with the co-moments of all of
  them with the 13, which is what the standard error of a prediction needs; the change of each since initialisation, run
  by run; the 13 now, an epoch before and at the start, jointly; and the moduli of the eigenvalues, in order;
- of every layer, the input layer and the output included, the two-sided statistics, the 48 bipartite invariants of
  degree 1 to 4 with all their co-moments, and the singular values in order; of the last layer labelled-row moments.

Further: histograms of singular values and eigenvalues; per run and epoch the loss, the accuracy on training and test
images, silent units and the norm of every layer; and raw weights of small networks: of all of them at a few epochs, of
the first eight at every epoch.  Moments are kept twice: over all runs, and over the ``alive`` ones (a network is dead
when a whole hidden layer is silent on the test set after the last epoch).

On disk an archive is ``NAME.npz`` (arrays) and ``NAME.json`` (configuration, provenance, SHA-256 of the arrays).
"""

from __future__ import annotations

import os
from collections.abc import Iterable
from dataclasses import dataclass, field, replace
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from .archive_files import merged, read, write
from .config import EnsembleConfig
from .errors import PigmmError
from .graphs import as_graphs
from .irreps import Array
from .joint import two_sided_moments
from .laws import MatrixLaw
from .layout import (
    EDGES,
    STATISTICS,
    archived_bipartite,
    archived_graphs,
    featured_layers,
    kept_layers,
)
from .models import GaussianMatrixModel, LabelledRowGaussian, SimpleGaussian, TwoSidedGaussian
from .moments import Moments
from .streams import initial_weights

if TYPE_CHECKING:
    import pandas as pd

    from .graphs import InvariantGraph
    from .joint import JointTest
    from .symmetry import SymmetryTest

__all__ = ["GROUPS", "Archive"]

GROUPS = ("all", "alive")


@dataclass(frozen=True, eq=False)
class Archive:
    """Statistics of an ensemble at every epoch, with provenance.  Get one from `pigmm.train` or `pigmm.load`.

    Layers are numbered like the paper's L1, L2, ...: layer 0 joins the first two hidden layers, the last one leads to
    the output.  Epoch 0 is initialisation; negative epochs count from the end.  ``runs`` arguments choose ``"all"``
    networks or the ``"alive"`` ones.

    Examples
    --------
    What was trained, and what each network did:

    >>> import pigmm
    >>> archive = pigmm.load("digits")
    >>> archive.runs, archive.epochs, archive.layers, archive.config.dataset
    (200, 20, ((10, 10), (10, 10), (10, 10)), 'digits')
    >>> archive.loss.shape, archive.train_accuracy.shape, archive.test_accuracy.shape
    ((200, 20), (200, 21), (200, 21))
    >>> archive.accuracy.shape, archive.norms.shape, archive.dead_units.shape
    ((200,), (200, 21, 4), (200, 21, 3))
    >>> archive.count("alive") == int(archive.alive.sum())
    True

    Laws fitted to it, and tests of them:

    >>> archive.model(epoch=20, layer=0).parameters.shape, archive.simple(epoch=0, layer=1).shape
    ((13,), (10, 10))
    >>> archive.two_sided(layer=-1).shape, archive.labelled().mu.shape
    ((10, 64), (10,))
    >>> list(archive.comparison(graphs=["01.12.20", "01.01.01.01"])["name"])
    ['01.12.20', '01.01.01.01']
    >>> all(0 <= test().pvalue <= 1 for test in (archive.joint, archive.symmetry, archive.orbit_test))
    True

    Moments over networks, of which all that is made, and histograms:

    >>> archive.features(20, 0).mean.shape, archive.change(20, 0).mean.shape, archive.path(20, 0).mean.shape
    ((374,), (374,), (39,))
    >>> archive.bipartite(20, -1).mean.shape, archive.singular_values(20, -1).mean.shape
    ((48,), (10,))
    >>> archive.eigenvalues(20, 0).mean.shape, int(archive.spectrum(20, 0)[0].sum())
    ((10,), 2000)

    Raw weights, where they are kept:

    >>> archive.weight_epochs, archive.weights(20, 0).shape, archive.film(0).shape
    ((0, 1, 20), (200, 10, 10), (8, 21, 10, 10))

    Files:

    >>> import tempfile
    >>> from pathlib import Path
    >>> path = Path(tempfile.mkdtemp()) / "copy.npz"
    >>> saved = archive.save(path)
    >>> Archive.load(path).runs, Archive.merge([archive]).runs
    (200, 200)
    """

    template: EnsembleConfig
    first_run: int
    moments: dict[str, Moments] = field(repr=False)
    counts: dict[str, NDArray[np.int64]] = field(repr=False)
    records: dict[str, NDArray[Any]] = field(repr=False)
    kept: dict[str, NDArray[np.float32]] = field(repr=False)
    provenance: dict[str, Any] = field(repr=False)

    # ---- what is in it

    @property
    def runs(self) -> int:
        """Number of networks."""
        return len(self.records["loss"])

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
    def loss(self) -> Array:
        """Mean training loss of each network during each epoch, shape (R, epochs)."""
        return self.records["loss"]

    @property
    def train_accuracy(self) -> Array:
        """Accuracy on the first 10,000 training images (all, where there are fewer), shape (R, epochs + 1)."""
        return self.records["train_accuracy"]

    @property
    def test_accuracy(self) -> Array:
        """Accuracy on the test images, shape (R, epochs + 1)."""
        return self.records["test_accuracy"]

    @property
    def accuracy(self) -> Array:
        """Test accuracy of each network after the last epoch, shape (R,)."""
        return self.test_accuracy[:, -1]

    @property
    def dead_units(self) -> NDArray[np.int64]:
        """Units that are silent on all test images, for each hidden layer, shape (R, epochs + 1, hidden layers)."""
        return self.records["dead_units"]

    @property
    def norms(self) -> Array:
        """Frobenius norm of every weight matrix, the input layer first, shape (R, epochs + 1, layers)."""
        return self.records["norms"]

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

    def path(self, epoch: int, layer: int, runs: str = "all") -> Moments:
        """Moments of 39 features: the 13 statistics at this epoch, at the one before, and at initialisation."""
        return self._moments(f"path/{self._square(layer)}", runs).at(self._epoch(epoch))

    def bipartite(self, epoch: int, layer: int, runs: str = "all") -> Moments:
        """Moments of the 48 bipartite invariants of any layer, with all co-moments; ``layer=-1`` is the input layer."""
        return self._moments(f"bipartite/{self._place(layer)}", runs).at(self._epoch(epoch))

    def singular_values(self, epoch: int, layer: int, runs: str = "all") -> Moments:
        """Moments of the singular values in descending order; ``layer=-1`` is the input layer."""
        return self._moments(f"singular/{self._place(layer)}", runs).at(self._epoch(epoch))

    def eigenvalues(self, epoch: int, layer: int, runs: str = "all") -> Moments:
        """Moments of the moduli of a square layer's eigenvalues in descending order."""
        return self._moments(f"eigenvalues/{self._square(layer)}", runs).at(self._epoch(epoch))

    def spectrum(self, epoch: int, layer: int, values: str = "singular") -> tuple[NDArray[np.int64], Array]:
        """Histogram over all networks of singular values or, with ``"eigenvalues"``, of moduli of eigenvalues.

        Returns counts (100,) and edges (101,), as :func:`numpy.histogram` does; what lies outside is in the outer bins.
        """
        if values not in ("singular", "eigenvalues"):
            raise PigmmError.of("values", got=values, allowed="'singular' or 'eigenvalues'")
        place = self._place(layer) if values == "singular" else self._square(layer)
        return self.counts[f"{values}/{place}"][self._epoch(epoch)], EDGES

    @property
    def weight_epochs(self) -> tuple[int, ...]:
        """Epochs at which the raw weights of all networks are at hand."""
        return tuple(sorted({0, *(int(name.split("/")[1]) for name in self.kept if name.startswith("weights/"))}))

    def weights(self, epoch: int, layer: int, runs: str = "all") -> Array:
        """Raw weight matrices (R, M, N): at initialisation of every layer, later where they were kept.

        ``layer=-1`` is the input layer.  Published archives keep them to three digits, and draw the initial ones
        again from the seed.
        """
        epoch, place = self._epoch(epoch), self._place(layer)
        name = f"weights/{epoch}/{layer}"
        if name in self.kept:
            W = self.kept[name].astype(np.float64)
        elif epoch == 0:
            numbers = range(self.first_run, self.first_run + self.runs)
            W = np.array([initial_weights(self.template, run)[place] for run in numbers], dtype=np.float64)
        else:
            raise PigmmError.of(
                "weights", got=f"epoch {epoch}, layer {layer}",
                allowed=f"epochs {self.weight_epochs} of layers {kept_layers(self.template)}",
                fix="Other snapshots are kept as statistics only; archive.film has a few networks at every epoch.",
            )  # fmt: skip
        return W if self._group(runs) == "all" else W[self.alive]

    def film(self, layer: int) -> Array:
        """Raw weight matrices of the first networks at every epoch, (networks, epochs + 1, D, D).

        These are networks 0 to 7, as far as they are in the archive.
        """
        name = f"films/{self._layer(layer)}"
        if name not in self.kept or not len(self.kept[name]):
            raise PigmmError.of(
                "film", got=f"layer {layer} of networks from {self.first_run} on",
                allowed=f"layers {kept_layers(self.template)} of an ensemble that has some of the networks 0 to 7",
            )  # fmt: skip
        return self.kept[name].astype(np.float64)

    # ---- laws fitted to it

    def model(self, epoch: int = -1, layer: int = 0, runs: str = "all") -> GaussianMatrixModel:
        """Maximum-likelihood 13-parameter law of a square layer."""
        moments = self.features(epoch, layer, runs)
        self._enough(moments.count, 3)
        statistics = moments.comoment[:, :STATISTICS] / moments.count
        return GaussianMatrixModel.from_statistics(moments.mean[:STATISTICS], statistics, self.layers[layer][0])

    def two_sided(self, epoch: int = -1, layer: int = 0, runs: str = "all") -> TwoSidedGaussian:
        """Maximum-likelihood 5-parameter law; ``layer=-1`` is the input layer."""
        place = self._place(layer)
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
        """Predicted against measured, for all archived invariants: see :func:`pigmm.gaussianity.compare`.

        ``model`` may be a law, taken as known, or one of GaussianMatrixModel (the default of square layers),
        TwoSidedGaussian (that of the others) and SimpleGaussian, fitted to these networks.  ``graphs`` chooses among
        the 361 invariants of degree 1 to 4 of square layers, or the 48 bipartite ones of others; ``layer=-1`` is the
        input layer.  ``bootstrap`` ensembles give family-wise p-values, as there.
        """
        from .gaussianity import add_bootstrap, bootstrap_z, comparison_table

        square = self._place(layer) > 0 and layer in featured_layers(self.template)
        shape = self.template.shapes[self._place(layer)]
        if isinstance(model, MatrixLaw) and model.shape != shape:
            raise PigmmError.of("model", got=f"a law of {model.shape} matrices", allowed=f"one of {shape} matrices")
        fitted = not isinstance(model, MatrixLaw)
        law = model if isinstance(model, MatrixLaw) else self._fitted(model, epoch, layer, runs)
        allowed = archived_graphs() if square else archived_bipartite()
        chosen = allowed if graphs is None else as_graphs(graphs)
        place = {graph: k for k, graph in enumerate(allowed)}
        if strange := [graph.name for graph in chosen if graph not in place]:
            kind = "" if square else "bipartite "
            raise PigmmError.of("graphs", got=strange[0], allowed=f"{kind}invariants of degree 1 to 4")
        if square:
            moments = self.features(epoch, layer, runs)
            if graphs is not None:
                moments = moments.take([*range(STATISTICS), *(STATISTICS + place[graph] for graph in chosen)])
        else:
            moments = two_sided_moments(self.bipartite(epoch, layer, runs), shape, list(chosen))
        table = comparison_table(chosen, moments, law, fitted)
        if bootstrap:
            add_bootstrap(table, bootstrap_z(chosen, law, moments.count, bootstrap, seed, progress, fitted))
        return table

    def joint(self, epoch: int = -1, layer: int = 0, runs: str = "all") -> JointTest:
        """All bipartite invariants at once against the two-sided law: see :func:`pigmm.joint.joint_test`."""
        from .joint import joint_test

        return joint_test(self.bipartite(epoch, layer, runs), self.template.shapes[self._place(layer)])

    def _fitted(self, family: type[MatrixLaw] | None, epoch: int, layer: int, runs: str) -> MatrixLaw:
        if family is None:
            family = GaussianMatrixModel if layer in featured_layers(self.template) else TwoSidedGaussian
        if family is GaussianMatrixModel:
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

    def orbit_test(self, epoch: int = -1, layer: int = 0, runs: str = "all") -> SymmetryTest:
        """The same question with errors that are exact, for any number of runs.  See :func:`pigmm.orbit_test`."""
        from .orbits import orbit_test_from_moments

        place = self.features(epoch, layer, runs), self.bipartite(epoch, layer, runs)
        return orbit_test_from_moments(*place, self.layers[layer][0])

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
        if not parts:
            raise PigmmError.of("merge", got="no archive", allowed="at least one")
        return merged(parts)

    def save(self, path: str | os.PathLike[str], *, compact: bool = False) -> Path:
        """Write ``NAME.npz`` and ``NAME.json``; ``compact`` rounds as :mod:`pigmm.compact` says."""
        return write(self, path, compact)

    @classmethod
    def load(cls, path: str | os.PathLike[str]) -> Archive:
        """Read an archive and check it against its sidecar.

        Raises
        ------
        PigmmError
            If a file is missing, cut short, not an archive, or differs from what its sidecar says.
        """
        return cls(**read(path))

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

    def _place(self, layer: int) -> int:
        """Position among all matrices of a network; -1 is the input layer."""
        if isinstance(layer, int | np.integer) and not isinstance(layer, bool) and -1 <= layer < len(self.layers):
            return int(layer) + 1
        last = len(self.layers) - 1
        raise PigmmError.of("layer", got=layer, allowed=f"an integer from 0 to {last}, or -1 for the input layer")

    def _square(self, layer: int) -> int:
        if self._layer(layer) not in featured_layers(self.template):
            raise PigmmError.of(
                "layer", got=f"layer {layer} of shape {self.layers[layer]}", allowed="square layers with D at least 4",
                fix="archive.two_sided and archive.bipartite describe any shape.",
            )  # fmt: skip
        return int(layer)

    def _enough(self, count: int, least: int) -> None:
        if count < least:
            raise PigmmError.of("archive", got=f"{count} networks in the group", allowed=f"at least {least}")
