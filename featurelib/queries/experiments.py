"""Questions about sets of experiments: scores, what was taken for what, what counts, and why texts were got wrong."""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from featurelib.queries.features import labels
from featurelib.schema import Refusal
from featurelib.stats import Estimate, corrected_resampled_t, mcnemar, wilson
from featurelib.storage.experiments import ExperimentSet, experiment_set, experiment_sets
from featurelib.storage.fired import features_of, texts_of
from featurelib.storage.runs import Run
from featurelib.storage.store import Store

LEAST_RESAMPLES = 3


@dataclass(frozen=True)
class Experiment:
    """One experiment and its scores."""

    name: str
    label_column: str
    representation: str
    classifier: str
    train: str
    test: str
    n_train: int
    n_test: int
    seconds: float
    settings: str
    """What cross-validation chose, JSON."""
    model: str
    """What was tested: the same model may be tested on several slices."""
    slice_column: str
    """The column whose slices it was trained and tested on; empty for none."""
    test_run: str
    """The run of the test texts; empty for the run itself."""
    scores: dict[str, tuple[float, float, float]]
    """By metric: value, and the ends of its 95 % interval."""

    @property
    def reads_features(self) -> bool:
        """Whether what it reads are features of the run, which have pages."""
        return self.representation.split("+")[0] == "features"


@dataclass(frozen=True)
class TreeNode:
    """A node of a tree; texts with at most `threshold` go to `low`, the others to `high`."""

    node: int
    column: int
    """The feature that is asked for; -1 in a leaf."""
    name: str
    """The feature's label."""
    threshold: float
    low: int
    """The node that follows; -1 in a leaf."""
    high: int
    n_texts: int
    """Training texts that come here."""
    labels: list[str]
    """Their commonest labels."""
    shares: list[float]
    """What share of them each has."""


@dataclass(frozen=True)
class Paired:
    """Two experiments on the same test texts."""

    n_both: int
    """Test texts that both have."""
    only_first: int
    """Of these, those that only the first had right."""
    only_second: int
    chance: float
    """McNemar's exact test: P(such a difference, or a larger one, by chance)."""


@dataclass(frozen=True)
class Resampled:
    """Two models on the same further divisions of their training texts."""

    n: int
    """The divisions."""
    difference: Estimate
    """The mean of the first's accuracy minus the second's."""
    chance: float
    """The corrected resampled t-test: P(such a mean, or one farther from 0, by chance)."""


def sets_of(store: Store) -> list[str]:
    """Return the names of the run's sets of experiments."""
    return [kept.name for kept in experiment_sets(_run(store))]


def about_experiments(store: Store, name: str) -> dict[str, object]:
    """Return what a set of experiments was made from."""
    return _set(store, name).about()


def experiments(store: Store, name: str) -> list[Experiment]:
    """Return the experiments of a set that are done, in their order."""
    stamp = _set(store, name).stamp("scores")
    return store.remember(f"experiments {name} {stamp}", lambda: _experiments(_table(store, name, "scores")))


def _experiments(scores: pa.Table) -> list[Experiment]:
    found: dict[str, Experiment] = {}
    for row in scores.to_pylist():
        own, metric = row.pop("experiment"), row.pop("metric")
        estimate = row.pop("value"), row.pop("low"), row.pop("high")
        found.setdefault(own, Experiment(own, **row, scores={})).scores[metric] = estimate
    return list(found.values())


def predictions(store: Store, name: str, experiment: Experiment) -> pa.Table:
    """Return what was predicted for each test text: text_id, true, predicted."""
    return _of(store, name, "predictions", experiment.name)


def confusions(store: Store, name: str, experiment: Experiment) -> pa.Table:
    """Return which labels were taken for which others: true, predicted, n_texts, share (of the true label's texts)."""
    rows = predictions(store, name, experiment)
    sizes = dict(zip(*np.unique(rows["true"].to_numpy(False), return_counts=True), strict=True))
    wrong = rows.filter(pc.not_equal(rows["true"], rows["predicted"]))
    counted = wrong.group_by(["true", "predicted"]).aggregate([([], "count_all")])
    shares = [
        n / sizes[true] for true, n in zip(counted["true"].to_pylist(), counted["count_all"].to_pylist(), strict=True)
    ]
    table = pa.table(
        {
            "true": counted["true"],
            "predicted": counted["predicted"],
            "n_texts": counted["count_all"],
            "share": pa.array(shares, pa.float64()),
        }
    )
    return table.sort_by([("n_texts", "descending"), ("true", "ascending"), ("predicted", "ascending")])


def class_scores(store: Store, name: str, experiment: Experiment) -> pa.Table:
    """Return how each label's test texts were predicted: label, n_texts, recall, low, high, precision, f1.

    Recall is the share of its texts that were given it, with the interval of Wilson; precision the share of the texts
    that were given it whose label it is, null where none was.
    """
    rows = predictions(store, name, experiment)
    true, predicted = (rows[column].to_numpy(False) for column in ("true", "predicted"))
    names = np.unique(true)
    n_true = np.array([(true == label).sum() for label in names])
    n_given = np.array([(predicted == label).sum() for label in names])
    hits = np.array([((true == label) & (predicted == label)).sum() for label in names])
    low, high = wilson(hits, n_true)
    precision = np.divide(hits, n_given, out=np.zeros(len(names)), where=n_given > 0)
    return pa.table(
        {
            "label": names.tolist(),
            "n_texts": n_true,
            "recall": hits / n_true,
            "low": low,
            "high": high,
            "precision": pa.array(precision, mask=n_given == 0),
            "f1": 2 * hits / (n_true + n_given),
        }
    )


def importances(store: Store, name: str, experiment: Experiment) -> pa.Table:
    """Return the columns that count, label by label ("" for a tree): label, rank, column, name, weight."""
    return _named(store, _of(store, name, "importances", experiment.model), experiment)


def tree(store: Store, name: str, experiment: Experiment) -> list[TreeNode]:
    """Return the nodes of a tree, the root first."""
    rows = _named(store, _of(store, name, "nodes", experiment.model), experiment)
    return [TreeNode(**row) for row in rows.to_pylist()]


def reasons(store: Store, name: str, experiment: Experiment, text_ids: Sequence[int]) -> pa.Table:
    """Return why some texts were given a wrong label: text_id, rank, column, name, contribution."""
    rows = _of(store, name, "contributions", experiment.name)
    return _named(store, rows.filter(pc.is_in(rows["text_id"], pa.array(text_ids, pa.int64()))), experiment)


def texts_of_node(
    store: Store, nodes: Sequence[TreeNode], node: int, representation: str
) -> tuple[np.ndarray, np.ndarray]:
    """Return the texts of the corpus that a node sends to its two sides, ascending: at most the threshold, and above.

    `nodes` are those of a tree on the features of this run, shown as `representation` says.
    """
    seen = _Seen(store, "+binary" in representation, int((re.findall(r"[+]largest-(\d+)", representation) or ["0"])[0]))
    inside = np.ones(store.n_texts, bool)
    for step, is_high in path_to(nodes, node):
        above = seen.above(nodes[step])
        inside &= above if is_high else ~above
    above = seen.above(nodes[node])
    return np.flatnonzero(inside & ~above), np.flatnonzero(inside & above)


@dataclass(frozen=True)
class _Seen:
    """Features as a tree has seen them."""

    store: Store
    binary: bool
    largest: int
    """How many of each text's activations were left, 0 for all."""

    def above(self, row: TreeNode) -> np.ndarray:
        """Whether a node's feature is above its threshold, for each text of the corpus."""
        fired = texts_of(self.store, row.column)
        text_ids, activations = np.asarray(fired.text_ids), np.asarray(fired.activations)
        if self.largest:
            kept = self._among_largest(text_ids, row.column)
            text_ids, activations = text_ids[kept], activations[kept]
        above = np.zeros(self.store.n_texts, bool)
        above[text_ids[(np.ones(len(activations)) if self.binary else activations) > row.threshold]] = True
        return above

    def _among_largest(self, text_ids: np.ndarray, feature_id: int) -> np.ndarray:
        """Whether a feature is among the largest of each of some texts on which it fires."""
        order = np.argsort(text_ids, kind="stable")
        rows = features_of(self.store, text_ids[order])
        place = np.arange(len(rows.whose)) - np.searchsorted(rows.whose, rows.whose)
        kept = np.zeros(len(text_ids), bool)
        kept[order[rows.whose[(rows.feature_ids == feature_id) & (place < self.largest)]]] = True
        return kept


def path_to(nodes: Sequence[TreeNode], node: int) -> list[tuple[int, bool]]:
    """Return the nodes above one, the root first, and whether the way goes to the side above the threshold."""
    if not 0 <= node < len(nodes):
        raise Refusal(f"the tree has no node {node}; its nodes are 0 to {len(nodes) - 1}.")
    parents = {row.low: (row.node, False) for row in nodes} | {row.high: (row.node, True) for row in nodes}
    way: list[tuple[int, bool]] = []
    while node in parents:
        node, is_high = parents[node]
        way.append((node, is_high))
    return way[::-1]


def paired(store: Store, name: str, first: Experiment, second: Experiment) -> Paired:
    """Compare two experiments of a set on the test texts that both have; Refusal when there is none."""
    tables = [predictions(store, name, each) for each in (first, second)]
    if first.test_run != second.test_run:
        raise Refusal("the two experiments are tested on texts of two runs; choose two of the same test texts.")
    ids = [rows["text_id"].to_numpy() for rows in tables]
    both, *places = np.intersect1d(*ids, return_indices=True)
    if not len(both):
        raise Refusal("the two experiments have no test text in common; choose two of the same label and split.")
    right = [
        pc.equal(rows["true"], rows["predicted"]).to_numpy(False)[place]
        for rows, place in zip(tables, places, strict=True)
    ]
    only = int((right[0] & ~right[1]).sum()), int((right[1] & ~right[0]).sum())
    return Paired(len(both), *only, mcnemar(*only))


def resampled(store: Store, name: str, first: Experiment, second: Experiment) -> Resampled | None:
    """Compare the accuracies of two models on the same divisions of the same training texts; None without three."""
    tables = [_of(store, name, "resamples", each.model) for each in (first, second)]
    n = min(rows.num_rows for rows in tables)
    if n < LEAST_RESAMPLES or len({rows["drawn"][0].as_py() for rows in tables}) > 1:
        return None
    scores = [rows["accuracy"].to_numpy()[:n] for rows in tables]
    sizes = [float(tables[0][column].to_numpy()[:n].mean()) for column in ("n_train", "n_test")]
    return Resampled(n, *corrected_resampled_t(scores[0] - scores[1], *sizes))


def _run(store: Store) -> Run:
    return Run(store.generation.path.parent)


def _set(store: Store, name: str) -> ExperimentSet:
    kept = experiment_set(_run(store), name)
    if kept.name not in sets_of(store):
        known = ", ".join(sets_of(store)) or "none"
        raise Refusal(f"the run has no set of experiments '{name[:60]}'; there are: {known}.")
    return kept


def _table(store: Store, name: str, table: str) -> pa.Table:
    kept = _set(store, name)
    return store.remember(f"experiments {kept.name} {table} {kept.stamp(table)}", lambda: kept.table(table))


def _of(store: Store, name: str, table: str, key: str) -> pa.Table:
    """The rows of one experiment, or of one model, which are together in their table."""
    rows = _table(store, name, table)
    column = rows.schema.names[0]
    places = store.remember(
        f"places {name} {table} {_set(store, name).stamp(table)}", lambda: _places(rows[column].combine_chunks())
    )
    own = rows.slice(*places[key]) if key in places else rows.schema.empty_table()
    return own.drop_columns([column])


def _places(names: pa.Array) -> dict[str, tuple[int, int]]:
    """Where the rows of each name begin, and how many they are."""
    if not len(names):
        return {}
    runs = pc.run_end_encode(names)
    ends = runs.run_ends.to_pylist()
    starts = [0, *ends[:-1]]
    return {name: (start, end - start) for name, start, end in zip(runs.values.to_pylist(), starts, ends, strict=True)}


def _named(store: Store, rows: pa.Table, experiment: Experiment) -> pa.Table:
    """The rows with the names that their features have now; those of other columns stay."""
    if not experiment.reads_features:
        return rows
    ids = rows["column"].to_pylist()
    known = labels(store, {column for column in ids if column >= 0})
    names = [known.get(column, name) for column, name in zip(ids, rows["name"].to_pylist(), strict=True)]
    return rows.set_column(rows.schema.get_field_index("name"), "name", pa.array(names, pa.string()))
