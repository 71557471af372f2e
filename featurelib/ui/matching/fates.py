"""What became of each feature in another SAE: which stayed, split or vanished."""

from __future__ import annotations

import numpy as np
import pyarrow as pa
import streamlit as st

from featurelib import matching
from featurelib.matching import FATES
from featurelib.schema import Refusal
from featurelib.ui.kit.address import choice_box
from featurelib.ui.kit.anchors import feature_link
from featurelib.ui.kit.elements import Number, count, heading, html, number, percent, sentence, strip, tag
from featurelib.ui.kit.lists import Line, line_list
from featurelib.ui.kit.tables import Order, choice_table, number_column, share_column, text_column
from featurelib.ui.matching.partners import Compared

SHOWN = 12
MEANINGS = {
    "split": "two or more features of the other SAE fire mostly inside it and cover half of its texts or more",
    "stayed": "a feature of the other SAE fires on the same texts (jaccard 0.5 or more)",
    "nested": "it fires mostly inside a broader feature of the other SAE",
    "changed": "a feature of the other SAE fires mostly inside it, or overlaps it (jaccard 0.2 or more)",
    "vanished": "no feature of the other SAE overlaps it much",
    "rare": "it fires on fewer than 5 of the texts compared",
}
INSIDE = "The share of its own texts that lie inside this feature's texts; 100 %: nowhere else."
COVERS = "The share of this feature's texts on which it fires."
COSINE = "Cosine between the two directions (decoder rows)."
COLUMNS = {
    "label": text_column("feature", sort="label"),
    "fate": text_column("became", sort="fate"),
    "n_nested": number_column(
        "nested in it", sort="n_nested", help="Features of the other SAE that fire mostly inside it."
    ),
    "covered": share_column(
        "covered", sort="covered", phone=False, help="The share of its texts on which a feature nested in it fires."
    ),
    "n_active": number_column("texts", sort="n_active", phone=False),
    "jaccard": number_column(
        "best overlap",
        2,
        sort="jaccard",
        phone=False,
        help="Jaccard with the feature of the other SAE that is most like it.",
    ),
    "other": text_column("most like it", sort="other", phone=False),
}
SORTS = ("n_nested", *(name for name in COLUMNS if name != "n_nested"))
PER_PAGE = 10


def fate_counts(compared: Compared) -> None:
    """How many features split, stayed, are nested, changed, vanished."""
    n = np.bincount(compared.matches.fate, minlength=len(FATES))
    strip([Number(count(int(n[place])), name, MEANINGS[name]) for place, name in enumerate(FATES)])
    if compared.n_all > compared.matches.n_texts:
        sentence(f"Compared on the first {count(compared.matches.n_texts)} of {count(compared.n_all)} texts.")


def overview(compared: Compared, fate: str) -> pa.Table:
    """A row for each feature with this fate ("" for all), those with most texts first."""
    matches, pairs = compared.matches, compared.matches.pairs
    first = np.unique(pairs.feature, return_index=True)
    best = dict(zip(first[0].tolist(), first[1].tolist(), strict=True))
    ids = np.flatnonzero(matches.fate == FATES.index(fate)) if fate in FATES else np.arange(len(matches.fate))
    ids = ids[np.lexsort((ids, -compared.n_active[ids]))].tolist()
    others = [compared.other_labels[pairs.other[best[feature_id]]] if feature_id in best else "" for feature_id in ids]
    return pa.table(
        {
            "feature_id": ids,
            "label": [compared.labels[feature_id] for feature_id in ids],
            "fate": [FATES[matches.fate[feature_id]] for feature_id in ids],
            "n_nested": matches.n_nested[ids],
            "covered": pa.array(matches.covered[ids], from_pandas=True),
            "n_active": compared.n_active[ids],
            "jaccard": [float(pairs.jaccard[best[feature_id]]) if feature_id in best else None for feature_id in ids],
            "other": others,
        }
    )


def fate_table(rows: pa.Table, order: Order, shown: int) -> None:
    """The overview; a row shows what became of its feature. `shown` is the feature that is shown below."""
    choice_table(rows, COLUMNS, page="splitting.py", name="feature", column="feature_id", order=order, chosen=shown)


def fate_box() -> str:
    """The choice of a fate, "" for all features; an address with the former word "absorbed" still works."""
    if st.query_params.get("fate") == "absorbed":
        st.query_params["fate"] = "nested"
    chosen = choice_box("Show", "fate", ["all", *FATES], show=lambda fate: f"{fate} features", width=200)
    return "" if chosen == "all" else chosen


def feature_fate(compared: Compared, feature_id: int) -> None:
    """One feature's fate: the features nested in it, and those of the other SAE that are most like it."""
    matches, pairs = compared.matches, compared.matches.pairs
    if feature_id >= len(matches.fate):
        raise Refusal(f"there is no feature {feature_id}; this run's features are 0 to {len(matches.fate) - 1}.")
    name = FATES[matches.fate[feature_id]]
    with st.container(horizontal=True, vertical_alignment="bottom", key="onward split"):
        heading(
            compared.labels[feature_id], f"feature {feature_id} · {count(int(compared.n_active[feature_id]))} texts"
        )
        feature_link(feature_id, "open this feature ›")
    covered = matches.covered[feature_id]
    n_nested = int(matches.n_nested[feature_id])
    covering = f", firing on {percent(float(covered))} of its texts" if n_nested else ""
    html(
        tag(
            "p",
            tag("b", name),
            f": {MEANINGS[name]}. {n_nested} feature{'s' if n_nested != 1 else ''} nested in it{covering}.",
            cls="read-verdict",
        )
    )
    own = pairs.feature == feature_id
    nested = np.flatnonzero(own & pairs.nested)
    nested = nested[np.argsort(-pairs.covers[nested], kind="stable")]
    _lines(compared, "parts", f"Nested in it, of {compared.other}", nested)
    if not compared.directed:
        sentence("The cosines are not known: one of the SAEs keeps a format of its own, or their inputs differ.")
    _lines(compared, "like", f"Most like it in {compared.other}", np.flatnonzero(own)[:SHOWN])


def _lines(compared: Compared, key: str, title: str, rows: np.ndarray) -> None:
    pairs = compared.matches.pairs
    lines = [
        Line(
            compared.other_labels[pairs.other[row]],
            {"run": compared.other, "feature": int(pairs.other[row])},
            _values(pairs, int(row)),
        )
        for row in rows[:SHOWN]
    ]
    if not lines:
        return
    note = f"{SHOWN} of {len(rows):,}" if len(rows) > SHOWN else ""
    line_list(f"{key}-split", lines, title=title, note=note, help=HELP, names=NAMES)


HELP = f"Inside: {INSIDE}\nCovers: {COVERS}\nOverlap: jaccard of the two sets of texts.\nCosine: {COSINE}"
NAMES = ("inside", "covers", "overlap", "cosine")


def _values(pairs: matching.Pairs, row: int) -> tuple[str, ...]:
    cosine = float(pairs.cosine[row])
    return (
        percent(float(pairs.inside[row])),
        percent(float(pairs.covers[row])),
        number(float(pairs.jaccard[row]), 2),
        f"{cosine:.2f}" if np.isfinite(cosine) else "–",
    )
