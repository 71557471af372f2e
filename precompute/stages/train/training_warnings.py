"""What looks wrong of an SAE that was just trained: it is said, not shown as fine."""

from __future__ import annotations

OFF_L0 = 0.1
"""By what share of k the L0 of the training texts may be off in silence."""


def doubts(seen: dict[str, float | None], k: int | None) -> list[str]:
    """Say what looks wrong in what `measure_sae` found on the training texts, a sentence each; k is None if not asked.

    A SAE that is dead has no other faults.
    """
    if seen["dead_share"] == 1:
        return [
            "no feature fires on any training text, so this run will show none; give more texts, another --k or "
            "--architecture, or a lower --threshold."
        ]
    said = []
    if k is not None and abs(seen["l0"] / k - 1) > OFF_L0:
        said.append(
            f"L0 is {seen['l0']:.1f} on the training texts and not {k}: they are too few, or too much alike, for that "
            "many features a text; give a smaller --k, another --architecture or more texts."
        )
    if seen["fvu"] is not None and seen["fvu"] > 1:
        said.append(
            f"FVU is {seen['fvu']:.3g} on the training texts, worse than their mean: nothing was learned; give more "
            "texts or another --architecture."
        )
    return said
