"""Tokens of a language model as a reader sees them: with their spaces and line ends."""

from __future__ import annotations

LONGEST = 40
MARKS = str.maketrans({" ": "␣", "\n": "⏎", "\r": "⏎", "\t": "⇥", "\u00a0": "␣"})


def token_word(token: str | None) -> str:
    """A token with a mark for each space and line end, cut where it is long; a null is a place without a token."""
    if token is None:
        return "(no token)"
    marked = token.translate(MARKS)
    return (marked if len(marked) <= LONGEST else f"{marked[: LONGEST - 1]}…") or "(empty)"
