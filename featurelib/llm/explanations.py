"""One feature explained and its explanation tested: every question that this takes."""

from __future__ import annotations

import random
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from typing import NamedTuple

from featurelib.llm.language_model import Answer, LanguageModel
from featurelib.llm.prompts import ask_explanation, ask_verdicts, read_explanation, read_verdicts
from featurelib.llm.sampling import BATCH
from featurelib.llm.scoring import DETECTION, FUZZING, Verdict

AT_ONCE = 6
"""Questions sent at the same time: servers answer several in little more time than one."""
PROMPTS = {DETECTION: "detect", FUZZING: "fuzz"}
TRIES = 2
"""How often a question is asked when its answer cannot be read."""

Sample = tuple[str, bool]
"""A text, and whether the right verdict on it is yes."""


class Material(NamedTuple):
    """The texts from which one feature is explained and on which the explanation is tested."""

    feature_id: int
    fires_on: Sequence[tuple[str, int]]
    """Texts on which it fires, with strengths from 1 to 10."""
    silent_on: Sequence[str]
    """Texts on which it does not fire."""
    detection: Sequence[Sample]
    """Other texts, with whether it fires on them."""
    fuzzing: Sequence[Sample]
    """Texts with marked words, with whether the marks are right."""


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


class _Batch(NamedTuple):
    """The verdicts on some samples."""

    verdicts: list[Verdict]
    answers: list[Answer]
    unread: str
    """The last answer where none could be read, else ''."""


def explain_feature(model: LanguageModel, material: Material, seed: int) -> Explanation:
    """Ask for an explanation, then for verdicts on it, in shuffled batches of five texts; raises Refusal."""
    answers: list[Answer] = []
    unread = ""
    question = ask_explanation(material.fires_on, material.silent_on)
    sentence = None
    for _ in range(TRIES):
        answers.append(model.ask(question))
        sentence = read_explanation(answers[-1].text)
        if sentence is not None:
            break
        unread = answers[-1].text
    verdicts: dict[str, list[Verdict]] = {}
    for scorer, samples in ((DETECTION, material.detection), (FUZZING, material.fuzzing)):
        if sentence is not None and samples:
            draw = random.Random(f"{seed}:{material.feature_id}:{scorer}")
            tested = _test(model, scorer, sentence, draw.sample(samples, len(samples)))
            verdicts[scorer] = tested.verdicts
            answers, unread = answers + tested.answers, tested.unread or unread
    tokens_in, tokens_out = (sum(getattr(answer, name) for answer in answers) for name in ("tokens_in", "tokens_out"))
    return Explanation(sentence, verdicts, len(answers), tokens_in, tokens_out, unread)


def _test(model: LanguageModel, scorer: str, sentence: str, samples: Sequence[Sample]) -> _Batch:
    """Ask for verdicts on all samples, several batches at the same time."""
    pool = ThreadPoolExecutor(AT_ONCE)
    try:
        futures = [
            pool.submit(_test_batch, model, scorer, sentence, samples[start : start + BATCH])
            for start in range(0, len(samples), BATCH)
        ]
        batches = [future.result() for future in futures]
    finally:
        pool.shutdown(cancel_futures=True)
    return _Batch(
        [verdict for batch in batches for verdict in batch.verdicts],
        [answer for batch in batches for answer in batch.answers],
        next((batch.unread for batch in reversed(batches) if batch.unread), ""),
    )


def _test_batch(model: LanguageModel, scorer: str, sentence: str, samples: Sequence[Sample]) -> _Batch:
    question = ask_verdicts(PROMPTS[scorer], sentence, [text for text, _ in samples])
    answers: list[Answer] = []
    for _ in range(TRIES):
        answers.append(model.ask(question))
        read = read_verdicts(answers[-1].text, len(samples))
        if read is not None:
            verdicts = [Verdict(truth, answer) for (_, truth), answer in zip(samples, read, strict=True)]
            return _Batch(verdicts, answers, "")
    return _Batch([Verdict(truth, None) for _, truth in samples], answers, answers[-1].text)
