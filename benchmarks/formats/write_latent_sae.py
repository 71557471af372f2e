"""Write SAEs with latent-sae's own code, random and trained, and what it makes of some embeddings.

    python benchmarks/formats/write_latent_sae.py OUT EMBEDDINGS.npy     (where `pip install latentsae` was done)

One case folder each (see case.py), of the types that one encoder and one gate can express; our reader refuses the
others. Its trainer wants worker processes and a log, so the trained ones are its Sae and loss in a plain loop.
"""

from __future__ import annotations

import sys
from pathlib import Path

import numpy as np
import torch
from case import D_IN, N_FEATURES, some_rows, write_case
from latentsae.sae import Sae
from latentsae.utils.config import SaeConfig, SaeType

LEVELS = {"matryoshka_sizes": f"24,{N_FEATURES}", "matryoshka_ks": "4,9"}
RANDOM = {
    "topk": {},
    "topk_most": {"k": 70},
    "topk_centred": {"mean_center": True},
    "topk_skip": {"use_skip": True},
    "topk_low_rank_skip_centred": {"use_skip": True, "skip_rank": 5, "mean_center": True},
    "jumprelu": {"sae_type": SaeType.JUMPRELU},
    "jumprelu_capped": {"sae_type": SaeType.JUMPRELU, "jumprelu_max_active": 6},
    "batchtopk": {"sae_type": SaeType.BATCHTOPK, "k": 12},
    "batchtopk_unlearned_centred": {"sae_type": SaeType.BATCHTOPK, "mean_center": True},
    "matryoshka": {"sae_type": SaeType.MATRYOSHKA} | LEVELS,
    "matryoshka_batchtopk": {"sae_type": SaeType.MATRYOSHKA, "matryoshka_use_batchtopk": True} | LEVELS,
}
STEPS, BATCH = 400, 512


def random_sae(name: str, seed: int) -> Sae:
    """An SAE as its class starts it, what it starts at zero drawn instead, and the thresholds set."""
    torch.manual_seed(seed)
    sae = Sae(D_IN, SaeConfig(**{"num_latents": N_FEATURES, "k": 8} | RANDOM[name]))
    for tensor in (*sae.parameters(), *sae.buffers()):
        if not tensor.any():
            torch.nn.init.normal_(tensor, std=0.2)
    if sae.cfg.sae_type == SaeType.JUMPRELU:
        torch.nn.init.uniform_(sae.log_threshold, -1.0, 0.5)
    if hasattr(sae, "batchtopk_threshold"):
        sae.batchtopk_threshold.fill_(0.0 if "unlearned" in name else 0.9)
    return sae


def trained_sae(rows: torch.Tensor, settings: dict) -> Sae:
    """An SAE trained on rows [n, d] with the library's loss, unit norms and projected gradient."""
    torch.manual_seed(1)
    sae = Sae(rows.shape[1], SaeConfig(num_latents=1024, k=32, **settings))
    if settings.get("mean_center"):
        sae.input_mean.copy_(rows.mean(0))
    else:
        sae.b_dec.data = rows.mean(0)
    optimizer = torch.optim.Adam(sae.parameters(), lr=1e-3)
    sae.train()
    for _ in range(STEPS):
        out = sae(rows[torch.randint(len(rows), (BATCH,))])
        (out.fvu + out.auxk_loss).backward()
        sae.remove_gradient_parallel_to_decoder_directions()
        optimizer.step()
        optimizer.zero_grad()
        sae.set_decoder_norm_to_unit_norm()
    print(f"trained {settings}: FVU {out.fvu.item():.3f}")
    return sae.eval()


@torch.no_grad()
def keep(sae: Sae, folder: Path, x: np.ndarray, note: str) -> None:
    """Write the SAE and what it makes of x."""
    sae.save_to_disk(folder / "sae")
    sae = Sae.load_from_disk(folder / "sae").eval()
    rows = torch.from_numpy(x)
    encoded = sae.encode(rows)
    dense = torch.zeros(len(rows), sae.num_latents).scatter_(1, encoded.top_indices, encoded.top_acts)
    output = sae.decode(encoded.top_acts, encoded.top_indices) + sae._skip(sae._center(rows))
    write_case(folder, x, dense.numpy(), output.numpy(), f"latentsae: Sae {note}")


def main() -> None:
    """Write all cases into the folder named on the command line."""
    if len(sys.argv) != 3:
        raise SystemExit(__doc__)
    out, rows = Path(sys.argv[1]), np.load(sys.argv[2]).astype(np.float32)
    torch.set_num_threads(1)
    for seed, name in enumerate(RANDOM):
        keep(random_sae(name, seed), out / f"latent_sae_{name}", some_rows(), f"{name}, random")
    for kind in ("topk", "batchtopk", "jumprelu"):
        settings = {"sae_type": SaeType(kind), "mean_center": kind == "batchtopk"}
        if kind == "batchtopk":
            settings["batchtopk_threshold_beta"] = 0.98  # learned within the few steps here
        sae = trained_sae(torch.from_numpy(rows), settings)
        keep(sae, out / f"latent_sae_trained_{kind}", rows[:500], f"{kind}, trained {STEPS} steps")


if __name__ == "__main__":
    main()
