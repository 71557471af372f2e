"""Features that fire on a text, and those that come closest to firing, as lines of a list."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from featurelib import queries
from featurelib.live.results import TriedClosely
from featurelib.queries import FeatureFilter
from featurelib.storage.store import Store
from featurelib.ui.kit.elements import apart, density, number
from featurelib.ui.kit.lists import Line, feature_line

BELOW_TITLE = "Just below the threshold"
BELOW_HELP = "Features that do not fire but come closest: their pre-activation and their threshold."
BELOW_NAMES = ("pre-activation", "threshold")


def known_features(store: Store, ids: Sequence[int]) -> dict[int, Mapping[str, Any]]:
    """The rows of some features, by id."""
    rows = queries.features(store, FeatureFilter(ids=tuple(ids)), limit=None).to_pylist()
    return {row["feature_id"]: row for row in rows}


def strength_lines(
    known: Mapping[int, Mapping[str, Any]], ids: Sequence[int], activations: Sequence[float]
) -> list[Line]:
    """Lines of features with activation and density; bars are as long as activations."""
    largest = max(activations, default=0.0) or 1.0
    return [
        feature_line(
            feature_id,
            known[feature_id]["label"],
            number(activation),
            density(known[feature_id]["density"]),
            share=activation / largest,
        )
        for feature_id, activation in zip(ids, activations, strict=False)
    ]


def missed_lines(known: Mapping[int, Mapping[str, Any]], tried: TriedClosely, limit: int) -> list[Line]:
    """Lines of the features that come closest to firing, with pre-activation and threshold (`BELOW_NAMES`)."""
    rows = zip(tried.missed_ids[:limit].tolist(), tried.missed_pre_activations, tried.missed_thresholds, strict=False)
    return [
        feature_line(feature_id, known[feature_id]["label"], *apart(float(pre_activation), float(threshold)))
        for feature_id, pre_activation, threshold in rows
    ]
