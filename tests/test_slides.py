"""Slides are made from tags and outputs alone, load nothing, and say what is wrong with a chapter."""

import json
import re
import shutil
import subprocess
import sys
from base64 import b64decode
from pathlib import Path

import nbformat
import offline
import pytest
import slides
from bs4 import BeautifulSoup
from jupyter_cache import get_cache
from jupyter_cache.base import CacheBundleIn
from nbformat.v4 import new_code_cell, new_markdown_cell, new_notebook, new_output

ROOT = Path(__file__).parents[1]
NOTEBOOKS = sorted((ROOT / "notebooks").glob("*.ipynb"))
SVG = f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 2 2"><path fill="{slides.INK}" d="M0 0h1v1z"/></svg>'
IDEAS = "### Ideas\n\n- See [theory](../book/theory/wick.md#a) and [next](20-x.ipynb).\n\nLong."


def tagged(cell, *tags):
    cell.metadata["tags"] = list(tags)
    return cell


def shown(data, **metadata):
    return new_output("display_data", data=data, metadata=metadata)


def chapter(*cells):
    for number, cell in enumerate(cells, 1):
        if cell.cell_type == "code":
            cell.execution_count = number
    first = tagged(new_markdown_cell("# Small & fine\n\n*Question: is it?*\n\nProse for the speaker."), "slide")
    return new_notebook(cells=[first, *cells])


def figure(**metadata):
    see = shown({"text/markdown": "*What to see: a corner.*\n\n<details><summary>data</summary>1, 2</details>"})
    outputs = [shown({"image/svg+xml": SVG, "text/plain": "SVG"}, **metadata), see]
    return tagged(new_code_cell("draw()", outputs=outputs), "same-slide", "hide-input")


ALT = {"image/svg+xml": {"alt": 'A "grey" corner'}}


@pytest.fixture
def built(tmp_path):
    """The page of a small chapter, as written, and its deck."""
    warning = new_output("stream", name="stderr", text="careful")
    lines = [new_output("stream", name="stdout", text=f"{word} < 1\n") for word in ("one", "two")]
    notebook = chapter(
        new_code_cell("secret = 1"),
        tagged(new_markdown_cell(IDEAS), "slide"),
        figure(**ALT),
        tagged(new_markdown_cell("## Numbers\n\nWritten for the slide: $x^2$."), "subslide", "remove-cell"),
        tagged(new_code_cell("print()", outputs=[warning, *lines]), "fragment"),
        tagged(new_code_cell("law = fit(W)", outputs=[]), "same-slide"),
        tagged(new_markdown_cell("Remember this."), "notes"),
    )
    executed = tmp_path / "executed"
    executed.mkdir()
    nbformat.write(notebook, executed / "05-small.ipynb")
    (deck,) = slides.build(executed, tmp_path / "slides")
    return (tmp_path / "slides" / deck.file).read_text(), deck, tmp_path / "slides"


def test_outputs_come_from_the_cache_where_the_book_was_built_again(tmp_path):
    notebook = chapter(figure(**ALT))
    notebook.metadata["kernelspec"] = {"name": "python3", "display_name": "Python 3"}
    executed = tmp_path / "jupyter_execute" / "notebooks"
    executed.mkdir(parents=True)
    bare = executed / "05-small.ipynb"
    cache = get_cache(tmp_path / ".jupyter_cache-0")
    cache.cache_notebook_bundle(CacheBundleIn(notebook, str(bare)), check_validity=False)
    for cell in notebook.cells:
        if cell.cell_type == "code":
            cell.outputs, cell.execution_count = [], None
    nbformat.write(notebook, bare)
    slides.build(executed, tmp_path / "slides")
    assert "<img" in (tmp_path / "slides" / "05-small.html").read_text()
    shutil.rmtree(tmp_path / ".jupyter_cache-0")
    with pytest.raises(slides.SlideError, match="05-small: its cells were not executed"):
        slides.build(executed, tmp_path / "slides")


def test_slides_are_those_that_tags_ask_for(built):
    page, deck, _ = built
    assert deck == ("05-small.html", "Small & fine", 3)
    assert page.count("data-foot=") == 3
    assert re.findall(r"<h(\d)[^>]*>([^<]+)", page) == [("1", "Small &amp; fine"), ("2", "Ideas"), ("2", "Numbers")]
    words = BeautifulSoup(page, "html.parser").get_text()
    for hidden in ("secret", "draw()", "print()", "careful"):
        assert hidden not in words
    assert "one < 1\ntwo < 1" in words
    assert 'class="fragment"' in page
    assert words.count("law = fit(W)") == 1  # no outputs: its code is what there is to show
    assert "Written for the slide: $x^2$." in page
    assert page.count("<section") == page.count("</section>") == 2 + 3  # two stacks


def test_prose_goes_to_the_speaker(built):
    page, _, _ = built
    notes = [note.get_text().strip() for note in BeautifulSoup(page, "html.parser").select("section aside.notes")]
    assert notes == ["Prose for the speaker.", "Long.", "Remember this."]
    assert page.index("Question: is it?") < page.index("<aside")


def test_figures_keep_their_description_and_lead_to_no_data(built):
    page, _, _ = built
    (image,) = BeautifulSoup(page, "html.parser").select("figure.tall > img")
    assert image["alt"] == 'A "grey" corner'
    svg = b64decode(image["src"].removeprefix("data:image/svg+xml;base64,")).decode()
    assert slides.DARK in svg
    assert slides.INK not in svg
    assert "What to see: a corner." in page
    assert "<details" not in page


def test_links_lead_into_the_book(built):
    page, _, _ = built
    assert 'href="../html/book/theory/wick.html#a"' in page
    assert 'href="../html/notebooks/20-x.html"' in page
    assert 'href="../html/notebooks/05-small.html"' in page


def test_nothing_is_loaded_from_elsewhere(built):
    page, _, folder = built
    contents = (folder / "index.html").read_text()
    assert "Small &amp; fine" in contents
    for text in (page, contents):
        assert offline.remote_loads(text, False) == []
        for name in re.findall(r'(?:src|href)="(assets/[^"]+)"', text):
            assert (folder / name).is_file(), name
    for sheet in folder.rglob("*.css"):
        assert offline.remote_loads(sheet.read_text(), True) == []
    scripts = (folder / "assets" / "deck.js").read_text()
    for name in re.findall(r'"(assets/[^"]+)"', scripts):
        assert (folder / name).is_file(), name
    for name in ("mathjax", "reveal"):
        assert (folder / "assets" / name / "LICENSE").is_file()


@pytest.mark.parametrize(
    ("cells", "wrong"),
    [
        ([figure()], "cell 2: a figure without alt text"),
        ([tagged(new_code_cell("", outputs=[shown({"image/png": "AAAA"})]), "slide")], "SVG"),
        ([tagged(new_markdown_cell("## Both"), "slide", "notes")], "cell 2: one tag of"),
    ],
)
def test_a_chapter_that_cannot_become_slides_is_named_and_changes_nothing(tmp_path, cells, wrong):
    executed, target = tmp_path / "executed", tmp_path / "slides"
    executed.mkdir()
    nbformat.write(chapter(), executed / "05-small.ipynb")
    slides.build(executed, target)
    before = sorted(target.rglob("*"))
    nbformat.write(chapter(*cells), executed / "06-other.ipynb")
    with pytest.raises(slides.SlideError, match="06-other.*" + wrong):
        slides.build(executed, target)
    assert sorted(target.rglob("*")) == before
    assert sorted(tmp_path.iterdir()) == [executed, target]


def test_no_slides_without_a_tagged_cell():
    with pytest.raises(slides.SlideError, match="no cell is tagged slide"):
        slides.prepared(new_notebook(cells=[new_markdown_cell("# A")]), "07-plain")
    with pytest.raises(slides.SlideError, match="begin with a cell tagged slide"):
        slides.prepared(new_notebook(cells=[tagged(new_markdown_cell("A"), "fragment")]), "07-plain")


def test_without_a_built_book_the_program_says_what_to_do(tmp_path):
    program = tmp_path / "book" / "_make" / "slides.py"
    program.parent.mkdir(parents=True)
    program.write_text(Path(slides.__file__).read_text())
    done = subprocess.run([sys.executable, program], capture_output=True, text=True, check=False)
    assert done.returncode == 2
    assert re.fullmatch(r"slides: no executed chapters in .*: run `make book` first\n", done.stderr)
    assert list(tmp_path.iterdir()) == [tmp_path / "book"]


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("*What to see: a, b.*", "*What to see: a, b.*"),
        ("*What to see: lines part. One: " + "1; " * 200 + "2.*", "start"),
        ("Not a figure's. " * 100, "Not a figure's. " * 100),
    ],
)
def test_long_sentences_lose_their_last_clauses(text, expected):
    short = slides.shortened(text)
    if expected == "start":
        assert short.startswith("*What to see: lines part. One: 1; 1;")
        assert short.endswith("1.*")
        assert 200 < len(short) <= slides.LONGEST + 5
    else:
        assert short == expected


@pytest.mark.parametrize("path", NOTEBOOKS, ids=lambda path: path.stem)
def test_every_chapter_has_slides(path):
    cells = json.loads(path.read_text())["cells"]
    tags = [cell["metadata"].get("tags", []) for cell in cells]
    kinds = [[tag for tag in some if tag in slides.KINDS] for some in tags]
    assert max(map(len, kinds)) == 1
    assert 8 <= sum(kind in (["slide"], ["subslide"]) for kind in kinds) <= 14
    assert kinds[0] == ["slide"]
    # What the book does not show is either the first cell or was written for a slide, and then it is short.
    hidden = [cell for cell in cells[2:] if "remove-cell" in cell["metadata"].get("tags", [])]
    assert all(set(cell["metadata"]["tags"]) & set(slides.KINDS) for cell in hidden)
    assert max(len("".join(cell["source"])) for cell in hidden) < 1300
    assert 1 <= len(hidden) <= 12
