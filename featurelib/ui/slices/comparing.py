"""Two slices, compared once and kept in memory; and the texts of both on which one feature is most active."""

from __future__ import annotations

from dataclasses import dataclass, replace

import numpy as np
import streamlit as st

from featurelib import queries
from featurelib.storage.store import Store
from featurelib.ui.kit.anchors import page_link
from featurelib.ui.kit.elements import count, heading, sentence
from featurelib.ui.kit.session import GenerationPlace, Opened, place_of, store_at
from featurelib.ui.slices.difference import Difference, feature_strip, picked_rows, with_intervals
from featurelib.ui.slices.side import Side, texts_of_side
from featurelib.ui.texts.text_list import text_list, text_of

KEPT = 8
TOP = 4
"""Texts of each slice that are shown for a feature."""


@dataclass(frozen=True)
class Slices:
    """Two slices and what tells them apart."""

    difference: Difference
    a: np.ndarray
    """Its texts, ascending."""
    b: np.ndarray
    """Its texts."""
    n_both: int
    """Texts that are in both, and are left out."""


def compare(opened: Opened, a: Side, b: Side) -> Slices:
    """Compare two slices; Refusal when one is empty or they are the same."""
    return _compared(place_of(opened.generation), a, b, opened)


@st.cache_resource(max_entries=KEPT, show_spinner="Comparing every feature")
def _compared(place: GenerationPlace, a: Side, b: Side, _opened: Opened) -> Slices:
    store = store_at(*place)
    of_a, of_b = (texts_of_side(_opened, side) for side in (a, b))
    in_a = np.empty(0, np.int64) if of_a is None else of_a
    in_b = np.setdiff1d(np.arange(store.n_texts), in_a) if of_b is None else of_b
    both = np.intersect1d(in_a, in_b)
    only_a, only_b = np.setdiff1d(in_a, both), np.setdiff1d(in_b, both)
    compared = queries.contrast(store, only_a, only_b)
    return Slices(Difference.of(compared, queries.contrast_rows(store, compared)), only_a, only_b, len(both))


def texts_of_both(opened: Opened, slices: Slices, feature_id: int, titles: tuple[str, str]) -> None:
    """The texts of A on which a feature is most active beside those of B."""
    store = opened.store
    feature = queries.feature(store, feature_id)
    heading(feature.label, f"feature {feature_id}, texts of both slices")
    page_link("feature.py", "open this feature ›", feature=feature_id)
    rows = picked_rows(slices.difference.rows, [feature_id])
    for row in with_intervals(slices.difference, rows).to_pylist():
        feature_strip(row)
    for place, name, text_ids, title in zip(
        st.columns(2, gap="large"), ("a", "b"), (slices.a, slices.b), titles, strict=True
    ):
        with place:
            heading(f"{name.upper()}: {title}", f"{count(len(text_ids))} texts")
            _top_texts(store, feature_id, text_ids, feature.max_activation, name)


def _top_texts(store: Store, feature_id: int, text_ids: np.ndarray, maximum: float, key: str) -> None:
    strongest = queries.top_texts_among(store, feature_id, text_ids, limit=TOP).to_pylist()
    if not strongest:
        sentence(f"It fires on none of these {count(len(text_ids))} texts.")
        return
    activations = {row["text_id"]: row["activation"] for row in strongest}
    rows = queries.texts(store, list(activations)).to_pylist()
    shown = [text_of(row | {"activation": activations[row["text_id"]]}, store, maximum) for row in rows]
    text_list(f"slice-{key}", [(replace(text, split=""), []) for text in shown], feature_id=feature_id)
