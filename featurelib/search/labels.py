"""Features by their labels: by meaning, and by the words of a description."""

from __future__ import annotations

import re

import numpy as np
import pyarrow as pa

from featurelib.language.characters import HAS_UNSPACED
from featurelib.language.segmentation import pieces, says_something, words
from featurelib.schema import Refusal
from featurelib.storage.store import Store

BETWEEN = r"[^\pL\pN\pM\x{200C}\x{200D}]+"
"""What stands between words, in DuckDB's patterns: neither letter, digit, mark nor joiner."""
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
    dimensions = store.ask("select len(embedding) as d from label_vectors limit 1")["d"].to_pylist()
    if not dimensions:
        raise Refusal(
            "the labels of this run have no embeddings, because no embedder of its texts was known when they were made;"
            " build it again with --embedder to find features by the meaning of their names."
        )
    if dimensions[0] != len(query):
        raise Refusal(
            f"the description's embedding has {len(query)} numbers; those of this run's labels {dimensions[0]}."
        )
    return store.ask(
        """
        with compared as (
            select feature_id, list_cosine_similarity(embedding, $vector::float[]) as cosine
            from label_vectors
        )
        select c.feature_id, l.label, f.density, c.cosine
        from compared c
        join labels l on l.feature_id = c.feature_id and l.source <> 'none'
        left join maybe.features f on f.feature_id = c.feature_id
        where not isnan(c.cosine)
        order by c.cosine desc, c.feature_id
        limit $limit""",
        vector=query.tolist(),
        limit=limit,
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
    return store.ask(
        r"""
        with listed as (
            select feature_id, string_agg(keyword, ' ' order by rank) as keywords
            from maybe.keywords
            group by feature_id
        ), named as (
            select l.feature_id, l.label, f.density,
                lower(regexp_replace(' ' || l.label, $between, ' ', 'g')) as label_words,
                lower(regexp_replace(' ' || l.label || ' ' || coalesce(w.keywords, ''), $between, ' ', 'g')) as words
            from maybe.labels l
            left join listed w on w.feature_id = l.feature_id
            left join maybe.features f on f.feature_id = l.feature_id
        ), counted as (
            select feature_id, label, density,
                len(list_filter($words::varchar[], lambda word: contains(words, word))) as n_words,
                len(list_filter($words::varchar[], lambda word: contains(label_words, word))) as n_in_label
            from named
        )
        select feature_id, label, density, n_words
        from counted
        where n_words > 0
        order by n_words desc, n_in_label desc, density desc nulls last, feature_id
        limit $limit""",
        between=BETWEEN,
        words=[word if HAS_UNSPACED.search(word) else f" {word}" for word in words_of(description)],
        limit=limit,
    )
