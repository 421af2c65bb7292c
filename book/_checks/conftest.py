"""The checks of built pages share the tests' browser."""

import importlib.util
from pathlib import Path

_spec = importlib.util.spec_from_file_location("shared", Path(__file__).parents[2] / "tests" / "conftest.py")
_shared = importlib.util.module_from_spec(_spec)
_spec.loader.exec_module(_shared)
browser, page = _shared.browser, _shared.page
