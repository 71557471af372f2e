"""labels: keywords → a label for every feature and region, chosen by evidence, and how well labels predict firing.

Candidates come from the naming texts, a label is chosen on the choosing texts (featurelib.labels.choice), and both it
and the baseline's label are measured, once, on the label test texts (featurelib.labels.split). What predicts is either
"resembles", the cosine of the text's embedding to the label's (the mean of its keywords' embeddings at length 1,
which predicts better than the embedding of the label as one string), or "contains", how many of the label's keywords
the text contains; in a token run the latter alone, because cosines of hidden states say little about meaning.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, NamedTuple

import numpy as np
import pyarrow.parquet as pq

from featurelib.labels.choice import Choice, Weighed, share_out
from featurelib.labels.form import Form
from featurelib.labels.keybert import unit
from featurelib.labels.keywords import Keyword, label_keywords
from featurelib.labels.keywords import label as keyword_label
from featurelib.labels.split import SPLITS, TESTING
from featurelib.sae.checkpoints import load_sae
from featurelib.schema import (
    FEATURE_THEMES,
    FEATURES,
    FIDELITY,
    KEYWORD_EVIDENCE,
    KEYWORDS,
    LABEL_VECTORS,
    LABELS,
    NAME_COVERAGE,
    NAME_FAILURES,
)
from featurelib.storage.runs import Generation
from precompute.build.embedded_strings import EmbeddedStrings
from precompute.build.job import Job, Made
from precompute.build.stage import Stage, Workload
from precompute.stages.labels.candidates import TOKENS, TOP_TEXTS, Candidates, embed_candidates
from precompute.stages.labels.choices import SHOWN, find_choices
from precompute.stages.labels.coverage import coverage, failures
from precompute.stages.labels.feature_themes import write_feature_themes
from precompute.stages.labels.fidelity import (
    BASELINE,
    FORM,
    OURS,
    RESEMBLES,
    Label,
    Measured,
    TestTexts,
    measure_labels,
    n_distinct,
    summary,
)
from precompute.stages.labels.fired_words import TokenWord, read_token_words, token_names
from precompute.stages.labels.forms import find_forms, keep_telling
from precompute.stages.labels.label_texts import NAMING_TOP, SAMPLE_SIZE, LabelTexts, sample_texts
from precompute.stages.labels.region_labels import RegionTexts, choose_region_labels, write_regions

STRINGS_AT_ONCE = 256
STRINGS_PER_FEATURE = 12
"""Candidates of a feature that no other has."""
SECONDS_PER_FEATURE, SECONDS_ON_ALL_TEXTS = 0.02, 0.06
"""What a feature takes on two cores, and what it takes more where its samples of texts are full."""
FULL = 4 * SAMPLE_SIZE
"""Texts of a corpus whose samples are full: the smallest of them is drawn from a quarter."""
SECONDS_PER_TEXT = 0.002
"""What reading the words of a sampled text takes."""
EVIDENCE, NONE = "evidence", "none"


def make_labels(job: Job) -> Made:
    """Write the labels, the evidence for their keywords, their embeddings and their fidelity."""
    generation = job.generation
    n_features = pq.read_metadata(generation.need(FEATURES)).num_rows
    baseline_keywords = _read_keywords(generation)
    texts = sample_texts(generation, n_features, job.config.seed)
    is_token_run = job.config.has_tokens
    token_words = read_token_words(generation, texts.naming.text_ids, n_features) if is_token_run else {}
    candidates = Candidates(job, texts, baseline_keywords, token_words)
    regions = RegionTexts(job, texts)
    of_regions = regions.candidates(candidates)
    forms = {} if is_token_run else find_forms(job, texts, n_features)
    further = {phrase for phrases in of_regions for phrase in phrases} | {form.keyword for form in forms.values()}
    vectors = embed_candidates(job, candidates, n_features, further) if job.config.has_embedder else None
    choices = find_choices(job, texts, candidates, vectors, n_features)
    best = {number: choice.alternatives[0][1] for number, choice in choices.items() if choice.alternatives}
    forms = keep_telling(texts, forms, best)
    labels = {
        OURS: _choose_labels(choices, token_words, forms, n_features),
        BASELINE: [_baseline_label(baseline_keywords.get(feature_id, ())) for feature_id in range(n_features)],
    }
    # in a token run cosines of hidden states say little about meaning
    meaning = None if is_token_run else vectors
    region_labels = choose_region_labels(texts, regions, of_regions, meaning)
    _write_labels(generation, labels[OURS])
    counts = _write_evidence(job, choices, labels[OURS], vectors)
    counts |= {"n_forms": len(forms), "n_regions_named": len(region_labels)}
    counts["n_of_several_themes"] = 0
    if meaning is None:
        generation.write_rows(FEATURE_THEMES, [])
    else:
        # what the words of a form have in common is no theme
        others = [feature_id for feature_id in range(n_features) if feature_id not in forms]
        counts["n_of_several_themes"] = write_feature_themes(job, texts, candidates, meaning, others)
    _write_vectors(generation, labels[OURS], vectors)
    tests = TestTexts(texts, meaning)
    write_regions(job, regions, region_labels, tests)
    measured = measure_labels(job, tests, labels)
    generation.write_rows(FIDELITY, [row for rows in measured.values() for row in rows])
    generation.write_rows(
        NAME_COVERAGE, [row for method, of_method in labels.items() for row in coverage(tests, method, of_method)]
    )
    generation.write_rows(NAME_FAILURES, list(failures(tests, labels[OURS])))
    return _made(job, texts, labels, measured, counts)


def _seconds(workload: Workload) -> float:
    """Choices, themes and tests cost each feature more the more texts its samples have, up to full ones."""
    per_feature = SECONDS_PER_FEATURE + SECONDS_ON_ALL_TEXTS * min(1.0, workload.n_texts / FULL)
    n_sampled = min(workload.n_texts, len(SPLITS) * SAMPLE_SIZE + NAMING_TOP * workload.n_features)
    to_embed = workload.seconds_to_embed_strings(STRINGS_PER_FEATURE * workload.n_features)
    return to_embed + per_feature * workload.n_features + SECONDS_PER_TEXT * n_sampled


STAGE = Stage(
    name="labels",
    makes="a label for every feature and how well it predicts firing",
    make=make_labels,
    grounds="keywords, texts and SAE",
    after=("embed", "train", "summarise", "keywords", "layout", "attributions"),
    options=("seed",),
    version=4,
    seconds=_seconds,
)


def _write_labels(generation: Generation, labels: Sequence[Label]) -> None:
    rows = [(feature_id, label.text(feature_id), label.source) for feature_id, label in enumerate(labels)]
    generation.write_rows(LABELS, rows)


def _read_keywords(generation: Generation) -> dict[int, list[Keyword]]:
    """The baseline's keywords of each feature that has some, the best first."""
    keywords: dict[int, list[Keyword]] = {}
    for batch in pq.ParquetFile(generation.need(KEYWORDS)).iter_batches():
        for row in batch.to_pylist():
            keyword = Keyword(row["keyword"], row["score"], row["n_texts"])
            keywords.setdefault(row["feature_id"], []).append(keyword)
    return keywords


def _baseline_label(keywords: Sequence[Keyword]) -> Label:
    return Label(label_keywords(keywords), keyword_label(0, keywords)[1])


def _choose_labels(
    choices: dict[int, Choice], token_words: dict[int, list[TokenWord]], forms: dict[int, Form], n_features: int
) -> list[Label]:
    """Every feature's label; one without evidence has none.

    In a token run the words on which a feature fires come before all, where a few of them hold enough; in others the
    form of words does, where features fire by that.
    """
    by_tokens = {feature_id: names for feature_id, words in token_words.items() if (names := token_names(words))}
    by_evidence = {feature_id: choice.alternatives for feature_id, choice in choices.items() if choice.alternatives}
    by_form = {feature_id: [(1.0, [form.keyword])] for feature_id, form in forms.items()}
    shared_out = share_out(by_evidence | by_tokens | by_form)
    sources = dict.fromkeys(by_evidence, EVIDENCE) | dict.fromkeys(by_tokens, TOKENS) | dict.fromkeys(by_form, FORM)
    return [Label(shared_out.get(feature_id, []), sources.get(feature_id, NONE)) for feature_id in range(n_features)]


class _EvidenceRow(NamedTuple):
    feature_id: int
    rank: int
    candidate: Weighed
    chosen: bool


def _write_evidence(
    job: Job, choices: dict[int, Choice], labels: Sequence[Label], vectors: EmbeddedStrings | None
) -> dict[str, int]:
    """Write the candidates with their evidence; count the labels, and those with a keyword that alone fires."""
    rows: list[_EvidenceRow] = []
    for feature_id, label in enumerate(labels):
        weighed = choices[feature_id].weighed if feature_id in choices else []
        shown = sorted(_shown(weighed, label.keywords), key=_by_agreement)
        rows += [
            _EvidenceRow(feature_id, rank, candidate, candidate.keyword in label.keywords)
            for rank, candidate in enumerate(shown, 1)
        ]
    fired = _encode_alone(job, [(row.feature_id, row.candidate.keyword) for row in rows], vectors)
    job.generation.write_rows(
        KEYWORD_EVIDENCE,
        [
            (feature_id, rank, candidate.keyword, candidate.origin, *alone, candidate.auroc, candidate.ap, chosen)
            for (feature_id, rank, candidate, chosen), alone in zip(rows, fired, strict=True)
        ],
    )
    own_words_fire = {row.feature_id for row, alone in zip(rows, fired, strict=True) if row.chosen and alone.fires}
    return {"n_labels": sum(bool(label.keywords) for label in labels), "n_own_words_fire": len(own_words_fire)}


def _shown(weighed: Sequence[Weighed], keywords: Sequence[str]) -> list[Weighed]:
    """The label's own keywords, and of the other candidates as many as there is room for."""
    own = [candidate for candidate in weighed if candidate.keyword in keywords]
    known = {candidate.keyword for candidate in own}
    own += [Weighed(keyword, TOP_TEXTS, None, None) for keyword in keywords if keyword not in known]
    others = [candidate for candidate in weighed if candidate.keyword not in keywords]
    return [*own, *others[: SHOWN - len(own)]]


def _by_agreement(candidate: Weighed) -> float:
    return -1.0 if candidate.auroc is None else -(candidate.auroc + (candidate.ap or 0))


class _Alone(NamedTuple):
    pre_activation: float | None
    fires: bool | None


def _encode_alone(job: Job, pairs: Sequence[tuple[int, str]], vectors: EmbeddedStrings | None) -> list[_Alone]:
    """For each (feature_id, keyword): the feature's pre-activation on the keyword alone, and whether it fires."""
    encoded = [_Alone(None, None)] * len(pairs)
    if vectors is None:
        return encoded
    sae = load_sae(job.generation.sae_folder)
    places_of: dict[str, list[int]] = {}
    for place, (_, keyword) in enumerate(pairs):
        places_of.setdefault(keyword, []).append(place)
    keywords = sorted(places_of)
    with job.progress(len(keywords), "keywords encoded") as bar:
        for start in range(0, len(keywords), STRINGS_AT_ONCE):
            block = keywords[start : start + STRINGS_AT_ONCE]
            x = vectors.raw(block)
            # as many as the SAE takes at a time
            (at_gate,) = sae.at_gate(x)
            pre_activations, fires = at_gate.pre_activations.numpy(), at_gate.fires.numpy()
            for row, keyword in enumerate(block):
                for place in places_of[keyword]:
                    feature_id = pairs[place][0]
                    encoded[place] = _Alone(float(pre_activations[row, feature_id]), bool(fires[row, feature_id]))
            bar.advance(len(block))
    return encoded


def _write_vectors(generation: Generation, labels: Sequence[Label], vectors: EmbeddedStrings | None) -> None:
    """Write the embedding of each label at length 1; no rows without an embedder."""
    rows = [
        (feature_id, unit(vectors.units(label.keywords).mean(axis=0, keepdims=True))[0])
        for feature_id, label in enumerate(labels)
        if vectors is not None and label.keywords
    ]
    generation.write_rows(LABEL_VECTORS, rows)


def _made(
    job: Job, texts: LabelTexts, labels: dict[str, list[Label]], measured: Measured, counts: dict[str, int]
) -> Made:
    fidelity = summary(measured, job.config.seed)
    sources = [label.source for label in labels[OURS]]
    facts = {
        "texts": {split: {"measured": sample.n, "of": texts.sizes[split]} for split, sample in texts.samples.items()},
        "n_naming_texts": texts.naming.n,
        "sources": {source: sources.count(source) for source in sorted(set(sources))},
        "n_distinct": {method: n_distinct(of_method) for method, of_method in labels.items()},
        "n_named": {method: sum(bool(label.keywords) for label in of_method) for method, of_method in labels.items()},
        "fidelity": fidelity,
        "label_embedding": "mean of its keywords' embeddings at length 1" if RESEMBLES in fidelity else None,
        **counts,
    }
    return Made(_line(facts, job.config.has_embedder), facts)


def _line(facts: dict[str, Any], has_embedder: bool) -> str:
    distinct, named, fidelity = facts["n_distinct"], facts["n_named"], facts["fidelity"]
    line = (
        f"{named[OURS]:,} features named, {distinct[OURS]:,} names distinct (baseline: {distinct[BASELINE]:,} of "
        f"{named[BASELINE]:,})"
    )
    predictor = RESEMBLES if RESEMBLES in fidelity else next(iter(fidelity))
    ours, baseline = fidelity[predictor][OURS], fidelity[predictor][BASELINE]
    if ours["ap_mean"] is None:
        return f"{line}; none could be measured"
    return (
        f"{line}; on {facts['texts'][TESTING]['measured']:,} label test texts '{predictor}' has mean AUROC "
        f"{ours['auroc_mean']['value']:.3f} (baseline {baseline['auroc_mean']['value']:.3f}), average precision "
        f"{ours['ap_mean']['value']:.3f} (baseline {baseline['ap_mean']['value']:.3f}) over "
        f"{fidelity[predictor]['n_features']:,} features"
    ) + ("" if has_embedder else "; the run has no embedder, so labels have no vectors")
