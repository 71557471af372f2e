"""A decision tree as branches that open: each asks for a feature, and leads to the texts of both its sides."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace

import numpy as np
import streamlit as st

from featurelib import queries
from featurelib.queries import TreeNode
from featurelib.storage.store import Store
from featurelib.ui.classify.choosing import Chosen
from featurelib.ui.kit.address import kept_params
from featurelib.ui.kit.anchors import link
from featurelib.ui.kit.elements import Html, count, heading, html, number, percent, sentence, tag
from featurelib.ui.texts.text_list import text_list, text_of

OPEN_TO, DRAWN = 3, 6
"""Levels that are open at first, and levels that are drawn: what lies deeper is a link to the tree from there on."""
SHOWN = 4
"""Texts of each side of a node that are shown."""
HELP = (
    "Each branch asks whether the activation of a feature is above a number. Beside it: the training texts that come "
    "there, and their commonest label."
)


def decision_tree(chosen: Chosen, nodes: Sequence[TreeNode], root: int) -> None:
    """Draw the tree from a node on; a branch that asks for a feature leads to its texts."""
    heading("The tree", f"{count(len(nodes))} nodes", help=HELP)
    if root:
        way = [f"{'' if is_high else 'not '}“{nodes[step].name}”" for step, is_high in queries.path_to(nodes, root)]
        html(link("classify.py", "whole tree ›", kept_params("root")), tag("span", " " + ", ".join(way), cls="muted"))
    html(tag("div", _branch(chosen, nodes, root, 0, ""), cls="tree decision"))


def _branch(chosen: Chosen, nodes: Sequence[TreeNode], place: int, depth: int, way: str) -> Html:
    node = nodes[place]
    row = tag("div", tag("span", _answer(way), _asked(chosen, node), cls="name"), _label(node), cls="tree-row")
    if node.low < 0:
        return tag("div", row, cls="leaf")
    if depth == DRAWN:
        onward = link("classify.py", "branches below ›", kept_params("root") | {"root": place, "view": "tree"})
        return tag("div", row, tag("div", onward, cls="kids"), cls="leaf")
    below = [
        _branch(chosen, nodes, child, depth + 1, answer) for child, answer in ((node.high, "yes"), (node.low, "no"))
    ]
    summary = tag("summary", row)
    state = {"open": "open"} if depth < OPEN_TO else {}
    return tag("details", summary, tag("div", *below, cls="kids"), **state)


def _answer(way: str) -> Html:
    return tag("small", f"{way} · ") if way else Html("")


def _asked(chosen: Chosen, node: TreeNode) -> Html:
    if node.low < 0:
        return tag("b", node.labels[0] if node.labels else "–")
    threshold = (
        "fires"
        if node.threshold <= 0 or "binary" in chosen.experiment.representation
        else f"> {number(node.threshold)}"
    )
    if not chosen.reads_features:
        return tag("span", f"{node.name} {threshold}?")
    where = kept_params("node") | {"node": node.node, "view": "tree"}
    return Html(link("classify.py", node.name, where) + tag("small", f" {threshold}?"))


def _label(node: TreeNode) -> Html:
    commonest = f"{node.labels[0]} {percent(node.shares[0])}" if node.labels else ""
    return Html(tag("span", commonest, cls="n label") + tag("span", count(node.n_texts), cls="n"))


def texts_of_both_sides(store: Store, chosen: Chosen, nodes: Sequence[TreeNode], place: int) -> None:
    """The texts of the corpus that a node sends to its two sides, those on which its feature is most active first."""
    way = queries.path_to(nodes, place)
    node = nodes[place]
    if node.low < 0:
        sentence("This node is a leaf; it asks for nothing.")
        return
    said = [f"{'' if is_high else 'not '}“{nodes[step].name}”" for step, is_high in way]
    heading(node.name, ", ".join(said) if said else "all texts")
    html(link("feature.py", "open this feature ›", {"feature": node.column}))
    low, high = queries.texts_of_node(store, nodes, place, chosen.experiment.representation)
    maximum = queries.feature(store, node.column).max_activation
    for column, title, text_ids, child in zip(
        st.columns(2, gap="large"), ("Yes", "No"), (high, low), (node.high, node.low), strict=True
    ):
        with column:
            below = nodes[child]
            note = f"{count(len(text_ids))} texts of the corpus"
            if below.labels:
                note += f", mostly {below.labels[0]} in training ({percent(below.shares[0])})"
            heading(title, note)
            _texts(store, node.column, text_ids, maximum, title)


def _texts(store: Store, feature_id: int, text_ids: np.ndarray, maximum: float, key: str) -> None:
    rows = queries.top_texts_among(store, feature_id, text_ids, limit=SHOWN).to_pylist()
    activations = {row["text_id"]: row["activation"] for row in rows}
    others = [text_id for text_id in text_ids[: 2 * SHOWN].tolist() if text_id not in activations]
    wanted = [*activations, *others][:SHOWN]
    shown = [
        replace(text_of(row | {"activation": activations.get(row["text_id"], 0.0)}, store, maximum), split="")
        for row in queries.texts(store, wanted).to_pylist()
    ]
    if not shown:
        sentence("No text of the corpus comes here.")
    text_list(f"node-{key}", [(text, []) for text in shown], feature_id=feature_id)
