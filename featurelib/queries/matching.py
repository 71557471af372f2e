"""Questions about two runs: whether their features can be compared, and which features fire on which texts."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import pyarrow as pa

from featurelib.schema import Refusal
from featurelib.storage.runs import Generation
from featurelib.storage.store import Store

SHARED = {"ingest": "the same texts", "embed": "the same embeddings"}
"""The stages that two runs must have in common, and what that means."""
NEEDED = (*SHARED, "summarise")


@dataclass(frozen=True)
class FiringPairs:
    """Which features of a run fire on its first texts: one pair of text and feature each."""

    text_ids: np.ndarray
    """int64 [n]."""
    feature_ids: np.ndarray
    """int32 [n]."""
    n_texts: int
    """The number of these first texts."""
    n_features: int
    """Features of the SAE."""


def why_not_comparable(first: Generation, second: Generation) -> str | None:
    """Return what two runs do not have in common, in words; None when their features can be compared text by text."""
    for generation in (first, second):
        for stage in NEEDED:
            if generation.done(stage) is None:
                return f"the stage '{stage}' of '{generation.path.parent.name}' is not done"
    for stage, meaning in SHARED.items():
        if _fingerprint(first, stage) != _fingerprint(second, stage):
            return f"they do not have {meaning} (other fingerprints of the stage '{stage}')"
    return None


def _fingerprint(generation: Generation, stage: str) -> str:
    done = generation.done(stage)
    return done.fingerprint if done else ""


def firing_pairs(store: Store, *, most: int) -> FiringPairs:
    """Return which features fire on the first `most` texts; Refusal when one is missing in the table of features."""
    n_texts, n_features = store.n_texts, store.count("select count(*) from features")
    rows = store.ask(
        """
        select text_id, feature_id
        from activations_by_text
        where text_id < $most
        order by text_id, feature_id""",
        most=most,
    )
    feature_ids = rows["feature_id"].to_numpy()
    if len(feature_ids) and feature_ids.max() >= n_features:
        raise Refusal(f"feature {feature_ids.max()} fires but the run has {n_features}; build the run again.")
    return FiringPairs(rows["text_id"].to_numpy(), feature_ids, min(most, n_texts), n_features)


def texts_per_feature(store: Store) -> pa.Table:
    """Return every feature with its label: feature_id, label, n_active."""
    return store.ask(
        """
        select f.feature_id, coalesce(l.label, 'feature ' || f.feature_id) as label, f.n_active
        from features f
        left join maybe.labels l on l.feature_id = f.feature_id
        order by f.feature_id"""
    )
