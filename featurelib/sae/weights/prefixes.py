"""The prefixes of a Matryoshka: its first features alone rebuild what it reads, so they are the general ones."""

from __future__ import annotations

from typing import Any


def prefixes_of(sizes: Any, n_features: int) -> tuple[int, ...] | None:
    """Return the sizes of the prefixes, ascending, the last one whole; None where `sizes` names none.

    No activation depends on them, so sizes that cannot be meant, such as falling ones, are no reason to refuse an SAE.
    """
    if not isinstance(sizes, list | tuple) or not all(type(size) is int for size in sizes):
        return None
    whole = [*sizes] if sizes and sizes[-1] == n_features else [*sizes, n_features]
    rising = all(before < after for before, after in zip([0, *whole], whole, strict=False))
    return tuple(whole) if rising and len(whole) > 1 else None
