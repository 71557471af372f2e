"""Which texts describe a feature and which judge the description: drawn by seed, from two parts that share no text."""

from __future__ import annotations

import random
from collections.abc import Sequence
from typing import NamedTuple

import numpy as np

from featurelib.llm.prompts import CHARACTERS, instructions

STRONGEST, SPREAD, CONTRAST = 6, 6, 6
"""Texts that describe a feature: the strongest, some of all strengths, and some on which it does not fire."""
BANDS, PER_BAND = 5, 4
"""Texts on which it fires and that judge: so many from each quantile band of their activations."""
LEAST_SHOWN, LEAST_JUDGED = 3, 5
"""With fewer texts on which it fires, a feature is not described, or its description not judged."""
BATCH = 5
"""Texts judged in one question, as in delphi: more leak who is who, and lists get wrong lengths."""
PER_TOKEN = 4
"""Characters that count as one token in an estimate."""
AROUND, SENTENCE, VERDICT = 24, 150, 3
"""Characters: around a text in JSON, of an explanation, of the verdict on one text."""


class Choice(NamedTuple):
    """The texts of one feature, by id."""

    feature_id: int
    fires_on: tuple[tuple[int, int], ...]
    """Texts that describe it, with strengths from 1 to 10, the strongest first."""
    silent_on: tuple[int, ...]
    """Texts that describe it by not firing."""
    firing: tuple[int, ...]
    """Texts that judge, on which it fires: the strongest band first."""
    silent: tuple[int, ...]
    """Texts that judge, on which it does not fire: as many."""


class Cost(NamedTuple):
    """What is about to be asked for, estimated."""

    calls: int = 0
    tokens_in: int = 0
    tokens_out: int = 0

    def __add__(self, other: Cost) -> Cost:  # type: ignore[override]
        """The sum of two costs."""
        return Cost(*(mine + its for mine, its in zip(self, other, strict=True)))


def choose(
    feature_id: int, text_ids: np.ndarray, activations: np.ndarray, named: np.ndarray, judged: np.ndarray, seed: int
) -> Choice | None:
    """Draw the texts of a feature; None where it fires on too few texts that may describe it.

    `text_ids` int64 [n] are the texts on which it fires, the strongest first, `activations` float [n] theirs;
    `named` and `judged` bool [n_texts] say which texts may describe it and which may judge.
    """
    draw = random.Random(f"{seed}:{feature_id}")
    strength = np.ceil(10 * activations / activations[:1]).astype(int).clip(1, 10) if len(text_ids) else activations
    describing = np.flatnonzero(named[text_ids])
    if len(describing) < LEAST_SHOWN:
        return None
    rest = describing[STRONGEST:]
    rows = [*describing[:STRONGEST], *_spread(rest, min(SPREAD, len(rest)), 1, draw)]
    firing = _spread(text_ids[judged[text_ids]], BANDS, PER_BAND, draw)
    fires = set(text_ids.tolist())
    silent = _draw_silent(judged, fires, len(firing), draw)
    enough = min(len(firing), len(silent)) >= LEAST_JUDGED
    return Choice(
        feature_id,
        tuple((int(text_ids[row]), int(strength[row])) for row in rows),
        _draw_silent(named, fires, CONTRAST, draw),
        tuple(firing) if enough else (),
        silent if enough else (),
    )


def _spread(ranked: np.ndarray, n_bands: int, per_band: int, draw: random.Random) -> list[int]:
    """At most `per_band` of each of `n_bands` equal bands of what is ranked, in its order."""
    bands = np.array_split(ranked, n_bands) if len(ranked) else []
    places = [sorted(draw.sample(range(len(band)), min(per_band, len(band)))) for band in bands]
    return [int(band[place]) for band, chosen in zip(bands, places, strict=True) for place in chosen]


def _draw_silent(admitted: np.ndarray, fires: set[int], n: int, draw: random.Random) -> tuple[int, ...]:
    """At most `n` admitted texts that are not in `fires`, at random."""
    candidates = np.flatnonzero(admitted)
    drawn: list[int] = []
    for place in _shuffled(len(candidates), draw):
        if len(drawn) == n:
            break
        if int(candidates[place]) not in fires:
            drawn.append(int(candidates[place]))
    return tuple(drawn)


def _shuffled(n: int, draw: random.Random) -> Sequence[int]:
    """The numbers under `n` in random order; of many, only as far as they are asked for."""
    moved: dict[int, int] = {}
    for place in range(n):
        other = draw.randrange(place, n)
        yield moved.get(other, other)
        moved[other] = moved.get(place, place)


def foretell(choice: Choice, lengths: np.ndarray, *, fuzzing: bool) -> Cost:
    """Estimate what a feature costs; `lengths` int [n_texts] are the texts' characters.

    A token counts as 4 characters; JSON adds some around each text, an explanation counts as 150 characters.
    """
    characters = np.minimum(lengths, CHARACTERS) + AROUND
    shown = [text_id for text_id, _ in choice.fires_on] + list(choice.silent_on)
    cost = Cost(1, tokens(len(instructions("explain")) + characters[shown].sum()), tokens(SENTENCE))
    cost += _of_verdicts("detect", characters[list(choice.firing + choice.silent)])
    return cost + _of_verdicts("fuzz", characters[list(choice.firing)]) if fuzzing else cost


def _of_verdicts(name: str, characters: np.ndarray) -> Cost:
    calls = -(-len(characters) // BATCH)
    fixed = calls * (len(instructions(name)) + SENTENCE)
    return Cost(calls, tokens(fixed + characters.sum()), tokens(VERDICT * len(characters)))


def tokens(characters: float) -> int:
    """The tokens that so many characters count as."""
    return -(-int(characters) // PER_TOKEN)
