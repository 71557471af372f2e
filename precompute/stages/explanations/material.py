"""The texts from which a feature is explained and on which the explanation is tested, with words marked in them."""

from __future__ import annotations

import random
from collections.abc import Iterable, Iterator

from featurelib.attribution import find_words, token_attributions, word_attributions
from featurelib.llm.explanations import Material
from featurelib.llm.marked_words import AttributedWords, mark_words, right_words, wrong_words
from featurelib.llm.prompts import excerpt
from featurelib.llm.sampling import MIN_TESTED, ChosenTexts
from featurelib.sae.checkpoints import load_sae
from featurelib.sae.encoder_view import readout
from featurelib.storage.store import Store
from precompute.build.job import Job

AHEAD = 32
"""Features whose texts are read together."""


class Marker:
    """What finds the words that carry a feature."""

    reason: str | None
    """Why it cannot, in words without a full stop; None where it can."""

    def __init__(self, job: Job) -> None:
        """Load the embedder and the SAE, where parts of words exist."""
        self.reason = "what made the embeddings is not known; name it with --embedder"
        if job.config.has_embedder:
            self._embedder = job.config.open_embedder()
            self.reason = self._embedder.whole_reason
        if self.reason is None:
            self._sae = load_sae(job.generation.sae_folder)

    def words(self, texts: list[str], feature_id: int) -> list[AttributedWords]:
        """The words of each text with their parts in the pre-activation of the feature."""
        read = readout(self._sae, [feature_id])
        words_of_texts = []
        for text, states in zip(texts, self._embedder.token_states(texts), strict=True):
            words = find_words(text, states.starts, states.ends, states.special)
            by_word = word_attributions(token_attributions(states.shares, states.offset, read), words).by_word[:, 0]
            words_of_texts.append(AttributedWords(words.starts, words.ends, by_word))
        return words_of_texts


def materials(store: Store, choices: list[ChosenTexts], marker: Marker, seed: int) -> Iterator[Material]:
    """The texts of each choice, some features at a time, so that memory stays bounded."""
    for start in range(0, len(choices), AHEAD):
        ahead = choices[start : start + AHEAD]
        texts = _texts(store, {text_id for choice in ahead for text_id in _all_ids(choice)})
        for choice in ahead:
            yield Material(
                choice.feature_id,
                [(texts[text_id], strength) for text_id, strength in choice.fires_on],
                [texts[text_id] for text_id in choice.silent_on],
                [(texts[text_id], True) for text_id in choice.firing]
                + [(texts[text_id], False) for text_id in choice.silent],
                _marked(choice, texts, marker, seed),
            )


def _all_ids(choice: ChosenTexts) -> tuple[int, ...]:
    return tuple(text_id for text_id, _ in choice.fires_on) + choice.silent_on + choice.firing + choice.silent


def _texts(store: Store, ids: Iterable[int]) -> dict[int, str]:
    """Texts as far as they are shown: what the embedder read of them, and no more than llm.prompts.CHARACTERS."""
    rows = store.ask(
        """
        select t.text_id, t.text, coalesce(s.cut, -1) as cut
        from texts t
        join text_summaries s on s.text_id = t.text_id
        where t.text_id in (select unnest($ids::bigint[]))
        order by t.text_id""",
        ids=sorted(ids),
    )
    columns = (rows[name].to_pylist() for name in ("text_id", "text", "cut"))
    return {text_id: excerpt(text, cut) for text_id, text, cut in zip(*columns, strict=True)}


def _marked(choice: ChosenTexts, texts: dict[int, str], marker: Marker, seed: int) -> list[tuple[str, bool]]:
    """The judging texts with marked words, every other one rightly; a text without a word that carries is left out."""
    if marker.reason is not None or not choice.firing:
        return []
    draw = random.Random(f"{seed}:{choice.feature_id}:marks")
    own = draw.sample([texts[text_id] for text_id in choice.firing], len(choice.firing))
    samples: list[tuple[str, bool]] = []
    for text, words in zip(own, marker.words(own, choice.feature_id), strict=True):
        right = right_words(words)
        wrong = wrong_words(words, len(right), draw)
        if right and len(wrong) == len(right):
            rightly = len(samples) % 2 == 0
            samples.append((mark_words(text, words, right if rightly else wrong), rightly))
    return samples if len(samples) >= MIN_TESTED else []
