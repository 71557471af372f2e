"""Texts as a language model is shown them: whole, or the part around what matters in them."""

from __future__ import annotations

from typing import NamedTuple

ELLIPSIS = "…"
PART_OF_WORD = 20
"""Characters that are given up at most so that a shortened text begins and ends with whole words."""


class ShownText(NamedTuple):
    """A text and the place in it that is shown whatever happens."""

    text: str
    focus: int = 0
    """The character around which it is shortened: its strongest word, or the beginning."""


def shorten(shown: ShownText, characters: int) -> ShownText:
    """Return at most `characters` of a text around its focus, with "…" where something is left out."""
    text, focus = shown
    if len(text) <= characters:
        return shown
    start = min(max(focus - characters // 2, 0), len(text) - characters)
    start, end = _after_space(text, start, focus), _before_space(text, start + characters, focus)
    start, end = _whole_marks(text, start, end)
    before, after = ELLIPSIS if start else "", ELLIPSIS if end < len(text) else ""
    return ShownText(f"{before}{text[start:end]}{after}", max(focus - start + len(before), 0))


def _after_space(text: str, start: int, focus: int) -> int:
    """The beginning of the first word behind `start`, where one begins before the focus."""
    if start == 0:
        return 0
    space = text.find(" ", start, min(start + PART_OF_WORD, focus))
    return space + 1 if space >= 0 else start


def _before_space(text: str, end: int, focus: int) -> int:
    """The end of the last word before `end`, where one ends behind the focus."""
    if end >= len(text):
        return len(text)
    space = text.rfind(" ", max(end - PART_OF_WORD, focus + 1), end)
    return space if space >= 0 else end


def _whole_marks(text: str, start: int, end: int) -> tuple[int, int]:
    """The same part without a mark that was cut in two."""
    opened, closed = text.find("«", start, end), text.find("»", start, end)
    if closed >= 0 and (opened < 0 or closed < opened):
        start = closed + 1
    opened, closed = text.rfind("«", start, end), text.rfind("»", start, end)
    return start, opened if opened > closed else end
