"""What a language model can read at once: its questions cut to that, and how servers say that it was too much."""

from __future__ import annotations

import re

from featurelib.llm.prompts import AROUND, Question
from featurelib.llm.shown_texts import shorten

LEAST_CONTEXT = 768
"""Tokens that a model must be able to read: the instructions alone have some 300."""
ANSWER_SHARE = 4
"""A quarter of what the model can read is kept for its answer."""
MOST_TOKENS = 2_000
"""Tokens of one answer at most; most answers have 40, but models that write their reasoning first need more."""
PER_TOKEN, INSTRUCTIONS_PER_TOKEN = 3, 4
"""Characters that count as one token of a text, which may hold anything, and of the instructions, which are English."""
LEAST_CHARACTERS = 100
"""Characters of a text below which fewer texts are shown instead of shorter ones."""
TOO_LONG = re.compile(
    r"context|(?:prompt|input|request) (?:is |was )?too long|must have less than|must be <=", re.IGNORECASE
)
"""How servers say that a question is longer than what the model can read."""
CONTEXT = re.compile(r"context\s+(?:length|size|window)\D{0,40}?(\d{3,7})", re.IGNORECASE)
"""How some of them say what it can read."""


def answer_tokens(question: Question, context: int | None) -> int:
    """Return how many tokens the answer may have, of a model that reads `context` tokens (None: not known)."""
    most = question.answer_tokens or MOST_TOKENS
    return min(most, context // ANSWER_SHARE) if context else most


def fit(question: Question, context: int | None) -> Question:
    """Return the question with texts so short that a model can read it; where a sentence is asked for, with fewer."""
    if context is None or not question.texts:
        return question
    tokens = context - answer_tokens(question, context) - len(question.instructions) // INSTRUCTIONS_PER_TOKEN
    room = PER_TOKEN * tokens - len(question.explanation or "")
    if question.explanation is None:
        question = question.with_fewer_texts(room // (LEAST_CHARACTERS + AROUND))
    each = max(room // len(question.texts) - AROUND, 1)
    return question._replace(texts=[shorten(shown, each) for shown in question.texts])


def read_context(complaint: str, asked: int) -> int | None:
    """Return how many tokens a model can read whose server refused `asked`; None for a complaint about other things.

    The number that the server says; three quarters of what was asked where that is smaller, half where it says none.
    """
    if not TOO_LONG.search(complaint):
        return None
    said = CONTEXT.search(complaint)
    return min(int(said.group(1)), 3 * asked // 4) if said else asked // 2
