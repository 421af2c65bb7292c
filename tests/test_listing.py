"""Tables under figures: what is drawn, with errors, in the order drawn, and never more than fits."""

import re
from html.parser import HTMLParser

import numpy as np
import pandas as pd
import pytest

from pigmm.listing import fold, listed, value


@pytest.mark.parametrize("error", [1e-5, 0.00321, 0.0996, 0.1, 0.9999, 3.0, 99.9, 250.0])
def test_error_has_two_digits_and_the_number_as_many_decimals(error):
    text = value(np.pi * 100, error)
    number, margin = text.split(" ± ")
    assert abs(float(number) - 100 * np.pi) <= 0.51 * 10 ** -len(number.partition(".")[2])
    assert float(margin) == pytest.approx(error, rel=0.06)
    assert len(number.partition(".")[2]) == len(margin.partition(".")[2])


@pytest.mark.parametrize(("number", "error"), [(3.21e-6, 4.5e-7), (-1.0, 2.5e-8), (0.0, 1e-9)])
def test_small_errors_share_a_power_of_ten_with_their_number(number, error):
    head, margin, power = re.fullmatch(r"\(([-\d.]+) ± ([\d.]+)\)e([-+]\d+)", value(number, error)).groups()
    scale = 10.0 ** int(power)
    assert float(head) * scale == pytest.approx(number, abs=0.051 * scale)
    assert float(margin) * scale == pytest.approx(error, rel=0.05)


def test_long_trainings_keep_their_ends():
    table = pd.DataFrame({"epoch": np.arange(51), "y": np.arange(51.0)})
    shown = listed(table, {"epoch": "epoch", "y": "y"})
    assert list(shown["epoch"]) == list(shown["y"])
    assert list(shown["epoch"].iloc[[0, -1]]) == ["0", "50"]
    assert len(shown) <= 9
    short = table.head(8)
    assert len(listed(short, {"epoch": "epoch"})) == 8
    assert listed(table.head(38), {"epoch": "epoch"})["epoch"].iloc[-1] == "37"


def test_several_tables_keep_their_names_and_numbers():
    tables = {name: pd.DataFrame({"layer": ["L1", "L2"], "f": [k, k + 0.5], "e": 0.1}) for k, name in enumerate("ab")}
    shown = listed(tables, {"layer": "layer", "f": ("f", "e")})
    assert shown.to_numpy().tolist() == [
        ["a", "L1", "0.00 ± 0.10"], ["a", "L2", "0.50 ± 0.10"], ["b", "L1", "1.00 ± 0.10"], ["b", "L2", "1.50 ± 0.10"],
    ]  # fmt: skip


def test_folded_table_is_whole_and_escaped():
    class Reader(HTMLParser):
        open, seen = 0, 0

        def handle_starttag(self, tag, attrs):
            self.open += 1
            self.seen += tag == "td"

        def handle_endtag(self, tag):
            self.open -= 1

    page = fold(pd.DataFrame({"law": ["<b>", "x"], "y": ["1 & 2", "3"]}), 'a "name"')
    reader = Reader()
    reader.feed(page)
    assert (reader.open, reader.seen) == (0, 2)
    assert "<b>" not in page
    assert re.search(r'aria-label="[^"]*&quot;name&quot;" tabindex="0"', page)
