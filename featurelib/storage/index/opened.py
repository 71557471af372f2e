"""An index that is read: its rows, its arrays, and which columns are coded in it."""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property
from pathlib import Path

import numpy as np
import pyarrow as pa

from featurelib.storage.index.arrays import Arrays
from featurelib.storage.index.nearest_places import FILE, NearestPlaces
from featurelib.storage.index.rows import Rows
from featurelib.storage.index.token_arrays import TokenArrays
from featurelib.storage.index.whole import Stamp, stamp

ROWS_FILE = "rows.sqlite"
VALUES = "column_values"
"""The table of the values of coded columns: number, code, word, n_corpus (the texts that have it)."""
CODED = "coded_columns"
"""The table of the coded columns: number, name."""


@dataclass(frozen=True)
class CodedColumn:
    """A metadata column of which every text's values are stored as codes."""

    number: int
    """Its number among these columns."""
    values: list[str]
    """Its different values as text, in order: the code of the first is 1."""
    n_corpus: np.ndarray
    """How many texts have each, int64 [n_values]."""


@dataclass(frozen=True)
class Index:
    """One generation's index."""

    folder: Path
    stamp: Stamp | None
    """What tells it from another index that is put in its place."""

    @cached_property
    def rows(self) -> Rows:
        """Rows by their keys."""
        return Rows(self.folder / ROWS_FILE)

    @cached_property
    def arrays(self) -> Arrays:
        """Activations, codes and embeddings."""
        return Arrays(self.folder)

    @cached_property
    def tokens(self) -> TokenArrays:
        """Where tokens stand and what fires on them, in a token run."""
        return TokenArrays(self.folder)

    @cached_property
    def nearest(self) -> NearestPlaces | None:
        """Candidates for the nearest texts; None where the corpus is small, or Faiss was not installed."""
        path = self.folder / FILE
        return NearestPlaces(path) if path.is_file() else None

    @cached_property
    def coded(self) -> dict[str, CodedColumn]:
        """The coded columns by their names."""
        columns = self.rows.ask(f"select name, number from {CODED} order by number", {}, None).to_pylist()
        rows = self.rows.ask(f"select number, word, n_corpus from {VALUES} order by number, code", {}, None)
        numbers = rows["number"].to_numpy()
        coded = {}
        for column in columns:
            own = rows.filter(pa.array(numbers == column["number"]))
            coded[column["name"]] = CodedColumn(column["number"], own["word"].to_pylist(), own["n_corpus"].to_numpy())
        return coded


def opened(folder: Path) -> Index:
    """Open the index in a folder."""
    return Index(folder, stamp(folder))
