"""The maps in Chromium: what is picked is drawn over them, the zoom stays, points have names, pictures are saved."""

from __future__ import annotations

import itertools
import struct
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pyarrow.parquet as pq
import pytest

from featurelib.schema import LABELS
from precompute.build.provenance import write_manifest
from tests.support.map_run import LIVE, map_run
from tests.support.numpy_run import NumpyRun
from tests.support.server import serve
from tests.support.visit import Visit

pytestmark = pytest.mark.browser
HOSTILE = {4: "<img src=http://evil.example/x onerror=alert(1)>", 8: "a & b <b>bold</b>", 20: "100 % ]]></script>"}
RANGE = """() => { const { xaxis, yaxis } = document.querySelector('.js-plotly-plot')._fullLayout;
    return [...xaxis.range, ...yaxis.range].map(end => +end.toFixed(4)) }"""
PLACE = """id => { const plot = document.querySelector('.js-plotly-plot');
    const trace = plot._fullData.find(trace => [...trace.customdata].includes(id));
    const at = [...trace.customdata].indexOf(id), frame = plot.getBoundingClientRect();
    const place = window.maps.place(plot, trace.x[at], trace.y[at]);
    return [frame.left + place.x, frame.top + place.y] }"""
"""Where a point stands in the window."""
RING = """() => { const ring = document.querySelector('.map-ring');
    if (!ring || ring.hidden || getComputedStyle(ring).borderTopStyle !== 'solid') return null;
    const box = ring.getBoundingClientRect(); return [box.left + box.width / 2, box.top + box.height / 2] }"""
INK = """() => { const canvas = document.querySelector('.map-picked');
    const { data } = canvas.getContext('2d').getImageData(0, 0, canvas.width, canvas.height);
    let dots = 0; for (let at = 3; at < data.length; at += 4) dots += data[at] === 255; return dots }"""
"""How many pixels of the layer above the points are covered whole: those of the points that stand out."""
NAMES = """() => [...document.querySelectorAll('.near-names span')].map(name => {
    const box = name.getBoundingClientRect();
    return [name.textContent, name.children.length, box.left, box.top, box.right, box.bottom] })"""
REGIONS = """() => [...document.querySelectorAll('g.annotation')].filter(name => name.style.opacity === '1')
    .map(name => name.getBoundingClientRect()).map(box => ['', 0, box.left, box.top, box.right, box.bottom])"""


@pytest.fixture(scope="module")
def made(tmp_path_factory: pytest.TempPathFactory) -> NumpyRun:
    """The run with all that maps draw, some of whose labels are hostile."""
    made = map_run(tmp_path_factory.mktemp("maps") / "mapped")
    rows = pq.read_table(made.generation.file(LABELS))
    labels = [HOSTILE.get(row["feature_id"], row["label"]) for row in rows.to_pylist()]
    place = rows.schema.get_field_index("label")
    pq.write_table(rows.set_column(place, rows.schema.field(place), [labels]), made.generation.file(LABELS))
    write_manifest(made.generation)
    return made


@pytest.fixture(scope="module")
def address(made: NumpyRun, tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    with serve(made.run.path.parent, tmp_path_factory.mktemp("server") / "log.txt") as (served, _):
        yield served


def box_of(visit: Visit) -> dict[str, float]:
    visit.page.wait_for_selector(".js-plotly-plot .nsewdrag", state="attached")
    box: dict[str, float] = visit.still(visit.page.locator(".js-plotly-plot").first.bounding_box)
    return box


def lasso_all(visit: Visit) -> None:
    """Draw a lasso around the whole map."""
    box = box_of(visit)
    visit.expect(lambda: visit.page.evaluate("document.querySelector('.js-plotly-plot')._fullLayout.dragmode"), "lasso")
    left, top, right, bottom = box["x"] + 3, box["y"] + 3, box["x"] + box["width"] - 3, box["y"] + box["height"] - 9
    visit.page.mouse.move(left, top)
    visit.page.mouse.down()
    for x, y in ((right, top), (right, bottom), (left, bottom), (left, top)):
        visit.page.mouse.move(x, y, steps=8)
    visit.page.mouse.up()
    visit.page.get_by_text(f"{len(LIVE)} features in the lasso").wait_for()
    visit.settle()


def zoom_to(visit: Visit, feature_id: int) -> list[float]:
    """Turn the wheel over a point; the ranges of the axes after it."""
    visit.page.mouse.move(*visit.page.evaluate(PLACE, feature_id))
    for _ in range(4):
        visit.page.mouse.wheel(0, -240)
        visit.page.wait_for_timeout(150)
    ranges: list[float] = visit.still(lambda: visit.page.evaluate(RANGE), 0.4)
    return ranges


def near(place: list[float] | None, wanted: list[float]) -> bool:
    return place is not None and all(abs(a - b) < 1.5 for a, b in zip(place, wanted, strict=True))


def test_a_pick_keeps_the_lasso_and_the_zoom(visit: Visit) -> None:
    visit.open("/map?run=mapped&drag=lasso")
    box_of(visit)
    whole = visit.page.evaluate(RANGE)
    assert visit.page.evaluate(RING) is None
    lasso_all(visit)
    assert visit.page.evaluate(INK) > 500 and "lasso=" in visit.page.url
    visit.expect(lambda: visit.page.evaluate("document.querySelector('.js-plotly-plot')._fullLayout.dragmode"), "pan")
    zoomed = zoom_to(visit, 20)
    assert zoomed != whole
    visit.page.mouse.click(*visit.page.evaluate(PLACE, 20))
    visit.expect(lambda: "feature=20" in visit.page.url, True)
    visit.settle()
    assert f"{len(LIVE)} features in the lasso" in visit.text and "feature 20" in visit.text
    visit.expect(lambda: near(visit.page.evaluate(RING), visit.page.evaluate(PLACE, 20)), True)
    assert visit.page.evaluate(RANGE) == zoomed and visit.page.evaluate(INK) > 0

    visit.page.locator('a.in-app[href*="lasso="][href*="feature=30"]').click()
    visit.expect(lambda: "feature=30" in visit.page.url, True)
    visit.settle()
    assert visit.page.evaluate(RANGE) == zoomed and f"{len(LIVE)} features in the lasso" in visit.text

    visit.page.get_by_text("Forget the lasso").click()
    visit.expect(lambda: "lasso" in visit.page.url, False)
    visit.settle()
    visit.expect(lambda: visit.page.evaluate(INK), 0)
    assert "in the lasso" not in visit.text and "feature 30" in visit.text


COLOURS = """() => { const [grey, coloured] = document.querySelector('.js-plotly-plot')._fullData;
    const numbers = [...coloured.marker.color].map(number => +number.toFixed(5));
    return [[...(grey.customdata ?? [])], [...coloured.customdata], numbers] }"""


def choose_colour(visit: Visit, name: str) -> None:
    visit.page.locator(".st-key-map-controls input[role=combobox]").first.click()
    visit.page.get_by_role("option", name=name).click()


def test_other_colours_are_given_to_the_same_map(visit: Visit, made: NumpyRun) -> None:
    visit.open("/map?run=mapped")
    box_of(visit)
    whole = visit.page.evaluate(RANGE)
    before = visit.page.evaluate(COLOURS)
    zoomed = zoom_to(visit, 20)
    visit.settle()
    visit.page.evaluate("document.querySelector('.js-plotly-plot').isTheSame = true")
    choose_colour(visit, "Max. activation")
    visit.page.locator(".js-plotly-plot .colorbar").first.wait_for(state="attached")
    strongest = made.activations.max(axis=0)
    order = sorted(LIVE.tolist(), key=lambda feature_id: (strongest[feature_id], feature_id))
    visit.expect(
        lambda: visit.page.evaluate(COLOURS),
        [[], order, [pytest.approx(float(strongest[feature_id]), abs=1e-4) for feature_id in order]],
    )
    assert visit.page.evaluate(RANGE) == zoomed
    choose_colour(visit, "Themes")
    visit.expect(lambda: visit.page.evaluate(COLOURS), before)
    assert visit.page.locator(".js-plotly-plot .colorbar").count() == 0
    assert visit.page.evaluate("document.querySelector('.js-plotly-plot').isTheSame")
    visit.page.mouse.dblclick(*visit.page.evaluate(PLACE, 20))
    visit.expect(lambda: visit.page.evaluate(RANGE), whole)


def test_a_map_that_is_come_back_to_is_where_it_was(visit: Visit) -> None:
    visit.open("/map?run=mapped&colour=density")
    box_of(visit)
    zoomed = zoom_to(visit, 20)
    visit.page.locator('.menu a.in-app[href^="families"]').click()
    visit.expect(lambda: visit.page.locator("h1").inner_text(), "Families")
    visit.settle()
    visit.page.go_back()
    visit.expect(lambda: visit.page.locator("h1").inner_text(), "Map")
    box_of(visit)
    visit.expect(lambda: visit.page.evaluate(RANGE), zoomed)


def apart(a: list[Any], b: list[Any]) -> bool:
    return a[4] <= b[2] or b[4] <= a[2] or a[5] <= b[3] or b[5] <= a[3]


def test_few_points_have_their_names_letter_by_letter_and_none_over_another(visit: Visit, made: NumpyRun) -> None:
    visit.open("/map?run=mapped&near=directions")
    box_of(visit)
    visit.expect(lambda: len(visit.page.evaluate(NAMES)) > 10, True)
    names = visit.page.evaluate(NAMES) + visit.page.evaluate(REGIONS)
    labels = {HOSTILE.get(feature_id, label) for feature_id, label in made.labels.items()}
    assert all(not n_inside for _, n_inside, *_ in names)
    shown = {name.removesuffix(" …") for name, *_ in names if name}
    assert all(any(label.startswith(name) for label in labels) for name in shown)
    assert all(apart(a, b) for a, b in itertools.combinations(names, 2))
    hover = "() => document.querySelector('.js-plotly-plot')._fullData.flatMap(t => [...(t.hovertext || [])])"
    visit.expect(lambda: len(visit.page.evaluate(hover)) > 10, True)
    texts = visit.page.evaluate(hover)
    assert "a &amp; b &lt;b&gt;bold&lt;/b&gt;" in texts and not any("<" in text for text in texts)
    visit.page.mouse.move(*visit.page.evaluate(PLACE, 8))
    visit.page.locator(".hoverlayer .hovertext").first.wait_for()
    assert "a & b <b>bold</b>" in visit.page.locator(".hoverlayer").text_content()


def test_the_map_is_saved_as_png_and_as_svg(visit: Visit, tmp_path: Path) -> None:
    visit.open("/map?run=mapped&lasso=4.4.c&feature=20")
    box = box_of(visit)
    with visit.page.expect_download() as download:
        visit.page.locator("button.save-picture").click()
    assert download.value.suggested_filename == "mapped-map.png"
    download.value.save_as(tmp_path / "map.png")
    head = (tmp_path / "map.png").read_bytes()[:24]
    assert head[:8] == b"\x89PNG\r\n\x1a\n"
    wide, high = struct.unpack(">II", head[16:24])
    assert (wide, high) == (pytest.approx(3 * box["width"], abs=6), pytest.approx(3 * box["height"], abs=6))
    assert visit.page.evaluate("document.querySelector('.js-plotly-plot').data.length") == 2  # as it was before
    with visit.page.expect_download() as download:
        visit.page.get_by_role("button", name="SVG").first.click()
    download.value.save_as(tmp_path / "map.svg")
    assert (tmp_path / "map.svg").read_text(encoding="utf-8").count("<circle ") == len(LIVE)


@pytest.mark.parametrize("path", ["/map?run=mapped&lasso=4.4.c&feature=20", "/textmap?run=mapped&lasso=1.1.2&text=2"])
def test_maps_fit_a_telephone(browser: Any, address: str, path: str) -> None:
    context = browser.new_context(viewport={"width": 390, "height": 844})
    visit = Visit(context.new_page(), address)
    visit.open(path)
    box_of(visit)
    assert visit.page.evaluate("document.documentElement.scrollWidth") <= 390
    sideways = "({ scrollWidth, clientWidth }) => scrollWidth - clientWidth"
    assert visit.page.locator('[data-testid="stMain"]').evaluate(sideways) == 0
    assert visit.page.locator(".st-key-map-window").bounding_box()["height"] < 560
    visit.check()
    context.close()
