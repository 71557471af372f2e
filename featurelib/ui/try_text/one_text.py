"""One tried text: warnings, the features that fire on it, and the nearest texts of the corpus."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace
from typing import Any

import streamlit as st

from featurelib import queries
from featurelib.live.results import TriedClosely
from featurelib.storage.store import Store
from featurelib.ui.kit.address import count_param, toggle
from featurelib.ui.kit.anchors import link, page_links
from featurelib.ui.kit.elements import count, heading, number, sentence
from featurelib.ui.kit.lists import BAR, Line, line_list
from featurelib.ui.kit.navigation import tried_strip
from featurelib.ui.kit.session import Opened
from featurelib.ui.texts import by_id
from featurelib.ui.texts.firing import BELOW_HELP, BELOW_NAMES, BELOW_TITLE, missed_lines, strength_lines
from featurelib.ui.texts.text_input import Typed
from featurelib.ui.texts.text_list import text_list, with_features

FIRST = 14
"""Features that are listed before a click on “all”."""
BELOW = 5
UNLIKE = 0.99
"""The share of the corpus's texts that must be rebuilt better for a text to count as unlike them."""
NEAREST = 5
STRENGTHS = BAR + " A click shows what each word adds to the feature."
NEAREST_HELP = "Cosine between the embedding of your text and those of the corpus's texts; all are compared."


def chosen_feature(tried: TriedClosely) -> int | None:
    """The feature whose attributions are shown: that of the address, else the strongest; None when none fires."""
    strongest = int(tried.feature_ids[0]) if len(tried.feature_ids) else None
    return count_param("feature", strongest)


def warnings(store: Store, text: str, tried: TriedClosely) -> None:
    """Say where the embedder did not read the whole text, found no token in it, or the SAE does not know its like."""
    if tried.wordless:
        sentence(
            "The embedder finds no token in this text (perhaps it has only invisible characters), so the page shows "
            "what an empty text gives."
        )
    if tried.truncated:
        sentence(f"Truncated after {count(tried.cut)} of {count(len(text))} characters.")
    worst = queries.fvu_quantile(store, UNLIKE)
    if worst is not None and tried.fvu > worst:
        sentence(
            f"This text is unlike the corpus: its embedding is rebuilt worse than {UNLIKE:.0%} of the corpus's texts "
            f"(FVU {number(tried.fvu)}; theirs are up to {number(worst)}), so its features say little about it."
        )


def features(tried: TriedClosely, known: Mapping[int, Mapping[str, Any]], typed: Typed, chosen: int | None) -> None:
    """Draw the reconstruction's quality and the features that fire or nearly do; a click shows one's attributions."""
    tried_strip(tried)
    ids = tried.feature_ids.tolist()
    if not ids:
        sentence("No feature fires on it.")
    every = len(ids) <= FIRST or toggle(f"All {len(ids)} features", "all", resets=())
    shown = ids if every else ids[:FIRST]
    lines = [
        replace(line, strong=feature_id == chosen)
        for feature_id, line in zip(shown, strength_lines(known, shown, tried.activations.tolist()), strict=True)
    ]
    line_list(
        "fires", _choosing(lines, typed), title="Features that fire", help=STRENGTHS, names=("activation", "density")
    )
    missed = _choosing(missed_lines(known, tried, BELOW), typed)
    line_list("below", missed, title=BELOW_TITLE, help=BELOW_HELP, names=BELOW_NAMES)


def _choosing(lines: Sequence[Line], typed: Typed) -> list[Line]:
    """The lines, leading to this page with their feature chosen."""
    switches = {name: st.query_params[name] for name in ("all", "deleted") if name in st.query_params}
    return [replace(line, where={**typed.params, **switches, **line.where}, page="try.py") for line in lines]


def nearest_texts(opened: Opened, tried: TriedClosely, typed: Typed) -> None:
    """The texts of the corpus that are nearest to the tried one."""
    heading("Nearest texts of the corpus", "by cosine of their embeddings", help=NEAREST_HELP)
    nearest = by_id.texts_of(opened.store, by_id.nearest_texts(opened.store, tried.embedding, limit=NEAREST))
    text_list("nearest", with_features(nearest, opened.store))
    if "t" in typed.params:
        page_links(
            link("search.py", "more texts near it in meaning ›", {"by": "meaning", "q": typed.text}),
            link("similar.py", "explain a similarity ›", {"t": typed.text}),
            link("steer.py", "steer its features ›", {"t": typed.text}),
        )
