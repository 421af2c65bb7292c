"""The explorables "Wick by graph" and "The training film": the package's numbers, and pages that do what they say."""

import json
import re
from itertools import product
from pathlib import Path

import explorables
import numpy as np
import pytest
from axe_playwright_python.sync_playwright import Axe

import pigmm
from pigmm import claims, evolution, explore_film, explore_wick
from pigmm.layout import archived_graphs

from .explore_page import write_page
from .slow_twins import partial_matchings

GRAPHS = archived_graphs()
NAMES = [graph.name for graph in GRAPHS]
FILMS = ("mnist-gaussian", "digits-recurrent", "mnist-width-640")  # the others are made alike
PREDICT = (
    "([names, kind, f, D]) => { const w = pigmmExplore.wick, law = w[kind](f, D);"
    " return names.map((name) => w.predict(name, law, D)); }"
)
PROSE = Path(__file__).parents[1] / "book" / "explore"


@pytest.fixture(scope="module")
def archives():
    return {name: pigmm.load(name) for name in FILMS}


@pytest.fixture(scope="module")
def films():
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(explore_film, "published", lambda: FILMS)
        return explore_film.files()


@pytest.fixture(scope="module")
def graphs_and_laws():
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(explore_wick, "LAWS", [place for place in explore_wick.LAWS if place[0] in FILMS])
        return explore_wick.files()


@pytest.fixture(scope="module")
def pages(films, graphs_and_laws, tmp_path_factory):
    """Addresses of the two pages in two themes, with the data of some archives."""
    data = {"wick": graphs_and_laws, "film": films}
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(explorables, "data_files", data.get)
        folder = tmp_path_factory.mktemp("explore")
        return {(name, theme): write_page(folder, name, theme) for name in data for theme in ("light", "dark")}


def opened(page, pages, name, state="", theme="light"):
    page.emulate_media(reduced_motion="reduce")  # nothing is under way when it is looked at
    page.goto("about:blank")
    page.goto(pages[name, theme] + state)
    page.wait_for_selector(".explorable.ex-live")
    if name == "film":
        page.wait_for_selector(".tf-layers button")
    return page


def random_law(D, seed):
    rng = np.random.default_rng([seed, D])
    A, B = rng.normal(size=(2, 2)), rng.normal(size=(3, 3))
    S, T = A @ A.T + 0.01 * np.eye(2), B @ B.T + 0.01 * np.eye(3)
    f = [*rng.normal(size=2), *S[np.triu_indices(2)], *T[np.triu_indices(3)], *rng.uniform(0.1, 2, 2)]
    return pigmm.GaussianMatrixModel(np.array(f), D)


def shown(text):
    """A number as it is written on the page, and half of its last digit."""
    head, power = re.fullmatch(r"([−\d.]+)(?:·10([⁻⁰¹²³⁴⁵⁶⁷⁸⁹]+))?", text.strip()).groups()
    scale = 10.0 ** int((power or "⁰").translate(str.maketrans("⁻⁰¹²³⁴⁵⁶⁷⁸⁹", "-0123456789")))
    decimals = len(head.partition(".")[2])
    return float(head.replace("−", "-")) * scale, 0.5 * 10.0**-decimals * scale


def agrees(text, value):
    """The page writes this value, rounded once for the file and once for the reader."""
    number, half = shown(text)
    return abs(number - value) <= 1.02 * half + 6e-5 * abs(value)


def test_values_with_errors_are_written_as_in_the_chapters(page, pages):
    opened(page, pages, "wick")
    cases = [(1.23456, 0.0321), (-1234.6, 67.8), (0.0123, 0.00045), (0.0, 0.5), (0.2, 3.0), (99_999.0, 1.0)]
    texts = page.evaluate("(list) => list.map(([v, e]) => pigmmExplore.measured(v, e))", cases)
    assert texts == [claims.measured(*case).replace("-", "−") for case in cases]
    others = "[[-1.234e-5, 4.5e-7], [2.5e7, 3e5], [0.5, 0], [0.5, NaN]]"
    small = page.evaluate(f"{others}.map(([v, e]) => pigmmExplore.measured(v, e))")
    assert small == ["(−1.234 ± 0.045)·10⁻⁵", "(2.500 ± 0.030)·10⁷", "0.5000", "0.5000"]


# ---- Wick by graph: the sum


@pytest.mark.parametrize("D", [4, 7, 10])
def test_sums_are_the_expectations(page, pages, D):
    opened(page, pages, "wick")
    law = random_law(D, 1)
    found = page.evaluate(PREDICT, [NAMES, "thirteen", law.parameters.tolist(), D])
    np.testing.assert_allclose(found, pigmm.expectation(GRAPHS, law), rtol=1e-9)


def test_sums_of_the_smaller_laws(page, pages):
    opened(page, pages, "wick")
    simple, two = pigmm.SimpleGaussian(0.3, 0.7, shape=9), pigmm.TwoSidedGaussian([0.2, 0.9, 0.4, 0.8, 0.5], (9, 9))
    for law, kind, f in ((simple, "independent", [0.3, 0.7]), (two, "twoSided", two.parameters.tolist())):
        found = page.evaluate(PREDICT, [NAMES, kind, f, 9])
        np.testing.assert_allclose(found, pigmm.expectation(GRAPHS, law), rtol=1e-9)


def dense(law):
    """Mean (D, D) and covariance (D, D, D, D) of the entries, from the projections of unit matrices."""
    D = law.dim
    units = np.eye(D * D).reshape(-1, D, D)
    mean, covariance = 0, 0
    for part, (m, C) in zip(law.decomposition.project(units), law.blocks(), strict=True):
        mean = mean + part[:, :, 0] @ m
        covariance = covariance + np.einsum("xai,ab,ybi->xy", part, C, part)
    return mean.reshape(D, D), covariance.reshape(D, D, D, D)


def subtotal(graph, blocks, mean, covariance):
    """What one pairing adds: the sum over all indices of means and covariances, without any deltas."""
    operands = []
    for block in blocks:
        operands += [mean if len(block) == 1 else covariance, [n for e in block for n in graph.edges[e]]]
    return float(np.einsum(*operands, [], optimize=True))


def test_every_pairing_adds_what_it_should(page, pages):
    """Against means and covariances of all entries, written out: nothing about mergers goes into this."""
    opened(page, pages, "wick")
    law = random_law(4, 2)
    mean, covariance = dense(law)
    quartic = [graph for graph in GRAPHS if graph.degree == 4]
    chosen = np.random.default_rng(0).choice(quartic, 50, replace=False)
    some = [*(graph for graph in GRAPHS if graph.degree < 4), *chosen]
    code = (
        "([names, f, D]) => { const w = pigmmExplore.wick, law = w.thirteen(f, D); return names.map((n) => "
        "w.contributions(n, law, D).map((p) => [p.blocks, p.subtotal])); }"
    )
    found = page.evaluate(code, [[graph.name for graph in some], law.parameters.tolist(), 4])
    for graph, pairs in zip(some, found, strict=True):
        assert len(pairs) == {1: 1, 2: 2, 3: 4, 4: 10}[graph.degree]
        wanted = {tuple(sorted(blocks)) for blocks in partial_matchings(list(range(graph.degree)))}
        assert {tuple(sorted(map(tuple, blocks))) for blocks, _ in pairs} == wanted
        for blocks, value in pairs:
            assert value == pytest.approx(subtotal(graph, blocks, mean, covariance), rel=1e-9, abs=1e-11), graph.name


def test_groups_are_mergers(page, pages):
    """Within a pairing: what is left, how many terms, and weight times D to the power of the nodes left."""
    opened(page, pages, "wick")
    law = random_law(7, 3)
    code = "([n, f, D]) => pigmmExplore.wick.contributions(n, pigmmExplore.wick.thirteen(f, D), D)"
    (alone, paired) = page.evaluate(code, ["01.12", law.parameters.tolist(), 7])
    assert [len(part["groups"]) for part in (alone, paired)] == [4, 5]  # partitions of three nodes: all five, or four
    assert [sum(len(group["terms"]) for group in part["groups"]) for part in (alone, paired)] == [4, 15]
    for group in alone["groups"] + paired["groups"]:
        assert group["left"] == len(set(group["labels"]))
        assert group["value"] == pytest.approx(group["weight"] * 7 ** group["left"])
        assert group["weight"] == pytest.approx(sum(term["weight"] for term in group["terms"]))
    four = page.evaluate(code, ["01+01+01+01", law.parameters.tolist(), 7])
    assert sum(len(group["terms"]) for part in four for group in part["groups"]) == 1051


def test_laws_that_are_none_are_refused(page, pages):
    opened(page, pages, "wick")
    rng, verdicts = np.random.default_rng(4), []
    for _ in range(200):
        f = random_law(6, int(rng.integers(1 << 30))).parameters + 0.6 * rng.normal(size=13)
        try:
            pigmm.GaussianMatrixModel(f, 6)
            verdicts.append((f.tolist(), True))
        except pigmm.PigmmError:
            verdicts.append((f.tolist(), False))
    code = "(list) => list.map((f) => pigmmExplore.wick.fault('full', f) === '')"
    found = page.evaluate(code, [f for f, _ in verdicts])
    assert found == [proper for _, proper in verdicts]
    assert 20 < sum(found) < 180


def test_what_was_measured_stands_where_its_number_says(page, pages, archives):
    """All bars have one scale: zero and the sum tell where the measured value belongs, and how long its error is."""
    opened(page, pages, "wick", "#wick=01.01.12,mnist-gaussian.L3.50,merge,0")
    table = archives["mnist-gaussian"].comparison(50, 2).set_index("name").loc["01.01.12"]
    box = "(node) => [parseFloat(node.style.left), parseFloat(node.style.width || 0)]"
    zero, _ = page.locator(".wk-zero").first.evaluate(box)
    bar = page.locator(".wk-bar.wk-total")
    left, width = bar.evaluate(box)
    negative = bar.evaluate("(node) => node.classList.contains('wk-minus')")
    assert left + width * negative == pytest.approx(zero, abs=1e-9)
    unit = width / abs(table["predicted"])
    left, width = page.locator(".wk-bar.wk-measured").evaluate(box)
    assert left + width / 2 == pytest.approx(zero + unit * table["measured"], rel=2e-3)
    assert width == pytest.approx(2 * unit * table["se"], rel=6e-3)
    assert abs(table["measured"] / table["se"]) > 5  # else a bar at zero would pass


def test_laws_of_published_ensembles(graphs_and_laws, archives):
    text = graphs_and_laws["data-wick.js"]
    data = json.loads(text[text.index("{") : -2])
    assert [tuple(graph) for graph in data["graphs"]] == [(graph.name, graph.paper_index or 0) for graph in GRAPHS]
    assert {law["key"].split(".")[0] for law in data["laws"]} == set(FILMS)
    assert len(text) < 150_000
    law = next(law for law in data["laws"] if law["key"] == "mnist-gaussian.L3.50")
    table = archives["mnist-gaussian"].comparison(50, 2)
    np.testing.assert_allclose(law["f"], archives["mnist-gaussian"].model(50, 2).parameters, rtol=1e-11)
    np.testing.assert_allclose(law["measured"], table["measured"], rtol=1e-6)
    np.testing.assert_allclose(law["se"], table["se"], rtol=5e-3)


# ---- Wick by graph: the page


def running(page):
    return shown(page.locator(".wk-count").inner_text().split("total ")[1])[0]


def test_steps_add_up(page, pages, archives):
    opened(page, pages, "wick", "#wick=01.12.20,mnist-gaussian.L1.50,merge,0")
    predicted = float(pigmm.expectation("01.12.20", archives["mnist-gaussian"].model(50, 0))[0])
    steps, added = int(page.locator(".wk-count").inner_text().split()[3]), 0.0
    assert page.locator(".wk-jump").count() == 4
    assert running(page) == 0
    for _ in range(steps):
        page.get_by_role("button", name="Next").click()
        if said := re.search(r"This adds \+?(\S+)\.$", page.locator(".wk-words").inner_text()):
            added += shown(said[1])[0]
        assert running(page) == pytest.approx(added, abs=2e-3 * abs(predicted))
    assert added == pytest.approx(predicted, rel=5e-3)
    assert page.get_by_role("button", name="Next").is_disabled()
    assert agrees(page.locator(".wk-sum td").last.inner_text(), predicted)
    column = page.locator(".wk-table tbody tr:not(.wk-sum) td:last-child").all_inner_texts()
    assert sum(shown(text)[0] for text in column[:4]) == pytest.approx(predicted, rel=2e-3)


def test_keyboard_play_and_link(page, pages):
    opened(page, pages, "wick", "#wick=01.01.10.10,simple_10_0.2_0.1,merge,0")
    page.locator(".wk-show").focus()
    page.keyboard.press("ArrowRight")
    assert page.locator(".wk-count").inner_text().startswith("Step 1 ")
    page.keyboard.press("ArrowDown")
    assert "1–2, 3, 4" in page.locator(".wk-here .wk-jump").inner_text()
    told = "Edge 1 is paired with edge 2; edges 3 and 4 stay alone and give their means."
    assert told in page.locator(".wk-words").inner_text()
    page.keyboard.press("End")
    assert "add up to" in page.locator(".wk-words").inner_text()
    page.keyboard.press("ArrowLeft")
    page.keyboard.press("ArrowUp")
    state = page.evaluate("location.hash")
    words = page.locator(".wk-words").inner_text()
    opened(page, pages, "wick", state)
    assert page.locator(".wk-words").inner_text() == words
    page.get_by_role("button", name="Restart").click()
    page.clock.install()
    page.get_by_role("button", name="Play").click()
    page.clock.run_for(5000)
    assert page.locator(".wk-count").inner_text().startswith("Step 3 ")
    page.get_by_role("button", name="Pause").click()
    page.clock.run_for(5000)
    assert page.locator(".wk-count").inner_text().startswith("Step 3 ")


def test_merged_nodes_meet(page, pages):
    opened(page, pages, "wick", "#wick=01.12.20,mnist-gaussian.L1.50,merge,0")
    seen = set()
    for _ in range(24):
        page.get_by_role("button", name="Next").click()
        code = "(all) => all.map((node) => [node.cx.baseVal.value, node.cy.baseVal.value])"
        nodes = page.locator(".wk-node").evaluate_all(code)
        places = [(round(x), round(y)) for x, y in nodes]
        words = page.locator(".wk-words").inner_text()
        letters = [text for text in page.locator(".wk-letter").all_text_contents() if text]
        assert len(set(places)) == len(letters)
        for text in letters:
            assert len({places["abc".index(letter)] for letter in text.split("=")}) == 1
        if told := re.search(r"(\d) nodes? (?:is|are) left", words):
            assert told[1] == str(len(letters))
        seen.add(tuple(letters))
    assert len(seen) == 5


def test_choosing_graphs_and_laws(page, pages):
    opened(page, pages, "wick")
    page.get_by_label("Edges").and_(page.locator("select")).select_option("4")
    assert page.locator(".wk-card").count() == 296
    page.get_by_label("Find by name").fill("I45")
    assert page.locator(".wk-card").all_inner_texts()[0].split() == ["01.01.01.01", "I45"]
    page.locator(".wk-card").first.click()
    assert page.locator(".wk-jump").count() == 10
    page.locator(".wk-law select").select_option("simple")
    page.get_by_role("spinbutton", name="variance").fill("2")
    page.get_by_role("spinbutton", name="variance").press("Enter")
    page.get_by_label("Size D, as a number").fill("5")
    page.get_by_label("Size D, as a number").press("Enter")
    assert page.locator(".wk-sum td").last.inner_text() == "300.0"  # 3 D² σ⁴
    for wrong, words in (("-1", "must be positive"), ("1e200", "beyond ±1000000")):
        page.get_by_role("spinbutton", name="variance").fill(wrong)
        page.get_by_role("spinbutton", name="variance").press("Enter")
        assert words in page.locator(".wk-warning").inner_text()
        assert page.get_by_role("spinbutton", name="variance").input_value() == "2"
    page.get_by_label("Find by name").fill("9.9")
    assert "No graph" in page.locator(".ex-panel p[role=status]").first.inner_text()
    page.get_by_label("Find by name").fill("")
    page.get_by_label("Edges").and_(page.locator("select")).select_option("1")
    page.locator(".wk-card").first.focus()
    page.keyboard.press("ArrowRight")
    assert page.locator(".wk-card[aria-selected=true]").inner_text().split()[0] == "01"


# ---- the training film: data


def film_of(films, name):
    text = films[f"film-{name}.js"]
    return json.loads(text[text.index("]={") + 2 : -2])


def test_film_is_that_of_the_archive(films, archives):
    rng = np.random.default_rng(5)
    for name, archive in archives.items():
        film = film_of(films, name)
        assert len(films[f"film-{name}.js"]) < 250_000
        for layer in film["layers"]:
            place = int(layer["name"][1:]) - 1
            for epoch in (0, archive.epochs, *map(int, rng.integers(1, archive.epochs, 3))):
                table = archive.comparison(epoch, place)
                table = table[table["degree"] > 2]
                law = archive.model(epoch, place)
                np.testing.assert_allclose([f[epoch] for f in layer["f"]], law.parameters, rtol=6e-5)
                z, effect = explore_film.unpack(layer["dots"][epoch], *layer["top"])
                np.testing.assert_allclose(z, table["z"], rtol=0.02, atol=0.02)
                np.testing.assert_allclose(effect, table["ratio"], rtol=0.015, atol=1e-5)
                np.testing.assert_array_equal(np.abs(z) > 3, table["z"].abs() > 3)
                beyond = table[table["z"].abs() > 3]
                assert layer["beyond"][epoch] == [int((beyond["degree"] == d).sum()) for d in (3, 4)]
                moved = pigmm.w2_squared(law, law.from_parameters(layer["start"], law.dim))
                assert layer["w"][epoch] == pytest.approx(moved, rel=1e-3)


def test_errors_are_standard_errors(films, archives):
    """Before training the data are Gaussian: those measured agree with those of theory."""
    archive, layer = archives["mnist-gaussian"], film_of(films, "mnist-gaussian")["layers"][0]
    theory = archive.model(0, 0).parameter_errors(archive.runs)
    np.testing.assert_allclose([e[0] for e in layer["e"]], theory, rtol=0.15)


def test_layers_that_are_not_square_are_left_out(films):
    film = film_of(films, "mnist-width-640")
    assert [layer["shape"] for layer in film["layers"]] == [[640, 640]]
    assert film["leftOut"] == [{"name": "L2", "shape": [10, 640]}]


def test_what_the_page_tells_readers_to_see(films):
    """The tasks of the page: f2 leaves zero where the same neurons are on both sides, and f12 and f13 part."""
    film = film_of(films, "digits-recurrent")["layers"][0]
    f, e = ([row[-1] for row in film[key]] for key in "fe")
    assert film["paired"]
    assert f[1] > 10 * e[1]
    assert abs(f[12] - f[11]) > 10 * np.hypot(e[11], e[12])
    for layer in film_of(films, "mnist-gaussian")["layers"]:
        assert not layer["paired"]
        assert all(abs(layer["f"][k][-1]) < 4 * layer["e"][k][-1] for k in (1, 3, 6, 7, 9))
    layer = film_of(films, "mnist-gaussian")["layers"][1]
    z, effect = explore_film.unpack(layer["dots"][-1], *layer["top"])
    assert (np.abs(z) > 3).sum() > 30
    assert (effect > 0.5).sum() < 5


# ---- the training film: the page


def test_unpacking_in_the_page(page, pages, films):
    opened(page, pages, "film")
    layer = film_of(films, "mnist-gaussian")["layers"][2]
    text, top = layer["dots"][7], layer["top"]
    code = "([text, top]) => pigmmExplore.film.unpack(text, top).map((dot) => [dot.z, dot.effect])"
    found = np.array(page.evaluate(code, [text, top])).T
    np.testing.assert_allclose(found, explore_film.unpack(text, *top), rtol=1e-12, atol=1e-15)


@pytest.mark.parametrize("place", [("mnist-gaussian", 1, 13), ("mnist-width-640", 0, 7), ("digits-recurrent", 0, 4)])
def test_displayed_numbers(page, pages, archives, place):
    name, layer, epoch = place
    archive = archives[name]
    opened(page, pages, "film", f"#film={name},L{layer + 1},{epoch}")
    law, table = archive.model(epoch, layer), archive.comparison(epoch, layer)
    fitted = evolution.parameters(archive).query(f"epoch == {epoch} and layer == 'L{layer + 1}'")
    texts = page.locator(".tf-value").all_inner_texts()
    for text, value, error in zip(texts, law.parameters, fitted["se"], strict=True):
        parts = re.fullmatch(r"\(?(.*?) ± ([^)]*)\)?(·10\S+)?", text)
        assert agrees(parts[1] + (parts[3] or ""), value)
        assert len(parts[2].replace(".", "").lstrip("0")) == 2  # digits of the error, which the value ends with
        assert len(parts[1].partition(".")[2]) == len(parts[2].partition(".")[2])
        number, half = shown(parts[2] + (parts[3] or ""))
        assert abs(number - error) <= 1.02 * half + 5e-3 * error  # the file keeps three digits of it
    for fold in ("The thirteen numbers of this epoch", "The other numbers of this epoch"):
        page.get_by_text(fold).click()
    page.locator("tbody").nth(0).locator("tr").first.wait_for()
    values = page.locator("tbody").nth(1).locator("td:nth-of-type(1)").all_inner_texts()
    for text, value in zip(values, law.parameters, strict=True):
        assert agrees(text, value)
    rows = [line.split("\t") for line in page.locator("tbody").nth(0).inner_text().split("\n") if line.strip()]
    rest = {row[0]: row[1] for row in rows}
    accuracy = archive.test_accuracy[:, epoch]
    lead = table[table["degree"] > 2].reset_index(drop=True)
    lead = lead.iloc[int(lead["z"].abs().argmax())]
    assert agrees(rest["test accuracy, median"], np.median(accuracy))
    assert agrees(rest[f"largest |z|: {lead['name']}, measured"], lead["measured"])
    assert agrees(rest["predicted"], lead["predicted"])
    assert agrees(rest["its z"], lead["z"])
    for degree, word in ((3, "cubic"), (4, "quartic")):
        part = table[table["degree"] == degree]
        assert rest[f"beyond 3 standard errors, {word}"] == str((part["z"].abs() > 3).sum())
        assert agrees(rest[f"median effect size, {word}"], part["ratio"].median())
        beyond = (part["z"].abs() > 3).sum()
        assert f"{beyond} of {len(part)} {word}" in page.locator(".tf-counted").inner_text()
    beyond = int((table[table["degree"] > 2]["z"].abs() > 3).sum())
    assert page.locator(".tf-dot").count() == 348
    assert page.locator(".tf-beyond").count() == beyond
    assert page.locator(".tf-piles text").count() < 20


@pytest.mark.parametrize("state", ["#100%", "#film=%E0%A4%A", "#wick=%", "#wick=%E0%A4%A", "#film=nobody,L9,9999"])
@pytest.mark.parametrize("name", ["film", "wick"])
def test_addresses_that_were_cut_open_at_the_beginning(page, pages, name, state):
    opened(page, pages, name, state)
    assert page.locator(".explorable .ex-panel").count() >= 3
    wanted = ".tf-value" if name == "film" else ".explorable svg"
    assert page.locator(wanted).first.is_visible()


def test_film_plays_and_remembers(page, pages):
    opened(page, pages, "film", "#film=digits-recurrent,L1,17")
    epoch = page.get_by_label("Epoch, as a number")
    assert epoch.input_value() == "17"
    page.get_by_role("button", name="Next").click()
    assert page.evaluate("location.hash") == "#film=digits-recurrent,L1,18"
    page.get_by_role("button", name="Back").focus()
    page.keyboard.press("ArrowLeft")
    page.keyboard.press("ArrowLeft")
    assert epoch.input_value() == "16"
    page.clock.install()
    page.get_by_role("button", name="Play").click()
    page.clock.run_for(1500)
    assert epoch.input_value() == "18"
    page.clock.run_for(5000)
    assert epoch.input_value() == "20"
    assert page.evaluate("location.hash").endswith(",20")
    assert page.get_by_role("button", name="Play").is_visible()
    page.get_by_label("Published ensemble").select_option("mnist-width-640")
    page.wait_for_selector("[data-layer=L1]:text('640')")
    assert "L2 (10×640) is not square" in page.locator(".tf-about").inner_text()
    assert page.locator("input[type=range]").get_attribute("max") == "20"
    assert page.evaluate("location.hash") == "#film=mnist-width-640,L1,20"
    page.locator("input[type=range]").focus()
    page.keyboard.press("Home")
    assert page.evaluate("location.hash").endswith(",0")
    before = page.locator(".tf-piles").inner_html()
    page.get_by_label("Ask").select_option("effect")
    assert page.locator(".tf-piles").inner_html() != before
    page.locator(".tf-dot").nth(60).hover(force=True)
    assert "effect size about" in page.locator(".tf-picked-words").inner_text()


def test_a_film_that_is_missing_is_said_to_be(page, pages):
    """The other films stay; with the very first missing, nothing can be asked but another film."""
    opened(page, pages, "film")
    page.evaluate("void (pigmmExplore.load = () => Promise.reject(new Error('cannot load it')))")
    page.get_by_label("Published ensemble").select_option("mnist-width-640")
    title = explore_film.title(pigmm.load("mnist-width-640").config)
    page.get_by_text(f"The film of {title} cannot be shown: cannot load it.").wait_for()
    assert page.get_by_label("Published ensemble").input_value() == "mnist-gaussian"
    page.get_by_role("button", name="Next").click()
    assert page.evaluate("location.hash").endswith(",1")
    assert page.evaluate("document.querySelectorAll('.ex-stage [inert]').length") == 0


def test_the_first_film_missing(page, pages):
    page.goto("about:blank")
    page.route("**/film-mnist-gaussian.js", lambda route: route.fulfill(body="", content_type="text/javascript"))
    page.goto(pages["film", "light"])
    page.get_by_text("film-mnist-gaussian.js holds no film").wait_for()
    assert page.locator("[inert]").count() == 5
    page.unroute_all()
    page.get_by_label("Published ensemble").select_option("mnist-width-640")
    page.locator(".tf-layers button").first.wait_for()
    assert page.locator("[inert]").count() == 0


# ---- both


def states():
    for name in ("wick", "film"):
        for state in re.findall(r'data-state="([^"]+)"', (PROSE / f"{name}.md").read_text(encoding="utf8")):
            yield name, state


def test_states_that_the_text_offers(page, pages):
    """Every state is taken as it is written: nothing in it is unknown.  Films of archives that are not here pass."""
    found = [(name, state) for name, state in states() if name == "wick" or any(f"={film}," in state for film in FILMS)]
    assert len(found) >= 9
    for name, state in found:
        opened(page, pages, name, state)
        key = {"wick": ".wk-show", "film": ".tf-controls button:enabled"}[name]
        page.locator(key).first.focus()
        page.keyboard.press("ArrowRight")
        page.keyboard.press("ArrowLeft")
        assert state.split(",")[:2] == page.evaluate("location.hash").split(",")[:2]
    assert {name for name in pigmm.published() for _, state in states() if f"={name}," in state} == {
        state.split("=")[1].split(",")[0] for name, state in states() if name == "film"
    }


@pytest.mark.parametrize("name", ["wick", "film"])
def test_fits_a_phone(page, pages, name):
    page.set_viewport_size({"width": 390, "height": 844})
    opened(page, pages, name)
    for fold in page.locator("summary").all():
        if fold.is_visible():
            fold.click()
    assert page.evaluate("document.documentElement.scrollWidth") == 390


@pytest.mark.parametrize(("name", "theme"), [*product(["wick", "film"], ["light", "dark"])])
def test_accessible(page, pages, name, theme):
    opened(page, pages, name, "#wick=01.12.20,mnist-gaussian.L3.50,merge,8" if name == "wick" else "", theme)
    if name == "wick":
        page.locator(".wk-law select").select_option("full")
    for fold in page.locator("summary").all():
        if fold.is_visible():
            fold.click()
    found = Axe().run(page, options={"preload": False}).response["violations"]
    bad = [(v["id"], v["nodes"][0]["html"]) for v in found if v["impact"] in ("serious", "critical")]
    assert bad == []
