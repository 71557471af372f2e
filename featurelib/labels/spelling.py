"""How texts write a word: HIV and QCD in capitals, galaxies in small letters although sentences begin with Galaxies.

A word beside a name may be written otherwise than by itself: way and new, but Milky Way and New York. A name in
capitals that nearly always has a bracket keeps it, such as U(1); where what stands in it varies it is SU(N), if texts
write that.
"""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Iterable

from featurelib.language.segmentation import word_spans

SMALL = 0.2
"""A word is written in small letters where so many of its occurrences are; titles write many words with capitals."""
ENDS = ".!?:"
"""After one of these signs a word may have a capital because a sentence begins."""
LONGEST_BEFORE_BRACKET = 3
"""Letters of a word that may have a bracket: groups and rings have short names, "function(s)" is none of them."""
LEAST_BRACKETED = 5
BRACKETED = 0.6
"""The share of a word's occurrences that have a bracket, at least, and of these the share that has the same in it."""
_BRACKET = re.compile(r"\((?!s\))([^\W_]{1,2})\)")


class Spelling:
    """The usual written form of every word of some texts."""

    def __init__(self, texts: Iterable[str]) -> None:
        """Count the forms of each word; those at the beginning of a sentence only where there are no others."""
        inside: Counter[str] = Counter()
        first: Counter[str] = Counter()
        after_name: Counter[tuple[str, str]] = Counter()
        before_name: Counter[tuple[str, str]] = Counter()
        brackets: Counter[tuple[str, str]] = Counter()
        for text in texts:
            last, before = 0, ""
            for start, end in word_spans(text):
                word, gap = text[start:end], text[last:start]
                begins = not last or any(sign in ENDS for sign in gap)
                (first if begins else inside)[word] += 1
                if before[:1].isupper() and gap == " ":
                    after_name[before.lower(), word] += 1
                if word[:1].isupper() and gap == " ":
                    before_name[word.lower(), before] += 1
                short = end - start <= LONGEST_BEFORE_BRACKET and word.isalpha()
                if short and (bracket := _BRACKET.match(text, end)):
                    brackets[word.lower(), bracket[1]] += 1
                last, before = end, word
        known = {form.lower() for form in inside}
        only_first = Counter({form: n for form, n in first.items() if form.lower() not in known})
        self._forms = _usual(inside) | _usual(only_first)
        self._after_name, self._before_name = _usual_beside(after_name), _usual_beside(before_name)
        self._brackets = _usual_brackets(brackets, _by_lower(inside) + _by_lower(first), self._forms)

    def __call__(self, phrase: str) -> str:
        """Return a lower-cased phrase with each word as the texts write it; unknown words stay."""
        spans = list(word_spans(phrase))
        words = [phrase[start:end] for start, end in spans]
        forms = [self._forms.get(word, word) for word in words]
        for place in range(1, len(words)):
            if phrase[spans[place - 1][1] : spans[place][0]] == " ":
                if forms[place][:1].isupper():
                    forms[place - 1] = self._before_name.get((words[place], words[place - 1]), forms[place - 1])
                if forms[place - 1][:1].isupper():
                    forms[place] = self._after_name.get((words[place - 1], words[place]), forms[place])
        written, last = "", 0
        for (start, end), word, form in zip(spans, words, forms, strict=True):
            written += phrase[last:start] + form + self._brackets.get(word, "")
            last = end
        return written + phrase[last:]


def _by_lower(counts: Counter[str]) -> Counter[str]:
    totals: Counter[str] = Counter()
    for form, n in counts.items():
        totals[form.lower()] += n
    return totals


def _usual_beside(counts: Counter[tuple[str, str]]) -> dict[tuple[str, str], str]:
    """The form of each word beside each name, where nearly all its occurrences there, and at least two, have it."""
    totals: Counter[tuple[str, str]] = Counter()
    for (name, form), n in counts.items():
        totals[name, form.lower()] += n
    return {
        (name, form.lower()): form
        for (name, form), n in counts.items()
        if n >= 2 and n > (1 - SMALL) * totals[name, form.lower()]
    }


def _usual_brackets(counts: Counter[tuple[str, str]], totals: Counter[str], forms: dict[str, str]) -> dict[str, str]:
    """The bracket of each word in capitals that nearly always has one."""
    with_bracket: Counter[str] = Counter()
    for (word, _), n in counts.items():
        with_bracket[word] += n
    known = {word for word, n in with_bracket.items() if n >= max(LEAST_BRACKETED, BRACKETED * totals[word])}
    usual = {}
    for word in known:
        own = {inner: n for (other, inner), n in counts.items() if other == word}
        inner = max(own, key=lambda inner: (own[inner], inner))
        if forms.get(word, word).isupper() and (own[inner] >= BRACKETED * with_bracket[word] or "N" in own):
            usual[word] = f"({inner})" if own[inner] >= BRACKETED * with_bracket[word] else "(N)"
    return usual


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
