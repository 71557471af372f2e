"""Folders that one of the test processes builds and all of them read."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pytest
from filelock import FileLock

from precompute.build.stage_table import PIPELINE


def shared_folder(factory: pytest.TempPathFactory) -> Path:
    """The folder of this test session that is the same in every xdist worker."""
    base = factory.getbasetemp()
    return base.parent if base.name.startswith("popen-") else base


def build_once(factory: pytest.TempPathFactory, name: str, build: Callable[[Path], object]) -> Path:
    """The folder `name`, filled by `build` in the first process that asks for it; read it, never write to it."""
    folder = shared_folder(factory) / f"shared-{name}"
    complete = folder.with_suffix(".complete")
    with FileLock(folder.with_suffix(".lock")):
        if not complete.exists():
            folder.mkdir()
            build(folder)
            complete.touch()
    return folder


TEXT_STAGES = tuple(stage.name for stage in PIPELINE if not stage.only_tokens)
"""The stages of a run whose SAE reads texts."""
