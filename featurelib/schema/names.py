"""What everybody calls by one name: stages, limits, the two errors everybody may raise, what a table is."""

from __future__ import annotations

from dataclasses import dataclass

import pyarrow as pa

FORMAT_VERSION = 1

FORMERLY = {
    "keywords": "label",
    "layout": "arrange",
    "labels": "judge",
    "explanations": "explain",
    "attributions": "attribute",
    "near_misses": "miss",
    "families": "relate",
}
"""Stages that were renamed, with their first name: older runs hold it, and fingerprints are hashed over it."""
RENAMED = {first: name for name, first in FORMERLY.items()}
"""The present name of a stage by its first name."""

TOP_TEXTS = 100
HISTOGRAM_BINS = 40
NEIGHBOURS = 50
OPPOSITES = 10
COACTIVATIONS = 50
MIN_BOTH = 5
DENSE = 0.1


class Refusal(ValueError):
    """Something that cannot be used; its message is one sentence naming what was found, what was expected, the mend."""


class RunNotReady(Refusal):
    """A part of a run that has not been made yet; the message names the stage and the command that makes it."""


@dataclass(frozen=True)
class Table:
    """One table of a run: where it lies in a generation, what it holds and which stage writes it."""

    view: str
    """The name in SQL."""
    path: str
    """The file, or the folder of part files, relative to the generation."""
    stage: str
    """The stage that writes it."""
    schema: pa.Schema
    """The columns that are always there; more may follow."""
    parts: bool = False
    """Whether `path` is a folder of part-*.parquet files."""


def table(view: str, path: str, stage: str, columns: dict[str, pa.DataType], *, parts: bool = False) -> Table:
    """Declare a table by its columns."""
    return Table(view, path, stage, pa.schema(list(columns.items())), parts)
