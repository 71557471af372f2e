"""Texts → the languages that they are written in, as ISO 639 codes; py3langid is imported here only.

A guess counts where py3langid is at least 80 % sure, and a language where it holds at least 1 % of those texts: of
2,000 to 5,000 short English texts from seven corpora no other language then remained, and each of 20 languages was
recognised by itself. Each text is then given the likeliest of the languages that remain.
"""

from __future__ import annotations

import functools
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from featurelib.schema import Refusal

AUTO = "auto"
SURE = 0.8
SHARE = 0.01
LOOKED_AT = 2000
"""Characters of a text that are read."""
SAME = {"wuu": "zh", "yue": "zh"}
"""Languages that are written as another one: their stop words and dictionaries are the same."""


@dataclass(frozen=True)
class Languages:
    """The languages of a corpus."""

    shares: dict[str, float]
    """The share of the texts that are in each, the largest first; empty where no text could be told."""

    def of(self, text: str) -> str | None:
        """Return the likeliest of these languages for a text; None where there is none to choose from."""
        codes = tuple(self.shares)
        if len(codes) < 2:
            return codes[0] if codes else None
        return _guess(text, codes)[0]


def find_languages(texts: Sequence[str], asked: str = AUTO) -> Languages:
    """Find the languages of a sample of texts; `asked` is "auto", or the codes that are known, such as "zh" or "de,fr".

    Refusal for a code that is not known.
    """
    codes = tuple(sorted(_sure_languages(texts))) if asked == AUTO else read_codes(asked)
    languages = Languages(dict.fromkeys(codes, 1.0))
    counted = Counter(languages.of(text) for text in texts) if codes else Counter()
    shares = {code: counted[code] / max(len(texts), 1) for code in codes}
    return Languages(dict(sorted(shares.items(), key=lambda pair: (-pair[1], pair[0]))))


def read_codes(asked: str) -> tuple[str, ...]:
    """Return the language codes of an option such as "de,fr"; Refusal for one that is not known."""
    typed = [code.strip().lower() for code in asked.split(",") if code.strip()]
    codes = tuple(dict.fromkeys(SAME.get(code, code) for code in typed))
    known = set(_identifier(()).labels)
    unknown = [code for code in codes if code not in known]
    if unknown or not codes:
        raise Refusal(
            f"--language {asked[:40]!r} names no language that is known; give 'auto', or ISO 639 codes such as "
            "en, de, zh, ja or th, with commas between several."
        )
    return codes


def _sure_languages(texts: Sequence[str]) -> set[str]:
    guesses = (_guess(text, ()) for text in texts)
    counted = Counter(code for code, confidence in guesses if confidence >= SURE)
    return {code for code, n in counted.items() if n >= SHARE * counted.total()}


def _guess(text: str, codes: tuple[str, ...]) -> tuple[str, float]:
    code, confidence = _identifier(codes).classify(text[:LOOKED_AT])
    return SAME.get(code, code), confidence


@functools.lru_cache(maxsize=4)
def _identifier(codes: tuple[str, ...]) -> Any:
    """An identifier of these languages, or of all without codes."""
    from py3langid.langid import MODEL_FILE, LanguageIdentifier

    identifier = LanguageIdentifier.from_model_file(MODEL_FILE, norm_probs=True)
    if codes:
        identifier.set_languages(list(codes))
    return identifier
