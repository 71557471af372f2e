"""Write what both sides of benchmarks.top_examples are given.

    python -m benchmarks.examples.prepare RUN TEXTS FOLDER [EMBEDDINGS.npy]

A process of its own, so that the one that starts the sides stays small: a child's ru_maxrss begins at its parent's.
"""

from __future__ import annotations

import sys
from pathlib import Path

import numpy as np

from benchmarks.examples.side import Given
from benchmarks.products import read_rows, repeat
from featurelib.sae.checkpoints import load_sae
from featurelib.sae.gates import JumpReLU
from featurelib.sae.model import SAE


def check(sae: SAE, x: np.ndarray) -> str | None:
    """Return what keeps HypotheSAEs' class from holding this SAE or reading these embeddings, or None."""
    if type(sae.gate) is not JumpReLU or len(sae.thresholds().unique()) != 1:
        return f"the SAE is a {sae.architecture} whose features differ in threshold; give a run of a batchtopk SAE."
    if sae.norm != "none" or not sae.subtract_b_dec or sae.W_skip is not None:
        return "the SAE normalises, skips or does not subtract b_dec, which HypotheSAEs' does not; give another run."
    if x.ndim != 2 or x.shape[1] != sae.d_in:
        return f"the embeddings have shape {x.shape} but the SAE reads dimension {sae.d_in}; give [n, {sae.d_in}]."
    return None


def main() -> int:
    """Write the arrays; embeddings are repeated with noise where there are fewer than asked for."""
    run, n_texts, folder = Path(sys.argv[1]), int(sys.argv[2]), Path(sys.argv[3])
    sae, draw = load_sae(run), np.random.default_rng(0)
    x = np.load(sys.argv[4]).astype(np.float32) if len(sys.argv) > 4 else read_rows(run, n_texts, draw)
    wrong = check(sae, x)
    if wrong:
        print(wrong, file=sys.stderr)
        return 2
    arrays = [getattr(sae, name).numpy() for name in ("W_enc", "b_enc", "W_dec", "b_dec")]
    x = np.ascontiguousarray(x[:n_texts]) if len(x) >= n_texts else repeat(x, n_texts, draw)
    Given(x, *arrays, sae.thresholds().numpy(), np.array(sae.k or 32)).write(folder)
    return 0


if __name__ == "__main__":
    sys.exit(main())
