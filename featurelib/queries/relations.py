"""Questions about two features at a time."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass

import numpy as np
import pyarrow as pa

from featurelib.schema import FEATURES, MIN_BOTH, Refusal
from featurelib.storage.derived import cards_of
from featurelib.storage.fired import features_of, n_active, texts_of
from featurelib.storage.store import Store

MEASURES = ("lift", "jaccard", "conditional")
"""The measures of coactivation that features can be ordered by."""
MOST_IN_MATRIX = 60
"""Features of a coactivation matrix, at most; more could not be read."""
TEXTS_AT_ONCE = 50_000
"""Texts whose features are counted at once: nobody else waits longer than for these."""
TEXTS_OF_SQUARE = 1_000_000
"""Texts of which a coactivation matrix is counted at once."""

CLOSE = """
select n.neighbour_id as feature_id, coalesce(l.label, 'feature ' || n.neighbour_id) as label, n.cosine
from {view} n
left join maybe.labels l on l.feature_id = n.neighbour_id
where n.feature_id = $feature_id
order by n.rank
limit $limit
"""


@dataclass(frozen=True)
class CoactivationMatrix:
    """How often some features fire on the same texts."""

    feature_ids: list[int]
    """The features, in the order of the ids as given."""
    labels: list[str]
    """Their labels."""
    n_both: np.ndarray
    """int64 [n, n]: texts on which both fire; on the diagonal, those on which the feature fires."""


def neighbours(store: Store, feature_id: int, *, limit: int = 10) -> pa.Table:
    """Return the features whose directions are nearest: feature_id, label, cosine."""
    return store.look_up(CLOSE.format(view="neighbours"), feature_id=feature_id, limit=limit)


def opposites(store: Store, feature_id: int, *, limit: int = 10) -> pa.Table:
    """Return the features whose directions are most opposite: feature_id, label, cosine."""
    return store.look_up(CLOSE.format(view="opposites"), feature_id=feature_id, limit=limit)


def common_neighbours(store: Store, first: int, second: int, *, limit: int = 10) -> pa.Table:
    """Return the features among the nearest directions of both: feature_id, label, first, second (the cosines)."""
    return store.look_up(
        """
        select a.neighbour_id as feature_id, coalesce(l.label, 'feature ' || a.neighbour_id) as label,
            a.cosine as first, b.cosine as second
        from neighbours a
        join neighbours b on b.neighbour_id = a.neighbour_id
        left join maybe.labels l on l.feature_id = a.neighbour_id
        where a.feature_id = $one and b.feature_id = $other
        order by a.cosine + b.cosine desc, a.neighbour_id
        limit $limit""",
        one=first,
        other=second,
        limit=limit,
    )


def cosine_of(store: Store, first: int, second: int) -> float | None:
    """Return the cosine of two features' directions; None where neither is among the nearest of the other."""
    rows = store.look_up(
        """
        select cosine
        from neighbours
        where (feature_id = $one and neighbour_id = $other) or (feature_id = $other and neighbour_id = $one)
        order by feature_id""",
        one=first,
        other=second,
    )
    return float(rows["cosine"][0].as_py()) if rows.num_rows else None


def coactivations(
    store: Store, feature_id: int, *, limit: int = 10, min_both: int = MIN_BOTH, by: str = "lift"
) -> pa.Table:
    """Return the features that fire on the same texts, the highest `by` (one of MEASURES) first.

    Columns: feature_id, label, n_both, jaccard, conditional = P(other | feature), lift. `min_both` is the least number
    of common texts, from 1. The answer is always exact. The stored table, with the 50 of highest lift on 5 common texts
    or more, answers for lift and 5; for another measure or minimum the right features may not be among these 50, so
    they are counted on the activations, which takes longer the more texts the feature fires on.
    """
    if by not in MEASURES:
        raise Refusal(f"coactivation cannot be ordered by '{str(by)[:40]}'; use one of {', '.join(MEASURES)}.")
    values = {"feature_id": feature_id, "limit": limit}
    if by == "lift" and min_both == MIN_BOTH:
        return store.look_up(
            """
            select c.other_id as feature_id, coalesce(l.label, 'feature ' || c.other_id) as label,
                c.n_both, c.jaccard, c.conditional, c.lift
            from coactivations c
            left join maybe.labels l on l.feature_id = c.other_id
            where c.feature_id = $feature_id
            order by c.rank
            limit $limit""",
            **values,
        )
    return _counted_coactivations(store, feature_id, limit, min_both, by)


def _counted_coactivations(store: Store, feature_id: int, limit: int, min_both: int, by: str) -> pa.Table:
    n_each = n_active(store)
    n_both = np.zeros(len(n_each), np.int64)
    here = np.asarray(texts_of(store, feature_id).text_ids)
    for first in range(0, len(here), TEXTS_AT_ONCE):
        fired = features_of(store, here[first : first + TEXTS_AT_ONCE])
        n_both += np.bincount(fired.feature_ids, minlength=len(n_each))
    n_both[feature_id : feature_id + 1] = 0
    ids = np.flatnonzero(n_both >= max(min_both, 1))
    both, others, own = n_both[ids], n_each[ids], len(here)
    measured = {
        "jaccard": both / (own + others - both),
        "conditional": both / max(own, 1),
        # whole numbers below 2^53, so the one division rounds equal lifts equally
        "lift": (both * store.n_texts) / (own * others).astype(np.float64),
    }
    best = np.lexsort((ids, -both, -measured[by]))[:limit]
    labels = cards_of(store, ids[best])["label"]
    columns = {name: values[best] for name, values in measured.items()}
    return pa.table({"feature_id": pa.array(ids[best], pa.int32()), "label": labels, "n_both": both[best], **columns})


def coactivation_matrix(store: Store, ids: Iterable[int]) -> CoactivationMatrix:
    """Return how often each two of some features fire on one text; of more than 60, the 60 that fire on most texts.

    Unknown and repeated ids are left out; the others keep their order.
    """
    store.need(FEATURES)
    unique_ids = list(dict.fromkeys(int(feature_id) for feature_id in ids))
    counts = n_active(store)
    known = [feature_id for feature_id in unique_ids if 0 <= feature_id < len(counts)]
    densest = set(sorted(known, key=lambda feature_id: (-counts[feature_id], feature_id))[:MOST_IN_MATRIX])
    feature_ids = [feature_id for feature_id in known if feature_id in densest]
    labels = cards_of(store, np.array(feature_ids, np.int64))["label"].to_pylist()
    return CoactivationMatrix(feature_ids, labels, _common(store, feature_ids))


def _common(store: Store, feature_ids: list[int]) -> np.ndarray:
    """How often each two features fire on one text, int64 [n, n]; texts in portions, so that memory is bounded."""
    texts = [np.sort(texts_of(store, feature_id).text_ids) for feature_id in feature_ids]
    common = np.diag([len(ids) for ids in texts]).astype(np.int64)
    for first in range(0, store.n_texts, TEXTS_OF_SQUARE):
        ends = [np.searchsorted(ids, (first, first + TEXTS_OF_SQUARE)) for ids in texts]
        common += _common_of_portion([ids[start:end] for ids, (start, end) in zip(texts, ends, strict=True)])
    return common


def _common_of_portion(texts: list[np.ndarray]) -> np.ndarray:
    """On how many texts each two features fire, whose texts are given; 0 on the diagonal.

    Most texts have one of the features; they are dropped before a matrix is made.
    """
    ids = np.concatenate([*texts, np.empty(0, np.int64)])
    order = np.argsort(ids, kind="stable")
    features = np.repeat(np.arange(len(texts)), [len(text_ids) for text_ids in texts])[order]
    n_features = np.unique(ids[order], return_counts=True)[1]
    several = n_features > 1
    fires = np.zeros((len(texts), int(several.sum())), np.float32)
    fires[features[np.repeat(several, n_features)], np.repeat(np.arange(fires.shape[1]), n_features[several])] = 1
    common = (fires @ fires.T).astype(np.int64)
    np.fill_diagonal(common, 0)
    return common
