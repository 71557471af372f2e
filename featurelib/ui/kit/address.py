"""The address of a page: reading and checking its parameters, writing them, and links that keep the run."""

from __future__ import annotations

import math
import re
import threading
from collections.abc import Callable, Mapping, Sequence
from functools import lru_cache
from typing import Any, NoReturn
from urllib.parse import quote_plus, urlencode

import streamlit as st
from streamlit.runtime.scriptrunner import get_script_run_ctx

from featurelib.ui.kit.elements import plain, sentence, stop_with

LONGEST = 2000
LEFT = "addresses that were left"
SHOWN = "page shown"
MOST_LEFT = 50
"""Addresses of left pages that a session remembers."""
MOST_NAMED = 12
"""Choices that are named where the address asks for none of them."""
WHOLE = re.compile(r"[0-9]{1,12}", re.ASCII)
ADDRESS = re.compile(r"(https?\\?:|www|@)", re.IGNORECASE)
"""What the addresses begin with, or hold, that become links by themselves."""
MARKDOWN = re.compile(r"([!-/:-@\[-`{-~])")


def label_of(text: object) -> str:
    """Text as a label of a Streamlit link, button or slider: on one line, every Markdown character escaped, no link.

    Streamlit makes links of addresses after it has read the Markdown, so a word joiner, which has no width, parts them.
    """
    line = " ".join(plain(str(text)).split()) or "(empty)"
    return ADDRESS.sub("\\1\u2060", MARKDOWN.sub(r"\\\1", line[:200]))


def _raw(name: str, longest: int = LONGEST) -> str:
    return str(st.query_params.get(name, ""))[:longest]


def param(name: str, default: str = "", *, longest: int = 500) -> str:
    """A text of the address, cut at `longest` characters, without control characters."""
    return plain(_raw(name, max(longest, LONGEST)))[:longest] or default


def whole_number_param(name: str) -> int | None:
    """An id of the address, None when it is absent; anything but a whole number ends the page with a sentence."""
    text = _raw(name)
    if text and not WHOLE.fullmatch(text):
        stop_with(f"The address says {name}={text[:40]}; a whole number is expected, such as {name}=7.")
    return int(text) if text else None


def count_param(name: str, default: int | None = None) -> int | None:
    """A whole number of the address, `default` when absent; anything else is left out with a sentence."""
    text = _raw(name)
    if text and not WHOLE.fullmatch(text):
        sentence(f"The address says {name}={text[:40]}; a whole number is expected, so it is left out.")
        return default
    return int(text) if text else default


def number_param(name: str, *, low: float = 0.0, high: float = math.inf) -> float | None:
    """A number of the address between `low` and `high`; anything else is left out with a sentence."""
    text = _raw(name)
    if not text:
        return None
    try:
        value = float(text)
    except ValueError:
        value = math.nan
    if not low <= value <= high:
        limits = f"at least {low:g}" if high == math.inf else f"from {low:g} to {high:g}"
        sentence(f"The address says {name}={text[:40]}; a number {limits} is expected, so it is left out.")
        return None
    return value


def choice_param(name: str, choices: Sequence[str]) -> str:
    """One of `choices` of the address, the first when absent; for another value the first, with a sentence."""
    text = _raw(name)
    if text and text not in choices:
        n_more = len(choices) - MOST_NAMED
        known = ", ".join(choices[:MOST_NAMED]) + (f" and {n_more} more" if n_more > 0 else "")
        sentence(f"The address says {name}={text[:40]}; {known} are known, so {choices[0]} is shown.")
    return text if text in choices else choices[0]


def page_param(n_pages: int = 1, name: str = "page") -> int:
    """The number of the page of a list, from 1; out of range the nearest is shown, with a sentence."""
    text = _raw(name)
    if not text:
        return 1
    wanted = int(text) if WHOLE.fullmatch(text) else 0
    nearest = min(max(wanted, 1), max(n_pages, 1))
    if wanted != nearest:
        sentence(f"The address says {name}={text[:40]}; there are {max(n_pages, 1)} pages, so page {nearest} is shown.")
    return nearest


def set_params(**values: object) -> None:
    """Change the address in one step: None or "" removes a parameter, all others stay."""
    present = st.query_params.to_dict()
    wanted = {**present, **{name: str(value) for name, value in values.items() if value not in (None, "")}}
    for name, value in values.items():
        if value in (None, ""):
            wanted.pop(name, None)
    if wanted != present:
        st.query_params.from_dict(wanted)


def kept_params(*but: str) -> dict[str, str]:
    """The parameters of the address but the run and those named, for a link that changes them."""
    return {name: value for name, value in st.query_params.to_dict().items() if name not in ("run", *but)}


_noted = threading.local()
"""The run of the address and the rerun, in its thread, that it belongs to."""


def note_run() -> None:
    """Note the run of the address for the links of this rerun: reading it for each takes a tenth of a click."""
    _noted.rerun, _noted.run = get_script_run_ctx(), _raw("run")


def with_run(values: Mapping[str, object]) -> dict[str, str]:
    """Parameters for another page: the run first, then `values` without the empty ones."""
    rerun = get_script_run_ctx()
    named = _noted.run if rerun is not None and getattr(_noted, "rerun", None) is rerun else _raw("run")
    run = {"run": named} if named else {}
    return run | {name: str(value) for name, value in values.items() if value not in (None, "")}


def address(page: str, values: Mapping[str, object]) -> str:
    """The address of a page, from any other page: feature?run=demo&feature=7.

    It is relative, so that it stays below the path that a proxy may put in front; all pages lie beside each other.
    """
    written = "&".join([f"{_quoted(name)}={_quoted(value)}" for name, value in with_run(values).items()])
    return f"{page.removesuffix('.py').replace('overview', './')}?{written}"


@lru_cache(maxsize=10_000)
def _quoted(value: str) -> str:
    """A name or a value as an address holds it; the run and the ids of features come again and again."""
    return quote_plus(value)


def go(page: str, **values: object) -> NoReturn:
    """Show another page, with the run and `values` in its address."""
    wanted = with_run(values)
    left = st.session_state.setdefault(LEFT, {})
    if st.session_state.get(SHOWN) != page:
        left[st.session_state.get(SHOWN, ""), urlencode(wanted)] = st.query_params.to_dict()
    while len(left) > MOST_LEFT:
        left.pop(next(iter(left)))
    st.switch_page(page, query_params=wanted)


def arrive(page: str) -> None:
    """Note which page is shown and tell the browser its address; called once by the navigation.

    Streamlit's switch_page first writes the new parameters into the address of the page that is left, which stays in
    the browser's history: coming back there, the page gets its own parameters again. And a link to the page that is
    shown already, such as from feature to feature, would leave the browser's address as it was.
    """
    before = st.session_state.get(SHOWN)
    st.session_state[SHOWN] = page
    present = st.query_params.to_dict()
    own = st.session_state.get(LEFT, {}).get((page, urlencode(present)), present)
    if own != present or page == before:
        st.query_params.from_dict(own)


def open_feature(feature_id: int) -> NoReturn:
    """Show one feature."""
    go("feature.py", feature=feature_id)


def _write(name: str, key: str, default: object, resets: Sequence[str]) -> None:
    chosen = st.session_state[key]
    set_params(**{name: None if chosen == default else chosen}, **dict.fromkeys(resets))


def _bind(name: str, value: object, default: object, resets: Sequence[str]) -> dict[str, Any]:
    """The arguments of a widget that shows `value` of the address and writes it back; the address is the only truth."""
    key = f"address {name}"
    if st.session_state.get(key, _bind) != value:
        st.session_state[key] = value
    return {"key": key, "on_change": _write, "args": (name, key, default, tuple(resets))}


def text_box(label: str, name: str, *, resets: Sequence[str] = ("page",), longest: int = 500, **options: Any) -> str:
    """A line of text that lives in the address as `name`; a change removes the parameters in `resets`."""
    value = param(name, longest=longest)
    st.text_input(label, max_chars=longest, **_bind(name, value, "", resets), **options)
    return value


def choice_box(
    label: str,
    name: str,
    choices: Sequence[str],
    *,
    show: Callable[[str], Any] = str,
    resets: Sequence[str] = ("page",),
    **options: Any,
) -> str:
    """A drop-down list of `choices` that lives in the address; the first is the default and is not written."""
    value = choice_param(name, choices)
    st.selectbox(label, choices, format_func=show, **_bind(name, value, choices[0], resets), **options)
    return value


def number_box(label: str, name: str, *, low: float = 0.0, high: float = 1e9, **options: Any) -> float | None:
    """A number that lives in the address; empty means no limit."""
    value = number_param(name, low=low, high=high)
    st.number_input(
        label, low, high, **_bind(name, value, None, ("page",)), **{"value": None, "placeholder": "any"} | options
    )
    return value


def count_box(label: str, name: str, *, high: int = 10**9, **options: Any) -> int | None:
    """A whole number that lives in the address; empty means no limit."""
    value = count_param(name)
    value = None if value is None else min(value, high)
    st.number_input(
        label, 0, high, step=1, **_bind(name, value, None, ("page",)), **{"value": None, "placeholder": "any"} | options
    )
    return value


def segments(
    label: str,
    name: str,
    choices: Sequence[str],
    *,
    show: Callable[[str], Any] = str,
    resets: Sequence[str] = ("page",),
    **options: Any,
) -> str:
    """A row of `choices` that lives in the address; labels are our own words (they are read as Markdown)."""
    value = choice_param(name, choices)
    bound = _bind(name, value, choices[0], resets)
    st.segmented_control(label, choices, format_func=show, required=True, **bound, **options)
    return value


def steps(
    label: str,
    name: str,
    choices: Sequence[str],
    *,
    show: Callable[[str], Any] = str,
    default: str | None = None,
    resets: Sequence[str] = ("page",),
    **options: Any,
) -> str:
    """A slider over `choices` that lives in the address; the `default`, else the last of them, is not written."""
    usual = choices[-1] if default is None else default
    value = choice_param(name, [usual, *(choice for choice in choices if choice != usual)])
    st.select_slider(label, choices, format_func=show, **_bind(name, value, usual, resets), **options)
    return value


def toggle(label: str, name: str, *, resets: Sequence[str] = ("page",), **options: Any) -> bool:
    """A switch that lives in the address as `name`=yes."""
    value = _raw(name) == "yes"
    key = f"address {name}"
    if st.session_state.get(key) != value:
        st.session_state[key] = value

    def write() -> None:
        set_params(**{name: "yes" if st.session_state[key] else None}, **dict.fromkeys(resets))

    st.toggle(label, key=key, on_change=write, **options)
    return value


def pager(n_rows: int, per_page: int, *, name: str = "page") -> int:
    """Buttons for the pages of a list; returns the first row to show, from 0. Draws nothing for one page."""
    n_pages = max(1, math.ceil(n_rows / per_page))
    value = page_param(n_pages, name)
    if n_pages > 1:
        # A default together with a value in session state makes Streamlit warn, so the key carries the value.
        key = f"address {name} {value} of {n_pages}"
        st.pagination(n_pages, default=value, key=key, on_change=_write, args=(name, key, 1, ()))
    return (value - 1) * per_page
