"""What came of turning features: the ranking before and after, and what the SAE finds in the turned embedding."""

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
"""Features of the turned embedding that are shown."""
SMALLEST = 1e-6
COSINE = "Cosine between the embedding of the text and the steered one, in the embedder's own space."
AGAIN = (
    "The slider sets an activation, and its change is added to the embedding. Here the SAE encodes the new embedding "
    "again: neighbours of the steered features change too."
)


@dataclass(frozen=True)
class Place:
    """One text in the rankings before and after."""

    text_id: int
    before: int
    """Its place before, 1 the nearest."""
    after: int
    """Its place after."""
    cosine_before: float
    cosine_after: float

    @property
    def change(self) -> str:
        """How far it rose or fell, and whether it is new among the first."""
        if self.before == self.after:
            return "="
        moved = f"{'↑' if self.after < self.before else '↓'}{abs(self.before - self.after):,}"
        return f"{moved} new" if self.before > FIRST else moved


def places(store: Store, turned: Steered, text_id: int | None) -> list[Place]:
    """The texts among the first 20 before or after, in the order of the ranking after."""
    rows = search.rankings(store, turned.before, turned.after, limit=FIRST, without=text_id).to_pylist()
    return [Place(*row.values()) for row in rows]


def turned_strip(turned: Steered, knobs: Sequence[Knob], ranking: Sequence[Place]) -> None:
    """How many features are turned, what that did to the embedding and to the first texts."""
    new = sum(one.after <= FIRST < one.before for one in ranking)
    n_turned = sum(not knob.untouched for knob in knobs)
    fires = f"{len(turned.feature_ids)} → {len(turned.after_ids)}"
    strip(
        [
            Number(count(n_turned), "feature steered" if n_turned == 1 else "features steered"),
            Number(number(turned.cosine, 4), "cosine to the unchanged text", COSINE),
            Number(f"{new} of {FIRST}", "nearest texts are new"),
            Number(fires, "features fire, before and after", AGAIN),
        ]
    )


def ranking_list(store: Store, turned: Steered, ranking: Sequence[Place]) -> None:
    """The nearest texts after turning with their change of place, then those that left the first 20."""
    names = names_of(store, [one.text_id for one in ranking])
    inside = [one for one in ranking if one.after <= FIRST]
    lines = [_line(one, f"{one.after} · {names[one.text_id]}", one.change, one.cosine_after) for one in inside]
    note = "and their change of rank" if _differs(turned) else "nothing is steered"
    line_list("after", lines, title="Nearest texts", note=note, names=("places", "cosine"))
    left = sorted((one for one in ranking if one.after > FIRST), key=lambda one: one.before)
    if left:
        gone = [_line(one, names[one.text_id], f"{one.before} → {one.after:,}", one.cosine_after) for one in left]
        line_list("left", gone, title=f"No longer among the first {FIRST}", names=("place", "cosine"))


def _line(one: Place, label: str, change: str, cosine: float) -> Line:
    return Line(label, {"text": one.text_id}, (change, number(cosine)), page="text.py")


def changed(turned: Steered) -> list[tuple[int, float, float]]:
    """The features whose activation differs in the turned embedding: id, before, after; the largest change first."""
    before = dict(zip(turned.feature_ids.tolist(), turned.activations.tolist(), strict=True))
    after = dict(zip(turned.after_ids.tolist(), turned.after_activations.tolist(), strict=True))
    rows = [(one, before.get(one, 0.0), after.get(one, 0.0)) for one in sorted({*before, *after})]
    rows = [row for row in rows if abs(row[2] - row[1]) > SMALLEST]
    return sorted(rows, key=lambda row: (-abs(row[2] - row[1]), row[0]))


def again_list(store: Store, turned: Steered, knobs: Sequence[Knob]) -> None:
    """What the SAE finds in the turned embedding where that differs from the text as it is."""
    rows = changed(turned)
    if not rows:
        heading("After re-encoding", help=AGAIN)
        sentence("Re-encoding gives the same activations as the text.")
        return
    asked = {knob.feature_id: number(knob.wanted) for knob in knobs if not knob.untouched}
    labels = queries.labels(store, [row[0] for row in rows[:CHANGED]])
    lines = [
        feature_line(one, labels.get(one, f"feature {one}"), number(old), asked.get(one, "–"), number(new))
        for one, old, new in rows[:CHANGED]
    ]
    note = f"{count(len(rows))} activations differ" + (f", the {CHANGED} largest" if len(rows) > CHANGED else "")
    line_list("again", lines, title="After re-encoding", note=note, help=AGAIN, names=("the text", "asked", "again"))


def _differs(turned: Steered) -> bool:
    return not np.array_equal(turned.before, turned.after)


def lengths(turned: Steered) -> str:
    """What was done to the length of the embedding, in a sentence; empty when nothing was turned."""
    if not _differs(turned):
        return ""
    kept = "scaled to length 1, as this run's embeddings are" if turned.renormalised else "its length is not changed"
    return f"The change of the decoder is added to the embedding, the residual is kept, {kept}."
