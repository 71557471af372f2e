"""What each token brings to its text's embedding, kept from the first pass of the embedder until words are attributed.

A feature's top texts are known only when its SAE is, and by then the embedder has read every text already. So the stage
embed leaves the shares of all tokens (`featurelib.embedder.TokenStates`) under work/token_shares, where the disk has
room, and the stage attributions reads those of the top texts and removes the folder.

A share is stored in three bytes as a multiple of a step that each text has for each dimension, its largest share over
eight million: the differences of rounded partial sums, so that no error adds up. Two bytes would move attributions of
abstracts by 9e-6, three move them by less than float32 does.
"""

from __future__ import annotations

import shutil
from bisect import bisect_right
from collections.abc import Sequence
from functools import cached_property, lru_cache
from pathlib import Path
from typing import NamedTuple

import numpy as np

from featurelib.storage import files
from featurelib.storage.runs import Generation

FOLDER = "token_shares"
"""The folder among the work in progress."""
LEVELS = 8_000_000
"""Steps in the largest share: a difference of two rounded sums is a step larger at most; three bytes hold 8,388,607."""
MOST_BYTES = 20_000_000_000
"""More than this is not kept."""
MOST_PART_BYTES = 300_000_000
"""A part lies in memory before it is written."""
SHARE_OF_DISK = 0.5
"""The part of the free disk that may be taken."""
LEVEL_BYTES = 3


class Stepped(NamedTuple):
    """The shares of one text in steps."""

    levels: np.ndarray
    """uint8 [n_tokens, d, 3]: whole numbers, the lowest byte first."""
    steps: np.ndarray
    """float32 [d]: what a level is worth in each dimension."""
    offset: np.ndarray
    """float32 [d]: what no token brings, which may be much larger and is kept as it is."""


def stepped(shares: np.ndarray) -> Stepped:
    """Round float32 shares [n_tokens + 1, d], of which the last row is the offset, to steps of each dimension."""
    shares, offset = shares[:-1], shares[-1]
    largest = np.abs(shares).max(axis=0, initial=0.0)
    steps = np.maximum(largest / LEVELS, np.finfo(np.float32).tiny).astype(np.float32)
    with np.errstate(invalid="ignore"):  # embeddings that are not finite are refused by whoever stores them
        sums = np.rint(np.cumsum(shares, axis=0, dtype=np.float64) / steps)
        levels = np.diff(sums, axis=0, prepend=0.0).astype("<i4")
    return Stepped(np.ascontiguousarray(_bytes(levels)[..., :LEVEL_BYTES]), steps, offset)


def from_steps(text: Stepped) -> np.ndarray:
    """Return the shares and the offset again, float32 [n_tokens + 1, d]."""
    levels = np.zeros(text.levels.shape[:2], "<i4")
    _bytes(levels)[..., -LEVEL_BYTES:] = text.levels
    # a level is in the upper three of four bytes, so that its sign is the number's
    return np.vstack([(levels >> 8).astype(np.float32) * text.steps, text.offset])


def _bytes(levels: np.ndarray) -> np.ndarray:
    """The bytes of int32 levels [n, d] as uint8 [n, d, 4], in the same memory."""
    return levels.view(np.uint8).reshape(*levels.shape, 4)


def room_for(folder: Path, tokens_per_text: float, dimension: int, n_texts: int, texts_per_part: int) -> bool:
    """Whether the shares of so many texts are few enough to be kept, and the disk of `folder` has room for them."""
    bytes_per_text = (tokens_per_text + 1) * dimension * LEVEL_BYTES
    most = min(MOST_BYTES, SHARE_OF_DISK * shutil.disk_usage(folder).free)
    return bytes_per_text * n_texts <= most and bytes_per_text * min(n_texts, texts_per_part) <= MOST_PART_BYTES


class _Part(NamedTuple):
    number: int
    first: int
    n_texts: int


class KeptShares:
    """The kept shares of a generation's texts, in parts as its embeddings are."""

    def __init__(self, generation: Generation) -> None:
        self._folder = generation.work(FOLDER)
        self._open = lru_cache(maxsize=1)(self._open_part)

    def write(self, number: int, first_text: int, texts: Sequence[Stepped]) -> None:
        """Write the shares of the texts of part `number`, whose text_ids begin at `first_text`."""

        def write_levels(aside: Path) -> None:
            with aside.open("wb") as opened:
                for text in texts:
                    opened.write(text.levels.data)

        files.write_aside(self._levels(number), write_levels)
        sizes = np.array([len(text.levels) for text in texts], np.int64)
        columns = {name: np.stack([getattr(text, name) for text in texts]) for name in ("steps", "offset")}
        # last, because a part counts as whole when this is there
        files.write_arrays(self._steps(number), first=np.array(first_text), sizes=sizes, **columns)

    def read(self, text_id: int) -> np.ndarray | None:
        """Return the shares of a text and, last, what no token brings, float32 [n_tokens + 1, d]; None if not kept."""
        at = bisect_right(self._parts, text_id, key=lambda part: part.first) - 1
        if at < 0 or text_id >= self._parts[at].first + self._parts[at].n_texts:
            return None
        levels, starts, steps, offsets = self._open(self._parts[at].number)
        row = text_id - self._parts[at].first
        return from_steps(Stepped(levels[starts[row] : starts[row + 1]], steps[row], offsets[row]))

    def remove(self) -> None:
        """Remove all of them."""
        self._open.cache_clear()
        files.remove(self._folder)

    @cached_property
    def _parts(self) -> list[_Part]:
        """The parts that are whole, ascending."""
        parts = []
        for path in sorted(self._folder.glob("*.npz")):
            with np.load(path) as arrays:
                parts.append(_Part(int(path.stem), int(arrays["first"]), len(arrays["sizes"])))
        return parts

    def _open_part(self, number: int) -> tuple[np.ndarray, np.ndarray, np.ndarray, np.ndarray]:
        """The levels of a part (mapped), where each text begins in them, and the texts' steps and offsets."""
        with np.load(self._steps(number)) as arrays:
            sizes, steps, offsets = arrays["sizes"], arrays["steps"], arrays["offset"]
        shape = int(sizes.sum()), steps.shape[1], LEVEL_BYTES
        levels = np.memmap(self._levels(number), np.uint8, "r", shape=shape)
        return levels, np.concatenate([[0], np.cumsum(sizes)]), steps, offsets

    def _levels(self, number: int) -> Path:
        return self._folder / f"{number:05d}.levels"

    def _steps(self, number: int) -> Path:
        return self._folder / f"{number:05d}.npz"
