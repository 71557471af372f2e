"""How the rows of a CSV file relate to its header: which fields a row may lack or have too many of."""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass

from featurelib.schema import Refusal

ROW_NAMES = "row_names"
"""The name of the column of row names, which has none in the header."""
_NUMBER = re.compile(r"\s*[-+]?\d+([.,]\d+)*(e[-+]?\d+)?\s*", re.IGNORECASE)


@dataclass(frozen=True)
class RowShape:
    """What a row of one file must look like."""

    names: tuple[str, ...]
    """The columns, that of row names included."""
    numeric: tuple[bool, ...]
    """Whether a column holds nothing but numbers in the whole rows among the first; such a row is not a torn one."""
    notes: tuple[str, ...] = ()
    """Sentences on what was understood."""

    def fit(self, row: Sequence[str]) -> list[str | None] | None:
        """The fields of a row under the columns: missing last ones are None; None when it does not fit the header."""
        width = len(self.names)
        if len(row) > width:
            return list(row[:width]) if not any(row[width:]) else None
        return [*row, *[None] * (width - len(row))] if len(row) == width or self._may_be_short(row) else None

    def _may_be_short(self, row: Sequence[str]) -> bool:
        """Whether a row leaves off optional fields; the second half of a row torn by a line end has them shifted."""
        if len(row) == 1 and self.numeric[0]:
            return False
        return all(
            not cell or not numeric or _NUMBER.fullmatch(cell) for cell, numeric in zip(row, self.numeric, strict=False)
        )


def find_shape(source: str, header: Sequence[str], rows: Sequence[Sequence[str]]) -> RowShape:
    """Find the shape of the file `source` from its header and its first rows, those with broken quotes left out.

    Raises Refusal where all rows are off by the same number of fields and no reading explains it.
    """
    width = len(header)
    widths = Counter(len(row) for row in rows)
    trimmed = [_without_empty_ends(row, width) for row in rows]
    n_trimmed = sum(len(row) != len(kept) for row, kept in zip(rows, trimmed, strict=True))
    names, notes = tuple(header), []
    if len(widths) == 1 and min(widths) > width and not n_trimmed:
        if min(widths) > width + 1:
            raise Refusal(
                f"the header of {source} names {width} columns, but each of its rows has {min(widths)} fields; name "
                "every column in the header, or check which character the fields are apart by."
            )
        names = (_free_name(header), *header)
        notes.append(
            f"the header of {source} names one column less than its rows have fields: the first field is taken for "
            f"the name of the row, as R writes it, and kept as '{names[0]}'."
        )
    if n_trimmed:
        notes.append(
            f"{n_trimmed:,} of the first {len(rows):,} rows of {source} end with a delimiter too many; "
            "the empty field is left out."
        )
    whole = [row for row in trimmed if len(row) == len(names)]
    shape = RowShape(names, tuple(_all_numbers([row[place] for row in whole]) for place in range(len(names))))
    short = [row for row in trimmed if len(row) < len(names) and shape.fit(row)]
    if short:
        missing = ", ".join(names[min(map(len, short)) :])
        first = next(number for number, row in enumerate(trimmed, 1) if row is short[0])
        notes.append(
            f"{len(short):,} of the first {len(rows):,} rows of {source} leave off their last fields ({missing}); "
            "these are left empty. If a line end inside a text has torn them in two (the first is row "
            f"{first} below the header), write the texts in quotes."
        )
    return RowShape(shape.names, shape.numeric, tuple(notes))


def _without_empty_ends(row: Sequence[str], width: int) -> Sequence[str]:
    return row[:width] if len(row) > width and not any(row[width:]) else row


def _free_name(header: Sequence[str]) -> str:
    taken = {name.casefold() for name in header}
    name = ROW_NAMES
    while name in taken:
        name += "_"
    return name


def _all_numbers(cells: Sequence[str]) -> bool:
    filled = [cell for cell in cells if cell]
    return bool(filled) and all(_NUMBER.fullmatch(cell) for cell in filled)
