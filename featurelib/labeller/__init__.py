"""Sentences that describe features, written by a language model behind any OpenAI-compatible server, and their scores.

Off unless a build is given --labeller. The client library (openai) lives in `client` and is imported when it is needed.
"""

from featurelib.labeller.choice import LEAST_JUDGED, Choice, Cost, choose, foretell
from featurelib.labeller.client import Answer, Labeller, check_labeller, host_of
from featurelib.labeller.describing import Described, Material, describe
from featurelib.labeller.marks import Words, marked, right_words, wrong_words
from featurelib.labeller.questions import CHARACTERS, Question, prompts_fingerprint, shown
from featurelib.labeller.scoring import SCORERS, Judged, Score, score, wilson

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
    "wilson",
    "wrong_words",
]
