"""What is in this corpus, how good the SAE is, and the densities as a way in."""

from __future__ import annotations

from typing import Any

import pyarrow as pa
import streamlit as st

from featurelib import charts, queries, ui
from featurelib.schema import REGIONS
from featurelib.ui import overview
from featurelib.ui.kit import lists, text_ranges


def navigator(run: ui.Opened) -> None:
    """The density histogram and the features of the range that is chosen in it."""
    counted, bins = queries.counts(run.store), queries.density_bins(run.store)
    ui.heading(
        "How often features fire",
        "drag over a range to see its features",
        help="Density: the share of texts on which a feature fires, on a logarithmic scale. Dead features stand apart.",
    )
    least, most = ui.count_param("least"), ui.count_param("most")
    chosen = text_ranges.text_range(least, most, counted.n_texts)

    def choose(selection: dict[str, Any]) -> None:
        picked = charts.density_choice(selection, bins, counted.n_texts)
        ui.set_params(least=picked and picked.least, most=picked and picked.most)

    figure = ui.remembered(
        run.store,
        f"densities {chosen}",
        lambda seen: charts.density_bars(bins, counted.n_dead, counted.n_texts, chosen, accent=seen.accent),
    )
    # The key changes with the range, so that what is drawn is what the address says, after a link as after a brush.
    ui.chart(figure, key=f"densities {least} {most}", select="box", chosen=choose)
    # Streamlit lets no bar be clicked in a chart that is brushed: these are ranges to click.
    ranges = [
        ui.link("overview.py", name, {"least": fires_on.least, "most": fires_on.most})
        for name, fires_on in text_ranges.density_ranges(counted.n_texts)
    ]
    ui.page_links(*ranges, *([] if chosen is None else [ui.link("overview.py", "all", {})]), before="or click:")
    which = text_ranges.fires_on(chosen, counted.n_texts)
    listed = queries.features(run.store, which, sort="max_activation", limit=10).to_pylist()
    total = queries.count_features(run.store, which)
    lines = [
        lists.feature_line(
            row["feature_id"], row["label"], ui.density(row["density"]), ui.number(row["max_activation"])
        )
        for row in listed
    ]
    title = text_ranges.range_title(total, chosen, counted.n_texts)
    lists.line_list("range", lines, title=title, names=("density", "maximum"))
    ui.page_link("features.py", f"all {total:,} in the table ›", least=least, most=most)


def on_tokens(run: ui.Opened) -> None:
    """Of a token run: the densities over tokens, which the SAE reads one by one."""
    bins, n_tokens = queries.token_density_bins(run.store), queries.n_tokens(run.store)
    n_dead = queries.counts(run.store).n_features - sum(bins["n_features"].to_pylist())
    ui.heading(
        "How often features fire on tokens",
        help="Density over tokens: the share of the corpus' tokens on which a feature fires, on a logarithmic scale.",
    )
    figure = ui.remembered(
        run.store,
        "densities over tokens",
        lambda seen: charts.density_bars(bins, n_dead, n_tokens, accent=seen.accent, of="tokens").update_layout(
            dragmode=False
        ),
    )
    ui.chart(figure, key="token densities")


def quality(run: ui.Opened) -> None:
    """Per text: the number of active features, how well it is reconstructed, the worst ones."""
    ui.heading("Active features per text", help="The number of features that fire on a text; its mean is L0.")
    bars(run, "active features:", queries.l0_bins(run.store), "l0")
    ui.heading(
        "How well texts are reconstructed",
        "cosine",
        help="The cosine between a text's embedding and its reconstruction by the SAE.",
    )
    bars(run, "cosine", queries.cosine_bins(run.store), "cosines")
    ui.heading(
        "Worst-reconstructed texts",
        "FVU",
        help="‖x−x̂‖² / ‖x−x̄‖² of one text; above 1 the mean of all texts would be nearer.",
    )
    worst = queries.worst_texts(run.store).to_pylist()
    lines = [
        lists.Line(row["opening"][:70], {"text": row["text_id"]}, (ui.number(row["fvu"]),), page="text.py")
        for row in worst
    ]
    lists.line_list("worst", lines)


def bars(run: ui.Opened, what: str, bins: pa.Table, key: str) -> None:
    """A small histogram of texts."""
    figure = ui.remembered(run.store, key, lambda seen: charts.count_bars(bins, what, accent=seen.accent))
    ui.chart(figure, key=key)


run = ui.open_run()
made = run.generation.describe()
ui.page(overview.run_title(made, run.name), overview.run_sentence(made))
if run.store.has(REGIONS):
    wide, narrow = st.columns([1.85, 1], gap="large")
    with wide, ui.section():
        overview.themes(run)
    with narrow, ui.section():
        overview.theme_map(run)
    ui.heading("How good the SAE is")
with ui.section():
    overview.numbers(run)
wide, narrow = st.columns([1.85, 1], gap="large")
with wide, ui.section():
    navigator(run)
    if queries.has_tokens(run.store):
        on_tokens(run)
with narrow:
    with ui.section():
        quality(run)
    ui.heading("Made from")
    ui.facts(overview.provenance(made))
