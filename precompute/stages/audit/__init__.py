"""audit: texts and activations → copies of texts, and what each feature may fire on instead of meaning.

Only `TOP` strongest and `SAMPLED` drawn texts of a feature are cut into words and compared with each other. What was
found of a range of features lies under work/audit, so that a killed run goes on.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq

from featurelib.audit import checks
from featurelib.audit.boilerplate import LONGEST_DETAIL, CorpusSegments, Segment, common_segment
from featurelib.audit.checks import Check
from featurelib.audit.copies import SAME_COSINE, SAME_WORDS, Copies, all_copies, near_pairs
from featurelib.schema import AUDIT, BY_FEATURE, COPIES, FEATURES, TOP_TEXTS
from featurelib.stats import midranks
from featurelib.storage import files
from featurelib.storage.activation_rows import read_rows
from featurelib.storage.runs import Generation
from precompute.build.job import Job, Made
from precompute.build.stage import Stage
from precompute.stages.audit.text_cache import TextCache
from precompute.stages.audit.traits import Traits, read_traits

SAMPLED = 200
"""Texts drawn of each feature, in which a common passage is searched."""
CORPUS_SAMPLE = 2_000
"""Texts drawn of the corpus, in which the same passages are counted for comparison."""
TEXTS_PER_RANGE = 200_000
"""Texts that are compared before their results are saved; a text of several features counts for each."""


def audit(job: Job) -> Made:
    """Write summaries/audit.parquet and summaries/copies.parquet."""
    generation = job.generation
    traits = read_traits(job)
    n_features = pq.read_metadata(generation.need(FEATURES)).num_rows
    counted = _count(job, traits, n_features)
    pairs, segments = _compare(job, traits, counted)
    copies = all_copies(traits.exact, pairs)
    results = _check_features(traits, counted, segments, copies)
    generation.write(COPIES, list(copies))
    generation.write(AUDIT, _columns(results, n_features))
    return _made(traits, results, copies, n_features)


STAGE = Stage(
    name="audit",
    makes="copies of texts and flags of features",
    make=audit,
    grounds="texts and activations",
    after=("embed", "summarise"),
    options=("seed",),
)


@dataclass(frozen=True)
class Counted:
    """What was counted over all activations: arrays [n_features]."""

    n_active: np.ndarray
    """int64."""
    rank_sum: np.ndarray
    """The sum of the midranks of its texts' lengths, float64."""
    median: np.ndarray
    """The median length of its texts, float64; NaN when dead."""
    n_truncated: np.ndarray
    """int64."""
    by_value: np.ndarray
    """Its texts of each language or script, int64 [n_features, n_names]."""
    n_different: np.ndarray
    """How many of its texts are different, int64."""
    top: list[np.ndarray]
    """The ids of its TOP_TEXTS strongest texts."""
    drawn: list[np.ndarray]
    """The ids of SAMPLED texts drawn from all on which it fires, ascending."""


def _count(job: Job, traits: Traits, n_features: int) -> Counted:
    n_active, n_truncated, n_different = (np.zeros(n_features, np.int64) for _ in range(3))
    rank_sum, median = np.zeros(n_features), np.full(n_features, np.nan)
    by_value = np.zeros((n_features, len(traits.names)), np.int64)
    top = [np.empty(0, np.int64)] * n_features
    drawn = list(top)
    ranks = midranks(traits.lengths)
    with job.progress(n_features, "features counted") as bar:
        for feature_id, ids in _texts_of_features(job.generation):
            n_active[feature_id] = len(ids)
            rank_sum[feature_id] = ranks[ids].sum()
            median[feature_id] = np.median(traits.lengths[ids])
            if traits.truncated is not None:
                n_truncated[feature_id] = np.count_nonzero(traits.truncated[ids])
            values = traits.values[ids]
            by_value[feature_id] = np.bincount(values[values >= 0], minlength=len(traits.names))
            n_different[feature_id] = len(np.unique(traits.exact[ids]))
            top[feature_id] = ids[:TOP_TEXTS].copy()
            drawn[feature_id] = _draw(ids, SAMPLED, job.config.seed, feature_id)
            bar.advance()
    return Counted(n_active, rank_sum, median, n_truncated, by_value, n_different, top, drawn)


def _texts_of_features(generation: Generation) -> Iterator[tuple[int, np.ndarray]]:
    """Yield each live feature and the ids of its texts, the strongest first."""
    for part in generation.parts(BY_FEATURE):
        rows = read_rows(part)
        feature_ids, starts = np.unique(rows.feature_ids, return_index=True)
        yield from zip(feature_ids.tolist(), np.split(rows.text_ids, starts[1:]), strict=False)


def _draw(ids: np.ndarray, most: int, *seed: int) -> np.ndarray:
    if len(ids) <= most:
        return np.sort(ids)
    return np.sort(np.random.default_rng(seed).choice(ids, most, replace=False))


def _compare(job: Job, traits: Traits, counted: Counted) -> tuple[list[tuple[int, int]], list[Segment]]:
    """Find the near copies among the texts of each feature, and the passage that its texts have in common."""
    # Products of a few hundred rows: threads that wait for each other took five times as long on a busy machine.
    from threadpoolctl import threadpool_limits

    folder = job.generation.work("audit")
    cache = TextCache(job.generation, traits.cut)
    corpus: CorpusSegments | None = None
    pairs: list[tuple[int, int]] = []
    segments: list[Segment] = []
    with job.progress(len(counted.top), "features compared") as bar, threadpool_limits(1):
        for number, (first, last) in enumerate(_ranges(counted)):
            path = folder / f"range-{number:05d}.json"
            if not path.is_file():
                corpus = corpus or _corpus_segments(job, traits, cache)
                files.write_json(path, _compare_range(cache, traits, counted, corpus, range(first, last)))
            compared = files.read_json(path)
            pairs += [(first_id, second_id) for first_id, second_id in compared["pairs"]]
            segments += [Segment(*segment) for segment in compared["segments"]]
            bar.advance(last - first)
    return pairs, segments


def _ranges(counted: Counted) -> list[tuple[int, int]]:
    """Ranges of features, first to last without the last, with about TEXTS_PER_RANGE texts to compare in each."""
    sizes = [len(top) + len(drawn) for top, drawn in zip(counted.top, counted.drawn, strict=True)]
    number = (np.cumsum(sizes) - 1) // TEXTS_PER_RANGE if sizes else np.empty(0, np.int64)
    starts = np.flatnonzero(np.diff(number, prepend=-2)).tolist()
    return list(zip(starts, [*starts[1:], len(sizes)], strict=True))


def _corpus_segments(job: Job, traits: Traits, cache: TextCache) -> CorpusSegments:
    different = np.flatnonzero(traits.exact == np.arange(len(traits.exact)))
    ids = _draw(different, CORPUS_SAMPLE, job.config.seed)
    cache.fetch(ids)
    return CorpusSegments.of([cache.words(text_id) for text_id in ids.tolist()])


def _compare_range(
    cache: TextCache, traits: Traits, counted: Counted, corpus: CorpusSegments, features: range
) -> dict[str, Any]:
    ids_of = [np.union1d(counted.top[feature_id], counted.drawn[feature_id]) for feature_id in features]
    cache.fetch(np.unique(np.concatenate([np.empty(0, np.int64), *ids_of])))
    pairs: set[tuple[int, int]] = set()
    segments = []
    for feature_id, ids in zip(features, ids_of, strict=True):
        texts = [cache.words(text_id) for text_id in ids.tolist()]
        near, group = near_pairs(ids.tolist(), cache.embeddings(ids), texts, traits.exact[ids])
        pairs.update(near)
        places = np.searchsorted(ids, counted.drawn[feature_id])
        _, first = np.unique(group[places], return_index=True)
        segment = common_segment([texts[place] for place in places[np.sort(first)]], corpus)
        segments.append([segment.k, segment.n, segment.expected, segment.passage])
    return {"pairs": sorted(pairs), "segments": segments}


def _check_features(traits: Traits, counted: Counted, segments: list[Segment], copies: Copies) -> list[Check]:
    n, n_texts = counted.n_active, len(traits.exact)
    usual = float(np.median(traits.lengths)) if n_texts else 0.0
    details = [
        "" if np.isnan(median) else f"median {median:,.0f} {traits.unit}, {usual:,.0f} in the corpus"
        for median in counted.median.tolist()
    ]
    results = [checks.check_length(counted.rank_sum, n, n_texts, details)]
    if traits.truncated is not None:
        share = float(traits.truncated.mean())
        details = [
            f"{k:,} of {of:,} texts were cut" for k, of in zip(counted.n_truncated.tolist(), n.tolist(), strict=True)
        ]
        results.append(checks.check_share("truncation", counted.n_truncated, n, share, details))
    if traits.names:
        results.append(_check_values(traits, counted))
    results.append(checks.check_boilerplate(segments))
    results.append(_check_copies(counted, copies, n_texts))
    return results


def _check_values(traits: Traits, counted: Counted) -> Check:
    """The language or script whose share is furthest above the corpus's."""
    n = counted.n_active
    corpus = np.bincount(traits.values[traits.values >= 0], minlength=len(traits.names)) / max(len(traits.values), 1)
    best = (counted.by_value / np.maximum(n, 1)[:, None] - corpus).argmax(axis=1)
    k = counted.by_value[np.arange(len(n)), best]
    details = [
        traits.names[number][:LONGEST_DETAIL] if n_texts else "" for number, n_texts in zip(best, n, strict=True)
    ]
    return checks.check_share(traits.kind, k, n, corpus[best], details)


def _check_copies(counted: Counted, copies: Copies, n_texts: int) -> Check:
    """The share of a feature's top texts of which another is a copy or near copy."""
    group = np.arange(n_texts)
    group[copies.text_ids] = copies.copy_of
    k, detail = [], []
    for feature_id, top in enumerate(counted.top):
        _, inverse, counts = np.unique(group[top], return_inverse=True, return_counts=True)
        k.append(int((counts[inverse] > 1).sum()) if len(top) else 0)
        n, different = int(counted.n_active[feature_id]), int(counted.n_different[feature_id])
        if n > 1 and different == 1:
            detail.append(f"fires on {n:,} exact copies of one text only")
        else:
            detail.append(f"{len(counts):,} different among {len(top):,} top texts" if len(top) else "")
    n_top = np.array([len(top) for top in counted.top], np.int64)
    return checks.check_share("copies", np.array(k), n_top, len(copies.text_ids) / max(n_texts, 1), detail)


def _columns(results: list[Check], n_features: int) -> list[Any]:
    """The columns of the table: for each feature its checks in their order."""
    ids = np.repeat(np.arange(n_features, dtype=np.int32), len(results))
    columns: list[Any] = [ids, [check.name for check in results] * n_features]
    for name in ("value", "low", "high", "expected", "n_texts", "flagged"):
        numbers = np.stack([getattr(check, name) for check in results], axis=1).ravel()
        columns.append(pa.array(numbers, from_pandas=True))
    details = [check.detail for check in results]
    return [*columns, [detail for row in zip(*details, strict=True) for detail in row]]


def _made(traits: Traits, results: list[Check], copies: Copies, n_features: int) -> Made:
    flags = {check.name: int(check.flagged.sum()) for check in results}
    flagged = np.any([check.flagged for check in results], axis=0)
    n_exact = int(copies.exact.sum())
    facts = {
        "flags": flags,
        "n_flagged": int(flagged.sum()),
        "n_features": n_features,
        "n_enough": {check.name: int((check.n_texts >= checks.MIN_TEXTS).sum()) for check in results},
        "n_copies": len(copies.text_ids),
        "n_exact_copies": n_exact,
        "unit": traits.unit,
        "language_column": traits.column,
        "thresholds": checks.THRESHOLDS | {"cosine": SAME_COSINE, "same_words": SAME_WORDS},
        "sampled": SAMPLED,
    }
    flags_line = ", ".join(f"{name} {n:,}" for name, n in flags.items())
    line = (
        f"{facts['n_flagged']:,} of {n_features:,} features flagged ({flags_line}); {len(copies.text_ids):,} texts "
        f"have a copy, {n_exact:,} of them an exact one"
    )
    return Made(line, facts)
