"""Parts of a run in another place: whose they are, and their removal once nothing points to them."""

from __future__ import annotations

import uuid
from collections.abc import Iterable, Iterator
from pathlib import Path

from featurelib.schema import TABLES, Refusal
from featurelib.storage import files
from featurelib.storage.part_files import POINTER, StoredPart, pointed_at, read_pointer
from featurelib.storage.part_places import Place
from featurelib.storage.runs import Generation, Run

OWNER = "owner.txt"
"""In a run's folder of a place, and as .parts-owner in the run: a word by which a run knows its own parts."""
PARTED = tuple(table for table in TABLES if table.parts)


def claim(uri: str, run: Run) -> None:
    """Note in a place, once, that the parts of this run go there; Refusal where another run of its name has parts.

    Refusal too, within seconds, where the place does not answer or may not be written to.
    """
    place, own = Place(uri), run.path / ".parts-owner"
    if not place.is_bucket and Path(uri).resolve() == run.path.parent.resolve():
        raise Refusal(f"--parts {uri} is the data folder, where parts go without it; leave it out, or name another.")
    place.check()
    if not own.is_file():
        files.write_text(own, uuid.uuid4().hex + "\n")
    word, key = own.read_bytes(), f"{run.name}/{OWNER}"
    found = place.read(key)
    if found is None:
        place.write(key, word)
    elif found != word:
        raise Refusal(
            f"{place.shown}/{run.name} holds parts of another run '{run.name}', from another data folder or built "
            "before this one; give another --parts or --name, or remove them there."
        )


def stored_parts(generation: Generation, paths: Iterable[str] | None = None) -> list[StoredPart]:
    """The parts of a generation that lie in other places: of the tables at `paths`, or of all."""
    chosen = [table.path for table in PARTED] if paths is None else [path for path in paths if _has_parts(path)]
    return [part for path in chosen for part in pointed_at(generation.path / path)]


def place_of(generation: Generation) -> str | None:
    """A place in which parts of a generation lie, in words; None where all are in its folder."""
    paths = (path for table in PARTED for path in (generation.path / table.path).glob(f"part-*{POINTER}"))
    first = next(paths, None)
    return None if first is None else Place(read_pointer(first).place).shown


def _has_parts(path: str) -> bool:
    return any(table.path == path for table in PARTED)


def remove_stored(parts: list[StoredPart], data_folder: Path, generation: Generation) -> None:
    """Remove parts to which, of all the runs in the data folder, only `generation` points."""
    if not parts:
        return
    others = {(part.place, part.key) for other in _others(data_folder, generation) for part in stored_parts(other)}
    unused: dict[str, list[str]] = {}
    for part in parts:
        if (part.place, part.key) not in others:
            unused.setdefault(part.place, []).append(part.key)
    for place, keys in unused.items():
        Place(place).remove(keys)


def _others(data_folder: Path, generation: Generation) -> Iterator[Generation]:
    for folder in data_folder.iterdir():
        for other in Run(folder).generations():
            if other.path != generation.path:
                yield other
