"""share: copy a run without the texts and embeddings that it has in common with another run beside it."""

from __future__ import annotations

import shutil
from collections.abc import Sequence
from pathlib import Path

from featurelib.schema import TABLES, Refusal
from featurelib.storage import files
from featurelib.storage.runs import SHARED_STAGES, SHARES, Generation, Run, check_name, find_run
from precompute.build.job import Say
from precompute.build.provenance import write_manifest
from precompute.build.stage_table import stage_of

LEFT_OUT = ("explanations", "attributions", "near_misses", "families", "audit")
"""Stages whose tables nothing else needs."""


def share(data_folder: Path, name: str, other_name: str, folder: Path, without: Sequence[str | None], say: Say) -> int:
    """Copy the run `name` into `folder`/`name`, without what `other_name` has too and what the stages `without` made.

    The copy is complete, and opens wherever `other_name` lies beside it in the same folder. Refusal when the two have
    not the same texts and embeddings, or the copy is there already.
    """
    generation, other = (find_run(data_folder, check_name(each)).current() for each in (name, other_name))
    if generation.path == other.path or other.shared() is not None:
        raise Refusal(f"'{other_name}' has no texts of its own that '{name}' could share; name a run that has.")
    for stage in without:
        if stage not in LEFT_OUT:
            raise Refusal(f"--without {stage} cannot be, other tables need it; possible are {', '.join(LEFT_OUT)}.")
    for stage in SHARED_STAGES:
        ours, theirs = generation.done(stage), other.done(stage)
        if ours is None or theirs is None or ours.fingerprint != theirs.fingerprint:
            raise Refusal(
                f"'{name}' and '{other_name}' do not have the same texts and embeddings (stage '{stage}'); build "
                f"'{name}' from the same source and embedder."
            )
    if not generation.complete:
        raise Refusal(f"run '{name}' is not complete; finish its build first.")
    copy = Run(folder / name)
    if copy.path.exists():
        raise Refusal(f"{copy.path} is there already; remove it, or give another folder.")
    left = copy_generation(generation, Generation(copy.path / generation.name), without)
    files.write_text(copy.path / generation.name / SHARES, f"{other_name}/{other.name}\n")
    write_manifest(Generation(copy.path / generation.name))
    copy.point_to(generation)
    say(f"{copy.path}: {left / 1e6:.1f} MB; it needs the run '{other_name}' beside it.")
    return 0


def copy_generation(generation: Generation, copy: Generation, without: Sequence[str | None]) -> int:
    """Copy the files of a generation but the shared tables and what some stages made; return how many bytes."""
    shared = [table.path for table in TABLES if table.stage in SHARED_STAGES]
    n_bytes = 0
    for path in generation.manifest_files():
        inside = path.relative_to(generation.path).as_posix()
        if any(f"{inside}/".startswith(f"{table}/") for table in shared):
            continue
        if inside != "run.json" and stage_of(inside) in without:
            continue
        target = copy.path / inside
        target.parent.mkdir(parents=True, exist_ok=True)
        shutil.copyfile(path, target)
        n_bytes += target.stat().st_size
    return n_bytes
