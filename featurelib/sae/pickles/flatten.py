"""A value that a pickle described, taken apart: tensors by their dotted paths, and all else as JSON has it."""

from __future__ import annotations

from typing import Any

from .limits import MAX_DEPTH, MAX_SPENT, MAX_TENSORS
from .values import Global, Instance, Refused, Tensor, Unordered, shown

CLASS = "__class__"
MEMBERS = "__list__"
MODULE_PARTS = ("_parameters", "_buffers", "_modules")
"""The dicts in which torch.nn.Module keeps what can be reached as its attributes (torch/nn/modules/module.py)."""


class Flat:
    """The tensors and the rest of one value; Refused when it is too deep, endless, or two parts have one path."""

    def __init__(self, top: Any) -> None:
        self.tensors: dict[str, Tensor] = {}
        self.left = MAX_SPENT
        self.plain: dict[str, Any]
        match top:
            case list() | tuple() | Unordered():
                self.plain = self._dict(dict(enumerate(_members(top))), ())
            case dict() | Instance():
                self.plain = self._value(top, ())
            case Tensor():
                self.tensors[""] = top
                self.plain = {}
            case _:
                self.plain = {"": self._value(top, ())}

    def _spend(self, amount: int) -> None:
        self.left -= amount
        if self.left < 0:
            raise Refused("holds far more beside its tensors than the settings of an SAE; save its state_dict alone.")

    def _value(self, value: Any, path: tuple[str, ...]) -> Any:
        self._spend(1)
        if len(path) > MAX_DEPTH:
            raise Refused(f"is nested deeper than {MAX_DEPTH} levels, or holds itself; save its state_dict alone.")
        match value:
            case dict():
                return self._dict(value, path)
            case Instance():
                return self._dict(_attributes(value), path) | {CLASS: value.name}
            case list() | tuple() | Unordered():
                return self._list(_members(value), path)
            case Global(name):
                return name
            case bytes() | bytearray():
                return f"{len(value)} bytes"
            case _:
                return self._plain(value)

    def _plain(self, value: Any) -> Any:
        if isinstance(value, str):
            self._spend(len(value))
        elif isinstance(value, int) and value.bit_length() > 64:
            raise Refused(f"holds a whole number of {value.bit_length()} bits; expected settings of an SAE.")
        elif not isinstance(value, int | float | None):
            raise Refused(
                f"holds a bare {type(value).__name__.lower()}; expected tensors, numbers, texts, lists, dicts."
            )
        return value

    def _dict(self, entries: dict[Any, Any], path: tuple[str, ...]) -> dict[str, Any]:
        plain: dict[str, Any] = {}
        for key, value in entries.items():
            name = str(self._plain(key))
            if isinstance(value, Tensor):
                self._keep(value, (*path, name))
                continue
            if name in plain:
                raise Refused(f"has two values under the key {shown(name)}; save it again with one.")
            plain[name] = self._value(value, (*path, name))
        return plain

    def _list(self, members: list[Any] | tuple[Any, ...], path: tuple[str, ...]) -> list[Any]:
        """None stands in the place of a tensor, so that all else keeps its place."""
        plain: list[Any] = []
        for index, value in enumerate(members):
            here = (*path, str(index))
            if isinstance(value, Tensor):
                self._keep(value, here)
            plain.append(None if isinstance(value, Tensor) else self._value(value, here))
        return plain

    def _keep(self, tensor: Tensor, path: tuple[str, ...]) -> None:
        name = ".".join(path)
        self._spend(1 + len(name))
        if name in self.tensors:
            raise Refused(f"has two tensors under the key {shown(name)}; save it again with one.")
        if len(self.tensors) == MAX_TENSORS:
            raise Refused(f"holds more than {MAX_TENSORS} tensors; expected the few of an SAE.")
        self.tensors[name] = tensor


def _members(value: list[Any] | tuple[Any, ...] | Unordered) -> list[Any] | tuple[Any, ...]:
    return value.members if isinstance(value, Unordered) else value


def _attributes(instance: Instance) -> dict[Any, Any]:
    """The state of an Instance, the parts of a torch module among it."""
    attributes = dict(instance.state)
    if instance.listed:
        attributes[MEMBERS] = instance.listed
    for part in MODULE_PARTS:
        entries = attributes.get(part)
        if not isinstance(entries, dict):
            continue
        del attributes[part]
        if entries.keys() & attributes.keys():
            raise Refused(f"has an object with one attribute twice, among its {part} and beside them: fetch it again.")
        attributes |= entries
    return attributes
