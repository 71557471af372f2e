"""Which texts explain a feature and which test the explanation: drawn by seed, from two sets that share no text."""

from __future__ import annotations

import random
from collections.abc import Iterator
from typing import NamedTuple

import numpy as np

from featurelib.llm.prompts import AROUND, CHARACTERS, instructions

STRONGEST, SPREAD, CONTRAST = 6, 6, 6
"""Texts that explain a feature: the strongest, some of all strengths, and some on which it does not fire."""
BANDS, PER_BAND = 5, 4
"""Test texts on which it fires: so many from each quantile band of their activations."""
MIN_SHOWN, MIN_TESTED = 3, 5
"""With fewer texts on which it fires, a feature is not explained, or its explanation not tested."""
BATCH = 5
"""Texts in one question, as in delphi: more of them give each other away, and lists get wrong lengths."""
PER_TOKEN = 4
"""Characters that count as one token in an estimate."""
SENTENCE, VERDICT = 150, 3
"""Characters of an explanation and of the verdict on one text."""


class ChosenTexts(NamedTuple):
    """The texts of one feature, by id."""

    feature_id: int
    fires_on: tuple[tuple[int, int], ...]
    """Texts that explain it, with strengths from 1 to 10, the strongest first."""
    silent_on: tuple[int, ...]
    """Texts that explain it by not firing."""
    firing: tuple[int, ...]
    """Test texts on which it fires: the strongest band first."""
    silent: tuple[int, ...]
    """Test texts on which it does not fire: as many."""


class Cost(NamedTuple):
    """An estimate of what is about to be asked."""

    calls: int = 0
    tokens_in: int = 0
    tokens_out: int = 0

    def __add__(self, other: Cost) -> Cost:  # type: ignore[override]
        """The sum of two costs."""
        return Cost(*(mine + its for mine, its in zip(self, other, strict=True)))


def choose_texts(
    feature_id: int, text_ids: np.ndarray, activations: np.ndarray, naming: np.ndarray, testing: np.ndarray, seed: int
) -> ChosenTexts | None:
    """Draw the texts of a feature; None where it fires on too few texts that may explain it.

    `text_ids` int64 [n] are the texts on which it fires, the strongest first, `activations` float [n] theirs;
    `naming` and `testing` bool [n_texts] say which texts may explain it and which may test the explanation.
    """
    draw = random.Random(f"{seed}:{feature_id}")
    strength = np.ceil(10 * activations / activations[:1]).astype(int).clip(1, 10) if len(text_ids) else activations
    explaining = np.flatnonzero(naming[text_ids])
    if len(explaining) < MIN_SHOWN:
        return None
    rest = explaining[STRONGEST:]
    rows = [*explaining[:STRONGEST], *_from_bands(rest, min(SPREAD, len(rest)), 1, draw)]
    firing = _from_bands(text_ids[testing[text_ids]], BANDS, PER_BAND, draw)
    fires = set(text_ids.tolist())
    silent = _draw_silent(testing, fires, len(firing), draw)
    enough = min(len(firing), len(silent)) >= MIN_TESTED
    return ChosenTexts(
        feature_id,
        tuple((int(text_ids[row]), int(strength[row])) for row in rows),
        _draw_silent(naming, fires, CONTRAST, draw),
        tuple(firing) if enough else (),
        silent if enough else (),
    )


def _from_bands(ranked: np.ndarray, n_bands: int, per_band: int, draw: random.Random) -> list[int]:
    """At most `per_band` of each of `n_bands` equal bands of ranked values, in their order."""
    bands = np.array_split(ranked, n_bands) if len(ranked) else []
    places = [sorted(draw.sample(range(len(band)), min(per_band, len(band)))) for band in bands]
    return [int(band[place]) for band, chosen in zip(bands, places, strict=True) for place in chosen]


def _draw_silent(allowed: np.ndarray, fires: set[int], n: int, draw: random.Random) -> tuple[int, ...]:
    """At most `n` allowed texts that are not in `fires`, at random."""
    candidates = np.flatnonzero(allowed)
    drawn: list[int] = []
    for place in _shuffled(len(candidates), draw):
        if len(drawn) == n:
            break
        if int(candidates[place]) not in fires:
            drawn.append(int(candidates[place]))
    return tuple(drawn)


def _shuffled(n: int, draw: random.Random) -> Iterator[int]:
    """The numbers below `n` in random order, drawn only as far as they are used."""
    moved: dict[int, int] = {}
    for place in range(n):
        other = draw.randrange(place, n)
        yield moved.get(other, other)
        moved[other] = moved.get(place, place)


def estimate_cost(chosen: ChosenTexts, lengths: np.ndarray, *, fuzzing: bool) -> Cost:
    """Estimate what a feature costs; `lengths` int [n_texts] are the texts' characters.

    A token counts as 4 characters; JSON adds some around each text, an explanation counts as 150 characters.
    """
    characters = np.minimum(lengths, CHARACTERS) + AROUND
    shown = [text_id for text_id, _ in chosen.fires_on] + list(chosen.silent_on)
    cost = Cost(1, _tokens(len(instructions("explain")) + characters[shown].sum()), _tokens(SENTENCE))
    cost += _cost_of_verdicts("detect", characters[list(chosen.firing + chosen.silent)])
    return cost + _cost_of_verdicts("fuzz", characters[list(chosen.firing)]) if fuzzing else cost


def _cost_of_verdicts(prompt: str, characters: np.ndarray) -> Cost:
    calls = -(-len(characters) // BATCH)
    fixed = calls * (len(instructions(prompt)) + SENTENCE)
    return Cost(calls, _tokens(fixed + characters.sum()), _tokens(VERDICT * len(characters)))


def _tokens(characters: float) -> int:
    return -(-int(characters) // PER_TOKEN)
