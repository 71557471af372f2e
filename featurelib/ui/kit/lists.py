"""Lists of links with numbers and bars at their ends, and the histogram of a feature's activations.

A list is one HTML element with real links in it: each element of Streamlit's costs half a millisecond of the server.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from featurelib.ui.kit.address import address
from featurelib.ui.kit.anchors import link
from featurelib.ui.kit.elements import Html, count, html, number, plain, tag

BAR = (
    "The bar is as long as the activation, that of the feature most active on this text being full. "
    "Density is the share of the texts of the corpus on which the feature fires."
)

DOT = " · "
EMPTY = "(empty)"


@dataclass(frozen=True)
class Line:
    """One link of a list, with numbers at its right end."""

    label: str
    """The words of the link; any text."""
    where: Mapping[str, object]
    """The parameters of the page; the run is added."""
    values: tuple[str, ...] = ()
    """The numbers."""
    share: float | None = None
    """The length of the bar under it, 0 to 1; None draws none."""
    page: str = "feature.py"
    """The page that it leads to."""
    strong: bool = False
    """Whether it is the one that is shown in full beside the list."""


def feature_line(feature_id: int, label: str, *values: str, share: float | None = None) -> Line:
    """A line that leads to a feature."""
    return Line(label, {"feature": feature_id}, values, share)


def line_list(
    key: str, lines: Sequence[Line], *, title: str = "", note: str = "", help: str = "", names: Sequence[str] = ()
) -> None:
    """Links below each other, under a head of `title` and the `names` of their numbers; bars where a share is."""
    columns = max((len(line.values) for line in lines), default=0)
    pieces = []
    if title or names:
        head = tag(
            "h3",
            tag("span", title, cls="term" if help else "", help=help),
            tag("span", note, cls="note") if note else "",
        )
        pieces.append(tag("div", head, *(tag("span", name, cls="name") for name in names), cls="read-names"))
    pieces += [_line(line) for line in lines]
    html(tag("div", *pieces, cls=f"read-lines read-lines{columns} read-lines-{key}"))


def _line(line: Line) -> Html:
    bar = "" if line.share is None else f"--share:{100 * max(0.0, min(1.0, line.share)):.1f}%"
    values = (tag("span", value, cls="value") for value in line.values)
    inner = "".join([tag("span", line.label or EMPTY, cls="label"), *values])
    return tag(
        "a",
        Html(inner),
        cls="in-app strong" if line.strong else "in-app",
        style=bar,
        href=address(line.page, line.where),
    )


def inline_list(key: str, lines: Sequence[Line], *, before: str = "") -> None:
    """Links one after the other on one line, after the words `before`."""
    html(tag("div", inline(lines, before=before), cls=f"read-inline bare read-inline-{key}"))


def inline(lines: Sequence[Line], *, before: str = "", shorten: bool = False) -> Html:
    """Links one after the other, after the words `before`; see `short` for `shorten`."""
    links = [_short_link(line) if shorten else link(line.page, line.label or EMPTY, line.where) for line in lines]
    return Html((tag("span", before, cls="muted") if before else "") + "".join(links))


def _short_link(line: Line) -> Html:
    """A link with the first words of its label, and all of it on hover."""
    words = short(line.label)
    whole = {"title": plain(line.label)} if words != line.label else {}
    return tag("a", words or EMPTY, cls="in-app", href=address(line.page, line.where), **whole)


def short(label: str, longest: int = 28) -> str:
    """The first words of a label, as many of them as `longest` characters hold, at least one."""
    beginning, *others = label.split(DOT)
    for words in others:
        if len(beginning) + len(DOT) + len(words) > longest:
            break
        beginning += DOT + words
    return beginning


def activation_histogram(rows: Sequence[Mapping[str, Any]], threshold: float | None) -> None:
    """Bars of texts by activation; rows of left, right, n_texts. The axis names threshold and maximum."""
    if not rows:
        return
    highest = max((row["n_texts"] for row in rows), default=0)
    first = next((place for place, row in enumerate(rows) if row["n_texts"]), 0)
    if threshold is not None:
        first = min(first, next((place for place, row in enumerate(rows) if row["right"] > threshold), 0))
    bars = "".join(
        f'<i style="height:{100 * row["n_texts"] / highest:.1f}%" '
        f'title="{number(row["left"])} to {number(row["right"])}: {count(row["n_texts"])} texts"></i>'
        for row in rows[first:]
        if highest
    )
    left, right = rows[first]["left"], rows[-1]["right"]
    begin = f"threshold {number(threshold)}" if threshold is not None and threshold > 0 else number(left)
    axis = tag(
        "div", tag("span", begin), tag("span", number((left + right) / 2)), tag("span", number(right)), cls="read-axis"
    )
    html(Html(f'<div class="read-histogram">{bars}</div>'), axis)
