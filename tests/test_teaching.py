"""Exercises that check themselves: the checks accept what is right and nothing else, and every sheet keeps its word."""

import ast
import builtins
import copy
import json
import re
import time
from fractions import Fraction
from pathlib import Path

import class_kit
import class_sheets
import nbformat
import numpy as np
import pytest
from nbclient import NotebookClient

from pigmm import sheets, teaching
from pigmm.errors import PigmmError
from pigmm.launching import INSTALL

ROOT = Path(__file__).parents[1]
SOURCES = {path.stem: path for path in sorted((ROOT / "book" / "teaching").glob("*.ipynb"))}
WRONG = [None, float("nan"), 0.0, "no answer"]
every_sheet = pytest.mark.parametrize("name", SOURCES)


def read(name):
    return json.loads(SOURCES[name].read_text(encoding="utf8"))


def source(cell):
    return "".join(cell["source"])


def tags(cell):
    return cell["metadata"].get("tags", [])


def code(notebook, *wanted):
    """Sources of the code cells with one of these tags; of the untagged ones without any."""
    cells = [cell for cell in notebook["cells"] if cell["cell_type"] == "code"]
    roles = [(source(cell), set(tags(cell)) & set(sheets.ROLES)) for cell in cells]
    return [text for text, role in roles if (role & set(wanted) if wanted else not role)]


def bound(text):
    """Names that a cell binds at its top level."""
    found = set()
    for node in ast.parse(text).body:
        if isinstance(node, ast.FunctionDef | ast.ClassDef):
            found.add(node.name)
        elif isinstance(node, ast.Import | ast.ImportFrom):
            found |= {(alias.asname or alias.name).split(".")[0] for alias in node.names}
        else:
            found |= {n.id for n in ast.walk(node) if isinstance(n, ast.Name) and isinstance(n.ctx, ast.Store)}
    return found


def used(text):
    """Names that a cell reads and does not bind anywhere in itself."""
    names = [node for node in ast.walk(ast.parse(text)) if isinstance(node, ast.Name)]
    arguments = {node.arg for node in ast.walk(ast.parse(text)) if isinstance(node, ast.arg)}
    stored = {node.id for node in names if isinstance(node.ctx, ast.Store)}
    return {node.id for node in names} - stored - arguments - bound(text) - set(dir(builtins))


def run(text, namespace):
    exec(compile(text, "cell", "exec"), namespace)


# ---- the sheets


def test_there_is_a_sheet_for_each_chapter():
    chapters = {path.stem for path in (ROOT / "notebooks").glob("*.ipynb")}
    assert set(SOURCES) <= chapters


@every_sheet
def test_a_sheet_is_well_made(name):
    assert sheets.faults(read(name), name) == []


@every_sheet
def test_what_students_keep_needs_no_answer(name):
    """Cells without a tag do not use answers, and checks do not use what only a solution defines."""
    notebook = read(name)
    kept = set().union(*map(bound, code(notebook)))
    answers = set().union(*map(bound, code(notebook, "stub")))
    secret = set().union(*map(bound, code(notebook, "solution"))) - answers - kept
    for text in code(notebook):
        assert not used(text) & (answers | secret), text
    for text in code(notebook, "check"):
        assert not used(text) - kept - answers - bound(text), text


@every_sheet
def test_every_check_fails_on_the_stub_and_passes_on_the_solution(name, capsys):
    start, namespace = time.process_time(), {"__name__": "__main__"}
    cells = [cell for cell in read(name)["cells"] if cell["cell_type"] == "code"]
    stub, count = "", 0
    for k, cell in enumerate(cells):
        text = source(cell)
        if "stub" in tags(cell):
            stub = text
            run(text, namespace)
            for later in cells[k + 1 :]:
                if "stub" in tags(later):
                    break
                if "check" in tags(later):
                    capsys.readouterr()
                    refused(source(later), namespace)
                    assert "right" not in capsys.readouterr().out, f"one of its checks takes no answer for one: {later}"
        elif "check" in tags(cell):
            capsys.readouterr()
            run(text, namespace)
            said = capsys.readouterr().out.splitlines()
            assert said, text
            assert all(re.match(rf"Exercise {name[:2]}\.\d+: right", line) for line in said)
            count += 1
            wrong_answers(text, stub, namespace)
        else:
            run(text, namespace)
    assert count >= 3
    with capsys.disabled():
        print(f" {name}: {count} checks, {time.process_time() - start:.1f} CPU s", end="")


def refused(text, namespace):
    with pytest.raises(PigmmError, match=r"\AExercise \d\d\.\d+: not yet: [^\n]+\Z"):
        run(text, namespace)


def wrong_answers(text, stub, namespace):
    """No check is content with an answer that cannot be one."""
    names = bound(stub) & used(text)
    assert names, f"this check looks at nothing the student writes: {text}"
    right = {name: namespace[name] for name in names}
    functions = all(map(callable, right.values()))
    for wrong in WRONG:
        namespace.update({name: (lambda *a, wrong=wrong, **k: wrong) if functions else wrong for name in names})
        refused(text, namespace)
    if functions:
        namespace.update(dict.fromkeys(names, 0.0))
        refused(text, namespace)
    namespace.update(right)


@every_sheet
def test_the_students_notebook_holds_no_solution(name):
    notebook = read(name)
    made = sheets.student(notebook, name)
    whole = json.dumps([source(cell) for cell in made["cells"]])
    for cell in notebook["cells"]:
        if {"plan", "solution"} & set(tags(cell)):
            assert json.dumps(source(cell))[1:-1] not in whole
            kept = [line.strip() for cell in made["cells"] for line in source(cell).splitlines()]
            lines = {line.strip() for line in source(cell).splitlines() if len(line.strip()) > 30}
            shared = lines & set(kept)
            assert not {line for line in shared if not line.startswith(("import ", "from ", "def "))}, shared
    for version in (made, sheets.teacher(notebook, name)):
        nbformat.reads(json.dumps(version), as_version=4)  # warns, which fails, of what is no notebook
        assert [source(cell) for cell in version["cells"]].count(INSTALL) == 1
        assert source(version["cells"][1]) == INSTALL
    ids = {cell["id"] for cell in sheets.teacher(notebook, name)["cells"]}
    assert ids >= {cell["id"] for cell in notebook["cells"]}


@every_sheet
def test_links_lead_to_pages_that_exist(name):
    notebook = read(name)
    for made in (sheets.student(notebook, name), sheets.teacher(notebook, name)):
        text = "\n".join(source(cell) for cell in made["cells"] if cell["cell_type"] == "markdown")
        for target in re.findall(r"\]\(([^)\s]+)\)", text):
            assert target.startswith(("https://", "#")), target
            if target.startswith(sheets.address("Book")):
                page = target.removeprefix(sheets.address("Book")).partition("#")[0].removesuffix(".html")
                later = page.startswith("book/explore/")  # pages of the book that need no notebook
                assert later or page == "" or any((ROOT / f"{page}{s}").exists() for s in (".md", ".ipynb")), target


def test_a_students_notebook_runs_and_says_not_yet_in_one_line():
    name = "00-quickstart"
    notebook = nbformat.reads(json.dumps(sheets.student(read(name), name)), as_version=4)
    NotebookClient(notebook, timeout=300, kernel_name="python3", allow_errors=True).execute()
    checks = 0
    for cell in notebook.cells:
        errors = [o for o in cell.get("outputs", []) if o.output_type == "error"]
        assert bool(errors) == ("check" in tags(cell)), source(cell)
        for error in errors:
            assert error.ename == "NotYet"
            assert len(error.traceback) == 1
            assert "\n" not in error.traceback[0]
            checks += 1
    assert checks >= 3


def test_exercises_that_are_mentioned_exist():
    known = {exercise.number for name in SOURCES for exercise in sheets.exercises(read(name))}
    texts = {"index": (ROOT / "book" / "teaching" / "index.md").read_text(encoding="utf8")}
    for name in SOURCES:
        texts[name] = "\n".join(source(cell) for cell in read(name)["cells"] if cell["cell_type"] == "markdown")
    for name, text in texts.items():
        words = re.sub(r"`[^`\n]*`|\$[^$]*\$", "", text)  # no names of graphs, no numbers in formulas
        mentioned = set(re.findall(r"(?<![\d.])([0-8]0\.[1-9]\d?)(?![\d%])", words))
        assert mentioned, name
        assert mentioned <= known, name


# ---- the checks


def says(match):
    return pytest.raises(teaching.NotYet, match=match)


@pytest.mark.parametrize("right", [2, 2.0, np.float32(2), np.array(2), np.array([2.0]), Fraction(2), 2 + 0j, 2 + 1e-7])
def test_a_number_may_come_in_any_form(right, capsys):
    teaching.check_number("10.1", right, 2.0)
    assert capsys.readouterr().out == "Exercise 10.1: right\n"


@pytest.mark.parametrize(
    "wrong", [*WRONG, ..., 2.001, -2, [2, 2], [], "2", True, 2 + 1j, np.inf, object(), [[1], [1, 2]], {2}]
)
def test_a_number_that_is_none_or_another_is_refused(wrong):
    hint = "" if wrong is None or wrong is ... else " Think."  # who has answered nothing needs no hint
    with says(rf"\AExercise 10\.1: not yet: [^\n]+\.{hint}\Z"):
        teaching.check_number("10.1", wrong, 2.0, hint="Think.")


def test_tolerances_are_what_they_say():
    teaching.check_number("1", 1.05, 1.0, rtol=0.06)
    teaching.check_number("1", 0.009, 0.0, atol=0.01)
    for answer, tolerance in ((1.05, {"rtol": 0.04}), (1.05, {"atol": 0.04}), (0.011, {"atol": 0.001, "rtol": 0.009})):
        with says("not right"):
            teaching.check_number("1", answer, 1.0 if answer > 1 else 0.0, **tolerance)


def test_the_message_does_not_tell_the_answer():
    for answer in (None, 1.0, -1.0, "a", [1.0, 2.0]):
        with pytest.raises(teaching.NotYet) as caught:
            teaching.check_number("1", answer, 7.25)
        assert "7.25" not in str(caught.value)
    with says("wrong sign"):
        teaching.check_number("1", -1.0, 7.25)


def test_arrays_say_their_shape_or_how_many_are_off():
    teaching.check_array("1", [[1, 2], [3, 4]], np.array([[1.0, 2.0], [3.0, 4.0]]))
    with says(r"shape \(3,\), its shape should be \(2, 2\)"):
        teaching.check_array("1", [1, 2, 3], np.eye(2))
    with says(r"2 of 4 entries are off, the first at \[0, 1\]"):
        teaching.check_array("1", [[1, 7], [7, 1]], np.eye(2))
    with says("finite"):
        teaching.check_array("1", [1, np.nan], [1, 2])
    with says("not everything is answered, it should be"):
        teaching.check_array("1", [1, ...], [1, 2])
    teaching.check_array("1", np.ma.array([1, 2], mask=False), [1, 2])
    with says("masked"):
        teaching.check_array("1", np.ma.array([1, 2], mask=[False, True]), [1, 2])
    teaching.check_array("1", [True, False], [True, False])
    with says("truth values"):
        teaching.check_array("1", [1, 0], [True, False])
    with says("numbers"):
        teaching.check_array("1", [True, False], [1, 0])


def test_expected_values_that_are_none_are_the_sheets_fault():
    with pytest.raises(PigmmError, match="expected: got nan"):
        teaching.check_number("1", 1.0, np.nan)
    with pytest.raises(PigmmError, match="cases"):
        teaching.check_function("1", abs, abs, [])


def test_functions_are_compared_case_by_case():
    def spoil(a):
        total = a.sum()
        a[:] = 0
        return total

    cases = [(np.arange(3.0),), (np.ones(2),)]
    teaching.check_function("1", spoil, np.sum, cases)
    assert cases[1][0].sum() == 2  # the student's function got a copy
    teaching.check_function("1", lambda n: {n}, lambda n: {n}, [(1,)])
    with says(r"got 4\.0 for the arguments \(-2\.0,\), which has the wrong sign"):
        teaching.check_function("1", lambda x: x * x, lambda x: x**3, [(1,), (-2.0,)])
    with says("your answer raised ZeroDivisionError: "):
        teaching.check_function("1", lambda x: x / 0, abs, [(1,)])
    with says("it should be a function"):
        teaching.check_function("1", 3, abs, [(1,)])
    with says("nothing is answered for the arguments"):
        teaching.check_function("1", lambda x: None, abs, [(1,)])
    with says("not right"):
        teaching.check_function("1", lambda n: [n], lambda n: {n}, [(1,)])


INVARIANT = {
    "joint": (np.trace, np.sum, lambda W: np.linalg.svd(W)[1][0]),
    "separate": (np.sum, np.max, lambda W: (W @ W.T).trace()),
    "rows": (lambda W: W.sum(axis=0)[0], np.sum),
    "columns": (lambda W: W.sum(axis=1)[0], lambda W: (W @ W.T)[0, 1]),
}
CHANGED = {
    "joint": (lambda W: W[0, 0], lambda W: W[0].sum()),
    "separate": (np.trace, lambda W: (W @ W).trace()),
    "rows": (lambda W: W.sum(axis=1)[0], np.trace),
    "columns": (lambda W: W.sum(axis=0)[0], np.trace),
}


@pytest.mark.parametrize("group", teaching.GROUPS)
def test_statistics_are_told_apart(group):
    for statistic in INVARIANT[group]:
        teaching.check_statistic("1", statistic, invariant=True, group=group)
        with says("does not change it"):
            teaching.check_statistic("1", statistic, invariant=False, group=group)
    for statistic in CHANGED[group]:
        teaching.check_statistic("1", statistic, invariant=False, group=group)
        with says("changes it, from"):
            teaching.check_statistic("1", statistic, invariant=True, group=group)


def test_statistics_that_are_none_are_refused():
    rng = np.random.default_rng(0)
    with says("says nothing about a matrix"):
        teaching.check_statistic("1", lambda W: 3.0, invariant=True)
    with says("does not change it"):
        teaching.check_statistic("1", lambda W: 3.0, invariant=False)
    with says("two values for the same matrix"):
        teaching.check_statistic("1", lambda W: rng.normal(), invariant=False)
    with says("should be a number"):
        teaching.check_statistic("1", lambda W: W, invariant=True)
    teaching.check_statistic("1", lambda W: W[0, 6], invariant=False, group="rows", size=(3, 7))
    with says("raised IndexError"):
        teaching.check_statistic("1", lambda W: W[0, 7], invariant=False, group="rows", size=(3, 7))
    with pytest.raises(PigmmError, match="square"):
        teaching.check_statistic("1", np.sum, invariant=True, size=(3, 7))
    with pytest.raises(PigmmError, match="group"):
        teaching.check_statistic("1", np.sum, invariant=True, group="all")


def test_statements_and_choices(capsys):
    teaching.check_true("1", np.bool_(True))
    teaching.check_true("1", lambda: 1 < 2)
    for wrong, match in ((False, "does not"), (1, "neither"), (None, "neither"), (lambda: None + 1, "TypeError")):
        with says(match):
            teaching.check_true("1", wrong)
    teaching.check_choice("1", "b", "b", "abc")
    teaching.check_choice("1", ["c", "a"], {"a", "c"}, "abc")
    teaching.check_choice("1", " B. ", "b", "abc")
    with says("nothing is answered, or not everything"):
        teaching.check_true("1", lambda: 0.0 < ...)
    capsys.readouterr()
    for wrong, right in (("a", "b"), ("x", "b"), (["b", "a"], "b"), (["a"], {"a", "c"}), (list("abc"), {"a", "c"})):
        with says("not yet"):
            teaching.check_choice("1", wrong, right, "abc")
    with says("one of 0, 1"):
        teaching.check_choice("1", True, 1, [0, 1])
    assert capsys.readouterr().out == ""


# ---- the two versions, and what a sheet must be


def cell(text, *names, kind="markdown"):
    more = {"outputs": [], "execution_count": None} if kind == "code" else {}
    return {"cell_type": kind, "metadata": {"tags": list(names)} if names else {}, "source": text, **more}


LINKS = "[a](../theory/wick.md#a), [b](https://x.org/a.md), [c](../../notebooks/10-initialisation.ipynb)"
TABLE = "| minutes | what | how |\n|---|---|---|\n| 20 | a | b |\n| 30 | c | d |"


def sheet():
    """A small sheet in which all is as it should be."""
    fold = "<details><summary>{}</summary>\n\n{}\n\n</details>"
    cells = [
        cell(f"# In class: a chapter\n\n{LINKS}"),
        cell(f"**Goals.** One\nand two.\n\n**Prerequisites.** None.\n\n{TABLE}", "plan"),
    ]
    for k in range(1, 6):
        cells += [
            cell(f"### Exercise 10.{k} (level {min(k, 3)}): title {k}", "exercise"),
            cell(fold.format("Hint", f"hint {k}"), "hint"),
            cell("answer = ...  # your turn", "stub", kind="code"),
            cell(f"answer = {k}", "solution", "hide-cell", kind="code"),
            cell(f'teaching.check_number("10.{k}", answer, {k})', "check", kind="code"),
        ]
    cells += [cell("### Exercise 10.6 (level 3): paper", "exercise"), cell(fold.format("Hint", "h"), "hint"),
              cell(fold.format("Solution", "a proof"), "solution")]  # fmt: skip
    for k, made in enumerate(cells):
        made["id"] = f"cell-{k}"
    metadata = {"kernelspec": {"name": "python3", "display_name": "Python 3", "language": "python"}}
    return {"cells": cells, "metadata": metadata, "nbformat": 4, "nbformat_minor": 5}


def test_the_sheet_of_these_tests_is_well_made():
    assert sheets.faults(sheet(), "10-x") == []
    told = {"title": "a chapter", "goals": "One and two.", "prerequisites": "None.", "minutes": 50}
    assert sheets.plan(sheet()) == told
    listed = sheets.exercises(sheet())
    assert [(e.number, e.level, e.on_paper) for e in listed[4:]] == [("10.5", 3, False), ("10.6", 3, True)]


def changed(place, **values):
    notebook = sheet()
    notebook["cells"][place].update(values)
    return notebook


def without(place):
    notebook = sheet()
    del notebook["cells"][place]
    return notebook


@pytest.mark.parametrize(
    ("notebook", "fault"),
    [
        (changed(0, source="# Something"), "title"),
        (changed(1, source="| 50 | a | b |"), "Goals"),
        (changed(1, source="**Goals.** a\n\n**Prerequisites.** b"), "table"),
        (changed(2, source="### Exercise 10.1: no level"), "should begin"),
        (changed(2, source="### Exercise 10.2 (level 1): t"), "numbered"),
        (changed(2, source="### Exercise 20.1 (level 1): t"), "numbered"),
        (changed(2, source="### Exercise 10.1 (level 2): t"), "all three levels"),
        (changed(3, source="open hint"), "not folded"),
        (changed(4, source="answer = ..."), "your turn"),
        (changed(4, metadata={"tags": ["stub", "check"]}), "several"),
        (changed(5, metadata={"tags": ["solution"]}), "hide-cell"),
        (changed(6, source='teaching.check_number("10.2", answer, 1)'), "does not name"),
        (changed(6, outputs=[{}]), "output"),
        (changed(6, execution_count=1), "output"),
        (changed(6, id="install"), "id of its own"),
        (changed(7, id="cell-0"), "id of its own"),
        (changed(28, cell_type="code"), "hint is not"),
        (without(3), "no hint"),
        (without(4), "not stub, solution, check"),
        (without(5), "no solution"),
        (without(6), "not stub, solution, check"),
        (without(29), "no solution"),
        ({**sheet(), "metadata": {}}, "python3"),
    ],
)  # fmt: skip
def test_faults_are_found(notebook, fault):
    found = sheets.faults(notebook, "10-x")
    assert any(fault in text for text in found), found


def test_versions_are_new_notebooks_with_links_into_the_book():
    notebook = sheet()
    before = copy.deepcopy(notebook)
    made, whole = sheets.student(notebook, "10-x"), sheets.teacher(notebook, "10-x")
    assert notebook == before
    text = source(made["cells"][0])
    book = sheets.address("Book").rstrip("/")
    assert f"({book}/book/theory/wick.html#a)" in text
    assert f"({book}/notebooks/10-initialisation.html)" in text
    assert "(https://x.org/a.md)" in text
    assert not any({"plan", "solution"} & set(tags(c)) for c in made["cells"])
    answers = [c for c in whole["cells"] if "solution" in tags(c) and c["cell_type"] == "code"]
    assert [c["metadata"]["jupyter"] for c in answers] == [{"source_hidden": True}] * 5
    assert made["metadata"]["pigmm"] == {"view": "student", "sheet": "10-x", "version": sheets.__version__}
    assert "10-x" in source(made["cells"][-1])


class Application:
    """As much of Sphinx as the extension asks for."""

    def __init__(self, root):
        self.srcdir, self.outdir, self.builder = root, root / "out", self
        self.format, self.env = "html", self

    def doc2path(self, docname):
        return str(self.srcdir / f"{docname}.ipynb")


def test_the_pages_offer_the_notebooks_and_count_the_exercises(tmp_path):
    app, folder = Application(tmp_path), tmp_path / "book" / "teaching"
    folder.mkdir(parents=True)
    (folder / "10-x.ipynb").write_text(json.dumps(sheet()))
    table = class_sheets.table(class_sheets.found(tmp_path))
    assert "| [10 a chapter](10-x.ipynb) | <a href" in table
    assert " | 1 + 1 + 4 | 50 |" in table
    assert "6 exercises in 1 sheets" in table
    assert "One and two." in table
    class_sheets.write(app, None)
    for view in ("student", "teacher"):
        assert f'href="../../class/{view}/10-x.ipynb" download' in table
        made = json.loads((app.outdir / "class" / view / "10-x.ipynb").read_text())
        assert made["metadata"]["pigmm"]["view"] == view
    page = [json.dumps(sheet())]
    class_sheets.label(app, "book/teaching/10-x", page)
    cells = json.loads(page[0])["cells"]
    assert 'href="../../class/student/10-x.ipynb"' in cells[1]["source"]
    solutions = [c["metadata"]["mystnb"]["code_prompt_show"] for c in cells if "solution" in tags(c)]
    assert solutions == ["Solution"] * 6
    other = ["not touched"]
    class_sheets.label(app, "notebooks/10-x", other)
    assert other == ["not touched"]
    class_sheets.write(app, RuntimeError("the build failed"))


def test_the_kit_is_written_whole_or_not_at_all(tmp_path, monkeypatch, capsys):
    folder, out = tmp_path / "book" / "teaching", tmp_path / "_build" / "class"
    folder.mkdir(parents=True)
    monkeypatch.setattr(class_kit, "ROOT", tmp_path)
    assert class_kit.main() == 2
    (folder / "10-x.ipynb").write_text(json.dumps(sheet()))
    assert class_kit.main() == 0
    assert "1 sheets" in capsys.readouterr().out
    kit = {str(path.relative_to(out)): path.read_bytes() for path in out.rglob("*") if path.is_file()}
    assert set(kit) == {"README.md", "student/10-x.ipynb", "teacher/10-x.ipynb"}
    assert b"CC BY 4.0" in kit["README.md"]
    assert b"| `10-x` | a chapter | 50 | 6 |" in kit["README.md"]
    (folder / "20-y.ipynb").write_text(json.dumps(sheet()))
    assert class_kit.main() == 2
    (error,) = capsys.readouterr().err.splitlines()
    assert "20-y" in error
    (folder / "20-y.ipynb").write_text("{")
    assert class_kit.main() == 2
    assert len(capsys.readouterr().err.splitlines()) == 1
    (folder / "20-y.ipynb").unlink()

    def full(*given, **named):
        raise OSError(28, "No space left")

    with monkeypatch.context() as patch:
        patch.setattr(class_kit.Path, "write_text", full)
        assert class_kit.main() == 2
    assert "No space left" in capsys.readouterr().err
    rename = class_kit.os.rename

    def refuse(old, new):
        if Path(new) == out and Path(old).name == "new":
            raise OSError(13, "Permission denied")
        rename(old, new)

    monkeypatch.setattr(class_kit.os, "rename", refuse)
    assert class_kit.main() == 2
    assert "Permission denied" in capsys.readouterr().err
    assert {str(path.relative_to(out)): path.read_bytes() for path in out.rglob("*") if path.is_file()} == kit
    assert [path.name for path in out.parent.iterdir()] == ["class"]


def test_nearly_invariant_is_not_invariant():
    with pytest.raises(teaching.NotYet):
        teaching.check_statistic("1.1", lambda W: np.trace(W) + 1e-4 * W[0, 0], invariant=True)


def test_a_statistic_may_write_into_its_matrix():
    def trace(W):
        value = np.trace(W)
        W[0, 0] += 1
        return value

    teaching.check_statistic("1.1", trace, invariant=True)


@pytest.mark.parametrize("answer", [np.array([1, 2]), [np.int64(1), np.int64(2)], {1, 2}, (2, 1)])
def test_choices_may_come_from_numpy(answer, capsys):
    teaching.check_choice("1.1", answer, {1, 2}, [0, 1, 2])
    assert "right" in capsys.readouterr().out


def test_an_answer_too_large_for_a_float_is_wrong_not_an_error():
    with pytest.raises(teaching.NotYet):
        teaching.check_number("1.1", 10**400, 52)
