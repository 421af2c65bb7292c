r"""The atlas: every invariant of degree 1 to 4 on a card, with what is known of it exactly and what was measured.

Before training the entries are independent and symmetric about zero.  Sorting the terms of an invariant by which of its
indices coincide, an expectation is a sum over the set partitions τ of the graph's nodes

.. math:: E[I_G] = \sum_\tau D (D-1) \cdots (D-|\tau|+1) \prod_{e \in G/\tau} m_{\mu(e)} ,

where μ(e) says how often an edge of the merged graph is repeated, and m are the moments of an entry; odd ones vanish.
So each expectation is a polynomial in D, one for every product of moments.

In layers whose rows and columns may be relabelled separately, the average of a term does not depend on whether a row
index equals a column index.  Graphs that become the same when every node is split into a row and a column therefore
make a *family*: there are as many of them as bipartite graphs.
"""

from __future__ import annotations

import json
import re
from collections import Counter
from collections.abc import Iterable, Iterator, Mapping, Sequence
from fractions import Fraction
from functools import cache
from math import floor, log10
from typing import TYPE_CHECKING

import numpy as np

from .archive import Archive
from .config import INITS
from .drawing import draw
from .errors import PigmmError
from .graphs import InvariantGraph, as_graphs, name_of, pairs
from .layout import STATISTICS, archived_bipartite, archived_graphs, featured_layers
from .tables import require_pandas

if TYPE_CHECKING:
    import pandas as pd

__all__ = [
    "KURTOSIS", "brief", "cards", "closed_form", "expression", "family", "identifier", "initial_mean",
    "initial_moments", "initial_polynomial", "leaders", "mirror", "scores", "shifts", "starts", "words",
]  # fmt: skip

KURTOSIS = {"gaussian": Fraction(3), "uniform": Fraction(9, 5)}
"""Fourth moment of an initial weight in units of its squared variance."""

STARTS = {"gaussian": "Gaussian start", "uniform": "Uniform start"}
EPOCHS = (1, 2, 3, 5, 10, 20, 30, 50)
SUPERSCRIPTS = str.maketrans("0123456789", "⁰¹²³⁴⁵⁶⁷⁸⁹")

Graph = InvariantGraph | str
Polynomial = dict[int, Fraction]  # power of D → coefficient


# --- what a graph is --------------------------------------------------------------------------------------------------


def identifier(graph: Graph) -> str:
    """Where the card of a graph is on the page: a name that is valid in links and never changes.

    >>> identifier("00+01.12")
    'g-00_01.12'
    """
    return "g-" + _one(graph).name.replace("+", "_")


def expression(graph: Graph) -> str:
    """The sum in plain text.

    >>> expression("01.12"), expression("00+01+01")
    ('sum over i,j,k of W_ij W_jk', '(sum over i of W_ii) (sum over i,j of W_ij)^2')
    >>> expression("01.01.02")
    'sum over i,j,k of W_ij^2 W_ik'
    """
    factors = []
    for component, power in Counter(_one(graph).components).items():
        edges = Counter(pairs(component))
        letters = "ijklmnpq"[: 1 + max(max(edge) for edge in edges)]
        entries = " ".join(f"W_{letters[i]}{letters[j]}" + _power(k) for (i, j), k in edges.items())
        factors.append((f"sum over {','.join(letters)} of {entries}", power))
    if factors[1:] or factors[0][1] > 1:
        return " ".join(f"({text}){_power(power)}" for text, power in factors)
    return factors[0][0]


def words(graph: Graph) -> str:
    """What mathematicians call it, if all its components have a name; else nothing.

    >>> words("00+01.12.20"), words("01.02.03"), words("01.12")
    ('trace × trace of W³', 'sum of row sums to the power 3', '')
    """
    parts = [_component_words(component) for component in _one(graph).components]
    return " × ".join(parts) if all(parts) else ""


def _component_words(component: str) -> str:
    edges = pairs(component)
    k, rows, columns = len(edges), [i for i, _ in edges], [j for _, j in edges]
    power = f" to the power {k}" if k > 2 else ""
    squared = "squared " if k == 2 else ""
    if len(set(edges)) == 1:
        diagonal = edges[0] == (0, 0)
        first = "trace" if diagonal else "sum of all entries"
        return first if k == 1 else f"sum of {squared}{'diagonal ' * diagonal}entries{power}"
    if len(set(rows)) == len(set(columns)) == k and set(rows) == set(columns):
        return f"trace of W{_raised(k)}"
    for fixed, moving, what in ((rows, columns, "row"), (columns, rows, "column")):
        if len(set(fixed)) == 1 and len(set(moving)) == k and not set(fixed) & set(moving):
            return f"sum of {squared}{what} sums{power}"
    return "trace of (W Wᵀ)²" if component == "01.02.31.32" else ""


def family(graph: Graph) -> InvariantGraph:
    """The bipartite graph that is left when every node is split into a row and a column.

    >>> family("01.12").name, family("00").name, family("01.02").name
    ('01+01', '01', '01.02')
    """
    return InvariantGraph(name_of(((0, i), (1, j)) for i, j in _one(graph).edges))


def mirror(graph: Graph) -> InvariantGraph:
    """The same invariant of the transposed matrix: all edges turned round.

    >>> mirror("01.02").name
    '01.21'
    """
    return InvariantGraph.from_edges((j, i) for i, j in _one(graph).edges)


# --- exactly, before training -----------------------------------------------------------------------------------------


@cache
def initial_moments(graph: Graph) -> dict[tuple[int, ...], tuple[int, ...]]:
    """The expectation over independent symmetric entries: for each product of moments a polynomial in D.

    Returns
    -------
    dict
        For example ``{(2, 2): (0, -1, 1), (4,): (0, 1)}`` stands for (D² - D) m2² + D m4.

    Examples
    --------
    >>> initial_moments("00+00+00+00")          # (tr W)⁴
    {(2, 2): (0, -3, 3), (4,): (0, 1)}
    >>> initial_moments("01.12.20")
    {}
    """
    edges = _one(graph).edges
    found: Counter[tuple[tuple[int, ...], int]] = Counter()
    for label in _partitions(1 + max(max(edge) for edge in edges)):
        multiplicities = Counter((label[i], label[j]) for i, j in edges).values()
        if not any(m % 2 for m in multiplicities):
            found[tuple(sorted(multiplicities)), 1 + max(label)] += 1
    total: dict[tuple[int, ...], list[int]] = {}
    for (moments, parts), count in sorted(found.items()):
        old, new = total.get(moments, []), [count * c for c in _falling(parts)]
        size = max(len(old), len(new))
        total[moments] = [sum(p[k] for p in (old, new) if k < len(p)) for k in range(size)]
    return {moments: tuple(polynomial) for moments, polynomial in total.items()}


def _partitions(n: int) -> Iterator[tuple[int, ...]]:
    """Set partitions of n things, as the number of the part that each belongs to."""
    if n == 0:
        yield ()
        return
    for start in _partitions(n - 1):
        yield from ((*start, part) for part in range(2 + max(start, default=-1)))


@cache
def _falling(n: int) -> tuple[int, ...]:
    """Coefficients of D (D-1) … (D-n+1)."""
    if n == 0:
        return (1,)
    before = _falling(n - 1)
    return tuple(b - (n - 1) * a for a, b in zip((*before, 0), (0, *before), strict=True))


def initial_polynomial(graph: Graph, init: str = "gaussian") -> Polynomial:
    """The expectation before training in units of σ to the degree: power of D → coefficient.

    Raises
    ------
    PigmmError
        For an unknown start, and for even degrees above 4, which need higher moments.

    Examples
    --------
    >>> {power: str(value) for power, value in initial_polynomial("00+00+00+00", "uniform").items()}
    {2: '3', 1: '-6/5'}
    """
    if init not in KURTOSIS:
        raise PigmmError.of("init", got=init, allowed=", ".join(INITS))
    graph, kurtosis = _one(graph), KURTOSIS[init]
    if graph.degree > 4 and graph.degree % 2 == 0:
        raise PigmmError.of("graph", got=f"degree {graph.degree}", allowed="odd degrees, 2 and 4")
    total: Polynomial = {}
    for moments, polynomial in initial_moments(graph).items():
        for power, c in enumerate(polynomial):
            total[power] = total.get(power, Fraction(0)) + c * (kurtosis if moments == (4,) else 1)
    return {power: c for power, c in sorted(total.items(), reverse=True) if c}


def closed_form(graph: Graph, init: str = "gaussian") -> str:
    """The expectation before training as a polynomial in D and σ.

    >>> closed_form("00+00"), closed_form("01.01.01.01", "uniform"), closed_form("01.12.20")
    ('σ² D', '9/5 σ⁴ D²', '0')
    >>> closed_form("01+01+00+00")
    'σ⁴ (D³ + 2 D²)'
    """
    polynomial = initial_polynomial(graph, init)
    if not polynomial:
        return "0"
    sigma, text = f"σ{_raised(_one(graph).degree)}", ""
    for power, c in polynomial.items():
        size = "" if abs(c) == 1 else f"{abs(c)} "
        text += f" {'+' if c > 0 else '−'} {size}{f'{sigma} ' * (len(polynomial) == 1)}D{_raised(power)}"
    text = text.removeprefix(" + ")
    return text if len(polynomial) == 1 else f"{sigma} ({text})"


def initial_mean(graph: Graph, init: str = "gaussian", D: int = 10) -> Fraction:
    """The expectation before training, where the variance of an entry is 1/D or, uniform, 1/(3D).

    >>> initial_mean("01.01"), initial_mean("01.01", "uniform"), float(initial_mean("01.01.01.01"))
    (Fraction(10, 1), Fraction(10, 3), 3.0)
    """
    variance = Fraction(1, D) if init == "gaussian" else Fraction(1, 3 * D)
    value = sum((c * D**power for power, c in initial_polynomial(graph, init).items()), Fraction(0))
    return value * variance ** (_one(graph).degree // 2)


# --- measured ---------------------------------------------------------------------------------------------------------


def scores(archives: Mapping[str, Archive]) -> pd.DataFrame:
    """Every invariant against the fitted 13-parameter law after the last epoch, in every square layer.

    The columns of :func:`pigmm.gaussianity.compare` after ``archive``, ``layer``, ``place`` (both in one word).
    """
    tables = []
    for name, archive in archives.items():
        for layer in featured_layers(archive.template):
            table = archive.comparison(layer=layer)
            for column, text in (("place", f"{name} L{layer + 1}"), ("layer", f"L{layer + 1}"), ("archive", name)):
                table.insert(0, column, text)
            tables.append(table)
    return _joined(tables)


def _joined(tables: list[pd.DataFrame]) -> pd.DataFrame:
    frame: pd.DataFrame = require_pandas().concat(tables, ignore_index=True)
    return frame


def shifts(archive: Archive, epochs: Iterable[int] = EPOCHS) -> pd.DataFrame:
    """Change of every invariant since the start, in units of its standard deviation over networks at the start.

    Columns: epoch, layer, name, shift, se (paired, run by run: :meth:`pigmm.Archive.change`).
    """
    frame, names = require_pandas().DataFrame, [graph.name for graph in archived_graphs()]
    tables = []
    for layer in featured_layers(archive.template):
        start = archive.features(0, layer)
        spread = np.sqrt(start.squares / (start.count - 1))
        for epoch in sorted({*(e for e in epochs if e < archive.epochs), archive.epochs}):
            change = archive.change(epoch, layer)
            shift, error = (x[STATISTICS:] for x in (change.mean / spread, change.standard_error() / spread))
            place = {"epoch": epoch, "layer": f"L{layer + 1}"}
            tables.append(frame({**place, "name": names, "shift": shift, "se": error}))
    return _joined(tables)


def starts(archive: Archive) -> pd.DataFrame:
    """Measured means before training beside the exact ones: layer, name, measured, se, exact, z."""
    frame, graphs = require_pandas().DataFrame, archived_graphs()
    tables = []
    for layer in featured_layers(archive.template):
        features, D = archive.features(0, layer), archive.layers[layer][1]
        exact = np.array([float(initial_mean(graph, archive.config.init, D)) for graph in graphs])
        measured, error = features.mean[STATISTICS:], features.standard_error()[STATISTICS:]
        tables.append(frame({
            "layer": f"L{layer + 1}", "name": [graph.name for graph in graphs], "measured": measured, "se": error,
            "exact": exact, "z": (measured - exact) / error,
        }))  # fmt: skip
    return _joined(tables)


def leaders(table: pd.DataFrame) -> pd.DataFrame:
    """Which prediction misses most, in every place of :func:`scores`: by \\|z\\| and by effect size."""
    rows = []
    for place, part in table[table["degree"] > 2].groupby("place", sort=False):
        z, effect = (part.iloc[int(part[column].abs().to_numpy().argmax())] for column in ("z", "ratio"))
        rows.append({
            "place": place, "by z": z["name"], "z": z["z"], "its effect": z["ratio"],
            "by effect": effect["name"], "effect": effect["ratio"], "its z": effect["z"],
        })  # fmt: skip
    frame: pd.DataFrame = require_pandas().DataFrame(rows)
    return frame


# --- the page ---------------------------------------------------------------------------------------------------------


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


# --- small pieces -----------------------------------------------------------------------------------------------------


def _one(graph: Graph) -> InvariantGraph:
    return as_graphs(graph)[0]


def _power(k: int) -> str:
    return f"^{k}" if k > 1 else ""


def _raised(k: int) -> str:
    return str(k).translate(SUPERSCRIPTS) if k != 1 else ""


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
