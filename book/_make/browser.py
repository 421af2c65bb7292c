"""A headless Chromium, for all that prints pages, looks at them or tests what they do.

PIGMM_BROWSER names the program; without it the first of the usual names on the path is taken. Nothing is downloaded.
"""

import os
import shutil
import sys
from collections.abc import Iterator
from contextlib import contextmanager

from playwright.sync_api import Browser, Error, sync_playwright

NAMES = ("chromium", "chromium-browser", "google-chrome", "google-chrome-stable", "chrome", "msedge")
PLACES = (
    "/Applications/Google Chrome.app/Contents/MacOS/Google Chrome",
    "/Applications/Chromium.app/Contents/MacOS/Chromium",
)
# No sandbox, since in containers there is none to be had and only our own pages are opened; nobody is to be called.
SWITCHES = (
    "--no-sandbox", "--disable-gpu", "--disable-quic", "--no-first-run", "--disable-background-networking",
    "--disable-component-update", "--disable-sync", "--font-render-hinting=none",
)  # fmt: skip
MISSING = "no Chromium or Chrome found: install one (Debian: apt install chromium), or set PIGMM_BROWSER to its path"


def find_browser() -> str | None:
    """The path of a Chromium, or None."""
    if named := os.environ.get("PIGMM_BROWSER"):
        return shutil.which(named)
    found = (shutil.which(name) for name in (*NAMES, *PLACES))
    return next(filter(None, found), None)


@contextmanager
def opened() -> Iterator[Browser]:
    """A running browser; the program ends with one line and code 2 when there is none."""
    path = find_browser()
    if path is None:
        print(MISSING, file=sys.stderr)
        raise SystemExit(2)
    with sync_playwright() as playwright:
        try:
            browser = playwright.chromium.launch(executable_path=path, args=list(SWITCHES))
        except Error:
            print(f"{path} does not start as a Chromium; {MISSING}", file=sys.stderr)
            raise SystemExit(2) from None
        try:
            yield browser
        finally:
            browser.close()
