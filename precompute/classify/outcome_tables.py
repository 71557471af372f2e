"""What models and their tests have found, as the tables of a set of experiments."""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field

import numpy as np
import pyarrow as pa

from featurelib.classification.experiment import FittedModel, Importance, Node, Outcome, Reason
from featurelib.classification.representation import Representation
from featurelib.classification.resampling import Resample
from featurelib.schema.experiments import EXPERIMENT_TABLES

SHOWN_LABELS = 4
"""Labels that are listed for a node of a tree."""


@dataclass(frozen=True)
class Columns:
    """What the columns of a representation are called."""

    representation: Representation
    words: Sequence[str]
    features: Mapping[int, str]

    def name(self, column: int) -> str:
        """The name of one."""
        if self.words:
            return self.words[column]
        if self.representation.has_features:
            return self.features.get(column, f"feature {column}")
        return f"{self.representation.kind} {column}"


@dataclass(frozen=True)
class Test:
    """One experiment: a model, and the texts that test it."""

    experiment: str
    """Its name."""
    test: str
    """The test texts, in words."""
    text_ids: np.ndarray
    codes: np.ndarray
    """Their classes."""
    test_run: str = ""
    """The run of these texts; empty for that of the model."""


@dataclass(frozen=True)
class ModelTables:
    """The tables of one model and its tests, row by row."""

    name: str
    """The model."""
    first: tuple[str, ...]
    """Label column, representation, classifier and training texts, in words."""
    slice_column: str
    n_train: int
    names: Sequence[str]
    """The labels."""
    model: FittedModel
    columns: Columns
    rows: dict[str, list[tuple[object, ...]]] = field(
        default_factory=lambda: {table: [] for table in EXPERIMENT_TABLES}, init=False
    )

    def add_model(self, resamples: Sequence[Resample], drawn: str) -> None:
        """Add what belongs to the model itself; `drawn` tells which further divisions are the same."""
        for own in self.model.importances:
            self.rows["importances"] += self._importance_rows(own)
        self.rows["nodes"] += [self._node_row(number, node) for number, node in enumerate(self.model.nodes)]
        self.rows["resamples"] += [
            (self.name, number, drawn, each.accuracy, each.macro_f1, each.n_train, each.n_test)
            for number, each in enumerate(resamples)
        ]

    def add_test(self, test: Test, outcome: Outcome) -> None:
        """Add what one set of test texts gave."""
        settings = json.dumps(self.model.settings, sort_keys=True)
        seconds = self.model.seconds + outcome.seconds
        last = self.n_train, len(test.codes), seconds, settings, self.name, self.slice_column, test.test_run
        self.rows["scores"] += [
            (test.experiment, *self.first, test.test, metric, *estimate, *last)
            for metric, estimate in vars(outcome.scores).items()
        ]
        self.rows["predictions"] += [
            (test.experiment, text_id, self.names[true], self.names[predicted])
            for text_id, true, predicted in zip(test.text_ids.tolist(), test.codes, outcome.predicted, strict=True)
        ]
        for own in outcome.reasons:
            self.rows["contributions"] += self._reason_rows(test, own)

    def tables(self) -> dict[str, pa.Table]:
        """Return them as Arrow tables."""
        return {
            table: pa.table(
                {
                    column.name: pa.array([row[place] for row in self.rows[table]], column.type)
                    for place, column in enumerate(schema)
                }
            )
            for table, schema in EXPERIMENT_TABLES.items()
        }

    def _importance_rows(self, own: Importance) -> Iterator[tuple[object, ...]]:
        label = self.names[own.code] if own.code >= 0 else ""
        for rank, (column, weight) in enumerate(zip(own.columns.tolist(), own.weights.tolist(), strict=True), start=1):
            yield self.name, label, rank, column, self.columns.name(column), weight

    def _reason_rows(self, test: Test, own: Reason) -> Iterator[tuple[object, ...]]:
        pairs = zip(own.columns.tolist(), own.contributions.tolist(), strict=True)
        for rank, (column, contribution) in enumerate(pairs, start=1):
            yield test.experiment, int(test.text_ids[own.row]), rank, column, self.columns.name(column), contribution

    def _node_row(self, number: int, node: Node) -> tuple[object, ...]:
        best = np.argsort(-node.shares, kind="stable")[:SHOWN_LABELS]
        best = best[node.shares[best] > 0]
        asked = self.columns.name(node.column) if node.column >= 0 else ""
        labels = [self.names[code] for code in best.tolist()]
        return (
            *(self.name, number, node.column, asked, node.threshold, node.low, node.high, node.n_texts),
            *(labels, node.shares[best].tolist()),
        )
