"""Arrays of an index, mapped into memory: activations in both orders, the codes of metadata values, embeddings."""

from __future__ import annotations

import os
from collections.abc import Iterable
from functools import cached_property
from pathlib import Path

import numpy as np

from featurelib.schema import Refusal

FEATURE_OFFSETS, FEATURE_TEXTS, FEATURE_ACTIVATIONS = "feature_offsets", "feature_texts", "feature_activations"
TEXT_OFFSETS, TEXT_FEATURES, TEXT_ACTIVATIONS = "text_offsets", "text_features", "text_activations"
EMBEDDINGS = "embeddings"
LABEL_IDS, LABEL_VECTORS = "label_ids", "label_vectors"


def codes_name(number: int) -> str:
    """The file of the codes of a column's values; of a column of lists, `offsets_name` says which are whose."""
    return f"codes_{number}"


def offsets_name(number: int) -> str:
    """The file of where each text's codes begin, for a column of lists."""
    return f"codes_{number}_offsets"


class Arrays:
    """The arrays in an index's folder; each is mapped when it is first asked for."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self._columns: dict[str, np.ndarray | None] = {}

    def _mapped(self, name: str) -> np.ndarray:
        mapped: np.ndarray = np.load(self.folder / f"{name}.npy", mmap_mode="r", allow_pickle=False)
        return mapped

    @cached_property
    def _feature_offsets(self) -> np.ndarray:
        return np.array(self._mapped(FEATURE_OFFSETS))

    @cached_property
    def _feature_texts(self) -> np.ndarray:
        return self._mapped(FEATURE_TEXTS)

    @cached_property
    def _feature_activations(self) -> np.ndarray:
        return self._mapped(FEATURE_ACTIVATIONS)

    @cached_property
    def _text_offsets(self) -> np.ndarray:
        return self._mapped(TEXT_OFFSETS)

    @cached_property
    def _text_features(self) -> np.ndarray:
        return self._mapped(TEXT_FEATURES)

    @cached_property
    def _text_activations(self) -> np.ndarray:
        return self._mapped(TEXT_ACTIVATIONS)

    @cached_property
    def embeddings(self) -> np.ndarray | None:
        """The embeddings of all texts, [n_texts, d] in the type of the run's files; None where it has none."""
        return self._mapped(EMBEDDINGS) if (self.folder / f"{EMBEDDINGS}.npy").is_file() else None

    @cached_property
    def label_vectors(self) -> tuple[np.ndarray, np.ndarray] | None:
        """The features whose label says something, and the embeddings of their labels; None where the run has none."""
        if not (self.folder / f"{LABEL_VECTORS}.npy").is_file():
            return None
        return self._mapped(LABEL_IDS), self._mapped(LABEL_VECTORS)

    def n_active(self, feature_id: int) -> int:
        """The number of texts on which a feature fires; 0 for an id that no feature has."""
        if not 0 <= feature_id < len(self._feature_offsets) - 1:
            return 0
        return int(self._feature_offsets[feature_id + 1] - self._feature_offsets[feature_id])

    def of_feature(self, feature_id: int) -> tuple[np.ndarray, np.ndarray]:
        """The texts on which a feature fires, int32 [n], and its activations there, float32 [n], strongest first."""
        if not self.n_active(feature_id):
            return np.empty(0, np.int32), np.empty(0, np.float32)
        own = slice(int(self._feature_offsets[feature_id]), int(self._feature_offsets[feature_id + 1]))
        return self._feature_texts[own], self._feature_activations[own]

    def of_features(self, first: int, last: int) -> tuple[np.ndarray, np.ndarray]:
        """What `of_feature` gives for the features from `first` to before `last`, one after the other."""
        own = slice(int(self._feature_offsets[first]), int(self._feature_offsets[last]))
        return self._feature_texts[own], self._feature_activations[own]

    def of_texts(self, text_ids: np.ndarray) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
        """The features that fire on some texts: the place of the text in `text_ids`, the feature, its activation.

        Each int64, int32 and float32 [n]; those of a text stand together, the strongest first.
        """
        starts = np.asarray(self._text_offsets[text_ids])
        counts = np.asarray(self._text_offsets[np.asarray(text_ids) + 1]) - starts
        places = ragged(starts, counts)
        whose = np.repeat(np.arange(len(counts)), counts)
        return whose, self._text_features[places].astype(np.int32), np.asarray(self._text_activations[places])

    def codes(self, number: int, text_ids: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        """The metadata values of some texts in a column: the place of the text in `text_ids`, and the value's code.

        A text without a value has no row; of a column of lists, a text may have several.
        """
        codes, offsets = self._column(codes_name(number)), self._column(offsets_name(number))
        if codes is None:
            raise FileNotFoundError(codes_name(number))
        if offsets is None:
            own = np.asarray(codes[text_ids])
            places = np.flatnonzero(own)
            return places, own[places]
        starts = np.asarray(offsets[text_ids])
        counts = np.asarray(offsets[np.asarray(text_ids) + 1]) - starts
        return np.repeat(np.arange(len(counts)), counts), np.asarray(codes[ragged(starts, counts)])

    def _column(self, name: str) -> np.ndarray | None:
        if name not in self._columns:
            self._columns[name] = self._mapped(name) if (self.folder / f"{name}.npy").is_file() else None
        return self._columns[name]


def ragged(starts: np.ndarray, counts: np.ndarray) -> np.ndarray:
    """The places of runs of `counts` values that begin at `starts`, one after the other, int64 [Σ counts]."""
    ends = np.cumsum(counts)
    before = np.repeat(starts - (ends - counts), counts)
    places: np.ndarray = before + np.arange(int(ends[-1]) if len(ends) else 0)
    return places


class ArrayWriter:
    """Writes an array of known shape from pieces, so that it need not be held in memory.

    Not as a memory map: a disk that fills then ends the process instead of raising OSError.
    """

    def __init__(self, folder: Path, name: str, shape: tuple[int, ...], kind: np.dtype | type) -> None:
        self._kind = np.dtype(kind)
        self._file = (folder / f"{name}.npy").open("wb")
        header = {"descr": np.lib.format.dtype_to_descr(self._kind), "fortran_order": False, "shape": shape}
        np.lib.format.write_array_header_1_0(self._file, header)
        self._missing = int(np.prod(shape))

    def add(self, values: np.ndarray) -> None:
        """Write the next piece."""
        piece = np.ascontiguousarray(values, self._kind)
        self._file.write(piece.data)
        self._missing -= piece.size

    def close(self) -> None:
        """Write everything to the disk; Refusal when the array is not full."""
        self._file.flush()
        os.fsync(self._file.fileno())
        self._file.close()
        if self._missing:
            raise Refusal(
                f"{self._missing:,} values of {self._file.name} are missing: the run's tables do not fit together."
            )


def offsets_of(counts: Iterable[int] | np.ndarray) -> np.ndarray:
    """Where each run of values begins, and at the end where the last one ends, int64 [n + 1]."""
    offsets: np.ndarray = np.concatenate([[0], np.cumsum(np.asarray(counts, np.int64))]).astype(np.int64)
    return offsets
