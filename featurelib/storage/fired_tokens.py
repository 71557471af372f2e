"""On which tokens features fire: from the arrays of the index, without one from the files of a token run."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import pyarrow as pa

from featurelib.storage.index.opened import Index
from featurelib.storage.store import Store


@dataclass(frozen=True)
class FiredTokens:
    """Tokens on which one feature fires: arrays of one length."""

    text_ids: np.ndarray
    """int64."""
    token_ids: np.ndarray
    """Their numbers in the vocabulary, int32."""
    starts: np.ndarray
    """The first character of each in its text, int32."""
    ends: np.ndarray
    """The character after its last, int32."""
    activations: np.ndarray
    """float32."""


def in_texts(store: Store, feature_id: int, text_ids: list[int]) -> FiredTokens:
    """Return the tokens of some texts on which a feature fires, in the order of text_id and position."""

    def read(index: Index) -> FiredTokens:
        places, activations = index.tokens.of_feature(feature_id)
        order = np.argsort(places)
        places, activations = places[order], activations[order]
        spans = [index.tokens.span(text_id) for text_id in sorted(set(text_ids))]
        inside = [np.arange(*np.searchsorted(places, span)) for span in spans]
        chosen = np.concatenate([np.empty(0, np.int64), *inside])
        return _fired(index, places[chosen], activations[chosen])

    found = store.from_index(read)
    if found is not None:
        return found
    return _of_rows(
        store.ask(
            """
            select f.text_id, token_id, "start", "end", activation
            from token_activations_by_feature f
            join tokens t on t.text_id = f.text_id and t.position = f.position
            where feature_id = $feature_id and f.text_id in (select unnest($ids::bigint[]))
            order by f.text_id, f.position""",
            feature_id=feature_id,
            ids=text_ids,
        )
    )


def at_ranks(store: Store, feature_id: int, ranks: np.ndarray) -> FiredTokens:
    """Return the tokens on which a feature fires at some ranks, from 0 for the strongest."""

    def read(index: Index) -> FiredTokens:
        places, activations = index.tokens.of_feature(feature_id)
        return _fired(index, places[ranks], activations[ranks])

    found = store.from_index(read)
    if found is not None:
        return found
    return _of_rows(
        store.ask(
            """
            with ranked as (
                select text_id, position, activation,
                    row_number() over (order by activation desc, text_id, position) - 1 as rank
                from token_activations_by_feature
                where feature_id = $feature_id
            )
            select r.text_id, token_id, "start", "end", activation
            from ranked r
            join tokens t on t.text_id = r.text_id and t.position = r.position
            where rank in (select unnest($ranks::bigint[]))
            order by list_position($ranks::bigint[], rank)""",
            feature_id=feature_id,
            ranks=ranks.tolist(),
        )
    )


def _fired(index: Index, places: np.ndarray, activations: np.ndarray) -> FiredTokens:
    placed = index.tokens.placed(places)
    return FiredTokens(placed.text_ids, placed.ids, placed.starts, placed.ends, activations)


def _of_rows(rows: pa.Table) -> FiredTokens:
    return FiredTokens(*(column.to_numpy() for column in rows.columns))
