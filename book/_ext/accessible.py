"""What the page writer gets wrong for screen readers.

It marks references as a list whose entries have a role that no list may hold. Without these roles they are read as the
paragraphs they look like.
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


def mend_page(app, pagename, templatename, context, doctree):
    """Mend a page before it is written."""
    if "body" in context:
        context["body"] = mend(context["body"])


def setup(app):
    """Run on every page."""
    app.connect("html-page-context", mend_page)
    return {"version": "1", "parallel_read_safe": True, "parallel_write_safe": True}
