"""encode: embeddings and SAE → activations in both orders, neighbours, thresholds, and how well texts are rebuilt."""

from __future__ import annotations

import dataclasses
import math
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq

from featurelib.sae import evaluation
from featurelib.sae.checkpoints import load_sae
from featurelib.sae.evaluation import Metric, Moments, Quality
from featurelib.sae.model import SAE
from featurelib.sae.sparse import Sparse
from featurelib.schema import (
    BY_FEATURE,
    BY_TEXT,
    EMBEDDINGS,
    EVALUATION,
    NEIGHBOUR_ROWS,
    NEIGHBOURS,
    OPPOSITE_ROWS,
    OPPOSITES,
    SAE_SPLIT,
    TEXT_SUMMARIES,
    THRESHOLDS,
    WEIGHTS,
)
from featurelib.storage import files
from featurelib.storage.activation_rows import Rows, count_by_feature, sort_by_feature, write_rows
from featurelib.storage.embeddings import read_embeddings
from featurelib.storage.feature_weights import read_feature_weights
from featurelib.storage.runs import Generation
from precompute.build.job import Job, Made
from precompute.build.stage import Stage

MEASURED = pa.schema(
    {
        "text_id": pa.int64(),
        "n_active": pa.int32(),
        "error": pa.float64(),
        "spread": pa.float64(),
        "split_spread": pa.float64(),
        "cosine": pa.float64(),
        "norm_ratio": pa.float64(),
        "normal_error": pa.float64(),
        "normal_spread": pa.float64(),
        "normal_split_spread": pa.float64(),
    }
)
"""What is measured on each text, one file per part until all are encoded; the last three only if the SAE normalises."""
SPLITS = ("train", "held_out", "unknown")


def encode(job: Job) -> Made:
    """Write the tables of the stage; a part of the activations that exists is kept."""
    generation = job.generation
    sae = load_sae(generation.sae_folder)
    split = _read_split(generation)
    parts = generation.parts(EMBEDDINGS)
    _encode_parts(job, sae, parts, split)
    measured = _join_measured(generation, parts)
    counts = count_by_feature(generation.parts(BY_TEXT), sae.n_features, split, len(SPLITS))
    n_activations = int(counts.sum())
    with job.progress(n_activations, "rows sorted") as bar:
        sort_by_feature(generation.parts(BY_TEXT), generation.file(BY_FEATURE), counts.sum(axis=0), bar.advance)
    _write_text_summaries(generation, parts, measured, split)
    _write_directions(generation, sae)
    metrics = _evaluate(sae, measured, counts, split)
    generation.write_rows(EVALUATION, metrics)
    return _made(sae, metrics, n_activations, len(split))


STAGE = Stage(
    name="encode",
    makes="activations, neighbours and the evaluation of the SAE",
    make=encode,
    grounds="embeddings and SAE",
    after=("embed", "train"),
    options=("seed",),
    version=2,
    chapter="evaluation",
)


def _read_split(generation: Generation) -> np.ndarray:
    """Return each text's split as its number in SPLITS, int8 [n_texts]."""
    names = pq.read_table(generation.file(SAE_SPLIT))["sae_split"].combine_chunks()
    numbers: np.ndarray = pa.compute.index_in(names, value_set=pa.array(SPLITS)).to_numpy().astype(np.int8)
    return numbers


@dataclass(frozen=True)
class Means:
    """The mean embedding of each split, and last that of all texts, float64 [len(SPLITS) + 1, d_in]."""

    raw: np.ndarray
    """Of the embeddings as they are."""
    normalised: np.ndarray | None
    """Of the embeddings as the SAE normalises them; None where it does not."""

    @classmethod
    def find(cls, sae: SAE, parts: list[Path], split: np.ndarray) -> Means:
        """Read all embeddings once."""
        raw, normal = ([Moments.none(sae.d_in) for _ in (*SPLITS, "all")] for _ in range(2))
        start = 0
        for part in parts:
            x = read_embeddings(part)
            own = split[start : start + len(x)]
            start += len(x)
            raw = _add(raw, x, own)
            normal = normal if sae.norm == "none" else _add(normal, sae.normalise(x).numpy(), own)
        means, normal_means = (np.stack([moments.mean for moments in sums]) for sums in (raw, normal))
        return cls(means, None if sae.norm == "none" else normal_means)


def _add(sums: list[Moments], x: np.ndarray, split: np.ndarray) -> list[Moments]:
    return [*(moments.add(x[split == number]) for number, moments in enumerate(sums[:-1])), sums[-1].add(x)]


def _encode_parts(job: Job, sae: SAE, parts: list[Path], split: np.ndarray) -> None:
    means = Means.find(sae, parts, split)
    folder = job.generation.work("encode")
    starts = np.cumsum([0, *(pq.read_metadata(part).num_rows for part in parts)])
    with job.progress(len(split), "texts") as bar:
        for part, start in zip(parts, starts.tolist(), strict=False):
            rows_file, measured_file = job.generation.file(BY_TEXT) / part.name, folder / part.name
            if not (rows_file.is_file() and measured_file.is_file()):
                _encode_part(sae, read_embeddings(part), start, split, means, (rows_file, measured_file))
            bar.advance(pq.read_metadata(part).num_rows)


def _encode_part(
    sae: SAE, x: np.ndarray, start: int, split: np.ndarray, means: Means, paths: tuple[Path, Path]
) -> None:
    """Encode the texts from text_id `start` on; write their activations and their measurements to `paths`."""
    sparse = sae.encode_sparse(x)
    rows = sparse.rows.numpy()
    feature_ids, activations = sparse.feature_ids.numpy().astype(np.int32), sparse.activations.numpy()
    write_rows(paths[0], Rows(rows + start, feature_ids, activations))
    own = split[start : start + len(x)]
    n_active = np.bincount(rows, minlength=len(x))
    raw = evaluation.measure_texts(x, sae.rebuild(x, sparse).numpy(), n_active, means.raw[-1], means.raw[own])
    columns = [np.arange(start, start + len(x)), raw.n_active, raw.error, raw.spread, raw.split_spread]
    columns += [raw.cosine, raw.norm_ratio, *_measure_normalised(sae, x, sparse, own, means.normalised)]
    arrays = [pa.array(column, field.type) for column, field in zip(columns, MEASURED, strict=True)]
    files.write_parquet(paths[1], pa.table(arrays, schema=MEASURED), MEASURED)


def _measure_normalised(
    sae: SAE, x: np.ndarray, sparse: Sparse, own: np.ndarray, means: np.ndarray | None
) -> list[Any]:
    """Return each text's error, spread and spread in its split in normalised space; nulls if the SAE has none."""
    if means is None:
        return [[None] * len(x)] * 3
    decoded = sae.decode(sparse, n=len(x)).numpy()
    quality = evaluation.measure_texts(sae.normalise(x).numpy(), decoded, np.zeros(len(x)), means[-1], means[own])
    return [quality.error, quality.spread, quality.split_spread]


def _join_measured(generation: Generation, parts: list[Path]) -> pa.Table:
    return pa.concat_tables(pq.read_table(generation.work("encode") / part.name) for part in parts).combine_chunks()


def _write_text_summaries(generation: Generation, parts: list[Path], measured: pa.Table, split: np.ndarray) -> None:
    tokens = pa.concat_tables(pq.read_table(part, columns=["n_tokens", "truncated", "cut"]) for part in parts)
    error, spread = measured["error"].to_numpy(), measured["spread"].to_numpy()
    fvu = np.divide(error, spread, out=np.full_like(error, np.nan), where=spread > 0).astype(np.float32)
    columns = [
        measured["text_id"].to_numpy(),
        measured["n_active"].to_numpy(),
        pa.array(fvu, from_pandas=True),
        measured["cosine"].to_numpy().astype(np.float32),
        *(tokens[name].combine_chunks() for name in ("n_tokens", "truncated", "cut")),
        np.array(SPLITS, dtype=object)[split],
    ]
    generation.write(TEXT_SUMMARIES, columns)


def _write_directions(generation: Generation, sae: SAE) -> None:
    """Write each feature's nearest and most opposite directions, its threshold and its alignment."""
    generation.write(NEIGHBOUR_ROWS, list(evaluation.nearest_directions(sae, NEIGHBOURS)))
    generation.write(OPPOSITE_ROWS, list(evaluation.nearest_directions(sae, OPPOSITES, opposite=True)))
    ids = np.arange(sae.n_features, dtype=np.int32)
    generation.write(THRESHOLDS, [ids, sae.thresholds().numpy(), evaluation.alignment(sae)])
    generation.write(WEIGHTS, [ids, *read_feature_weights(generation.sae_folder)])


def _evaluate(sae: SAE, measured: pa.Table, counts: np.ndarray, split: np.ndarray) -> list[Metric]:
    """Return the metrics of each split that has texts, of all texts together, and of the weights."""
    masks = {name: split == number for number, name in enumerate(SPLITS) if (split == number).any()}
    counted = {name: counts[number] for number, name in enumerate(SPLITS)} | {"all": counts.sum(axis=0)}
    masks["all"] = np.ones(len(split), bool)
    metrics = []
    for name, mask in masks.items():
        texts = measured.filter(pa.array(mask))
        metrics += evaluation.evaluate_texts(_quality(texts, name), name)
        if sae.norm != "none":
            spread = texts["normal_spread" if name == "all" else "normal_split_spread"].to_numpy()
            metrics += evaluation.evaluate_normalised(texts["normal_error"].to_numpy(), spread, name)
        metrics += evaluation.evaluate_features(counted[name], int(mask.sum()), name)
    return metrics + evaluation.evaluate_weights(sae)


def _quality(texts: pa.Table, split: str) -> Quality:
    """Return the measurements on the texts of a split; all texts together are a split of their own."""
    columns = {field.name: texts[field.name].to_numpy() for field in dataclasses.fields(Quality)}
    return Quality(**columns | ({"split_spread": columns["spread"]} if split == "all" else {}))


def _made(sae: SAE, metrics: list[Metric], n_activations: int, n_texts: int) -> Made:
    values = {(metric.split, metric.metric): metric for metric in metrics}
    fvu = values.get(("held_out", "fvu"), values["all", "fvu"])
    known = math.isfinite(fvu.value)
    dead = values["all", "dead_share"].value
    facts = {
        "n_texts": n_texts,
        "n_features": sae.n_features,
        "n_activations": n_activations,
        "l0": n_activations / n_texts,
        "fvu": {"value": fvu.value, "low": fvu.low, "high": fvu.high, "split": fvu.split} if known else None,
        "dead_share": dead,
    }
    split = fvu.split.replace("_", "-")
    measured = f"FVU {fvu.value:.3f} ({fvu.low:.3f}–{fvu.high:.3f}, {split})"
    line = (
        f"{n_activations:,} activations of {n_texts:,} texts, {n_activations / n_texts:.1f} per text; "
        f"{measured if known else f'no FVU (the {split} texts are all the same)'}, {dead:.1%} of features dead"
    )
    return Made(line, facts)
