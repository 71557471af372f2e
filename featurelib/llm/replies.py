"""How a language model's answers are read: small models fence, apologise, repeat themselves and stop in the middle."""

from __future__ import annotations

import json
import re

LONGEST = 400
"""Characters of an explanation; of a longer one the first sentence counts, if that is shorter."""
THINKING = re.compile(r"<think>.*?(?:</think>|\Z)", re.DOTALL)
FENCE = re.compile(r"```\w*")
KEYWORDS = "explanation|explanations|explicación|explication|erklärung|spiegazione|explicação|объяснение|解释|解釋|説明"
"""The word before the sentence, which models translate into the language of the texts."""
SENTENCE = re.compile(rf"^[\s*#>-]*(?:{KEYWORDS})[\s*]*[:：][\s*]*(\S.*)$", re.IGNORECASE | re.MULTILINE)
JSON_SENTENCE = re.compile(rf'"(?:{KEYWORDS})"\s*:\s*("(?:[^"\\]|\\.)*"?)', re.IGNORECASE)
WHOLE_SENTENCES = re.compile(r".+[.!?。！？](?=\s|$|(?<=[。！？]))", re.DOTALL)
FIRST_SENTENCE = re.compile(r"(.+?[.!?。！？])(?:\s|$|(?<=[。！？]))")
APOLOGY = re.compile(
    r"(?:i'?m (?:very )?sorry|sorry\b|i apologi[sz]e|i can(?:no|')t |i am (?:unable|not able)|i'm (?:unable|not able)|"
    r"as an ai\b|unfortunately\b|es tut mir leid|lo siento|désolé|je suis désolé|mi dispiace|desculpe|извините|"
    r"对不起|抱歉|申し訳)",
    re.IGNORECASE,
)
TEMPLATE = re.compile(r"^(?:the sentence|a sentence|sentence)\W*$", re.IGNORECASE)
"""What the prompt shows in place of the answer, given back."""
REPEATS = 2
"""A run of words that comes back so often at once is a model that does not get out of a loop."""
LOOP = re.compile(rf"(\b.{{4,80}}?)(?:\W*\1){{{REPEATS},}}", re.DOTALL)
LIST = re.compile(r"\[[^\[\]]*\]")
NUMBERED = re.compile(
    r"^\W*(?:texts?\s*)?\[?(\d+)\]?\W*[:.)=-]\W*(0|1|yes|no|true|false)\b\W*", re.IGNORECASE | re.MULTILINE
)
YES, NO = ("1", "yes", "true"), ("0", "no", "false")
ALONE = re.compile(r"^\W*(0\b(?!\s*[,;])|1\b(?!\s*[,;])|(?:yes|no|true|false)\b)", re.IGNORECASE)


def read_explanation(answer: str) -> str | None:
    """Return the sentence of an answer: what follows its last "Explanation:", or its only line; None without one.

    A sentence that breaks off behind whole ones is left out. Apologies, answers that only repeat themselves and the
    prompt's own words given back are none.
    """
    spoken = _spoken(answer)
    candidate = _candidate(spoken)
    sentence = " ".join(candidate.split()).strip("*\"'“”` ")
    whole = WHOLE_SENTENCES.match(sentence)
    sentence = whole.group() if whole else sentence
    if len(sentence) > LONGEST:
        first = FIRST_SENTENCE.match(sentence)
        sentence = first.group(1) if first else sentence
    if len(sentence) > LONGEST or sentence.startswith(("<", "{", "[")) or not re.search(r"[^\W\d_]{2}", sentence):
        return None
    return None if APOLOGY.match(sentence) or TEMPLATE.match(sentence) or LOOP.search(sentence) else sentence


def _spoken(answer: str) -> str:
    return FENCE.sub("", THINKING.sub("", answer)).strip().strip("`").strip()


def _candidate(spoken: str) -> str:
    """The part of an answer that may be the sentence; '' without one."""
    named = SENTENCE.findall(spoken)
    if named:
        return str(named[-1])
    in_json = JSON_SENTENCE.findall(spoken)
    if in_json:
        return _json_string(in_json[-1])
    lines = [line for line in spoken.splitlines() if line.strip()]
    return lines[0] if len(lines) == 1 else ""


def _json_string(quoted: str) -> str:
    """The text of a JSON string, of which the end may be missing."""
    whole = quoted if len(quoted) > 1 and quoted.endswith('"') else quoted + '"'
    try:
        return str(json.loads(whole, strict=False))
    except ValueError:
        return quoted.strip('"')


def read_verdicts(answer: str, n: int) -> list[bool] | None:
    """Return the verdicts of an answer: its last list of `n` of 0 or 1 (no or yes, false or true); None without one.

    Numbered lines ("2. yes") count as a list, and a single word where one verdict is asked for.
    """
    spoken = _spoken(answer)
    for text in reversed(LIST.findall(spoken)):
        verdicts = [_verdict(value) for value in _values(text)]
        if len(verdicts) == n and None not in verdicts:
            return [bool(verdict) for verdict in verdicts]
    numbered = NUMBERED.findall(spoken)
    if len(numbered) == n and [int(number) for number, _ in numbered] == list(range(1, n + 1)):
        return [word.lower() in YES for _, word in numbered]
    alone = ALONE.match(spoken) if n == 1 else None
    return [alone.group(1).lower() in YES] if alone else None


def _values(text: str) -> list[object]:
    """The values of a JSON list, or of one in which words lack their quotes; [] for anything else."""
    try:
        return list(json.loads(text.lower()))
    except ValueError:
        return [value.strip().strip("'\"") for value in text[1:-1].split(",")]


def _verdict(value: object) -> bool | None:
    if isinstance(value, str):
        word = value.strip().lower()
        return True if word in YES else False if word in NO else None
    return bool(value) if isinstance(value, int) and value in (0, 1) else None
