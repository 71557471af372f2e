"""Whether the question that the worker is answering has been cancelled meanwhile."""

from __future__ import annotations

_numbers: dict[str, int] = {"answered": -1, "cancelled": -1}
"""The question that is being answered, and the one last cancelled: one thread writes each."""


def begin(number: int) -> None:
    """Note which question is being answered from now on."""
    _numbers["answered"] = number


def cancel(number: int) -> None:
    """Note that a question is cancelled; one that has been answered already is not changed by it."""
    _numbers["cancelled"] = number


def is_cancelled() -> bool:
    """Return whether the question that is being answered has been cancelled."""
    return _numbers["cancelled"] == _numbers["answered"]
