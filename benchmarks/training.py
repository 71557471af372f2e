"""Samples a second of our SAE training beside the bare products of the same shapes, and beside another checkout.

Usage: python -m benchmarks.training EMBEDDINGS.npy [--features 2048,16384] [--samples 100000] [--rounds 2]
       [--root CHECKOUT]

A training of so many samples with the recipe of a build (its epochs aside), in one thread; its CPU seconds hold all
that `train` does, reading the embeddings and finding the threshold too. The bare product is x[batch, d] @ W[d,
features], as often as there are steps: what a step cannot do without. With --root the same training is done by another
checkout of the project, such as an older one, in turn with ours. Each is a process of its own.
"""

from __future__ import annotations

import argparse
import json
import os
import subprocess
import sys
import tempfile
import time
from pathlib import Path

import numpy as np

ROOT = Path(__file__).resolve().parent.parent
THREADS = ("OMP_NUM_THREADS", "MKL_NUM_THREADS", "OPENBLAS_NUM_THREADS")


def train_once(path: Path, features: int, samples: int) -> dict[str, float]:
    """Train with the checkout that Python finds, and multiply: CPU seconds of both, and what the recipe says."""
    import torch

    from benchmarks.peer.ours import write_part
    from featurelib.sae.training.recipe import find_recipe
    from featurelib.sae.training.trainer import train

    torch.set_num_threads(1)
    rows = np.load(path).astype(np.float32)
    with tempfile.TemporaryDirectory() as folder:
        embeddings = write_part(rows, Path(folder))
        recipe = find_recipe(*rows.shape, n_features=features, epochs=samples / len(rows))
        began = time.process_time()
        train(embeddings, recipe)
        spent = time.process_time() - began
    x = torch.from_numpy(rows[: recipe.batch])
    weights, out = torch.randn(rows.shape[1], features), torch.empty(recipe.batch, features)
    began = time.process_time()
    for _ in range(recipe.steps):
        torch.mm(x, weights, out=out)
    return {"seconds": spent, "bare": time.process_time() - began, "samples": recipe.steps * recipe.batch}


def measure(root: Path, path: Path, features: int, samples: int) -> dict[str, float]:
    """Do it in a process of its own, with the project as it is in `root`."""
    command = [sys.executable, __file__, str(path), "--features", str(features), "--samples", str(samples), "--once"]
    environment = os.environ | dict.fromkeys(THREADS, "1") | {"PYTHONPATH": str(root)}
    done = subprocess.run(command, env=environment, check=True, stdout=subprocess.PIPE, text=True, cwd=root)
    return dict(json.loads(done.stdout.splitlines()[-1]))


def main() -> None:
    """Print a line for each number of features, checkout and round."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("embeddings", type=Path)
    parser.add_argument("--features", default="2048,16384")
    parser.add_argument("--samples", type=int, default=100_000)
    parser.add_argument("--rounds", type=int, default=2)
    parser.add_argument("--root", type=Path, help="another checkout of the project")
    parser.add_argument("--once", action="store_true", help=argparse.SUPPRESS)
    options = parser.parse_args()
    path = options.embeddings.resolve()
    if options.once:
        print(json.dumps(train_once(path, int(options.features), options.samples)))
        return
    roots = {"now": ROOT} | ({"before": options.root.resolve()} if options.root else {})
    for features in map(int, options.features.split(",")):
        for number in range(options.rounds):
            for name, root in roots.items():
                made = measure(root, path, features, options.samples)
                rate, bare = made["samples"] / made["seconds"], made["samples"] / made["bare"]
                print(
                    f"{features:>7,} features, round {number + 1}, {name:<7}{rate:>9,.0f} samples a CPU second, bare "
                    f"product {bare:>9,.0f}: {made['seconds'] / made['bare']:.2f} × the bare product",
                    flush=True,
                )


if __name__ == "__main__":
    main()
