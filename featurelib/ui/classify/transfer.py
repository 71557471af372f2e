"""What carries over: a grid of what trained against what tested, and each slice's native model beside another."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from typing import Any

import pyarrow as pa

from featurelib import queries
from featurelib.queries import Experiment, Kept, Transfer
from featurelib.storage.store import Store
from featurelib.ui.classify.one_experiment import METRICS, interval, score
from featurelib.ui.kit.address import choice_box, kept_params
from featurelib.ui.kit.elements import count, heading, number, sentence
from featurelib.ui.kit.grid import Cell, grid
from featurelib.ui.kit.tables import Column, number_column, table, text_column

LONGEST = 60
"""Characters of the name of a slice in a sentence."""
GRID = (
    "Each cell is one model: fitted on the training texts of its row, tested on the test texts of its column. Framed: "
    "both are of the same slice (native). A cell opens its experiment."
)
KEPT = {
    "representation": text_column("sees"),
    "native": number_column("native", 3, help="The mean score of models that were trained on the slice that tests."),
    "transferred": number_column(
        "transferred",
        3,
        help="The mean over the slices of the mean score of models that were trained on one other slice.",
    ),
    "lost": Column(
        "lost",
        show=lambda gap: f"{100 * gap:.1f}" if math.isfinite(gap) else "–",
        help="Native less transferred, in points.",
    ),
    "together": number_column(
        "trained on all", 3, phone=False, help="The mean score of the model of all slices together."
    ),
}
MCNEMAR = (
    "McNemar's exact test on the same test texts: the chance of such a difference if both models were equally good."
)
BESIDE = {
    "test": text_column("tested on", longest=60),
    "native": Column("native", help="Trained on the slice that tests; with the 95 % interval (bootstrap over texts)."),
    "other": Column("transferred", help="Trained on the slice that is chosen above; with its 95 % interval."),
    "gap": Column("points lost", help="Native less transferred."),
    "chance": Column("by chance", phone=False, help=MCNEMAR),
    "n": number_column("test texts", phone=False),
}


def kept_table(rows: Sequence[Kept], chosen: str) -> None:
    """What is kept, representation by representation; a row shows its grid."""
    shown = pa.Table.from_pylist(
        [
            {
                "representation": each.representation,
                "native": each.native,
                "transferred": each.transferred,
                "lost": each.native - each.transferred,
                "together": each.together,
            }
            for each in rows
        ]
    )

    def opens(row: Mapping[str, Any]) -> tuple[str, Mapping[str, object]]:
        return "transfer.py", kept_params("sees") | {"sees": row["representation"]}

    heading("What is kept", f"means over {rows[0].n_slices} sets of test texts" if rows else "")
    if not rows:
        sentence("No set of test texts has both a native model and one that was trained on others.")
        return
    table(shown, KEPT, page="transfer.py", key="kept", opens=opens, chosen=lambda row: row["representation"] == chosen)


def transfer_grid(own: Transfer, set_name: str, metric: str) -> None:
    """Every model against every set of test texts."""
    heading(f"{METRICS[metric][0]}, in %", "trained on ↓ tested on →", help=f"{METRICS[metric][1]} {GRID}")
    values = [cell.scores[metric][0] for cell in own.cells.values() if math.isfinite(cell.scores[metric][0])]
    lowest, highest = min(values, default=0.0), max(values, default=1.0)
    cells = {
        (train, test): Cell(
            _points(cell.scores[metric][0]),
            _shade(cell.scores[metric][0], lowest, highest),
            "classify.py",
            experiment_params(set_name, cell),
            f"trained on {own.short(train)}, tested on {own.short(test)}: "
            f"{score(cell.scores[metric])} ({interval(cell.scores[metric])})",
            own.is_native(train, test),
        )
        for (train, test), cell in own.cells.items()
    }
    grid(own.train, own.test, cells, corner="trained on", key="transfer", show=own.short)


def _gap(difference: float) -> str:
    return f"{100 * difference:+.1f}" if math.isfinite(difference) else "–"


def _points(value: float) -> str:
    return f"{100 * value:.0f}" if math.isfinite(value) else "–"


def _shade(value: float, lowest: float, highest: float) -> float:
    return (value - lowest) / ((highest - lowest) or 1) if math.isfinite(value) else 0.0


def experiment_params(set_name: str, each: Experiment) -> dict[str, object]:
    """The address of an experiment on the page Classify."""
    return {
        "set": set_name, "label": each.label_column, "sees": each.representation, "by": each.classifier,
        "train": each.train, "test": each.test,
    }  # fmt: skip


def beside_native(store: Store, own: Transfer, set_name: str, metric: str) -> None:
    """For each set of test texts the native model beside one that was trained on a slice, which is chosen here."""
    heading("Native beside transferred", help=MCNEMAR)
    sources = [train for train in own.train if any(not own.is_native(train, test) for test in own.test)]
    sources.sort(key=own.is_all)
    train = choice_box("Trained on", "from", sources, show=own.short, resets=(), width=240)
    found = queries.against_native(store, set_name, own, train)
    if not found:
        sentence("No other slice has a native model beside it.")
        return
    rows = []
    for test, pair in found.items():
        native, other = own.native(test), own.cells[train, test]
        assert native is not None
        ours, theirs = native.scores[metric], other.scores[metric]
        rows.append(
            {
                "test": own.short(test),
                "native": f"{score(ours)} ({interval(ours)})",
                "other": f"{score(theirs)} ({interval(theirs)})",
                "gap": _gap(ours[0] - theirs[0]),
                "chance": number(pair.chance, 2),
                "n": pair.n_both,
                "where": experiment_params(set_name, other),
            }
        )
    wheres = {str(row["test"]): row.pop("where") for row in rows}

    def opens(row: Mapping[str, Any]) -> tuple[str, Mapping[str, object]]:
        where = wheres[row["test"]]
        assert isinstance(where, dict)
        return "classify.py", where

    table(pa.Table.from_pylist(rows), BESIDE, page="transfer.py", key="beside", opens=opens)


def chance_sentence(own: Transfer, names: Sequence[str]) -> None:
    """Name the slices on which nothing is learned, even natively."""
    if names:
        n = sum(own.native(test) is not None for test in own.test)
        few = ", ".join(own.short(name)[:LONGEST] for name in names)
        sentence(
            f"On {count(len(names))} of {count(n)} slices not even the native model is beyond doubt better "
            f"than answering the commonest label: {few}. The embeddings hardly tell these texts apart."
        )
