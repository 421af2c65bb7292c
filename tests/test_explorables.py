"""The explorables "The 13 knobs" and "Relabel me": the same numbers as the package, and pages that do what they say."""

import json
import math
import re

import explorables
import numpy as np
import pytest
from axe_playwright_python.sync_playwright import Axe
from scipy.optimize import linear_sum_assignment

import pigmm
from pigmm import explore_knobs, explore_relabel
from pigmm.cli import PARAMETERS
from pigmm.irreps import Diagonal

from .explore_page import open_page

GRAPHS = [graph for degree in (1, 2, 3, 4) for graph in pigmm.invariant_graphs(degree)]
TRIALS = 40


def random_laws(D, count=TRIALS, seed=0):
    """Parameters of proper laws, far from independent entries."""
    rng = np.random.default_rng([seed, D])
    for _ in range(count):
        A, B = rng.normal(size=(2, 2)), rng.normal(size=(3, 3))
        S, T = A @ A.T + 0.01 * np.eye(2), B @ B.T + 0.01 * np.eye(3)
        f = [*rng.normal(size=2), *S[np.triu_indices(2)], *T[np.triu_indices(3)], *rng.uniform(0.05, 2, 2)]
        yield [float(x) for x in f]


def possible(f, D=5):
    """Does the package accept these parameters?"""
    try:
        pigmm.GaussianMatrixModel(f, D)
    except pigmm.PigmmError:
        return False
    return True


def js(page, expression, argument=None):
    """Evaluate an expression of x in the page."""
    return page.evaluate(f"(x) => {{ const core = pigmmExplore; return {expression}; }}", argument)


@pytest.fixture(scope="module")
def lab(browser, tmp_path_factory):
    """One page with both scripts, for tests that only compute."""
    folder = tmp_path_factory.mktemp("lab")
    context = browser.new_context(offline=True)
    tab = open_page(context.new_page(), folder, "knobs")
    tab.add_script_tag(path=explorables.STATIC / "relabel.js")
    yield tab
    context.close()


@pytest.fixture
def knobs(page, tmp_path):
    return open_page(page, tmp_path, "knobs")


@pytest.fixture
def relabel(page, tmp_path):
    return open_page(page, tmp_path, "relabel")


# ---- the core


def sfc32(seed, count):
    """A second implementation of the stream of random words, with Python's long integers."""
    a, b, c, counter, words = 0, seed, 0, 1, []
    for _ in range(count + 16):
        total = (a + b + counter) % 2**32
        counter = (counter + 1) % 2**32
        a = b ^ (b >> 9)
        b = (c + (c << 3)) % 2**32
        c = ((c << 21 | c >> 11) % 2**32 + total) % 2**32
        words.append(total)
    return words[16:]


def stream(page, seed, kind, count, argument=""):
    """So many numbers of one kind from a stream."""
    listed = f"Array.from({{ length: {count} }}, () => r.{kind}({argument}))"
    return js(page, f"((r) => {listed})(core.random(x))", seed)


@pytest.mark.parametrize("seed", [0, 1, 2026, 2**32 - 1])
def test_random_numbers_are_those_documented(lab, seed):
    words = sfc32(seed, 400)
    assert stream(lab, seed, "word", 400) == words
    uniform = [((high >> 5) * 2**26 + (low >> 6)) / 2**53 for high, low in zip(words[::2], words[1::2], strict=True)]
    pairs = zip(uniform[::2], uniform[1::2], strict=True)
    polar = [(math.sqrt(-2 * math.log(1 - u)), 2 * math.pi * v) for u, v in pairs]
    normal = [radius * turn(angle) for radius, angle in polar for turn in (math.cos, math.sin)]
    np.testing.assert_allclose(stream(lab, seed, "normal", 200), normal, rtol=1e-12, atol=1e-14)


def test_random_numbers_are_uniform_and_normal(lab):
    uniform, normal = (np.array(stream(lab, 5, kind, 40000)) for kind in ("uniform", "normal"))
    assert abs(np.histogram(uniform, 20, (0, 1))[0] - 2000).max() < 4.5 * math.sqrt(2000)
    assert uniform.min() >= 0
    assert uniform.max() < 1
    for power, moment, variance in ((1, 0, 1), (2, 1, 2), (3, 0, 15), (4, 3, 96)):
        assert abs((normal**power).mean() - moment) < 4 * math.sqrt(variance / 40000)
    shuffles = stream(lab, 3, "shuffled", 6000, "[0, 1, 2]")
    assert abs(np.unique(shuffles, axis=0, return_counts=True)[1] - 1000).max() < 4.5 * math.sqrt(1000)


def test_every_invariant_has_the_value_of_the_package(lab):
    W = np.random.default_rng(1).normal(size=(4, 4))
    given = {"names": [graph.name for graph in GRAPHS], "W": W.tolist()}
    found = js(lab, "x.names.map((name) => core.invariant(name, x.W))", given)
    np.testing.assert_allclose(found, pigmm.evaluate(GRAPHS, W)[0], rtol=1e-9, atol=1e-9)


def test_numbers_for_readers(lab):
    given = [0, 0.1, -0.02500, 1234567, -3e-7, 99.96, 2, math.inf]
    text = ["0", "0.100", "−0.0250", "1.23·10⁶", "−3.00·10⁻⁷", "100.0", "2.00", "–"]
    assert js(lab, "[...x, Infinity].map((y) => core.number(y))", given[:-1]) == text
    assert js(lab, "x.map((y) => core.fixed(y, 2))", [-0.001, -1.5, 2]) == ["0.00", "−1.50", "2.00"]


# ---- the law in the browser is the law of the package


@pytest.mark.parametrize("D", range(4, 11))
def test_expectations(lab, D):
    laws = list(random_laws(D))
    exact = [pigmm.expectation(explore_knobs.paper_order(), pigmm.GaussianMatrixModel(f, D)) for f in laws]
    found = js(lab, "x.laws.map((f) => core.knobs.expectations(f, x.D))", {"laws": laws, "D": D})
    np.testing.assert_allclose(found, exact, rtol=1e-9, atol=1e-9)


@pytest.mark.parametrize("D", range(4, 11))
def test_same_noise_same_matrix(lab, D):
    for seed, f in enumerate(random_laws(D, 5)):
        noise = np.random.default_rng(seed).standard_normal((3, D, D))  # as MatrixLaw.sample draws it
        expected = pigmm.GaussianMatrixModel(f, D).sample(3, seed)
        found = js(lab, "x.noise.map((Z) => core.knobs.sample(x.f, Z))", {"f": f, "noise": noise.tolist()})
        np.testing.assert_allclose(found, expected, rtol=0, atol=1e-11)
        values = js(lab, "x.map(core.knobs.invariants)", expected.tolist())
        np.testing.assert_allclose(values, pigmm.evaluate(explore_knobs.paper_order(), expected), rtol=1e-9, atol=1e-9)


def test_projection_is_that_of_the_package(lab):
    W = np.random.default_rng(4).normal(size=(1, 7, 7))
    x, u, S, A = Diagonal(7).project(W)
    found = js(lab, "core.knobs.project(x)", W[0].tolist())
    for name, expected in (("x", x.ravel()), ("u", u[0]), ("S", S.reshape(7, 7)), ("A", A.reshape(7, 7))):
        np.testing.assert_allclose(found[name], expected, atol=1e-13)


def test_which_knob_moves_what(lab):
    f = np.array(next(random_laws(8)))
    for k in range(13):
        step = 1e-3 * np.eye(13)[k]
        laws = [pigmm.GaussianMatrixModel(f + sign * step, 8) for sign in (1, -1)]
        up, down = (pigmm.expectation(explore_knobs.paper_order(), law) for law in laws)
        assert js(lab, "core.knobs.moves(x, 8)", k) == (abs(up - down) > 1e-9).tolist()


def test_possible_laws_are_those_of_the_package(lab):
    rng = np.random.default_rng(7)
    near = [np.array(f) + rng.normal(scale=0.3, size=13) for f in random_laws(5, 150)]
    edges = [
        [0, 0, 1, 1, 1, 1, 0, 0, 1, 0, 1, 1, 1], [0, 0, 1, 1.001, 1, 1, 0, 0, 1, 0, 1, 1, 1], [0] * 13,
        [0, 0, 1, 0, 1, 1, 1, 1, 1, 1, 1, 1, 1], [0, 0, 1, 0, 1, 1, 1, 1, 1, -1, 1, 1, 1], [0] * 12 + [-1e-9],
    ]  # fmt: skip
    tried = [[float(x) for x in f] for f in (*near, *edges)]
    answers = [possible(f) for f in tried]
    assert 30 < sum(answers) < len(tried) - 30
    assert js(lab, "x.map(core.knobs.valid)", tried) == answers


def test_a_knob_may_move_exactly_as_far_as_there_is_a_law(lab):
    ends = 0
    finite = "core.knobs.allowed(x, k).map((y) => Number.isFinite(y) ? y : null)"
    for f in random_laws(6):
        for k, (low, high) in enumerate(js(lab, f"x.map((_, k) => {finite})", f)):
            for end, way in ((low, -1), (high, 1)):
                if end is None:
                    continue
                inside, outside = list(f), list(f)
                inside[k], outside[k] = end, end + way * (1e-5 + 1e-3 * abs(f[k]))
                assert possible(inside), (k, end)
                assert not possible(outside), (k, end)
                ends += 1
            assert (low is None and high is None) == (k < 2)
    assert ends == TRIALS * (7 * 1 + 4 * 2)  # seven variances, four covariances


MATRICES = {
    "symmetric": lambda rng: (lambda A: A + A.T)(rng.normal(size=(8, 8))),
    "antisymmetric": lambda rng: (lambda A: A - A.T)(rng.normal(size=(7, 7))),
    "cycle": lambda rng: np.roll(np.eye(6), 1, axis=0),
    "two cycles": lambda rng: np.kron(np.eye(2), np.roll(np.eye(4), 1, axis=1)),
    "zero": lambda rng: np.zeros((5, 5)),
    "rank one": lambda rng: np.ones((9, 9)),
    "triangular": lambda rng: np.triu(rng.normal(size=(6, 6))),
    "badly scaled": lambda rng: rng.normal(size=(6, 6)) * 10.0 ** rng.uniform(-6, 6, size=(6, 1)),
    "one by one": lambda rng: np.array([[3.0]]),
}


@pytest.mark.parametrize("kind", [*MATRICES, *(f"random {D}" for D in range(2, 11))])
def test_eigenvalues(lab, kind):
    rng = np.random.default_rng(11)
    D = kind.removeprefix("random ")
    batch = [MATRICES[kind](rng)] if kind in MATRICES else rng.normal(size=(20, int(D), int(D)))
    for W in batch:
        found = np.array(js(lab, "core.knobs.eigenvalues(x)", W.tolist())) @ [1, 1j]
        apart = abs(found[:, None] - np.linalg.eigvals(W))
        assert apart[linear_sum_assignment(apart)].max() < 1e-9 * max(1, abs(W).max())


# ---- data


def test_data_files_are_small_scripts_with_the_numbers_of_the_package(knobs):
    files = explore_knobs.files()
    assert sum(len(text.encode()) for text in files.values()) < 400_000
    page = js(knobs, "core.data.knobs")
    assert [f"{entry['name']:<3} {entry['law']}" for entry in page["parameters"]] == list(PARAMETERS)
    assert [f"I{entry['alias']}" for entry in page["invariants"]] == [f"I{k + 1}" for k in range(13)]
    assert {entry["name"] for entry in page["archives"]} == set(explore_knobs.films())
    for name, film in explore_knobs.films().items():
        for layer, laws in film["layers"].items():
            assert len(laws) == pigmm.shelf.published_config(name).epochs + 1
            assert all(possible(f, film["dims"][layer]) for f in laws)
    for name in ("digits", "mnist-uniform-l2"):
        archive = pigmm.load(name)
        for layer, laws in explore_knobs.films()[name]["layers"].items():
            for epoch in (0, len(laws) - 1):
                np.testing.assert_allclose(laws[epoch], archive.model(epoch, int(layer[1:]) - 1).parameters, rtol=6e-5)
    assert page["films"] == {}  # until one is chosen


def test_every_explorable_has_its_files():
    assert {"knobs", "relabel"} <= set(explorables.explorables())
    for name in ("knobs", "relabel"):
        assert f"data-{name}.js" in explorables.data_files(name)
        assert (explorables.STATIC / f"{name}.js").is_file()


# ---- the page of the knobs


def drawn_again(page, action):
    """Do something, and wait until the pictures have followed."""
    count = page.evaluate("document.querySelector('.ex-stage').dataset.drawn")
    action()
    page.wait_for_function("(n) => document.querySelector('.ex-stage').dataset.drawn !== n", arg=count)


def chooser(page, name):
    return page.get_by_role("combobox", name=name)


def knob(page, name):
    return page.locator(f"[data-knob={name}] input[type=range]")


def field(page, name):
    return page.locator(f"[data-knob={name}] input[type=number]")


def colours(page):
    squares = ".ex-heatmap rect:not(.ex-bar):not(.ex-frame)"
    return page.eval_on_selector_all(squares, "(r) => r.map((x) => x.style.fill)")


def column(page, number):
    texts = page.locator(f".kn-averages tbody tr > :nth-child({number})").all_text_contents()
    return [text.replace("−", "-") for text in texts]


def shown_matrix(page):
    """The matrix as the table says it."""
    page.evaluate("[...document.querySelectorAll('details')].forEach((d) => (d.open = true))")
    page.wait_for_function("document.querySelector('.ex-numbers tbody').rows.length > 0")
    code = "(b) => [...b.rows].map((r) => [...r.cells].slice(1, -1).map((c) => c.textContent))"
    rows = page.eval_on_selector(".ex-numbers tbody", code)
    return np.array([[float(x.replace("−", "-")) for x in row if x] for row in rows])


def test_the_matrix_shown_is_drawn_from_the_law_with_the_seed(knobs):
    drawn_again(knobs, lambda: knobs.get_by_role("button", name="Draw again").click())
    assert knobs.get_by_role("spinbutton", name="Seed").input_value() == "2"
    Z = np.array(js(knobs, "core.random(2).matrix(6)"))
    np.testing.assert_allclose(shown_matrix(knobs), Z / math.sqrt(6), atol=6e-4)  # independent entries of variance 1/6


def test_averages_of_draws_agree_with_exact_ones(knobs):
    drawn_again(knobs, lambda: (field(knobs, "f4").fill("0.1"), field(knobs, "f4").blur()))
    exact = [float(text) for text in column(knobs, 3)]
    law = pigmm.GaussianMatrixModel([0, 0, 1 / 6, 0.1, 1 / 6, 1 / 6, 0, 0, 1 / 6, 0, 1 / 6, 1 / 6, 1 / 6], 6)
    np.testing.assert_allclose(exact, pigmm.expectation(explore_knobs.paper_order(), law), atol=6e-3)
    for value, text in zip(exact, column(knobs, 5), strict=True):
        mean, error = (float(part) for part in text.split("±"))
        assert abs(mean - value) < 4.5 * error
    grown = [k + 1 for k, text in enumerate(column(knobs, 4)) if text != "·"]
    assert grown == [5, 6, 11, 12, 13]  # those in which the diagonal meets the sum of all entries


def test_a_knob_is_turned_with_the_keyboard(knobs):
    before, exact = colours(knobs), column(knobs, 3)
    knob(knobs, "f3").focus()
    drawn_again(knobs, lambda: knobs.keyboard.press("Home"))
    knob(knobs, "f1").focus()
    drawn_again(knobs, lambda: knobs.keyboard.press("ArrowRight"))
    assert float(field(knobs, "f1").input_value()) == pytest.approx(0.02)
    drawn_again(knobs, lambda: knobs.keyboard.press("End"))
    assert float(field(knobs, "f1").input_value()) == 2
    assert colours(knobs) != before
    assert float(column(knobs, 3)[1]) == 12  # the sum of all entries is D f1
    assert column(knobs, 3) != exact
    assert chooser(knobs, "Law").input_value() == "own"
    far = re.search(r"modulus is ([\d.]+\d)", knobs.locator(".kn-spectrum").get_attribute("aria-label"))
    assert abs(float(far[1]) - 2) < 0.5  # one eigenvalue has left the others


def test_the_knob_in_hand_says_which_averages_it_moves(knobs):
    knob(knobs, "f7").focus()
    marked = [name for name, mark in zip(column(knobs, 1), column(knobs, 2), strict=True) if mark == "◆"]
    assert [re.search(r"I\d+", name)[0] for name in marked] == ["I4", "I5", "I6", "I9", "I11"]
    assert "moves 5 of the 13" in knobs.locator(".kn-moves").text_content()


@pytest.mark.parametrize(("name", "typed", "kept", "words"), [
    ("f4", "0.4", 1 / 6, "f₄² ≤ f₃ f₅"), ("f7", "-0.4", -1 / 6, "f₇² ≤ f₆ f₉"), ("f12", "0", 1e-6, "variance"),
    ("f3", "0", 1e-6, "variance"),
])  # fmt: skip
def test_a_knob_stops_where_there_is_no_law(knobs, name, typed, kept, words):
    field(knobs, name).fill(typed)
    drawn_again(knobs, lambda: field(knobs, name).blur())
    assert float(field(knobs, name).input_value()) == pytest.approx(kept, rel=1e-4)
    warning = knobs.locator(".kn-warning:visible")
    assert words in warning.text_content()
    drawn_again(knobs, lambda: (field(knobs, "f2").fill("0.5"), field(knobs, "f2").blur()))
    assert warning.count() == 0


def test_the_determinant_binds_when_the_couplings_are_not_zero(knobs):
    for name, value in (("f7", "0.1"), ("f8", "0.1")):
        field(knobs, name).fill(value)
        field(knobs, name).blur()
    knob(knobs, "f10").focus()
    drawn_again(knobs, lambda: knobs.keyboard.press("Home"))
    low = 0.06 - (1 / 6 - 0.06)  # det T = 0, solved for T23
    assert float(field(knobs, "f10").input_value()) == pytest.approx(low, abs=1e-5)
    assert "determinant" in knobs.locator(".kn-warning:visible").text_content()
    knob(knobs, "f6").focus()
    drawn_again(knobs, lambda: knobs.keyboard.press("Home"))
    f = [float(field(knobs, f"f{k}").input_value()) for k in range(1, 14)]
    assert possible([f[k] + 1e-5 * (k in (5, 8, 10)) for k in range(13)])


def test_a_preset_sets_every_knob_to_the_fitted_parameters(knobs):
    drawn_again(knobs, lambda: chooser(knobs, "Law").select_option("digits-recurrent"))
    archive = pigmm.load("digits-recurrent")

    def expect(epoch, layer):
        f = [float(field(knobs, f"f{k}").input_value()) for k in range(1, 14)]
        np.testing.assert_allclose(f, archive.model(epoch, layer).parameters, rtol=1e-4)

    assert chooser(knobs, "Size").input_value() == "10"
    expect(archive.epochs, 0)
    drawn_again(knobs, lambda: chooser(knobs, "Layer").select_option("L2"))
    expect(archive.epochs, 1)
    knobs.get_by_label("Epoch", exact=True).focus()
    drawn_again(knobs, lambda: knobs.keyboard.press("Home"))
    expect(0, 1)
    drawn_again(knobs, lambda: chooser(knobs, "Law").select_option("uniform"))
    assert float(field(knobs, "f13").input_value()) == pytest.approx(1 / 30, rel=1e-3)
    assert not chooser(knobs, "Layer").is_visible()


def test_a_law_that_cannot_be_loaded_is_said_and_leaves_the_knobs(knobs):
    before = field(knobs, "f3").input_value()
    knobs.evaluate("() => { pigmmExplore.load = () => Promise.reject(new Error('cannot load it')); }")
    chooser(knobs, "Law").select_option("digits-recurrent")
    knobs.get_by_text("cannot load it").wait_for()
    assert chooser(knobs, "Law").input_value() == "own"
    assert field(knobs, "f3").input_value() == before


def test_seeds_are_kept_within_their_range(knobs):
    seed = knobs.get_by_label("Seed", exact=True)
    for given, kept in (("7", "7"), ("", "7"), ("-3", "0"), ("4294967295", "4294967295")):
        seed.fill(given)
        seed.press("Enter")
        assert seed.input_value() == kept
    knobs.get_by_role("button", name="Draw again").click()
    assert seed.input_value() == "0"


def test_sizes_and_the_average(knobs):
    drawn_again(knobs, lambda: chooser(knobs, "Size").select_option("9"))
    assert len(colours(knobs)) == 81
    assert float(field(knobs, "f3").input_value()) == pytest.approx(1 / 9, rel=1e-3)
    drawn_again(knobs, lambda: (field(knobs, "f1").fill("1.8"), field(knobs, "f1").blur()))
    drawn_again(knobs, lambda: knobs.get_by_role("button", name="Average of 1000").click())
    assert abs(shown_matrix(knobs) - 0.2).max() < 5 * math.sqrt(1 / 9 / 1000)  # every entry has mean f1/D
    assert knobs.get_by_role("button", name="Average of 1000").get_attribute("aria-pressed") == "true"


# ---- the page of relabelling


def entries(page):
    """The matrix as it lies on the board, from the places of its cells."""
    code = "(c) => c.map((x) => [x.textContent, ...x.style.transform.match(/\\d+/g)])"
    cells = page.eval_on_selector_all(".rl-cell", code)
    D = math.isqrt(len(cells))
    W = np.zeros((D, D), int)
    for text, across, down in cells:
        W[int(down) // 100 - 1, int(across) // 100 - 1] = int(text.replace("−", "-"))
    return W


def listed(page):
    """Name → (before, now, mark)."""
    code = """(rows) => rows.map((row) => [row.dataset.name, row.cells[1].textContent,
      ...["value", "mark"].map((part) => row.querySelector(`.rl-${part}`).textContent)])"""
    rows = page.eval_on_selector_all("tr[data-name]", code)
    return {name: (int(was.replace("−", "-")), int(now.replace("−", "-")), mark) for name, was, now, mark in rows}


def others(W):
    """The four numbers that are no invariants."""
    minor = W[0, 0] * W[1, 1] - W[0, 1] * W[1, 0]
    return {"corner": W[0, 0], "first": abs(W[0]).sum(), "minor": minor, "above": np.triu(W, 1).sum()}


def check_list(page, start, bipartite_only=False):
    """Every value is that of the package, every mark tells the truth."""
    now, values = entries(page), listed(page)
    names = [entry["name"] for entry in explore_relabel.listed()]
    before, after = (dict(zip(names, pigmm.evaluate(names, W)[0], strict=True)) | others(W) for W in (start, now))
    assert set(values) == set(after)
    for name, (was, is_now, mark) in values.items():
        assert (was, is_now) == (before[name], after[name])
        kept = name in names and (not bipartite_only or pigmm.InvariantGraph(name).sides is not None)
        expected = "≠ moved" if was != is_now else "✓ stays" if kept else "= same here"
        assert mark == expected, name
        assert not (kept and was != is_now)
    return values


@pytest.mark.parametrize("D", [4, 5, 6, 7, 8])
def test_together_no_invariant_moves(relabel, D):
    chooser(relabel, "Size").select_option(str(D))
    start = entries(relabel)
    assert start.shape == (D, D)
    check_list(relabel, start)
    for _ in range(3):
        relabel.get_by_role("button", name="Shuffle").click()
    now = entries(relabel)
    assert not np.array_equal(now, start)
    assert sorted(np.diag(now)) == sorted(np.diag(start))
    values = check_list(relabel, start)
    assert any(values[key][2] == "≠ moved" for key in others(start))


def test_separately_only_bipartite_graphs_stay(relabel):
    start = entries(relabel)
    relabel.get_by_role("button", name="Separately").click()
    relabel.get_by_role("button", name="Shuffle").click()
    values = check_list(relabel, start, bipartite_only=True)
    quadratic = [graph.name for graph in pigmm.invariant_graphs(2)]
    assert sum(values[name][2] == "✓ stays" for name in quadratic) == 4
    assert sum(values[name][2] == "≠ moved" for name in quadratic) >= 5
    assert "quadratic graphs have moved" in relabel.locator(".rl-verdict").text_content()


def test_a_neuron_is_moved_with_the_keyboard_and_back(relabel):
    start = entries(relabel)
    handle = relabel.get_by_role("button", name="Neuron A, row 1 of 5")
    handle.focus()
    relabel.keyboard.press("ArrowDown")
    relabel.keyboard.press("ArrowDown")
    order = [1, 2, 0, 3, 4]
    np.testing.assert_array_equal(entries(relabel), start[np.ix_(order, order)])
    assert relabel.evaluate("document.activeElement.getAttribute('aria-label')").startswith("Neuron A, row 3 of 5")
    relabel.wait_for_function("document.querySelector('.ex-said').textContent.includes('Neuron A is now number 3')")
    relabel.keyboard.press("Home")
    np.testing.assert_array_equal(entries(relabel), start)
    relabel.get_by_role("button", name="Undo").click()
    np.testing.assert_array_equal(entries(relabel), start[np.ix_(order, order)])
    relabel.get_by_role("button", name="Start again").click()
    np.testing.assert_array_equal(entries(relabel), start)
    assert relabel.get_by_role("button", name="Undo").is_disabled()


@pytest.mark.parametrize("together", [True, False])
def test_a_column_is_dragged(relabel, together):
    if not together:
        relabel.get_by_role("button", name="Separately").click()
    start = entries(relabel)
    box = relabel.locator(".rl-board").bounding_box()
    unit = box["width"] / 6
    relabel.mouse.move(box["x"] + 1.5 * unit, box["y"] + 0.5 * unit)
    relabel.mouse.down()
    for step in (2, 3, 4.5):
        relabel.mouse.move(box["x"] + step * unit, box["y"] + 0.6 * unit)
    relabel.mouse.up()
    order = [1, 2, 3, 0, 4]
    np.testing.assert_array_equal(entries(relabel), start[np.ix_(order if together else range(5), order)])
    assert relabel.locator(".rl-handle[aria-pressed=true]").count() == 0  # a drag is no choice
    relabel.get_by_role("button", name="Undo").click()  # one drag, one step
    np.testing.assert_array_equal(entries(relabel), start)
    relabel.locator(".rl-handle.rl-column").first.click()
    assert relabel.locator(".rl-handle.rl-column[aria-pressed=true]").count() == 1  # a click is one


def test_a_neuron_is_chosen_and_moved_with_buttons(relabel):
    start = entries(relabel)
    assert relabel.get_by_role("button", name="Later ▶").is_disabled()
    relabel.get_by_role("button", name="Neuron D, column 4 of 5").click()
    relabel.get_by_role("button", name="◀ Earlier").click()
    order = [0, 1, 3, 2, 4]
    np.testing.assert_array_equal(entries(relabel), start[np.ix_(order, order)])
    assert relabel.get_by_role("button", name="Later ▶").is_enabled()


def test_challenges(relabel):
    def states():
        return [("✓" in text) for text in relabel.locator(".rl-challenges b").all_text_contents()]

    start = entries(relabel)
    assert states() == [False] * 4
    for _ in range(8):
        relabel.get_by_role("button", name="Shuffle").click()
        heavy = abs(entries(relabel)).sum(axis=1)
        assert states() == [False, False, False, heavy[0] == heavy.max()]
    relabel.get_by_role("button", name="Separately").click()
    row, where = (int(k) for k in np.unravel_index(start.argmax(), start.shape))
    relabel.locator(".rl-handle.rl-row").nth(row).focus()
    relabel.keyboard.press("Home")
    relabel.locator(".rl-handle.rl-column").nth(where).focus()
    relabel.keyboard.press("Home")
    assert entries(relabel)[0, 0] == start.max()
    assert states()[1]


def test_the_largest_trace_is_that_of_the_best_assignment(lab):
    rng = np.random.default_rng(3)
    for D in (4, 6, 8):
        W = rng.integers(-9, 10, size=(D, D))
        best = W[linear_sum_assignment(W, maximize=True)].sum()
        assert js(lab, "core.relabel.largestTrace(x)", W.tolist()) == best


# ---- for everyone: phones, keyboards, screen readers, the dark


def stop_a_knob(page):
    field(page, "f4").fill("0.45")
    field(page, "f4").blur()


def shuffle_separately(page):
    for name in ("Separately", "Shuffle"):
        page.get_by_role("button", name=name).click()
    page.locator(".rl-handle").first.click()


STATES = {"knobs": stop_a_knob, "relabel": shuffle_separately}


@pytest.mark.parametrize("theme", ["light", "dark"])
@pytest.mark.parametrize("name", STATES)
def test_axe_finds_nothing_serious(page, tmp_path, name, theme):
    open_page(page, tmp_path, name, theme)
    STATES[name](page)
    page.evaluate("[...document.querySelectorAll('details')].forEach((d) => (d.open = true))")
    page.wait_for_timeout(400)
    found = Axe().run(page, options={"preload": False}).response["violations"]
    assert [(v["id"], v["nodes"][0]["html"][:200]) for v in found if v["impact"] in ("serious", "critical")] == []


@pytest.mark.parametrize("theme", ["light", "dark"])
def test_numbers_on_colours_can_be_read(page, tmp_path, theme):
    open_page(page, tmp_path, "relabel", theme)
    code = """() => {
      const pen = document.createElement("canvas").getContext("2d", { willReadFrequently: true });
      const light = (css) => {
        pen.fillStyle = css; pen.fillRect(0, 0, 1, 1);
        const [r, g, b] = [...pen.getImageData(0, 0, 1, 1).data].map((x) => x / 255)
          .map((x) => (x <= 0.04045 ? x / 12.92 : ((x + 0.055) / 1.055) ** 2.4));
        return 0.2126 * r + 0.7152 * g + 0.0722 * b + 0.05;
      };
      return [...document.querySelectorAll(".rl-cell > span")].map((cell) => {
        const [a, b] = [light(getComputedStyle(cell).color), light(getComputedStyle(cell).backgroundColor)];
        return Math.max(a, b) / Math.min(a, b);
      });
    }"""
    assert min(page.evaluate(code)) > 4.5


@pytest.mark.parametrize("name", STATES)
def test_nothing_is_wider_than_a_phone(page, tmp_path, name):
    page.set_viewport_size({"width": 390, "height": 844})
    open_page(page, tmp_path, name)
    STATES[name](page)
    page.evaluate("[...document.querySelectorAll('details')].forEach((d) => (d.open = true))")
    assert page.evaluate("document.documentElement.scrollWidth") == 390


# ---- in the book


def run_sphinx(source, out, builder):
    """Build with our extension alone, for one explorable alone; a warning is an error."""
    from sphinx.application import Sphinx
    from sphinx.util.docutils import docutils_namespace, patch_docutils

    with pytest.MonkeyPatch.context() as patch, patch_docutils(), docutils_namespace():
        patch.setattr(explorables, "explorables", lambda: ["relabel"])
        Sphinx(source, source, out, out / "doctrees", builder, status=None, warning=None, warningiserror=True).build()


@pytest.fixture(scope="module")
def built(tmp_path_factory):
    """Two pages built by Sphinx, one of them with an explorable."""
    source, out = tmp_path_factory.mktemp("source"), tmp_path_factory.mktemp("out")
    (source / "conf.py").write_text("extensions = ['explorables']\nhtml_theme = 'basic'\n")
    (source / "index.rst").write_text("Start\n=====\n\nNothing to play with.\n\n.. toctree::\n\n   play\n")
    (source / "play.rst").write_text("Play\n====\n\n.. explorable:: relabel\n\n   What it **shows**.\n")
    run_sphinx(source, out, "html")
    return out


def test_a_page_gets_the_files_of_its_explorable_and_no_other_page_does(built):
    html = (built / "play.html").read_text()
    assert '<div class="explorable" data-explorable="relabel">' in html
    assert "What it <strong>shows</strong>." in html
    assert "<noscript>" in html
    loaded = re.findall(r'<script[^>]*defer[^>]*src="_static/explore/([^"?]+)', html)
    assert loaded == ["core.js", "data-relabel.js", "relabel.js"]
    assert re.findall(r'href="_static/explore/([^"?]+)', html) == ["explore.css", "relabel.css"]
    assert "explore/" not in (built / "index.html").read_text()
    for name, text in explore_relabel.files().items():
        assert (built / "_static" / "explore" / name).read_text(encoding="utf8") == text


def test_the_built_page_runs_from_a_file(built, page):
    page.goto((built / "play.html").as_uri())
    page.wait_for_selector(".explorable.ex-live")
    assert page.locator(".explorable > p").count() == 0
    assert len(listed(page)) == len(explore_relabel.listed()) + 4


def test_an_unknown_explorable_is_an_error(tmp_path):
    from sphinx.errors import SphinxWarning

    (tmp_path / "conf.py").write_text("extensions = ['explorables']\n")
    (tmp_path / "index.rst").write_text("Start\n=====\n\n.. explorable:: knob\n\n   Words.\n")
    with pytest.raises(SphinxWarning, match="no explorable 'knob'"):
        run_sphinx(tmp_path, tmp_path / "out", "text")


def test_assigned_text_is_json_and_nothing_else():
    value = {"a": "</script>é", "b": [1.5]}
    text = explore_knobs.assign("x", value)
    assert json.loads(text.removeprefix("pigmmExplore.data.x = ").removesuffix(";\n")) == value
    with pytest.raises(ValueError, match="JSON"):
        explore_knobs.assign("x", math.nan)
