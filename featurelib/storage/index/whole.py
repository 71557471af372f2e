"""Where an index lies, how it becomes whole, and whether it is what was written."""

from __future__ import annotations

import contextlib
import os
import shutil
import sqlite3
import tempfile
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import TypeAlias

from featurelib.schema import Refusal
from featurelib.storage import files
from featurelib.storage.own_folder import known_temporary_folder, own_temporary_folder
from featurelib.storage.runs import Generation, Run

VERSION = 4
"""To be raised when the layout of the index changes."""
CONTENTS = "index.json"
"""The list of an index's files with their sizes and hashes, written last."""
ABANDONED_SECONDS = 3600
"""An index that is being made, and was not touched for so long, was killed."""


def key(generation: Generation) -> str:
    """Return the name of the folder of a complete generation's index; it depends on all that the generation holds."""
    return f"index-{files.fingerprint([VERSION, files.sha256_file(generation.path / 'manifest.json')])}"


Stamp: TypeAlias = tuple[int, int]
"""Inode and time (ns) of an index's list of files: another index in its place has another one."""
_distrusted: set[Stamp] = set()
"""Indexes that were found not to be as they were written, and could perhaps not be removed."""


def folders(generation: Generation) -> Iterator[Path]:
    """Where an index may be written: in the run's cache folder, else in a folder of the user's own."""
    yield Run(generation.path.parent).cache_folder
    yield own_temporary_folder()


def stamp(folder: Path) -> Stamp | None:
    """Return the stamp of an index, None when it is gone."""
    try:
        status = (folder / CONTENTS).stat()
    except OSError:
        return None
    return status.st_ino, status.st_mtime_ns


def find(generation: Generation) -> Path | None:
    """Return the folder of a generation's index, None when it has none, or one whose files have another size."""
    if not generation.complete:
        return None
    name = key(generation)
    places = (Run(generation.path.parent).cache_folder, known_temporary_folder())
    found = (place / name for place in places if place is not None)
    return next((folder for folder in found if stamp(folder) not in _distrusted and is_whole(folder)), None)


def is_whole(folder: Path) -> bool:
    """Return whether every file of an index is there, with the size that it was written with."""
    try:
        listed = files.read_json(folder / CONTENTS)["files"]
        return all(
            entry["sha256"] and (folder / name).stat().st_size == entry["bytes"] for name, entry in listed.items()
        )
    except (OSError, Refusal, TypeError, KeyError, AttributeError):
        return False


def changed(folder: Path, sha256: Callable[[Path], str] = files.sha256_file) -> Iterator[tuple[str, bool]]:
    """Hash every file of an index; yield its name and whether it is not as it was written."""
    for name, entry in files.read_json(folder / CONTENTS)["files"].items():
        try:
            yield name, sha256(folder / name) != entry["sha256"]
        except OSError:
            yield name, True


def write(generation: Generation, make: Callable[[Path], object]) -> Path:
    """Let `make` fill a folder, then give it its name in one step; returns the folder.

    Another process may be making the same index: the first one stays. Refusal when it can be written nowhere.
    """
    refusals = []
    for place in folders(generation):
        try:
            return _write_in(place, key(generation), make, generation)
        except (OSError, sqlite3.Error) as refused:  # a disk that fills is an OSError, or SQLite's own
            refusals.append(f"{place}: {refused}")
    raise Refusal(
        f"the index can be written nowhere ({'; '.join(refusals)}), so pages are slower; make room, or give the right "
        "to write."
    )


def remove(folder: Path) -> None:
    """Remove an index that is not as it was written; where this user may not, it is never read again."""
    found = stamp(folder)
    if found is not None:
        _distrusted.add(found)
    shutil.rmtree(folder, ignore_errors=True)


def _write_in(place: Path, name: str, make: Callable[[Path], object], generation: Generation) -> Path:
    place.mkdir(parents=True, exist_ok=True)
    _sweep(place, generation)
    folder = place / name
    aside = Path(tempfile.mkdtemp(prefix=f"{name}-", suffix=files.ASIDE, dir=place))
    try:
        make(aside)
        listed = {path.name: _listed(path) for path in sorted(aside.iterdir())}
        shutil.copymode(place, aside)  # a folder of mkdtemp is for its maker alone, and others may serve the run
        files.write_json(aside / CONTENTS, {"version": VERSION, "files": listed})
        if folder.exists() and not is_whole(folder):
            shutil.rmtree(folder)
        with contextlib.suppress(OSError):  # a folder that another maker has put there meanwhile stays
            os.rename(aside, folder)
        if not is_whole(folder):
            raise OSError(f"{name} could not be put in its place")
    finally:
        shutil.rmtree(aside, ignore_errors=True)
    files.sync_folder(place)
    return folder


def _listed(path: Path) -> dict[str, object]:
    """What the list of files says of one, which is on the disk before the list is."""
    with path.open("rb+") as opened:
        os.fsync(opened.fileno())
    return {"bytes": path.stat().st_size, "sha256": files.sha256_file(path)}


def _sweep(place: Path, generation: Generation) -> None:
    """Remove what killed makers have left and, in a run's own folder, indexes that none of its generations can use."""
    usable = None
    if place == Run(generation.path.parent).cache_folder:
        others = Run(generation.path.parent).generations()
        usable = {key(other) for other in others if other.complete}
    for path in place.glob("index-*"):
        with contextlib.suppress(OSError):
            latest = max((inside.stat().st_mtime for inside in path.iterdir()), default=path.stat().st_mtime)
            old = time.time() - max(latest, path.stat().st_mtime) > ABANDONED_SECONDS
            if old and (path.suffix == files.ASIDE or (usable is not None and path.name not in usable)):
                shutil.rmtree(path, ignore_errors=True)
