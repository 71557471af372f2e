"""Figures hold the numbers that they were given, in forms that stay small, and selections mean what was brushed."""

from __future__ import annotations

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


def test_features_that_are_searched_for_are_lit() -> None:
    figure = charts.feature_map(layout(100), "density", LIGHT, highlighted=[5, 77, 12345])
    assert list(figure.data[-1].customdata) == [5, 77]
    assert figure.data[-1].marker.color == LIGHT.accent
    assert figure.data[1].marker.opacity < 0.5


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


def test_the_map_says_names_on_hover_letter_by_letter_and_rings_the_marked_one() -> None:
    rows, names = layout(50), [f"a & <b>{feature_id}</b>" for feature_id in range(50)]
    figure = charts.feature_map(rows, "density", LIGHT, names=names)
    hover_texts = {
        int(feature_id): text
        for trace in figure.data
        for feature_id, text in zip(trace.customdata, trace.hovertext, strict=True)
    }
    assert hover_texts == {feature_id: f"a &amp; &lt;b&gt;{feature_id}&lt;/b&gt;" for feature_id in range(50)}
    n_traces = len(figure.data)
    ring = charts.with_ring(figure, rows, 7, LIGHT).to_dict()["data"][-1]
    assert ring["marker"]["symbol"] == "circle-open" and [int(feature_id) for feature_id in ring["customdata"]] == [7]
    assert charts.with_ring(figure, rows, None, LIGHT) is figure and len(figure.data) == n_traces
    bare = charts.feature_map(rows, "density", LIGHT)
    assert all(trace.hovertext is None for trace in bare.data) and len(bare.data) == 2
