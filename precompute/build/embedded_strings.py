"""Strings that a stage embeds once each, in part files that outlive a kill."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from pathlib import Path

import numpy as np

from featurelib.labels.keybert import unit
from featurelib.storage import files
from precompute.build.job import Job

EmbedPart = Callable[[list[str], Callable[[int], None]], np.ndarray]
"""From strings, and a function that is told how many more are done, to their embeddings [n, d]."""


ROWS_BETWEEN = 8_192
"""Embeddings that are read before the part files are closed: with each one the system keeps up to 64 kB in memory."""


class EmbeddedStrings:
    """Distinct strings and their embeddings, which lie in part files of equal size."""

    def __init__(self, strings: Sequence[str], paths: Sequence[Path], strings_per_part: int) -> None:
        self.strings = strings
        self._row = {string: row for row, string in enumerate(strings)}
        self._paths, self._strings_per_part = paths, strings_per_part
        self._opened: dict[int, np.ndarray] = {}
        self._n_read = 0

    def __contains__(self, string: str) -> bool:
        """Whether the string was embedded."""
        return string in self._row

    def raw(self, strings: Sequence[str]) -> np.ndarray:
        """Return the embeddings of some of the strings as the embedder gave them, float32 [n, d]."""
        rows = np.fromiter((self._row[string] for string in strings), np.int64, len(strings))
        numbers, inside = np.divmod(rows, self._strings_per_part)
        vectors = np.empty((len(rows), self._part(0).shape[1] if self._paths else 0), np.float32)
        for number in np.unique(numbers).tolist():
            in_part = numbers == number
            vectors[in_part] = self._part(number)[inside[in_part]]
        self._n_read += len(rows)
        if self._n_read > ROWS_BETWEEN:
            self._opened, self._n_read = {}, 0
        return vectors

    def _part(self, number: int) -> np.ndarray:
        if number not in self._opened:
            self._opened[number] = np.load(self._paths[number], mmap_mode="r")
        return self._opened[number]

    def units(self, strings: Sequence[str]) -> np.ndarray:
        """Return the embeddings of some of the strings at length 1, float32 [n, d]."""
        return unit(self.raw(strings))


def embed_in_parts(
    job: Job, stage: str, name: str, strings: list[str], embed: EmbedPart, strings_per_part: int
) -> EmbeddedStrings:
    """Embed distinct strings in parts, which stay in the stage's work folder until it is done; a part is made once."""
    chunks = [strings[start : start + strings_per_part] for start in range(0, len(strings), strings_per_part)]
    paths = [job.generation.work(stage) / f"{name}-{number:05d}.npy" for number in range(len(chunks))]
    n_done = sum(len(chunk) for chunk, path in zip(chunks, paths, strict=True) if path.is_file())
    if n_done < len(strings):
        with job.progress(len(strings), name, n_done) as bar:
            for chunk, path in zip(chunks, paths, strict=True):
                if not path.is_file():
                    files.write_array(path, embed(chunk, bar.advance))
    return EmbeddedStrings(strings, paths, strings_per_part)
