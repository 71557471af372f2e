"""All experiments of a set beside each other: a table, a heat map, and a paired test of any two."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import pyarrow as pa
import streamlit as st

from featurelib import queries
from featurelib.queries import Experiment
from featurelib.storage.store import Store
from featurelib.ui.classify.choosing import classifier_name
from featurelib.ui.classify.one_experiment import METRICS, interval, score
from featurelib.ui.kit.address import choice_box
from featurelib.ui.kit.elements import Number, count, heading, number, sentence, strip
from featurelib.ui.kit.tables import Column, number_column, order_of_address, sorted_rows, table, text_column

SORTS = ("accuracy", "macro_f1", "auroc", "representation", "classifier", "seconds")
MCNEMAR = (
    "McNemar's exact test: of the test texts that only one of the two had right, each had it with chance ½ if they "
    "were equally good."
)
RESAMPLED = (
    "Corrected resampled t-test (Nadeau and Bengio 2003) over the divisions, each of which fits both models anew with "
    "the settings they have; McNemar's test knows one division alone."
)


def experiment_table(set_name: str, rows: Sequence[Experiment]) -> None:
    """The experiments with their scores; a row opens one."""
    order = order_of_address(SORTS, rising=("representation", "classifier"))
    shown = pa.Table.from_pylist([_row(each) for each in rows])
    columns = {
        "representation": text_column("sees", sort="representation"),
        "classifier": text_column("classifier", show=classifier_name, sort="classifier"),
        **{
            f"shown_{metric}": Column(name, sort=metric, help=help, phone=metric == "accuracy")
            for metric, (name, help) in METRICS.items()
        },
        "n_test": number_column("test texts", phone=False),
        "seconds": number_column("seconds", 1, sort="seconds", phone=False),
    }

    def opens(row: Mapping[str, Any]) -> tuple[str, Mapping[str, object]]:
        where = {"label": row["label_column"], "sees": row["representation"], "by": row["classifier"]}
        return "classify.py", {"set": set_name} | where

    table(sorted_rows(shown, order.sort, order), columns, page="experiments.py", key="all", opens=opens, order=order)


def _row(each: Experiment) -> dict[str, object]:
    row: dict[str, object] = {
        name: getattr(each, name) for name in ("representation", "classifier", "label_column", "n_test", "seconds")
    }
    for metric in METRICS:
        values = each.scores.get(metric, (float("nan"),) * 3)
        row[metric] = values[0]
        row[f"shown_{metric}"] = f"{score(values)} ({interval(values)})" if interval(values) else score(values)
    return row


def two_compared(store: Store, set_name: str, rows: Sequence[Experiment]) -> None:
    """A paired test of two experiments on the same test texts."""
    heading("Two of them on the same texts", help=MCNEMAR)
    named = {each.name: each for each in rows}
    names = list(named)
    if len(names) < 2:
        sentence("There is only one experiment.")
        return
    with st.container(horizontal=True, vertical_alignment="bottom", key="two"):
        first = choice_box("One", "first", names, resets=(), width=260)
        second = choice_box("The other", "second", [name for name in names if name != first], resets=(), width=260)
    paired = queries.paired(store, set_name, named[first], named[second])
    gap = (paired.only_first - paired.only_second) / paired.n_both
    strip(
        [
            Number(count(paired.n_both), "test texts in common"),
            Number(count(paired.only_first), "only the first had right"),
            Number(count(paired.only_second), "only the second had right"),
            Number(f"{100 * gap:+.1f}", "points of accuracy between them"),
            Number(number(paired.chance, 2), "by chance", MCNEMAR),
        ]
    )
    again = queries.resampled(store, set_name, named[first], named[second])
    if again is None:
        return
    gap, ends = 100 * again.difference.value, (100 * again.difference.low, 100 * again.difference.high)
    strip(
        [
            Number(count(again.n), "further divisions of the training texts"),
            Number(f"{gap:+.1f}", "points of accuracy, their mean", aside=f"{ends[0]:+.1f} to {ends[1]:+.1f}"),
            Number(number(again.chance, 2), "by chance", RESAMPLED),
        ]
    )
