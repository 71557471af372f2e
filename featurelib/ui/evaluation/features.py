"""What the weights say of every feature, and whether features fire as often here as where the SAE was trained."""

from __future__ import annotations

from typing import Any

import streamlit as st

from featurelib import charts, queries
from featurelib.ui.kit.address import open_feature
from featurelib.ui.kit.elements import chart, count, heading, number
from featurelib.ui.kit.session import Opened
from featurelib.ui.kit.theme import remembered

CLICKED = "clicked feature"
POINTS = "Each point is a feature, the dead ones in the second colour; a click opens it."
WEIGHTS = (
    "encoder bias: b_enc, of a gated SAE b_gate\n"
    "alignment: cos(W_enc[:, f], W_dec[f])\n"
    "along b_dec: W_dec[f]·b_dec / ‖W_dec[f]‖, the projection of b_dec on its direction\n"
    "density: share of {what} on which it fires, logarithmic; a dead feature stands at half a {one}"
)
DENSITIES = (
    "x: the density in training that a file beside the SAE gives (below 0.0001 % at that); y: the share of the {n} "
    "{what} of this run on which it fires, a dead feature at half a {one}. Spearman's ρ over all {features} features, "
    "the dead ones sharing the last rank. An SAE that belongs to these embeddings has most features near the line."
)


def weights(run: Opened) -> None:
    """The scatter matrix of encoder bias, alignment, projection on b_dec and density."""
    what = "tokens" if queries.of_tokens(run.store) else "texts"
    heading("Weights of each feature", POINTS, help=WEIGHTS.format(what=what, one=what[:-1]))
    rows, n = queries.weight_rows(run.store), queries.n_of_density(run.store)
    figure = remembered(run.store, "run plots", lambda seen: charts.run_plots(rows, n, seen))
    _openable(figure, "run plots")


def densities(run: Opened) -> None:
    """The densities of the SAE's training against those of the run; nothing where no file gave any."""
    if not queries.has_source_densities(run.store):
        return
    found = queries.densities_then_and_now(run.store)
    what = "tokens" if found.of_tokens else "texts"
    rho = "no ρ" if found.correlation is None else f"Spearman's ρ {number(found.correlation, 2)}"
    explained = DENSITIES.format(n=count(found.n), what=what, one=what[:-1], features=count(found.rows.num_rows))
    heading("Density in training and here", f"{rho}, {count(found.rows.num_rows)} features", help=explained)
    figure = remembered(
        run.store, "densities then and now", lambda seen: charts.then_and_now(found.rows, found.n, seen)
    )
    _openable(figure, "densities then and now")


def _openable(figure: Any, key: str) -> None:
    """A chart whose points open their features."""

    def note(selection: dict[str, Any]) -> None:
        st.session_state[CLICKED] = charts.chosen_ids(selection)[:1]

    chart(figure, key=key, select="points", chosen=note)
    clicked = st.session_state.pop(CLICKED, [])  # a callback of Streamlit's may not leave the page
    if clicked:
        open_feature(clicked[0])
