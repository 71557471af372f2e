"""Recompute a run's summaries with numpy and compare them with its tables: python -m benchmarks.recompute RUN_FOLDER.

Independent of the project on purpose: it shares no code and no SQL with featurelib or precompute. Whole numbers must be
equal and floats within 1e-5. What lies within 1e-6 of a threshold, of a bin's edge or of a tie may fall on either side
in float32: such cases are listed and follow the table. Exit code 1 on a difference.
"""

from __future__ import annotations

import sys
from pathlib import Path

import numpy as np
import pyarrow.parquet as pq

from benchmarks.recomputed import NEAR, Active, Comparison, encode, read_safetensors, stored_pairs

TOP, BINS, NEIGHBOURS, COACTIVATIONS, MIN_BOTH = 10, 40, 50, 50, 5


def compare_activations(run: Path, active: Active, pairs: Comparison) -> Comparison:
    """Both orders of the activations against the recomputed ones."""
    keys, stored = stored_pairs(run, active.n_features)
    ours = active.text_ids * active.n_features + active.feature_ids
    order = np.argsort(ours)
    if np.array_equal(keys, ours[order]):
        pairs.floats(active.activations[order], stored, "activations by text")
    tables = [pq.read_table(part) for part in sorted((run / "activations/by_feature").glob("part-*.parquet"))]
    feature_ids, text_ids, activations = (
        np.concatenate([t[name].to_numpy() for t in tables]) for name in ("feature_id", "text_id", "activation")
    )
    in_order = np.lexsort((text_ids, -activations.astype(np.float64), feature_ids))
    pairs.check(np.array_equal(in_order, np.arange(len(in_order))), "activations by feature are not in their order")
    again = np.argsort(text_ids * active.n_features + feature_ids)
    same = np.array_equal((text_ids * active.n_features + feature_ids)[again], keys) and np.array_equal(
        activations[again], stored
    )
    pairs.check(same, "activations by feature and by text are not the same rows")
    return pairs


def compare_features(run: Path, active: Active) -> Comparison:
    """Density and the numbers beside it, for every feature."""
    comparison = Comparison("density")
    table = pq.read_table(run / "summaries/features.parquet")
    n_active = np.bincount(active.feature_ids, minlength=active.n_features)
    comparison.check(
        np.array_equal(table["feature_id"].to_numpy(), np.arange(active.n_features)), "the ids of the features"
    )
    for feature_id, (ours, theirs) in enumerate(zip(n_active, table["n_active"].to_pylist(), strict=True)):
        comparison.check(ours == theirs, f"feature {feature_id}: n_active {ours} recomputed, {theirs} in the table")
    greatest = np.zeros(active.n_features)
    np.maximum.at(greatest, active.feature_ids, active.activations)
    sums = np.bincount(active.feature_ids, weights=active.activations, minlength=active.n_features)
    with np.errstate(divide="ignore", invalid="ignore"):
        logs = np.where(n_active > 0, np.log10(n_active / active.n_texts), np.nan)
    comparison.floats(n_active / active.n_texts, table["density"].to_numpy(), "density")
    comparison.floats(logs, table["log10_density"].to_numpy(zero_copy_only=False), "log10_density")
    comparison.floats(greatest, table["max_activation"].to_numpy(), "max_activation")
    comparison.floats(sums / np.maximum(n_active, 1), table["mean_activation"].to_numpy(), "mean_activation")
    comparison.check(np.array_equal(n_active == 0, table["dead"].to_numpy(zero_copy_only=False)), "dead")
    return comparison


def rows_of(table: dict[str, np.ndarray], n_features: int) -> list[slice]:
    """Where each feature's rows lie in a table that is sorted by feature_id."""
    starts = np.searchsorted(table["feature_id"], np.arange(n_features + 1))
    return [slice(first, last) for first, last in zip(starts, starts[1:], strict=False)]


def read_columns(path: Path) -> dict[str, np.ndarray]:
    """A table of numbers as numpy columns."""
    table = pq.read_table(path)
    return {name: table[name].to_numpy(zero_copy_only=False) for name in table.column_names}


def compare_top_texts(run: Path, active: Active) -> Comparison:
    """The ten strongest texts of every feature, rank by rank."""
    comparison = Comparison("top texts")
    table = read_columns(run / "summaries/top_texts.parquet")
    order, starts = active.by_feature()
    for feature_id, rows in enumerate(rows_of(table, active.n_features)):
        mine = order[starts[feature_id] : starts[feature_id + 1]]
        theirs, values = table["text_id"][rows][:TOP], table["activation"][rows][:TOP]
        what = f"feature {feature_id}"
        comparison.check(rows.stop - rows.start == min(100, len(mine)), f"{what}: the number of top texts")
        comparison.check(
            np.array_equal(table["rank"][rows], np.arange(1, rows.stop - rows.start + 1)), f"{what}: the ranks"
        )
        compare_ranked(comparison, what, active.text_ids[mine], active.activations[mine], theirs, values)
    return comparison


def compare_ranked(
    comparison: Comparison,
    what: str,
    ids: np.ndarray,
    values: np.ndarray,
    table_ids: np.ndarray,
    table_values: np.ndarray,
) -> None:
    """Compare the first of a descending ranking; another id at a rank is a tie if its value is within 1e-6 of ours."""
    count = len(table_ids)
    comparison.floats(values[:count], table_values, f"{what}: values")
    if len(ids) < count or np.array_equal(ids[:count], table_ids):
        comparison.check(len(ids) >= count, f"{what}: {count} rows, {len(ids)} recomputed")
        return
    value_of = dict(zip(ids.tolist(), values.tolist(), strict=True))
    for rank in np.nonzero(ids[:count] != table_ids)[0]:
        theirs = value_of.get(int(table_ids[rank]), -np.inf)
        if abs(theirs - values[rank]) <= NEAR and len(set(table_ids.tolist())) == count:
            comparison.listed.append(f"{what}, rank {rank + 1}: {ids[rank]} and {table_ids[rank]} are within 1e-6")
        else:
            comparison.check(False, f"{what}, rank {rank + 1}: {ids[rank]} recomputed, {table_ids[rank]} in the table")


def compare_histograms(run: Path, active: Active) -> Comparison:
    """All 40 bins of every live feature; texts within 1e-6 of an edge may lie on either side of it."""
    comparison = Comparison("histograms")
    table = read_columns(run / "summaries/histograms.parquet")
    order, starts = active.by_feature()
    for feature_id, rows in enumerate(rows_of(table, active.n_features)):
        values = active.activations[order[starts[feature_id] : starts[feature_id + 1]]]
        what = f"feature {feature_id}"
        if not len(values):
            comparison.check(rows.stop == rows.start, f"{what} is dead but has bins")
            continue
        edges = values.max() * np.arange(BINS + 1) / BINS
        comparison.check(np.array_equal(table["bin"][rows], np.arange(BINS)), f"{what}: its bins")
        comparison.floats(edges[:-1], table["left"][rows], f"{what}: left")
        comparison.floats(edges[1:], table["right"][rows], f"{what}: right")
        compare_bins(comparison, what, values, edges, table["n_texts"][rows])
    return comparison


def compare_bins(comparison: Comparison, what: str, values: np.ndarray, edges: np.ndarray, theirs: np.ndarray) -> None:
    """Compare counts in right-closed bins."""
    if len(theirs) != BINS:
        return
    ours = np.bincount(np.clip(np.searchsorted(edges, values, side="left") - 1, 0, BINS - 1), minlength=BINS)
    if np.array_equal(ours, theirs):
        comparison.compared += BINS
        comparison.equal += BINS
        return
    # The least and the most values that may lie at or under each inner edge.
    least = (values[:, None] <= edges[None, 1:-1] - NEAR).sum(0)
    most = (values[:, None] <= edges[None, 1:-1] + NEAR).sum(0)
    under = np.cumsum(theirs)
    possible = (least <= under[:-1]) & (under[:-1] <= most)
    comparison.listed += [
        f"{what}: {n} text within 1e-6 of edge {edge + 1}" for edge, n in enumerate(most - least) if n
    ]
    comparison.check(
        bool(possible.all()) and under[-1] == len(values), f"{what}: {ours} recomputed, {theirs} in the table"
    )


def compare_neighbours(run: Path, name: str = "neighbours") -> Comparison:
    """The nearest (or most opposite) directions of every feature."""
    comparison = Comparison(name)
    table = read_columns(run / f"summaries/{name}.parquet")
    directions = read_safetensors(run / "sae/sae_weights.safetensors")["W_dec"].astype(np.float64)
    lengths = np.linalg.norm(directions, axis=1, keepdims=True)
    directions = directions / np.where(lengths == 0, 1, lengths)
    sign = 1 if name == "neighbours" else -1
    for feature_id, rows in enumerate(rows_of(table, len(directions))):
        cosines = directions @ directions[feature_id]
        others = np.delete(np.arange(len(directions)), feature_id)
        ranked = others[np.lexsort((others, -sign * cosines[others]))]
        what, ids = f"feature {feature_id}", table["neighbour_id"][rows]
        comparison.check(np.array_equal(table["rank"][rows], np.arange(1, len(ids) + 1)), f"{what}: the ranks")
        if name == "neighbours":
            comparison.check(len(ids) == min(NEIGHBOURS, len(others)), f"{what}: {len(ids)} neighbours")
        compare_ranked(comparison, what, ranked, sign * cosines[ranked], ids, sign * table["cosine"][rows])
    return comparison


def compare_coactivations(run: Path, active: Active) -> Comparison:
    """The coactivations of every feature, by counting the features on its texts."""
    comparison = Comparison("coactivations")
    table = read_columns(run / "summaries/coactivations.parquet")
    order, starts = active.by_feature()
    by_text = np.argsort(active.text_ids, kind="stable")
    features_by_text = active.feature_ids[by_text]
    text_starts = np.searchsorted(active.text_ids[by_text], np.arange(active.n_texts + 1))
    n_active = np.bincount(active.feature_ids, minlength=active.n_features)
    for feature_id, rows in enumerate(rows_of(table, active.n_features)):
        texts = active.text_ids[order[starts[feature_id] : starts[feature_id + 1]]]
        together = [features_by_text[text_starts[text] : text_starts[text + 1]] for text in texts]
        both = np.bincount(np.concatenate([*together, np.empty(0, int)]).astype(int), minlength=active.n_features)
        both[feature_id] = 0
        others = np.nonzero(both >= MIN_BOTH)[0]
        n_both, n_here, n_other = both[others], n_active[feature_id], n_active[others]
        lift = (n_both * active.n_texts) / (n_here * n_other)
        best = np.lexsort((others, -n_both, -lift))[:COACTIVATIONS]
        what = f"feature {feature_id}"
        comparison.check(np.array_equal(others[best], table["other_id"][rows]), f"{what}: other_id")
        comparison.check(np.array_equal(n_both[best], table["n_both"][rows]), f"{what}: n_both")
        comparison.check(np.array_equal(table["rank"][rows], np.arange(1, len(best) + 1)), f"{what}: the ranks")
        if len(best) == rows.stop - rows.start:
            comparison.floats((n_both / (n_here + n_other - n_both))[best], table["jaccard"][rows], f"{what}: jaccard")
            comparison.floats((n_both / max(n_here, 1))[best], table["conditional"][rows], f"{what}: conditional")
            comparison.floats(lift[best], table["lift"][rows], f"{what}: lift")
    return comparison


def compare_l0(run: Path, active: Active) -> Comparison:
    """The number of active features of every text."""
    comparison = Comparison("l0 per text")
    table = read_columns(run / "summaries/texts.parquet")
    ours = np.bincount(active.text_ids, minlength=active.n_texts)
    same = ours == table["n_active"] if len(ours) == len(table["n_active"]) else np.zeros(1, bool)
    comparison.compared, comparison.equal = len(ours), int(same.sum())
    comparison.wrong += [f"text {text_id}" for text_id in np.nonzero(~same)[0]]
    return comparison


def compare(run: Path) -> list[Comparison]:
    """Compare every table of a generation's folder."""
    pairs = Comparison("activations")
    active = encode(run, pairs)
    return [
        compare_activations(run, active, pairs),
        compare_l0(run, active),
        compare_features(run, active),
        compare_top_texts(run, active),
        compare_histograms(run, active),
        compare_neighbours(run),
        compare_neighbours(run, "opposites"),
        compare_coactivations(run, active),
    ]


def main(arguments: list[str]) -> int:
    """Compare the run whose folder is named; 0 when everything agrees."""
    if len(arguments) != 1:
        print("usage: python -m benchmarks.recompute RUN_FOLDER")
        return 2
    folder = Path(arguments[0])
    run = folder / (folder / "current").read_text().strip()
    comparisons = compare(run)
    print("\n".join(str(comparison) for comparison in comparisons))
    return int(any(comparison.wrong for comparison in comparisons))


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
