"""A run written with numpy whose features lie in planted regions of three levels, with invented measures of names."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

import numpy as np
import pandas as pd
import pyarrow as pa

from featurelib import schema
from featurelib.storage import files
from featurelib.storage.runs import Generation
from tests.support.numpy_run import DEAD, HOSTILE, N_FEATURES, N_TEXTS, NumpyRun, _write, finish, make_run

SIZES = (2, 4, 8)
"""Regions of each level: feature f lies in region f modulo that number, so that each lies in one coarser region."""
UNNAMED = ((1, 3), (2, 6))
"""The level and region_id of those without a name."""
NAMES = {(0, 0): "galaxy · star", (0, 1): HOSTILE, (1, 1): "Straße · CAFÉ"}
"""The names of some regions."""


def regions() -> pd.DataFrame:
    """The planted table of regions."""
    live = np.delete(np.arange(N_FEATURES), DEAD)
    draw = np.random.default_rng(3)
    rows = []
    for level, size in enumerate(SIZES):
        for region in range(size):
            named = (level, region) not in UNNAMED
            label = NAMES.get((level, region), f"name{level}{region} star{region}") if named else None
            n_texts, n_strongest = int(draw.integers(5, 60)), int(draw.integers(1, 21))
            measures = (draw.uniform(0.5, 1), draw.uniform(0, 1)) if named and region != 2 else (None, None)
            rows.append(
                (level, region, region % SIZES[level - 1] if level else None, label, 0.0, 0.0,
                 int((live % size == region).sum()), n_texts, n_texts / N_TEXTS, n_strongest,
                 int(draw.integers(0, n_strongest + 1)) if named else 0, *measures)
            )  # fmt: skip
    columns = ["level", "region_id", "parent_id", "label", "x", "y", "n_features", "n_texts", "share", "n_strongest",
               "n_holding", "auroc", "ap"]  # fmt: skip
    return pd.DataFrame(rows, columns=columns).astype({"parent_id": "Int32"})


def coverage() -> pd.DataFrame:
    """The planted table of name_coverage: feature 5 has no name, feature 6 no text that it could be counted on."""
    rows = [
        (f, method, 0 if f == 6 else 1 + f % 20, 0 if f == 6 else (f * 7 + less) % (2 + f % 20))
        for method, less in (("ours", 0), ("seed", 1))
        for f in range(N_FEATURES)
        if f != 5
    ]
    return pd.DataFrame(rows, columns=schema.NAME_COVERAGE.schema.names)


def region_run(folder: Path, *, older: bool = False, prefixes: Sequence[int] | None = None) -> NumpyRun:
    """A complete run with these regions; `older` leaves out what older versions do not measure of them.

    `prefixes` are those of its SAE, a Matryoshka.
    """
    made = make_run(folder)
    generation = made.generation
    (generation.path / "manifest.json").unlink()
    _write_regions(generation, older)
    live = np.delete(np.arange(N_FEATURES), DEAD)
    of = [(level, f % size, f) for level, size in enumerate(SIZES) for f in live]
    _write(generation, schema.REGION_FEATURES, pd.DataFrame(of, columns=schema.REGION_FEATURES.schema.names))
    _write(generation, schema.NAME_COVERAGE, coverage())
    finish(generation)
    if prefixes is not None:
        record_prefixes(generation, prefixes)
    return made


def record_prefixes(generation: Generation, prefixes: Sequence[int]) -> None:
    """Let a complete run say that its SAE is a Matryoshka with these prefixes."""
    (generation.path / "manifest.json").unlink()
    done = generation.done("train")
    assert done is not None
    generation.mark_done("train", replace(done, facts=done.facts | {"prefixes": list(prefixes)}))
    finish(generation)


def _write_regions(generation: Generation, older: bool) -> None:
    kept = [field for field in schema.REGIONS.schema if not older or field.name not in ("auroc", "ap")]
    rows = pa.Table.from_pandas(regions(), schema=pa.schema(kept), preserve_index=False)
    files.write_parquet(generation.file(schema.REGIONS), rows, rows.schema)
