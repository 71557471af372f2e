"""Warnings about an SAE that was just trained: what looks wrong is said, not shown as fine."""

from __future__ import annotations

OFF_L0 = 0.1
"""The share of k by which the L0 of the training texts may be off without a warning."""


def training_warnings(measured: dict[str, float | None], k: int | None) -> list[str]:
    """Return a sentence for each thing that looks wrong on the training texts.

    `measured` is what `measure_sae` returns for them; `k` is the L0 that was aimed at, None where none was. Of an SAE
    whose features are all dead nothing else is said.
    """
    if measured["dead_share"] == 1:
        return [
            "no feature fires on any training text, so this run will show none; give more texts, another --k or "
            "--architecture, or a lower --threshold."
        ]
    warnings = []
    l0, fvu = measured["l0"], measured["fvu"]
    if k is not None and l0 is not None and abs(l0 / k - 1) > OFF_L0:
        warnings.append(
            f"L0 is {l0:.1f} on the training texts and not {k}: they are too few, or too much alike, for "
            "that many features a text; give a smaller --k, another --architecture or more texts."
        )
    if fvu is not None and fvu > 1:
        warnings.append(
            f"FVU is {fvu:.3g} on the training texts, worse than their mean: nothing was learned; give "
            "more texts or another --architecture."
        )
    return warnings
