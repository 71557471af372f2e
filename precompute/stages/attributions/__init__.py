"""attributions: what each word of a feature's top texts adds to its pre-activation.

In a token run a word adds nothing to a whole: its value is the feature's largest activation on one of its tokens.

The shares of each distinct text's tokens are those that the stage embed left (`precompute.build.kept_shares`); where it
left none, or they do not sum to the run's embedding, they come from the embedder. It is done in parts of 64 texts under
work/attributions, so that a killed run loses one of them. Stored attributions are rounded to multiples of 2^-17
(featurelib.attribution.rounded), which halves the file and moves their sum by less than 4e-6 (of a pre-activation above
1, by less than 4e-6 of it); what is reported is measured on the rounded ones.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from functools import lru_cache
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq

from featurelib.attribution import WordAttributions, find_words, rounded, token_attributions, word_attributions
from featurelib.embedder import Embedder, TokenStates
from featurelib.sae.checkpoints import load_sae
from featurelib.sae.encoder_view import readout
from featurelib.sae.model import SAE
from featurelib.schema import ATTRIBUTIONS, EMBEDDINGS, TEXT_WORDS, TEXTS, TOP_TEXT_ROWS
from featurelib.storage import files
from featurelib.storage.embeddings import read_embeddings
from featurelib.storage.parts.part_files import count_rows
from featurelib.storage.runs import Generation
from precompute.build.job import Job, Made
from precompute.build.kept_shares import MOST_BYTES, KeptShares
from precompute.build.stage import Stage, Workload
from precompute.stages.attributions.pairs import Pairs, part_files, read_pairs, read_texts_in_parts
from precompute.stages.attributions.tokens import make_token_parts

STATES_BYTES = 200_000_000
"""How much memory the token states of texts that are embedded together may take."""
SECONDS_PER_TOP_TEXT = 0.003
"""Measured on two cores, 5,000 abstracts whose shares were kept."""
KEPT_BYTES_PER_TEXT = 220_000
"""The kept shares of an abstract in 384 dimensions."""
ROWS_AT_ONCE = 400_000
"""Rows that are collected from all parts at a time, some 600 bytes each: those of 40,000 features with ten texts."""
SAME_EMBEDDING = 1e-3
"""How far the sum of kept shares may be from the stored embedding, which may be float16, over the latter's length."""
ROW_GROUP = 1000
"""Rows in a row group: few, because a page reads ten rows of one feature."""


def make_attributions(job: Job) -> Made:
    """Write text_words.parquet and contributions.parquet; both empty where an embedding cannot be divided by words."""
    if not job.config.has_embedder:
        return _none(job.generation, "what made the embeddings is not known; name it with --embedder")
    pairs = read_pairs(job.generation, job.config.attributed_texts)
    if job.config.has_tokens:
        make_token_parts(job, pairs)
    else:
        embedder = job.config.open_embedder()
        if embedder.whole_reason is not None:
            return _none(job.generation, embedder.whole_reason)
        _make_parts(job, embedder, pairs)
    n_words = _join_words(job.generation, pairs.n_parts)
    largest = _join_attributions(job.generation, pairs)
    KeptShares(job.generation).remove()
    facts = {
        "reason": None,
        "texts_per_feature": job.config.attributed_texts,
        "n_features": len(np.unique(pairs.feature_ids)),
        "n_texts": len(pairs.distinct_texts),
        "n_words": n_words,
        "n_contributions": len(pairs.feature_ids),
        "largest_difference": None if job.config.has_tokens else largest,
    }
    return Made(_line(facts), facts)


def _seconds(workload: Workload) -> float:
    kept = workload.n_new_texts * KEPT_BYTES_PER_TEXT <= MOST_BYTES
    share_kept = workload.n_new_texts / max(workload.n_texts, 1) if kept else 0.0
    embedded_again = round(workload.n_top_texts * (1 - share_kept))
    return SECONDS_PER_TOP_TEXT * workload.n_top_texts + workload.seconds_to_embed(embedded_again)


STAGE = Stage(
    name="attributions",
    makes="attributions of the words of top texts",
    make=make_attributions,
    grounds="top texts, embedder and SAE",
    after=("embed", "train", "summarise"),
    options=("attributed_texts",),
    seconds=_seconds,
    chapter="attribution",
)


def _line(facts: dict[str, Any]) -> str:
    if facts["largest_difference"] is None:
        words = f"{facts['n_words']:,} words of {facts['n_texts']:,} texts"
        return f"the largest activation on each of {words}, for {facts['n_features']:,} features"
    return (
        f"what {facts['n_words']:,} words of {facts['n_texts']:,} texts add to {facts['n_features']:,} features; their "
        f"sum differs from the pre-activation by {facts['largest_difference']:.1e} at most"
    )


def _none(generation: Generation, reason: str) -> Made:
    for table in (TEXT_WORDS, ATTRIBUTIONS):
        generation.write_rows(table, [])
    facts = {"reason": reason, "n_features": 0, "n_texts": 0, "n_words": 0, "n_contributions": 0}
    return Made(f"no words, because {reason}", facts)


def _make_parts(job: Job, embedder: Embedder, pairs: Pairs) -> None:
    sae = load_sae(job.generation.sae_folder)
    embeddings_of = _embeddings_reader(job.generation)
    kept = KeptShares(job.generation)
    with job.progress(len(pairs.distinct_texts), "texts") as bar:
        for number, (text_ids, texts) in enumerate(read_texts_in_parts(job.generation, pairs.distinct_texts)):
            words_file, rows_file = part_files(job.generation, number)
            if not (words_file.is_file() and rows_file.is_file()):
                x = embeddings_of(text_ids)
                states = _states(embedder, texts, _known_shares(kept, text_ids, x))
                words, rows = _part(states, sae, pairs, text_ids, texts, x)
                files.write_parquet(words_file, words, TEXT_WORDS.schema)
                files.write_parquet(rows_file, rows, ATTRIBUTIONS.schema)
            bar.advance(len(texts))


def _embeddings_reader(generation: Generation) -> Callable[[np.ndarray], np.ndarray]:
    """A function from text_ids to the run's own embeddings, float32 [n, d]; it keeps the part file it read last."""
    paths = generation.parts(EMBEDDINGS)
    starts = np.cumsum([0, *(count_rows(part) for part in paths)])
    read_part = lru_cache(maxsize=1)(lambda number: read_embeddings(paths[number]))

    def embeddings_of(text_ids: np.ndarray) -> np.ndarray:
        numbers = np.searchsorted(starts, text_ids, side="right") - 1
        return np.concatenate([read_part(int(n))[text_ids[numbers == n] - starts[n]] for n in np.unique(numbers)])

    return embeddings_of


def _known_shares(kept: KeptShares, text_ids: np.ndarray, x: np.ndarray) -> list[np.ndarray | None]:
    """The kept shares of some texts with the embeddings x; None where there are none, or they are of something else."""
    known = [kept.read(int(text_id)) for text_id in text_ids]
    return [
        shares if shares is not None and _sums_to(shares, own) else None for shares, own in zip(known, x, strict=True)
    ]


def _sums_to(shares: np.ndarray, embedding: np.ndarray) -> bool:
    if shares.shape[1] != len(embedding):
        return False
    difference = np.linalg.norm(shares.sum(axis=0, dtype=np.float64) - embedding)
    return bool(difference <= SAME_EMBEDDING * np.linalg.norm(embedding))


def _part(
    states_of_texts: Iterator[TokenStates],
    sae: SAE,
    pairs: Pairs,
    text_ids: np.ndarray,
    texts: list[str],
    x: np.ndarray,
) -> tuple[pa.Table, pa.Table]:
    """The words of some texts, and the rows of the features they are top texts of; x are their embeddings."""
    word_rows, rows = [], []
    pre_activations = sae.pre_activations(x).numpy()
    for text_id, text, states, of_text in zip(text_ids, texts, states_of_texts, pre_activations, strict=True):
        words = find_words(text, states.starts, states.ends, states.special)
        word_rows.append((text_id, words.starts, words.ends))
        feature_ids = pairs.features_of(text_id)
        tokens = token_attributions(states.shares, states.offset, readout(sae, feature_ids))
        attributions = word_attributions(tokens, words)
        rows += [
            (feature_id, int(text_id), *_values(attributions, column, float(of_text[feature_id])))
            for column, feature_id in enumerate(feature_ids)
        ]
    return TEXT_WORDS.from_rows(word_rows), ATTRIBUTIONS.from_rows(rows)


def _values(attributions: WordAttributions, column: int, pre_activation: float) -> tuple[Any, ...]:
    """The columns parts, special, constant and pre_activation of one feature."""
    by_word = rounded(attributions.by_word[:, column], pre_activation)
    return by_word, attributions.special[column], attributions.constant[column], pre_activation


def _states(embedder: Embedder, texts: list[str], known: list[np.ndarray | None]) -> Iterator[TokenStates]:
    """Yield the token states of the texts in order; as many texts are embedded together as memory holds."""
    limit = embedder.facts.max_seq_length
    together: list[str] = []
    first = n_bytes = 0
    for row, text in enumerate(texts):
        most_tokens = len(text.encode()) + len(embedder.facts.prompt or "") + 8  # no token is less than a byte
        own_bytes = min(most_tokens, limit or most_tokens) * embedder.facts.dimension * 4
        if together and n_bytes + own_bytes > STATES_BYTES:
            yield from embedder.token_states(together, known[first:row])
            together, first, n_bytes = [], row, 0
        together.append(text)
        n_bytes += own_bytes
    yield from embedder.token_states(together, known[first:])


def _join_words(generation: Generation, n_parts: int) -> int:
    """Write the words of all texts and return how many there are."""
    n_words = 0

    def batches() -> Iterator[pa.RecordBatch]:
        nonlocal n_words
        for number in range(n_parts):
            words = pq.read_table(part_files(generation, number)[0])
            n_words += pc.sum(pc.list_value_length(words["starts"])).as_py() or 0
            yield from words.to_batches()

    files.write_parquet(generation.file(TEXT_WORDS), batches(), TEXT_WORDS.schema, ROW_GROUP)
    return n_words


def _join_attributions(generation: Generation, pairs: Pairs) -> float:
    """Write the rows of all parts by feature; return the largest |Σ words + special + constant − pre-activation|."""
    largest = 0.0

    def batches() -> Iterator[pa.RecordBatch]:
        nonlocal largest
        for first, last in _feature_ranges(pairs.feature_ids):
            in_range = (pc.field("feature_id") >= first) & (pc.field("feature_id") <= last)
            rows = pa.concat_tables(
                pq.ParquetFile(part_files(generation, number)[1]).read().filter(in_range)
                for number in range(pairs.n_parts)
            )
            rows = rows.sort_by([("feature_id", "ascending"), ("text_id", "ascending")]).combine_chunks()
            largest = max(largest, _largest_difference(rows))
            yield from rows.to_batches()

    files.write_parquet(generation.file(ATTRIBUTIONS), batches(), ATTRIBUTIONS.schema, ROW_GROUP)
    return largest


def _feature_ranges(feature_ids: np.ndarray) -> Iterator[tuple[int, int]]:
    """Yield the first and the last feature of ranges with so many rows as are collected together: mostly one range."""
    features, counts = np.unique(feature_ids, return_counts=True)
    numbers = (np.cumsum(counts) - 1) // ROWS_AT_ONCE
    for number in np.unique(numbers):
        own = features[numbers == number]
        yield int(own[0]), int(own[-1])


def _largest_difference(rows: pa.Table) -> float:
    if not len(rows):
        return 0.0
    lists = rows["parts"].combine_chunks()
    lists = lists.chunk(0) if isinstance(lists, pa.ChunkedArray) else lists
    of_row = np.repeat(np.arange(len(rows)), lists.value_lengths().to_numpy())
    total = np.bincount(of_row, lists.flatten().to_numpy(), minlength=len(rows))
    special, constant, whole = (rows[name].to_numpy() for name in ("special", "constant", "pre_activation"))
    return float(np.abs(total + special + constant - whole).max())
