"""What everybody calls by one name: renamed stages, limits, the two errors that everybody may raise."""

from __future__ import annotations

FORMAT_VERSION = 1

FORMERLY = {
    "keywords": "label",
    "layout": "arrange",
    "labels": "judge",
    "explanations": "explain",
    "attributions": "attribute",
    "near_misses": "miss",
    "families": "relate",
}
"""Stages that were renamed, with their first name: older runs hold it, and fingerprints are hashed over it."""
RENAMED = {first: name for name, first in FORMERLY.items()}
"""The present name of a stage by its first name."""

TOP_TEXTS = 100
"""Top texts that are kept of each feature."""
HISTOGRAM_BINS = 40
NEIGHBOURS = 50
"""Nearest directions that are kept of each feature."""
OPPOSITES = 10
"""Most opposite directions that are kept of each feature."""
COACTIVATIONS = 50
"""Coactivations that are kept of each feature, by lift."""
MIN_BOTH = 5
"""Texts on which both features must fire for their coactivation to be kept."""
DENSE = 0.1
"""A feature whose density is above this share is called dense."""


class Refusal(ValueError):
    """Something that cannot be used; its message is one sentence naming what was found, what was expected, the mend."""


class RunNotReady(Refusal):
    """A part of a run that has not been made yet; the message names the stage and the command that makes it."""
