"""What the audit knows of every text: its length, whether it was cut, its language, and which texts are the same."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq

from featurelib.audit.copies import exact_groups, same_text
from featurelib.audit.scripts import language_column, main_script
from featurelib.schema import TEXT_SUMMARIES, TEXTS
from featurelib.storage import files
from precompute.build.job import Job

MOST_VALUES = 200
"""Languages that are told apart; the texts of rarer ones count as of none."""


@dataclass(frozen=True)
class Traits:
    """What is known of each text: arrays [n_texts]."""

    lengths: np.ndarray
    """int64."""
    unit: str
    """What lengths count: tokens, or characters where the tokens are not known."""
    truncated: np.ndarray | None
    """Whether the embedder cut it, bool; None where that is not known."""
    characters: np.ndarray
    """int64."""
    cut: np.ndarray
    """The character at which the embedder stopped reading, int64; −1 where it read all or that is not known."""
    kind: str
    """What `values` are: language or script."""
    column: str | None
    """The corpus's column that names the language, None where it has none."""
    values: np.ndarray
    """The language's or script's number in `names`, −1 for none, int32."""
    names: list[str]
    """Languages or scripts, the commonest first."""
    exact: np.ndarray
    """The smallest text_id with the same words, int64."""


def read_traits(job: Job) -> Traits:
    """Read every text once; the results are kept under work/audit."""
    generation = job.generation
    own = pq.read_schema(generation.need(TEXTS)).names
    column = language_column([name for name in own if name not in TEXTS.schema.names])
    codes, characters, values, names = _read(job, column)
    if column is not None and not names:
        column = None
        codes, characters, values, names = _read(job, None)
    about = pq.read_table(generation.need(TEXT_SUMMARIES), columns=["n_tokens", "truncated", "cut"])
    tokens_known = not about["n_tokens"].null_count
    return Traits(
        about["n_tokens"].to_numpy().astype(np.int64) if tokens_known else characters,
        "tokens" if tokens_known else "characters",
        None if about["truncated"].null_count else about["truncated"].to_numpy().astype(bool),
        characters,
        about["cut"].fill_null(-1).to_numpy().astype(np.int64),
        "script" if column is None else "language",
        column,
        values,
        names,
        exact_groups(codes),
    )


def _read(job: Job, column: str | None) -> tuple[np.ndarray, np.ndarray, np.ndarray, list[str]]:
    """Return a code of each text's words, its characters, its language's or script's number, and their names."""
    path = job.generation.work("audit") / ("texts.npz" if column is not None else "texts-by-script.npz")
    if not path.is_file():
        files.write_arrays(path, **_read_texts(job, column))
    with np.load(path) as arrays:
        names = [] if not arrays["n_names"] else "".join(map(chr, arrays["names"])).split("\0")
        return arrays["codes"], arrays["characters"], arrays["values"], names


def _read_texts(job: Job, column: str | None) -> dict[str, np.ndarray]:
    path = job.generation.need(TEXTS)
    n_texts = pq.read_metadata(path).num_rows
    codes, characters = np.empty(n_texts, np.uint64), np.empty(n_texts, np.int64)
    spoken = np.empty(n_texts, np.int32)
    met: dict[str, int] = {}
    first = 0
    with job.progress(n_texts, "texts") as bar, pq.ParquetFile(path) as opened:
        for batch in opened.iter_batches(batch_size=4096, columns=["text", *([column] if column else [])]):
            texts = batch["text"].to_pylist()
            here = slice(first, first + len(texts))
            codes[here] = list(map(same_text, texts))
            characters[here] = list(map(len, texts))
            names_here = _languages(batch[column]) if column else list(map(main_script, texts))
            spoken[here] = [-1 if name is None else met.setdefault(name, len(met)) for name in names_here]
            bar.advance(len(texts))
            first += len(texts)
    values, names = _commonest(spoken, list(met))
    return {
        "codes": codes,
        "characters": characters,
        "values": values,
        # As numbers: an array of strings would lose zeros at their ends and need pickle.
        "names": np.array([ord(letter) for letter in "\0".join(names)], np.uint32),
        "n_names": np.array(len(names)),
    }


def _commonest(spoken: np.ndarray, met: list[str]) -> tuple[np.ndarray, list[str]]:
    """The number of each text's name among the commonest, int32, and these names; `spoken` numbers them in `met`."""
    counts = np.bincount(spoken[spoken >= 0], minlength=len(met)).tolist()
    order = sorted(range(len(met)), key=lambda number: (-counts[number], met[number]))[:MOST_VALUES]
    places = np.full(len(met) + 1, -1, np.int32)  # the last one is that of no name, -1
    places[order] = np.arange(len(order), dtype=np.int32)
    return places[spoken], [met[number] for number in order]


def _languages(values: pa.Array) -> list[str | None]:
    """Languages as text, without those that are empty; a list of them has no language of its own."""
    if pa.types.is_nested(values.type):
        return [None] * len(values)
    return [
        None if value is None or not str(value).strip("\0 ") else str(value).replace("\0", "")
        for value in values.to_pylist()
    ]
