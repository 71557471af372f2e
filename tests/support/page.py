"""A page as Streamlit runs it without a browser: through the navigation, at an address; its words and its links."""

from __future__ import annotations

import html
import re
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any
from urllib.parse import parse_qs, urlsplit

from streamlit.testing.v1 import AppTest

from tests.support import ROOT

NAVIGATION = ROOT / "pages" / "navigation.py"
Open = Callable[..., AppTest]
"""Opens a page: the name of its file, then the parameters of its address."""
UseData = Callable[[Path], None]
"""Chooses the data folder of the pages."""
ANCHOR = re.compile(r'<a (?=[^>]*class="in-app)([^>]*)>(.*?)</a>', re.DOTALL)
"""A link in HTML: its attributes, what is in it."""
LABEL = re.compile(r'<span class="label">(.*?)</span>')
VALUE = re.compile(r'<span class="value">(.*?)</span>')
"""The name in a line of a list, and each of its numbers."""


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
    """The HTML of a page (or of its sidebar), piece by piece, without style sheets and the script."""
    every = [element.proto.body for element in _main(block).get("html")]
    return [body for body in every if "<style>" not in body and not body.startswith("<script>")]


def text_of(markup: str, gap: str = "") -> str:
    """The text of some HTML, with `gap` for each tag."""
    return html.unescape(re.sub(r"<[^>]+>", gap, markup))


def words(block: Any) -> str:
    """All that a page draws as HTML, without its tags, one space between words."""
    return " ".join(" ".join(text_of(body, " ") for body in bodies(block)).split())


@dataclass(frozen=True)
class Shown:
    """A table as it is read on a page."""

    heads: list[str]
    """The names of its columns."""
    rows: list[dict[str, str]]
    """The cells of each row by head."""
    opens: list[str]
    """The address that each row leads to; empty where rows lead nowhere."""
    sorts: dict[str, str]
    """The address that each head leads to."""
    order: dict[str, str]
    """The heads that the table is sorted by: ascending or descending."""

    def numbers(self, head: str) -> list[float]:
        """The numbers of a column, without their signs."""
        return [float(row[head].replace(",", "").replace(" %", "")) for row in self.rows]

    def opened(self, name: str) -> list[int]:
        """A parameter of the addresses that the rows lead to."""
        return [int(parse_qs(urlsplit(address).query)[name][0]) for address in self.opens]


def table(block: Any) -> Shown:
    """The one table of a page; AssertionError when there is none, or another."""
    (markup,) = [body for body in bodies(block) if "<table>" in body]
    head, *lines = re.findall(r"<tr.*?</tr>", markup)
    cells = re.findall(r"<th(.*?)>(.*?)</th>", head)
    heads = [re.sub("[▾▴]$", "", text_of(inner)) for _, inner in cells]
    sorts = {name: html.unescape(address) for name, (_, inner) in zip(heads, cells, strict=True)
             for address in re.findall(r'href="([^"]*)"', inner)}  # fmt: skip
    order = {name: word for name, (attributes, _) in zip(heads, cells, strict=True)
             for word in re.findall(r'aria-sort="(\w+ending)"', attributes)}  # fmt: skip
    rows = [dict(zip(heads, map(text_of, re.findall(r"<td.*?>(.*?)</td>", line)), strict=True)) for line in lines]
    opens = [html.unescape(address) for line in lines for address in re.findall(r'href="([^"]*)"', line)]
    return Shown(heads, rows, opens, sorts, order)


@dataclass(frozen=True)
class Link:
    """A link as it is read on a page."""

    page: str
    """The name of the page that it leads to, such as feature; empty for the overview."""
    query: str
    """The parameters of its address."""
    label: str
    """Its words, with the numbers of its line."""
    name: str
    """Its words alone."""
    values: tuple[str, ...] = ()
    """The numbers of its line."""
    is_line: bool = False
    """Whether it is a line of a list."""


def cards(block: Any) -> list[str]:
    """The HTML of each text of the page's lists, with its links."""
    return [card for body in bodies(block) for card in body.split('<div class="card')[1:]]


def lines(block: Any, page: str = "") -> list[tuple[str, ...]]:
    """The lines of the page's lists that lead to `page` (or to any): name, then the numbers."""
    return [(link.name, *link.values) for link in _links(block, page) if link.is_line]


def _links(block: Any, page: str) -> list[Link]:
    """The links to a page outside tables, or to all pages, in the order in which they stand."""
    found = []
    for body in bodies(block):
        for attributes, inner in ANCHOR.findall(re.sub(r"<table.*?</table>", "", body, flags=re.DOTALL)):
            (target,) = re.findall(r'href="([^"]*)"', attributes)
            place, _, query = html.unescape(target).partition("?")
            label = LABEL.search(inner)
            name = text_of(label[1] if label else inner)
            values = tuple(text_of(value) for value in VALUE.findall(inner))
            words_of_it = " ".join(text_of(inner, " ").split())
            found.append(Link(place.removeprefix("./"), query, words_of_it, name, values, bool(label)))
    return [link for link in found if link.page.startswith(page)]


def links(block: Any, page: str = "") -> list[str]:
    """The labels of the links to `page` (or to all pages), as they are read."""
    return [link.label for link in _links(block, page)]


def names(block: Any, page: str = "") -> list[str]:
    """The labels of the same links, without the numbers at the end of a line of a list."""
    return [link.name for link in _links(block, page)]


def addresses(block: Any, page: str = "") -> list[str]:
    """The parameters of the same links."""
    return [link.query for link in _links(block, page)]


def param(app: AppTest, name: str) -> str | None:
    """The value of a parameter of the address as the page has left it, or None."""
    value = app.query_params.get(name)
    return value[0] if isinstance(value, list) else value
