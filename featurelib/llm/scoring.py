"""How good an explanation is: a language model's verdicts against what is true.

Detection and fuzzing follow EleutherAI's delphi (arXiv 2410.13928; delphi/scorers/classifier): a model sees the
explanation and shuffled batches of five texts. Detection: does the feature fire on each? Texts on which it fires come
from all quantiles of its activations; as many others do not fire. Fuzzing: are the words that are marked in a text
the ones that made the feature fire? As in delphi's type "active", marks are right or wrong on texts on which the
feature fires; a text has no activations by token here, so the right words are those with the largest attributions
(featurelib.attribution). Answers that cannot be read are left out, as in delphi, and counted.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple

from featurelib.schema.records import ExplanationScore
from featurelib.stats import mean_of_shares

DETECTION, FUZZING = SCORERS = ("detection", "fuzzing")


class Verdict(NamedTuple):
    """A language model's verdict on one text."""

    truth: bool
    """Whether the feature fires on it, or its marks are right."""
    answer: bool | None
    """What the model said; None where that could not be read."""


def score_verdicts(scorer: str, verdicts: Sequence[Verdict]) -> ExplanationScore:
    """Return the score of an explanation by one scorer.

    Without a readable verdict on texts of both kinds there is no balanced accuracy: score, low and high are None.
    """
    read = [verdict for verdict in verdicts if verdict.answer is not None]
    yes = [bool(verdict.answer) for verdict in read if verdict.truth]
    no = [not verdict.answer for verdict in read if not verdict.truth]
    hits, rejected = sum(yes), sum(no)
    said_yes = hits + len(no) - rejected
    balanced, low, high = mean_of_shares((hits, len(yes)), (rejected, len(no))) if yes and no else (None, None, None)
    return ExplanationScore(
        scorer=scorer,
        score=balanced,
        low=low,
        high=high,
        n_texts=len(read),
        n_fires=len(yes),
        n_unread=len(verdicts) - len(read),
        accuracy=_share(hits + rejected, len(read)),
        precision=_share(hits, said_yes),
        recall=_share(hits, len(yes)),
        specificity=_share(rejected, len(no)),
        f1=_share(2 * hits, said_yes + len(yes)),
    )


def _share(count: int, total: int) -> float | None:
    return count / total if total else None
