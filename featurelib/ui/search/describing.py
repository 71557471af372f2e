"""Features found by a description: by its words, by the meaning of their names, and by firing on it.

The three lists are separate because they may disagree: a name is only a guess at what a feature detects.
"""

from __future__ import annotations

import streamlit as st

from featurelib import queries, search
from featurelib.live.results import TriedClosely
from featurelib.schema import Refusal
from featurelib.storage.store import Store
from featurelib.ui.kit.elements import heading, html, percent, section, sentence, tag
from featurelib.ui.kit.lists import feature_line, line_list
from featurelib.ui.kit.navigation import STARTING
from featurelib.ui.kit.session import Opened, live
from featurelib.ui.texts.firing import (
    BELOW_HELP,
    BELOW_NAMES,
    BELOW_TITLE,
    known_features,
    missed_lines,
    strength_lines,
)

LISTED = 12
BELOW = 6
WORDS_TITLE, NAME_TITLE, FIRES_TITLE = "By words", "By the meaning of names", "Features that fire on it"
AGREE = (
    "Names with your words, names with the same meaning, and the features that fire on your description: "
    "the three may disagree."
)
WORDS = "Features whose label or keywords hold the words of your description, as they are written; densest first."
NAMES = (
    "Cosine between the embedding of your description and that of each feature's label (the mean of its keywords'): it "
    "finds names that mean the same in other words. It is only as good as the names."
)
FIRES = (
    "Your description as if it were a text of the corpus, through the same embedder and SAE; names are not used. "
    "A description is shorter than most texts and says what it is about, so it may fire other features than they do."
)


def three_lists(opened: Opened, description: str) -> None:
    """The three lists side by side; the first needs no worker."""
    html(tag("p", AGREE, cls="lead"))
    by_words, by_name, by_firing = st.columns(3, gap="large")
    with by_words, section():
        _by_words(opened.store, description)
    tried, reason = None, ""
    with by_name, st.spinner(STARTING, show_time=True):
        try:
            tried = live().try_closely(opened.generation.path, description)
        except Refusal as refusal:
            reason = str(refusal)
    for place, title, help, draw in (
        (by_name, NAME_TITLE, NAMES, _by_name),
        (by_firing, FIRES_TITLE, FIRES, _by_firing),
    ):
        with place:
            try:
                if tried is None:
                    raise Refusal(reason)
                draw(opened.store, tried)
            except Refusal as refusal:
                heading(title, help=help)
                sentence(str(refusal))


def _note(text: str) -> None:
    html(tag("p", text, cls="muted"))


def _by_words(store: Store, description: str) -> None:
    rows = queries.find_features(store, description, limit=LISTED).to_pylist()
    if rows:
        lines = [feature_line(row["feature_id"], row["label"], percent(row["density"])) for row in rows]
        line_list("by-words", lines, title=WORDS_TITLE, help=WORDS, names=("density",))
        return
    words = search.words_of(description)
    partial = search.labels_by_some_words(store, description, limit=LISTED).to_pylist() if words else []
    if not partial:
        heading(WORDS_TITLE, help=WORDS)
        sentence("No label or keyword contains these words.")
        return
    lines = [
        feature_line(row["feature_id"], row["label"], f"{row['n_words']} of {len(words)}", percent(row["density"]))
        for row in partial
    ]
    line_list("by-words", lines, title=WORDS_TITLE, help=WORDS, names=("words", "density"))
    _note(f"Looked for {', '.join(words)}: a word counts where one of the label or of a keyword begins with it.")


def _by_name(store: Store, tried: TriedClosely) -> None:
    rows = search.labels_by_meaning(store, tried.embedding, limit=LISTED).to_pylist()
    lines = [
        feature_line(row["feature_id"], row["label"], f"{row['cosine']:.2f}", percent(row["density"])) for row in rows
    ]
    line_list("by-name", lines, title=NAME_TITLE, help=NAMES, names=("cosine", "density"))


def _by_firing(store: Store, tried: TriedClosely) -> None:
    fires, below = tried.feature_ids[:LISTED].tolist(), tried.missed_ids[:BELOW].tolist()
    known = known_features(store, [*fires, *below])
    if fires:
        lines = strength_lines(known, fires, tried.activations.tolist())
        line_list("by-firing", lines, title=FIRES_TITLE, help=FIRES, names=("activation", "density"))
        if len(fires) < len(tried.feature_ids):
            _note(f"The {len(fires)} strongest of {len(tried.feature_ids)} that fire.")
    else:
        heading(FIRES_TITLE, help=FIRES)
        sentence("No feature fires on it.")
    lines = missed_lines(known, tried, BELOW)
    line_list("by-missing", lines, title=BELOW_TITLE, help=BELOW_HELP, names=BELOW_NAMES)
