"""One feature described and its description judged: every question that this takes."""

from __future__ import annotations

import random
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from typing import NamedTuple

from featurelib.llm.client import Answer, Labeller
from featurelib.llm.prompts import ask_explanation, ask_verdicts, read_explanation, read_verdicts
from featurelib.llm.sampling import BATCH
from featurelib.llm.scoring import DETECTION, FUZZING, Judged

AT_ONCE = 6
"""Questions under way together: servers answer several in little more time than one."""
PROMPTS = {DETECTION: "detect", FUZZING: "fuzz"}
AGAIN = 2
"""How often a question is asked when its answer cannot be read."""

Sample = tuple[str, bool]
"""A text, and whether yes is true of it."""


class Material(NamedTuple):
    """The texts that describe and judge one feature."""

    feature_id: int
    fires_on: Sequence[tuple[str, int]]
    """Texts on which it fires, with strengths from 1 to 10."""
    silent_on: Sequence[str]
    """Texts on which it does not fire."""
    detection: Sequence[Sample]
    """Other texts, with whether it fires on them."""
    fuzzing: Sequence[Sample]
    """Texts with marked words, with whether the marks are right."""


class Described(NamedTuple):
    """What the labeller said."""

    explanation: str | None
    """None where no sentence could be read."""
    judged: dict[str, list[Judged]]
    """The verdicts by scorer."""
    calls: int
    """Questions that were answered."""
    tokens_in: int
    """As the server counts them; 0 where it does not."""
    tokens_out: int
    last: str
    """The last answer that could not be read, '' when all were."""

    @property
    def nonsense(self) -> bool:
        """Whether there is no explanation, or no verdict on it could be read."""
        verdicts = [one.verdict for own in self.judged.values() for one in own]
        return self.explanation is None or (bool(verdicts) and all(one is None for one in verdicts))


def describe(labeller: Labeller, material: Material, seed: int) -> Described:
    """Ask for a description, then for verdicts on it, in shuffled batches of five texts; raises Refusal."""
    heard: list[Answer] = []
    unread = ""
    question = ask_explanation(material.fires_on, material.silent_on)
    explanation = None
    for _ in range(AGAIN):
        heard.append(labeller.ask(question))
        explanation = read_explanation(heard[-1].text)
        if explanation is not None:
            break
        unread = heard[-1].text
    judged: dict[str, list[Judged]] = {}
    for scorer, samples in ((DETECTION, material.detection), (FUZZING, material.fuzzing)):
        if explanation is not None and samples:
            draw = random.Random(f"{seed}:{material.feature_id}:{scorer}")
            judged[scorer], answers, wrong = _judge(labeller, scorer, explanation, draw.sample(samples, len(samples)))
            heard, unread = heard + answers, wrong or unread
    total = [sum(one.tokens_in for one in heard), sum(one.tokens_out for one in heard)]
    return Described(explanation, judged, len(heard), *total, unread)


def _judge(
    labeller: Labeller, scorer: str, explanation: str, samples: Sequence[Sample]
) -> tuple[list[Judged], list[Answer], str]:
    """The verdicts on all samples, the answers, and the last of these that could not be read."""
    batches = [samples[start : start + BATCH] for start in range(0, len(samples), BATCH)]
    pool = ThreadPoolExecutor(AT_ONCE)
    try:
        asked = [pool.submit(_batch, labeller, scorer, explanation, batch) for batch in batches]
        found = [one.result() for one in asked]
    finally:
        pool.shutdown(cancel_futures=True)
    judged = [one for own, _, _ in found for one in own]
    return judged, [one for _, answers, _ in found for one in answers], next((w for *_, w in reversed(found) if w), "")


def _batch(
    labeller: Labeller, scorer: str, explanation: str, batch: Sequence[Sample]
) -> tuple[list[Judged], list[Answer], str]:
    question = ask_verdicts(PROMPTS[scorer], explanation, [text for text, _ in batch])
    answers: list[Answer] = []
    for _ in range(AGAIN):
        answers.append(labeller.ask(question))
        verdicts = read_verdicts(answers[-1].text, len(batch))
        if verdicts is not None:
            return [Judged(truth, said) for (_, truth), said in zip(batch, verdicts, strict=True)], answers, ""
    return [Judged(truth, None) for _, truth in batch], answers, answers[-1].text
