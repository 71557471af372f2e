"""labels: keywords → a label for every feature, chosen by evidence, and how well it predicts firing.

Candidates come from the naming texts, a label is chosen on the choosing texts (choice.py in this folder), and both it
and the baseline's label are measured, once, on the label test texts (featurelib.labels.split). What predicts is either
"resembles", the cosine of the text's embedding to the label's (the mean of its keywords' embeddings at length 1,
which predicts better than the embedding of the label as one string), or "contains", how many of the label's keywords
the text contains.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import pyarrow.parquet as pq

from featurelib.labels.keybert import unit
from featurelib.labels.keywords import Keyword, label, label_keywords
from featurelib.labels.split import TESTING
from featurelib.sae.checkpoints import load_sae
from featurelib.schema import (
    FEATURES,
    FIDELITY,
    KEYWORD_EVIDENCE,
    KEYWORDS,
    LABEL_VECTORS,
    LABELS,
)
from featurelib.storage.runs import Generation
from precompute.build.job import Job, Made
from precompute.build.stage import Stage
from precompute.stages.labels.candidates import BY_KEYWORDS, TOP_TEXTS, Candidates, Vectors, embed_candidates
from precompute.stages.labels.choice import Choice, Weighed, share_out
from precompute.stages.labels.features import SHOWN, find_choices
from precompute.stages.labels.fidelity import (
    OURS,
    RESEMBLES,
    SEED,
    Label,
    Measured,
    measure_labels,
    n_distinct,
    summary,
)
from precompute.stages.labels.texts import EvidenceTexts, draw

STRINGS_AT_ONCE = 256
SECONDS_PER_TOP_TEXT = 0.01
"""Features grow with the top texts, and each feature has its candidates."""
EVIDENCE, NONE = "evidence", "none"


def make_labels(job: Job) -> Made:
    """Write the labels, the evidence for their keywords, their embeddings and their fidelity."""
    generation = job.generation
    n_features = pq.read_metadata(generation.need(FEATURES)).num_rows
    seed_keywords = _seed_keywords(generation)
    texts = draw(generation, n_features, job.config.seed)
    candidates = Candidates(job, texts.naming, seed_keywords)
    vectors = embed_candidates(job, candidates, n_features) if job.config.has_embedder else None
    choices = find_choices(job, texts, candidates, vectors, n_features)
    labels = {
        OURS: _labels(choices, seed_keywords, n_features),
        SEED: [_seed_label(seed_keywords.get(feature_id, ())) for feature_id in range(n_features)],
    }
    _write_labels(generation, labels[OURS])
    counts = _write_evidence(job, choices, labels[OURS], vectors)
    _write_vectors(generation, labels[OURS], vectors)
    measured = measure_labels(job, texts, labels, vectors)
    generation.write_rows(FIDELITY, [row for rows in measured.values() for row in rows])
    return _made(job, texts, labels, measured, counts)


STAGE = Stage(
    name="labels",
    makes="a label for every feature and how well it predicts firing",
    make=make_labels,
    grounds="keywords, texts and SAE",
    after=("embed", "train", "summarise", "keywords"),
    options=("seed",),
    seconds=lambda workload: SECONDS_PER_TOP_TEXT * workload.n_top_texts,
)


def _seed_keywords(generation: Generation) -> dict[int, list[Keyword]]:
    found: dict[int, list[Keyword]] = {}
    for batch in pq.ParquetFile(generation.need(KEYWORDS)).iter_batches():
        for row in batch.to_pylist():
            keyword = Keyword(row["keyword"], row["score"], row["n_texts"])
            found.setdefault(row["feature_id"], []).append(keyword)
    return found


def _seed_label(own: Sequence[Keyword]) -> Label:
    return Label(label_keywords(own), label(0, own)[1])


def _labels(choices: dict[int, Choice], seed_keywords: dict[int, list[Keyword]], n_features: int) -> list[Label]:
    """Every feature's label; one without evidence has the baseline's, or that of its next keywords."""
    names = {feature_id: choice.alternatives for feature_id, choice in choices.items() if choice.alternatives}
    for feature_id, own in seed_keywords.items():
        if feature_id not in names:
            later = (label_keywords(own[start:BY_KEYWORDS]) for start in range(1, BY_KEYWORDS))
            names[feature_id] = [(0.0, keywords) for keywords in (label_keywords(own), *later) if keywords]
    given = share_out(names)
    labels = []
    for feature_id in range(n_features):
        chosen = feature_id in choices and bool(choices[feature_id].alternatives)
        source = EVIDENCE if chosen else _seed_label(seed_keywords.get(feature_id, ())).source
        labels.append(Label(given.get(feature_id, []), source if feature_id in given else NONE))
    return labels


def _write_labels(generation: Generation, labels: Sequence[Label]) -> None:
    rows = [(feature_id, one.text(feature_id), one.source) for feature_id, one in enumerate(labels)]
    generation.write_rows(LABELS, rows)


def _write_evidence(
    job: Job, choices: dict[int, Choice], labels: Sequence[Label], vectors: Vectors | None
) -> dict[str, int]:
    """Write the candidates with their evidence; count the labels, and those of which a keyword alone fires."""
    rows = []
    for feature_id, own in enumerate(labels):
        weighed = choices[feature_id].weighed if feature_id in choices else []
        first = [one for one in weighed if one.keyword in own.keywords]
        known = {one.keyword for one in first}
        first += [Weighed(keyword, TOP_TEXTS, None, None) for keyword in own.keywords if keyword not in known]
        others = [one for one in weighed if one.keyword not in own.keywords][: SHOWN - len(first)]
        shown = sorted([*first, *others], key=lambda one: -1.0 if one.auroc is None else -(one.auroc + (one.ap or 0)))
        rows += [(feature_id, rank, one, one.keyword in own.keywords) for rank, one in enumerate(shown, 1)]
    fired = _fired(job, [(feature_id, one.keyword) for feature_id, _, one, _ in rows], vectors)
    job.generation.write_rows(
        KEYWORD_EVIDENCE,
        [
            (feature_id, rank, one.keyword, one.origin, *own, one.auroc, one.ap, chosen)
            for (feature_id, rank, one, chosen), own in zip(rows, fired, strict=True)
        ],
    )
    firing = {feature_id for (feature_id, _, _, chosen), own in zip(rows, fired, strict=True) if chosen and own[1]}
    return {"n_labels": sum(bool(one.keywords) for one in labels), "n_own_words_fire": len(firing)}


def _fired(
    job: Job, pairs: Sequence[tuple[int, str]], vectors: Vectors | None
) -> list[tuple[float | None, bool | None]]:
    """The pre-activation of each (feature_id, keyword), and whether the keyword alone fires the feature."""
    if vectors is None:
        return [(None, None)] * len(pairs)
    sae = load_sae(job.generation.sae_folder)
    by_keyword: dict[str, list[int]] = {}
    for place, (_, keyword) in enumerate(pairs):
        by_keyword.setdefault(keyword, []).append(place)
    keywords = sorted(by_keyword)
    found: list[tuple[float | None, bool | None]] = [(None, None)] * len(pairs)
    with job.progress(len(keywords), "keywords encoded") as bar:
        for start in range(0, len(keywords), STRINGS_AT_ONCE):
            own = keywords[start : start + STRINGS_AT_ONCE]
            x = vectors.raw(own)
            pre, activations = sae.pre_activations(x).numpy(), sae.encode(x).numpy()
            for row, keyword in enumerate(own):
                for place in by_keyword[keyword]:
                    feature_id = pairs[place][0]
                    found[place] = float(pre[row, feature_id]), bool(activations[row, feature_id] > 0)
            bar.advance(len(own))
    return found


def _write_vectors(generation: Generation, labels: Sequence[Label], vectors: Vectors | None) -> None:
    """Write the embedding of each label at length 1; no rows without an embedder."""
    rows = [
        (feature_id, unit(vectors(own.keywords).mean(axis=0, keepdims=True))[0])
        for feature_id, own in enumerate(labels)
        if vectors is not None and own.keywords
    ]
    generation.write_rows(LABEL_VECTORS, rows)


def _made(
    job: Job, texts: EvidenceTexts, labels: dict[str, list[Label]], measured: Measured, counts: dict[str, int]
) -> Made:
    told = summary(measured, job.config.seed)
    sources = [one.source for one in labels[OURS]]
    facts = {
        "texts": {name: {"measured": part.n, "of": texts.sizes[name]} for name, part in texts.parts.items()},
        "n_naming_texts": texts.naming.n,
        "sources": {source: sources.count(source) for source in sorted(set(sources))},
        "n_distinct": {method: n_distinct(own) for method, own in labels.items()},
        "n_named": {method: sum(bool(one.keywords) for one in own) for method, own in labels.items()},
        "fidelity": told,
        "label_embedding": "mean of its keywords' embeddings at length 1" if RESEMBLES in told else None,
        **counts,
    }
    return Made(_line(facts, told), facts)


def _line(facts: dict[str, Any], told: dict[str, Any]) -> str:
    distinct, named = facts["n_distinct"], facts["n_named"]
    line = (
        f"{named[OURS]:,} features named, {distinct[OURS]:,} names distinct (baseline: {distinct[SEED]:,} of "
        f"{named[SEED]:,})"
    )
    predictor = RESEMBLES if RESEMBLES in told else next(iter(told))
    ours, seed = told[predictor][OURS], told[predictor][SEED]
    if ours["ap_mean"] is None:
        return f"{line}; none could be measured"
    return (
        f"{line}; on {facts['texts'][TESTING]['measured']:,} label test texts '{predictor}' has mean AUROC "
        f"{ours['auroc_mean']['value']:.3f} (baseline {seed['auroc_mean']['value']:.3f}), average precision "
        f"{ours['ap_mean']['value']:.3f} (baseline {seed['ap_mean']['value']:.3f}) over "
        f"{told[predictor]['n_features']:,} features"
    ) + ("" if RESEMBLES in told else "; the run has no embedder, so labels have no vectors")
