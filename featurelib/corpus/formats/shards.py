"""A folder of files of one kind, such as Parquet shards from the hub, as one source."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import Any

import pyarrow as pa

from featurelib.corpus.column_types import TypeInference
from featurelib.corpus.formats.delimited import DelimitedSource
from featurelib.corpus.formats.parquet import ParquetSource
from featurelib.corpus.rowwise import Broken, RowSource
from featurelib.corpus.source import BATCH_ROWS, ArrowSource
from featurelib.schema import Refusal


class ParquetShards(ArrowSource):
    """Parquet files with the same columns, one after the other."""

    def __init__(self, name: str, shards: Sequence[ParquetSource]) -> None:
        """Compare their columns; Refusal where they differ."""
        super().__init__(name, sum(shard.size for shard in shards))
        self._shards = shards
        self._schema = shards[0].schema()
        for shard in shards[1:]:
            self._schema = _common_schema(self._schema, shards[0], shard)
        _take_over(self, shards)

    def schema(self) -> pa.Schema:
        """The columns of the first, in types that hold the values of all."""
        return self._schema

    def peek(self) -> pa.Table:
        """The first rows of the first."""
        peeked = self._shards[0].peek()
        return peeked.cast(pa.schema([self._schema.field(name) for name in peeked.column_names]))

    def batches(self, columns: list[str] | None, size: int = BATCH_ROWS) -> Iterator[pa.RecordBatch]:
        """Yield the batches of all."""
        for shard in self._shards:
            shard.repaired.clear()
            for batch in shard.batches(columns, size):
                wanted = pa.schema([self._schema.field(name) for name in batch.schema.names])
                yield batch if batch.schema.equals(wanted) else _in_types(batch, wanted, shard.name)
            self.repaired.update(shard.repaired)


class RowShards(RowSource):
    """CSV files with the same header, or files of JSON lines, one after the other."""

    def __init__(self, name: str, shards: Sequence[RowSource]) -> None:
        """Compare the headers of CSV files; Refusal where they differ."""
        super().__init__(name, sum(shard.size for shard in shards), "B")
        self._shards = shards
        self._read_before = 0
        self._reading: RowSource | None = None
        first = shards[0]
        for shard in shards[1:]:
            if isinstance(first, DelimitedSource):
                _compare_headers(first, shard)
        _take_over(self, shards)

    def raw(self) -> Iterator[Any]:
        """Yield the rows of all, each with the number of its shard."""
        self._read_before = 0
        for number, shard in enumerate(self._shards):
            self._reading = shard
            for row in shard.raw():
                yield row if isinstance(row, Broken) else (number, row)
            self._reading = None
            self._read_before += shard.size

    def consumed(self) -> int:
        """Bytes read in the current pass."""
        return self._read_before + (self._reading.consumed() if self._reading is not None else 0)

    def columns(self, rows: list[Any]) -> dict[str, Sequence[Any]]:
        """Turn rows into columns, whatever the order of the columns in each shard."""
        parts: list[tuple[dict[str, Sequence[Any]], int]] = []
        for number in sorted({number for number, _ in rows}):
            own = [row for of, row in rows if of == number]
            parts.append((self._shards[number].columns(own), len(own)))
        names = dict.fromkeys(name for part, _ in parts for name in part)
        return {name: [cell for part, n in parts for cell in part.get(name, [None] * n)] for name in names}

    def type_inference(self) -> TypeInference:
        """That of its shards."""
        return self._shards[0].type_inference()

    def counts(self) -> dict[str, int]:
        """What the shards counted, added up."""
        total: dict[str, int] = {}
        for shard in self._shards:
            for what, n in shard.counts().items():
                total[what] = total.get(what, 0) + n
        return total


def _compare_headers(first: RowSource, shard: RowSource) -> None:
    names, expected = shard.peek().column_names, first.peek().column_names
    if sorted(names) != sorted(expected):
        raise Refusal(
            f"the columns of {shard.name} ({', '.join(names)}) are not those of {first.name} ({', '.join(expected)}); "
            "shards of one corpus have the same columns."
        )


def _common_schema(known: pa.Schema, first: ParquetSource, shard: ParquetSource) -> pa.Schema:
    """The types that hold `known` and those of a shard: whole numbers beside decimals, columns that are all empty."""
    own = shard.schema()
    try:
        if set(own.names) != set(known.names):
            raise pa.ArrowInvalid("other columns")
        unified = pa.unify_schemas([known.remove_metadata(), own.remove_metadata()], promote_options="permissive")
    except (pa.ArrowInvalid, pa.ArrowTypeError) as differing:
        raise Refusal(
            f"the columns of {shard.name} ({_listed(own)}) are not those of {first.name} "
            f"({_listed(first.schema())}); shards of one corpus have the same columns and types."
        ) from differing
    return pa.schema([unified.field(name) for name in known.names])


def _in_types(batch: pa.RecordBatch, wanted: pa.Schema, name: str) -> pa.RecordBatch:
    try:
        columns = [batch.column(field.name).cast(field.type) for field in wanted]
    except pa.ArrowInvalid as unfit:
        raise Refusal(
            f"a value of {name} does not fit the type that another shard gives its column ({unfit}); write all shards "
            "with the same types."
        ) from unfit
    return pa.RecordBatch.from_arrays(columns, schema=wanted)


def _listed(schema: pa.Schema) -> str:
    return ", ".join(f"{column.name} {column.type}" for column in schema)


def _take_over(source: ArrowSource | RowSource, shards: Sequence[Any]) -> None:
    """Say how many shards there are, what the first one says, and what those say that are read in another way."""
    names = [shard.name for shard in shards]
    source.facts |= shards[0].facts | {"n_files": len(shards)}
    listed = names[0] if len(names) == 1 else f"{names[0]} to {names[-1]}"
    source.notes.append(
        f"{len(shards)} files of {source.name} are read as one corpus, in the order of their names: {listed}."
    )
    source.notes += shards[0].notes
    for shard in shards[1:]:
        if shard.facts != shards[0].facts:
            source.notes += shard.notes
