"""The columns that count for a label, as bars that open their features."""

from __future__ import annotations

import pyarrow as pa
import pyarrow.compute as pc

from featurelib.ui.classify.choosing import Chosen
from featurelib.ui.kit.address import choice_box
from featurelib.ui.kit.elements import heading, html, number, sentence, tag
from featurelib.ui.kit.lists import Line, line_list

LINEAR = (
    "The weight of the linear model, times the root mean square of what it weighs: how much it moves the score of this "
    "label. Minus speaks against it."
)
GINI = "The share of the Gini impurity that the tree takes away by asking for it."


def importances(chosen: Chosen, rows: pa.Table) -> None:
    """Draw the columns that count for one label, which is chosen here, or for a tree."""
    if not rows.num_rows:
        heading("What counts")
        sentence("Nothing does: the classifier answers the same for every text.")
        return
    if not chosen.is_tree:
        labels = list(dict.fromkeys(rows["label"].to_pylist()))
        label = choice_box("What counts for", "class", labels, resets=(), width=260)
        rows = rows.filter(pc.equal(rows["label"], label))
    highest = max(abs(weight) for weight in rows["weight"].to_pylist())
    lines = [
        (
            row["column"],
            Line(row["name"], {"feature": row["column"]}, (_signed(row["weight"]),), abs(row["weight"]) / highest),
        )
        for row in rows.to_pylist()
    ]
    title, help = ("What the tree asks for", GINI) if chosen.is_tree else ("Weights", LINEAR)
    if chosen.reads_features:
        line_list("importances", [line for _, line in lines], title=title, help=help, names=("weight",))
        return
    heading(title, help=help)
    html(tag("div", *(_plain(line) for _, line in lines), cls="choices"))


def _signed(weight: float) -> str:
    return f"{'−' if weight < 0 else ''}{number(abs(weight))}"


def _plain(line: Line) -> str:
    return tag("div", tag("span", line.label), tag("span", line.values[0], cls="muted"), cls="choice")
