"""A build's options in a YAML file, whose keys are the fields of BuildConfig."""

from __future__ import annotations

import difflib
import reprlib
from pathlib import Path
from typing import Any

from featurelib.schema import Refusal
from precompute.build.config import fields, plain_type

MOST_BRACKETS = 500
"""Brackets in a YAML file: a build needs none, and thousands inside each other take seconds to refuse."""


def read_yaml(path: Path) -> dict[str, Any]:
    """Read a YAML file of build keys; Refusal for a key that does not exist or a value of the wrong type."""
    import yaml

    try:
        text = path.read_text(encoding="utf-8-sig")
        if text.count("[") + text.count("{") > MOST_BRACKETS:
            raise ValueError(f"it has more than {MOST_BRACKETS} brackets")
        keys = yaml.safe_load(text)
    except (yaml.YAMLError, ValueError, RecursionError) as error:  # ValueError: 2024-02-30, !!int "abc", no UTF-8
        raise Refusal(
            f"{path.name} is not YAML ({' '.join(str(error).split())[:120]}); write one 'key: value' a line."
        ) from error
    if not isinstance(keys, dict):
        raise Refusal(f"{path.name} holds no keys; write one 'key: value' a line, for example 'source: texts.csv'.")
    return {_known(str(key)): _typed(_known(str(key)), value) for key, value in keys.items()}


def _known(key: str) -> str:
    name = key.replace("-", "_")
    if name not in fields():
        near = difflib.get_close_matches(name, fields(), n=1)
        mend = f"did you mean '{near[0]}'?" if near else f"known keys: {', '.join(fields())}."
        raise Refusal(f"'{key[:60]}' is not a key of a build; {mend}")
    return name


def _typed(name: str, value: Any) -> Any:
    kind = plain_type(name)
    if value is None and fields()[name].default is None:
        return None
    if name == "layer" and isinstance(value, int) and not isinstance(value, bool):
        return str(value)
    if kind is float and isinstance(value, int) and not isinstance(value, bool):
        return float(value)
    if not isinstance(value, kind) or (kind is not bool and isinstance(value, bool)):
        raise Refusal(f"{name} is {_shown(value)}; a {_WORDS[kind]} is expected.")
    choices = fields()[name].metadata["choices"]
    if choices and value not in choices:
        raise Refusal(f"{name} is {_shown(value)}; one of {', '.join(choices)} is expected.")
    return value


def _shown(value: Any) -> str:
    """A value in few characters: aliases of aliases in a YAML file would otherwise be written out without end."""
    return reprlib.repr(value)[:80]


_WORDS = {str: "text", int: "whole number", float: "number", bool: "true or false"}
