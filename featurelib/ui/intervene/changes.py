"""The changes of features that the reader asks for; they live in the address as change=7:set:0,12:multiply:2."""

from __future__ import annotations

import math
import re
from collections.abc import Mapping, Sequence
from typing import Any

import streamlit as st

from featurelib import queries
from featurelib.live.results import FeatureChange, PromptFeatures
from featurelib.queries import FeatureFilter
from featurelib.storage.store import Store
from featurelib.ui.kit.address import label_of, param, set_params
from featurelib.ui.kit.anchors import link
from featurelib.ui.kit.elements import heading, html, number, sentence, tag

MOST = 20
"""Features that one address may change."""
LONGEST = 2000
HIGHEST = 1e6
"""The largest value, on either side of 0."""
STEPS = 200
"""Steps of a slider."""
KINDS = ("multiply", "add", "set")
WORDS = {"multiply": "multiply by", "add": "add", "set": "set to"}
PIECE = re.compile(r"([0-9]{1,9}):(set|add|multiply):([0-9.eE+-]{1,24})", re.ASCII)
HELP = (
    "At each token the activation a of a feature becomes another one, a', and (a' − a) times the feature's direction "
    "is added to the hidden state; what the SAE does not reconstruct stays as it is. Multiplying does nothing where a "
    "feature does not fire; setting and adding do."
)


def read_changes(text: str, n_features: int) -> tuple[list[FeatureChange], list[str]]:
    """The changes in change=…, each feature once, and a sentence for each piece that is left out."""
    changes: dict[int, FeatureChange] = {}
    complaints: list[str] = []
    for piece in filter(None, (word.strip() for word in text.split(","))):
        shown = f"The address says change={piece[:40]}"
        match = PIECE.fullmatch(piece)
        change = FeatureChange(int(match[1]), match[2], _float(match[3])) if match else None
        if change is None or not abs(change.value) <= HIGHEST:
            complaints.append(
                f"{shown}; a feature, set, add or multiply and a number are expected, such as 7:multiply:2, so it is "
                "left out."
            )
        elif change.feature_id >= n_features:
            complaints.append(f"{shown}; this run has the features 0 to {n_features - 1}, so it is left out.")
        elif len(changes) == MOST and change.feature_id not in changes:
            complaints.append(f"{shown}; at most {MOST} features can be changed at once, so it is left out.")
        else:
            changes[change.feature_id] = change
    return list(changes.values()), complaints


def _float(text: str) -> float:
    try:
        return float(text)
    except ValueError:
        return math.nan


def written(changes: Sequence[FeatureChange]) -> str:
    """The changes as the address has them."""
    return ",".join(f"{change.feature_id}:{change.kind}:{change.value:.9g}" for change in changes)


def changes_param(n_features: int) -> list[FeatureChange]:
    """The changes that the address asks for; what cannot be read is left out with a sentence."""
    changes, complaints = read_changes(param("change", longest=LONGEST), n_features)
    for complaint in complaints[:3]:
        sentence(complaint)
    return changes


def _known() -> dict[int, FeatureChange]:
    return {change.feature_id: change for change in read_changes(param("change", longest=LONGEST), 10**9)[0]}


def put(change: FeatureChange) -> None:
    """Write one change into the address, in the place of that of the same feature."""
    set_params(change=written([*(_known() | {change.feature_id: change}).values()]), add=None)


def take_out(feature_id: int) -> None:
    """Take one change out of the address."""
    set_params(change=written([change for change in _known().values() if change.feature_id != feature_id]))


def change_rows(store: Store, changes: Sequence[FeatureChange], prompt: PromptFeatures | None) -> None:
    """A kind and a number for each feature that is changed, with its strongest activations to go by."""
    heading("Changed features", help=HELP)
    if not changes:
        sentence("None yet: choose some of those below.")
        return
    ids = [change.feature_id for change in changes]
    known = {
        row["feature_id"]: row for row in queries.features(store, FeatureFilter(ids=tuple(ids)), limit=None).to_pylist()
    }
    here = dict(zip(prompt.feature_ids.tolist(), prompt.activations.tolist(), strict=True)) if prompt else {}
    for change in changes:
        maximum = queries.token_maximum(store, change.feature_id)
        _row(change, known.get(change.feature_id, {}), here.get(change.feature_id, 0.0), maximum)


def _row(change: FeatureChange, row: Mapping[str, Any], here: float, maximum: float) -> None:
    feature_id = change.feature_id
    with st.container(key=f"intervene-row-{feature_id}", gap=None):
        label = row.get("label") or f"feature {feature_id}"
        known = f"at most {number(here)} on the prompt, {number(maximum)} in the corpus"
        html(link("feature.py", label, {"feature": feature_id}), tag("span", known, cls="muted intervene-known"))
        with st.container(horizontal=True, vertical_alignment="center", gap="small"):
            kind_key, value_key = f"kind {feature_id}", f"value {feature_id}"
            _show(kind_key, change.kind)
            _show(value_key, change.value)
            st.selectbox(
                f"What is done to feature {feature_id}", KINDS, format_func=WORDS.__getitem__, key=kind_key,
                label_visibility="collapsed", width=150, on_change=_edited, args=(feature_id,),
            )  # fmt: skip
            st.number_input(
                f"By how much, feature {feature_id}", -HIGHEST, HIGHEST, step=1.0, format="%.4g", key=value_key,
                label_visibility="collapsed", width=140, on_change=_edited, args=(feature_id,),
            )  # fmt: skip
        _slider(change, maximum or 1.0)
        with st.container(horizontal=True, vertical_alignment="center", gap="small"):
            for words, kind, value in (("off", "set", 0.0), ("×2", "multiply", 2.0), ("×5", "multiply", 5.0)):
                st.button(
                    words, key=f"{words} {feature_id}", type="tertiary", on_click=put,
                    args=(FeatureChange(feature_id, kind, value),),
                )  # fmt: skip
            st.button("remove", key=f"remove {feature_id}", type="tertiary", on_click=take_out, args=(feature_id,))


def _slider(change: FeatureChange, maximum: float) -> None:
    """The same number by sliding: up to twice the corpus' maximum, or five times, or as far as the address goes."""
    low, high, step = slider_range(change, maximum)
    key = f"slide {change.feature_id} {change.kind} {low:.9g} {high:.9g}"
    _show(key, change.value)
    st.slider(
        f"By how much, feature {change.feature_id}, by sliding", low, high, step=step, format="%.4g", key=key,
        label_visibility="collapsed", on_change=_slid, args=(change, key),
    )  # fmt: skip


def slider_range(change: FeatureChange, maximum: float) -> tuple[float, float, float]:
    """The ends of a change's slider and its step; they reach at least to the change's own value."""
    top = 5.0 if change.kind == "multiply" else 2 * maximum
    bottom = -top if change.kind == "add" else 0.0
    low, high = min(bottom, change.value), max(top, change.value)
    return low, high, (high - low) / STEPS


def _slid(change: FeatureChange, key: str) -> None:
    put(FeatureChange(change.feature_id, change.kind, st.session_state[key]))


def _show(key: str, value: object) -> None:
    if st.session_state.get(key) != value:
        st.session_state[key] = value


def _edited(feature_id: int) -> None:
    put(FeatureChange(feature_id, st.session_state[f"kind {feature_id}"], st.session_state[f"value {feature_id}"]))


def first_change(feature_id: int, here: float, maximum: float) -> FeatureChange:
    """What is done to a feature that is chosen: doubled where it fires on the prompt, else set to its maximum."""
    return FeatureChange(feature_id, "multiply", 2.0) if here else FeatureChange(feature_id, "set", maximum or 1.0)


def add_button(feature_id: int, label: str, change: FeatureChange, *, present: bool, group: str) -> None:
    """A button that begins to change a feature."""
    words = label_of(label) + (" :gray[changed above]" if present else "")
    key = f"{group} {feature_id}"
    st.button(words, key=key, type="tertiary", disabled=present, on_click=put, args=(change,))
