"""How good an SAE is, and how sure we are: every number with its formula, its split and a 95 % interval.

    metrics     the rows that are reported, and every formula
    texts       what each text loses: FVU, cosine, L0, and their distributions
    features    dead and dense features, directions, alignment, thresholds

The errors are those of the raw embedding space, but for what is called normalised.
"""

from featurelib.sae.evaluation.features import (
    Nearest,
    alignment,
    direction_cosines,
    evaluate_features,
    evaluate_weights,
    nearest_directions,
)
from featurelib.sae.evaluation.metrics import FORMULAS, PER_TEXT, SPACES, Metric, quantile_name
from featurelib.sae.evaluation.texts import (
    Moments,
    Quality,
    evaluate_normalised,
    evaluate_texts,
    evaluate_tokens,
    evaluate_usual_tokens,
    measure_sae,
    measure_texts,
)
