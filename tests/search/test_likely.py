"""The nearest texts of a large corpus: those that Faiss names, compared exactly, beside numpy on all of them."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from featurelib import search
from featurelib.search import meaning
from featurelib.search.nearest import BEYOND, Likely
from featurelib.storage.index import making
from featurelib.storage.index.making import make_index
from featurelib.storage.index.nearest_places import NearestPlaces, write_nearest
from featurelib.storage.store import Store, open_store
from tests.support.numpy_run import D_IN, NumpyRun, make_run


def numpy_order(embeddings: np.ndarray, query: np.ndarray, without: int | None = None) -> np.ndarray:
    """The texts that have a cosine, the nearest first."""
    x = embeddings.astype(np.float64)
    lengths = np.linalg.norm(x, axis=1)
    cosines = x @ query.astype(np.float64) / np.maximum(lengths, 1e-300)
    order = np.lexsort((np.arange(len(x)), -np.round(cosines, 12)))
    kept: np.ndarray = order[(lengths[order] > 0) & (order != (-1 if without is None else without))]
    return kept


def test_faiss_names_nearly_all_of_the_nearest(tmp_path: Path) -> None:
    draw = np.random.default_rng(0)
    centres = draw.standard_normal((60, 64))
    embeddings = (centres[draw.integers(0, 60, 6_000)] + 0.7 * draw.standard_normal((6_000, 64))).astype(np.float16)
    write_nearest(embeddings, tmp_path / "nearest")
    opened = NearestPlaces(tmp_path / "nearest")
    shares = []
    for text_id in draw.integers(0, 6_000, 50):
        query = embeddings[text_id] + 0.3 * draw.standard_normal(64).astype(np.float32)
        places = opened.near(query, 160)
        assert len(places) == 160 and (np.diff(places) > 0).all()
        shares.append(np.isin(numpy_order(embeddings, query)[:20], places).mean())
    assert np.mean(shares) > 0.95


@pytest.fixture(scope="module")
def made(tmp_path_factory: pytest.TempPathFactory) -> NumpyRun:
    """A run whose index has likely texts, as that of a large corpus."""
    made = make_run(tmp_path_factory.mktemp("data") / "small")
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(making, "FROM", 100)
        make_index(made.generation)
    return made


@pytest.fixture
def store(made: NumpyRun) -> Store:
    store = open_store(made.generation)
    assert store.from_index(lambda index: index.nearest) is not None
    return store


def test_texts_by_meaning_are_the_nearest_of_all(store: Store, made: NumpyRun) -> None:
    draw = np.random.default_rng(1)
    for query in draw.standard_normal((20, D_IN)).astype(np.float32):
        assert search.texts_by_meaning(store, query, limit=8)["text_id"].to_pylist() == (
            numpy_order(made.embeddings, query)[:8].tolist()
        )


@pytest.mark.parametrize("without", [None, 105])
def test_ranks_are_numpys_as_far_as_they_are_counted(
    store: Store, made: NumpyRun, monkeypatch: pytest.MonkeyPatch, without: int | None
) -> None:
    counted = 25
    monkeypatch.setattr(meaning, "RANKED", counted)
    monkeypatch.setattr(meaning, "CANDIDATES_OF_RANK", 6)
    draw = np.random.default_rng(2)
    n_beyond = 0
    for before, after in draw.standard_normal((10, 2, D_IN)).astype(np.float32):
        ranking = search.rankings(store, before, after, limit=10, without=without)
        orders = [numpy_order(made.embeddings, query, without) for query in (before, after)]
        ranks = [{text_id: rank for rank, text_id in enumerate(order.tolist(), start=1)} for order in orders]
        wanted = set(orders[0][:10].tolist()) | set(orders[1][:10].tolist())
        assert set(ranking["text_id"].to_pylist()) == wanted
        for row in ranking.to_pylist():
            for name, known in zip(("rank_before", "rank_after"), ranks, strict=True):
                rank = known[row["text_id"]]
                assert row[name] == (rank if rank <= counted else None)
                n_beyond += rank > counted
        after_ranks = ranking["rank_after"].to_pylist()
        numbered = [rank for rank in after_ranks if rank is not None]
        assert after_ranks == sorted(numbered) + [None] * (len(after_ranks) - len(numbered))
        assert np.allclose(
            ranking["cosine_before"].to_numpy(),
            [
                made.embeddings[text_id].astype(float)
                @ before.astype(float)
                / np.linalg.norm(made.embeddings[text_id].astype(float))
                / np.linalg.norm(before.astype(float))
                for text_id in ranking["text_id"].to_pylist()
            ],
        )
    assert n_beyond > 50


def test_a_text_that_is_not_likely_has_no_rank() -> None:
    vectors = np.random.default_rng(3).standard_normal((50, 6))
    query = vectors[7]
    likely = Likely.among(vectors, np.arange(0, 50, 2), query, 5)
    expected = [place for place in numpy_order(vectors, query).tolist() if place % 2 == 0][:5]
    assert likely.nearest(3).tolist() == expected[:3]
    assert likely.ranks(np.array([expected[4], 7, expected[0]]))[0].tolist() == [5, BEYOND, 1]
