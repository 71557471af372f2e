"""The globals that an SAE's pickle may ask for, and the inert value that a call of each becomes.

Which they are was read from what torch 2.13 writes (torch/_utils.py, torch/_tensor.py) and from pickles of the old MATS
training library, whose settings are an instance of a class of its own.
"""

from __future__ import annotations

import struct
from collections.abc import Callable
from pathlib import PurePosixPath, PureWindowsPath
from typing import Any

from .values import Global, Instance, Number, Refused, Storage, Tensor, Unordered, shown, view

STORAGES = {
    "torch.DoubleStorage": "F64",
    "torch.FloatStorage": "F32",
    "torch.HalfStorage": "F16",
    "torch.BFloat16Storage": "BF16",
    "torch.LongStorage": "I64",
    "torch.IntStorage": "I32",
    "torch.ShortStorage": "I16",
    "torch.CharStorage": "I8",
    "torch.ByteStorage": "U8",
    "torch.BoolStorage": "BOOL",
}
DTYPES = {
    f"torch.{name}"
    for name in ("float64", "float32", "float16", "bfloat16", "int64", "int32", "int16", "int8", "uint8", "bool")
}
STUBBED = (
    "sae_training",
    "sae_lens",
    "sae_analysis",
    "transformer_lens",
    "dictionary_learning",
    "torch.nn.modules",
)
"""Packages whose every class is read as an Instance."""
LATIN = {"latin1", "latin-1"}
NUMBERS = {"f8": "<d", "f4": "<f", "f2": "<e", "i8": "<q", "i4": "<i", "i2": "<h", "i1": "<b", "u1": "<B", "b1": "<?"}
"""struct's name for each of numpy's."""


def find(module: str, name: str) -> Global | str:
    """What stands for a global: its own name, nothing that could be run; Refused when no SAE needs it."""
    full = f"{module}.{name}"
    if full in DTYPES:
        return full
    if full in CALLS or full in STORAGES or is_stubbed(full):
        return Global(full)
    if full == "torch.storage._load_from_bytes":
        raise Refused(
            "was written by pickle, with a pickle of torch's inside it for each tensor; load it where you trust it and "
            "save it with torch.save."
        )
    raise Refused(
        f"asks for the global {shown(full)}, which no SAE needs; nothing in it was run — fetch it from a source you "
        "trust, or as safetensors."
    )


def is_stubbed(full: str) -> bool:
    """Whether a global is a class that we read as an Instance."""
    return full.startswith(tuple(f"{package}." for package in STUBBED)) and all(
        part.isidentifier() for part in full.split(".")
    )


def call(called: Any, arguments: Any) -> Any:
    """What a call in the pickle becomes; nothing but the functions of this file is ever called."""
    if not isinstance(called, Global) or not isinstance(arguments, tuple):
        raise Refused("calls something that is no function; nothing in it was run — fetch it again.")
    if called.name in CALLS:
        return CALLS[called.name](called.name, arguments)
    if not is_stubbed(called.name):
        raise _unlike(called.name)
    return Instance(called.name, {"__args__": list(arguments)} if arguments else {})


def _unlike(name: str) -> Refused:
    return Refused(f"gives {name} other arguments than torch.save does; nothing in it was run — fetch it again.")


def _ordered(name: str, arguments: tuple[Any, ...]) -> dict[Any, Any]:
    if arguments:
        raise _unlike(name)
    return {}


def _unordered(name: str, arguments: tuple[Any, ...]) -> Unordered:
    match arguments:
        case (list(members),):
            return Unordered(members)
    raise _unlike(name)


def _tensor(name: str, arguments: tuple[Any, ...]) -> Tensor:
    match arguments:
        case (Storage() as storage, offset, tuple(shape), tuple(strides), bool(), dict()):
            return view(storage, offset, shape, strides)
        case (Storage() as storage, offset, tuple(shape), tuple(strides), bool(), dict(), dict(metadata)):
            # torch keeps there that the numbers are to be negated or conjugated when they are read
            if metadata:
                raise Refused(
                    f"holds a tensor with the marks {shown(list(metadata))}; save it again with every tensor cloned."
                )
            return view(storage, offset, shape, strides)
    raise _unlike(name)


def _parameter(name: str, arguments: tuple[Any, ...]) -> Tensor:
    match arguments:
        case (Tensor() as tensor, bool(), dict()) | (Tensor() as tensor, bool(), dict(), _):
            return tensor
    raise _unlike(name)


def _size(name: str, arguments: tuple[Any, ...]) -> list[Any]:
    match arguments:
        case (tuple(lengths),):
            return list(lengths)
    raise _unlike(name)


def _device(name: str, arguments: tuple[Any, ...]) -> str:
    match arguments:
        case (str(kind),):
            return kind
        case (str(kind), int(index)):
            return f"{kind}:{index}"
    raise _unlike(name)


def _path(name: str, arguments: tuple[Any, ...]) -> str:
    if not all(isinstance(part, str) for part in arguments):
        raise _unlike(name)
    return str((PureWindowsPath if "Windows" in name else PurePosixPath)(*arguments))


def _bytes(name: str, arguments: tuple[Any, ...]) -> bytes:
    match arguments:
        case (str(text), str(coding)) if coding in LATIN:
            return text.encode("latin-1")
    raise _unlike(name)


def _number(name: str, arguments: tuple[Any, ...]) -> Number:
    match arguments:
        case (str(code), bool() | int(), bool() | int()) if code in NUMBERS:
            return Number(code)
    raise _unlike(name)


def _scalar(name: str, arguments: tuple[Any, ...]) -> float | int | bool:
    match arguments:
        case (Number(code), bytes(stored)) if len(stored) == struct.calcsize(NUMBERS[code]):
            number: float | int | bool = struct.unpack(NUMBERS[code], stored)[0]
            return number
    raise _unlike(name)


CALLS: dict[str, Callable[[str, tuple[Any, ...]], Any]] = {
    "torch._utils._rebuild_tensor_v2": _tensor,
    "torch._utils._rebuild_parameter": _parameter,
    "torch._utils._rebuild_parameter_with_state": _parameter,
    "torch.Size": _size,
    "torch.device": _device,
    "collections.OrderedDict": _ordered,
    "builtins.set": _unordered,
    "builtins.frozenset": _unordered,
    "__builtin__.set": _unordered,
    "__builtin__.frozenset": _unordered,
    "_codecs.encode": _bytes,
    "numpy.dtype": _number,
    "numpy.core.multiarray.scalar": _scalar,
    "numpy._core.multiarray.scalar": _scalar,
    **{
        f"{module}.{kind}": _path
        for module in ("pathlib", "pathlib._local")
        for kind in ("PosixPath", "PurePosixPath", "WindowsPath", "PureWindowsPath")
    },
}
"""Every function that a pickle may call, and ours that answers; Python 2's names are what pickle protocol 2 writes."""
