"""Small shared pieces of everything that compares and tabulates."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from types import ModuleType
from typing import TypeVar

import numpy as np

from .errors import PigmmError
from .irreps import Array

__all__ = ["draw_seeds", "progressing", "require_pandas", "unit"]

T = TypeVar("T")


def require_pandas() -> ModuleType:
    """The pandas module, or a PigmmError that says how to get it."""
    try:
        import pandas
    except ImportError as error:
        raise PigmmError.of("tables need pandas", fix='Install it with: pip install "pigmm[figures]".') from error
    return pandas


def unit(batch: Array) -> float:
    """The power of two next to the largest weight: in this unit nothing over- or underflows."""
    return float(2.0 ** np.round(np.log2(np.abs(batch).max())))


def progressing(items: Iterable[T], total: int, show: bool, what: str) -> Iterator[T]:
    """The items, with a progress bar if one is wanted and tqdm is there."""
    if show:
        try:
            from tqdm import tqdm
        except ImportError:
            show = False
    yield from tqdm(items, total=total, desc=what) if show else items


def draw_seeds(seed: int, count: int) -> list[int]:
    """Independent seeds for ``count`` draws."""
    if isinstance(seed, bool) or not isinstance(seed, int | np.integer) or seed < 0:
        raise PigmmError.of("seed", got=seed, allowed="an integer of at least 0")
    return [int(s) for s in np.random.SeedSequence(int(seed)).generate_state(count, np.uint64)]
