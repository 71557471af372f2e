"""The features whose directions raise a token that was typed."""

from __future__ import annotations

import streamlit as st

from featurelib import queries
from featurelib.storage.store import Store
from featurelib.ui.kit.anchors import link as link_to
from featurelib.ui.kit.anchors import page_links
from featurelib.ui.kit.elements import density, sentence
from featurelib.ui.kit.lists import feature_line, line_list
from featurelib.ui.kit.token_words import token_word

BEGIN = "Type one token, such as a short word: the features whose directions raise it most as the next token."
HELP = (
    "The ten features, of all, whose directions write most for this token (the logit lens: W_U·(g ⊙ d), less its mean "
    "over the vocabulary). Density is the share of the corpus' texts on which the feature fires."
)


def raising(store: Store, typed: str) -> None:
    """A list of features for each token of the vocabulary that is what was typed."""
    tokens = queries.spellings(store, typed)
    if not tokens:
        _not_one(store, typed)
        return
    for token, place in zip(tokens, st.columns(max(len(tokens), 2), gap="large"), strict=False):
        with place:
            _features(store, token)


def _features(store: Store, token: queries.Token) -> None:
    rows = queries.raising_features(store, token.token_id).to_pylist()
    if not rows:
        reason = queries.no_logits_reason(store) or "its model has no place for this token"
        sentence(f"no feature is known to raise {token_word(token.token)}: {reason}.")
        return
    lines = [
        feature_line(row["feature_id"], row["label"], f"{row['logit']:+.2f}".replace("-", "−"), density(row["density"]))
        for row in rows
    ]
    title = f"raise {token_word(token.token)}"
    line_list("raising", lines, title=title, help=HELP, names=("raised by", "density"))


def _not_one(store: Store, typed: str) -> None:
    """Say that it is no single token, and offer tokens that begin alike."""
    sentence(f"“{typed.strip()[:60]}” is no single token of this model; a ␣ stands for a space before a token.")
    near = queries.tokens_beginning(store, typed)
    if near:
        links = [link_to("search.py", token_word(token.token), {"by": "token", "q": token.token}) for token in near]
        page_links(*links, before="Tokens that begin alike:")
