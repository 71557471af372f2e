"""A text → its words, in every script; ICU is imported here only.

A word is a run of letters, digits and marks, with hyphens and apostrophes inside it. A run in a script without spaces
(Chinese, Japanese, Thai, Lao, Khmer, Burmese) is divided by the dictionaries of ICU, the library that browsers and
word processors divide words with; one library covers them all, and nothing is downloaded.
"""

from __future__ import annotations

import functools
import re
from collections.abc import Iterator, Sequence

from featurelib.language.characters import HAS_UNSPACED, has_python_words, marks
from featurelib.schema import Refusal

_JOINT = re.compile("[-'’]")
PYTHON_WORD = re.compile(r"[^\W_]+(?:[-'’][^\W_]+)*")


@functools.cache
def _word() -> re.Pattern[str]:
    letters = rf"(?:[^\W_][{marks()}]*)+"
    return re.compile(rf"{letters}(?:[-'’]{letters})*")


def word_spans(text: str) -> Iterator[tuple[int, int]]:
    """Yield the start and end of each word of `text`, in characters; see above what a word is."""
    if has_python_words(text):
        yield from (match.span() for match in PYTHON_WORD.finditer(text))
        return
    for match in _word().finditer(text):
        if HAS_UNSPACED.search(match.group()):
            yield from _divided(match.group(), match.start())
        else:
            yield match.span()


def words(text: str) -> list[str]:
    """Return the words of `text` in their order."""
    return [text[start:end] for start, end in word_spans(text)]


def pieces(word: str) -> list[str]:
    """Return what a word consists of between its hyphens and apostrophes: well and known, d and un."""
    return _JOINT.split(word)


def says_something(word: str) -> bool:
    """Whether a word is long enough to name something: two letters, or one of a script without spaces, such as 猫."""
    return len(word) > 1 or HAS_UNSPACED.match(word) is not None


def joined(words: Sequence[str]) -> str:
    """Return words that follow each other as a text writes them: no space between two of a script without spaces."""
    text = ""
    for word in words:
        together = text and HAS_UNSPACED.fullmatch(text[-1]) and HAS_UNSPACED.fullmatch(word[0])
        text += word if together or not text else f" {word}"
    return text


def _divided(run: str, offset: int) -> Iterator[tuple[int, int]]:
    for start, end in _breaker()(run, "root").segments():
        if any(character.isalnum() for character in run[start:end]):
            yield offset + start, offset + end


@functools.cache
def _breaker() -> type:
    try:
        from icu4py.breakers import WordBreaker
    except ImportError as error:
        raise Refusal(
            "these texts are in a script without spaces between words, and dividing it needs the package icu4py; "
            "install it with: pip install icu4py"
        ) from error
    breaker: type = WordBreaker
    return breaker
