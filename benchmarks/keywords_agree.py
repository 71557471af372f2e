"""Keyword scores of a finished run against a plain loop of the baseline tutorial's method, to 4 decimals.

    python -m benchmarks.keywords_agree [RUN] [--features 20] [--seed 0]

Draws labelled features by seed, runs the tutorial's loop (benchmarks/tutorial_loop.py) on their top texts with a plain
SentenceTransformer and prints the largest difference. Exit code 1 when a keyword is missing or a 4th decimal differs.
"""

from __future__ import annotations

import argparse
import sys
from collections.abc import Sequence
from pathlib import Path

import numpy as np
import pyarrow.compute as pc
import pyarrow.parquet as pq

from benchmarks.seed_tutorial import print_keywords, read_keywords
from benchmarks.tutorial_loop import Difference, compare_keywords, open_model, tutorial_keywords
from featurelib.schema import FEATURES, TEXTS, TOP_TEXT_ROWS
from featurelib.storage.runs import Generation, open_run


def agree(generation: Generation, n_features: int, seed: int, keyword_texts: int = 10) -> list[Difference]:
    """Compare the keywords of `n_features` labelled features, drawn by `seed`, with the plain loop's."""
    from keybert import KeyBERT

    ours = read_keywords(generation, pq.read_metadata(generation.file(FEATURES)).num_rows)
    labelled = [feature_id for feature_id, own in enumerate(ours) if own]
    drawn = np.random.default_rng(seed).choice(labelled, min(n_features, len(labelled)), replace=False)
    texts = pq.read_table(generation.file(TEXTS), columns=["text"])["text"]
    model = open_model(generation.done("embed").facts)
    keybert = KeyBERT(model=model)
    differences = []
    for feature_id in sorted(drawn.tolist()):
        chosen = (pc.field("feature_id") == feature_id) & (pc.field("rank") <= keyword_texts)
        rows = pq.read_table(generation.file(TOP_TEXT_ROWS), filters=chosen).sort_by("rank")
        loop = tutorial_keywords(texts.take(rows["text_id"]).to_pylist(), keybert, model)
        differences.append(compare_keywords(loop, ours[feature_id]))
    return differences


def main(arguments: Sequence[str] | None = None) -> int:
    """Read the flags, compare, return 0 when all agree to 4 decimals, else 1."""
    parser = argparse.ArgumentParser(description="Keyword scores of a run against a plain loop of the tutorial.")
    parser.add_argument("run", nargs="?", type=Path, default=Path(__file__).parents[1] / "data" / "demo")
    parser.add_argument("--features", type=int, default=20)
    parser.add_argument("--seed", type=int, default=0)
    asked = parser.parse_args(arguments)
    differences = agree(open_run(asked.run).current(), asked.features, asked.seed)
    print_keywords(differences)
    return int(any(difference.only or difference.decimals for difference in differences))


if __name__ == "__main__":
    sys.exit(main())
