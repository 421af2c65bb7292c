r"""Matrices split into irreducible representations of permutation groups.

A *decomposition* turns a batch of matrices into one array per block, shape ``(R, copies, width)``: ``copies`` is the
multiplicity of the irrep and the last axis holds its coordinates in an isometric embedding, so that inner products are
those of the matrices themselves.  ``project`` and ``recombine`` cost O(MN) per matrix; no MN x MN matrix is ever built.
The Gaussian laws of :mod:`pigmm.models` are written once for such blocks.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Protocol

import numpy as np
from numpy.typing import ArrayLike, NDArray

from .errors import PigmmError

__all__ = [
    "Block", "Decomposition", "Diagonal", "LabelledRows", "Pooled", "TwoSided",
    "as_matrices", "sufficient_statistics", "two_sided_statistics",
]  # fmt: skip

Array = NDArray[np.float64]


def as_matrices(W: ArrayLike, *, square: bool = False, min_dim: int = 1, min_runs: int = 1) -> Array:
    """A batch of finite real matrices as float64 ``(R, M, N)``; one matrix becomes a batch of one.

    Parameters
    ----------
    W : array_like, (R, M, N) or (M, N)
    square : bool
        Whether M and N must be equal.
    min_dim, min_runs : int
        The least M and N, and the least R, that are allowed.
    Raises
    ------
    PigmmError
        Names the shape, dtype or first non-finite matrix when the input cannot be such a batch.

    Examples
    --------
    >>> as_matrices([[1, 2], [3, 4]]).shape
    (1, 2, 2)
    >>> as_matrices([[1, 2], [3, 4]], min_runs=2)
    Traceback (most recent call last):
    ...
    pigmm.errors.PigmmError: W: got 1 matrices; allowed: at least 2 (too few runs)
    """
    try:
        if np.ma.is_masked(W):
            raise ValueError("a masked array with masked entries")
        given = np.asarray(W)
    except (ValueError, TypeError, RuntimeError) as error:  # ragged lists, tensors that need detaching
        raise PigmmError.of("W", got=str(error).splitlines()[0], allowed="a real array of shape (R, M, N)") from error
    if given.dtype.kind not in "fiub":
        raise PigmmError.of("W", got=f"dtype {given.dtype}", allowed="real numbers", fix="Convert it to float64.")
    if given.ndim == 2:
        given = given[None]
    if given.ndim != 3 or 0 in given.shape:
        raise PigmmError.of("W", got=f"shape {given.shape}", allowed="(R, M, N) with no empty axis, or (M, N)")
    runs, rows, columns = given.shape
    if square and rows != columns:
        raise PigmmError.of(
            "W", got=f"{rows}x{columns} matrices", allowed="square matrices",
            fix="pigmm.TwoSidedGaussian describes rectangular ones.",
        )  # fmt: skip
    if min(rows, columns) < min_dim:
        raise PigmmError.of("W", got=f"{rows}x{columns} matrices", allowed=f"at least {min_dim}x{min_dim}")
    if runs < min_runs:
        raise PigmmError.of("W", got=f"{runs} matrices", allowed=f"at least {min_runs} (too few runs)")
    batch = given.astype(np.float64)
    bad = ~np.isfinite(batch).all(axis=(1, 2))
    if bad.any():
        raise PigmmError.of(
            "W", got=f"NaN or infinity in {bad.sum()} of {runs} matrices, first in number {int(bad.argmax())}",
            allowed="finite numbers",
        )  # fmt: skip
    if (largest := np.abs(batch).max()) > 1e150:
        raise PigmmError.of(
            "W", got=f"weights up to {largest:.3g}", allowed="weights up to 1e150, whose squares are still numbers",
            fix="Divide the matrices by a constant first.",
        )  # fmt: skip
    return batch


@dataclass(frozen=True)
class Block:
    """One isotypic block: ``copies`` copies of an irrep of dimension ``dim``.

    Examples
    --------
    >>> Diagonal(10).blocks[1]
    Block(name='VH', copies=3, dim=9)
    """

    name: str
    copies: int
    dim: int


class Decomposition(Protocol):
    """What the block laws need of a decomposition: the verbs that all of them have.

    Examples
    --------
    >>> import numpy as np
    >>> W = np.random.default_rng(0).normal(size=(5, 4, 4))
    >>> for decomposition in (Diagonal(4), TwoSided(4, 4), Pooled(4, 4), LabelledRows(4, 4)):
    ...     parts = decomposition.project(W)
    ...     size = sum(block.copies * block.dim for block in decomposition.blocks)
    ...     print(decomposition.shape, size, np.allclose(decomposition.recombine(parts), W))
    (4, 4) 16 True
    (4, 4) 16 True
    (4, 4) 16 True
    (4, 4) 16 True
    """

    @property
    def shape(self) -> tuple[int, int]:
        """(M, N) of the matrices."""

    @property
    def blocks(self) -> tuple[Block, ...]:
        """The blocks, in the order of :meth:`project`."""

    def project(self, W: Array) -> tuple[Array, ...]:
        """One array (R, copies, width) for each block; together they have the norm of W."""

    def recombine(self, parts: tuple[Array, ...]) -> Array:
        """The matrices with these parts: the inverse of :meth:`project`."""


def _centre(x: Array) -> Array:
    centred: Array = x - x.mean(axis=-1, keepdims=True)
    return centred


@dataclass(frozen=True)
class Diagonal:
    r"""``R^{DxD} = 2 V0 + 3 VH + V2 + V3`` under joint relabelling of rows and columns.

    With row sums r, column sums c, diagonal d, ``P = I - J/D`` and ``g = sqrt(D/(D-2))`` the coordinates are
    ``x1 = s/D``, ``x2 = (t - s/D)/sqrt(D-1)``; ``u1 = P c/sqrt(D)``, ``u2 = P r/sqrt(D)``,
    ``u3 = g P (d - (r + c)/D)``; and the symmetric and antisymmetric parts S, A of what is left.

    Examples
    --------
    >>> import numpy as np
    >>> W = np.random.default_rng(0).normal(size=(3, 5, 5))
    >>> parts = Diagonal(5).project(W)
    >>> [p.shape for p in parts]
    [(3, 2, 1), (3, 3, 5), (3, 1, 25), (3, 1, 25)]
    >>> bool(np.allclose(Diagonal(5).recombine(parts), W))
    True
    """

    dim: int

    def __post_init__(self) -> None:
        if isinstance(self.dim, bool) or not isinstance(self.dim, int | np.integer) or not 4 <= self.dim <= 10**6:
            raise PigmmError.of(
                "dim", got=self.dim, allowed="an integer of at least 4 (and at most a million)",
                fix="Below 4 the space V2 is empty and the 13 parameters are not independent.",
            )  # fmt: skip

    @property
    def shape(self) -> tuple[int, int]:
        return self.dim, self.dim

    @property
    def blocks(self) -> tuple[Block, ...]:
        D = self.dim
        return (
            Block("V0", 2, 1), Block("VH", 3, D - 1),
            Block("V2", 1, D * (D - 3) // 2), Block("V3", 1, (D - 1) * (D - 2) // 2),
        )  # fmt: skip

    def project(self, W: Array) -> tuple[Array, ...]:
        D = self.dim
        rows, columns = W.sum(axis=2), W.sum(axis=1)
        diagonal = np.einsum("rii->ri", W)
        total, trace = rows.sum(axis=1), diagonal.sum(axis=1)
        x = np.stack([total / D, (trace - total / D) / np.sqrt(D - 1)], axis=1)
        beyond = np.sqrt(D / (D - 2)) * (diagonal - (rows + columns) / D)
        u = _centre(np.stack([columns / np.sqrt(D), rows / np.sqrt(D), beyond], axis=1))
        rest = W - self._vectors(x, u)
        symmetric, antisymmetric = (rest + rest.swapaxes(1, 2)) / 2, (rest - rest.swapaxes(1, 2)) / 2
        return x[..., None], u, symmetric.reshape(-1, 1, D * D), antisymmetric.reshape(-1, 1, D * D)

    def recombine(self, parts: tuple[Array, ...]) -> Array:
        x, u, symmetric, antisymmetric = parts
        return self._vectors(x[..., 0], u) + (symmetric + antisymmetric).reshape(-1, self.dim, self.dim)

    def _vectors(self, x: Array, u: Array) -> Array:
        """The part of the matrices that lies in 2 V0 + 3 VH."""
        D = self.dim
        g = np.sqrt(D / (D - 2))
        on_diagonal = x[:, 1] / np.sqrt(D - 1)
        everywhere = (x[:, 0] - on_diagonal) / D
        by_row, by_column = u[:, 1] / np.sqrt(D) - g * u[:, 2] / D, u[:, 0] / np.sqrt(D) - g * u[:, 2] / D
        W: Array = everywhere[:, None, None] + by_row[:, :, None] + by_column[:, None, :]
        index = np.arange(D)
        W[:, index, index] += on_diagonal[:, None] + g * u[:, 2]
        return W


@dataclass(frozen=True)
class _Rectangular:
    rows: int
    columns: int

    @property
    def shape(self) -> tuple[int, int]:
        return self.rows, self.columns


@dataclass(frozen=True)
class TwoSided(_Rectangular):
    """``R^{MxN}`` under separate relabelling of rows and columns: four irreps, each once.

    Coordinates: ``s/sqrt(MN)``, centred row sums over ``sqrt(N)``, centred column sums over ``sqrt(M)``, and the
    doubly centred matrix.

    Examples
    --------
    >>> [(block.name, block.dim) for block in TwoSided(3, 5).blocks]
    [('00', 1), ('rows', 2), ('columns', 4), ('bulk', 8)]
    """

    @property
    def blocks(self) -> tuple[Block, ...]:
        M, N = self.shape
        return (
            Block("00", 1, 1), Block("rows", 1, M - 1),
            Block("columns", 1, N - 1), Block("bulk", 1, (M - 1) * (N - 1)),
        )  # fmt: skip

    def project(self, W: Array) -> tuple[Array, ...]:
        M, N = self.shape
        mean = W.mean(axis=(1, 2))
        by_row, by_column = _centre(W.mean(axis=2)), _centre(W.mean(axis=1))
        bulk = W - mean[:, None, None] - by_row[:, :, None] - by_column[:, None, :]
        return (
            np.sqrt(M * N) * mean[:, None, None], np.sqrt(N) * by_row[:, None],
            np.sqrt(M) * by_column[:, None], bulk.reshape(-1, 1, M * N),
        )  # fmt: skip

    def recombine(self, parts: tuple[Array, ...]) -> Array:
        M, N = self.shape
        x, by_row, by_column, bulk = parts
        vectors = x / np.sqrt(M * N) + by_row.swapaxes(1, 2) / np.sqrt(N) + by_column / np.sqrt(M)
        W: Array = vectors + bulk.reshape(-1, M, N)
        return W


@dataclass(frozen=True)
class Pooled(_Rectangular):
    """The mean of all entries, and everything else: the decomposition behind independent entries.

    Examples
    --------
    >>> Pooled(3, 4).blocks
    (Block(name='00', copies=1, dim=1), Block(name='rest', copies=1, dim=11))
    """

    @property
    def blocks(self) -> tuple[Block, ...]:
        return Block("00", 1, 1), Block("rest", 1, self.rows * self.columns - 1)

    def project(self, W: Array) -> tuple[Array, ...]:
        flat = W.reshape(-1, 1, self.rows * self.columns)
        return np.sqrt(flat.shape[2]) * flat.mean(axis=2, keepdims=True), _centre(flat)

    def recombine(self, parts: tuple[Array, ...]) -> Array:
        x, rest = parts
        W: Array = (x / np.sqrt(rest.shape[2]) + rest).reshape(-1, self.rows, self.columns)
        return W


@dataclass(frozen=True)
class LabelledRows:
    """One side labelled, the other exchangeable: the average over the exchangeable side, and the N - 1 contrasts.

    Both blocks have M = ``labelled`` copies.  With ``labels="columns"`` the matrices are N x M and their columns carry
    the labels.

    Examples
    --------
    >>> LabelledRows(3, 4).blocks
    (Block(name='average', copies=3, dim=1), Block(name='contrasts', copies=3, dim=3))
    >>> LabelledRows(3, 4, labels="columns").shape
    (4, 3)
    """
    labelled: int
    exchangeable: int
    labels: str = "rows"

    def __post_init__(self) -> None:
        if self.labels not in ("rows", "columns"):
            raise PigmmError.of("labels", got=self.labels, allowed="'rows' or 'columns'")

    @property
    def shape(self) -> tuple[int, int]:
        M, N = self.labelled, self.exchangeable
        return (M, N) if self.labels == "rows" else (N, M)

    @property
    def blocks(self) -> tuple[Block, ...]:
        return Block("average", self.labelled, 1), Block("contrasts", self.labelled, self.exchangeable - 1)

    def project(self, W: Array) -> tuple[Array, ...]:
        upright = W if self.labels == "rows" else W.swapaxes(1, 2)
        return np.sqrt(self.exchangeable) * upright.mean(axis=2, keepdims=True), _centre(upright)

    def recombine(self, parts: tuple[Array, ...]) -> Array:
        x, contrasts = parts
        W: Array = x / np.sqrt(self.exchangeable) + contrasts
        return W if self.labels == "rows" else W.swapaxes(1, 2)


def sufficient_statistics(W: ArrayLike) -> Array:
    r"""The 13 sufficient statistics of the diagonal law, one row per matrix.

    Order: ``x1, x2, x1^2, x1 x2, x2^2``, then ``u_a.u_b/(D-1)`` for ab = 11, 12, 13, 22, 23, 33, then
    ``|S|^2/dim V2`` and ``|A|^2/dim V3``.  Their averages over an ensemble determine f1...f13.

    Parameters
    ----------
    W : array, (R, D, D)
        Square matrices with D at least 4.

    Returns
    -------
    array, (R, 13)

    Examples
    --------
    >>> import numpy as np
    >>> sufficient_statistics(np.eye(4)).round(3)
    array([[1.   , 1.732, 1.   , 1.732, 3.   , 0.   , 0.   , 0.   , 0.   ,
            0.   , 0.   , 0.   , 0.   ]])
    """
    batch = as_matrices(W, square=True, min_dim=4)
    decomposition = Diagonal(batch.shape[1])
    x, *parts = decomposition.project(batch)
    x1, x2 = x[:, 0, 0], x[:, 1, 0]
    columns = [x1, x2, x1 * x1, x1 * x2, x2 * x2]
    for block, part in zip(decomposition.blocks[1:], parts, strict=True):
        gram = np.einsum("rai,rbi->rab", part, part) / block.dim
        columns += [gram[:, a, b] for a in range(block.copies) for b in range(a, block.copies)]
    return np.stack(columns, axis=1)


def two_sided_statistics(W: ArrayLike) -> Array:
    """Per matrix: grand mean m, its square, and the second moments per dimension of rows, columns and bulk, (R, 5).

    Averages over an ensemble fit :class:`pigmm.TwoSidedGaussian` (``v00 = MN (<m^2> - <m>^2)``).

    Examples
    --------
    >>> import numpy as np
    >>> two_sided_statistics(np.ones((1, 2, 3)))
    array([[1., 1., 0., 0., 0.]])
    """
    batch = as_matrices(W)
    decomposition = TwoSided(*batch.shape[1:])
    mean = batch.mean(axis=(1, 2))
    columns = [mean, mean * mean]
    for block, part in zip(decomposition.blocks[1:], decomposition.project(batch)[1:], strict=True):
        columns.append((part * part).sum(axis=(1, 2)) / max(block.dim, 1))
    return np.stack(columns, axis=1)
