"""Write SAEs with HypotheSAEs' own code, random and trained, and what it makes of some embeddings.

    python benchmarks/formats/write_hypothesaes.py OUT EMBEDDINGS.npy    (where `pip install hypothesaes` was done)

One case folder each (see case.py).
"""

from __future__ import annotations

import sys
from pathlib import Path

import numpy as np
import torch
from case import D_IN, N_FEATURES, some_rows, write_case
from hypothesaes.sae import SparseAutoencoder, get_sae_checkpoint_name, load_model

RANDOM = {
    "topk": {},
    "topk_most": {"k_active_neurons": 70},
    "topk_matryoshka": {"prefix_lengths": [16, N_FEATURES]},
    "topk_options": {"aux_k": 3, "multi_k": 20, "dead_neuron_threshold_steps": 9},
    "batchtopk": {"use_batch_topk": True},
    "batchtopk_matryoshka": {"use_batch_topk": True, "prefix_lengths": [16, N_FEATURES]},
}
K, THRESHOLD = 8, 0.8
EPOCHS = 25


def random_sae(settings: dict, seed: int) -> SparseAutoencoder:
    """An SAE as its class starts it, its biases and, for BatchTopK, its threshold set."""
    torch.manual_seed(seed)
    sae = SparseAutoencoder(D_IN, N_FEATURES, **{"k_active_neurons": K} | settings)
    torch.nn.init.normal_(sae.input_bias, std=0.3)
    torch.nn.init.normal_(sae.neuron_bias, std=0.3)
    sae.threshold.fill_(THRESHOLD if sae.use_batch_topk else 0.0)
    return sae


def trained_sae(rows: torch.Tensor, settings: dict) -> SparseAutoencoder:
    """An SAE trained on rows [n, d] by the library's own fit."""
    torch.manual_seed(1)
    sae = SparseAutoencoder(rows.shape[1], 512, 16, **settings)
    sae.fit(rows, n_epochs=EPOCHS, show_progress=False)
    return sae


@torch.no_grad()
def keep(sae: SparseAutoencoder, folder: Path, x: np.ndarray, note: str, threshold: float | None = None) -> None:
    """Write the SAE, and what it makes of x; with `threshold` in place of the one it saved."""
    file = get_sae_checkpoint_name(sae.m_total_neurons, sae.k_active_neurons, sae.prefix_lengths)
    sae.save(str(folder / "sae" / file))
    sae = load_model(str(folder / "sae" / file))
    sae.eval()
    asked = {} if threshold is None else {"threshold": threshold}
    if asked:
        sae.threshold.fill_(threshold)
    activations = sae.get_activations(x, show_progress=False)
    output, _ = sae(torch.from_numpy(x))
    write_case(folder, x, activations, output.numpy(), f"hypothesaes: SparseAutoencoder {note}", **asked)


def main() -> None:
    """Write all cases into the folder named on the command line."""
    if len(sys.argv) != 3:
        raise SystemExit(__doc__)
    out, rows = Path(sys.argv[1]), np.load(sys.argv[2]).astype(np.float32)
    torch.set_num_threads(1)
    for seed, (name, settings) in enumerate(RANDOM.items()):
        keep(random_sae(settings, seed), out / f"hypothesaes_{name}", some_rows(), f"{settings}, random")
    unlearned = random_sae(RANDOM["batchtopk"], 9)
    unlearned.threshold.zero_()
    note = "use_batch_topk, random, saved before it learned a threshold"
    keep(unlearned, out / "hypothesaes_batchtopk_unlearned", some_rows(), note, THRESHOLD)
    for name in ("topk", "topk_matryoshka", "batchtopk"):
        settings = RANDOM[name] if "matryoshka" not in name else {"prefix_lengths": [64, 512]}
        sae = trained_sae(torch.from_numpy(rows), settings)
        note = f"{settings}, trained {EPOCHS} epochs by its fit"
        keep(sae, out / f"hypothesaes_trained_{name}", rows[:500], note)


if __name__ == "__main__":
    main()
