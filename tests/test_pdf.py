"""The printed book: how pages become one document, and a tiny book printed by a real browser."""

import datetime
import io
import os
import shutil
from pathlib import Path

import pytest

pytest.importorskip("bs4")
pypdf = pytest.importorskip("pypdf")
pytest.importorskip("playwright")
import document  # noqa: E402
import pdf  # noqa: E402
from bs4 import BeautifulSoup  # noqa: E402

from pigmm.errors import PigmmError  # noqa: E402

from .pdf_reading import described  # noqa: E402

ROOT = Path(__file__).parents[1]
BOOK = "https://example.org/"
LONG = "Theory & " + "more " * 30 + "of it"  # goes on in the next line
TOC = {"root": "index", "parts": [{"caption": LONG, "chapters": [{"file": "deep/one"}]}]}
PAGES = {
    "index": """<section id="first"><h1>The <em>first</em> page<a class="headerlink" href="#first">#</a></h1>
        <p>See <a href="deep/one.html#eq-1">(1)</a>, <a href="deep/one.html">the chapter</a>, <a href="a.zip">files</a>,
        <a href="genindex.html">an index</a>, <a href="https://x.org/y">elsewhere</a>, <a href="#lost">nowhere</a>.</p>
        <script>alert(1)</script><p>Press <button>Next</button>.</p><button>press</button>
        <details class="admonition hide"><summary>Show code</summary><pre>secret</pre></details>
        <details><summary>the numbers</summary><ul><li>folded but short</li></ul></details>
        <div class="cell" id="empty"><div class="cell_output"></div></div></section>""",
    "deep/one": """<section id="a-chapter"><span id="label"></span><h1>A chapter</h1><section id="part">
        <h2>A section<a class="headerlink" href="#part">#</a></h2>
        <div class="math" id="eq-1"><span class="eqno">(1)</span>\\[x^2 \\in \\mathbb{R}\\]</div>
        <h3>Below</h3><img src="../_images/dot.svg" alt="a dot"><p><a href="../index.html#first">back</a>,
        <a href="#part">here</a>, <a href="../index.html#empty">a cell of which nothing is printed</a></p></section>
        <table id="T_1"><tr><td id="T_1_row0">&#x2705;</td></tr></table><style>#T_1_row0 {color: red}</style>
        <div class="explorable"><canvas></canvas><p>What it shows</p><noscript>needs scripts</noscript></div>
        <div class="atlas"><form><input></form><details class="group"><summary>Degree 1</summary><div>
        <details class="item"><summary><b>00</b></summary><div id="g-00"><noscript>big table</noscript></div></details>
        </div></details></div><p><a href="#g-00">card</a></p></section>""",
}


@pytest.fixture
def built(tmp_path):
    """A built book of two pages, in a folder whose name is not plain."""
    folder = tmp_path / "a böok" / "html"
    for page, inner in PAGES.items():
        path = folder / f"{page}.html"
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(f'<html><body><nav>no</nav><article class="bd-article">{inner}</article></body></html>')
    (folder / "_images").mkdir()
    (folder / "_images" / "dot.svg").write_text(
        '<svg xmlns="http://www.w3.org/2000/svg" width="9" height="9"><circle cx="4" cy="4" r="3"/></svg>'
    )
    shutil.copytree(ROOT / "book" / "_static", folder / "_static")
    return folder


SAID = document.About(
    "pigmm: laws & nets", "The authors", "1.2.3", datetime.date(2026, 3, 4), BOOK, "https://git.example.org/",
    "Authors: a book. https://example.org/", "Someone: a paper.",
)  # fmt: skip


@pytest.fixture
def assembled(built):
    html, lost = document.assemble(built, TOC, SAID, [ROOT / "book" / "_static" / "print.css"])
    return BeautifulSoup(html, "html.parser"), lost


def test_the_parts_of_the_books_own_contents():
    """In its order, sections after their chapter, none twice."""
    import yaml

    found = document.parts(yaml.safe_load((ROOT / "_toc.yml").read_text()))
    pages = [page for part in found for page in part.pages]
    assert pages[0] == "book/index"
    assert len(pages) == len(set(pages)) == (ROOT / "_toc.yml").read_text().count("file: ") + 1
    assert [part.caption for part in found][:3] == ["", "Start", "Chapters"]


@pytest.mark.parametrize(
    ("address", "leads"),
    [
        ("#x", ("a/b/page", "x")), ("", ("a/b/page", "")), ("other.html", ("a/b/other", "")),
        ("../../top.html#y%20z", ("top", "y z")), ("../../_downloads/f.py", f"{BOOK}_downloads/f.py"),
        ("https://x.org/a.html#b", "https://x.org/a.html#b"), ("mailto:a@x.org", "mailto:a@x.org"),
    ],
)  # fmt: skip
def test_where_links_lead(address, leads):
    assert document.target("a/b/page", address, BOOK) == leads


def test_links_lead_to_places_of_the_document_or_online(assembled):
    soup, lost = assembled
    links = {a.text: a["href"] for a in soup.article.select("a[href]")}
    assert links["(1)"] == "#deep-one--eq-1"
    assert links["the chapter"] == "#deep-one"
    assert links["back"] == "#index--first"
    assert links["card"] == "#deep-one--g-00"
    assert links["files"] == f"{BOOK}a.zip"
    assert links["an index"] == f"{BOOK}genindex.html"
    assert links["elsewhere"] == "https://x.org/y"
    assert lost == ["index: #lost"]
    ids = [tag["id"] for tag in soup.select("[id]")]
    assert len(ids) == len(set(ids))
    assert {a["href"][1:] for a in soup.select('a[href^="#"]')} <= set(ids)


def test_ids_are_kept_where_something_needs_them(assembled):
    soup, _ = assembled
    ids = {tag["id"] for tag in soup.article.select("[id]")}
    assert ids == {
        "index", "index--first", "index--empty", "deep-one", "deep-one--part", "deep-one---0", "deep-one--eq-1",
        "deep-one--g-00",
        "T_1_row0",  # a style speaks of it
    }  # fmt: skip


def test_what_is_printed_and_what_not(assembled, built):
    soup, _ = assembled
    text = soup.article.text
    shown = ("folded but short", "Press Next.", "What it shows", "Degree 1", "00", "✓", f"{BOOK}deep/one.html")
    assert all(words in text for words in shown)
    assert not any(words in text for words in ("secret", "press", "alert", "needs scripts", "big table", "✅", "#"))
    assert soup.article.select_one("details").has_attr("open")
    assert soup.img["src"] == (built / "_static" / "logo.svg").as_uri()
    assert soup.article.img["src"] == (built / "_images" / "dot.svg").as_uri()


def test_headings_and_contents(assembled):
    soup, _ = assembled
    heads = [(tag.name, tag.text) for tag in soup.article.find_all(["h1", "h2", "h3", "h4", "h5"])]
    below = [("h2", "A chapter"), ("h3", "A section"), ("h4", "Below")]
    assert heads == [("h1", "The first page"), ("h1", LONG), *below]
    lines = [(a["href"], a.text.removesuffix("000")) for a in soup.select(".contents a")]
    assert lines == [("#index", "The first page"), ("#deep-one", "A chapter"), ("#deep-one---0", "A section")]
    assert "Version 1.2.3, 4 March 2026" in soup.select_one(".front").text
    assert "laws & nets" in soup.select_one(".front").text


def test_titles_do_not_break_out_of_the_style():
    assert document.foot(3, 'a "b\\" \n c') == '@page p3{@bottom-left{content:"a \\22 b\\22 c"}}'


def test_a_missing_or_foreign_page_is_named(built):
    (built / "deep" / "one.html").write_text("<p>hello")
    with pytest.raises(PigmmError, match=r"deep/one\.html is no page of a book"):
        document.assemble(built, TOC, SAID, [])
    (built / "deep" / "one.html").unlink()
    with pytest.raises(PigmmError, match=r"one\.html is missing.*make book"):
        document.assemble(built, TOC, SAID, [])


def test_the_title_page_of_this_book(tmp_path, monkeypatch):
    page = tmp_path / "page"
    page.touch()
    monkeypatch.setenv("SOURCE_DATE_EPOCH", "86400")
    said = document.about(ROOT, [page])
    assert said.date == datetime.date(1970, 1, 2)
    assert said.version in said.cite
    assert "Hirst" in said.paper
    monkeypatch.setenv("SOURCE_DATE_EPOCH", "x")
    with pytest.raises(PigmmError, match="SOURCE_DATE_EPOCH"):
        document.about(ROOT, [page])
    monkeypatch.delenv("SOURCE_DATE_EPOCH")
    os.utime(page, (86400 * 400, 86400 * 400))
    assert document.about(ROOT, [page]).date == datetime.date(1971, 2, 5)


def test_no_book_and_no_browser_are_one_line_and_code_2(tmp_path, built, monkeypatch, capsys):
    for name in ("pyproject.toml", "_config.yml", "CITATION.cff"):
        shutil.copy(ROOT / name, tmp_path)
    (tmp_path / "_toc.yml").write_text("root: index")
    monkeypatch.setattr(pdf, "ROOT", tmp_path)
    assert pdf.main() == 2
    assert "Run `make book` first" in capsys.readouterr().err
    shutil.copytree(built, tmp_path / "_build" / "html")
    monkeypatch.setenv("PIGMM_BROWSER", "no-such-browser")
    with pytest.raises(SystemExit, match="2"):
        pdf.main()
    said = capsys.readouterr().err
    assert "no Chromium or Chrome found" in said
    assert said.count("\n") == 1
    assert [path.name for path in (tmp_path / "_build").iterdir()] == ["html"]


def test_an_old_browser_is_named(tmp_path):
    class Old:
        version = "120.0.1"

    with pytest.raises(PigmmError, match="the browser: got '120.0.1'; allowed: Chromium or Chrome 131 or newer"):
        pdf.printed(Old(), tmp_path)


def test_a_tiny_book_in_print(built, browser):
    """Pages, links, bookmarks, numbers in the contents, and who wrote it."""
    html, _ = document.assemble(built, TOC, SAID, [ROOT / "book" / "_static" / "print.css"])
    path = built.parent / "print.html"
    path.write_text(html)
    content, headings, wide = pdf.printed(browser, path)
    reader = pypdf.PdfReader(io.BytesIO(pdf.finished(content, SAID, headings)))
    pages = [page.extract_text() for page in reader.pages]
    assert len(pages) == 4
    assert wide == []
    assert ["laws & nets" in pages[0], "Contents" in pages[1], "The first page" in pages[2]] == [True] * 3
    numbers = pdf.destinations(reader)
    assert (numbers["index"], numbers["deep-one"], numbers["deep-one--eq-1"]) == (3, 4, 4)
    assert "".join(pages[1].split()).endswith("MOREOFITAchapter4Asection4")
    assert pages[3].startswith("4A chapter")  # the foot comes first
    aims = [note.get_object().get("/Dest") for page in reader.pages for note in page.get("/Annots", ())]
    assert sum(aim is not None for aim in aims) >= 9
    assert {aim.removeprefix("/") for aim in aims if aim} <= numbers.keys()
    first, part, (chapter, (section,)) = reader.outline[-3:]
    marks = [mark.title for mark in (first, part, chapter, section)]
    assert marks == ["The first page", LONG, "A chapter", "A section"]  # no deeper ones
    assert reader.get_destination_page_number(chapter) == 3
    assert described(reader) == ["pigmm", r"x^2 \in \mathbb{R}", "a dot"]
    about = reader.metadata
    assert (about.title, about.author, about.creation_date.date()) == (SAID.title, SAID.author, SAID.date)
    assert reader.root_object["/Lang"] == "en-GB"
    assert reader.root_object["/MarkInfo"]["/Marked"]
    assert [round(float(size) / 72 * 25.4) for size in reader.pages[0].mediabox[2:]] == [210, 297]
