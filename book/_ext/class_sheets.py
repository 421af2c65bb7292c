"""The sheets of exercises: a table of them, and the students' and teachers' notebooks to download.

- ```` ```{sheets} ```` on the page beside them draws the table and says what each sheet is for;
- every build of pages puts the notebooks that the table offers into ``class/student`` and ``class/teacher``;
- the page of a sheet offers its own, and says *solution* on what folds one.

What stands in the table is read from the sheets. One that is not well made is a warning, which fails the build.
"""

import json
from collections import Counter
from pathlib import Path

from sphinx.util import logging
from sphinx.util.docutils import SphinxDirective

from pigmm import sheets
from pigmm.storage import write_whole

logger = logging.getLogger(__name__)
FOLDER = Path("book", "teaching")
UP = "../" * len(FOLDER.parts)  # from a page there to the root of the pages
VIEWS = {"student": sheets.student, "teacher": sheets.teacher}


def found(root):
    """The sheets of a checkout by name."""
    return {path.stem: json.loads(path.read_text(encoding="utf8")) for path in sorted((root / FOLDER).glob("*.ipynb"))}


def table(known):
    """Markdown: one row for each sheet, then its goals and what it needs."""
    rows, texts, total = [], [], Counter()
    for name, sheet in known.items():
        told, listed = sheets.plan(sheet), sheets.exercises(sheet)
        levels = Counter(exercise.level for exercise in listed)
        total += levels
        counts = " + ".join(str(levels[level]) for level in (1, 2, 3))
        title = f"{name[:2]} {told['title']}"
        rows.append(f"| [{title}]({name}.ipynb) | {downloads(name)} | {counts} | {told['minutes']} |")
        texts.append(f"**{title}**<br>{told['goals']}\n*You need:* {told['prerequisites']}\n")
    head = "| sheet | notebooks | exercises | minutes |\n|---|---|---|---|"
    summary = f"{total.total()} exercises in {len(known)} sheets, counted above by level: 1 + 2 + 3."
    return "\n".join([head, *rows, "", summary, "", *texts])


def downloads(name):
    """HTML: links to the two notebooks of a sheet."""
    links = [f'<a href="{UP}class/{view}/{name}.ipynb" download>{view}’s {name[:2]}</a>' for view in VIEWS]
    return ", ".join(links)


def label(app, docname, source):
    """On the page of a sheet: its notebooks below the title, and what folds a solution says so."""
    path = Path(app.env.doc2path(docname))
    if Path(docname).parent != FOLDER or path.suffix != ".ipynb":
        return
    sheet = json.loads(source[0])
    for cell in sheet["cells"]:
        if "solution" in cell["metadata"].get("tags", []):
            prompts = {"code_prompt_show": "Solution", "code_prompt_hide": "Solution"}
            cell["metadata"]["mystnb"] = prompts
    text = f"*Notebooks to download: {downloads(path.stem)}.*"
    sheet["cells"].insert(1, {"cell_type": "markdown", "id": "downloads", "metadata": {}, "source": text})
    source[0] = json.dumps(sheet)


class Sheets(SphinxDirective):
    """The table, parsed as Markdown of the page it stands on."""

    def run(self):
        """Read the sheets beside the page; they make it out of date when they change."""
        root = Path(self.env.srcdir)
        if Path(self.env.docname).parent != FOLDER:
            raise self.error(f"sheets: the page should lie in {FOLDER}")
        known = found(root)
        for name, sheet in known.items():
            self.env.note_dependency(str(root / FOLDER / f"{name}.ipynb"))
            for fault in sheets.faults(sheet, name):
                logger.warning("sheet %s: %s", name, fault, location=self.env.docname)
        return self.parse_text_to_nodes(table(known))


def write(app, exception):
    """Put the notebooks beside the pages."""
    if exception or app.builder.format != "html":
        return
    for name, sheet in found(Path(app.srcdir)).items():
        for view, made in VIEWS.items():
            text = json.dumps(made(sheet, name), indent=1, ensure_ascii=False, sort_keys=True) + "\n"
            write_whole(Path(app.outdir, "class", view, f"{name}.ipynb"), text.encode())


def setup(app):
    """Add the directive; label before a page is read, write when the pages are there."""
    app.add_directive("sheets", Sheets)
    app.connect("source-read", label)
    app.connect("build-finished", write)
    return {"version": "1", "parallel_read_safe": True, "parallel_write_safe": True}
