"""Compare two generations table by table: the same bits, the same within a tolerance, or not."""

from __future__ import annotations

from typing import NamedTuple

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq

from featurelib.schema import TABLES, Table
from featurelib.storage.runs import Generation

TOLERANCE = 1e-6


class Difference(NamedTuple):
    """How one table differs from another."""

    n_rows: int
    """The rows of the first."""
    largest: float
    """The largest difference between two floats, relative to the larger where that is above 1."""
    sentence: str
    """What else differs; nothing where it is the floats at most."""
    n_moved: int = 0
    """Rows that stand in another place, because they are ordered by floats that are equal within the tolerance."""

    @property
    def equal(self) -> bool:
        """Whether the tables are the same but for floats within the tolerance."""
        return not self.sentence and self.largest <= TOLERANCE

    @property
    def words(self) -> str:
        """The outcome in a few words."""
        if self.sentence:
            return self.sentence
        if self.largest == 0 and not self.n_moved:
            return "equal, every bit"
        moved = f"; {self.n_moved:,} rows in another order, by ties of floats" if self.n_moved else ""
        return f"{'equal within 1e-6' if self.equal else 'DIFFERS'}, the largest difference {self.largest:.1e}{moved}"


def read(generation: Generation, table: Table) -> pa.Table | None:
    """All rows of a table, in their order, whatever its part files; None where it has not been written."""
    paths = [path for path in generation.parts(table) if path.is_file()]
    return pa.concat_tables([pq.read_table(path) for path in paths]).combine_chunks() if paths else None


def difference(ours: pa.Table, theirs: pa.Table) -> Difference:
    """Compare two tables row by row and column by column; floats by their bits, then by their difference."""
    n_rows = ours.num_rows
    if ours.schema.remove_metadata() != theirs.schema.remove_metadata():
        return Difference(n_rows, 0.0, f"DIFFERS: columns {ours.schema.names} and {theirs.schema.names}")
    if n_rows != theirs.num_rows:
        return Difference(n_rows, 0.0, f"DIFFERS: {n_rows:,} and {theirs.num_rows:,} rows")
    found = _differing(ours, theirs)
    if not found.sentence:
        return found
    keys = [name for name in ours.schema.names if _is_key(ours.schema.field(name))]
    in_order = [table.sort_by([(name, "ascending") for name in keys]) for table in (ours, theirs)]
    again = _differing(*in_order, leave_out="rank")
    if again.sentence or again.largest > TOLERANCE:
        return found
    return again._replace(n_moved=_n_moved(ours, theirs, keys))


def _is_key(field: pa.Field) -> bool:
    """Whether a column says which row it is: an id, and not a place in an order."""
    return field.name.endswith(("_id", "position", "level", "split")) or field.name in ("metric", "keyword", "word")


def _n_moved(ours: pa.Table, theirs: pa.Table, keys: list[str]) -> int:
    moved = np.zeros(ours.num_rows, bool)
    for name in keys:
        a, b = (table[name].to_numpy(zero_copy_only=False) for table in (ours, theirs))
        moved |= a != b
    return int(moved.sum())


def _differing(ours: pa.Table, theirs: pa.Table, leave_out: str = "") -> Difference:
    """Compare two tables of the same columns and number of rows, row by row."""
    n_rows, largest, wrong = ours.num_rows, 0.0, []
    for name in ours.schema.names:
        if name == leave_out:
            continue
        mine, other = (_flat(table[name]) for table in (ours, theirs))
        if not pa.types.is_floating(mine.type):
            if not mine.equals(other):
                wrong.append(f"{_n_unequal(mine, other):,} of {n_rows:,} in {name}")
            continue
        a, b = (values.to_numpy(zero_copy_only=False).astype(np.float64) for values in (mine, other))
        if len(a) != len(b) or not np.array_equal(np.isnan(a), np.isnan(b)):
            wrong.append(f"other nulls in {name}")
            continue
        apart = np.abs(a - b) / np.maximum(1, np.maximum(np.abs(a), np.abs(b)))
        largest = max(largest, float(np.nanmax(apart, initial=0.0)))
    return Difference(n_rows, largest, f"DIFFERS: {', '.join(wrong)}" if wrong else "")


def _flat(column: pa.ChunkedArray) -> pa.Array:
    values = column.combine_chunks()
    values = pa.concat_arrays(values.chunks) if isinstance(values, pa.ChunkedArray) else values
    vectors = pa.types.is_fixed_size_list(values.type) or pa.types.is_list(values.type)
    return values.flatten() if vectors and pa.types.is_floating(values.type.value_type) else values


def _n_unequal(ours: pa.Array, theirs: pa.Array) -> int:
    return sum(a != b for a, b in zip(ours.to_pylist(), theirs.to_pylist(), strict=False))


def compare(ours: Generation, theirs: Generation) -> dict[str, Difference]:
    """The difference of every table that either of them has, by the name of its view."""
    found: dict[str, Difference] = {}
    for table in TABLES:
        mine, other = read(ours, table), read(theirs, table)
        if mine is not None and other is not None:
            found[table.view] = difference(mine, other)
        elif mine is not None or other is not None:
            found[table.view] = Difference(0, 0.0, "DIFFERS: only one of the two has it")
    return found
