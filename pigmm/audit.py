r"""Audits of a whole ensemble: are its runs independent and of one law, through all epochs?

The audits of one snapshot are those of :mod:`pigmm.independence` and can be called from here as well:
:func:`correlations`, :func:`run_order`, :func:`same_law`.  Those of a training are

- :func:`jumps`: all runs move together from epoch to epoch, as they do when they see the images in one order (curves);
- :func:`symmetry_through_training`, :func:`symmetry_of_snapshots`: the eight exact nulls of separate relabelling at
  all epochs and layers together.

:func:`audit` does all that an archive allows.  A choice that is made once for *all* runs leaves them independent given
that choice, and exchangeable.  No test of one snapshot of one ensemble can see it; two ensembles, or many epochs, can.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import ArrayLike
from scipy import stats

from .errors import PigmmError
from .independence import (
    Audit,
    correlations,
    feature_table,
    generator,
    integers,
    matrix_features,
    randomised,
    run_order,
    same_law,
)
from .irreps import Array, as_matrices
from .symmetry import randomised_contrasts, symmetry_test
from .tables import require_pandas, unit

if TYPE_CHECKING:
    import pandas as pd

    from .archive import Archive

__all__ = [
    "Audit", "Report", "audit", "cauchy", "correlations", "features", "jumps", "matrix_features", "run_order",
    "same_law", "symmetry_of_snapshots", "symmetry_through_training",
]  # fmt: skip

FEW = 500  # runs; below, Hotelling's T² does not know its own errors well enough


@dataclass(frozen=True, eq=False)
class Report:
    """Outcome of :func:`audit`: the audits by name.

    Examples
    --------
    >>> from pigmm import load
    >>> report = audit(load("digits"), epochs=[20], permutations=99)
    >>> 0 < report.pvalue <= 1, report.table.columns.tolist()[:2]
    (True, ['check', 'statistics'])
    """

    parts: dict[str, Audit]

    @property
    def pvalue(self) -> float:
        """Of all audits together (Bonferroni): below 0.05 in at most 5 % of sound ensembles."""
        return min(1.0, len(self.parts) * min(part.pvalue for part in self.parts.values()))

    @property
    def table(self) -> pd.DataFrame:
        """check, statistics (how many), worst (which), z (of the worst), p, p_family (Bonferroni), exact."""
        rows = [
            {
                "check": name, "statistics": len(part.names), "worst": part.names[part.worst],
                "z": part.z[part.worst], "p": part.pvalue, "p_family": min(1.0, len(self.parts) * part.pvalue),
                "exact": part.exact,
            }
            for name, part in self.parts.items()
        ]  # fmt: skip
        table: pd.DataFrame = require_pandas().DataFrame(rows)
        return table


# ---- runs among themselves


def features(archive: Archive, epoch: int = -1) -> dict[str, Array]:
    """Numbers per run at an epoch: loss, test accuracy, and :func:`matrix_features` where weights are kept.

    Examples
    --------
    >>> from pigmm import load
    >>> list(features(load("mnist-gaussian"), 50))[:3]
    ['loss', 'accuracy', 'L1 mean']
    """
    _check_archive(archive)
    epoch = _epoch(archive, epoch)
    return _features(archive, epoch, _kept(archive, epoch))


def _features(archive: Archive, epoch: int, weights: Mapping[int, Array]) -> dict[str, Array]:
    found = {"loss": archive.loss[:, epoch - 1]} if epoch else {}
    found["accuracy"] = archive.test_accuracy[:, epoch]
    for layer, W in weights.items():
        found |= matrix_features(W, f"L{layer + 1}", labelled=layer == len(archive.layers) - 1)
    return found


# ---- many epochs


def jumps(curves: Mapping[str, ArrayLike] | ArrayLike, degree: int = 5) -> Audit:
    r"""Does the mean curve over runs jump from epoch to epoch more than independent runs allow?

    Each run's curve (loss or accuracy over some late epochs) is projected on what is orthogonal to all polynomials of
    this degree.  If the expected curve is such a polynomial over these epochs, the means of the E - degree - 1
    coefficients vanish: Hotelling's T², with the covariance taken from the runs.  Runs that see the images in the same
    order share good and bad epochs, so that the mean of all keeps them.  A significant value in the loss may also mean
    that the window is too long for the polynomial: try a shorter one.

    Parameters
    ----------
    curves : array (R, E), or mapping of names to such
        R at least twice E - degree - 1, and E at least degree + 3.
    degree : int

    Returns
    -------
    Audit
        One row a curve, value F = T² (R-q)/(q (R-1)) with q = E - degree - 1.  Approximate (F law); together by the
        smallest p (Bonferroni).

    Examples
    --------
    >>> rng, t = np.random.default_rng(0), np.linspace(0, 1, 20)
    >>> curves = np.exp(-t) + 0.1 * rng.normal(size=(200, 20))
    >>> bool(jumps(curves).pvalue > 0.05), bool(jumps(curves + 0.03 * rng.normal(size=20)).pvalue < 0.001)
    (True, True)
    """
    if isinstance(degree, bool) or not isinstance(degree, int | np.integer) or degree < 0:
        raise PigmmError.of("degree", got=degree, allowed="an integer of at least 0")
    given = curves if isinstance(curves, Mapping) else {"curve": curves}
    if not given:
        raise PigmmError.of("curves", got="none", allowed="at least one, (runs, epochs)")
    rows = []
    for name, curve in given.items():
        y = feature_table(curve, least=8)[1]
        runs, epochs = y.shape
        q = epochs - degree - 1
        if q < 2 or runs < 2 * q:
            allowed = f"at least {degree + 3} epochs, and at least twice as many runs as epochs - {degree + 1}"
            raise PigmmError.of("curves", got=f"{runs} runs, {epochs} epochs", allowed=allowed)
        powers = np.polynomial.legendre.legvander(np.linspace(-1, 1, epochs), degree)
        beyond = np.linalg.qr(powers, mode="complete").Q[:, degree + 1 :]
        size = np.abs(y).max()
        rows.append((name, _hotelling((y - y.mean()) / (size if size > 0 else 1.0) @ beyond), stats.f(q, runs - q)))
    p = np.array([law.sf(f) for _, f, law in rows])
    return Audit(
        tuple(name for name, _, _ in rows), np.array([f for _, f, _ in rows]),
        np.array([law.mean() for *_, law in rows]), np.array([law.std() for *_, law in rows]),
        p, min(1.0, len(p) * float(p.min())), False,
    )  # fmt: skip


def symmetry_through_training(archive: Archive, epochs: Sequence[int] | None = None) -> Audit:
    """The eight exact nulls of separate relabelling in all square layers at all epochs, from averages alone.

    One row an epoch and layer (epochs first): T² of :func:`pigmm.symmetry_test` and its p-value by the F law or, with
    fewer than 500 runs, where that law rejects too often, χ² of :func:`pigmm.orbit_test`.  Snapshots of one training
    are not independent, so the p-values are joined by :func:`cauchy`.  Only matrices between different neurons are
    tested: of recurrent and residual networks the output matrix.

    Examples
    --------
    >>> from pigmm import load
    >>> symmetry_through_training(load("digits"), epochs=[0, 10, 20]).pvalue > 0.001
    True
    """
    _check_archive(archive)
    layers = _separate(archive)
    chosen = range(archive.epochs + 1) if epochs is None else [_epoch(archive, e) for e in integers("epochs", epochs)]
    if not layers:
        raise PigmmError.of("archive", got="no square layer between different neurons", allowed="one, with D >= 4")
    R = archive.count()
    ask = archive.symmetry if R >= FEW else archive.orbit_test
    found = {(e, k): ask(e, k) for e in chosen for k in layers}
    law, factor = (stats.f(8, R - 8), 8 * (R - 1) / (R - 8)) if R >= FEW else (stats.chi2(8), 1.0)
    p = np.array([test.pvalue for test in found.values()])
    return Audit(
        tuple(f"epoch {e}, L{k + 1}" for e, k in found), np.array([test.statistic for test in found.values()]),
        np.full(len(p), factor * law.mean()), np.full(len(p), factor * law.std()), p, cauchy(p), False,
    )  # fmt: skip


def cauchy(pvalues: ArrayLike) -> float:
    """One p-value from many ``pvalues`` that may depend on each other: the Cauchy combination.

    ``mean(tan(pi (1/2 - p)))`` is nearly standard Cauchy in its upper tail under almost any dependence.

    Examples
    --------
    >>> round(cauchy([0.3]), 12), round(cauchy([0.04, 0.04, 0.04]), 12)
    (0.3, 0.04)
    """
    p = np.asarray(pvalues, dtype=np.float64)
    if not p.size or not ((p >= 0) & (p <= 1)).all():
        raise PigmmError.of("pvalues", got=pvalues, allowed="numbers from 0 to 1, one at least")
    p = np.clip(p, 1e-300, 0.99)  # a single p of 1 must not outvote all others
    total = np.mean(np.where(p < 1e-8, 1 / (np.pi * p), np.tan(np.pi * (0.5 - np.maximum(p, 1e-8)))))
    return float(stats.cauchy.sf(total))


def symmetry_of_snapshots(
    layers: Mapping[str, Sequence[ArrayLike]] | ArrayLike, *, permutations: int = 199, seed: int = 0
) -> Audit:
    """The eight nulls at several epochs of the same runs, jointly and exactly, from raw weights.

    The neurons of a run keep their names during training, so the columns of a layer are permuted alike at all its
    epochs, each run on its own: under the null this changes nothing in the joint law of all snapshots, however they
    depend on each other.  (For layers of one network too: relabelling all neurons of a network amounts, for these
    contrasts, to independent column permutations in each of its matrices.)  Together: the largest T².

    Parameters
    ----------
    layers : array (epochs, R, D, D), or mapping of names to such
        The same R in all, at least 12; D at least 4.
    permutations : at least 99; one costs about a millisecond for 1000 matrices of size 10
    seed : int

    Examples
    --------
    >>> W = np.random.default_rng(0).normal(size=(3, 50, 4, 4))      # three epochs, 50 runs
    >>> symmetry_of_snapshots(W, permutations=99).pvalue > 0.01
    True
    """
    given: Mapping[str, Any] = layers if isinstance(layers, Mapping) else {"W": layers}
    generator(seed, permutations, 99)
    names, observed, draws, runs = [], [], [], set()
    for k, (name, snapshots) in enumerate(given.items()):
        if np.ndim(snapshots) != 4 or not len(snapshots):
            raise PigmmError.of("layers", got=f"shape {np.shape(snapshots)}", allowed="(epochs, R, D, D)")
        for epoch, W in enumerate(np.asarray(snapshots)):
            batch = as_matrices(W, square=True, min_dim=4, min_runs=12)
            runs.add(len(batch))
            test = symmetry_test(batch, permutations=0)
            factor = test.statistic / test.f
            shuffled = randomised_contrasts(batch / unit(batch), permutations, 1000 * seed + k)  # alike at all epochs
            draws.append([factor * _hotelling(contrasts) for contrasts in shuffled])
            observed.append(test.statistic)
            names.append(f"snapshot {epoch}, {name}")
    if len(runs) != 1:
        raise PigmmError.of("layers", got=f"{sorted(runs)} runs", allowed="the same runs in all")
    every = range(len(names))
    return randomised(tuple(names), np.array(observed), np.array(draws).T, upper=tuple(every))


# ---- all that an archive allows


def audit(
    archive: Archive,
    *,
    epochs: Sequence[int] | None = None,
    lags: Sequence[int] = (1, 2, 3),
    blocks: Sequence[int] = (10, 100),
    permutations: int = 199,
    seed: int = 0,
) -> Report:
    """Every check that an archive allows, in one table.

    Parameters
    ----------
    archive : Archive
    epochs : epochs of the checks of runs among themselves and of the two halves
        By default the first and the last one at which raw weights are kept.
    lags, blocks
        As in :func:`correlations`; blocks larger than half of the runs are left out.
    permutations : of raw weights, at least 99; features take five times as many
    seed : int

    Examples
    --------
    >>> from pigmm import load
    >>> report = audit(load("mnist-gaussian"), epochs=[50], permutations=99)
    >>> bool(report.pvalue > 0.01)
    True
    """
    _check_archive(archive)
    if archive.runs < 16:
        raise PigmmError.of("archive", got=f"{archive.runs} runs", allowed="at least 16, for two halves of eight")
    generator(seed, permutations, 99)
    lags, blocks = integers("lags", lags), integers("blocks", blocks)
    last, half = archive.epochs, archive.runs // 2
    if epochs is None:
        kept = {e: found for e in range(last + 1) if (found := _kept(archive, e))} or {last: {}}
        kept = {e: kept[e] for e in sorted({min(kept), max(kept)})}
    else:
        kept = {e: _kept(archive, e) for e in (_epoch(archive, e) for e in integers("epochs", epochs))}
    blocks, many = [b for b in blocks if b <= half], 5 * permutations
    parts = {}
    for e, weights in kept.items():
        if network := _network(archive, weights):
            relabel = "separate" if archive.config.architecture == "mlp" else "shared"
            parts[f"weights of runs overlap, epoch {e}"] = correlations(
                network, relabel=relabel, lags=lags, blocks=blocks, permutations=permutations, seed=seed
            )
        x = _features(archive, e, weights)
        parts[f"neighbouring runs, epoch {e}"] = run_order(x, lags=lags, blocks=blocks, permutations=many, seed=seed)
        first, second = ({name: v[part] for name, v in x.items()} for part in (slice(half), slice(half, None)))
        parts[f"two halves, epoch {e}"] = same_law(first, second, permutations=many, seed=seed)
    start = last // 2
    if last - start >= 10 and archive.runs >= 100:
        curves = {"loss": archive.loss[:, start:], "accuracy": archive.test_accuracy[:, start + 1 :]}
        parts["jumps of the mean curve"] = jumps(curves)
    if layers := _separate(archive):
        parts["eight nulls, all epochs"] = symmetry_through_training(archive)
        raw = {f"L{k + 1}": [weights[k] for weights in kept.values() if k in weights] for k in layers}
        if raw := {name: snapshots for name, snapshots in raw.items() if snapshots}:
            parts["eight nulls, raw weights"] = symmetry_of_snapshots(raw, permutations=permutations, seed=seed)
    return Report(parts)


def _check_archive(archive: Any) -> None:
    from .archive import Archive

    if not isinstance(archive, Archive):
        raise PigmmError.of("archive", got=archive, allowed="an Archive", fix="pigmm.load(name) opens one.")


def _epoch(archive: Archive, epoch: int) -> int:
    last = archive.epochs
    if isinstance(epoch, bool) or not isinstance(epoch, int | np.integer) or not -last - 1 <= epoch <= last:
        raise PigmmError.of("epoch", got=epoch, allowed=f"an integer from 0 to {last}, or negative from the end")
    return int(epoch) % (last + 1)


def _kept(archive: Archive, epoch: int) -> dict[int, Array]:
    """Layer → raw weights, of the layers whose weights are kept at this epoch."""
    found = {}
    for layer in range(len(archive.layers)):
        try:
            found[layer] = archive.weights(epoch, layer)
        except PigmmError:
            continue
    return found


def _network(archive: Archive, weights: dict[int, Array]) -> list[Array]:
    """The first matrices that follow each other; hidden ones alone where they join a layer to itself."""
    last = len(archive.layers) - (archive.config.architecture != "mlp")
    chain: list[Array] = []
    for layer in sorted(weights):
        if layer < last and (not chain or layer - 1 in weights):
            chain.append(weights[layer])
    return chain


def _separate(archive: Archive) -> list[int]:
    """Square layers with different neurons on their two sides."""
    last = len(archive.layers) - 1
    square = [k for k in archive.config.square_layers if archive.layers[k][0] >= 4]
    return [k for k in square if k == last or archive.config.architecture == "mlp"]


def _hotelling(y: Array) -> float:
    """F = T² (R-q)/(q (R-1)) of the means of y (R, q)."""
    runs, q = y.shape
    mean, errors = y.mean(axis=0), y.std(axis=0, ddof=1) / np.sqrt(runs)
    if not (errors > 0).all():
        raise PigmmError.of("runs", got="statistics that do not vary over runs", allowed="runs that differ")
    correlation = np.corrcoef(y.T)
    if np.linalg.eigvalsh(correlation)[0] < 1e-10:
        raise PigmmError.of("runs", got="statistics that depend on each other", allowed="more runs that differ")
    z = mean / errors
    return float(z @ np.linalg.solve(correlation, z)) * (runs - q) / (q * (runs - 1))
