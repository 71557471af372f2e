"""The key to the colours of a map: the names of its kinds, each after a dot."""

from __future__ import annotations

from collections.abc import Sequence

from featurelib.ui.kit.elements import Html, html, tag


def colour_key(title: str, kinds: Sequence[tuple[str, str]], colours: Sequence[str], rest: str) -> None:
    """The colours by name, each with a number behind it, under a `title`; `rest` says what all other points are."""
    dots = [
        tag("span", tag("i", Html(""), style=f"background:{colour}", cls="dot"), name, tag("small", n), cls="kind")
        for (name, n), colour in zip(kinds, colours, strict=True)
    ]
    html(tag("div", tag("span", title, cls="muted"), *dots, tag("span", rest, cls="muted"), cls="kinds"))
