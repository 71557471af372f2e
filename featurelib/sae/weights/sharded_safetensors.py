"""Weights in several safetensors files with an index that says which tensor lies where, as transformers splits them."""

from __future__ import annotations

import re
from pathlib import Path
from typing import TYPE_CHECKING

from featurelib.sae.pickles.values import shown
from featurelib.sae.weights.json_file import read_json
from featurelib.sae.weights.safetensors_file import MOST_TENSORS, read_header, read_tensors
from featurelib.schema import Refusal

if TYPE_CHECKING:
    import torch

INDEX_SUFFIX = ".safetensors.index.json"
MOST_FAULTS = 4
"""What is named in a sentence."""


def shard_pattern(index: str) -> re.Pattern[str]:
    """Return what the shards of an index are called; for a.safetensors.index.json: a-00001-of-00002.safetensors etc."""
    return re.compile(re.escape(index.removesuffix(INDEX_SUFFIX)) + r"-\d{1,6}-of-\d{1,6}\.safetensors", re.ASCII)


def read_shards(index: Path) -> dict[str, torch.Tensor]:
    """Return the tensors of all shards of an index; Refusal unless each lies in the shard that the index names.

    The size that an index tells is passed over: libraries count it differently.
    """
    planned = _read_map(index)
    missing = [name for name in planned if not (index.parent / name).is_file()]
    if missing:
        raise Refusal(
            f"{index.name} names {', '.join(missing[:MOST_FAULTS])}, which is not beside it; "
            "fetch all shards of this SAE."
        )
    _check_headers(index, planned)
    tensors: dict[str, torch.Tensor] = {}
    for name in planned:
        tensors |= read_tensors(index.parent / name)
    return tensors


def _read_map(index: Path) -> dict[str, set[str]]:
    """Return the names of the tensors of each shard, by its name, in order."""
    weight_map = read_json(index).get("weight_map")
    if not isinstance(weight_map, dict) or not weight_map:
        raise Refusal(f"{index.name} holds no weight_map, which names the shard of each tensor; fetch this SAE again.")
    if len(weight_map) > MOST_TENSORS:
        raise Refusal(f"{index.name} names {len(weight_map)} tensors; an SAE has some ten: give the SAE's own files.")
    pattern = shard_pattern(index.name)
    planned: dict[str, set[str]] = {}
    for tensor, shard in weight_map.items():
        if not isinstance(shard, str) or not pattern.fullmatch(shard):
            raise Refusal(
                f"{index.name} says that {shown(tensor)} lies in '{shown(shard)}'; expected a shard beside it, called "
                f"{index.name.removesuffix(INDEX_SUFFIX)}-00001-of-00002.safetensors and so on: fetch this SAE again."
            )
        planned.setdefault(shard, set()).add(tensor)
    return dict(sorted(planned.items()))


def _check_headers(index: Path, planned: dict[str, set[str]]) -> None:
    """Refuse shards that hold other tensors than the index says."""
    for shard, expected in planned.items():
        stored = set(read_header(index.parent / shard))
        if stored != expected:
            faults = [f"lacks {shown(name)}" for name in sorted(expected - stored)]
            faults += [f"also holds {shown(name)}" for name in sorted(stored - expected)]
            raise Refusal(
                f"{shard} {' and '.join(faults[:MOST_FAULTS])}, unlike {index.name} says; they belong to different "
                "SAEs: fetch them again."
            )
