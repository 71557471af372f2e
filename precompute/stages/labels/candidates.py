"""Every feature's candidate keywords, and the embeddings of all of them together.

A feature's candidates are the baseline's best keywords, the phrases that set the texts it fires on apart, and those
phrases of its texts whose own embedding has the largest pre-activation; in a token run the words on which it fires
too. All are written as the texts write them. Each distinct one is embedded once, in parts of 4,096 under work/labels,
so that a killed run loses at most one of them.
"""

from __future__ import annotations

import functools
from collections.abc import Callable, Iterable, Sequence
from typing import NamedTuple

import numpy as np

from featurelib.labels.choice import Candidate
from featurelib.labels.keywords import Keyword, is_short, label_keywords
from featurelib.labels.phrases import Phrases, TextWords
from featurelib.labels.spelling import Spelling
from featurelib.labels.words import repeats
from featurelib.language.guess import AUTO, Languages, find_languages
from featurelib.language.segmentation import words
from featurelib.sae.model import SAE
from featurelib.storage import files
from precompute.build.embedded_strings import EmbeddedStrings, embed_in_parts
from precompute.build.job import Job
from precompute.stages.labels.fired_words import TokenWord
from precompute.stages.labels.label_texts import LabelTexts

STRINGS_PER_PART = 4096
FEATURES_PER_PART = 512
TEXTS_READ = 400
"""Texts of a feature whose words are counted: all, or this many, evenly spaced in the order of activations."""
MOST_BY_CONTRAST = 40
"""Candidates of a feature that contrast may give; the next two numbers are those of the other two sources."""
MOST_BY_PRE_ACTIVATION = 20
LOOKED_THROUGH = 400
"""Phrases of a feature, the greatest contrast first, of which those with the largest pre-activation are taken."""
MOST_BY_KEYWORDS = 10
TOP_TEXTS, ACTIVE_TEXTS, ENCODER, TOKENS = "top texts", "active texts", "encoder", "tokens"
"""Where a candidate comes from: the baseline's keywords, contrast, pre-activation, words on which it fires."""


class Contrast(NamedTuple):
    """The phrases that set a feature's texts apart, the greatest contrast first."""

    few: list[str]
    """Candidates by contrast."""
    many: list[str]
    """Those among which the ones with the largest pre-activation are looked for."""


class Candidates:
    """The keywords that features may be called by."""

    def __init__(
        self,
        job: Job,
        texts: LabelTexts,
        baseline_keywords: dict[int, list[Keyword]],
        token_words: dict[int, list[TokenWord]],
    ) -> None:
        self._naming, self._baseline_keywords, self._token_words = texts.naming, baseline_keywords, token_words
        strings = texts.strings(texts.naming.text_ids)
        self._phrases = Phrases(TextWords.read(strings, _languages(job, strings)))
        self._spelling = Spelling(strings)
        self._folder = job.generation.work("labels")
        self._part = functools.lru_cache(maxsize=1)(self._read_part)

    def of_texts(self, rows: np.ndarray, activations: np.ndarray, most: int) -> list[str]:
        """Return the phrases that set some naming texts, the strongest first, apart; they count by `activations`."""
        return self._of_texts(rows, activations, (most,))[0]

    def _of_texts(self, rows: np.ndarray, activations: np.ndarray, sizes: Sequence[int]) -> list[list[str]]:
        """The same for several numbers of phrases, ascending."""
        if len(rows) > TEXTS_READ:
            spread = np.unique(np.linspace(0, len(rows) - 1, TEXTS_READ).astype(np.int64))
            rows, activations = rows[spread], activations[spread]
        lists = self._phrases.lists(rows, activations, sizes) if len(rows) else [[] for _ in sizes]
        return [[self._spelling(scored.phrase) for scored in phrases] for phrases in lists]

    def by_contrast(self, feature_id: int) -> Contrast:
        """Return the phrases that set a feature's texts apart; they are found in parts of 512 features, once."""
        number, place = divmod(feature_id, FEATURES_PER_PART)
        return self._part(number)[place]

    def _read_part(self, number: int) -> list[Contrast]:
        path = self._folder / f"phrases-{number:05d}.json"
        if not path.is_file():
            first = number * FEATURES_PER_PART
            last = min(first + FEATURES_PER_PART, len(self._naming.starts) - 1)
            files.write_json(path, [self._find_contrast(feature_id) for feature_id in range(first, last)])
        return [Contrast(*lists) for lists in files.read_json(path)]

    def _find_contrast(self, feature_id: int) -> Contrast:
        where = self._naming.of(feature_id)
        sizes = (MOST_BY_CONTRAST, LOOKED_THROUGH)
        return Contrast(*self._of_texts(self._naming.rows[where], self._naming.activations[where], sizes))

    def by_baseline(self, feature_id: int) -> list[str]:
        """Return the baseline's best keywords and those of its label."""
        keywords = self._baseline_keywords.get(feature_id, [])
        best = (keyword.keyword for keyword in keywords[:MOST_BY_KEYWORDS])
        return list(dict.fromkeys([*label_keywords(keywords), *best]))

    def by_tokens(self, feature_id: int) -> list[str]:
        """Return the words on which a feature of a token run fires."""
        return [word.word for word in self._token_words.get(feature_id, ())]

    def by_keywords(self, feature_id: int) -> list[str]:
        """Return those of the baseline's keywords that a label may consist of."""
        keywords = map(self._spelling, self.by_baseline(feature_id))
        return [keyword for keyword in keywords if is_short([keyword]) and not repeats(keyword) and _is_worded(keyword)]

    def of(self, feature_id: int, vectors: EmbeddedStrings | None, sae: SAE | None) -> list[Candidate]:
        """Return all candidates of a feature, each once; without vectors none is found by its pre-activation."""
        origins = dict.fromkeys(self.by_tokens(feature_id), TOKENS)
        origins |= {keyword: TOP_TEXTS for keyword in self.by_keywords(feature_id) if keyword not in origins}
        for phrase in self.by_contrast(feature_id).few:
            origins.setdefault(phrase, ACTIVE_TEXTS)
        looked_through = self.by_contrast(feature_id).many if vectors else []
        others = [phrase for phrase in looked_through if vectors and phrase in vectors and phrase not in origins]
        if others and vectors and sae:
            order = np.argsort(-_linear_term(sae, vectors.raw(others), feature_id), kind="stable")
            origins |= {others[place]: ENCODER for place in order[:MOST_BY_PRE_ACTIVATION]}
        return [Candidate(*pair) for pair in origins.items()]


def _is_worded(keyword: str) -> bool:
    """Whether a keyword begins and ends with a word that has a letter."""
    own = words(keyword)
    return bool(own) and all(any(map(str.isalpha, word)) for word in (own[0], own[-1]))


def _languages(job: Job, texts: list[str]) -> Languages:
    """The languages that the stage keywords has found; those of `texts` in a run whose keywords are older."""
    keywords = job.generation.done("keywords")
    if keywords and "languages" in keywords.facts:
        return Languages(keywords.facts["languages"])
    return find_languages(texts, job.config.language or AUTO)


def _linear_term(sae: SAE, x: np.ndarray, feature_id: int) -> np.ndarray:
    """The term of the pre-activation that differs between texts, float [n]: it gives the same order."""
    return (sae.normalise(x) @ sae.W_enc[:, feature_id]).numpy()


def embed_candidates(job: Job, candidates: Candidates, n_features: int, further: Iterable[str]) -> EmbeddedStrings:
    """Embed every feature's candidates and further ones with the run's embedder and prompt, rounded as it rounds."""

    def embed(strings: list[str], on_batch: Callable[[int], None]) -> np.ndarray:
        return job.config.open_embedder().embed(strings, on_batch=on_batch).astype(job.config.embedding_dtype)

    strings = sorted(find_strings(job, candidates, n_features).union(further), key=lambda string: (len(string), string))
    return embed_in_parts(job, "labels", "candidates", strings, embed, STRINGS_PER_PART)


def find_strings(job: Job, candidates: Candidates, n_features: int) -> set[str]:
    """Return every feature's candidates by contrast and by the baseline."""
    strings: set[str] = set()
    with job.progress(n_features, "features read") as bar:
        for feature_id in range(n_features):
            strings.update(
                candidates.by_contrast(feature_id).few,
                candidates.by_baseline(feature_id),
                candidates.by_keywords(feature_id),
                candidates.by_tokens(feature_id),
            )
            bar.advance()
    return strings
