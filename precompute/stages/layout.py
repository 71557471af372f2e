"""layout: maps of the features (by direction, by what fires them), their regions, and a map of the texts."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np
import pyarrow.parquet as pq

from featurelib.layout import (
    LEVELS,
    MOST_TEXTS,
    NO_CLUSTER,
    Faithfulness,
    FiringMeans,
    Layout,
    Places,
    Regions,
    arrange_directions,
    arrange_firing,
    arrange_texts,
    drawn_texts,
    faithfulness,
    find_regions,
)
from featurelib.schema import BY_TEXT, FIRING_LAYOUT, LAYOUT, REGION_FEATURES, REGION_TEXTS, TEXT_LAYOUT, TEXTS
from featurelib.storage.activation_rows import Rows, read_rows
from featurelib.storage.embeddings import read_embeddings_of
from precompute.build.append import Append, count_texts
from precompute.build.job import Job, Made
from precompute.build.stage import Stage

LEAST_TELLING = 1e-3
"""The least weight of a feature's activations in the strength of a region."""

SECONDS_PER_POINT = 0.0025
"""What UMAP takes on two cores; a feature is arranged three times, a text once."""


@dataclass(frozen=True)
class _Firing:
    """The map of what fires features."""

    feature_ids: np.ndarray
    places: Places
    regions: Regions
    faithful: Faithfulness


def make_layout(job: Job) -> Made:
    """Write the maps: x, y in -1 to 1 for every feature and up to 50,000 texts, and the regions of one of them.

    Every feature, dead ones too, has a place by its direction and a cluster (-1 = none); live ones have a place by what
    fires them, and regions. Where there are more texts, those that get a place are drawn by seed and the others are in
    no row. In an append all places stay: new texts, and features that fire on new texts only, get none.
    """
    if job.append:
        return _keep_places(job, job.append)
    layout, of_directions = _directions(job)
    firing = _firing(job, len(layout.xy))
    _write_region_texts(job, firing.feature_ids, firing.regions, len(layout.xy))
    placed, n_texts = _texts(job)
    n_none = int((layout.cluster == NO_CLUSTER).sum())
    line = (
        f"{len(layout.xy):,} features placed by {layout.method}; {layout.n_clusters} clusters, {n_none:,} in none; "
        f"{_kept(of_directions, firing.faithful)}{len(placed.xy):,} of {n_texts:,} texts placed by {placed.method}"
    )
    return Made(
        line,
        {
            "method": layout.method,
            "metric": "cosine",
            "seed": job.config.seed,
            "n_clusters": layout.n_clusters,
            "n_unclustered": n_none,
            "firing_method": firing.places.method,
            "faithfulness": {"directions": _known(of_directions), "firing": _known(firing.faithful)},
            "text_method": placed.method,
            "n_texts": n_texts,
            "n_texts_placed": len(placed.xy),
        },
    )


STAGE = Stage(
    name="layout",
    makes="maps of the features and of the texts",
    make=make_layout,
    grounds="directions, embeddings, activations and seed",
    after=("embed", "train", "encode"),
    options=("seed",),
    kept="places and regions stay; new texts have no place on the map of texts",
    version=3,
    seconds=lambda workload: SECONDS_PER_POINT * (3 * workload.n_features + min(workload.n_texts, MOST_TEXTS)),
)


def _keep_places(job: Job, append: Append) -> Made:
    """Take all places and regions from the run, and find the regions of all texts."""
    for table in (LAYOUT, FIRING_LAYOUT, REGION_FEATURES, TEXT_LAYOUT):
        append.link(job.generation, table.path)
    placed = pq.read_table(job.generation.file(FIRING_LAYOUT), columns=["feature_id"])["feature_id"].to_numpy()
    rows = pq.read_table(job.generation.file(REGION_FEATURES)).to_pandas().sort_values(["level", "feature_id"])
    of_points = rows["region_id"].to_numpy(np.int32).reshape(len(LEVELS), len(placed))
    n_features = pq.read_metadata(job.generation.file(LAYOUT)).num_rows
    _write_region_texts(job, placed, Regions(of_points), n_features)
    done, n_all = append.kept().done("layout"), count_texts(job.generation)
    facts = (done.facts if done else {}) | {"n_texts": n_all}
    line = f"{n_features:,} features and {facts['n_texts_placed']:,} texts stay in their places"
    return Made(f"{line}; {n_all:,} texts in the regions that are there", facts)


def _kept(directions: Faithfulness, firing: Faithfulness) -> str:
    """How much nearness the maps keep, in words; nothing where there are too few features to tell."""
    if np.isnan(directions.trustworthiness) or np.isnan(firing.trustworthiness):
        return ""
    by_direction, by_firing = (measured.trustworthiness for measured in (directions, firing))
    return f"trustworthiness {by_direction:.2f} by direction, {by_firing:.2f} by what fires them; "


def _known(measured: Faithfulness) -> dict[str, float | None]:
    return {name: None if np.isnan(value) else round(value, 4) for name, value in measured._asdict().items()}


def _directions(job: Job) -> tuple[Layout, Faithfulness]:
    from featurelib.sae.checkpoints import load_sae

    directions = load_sae(job.generation.sae_folder).W_dec.detach().cpu().numpy()
    job.say(f"arranging {len(directions):,} directions; the first map on a machine compiles UMAP, some 20 seconds")
    layout = arrange_directions(directions, job.config.seed)
    ids = np.arange(len(layout.xy), dtype=np.int32)
    columns = [ids, layout.xy[:, 0], layout.xy[:, 1], layout.cluster]
    job.generation.write(LAYOUT, columns)
    return layout, faithfulness(directions, layout.xy, job.config.seed)


def _blocks(job: Job) -> Iterator[tuple[np.ndarray, np.ndarray, Rows]]:
    """Each part of the activations: the ids of its texts, the row among them of each activation, the activations."""
    for path in job.generation.parts(BY_TEXT):
        rows = read_rows(path)
        text_ids, places = np.unique(rows.text_ids, return_inverse=True)
        yield text_ids, places, rows


def _firing(job: Job, n_features: int) -> _Firing:
    """Place the live features by what fires them, and divide that map into regions."""
    means: FiringMeans | None = None
    for text_ids, places, rows in _blocks(job):
        embeddings = read_embeddings_of(job.generation, text_ids)
        means = means or FiringMeans(n_features, embeddings.shape[1])
        means.add(embeddings, places, rows.feature_ids, rows.activations)
    ids, vectors = means.of_live() if means else (np.empty(0, np.int32), np.empty((0, 1), np.float32))
    job.say(f"arranging {len(ids):,} features by the texts on which they fire")
    placed = arrange_firing(vectors, job.config.seed)
    job.generation.write(FIRING_LAYOUT, [ids, placed.xy[:, 0], placed.xy[:, 1]])
    regions = find_regions(placed.xy, job.config.seed)
    levels = np.repeat(np.arange(len(regions.of_points), dtype=np.int32), len(ids))
    numbers = regions.of_points.ravel()
    job.generation.write(REGION_FEATURES, [levels, numbers, np.tile(ids, len(regions.of_points))])
    return _Firing(ids, placed, regions, faithfulness(vectors, placed.xy, job.config.seed))


def _write_region_texts(job: Job, feature_ids: np.ndarray, of_features: Regions, n_features: int) -> None:
    """Write the region of each text at each level, and how strong it is there; features without a region do not count.

    `of_features` are the regions of the features `feature_ids`.
    """
    weights = np.zeros(n_features)
    weights[feature_ids] = _feature_weights(job, n_features)[feature_ids]
    fine = of_features.of_points[-1]
    n_fine = int(fine.max(initial=0)) + 1
    of_feature = np.zeros(n_features, np.int64)
    of_feature[feature_ids] = fine
    blocks: list[list[tuple[np.ndarray, ...]]] = [[] for _ in of_features.of_points]
    for text_ids, places, rows in _blocks(job):
        cells = places * n_fine + of_feature[rows.feature_ids]
        summed = np.bincount(cells, rows.activations * weights[rows.feature_ids], len(text_ids) * n_fine)
        strengths = summed.reshape(len(text_ids), n_fine)
        somewhere = strengths.any(axis=1)
        text_ids, strengths = text_ids[somewhere], strengths[somewhere]
        for of_level, regions in zip(blocks, of_features.of_points, strict=True):
            coarse = strengths @ _membership(fine, regions)
            of_level.append((coarse.argmax(axis=1).astype(np.int32), text_ids, coarse.max(axis=1).astype(np.float32)))
    nothing = (np.empty(0, np.int32), np.empty(0, np.int64), np.empty(0, np.float32))
    columns = []
    for level, of_level in enumerate(blocks):
        regions, text_ids, strength = (np.concatenate(column) for column in zip(nothing, *of_level, strict=True))
        order = np.lexsort((text_ids, -strength, regions))
        columns.append((np.full(len(order), level, np.int32), regions[order], text_ids[order], strength[order]))
    job.generation.write(REGION_TEXTS, [np.concatenate(column) for column in zip(*columns, strict=True)])


def _membership(fine: np.ndarray, coarse: np.ndarray) -> np.ndarray:
    """Which coarse region each fine one lies in, float64 of 0 and 1, [n_fine, n_coarse]."""
    membership = np.zeros((int(fine.max(initial=0)) + 1, int(coarse.max(initial=0)) + 1))
    membership[fine, coarse] = 1
    return membership


def _feature_weights(job: Job, n_features: int) -> np.ndarray:
    """What an activation of each feature counts for: ln(1/density) divided by its largest, float64 [n_features]."""
    largest, n_fires = np.zeros(n_features), np.zeros(n_features)
    for _, _, rows in _blocks(job):
        np.maximum.at(largest, rows.feature_ids, rows.activations)
        n_fires += np.bincount(rows.feature_ids, minlength=n_features)
    n_texts = max(pq.read_metadata(job.generation.need(TEXTS)).num_rows, 1)
    # a feature of every text tells a little too, so that each text with an active feature belongs somewhere
    telling = np.maximum(-np.log(np.maximum(n_fires, 1) / n_texts), LEAST_TELLING)
    weights: np.ndarray = np.divide(telling, largest, out=np.zeros(n_features), where=largest > 0)
    return weights


def _texts(job: Job) -> tuple[Places, int]:
    """Place the texts; returns their places and the number of all texts."""
    n_texts = pq.read_metadata(job.generation.need(TEXTS)).num_rows
    text_ids = drawn_texts(n_texts, job.config.seed)
    job.say(f"arranging {len(text_ids):,} of {n_texts:,} texts; about a millisecond each")
    placed = arrange_texts(read_embeddings_of(job.generation, text_ids), job.config.seed)
    columns = [text_ids, placed.xy[:, 0], placed.xy[:, 1]]
    job.generation.write(TEXT_LAYOUT, columns)
    return placed, n_texts
