"""What encoding costs beside the bare matrix product it cannot do without, in CPU seconds of one run.

Usage: python -m benchmarks.products [--features 16384] [--dimension 384] [--texts 20000] [--rounds 2] [--sae RUN]

The bare product is x[256] @ W_enc, block after block. Beside it, alternately on the same 2,048 texts at a time:
encode_sparse, NearMisses.add (which starts without a floor, so the first texts cost more), and what the stage encode
does with a part but for writing it (Encoder.measure). Then nearest_directions, once for neighbours and opposites, with
the peak of what numpy held meanwhile (tracemalloc, of a second call).

With --sae the SAE and the embeddings are those of a run, whose sizes count. Else they are the demo's: its directions
are repeated with noise until they are as many as --features, one threshold gives about L0 32, and for another dimension
all is projected at random; that SAE is not trained. Embeddings are repeated with noise where there are fewer.
"""

from __future__ import annotations

import argparse
import time
import tracemalloc
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import numpy as np
import torch

from featurelib.sae.checkpoints import load_sae
from featurelib.sae.evaluation import nearest_directions
from featurelib.sae.gates import JumpReLU
from featurelib.sae.model import BLOCK, SAE
from featurelib.sae.near_misses import NearMisses
from featurelib.schema import EMBEDDINGS, NEIGHBOURS, OPPOSITES
from featurelib.storage.embeddings import read_embeddings
from featurelib.storage.runs import Run
from precompute.stages.encode.measuring import Encoder, Means, PartRows

DEMO = Path(__file__).resolve().parent.parent / "data" / "demo"
STEP = 2_048
"""Texts between two changes of what is measured."""
L0 = 32
NOISE = 0.3
"""The length of the noise that a repeated direction or embedding of length 1 gets."""


def read_rows(run: Path, n: int, draw: np.random.Generator) -> np.ndarray:
    """Return n embeddings of a run, float32 [n, d]; those beyond the first round are repeated with noise."""
    x = np.empty((0, 0), np.float32)
    for part in Run(run).current().parts(EMBEDDINGS):
        read = read_embeddings(part)
        x = np.concatenate([x, read]) if len(x) else read
        if len(x) >= n:
            return np.ascontiguousarray(x[:n])
    return repeat(x, n, draw)


def repeat(rows: np.ndarray, n: int, draw: np.random.Generator) -> np.ndarray:
    """Return n rows: these, and then these again and again with noise, of the length they had."""
    repeated = rows[np.arange(n) % len(rows)]
    lengths = np.linalg.norm(repeated, axis=1, keepdims=True)
    noise = draw.standard_normal(repeated.shape).astype(np.float32) * (NOISE / rows.shape[1] ** 0.5)
    noise[: len(rows)] = 0
    noisy = repeated + lengths * noise
    norms = np.linalg.norm(noisy, axis=1, keepdims=True)
    scaled: np.ndarray = noisy * (lengths / np.where(norms > 0, norms, 1))
    return scaled.astype(np.float32)


def widen(
    sae: SAE, x: np.ndarray, n_features: int, dimension: int, draw: np.random.Generator
) -> tuple[SAE, np.ndarray]:
    """Return an untrained SAE of these sizes with an L0 of about 32 on x, made of another one, and x to go with it."""
    project = draw.standard_normal((x.shape[1], dimension)).astype(np.float32) / x.shape[1] ** 0.5
    project = np.eye(dimension, dtype=np.float32) if dimension == x.shape[1] else project
    x = np.ascontiguousarray(x @ project)
    directions = torch.from_numpy(repeat(sae.W_dec.numpy(), n_features, draw) @ project).contiguous()
    wide = SAE(
        W_enc=directions.T.contiguous(),
        b_enc=sae.b_enc.repeat(-(-n_features // sae.n_features))[:n_features].contiguous(),
        W_dec=directions,
        b_dec=torch.from_numpy(x.mean(axis=0)),
        gate=JumpReLU(torch.zeros(n_features)),
    )
    z = wide.pre_activations(x[: 8 * BLOCK])
    threshold = z.flatten().kthvalue(z.numel() - L0 * len(z)).values
    return replace(wide, gate=JumpReLU(threshold.repeat(n_features))), x


def cpu_seconds(work: Callable[[], object]) -> float:
    """Return the CPU seconds of all threads that a call takes."""
    began = time.process_time()
    work()
    return time.process_time() - began


def multiply(sae: SAE, x: torch.Tensor) -> None:
    """Multiply as blocks do, and forget the products."""
    for start in range(0, len(x), BLOCK):
        _ = x[start : start + BLOCK] @ sae.W_enc


def measure_texts(sae: SAE, x: np.ndarray) -> dict[str, float]:
    """Return the CPU seconds of each part of the work on x, measured in turn on STEP texts."""
    texts = PartRows(np.arange(len(x)), None, x)
    split = np.zeros(len(x), np.int8)
    encoder, nearest = Encoder(sae, split, Means.find(sae, [texts], split), "max"), NearMisses(sae.n_features)
    cost = dict.fromkeys(("bare product", "encode_sparse", "NearMisses.add", "Encoder.measure"), 0.0)
    for start in range(0, len(x), STEP):
        rows = x[start : start + STEP]
        part = PartRows(np.arange(start, start + len(rows)), None, rows)
        cost["bare product"] += cpu_seconds(lambda rows=rows: multiply(sae, torch.from_numpy(rows)))
        cost["encode_sparse"] += cpu_seconds(lambda rows=rows: sae.encode_sparse(rows))
        cost["NearMisses.add"] += cpu_seconds(lambda rows=rows, start=start: nearest.add(sae, rows, start))
        cost["Encoder.measure"] += cpu_seconds(lambda part=part: encoder.measure(part))
    cost["NearMisses.add"] += cpu_seconds(lambda: nearest.misses)
    return cost


def peak_bytes(work: Callable[[], object]) -> int:
    """Return the most that numpy held during a call, beyond what it held before."""
    tracemalloc.start()
    work()
    peak = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    return peak


def main() -> None:
    """Print a row for each part of the work."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--features", type=int, default=16_384)
    parser.add_argument("--dimension", type=int, default=384)
    parser.add_argument("--texts", type=int, default=20_000)
    parser.add_argument("--rounds", type=int, default=2)
    parser.add_argument("--sae", type=Path, help="a run; its sizes count")
    options = parser.parse_args()
    draw = np.random.default_rng(0)
    run = options.sae or DEMO
    # A last block that is not full costs as much as a full one, and would count against the rest.
    x, sae = read_rows(run, max(1, options.texts // BLOCK) * BLOCK, draw), load_sae(run)
    if options.sae is None:
        sae, x = widen(sae, x, options.features, options.dimension, draw)
    l0 = len(sae.encode_sparse(x[:STEP]).rows) / len(x[:STEP])
    print(
        f"{len(x):,} texts of dimension {sae.d_in}, {sae.n_features:,} features ({sae.architecture}), L0 {l0:.1f}, "
        f"{'trained' if options.sae else 'not trained'}, {torch.get_num_threads()} threads"
    )
    print(f"{'CPU seconds':<24}" + "".join(f"{f'round {number + 1}':>10}" for number in range(options.rounds)))
    rounds = [measure_texts(sae, x) for _ in range(options.rounds)]
    bare = [cost["bare product"] for cost in rounds]
    for name in rounds[0]:
        ratio = sum(cost[name] for cost in rounds) / sum(bare)
        print(f"{name:<24}" + "".join(f"{cost[name]:>10.2f}" for cost in rounds) + f"{ratio:>8.2f} ×")
    took = cpu_seconds(lambda: nearest_directions(sae, NEIGHBOURS, OPPOSITES))
    peak = peak_bytes(lambda: nearest_directions(sae, NEIGHBOURS, OPPOSITES))
    square = sae.n_features / len(x) * sum(bare) / len(bare)
    print(
        f"nearest_directions {took:.2f} CPU s, {took / square:.2f} × the bare product of so many rows, "
        f"peak {peak / 1e6:,.0f} MB"
    )


if __name__ == "__main__":
    main()
