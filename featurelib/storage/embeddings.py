"""A run's embeddings, read from their part files: whole parts in order, or shuffled batches of some of their rows."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from functools import cached_property

import numpy as np
import pyarrow as pa

from featurelib.schema import EMBEDDINGS, Refusal
from featurelib.storage.parts.part_files import Part, count_rows, read_part, read_part_schema
from featurelib.storage.runs import Generation

BUFFER_BYTES = 1_500_000_000
"""How much memory shuffled embeddings may take as float32. A corpus that fits (a million texts of dimension 384) is
read once and shuffled as a whole; a larger one is read in groups of parts, drawn at random in each epoch."""


def read_embeddings(part: Part, kind: np.dtype | type = np.float32) -> np.ndarray:
    """Return the embeddings in a part file, `kind` [n, d]; Refusal names the first text that is not finite."""
    column = read_part(part, ["embedding"])["embedding"].combine_chunks()
    if isinstance(column, pa.ChunkedArray):
        column = column.chunk(0)
    rows: np.ndarray = column.flatten().to_numpy(zero_copy_only=False).astype(kind).reshape(len(column), -1)
    wrong = ~np.isfinite(rows).all(axis=1)
    if wrong.any():
        first = read_part(part, ["text_id"])["text_id"][int(wrong.argmax())].as_py()
        raise Refusal(
            f"{int(wrong.sum())} embeddings of {part.name} hold NaN or infinite values, the first that of text {first};"
            " mend the embeddings and build again."
        )
    return rows


def read_embeddings_of(generation: Generation, text_ids: np.ndarray) -> np.ndarray:
    """Return the embeddings of the texts with these ids, which ascend, float32 [n, d]; one part is held beside them.

    Refusal when a text has no embedding, or one that is not finite.
    """
    parts = generation.parts(EMBEDDINGS)
    embeddings = np.empty((len(text_ids), _dimension(parts[0]) if parts else 0), np.float32)
    start = filled = 0
    for part in parts:
        end = start + count_rows(part)
        inside = text_ids[np.searchsorted(text_ids, start) : np.searchsorted(text_ids, end)] - start
        if len(inside):
            embeddings[filled : filled + len(inside)] = read_embeddings(part)[inside]
        start, filled = end, filled + len(inside)
    if filled != len(text_ids):
        raise Refusal(f"{filled:,} of {len(text_ids):,} texts have an embedding; all are expected: embed them again.")
    return embeddings


def stored_kind(part: Part) -> np.dtype:
    """Return the type of one embedding in a part file: d numbers, such as float16."""
    kind = read_part_schema(part).field("embedding").type
    return np.dtype((kind.value_type.to_pandas_dtype(), (kind.list_size,)))


def _dimension(part: Part) -> int:
    return int(read_part_schema(part).field("embedding").type.list_size)


@dataclass(frozen=True)
class EmbeddingParts:
    """The embeddings in some part files, those of the texts in `mask`."""

    parts: tuple[Part, ...]
    """The part files, in the order of text_id."""
    mask: np.ndarray
    """Which texts are read, bool [n_texts]."""
    buffer_bytes: int = BUFFER_BYTES
    """How much memory a group of parts may take as float32."""

    @property
    def n(self) -> int:
        """The number of texts that are read."""
        return int(self.mask.sum())

    @cached_property
    def d(self) -> int:
        """The dimension of the embeddings."""
        return _dimension(self.parts[0])

    @cached_property
    def _starts(self) -> np.ndarray:
        starts: np.ndarray = np.cumsum([0, *(count_rows(part) for part in self.parts)])
        return starts

    def _mask_of(self, number: int) -> np.ndarray:
        return np.asarray(self.mask[self._starts[number] : self._starts[number + 1]])

    def read(self, number: int) -> np.ndarray:
        """Return the embeddings of one part file, float32 [n, d]."""
        return np.asarray(read_embeddings(self.parts[number])[self._mask_of(number)])

    def in_order(self) -> Iterator[np.ndarray]:
        """Yield the embeddings part by part, float32 [n, d]; from memory once `batches` has read them all."""
        loaded = "_whole" in self.__dict__
        for number in range(len(self.parts)):
            yield self._whole[slice(*self._span(number))] if loaded else self.read(number)

    def _span(self, number: int) -> tuple[int, int]:
        before = int(self.mask[: self._starts[number]].sum())
        return before, before + int(self._mask_of(number).sum())

    @property
    def _fits(self) -> bool:
        return self.n * self.d * 4 <= self.buffer_bytes

    @cached_property
    def _whole(self) -> np.ndarray:
        return np.concatenate([self.read(number) for number in range(len(self.parts))])

    def batches(self, size: int, *, seed: int, start: int = 0) -> Iterator[np.ndarray]:
        """Yield shuffled batches, float32 [size, d], epoch after epoch without end, from batch number `start` on.

        The order depends on the seed and the part files only, so a stream that starts at batch `start` goes on exactly
        where another stopped. Texts that do not fill a batch are left out of that epoch.
        """
        epoch = 0
        while True:
            for group in self._groups(np.random.default_rng([seed, epoch])):
                rows = sum(int(self._mask_of(number).sum()) for number in group)
                count = rows // size
                if start >= count:
                    start -= count
                    continue
                embeddings = self._whole if self._fits else np.concatenate([self.read(number) for number in group])
                order = np.random.default_rng([seed, epoch, group[0]]).permutation(rows)
                for batch in range(start, count):
                    yield embeddings[order[batch * size : (batch + 1) * size]]
                start = 0
            epoch += 1

    def _groups(self, draw: np.random.Generator) -> list[list[int]]:
        """Split the parts, in random order, into groups that fit the buffer."""
        if self._fits:
            return [list(range(len(self.parts)))]
        largest = int(np.diff(self._starts).max()) * self.d * 4
        per_group = max(1, self.buffer_bytes // largest)
        order = draw.permutation(len(self.parts)).tolist()
        return [order[first : first + per_group] for first in range(0, len(order), per_group)]
