"""The names of the house: every table of a run, its file, its columns, its stage; the two errors everybody may raise.

Everything else may import this; it imports nothing of ours.
"""

from __future__ import annotations

from featurelib.schema.activations import BY_FEATURE, BY_TEXT
from featurelib.schema.attributions import ATTRIBUTIONS, TEXT_WORDS
from featurelib.schema.audit import AUDIT, COPIES
from featurelib.schema.features import (
    EVALUATION,
    FEATURES,
    HISTOGRAMS,
    NEAR_MISSES,
    SOURCE_DENSITIES,
    THRESHOLDS,
    TOP_TEXT_ROWS,
    WEIGHTS,
)
from featurelib.schema.labels import (
    EXPLANATIONS,
    FEATURE_THEMES,
    FIDELITY,
    KEYWORD_EVIDENCE,
    KEYWORDS,
    LABEL_SPLIT,
    LABEL_VECTORS,
    LABELS,
    NAME_COVERAGE,
    NAME_FAILURES,
    REGIONS,
)
from featurelib.schema.language_model import (
    CROSS_ENTROPY,
    LOGIT_HISTOGRAMS,
    LOGIT_LENS,
    RAISING_FEATURES,
    TOKEN_LOSSES,
)
from featurelib.schema.layout import FIRING_LAYOUT, LAYOUT, REGION_FEATURES, REGION_TEXTS, TEXT_LAYOUT
from featurelib.schema.names import (
    COACTIVATIONS,
    DENSE,
    FORMAT_VERSION,
    FORMERLY,
    HISTOGRAM_BINS,
    MIN_BOTH,
    NEIGHBOURS,
    OPPOSITES,
    RENAMED,
    TOP_TEXTS,
    Refusal,
    RunNotReady,
)
from featurelib.schema.relations import (
    COACTIVATION_ROWS,
    FAMILIES,
    FAMILY_METRICS,
    KEYWORD_CLUSTERS,
    NEIGHBOUR_ROWS,
    OPPOSITE_ROWS,
)
from featurelib.schema.table import Table
from featurelib.schema.texts import DROPPED, EMBEDDINGS, SAE_SPLIT, TEXT_SUMMARIES, TEXTS
from featurelib.schema.tokens import (
    FEATURE_TOKENS,
    MOST_FEATURE_TOKENS,
    TOKEN_BY_FEATURE,
    TOKEN_BY_TEXT,
    TOKEN_FEATURES,
    TOKEN_STATES,
    TOKENS,
    VOCABULARY,
)

TABLES: tuple[Table, ...] = (
    TEXTS,
    DROPPED,
    EMBEDDINGS,
    TOKENS,
    TOKEN_STATES,
    VOCABULARY,
    SAE_SPLIT,
    SOURCE_DENSITIES,
    BY_TEXT,
    BY_FEATURE,
    TOKEN_BY_TEXT,
    TOKEN_BY_FEATURE,
    TEXT_SUMMARIES,
    NEIGHBOUR_ROWS,
    OPPOSITE_ROWS,
    EVALUATION,
    THRESHOLDS,
    WEIGHTS,
    FEATURES,
    TOP_TEXT_ROWS,
    HISTOGRAMS,
    COACTIVATION_ROWS,
    TOKEN_FEATURES,
    FEATURE_TOKENS,
    LABEL_SPLIT,
    KEYWORDS,
    LAYOUT,
    FIRING_LAYOUT,
    REGION_FEATURES,
    REGION_TEXTS,
    TEXT_LAYOUT,
    TEXT_WORDS,
    ATTRIBUTIONS,
    LABELS,
    REGIONS,
    FIDELITY,
    NAME_COVERAGE,
    NAME_FAILURES,
    FEATURE_THEMES,
    KEYWORD_EVIDENCE,
    LABEL_VECTORS,
    EXPLANATIONS,
    NEAR_MISSES,
    FAMILIES,
    FAMILY_METRICS,
    KEYWORD_CLUSTERS,
    LOGIT_LENS,
    LOGIT_HISTOGRAMS,
    RAISING_FEATURES,
    CROSS_ENTROPY,
    TOKEN_LOSSES,
    AUDIT,
    COPIES,
)
"""Every table of a run, in the order in which the stages write them."""
STAGES: tuple[str, ...] = tuple(dict.fromkeys(table.stage for table in TABLES))
"""The stages of a build, in their order: every stage writes a table."""
