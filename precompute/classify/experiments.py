"""One experiment after the other: each is kept when it is done, and not made again."""

from __future__ import annotations

import json
from collections.abc import Iterator, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq

from featurelib.classification.division import by_column, check_division, groups_of, stratified
from featurelib.classification.experiment import Importance, Node, Outcome, Reason, run_experiment
from featurelib.classification.probes import Division
from featurelib.classification.representation import Representation
from featurelib.classification.target import Target, read_target
from featurelib.schema import LABELS
from featurelib.schema.experiments import ABOUT, EXPERIMENT_TABLES
from featurelib.storage import files
from featurelib.storage.experiments import ExperimentSet, experiment_set
from featurelib.storage.runs import find_run
from precompute.build.job import Say
from precompute.classify.classify_config import ClassifyConfig
from precompute.classify.inputs import RunInputs

VERSION = 1
"""To be raised when an experiment would give something else from the same inputs."""
SHOWN_LABELS = 4
"""Labels that are listed for a node of a tree."""


@dataclass(frozen=True)
class Task:
    """A label column that is to be predicted."""

    target: Target
    groups: np.ndarray
    """Which of its texts are copies of each other, int64 [n]."""
    division: Division
    train: str
    """How the training texts were chosen, in words."""
    test: str
    said: list[str]
    """What a reader of the scores must know."""


def classify(config: ClassifyConfig, data_folder: Path, say: Say) -> None:
    """Make the experiments of a config that are not made yet; Refusal when a label cannot be learned."""
    run = find_run(data_folder, config.run)
    inputs = RunInputs(run.current())
    kept = experiment_set(run, config.set_name)
    tasks = {label: _task(inputs, label, config, say) for label in config.label}
    wanted = {
        _name(label, representation, classifier): _fingerprint(inputs, tasks[label], representation, classifier, config)
        for label, representation, classifier in _combinations(config)
    }
    kept.path.mkdir(parents=True, exist_ok=True)
    encoded = _describe(kept, inputs, config, tasks)
    kept.gather(wanted, encoded)
    names, kinds = _feature_names(inputs), {representation.kind for representation in config.known}
    number = 0
    for label, task in tasks.items():
        shown = inputs.shown(task.target, kinds, config.seed)
        for representation, classifier in ((each, used) for each in config.known for used in config.classifier):
            number += 1
            name = _name(label, representation, classifier)
            begun = f"{number} of {len(wanted)}: {name}"
            if kept.is_done(name, wanted[name]):
                say(f"{begun}: done before")
                continue
            outcome = run_experiment(
                shown, task.target, task.groups, task.division, representation, classifier, config.settings
            )
            tables = _tables(name, label, task, representation, classifier, outcome, names)
            kept.keep(name, {"fingerprint": wanted[name], "encoded": encoded}, tables, outcome.arrays)
            kept.gather(wanted, encoded)
            value, low, high = outcome.scores.accuracy
            say(f"{begun}: accuracy {value:.3f} ({low:.3f} to {high:.3f}), {outcome.seconds:.1f} s")
    say(f"{len(wanted)} experiments in {kept.path}; the page Classify shows them.")


def _combinations(config: ClassifyConfig) -> Iterator[tuple[str, Representation, str]]:
    for label in config.label:
        for representation in config.known:
            for classifier in config.classifier:
                yield label, representation, classifier


def _name(label: str, representation: Representation, classifier: str) -> str:
    return f"{label}, {representation}, {classifier}"


def _task(inputs: RunInputs, label: str, config: ClassifyConfig, say: Say) -> Task:
    target = read_target(label, inputs.column(label), inputs.texts)
    groups = groups_of([inputs.texts[row] for row in target.rows.tolist()])
    said = list(target.warnings)
    if config.split:
        split = inputs.column(config.split)
        division, notes = by_column([split[row] for row in target.rows.tolist()], groups)
        train, test = f"{config.split} train", f"{config.split} test"
        said += notes
    else:
        division = stratified(target.codes, groups, config.seed)
        train, test = "80 % drawn", "20 % drawn"
    said += inputs.seen_in_training(target.rows[division.test])
    missing = np.setdiff1d(target.codes[division.test], target.codes[division.train])
    if len(missing):
        said.append(
            f"{len(missing):,} classes of the test texts have no training text, first '{target.names[missing[0]]}'."
        )
    for sentence in said:
        say(f"note: {label}: {sentence}")
    check_division(target.codes, target.names, groups, division, config.folds)
    return Task(target, groups, division, train, test, said)


def _fingerprint(
    inputs: RunInputs, task: Task, representation: Representation, classifier: str, config: ClassifyConfig
) -> str:
    done = inputs.generation.done("encode")
    own = [VERSION, done and done.fingerprint, str(representation), classifier, asdict(config.settings)]
    texts = [
        files.fingerprint(rows.tolist())
        for rows in (task.target.rows[task.division.train], task.target.rows[task.division.test])
    ]
    return files.fingerprint([own, texts, task.target.names, files.fingerprint(task.target.codes.tolist())])


def _describe(kept: ExperimentSet, inputs: RunInputs, config: ClassifyConfig, tasks: dict[str, Task]) -> str:
    """Write what the set is made from, and return what tells whether an experiment is of the same activations."""
    done = inputs.generation.done("encode")
    encoded = done.fingerprint if done else ""
    labels = {
        label: {
            "n_classes": task.target.n_classes,
            "n_train": len(task.division.train),
            "n_test": len(task.division.test),
            "train": task.train,
            "test": task.test,
            "said": task.said,
        }
        for label, task in tasks.items()
    }
    about = kept.about() if (kept.path / ABOUT).is_file() else {}
    earlier = about.get("labels", {}) if about.get("encoded") == encoded else {}
    about = {"generation": inputs.generation.name, "encoded": encoded, "labels": earlier | labels}
    files.write_json(kept.path / ABOUT, about)
    return encoded


def _feature_names(inputs: RunInputs) -> dict[int, str]:
    """The labels of the features, where the run has any yet."""
    if not inputs.generation.has(LABELS):
        return {}
    rows = pq.read_table(inputs.generation.file(LABELS), columns=["feature_id", "label"])
    return dict(zip(rows["feature_id"].to_pylist(), rows["label"].to_pylist(), strict=True))


@dataclass(frozen=True)
class _Columns:
    """What the columns of a representation are called."""

    representation: Representation
    words: Sequence[str]
    features: dict[int, str]

    def name(self, column: int) -> str:
        if self.words:
            return self.words[column]
        if self.representation.has_features:
            return self.features.get(column, f"feature {column}")
        return f"{self.representation.kind} {column}"


def _tables(
    name: str, label: str, task: Task, representation: Representation, classifier: str, outcome: Outcome,
    features: dict[int, str],
) -> dict[str, pa.Table]:  # fmt: skip
    columns, names = _Columns(representation, outcome.columns, features), task.target.names
    test = task.target.rows[task.division.test]
    first = (name, label, str(representation), classifier, task.train, task.test)
    last = (len(task.division.train), len(test), outcome.seconds, json.dumps(outcome.settings, sort_keys=True))
    rows = {
        "scores": [(*first, metric, *estimate, *last) for metric, estimate in vars(outcome.scores).items()],
        "predictions": [
            (name, text_id, names[true], names[predicted])
            for text_id, true, predicted in zip(
                test.tolist(), task.target.codes[task.division.test], outcome.predicted, strict=True
            )
        ],
        "importances": [row for own in outcome.importances for row in _importance_rows(name, own, names, columns)],
        "contributions": [row for own in outcome.reasons for row in _reason_rows(name, own, test, columns)],
        "nodes": [_node_row(name, number, node, names, columns) for number, node in enumerate(outcome.nodes)],
    }
    return {
        table: pa.table(
            {
                field.name: pa.array([row[place] for row in rows[table]], field.type)
                for place, field in enumerate(schema)
            }
        )
        for table, schema in EXPERIMENT_TABLES.items()
    }


def _importance_rows(name: str, own: Importance, names: list[str], columns: _Columns) -> Iterator[tuple[object, ...]]:
    label = names[own.code] if own.code >= 0 else ""
    for rank, (column, weight) in enumerate(zip(own.columns.tolist(), own.weights.tolist(), strict=True), start=1):
        yield name, label, rank, column, columns.name(column), weight


def _reason_rows(name: str, own: Reason, test: np.ndarray, columns: _Columns) -> Iterator[tuple[object, ...]]:
    pairs = zip(own.columns.tolist(), own.contributions.tolist(), strict=True)
    for rank, (column, contribution) in enumerate(pairs, start=1):
        yield name, int(test[own.row]), rank, column, columns.name(column), contribution


def _node_row(name: str, number: int, node: Node, names: list[str], columns: _Columns) -> tuple[object, ...]:
    best = np.argsort(-node.shares, kind="stable")[:SHOWN_LABELS]
    best = best[node.shares[best] > 0]
    asked = columns.name(node.column) if node.column >= 0 else ""
    labels = [names[code] for code in best.tolist()]
    return (
        name,
        number,
        node.column,
        asked,
        node.threshold,
        node.low,
        node.high,
        node.n_texts,
        labels,
        node.shares[best].tolist(),
    )
