"""One archive of the book, its slides and its notebooks for the class, to be unpacked and read without a network.

The folders lie side by side in it as they do in _build, so that links between them hold. The same files give the same
archive, byte for byte: names are in order, and all have one date, SOURCE_DATE_EPOCH or that of the newest file.
"""

import io
import os
import re
import sys
import time
import zipfile
from pathlib import Path

from pigmm.errors import PigmmError
from pigmm.storage import write_whole

ROOT = Path(__file__).parents[2]
TOP = "pigmm-book"
START = "START-HERE.html"
PARTS = {  # folder of _build: what is read first, what the part is called, what is said of it
    "html": ("index.html", "Read the book", "all chapters, with search"),
    "slides": ("index.html", "Slides of the chapters", "for a lecture; press S for the speaker's notes"),
    "class": ("README.md", "Notebooks for the class", "a folder; its README.md says how to open them"),
}
LICENCES = ("LICENSE", "LICENSE-text.md")
LEFT_OUT = re.compile(r"(^|/)(\.[^/]*|__pycache__|.*\.(map|po|pyc|inv))(/|$)")  # nothing that a reader ever opens
PAGE = """\
<!DOCTYPE html>
<html lang="en-GB">
<head>
<meta charset="utf-8">
<meta name="viewport" content="width=device-width, initial-scale=1">
<title>pigmm: start here</title>
<link rel="icon" href="html/_static/favicon.svg">
<style>
:root {{ color-scheme: light dark; --link: #1f6fb2; }}
@media (prefers-color-scheme: dark) {{ :root {{ --link: #6cb0ea; }} }}
body {{ max-width: 38rem; margin: 12vh auto; padding: 0 1.2rem; font: 1.1rem/1.6 system-ui, sans-serif; }}
h1 {{ line-height: 1.2; text-wrap: balance; }}
li {{ margin: 0.7rem 0; }}
a {{ color: var(--link); }}
</style>
</head>
<body>
<main>
<h1>Gaussian laws for ensembles of neural networks</h1>
<p>This folder is the whole book of pigmm. It needs no network: keep it together and open it anywhere.</p>
<ul>
{links}
</ul>
<p>If a link leads nowhere, the archive has not been unpacked yet.</p>
<p>Text and figures: <a href="LICENSE-text.md">CC BY 4.0</a>. Code: <a href="LICENSE">MIT</a>.</p>
</main>
</body>
</html>
"""


def start_page(found: list[str]) -> str:
    """The page that leads to the parts which are there."""
    rows = []
    for part in found:
        first, title, told = PARTS[part]
        address = f"{part}/{first}" if first.endswith(".html") else f"{part}/"  # browsers do not show Markdown
        rows.append(f'<li><a href="{address}">{title}</a>: {told}.</li>')
    return PAGE.format(links="\n".join(rows))


def without_fetch(text: str) -> str:
    """Sphinx's settings for pages opened from a disk, where scripts may not read the pages that a search has found."""
    return text.replace("SHOW_SEARCH_SUMMARY: true", "SHOW_SEARCH_SUMMARY: false")


def collect(build: Path, root: Path) -> dict[str, Path]:
    """Names in the archive, below its one folder, and the files that have them.

    Raises
    ------
    PigmmError
        If there is no built book.
    """
    first = build / "html" / PARTS["html"][0]
    if not first.is_file():
        raise PigmmError.of(f"no built book: {first} is missing", fix="Run `make book` first.")
    files = {name: root / name for name in LICENCES}
    for part in PARTS:
        for path in (build / part).rglob("*"):
            name = path.relative_to(build).as_posix()
            if path.is_file() and not LEFT_OUT.search(name):
                files[name] = path
    return files


def archive(files: dict[str, Path], when: float) -> bytes:
    """The archive as bytes, with one date (seconds since 1970, UTC) for all files."""
    contents = {name: path.read_bytes() for name, path in files.items()}
    for name in contents.keys() & {"html/_static/documentation_options.js"}:
        contents[name] = without_fetch(contents[name].decode()).encode()
    contents[START] = start_page([part for part in PARTS if f"{part}/{PARTS[part][0]}" in files]).encode()
    date = max(time.gmtime(when)[:6], (1980, 1, 1, 0, 0, 0))  # zip knows no earlier one
    buffer = io.BytesIO()
    with zipfile.ZipFile(buffer, "w") as file:
        for name in sorted(contents):
            entry = zipfile.ZipInfo(f"{TOP}/{name}", date)
            entry.compress_type = zipfile.ZIP_DEFLATED
            entry.external_attr = 0o644 << 16
            file.writestr(entry, contents[name], compresslevel=9)
    return buffer.getvalue()


def make(build: Path, root: Path) -> Path:
    """Write ``pigmm-site.zip`` into ``build`` from what is there; its path.

    Raises
    ------
    PigmmError
        If there is no built book, SOURCE_DATE_EPOCH is no number, or a file cannot be read or written.
    """
    try:
        files = collect(build, root)
        newest = max(path.stat().st_mtime for path in files.values())
        epoch = os.environ.get("SOURCE_DATE_EPOCH")
        try:
            when = newest if epoch is None else int(epoch)
            if not 0 <= when < 4.35e9:  # archives can tell dates until 2107
                raise ValueError
            content = archive(files, when)
        except (ValueError, OverflowError) as error:
            raise PigmmError.of("SOURCE_DATE_EPOCH", got=epoch, allowed="seconds since 1970, before 2107") from error
    except OSError as error:
        raise PigmmError.of(f"cannot read {error.filename}", got=error.strerror or str(error)) from error
    target = build / "pigmm-site.zip"
    write_whole(target, content)
    return target


def main() -> int:
    """Pack this checkout's build; errors are one line and code 2."""
    try:
        target = make(ROOT / "_build", ROOT)
    except PigmmError as error:
        print(error, file=sys.stderr)
        return 2
    with zipfile.ZipFile(target) as file:
        count = len(file.namelist())
    size = target.stat().st_size / 1e6
    print(f"{count} files, {size:.1f} MB: _build/{target.name}; unpack it and open {TOP}/{START}")
    return 0


if __name__ == "__main__":
    sys.exit(main())
