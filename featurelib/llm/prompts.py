"""The questions to a language model.

The instructions are text files (prompt_texts/*.txt) and go as the system's message; texts of the corpus go as one JSON
object in the user's message, so that no text can break out of its place or pass for an instruction.

Small models lose long instructions by the time they have read the texts, and cannot fill in lists. For them there are
short questions: one sentence for the system, and the question as the last value of the JSON object; verdicts on one
text at a time, yes or no.
"""

from __future__ import annotations

import json
import re
from collections.abc import Sequence
from functools import cache
from pathlib import Path
from typing import NamedTuple

from featurelib.llm.shown_texts import ShownText, shorten
from featurelib.storage import files

PROMPTS = Path(__file__).parent / "prompt_texts"
EXPLAIN, EXPLAIN_TOKENS = "explain", "explain_tokens"
"""The prompts for a sentence: about texts, and about texts with marked words."""
DETECT, FUZZ = "detect", "fuzz"
FORMS = FULL, SHORT = "full", "short"
NAMES = tuple(form + name for form in ("", "short_") for name in (EXPLAIN, EXPLAIN_TOKENS, DETECT, FUZZ))
MARKED = re.compile("«([^«»]*)»")
SHORT_EXAMPLES, SHORT_CHARACTERS = 6, 200
"""In a short question: texts on which a feature fires, and characters of each text."""
SHORT_ANSWERS = {EXPLAIN: 60, EXPLAIN_TOKENS: 60, DETECT: 5, FUZZ: 5}
"""Tokens of the answer to a short question."""
CHARACTERS = 1_000
"""Characters of a text that are shown at most; none after the place where the embedder truncated it."""

AROUND = 24
"""Characters around a text in JSON, for estimates."""


class Example(NamedTuple):
    """A text on which a feature fires."""

    shown: ShownText
    strength: int
    """From 1 to 10."""


class Question(NamedTuple):
    """One question; its texts can be shortened until it fits into what the model can read."""

    name: str
    """Of the prompt."""
    explanation: str | None
    """The sentence to be judged; None where one is asked for."""
    texts: Sequence[ShownText]
    """All of them; in a question for a sentence those on which the feature fires come first."""
    strengths: Sequence[int] = ()
    """Of those on which it fires, in a question for a sentence."""
    form: str = FULL
    """One of FORMS."""

    @property
    def instructions(self) -> str:
        """The system's message, without any text of the corpus."""
        return instructions(self.name) if self.form == FULL else instructions(f"short_{self.name}").split("\n\n")[0]

    @property
    def answer_tokens(self) -> int | None:
        """How long the answer may be; None for as long as a model may think."""
        return None if self.form == FULL else SHORT_ANSWERS[self.name]

    @property
    def material(self) -> str:
        """The user's message: one JSON object with texts of the corpus and, for verdicts, the explanation."""
        texts = [shown.text for shown in self.texts]
        if self.form == SHORT:
            question = instructions(f"short_{self.name}").split("\n\n")[1]
            return _json({**self._given(texts), "question": question})
        if self.explanation is not None:
            return _json({"explanation": self.explanation, "texts": texts})
        n_firing = len(self.strengths)
        firing = [{"strength": strength, "text": text} for strength, text in zip(self.strengths, texts, strict=False)]
        return _json({"fires_on": firing, "silent_on": texts[n_firing:]})

    def _given(self, texts: list[str]) -> dict[str, object]:
        """What a short question shows: small models must be told apart which words are marked."""
        if self.explanation is not None:
            return {"description": self.explanation, "text": texts[0]}
        words = list(dict.fromkeys(word for text in texts for word in MARKED.findall(text)))
        return {"texts": texts, "words": words} if self.name == EXPLAIN_TOKENS else {"texts": texts}

    def with_fewer_texts(self, n: int) -> Question:
        """The question for a sentence with at most `n` texts, two thirds of them the strongest on which it fires."""
        n_firing = len(self.strengths)
        n_silent = len(self.texts) - n_firing
        silent = max(min(n_silent, max(n // 3, n - n_firing)), 0)
        firing = max(min(n_firing, n - silent), 1)
        texts = [*self.texts[:firing], *self.texts[n_firing : n_firing + silent]]
        return self._replace(texts=texts, strengths=self.strengths[:firing])

    def shortened(self) -> Question:
        """The short question that asks for the same; of verdicts, the one on its only text."""
        n_shown = min(len(self.strengths), SHORT_EXAMPLES) if self.explanation is None else 1
        texts = [shorten(shown, SHORT_CHARACTERS) for shown in self.texts[:n_shown]]
        return self._replace(texts=texts, strengths=self.strengths[:n_shown], form=SHORT)


def _json(material: dict[str, object]) -> str:
    return json.dumps(material, ensure_ascii=False, indent=0)


def excerpt(text: str, cut: int) -> str:
    """Return the beginning of a text that is shown: at most what the embedder read (`cut` characters; -1 for all)."""
    return text[: min(cut, CHARACTERS) if cut >= 0 else CHARACTERS]


@cache
def instructions(name: str) -> str:
    """Return the text of the prompt `name`, one of NAMES."""
    return (PROMPTS / f"{name}.txt").read_text(encoding="utf-8").strip()


def prompts_fingerprint() -> str:
    """Return a hash of all prompts."""
    return files.fingerprint([instructions(name) for name in NAMES])


def ask_explanation(fires_on: Sequence[Example], silent_on: Sequence[ShownText], *, marked: bool = False) -> Question:
    """Return the question for a sentence that fits `fires_on`, not `silent_on`; `marked`: its words are marked."""
    texts = [example.shown for example in fires_on] + list(silent_on)
    name = EXPLAIN_TOKENS if marked else EXPLAIN
    return Question(name, None, texts, [example.strength for example in fires_on])


def ask_verdicts(name: str, explanation: str, texts: Sequence[ShownText]) -> Question:
    """Return the question on which texts the feature fires (`name` detect) or are rightly marked (fuzz)."""
    return Question(name, explanation, list(texts))
