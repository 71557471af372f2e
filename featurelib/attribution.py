"""Attribution: how much each word of a text adds to a feature's pre-activation.

An embedding that is a sum over tokens, x = Σ_t u_t + o, goes through an encoder that is linear once the text's own
scale is known, so that z_f = Σ_t attribution_t + constant holds exactly; the attributions of tokens are added up to
words. An attribution belongs to the position of a token, whose state depends on the other words too. What happens when
a word is deleted is another question; `without_word` makes the text for that.
"""

from __future__ import annotations

import re
import unicodedata
from typing import NamedTuple, Protocol

import numpy as np

from featurelib.language.characters import UNSPACED_RANGES

QUANTUM = 2.0**-17
"""Stored attributions are multiples of this (7.6e-6); for |z| > 1, of this times the power of two at or below |z|."""


class Readout(Protocol):
    """How an SAE reads m of its features off an embedding (`featurelib.sae.encoder_view.Readout`)."""

    def linear_at(self, x: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        """Return weights and bias, float64 [d_in, m] and [m]: z of x [d_in] is x @ weights + bias."""


class TokenAttributions(NamedTuple):
    """The pre-activations of m features on one text as a sum over tokens: Σ by_token + constant."""

    by_token: np.ndarray
    """float64 [n_tokens, m]."""
    constant: np.ndarray
    """What no token adds, such as the encoder's bias, float64 [m]."""


class Words(NamedTuple):
    """The words of a text that hold at least one token."""

    starts: np.ndarray
    """int32 [n_words]: the first character."""
    ends: np.ndarray
    """int32 [n_words]: the character after the last."""
    of_token: np.ndarray
    """int32 [n_tokens]: the number of the word that a token belongs to; -1 for special tokens and the prompt's."""


class WordAttributions(NamedTuple):
    """The pre-activations of m features on one text as a sum over words: Σ by_word + special + constant."""

    by_word: np.ndarray
    """float64 [n_words, m]."""
    special: np.ndarray
    """What tokens outside words add (special tokens, the prompt's, tokens of a text without a word), float64 [m]."""
    constant: np.ndarray
    """What no token adds, float64 [m]."""

    @property
    def total(self) -> np.ndarray:
        """The sum of all, float64 [m]."""
        total: np.ndarray = self.by_word.sum(axis=0) + self.special + self.constant
        return total


def token_attributions(shares: np.ndarray, offset: np.ndarray, readout: Readout) -> TokenAttributions:
    """Return what each token adds to the pre-activations that `readout` reads off the embedding Σ shares + offset.

    shares is float32 [n_tokens, d_in], offset float32 [d_in].
    """
    weights, bias = readout.linear_at(shares.sum(axis=0, dtype=np.float64) + offset)
    return TokenAttributions(shares.astype(np.float64) @ weights, offset @ weights + bias)


def word_attributions(tokens: TokenAttributions, words: Words) -> WordAttributions:
    """Add the attributions of tokens up to words; those of tokens outside words are `special`."""
    by_word = np.zeros((len(words.starts), tokens.by_token.shape[1]))
    inside = words.of_token >= 0
    np.add.at(by_word, words.of_token[inside], tokens.by_token[inside])
    return WordAttributions(by_word, tokens.by_token[~inside].sum(axis=0), tokens.constant)


class _Kinds(dict[int, str]):
    """The kind of each character: space, L letter or digit, M mark or invisible, A a word alone, D divides, S sign."""

    def __missing__(self, code: int) -> str:
        self[code] = kind = _kind(chr(code))
        return kind


APART = '—–<>"“”«»|'
"""Signs that divide words even without a space."""


def _kind(character: str) -> str:
    category = unicodedata.category(character)
    if character.isspace():
        return " "
    if category[0] == "M" or category in ("Cf", "Cc", "Cn"):
        return "M"
    if category == "So" or any(first <= ord(character) <= last for first, last in UNSPACED_RANGES):
        return "A"
    if character in APART:
        return "D"
    return "L" if character.isalnum() or character == "_" else "S"


_KINDS = _Kinds()
_WORD = re.compile("A M*|[LM]+(?:S+[LM]+)*|DM*|S[SM]*".replace(" ", ""))


def split_words(text: str) -> np.ndarray:
    """Return the words of a text as int32 [n, 2], start and end in characters.

    A word is a run of letters, digits and marks, with the signs inside it (well-known, don't, x_{ij}); signs before
    and after it are words of their own, and so is each character of a script without spaces, and each emoji.
    """
    spans = [match.span() for match in _WORD.finditer(text.translate(_KINDS))]
    return np.array(spans, dtype=np.int32).reshape(-1, 2)


def find_words(text: str, starts: np.ndarray, ends: np.ndarray, special: np.ndarray) -> Words:
    """Return the words of a text that its tokens cover; starts, ends (in characters) int32, special bool [n_tokens].

    Words that one token covers together are joined. A token of white space alone counts with the word after it, at the
    end of the text with the one before it. What lies behind the last token belongs to no word.
    """
    pieces = split_words(text[: int(ends.max(initial=0))])
    first = np.searchsorted(pieces[:, 1], starts, side="right")
    last = np.searchsorted(pieces[:, 0], ends, side="left") - 1
    covers = (first <= last) & ~special & (ends > starts)
    opens = np.ones(len(pieces), dtype=bool)
    for left, right in zip(first[covers].tolist(), last[covers].tolist(), strict=True):
        opens[left + 1 : right + 1] = False
    of_piece = np.cumsum(opens) - 1
    of_token = np.full(len(starts), -1, dtype=np.int32)
    of_token[covers] = of_piece[first[covers]]
    _give_to_neighbours(of_token, ~covers & ~special)
    used = np.unique(of_token[of_token >= 0])
    of_token[of_token >= 0] = np.searchsorted(used, of_token[of_token >= 0])
    firsts = np.flatnonzero(opens)
    lasts = np.append(firsts[1:], len(pieces)) - 1
    return Words(pieces[firsts[used], 0], pieces[lasts[used], 1], of_token)


def _give_to_neighbours(of_token: np.ndarray, loose: np.ndarray) -> None:
    """Give each loose token the word of the next token that has one, else of the one before."""
    words = np.flatnonzero(of_token >= 0)
    for token in np.flatnonzero(loose) if len(words) else ():
        after = min(int(np.searchsorted(words, token)), len(words) - 1)
        of_token[token] = of_token[words[after]]


def without_word(text: str, start: int, end: int) -> str:
    """Return the text without the word at [start, end) and the white space before it (after it, for the first)."""
    before, after = text[:start], text[end:]
    bare = before.rstrip()
    return bare + after if bare else before + after.lstrip()


def rounded(attributions: np.ndarray, pre_activation: float) -> np.ndarray:
    """Return attributions [n] as float32 multiples of the quantum, whose sum is the same to half a quantum.

    Each is the difference of two rounded partial sums, so that no error adds up. It keeps files small: the low bits
    of what is stored are zero.
    """
    size = abs(pre_activation)
    quantum = QUANTUM * (2.0 ** np.floor(np.log2(size)) if size > 1 else 1.0)
    sums = np.round(np.cumsum(attributions) / quantum)
    return (np.diff(sums, prepend=0.0) * quantum).astype(np.float32)
