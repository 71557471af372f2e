"""Are concepts found that an SAE never saw, and is a concept that its corpus has not called absent?

Usage: python -m benchmarks.concepts RUN_FOLDER SAE_RUN_FOLDER --column label [--foreign FOLDER --foreign-column COLUMN]

RUN_FOLDER is a run under the SAE of SAE_RUN_FOLDER, whose corpus lacks some labels of the column. Printed for each of
these labels is what the page Concept says of its texts among all others: F1 of the best feature, of the best few and of
the raw embedding, each on the half of the texts that chose nothing. The same is printed for what is in no corpus: texts
drawn at random, texts of an even number of letters and, with --foreign, labels of a run of other texts with the same
embedder, their texts against the other texts of that run.
"""

from __future__ import annotations

import argparse
import sys
from collections.abc import Iterator
from pathlib import Path

import numpy as np

from featurelib import load_sae
from featurelib.queries.concept import labelled_texts
from featurelib.queries.metadata import coded_texts, metadata_column
from featurelib.schema import EMBEDDINGS
from featurelib.slices.concept import Carrier, Concept, Labelled, find_concept
from featurelib.storage.embeddings import read_embeddings
from featurelib.storage.runs import open_run
from featurelib.storage.store import Store, open_store

HEAD = f"{'concept':34} {'examples':>8}  {'best feature':22} {'best few':26} {'embedding':22} said"
DRAWN = 200
"""Examples of a concept that is in no corpus, and the labels of another run that are looked at, at most."""
FOREIGN = 6


def by_label(store: Store, column: str) -> dict[str, np.ndarray]:
    """The texts of each label of a column, ascending."""
    coded = coded_texts(store, metadata_column(store, column))
    return {str(name): coded.text_ids[coded.codes == code] for code, name in enumerate(coded.values)}


def absent(store: Store, draw: np.random.Generator) -> Iterator[tuple[str, np.ndarray]]:
    """Sets of texts that have nothing in common that a feature could know."""
    yield "texts drawn at random", np.sort(draw.choice(store.n_texts, DRAWN, replace=False))
    texts = store.ask("select text from texts order by text_id")["text"].to_pylist()
    even = np.flatnonzero([len(text) % 2 == 0 for text in texts])
    yield "texts of an even number of letters", np.sort(draw.choice(even, DRAWN, replace=False))


def foreign(store: Store, folder: Path, column: str, draw: np.random.Generator) -> Iterator[tuple[str, Labelled]]:
    """Labels of another run: their texts and its other texts, under the SAE of `store`."""
    other = open_store(open_run(folder).current())
    embeddings = np.concatenate([read_embeddings(part) for part in other.generation.parts(EMBEDDINGS)])
    sae = load_sae(store.generation.path, embeddings=embeddings)
    sparse = sae.encode_sparse(embeddings)
    fired = sparse.rows.numpy(), sparse.feature_ids.numpy(), sparse.activations.numpy()
    labels = by_label(other, column)
    for name in sorted(draw.choice(sorted(labels), min(FOREIGN, len(labels)), replace=False).tolist()):
        is_example = np.zeros(other.n_texts, bool)
        is_example[labels[name]] = True
        yield f"{name} ({folder.name})", Labelled.of(fired, sae.n_features, embeddings, is_example)


def verdict(concept: Concept) -> str:
    """What the page says, in short."""
    if concept.single.carries or concept.several.carries:
        return "carried"
    return "absent" if concept.single.fails and concept.several.fails else "not sure"


def line(name: str, n: int, concept: Concept) -> str:
    """One concept as a line."""
    few = f"{len(concept.several.feature_ids)}: {shown(concept.several)}"
    single, ceiling = shown(concept.single), shown(concept.ceiling)
    return f"{name[:34]:34} {n:>8,}  {single:22} {few:26} {ceiling:22} {verdict(concept)}"


def shown(carrier: Carrier) -> str:
    """F1 with its interval."""
    return f"{carrier.f1.value:.3f} ({carrier.f1.low:.3f}-{carrier.f1.high:.3f})"


def main() -> int:
    """Print a line for each concept."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("run", type=Path)
    parser.add_argument("sae_run", type=Path)
    parser.add_argument("--column", default="label")
    parser.add_argument("--foreign", type=Path)
    parser.add_argument("--foreign-column", default="group")
    parser.add_argument("--seed", type=int, default=0)
    options = parser.parse_args()
    store, draw = open_store(open_run(options.run).current()), np.random.default_rng(options.seed)
    seen = by_label(open_store(open_run(options.sae_run).current()), options.column)
    unseen = {name: ids for name, ids in by_label(store, options.column).items() if name not in seen}
    print(HEAD)
    for name, text_ids in [*unseen.items(), *absent(store, draw)]:
        print(line(name, len(text_ids), find_concept(labelled_texts(store, text_ids, None, seed=options.seed))))
    for name, texts in foreign(store, options.foreign, options.foreign_column, draw) if options.foreign else ():
        print(line(name, int(texts.is_example.sum()), find_concept(texts)))
    return 0


if __name__ == "__main__":
    sys.exit(main())
