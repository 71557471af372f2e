"""For how many tokens a model has learned positions: measured on a short text, not read from its config.

A config says how many rows the table of positions has, not at which row a text begins: RoBERTa and its kin begin
behind the padding index, BART and OPT at row 2, and a limit that people have written beside the model may be larger
than both. So one short text goes through the model, and the rows that it asks for are looked at.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

from featurelib.schema import Refusal

LOOKED_AT = 4
"""Ids that tell a row of positions from any other."""
TEXT = " ".join(["a"] * LOOKED_AT)
"""The word is repeated, so that the ids of its tokens cannot be taken for positions."""
FAILURES = (IndexError, RuntimeError, ValueError, TypeError, KeyError, AttributeError)
"""What a model raises whose weights, tokenizer and config do not fit each other."""


def count_positions(model: Any, name: str) -> int | None:
    """Return the most tokens that a sentence-transformers model has positions for; `name` is what people call it.

    None where its positions are computed (rotary, sinusoidal) or relative, which sets no limit. Raises Refusal when the
    model cannot even embed a short text.
    """
    import torch
    from torch.overrides import TorchFunctionMode

    rooms: list[int] = []

    class Watch(TorchFunctionMode):
        """Looks at the ids of each look-up in a table of embeddings; changes nothing."""

        def __torch_function__(
            self, function: Callable[..., Any], types: Any, args: Sequence[Any] = (), kwargs: Any = None
        ) -> Any:
            if function is torch.nn.functional.embedding and len(args) > 1:
                first = _first_position(args[0])
                rooms.extend([] if first is None else [int(args[1].shape[0]) - first])
            return function(*args, **(kwargs or {}))

    try:
        features = {
            key: value.to(model.device) if hasattr(value, "to") else value
            for key, value in model.preprocess([TEXT]).items()
        }
        with torch.inference_mode(), Watch():
            model(features)
    except torch.OutOfMemoryError:
        raise
    except FAILURES as error:
        reason = " ".join(str(error).split())[:120]
        raise Refusal(
            f"the embedder {name} cannot embed even '{TEXT}' ({type(error).__name__}: {reason}); "
            "its weights, tokenizer and config do not fit each other: download it again, or give another model."
        ) from error
    return min(rooms, default=None)


def _first_position(ids: Any) -> int | None:
    """Return the first of `ids` if they are one row of positions, each one more than the one before it, else None."""
    if ids.shape[-1] < LOOKED_AT or ids.numel() != ids.shape[-1]:
        return None
    row = ids.reshape(-1)[:LOOKED_AT]
    return int(row[0]) if bool((row.diff() == 1).all()) else None


def limit_length(model: Any, name: str, max_seq_length: int | None) -> None:
    """Set the number of tokens that is read: at most as many as the model has positions for; Refusal for more."""
    room = count_positions(model, name)
    if max_seq_length is None:
        own = model.max_seq_length
        if room is not None and (own is None or own > room):
            model.max_seq_length = room
        return
    if room is not None and max_seq_length > room:
        raise Refusal(
            f"--max-seq-length is {max_seq_length} but {name} has positions for {room} tokens; give at most that."
        )
    model.max_seq_length = max_seq_length
