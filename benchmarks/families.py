"""Families of a run beside those of the baseline's algorithm, and both on shuffled activations.

    python benchmarks/families.py data/demo [--shuffles 5]

Prints, for families grown by featurelib.families: sizes, P(parent | child) and P(child | parent) of the edges, how many
features are in none, block ratios against their expectation under shuffling and against real shuffles, how many edges
survive shuffling, how the edges of one half of the texts do on the other half; and for the baseline's algorithm (own
reimplementation after sae_feature_analysis/coactivation_graph.py of Yb1ku/SAEs-for-Sentence-BERT: C row-divided by its
diagonal, edges above 0.1, maximum spanning tree, edges from more to less frequent, depth-first sets from the roots,
three rounds without the roots, duplicates at Jaccard above 0.6 dropped): the same sizes. Exits 1 when a family of ours
holds more than a tenth of the features.
"""

from __future__ import annotations

import argparse
import sys
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow.parquet as pq

sys.path.insert(0, str(Path(__file__).resolve().parent.parent))

from featurelib.families.counting import shuffled
from featurelib.families.links import find_links
from featurelib.families.measures import measure_families
from featurelib.families.trees import Families, grow_families
from featurelib.schema import BY_TEXT, DENSE, FEATURES, MIN_BOTH, TEXTS
from featurelib.stats import nesting
from featurelib.storage.activation_rows import incidence, read_rows
from featurelib.storage.runs import Run

EDGE = 0.1
ROUNDS = 3
SAME = 0.6


def read_fires(run: Run) -> Any:
    """Which features fire on which texts: B."""
    generation = run.current()
    rows = (read_rows(part) for part in generation.parts(BY_TEXT))
    sizes = [pq.read_metadata(generation.file(table)).num_rows for table in (TEXTS, FEATURES)]
    return incidence(((part.text_ids, part.feature_ids) for part in rows), *sizes)


def baseline_edges(counts: np.ndarray, together: np.ndarray) -> list[tuple[int, int]]:
    """The baseline's edges (parent, child): maximum spanning tree of the pairs i < j whose C[i, j] / C[i, i] > 0.1."""
    from scipy.sparse import coo_array
    from scipy.sparse.csgraph import minimum_spanning_tree

    first, second = np.nonzero(np.triu(together, 1))
    weight = together[first, second] / (counts[first] + 1e-6)
    kept = weight > EDGE
    # A minimum spanning tree of 2 - weight is a maximum one of weight; a weight of 0 would mean no edge.
    graph = coo_array((2 - weight[kept], (first[kept], second[kept])), shape=together.shape).tocsr()
    tree = minimum_spanning_tree(graph).tocoo()
    ends = zip(tree.row.tolist(), tree.col.tolist(), strict=True)
    return [(a, b) if counts[a] >= counts[b] else (b, a) for a, b in ends]


def baseline_families(counts: np.ndarray, together: np.ndarray) -> list[set[int]]:
    """The baseline's families, in the order found."""
    below: dict[int, list[int]] = {}
    edges = baseline_edges(counts, together)
    for parent, child in edges:
        below.setdefault(parent, []).append(child)
    alive = {end for edge in edges for end in edge}
    families = []
    for _ in range(ROUNDS):
        roots = sorted(alive - {child for parent, child in edges if parent in alive})
        families += [family for root in roots if len(family := reach(root, below, alive)) > 1]
        alive -= set(roots)
    distinct: list[set[int]] = []
    for family in families:
        if all(len(family & other) / len(family | other) <= SAME for other in distinct):
            distinct.append(family)
    return distinct


def reach(root: int, below: dict[int, list[int]], alive: set[int]) -> set[int]:
    """What is reached from a root through features that are alive."""
    seen, waiting = {root}, [root]
    while waiting:
        new = {child for child in below.get(waiting.pop(), []) if child in alive} - seen
        seen |= new
        waiting += sorted(new)
    return seen


def grow(fires: Any) -> Families:
    """The families that featurelib.families grows on these activations."""
    return grow_families(find_links(fires), np.diff(fires.indptr))


def quantiles(values: np.ndarray) -> str:
    """Least, quartiles and greatest, in words."""
    return " · ".join(f"{value:.2f}" for value in np.quantile(values, [0, 0.25, 0.5, 0.75, 1]))


def sizes_line(name: str, sizes: list[int], n_features: int, n_in: int) -> str:
    """How many families, the largest ones, and the share of features in none."""
    ordered = sorted(sizes, reverse=True)
    largest = ordered[0] if ordered else 0
    return (
        f"{name}: {len(ordered):,} families, largest {', '.join(map(str, ordered[:6]))}; the largest holds "
        f"{largest / n_features:.1%} of {n_features:,} features, {1 - n_in / n_features:.1%} are in none"
    )


def edge_lines(fires: Any, families: Families) -> Iterator[str]:
    """The two conditional probabilities of every edge."""
    counts = np.diff(fires.indptr)
    child = np.flatnonzero(families.parent >= 0)
    both, parent = families.n_both[child], families.parent[child]
    yield "  least · quartiles · greatest over the edges"
    yield f"  P(parent | child), in parent: {quantiles(both / counts[child])}"
    yield f"  P(child | parent), of parent: {quantiles(both / counts[parent])}"
    yield f"  nesting H:                    {quantiles(families.nesting[child])}"
    yield f"  P(parent) of all texts:       {quantiles(counts[parent] / fires.shape[0])}"


def ratio_lines(fires: Any, families: Families, shuffles: int) -> Iterator[str]:
    """Block ratios as they are, as expected under shuffling, and under real shuffles of the same families."""
    measures = measure_families(fires, families)
    ratio, expected = (
        np.array([getattr(family, name) for family in measures], float) for name in ("block_ratio", "shuffled_ratio")
    )
    drawn = np.full((shuffles, len(measures)), np.nan)
    links = []
    for number in range(shuffles):
        fake = shuffled(fires, number)
        drawn[number] = [family.block_ratio for family in measure_families(fake, families)]
        links.append(len(find_links(fake)))
    yield f"  block ratio:                  {quantiles(ratio[np.isfinite(ratio)])}"
    yield f"  expected if shuffled:         {quantiles(expected)}"
    yield f"  mean of {shuffles} real shuffles:       {quantiles(np.nanmean(drawn, axis=0))}"
    yield f"  ratio over expected:          {quantiles((ratio / expected)[np.isfinite(ratio)])}"
    above = (ratio[None, :] > drawn).all(axis=0).sum()
    yield f"  {above} of {len(measures)} families above each of their shuffled selves"
    yield f"  edges found in shuffled activations: {', '.join(map(str, links))}"


def halves_line(fires: Any) -> str:
    """How nested the edges found on the even texts are on the odd ones."""
    families, other = grow(fires[::2].tocsc()), fires[1::2].tocsc()
    counts = np.diff(other.indptr)
    child = np.flatnonzero((families.parent >= 0) & (counts >= MIN_BOTH))
    parent = families.parent[child]
    both = (other.T @ other).tocsr()[child, parent]
    again = nesting(np.asarray(both).ravel(), counts[child], counts[parent], other.shape[0])
    return (
        f"  of {len(child)} edges found on every other text, H on the other half: median {np.median(again):.2f}, "
        f"{(again >= 0.3).mean():.0%} at 0.3 or more, {(again >= 0.1).mean():.0%} at 0.1 or more"
    )


def baseline_lines(fires: Any) -> Iterator[str]:
    """The baseline's families on the activations and on shuffled ones."""
    for name, matrix in (("the baseline's", fires), ("the baseline's, shuffled activations", shuffled(fires, 0))):
        counts = np.diff(matrix.indptr)
        families = baseline_families(counts, (matrix.T @ matrix).toarray())
        members = set().union(*families) if families else set()
        yield sizes_line(name, [len(family) for family in families], len(counts), len(members))
        shared = sum(map(len, families)) - len(members)
        yield f"  {shared:,} memberships beyond one a feature"


def main() -> int:
    """Print all of it; 1 when a family is too large."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("run", type=Path, help="the folder of a complete run, such as data/demo")
    parser.add_argument("--shuffles", type=int, default=5)
    options = parser.parse_args()
    fires = read_fires(Run(options.run))
    n_texts, n_features = fires.shape
    counts = np.diff(fires.indptr)
    print(f"{n_texts:,} texts × {n_features:,} features, {fires.nnz / n_texts:.1f} active a text")
    start = time.perf_counter()
    families = grow(fires)
    measure_families(fires, families)
    seconds = time.perf_counter() - start
    sizes = np.bincount(families.family[families.family >= 0], minlength=families.n_families)
    print(sizes_line("ours", sizes.tolist(), n_features, int((families.family >= 0).sum())))
    out = families.family < 0
    dead, dense, few = counts == 0, counts > DENSE * n_texts, (counts > 0) & (counts < MIN_BOTH)
    print(
        f"  of the {out.sum()} in none: {(out & dead).sum()} dead, {(out & dense).sum()} dense, {(out & few).sum()} few"
    )
    depth = families.depth.max()
    print(f"  {seconds / n_features * 1000:.2f} s per 1,000 features, measures included; depth up to {depth}")
    for line in (*edge_lines(fires, families), *ratio_lines(fires, families, options.shuffles), halves_line(fires)):
        print(line)
    for line in baseline_lines(fires):
        print(line)
    too_large = bool(len(sizes) and sizes.max() > n_features / 10)
    print("none of ours holds more than 10 % of the features" if not too_large else "a family is too large")
    return int(too_large)


if __name__ == "__main__":
    sys.exit(main())
