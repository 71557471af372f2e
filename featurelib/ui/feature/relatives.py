"""A feature's parent and children."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from featurelib.ui.kit.anchors import page_link
from featurelib.ui.kit.elements import count, percent
from featurelib.ui.kit.lists import feature_line, line_list

UNDER = "P(parent | child): the share of the child's texts on which the parent fires too."


def relatives(rows: Sequence[Mapping[str, Any]], *, longest: int = 8) -> None:
    """A feature's parent and children on its own page; draws nothing without a family. `rows`: `queries.relatives`."""
    for kin, title in (("parent", "Parent"), ("child", "Children")):
        own = [row for row in rows if row["kin"] == kin]
        lines = [
            feature_line(row["feature_id"], row["label"], percent(row["conditional"]), f"{count(row['n_both'])} texts")
            for row in own[:longest]
        ]
        if own:
            line_list(kin, lines, title=title, note=f"{len(own):,}" if len(own) > 1 else "", help=UNDER)
    if rows:
        page_link("families.py", "its family as a tree ›", family=rows[0]["family_id"])
