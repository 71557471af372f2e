"""miss: not built yet, an empty table in its place."""

from __future__ import annotations

from typing import Any

from featurelib import files
from featurelib.schema import TABLES
from precompute.job import Job, Made

VERSION = 0


def identity(config: Any) -> dict[str, Any]:
    """Nothing yet."""
    return {}


def miss(job: Job) -> Made:
    """Write empty tables."""
    for table in TABLES:
        if table.stage == "miss":
            files.write_parquet(job.generation.file(table), table.schema.empty_table(), table.schema)
    return Made("empty", {})
