r"""Exercises that check themselves: an answer is right, said in one line, or :class:`NotYet`.

The checks look at values and at behaviour, never at how an answer was found, and never print the right one.  They are
called by the sheets in ``book/teaching``; :mod:`pigmm.sheets` says how such a sheet is written and makes the student's
and the teacher's notebook from it.
"""

from __future__ import annotations

import copy
from collections.abc import Callable, Collection, Iterable, Sequence
from typing import Any

import numpy as np
from numpy.typing import ArrayLike, NDArray

from .errors import PigmmError
from .sheets import student, teacher

__all__ = [
    "NotYet", "check_array", "check_choice", "check_function", "check_number", "check_statistic", "check_true",
    "student", "teacher",
]  # fmt: skip

GROUPS = {
    "joint": "renumbering rows and columns together",
    "separate": "renumbering rows and columns separately",
    "rows": "renumbering the rows",
    "columns": "renumbering the columns",
}


class NotYet(PigmmError):
    """An answer that is not right yet.  A notebook shows its one line, not where in this module it was raised.

    Examples
    --------
    >>> print(NotYet.say("10.1", "got None", "Fill in your answer."))
    Exercise 10.1: not yet: got None. Fill in your answer.
    """

    @classmethod
    def say(cls, exercise: str, what: str, hint: str = "") -> NotYet:
        """The error for one exercise.

        Parameters
        ----------
        exercise : str
            Its number.
        what : str
            What was found, without a full stop.
        hint : str
            A sentence that follows it.
        """
        return cls(f"Exercise {exercise}: not yet: {what}." + (f" {hint}" if hint else ""))

    def _render_traceback_(self) -> list[str]:
        return [str(self)]


def check_number(
    exercise: str, answer: Any, expected: float, *, rtol: float = 1e-6, atol: float = 0.0, hint: str = ""
) -> None:
    r"""Say that a number is right, :math:`|answer - expected| \le atol + rtol\,|expected|`, or raise.

    Parameters
    ----------
    exercise : str
        Its number, such as ``"10.1"``.
    answer : number
        The student's; whatever holds one real number will do.
    expected : float
        The right value, computed in another way than the exercise asks for.
    rtol, atol : float
        Tolerances; an answer found by sampling needs ``atol`` of several standard errors.
    hint : str
        A sentence for a wrong answer.

    Raises
    ------
    NotYet
        If the answer is missing, no number, not finite or wrong.

    Examples
    --------
    >>> check_number("10.1", 2 + 2, 4)
    Exercise 10.1: right
    >>> check_number("10.1", -4.0, 4, hint="Count again.")
    Traceback (most recent call last):
    ...
    pigmm.teaching.NotYet: Exercise 10.1: not yet: got -4.0, which has the wrong sign. Count again.
    """
    _compare(exercise, answer, _wanted(expected), rtol, atol, hint)
    _right(exercise)


def check_array(
    exercise: str, answer: Any, expected: ArrayLike, *, rtol: float = 1e-6, atol: float = 0.0, hint: str = ""
) -> None:
    """As :func:`check_number`, entry by entry; a wrong shape is named, and how many entries are off.

    >>> check_array("10.2", [1, 2, 3], [1, 2])
    Traceback (most recent call last):
    ...
    pigmm.teaching.NotYet: Exercise 10.2: not yet: got an array of shape (3,), its shape should be (2,).
    """
    _compare(exercise, answer, _wanted(expected), rtol, atol, hint)
    _right(exercise)


def check_function(
    exercise: str, function: Any, expected: Callable[..., Any], cases: Iterable[Sequence[Any]], *,
    rtol: float = 1e-6, atol: float = 0.0, hint: str = "",
) -> None:
    """Compare ``function(*case)`` with ``expected(*case)`` for every case; each call gets its own copy of the case.

    Numbers and arrays are compared within the tolerances, anything else with ``==``.

    >>> check_function("10.3", lambda x: x * x, lambda x: x**2, [(2,), (-3,)])
    Exercise 10.3: right for all 2 cases
    """
    cases = list(cases)
    if not cases:
        raise PigmmError.of("cases", got="none", allowed="at least one")
    for case in cases:
        wanted = expected(*copy.deepcopy(case))
        value = _call(exercise, function, copy.deepcopy(case), hint)
        where = f" for the arguments {_short(tuple(case))}"
        if isinstance(wanted, str | bytes | set | frozenset | dict | type(None)):
            if type(value) is not type(wanted) or value != wanted:
                raise NotYet.say(exercise, f"got {_short(value)}{where}, which is not right", hint)
        else:
            _compare(exercise, value, _wanted(wanted), rtol, atol, hint, where)
    _right(exercise, f" for all {len(cases)} cases")


def check_statistic(
    exercise: str, statistic: Any, *, invariant: bool, group: str = "joint", size: int | tuple[int, int] = 6,
    seed: int = 0, hint: str = "",
) -> None:
    """Whether a function of one matrix really is unchanged, or really is changed, by renumbering.

    It is evaluated on 8 random matrices and 25 random renumberings of each.  An invariant one must not be constant.

    Parameters
    ----------
    exercise : str
        Its number, such as ``"10.1"``.
    statistic : function
        Takes one matrix, gives one number.
    invariant : bool
        What the exercise asks for.
    group : {"joint", "separate", "rows", "columns"}
        How the matrix is renumbered.
    size : int or (int, int)
        Rows and columns of the matrices; they may differ except for the group joint.
    seed : int
        Of the random matrices and renumberings.
    hint : str
        A sentence for a wrong answer.

    Raises
    ------
    NotYet
        If it is no such function.

    Examples
    --------
    >>> check_statistic("10.4", np.trace, invariant=True)
    Exercise 10.4: right, renumbering rows and columns together does not change it
    >>> check_statistic("10.4", np.trace, invariant=False, group="rows")
    Exercise 10.4: right, renumbering the rows changes it
    """
    if group not in GROUPS:
        raise PigmmError.of("group", got=group, allowed=", ".join(GROUPS))
    shape = (size, size) if isinstance(size, int) else size
    if group == "joint" and shape[0] != shape[1]:
        raise PigmmError.of("size", got=size, allowed="a square matrix, when rows and columns are renumbered together")
    rng = np.random.default_rng(seed)
    at_first, changes = [], []
    for W in rng.standard_normal((8, *shape)):
        value = _value(exercise, statistic, W, hint)
        if value != _value(exercise, statistic, W, hint):
            raise NotYet.say(exercise, "your function gives two values for the same matrix", hint)
        at_first.append(value)
        for _ in range(25):
            rows, columns = rng.permutation(shape[0]), rng.permutation(shape[1])
            rows = np.arange(shape[0]) if group == "columns" else rows
            columns = {"joint": rows, "rows": np.arange(shape[1])}.get(group, columns)
            after = _value(exercise, statistic, W[np.ix_(rows, columns)], hint)
            changes.append((abs(after - value), value, after))
    # Sums in another order differ in the last digits; the scale of all values keeps one near zero from looking changed.
    limit = 1e-9 * max(map(abs, at_first))
    change, before, after = max(changes)
    if invariant and change > limit:
        raise NotYet.say(exercise, f"{GROUPS[group]} changes it, from {before:.6g} to {after:.6g}", hint)
    if invariant and np.ptp(at_first) <= limit:
        raise NotYet.say(exercise, f"it is {value:.6g} for every matrix, which says nothing about a matrix", hint)
    if not invariant and change <= limit:
        raise NotYet.say(exercise, f"{GROUPS[group]} does not change it", hint)
    _right(exercise, f", {GROUPS[group]} {'does not change' if invariant else 'changes'} it")


def check_true(exercise: str, statement: Any, hint: str = "") -> None:
    """Whether a statement about an answer is ``True``; better a function without arguments, for what may raise.

    >>> check_true("10.5", lambda: 3 > 2)
    Exercise 10.5: right
    """
    value = _call(exercise, statement, (), hint) if callable(statement) else statement
    if not isinstance(value, bool | np.bool_):
        raise NotYet.say(exercise, f"got {_short(value)}, which is neither True nor False", hint)
    if not value:
        raise NotYet.say(exercise, "what should hold does not", hint)
    _right(exercise)


def check_choice(exercise: str, answer: Any, right: Any, choices: Collection[Any]) -> None:
    """Whether the right one of some choices was named; or, where ``right`` is a collection, all right ones.

    >>> check_choice("10.6", "b", "b", ["a", "b"])
    Exercise 10.6: right
    >>> check_choice("10.6", np.array([2, 1]), {1, 2}, [0, 1, 2])
    Exercise 10.6: right
    >>> check_choice("10.6", {"a"}, {"a", "b"}, ["a", "b", "c"])
    Traceback (most recent call last):
    ...
    pigmm.teaching.NotYet: Exercise 10.6: not yet: got {'a'}, which is not right.
    """
    several = isinstance(right, list | tuple | set | frozenset)
    if hasattr(answer, "tolist"):  # an array, a series or one of its numbers
        answer = answer.tolist()
    given = list(answer) if isinstance(answer, list | tuple | set | frozenset) else [answer]
    given = [item.item() if isinstance(item, np.generic) else item for item in given]
    texts = {choice.lower(): choice for choice in choices if isinstance(choice, str)}
    given = [texts.get(item.strip(" .").lower(), item) if isinstance(item, str) else item for item in given]
    strangers = [item for item in given if not any(type(item) is type(choice) and item == choice for choice in choices)]
    if strangers or (len(given) != 1 and not several):
        ask = f"{'a list of some' if several else 'one'} of " + ", ".join(map(repr, choices))
        raise NotYet.say(exercise, f"{_got(answer)}, the answer should be {ask}")
    wanted = list(right) if several else [right]
    if not (all(item in wanted for item in given) and all(item in given for item in wanted)):
        raise NotYet.say(exercise, f"got {_short(answer)}, which is not right")
    _right(exercise)


def _right(exercise: str, more: str = "") -> None:
    print(f"Exercise {exercise}: right{more}")


def _short(value: Any) -> str:
    text = " ".join(repr(value).split())
    return text if len(text) <= 80 else text[:77] + "..."


def _blank(answer: Any) -> bool:
    """Whether it is what stands in a sheet before anything is answered, or a list in which some of that is left."""
    return answer is None or answer is ... or (isinstance(answer, list | tuple) and any(map(_blank, answer)))


def _got(answer: Any) -> str:
    if isinstance(answer, list | tuple) and _blank(answer):
        return "not everything is answered"
    return "nothing is answered" if _blank(answer) else f"got {_short(answer)}"


def _wanted(expected: Any) -> NDArray[Any]:
    """The right values; a fault in them is the sheet's, not the student's."""
    array = np.asarray(expected)
    if array.dtype.kind not in "biuf" or not np.isfinite(array).all():
        raise PigmmError.of("expected", got=expected, allowed="finite real numbers")
    return array


def _call(exercise: str, function: Any, case: Sequence[Any], hint: str) -> Any:
    if not callable(function):
        raise NotYet.say(exercise, f"{_got(function)}, it should be a function", hint)
    try:
        return function(*case)
    except Exception as error:
        if "ellipsis" in str(error).lower():  # what stands in a stub has met numpy or pigmm
            raise NotYet.say(exercise, "nothing is answered, or not everything") from error
        raise NotYet.say(exercise, f"your answer raised {type(error).__name__}: {_line(error)}", hint) from error


def _line(error: Exception) -> str:
    text = " ".join(str(error).split())
    return (text if len(text) <= 120 else text[:117] + "...").rstrip(".") or "without a word"


def _value(exercise: str, statistic: Any, W: NDArray[np.float64], hint: str) -> float:
    value = _call(exercise, statistic, (W.copy(),), hint)
    return float(_numbers(exercise, value, np.zeros(()), hint, " for a matrix").reshape(()))


def _numbers(exercise: str, answer: Any, wanted: NDArray[Any], hint: str, where: str = "") -> NDArray[Any]:
    """The answer as an array of the wanted shape with finite real numbers, or truth values where such are wanted."""
    one = "a number" if wanted.ndim == 0 else "an array of numbers"
    if _blank(answer):
        raise NotYet.say(exercise, f"{_got(answer)}{where}, it should be {one}")
    if np.ma.is_masked(answer):
        raise NotYet.say(exercise, f"got an array{where} with masked entries, it should be {one}", hint)
    try:
        array = np.asarray(answer)
        if array.dtype.kind == "c":
            array = np.real_if_close(array)
        if array.dtype.kind == "O":
            array = array.astype(np.float64)  # fractions, say
    except Exception:  # whatever an object does when it is asked for its numbers
        array = np.asarray("no numbers")
    if array.dtype.kind not in ("b" if wanted.dtype.kind == "b" else "iuf"):
        kind = one if wanted.dtype.kind != "b" else "True or False" if wanted.ndim == 0 else "an array of truth values"
        raise NotYet.say(exercise, f"got {_short(answer)}{where}, it should be {kind}", hint)
    if wanted.ndim == 0 and array.size == 1:
        array = array.reshape(())
    if array.shape != wanted.shape:
        ask = "it should be a number" if wanted.ndim == 0 else f"its shape should be {wanted.shape}"
        raise NotYet.say(exercise, f"got an array of shape {array.shape}{where}, {ask}", hint)
    if not np.isfinite(array).all():
        raise NotYet.say(exercise, f"got {_short(answer)}{where}, it should be finite", hint)
    return array


def _compare(
    exercise: str, answer: Any, wanted: NDArray[Any], rtol: float, atol: float, hint: str, where: str = ""
) -> None:
    array = _numbers(exercise, answer, wanted, hint, where)
    if wanted.dtype.kind == "b":
        off = array != wanted
    else:
        off = np.abs(array - wanted.astype(np.float64)) > atol + rtol * np.abs(wanted)
    if not off.any():
        return
    if wanted.ndim == 0:
        opposite = wanted.dtype.kind != "b" and array * wanted < 0
        why = "which has the wrong sign" if opposite else "which is not right"
        raise NotYet.say(exercise, f"got {_short(array.item())}{where}, {why}", hint)
    first = tuple(int(k) for k in np.argwhere(off)[0])
    at = f"[{', '.join(map(str, first))}]"
    what = f"{off.sum()} of {off.size} entries{where} are off, the first at {at}, where you have {array[first]:.6g}"
    raise NotYet.say(exercise, what, hint)
