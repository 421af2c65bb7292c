"""The scoreboard: rows from results files, and a page that is right after every kind of build."""

import json
import os
import re
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

import pigmm
from pigmm import PigmmError, scoreboard
from pigmm.claims import CLAIMS, VERDICTS, Claim, Measure
from pigmm.scoreboard import Row

ROOT = Path(__file__).parents[1]


def finding(key="b", verdict="refined", holds=True):
    return Claim(key, "It stays.", verdict, holds, "below 0.2", (Measure("median", 0.1, 0.01),), (Measure("|z|", 9),))


def write(folder, chapter, claims, sources):
    """The two files as pigmm.notebook.finish writes them, by hand."""
    folder.mkdir(parents=True)
    (folder / "results.json").write_text(json.dumps({"chapter": chapter, "claims": [c.to_dict() for c in claims]}))
    (folder / "provenance.json").write_text(json.dumps(sources))


def sources_of(**archives):
    return {
        name: {"config": archive.config.to_dict(), "provenance": archive.provenance}
        for name, archive in archives.items()
    }


# ---- rows


def test_rows_are_collected_in_the_order_of_the_claims(tmp_path):
    write(tmp_path / "20-x" / "digest", "20-x", [finding("by-width"), finding("b")], {})
    write(tmp_path / "10-y", "10-y", [finding("b", "differs"), finding("a")], {})
    found = scoreboard.rows(tmp_path)
    assert [(row.claim.key, row.chapter) for row in found] == [
        ("a", "10-y"), ("b", "10-y"), ("b", "20-x"), ("by-width", "20-x")
    ]  # fmt: skip
    assert found[1].claim == finding("b", "differs")
    assert scoreboard.counts(found) == {"reproduced": 0, "refined": 3, "differs": 1, "not testable here": 0}
    assert scoreboard.unspoken(found) == [key for key in CLAIMS if key not in ("a", "b", "by-width")]


def test_what_finish_writes_is_read_again(tmp_path, monkeypatch):
    from pigmm import notebook

    monkeypatch.setenv("PIGMM_RESULTS", str(tmp_path))
    archive = pigmm.load("digits")
    notebook.finish({"x": 1}, {"gaussian": archive}, chapter="20-x", claims=[finding()])
    (row,) = scoreboard.rows(tmp_path)
    assert (row.chapter, row.claim) == ("20-x", finding())
    assert "published as digits" in row.ensembles[0]


def test_ensembles_are_named_by_what_was_trained():
    archive = pigmm.load("digits")
    live = sources_of(a=archive, b=archive, c=archive)
    for name, change in (("b", {"init": "uniform"}), ("c", {"seed": 7, "runs": 30})):
        live[name] = {"config": {**live[name]["config"], **change}, "provenance": {"date": "2026-01-02T03:04:05"}}
    one, two, three = scoreboard.ensembles(live)
    c = archive.config
    assert one.startswith(f"a: {c.runs} networks 64-10-10-10-10 on digits, {c.epochs} epochs, seed 0, weight decay 0;")
    assert one.endswith("published as digits")
    assert two.startswith(f"b: {c.runs} ")
    assert three.startswith("c: 30 ")
    assert "seed 7" in three
    assert three.endswith("trained 2026-01-02, not published")
    live["b"]["config"]["seed"], live["b"]["config"]["runs"] = 7, 30  # the start differs, and is the label's business
    assert scoreboard.ensembles(live)[1].startswith("b, c: 30 ")


def test_everything_wrong_is_said():
    found = [Row("20-x", finding(key, holds=key not in "bc"), ()) for key in CLAIMS if key != "by-width"]
    first, second, third = scoreboard.problems(found)
    assert first == "claim (b) in 20-x: its check fails (below 0.2)"
    assert "(c)" in second
    assert "by-width" in third
    assert scoreboard.summary(found).endswith("12 refined. 2 checks fail.")
    text = scoreboard.to_text(found)
    assert text.count("(FAILS)") == 2
    assert "not spoken about: by-width" in text


@pytest.mark.parametrize(
    ("results", "word"),
    [
        ("{", "cannot read"),
        ("[]", "results by name"),
        ('{"claims": [{"key": "b"}]}', "Run the notebook again"),
        ('{"claims": [{"key": "b", "surprise": 1, "effect": [], "test": []}]}', "surprise"),
    ],
)
def test_damaged_results_are_named(tmp_path, results, word):
    (tmp_path / "results.json").write_text(results)
    (tmp_path / "provenance.json").write_text("{}")
    with pytest.raises(PigmmError, match=word) as error:
        scoreboard.rows(tmp_path)
    assert "results.json" in str(error.value)


def test_the_terminal_shows_it(tmp_path, monkeypatch, capsys):
    write(tmp_path / "runs", "20-x", [finding()], {})
    monkeypatch.chdir(tmp_path)
    assert scoreboard.main([]) == 0
    assert "20-x: refined. It stays." in capsys.readouterr().out
    assert scoreboard.main(["x"]) == scoreboard.main(["runs", "x"]) == 2
    assert capsys.readouterr().err.startswith("pigmm: results: got 'x'")


# ---- the page


@pytest.fixture(scope="module")
def build():
    """A function that builds a toy book, in one process for all: exit code, what was said, and the scoreboard."""
    code = (
        "import json, sys\nfrom sphinx.cmd.build import main\n"
        "for line in sys.stdin: print('exit code', main(json.loads(line)), flush=True)"
    )
    process = subprocess.Popen(
        [sys.executable, "-c", code], stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=subprocess.STDOUT,
        text=True, env=os.environ | {"PYTHONPATH": str(ROOT), "OMP_NUM_THREADS": "1"},
    )  # fmt: skip

    def build(root, *options):
        html = root / "_out" / "html"
        process.stdin.write(json.dumps(["-W", "-n", "--keep-going", *options, str(root), str(html)]) + "\n")
        process.stdin.flush()
        said = []
        for line in process.stdout:
            if line.startswith("exit code"):
                return int(line.split()[-1]), "".join(said), (html / "board.html").read_text()
            said.append(line)
        pytest.fail("".join(said))

    with process:
        yield build
        process.stdin.close()


def toy(path, *cells):
    """A notebook of a title and of code cells, each with its tags."""
    code = [
        {"cell_type": "code", "execution_count": None, "metadata": {"tags": tags}, "outputs": [], "source": source}
        for tags, source in cells
    ]
    title = {"cell_type": "markdown", "metadata": {}, "source": f"# {path.stem}: a toy"}
    language = {"kernelspec": {"name": "python3", "display_name": "Python 3"}, "language_info": {"name": "python"}}
    path.parent.mkdir(exist_ok=True)
    path.write_text(json.dumps({"cells": [title, *code], "metadata": language, "nbformat": 4, "nbformat_minor": 4}))


def chapter(path, keys, holds=True, tagged=True):
    """A chapter that speaks about claims as chapters do."""
    code = (
        "import pigmm\nfrom pigmm import notebook\nfrom pigmm.claims import Claim, Measure\n"
        f"claims = [Claim(key, 'It **stays**.', 'refined', {holds}, 'below 0.2') for key in {list(keys)}]\n"
        f"notebook.finish({{}}, {{'gaussian': pigmm.load('digits')}}, chapter={path.stem!r}, claims=claims)"
    )
    toy(path, (["hide-input", *(f"claim-{key}" for key in keys if tagged)], code))


def contents(root, *pages):
    (root / "index.md").write_text("# Book\n\n```{toctree}\n" + "\n".join(["board", *pages]) + "\n```\n")


@pytest.fixture
def book(tmp_path):
    """Two chapters: 10-one speaks about everything, 20-two about (b) once more."""
    (tmp_path / "pigmm").mkdir()
    (tmp_path / "constraints.txt").write_text("")
    (tmp_path / "conf.py").write_text(
        f"import sys; sys.path.append({str(ROOT / 'book' / '_ext')!r})\n"
        "extensions = ['myst_nb', 'scoreboard']\nhtml_theme = 'basic'\nexclude_patterns = ['_out']\n"
        "nb_execution_mode = 'cache'\nnb_execution_raise_on_error = True\nnb_execution_timeout = 600\n"
    )
    parts = "".join(f"## About {part}\n\n```{{scoreboard}} {part}\n```\n\n" for part in ("summary", "claims", "counts"))
    (tmp_path / "board.md").write_text(f"# Board\n\n{parts}```{{scoreboard}} legend\n```\n")
    chapter(tmp_path / "notebooks/10-one.ipynb", CLAIMS)
    chapter(tmp_path / "notebooks/20-two.ipynb", ["b"])
    contents(tmp_path, "notebooks/10-one", "notebooks/20-two")
    return tmp_path


def test_the_page_is_right_after_every_kind_of_build(book, build):
    code, said, page = build(book)
    assert code == 0, said
    assert "✗" not in page.replace("✗\u00a0check fails</span> what the verdict", "")  # the legend
    assert "2 chapters give 14 verdicts on 13 of 13 claims and families of figures: 14 refined." in page
    assert all(verdict in page for verdict in VERDICTS)
    assert f"{pigmm.load('digits').runs} networks 64-10-10-10-10 on digits" in page
    assert "<strong>stays</strong>" in page
    links = re.findall(r'href="(notebooks/[^"#]+)#([^"]+)"', page)
    assert len(links) == 14
    for target, name in links:
        assert (book / "_out" / "html" / target).read_text().count(f'id="{name}"') == 1

    # Everything is read again, one chapter has changed: the other one's rows come from the cache.
    before = (book / "notebooks/20-two.ipynb").read_text()
    chapter(book / "notebooks/20-two.ipynb", ["b"], holds=False, tagged=False)
    code, said, page = build(book, "-E")
    assert code == 1
    assert "10-one.ipynb: Using cached notebook" in said
    assert "20-two.ipynb: Executing notebook" in said
    assert "claim (b) in 20-two: its check fails (below 0.2)" in said
    assert "claim (b) in 20-two: no cell has the tag claim-b" in said
    assert page.count("scoreboard-card scoreboard-red") == 2  # the box, and the row
    assert "14 refined. 1 check fails." in page
    assert build(book)[0] == 1, "nothing has changed, and the build is green"

    # Changed back: its own earlier results, not the later ones. A page that no contents name is no chapter; a chapter
    # without results is missed.
    (book / "notebooks/20-two.ipynb").write_text(before)
    toy(book / "notebooks/30-three.ipynb")
    contents(book, "notebooks/20-two", "notebooks/30-three")
    code, said, page = build(book)
    assert code == 1
    assert "20-two.ipynb: Using cached notebook" in said
    assert "chapter 30-three has written no results" in said
    assert "claim (b)" not in said
    assert said.count("no chapter speaks about claim") == len(CLAIMS) - 1 == page.count("no chapter speaks about it")
    assert "1 chapter gives 1 verdict on 1 of 13 claims and families of figures: 1 refined. Every check holds." in page


def test_results_live_and_die_with_the_cache(book, monkeypatch):
    from tests.test_project import extension

    cache = extension("execution_cache")
    text = (book / "notebooks/20-two.ipynb").read_text()
    chapter(book / "notebooks/20-two.ipynb", ["b"], holds=False)
    changed = (book / "notebooks/20-two.ipynb").read_text()
    assert cache.code_digest(text) == cache.code_digest(text.replace("a toy", "a game"))  # prose is not code
    assert cache.code_digest(text) != cache.code_digest(changed)
    notebook = json.loads(text)
    for cell in notebook["cells"]:
        cell["source"] = cell["source"].splitlines(keepends=True)  # as Jupyter writes it
    assert cache.code_digest(text) == cache.code_digest(json.dumps(notebook))

    class App:
        outdir, srcdir = str(book / "_out" / "html"), str(book)
        config = type("Config", (), {})()
        env = type("Env", (), {"doc2path": staticmethod(lambda name: f"{name}.ipynb" if "/" in name else "board.md")})

    def told(docname, source):
        cache.name_results(App, docname, [source])
        return os.environ.get("PIGMM_RESULTS")

    monkeypatch.setenv("PIGMM_RESULTS", "elsewhere")
    cache.name_cache(App, App.config)
    first = told("notebooks/20-two", text)
    assert Path(first).is_relative_to(App.config.nb_execution_cache_path)
    assert told("notebooks/20-two", changed) != first
    assert told("board", "# Board") is None  # a page is no chapter
    Path(first).mkdir(parents=True)
    (book / "pigmm" / "new.py").write_text("x = 1\n")
    cache.name_cache(App, App.config)
    assert not Path(first).exists()
    assert told("notebooks/20-two", text) != first


def test_a_misspelt_part_is_refused(book, build):
    (book / "board.md").write_text("# Board\n\n```{scoreboard} sumary\n```\n")
    contents(book)
    shutil.rmtree(book / "notebooks")
    code, said, _ = build(book)
    assert code == 1
    assert "got 'sumary'; allowed: summary, claims, counts, legend" in said
