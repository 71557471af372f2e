"""A folder of this user's own, for what cannot be kept beside a run."""

from __future__ import annotations

import os
import tempfile
from functools import cache
from pathlib import Path


def own_temporary_folder() -> Path:
    """Return a folder that only this user may write to, because its files are opened without further checks."""
    folder = _named()
    try:
        folder.mkdir(mode=0o700, exist_ok=True)
    except OSError:
        return folder
    return folder if _is_own(folder) else _another()


def known_temporary_folder() -> Path | None:
    """Return the same folder, for reading: None where there is none, or one that others may write to."""
    folder = _named()
    return folder if folder.is_dir() and _is_own(folder) else None


def _named() -> Path:
    user = os.getuid() if hasattr(os, "getuid") else os.environ.get("USERNAME", "")
    return Path(tempfile.gettempdir()) / f"featurelib-cache-{user}"


def _is_own(folder: Path) -> bool:
    status = folder.lstat()
    return os.name == "nt" or (status.st_uid == os.getuid() and not status.st_mode & 0o077 and not folder.is_symlink())


@cache
def _another() -> Path:
    """A folder with a new name, one for this process: somebody else has made the one that would be used."""
    return Path(tempfile.mkdtemp(prefix="featurelib-cache-"))
