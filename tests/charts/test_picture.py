"""The picture of a map for a paper: an SVG with a circle for each point, in the map's colours and with safe names."""

from __future__ import annotations

import itertools
from xml.etree import ElementTree

import numpy as np
import pyarrow as pa
import pytest

from featurelib import charts
from featurelib.charts import picture
from featurelib.ui.kit.theme import LIGHT
from tests.charts.test_charts import layout

SVG = "{http://www.w3.org/2000/svg}"
HOSTILE = '<script>alert(1)</script> & "q" \x00\x0b\ufffe ]]>'


def drawn(rows: pa.Table, colour: str = "cluster", **options: object) -> ElementTree.Element:
    return ElementTree.fromstring(charts.map_svg(rows, charts.own_colouring(rows, colour), LIGHT, **options).encode())


def circles(svg: ElementTree.Element) -> list[tuple[float, float]]:
    return [(float(circle.get("cx")), float(circle.get("cy"))) for circle in svg.iter(f"{SVG}circle")]


def test_there_is_one_circle_for_each_feature_at_the_scaled_place() -> None:
    rows = layout(300)
    svg = drawn(rows, width=800)
    x, y = rows["x"].to_numpy().astype(float), rows["y"].to_numpy().astype(float)
    scale = (800 - 2 * 24) / max(np.ptp(x), np.ptp(y) / 2)
    expected = np.stack([24 + (x - x.min()) * scale, 24 + (y.max() - y) * scale], axis=1)
    distances = np.abs(np.array(circles(svg))[:, None] - expected[None]).max(axis=2)
    assert sorted(distances.argmin(axis=1)) == list(range(300)) and distances.min(axis=1).max() <= 0.0051
    assert svg.get("width") == "800" and float(svg.get("height")) == pytest.approx(48 + np.ptp(y) * scale, abs=1)
    assert all(0 <= a <= 800 and 0 <= b <= float(svg.get("height")) for a, b in circles(svg))


def test_circles_have_the_colours_of_the_map() -> None:
    rows = layout(200)
    svg = drawn(rows)
    fills = [circle.get("fill") for circle in svg.iter(f"{SVG}circle")]
    clusters = rows["cluster"].to_numpy()
    assert sorted(fill for fill in fills if fill) == sorted(LIGHT.palette[c % 8] for c in clusters if c >= 0)
    assert fills.count(None) == (clusters < 0).sum() and None not in fills[fills.count(None) :]
    shown = picture.point_colours(charts.Colouring(pa.chunked_array([[0.0, 1.0, None, 0.1, 5.0]]), "x"), LIGHT)
    assert shown[2] is None and shown[0] == LIGHT.scale[0] and shown[4] == LIGHT.scale[-1]
    half = picture.point_colours(charts.Colouring(pa.chunked_array([[0.0, 0.5, 1.0]]), "x"), LIGHT)[1]
    mixed = [(int(LIGHT.scale[2][at : at + 2], 16) + int(LIGHT.scale[3][at : at + 2], 16)) / 2 for at in (1, 3, 5)]
    assert [int(half[at : at + 2], 16) for at in (1, 3, 5)] == pytest.approx(mixed, abs=1)


def test_lit_features_have_the_accent_and_the_others_are_faint() -> None:
    svg = drawn(layout(50), lit=[7, 8, 1234])
    *others, lit = svg.findall(f"{SVG}g")
    assert lit.get("fill") == LIGHT.accent and len(lit) == 2 and float(lit.get("fill-opacity")) == 1
    assert all(float(group.get("fill-opacity")) < 0.3 for group in others) and len(circles(svg)) == 50


def test_hostile_names_are_words_and_nothing_else() -> None:
    regions = pa.table({"level": [0, 1], "label": [HOSTILE, "finer"], "x": [0.0, 0.0], "y": [0.0, 0.0]})
    svg = drawn(layout(30), regions=regions)
    assert [text.text for text in svg.iter(f"{SVG}text")] == ['<script>alert(1)</script> & "q" ]]>']
    assert {element.tag.removeprefix(SVG) for element in svg.iter()} == {"svg", "rect", "g", "circle", "text"}


def test_no_name_stands_over_another_and_all_are_inside() -> None:
    draw = np.random.default_rng(0)
    regions = pa.table(
        {"level": [0] * 40, "label": [f"name number {n} 漢字" for n in range(40)],
         "x": draw.standard_normal(40), "y": draw.standard_normal(40)}
    )  # fmt: skip
    svg = drawn(layout(300), regions=regions)
    size = float(svg.findall(f"{SVG}g")[-1].get("font-size"))
    texts = list(svg.iter(f"{SVG}text"))
    assert 15 < len(texts) < 40
    half = {text.text: picture._width(text.text) * size / 2 for text in texts}
    for one, other in itertools.combinations(texts, 2):
        apart_x = abs(float(one.get("x")) - float(other.get("x"))) >= half[one.text] + half[other.text] - 0.2
        assert apart_x or abs(float(one.get("y")) - float(other.get("y"))) >= 1.2 * size - 0.2
    assert all(half[text.text] <= float(text.get("x")) <= 1200 - half[text.text] for text in texts)


@pytest.mark.parametrize("n", [0, 1, 2])
def test_a_map_of_hardly_any_points_is_a_picture_too(n: int) -> None:
    rows = layout(300).slice(1, n)
    for colour in ("density", "cluster"):
        assert len(circles(drawn(rows, colour))) == n


def test_equal_rows_give_equal_bytes() -> None:
    rows = layout(100)
    first, second = (charts.map_svg(rows, charts.own_colouring(rows, "density"), LIGHT) for _ in range(2))
    assert first == second
