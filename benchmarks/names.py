"""Do names stand in the texts they name? A run's names beside the thesis' and those of class-based TF-IDF.

    python -m benchmarks.names RUN [--other RUN] [--exact] [--seed 0]

RUN is the folder of a run; --other an older run of the same texts and SAE, whose names are measured beside. Measured
from the run's Parquet files with scikit-learn, sharing no code with featurelib.labels or the stage labels (the embedder
and the thesis' own choice of three keywords apart):

- stray words: of all words of the names, the share that stands in at most one of the feature's twenty top texts (of all
  texts), as whole words of any case, a plural like its singular (not with --exact); and the same among features that
  fire on ten texts or more;
- stray parts: the same of the parts of names, each of which a text must hold whole;
- coverage: the share of a feature's twenty strongest label test texts that hold any word of its name, or any whole part
  of it, over features that fire on one or more of them;
- AUROC by resemblance (cosine of the text to the mean of the unit embeddings of the name's parts) and average precision
  by words (how many of the name's parts the text holds), over features that fire on five label test texts or more;
- weak parts: of the parts of names, the share whose own AUROC by resemblance is below .6.

Each with its 95 % bootstrap interval over features; only those that every method names are measured. Class-based
TF-IDF is BERTopic's (Grootendorst 2022, arXiv:2203.05794): the naming texts on which a feature fires are its class, and
its name are the three words with the largest frequency in the class × log(1 + mean words of a class / frequency in all
classes), English stop words left out.
"""

from __future__ import annotations

import argparse
import sys
from collections.abc import Callable
from pathlib import Path
from typing import NamedTuple

import numpy as np
import pandas as pd
import pyarrow.parquet as pq
from sklearn.feature_extraction.text import CountVectorizer
from sklearn.metrics import average_precision_score, roc_auc_score

from benchmarks.fidelity import Speller, at_length_one, keyword_vectors, parts_of, read_parts, stands
from featurelib.storage.runs import open_run

TOP, LEAST, OFTEN = 20, 5, 10
WEAK = 0.6
Names = dict[int, list[str]]
"""The parts of the name of each feature that has one."""


class Corpus(NamedTuple):
    """The texts of a run and what fires on them."""

    words: list[set[str]]
    """Of each text, case folded; words with hyphens whole and in pieces."""
    is_test: np.ndarray
    """Whether each text is a label test text."""
    units: np.ndarray
    """The embeddings of all texts at length 1."""
    fired: dict[int, np.ndarray]
    """The texts on which each feature fires, the strongest first."""
    speller: Speller


def read_corpus(run: Path, speller: Speller) -> Corpus:
    """Read a generation."""
    texts = pq.read_table(run / "texts.parquet", columns=["text_id", "text"]).to_pandas().sort_values("text_id")
    parts = pq.read_table(run / "summaries/evidence_parts.parquet").to_pandas().sort_values("text_id")
    vectors = read_parts(run / "embeddings", ["text_id", "embedding"]).sort_values("text_id")
    rows = read_parts(run / "activations/by_feature", ["text_id", "feature_id", "activation"])
    rows = rows.sort_values(["feature_id", "activation", "text_id"], ascending=[True, False, True])
    return Corpus(
        [speller.words_and_pieces(text) for text in texts["text"]],
        (parts["part"] == "judged").to_numpy(),
        at_length_one(np.stack(vectors["embedding"].to_list()).astype(np.float32)),
        {int(feature_id): group.to_numpy() for feature_id, group in rows.groupby("feature_id")["text_id"]},
        speller,
    )


def run_names(run: Path) -> Names:
    """The names of a run's features."""
    rows = pq.read_table(run / "summaries/labels.parquet").to_pandas()
    named = rows[~rows["source"].isin(["none", "no theme"])]
    return {int(row.feature_id): parts_of(row.label) for row in named.itertuples()}


def thesis_names(run: Path) -> Names:
    """The names that the thesis' method gives."""
    rows = pq.read_table(run / "summaries/fidelity.parquet").to_pandas()
    rows = rows[rows["method"] == "seed"].drop_duplicates("feature_id")
    return {int(row.feature_id): parts_of(row.label) for row in rows.itertuples()}


def class_names(run: Path, corpus: Corpus) -> Names:
    """Three words for each feature by class-based TF-IDF over the naming texts on which it fires."""
    texts = pq.read_table(run / "texts.parquet", columns=["text_id", "text"]).to_pandas().sort_values("text_id")["text"]
    parts = pq.read_table(run / "summaries/evidence_parts.parquet").to_pandas().sort_values("text_id")["part"]
    is_naming = (parts == "named").to_numpy()
    counter = CountVectorizer(stop_words="english")
    counts = counter.fit_transform(texts)
    words = counter.get_feature_names_out()
    own = {feature_id: ids[is_naming[ids]] for feature_id, ids in corpus.fired.items() if is_naming[ids].any()}
    classes = {feature_id: np.asarray(counts[ids].sum(axis=0))[0] for feature_id, ids in own.items()}
    overall = np.sum(list(classes.values()), axis=0)
    mean_words = overall.sum() / len(classes)
    idf = np.log(1 + mean_words / np.maximum(overall, 1))
    return {
        feature_id: words[np.argsort(-(of_class / max(of_class.sum(), 1)) * idf, kind="stable")[:3]].tolist()
        for feature_id, of_class in classes.items()
    }


def whole(part: list[str], own: set[str]) -> bool:
    """Whether a text of these words holds all words of a part."""
    return all(stands(word, own) for word in part)


def measure(names: Names, corpus: Corpus, vectors: dict[str, np.ndarray]) -> pd.DataFrame:
    """One row a feature: what is described above."""
    test_ids = np.flatnonzero(corpus.is_test)
    rows = []
    for feature_id, parts in names.items():
        fired = corpus.fired.get(feature_id, np.empty(0, np.int64))
        if not len(fired):
            continue
        words = [word for part in parts for word in corpus.speller.words(part)]
        top = [corpus.words[text_id] for text_id in fired[:TOP]]
        needed = [corpus.speller.words(part) for part in parts]
        stray = [sum(stands(word, own) for own in top) <= 1 for word in words]
        stray_parts = [sum(whole(part, own) for own in top) <= 1 for part in needed]
        on_test = fired[corpus.is_test[fired]]
        strongest = [corpus.words[text_id] for text_id in on_test[:TOP]]
        covered = np.mean([any(stands(word, own) for word in words) for own in strongest]) if strongest else np.nan
        by_whole = np.mean([any(whole(part, own) for part in needed) for own in strongest]) if strongest else np.nan
        row = {"feature": feature_id, "n": len(fired), "words": len(words), "stray": sum(stray), "coverage": covered}
        row |= {"all parts": len(parts), "stray parts": sum(stray_parts), "whole": by_whole}
        if min(len(on_test), len(test_ids) - len(on_test)) >= LEAST:
            truth = np.isin(test_ids, on_test)
            of_parts = np.stack([vectors[part] for part in parts])
            scores = corpus.units[test_ids] @ of_parts.T
            held = [sum(whole(part, corpus.words[text_id]) for part in needed) for text_id in test_ids]
            row |= {
                "auroc": roc_auc_score(truth, scores.mean(axis=1)),
                "ap words": average_precision_score(truth, held),
                "parts": len(parts),
                "weak": sum(roc_auc_score(truth, column) < WEAK for column in scores.T),
            }
        rows.append(row)
    return pd.DataFrame(rows)


def ratio(above: str, below: str) -> Callable[[pd.DataFrame], float]:
    """The sum of one column by that of another."""
    return lambda rows: rows[above].sum() / rows[below].sum()


def mean(column: str) -> Callable[[pd.DataFrame], float]:
    """The mean of a column over the features that have it."""
    return lambda rows: rows[column].mean()


def over_features(rows: pd.DataFrame, statistic: Callable[[pd.DataFrame], float], seed: int) -> str:
    """A statistic with its bootstrap interval over features."""
    columns = rows.reset_index(drop=True)
    places = np.arange(len(columns))

    def of_drawn(drawn: np.ndarray) -> float:
        return statistic(columns.iloc[drawn])

    draw = np.random.default_rng(seed)
    values = [of_drawn(draw.choice(places, len(places))) for _ in range(500)]
    low, high = np.quantile(values, [0.025, 0.975])
    return f"{statistic(columns):.3f} ({low:.3f}–{high:.3f})"


def report(names: Names, corpus: Corpus, vectors: dict[str, np.ndarray], seed: int) -> None:
    """Print what is described above for one method."""
    rows = measure(names, corpus, vectors)
    measured = rows.dropna(subset="auroc") if "auroc" in rows else rows.iloc[:0]
    often, tested = rows[rows["n"] >= OFTEN], rows.dropna(subset="coverage")
    lines = [
        ("stray words", rows, ratio("stray", "words")),
        ("stray words, fires on ten or more", often, ratio("stray", "words")),
        ("stray parts", rows, ratio("stray parts", "all parts")),
        ("coverage by any word", tested, mean("coverage")),
        ("coverage by whole parts", tested, mean("whole")),
        ("AUROC by resemblance", measured, mean("auroc")),
        ("average precision by words", measured, mean("ap words")),
        ("weak parts", measured, ratio("weak", "parts")),
    ]
    print(f"  {rows['words'].mean():.2f} words each; AUROC and AP of {len(measured):,}")
    for title, of_rows, statistic in lines:
        print(f"  {title:34s} {over_features(of_rows, statistic, seed) if len(of_rows) else 'not measured'}")


def main(arguments: list[str] | None = None) -> int:
    """Measure and print."""
    parser = argparse.ArgumentParser(description=__doc__.split("\n\n")[0])
    parser.add_argument("run")
    parser.add_argument("--other")
    parser.add_argument("--exact", action="store_true")
    parser.add_argument("--seed", type=int, default=0)
    options = parser.parse_args(arguments)
    generation = open_run(options.run).current()
    corpus = read_corpus(generation.path, Speller(options.exact))
    methods = {"this run": run_names(generation.path)}
    if options.other:
        methods["the other run"] = run_names(open_run(options.other).current().path)
    methods |= {
        "the thesis' method": thesis_names(generation.path),
        "class-based TF-IDF": class_names(generation.path, corpus),
    }
    embedder = generation.describe()["embedder"]
    parts = sorted({part for names in methods.values() for of_name in names.values() for part in of_name})
    vectors = keyword_vectors(embedder.get("embedder") or embedder, parts)
    print(f"{len(corpus.words):,} texts, {corpus.is_test.sum():,} of them label test texts")
    in_all = set.intersection(*(set(names) for names in methods.values()))
    print(f"{len(in_all):,} features have a name by every method and are measured")
    for name, names in methods.items():
        print(f"\n{name}: {len(names):,} features named")
        report(
            {feature_id: parts for feature_id, parts in names.items() if feature_id in in_all},
            corpus,
            vectors,
            options.seed,
        )
    return 0


if __name__ == "__main__":
    sys.exit(main())
