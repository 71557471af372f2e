"""Ours: encode_sparse and activation rows as the stage encode writes them, top texts as the stage summarise asks.

Everything goes through the disk as in a build: parts by text, the same rows sorted by feature, DuckDB's answer.
"""

from __future__ import annotations

import os
import sys
import tempfile
from pathlib import Path

import duckdb
import numpy as np
import pyarrow as pa
import torch

from benchmarks.examples.side import TOP, Found, Given, Meter
from featurelib.sae.gates import JumpReLU
from featurelib.sae.model import SAE
from featurelib.schema import BY_FEATURE, BY_TEXT
from featurelib.storage.activation_rows import Rows, count_by_feature, read_rows, sort_by_feature, write_rows
from featurelib.storage.runs import Generation
from featurelib.summaries import ROW_BYTES, ROWS_PER_RANGE, TOP_TEXTS, feature_ranges
from precompute.build.job import rows_per_part
from precompute.build.memory import DEFAULT_MEMORY, memory_bytes
from precompute.stages.encode import SHARE_OF_ROW

MEMORY = memory_bytes(DEFAULT_MEMORY)


def make_sae(given: Given) -> SAE:
    """Return the SAE in our class."""
    names = ("W_enc", "b_enc", "W_dec", "b_dec")
    gate = JumpReLU(torch.from_numpy(given.threshold))
    return SAE(**{name: torch.from_numpy(getattr(given, name)) for name in names}, gate=gate)


def encode(sae: SAE, x: np.ndarray, generation: Generation) -> None:
    """Write the activations by text, part after part."""
    size = rows_per_part(len(x))
    for number, first in enumerate(range(0, len(x), size)):
        sparse = sae.encode_sparse(x[first : first + size])
        feature_ids = sparse.feature_ids.numpy().astype(np.int32)
        rows = Rows(sparse.rows.numpy() + first, feature_ids, sparse.activations.numpy())
        write_rows(generation.file(BY_TEXT) / f"part-{number:05d}.parquet", rows)


def find_top(generation: Generation, n_texts: int, n_features: int) -> pa.Table:
    """Sort the activations by feature and return the top texts: feature_id, rank, text_id, activation."""
    parts = generation.parts(BY_TEXT)
    counts = count_by_feature(parts, n_features, np.zeros(n_texts, np.int8), 1)[0]
    folder = generation.file(BY_FEATURE)
    sort_by_feature(parts, folder, counts, lambda _: None, rows_in_memory=MEMORY // SHARE_OF_ROW)
    ranges = feature_ranges(counts.tolist(), max_rows=min(ROWS_PER_RANGE, MEMORY // ROW_BYTES))
    settings = {"memory_limit": DEFAULT_MEMORY, "threads": int(os.environ["OMP_NUM_THREADS"])}
    with duckdb.connect(":memory:", config=settings) as connection:
        connection.execute(f"create view {BY_FEATURE.view} as select * from read_parquet('{folder}/*.parquet')")
        return pa.concat_tables(
            connection.execute(TOP_TEXTS, {"first": first, "last": last}).to_arrow_table() for first, last in ranges
        )


def collect(generation: Generation, top: pa.Table, n_features: int) -> Found:
    """Return what was written and asked, for the comparison."""
    parts = [read_rows(part) for part in generation.parts(BY_TEXT)]
    texts, activations = np.full((n_features, TOP), -1), np.zeros((n_features, TOP), np.float32)
    places = top["feature_id"].to_numpy(), top["rank"].to_numpy() - 1
    texts[places], activations[places] = top["text_id"].to_numpy(), top["activation"].to_numpy()
    return Found(
        np.concatenate([part.text_ids for part in parts]),
        np.concatenate([part.feature_ids for part in parts]).astype(np.int64),
        np.concatenate([part.activations for part in parts]),
        texts,
        activations,
    )


def main() -> None:
    """Do the steps on what lies in the folder named first, write what was found to the path named second."""
    given = Given.read(Path(sys.argv[1]))
    sae = make_sae(given)
    with tempfile.TemporaryDirectory() as folder:
        generation = Generation(Path(folder))
        meter = Meter()
        meter.measure("activations", lambda: encode(sae, given.x, generation))
        top = meter.measure("top texts", lambda: find_top(generation, len(given.x), sae.n_features))
        meter.read_peak()
        meter.say()
        collect(generation, top, sae.n_features).write(Path(sys.argv[2]))


if __name__ == "__main__":
    main()
