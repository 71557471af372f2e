"""A tried text as it is drawn: its features, the words that carry one of them, the nearest texts of the corpus."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import streamlit as st

from featurelib import search
from featurelib.live.results import TriedClosely
from featurelib.ui.kit.address import count_param, page_link, toggle
from featurelib.ui.kit.elements import count, heading, number, sentence
from featurelib.ui.kit.lists import BAR, Line, line_list
from featurelib.ui.kit.navigation import tried_strip
from featurelib.ui.kit.session import Opened
from featurelib.ui.texts.by_id import texts_of
from featurelib.ui.texts.firing import BELOW_THRESHOLD, strength_lines
from featurelib.ui.texts.text_input import Typed
from featurelib.ui.texts.text_list import text_list, with_features

FIRST = 14
"""Features that are listed before more are asked for."""
BELOW = 5
NEAREST = 5
STRENGTHS = BAR + " A click shows the words that carry the feature."
NEAREST_HELP = "Cosine between the embedding of your text and those of the corpus's texts; all are compared."


def chosen_feature(tried: TriedClosely) -> int | None:
    """The feature whose words are shown: the one of the address, else the strongest; None when none fires."""
    strongest = int(tried.feature_ids[0]) if len(tried.feature_ids) else None
    return count_param("feature", strongest)


def warnings(text: str, tried: TriedClosely) -> None:
    """What of a text the embedder did not see, where that is something."""
    if tried.wordless:
        sentence(
            "The embedder finds no token in this text (perhaps all its characters are ones that are not drawn), so "
            "what follows is its answer to an empty text."
        )
    if tried.truncated:
        sentence(f"Truncated after {count(tried.cut)} of {count(len(text))} characters.")


def features(tried: TriedClosely, known: Mapping[int, Mapping[str, Any]], typed: Typed, chosen: int | None) -> None:
    """How well the text is rebuilt, which features fire on it, which nearly do; a click chooses one for its words."""
    tried_strip(tried)
    ids = tried.feature_ids.tolist()
    if not ids:
        sentence("No feature fires on it.")
    every = len(ids) <= FIRST or toggle(f"All {len(ids)} features", "all", resets=())
    shown = ids if every else ids[:FIRST]
    lines = strength_lines(known, shown, tried.activations.tolist())
    lines = [_choosing(line, one, typed) for line, one in zip(lines, shown, strict=True)]
    line_list("fires", lines, title="Features that fire", help=STRENGTHS, names=("activation", "density"))
    _mark(shown, chosen)
    missed = [
        _choosing(Line(known[one]["label"], {}, (number(float(z)), f"of {number(float(gate))}")), one, typed)
        for one, z, gate in zip(
            tried.missed_ids[:BELOW].tolist(), tried.missed_pre_activations, tried.missed_thresholds, strict=False
        )
    ]
    line_list("below", missed, title="Just below the threshold", help=BELOW_THRESHOLD, names=("reaches", "needed"))


def _choosing(line: Line, feature_id: int, typed: Typed) -> Line:
    """The line, leading to the words of its feature."""
    kept = {name: st.query_params[name] for name in ("all", "deleted") if name in st.query_params}
    return Line(line.label, {**typed.params, **kept, "feature": feature_id}, line.values, line.share, "try.py")


def _mark(shown: Sequence[int], chosen: int | None) -> None:
    """Set off the line of the chosen feature."""
    if chosen in shown:
        place = shown.index(chosen) + 2
        st.html(f"<style>.st-key-read-lines2-fires > :nth-child({place}) a strong {{ font-weight: 620; }}</style>")


def nearest_texts(opened: Opened, tried: TriedClosely, typed: Typed) -> None:
    """The texts of the corpus that are nearest to a tried one."""
    heading("Nearest texts of the corpus", "by cosine of their embeddings", help=NEAREST_HELP)
    found = search.texts_by_meaning(opened.store, tried.embedding, limit=NEAREST)
    pairs = list(zip(found["text_id"].to_pylist(), found["cosine"].to_pylist(), strict=True))
    text_list("nearest", with_features(texts_of(opened.store, pairs), opened.store))
    if "t" in typed.params:
        with st.container(horizontal=True, key="read-near"):
            page_link("search.py", "more texts near it in meaning ›", by="meaning", q=typed.text)
            page_link("similar.py", "explain a similarity ›", t=typed.text)
            page_link("steer.py", "steer its features ›", t=typed.text)
