"""Name the execution cache by what the numbers in a chapter depend on beside its own code.

The cache finds a notebook by the text of its code cells, so a change in the package would leave old numbers standing.
A folder named by a digest of the package and of the pinned versions starts empty whenever either changes; and because
the folder's name is a Sphinx setting, pages kept from an earlier build are read again as well.
"""

import hashlib
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


def name_cache(app, config):
    """Point myst-nb at the folder for today's package, and drop those of earlier ones."""
    build = Path(app.outdir).parent
    folder = build / f".jupyter_cache-{digest(Path(app.srcdir))}"
    config.nb_execution_cache_path = str(folder)
    for stale in build.glob(".jupyter_cache*"):
        if stale != folder:
            shutil.rmtree(stale)


def setup(app):
    """Run before the notebook settings are read."""
    app.connect("config-inited", name_cache)
    return {"version": "1", "parallel_read_safe": True, "parallel_write_safe": True}
