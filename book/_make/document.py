"""The whole book in one HTML document, to be printed: the pages of the table of contents in their order.

Links between pages become links within the document; what only works in a browser leads to the book online. Folded code
stays out. All this is text to text: nothing is fetched, executed or drawn here.
"""

import datetime
import json
import os
import re
import tomllib
from html import escape
from pathlib import Path
from posixpath import join, normpath
from typing import NamedTuple
from urllib.parse import quote, unquote, urljoin, urlsplit

import yaml
from bs4 import BeautifulSoup, Tag

import pigmm
from pigmm.errors import PigmmError

NOT_PRINTED = (
    ".headerlink, script, link, button, input, select, textarea, form, iframe, video, canvas, .toctree-wrapper,"
    " details.hide, .pigmm-numbers, .sd-hide-link-text, [hidden]"
)
BLACK = ".n, .p, .w, .nn, .nx, :not([class])"  # parts of code that have no colour of their own
PLAIN = {"\u2705": "\u2713", "\u274c": "\u2717"}  # signs in colour, which few fonts have, and plain ones
PICTURES = {"img": "src", "image": "href", "source": "src"}
SCRIPT = "_static/vendor/mathjax/tex-mml-chtml.js"
MATHJAX = {"options": {"processHtmlClass": "tex2jax_process|mathjax_process|math|output_area", "enableMenu": False}}
TEMPLATE = """\
<!DOCTYPE html>
<html lang="en-GB" data-theme="light">
<head>
<meta charset="utf-8">
<title>{title}</title>
{sheets}
<style>{heads}</style>
<script>window.MathJax = {settings}</script>
<script defer src="{mathjax}"></script>
</head>
<body>
{front}
<nav class="contents"><h1 class="title">Contents</h1>{contents}</nav>
<article class="bd-article tex2jax_ignore mathjax_ignore">{body}</article>
</body>
</html>
"""
FRONT = """\
<div class="front">
<img src="{logo}" alt="{name}">
<p class="name">{title}</p>
<div class="imprint">
<p>{author}<br>Version {version}, {date}</p>
<p>The same book to read in a browser, with figures that move and a search: {book}<br>
All code, and the notebooks that compute what is printed here: {repository}</p>
<p><strong>How to read this PDF.</strong> It shows the book as it was built: chapters are executed notebooks, and their
numbers and figures come from that run. What is folded online, code that only draws and the numbers behind a figure, is
left out here; the code is in the notebooks. Blue words lead to their place in this document or on the web.</p>
<p><strong>How to cite.</strong> {cite}<br>Please cite it together with the paper that it reproduces: {paper}</p>
<p>Text and figures: <a href="https://creativecommons.org/licenses/by/4.0/">CC BY 4.0</a>. Code: MIT.</p>
</div>
</div>"""


class Part(NamedTuple):
    """A part of the table of contents: its caption, empty for the first page, and its pages."""

    caption: str
    pages: list[str]


class About(NamedTuple):
    """What the title page says."""

    title: str
    author: str
    version: str
    date: datetime.date
    book: str
    repository: str
    cite: str
    paper: str


# ---- what there is


def parts(toc: dict) -> list[Part]:
    """The parts of a ``_toc.yml`` in its order, the root page first.

    Examples
    --------
    >>> parts({"root": "index", "parts": [{"caption": "A", "chapters": [{"file": "x", "sections": [{"file": "y"}]}]}]})
    [Part(caption='', pages=['index']), Part(caption='A', pages=['x', 'y'])]
    """

    def files(entries: list[dict]) -> list[str]:
        found = []
        for entry in entries:
            found += [entry["file"]] if "file" in entry else []
            found += files(entry.get("sections", []))
        return found

    named = [Part(part.get("caption", ""), files(part["chapters"])) for part in toc.get("parts", [])]
    return [Part("", [toc["root"], *files(toc.get("chapters", []))]), *named]


def about(root: Path, pages: list[Path]) -> About:
    """The title page of a checkout, dated SOURCE_DATE_EPOCH or as the newest of these pages."""
    project = tomllib.loads((root / "pyproject.toml").read_text(encoding="utf8"))["project"]
    config = yaml.safe_load((root / "_config.yml").read_text(encoding="utf8"))
    cite = yaml.safe_load((root / "CITATION.cff").read_text(encoding="utf8"))
    epoch = os.environ.get("SOURCE_DATE_EPOCH")
    try:
        when = max(path.stat().st_mtime for path in pages) if epoch is None else int(epoch)
        date = datetime.datetime.fromtimestamp(when, datetime.UTC).date()
    except (ValueError, OverflowError) as error:
        raise PigmmError.of("SOURCE_DATE_EPOCH", got=epoch, allowed="seconds since 1970") from error
    paper = cite["references"][0]
    names = " and ".join(f"{author['given-names']} {author['family-names']}" for author in paper["authors"])
    return About(
        config["title"], config["author"], pigmm.__version__, date,
        project["urls"]["Book"], project["urls"]["Repository"],
        f"{config['author']}: {cite['title']}. Version {pigmm.__version__}, {date.year}. {cite['url']}",
        f"{names}: {paper['title']}, {paper['year']}. {paper['url']}",
    )  # fmt: skip


# ---- one document of many pages


def anchor(page: str, place: str = "") -> str:
    """The id in the document of a page, or of a place on it.

    Examples
    --------
    >>> anchor("book/theory/wick"), anchor("book/theory/wick", "equation-eq-wick")
    ('book-theory-wick', 'book-theory-wick--equation-eq-wick')
    """
    name = page.replace("/", "-")
    return f"{name}--{re.sub(r'[^A-Za-z0-9._-]', '-', place)}" if place else name


def target(page: str, address: str, book: str) -> tuple[str, str] | str:
    """Where a link of a page leads: a page and a place of the book, or an address anywhere.

    Examples
    --------
    >>> target("book/theory/wick", "../notation.html#indices", "https://x.org/")
    ('book/notation', 'indices')
    >>> target("book/index", "../_downloads/a.py", "https://x.org/")
    'https://x.org/_downloads/a.py'
    """
    parted = urlsplit(address)
    if parted.scheme or parted.netloc:
        return address
    if not parted.path:
        return page, unquote(parted.fragment)
    path = normpath(join(page, "..", unquote(parted.path)))
    if path.endswith(".html"):
        return path.removesuffix(".html"), unquote(parted.fragment)
    return urljoin(book, quote(path))


def article(page: str, html: str, folder: Path, book: str) -> tuple[str, Tag]:
    """A built page's title, and what is printed of it: nothing to press or folded, pictures by addresses of files."""
    found = BeautifulSoup(html, "html.parser").select_one("article.bd-article")
    if found is None or found.h1 is None:
        raise PigmmError.of(f"{page}.html is no page of a book", fix="Build it again with `make book`.")
    title = found.h1.extract()
    for mark in title.select(".headerlink"):
        mark.decompose()
    online = f'This part is interactive. Online it is at <a href="{book}{page}.html">{book}{page}.html</a>.'
    for box in found.select(".explorable, .atlas"):
        box.insert_before(BeautifulSoup(f'<p class="online">{online}</p>', "html.parser"))
    for folded in [script.find_parent("details") for script in found.select("details noscript")]:
        inner = folded.select_one("[id]:has(noscript)")  # a script would fill it; on paper its head says enough
        if inner is not None:
            folded["id"] = inner.extract()["id"]
        folded.name = "div"
        folded.summary.unwrap()
    for button in found.select("p button, li button"):  # it stands for words of the sentence
        button.name, button.attrs = "em", {}
    for box in found.select(f"{NOT_PRINTED}, noscript"):
        box.decompose()
    for box in found.select(".cell_input, .cell_output, .cell, p"):
        if not box.get_text(strip=True) and not box.find(["img", "svg", "table"]):
            if "id" in box.attrs:  # a place to which something may lead
                box.clear()
            else:
                box.decompose()
    for box in found.select("details"):
        box["open"] = ""
    for token in found.select(f"pre span:is({BLACK})"):  # each would be an element of the PDF, for nothing
        token.unwrap()
    for kind, name in PICTURES.items():
        for picture in found.find_all(kind):
            if not urlsplit(picture.get(name, "")).scheme and picture.get(name):
                picture[name] = (folder / normpath(join(page, "..", unquote(picture[name])))).as_uri()
    for text in found.find_all(string=lambda text: text in PLAIN):
        text.replace_with(PLAIN[text])
    return title.decode_contents().strip(), found


def linked(articles: dict[str, Tag], book: str) -> list[str]:
    """Make all links lead to places of the one document; the links of which the book has no such place.

    Only ids to which something leads are kept, for those of two pages may be the same.
    """
    known = {page: {tag["id"] for tag in found.select("[id]")} for page, found in articles.items()}
    wanted, lost = set(), []
    for page, found in articles.items():
        for link in found.select("a[href]"):
            aim = target(page, link["href"], book)
            if isinstance(aim, str):
                link["href"] = aim
            elif aim[0] not in articles:
                link["href"] = urljoin(book, f"{quote(aim[0])}.html" + (f"#{quote(aim[1])}" if aim[1] else ""))
            elif aim[1] and aim[1] not in known[aim[0]]:
                lost.append(f"{page}: {link['href']}")
                link["href"] = f"#{anchor(aim[0])}"
            else:
                link["href"] = f"#{anchor(*aim)}"
                wanted.add(aim)
    for page, found in articles.items():
        styled = {name for style in found.find_all("style") for name in re.findall(r"#([\w-]+)", style.text)}
        for tag in found.select("[id]"):
            if (page, tag["id"]) in wanted:
                wanted.remove((page, tag["id"]))
                tag["id"] = anchor(page, tag["id"])
            elif tag["id"] not in styled:
                del tag["id"]
    return lost


def assemble(folder: Path, toc: dict, said: About, styles: list[Path]) -> tuple[str, list[str]]:
    """The document of a book built in ``folder``, and the links that lead nowhere.

    Raises
    ------
    PigmmError
        If a page of the table of contents has not been built.
    """
    titles, articles = {}, {}
    for page in (page for part in parts(toc) for page in part.pages):
        path = folder / f"{page}.html"
        if not path.is_file():
            raise PigmmError.of(f"no built book: {path} is missing", fix="Run `make book` first.")
        titles[page], articles[page] = article(page, path.read_text(encoding="utf8"), folder, said.book)
    lost = linked(articles, said.book)
    contents: list[str] = []
    body: list[str] = []
    heads: list[str] = []
    for part in parts(toc):
        level = 2 if part.caption else 1  # of the chapters' titles, below those of parts
        caption = f'<h1 class="part">{escape(part.caption)}</h1>' if part.caption else ""
        contents.append(caption.replace("h1", "p"))
        for page in part.pages:
            place = anchor(page)
            within = "".join(f"<li>{line}</li>" for line in sections(articles[page], place, level))
            contents.append(entry(place, titles[page], "entry"))
            contents.append(f'<ul class="within">{within}</ul>' if within else "")
            title = f'<h{level} class="title" id="{place}">{titles[page]}</h{level}>'
            inner = caption + title + articles[page].decode_contents()
            body.append(f'<div class="chapter" data-page="{page}" style="page:p{len(heads)}">{inner}</div>')
            heads.append(foot(len(heads), BeautifulSoup(titles[page], "html.parser").text))
            caption = ""
    sheets = (f'<link rel="stylesheet" href="{style.as_uri()}">' for style in styles)
    return TEMPLATE.format(
        title=escape(said.title), sheets="".join(sheets), heads="".join(heads), settings=json.dumps(MATHJAX),
        mathjax=(folder / SCRIPT).as_uri(), front=front(said, folder), contents="".join(contents), body="".join(body),
    ), lost  # fmt: skip


def sections(found: Tag, place: str, level: int) -> list[str]:
    """The lines of a chapter's sections in the contents; its headings get the levels that they have in the document."""
    lines: list[str] = []
    for heading in found.find_all(re.compile(r"^h[2-5]$")):
        own = int(heading.name[1])
        heading.name, heading["class"] = f"h{min(6, own + level - 1)}", f"level{own}"
        if own == 2 and heading.parent.name == "section":
            heading["id"] = heading.get("id") or f"{place}---{len(lines)}"
            lines.append(entry(heading["id"], heading.decode_contents()))
    return lines


def entry(place: str, title: str, kind: str = "section") -> str:
    """A line of the contents: a link with room for the page."""
    inner = BeautifulSoup(title, "html.parser")
    for tag in inner.find_all("a"):
        tag.unwrap()
    for tag in inner.select("[id]"):
        del tag["id"]
    return f'<a class="{kind}" href="#{place}">{inner}<span class="page">000</span></a>'


def foot(number: int, title: str) -> str:
    """The style of one chapter's pages: its name at the foot of each."""
    words = " ".join(title.replace("\\", "").replace('"', "\\22 ").split())
    return f'@page p{number}{{@bottom-left{{content:"{words}"}}}}'


def front(said: About, folder: Path) -> str:
    """The title page and what stands behind it."""
    name, _, subtitle = said.title.partition(": ")
    date = f"{said.date.day} {said.date:%B %Y}"
    logo = (folder / "_static/logo.svg").as_uri()

    def link(address: str) -> str:
        return f'<a href="{address}">{address}</a>'

    def linked_text(text: str) -> str:
        return re.sub(r"https://\S+", lambda found: link(found[0]), escape(text))

    return FRONT.format(
        logo=logo, name=escape(name), title=escape(subtitle or name), author=escape(said.author), version=said.version,
        date=date, book=link(said.book), repository=link(said.repository), cite=linked_text(said.cite),
        paper=linked_text(said.paper),
    )  # fmt: skip
