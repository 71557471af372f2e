"""The map of what fires features: means recomputed, regions nested, faithfulness as scikit-learn measures it."""

from __future__ import annotations

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from sklearn.manifold import trustworthiness

from featurelib.layout import FiringMeans, arrange_firing, faithfulness, find_regions
from featurelib.schema import BY_TEXT, EMBEDDINGS, FEATURES, REGION_FEATURES, REGION_TEXTS
from featurelib.storage.embeddings import read_embeddings
from featurelib.storage.runs import Run


def test_firing_means_are_the_weighted_means_of_unit_embeddings_less_that_of_all() -> None:
    draw = np.random.default_rng(0)
    embeddings = draw.standard_normal((50, 8)).astype(np.float32)
    activations = draw.random((50, 6)) * (draw.random((50, 6)) < 0.3)
    activations[:, 4] = 0
    means = FiringMeans(6, 8)
    for block in (slice(0, 20), slice(20, 50)):
        rows, feature_ids = np.nonzero(activations[block])
        means.add(embeddings[block], rows, feature_ids, activations[block][rows, feature_ids])
    live, vectors = means.of_live()
    units = embeddings / np.linalg.norm(embeddings, axis=1, keepdims=True)
    expected = activations.T @ units / activations.sum(axis=0)[:, None].clip(1e-12) - units.mean(axis=0)
    assert live.tolist() == [0, 1, 2, 3, 5]
    np.testing.assert_allclose(vectors, expected[live], atol=1e-6)


def test_faithfulness_is_trustworthiness_as_scikit_learn_has_it() -> None:
    draw = np.random.default_rng(1)
    vectors, xy = draw.standard_normal((300, 10)), draw.standard_normal((300, 2))
    xy[:150] = vectors[:150, :2]
    expected = trustworthiness(vectors, xy, n_neighbors=15, metric="cosine")
    assert faithfulness(vectors, xy).trustworthiness == pytest.approx(expected, abs=1e-12)
    units = vectors / np.linalg.norm(vectors, axis=1, keepdims=True)
    near = np.argsort(-(units @ units.T), axis=1)[:, 1:16]
    on_map = np.argsort(((xy[:, None] - xy[None]) ** 2).sum(axis=2), axis=1)[:, 1:16]
    kept = np.mean([len(set(a) & set(b)) / 15 for a, b in zip(near, on_map, strict=True)])
    assert faithfulness(vectors, xy).preservation == pytest.approx(kept)
    assert np.isnan(faithfulness(vectors[:10], xy[:10]).trustworthiness)


def test_regions_are_nested_and_the_largest_come_first() -> None:
    draw = np.random.default_rng(2)
    centres = draw.standard_normal((5, 2)) * 10
    xy = (centres[np.repeat(np.arange(5), 60)] + 0.1 * draw.standard_normal((300, 2))).astype(np.float32)
    regions = find_regions(xy, levels=(5, 12, 30)).of_points
    assert [len(np.unique(level)) for level in regions] == [5, 12, 30]
    for coarse, fine in zip(regions, regions[1:], strict=False):
        assert all(len(np.unique(coarse[fine == region])) == 1 for region in np.unique(fine))
    for level in regions:
        sizes = np.bincount(level)
        assert (np.diff(sizes) <= 0).all()
    # the five groups are the five regions
    assert all(len(np.unique(regions[0][start : start + 60])) == 1 for start in range(0, 300, 60))


@pytest.mark.parametrize("n", [0, 1, 3, 20])
def test_few_or_equal_points_have_regions_too(n: int) -> None:
    assert find_regions(np.zeros((n, 2), np.float32)).of_points.tolist() == [[0] * n] * 3
    assert arrange_firing(np.zeros((n, 4), np.float32)).xy.shape == (n, 2)


def test_every_text_with_an_activation_lies_in_the_region_that_is_strongest_on_it(tiny: Run) -> None:
    generation = tiny.current()
    rows = pa.concat_tables([pq.read_table(path) for path in generation.parts(BY_TEXT)]).to_pandas()
    features = pq.read_table(generation.file(FEATURES)).to_pandas().set_index("feature_id")
    regions = pq.read_table(generation.file(REGION_FEATURES)).to_pandas()
    written = pq.read_table(generation.file(REGION_TEXTS)).to_pandas()
    n_texts = sum(len(read_embeddings(path)) for path in generation.parts(EMBEDDINGS))
    weight = -np.log(features["n_active"].clip(lower=1) / n_texts) / features["max_activation"].clip(lower=1e-12)
    rows["strength"] = rows["activation"] * weight[rows["feature_id"]].to_numpy()
    for level in range(3):
        region = regions[regions["level"] == level].set_index("feature_id")["region_id"]
        rows["region_id"] = region[rows["feature_id"]].to_numpy()
        summed = rows.groupby(["text_id", "region_id"])["strength"].sum().unstack(fill_value=0)
        own = written[written["level"] == level]
        assert sorted(own["text_id"]) == summed.index.tolist()
        best = summed.max(axis=1)
        np.testing.assert_allclose(own["strength"], best[own["text_id"]], rtol=1e-5)
        found = summed.to_numpy()[
            summed.index.get_indexer(own["text_id"]), summed.columns.get_indexer(own["region_id"])
        ]
        np.testing.assert_allclose(found, own["strength"], rtol=1e-5)
