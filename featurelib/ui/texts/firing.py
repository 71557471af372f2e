"""Features that fire on a text, and those that come closest to it, as lines of a list."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from featurelib import queries
from featurelib.queries import FeatureFilter
from featurelib.storage.store import Store
from featurelib.ui.kit.elements import number, percent
from featurelib.ui.kit.lists import Line, feature_line

BELOW_THRESHOLD = "Features that do not fire but come closest: their pre-activation and their threshold."


def known_features(store: Store, ids: Sequence[int]) -> dict[int, Mapping[str, Any]]:
    """What the run holds of some features, by id."""
    rows = queries.features(store, FeatureFilter(ids=tuple(ids)), limit=None).to_pylist()
    return {row["feature_id"]: row for row in rows}


def strength_lines(
    known: Mapping[int, Mapping[str, Any]], ids: Sequence[int], activations: Sequence[float]
) -> list[Line]:
    """Lines of features with activation and density, a bar for the share of each one's maximum."""
    return [
        feature_line(
            one,
            known[one]["label"],
            number(activation),
            percent(known[one]["density"]),
            share=activation / known[one]["max_activation"] if known[one]["max_activation"] else 1.0,
        )
        for one, activation in zip(ids, activations, strict=False)
    ]
