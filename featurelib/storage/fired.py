"""Which features fire on which texts: from the arrays of the index, without one from the files of activations."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from dataclasses import dataclass

import numpy as np

from featurelib.storage.index.arrays import offsets_of
from featurelib.storage.store import Store

ROWS_OF_BLOCK = 2_000_000


@dataclass(frozen=True)
class FeatureTexts:
    """The texts on which one feature fires, the strongest first, equal ones in the order of their ids."""

    text_ids: np.ndarray
    """Whole numbers [n]."""
    activations: np.ndarray
    """float32 [n]."""


@dataclass(frozen=True)
class TextFeatures:
    """The features that fire on some texts; those of a text stand together, the strongest first."""

    whose: np.ndarray
    """The place of the text among those asked for, int64 [n]."""
    feature_ids: np.ndarray
    """int32 [n]."""
    activations: np.ndarray
    """float32 [n]."""


@dataclass(frozen=True)
class FeatureBlock:
    """The texts on which some features with successive ids fire; those of a feature as in `FeatureTexts`."""

    first: int
    """The id of the first of them."""
    offsets: np.ndarray
    """Where each feature's texts begin, and at the end where the last one's end, int64 [n_features + 1]."""
    text_ids: np.ndarray
    """Whole numbers [n]."""
    activations: np.ndarray
    """float32 [n]."""

    @property
    def n_features(self) -> int:
        """How many features there are."""
        return len(self.offsets) - 1


def feature_blocks(store: Store) -> Iterator[FeatureBlock]:
    """Go through all features, so many at a time that memory is bounded: about `ROWS_OF_BLOCK` activations, or one."""
    offsets = offsets_of(n_active(store))
    first = 0
    while first < len(offsets) - 1:
        last = max(first + 1, int(np.searchsorted(offsets, offsets[first] + ROWS_OF_BLOCK, "right")) - 1)
        own = offsets[first : last + 1]
        yield FeatureBlock(first, own - own[0], *_of_features(store, first, last))
        first = last


def _of_features(store: Store, first: int, last: int) -> tuple[np.ndarray, np.ndarray]:
    found = store.from_index(lambda index: index.arrays.of_features(first, last))
    if found is not None:
        return found
    rows = store.ask(
        """
        select text_id, activation
        from activations_by_feature
        where feature_id >= $first and feature_id < $last
        order by feature_id, activation desc, text_id""",
        first=first,
        last=last,
    )
    return rows["text_id"].to_numpy(), rows["activation"].to_numpy()


def texts_of(store: Store, feature_id: int) -> FeatureTexts:
    """Return the texts on which a feature fires; none for an id that no feature has."""
    found = store.from_index(lambda index: index.arrays.of_feature(int(feature_id)))
    if found is not None:
        return FeatureTexts(*found)
    rows = store.ask(
        """
        select text_id, activation
        from activations_by_feature
        where feature_id = $feature_id
        order by activation desc, text_id""",
        feature_id=int(feature_id),
    )
    return FeatureTexts(rows["text_id"].to_numpy(), rows["activation"].to_numpy())


def features_of(store: Store, text_ids: Iterable[int] | np.ndarray) -> TextFeatures:
    """Return the features that fire on some different texts, in the order of these; an unknown text has none."""
    ids = np.asarray(text_ids if isinstance(text_ids, np.ndarray) else list(text_ids), np.int64)
    known = np.flatnonzero((ids >= 0) & (ids < store.n_texts))
    found = store.from_index(lambda index: index.arrays.of_texts(ids[known]))
    if found is not None:
        whose, feature_ids, activations = found
        return TextFeatures(known[whose], feature_ids, activations)
    rows = store.ask(
        """
        select text_id, feature_id, activation
        from activations_by_text
        where text_id in (select unnest($ids::bigint[]))
        order by text_id, activation desc, feature_id""",
        ids=ids.tolist(),
    )
    order = np.argsort(ids, kind="stable")
    whose = order[np.searchsorted(ids[order], rows["text_id"].to_numpy())] if len(ids) else np.empty(0, np.int64)
    place = np.argsort(whose, kind="stable")
    return TextFeatures(whose[place], rows["feature_id"].to_numpy()[place], rows["activation"].to_numpy()[place])


def n_active(store: Store) -> np.ndarray:
    """Return the number of texts on which each feature fires, int64 [n_features]; read once per generation."""

    def ask() -> np.ndarray:
        rows = store.ask("select n_active from features order by feature_id")
        counts: np.ndarray = rows["n_active"].to_numpy()
        return counts

    return store.once("n_active", ask)
