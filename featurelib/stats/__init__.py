"""Every interval and every test of the project, once.

estimates   shares, means, ratios, quantiles, each with its interval
ranking     midranks, AUROC and average precision, correlations
chance      many tests at once, overlaps, excesses, paired classifiers
"""

from featurelib.stats.chance import (
    benjamini_hochberg,
    corrected_resampled_t,
    discovery_rates,
    excess_chance,
    mcnemar,
    normal_quantile,
    overlap_chance,
)
from featurelib.stats.estimates import (
    NORMAL_95,
    Estimate,
    bootstrap,
    difference_of_shares,
    mean_interval,
    mean_of_shares,
    quantile_interval,
    ratio_interval,
    wilson,
)
from featurelib.stats.ranking import (
    Agreement,
    Scores,
    agreement_of_tallies,
    ap_interval,
    auroc_and_ap,
    auroc_interval,
    auroc_of_rank_sum,
    auroc_over_sets,
    correlation,
    correlation_chance,
    correlation_interval,
    counts_below,
    midranks,
    nesting,
    rank_correlation,
)
