"""Which legacy encoding some bytes are in: chardet names candidates, the places of their characters decide among them.

chardet's confidences of close relatives (cp437, cp850, cp1252, Mac Roman) differ by less than chance on a few hundred
texts. Decoded with a wrong one, curly quotes turn into letters inside words and letters into symbols, so the candidate
whose characters stand where they belong wins. Where two are as good, there is no answer: the reader has to say.
"""

from __future__ import annotations

import codecs
import re
import unicodedata
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from functools import lru_cache
from itertools import islice

SAMPLE = 200_000
"""Bytes that are looked at: as many as chardet itself reads."""
CLOSE = 0.005
"""Candidates whose confidence is less than this below the best one's are told apart by their characters."""
DISTINCT = 0.0005
"""The difference in confidence on the words beyond ASCII from which one of two candidates is the likelier one."""
FEWEST = 6
"""Characters beyond ASCII that a confidence needs to mean something; fewer can only speak for a Latin encoding."""
USUAL = "cp1252"
"""The encoding that a file of nearly nothing but ASCII may always be in."""
LISTED = 3
NOT_WRITTEN = (
    "hp-roman8",
    "cp1006",
    "kz1048",
    "ptcp154",
    "cp273",
    "cp500",
    "cp037",
    "cp1140",
    "cp424",
    "cp875",
    "cp1026",
)
"""Encodings of mainframes and printers, in which no file of texts is expected."""
EAST_ASIAN = ("gb18030", "cp932", "euc-jp", "cp949", "big5hkscs", "johab")
"""Encodings that also hold Latin and Cyrillic texts, which chardet does not expect in them."""
MULTIBYTE = ("gb", "big5", "euc", "shift", "cp932", "cp949", "johab", "iso2022", "hz")
ODD_SHARE = 0.2
"""The share of odd characters from which the closest candidates are not to be believed."""
SUPERSETS = (("cp932", "shift_jis"), ("euc_kr", "cp949"))
"""Pairs that differ in a few signs only, the one that is written today first."""
_ISO_2022 = re.compile(rb"\x1b[$(]")
_HZ = re.compile(rb"~\{([\x21-\x7e]{2})+~\}")
_WORD = re.compile(rb'[^\s,;"]*[\x80-\xff][^\s,;"]*')
_LETTERS = re.compile(r"[^\W\d_]+")
_OPENING = frozenset("‘“„‚«‹")
_CLOSING = frozenset("’”»›“‘")
_DASHES = frozenset("–—")


@dataclass(frozen=True)
class Detection:
    """What was found out about some bytes."""

    codec: str | None
    """The name of a codec of Python; None where it is not certain."""
    candidates: tuple[str, ...]
    """The likeliest codecs, the best first; at most three."""
    n_characters: int
    """Characters beyond ASCII that were looked at."""
    examples: tuple[str, ...] = ()
    """Up to three words as the codec reads them."""


@dataclass(frozen=True)
class _Candidate:
    name: str
    """As chardet calls it."""
    codec: str
    """As Python calls it."""
    confidence: float
    text: str


def is_escaped(sample: bytes) -> bool:
    """Whether bytes that are ASCII may be ISO-2022 or HZ, which write other scripts in ASCII behind escapes."""
    return bool(_ISO_2022.search(sample) or _HZ.search(sample))


def detect_codec(lines: Iterable[bytes]) -> Detection:
    """Return the codec of lines (those with bytes beyond ASCII, or escapes, are enough)."""
    sample = b"\n".join(_first(lines))
    candidates = list(_candidates(sample))
    best, close = _closest(candidates)
    text = close[0].text if close else ""
    n_characters = _count_beyond_ascii(text)
    if best and n_characters < FEWEST and not _is_latin_text(best.text):
        best = None
    return Detection(
        codec=best.codec if best else None,
        candidates=tuple(dict.fromkeys(candidate.codec for candidate in close))[:LISTED],
        n_characters=n_characters,
        examples=_examples(text) if best else (),
    )


def _first(lines: Iterable[bytes]) -> Iterator[bytes]:
    length = 0
    for line in lines:
        yield line.rstrip(b"\r\n")
        length += len(line)
        if length > SAMPLE:
            return


def _candidates(sample: bytes) -> Iterator[_Candidate]:
    """Every candidate that reads the sample, with chardet's confidence, the likeliest first."""
    import chardet

    known: set[str] = set()
    guesses = chardet.detect_all(sample[:SAMPLE], exclude_encodings=NOT_WRITTEN, compat_names=False)
    best = max((guess["confidence"] for guess in guesses), default=0.0)
    likely = [(str(guess["encoding"]), guess["confidence"]) for guess in guesses if guess["encoding"]]
    if sum(byte > 0x7F for byte in sample) < FEWEST and not is_escaped(sample):
        likely = [(USUAL, best + CLOSE / 2), *likely]
    elif best < 0.9 and not str(guesses[0]["encoding"]).startswith(MULTIBYTE):
        likely += [(codec, best - CLOSE / 2) for codec in EAST_ASIAN]
    for name, confidence in sorted(likely, key=lambda pair: -pair[1]):
        codec = codecs.lookup(name).name
        text = _decoded(sample, codec)
        if text is not None and codec not in known:
            known.add(codec)
            yield _Candidate(name, codec, confidence, text)


def _decoded(raw: bytes, codec: str) -> str | None:
    try:
        return raw.decode(codec)
    except UnicodeDecodeError:
        return None


def _closest(candidates: list[_Candidate]) -> tuple[_Candidate | None, list[_Candidate]]:
    """The one candidate that is best, if there is one, and the best ones in their order."""
    if not candidates:
        return None, []
    close = [candidate for candidate in candidates if candidate.confidence >= candidates[0].confidence - CLOSE]
    if min(count_odd(candidate.text) / _count_beyond_ascii(candidate.text) for candidate in close) > ODD_SHARE:
        close = candidates
    different = list({candidate.text: candidate for candidate in reversed(close)}.values())[::-1]
    oddness = {candidate.codec: count_odd(candidate.text) for candidate in different}
    ranked = sorted(different, key=lambda candidate: oddness[candidate.codec])
    tied = [candidate for candidate in ranked if oddness[candidate.codec] == oddness[ranked[0].codec]]
    rest = [candidate for candidate in [*ranked, *candidates] if candidate not in tied]
    if len(tied) == 1:
        return tied[0], tied + rest
    chosen, tied = _by_words(tied)
    return chosen, tied + rest


def _by_words(tied: list[_Candidate]) -> tuple[_Candidate | None, list[_Candidate]]:
    """Choose by chardet's confidence on the words beyond ASCII alone, where their language shows most."""
    import chardet

    by_codec = {candidate.codec: candidate for candidate in tied}
    for newer, older in SUPERSETS:
        if set(by_codec) == {newer, older}:
            return by_codec[newer], tied
    raw = tied[0].text.encode(tied[0].codec)
    words = b" ".join(_WORD.findall(raw))[:SAMPLE] or raw
    guesses = chardet.detect_all(
        words, ignore_threshold=True, include_encodings=[each.name for each in tied], no_match_encoding=tied[0].name
    )
    confidence = {codecs.lookup(str(guess["encoding"])).name: guess["confidence"] for guess in guesses}
    ranked = sorted(tied, key=lambda candidate: -confidence.get(candidate.codec, 0.0))
    lead = confidence.get(ranked[0].codec, 0.0) - confidence.get(ranked[1].codec, 0.0)
    enough = _count_beyond_ascii(tied[0].text) >= FEWEST
    return (ranked[0] if lead >= DISTINCT and enough else None), ranked


def _count_beyond_ascii(text: str) -> int:
    return sum(not character.isascii() for character in text) or 1


def count_odd(text: str) -> float:
    """Count the characters beyond ASCII that stand where they do not belong, less the quotes and dashes that do."""
    padded = f" {text} "
    return sum(
        _oddness(padded[place - 1], character, padded[place + 1])
        for place, character in enumerate(text, start=1)
        if not character.isascii()
    )


@lru_cache(maxsize=100_000)
def _oddness(before: str, character: str, after: str) -> float:
    """1 for a character that does not belong between its neighbours, −1 for a quote or dash that does, else 0."""
    category = unicodedata.category(character)
    if category in ("Cc", "Cn", "Co", "Cs") or character == "¤" or "\u2500" <= character <= "\u259f":
        return 1
    if character in _OPENING | _CLOSING | _DASHES | {"…"}:
        return _oddness_of_mark(before, character, after)
    if category[0] == "S" or category in ("No", "Pi", "Ps", "Po"):
        return float(_is_odd_sign(before, character, category, after))
    if category == "Lu":
        if before.islower():
            return 1
        return 0 if before.isalpha() or after.isalpha() else 0.5
    ascii_letter = any(neighbour.isascii() and neighbour.isalpha() for neighbour in (before, after))
    return float(category[0] == "L" and ascii_letter and not _is_latin(character))


def _oddness_of_mark(before: str, character: str, after: str) -> float:
    """−1 for a quote or dash in its place beside ASCII, 1 for one inside a word.

    Only beside ASCII: in Cyrillic text the marks of one encoding are the capital letters of another.
    """
    left, right = before.isalnum(), after.isalnum()
    belongs = (before + after).isascii() and (
        (character == "’" and before.isalpha())
        or (character in _DASHES and (before == after == " " or (left and right)))
        or (character in _OPENING and not left and right)
        or (character in _CLOSING and not right and (left or before in ".,!?;:"))
        or (character == "…" and not right)
    )
    return -1 if belongs else float(left and right)


def _is_odd_sign(before: str, character: str, category: str, after: str) -> bool:
    """Whether a sign stands inside a word; a number sign (½) may follow a word (m²) but not begin one."""
    if character == "·":
        return False
    if category == "Sk":
        return before.isalnum() or after.isalnum()
    if category == "No":
        return after.isalpha()
    return before.isalpha() and after.isalpha()


def _is_latin(character: str) -> bool:
    return unicodedata.name(character, "").startswith(("LATIN", "MASCULINE", "FEMININE", "MICRO"))


def _is_latin_text(text: str) -> bool:
    return all(_is_latin(letter) for letter in text if letter.isalpha() and not letter.isascii())


def _examples(text: str) -> tuple[str, ...]:
    """The first three distinct words that hold a letter beyond ASCII, cut to twelve characters."""
    telling = (word[:12] for word in _LETTERS.findall(text) if not word.isascii())
    return tuple(dict.fromkeys(islice(telling, 1000)))[:LISTED]
