"""What is picked on the map of the texts: one beside it, or some as a list; its titles, and the key to its colours."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import pyarrow as pa

from featurelib import charts, queries
from featurelib.charts import Colouring, kind_colours
from featurelib.schema import REGION_TEXTS, REGIONS
from featurelib.storage.answers import once_per_generation
from featurelib.storage.store import Store
from featurelib.ui.kit.address import kept_params
from featurelib.ui.kit.anchors import page_link
from featurelib.ui.kit.colour_key import colour_key
from featurelib.ui.kit.downloads import download
from featurelib.ui.kit.elements import Html, count, density, heading, html, number, opening, sentence
from featurelib.ui.kit.lists import Line, feature_line, inline_list, line_list
from featurelib.ui.kit.session import Opened
from featurelib.ui.kit.theme import LIGHT, Colours, colours, remembered
from featurelib.ui.texts.id_list import LONGEST, written
from featurelib.ui.texts.map_chart import one_line, point_colours, point_names
from featurelib.ui.texts.text_list import after_title, cut_text

FOUND = 8
LISTED = 25
SHOWN = 900
"""Characters of a text that are shown beside the map."""
STRONGEST = 8
KINDS = 8
"""Values of a column that get a colour of their own."""
SHORT_TITLE = 30
"""Characters of a title where there are many texts."""
MOST_OF_TITLES = 1_700_000
"""Bytes that all titles may take: with the figure of 50,000 texts these are 3 MB."""
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


def figure_of(run: Opened, places: pa.Table) -> Any:
    """The map in grey, from memory; the browser gives it colours."""

    def draw(seen: Colours) -> Any:
        name = f"text map of {run.name}"
        figure = charts.text_map(places, None, seen, regions=_regions(run.store), name=name, painted="nothing")
        return charts.prepared(figure)

    return remembered(run.store, "text map", draw)


def _regions(store: Store) -> pa.Table | None:
    """The regions of what fires features, where their texts lie; None for a run without them."""
    return queries.text_regions(store) if store.has(REGIONS) and store.has(REGION_TEXTS) else None


def paint_of(places: pa.Table, called: str, colouring: Colouring) -> Html:
    """The colours as the browser gives them to the map; `called` tells them from all others."""
    return point_colours(called, charts.paint_texts(places, colouring, colours()))


def picture_of(run: Opened, places: pa.Table, colouring: Colouring, lit: Sequence[int]) -> str:
    """The map as SVG, on white: for paper, whatever theme the reader has."""
    return charts.map_svg(places, colouring, LIGHT, lit=lit, regions=_regions(run.store))


@once_per_generation
def titles(store: Store) -> Html:
    """What is shown of each text on hover: its title, and its kind on a second line; nothing where there are too many.

    Of many texts it is the beginning of the title alone.
    """
    rows = queries.text_titles(store).to_pylist()
    column = one_line(queries.kind_column(store) or "")
    for longest, with_kind in ((queries.LONGEST_TITLE, True), (SHORT_TITLE, False)):
        names = [_called(row, longest, column if with_kind else "") for row in rows]
        if sum(len(name.encode()) + 3 for name in names) <= MOST_OF_TITLES:
            return point_names([row["text_id"] for row in rows], names)
    return point_names((), ())


def _called(row: Mapping[str, str | None], longest: int, column: str) -> str:
    name = one_line((row["title"] or "")[:longest])
    return name if row["kind"] is None or not column else f"{name}\t{column}: {one_line(row['kind'])}"


def texts_listed(
    run: Opened, ids: Sequence[int], values: Mapping[int, float], label: str, chosen: int | None = None
) -> None:
    """The texts in a lasso, by the `values` of the feature called `label`, what they have in common, their download.

    A click on one shows it beside the map and keeps the lasso; `chosen` is the one that is shown.
    """
    kept = kept_params("text")
    ordered = sorted(ids, key=lambda text_id: (-values.get(text_id, 0.0), text_id))
    fires = any(text_id in values for text_id in ids)
    heading(f"{len(ids):,} texts in the lasso")
    sentence(f"Sorted by the activation of “{label}”." if fires else f"“{label}” fires on none of them.")
    title = queries.title_column(run.store)
    lines = [
        Line(
            opening(row.get(title) or row["text"], length=90) if title else opening(row["text"], length=90),
            kept | {"text": row["text_id"]},
            (number(values[row["text_id"]]) if row["text_id"] in values else "–",) if values else (),
            page="textmap.py",
            strong=row["text_id"] == chosen,
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


def by_column(store: Store, column: str) -> Colouring:
    """The colours of a metadata column: numbers from little to much, else its commonest values, named in a key."""
    if queries.is_number(store, column):
        return Colouring(queries.layout_numbers(store, column)["number"], column)
    kinds = queries.layout_kinds(store, column, most=KINDS).to_pylist()
    values = [row["value"] for row in kinds]
    named = [(row["value"], count(row["n_texts"])) for row in kinds]
    colour_key(column, named, kind_colours(len(kinds), colours()), "other values are grey")
    return Colouring(queries.layout_kind_of(store, column, values)["kind"], column, kinds=True)
