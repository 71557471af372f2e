"""layout: decoder directions → a map of the features and a cluster for each; embeddings → a map of the texts."""

from __future__ import annotations

import numpy as np
import pyarrow.parquet as pq

from featurelib.layout import NO_CLUSTER, Layout, Places, arrange_directions, arrange_texts, drawn_texts
from featurelib.schema import LAYOUT, TEXT_LAYOUT, TEXTS
from featurelib.storage.embeddings import read_embeddings_of
from precompute.build.job import Job, Made
from precompute.build.stage import Stage


def make_layout(job: Job) -> Made:
    """Write summaries/layout.parquet and text_layout.parquet: x, y in -1 to 1 for every feature and up to 50,000 texts.

    Every feature, dead ones too, has a cluster as well (-1 = none). Where there are more texts, those that get a place
    are drawn by seed and the others are in no row.
    """
    layout = _features(job)
    placed, n_texts = _texts(job)
    n_none = int((layout.cluster == NO_CLUSTER).sum())
    line = (
        f"{len(layout.xy):,} features placed by {layout.method}; {layout.n_clusters} clusters, {n_none:,} in none; "
        f"{len(placed.xy):,} of {n_texts:,} texts placed by {placed.method}"
    )
    return Made(
        line,
        {
            "method": layout.method,
            "metric": "cosine",
            "seed": job.config.seed,
            "n_clusters": layout.n_clusters,
            "n_unclustered": n_none,
            "text_method": placed.method,
            "n_texts": n_texts,
            "n_texts_placed": len(placed.xy),
        },
    )


STAGE = Stage(
    name="layout",
    makes="maps of the features and of the texts",
    make=make_layout,
    grounds="directions, embeddings and seed",
    after=("embed", "train"),
    options=("seed",),
    version=2,
)


def _features(job: Job) -> Layout:
    from featurelib.sae.checkpoints import load_sae

    directions = load_sae(job.generation.sae_folder).W_dec.detach().cpu().numpy()
    job.say(f"arranging {len(directions):,} directions; the first map on a machine compiles UMAP, some 20 seconds")
    layout = arrange_directions(directions, job.config.seed)
    ids = np.arange(len(layout.xy), dtype=np.int32)
    columns = [ids, layout.xy[:, 0], layout.xy[:, 1], layout.cluster]
    job.generation.write(LAYOUT, columns)
    return layout


def _texts(job: Job) -> tuple[Places, int]:
    """Place the texts; returns their places and the number of all texts."""
    n_texts = pq.read_metadata(job.generation.need(TEXTS)).num_rows
    text_ids = drawn_texts(n_texts, job.config.seed)
    job.say(f"arranging {len(text_ids):,} of {n_texts:,} texts; about a millisecond each")
    placed = arrange_texts(read_embeddings_of(job.generation, text_ids), job.config.seed)
    columns = [text_ids, placed.xy[:, 0], placed.xy[:, 1]]
    job.generation.write(TEXT_LAYOUT, columns)
    return placed, n_texts
