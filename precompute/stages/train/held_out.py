"""Which texts an SAE is trained on and which are held out."""

from __future__ import annotations

import hashlib
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq

from featurelib.schema import SAE_SPLIT, TEXTS
from featurelib.storage.runs import Generation

HELD_OUT_SHARE = 0.1
MAX_HELD_OUT = 10_000
MAX_JUDGED = 50_000
SET_ASIDE_SHARE = 0.05
MAX_SET_ASIDE = 5_000
TRAINED_HERE = "trained here"


def first_rows(generation: Generation) -> np.ndarray:
    """Return for each text the text_id of the first text with the same words, int64 [n_texts]: its own where new."""
    with pq.ParquetFile(generation.file(TEXTS)) as opened:
        hashes = [_hash(text) for batch in opened.iter_batches(columns=["text"]) for text in batch["text"].to_pylist()]
    _, first, inverse = np.unique(np.array(hashes), return_index=True, return_inverse=True)
    return first[inverse]


def draw_held_out(first_rows: np.ndarray, seed: int) -> np.ndarray:
    """Return which texts are held out, bool [n_texts]: a tenth, at least 1 and at most 10,000, drawn by seed.

    Copies of a text (see `first_rows`) are drawn together, so that the SAE is trained on no copy of a held-out text.
    """
    distinct = np.unique(first_rows)
    count = min(MAX_HELD_OUT, max(1, round(HELD_OUT_SHARE * len(distinct))))
    drawn = np.random.default_rng([seed, 0]).choice(len(distinct), count, replace=False)
    return np.isin(first_rows, distinct[drawn])


def draw_set_aside(first_rows: np.ndarray, held_out: np.ndarray, seed: int) -> np.ndarray:
    """Return which training texts decide when training stops, bool [n_texts]: a twentieth, from 1 to 5,000.

    No step learns from them. The held-out texts have no say in it, because an FVU that has chosen the weights would no
    longer be a fair measure. Copies of a text are drawn together.
    """
    distinct = np.unique(first_rows[~held_out])
    count = min(MAX_SET_ASIDE, max(1, round(SET_ASIDE_SHARE * len(distinct))))
    drawn = np.random.default_rng([seed, 3]).choice(len(distinct), min(count, len(distinct)), replace=False)
    return np.isin(first_rows, distinct[drawn])


def draw_judged(among: np.ndarray) -> np.ndarray:
    """Return which of some texts an SAE is judged on, bool [n_texts]: all, or MAX_JUDGED of them at even distances.

    L0 and FVU of so many are known to a hundredth of themselves, which is all that a warning asks for; the stage encode
    measures all texts anyway. A feature that fires on fewer than one text in so many may count as dead here.
    """
    text_ids = np.flatnonzero(among)
    if len(text_ids) > MAX_JUDGED:
        text_ids = text_ids[np.arange(MAX_JUDGED) * len(text_ids) // MAX_JUDGED]
    judged = np.zeros_like(among)
    judged[text_ids] = True
    return judged


def split_of_source(generation: Generation, source: Path, n_texts: int) -> np.ndarray:
    """Return "train" for the texts that the SAE of the run in `source` was trained on, "held_out" for the others.

    Two texts are the same when they have the same words, or the same source_id where both runs have an id column.
    Where the SAE does not come from a run that trained it, a text that it is not known to have seen is "unknown".
    """
    origin = Generation(source)
    done = origin.done("train") if origin.path.is_dir() else None
    if done is None or not origin.file(SAE_SPLIT).is_file() or not origin.file(TEXTS).is_file():
        return np.full(n_texts, "unknown", dtype="<U8")
    trained = pq.read_table(origin.file(SAE_SPLIT))["sae_split"].to_numpy(zero_copy_only=False) == "train"
    by_id = _has_ids(generation) and _has_ids(origin)
    rest = "held_out" if done.facts.get("source") == TRAINED_HERE else "unknown"
    seen = np.zeros(n_texts, bool)
    for own, known in zip(_keys(generation, by_id), _keys(origin, by_id, trained), strict=True):
        trained_on = set(known)
        seen |= np.array([key in trained_on for key in own])
    return np.where(seen, "train", rest)


def _has_ids(generation: Generation) -> bool:
    done = generation.done("ingest")
    return bool(done and (done.facts.get("columns") or {}).get("id"))


def _keys(generation: Generation, by_id: bool, chosen: np.ndarray | None = None) -> list[list[bytes]]:
    """Return lists of hashes by which texts are recognised: of their words and, with `by_id`, of their source_id."""
    names = ["text", "source_id"] if by_id else ["text"]
    table = pq.read_table(generation.file(TEXTS), columns=names)
    if chosen is not None:
        table = table.filter(pa.array(chosen))
    return [[_hash(value or "") for value in table[name].to_pylist()] for name in names]


def _hash(value: str) -> bytes:
    return hashlib.blake2b(value.encode(), digest_size=8).digest()
