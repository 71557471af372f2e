"""All experiments beside each other: what a classifier sees against which it is, and any two on the same texts."""

from __future__ import annotations

import streamlit as st

from featurelib import charts, queries, ui
from featurelib.schema import Refusal
from featurelib.ui.classify import by_number, choosing, comparing_two, one_experiment

PAIR = ("train", "test", "first", "second")

run = ui.open_run()
store = run.store
ui.page("Experiments", "Every experiment of a set: what the classifier sees, which it is, and how well it predicts.")
try:
    sets = queries.sets_of(store)
    if not sets:
        ui.stop_with(choosing.how_to(run.name))
    with st.container(horizontal=True, vertical_alignment="bottom", key="filters"):
        name = ui.choice_box("Experiments", "set", sets, resets=("label", *PAIR), width=190)
        known = queries.experiments(store, name)
        labels = list(dict.fromkeys(each.label_column for each in known))
        if not known:
            ui.stop_with("None of its experiments is done yet; give the command again, it goes on where it was.")
        label = ui.choice_box("Predicts", "label", labels, resets=PAIR, width=190)
        metrics = {metric: words[0] for metric, words in one_experiment.METRICS.items()}
        metric = ui.choice_box("Colour by", "metric", list(metrics), show=metrics.get, width=140)
        shown = choosing.of_one_pair([each for each in known if each.label_column == label], ("first", "second"))
    with ui.section():
        comparing_two.experiment_table(name, shown)
        narrow, wide = st.columns([1, 1.5], gap="large")
        with narrow:
            ui.heading(metrics[metric], "what it sees × classifier", help=one_experiment.METRICS[metric][1])
            seen = list(dict.fromkeys(each.representation for each in shown))
            used = list(dict.fromkeys(each.classifier for each in shown))
            scores = {
                (each.representation, each.classifier): each.scores[metric][0]
                for each in shown
                if metric in each.scores
            }
            ui.chart(charts.score_heatmap(seen, used, scores, ui.colours()), key=f"scores {metric}")
        with wide:
            with ui.section():
                comparing_two.two_compared(store, name, shown)
            by_number.by_number(shown, metric)
except Refusal as refusal:
    ui.stop_with(str(refusal))
