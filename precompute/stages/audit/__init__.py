"""audit: texts and activations → copies of texts, and what each feature may fire on instead of meaning.

Only `TOP_TEXTS` strongest and `SAMPLED` drawn texts of a feature are cut into words and compared with each other. What
was found of a range of features lies under work/audit, so that a killed run goes on.

    traits           what is known of every text
    feature_counts   what is counted over all activations
    work_files       embeddings and segments of the texts that are compared
    text_comparison  near copies and common passages, by ranges of features

Memory: some 200 bytes a text, 5 kB a feature, and half a gigabyte for Python, a part of the embeddings or of the
activations, and a range of features. Disk, until the stage is done: the embeddings of the texts that are compared.
"""

from __future__ import annotations

from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq

from featurelib.audit import checks
from featurelib.audit.boilerplate import LONGEST_DETAIL, Segment
from featurelib.audit.checks import Check
from featurelib.audit.copies import SAME_COSINE, SAME_WORDS, Copies, all_copies
from featurelib.schema import AUDIT, COPIES, FEATURES
from precompute.build.job import Job, Made
from precompute.build.stage import Stage
from precompute.stages.audit.feature_counts import SAMPLED, Counted, count
from precompute.stages.audit.text_comparison import compare
from precompute.stages.audit.traits import Traits, read_traits


def audit(job: Job) -> Made:
    """Write summaries/audit.parquet and summaries/copies.parquet."""
    generation = job.generation
    traits = read_traits(job)
    n_features = pq.read_metadata(generation.need(FEATURES)).num_rows
    counted = count(job, traits, n_features)
    pairs, segments = compare(job, traits, counted)
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
