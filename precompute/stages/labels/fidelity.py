"""How well labels predict firing on the label test texts, for our labels and the baseline's."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, NamedTuple

import numpy as np

from featurelib.labels.keybert import unit
from featurelib.labels.keywords import SEPARATOR
from featurelib.labels.split import TESTING
from featurelib.labels.words import TextsContaining, label_words
from featurelib.schema.records import Fidelity
from featurelib.stats import Agreement, ap_interval, auroc_and_ap, auroc_interval, bootstrap
from featurelib.storage.embeddings import read_embeddings_of
from featurelib.storage.texts import read_texts
from precompute.build.job import Job
from precompute.stages.labels.candidates import Vectors
from precompute.stages.labels.texts import EvidenceTexts

LEAST = 5
"""Label test texts that must fire, and must not, for a label to be measured."""
OURS, SEED = METHODS = ("ours", "seed")
RESEMBLES, CONTAINS = "resembles", "contains"
UNKNOWN = Agreement(np.full(1, np.nan), np.full(1, np.nan))


class Label(NamedTuple):
    """A feature's name."""

    keywords: list[str]
    """Its one to three keywords; empty where there are none."""
    source: str
    """evidence, keywords, single texts or none."""

    def text(self, feature_id: int) -> str:
        """The label as it is shown."""
        return SEPARATOR.join(self.keywords) or f"feature {feature_id}"


Measured = dict[tuple[str, str], list[Fidelity]]
"""The scores by method and predictor."""


def measure_labels(job: Job, texts: EvidenceTexts, labels: dict[str, list[Label]], vectors: Vectors | None) -> Measured:
    """Measure each method's labels on the label test texts.

    Null where fewer than 5 of them fire (or do not), and where none of the feature's top texts is a naming text: its
    keywords come from the texts on which they would be tested.
    """
    part = texts.parts[TESTING]
    predictors = _predictors(job, part.text_ids, labels, vectors)
    n_fires = part.n_fires()
    fair = (n_fires >= LEAST) & (part.n - n_fires >= LEAST) & (texts.n_naming > 0)
    measured: Measured = {(method, predictor): [] for method in labels for predictor in predictors}
    with job.progress(len(labels) * len(fair), "labels tested") as bar:
        for method, named in labels.items():
            found: dict[str, list[Agreement]] = {predictor: [] for predictor in predictors}
            for feature_id, own in enumerate(named):
                fires = part.fires(feature_id)
                for predictor, predict in predictors.items() if own.keywords else ():
                    told = auroc_and_ap(predict(own.keywords)[None], fires) if fair[feature_id] else UNKNOWN
                    found[predictor].append(told)
                bar.advance()
            for predictor, told in found.items():
                measured[method, predictor] = _scores(method, predictor, named, told, n_fires, part.n)
    return measured


def _predictors(
    job: Job, text_ids: np.ndarray, labels: dict[str, list[Label]], vectors: Vectors | None
) -> dict[str, Callable[[list[str]], np.ndarray]]:
    """Each predictor as a function of a label's keywords; it gives a number for every text, float [n]."""
    wanted = {keyword for own in labels.values() for one in own for keyword in one.keywords}
    holders = TextsContaining(read_texts(job.generation, text_ids), wanted)
    predictors: dict[str, Callable[[list[str]], np.ndarray]] = {
        CONTAINS: lambda keywords: np.sum([holders(keyword) for keyword in keywords], axis=0, dtype=np.float32)
    }
    if vectors is not None:
        units = unit(read_embeddings_of(job.generation, text_ids))
        predictors[RESEMBLES] = lambda keywords: units @ vectors(keywords).mean(axis=0)
    return predictors


def _scores(
    method: str,
    predictor: str,
    labels: list[Label],
    found: list[Agreement],
    n_fires: np.ndarray,
    n_texts: int,
) -> list[Fidelity]:
    """The rows of one method and predictor, with intervals; null where nothing is known."""
    ids = [feature_id for feature_id, own in enumerate(labels) if own.keywords]
    auroc, ap = (np.concatenate([[], *column]) for column in zip(*found, strict=True)) if found else ([], [])
    n_fires = n_fires[ids]
    columns = [
        auroc,
        *auroc_interval(auroc, n_fires, n_texts - n_fires),
        ap,
        *ap_interval(ap, n_fires),
    ]
    told = [[None if np.isnan(one) else float(one) for one in row] for row in zip(*columns, strict=True)]
    return [
        Fidelity(feature_id, method, labels[feature_id].text(feature_id), predictor, *own, int(n), n_texts)
        for feature_id, own, n in zip(ids, told, n_fires, strict=True)
    ]


def both_measured(measured: Measured, predictor: str) -> dict[str, list[Fidelity]]:
    """Each method's scores by one predictor, of the features that both methods have scores of, by feature_id."""
    scores = {
        method: [one for one in measured.get((method, predictor), []) if one.ap is not None] for method in METHODS
    }
    both = set.intersection(*({one.feature_id for one in own} for own in scores.values()))
    return {method: [one for one in own if one.feature_id in both] for method, own in scores.items()}


def summary(measured: Measured, seed: int) -> dict[str, Any]:
    """Mean and median AUROC and average precision over features, with bootstrap intervals, by predictor and method."""
    told: dict[str, Any] = {}
    for predictor in dict.fromkeys(predictor for _, predictor in measured):
        scores = both_measured(measured, predictor)
        told[predictor] = {"n_features": len(scores[OURS])} | {
            method: {
                f"{name}_{kind}": _interval([getattr(one, name) for one in own], kind == "median", seed)
                for name in ("auroc", "ap")
                for kind in ("mean", "median")
            }
            for method, own in scores.items()
        }
    return told


def _interval(values: list[float], median: bool, seed: int) -> dict[str, float] | None:
    found = bootstrap(np.array(values), median=median, seed=seed)
    return found and found._asdict()


def n_distinct(labels: list[Label]) -> int:
    """How many different names there are: two with the same words, in any order, are one."""
    return len({label_words(" ".join(one.keywords)) for one in labels if one.keywords})
