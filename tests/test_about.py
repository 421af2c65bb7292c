"""Citation, licences and errata: valid, complete, and in step with each other."""

import json
import re
import shutil
from pathlib import Path

import about  # book/_ext is on the path: see conftest.py
import jsonschema
import pytest
import yaml

ROOT = Path(__file__).parents[1]
SCHEMA = json.loads((ROOT / "tests" / "vendor" / "cff-1.2.0.schema.json").read_text(encoding="utf8"))
VENDORED = sorted(path for path in about.VENDOR.iterdir() if path.is_dir())
LICENCES = {"MIT": "MIT", "Apache License": "Apache License", "Open Font License": "OPEN FONT LICENSE", "BSD": "BSD"}


def citation():
    return yaml.safe_load((ROOT / "CITATION.cff").read_text(encoding="utf8"))


def faults(cited):
    return [error.message for error in jsonschema.Draft7Validator(SCHEMA).iter_errors(cited)]


def test_citation_file_is_valid():
    assert faults(citation()) == []


@pytest.mark.parametrize(
    "wrong",
    [{"authors": []}, {"title": None}, {"cff-version": "1.9.0"}, {"license": "MTI"}, {"url": "pigmm"}, {"editor": "x"},
     {"references": [{"type": "artikel", "title": "x", "authors": [{"name": "x"}]}]}],
)  # fmt: skip
def test_a_wrong_citation_file_is_seen(wrong):
    changed = {**citation(), **wrong}
    assert faults({key: value for key, value in changed.items() if value is not None})


def test_bibtex_says_what_the_citation_file_says():
    cited, (own, papers) = citation(), about.entries()
    for text in (cited["title"], "{The pigmm authors}", cited["version"], cited["url"], cited["repository-code"]):
        assert text in own
    for paper, text in zip(cited["references"], papers, strict=True):
        assert f"= {{{{{paper['title']}}}}}," in text
        assert f"= {{{paper['year']}}}," in text
        assert all(f"{who['family-names']}, {who['given-names']}" in text for who in paper["authors"])
    assert "journal       = {Nuclear Physics B}" in papers[1]
    for text in (own, *papers):
        assert text.count("{") == text.count("}")
        assert re.fullmatch(r"@(misc|article)\{\w+,\n(  \w+ += \{.*\},\n)+\}", text)


def test_bibtex_follows_the_citation_file(tmp_path):
    shutil.copyfile(ROOT / "LICENSE", tmp_path / "LICENSE")
    cited = {**citation(), "version": "7.8.9", "date-released": "2031-02-03"}
    cited["authors"] = [{"family-names": "Doe", "given-names": "Jo"}, {"name": "A & B"}]
    (tmp_path / "CITATION.cff").write_text(yaml.safe_dump(cited))
    own, _ = about.entries(tmp_path)
    assert "Version 7.8.9;" in own
    assert "{2031}" in own
    assert "{Doe, Jo and {A & B}}" in own


def test_pybtex_reads_the_entries():
    database = pytest.importorskip("pybtex.database")
    own, papers = about.entries()
    read = database.parse_string("\n".join([own, *papers]), "bibtex")
    assert len(read.entries) == 1 + len(papers)
    assert str(read.entries["hirst2025approximate"].persons["author"][1]) == "Ramgoolam, Sanjaye"


@pytest.mark.parametrize("folder", VENDORED, ids=[folder.name for folder in VENDORED])
def test_what_others_made_lies_beside_its_licence_and_says_what_it_is(folder):
    licence, words = (" ".join((folder / name).read_text(encoding="utf8").split()) for name in ("LICENSE", "README.md"))
    assert len(licence) > 500
    (name,) = {name for name in LICENCES if name in words}
    assert LICENCES[name].lower() in licence.lower()
    assert re.search(r"\d+\.\d+\.\d+", words), "the version is missing"
    assert "`LICENSE`" in words


def test_vendored_folders_are_the_only_ones_with_minified_code():
    names = [path for path in (ROOT / "book" / "_static").rglob("*") if ".min." in path.name]
    assert all(about.VENDOR in path.parents for path in names)


def test_licences_are_said_alike_everywhere():
    page, split = ((ROOT / name).read_text(encoding="utf8") for name in ("book/licences.md", "LICENSE-text.md"))
    for name in ("LICENSE", "LICENSE-CC-BY-4.0.txt", "LICENSE-text.md"):
        assert (ROOT / name).is_file()
        assert f"`{name}`" in page
    for folder in re.findall(r"`([\w/]+/)`", split):
        assert (ROOT / folder).is_dir(), folder
    assert "```{vendored}" in page
    legal = (ROOT / "LICENSE-CC-BY-4.0.txt").read_text(encoding="utf8")
    assert [int(k) for k in re.findall(r"^Section (\d) – ", legal, re.MULTILINE)] == list(range(1, 9))


def test_errata_take_the_changes_of_every_version_from_the_changelog():
    page, changes = ((ROOT / name).read_text(encoding="utf8") for name in ("book/errata.md", "CHANGELOG.md"))
    (marker,) = re.findall(r':start-after: "(.*)"', page)
    before, _, after = changes.partition(marker)
    assert "\n## " not in before
    assert after.count("\n## ") == changes.count("\n## ") >= 1
