"""Name the execution cache, and the folders of what notebooks write, by all that their numbers depend on.

The cache finds a notebook by the text of its code cells, so a change in the package would leave old numbers standing.
A folder named by a digest of the package and of the pinned versions starts empty whenever either changes; and because
the folder's name is a Sphinx setting, pages kept from an earlier build are read again as well.

A notebook whose outputs are in the cache is not executed, so the results it has written must be found again beside
them. It is told through PIGMM_RESULTS to write into a folder inside the cache that is named by its code, as its outputs
are: code that is changed and changed back finds its own results, never those of another version.
"""

import hashlib
import json
import os
import shutil
from pathlib import Path


def digest(root: Path) -> str:
    """Sixteen hexadecimal digits of every file of ``pigmm/`` and of ``constraints.txt``: paths and contents."""
    package = (path for path in (root / "pigmm").rglob("*") if path.is_file() and "__pycache__" not in path.parts)
    total = hashlib.sha256()
    for path in sorted([root / "constraints.txt", *package]):
        total.update(path.relative_to(root).as_posix().encode() + b"\0")
        total.update(hashlib.sha256(path.read_bytes()).digest())
    return total.hexdigest()[:16]


def code_digest(text: str) -> str:
    """Sixteen hexadecimal digits of the code cells of a notebook, given as the text of its file."""
    cells = json.loads(text)["cells"]
    code = ["".join(cell["source"]) for cell in cells if cell["cell_type"] == "code"]
    return hashlib.sha256(json.dumps(code).encode()).hexdigest()[:16]


def name_cache(app, config):
    """Point myst-nb at the folder for today's package, and drop those of earlier ones."""
    build = Path(app.outdir).parent
    folder = build / f".jupyter_cache-{digest(Path(app.srcdir))}"
    config.nb_execution_cache_path = str(folder)
    for stale in build.glob(".jupyter_cache*"):
        if stale != folder:
            shutil.rmtree(stale)


def name_results(app, docname, source):
    """Tell a notebook, which is about to be read and perhaps executed, where to write its results."""
    os.environ.pop("PIGMM_RESULTS", None)
    if Path(app.env.doc2path(docname)).suffix == ".ipynb":
        folder = Path(app.config.nb_execution_cache_path, "results", code_digest(source[0]))
        os.environ["PIGMM_RESULTS"] = str(folder.absolute())


def setup(app):
    """Run before the notebook settings are read, and before each page is."""
    app.connect("config-inited", name_cache)
    app.connect("source-read", name_results)
    return {"version": "2", "parallel_read_safe": True, "parallel_write_safe": True}
