"""One function is one question about a run, its SQL in sight; the first argument is always the store.

Every `order by` is total. Values are bound by name; column names come from closed lists or from the table's own ones.
"""

from featurelib.queries.evaluation import (
    Gates,
    Metric,
    alignment_bins,
    evaluation,
    gate_bins,
    gates,
    metric,
    metrics,
    nearest_bins,
    text_bins,
)
from featurelib.queries.features import (
    Feature,
    FeatureFilter,
    count_features,
    feature,
    features,
    find_features,
    keywords,
    labels,
    layout,
    random_feature,
)
from featurelib.queries.metadata import MetadataColumn, metadata_columns, metadata_values
from featurelib.queries.openrun import OpenRun
from featurelib.queries.overview import Counts, cosine_bins, counts, density_bins, l0_bins, worst_texts
from featurelib.queries.relations import coactivations, neighbours, opposites
from featurelib.queries.texts import TextRow, active_features, text, text_features, texts
from featurelib.queries.toptexts import bands, histogram, top_texts

__all__ = [
    "Counts",
    "Feature",
    "FeatureFilter",
    "Gates",
    "MetadataColumn",
    "Metric",
    "OpenRun",
    "TextRow",
    "active_features",
    "alignment_bins",
    "bands",
    "coactivations",
    "cosine_bins",
    "count_features",
    "counts",
    "density_bins",
    "evaluation",
    "feature",
    "features",
    "find_features",
    "gate_bins",
    "gates",
    "histogram",
    "keywords",
    "l0_bins",
    "labels",
    "layout",
    "metadata_columns",
    "metadata_values",
    "metric",
    "metrics",
    "nearest_bins",
    "neighbours",
    "opposites",
    "random_feature",
    "text",
    "text_bins",
    "text_features",
    "texts",
    "top_texts",
    "worst_texts",
]
