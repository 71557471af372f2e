"""The texts on which one feature fires: the strongest, narrowed by a metadata value, and samples of all strengths.

Of the strongest ones, the words that carry the feature are coloured, where the run has stored what each word adds.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from itertools import groupby
from typing import Any

import streamlit as st

from featurelib import queries
from featurelib.live.results import Attribution
from featurelib.queries import Feature
from featurelib.schema import ATTRIBUTIONS, Refusal
from featurelib.storage.store import Store
from featurelib.ui.feature.header import band_head, column_box, value_box
from featurelib.ui.feature.samples import near_misses, random_texts, with_copies
from featurelib.ui.kit.address import pager, segments, toggle
from featurelib.ui.kit.elements import Html, html, sentence, tag
from featurelib.ui.texts import highlight
from featurelib.ui.texts.text_list import MOST_VALUES, OPENING, ShownText, text_list, text_of, with_features

PER_PAGE = 10
VIEWS = {"top": "Top texts", "bands": "Bands", "random": "Random", "near": "Near misses"}


def texts(store: Store, feature: Feature, columns: Sequence[str]) -> None:
    """Draw the texts of a feature; `columns` are the metadata columns that they may be narrowed by."""
    with st.container(horizontal=True, vertical_alignment="center", key="read-controls"):
        view = segments("Texts", "view", list(VIEWS), show=VIEWS.get, label_visibility="collapsed")
        narrowed = _narrowed(store, feature, columns) if view == "top" else None
    if narrowed is not None:
        _top_texts(store, feature, *narrowed)
    elif view == "random":
        random_texts(store, feature)
    elif view == "near":
        near_misses(store, feature)
    else:
        _quantile_bands(store, feature)


def _narrowed(store: Store, feature: Feature, columns: Sequence[str]) -> tuple[str | None, str | None]:
    """The metadata column and value that the top texts are narrowed to."""
    column = column_box(columns) if columns else None
    if column is None or column not in columns:
        return None, None
    rows = queries.metadata_values(store, feature.feature_id, column, limit=MOST_VALUES).to_pylist()
    return column, value_box({row["value"]: row["n_texts"] for row in rows})


def _top_texts(store: Store, feature: Feature, column: str | None, value: str | None) -> None:
    """The strongest texts, ten at a time; of copies only the strongest."""
    where: dict[str, Any] = {"column": column, "value": value, "collapse": True}
    number = feature.feature_id
    n_texts = queries.count_top_texts(store, number, **where)
    coloured = _colour_head(store)
    place = st.container()
    first = pager(n_texts, PER_PAGE)
    rows = queries.top_texts(store, number, limit=PER_PAGE, offset=first, **where).to_pylist()
    shown = [with_copies(text_of(row, store, feature.max_activation), row) for row in rows]
    if coloured:
        shown = _coloured(store, feature, shown)
    with place:
        text_list("top", with_features(shown, store, without=number), before="also active:", feature_id=number)


def _colour_head(store: Store) -> bool:
    """Say what the colours are, or why there are none, with a switch for them; whether there are to be colours."""
    try:
        store.generation.need(ATTRIBUTIONS)
    except Refusal:
        return False
    reason = queries.no_words_reason(store)
    if reason is not None:
        sentence(f"The words are not coloured: {reason}.")
        return False
    with st.container(horizontal=True, vertical_alignment="center", horizontal_alignment="distribute", key="colours"):
        head = tag("span", "What each word adds to the pre-activation", cls="term muted", help=highlight.ATTRIBUTIONS)
        html(tag("div", head, highlight.legend()), width="content")
        plain = toggle("Plain", "plain", resets=())
    return not plain


def _coloured(store: Store, feature: Feature, shown: Sequence[ShownText]) -> list[ShownText]:
    """The texts with their words coloured, where what these add is stored."""
    rows = queries.contributions(store, feature.feature_id, [text.text_id for text in shown]).to_pylist()
    known = {row["text_id"]: highlight.stored(row, feature.feature_id, feature.threshold or 0.0) for row in rows}
    return [_with_words(text, known[text.text_id]) if text.text_id in known else text for text in shown]


def _with_words(shown: ShownText, attribution: Attribution) -> ShownText:
    places = attribution.starts, attribution.ends
    brief = highlight.highlighted(
        shown.text, *places, attribution.by_word, title=shown.title, length=OPENING + len(shown.title)
    )
    whole = highlight.highlighted(shown.text, *places, attribution.by_word, title=shown.title, cut=shown.cut)
    return replace(shown, opening=brief, whole=Html(whole + highlight.bars(attribution)))


def _quantile_bands(store: Store, feature: Feature) -> None:
    """Texts drawn from each quarter of its activations, so that not only the extremes are seen."""
    rows = queries.bands(store, feature.feature_id).to_pylist()
    shown = [text_of(row, store, feature.max_activation) for row in rows]
    drawn = zip(rows, with_features(shown, store, without=feature.feature_id), strict=True)
    for band, members in groupby(drawn, lambda pair: pair[0]["band"]):
        pairs = list(members)
        band_head([row for row, _ in pairs])
        text_list(f"band{band}", [text for _, text in pairs], before="also active:", feature_id=feature.feature_id)
