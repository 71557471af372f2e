"""Sliders that steer the features of a text; their values live in the address as set=7:0.8,12:0."""

from __future__ import annotations

import math
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import streamlit as st

from featurelib import queries
from featurelib.live.results import Steered
from featurelib.queries import FeatureFilter
from featurelib.storage.store import Store
from featurelib.ui.kit.address import label_of, param, set_params
from featurelib.ui.kit.anchors import page_link
from featurelib.ui.kit.elements import Html, html, number, sentence, tag

STRONGEST = 8
"""The strongest features of a text, which always have a slider."""
MOST = 40
"""Features that one address may steer."""
HIGHEST = 1e6
"""The largest activation that can be set."""
STEPS = 200
"""Steps of a slider."""
PIECE = re.compile(r"([0-9]{1,9}):([0-9.eE+-]{1,24})", re.ASCII)
HELP = (
    "A slider goes from 0 to about twice the feature's maximum activation on this corpus. The change of the activation "
    "times the feature's direction is added to the embedding; what the SAE does not reconstruct is kept."
)
DEAD = "It never fires on this corpus, so its slider has no maximum of its own."


@dataclass(frozen=True)
class Knob:
    """One slider."""

    feature_id: int
    label: str
    now: float
    """The feature's activation on the text, a float32; 0 when it does not fire."""
    wanted: float
    """The activation that it is set to."""
    maximum: float
    """Its greatest activation on the corpus; 0 when it is dead."""
    top: float
    """The right end of the slider: about twice the maximum."""
    step: float
    """The slider's step, of which `now` is a multiple: so a slider can be moved and returned."""
    listed: bool
    """Whether it is shown without being in the address."""

    @property
    def untouched(self) -> bool:
        """Whether it is set to the activation that the text has."""
        return bool(np.float32(self.wanted) == np.float32(self.now))


def read_changes(text: str, n_features: int) -> tuple[dict[int, float], list[str]]:
    """The changes in set=…, feature_id → activation, and a sentence for each piece that is left out."""
    changes: dict[int, float] = {}
    complaints: list[str] = []
    for piece in filter(None, (word.strip() for word in text.split(","))):
        match = PIECE.fullmatch(piece)
        feature_id, value = (int(match[1]), _float(match[2])) if match else (-1, math.nan)
        shown = f"The address says set={piece[:40]}"
        if not 0 <= value <= HIGHEST:
            complaints.append(
                f"{shown}; a feature and an activation from 0 are expected, such as 7:0.8, so it is left out."
            )
        elif feature_id >= n_features:
            complaints.append(f"{shown}; this run has the features 0 to {n_features - 1}, so it is left out.")
        elif len(changes) == MOST and feature_id not in changes:
            complaints.append(f"{shown}; at most {MOST} features can be steered at once, so it is left out.")
        else:
            changes[feature_id] = value
    return changes, complaints


def _float(text: str) -> float:
    try:
        return float(text)
    except ValueError:
        return math.nan


def written(changes: Mapping[int, float]) -> str:
    """The changes as the address has them; nine digits bring a float32 back to the same bits."""
    return ",".join(f"{feature_id}:{value:.9g}" for feature_id, value in changes.items())


def changes_param(n_features: int) -> dict[int, float]:
    """The changes that the address asks for; what cannot be read is left out with a sentence."""
    changes, complaints = read_changes(param("set", longest=2000), n_features)
    for complaint in complaints[:3]:
        sentence(complaint)
    return changes


def knobs(store: Store, steered: Steered, changes: Mapping[int, float]) -> list[Knob]:
    """The sliders: those of the text's strongest features, then those of others in the address."""
    now = dict(zip(steered.feature_ids.tolist(), steered.activations.tolist(), strict=True))
    strongest = list(now)[:STRONGEST]
    ids = [*strongest, *(feature_id for feature_id in changes if feature_id not in strongest)]
    rows = queries.features(store, FeatureFilter(ids=tuple(ids)), limit=None).to_pylist()
    known = {row["feature_id"]: row for row in rows}
    spare = 2 * max(now.values(), default=0.5)
    return [
        knob_of(known[feature_id], now.get(feature_id, 0.0), changes.get(feature_id), feature_id in strongest, spare)
        for feature_id in ids
        if feature_id in known
    ]


def knob_of(row: Mapping[str, Any], now: float, wanted: float | None, listed: bool, spare: float) -> Knob:
    """The slider of a feature; `spare` is its right end where neither corpus nor text gives one."""
    maximum = float(row["max_activation"] or 0.0)
    end = max(2 * maximum or spare, now)
    step = now / max(1, round(STEPS * now / end)) if now > 0 else end / STEPS
    wanted = now if wanted is None else wanted
    top = step * max(math.ceil(end / step - 1e-9), math.ceil(wanted / step))
    return Knob(row["feature_id"], row["label"], now, wanted, maximum, max(top, wanted), step, listed)


def slider(knob: Knob) -> None:
    """A slider with marks at the text's own activation and the corpus' maximum, and buttons that set it."""
    state = "same" if knob.untouched else "changed"
    with st.container(key=f"steer-slider-{state}-{knob.feature_id}", gap=None):
        key = f"slide {knob.feature_id} {knob.top:.9g} {knob.step:.9g}"
        if st.session_state.get(key) != knob.wanted:
            st.session_state[key] = knob.wanted
        label = label_of(knob.label) + ("" if knob.untouched else " :gray[steered]")
        st.slider(
            label, 0.0, knob.top, step=knob.step, format=_format(knob.step), key=key, on_change=_moved, args=(knob, key)
        )
        html(_marks(knob))
        with st.container(horizontal=True, vertical_alignment="center", gap="small", key=f"set {knob.feature_id}"):
            _set_button("off", knob, 0.0)
            _set_button("double", knob, min(2 * knob.wanted, HIGHEST))
            _set_button("back", knob, knob.now, disabled=knob.untouched)
            page_link("feature.py", "the feature ›", feature=knob.feature_id)
        if not knob.maximum:
            sentence(DEAD)


def _format(step: float) -> str:
    return f"%.{max(0, -math.floor(math.log10(step)))}f"


def _marks(knob: Knob) -> Html:
    marks = [(knob.now, f"the text {number(knob.now)}", "own")] if knob.now else []
    marks += [(knob.maximum, f"maximum {number(knob.maximum)}", "")] if knob.maximum else []
    close = len(marks) == 2 and abs(knob.now - knob.maximum) < 0.4 * knob.top
    drawn = []
    for value, words, name in marks:
        first = close and value == min(mark[0] for mark in marks) and (name == "own" or knob.now != knob.maximum)
        side = "back" if (first and value > 0.2 * knob.top) or value > 0.7 * knob.top else ""
        at = f"left:{100 * value / knob.top:.1f}%"
        drawn.append(tag("span", words, cls=f"{name} {side}".strip(), style=at))
    return tag("div", *drawn, cls="steer-marks")


def _set_button(words: str, knob: Knob, value: float, *, disabled: bool = False) -> None:
    key = f"{words} {knob.feature_id}"
    st.button(words, key=key, type="tertiary", disabled=disabled, on_click=set_knob, args=(knob, value))


def _moved(knob: Knob, key: str) -> None:
    value = st.session_state[key]
    set_knob(knob, knob.now if abs(value - knob.now) < knob.step / 2 else value)


def set_knob(knob: Knob, value: float) -> None:
    """Set a feature in the address; remove it there where it has the text's own value and is shown anyway."""
    changes, _ = read_changes(param("set", longest=2000), 10**9)
    if knob.listed and np.float32(value) == np.float32(knob.now):
        changes.pop(knob.feature_id, None)
    else:
        changes[knob.feature_id] = value
    set_params(set=written(changes))


def add_buttons(rows: Sequence[Mapping[str, Any]], steered: Steered, shown: Sequence[Knob]) -> None:
    """Buttons that give each of some features a slider, at the activation that the text has."""
    now = dict(zip(steered.feature_ids.tolist(), steered.activations.tolist(), strict=True))
    present = {knob.feature_id for knob in shown}
    with st.container(key="steer-add", gap=None):
        for row in rows:
            feature_id = int(row["feature_id"])
            label = label_of(row["label"]) + (" :gray[shown already]" if feature_id in present else "")
            st.button(
                label,
                key=f"add {feature_id}",
                type="tertiary",
                disabled=feature_id in present,
                on_click=_add,
                args=(feature_id, now),
            )


def _add(feature_id: int, now: Mapping[int, float]) -> None:
    changes, _ = read_changes(param("set", longest=2000), 10**9)
    set_params(set=written(changes | {feature_id: now.get(feature_id, 0.0)}), add=None)
