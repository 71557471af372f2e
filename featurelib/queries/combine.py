"""Questions about texts by a combination of features: A and B fire, but not C."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass

import numpy as np
import pyarrow as pa

from featurelib.queries.texts import TEXT_FIELDS, texts
from featurelib.schema import Refusal
from featurelib.storage.fired import n_active, texts_of
from featurelib.storage.store import Store

MOST_COMBINED = 20
"""Features in one combination, at most."""


@dataclass(frozen=True)
class CombinedCounts:
    """How many texts match a combination of features."""

    n_texts: int
    """Texts of the corpus."""
    n_present: int
    """Texts on which all features fire that must."""
    n_matching: int
    """Of these, the texts on which no feature fires that must not."""


@dataclass(frozen=True)
class _Named:
    """The features of a combination, each once."""

    present: list[int]
    absent: list[int]


def _named(present: Sequence[int], absent: Sequence[int]) -> _Named:
    fire, silent = (list(dict.fromkeys(int(feature_id) for feature_id in ids)) for ids in (present, absent))
    both = sorted(set(fire) & set(silent))
    if both:
        raise Refusal(f"feature {both[0]} cannot fire and not fire on one text; take it from one of the two lists.")
    if len(fire) + len(silent) > MOST_COMBINED:
        raise Refusal(f"{len(fire) + len(silent)} features are named; {MOST_COMBINED} can be combined at most.")
    return _Named(fire, silent)


def _all_fire(store: Store, present: Sequence[int]) -> tuple[np.ndarray, np.ndarray]:
    """The texts on which all features fire, ascending, and the smallest of their strengths there.

    It begins with the feature that fires least, so what it costs is bounded by the others' numbers of texts.
    """
    counts = n_active(store)
    if any(not 0 <= feature_id < len(counts) for feature_id in present):
        return np.empty(0, np.int64), np.empty(0, np.float32)
    rarest, *others = sorted(present, key=lambda feature_id: int(counts[feature_id]))
    ids, strength = _strengths(store, rarest)
    order = np.argsort(ids)
    ids, strength = ids[order], strength[order]
    for feature_id in others:
        theirs, values = _strengths(store, feature_id)
        here, there = _places(ids, theirs)
        ids, strength = ids[here], np.minimum(strength[here], values[there])
    return ids, strength


def _strengths(store: Store, feature_id: int) -> tuple[np.ndarray, np.ndarray]:
    fired = texts_of(store, feature_id)
    activations = np.asarray(fired.activations)
    return np.asarray(fired.text_ids), activations / activations.max(initial=np.float32(1e-30))


def _places(ids: np.ndarray, others: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Where the common texts stand in `ids`, which ascend, and in `others`: each in the order of `ids`."""
    if not len(ids):
        return np.empty(0, np.int64), np.empty(0, np.int64)
    at = np.minimum(np.searchsorted(ids, others), len(ids) - 1)
    there = np.flatnonzero(ids[at] == others)
    here = at[there]
    order = np.argsort(here)
    return here[order], there[order]


def _matching(store: Store, named: _Named) -> tuple[np.ndarray, np.ndarray]:
    """The texts on which all fire that must and none that must not, ascending, and their strengths."""
    ids, strength = _all_fire(store, named.present)
    for feature_id in named.absent:
        here, _ = _places(ids, np.asarray(texts_of(store, feature_id).text_ids))
        kept = np.ones(len(ids), bool)
        kept[here] = False
        ids, strength = ids[kept], strength[kept]
    return ids, strength


def _silent(store: Store, absent: Sequence[int]) -> np.ndarray:
    """Whether none of some features fires, for each text, bool [n_texts]."""
    silent = np.ones(store.n_texts, bool)
    for feature_id in absent:
        silent[texts_of(store, feature_id).text_ids] = False
    return silent


def _some_true(mask: np.ndarray, first: int, last: int) -> np.ndarray:
    """The places from the `first` to the `last` true one of a mask, which is read no further than needed."""
    read = 4 * last
    while len(places := np.flatnonzero(mask[:read])) < last and read < len(mask):
        read *= 4
    return places[first:last]


def count_combined(store: Store, present: Sequence[int], absent: Sequence[int] = ()) -> CombinedCounts:
    """Count the texts on which all of `present` fire and none of `absent`; Refusal when a feature is in both."""
    named = _named(present, absent)
    if not named.present:
        return CombinedCounts(store.n_texts, store.n_texts, int(np.count_nonzero(_silent(store, named.absent))))
    n_matching = len(_matching(store, named)[0])
    n_present = n_matching if not named.absent else len(_all_fire(store, named.present)[0])
    return CombinedCounts(store.n_texts, n_present, n_matching)


def densities(store: Store, ids: Iterable[int]) -> dict[int, float]:
    """Return the densities of some features, by id; unknown ids are left out."""
    rows = store.look_up(
        """
        select feature_id, density
        from features
        where feature_id in (select unnest($ids::bigint[]))
        order by feature_id""",
        ids=[int(feature_id) for feature_id in ids],
    )
    return dict(zip(rows["feature_id"].to_pylist(), rows["density"].to_pylist(), strict=True))


def combined_texts(
    store: Store, present: Sequence[int], absent: Sequence[int] = (), *, limit: int = 10, offset: int = 0
) -> pa.Table:
    """Return the texts on which all of `present` fire and none of `absent`, by descending strength.

    A feature's strength on a text is its activation over its maximum on the corpus; `strength` is the smallest one of
    those of `present`, null when nothing must fire. Columns: text_id, text, strength, cut, sae_split, then the
    `listed_columns`.
    """
    named = _named(present, absent)
    if named.present:
        ids, strength = _matching(store, named)
        order = strongest(strength, offset + limit)[offset:]
        ids, strengths = ids[order], pa.array(strength[order], pa.float32())
    else:
        ids = _some_true(_silent(store, named.absent), offset, offset + limit)
        strengths = pa.nulls(len(ids), pa.float32())
    shown = texts(store, ids.tolist())
    first = {"text_id": shown["text_id"], "text": shown["text"], "strength": strengths}
    first |= {"cut": shown["cut"], "sae_split": shown["sae_split"]}
    own = shown.drop_columns(["text_id", *TEXT_FIELDS])
    return pa.table([*first.values(), *own.columns], names=[*first, *own.column_names])


def strongest(values: np.ndarray, count: int) -> np.ndarray:
    """The places of the `count` largest values, the largest first, equal ones in their order."""
    if len(values) > 4 * count:
        least = np.partition(values, len(values) - count)[len(values) - count]
        places = np.flatnonzero(values >= least)
    else:
        places = np.arange(len(values))
    order: np.ndarray = places[np.argsort(-values[places], kind="stable")][:count]
    return order
