"""Launch buttons on notebooks only.

The theme puts them on Markdown pages with code cells too, but Colab and a plain JupyterLab cannot open those as
notebooks. Such a page can still be downloaded as one.
"""

from pathlib import Path


def keep_on_notebooks(app, pagename, templatename, context, doctree):
    """Take the launch buttons off pages whose source is not a notebook."""
    if "header_buttons" in context and Path(app.env.doc2path(pagename)).suffix != ".ipynb":
        buttons = context["header_buttons"]
        buttons[:] = [button for button in buttons if button.get("label") != "launch-buttons"]


def setup(app):
    """Run after the theme has added its buttons (priority 501)."""
    app.connect("html-page-context", keep_on_notebooks, priority=502)
    return {"version": "1", "parallel_read_safe": True, "parallel_write_safe": True}
