"""A configuration file of MOSAIC, read as it is: which runs are built, and what is classified in each.

Its keys are settings, models, datasets and classification_params. A model is a run of ours (`run`), or an embedder and
perhaps an SAE from which runs are built (`name` or `embedder`, and `sae`); a data set is a file or a hub id with its
text and label field. For each model and each data set there is one run and one set of experiments. Keys that have no
meaning for sentence embeddings are named.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from featurelib.classification.pipeline import DEPTHS
from featurelib.schema import Refusal
from precompute.classify.classify_config import ClassifyConfig

SECTIONS = ("settings", "models", "datasets", "classification_params")
UNUSED = {
    "settings": ("base_save_dir", "base_classify_dir", "model_type", "sae_location", "cuda_visible_devices"),
    "models": ("layers", "widths"),
    "datasets": ("image_field",),
    "classification_params": (),
}
"""Keys that are read and have no meaning here."""
USED = {
    "settings": ("batch_size", "test_size", "tree_depth", "act_only", "bow_baseline"),
    "models": ("name", "run", "embedder", "sae"),
    "datasets": ("name", "config_name", "split", "text_field", "label_field"),
    "classification_params": ("top_n_values", "binarize_values", "extra_top_n", "extra_binarize_value"),
}
TEST_SIZE = 0.2
NO_NAME = re.compile(r"[^A-Za-z0-9]+")


@dataclass(frozen=True)
class Planned:
    """One run, and what is classified in it."""

    build: dict[str, Any] | None
    """The keys of its build; None for a run that must be there."""
    classify: ClassifyConfig


@dataclass(frozen=True)
class Plan:
    """All that a file asks for."""

    runs: list[Planned]
    said: list[str]
    """A sentence for each key that has no meaning here."""


def is_mosaic(keys: Mapping[str, Any]) -> bool:
    """Whether keys are those of MOSAIC rather than ours."""
    return "models" in keys or "datasets" in keys


def read_mosaic(keys: Mapping[str, Any]) -> Plan:
    """Read a file of MOSAIC; Refusal for a key that is in neither list, or a value of another kind."""
    wrong = sorted(set(keys) - set(SECTIONS))
    if wrong:
        raise Refusal(f"'{wrong[0]}' is no section of a MOSAIC file; known are {', '.join(SECTIONS)}.")
    settings, params = (_section(keys, name) for name in ("settings", "classification_params"))
    models, datasets = (_rows(keys, name) for name in ("models", "datasets"))
    said = list(_unused(settings, params, models, datasets))
    if settings.get("test_size", TEST_SIZE) != TEST_SIZE:
        said.append(f"test_size {settings['test_size']}: a fifth of the texts tests.")
    runs = [_planned(model, dataset, settings, params) for model in models for dataset in datasets]
    return Plan(runs, said)


def _section(keys: Mapping[str, Any], name: str) -> dict[str, Any]:
    section = keys.get(name) or {}
    if not isinstance(section, dict):
        raise Refusal(f"the section '{name}' holds {str(section)[:40]!r}; keys with values are expected.")
    _check_keys(name, section)
    return section


def _rows(keys: Mapping[str, Any], name: str) -> list[dict[str, Any]]:
    rows = keys.get(name)
    if not isinstance(rows, list) or not rows or not all(isinstance(row, dict) for row in rows):
        raise Refusal(f"the section '{name}' holds no list of keys; give one entry or more, each with its name.")
    for row in rows:
        _check_keys(name, row)
    return rows


def _check_keys(section: str, row: Mapping[str, Any]) -> None:
    known = (*USED[section], *UNUSED[section])
    wrong = sorted(set(map(str, row)) - set(known))
    if wrong:
        raise Refusal(f"'{wrong[0][:40]}' is no key of '{section}' in a MOSAIC file; known are {', '.join(known)}.")


def _unused(*sections: Any) -> Iterator[str]:
    """A sentence for the keys that are set and mean nothing for sentence embeddings."""
    for name, section in zip(("settings", "classification_params", "models", "datasets"), sections, strict=True):
        rows = section if isinstance(section, list) else [section]
        found = [key for key in UNUSED[name] if any(row.get(key) is not None for row in rows)]
        if found:
            yield f"{name}: {', '.join(found)} has no meaning for sentence embeddings and is left out."


def _planned(
    model: Mapping[str, Any], dataset: Mapping[str, Any], settings: Mapping[str, Any], params: Mapping[str, Any]
) -> Planned:
    label = dataset.get("label_field")
    if not dataset.get("name") or not label:
        raise Refusal("a data set has no name or no label_field; give a file or hub id, and the column of its labels.")
    run = str(model.get("run") or _run_name(model, dataset))
    classify = ClassifyConfig(
        run=run,
        label=(str(label),),
        representation=tuple(dict.fromkeys(_representations(settings, params))),
        depths=_depths(settings.get("tree_depth")),
    )
    if model.get("run"):
        return Planned(None, classify)
    build = {
        "source": _source(dataset),
        "name": run,
        "text_column": dataset.get("text_field"),
        "embedder": model.get("embedder") or model.get("name"),
        "sae": model.get("sae"),
        "batch_size": settings.get("batch_size"),
    }
    return Planned({name: value for name, value in build.items() if value is not None}, classify)


def _run_name(model: Mapping[str, Any], dataset: Mapping[str, Any]) -> str:
    words = [
        Path(str(part)).stem or str(part) for part in (dataset["name"], model.get("embedder") or model.get("name"))
    ]
    return "-".join(NO_NAME.sub("-", word).strip("-") for word in words)[:64].strip("-")


def _source(dataset: Mapping[str, Any]) -> str:
    """The file, or the hub id with its configuration and split, as the build takes it: OWNER/NAME:CONFIG:SPLIT."""
    name, config, split = (str(dataset.get(key) or "") for key in ("name", "config_name", "split"))
    return name if Path(name).exists() else ":".join((name, config, split)).rstrip(":")


def _depths(depth: object) -> tuple[int, ...]:
    """MOSAIC's tree_depth is the one depth that is tried."""
    if depth is None:
        return DEPTHS
    if not isinstance(depth, int) or isinstance(depth, bool):
        raise Refusal(f"tree_depth is {str(depth)[:40]!r}; a whole number is expected.")
    return (depth,)


def _representations(settings: Mapping[str, Any], params: Mapping[str, Any]) -> Iterator[str]:
    """What MOSAIC tries: each number of largest activations, as they are or binary; then embeddings and words."""
    for largest in params.get("top_n_values") or [0]:
        for binary in params.get("binarize_values") or [None]:
            yield _features(largest, binary)
    if "extra_top_n" in params:
        yield _features(params["extra_top_n"], params.get("extra_binarize_value"))
    if not settings.get("act_only"):
        yield "embedding"
    if settings.get("bow_baseline"):
        yield from ("words", "tfidf")


def _features(largest: object, binary: object) -> str:
    """Features as MOSAIC names them: 0 or -1 of the largest are all, and any number to binarise at is yes."""
    if not isinstance(largest, int) or isinstance(largest, bool):
        raise Refusal(f"top_n is {str(largest)[:40]!r}; whole numbers are expected, 0 for all features.")
    return "features" + (f"+largest-{largest}" if largest > 0 else "") + ("+binary" if binary is not None else "")
