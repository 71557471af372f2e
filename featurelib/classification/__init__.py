"""How well labels of texts are predicted: linear probes of embeddings, reconstructions, features and few features.

probes     logistic regression on training texts, tested on test texts, with an interval
selection  which features tell labels apart; the largest activations of a text
ksparse    probes that may look at k features only
"""
