"""Links inside HTML: many of them in one element, such as a table, and none of them loads the page anew.

A plain link in HTML would load the whole application again. The project's script hands a click on it to Streamlit's
own handling of the Back button; further parts draw names and picked points over maps and save them as pictures, follow
the keys ← and → and copy links. Streamlit runs it (st.html with unsafe_allow_javascript), and the server's content
policy admits it by its hash (`guard`) and no other.
"""

from __future__ import annotations

from collections.abc import Mapping
from functools import cache
from pathlib import Path
from typing import Any

import streamlit as st

from featurelib.ui.kit.address import address
from featurelib.ui.kit.elements import Html, html, tag

SCRIPTS = ("anchors.js", "maps.js", "map_colours.js", "map_names.js", "map_picks.js", "map_picture.js", "moves.js")


@cache
def script_element() -> str:
    """Return the script as HTML, for the page and for the hash in the server's policy.

    Every page sends it, so indentation and lines of comments are left out.
    """
    folder = Path(__file__).with_name("js")
    lines = [line.strip() for name in SCRIPTS for line in (folder / name).read_text(encoding="utf-8").splitlines()]
    script = "\n".join(line for line in lines if line and not line.startswith("//"))
    return f"<script>{script}\n</script>"


def follow_links() -> None:
    """Let links in HTML change the page; the navigation does so once on every page."""
    st.html(script_element(), unsafe_allow_javascript=True)


def link(page: str, label: object, values: Mapping[str, object]) -> Html:
    """A link to a page, with the run and `values` in its address."""
    return tag("a", label, cls="in-app", href=address(page, values))


def page_link(page: str, label: object, *, width: Any = "content", **values: object) -> None:
    """Draw one link to a page with the run and `values` in its address."""
    html(tag("div", link(page, label, values), cls="onward"), width=width)


def page_links(*links: Html, before: str = "") -> None:
    """Draw links one after the other, in one element, after the words `before`."""
    html(tag("div", tag("span", before, cls="muted") if before else "", *links, cls="onward"))


def feature_link(feature_id: int, label: object, *, width: Any = "content") -> None:
    """Draw a link to a feature."""
    page_link("feature.py", label, width=width, feature=feature_id)


def text_link(text_id: int, label: object, *, width: Any = "content") -> None:
    """Draw a link to a text."""
    page_link("text.py", label, width=width, text=text_id)
