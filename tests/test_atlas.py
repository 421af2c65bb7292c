"""The atlas: exact expectations, names in words, and a page whose numbers are those of the archives."""

import itertools
import json
import re
from collections import Counter
from html.parser import HTMLParser
from pathlib import Path

import numpy as np
import pytest

import pigmm
from pigmm import atlas, atlas_page, evolution, wick
from pigmm.layout import archived_bipartite, archived_graphs

GRAPHS = archived_graphs()
STATIC = Path(__file__).parents[1] / "book" / "_static"
COURSES = {"mnist-gaussian": "Gaussian start", "mnist-uniform-l2": "Uniform start, weight decay"}


@pytest.fixture(scope="module")
def archives():
    return {name: pigmm.load(name) for name in pigmm.published()}


@pytest.fixture(scope="module")
def page(archives):
    courses = {name: COURSES.get(name, name) for name in archives if re.fullmatch("mnist-[a-z]+(-l2)?", name)}
    assert len(courses) == 4
    return atlas_page.cards(archives, courses)


@pytest.fixture(scope="module")
def numbers(page):
    return json.loads(re.search(r'class="numbers">(.*?)</script>', page)[1])


# ---- exact expectations before training


@pytest.mark.parametrize("D", [4, 5, 10, 33])
def test_gaussian_start_agrees_with_wick(D):
    law = pigmm.SimpleGaussian(0.0, 1 / D, shape=D)
    exact = [float(atlas.initial_mean(graph, "gaussian", D)) for graph in GRAPHS]
    np.testing.assert_allclose(exact, wick.expectation(GRAPHS, law), rtol=1e-10, atol=1e-12)


def by_brute_force(graph, D, m2, m4):
    """Sum over all values of all indices: a term counts if its factors are equal four by four or in pairs."""
    indices = np.array(list(itertools.product(range(D), repeat=graph.nodes)))
    factors = np.sort([D * indices[:, i] + indices[:, j] for i, j in graph.edges], axis=0)
    if graph.degree % 2:
        return 0.0
    paired = np.all(factors[::2] == factors[1::2], axis=0)
    alike = np.all(factors == factors[0], axis=0)
    if graph.degree == 2:
        return m2 * paired.sum()
    return m4 * alike.sum() + m2**2 * (paired & ~alike).sum()


@pytest.mark.parametrize("init", ["gaussian", "uniform"])
def test_start_against_brute_force(init):
    D = 4
    m2, m4 = (1 / D, 3 / D**2) if init == "gaussian" else (1 / (3 * D), 1 / (5 * D**2))
    for graph in GRAPHS:
        assert float(atlas.initial_mean(graph, init, D)) == pytest.approx(by_brute_force(graph, D, m2, m4)), graph.name


def test_uniform_start_against_monte_carlo():
    """The largest of 361 correlated z values stays below 5 unless something is wrong."""
    D, R = 4, 20_000
    W = np.random.default_rng(3).uniform(-1 / np.sqrt(D), 1 / np.sqrt(D), size=(R, D, D))
    values = pigmm.evaluate(GRAPHS, W)
    error = values.std(axis=0) / np.sqrt(R)

    def largest(init, factor):
        scale = np.array([factor ** (graph.degree / 2) for graph in GRAPHS])
        exact = np.array([float(atlas.initial_mean(graph, init, D)) for graph in GRAPHS]) * scale
        return np.abs((values.mean(axis=0) - exact) / error).max()

    assert largest("uniform", 1) < 5
    assert largest("gaussian", 1 / 3) > 20, "the same variance, another fourth moment"


@pytest.mark.parametrize("init", ["gaussian", "uniform"])
def test_closed_form_says_what_the_number_is(init):
    """The text, read back: σ and D replaced by numbers."""
    D = 7
    sigma2 = 1 / D if init == "gaussian" else 1 / (3 * D)
    digits = str.maketrans("²³⁴⁵⁶⁷⁸", "2345678")
    for graph in GRAPHS:
        text = atlas.closed_form(graph, init)
        assert text == text.strip()
        code = re.sub(r"[²³⁴⁵⁶⁷⁸]", lambda m: "**" + m[0].translate(digits), text.replace("−", "-"))
        code = re.sub(r"(?<=[\w)]) (?=[\w(])", "*", code)
        assert eval(code, {"σ": sigma2**0.5, "D": D}) == pytest.approx(float(atlas.initial_mean(graph, init, D)))


def test_published_ensembles_start_where_they_should(archives):
    for name in ("mnist-gaussian", "mnist-uniform"):
        table = atlas.starts(archives[name])
        assert len(table) == 3 * 361
        assert 0.7 < np.sqrt((table["z"] ** 2).mean()) < 1.4
    wrong = atlas.starts(archives["mnist-gaussian"])["measured"] - 1.1 * table["exact"]  # it would show
    assert np.abs(wrong / table["se"]).max() > 10


def test_what_is_refused():
    with pytest.raises(pigmm.PigmmError, match="gaussian, uniform"):
        atlas.initial_polynomial("01.01", "normal")
    with pytest.raises(pigmm.PigmmError, match="degree 6"):
        atlas.initial_polynomial("01.01.01.01.01.01")
    assert atlas.initial_polynomial("01.12.23.34.40") == {}
    with pytest.raises(pigmm.PigmmError, match="courses"):
        atlas_page.cards({"digits": pigmm.load("digits")}, {"mnist": "x"})
    two = {name: pigmm.load(name) for name in ("digits", "mnist-gaussian")}
    with pytest.raises(pigmm.PigmmError, match="2 sets of epochs"):
        atlas_page.cards(two, {name: name for name in two})


# ---- names


def summed(text, W):
    """The value that an expression in plain text describes."""
    total = 1.0
    for factor, power in re.findall(r"(sum over [^()]*)\)?(?:\^(\d))?", text):
        letters, entries = re.fullmatch(r"sum over ([\w,]+) of (.*)", factor).groups()
        pairs = [pair for pair, k in re.findall(r"W_(\w\w)(?:\^(\d))?", entries) for _ in range(int(k or 1))]
        assert set("".join(pairs)) == set(letters.split(","))
        total *= np.einsum(",".join(pairs) + "->", *[W] * len(pairs)) ** int(power or 1)
    return total


def spoken(text, W):
    """The value that an invariant's name in words describes."""
    known = {"trace": np.trace(W), "sum of all entries": W.sum(), "trace of (W Wᵀ)²": np.trace(W @ W.T @ W @ W.T)}
    for k, sign in zip((2, 3, 4), "²³⁴", strict=True):
        known[f"trace of W{sign}"] = np.trace(np.linalg.matrix_power(W, k))
        rows, columns = W.sum(axis=1), W.sum(axis=0)
        powers = {"entries": W, "diagonal entries": np.diag(W), "row sums": rows, "column sums": columns}
        for what, x in powers.items():
            known[f"sum of squared {what}" if k == 2 else f"sum of {what} to the power {k}"] = (x**k).sum()
    return np.prod([known[part] for part in text.split(" × ")])


def test_sums_and_words_say_what_is_evaluated():
    W = np.random.default_rng(0).normal(size=(3, 3))
    values = dict(zip(GRAPHS, pigmm.evaluate(GRAPHS, W)[0], strict=True))
    for graph, value in values.items():
        assert summed(atlas.expression(graph), W) == pytest.approx(value), graph.name
        if atlas.words(graph):
            assert spoken(atlas.words(graph), W) == pytest.approx(value), graph.name
    assert sum(bool(atlas.words(graph)) for graph in GRAPHS) == 80
    turned = pigmm.evaluate([atlas.mirror(graph) for graph in GRAPHS], W.T)[0]
    np.testing.assert_allclose(turned, list(values.values()))


def test_families_are_the_bipartite_graphs():
    members = Counter(atlas.family(graph) for graph in GRAPHS)
    assert set(members) == set(archived_bipartite())
    assert all(atlas.family(graph) == graph for graph in archived_bipartite())


@pytest.mark.parametrize("name", ["01.12", "01.10", "00.01", "01.12.20", "00+01.12", "01.02.12"])
def test_terms_of_a_family_have_one_average(name):
    """Terms with different indices, averaged over all separate relabellings of columns."""
    D = 4
    W = np.random.default_rng(1).normal(size=(D, D))
    shuffled = [W[:, list(p)] for p in itertools.permutations(range(D))]

    def average(graph, indices):
        terms = [np.prod([V[n[i], n[j]] for i, j in graph.edges]) for V in shuffled for n in indices]
        return np.mean(terms)

    graph = pigmm.InvariantGraph(name)
    split = atlas.family(graph)
    rows = sorted({i for i, _ in split.edges})
    apart = [
        n for n in itertools.product(range(D), repeat=split.nodes)
        if len({n[r] for r in rows}) == len(rows) and len(set(n)) >= 1
        and len({n[c] for c in range(split.nodes) if c not in rows}) == split.nodes - len(rows)
    ]  # fmt: skip
    own = list(itertools.permutations(range(D), graph.nodes))
    assert average(graph, own) == pytest.approx(average(split, apart))


# ---- tables


def test_scores_are_those_of_the_archives(archives):
    table = atlas.scores({name: archives[name] for name in ("digits", "mnist-uniform")})
    for (name, layer), part in table.groupby(["archive", "layer"]):
        again = archives[name].comparison(layer=int(layer[1]) - 1)
        np.testing.assert_array_equal(part["z"], again["z"])
        np.testing.assert_array_equal(part["ratio"], again["ratio"])
    lead = atlas.leaders(table).set_index("place")
    assert set(np.sign(lead["z"])) == {-1, 1}, "both signs can lead"
    for layer in range(3):
        first = lead.loc[f"mnist-uniform L{layer + 1}"]
        again = archives["mnist-uniform"].comparison(layer=layer).query("degree > 2").set_index("name")
        assert abs(first["z"]) == again["z"].abs().max() == abs(again["z"][first["by z"]])
        assert first["effect"] == again["ratio"].max() == again["ratio"][first["by effect"]]


def test_shifts_are_the_drift(archives):
    ours = atlas.shifts(archives["mnist-uniform-l2"]).set_index(["epoch", "layer", "name"])
    theirs = evolution.drift(archives["mnist-uniform-l2"]).set_index(["epoch", "layer", "name"])
    both = ours.index.intersection(theirs.index)
    assert len(both) == 8 * 3 * 13
    np.testing.assert_allclose(ours.loc[both, "shift"], theirs.loc[both, "shift"])
    np.testing.assert_allclose(ours.loc[both, "se"], theirs.loc[both, "shift_se"])


@pytest.mark.parametrize("seed", range(200))
def test_brief_numbers_can_be_read_back(seed):
    rng = np.random.default_rng(seed)
    error = 10 ** rng.uniform(-9, 6)
    value = error * rng.normal() * 10 ** rng.uniform(-1, 3)
    found = re.fullmatch(r"(−?[\d.]+)\((\d+)\)(?:e(−?\d+))?", atlas_page.brief(value, error))
    text, last, power = found.groups()
    unit = 10.0 ** (int((power or "0").replace("−", "-")) - len(text.partition(".")[2]))
    assert abs(int(last) * unit - error) <= 0.25 * error
    assert abs(float(text.replace("−", "-")) * 10.0 ** int((power or "0").replace("−", "-")) - value) <= 0.5 * error
    assert text not in ("−0", "−0.0", "−0.00")


# ---- the page


class Reader(HTMLParser):
    """Ids, links, cards and whether everything that must be closed is closed."""

    VOID = {"input", "link"}
    OPTIONAL = {"td", "th", "tr", "tbody", "thead", "caption", "dt", "dd", "p"}

    def __init__(self, text):
        super().__init__()
        self.ids, self.links, self.cards, self.drawings, self.stack = [], [], [], 0, []
        self.feed(text)

    def handle_starttag(self, tag, attrs):
        values = dict(attrs)
        if "id" in values:
            self.ids.append(values["id"])
        if "href" in values:
            self.links.append(values["href"])
        if values.get("class") == "item":
            self.cards.append(values)
        self.drawings += tag == "svg"
        if tag not in self.VOID | self.OPTIONAL:
            self.stack.append(tag)

    def handle_startendtag(self, tag, attrs):
        pass

    def handle_endtag(self, tag):
        if tag not in self.OPTIONAL:
            assert self.stack.pop() == tag


def test_every_graph_has_one_card(page):
    read = Reader(page)
    assert read.stack == []
    assert [card["data-name"] for card in read.cards] == [graph.name for graph in GRAPHS]
    assert len(set(read.ids)) == len(read.ids) == read.drawings == 361
    assert read.ids == [atlas_page.identifier(graph) for graph in GRAPHS]
    assert all(re.fullmatch(r"[A-Za-z][\w.-]*", key) for key in read.ids), "valid and unescaped in links"
    assert set(read.links) <= {f"#{key}" for key in read.ids}
    for card, graph in zip(read.cards, GRAPHS, strict=True):
        assert (int(card["data-d"]), int(card["data-n"]), int(card["data-c"])) == (
            graph.degree, graph.nodes, len(graph.components)
        )  # fmt: skip
        assert card["data-p"] == str(graph.paper_index or "")
        assert bool(int(card["data-b"])) is (graph.sides is not None)
        assert archived_bipartite()[int(card["data-f"])] == atlas.family(graph)


def test_numbers_for_sorting_are_those_of_the_archives(numbers, archives):
    expected = [f"{name} L{k + 1}" for name in archives for k, (M, N) in enumerate(archives[name].layers) if M == N]
    assert numbers["places"] == expected
    for column in ("z", "ratio"):
        for place in ("mnist-gaussian L3", "digits-residual L1"):
            name, layer = place.split(" L")
            theirs = archives[name].comparison(layer=int(layer) - 1).set_index("name")[column]
            for graph in GRAPHS:
                ours = numbers[column][graph.name][expected.index(place)]
                assert ours == pytest.approx(theirs[graph.name], rel=6e-3)


def test_a_card_holds_the_measurements(page, archives):
    row = archives["mnist-gaussian"].comparison(layer=1).set_index("name").loc["01.12.20"]
    (card,) = re.findall(r'id="g-01\.12\.20"><noscript>(.*?)</noscript>', page)
    texts = [f"{row['predicted']:.4g}", f"{row['z']:+.1f}", f"{row['ratio']:.3f}"]
    texts.insert(0, atlas_page.brief(row["measured"], row["se"]))
    assert f"<tr><th>L2<td>{'<td>'.join(texts).replace('-', '−')}<" in card
    shift = atlas.shifts(archives["mnist-gaussian"]).query("name == '01.12.20' and layer == 'L3'")
    cells = "".join(f"<td>{atlas_page.brief(*pair)}" for pair in zip(shift["shift"], shift["se"], strict=True))
    assert "Gaussian start<tr><th>L1" in card
    assert f"<tr><th>L3{cells}<" in card
    assert "nan" not in page


def test_the_page_is_light_and_loads_nothing(page):
    parts = [page, *((STATIC / name).read_text() for name in ("atlas.js", "atlas.css"))]
    assert sum(len(part.encode()) for part in parts) < 2_350_000  # the theme adds less than 0.1 MB
    assert not re.search(r"https?://(?!www\.w3\.org/2000/svg)|url\(|@import|fetch\(", "".join(parts))


def test_script_and_page_agree_on_names(page):
    script = (STATIC / "atlas.js").read_text()
    fields = set(re.findall(r' name="(\w+)"', page))
    assert fields == {"q", "d", "n", "c", "b", "p", "f", "sort", "place"}
    for key in fields:
        assert re.search(rf'value\("{key}"\)|elements\.{key}\b|"{key}"', script), key
    for name in re.findall(r'querySelector(?:All)?\("\.(\w+)"\)', script):
        assert re.search(rf'class="{name}"', page), name
    assert {"z", "ratio"} <= set(re.findall(r'size\("(\w+)", card\)', script))
