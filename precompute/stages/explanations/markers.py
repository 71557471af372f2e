"""What finds the words that carry a feature: by attributions, or in a token run by the activations of their tokens."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Protocol

import numpy as np

from featurelib.attribution import find_words, token_attributions, word_attributions
from featurelib.llm.marked_words import AttributedWords
from featurelib.sae.checkpoints import load_sae
from featurelib.sae.encoder_view import readout
from featurelib.storage.store import Store
from precompute.build.job import Job


class Marker(Protocol):
    """What finds the words that carry a feature."""

    reason: str | None
    """Why it cannot, in words without a full stop; None where it can."""
    by_token: bool
    """Whether the feature fires on tokens, so that its texts are shown with marks and around them."""

    def words(self, texts: Mapping[int, str], feature_id: int) -> dict[int, AttributedWords]:
        """The words of each text, by its id, with what each has to do with the feature."""


def open_marker(job: Job, store: Store) -> Marker:
    """Return what finds the words of a run's texts that carry a feature."""
    return TokenMarker(store) if job.config.has_tokens else AttributionMarker(job)


class AttributionMarker:
    """Words with their parts in the pre-activation of a feature on the whole text."""

    by_token = False

    def __init__(self, job: Job) -> None:
        """Load the embedder and the SAE, where parts of words exist."""
        self.reason: str | None = "what made the embeddings is not known; name it with --embedder"
        if job.config.has_embedder:
            self._embedder = job.config.open_embedder()
            self.reason = self._embedder.whole_reason
        if self.reason is None:
            self._sae = load_sae(job.generation.sae_folder)

    def words(self, texts: Mapping[int, str], feature_id: int) -> dict[int, AttributedWords]:
        """The words of each text with their parts in the pre-activation of the feature."""
        read = readout(self._sae, [feature_id])
        found = {}
        for text_id, states in zip(texts, self._embedder.token_states(list(texts.values())), strict=True):
            words = find_words(texts[text_id], states.starts, states.ends, states.special)
            by_word = word_attributions(token_attributions(states.shares, states.offset, read), words).by_word[:, 0]
            found[text_id] = AttributedWords(words.starts, words.ends, by_word)
        return found


class TokenMarker:
    """Words with the largest activation of a feature on their tokens."""

    by_token = True
    reason: str | None = None

    def __init__(self, store: Store) -> None:
        """Ask the run's own tables."""
        self._store = store

    def words(self, texts: Mapping[int, str], feature_id: int) -> dict[int, AttributedWords]:
        """The words of each text with the largest activation of their tokens, 0 where the feature does not fire."""
        rows = self._store.ask(
            """
            select t.text_id, t.start, t."end", coalesce(a.activation, 0) as activation
            from tokens t
            left join token_activations_by_feature a
              on a.feature_id = $feature_id and a.text_id = t.text_id and a.position = t.position
            where t.text_id in (select unnest($ids::bigint[]))
            order by t.text_id, t.position""",
            feature_id=feature_id,
            ids=sorted(texts),
        )
        columns = [rows[name].to_numpy() for name in ("text_id", "start", "end", "activation")]
        return {text_id: _strongest_tokens(text, *_of(text_id, *columns)) for text_id, text in texts.items()}


def _of(text_id: int, text_ids: np.ndarray, *columns: np.ndarray) -> list[np.ndarray]:
    """The rows of one text."""
    first, last = np.searchsorted(text_ids, [text_id, text_id + 1])
    return [column[first:last] for column in columns]


def _strongest_tokens(text: str, starts: np.ndarray, ends: np.ndarray, activations: np.ndarray) -> AttributedWords:
    """The words of a text with the largest activation of the tokens of each."""
    words = find_words(text, starts, ends, ends <= starts)
    by_word = np.zeros(len(words.starts), np.float32)
    inside = words.of_token >= 0
    np.maximum.at(by_word, words.of_token[inside], activations[inside])
    return AttributedWords(words.starts, words.ends, by_word)
