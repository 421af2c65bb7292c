"""The one exception of the package: what was wrong, what was given, what is allowed, what to do."""

from __future__ import annotations

import difflib
from collections.abc import Iterable
from typing import Any

__all__ = ["PigmmError", "nearest"]


_ABSENT = object()


class PigmmError(ValueError):
    """Everything that goes wrong because of an input, a file or the surroundings.

    The message always says what is wrong and, where it helps, what was given, what is allowed and how to mend it.

    Examples
    --------
    >>> from pigmm.errors import PigmmError
    >>> raise PigmmError.of("runs", got=1, allowed="an integer of at least 2")
    Traceback (most recent call last):
    ...
    pigmm.errors.PigmmError: runs: got 1; allowed: an integer of at least 2
    """

    @classmethod
    def of(cls, what: str, *, got: Any = _ABSENT, allowed: str | None = None, fix: str | None = None) -> PigmmError:
        """Build the message ``what: got …; allowed: …. fix``; parts left out are not printed."""
        parts = []
        if got is not _ABSENT:
            text = got if isinstance(got, str) and " " in got else repr(got)
            parts.append("got " + (text if len(text) <= 200 else text[:197] + "..."))
        if allowed is not None:
            parts.append(f"allowed: {allowed}")
        message = f"{what}: {'; '.join(parts)}" if parts else what
        return cls(f"{message}. {fix}" if fix else message)


def nearest(name: object, choices: Iterable[str]) -> str:
    """A sentence that offers the one of ``choices`` closest to a misspelt name, or an empty string.

    Examples
    --------
    >>> nearest("gausian", ["gaussian", "uniform"])
    "Did you mean 'gaussian'?"
    >>> nearest("xyz", ["gaussian", "uniform"])
    ''
    """
    close = difflib.get_close_matches(str(name), list(choices), n=1, cutoff=0.7)
    return f"Did you mean {close[0]!r}?" if close else ""
