"""What every question of the pages costs: CPU and wall time, on one run or on several beside each other.

Usage: python -m benchmarks.questions RUN_FOLDER [RUN_FOLDER …] [--rounds 15] [--seed 0] [--only NAME,NAME]

Each question is asked once to warm up and then `--rounds` times, each time for other features, texts and words; the
questions take turns, so that a noisy minute hits all of them. Times are in milliseconds: CPU is that of the process,
all threads, at the median; wall time at the median and the 95th percentile. Growth is the wall time on the last run
over that on the first. Questions that are asked once for each generation, and answered from memory afterwards, are
marked `once`: their time is that of the first answer.
"""

from __future__ import annotations

import argparse
import random
import sys
import time
from collections import defaultdict
from collections.abc import Callable
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Any

import numpy as np

from featurelib import queries
from featurelib.queries import FeatureFilter
from featurelib.schema import Refusal
from featurelib.search import labels as label_search
from featurelib.search import meaning, word_index
from featurelib.storage.runs import Run, open_run
from featurelib.storage.store import Store, open_store

WORDS = ("model", "energy", "quantum", "learning", "galaxies", "random", "group", "state", "field", "graph")


class Drawn:
    """A run, and features, texts and words drawn from it."""

    def __init__(self, run: Run, seed: int) -> None:
        self.run = run
        self.store: Store = open_store(run.current())
        self.draw = random.Random(seed)
        rows = self.store.ask("select feature_id from features where not dead order by feature_id")
        self.live: list[int] = rows["feature_id"].to_pylist()
        self.vectors = np.random.default_rng(seed)
        self.columns = [column.name for column in queries.filter_columns(self.store)]

    @cached_property
    def words(self) -> word_index.WordIndex:
        """The word index, made when it is first asked."""
        return word_index.open_words(self.store, self.run.cache_folder)

    @property
    def feature(self) -> int:
        """A live feature."""
        return self.draw.choice(self.live)

    @property
    def text(self) -> int:
        """A text of the corpus."""
        return self.draw.randrange(self.store.n_texts)

    @property
    def word(self) -> str:
        """A word that occurs often."""
        return self.draw.choice(WORDS)

    @property
    def column(self) -> str:
        """A column that may be filtered by."""
        return self.draw.choice(self.columns)

    def texts(self, n: int) -> list[int]:
        """Texts of the corpus."""
        return [self.text for _ in range(n)]

    def features(self, n: int) -> list[int]:
        """Live features."""
        return self.draw.sample(self.live, n)

    @property
    def vector(self) -> np.ndarray:
        """An embedding near to that of a text."""
        vector = meaning.embedding_of(self.store, self.text)
        noise = self.vectors.standard_normal(len(vector)).astype(np.float32)
        return vector + 0.02 * noise

    def value(self, feature_id: int, column: str) -> str | None:
        """The value of a column that most of a feature's texts have."""
        values = queries.metadata_values(self.store, feature_id, column, limit=12)["value"].to_pylist()
        return values[0] if values else None


Question = Callable[[Store, Drawn], Callable[[], Any]]
"""Draws what is asked for, and returns the question alone, which is what is timed."""


def _narrowed(store: Store, drawn: Drawn) -> Callable[[], Any]:
    feature_id, column = drawn.feature, drawn.column
    value = drawn.value(feature_id, column)
    return lambda: queries.top_texts(store, feature_id, column=column, value=value, collapse=True)


def _of_feature(ask: Callable[..., Any], **options: Any) -> Question:
    def question(store: Store, drawn: Drawn) -> Callable[[], Any]:
        feature_id = drawn.feature
        return lambda: ask(store, feature_id, **options)

    return question


def _of_texts(ask: Callable[..., Any], n: int, **options: Any) -> Question:
    def question(store: Store, drawn: Drawn) -> Callable[[], Any]:
        ids = drawn.texts(n)
        return lambda: ask(store, ids, **options)

    return question


def _of_text(ask: Callable[..., Any], **options: Any) -> Question:
    def question(store: Store, drawn: Drawn) -> Callable[[], Any]:
        text_id = drawn.text
        return lambda: ask(store, text_id, **options)

    return question


def _of_run(ask: Callable[..., Any], *values: Any, **options: Any) -> Question:
    return lambda store, drawn: lambda: ask(store, *values, **options)


def _by_words(ask: Callable[[Store, str], Any]) -> Question:
    def question(store: Store, drawn: Drawn) -> Callable[[], Any]:
        word = drawn.word
        return lambda: ask(store, word)

    return question


def _combined(ask: Callable[..., Any], n: int, n_absent: int = 0) -> Question:
    def question(store: Store, drawn: Drawn) -> Callable[[], Any]:
        ids = drawn.features(n + n_absent)
        return lambda: ask(store, ids[:n], ids[n:])

    return question


def _of_vector(ask: Callable[[Store, np.ndarray], Any]) -> Question:
    def question(store: Store, drawn: Drawn) -> Callable[[], Any]:
        vector = drawn.vector
        return lambda: ask(store, vector)

    return question


def _values(store: Store, drawn: Drawn) -> Callable[[], Any]:
    feature_id, column = drawn.feature, drawn.column
    return lambda: queries.metadata_values(store, feature_id, column)


def _evidence(store: Store, drawn: Drawn) -> Callable[[], Any]:
    feature_id = drawn.feature
    ids = queries.top_texts(store, feature_id)["text_id"].to_pylist()
    return lambda: queries.contributions(store, feature_id, ids)


def _search(ask: Callable[[word_index.WordIndex, str], Any]) -> Question:
    def question(_store: Store, drawn: Drawn) -> Callable[[], Any]:
        word = drawn.word
        return lambda: ask(drawn.words, word)

    return question


def _rankings(store: Store, drawn: Drawn) -> Callable[[], Any]:
    before, after = drawn.vector, drawn.vector
    return lambda: meaning.rankings(store, before, after)


QUESTIONS: dict[str, Question] = {
    "feature": _of_feature(queries.feature),
    "random_feature": lambda store, drawn: lambda: queries.random_feature(store, drawn.draw.random()),
    "explanation": _of_feature(queries.explanation),
    "fidelity": _of_feature(queries.fidelity),
    "keyword_evidence": _of_feature(queries.keyword_evidence),
    "keywords": _of_feature(queries.keywords),
    "feature_audit": _of_feature(queries.feature_audit),
    "count_top_texts": _of_feature(queries.count_top_texts, collapse=True),
    "top_texts": _of_feature(queries.top_texts, collapse=True),
    "top_texts narrowed": _narrowed,
    "contributions": _evidence,
    "active_features": _of_texts(queries.active_features, 10, per_text=4),
    "histogram": _of_feature(queries.histogram),
    "random_texts": _of_feature(queries.random_texts),
    "bands": _of_feature(queries.bands),
    "near_misses": _of_feature(queries.near_misses),
    "coactivations": _of_feature(queries.coactivations, limit=8),
    "coactivations by jaccard": _of_feature(queries.coactivations, limit=8, by="jaccard"),
    "neighbours": _of_feature(queries.neighbours, limit=8),
    "opposites": _of_feature(queries.opposites, limit=8),
    "relatives": _of_feature(queries.relatives),
    "metadata_values": _values,
    "text": _of_text(queries.text),
    "texts (20)": _of_texts(queries.texts, 20),
    "text_features": _of_text(queries.text_features),
    "text_metadata": _of_text(queries.text_metadata),
    "features page": _of_run(queries.features, sort="max_activation"),
    "features of all": _of_run(queries.features, limit=None),
    "features by words": _by_words(lambda store, word: queries.features(store, FeatureFilter(words=word))),
    "count_features": _of_run(queries.count_features),
    "find_features": _by_words(queries.find_features),
    "flagged_ids": _of_run(queries.flagged_ids),
    "counts": _of_run(queries.counts),
    "density_bins": _of_run(queries.density_bins),
    "l0_bins": _of_run(queries.l0_bins),
    "cosine_bins": _of_run(queries.cosine_bins),
    "worst_texts": _of_run(queries.worst_texts),
    "layout": _of_run(queries.layout),
    "clusters": _of_run(queries.clusters),
    "cluster_features": _of_run(queries.cluster_features, "cluster", 3),
    "cluster_keywords": _of_run(queries.cluster_keywords, "cluster", 3),
    "topic_layout": _of_run(queries.layout, "directions", "topic"),
    "themes": _of_run(queries.themes),
    "evaluation": _of_run(queries.evaluation),
    "text_bins fvu": _of_run(queries.text_bins, "fvu"),
    "threshold_bins": _of_run(queries.threshold_bins),
    "nearest_bins": _of_run(queries.nearest_bins),
    "fidelity_bins": _of_run(queries.fidelity_bins, "auroc"),
    "fidelity_summary": _of_run(queries.fidelity_summary),
    "families": _of_run(queries.families),
    "families by words": _by_words(lambda store, word: queries.families(store, word)),
    "family_members": _of_run(queries.family_members, 3),
    "audit_rows": _of_run(queries.audit_rows),
    "audit_counts": _of_run(queries.audit_counts),
    "text_layout": _of_run(queries.text_layout),
    "layout_activations": _of_feature(queries.layout_activations),
    "layout_kinds": lambda store, drawn: lambda: queries.layout_kinds(store, drawn.columns[0]),
    "features_among (200)": _of_texts(queries.features_among, 200),
    "count_combined (2)": _combined(queries.count_combined, 2),
    "count_combined (3 of 20)": _combined(queries.count_combined, 3, 17),
    "combined_texts (2)": _combined(queries.combined_texts, 2),
    "combined_texts (absent)": _combined(queries.combined_texts, 0, 2),
    "coactivation_matrix (20)": lambda store, drawn: (lambda ids: lambda: queries.coactivation_matrix(store, ids))(
        drawn.features(20)
    ),
    "texts by words": _search(lambda words, word: words.texts(word)),
    "count by words": _search(lambda words, word: words.count(word)),
    "embedding_of": _of_text(meaning.embedding_of),
    "texts_by_meaning": _of_vector(meaning.texts_by_meaning),
    "rankings": _rankings,
    "labels_by_meaning": _of_vector(label_search.labels_by_meaning),
    "labels_by_some_words": _by_words(label_search.labels_by_some_words),
}


@dataclass(frozen=True)
class Took:
    """How long one answer took, in ms."""

    cpu: float
    wall: float


def asked(question: Question, drawn: Drawn) -> Took:
    """Ask once."""
    ask = question(drawn.store, drawn)
    wall, cpu = time.perf_counter(), time.process_time()
    ask()
    return Took(1000 * (time.process_time() - cpu), 1000 * (time.perf_counter() - wall))


def measure(runs: list[Drawn], names: list[str], rounds: int) -> dict[str, dict[str, list[Took]]]:
    """The times of each question on each run; a question that is refused has none."""
    times: dict[str, dict[str, list[Took]]] = defaultdict(lambda: defaultdict(list))
    refused = set()
    for number in range(rounds + 1):
        for name in names:
            for drawn in runs:
                if (name, drawn.run.name) in refused:
                    continue
                try:
                    took = asked(QUESTIONS[name], drawn)
                except Refusal as refusal:
                    refused.add((name, drawn.run.name))
                    sys.stdout.write(f"{name} on {drawn.run.name}: {refusal}\n")
                    continue
                if number:
                    times[name][drawn.run.name].append(took)
    return times


def main(arguments: list[str] | None = None) -> int:
    """Print a line for each question."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("runs", nargs="+", type=Path)
    parser.add_argument("--rounds", type=int, default=15)
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--only", type=lambda names: names.split(","), help="questions, with commas between them")
    given = parser.parse_args(arguments)
    runs = [Drawn(open_run(folder), given.seed) for folder in given.runs]
    times = measure(runs, given.only or list(QUESTIONS), given.rounds)
    heads = "".join(f"{drawn.run.name + ': CPU':>18}{'wall':>9}{'95 %':>9}" for drawn in runs)
    sys.stdout.write(f"{'question':<26}{heads}{'growth':>9}\n")
    over = dict.fromkeys((drawn.run.name for drawn in runs), 0)
    for name, by_run in times.items():
        line, middles = f"{name:<26}", []
        for drawn in runs:
            took = by_run[drawn.run.name]
            if not took:
                line += f"{'–':>18}{'–':>9}{'–':>9}"
                continue
            cpu, wall = np.median([one.cpu for one in took]), [one.wall for one in took]
            middles.append(float(np.median(wall)))
            over[drawn.run.name] += middles[-1] > 30
            line += f"{cpu:>18.1f}{middles[-1]:>9.1f}{np.percentile(wall, 95):>9.1f}"
        growth = middles[-1] / middles[0] if len(middles) == len(runs) > 1 else float("nan")
        sys.stdout.write(f"{line}{growth:>9.1f}\n")
    for name, n_over in over.items():
        sys.stdout.write(f"{name}: {len(times) - n_over} of {len(times)} questions at or under 30 ms at the median\n")
    return 0


if __name__ == "__main__":
    sys.exit(main())
