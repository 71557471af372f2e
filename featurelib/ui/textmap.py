"""What is picked on the map of the texts: one text beside it, or some as a list; and the key to its colours."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import pyarrow as pa

from featurelib import queries
from featurelib.charts import Colouring, kind_colours
from featurelib.storage.store import Store
from featurelib.ui.kit.anchors import page_link
from featurelib.ui.kit.downloads import download
from featurelib.ui.kit.elements import Html, count, density, heading, html, number, opening, sentence, tag
from featurelib.ui.kit.lists import Line, feature_line, inline_list, line_list
from featurelib.ui.kit.session import Opened
from featurelib.ui.kit.theme import Colours
from featurelib.ui.texts.id_list import LONGEST, written
from featurelib.ui.texts.text_list import after_title, cut_text

FOUND = 8
LISTED = 25
SHOWN = 900
"""Characters of a text that are shown beside the map."""
STRONGEST = 8
KINDS = 8
"""Values of a column that get a colour of their own."""
AMONG = "Features that fire more often on these texts than on the whole corpus, largest lift first."


def feature_links(store: Store, words: str) -> None:
    """The features whose labels or keywords contain the words, each a link that colours the map by it."""
    if not words:
        return
    rows = queries.find_features(store, words, limit=FOUND).to_pylist()
    if not rows:
        sentence(f"No label or keyword contains “{words}”.")
        return
    links = [Line(row["label"], {"feature": row["feature_id"], "q": words}, page="textmap.py") for row in rows]
    inline_list("colour-by", links, before="colour by:")


def text_beside(store: Store, text_id: int) -> None:
    """One text, beside the map, with the features that fire on it."""
    text = queries.text(store, text_id)
    heading(text.title or f"Text {text_id}", f"text {text_id}")
    page_link("text.py", "open this text ›", text=text_id)
    html(cut_text(text.text, text.cut, start=after_title(text.text, text.title or ""), longest=SHOWN))
    rows = queries.text_features(store, text_id).slice(0, STRONGEST).to_pylist()
    lines = [
        Line(
            row["label"],
            {"feature": row["feature_id"], "text": text_id},
            (number(row["activation"]),),
            None,
            "textmap.py",
        )
        for row in rows
    ]
    line_list(
        "placed",
        lines,
        title="Features that fire",
        help="The strongest ones; a click colours the map by that feature.",
        names=("activation",),
    )


def texts_listed(run: Opened, ids: Sequence[int], values: Mapping[int, float], label: str) -> None:
    """The texts in a lasso, by the `values` of the feature called `label`, what they have in common, their download."""
    ordered = sorted(ids, key=lambda text_id: (-values.get(text_id, 0.0), text_id))
    fires = any(text_id in values for text_id in ids)
    heading(f"{len(ids):,} texts in the lasso")
    sentence(f"Sorted by the activation of “{label}”." if fires else f"“{label}” fires on none of them.")
    title = queries.title_column(run.store)
    lines = [
        Line(
            opening(row.get(title) or row["text"], length=90) if title else opening(row["text"], length=90),
            {"text": row["text_id"]},
            (number(values[row["text_id"]]) if row["text_id"] in values else "–",) if values else (),
            page="text.py",
        )
        for row in queries.texts(run.store, ordered[:LISTED]).to_pylist()
    ]
    line_list("lassoed", lines)
    if len(ids) > LISTED:
        sentence(f"{len(ids) - LISTED:,} more are in the download.")
    listed = written(ids)
    if len(listed) <= LONGEST:
        page_link("slices.py", "compare them with the rest ›", a_texts=listed)
    download(f"{run.name}-texts", lambda: _with_values(run.store, ordered, values), key="texts", what="Download")
    among = queries.features_among(run.store, ids).to_pylist()
    line_list(
        "among",
        [
            feature_line(row["feature_id"], row["label"], density(row["share"]), f"×{number(row['lift'], 2)}")
            for row in among
        ],
        title="What they have in common",
        help=AMONG,
        names=("of them", "lift"),
    )


def _with_values(store: Store, ids: Sequence[int], values: Mapping[int, float]) -> pa.Table:
    rows = queries.texts(store, ids)
    return rows.append_column(
        "activation", pa.array([values.get(text_id) for text_id in rows["text_id"].to_pylist()], pa.float32())
    )


def by_feature(store: Store, feature_id: int) -> Colouring:
    """The colours of one feature's activation; texts on which it is silent are grey."""
    values = queries.layout_activations(store, feature_id)["activation"]
    return Colouring(values, "activation", sparse=True)


def by_column(store: Store, column: str, colours: Colours) -> Colouring:
    """The colours of a metadata column: numbers from little to much, else its commonest values, named in a key."""
    if queries.is_number(store, column):
        return Colouring(queries.layout_numbers(store, column)["number"], column)
    kinds = queries.layout_kinds(store, column, most=KINDS).to_pylist()
    values = [row["value"] for row in kinds]
    _key(column, [(row["value"], count(row["n_texts"])) for row in kinds], kind_colours(len(kinds), colours))
    return Colouring(queries.layout_kind_of(store, column, values)["kind"], column, kinds=True)


def _key(column: str, kinds: Sequence[tuple[str, str]], colours: Sequence[str]) -> None:
    """The colours by name, each with its number of texts."""
    chips = [
        tag("span", tag("i", Html(""), style=f"background:{colour}", cls="dot"), value, tag("small", n), cls="kind")
        for (value, n), colour in zip(kinds, colours, strict=True)
    ]
    html(
        tag(
            "div",
            tag("span", column, cls="muted"),
            *chips,
            tag("span", "other values are grey", cls="muted"),
            cls="kinds",
        )
    )
