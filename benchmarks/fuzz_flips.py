"""Flip one bit of the weights of a file, in every format, and say how many flips go unnoticed, and what they do.

    python -m benchmarks.fuzz_flips [--flips 300] [--seed 0]

The files hold a small trained SAE (16 dimensions, 48 features). A flip is refused when loading refuses the file, warned
of when the self-check says a sentence (without embeddings, or only with 1,000 of those that the SAE was trained for),
else unseen. Of the unseen ones the largest change of an activation is printed, beside the largest activation there is.
Our own runs are not among them: there every flip is refused by the sha256 of the manifest.
"""

from __future__ import annotations

import argparse
import random
import tempfile
from collections import Counter
from pathlib import Path
from typing import NamedTuple

import numpy as np
import torch

from featurelib.sae.checkpoints import read_checkpoint
from featurelib.sae.checks.self_check import check_sae
from featurelib.sae.formats.checkpoint import LoadOptions
from featurelib.sae.formats.readers import READERS
from featurelib.sae.model import SAE
from featurelib.sae.sources.find import find_place
from featurelib.schema import Refusal
from tests.support.sae_files import Example, examples, planted_rows

SIZE = (16, 48)
ROWS = 500
OUTCOMES = ("refused", "warned", "warned on embeddings", "unseen")


class Spot(NamedTuple):
    """Where a tensor lies in a file."""

    start: int
    """Its first byte."""
    length: int
    """Its bytes."""


def find_spots(content: bytes, example: Example) -> list[Spot]:
    """Find the floats of the SAE in the bytes of its file."""
    spots = []
    for tensor in example.tensors.values():
        stored = tensor.contiguous().numpy().tobytes()
        if tensor.is_floating_point() and len(stored) > 8:
            start = content.find(stored)
            if start < 0:
                raise SystemExit("a tensor is not stored as it is; this benchmark flips bits of stored floats only")
            spots.append(Spot(start, len(stored)))
    return spots


def outcome(source: Path, options: LoadOptions, x: np.ndarray) -> tuple[str, SAE | None]:
    """Load a file; return the outcome, and the SAE where nothing noticed the flip."""
    try:
        sae = read_checkpoint(find_place(source), options).sae
        if check_sae(sae).warnings:
            return OUTCOMES[1], None
        return (OUTCOMES[2], None) if check_sae(sae, x).warnings else (OUTCOMES[3], sae)
    except Refusal:
        return OUTCOMES[0], None


def flip(content: bytes, spots: list[Spot], draw: random.Random) -> bytes:
    """Return the bytes with one bit of the tensors flipped."""
    spot = draw.choices(spots, [spot.length for spot in spots])[0]
    changed = bytearray(content)
    changed[spot.start + draw.randrange(spot.length)] ^= 1 << draw.randrange(8)
    return bytes(changed)


def measure(name: str, example: Example, n_flips: int, seed: int) -> Counter[str]:
    """Flip bits of one format's file and print a line; return how often each outcome came."""
    x, draw = planted_rows(SIZE[0]), random.Random(f"{seed} {name}")
    with tempfile.TemporaryDirectory() as folder:
        source = example.write(Path(folder) / "sae", example.tensors)
        weights, options = find_place(source).weights, LoadOptions(**example.asked)
        content = weights.read_bytes()
        spots, right = find_spots(content, example), read_checkpoint(find_place(source), options).sae.encode(x[:ROWS])
        seen, largest = Counter[str](), 0.0
        for _ in range(n_flips):
            weights.write_bytes(flip(content, spots, draw))
            what, sae = outcome(source, options, x)
            seen[what] += 1
            if sae is not None:
                largest = max(largest, float((sae.encode(x[:ROWS]) - right).abs().max()))
    shares = "".join(f"{seen[kind] / n_flips:>9.1%}" for kind in OUTCOMES)
    print(f"{name:<20}{weights.suffix:<14}{shares}{largest:>14.3g}{float(right.max()):>14.3g}", flush=True)
    return seen


def main() -> None:
    """Measure every format."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--flips", type=int, default=300)
    parser.add_argument("--seed", type=int, default=0)
    given = parser.parse_args()
    torch.set_num_threads(1)
    print(f"one of the bits of the weights flipped, {given.flips} times in each format")
    titles = "".join(f"{name:>9}" for name in ("refused", "warned", "with x", "unseen"))
    print(f"{'format':<20}{'file':<14}{titles}{'change up to':>14}{'activation':>14}")
    files = examples(*SIZE)
    names = [reader.__name__.rpartition(".")[2] for reader in READERS]
    total = sum((measure(name, files[name], given.flips, given.seed) for name in names), Counter[str]())
    print(f"all: {', '.join(f'{kind} {total[kind] / total.total():.1%}' for kind in OUTCOMES)}")


if __name__ == "__main__":
    main()
