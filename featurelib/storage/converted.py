"""What is converted once and can be made again: a folder in the user's cache."""

from __future__ import annotations

import contextlib
import os
import tempfile
from collections.abc import Callable
from pathlib import Path

from featurelib.storage import files
from featurelib.storage.own_folder import own_temporary_folder


def converted(name: str, convert: Callable[[Path], None]) -> Path:
    """Return the folder `name` of the user's cache; `convert` fills it where it is not there. It is whole or absent.

    The cache is feature-browser in $XDG_CACHE_HOME, else in ~/.cache; where neither can be made, it is this user's
    temporary folder.
    """
    cache = Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache") / "feature-browser"
    try:
        cache.mkdir(parents=True, exist_ok=True)
    except OSError:
        cache = own_temporary_folder()
    folder = cache / name
    if not folder.is_dir():
        aside = Path(tempfile.mkdtemp(prefix="aside-", dir=cache))
        try:
            convert(aside)
            # another process may have put its own there meanwhile
            with contextlib.suppress(OSError):
                aside.rename(folder)
        finally:
            files.remove(aside)
    return folder
