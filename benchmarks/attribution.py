"""Do attributions add up on a run, and how far do they order words as deleting them does?

    python benchmarks/attribution.py data/demo [--texts 1000 --features 10 --deleted 30 --seed 0]

First: on `--texts` texts drawn at random, each with its `--features` strongest features, the largest |Σ attributions +
special + constant − pre-activation|, the latter of the run's stored embedding. Then: for `--deleted` texts drawn from
those that the embedder reads whole, each word is deleted and the rest embedded again; Spearman's and Pearson's
correlation of attributions and changes over the words of a text, for its strongest feature, with bootstrap intervals of
the mean over texts; the same ranks for 20 features drawn at random, most of which do not fire; and how many of a text's
five strongest words are the same by both.
"""

from __future__ import annotations

import argparse
import sys
import time
from pathlib import Path

import numpy as np
import pyarrow.parquet as pq

sys.path.insert(0, str(Path(__file__).resolve().parent.parent))

from featurelib.attribution import find_words, token_attributions, without_word, word_attributions
from featurelib.embedder import Embedder, load_embedder
from featurelib.sae.checkpoints import load_sae
from featurelib.sae.encoder_view import readout
from featurelib.sae.model import SAE
from featurelib.schema import EMBEDDINGS, TEXT_SUMMARIES, TEXTS
from featurelib.stats import correlation, rank_correlation
from featurelib.storage.embeddings import read_embeddings
from featurelib.storage.runs import Generation, open_run

AT_ONCE = 64
RESAMPLED = 10_000
TOP = 5
DRAWN = 20


def main() -> None:
    """Measure and print."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("run", type=Path)
    for flag, default in (("--texts", 1000), ("--features", 10), ("--deleted", 30), ("--seed", 0)):
        parser.add_argument(flag, type=int, default=default)
    flags = parser.parse_args()
    generation = open_run(flags.run).current()
    sae, embedder = load_sae(generation.sae_folder), open_embedder(generation)
    draw = np.random.default_rng(flags.seed)
    n_texts = pq.read_metadata(generation.file(TEXTS)).num_rows
    text_ids = np.sort(draw.choice(n_texts, min(flags.texts, n_texts), replace=False))
    check_sum(generation, embedder, sae, text_ids, flags.features)
    truncated = pq.read_table(generation.file(TEXT_SUMMARIES))["truncated"].to_numpy(zero_copy_only=False)
    whole = np.flatnonzero(~truncated.astype(bool))
    compare_with_deleting(generation, embedder, sae, draw.choice(whole, flags.deleted, replace=False), draw)


def open_embedder(generation: Generation) -> Embedder:
    """The embedder that the run names, on the cpu."""
    facts = generation.describe()["embedder"]
    facts = facts.get("embedder") or facts
    names = ("revision", "normalize", "max_seq_length")
    return load_embedder(
        facts["name"], prompt=facts["prompt"] or "", device="cpu", **{name: facts[name] for name in names}
    )


def embeddings_of(generation: Generation, text_ids: np.ndarray) -> np.ndarray:
    """The run's own embeddings of some texts."""
    return np.concatenate([read_embeddings(path) for path in generation.parts(EMBEDDINGS)])[text_ids]


def check_sum(generation: Generation, embedder: Embedder, sae: SAE, text_ids: np.ndarray, n_features: int) -> None:
    """Print the largest difference between the sum and the pre-activation of the stored embedding."""
    texts = pq.read_table(generation.file(TEXTS), columns=["text"])["text"].take(text_ids).to_pylist()
    z = sae.pre_activations(embeddings_of(generation, text_ids)).numpy()
    differences, seconds, n_words = [], time.monotonic(), 0
    for start in range(0, len(texts), AT_ONCE):
        for row, states in enumerate(embedder.token_states(texts[start : start + AT_ONCE]), start):
            words = find_words(texts[row], states.starts, states.ends, states.special)
            ids = np.argsort(-z[row], kind="stable")[:n_features]
            attributed = word_attributions(token_attributions(states.shares, states.offset, readout(sae, ids)), words)
            differences.append(np.abs(attributed.total - z[row, ids]))
            n_words += len(words.starts)
    all_differences = np.concatenate(differences)
    print(
        f"{len(texts):,} texts x {n_features} features, {n_words:,} words: largest |sum of attributions + constant - "
        f"pre-activation| {all_differences.max():.2e}, median {np.median(all_differences):.2e} "
        f"({(time.monotonic() - seconds) / len(texts) * 1000:.0f} ms a text)"
    )


def compare_with_deleting(
    generation: Generation, embedder: Embedder, sae: SAE, text_ids: np.ndarray, draw: np.random.Generator
) -> None:
    """Print how far attributions and the changes of deleting order the words of a text alike, for one feature."""
    texts = pq.read_table(generation.file(TEXTS), columns=["text"])["text"].take(text_ids).to_pylist()
    z = sae.pre_activations(embeddings_of(generation, text_ids)).numpy()
    ranked, linear, shared, ratios, drawn, n_words = [], [], [], [], [], 0
    for text, whole in zip(texts, z, strict=True):
        ids = [int(whole.argmax()), *draw.choice(sae.n_features, DRAWN).tolist()]
        states = embedder.token_states([text])[0]
        words = find_words(text, states.starts, states.ends, states.special)
        all_attributions = word_attributions(
            token_attributions(states.shares, states.offset, readout(sae, ids)), words
        ).by_word
        rest = [without_word(text, start, end) for start, end in zip(words.starts, words.ends, strict=True)]
        all_changes = (whole - sae.pre_activations(embedder.embed(rest)).numpy())[:, ids]
        both = zip(all_attributions.T[1:], all_changes.T[1:], strict=True)
        drawn.append(np.mean([rank_correlation(*pair) for pair in both]))
        attributions, changes = all_attributions[:, 0], all_changes[:, 0]
        ranked.append(rank_correlation(attributions, changes))
        linear.append(correlation(attributions, changes))
        shared.append(len(set(np.argsort(-attributions)[:TOP]) & set(np.argsort(-changes)[:TOP])))
        ratios.append(np.abs(changes).sum() / np.abs(attributions).sum())
        n_words += len(attributions)
    print(f"{len(texts)} texts, {n_words:,} words deleted one at a time, each text's strongest feature:")
    print(f"  Spearman over all words of a text: {_summary(ranked, draw)}")
    print(f"  the same for {DRAWN} features drawn at random, mean of each text: {_summary(drawn, draw)}")
    print(f"  Pearson over all words of a text:  {_summary(linear, draw)}")
    print(f"  of the {TOP} strongest words by either, {np.mean(shared):.1f} are the same (mean of texts)")
    print(f"  changes are {np.median(ratios):.2f} times as large as attributions (median of texts)")


def _summary(values: list[float], draw: np.random.Generator) -> str:
    """Mean with its interval, median, quartiles and range of one number a text."""
    known = np.array(values)
    means = known[draw.integers(0, len(known), (RESAMPLED, len(known)))].mean(axis=1)
    (low, high), (first, third) = np.quantile(means, [0.025, 0.975]), np.quantile(known, [0.25, 0.75])
    return (
        f"mean {known.mean():.3f} (95 % bootstrap over texts {low:.3f} to {high:.3f}), median {np.median(known):.3f}, "
        f"quartiles {first:.3f} and {third:.3f}, from {known.min():.3f} to {known.max():.3f}"
    )


if __name__ == "__main__":
    main()
