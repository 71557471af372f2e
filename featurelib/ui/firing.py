"""The texts on which one feature fires: the strongest, narrowed by a metadata value, and samples of all strengths."""

from __future__ import annotations

from collections.abc import Sequence
from itertools import groupby

import streamlit as st

from featurelib import queries
from featurelib.queries import Feature
from featurelib.schema import TOP_TEXTS
from featurelib.store import Store
from featurelib.ui.address import pager, segments
from featurelib.ui.portrait import band_head, column_box, value_box
from featurelib.ui.reading import MOST_VALUES, text_list, text_of, with_features

PER_PAGE = 10
VIEWS = {"top": "Top texts", "bands": "Quantile bands"}


def texts(store: Store, feature: Feature, columns: Sequence[str]) -> None:
    """Draw the texts of a live feature; `columns` are the metadata columns that they may be narrowed by."""
    with st.container(horizontal=True, vertical_alignment="center", key="read-controls"):
        view = segments("Texts", "view", list(VIEWS), show=VIEWS.get, label_visibility="collapsed")
        chosen = _chosen(store, feature, columns) if view == "top" else None
    if chosen is None:
        _quantile_bands(store, feature)
    else:
        _top_texts(store, feature, *chosen)


def _chosen(store: Store, feature: Feature, columns: Sequence[str]) -> tuple[str | None, str | None, int]:
    """The metadata column and value that the top texts are narrowed to, and how many texts there are then."""
    column = column_box(columns) if columns else None
    if column not in columns:
        return None, None, min(feature.n_active, TOP_TEXTS)
    rows = queries.metadata_values(store, feature.feature_id, column, limit=MOST_VALUES).to_pylist()
    counted = {row["value"]: row["n_texts"] for row in rows}
    value = value_box(counted)
    return column, value, counted.get(value, 0)


def _top_texts(store: Store, feature: Feature, column: str | None, value: str | None, n_texts: int) -> None:
    """The strongest texts, ten at a time."""
    place = st.container()
    first = pager(n_texts, PER_PAGE)
    number = feature.feature_id
    rows = queries.top_texts(store, number, limit=PER_PAGE, offset=first, column=column, value=value).to_pylist()
    shown = [text_of(row, store, feature.max_activation) for row in rows]
    with place:
        text_list("top", with_features(shown, store, without=number), before="also active:")


def _quantile_bands(store: Store, feature: Feature) -> None:
    """Texts drawn from each quarter of its activations, so that not only the extremes are seen."""
    rows = queries.bands(store, feature.feature_id).to_pylist()
    shown = [text_of(row, store, feature.max_activation) for row in rows]
    drawn = zip(rows, with_features(shown, store, without=feature.feature_id), strict=True)
    for band, members in groupby(drawn, lambda pair: pair[0]["band"]):
        pairs = list(members)
        band_head([row for row, _ in pairs])
        text_list(f"band{band}", [one for _, one in pairs], before="also active:")
