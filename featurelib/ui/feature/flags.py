"""The flags that the audit has put on a feature, as chips."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from featurelib.ui.kit.elements import count, html, number, percent, tag

WORDS = {
    "length": "fires by length",
    "truncation": "fires on truncated texts",
    "language": "fires by language",
    "script": "fires by script",
    "boilerplate": "fires on boilerplate",
    "copies": "fires on copies",
}
"""What a flag says, by check."""
CHIP = {"cls": "chip term", "style": "background: light-dark(#f6efdc, #322c1c); text-decoration: none"}


def flags(rows: Sequence[Mapping[str, Any]]) -> None:
    """The flags of one feature (rows of `queries.feature_audit`) as chips, their numbers on hover; nothing if none."""
    chips = [
        tag("span", WORDS.get(row["check"], row["check"]), tag("small", _shown(row)), **CHIP, help=_hover(row))
        for row in rows
        if row["flagged"]
    ]
    if chips:
        html(tag("div", *chips, cls="chips audit-flags"))


def _shown(row: Mapping[str, Any]) -> str:
    return number(row["value"], 2) if row["check"] == "length" else percent(row["value"])


def _hover(row: Mapping[str, Any]) -> str:
    show = number if row["check"] == "length" else percent
    what = "AUROC of length" if row["check"] == "length" else "share"
    lines = [
        f"{what} {show(row['value'])} (95 %: {show(row['low'])} to {show(row['high'])}), expected "
        f"{show(row['expected'])}; {count(row['n_texts'])} texts",
        row["detail"] or "",
    ]
    return "\n".join(line for line in lines if line)
