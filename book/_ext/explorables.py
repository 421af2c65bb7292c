"""Interactive pages in plain JavaScript: ```` ```{explorable} NAME ```` puts one where it stands.

The body of the directive says what is shown, for readers without scripts and for the moment before they run. Scripts
and style sheets are added to pages that have an explorable, and to no others. Data come from the package: each module
``pigmm/explore_NAME.py`` has a function ``files()`` that returns names and texts of files for ``_static/explore/``.
``data-NAME.js`` is loaded with the page, any other by the script when it needs it. ``NAME.css`` is optional.
"""

import importlib
import shutil
from pathlib import Path

from docutils import nodes
from sphinx.util import logging
from sphinx.util.docutils import SphinxDirective

import pigmm
from pigmm.storage import write_whole

FOLDER = "explore"
PREFIX = "explore_"
STATIC = Path(__file__).parents[1] / "_static" / FOLDER
WITHOUT = "This figure is interactive: it needs JavaScript, which is switched off here."
logger = logging.getLogger(__name__)


def explorables():
    """The names of all explorables, which are those of their modules."""
    return sorted(path.stem.removeprefix(PREFIX) for path in Path(pigmm.__file__).parent.glob(f"{PREFIX}*.py"))


def data_files(name):
    """Names and texts of the data files of one explorable."""
    return importlib.import_module(f"pigmm.{PREFIX}{name}").files()


def scripts(name):
    """What a page with this explorable loads, in this order."""
    return ["core.js", f"data-{name}.js", f"{name}.js"]


def styles(name):
    """Its style sheets: the shared one, and NAME.css where there is one."""
    return ["explore.css", *(path.name for path in [STATIC / f"{name}.css"] if path.is_file())]


class Explorable(nodes.General, nodes.Element):
    """Where an explorable stands; its children are what it says without scripts."""


class ExplorableDirective(SphinxDirective):
    """Stands where the explorable shall be; its body is Markdown."""

    required_arguments = 1
    has_content = True

    def run(self):
        name = self.arguments[0]
        if name not in explorables():
            raise self.error(f"there is no explorable {name!r}, only {', '.join(explorables())}")
        if not self.content:
            raise self.error(f"say in the body of {name!r} what it shows, for readers without scripts")
        node = Explorable("", name=name)
        self.set_source_info(node)
        self.state.nested_parse(self.content, self.content_offset, node)
        return [node]


def open_html(translator, node):
    """The container that NAME.js fills."""
    translator.body.append(f'<div class="explorable" data-explorable="{node["name"]}">\n')


def close_html(translator, node):
    """A word for those whose browser runs no scripts."""
    translator.body.append(f"<noscript><p>{WITHOUT}</p></noscript></div>\n")


def nothing(translator, node):
    """Other builders print the body and no more."""


def add_files(app, pagename, templatename, context, doctree):
    """Scripts and style sheet, for pages with an explorable."""
    if doctree is None:
        return
    names = [node["name"] for node in doctree.findall(Explorable)]
    for file in dict.fromkeys(file for name in names for file in scripts(name)):
        app.add_js_file(f"{FOLDER}/{file}", loading_method="defer")
    for file in dict.fromkeys(file for name in names for file in styles(name)):
        app.add_css_file(f"{FOLDER}/{file}")


def write_data(app):
    """Data files and our scripts, where pages can take their checksums from; a file that has not changed stays."""
    if app.builder.format != "html":
        return
    folder = Path(app.outdir) / "_static" / FOLDER
    folder.mkdir(parents=True, exist_ok=True)
    size = 0
    for name in explorables():
        for file, text in data_files(name).items():
            size += len(text.encode())
            if not (folder / file).is_file() or (folder / file).read_text(encoding="utf8") != text:
                write_whole(folder / file, text.encode())
    for source in STATIC.iterdir():
        shutil.copyfile(source, folder / source.name)
    logger.info("explorables: %s; %d kB of data", ", ".join(explorables()), size // 1000)


def setup(app):
    """Data before pages, files with each page."""
    app.add_directive("explorable", ExplorableDirective)
    quiet = (nothing, nothing)
    app.add_node(Explorable, html=(open_html, close_html), latex=quiet, text=quiet, man=quiet, texinfo=quiet)
    app.connect("builder-inited", write_data)
    app.connect("html-page-context", add_files)
    return {"version": "1", "env_version": 1, "parallel_read_safe": True, "parallel_write_safe": True}
