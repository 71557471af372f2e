"""Questions about attribution: what the words of a text add to a feature."""

from __future__ import annotations

from collections.abc import Iterable

import pyarrow as pa

from featurelib.storage.store import Store


def contributions(store: Store, feature_id: int, text_ids: Iterable[int]) -> pa.Table:
    """Return what each word of some texts adds to a feature; a text without stored attributions gives no row.

    Columns: text_id, starts and ends (of each word, in characters), parts (the attribution of each word), special,
    constant, pre_activation, in the order of the ids as given. Σ parts + special + constant = pre_activation, to 1e-5
    (times pre_activation where that is above 1) and as exactly as stored embeddings are the embedder's (float16
    rounds).
    """
    ids = list(dict.fromkeys(int(text_id) for text_id in text_ids))
    rows = store.look_up(
        """
        select c.text_id, w.starts, w.ends, c.parts, c.special, c.constant, c.pre_activation
        from contributions c
        join text_words w on w.text_id = c.text_id
        where c.feature_id = $feature_id and c.text_id in (select unnest($text_ids::bigint[]))""",
        feature_id=feature_id,
        text_ids=ids,
    )
    place = {text_id: number for number, text_id in enumerate(rows["text_id"].to_pylist())}
    return rows.take(pa.array([place[text_id] for text_id in ids if text_id in place], pa.int64()))


def no_words_reason(store: Store) -> str | None:
    """Return why this run has no attributions, without a full stop; None where it has, or where nothing is known."""
    done = store.generation.done("attributions")
    return done.facts.get("reason") if done else None
