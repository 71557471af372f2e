"""Sliders that turn the features of a text; what they are set to lives in the address as set=7:0.8,12:0."""

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
from featurelib.ui.kit.address import label_of, page_link, param, set_params
from featurelib.ui.kit.elements import Html, html, number, sentence, tag

STRONGEST = 8
"""Features of a text that get a slider unasked."""
MOST = 40
"""Features that the address may turn."""
HIGHEST = 1e6
STEPS = 200
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
    """What it is turned to."""
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
        """Whether it is where the text has it."""
        return bool(np.float32(self.wanted) == np.float32(self.now))


def read_changes(text: str, n_features: int) -> tuple[dict[int, float], list[str]]:
    """What set=… asks for, feature_id → activation, and a sentence for each piece that is left out."""
    changes: dict[int, float] = {}
    said: list[str] = []
    for piece in filter(None, (one.strip() for one in text.split(","))):
        match = PIECE.fullmatch(piece)
        feature_id, value = (int(match[1]), _float(match[2])) if match else (-1, math.nan)
        shown = f"The address says set={piece[:40]}"
        if not 0 <= value <= HIGHEST:
            said.append(f"{shown}; a feature and an activation from 0 are expected, such as 7:0.8, so it is left out.")
        elif feature_id >= n_features:
            said.append(f"{shown}; this run has the features 0 to {n_features - 1}, so it is left out.")
        elif len(changes) == MOST and feature_id not in changes:
            said.append(f"{shown}; at most {MOST} features can be steered at once, so it is left out.")
        else:
            changes[feature_id] = value
    return changes, said


def _float(text: str) -> float:
    try:
        return float(text)
    except ValueError:
        return math.nan


def written(changes: Mapping[int, float]) -> str:
    """The changes as the address has them; nine digits bring a float32 back to the same bits."""
    return ",".join(f"{feature_id}:{value:.9g}" for feature_id, value in changes.items())


def changes_param(n_features: int) -> dict[int, float]:
    """What the address turns; what it cannot mean is said and left out."""
    changes, said = read_changes(param("set", longest=2000), n_features)
    for one in said[:3]:
        sentence(one)
    return changes


def knobs(store: Store, turned: Steered, changes: Mapping[int, float]) -> list[Knob]:
    """The sliders: those of the text's strongest features, then those of others in the address."""
    now = dict(zip(turned.feature_ids.tolist(), turned.activations.tolist(), strict=True))
    strongest = list(now)[:STRONGEST]
    ids = [*strongest, *(one for one in changes if one not in strongest)]
    rows = queries.features(store, FeatureFilter(ids=tuple(ids)), limit=None).to_pylist()
    known = {row["feature_id"]: row for row in rows}
    spare = 2 * max(now.values(), default=0.5)
    return [
        _knob(known[one], now.get(one, 0.0), changes.get(one), one in strongest, spare) for one in ids if one in known
    ]


def _knob(row: Mapping[str, Any], now: float, wanted: float | None, listed: bool, spare: float) -> Knob:
    maximum = float(row["max_activation"] or 0.0)
    end = max(2 * maximum or spare, now)
    step = now / max(1, round(STEPS * now / end)) if now > 0 else end / STEPS
    wanted = now if wanted is None else wanted
    top = step * max(math.ceil(end / step - 1e-9), math.ceil(wanted / step))
    return Knob(row["feature_id"], row["label"], now, wanted, maximum, max(top, wanted), step, listed)


def slider(knob: Knob) -> None:
    """A slider with the text's own activation and the corpus' maximum marked under it, and what it can jump to."""
    kind = "turn-same" if knob.untouched else "turn-turned-"
    with st.container(key=f"{kind}-{knob.feature_id}", gap=None):
        key = f"slide {knob.feature_id} {knob.top:.9g} {knob.step:.9g}"
        if st.session_state.get(key) != knob.wanted:
            st.session_state[key] = knob.wanted
        label = label_of(knob.label) + ("" if knob.untouched else " :gray[steered]")
        st.slider(
            label, 0.0, knob.top, step=knob.step, format=_format(knob.step), key=key, on_change=_slid, args=(knob, key)
        )
        html(_marks(knob))
        with st.container(horizontal=True, vertical_alignment="center", gap="small", key=f"jumps {knob.feature_id}"):
            _jump("off", knob, 0.0)
            _jump("double", knob, min(2 * knob.wanted, HIGHEST))
            _jump("back", knob, knob.now, disabled=knob.untouched)
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
        first = close and value == min(one[0] for one in marks) and (name == "own" or knob.now != knob.maximum)
        side = "back" if (first and value > 0.2 * knob.top) or value > 0.7 * knob.top else ""
        at = f"left:{100 * value / knob.top:.1f}%"
        drawn.append(tag("span", words, cls=f"{name} {side}".strip(), style=at))
    return tag("div", *drawn, cls="turn-marks")


def _jump(words: str, knob: Knob, value: float, *, disabled: bool = False) -> None:
    key = f"{words} {knob.feature_id}"
    st.button(words, key=key, type="tertiary", disabled=disabled, on_click=put, args=(knob, value))


def _slid(knob: Knob, key: str) -> None:
    value = st.session_state[key]
    put(knob, knob.now if abs(value - knob.now) < knob.step / 2 else value)


def put(knob: Knob, value: float) -> None:
    """Turn a feature in the address, or take it out where it is back and shown anyway."""
    changes, _ = read_changes(param("set", longest=2000), 10**9)
    if knob.listed and np.float32(value) == np.float32(knob.now):
        changes.pop(knob.feature_id, None)
    else:
        changes[knob.feature_id] = value
    set_params(set=written(changes))


def add_buttons(rows: Sequence[Mapping[str, Any]], turned: Steered, shown: Sequence[Knob]) -> None:
    """Buttons for features that were found: each gets a slider, at what the text has."""
    now = dict(zip(turned.feature_ids.tolist(), turned.activations.tolist(), strict=True))
    there = {knob.feature_id for knob in shown}
    with st.container(key="steer-add", gap=None):
        for row in rows:
            one = int(row["feature_id"])
            words = label_of(row["label"]) + (" :gray[is there already]" if one in there else "")
            st.button(words, key=f"add {one}", type="tertiary", disabled=one in there, on_click=_add, args=(one, now))


def _add(feature_id: int, now: Mapping[int, float]) -> None:
    changes, _ = read_changes(param("set", longest=2000), 10**9)
    set_params(set=written(changes | {feature_id: now.get(feature_id, 0.0)}), add=None)
