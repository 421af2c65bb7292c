"""The page of the atlas as HTML: every invariant of degree 1 to 4 on a card, to be searched, chosen and put in order.

What the cards say is computed in :mod:`pigmm.atlas`; ``book/_static/atlas.js`` and ``atlas.css`` serve the page.
"""

from __future__ import annotations

import json
import re
from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from math import floor, log10
from typing import TYPE_CHECKING

from .archive import Archive
from .atlas import Graph, closed_form, expression, family, initial_mean, mirror, scores, shifts, starts, words
from .drawing import draw
from .errors import PigmmError
from .graphs import InvariantGraph, as_graphs
from .layout import archived_bipartite, archived_graphs

if TYPE_CHECKING:
    import pandas as pd

__all__ = ["brief", "cards", "identifier"]

STARTS = {"gaussian": "Gaussian start", "uniform": "Uniform start"}


def identifier(graph: Graph) -> str:
    """Where the card of a graph is on the page: a name that is valid in links and never changes.

    >>> identifier("00+01.12")
    'g-00_01.12'
    """
    return "g-" + as_graphs(graph)[0].name.replace("+", "_")


def brief(value: float, error: float) -> str:
    """A number with its standard error in units of the last digits.

    >>> brief(1.23456, 0.0123), brief(-2424.33, 751.18), brief(1.5e-7, 2e-8), brief(0.0, 0.5)
    ('1.235(12)', '−2400(800)', '1.50(20)e−7', '0.0(5)')
    """
    if not error > 0:
        return f"{value:.4g}".replace("-", "−")
    size, suffix = floor(log10(max(abs(value), error))), ""
    if not -4 <= size < 6:
        value, error, suffix = value / 10.0**size, error / 10.0**size, f"e{size}"
    digits = 1 - floor(log10(error)) if f"{error:.0e}"[0] in "12" else -floor(log10(error))
    if digits > 0:
        text = f"{round(value, digits) + 0.0:.{digits}f}({error * 10**digits:.0f})"
    else:
        text = f"{round(value, digits) + 0.0:.0f}({round(error, digits):.0f})"
    return (text + suffix).replace("-", "−")


def cards(archives: Mapping[str, Archive], courses: Mapping[str, str], D: int = 10) -> str:
    """The body of the page: controls, all cards by degree, and the numbers that sorting needs, as HTML.

    Without JavaScript it is a list of folded cards; ``book/_static/atlas.js`` adds search, order and curves.

    Parameters
    ----------
    archives : mapping
        Name → archive: those whose last epoch is confronted with the fitted law.
    courses : mapping
        Name of an archive → its heading, for those whose evolution is told.
    D : int
        The size for which the initial expectations are given as numbers.

    Raises
    ------
    PigmmError
        If a course is not among the archives.
    """
    from .style import LAYER

    if unknown := [name for name in courses if name not in archives]:
        raise PigmmError.of("courses", got=unknown[0], allowed=", ".join(archives))
    table, graphs, families = scores(archives), archived_graphs(), [graph.name for graph in archived_bipartite()]
    places = list(dict.fromkeys(table["place"]))
    numbers = {column: {str(n): _short(part) for n, part in table.groupby("name", sort=False)[column]}
               for column in ("z", "ratio")}  # fmt: skip
    texts = [_starts_text(archives, courses, D), _shifts_text(archives, courses), _scores_text(table)]
    items: dict[int, list[str]] = {}
    for graph in graphs:
        name, alias = graph.name, f" <i>{graph.label}</i>" if graph.paper_index else ""
        marks = {
            "d": graph.degree, "n": graph.nodes, "c": len(graph.components), "p": graph.paper_index or "",
            "b": int(graph.sides is not None), "f": families.index(family(graph).name), "words": words(graph),
        }  # fmt: skip
        data = " ".join(f'data-{key}="{mark}"' for key, mark in marks.items())
        peak = [max(map(abs, numbers[column][name])) for column in numbers]
        note = "fitted" if graph.degree < 3 else f"|z| {peak[0]:.1f} · effect {peak[1]:.2f}"
        items.setdefault(graph.degree, []).append(
            f'<details class="item" data-name="{name}" {data}><summary>{draw(graph)}<span><b>{name}</b>{alias}</span>'
            f'<small>{note}</small></summary><div class="body" id="{identifier(graph)}"><noscript>{_facts(graph)}'
            + "".join(text[name] for text in texts)
            + "</noscript></div></details>"
        )
    groups = "".join(
        f'<details class="group"{" open" * (degree < 3)}><summary>Degree {degree}: {len(listed)} invariants</summary>'
        f'<div class="grid">{"".join(listed)}</div></details>\n'
        for degree, listed in items.items()
    )
    colours = {name: "#" + "".join(f"{round(255 * c):02x}" for c in rgb) for name, rgb in LAYER.items()}
    style = ";".join(f"--{name}:{colour}" for name, colour in colours.items())
    data = json.dumps({"places": places, **numbers}, separators=(",", ":"))
    return (
        f'<div class="atlas" style="{style}">{_controls(graphs, families, places)}{groups}'
        f'<script type="application/json" class="numbers">{data}</script></div>'
    )


def _facts(graph: InvariantGraph) -> str:
    """What can be said of a graph without any data."""
    sides, other, called = graph.sides, mirror(graph), words(graph)
    text = f"{called[0].upper()}{called[1:]}. " if called else ""
    text += f"Degree {graph.degree}, {_number(graph.nodes, 'node')}, {_number(len(graph.components), 'component')}. "
    if sides:
        text += f"Bipartite: {_number(sides[0], 'row node')}, {_number(sides[1], 'column node')}. "
    else:
        text += f"Not bipartite; of the family of {_link(family(graph))}. "
    text += "Its own mirror image." if other == graph else f"Mirror image (transposed): {_link(other)}."
    text += f' <a href="#{identifier(graph)}">Link to this card</a>'
    return f'<p class="sum">{_html(expression(graph))}</p><p>{text}</p>'


def _starts_text(archives: Mapping[str, Archive], courses: Iterable[str], D: int) -> dict[str, str]:
    """Of each graph the exact expectations before training, and what the archives of each start measured."""
    lines: dict[str, dict[str, str]] = {}
    for archive in (archives[name] for name in courses):
        init = archive.config.init
        if init in lines:  # ensembles with and without weight decay start alike
            continue
        frame = starts(archive)
        cells = frame["measured"].combine(frame["se"], brief).groupby(frame["name"], sort=False)
        lines[init] = {}
        for name, measured in cells.agg(", ".join).items():
            value = initial_mean(str(name), init, D)
            exact = closed_form(str(name), init) + (f" = {float(value):.6g} at D = {D}" if value else "")
            lines[init][str(name)] = f"<dt>{STARTS[init]}<dd>{exact}; measured {measured}"
    return {graph.name: f"<dl>{''.join(of[graph.name] for of in lines.values())}</dl>" for graph in archived_graphs()}


def _shifts_text(archives: Mapping[str, Archive], courses: Mapping[str, str]) -> dict[str, str]:
    """Of each graph the table of its shift by epoch, which is also what the curves are drawn from."""
    frames = {heading: shifts(archives[name]) for name, heading in courses.items()}
    if len(epochs := {tuple(frame["epoch"].unique()) for frame in frames.values()}) != 1:
        raise PigmmError.of("courses", got=f"{len(epochs)} sets of epochs", allowed="archives of equally many epochs")
    blocks = {h: _rows(frame, "<td>" + frame["shift"].combine(frame["se"], brief)) for h, frame in frames.items()}
    caption = "Shift since the start, in units of the spread over networks at the start"
    return _tables("shift", caption, ["epoch", *map(str, *epochs)], blocks)


def _scores_text(table: pd.DataFrame) -> dict[str, str]:
    """Of each graph the table of predictions against measurements after the last epoch."""
    judged = "<td>" + table["z"].map("{:+.1f}".format) + "<td>" + table["ratio"].map("{:.3f}".format)
    cells = "<td>" + table["predicted"].map("{:.4g}".format) + judged.where(table["degree"] > 2, "<td>fitted<td>")
    cells = "<td>" + table["measured"].combine(table["se"], brief) + cells.str.replace("-", "−")
    blocks = {str(name): _rows(part, cells[part.index]) for name, part in table.groupby("archive", sort=False)}
    caption = "After the last epoch, against the fitted 13-parameter law"
    return _tables("last", caption, ["layer", "measured", "predicted", "z", "effect"], blocks)


def _rows(frame: pd.DataFrame, cells: pd.Series[str]) -> dict[str, str]:
    """Of each graph the rows of a table, one a layer."""
    rows = cells.groupby([frame["name"], frame["layer"]], sort=False).agg("".join)
    names, layers = (rows.index.get_level_values(level) for level in range(2))
    found: dict[str, str] = {}
    for name, layer, text in zip(names, layers, rows, strict=True):
        found[name] = f"{found.get(name, '')}<tr><th>{layer}{text}"
    return found


def _tables(kind: str, caption: str, head: Sequence[str], blocks: Mapping[str, Mapping[str, str]]) -> dict[str, str]:
    """Of each graph a table with a block of rows under each heading (end tags that HTML does not need are left out)."""
    start = f'<div class="wide" tabindex="0"><table class="{kind}"><caption>{caption}<thead><tr><th>{"<th>".join(head)}'
    bars = {heading: f'<tbody><tr><th colspan="{len(head)}" scope="rowgroup">{heading}' for heading in blocks}
    names = [graph.name for graph in archived_graphs()]
    bodies = {name: "".join(bars[heading] + rows[name] for heading, rows in blocks.items()) for name in names}
    return {name: f"{start}{body}</table></div>" for name, body in bodies.items()}


def _controls(graphs: Sequence[InvariantGraph], families: Sequence[str], places: Iterable[str]) -> str:
    """Search field, filters and order; hidden until the script that serves them runs."""

    def chooser(key: str, label: str, options: Iterable[tuple[object, str]]) -> str:
        listed = "".join(f'<option value="{value}">{text}</option>' for value, text in options)
        return f'<label>{label} <select name="{key}">{listed}</select></label>'

    def values(key: str, label: str, of: Iterable[int]) -> str:
        return chooser(key, label, [("", "any"), *((k, f"{k} ({n})") for k, n in sorted(Counter(of).items()))])

    sizes = Counter(family(graph).name for graph in graphs)
    paper = sum(graph.paper_index is not None for graph in graphs)
    two = sum(graph.sides is not None for graph in graphs)
    kinds = [("", "any"), ("1", f"bipartite ({two})"), ("0", f"not bipartite ({len(graphs) - two})")]
    printed = [("", "any"), ("1", f"numbered ({paper})"), ("0", f"not numbered ({len(graphs) - paper})")]
    members = [("", "any"), *((k, f"{name} ({sizes[name]})") for k, name in enumerate(families))]
    order = [("", "degree, nodes, name"), ("name", "name"), ("z", "largest |z|"), ("ratio", "largest effect size")]
    return (
        '<form class="controls" role="search" aria-label="Invariants" autocomplete="off" hidden>'
        '<label class="find">Search <input type="search" name="q" autocomplete="off" spellcheck="false" '
        'placeholder="01.12, I17, trace"></label>'
        + values("d", "Degree", (graph.degree for graph in graphs))
        + values("n", "Nodes", (graph.nodes for graph in graphs))
        + values("c", "Components", (len(graph.components) for graph in graphs))
        + chooser("b", "Kind", kinds) + chooser("p", "In the paper", printed) + chooser("f", "Family", members)
        + chooser("sort", "Order", order)
        + chooser("place", "z and effect size in", [("", "the ensemble where largest"), *enumerate(places)])
        + '<button type="button">Clear</button></form><p class="count" role="status" aria-live="polite"></p>'
    )  # fmt: skip


def _number(n: int, what: str) -> str:
    return f"{n} {what}{'s' * (n != 1)}"


def _link(graph: InvariantGraph) -> str:
    return f'<a href="#{identifier(graph)}">{graph.name}</a>'


def _html(text: str) -> str:
    """Subscripts and powers of an expression."""
    text = re.sub(r"W_(\w\w)", r"<i>W</i><sub>\1</sub>", text)
    return re.sub(r"\^(\d)", r"<sup>\1</sup>", text)


def _short(values: Iterable[float]) -> list[float]:
    """Three digits: enough to sort by."""
    return [float(f"{value:.3g}") for value in values]
