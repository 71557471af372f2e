"""The stage table: the whole pipeline in order, and what it says of files, fingerprints and changes."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from featurelib.schema import FORMERLY, RENAMED, STAGES
from featurelib.storage import files
from precompute.build.append import APPENDED, Append
from precompute.build.config import BuildConfig
from precompute.build.flag import flag
from precompute.build.stage import Stage
from precompute.stages import (
    attributions,
    audit,
    embed,
    encode,
    explanations,
    families,
    ingest,
    keywords,
    labels,
    language_model,
    layout,
    near_misses,
    summarise,
    train,
)

PIPELINE: tuple[Stage, ...] = (
    ingest.STAGE,
    embed.STAGE,
    train.STAGE,
    encode.STAGE,
    summarise.STAGE,
    keywords.STAGE,
    layout.STAGE,
    attributions.STAGE,
    labels.STAGE,
    explanations.STAGE,
    near_misses.STAGE,
    families.STAGE,
    language_model.STAGE,
    audit.STAGE,
)

if tuple(stage.name for stage in PIPELINE) != STAGES:
    raise AssertionError("precompute.build.stage_table.PIPELINE and the tables of featurelib.schema name other stages")


@dataclass(frozen=True)
class Expected:
    """What a stage's output must have been made from to stand."""

    fingerprint: str
    """The hash that the stage's marker must hold."""
    slices: dict[str, Any]
    """What was hashed, so that a difference can be told in words."""
    applies: bool = True
    """Whether a run of this kind has the stage at all."""


def expect(config: BuildConfig, append: Append | None = None) -> dict[str, Expected]:
    """The fingerprint of every stage: a hash of its options, its code version, its sources and the stages before it.

    In an append, what is frozen is made from what the run was made from, and the texts from the appended sources too.
    """
    expected: dict[str, Expected] = {}
    for stage in PIPELINE:
        frozen = append.slices(stage.name) if append else None
        slices: dict[str, Any] = frozen or _slices(stage, config)
        slices["after"] = {FORMERLY.get(name, name): expected[name].fingerprint for name in stage.after}
        applies = config.has_tokens or not stage.only_tokens
        expected[stage.name] = Expected(files.fingerprint(slices), slices, applies)
    return expected


def _slices(stage: Stage, config: BuildConfig) -> dict[str, Any]:
    """What a stage is made from besides the stages before it."""
    options = _options(stage, config)
    if "seed" not in stage.options and config.shuffle and stage.name == "ingest":
        options["seed"] = config.seed
    return {
        "stage": stage.hashed_name,
        "version": stage.version,
        "options": options,
        "identity": stage.identity(config),
    }


def _options(stage: Stage, config: BuildConfig) -> dict[str, Any]:
    """The options that a stage reads; one that came later counts only where it is given, so that older runs stand."""
    given = {name: getattr(config, name) for name in stage.options}
    return {name: value for name, value in given.items() if value is not None or name not in stage.later_options}


def difference(made_from: dict[str, Any], now: dict[str, Any]) -> str:
    """Say in words why what was made from the slices `made_from` does not stand for the slices `now`."""
    before = made_from.get("options", {})
    changed = [
        f"{flag(name)} was {before[name]} and is {value}"
        for name, value in now["options"].items()
        if before.get(name, value) != value
    ]
    after = made_from.get("after", {})
    changed += [
        f"{RENAMED.get(name, name)} has changed" for name, value in now["after"].items() if after.get(name) != value
    ]
    if made_from.get(APPENDED) != now.get(APPENDED):
        changed.append("the texts that are appended have changed")
    changed += ["its source has changed"] if made_from.get("identity") != now["identity"] else []
    changed += ["its code has changed"] if made_from.get("version") != now["version"] else []
    return "; ".join(changed) or "as asked for"


def stage_of(file: str) -> str:
    """The stage that writes a file of a generation; the last one for what is written after every stage (run.json)."""
    for stage in PIPELINE:
        markers = (f"done/{stage.name}.json", f"done/{stage.hashed_name}.json")
        if file in markers or any(f"{file}/".startswith(f"{output}/") for output in stage.outputs):
            return stage.name
    return PIPELINE[-1].name


def readers_of(name: str) -> list[Stage]:
    """The stages that read what the stage `name` writes, or what is made from that, in order."""
    readers = {name}
    for stage in PIPELINE:
        readers |= {stage.name} if readers & set(stage.after) else set()
    return [stage for stage in PIPELINE if stage.name in readers - {name}]
