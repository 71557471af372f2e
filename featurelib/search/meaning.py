"""Texts by the cosine of their embeddings to another embedding."""

from __future__ import annotations

import numpy as np
import pyarrow as pa

from featurelib.schema import Refusal
from featurelib.storage.store import Store


def embedding_of(store: Store, text_id: int) -> np.ndarray:
    """Return the stored embedding of a text of the run, float32 [d]; Refusal when there is none with this id."""
    rows = store.ask(
        "select embedding::float[] as embedding from embeddings where text_id = $text_id::hugeint", text_id=int(text_id)
    )
    if not rows.num_rows:
        raise Refusal(f"there is no embedding of a text {text_id}; open a text from a list of this run.")
    return np.array(rows["embedding"][0].as_py(), dtype=np.float32)


def texts_by_meaning(store: Store, vector: np.ndarray, *, limit: int = 20) -> pa.Table:
    """Return the texts nearest to an embedding (float32 [d]) by cosine: text_id, cosine; every text is compared.

    Cosines are computed in float64, so that rounding does not decide the order; equal ones are in the order of text_id.
    Refusal when the vector is zero, not finite, or of another dimension than the run's embeddings.
    """
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
        vector=_comparable(store, vector),
        limit=limit,
    )


def rankings(
    store: Store, before: np.ndarray, after: np.ndarray, *, limit: int = 20, without: int | None = None
) -> pa.Table:
    """Return the texts among the first `limit` by cosine to one of two embeddings, with their ranks by both.

    Columns text_id, rank_before, rank_after (1 is the nearest of all texts but `without`), cosine_before, cosine_after;
    in the order of rank_after. Both rankings are those of `texts_by_meaning`, and so are the Refusals.
    """
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
        before=_comparable(store, before),
        after=_comparable(store, after),
        limit=limit,
        without=without,
    )


def _comparable(store: Store, vector: np.ndarray) -> list[float]:
    """Return the numbers of an embedding; Refusal when no cosine to it can be computed."""
    query = np.asarray(vector, dtype=np.float32).ravel()
    length = np.linalg.norm(query.astype(np.float64))
    if not np.isfinite(length) or length == 0:
        raise Refusal("the embedding to look for is zero or not finite, so nothing is near to it; try another text.")
    dimensions = store.ask("select len(embedding) as d from embeddings limit 1")["d"].to_pylist()
    if dimensions and dimensions[0] != len(query):
        raise Refusal(f"the embedding to look for has {len(query)} numbers; this run's have {dimensions[0]}.")
    numbers: list[float] = query.tolist()
    return numbers
