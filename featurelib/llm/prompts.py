"""The questions to a language model, and how its answers are read.

The instructions are text files (prompt_texts/*.txt) and go as the system's message; texts of the corpus go as one JSON
object in the user's message, so that no text can break out of its place or pass for an instruction.
"""

from __future__ import annotations

import json
import re
from collections.abc import Sequence
from functools import cache
from pathlib import Path
from typing import NamedTuple

from featurelib.storage import files

PROMPTS = Path(__file__).parent / "prompt_texts"
CHARACTERS = 1_000
"""Characters of a text that are shown at most; none after the place where the embedder truncated it."""
LONGEST = 400
"""Characters of an explanation; a longer answer does not count as a sentence."""
THINKING = re.compile(r"<think>.*?(?:</think>|\Z)", re.DOTALL)
SENTENCE = re.compile(r"^[\s*#>-]*explanation[\s*]*:[\s*]*(\S.*)$", re.IGNORECASE | re.MULTILINE)
LIST = re.compile(r"\[[^\[\]]*\]")


class Question(NamedTuple):
    """One question."""

    instructions: str
    """The system's message, without any text of the corpus."""
    material: str
    """The user's message: one JSON object with texts of the corpus and, for verdicts, the explanation."""


def excerpt(text: str, cut: int) -> str:
    """Return the beginning of a text that is shown: at most what the embedder read (`cut` characters; -1 for all)."""
    return text[: min(cut, CHARACTERS) if cut >= 0 else CHARACTERS]


@cache
def instructions(name: str) -> str:
    """Return the text of the prompt `name`: explain, detect or fuzz."""
    return (PROMPTS / f"{name}.txt").read_text(encoding="utf-8").strip()


def prompts_fingerprint() -> str:
    """Return a hash of the three prompts."""
    return files.fingerprint([instructions(name) for name in ("explain", "detect", "fuzz")])


def ask_explanation(fires_on: Sequence[tuple[str, int]], silent_on: Sequence[str]) -> Question:
    """Return the question for a sentence that fits `fires_on`, texts with strengths of 1 to 10, not `silent_on`."""
    firing = [{"strength": strength, "text": text} for text, strength in fires_on]
    return _question("explain", {"fires_on": firing, "silent_on": list(silent_on)})


def ask_verdicts(name: str, explanation: str, texts: Sequence[str]) -> Question:
    """Return the question on which texts the feature fires (`name` detect) or are rightly marked (fuzz)."""
    return _question(name, {"explanation": explanation, "texts": list(texts)})


def _question(name: str, material: dict[str, object]) -> Question:
    return Question(instructions(name), json.dumps(material, ensure_ascii=False, indent=0))


def read_explanation(answer: str) -> str | None:
    """Return the sentence of an answer: what follows its last "Explanation:", or its only line; None without one."""
    spoken = THINKING.sub("", answer).strip().strip("`").strip()
    lines = [line for line in spoken.splitlines() if line.strip()]
    candidates = SENTENCE.findall(spoken) or (lines if len(lines) == 1 else [])
    sentence = " ".join(candidates[-1].split()).strip("*\"'“”` ") if candidates else ""
    if len(sentence) > LONGEST or sentence.startswith(("<", "{", "[")) or not re.search(r"[^\W\d_]{2}", sentence):
        return None
    return sentence


def read_verdicts(answer: str, n: int) -> list[bool] | None:
    """Return the verdicts of an answer: its last JSON list of `n` numbers 0 or 1 (false or true); None without one."""
    for text in reversed(LIST.findall(THINKING.sub("", answer))):
        try:
            verdicts = json.loads(text)
        except ValueError:
            continue
        if len(verdicts) == n and all(isinstance(verdict, int) and verdict in (0, 1) for verdict in verdicts):
            return [bool(verdict) for verdict in verdicts]
    return None
