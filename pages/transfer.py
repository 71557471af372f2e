"""What carries over: models that were trained on one language, year or source and tested on every other."""

from __future__ import annotations

import streamlit as st

from featurelib import installation, queries, ui
from featurelib.schema import Refusal
from featurelib.ui.classify import choosing, one_experiment, transfer

LEAD = "Models that were trained on one slice of the texts and tested on every other, or on another run."

run = ui.open_run()
store = run.store
ui.page("Transfer", LEAD)
try:
    sets = queries.transfer_sets(store)
    if not sets:
        command = installation.command(f"classify --run {run.name} --label COLUMN --transfer COLUMN")
        ui.stop_with(f"Nothing is trained on one slice and tested on others yet: {command}")
    with st.container(horizontal=True, vertical_alignment="bottom", key="filters"):
        name = ui.choice_box("Experiments", "set", sets, resets=("label", "sees", "by", "from"), width=190)
        known = queries.transferring(store, name)
        labels = list(dict.fromkeys(each.label_column for each in known))
        label = ui.choice_box("Predicts", "label", labels, resets=("sees", "by", "from"), width=170)
        known = [each for each in known if each.label_column == label]
        columns = list(dict.fromkeys(each.slice_column for each in known))
        if len(columns) > 1:
            column = ui.choice_box("Slices of", "of", columns, resets=("sees", "by", "from"), width=150)
            known = [each for each in known if each.slice_column == column]
        used = list(dict.fromkeys(each.classifier for each in known))
        by = ui.choice_box("With a", "by", used, show=choosing.classifier_name, resets=("from",), width=170)
        known = [each for each in known if each.classifier == by]
        seen = list(dict.fromkeys(each.representation for each in known))
        sees = ui.choice_box("Sees", "sees", seen, resets=("from",), width=190)
        metrics = {metric: words[0] for metric, words in one_experiment.METRICS.items()}
        metric = ui.choice_box("Score", "metric", list(metrics), show=metrics.get, width=140)
    own = queries.transfer([each for each in known if each.representation == sees])
    choosing.said_of_label(run, name, label)
    with ui.section():
        transfer.chance_sentence(own, queries.at_chance(store, name, own))
        transfer.transfer_grid(own, name, metric)
        narrow, wide = st.columns([1, 1.5], gap="large")
        with narrow:
            transfer.kept_table(queries.kept_scores(known, metric), sees)
        with wide:
            transfer.beside_native(store, own, name, metric)
except Refusal as refusal:
    ui.stop_with(str(refusal))
