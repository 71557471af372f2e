"""A generation's files beside its manifest: which are missing, of another size, or changed."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

from featurelib.schema import TABLES, Refusal
from featurelib.storage import files
from featurelib.storage.parts.known_places import check_place
from featurelib.storage.parts.part_files import StoredPart, is_pointer, read_pointer
from featurelib.storage.parts.part_places import Place
from featurelib.storage.runs import SHARED_STAGES, SHARES, Generation


def missing_or_resized(generation: Generation) -> dict[str, str]:
    """Compare the files with the manifest by presence and size, cheaply; a sentence for each file that differs."""
    return {name: sentence for name, sentence in _compared(generation, None, _Listed().difference) if sentence}


def verify(
    generation: Generation, sha256: Callable[[Path], str] = files.sha256_file, *, reads_back: bool = True
) -> Iterator[tuple[str, str | None]]:
    """Hash every file of the manifest; yield its name and None, or a sentence that says what is wrong with it.

    `sha256` hashes a file, or remembers what it is. A part in another place is read back whole and hashed too,
    unless `reads_back` is False: then only its pointer is.
    """
    stored = StoredPart.read_back if reads_back else _unread
    yield from _compared(generation, sha256, stored)


def _compared(
    generation: Generation,
    sha256: Callable[[Path], str] | None,
    stored: Callable[[StoredPart], str | None],
    only: tuple[str, ...] = ("",),
) -> Iterator[tuple[str, str | None]]:
    """Compare the files whose names begin with one of `only`, and those that another run shares with this one."""
    if not generation.complete:
        name = f"{generation.path.parent.name}/{generation.name}"
        yield "manifest.json", f"{name} has no manifest: its build has not finished."
        return
    for name, expected in generation.manifest().items():
        if not f"{name}/".startswith(only):
            continue
        try:
            wrong = _difference(generation, name, expected, sha256)
            yield name, _stored_difference(generation, name, stored) if wrong is None and is_pointer(name) else wrong
        except FileNotFoundError:
            yield name, f"{name} is missing; the manifest lists it with {expected['bytes']} bytes."
        except OSError as error:
            yield name, f"{name} cannot be read ({error.strerror or error}); the disk may be damaged."
    yield from _compared_shared(generation, sha256, stored)


def _compared_shared(
    generation: Generation, sha256: Callable[[Path], str] | None, stored: Callable[[StoredPart], str | None]
) -> Iterator[tuple[str, str | None]]:
    """The same of the texts and embeddings that are another run's, with its name before theirs."""
    try:
        other = generation.shared()
    except Refusal as missing:
        yield SHARES, str(missing)
        return
    if other is None:
        return
    shared = tuple(f"{table.path}/" for table in TABLES if table.stage in SHARED_STAGES)
    for name, sentence in _compared(other, sha256, stored, only=shared):
        place = f"{other.path.parent.name}/{other.name}"
        yield f"{place}/{name}", sentence and f"{place}/{sentence}"


def _difference(
    generation: Generation, name: str, expected: dict[str, Any], sha256: Callable[[Path], str] | None
) -> str | None:
    """What is wrong with one file; FileNotFoundError where it is missing."""
    path = generation.path / name
    size = path.stat().st_size
    if size != expected["bytes"]:
        return f"{name} has {size} bytes; the manifest says {expected['bytes']}."
    if sha256 is not None and sha256(path) != expected["sha256"]:
        return f"{name} has changed: its sha256 is not the one in the manifest."
    return None


def _stored_difference(generation: Generation, name: str, stored: Callable[[StoredPart], str | None]) -> str | None:
    part = read_pointer(generation.path / name)
    if part.place != generation.parts_at:
        check_place(part.place, generation.path.parent)
    return stored(part)


def _unread(part: StoredPart) -> None:
    """Nothing is said of a part that is not looked at."""


class _Listed:
    """The sizes of parts in other places; each of their folders is listed once."""

    def __init__(self) -> None:
        self._sizes: dict[tuple[str, str], dict[str, int]] = {}

    def difference(self, part: StoredPart) -> str | None:
        folder = part.place, part.key.rpartition("/")[0]
        if folder not in self._sizes:
            self._sizes[folder] = Place(part.place).sizes(folder[1])
        return part.difference(self._sizes[folder].get(part.key))
