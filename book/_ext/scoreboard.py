"""The scoreboard: what every chapter found about every claim of the paper, from the results the chapters have written.

Chapters are executed when they are read, so a page that is read before them leaves placeholders, which are filled when
all pages have been read. What a chapter wrote is kept with its page from then on, and is gone when its page is.

- ```` ```{scoreboard} summary ```` draws a table of claims, verdicts and chapters, and says what is wrong;
- ``claims`` makes a section for each claim with a card for each chapter that speaks about it;
- ``counts`` counts the verdicts, ``legend`` says what they mean.

Cells with a tag ``claim-KEY`` get this as their id, and cards link to them. A check that fails, a claim about which
no chapter speaks, a chapter without results and a row without its cell are red on the page, and a warning in every
build, which fails it. Every notebook of ``notebooks/`` in the table of contents is a chapter; one that has nothing to
say about claims hands over none.
"""

import json
import os
from pathlib import Path

from docutils import nodes
from markdown_it import MarkdownIt
from mdit_py_plugins.dollarmath import dollarmath_plugin
from sphinx.transforms.post_transforms import SphinxPostTransform
from sphinx.util import logging
from sphinx.util.docutils import SphinxDirective

from pigmm import scoreboard
from pigmm.claims import CLAIMS, VERDICTS
from pigmm.errors import PigmmError

logger = logging.getLogger(__name__)
MARKDOWN = MarkdownIt("commonmark").use(dollarmath_plugin)
SYMBOL = dict(zip(VERDICTS, "✓≈≠○", strict=True))  # so that nobody needs the colours
MEANING = {
    "reproduced": "our runs show what the paper claims",
    "refined": "the claim holds in a sense, or under conditions, that the sentence beside it makes precise",
    "differs": "our runs show something else",
    "not testable here": "our runs cannot tell, and the sentence beside it says why",
}
PARTS = ("summary", "claims", "counts", "legend")


class Placeholder(nodes.General, nodes.Element):
    """Stands where a part of the scoreboard will be."""


class Scoreboard(SphinxDirective):
    """Leave placeholders, and make the sections in which they stand."""

    required_arguments = 1

    def run(self):
        """One placeholder; of the claims one each, in a section of its own."""
        part = self.arguments[0]
        if part not in PARTS:
            raise self.error(f"scoreboard: got {part!r}; allowed: {', '.join(PARTS)}")
        store(self.env)["pages"].setdefault(self.env.docname, []).append(part)
        if part != "claims":
            return [Placeholder(part=part)]
        sections = []
        for key, statement in CLAIMS.items():
            title = nodes.title("", "", *inline(full_name(key, statement).rstrip(".")))
            sections.append(nodes.section("", title, Placeholder(part=part, key=key), ids=[f"scoreboard-{key}"]))
        return sections


# ---- what chapters have written


def store(env):
    """Of this build: scoreboard pages with their parts, and chapters with their results and cells."""
    if not hasattr(env, "pigmm_scoreboard"):
        env.pigmm_scoreboard = {"pages": {}, "chapters": {}}
    return env.pigmm_scoreboard


def forget(app, env, docname):
    """Drop what was known of a page that is read again or is gone."""
    for known in store(env).values():
        known.pop(docname, None)


def merge(app, env, docnames, other):
    """Take over what another process has read."""
    for name, known in store(other).items():
        store(env)[name].update({docname: known[docname] for docname in docnames if docname in known})


def keep_results(app, doctree):
    """Keep what the notebook just read has written, now or when its outputs were cached, and mark its cells."""
    docname = app.env.docname
    if Path(app.env.doc2path(docname)).suffix != ".ipynb" or not docname.startswith("notebooks/"):
        return
    folder = Path(os.environ["PIGMM_RESULTS"])
    files = {path.parent.name: path for path in folder.glob("*/results.json")}
    kept = {"cells": mark_cells(doctree, docname), "names": sorted(files), "results": None}
    if path := files.get(docname.split("/")[-1]):
        kept["results"] = json.loads(path.read_text())
        kept["provenance"] = json.loads(path.with_name("provenance.json").read_text())
    store(app.env)["chapters"][docname] = kept


def mark_cells(doctree, docname):
    """Give each cell with a tag ``claim-KEY`` this id, the first one if there are several; the ids given."""
    marked = []
    for node in doctree.findall(nodes.container):
        for name in [tag.removeprefix("tag_") for tag in node["classes"] if tag.startswith("tag_claim-")]:
            if name in doctree.ids and name not in marked:
                logger.warning("the id %s of a cell is taken by a heading", name, location=docname)
            elif name not in marked:
                node["ids"].append(name)
                marked.append(name)
    return marked


class Board:
    """All rows of this build, each with the page of its chapter, and all that is wrong."""

    def __init__(self, env):
        kept, pages = store(env)["chapters"], store(env)["pages"]
        listed = sorted(set().union(*env.toctree_includes.values()) & kept.keys())
        self.rows, self.problems = [], []
        for docname in listed:
            chapter = kept[docname]
            if chapter["results"] is None:
                named = f", but some named {', '.join(chapter['names'])}" if chapter["names"] else ""
                self.problems.append(f"chapter {docname.split('/')[-1]} has written no results{named}")
                continue
            try:
                found = scoreboard.chapter_rows(chapter["results"], chapter["provenance"])
            except (AttributeError, KeyError, TypeError, PigmmError) as error:
                self.problems.append(f"chapter {docname.split('/')[-1]} has results that cannot be read ({error})")
                continue
            self.rows += [(docname, row) for row in found]
            for key in dict.fromkeys(row.claim.key for row in found):
                if f"claim-{key}" not in chapter["cells"]:
                    self.problems.append(
                        f"claim {scoreboard.label(key)} in {docname.split('/')[-1]}: no cell has the tag claim-{key}"
                    )
        self.problems += scoreboard.problems([row for _, row in self.rows])
        self.cells = {docname: kept[docname]["cells"] for docname in listed}
        self.page = next((docname for docname in sorted(pages) if "claims" in pages[docname]), None)

    def of(self, key):
        """The rows about one claim."""
        return [(docname, row) for docname, row in self.rows if row.claim.key == key]


def refresh(app, env):
    """All pages are read: warn of what is wrong, and have every scoreboard drawn anew."""
    pages = sorted(store(env)["pages"])
    app.pigmm_board = Board(env)
    for problem in app.pigmm_board.problems if pages else ():
        logger.warning("scoreboard: %s", problem, location=pages[0])
    return pages


# ---- drawing


class Draw(SphinxPostTransform):
    """Put the scoreboard in the place of the placeholders."""

    default_priority = 8  # before references are resolved

    def run(self, **kwargs):
        """Replace each placeholder of this page."""
        for node in list(self.document.findall(Placeholder)):
            node.replace_self(getattr(self, node["part"])(self.app.pigmm_board, node))

    def summary(self, board, _):
        """What is wrong, and a table of claims, verdicts and chapters."""
        rows = []
        for key, statement in CLAIMS.items():
            claim = nodes.inline("", "", *inline(full_name(key, statement)))
            if board.page is not None:
                claim = self.link(board.page, f"scoreboard-{key}", *claim.children)
            found = board.of(key)
            if not found:
                rows.append([entry(claim), entry(failure("no chapter")), entry()])
            for k, (docname, row) in enumerate(found):
                more = {"morerows": len(found) - 1} if len(found) > 1 else {}
                first = [entry(claim, **more)] if k == 0 else []
                rows.append([*first, entry(*badges(row)), entry(self.chapter(docname))])
        return [*wrong(board.problems), table(["claim", "verdict", "chapter"], rows)]

    def claims(self, board, node):
        """The cards of one claim."""
        cards = [self.card(board, docname, row) for docname, row in board.of(node["key"])]
        return cards or [nodes.paragraph("", "", failure("no chapter speaks about it"))]

    def counts(self, board, _):
        """The verdicts, counted."""
        return [nodes.paragraph("", scoreboard.summary([row for _, row in board.rows]))]

    def legend(self, board, _):
        """The verdicts, explained."""
        items = [
            nodes.list_item("", nodes.paragraph("", "", badge(verdict), nodes.Text(f" {MEANING[verdict]};")))
            for verdict in VERDICTS
        ]
        last = nodes.Text(" what the verdict rests on is not so in this build, and the build has failed.")
        items.append(nodes.list_item("", nodes.paragraph("", "", failure("check fails"), last)))
        return [nodes.bullet_list("", *items)]

    def card(self, board, docname, row):
        """What one chapter found about one claim."""
        claim = row.claim
        head = nodes.paragraph("", "", *badges(row), nodes.Text(" "), self.chapter(docname))
        fields = nodes.field_list()
        for name, numbers in (("Effect size", claim.effect), ("Test", claim.test)):
            if numbers:
                fields += field(name, *(number.text for number in numbers))
        fields += field("Checked", f"{claim.check}: {'holds' if claim.holds else '**fails**'}")
        fields += field("Ensembles", *row.ensembles)
        card = nodes.container("", head, nodes.paragraph("", "", *inline(claim.found)), fields)
        card["classes"] = ["scoreboard-card", "scoreboard-" + ("red" if not claim.holds else slug(claim.verdict))]
        if (name := f"claim-{claim.key}") in board.cells[docname]:
            words = f"See the cell that computed this in “{self.title(docname)}”"
            card += nodes.paragraph("", "", self.link(docname, name, nodes.Text(words)))
        else:
            card += nodes.paragraph("", "", failure("its cell is not marked"))
        return card

    def chapter(self, docname):
        """A link to a chapter."""
        return self.link(docname, "", nodes.Text(self.title(docname)))

    def title(self, docname):
        """The first words of a chapter's title."""
        return self.env.titles[docname].astext().partition(":")[0]

    def link(self, docname, name, *content):
        """A link to a place on a page of the book."""
        to = self.app.builder.get_relative_uri(self.env.docname, docname) + (f"#{name}" if name else "")
        return nodes.reference("", "", *content, internal=True, refuri=to)


def full_name(key, statement):
    """Claims have a letter, families of figures none."""
    return f"({key}) {statement}" if len(key) == 1 else statement


def slug(verdict):
    """A verdict as the name of a class."""
    return verdict.replace(" ", "-")


def badge(verdict):
    """A verdict as a sign and in words; its colour only repeats it."""
    classes = ["scoreboard-badge", f"scoreboard-{slug(verdict)}"]
    return nodes.inline("", f"{SYMBOL[verdict]}\u00a0{verdict}", classes=classes)


def failure(words):
    """What is wrong, as a badge."""
    return nodes.inline("", f"✗\u00a0{words}", classes=["scoreboard-badge", "scoreboard-red"])


def badges(row):
    """The verdict of a row and, if so, that its check fails."""
    return [badge(row.claim.verdict)] + ([] if row.claim.holds else [nodes.Text(" "), failure("check fails")])


def wrong(problems):
    """A red box, if there is anything to say in it."""
    if not problems:
        return []
    items = [nodes.list_item("", nodes.paragraph("", "", *inline(problem))) for problem in problems]
    head = nodes.paragraph("", "", failure("not in order"))
    return [nodes.container("", head, nodes.bullet_list("", *items), classes=["scoreboard-card", "scoreboard-red"])]


def field(name, *lines):
    """A named list of short lines."""
    body = nodes.field_body("", *(nodes.paragraph("", "", *inline(line)) for line in lines))
    return nodes.field("", nodes.field_name("", name), body)


def entry(*content, **options):
    """A cell of a table."""
    return nodes.entry("", nodes.paragraph("", "", *content), **options)


def table(head, rows):
    """A table as wide as it must be."""
    group = nodes.tgroup("", *(nodes.colspec(colwidth=1) for _ in head), cols=len(head))
    group += nodes.thead("", nodes.row("", *(entry(nodes.Text(text)) for text in head)))
    group += nodes.tbody("", *(nodes.row("", *row) for row in rows))
    return nodes.table("", group, classes=["colwidths-auto", "scoreboard-table"])


def inline(text):
    """A line of Markdown as nodes: emphasis, code, formulas and links to other sites."""
    stack = [[]]
    for token in MARKDOWN.parseInline(text)[0].children:
        if token.nesting == 1:
            stack.append([])
        elif token.nesting == -1:
            content = stack.pop()
            kind = {"strong_close": nodes.strong, "em_close": nodes.emphasis}.get(token.type, nodes.inline)
            stack[-1].append(kind("", "", *content))
        elif token.type in ("softbreak", "hardbreak"):
            stack[-1].append(nodes.Text(" "))
        else:
            kind = {"code_inline": nodes.literal, "math_inline": nodes.math}.get(token.type)
            stack[-1].append(kind("", token.content) if kind else nodes.Text(token.content))
    return stack[0]


def setup(app):
    """Collect while pages are read, draw when all have been."""
    app.setup_extension("execution_cache")
    app.add_directive("scoreboard", Scoreboard)
    app.add_node(Placeholder)
    app.add_post_transform(Draw)
    app.add_css_file("scoreboard.css")
    app.connect("env-purge-doc", forget)
    app.connect("env-merge-info", merge)
    app.connect("doctree-read", keep_results)
    app.connect("env-updated", refresh)
    return {"version": "1", "env_version": 1, "parallel_read_safe": True, "parallel_write_safe": True}
