"""The report says what is so, what is not, and what cannot be told; in every form, and whatever the names are."""

import base64
import json
import re
import xml.etree.ElementTree as ET

import numpy as np
import pytest

import pigmm
from pigmm import PigmmError, SimpleGaussian, TwoSidedGaussian
from pigmm.own_weights import load_weights
from pigmm.report import checked_output, report
from tests.pictures import check_picture

TWO_SIDED = TwoSidedGaussian([0.1, 0.2, 0.6, 0.15, 0.1], (6, 6)).sample(60, seed=0)
IID = SimpleGaussian(0.0, 0.2, (4, 7)).sample(60, seed=1)


@pytest.fixture(scope="module")
def found():
    diagonal = TWO_SIDED.copy()
    diagonal[:, range(6), range(6)] += 0.3
    rows = IID + np.linspace(-0.5, 0.5, 4)[:, None]
    layers = {"hidden": TWO_SIDED, "recurrent": diagonal, "iid": IID, "output": rows}
    return report(layers, labelled="output", against="gaussian", bootstrap=False, seed=1)


def sentences(found, layer):
    return " ".join(next(part for part in found.layers if part.name == layer).sentences)


def numbers(found, layer):
    return next(part for part in found.layers if part.name == layer).numbers


def test_it_tells_known_laws_apart(found):
    assert "Weights are not independent" in sentences(found, "hidden")
    assert "Independent weights of one variance are not refuted" in sentences(found, "iid")
    assert "Nothing says that the diagonal is special" in sentences(found, "hidden")
    assert "The diagonal is special" in sentences(found, "recurrent")
    assert "Rows are not alike" in sentences(found, "output")
    assert "labelled" not in " ".join(name for name in numbers(found, "iid"))
    for part in found.layers:
        assert "no sign of it" in " ".join(part.sentences)
        assert not part.unknown
    assert found.warnings == ()


def test_numbers_are_those_of_the_package(found):
    hidden = found.layers[0]
    gain = SimpleGaussian.fit(TWO_SIDED).entropy() - TwoSidedGaussian.fit(TWO_SIDED).entropy()
    assert hidden.numbers["gain_two_sided"] == pytest.approx(gain)
    table = hidden.tables["parameters"].set_index(["law", "parameter"])
    law = pigmm.GaussianMatrixModel.fit(TWO_SIDED)
    np.testing.assert_allclose(table.loc["diagonal", "value"], law.parameters, atol=1e-12)
    np.testing.assert_allclose(table.loc["diagonal", "se if Gaussian"], law.parameter_errors(60), rtol=1e-9)
    test = pigmm.symmetry_test(TWO_SIDED)
    np.testing.assert_allclose(hidden.tables["contrasts"]["z"], test.contrasts["z"], rtol=1e-9)
    compared = pigmm.compare(TWO_SIDED, model=TwoSidedGaussian)
    np.testing.assert_allclose(hidden.tables["invariants"]["z"], compared["z"], rtol=1e-9)
    exact = pigmm.w2_squared(pigmm.TwoSidedGaussian.fit(IID), SimpleGaussian(0.0, 1 / 7, (4, 7)))
    assert found.layers[2].tables["distance"]["squared distance"].item() == pytest.approx(exact)


def test_contrasts_are_in_units_of_the_weights():
    one, three = (report({"W": scale * TWO_SIDED}, bootstrap=False).layers[0] for scale in (1.0, 3.0))
    contrasts = one.tables["contrasts"], three.tables["contrasts"]
    np.testing.assert_allclose(contrasts[1]["value"], contrasts[0]["value"] * ([3] + [9] * 7), rtol=1e-9)


def test_errors_from_the_runs_cover_heavy_tails_where_gaussian_ones_do_not():
    rng = np.random.default_rng(5)
    loud = rng.normal(size=(200, 5, 5)) * rng.lognormal(0, 0.5, size=(200, 1, 1))
    table = report({"W": loud}, bootstrap=False).layers[0].tables["parameters"].set_index(["law", "parameter"])
    row = table.loc[("independent", "variance")]
    assert row["se"] > 3 * row["se if Gaussian"]
    variances = (loud**2).mean(axis=(1, 2))
    assert row["se"] == pytest.approx(variances.std() / 200**0.5, rel=0.05)


# ---- few runs and odd matrices


@pytest.mark.parametrize("R", [3, 7, 11, 20])
def test_few_runs_say_what_cannot_be_told(R):
    found = report({"W": TWO_SIDED[:R], "V": IID[:R]}, against="uniform", bootstrap=R == 7)
    text = found.text()
    assert "nan" not in text
    unknown = " ".join(found.layers[0].unknown)
    assert ("symmetry" in unknown) == (R < 12)
    assert ("independence" in unknown) == (R < 8)
    assert ("distance" in unknown) == (R < 10)
    assert "joint test: needs at least 50 runs" in unknown
    assert ("a standard error is itself known" in text) == (R < 20)


rng = np.random.default_rng(9)
S = rng.normal(size=(30, 5, 5))
ODD = {
    "symmetric": S + S.swapaxes(1, 2),
    "no diagonal": S * (1 - np.eye(5)),
    "rank one": S[:, :, :1] * S[:, :1, :],
    "binary": np.sign(S),
    "one entry varies": np.where(np.arange(25).reshape(5, 5) == 0, S, 1.0),
    "equal": np.ones((30, 5, 5)),
    "zero": np.zeros((30, 4, 6)),
    "constant in each run": np.broadcast_to(S[:, :1, :1], (30, 5, 5)),
    "half of the runs dead": S * (np.arange(30) % 2)[:, None, None],
    "far from zero": S + 1e6,
    "tiny": S * 1e-28,
    "large": S * 1e28,
    "one loud run": S * np.where(np.arange(30) == 3, 1e6, 1.0)[:, None, None],
    "two by two": S[:, :2, :2],
    "three by three": S[:, :3, :3],
    "two by nine": rng.normal(size=(30, 2, 9)),
    "whole numbers": rng.integers(-3, 3, size=(30, 4, 4)),
    "rows all alike": np.repeat(S[:, :1], 5, axis=1),
}


@pytest.mark.parametrize("case", ODD)
def test_odd_matrices_never_break_it(case):
    found = report({case: ODD[case]}, labelled=case, against="gaussian", bootstrap=False)
    text = found.text()
    assert not re.search(r"\b(nan|inf)\b", text)
    json.loads(found.json())
    part = found.layers[0]
    assert part.sentences or part.unknown


# ---- runs that are no runs


def test_copies_and_fine_tuned_copies_are_warned_about():
    W = TWO_SIDED.copy()
    W[7], W[9] = W[2], W[2]
    said = report({"W": W}, bootstrap=False).warnings[0]
    assert "run 2, run 7, run 9 are identical in all layers" in said
    parent = np.random.default_rng(0).normal(size=(5, 8))
    tuned = report({"W": parent + 0.3 * rng.normal(size=(30, 5, 8))}, bootstrap=False)
    assert "fine-tuned copies" in tuned.warnings[0]
    assert tuned.layers[0].numbers["mean_overlap"] > 0.5


def test_labelled_inputs_are_no_warning():
    """Columns that differ in all runs alike, as pixels do, are no sign of dependence; nor is a special diagonal."""
    columns = np.random.default_rng(0).normal(size=8)
    assert report({"first": columns + rng.normal(size=(40, 6, 8))}, bootstrap=False).warnings == ()
    square = 2 * np.eye(6) + rng.normal(size=(40, 6, 6))
    assert report({"square": square}, bootstrap=False).warnings == ()


def test_drift_with_the_order_of_runs():
    W = rng.normal(size=(40, 5, 6)) + np.linspace(0, 2, 40)[:, None, None]
    assert any("neighbours in the order" in warning for warning in report({"W": W}, bootstrap=False).warnings)


# ---- against something else


def test_two_ensembles(tmp_path):
    same = TwoSidedGaussian([0.1, 0.2, 0.6, 0.15, 0.1], (6, 6)).sample(60, seed=77)
    near = report({"hidden": TWO_SIDED}, against={"hidden": same}, bootstrap=False)
    far = report({"hidden": TWO_SIDED}, against={"other name": 1.5 * same}, bootstrap=False)
    assert "no difference" in sentences(near, "hidden")
    assert "the laws differ" in sentences(far, "hidden")
    assert numbers(far, "hidden")["same_law_p"] < 0.01 < numbers(near, "hidden")["same_law_p"]
    twice = report({"hidden": TWO_SIDED}, against={"hidden": TWO_SIDED}, bootstrap=False)
    assert "60 runs are in both sets" in twice.warnings[0]
    for name, W in (("early", IID), ("late", 2 * IID)):
        (tmp_path / name).mkdir()
        for r in range(12):
            np.save(tmp_path / name / f"seed{r}.npy", W[r])
    twice = report(tmp_path / "late", against=tmp_path / "early", bootstrap=False)
    assert "the same networks at two times" in " ".join(twice.warnings)


@pytest.mark.parametrize(
    ("options", "said"),
    [
        ({"labelled": "hiden"}, "Did you mean 'hidden'"),
        ({"labelled": 3}, "labelled: got 3"),
        ({"labelled": "bias"}, "labelled: got 'bias', shape"),
        ({"layer": "x"}, "layer: got 'x'"),
        ({"alpha": 0.0}, "alpha"),
        ({"alpha": float("nan")}, "alpha"),
        ({"seed": -1}, "seed"),
        ({"against": "nowhere"}, "against: .*gaussian, uniform"),
        ({"against": {"hidden": IID}}, "a layer of the same name and shape"),
    ],
)
def test_bad_options(options, said):
    with pytest.raises(PigmmError, match=said):
        report({"hidden": TWO_SIDED[:8], "bias": np.zeros((8, 6))}, **options)


def test_weight_may_be_left_out_of_names_and_misspellings():
    layers = {"fc.weight": IID[:12], "last.weight": TWO_SIDED[:12]}
    found = report(layers, labelled="last", bootstrap=False)
    assert [part.labelled for part in found.layers] == [False, True]
    with pytest.raises(PigmmError, match="labelled: .*Did you mean 'last'"):
        report(layers, labelled="lats", bootstrap=False)


def test_a_formula_for_many_runs_refutes_nothing_with_few():
    """Five Gaussian ensembles of five runs each: some look refuted by the formula, and none is said to be."""
    W = np.random.default_rng(0).normal(size=(25, 30, 40))
    parts = [report({"W": W[k : k + 5]}, bootstrap=False).layers[0] for k in range(0, 25, 5)]
    assert any(part.numbers["refuted"] for part in parts)
    for part in parts:
        said = " ".join(part.sentences)
        assert "is refuted" not in said
        assert ("cannot be judged" in said) == (part.numbers["refuted"] > 0)
        assert "by a formula for many runs" in said
    drawn = report({"W": TWO_SIDED[:10]}).layers[0]
    assert "formula" not in " ".join(drawn.sentences)


def test_the_distance_says_from_what(found):
    assert "Squared distance to a gaussian start, variance 1 over fan-in: " in sentences(found, "iid")


# ---- forms


def test_same_seed_same_report(found):
    weights = load_weights({"W": TWO_SIDED[:15, :4, :4]})
    first, again = (report(weights, bootstrap=False, seed=3) for _ in range(2))
    assert first.json() == again.json()
    assert first.html() == again.html()


def test_html_is_one_file_with_described_figures(found, tmp_path):
    path = found.write(tmp_path / "report.html")
    page = path.read_text()
    assert not re.search(r"""(?:src|href)=["'](?!data:)""", page)
    images = re.findall(r'<img alt="([^"]+)" src="data:image/svg\+xml;base64,([^"]+)"', page)
    assert len(images) == 3
    for alt, data in images:
        assert re.search(r"\d", alt)
        ET.fromstring(base64.b64decode(data))
    assert page.count("<table>") == page.count("</table>") > 15
    assert (tmp_path / "report.html").stat().st_size < 1_000_000
    ET.fromstring(re.sub(r"<(meta|img)([^>]*)>", r"<\1\2/>", page.removeprefix("<!DOCTYPE html>")))


def test_markdown_and_text_and_json(found, tmp_path):
    for ending in ("md", "txt", "json"):
        found.write(tmp_path / f"r.{ending}")
    markdown = (tmp_path / "r.md").read_text()
    assert markdown.count("![") == 3
    rows = [line for line in markdown.splitlines() if line.startswith("|")]
    assert rows
    assert max(map(len, (tmp_path / "r.txt").read_text().splitlines())) < 200
    content = json.loads((tmp_path / "r.json").read_text())
    assert content["layers"]["hidden"]["symmetry_p"] == found.layers[0].numbers["symmetry_p"]


@pytest.mark.parametrize("name", ["r.pdf", "missing/r.html", "r"])
def test_only_known_endings_in_existing_folders(found, tmp_path, name):
    with pytest.raises(PigmmError, match="output"):
        found.write(tmp_path / name)


def test_names_from_files_are_only_text():
    nasty = "<script>alert(1)</script>\x1b[31m|`*_$x^$\n# h"
    found = report({nasty: IID[:20]}, bootstrap=False)
    assert "<script>alert" not in found.html()
    assert "\x1b" not in found.text() + found.html() + found.markdown()
    assert "<script>" not in found.markdown(figures=False).replace("\\<script", "")


def test_a_folder_that_may_not_be_written_into_is_named_before_the_work(monkeypatch, tmp_path):
    monkeypatch.setattr("os.access", lambda *_: False)
    with pytest.raises(PigmmError, match="a folder that one may write into"):
        checked_output(tmp_path / "r.html")


def test_the_largest_z_is_that_of_the_tables():
    quiet = report({"W": SimpleGaussian(0.0, 1.0, (4, 5)).sample(60, seed=3)}, bootstrap=False)
    largest = quiet.layers[0].tables["invariants"]["z"].abs().max()
    assert largest < 3
    assert dict(quiet.pictures())["predictions"].see.endswith(f"The largest |z| is {largest:.1f}.")


def test_figures_say_how_many_layers_they_leave_out():
    many = report({f"layer {k}": TWO_SIDED[:20, :4, :4] + k for k in range(7)}, bootstrap=False)
    assert [name for name, picture in many.pictures() if "The first 6 of 7 layers are shown." in picture.see] == [
        "contrasts", "predictions"
    ]  # fmt: skip


def test_figures_describe_themselves(found, monkeypatch, tmp_path):
    for name, picture in found.pictures():
        check_picture(picture, name, monkeypatch, tmp_path)
