"""How good a description is: the judge's verdicts against what is true.

Detection and fuzzing follow EleutherAI's delphi (arXiv 2410.13928; delphi/scorers/classifier): a judge sees the
explanation and shuffled batches of five texts. Detection: does the feature fire on each? Texts on which it fires come
from all quantiles of its activations, as many others do not fire. Fuzzing: are the words that are marked in a text
the ones that made the feature fire? As in delphi's type "active", marks are right or wrong on texts on which the
feature fires; a text has no activations by token here, so the right words are those of the largest parts of the
pre-activation (featurelib.attribution). Answers that cannot be read are left out, as there, and counted.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple

from featurelib.stats import mean_of_shares

DETECTION, FUZZING = SCORERS = ("detection", "fuzzing")


class Judged(NamedTuple):
    """One text that was judged."""

    truth: bool
    """Whether the feature fires on it, or its marks are right."""
    verdict: bool | None
    """What the judge said; None where that could not be read."""


class Score(NamedTuple):
    """The scores of one description by one scorer; a number that is not defined is None."""

    score: float | None
    """Balanced accuracy, (recall + specificity) / 2: 0.5 is a judge who guesses."""
    low: float | None
    """The lower end of its interval of 95 %."""
    high: float | None
    """The upper end."""
    n_texts: int
    """The texts with a verdict that could be read."""
    n_fires: int
    """Those of them of which yes is true."""
    n_unread: int
    """The texts without such a verdict."""
    accuracy: float | None
    precision: float | None
    recall: float | None
    specificity: float | None
    f1: float | None


def score(judged: Sequence[Judged]) -> Score:
    """Score verdicts; without a readable one of either kind of text there is no balanced accuracy."""
    read = [one for one in judged if one.verdict is not None]
    yes = [one.verdict for one in read if one.truth]
    no = [not one.verdict for one in read if not one.truth]
    hits, passed = sum(yes), sum(no)
    said = hits + len(no) - passed
    balanced, low, high = mean_of_shares((hits, len(yes)), (passed, len(no))) if yes and no else (None, None, None)
    precision, recall = _share(hits, said), _share(hits, len(yes))
    return Score(
        score=balanced,
        low=low,
        high=high,
        n_texts=len(read),
        n_fires=len(yes),
        n_unread=len(judged) - len(read),
        accuracy=_share(hits + passed, len(read)),
        precision=precision,
        recall=recall,
        specificity=_share(passed, len(no)),
        f1=_share(2 * hits, said + len(yes)),
    )


def _share(part: int, whole: int) -> float | None:
    return part / whole if whole else None
