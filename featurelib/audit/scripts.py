"""The script that a text is written in, from the names that Unicode gives its letters."""

from __future__ import annotations

import unicodedata
from collections import Counter
from functools import lru_cache

LOOKED_AT = 10_000
"""Characters of a text that are read."""
NO_SCRIPT = "no letters"
LANGUAGE_COLUMNS = (
    *("language", "lang", "locale", "language_code", "lang_code", "iso_language", "langue", "sprache"),
    *("idioma", "lingua", "taal"),
)
"""Names, in lower case, of columns that hold the language of a text."""


def main_script(text: str) -> str:
    """Return the script of most of a text's letters, such as LATIN, CYRILLIC or CJK; ties go to the first name."""
    text = text[:LOOKED_AT]
    if text.isascii():
        return "LATIN" if any(map(str.isalpha, text)) else NO_SCRIPT
    counted: Counter[str] = Counter()
    for letter, n in Counter(text).items():
        if letter.isalpha():
            counted[_script(letter)] += n
    return min(counted, key=lambda name: (-counted[name], name)) if counted else NO_SCRIPT


@lru_cache(maxsize=100_000)
def _script(letter: str) -> str:
    """The first word of a letter's name, which is that of its script: 'GREEK SMALL LETTER ALPHA'."""
    if letter.isascii():
        return "LATIN"
    return unicodedata.name(unicodedata.normalize("NFKC", letter)[0], "UNNAMED").split()[0].partition("-")[0]


def language_column(names: list[str]) -> str | None:
    """Return the first column whose name says that it holds the language of a text; None without one."""
    known = {name.casefold(): name for name in reversed(names)}
    return next((known[name] for name in LANGUAGE_COLUMNS if name in known), None)
