"""Which labels can be read from what: linear probes of embeddings, of reconstructions, of features and of few features.

probes     logistic regression on training texts, judged on test texts, with an interval
selection  which features tell labels apart; the largest activations of a text
ksparse    probes that may look at k features only
"""

from featurelib.classification.ksparse import WAYS, k_sparse
from featurelib.classification.probes import STRENGTHS, Accuracy, Division, divide, linear_probe
from featurelib.classification.selection import Scores, anova, keep_largest, largest

__all__ = [
    "STRENGTHS",
    "WAYS",
    "Accuracy",
    "Division",
    "Scores",
    "anova",
    "divide",
    "k_sparse",
    "keep_largest",
    "largest",
    "linear_probe",
]
