"""The worker on words: what each adds to a feature, what happens without it. Only the worker imports this file."""

from __future__ import annotations

import time
from collections.abc import Sequence
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np

from featurelib.attribution import (
    WordParts,
    Words,
    find_words,
    split_words,
    token_parts,
    without_word,
    word_parts,
)
from featurelib.embedder import Embedder
from featurelib.live.worker.models import _open_embedder, _open_sae
from featurelib.sae.encoder_view import readout
from featurelib.sae.model import SAE
from featurelib.schema import Refusal
from featurelib.stats import correlation, rank_correlation

AT_ONCE = 16
"""Texts with a word deleted that are embedded together."""
SECONDS = 30.0
"""How long words are deleted: whoever else asks is waiting."""


class _Divided(NamedTuple):
    words: Words
    by_word: WordParts
    embedding: np.ndarray
    """float32 [d], not rounded as stored ones may be: the parts add up to what the SAE makes of it."""


def attributions(generation: Path, text: str, feature_ids: Sequence[int]) -> dict[str, Any]:
    """What each word of a text adds to the pre-activations of some features."""
    sae, embedder = _open_sae(generation), _open_embedder(generation)
    ids = [_known(sae, one) for one in feature_ids]
    divided = _divide(embedder, sae, text, ids)
    at_gate = next(iter(sae.at_gate(divided.embedding[None])))
    features = [
        {
            "feature_id": feature_id,
            "parts": divided.by_word.parts[:, column].tolist(),
            "special": float(divided.by_word.special[column]),
            "constant": float(divided.by_word.constant[column]),
            "pre_activation": float(at_gate.pre_activations[0, feature_id]),
            "gate": float(at_gate.needed[0, feature_id]),
        }
        for column, feature_id in enumerate(ids)
    ]
    return {"starts": divided.words.starts.tolist(), "ends": divided.words.ends.tolist(), "features": features}


def without_words(generation: Path, text: str, feature_id: int, most: int) -> dict[str, Any]:
    """How much lower a feature's pre-activation is without each of the first `most` words of a text."""
    sae, embedder = _open_sae(generation), _open_embedder(generation)
    feature_id = _known(sae, feature_id)
    divided = _divide(embedder, sae, text, [feature_id]) if embedder.whole_reason is None else None
    starts, ends = _read_words(embedder, text) if divided is None else (divided.words.starts, divided.words.ends)
    left_out = [without_word(text, start, end) for start, end in zip(starts[:most], ends[:most], strict=True)]
    values = _values(embedder, sae, [text, *left_out], feature_id)
    changes = values[0] - values[1:]
    n = len(changes)
    parts = None if divided is None else divided.by_word.parts[:n, 0]
    return {
        "starts": starts[:n].tolist(),
        "ends": ends[:n].tolist(),
        "changes": changes.tolist(),
        "n_words_left_out": len(starts) - n,
        "pre_activation": float(values[0]),
        "parts": None if parts is None else parts.tolist(),
        "rank_correlation": None if parts is None else rank_correlation(parts, changes),
        "correlation": None if parts is None else correlation(parts, changes),
        "whole_reason": embedder.whole_reason,
    }


def _known(sae: SAE, feature_id: int) -> int:
    if not 0 <= feature_id < sae.n_features:
        raise Refusal(f"there is no feature {feature_id}; this run has the features 0 to {sae.n_features - 1}.")
    return feature_id


def _divide(embedder: Embedder, sae: SAE, text: str, ids: list[int]) -> _Divided:
    states = embedder.token_states([text])[0]
    words = find_words(text, states.starts, states.ends, states.special)
    tokens = token_parts(states.shares, states.offset, readout(sae, ids))
    return _Divided(words, word_parts(tokens, words), states.embedding)


def _read_words(embedder: Embedder, text: str) -> tuple[np.ndarray, np.ndarray]:
    """The words of a text as far as the embedder reads it, when it does not say which tokens they are."""
    cut = int(embedder.tokens([text]).cut[0])
    spans = split_words(text if cut < 0 else text[:cut])
    return spans[:, 0], spans[:, 1]


def _values(embedder: Embedder, sae: SAE, texts: list[str], feature_id: int) -> np.ndarray:
    """The feature's pre-activations on as many of the texts, the first at least, as there is time for; float32 [n]."""
    until = time.monotonic() + SECONDS
    found = []
    for start in range(0, len(texts), AT_ONCE):
        x = embedder.embed(texts[start : start + AT_ONCE])
        found.append(sae.pre_activations(x)[:, feature_id].numpy())
        if time.monotonic() > until:
            break
    return np.concatenate(found)
