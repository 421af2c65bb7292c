"""One explorable on a page of its own, without Sphinx: what the tests open from file://."""

import shutil
from functools import cache
from pathlib import Path

import explorables  # book/_ext is on the path: see conftest.py

STATIC = Path(__file__).parents[1] / "book" / "_static"
THEME = {
    "light": "--pst-color-text-base:#222832;--pst-color-text-muted:#48566b;--pst-color-background:#fff",
    "dark": "--pst-color-text-base:#ced6dd;--pst-color-text-muted:#9ca4af;--pst-color-background:#14181e",
}  # as the book's theme has them


data_files = cache(explorables.data_files)


def write_page(folder, name, theme="light"):
    """Write the page, its scripts and data into a folder; returns its address."""
    static = Path(folder) / "explore"
    shutil.copytree(STATIC / "explore", static, dirs_exist_ok=True)
    for file, text in data_files(name).items():
        (static / file).write_text(text, encoding="utf8")
    shutil.copy(STATIC / "pigmm.css", folder)
    scripts = "".join(f'<script defer src="explore/{file}"></script>' for file in explorables.scripts(name))
    sheets = "".join(f'<link rel="stylesheet" href="explore/{file}">' for file in explorables.styles(name))
    body = "margin:0;padding:1rem;font-family:sans-serif;color:var(--pst-color-text-base)"
    look = f"html{{{THEME[theme]}}}*{{box-sizing:border-box}}body{{{body};background:var(--pst-color-background)}}"
    container = f'<div class="explorable" data-explorable="{name}"><p>What it shows.</p></div>'
    html = (
        f'<!doctype html><html lang="en-GB" data-theme="{theme}"><head><meta charset="utf-8"><title>{name}</title>'
        f'<meta name="viewport" content="width=device-width, initial-scale=1"><style>{look}</style>'
        f'<link rel="stylesheet" href="pigmm.css">{sheets}{scripts}</head><body><main class="bd-article">'
        f"<h1>{name}</h1><h2>The explorable</h2>{container}</main></body></html>"
    )
    page = Path(folder) / f"{name}-{theme}.html"
    page.write_text(html, encoding="utf8")
    return page.as_uri()


def open_page(page, folder, name, theme="light"):
    """Open it in a tab and wait until the script has filled it."""
    page.goto(write_page(folder, name, theme))
    page.wait_for_selector(".explorable.ex-live")
    return page
