"""The machine that follows a pickle's opcodes and makes values of them, without calling anything."""

from __future__ import annotations

import io
import pickletools
from collections.abc import Callable
from typing import Any

from .known_globals import STORAGES, call, find, is_stubbed
from .values import Global, Instance, Number, Refused, Storage, Unordered, shown

LEGACY_MAGIC = 0x1950A86A20F9469CFC6C
"""What torch.save began a file with before torch 1.6 (torch/serialization.py)."""


class Machine:
    """A stack and a memo, as the pickle protocols up to 5 describe them (pickletools.py)."""

    def __init__(self, check: Callable[[Storage], None]) -> None:
        self.check = check
        self.stack: list[Any] = []
        self.outer: list[list[Any]] = []
        self.memo: dict[int, Any] = {}

    def run(self, pickled: bytes | bytearray) -> Any:
        """The value that a pickle describes; Refused when it is cut, malformed or asks for what no SAE needs."""
        stream = io.BytesIO(pickled)
        step = "PROTO"
        try:
            for opcode, argument, _ in pickletools.genops(stream):
                step = opcode.name
                if step not in STEPS:
                    raise Refused(f"uses the opcode {step}, which torch.save never writes: fetch it again.")
                STEPS[step](self, argument)
            top = self.stack.pop()
        except (ValueError, IndexError, KeyError) as error:
            raise Refused(
                f"is cut, damaged or no pickle at all ({step} before byte {stream.tell()}: {shown(error)}); fetch it "
                "again."
            ) from error
        if type(top) is int and top == LEGACY_MAGIC:
            raise Refused("is in the format of torch before 1.6; load it where you trust it and torch.save it again.")
        if stream.tell() < len(pickled):
            raise Refused(f"goes on for {len(pickled) - stream.tell()} bytes after its pickle ends: fetch it again.")
        return top

    def push(self, value: Any) -> None:
        """Put a value on the stack."""
        self.stack.append(value)

    def mark(self) -> None:
        """Begin a new stack, to be taken whole."""
        self.outer.append(self.stack)
        self.stack = []

    def marked(self) -> list[Any]:
        """All that was put since the last mark."""
        values, self.stack = self.stack, self.outer.pop()
        return values

    def drop(self) -> None:
        """Drop a value, or a mark with nothing on it."""
        if self.stack:
            self.stack.pop()
        else:
            self.marked()

    def last(self, length: int) -> list[Any]:
        """The last `length` values, taken from the stack."""
        if len(self.stack) < length:
            raise IndexError("too few values on the stack")
        values = self.stack[-length:]
        del self.stack[-length:]
        return values

    def extend(self, values: list[Any]) -> None:
        """Add to the list on the stack."""
        match self.stack[-1]:
            case list(members) | Instance(listed=members):
                members.extend(values)
            case _:
                raise ValueError("adds to what is no list")

    def update(self, flat: list[Any]) -> None:
        """Enter keys and values, which take turns, in the dict on the stack."""
        match self.stack[-1]:
            case dict(entries) | Instance(state=entries):
                entries.update(_pairs(flat))
            case _:
                raise ValueError("enters a key in what is no dict")

    def add(self) -> None:
        """Add to the set on the stack."""
        members = self.marked()
        if not isinstance(self.stack[-1], Unordered):
            raise ValueError("adds to what is no set")
        self.stack[-1].members.extend(members)

    def make(self, named: bool = False) -> None:
        """Put an Instance in the place of an object that would be made."""
        keywords = self.stack.pop() if named else None
        created, arguments = self.last(2)
        if not isinstance(created, Global) or not is_stubbed(created.name):
            raise Refused("makes an object of what is no class; nothing in it was run — fetch it again.")
        self.push(call(created, arguments))
        if keywords:
            self.stack[-1].state["__args__"] = [*arguments, keywords]

    def build(self) -> None:
        """Give an Instance its state; what torch hangs on a state_dict beside its entries is left out."""
        built, state = self.last(2)
        match built, state:
            case Instance(state=attributes), dict():
                attributes.update(state)
            case Instance(state=attributes), (dict() | None as state, dict() | None as slots):
                attributes.update((state or {}) | (slots or {}))
            case Instance(state=attributes), _:
                attributes["__state__"] = state
            case (dict(), dict()) | (Number(), (int(), "<" | "|" | "=", *_)):
                pass
            case _:
                raise Refused("sets the state of what has none; nothing in it was run — fetch it again.")
        self.push(built)

    def storage(self) -> None:
        """Put a Storage in the place of torch's persistent id."""
        match self.stack.pop():
            case ("storage", Global(kind), str(key), str(), int(numel)) if kind in STORAGES and numel >= 0:
                storage = Storage(STORAGES[kind], key, numel)
            case _:
                raise Refused("keeps its numbers in a way that torch.save does not: save it again with torch.save.")
        self.check(storage)
        self.push(storage)

    def remember(self, index: int | None = None) -> None:
        """Keep the last value under a number, or under the next one."""
        self.memo[len(self.memo) if index is None else index] = self.stack[-1]


def _find(module: Any, name: Any) -> Global | str:
    if not isinstance(module, str) or not isinstance(name, str):
        raise ValueError("a global whose name is no text")
    return find(module, name)


def _pairs(flat: list[Any]) -> dict[Any, Any]:
    keys = flat[::2]
    for key in keys:
        # only these are ever hashed: the hash of tuples in tuples in tuples can take for ever
        if not isinstance(key, str | int | float | None):
            raise Refused(f"has a key that is no text or number but a {type(key).__name__}: save it with other keys.")
    return dict(zip(keys, flat[1::2], strict=True))


CONSTANTS = (
    *("INT", "BININT", "BININT1", "BININT2", "LONG", "LONG1", "LONG4", "FLOAT", "BINFLOAT"),
    *("STRING", "BINSTRING", "SHORT_BINSTRING", "UNICODE", "BINUNICODE", "SHORT_BINUNICODE", "BINUNICODE8"),
    *("BINBYTES", "SHORT_BINBYTES", "BINBYTES8", "BYTEARRAY8"),
)
STEPS: dict[str, Callable[[Machine, Any], None]] = {
    **dict.fromkeys(CONSTANTS, Machine.push),
    "NONE": lambda machine, _: machine.push(None),
    "NEWTRUE": lambda machine, _: machine.push(True),
    "NEWFALSE": lambda machine, _: machine.push(False),
    "PROTO": lambda machine, _: None,
    "FRAME": lambda machine, _: None,
    "STOP": lambda machine, _: None,
    "MARK": lambda machine, _: machine.mark(),
    "POP": lambda machine, _: machine.drop(),
    "POP_MARK": lambda machine, _: (machine.marked(), None)[1],
    "DUP": lambda machine, _: machine.push(machine.stack[-1]),
    "EMPTY_LIST": lambda machine, _: machine.push([]),
    "LIST": lambda machine, _: machine.push(machine.marked()),
    "APPEND": lambda machine, _: machine.extend(machine.last(1)),
    "APPENDS": lambda machine, _: machine.extend(machine.marked()),
    "EMPTY_TUPLE": lambda machine, _: machine.push(()),
    "TUPLE": lambda machine, _: machine.push(tuple(machine.marked())),
    "TUPLE1": lambda machine, _: machine.push(tuple(machine.last(1))),
    "TUPLE2": lambda machine, _: machine.push(tuple(machine.last(2))),
    "TUPLE3": lambda machine, _: machine.push(tuple(machine.last(3))),
    "EMPTY_DICT": lambda machine, _: machine.push({}),
    "DICT": lambda machine, _: machine.push(_pairs(machine.marked())),
    "SETITEM": lambda machine, _: machine.update(machine.last(2)),
    "SETITEMS": lambda machine, _: machine.update(machine.marked()),
    "EMPTY_SET": lambda machine, _: machine.push(Unordered([])),
    "ADDITEMS": lambda machine, _: machine.add(),
    "FROZENSET": lambda machine, _: machine.push(Unordered(machine.marked())),
    "GET": lambda machine, index: machine.push(machine.memo[index]),
    "BINGET": lambda machine, index: machine.push(machine.memo[index]),
    "LONG_BINGET": lambda machine, index: machine.push(machine.memo[index]),
    "PUT": Machine.remember,
    "BINPUT": Machine.remember,
    "LONG_BINPUT": Machine.remember,
    "MEMOIZE": lambda machine, _: machine.remember(),
    "GLOBAL": lambda machine, names: machine.push(_find(*names.split(" ", 1))),
    "STACK_GLOBAL": lambda machine, _: machine.push(_find(*machine.last(2))),
    "INST": lambda machine, names: machine.push(call(_find(*names.split(" ", 1)), tuple(machine.marked()))),
    "REDUCE": lambda machine, _: machine.push(call(*machine.last(2))),
    "NEWOBJ": lambda machine, _: machine.make(),
    "NEWOBJ_EX": lambda machine, _: machine.make(named=True),
    "BUILD": lambda machine, _: machine.build(),
    "BINPERSID": lambda machine, _: machine.storage(),
}
"""What each opcode does; `_` is its argument where it has none. One that is not here is refused by its name."""
