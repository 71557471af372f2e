"""How good the SAE is: held-out numbers first, training texts beside them, how texts and features differ, every row."""

from __future__ import annotations

from collections.abc import Mapping

import pyarrow as pa
import streamlit as st

from featurelib import charts, queries, ui
from featurelib.schema import Refusal
from featurelib.ui.evaluation import features as of_features
from featurelib.ui.evaluation import labels, losses
from featurelib.ui.evaluation import sae as evaluation

TEXTS = [
    ("cosine", "cosine", "Cosine of each text", "The cosine between a text's embedding and its reconstruction."),
    (
        "fvu",
        "FVU",
        "FVU of each text",
        "‖x−x̂‖² / ‖x−x̄‖², x̄ the mean of all texts of the run; above 1 that mean would be nearer than x̂.",
    ),
    (
        "n_active",
        "active features:",
        "Active features of each text",
        "How many features fire on a text; the mean is L0, but in a token run, whose L0 is that of tokens.",
    ),
]
QUANTILES = {"cosine": "text_cosine", "fvu": "text_fvu", "n_active": "text_l0"}
TOKEN_QUANTILES = {"fvu": "token_fvu", "n_active": "features_of_text"}


def texts(run: ui.Opened, metrics: Mapping[tuple[str, str], queries.Metric], splits: dict[str, str]) -> None:
    """How texts differ: three histograms with the quantiles of the first split."""
    drawn = zip(("bars", "a line"), splits.values(), strict=False)
    ui.heading("How texts differ", ", ".join(f"{name} as {way}" for way, name in drawn))
    for place, (column, what, title, explained) in zip(st.columns(3, gap="large"), TEXTS, strict=True):
        with place, ui.section():
            names = TOKEN_QUANTILES if queries.has_tokens(run.store) else QUANTILES
            quantiles = evaluation.quantiles_of(metrics, names.get(column, ""), next(iter(splits)))
            ui.heading(title, help=explained + evaluation.quantiles_help(quantiles))
            bins = queries.text_bins(run.store, column)
            text_spread(run, bins, what, splits, f"texts {column}")
            evaluation.quantile_row(quantiles)


def text_spread(run: ui.Opened, bins: pa.Table, what: str, splits: dict[str, str], name: str) -> None:
    """One small histogram of texts, of one split or two."""
    figure = ui.remembered(run.store, name, lambda seen: charts.text_spread(bins, what, splits, accent=seen.accent))
    ui.chart(figure, key=name)


def features(run: ui.Opened) -> None:
    """How features differ: threshold, alignment, nearest direction."""
    ui.heading("How features differ")
    first, second, third = st.columns(3, gap="large")
    with first, ui.section():
        ui.heading("Threshold", help="The pre-activation that a feature must exceed to fire.")
        gates = queries.thresholds(run.store)
        if gates.n_values > 1:
            spread(run, queries.threshold_bins(run.store), "threshold")
        else:
            only = f"One for all features: {ui.number(gates.low)}."
            ui.sentence(only if gates.low else "No feature has a threshold of its own.")
    with second, ui.section():
        ui.heading(
            "Alignment", help="cos(W_enc[:, f], W_dec[f]): 1 where encoder and decoder of a feature point the same way."
        )
        spread(run, queries.alignment_bins(run.store), "alignment")
    with third, ui.section():
        ui.heading("Nearest direction", help="The cosine of a feature's direction to the nearest other one.")
        spread(run, queries.nearest_bins(run.store), "cosine")


def spread(run: ui.Opened, bins: pa.Table, what: str) -> None:
    """One small histogram of features."""
    name = f"features {what}"
    figure = ui.remembered(run.store, name, lambda seen: charts.feature_spread(bins, what, accent=seen.accent))
    ui.chart(figure, key=name)


run = ui.open_run()
try:
    metrics = queries.metrics(run.store)
except Refusal as refusal:
    ui.page("Evaluation")
    ui.stop_with(str(refusal))
splits = evaluation.splits_of(metrics)
first_split = next(iter(splits))
ui.page("Evaluation", evaluation.lead(metrics, first_split))
evaluation.head(metrics, first_split)
if evaluation.dead(metrics):
    ui.sentence("no feature fires on any text of this run: this SAE is dead.")
wide, narrow = st.columns([1.85, 1], gap="large")
with wide:
    learned = "Where training texts are better than the others, the SAE has overfitted."
    ui.heading("Compared with the training texts" if "train" in splits else "Texts", help=learned)
    evaluation.beside(metrics, splits)
with narrow:
    ui.heading("Weights", help="Measured without texts.")
    evaluation.of_weights(metrics)
if queries.has_tokens(run.store):
    with ui.section():
        losses.losses(run.store)
texts(run, metrics, splits)
features(run)
with ui.section():
    of_features.weights(run)
with ui.section():
    of_features.densities(run)
with ui.section():
    labels.summary(run)
evaluation.all_rows(run)
