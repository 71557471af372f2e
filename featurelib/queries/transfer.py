"""Questions about models that were trained on some texts and tested on others: slices of a column, or another run."""

from __future__ import annotations

import contextlib
from collections.abc import Sequence
from dataclasses import dataclass
from math import isfinite
from statistics import fmean

import pyarrow.compute as pc

from featurelib.queries.experiments import Experiment, Paired, experiments, paired, predictions, sets_of
from featurelib.schema import Refusal
from featurelib.schema.experiments import every
from featurelib.storage.store import Store


@dataclass(frozen=True)
class Transfer:
    """The experiments of one label, representation and classifier, by what trained and what tested."""

    column: str
    """The column of the slices; empty where only other runs test."""
    train: list[str]
    """What was trained on, in words; the texts of all slices together first."""
    test: list[str]
    cells: dict[tuple[str, str], Experiment]

    def is_native(self, train: str, test: str) -> bool:
        """Whether training and test texts are of the same slice, or of the same run."""
        cell = self.cells.get((train, test))
        return cell is not None and (train == test if self.column else not cell.test_run)

    def native(self, test: str) -> Experiment | None:
        """The experiment that was trained on what tests; None where nothing could be."""
        return next((self.cells[train, test] for train in self.train if self.is_native(train, test)), None)

    def reference(self, test: str) -> Experiment | None:
        """The native experiment; of texts of another run that of the model's own run."""
        if self.column:
            return self.native(test)
        return next((cell for cell in self.cells.values() if not cell.test_run), None)

    def transferred(self, test: str) -> list[Experiment]:
        """The experiments that were trained on one other slice, or on another run."""
        return [
            cell
            for (train, own), cell in self.cells.items()
            if own == test and not self.is_native(train, test) and not self.is_all(train)
        ]

    def is_all(self, train: str) -> bool:
        """Whether the training texts are those of all slices together."""
        return bool(self.column) and train == every(self.column)

    def short(self, words: str) -> str:
        """What trained or tested, without the column's name."""
        return words if not self.column or self.is_all(words) else words.removeprefix(f"{self.column} ")


@dataclass(frozen=True)
class Kept:
    """What carries over, for one representation."""

    representation: str
    native: float
    """The mean score over the slices of models that were trained on the slice that tests."""
    transferred: float
    """The mean over the same slices of the mean score of models that were trained on one other slice."""
    n_slices: int
    """The slices that have both."""
    together: float
    """The mean score of the model that was trained on all slices; NaN where there is none."""


def transfer_sets(store: Store) -> list[str]:
    """Return the sets of experiments in which something is tested on other texts than those it was trained on."""
    found = []
    for name in sets_of(store):
        with contextlib.suppress(Refusal):  # a set of another version, of which its own page tells
            if transferring(store, name):
                found.append(name)
    return found


def transferring(store: Store, name: str) -> list[Experiment]:
    """Return the experiments of a set whose model is tested on more than one set of texts."""
    rows = experiments(store, name)
    models = {each.model for each in rows if each.test_run}
    return [each for each in rows if each.slice_column or each.model in models]


def transfer(rows: Sequence[Experiment]) -> Transfer:
    """Return experiments of one label, representation and classifier by what trained and what tested."""
    cells = {(each.train, each.test): each for each in rows}
    train, test = (list(dict.fromkeys(pair[side] for pair in cells)) for side in (0, 1))
    return Transfer(rows[0].slice_column if rows else "", train, test, cells)


def kept_scores(rows: Sequence[Experiment], metric: str) -> list[Kept]:
    """Return for each representation among the experiments of a label and classifier how much of a score is kept.

    Sets of test texts without a score, such as the AUROC of one class, are left out.
    """

    def known(each: Experiment) -> bool:
        return isfinite(each.scores[metric][0])

    found = []
    for representation in dict.fromkeys(each.representation for each in rows):
        own = transfer([each for each in rows if each.representation == representation])
        both = [(test, native, own.transferred(test)) for test in own.test if (native := own.reference(test))]
        both = [(test, native, list(filter(known, others))) for test, native, others in both if known(native)]
        both = [(test, native, others) for test, native, others in both if others]
        tests = {test for test, _, _ in both}
        together = [
            cell.scores[metric][0]
            for (train, test), cell in own.cells.items()
            if own.is_all(train) and test in tests and known(cell)
        ]
        if both:
            found.append(
                Kept(
                    representation,
                    fmean(native.scores[metric][0] for _, native, _ in both),
                    fmean(fmean(each.scores[metric][0] for each in others) for _, _, others in both),
                    len(both),
                    fmean(together) if together else float("nan"),
                )
            )
    return found


def at_chance(store: Store, name: str, own: Transfer) -> list[str]:
    """Return the slices on which even the native model is not beyond doubt better than answering one label always.

    Slices whose test texts are all of one label are left out.
    """
    found = []
    for test in own.test:
        native = own.native(test)
        if native is not None:
            counts = pc.value_counts(predictions(store, name, native)["true"]).field("counts").to_numpy(False)
            if len(counts) > 1 and native.scores["accuracy"][1] <= counts.max() / counts.sum():
                found.append(test)
    return found


def against_native(store: Store, name: str, own: Transfer, train: str) -> dict[str, Paired]:
    """Return by test texts the native model beside the one that was trained on `train`, on the same texts."""
    found = {}
    for test in own.test:
        native, other = own.native(test), own.cells.get((train, test))
        if native is not None and other is not None and native is not other:
            found[test] = paired(store, name, native, other)
    return found
