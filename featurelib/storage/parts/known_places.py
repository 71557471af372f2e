"""The places of parts that a data folder knows: a run may be a stranger's, which alone is no reason to open them."""

from __future__ import annotations

import os
from pathlib import Path

from featurelib.schema import Refusal
from featurelib.storage import files

KNOWN = ".parts-places"
"""The file in a data folder, beside its runs, with a place in each line."""


def known_places(data_folder: Path) -> frozenset[str]:
    """The places that a data folder knows: those of the builds in it, and those that somebody has written down."""
    path = data_folder / KNOWN
    if not path.is_file():
        return frozenset()
    return frozenset(map(str.strip, path.read_text(encoding="utf-8", errors="replace").splitlines()))


def know_place(data_folder: Path, place: str) -> None:
    """Write a place down, once; whoever does so holds the data folder's lock."""
    known = known_places(data_folder)
    if place not in known:
        files.write_text(data_folder / KNOWN, "".join(f"{each}\n" for each in sorted({*known, place})))


def check_place(place: str, run: Path) -> None:
    """Refusal where the data folder of a run does not know the place of one of its parts."""
    # of the name as it is given, so that a link or a relative path leads into nobody else's folder
    folder = Path(os.path.abspath(run)).parent
    if place not in known_places(folder):
        raise Refusal(
            f"run '{run.name}' points to parts in {place}, a place that its data folder does not know; if you trust "
            f"whoever made the run, write that place as a line into {(folder / KNOWN).as_posix()}."
        )
