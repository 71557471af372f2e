"""Features that fire oftener in one set of texts than in another: the numbers above, the table, what is shown of it."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from featurelib import stats
from featurelib.slices.contrast import Contrast
from featurelib.slices.tested import RATE
from featurelib.ui.kit.address import choice_box
from featurelib.ui.kit.elements import Number, count, density, number, strip
from featurelib.ui.kit.tables import (
    Column,
    Order,
    order_of_address,
    share_column,
    sorted_rows,
    text_column,
)

PER_PAGE, PER_SIDE = 25, 12
"""Features on a page of the table, alone or beside a figure."""
SHOWN = {"differ": "that differ", "length": "that only follow length", "all": "all that fire"}
SORTS = ("difference", "lift", "auroc", "density_a", "density_b", "rate", "label")
DIFFERENCE = (
    "Density here minus density there, in percentage points, with its 95 % interval (Newcombe, method 10). Each "
    "different text counts once."
)
LIFT = "How many times as often it fires here as there; – where it never fires there."
AUROC = (
    "How well the activation alone tells the two sets apart: 0.5 not at all, 1 perfectly, 0 perfectly the other way "
    "round; with its 95 % interval (Newcombe, method 5)."
)
CHANCE = (
    f"The least false discovery rate at which the feature is listed (Benjamini-Hochberg over all features that fire); "
    f"at {RATE} or below it counts as a difference. Tested is on how many texts it fires, against as many texts of the "
    "same length drawn at random, in ten groups of length."
)
FOLLOWS = (
    "Their densities differ, but no longer when texts of the same length are compared: long texts are more frequent in "
    "one of the two sets, and these features fire oftener on long (or short) texts."
)


@dataclass(frozen=True)
class Difference:
    """Two sets of texts, compared feature by feature."""

    n_a: int
    """Different texts of the first."""
    n_b: int
    rows: pa.Table
    """As `queries.contrast_rows` gives them."""

    @classmethod
    def of(cls, compared: Contrast, rows: pa.Table) -> Difference:
        """Keep what is shown of a comparison."""
        return cls(compared.n_a, compared.n_b, rows)


def difference_strip(difference: Difference, here: str, there: str) -> None:
    """How many texts and features were compared, and how many features differ."""
    differs = difference.rows.filter(difference.rows["differs"])
    n_here = pc.sum(pc.greater(differs["difference"], 0)).as_py() or 0
    n_length = pc.sum(difference.rows["follows_length"]).as_py() or 0
    strip(
        [
            Number(count(difference.n_a), f"different texts {here}"),
            Number(count(difference.n_b), f"different texts {there}"),
            Number(count(n_here), f"features fire oftener {here}", CHANCE),
            Number(count(differs.num_rows - n_here), f"features fire oftener {there}", CHANCE),
            Number(count(n_length), "features only follow length", FOLLOWS),
        ]
    )


def shown_box() -> str:
    """The choice of which features are listed."""
    return choice_box("Features", "show", list(SHOWN), show=SHOWN.get, width=210)


def chosen_rows(rows: pa.Table, show: str) -> pa.Table:
    """The features that are listed."""
    if show == "all":
        return rows
    return rows.filter(rows["differs" if show == "differ" else "follows_length"])


def picked_rows(rows: pa.Table, feature_ids: Sequence[int]) -> pa.Table:
    """The features that were picked in a figure."""
    return rows.filter(pc.is_in(rows["feature_id"], pa.array(feature_ids, pa.int32())))


def order() -> Order:
    """How the table is sorted: by the largest difference where the address asks for nothing else."""
    return order_of_address(SORTS, rising=("label", "rate"))


def in_order(rows: pa.Table, wanted: Order) -> pa.Table:
    """All rows in the order that was asked for."""
    return sorted_rows(rows, wanted.sort, wanted)


def difference_columns(heads: tuple[str, str], *, compact: bool = False) -> dict[str, Column]:
    """The columns of the table, the densities under the two `heads`; of a `compact` one only the first four."""
    columns = {
        "label": text_column("feature", sort="label"),
        "density_a": share_column(heads[0], sort="density_a"),
        "density_b": share_column(heads[1], sort="density_b"),
        "shown_difference": Column("difference", sort="difference", help=DIFFERENCE, phone=False),
        "lift": Column("times", show=lambda value: f"×{number(value, 2)}", sort="lift", help=LIFT, phone=False),
        "shown_auroc": Column("AUROC", sort="auroc", help=AUROC, phone=False),
        "rate": Column("chance", show=chance, sort="rate", help=CHANCE),
    }
    if compact:
        columns["difference"] = Column("difference", points, sort="difference", help=DIFFERENCE, phone=False)
        return {name: columns[name] for name in ("label", "density_a", "density_b", "difference")}
    return columns


def points(difference: float) -> str:
    """A difference of shares in percentage points."""
    return f"{100 * difference:+.1f}"


def feature_strip(row: Mapping[str, Any]) -> None:
    """What a comparison says of one feature, a row of `with_intervals`."""
    strip(
        [
            Number(density(row["density_a"]), "of A"),
            Number(density(row["density_b"]), "of B"),
            Number(row["shown_difference"], "difference in points", DIFFERENCE),
            Number(row["shown_auroc"], "AUROC", AUROC),
            Number(chance(row["rate"]), "by chance", CHANCE),
        ]
    )


def chance(rate: float) -> str:
    """A false discovery rate in words that fit in a column."""
    return "< 0.0001" if rate < 1e-4 else f"{rate:.4f}" if rate < 0.01 else f"{rate:.2f}"


def with_intervals(difference: Difference, rows: pa.Table) -> pa.Table:
    """The rows with shown_difference and shown_auroc, in words, each with its interval."""
    active = [rows[name].to_numpy() for name in ("active_a", "active_b")]
    low, high = stats.difference_of_shares(active[0], difference.n_a, active[1], difference.n_b)
    differences = [
        f"{points(value)} ({points(a)} to {points(b)})"
        for value, a, b in zip(rows["difference"].to_numpy(), low, high, strict=True)
    ]
    auroc = rows["auroc"].to_numpy()
    low, high = stats.auroc_interval(auroc, np.full(len(auroc), difference.n_a), difference.n_b)
    aurocs = [f"{value:.2f} ({a:.2f} to {b:.2f})" for value, a, b in zip(auroc, low, high, strict=True)]
    with_difference = rows.append_column("shown_difference", pa.array(differences, pa.string()))
    return with_difference.append_column("shown_auroc", pa.array(aurocs, pa.string()))
