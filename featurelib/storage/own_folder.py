"""A folder of this user's own, for what cannot be kept beside a run."""

from __future__ import annotations

import os
import tempfile
from pathlib import Path


def own_temporary_folder() -> Path:
    """Return a folder that only this user may write to, because its files are opened without further checks."""
    user = os.getuid() if hasattr(os, "getuid") else os.environ.get("USERNAME", "")
    folder = Path(tempfile.gettempdir()) / f"featurelib-{user}"
    try:
        folder.mkdir(mode=0o700, exist_ok=True)
        status = folder.lstat()
    except OSError:
        return folder
    if os.name != "nt" and (status.st_uid != user or status.st_mode & 0o077 or folder.is_symlink()):
        return Path(tempfile.mkdtemp(prefix="featurelib-"))
    return folder
