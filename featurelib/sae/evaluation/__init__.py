"""How good an SAE is, and how sure we are: every number with its formula, its split and a 95 % interval.

    metrics     the rows that are reported, and every formula
    texts       what each text loses: FVU, cosine, L0, and their distributions
    features    dead and dense features, alignment, redundancy, thresholds
    directions  which directions are nearest to each other, and which are opposite

The errors are those of the raw embedding space, but for what is called normalised.
"""

from featurelib.sae.evaluation.directions import Nearest, Neighbours, nearest_directions
from featurelib.sae.evaluation.features import alignment, evaluate_features, evaluate_weights
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
