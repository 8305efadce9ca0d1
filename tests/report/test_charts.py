"""Curves of several seeds: means and ends, whatever is missing or not finite."""

from __future__ import annotations

import csv
import html
import io
import math
import re

import numpy as np

from nas_lightning.report.charts import BINS, Aligned, Band, band, curves, histograms
from nas_lightning.report.svg import inline

NAN, INF = math.nan, math.inf


def test_over_seeds() -> None:
    found = band([([1, 2, 3], [1.0, 2.0, 3.0]), ([1, 2], [3.0, 2.0])])
    assert found.x.tolist() == [1, 2, 3]
    assert found.mean.tolist() == [2, 2, 3]
    assert found.low.tolist() == [1, 2, 3]
    assert found.high.tolist() == [3, 2, 3]


def test_what_is_not_finite_is_left_out() -> None:
    found = band([([1, 2, 3], [NAN, INF, 3.0]), ([1, 2, 3], [NAN, 2.0, -INF])])
    assert found.x.tolist() == [2, 3]
    assert found.mean.tolist() == [2, 3]
    assert len(band([([1], [NAN])]).x) == 0


def test_many_steps_are_averaged() -> None:
    steps = list(range(1000))
    found = band([(steps, [2.0 * step for step in steps]), (steps, [0.0] * 1000)])
    assert len(found.x) == BINS
    assert np.allclose(found.mean, found.x, atol=1)
    assert np.allclose(found.high, 2 * found.x, atol=2)
    assert (found.low == 0).all()


def test_the_axis_of_a_wide_range_is_logarithmic() -> None:
    wide, narrow = (band([([1, 2], values)]) for values in ([1.0, 1e9], [1e9, 2e9]))
    scales = [
        curves({"a": b}, {"a": "#123456"}, x="x", title="t", logarithmic=True).axes[0].get_yscale()
        for b in (wide, narrow)
    ]
    assert scales == ["log", "linear"]


def test_values_that_are_all_the_same_are_drawn() -> None:
    samples = {"a $ b": (np.array([2.0, 2.0]), np.array([1, 3]))}
    picture = inline(histograms(samples, {"a $ b": "#123456"}, x="x"), name="h", alt='"')
    assert "a $ b</text>" in picture
    assert 'aria-label="&#34;"' in picture


def test_a_drawing_keeps_the_names_it_uses_and_no_others() -> None:
    straight = Band(*(np.array([0.0, 1.0]) for _ in range(4)))
    svg = inline(
        curves({"a": straight}, {"a": "#123456"}, x="x", title="0.12345"), name="n", alt=""
    )
    names = re.findall(r'id="([^"]+)"', svg)
    used = re.findall(r'href="#([^"]+)"|url\(#([^)]+)\)', svg)
    assert set(names) == {"".join(pair) for pair in used}
    assert len(names) == len(set(names)) > 0
    assert "0.12345" in svg


def test_the_numbers_of_an_axis_have_the_same_digits() -> None:
    form = Aligned()
    assert form.format_ticks([0.27, 0.30000000000000004, 0.33]) == ["0.27", "0.30", "0.33"]
    assert form.format_ticks([0, 150000, 300000]) == ["0", "150,000", "300,000"]
    assert form.format_ticks([3.32e8, 3.325e8]) == ["3.32e8", "3.325e8"], "short enough"


def test_a_figure_holds_its_numbers() -> None:
    bands = {"a, b": band([([1, 2], [3.0, 4.0]), ([1, 2], [5.0, 4.0])])}
    picture = inline(curves(bands, {"a, b": "#123456"}, x="epoch", title="t"), name="c", alt="")
    (text,) = re.findall("<metadata>(.*?)</metadata>", picture, re.DOTALL)
    rows = list(csv.reader(io.StringIO(html.unescape(text))))
    assert rows == [
        ["name", "epoch", "middle", "smallest", "largest"],
        ["a, b", "1", "4", "3", "5"],
        ["a, b", "2", "4", "4", "4"],
    ]
