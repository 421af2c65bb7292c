"""Notebooks for students and for teachers, made from the sheets in book/teaching: `make class`.

The folder _build/class is replaced whole or, if anything goes wrong, left as it was.
"""

import json
import os
import shutil
import sys
import tempfile
from pathlib import Path

import nbformat

from pigmm import __version__, sheets
from pigmm.errors import PigmmError

ROOT = Path(__file__).parents[2]
README = """\
# Exercises with pigmm {version}

`student/` has the exercises with folded hints; a *check* cell after each answer says whether it is right.
`teacher/` has the same notebooks with a plan for the lesson and all solutions (folded in JupyterLab).

Each notebook is a file of its own: give the students the one you need. To open one:

    pip install "pigmm[figures] @ git+{repository}" jupyterlab
    jupyter lab student/{first}.ipynb

or upload it to a Jupyter server or to Google Colab; its first code cell installs pigmm where it is missing. No sheet
needs an account, a download of data or a graphics card, and all run in well under a minute. `make class` makes these
folders anew: keep files of your own elsewhere.

| notebook | title | minutes | exercises |
|---|---|---|---|
{rows}

How to use them in class is told in [the book]({book}book/teaching/index.html).

Text: [CC BY 4.0](https://creativecommons.org/licenses/by/4.0/). Code: MIT.
"""


def make(source: Path, out: Path) -> int:
    """Write student/, teacher/ and README.md into ``out`` from the notebooks of ``source``; how many there were.

    Raises
    ------
    PigmmError
        If there is no sheet, one is damaged or not well made, or ``out`` cannot be written.
    """
    found = {path.stem: _read(path) for path in sorted(source.glob("*.ipynb"))}
    if not found:
        raise PigmmError.of("sheets", got=f"no notebook in {source}", fix="Run this from a full checkout.")
    files = {Path("README.md"): _readme(found)}
    for name, sheet in found.items():
        if wrong := sheets.faults(sheet, name):
            raise PigmmError.of(f"sheet {name}: {wrong[0]}", fix="See pigmm/sheets.py for how a sheet is written.")
        for view in (sheets.student, sheets.teacher):
            text = json.dumps(view(sheet, name), indent=1, ensure_ascii=False, sort_keys=True) + "\n"
            files[Path(view.__name__) / f"{name}.ipynb"] = text
    try:
        _replace(out, files)
    except OSError as error:
        raise PigmmError.of(f"cannot write {out}", got=error.strerror or str(error)) from error
    return len(found)


def _read(path: Path) -> dict:
    try:
        sheet = json.loads(path.read_text(encoding="utf8"))
        nbformat.validate(sheet)
    except (OSError, ValueError, AttributeError, TypeError, nbformat.ValidationError) as error:
        raise PigmmError.of(f"{path} is not a notebook", got=str(error).splitlines()[0]) from error
    if not sheet["cells"]:
        raise PigmmError.of(f"{path} is not a sheet", got="no cells")
    return sheet


def _readme(found: dict[str, dict]) -> str:
    rows = []
    for name, sheet in found.items():
        told = sheets.plan(sheet)
        rows.append(f"| `{name}` | {told['title']} | {told['minutes']} | {len(sheets.exercises(sheet))} |")
    book, repository = sheets.address("Book"), sheets.address("Repository")
    text = "\n".join(rows)
    return README.format(version=__version__, first=next(iter(found)), rows=text, book=book, repository=repository)


def _replace(out: Path, files: dict[Path, str]) -> None:
    """The folder ``out`` with these files and no others; all are written before the former folder goes."""
    out.parent.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory(dir=out.parent, prefix=f"{out.name}.") as scratch:
        new, old = Path(scratch) / "new", Path(scratch) / "old"
        for path, text in files.items():
            (new / path).parent.mkdir(parents=True, exist_ok=True)
            (new / path).write_text(text, encoding="utf8")
        if out.exists():
            os.rename(out, old)
        try:
            os.rename(new, out)
        except OSError:
            if old.exists():
                os.rename(old, out)
            raise
        shutil.rmtree(old, ignore_errors=True)


def main() -> int:
    """Make the kit of this checkout; errors are one line and code 2."""
    out = ROOT / "_build" / "class"
    try:
        count = make(ROOT / "book" / "teaching", out)
    except PigmmError as error:
        print(error, file=sys.stderr)
        return 2
    print(f"{count} sheets, for students and for teachers: open _build/class/README.md")
    return 0


if __name__ == "__main__":
    sys.exit(main())
