"""Texts whose label was not predicted, and the features that spoke for the wrong one."""

from __future__ import annotations

from collections import defaultdict
from dataclasses import replace

import pyarrow as pa
import pyarrow.compute as pc
import streamlit as st

from featurelib import queries
from featurelib.storage.store import Store
from featurelib.ui.classify.choosing import Chosen
from featurelib.ui.kit.address import kept_params, pager, param
from featurelib.ui.kit.anchors import link
from featurelib.ui.kit.elements import count, heading, html, number, sentence
from featurelib.ui.kit.lists import Line, feature_line
from featurelib.ui.kit.session import store_of
from featurelib.ui.texts.text_list import text_list, text_of

PER_PAGE = 8
LONGEST = 2_000
"""Characters of a label."""
REASONS = (
    "What each feature adds to the score of the predicted label, less what it adds to that of the true one: its "
    "activation (over the length of the training texts) times the difference of the two weights. All features of a "
    "text and the intercepts add up to the difference of the scores."
)


def wrong_texts(rows: pa.Table) -> pa.Table:
    """The texts that were got wrong, of the labels that the address asks for."""
    wrong = rows.filter(pc.not_equal(rows["true"], rows["predicted"]))
    for name in ("true", "predicted"):
        if value := param(name, longest=LONGEST):
            wrong = wrong.filter(pc.equal(wrong[name], value))
    return wrong


def error_list(store: Store, chosen: Chosen) -> None:
    """The texts that were got wrong, some on a page, each with the features that caused it."""
    rows = wrong_texts(queries.predictions(store, chosen.set_name, chosen.experiment))
    asked = [f"{name} {param(name)[:80]}" for name in ("true", "predicted") if param(name)]
    heading("Got wrong", f"{count(rows.num_rows)} texts" + (f", {', '.join(asked)}" if asked else ""), help=REASONS)
    if asked:
        html(link("classify.py", "all labels ›", kept_params("true", "predicted", "page") | {"view": "errors"}))
    if not rows.num_rows:
        sentence("No test text was.")
        return
    above = st.container()
    page = rows.slice(pager(rows.num_rows, PER_PAGE), PER_PAGE)
    run = chosen.experiment.test_run
    tested = store_of(run) if run else store
    taken = {row["text_id"]: f"{row['true']} → {row['predicted']}" for row in page.to_pylist()}
    why: dict[int, list[Line]] = defaultdict(list)
    for row in queries.reasons(store, chosen.set_name, chosen.experiment, list(taken)).to_pylist():
        why[row["text_id"]].append(
            feature_line(row["column"], f"{row['name']} {number(row['contribution'], 2)}")
            if chosen.reads_features
            else Line(row["name"], {"run": chosen.experiment.test_run, "text": row["text_id"]}, page="text.py")
        )
    shown = [
        (replace(text_of(row, tested), about=(taken[row["text_id"]],), split="", run=run), why[row["text_id"]])
        for row in queries.texts(tested, list(taken)).to_pylist()
    ]
    with above:
        text_list("wrong", shown, before="because of:")
