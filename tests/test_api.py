"""The reference: every public name is described, with its arguments, and shown in an example that runs."""

import importlib
import inspect
import re
import textwrap
from collections.abc import Iterable
from pathlib import Path

import api  # book/_ext is on the path: see conftest.py
import pytest

import pigmm

ROOT = Path(__file__).parents[1]
PAGES = {path.stem: path.read_text(encoding="utf8") for path in sorted((ROOT / "book" / "api").glob("*.md"))}
ON_PAGES = [name for text in PAGES.values() for name in re.findall(r"^\.\. api:: (\w+)$", text, re.MULTILINE)]
SECTION = re.compile(r"^(Parameters|Returns|Raises|Examples|Attributes|Notes)\n-+$", re.MULTILINE)
PROPERTY = (property, importlib.import_module("functools").cached_property)


def sections(doc):
    """The parts of a docstring by their headings; what stands before the first is ``""``."""
    first, *rest = SECTION.split(doc)
    return {"": first, **dict(zip(rest[::2], rest[1::2], strict=True))}


def listed(section):
    """The names that a section describes."""
    heads = [line.split(" : ")[0] for line in section.splitlines() if line and not line.startswith(" ")]
    return [name.strip().lstrip("*") for head in heads for name in head.split(",")]


def arguments(function):
    """Names of the arguments, without the instance or class."""
    return [name for name in inspect.signature(function).parameters if name not in ("self", "cls")]


CONVENTIONAL = {name for names in api.CONVENTIONS for name in names.split(", ")}


def fault_of_arguments(doc, names):
    """What is wrong with how the arguments are described, or ''."""
    found = sections(doc)
    if "Parameters" in found:
        described = listed(found["Parameters"])
        return "" if described == names else f"describes {described}, takes {names}"
    silent = [name for name in names if name not in CONVENTIONAL and not re.search(rf"\b{name}\b", doc)]
    return f"says nothing of {', '.join(silent)}" if silent else ""


def members(cls):
    """Public methods and properties that a class defines itself: name and function."""
    for name, value in vars(cls).items():
        if isinstance(value, classmethod | staticmethod):
            value = value.__func__
        elif isinstance(value, PROPERTY):
            value = value.fget if isinstance(value, property) else value.func
        if not name.startswith("_") and inspect.isfunction(value):
            yield name, value


def described_elsewhere(cls, name):
    """Whether a base class, or the protocol of the same module, describes a method of this name."""
    module = inspect.getmodule(cls)
    protocols = [kind for kind in vars(module).values() if getattr(kind, "_is_protocol", False)]
    return any(getattr(getattr(kind, name, None), "__doc__", None) for kind in (*cls.__mro__[1:], *protocols))


def faults(label, thing):
    """All that is missing in the description of a function or class."""
    doc = inspect.getdoc(thing) or ""
    if not doc.strip():
        return [f"{label}: no docstring"]
    found = [] if ">>>" in doc else [f"{label}: no example"]
    if not inspect.isclass(thing):
        wrong = fault_of_arguments(doc, arguments(thing))
        return found + ([f"{label}: {wrong}"] if wrong else [])
    for name, function in members(thing):
        own = inspect.getdoc(function) or "" if function.__doc__ else ""
        if not own and described_elsewhere(thing, name):
            continue
        if not own.strip():
            found.append(f"{label}.{name}: no docstring")
            continue
        if ">>>" not in own and not re.search(rf"\.{name}\b", "".join(re.findall(r"(?:>>>|\.\.\.) .*", doc))):
            found.append(f"{label}.{name}: no example, nor in that of its class")
        if wrong := fault_of_arguments(own, arguments(function)):
            found.append(f"{label}.{name}: {wrong}")
    return found


@pytest.mark.parametrize("module", ON_PAGES)
def test_every_name_of_the_reference_is_described_with_its_arguments_and_an_example(module):
    home = importlib.import_module(f"pigmm.{module}")
    things = {name: getattr(home, name) for name in api.shown(module)}
    wrong = [fault for name, thing in things.items() if callable(thing) for fault in faults(name, thing)]
    assert not wrong, "\n".join(wrong)


@pytest.mark.parametrize("name", sorted(pigmm._HOME))
def test_what_pigmm_offers_directly_says_what_it_takes_returns_and_raises(name):
    thing = getattr(pigmm, name)
    found = sections(inspect.getdoc(thing))
    if name in ("Archive", "PigmmError"):  # which are not made by hand
        return
    assert "Parameters" in found or not arguments(thing)
    if not inspect.isclass(thing):
        assert "Returns" in found
    if "raise PigmmError" in inspect.getsource(thing):
        assert "PigmmError" in found.get("Raises", "") or "PigmmError" in found[""]


def test_each_module_is_on_one_page_or_said_to_be_internal():
    assert len(ON_PAGES) == len(set(ON_PAGES))
    internal = {name for name in pigmm._MODULES if api.internal(name)}
    assert set(ON_PAGES) ^ internal == pigmm._MODULES
    assert not api.INTERNAL - pigmm._MODULES
    for module, names in api.HELPERS.items():
        assert set(names.split()) <= set(importlib.import_module(f"pigmm.{module}").__all__), module


def test_what_pigmm_offers_directly_is_shown():
    for name, module in pigmm._HOME.items():
        assert module in ON_PAGES
        assert name in api.shown(module)
        assert api.public_name(module, name) == f"pigmm.{name}"


def test_pages_are_listed_on_the_first_one():
    assert set(re.findall(r"\[\]\((\w+)\.md\)", PAGES["index"])) == set(PAGES) - {"index"}


def test_faults_are_seen():
    def silent(W, how):
        """Do something.

        >>> silent(1, 2)
        """

    def other(a, b):
        """Do something.

        Parameters
        ----------
        b, a : numbers
        """

    class Thing:
        """A thing.

        >>> Thing().shown()
        """

        def shown(self):
            """Here."""

        def hidden(self):
            """There."""

        def bare(self): ...

    assert faults("silent", silent) == ["silent: says nothing of how"]
    assert faults("other", other) == ["other: no example", "other: describes ['b', 'a'], takes ['a', 'b']"]
    assert faults("Thing", Thing) == ["Thing.hidden: no example, nor in that of its class", "Thing.bare: no docstring"]


def test_bars_outside_code_and_formulas_are_plain_signs():
    lines = ["The size |z| of ``|z|`` and :math:`|z|`.", "", ">>> 1 | 2", "3", "", "And |e|."]
    api.read_docstring(None, "function", "f", None, None, lines)
    text = textwrap.dedent("\n".join(lines))
    assert r"size \|z\| of ``|z|`` and :math:`|z|`" in text
    assert ">>> 1 | 2" in text
    assert r"And \|e\|" in text


def test_signatures_are_short():
    def function(a: "Iterable[str]", b: "str | None" = "x", *, c: "int | None" = None) -> "Path": ...

    expected = "(a: Iterable[str], b: str | None = 'x', *, c: int | None = None)"
    assert api.short_signature(None, "function", "f", function, None, "", "") == (expected, "Path")


@pytest.mark.parametrize(("name", "there"), [("np.float64", True), ("Sequence", True), ("pigmm.irreps.Array", True),
                                             ("pigmm.embed", False), ("Sequenze", False)])  # fmt: skip
def test_only_names_that_exist_may_be_left_without_a_link(name, there):
    assert api.known(name) is there
