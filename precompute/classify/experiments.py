"""One model after the other: each is kept with its tests when it is done, and not made again."""

from __future__ import annotations

import json
import time
from collections.abc import Iterator
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow.parquet as pq

from featurelib.classification.experiment import fit_model, judge
from featurelib.classification.representation import Representation, Shown
from featurelib.classification.resampling import resamples
from featurelib.classification.transfer import Plan
from featurelib.schema import LABELS
from featurelib.schema.experiments import ABOUT
from featurelib.storage import files
from featurelib.storage.experiments import ExperimentSet, experiment_set
from featurelib.storage.runs import find_run
from precompute.build.job import Say
from precompute.classify.classify_config import ClassifyConfig
from precompute.classify.inputs import RunInputs
from precompute.classify.outcome_tables import Columns, ModelTables, Test
from precompute.classify.tasks import Task, read_task

VERSION = 3
"""To be raised when an experiment would give something else from the same inputs."""
TO = " to "
GATHERED_EACH = 5.0
"""Seconds after which the tables of a set are written anew with the experiments that were done since."""


@dataclass(frozen=True)
class PlannedModel:
    """A model that is to be fitted, and how it is named."""

    label: str
    task: Task
    plan: Plan
    representation: Representation
    classifier: str

    @property
    def name(self) -> str:
        """Its name: label, representation and classifier, and of slices what it is fitted on."""
        trained = f", {self.plan.train}" if self.task.slice_column else ""
        return f"{self.label}, {self.representation}, {self.classifier}{trained}"

    def tests(self) -> Iterator[tuple[Test, np.ndarray]]:
        """Each set of test texts of the run itself, and its places in the target."""
        for words, places in self.plan.tests.items():
            name = self.name_on(words) if self.task.slice_column else self.name
            yield Test(name, words, self.task.texts(places), self.task.target.codes[places]), places

    def name_on(self, words: str) -> str:
        """The name of the experiment on some test texts; where words could be parted in two ways, as a JSON list."""
        if any(TO in part for part in (self.plan.train, words)):
            return json.dumps([self.name, words], ensure_ascii=False)
        return f"{self.name}{TO}{words}"

    def words_of_run(self, run: str) -> str:
        """The words for the texts of another run, which are not those of a slice."""
        words = f"run {run}"
        while words in self.plan.tests:
            words += " (another run)"
        return words

    def grouping(self) -> str:
        """What changes when other training texts belong together."""
        _, first, group = np.unique(self.task.groups[self.plan.rows], return_index=True, return_inverse=True)
        return files.fingerprint(first[group].tolist())

    def drawn(self, seed: int) -> str:
        """What two models must have in common for their further divisions to be the same."""
        return files.fingerprint([self.task.texts(self.plan.rows).tolist(), self.grouping(), seed])

    def fingerprint(self, inputs: RunInputs, config: ClassifyConfig) -> str:
        """What changes when anything that the model or its tests are made from does."""
        target, other = self.task.target, self.task.other
        own = [VERSION, _encoded(inputs), str(self.representation), self.classifier, asdict(config.settings)]
        own += [config.resamples, target.names, files.fingerprint(target.codes.tolist())]
        own += [files.fingerprint(self.task.texts(self.plan.rows).tolist()), self.grouping()]
        own += [[words, files.fingerprint(self.task.texts(rows).tolist())] for words, rows in self.plan.tests.items()]
        if other is not None:
            own.append(
                [_encoded(other.inputs), other.name, files.fingerprint([other.rows.tolist(), other.codes.tolist()])]
            )
        return files.fingerprint(own)


def classify(config: ClassifyConfig, data_folder: Path, say: Say) -> None:
    """Make the experiments of a config that are not made yet; Refusal when a label cannot be learned."""
    run = find_run(data_folder, config.run)
    inputs = RunInputs(run.current())
    other = RunInputs(find_run(data_folder, config.test_run).current()) if config.test_run else None
    kept = experiment_set(run, config.set_name)
    tasks = {label: read_task(inputs, other, label, config) for label in config.label}
    for label, task in tasks.items():
        for sentence in task.said:
            say(f"note: {label}: {sentence}")
    models = list(_planned(config, tasks))
    wanted = {model.name: model.fingerprint(inputs, config) for model in models}
    kept.path.mkdir(parents=True, exist_ok=True)
    encoded = _describe(kept, inputs, tasks)
    kept.gather(wanted, encoded)
    showing, names, gathered = Showing(config, inputs), _feature_names(inputs), time.monotonic()
    try:
        for number, model in enumerate(models, start=1):
            begun = f"{number} of {len(wanted)}: {model.name}"
            if kept.is_done(model.name, wanted[model.name]):
                say(f"{begun}: done before")
                continue
            tables = run_model(model, showing, names)
            marker = {"fingerprint": wanted[model.name], "encoded": encoded}
            kept.keep(model.name, marker, tables.tables(), tables.model.arrays)
            say(f"{begun}: {_in_words(tables)}")
            if time.monotonic() - gathered > GATHERED_EACH:
                kept.gather(wanted, encoded)
                gathered = time.monotonic()
    finally:
        kept.gather(wanted, encoded)
    say(f"{len(wanted)} {'models' if config.transfer else 'experiments'} in {kept.path}; the page Classify shows them.")


class Showing:
    """The texts of one task at a time, as each representation shows them: kept while they are asked for again."""

    def __init__(self, config: ClassifyConfig, inputs: RunInputs) -> None:
        self.config, self.inputs = config, inputs
        self._task: Task | None = None
        self._shown: tuple[Shown, Shown | None] | None = None
        self._matrix: tuple[Representation, tuple[Any, Any]] | None = None

    def matrices(self, task: Task, representation: Representation) -> tuple[Any, Any]:
        """Return the rows of a task's own texts, and of those of the other run; None where there is none."""
        if self._task is not task or self._shown is None:
            self._task, self._shown, self._matrix = task, self._read(task), None
        if self._matrix is None or self._matrix[0] != representation:
            own, other = self._shown
            others = None if other is None else other.matrix(representation)
            self._matrix = representation, (own.matrix(representation), others)
        return self._matrix[1]

    def _read(self, task: Task) -> tuple[Shown, Shown | None]:
        kinds, seed = {each.kind for each in self.config.known}, self.config.seed
        shown = self.inputs.shown(task.target.rows, kinds, seed)
        if task.other is None:
            return shown, None
        control = shown.control if "random" in kinds else None
        return shown, task.other.inputs.shown(task.other.rows, kinds, seed, control)


def run_model(planned: PlannedModel, showing: Showing, features: dict[int, str]) -> ModelTables:
    """Fit one model and test it; return its tables."""
    task, plan, config = planned.task, planned.plan, showing.config
    target, n_classes = task.target, task.target.n_classes
    x, other_x = showing.matrices(task, planned.representation)
    train = (x[plan.rows], target.codes[plan.rows], task.groups[plan.rows])
    model = fit_model(*train, n_classes, planned.representation, planned.classifier, config.settings)
    tables = ModelTables(
        planned.name,
        (planned.label, str(planned.representation), planned.classifier, plan.train),
        task.slice_column,
        len(plan.rows),
        target.names,
        model,
        Columns(planned.representation, model.words, features),
    )
    tables.add_model(resamples(model, *train, config.resamples, config.seed), planned.drawn(config.seed))
    for test, places in planned.tests():
        tables.add_test(test, judge(model, x[places], test.codes, n_classes, config.seed))
    if task.other is not None:
        name = task.other.name
        words = planned.words_of_run(name)
        test = Test(planned.name_on(words), words, task.other.rows, task.other.codes, name)
        tables.add_test(test, judge(model, other_x, test.codes, n_classes, config.seed))
    return tables


def _planned(config: ClassifyConfig, tasks: dict[str, Task]) -> Iterator[PlannedModel]:
    for label, task in tasks.items():
        for representation in config.known:
            for classifier in config.classifier:
                for plan in task.plans:
                    yield PlannedModel(label, task, plan, representation, classifier)


def _in_words(tables: ModelTables) -> str:
    """The accuracy of the first test, and of how many more there are the lowest and the highest."""
    accuracies = [row[7:10] for row in tables.rows["scores"] if row[6] == "accuracy"]
    value, low, high = accuracies[0]
    if len(accuracies) == 1:
        return f"accuracy {value:.3f} ({low:.3f} to {high:.3f}), {tables.model.seconds:.1f} s"
    values = [float(str(row[0])) for row in accuracies]
    return (
        f"accuracy {min(values):.3f} to {max(values):.3f} on {len(values)} sets of texts, {tables.model.seconds:.1f} s"
    )


def _encoded(inputs: RunInputs) -> str:
    done = inputs.generation.done("encode")
    return done.fingerprint if done else ""


def _describe(kept: ExperimentSet, inputs: RunInputs, tasks: dict[str, Task]) -> str:
    """Write what the set is made from, and return what tells whether an experiment is of the same activations."""
    encoded = _encoded(inputs)
    labels = {
        label: {
            "n_classes": task.target.n_classes,
            "n_texts": len(task.target.rows),
            "train": [plan.train for plan in task.plans],
            "test": list(task.plans[0].tests),
            "said": task.said,
            "test_run": [task.other.name, _encoded(task.other.inputs)] if task.other is not None else None,
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
