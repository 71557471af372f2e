"""What is asked and how an answer is read.

The instructions are text files (prompts/*.txt) and go as the system's message; the corpus goes as one JSON object in
the user's message, so that no text can end where it does not end or pass for an instruction of ours.
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
"""Of a text so many characters are shown, and none behind the place where the embedder stopped reading."""
LONGEST = 400
"""Characters of an explanation; a longer answer is no sentence."""
THINKING = re.compile(r"<think>.*?(?:</think>|\Z)", re.DOTALL)
SENTENCE = re.compile(r"^[\s*#>-]*explanation[\s*]*:[\s*]*(\S.*)$", re.IGNORECASE | re.MULTILINE)
LIST = re.compile(r"\[[^\[\]]*\]")


class Question(NamedTuple):
    """One question."""

    instructions: str
    """The system's message: ours alone."""
    material: str
    """The user's message: one JSON object that holds texts of the corpus, or what a model said of them."""


def shown(text: str, cut: int) -> str:
    """A text as far as it is shown: what the embedder read of it (`cut` characters; -1 for all), and no more."""
    return text[: min(cut, CHARACTERS) if cut >= 0 else CHARACTERS]


@cache
def instructions(name: str) -> str:
    """The text of the prompt `name`: explain, detect or fuzz."""
    return (PROMPTS / f"{name}.txt").read_text(encoding="utf-8").strip()


def prompts_fingerprint() -> str:
    """A hash of the three prompts."""
    return files.fingerprint([instructions(name) for name in ("explain", "detect", "fuzz")])


def ask_explanation(fires_on: Sequence[tuple[str, int]], silent_on: Sequence[str]) -> Question:
    """Ask for a sentence that fits `fires_on`, texts with a strength of 1 to 10, and not `silent_on`."""
    shown = [{"strength": strength, "text": text} for text, strength in fires_on]
    return _question("explain", {"fires_on": shown, "silent_on": list(silent_on)})


def ask_verdicts(name: str, explanation: str, texts: Sequence[str]) -> Question:
    """Ask on which texts the feature fires (`name` detect), or in which the right words are marked (fuzz)."""
    return _question(name, {"explanation": explanation, "texts": list(texts)})


def _question(name: str, material: dict[str, object]) -> Question:
    return Question(instructions(name), json.dumps(material, ensure_ascii=False, indent=0))


def read_explanation(answer: str) -> str | None:
    """The sentence of an answer: what stands behind its last "Explanation:", or its only line; None for nonsense."""
    said = THINKING.sub("", answer).strip().strip("`").strip()
    lines = [line for line in said.splitlines() if line.strip()]
    found = SENTENCE.findall(said) or (lines if len(lines) == 1 else [])
    sentence = " ".join(found[-1].split()).strip("*\"'“”` ") if found else ""
    if len(sentence) > LONGEST or sentence.startswith(("<", "{", "[")) or not re.search(r"[^\W\d_]{2}", sentence):
        return None
    return sentence


def read_verdicts(answer: str, n: int) -> list[bool] | None:
    """The verdicts of an answer: its last JSON list of `n` numbers 0 and 1 (or false and true); None without one."""
    for listed in reversed(LIST.findall(THINKING.sub("", answer))):
        try:
            held = json.loads(listed)
        except ValueError:
            continue
        if len(held) == n and all(isinstance(one, int) and one in (0, 1) for one in held):
            return [bool(one) for one in held]
    return None
