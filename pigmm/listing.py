"""The table under a figure: the numbers that are drawn, for those who cannot see it or want to use them."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from html import escape

import pandas as pd

__all__ = ["fold", "listed", "value"]

_EPOCHS = (0, 1, 2, 5, 10, 20, 30, 50, 100, 200, 500, 1000)
_MOST = 8  # epochs of a long training that a page shows


def value(number: float, error: float | None = None) -> str:
    """A number to four digits; or with its error, which gets two digits and decides those of the number.

    Examples
    --------
    >>> value(0.123456), value(0.123456, 0.00321), value(1234.5, 67.8), value(2, 0), value(float("nan"))
    ('0.1235', '0.1235 ± 0.0032', '1234 ± 68', '2', '')
    >>> value(-0.001, 0.0996), value(-5.184e-6, 4.6e-7)
    ('0.00 ± 0.10', '(-51.8 ± 4.6)e-7')
    """
    if not math.isfinite(number):
        return ""
    if error is None or not math.isfinite(error) or error <= 0:
        return f"{number:.4g}"
    error = float(f"{error:.1e}")  # two digits; 0.0996 becomes 0.10, not 0.100
    power = math.floor(math.log10(error))
    digits = max(0, 1 - power)
    if digits > 6:
        return f"({number / 10.0**power:.1f} ± {error / 10.0**power:.1f})e{power:+d}"
    return f"{round(number, digits) + 0.0:.{digits}f} ± {error:.{digits}f}"


def listed(
    tables: pd.DataFrame | Mapping[str, pd.DataFrame],
    columns: Mapping[str, str | tuple[str, str]],
    first: str = "start",
) -> pd.DataFrame:
    """The drawn columns of a tidy table as text, under the headings that readers shall see.

    Parameters
    ----------
    tables : one table, or several by name; their names become the first column
    columns : heading to column, or to a column and that of its standard error
    first : heading of the names

    Returns
    -------
    DataFrame
        Text only.  Of a long training at most nine epochs are kept, the first and the last among them.

    Examples
    --------
    >>> table = pd.DataFrame({"epoch": range(51), "f1": 0.5, "se": 0.01})
    >>> short = listed(table, {"epoch": "epoch", "f1": ("f1", "se")})
    >>> list(short["epoch"]), short["f1"].iloc[0]
    (['0', '1', '2', '5', '10', '20', '30', '50'], '0.500 ± 0.010')
    """
    if named := not isinstance(tables, pd.DataFrame):
        tables = pd.concat(list(tables.values()), keys=list(tables), names=[first]).reset_index(level=0)
    table = tables
    if "epoch" in table.columns:
        epochs = sorted(set(table["epoch"]))
        if len(epochs) > _MOST:
            table = table[table["epoch"].isin({epochs[0], epochs[-1], *_EPOCHS})]
    shown = {first: table[first].map(str)} if named else {}
    for heading, column in columns.items():
        if isinstance(column, str):
            shown[heading] = table[column].map(lambda x: value(x) if isinstance(x, int | float) else str(x))
        else:
            pairs = zip(table[column[0]], table[column[1]], strict=True)
            shown[heading] = pd.Series([value(x, error) for x, error in pairs], index=table.index)
    return pd.DataFrame(shown).reset_index(drop=True)


def fold(table: pd.DataFrame, what: str, texts: Sequence[str] = ()) -> str:
    """HTML of a table that is closed until a reader opens it; it scrolls sideways by keyboard where it is too wide.

    Examples
    --------
    >>> page = fold(pd.DataFrame({"layer": ["L1"], "f1": ["0.5 ± 0.1"]}), "parameters")
    >>> "<summary>Numbers of this figure (1 rows)</summary>" in page, '<th scope="row">L1</th>' in page
    (True, True)
    """
    texts = texts or list(table.columns[:1])
    head = "".join(f'<th scope="col">{escape(str(name))}</th>' for name in table.columns)
    rows = []
    for row in table.to_dict("records"):
        cells = (
            f'<th scope="row">{escape(str(cell))}</th>' if name in texts else f"<td>{escape(str(cell))}</td>"
            for name, cell in row.items()
        )  # fmt: skip
        rows.append(f"<tr>{''.join(cells)}</tr>")
    label = escape(f"Numbers of the figure {what}", quote=True)
    return (
        f'<details class="pigmm-numbers"><summary>Numbers of this figure ({len(table)} rows)</summary>'
        f'<div role="region" aria-label="{label}" tabindex="0" style="overflow-x: auto">'
        f"<table><thead><tr>{head}</tr></thead><tbody>{''.join(rows)}</tbody></table></div></details>"
    )
