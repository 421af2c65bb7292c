"""Figures about evidence: which relabellings leave a law unchanged, and how far a test can be trusted.

Like :mod:`pigmm.figures`, each function returns a :class:`~pigmm.style.Picture` that describes itself from the data.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np
from matplotlib.axes import Axes
from matplotlib.lines import Line2D
from numpy.typing import ArrayLike
from scipy import stats

from .calibration import ENSEMBLES
from .errors import PigmmError
from .style import INK, LAYER, PALETTE, Picture, axes_grid, legend
from .symmetry import SymmetryTest

__all__ = ["contrasts", "forgotten_fit", "permuted_ratios", "powers"]

_SYMBOLS = (
    "$x_2$", "$x_1x_2$", r"$u_1\!\cdot u_2$", r"$u_1\!\cdot u_3$", r"$u_2\!\cdot u_3$", "$x_2^2-A$",
    r"$u_3\!\cdot u_3-A$", r"$S\!\cdot S-A$",
)  # fmt: skip
_OTHERS = ((PALETTE[3], "s"), (PALETTE[5], "D"), (PALETTE[9], "^"), (INK, "v"))
CRITICAL = float(stats.norm.isf(0.025))


def contrasts(tests: Mapping[str, SymmetryTest]) -> Picture:
    """Eight contrasts that vanish under separate relabelling, in standard errors: one colour and shape a matrix.

    ``L1``, ``L2``, ... keep their colours of the book; any other names get squares, diamonds and triangles.
    """
    _filled(tests, "tests")
    figure, axes = axes_grid(1, 1, 4.9)
    ax, others, words, largest = axes[0, 0], iter(_OTHERS * len(tests)), [], {}
    ax.axvspan(-CRITICAL, CRITICAL, color=INK, alpha=0.15, linewidth=0)
    for k, (name, test) in enumerate(tests.items()):
        color, marker = (LAYER[name], "o") if name in LAYER else next(others)
        z = test.contrasts["z"].to_numpy()
        y = np.arange(8) + 0.13 * (k - (len(tests) - 1) / 2)
        ax.errorbar(z, y, xerr=1, fmt=marker, color=color, markersize=5.5, elinewidth=0.9, label=name)
        top = int(np.abs(z).argmax())
        largest[name] = abs(z[top])
        words.append(f"{name} {z[top]:+.1f} ({test.contrasts['name'][top]})")
    ax.set_xscale("symlog", linthresh=3)
    end = 1.5 * max(*largest.values(), 4.0)
    ticks = [t for t in (1, 3, 10, 30, 100, 300, 1000) if t < end]
    ax.set_xticks([-t for t in ticks[::-1]] + [0, *ticks], [f"−{t}" for t in ticks[::-1]] + ["0", *map(str, ticks)])
    ax.minorticks_off()
    ax.set(xlabel="mean / standard error", xlim=(-end, end), ylim=(7.6, -0.6), yticks=range(8))
    ax.set_yticklabels(_SYMBOLS)
    legend(ax)
    inside = [name for name, value in largest.items() if value < 4]
    outside = [f"{name} ({value:.0f})" for name, value in largest.items() if value >= 4]
    text = f"{_listed(inside)} stay within four standard errors of zero in all eight" if inside else "none stays near 0"
    text += f"; beyond it, with the largest |z| in brackets: {_listed(outside)}." if outside else "; no other is drawn."
    return Picture(
        figure,
        "Dot plot, on a scale that is logarithmic beyond 3, of eight contrasts in standard errors. Largest of each "
        f"matrix: {'; '.join(words)}.",
        f"What to see: {text} Grey: |z| below {CRITICAL:.2f}.",
    )


def permuted_ratios(ratios: Mapping[str, tuple[float, ArrayLike]], dof: int = 8) -> Picture:
    """Likelihood-ratio statistics after random column permutations, beside chi-squared and the one observed.

    Parameters
    ----------
    ratios : mapping
        Name of the matrix to (observed statistic, statistics of permuted copies).
    dof : int
        Degrees of freedom of the chi-squared law.
    """
    _filled(ratios, "ratios")
    figure, axes = axes_grid(1, len(ratios), 3.3, sharey=True)
    law, words = stats.chi2(dof), []
    for ax, (name, (observed, null)) in zip(axes[0], ratios.items(), strict=True):
        null = np.asarray(null, dtype=np.float64)
        edges = np.geomspace(min(null.min(), observed, 1.0) / 1.2, max(null.max(), observed, 40.0) * 1.2, 26)
        share, middle = np.histogram(null, edges)[0] / len(null), np.sqrt(edges[1:] * edges[:-1])
        color = LAYER.get(name.split()[-1], PALETTE[0])
        ax.stairs(share, edges, fill=True, color=color, alpha=0.4, label="columns permuted")
        ax.errorbar(middle, share, np.sqrt(share * (1 - share) / len(null)), fmt="none", ecolor=color, elinewidth=0.8)
        ax.stairs(np.diff(law.cdf(edges)), edges, color=INK, linewidth=1.5, label=rf"$\chi^2$, {dof} d.o.f.")
        ax.axvline(observed, color=PALETTE[3], linestyle="--", label="observed")
        ax.set(xscale="log", title=name, xlabel="likelihood ratio")
        low, high = (int(np.floor(np.log10(e))) for e in (edges[0], edges[-1]))
        ticks = [m * 10.0**power for power in range(low, high + 1) for m in (1, 3)]
        ticks = [tick for tick in ticks if edges[0] < tick < edges[-1]]
        ax.set_xticks(ticks, [f"{tick:g}" for tick in ticks])
        ax.minorticks_off()
        exact = (1 + (null >= observed).sum()) / (1 + len(null))
        words.append(
            f"{name} observed {observed:.1f}, mean of {len(null)} permutations {null.mean():.1f}, "
            f"p exact {exact:.2g}, by chi-squared {law.sf(observed):.2g}"
        )
    axes[0, 0].set_ylabel("share in each bin")
    legend(axes[0, 0])
    return Picture(
        figure,
        f"Histograms of the likelihood ratio after random column permutations, with the chi-squared law of mean {dof}. "
        f"{'; '.join(words)}.",
        f"What to see: where the filled histogram lies to the right of the line, χ² is the wrong yardstick. "
        f"{'; '.join(words)}.",
    )


def forgotten_fit(naive: ArrayLike, honest: ArrayLike) -> Picture:
    """Deviations of predictions under the truth in two kinds of standard error: fit forgotten, and fit counted.

    Both are arrays (ensembles, invariants), of two ensembles at least.
    """
    figure, axes = axes_grid(2, 1, 3.9, sharex=True)
    edges, words = np.linspace(-4, 4, 49), []
    panels = {"fit forgotten": (np.asarray(naive), PALETTE[1]), "fit counted": (np.asarray(honest), PALETTE[0])}
    for ax, (name, (z, color)) in zip(axes[:, 0], panels.items(), strict=True):
        if z.ndim != 2 or len(z) < 2:
            raise PigmmError.of("deviations", got=f"shape {z.shape}", allowed="(ensembles, invariants), two or more")
        ax.stairs(np.histogram(z, edges, density=True)[0], edges, fill=True, color=color, alpha=0.5)
        ax.plot(edges, stats.norm.pdf(edges), color=INK)
        for side in (-CRITICAL, CRITICAL):
            ax.axvline(side, color=INK, linestyle="--", linewidth=1)
        shares = 100 * (np.abs(z) > CRITICAL).mean(axis=1)
        error = shares.std(ddof=1) / np.sqrt(len(shares))
        beyond = f"{shares.mean():.2f} ± {error:.2f} % beyond ±{CRITICAL:.2f}"
        ax.set_title(f"{name}: {beyond}", loc="left")
        ax.set_yticks([])
        words.append(f"{name}, spread {z.std():.2f} and {beyond}")
    axes[1, 0].set_xlabel("(measured − predicted) / error")
    return Picture(
        figure,
        f"Histograms of {np.size(honest)} deviations in {len(shares)} ensembles of a true law, in standard errors, "
        f"with the normal curve: {'; '.join(words)} (± standard error over ensembles).",
        f"What to see: the law is true, so 5 % should lie beyond the dashed lines; {'; '.join(words)}.",
    )


def powers(result: Mapping[str, Any]) -> Picture:
    """A calibration study: family-wise rejection rates of 348 and 43 invariants, and the published ratio beside."""
    cells = _cells(result)
    names = [name for name in ENSEMBLES if any(ensemble == name for ensemble, _ in cells)]
    sizes = sorted({R for _, R in cells})
    figure, axes = axes_grid(1, 2, 0.5 * len(names) + 1.7, sharey=True)
    rates, ratios = axes[0]
    for s, R in enumerate(sizes):
        filled = s == len(sizes) - 1
        for k, name in enumerate(names):
            if (cell := cells.get((name, R))) is None:
                continue
            y = k + (0.17 if filled else -0.17)
            for key, color, marker, shift in (("13", PALETTE[1], "s", -0.08), ("5", PALETTE[0], "o", 0.08)):
                value, error = cell[f"{key} family"]
                options: dict[str, Any] = {"color": color, "markerfacecolor": color if filled else "none"}
                rates.errorbar(value, y + shift, xerr=1.96 * error, fmt=marker, markersize=5, **options)
            for key, marker in (("13 ratio", "D"), ("13 ratio_max", "^")):
                value, error = cell[key]
                ratios.errorbar(
                    value, y, xerr=min(1.96 * error, 0.9 * value), fmt=marker, markersize=5, color=PALETTE[2],
                    markerfacecolor=PALETTE[2] if filled else "none",
                )  # fmt: skip
    rates.axvline(0.05, color=INK, linestyle="--", linewidth=1)
    rates.set(xlim=(-0.04, 1.04), xlabel="share of ensembles\nrejected at 5 %")
    rates.set_xticks([0, 0.5, 1], ["0", "0.5", "1"])
    ratios.set(xscale="log", xlabel="|difference| / spread,\ntypical and largest")
    ticks = [t for t in (0.01, 0.1, 1, 10) if ratios.get_xlim()[0] < t < ratios.get_xlim()[1]]
    ratios.set_xticks(ticks, [f"{t:g}" for t in ticks])
    ratios.minorticks_off()
    rates.set(ylim=(len(names) - 0.5, -0.5), yticks=range(len(names)))
    rates.set_yticklabels(names)
    last_gaussian = sum(ENSEMBLES[name][0].startswith("Gaussian") for name in names) - 0.5
    for ax in (rates, ratios):
        ax.axhline(last_gaussian, color=INK, linewidth=0.8)
    _keys(rates, ratios, sizes)
    return Picture(figure, _described(cells, names, sizes), _seen(cells, names, sizes))


def _keys(rates: Axes, ratios: Axes, sizes: list[int]) -> None:
    """A legend above: colours are tests, hollow marks fewer networks."""
    entries = [("348 invariants", PALETTE[1], "s"), ("43 bipartite", PALETTE[0], "o")]
    for label, color, marker in entries:
        rates.plot([], [], marker, color=color, label=label)
    rates.plot([], [], "D", color=PALETTE[2], label="typical ratio")
    rates.plot([], [], "^", color=PALETTE[2], label="largest ratio")
    for s, R in enumerate(sizes):
        filled = s == len(sizes) - 1
        rates.add_line(Line2D([], [], marker="o", linestyle="none", color=INK, label=f"R = {R}"))
        rates.lines[-1].set_markerfacecolor(INK if filled else "none")
    legend(rates)
    ratios.tick_params(left=False)


def _described(cells: Mapping[tuple[str, int], Any], names: list[str], sizes: list[int]) -> str:
    R, words = sizes[-1], []
    for name in names:
        if cell := cells.get((name, R)):
            many, few, ratio = cell["13 family"], cell["5 family"], cell["13 ratio"]
            words.append(
                f"{name}: {many[0]:.2f} ± {many[1]:.2f} and {few[0]:.2f} ± {few[1]:.2f}, typical ratio {ratio[0]:.3f}"
            )
    return (
        f"Dot plot of the share of simulated ensembles that are rejected at 5 % by 348 and by 43 invariants, for "
        f"{' and '.join(map(str, sizes))} networks, with the ratio |difference| / spread beside. At R = {R}, with "
        f"standard errors: {'; '.join(words)}."
    )


def _seen(cells: Mapping[tuple[str, int], Any], names: list[str], sizes: list[int]) -> str:
    R = sizes[-1]
    gaussian = [cells[n, R]["13 family"][0] for n in names if _true(n) and (n, R) in cells]
    false = [cells[n, R] for n in names if not _true(n) and (n, R) in cells]
    text = f"What to see: at R = {R},"
    if gaussian:
        low, high = (f"{100 * rate:.0f} %" for rate in (min(gaussian), max(gaussian)))
        text += f" Gaussian laws (above the line) are rejected in {low} to {high} of ensembles"
    if caught := [cell["13 ratio"][0] for cell in false if cell["13 family"][0] > 0.95]:
        text += (
            f"; {len(caught)} of the {len(false)} others nearly always, though their typical ratio is "
            f"{min(caught):.3f} to {max(caught):.3f}"
        )
    return text + ". The ratio says nothing about truth: it must be read with R, which a test does by itself."


def _true(name: str) -> bool:
    return ENSEMBLES[name][0].startswith("Gaussian")


def _cells(result: Mapping[str, Any]) -> dict[tuple[str, int], Any]:
    _filled(result.get("cells", {}), "study")
    return {(cell["ensemble"], cell["runs"]): cell for cell in result["cells"].values()}


def _filled(items: Mapping[str, Any], what: str) -> None:
    if not items:
        raise PigmmError.of(what, got="nothing to draw", allowed="at least one entry")


def _listed(names: list[str]) -> str:
    return " and ".join([", ".join(names[:-1]), names[-1]] if len(names) > 1 else names)
