"""Sentences that describe features, written by a language model behind any OpenAI-compatible server, and their scores.

Off unless a build is given --labeller. The client library (openai) lives in `client` and is imported when it is needed.
"""

from featurelib.llm.client import Answer, Labeller, check_labeller, host_of
from featurelib.llm.explaining import Described, Material, describe
from featurelib.llm.marked_words import Words, marked, right_words, wrong_words
from featurelib.llm.prompts import CHARACTERS, Question, prompts_fingerprint, shown
from featurelib.llm.sampling import LEAST_JUDGED, Choice, Cost, choose, foretell
from featurelib.llm.scoring import SCORERS, Judged, Score, score

__all__ = [
    "CHARACTERS",
    "LEAST_JUDGED",
    "SCORERS",
    "Answer",
    "Choice",
    "Cost",
    "Described",
    "Judged",
    "Labeller",
    "Material",
    "Question",
    "Score",
    "Words",
    "check_labeller",
    "choose",
    "describe",
    "foretell",
    "host_of",
    "marked",
    "prompts_fingerprint",
    "right_words",
    "score",
    "shown",
    "wrong_words",
]
