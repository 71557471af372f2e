"""judge: keywords → a label for every feature (for now the seed method's, unjudged)."""

from __future__ import annotations

from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq

from featurelib import files, keywords
from featurelib.schema import FEATURES, KEYWORDS, LABELS, TABLES
from precompute.job import Job, Made

VERSION = 0


def identity(config: Any) -> dict[str, Any]:
    """Nothing yet."""
    return {}


def judge(job: Job) -> Made:
    """Write summaries/labels.parquet, and empty tables of evidence."""
    generation = job.generation
    by_feature: dict[int, list[keywords.Keyword]] = {}
    for row in pq.read_table(generation.need(KEYWORDS)).to_pylist():
        found = keywords.Keyword(row["keyword"], row["score"], row["n_texts"])
        by_feature.setdefault(row["feature_id"], []).append(found)
    n_features = pq.read_metadata(generation.need(FEATURES)).num_rows
    named = [keywords.label(feature_id, by_feature.get(feature_id, [])) for feature_id in range(n_features)]
    columns = [list(range(n_features)), [name for name, _ in named], [source for _, source in named]]
    for table in TABLES:
        if table.stage == "judge":
            files.write_parquet(generation.file(table), table.schema.empty_table(), table.schema)
    files.write_parquet(generation.file(LABELS), pa.table(columns, schema=LABELS.schema), LABELS.schema)
    return Made(f"{n_features:,} features named", {})
