"""Rows shuffled through a buffer: memory is bounded by the buffer, whatever comes in."""

from __future__ import annotations

from collections.abc import Iterable, Iterator

import numpy as np

from featurelib.schema import Refusal


def shuffled(rows: Iterable[np.ndarray], *, batch: int, buffer: int, seed: int) -> Iterator[np.ndarray]:
    """Yield batches, float32 [batch, d], drawn from a buffer of `buffer` rows; each row that comes in is in one.

    A full buffer is shuffled and its first half given out, so a row meets those that came some `buffer` before and
    after it. The last batch may be shorter. Raises Refusal for a buffer that does not hold two batches.
    """
    if batch < 1 or buffer < 2 * batch:
        raise Refusal(f"the buffer holds {buffer:,} rows and a batch {batch:,}; give a buffer of two batches or more.")
    draw = np.random.default_rng(seed)
    held: np.ndarray | None = None
    n = 0
    for some in rows:
        held = np.empty((buffer, some.shape[1]), np.float32) if held is None else held
        while len(some):
            taken = some[: buffer - n]
            held[n : n + len(taken)] = taken
            n, some = n + len(taken), some[len(taken) :]
            if n == buffer:
                draw.shuffle(held)
                given = buffer // 2 // batch * batch
                for start in range(0, given, batch):
                    yield held[start : start + batch].copy()
                n = buffer - given
                held[:n] = held[given:].copy()
    if held is not None:
        draw.shuffle(held[:n])
        for start in range(0, n, batch):
            yield held[start : min(start + batch, n)].copy()
