"""Does comparing slices find what is there, and nothing else? Labels at random, length alone, and planted shifts.

Usage: python -m benchmarks.slices RUN_FOLDER [--column group] [--number year] [--times 200] [--seed 0]

Printed is how often anything is called a difference at a false discovery rate of 5 %: for one value of a column that
was permuted among the texts, for a number that was permuted, and for slices that differ in nothing but the length of
their texts; and how often a planted shift is found, some further texts of one feature in a slice drawn at random.
"""

from __future__ import annotations

import argparse
import sys
from collections.abc import Iterator
from pathlib import Path

import numpy as np

from featurelib.queries.metadata import coded_texts, metadata_column
from featurelib.queries.slices import units
from featurelib.queries.trend import numbers_of
from featurelib.slices.contrast import Contrast, Sets, contrasts
from featurelib.slices.trend import trend
from featurelib.storage.fired import feature_blocks, n_active, texts_of
from featurelib.storage.runs import open_run
from featurelib.storage.store import Store, open_store

SLICE, PLANTED = 1_000, (5, 10, 20, 40)


class Trial:
    """A run, and slices of it drawn at random."""

    def __init__(self, store: Store, seed: int) -> None:
        self.store, self.units, self.draw = store, units(store), np.random.default_rng(seed)
        self.blocks = list(feature_blocks(store))

    def against_the_rest(self, text_ids: np.ndarray) -> Contrast:
        """Hold some texts, ascending, against all others."""
        sets = Sets.of([text_ids], np.ones(self.store.n_texts, bool), self.units)
        return contrasts(self.blocks, sets, self.store.n_texts)[0]

    def permuted_values(self, column: str, times: int) -> Iterator[Contrast]:
        """One value of a permuted column at a time."""
        coded = coded_texts(self.store, metadata_column(self.store, column))
        for _ in range(times):
            codes = self.draw.permutation(coded.codes)
            yield self.against_the_rest(coded.text_ids[codes == self.draw.integers(len(coded.values))])

    def longer_texts(self, times: int) -> Iterator[Contrast]:
        """Slices in which a text stands the more likely the longer it is."""
        lengths = self.units.lengths
        share = 0.6 / (1 + np.exp(-(lengths - np.median(lengths)) / lengths.std()))
        for _ in range(times):
            yield self.against_the_rest(np.flatnonzero(self.draw.random(self.store.n_texts) < share))

    def planted(self, further: int, times: int) -> Iterator[tuple[Contrast, int]]:
        """A slice drawn at random, and some further texts of a feature with 1 to 10 % density, which is given too."""
        counts, n = n_active(self.store), self.store.n_texts
        features = np.flatnonzero((counts >= 0.01 * n) & (counts <= 0.1 * n))
        for feature_id in self.draw.choice(features, times).tolist():
            inside = np.zeros(n, bool)
            inside[self.draw.choice(n, min(SLICE, n // 4), replace=False)] = True
            outside = [text_id for text_id in texts_of(self.store, feature_id).text_ids.tolist() if not inside[text_id]]
            inside[self.draw.choice(outside, min(further, len(outside)), replace=False)] = True
            yield self.against_the_rest(np.flatnonzero(inside)), feature_id


def said(name: str, found: list[Contrast]) -> str:
    """How many comparisons have a finding, and how many features follow length."""
    n_any = sum(bool(each.differs.any()) for each in found)
    length = np.mean([each.follows_length.sum() for each in found])
    return (
        f"{name}: {n_any} of {len(found)} with any feature ({n_any / len(found):.1%}), {length:.1f} features a time "
        "said to follow length alone\n"
    )


def main(arguments: list[str] | None = None) -> int:
    """Print the table."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("run", nargs="?", type=Path, default=Path("data/demo"))
    parser.add_argument("--column", default="group")
    parser.add_argument("--number", default="year")
    parser.add_argument("--times", type=int, default=200)
    parser.add_argument("--seed", type=int, default=0)
    given = parser.parse_args(arguments)
    trial = Trial(open_store(open_run(given.run).current()), given.seed)
    sys.stdout.write(said(f"{given.column} permuted", list(trial.permuted_values(given.column, given.times))))
    numbers = numbers_of(trial.store, given.number)
    hits = sum(
        trend(trial.blocks, trial.draw.permutation(numbers), trial.units).differs.any() for _ in range(given.times)
    )
    sys.stdout.write(f"{given.number} permuted: {hits} of {given.times} with any feature ({hits / given.times:.1%})\n")
    sys.stdout.write(said("longer texts alone", list(trial.longer_texts(given.times))))
    for further in PLANTED:
        pairs = list(trial.planted(further, given.times // 4))
        hits = sum(bool(each.differs[feature_id]) for each, feature_id in pairs)
        others = np.mean([each.differs.sum() - each.differs[feature_id] for each, feature_id in pairs])
        sys.stdout.write(
            f"{further} further texts of one feature among {SLICE:,}: found {hits} of {len(pairs)}, "
            f"{others:.2f} others listed a time\n"
        )
    return 0


if __name__ == "__main__":
    sys.exit(main())
