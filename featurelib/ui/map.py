"""What is picked on the map: one feature with its strongest texts, some as a list, or a cluster."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from typing import Any

import pyarrow as pa

from featurelib import queries
from featurelib.schema import Refusal
from featurelib.storage.store import Store
from featurelib.ui.kit.address import choice_box
from featurelib.ui.kit.anchors import page_link
from featurelib.ui.kit.coactivation import heat
from featurelib.ui.kit.downloads import download
from featurelib.ui.kit.elements import chip, chips, count, density, facts, heading, html, number, percent, sentence, tag
from featurelib.ui.kit.lists import feature_line, line_list
from featurelib.ui.kit.session import Opened
from featurelib.ui.texts.text_list import text_list, text_of

LISTED = 25
TOP = 3
ALL = "all"
CLUSTER_LISTED = 12
KINDS = {"theme": "Theme", "cluster": "Cluster", "topic": "Topic"}
NO_TOPICS = "This run has no topics (clusters of labels): its labels have no embeddings, or too few of them differ."
WORDS = "The keywords that most of its features have, and how many have each."


def beside(store: Store, feature_id: int) -> None:
    """One feature, beside the map."""
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
    rows = queries.top_texts(store, feature_id, limit=TOP).to_pylist()
    texts = [text_of(row, store, feature.max_activation) for row in rows]
    text_list("map", [(replace(shown, about=(), split=""), []) for shown in texts])


def listed(run: Opened, ids: list[int], title: str, key: str, words: str = "") -> None:
    """Features that were searched for by `words`, or lassoed, as a list with its download."""
    which = queries.FeatureFilter(ids=tuple(ids), words=words)
    note = f"{queries.ranked(run.store, words).n_in_name:,} in the name; these first" if words else "densest first"
    heading(title, note if len(ids) > 1 else "")
    sort = queries.RELEVANCE if words else "density"
    rows = queries.features(run.store, which, sort=sort, limit=LISTED).to_pylist()
    line_list(key, [feature_line(row["feature_id"], row["label"], density(row["density"])) for row in rows])
    if len(ids) > LISTED:
        sentence(f"{len(ids) - LISTED:,} more are in the download.")

    def all_found() -> pa.Table:
        return queries.features(run.store, which, limit=None)

    download(f"{run.name}-{key}", all_found, key=key, what="Download")


def cluster_box(store: Store, kind: str) -> int | None:
    """The choice of a theme or cluster while the map is coloured by such a kind; None for all of them."""
    if kind not in queries.CLUSTERS:
        return None
    try:
        rows = queries.clusters(store, kind).to_pylist()
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
        width=260,
    )
    return None if chosen == ALL else int(chosen)


def _cluster_name(kind: str, row: Mapping[str, Any]) -> str:
    if kind == "theme" and row["keywords"]:
        return f"{row['keywords']} ({row['n_features']})"
    return f"{row['cluster']} · {row['keywords'] or 'no keywords'} ({row['n_features']})"


def cluster_beside(run: Opened, kind: str, cluster: int, rows: pa.Table) -> None:
    """One cluster, beside the map: its most frequent keywords, how much it fires together, its features."""
    named = {row["cluster"]: row["keywords"] for row in queries.clusters(run.store, kind).to_pylist()}
    name = named.get(cluster) if kind == "theme" else None
    heading(name or f"{KINDS[kind]} {cluster}", f"{rows.num_rows:,} features")
    counted = queries.cluster_keywords(run.store, kind, cluster).to_pylist()
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
    if len(ids) > CLUSTER_LISTED:
        sentence(f"{len(ids) - CLUSTER_LISTED:,} more are in the download.")

    def all_found() -> pa.Table:
        return queries.features(run.store, queries.FeatureFilter(ids=tuple(ids)), limit=None)

    download(f"{run.name}-cluster-{cluster}", all_found, key="cluster", what="Download")
