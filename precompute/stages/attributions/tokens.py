"""The words of a token run: on each, the largest activation of a feature on one of its tokens."""

from __future__ import annotations

from collections.abc import Iterator
from typing import NamedTuple

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from featurelib.attribution import Words, find_words, rounded
from featurelib.schema import ATTRIBUTIONS, TEXT_WORDS, TOKEN_BY_TEXT, TOKENS
from featurelib.storage import files
from featurelib.storage.parts.part_files import read_part
from featurelib.storage.runs import Generation
from precompute.build.job import Job
from precompute.stages.attributions.pairs import Pairs, part_files, read_texts_in_parts


class _Tokens(NamedTuple):
    """The tokens of one text, and what fires on them."""

    starts: np.ndarray
    ends: np.ndarray
    fired: pa.Table


def make_token_parts(job: Job, pairs: Pairs) -> None:
    """Write the words and the activations on them, in parts of 64 texts; a part that exists is kept."""
    tokens = _tokens_of(job.generation, pairs.distinct_texts)
    with job.progress(len(pairs.distinct_texts), "texts") as bar:
        for number, (text_ids, texts) in enumerate(read_texts_in_parts(job.generation, pairs.distinct_texts)):
            words_file, rows_file = part_files(job.generation, number)
            here = [next(tokens) for _ in texts]
            if not (words_file.is_file() and rows_file.is_file()):
                words, rows = _part(pairs, text_ids, texts, here)
                files.write_parquet(words_file, words, TEXT_WORDS.schema)
                files.write_parquet(rows_file, rows, ATTRIBUTIONS.schema)
            bar.advance(len(texts))


def _part(pairs: Pairs, text_ids: np.ndarray, texts: list[str], tokens: list[_Tokens]) -> tuple[pa.Table, pa.Table]:
    word_rows, rows = [], []
    for text_id, text, of_text in zip(text_ids, texts, tokens, strict=True):
        words = find_words(text, of_text.starts, of_text.ends, of_text.ends <= of_text.starts)
        word_rows.append((text_id, words.starts, words.ends))
        for feature_id in pairs.features_of(text_id):
            on = of_text.fired.filter(pc.equal(of_text.fired["feature_id"], feature_id))
            by_word, special = _by_word(on["position"].to_numpy(), on["activation"].to_numpy(), words)
            largest = float(max(by_word.max(initial=0), special))
            rows.append((feature_id, int(text_id), rounded(by_word, largest), special, 0.0, largest))
    return TEXT_WORDS.from_rows(word_rows), ATTRIBUTIONS.from_rows(rows)


def _by_word(positions: np.ndarray, activations: np.ndarray, words: Words) -> tuple[np.ndarray, float]:
    """The largest activation on each word, float64 [n_words], and the largest outside words."""
    by_word = np.zeros(len(words.starts))
    of_token = words.of_token[positions]
    inside = of_token >= 0
    np.maximum.at(by_word, of_token[inside], activations[inside])
    return by_word, float(activations[~inside].max(initial=0))


def _tokens_of(generation: Generation, text_ids: np.ndarray) -> Iterator[_Tokens]:
    """Yield the tokens of the texts with these ids, which ascend; one part is in memory at a time."""
    parts = zip(generation.parts(TOKENS), generation.parts(TOKEN_BY_TEXT), strict=True)
    for tokens_file, rows_file in parts:
        tokens, rows = read_part(tokens_file), read_part(rows_file)
        of_token, of_row = tokens["text_id"].to_numpy(), rows["text_id"].to_numpy()
        first, last = (int(of_token[0]), int(of_token[-1])) if len(of_token) else (0, -1)
        for text_id in text_ids[(text_ids >= first) & (text_ids <= last)]:
            own = tokens.slice(*_span(of_token, text_id))
            yield _Tokens(own["start"].to_numpy(), own["end"].to_numpy(), rows.slice(*_span(of_row, text_id)))


def _span(ids: np.ndarray, text_id: int) -> tuple[int, int]:
    first, last = np.searchsorted(ids, [text_id, text_id + 1]).tolist()
    return first, last - first
