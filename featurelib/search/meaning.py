"""Texts by the cosine of their embeddings to another embedding."""

from __future__ import annotations

import numpy as np
import pyarrow as pa

from featurelib.schema import Refusal
from featurelib.store import Store


def embedding_of(store: Store, text_id: int) -> np.ndarray:
    """The stored embedding of a text of the run, float32 [d]; Refusal when there is none with this id."""
    found = store.ask(
        "select embedding::float[] as embedding from embeddings where text_id = $text_id::hugeint", text_id=int(text_id)
    )
    if not found.num_rows:
        raise Refusal(f"there is no embedding of a text {text_id}; open a text from a list of this run.")
    return np.array(found["embedding"][0].as_py(), dtype=np.float32)


def texts_by_meaning(store: Store, vector: np.ndarray, *, limit: int = 20) -> pa.Table:
    """The texts nearest to an embedding (float32 [d]) by cosine: text_id, cosine; every text is compared.

    Refusal when the vector is zero, not finite, or has not the run's dimension.
    """
    asked = np.asarray(vector, dtype=np.float32).ravel()
    length = np.linalg.norm(asked.astype(np.float64))
    if not np.isfinite(length) or length == 0:
        raise Refusal("the embedding to look for is zero or not finite, so nothing is near to it; try another text.")
    first = store.ask("select len(embedding) as d from embeddings limit 1")["d"].to_pylist()
    if first and first[0] != len(asked):
        raise Refusal(f"the embedding to look for has {len(asked)} numbers; this run's have {first[0]}.")
    return store.ask(
        """
        with compared as (
            select text_id, list_cosine_similarity(embedding, $vector::float[]) as cosine
            from embeddings
        )
        select text_id, cosine
        from compared
        where not isnan(cosine)
        order by cosine desc, text_id
        limit $limit""",
        vector=asked.tolist(),
        limit=limit,
    )
