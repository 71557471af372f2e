"""One experiment's scores with their intervals, label by label, and what was taken for what."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import pyarrow as pa

from featurelib.queries import Experiment
from featurelib.ui.kit.address import kept_params
from featurelib.ui.kit.elements import Number, count, heading, percent, strip
from featurelib.ui.kit.grid import Cell, grid
from featurelib.ui.kit.lists import Line, line_list
from featurelib.ui.kit.tables import Column, number_column, order_of_address, sorted_rows, table, text_column

METRICS = {
    "accuracy": ("accuracy", "The share of the test texts whose label was predicted."),
    "macro_f1": (
        "macro F1",
        "The mean of 2·precision·recall / (precision + recall) over the labels that stand among the true or the "
        "predicted ones; each counts alike.",
    ),
    "auroc": (
        "AUROC",
        "The mean over the labels of P(a text of the label is scored higher for it than another text): 0.5 is chance.",
    ),
}
INTERVAL = " With its 95 % interval by bootstrap over the test texts."
SORTS = ("n_texts", "label", "recall", "precision", "f1")
CONFUSED = 12
MOST_IN_GRID = 26
"""Labels up to which all are drawn against all."""
GRID = (
    "Shaded by the share of the true label's test texts; framed: they were right. A cell lists the texts that were "
    "wrong."
)
COLUMNS = {
    "label": text_column("label", sort="label", longest=80),
    "n_texts": number_column("test texts", sort="n_texts"),
    "shown_recall": Column(
        "found", sort="recall", help="The share of its texts that were given it, with its 95 % interval (Wilson)."
    ),
    "precision": Column(
        "right", show=percent, sort="precision", phone=False, help="Of the texts that were given it, how many have it."
    ),
    "f1": number_column("F1", 2, sort="f1"),
}


def score(values: tuple[float, float, float]) -> str:
    """A score in three digits."""
    return f"{values[0]:.3f}" if values[0] == values[0] else "–"


def interval(values: tuple[float, float, float]) -> str:
    """The interval of a score."""
    return f"{values[1]:.3f} to {values[2]:.3f}" if values[1] == values[1] else ""


def score_strip(experiment: Experiment) -> None:
    """The scores, and on how many texts."""
    numbers = [
        Number(score(values), METRICS[metric][0], METRICS[metric][1] + INTERVAL, aside=interval(values))
        for metric, values in experiment.scores.items()
        if metric in METRICS
    ]
    trained = f"training texts ({experiment.train})"
    strip([*numbers, Number(count(experiment.n_test), "test texts"), Number(count(experiment.n_train), trained)])


def label_table(rows: pa.Table) -> None:
    """Each label's test texts and how they were predicted; a row lists those that were got wrong."""
    order = order_of_address(SORTS, rising=("label", "recall", "precision", "f1"))
    rows = sorted_rows(rows, order.sort, order)
    words = [f"{percent(row['recall'])} ({percent(row['low'])} to {percent(row['high'])})" for row in rows.to_pylist()]
    shown = rows.append_column("shown_recall", pa.array(words, pa.string()))

    def opens(row: Mapping[str, Any]) -> tuple[str, Mapping[str, object]]:
        return "classify.py", kept_params("true", "predicted", "page") | {"true": row["label"], "view": "errors"}

    table(shown, COLUMNS, page="classify.py", key="labels", opens=opens, order=order)


def confusion_grid(rows: pa.Table, labels: Sequence[str], sizes: Mapping[str, int]) -> None:
    """Every label against every label it was taken for; a cell leads to its texts. `rows` are the wrong ones."""
    wrong = {(row["true"], row["predicted"]): row["n_texts"] for row in rows.to_pylist()}
    columns = [*labels, *sorted({predicted for _, predicted in wrong} - set(labels))]
    right = {label: sizes[label] - sum(n for (true, _), n in wrong.items() if true == label) for label in labels}
    texts = wrong | {(label, label): n for label, n in right.items()}
    cells = {
        (true, predicted): Cell(
            count(n),
            n / sizes[true],
            "classify.py",
            kept_params("true", "predicted", "page")
            | {"view": "errors", "true": true}
            | ({"predicted": predicted} if true != predicted else {}),
            f"{true} taken for {predicted}: {count(n)} of {count(sizes[true])} texts ({percent(n / sizes[true])})",
            true == predicted,
        )
        for (true, predicted), n in texts.items()
        if n
    }
    heading("What was taken for what", "test texts, true label ↓ predicted →", help=GRID)
    grid(labels, columns, cells, corner="true label", key="confusion")


def confusion_list(rows: pa.Table) -> None:
    """Which labels were taken for which, the commonest first; each leads to its texts."""
    lines = [
        Line(
            f"{row['true']} → {row['predicted']}",
            kept_params("true", "predicted", "page")
            | {"true": row["true"], "predicted": row["predicted"], "view": "errors"},
            (count(row["n_texts"]), percent(row["share"])),
            page="classify.py",
        )
        for row in rows.slice(0, CONFUSED).to_pylist()
    ]
    if not lines:
        heading("Taken for another", "none was")
        return
    note = f"the {CONFUSED} commonest of {rows.num_rows:,}" if rows.num_rows > CONFUSED else ""
    line_list("confused", lines, title="Taken for another", note=note, names=("texts", "of its label"))
