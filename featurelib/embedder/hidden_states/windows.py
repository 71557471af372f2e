"""Windows: the tokens of texts, cut into pieces that a model reads at a time.

A text longer than the context is read in windows side by side, each with the model's own first and last tokens
(a BOS token, [CLS] and [SEP]); so every token of a text is read once, and a window begins without memory of the one
before it.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from typing import Any, NamedTuple

import numpy as np

from featurelib.schema import Refusal

REPLACEMENT = "\ufffd"
BYTE_TOKEN = re.compile(r"<0x[0-9A-F]{2}>", re.ASCII)
"""A byte in a vocabulary of SentencePiece."""
"""What stands for bytes that are no whole character."""
PLAIN_BYTES = [*range(33, 127), *range(161, 173), *range(174, 256)]
"""The bytes that a byte-level vocabulary writes as themselves; the others are letters from 256 on (GPT-2's table)."""
OTHER_BYTES = [byte for byte in range(256) if byte not in PLAIN_BYTES]
BYTE_OF = {chr(byte): byte for byte in PLAIN_BYTES} | {chr(256 + n): byte for n, byte in enumerate(OTHER_BYTES)}
MARK = "\ufdd0text\ufdd0"
"""Stands for the text when the chat template is asked what it puts around it."""


class Tokens(NamedTuple):
    """The tokens of one text, those that a chat template puts around it included."""

    ids: np.ndarray
    """int32 [n]: their numbers in the vocabulary."""
    starts: np.ndarray
    """int32 [n]: the first character of each in the text."""
    ends: np.ndarray
    """int32 [n]: the character after its last; equal to its start where it stands for no character of the text."""
    special: np.ndarray
    """bool [n]: whether it is none of the text's own."""


class Window(NamedTuple):
    """The tokens that go through the model together."""

    text: int
    """Which text they are of."""
    ids: np.ndarray
    """int32: their numbers, the model's own first and last tokens included."""
    first: int
    """The place of the window's first token among those of its text."""
    n_before: int
    """How many of the model's own tokens stand before it."""
    n: int
    """How many tokens of the text it holds."""


@dataclass(frozen=True)
class Reading:
    """How a tokenizer's tokens are given to a model."""

    tokenizer: Any
    """A fast tokenizer."""
    before: tuple[int, ...]
    """The model's own tokens before each window: BOS or [CLS]."""
    after: tuple[int, ...]
    """Those behind it: [SEP] or EOS."""
    context_size: int
    """The most tokens in a window, those of the model included."""
    prefix: str = ""
    """What the chat template puts before a text."""
    suffix: str = ""
    """What it puts behind it."""

    def tokens(self, texts: Sequence[str]) -> list[Tokens]:
        """Return the tokens of each text, without the model's own."""
        if not texts:
            return []
        encodings = self.tokenizer(
            [f"{self.prefix}{text}{self.suffix}" for text in texts],
            add_special_tokens=False,
            return_offsets_mapping=True,
            return_attention_mask=False,
            verbose=False,
        )
        columns = zip(texts, encodings["input_ids"], encodings["offset_mapping"], strict=True)
        return [self._tokens(len(text), ids, offsets) for text, ids, offsets in columns]

    def _tokens(self, n_characters: int, ids: list[int], offsets: list[tuple[int, int]]) -> Tokens:
        places = np.array(offsets, np.int32).reshape(-1, 2) - len(self.prefix)
        special = (places[:, 1] <= 0) | (places[:, 0] >= n_characters)
        places = np.clip(places, 0, n_characters)
        return Tokens(np.array(ids, np.int32), places[:, 0], places[:, 1], special & bool(self.prefix or self.suffix))

    @property
    def room(self) -> int:
        """How many tokens of a text a window holds."""
        return self.context_size - len(self.before) - len(self.after)

    def windows(self, tokens: Sequence[Tokens]) -> Iterator[Window]:
        """Yield the windows of texts in order; a text without tokens has none."""
        for text, own in enumerate(tokens):
            for first in range(0, len(own.ids), self.room):
                ids = own.ids[first : first + self.room]
                whole = np.concatenate([self.before, ids, self.after]).astype(np.int32)
                yield Window(text, whole, first, len(self.before), len(ids))


def make_reading(
    tokenizer: Any, name: str, *, context_size: int, bos: bool | None, is_causal: bool, chat_template: bool
) -> Reading:
    """Find what stands around a window: the tokenizer's own tokens; `bos` None adds BOS to a causal model that has one.

    Raises Refusal for a BOS token or a chat template that there is not, or a context without room for a token.
    """
    before, after = _own_tokens(tokenizer)
    bos_id = tokenizer.bos_token_id
    if bos and bos_id is None:
        raise Refusal(f"the tokenizer of {name} has no BOS token; leave --bos out.")
    if bos is False and before == (bos_id,):
        before = ()
    elif not before and bos_id is not None and (bos or (bos is None and is_causal)):
        before = (bos_id,)
    prefix, suffix = _template(tokenizer, name) if chat_template else ("", "")
    if before == (bos_id,):
        # templates write BOS themselves; twice it would be another input than the model knows
        prefix = prefix.removeprefix(tokenizer.bos_token)
    reading = Reading(tokenizer, before, after, context_size, prefix, suffix)
    if reading.room < 1:
        raise Refusal(f"--context-size is {context_size}, which leaves no room for a text; give a larger one.")
    return reading


def before_answer(reading: Reading, name: str) -> Reading:
    """Return the same reading of one prompt with the model's turn begun behind it, where there is a chat template."""
    if not (reading.prefix or reading.suffix):
        return reading
    return replace(reading, suffix=_template(reading.tokenizer, name, answers=True)[1])


def _own_tokens(tokenizer: Any) -> tuple[tuple[int, ...], tuple[int, ...]]:
    """The tokens that a tokenizer itself puts before and behind a text."""
    bare = tokenizer("a", add_special_tokens=False)["input_ids"]
    whole = tokenizer("a")["input_ids"]
    at = next((n for n in range(len(whole)) if whole[n : n + len(bare)] == bare), 0)
    return tuple(whole[:at]), tuple(whole[at + len(bare) :])


def _template(tokenizer: Any, name: str, *, answers: bool = False) -> tuple[str, str]:
    """What a tokenizer's chat template puts before and behind a user's words; `answers`: the model's turn begins."""
    if not tokenizer.chat_template:
        raise Refusal(f"the tokenizer of {name} has no chat template; leave --chat-template out.")
    whole = tokenizer.apply_chat_template(
        [{"role": "user", "content": MARK}], tokenize=False, add_generation_prompt=answers
    )
    before, mark, after = whole.partition(MARK)
    if not mark:
        raise Refusal(f"the chat template of {name} changes the words it is given; leave --chat-template out.")
    return before, after


def token_words(tokenizer: Any) -> list[str]:
    """Return the words of all tokens, by token_id; a token that is part of a character is written as <0xE2>."""
    words = tokenizer.batch_decode([[token_id] for token_id in range(len(tokenizer))])
    inner = tokenizer.convert_ids_to_tokens(range(len(tokenizer)))
    return [_word_of(token, word) for token, word in zip(inner, words, strict=True)]


def _word_of(token: str, word: str) -> str:
    """The word of a token as it stands in a text, from its own spelling and what decoding makes of it alone."""
    if BYTE_TOKEN.fullmatch(token or ""):
        return token
    if REPLACEMENT in word:
        return _bytes_of(token, word)
    # SentencePiece writes a space as ▁, and its decoders take the one at the beginning of a text away
    return f" {word}" if (token or "").startswith("▁") and not word.startswith(" ") else word


def _bytes_of(token: str, word: str) -> str:
    """The bytes of a token of a byte-level vocabulary, whose letters stand for bytes (GPT-2's table)."""
    numbers = [BYTE_OF.get(letter) for letter in token]
    return word if None in numbers else "".join(f"<0x{number:02X}>" for number in numbers)
