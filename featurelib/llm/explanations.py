"""One feature explained and its explanation tested: every question that this takes."""

from __future__ import annotations

import random
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from functools import partial
from typing import NamedTuple

from featurelib.llm.language_model import Answer, LanguageModel
from featurelib.llm.prompts import DETECT, FULL, FUZZ, SHORT, Example, Question, ask_explanation, ask_verdicts
from featurelib.llm.replies import read_explanation, read_verdicts
from featurelib.llm.sampling import BATCH
from featurelib.llm.scoring import DETECTION, FUZZING, Verdict
from featurelib.llm.shown_texts import ShownText

AT_ONCE = 6
"""Questions sent at the same time: servers answer several in little more time than one."""
PROMPTS = {DETECTION: DETECT, FUZZING: FUZZ}
TRIES = 2
"""How often a sentence is asked for when the answer cannot be read."""

Sample = tuple[ShownText, bool]
"""A text, and whether the right verdict on it is yes."""


class Material(NamedTuple):
    """The texts from which one feature is explained and on which the explanation is tested."""

    feature_id: int
    fires_on: Sequence[Example]
    """Texts on which it fires; in a token run the words are marked on which it fires."""
    silent_on: Sequence[ShownText]
    """Texts on which it does not fire."""
    detection: Sequence[Sample]
    """Other texts, with whether it fires on them."""
    fuzzing: Sequence[Sample]
    """Texts with marked words, with whether the marks are right."""
    marked: bool = False
    """Whether words are marked in the texts on which it fires."""


class Explanation(NamedTuple):
    """What the language model answered about one feature."""

    sentence: str | None
    """None where no sentence could be read."""
    verdicts: dict[str, list[Verdict]]
    """By scorer."""
    calls: int
    """Questions that were answered."""
    tokens_in: int
    """As the server counts them; 0 where it does not."""
    tokens_out: int
    unread: str
    """The last answer that could not be read, '' when all were."""

    @property
    def unreadable(self) -> bool:
        """Whether there is no sentence, or no verdict on it could be read."""
        answers = [verdict.answer for verdicts in self.verdicts.values() for verdict in verdicts]
        return self.sentence is None or (bool(answers) and all(answer is None for answer in answers))


class Tested(NamedTuple):
    """The verdicts on some samples."""

    verdicts: list[Verdict]
    answers: list[Answer]
    unread: str
    """The last answer that could not be read, '' when all were."""


def explain_feature(model: LanguageModel, material: Material, seed: int, form: str = FULL) -> Explanation:
    """Ask for an explanation, then for verdicts on it, in shuffled batches of five texts; raises Refusal.

    `form` short asks in the words for small models, one text at a time.
    """
    sentence, answers = ask_sentence(model, material, form)
    unread = answers[-1].text if sentence is None else ""
    tested = collect_verdicts(model, material, sentence, seed, form) if sentence is not None else {}
    answers += [answer for batch in tested.values() for answer in batch.answers]
    unread = next((batch.unread for batch in reversed(tested.values()) if batch.unread), unread)
    tokens_in, tokens_out = (sum(getattr(answer, name) for answer in answers) for name in ("tokens_in", "tokens_out"))
    verdicts = {scorer: batch.verdicts for scorer, batch in tested.items()}
    return Explanation(sentence, verdicts, len(answers), tokens_in, tokens_out, unread)


def ask_sentence(model: LanguageModel, material: Material, form: str = FULL) -> tuple[str | None, list[Answer]]:
    """Ask for a sentence about a feature, once more where it cannot be read; raises Refusal."""
    question = _in_form(ask_explanation(material.fires_on, material.silent_on, marked=material.marked), form)
    answers: list[Answer] = []
    for attempt in range(TRIES):
        answers.append(model.ask(question, again=attempt > 0))
        sentence = read_explanation(answers[-1].text)
        if sentence is not None:
            return sentence, answers
    return None, answers


def _in_form(question: Question, form: str) -> Question:
    return question.shortened() if form == SHORT else question


def collect_verdicts(
    model: LanguageModel, material: Material, sentence: str, seed: int, form: str = FULL
) -> dict[str, Tested]:
    """Ask for verdicts on a sentence about a feature, by scorer, in shuffled batches of five texts; raises Refusal."""
    tested: dict[str, Tested] = {}
    for scorer, samples in ((DETECTION, material.detection), (FUZZING, material.fuzzing)):
        if samples:
            draw = random.Random(f"{seed}:{material.feature_id}:{scorer}")
            ask_batch = partial(_test_batch, model, PROMPTS[scorer], sentence, form)
            tested[scorer] = _test(ask_batch, draw.sample(samples, len(samples)), BATCH if form == FULL else 1)
    return tested


def _test(ask_batch: Callable[[Sequence[Sample]], Tested], samples: Sequence[Sample], size: int) -> Tested:
    """Ask for verdicts on all samples, several batches at the same time."""
    pool = ThreadPoolExecutor(AT_ONCE)
    try:
        starts = range(0, len(samples), size)
        futures = [pool.submit(ask_batch, samples[start : start + size]) for start in starts]
        return _together([future.result() for future in futures])
    finally:
        pool.shutdown(cancel_futures=True)


def _together(batches: Sequence[Tested]) -> Tested:
    return Tested(
        [verdict for batch in batches for verdict in batch.verdicts],
        [answer for batch in batches for answer in batch.answers],
        next((batch.unread for batch in reversed(batches) if batch.unread), ""),
    )


def _test_batch(model: LanguageModel, name: str, sentence: str, form: str, samples: Sequence[Sample]) -> Tested:
    """Ask for verdicts on some samples together, and on each alone where that answer cannot be read."""
    answer = model.ask(_in_form(ask_verdicts(name, sentence, [shown for shown, _ in samples]), form))
    read = read_verdicts(answer.text, len(samples))
    if read is None and len(samples) > 1:
        alone = _together([_test_batch(model, name, sentence, form, [sample]) for sample in samples])
        return alone._replace(answers=[answer, *alone.answers])
    said: Sequence[bool | None] = read if read is not None else [None] * len(samples)
    verdicts = [Verdict(truth, verdict) for (_, truth), verdict in zip(samples, said, strict=True)]
    return Tested(verdicts, [answer], "" if read is not None else answer.text)
