"""Cells: strings made fit for Arrow, columns of any Arrow type brought to the few types that a run keeps."""

from __future__ import annotations

import json
import re
from collections import Counter
from collections.abc import Sequence
from typing import Any

import pyarrow as pa
import pyarrow.compute as pc

MARK = "\ufffd"
"""U+FFFD, put in the place of what is no character."""
NUL = "NUL characters"
SURROGATE = "lone surrogates"
INVALID = "invalid UTF-8"
UNREADABLE = "nested values that are no UTF-8"
VECTOR_LENGTH = 16
"""Float lists of one length from here up are vectors, not metadata."""
_SURROGATES = re.compile(r"[\ud800-\udfff]")


def repair(text: str) -> str:
    """Join surrogate pairs into their character and put U+FFFD for lone ones."""
    return text.encode("utf-16-le", "surrogatepass").decode("utf-16-le", "replace")


def strings(values: Sequence[str | None], repaired: Counter[str]) -> pa.Array:
    """Make a string array of Python strings; repaired cells are counted by kind in `repaired`."""
    try:
        column = pa.array(values, pa.string())
    except UnicodeEncodeError:
        broken = [value is not None and _SURROGATES.search(value) is not None for value in values]
        fixed = [
            repair(value) if bad and value is not None else value for value, bad in zip(values, broken, strict=True)
        ]
        repaired[SURROGATE] += sum(
            bad and value is not None and MARK in value for value, bad in zip(fixed, broken, strict=True)
        )
        column = pa.array(fixed, pa.string())
    return without_nul(column, repaired)


def without_nul(column: pa.Array, repaired: Counter[str]) -> pa.Array:
    """Put U+FFFD for NUL in a string array and count the cells."""
    n_with_nul = pc.sum(pc.match_substring(column, "\0")).as_py() or 0
    if not n_with_nul:
        return column
    repaired[NUL] += n_with_nul
    return pc.replace_substring(column, "\0", MARK)


def valid(column: pa.Array, repaired: Counter[str]) -> pa.Array:
    """Return a string array from strings or binary of any width, with U+FFFD for bytes that are not UTF-8."""
    raw = column.cast(pa.binary())
    try:
        text = raw.cast(pa.string())
    except pa.ArrowInvalid:
        cells = raw.to_pylist()
        fixed = [None if cell is None else cell.decode("utf-8", "replace") for cell in cells]
        repaired[INVALID] += sum(
            cell is not None and text is not None and text.encode() != cell
            for text, cell in zip(fixed, cells, strict=True)
        )
        text = pa.array(fixed, pa.string())
    return without_nul(text, repaired)


def is_text(kind: pa.DataType) -> bool:
    """Whether a column of this Arrow type holds text: strings, or bytes that may be UTF-8."""
    if pa.types.is_dictionary(kind):
        return is_text(kind.value_type)
    return _is_string(kind) or is_bytes(kind)


def _is_string(kind: pa.DataType) -> bool:
    return bool(pa.types.is_string(kind) or pa.types.is_large_string(kind) or pa.types.is_string_view(kind))


def is_bytes(kind: pa.DataType) -> bool:
    """Whether a column of this Arrow type holds bytes of any width."""
    return bool(
        pa.types.is_binary(kind)
        or pa.types.is_large_binary(kind)
        or pa.types.is_binary_view(kind)
        or pa.types.is_fixed_size_binary(kind)
    )


def is_list(kind: pa.DataType) -> bool:
    """Whether this Arrow type is a list of any width."""
    return bool(pa.types.is_list(kind) or pa.types.is_large_list(kind) or pa.types.is_fixed_size_list(kind))


def _has_binary(kind: pa.DataType) -> bool:
    if is_bytes(kind):
        return True
    return any(_has_binary(kind.field(i).type) for i in range(kind.num_fields)) if kind.num_fields else False


def kept_type(kind: pa.DataType) -> pa.DataType | None:
    """Return the type in which a metadata column of type `kind` is kept, or None when it cannot be metadata (binary).

    Numbers, booleans, dates, times, timestamps and lists of them stay; strings of any width become `string`; what is
    nested deeper becomes a string of JSON.
    """
    if isinstance(kind, pa.BaseExtensionType):
        return kept_type(kind.storage_type)
    if pa.types.is_dictionary(kind):
        return kept_type(kind.value_type)
    if _has_binary(kind):
        return None
    if is_list(kind):
        inner = kind.value_type
        plain = _is_string(inner) or pa.types.is_null(inner) or kept_type(inner) not in (None, pa.string())
        return pa.list_(kept_type(inner)) if plain and not pa.types.is_nested(inner) else pa.string()
    if pa.types.is_float16(kind):
        return pa.float32()
    stays = (
        pa.types.is_boolean,
        pa.types.is_integer,
        pa.types.is_floating,
        pa.types.is_date,
        pa.types.is_time,
        pa.types.is_timestamp,
        pa.types.is_decimal128,
    )
    return kind if any(test(kind) for test in stays) else pa.string()


def is_vector(column: pa.Array) -> bool:
    """Whether a column holds vectors (embeddings): lists of floats, all of one length of at least 16."""
    if isinstance(column, pa.ExtensionArray):
        column = column.storage
    if not is_list(column.type) or not pa.types.is_floating(column.type.value_type):
        return False
    lengths = pc.unique(pc.list_value_length(column.drop_null()))
    return len(lengths) == 1 and lengths[0].as_py() >= VECTOR_LENGTH


def to_kept_type(column: pa.Array, kind: pa.DataType, repaired: Counter[str]) -> pa.Array:
    """Bring a column to the type `kind` that `kept_type` gave for it, without changing a value."""
    if isinstance(column, pa.ExtensionArray):
        column = column.storage
    if pa.types.is_dictionary(column.type):
        column = column.dictionary_decode()
    if pa.types.is_string(kind):
        return valid(column, repaired) if _is_string(column.type) else as_json(column, repaired)
    if is_list(kind) and pa.types.is_string(kind.value_type):
        return _list_of_strings(column, repaired)
    return column if column.type == kind else column.cast(kind)


def _list_of_strings(column: pa.Array, repaired: Counter[str]) -> pa.Array:
    if not _is_string(column.type.value_type):
        return column.cast(pa.list_(pa.string()))
    narrow = column.cast(pa.list_(column.type.value_type))
    inner = valid(narrow.flatten(), repaired)
    lengths = pc.fill_null(pc.list_value_length(narrow), 0)
    offsets = pa.concat_arrays([pa.array([0], pa.int32()), pc.cumulative_sum(lengths).cast(pa.int32())])
    return pa.ListArray.from_arrays(offsets, inner, mask=narrow.is_null())


def as_json(column: pa.Array, repaired: Counter[str]) -> pa.Array:
    """Write every value that is no string as JSON; null stays null, and so becomes one with text that is no UTF-8."""
    try:
        values = column.to_pylist()
    except UnicodeDecodeError:
        values = [_readable(value) for value in column]
        repaired[UNREADABLE] += sum(value is None for value in values) - column.null_count
    return strings([to_json(value) for value in values], repaired)


def _readable(value: pa.Scalar) -> Any:
    try:
        return value.as_py()
    except UnicodeDecodeError:
        return None


def to_json(value: Any) -> str | None:
    """Return a string as it is, None as None, anything else as JSON, or as Python writes it where JSON has no word."""
    if value is None or isinstance(value, str):
        return value
    if not isinstance(value, dict | list | tuple | bool | int | float):
        return str(value)
    return json.dumps(value, ensure_ascii=False, default=str)


def as_strings(column: pa.Array, repaired: Counter[str]) -> pa.Array:
    """Bring a text, title or id column of any type to strings.

    Whole floats are written without point: that is how pandas stores whole numbers with nulls among them.
    """
    if pa.types.is_dictionary(column.type):
        column = column.dictionary_decode()
    if is_text(column.type):
        return valid(column, repaired)
    if pa.types.is_floating(column.type) and pc.all(pc.equal(column, pc.trunc(column))).as_py():
        column = column.cast(pa.int64())
    if pa.types.is_nested(column.type):
        return as_json(column, repaired)
    return column.cast(pa.string())


def unique_names(names: Sequence[str]) -> list[str]:
    """Make column names usable: no surrogates or NUL, none empty ("column_3"), none twice whatever the case ("a_2")."""
    used: set[str] = set()
    renamed: list[str] = []
    for number, name in enumerate(names, start=1):
        base = repair(name).replace("\0", MARK) or f"column_{number}"
        unique, copy = base, 1
        while unique.casefold() in used:
            copy += 1
            unique = f"{base}_{copy}"
        used.add(unique.casefold())
        renamed.append(unique)
    return renamed
