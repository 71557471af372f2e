"""Which texts a model is fitted on and which test it: all of a division, or those of one slice against each other's.

A slice is the texts that share a value of a column: a language, a year, a source. Fitted on each slice and tested on
every one, a classifier shows what carries over: the native score of a slice beside those of models that never saw it.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np

from featurelib.classification.division import check_division
from featurelib.classification.probes import Division
from featurelib.classification.target import Target, is_there
from featurelib.schema import Refusal
from featurelib.schema.experiments import every

MOST_SLICES = 40
LEAST_TESTED = 10
"""Test texts of a slice that are needed for a score."""
NAMED = 6


@dataclass(frozen=True)
class Plan:
    """What one model is fitted on, and what tests it."""

    train: str
    """The training texts, in words."""
    rows: np.ndarray
    """Places of the training texts in the target, int64."""
    tests: Mapping[str, np.ndarray]
    """The same of each set of test texts, by its words."""


def slice_plans(
    column: str, values: Sequence[object], target: Target, groups: np.ndarray, division: Division, folds: int
) -> tuple[list[Plan], list[str]]:
    """Return a plan for each slice, and one for all of them together first; and a sentence for each thing to know.

    `values` are those of the column, one for each text of the target. A slice on whose training texts nothing can be
    fitted only tests, and one of too few test texts only trains. Refusal when no two slices are left, or for too many.
    """
    words = np.array([str(value) if is_there(value) else "" for value in values], dtype=object)
    names = sorted(set(words.tolist()) - {""})
    if not 2 <= len(names) <= MOST_SLICES:
        raise Refusal(
            f"'{column}' has {len(names):,} different values; 2 to {MOST_SLICES} slices are expected: choose another "
            "column for --transfer."
        )
    if f"{column} {column}" == every(column) and column in names:
        raise Refusal(f"the slice '{column}' of '{column}' cannot be told from all of them; rename the column.")
    train, test = ({name: own[words[own] == name] for name in names} for own in division)
    tests = {f"{column} {name}": rows for name, rows in test.items() if len(rows) >= LEAST_TESTED}
    said = [_named(f"test texts of {column}", [name for name in names if len(test[name]) < LEAST_TESTED], LEAST_TESTED)]
    plans, unfit, reason = [], [], ""
    for name, rows in train.items():
        try:
            check_division(target.codes, target.names, groups, Division(rows, division.test), folds)
        except Refusal as refusal:
            unfit.append(name)
            reason = reason or str(refusal)
            continue
        plans.append(Plan(f"{column} {name}", rows, tests))
    if not plans or len(tests) < 2:
        raise Refusal(
            f"of the {len(names)} values of '{column}', {len(plans)} can be fitted and {len(tests)} tested; one and "
            f"two are needed{f' ({reason.rstrip(chr(46))})' if reason else ''}."
        )
    if unfit:
        said.append(f"Nothing is fitted on {_some(unfit)} of {column}: {reason}")
    if (words == "").any():
        said.append(f"{int((words == '').sum()):,} texts have no '{column}' and are left out.")
    together = np.sort(np.concatenate([train[name] for name in names]))
    return [Plan(every(column), together, tests), *plans], [sentence for sentence in said if sentence]


def _named(what: str, names: Sequence[str], least: int) -> str:
    return f"Fewer than {least} {what} {_some(names)}: it is not tested on." if names else ""


def _some(names: Sequence[str]) -> str:
    more = f" and {len(names) - NAMED} more" if len(names) > NAMED else ""
    return ", ".join(names[:NAMED]) + more
