"""Small pieces of a page, as HTML in which every text is escaped and isolated, and charts.

Texts of a corpus may be hostile: Markdown would render them and fetch the images that they name. `tag` escapes
everything that is not `Html`, and only this package makes `Html`.
"""

from __future__ import annotations

import contextlib
import html as escaping
import math
import re
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass
from functools import lru_cache
from typing import Any, NoReturn

import streamlit as st

from featurelib.schema import Refusal

UNSHOWABLE = re.compile(r"[\x00-\x08\x0b\x0c\x0e-\x1f\x7f-\x9f\ud800-\udfff]")
SHOWN = 20_000
PRESSED = ("toImage", "pan2d", "lasso2d", "resetScale2d")
"""The buttons of Plotly's toolbar that the script presses on maps: js/map_picks.js and js/map_picture.js."""
PLOTLY = {"displayModeBar": False, "displaylogo": False, "scrollZoom": False, "showTips": False}


class Html(str):
    """Markup in which every text has been escaped."""

    __slots__ = ()

    def _repr_html_(self) -> str:
        # what Streamlit draws as it is: of other strings it first strips common white space, a tenth of a click
        return str(self)


@dataclass(frozen=True)
class Number:
    """One number of a strip."""

    value: str
    """As it is shown, with its unit."""
    name: str
    """Its name, in a few words."""
    help: str = ""
    """The formula, the split, the space: shown on hover, tap or keyboard focus."""
    aside: str = ""
    """Shown small beside the value, such as an interval."""


def plain(text: str) -> str:
    """Text with a visible mark for each character that no page can show: control characters and lone surrogates."""
    if "\r" in text:
        text = text.replace("\r\n", "\n").replace("\r", "\n")
    return UNSHOWABLE.sub("�", text) if UNSHOWABLE.search(text) else text


def tag(name: str, *children: object, cls: str = "", style: str = "", help: str = "", **others: str) -> Html:
    """An element around `children`: Html stays as it is, all else is escaped and isolated (`<bdi>`).

    `others` are further attributes, which the caller names and no text of a corpus does; "_" stands for "-".
    """
    inner = "".join([child if isinstance(child, Html) else _text(str(child)) for child in children])
    written = f' class="{_attribute(cls)}"' if cls else ""
    if style:
        written += f' style="{escaping.escape(style)}"'
    if help:
        written += f' data-help="{_attribute(plain(help))}"' + (' tabindex="0"' if name != "a" else "")
    for key, value in others.items():
        if value:
            written += f' {key.replace("_", "-")}="{escaping.escape(value)}"'
    return Html(f"<{name}{written}>{inner}</{name}>")


@lru_cache(maxsize=1_000)
def _attribute(value: str) -> str:
    """A class or an explanation as an attribute; there are few, and they come again and again."""
    return escaping.escape(value)


def _text(text: str) -> str:
    return f"<bdi>{escaping.escape(plain(text))}</bdi>" if text else ""


def html(*pieces: object, width: Any = "stretch") -> None:
    """Draw the pieces one after the other; what is not Html is escaped."""
    st.html(tag("div", *pieces, cls="fb"), width=width)


def count(value: float | None) -> str:
    """A whole number with separated thousands."""
    return "–" if value is None else f"{int(value):,}"


def number(value: float | None, digits: int = 3) -> str:
    """A number with `digits` significant digits; with an exponent only below 0.0001 and from a million on."""
    if value is None or not math.isfinite(value):
        return "–"
    if value == 0 or 1e-4 <= abs(value) < 1e6:
        shown = max(0, digits - 1 - math.floor(math.log10(abs(value)))) if value else 0
        return f"{value:,.{shown}f}"
    return f"{value:.{digits - 1}e}"


def apart(value: float, limit: float, most: int = 7) -> tuple[str, str]:
    """Two numbers with as many significant digits, from three on, as tell them apart."""
    digits = next((digits for digits in range(3, most) if number(value, digits) != number(limit, digits)), most)
    return number(value, digits), number(limit, digits)


def percent(share: float | None) -> str:
    """A share from 0 to 1 as a percentage with two or three significant digits."""
    if share is None or not math.isfinite(share):
        return "–"
    return "0 %" if share == 0 else f"{number(100 * share, 2 if share < 0.1 else 3)} %"


def density(share: float | None) -> str:
    """A density as a percentage with two decimals, so that those of a list can be compared at a glance."""
    if share is None or not math.isfinite(share):
        return "–"
    return "< 0.01 %" if 0 < share < 0.00005 else f"{100 * share:.2f} %"


def page(title: str, lead: object = "", *, crumbs: str = "", faint: bool = False) -> None:
    """The head of a page, its title also that of the browser's tab, and one sentence under it; grey if `faint`."""
    st.set_page_config(page_title=f"{' '.join(plain(title).split())[:80]} · Feature browser")
    html(
        tag("div", crumbs, cls="crumbs") if crumbs else "",
        tag("h1", title, cls="muted" if faint else ""),
        tag("p", lead, cls="lead") if lead else "",
    )


def heading(title: str, note: str = "", *, help: str = "") -> None:
    """The head of a section of a page: a few words, a note in grey, an explanation on hover.

    A note that only repeats the title, as of a feature without a name, is left out.
    """
    note = "" if note == title else note
    html(tag("h3", tag("span", title, cls="term" if help else "", help=help), tag("span", note, cls="note")))


def sentence(text: str) -> None:
    """Draw one sentence, such as the reason why something cannot be shown."""
    html(tag("p", text[:1].upper() + text[1:], cls="sentence"))


def stop_with(text: str) -> NoReturn:
    """End the page with one sentence."""
    sentence(text)
    st.stop()


@contextlib.contextmanager
def section() -> Iterator[None]:
    """Turn a Refusal, such as RunNotReady, inside the block into a sentence; the rest of the page is drawn."""
    try:
        yield
    except Refusal as refusal:
        sentence(str(refusal))


def strip(numbers: Iterable[Number]) -> None:
    """Draw a few numbers side by side, each with its name."""
    cells = []
    for shown in numbers:
        value = tag("div", shown.value, tag("span", shown.aside, cls="aside") if shown.aside else "", cls="value")
        cells.append(
            tag(
                "div",
                value,
                tag("div", tag("span", shown.name, cls="term" if shown.help else "", help=shown.help), cls="name"),
            )
        )
    html(tag("div", *cells, cls="strip"))


def chips(words: Iterable[tuple[str, str]]) -> None:
    """Words in rounded boxes, each with a small number behind it."""
    html(tag("div", *(chip(word, value) for word, value in words), cls="chips"))


def chip(word: str, value: str = "") -> Html:
    """A word in a rounded box, with a small number behind it."""
    return tag("span", word, tag("small", value) if value else "", cls="chip")


def facts(rows: Iterable[tuple[object, object]]) -> None:
    """A quiet table of names and values, either of which may be Html."""
    html(
        tag(
            "div", *(tag("div", tag("span", name), tag("span", value), cls="fact") for name, value in rows), cls="facts"
        )
    )


def opening(text: str, title: str = "", length: int = 240) -> str:
    """The beginning of a text without its title, cut between words."""
    body = text[len(title) :].lstrip(". \n") if title and text.startswith(title) else text
    body = " ".join(body[: 2 * length].split())
    return body if len(body) <= length else body[:length].rsplit(" ", 1)[0] + " …"


def chart(
    figure: Any,
    *,
    key: str,
    select: Any = None,
    chosen: Callable[[dict[str, Any]], None] | None = None,
    zoom: bool = False,
    picture: str = "",
    help: str = "",
) -> dict[str, Any]:
    """Draw a Plotly figure without frame and toolbar; `select` ("points", "box", "lasso") makes it a control.

    `zoom` lets the wheel zoom; `picture` names the file that the button PNG saves (see ui/texts/map_chart.py).
    `chosen` is called with each new selection, before the page is drawn. Returns the selection that holds now, with
    empty lists when there is none: {"points": [{"customdata": …}], "box": [{"x": […]}]}.
    """
    config = PLOTLY | {"scrollZoom": zoom} | (_camera(picture) if picture else {})
    if select is None:
        st.plotly_chart(figure, key=key, config=config, alt=help or None)
        return selection_of(key)

    def changed() -> None:
        if chosen is not None:
            chosen(selection_of(key))

    st.plotly_chart(figure, key=key, config=config, on_select=changed, selection_mode=select, alt=help or None)
    return selection_of(key)


def _camera(name: str) -> dict[str, Any]:
    """Plotly's buttons that the script presses, and that the style sheet hides."""
    image = {"format": "png", "scale": 3, "filename": name}
    return {"displayModeBar": True, "modeBarButtons": [list(PRESSED)], "toImageButtonOptions": image}


def selection_of(key: str) -> dict[str, Any]:
    """The selection in the chart or table with this key; empty lists when nothing is selected."""
    nothing: dict[str, Any] = {"points": [], "box": [], "lasso": [], "rows": []}
    state = st.session_state.get(key)
    return nothing | dict(state["selection"] or {}) if state else nothing
