"""The stage table: the whole pipeline in order, what each stage depends on and what it writes."""

from __future__ import annotations

import importlib
from collections.abc import Callable
from dataclasses import dataclass
from types import ModuleType
from typing import Any

from featurelib.schema import STAGES, TABLES
from featurelib.storage import files
from featurelib.storage.runs import SAE_FOLDER
from precompute.build.config import BuildConfig, flag
from precompute.build.job import Job, Made

MODULES = {
    "label": "keywords",
    "arrange": "layout",
    "judge": "labels",
    "explain": "explanations",
    "attribute": "attributions",
    "miss": "near_misses",
    "relate": "families",
}


@dataclass(frozen=True)
class Stage:
    """One verb of the pipeline; its module is precompute/<name>.py, imported when it is needed."""

    name: str
    """The verb, one of schema.STAGES."""
    after: tuple[str, ...]
    """The stages whose output it reads."""
    options: tuple[str, ...]
    """The fields of BuildConfig that change its output."""
    grounds: str
    """In words, what is the same when it need not be made again."""
    folders: tuple[str, ...] = ()
    """What it writes besides its tables."""

    @property
    def module(self) -> ModuleType:
        """The module that does the work."""
        return importlib.import_module(f"precompute.stages.{MODULES.get(self.name, self.name)}")

    @property
    def verb(self) -> Callable[[Job], Made]:
        """The function that does the work."""
        return getattr(self.module, self.name)

    @property
    def outputs(self) -> tuple[str, ...]:
        """The files and folders of the generation that are this stage's own."""
        return tuple(table.path for table in TABLES if table.stage == self.name) + self.folders


PIPELINE: tuple[Stage, ...] = (
    Stage("ingest", (), ("text_column", "title_column", "id_column", "sample", "shuffle"), "source and columns"),
    Stage("embed", ("ingest",), ("prompt", "normalize", "max_seq_length", "embedding_dtype"), "texts and embedder"),
    Stage(
        "train",
        ("ingest", "embed"),
        ("features", "k", "architecture", "epochs", "patience", "threshold", "seed"),
        "embeddings and SAE options",
        (SAE_FOLDER,),
    ),
    Stage("encode", ("embed", "train"), ("seed",), "embeddings and SAE"),
    Stage("summarise", ("encode",), (), "activations"),
    Stage(
        "label",
        ("ingest", "embed", "summarise"),
        ("keyword_texts", "merge_at", "pair_at", "cluster_at", "keyword_embedder"),
        "top texts and keyword options",
    ),
    Stage("arrange", ("embed", "train"), ("seed",), "directions, embeddings and seed"),
    Stage("judge", ("embed", "train", "summarise", "label"), ("seed",), "keywords, texts and SAE"),
    Stage(
        "explain",
        ("ingest", "embed", "train", "summarise"),
        ("labeller_model", "labelled_features", "seed"),
        "texts, SAE and model of the labeller",
    ),
    Stage("attribute", ("embed", "train", "summarise"), ("attributed_texts",), "top texts, embedder and SAE"),
    Stage("miss", ("embed", "train"), (), "embeddings and SAE"),
    Stage("relate", ("summarise", "judge"), ("seed",), "activations, labels and seed"),
    Stage("audit", ("embed", "summarise"), ("seed",), "texts and activations"),
)

if tuple(stage.name for stage in PIPELINE) != STAGES:
    raise AssertionError("precompute.build.stage_table.PIPELINE and featurelib.schema.STAGES name different stages")


@dataclass(frozen=True)
class Expected:
    """What a stage's output must have been made from to stand."""

    fingerprint: str
    """The hash that done/<stage>.json must hold."""
    slices: dict[str, Any]
    """What was hashed, so that a difference can be told in words."""


def expect(config: BuildConfig) -> dict[str, Expected]:
    """The fingerprint of every stage: a hash of its options, its code version, its sources and the stages before it."""
    expected: dict[str, Expected] = {}
    for stage in PIPELINE:
        slices = {
            "stage": stage.name,
            "version": stage.module.VERSION,
            "options": {name: getattr(config, name) for name in stage.options},
            "identity": stage.module.identity(config),
            "after": {name: expected[name].fingerprint for name in stage.after},
        }
        if "seed" not in stage.options and config.shuffle and stage.name == "ingest":
            slices["options"]["seed"] = config.seed
        expected[stage.name] = Expected(files.fingerprint(slices), slices)
    return expected


def difference(made_from: dict[str, Any], now: dict[str, Any]) -> str:
    """Say in words why what was made from the slices `made_from` does not stand for the slices `now`."""
    before = made_from.get("options", {})
    changed = [
        f"{flag(name)} was {before[name]} and is {value}"
        for name, value in now["options"].items()
        if before.get(name, value) != value
    ]
    after = made_from.get("after", {})
    changed += [f"{name} has changed" for name, value in now["after"].items() if after.get(name) != value]
    changed += ["its source has changed"] if made_from.get("identity") != now["identity"] else []
    changed += ["its code has changed"] if made_from.get("version") != now["version"] else []
    return "; ".join(changed) or "as asked for"


def stage_of(file: str) -> str:
    """The stage that writes a file of a generation; the last one for what is written after every stage (run.json)."""
    for stage in PIPELINE:
        if file == f"done/{stage.name}.json" or any(f"{file}/".startswith(f"{one}/") for one in stage.outputs):
            return stage.name
    return PIPELINE[-1].name


def readers_of(name: str) -> list[Stage]:
    """The stages that read what the stage `name` writes, or what is made from that, in order."""
    readers = {name}
    for stage in PIPELINE:
        readers |= {stage.name} if readers & set(stage.after) else set()
    return [stage for stage in PIPELINE if stage.name in readers - {name}]
