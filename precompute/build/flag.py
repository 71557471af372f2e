"""The flag that a field of BuildConfig has on the command line."""

from __future__ import annotations


def flag(name: str) -> str:
    """The flag of a field: text_column is --text-column."""
    return "--" + name.replace("_", "-")
