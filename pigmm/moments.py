"""Means and co-moments that can be merged: the only thing an archive remembers of its runs.

Features are columns of numbers, one row a run; any leading axes (epochs) are carried along.  The first ``axes``
features get their full co-moments with all features, the others only their own sum of squares, so that 374 features
cost 13 x 374 numbers and not 374 x 374.  Merging follows Chan, Golub and LeVeque (1979): deviations are always taken
about the mean, so nothing cancels however large the mean is.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from .irreps import Array

__all__ = ["Moments"]


@dataclass(frozen=True, eq=False)
class Moments:
    """Count, mean (..., p), co-moments of the first q features with all (..., q, p), sums of squares (..., p).

    Co-moments are sums over runs of products of deviations from the mean: divide by ``count`` for the population
    covariance, by ``count - 1`` for the unbiased one.

    Examples
    --------
    >>> import numpy as np
    >>> x = np.random.default_rng(0).normal(size=(7, 3))
    >>> whole, parts = Moments.of(x, axes=2), Moments.of(x[:3], axes=2).merge(Moments.of(x[3:], axes=2))
    >>> bool(np.allclose(whole.comoment, parts.comoment)), parts.count
    (True, 7)

    Examples
    --------
    >>> archive = Moments.of(np.random.default_rng(0).normal(size=(5, 100, 3)), axes=1)     # five epochs, 100 runs
    >>> last = archive.at(4).take([0, 2])
    >>> last.mean.shape, bool((last.standard_error() < 0.15).all())
    ((2,), True)
    >>> Moments.from_arrays(whole.arrays("x"), "x").count
    7
    """

    count: int
    mean: Array
    comoment: Array
    squares: Array

    @classmethod
    def of(cls, features: Array, axes: int) -> Moments:
        """Moments of ``features`` (..., R, p), the first ``axes`` with co-moments; R may be zero."""
        count = features.shape[-2]
        mean = features.sum(axis=-2) / max(count, 1)
        deviation = features - mean[..., None, :]
        comoment = deviation[..., :axes].swapaxes(-1, -2) @ deviation
        return cls(count, mean, comoment, (deviation * deviation).sum(axis=-2))

    def merge(self, other: Moments) -> Moments:
        """Moments of the runs of both, of these and of those of ``other``."""
        count = self.count + other.count
        if count == 0:
            return self
        step = other.mean - self.mean
        weight = self.count * other.count / count
        axes = self.comoment.shape[-2]
        return Moments(
            count,
            self.mean + step * (other.count / count),
            self.comoment + other.comoment + weight * step[..., :axes, None] * step[..., None, :],
            self.squares + other.squares + weight * step * step,
        )

    def at(self, *index: int) -> Moments:
        """The moments at one place, ``index``, of the leading axes."""
        return Moments(self.count, self.mean[index], self.comoment[index], self.squares[index])

    def take(self, features: Sequence[int]) -> Moments:
        """The moments of these features only; the first ones must stay first."""
        index = list(features)
        return Moments(self.count, self.mean[..., index], self.comoment[..., index], self.squares[..., index])

    def standard_error(self) -> Array:
        """Standard error of each mean: unbiased standard deviation over the square root of the count."""
        error: Array = np.sqrt(self.squares / max(self.count - 1, 1) / max(self.count, 1))
        return error

    def arrays(self, prefix: str) -> dict[str, Array]:
        """Plain arrays under names that begin with ``prefix``."""
        return {
            f"{prefix}/count": np.array(self.count), f"{prefix}/mean": self.mean,
            f"{prefix}/comoment": self.comoment, f"{prefix}/squares": self.squares,
        }  # fmt: skip

    @classmethod
    def from_arrays(cls, arrays: dict[str, Array], prefix: str) -> Moments:
        """The inverse of :meth:`arrays` with the same ``prefix``."""
        mean, comoment, squares = (
            np.asarray(arrays[f"{prefix}/{part}"], dtype=np.float64) for part in ("mean", "comoment", "squares")
        )
        return cls(int(arrays[f"{prefix}/count"]), mean, comoment, squares)
