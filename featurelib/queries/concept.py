"""Questions about a concept that is given by examples: texts of the corpus, or activations of others."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Protocol

import numpy as np

from featurelib.queries.slices import units
from featurelib.schema import EMBEDDINGS, FEATURES, Refusal
from featurelib.slices.concept import Labelled
from featurelib.storage.embeddings import read_embeddings_of
from featurelib.storage.fired import features_of, n_active
from featurelib.storage.store import Store

MOST_EXAMPLES, MOST_OTHERS = 4_000, 8_000
"""Texts of the corpus that are taken, drawn at random where there are more."""


def labelled_texts(
    store: Store, examples: np.ndarray, others: np.ndarray | None, *, seed: int = 0, further: Labelled | None = None
) -> Labelled:
    """Return texts of the corpus as examples and others (None: all that are no examples), each different text once.

    `further` are texts that are not of the corpus, which are added.
    """
    store.need(FEATURES)
    draw = np.random.default_rng(seed)
    inside = np.zeros(store.n_texts, bool)
    inside[examples] = True
    outside = np.ones(store.n_texts, bool) if others is None else np.zeros(store.n_texts, bool)
    if others is not None:
        outside[others] = True
    different = units(store).different(inside | outside)
    chosen = [
        _some(np.flatnonzero(texts & different), most, draw)
        for texts, most in ((inside, MOST_EXAMPLES), (outside & ~inside, MOST_OTHERS))
    ]
    ids = np.sort(np.concatenate(chosen))
    fired = features_of(store, ids)
    own = Labelled.of(
        (fired.whose, fired.feature_ids, fired.activations),
        len(n_active(store)),
        embeddings_of(store, ids),
        inside[ids],
    )
    return own if further is None else own.and_further(further)


def texts_equal_to(store: Store, lines: Sequence[str]) -> dict[str, list[int]]:
    """Return the texts of the corpus that are one of some lines, blanks at their ends aside, ascending, by the line."""
    rows = store.ask(
        """
        select trim(text, $blanks) as line, text_id
        from texts
        where list_contains($lines, trim(text, $blanks))
        order by text_id""",
        lines=list(lines),
        blanks=" \t\n\r",
    )
    found: dict[str, list[int]] = {}
    for line, text_id in zip(rows["line"].to_pylist(), rows["text_id"].to_pylist(), strict=True):
        found.setdefault(line, []).append(text_id)
    return found


def _some(text_ids: np.ndarray, most: int, draw: np.random.Generator) -> np.ndarray:
    return text_ids if len(text_ids) <= most else draw.choice(text_ids, most, replace=False)


def embeddings_of(store: Store, text_ids: np.ndarray) -> np.ndarray:
    """Return the embeddings of some texts, which ascend, float32 [n, d]; Refusal where the run has none."""
    found = store.from_index(lambda index: index.arrays.embeddings)
    if found is not None:
        return np.asarray(found[text_ids], np.float32)
    if not store.has(EMBEDDINGS):
        raise Refusal("this run has no embeddings, to which features could be compared; build it again with them.")
    return read_embeddings_of(store.generation, text_ids)


class TriedText(Protocol):
    """A text that is not of the corpus, as the worker gives it."""

    @property
    def feature_ids(self) -> np.ndarray:
        """The features that fire, [n]."""

    @property
    def activations(self) -> np.ndarray:
        """Their activations, [n]."""

    @property
    def embedding(self) -> np.ndarray:
        """float32 [d]."""


def labelled_lines(store: Store, tried: Sequence[TriedText]) -> Labelled:
    """Return texts that are not of the corpus as examples."""
    places = np.repeat(np.arange(len(tried)), [len(text.feature_ids) for text in tried])
    fired = (
        places,
        np.concatenate([text.feature_ids for text in tried]),
        np.concatenate([text.activations for text in tried]),
    )
    embeddings = np.stack([text.embedding for text in tried])
    return Labelled.of(fired, len(n_active(store)), embeddings, np.ones(len(tried), bool))
