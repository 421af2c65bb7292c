"""The figures of the book: they draw tables of :mod:`pigmm.evolution` and :mod:`pigmm.gaussianity`, no more.

Each function returns a :class:`~pigmm.style.Picture`: the figure, a description for those who cannot see it, and one
sentence saying what to see; both sentences are made from the data.  ``show`` displays it.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

import numpy as np
import seaborn as sns
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from numpy.typing import ArrayLike

from .style import INK, LAYER, PALETTE, STYLE, TITLE, Picture, axes_grid, band, legend, show

if TYPE_CHECKING:
    import pandas as pd

__all__ = [
    "Picture", "agreement", "curves", "distances", "drift", "error_shrinkage", "gains", "initial_z", "matrices",
    "misses", "predictions", "show", "spectra", "two_measures", "variances",
]  # fmt: skip


def _schemes(tables: Mapping[str, Any], height: float, rows: int = 1, **options: Any) -> tuple[Figure, Any]:
    """A grid with one column a scheme."""
    figure, axes = axes_grid(rows, len(tables), height, sharex=True, sharey="row", **options)
    for ax, scheme in zip(axes[0], tables, strict=True):
        ax.set_title(TITLE[scheme])
    return figure, axes


def matrices(W: ArrayLike, layer: str, epoch: int) -> Picture:
    """Three weight matrices of an ensemble, its mean and standard deviation matrices, and all its entries."""
    W = np.asarray(W)
    mean, spread = W.mean(axis=0), W.std(axis=0, ddof=1)
    figure, axes = axes_grid(2, 3, 4.4)
    limit = 2.5 * W.std()
    panels = [(matrix, f"network {k + 1}") for k, matrix in enumerate(W[:3])]
    panels += [(np.full_like(mean, np.nan), "")] * (3 - len(panels))
    panels += [(mean, f"mean\n{mean.min():.2f} to {mean.max():.2f}")]
    panels += [(spread, f"std. deviation\n{spread.min():.2f} to {spread.max():.2f}")]
    for ax, (matrix, title) in zip(axes.flat, panels, strict=False):
        image = ax.imshow(matrix, cmap=sns.color_palette("vlag", as_cmap=True), vmin=-limit, vmax=limit)
        ax.set(title=title, xticks=[], yticks=[])
        ax.grid(False)
    axes[0, 0].set_ylabel("to neuron i")
    axes[1, 0].set(xlabel="from neuron j", ylabel="to neuron i")
    bar = figure.colorbar(image, ax=axes[:, :2], shrink=0.7, location="left", label="weight")
    bar.outline.set_visible(False)
    bar.ax.tick_params(colors=INK)
    bar.ax.yaxis.label.set_color(INK)
    ax = axes[1, 2]
    ax.hist(W.ravel(), bins=60, density=True, color=PALETTE[0], alpha=0.5)
    x = np.linspace(-2 * limit, 2 * limit, 200)
    ax.plot(x, np.exp(-0.5 * ((x - W.mean()) / W.std()) ** 2) / W.std() / np.sqrt(2 * np.pi), color=INK)
    ax.set(title="all entries", xlabel="weight", yticks=[], xlim=(-1.6 * limit, 1.6 * limit))
    alt = (
        f"Heatmaps of layer {layer} at epoch {epoch}: {len(W[:3])} of {len(W)} networks look like unrelated noise; "
        f"the mean over networks has entries between {mean.min():.3f} and {mean.max():.3f}, the standard deviation "
        f"between {spread.min():.3f} and {spread.max():.3f}. A histogram of all entries lies beside a normal curve."
    )
    see = (
        f"What to see: single networks look unrelated, and what they share is statistical: over all entries the mean "
        f"is {W.mean():.3f} and the standard deviation {W.std():.3f}."
    )
    return Picture(figure, alt, see)


def initial_z(tables: Mapping[str, pd.DataFrame]) -> Picture:
    """Deviation of I1 ... I13 from their exact initial values in standard errors, by layer and scheme."""
    figure, axes = _schemes(tables, 4.6)
    for ax, table in zip(axes[0], tables.values(), strict=True):
        ax.axvspan(-1.96, 1.96, color=INK, alpha=0.15, linewidth=0)
        for shift, (layer, part) in enumerate(table.groupby("layer")):
            ax.plot(
                part["z"], part["paper"] + 0.2 * (shift - 1), "o", color=LAYER[str(layer)], label=layer, markersize=5
            )
        ax.set(xlabel="deviation / standard error", ylim=(13.7, 0.3), yticks=range(1, 14))
    first = next(iter(tables.values()))
    names = first.drop_duplicates("paper").sort_values("paper")
    axes[0, 0].set_yticklabels(
        [f"I{p}  {n}" for p, n in zip(names["paper"], names["name"], strict=True)], family="monospace"
    )
    legend(axes[0, -1])
    z = np.concatenate([table["z"] for table in tables.values()])
    share, largest = 100 * (np.abs(z) < 1.96).mean(), np.abs(z).max()
    text = f"{share:.0f} % of {len(z)} deviations lie within 1.96 standard errors, the largest at {largest:.1f}."
    return Picture(
        figure, f"Dot plot of thirteen invariants at initialisation for each layer and scheme. {text}",
        f"What to see: {text} With correct errors about 95 % should.",
    )  # fmt: skip


def error_shrinkage(table: pd.DataFrame) -> Picture:
    """Root-mean-square relative error of invariants against the number of networks averaged."""
    figure, axes = axes_grid(1, 1, 3.6)
    ax, ends = axes[0, 0], []
    for k, (name, part) in enumerate(table.groupby("name", sort=False)):
        ax.errorbar(
            part["runs"], part["error"], yerr=part["error_se"], marker="o", markersize=4, color=PALETTE[k], label=name,
            linestyle="none",
        )  # fmt: skip
        ax.plot(part["runs"], part["expected"], color=PALETTE[k], linewidth=1)
        ends.append(f"{name} from {part['error'].iloc[0]:.2g} to {part['error'].iloc[-1]:.2g}")
    ax.set(xscale="log", yscale="log", xlabel="networks averaged, R", ylabel="relative error of the mean")
    sizes = sorted(table["runs"].unique())
    ax.set_xticks(sizes, [str(size) for size in sizes])
    ax.minorticks_off()
    legend(ax, columns=4)
    low, high = table["runs"].min(), table["runs"].max()
    alt = f"Relative error against the number of networks from {low} to {high}, log-log: {'; '.join(ends)}."
    see = "What to see: points follow the lines (standard deviation / √R); four times the networks halve the error."
    return Picture(figure, alt, see)


def agreement(tables: Mapping[str, pd.DataFrame]) -> Picture:
    """Measured against predicted for every cubic and quartic invariant, one panel a law, in units of the spread."""
    figure, axes = axes_grid(1, len(tables), 3.5, sharex=True, sharey=True)
    summary = {}
    for ax, (law, table) in zip(axes[0], tables.items(), strict=True):
        spread = table["sd"].where(table["sd"] > 0)
        for degree, marker, color in ((3, "o", PALETTE[0]), (4, "^", PALETTE[1])):
            part = table["degree"] == degree
            x, y = table["predicted"] / spread, table["measured"] / spread
            ax.errorbar(
                x[part], y[part], yerr=(table["se"] / spread)[part], fmt=marker, markersize=3.5, color=color,
                elinewidth=0.6, alpha=0.75, label=f"degree {degree}",
            )  # fmt: skip
        ax.axline((0, 0), slope=1, color=INK, linewidth=1, zorder=0)
        ax.set(title=law, xlabel="predicted / spread")
        summary[law] = float(np.sqrt(((table["measured"] - table["predicted"]) ** 2 / spread**2).mean()))
    axes[0, 0].set_ylabel("measured / spread")
    for ax in axes[0]:
        ax.set_xscale("symlog", linthresh=0.1)
        ax.set_yscale("symlog", linthresh=0.1)
    legend(axes[0, 0])
    words = "; ".join(f"{law}: {value:.2f}" for law, value in summary.items())
    return Picture(
        figure,
        f"Measured against predicted means of {len(table)} cubic and quartic invariants, in units of their spread over "
        f"networks. Root-mean-square miss: {words}.",
        f"What to see: the closer to the diagonal, the better the law predicts. Root-mean-square miss in units of the "
        f"spread over networks: {words}.",
    )


def two_measures(tables: Mapping[str, Mapping[str, pd.DataFrame]]) -> Picture:
    """Effect size (the paper's ratio) against |z| for every cubic and quartic invariant, by scheme and layer."""
    figure, axes = _schemes(tables, 3.6)
    highest = max(table["z"].abs().max() for layers in tables.values() for table in layers.values())
    words = []
    for ax, (scheme, layers) in zip(axes[0], tables.items(), strict=True):
        ax.axhspan(1e-3, 1.96, color=INK, alpha=0.15, linewidth=0)
        for layer, table in layers.items():
            z = table["z"].abs().clip(lower=0.02)
            ratio = table["ratio"].clip(lower=1e-4)
            ax.plot(ratio, z, ".", color=LAYER[layer], label=layer, markersize=4, alpha=0.7)
            top = table.iloc[int(z.to_numpy().argmax())]
            words.append(
                f"{scheme} {layer} largest |z| {abs(top['z']):.1f} ({top['name']}, effect size {top['ratio']:.2f})"
            )
        ax.set(xscale="log", yscale="log", xlabel="effect size", ylim=(0.02, 2 * highest))
    axes[0, 0].set_ylabel("|z|: difference / its error")
    legend(axes[0, -1])
    return Picture(
        figure,
        f"Scatter of the effect size against |z| of cubic and quartic predictions. {'; '.join(words)}.",
        "What to see: a true law leaves 95 % of points inside the grey band (|z| below 1.96), whatever the effect; "
        f"points far above it refute the law. The largest |z| is {highest:.1f}.",
    )


def curves(tables: Mapping[str, pd.DataFrame]) -> Picture:
    """Test accuracy and training loss by epoch: median and the middle 80 % of networks."""
    figure, axes = axes_grid(2, 1, 4.6, sharex=True)
    words = []
    for k, (scheme, table) in enumerate(tables.items()):
        for ax, name in zip(axes[:, 0], ("accuracy", "loss"), strict=True):
            middle = table[f"{name}_median"]
            ax.plot(table["epoch"], middle, color=PALETTE[k], linestyle=STYLE[scheme], label=TITLE[scheme])
            band(ax, table["epoch"], table[f"{name}_low"], table[f"{name}_high"], PALETTE[k])
        last = table.iloc[-1]
        words.append(
            f"{TITLE[scheme]}: accuracy median {last['accuracy_median']:.3f}, mean {last['accuracy_mean']:.3f} ± "
            f"{last['accuracy_se']:.3f}, {int(last['dead'])} dead"
        )
    axes[0, 0].set_ylabel("test accuracy")
    axes[1, 0].set(ylabel="training loss (nats)", xlabel="epoch")
    legend(axes[0, 0])
    text = f"After epoch {int(last['epoch'])}: {'; '.join(words)}."
    return Picture(
        figure, f"Test accuracy and training loss by epoch, median and middle 80 % of networks. {text}",
        f"What to see: most networks learn within a few epochs, and a few stay behind. {text} Bands: the middle 80 %.",
    )  # fmt: skip


def drift(tables: Mapping[str, pd.DataFrame]) -> Picture:
    """Change of I1 ... I13 from the start to the last epoch in units of their initial spread, with errors."""
    figure, axes = _schemes(tables, 5.2)
    words = []
    for ax, (scheme, table) in zip(axes[0], tables.items(), strict=True):
        last = table[table["epoch"] == table["epoch"].max()]
        layers = list(last["layer"].unique())
        for k, layer in enumerate(layers):
            part = last[last["layer"] == layer]
            ax.barh(
                part["paper"] + 0.27 * (k - 1), part["shift"], xerr=1.96 * part["shift_se"], height=0.25,
                color=LAYER[layer], label=layer, error_kw={"elinewidth": 0.8, "ecolor": INK},
            )  # fmt: skip
        top = last.iloc[int(last["shift"].abs().to_numpy().argmax())]
        words.append(
            f"{scheme}: I{top['paper']} ({top['name']}) in {top['layer']}, {top['shift']:+.1f} ± {top['shift_se']:.1f}"
        )
        ax.axvline(0, color=INK, linewidth=0.8)
        ax.set(xlabel="change / initial spread", ylim=(13.7, 0.3), yticks=range(1, 14))
        ax.set_xscale("symlog", linthresh=1)
    names = last.drop_duplicates("paper").sort_values("paper")
    axes[0, 0].set_yticklabels(
        [f"I{p}  {n}" for p, n in zip(names["paper"], names["name"], strict=True)], family="monospace"
    )
    legend(axes[0, -1])
    end = int(last["epoch"].max())
    text = f"The largest change by epoch {end}, in initial spreads ± standard error: {'; '.join(words)}."
    see = f"What to see: {text} The scale is linear up to one and logarithmic beyond; error bars are 95 % confidence."
    return Picture(figure, f"Bars for thirteen invariants, three layers, each scheme. {text}", see)


def variances(tables: Mapping[str, pd.DataFrame], unit: Mapping[str, float]) -> Picture:
    """Variances of row sums, column sums and bulk by epoch over the initial variance: layers down, schemes across."""
    layers = list(next(iter(tables.values()))["layer"].unique())
    figure, axes = _schemes(tables, 1.8 * len(layers) + 0.8, rows=len(layers))
    kinds = (("f9", "row sums", 3), ("f6", "column sums", 0), ("f13", "bulk", 7))
    words = []
    for column, (scheme, table) in enumerate(tables.items()):
        for ax, layer in zip(axes[:, column], layers, strict=True):
            for name, label, color in kinds:
                part = table[(table["layer"] == layer) & (table["parameter"] == name)]
                y, e = part["value"] / unit[scheme], 1.96 * part["se"] / unit[scheme]
                ax.plot(part["epoch"], y, color=PALETTE[color], label=label)
                band(ax, part["epoch"], y - e, y + e, PALETTE[color])
                words.append(f"{layer} {label} {scheme} {y.iloc[-1]:.2f}")
            ax.axhline(1, color=INK, linewidth=0.8)
        axes[-1, column].set_xlabel("epoch")
    for ax, layer in zip(axes[:, 0], layers, strict=True):
        ax.set_ylabel(f"{layer}: variance /\ninitial variance")
    legend(axes[0, 0])
    return Picture(
        figure,
        f"Variances of row sums, column sums and bulk by epoch over the initial variance; last: {', '.join(words)}.",
        "What to see: for independent entries the three would be equal; where they part, the weights of one neuron "
        "are correlated. Bands are 95 % confidence.",
    )  # fmt: skip


def misses(tables: Mapping[str, pd.DataFrame]) -> Picture:
    """Root-mean-square effect size of the predictions of three laws by epoch: layers down, schemes across."""
    layers = list(next(iter(tables.values()))["layer"].unique())
    figure, axes = _schemes(tables, 1.7 * len(layers) + 0.8, rows=len(layers))
    laws = (
        ("2", "independent weights", 3, "-"),
        ("5", "5 parameters", 0, (0, (1, 1))),
        ("13", "13 parameters", 2, "-"),
    )
    words = []
    for column, (scheme, table) in enumerate(tables.items()):
        for ax, layer in zip(axes[:, column], layers, strict=True):
            part = table[table["layer"] == layer]
            for name, label, color, style in laws:
                ax.plot(part["epoch"], part[f"miss_{name}"], color=PALETTE[color], linestyle=style, label=label)
            ax.plot(part["epoch"], part["noise"], color=INK, linestyle="--", linewidth=1)
            ax.set(yscale="log")
            ax.set_yticks([0.05, 0.1, 0.2, 0.4], ["0.05", "0.1", "0.2", "0.4"])
            ax.minorticks_off()
            worst, last = part.loc[part["miss_2"].idxmax()], part.iloc[-1]
            words.append(
                f"{scheme} {layer}: independent weights at worst {worst['miss_2']:.2f} (epoch {int(worst['epoch'])}) "
                f"where 13 parameters miss by {worst['miss_13']:.2f}; at the end {last['miss_2']:.2f} and "
                f"{last['miss_13']:.2f}"
            )
        axes[-1, column].set_xlabel("epoch")
    for ax, layer in zip(axes[:, 0], layers, strict=True):
        ax.set_ylabel(f"{layer}: effect size\n(root mean square)")
    legend(axes[0, 0])
    return Picture(
        figure,
        f"Root-mean-square effect size of 348 predictions of three laws by epoch, log scale. {'; '.join(words)}.",
        "What to see: where the upper curve stands above the other two, correlations between weights are needed to "
        "predict; the dashed line is what a true law would show.",
    )  # fmt: skip


def _by_layer(ax: Axes, table: pd.DataFrame, column: str, style: str = "-", error: str | None = None) -> None:
    """One line a layer; with ``error`` its 95 % band, save near zero, where the delta method means nothing."""
    for layer, part in table.groupby("layer"):
        color = LAYER[str(layer)]
        ax.plot(part["epoch"], part[column], color=color, linestyle=style, label=str(layer) if style == "-" else None)
        if error:
            margin = (1.96 * part[error]).where(part[error] < part[column] / 2)
            band(ax, part["epoch"], part[column] - margin, part[column] + margin, color)


def _at_the_end(tables: Mapping[str, pd.DataFrame]) -> list[tuple[str, Any]]:
    """("scheme layer", row of the last epoch) for every scheme and layer."""
    ends = ((scheme, table[table["epoch"] == table["epoch"].max()]) for scheme, table in tables.items())
    return [(f"{scheme} {row.layer}", row) for scheme, end in ends for row in end.itertuples()]


def gains(tables: Mapping[str, pd.DataFrame]) -> Picture:
    """Nats per network by which the 13- and the 5-parameter law beat independent entries."""
    figure, axes = _schemes(tables, 3.4)
    for ax, table in zip(axes[0], tables.values(), strict=True):
        _by_layer(ax, table, "gain_13", error="se")
        _by_layer(ax, table, "gain_5", ":")
        ax.axhline(table["null_13"].iloc[0], color=INK, linestyle="--", linewidth=1)
        ax.set(xlabel="epoch", yscale="log")
    axes[0, 0].set_ylim(bottom=min(table["null_5"].min() for table in tables.values()) / 10)  # all panels share it
    axes[0, 0].set_ylabel("log-likelihood gain\n(nats per network)")
    legend(axes[0, -1])
    words = [f"{name} {row.gain_13:.2f} (5 parameters {row.gain_5:.2f})" for name, row in _at_the_end(tables)]
    noise = max(table["null_13"].max() for table in tables.values())
    return Picture(
        figure,
        "Gain in log-likelihood over independent entries by epoch, log scale. At the last epoch, in nats per network: "
        f"{'; '.join(words)}; noise alone: below {noise:.3f}.",
        "What to see: where a curve leaves the dashed noise level behind, independent weights are refuted; dotted "
        "curves have only five parameters.",
    )


def predictions(tables: Mapping[str, pd.DataFrame]) -> Picture:
    """Effect size and z of the cubic and quartic predictions by epoch."""
    figure, axes = _schemes(tables, 5.2, rows=2)
    for (effect, test), table in zip(axes.T, tables.values(), strict=True):
        for ax, middle, largest in ((effect, "ratio_median", "ratio_max"), (test, "z_rms", "z_max")):
            _by_layer(ax, table, middle)
            _by_layer(ax, table, largest, ":")
            ax.set_yscale("log")
        for _, part in table.groupby("layer"):
            effect.plot(part["epoch"], part["ratio_noise"], color=INK, linestyle="--", linewidth=1)
        test.axhline(1, color=INK, linestyle="--", linewidth=1)
        test.axhline(3.2, color=INK, linestyle=":", linewidth=1)  # the largest of 348 independent normals
        test.set_xlabel("epoch")
    axes[0, 0].set_ylabel("effect size")
    axes[1, 0].set_ylabel("|z|")
    legend(axes[0, -1])
    words = [
        f"{name} median {row.ratio_median:.3f}, largest {row.ratio_max:.2f}, largest |z| {row.z_max:.1f}"
        for name, row in _at_the_end(tables)
    ]
    return Picture(
        figure,
        "Deviation of predictions by epoch, effect size above and |z| below, log scales. At the last epoch: "
        f"{'; '.join(words)}.",
        "What to see: solid lines are the median (top) and root mean square (bottom) over 348 invariants, dotted ones "
        "the largest; the grey lines are what a true law would give.",
    )


def distances(tables: Mapping[str, pd.DataFrame]) -> Picture:
    """Squared Wasserstein distance from the initial law by epoch, with its noise floor."""
    figure, axes = _schemes(tables, 3.6)
    for ax, table in zip(axes[0], tables.values(), strict=True):
        _by_layer(ax, table, "w2_squared", error="se")
        ax.axhline(table["floor"].iloc[0], color=INK, linestyle="--", linewidth=1)
        ax.set(xlabel="epoch", yscale="log")
    axes[0, 0].set_ylim(bottom=min(table["floor"].min() for table in tables.values()) / 2)  # all panels share it
    axes[0, 0].set_ylabel("squared distance $W_2^2$\n(squared weights)")
    legend(axes[0, -1])
    words = [f"{name} {r.w2_squared:.2f} ± {r.se:.2f}, noise floor {r.floor:.2g}" for name, r in _at_the_end(tables)]
    return Picture(
        figure,
        "Squared Wasserstein distance of the fitted law from the exact initial one by epoch, log scale. At the last "
        f"epoch (± standard error): {'; '.join(words)}.",
        "What to see: how far each layer's law has moved; below the dashed line a distance is only noise.",
    )


def spectra(values: Mapping[str, Mapping[str, ArrayLike]]) -> Picture:
    """Histograms of singular values, trained matrices against samples of fitted laws, one panel a layer."""
    figure, axes = axes_grid(len(values), 1, 1.8 * len(values) + 0.5, sharex=True)
    words = []
    # a few loud networks would squeeze everything else into a corner
    limit = max(np.quantile(np.asarray(x), 0.99) for sets in values.values() for x in sets.values())
    for ax, (layer, sets) in zip(axes[:, 0], values.items(), strict=True):
        arrays = {label: np.asarray(x) for label, x in sets.items()}
        edges = np.linspace(0, limit, 50)
        for k, (label, x) in enumerate(arrays.items()):
            height = np.histogram(x.ravel(), edges, density=True)[0]
            if k == 0:
                ax.stairs(height, edges, fill=True, color=LAYER[layer], alpha=0.35, label=label)
            else:
                ax.stairs(
                    height,
                    edges,
                    color=(PALETTE[3], INK)[k - 1],
                    linestyle=("--", "-")[k - 1],
                    linewidth=1.5,
                    label=label,
                )
        typical = {label: np.median(x) for label, x in arrays.items()}
        words.append(f"{layer}: " + ", ".join(f"{label} {value:.2f}" for label, value in typical.items()))
        ax.set_title(layer, loc="left")
        ax.set_yticks([])
    axes[-1, 0].set_xlabel("singular value")
    axes[len(values) // 2, 0].set_ylabel("density")
    legend(axes[0, 0])
    return Picture(
        figure,
        f"Histograms of singular values for each layer. Median singular value: {'; '.join(words)}.",
        "What to see: where the filled histogram and the lines differ, the fitted laws do not know the spectrum.",
    )  # fmt: skip
