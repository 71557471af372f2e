"""What the source's own columns hold: read once, some columns at a time, from a bounded number of texts.

One SQL question over all of them would hold every column's values at once; and of a wide table each question reads the
whole footer again. Here the footer is read once, and memory is bounded by `VALUES_AT_ONCE`. What was found is kept in
the run's cache folder: by the build, or by the first who asks.
"""

from __future__ import annotations

import contextlib
from collections.abc import Iterator, Sequence
from dataclasses import astuple, dataclass
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq

from featurelib.schema import TEXTS, Refusal
from featurelib.storage import files
from featurelib.storage.runs import Generation, Run

VERSION = 1
"""To be raised when something else is counted."""
FEW_VALUES = 300
"""A column with more different values is not counted any further."""
COMMONEST = 8
TEXTS_READ = 20_000
"""Of a larger corpus, so many texts are read, in whole row groups at equal distances."""
VALUES_AT_ONCE = 2_000_000


@dataclass(frozen=True)
class ColumnSummary:
    """What one column holds, in the texts that were read."""

    n_distinct: int
    """The number of its different values; of a list, of its members. Exact up to FEW_VALUES."""
    filled: float
    """The share of texts that have a value."""
    telling: float
    """The share of texts that have one of its values from the second to the eighth commonest."""


def own_names(generation: Generation) -> list[str]:
    """Return the names of the source's own columns in their order; RunNotReady before the stage ingest is done."""
    with _reading(generation.need(TEXTS)) as opened:
        return [name for name in opened.schema_arrow.names if name not in TEXTS.schema.names]


def time_zones(generation: Generation) -> dict[str, str]:
    """Return the time zones that the file of texts gives for its own columns of moments, by column; UTC is left out."""
    with _reading(generation.need(TEXTS)) as opened:
        types = {field.name: field.type for field in opened.schema_arrow if field.name not in TEXTS.schema.names}
    moments = {name: kind.tz for name, kind in types.items() if pa.types.is_timestamp(kind) and kind.tz}
    return {name: zone for name, zone in moments.items() if zone.upper() not in ("UTC", "Z", "+00:00", "ETC/UTC")}


def column_summaries(generation: Generation) -> dict[str, ColumnSummary]:
    """Return what each of the source's own columns holds, by name in their order, from the run's cache or the texts."""
    names = own_names(generation)
    done, texts = generation.done(TEXTS.stage), generation.file(TEXTS)
    key = files.fingerprint([VERSION, done and done.fingerprint, texts.stat().st_size])
    cached = Run(generation.path.parent).cache_folder / f"columns-{key}.json"
    with contextlib.suppress(Refusal, OSError, TypeError, KeyError):
        stored = files.read_json(cached)
        return {name: ColumnSummary(*stored[name]) for name in names}
    summaries = summarise_columns(texts, names)
    with contextlib.suppress(OSError):  # it may lie where this user cannot write
        files.write_json(cached, {name: astuple(summary) for name, summary in summaries.items()})
    return summaries


def summarise_columns(path: Path, names: Sequence[str]) -> dict[str, ColumnSummary]:
    """Read what the columns `names` of a Parquet file of texts hold; Refusal when the file cannot be read.

    Most columns of a wide table have a value of its own for every text: those are told by the first row group already.
    """
    with _reading(path) as opened:
        groups = _spread(opened.metadata)
        summaries = dict(_summaries(opened, groups[:1], names))
        few = [name for name in names if summaries[name].n_distinct <= FEW_VALUES]
        if len(groups) > 1:
            summaries |= _summaries(opened, groups, few)
    return summaries


@contextlib.contextmanager
def _reading(path: Path) -> Iterator[pq.ParquetFile]:
    try:
        with pq.ParquetFile(path) as opened:
            yield opened
    except (OSError, pa.ArrowException) as broken:
        raise Refusal(
            f"{path.name} cannot be read ({str(broken).partition(chr(10))[0][:200]}); build the run again, or copy it "
            "once more."
        ) from broken


def _spread(metadata: pq.FileMetaData) -> list[int]:
    """Row groups at equal distances, which have about `TEXTS_READ` rows in all."""
    n_groups = metadata.num_row_groups
    wanted = max(1, round(n_groups * TEXTS_READ / max(metadata.num_rows, TEXTS_READ)))
    return sorted({number * n_groups // wanted for number in range(wanted)}) if n_groups else []


def _summaries(
    opened: pq.ParquetFile, groups: Sequence[int], names: Sequence[str]
) -> Iterator[tuple[str, ColumnSummary]]:
    n_rows = sum(opened.metadata.row_group(group).num_rows for group in groups)
    at_once = max(1, VALUES_AT_ONCE // max(n_rows, 1))
    for first in range(0, len(names), at_once):
        columns = list(names[first : first + at_once])
        rows = opened.read_row_groups(groups, columns=columns)
        yield from ((name, _summary(rows[name])) for name in columns)


def _summary(values: pa.ChunkedArray) -> ColumnSummary:
    n_texts = max(len(values), 1)
    n_filled = len(values) - values.null_count
    if pa.types.is_list(values.type) or pa.types.is_large_list(values.type):
        n_filled = int(pc.sum(pc.greater(pc.list_value_length(values), 0)).as_py() or 0)
        values = pc.list_flatten(values)
    try:
        counts = pc.value_counts(values.drop_null()).field("counts").to_numpy(zero_copy_only=False)
    except pa.ArrowNotImplementedError:  # a struct or a map: nothing to choose from
        return ColumnSummary(FEW_VALUES + 1, n_filled / n_texts, 0.0)
    commonest = np.sort(counts)[::-1][1:COMMONEST]
    share = float(commonest.sum()) / max(int(counts.sum()), 1)
    return ColumnSummary(len(counts), n_filled / n_texts, share * n_filled / n_texts)
