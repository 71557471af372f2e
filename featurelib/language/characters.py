"""Classes of characters that Python's regular expressions do not have, as text to stand inside [ ]."""

from __future__ import annotations

import functools
import re
import unicodedata
from collections.abc import Iterable, Iterator

UNSPACED_RANGES = (
    *((0x0E00, 0x0EFF), (0x1000, 0x109F), (0x1780, 0x17FF), (0x2E80, 0x2FFF), (0x3005, 0x3007), (0x3031, 0x30FF)),
    *((0x31F0, 0x31FF), (0x3400, 0x4DBF), (0x4E00, 0x9FFF), (0xA9E0, 0xA9FF), (0xAA60, 0xAA7F), (0xF900, 0xFAFF)),
    *((0xFF66, 0xFF9F), (0x1AFF0, 0x1B16F), (0x20000, 0x3FFFF)),
)
"""Scripts that write no spaces between words: Thai, Lao, Burmese, Khmer, Chinese, Japanese (Unicode's blocks)."""
LAST_MARK = 0x1FFFF
"""Behind it there are only variants of Chinese characters, and selectors of variants that no search needs."""
JOINERS = (0x200C, 0x200D)


def _class(ranges: Iterable[tuple[int, int]]) -> str:
    return "".join(f"\\U{first:08x}-\\U{last:08x}" for first, last in ranges)


UNSPACED = _class(UNSPACED_RANGES)
HAS_UNSPACED = re.compile(f"[{UNSPACED}]")
"""Finds a character of a script without spaces."""


DIVIDER = "\u2063"
"""Unicode's invisible separator: put between the letters of scripts without spaces, so that each is indexed."""
_SELECTORS = re.compile("[\ufe00-\ufe0f\u20e3]")
_BETWEEN_UNSPACED = re.compile(rf"(?<=[{UNSPACED}])(?=\w)|(?<=\w)(?=[{UNSPACED}])(?=\w)")


def divided(text: str) -> str:
    """Return a text with DIVIDER around each letter of a script without spaces that stands beside another letter.

    The selectors that give the character before them another look (❤️, 1️⃣) are left out: no word differs by them.
    """
    return text if text.isascii() else _BETWEEN_UNSPACED.sub(DIVIDER, _SELECTORS.sub("", text))


@functools.cache
def marks() -> str:
    """Return the class of marks, such as the vowel signs of Hindi and Thai: they are part of words."""
    return _class(_mark_ranges())


def has_python_words(text: str) -> bool:
    """Whether Python's patterns find whole words in a text: it holds no marks and no script without spaces."""
    return text.isascii() or not (HAS_UNSPACED.search(text) or _has_marks().search(text))


@functools.cache
def _has_marks() -> re.Pattern[str]:
    return re.compile(f"[{marks()}]")


def _mark_ranges() -> Iterator[tuple[int, int]]:
    first = None
    for code in range(0x300, LAST_MARK + 2):
        is_mark = code <= LAST_MARK and (unicodedata.category(chr(code))[0] == "M" or code in JOINERS)
        if is_mark and first is None:
            first = code
        elif not is_mark and first is not None:
            yield first, code - 1
            first = None
