"""attributions: which words of a feature's strongest texts carry it.

Each distinct text goes through the embedder once, in parts of 64 texts under work/attributions, so that a killed run
loses one of them. Stored attributions are rounded to multiples of 2^-17 (featurelib.attribution.rounded), which halves
the file and moves their sum by less than 4e-6 (of a pre-activation above 1, by less than 4e-6 of it); what is reported
is measured on the rounded ones.
"""

from __future__ import annotations

from collections.abc import Iterator
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
from featurelib.schema import ATTRIBUTIONS, EMBEDDINGS, TEXT_WORDS, TEXTS, TOP_TEXT_ROWS, Table
from featurelib.storage import files
from featurelib.storage.embeddings import read_embeddings
from featurelib.storage.runs import Generation
from precompute.build.job import Job, Made
from precompute.build.stage import Stage

TEXTS_PER_PART = 64
STATES_BYTES = 200_000_000
"""How much memory the token states of the texts that are embedded together may take."""
FEATURES_AT_ONCE = 2048
"""Features whose rows are brought together from all parts at a time."""
ROW_GROUP = 1000
"""Rows of a feature's texts that are read together: a page asks for ten of them."""


def make_attributions(job: Job) -> Made:
    """Write summaries/text_words.parquet and summaries/contributions.parquet; both empty where there are no parts."""
    if not job.config.has_embedder:
        return _none(job.generation, "what made the embeddings is not known; name it with --embedder")
    embedder = job.config.open_embedder()
    if embedder.whole_reason is not None:
        return _none(job.generation, embedder.whole_reason)
    wanted = _wanted(job.generation, job.config.attributed_texts)
    _make_parts(job, embedder, wanted)
    n_words = _join_words(job.generation, wanted.n_parts)
    largest = _join_contributions(job.generation, wanted)
    facts = {
        "reason": None,
        "texts_per_feature": job.config.attributed_texts,
        "n_features": len(np.unique(wanted.feature_ids)),
        "n_texts": len(wanted.texts),
        "n_words": n_words,
        "n_contributions": len(wanted.feature_ids),
        "largest_difference": largest,
    }
    return Made(_line(facts), facts)


STAGE = Stage(
    name="attributions",
    makes="attributions of the words of top texts",
    make=make_attributions,
    grounds="top texts, embedder and SAE",
    after=("embed", "train", "summarise"),
    options=("attributed_texts",),
    seconds=lambda workload: workload.seconds_to_embed(workload.n_top_texts),
    chapter="attribution",
)


def _line(facts: dict[str, Any]) -> str:
    return (
        f"what {facts['n_words']:,} words of {facts['n_texts']:,} texts add to {facts['n_features']:,} features; their "
        f"sum differs from the pre-activation by {facts['largest_difference']:.1e} at most"
    )


def _none(generation: Generation, reason: str) -> Made:
    for table in (TEXT_WORDS, ATTRIBUTIONS):
        generation.write_rows(table, [])
    facts = {"reason": reason, "n_features": 0, "n_texts": 0, "n_words": 0, "n_contributions": 0}
    return Made(f"no words, because {reason}", facts)


class _Wanted(NamedTuple):
    """The pairs of feature and text to take apart, ordered by text, then by feature."""

    text_ids: np.ndarray
    feature_ids: np.ndarray

    @property
    def texts(self) -> np.ndarray:
        return np.unique(self.text_ids)

    @property
    def n_parts(self) -> int:
        return -(-len(self.texts) // TEXTS_PER_PART)

    def features_of(self, text_id: int) -> list[int]:
        first, last = np.searchsorted(self.text_ids, [text_id, text_id + 1])
        return self.feature_ids[first:last].tolist()


def _wanted(generation: Generation, limit: int) -> _Wanted:
    rows = pq.read_table(generation.need(TOP_TEXT_ROWS), columns=["feature_id", "rank", "text_id"])
    rows = rows.filter(pc.field("rank") <= limit).sort_by([("text_id", "ascending"), ("feature_id", "ascending")])
    return _Wanted(rows["text_id"].to_numpy(), rows["feature_id"].to_numpy())


def _make_parts(job: Job, embedder: Embedder, wanted: _Wanted) -> None:
    sae = load_sae(job.generation.sae_folder)
    stored = _stored_embeddings(job.generation)
    with job.progress(len(wanted.texts), "texts") as bar:
        for number, (text_ids, texts) in enumerate(_slices(job.generation, wanted.texts)):
            words_file, rows_file = _part_files(job.generation, number)
            if not (words_file.is_file() and rows_file.is_file()):
                words, rows = _part(embedder, sae, wanted, text_ids, texts, stored(text_ids))
                files.write_parquet(words_file, words, TEXT_WORDS.schema)
                files.write_parquet(rows_file, rows, ATTRIBUTIONS.schema)
            bar.advance(len(texts))


def _part_files(generation: Generation, number: int) -> tuple[Path, Path]:
    folder = generation.work("attributions")
    return folder / f"words-{number:05d}.parquet", folder / f"rows-{number:05d}.parquet"


def _slices(generation: Generation, text_ids: np.ndarray) -> Iterator[tuple[np.ndarray, list[str]]]:
    """The texts with these ids, ascending, 64 at a time; the rest of the corpus is only passed by."""
    held: list[str] = []
    start = given = 0
    with pq.ParquetFile(generation.need(TEXTS)) as opened:
        for batch in opened.iter_batches(columns=["text"]):
            inside = text_ids[(text_ids >= start) & (text_ids < start + batch.num_rows)] - start
            held += batch["text"].take(pa.array(inside)).to_pylist()
            start += batch.num_rows
            while len(held) >= TEXTS_PER_PART or (held and given + len(held) == len(text_ids)):
                n = min(TEXTS_PER_PART, len(held))
                yield text_ids[given : given + n], held[:n]
                held, given = held[n:], given + n


def _stored_embeddings(generation: Generation) -> Any:
    """A function that gives the run's own embeddings of some texts, float32 [n, d]; it keeps the part read last."""
    paths = generation.parts(EMBEDDINGS)
    starts = np.cumsum([0, *(pq.read_metadata(path).num_rows for path in paths)])
    read = lru_cache(maxsize=1)(lambda number: read_embeddings(paths[number]))

    def embeddings(text_ids: np.ndarray) -> np.ndarray:
        numbers = np.searchsorted(starts, text_ids, side="right") - 1
        chosen = [read(int(n))[text_ids[numbers == n] - starts[n]] for n in np.unique(numbers)]
        return np.concatenate(chosen)

    return embeddings


def _part(
    embedder: Embedder, sae: SAE, wanted: _Wanted, text_ids: np.ndarray, texts: list[str], x: np.ndarray
) -> tuple[pa.Table, pa.Table]:
    """The words of some texts, and the rows of all features that are wanted of them; x are their embeddings."""
    words_rows, rows = [], []
    pre_activations = sae.pre_activations(x).numpy()
    for text_id, text, states, own in zip(text_ids, texts, _states(embedder, texts), pre_activations, strict=True):
        words = find_words(text, states.starts, states.ends, states.special)
        words_rows.append((text_id, words.starts, words.ends))
        ids = wanted.features_of(text_id)
        divided = word_attributions(token_attributions(states.shares, states.offset, readout(sae, ids)), words)
        rows += [_row(divided, column, int(text_id), own, feature_id) for column, feature_id in enumerate(ids)]
    return _table(TEXT_WORDS, words_rows), _table(ATTRIBUTIONS, rows)


def _row(divided: WordAttributions, column: int, text_id: int, own: np.ndarray, feature_id: int) -> tuple[Any, ...]:
    pre_activation = float(own[feature_id])
    parts = rounded(divided.by_word[:, column], pre_activation)
    return feature_id, text_id, parts, divided.special[column], divided.constant[column], pre_activation


def _states(embedder: Embedder, texts: list[str]) -> Iterator[TokenStates]:
    """The token states of the texts in order, embedded as many at a time as memory holds."""
    limit = embedder.facts.max_seq_length
    together: list[str] = []
    taken = 0
    for text in texts:
        tokens = len(text.encode()) + len(embedder.facts.prompt or "") + 8  # no token is less than a byte
        own = min(tokens, limit or tokens) * embedder.facts.dimension * 4
        if together and taken + own > STATES_BYTES:
            yield from embedder.token_states(together)
            together, taken = [], 0
        together.append(text)
        taken += own
    yield from embedder.token_states(together)


def _table(table: Table, rows: list[tuple[Any, ...]]) -> pa.Table:
    columns = list(zip(*rows, strict=True)) or [()] * len(table.schema)
    return pa.table([pa.array(list(one), field.type) for one, field in zip(columns, table.schema, strict=True)],
                    schema=table.schema)  # fmt: skip


def _join_words(generation: Generation, n_parts: int) -> int:
    """Write the words of all texts and return how many there are."""
    n_words = 0

    def batches() -> Iterator[pa.RecordBatch]:
        nonlocal n_words
        for number in range(n_parts):
            held = pq.read_table(_part_files(generation, number)[0])
            n_words += pc.sum(pc.list_value_length(held["starts"])).as_py() or 0
            yield from held.to_batches()

    files.write_parquet(generation.file(TEXT_WORDS), batches(), TEXT_WORDS.schema, ROW_GROUP)
    return n_words


def _join_contributions(generation: Generation, wanted: _Wanted) -> float:
    """Write the rows of all parts by feature; return the largest |Σ parts + special + constant − pre-activation|."""
    largest = 0.0

    def batches() -> Iterator[pa.RecordBatch]:
        nonlocal largest
        for first in range(0, int(wanted.feature_ids.max(initial=-1)) + 1, FEATURES_AT_ONCE):
            own = (pc.field("feature_id") >= first) & (pc.field("feature_id") < first + FEATURES_AT_ONCE)
            held = pa.concat_tables(
                pq.read_table(_part_files(generation, number)[1], filters=own) for number in range(wanted.n_parts)
            )
            held = held.sort_by([("feature_id", "ascending"), ("text_id", "ascending")]).combine_chunks()
            largest = max(largest, _largest_difference(held))
            yield from held.to_batches()

    files.write_parquet(generation.file(ATTRIBUTIONS), batches(), ATTRIBUTIONS.schema, ROW_GROUP)
    return largest


def _largest_difference(rows: pa.Table) -> float:
    if not len(rows):
        return 0.0
    lists = rows["parts"].combine_chunks()
    lists = lists.chunk(0) if isinstance(lists, pa.ChunkedArray) else lists
    of_row = np.repeat(np.arange(len(rows)), lists.value_lengths().to_numpy())
    total = np.bincount(of_row, lists.flatten().to_numpy(), minlength=len(rows))
    special, constant, whole = (rows[name].to_numpy() for name in ("special", "constant", "pre_activation"))
    return float(np.abs(total + special + constant - whole).max())
