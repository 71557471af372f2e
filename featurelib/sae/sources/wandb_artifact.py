"""SAEs that were logged as artifacts of Weights & Biases, as BatchTopK and the thesis do: sae.pt and config.json."""

from __future__ import annotations

import os
import re
import shutil
import sys
from collections.abc import Mapping
from pathlib import Path, PurePosixPath
from typing import TYPE_CHECKING, Any, NamedTuple

from featurelib.sae.sources.locate import Disk, Names, check_size, choose
from featurelib.sae.sources.place import Place
from featurelib.schema import Refusal

if TYPE_CHECKING:
    from wandb import Artifact

FORM = re.compile(r"wandb:(\w[\w.-]*)/(\w[\w.-]*)/(\w[\w.-]*):(\w[\w.-]*)", re.ASCII)
VERSION = re.compile(r"v\d+")
"""A version is never changed; other aliases, such as latest, move."""
ANSWER_SECONDS = 10


class ArtifactName(NamedTuple):
    """What wandb:entity/project/name:version names."""

    entity: str
    """Whose it is."""
    project: str
    """The project in which it was logged."""
    name: str
    """The artifact's name."""
    version: str
    """v0, v1, …, or an alias."""

    def __str__(self) -> str:
        """Return it as W&B writes it."""
        return f"{self.entity}/{self.project}/{self.name}:{self.version}"


def parse(source: str) -> ArtifactName:
    """Return what `source` names; Refusal when it is not of that form."""
    match = FORM.fullmatch(source)
    if not match:
        raise Refusal(f"'{source[:160]}' names no W&B artifact; give wandb:ENTITY/PROJECT/NAME:VERSION, such as …:v0.")
    return ArtifactName(*match.groups())


def fetch(source: str) -> Place[Path]:
    """Return the files of the artifact in a cache of ours; a version that is there is not asked for again."""
    name = parse(source)
    folder = cache_folder() / name.entity / name.project / name.name / name.version
    if not (VERSION.fullmatch(name.version) and folder.is_dir()):
        folder = _download(name)
    return choose(Disk(), folder, source)


def cache_folder() -> Path:
    """Return where artifacts are kept: in the user's folder for what can be fetched again."""
    fallback = {"darwin": "~/Library/Caches", "win32": os.environ.get("LOCALAPPDATA", "~/AppData/Local")}
    root = os.environ.get("XDG_CACHE_HOME") or fallback.get(sys.platform, "~/.cache")
    return Path(root).expanduser() / "featurelib" / "wandb"


def wanted_files(entries: Mapping[str, Any], called: str) -> list[str]:
    """Return which files of an artifact are the SAE, of the entries of its manifest; Refusal when they cannot be had.

    Only files that W&B itself keeps are fetched: a reference may name any place, on this machine too.
    """
    names = [str(path) for path in choose(Names(entries), PurePosixPath(), called).in_order]
    elsewhere = [name for name in names if entries[name].ref is not None]
    if elsewhere:
        raise Refusal(f"{elsewhere[0]} of {called} is only a reference to a file elsewhere; fetch that file yourself.")
    check_size(called, sum(entries[name].size or 0 for name in names))
    return names


def _download(name: ArtifactName) -> Path:
    wandb = _client()
    try:
        artifact = wandb.Api(timeout=ANSWER_SECONDS).artifact(str(name))
        return _keep(artifact, name)
    except Refusal:
        raise
    except wandb.errors.UsageError as error:
        raise Refusal(f"W&B knows no key of yours here, so {name} cannot be had; give: wandb login.") from error
    except (wandb.errors.Error, OSError, ValueError) as error:
        raise Refusal(
            f"W&B gave no artifact {name} ({type(error).__name__}); check that it can be reached from here, that your "
            "key may read this project, and how entity, project, name and version are spelt."
        ) from error


def _client() -> Any:
    try:
        import wandb
    except ImportError as error:
        raise Refusal("an SAE on W&B wants W&B's own client; give: pip install wandb.") from error
    return wandb


def _keep(artifact: Artifact, name: ArtifactName) -> Path:
    """Download the SAE's files; the folder appears in one step when all are there."""
    if not VERSION.fullmatch(artifact.version):
        raise Refusal(f"W&B calls the version of {name} '{artifact.version[:40]}'; v0, v1, … is expected.")
    folder = cache_folder() / name.entity / name.project / name.name / artifact.version
    if folder.is_dir():
        return folder
    aside = folder.with_name(f"{folder.name}.aside")
    shutil.rmtree(aside, ignore_errors=True)
    for file in wanted_files(artifact.manifest.entries, str(name)):
        artifact.get_entry(file).download(root=str(aside))
    os.replace(aside, folder)
    return folder
