"""Every built page is read by axe-core: nothing serious, headings in order, light and dark, wide and on a phone."""

from pathlib import Path

import axe_playwright_python
import pytest

BUILT = Path(__file__).parents[2] / "_build"
PAGES = [
    path for folder in ("html", "slides") for path in sorted((BUILT / folder).rglob("*.html"))
    if not {"_static", "assets", "reveal"} & set(path.parts)
    and "http-equiv" not in path.read_text(encoding="utf8")[:200]  # it leads to another page at once
]  # fmt: skip
AXE = (Path(axe_playwright_python.__file__).parent / "axe.min.js").read_text(encoding="utf8")
# Formulas are MathJax's own affair, and their many parts would take most of the time.
RUN = """only => axe.run({exclude: [["mjx-container"]]}, only.length ? {runOnly: only} : {})
  .then(found => found.violations)"""
ORDER = {"heading-order", "page-has-heading-one", "empty-heading"}


@pytest.fixture(scope="module")
def tab(browser):
    context = browser.new_context(offline=True, reduced_motion="reduce")
    yield context.new_page()
    context.close()


def faults(tab, only=()):
    """What axe finds serious on the page that is open, and whatever it says about headings."""
    return [
        f"{rule['id']}: {node['target']} {node['html'][:120]} {[check['message'] for check in node['any']][:1]}"
        for rule in tab.evaluate(RUN, list(only))
        if rule["impact"] in ("serious", "critical") or rule["id"] in ORDER
        for node in rule["nodes"]
    ]


def test_there_are_pages():
    assert len(PAGES) > 30, "make book comes first"


@pytest.mark.parametrize("path", PAGES, ids=lambda path: path.relative_to(BUILT).as_posix())
def test_page_is_accessible(tab, path):
    tab.emulate_media(color_scheme="dark")
    tab.set_viewport_size({"width": 390, "height": 844})
    tab.goto(path.as_uri())
    tab.evaluate("window.MathJax?.startup?.promise")
    tab.wait_for_timeout(200)  # the theme makes boxes that scroll reachable when all is laid out
    tab.evaluate(AXE)
    found = [f"dark, narrow: {fault}" for fault in faults(tab, ["color-contrast", "scrollable-region-focusable"])]
    wide = tab.evaluate("document.documentElement.scrollWidth - document.documentElement.clientWidth")
    tab.emulate_media(color_scheme="light")
    tab.set_viewport_size({"width": 1300, "height": 900})
    found += faults(tab)
    assert found == []
    assert wide <= 0, f"{wide} pixels wider than a phone"


def test_faults_are_found(tab):
    tab.goto("about:blank")
    tab.emulate_media(color_scheme="light")
    tab.set_content('<title>t</title><h1>a</h1><h3>b</h3><p style="color: #ccc">pale</p><img src="d">')
    tab.evaluate(AXE)
    found = " ".join(faults(tab))
    assert all(rule in found for rule in ("heading-order", "color-contrast", "image-alt"))
