"""The inert values that a pickle is read into, beside Python's own numbers, texts, lists and dicts."""

from __future__ import annotations

import math
from dataclasses import dataclass, field
from typing import Any

MAX_DIMENSIONS = 8
MAX_LENGTH = 1 << 40
WIDTHS = {"F64": 8, "F32": 4, "F16": 2, "BF16": 2, "I64": 8, "I32": 4, "I16": 2, "I8": 1, "U8": 1, "BOOL": 1}
"""Bytes of one number by its name in a safetensors header."""


class Refused(Exception):
    """The file cannot be used; the message goes on where the file's name ends, as in 'asks for …'."""


@dataclass(frozen=True, slots=True)
class Global:
    """A name that the pickle asks for, and nothing behind it."""

    name: str
    """The module and the name in it, such as torch.FloatStorage."""


@dataclass(slots=True)
class Instance:
    """An object of a class that is not there: its state, and no behaviour."""

    name: str
    """The class, such as sae_training.config.LanguageModelSAERunnerConfig."""
    state: dict[Any, Any] = field(default_factory=dict)
    """Its attributes, and its entries where the class is a kind of dict."""
    listed: list[Any] = field(default_factory=list)
    """Its members where the class is a kind of list."""


@dataclass(slots=True)
class Unordered:
    """A set, its members never hashed nor compared."""

    members: list[Any]
    """In the order of the file."""


@dataclass(frozen=True, slots=True)
class Number:
    """A numpy dtype, as far as numpy's scalars need one."""

    code: str
    """Such as f8."""


@dataclass(frozen=True, slots=True)
class Storage:
    """A record of numbers that tensors look into."""

    dtype: str
    """A key of WIDTHS."""
    key: str
    """The record's name in the archive's folder of numbers."""
    numel: int
    """How many numbers it holds."""


@dataclass(frozen=True, slots=True)
class Tensor:
    """A view into a storage, which it does not leave."""

    storage: Storage
    """Where the numbers lie."""
    offset: int
    """The place of the first, in numbers."""
    shape: tuple[int, ...]
    """The length of each dimension."""
    strides: tuple[int, ...]
    """Numbers from one place to the next in each dimension."""

    @property
    def numel(self) -> int:
        """How many numbers it shows."""
        return math.prod(self.shape)

    @property
    def nbytes(self) -> int:
        """How many bytes its numbers are."""
        return self.numel * WIDTHS[self.storage.dtype]


def shown(value: object) -> str:
    """What the file says, fit for a sentence: printable, and not longer than a line."""
    text = "".join(letter if letter.isprintable() else "?" for letter in str(value)[:100])
    return text if len(text) < 100 else text + "…"


def view(storage: Storage, offset: int, shape: tuple[Any, ...], strides: tuple[Any, ...]) -> Tensor:
    """A tensor that is known to stay inside `storage`; Refused when it would leave it, or repeat its numbers."""
    lengths = (offset, *shape, *strides)
    if len(shape) != len(strides) or len(shape) > MAX_DIMENSIONS or any(type(length) is not int for length in lengths):
        raise Refused(f"holds a tensor without a shape of at most {MAX_DIMENSIONS} whole numbers: fetch it again.")
    if not all(0 <= length < MAX_LENGTH for length in lengths):
        raise Refused("holds a tensor with a negative or impossible length, stride or place: fetch it again.")
    if math.prod(max(length, 1) for length in shape) >= MAX_LENGTH:
        raise Refused(f"holds a tensor of the impossible shape {shape}: fetch it again.")
    tensor = Tensor(storage, offset, shape, strides)
    if not tensor.numel:
        return tensor
    steps = [(length - 1) * stride for length, stride in zip(shape, strides, strict=True)]
    repeats = any(length > 1 and not stride for length, stride in zip(shape, strides, strict=True))
    if repeats or tensor.numel > storage.numel or offset + sum(steps) >= storage.numel:
        raise Refused(
            f"holds a tensor of shape {shown(shape)} and strides {shown(strides)} over only {storage.numel} stored "
            "numbers; if you trust it, save it again with every tensor made .contiguous()."
        )
    return tensor
