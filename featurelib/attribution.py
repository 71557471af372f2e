"""Which words of a text carry a feature: its pre-activation, taken apart into a sum over tokens, merged into words.

An embedding that is a sum over tokens, x = Σ_t u_t + o, goes through an encoder that is linear once the text's own
scale is known, so that z_f = Σ_t part_t + constant holds exactly. A part belongs to the position of a token: its state
has seen the other words. What happens without a word is another question; `without_word` makes the text for that.
"""

from __future__ import annotations

import re
import unicodedata
from typing import NamedTuple, Protocol

import numpy as np

QUANTUM = 2.0**-17
"""Stored parts are multiples of this (7.6e-6), or of this share of the power of two at or under a larger z."""


class Readout(Protocol):
    """What must be known of a SAE: how it reads m of its features off an embedding (featurelib.sae.encoder_view)."""

    weights: np.ndarray
    """float64 [d_in, m]: the features' encoder columns."""
    bias: np.ndarray
    """float64 [m]: what is added to x @ weights."""
    norm: str
    """How a row is normalised first: none, layer_norm, standardise or constant_norm_rescale."""
    eps: float
    """What is added to the standard deviation."""
    slope: np.ndarray
    """float64 [m]: a pre-activation is slope·z + intercept."""
    intercept: np.ndarray
    """float64 [m]."""


class TokenParts(NamedTuple):
    """The pre-activations of m features on one text, taken apart: Σ parts + constant."""

    parts: np.ndarray
    """float64 [n_tokens, m]."""
    constant: np.ndarray
    """float64 [m]: what no token brings, such as the encoder's bias."""


class Words(NamedTuple):
    """The words of a text that hold at least one token."""

    starts: np.ndarray
    """int32 [n_words]: the first character."""
    ends: np.ndarray
    """int32 [n_words]: the character after the last."""
    of_token: np.ndarray
    """int32 [n_tokens]: the number of the word that a token belongs to; -1 for special tokens and the prompt's."""


class WordParts(NamedTuple):
    """The pre-activations of m features on one text by word: Σ parts + special + constant."""

    parts: np.ndarray
    """float64 [n_words, m]."""
    special: np.ndarray
    """float64 [m]: the share of special tokens, of the prompt, and of tokens without a character in a text of none."""
    constant: np.ndarray
    """float64 [m]."""

    @property
    def total(self) -> np.ndarray:
        """What the parts add up to, float64 [m]."""
        return self.parts.sum(axis=0) + self.special + self.constant


def token_parts(shares: np.ndarray, offset: np.ndarray, readout: Readout) -> TokenParts:
    """Return each token's part in the pre-activations that `readout` reads off the embedding Σ shares + offset.

    shares is float32 [n_tokens, d_in], offset float32 [d_in]. A row's mean is linear in the tokens, its standard
    deviation or length is a number that is known once the embedding is: so all four norms are divided up exactly.
    """
    x = shares.sum(axis=0, dtype=np.float64) + offset
    weights, scale = readout.weights, 1.0
    if readout.norm in ("layer_norm", "standardise"):
        weights = weights - weights.mean(axis=0)  # (x − mean)·W = x·(W − the mean of each column)
        scale = float(x.std(ddof=1)) + readout.eps
    elif readout.norm == "constant_norm_rescale":
        scale = float(np.linalg.norm(x)) / len(x) ** 0.5 or 1.0
    weights = weights * (readout.slope / scale)
    constant = offset @ weights + readout.slope * readout.bias + readout.intercept
    return TokenParts(shares.astype(np.float64) @ weights, constant)


def word_parts(tokens: TokenParts, words: Words) -> WordParts:
    """Add the parts of tokens up to words; what belongs to no word stays apart."""
    parts = np.zeros((len(words.starts), tokens.parts.shape[1]))
    inside = words.of_token >= 0
    np.add.at(parts, words.of_token[inside], tokens.parts[inside])
    return WordParts(parts, tokens.parts[~inside].sum(axis=0), tokens.constant)


class _Kinds(dict):
    """The kind of each character: space, L letter or digit, M mark or unseen, A stands alone, D parts words, S sign."""

    def __missing__(self, code: int) -> str:
        self[code] = kind = _kind(chr(code))
        return kind


UNSPACED = (
    *((0x0E00, 0x0EFF), (0x1000, 0x109F), (0x1780, 0x17FF), (0x2E80, 0x2FFF), (0x3040, 0x30FF), (0x31F0, 0x31FF)),
    *((0x3400, 0x4DBF), (0x4E00, 0x9FFF), (0xF900, 0xFAFF), (0xFF66, 0xFF9F), (0x20000, 0x3FFFF)),
)
"""Scripts that write no spaces between words: Thai, Lao, Burmese, Khmer, Chinese, Japanese (Unicode's blocks)."""

APART = '—–<>"“”«»|'
"""Signs that part words even without a space."""


def _kind(character: str) -> str:
    category = unicodedata.category(character)
    if character.isspace():
        return " "
    if category[0] == "M" or category in ("Cf", "Cc", "Cn"):
        return "M"
    if category == "So" or any(first <= ord(character) <= last for first, last in UNSPACED):
        return "A"
    if character in APART:
        return "D"
    return "L" if character.isalnum() or character == "_" else "S"


_KINDS = _Kinds()
_WORD = re.compile("A M*|[LM]+(?:S+[LM]+)*|DM*|S[SM]*".replace(" ", ""))


def split_words(text: str) -> np.ndarray:
    """Return the words of a text as int32 [n, 2], start and end in characters.

    A word is a run of letters, digits and marks, with the signs inside it (well-known, don't, x_{ij}); signs before
    and after it are pieces of their own, and so is each character of a script without spaces, and each emoji.
    """
    spans = [match.span() for match in _WORD.finditer(text.translate(_KINDS))]
    return np.array(spans, dtype=np.int32).reshape(-1, 2)


def find_words(text: str, starts: np.ndarray, ends: np.ndarray, special: np.ndarray) -> Words:
    """Return the words of a text that its tokens (int32, int32, bool [n_tokens], in characters) stand for.

    Words that one token spans are joined. A token of white space alone counts with the word after it, at the end of
    the text with the one before it. What lies behind the last token is no part of any word.
    """
    pieces = split_words(text[: int(ends.max(initial=0))])
    first = np.searchsorted(pieces[:, 1], starts, side="right")
    last = np.searchsorted(pieces[:, 0], ends, side="left") - 1
    held = (first <= last) & ~special & (ends > starts)
    opens = np.ones(len(pieces), dtype=bool)
    for left, right in zip(first[held].tolist(), last[held].tolist(), strict=True):
        opens[left + 1 : right + 1] = False
    of_piece = np.cumsum(opens) - 1
    of_token = np.full(len(starts), -1, dtype=np.int32)
    of_token[held] = of_piece[first[held]]
    _give_to_neighbours(of_token, ~held & ~special)
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


def rounded(parts: np.ndarray, pre_activation: float) -> np.ndarray:
    """Return parts [n] as float32 multiples of the quantum, whose sum is that of `parts` to half a quantum.

    Each is the difference of two rounded partial sums, so that no error adds up. It keeps files small: the low bits
    of what is stored are zero.
    """
    size = abs(pre_activation)
    quantum = QUANTUM * (2.0 ** np.floor(np.log2(size)) if size > 1 else 1.0)
    sums = np.round(np.cumsum(parts) / quantum)
    return (np.diff(sums, prepend=0.0) * quantum).astype(np.float32)
