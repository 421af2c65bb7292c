"""Every built slide in a real browser: it fits, can be read and reached, and asks no network for anything."""

from io import BytesIO
from pathlib import Path

import pytest
from axe_playwright_python.sync_playwright import Axe
from pypdf import PdfReader

ROOT = Path(__file__).parents[2]
SLIDES = ROOT / "_build" / "slides"
CHAPTERS = sorted(path.stem for path in (ROOT / "notebooks").glob("*.ipynb"))
SMALLEST = 16  # pixels of 720 in height

# What is wrong with a slide: parts that leave it, hide behind its foot or its figure, or are tiny.
FAULTS = """(slide, smallest) => {
  const box = slide.getBoundingClientRect(), faults = [];
  const seen = (e) => !e.closest("aside, mjx-assistive-mml") && e.getBoundingClientRect().width > 1;
  const kinds = "h1, h2, p, li, pre, td, table, figure, img, svg, mjx-container";
  const all = [...slide.querySelectorAll(kinds)].filter(seen);
  const fault = (what, e) => faults.push(`${what}: ${e.tagName} ${e.textContent.trim().slice(0, 40)}`);
  if (!slide.querySelector("h1, h2")) faults.push("no heading");
  for (const e of all) {
    const r = e.getBoundingClientRect();
    const outside = r.left < box.left || r.top < box.top || r.right > box.right - 20 || r.bottom > box.bottom - 40;
    if (outside) fault("leaves the slide", e);
    if (e.matches("h1, h2, p, li, pre") && e.scrollWidth > e.clientWidth + 2) fault("too wide", e);
    if (e.matches("p, li, pre, td") && parseFloat(getComputedStyle(e).fontSize) < smallest) fault("tiny", e);
  }
  const figures = all.filter((e) => e.matches("figure"));
  if (figures.length > 1) faults.push("two figures in one place");
  for (const figure of figures) {
    const a = figure.getBoundingClientRect();
    for (const e of all.filter((e) => e.matches("h1, h2, p, li, pre, table"))) {
      const b = e.getBoundingClientRect();
      const width = Math.min(a.right, b.right) - Math.max(a.left, b.left);
      const height = Math.min(a.bottom, b.bottom) - Math.max(a.top, b.top);
      if (width > 1 && height > 1) fault("behind the figure", e);
    }
  }
  for (const e of all) {
    if (e.matches("img") && (!e.alt || !e.naturalWidth)) fault("no alt text, or no image", e);
    if (e.matches("svg") && !e.querySelector("title")) fault("a drawing without a name", e);
  }
  if (slide.querySelector("mjx-merror")) faults.push("a formula with an error");
  return faults;
}"""


def started(page, path, query=""):
    """A deck of which formulas and sizes are set."""
    assert path.is_file(), "make slides first"
    page.goto(path.as_uri() + query)
    page.wait_for_function("!document.documentElement.classList.contains('setting')")
    if page.evaluate("document.documentElement.classList.contains('deck')"):
        page.wait_for_function("Reveal.isReady()")


def serious(page):
    """Findings of axe that a reader would stumble over."""
    found = Axe().run(page, options={"preload": False}).response["violations"]  # it would read style sheets again
    return [
        f"{each['id']}: {each['nodes'][0]['html'][:120]}" for each in found if each["impact"] in ("serious", "critical")
    ]


@pytest.fixture(params=CHAPTERS)
def deck(request):
    return SLIDES / f"{request.param}.html"


def test_every_slide_fits_and_can_be_read(deck, page):
    page.set_viewport_size({"width": 1280, "height": 720})
    started(page, deck)
    assert page.locator("h1").count() == 1
    total, faults = page.evaluate("Reveal.getTotalSlides()"), []
    assert total >= 8
    for number in range(1, total + 1):
        while page.evaluate("Reveal.availableFragments().next"):
            page.keyboard.press("ArrowRight")
        slide = page.evaluate_handle("Reveal.getCurrentSlide()").as_element()
        faults += [f"slide {number}: {fault}" for fault in slide.evaluate(FAULTS, SMALLEST)]
        page.keyboard.press("Space")
    assert faults == []
    assert page.evaluate("Reveal.isLastSlide()")
    # The last slide leads back into the book, where there is one beside the slides.
    link = page.get_by_role("link", name="This chapter in the book").get_attribute("href")
    assert link == f"../html/notebooks/{deck.name}"
    if (SLIDES.parent / "html").is_dir():
        assert (SLIDES / link).resolve().is_file()


def test_a_deck_is_accessible_as_slides_and_as_a_page(deck, page):
    page.set_viewport_size({"width": 1280, "height": 720})
    started(page, deck)
    assert serious(page) == []
    page.set_viewport_size({"width": 390, "height": 844})
    started(page, deck, "?page")
    assert page.evaluate("document.documentElement.classList.contains('page')")
    assert page.evaluate("document.documentElement.scrollWidth") <= 390
    assert serious(page) == []  # all slides at once


def test_a_deck_is_printed_one_slide_a_page(deck, page):
    page.set_viewport_size({"width": 1280, "height": 720})
    started(page, deck, "?print-pdf")
    page.wait_for_selector(".pdf-page")
    slides = page.query_selector_all(".pdf-page section[data-foot]")
    faults = {number: slide.evaluate(FAULTS, SMALLEST) for number, slide in enumerate(slides, 1)}
    assert {number: found for number, found in faults.items() if found} == {}
    pdf = PdfReader(BytesIO(page.pdf(prefer_css_page_size=True, print_background=True)))
    texts = [sheet.extract_text() for sheet in pdf.pages]
    assert len(texts) == len(slides) >= 8
    assert all("CC BY 4.0" in text for text in texts)
    assert "The answer" in "".join(texts)


def test_text_of_the_chapter_can_be_shown_below(page):
    page.set_viewport_size({"width": 1280, "height": 720})
    started(page, SLIDES / f"{CHAPTERS[0]}.html")
    notes = page.locator(".speaker-notes")
    assert not notes.is_visible()
    page.keyboard.press("t")
    notes.wait_for(state="visible")
    assert len(notes.inner_text()) > 100
    slide = page.evaluate("Reveal.getCurrentSlide().getBoundingClientRect().toJSON()")
    assert slide["left"] >= 0
    assert slide["right"] <= notes.bounding_box()["x"] + 1
    page.keyboard.press("t")
    notes.wait_for(state="hidden")


def test_list_of_decks_leads_to_all(page):
    started_at = SLIDES / "index.html"
    page.goto(started_at.as_uri())
    links = [link.get_attribute("href") for link in page.locator("ol.decks a").all()]
    assert links == [f"{name}.html" for name in CHAPTERS]
    assert serious(page) == []
    page.keyboard.press("Tab")
    page.keyboard.press("Tab")
    page.keyboard.press("Enter")
    page.wait_for_function("window.Reveal && Reveal.isReady()")
    assert page.url.endswith(f"{CHAPTERS[0]}.html") or "#/" in page.url
