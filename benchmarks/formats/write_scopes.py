"""Write files in the form of Gemma Scope and Llama Scope, and what SAELens' loaders make of them.

    python benchmarks/formats/write_scopes.py OUT                         (where `pip install sae-lens` was done)

One case folder each (see case.py). No code that writes these releases is on PyPI, so drawn weights are put under the
names that the releases have; SAELens' own loaders read them, with the download from the hub replaced by that folder.
The scale of Llama Scope's inputs is folded as SAE.from_pretrained does with the factor in SAELens' table.
"""

from __future__ import annotations

import json
import sys
from pathlib import Path
from typing import Any
from unittest import mock

import numpy as np
import torch
from case import D_IN, N_FEATURES, some_rows, write_case
from sae_lens import SAE
from sae_lens.loading import pretrained_sae_loaders as loaders
from safetensors.torch import save_file

HOOK = "blocks.8.hook_resid_post"
HYPERPARAMS = {"d_model": D_IN, "d_sae": N_FEATURES, "hook_point_in": HOOK, "hook_point_out": HOOK}
MEAN_NORM = 4.0


def drawn(seed: int) -> dict[str, np.ndarray]:
    """Return the weights of a JumpReLU SAE in canonical form, float32."""
    draw = np.random.default_rng(seed)
    shapes = {"W_enc": (D_IN, N_FEATURES), "b_enc": N_FEATURES, "W_dec": (N_FEATURES, D_IN), "b_dec": D_IN}
    weights = {name: 0.2 * draw.normal(size=shape) for name, shape in shapes.items()}
    weights["threshold"] = draw.uniform(0.2, 0.4, N_FEATURES)
    return {name: array.astype(np.float32) for name, array in weights.items()}


def linear(weights: dict[str, np.ndarray]) -> dict[str, torch.Tensor]:
    """Return the weights as two torch.nn.Linear hold them."""
    named = {"encoder.weight": weights["W_enc"].T, "encoder.bias": weights["b_enc"]}
    named |= {"decoder.weight": weights["W_dec"].T, "decoder.bias": weights["b_dec"]}
    return {name: torch.from_numpy(np.ascontiguousarray(array)) for name, array in named.items()}


def loaded(folder: Path, loader: Any, repository: str, name: str, *, scale: float | None = None) -> SAE:
    """Return what SAELens makes of the files in `folder` when they are called `name` in a repository of the hub."""

    def found(repo_id: str, filename: str, subfolder: str = "", **others: Any) -> str:
        return str(folder / Path(subfolder, filename).relative_to(name))

    def converter(cfg_overrides: dict[str, Any], **given: Any) -> Any:
        return loader(cfg_overrides=cfg_overrides | {"d_in": D_IN, "d_sae": N_FEATURES}, **given)

    with mock.patch.object(loaders, "hf_hub_download", found):
        sae = SAE.from_pretrained(repository, name, converter=converter)
    if scale:
        sae.fold_activation_norm_scaling_factor(scale)
    return sae


@torch.no_grad()
def keep(folder: Path, sae: SAE, note: str) -> None:
    """Write the case of files that lie in `folder`/sae."""
    rows = torch.from_numpy(some_rows())
    write_case(folder, rows.numpy(), sae.encode(rows).numpy(), sae(rows).numpy(), f"sae-lens: {note}, random")


def write_gemma(out: Path) -> None:
    """Write params.npz of a layer and of the token embeddings; the folder's name says which it is."""
    for seed, name in enumerate(("layer_5/width_16k/average_l0_6", "embedding/width_4k/average_l0_6")):
        folder = out / name.split("/")[0] / f"gemma_scope_{name.split('/')[0]}"
        (folder / "sae").mkdir(parents=True)
        np.savez(folder / "sae" / "params.npz", **drawn(seed))
        loader = loaders.gemma_2_sae_huggingface_loader
        keep(folder, loaded(folder / "sae", loader, "google/gemma-scope-2b-pt-res", name), f"Gemma Scope {name}")


def write_llama(out: Path) -> None:
    """Write hyperparams.json with one threshold, and the later form with the logarithm of each."""
    scale = D_IN**0.5 / MEAN_NORM
    folder, name = out / "llama_scope", "Llama3_1-8B-Base-L8R-8x"
    (folder / "sae" / "checkpoints").mkdir(parents=True)
    said = HYPERPARAMS | {"act_fn": "jumprelu", "jump_relu_threshold": 0.3, "norm_activation": "dataset-wise"}
    said |= {"dataset_average_activation_norm": {"in": MEAN_NORM, "out": MEAN_NORM}}
    (folder / "sae" / "hyperparams.json").write_text(json.dumps(said))
    save_file(linear(drawn(2)), folder / "sae" / "checkpoints" / "final.safetensors")
    loader = loaders.llama_scope_sae_huggingface_loader
    keep(folder, loaded(folder / "sae", loader, "fnlp/Llama3_1-8B-Base", name, scale=scale), "Llama Scope")

    folder, name = out / "llama_scope_later", "800M-Slimpajama-0-OpenR1-Math-220k/L8R"
    (folder / "sae").mkdir(parents=True)
    said = {key: HYPERPARAMS[key] for key in HYPERPARAMS if key != "d_sae"} | {"expansion_factor": N_FEATURES // D_IN}
    (folder / "sae" / "config.json").write_text(json.dumps(said | {"norm_activation": "dataset-wise"}))
    weights = drawn(3)
    tensors = linear(weights) | {"log_jumprelu_threshold": torch.from_numpy(np.log(weights["threshold"]))}
    tensors[f"dataset_average_activation_norm.{HOOK}"] = torch.tensor(MEAN_NORM)
    save_file(tensors, folder / "sae" / "sae_weights.safetensors")
    loader = loaders.llama_scope_r1_distill_sae_huggingface_loader
    keep(folder, loaded(folder / "sae", loader, "fnlp/Llama-Scope-R1", name, scale=scale), "Llama Scope, later form")


def main() -> None:
    """Write all cases into the folder named on the command line."""
    if len(sys.argv) != 2:
        raise SystemExit(__doc__)
    torch.set_num_threads(1)
    write_gemma(Path(sys.argv[1]))
    write_llama(Path(sys.argv[1]))


if __name__ == "__main__":
    main()
