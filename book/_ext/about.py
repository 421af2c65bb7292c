"""Pages about the project, made from its files: how to cite it, and whose work it contains.

``{citation}`` shows the entries of ``CITATION.cff`` as BibTeX: that of this project, or with ``references`` those of
the papers.  ``{vendored}`` lists the folders of ``book/_static/vendor`` with what their README files say.
"""

import re
from pathlib import Path

import yaml
from docutils import nodes
from sphinx.util.docutils import SphinxDirective

ROOT = Path(__file__).parents[2]
VENDOR = ROOT / "book" / "_static" / "vendor"
SPECIAL = str.maketrans({"&": r"\&", "%": r"\%", "#": r"\#", "_": r"\_"})


def person(author):
    """An author as BibTeX wants one; the name of a group is kept together by braces."""
    if "name" in author:
        return "{" + author["name"] + "}"
    return f"{author['family-names']}, {author['given-names']}"


def bibtex(entry, kind, key, **more):
    """One BibTeX entry from one entry of a citation file."""
    fields = {
        "author": " and ".join(map(person, entry["authors"])),
        "title": "{" + entry["title"].translate(SPECIAL) + "}",
        "journal": entry.get("journal"),
        "volume": entry.get("volume"),
        "pages": entry.get("start"),
        "year": entry.get("year"),
        "version": entry.get("version"),
        **more,
        "url": entry.get("url"),
    }
    width = max(len(name) for name, value in fields.items() if value)
    lines = [f"  {name.ljust(width)} = {{{value}}}," for name, value in fields.items() if value]
    return "\n".join([f"@{kind}{{{key},", *lines, "}"])


def key_of(entry):
    """First author, year and first long word of the title, in small letters."""
    word = next(word for word in re.findall(r"[A-Za-z]+", entry["title"]) if len(word) > 3)
    return f"{entry['authors'][0]['family-names']}{entry['year']}{word}".lower()


def entries(folder=ROOT):
    """BibTeX of the project, and of the papers that it names."""
    cited = yaml.safe_load((folder / "CITATION.cff").read_text(encoding="utf8"))
    released = re.search(r"\d{4}", str(cited.get("date-released", "")))
    year = released or re.search(r"Copyright \(c\) (\d{4})", (folder / "LICENSE").read_text(encoding="utf8"))
    own = {**cited, "year": year[year.lastindex or 0]}
    note = f"Version {cited['version']}; code: {cited['repository-code']}"
    papers = []
    for paper in cited["references"]:
        number = re.search(r"arxiv\.org/abs/([\d.]+)", paper.get("url", ""))
        more = {"eprint": number[1], "archiveprefix": "arXiv"} if number else {}
        papers.append(bibtex(paper, "article" if paper.get("journal") else "misc", key_of(paper), **more))
    return bibtex({**own, "version": None}, "misc", "pigmm", note=note.translate(SPECIAL)), papers


class Citation(SphinxDirective):
    """BibTeX entries, to be copied."""

    optional_arguments = 1

    def run(self):
        own, papers = entries()
        text = "\n\n".join(papers) if self.arguments == ["references"] else own
        self.env.note_dependency(str(ROOT / "CITATION.cff"))
        return [nodes.literal_block(text, text, language="bibtex")]


class Vendored(SphinxDirective):
    """What lies in the vendored folders, in the words of their README files."""

    def run(self):
        items = []
        for folder in sorted(path for path in VENDOR.iterdir() if path.is_dir()):
            self.env.note_dependency(str(folder / "README.md"))
            words = self.parse_text_to_nodes((folder / "README.md").read_text(encoding="utf8"))
            items += [nodes.term("", "", nodes.literal("", f"book/_static/vendor/{folder.name}"))]
            items += [nodes.definition("", *words)]
        pairs = zip(items[::2], items[1::2], strict=True)
        return [nodes.definition_list("", *(nodes.definition_list_item("", *pair) for pair in pairs))]


def setup(app):
    """Two directives."""
    app.add_directive("citation", Citation)
    app.add_directive("vendored", Vendored)
    return {"version": "1", "parallel_read_safe": True, "parallel_write_safe": True}
