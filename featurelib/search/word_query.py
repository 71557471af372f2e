"""A typed query → an FTS5 expression."""

from __future__ import annotations

import re
import unicodedata
from dataclasses import dataclass

from featurelib.language.characters import divided

MARK_START, MARK_END = "\ue000", "\ue001"
"""Characters before and after a match in a snippet; they have no meaning and are removed from texts first."""
PLAIN_WORD = re.compile("[a-z0-9]+")
"""A word that FTS5's tokenizer leaves as it is."""
QUERY_LENGTH = 1000
QUERY_TERMS = 64

TERM = re.compile(r'(?P<minus>(?<!\S)-)?(?:"(?P<phrase>[^"]*)"?|(?P<word>[^\s"]+))(?P<star>\*)?')


@dataclass(frozen=True)
class WordQuery:
    """A typed query, as FTS5 reads it."""

    match: str
    """The FTS5 expression; empty when there is no word to search for."""
    required: tuple[str, ...]
    """The words and phrases that must all occur, each as it was typed."""
    note: str
    """A sentence for the reader when there is no word to search for, or when some were left out; else empty."""
    only_word: str = ""
    """The one word that is searched for, in lower case, where it is plain and nothing else is asked."""


def read_query(typed: str) -> WordQuery:
    """Return a query of words (all must occur), "phrases", prefix* and -exclusions; there are no syntax errors."""
    required: list[str] = []
    typed_terms: list[str] = []
    excluded: list[str] = []
    terms = list(TERM.finditer(typed[:QUERY_LENGTH].replace("\x00", " ")))
    for term in terms[:QUERY_TERMS]:
        words = divided(term["phrase"] if term["phrase"] is not None else term["word"])
        star = "*" if term["star"] or (term["word"] or "").endswith("*") else ""
        if any(_is_token(character) for character in words):
            quoted = '"' + words.replace('"', " ") + '"' + star
            (excluded if term["minus"] else required).append(quoted)
            typed_terms += [] if term["minus"] else [term.group()]
    if not required:
        return WordQuery("", (), _why_empty(typed, bool(excluded)))
    match = "(" + " AND ".join(required) + ")" + (f" NOT ({' OR '.join(excluded)})" if excluded else "")
    left_out = len(terms) > QUERY_TERMS or len(typed) > QUERY_LENGTH
    note = f"Only the first {QUERY_TERMS} words or {QUERY_LENGTH:,} characters were looked for." if left_out else ""
    only = typed_terms[0].lower() if len(required) == 1 and not excluded else ""
    return WordQuery(match, tuple(typed_terms), note, only if PLAIN_WORD.fullmatch(only) else "")


def _why_empty(typed: str, only_excluded: bool) -> str:
    if only_excluded:
        return "There are only words to leave out; add one to look for."
    return "Type a word to look for." if not typed.strip() else "There is no letter or digit to look for."


def _is_token(character: str) -> bool:
    category = unicodedata.category(character)
    return category[0] in "LN"
