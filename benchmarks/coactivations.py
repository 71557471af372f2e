"""Coactivations by counting beside the SQL that defines them, of the same features: CPU seconds, memory, equal rows.

Usage: python -m benchmarks.coactivations RUN [--features 1000] [--memory 3GB]

The SQL joins the activations of a range of features with all activations, as the stage summarise did; by default only
the first thousand features are asked for, and its seconds are told for all of them too. Exit code 1 when a row differs.
"""

from __future__ import annotations

import argparse
import os
import resource
import sys
import tempfile
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq

from featurelib import schema
from featurelib.storage.coactivation import count_coactivations
from featurelib.storage.runs import Generation, Run
from featurelib.storage.store import open_store
from featurelib.summaries.coactivations import rank_coactivations
from precompute.build.memory import DEFAULT_MEMORY, memory_bytes

PAIRS_PER_RANGE = 8_000_000
KILOBYTES_OF_MB = 1000

SQL = f"""
with fired as (
    select feature_id, count(*) as n
    from activations_by_feature
    group by feature_id
), both_fire as (
    select x.feature_id, y.feature_id as other_id, count(*) as n_both
    from activations_by_text y
    join activations_by_feature x on x.text_id = y.text_id
    where x.feature_id between $first and $last and x.feature_id <> y.feature_id
    group by x.feature_id, y.feature_id
    having count(*) >= {schema.MIN_BOTH}
), measured as (
    select b.feature_id, other_id, n_both, n_both / (f.n + o.n - n_both) as jaccard, n_both / f.n as conditional,
        (n_both * $n_texts)::double / (f.n * o.n)::double as lift
    from both_fire b
    join fired f on f.feature_id = b.feature_id
    join fired o on o.feature_id = other_id
)
select feature_id, row_number() over best as rank, other_id, n_both, jaccard, conditional, lift
from measured
window best as (partition by feature_id order by lift desc, n_both desc, other_id)
qualify row_number() over best <= {schema.COACTIVATIONS}
order by feature_id, rank
"""
"""The definition: activations joined with themselves, for the features from $first to $last."""


def by_sql(generation: Generation, last: int, memory: str = DEFAULT_MEMORY) -> pa.Table:
    """The rows of the features up to `last`, joined range by range."""
    n_features = pq.read_metadata(generation.file(schema.FEATURES)).num_rows
    step = max(1, PAIRS_PER_RANGE // n_features)
    with tempfile.TemporaryDirectory() as spill:
        store = open_store(generation, memory_limit=memory, spill=Path(spill))
        try:
            rows = [
                store.ask(SQL, first=first, last=min(first + step - 1, last), n_texts=store.n_texts)
                for first in range(0, last + 1, step)
            ]
        finally:
            store.close()
    return pa.concat_tables([table.cast(schema.COACTIVATION_ROWS.schema) for table in rows])


def by_counting(generation: Generation, memory: str = DEFAULT_MEMORY) -> pa.Table:
    """The rows of all features, as the stage summarise makes them."""
    n_active = pq.read_table(generation.file(schema.FEATURES))["n_active"].to_numpy().astype(np.int64)
    n_texts = pq.read_metadata(generation.file(schema.TEXTS)).num_rows
    blocks = count_coactivations(generation.parts(schema.BY_TEXT), len(n_active), memory_bytes(memory))
    return pa.concat_tables([rank_coactivations(counts, first, n_active, n_texts) for first, counts in blocks])


def measured(make: Callable[[], pa.Table]) -> tuple[pa.Table, float, int]:
    """What was made, the CPU seconds, and the largest resident size of the process so far, in MB."""
    before = os.times()
    made = make()
    after = os.times()
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss // KILOBYTES_OF_MB
    return made, after.user + after.system - before.user - before.system, peak


def main() -> int:
    """Print a line for each way; 1 when their rows differ."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("run", type=Path)
    parser.add_argument("--features", type=int, default=1000)
    parser.add_argument("--memory", default=DEFAULT_MEMORY)
    options = parser.parse_args()
    generation = Run(options.run).current()
    n_features = pq.read_metadata(generation.file(schema.FEATURES)).num_rows
    n_asked = min(options.features, n_features)
    n_rows = sum(pq.read_metadata(part).num_rows for part in generation.parts(schema.BY_TEXT))
    counted, seconds, peak = measured(lambda: by_counting(generation, options.memory))
    print(f"{n_rows:,} activations of {n_features:,} features")
    print(f"counting  {seconds:8.1f} CPU s, peak {peak:,} MB")
    joined, seconds, peak = measured(lambda: by_sql(generation, n_asked - 1, options.memory))
    print(f"SQL       {seconds * n_features / n_asked:8.1f} CPU s from {n_asked:,} features, peak {peak:,} MB")
    same = counted.filter(pa.compute.less(counted["feature_id"], n_asked)).equals(joined)
    print(f"{joined.num_rows:,} rows of {n_asked:,} features are {'equal' if same else 'NOT equal'}")
    return 0 if same else 1


if __name__ == "__main__":
    sys.exit(main())
