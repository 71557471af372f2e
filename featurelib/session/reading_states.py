"""The hidden states of texts as an SAE was trained on them, read from a model that others use too."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from itertools import islice
from typing import NamedTuple

import numpy as np

from featurelib.embedder.hidden_states.states import StateReader
from featurelib.embedder.hidden_states.windows import Reading, Tokens, Window

WINDOWS_AT_ONCE = 16
TEXTS_AT_ONCE = 64


class WindowStates(NamedTuple):
    """The tokens of one window that count."""

    text: int
    """Which text it is of."""
    ids: np.ndarray
    """int32 [n]."""
    starts: np.ndarray
    """int32 [n]: the first character of each token; 0 for one of the model's own."""
    ends: np.ndarray
    """int32 [n]: the character after its last."""
    states: np.ndarray
    """float32 [n, d]."""


@dataclass(frozen=True, eq=False)
class TokenReader:
    """Reads texts in windows, and the states that count of each."""

    reader: StateReader
    """The model at its hook."""
    reading: Reading
    """How texts become tokens."""
    special_tokens: bool
    """Whether BOS and other special tokens count."""
    centred: bool
    """Whether the mean over the dimensions is taken off each state."""

    def read(self, texts: Iterable[str]) -> Iterator[WindowStates]:
        """Yield the windows of texts in order; some are read at a time, so `texts` may be without end."""
        remaining, first = iter(texts), 0
        while some := list(islice(remaining, TEXTS_AT_ONCE)):
            for window in self._read(some):
                yield window._replace(text=window.text + first)
            first += len(some)

    def _read(self, texts: Sequence[str]) -> Iterator[WindowStates]:
        tokens = self.reading.tokens(texts)
        windows = list(self.reading.windows(tokens))
        for start in range(0, len(windows), WINDOWS_AT_ONCE):
            batch = windows[start : start + WINDOWS_AT_ONCE]
            for window, states in zip(batch, self.reader.read(batch), strict=True):
                own = tokens[window.text]
                yield self._counted(window, states, own)

    def _counted(self, window: Window, states: np.ndarray, tokens: Tokens) -> WindowStates:
        n = len(window.ids)
        starts, ends = np.zeros(n, np.int32), np.zeros(n, np.int32)
        kept = np.full(n, self.special_tokens)
        own = slice(window.n_before, window.n_before + window.n)
        of_text = slice(window.first, window.first + window.n)
        starts[own], ends[own] = tokens.starts[of_text], tokens.ends[of_text]
        kept[own] |= ~tokens.special[of_text]
        states = states[kept]
        if self.centred:
            states = states - states.mean(axis=1, keepdims=True)
        return WindowStates(window.text, window.ids[kept], starts[kept], ends[kept], states)
