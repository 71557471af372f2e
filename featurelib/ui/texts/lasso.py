"""A lasso around points of a map, kept while single points are picked: in the address, a long one in the session."""

from __future__ import annotations

from collections.abc import Iterable

import numpy as np
import pyarrow as pa
import streamlit as st

from featurelib.schema import Refusal
from featurelib.ui.kit.address import param, set_params
from featurelib.ui.kit.elements import sentence
from featurelib.ui.texts.id_list import list_param, read, written

NAME = "lasso"
"""The parameter of the address."""
SHORT = 2_000
"""Characters of an address that a lasso may take: each line of its list holds it once more."""


def lasso_param(place: str, ids: pa.ChunkedArray) -> list[int]:
    """Those of a map's `ids` that are in its lasso, ascending; `place` tells the map and the run.

    The lasso of the address comes first; a list there that cannot be read is a sentence.
    """
    kept: list[int] = st.session_state.get(_key(place), [])
    if param(NAME):
        try:
            kept = read(list_param(NAME))
        except Refusal as refusal:
            sentence(str(refusal))
            return []
    known = np.array(kept, np.int64)
    inside: list[int] = known[np.isin(known, ids.to_numpy())].tolist()
    return inside


def keep_lasso(place: str, ids: Iterable[int]) -> None:
    """Keep the ids that were lassoed on a map; dragging moves the map again, so that a click picks a point."""
    listed = written(ids)
    is_short = len(listed) <= SHORT
    st.session_state[_key(place)] = [] if is_short else read(listed)
    set_params(**{NAME: listed if is_short else None, "drag": None})


def forget_button(place: str) -> None:
    """The button that forgets the lasso."""
    st.button("Forget the lasso", key="forget the lasso", type="tertiary", on_click=keep_lasso, args=(place, ()))


def _key(place: str) -> str:
    return f"lasso on {place}"
