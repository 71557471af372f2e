"""The texts on which one feature fires: the strongest, narrowed by a metadata value, and samples of all strengths.

The words that carry the feature are coloured.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace
from itertools import groupby
from typing import Any

import streamlit as st

from featurelib import queries
from featurelib.queries import Feature
from featurelib.schema import ATTRIBUTIONS
from featurelib.storage.store import Store
from featurelib.ui.feature.drawing import Drawing, with_copies
from featurelib.ui.feature.header import band_head, column_box, value_box
from featurelib.ui.feature.samples import name_failures, near_misses, random_texts
from featurelib.ui.kit.address import pager, segments, toggle
from featurelib.ui.kit.elements import html, sentence, tag
from featurelib.ui.kit.session import Opened
from featurelib.ui.texts import highlight
from featurelib.ui.texts.metadata import MOST_VALUES, how_many_offered
from featurelib.ui.texts.text_list import ShownText, text_of

PER_PAGE = 10
ADDED = "What each word adds to the pre-activation"
VIEWS = {"top": "Top texts", "bands": "Bands", "random": "Random", "near": "Near misses", "name": "Name fails"}


def texts(opened: Opened, feature: Feature, columns: Sequence[str]) -> Drawing:
    """Draw the texts of a feature, some of them perhaps plain until `Drawing.colour_later`.

    `columns` are the metadata columns that the top texts may be narrowed by.
    """
    store = opened.store
    with st.container(horizontal=True, vertical_alignment="center", key="read-controls"):
        view = segments("Texts", "view", list(VIEWS), show=VIEWS.get, label_visibility="collapsed")
        narrowed = _narrowed(store, feature, columns) if view == "top" else None
    drawing = Drawing(opened, feature, colours=_colour_head(opened))
    if narrowed is not None:
        _top_texts(drawing, *narrowed)
    elif view == "random":
        random_texts(drawing)
    elif view == "near":
        near_misses(drawing)
    elif view == "name":
        name_failures(drawing)
    else:
        _quantile_bands(drawing)
    return drawing


def _narrowed(store: Store, feature: Feature, columns: Sequence[str]) -> tuple[str | None, str | None]:
    """The metadata column and value that the top texts are narrowed to."""
    chosen = column_box(columns) if columns else None
    column, value = (chosen if chosen in columns else None), None
    if column is not None:
        rows = queries.metadata_values(store, feature.feature_id, column, limit=MOST_VALUES).to_pylist()
        value = value_box({row["value"]: row["n_texts"] for row in rows})
    how_many_offered(store)
    return column, value


def _top_texts(drawing: Drawing, column: str | None, value: str | None) -> None:
    """The strongest texts, ten at a time; of copies only the strongest."""
    store, feature = drawing.opened.store, drawing.feature
    where: dict[str, Any] = {"column": column, "value": value, "collapse": True}
    n_texts = queries.count_top_texts(store, feature.feature_id, **where)
    place = st.container()
    first = pager(n_texts, PER_PAGE)
    rows = queries.top_texts(store, feature.feature_id, limit=PER_PAGE, offset=first, **where).to_pylist()
    shown = [with_copies(text_of(row, store, feature.max_activation), row) for row in rows]
    with place:
        drawing.draw("top", shown, before="also active:")


def _colour_head(opened: Opened) -> bool:
    """Say what the colours are, or why there are none, with a switch for them; whether there are to be colours."""
    of_tokens = queries.has_tokens(opened.store)
    reason = None if of_tokens else queries.no_words_reason(opened.store)
    if reason is not None:
        sentence(f"The words are not coloured: {reason}.")
        return False
    if not of_tokens and not opened.store.has(ATTRIBUTIONS):
        return False
    title, help = ("Activation on each token", highlight.TOKENS) if of_tokens else (ADDED, highlight.ATTRIBUTIONS)
    legend = highlight.token_legend() if of_tokens else highlight.legend()
    with st.container(horizontal=True, vertical_alignment="center", horizontal_alignment="distribute", key="colours"):
        html(tag("div", tag("span", title, cls="term muted", help=help), legend), width="content")
        plain = toggle("Plain", "plain", resets=())
    return not plain


def _quantile_bands(drawing: Drawing) -> None:
    """Texts drawn from each quarter of its activations, so that not only the extremes are seen.

    In a token run the quarters are those of its activations on tokens.
    """
    store, feature = drawing.opened.store, drawing.feature
    of_tokens = queries.has_tokens(store)
    rows = (queries.token_bands if of_tokens else queries.bands)(store, feature.feature_id).to_pylist()
    maximum = queries.token_maximum(store, feature.feature_id) if of_tokens else feature.max_activation
    for band, members in groupby(rows, lambda row: row["band"]):
        of_band = list(members)
        band_head(of_band, "tokens" if of_tokens else "texts")
        shown = [_around_token(row, store, maximum) if of_tokens else text_of(row, store, maximum) for row in of_band]
        drawing.draw(f"band{band}", shown, before="also active:")


def _around_token(row: Mapping[str, Any], store: Store, maximum: float | None) -> ShownText:
    """A text with the token that was drawn in the middle and named below it."""
    shown = text_of(row, store, maximum)
    token = f"“{row['text'][row['start'] : row['end']].strip()}”"
    return replace(shown, focus=row["start"], about=(token, *shown.about))
