"""The shapes in which one JSON document holds a table, pandas' `to_json` orients among them, as a list of rows."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

from featurelib.schema import Refusal

RECORDS = 'df.to_json(orient="records")'


def rows_of(name: str, value: Any) -> list[Any]:
    """The rows of a JSON document that is no list: an object of columns, of rows, or with one list of rows.

    Understood are pandas' orients columns, index, split and table, an object of equally long lists, and an object with
    one list of objects. Raises Refusal for anything else; `name` is the file's.
    """
    if not isinstance(value, dict) or not value:
        raise _unknown(name)
    if {"columns", "data"} <= value.keys() and isinstance(value["columns"], list):
        return _split(name, value["columns"], value["data"])
    lists = {key: member for key, member in value.items() if isinstance(member, list)}
    if len(lists) == 1 and all(isinstance(member, dict) for member in next(iter(lists.values()))):
        return next(iter(lists.values()))
    if all(isinstance(member, dict) for member in value.values()):
        return _by_column(value) if _holds_columns(value) else list(value.values())
    if len(lists) < len(value):
        raise _unknown(name)
    return _of_lists(name, lists)


def refuse_lists(name: str, first: Any) -> None:
    """Refuse rows that are lists, as pandas' orient values writes them: nothing says what their columns are called."""
    if isinstance(first, list):
        raise Refusal(f"the rows of {name} are lists, so its columns have no names; write it again with {RECORDS}.")


def _unknown(name: str) -> Refusal:
    return Refusal(
        f'{name} holds neither a list of objects nor an object of lists; write [{{"text": …}}, …] '
        f"(pandas: {RECORDS}) or one object a line as .jsonl."
    )


def _split(name: str, columns: list[Any], rows: Any) -> list[Any]:
    names = [str(column) for column in columns]
    if not isinstance(rows, list) or any(not isinstance(row, list) or len(row) != len(names) for row in rows):
        raise Refusal(
            f"rows of {name} have other numbers of fields than its {len(names)} columns; write it with {RECORDS}."
        )
    return [dict(zip(names, row, strict=True)) for row in rows]


def _holds_columns(value: dict[str, dict[str, Any]]) -> bool:
    """Whether an object of objects holds columns (pandas' default) rather than rows (orient index).

    The values of a column are of one type. Where those of rows are too, the labels of rows are numbers unless somebody
    chose others; where that does not tell either, there are more rows than columns.
    """
    outer, rows = list(value), _by_column(value)
    inner = list(next(iter(value.values())))
    for columns, rows_instead in (
        (_are_uniform(value.values()), _are_uniform(rows)),
        (_are_numbers(inner), _are_numbers(outer)),
    ):
        if columns != rows_instead:
            return columns
    return len(inner) >= len(outer)


def _are_uniform(objects: Iterable[dict[str, Any]]) -> bool:
    """Whether the values of each object are of one type, whole numbers and others being one."""
    return all(
        len({float if isinstance(cell, int | float) else type(cell) for cell in each.values() if cell is not None}) <= 1
        for each in objects
    )


def _are_numbers(keys: Iterable[str]) -> bool:
    return all(key.lstrip("-").isdigit() for key in keys)


def _by_column(value: dict[str, dict[str, Any]]) -> list[dict[str, Any]]:
    labels = dict.fromkeys(label for column in value.values() for label in column)
    return [{name: column.get(label) for name, column in value.items()} for label in labels]


def _of_lists(name: str, lists: dict[str, list[Any]]) -> list[Any]:
    lengths = {key: len(member) for key, member in lists.items()}
    if len(set(lengths.values())) > 1:
        listed = ", ".join(f"{key} {n}" for key, n in lengths.items())
        raise Refusal(f"the lists of {name} differ in length ({listed}); one value per text is expected in each.")
    return [dict(zip(lists, row, strict=True)) for row in zip(*lists.values(), strict=True)]
