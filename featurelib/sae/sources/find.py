"""Where an SAE lies: a file, a folder, a run, a repository on the Hugging Face hub, an artifact of Weights & Biases."""

from __future__ import annotations

import hashlib
import os
import re
from pathlib import Path

from featurelib.sae.sources import hub, wandb_artifact
from featurelib.sae.sources.locate import SHARD, Disk, candidates, choose, complete_place
from featurelib.sae.sources.place import Place
from featurelib.sae.weights.sharded_safetensors import INDEX_SUFFIX
from featurelib.schema import Refusal
from featurelib.storage import files

GENERATION = re.compile(r"g\d{4,}")
"""What a generation is called; another name in `current` could lead anywhere."""


def find_place(source: str | Path) -> Place[Path]:
    """Return the files that `source` means; what lies elsewhere is fetched into a cache first.

    `source` is a file, a folder that holds one SAE, a run or a generation of one; `org/name`, `org/name/folder` or
    `hf://org/name/folder@revision` on the hub; `wandb:entity/project/name:v0`. What is on this machine wins. Raises
    Refusal when there is nothing, or more than one SAE, or when what is elsewhere cannot be had.
    """
    path = _on_this_machine(source)
    if not path.exists():
        return _fetch(str(source)) if isinstance(source, str) else _nothing_at(source)
    if not (path.is_file() or path.is_dir()):
        raise Refusal(
            f"{path.name} is no plain file (but a pipe, socket or device); give the file or folder of an SAE."
        )
    if path.is_file() and (path.name.endswith(INDEX_SUFFIX) or SHARD.fullmatch(path.name)):
        return complete_place(Disk(), path)
    if path.is_file() and path.suffix != ".json":
        return complete_place(Disk(), path)
    return choose(Disk(), _run_folder(path if path.is_dir() else path.parent))


def weights_sha256(place: Place[Path]) -> str:
    """Return the sha256 of the weights; of shards and their index, that of the list which sha256sum makes of them."""
    if not place.shards:
        return files.sha256_file(place.weights)
    lines = [f"{files.sha256_file(path)}  {path.name}\n" for path in (*place.shards, place.weights)]
    return hashlib.sha256("".join(lines).encode()).hexdigest()


def name_source(source: str, place: Place[Path]) -> str:
    """Return what a run calls the `source` of its SAE: never a path; with the commit where it came from the hub."""
    path = _on_this_machine(source)
    if path.exists():
        return Path(os.path.abspath(path)).name
    commit = re.search(r"/snapshots/([0-9a-f]{40})/", place.weights.as_posix())
    return f"{source.partition('@')[0]}@{commit[1][:12]}" if commit else source


def _on_this_machine(source: str | Path) -> Path:
    """Return the path that `source` is, if it is one; ~somebody stays as it is where there is no such user."""
    try:
        return Path(source).expanduser()
    except RuntimeError:
        return Path(source)


def _fetch(source: str) -> Place[Path]:
    if source.startswith("wandb:"):
        return wandb_artifact.fetch(source)
    name = hub.parse(source)
    return hub.fetch(name) if name else _nothing_at(source)


def _nothing_at(source: str | Path) -> Place[Path]:
    raise Refusal(f"there is no SAE at '{source}'; give a file, folder or run that is there, or a hub id (org/name).")


def _run_folder(folder: Path) -> Path:
    """Return the folder of the SAE where `folder` is a run or a generation, else `folder`."""
    if (folder / "current").is_file():
        named = (folder / "current").read_text(encoding="utf-8", errors="replace").strip()
        if not GENERATION.fullmatch(named) or not (folder / named).is_dir():
            raise Refusal(f"'{folder.name}/current' names no generation that is there; copy or build the run again.")
        folder = folder / named
    return folder / "sae" if (folder / "sae").is_dir() and not candidates(Disk(), folder) else folder
