"""A list of texts in an address: the differences of their ids in base 36, so that some thousands have room."""

from __future__ import annotations

import re
from collections.abc import Iterable

import numpy as np

from featurelib.schema import Refusal
from featurelib.ui.kit.address import param

LONGEST = 6_000
"""Characters of an address that a list of texts may take."""
LIST = re.compile(r"[0-9a-z]{1,8}(\.[0-9a-z]{1,8})*", re.ASCII)
DIGITS = "0123456789abcdefghijklmnopqrstuvwxyz"


def written(text_ids: Iterable[int]) -> str:
    """Write ids for an address: ascending, each as its distance from the one before."""
    ids = sorted({int(text_id) for text_id in text_ids})
    return ".".join(_digits(after - before) for before, after in zip([0, *ids], ids, strict=False))


def _digits(number: int) -> str:
    digits = DIGITS[number % 36]
    while number := number // 36:
        digits = DIGITS[number % 36] + digits
    return digits


def read(listed: str) -> list[int]:
    """Read what `written` wrote; Refusal for anything else."""
    if listed and not LIST.fullmatch(listed):
        raise Refusal(
            f"the address lists texts as {listed[:40]}; open the list again from the map or the page it came from."
        )
    distances = [int(word, 36) for word in listed.split(".")] if listed else []
    ids: list[int] = np.cumsum(np.array(distances, np.int64)).tolist()
    return ids


def list_param(name: str) -> str:
    """The list of texts in the address, as it is written; Refusal when it is longer than a list may be."""
    listed = param(name, longest=LONGEST + 1)
    if len(listed) > LONGEST:
        raise Refusal(f"the list of texts in the address is longer than {LONGEST:,} characters; choose fewer texts.")
    return listed
