"""Which trainings a peer comparison asks for, in which order."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace
from itertools import product

from benchmarks.peer.trial import Asked

OURS = "ours"
OPTIONS = {
    OURS: ("",),
    "saelens": ("short", ""),
    "hypothesaes": ("",),
    "dictionary_learning": ("short",),
    "sparsify": ("signum", "adam"),
}
"""Each system's switches that are tried; its trainer file says what they are."""
SCALED = {"dictionary_learning", "sparsify"}
"""Systems whose own rule for the learning rate is 1/√n_features; the others keep it for any size."""
SIZES, K, SEEDS = (1024, 4096), (16, 32, 64), (0, 1, 2)
TUNED_SIZE, TUNED_K = 1024, 32
SHIPPED = "shipped"
"""The option of ours that leaves learning rate and batch size as a build has them."""
PARTS = (0.75, 0.5)
"""Ours is trained also with the samples times these: how early does it pass a peer's final FVU?"""
TRIED = (
    (3e-3, 512),
    (3e-3, 256),
    (3e-3, 128),
    (1.5e-3, 256),
    (6e-3, 512),
    (1.5e-3, 128),
    (6e-3, 256),
    (1.5e-3, 512),
    (3e-3, 1024),
    (6e-3, 1024),
    (6e-3, 128),
    (7.5e-4, 128),
    (12e-3, 512),
    (7.5e-4, 256),
    (12e-3, 1024),
    (12e-3, 256),
)
"""Learning rate and batch size, in the order in which they are tried while the tuning's seconds last."""


def candidates(system: str, samples: int) -> Iterator[Asked]:
    """Yield what is tried in tuning `system`, `samples` embeddings each."""
    for option, (lr, batch) in product(OPTIONS[system], TRIED):
        yield Asked("tuning", system, TUNED_SIZE, TUNED_K, 0, samples, lr, batch, option)


def grid(tuned: dict[str, Asked], samples: int) -> Iterator[list[Asked]]:
    """Yield the trainings of the comparison, a list of one system at a time, the seed outermost."""
    for seed, chosen in product(SEEDS, tuned.values()):
        asked = [_sized(chosen, seed, samples, n_features, k) for n_features, k in product(SIZES, K)]
        if chosen.system == OURS:
            asked = [replace(training, lr=0.0, batch=0, option=SHIPPED) for training in asked]
            asked += [
                replace(training, role="part", samples=round(samples * part))
                for training, part in product(asked, PARTS)
            ]
        yield asked


def _sized(chosen: Asked, seed: int, samples: int, n_features: int, k: int) -> Asked:
    lr = chosen.lr * ((TUNED_SIZE / n_features) ** 0.5 if chosen.system in SCALED else 1)
    return replace(chosen, role="grid", n_features=n_features, k=k, seed=seed, samples=samples, lr=lr)
