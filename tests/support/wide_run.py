"""The small run of numpy with many more metadata columns, of which it is known which tell most."""

from __future__ import annotations

from pathlib import Path

import pandas as pd
import pyarrow as pa
import pyarrow.parquet as pq

from featurelib.schema import TEXTS
from tests.support.numpy_run import N_TEXTS, NumpyRun, finish, make_run

EVEN = [f"even_{n}" for n in range(40)]
"""Three values, each on a third of the texts: two thirds have one that is not the commonest."""
SKEWED = [f"skewed_{n}" for n in range(100)]
"""One value on nearly all texts, another on every fiftieth."""
RARE = [f"rare_{n}" for n in range(100)]
"""Two values, on every tenth text; nothing on the others."""
UNIQUE = [f"unique_{n}" for n in range(100)]
"""A value of its own for every text."""
EMPTY = [f"empty_{n}" for n in range(60)]
"""No value at all."""


def wide_columns() -> pd.DataFrame:
    """The 400 columns."""
    columns: dict[str, list[object]] = {}
    for n, name in enumerate(EMPTY[:30] + SKEWED + UNIQUE + RARE + EVEN + EMPTY[30:]):
        kind = name.split("_")[0]
        columns[name] = [
            {
                "even": f"e{(i + n) % 3}",
                "skewed": "rest" if (i + n) % 50 else "few",
                "rare": f"r{i // 10 % 2}" if i % 10 == 4 else None,
                "unique": f"u{n} {i}",
                "empty": None,
            }[kind]
            for i in range(N_TEXTS)
        ]
    return pd.DataFrame(columns)


def make_wide_run(folder: Path) -> tuple[NumpyRun, pd.DataFrame]:
    """Write the run; return it and its columns."""
    made, columns = make_run(folder), wide_columns()
    path = made.generation.file(TEXTS)
    rows = pq.read_table(path)
    for name in columns:
        rows = rows.append_column(name, pa.array(columns[name], pa.string()))
    pq.write_table(rows, path, row_group_size=64)
    finish(made.generation)
    return made, columns
