"""Moving between features and between texts, and the numbers at the head of a text."""

from __future__ import annotations

import zlib
from typing import Any
from urllib.parse import urlencode

import streamlit as st

from featurelib.live.results import TriedText
from featurelib.queries import TextRow
from featurelib.ui.kit.anchors import link
from featurelib.ui.kit.elements import Number, count, html, number, percent, strip, tag

EXPLAINED = (
    "1 - FVU of this text. FVU: the squared distance of the embedding to its reconstruction, "
    "over that to the mean embedding. Below 0, the mean would be nearer than the reconstruction."
)
STARTING = "Embedding …; the first time takes some ten seconds, because the embedder has to start."
RECONSTRUCTED = "Cosine between the embedding and its reconstruction, in the embedder's own space."


def begin_at_top(*shown: object) -> None:
    """Scroll to the top of the page when `shown` is not what was shown before.

    Streamlit keeps the scroll position when a link leads to the same page. An animation
    with a new name gives the page no height for one frame, which sets the scroll position back to 0.
    """
    name = f"top{zlib.crc32(repr(shown).encode()):08x}"
    st.html(
        f"<style>@keyframes {name} {{ from, to {{ height: 0; overflow: hidden; }} }}"
        f'[data-testid="stMainBlockContainer"] {{ animation: {name} 1ms; }}</style>'
    )


def text_strip(text: TextRow) -> None:
    """How many features fire on a text, how well they reconstruct it, how many tokens were read."""
    tokens = [Number(count(text.n_tokens), "tokens, then truncated" if text.truncated else "tokens")]
    strip([*_reconstruction(text.n_active, text.fvu, text.cosine), *(tokens if text.n_tokens is not None else [])])


def tried_strip(tried: TriedText) -> None:
    """How well a tried text is reconstructed, and how many tokens were read."""
    name = "tokens, then truncated" if tried.truncated else "tokens"
    strip([*_reconstruction(len(tried.feature_ids), tried.fvu, tried.cosine), Number(count(tried.n_tokens), name)])


def _reconstruction(n_active: int | None, fvu: float | None, cosine: float | None) -> list[Number]:
    fires = [] if n_active is None else [Number(count(n_active), "features fire on it")]
    explained = percent(1 - fvu) if fvu is not None else "–"
    return [
        *fires,
        Number(explained, "of its variance explained", EXPLAINED),
        Number(number(cosine), "cosine to its reconstruction", RECONSTRUCTED),
    ]


def moves(page: str, name: str, shown: int, *, last: int, drawn: int | None = None, **params: Any) -> None:
    """Links to the previous, a random and the next one, which keep `params`, and one that copies the address."""
    with st.container(horizontal=True, gap="small", horizontal_alignment="right", key="read-moves"):
        ways = {f"‹ {shown - 1}": shown - 1, "random": drawn, f"{shown + 1} ›": shown + 1}
        there = {words: to for words, to in ways.items() if to is not None and 0 <= to <= last}
        links = [link(page, words, {name: to, **params}) for words, to in there.items()]
        root = (st.context.url or "").rpartition("/")[0]
        here = st.query_params.to_dict() | {name: str(shown)}
        copied = tag("a", "copy link", cls="copy-link", href=f"{root}/{page.removesuffix('.py')}?{urlencode(here)}")
        html(tag("div", *links, copied, cls="moves"), width="content")
