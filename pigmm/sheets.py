r"""Sheets of exercises: the student's and the teacher's notebook made from one tagged source.

A *sheet* is a notebook in ``book/teaching`` whose cells carry tags.  ``plan`` and ``solution`` cells are the teacher's;
everything else, the folded ``hint`` too, goes to the students.  An exercise is a row of cells::

    exercise (Markdown)   ### Exercise 10.1 (level 1): its title        levels 1 understand, 2 compute, 3 explore
    hint     (Markdown)   <details><summary>Hint</summary> ... </details>
    stub     (code)       answer = ...  # your turn
    solution (code)       also tagged hide-cell; the Markdown of a proof is folded: <details><summary>Solution</summary>
    check    (code)       teaching.check_number("10.1", answer, expected)

or, for paper and pencil, the first two and a Markdown solution.  The ``plan`` cell says what the sheet is for in two
lines that begin with ``**Goals.**`` and ``**Prerequisites.**``, and has a table headed ``| minutes | what | how |``.
"""

from __future__ import annotations

import copy
import posixpath
import re
from collections.abc import Mapping
from dataclasses import dataclass
from importlib.metadata import PackageNotFoundError, metadata
from typing import Any

from . import __version__
from .errors import PigmmError
from .launching import INSTALL

__all__ = ["Exercise", "address", "exercises", "faults", "plan", "student", "teacher"]

ROLES = ("plan", "exercise", "hint", "stub", "solution", "check")
_HEADING = re.compile(r"### Exercise (\d\d)\.(\d+) \(level ([123])\): (.+)")
_MARKDOWN_LINK = re.compile(r"(?<!!)(\[[^\]\n]*\]\()([^)\s]+)(\))")
_PLAN_ROW = re.compile(r"^\|\s*(\d+)\s*\|", re.MULTILINE)

Notebook = dict[str, Any]


@dataclass(frozen=True)
class Exercise:
    """Heading of an exercise: number ``"10.1"``, level 1 to 3, title; and whether it needs paper only."""

    number: str
    level: int
    title: str
    on_paper: bool


def student(notebook: Mapping[str, Any], name: str = "") -> Notebook:
    """The students' version of a sheet: no plans, no solutions, links into the published book, and a way to install.

    Parameters
    ----------
    notebook : dict
        The JSON of the source; it is not changed.
    name : str
        Its file's name without suffix, told in the last cell.

    Raises
    ------
    PigmmError
        If the package's metadata is missing, where the addresses are read.

    Examples
    --------
    >>> cell = {"cell_type": "markdown", "metadata": {"tags": ["solution"]}, "source": "The answer is 13."}
    >>> sheet = {"cells": [cell], "metadata": {}, "nbformat": 4, "nbformat_minor": 5}
    >>> ["13" in str(version(sheet)["cells"]) for version in (student, teacher)]
    [False, True]
    """
    kept = [cell for cell in notebook["cells"] if not {"plan", "solution"} & set(_tags(cell))]
    return _version(notebook, kept, name, "student")


def teacher(notebook: Mapping[str, Any], name: str = "") -> Notebook:
    """The teachers' version of a sheet: as :func:`student`, with plan and solutions, whose code JupyterLab folds.

    Parameters
    ----------
    notebook, name
        As for :func:`student`, where the example is, too.

    Examples
    --------
    >>> teacher({"cells": [], "metadata": {}, "nbformat": 4, "nbformat_minor": 5})["nbformat"]
    4
    """
    return _version(notebook, notebook["cells"], name, "teacher")


def exercises(notebook: Mapping[str, Any]) -> tuple[Exercise, ...]:
    """The exercises of a sheet, in order."""
    found = []
    for cells in _groups(notebook):
        number, k, level, title = _HEADING.match(_source(cells[0])).groups()  # type: ignore[union-attr]
        on_paper = not any("check" in _tags(cell) for cell in cells)
        found.append(Exercise(f"{number}.{k}", int(level), title.strip(), on_paper))
    return tuple(found)


def plan(notebook: Mapping[str, Any]) -> dict[str, Any]:
    """Title, goals, prerequisites and minutes of a sheet, as its title and plan say."""
    text = "\n\n".join(_source(cell) for cell in notebook["cells"] if "plan" in _tags(cell))
    found: dict[str, Any] = {"title": _source(notebook["cells"][0]).partition("\n")[0].removeprefix("# In class: ")}
    for word in ("Goals", "Prerequisites"):
        match = re.search(rf"^\*\*{word}\.\*\*\s+(.+?)(?=\n\s*\n|\n[|*#-]|\Z)", text, re.MULTILINE | re.DOTALL)
        found[word.lower()] = " ".join(match[1].split()) if match else ""
    return found | {"minutes": sum(map(int, _PLAN_ROW.findall(text)))}


def faults(notebook: Mapping[str, Any], name: str) -> list[str]:
    """What is wrong with the structure of the sheet ``name``, such as ``"10-initialisation"``; empty if nothing is."""
    cells, wrong = notebook["cells"], []
    ids = [cell.get("id") for cell in cells]
    if None in ids or len({*ids, "install", "made-by"}) < len(ids) + 2:  # the two that the versions add
        wrong.append("every cell needs an id of its own")
    if notebook["metadata"].get("kernelspec", {}).get("name") != "python3":
        wrong.append("the kernel is not python3")
    if not _source(cells[0]).startswith("# In class: ") or _tags(cells[0]):
        wrong.append("the first cell should be the title, # In class: ..., without tags")
    for k, cell in enumerate(cells):
        wrong += [f"cell {k}: {fault}" for fault in _cell_faults(cell)]
    told = plan(notebook)
    wrong += [f"the plan has no line **{word.capitalize()}.**" for word in ("goals", "prerequisites") if not told[word]]
    if not told["minutes"]:
        wrong.append("the plan has no table | minutes | what | how |")
    groups = _groups(notebook)
    if len(groups) < sum("exercise" in _tags(cell) for cell in cells):
        return [*wrong, "an exercise should begin ### Exercise NN.k (level 1, 2 or 3): title"]
    listed = exercises(notebook)
    if [e.number for e in listed] != [f"{name[:2]}.{k}" for k in range(1, len(listed) + 1)]:
        wrong.append(f"exercises are not numbered {name[:2]}.1, {name[:2]}.2, ...")
    if len(listed) < 5 or {e.level for e in listed} != {1, 2, 3}:
        wrong.append("there should be five exercises or more, of all three levels")
    for exercise, group in zip(listed, groups, strict=True):
        wrong += [f"exercise {exercise.number}: {fault}" for fault in _exercise_faults(exercise.number, group)]
    return wrong


def _source(cell: Mapping[str, Any]) -> str:
    return "".join(cell["source"])


def _tags(cell: Mapping[str, Any]) -> list[str]:
    return list(cell["metadata"].get("tags", ()))


def _groups(notebook: Mapping[str, Any]) -> list[list[Mapping[str, Any]]]:
    """The cells of each exercise: from its heading to the last tagged cell before the next."""
    groups: list[list[Mapping[str, Any]]] = []
    for cell in notebook["cells"]:
        tags = _tags(cell)
        if "exercise" in tags and _HEADING.match(_source(cell)):
            groups.append([cell])
        elif groups and set(tags) & {"hint", "stub", "solution", "check"}:
            groups[-1].append(cell)
    return groups


def _cell_faults(cell: Mapping[str, Any]) -> list[str]:
    text, tags, code = _source(cell), _tags(cell), cell["cell_type"] == "code"
    roles = [tag for tag in tags if tag in ROLES]
    wrong = []
    if len(roles) > 1:
        wrong.append(f"has several of the tags {', '.join(ROLES)}")
    if code and (cell.get("outputs") or cell.get("execution_count") is not None):
        wrong.append("keeps an output")
    if roles and roles[0] in (("plan", "exercise", "hint") if code else ("stub", "check")):
        wrong.append(f"is {cell['cell_type']}, which a {roles[0]} is not")
    if "hint" in tags or ("solution" in tags and not code):
        word = "Hint" if "hint" in tags else "Solution"
        if not text.startswith(f"<details><summary>{word}</summary>\n\n") or not text.endswith("\n\n</details>"):
            wrong.append(f"is not folded: <details><summary>{word}</summary>, an empty line, ..., </details>")
    if "solution" in tags and code and "hide-cell" not in tags:
        wrong.append("is a solution without the tag hide-cell")
    if "stub" in tags and "# your turn" not in text:
        wrong.append("is a stub without # your turn")
    return wrong


def _exercise_faults(number: str, group: list[Mapping[str, Any]]) -> list[str]:
    wrong = [f"has no {role}" for role in ("hint", "solution") if not any(role in _tags(cell) for cell in group)]
    letters = {"stub": "t", "solution": "s", "check": "c"}
    order = "".join(
        letters[tag] for cell in group for tag in _tags(cell) if cell["cell_type"] == "code" and tag in letters
    )
    if not re.fullmatch(r"(ts+c+)*", order):
        wrong.append("its code is not stub, solution, check")
    for cell in group:
        if "check" in _tags(cell) and not re.search(rf'teaching\.check_\w+\(\s*"{re.escape(number)}"', _source(cell)):
            wrong.append("a check does not name it")
    return wrong


def _version(source: Mapping[str, Any], cells: list[Any], name: str, view: str) -> Notebook:
    book = address("Book")
    made: list[dict[str, Any]] = []
    for cell in copy.deepcopy(cells):
        if cell["cell_type"] == "markdown":
            cell["source"] = _linked(_source(cell), book)
        elif "solution" in _tags(cell):
            cell["metadata"]["jupyter"] = {"source_hidden": True}
        made.append(cell)
    title = f"`{name}`, " if name else ""
    end = (
        f"*{view.capitalize()}'s notebook {title}of pigmm {__version__}. [The book]({book}). "
        "Text: [CC BY 4.0](https://creativecommons.org/licenses/by/4.0/).*"
    )
    first: dict[str, Any] = {
        "cell_type": "code", "execution_count": None, "id": "install", "metadata": {"tags": ["remove-cell"]},
        "outputs": [], "source": INSTALL,
    }  # fmt: skip
    last: dict[str, Any] = {"cell_type": "markdown", "id": "made-by", "metadata": {}, "source": end}
    about = {"view": view, "sheet": name, "version": __version__}
    if not any(_source(cell) == INSTALL for cell in made):
        made.insert(1, first)
    return {**copy.deepcopy(dict(source)), "cells": [*made, last],
            "metadata": {**copy.deepcopy(source["metadata"]), "pigmm": about}}  # fmt: skip


def _linked(text: str, book: str) -> str:
    """Relative links, seen from the folder of the sheets, as addresses of the published book."""

    def absolute(match: re.Match[str]) -> str:
        target, mark, part = match[2].partition("#")
        if not target or "://" in target or target.startswith("mailto:"):
            return match[0]
        page = posixpath.normpath(posixpath.join("book/teaching", target))
        page = re.sub(r"\.(md|ipynb)$", ".html", page)
        return f"{match[1]}{book.rstrip('/')}/{page}{mark}{part}{match[3]}"

    return _MARKDOWN_LINK.sub(absolute, text)


def address(label: str) -> str:
    """An address from the package's metadata, such as that of the book."""
    try:
        lines = metadata("pigmm").get_all("Project-URL") or []
    except PackageNotFoundError as error:
        raise PigmmError.of("pigmm is not installed here", fix="Install it: pip install -e .") from error
    for line in lines:
        found, _, address = line.partition(", ")
        if found == label:
            return address
    raise PigmmError.of(f"address of {label}", got=lines, fix="Install pigmm again: pip install -e .")
