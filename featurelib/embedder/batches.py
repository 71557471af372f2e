"""How an embedder spreads its work: over the cores of a cpu, or over a GPU's memory."""

from __future__ import annotations

import contextlib
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from typing import Any

from featurelib.schema import Refusal

BATCH_TOKENS = {"cpu": 2048, "cuda": 131_072}
"""Tokens, padding included, that go through the model at a time: measured to be the quickest."""
BFLOAT16_CAPABILITIES = ("avx512_bf16", "amx_bf16", "bf16", "sve_bf16")
"""What torch calls the instructions that multiply in bfloat16, on x86 and on ARM."""


@contextlib.contextmanager
def gpu_memory(n_texts: int) -> Iterator[None]:
    """Turn a GPU without memory for `n_texts` texts into a Refusal."""
    import torch

    try:
        yield
    except torch.OutOfMemoryError as error:
        raise Refusal(
            f"the GPU has no memory for {n_texts} texts at a time; give a smaller --batch-size, or --device cpu."
        ) from error


@contextlib.contextmanager
def spread_over_threads(device: str, n_batches: int) -> Iterator[Callable[..., Iterator[tuple[Any, Any]]]]:
    """Give a function that maps over batches: on a cpu with a thread for each core, each computing alone.

    One thread for each batch beats all threads on one batch: nothing waits at the end of every matrix product, and an
    embedding does not depend on the number of cores.
    """
    import torch

    n_threads = torch.get_num_threads()
    if device != "cpu":
        yield lambda work, batches: ((batch, work(batch)) for batch in batches)
        return
    torch.set_num_threads(1)
    pool = ThreadPoolExecutor(max(1, min(n_threads, n_batches)), initializer=torch.set_num_threads, initargs=(1,))
    try:
        yield lambda work, batches: zip(batches, pool.map(work, batches), strict=True)
    finally:
        pool.shutdown(cancel_futures=True)
        torch.set_num_threads(n_threads)


def choose_device(device: str) -> str:
    """Return cpu or cuda for auto, cpu or cuda; Refusal for a GPU that is not there."""
    import torch

    if device == "cuda" and not torch.cuda.is_available():
        raise Refusal("the device cuda was asked for but torch finds no GPU; leave --device out or give --device cpu.")
    return "cuda" if device == "cuda" or (device == "auto" and torch.cuda.is_available()) else "cpu"


def multiplies_in_bfloat16() -> bool:
    """Whether this CPU has instructions for products in bfloat16; without them they take longer than in float32."""
    import torch

    capabilities = torch.cpu.get_capabilities()
    return any(capabilities.get(name, False) for name in BFLOAT16_CAPABILITIES)
