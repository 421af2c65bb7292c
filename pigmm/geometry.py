r"""A map of laws, and the path of a law through training.

:func:`embed` turns a matrix of distances into a map, :func:`path` compares the way with the straight line,
:func:`trajectory` reads all laws of an archive and :func:`contributions` says which part of them moved.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import ArrayLike

from .errors import PigmmError
from .irreps import Array
from .laws import MatrixLaw
from .layout import featured_layers
from .models import GaussianMatrixModel, LabelledRowGaussian, SimpleGaussian, TwoSidedGaussian
from .tables import require_pandas
from .transport import LawStack, w2, w2_by_block

if TYPE_CHECKING:
    import pandas as pd

    from .archive import Archive

__all__ = ["Embedding", "Path", "Trajectory", "contributions", "embed", "path", "trajectory"]


@dataclass(frozen=True, eq=False)
class Embedding:
    """Points in a plane (or a space of other dimension) whose distances imitate given ones: see :func:`embed`.

    ``coordinates`` (n, dimensions), in units of weight; ``kept``: share of the positive eigenvalues that they hold;
    ``stress``: root of the sum of squared misses over the sum of squared distances; ``eigenvalues`` (n,), descending.

    Examples
    --------
    >>> plane = embed([[0, 1, 1], [1, 0, 1], [1, 1, 0]])
    >>> plane.coordinates.shape, round(plane.kept, 9), round(plane.stress, 9)
    ((3, 2), 1.0, 0.0)
    """

    coordinates: Array
    kept: float
    stress: float
    eigenvalues: Array = field(repr=False)


def embed(distances: ArrayLike, dimensions: int = 2) -> Embedding:
    r"""Classical multidimensional scaling (Torgerson 1952): a map on which distances are as right as possible.

    With J the centring projection the eigenvectors of ``-J d^2 J / 2``, times the roots of their eigenvalues, are
    coordinates of the points about their centre; the largest are kept.  Negative eigenvalues say that no Euclidean
    space holds the distances exactly.  Each axis points to its largest coordinate (among equals to the last point).

    Parameters
    ----------
    distances : array, (n, n)
        Symmetric, not negative, zero on the diagonal: not squared.
    dimensions : int

    Raises
    ------
    PigmmError
        For anything that is no matrix of distances.

    Examples
    --------
    >>> line = embed([[0, 1, 3], [1, 0, 2], [3, 2, 0]], dimensions=1)
    >>> line.coordinates[:, 0].round(6), round(line.kept, 6)
    (array([-1.333333, -0.333333,  1.666667]), 1.0)
    """
    try:
        d = np.array(distances, dtype=np.float64)
    except (TypeError, ValueError) as error:
        raise PigmmError.of("distances", got=type(distances).__name__, allowed="an (n, n) array") from error
    if d.ndim != 2 or d.shape[0] != d.shape[1] or not d.size or not np.isfinite(d).all():
        raise PigmmError.of("distances", got=f"shape {d.shape}", allowed="a square array of finite numbers")
    largest = float(d.max())
    if d.min() < 0 or np.diag(d).any() or np.abs(d - d.T).max() > 1e-9 * largest:
        raise PigmmError.of("distances", got="other numbers", allowed="symmetric, none negative, zero on the diagonal")
    n = len(d)
    if isinstance(dimensions, bool) or not isinstance(dimensions, int | np.integer) or not 1 <= dimensions <= n:
        raise PigmmError.of("dimensions", got=dimensions, allowed=f"an integer from 1 to the {n} points")
    if largest == 0:
        return Embedding(np.zeros((n, dimensions)), 1.0, 0.0, np.zeros(n))
    square = (d / largest) ** 2
    by_row = square - square.mean(axis=0)
    values, vectors = np.linalg.eigh((by_row - by_row.mean(axis=1, keepdims=True)) / -2)
    values, vectors = values[::-1], vectors[:, ::-1][:, :dimensions]
    size = np.abs(vectors)
    tip = n - 1 - np.argmax((size > (1 - 1e-6) * size.max(axis=0))[::-1], axis=0)
    vectors = vectors * np.sign(np.take_along_axis(vectors, tip[None], axis=0))
    top = np.clip(values[:dimensions], 0, None)
    x = vectors * np.sqrt(top)
    miss = np.sqrt(((x[:, None] - x[None]) ** 2).sum(axis=-1)) - d / largest
    return Embedding(
        x * largest, float(top.sum() / values[values > 0].sum()), float(np.sqrt((miss**2).sum() / square.sum())),
        values * largest**2,
    )  # fmt: skip


@dataclass(frozen=True, eq=False)
class Path:
    """Length of a path through laws against the straight way: see :func:`path`.  All in units of weight.

    Examples
    --------
    >>> way = Path(steps=np.array([3.0, 4.0]), straight=5.0, corrected=None)
    >>> way.length, round(way.directness, 3)
    (7.0, 0.714)
    """

    steps: Array
    straight: float
    corrected: float | None

    @property
    def length(self) -> float:
        """Sum of the steps."""
        return float(self.steps.sum())

    @property
    def directness(self) -> float:
        """Straight distance over length: 1 on a geodesic (and for a path that does not move)."""
        return self.straight / self.length if self.length > 0 else 1.0


def path(laws: Sequence[MatrixLaw], floors: ArrayLike | None = None) -> Path:
    """Length of the path through laws in their order, and the straight distance between its ends.

    Noise lengthens a path: the square of a measured step is on average that of the true one plus a noise floor.  With
    ``floors``, the expected squared distance of each step if nothing moved, ``corrected`` is the sum of the roots of
    (step squared - floor), a step below its floor counting as none.  Where steps stand well above their floors the
    true length lies, on average, between ``corrected`` and ``length``: noise along the step does no harm, but its share
    of the floor is subtracted too.  Where they do not, no length can be had from these laws.  For independent ensembles
    the floor of a step is ``noise_floor(law, R, R2)``; for the same networks at two epochs the errors cancel for the
    greater part, and :func:`pigmm.squared_distance` with ``paired=True`` measures it.

    Raises
    ------
    PigmmError
        For fewer than two laws, laws that cannot be compared, or floors that are no (n - 1) numbers.

    Examples
    --------
    >>> there_and_back = path([SimpleGaussian(m, 1.0, shape=(2, 2)) for m in (0.0, 1.0, 2.0, 1.0)])
    >>> there_and_back.length, there_and_back.straight, round(there_and_back.directness, 3)
    (6.0, 2.0, 0.333)
    """
    whole = LawStack.of(laws)
    n = len(whole.means[0])
    if n < 2:
        raise PigmmError.of("laws", got="one law", allowed="at least two")
    squares = whole[1:].squares(whole[:-1]).sum(axis=-1)
    corrected = None
    if floors is not None:
        try:
            expected = np.broadcast_to(np.array(floors, dtype=np.float64), n - 1)
        except (TypeError, ValueError) as error:
            raise PigmmError.of("floors", got=floors, allowed=f"a number or {n - 1} of them") from error
        if not (expected >= 0).all():
            raise PigmmError.of("floors", got=floors, allowed="numbers that are not negative")
        corrected = float(np.sqrt(np.clip(squares - expected, 0, None)).sum())
    return Path(np.sqrt(squares), w2(laws[0], laws[-1]), corrected)


@dataclass(frozen=True, eq=False)
class Trajectory:
    """The laws of an archive, layer by layer and within a layer epoch by epoch, with the labels of each.

    Examples
    --------
    >>> import pigmm
    >>> training = trajectory(pigmm.load("digits"))
    >>> len(training.of("L1")), training.epochs[:3]
    (21, (0, 1, 2))
    """

    laws: tuple[MatrixLaw, ...] = field(repr=False)
    layers: tuple[str, ...]
    epochs: tuple[int, ...]

    def of(self, layer: str) -> tuple[MatrixLaw, ...]:
        """The laws of one layer, such as ``"L1"``, in the order of epochs."""
        if layer not in self.layers:
            raise PigmmError.of("layer", got=layer, allowed=", ".join(dict.fromkeys(self.layers)))
        return tuple(law for law, name in zip(self.laws, self.layers, strict=True) if name == layer)


def trajectory(
    archive: Archive, layers: Iterable[int] | None = None, law: type[MatrixLaw] = GaussianMatrixModel, runs: str = "all"
) -> Trajectory:
    """Laws fitted at every epoch of every layer, ready for :func:`pigmm.distance_matrix`.

    Parameters
    ----------
    archive : Archive
    layers : integers, optional
        By default all layers that have such a law: the square ones for GaussianMatrixModel, the last one for
        LabelledRowGaussian, else all studied ones.  Only layers of one shape can be compared with each other.
    law : class of law
    runs : ``"all"`` or ``"alive"``

    Examples
    --------
    >>> import pigmm
    >>> training = trajectory(pigmm.load("mnist-gaussian"))
    >>> len(training.laws), training.layers[51], training.epochs[51]
    (153, 'L2', 0)
    """
    last = len(archive.layers) - 1
    fits: dict[Any, tuple[Any, Iterable[int]]] = {
        GaussianMatrixModel: (archive.model, featured_layers(archive.template)),
        TwoSidedGaussian: (archive.two_sided, range(last + 1)),
        SimpleGaussian: (archive.simple, range(last + 1)),
        LabelledRowGaussian: (lambda epoch, layer, runs: archive.labelled(epoch, runs), (last,)),
    }
    if law not in fits:
        raise PigmmError.of("law", got=getattr(law, "__name__", law), allowed="a class of pigmm.models")
    fit, possible = fits[law]
    chosen = list(possible if layers is None else layers)
    if not chosen or (law is LabelledRowGaussian and chosen != [last]):
        raise PigmmError.of("layers", got=chosen, allowed=f"some of {list(possible)}")
    places = [(layer, epoch) for layer in chosen for epoch in range(archive.epochs + 1)]
    return Trajectory(
        tuple(fit(epoch, layer, runs) for layer, epoch in places),
        tuple(f"L{layer + 1}" for layer, _ in places), tuple(epoch for _, epoch in places),
    )  # fmt: skip


def contributions(training: Trajectory, start: Mapping[str, MatrixLaw] | None = None) -> pd.DataFrame:
    """Which part moved: the squared distance from the start split by block, a row an epoch and layer.

    Columns ``epoch``, ``layer``, ``mean`` and the blocks (see :func:`pigmm.w2_by_block`), in squared weights.
    ``training`` is a :func:`trajectory`; ``start`` gives a law for each layer, by default the fitted one of its first
    epoch.

    Examples
    --------
    >>> import pigmm
    >>> table = contributions(trajectory(pigmm.load("digits")))
    >>> table.columns.tolist(), float(table["mean"][0])
    (['epoch', 'layer', 'mean', 'V0', 'VH', 'V2', 'V3'], 0.0)
    """
    first = dict(zip(reversed(training.layers), reversed(training.laws), strict=True)) if start is None else start
    if missing := set(training.layers) - set(first):
        raise PigmmError.of("start", got=", ".join(first), allowed=f"a law for {', '.join(sorted(missing))} too")
    rows = zip(training.epochs, training.layers, training.laws, strict=True)
    frame: pd.DataFrame = require_pandas().DataFrame(
        [{"epoch": epoch, "layer": layer, **w2_by_block(law, first[layer])} for epoch, layer, law in rows]
    )
    return frame
