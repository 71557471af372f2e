"""One experiment: how well a label is predicted from features, what counts, and which texts were got wrong."""

from __future__ import annotations

import streamlit as st

from featurelib import queries, ui
from featurelib.schema import Refusal
from featurelib.ui.classify import choosing, decision_tree, errors, importance, one_experiment

VIEWS = {"scores": "Scores", "counts": "What counts", "errors": "Got wrong"}
TREE_VIEWS = {"scores": "Scores", "tree": "The tree", "counts": "What counts", "errors": "Got wrong"}

run = ui.open_run()
store = run.store
ui.page("Classify", "How well a label of the source is predicted from features, beside embeddings, words and chance.")
try:
    chosen = choosing.choose(run)
    if chosen is None:
        ui.stop_with(choosing.how_to(run.name))
    experiment = chosen.experiment
    choosing.said_of(run, chosen)
    one_experiment.score_strip(chosen.experiment)
    views = TREE_VIEWS if chosen.is_tree else VIEWS
    view = ui.segments("View", "view", list(views), show=views.get, label_visibility="collapsed")
    with ui.section():
        if view == "scores":
            wide, narrow = st.columns([1.5, 1], gap="large")
            with wide:
                by_label = queries.class_scores(store, chosen.set_name, experiment)
                one_experiment.label_table(by_label)
            with narrow:
                confused = queries.confusions(store, chosen.set_name, experiment)
                one_experiment.confusion_list(confused)
                ui.page_link("experiments.py", "all experiments ›", set=chosen.set_name)
            if by_label.num_rows <= one_experiment.MOST_IN_GRID:
                sizes = dict(zip(by_label["label"].to_pylist(), by_label["n_texts"].to_pylist(), strict=True))
                one_experiment.confusion_grid(confused, list(sizes), sizes)
        elif view == "counts":
            importance.importances(chosen, queries.importances(store, chosen.set_name, experiment))
        elif view == "tree":
            nodes = queries.tree(store, chosen.set_name, experiment)
            node = ui.whole_number_param("node")
            if node is not None and chosen.reads_features:
                decision_tree.texts_of_both_sides(store, chosen, nodes, node)
            root = ui.whole_number_param("root") or 0
            queries.path_to(nodes, root)  # a Refusal for a node that there is not
            decision_tree.decision_tree(chosen, nodes, root)
        else:
            errors.error_list(store, chosen)
except Refusal as refusal:
    ui.stop_with(str(refusal))
