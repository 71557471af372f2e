"""Why two texts are similar, as it is drawn: a split that adds up, the shared features, the texts side by side."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import streamlit as st

from featurelib.live.results import Similarity
from featurelib.storage.store import Store
from featurelib.ui.kit.address import page_link
from featurelib.ui.kit.elements import Html, Number, count, heading, html, number, percent, sentence, strip, tag
from featurelib.ui.kit.lists import Line, feature_line, inline_list, line_list
from featurelib.ui.texts.by_id import names_of
from featurelib.ui.texts.chosen_text import ChosenText
from featurelib.ui.texts.text_list import cut_text

SHARED = 12
PAIRS = 5
SMALL = 0.02
"""A cosine below it, or a negative one, has no shares worth a percentage."""
PARTS = (
    (
        "shared",
        "shared features",
        "Features that fire on both texts, each with itself: the product of its two activations times the squared "
        "length of its direction, over the lengths of both embeddings.",
    ),
    (
        "cross",
        "cross terms",
        "A feature of one text with another feature of the other: large where their directions are close to each other "
        "or opposite.",
    ),
    (
        "constant",
        "what the SAE always adds",
        "Terms with the decoder's bias in them (and the mean that the SAE's normalisation takes, where it takes one): "
        "what all texts of the corpus have in common.",
    ),
    (
        "skip",
        "skip connection",
        "Terms with the output of the SAE's skip connection, which is linear and bypasses the features.",
    ),
    (
        "unexplained",
        "unexplained",
        "Terms with a residual in them: with what the SAE does not reconstruct of one of the embeddings.",
    ),
)


def similarity_strip(found: Similarity) -> None:
    """The cosine, how many features fire on each text and on both."""
    both = " and ".join(count(one) for one in found.n_active)
    strip(
        [
            Number(number(found.cosine, 4), "cosine of the embeddings", "Computed from the two embeddings alone."),
            Number(_share(found.shared, found), "of it from shared features"),
            Number(count(len(found.feature_ids)), "features fire on both"),
            Number(both, "features fire on each"),
        ]
    )


def named(found: Similarity) -> set[int]:
    """The features whose names are shown."""
    return {*found.feature_ids[:SHARED].tolist(), *found.pairs[:PAIRS].ravel().tolist()}


def _share(value: float, found: Similarity) -> str:
    """A part as a share of the cosine, where that says something."""
    return percent(value / found.cosine) if found.cosine >= SMALL else "–"


def split(found: Similarity) -> None:
    """The parts of the cosine as steps from 0 to the cosine: each bar begins where the one before ended."""
    parts = [(name, help, getattr(found, field)) for field, name, help in PARTS if field != "skip" or found.has_skip]
    ends = [0.0]
    for _, _, value in parts:
        ends.append(ends[-1] + value)
    low, high = min(ends), max(ends)
    cells: list[Html] = []
    for (name, help, value), start in zip(parts, ends, strict=False):
        cells += _row(tag("span", name, cls="term", help=help), start, value, low, high)
    cells += _row(tag("span", "cosine"), 0.0, found.cosine, low, high, cls="total")
    heading("The cosine, split", "each bar begins where the one before ends")
    html(tag("div", *cells, cls="split"))


def _row(name: Html, start: float, value: float, low: float, high: float, *, cls: str = "") -> list[Html]:
    width = (high - low) or 1.0
    left, length = (min(start, start + value) - low) / width, abs(value) / width
    bar = tag("i", Html(""), cls="less" if value < 0 else "", style=f"left:{100 * left:.2f}%;width:{100 * length:.2f}%")
    zero = tag("u", Html(""), style=f"left:{-100 * low / width:.2f}%")
    shown = f"{value:+.4f}" if not cls else f"{value:.4f}"
    return [
        tag("span", name, cls=f"name {cls}".strip()),
        tag("span", shown, cls=f"value {cls}".strip()),
        tag("div", zero, bar, cls=f"track {cls}".strip()),
    ]


def shared_list(found: Similarity, labels: Mapping[int, str]) -> None:
    """The features that fire on both texts, by what they add to the cosine."""
    if not len(found.feature_ids):
        heading("Shared features")
        sentence("No feature fires on both texts.")
        return
    largest = float(found.shares[0]) or 1.0
    lines = [
        feature_line(
            one, labels.get(one, f"feature {one}"), f"{share:+.4f}", _share(share, found), share=share / largest
        )
        for one, share in zip(found.feature_ids[:SHARED].tolist(), found.shares[:SHARED].tolist(), strict=True)
    ]
    more = len(found.feature_ids) - len(lines)
    note = f"and {count(more)} more that add {float(found.shares[SHARED:].sum()):+.4f}" if more else ""
    line_list("shared", lines, title="Shared features", note=note, names=("adds", "of cosine"))


def pair_list(found: Similarity, labels: Mapping[int, str]) -> None:
    """The largest cross terms: a feature of the first text, a feature of the second."""
    if not len(found.pairs):
        return
    heading("Largest cross terms", "first text × second text")
    rows = zip(found.pairs[:PAIRS].tolist(), found.pair_shares[:PAIRS].tolist(), strict=True)
    for place, (pair, share) in enumerate(rows):
        lines = [feature_line(one, labels.get(one, f"feature {one}")) for one in pair]
        inline_list(f"pair-{place}", lines, before=f"{share:+.4f}")


def both_texts(a: ChosenText, b: ChosenText) -> None:
    """The two texts side by side."""
    for place, one in zip(st.columns([1, 1], gap="large"), (a, b), strict=True):
        with place:
            heading(one.name if one.text_id is not None else "Your text")
            html(cut_text(one.text, one.cut, start=one.start, longest=3_000))
            with st.container(horizontal=True, key=f"both-{'a' if one is a else 'b'}"):
                if one.text_id is not None:
                    page_link("text.py", "open text ›", text=one.text_id)
                page_link("steer.py", "steer its features ›", **one.alone)
                page_link("similar.py", "texts near it ›", **one.where)


def choices(store: Store, a: ChosenText, nearest: Sequence[tuple[int, float]]) -> None:
    """The texts nearest to the first one, each a link to the comparison with it."""
    names = names_of(store, [text_id for text_id, _ in nearest])
    lines = [
        Line(names[text_id], a.where | {"b": text_id}, (number(cosine),), page="similar.py")
        for text_id, cosine in nearest
    ]
    line_list("choices", lines, title=f"Compare “{a.name}” with", note="nearest first", names=("cosine",))
