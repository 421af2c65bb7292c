"""Scale mixtures: exact expectations, density, fits; the contest on held-out runs; the figures of both."""

import itertools

import numpy as np
import pytest
from scipy import integrate, stats

from pigmm import PigmmError, TwoSidedGaussian, beyond_figures, bipartite_graphs, wick
from pigmm.action import Action, fit_action
from pigmm.contest import contest
from pigmm.invariants import evaluate
from pigmm.irreps import two_sided_statistics
from pigmm.mixture_fits import fit_mixture
from pigmm.mixtures import KINDS, ScaleMixture, log_density
from pigmm.response import connected_covariance, deviations
from pigmm.tables import draw_seeds
from tests.pictures import check_picture
from tests.test_action import quadrature

BASE = TwoSidedGaussian([0.3, 0.9, 0.7, 0.8, 0.5], (3, 4))
SMALL = TwoSidedGaussian([0.3, 0.9, 0.7, 0.8, 0.5], (2, 2))
PLAIN = TwoSidedGaussian([0, 1, 1, 1, 1], (5, 5))
BASE5 = TwoSidedGaussian([0.1, 0.9, 0.7, 0.8, 0.5], (5, 5))
UPTO4 = tuple(itertools.chain.from_iterable(bipartite_graphs(k) for k in (1, 2, 3, 4)))


def brute_force(law, nodes=24):
    """Matrices and weights: exact quadrature over X and, by many nodes, over the logarithms of the scales."""
    X, wx = quadrature(law.hidden, 3)  # exact up to degree 5
    z, wz = np.polynomial.hermite_e.hermegauss(nodes)
    shape = {"matrix": (1, 1), "row": (law.shape[0], 1), "column": (1, law.shape[1])}[law.kind]
    tau = np.sqrt(np.log1p(law.spread))
    n = shape[0] * shape[1]
    scales = np.exp(tau * np.array(list(itertools.product(z, repeat=n))) - tau**2 / 2).reshape(-1, *shape)
    ws = np.prod(np.array(list(itertools.product(wz / wz.sum(), repeat=n))), axis=1)
    m = law.base.parameters[0]
    W = m + np.sqrt(scales)[:, None] * (X - m)[None]
    return W.reshape(-1, *law.shape), (ws[:, None] * wx[None]).ravel()


# ---- the law


@pytest.mark.parametrize("kind", KINDS)
def test_expectations_equal_brute_force(kind):
    law = ScaleMixture(SMALL, kind, 0.4)
    W, weights = brute_force(law)
    np.testing.assert_allclose(law.expectation(UPTO4), weights @ evaluate(UPTO4, W), rtol=1e-9)


@pytest.mark.parametrize("kind", KINDS)
def test_expectations_agree_with_samples(kind):
    law = ScaleMixture(BASE, kind, 0.15)
    graphs = (*UPTO4, *bipartite_graphs(5)[::9], *bipartite_graphs(6)[::40])
    values = evaluate(graphs, law.sample(100_000, seed=1))
    z = (values.mean(axis=0) - law.expectation(graphs)) / stats.sem(values)
    assert np.abs(z).max() < 4.5


@pytest.mark.parametrize("kind", KINDS)
def test_second_moments_are_those_of_the_base_and_no_spread_is_gaussian(kind):
    law = ScaleMixture(BASE, kind, 0.3)
    np.testing.assert_allclose(law.deviation(UPTO4[:5]), 0, atol=1e-12 * 100)
    assert np.abs(law.deviation(UPTO4[5:])).max() > 1
    none = ScaleMixture(BASE, kind, 0.0)
    np.testing.assert_allclose(none.expectation(UPTO4), wick.expectation(UPTO4, BASE), rtol=1e-12)
    if kind != "matrix":
        assert np.abs(law.hidden.parameters - BASE.parameters).max() > 0.01


def test_transposing_exchanges_rows_and_columns():
    m, v00, vr, vc, vrc = BASE.parameters
    turned = TwoSidedGaussian([m, v00, vc, vr, vrc], BASE.shape[::-1])
    graphs = ["01.01.02.02", "01.01.01.02", "01.02.03", "01.01.21.21", "01.02.31.32"]
    reversed_ = [".".join(e[::-1] for e in g.split(".")) for g in graphs]
    np.testing.assert_allclose(
        ScaleMixture(BASE, "row", 0.2).expectation(graphs), ScaleMixture(turned, "column", 0.2).expectation(reversed_)
    )


def test_by_hand():
    """Independent entries of variance one: E Σ_i (Σ_j W_ij²)² with a scale per row, and the third power of |W|²."""
    M, N, c = 4, 5, 0.3
    base = TwoSidedGaussian([0, 1, 1, 1, 1], (M, N))
    rows = ScaleMixture(base, "row", c).expectation(["01.01.02.02", "01.01+01.01"])
    n = M * N
    by_hand = [M * (N * N + 2 * N) * (1 + c), M * (N * N + 2 * N) * (1 + c) + M * (M - 1) * N * N]
    np.testing.assert_allclose(rows, by_hand)
    whole = ScaleMixture(base, "matrix", c).expectation(["01.01+01.01+01.01"])
    np.testing.assert_allclose(whole, n * (n + 2) * (n + 4) * (1 + c) ** 3)  # E s³ of a lognormal


@pytest.mark.parametrize("spread", [0.01, 0.5])
def test_to_first_order_a_mixture_is_a_positive_quartic_coupling(spread):
    """g = spread/8 for |W|⁴ at variance one, at any spread: a law that does not exist stands for one that does."""
    law = ScaleMixture(PLAIN, "matrix", spread)
    graphs = ("01.01+01.01",)
    C = connected_covariance(graphs, graphs, PLAIN)
    action = Action(PLAIN, fit_action(PLAIN.sample(30), graphs).graphs, law.deviation(graphs), C, np.zeros((6, 6)))
    assert action.couplings[0] == pytest.approx(spread / 8)
    np.testing.assert_allclose(action.deviation(UPTO4[5:]), law.deviation(UPTO4[5:]), atol=1e-9)
    assert not action.exists
    six = ["01.01+01.01+01.01"]
    assert law.deviation(six) > action.deviation(six)  # beyond quartic invariants they part


def test_density_equals_adaptive_quadrature_and_integrates_to_one():
    law = ScaleMixture(SMALL, "matrix", 0.5)
    W = np.concatenate([law.sample(3, seed=1), 30 * law.sample(1, seed=2), np.full((1, 2, 2), 0.3)])
    tau = np.sqrt(np.log1p(0.5))
    for matrix, value in zip(W, law.log_likelihood(W), strict=True):

        def integrand(u, matrix=matrix):
            scaled = TwoSidedGaussian([0.3, *(np.exp(u) * SMALL.parameters[1:])], (2, 2))
            return np.exp(scaled.log_likelihood(matrix)[0]) * stats.norm.pdf(u, -(tau**2) / 2, tau)

        whole = sum(integrate.quad(integrand, *ends, epsabs=0, epsrel=1e-9)[0] for ends in ((-7, 0), (0, 3), (3, 9)))
        assert np.exp(value) == pytest.approx(whole, rel=1e-6)
    W = law.sample(40_000, seed=3)
    ratio = np.exp(SMALL.log_likelihood(W) - law.log_likelihood(W))  # bounded: the mixture has the heavier tails
    assert abs(ratio.mean() - 1) < 4 * stats.sem(ratio)


def test_slopes_of_the_density_are_its_differences():
    W = ScaleMixture(BASE, "matrix", 0.4).sample(50, seed=1)
    t, at = two_sided_statistics(W), np.append(BASE.parameters, 0.3)
    slopes = log_density(t, at, BASE.shape)[1]
    for k, step in enumerate(1e-5 * np.eye(6)):
        difference = (log_density(t, at + step, BASE.shape)[0] - log_density(t, at - step, BASE.shape)[0]) / 2e-5
        np.testing.assert_allclose(slopes[:, k], difference, rtol=1e-5, atol=1e-6)


def test_large_matrices_and_tiny_spreads_have_a_density():
    base = TwoSidedGaussian([0, 1, 1, 1, 1], (60, 60))
    W = base.sample(5)
    tiny = ScaleMixture(base, "matrix", 1e-10).log_likelihood(W)
    np.testing.assert_allclose(tiny, base.log_likelihood(W), atol=1e-5)
    assert np.isfinite(ScaleMixture(base, "matrix", 5.0).log_likelihood(1e3 * W)).all()


# ---- fits


@pytest.mark.parametrize(("kind", "method"), [*((k, "deviations") for k in KINDS), ("matrix", "likelihood")])
def test_fits_recover_the_spread_within_their_errors(kind, method):
    base = TwoSidedGaussian([0.1, 0.9, 0.7, 0.8, 0.5], (5, 6))
    fits = [fit_mixture(ScaleMixture(base, kind, 0.2).sample(400, seed=s), kind, method=method) for s in range(15)]
    z = np.array([(f.spread - 0.2) / f.spread_error for f in fits])
    assert abs(z.mean()) < 1.2
    assert 0.4 < z.std() < 1.9


def test_likelihood_is_at_its_maximum_and_the_base_moves():
    law = ScaleMixture(BASE, "matrix", 0.8)
    W = law.sample(400, seed=4)
    fitted = fit_mixture(W, method="likelihood")
    best = fitted.log_likelihood(W).sum()
    assert best > law.log_likelihood(W).sum()
    assert best > TwoSidedGaussian.fit(W).log_likelihood(W).sum() + 20
    t, at = two_sided_statistics(W), np.append(fitted.base.parameters, np.log1p(fitted.spread))
    slope = log_density(t, at, BASE.shape)[1]
    assert np.abs(slope.mean(axis=0) / slope.std(axis=0)).max() < 1e-3
    parts = [np.delete(W, range(k, k + 16), axis=0) for k in range(0, 400, 16)]
    without = [fit_mixture(part, method="likelihood").spread for part in parts]
    assert fitted.spread_error == pytest.approx(np.sqrt(len(without) - 1) * np.std(without), rel=0.3)


@pytest.mark.parametrize("method", ["deviations", "likelihood"])
def test_lighter_tails_give_no_spread(method):
    W = np.random.default_rng(0).uniform(-1, 1, size=(400, 5, 5))
    fitted = fit_mixture(W, method=method)
    assert fitted.spread == 0
    assert fitted.spread_error > 0
    np.testing.assert_allclose(fitted.log_likelihood(W), TwoSidedGaussian.fit(W).log_likelihood(W))


@pytest.mark.parametrize("scale", [1e-30, 1e30])
def test_units_do_not_matter(scale):
    W = ScaleMixture(PLAIN, "matrix", 0.3).sample(200)
    for method in ("deviations", "likelihood"):
        plain, scaled = fit_mixture(W, method=method), fit_mixture(scale * W, method=method)
        assert scaled.spread == pytest.approx(plain.spread, rel=1e-4)
        assert scaled.spread_error == pytest.approx(plain.spread_error, rel=1e-3)
        shift = scaled.log_likelihood(scale * W) - plain.log_likelihood(W) + 25 * np.log(scale)
        np.testing.assert_allclose(shift, 0, atol=1e-4)


@pytest.mark.parametrize(
    ("call", "word"),
    [
        (lambda: ScaleMixture(BASE, "entry", 0.1), "kind"),
        (lambda: ScaleMixture(BASE, "row", -0.1), "spread"),
        (lambda: ScaleMixture(BASE, "row", float("nan")), "spread"),
        (lambda: ScaleMixture(BASE, "row", True), "spread"),
        (lambda: ScaleMixture("law", "row", 0.1), "base"),
        (lambda: ScaleMixture(TwoSidedGaussian([0, 1, 1, 9, 1], (4, 4)), "row", 40.0), "second moments"),
        (lambda: ScaleMixture(BASE, "row", 0.1).log_likelihood(BASE.sample(2)), "kind 'matrix'"),
        (lambda: ScaleMixture(BASE, "matrix", 0.1).log_likelihood(np.ones((2, 5, 5))), "shape"),
        (lambda: ScaleMixture(BASE, "matrix", 0.1).expectation("00.01"), "bipartite"),
        (lambda: ScaleMixture(BASE, "matrix", 0.1).expectation("01.01.01.01.01.01.01"), "degree"),
        (lambda: ScaleMixture(BASE, "matrix", 0.1).sample(0), "R"),
        (lambda: ScaleMixture(BASE, "matrix", 0.1).sample(3, seed=-1), "seed"),
        (lambda: fit_mixture(BASE.sample(10)), "too few"),
        (lambda: fit_mixture(np.ones((50, 4, 4))), "differ"),
        (lambda: fit_mixture(BASE.sample(50), "entry"), "kind"),
        (lambda: fit_mixture(BASE.sample(50), "row", method="likelihood"), "method"),
        (lambda: fit_mixture(BASE.sample(50), method="guess"), "method"),
        (lambda: contest(PLAIN.sample(60)), "folds"),
        (lambda: contest(PLAIN.sample(100), terms=()), "terms"),
        (lambda: contest(PLAIN.sample(100), seed=-1), "seed"),
        (lambda: contest(np.zeros((100, 3, 3))), "at least 4x4"),
    ],
)
def test_bad_input_is_named(call, word):
    with pytest.raises(PigmmError, match=word):
        call()


# ---- the contest


def test_contest_finds_the_law_that_made_the_data():
    table = contest(ScaleMixture(PLAIN, "column", 0.3).sample(1200, seed=1), terms=(1,)).set_index("model")
    assert table.loc["Gaussian", "rms"] > 3
    assert table.loc["column scale", "rms"] < 1.5
    assert table.loc["column scale", "rms"] < min(table.loc[["row scale", "matrix scale"], "rms"])
    assert not table.loc["action, 1", "exists"]
    assert "exact action, 1" not in table.index
    assert list(table.loc[["Gaussian", "action, 1", "column scale", "training deviations"], "extra"]) == [0, 1, 1, 43]


def test_columns_of_the_contest_by_hand():
    W = ScaleMixture(BASE5, "matrix", 0.3).sample(300, seed=7)
    table = contest(W, terms=(1,), exact=False, seed=3).set_index("model")
    order = np.random.default_rng(draw_seeds(3, 1)[0]).permutation(300)
    graphs, by_hand = UPTO4[5:], []
    for held, kept in ((order[::2], order[1::2]), (order[1::2], order[::2])):
        train, test = W[np.sort(kept)], W[np.sort(held)]
        action = fit_action(train, max_terms=1, seed=3)
        e, psi = deviations(test, graphs)
        left = e - action.deviation(graphs)
        z = left / psi.std(axis=0, ddof=1) * np.sqrt(150)
        unused = np.array([g not in action.graphs for g in graphs])
        miss = np.abs(left / evaluate(graphs, test).mean(axis=0))[np.array([g.degree == 4 for g in graphs])]
        fitted = fit_mixture(train, method="likelihood").log_likelihood(test)
        nats = (fitted - TwoSidedGaussian.fit(train).log_likelihood(test)).mean()
        by_hand.append([(z**2).mean(), (z[unused] ** 2).mean(), np.median(miss), nats])
    rms, unused, miss, nats = np.mean(by_hand, axis=0)
    row = table.loc["action, 1"]
    np.testing.assert_allclose([row["rms"], row["rms_unused"], row["miss"]], [rms**0.5, unused**0.5, miss], rtol=1e-6)
    assert table.loc["matrix scale (ML)", "nats"] == pytest.approx(nats, rel=1e-6)


def test_contest_with_lighter_tails():
    W = np.random.default_rng(1).uniform(-1, 1, size=(400, 4, 4))
    table = contest(W, terms=(1,), draws=1000).set_index("model")
    assert table.loc["action, 1", "rms"] < 1.7 < 5 < table.loc["Gaussian", "rms"]
    assert table.loc["exact action, 1", "exists"]
    assert table.loc["exact action, 1", "nats"] > 5 * table.loc["exact action, 1", "nats_error"] > 0
    assert table.loc["matrix scale", "rms"] == pytest.approx(table.loc["Gaussian", "rms"])
    assert table.loc["action, 1", "miss"] < table.loc["Gaussian", "miss"]


def test_contest_is_calibrated_on_gaussian_ensembles_and_repeats_itself():
    tables = [contest(PLAIN.sample(400, seed=s), exact=False, seed=s).set_index("model") for s in range(6)]
    rms = np.array([t.loc["Gaussian", "rms"] for t in tables])
    assert abs(np.sqrt((rms**2).mean()) - 1) < 0.2
    copied = np.array([t.loc["training deviations", "rms"] for t in tables])
    assert abs(np.sqrt((copied**2).mean()) / np.sqrt(2) - 1) < 0.25  # as noisy as the held-out half
    assert abs(np.sqrt(np.mean([t.loc["training deviations", "rms_z"] ** 2 for t in tables])) - 1) < 0.25
    again = contest(PLAIN.sample(400, seed=0), exact=False, seed=0).set_index("model")
    assert again.equals(tables[0])


# ---- figures


def test_figures_describe_themselves(monkeypatch, tmp_path):
    W = np.random.default_rng(1).uniform(-1, 1, size=(200, 4, 4))
    actions = {"box": fit_action(W), "normal": fit_action(PLAIN.sample(200))}
    table = contest(W, terms=(1,), exact=False)
    pictures = [
        beyond_figures.selections(actions), beyond_figures.contests({"box": table, "again": table}),
        beyond_figures.contests({"one": table}),
    ]  # fmt: skip
    for number, picture in enumerate(pictures):
        check_picture(picture, f"figure-{number}", monkeypatch, tmp_path)
    assert "01.01.01.01" in pictures[0].alt
    assert "box with 1" in pictures[0].see
    assert "normal with 0" in pictures[0].see
