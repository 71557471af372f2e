"""What can be read from an SAE's features? Linear probes of labelled texts, beside those published for MiniLM SAEs.

    python -m benchmarks.probes SAE CORPUS.parquet EMBEDDINGS.npy [--label-column label] [--split-column split]
                                [--protocol own|published] [--few 1,5,10,20,64] [--seed 0]

SAE is what `featurelib.load_sae` takes; EMBEDDINGS.npy holds the texts' embeddings, float [n, d], in the order of the
corpus. Printed is the accuracy, with its 95 % interval (Wilson), of a linear probe (`featurelib.classification`) on the
raw embeddings, on their reconstruction, on the features, and on few features in three ways.

Protocols:
    own         the corpus' own split: rows called train and test (others are left out, and said); without a split
                column 80 % and 20 %, drawn by seed. Inputs scaled by one number, C found on the training texts.
    published   that of enjalot/latent-sae (experiments/eval_probes.py at 052f0f7) on CLINC150: only the test split with
                its out-of-scope texts as a 151st label, 5,500 texts, divided 80 to 20 by numpy's RandomState(42);
                scikit-learn's LogisticRegression as it is (C = 1, unscaled); few features means the largest activations
                of each text. The same division with C found is printed beside it.

The published table follows. Where our raw embeddings differ from its by more than .01, the two are called not
comparable.
"""

from __future__ import annotations

import argparse
import sys
from collections.abc import Callable, Sequence
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, NamedTuple

import numpy as np
import pyarrow.parquet as pq

import featurelib
from featurelib.classification.ksparse import WAYS, k_sparse
from featurelib.classification.probes import Accuracy, Division, divide, linear_probe
from featurelib.schema import Refusal

if TYPE_CHECKING:
    import pyarrow as pa
    from scipy.sparse import csr_matrix

CLOSE = 0.01
"""Raw embeddings that are further apart than this were probed in another way."""


class Published(NamedTuple):
    """One SAE of a published table, on all-MiniLM-L6-v2."""

    name: str
    n_features: int
    k: int
    raw: float
    reconstruction: float
    features: float
    few: dict[int, float]
    """Accuracy with so many of each text's largest activations."""


# enjalot/latent-sae, experiments/evals/minilm_*_hard.json at 052f0f7; "CLINC150 (150-class)" and "k-Sparse Probing".
CLINC150 = (
    Published("4x", 1536, 128, 0.8409, 0.8100, 0.7964, {1: 0.2009, 5: 0.3100, 10: 0.4682, 20: 0.6145, 64: 0.7609}),
    Published("4x 30M", 1536, 128, 0.8409, 0.8155, 0.7718, {1: 0.1927, 5: 0.3027, 10: 0.4073, 20: 0.5391, 64: 0.7173}),
    Published("8x", 3072, 128, 0.8409, 0.8164, 0.7636, {1: 0.1936, 5: 0.2964, 10: 0.3991, 20: 0.5418, 64: 0.7145}),
    Published("8x", 3072, 64, 0.8409, 0.7900, 0.6455, {1: 0.1936, 5: 0.2900, 10: 0.4027, 20: 0.5109, 64: 0.6455}),
    Published("16x", 6144, 64, 0.8409, 0.8073, 0.6491, {1: 0.2000, 5: 0.3236, 10: 0.4282, 20: 0.5445, 64: 0.6491}),
)
TABLES = {"clinc150": CLINC150}


class Probed(NamedTuple):
    """What an SAE makes of labelled texts."""

    x: np.ndarray
    """Embeddings, float32 [n, d]."""
    rebuilt: np.ndarray
    """Reconstructions, float32 [n, d]."""
    activations: csr_matrix
    """[n, n_features]."""
    labels: np.ndarray
    """str [n]."""
    division: Division
    """Which of them are training texts, which test texts."""


def own_division(split: np.ndarray | None, n: int, seed: int) -> tuple[Division, str]:
    """Return the corpus' own division, else one drawn by seed; and in words what was done."""
    if split is None:
        return divide(n, seed), f"80 to 20, drawn with seed {seed}"
    division = Division(np.flatnonzero(split == "train"), np.flatnonzero(split == "test"))
    names, counts = np.unique(split[~np.isin(split, ["train", "test"])], return_counts=True)
    left_out = ", ".join(f"{name} {count:,}" for name, count in zip(names, counts, strict=True))
    return division, "the corpus' own split" + (f", left out: {left_out}" if left_out else "")


def published_division(split: np.ndarray | None) -> tuple[Division, str]:
    """Return the division of the published table; Refusal for a corpus that is not split as CLINC150 is."""
    if split is None or not {"test", "oos_test"} <= set(split):
        raise Refusal("the published protocol is for CLINC150 with its splits test and oos_test; use --protocol own.")
    rows = np.concatenate([np.flatnonzero(split == "test"), np.flatnonzero(split == "oos_test")])
    order = rows[np.random.RandomState(42).permutation(len(rows))]
    cut = int(0.8 * len(rows))
    return Division(order[:cut], order[cut:]), "as published: test and oos_test, 80 to 20 by RandomState(42)"


def encode(source: str, x: np.ndarray, labels: np.ndarray, division: Division) -> Probed:
    """Return the features and reconstructions of all embeddings, and print how well the SAE fits these texts."""
    from scipy.sparse import csr_matrix

    sae = featurelib.load_sae(source)
    sparse = sae.encode_sparse(x)
    rebuilt = sae.rebuild(x, sparse).numpy()
    entries = (sparse.activations.numpy(), (sparse.rows.numpy(), sparse.feature_ids.numpy()))
    activations = csr_matrix(entries, shape=(len(x), sae.n_features))
    fvu = np.square(x - rebuilt, dtype=np.float64).sum() / np.square(x - x.mean(axis=0), dtype=np.float64).sum()
    silent = 1 - len(np.unique(activations.indices)) / sae.n_features
    print(
        f"{Path(source).name}: {sae.architecture}, {sae.n_features:,} features; on all {len(x):,} texts of the corpus "
        f"L0 {activations.nnz / len(x):.1f}, FVU {fvu:.3f}, {silent:.1%} of the features silent"
    )
    return Probed(x, rebuilt, activations, labels, division)


def show(name: str, accuracies: Sequence[Accuracy]) -> None:
    """Print one line of a table."""
    cells = (
        f"{accuracy.value:.4f} ({accuracy.low:.3f}–{accuracy.high:.3f}) C {accuracy.strength:<6g}"
        for accuracy in accuracies
    )
    print(f"  {name:<35}" + "   ".join(cells), flush=True)


def probe_all(probed: Probed, few: Sequence[int], probes: Sequence[Callable], ways: Sequence[str]) -> Accuracy:
    """Print the accuracy of every input by each of the probes; returns that of the raw embeddings by the first."""
    inputs = {"raw embeddings": probed.x, "reconstruction": probed.rebuilt, "features": probed.activations}
    raw = None
    for name, x in inputs.items():
        accuracies = [probe(linear_probe, x, probed.labels, probed.division) for probe in probes]
        raw = raw or accuracies[0]
        show(name, accuracies)
    names = {"text": "largest of each text", "pooled": "for all labels", "label": "for each label"}
    for way in ways:
        for k in few:
            few_accuracies = [
                probe(k_sparse, probed.activations, probed.labels, probed.division, k, way=way) for probe in probes
            ]
            show(f"{k} feature{'s' * (k > 1)}, {names[way]}", few_accuracies)
    return raw


def compare(corpus: str, raw: Accuracy, few: Sequence[int]) -> None:
    """Print the published table and whether ours can be compared with it."""
    table = TABLES.get(corpus)
    if table is None:
        print(f"no published table for {corpus} with this embedder is known here.")
        return
    print(f"published for {corpus} (accuracy on 1,100 texts; few: the largest of a text):")
    for row in table:
        levels = "  ".join(f"{k}: {row.few[k]:.3f}" for k in few if k in row.few)
        print(
            f"  {row.name:<7} {row.n_features:>5} features k {row.k:<4} raw {row.raw:.3f}  "
            f"reconstruction {row.reconstruction:.3f}  features {row.features:.3f}  few {levels}"
        )
    apart = abs(raw.value - table[0].raw)
    verdict = "COMPARABLE" if apart <= CLOSE else "NOT COMPARABLE"
    print(f"{verdict}: raw embeddings {raw.value:.4f} here, {table[0].raw:.4f} published, {apart:.4f} apart.")


def tuned(seed: int, probe: Callable, *given: object, **options: object) -> Accuracy:
    """A probe of ours, its C found in folds drawn by seed."""
    return probe(*given, seed=seed, **options)


def fixed(probe: Callable, *given: object, **options: object) -> Accuracy:
    """A probe as scikit-learn has it: C = 1 on inputs as they are."""
    return probe(*given, strength=1.0, scaled=False, **options)


def sizes_of(corpus: pa.Table, division: Division, labels: np.ndarray) -> str:
    """How many training and test texts there are, and how many test texts are among the training ones too."""
    texts = corpus["text"].to_numpy(zero_copy_only=False)
    n_both = int(np.isin(texts[division.test], texts[division.train]).sum())
    n_labels = len(np.unique(labels[division.train]))
    return (
        f"{len(division.train):,} training texts, {len(division.test):,} test texts ({n_both} of them among the "
        f"training texts too), {n_labels} labels"
    )


def arguments() -> argparse.Namespace:
    """Return what the command line asks for."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks.probes", description=__doc__.split("\n")[0])
    parser.add_argument("sae")
    parser.add_argument("corpus", type=Path)
    parser.add_argument("embeddings", type=Path)
    parser.add_argument("--label-column", default="label")
    parser.add_argument("--split-column", default="split")
    parser.add_argument("--protocol", choices=("own", "published"), default="own")
    parser.add_argument("--few", default="1,5,10,20,64")
    parser.add_argument("--seed", type=int, default=0)
    return parser.parse_args()


def main() -> int:
    """Probe what the command line names."""
    asked = arguments()
    corpus, x = pq.read_table(asked.corpus), np.load(asked.embeddings).astype(np.float32)
    if corpus.num_rows != len(x):
        raise Refusal(f"{len(x):,} embeddings do not fit {corpus.num_rows:,} texts; give those of this corpus.")
    labels = corpus[asked.label_column].to_numpy(zero_copy_only=False).astype(str)
    has_split = asked.split_column in corpus.column_names
    split = corpus[asked.split_column].to_numpy(zero_copy_only=False).astype(str) if has_split else None
    published, few = asked.protocol == "published", [int(number) for number in asked.few.split(",")]
    division, done = published_division(split) if published else own_division(split, len(x), asked.seed)
    print(f"{asked.corpus.stem}: {sizes_of(corpus, division, labels)}; {done}")
    probed = encode(asked.sae, x, labels, division)
    tuned_probe = partial(tuned, asked.seed)
    print("  accuracy on test texts, 95 % interval, C" + (": C = 1 unscaled, then C found" if published else " found"))
    raw = probe_all(probed, few, [fixed, tuned_probe] if published else [tuned_probe], WAYS[:1] if published else WAYS)
    compare(asked.corpus.stem, raw, few)
    return 0


if __name__ == "__main__":
    try:
        sys.exit(main())
    except Refusal as refusal:
        sys.exit(str(refusal))
