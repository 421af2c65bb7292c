"""Permutation-invariant Gaussian matrix models of neural-network weight ensembles.

Names are loaded when first used, so that ``import pigmm`` is quick and the mathematics needs only numpy and scipy.
"""

from __future__ import annotations

import importlib
from pathlib import Path
from typing import Any

__version__ = "0.1.0"

_HOME = {
    "PigmmError": "errors",
    "InvariantGraph": "graphs",
    "invariant_graphs": "graphs",
    "bipartite_graphs": "graphs",
    "evaluate": "invariants",
    "GaussianMatrixModel": "models",
    "SimpleGaussian": "models",
    "TwoSidedGaussian": "models",
    "LabelledRowGaussian": "models",
    "expectation": "wick",
    "w2": "transport",
    "w2_squared": "transport",
    "w2_by_block": "transport",
    "distance_matrix": "transport",
    "squared_distance": "intervals",
    "geodesic": "transport",
    "noise_floor": "transport",
    "compare": "gaussianity",
    "symmetry_test": "symmetry",
    "orbit_test": "orbits",
    "EnsembleConfig": "config",
    "Archive": "archive",
    "load": "shelf",
    "published": "shelf",
    "train": "ensemble",
}
_MODULES = {path.stem for path in Path(__file__).parent.glob("*.py") if not path.stem.startswith("_")}
_EXTRAS = {"matplotlib": "figures", "seaborn": "figures", "pandas": "figures", "torch": "train", "numba": "fast"}
__all__ = ["__version__", *sorted(_HOME)]


def __getattr__(name: str) -> Any:
    if name in _HOME:
        return getattr(importlib.import_module(f"pigmm.{_HOME[name]}"), name)
    if name in _MODULES:
        try:
            return importlib.import_module(f"pigmm.{name}")
        except ModuleNotFoundError as error:
            if extra := _EXTRAS.get((error.name or "").split(".")[0]):
                from .errors import PigmmError

                fix = f'Install it: pip install "pigmm[{extra}]"'
                raise PigmmError.of(f"pigmm.{name} needs {error.name}, which is not installed", fix=fix) from error
            raise
    raise AttributeError(f"module 'pigmm' has no attribute {name!r}")


def __dir__() -> list[str]:
    return sorted({*__all__, *_MODULES})
