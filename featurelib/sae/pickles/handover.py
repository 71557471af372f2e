"""What was read, written for the parent: tensors as safetensors, all else as JSON."""

from __future__ import annotations

import itertools
import json
import math
from pathlib import Path
from typing import Literal

from .archive import NoRecords, Records
from .flatten import Flat
from .values import WIDTHS, Refused, Tensor

TENSORS = "tensors.safetensors"
PLAIN = "plain.json"
CELLS: dict[int, Literal["B", "H", "I", "Q"]] = {1: "B", 2: "H", 4: "I", 8: "Q"}
"""The whole number of each width, as memoryview calls it: bits are moved, never understood."""


def hand_over(flat: Flat, records: Records | NoRecords, folder: Path, most: int) -> None:
    """Write TENSORS, its tensors named by numbers, and PLAIN, with the number of each path, to `folder`.

    Refused when the tensors are more than `most` bytes together, as when many of them show one storage.
    """
    # the widest first, so that each begins at a multiple of its width; then one storage after the other
    ordered = sorted(flat.tensors.items(), key=lambda pair: (-WIDTHS[pair[1].storage.dtype], pair[1].storage.key))
    ends = list(itertools.accumulate((tensor.nbytes for _, tensor in ordered), initial=0))
    if ends[-1] > most:
        raise Refused(f"holds tensors of {ends[-1]} bytes together, which share fewer; expected at most {most}.")
    header = {
        str(number): {"dtype": tensor.storage.dtype, "shape": tensor.shape, "data_offsets": ends[number : number + 2]}
        for number, (_, tensor) in enumerate(ordered)
    }
    text = json.dumps(header).encode()
    text += b" " * (-len(text) % 8)
    with (folder / TENSORS).open("wb") as written:
        written.write(len(text).to_bytes(8, "little") + text)
        for storage, sharing in itertools.groupby((tensor for _, tensor in ordered), lambda tensor: tensor.storage):
            stored = memoryview(records.read(f"data/{storage.key}")).cast(CELLS[WIDTHS[storage.dtype]])
            for tensor in sharing:
                written.write(in_order(stored, tensor))
    numbers = {path: str(number) for number, (path, _) in enumerate(ordered)}
    names = {path: numbers[path] for path in flat.tensors}
    (folder / PLAIN).write_text(json.dumps({"names": names, "plain": flat.plain}))


def in_order(stored: memoryview[int], tensor: Tensor) -> memoryview[int]:
    """The numbers of `tensor`, from the numbers of its storage, row by row without gaps."""
    steps = [math.prod(tensor.shape[place + 1 :]) for place in range(len(tensor.shape))]
    gaps = [(n, stride, own) for n, stride, own in zip(tensor.shape, tensor.strides, steps, strict=True) if n > 1]
    if not tensor.numel or all(stride == own for _, stride, own in gaps):
        return stored[tensor.offset : tensor.offset + tensor.numel]
    ordered = memoryview(bytearray(tensor.nbytes)).cast(CELLS[WIDTHS[tensor.storage.dtype]])
    gaps.sort()
    length, stride, own = gaps.pop()
    for place in itertools.product(*(range(n) for n, _, _ in gaps)):
        start = tensor.offset + sum(index * gap[1] for index, gap in zip(place, gaps, strict=True))
        first = sum(index * gap[2] for index, gap in zip(place, gaps, strict=True))
        ordered[first : first + (length - 1) * own + 1 : own] = stored[
            start : start + (length - 1) * stride + 1 : stride
        ]
    return ordered
