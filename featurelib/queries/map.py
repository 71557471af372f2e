"""Questions about all features at once, for the colours of their map: fidelity, family, lift of a column's value."""

from __future__ import annotations

import numpy as np
import pyarrow as pa

from featurelib.queries.slices import texts_having
from featurelib.schema import FEATURES
from featurelib.storage.answers import once_per_generation, remembered
from featurelib.storage.derived import cards
from featurelib.storage.fired import feature_blocks, n_active
from featurelib.storage.store import Store


@once_per_generation
def name_fidelity(store: Store) -> pa.Table:
    """Return how well each feature's name predicts its firing, by id: feature_id, auroc (null where not measured)."""
    store.need(FEATURES)
    return store.ask(f"select feature_id, auroc::float as auroc from {cards(store)} order by feature_id")


@once_per_generation
def family_of(store: Store) -> pa.Table:
    """Return the features that are in a family, by id: feature_id, family_id."""
    return store.ask("select feature_id, family_id from families order by feature_id")


@remembered
def value_lifts(store: Store, column: str, value: str) -> pa.Table:
    """Return how much oftener each feature fires on texts that have a value, by id: feature_id, n_texts, lift.

    n_texts is the number of these texts on which it fires; lift = its share of these texts / its density, null for a
    feature that never fires.
    """
    store.need(FEATURES)
    having = texts_having(store, column, value)
    inside = np.zeros(store.n_texts, bool)
    inside[having] = True
    counts = np.concatenate([_sums(inside[block.text_ids], block.offsets) for block in feature_blocks(store)])
    fired = n_active(store)
    lift = counts * (store.n_texts / max(len(having), 1)) / np.maximum(fired, 1)
    return pa.table(
        {
            "feature_id": pa.array(np.arange(len(counts)), pa.int32()),
            "n_texts": counts,
            "lift": pa.array(lift, pa.float32(), mask=fired == 0),
        }
    )


def _sums(values: np.ndarray, offsets: np.ndarray) -> np.ndarray:
    """The number of true values between each two of the offsets."""
    before = np.concatenate([[0], np.cumsum(values, dtype=np.int64)])
    sums: np.ndarray = before[offsets[1:]] - before[offsets[:-1]]
    return sums
