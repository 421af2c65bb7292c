"""What every figure of the book must be: described from its data, labelled, narrow, and shown with its description."""

import re

from pigmm import style


def check_picture(picture, name, monkeypatch, tmp_path):
    assert re.search(r"\d", picture.alt), "the description holds numbers of this run"
    assert len(picture.alt) > 60
    assert picture.see.startswith("What to see: ")
    assert "nan" not in picture.alt + picture.see
    assert picture.figure.get_size_inches()[0] <= 6.5
    if picture.numbers is not None:
        assert len(picture.numbers) > 0
        assert not picture.numbers.isin(["nan"]).any(axis=None)
        assert picture.numbers.columns.is_unique
    drawn = [ax for ax in picture.figure.axes if ax.get_label() != "<colorbar>" and not ax.images]
    assert any(ax.get_xlabel() for ax in drawn)
    shown = []
    monkeypatch.setattr("IPython.display.display", lambda *a, **k: shown.append((a, k)))
    monkeypatch.setenv("PIGMM_OUTPUT", str(tmp_path))
    style.show(picture, name)
    assert shown[0][1]["metadata"]["image/svg+xml"]["alt"] == picture.alt
    assert ("Numbers of this figure" in getattr(shown[-1][0][0], "data", "")) == (picture.numbers is not None)
    svg = (tmp_path / "figures" / f"{name}.svg").read_text()
    assert "<svg" in svg
    assert not re.search(r"<!--|<dc:date>", svg)
    assert not re.search(r'id="patch_1">\s*<path [^>]*fill: #(?!none)', svg), "transparent, for dark pages"
