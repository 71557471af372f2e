"""The options of an append: those that the run was built with, unless flags say otherwise.

Flags that say otherwise are refused where a frozen stage was made with them; the other stages are made again from all
texts, and so may have other options.
"""

from __future__ import annotations

from pathlib import Path
from typing import Any

from featurelib.embedder.precomputed import PRECOMPUTED, precomputed_dimension
from featurelib.schema import Refusal
from featurelib.storage.runs import SHARES, Generation, check_name, find_run
from precompute.build.append import FROZEN, REBUILD, base_of, without
from precompute.build.config import BuildConfig, fields
from precompute.build.flag import flag
from precompute.build.stage_table import PIPELINE

OF_THE_SOURCE = ("encoding",)
"""Options that speak of the new source, whatever those of the first one were."""
NOT_WITH_APPEND = {
    "sample": "every text of the source is appended",
    "shuffle": "every text of the source is appended",
    "sae": "the SAE of the run stays",
}
STAGES_BY_NAME = {stage.name: stage for stage in PIPELINE}


def append_config(keys: dict[str, Any], data_folder: Path) -> BuildConfig:
    """Return the build that appends the source of `keys` to the run that they name, with that run's options.

    Raises Refusal when there is no such run, when it is not complete, when a key contradicts what a frozen stage was
    made with, and when its embedder or the embeddings of the new texts are missing or others.
    """
    base = base_of(find_run(data_folder, check_name(keys["name"])))
    _check_base(base)
    recorded = _recorded_options(base)
    for name, value in keys.items():
        _refuse_contradiction(name, value, recorded, base)
    if recorded.get("labeller_model") and not keys.get("labeller"):
        raise Refusal(
            f"the features of run '{keys['name']}' were explained by {recorded['labeller_model']}, and an append "
            "explains them again; give the address of its server with --labeller."
        )
    config = BuildConfig(**(recorded | {"encoding": None} | _embedder(keys, base) | keys))
    _check_embeddings(config, base)
    return config


def _check_base(base: Generation) -> None:
    """Refuse a run that cannot be built on, or of which a frozen stage would be made otherwise today."""
    if (base.path / SHARES).exists():
        raise Refusal(
            f"run '{base.path.parent.name}' has no texts of its own (they are another run's) and cannot be appended "
            "to; append to the other run."
        )
    for name in FROZEN:
        done, stage = base.done(name), STAGES_BY_NAME[name]
        version = done.made_from.get("version") if done else None
        if version != stage.version:
            raise Refusal(
                f"the stage '{name}' of run '{base.path.parent.name}' was made by version {version} of its code, and "
                f"this is version {stage.version}; build it again before texts are appended."
            )


def _recorded_options(base: Generation) -> dict[str, Any]:
    """The options that the stages of a run were made with, and the SAE that it took from elsewhere."""
    recorded: dict[str, Any] = {}
    for stage in PIPELINE:
        done = base.done(stage.name)
        recorded |= done.made_from.get("options", {}) if done else {}
    trained = base.done("train")
    taken = bool(trained and trained.made_from.get("identity"))
    known = {name: value for name, value in recorded.items() if name in fields()}
    return known | ({"sae": str(base.path)} if taken else {})


def _refuse_contradiction(name: str, value: Any, recorded: dict[str, Any], base: Generation) -> None:
    """Refuse a key that says something else than what the run was built with, or than what that came to."""
    run = base.path.parent.name
    if name in NOT_WITH_APPEND and value not in (None, False):
        raise Refusal(f"{flag(name)} has no meaning together with --append, {NOT_WITH_APPEND[name]}; leave it out.")
    frozen = {option for stage in FROZEN for option in STAGES_BY_NAME[stage].options}
    options = frozen - {*OF_THE_SOURCE, *NOT_WITH_APPEND}
    if name not in options or value in (recorded.get(name), _came_to(base).get(name)):
        return
    was = recorded.get(name)
    built = f"without it{_which(_came_to(base).get(name))}" if was is None else f"with {was!r}"
    raise Refusal(
        f"{flag(name)} is {value!r}, and run '{run}' was built {built}; appended texts are treated as those that are "
        f"there: leave the flag out, or {REBUILD}."
    )


def _which(value: Any) -> str:
    return "" if value is None else f" (which came to {value!r})"


def _came_to(base: Generation) -> dict[str, Any]:
    """What options that were left out came to."""
    facts = {name: done.facts for name in ("ingest", "embed", "train") if (done := base.done(name))}
    columns = facts["ingest"].get("columns") or {}
    came_to = {f"{role}_column": columns.get(role) for role in ("text", "title", "id")}
    came_to |= {name: facts["embed"].get(name) for name in ("prompt", "normalize", "max_seq_length")}
    return came_to | {
        "features": facts["train"].get("n_features"),
        "k": facts["train"].get("k"),
        "architecture": facts["train"].get("architecture"),
        "embed_backend": facts["embed"].get("backend") or "torch",
        "dtype": facts["embed"].get("precision"),
    }


def _embedder(keys: dict[str, Any], base: Generation) -> dict[str, Any]:
    """The keys that find the run's embedder again; none where it is unknown what made its embeddings."""
    done = base.done("embed")
    facts = (done.facts if done else {}) or {}
    if facts.get("origin") == PRECOMPUTED:
        facts = facts.get("embedder") or {}
    if not facts or keys.get("embedder"):
        return {}
    if facts["origin"] != "local":
        return {"embedder": facts["name"], "revision": facts.get("revision")}
    folder = base.volatile().get("embed", {}).get("embedder_folder")
    if not folder or not Path(folder).exists():
        raise Refusal(
            f"the embedder of run '{base.path.parent.name}' is the local folder '{facts['name']}', which is not here; "
            "say where it is with --embedder FOLDER."
        )
    return {"embedder": folder}


def _check_embeddings(config: BuildConfig, base: Generation) -> None:
    """Refuse another embedder, and embeddings of the new texts that are missing, too many or of another dimension."""
    done = base.done("embed")
    facts, then = (done.facts, done.made_from["identity"]) if done else ({}, {})
    run, stage = base.path.parent.name, STAGES_BY_NAME["embed"]
    if "embeddings" in then and not config.embeddings:
        raise Refusal(
            f"the embeddings of run '{run}' came from the file {facts['name']}; give those of the new texts with "
            "--embeddings FILE."
        )
    if config.embeddings and "embeddings" not in then:
        raise Refusal(
            f"the texts of run '{run}' were embedded by {facts['name']}, and so are the appended ones; leave "
            "--embeddings out."
        )
    now = stage.identity(config)
    if without(now, "embeddings") != without(then, "embeddings"):
        embedder = facts.get("embedder") or facts
        raise Refusal(
            f"run '{run}' was embedded by {_said(embedder['name'], then)}, and this is {_said(config.embedder, now)}; "
            f"appended texts need the same embedder: leave --embedder out or bring the former one back, or {REBUILD}."
        )
    if config.embeddings and precomputed_dimension(config.embeddings) != facts["dimension"]:
        raise Refusal(
            f"the embeddings of run '{run}' have dimension {facts['dimension']}, and those of {config.embeddings} "
            f"{precomputed_dimension(config.embeddings)}; give embeddings by the same embedder."
        )


def _said(name: str | None, identity: dict[str, Any]) -> str:
    """An embedder's name, and the beginning of its files' hash."""
    files_sha256 = (identity.get("embedder") or {}).get("files_sha256")
    return f"{name} ({files_sha256[:8]}…)" if files_sha256 else str(name)
