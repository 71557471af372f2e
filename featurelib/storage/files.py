"""Files that are whole or absent: written aside, synced, renamed.

Ground floor: it knows paths and bytes, not what they mean.
"""

from __future__ import annotations

import contextlib
import hashlib
import io
import json
import os
import shutil
import uuid
from collections.abc import Callable, Iterable, Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq

from featurelib.schema import Refusal

ASIDE = ".aside"
"""The suffix of a file that is still being written; nobody reads such a file."""
_mark = ""
"""What tells the files that this process is still writing from those of others; empty where it is the only one."""


def write_apart() -> None:
    """Let this process write its .aside files under names of its own, because others may write the same files.

    That happens when a worker counts as dead but is not. Such files stay behind if the process is killed.
    """
    global _mark
    _mark = f".{uuid.uuid4().hex[:8]}"


def sync_folder(folder: Path) -> None:
    """Make the names in `folder` durable where the system can do so (Windows cannot open a folder)."""
    if os.name == "nt":
        return
    opened = os.open(folder, os.O_RDONLY)
    try:
        os.fsync(opened)
    finally:
        os.close(opened)


def write_aside(path: Path, write: Callable[[Path], object]) -> None:
    """Let `write` fill a file beside `path`, then put it in its place in one step.

    A crash at any moment leaves either the old file, or the new one, or an .aside file that the next write replaces.
    """
    path.parent.mkdir(parents=True, exist_ok=True)
    aside = path.with_name(path.name + _mark + ASIDE)
    try:
        write(aside)
        with aside.open("rb+") as opened:
            os.fsync(opened.fileno())
        os.replace(aside, path)
    except BaseException:
        aside.unlink(missing_ok=True)
        raise
    sync_folder(path.parent)


@contextlib.contextmanager
def new_folder(folder: Path) -> Iterator[Path]:
    """Give a folder beside `folder` to write in; what is in it moves there when the block ends without an error.

    Raises Refusal when `folder` holds something already.
    """
    folder = folder.absolute()
    if folder.exists() and (not folder.is_dir() or any(folder.iterdir())):
        raise Refusal(f"'{folder}' is there already and is not overwritten; give a folder that is new or empty.")
    aside = folder.with_name(folder.name + ASIDE)
    remove(aside)
    try:
        aside.mkdir(parents=True)
        yield aside
        folder.mkdir(parents=True, exist_ok=True)
        for path in aside.iterdir():
            os.replace(path, folder / path.name)
    finally:
        remove(aside)


def write_text(path: Path, text: str) -> None:
    """Write UTF-8 text with Unix line ends."""
    write_aside(path, lambda aside: aside.write_bytes(text.encode()))


def write_json(path: Path, value: Any) -> None:
    """Write JSON with sorted keys, so that equal values are equal bytes."""
    write_text(path, json.dumps(value, indent=1, sort_keys=True, ensure_ascii=False) + "\n")


def write_array(path: Path, array: np.ndarray) -> None:
    """Write one array as a .npy file."""
    memory = io.BytesIO()
    np.save(memory, array)
    _write_memory(path, memory)


def write_arrays(path: Path, **arrays: np.ndarray) -> None:
    """Write several arrays as a .npz file."""
    memory = io.BytesIO()
    np.savez(memory, **arrays)  # type: ignore[arg-type]  # its stub takes a name for allow_pickle
    _write_memory(path, memory)


def _write_memory(path: Path, memory: io.BytesIO) -> None:
    # numpy's own writing to a file does not say that a full disk is full.
    write_aside(path, lambda aside: aside.write_bytes(memory.getbuffer()))


def read_json(path: Path) -> Any:
    """Read what `write_json` wrote; Refusal when the file is damaged."""
    try:
        return json.loads(path.read_bytes())
    except (ValueError, RecursionError) as error:
        raise damaged(path, "JSON is expected") from error


def damaged(path: Path, expected: str) -> Refusal:
    """The Refusal of a file of a run that is not as it was written."""
    place = "/".join(path.parts[-4:] if path.parent.name == "done" else path.parts[-3:])
    return Refusal(f"{place} is damaged ({expected}); remove it and build the run again, or copy the run once more.")


ROW_GROUP = 100_000
"""Rows read or skipped together: enough to compress well, few enough that one feature's rows are found quickly."""


def write_parquet(
    path: Path, batches: pa.Table | Iterable[pa.RecordBatch], schema: pa.Schema, row_group: int = ROW_GROUP
) -> int:
    """Write one Parquet file (zstd, page checksums) and return its number of rows.

    `batches` may be a stream; row groups are `row_group` rows whatever the size of the batches, so that equal rows
    give equal bytes. One row group is held in memory: give fewer rows where rows are large.
    """
    rows = 0

    def write(aside: Path) -> None:
        nonlocal rows
        rows = _fill(aside, batches, schema, row_group)

    write_aside(path, write)
    return rows


def parquet_bytes(
    batches: pa.Table | Iterable[pa.RecordBatch], schema: pa.Schema, row_group: int = ROW_GROUP
) -> tuple[pa.Buffer, int]:
    """Return the bytes that `write_parquet` would write, and their number of rows."""
    memory = pa.BufferOutputStream()
    rows = _fill(memory, batches, schema, row_group)
    return memory.getvalue(), rows


def _fill(place: Any, batches: pa.Table | Iterable[pa.RecordBatch], schema: pa.Schema, row_group: int) -> int:
    rows = 0
    leaves = dict(_leaf(field.name, field.type) for field in schema)
    stream = batches.to_batches() if isinstance(batches, pa.Table) else batches
    with pq.ParquetWriter(
        place,
        schema,
        compression="zstd",
        compression_level=9,
        write_page_checksum=True,
        use_dictionary=[name for name, is_float in leaves.items() if not is_float],
        use_byte_stream_split=[name for name, is_float in leaves.items() if is_float],
    ) as writer:
        for group in _row_groups(stream, schema, row_group):
            writer.write_table(group, row_group_size=row_group)
            rows += group.num_rows
    return rows


def _leaf(name: str, kind: pa.DataType) -> tuple[str, bool]:
    """The Parquet path of a column's values, and whether they are floats: those compress better split by byte."""
    if pa.types.is_list(kind) or pa.types.is_large_list(kind) or pa.types.is_fixed_size_list(kind):
        return _leaf(f"{name}.list.element", kind.value_type)
    return name, pa.types.is_float32(kind) or pa.types.is_float64(kind)


def _row_groups(stream: Iterable[pa.RecordBatch], schema: pa.Schema, size: int) -> Iterable[pa.Table]:
    pending: list[pa.Table] = []
    n_pending = 0
    for batch in stream:
        pending.append(
            pa.table(batch.columns, schema=schema) if batch.schema != schema else pa.Table.from_batches([batch])
        )
        n_pending += batch.num_rows
        if n_pending >= size:
            joined = pa.concat_tables(pending).combine_chunks()
            whole = n_pending - n_pending % size
            yield joined.slice(0, whole)
            pending, n_pending = [joined.slice(whole)], n_pending - whole
    if n_pending:
        yield pa.concat_tables(pending).combine_chunks()


def sha256_file(path: Path) -> str:
    """Return the hexadecimal sha256 of a file's bytes."""
    with path.open("rb") as opened:
        return hashlib.file_digest(opened, "sha256").hexdigest()


def fingerprint(value: Any) -> str:
    """Return a hash of a JSON value; strings, numbers, lists and dicts that differ give different hashes."""
    return hashlib.sha256(json.dumps(value, sort_keys=True, ensure_ascii=False).encode()).hexdigest()[:20]


def link_or_copy(source: Path, target: Path) -> None:
    """Give `target` the bytes of `source`: a hard link where the file system allows it, else a copy."""

    def place(aside: Path) -> None:
        aside.unlink(missing_ok=True)
        try:
            os.link(source, aside)
        except OSError:
            shutil.copyfile(source, aside)

    write_aside(target, place)


def remove(path: Path) -> None:
    """Remove a file or a folder, if it is there."""
    if path.is_dir() and not path.is_symlink():
        shutil.rmtree(path)
    else:
        with contextlib.suppress(FileNotFoundError):
            path.unlink()
