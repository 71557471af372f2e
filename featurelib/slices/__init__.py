"""What sets of texts have in common: features that fire oftener in one set than in another, or that follow a number.

units     which texts count (each different text once), and how long they are
tested    what chance and length leave of each feature
ranked    activations as ranks among the texts that count
contrast  one set of texts against another, every feature's densities, AUROC and chance
concept   the best feature, and the best few, for telling examples from other texts
trend     every feature's rank correlation with a number or a date
"""
