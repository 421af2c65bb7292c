"""The whole book as one PDF: the document of book/_make/document.py, printed by a Chromium.

The contents get their page numbers from a first printing.
"""

import io
import sys
from pathlib import Path
from typing import Any

import yaml
from browser import opened
from document import About, about, assemble, parts
from playwright.sync_api import Browser
from pypdf import PdfReader, PdfWriter
from pypdf.generic import NameObject, NumberObject, TextStringObject

from pigmm.errors import PigmmError
from pigmm.storage import write_whole

ROOT = Path(__file__).parents[2]
OLDEST = 131  # the first Chromium that numbers pages as a style sheet asks
LEVELS = 3  # of bookmarks: part, chapter, section
WIDTH = 619  # of the text, in pixels: A4 without its margins (see print.css)
# Formulas are drawn as signs that no screen reader meets; a picture of nothing beside each of them says its TeX.
SAY = """
async (nothing) => {
  const said = [...MathJax.startup.document.math].map(({ math, typesetRoot }) => {
    const image = new Image(1, 1);
    Object.assign(image, { src: nothing, alt: math.trim() });
    image.style.cssText = "position: absolute; left: 0; bottom: 0";
    typesetRoot.querySelector("mjx-assistive-mml")?.remove();
    typesetRoot.append(image);
    return image.decode();
  });
  await Promise.all(said);
}
"""
NOTHING = "data:image/gif;base64,R0lGODlhAQABAIAAAAAAAP///yH5BAEAAAAALAAAAAABAAEAAAIBRAA7"
# What is too wide is set smaller; what is not long stays on one page.
FIT = """
() => {
  for (const box of document.querySelectorAll("div.math")) {
    const formula = box.querySelector("mjx-math, mjx-mtable") ?? box;
    const number = box.querySelector(".eqno")?.getBoundingClientRect().width ?? 0;
    const room = box.clientWidth - 2 * number - (number ? 10 : 0), width = formula.getBoundingClientRect().width;
    if (width > room) box.style.fontSize = `${100 * Math.max(0.6, room / width)}%`;
  }
  for (const table of document.querySelectorAll("table")) {
    const room = table.parentElement.clientWidth;
    for (let size = 8.5; size > 6.5 && table.offsetWidth > room; size -= 0.5) table.style.fontSize = `${size - 0.5}pt`;
    if (table.offsetWidth > room) table.classList.add("wrapped");
    if (table.offsetWidth > room) table.style.overflowWrap = "anywhere";
  }
  for (const box of document.querySelectorAll("pre, table")) box.classList.toggle("whole", box.offsetHeight < 250);
  return [...document.querySelectorAll("article table, article img, article svg, mjx-math")]
    .filter((box) => box.getBoundingClientRect().right > document.body.clientWidth + 2)
    .map((box) => box.closest("[data-page]").dataset.page + ": " + box.textContent.slice(0, 60));
}
"""
NUMBER = """
(pages) => {
  for (const link of document.querySelectorAll(".contents a")) {
    link.querySelector(".page").textContent = pages[decodeURIComponent(link.hash.slice(1))];
  }
}
"""


def destinations(reader: PdfReader) -> dict[str, int]:
    """Names in a PDF and the pages, counted from one, to which they lead."""
    numbers = {name: reader.get_destination_page_number(aim) for name, aim in reader.named_destinations.items()}
    return {name.removeprefix("/"): number + 1 for name, number in numbers.items() if number is not None}


def printed(browser: Browser, document: Path) -> tuple[bytes, list[str], list[str]]:
    """The PDF of a document whose contents know their pages, its headings, and what is too wide for the paper."""
    if int(browser.version.split(".")[0]) < OLDEST:
        raise PigmmError.of("the browser", got=browser.version, allowed=f"Chromium or Chrome {OLDEST} or newer")
    context = browser.new_context(offline=True, color_scheme="light", viewport={"width": WIDTH, "height": 1000})
    try:
        page = context.new_page()
        page.set_default_timeout(300_000)
        page.emulate_media(media="print")
        page.goto(document.as_uri())
        page.evaluate("MathJax.startup.promise.then(() => document.fonts.ready).then(() => null)")
        page.evaluate(SAY, NOTHING)
        wide = page.evaluate(FIT)
        headings = page.evaluate("[...document.querySelectorAll('h1, h2, h3')].map((heading) => heading.textContent)")
        before: dict[str, int] = {}
        for _ in range(4):
            content = page.pdf(prefer_css_page_size=True, print_background=True, outline=True, tagged=True)
            pages = destinations(PdfReader(io.BytesIO(content)))
            if pages == before:
                return content, headings, wide
            page.evaluate(NUMBER, pages)
            before = pages
    finally:
        context.close()
    raise PigmmError.of("the page numbers of the contents do not settle")


def finished(content: bytes, said: About, headings: list[str]) -> bytes:
    """The same PDF with author, date and version, and with bookmarks of few levels, folded below the chapters.

    A browser drops the space at which a heading goes on in the next line; bookmarks get it back.
    """
    whole = {"".join(text.split()): " ".join(text.split()) for text in headings}
    writer = PdfWriter(io.BytesIO(content), incremental=True)
    stamp = f"D:{said.date:%Y%m%d}000000Z"
    words = {"Title": said.title, "Author": said.author, "Subject": f"Version {said.version}. {said.book}"}
    writer.add_metadata({f"/{key}": word for key, word in words.items()} | {"/CreationDate": stamp, "/ModDate": stamp})

    def prune(item: Any, level: int) -> int:
        """Cut below the last level; how many bookmarks there are below this one."""
        child, count = item.get("/First"), 0
        if level == LEVELS:
            for key in ("/First", "/Last", "/Count"):
                item.pop(NameObject(key), None)
            return 0
        while child is not None:
            child = child.get_object()
            title = child["/Title"]
            child[NameObject("/Title")] = TextStringObject(whole.get("".join(title.split()), title))
            count += 1
            prune(child, level + 1)
            child = child.get("/Next")
        if count and level:
            item[NameObject("/Count")] = NumberObject(count if level == 1 else -count)
        return count

    prune(writer.root_object["/Outlines"].get_object(), 0)
    buffer = io.BytesIO()
    writer.write(buffer)
    return buffer.getvalue()


def make(build: Path, root: Path) -> tuple[Path, list[str]]:
    """Print the book that is built in ``build``; the PDF's path, and what is not as it should be.

    Raises
    ------
    PigmmError
        If the book has not been built, the browser is too old, or the PDF cannot be written.
    """
    folder = build / "html"
    toc = yaml.safe_load((root / "_toc.yml").read_text(encoding="utf8"))
    pages = [folder / f"{page}.html" for part in parts(toc) for page in part.pages]
    if missing := [path for path in pages if not path.is_file()]:
        raise PigmmError.of(f"no built book: {missing[0]} is missing", fix="Run `make book` first.")
    said = about(root, pages)
    styles = [folder / "_static/pygments.css", folder / "_static/scoreboard.css", root / "book/_static/print.css"]
    html, lost = assemble(folder, toc, said, styles)
    document, path = build / "pigmm-print.html", build / "pigmm.pdf"
    try:
        with opened() as browser:
            write_whole(document, html.encode())
            content, headings, wide = printed(browser, document)
    finally:
        document.unlink(missing_ok=True)
    write_whole(path, finished(content, said, headings))
    return path, [f"leads nowhere: {link}" for link in lost] + [f"too wide: {box}" for box in wide]


def main() -> int:
    """Print this checkout's book; errors are one line and code 2."""
    try:
        path, wrong = make(ROOT / "_build", ROOT)
    except PigmmError as error:
        print(error, file=sys.stderr)
        return 2
    for line in wrong:
        print(line, file=sys.stderr)
    count = len(PdfReader(path).pages)
    print(f"{count} pages, {path.stat().st_size / 1e6:.1f} MB: _build/{path.name}")
    return 0


if __name__ == "__main__":
    sys.exit(main())
