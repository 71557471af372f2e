"""How texts write a word: HIV and QCD in capitals, galaxies in small letters although sentences begin with Galaxies."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable

from featurelib.language.segmentation import word_spans

SMALL = 0.2
"""A word is written in small letters where so many of its occurrences are; titles write many words with capitals."""
ENDS = ".!?:"
"""After one of these signs a word may have a capital because a sentence begins."""


class Spelling:
    """The usual written form of every word of some texts."""

    def __init__(self, texts: Iterable[str]) -> None:
        """Count the forms of each word; those at the beginning of a sentence only where there are no others."""
        inside: Counter[str] = Counter()
        first: Counter[str] = Counter()
        for text in texts:
            last = 0
            for start, end in word_spans(text):
                gap = text[last:start]
                begins = not last or any(sign in ENDS for sign in gap)
                (first if begins else inside)[text[start:end]] += 1
                last = end
        known = {form.lower() for form in inside}
        only_first = Counter({form: n for form, n in first.items() if form.lower() not in known})
        self._forms = _usual(inside) | _usual(only_first)

    def __call__(self, phrase: str) -> str:
        """Return a lower-cased phrase with each word as the texts write it; unknown words stay."""
        written, last = "", 0
        for start, end in word_spans(phrase):
            word = phrase[start:end]
            written += phrase[last:start] + self._forms.get(word, word)
            last = end
        return written + phrase[last:]


def _usual(counts: Counter[str]) -> dict[str, str]:
    """The usual form of each word by its lower-cased form, only where it differs from that."""
    totals: Counter[str] = Counter()
    best: dict[str, tuple[int, str]] = {}
    for form, n in counts.items():
        lower = form.lower()
        totals[lower] += n
        if form != lower:
            best[lower] = max(best.get(lower, (0, "")), (n, form))
    return {lower: form for lower, (_, form) in best.items() if counts[lower] < SMALL * totals[lower]}
