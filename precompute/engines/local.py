"""The engine that is one process: this one."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from precompute.engines import Opener, PartMaker


class LocalEngine:
    """Makes one part after the other, here."""

    sharing = ""

    def make_parts(
        self, parts: Mapping[int, int], here: PartMaker, elsewhere: Opener, advance: Callable[[int], None]
    ) -> dict[str, Any]:
        """See `Engine.make_parts`."""
        for number in parts:
            here(number, advance)
        return here.traits
