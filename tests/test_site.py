"""The archive of the site, made of a tiny one."""

import importlib.util
import os
import time
import zipfile
from pathlib import Path

import pytest

from pigmm.errors import PigmmError

ROOT = Path(__file__).parents[1]
# Its name is that of a module of Python itself.
_spec = importlib.util.spec_from_file_location("site_archive", ROOT / "book" / "_make" / "site.py")
site = importlib.util.module_from_spec(_spec)
_spec.loader.exec_module(site)

FILES = {
    "html/index.html": "<a href='book/index.html'>",
    "html/book/index.html": "a page",
    "html/_static/documentation_options.js": "SHOW_SEARCH_SUMMARY: true,",
    "html/_static/theme.js.map": "left out",
    "html/.buildinfo": "left out",
    "html/_static/__pycache__/x.pyc": "left out",
    "html/_sources/book/index.md": "# to be downloaded",
    "slides/index.html": "slides",
    "class/README.md": "notebooks",
    "class/student/.ipynb_checkpoints/a.ipynb": "left out",
}


@pytest.fixture
def build(tmp_path):
    for name, text in FILES.items():
        path = tmp_path / "_build" / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(text)
        os.utime(path, (1_700_000_000, 1_700_000_000))
    for name in site.LICENCES:
        (tmp_path / name).write_text(name)
        os.utime(tmp_path / name, (1_600_000_000, 1_600_000_000))
    return tmp_path / "_build"


def packed(build):
    with zipfile.ZipFile(site.make(build, build.parent)) as file:
        return {info.filename: (file.read(info).decode(), info.date_time) for info in file.infolist()}


def test_what_a_reader_opens_is_in_it_in_one_folder(build):
    found = packed(build)
    kept = [name for name, text in FILES.items() if text != "left out"]
    assert list(found) == sorted(f"pigmm-book/{name}" for name in (*kept, *site.LICENCES, "START-HERE.html"))
    assert found["pigmm-book/html/_static/documentation_options.js"][0] == "SHOW_SEARCH_SUMMARY: false,"
    start = found["pigmm-book/START-HERE.html"][0]
    assert all(f'href="{address}"' in start for address in ("html/index.html", "slides/index.html", "class/"))


def test_files_are_readable_and_dated_wherever_they_were_packed(build, monkeypatch):
    for zone in ("Asia/Tokyo", "America/Lima"):
        monkeypatch.setenv("TZ", zone)
        time.tzset()
        try:
            with zipfile.ZipFile(site.make(build, build.parent)) as file:
                found = {(info.external_attr >> 16, info.date_time) for info in file.infolist()}
        finally:
            monkeypatch.undo()
            time.tzset()
        assert found == {(0o644, (2023, 11, 14, 22, 13, 20))}


def test_parts_that_were_not_built_are_not_named(build):
    (build / "slides" / "index.html").unlink()
    start = packed(build)["pigmm-book/START-HERE.html"][0]
    assert "slides/" not in start
    assert "class/" in start


def test_the_same_files_give_the_same_bytes(build, monkeypatch):
    """Whatever the dates, if one is asked for; else that of the newest file."""
    first = site.make(build, build.parent).read_bytes()
    assert site.make(build, build.parent).read_bytes() == first
    assert {date for _, date in packed(build).values()} == {(2023, 11, 14, 22, 13, 20)}
    monkeypatch.setenv("SOURCE_DATE_EPOCH", "1500000000")
    first = site.make(build, build.parent).read_bytes()
    os.utime(build / "html" / "index.html", (1_750_000_000, 1_750_000_000))
    assert site.make(build, build.parent).read_bytes() == first
    assert {date for _, date in packed(build).values()} == {(2017, 7, 14, 2, 40, 0)}
    monkeypatch.setenv("SOURCE_DATE_EPOCH", "0")  # before the first date of a zip
    assert {date for _, date in packed(build).values()} == {(1980, 1, 1, 0, 0, 0)}


def test_what_is_wrong_is_one_line_and_code_2(build, monkeypatch, capsys):
    monkeypatch.setattr(site, "ROOT", build.parent)
    monkeypatch.setenv("SOURCE_DATE_EPOCH", "yesterday")
    with pytest.raises(PigmmError, match="SOURCE_DATE_EPOCH: got 'yesterday'; allowed: seconds since 1970"):
        site.make(build, build.parent)
    monkeypatch.delenv("SOURCE_DATE_EPOCH")
    assert site.main() == 0
    assert "open pigmm-book/START-HERE.html" in capsys.readouterr().out
    (build / "html" / "index.html").unlink()
    assert site.main() == 2
    said = capsys.readouterr().err
    assert said.count("\n") == 1
    assert "Run `make book` first" in said
    (build / "html" / "index.html").write_text("again")
    (build.parent / "LICENSE").unlink()
    assert site.main() == 2
    assert "cannot read" in capsys.readouterr().err
