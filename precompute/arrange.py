"""arrange: decoder directions → a map of the features and a cluster for each."""

from __future__ import annotations

from typing import Any

import numpy as np
import pyarrow as pa

from featurelib import files
from featurelib.layout import NO_CLUSTER, Layout, arrange_directions
from featurelib.schema import LAYOUT, TEXT_LAYOUT
from precompute.config import BuildConfig
from precompute.job import Job, Made

VERSION = 1


def identity(config: BuildConfig) -> dict[str, Any]:
    """Nothing beyond the options and the SAE, which the fingerprint of train covers."""
    return {}


def arrange(job: Job) -> Made:
    """Write summaries/layout.parquet: x, y in -1 to 1 and a cluster (-1 = none) for every feature, dead ones too."""
    from featurelib.sae.checkpoints import load_sae

    sae = load_sae(job.generation.sae_folder)
    directions = sae.W_dec.detach().cpu().numpy()
    job.say(f"arranging {len(directions):,} directions; the first map on a machine compiles UMAP, some 20 seconds")
    layout = arrange_directions(directions, job.config.seed)
    files.write_parquet(job.generation.file(LAYOUT), _table(layout), LAYOUT.schema)
    files.write_parquet(job.generation.file(TEXT_LAYOUT), TEXT_LAYOUT.schema.empty_table(), TEXT_LAYOUT.schema)
    n_none = int((layout.cluster == NO_CLUSTER).sum())
    line = f"{len(layout.xy):,} features placed by {layout.method}; {layout.n_clusters} clusters, {n_none:,} in none"
    return Made(
        line,
        {
            "method": layout.method,
            "metric": "cosine",
            "seed": job.config.seed,
            "n_clusters": layout.n_clusters,
            "n_unclustered": n_none,
        },
    )


def _table(layout: Layout) -> pa.Table:
    columns = [np.arange(len(layout.xy), dtype=np.int32), layout.xy[:, 0], layout.xy[:, 1], layout.cluster]
    return pa.table([pa.array(column) for column in columns], schema=LAYOUT.schema)
