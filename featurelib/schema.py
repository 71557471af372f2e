"""The names of the house: every table of a run, its file, its columns, and the two errors everybody may raise.

Everything else may import this file; it imports nothing of ours.
"""

from __future__ import annotations

from dataclasses import dataclass

import pyarrow as pa

FORMAT_VERSION = 1

STAGES = (
    *("ingest", "embed", "train", "encode", "summarise", "label", "arrange"),
    *("judge", "explain", "attribute", "miss", "relate", "audit"),
)

TOP_TEXTS = 100
HISTOGRAM_BINS = 40
NEIGHBOURS = 50
OPPOSITES = 10
COACTIVATIONS = 50
MIN_BOTH = 5
DENSE = 0.1


EVIDENCE = ("named", "chosen", "judged")
"""The parts of the texts that names are made from, chosen on and judged on: a half, a quarter and a quarter."""


class Refusal(ValueError):
    """Something that cannot be used; its message is one sentence naming what was found, what was expected, the mend."""


class RunNotReady(Refusal):
    """A part of a run that has not been made yet; the message names the stage and the command that makes it."""


@dataclass(frozen=True)
class Table:
    """One table of a run: where it lies in a generation, what it holds and which stage writes it."""

    view: str
    """The name in SQL."""
    path: str
    """The file, or the folder of part files, relative to the generation."""
    stage: str
    """The stage that writes it."""
    schema: pa.Schema
    """The columns that are always there; more may follow."""
    parts: bool = False
    """Whether `path` is a folder of part-*.parquet files."""


def _table(view: str, path: str, stage: str, columns: dict[str, pa.DataType], *, parts: bool = False) -> Table:
    return Table(view, path, stage, pa.schema(list(columns.items())), parts)


_ACTIVATION_ROWS = {"text_id": pa.int64(), "feature_id": pa.int32(), "activation": pa.float32()}

TEXTS = _table(
    "texts",
    "texts.parquet",
    "ingest",
    {"text_id": pa.int64(), "source_row": pa.int64(), "source_id": pa.string(), "text": pa.string()},
)
DROPPED = _table(
    "dropped",
    "dropped.parquet",
    "ingest",
    {"source_row": pa.int64(), "source_id": pa.string(), "reason": pa.string()},
)
EMBEDDINGS = _table(
    "embeddings",
    "embeddings",
    "embed",
    {
        "text_id": pa.int64(),
        "embedding": pa.list_(pa.float32()),
        "n_tokens": pa.int32(),
        "truncated": pa.bool_(),
        "cut": pa.int32(),
    },
    parts=True,
)
SPLIT = _table("split", "split.parquet", "train", {"text_id": pa.int64(), "sae_split": pa.string()})
BY_TEXT = _table("activations_by_text", "activations/by_text", "encode", _ACTIVATION_ROWS, parts=True)
BY_FEATURE = _table("activations_by_feature", "activations/by_feature", "encode", _ACTIVATION_ROWS, parts=True)
TEXT_SUMMARIES = _table(
    "text_summaries",
    "summaries/texts.parquet",
    "encode",
    {
        "text_id": pa.int64(),
        "n_active": pa.int32(),
        "fvu": pa.float32(),
        "cosine": pa.float32(),
        "n_tokens": pa.int32(),
        "truncated": pa.bool_(),
        "cut": pa.int32(),
        "sae_split": pa.string(),
    },
)
NEIGHBOUR_ROWS = _table(
    "neighbours",
    "summaries/neighbours.parquet",
    "encode",
    {"feature_id": pa.int32(), "rank": pa.int32(), "neighbour_id": pa.int32(), "cosine": pa.float32()},
)
OPPOSITE_ROWS = _table(
    "opposites",
    "summaries/opposites.parquet",
    "encode",
    {"feature_id": pa.int32(), "rank": pa.int32(), "neighbour_id": pa.int32(), "cosine": pa.float32()},
)
EVALUATION = _table(
    "evaluation",
    "summaries/evaluation.parquet",
    "encode",
    {
        "metric": pa.string(),
        "value": pa.float64(),
        "low": pa.float64(),
        "high": pa.float64(),
        "split": pa.string(),
        "space": pa.string(),
        "n_texts": pa.int64(),
        "formula": pa.string(),
    },
)
GATES = _table(
    "gates",
    "summaries/gates.parquet",
    "encode",
    {"feature_id": pa.int32(), "gate": pa.float32(), "alignment": pa.float32()},
)
FEATURES = _table(
    "features",
    "summaries/features.parquet",
    "summarise",
    {
        "feature_id": pa.int32(),
        "n_active": pa.int64(),
        "density": pa.float64(),
        "log10_density": pa.float64(),
        "max_activation": pa.float32(),
        "mean_activation": pa.float64(),
        "dead": pa.bool_(),
    },
)
TOP_TEXT_ROWS = _table(
    "top_texts",
    "summaries/top_texts.parquet",
    "summarise",
    {"feature_id": pa.int32(), "rank": pa.int32(), "text_id": pa.int64(), "activation": pa.float32()},
)
HISTOGRAMS = _table(
    "histograms",
    "summaries/histograms.parquet",
    "summarise",
    {
        "feature_id": pa.int32(),
        "bin": pa.int32(),
        "left": pa.float64(),
        "right": pa.float64(),
        "n_texts": pa.int64(),
    },
)
COACTIVATION_ROWS = _table(
    "coactivations",
    "summaries/coactivations.parquet",
    "summarise",
    {
        "feature_id": pa.int32(),
        "rank": pa.int32(),
        "other_id": pa.int32(),
        "n_both": pa.int64(),
        "jaccard": pa.float64(),
        "conditional": pa.float64(),
        "lift": pa.float64(),
    },
)
EVIDENCE_PARTS = _table(
    "evidence_parts",
    "summaries/evidence_parts.parquet",
    "summarise",
    {"text_id": pa.int64(), "part": pa.string()},
)
KEYWORDS = _table(
    "keywords",
    "summaries/keywords.parquet",
    "label",
    {
        "feature_id": pa.int32(),
        "rank": pa.int32(),
        "keyword": pa.string(),
        "score": pa.float64(),
        "n_texts": pa.int32(),
    },
)
LABELS = _table(
    "labels",
    "summaries/labels.parquet",
    "judge",
    {"feature_id": pa.int32(), "label": pa.string(), "source": pa.string()},
)
LAYOUT = _table(
    "layout",
    "summaries/layout.parquet",
    "arrange",
    {"feature_id": pa.int32(), "x": pa.float32(), "y": pa.float32(), "cluster": pa.int32()},
)
TEXT_LAYOUT = _table(
    "text_layout",
    "summaries/text_layout.parquet",
    "arrange",
    {"text_id": pa.int64(), "x": pa.float32(), "y": pa.float32()},
)
FIDELITY = _table(
    "fidelity",
    "summaries/fidelity.parquet",
    "judge",
    {
        "feature_id": pa.int32(),
        "method": pa.string(),
        "label": pa.string(),
        "predictor": pa.string(),
        "auroc": pa.float64(),
        "auroc_low": pa.float64(),
        "auroc_high": pa.float64(),
        "ap": pa.float64(),
        "ap_low": pa.float64(),
        "ap_high": pa.float64(),
        "n_fires": pa.int64(),
        "n_texts": pa.int64(),
    },
)
KEYWORD_EVIDENCE = _table(
    "keyword_evidence",
    "summaries/keyword_evidence.parquet",
    "judge",
    {
        "feature_id": pa.int32(),
        "rank": pa.int32(),
        "keyword": pa.string(),
        "origin": pa.string(),
        "pre_activation": pa.float32(),
        "fires": pa.bool_(),
        "auroc": pa.float64(),
        "ap": pa.float64(),
        "chosen": pa.bool_(),
    },
)
LABEL_VECTORS = _table(
    "label_vectors",
    "summaries/label_vectors.parquet",
    "judge",
    {"feature_id": pa.int32(), "embedding": pa.list_(pa.float32())},
)
EXPLANATIONS = _table(
    "explanations",
    "summaries/explanations.parquet",
    "explain",
    {
        "feature_id": pa.int32(),
        "explanation": pa.string(),
        "model": pa.string(),
        "scorer": pa.string(),
        "score": pa.float64(),
        "low": pa.float64(),
        "high": pa.float64(),
        "n_texts": pa.int64(),
        "n_fires": pa.int64(),
        "n_unread": pa.int64(),
        "accuracy": pa.float64(),
        "precision": pa.float64(),
        "recall": pa.float64(),
        "specificity": pa.float64(),
        "f1": pa.float64(),
        "reason": pa.string(),
    },
)
TEXT_WORDS = _table(
    "text_words",
    "summaries/text_words.parquet",
    "attribute",
    {"text_id": pa.int64(), "starts": pa.list_(pa.int32()), "ends": pa.list_(pa.int32())},
)
CONTRIBUTIONS = _table(
    "contributions",
    "summaries/contributions.parquet",
    "attribute",
    {
        "feature_id": pa.int32(),
        "text_id": pa.int64(),
        "parts": pa.list_(pa.float32()),
        "special": pa.float32(),
        "constant": pa.float32(),
        "pre_activation": pa.float32(),
    },
)
NEAR_MISSES = _table(
    "near_misses",
    "summaries/near_misses.parquet",
    "miss",
    {
        "feature_id": pa.int32(),
        "rank": pa.int32(),
        "text_id": pa.int64(),
        "pre_activation": pa.float32(),
        "needed": pa.float32(),
    },
)
FAMILIES = _table(
    "families",
    "summaries/families.parquet",
    "relate",
    {
        "feature_id": pa.int32(),
        "family_id": pa.int32(),
        "parent_id": pa.int32(),
        "depth": pa.int32(),
        "n_both": pa.int64(),
        "conditional": pa.float64(),
        "share_of_parent": pa.float64(),
        "nesting": pa.float64(),
    },
)
FAMILY_METRICS = _table(
    "family_metrics",
    "summaries/family_metrics.parquet",
    "relate",
    {
        "family_id": pa.int32(),
        "root_id": pa.int32(),
        "size": pa.int32(),
        "depth": pa.int32(),
        "r_parent_child": pa.float64(),
        "r_children": pa.float64(),
        "in_block": pa.float64(),
        "off_block": pa.float64(),
        "block_ratio": pa.float64(),
        "shuffled_ratio": pa.float64(),
    },
)
KEYWORD_CLUSTERS = _table(
    "keyword_clusters",
    "summaries/keyword_clusters.parquet",
    "relate",
    {"feature_id": pa.int32(), "cluster": pa.int32()},
)
AUDIT = _table(
    "audit",
    "summaries/audit.parquet",
    "audit",
    {
        "feature_id": pa.int32(),
        "check": pa.string(),
        "value": pa.float64(),
        "low": pa.float64(),
        "high": pa.float64(),
        "expected": pa.float64(),
        "n_texts": pa.int64(),
        "flagged": pa.bool_(),
        "detail": pa.string(),
    },
)
COPIES = _table(
    "copies",
    "summaries/copies.parquet",
    "audit",
    {"text_id": pa.int64(), "copy_of": pa.int64(), "n_copies": pa.int32(), "exact": pa.bool_()},
)

TABLES: tuple[Table, ...] = (
    TEXTS,
    DROPPED,
    EMBEDDINGS,
    SPLIT,
    BY_TEXT,
    BY_FEATURE,
    TEXT_SUMMARIES,
    NEIGHBOUR_ROWS,
    OPPOSITE_ROWS,
    EVALUATION,
    GATES,
    FEATURES,
    TOP_TEXT_ROWS,
    HISTOGRAMS,
    COACTIVATION_ROWS,
    EVIDENCE_PARTS,
    KEYWORDS,
    LAYOUT,
    TEXT_LAYOUT,
    LABELS,
    FIDELITY,
    KEYWORD_EVIDENCE,
    LABEL_VECTORS,
    EXPLANATIONS,
    TEXT_WORDS,
    CONTRIBUTIONS,
    NEAR_MISSES,
    FAMILIES,
    FAMILY_METRICS,
    KEYWORD_CLUSTERS,
    AUDIT,
    COPIES,
)
"""Every table of a run, in the order in which the stages write them."""
