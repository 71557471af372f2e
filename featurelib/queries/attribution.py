"""Questions about the words that carry a feature."""

from __future__ import annotations

from collections.abc import Iterable

import pyarrow as pa

from featurelib.storage.store import Store


def contributions(store: Store, feature_id: int, text_ids: Iterable[int]) -> pa.Table:
    """What each word of some texts adds to a feature; a text whose words are not stored gives no row.

    Columns: text_id, starts and ends (of each word, in characters), parts (of each word), special, constant,
    pre_activation, in the order of the ids as given. Σ parts + special + constant = pre_activation, to 1e-5 (of
    it, where it is above 1) and as far as stored embeddings are those of the embedder (float16 rounds them).
    """
    return store.ask(
        """
        select c.text_id, w.starts, w.ends, c.parts, c.special, c.constant, c.pre_activation
        from contributions c
        join text_words w on w.text_id = c.text_id
        where c.feature_id = $feature_id and c.text_id in (select unnest($text_ids::bigint[]))
        order by list_position($text_ids::bigint[], c.text_id)""",
        feature_id=feature_id,
        text_ids=list(dict.fromkeys(int(one) for one in text_ids)),
    )


def no_words_reason(store: Store) -> str | None:
    """Why no words are stored for this run, without a full stop; None where they are, or where nothing is known."""
    done = store.generation.done("attributions")
    return done.facts.get("reason") if done else None
