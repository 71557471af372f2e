"""The worker on words: what each adds to a feature, what changes without it. Only the worker imports this file."""

from __future__ import annotations

import time
from collections.abc import Sequence
from pathlib import Path
from typing import NamedTuple

import numpy as np

from featurelib.attribution import (
    WordAttributions,
    Words,
    find_words,
    split_words,
    token_attributions,
    without_word,
    word_attributions,
)
from featurelib.embedder import Embedder
from featurelib.live.results import Attribution, Deletions
from featurelib.live.worker.models import check_features, open_embedder, open_sae, token_embedder
from featurelib.live.worker.tokens import attributions as of_tokens
from featurelib.live.worker.tokens import read_tokens
from featurelib.sae.encoder_view import readout
from featurelib.sae.model import SAE
from featurelib.sae.near_misses import nearest_at_gate
from featurelib.stats import correlation, rank_correlation

AT_ONCE = 16
"""Texts with a word deleted that are embedded together."""
SECONDS = 30.0
"""How long words may be deleted: other questions wait meanwhile."""


class _Attributed(NamedTuple):
    words: Words
    attributions: WordAttributions
    embedding: np.ndarray
    """float32 [d], not rounded as stored ones may be: the attributions add up to what the SAE makes of it."""


def attributions(generation: Path, text: str, feature_ids: Sequence[int]) -> list[Attribution]:
    """Return what each word of a text adds to the pre-activations of some features."""
    sae, embedder = open_sae(generation), open_embedder(generation)
    check_features(sae, feature_ids)
    tokens = token_embedder(generation)
    if tokens is not None:
        return of_tokens(generation, tokens, text, feature_ids)
    words, by_word, embedding = _attribute(embedder, sae, text, feature_ids)
    at_gate = next(iter(sae.at_gate(embedding[None])))
    return [
        Attribution(
            feature_id=feature_id,
            starts=words.starts,
            ends=words.ends,
            by_word=by_word.by_word[:, column],
            special=float(by_word.special[column]),
            constant=float(by_word.constant[column]),
            pre_activation=float(at_gate.pre_activations[0, feature_id]),
            threshold=float(at_gate.thresholds[0, feature_id]),
        )
        for column, feature_id in enumerate(feature_ids)
    ]


def attributions_of(generation: Path, texts: Sequence[str], feature_id: int) -> list[Attribution]:
    """Return what each word of some texts adds to the pre-activation of one feature."""
    return [attributions(generation, text, [feature_id])[0] for text in texts]


def without_words(generation: Path, text: str, feature_id: int, most: int) -> Deletions:
    """Return how much lower a feature's pre-activation is without each of the first `most` words of a text."""
    sae, embedder = open_sae(generation), open_embedder(generation)
    check_features(sae, [feature_id])
    attributed = _attribute(embedder, sae, text, [feature_id]) if embedder.whole_reason is None else None
    starts, ends = (attributed.words.starts, attributed.words.ends) if attributed else _read_words(embedder, text)
    shortened = [without_word(text, start, end) for start, end in zip(starts[:most], ends[:most], strict=True)]
    values = _pre_activations(generation, sae, [text, *shortened], feature_id)
    changes = values[0] - values[1:]
    n = len(changes)
    by_word = attributed.attributions.by_word[:n, 0] if attributed else None
    return Deletions(
        starts=starts[:n],
        ends=ends[:n],
        changes=changes,
        n_words_left_out=len(starts) - n,
        pre_activation=float(values[0]),
        by_word=by_word,
        rank_correlation=None if by_word is None else rank_correlation(by_word, changes),
        correlation=None if by_word is None else correlation(by_word, changes),
        whole_reason=embedder.whole_reason,
    )


def _attribute(embedder: Embedder, sae: SAE, text: str, feature_ids: Sequence[int]) -> _Attributed:
    states = embedder.token_states([text])[0]
    words = find_words(text, states.starts, states.ends, states.special)
    by_token = token_attributions(states.shares, states.offset, readout(sae, feature_ids))
    return _Attributed(words, word_attributions(by_token, words), states.embedding)


def _read_words(embedder: Embedder, text: str) -> tuple[np.ndarray, np.ndarray]:
    """Return starts and ends of the words that the embedder reads, without asking it for tokens."""
    cut = int(embedder.tokens([text]).cut[0])
    spans = split_words(text if cut < 0 else text[:cut])
    return spans[:, 0], spans[:, 1]


def _pre_activations(generation: Path, sae: SAE, texts: list[str], feature_id: int) -> np.ndarray:
    """Return the feature's pre-activations on as many texts as there is time for, AT_ONCE at least; float32 [n].

    In a token run a text's is that of its token nearest to firing.
    """
    embedder, tokens = open_embedder(generation), token_embedder(generation)
    until = time.monotonic() + SECONDS
    batches: list[np.ndarray] = []
    for start in range(0, len(texts), AT_ONCE):
        some = texts[start : start + AT_ONCE]
        if tokens is None:
            batches.append(sae.pre_activations(embedder.embed(some))[:, feature_id].numpy())
        else:
            gates = [nearest_at_gate(sae, rows.states) for rows in read_tokens(generation, tokens, some)]
            batches.append(np.array([float(gate.pre_activations[0, feature_id]) for gate in gates], np.float32))
        if time.monotonic() > until:
            break
    return np.concatenate(batches)
