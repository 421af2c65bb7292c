"""The first cell of every notebook: where pigmm is missing, as on Colab, it is installed.

Only with what the figures need.  What is there already in a version that will do is not touched, so a host's own numpy
and torch stay; a host without torch gets none, since the published archives are read without it.
"""

__all__ = ["INSTALL"]

INSTALL = """\
# Where pigmm is missing, as on Colab, install it; numpy and torch stay as they are.
import subprocess
import sys
from importlib import import_module

try:
    import_module("pigmm.errors")
except ModuleNotFoundError:
    sys.modules.pop("pigmm", None)  # a folder of that name, if one was taken for it
    place = "pigmm[figures] @ git+https://github.com/pigmm/pigmm"
    subprocess.run([sys.executable, "-m", "pip", "install", "--quiet", place], check=True)"""
"""Source of the cell; the same text in all notebooks."""
