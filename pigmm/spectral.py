r"""Singular values by width, beside those of independent entries and of the fitted five-parameter law.

For a large square matrix of independent entries their law is the quarter circle, with its edge at twice the root mean
square, and the largest follows Tracy and Widom; the few parameters of rows and columns can only add a part of rank two.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import ArrayLike
from scipy import special, stats

from .evolution import frame
from .irreps import Array
from .layout import archived_bipartite
from .models import TwoSidedGaussian
from .scaling import Archives
from .tables import require_pandas

if TYPE_CHECKING:
    import pandas as pd

__all__ = ["largest_expected", "quarter_circle", "spectra", "spikes", "tails"]


def quarter_circle(share: ArrayLike) -> Array:
    r"""Quantile of the singular values of a large square matrix of independent entries, in units of their rms.

    Below it lies a ``share`` F of them:

    .. math:: F(s) = \tfrac1\pi \left( \tfrac{s}{2} \sqrt{4 - s^2} + 2 \arcsin \tfrac{s}{2} \right), \quad 0 \le s \le 2

    Examples
    --------
    >>> quarter_circle([0.0, 0.5, 1.0]).round(4)
    array([0.    , 0.8079, 2.    ])
    """
    s = 2 * np.sqrt(special.betaincinv(0.5, 1.5, np.asarray(share, dtype=float)))  # s²/4 is Beta(1/2, 3/2)
    return np.asarray(s)


def largest_expected(n: int) -> float:
    r"""Mean largest singular value of an n x n matrix of independent normal entries of variance 1/n.

    Its square is near ``(mu + sigma TW)/n`` with the Tracy-Widom law TW of mean -1.2065 and variance 1.6078 (Johnstone
    2001; with n - 1/2 in place of n, Ma 2012): the edge at 2 is approached like n^(-2/3).

    Examples
    --------
    >>> W = np.random.default_rng(0).normal(size=(400, 30, 30)) / 30**0.5
    >>> abs(np.linalg.norm(W, 2, axis=(1, 2)).mean() - largest_expected(30)) < 0.02
    np.True_
    """
    half = n - 0.5
    sigma = 2 * np.sqrt(half) * (4 / half) ** (1 / 6) / n
    square = 4 * half / n - 1.2065 * sigma
    return float(np.sqrt(square) - 1.6078 * sigma**2 / (8 * square**1.5))


def spikes(law: TwoSidedGaussian) -> Array:
    r"""Singular values outside the bulk that a large square matrix of the five-parameter law has, largest first.

    Mean, row sums and column sums are a part of rank two, with Gram matrix

    .. math:: \begin{pmatrix} a^2 & x \\ x & b^2 \end{pmatrix}, \quad
       a^2 = n^2 m^2 + v_{00} + (n-1)(v_c - v_{rc}), \; b^2 = (n-1)(v_r - v_{rc}), \; x = n |m| b .

    One of its singular values theta stands out of a bulk with entries of variance v_rc, whose edge is at 2 sigma,
    ``sigma^2 = n v_rc``, if theta > sigma, and then at ``theta + sigma^2/theta`` (Benaych-Georges, Nadakuditi 2012).

    Examples
    --------
    >>> law = TwoSidedGaussian([0.0, 0.01, 0.01, 0.16, 0.01], (100, 100))
    >>> spikes(law).round(2), np.linalg.norm(law.sample(200), 2, axis=(1, 2)).mean().round(1)
    (array([4.11]), np.float64(4.1))
    """
    n = law.shape[0]
    m, v00, vr, vc, vrc = law.parameters
    a2 = n * n * m * m + v00 + (n - 1) * max(vc - vrc, 0.0)
    b2 = (n - 1) * max(vr - vrc, 0.0)
    x = n * abs(m) * np.sqrt(b2)
    theta2 = np.linalg.eigvalsh([[a2, x], [x, b2]])[::-1]
    out = theta2[theta2 > n * vrc]
    return np.asarray(np.sqrt(out) + n * vrc / np.sqrt(out))


def spectra(archives: Archives, epochs: Sequence[int], runs: str = "all") -> pd.DataFrame:
    """Means of the ordered singular values by width and epoch, in units of their root mean square.

    ``rank`` from 1; ``share``: (rank - 1/2)/n; ``value``, ``se``; ``quarter``: where the quarter circle has it.
    ``archives`` maps widths to archives.

    Examples
    --------
    >>> import pigmm
    >>> spectra({10: pigmm.load("mnist-width-10")}, [0]).columns.tolist()
    ['width', 'epoch', 'rank', 'share', 'value', 'se', 'quarter']
    """
    frames = []
    for width, archive in archives.items():
        for epoch in epochs:
            s = archive.singular_values(epoch, 0, runs)
            rms = np.sqrt((s.mean**2 + s.squares / s.count).mean())
            share = (np.arange(width) + 0.5) / width
            frames.append(require_pandas().DataFrame({
                "width": width, "epoch": epoch, "rank": np.arange(1, width + 1), "share": share, "value": s.mean / rms,
                "se": s.standard_error() / rms, "quarter": quarter_circle(1 - share),
            }))  # fmt: skip
    table: pd.DataFrame = require_pandas().concat(frames, ignore_index=True)
    return table


def tails(archives: Archives, epochs: Sequence[int], runs: str = "all") -> pd.DataFrame:
    """Singular values beyond the edge, which for independent entries is at 2, and what they carry.

    In units of the root mean square singular value of the ensemble: ``largest`` (± ``largest_se``); ``beyond``: how
    many of a matrix are above 2 on average, each taken as normal with its own mean and variance, ``beyond_se`` an upper
    bound of its error (as if all moved together); ``fourth``: mean fourth power, 2 + 1/n for independent entries, from
    the invariant 01.02.31.32; and which part of its excess over that the largest one brings (``by_largest``) and those
    in the upper tenth (``by_tenth``), against the quarter circle, missing where the excess is below five standard
    errors.  ``law_largest``, ``law_beyond``: what the fitted five-parameter law would have, by :func:`spikes` and
    :func:`largest_expected`.

    Examples
    --------
    >>> import pigmm
    >>> bool(tails({10: pigmm.load("mnist-width-10")}, [0])["largest"].between(1.5, 2.5).all())
    True
    """
    ring = [graph.name for graph in archived_bipartite()].index("01.02.31.32")
    rows: list[dict[str, object]] = []
    for width, archive in archives.items():
        for epoch in epochs:
            s = archive.singular_values(epoch, 0, runs)
            variance = s.squares / max(s.count - 1, 1)
            rms2 = (s.mean**2 + s.squares / s.count).mean()
            mean, sd = s.mean / np.sqrt(rms2), np.sqrt(variance / rms2)
            edge = (mean - 2) / sd
            invariants, unit = archive.bipartite(epoch, 0, runs), width * rms2 * rms2
            fourth, error = invariants.mean[ring] / unit, invariants.standard_error()[ring] / unit
            powers = mean**4 + 6 * mean**2 * sd**2 + 3 * sd**4
            excess = (powers - quarter_circle(1 - (np.arange(width) + 0.5) / width) ** 4) / width
            total = fourth - 2 - 1 / width
            tenth = max(1, width // 10)
            large = total > 5 * error
            law = archive.two_sided(epoch, 0, runs)
            out = spikes(law) / np.sqrt(rms2)
            bulk = float(np.sqrt(width * law.parameters[4] / rms2)) * largest_expected(width)
            rows.append({
                "width": width, "epoch": epoch, "largest": mean[0], "largest_se": sd[0] / np.sqrt(s.count),
                "beyond": float(stats.norm.cdf(edge).sum()),
                "beyond_se": float(stats.norm.pdf(edge).sum() / np.sqrt(s.count)),
                "law_largest": max([*out, bulk]), "law_beyond": int((out > 2).sum()),
                "fourth": fourth, "fourth_se": error, "independent": 2 + 1 / width,
                "by_largest": excess[0] / total if large else np.nan,
                "by_tenth": excess[:tenth].sum() / total if large else np.nan,
            })  # fmt: skip
    return frame(rows)
