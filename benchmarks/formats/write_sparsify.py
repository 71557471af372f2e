"""Write SAEs with sparsify's own code, random and trained, and what it makes of some embeddings.

    python benchmarks/formats/write_sparsify.py OUT EMBEDDINGS.npy       (where `pip install eai-sparsify` was done)

One case folder each (see case.py). Its Trainer wants a language model, so the trained ones are its SparseCoder and loss
in a plain loop that follows it.
"""

from __future__ import annotations

import sys
from pathlib import Path

import numpy as np
import torch
from case import D_IN, N_FEATURES, some_rows, write_case
from sparsify import SparseCoder, SparseCoderConfig

RANDOM = {
    "topk": {"k": 8},
    "topk_most": {"k": 70},
    "topk_by_expansion": {"k": 8, "num_latents": 0, "expansion_factor": 3},
    "topk_square": {"k": 8, "num_latents": D_IN},
    "topk_unnormalised_multi": {"k": 5, "normalize_decoder": False, "multi_topk": True},
    "groupmax": {"k": 6, "activation": "groupmax"},
    "skip": {"k": 8, "skip_connection": True},
    "groupmax_skip": {"k": 12, "activation": "groupmax", "skip_connection": True},
}
STEPS, BATCH = 400, 512


def random_coder(settings: dict, seed: int) -> SparseCoder:
    """A coder as its class starts it, every parameter that it starts at zero drawn instead."""
    torch.manual_seed(seed)
    coder = SparseCoder(D_IN, SparseCoderConfig(**{"num_latents": N_FEATURES} | settings))
    for parameter in coder.parameters():
        if not parameter.any():
            torch.nn.init.normal_(parameter, std=0.2)
    return coder


def trained_coder(rows: torch.Tensor, settings: dict) -> SparseCoder:
    """A coder trained on rows [n, d] with sparsify's loss, its unit norms and its projected gradient."""
    torch.manual_seed(1)
    coder = SparseCoder(rows.shape[1], SparseCoderConfig(num_latents=1024, **settings))
    coder.b_dec.data = rows.mean(0)
    optimizer = torch.optim.Adam(coder.parameters(), lr=1e-3)
    silent = torch.zeros(coder.num_latents, dtype=torch.int64)
    for _ in range(STEPS):
        x = rows[torch.randint(len(rows), (BATCH,))]
        coder.set_decoder_norm_to_unit_norm()
        out = coder(x, dead_mask=silent > 50 * BATCH)
        (out.fvu + out.auxk_loss / 32).backward()
        coder.remove_gradient_parallel_to_decoder_directions()
        optimizer.step()
        optimizer.zero_grad()
        silent += BATCH
        silent[out.latent_indices.flatten()] = 0
    print(f"trained {settings}: FVU {out.fvu.item():.3f}")
    return coder


@torch.no_grad()
def keep(coder: SparseCoder, folder: Path, x: np.ndarray, note: str) -> None:
    """Write the coder and what it makes of x."""
    coder.save_to_disk(folder / "sae")
    coder = SparseCoder.load_from_disk(folder / "sae")
    rows = torch.from_numpy(x)
    encoded = coder.encode(rows)
    dense = torch.zeros_like(encoded.pre_acts).scatter_(1, encoded.top_indices, encoded.top_acts)
    # not its forward: with multi_topk that hands out the reconstruction from 4k features, which only the loss is for
    output = coder.decode(encoded.top_acts, encoded.top_indices)
    output = output if coder.W_skip is None else output + rows @ coder.W_skip.mT
    write_case(folder, x, dense.numpy(), output.numpy(), f"eai-sparsify: {note}")


def main() -> None:
    """Write all cases into the folder named on the command line."""
    if len(sys.argv) != 3:
        raise SystemExit(__doc__)
    out, rows = Path(sys.argv[1]), np.load(sys.argv[2]).astype(np.float32)
    torch.set_num_threads(1)
    for seed, (name, settings) in enumerate(RANDOM.items()):
        note = f"SparseCoder {settings}, random"
        keep(random_coder(settings, seed), out / f"sparsify_{name}", some_rows(), note)
    for name in ("topk", "groupmax_skip"):
        settings = RANDOM[name] | {"k": 32}
        coder = trained_coder(torch.from_numpy(rows), settings)
        keep(coder, out / f"sparsify_trained_{name}", rows[:500], f"SparseCoder {settings}, trained {STEPS} steps")


if __name__ == "__main__":
    main()
