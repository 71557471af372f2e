"""What a safetensors file holds, checked before its library reads it."""

from __future__ import annotations

import json
import math
import struct
from pathlib import Path
from typing import TYPE_CHECKING, Any

from featurelib.sae.pickles.values import shown
from featurelib.schema import Refusal

if TYPE_CHECKING:
    import torch

MAX_HEADER = 1 << 20
"""Bytes; an SAE has some ten tensors, so a longer header is not one of ours to read."""
MOST_TENSORS = 64
DTYPES = {"F64": 8, "F32": 4, "F16": 2, "BF16": 2, "I64": 8, "I32": 4, "I16": 2, "I8": 1, "U8": 1, "BOOL": 1}
"""Bytes of one number of each type that occurs in SAEs."""


def read_header(path: Path) -> dict[str, tuple[int, ...]]:
    """Return the shapes of the tensors in a safetensors file; Refusal when it is cut or contradicts itself.

    The library accepts what is refused here too: two tensors of one name, and a tensor without entries.
    """
    size = path.stat().st_size
    with path.open("rb") as opened:
        start = opened.read(8)
        length = struct.unpack("<Q", start)[0] if len(start) == 8 else -1
        if not 2 <= length <= min(MAX_HEADER, size - 8):
            raise Refusal(
                f"{path.name} ({size} bytes) announces a header of {length} bytes; it is cut or no safetensors file: "
                "fetch it again."
            )
        text = opened.read(length)
    entries = _parse(path.name, text)
    end = 0
    for name, dtype, shape, first, last in sorted(entries, key=lambda entry: entry[3:]):
        if dtype not in DTYPES:
            raise Refusal(f"{name} in {path.name} is stored as {dtype}; expected one of {', '.join(DTYPES)}.")
        if 0 in shape:
            raise Refusal(f"{name} in {path.name} has shape {shape}, which holds nothing; save this SAE again.")
        if first != end or last - first != math.prod(shape) * DTYPES[dtype]:
            raise Refusal(
                f"{name} in {path.name} lies at bytes {first}–{last}, which does not fit its shape {shape}: "
                "fetch it again."
            )
        end = last
    if 8 + len(text) + end != size:
        raise Refusal(
            f"{path.name} has {size} bytes but its header describes {8 + len(text) + end}; it is cut: fetch it again."
        )
    return {name: shape for name, _, shape, *_ in entries}


def read_tensors(path: Path) -> dict[str, torch.Tensor]:
    """Return the tensors of a safetensors file in their stored dtypes, after `read_header` has admitted it."""
    from safetensors import SafetensorError
    from safetensors.torch import load_file

    read_header(path)
    try:
        return load_file(path)
    except SafetensorError as error:  # its JSON is stricter than Python's: no BOM, no NaN, metadata of texts only
        raise Refusal(f"{path.name} cannot be read ({shown(error)}); fetch or save this SAE again.") from error


def _parse(file: str, text: bytes) -> list[tuple[str, str, tuple[int, ...], int, int]]:
    try:
        header = json.loads(text, object_pairs_hook=once)
        entries = [(name, entry) for name, entry in header.items() if name != "__metadata__"]
        parsed = [
            (name, str(entry["dtype"]), tuple(_whole(length) for length in entry["shape"]), *_span(entry))
            for name, entry in entries
        ]
    except (ValueError, KeyError, TypeError, AttributeError, RecursionError) as error:
        raise Refusal(f"the header of {file} cannot be read ({shown(error)}); fetch or save this SAE again.") from error
    if len(parsed) > MOST_TENSORS:
        raise Refusal(f"{file} holds {len(parsed)} tensors; an SAE has some ten: give the SAE's own file.")
    return parsed


def once(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    """Return a JSON object, for json.loads; ValueError when a name stands there twice."""
    if len({key for key, _ in pairs}) < len(pairs):
        raise ValueError("a name stands there twice")
    return dict(pairs)


def _span(entry: dict[str, Any]) -> tuple[int, int]:
    first, last = entry["data_offsets"]
    return _whole(first), _whole(last)


def _whole(number: Any) -> int:
    if not isinstance(number, int) or isinstance(number, bool) or number < 0:
        raise ValueError(f"{number!r} is no size")
    return number
