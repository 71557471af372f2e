"""Features that fire on the same texts: as a list in a chosen order, and as a square of colours."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import Any

import streamlit as st

from featurelib import charts
from featurelib.queries import MEASURES, CoactivationMatrix
from featurelib.ui.kit.address import choice_box, segments
from featurelib.ui.kit.elements import chart, count, heading, number, percent, sentence
from featurelib.ui.kit.lists import feature_line, line_list
from featurelib.ui.kit.theme import colours

Rows = Sequence[Mapping[str, Any]]

ORDERS = {"lift": "by lift", "jaccard": "by overlap", "conditional": "by share"}
LIFT = "How many times more often both fire on one text than if they were independent."
ORDER_HELP = {
    "lift": f"{LIFT} With few texts it is uncertain: raise the minimum.",
    "jaccard": "Jaccard: the texts on which both fire, of those on which at least one does.",
    "conditional": "The share of this feature's texts on which the other fires; features that fire often come first.",
}
HEAT = {"jaccard": "overlap (jaccard)", "geometric": "over the geometric mean"}


def heat(together: CoactivationMatrix, *, key: str, named: bool = False) -> None:
    """A square of how much some features fire together, with the choice of the measure."""
    measure = segments("Colour", "heat", list(HEAT), show=HEAT.get, resets=(), label_visibility="collapsed")
    figure = charts.coactivation_heatmap(together.labels, together.n_both, colours(), measure=measure, named=named)
    chart(figure, key=f"{key} heat", help="How much each two of these features fire on the same texts.")


def together_head(supports: Sequence[str]) -> tuple[str, int]:
    """The head of the features that fire on the same texts; returns the chosen measure and least common texts."""
    head = st.container()
    words = "on ≥ {} texts".format
    with st.container(horizontal=True, gap="small", key="together-choice"):
        by = choice_box("Order", "together", list(MEASURES), show=ORDERS.get, resets=(), label_visibility="collapsed")
        support = choice_box("At least", "support", supports, show=words, resets=(), label_visibility="collapsed")
    with head:
        heading("Fires together with", help=ORDER_HELP[by])
    return by, int(support)


def together(rows: Rows, by: str, support: int) -> None:
    """Features that fire on the same texts: the measure `by`, the number of common texts."""
    shown: Callable[[float], str] = {"lift": lambda value: f"×{number(value)}"}.get(by, percent)
    lines = [
        feature_line(row["feature_id"], row["label"], shown(row[by]), f"{count(row['n_both'])} texts") for row in rows
    ]
    if lines:
        line_list("together", lines)
    else:
        sentence(f"No other feature shares {support} texts or more with it.")
