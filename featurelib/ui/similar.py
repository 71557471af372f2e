"""Why two texts are similar: the cosine split into a sum, the shared features, the two texts side by side."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import streamlit as st

from featurelib.live.results import Similarity
from featurelib.storage.store import Store
from featurelib.ui.kit.anchors import link, page_links
from featurelib.ui.kit.elements import Html, Number, count, heading, html, number, percent, sentence, strip, tag
from featurelib.ui.kit.lists import Line, feature_line, inline_list, line_list
from featurelib.ui.texts.by_id import names_of
from featurelib.ui.texts.chosen_text import ChosenText
from featurelib.ui.texts.text_list import cut_text

SHARED = 12
PAIRS = 5
SMALL = 0.02
"""Of a cosine below it no percentages are shown."""
TERMS = (
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


def similarity_strip(similarity: Similarity) -> None:
    """The cosine, how many features fire on each text and on both."""
    both = " and ".join(map(count, similarity.n_active))
    strip(
        [
            Number(number(similarity.cosine, 4), "cosine of the embeddings", "Computed from the two embeddings alone."),
            Number(_share(similarity.shared, similarity), "of it from shared features"),
            Number(count(len(similarity.feature_ids)), "features fire on both"),
            Number(both, "features fire on each"),
        ]
    )


def named(similarity: Similarity) -> set[int]:
    """The features whose names are shown."""
    return {*similarity.feature_ids[:SHARED].tolist(), *similarity.pairs[:PAIRS].ravel().tolist()}


def _share(value: float, similarity: Similarity) -> str:
    """A term as a share of the cosine; a dash where the cosine is too small."""
    return percent(value / similarity.cosine) if similarity.cosine >= SMALL else "–"


def split(similarity: Similarity) -> None:
    """The terms of the cosine as steps from 0 to the cosine: each bar begins where the one before ended."""
    terms = [
        (name, help, getattr(similarity, field))
        for field, name, help in TERMS
        if field != "skip" or similarity.has_skip
    ]
    ends = [0.0]
    for _, _, value in terms:
        ends.append(ends[-1] + value)
    low, high = min(ends), max(ends)
    cells: list[Html] = []
    for (name, help, value), start in zip(terms, ends, strict=False):
        cells += _row(tag("span", name, cls="term", help=help), start, value, low, high)
    cells += _row(tag("span", "cosine"), 0.0, similarity.cosine, low, high, cls="total")
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


def shared_list(similarity: Similarity, labels: Mapping[int, str]) -> None:
    """The features that fire on both texts, the largest share of the cosine first."""
    if not len(similarity.feature_ids):
        heading("Shared features")
        sentence("No feature fires on both texts.")
        return
    largest = float(similarity.shares[0]) or 1.0
    strongest = zip(similarity.feature_ids[:SHARED].tolist(), similarity.shares[:SHARED].tolist(), strict=True)
    lines = [
        feature_line(
            feature_id,
            labels.get(feature_id, f"feature {feature_id}"),
            f"{share:+.4f}",
            _share(share, similarity),
            share=share / largest,
        )
        for feature_id, share in strongest
    ]
    more = len(similarity.feature_ids) - len(lines)
    note = f"and {count(more)} more that add {float(similarity.shares[SHARED:].sum()):+.4f}" if more else ""
    line_list("shared", lines, title="Shared features", note=note, names=("adds", "of cosine"))


def pair_list(similarity: Similarity, labels: Mapping[int, str]) -> None:
    """The largest cross terms: a feature of the first text, a feature of the second."""
    if not len(similarity.pairs):
        return
    heading("Largest cross terms", "first text × second text")
    rows = zip(similarity.pairs[:PAIRS].tolist(), similarity.pair_shares[:PAIRS].tolist(), strict=True)
    for position, (pair, share) in enumerate(rows):
        lines = [feature_line(feature_id, labels.get(feature_id, f"feature {feature_id}")) for feature_id in pair]
        inline_list(f"pair-{position}", lines, before=f"{share:+.4f}")


def both_texts(a: ChosenText, b: ChosenText) -> None:
    """The two texts side by side."""
    for column, text in zip(st.columns([1, 1], gap="large"), (a, b), strict=True):
        with column:
            heading(text.name if text.text_id is not None else "Your text")
            html(cut_text(text.text, text.cut, start=text.start, longest=3_000))
            opened = [] if text.text_id is None else [link("text.py", "open text ›", {"text": text.text_id})]
            steers = link("steer.py", "steer its features ›", text.alone)
            page_links(*opened, steers, link("similar.py", "texts near it ›", text.where))


def choices(store: Store, a: ChosenText, nearest: Sequence[tuple[int, float]]) -> None:
    """The texts nearest to the first one, each a link to the comparison with it."""
    names = names_of(store, [text_id for text_id, _ in nearest])
    lines = [
        Line(names[text_id], a.where | {"b": text_id}, (number(cosine),), page="similar.py")
        for text_id, cosine in nearest
    ]
    line_list("choices", lines, title=f"Compare “{a.name}” with", note="nearest first", names=("cosine",))
