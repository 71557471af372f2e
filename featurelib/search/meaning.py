"""Texts by the cosine of their embeddings to another embedding."""

from __future__ import annotations

import contextlib

import numpy as np
import pyarrow as pa

from featurelib.schema import Refusal
from featurelib.search.nearest import BEYOND, Compared, Likely, best_of, nearest_of
from featurelib.storage.answers import once_per_generation
from featurelib.storage.index.opened import Index
from featurelib.storage.store import Store

CANDIDATES = 8
"""Texts that are compared exactly for each that is wanted, where an index names likely ones."""
RANKED, CANDIDATES_OF_RANK = 500, 2
"""Ranks that are known where an index names likely texts, and the texts that are compared exactly for each."""


def embedding_of(store: Store, text_id: int) -> np.ndarray:
    """Return the stored embedding of a text of the run, float32 [d]; Refusal when there is none with this id."""
    embeddings = store.from_index(lambda index: index.arrays.embeddings)
    if embeddings is not None:
        if 0 <= int(text_id) < len(embeddings):
            return np.array(embeddings[int(text_id)], np.float32)
        raise _no_embedding(text_id)
    rows = store.ask(
        "select embedding::float[] as embedding from embeddings where text_id = $text_id::hugeint", text_id=int(text_id)
    )
    if not rows.num_rows:
        raise _no_embedding(text_id)
    return np.array(rows["embedding"][0].as_py(), dtype=np.float32)


def _no_embedding(text_id: int) -> Refusal:
    return Refusal(f"there is no embedding of a text {text_id}; open a text from a list of this run.")


def texts_by_meaning(store: Store, vector: np.ndarray, *, limit: int = 20) -> pa.Table:
    """Return the texts nearest to an embedding (float32 [d]) by cosine: text_id, cosine.

    Every text is compared; from 100,000 texts on, where the run has an index, those that Faiss names (see
    storage/index/nearest_places: some 99 % of the nearest twenty are among them). Cosines are computed in float64, so
    that rounding does not decide the order; equal ones are in the order of text_id.
    Refusal when the vector is zero, not finite, or of another dimension than the run's embeddings.
    """
    query = _comparable(store, vector)
    nearest = store.from_index(lambda index: _nearest(index, query, limit))
    if nearest is not None:
        return pa.table({"text_id": nearest[0], "cosine": nearest[1]})
    return store.ask(
        """
        with compared as (
            select text_id, list_cosine_similarity(embedding::double[], $vector::double[]) as cosine
            from embeddings
        )
        select text_id, cosine
        from compared
        where not isnan(cosine)
        order by cosine desc, text_id
        limit $limit""",
        vector=query.tolist(),
        limit=limit,
    )


def _nearest(index: Index, query: np.ndarray, limit: int) -> tuple[np.ndarray, np.ndarray] | None:
    """The nearest texts and their cosines: of a large corpus among likely ones, of a small one among all."""
    embeddings = index.arrays.embeddings
    if embeddings is None:
        return None
    places = _likely_places(index, query, CANDIDATES * limit)
    return nearest_of(embeddings, query, limit) if places is None else best_of(embeddings, places, query, limit)


def _likely_places(index: Index, query: np.ndarray, n: int) -> np.ndarray | None:
    """The places of texts that are probably the nearest, ascending; None where all are to be compared."""
    if index.nearest is not None:
        with contextlib.suppress(Refusal):  # Faiss is not installed on this server: every text is compared
            return index.nearest.near(query, n)
    return None


def rankings(
    store: Store, before: np.ndarray, after: np.ndarray, *, limit: int = 20, without: int | None = None
) -> pa.Table:
    """Return the texts among the first `limit` by cosine to one of two embeddings, with their ranks by both.

    Columns text_id, rank_before, rank_after (1 is the nearest of all texts but `without`), cosine_before, cosine_after;
    in the order of rank_after, then rank_before. Both rankings are those of `texts_by_meaning`, and so are the
    Refusals. Where that compares only the texts that Faiss names, so does this, and a rank beyond `RANKED` is null.
    """
    queries = [_comparable(store, vector) for vector in (before, after)]
    ranked = store.from_index(lambda index: _ranked(index, queries, limit, without))
    if ranked is not None:
        return ranked
    return store.ask(
        """
        with compared as (
            select text_id,
                list_cosine_similarity(embedding::double[], $before::double[]) as cosine_before,
                list_cosine_similarity(embedding::double[], $after::double[]) as cosine_after
            from embeddings
            where $without::bigint is null or text_id <> $without::bigint
        ), ranked as (
            select text_id, row_number() over (order by cosine_before desc, text_id) as rank_before,
                row_number() over (order by cosine_after desc, text_id) as rank_after, cosine_before, cosine_after
            from compared
            where not isnan(cosine_before)
        )
        select *
        from ranked
        where rank_before <= $limit or rank_after <= $limit
        order by rank_after""",
        before=queries[0].tolist(),
        after=queries[1].tolist(),
        limit=limit,
        without=without,
    )


def _ranked(index: Index, queries: list[np.ndarray], limit: int, without: int | None) -> pa.Table | None:
    embeddings = index.arrays.embeddings
    if embeddings is None:
        return None
    compared: list[Compared] | list[Likely] | None = _likely(index, queries, max(limit, RANKED), without)
    if compared is None:
        compared = Compared.each(embeddings, queries, without=without)
    shown = np.unique(np.concatenate([each.nearest(limit) for each in compared]))
    (rank_before, cosine_before), (rank_after, cosine_after) = (each.ranks(shown) for each in compared)
    columns = {
        "text_id": pa.array(shown),
        "rank_before": pa.array(rank_before, mask=rank_before == BEYOND),
        "rank_after": pa.array(rank_after, mask=rank_after == BEYOND),
        "cosine_before": pa.array(cosine_before),
        "cosine_after": pa.array(cosine_after),
    }
    return pa.table(columns).take(pa.array(np.lexsort((rank_before, rank_after, rank_after == BEYOND))))


def _likely(index: Index, queries: list[np.ndarray], n: int, without: int | None) -> list[Likely] | None:
    """The `n` likely texts for each of some queries; None where all are to be compared."""
    found = []
    for query in queries:
        places = _likely_places(index, query, CANDIDATES_OF_RANK * n)
        if places is None or index.arrays.embeddings is None:
            return None
        found.append(Likely.among(index.arrays.embeddings, places[places != without], query, n))
    return found


def _comparable(store: Store, vector: np.ndarray) -> np.ndarray:
    """Return an embedding as float32 [d]; Refusal when no cosine to it can be computed."""
    query = np.asarray(vector, dtype=np.float32).ravel()
    length = np.linalg.norm(query.astype(np.float64))
    if not np.isfinite(length) or length == 0:
        raise Refusal("the embedding to look for is zero or not finite, so nothing is near to it; try another text.")
    dimension = _dimension(store)
    if dimension not in (0, len(query)):
        raise Refusal(f"the embedding to look for has {len(query)} numbers; this run's have {dimension}.")
    return query


@once_per_generation
def _dimension(store: Store) -> int:
    """The dimension of the run's embeddings, 0 where it has none."""
    rows = store.ask("select len(embedding) as d from embeddings limit 1")["d"].to_pylist()
    return int(rows[0]) if rows else 0
