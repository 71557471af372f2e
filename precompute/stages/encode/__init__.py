"""encode: embeddings and SAE → activations in both orders, neighbours, thresholds, and how well texts are rebuilt."""

from __future__ import annotations

import dataclasses
import math
from dataclasses import replace

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq

from featurelib.sae import evaluation
from featurelib.sae.checkpoints import load_sae
from featurelib.sae.evaluation import Metric, Quality
from featurelib.sae.model import SAE
from featurelib.sae.pooling import DEFAULT
from featurelib.schema import (
    BY_FEATURE,
    BY_TEXT,
    EMBEDDINGS,
    EVALUATION,
    NEIGHBOUR_ROWS,
    NEIGHBOURS,
    OPPOSITE_ROWS,
    OPPOSITES,
    TEXT_SUMMARIES,
    THRESHOLDS,
    TOKEN_BY_FEATURE,
    TOKEN_BY_TEXT,
    WEIGHTS,
    Table,
)
from featurelib.storage.activation_rows import count_by_feature, sort_by_feature
from featurelib.storage.feature_weights import read_feature_weights
from featurelib.storage.parts.part_files import Part, read_part
from featurelib.storage.runs import Generation
from precompute.build.job import Job, Made
from precompute.build.stage import Stage
from precompute.stages.encode.measuring import SPLITS, PartFiles
from precompute.stages.encode.part_encoder import encode_parts, read_split

SHARE_OF_ROW = 375
"""Bytes of --memory for each row that is sorted at a time, a sixth of which it takes: the rest is for the SAE."""


def encode(job: Job) -> Made:
    """Write the tables of the stage; a part of the activations that exists is kept."""
    from featurelib.sae.training.trainer import find_device

    generation = job.generation
    sae = load_sae(generation.sae_folder)
    split = read_split(generation)
    parts = generation.parts(EMBEDDINGS)
    if job.append:
        for table in (BY_TEXT, TOKEN_BY_TEXT):
            job.append.link_parts(generation, table)
    traits = encode_parts(job, sae.to(find_device(job.config.device)), split)
    measured = _join_measured(job, parts)
    counts = _sort(job, BY_TEXT, BY_FEATURE, sae.n_features, split)
    if job.config.has_tokens:
        _sort(job, TOKEN_BY_TEXT, TOKEN_BY_FEATURE, sae.n_features, split)
    _write_text_summaries(generation, parts, measured, split)
    largest = _write_directions(generation, sae)
    metrics = _evaluate(sae, measured, counts, split, largest)
    generation.write_rows(EVALUATION, metrics)
    made = replace(_made(sae, metrics, measured, int(counts.sum())), volatile=traits)
    return replace(made, facts=made.facts | {"pool": job.config.pool or DEFAULT}) if job.config.has_tokens else made


STAGE = Stage(
    name="encode",
    makes="activations, neighbours and the evaluation of the SAE",
    make=encode,
    grounds="embeddings and SAE",
    after=("embed", "train"),
    options=("seed", "pool"),
    later_options=("pool",),
    kept="the activations that are there stay; all texts are measured again, because the mean of all texts changes",
    version=2,
    chapter="evaluation",
)


def _sort(job: Job, by_text: Table, by_feature: Table, n_features: int, split: np.ndarray) -> np.ndarray:
    """Write rows by feature; returns how many each feature has in each split, int64 [len(SPLITS), n_features]."""
    parts = job.generation.parts(by_text)
    counts = count_by_feature(parts, n_features, split, len(SPLITS))
    with job.progress(int(counts.sum()), "rows sorted") as bar:
        sort_by_feature(
            parts,
            job.generation.part_folder(by_feature),
            counts.sum(axis=0),
            bar.advance,
            rows_in_memory=job.config.memory_bytes // SHARE_OF_ROW,
        )
    return counts


def _join_measured(job: Job, parts: list[Part]) -> pa.Table:
    paths = [PartFiles.of(job.generation, job.config, part.name).measured for part in parts]
    return pa.concat_tables(pq.read_table(path) for path in paths).combine_chunks()


def _write_text_summaries(generation: Generation, parts: list[Part], measured: pa.Table, split: np.ndarray) -> None:
    tokens = pa.concat_tables(read_part(part, ["n_tokens", "truncated", "cut"]) for part in parts)
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


def _write_directions(generation: Generation, sae: SAE) -> np.ndarray:
    """Write each feature's nearest and most opposite directions, its threshold and its alignment.

    Returns the cosine of each direction with its nearest, float64.
    """
    neighbours = evaluation.nearest_directions(sae, NEIGHBOURS, OPPOSITES)
    generation.write(NEIGHBOUR_ROWS, list(neighbours.nearest))
    generation.write(OPPOSITE_ROWS, list(neighbours.opposite))
    ids = np.arange(sae.n_features, dtype=np.int32)
    generation.write(THRESHOLDS, [ids, sae.thresholds().numpy(), evaluation.alignment(sae)])
    generation.write(WEIGHTS, [ids, *read_feature_weights(generation.sae_folder)])
    return neighbours.largest


def _evaluate(sae: SAE, measured: pa.Table, counts: np.ndarray, split: np.ndarray, largest: np.ndarray) -> list[Metric]:
    """Return the metrics of each split that has texts, of all texts together, and of the weights."""
    masks = {name: split == number for number, name in enumerate(SPLITS) if (split == number).any()}
    counted = {name: counts[number] for number, name in enumerate(SPLITS)} | {"all": counts.sum(axis=0)}
    masks["all"] = np.ones(len(split), bool)
    metrics = []
    for name, mask in masks.items():
        texts = measured.filter(pa.array(mask))
        metrics += _evaluate_rows(texts, name)
        if sae.norm != "none":
            spread = texts["normal_spread" if name == "all" else "normal_split_spread"].to_numpy()
            metrics += evaluation.evaluate_normalised(texts["normal_error"].to_numpy(), spread, name)
        metrics += evaluation.evaluate_features(counted[name], int(mask.sum()), name)
    return metrics + evaluation.evaluate_weights(sae, largest)


def _evaluate_rows(texts: pa.Table, split: str) -> list[Metric]:
    """Return what holds of the texts of a split, or in a token run of their tokens."""
    quality, n_rows = _quality(texts, split), texts["n_rows"].to_numpy()
    if (n_rows == 1).all():
        return evaluation.evaluate_texts(quality, split)
    metrics = evaluation.evaluate_tokens(quality, n_rows, texts["n_fired"].to_numpy(), split)
    own = "usual_spread" if split == "all" else "usual_split_spread"
    error, spread, n_usual = (texts[name].to_numpy() for name in ("usual_error", own, "n_usual"))
    return metrics + evaluation.evaluate_usual_tokens(error, spread, n_usual, int(n_rows.sum()), split)


def _quality(texts: pa.Table, split: str) -> Quality:
    """Return the measurements on the texts of a split; all texts together are a split of their own."""
    columns = {field.name: texts[field.name].to_numpy() for field in dataclasses.fields(Quality)}
    return Quality(**columns | ({"split_spread": columns["spread"]} if split == "all" else {}))


def _made(sae: SAE, metrics: list[Metric], measured: pa.Table, n_activations: int) -> Made:
    n_texts, n_tokens = len(measured), int(measured["n_rows"].to_numpy().sum())
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
    of_tokens = ""
    if n_tokens > n_texts:
        l0 = values["all", "l0"].value
        facts |= {"n_tokens": n_tokens, "l0_token": l0}
        of_tokens = f", {l0:.1f} per token of {n_tokens:,}"
    split = fvu.split.replace("_", "-")
    usual = values.get((fvu.split, "fvu_usual"))
    if usual is not None:
        facts["fvu_usual"] = usual.value
        of_tokens += f"; FVU {usual.value:.3f} on tokens of usual length"
    fvu_words = f"FVU {fvu.value:.3f} ({fvu.low:.3f}–{fvu.high:.3f}, {split})"
    line = (
        f"{n_activations:,} activations of {n_texts:,} texts, {n_activations / n_texts:.1f} per text{of_tokens}; "
        f"{fvu_words if known else f'no FVU (the {split} texts are all the same)'}, {dead:.1%} of features dead"
    )
    return Made(line, facts)
