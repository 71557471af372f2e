"""One function is one question about a run, with its SQL in sight; the first argument is always the store.

Every `order by` is total. Values are bound by name; column names come from closed lists or from the table itself.
"""

from featurelib.queries.attribution import contributions, no_words_reason
from featurelib.queries.audit import (
    AUDIT_SORTS,
    audit_checks,
    audit_counts,
    audit_rows,
    count_audit_rows,
    feature_audit,
    flagged_ids,
)
from featurelib.queries.clusters import CLUSTERS, PLACES, cluster_features, cluster_keywords, clusters, layout
from featurelib.queries.combine import MOST_COMBINED, CombinedCounts, combined_texts, count_combined, densities
from featurelib.queries.concept import labelled_lines, labelled_texts, texts_equal_to
from featurelib.queries.coverage import Coverage, certainty, coverage, feature_themes, how_sure, name_failures
from featurelib.queries.cross_entropy import hurt_tokens, loss_metrics
from featurelib.queries.evaluation import (
    Metric,
    alignment_bins,
    evaluation,
    fvu_quantile,
    metric,
    metrics,
    nearest_bins,
    text_bins,
    threshold_bins,
    thresholds,
)
from featurelib.queries.experiments import (
    Experiment,
    Paired,
    Resampled,
    TreeNode,
    about_experiments,
    class_scores,
    confusions,
    experiments,
    importances,
    paired,
    path_to,
    predictions,
    reasons,
    resampled,
    sets_of,
    texts_of_node,
    tree,
)
from featurelib.queries.explanations import Explanation, explanation
from featurelib.queries.families import (
    Family,
    count_families,
    families,
    family,
    family_members,
    relatives,
)
from featurelib.queries.feature_filter import FeatureFilter
from featurelib.queries.features import (
    RELEVANCE,
    Feature,
    count_features,
    feature,
    features,
    find_features,
    keywords,
    labels,
    random_feature,
    silent_columns,
)
from featurelib.queries.fidelity import fidelity, fidelity_bins, fidelity_summary, keyword_evidence
from featurelib.queries.fit import FitVerdict, fit_verdict
from featurelib.queries.granularity import (
    GROUP_SORTS,
    Group,
    Level,
    group_path,
    groups,
    held_names,
    levels,
    nested_groups,
)
from featurelib.queries.logit_lens import (
    LogitSpread,
    Token,
    feature_logits,
    logit_spread,
    no_logits_reason,
    raising_features,
    spellings,
    tokens_beginning,
)
from featurelib.queries.map import family_of, name_fidelity, value_lifts
from featurelib.queries.matching import firing_pairs, texts_per_feature, why_not_comparable
from featurelib.queries.metadata import column_values, metadata_values
from featurelib.queries.near_misses import near_misses
from featurelib.queries.open_run import OpenRun
from featurelib.queries.overview import cosine_bins, counts, density_bins, l0_bins, worst_texts
from featurelib.queries.regions import RegionLevel, region_levels, regions, themes
from featurelib.queries.relations import (
    MEASURES,
    CoactivationMatrix,
    coactivation_matrix,
    coactivations,
    common_neighbours,
    cosine_of,
    neighbours,
    opposites,
)
from featurelib.queries.relevance import Ranked, ranked
from featurelib.queries.slices import (
    contrast,
    contrast_rows,
    contrast_value,
    texts_having,
    top_texts_among,
    units,
    value_contrasts,
)
from featurelib.queries.textmap import (
    LONGEST_TITLE,
    features_among,
    is_number,
    kind_column,
    layout_activations,
    layout_kind_of,
    layout_kinds,
    layout_numbers,
    text_layout,
    text_regions,
    text_titles,
)
from featurelib.queries.texts import TextRow, active_features, text, text_features, text_metadata, texts
from featurelib.queries.tokens import (
    TokenDensity,
    TokensOfText,
    feature_tokens,
    has_tokens,
    n_tokens,
    pooling,
    token_activations,
    token_bands,
    token_density,
    token_density_bins,
    token_maximum,
)
from featurelib.queries.top_texts import (
    bands,
    count_top_texts,
    histogram,
    random_texts,
    strongest_titles,
    top_texts,
)
from featurelib.queries.transfer import (
    Kept,
    Transfer,
    against_native,
    at_chance,
    kept_scores,
    transfer,
    transfer_sets,
    transferring,
)
from featurelib.queries.trend import (
    CATEGORY,
    DATE,
    NUMBER,
    Bins,
    ColumnKinds,
    bins_of,
    column_kinds,
    densities_by_bin,
    trend_of,
    trend_rows,
)
from featurelib.queries.weights import (
    Densities,
    densities_then_and_now,
    has_source_densities,
    n_of_density,
    of_tokens,
    weight_rows,
)
from featurelib.schema.records import ExplanationScore, Fidelity
from featurelib.storage.own_columns import (
    MetadataColumn,
    filter_columns,
    listed_columns,
    metadata_columns,
    telling_columns,
    title_column,
)
