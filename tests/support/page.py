"""A page as Streamlit runs it without a browser: through the navigation, at an address; its words and its links."""

from __future__ import annotations

import html
import re
from collections.abc import Callable
from pathlib import Path
from typing import Any

from streamlit.testing.v1 import AppTest

from tests.support import ROOT

NAVIGATION = ROOT / "pages" / "navigation.py"
Open = Callable[..., AppTest]
"""Opens a page: the name of its file, then the parameters of its address."""
UseData = Callable[[Path], None]
"""Chooses the data folder of the pages."""
LINE = re.compile(r"^\*\*(.*)\*\*( :gray\[[^\]]*\])*$")
"""The label of a line of a list: its name, then its numbers."""


def page_of(file: str, params: dict[str, object]) -> AppTest:
    """The page `file`, drawn with `params` in its address; it must not have raised."""
    app = AppTest.from_file(str(NAVIGATION), default_timeout=60)
    for name, value in params.items():
        app.query_params[name] = str(value)
    app.switch_page(file).run()
    assert not app.exception
    return app


def _main(block: Any) -> Any:
    return block.main if isinstance(block, AppTest) else block


def bodies(block: Any) -> list[str]:
    """The HTML of a page (or of its sidebar), piece by piece, without style sheets."""
    return [element.proto.body for element in _main(block).get("html") if "<style>" not in element.proto.body]


def text_of(markup: str, gap: str = "") -> str:
    """The text of some HTML, with `gap` for each tag."""
    return html.unescape(re.sub(r"<[^>]+>", gap, markup))


def words(block: Any) -> str:
    """All that a page draws as HTML, without its tags, one space between words."""
    return " ".join(" ".join(text_of(body, " ") for body in bodies(block)).split())


def links(block: Any, page: str = "") -> list[str]:
    """The labels of the links to `page` (or to all pages), as they are read."""
    return [re.sub(r"\\(.)", r"\1", link.proto.label) for link in _links(block, page)]


def names(block: Any, page: str = "") -> list[str]:
    """The labels of the same links, without the numbers at the end of a line of a list."""
    return [LINE.sub(r"\1", label) for label in links(block, page)]


def addresses(block: Any, page: str = "") -> list[str]:
    """The parameters of the same links."""
    return [link.proto.query_string for link in _links(block, page)]


def _links(block: Any, page: str) -> list[Any]:
    return [link for link in _main(block).get("page_link") if link.proto.page.startswith(page)]


def param(app: AppTest, name: str) -> str | None:
    """The value of a parameter of the address as the page has left it, or None."""
    value = app.query_params.get(name)
    return value[0] if isinstance(value, list) else value
