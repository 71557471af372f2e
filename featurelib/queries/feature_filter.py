"""Conditions that features must meet, as SQL."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from featurelib.queries.feature_words import features_holding
from featurelib.schema import Refusal
from featurelib.storage.store import Store

MOST_WORDS = 200
"""Words that may be searched for at once."""


@dataclass(frozen=True)
class FeatureFilter:
    """Conditions that features must meet; a field left at its default is no condition."""

    words: str = ""
    """Words that must all occur in the label, a keyword or the explanation (any case), or a feature's id."""
    density_low: float | None = None
    """The least density, 0 to 1."""
    density_high: float | None = None
    """The greatest density, 0 to 1."""
    activation_low: float | None = None
    """The least maximum activation."""
    activation_high: float | None = None
    """The greatest maximum activation."""
    dead: bool | None = None
    """Only dead features (True) or only live ones (False)."""
    cluster: int | None = None
    """The cluster of the layout; -1 holds the features of none."""
    ids: tuple[int, ...] | None = None
    """Only these features."""
    fidelity_low: float | None = None
    """The lowest AUROC of the label by similarity (see `Feature.auroc`)."""
    ap_low: float | None = None
    """The least average precision of the same."""
    first: int | None = None
    """Only so many features, those with the smallest ids: a prefix of a Matryoshka (see `levels`)."""
    region: tuple[int, int] | None = None
    """Only the features of a region of the map of what fires features: its level and region_id (see `groups`)."""

    def conditions(self, store: Store) -> tuple[str, dict[str, object]]:
        """Return the SQL of the conditions on rows `c` of the cards, and what is bound in it.

        Refusal for more than `MOST_WORDS` words.
        """
        ids = None if self.ids is None else [int(feature_id) for feature_id in self.ids]
        words = store.lowered(self.words).split()
        check_number(words)
        if words:
            holding = features_holding(store, words)
            ids = holding if ids is None else sorted(set(ids) & set(holding))
        values: dict[str, object] = {
            "density_low": self.density_low,
            "density_high": self.density_high,
            "activation_low": self.activation_low,
            "activation_high": self.activation_high,
            "dead": self.dead,
            "cluster": self.cluster,
            "auroc_low": self.fidelity_low,
            "ap_low": self.ap_low,
            "ids": ids,
            "first": self.first,
        }
        if self.region is not None:
            values |= dict(zip(("level", "region"), map(int, self.region), strict=True))
        values = {name: value for name, value in values.items() if value is not None}
        return " and ".join([CONDITIONS[name] for name in values if name in CONDITIONS]) or "true", values


EVERY = FeatureFilter()
"""No condition: all features."""
CONDITIONS = {
    "density_low": "c.density >= $density_low",
    "density_high": "c.density <= $density_high",
    "activation_low": "c.max_activation >= $activation_low",
    "activation_high": "c.max_activation <= $activation_high",
    "dead": "c.dead = $dead",
    "cluster": "c.cluster = $cluster",
    "auroc_low": "c.auroc >= $auroc_low",
    "ap_low": "c.ap >= $ap_low",
    "ids": "c.feature_id in (select unnest($ids::bigint[]))",
    "first": "c.feature_id < $first",
    "region": "c.feature_id in (select feature_id from region_features where level = $level and region_id = $region)",
}


def check_number(words: Sequence[str]) -> None:
    """Raise Refusal for more words than may be searched for at once."""
    if len(words) > MOST_WORDS:
        raise Refusal(f"{len(words)} words are searched for; {MOST_WORDS} are possible at most.")
