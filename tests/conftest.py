"""What every test leaves behind: no open figures, of which matplotlib would warn after twenty. And a shared browser."""

import os
import signal
import sys
from pathlib import Path

import pytest

sys.path.append(str(Path(__file__).parents[1] / "book" / "_make"))  # folders of programs, not packages
sys.path.append(str(Path(__file__).parents[1] / "book" / "_ext"))

if signal.getsignal(signal.SIGINT) is signal.SIG_IGN:  # what a shell starts in the background would not notice Ctrl-C
    signal.signal(signal.SIGINT, signal.default_int_handler)


@pytest.fixture(autouse=True)
def closed_figures():
    yield
    if "matplotlib.pyplot" in sys.modules:
        sys.modules["matplotlib.pyplot"].close("all")


@pytest.fixture(scope="module")  # while it runs so does its event loop, and asyncio allows no other one beside it
def browser():
    """A headless Chromium; where there is none the test is passed over, or fails with PIGMM_NEED_BROWSER=1."""
    from browser import MISSING, find_browser, opened

    if find_browser() is None:
        (pytest.fail if os.environ.get("PIGMM_NEED_BROWSER") else pytest.skip)(MISSING)
    with opened() as running:
        yield running


@pytest.fixture
def page(browser):
    """An empty page with a network that is off; whatever it says on its console or asks a network for is an error."""
    context = browser.new_context(offline=True, viewport={"width": 1300, "height": 900})
    faults = []
    tab = context.new_page()
    tab.on("pageerror", lambda error: faults.append(str(error)))
    tab.on("console", lambda message: faults.append(message.text) if message.type in ("error", "warning") else None)
    tab.on("request", lambda request: faults.append(request.url) if request.url.startswith("http") else None)
    yield tab
    context.close()
    assert faults == []
