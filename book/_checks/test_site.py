"""The archive of the site as a reader has it: unpacked somewhere, opened from the disk, the network off."""

import zipfile
from html.parser import HTMLParser
from pathlib import Path
from urllib.parse import unquote, urlsplit

import pytest

BUILD = Path(__file__).parents[2] / "_build"
LOADED = dict.fromkeys(("img", "script", "source", "iframe", "video"), "src") | {"link": "href", "image": "href"}


class Page(HTMLParser):
    """Ids and addresses of one page, the addresses apart by whether they are loaded or followed."""

    def __init__(self, path):
        super().__init__()
        self.ids, self.loaded, self.followed = set(), [], []
        self.feed(path.read_text(encoding="utf8"))

    def handle_starttag(self, tag, attributes):
        named = dict(attributes)
        self.ids |= {named[key] for key in ("id", "name") if named.get(key)}
        if address := named.get(LOADED.get(tag, "")):
            self.loaded.append(address)
        if tag in ("a", "area") and named.get("href"):
            self.followed.append(named["href"])


@pytest.fixture(scope="module")
def site(tmp_path_factory):
    """The archive's one folder, unpacked where the name has a space and an umlaut, as in many a home."""
    archive = BUILD / "pigmm-site.zip"
    if not archive.is_file():
        pytest.fail("_build/pigmm-site.zip is missing: run `make site` first")
    folder = tmp_path_factory.mktemp("Bücher und mehr")
    with zipfile.ZipFile(archive) as file:
        file.extractall(folder)
    (top,) = folder.iterdir()
    return top


@pytest.fixture(scope="module")
def pages(site):
    """Every page, read."""
    paths = (path for path in site.rglob("*.html") if "_static" not in path.parts)
    return {path: Page(path) for path in sorted(paths)}


def test_every_address_in_the_archive_leads_somewhere(site, pages):
    """Links, images, scripts, style sheets, down to the place on the page."""
    wrong, seen = [], 0
    for path, page in pages.items():
        for address in page.loaded + page.followed:
            parts = urlsplit(address)
            if parts.scheme or parts.netloc:
                if address in page.loaded and parts.scheme != "data":
                    wrong.append(f"{path.relative_to(site)} loads {address}")
                continue
            seen += 1
            target = (path.parent / unquote(parts.path)).resolve() if parts.path else path
            if not target.is_relative_to(site) or not target.exists():
                wrong.append(f"{path.relative_to(site)}: nothing at {address}")
            elif (place := unquote(parts.fragment)) and target in pages and place not in pages[target].ids:
                wrong.append(f"{path.relative_to(site)}: no such place as {address}")
    assert seen > 1000
    assert not wrong, "\n".join(wrong)


def test_every_page_opens_quietly_from_the_disk(site, pages, page):
    """No request leaves the folder, none fails, nothing is said on the console; formulas are set."""
    wrong, asked, here = [], [], ""
    page.on("pageerror", lambda error: wrong.append(f"{here}: {error}"))
    page.on("console", lambda said: wrong.append(f"{here}: {said.text}") if said.type in ("error", "warning") else None)
    page.on("requestfailed", lambda request: wrong.append(f"{here}: fails: {request.url}"))
    within = (site.as_uri(), "data:", "blob:")
    page.on("request", lambda request: asked.append(f"{here}: asks for {request.url}"))
    for path in pages:
        here = path.relative_to(site).as_posix()
        page.goto(path.as_uri())
        page.wait_for_function("!window.MathJax || !!MathJax.startup?.promise")
        page.evaluate("window.MathJax?.startup.promise.then(() => document.fonts.ready).then(() => null)")
        broken = page.evaluate("[...document.images].filter((i) => i.complete && !i.naturalWidth).map((i) => i.src)")
        wrong += [f"{here}: no picture at {source}" for source in broken]
        wrong += [f"{here}: formula: {text}" for text in page.locator("mjx-merror").all_text_contents()]
        if not page.title() and here != "html/index.html":  # which only leads to the first page
            wrong.append(f"{here}: no title")
    wrong += [line for line in asked if not line.partition(" asks for ")[2].startswith(within)]
    assert not wrong, "\n".join(wrong)


def test_one_gets_from_the_start_to_the_book(site, page):
    """By the page that a reader sees first."""
    page.goto((site / "START-HERE.html").as_uri())
    page.get_by_role("link", name="Read the book").click()
    page.wait_for_url("**/html/book/index.html")
    assert page.locator("article h1").count() == 1


def test_the_search_finds_pages(site, page):
    """Through the search field, and the found page opens."""
    page.goto((site / "html" / "search.html").as_uri() + "?q=wasserstein")
    page.wait_for_function("/Search finished/.test(document.querySelector('#search-results p')?.textContent)")
    found = page.locator("#search-results li a")
    assert "wasserstein" in " ".join(found.evaluate_all("links => links.map((link) => link.href)"))
    found.first.click()
    page.wait_for_selector("article h1")
