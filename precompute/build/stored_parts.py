"""Parts of a run in another place: whose they are, and their removal once nothing points to them."""

from __future__ import annotations

import uuid
from collections.abc import Iterable, Iterator
from pathlib import Path

from featurelib.schema import TABLES, Refusal
from featurelib.storage import files
from featurelib.storage.parts.known_places import check_place, know_place, known_places
from featurelib.storage.parts.part_files import POINTER, StoredPart, pointed_at, read_pointer
from featurelib.storage.parts.part_places import Place
from featurelib.storage.runs import Generation, Run

OWNER, WORD, LOCK = "owner.txt", ".parts-owner", ".parts-lock"
"""In a run's folder of a place: the words of the run and of its data folder, each in a file of that folder. A copy of a
run in another data folder has the one word only, and so neither writes over nor removes what the run itself has."""
PARTED = tuple(table for table in TABLES if table.parts)


def claim(uri: str, run: Run) -> None:
    """Note in a place, once, that the parts of this run go there; Refusal where something else has that name there.

    Refusal too, within seconds, where the place does not answer. The data folder knows the place from then on.
    """
    from filelock import FileLock

    place, data_folder = Place(uri), run.path.parent
    if not place.is_bucket and Path(uri).resolve() == data_folder.resolve():
        raise Refusal(f"--parts {uri} is the data folder, where parts go without it; leave it out, or name another.")
    place.check()
    with FileLock(data_folder / LOCK):
        for folder in (data_folder, run.path):
            if not (folder / WORD).is_file():
                files.write_text(folder / WORD, uuid.uuid4().hex)
        _put_owner(place, run)
        know_place(data_folder, uri)


def _put_owner(place: Place, run: Run) -> None:
    found = place.read(f"{run.name}/{OWNER}")
    if found == _words(run):
        return
    if found is not None:
        raise Refusal(
            f"{place.shown}/{run.name} holds parts of another run '{run.name}', from another data folder or built "
            "before this one; give another --parts or --name, or remove them there."
        )
    if place.sizes(run.name):
        raise Refusal(
            f"{place.shown}/{run.name} holds files that no build with --parts wrote, and none are overwritten; give "
            "another --parts or --name."
        )
    place.write(f"{run.name}/{OWNER}", _words(run))


def _words(run: Run) -> bytes:
    """What tells a run from all others; nothing where it never had parts in another place."""
    paths = (run.path.parent / WORD, run.path / WORD)
    return b" ".join(path.read_bytes() for path in paths) if all(path.is_file() for path in paths) else b""


def check_places(run: Run) -> None:
    """Refusal where the run points to parts in a place that its data folder does not know."""
    places = {part.place for generation in run.generations() for part in stored_parts(generation)}
    for place in sorted(places):
        check_place(place, run.path)


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
    """Remove parts to which, of all the runs in the data folder, only `generation` points, and that one of them wrote.

    Those of a place that the data folder does not know, or of a run that is not in it, stay.
    """
    if not parts:
        return
    others = {(part.place, part.key) for other in _others(data_folder, generation) for part in stored_parts(other)}
    unused: dict[tuple[str, str], list[str]] = {}
    for part in parts:
        if (part.place, part.key) not in others:
            unused.setdefault((part.place, part.key.partition("/")[0]), []).append(part.key)
    known = known_places(data_folder)
    for (uri, writer), keys in unused.items():
        words = _words(Run(data_folder / writer))
        if uri in known and words and Place(uri).read(f"{writer}/{OWNER}") == words:
            Place(uri).remove(keys)


def _others(data_folder: Path, generation: Generation) -> Iterator[Generation]:
    for folder in data_folder.iterdir():
        for other in Run(folder).generations():
            if other.path != generation.path:
                yield other
