"""Figures of a whole training: they draw the tables of :mod:`pigmm.evolution`, epoch by epoch, and no more.

Like :mod:`pigmm.figures`, each function returns a :class:`~pigmm.style.Picture` that describes itself from the data.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

from matplotlib.axes import Axes

from .listing import listed
from .style import INK, LAYER, PALETTE, STYLE, TITLE, Picture, axes_grid, band, legend, scheme_grid

if TYPE_CHECKING:
    import pandas as pd

__all__ = ["curves", "distances", "drift", "gains", "misses", "predictions", "variances"]

_PLACE = {"layer": "layer", "epoch": "epoch"}


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
        listed(tables, {
            "epoch": "epoch", "accuracy, median": "accuracy_median", "accuracy, mean": ("accuracy_mean", "accuracy_se"),
            "loss, median": "loss_median", "dead": "dead",
        }),
    )  # fmt: skip


def drift(tables: Mapping[str, pd.DataFrame]) -> Picture:
    """Change of I1 ... I13 from the start to the last epoch in units of their initial spread, with errors."""
    figure, axes = scheme_grid(tables, 5.2)
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
    ends = {scheme: table[table["epoch"] == table["epoch"].max()] for scheme, table in tables.items()}
    drawn = listed(ends, {"layer": "layer", "invariant": "name", "change / spread": ("shift", "shift_se")})
    return Picture(figure, f"Bars for thirteen invariants, three layers, each scheme. {text}", see, drawn)


def variances(tables: Mapping[str, pd.DataFrame], unit: Mapping[str, float]) -> Picture:
    """Variances of row sums, column sums and bulk by epoch over the initial variance: layers down, schemes across."""
    layers = list(next(iter(tables.values()))["layer"].unique())
    figure, axes = scheme_grid(tables, 1.8 * len(layers) + 0.8, rows=len(layers))
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
        listed(
            {scheme: t[t["parameter"].isin([name for name, _, _ in kinds])] for scheme, t in tables.items()},
            {"layer": "layer", "parameter": "parameter", "epoch": "epoch", "variance": ("value", "se")},
        ),
    )  # fmt: skip


def misses(tables: Mapping[str, pd.DataFrame]) -> Picture:
    """Root-mean-square effect size of the predictions of three laws by epoch: layers down, schemes across."""
    layers = list(next(iter(tables.values()))["layer"].unique())
    figure, axes = scheme_grid(tables, 1.7 * len(layers) + 0.8, rows=len(layers))
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
        listed(tables, _PLACE | {label: f"miss_{name}" for name, label, _, _ in laws}),
    )  # fmt: skip


def gains(tables: Mapping[str, pd.DataFrame]) -> Picture:
    """Nats per network by which the 13- and the 5-parameter law beat independent entries."""
    figure, axes = scheme_grid(tables, 3.4)
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
        listed(tables, _PLACE | {"13 parameters": ("gain_13", "se"), "5 parameters": "gain_5"}),
    )


def predictions(tables: Mapping[str, pd.DataFrame]) -> Picture:
    """Effect size and z of the cubic and quartic predictions by epoch."""
    figure, axes = scheme_grid(tables, 5.2, rows=2)
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
        listed(tables, _PLACE | {
            "effect, median": "ratio_median", "effect, largest": "ratio_max", "z, rms": "z_rms",
            "|z|, largest": "z_max",
        }),
    )


def distances(tables: Mapping[str, pd.DataFrame]) -> Picture:
    """Squared Wasserstein distance from the initial law by epoch, with its noise floor."""
    figure, axes = scheme_grid(tables, 3.6)
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
        listed(tables, _PLACE | {"W2 squared": ("w2_squared", "se"), "noise floor": "floor"}),
    )
