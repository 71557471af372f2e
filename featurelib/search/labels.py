"""Features by their labels: by meaning, and by the words of a description."""

from __future__ import annotations

import re
from collections.abc import Iterable

import numpy as np
import pyarrow as pa

from featurelib.language.characters import HAS_UNSPACED
from featurelib.language.segmentation import pieces, says_something, words
from featurelib.schema import FEATURES, Refusal
from featurelib.search.nearest import nearest_of
from featurelib.storage.derived import card_words, cards, cards_of, label_vectors
from featurelib.storage.store import Store

WORDS = 32
"""Words of a description that are searched for, at most."""
STOP = frozenset(
    re.findall(
        r"\w+",
        "about an and any are as at be by can for from has have how in into is it its not of on or over that the their "
        "features something texts things this to was we what when where which with",
    )
)
"""Words that are not searched for."""


def labels_by_meaning(store: Store, vector: np.ndarray, *, limit: int = 20) -> pa.Table:
    """Return features whose label's embedding is nearest to `vector`, float32 [d]: feature_id, label, density, cosine.

    Features without a label of their own are left out. Refusal when the vector is zero, not finite or of another
    dimension than the labels' embeddings, and when the labels of this run have no embeddings.
    """
    query = np.asarray(vector, dtype=np.float32).ravel()
    if not np.isfinite(query).all() or not query.any():
        raise Refusal("the embedding of the description is zero or not finite, so no label is near to it; reword it.")
    feature_ids, vectors = label_vectors(store)
    if not vectors.shape[1]:
        raise Refusal(
            "the labels of this run have no embeddings, because no embedder of its texts was known when they were made;"
            " build it again with --embedder to find features by the meaning of their names."
        )
    if vectors.shape[1] != len(query):
        raise Refusal(
            f"the description's embedding has {len(query)} numbers; those of this run's labels {vectors.shape[1]}."
        )
    places, cosines = nearest_of(vectors, query, limit)
    ids = feature_ids[places]
    known = cards_of(store, ids)
    return pa.table(
        {
            "feature_id": pa.array(ids, pa.int32()),
            "label": known["label"],
            "density": known["density"],
            "cosine": cosines,
        }
    )


def words_of(description: str) -> list[str]:
    """Return the words of a description to search for: lower case, each once, without very common ones.

    A word has two letters or more; those of scripts without spaces are divided from each other.
    """
    parts = (part for word in words(description.lower()) for part in pieces(word))
    return [part for part in dict.fromkeys(parts) if says_something(part) and part not in STOP][:WORDS]


def labels_by_some_words(store: Store, description: str, *, limit: int = 20) -> pa.Table:
    """Return features whose label and keywords contain most words of a description.

    Columns: feature_id, label, density, n_words. A word counts where a word of the label or of a keyword begins with
    it; one in a script without spaces, wherever it stands. Of features with equally many, those come first whose label
    has more of them, then the densest.
    """
    asked = [word if HAS_UNSPACED.search(word) else f" {word}" for word in words_of(description)]
    store.need(FEATURES)
    if not asked:
        return store.look_up(f"select feature_id, label, density, 0 as n_words from {cards(store)} limit 0")
    values = {f"word_{number}": word for number, word in enumerate(asked)}
    return store.look_up(
        f"""
        with counted as (
            select feature_id, {_n_found("all_words", values)} as n_words,
                {_n_found("label_words", values)} as n_in_label
            from {card_words(store)}
        )
        select c.feature_id, c.label, c.density, n.n_words
        from counted n
        join {cards(store)} c on c.feature_id = n.feature_id
        where n.n_words > 0
        order by n.n_words desc, n.n_in_label desc, c.density desc nulls last, c.feature_id
        limit $limit""",
        **values,
        limit=limit,
    )


def _n_found(column: str, words: Iterable[str]) -> str:
    """The SQL of how many words a column contains."""
    return " + ".join(f"case when instr({column}, ${word}) > 0 then 1 else 0 end" for word in words)
