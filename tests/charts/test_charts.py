"""Figures hold the numbers that they were given, in forms that stay small, and selections mean what was brushed."""

from __future__ import annotations

import base64
import json

import numpy as np
import pyarrow as pa
import pytest

from featurelib import charts
from featurelib.charts.bars import bin_ranges
from featurelib.charts.style import share
from featurelib.ui.kit.theme import DARK, LIGHT

N_TEXTS = 1000


def bins_of(counts: np.ndarray, n_bins: int) -> tuple[pa.Table, np.ndarray]:
    """Bins of log10 density as the query makes them, and the bin of each live feature by plain counting."""
    logs = np.log10(counts[counts > 0] / N_TEXTS)
    low, high = logs.min(), logs.max()
    place = np.minimum(np.floor((logs - low) / (high - low) * n_bins), n_bins - 1).astype(int)
    edges = [low + (high - low) * k / n_bins for k in range(n_bins + 1)]
    tall = np.bincount(place, minlength=n_bins)
    return pa.table({"left": edges[:-1], "right": edges[1:], "n_features": tall}), place


@pytest.mark.parametrize("seed", range(5))
def test_the_ranges_of_the_bars_hold_exactly_the_features_that_were_counted(seed: int) -> None:
    draw = np.random.default_rng(seed)
    counts = np.round(10 ** draw.uniform(0, 3, 400)).astype(int)
    counts[:9] = 0
    bins, _ = bins_of(counts, 12)
    counted = [
        int(((counts >= span.least) & (counts <= span.most)).sum()) if span.most >= span.least else 0
        for span in bin_ranges(bins, N_TEXTS)
    ]
    assert counted == bins["n_features"].to_pylist()


def test_density_bars_have_one_bar_for_each_bin_and_one_for_the_dead() -> None:
    bins, _ = bins_of(np.array([0, 1, 10, 10, 100, 1000]), 3)
    figure = charts.density_bars(bins, 7, N_TEXTS)
    assert list(figure.data[0].y) == [7, *bins["n_features"].to_pylist()]
    assert figure.layout.xaxis.ticktext[0] == "dead"
    assert figure.data[0].customdata[0] == [0, 0]


def test_bars_outside_the_chosen_range_are_faint() -> None:
    bins, _ = bins_of(np.array([1, 10, 100, 1000]), 3)
    ranges = bin_ranges(bins, N_TEXTS)
    opacity = charts.density_bars(bins, 0, N_TEXTS, ranges[1]).data[0].marker.opacity
    assert [value == 1 for value in opacity] == [False, False, True, False]


@pytest.mark.parametrize(
    ("brushed", "expected"),
    [
        ((-2.5, -1.5), (0, 2)),
        ((-1.5, -2.5), (0, 2)),
        ((-2.9, -2.8), (0, 1)),
        ((-0.9, 5.0), (2, 3)),
    ],
)
def test_a_brush_means_every_bar_that_it_touches(brushed: tuple[float, float], expected: tuple[int, int]) -> None:
    bins = pa.table({"left": [-3.0, -2.0, -1.0], "right": [-2.0, -1.0, 0.0], "n_features": [1, 1, 1]})
    ranges = bin_ranges(bins, N_TEXTS)[slice(*expected)]
    chosen = charts.density_choice({"box": [{"x": list(brushed)}]}, bins, N_TEXTS)
    assert chosen == charts.TextRange(ranges[0].least, ranges[-1].most)


def test_a_brush_left_of_all_means_the_dead_and_nothing_means_nothing() -> None:
    bins = pa.table({"left": [-3.0], "right": [-2.0], "n_features": [1]})
    assert charts.density_choice({"box": [{"x": [-5, -4]}]}, bins, N_TEXTS) == charts.TextRange(0, 0)
    assert charts.density_choice({"box": [{"x": [-1, 0]}]}, bins, N_TEXTS) is None
    assert charts.density_choice({"box": [], "points": []}, bins, N_TEXTS) is None


def layout(n: int) -> pa.Table:
    draw = np.random.default_rng(0)
    density = draw.uniform(0, 0.1, n).astype(np.float32)
    dead = np.arange(n) % 50 == 0
    return pa.table(
        {
            "feature_id": pa.array(np.arange(n), pa.int32()),
            "x": draw.standard_normal(n).astype(np.float32),
            "y": draw.standard_normal(n).astype(np.float32),
            "density": density,
            "log10_density": pa.array(
                [None if gone else float(np.log10(d)) for gone, d in zip(dead, density, strict=True)], pa.float32()
            ),
            "max_activation": density * 9,
            "cluster": pa.array(np.arange(n) % 7 - 1, pa.int32()),
            "dead": dead,
        }
    )


@pytest.mark.parametrize("colour", ["density", "activation", "cluster"])
@pytest.mark.parametrize("colours", [LIGHT, DARK])
def test_the_map_shows_every_feature_once_with_its_id(colour: str, colours: object) -> None:
    rows = layout(500)
    figure = charts.feature_map(rows, colour, colours)
    ids = np.concatenate([np.asarray(trace.customdata) for trace in figure.data])
    x = np.concatenate([np.asarray(trace.x) for trace in figure.data])
    assert sorted(ids) == list(range(500))
    assert np.array_equal(x[np.argsort(ids)], rows["x"].to_numpy())
    assert {np.asarray(trace.x).dtype for trace in figure.data} == {np.dtype("float32")}
    assert {np.asarray(trace.customdata).dtype for trace in figure.data} == {np.dtype("int32")}
    grey = {int(feature_id) for feature_id in figure.data[0].customdata}
    assert grey == set(range(0, 500, 7) if colour == "cluster" else range(0, 500, 50))


def test_the_map_of_a_hundred_thousand_features_is_less_than_three_megabytes() -> None:
    assert len(charts.feature_map(layout(100_000), "density", LIGHT).to_json()) < 3e6


def test_the_figure_is_the_same_bytes_each_time_so_that_it_is_sent_once() -> None:
    first, second = (charts.feature_map(layout(300), "density", LIGHT).to_json() for _ in range(2))
    assert first == second


def test_chosen_ids_reads_ids_in_every_form_that_plotly_sends() -> None:
    assert charts.chosen_ids({"points": [{"customdata": 7}, {"customdata": [9]}, {"customdata": 7}]}) == [7, 9]
    assert charts.chosen_ids({"points": []}) == []


def test_small_bars_say_in_words_what_they_count() -> None:
    whole = pa.table({"left": pa.array([1, 3], pa.int32()), "right": pa.array([3, 5], pa.int32()), "n_texts": [4, 6]})
    figure = charts.count_bars(whole, "active features:")
    assert list(figure.data[0].text) == ["1–2", "3–4"] and list(figure.data[0].y) == [4, 6]
    assert "active features: %{text}" in json.loads(figure.to_json())["data"][0]["hovertemplate"]


@pytest.mark.parametrize(("value", "said"), [(0.00123, "0.12 %"), (0.05, "5 %"), (0.123, "12 %"), (1.0, "100 %")])
def test_shares_are_read_as_percentages(value: float, said: str) -> None:
    assert share(value) == said


def test_the_regions_of_a_map_are_named_letter_by_letter_and_the_coarsest_are_seen() -> None:
    regions = pa.table(
        {"level": [0, 1, 2, 2], "label": ["a <b>b</b> · c", "much longer than others · second", None, "fine"],
         "x": [0.0, 1, 2, 3], "y": [0.0, 1, 2, 3]}
    )  # fmt: skip
    bare = charts.feature_map(layout(20), "density", LIGHT)
    written = charts.feature_map(layout(20), "density", LIGHT, regions=regions).to_dict()
    names = written["layout"].pop("annotations")
    assert [(name["text"], name["name"], name["opacity"]) for name in names] == [
        ("a &lt;b&gt;b&lt;/b&gt; · c", "level 0", 1),
        ("much longer than others", "level 1", 0),
        ("fine", "level 2", 0),
    ]
    assert json.loads(json.dumps(written["layout"])) == json.loads(bare.to_json())["layout"]
    assert bare.layout.meta["extent"] == [float(np.ptp(layout(20)[axis].to_numpy())) for axis in ("x", "y")]


def test_a_lift_is_marked_in_times_and_a_scale_without_length_has_a_length() -> None:
    lifts = charts.Colouring(pa.chunked_array([pa.array(np.linspace(-3.2, 5.1, 20), pa.float32())]), "lift", times=True)
    bar = charts.feature_map(layout(20), lifts, LIGHT).data[1].marker.colorbar
    assert list(bar.tickvals) == [-2, 0, 2, 4] and list(bar.ticktext) == ["×0.25", "×1", "×4", "×16"]
    same = charts.Colouring(pa.chunked_array([pa.array([2.0] * 20, pa.float32())]), "x")
    marker = charts.feature_map(layout(20), same, LIGHT).data[1].marker
    assert marker.cmin < marker.cmax and not marker.showscale


def test_clusters_of_one_colour_are_far_from_each_other() -> None:
    """On a line of sixteen clusters no two neighbours have one colour, and the eight largest have eight."""
    rows = pa.table({"cluster": np.repeat(np.arange(16), 3), "x": np.repeat(np.arange(16.0), 3), "y": np.zeros(48)})
    order = [int(cluster) for cluster in np.random.default_rng(4).permutation(16)]
    colours = charts.cluster_colouring(rows, [*order, 77], LIGHT).values.to_numpy()
    of = dict(zip(rows["cluster"].to_pylist(), colours, strict=True))
    assert [of[cluster] for cluster in order[:8]] == list(range(8))
    assert all(of[cluster] != of[cluster + 1] for cluster in range(15))
    absent = charts.cluster_colouring(rows, order[1:], LIGHT).values.to_pylist()
    assert [colour is None for colour in absent] == [cluster == order[0] for cluster in rows["cluster"].to_pylist()]


def test_the_bytes_of_a_map_are_the_same_however_many_points_are_picked() -> None:
    """What is picked is drawn by the browser; the figure of 16,384 features in any colours is below half a megabyte."""
    kinds = charts.Colouring(pa.chunked_array([pa.array(np.arange(16_384) % 9, pa.int32())]), "", kinds=True)
    for colour in ("density", "activation", kinds):
        assert len(charts.feature_map(layout(16_384), colour, LIGHT).to_json()) < 5e5


def numbers(written: str, kind: str) -> np.ndarray:
    return np.frombuffer(base64.b64decode(written), kind)


@pytest.mark.parametrize("colour", ["density", "activation", "cluster"])
def test_other_colours_are_sent_as_the_figure_would_have_them(colour: str) -> None:
    rows = layout(500)
    colouring = charts.own_colouring(rows, colour)
    paint = json.loads(json.dumps(charts.paint_features(rows, colouring, LIGHT)))
    grey, coloured = json.loads(charts.feature_map(rows, colour, LIGHT).to_json())["data"]
    values = numbers(paint["values"], "u1" if colour == "cluster" else "f4").astype(float)
    is_grey = values == 255 if colour == "cluster" else np.isnan(values)
    ids = np.arange(500)
    assert paint["ids"] is None and set(ids[is_grey]) == set(numbers(grey["customdata"]["bdata"], "i4"))
    if colour != "cluster":  # the highest number lies above all others
        assert ids[np.nanargmax(values)] == numbers(coloured["customdata"]["bdata"], "i4")[-1]
    del coloured["marker"]["color"], coloured["marker"]["line"], grey["marker"]["line"]
    assert paint["marker"] == coloured["marker"] and paint["grey"] == grey["marker"]
    assert paint["templates"] == [grey["hovertemplate"], coloured["hovertemplate"]]


def test_of_few_coloured_texts_only_these_are_sent() -> None:
    values = np.full(50_000, np.nan, "f4")
    values[[7, 49_999]] = [0.5, 0.25]
    rows = pa.table({"text_id": np.arange(50_000), "x": np.zeros(50_000, "f4"), "y": np.zeros(50_000, "f4")})
    colouring = charts.Colouring(pa.chunked_array([pa.array(values, from_pandas=True)]), "activation", sparse=True)
    paint = charts.paint_texts(rows, colouring, LIGHT)
    assert numbers(paint["ids"], "i4").tolist() == [7, 49_999]
    assert numbers(paint["values"], "f4").tolist() == [0.5, 0.25] and len(json.dumps(paint)) < 2_000
    assert "marker.color" in paint["templates"][1] and "marker.color" not in paint["templates"][0]
    assert [len(trace.customdata) for trace in charts.text_map(rows, None, LIGHT).data] == [50_000, 0]
