"""Embeddings that exist already, in a file: FILE.npy, or FILE.parquet:COLUMN."""

from __future__ import annotations

import os
import tokenize
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq

from featurelib.schema import Refusal
from featurelib.storage import files

PRECOMPUTED = "precomputed"
BATCH_ROWS = 4096
MOST_NAMED = 12
"""Columns that an error names."""
_FORM = "give --embeddings FILE.npy or FILE.parquet:COLUMN"


@dataclass(frozen=True)
class Precomputed:
    """A matrix of embeddings in a file."""

    path: Path
    """The file."""
    column: str | None
    """The Parquet column; None for npy."""
    matrix: np.ndarray
    """[n, d], mapped from disk, of the file's own float type."""

    def rows(self, numbers: np.ndarray) -> np.ndarray:
        """Float32 [len(numbers), d]: the rows of these numbers."""
        with np.errstate(over="ignore"):
            return np.asarray(self.matrix[numbers], dtype=np.float32)

    def matched_by(self, n_texts: int, n_source_rows: int, sampled: bool) -> str:
        """Return "text_id" if there is one row per kept text, "source_row" if there is one per row of the source.

        Of a sampled source only the first `n_source_rows` rows were read. A file with more rows fits only if each of
        these rows became a text. Raises Refusal when neither fits.
        """
        n_rows = len(self.matrix)
        if n_rows == n_texts:
            return "text_id"
        if n_rows == n_source_rows or (sampled and n_rows > n_source_rows == n_texts):
            return "source_row"
        if sampled and n_rows > n_source_rows:
            raise Refusal(
                f"{self.path.name} has {n_rows:,} rows, and of the first {n_source_rows:,} rows of the source "
                f"{n_source_rows - n_texts:,} are no texts, so it cannot be told which embedding is whose; "
                "give embeddings of the sample alone, or leave --sample out."
            )
        if self.matrix.shape[1] in (n_texts, n_source_rows):
            raise Refusal(
                f"{self.path.name} has {n_rows:,} rows of {self.matrix.shape[1]:,} numbers, and there are "
                f"{self.matrix.shape[1]:,} texts: it looks transposed; save it again as matrix.T."
            )
        source = f" or {n_source_rows:,} (the rows of the source)" if n_source_rows != n_texts else ""
        raise Refusal(
            f"{self.path.name} has {n_rows:,} rows; {n_texts:,} (the texts kept){source} are expected: "
            "give embeddings of these very texts, in their order."
        )

    def facts(self, by: str) -> dict[str, Any]:
        """Where the embeddings come from, under the names that an embedder's facts have; None where unknown."""
        return {
            "name": self.path.name,
            "origin": PRECOMPUTED,
            "revision": None,
            "weights_sha256": None,
            "prompt": None,
            "pooling": None,
            "normalize": None,
            "max_seq_length": None,
            "dimension": int(self.matrix.shape[1]),
            "file_sha256": files.sha256_file(self.path),
            "column": self.column,
            "matched_by": by,
        }


def precomputed_identity(name: str) -> dict[str, Any]:
    """Return the file's sha256 and its column; Refusal when the file or the column does not exist."""
    path, column = _place(name)
    return {"sha256": files.sha256_file(path), "column": column}


def precomputed_dimension(name: str) -> int:
    """Return the dimension of the embeddings, read from the first row; Refusal as for `open_precomputed`."""
    path, column = _place(name)
    if column is None:
        return int(_checked(path, _from_npy(path)).shape[1])
    with pq.ParquetFile(path) as opened:
        first = next(opened.iter_batches(batch_size=1, columns=[column]), None)
    if first is None:
        raise _without_rows(path)
    return int(_matrix(first.column(0), path, column, 0).shape[1])


def open_precomputed(name: str, work: Path) -> Precomputed:
    """Open the embeddings; a Parquet column is first copied into a matrix in the folder `work`, batch by batch.

    Raises Refusal when they are not a two-dimensional matrix of real numbers.
    """
    path, column = _place(name)
    matrix = _from_parquet(path, column, work) if column is not None else _from_npy(path)
    return Precomputed(path, column, _checked(path, matrix))


def _checked(path: Path, matrix: np.ndarray) -> np.ndarray:
    if matrix.dtype == np.dtype("V2"):
        raise Refusal(
            f"{path.name} holds two bytes a number without saying how to read them, as numpy writes bfloat16; "
            "save it again from float32 (tensor.float().numpy())."
        )
    if matrix.ndim != 2 or matrix.dtype.kind != "f" or 0 in matrix.shape:
        raise Refusal(
            f"{path.name} holds {matrix.dtype} of shape {matrix.shape}; "
            "a matrix of floats [texts, dimensions] is expected."
        )
    return matrix


def _without_rows(path: Path) -> Refusal:
    return Refusal(f"{path.name} has no rows; one row for each text is expected.")


def _place(name: str) -> tuple[Path, str | None]:
    """The file and, for Parquet, its column; the file's own name may hold a ':'."""
    whole = Path(name)
    if whole.is_file():
        if whole.suffix == ".npy":
            return whole, None
        known = ", ".join(_columns(whole)) if whole.suffix == ".parquet" else ""
        raise Refusal(
            f"--embeddings {name} {f'names no column (there are {known})' if known else 'is not npy'}; {_FORM}."
        )
    file, _, column = name.rpartition(":")
    if not (file and column and Path(file).is_file()):
        raise Refusal(f"there is no file of embeddings {name}; {_FORM}.")
    path = Path(file)
    if path.suffix != ".parquet":
        raise Refusal(f"{path.name} is not a Parquet file, so it has no column '{column}'; {_FORM}.")
    if column not in _columns(path):
        raise Refusal(f"{path.name} has no column '{column}'; its columns are {_listed(_columns(path))}.")
    return path, column


def _listed(names: list[str]) -> str:
    return ", ".join(names[:MOST_NAMED]) + (f" and {len(names) - MOST_NAMED:,} more" * (len(names) > MOST_NAMED))


def _columns(path: Path) -> list[str]:
    try:
        return list(pq.read_schema(path).names)
    except (pa.ArrowInvalid, pa.ArrowTypeError) as error:
        raise Refusal(f"{path.name} is not a Parquet file that can be read; {_FORM}.") from error


def _from_npy(path: Path) -> np.ndarray:
    try:
        matrix = np.load(path, mmap_mode="r", allow_pickle=False)
    except (ValueError, EOFError, OverflowError, tokenize.TokenError) as error:  # the last two: a header that lies
        raise Refusal(
            f"{path.name} is not an npy file of numbers ({' '.join(str(error).split())[:100]}); "
            "save it with numpy.save(file, matrix), a float matrix [texts, dimensions]."
        ) from error
    if not isinstance(matrix, np.ndarray):
        matrix.close()
        raise Refusal(
            f"{path.name} is an npz archive under another name; save its matrix with numpy.save(file, matrix)."
        )
    return matrix


def _from_parquet(path: Path, column: str, work: Path) -> np.ndarray:
    copy = work / "given.npy"
    if not copy.is_file():
        files.write_aside(copy, lambda aside: _copy_column(path, column, aside))
    matrix: np.ndarray = np.load(copy, mmap_mode="r", allow_pickle=False)
    return matrix


def _copy_column(path: Path, column: str, target: Path) -> None:
    with pq.ParquetFile(path) as opened:
        n_rows, start = opened.metadata.num_rows, 0
        matrix: np.memmap | None = None
        for batch in opened.iter_batches(batch_size=BATCH_ROWS, columns=[column]):
            rows = _matrix(batch.column(0), path, column, start)
            if matrix is None:
                matrix = _new_matrix(target, n_rows, rows.shape[1])
            if rows.shape[1] != matrix.shape[1]:
                raise Refusal(
                    f"column {column} of {path.name} has {matrix.shape[1]} numbers in row 0 and {rows.shape[1]} in row "
                    f"{start}; the same number in every row is expected."
                )
            matrix[start : start + len(rows)] = rows
            start += len(rows)
        if matrix is None:
            raise _without_rows(path)
        matrix.flush()


def _new_matrix(target: Path, n_rows: int, d: int) -> np.memmap:
    """Map a new float32 matrix [n_rows, d], its disk space reserved: writing to a full disk would kill the process."""
    matrix = np.lib.format.open_memmap(target, "w+", np.float32, (n_rows, d))
    if hasattr(os, "posix_fallocate"):
        with target.open("rb+") as opened:
            os.posix_fallocate(opened.fileno(), 0, target.stat().st_size)
    return matrix


def _matrix(column: pa.Array, path: Path, name: str, start: int) -> np.ndarray:
    """Float32 [rows, d] from a column of lists of numbers that are all of one length."""
    lists = pa.types.is_list(column.type) or pa.types.is_large_list(column.type)
    if not (lists or pa.types.is_fixed_size_list(column.type)) or not pa.types.is_floating(column.type.value_type):
        raise Refusal(
            f"column {name} of {path.name} is {column.type}; lists of floats, one for each text, are expected."
        )
    if column.null_count:
        row = start + int(np.flatnonzero(column.is_null().to_numpy(zero_copy_only=False))[0])
        raise Refusal(f"column {name} of {path.name} is null in row {row}; an embedding in every row is expected.")
    lengths = np.unique(column.value_lengths().to_numpy(zero_copy_only=False)) if lists else [column.type.list_size]
    if len(lengths) != 1:
        raise Refusal(
            f"column {name} of {path.name} has rows of {lengths[0]} and of {lengths[-1]} numbers; one is expected."
        )
    values: np.ndarray = column.flatten().to_numpy(zero_copy_only=False)
    with np.errstate(over="ignore"):
        return values.astype(np.float32).reshape(len(column), int(lengths[0]))
