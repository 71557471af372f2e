"""Features that rise or fall with a number or a date: small bars of their densities, and the table of all."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
import streamlit as st

from featurelib import queries, stats
from featurelib.queries import Bins
from featurelib.slices.units import STRATA
from featurelib.ui.kit.address import address
from featurelib.ui.kit.elements import Html, Number, count, density, heading, html, sentence, strip, tag
from featurelib.ui.kit.session import GenerationPlace, Opened, place_of, store_at
from featurelib.ui.kit.tables import Column, Order, feature_table, number_column, text_column
from featurelib.ui.slices.difference import chance

KEPT = 8
MULTIPLES = 8
"""Features that rise, and as many that fall, which are shown as bars."""
SORTS = ("adjusted", "rho", "n_active", "rate", "label")
RHO = (
    "Spearman's rank correlation of the activation (0 where the feature is silent) with the column, over the different "
    "texts that have a value."
)
ADJUSTED = (
    "The same among texts of the same length: of what both ranks differ from their means in ten groups of length. With "
    "its 95 % interval (Bonett and Wright)."
)
CHANCE = (
    "The least false discovery rate at which the correlation among texts of the same length is listed "
    "(Benjamini-Hochberg over all features that fire on five texts or more); at 0.05 or below it counts as one."
)
FOLLOWS = "They follow the column, but no longer when texts of the same length are compared."
BARS = "The share of the texts of each bin on which the feature fires; each row has a scale of its own."


@dataclass(frozen=True)
class Followed:
    """A column that has an order, and what follows it."""

    n: int
    """Different texts that have a value."""
    rows: pa.Table
    """As `queries.trend_rows` gives them."""
    bins: Bins


@st.cache_resource(max_entries=KEPT, show_spinner="Correlating every feature with the column")
def _followed(place: GenerationPlace, column: str) -> Followed:
    store = store_at(*place)
    found = queries.trend_of(store, column)
    return Followed(found.n, queries.trend_rows(store, found), queries.bins_of(store, column))


def followed(opened: Opened, column: str) -> Followed:
    """What follows a column, from memory after the first time."""
    return _followed(place_of(opened.generation), column)


def trend_strip(found: Followed) -> None:
    """How many features rise, fall, or only follow length."""
    differs = found.rows.filter(found.rows["differs"])
    n_rising = pc.sum(pc.greater(differs["adjusted"], 0)).as_py() or 0
    n_length = pc.sum(found.rows["follows_length"]).as_py() or 0
    strip(
        [
            Number(count(found.n), "different texts have a value"),
            Number(count(n_rising), "features rise", CHANCE),
            Number(count(differs.num_rows - n_rising), "features fall", CHANCE),
            Number(count(n_length), "features only follow length", FOLLOWS),
        ]
    )


def multiples(opened: Opened, found: Followed, column: str) -> None:
    """The features that rise most and those that fall most, as bars of their densities along the column."""
    differs = found.rows.filter(found.rows["differs"])
    by = np.argsort(differs["adjusted"].to_numpy(), kind="stable")
    adjusted = differs["adjusted"].to_numpy()
    rising, falling = by[::-1][:MULTIPLES], by[:MULTIPLES]
    for place, title, chosen in zip(
        st.columns(2, gap="large"),
        ("Rise", "Fall"),
        (rising[adjusted[rising] > 0], falling[adjusted[falling] < 0]),
        strict=True,
    ):
        with place:
            heading(title, f"with {column}", help=BARS)
            if len(chosen):
                _multiples(opened, found.bins, differs.take(pa.array(chosen)))
            else:
                sentence("No feature does.")


def _multiples(opened: Opened, bins: Bins, rows: pa.Table) -> None:
    shares = queries.densities_by_bin(opened.store, bins, rows["feature_id"].to_pylist())
    pieces = [
        _multiple(row["feature_id"], row["label"], row["adjusted"], bins, own)
        for row, own in zip(rows.to_pylist(), shares, strict=True)
    ]
    ends = tag("div", tag("span", bins.names[0]), tag("span", bins.names[-1]), cls="bin-ends")
    html(tag("div", *pieces, ends, cls="multiples"))


def _multiple(feature_id: int, label: str, rho: float, bins: Bins, shares: np.ndarray) -> Html:
    highest = float(shares.max()) or 1.0
    bars = "".join(
        tag("i", Html(""), style=f"height:{100 * share / highest:.1f}%", title=f"{name}: {density(float(share))}")
        for name, share in zip(bins.names, shares, strict=True)
    )
    name = tag("a", label, cls="in-app label", href=address("feature.py", {"feature": feature_id}))
    return tag(
        "div",
        tag("div", name, tag("span", f"{rho:+.2f}", cls="value"), cls="multiple-head"),
        tag("div", Html(bars), cls="multiple-bars"),
        cls="multiple",
    )


def trend_table(found: Followed, rows: pa.Table, order: Order) -> None:
    """Some features with their correlations; a row opens its feature."""
    adjusted = rows["adjusted"].to_numpy()
    low, high = stats.correlation_interval(adjusted, found.n - STRATA + 1)
    words = [f"{value:+.3f} ({a:+.3f} to {b:+.3f})" for value, a, b in zip(adjusted, low, high, strict=True)]
    columns = {
        "label": text_column("feature", sort="label"),
        "n_active": number_column("texts", sort="n_active", phone=False, help="Texts with a value on which it fires."),
        "rho": number_column("correlation", 3, sort="rho", phone=False, help=RHO),
        "shown": Column("same length", sort="adjusted", help=ADJUSTED),
        "rate": Column("chance", show=chance, sort="rate", help=CHANCE),
    }
    shown = rows.append_column("shown", pa.array(words, pa.string()))
    feature_table(shown, page="columns.py", key="trend", columns=columns, order=order)
