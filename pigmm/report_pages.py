"""A report as text, Markdown, one HTML file with its figures inside, or JSON; names from files are only text."""

from __future__ import annotations

import base64
import html
import io
import json
import math
import os
import textwrap
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from .errors import PigmmError
from .report_layer import POWER
from .report_words import CAPTIONS, CAVEATS, LAWS

if TYPE_CHECKING:
    import pandas as pd

    from .report import Report
    from .style import Picture

__all__ = ["as_dict", "as_html", "as_json", "as_markdown", "as_text", "checked_output", "clean"]

Block = tuple[str, Any]  # a kind (h1, h2, p, list, table or picture) and its content


def as_text(found: Report) -> str:
    """Plain text, for a terminal; no figures."""
    return "\n".join(_text(_blocks(found, figures=False))) + "\n"


def as_markdown(found: Report, figures: bool = True) -> str:
    """One Markdown file with the figures inside."""
    return "\n".join(_markdown(_blocks(found, figures))) + "\n"


def as_html(found: Report) -> str:
    """One HTML file that needs nothing else: figures are inside, with their descriptions."""
    body = "\n".join(_html(_blocks(found, figures=True)))
    return _PAGE.format(title=html.escape(clean(found.source)), body=body)


def as_json(found: Report) -> str:
    """JSON text, strict: no NaN."""
    return json.dumps(as_dict(found), indent=1, allow_nan=False) + "\n"


def as_dict(found: Report) -> dict[str, Any]:
    """Plain values; numbers that do not exist are None."""
    layers = {
        part.name: {
            "shape": part.shape, **part.numbers, "sentences": part.sentences, "cannot_tell": part.unknown,
            "tables": {name: table.to_dict(orient="records") for name, table in part.tables.items()},
        }
        for part in found.layers
    }  # fmt: skip
    whole: dict[str, Any] = _plain({
        "source": found.source, "runs": found.runs, "alpha": found.alpha, "seed": found.seed, "against": found.against,
        "warnings": found.warnings, "skipped": found.skipped, "layers": layers,
        "runs_needed": found.needed.to_dict(orient="records"),
    })  # fmt: skip
    return whole


def _plain(value: Any) -> Any:
    if isinstance(value, Mapping):
        return {str(key): _plain(part) for key, part in value.items()}
    if isinstance(value, list | tuple):
        return [_plain(part) for part in value]
    if isinstance(value, np.generic):
        value = value.item()
    if isinstance(value, float) and not math.isfinite(value):
        return None
    return value if isinstance(value, str | int | float | bool) else None  # pandas' NA


def clean(text: str) -> str:
    """Without control characters: names come from files."""
    return "".join(c if c.isprintable() else "?" for c in text)


def checked_output(path: str | Path) -> Path:
    """A file that can be written, judged before any work is done.

    Raises
    ------
    PigmmError
        For another ending, and a folder that does not exist or may not be written into.
    """
    target = Path(path)
    known = target.suffix.lower() in (".html", ".md", ".json", ".txt")
    if not known or not os.path.isdir(target.parent) or os.path.isdir(target):
        allowed = "a file name ending in .html, .md, .json or .txt in an existing folder"
        raise PigmmError.of("output", got=str(target), allowed=allowed)
    if not os.access(target.parent, os.W_OK | os.X_OK):
        raise PigmmError.of("output", got=str(target), allowed="a file in a folder that one may write into")
    return target


def _blocks(found: Report, figures: bool) -> Iterator[Block]:
    """The report in order, in no particular form yet."""
    yield "h1", "Report on an ensemble of weight matrices"
    yield "p", f"{_count(len(found.runs), 'run')}, {_count(len(found.layers), 'layer')}, from {found.source}."
    for text in found.warnings:
        yield "p", f"Warning: {text}"
    if figures:
        for _, picture in found.pictures():
            yield "picture", picture
    for part in found.layers:
        yield "h2", f"{part.name} ({part.shape[0]} x {part.shape[1]})"
        if part.sentences:
            yield "list", part.sentences
        for name, caption in CAPTIONS.items():
            if name in part.tables:
                yield "table", (caption.format(law=LAWS.get(part.numbers.get("law", ""))), part.tables[name])
        if part.unknown:
            yield "p", "Cannot be told:"
            yield "list", part.unknown
    yield "h2", "How many runs are needed"
    yield "table", (f"runs that see an effect with probability {POWER:g} at level {found.alpha:g}", found.needed)
    if found.skipped:
        yield "h2", "Left out"
        yield "list", [f"{name}: {reason}" for name, reason in found.skipped.items()]
    yield "h2", "How to read this"
    yield "list", list(CAVEATS)


def _count(number: int, what: str) -> str:
    return f"{number} {what}" + "s" * (number != 1)


def _cells(table: pd.DataFrame) -> tuple[list[str], list[list[str]]]:
    def cell(value: Any) -> str:
        if isinstance(value, float | np.floating):
            return f"{value:.3g}" if math.isfinite(value) else ""
        return clean(str(value))

    return list(map(str, table.columns)), [[cell(value) for value in row] for row in table.itertuples(index=False)]


def _text(blocks: Iterator[Block]) -> Iterator[str]:
    for kind, content in blocks:
        if kind in ("h1", "h2"):
            title = clean(content)
            yield from (title, ("=" if kind == "h1" else "-") * len(title))
        elif kind == "p":
            yield from textwrap.wrap(clean(content), 100)
        elif kind == "list":
            for item in content:
                yield from textwrap.wrap(clean(item), 100, initial_indent="- ", subsequent_indent="  ")
        elif kind == "table":
            caption, table = content
            header, rows = _cells(table)
            widths = [max(map(len, column)) for column in zip(header, *rows, strict=True)]
            yield f"{caption}:"
            for row in [header, *rows]:
                yield "  " + "  ".join(x.ljust(width) for x, width in zip(row, widths, strict=True)).rstrip()
        yield ""


def _markdown(blocks: Iterator[Block]) -> Iterator[str]:
    def safe(text: str) -> str:
        return "".join(f"\\{c}" if c in "\\`*_<>[]|#$" else c for c in clean(text))

    for kind, content in blocks:
        if kind in ("h1", "h2"):
            yield f"{'#' * int(kind[1])} {safe(content)}"
        elif kind == "p":
            yield safe(content)
        elif kind == "list":
            yield from (f"- {safe(item)}" for item in content)
        elif kind == "table":
            caption, table = content
            header, rows = _cells(table)
            yield from (f"*{safe(caption)}*", "")
            yield f"| {' | '.join(map(safe, header))} |"
            yield f"|{'---|' * len(header)}"
            yield from (f"| {' | '.join(map(safe, row))} |" for row in rows)
        else:
            yield from (f"![{safe(content.alt)}]({_svg(content)})", "", f"*{safe(content.see)}*")
        yield ""


def _html(blocks: Iterator[Block]) -> Iterator[str]:
    def safe(text: str) -> str:
        return html.escape(clean(text))

    for kind, content in blocks:
        if kind in ("h1", "h2", "p"):
            yield f"<{kind}>{safe(content)}</{kind}>"
        elif kind == "list":
            yield "<ul>" + "".join(f"<li>{safe(item)}</li>" for item in content) + "</ul>"
        elif kind == "table":
            caption, table = content
            header, rows = _cells(table)
            head = "".join(f'<th scope="col">{safe(name)}</th>' for name in header)
            body = "".join("<tr>" + "".join(f"<td>{safe(x)}</td>" for x in row) + "</tr>" for row in rows)
            yield '<div class="wide" tabindex="0" role="region" aria-label="table">'
            yield f"<table><caption>{safe(caption)}</caption><thead><tr>{head}</tr></thead>"
            yield f"<tbody>{body}</tbody></table></div>"
        else:
            yield f'<figure><img alt="{safe(content.alt)}" src="{_svg(content)}">'
            yield f"<figcaption>{safe(content.see)}</figcaption></figure>"


def _svg(picture: Picture) -> str:
    """The figure as a data address: an image needs no ids of its own in the page."""
    import matplotlib.pyplot as plt

    buffer = io.BytesIO()
    with plt.rc_context({"svg.hashsalt": "pigmm", "svg.fonttype": "path"}):  # the same bytes every time
        picture.figure.savefig(buffer, format="svg", bbox_inches="tight", metadata={"Date": None, "Creator": None})
    plt.close(picture.figure)
    return "data:image/svg+xml;base64," + base64.b64encode(buffer.getvalue()).decode()


_PAGE = """<!DOCTYPE html>
<html lang="en-GB">
<head>
<meta charset="utf-8">
<meta name="viewport" content="width=device-width, initial-scale=1">
<title>Report: {title}</title>
<style>
:root {{ color-scheme: light dark; }}
body {{ font: 1rem/1.5 system-ui, sans-serif; max-width: 50rem; margin: 0 auto; padding: 1rem; }}
h2 {{ margin-top: 2rem; overflow-wrap: anywhere; }}
p, li {{ overflow-wrap: anywhere; }}
figure {{ margin: 1rem 0; }}
img {{ max-width: 100%; height: auto; }}
figcaption, caption {{ font-style: italic; text-align: left; }}
.wide {{ overflow-x: auto; margin: 1rem 0; }}
table {{ border-collapse: collapse; font-size: 0.85rem; font-variant-numeric: tabular-nums; }}
th, td {{ padding: 0.2rem 0.6rem; border-bottom: 1px solid #8885; text-align: left; white-space: nowrap; }}
</style>
</head>
<body>
{body}
</body>
</html>
"""
