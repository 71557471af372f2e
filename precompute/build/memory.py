"""How much memory a stage may take for its rows: the option --memory, read into bytes."""

from __future__ import annotations

import re

from featurelib.schema import Refusal

DEFAULT_MEMORY = "3GB"
LEAST_MEMORY = "250MB"
"""With less, DuckDB cannot sort the activations of some ten thousand features."""
UNITS = {
    unit.lower(): size
    for power, letter in enumerate("KMGT", 1)
    for unit, size in ((f"{letter}B", 1000**power), (f"{letter}iB", 1024**power))
}
SIZE = re.compile(r"([0-9]{1,9}(?:\.[0-9]{1,9})?)\s*([a-z]+)", re.ASCII | re.IGNORECASE)


def memory_bytes(size: str) -> int:
    """Return the bytes of a size such as 2GB, 1.5 GiB or 800MB; Refusal when it cannot be read or is too small."""
    found = SIZE.fullmatch(size.strip())
    if found is None or found[2].lower() not in UNITS:
        raise Refusal(f"--memory is {size[:40]}; give a number and a unit, such as 2GB or 800MB, from {LEAST_MEMORY}.")
    n_bytes = _bytes(found)
    least = SIZE.fullmatch(LEAST_MEMORY)
    if least is not None and n_bytes < _bytes(least):
        raise Refusal(f"--memory is {size[:40]}, which is too little for a stage; give {LEAST_MEMORY} or more.")
    return n_bytes


def _bytes(found: re.Match[str]) -> int:
    return int(float(found[1]) * UNITS[found[2].lower()])
