"""The built pages load nothing from elsewhere, so that they can be read without a network.

Links to other sites are fine; a script, style sheet, font or image from one is a warning, which fails the build.

Thebe, with which Jupyter Book could run code on another site's machines, is not used, and its settings would stand
twice on every page, which is an error in the browser: its lines are left out.
"""

import re
from pathlib import Path

from sphinx.util import logging

logger = logging.getLogger(__name__)
REMOTE = re.compile(
    r"""<(?:script|img|iframe|source|video|audio|embed)\b[^>]*?\bsrc\s*=\s*["']?(?:https?:)?//[^"'\s>]+"""
    r"""|<link\b(?=[^>]*\brel\s*=\s*["']?(?:stylesheet|preload|preconnect|icon))[^>]*?\bhref\s*=\s*["']?(?:https?:)?//[^"'\s>]+""",
    re.IGNORECASE,
)
REMOTE_IN_CSS = re.compile(r"""(?:@import\s+|url\(\s*)["']?(?:https?:)?//[^"')\s]+""", re.IGNORECASE)


def remote_loads(text: str, css: bool = False) -> list[str]:
    """The places where a page or a style sheet asks another site for something."""
    return (REMOTE_IN_CSS if css else REMOTE).findall(text)


def check(app, exception):
    """Read every built page and style sheet."""
    if exception or app.builder.format != "html":
        return
    out = Path(app.outdir)
    for path in sorted([*out.rglob("*.html"), *out.rglob("*.css")]):
        for found in remote_loads(path.read_text(encoding="utf8"), css=path.suffix == ".css"):
            logger.warning("%s loads from elsewhere: %s", path.relative_to(out), found[:200])


def without_thebe(scripts):
    """The scripts of a page without those of Thebe."""
    return [
        script for script in scripts
        if "THEBE_JS_URL" not in (getattr(script, "attributes", {}).get("body") or "")
        and not str(getattr(script, "filename", script)).endswith("sphinx-thebe.js")
    ]  # fmt: skip


def leave_out(app, pagename, templatename, context, doctree):
    """Run on every page before it is written."""
    if "script_files" in context:
        context["script_files"] = without_thebe(context["script_files"])


def setup(app):
    """Mend each page; check when everything is written."""
    app.connect("html-page-context", leave_out, priority=900)
    app.connect("build-finished", check)
    return {"version": "1", "parallel_read_safe": True, "parallel_write_safe": True}
