"""Ranges of the number of texts that a feature fires on: from the address, to click, as a filter, in words."""

from __future__ import annotations

import math

from featurelib.charts import TextRange
from featurelib.queries import FeatureFilter
from featurelib.ui.kit.elements import count, percent

HALF = 0.5


def text_range(least: int | None, most: int | None, n_texts: int) -> TextRange | None:
    """The range that two numbers of an address mean, None when neither is given."""
    return None if least is None and most is None else TextRange(least or 0, n_texts if most is None else most)


def density_ranges(n_texts: int) -> list[tuple[str, TextRange]]:
    """The ranges of densities that can be clicked, by name; without those that are empty in a corpus of this size."""
    rare, usual, dense = math.ceil(n_texts / 1000), math.ceil(n_texts / 100), n_texts // 10 + 1
    named = [
        ("dead", TextRange(0, 0)),
        ("below 0.1 %", TextRange(1, rare - 1)),
        ("0.1 to 1 %", TextRange(max(rare, 1), usual - 1)),
        ("1 to 10 %", TextRange(max(usual, 1), dense - 1)),
        ("above 10 %", TextRange(dense, n_texts)),
    ]
    return [(name, texts) for name, texts in named if texts.least <= texts.most]


def fires_on(chosen: TextRange | None, n_texts: int) -> FeatureFilter:
    """The filter for features that fire on a number of texts in the range."""
    if chosen is None:
        return FeatureFilter()
    if chosen.most == 0:
        return FeatureFilter(dead=True)
    if chosen.least == 0 and chosen.most >= n_texts:
        return FeatureFilter()
    # Densities are whole numbers over n_texts: half a text of margin on either side absorbs rounding.
    return FeatureFilter(
        density_low=max(0.0, (chosen.least - HALF) / n_texts), density_high=(chosen.most + HALF) / n_texts
    )


def range_title(n_features: int, chosen: TextRange | None, n_texts: int) -> str:
    """The head of a list of features in a range."""
    features = f"{count(n_features)} feature{'s' if n_features != 1 else ''}"
    if chosen is None:
        return f"{features}, strongest first"
    if chosen.most == 0:
        return f"{features} fire{'s' if n_features == 1 else ''} on no text"
    if chosen.least == chosen.most:
        texts = f"{count(chosen.least)} text{'s' if chosen.least != 1 else ''}"
        return f"{features} fire{'s' if n_features == 1 else ''} on {texts}, strongest first"
    low, high = percent(chosen.least / n_texts), percent(min(chosen.most, n_texts) / n_texts)
    return f"{features} fire{'s' if n_features == 1 else ''} on {low} to {high} of texts, strongest first"
