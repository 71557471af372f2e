"""The map: near directions lie near each other, equal input gives equal bytes, small SAEs have a map too."""

from __future__ import annotations

import numpy as np
import pyarrow.parquet as pq
import pytest

from featurelib.layout import (
    MOST_TEXTS,
    NO_CLUSTER,
    Layout,
    Places,
    arrange_directions,
    arrange_texts,
    drawn_texts,
    find_clusters,
)
from featurelib.schema import EMBEDDINGS, TEXT_LAYOUT, Refusal
from featurelib.storage.embeddings import read_embeddings_of
from featurelib.storage.runs import Run

GROUPS = np.repeat(np.arange(6), [40, 35, 30, 25, 20, 15])


def planted_directions(seed: int = 0) -> np.ndarray:
    """Six groups of directions around six orthogonal ones, and a dead feature whose direction is zero."""
    draw = np.random.default_rng(seed)
    centres = np.linalg.qr(draw.standard_normal((48, 6)))[0].T
    directions = centres[GROUPS] + 0.08 * draw.standard_normal((len(GROUPS), 48))
    return np.vstack([directions, np.zeros(48)]).astype(np.float32)


@pytest.fixture(scope="module")
def layout() -> Layout:
    return arrange_directions(planted_directions(), seed=0)


def test_features_of_one_group_lie_nearer_to_each_other_than_to_the_others(layout: Layout) -> None:
    xy = layout.xy[:-1]
    centres = np.array([xy[group == GROUPS].mean(0) for group in range(6)])
    nearest = np.linalg.norm(xy[:, None] - centres[None], axis=2).argmin(1)
    assert (nearest == GROUPS).mean() > 0.97


def test_the_map_is_centred_in_a_frame_of_one_with_its_wide_axis_horizontal(layout: Layout) -> None:
    assert layout.xy.dtype == np.float32
    assert layout.xy.shape == (len(GROUPS) + 1, 2)
    assert np.abs(layout.xy).max() == 1
    np.testing.assert_allclose(layout.xy.mean(0), 0, atol=1e-6)
    assert layout.xy[:, 0].std() >= layout.xy[:, 1].std()


def test_clusters_are_the_planted_groups_numbered_by_size(layout: Layout) -> None:
    cluster = layout.cluster[:-1]
    assert layout.cluster.dtype == np.int32
    for group in range(6):
        numbers = cluster[(group == GROUPS) & (cluster != NO_CLUSTER)]
        assert len(numbers) > 0.8 * (group == GROUPS).sum()
        assert len(set(numbers.tolist())) == 1
    assert layout.n_clusters == 6
    sizes = [int((layout.cluster == number).sum()) for number in range(layout.n_clusters)]
    assert sizes == sorted(sizes, reverse=True)


def test_equal_directions_and_seed_give_equal_bytes_and_length_does_not_matter(layout: Layout) -> None:
    lengths = 2.0 ** np.random.default_rng(1).integers(-3, 4, (len(GROUPS) + 1, 1))
    again = arrange_directions(planted_directions() * lengths.astype(np.float32), seed=0)
    assert again.xy.tobytes() == layout.xy.tobytes()
    assert again.cluster.tobytes() == layout.cluster.tobytes()
    assert arrange_directions(planted_directions(), seed=1).xy.tobytes() != layout.xy.tobytes()


@pytest.mark.parametrize("n_features", [1, 2, 3, 5, 15])
def test_few_directions_are_placed_by_principal_axes(n_features: int) -> None:
    directions = np.random.default_rng(n_features).standard_normal((n_features, 8))
    small = arrange_directions(directions)
    assert small.xy.shape == (n_features, 2)
    assert np.isfinite(small.xy).all()
    assert len(np.unique(small.xy, axis=0)) == n_features
    assert (small.cluster == NO_CLUSTER).all()
    assert "principal axes" in small.method


@pytest.mark.parametrize("n_features", [16, 17])
def test_the_smallest_sae_that_umap_takes_has_a_map(layout: Layout, n_features: int) -> None:
    small = arrange_directions(np.random.default_rng(n_features).standard_normal((n_features, 8)))
    assert small.method == layout.method == "UMAP"
    assert np.isfinite(small.xy).all()
    assert small.cluster.shape == (n_features,)


def test_equal_directions_become_a_line() -> None:
    line = arrange_directions(np.ones((40, 8)))
    assert "a line" in line.method
    np.testing.assert_allclose(line.xy[:, 0], np.linspace(-1, 1, 40), rtol=1e-6)
    assert arrange_directions(np.zeros((1, 8))).xy.tolist() == [[0, 0]]


def test_points_without_groups_are_in_no_cluster() -> None:
    assert (find_clusters(np.arange(4.0)[:, None]) == NO_CLUSTER).all()


def test_directions_that_are_not_finite_are_refused() -> None:
    broken = planted_directions()
    broken[3, 3] = np.inf
    with pytest.raises(Refusal, match="NaN or infinite"):
        arrange_directions(broken)


@pytest.fixture(scope="module")
def placed() -> Places:
    return arrange_texts(planted_directions(), seed=0)


def test_texts_of_one_group_lie_nearer_to_each_other_than_to_the_others(placed: Places) -> None:
    xy = placed.xy[:-1]
    centres = np.array([xy[group == GROUPS].mean(0) for group in range(6)])
    assert (np.linalg.norm(xy[:, None] - centres[None], axis=2).argmin(1) == GROUPS).mean() > 0.97
    assert placed.xy.dtype == np.float32 and np.abs(placed.xy).max() == 1 and placed.method == "UMAP"


def test_equal_embeddings_and_seed_give_equal_bytes_of_texts(placed: Places) -> None:
    assert arrange_texts(planted_directions(), seed=0).xy.tobytes() == placed.xy.tobytes()
    assert arrange_texts(planted_directions(), seed=1).xy.tobytes() != placed.xy.tobytes()


@pytest.mark.parametrize("n_texts", [0, 1, 2, 15])
def test_few_texts_have_a_place(n_texts: int) -> None:
    few = arrange_texts(np.random.default_rng(n_texts).standard_normal((n_texts, 8)))
    assert few.xy.shape == (n_texts, 2) and few.xy.dtype == np.float32 and np.isfinite(few.xy).all()
    assert len(np.unique(few.xy, axis=0)) == n_texts and few.method != "UMAP"


def test_a_corpus_of_copies_becomes_a_line_or_principal_axes() -> None:
    assert "a line" in arrange_texts(np.ones((300, 8))).method
    some = np.tile(np.random.default_rng(0).standard_normal((15, 8)), (20, 1))
    assert "principal axes" in arrange_texts(some).method
    # zeros of both signs are one number
    assert "a line" in arrange_texts(np.where(np.arange(400).reshape(50, 8) % 3, 0.0, -0.0)).method


def test_embeddings_that_are_not_finite_are_refused() -> None:
    broken = planted_directions()
    broken[3, 3] = np.nan
    with pytest.raises(Refusal, match="embeddings have the shape"):
        arrange_texts(broken)


def test_of_many_texts_some_are_drawn_by_seed() -> None:
    assert drawn_texts(7).tolist() == list(range(7)) and drawn_texts(0).tolist() == []
    drawn = drawn_texts(1000, seed=3, most=100)
    assert drawn.dtype == np.int64 and len(drawn) == 100 and (np.diff(drawn) > 0).all() and drawn.max() < 1000
    assert (
        drawn.tolist() == drawn_texts(1000, seed=3, most=100).tolist() != drawn_texts(1000, seed=4, most=100).tolist()
    )
    assert len(drawn_texts(10**6)) == MOST_TEXTS
    # each tenth of the corpus has about a tenth of those drawn
    assert np.abs(np.bincount(drawn_texts(10**6) // 10**5) - MOST_TEXTS / 10).max() < 400


def test_a_run_has_a_place_for_every_text(tiny: Run) -> None:
    generation = tiny.current()
    parts = [pq.read_table(part) for part in generation.parts(EMBEDDINGS)]
    assert len(parts) > 1
    embeddings = np.array([vector for part in parts for vector in part["embedding"].to_pylist()], dtype=np.float32)
    rows = pq.read_table(generation.file(TEXT_LAYOUT))
    assert rows["text_id"].to_pylist() == list(range(len(embeddings)))
    expected = arrange_texts(embeddings, 0).xy
    assert np.stack([rows["x"].to_numpy(), rows["y"].to_numpy()], axis=1).tobytes() == expected.tobytes()
    facts = generation.done("layout").facts
    assert (facts["n_texts_placed"], facts["n_texts"], facts["text_method"]) == (600, 600, "UMAP")
    ids = np.array([0, 3, 255, 256, 257, 599])
    assert (read_embeddings_of(generation, ids) == embeddings[ids]).all()
    with pytest.raises(Refusal, match="6 of 7 texts have an embedding"):
        read_embeddings_of(generation, np.array([*ids, 600]))
