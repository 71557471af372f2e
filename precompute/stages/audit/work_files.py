"""What the audit needs of texts again and again, in files under work/audit: embeddings, and segments of words.

Embeddings are those of the texts that some feature needs, in their own type, one after the other. Segments are the
codes that may be in enough texts to be boilerplate (`SeenOften` says which), so that every drawn text is split twice. A
range of features reads from both files what its own texts have, front to back.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import BinaryIO

import numpy as np

from featurelib.audit.boilerplate import SEGMENT_TEXTS
from featurelib.audit.seen_often import SeenOften
from featurelib.audit.shingles import visible
from featurelib.audit.word_codes import in_portions, read_words, segments_of
from featurelib.schema import EMBEDDINGS, Refusal
from featurelib.storage import files
from featurelib.storage.embeddings import read_embeddings, stored_kind
from featurelib.storage.index.arrays import offsets_of, ragged
from featurelib.storage.parts.part_files import count_rows
from featurelib.storage.runs import Generation
from featurelib.storage.texts import stream_texts
from precompute.build.job import Bar, Job

READ_BYTES = 16_000_000
"""Bytes of a work file that are read at a time."""


@dataclass(frozen=True)
class Shown:
    """The texts of a generation as its embedder read them."""

    generation: Generation
    cut: np.ndarray
    """As in Traits."""

    def stream(self, text_ids: np.ndarray) -> Iterator[list[str]]:
        """Yield the texts with these ids, which ascend, without what has no width, a batch at a time."""
        first = 0
        for texts in stream_texts(self.generation, text_ids):
            cuts = self.cut[text_ids[first : first + len(texts)]].tolist()
            yield [visible(text if cut < 0 else text[:cut]) for text, cut in zip(texts, cuts, strict=True)]
            first += len(texts)


@dataclass(frozen=True)
class WorkFile:
    """Values of each text in a file, one text after the other."""

    path: Path
    kind: np.dtype
    offsets: np.ndarray
    """Where each text's values begin, in values, int64 [n_texts + 1]."""

    @property
    def n_bytes(self) -> np.ndarray:
        """The bytes of each text, int64 [n_texts]."""
        return np.diff(self.offsets) * self.kind.itemsize

    def read(self, text_ids: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        """Return the values of texts, whose ids ascend, and where those of each begin, int64 [n + 1]."""
        starts = self.offsets[text_ids]
        counts = self.offsets[text_ids + 1] - starts
        offsets = offsets_of(counts)
        values = np.empty(int(offsets[-1]), self.kind)
        first = 0
        with self.path.open("rb") as opened:
            while first < len(starts):
                last = int(np.searchsorted(starts, starts[first] + READ_BYTES // self.kind.itemsize, side="right"))
                whole = slice(first, max(last, first + 1))
                values[offsets[first] : offsets[whole.stop]] = self._piece(opened, starts[whole], counts[whole])
                first = whole.stop
        return values, offsets

    def _piece(self, opened: BinaryIO, starts: np.ndarray, counts: np.ndarray) -> np.ndarray:
        opened.seek(int(starts[0]) * self.kind.itemsize)
        piece = np.fromfile(opened, self.kind, int(starts[-1] + counts[-1] - starts[0]))
        return np.asarray(piece[ragged(starts - starts[0], counts)])


def write_embeddings(job: Job, needed: np.ndarray) -> WorkFile:
    """Write the embeddings of the texts in `needed`, bool [n_texts], unless they are there; a value is an embedding.

    Refusal when a text has none.
    """
    path, parts = job.generation.work("audit") / "embeddings.rows", job.generation.parts(EMBEDDINGS)
    n_rows = sum(count_rows(part) for part in parts)
    if n_rows != len(needed) or not parts:
        raise Refusal(f"{n_rows:,} of {len(needed):,} texts have an embedding; all are expected: embed them again.")
    kind = stored_kind(parts[0])

    def write(aside: Path) -> None:
        start = 0
        with aside.open("wb") as opened, job.progress(len(needed), "embeddings") as bar:
            for part in parts:
                rows = read_embeddings(part, kind.base)
                opened.write(np.ascontiguousarray(rows[needed[start : start + len(rows)]]).data)
                start += len(rows)
                bar.advance(len(rows))

    if not path.is_file():
        files.write_aside(path, write)
    return WorkFile(path, kind, offsets_of(needed))


def write_segments(job: Job, shown: Shown, needed: np.ndarray) -> WorkFile:
    """Write the segments of the texts in `needed`, bool [n_texts], unless they are there: of each text ascending.

    Segments that are surely in fewer than SEGMENT_TEXTS of these texts are left out.
    """
    folder, text_ids = job.generation.work("audit"), np.flatnonzero(needed)
    path, counted = folder / "segments.codes", folder / "segments.npy"
    counts = np.zeros(len(needed), np.int64)
    often = SeenOften(SEGMENT_TEXTS)

    def write(aside: Path, bar: Bar) -> None:
        with aside.open("wb") as opened:
            for codes, whose in _segments(shown, text_ids, bar):
                codes, whose = _different(codes, whose, often)
                np.add.at(counts, whose, 1)
                opened.write(codes.data)

    if not counted.is_file():
        with job.progress(2 * len(text_ids), "texts split") as bar:
            for codes, _ in _segments(shown, text_ids, bar):
                often.add(codes)
            files.write_aside(path, lambda aside: write(aside, bar))
        files.write_array(counted, counts)
    return WorkFile(path, np.dtype(np.uint64), offsets_of(np.load(counted)))


def _segments(shown: Shown, text_ids: np.ndarray, bar: Bar) -> Iterator[tuple[np.ndarray, np.ndarray]]:
    """Yield the segments of texts, some texts at a time, and the ids of their texts."""
    start = 0
    for texts in shown.stream(text_ids):
        for first, portion in in_portions(texts):
            codes, whose = segments_of(read_words(portion))
            yield codes, text_ids[start + first + whose]
            bar.advance(len(portion))
        start += len(texts)


def _different(codes: np.ndarray, whose: np.ndarray, often: SeenOften) -> tuple[np.ndarray, np.ndarray]:
    """The segments that may be often enough, by text, ascending, each once."""
    kept = often.has(codes)
    codes, whose = codes[kept], whose[kept]
    order = np.lexsort((codes, whose))
    codes, whose = codes[order], whose[order]
    first = np.ones(len(codes), bool)
    first[1:] = (codes[1:] != codes[:-1]) | (whose[1:] != whose[:-1])
    return codes[first], whose[first]
