"""The claims of the paper beside what chapters found about them, read from their ``results.json`` files.

A chapter hands its findings to :func:`pigmm.notebook.finish`, which writes ``results.json`` and ``provenance.json``.
:func:`rows` collects them from below any folder, such as the ``runs`` of ``pigmm run``; the book's scoreboard is made
of the same rows.  To see it in a terminal::

    python -m pigmm.scoreboard runs
"""

from __future__ import annotations

import json
import os
import sys
import textwrap
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from .claims import CLAIMS, VERDICTS, Claim
from .config import EnsembleConfig
from .errors import PigmmError
from .shelf import published, published_config

__all__ = [
    "Row", "chapter_rows", "counts", "ensembles", "in_order", "label", "main", "problems", "rows", "summary", "to_text",
    "unspoken",
]  # fmt: skip


@dataclass(frozen=True)
class Row:
    """What one chapter found about one claim, and in which ensembles.

    Examples
    --------
    >>> Row("20-x", Claim("a", "", "refined", True, ""), ("60 networks",)).claim.verdict
    'refined'
    """

    chapter: str
    claim: Claim
    ensembles: tuple[str, ...]


def rows(folder: str | os.PathLike[str]) -> list[Row]:
    """The rows of all ``results.json`` files in and below a folder: claims in their order, then chapters.

    Raises
    ------
    PigmmError
        If there is no such file, or one that is not what :func:`pigmm.notebook.finish` writes.

    Examples
    --------
    >>> import tempfile
    >>> rows(tempfile.mkdtemp())
    Traceback (most recent call last):
    ...
    pigmm.errors.PigmmError: results: got ...; allowed: a folder with results.json files in or below it. ...
    """
    paths = sorted(Path(folder).rglob("results.json"))
    if not paths:
        raise PigmmError.of(
            "results", got=str(folder), allowed="a folder with results.json files in or below it",
            fix="`pigmm run NOTEBOOK` writes them below runs.",
        )  # fmt: skip
    found: list[Row] = []
    for path in paths:
        results, provenance = _read(path), _read(path.with_name("provenance.json"))
        try:
            found += chapter_rows(results, provenance)
        except (AttributeError, KeyError, TypeError, PigmmError) as error:
            raise PigmmError.of(f"{path}: {error!r}", fix="Run the notebook again.") from error
    return in_order(found)


def chapter_rows(results: Mapping[str, Any], provenance: Mapping[str, Any]) -> list[Row]:
    """The rows of one chapter, from the contents of its two files, ``results.json`` and ``provenance.json``.

    Examples
    --------
    >>> claim = Claim("g", "All 52 have names.", "reproduced", True, "no graph is left over").to_dict()
    >>> [row.claim.verdict for row in chapter_rows({"chapter": "10-initialisation", "claims": [claim]}, {})]
    ['reproduced']
    """
    chapter = results.get("chapter") or "(a chapter without a name)"
    sources = tuple(ensembles(provenance))
    return in_order(Row(chapter, Claim.from_dict(claim), sources) for claim in results.get("claims", ()))


def in_order(found: Iterable[Row]) -> list[Row]:
    """Rows by claim, then by chapter."""
    place = {key: k for k, key in enumerate(CLAIMS)}
    return sorted(found, key=lambda row: (place[row.claim.key], row.chapter))


def ensembles(provenance: Mapping[str, Any]) -> list[str]:
    """The ensembles of a ``provenance.json`` in words; those that differ in their start and labels only, in one line.

    Examples
    --------
    >>> trained = {"config": EnsembleConfig(runs=60, epochs=2).to_dict(), "provenance": {"date": "2026-11-23T12:00:00"}}
    >>> for line in ensembles({"first": trained, "second": trained}):
    ...     print(line)
    first, second: 60 networks 64-10-10-10-10 on digits, 2 epochs, seed 0, weight decay 0;
    trained 2026-11-23, not published
    """
    together: dict[str, list[tuple[str, str]]] = {}
    for name, source in provenance.items():
        config, made = EnsembleConfig.from_dict(source["config"]), source["provenance"]
        text = (
            f"{config.runs} {config.networks} on {config.dataset}, {config.epochs} epochs, seed {config.seed}, "
            f"weight decay {config.weight_decay:g}"
        )
        same = [archive for archive in published() if published_config(archive) == config]
        if not same:
            text += f"; trained {str(made.get('date', 'at an unknown date'))[:10]}, not published"
        together.setdefault(text, []).append((name, same[0] if same else ""))
    lines = []
    for text, members in together.items():
        shelf = ", ".join(archive for _, archive in members if archive)
        lines.append(f"{', '.join(name for name, _ in members)}: {text}" + (f"; published as {shelf}" if shelf else ""))
    return lines


def label(key: str) -> str:
    """How a claim or family of figures is called in text; ``key`` is one of :data:`pigmm.claims.CLAIMS`.

    Examples
    --------
    >>> label("b"), label("by-width")
    ('(b)', 'by-width')
    """
    return f"({key})" if len(key) == 1 else key


def unspoken(found: Iterable[Row]) -> list[str]:
    """Keys of claims about which no chapter speaks."""
    spoken = {row.claim.key for row in found}
    return [key for key in CLAIMS if key not in spoken]


def problems(found: Sequence[Row]) -> list[str]:
    """What is wrong in the rows ``found``: each check that fails, each claim about which no chapter speaks.

    Examples
    --------
    >>> problems([Row("20-x", Claim(key, "", "refined", key != "b", "median below 0.2"), ()) for key in CLAIMS])
    ['claim (b) in 20-x: its check fails (median below 0.2)']
    """
    failed = [
        f"claim {label(row.claim.key)} in {row.chapter}: its check fails ({row.claim.check})"
        for row in found if not row.claim.holds
    ]  # fmt: skip
    return failed + [f"no chapter speaks about claim {label(key)}: {CLAIMS[key]}" for key in unspoken(found)]


def counts(found: Iterable[Row]) -> dict[str, int]:
    """How often each verdict was given in the rows ``found``.

    Examples
    --------
    >>> counts([Row("20-x", Claim("a", "", "refined", True, ""), ())])
    {'reproduced': 0, 'refined': 1, 'differs': 0, 'not testable here': 0}
    """
    verdicts = [row.claim.verdict for row in found]
    return {verdict: verdicts.count(verdict) for verdict in VERDICTS}


def summary(found: Sequence[Row]) -> str:
    """The verdicts of the rows ``found``, counted in two sentences.

    Examples
    --------
    >>> summary([Row("20-x", Claim("a", "", "refined", True, ""), ())])
    '1 chapter gives 1 verdict on 1 of 13 claims and families of figures: 1 refined. Every check holds.'
    """
    given = ", ".join(f"{number} {verdict}" for verdict, number in counts(found).items() if number)
    failed = sum(not row.claim.holds for row in found)
    chapters, keys = len({row.chapter for row in found}), len(CLAIMS) - len(unspoken(found))
    who = f"{chapters} chapter gives" if chapters == 1 else f"{chapters} chapters give"
    checks = "Every check holds." if not failed else "1 check fails." if failed == 1 else f"{failed} checks fail."
    verdicts = f"{len(found)} verdict" + ("" if len(found) == 1 else "s")
    what = f"{keys} of {len(CLAIMS)} claims and families of figures"
    return f"{who} {verdicts} on {what}{': ' if given else ''}{given}. {checks}"


def to_text(found: Sequence[Row], width: int = 100) -> str:
    """The rows ``found`` as a scoreboard in plain text, in lines of ``width`` characters.

    Examples
    --------
    >>> print(to_text([Row("20-x", Claim("c", "It rises.", "reproduced", True, "no epoch falls"), ("60 networks",))]))
    (c) The Wasserstein distance from the simple Gaussian grows smoothly over training.
      20-x: reproduced. It rises.
        checked: no epoch falls (holds)
        ensembles: 60 networks
    <BLANKLINE>
    1 chapter gives 1 verdict on 1 of 13 claims and families of figures: 1 reproduced. Every check holds.
    not spoken about: (a), (b), (d), (e), (f), (g), linear-quadratic, cubic-quartic, changes, wasserstein, ...
    """
    lines: list[str] = []

    def add(text: str, indent: int) -> None:
        room = textwrap.TextWrapper(width, initial_indent=" " * indent, subsequent_indent=" " * (indent + 2))
        lines.extend(room.wrap(" ".join(text.split())))

    for key, statement in CLAIMS.items():
        for k, row in enumerate(mine := [row for row in found if row.claim.key == key]):
            claim = row.claim
            if k == 0:
                add(f"{label(key)} {statement}", 0)
            add(f"{row.chapter}: {claim.verdict}. {claim.found}", 2)
            for name, numbers in (("effect size", claim.effect), ("test", claim.test)):
                if numbers:
                    add(f"{name}: {'; '.join(number.text for number in numbers)}", 4)
            add(f"checked: {claim.check} ({'holds' if claim.holds else 'FAILS'})", 4)
            for source in row.ensembles:
                add(f"ensembles: {source}", 4)
        if mine:
            lines.append("")
    add(summary(found), 0)
    if missing := unspoken(found):
        add("not spoken about: " + ", ".join(map(label, missing)), 0)
    return "\n".join(lines)


def main(arguments: Sequence[str] | None = None) -> int:
    """Print the scoreboard of a folder (``runs`` if none is named); 2 if there is none.

    Examples
    --------
    >>> main(["no-such-folder"])               # says on standard error what is missing
    2
    """
    folders = sys.argv[1:] if arguments is None else list(arguments)
    try:
        if len(folders) > 1:
            raise PigmmError.of("folder", got=" ".join(folders), allowed="one folder")
        print(to_text(rows(*folders or ["runs"])))
    except PigmmError as error:
        print("pigmm:", error, file=sys.stderr)
        return 2
    return 0


def _read(path: Path) -> dict[str, Any]:
    try:
        content = json.loads(path.read_text())
    except (OSError, ValueError) as error:
        raise PigmmError.of(f"cannot read {path} ({error})", fix="Run the notebook again.") from error
    if not isinstance(content, dict):
        raise PigmmError.of(f"{path}", got=content, allowed="results by name", fix="Run the notebook again.")
    return content


if __name__ == "__main__":
    sys.exit(main())
