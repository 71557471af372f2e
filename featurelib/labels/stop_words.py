"""Words that carry no meaning of their own, by language.

English has scikit-learn's list, which the thesis' keyword method uses; 57 other languages have that of the package
stopwordsiso. A language without a list has none.
"""

from __future__ import annotations

import functools
import re
from dataclasses import dataclass

from featurelib.language.segmentation import pieces

ENGLISH, JAPANESE = "en", "ja"
_SHORT_HIRAGANA = re.compile(r"[\u3041-\u309f]{1,3}")


@dataclass(frozen=True)
class StopWords:
    """The stop words of a language; `in` asks whether a word is one."""

    listed: frozenset[str]
    """The words of its list."""
    short_hiragana: bool = False
    """Whether words of up to three hiragana are stop words: particles and endings, which ICU divides from verbs."""

    def __contains__(self, word: str) -> bool:
        """Whether a word is one, or made of such words and single letters, as "d'un" and "it's" are."""
        if self.short_hiragana and _SHORT_HIRAGANA.fullmatch(word):
            return True
        parts = pieces(word)
        joined = len(parts) > 1 and all(len(part) == 1 or part in self.listed for part in parts)
        return word in self.listed or joined


@functools.cache
def stop_words(language: str | None) -> StopWords:
    """Return the stop words of a language, given by its ISO 639 code; none for a language that has no list."""
    if language == ENGLISH:
        from sklearn.feature_extraction.text import ENGLISH_STOP_WORDS

        return StopWords(frozenset(ENGLISH_STOP_WORDS))
    import stopwordsiso

    listed = stopwordsiso.stopwords(language) if language and stopwordsiso.has_lang(language) else ()
    return StopWords(frozenset(listed), language == JAPANESE)
