r"""The atlas of invariants of degree 1 to 4: what is known of each exactly, and what was measured.

:mod:`pigmm.atlas_page` writes it all down, a card for each.

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

from collections import Counter
from collections.abc import Iterator, Mapping
from fractions import Fraction
from functools import cache
from typing import TYPE_CHECKING

import numpy as np

from .archive import Archive
from .config import INITS
from .errors import PigmmError
from .evolution import frame, layer_name
from .graphs import InvariantGraph, as_graphs, name_of, pairs
from .layout import STATISTICS, archived_graphs, featured_layers
from .tables import require_pandas

if TYPE_CHECKING:
    import pandas as pd

__all__ = [
    "KURTOSIS", "Graph", "closed_form", "expression", "family", "initial_mean", "initial_moments",
    "initial_polynomial", "leaders", "mirror", "scores", "shifts", "starts", "words",
]  # fmt: skip

KURTOSIS = {"gaussian": Fraction(3), "uniform": Fraction(9, 5)}
"""Fourth moment of an initial weight in units of its squared variance."""

EPOCHS = (1, 2, 3, 5, 10, 20, 30, 50)  # those that the atlas tells of, and the last
SUPERSCRIPTS = str.maketrans("0123456789", "⁰¹²³⁴⁵⁶⁷⁸⁹")

Graph = InvariantGraph | str
Polynomial = dict[int, Fraction]  # power of D → coefficient


# --- what a graph is --------------------------------------------------------------------------------------------------


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
            table, short = archive.comparison(layer=layer), layer_name(layer)
            for column, text in (("place", f"{name} {short}"), ("layer", short), ("archive", name)):
                table.insert(0, column, text)
            tables.append(table)
    return require_pandas().concat(tables, ignore_index=True)


def shifts(archive: Archive) -> pd.DataFrame:
    """Change of every invariant since the start, in units of its standard deviation over networks at the start.

    Columns: epoch (the first ones, then fewer and fewer, and the last), layer, name, shift, se (paired, run by run:
    :meth:`pigmm.Archive.change`).
    """
    pd, names, tables = require_pandas(), [graph.name for graph in archived_graphs()], []
    for layer in featured_layers(archive.template):
        start = archive.features(0, layer)
        spread = np.sqrt(start.squares / (start.count - 1))
        for epoch in sorted({*(e for e in EPOCHS if e < archive.epochs), archive.epochs}):
            change = archive.change(epoch, layer)
            shift, error = (x[STATISTICS:] for x in (change.mean / spread, change.standard_error() / spread))
            place = {"epoch": epoch, "layer": layer_name(layer)}
            tables.append(pd.DataFrame({**place, "name": names, "shift": shift, "se": error}))
    return pd.concat(tables, ignore_index=True)


def starts(archive: Archive) -> pd.DataFrame:
    """Measured means before training beside the exact ones: layer, name, measured, se, exact, z."""
    pd, graphs, tables = require_pandas(), archived_graphs(), []
    for layer in featured_layers(archive.template):
        features, D = archive.features(0, layer), archive.layers[layer][1]
        exact = np.array([float(initial_mean(graph, archive.config.init, D)) for graph in graphs])
        measured, error = features.mean[STATISTICS:], features.standard_error()[STATISTICS:]
        tables.append(pd.DataFrame({
            "layer": layer_name(layer), "name": [graph.name for graph in graphs], "measured": measured, "se": error,
            "exact": exact, "z": (measured - exact) / error,
        }))  # fmt: skip
    return pd.concat(tables, ignore_index=True)


def leaders(table: pd.DataFrame) -> pd.DataFrame:
    """Which prediction misses most, in every place of :func:`scores`: by \\|z\\| and by effect size."""
    rows: list[dict[str, object]] = []
    for place, part in table[table["degree"] > 2].groupby("place", sort=False):
        z, effect = (part.iloc[int(part[column].abs().to_numpy().argmax())] for column in ("z", "ratio"))
        rows.append({
            "place": place, "by z": z["name"], "z": z["z"], "its effect": z["ratio"],
            "by effect": effect["name"], "effect": effect["ratio"], "its z": effect["z"],
        })  # fmt: skip
    return frame(rows)


# --- small pieces -----------------------------------------------------------------------------------------------------


def _one(graph: Graph) -> InvariantGraph:
    return as_graphs(graph)[0]


def _power(k: int) -> str:
    return f"^{k}" if k > 1 else ""


def _raised(k: int) -> str:
    return str(k).translate(SUPERSCRIPTS) if k != 1 else ""
