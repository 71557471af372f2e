"""A run written with numpy that has all that maps draw: places of features and texts, regions, families."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pandas as pd

from featurelib import schema
from tests.support.numpy_run import DEAD, N_FEATURES, N_TEXTS, NumpyRun, _write, finish
from tests.support.region_run import SIZES, region_run

LIVE = np.delete(np.arange(N_FEATURES), DEAD)
PLACED = np.array([text_id for text_id in range(N_TEXTS) if text_id % 3])
"""The texts that have a place on the text map."""
FAMILY_OF = {int(f): int(f) % 3 for f in LIVE[:20]} | {int(f): 3 + place // 2 for place, f in enumerate(LIVE[20:36])}
"""The family of each feature that is in one: three large ones and eight of two, more than there are colours."""


def text_places() -> pd.DataFrame:
    """Where the texts lie."""
    return pd.DataFrame({"text_id": PLACED, "x": PLACED % 17, "y": PLACED % 23})


def region_texts() -> pd.DataFrame:
    """Text t lies in region t modulo the number of regions, but every tenth in none."""
    ids = np.array([t for t in range(N_TEXTS) if t % 10 != 9])
    levels = [
        pd.DataFrame({"level": level, "region_id": ids % size, "text_id": ids, "strength": 1.0})
        for level, size in enumerate(SIZES)
    ]
    return pd.concat(levels)


def families() -> tuple[pd.DataFrame, pd.DataFrame]:
    """The families, and of each its root, the feature with the smallest id, and its size."""
    rows = pd.DataFrame({"feature_id": list(FAMILY_OF), "family_id": list(FAMILY_OF.values())})
    rows = rows.assign(parent_id=None, depth=0, n_both=None, conditional=None, share_of_parent=None, nesting=None)
    metrics = rows.groupby("family_id")["feature_id"].agg(root_id="min", size="count").reset_index()
    return rows, metrics.assign(depth=1, **dict.fromkeys(schema.FAMILY_METRICS.schema.names[4:], 1.0))


def map_run(folder: Path) -> NumpyRun:
    """Write the run."""
    made = region_run(folder)
    generation = made.generation
    (generation.path / "manifest.json").unlink()
    places = pd.DataFrame({"feature_id": LIVE, "x": np.sin(LIVE * 3.0), "y": np.cos(LIVE * 5.0)})
    _write(generation, schema.FIRING_LAYOUT, places)
    _write(generation, schema.TEXT_LAYOUT, text_places())
    _write(generation, schema.REGION_TEXTS, region_texts())
    for table, rows in zip((schema.FAMILIES, schema.FAMILY_METRICS), families(), strict=True):
        _write(generation, table, rows)
    finish(generation)
    return made
