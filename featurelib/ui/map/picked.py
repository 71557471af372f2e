"""What is picked on the map: one feature with its strongest texts, some as a list, or a cluster."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace
from typing import Any

import pyarrow as pa

from featurelib import queries
from featurelib.schema import Refusal
from featurelib.storage.store import Store
from featurelib.ui.kit.address import choice_box, kept_params
from featurelib.ui.kit.anchors import link, page_link, page_links
from featurelib.ui.kit.coactivation import heat
from featurelib.ui.kit.downloads import download
from featurelib.ui.kit.elements import chip, chips, count, density, facts, heading, html, number, percent, sentence, tag
from featurelib.ui.kit.lists import Line, feature_line, line_list
from featurelib.ui.kit.session import Opened
from featurelib.ui.map.colouring import KINDS
from featurelib.ui.texts.text_list import text_list, text_of

LISTED = 25
TOP = 3
ALL = "all"
CLUSTER_LISTED = 12
NO_TOPICS = "This run has no topics (clusters of labels): its labels have no embeddings, or too few of them differ."
WORDS = "The keywords that most of its features have, and how many have each."


def beside(store: Store, feature_id: int, *, n_texts: int = TOP) -> None:
    """One feature with its strongest texts, beside the map."""
    feature = queries.feature(store, feature_id)
    heading(feature.label, f"feature {feature.feature_id}")
    words = [(row["keyword"], "") for row in queries.keywords(store, feature_id).slice(0, 6).to_pylist()]
    chips(words)
    page_link("feature.py", "open this feature ›", feature=feature_id)
    facts(
        [
            (
                "fires on",
                f"{percent(feature.density)} · {count(feature.n_active)} of {count(feature.n_texts)} texts",
            ),
            ("maximum activation", number(feature.max_activation)),
        ]
    )
    rows = queries.top_texts(store, feature_id, limit=n_texts).to_pylist()
    texts = [text_of(row, store, feature.max_activation) for row in rows]
    text_list("map", [(replace(shown, about=(), split=""), []) for shown in texts])


def found(run: Opened, ids: list[int], words: str) -> None:
    """The features that were searched for by `words`."""
    which = queries.FeatureFilter(ids=tuple(ids), words=words)
    in_name = f"{queries.ranked(run.store, words).n_in_name:,} in the name; these first"
    title = f"{len(ids):,} feature{'s match' if len(ids) != 1 else ' matches'} “{words}”"
    heading(title, in_name if len(ids) > 1 else "")
    rows = queries.features(run.store, which, sort=queries.RELEVANCE, limit=LISTED).to_pylist()
    line_list("matches", [feature_line(row["feature_id"], row["label"], density(row["density"])) for row in rows])
    _all_of(run, which, len(ids), "matches")


def lassoed(run: Opened, ids: list[int], chosen: int | None) -> None:
    """The features in the lasso, the densest first; a click on one shows it beside the map and keeps the lasso."""
    which = queries.FeatureFilter(ids=tuple(ids))
    heading(f"{len(ids):,} features in the lasso", "densest first")
    rows = queries.features(run.store, which, sort="density", limit=LISTED).to_pylist()
    kept = kept_params("feature")
    lines = [
        Line(
            row["label"],
            kept | {"feature": row["feature_id"]},
            (density(row["density"]),),
            page="map.py",
            strong=row["feature_id"] == chosen,
        )
        for row in rows
    ]
    line_list("lasso", lines)
    _onward([row["feature_id"] for row in rows], len(ids))
    _all_of(run, which, len(ids), "lasso")


def _onward(ids: Sequence[int], n_all: int) -> None:
    """The ways on from a lasso: its texts, and of two features their comparison."""
    most = queries.MOST_COMBINED
    words = f"combine the {most} densest ›" if n_all > most else "combine ›"
    ways = [link("combine.py", words, {"with": ",".join(map(str, ids[:most]))})]
    if n_all == len(ids) == 2:
        ways.append(link("compare.py", "compare ›", {"a": ids[0], "b": ids[1]}))
    page_links(*ways)


def _all_of(run: Opened, which: queries.FeatureFilter, n_all: int, key: str, listed: int = LISTED) -> None:
    """The download of features of which the first ones are listed."""
    if n_all > listed:
        sentence(f"{n_all - listed:,} more are in the download.")

    def all_found() -> pa.Table:
        return queries.features(run.store, which, limit=None)

    download(f"{run.name}-{key}", all_found, key=key, what="Download")


def cluster_box(store: Store, kind: str, level: int) -> int | None:
    """The choice of a theme or cluster while the map is coloured by such a kind; None for all of them."""
    if kind not in queries.CLUSTERS:
        return None
    try:
        rows = queries.clusters(store, kind, level).to_pylist()
    except Refusal as refusal:
        sentence(str(refusal))
        return None
    if not rows:
        sentence(NO_TOPICS if kind == "topic" else "The directions of this run form no clusters.")
        return None
    names = {str(row["cluster"]): _cluster_name(kind, row) for row in rows}
    chosen = choice_box(
        KINDS[kind],
        "cluster",
        [ALL, *names],
        show=lambda cluster: names.get(cluster, "all"),
        resets=("feature", "q"),
    )
    return None if chosen == ALL else int(chosen)


def _cluster_name(kind: str, row: Mapping[str, Any]) -> str:
    if kind == "theme" and row["keywords"]:
        return f"{row['keywords']} ({row['n_features']})"
    return f"{row['cluster']} · {row['keywords'] or 'no keywords'} ({row['n_features']})"


def cluster_beside(run: Opened, kind: str, level: int, cluster: int, rows: pa.Table) -> None:
    """One cluster, beside the map: its most frequent keywords, how much it fires together, its features."""
    named = {row["cluster"]: row["keywords"] for row in queries.clusters(run.store, kind, level).to_pylist()}
    name = named.get(cluster) if kind == "theme" else None
    heading(name or f"{KINDS[kind]} {cluster}", f"{rows.num_rows:,} features")
    counted = queries.cluster_keywords(run.store, kind, cluster, level).to_pylist()
    if counted:
        head = tag("span", "most frequent keywords", cls="term muted", help=WORDS)
        html(tag("div", head, *(chip(row["keyword"], f"{row['n_features']}") for row in counted), cls="chips"))
    ids = rows["feature_id"].to_pylist()
    together = queries.coactivation_matrix(run.store, ids)
    n_shown = len(together.feature_ids)
    heading("Fire together", f"the {n_shown} densest" if n_shown < len(ids) else "")
    heat(together, key="cluster")
    heading("Features", "densest first")
    shown = rows.to_pylist()[:CLUSTER_LISTED]
    line_list("cluster", [feature_line(row["feature_id"], row["label"], density(row["density"])) for row in shown])
    _all_of(run, queries.FeatureFilter(ids=tuple(ids)), len(ids), f"cluster-{cluster}", CLUSTER_LISTED)
