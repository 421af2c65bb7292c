"""The paper's claims and figure families, and what a chapter measured about each.

A chapter makes one :class:`Claim` for each entry of :data:`CLAIMS` it can speak about and hands them to
:func:`pigmm.notebook.finish`, which writes them into its ``results.json``.  The book's scoreboard is made from those
files and from nothing else.
"""

from __future__ import annotations

import math
from collections.abc import Iterable, Mapping
from dataclasses import asdict, dataclass
from typing import Any

from .errors import PigmmError, nearest

__all__ = ["CLAIMS", "VERDICTS", "Claim", "Measure", "measured"]

CLAIMS = {
    "a": "The simple Gaussian fits at initialisation and fails soon after.",
    "b": "The 13-parameter model stays a good description at every epoch.",
    "c": "The Wasserstein distance from the simple Gaussian grows smoothly over training.",
    "d": "Deeper layers and the uniform start move further.",
    "e": "Under L2 the model stays good; some higher-order invariants deviate more.",
    "f": "For very wide layers the model is less universally good, and particular invariants say where.",
    "g": "The framework is interpretable: parameters mean something, each invariant is a graph.",
    "linear-quadratic": "Figures: deviations of the linear and quadratic invariants.",
    "cubic-quartic": "Figures: deviations of the cubic and quartic invariants.",
    "changes": "Figures: normalised changes of invariants over training.",
    "wasserstein": "Figures: Wasserstein distance by epoch.",
    "by-regularisation": "Figures: the same with and without L2, side by side.",
    "by-width": "Figures: the same at widths 10, 40, 160 and 640.",
}
"""Key → what the paper claims or shows.  (a) to (g) are its claims, the rest its families of figures."""

VERDICTS = ("reproduced", "refined", "differs", "not testable here")


@dataclass(frozen=True)
class Measure:
    """One number with its standard error (None: a count, or a number without error) and what it is.

    Examples
    --------
    >>> Measure("largest |z|", 23.456, 1.04).text
    'largest |z| 23.5 ± 1.0'
    >>> Measure("refuted predictions", 31, unit="of 348").text
    'refuted predictions 31 of 348'
    """

    label: str
    value: float
    error: float | None = None
    unit: str = ""

    @property
    def text(self) -> str:
        """The number as it is printed: as many digits as its error leaves."""
        unit = f" {self.unit}" if self.unit else ""
        return f"{self.label} {measured(self.value, self.error)}{unit}"


@dataclass(frozen=True)
class Claim:
    """What one chapter found about one claim.

    Parameters
    ----------
    key : a key of :data:`CLAIMS`
    found : one or two sentences with this run's numbers
    verdict : one of :data:`VERDICTS`
    holds : the check behind the verdict, computed from the run; False turns the row red
    check : what was checked, in words
    effect, test : the numbers by the paper's measure (effect sizes, distances) and by a test (z, p, nats over noise)

    Raises
    ------
    PigmmError
        For an unknown key or verdict, or a number that is not finite.

    Examples
    --------
    >>> claim = Claim("c", "It rises in every epoch.", "reproduced", True, "no epoch falls", (Measure("rises", 50),))
    >>> claim.to_dict()["effect"]
    [{'label': 'rises', 'value': 50, 'error': None, 'unit': ''}]
    """

    key: str
    found: str
    verdict: str
    holds: bool
    check: str
    effect: tuple[Measure, ...] = ()
    test: tuple[Measure, ...] = ()

    def __post_init__(self) -> None:
        for name, value, allowed in (("claim", self.key, CLAIMS), ("verdict", self.verdict, VERDICTS)):
            if value not in allowed:
                fix = nearest(value, allowed) or None
                raise PigmmError.of(name, got=value, allowed=", ".join(allowed), fix=fix)
        for number in (*self.effect, *self.test):
            if not math.isfinite(number.value):
                raise PigmmError.of(f"claim {self.key}: {number.label}", got=number.value, allowed="a finite number")

    def to_dict(self) -> dict[str, Any]:
        """Plain values, as they go into results.json."""
        return {**asdict(self), "holds": bool(self.holds), "effect": _plain(self.effect), "test": _plain(self.test)}

    @classmethod
    def from_dict(cls, values: Mapping[str, Any]) -> Claim:
        """The inverse of :meth:`to_dict`, from its ``values``.

        Examples
        --------
        >>> claim = Claim("c", "It rises.", "reproduced", True, "no epoch falls", (Measure("rises", 50),))
        >>> Claim.from_dict(claim.to_dict()) == claim
        True
        """
        numbers = {name: tuple(Measure(**number) for number in values[name]) for name in ("effect", "test")}
        return cls(**{**values, **numbers})


def _plain(measures: Iterable[Measure]) -> list[dict[str, Any]]:
    return [asdict(measure) for measure in measures]


def measured(value: float, error: float | None = None) -> str:
    """A number, ``value``, with its standard error, two digits of the error.

    Examples
    --------
    >>> measured(1.23456, 0.0321), measured(1234.5, 67.8), measured(0.5), measured(7)
    ('1.235 ± 0.032', '1234 ± 68', '0.5', '7')
    """
    if error is None or not math.isfinite(error) or error <= 0:
        return f"{value:.3g}" if abs(value) < 1000 else f"{value:.0f}"
    digits = max(0, 1 - math.floor(math.log10(error)))
    return f"{value:.{digits}f} ± {error:.{digits}f}"
