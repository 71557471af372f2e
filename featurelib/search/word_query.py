"""What somebody typed → an FTS5 expression."""

from __future__ import annotations

import re
import unicodedata
from dataclasses import dataclass

MARK_START, MARK_END = "\ue000", "\ue001"
"""Around what matches in a snippet: two characters of no meaning, taken out of the text first."""
QUERY_LENGTH = 1000
QUERY_TERMS = 64

TERM = re.compile(r'(?P<minus>(?<!\S)-)?(?:"(?P<phrase>[^"]*)"?|(?P<word>[^\s"]+))(?P<star>\*)?')


@dataclass(frozen=True)
class WordQuery:
    """What somebody typed, as FTS5 reads it."""

    match: str
    """The FTS5 expression; empty when there is nothing to look for."""
    note: str
    """A sentence for the reader when there is nothing to look for, or when a part was left out; else empty."""


def read_query(typed: str) -> WordQuery:
    """Read words (all must occur), "phrases", prefix* and -exclusions; nothing that is typed is a syntax error."""
    wanted, unwanted = [], []
    terms = list(TERM.finditer(typed[:QUERY_LENGTH].replace("\x00", " ")))
    for term in terms[:QUERY_TERMS]:
        words = term["phrase"] if term["phrase"] is not None else term["word"]
        star = "*" if term["star"] or (term["word"] or "").endswith("*") else ""
        if any(_is_token(character) for character in words):
            quoted = '"' + words.replace('"', " ") + '"' + star
            (unwanted if term["minus"] else wanted).append(quoted)
    if not wanted:
        return WordQuery("", _nothing_wanted(typed, bool(unwanted)))
    match = "(" + " AND ".join(wanted) + ")" + (f" NOT ({' OR '.join(unwanted)})" if unwanted else "")
    left_out = len(terms) > QUERY_TERMS or len(typed) > QUERY_LENGTH
    note = f"Only the first {QUERY_TERMS} words or {QUERY_LENGTH:,} characters were looked for." if left_out else ""
    return WordQuery(match, note)


def _nothing_wanted(typed: str, only_unwanted: bool) -> str:
    if only_unwanted:
        return "There are only words to leave out; add one to look for."
    return "Type a word to look for." if not typed.strip() else "There is no letter or digit to look for."


def _is_token(character: str) -> bool:
    category = unicodedata.category(character)
    return category[0] in "LN" or category == "Co"
