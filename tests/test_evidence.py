"""Figures about evidence describe themselves from the data and draw what they say; their pages claim what holds."""

import itertools

import numpy as np
import pytest
from scipy import stats

from pigmm import PigmmError, TwoSidedGaussian, calibration, evaluate, evidence, expectation, symmetry_test, wick
from pigmm.graphs import as_graphs, bipartite_graphs
from pigmm.irreps import two_sided_statistics
from tests.pictures import check_picture


def study(names=tuple(calibration.ENSEMBLES), sizes=(100, 1000)):
    rng = np.random.default_rng(0)
    keys = [f"{law} {what}" for law in ("13", "5") for what in ("z", "naive", "bh", "ratio", "ratio_max", "family")]
    return {"cells": {
        f"{name}, R = {R}": {"ensemble": name, "runs": R, **{key: [float(rng.uniform(0.02, 1)), 0.01] for key in keys}}
        for R in sizes for name in names
    }}  # fmt: skip


def ensembles():
    noise = np.random.default_rng(1).normal(size=(60, 5, 5))
    return {"L1": noise, "L2": noise[::-1] + 0.1, "recurrent W": noise + np.eye(5)}


def pictures():
    rng = np.random.default_rng(2)
    null = rng.chisquare(8, size=200)
    return {
        "contrasts": lambda: evidence.contrasts({k: symmetry_test(W, permutations=0) for k, W in ensembles().items()}),
        "permuted_ratios": lambda: evidence.permuted_ratios(
            {"uniform L1": (5.0, null), "uniform L3": (46.0, 3 * null)}
        ),
        "forgotten_fit": lambda: evidence.forgotten_fit(0.4 * rng.normal(size=(50, 43)), rng.normal(size=(50, 43))),
        "powers": lambda: evidence.powers(study()),
    }


PICTURES = pictures()


def test_every_figure_of_the_module_is_tested():
    assert set(evidence.__all__) == set(PICTURES)


@pytest.mark.parametrize("name", PICTURES)
def test_figure_is_described_labelled_and_narrow(name, monkeypatch, tmp_path):
    check_picture(PICTURES[name](), name, monkeypatch, tmp_path)


def drawn(ax):
    """x of the markers of every error bar, one array a bar."""
    return [np.atleast_1d(np.asarray(bar.lines[0].get_xdata(), dtype=float)) for bar in ax.containers]


def test_contrasts_are_drawn_where_they_are():
    tests = {name: symmetry_test(W, permutations=0) for name, W in ensembles().items()}
    picture = evidence.contrasts(tests)
    (ax,) = picture.figure.axes
    for x, (name, test) in zip(drawn(ax), tests.items(), strict=True):
        z = test.contrasts["z"].to_numpy()
        np.testing.assert_array_equal(x, z)
        assert f"{name} {z[np.abs(z).argmax()]:+.1f}" in picture.alt
        assert (ax.get_xlim()[0] < z).all()
        assert (z < ax.get_xlim()[1]).all()
    assert "L1 and L2 stay within four" in picture.see
    assert f"recurrent W ({tests['recurrent W'].contrasts['z'].abs().max():.0f})" in picture.see


def test_contrasts_of_one_kind_alone():
    tests = {name: symmetry_test(W, permutations=0) for name, W in ensembles().items()}
    assert "no other is drawn" in evidence.contrasts({"L1": tests["L1"]}).see
    assert "none stays" in evidence.contrasts({"recurrent W": tests["recurrent W"]}).see


def test_permuted_ratios_give_the_exact_p_value_and_hold_all_draws():
    null = np.arange(1.0, 100.0)
    picture = evidence.permuted_ratios({"L1": (90.0, null)}, dof=3)
    assert "p exact 0.11" in picture.alt  # ten of 99 are as large
    assert f"by chi-squared {stats.chi2.sf(90, 3):.2g}" in picture.alt
    (ax,) = picture.figure.axes
    bars = [patch.get_data() for patch in ax.patches if hasattr(patch, "get_data")]
    assert bars[0].values.sum() == pytest.approx(1)
    assert bars[1].values.sum() == pytest.approx(1, abs=0.3)  # the law, in the same bins
    assert bars[0].edges[0] < 1 < 99 < bars[0].edges[-1]


def test_forgotten_fit_counts_what_lies_beyond():
    naive, honest = np.linspace(-1, 1, 100).reshape(2, 50), np.zeros((2, 50))
    honest[0, :6], honest[1, :4] = 3, -3
    picture = evidence.forgotten_fit(naive, honest)
    assert "fit forgotten, spread 0.58 and 0.00 ± 0.00 % beyond ±1.96" in picture.alt
    assert "fit counted, spread 0.95 and 10.00 ± 2.00 % beyond ±1.96" in picture.see
    with pytest.raises(PigmmError, match="two or more"):
        evidence.forgotten_fit(naive[:1], honest)


def test_powers_are_those_of_the_study():
    result = study()
    picture = evidence.powers(result)
    rates, ratios = picture.figure.axes
    expected = [cell[f"{law} family"][0] for cell in result["cells"].values() for law in ("13", "5")]
    np.testing.assert_allclose(np.sort(np.concatenate(drawn(rates))), np.sort(expected))
    shown = [cell[f"13 {what}"][0] for cell in result["cells"].values() for what in ("ratio", "ratio_max")]
    np.testing.assert_allclose(np.sort(np.concatenate(drawn(ratios))), np.sort(shown))
    cell = result["cells"]["loud matrices, R = 1000"]
    assert f"loud matrices: {cell['13 family'][0]:.2f} ± 0.01 and {cell['5 family'][0]:.2f} ± 0.01" in picture.alt


def test_powers_of_a_study_that_is_not_finished():
    part = study(sizes=(100,))
    part["cells"] |= study(["independent normal"], (1000,))["cells"]
    picture = evidence.powers(part)
    assert "At R = 1000, with standard errors: independent normal" in picture.alt
    assert "100 and 1000 networks" in picture.alt
    assert "nan" not in evidence.powers(study(["uniform entries"], (30,))).see


def test_powers_name_what_is_caught_in_spite_of_a_small_ratio():
    result = study(["all thirteen", "loud matrices"], (1000,))
    for key, value in (("13 family", 1.0), ("13 ratio", 0.0131)):
        result["cells"]["loud matrices, R = 1000"][key] = [value, 0.0]
    assert "1 of the 1 others nearly always, though their typical ratio is 0.013" in evidence.powers(result).see


@pytest.mark.parametrize("draw", [evidence.contrasts, evidence.permuted_ratios, evidence.powers])
def test_nothing_to_draw_is_named(draw):
    with pytest.raises(PigmmError, match="nothing to draw"):
        draw({})


# ---- what the pages say


def test_expectations_under_column_permutations_come_from_bipartite_invariants():
    W = np.random.default_rng(3).normal(size=(4, 4))
    D = len(W)
    every = np.stack([W[:, list(p)] for p in itertools.permutations(range(D))])
    path, trace, transposed = evaluate(["01.12", "00", "01.10"], every).mean(axis=0)
    total, square, norm, rows, columns = evaluate(["01", "01+01", "01.01", "01.02", "01.21"], W[None])[0]
    assert path == pytest.approx(square / D)
    assert trace == pytest.approx(total / D)
    assert transposed == pytest.approx(norm / D + (square - rows - columns + norm) / (D * (D - 1)))


def test_the_derivative_of_a_prediction_is_the_regression_on_what_was_fitted():
    law = TwoSidedGaussian([0.2, 0.5, 0.3, 0.2, 0.15], (4, 6))
    fitted = ["01", "01+01", "01.02", "01.21", "01.01"]
    graphs = bipartite_graphs(3) + bipartite_graphs(4)

    def covariance(left, right):
        both = expectation([f"{a}+{b}" for a in left for b in right], law).reshape(len(left), len(right))
        return both - np.outer(expectation(left, law), expectation(right, law))

    slopes = np.linalg.solve(covariance(fitted, fitted), covariance([g.name for g in graphs], fitted).T).T
    W = law.sample(20, seed=0)
    A = np.linalg.lstsq(evaluate(fitted, W), two_sided_statistics(W), rcond=None)[0].T  # statistics from invariants
    np.testing.assert_allclose(slopes, wick.jacobian(as_graphs(graphs), law) @ A, rtol=1e-6, atol=1e-8)


def test_a_kurtosis_has_the_honest_error_of_the_page():
    x = np.random.default_rng(4).standard_normal((4000, 200))
    difference = (x**4).mean(axis=1) - 3 * (x**2).mean(axis=1) ** 2
    assert difference.std() == pytest.approx(np.sqrt(24 / 200), rel=0.05)
    skewness = (x**3).mean(axis=1) - 3 * x.mean(axis=1) * (x**2).mean(axis=1) + 2 * x.mean(axis=1) ** 3
    assert skewness.std() == pytest.approx(np.sqrt(6 / 200), rel=0.05)
