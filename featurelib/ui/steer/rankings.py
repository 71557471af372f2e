"""The effect of steering: the nearest texts before and after, and the activations of the steered embedding."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from featurelib import queries, search
from featurelib.live.results import Steered
from featurelib.storage.store import Store
from featurelib.ui.kit.elements import Number, count, heading, number, sentence, strip
from featurelib.ui.kit.lists import Line, feature_line, line_list
from featurelib.ui.steer.sliders import Knob
from featurelib.ui.texts.by_id import names_of

FIRST = 20
"""Texts of each ranking that are shown."""
CHANGED = 15
"""Features of the steered embedding that are shown."""
SMALLEST = 1e-6
"""Changes of an activation below it are rounding."""
COSINE = "Cosine between the embedding of the text and the steered one, in the embedder's own space."
REENCODED = (
    "The slider sets an activation, and its change is added to the embedding. Here the SAE encodes the new embedding "
    "again: neighbours of the steered features change too."
)


@dataclass(frozen=True)
class RankedText:
    """One text in the rankings before and after."""

    text_id: int
    before: int | None
    """Its place before, 1 the nearest; None beyond those that are counted in a large corpus."""
    after: int | None
    """Its place after."""
    cosine_before: float
    cosine_after: float

    @property
    def change(self) -> str:
        """How many places it moved up or down, and whether it is new among the first."""
        if self.before is None or self.after is None:
            return "new"
        if self.before == self.after:
            return "="
        moved = f"{'↑' if self.after < self.before else '↓'}{abs(self.before - self.after):,}"
        return f"{moved} new" if self.before > FIRST else moved

    @property
    def among_first(self) -> tuple[bool, bool]:
        """Whether it is among the first before, and after."""
        before, after = (place is not None and place <= FIRST for place in (self.before, self.after))
        return before, after


def ask_rankings(store: Store, steered: Steered, text_id: int | None) -> list[RankedText]:
    """The texts among the first 20 before or after steering, in the order of the ranking after it."""
    rows = search.rankings(store, steered.before, steered.after, limit=FIRST, without=text_id).to_pylist()
    return [RankedText(*row.values()) for row in rows]


def steering_strip(steered: Steered, knobs: Sequence[Knob], ranking: Sequence[RankedText]) -> None:
    """How many features are steered, and the effect on the embedding and on the nearest texts."""
    n_new = sum(place.among_first == (False, True) for place in ranking)
    n_steered = sum(not knob.untouched for knob in knobs)
    fires = f"{len(steered.feature_ids)} → {len(steered.after_ids)}"
    strip(
        [
            Number(count(n_steered), "feature steered" if n_steered == 1 else "features steered"),
            Number(number(steered.cosine, 4), "cosine to the unchanged text", COSINE),
            Number(f"{n_new} of {FIRST}", "nearest texts are new"),
            Number(fires, "features fire, before and after", REENCODED),
        ]
    )


def ranking_list(store: Store, steered: Steered, ranking: Sequence[RankedText]) -> None:
    """The nearest texts after steering with their change of rank, then those that left the first 20."""
    names = names_of(store, [place.text_id for place in ranking])
    lines = [
        _line(place, f"{place.after} · {names[place.text_id]}", place.change)
        for place in ranking
        if place.among_first[1]
    ]
    note = "and their change of rank" if _differs(steered) else "nothing is steered"
    line_list("after", lines, title="Nearest texts", note=note, names=("places", "cosine"))
    left = sorted((place for place in ranking if not place.among_first[1]), key=lambda place: place.before or 0)
    if left:
        lines = [_line(place, names[place.text_id], f"{place.before} → {_place(place.after)}") for place in left]
        line_list("left", lines, title=f"No longer among the first {FIRST}", names=("place", "cosine"))
    if any(place.before is None or place.after is None for place in ranking):
        sentence(f"In a corpus of this size places are counted up to {search.RANKED:,}.")


def _place(place: int | None) -> str:
    return f"over {search.RANKED:,}" if place is None else f"{place:,}"


def _line(place: RankedText, label: str, change: str) -> Line:
    return Line(label, {"text": place.text_id}, (change, number(place.cosine_after)), page="text.py")


def changed_activations(steered: Steered) -> list[tuple[int, float, float]]:
    """The features whose activation differs after re-encoding: id, before, after; the largest change first."""
    before = dict(zip(steered.feature_ids.tolist(), steered.activations.tolist(), strict=True))
    after = dict(zip(steered.after_ids.tolist(), steered.after_activations.tolist(), strict=True))
    rows = [
        (feature_id, before.get(feature_id, 0.0), after.get(feature_id, 0.0))
        for feature_id in sorted({*before, *after})
    ]
    rows = [row for row in rows if abs(row[2] - row[1]) > SMALLEST]
    return sorted(rows, key=lambda row: (-abs(row[2] - row[1]), row[0]))


def reencoded_list(store: Store, steered: Steered, knobs: Sequence[Knob]) -> None:
    """The activations of the steered embedding, encoded again, that differ from those of the text."""
    rows = changed_activations(steered)
    if not rows:
        heading("After re-encoding", help=REENCODED)
        sentence("Re-encoding gives the same activations as the text.")
        return
    set_to = {knob.feature_id: number(knob.wanted) for knob in knobs if not knob.untouched}
    labels = queries.labels(store, [row[0] for row in rows[:CHANGED]])
    lines = [
        feature_line(
            feature_id,
            labels.get(feature_id, f"feature {feature_id}"),
            number(old),
            set_to.get(feature_id, "–"),
            number(new),
        )
        for feature_id, old, new in rows[:CHANGED]
    ]
    note = f"{count(len(rows))} activations differ" + (f", the {CHANGED} largest" if len(rows) > CHANGED else "")
    names = ("text", "set to", "re-encoded")
    line_list("reencoded", lines, title="After re-encoding", note=note, help=REENCODED, names=names)


def _differs(steered: Steered) -> bool:
    return not np.array_equal(steered.before, steered.after)


def lengths(steered: Steered) -> str:
    """How steering treats the length of the embedding, in a sentence; empty when nothing is steered."""
    if not _differs(steered):
        return ""
    length = "scaled to length 1, as this run's embeddings are" if steered.renormalised else "its length is not changed"
    return f"The change of the decoder is added to the embedding, the residual is kept, {length}."
