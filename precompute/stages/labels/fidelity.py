"""How well labels predict firing on the label test texts, for our labels and the baseline's."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, NamedTuple

import numpy as np

from featurelib.labels.form import form_label
from featurelib.labels.keywords import SEPARATOR
from featurelib.labels.split import TESTING
from featurelib.labels.words import label_words
from featurelib.schema.records import Fidelity
from featurelib.stats import Agreement, ap_interval, auroc_and_ap, auroc_interval, bootstrap
from precompute.build.embedded_strings import EmbeddedStrings
from precompute.build.job import Job
from precompute.stages.labels.label_texts import LabelTexts, TextSample

MIN_TEXTS = 5
"""Label test texts that must fire, and must not, for a label to be measured."""
OURS, BASELINE = METHODS = ("ours", "seed")
# "seed" is the stored word of older runs for the thesis' method; it is not the random seed
"""The values of the column method."""
FORM = "form"
"""The source of a label that is the form of words."""
RESEMBLES, CONTAINS = "resembles", "contains"
UNKNOWN = Agreement(np.full(1, np.nan), np.full(1, np.nan))


class Label(NamedTuple):
    """A feature's label."""

    keywords: list[str]
    """Its one to three keywords; empty where there are none."""
    source: str
    """How it was found: evidence, form, tokens, keywords, single texts or none."""

    def text(self, feature_id: int) -> str:
        """The label as it is shown."""
        if self.source == FORM:
            return form_label(self.keywords[0])
        return SEPARATOR.join(self.keywords) or f"feature {feature_id}"


Measured = dict[tuple[str, str], list[Fidelity]]
"""The scores by method and predictor."""


class TestTexts:
    """The label test texts and what labels predict of them."""

    def __init__(self, texts: LabelTexts, vectors: EmbeddedStrings | None) -> None:
        """Without vectors nothing resembles."""
        self.sample: TextSample = texts.samples[TESTING]
        self.n_naming = texts.n_naming
        self._containing = texts.containing(TESTING)
        self._vectors = vectors
        self._units = None if vectors is None else texts.units(self.sample.text_ids)

    def n_held(self, keywords: Sequence[str]) -> np.ndarray:
        """Return how many of the keywords each text holds, float32 [n]."""
        return np.asarray(np.sum([self._containing(keyword) for keyword in keywords], axis=0, dtype=np.float32))

    def cosines(self, keywords: Sequence[str]) -> np.ndarray | None:
        """Return the cosine of each text to a label of these keywords, float32 [n]; None without vectors."""
        if self._vectors is None:
            return None
        return np.asarray(self._units @ self._vectors.units(list(keywords)).mean(axis=0))

    def predict(self, predictor: str, keywords: Sequence[str]) -> np.ndarray:
        """Return what a predictor says of each text."""
        cosines = self.cosines(keywords) if predictor == RESEMBLES else None
        return self.n_held(keywords) if cosines is None else cosines

    @property
    def predictors(self) -> tuple[str, ...]:
        """The predictors that there are."""
        return (CONTAINS,) if self._vectors is None else (CONTAINS, RESEMBLES)


def measure_labels(job: Job, tests: TestTexts, labels: dict[str, list[Label]]) -> Measured:
    """Measure each method's labels on the label test texts.

    Null where fewer than 5 of them fire (or do not), and where none of the feature's top texts is a naming text: its
    keywords come from the texts on which they would be tested.
    """
    sample, predictors = tests.sample, tests.predictors
    n_fires = sample.n_fires()
    measurable = (n_fires >= MIN_TEXTS) & (sample.n - n_fires >= MIN_TEXTS) & (tests.n_naming > 0)
    measured: Measured = {(method, predictor): [] for method in labels for predictor in predictors}
    with job.progress(len(labels) * len(measurable), "labels tested") as bar:
        for method, of_method in labels.items():
            agreements: dict[str, list[Agreement]] = {predictor: [] for predictor in predictors}
            for feature_id, label in enumerate(of_method):
                fires = sample.activations_of(feature_id) > 0
                for predictor in predictors if label.keywords else ():
                    known = measurable[feature_id]
                    says = tests.predict(predictor, label.keywords)[None] if known else None
                    agreements[predictor].append(UNKNOWN if says is None else auroc_and_ap(says, fires))
                bar.advance()
            for predictor, of_labels in agreements.items():
                measured[method, predictor] = _scores(method, predictor, of_method, of_labels, n_fires, sample.n)
    return measured


def _scores(
    method: str,
    predictor: str,
    labels: list[Label],
    agreements: list[Agreement],
    n_fires: np.ndarray,
    n_texts: int,
) -> list[Fidelity]:
    """The rows of one method and predictor, with intervals; null where nothing was measured."""
    ids = [feature_id for feature_id, label in enumerate(labels) if label.keywords]
    auroc = np.concatenate([np.empty(0), *(agreement.auroc for agreement in agreements)])
    ap = np.concatenate([np.empty(0), *(agreement.ap for agreement in agreements)])
    n_fires = n_fires[ids]
    columns = [
        auroc,
        *auroc_interval(auroc, n_fires, n_texts - n_fires),
        ap,
        *ap_interval(ap, n_fires),
    ]
    rows = [[None if np.isnan(value) else float(value) for value in row] for row in zip(*columns, strict=True)]
    return [
        Fidelity._make((feature_id, method, labels[feature_id].text(feature_id), predictor, *row, int(n), n_texts))
        for feature_id, row, n in zip(ids, rows, n_fires, strict=True)
    ]


def both_measured(measured: Measured, predictor: str) -> dict[str, list[Fidelity]]:
    """Return each method's scores by one predictor, for the features that both methods have scores of."""
    scores = {
        method: [score for score in measured.get((method, predictor), []) if score.ap is not None] for method in METHODS
    }
    both = set.intersection(*({score.feature_id for score in of_method} for of_method in scores.values()))
    return {method: [score for score in of_method if score.feature_id in both] for method, of_method in scores.items()}


def summary(measured: Measured, seed: int) -> dict[str, Any]:
    """Return mean and median AUROC and average precision, with bootstrap intervals, by predictor and method."""
    means: dict[str, Any] = {}
    for predictor in dict.fromkeys(predictor for _, predictor in measured):
        scores = both_measured(measured, predictor)
        means[predictor] = {"n_features": len(scores[OURS])} | {
            method: {
                f"{name}_{kind}": _interval([getattr(score, name) for score in of_method], kind == "median", seed)
                for name in ("auroc", "ap")
                for kind in ("mean", "median")
            }
            for method, of_method in scores.items()
        }
    return means


def _interval(values: list[float], median: bool, seed: int) -> dict[str, float] | None:
    interval = bootstrap(np.array(values), median=median, seed=seed)
    return interval and interval._asdict()


def n_distinct(labels: list[Label]) -> int:
    """Return how many different labels there are: two with the same words, in any order, count as one."""
    return len({label_words(" ".join(label.keywords)) for label in labels if label.keywords})
