"""The map of the texts: where a feature fires is where numpy says, and its points stay small."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pyarrow as pa
import pytest

import featurelib
from featurelib import charts, queries
from featurelib.queries import OpenRun
from featurelib.schema import TEXT_LAYOUT
from featurelib.storage import files
from featurelib.storage.runs import Run
from featurelib.storage.store import open_store
from featurelib.ui.kit.theme import LIGHT
from tests.support.numpy_run import N_TEXTS, NumpyRun, make_run
from tests.support.page import Open, UseData, bodies, links, page_of, words


@pytest.fixture(scope="module")
def made(tmp_path_factory: pytest.TempPathFactory) -> NumpyRun:
    return make_run(tmp_path_factory.mktemp("map") / "small")


@pytest.fixture(scope="module")
def opened(tiny: Run) -> OpenRun:
    return featurelib.open(tiny.path)


def test_the_map_of_the_texts_is_coloured_by_where_a_feature_fires(opened: OpenRun, open_tiny: Open) -> None:
    feature = opened.features()["feature_id"].iloc[0]
    fires = opened.ask("select text_id from activations_by_feature where feature_id = $f", f=int(feature))["text_id"]
    app = open_tiny("textmap.py", feature=feature, text=3)
    assert f"fires on {len(fires)} of the 600 texts here" in words(app) and "text 3" in words(app)
    figure = json.loads(app.main.get("plotly_chart")[0].proto.spec)
    assert len(figure["data"]) == 2
    assert 'data-ring="3"' in next(body for body in bodies(app) if 'class="map-picks"' in body)
    rows = queries.text_layout(opened.store)
    values = queries.layout_activations(opened.store, int(feature))["activation"]
    drawn = charts.text_map(rows, charts.Colouring(values, "activation", sparse=True), LIGHT)
    assert sorted(drawn.data[1].customdata) == sorted(fires)
    assert set(drawn.data[0].customdata) == set(range(600)) - set(fires)


def test_the_map_finds_features_by_words_and_colours_by_a_column(opened: OpenRun, open_tiny: Open) -> None:
    label = opened.features()["label"].iloc[0]
    app = open_tiny("textmap.py", q=label.split(" ")[0], colour="group")
    assert label in links(app) and "other values are grey" in words(app)
    assert "1,001" not in words(app) and "fires on" not in words(app)
    said = words(open_tiny("textmap.py", q="nonesuch")).lower()
    assert "no label or keyword contains" in said and "colour by:" not in said
    assert "there is no feature 999" in words(open_tiny("textmap.py", feature=999)).lower()
    assert "colour=plaid" in words(open_tiny("textmap.py", colour="plaid"))


@pytest.fixture
def mapped(tmp_path: Path) -> NumpyRun:
    """The numpy run with places for every third text."""
    truth = make_run(tmp_path / "mapped")
    ids = np.arange(0, N_TEXTS, 3)
    rows = pa.table([ids, np.cos(ids).astype("f4"), np.sin(ids).astype("f4")], schema=TEXT_LAYOUT.schema)
    files.write_parquet(truth.generation.file(TEXT_LAYOUT), rows, TEXT_LAYOUT.schema)
    (truth.generation.path / "manifest.json").unlink()
    return truth


def test_the_map_says_that_some_texts_have_no_place(mapped: NumpyRun, made: NumpyRun, use_data: UseData) -> None:
    use_data(mapped.run.path.parent)
    said = words(page_of("textmap.py", {"run": "mapped", "feature": "20"}))
    fires = int((mapped.activations[::3, 20] > 0).sum())
    assert f"fires on {fires} of the 100 texts here ({N_TEXTS} in all)" in said
    assert f"100 of the {N_TEXTS} texts are on the map" in said
    use_data(made.run.path.parent)
    assert "no text of this run has a place" in words(page_of("textmap.py", {"run": "small"})).lower()


def test_what_colours_the_map_is_what_pandas_says(mapped: NumpyRun) -> None:
    store = open_store(mapped.generation)
    texts = mapped.texts.iloc[::3]
    assert queries.text_layout(store)["text_id"].to_pylist() == texts["text_id"].tolist()
    activations = queries.layout_activations(store, 20)["activation"].to_pandas().fillna(0)
    assert activations.to_numpy() == pytest.approx(mapped.activations[::3, 20])
    assert queries.is_number(store, "year") and not queries.is_number(store, "group")
    assert queries.layout_numbers(store, "year")["number"].to_pylist() == texts["year"].tolist()
    for column, own in (("group", texts["group"]), ("labels", texts["labels"].str[0])):
        counted = own.value_counts().rename_axis("value").reset_index(name="n").sort_values(
            ["n", "value"], ascending=[False, True]
        )  # fmt: skip
        kinds = queries.layout_kinds(store, column, most=2)
        assert kinds["value"].to_pylist() == counted["value"].tolist()[:2]
        assert kinds["n_texts"].to_pylist() == counted["n"].tolist()[:2]
        place = own.map({value: position for position, value in enumerate(kinds["value"].to_pylist())})
        shown = queries.layout_kind_of(store, column, kinds["value"].to_pylist())["kind"].to_pandas()
        assert shown.isna().tolist() == place.isna().tolist()
        assert shown.dropna().astype(int).tolist() == place.dropna().astype(int).tolist()


def test_what_lassoed_texts_have_in_common_is_counted_as_numpy_counts(made: NumpyRun) -> None:
    ids = list(range(10, 40))
    here, density = (made.activations[ids] > 0).sum(0), (made.activations > 0).mean(0)
    share = here / len(ids)
    kept = np.flatnonzero((here >= 2) & (share >= 0.1) & (density > 0))
    lift = share / np.where(density > 0, density, 1)
    order = kept[np.lexsort((kept, -lift[kept]))][:8]
    features = queries.features_among(open_store(made.generation), ids)
    assert features["feature_id"].to_pylist() == order.tolist()
    assert features["lift"].to_pylist() == pytest.approx(lift[order])
    assert features["n_texts"].to_pylist() == here[order].tolist()


def figure_of(values: list, **options: bool) -> object:
    n = len(values)
    rows = pa.table({"text_id": np.arange(n), "x": np.arange(n, dtype="f4"), "y": np.zeros(n, "f4")})
    colouring = charts.Colouring(pa.chunked_array([values], pa.float32()), "x", **options)
    return charts.text_map(rows, colouring, LIGHT)


def test_points_of_the_text_map_are_float32_and_ids_and_the_strongest_lie_above() -> None:
    figure = figure_of([0.5, None, 0.1, 0.9, None], sparse=True)
    grey, lit = figure.data
    assert list(grey.customdata) == [1, 4] and list(lit.customdata) == [2, 0, 3]
    assert list(lit.marker.color) == pytest.approx([0.1, 0.5, 0.9]) and list(lit.x) == [2, 0, 3]
    assert {np.asarray(trace.customdata).dtype for trace in figure.data} == {np.dtype("int32")}
    assert {np.asarray(trace.x).dtype for trace in figure.data} == {np.dtype("float32")}
    assert figure.to_json() == figure_of([0.5, None, 0.1, 0.9, None], sparse=True).to_json()
    marker = figure_of([None, 0.3]).data[1].marker
    assert marker.cmin < marker.cmax and not marker.showscale


def test_the_name_of_a_column_is_shown_letter_by_letter() -> None:
    rows = pa.table([np.arange(3), np.zeros(3, "f4"), np.ones(3, "f4")], schema=TEXT_LAYOUT.schema)
    named = charts.Colouring(pa.chunked_array([pa.array([1.0, 2.0, 3.0])]), "<a href='http://x'>year</a>")
    drawn = charts.text_map(rows, named, LIGHT).data[1]
    assert drawn.marker.colorbar.title.text == "&lt;a href='http://x'&gt;year&lt;/a&gt;"


def test_kinds_have_the_colours_of_the_palette_in_turn() -> None:
    figure = figure_of([1.0, 0.0, None, 7.0], kinds=True)
    assert list(figure.data[1].marker.color) == [1, 0, 7] and list(figure.data[0].customdata) == [2]
    assert charts.kind_colours(3, LIGHT) == list(LIGHT.palette[:3])


def test_the_figure_of_fifty_thousand_texts_is_less_than_two_megabytes() -> None:
    values = np.where(np.arange(50_000) % 7, np.nan, 1.0).astype("f4")
    rows = pa.table({"text_id": np.arange(50_000), "x": values * 0 + 1, "y": values * 0 + 1})
    colouring = charts.Colouring(pa.chunked_array([pa.array(values, from_pandas=True)]), "x")
    assert len(charts.text_map(rows, colouring, LIGHT).to_json()) < 2e6
