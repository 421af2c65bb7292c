"""What the page writer and the theme get wrong for screen readers.

References are marked as a list whose entries have a role that no list may hold; without these roles they are read as
the paragraphs they look like. In the contents at the side, the arrows that unfold a part have no name.
"""

import re

WRONG = re.compile(
    r'(?<=<div) role="list"(?= class="citation-list")|(?<=class="citation") (id="[^"]*") role="doc-biblioentry"'
)


def mend(body: str) -> str:
    """The body of a page without the roles that contradict each other.

    >>> mend('<div role="list" class="citation-list"><div class="citation" id="a" role="doc-biblioentry">')
    '<div class="citation-list"><div class="citation" id="a">'
    """
    return WRONG.sub(lambda found: f" {found[1]}" if found[1] else "", body)


def name_arrows(contents: str) -> str:
    """The contents with a name for each arrow.

    >>> name_arrows("<details><summary><i></i></summary></details>")
    '<details><summary aria-label="pages of this part"><i></i></summary></details>'
    """
    return contents.replace("<summary>", '<summary aria-label="pages of this part">')


def mend_page(app, pagename, templatename, context, doctree):
    """Mend a page before it is written; its template calls the theme's function for the contents."""
    if "body" in context:
        context["body"] = mend(context["body"])
    if make := context.get("generate_toctree_html"):
        context["generate_toctree_html"] = lambda *args, **options: name_arrows(str(make(*args, **options)))


def setup(app):
    """Run on every page, after the theme."""
    app.connect("html-page-context", mend_page, priority=900)
    return {"version": "1", "parallel_read_safe": True, "parallel_write_safe": True}
