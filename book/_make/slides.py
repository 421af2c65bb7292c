"""Slides of every chapter, from the executed notebooks: _build/slides, to be opened from a disk, without a network.

What is on a slide is said by the tags of the cells:

``slide``, ``subslide``
    begins a slide, to the right of the last one or below it;
``same-slide``, ``fragment``
    goes on the slide before it, at once or at the next key;
``notes``
    is for the speaker alone.

All other cells are left out. A Markdown cell of the chapter gives its last heading, a question in italics, lists and
tables; its sentences become the speaker's notes. One tagged ``remove-cell`` as well is no part of the chapter: it
was written for the slide and stands there whole. A code cell shows what it puts out, or if there is nothing, its code.
"""

import re
import shutil
import sys
import tempfile
from contextlib import suppress
from pathlib import Path
from typing import NamedTuple

import jinja2
import nbformat
from jupyter_cache import get_cache
from nbconvert import SlidesExporter

from pigmm.style import INK

ROOT = Path(__file__).parents[2]
EXECUTED = ROOT / "_build" / "jupyter_execute" / "notebooks"
STATIC = ROOT / "book" / "_static"
TEMPLATES = Path(__file__).parent / "templates"
BOOK = "../html"  # from the slides to the built book
NAME = "pigmm: Gaussian laws for ensembles of neural networks"
FOOT = f"{NAME}. Text and figures: CC BY 4.0"
KINDS = {"slide": "slide", "subslide": "subslide", "fragment": "fragment", "same-slide": "-", "notes": "notes"}
LONGEST = 330  # characters beside a figure
DARK = "#444444"  # ink of the figures: more than the grey that has to do on dark pages, too


class SlideError(Exception):
    """A chapter that cannot become slides; one line, for whoever wrote it."""


class Deck(NamedTuple):
    """One chapter's slides: where they are, what they are called, how many they are."""

    file: str
    title: str
    slides: int


def split(source):
    """What a chapter's Markdown cell shows on its slide, and the sentences for the speaker."""
    last = [match.start() for match in re.finditer(r"^#+ ", source, flags=re.MULTILINE)][-1:]
    shown, said = [], []
    for block in re.split(r"\n\s*\n", source[sum(last) :].strip()):
        question = block.startswith("*") and block.endswith("*") and not block.startswith("**")
        (shown if question or re.match(r"#+ |[-|] ?|\d+\. ", block) else said).append(block)
    return "\n\n".join(shown), "\n\n".join(said)


def linked(text):
    """The same Markdown or HTML with links to pages of the built book."""
    text = re.sub(r"(\]\(|href=\")\.\./(book/[^)\"#]+)\.md", rf"\g<1>{BOOK}/\2.html", text)
    return re.sub(r"(\]\(|href=\")(\d\d-[^)\"#/]+)\.ipynb", rf"\g<1>{BOOK}/notebooks/\2.html", text)


def headed(source, first):
    """Headings of one level: the deck's title, and one heading for each slide."""
    return re.sub(r"^#+ ", "# " if first else "## ", source, flags=re.MULTILINE)


def shortened(text):
    """A long sentence below a figure without its last clauses, which give numbers one by one."""
    if len(text) <= LONGEST or not text.startswith("*What to see:"):
        return text
    whole = re.split(r"(?<=[.;]) ", text.strip("*"))
    while len(whole) > 1 and len(" ".join(whole)) > LONGEST:
        whole.pop()
    return f"*{' '.join(whole).rstrip(';').removesuffix('.')}.*"


def outputs(cell, where):
    """The outputs of a code cell, fit for a slide: nothing folded, no warnings, figures in dark ink with alt text."""
    kept = []
    for output in cell.outputs:
        if output.output_type == "error" or output.get("name") == "stderr":
            continue
        if "text" in output and kept and "text" in kept[-1]:
            kept[-1].text += output.text
            continue
        data = output.get("data", {})
        if "text/markdown" in data:
            data["text/markdown"] = shortened(data["text/markdown"])
        for kind in ("text/markdown", "text/html"):
            if kind in data:
                data[kind] = linked(re.sub(r"<details.*?</details>", "", data[kind], flags=re.DOTALL)).strip()
        if "image/svg+xml" in data:
            about = output.metadata.get("image/svg+xml", {})
            if not about.get("alt"):
                raise SlideError(f"{where}: a figure without alt text")
            width, height = re.search(r'viewBox="\S+ \S+ (\S+) (\S+)"', data["image/svg+xml"]).groups()
            about["shape"] = "tall" if float(width) < 1.1 * float(height) else "wide"
            data["image/svg+xml"] = data["image/svg+xml"].replace(INK, DARK)
        if any(kind.startswith("image/") and kind != "image/svg+xml" for kind in data):
            raise SlideError(f"{where}: slides show figures as SVG alone")
        if data.get("text/markdown", data.get("text/html", "something")):
            kept.append(output)
    return kept


def prepared(notebook, name):
    """A notebook of what the slides show, in the words that nbconvert understands, and the deck's title."""
    cells, title = [], ""

    def add(cell, kind):
        cell.metadata["slideshow"] = {"slide_type": kind}
        cells.append(cell)

    for number, cell in enumerate(notebook.cells):
        tags = cell.metadata.get("tags", [])
        where = f"{name}, cell {number + 1}"
        kinds = [KINDS[tag] for tag in tags if tag in KINDS]
        if not kinds:
            continue
        if len(kinds) > 1:
            raise SlideError(f"{where}: one tag of {', '.join(KINDS)}, not {len(kinds)}")
        if not cells and kinds != ["slide"]:
            raise SlideError(f"{where}: slides begin with a cell tagged slide")
        own, said = "remove-cell" in tags or kinds == ["notes"], ""
        if cell.cell_type == "code":
            cell.outputs = outputs(cell, where)
            cell.metadata["transient"] = {"remove_source": bool(cell.outputs)}
        else:
            cell.source, said = (cell.source, "") if own else split(cell.source)
            cell.source, said = linked(headed(cell.source, not cells)), linked(said)
        if not cells:
            title = cell.source.partition("\n")[0].removeprefix("# ").strip()
        if cell.cell_type == "code" or cell.source:
            add(cell, kinds[0])
        if said:
            add(nbformat.v4.new_markdown_cell(said), "notes")
    if not cells:
        raise SlideError(f"{name}: no cell is tagged slide")
    add(nbformat.v4.new_markdown_cell(f"[This chapter in the book]({BOOK}/notebooks/{name}.html)"), "-")
    notebook.cells = cells
    return notebook, title


def executed_notebook(path):
    """A chapter with its outputs.

    Jupyter Book leaves it executed where it has just run it, but bare where the outputs came from its cache.
    """
    try:
        notebook = nbformat.read(path, as_version=4)
        nbformat.validate(notebook)
    except (OSError, ValueError, AttributeError, nbformat.ValidationError) as error:
        raise SlideError(f"{path} is not a notebook: {str(error).splitlines()[0][:200]}") from error
    if all(cell.execution_count for cell in notebook.cells if cell.cell_type == "code" and cell.source.strip()):
        return notebook
    for folder in sorted(path.parents[2].glob(".jupyter_cache-*")):
        with suppress(KeyError):
            return get_cache(folder).merge_match_into_notebook(notebook)[1]
    raise SlideError(f"{path.stem}: its cells were not executed: run `make clean book` first")


def deck(path):
    """The page of one executed chapter, and what to say of it in the list."""
    notebook, title = prepared(executed_notebook(path), path.stem)
    exporter = SlidesExporter(
        template_name="deck", extra_template_basedirs=[str(TEMPLATES)], exclude_anchor_links=True, embed_images=False
    )
    page, _ = exporter.from_notebook_node(notebook, {"deck": {"title": title, "foot": FOOT}})
    count = sum(cell.metadata.slideshow.slide_type in ("slide", "subslide") for cell in notebook.cells)
    return page, Deck(f"{path.stem}.html", title, count)


def build(executed=EXECUTED, target=ROOT / "_build" / "slides"):
    """Write the decks, their list, and all that they load; the folder is replaced as a whole."""
    chapters = sorted(executed.glob("*.ipynb"))
    if not chapters:
        raise SlideError(f"no executed chapters in {executed}: run `make book` first")
    try:
        target.parent.mkdir(parents=True, exist_ok=True)
        folder = Path(tempfile.mkdtemp(prefix=".slides-", dir=target.parent))
    except OSError as error:
        raise SlideError(f"cannot write {target}: {error.strerror or error}") from error
    try:
        decks = []
        for path in chapters:
            page, about = deck(path)
            (folder / about.file).write_text(page, encoding="utf-8")
            decks.append(about)
        loader = jinja2.FileSystemLoader(TEMPLATES)
        contents = jinja2.Environment(loader=loader, autoescape=True).get_template("contents.html.j2")
        listed = contents.render(decks=decks, name=NAME, foot=FOOT, book=BOOK)
        (folder / "index.html").write_text(listed, encoding="utf-8")
        for vendored in ("mathjax", "reveal"):
            shutil.copytree(STATIC / "vendor" / vendored, folder / "assets" / vendored)
        for file in (TEMPLATES / "deck" / "deck.css", TEMPLATES / "deck" / "deck.js", STATIC / "favicon.svg"):
            shutil.copy(file, folder / "assets")
        folder.chmod(0o755)
        former = folder.with_name(f"{folder.name}.former")
        if target.exists():
            target.rename(former)
        try:
            folder.rename(target)
        except BaseException:
            if former.exists():
                former.rename(target)
            raise
        shutil.rmtree(former, ignore_errors=True)
    except OSError as error:
        raise SlideError(f"cannot write {target}: {error.strerror or error}") from error
    finally:
        shutil.rmtree(folder, ignore_errors=True)
    return decks


if __name__ == "__main__":
    try:
        made = build()
    except SlideError as error:
        print(f"slides: {error}", file=sys.stderr)
        raise SystemExit(2) from None
    except KeyboardInterrupt:
        raise SystemExit(130) from None
    print(f"{sum(each.slides for each in made)} slides in {len(made)} decks: open _build/slides/index.html")
