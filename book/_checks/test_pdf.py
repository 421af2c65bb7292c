"""The printed book, where it has been made: complete, linked, bookmarked, and nothing left blank or too big."""

import sys
from functools import cache
from pathlib import Path

import pytest
import yaml
from bs4 import BeautifulSoup
from pypdf import PdfReader

ROOT = Path(__file__).parents[2]
PDF = ROOT / "_build" / "pigmm.pdf"
sys.path += [str(ROOT), str(ROOT / "book" / "_make")]
from document import anchor, parts  # noqa: E402
from pdf import destinations  # noqa: E402

from tests.pdf_reading import described  # noqa: E402

pytestmark = pytest.mark.skipif(not PDF.is_file(), reason="no _build/pigmm.pdf: `make pdf` makes it")


@pytest.fixture(scope="module")
def reader():
    return PdfReader(PDF)


@pytest.fixture(scope="module")
def text(reader):
    """The text of a page, counted from one, without spaces, which formulas and line ends make uncertain."""
    return cache(lambda number: "".join(reader.pages[number - 1].extract_text().split()))


@pytest.fixture(scope="module")
def titles():
    """The titles of all chapters, by their pages' names, in order."""
    found = {}
    for part in parts(yaml.safe_load((ROOT / "_toc.yml").read_text(encoding="utf8"))):
        for page in part.pages:
            soup = BeautifulSoup((ROOT / "_build" / "html" / f"{page}.html").read_text(encoding="utf8"), "html.parser")
            for mark in soup.select(".headerlink"):
                mark.decompose()
            found[page] = " ".join(soup.select_one("article h1").text.split())
    return found


def test_size(reader):
    assert PDF.stat().st_size < 25e6
    assert len(reader.pages) > 100


def test_every_chapter_is_there_in_order(reader, text, titles):
    numbers = destinations(reader)
    starts = [numbers[anchor(page)] for page in titles]
    assert starts == sorted(set(starts))
    for page, start in zip(titles, starts, strict=True):
        title = "".join(titles[page].split())
        assert "\\" in title or title in text(start), f"{page} does not begin on page {start}"
        assert str(start) in text(start), f"page {start} does not say so"


def test_bookmarks_lead_to_the_chapters(reader, titles):
    numbers, marks = destinations(reader), []

    def walk(items, depth=0):
        for item in items:
            if isinstance(item, list):
                walk(item, depth + 1)
            else:
                marks.append((depth, " ".join(item.title.split()), reader.get_destination_page_number(item) + 1))

    walk(reader.outline)
    assert max(depth for depth, _, _ in marks) == 2
    found = {(title, page) for depth, title, page in marks if depth <= 1}
    wanted = {(title, numbers[anchor(page)]) for page, title in titles.items() if "\\" not in title}
    assert wanted <= found
    assert [page for _, _, page in marks] == sorted(page for _, _, page in marks)


def test_every_link_has_its_place(reader):
    numbers, inner, outer = destinations(reader), 0, set()
    for page in reader.pages:
        for note in page.get("/Annots", ()):
            note = note.get_object()
            if note["/Subtype"] != "/Link":
                continue
            if "/Dest" in note:
                assert note["/Dest"].removeprefix("/") in numbers
                inner += 1
            else:
                outer.add(note["/A"]["/URI"].partition(":")[0])
    assert inner > 500
    assert outer <= {"http", "https", "mailto"}


def test_contents_name_the_pages(reader, text, titles):
    numbers = destinations(reader)
    contents = "".join(map(text, range(2, numbers["book-index"])))
    for page, title in titles.items():
        if "\\" not in title:
            assert f"{''.join(title.split())}{numbers[anchor(page)]}" in contents, page


def test_no_page_is_blank(reader, text):
    """Short ones are read; the others draw enough."""
    for number, page in enumerate(reader.pages, 1):
        drawn = len(page.get_contents().get_data())
        assert drawn > 4000 or len(text(number)) > 80, f"page {number} is blank"


def test_formulas_are_set(reader, text):
    """MathJax has run: one finds its signs, and no TeX."""
    some = [text(number) for number in range(1, len(reader.pages) + 1, 6)]
    assert sum("∑" in page for page in some) > 3
    assert not [page for page in some if "\\mathbb" in page or "\\(" in page]


def test_figures_and_formulas_are_described(reader):
    """For those who hear the book: pictures by their alt text, formulas by their TeX."""
    found = described(reader)
    assert sum(text.startswith("invariant graph") for text in found) > 361
    assert sum("\\" in text for text in found) > 500
    assert "" not in found
