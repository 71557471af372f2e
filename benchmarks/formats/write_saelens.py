"""Write SAEs with SAELens' own code, random and trained, and what it makes of some embeddings.

    python benchmarks/formats/write_saelens.py OUT EMBEDDINGS.npy        (where `pip install sae-lens` was done)

One case folder each (see case.py). Checkpoints of BatchTopK in the middle of a training are what its trainer writes; as
SAELens has no inference for them, the activations are those of the same SAE exported with save_inference_model at that
moment. Files of version 5 are its own weights under a cfg.json of that version, read by its own loader.
"""

from __future__ import annotations

import json
import shutil
import sys
import tempfile
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import torch
from case import D_IN, N_FEATURES, some_rows, write_case
from sae_lens import SAE
from sae_lens.config import SAETrainerConfig
from sae_lens.registry import get_sae_class, get_sae_training_class
from sae_lens.training.sae_trainer import SAETrainer

RANDOM = {
    "standard": ("standard", {}),
    "standard_keeping_b_dec": ("standard", {"apply_b_dec_to_input": False}),
    "standard_layer_norm": ("standard", {"normalize_activations": "layer_norm"}),
    "standard_constant_norm": ("standard", {"normalize_activations": "constant_norm_rescale"}),
    "standard_square": ("standard", {"d_sae": D_IN}),
    "topk": ("topk", {"k": 8}),
    "topk_rescaled": ("topk", {"k": 8, "rescale_acts_by_decoder_norm": True}),
    "topk_most": ("topk", {"k": 80}),
    "jumprelu": ("jumprelu", {}),
    "jumprelu_layer_norm": ("jumprelu", {"normalize_activations": "layer_norm", "apply_b_dec_to_input": False}),
    "gated": ("gated", {}),
}
"""The architectures that SAELens has an inference class for, with settings."""
TRAINED = {
    "standard": {"l1_coefficient": 0.5},
    "topk": {"k": 16},
    "jumprelu": {"jumprelu_init_threshold": 0.001, "l0_coefficient": 0.0003},
    "gated": {"l1_coefficient": 0.5},
    "batchtopk": {"k": 16},
    "matryoshka_batchtopk": {"k": 16, "matryoshka_widths": [64, 256, 1024]},
}
BATCH_TOPK = {"batchtopk": {}, "matryoshka_batchtopk": {"matryoshka_widths": [24, N_FEATURES]}}
OLD_NAMES = {"standard": "relu", "jumprelu": "relu", "gated": "relu", "topk": "topk"}
STEPS, BATCH = 200, 512


@torch.no_grad()
def draw(sae: torch.nn.Module, seed: int) -> None:
    """Give every parameter values that no other parameter has; thresholds are above 0."""
    source = torch.Generator().manual_seed(seed)
    for name, parameter in sae.named_parameters():
        drawn = torch.randn(parameter.shape, generator=source)
        parameter.copy_(0.3 + 0.05 * drawn if name == "threshold" else 0.2 * drawn)


@torch.no_grad()
def keep(folder: Path, x: np.ndarray, inference: SAE, note: str) -> None:
    """Write the case of files that lie in `folder`/sae and of which `inference` is SAELens' own reading."""
    rows = torch.from_numpy(x)
    write_case(folder, x, inference.encode(rows).numpy(), inference(rows).numpy(), f"sae-lens: {note}")


def exported(sae: Any) -> SAE:
    """Return what SAELens loads of its own export of an SAE in training."""
    with tempfile.TemporaryDirectory() as folder:
        sae.save_inference_model(folder)
        return SAE.load_from_disk(folder)


def write_random(out: Path) -> None:
    """Write inference classes with drawn weights."""
    for seed, (name, (architecture, settings)) in enumerate(RANDOM.items()):
        made, config = get_sae_class(architecture)
        sae = made(config(**{"d_in": D_IN, "d_sae": N_FEATURES} | settings))
        draw(sae, seed)
        folder = out / f"saelens_{name}"
        sae.save_model(folder / "sae")
        keep(folder, some_rows(), SAE.load_from_disk(folder / "sae"), f"{architecture} {settings}, random")


def write_old(out: Path) -> None:
    """Write the same weights with a config as version 5 wrote it."""
    for architecture, activation in OLD_NAMES.items():
        folder = out / f"saelens_v5_{architecture}"
        shutil.copytree(out / f"saelens_{architecture}" / "sae", folder / "sae")
        path = folder / "sae" / "cfg.json"
        new = json.loads(path.read_text())
        old = {key: new[key] for key in ("d_in", "d_sae", "dtype", "device", "apply_b_dec_to_input")}
        old |= {"architecture": architecture if activation == "relu" else "standard", "activation_fn_str": activation}
        old |= {"activation_fn_kwargs": {"k": new["k"]} if "k" in new else {}, "finetuning_scaling_factor": False}
        old |= {"model_name": "gpt2-small", "hook_name": "blocks.8.hook_resid_pre", "hook_layer": 8}
        old |= {"normalize_activations": False, "prepend_bos": True, "context_size": 128, "dataset_path": "none"}
        old |= {"sae_lens_training_version": "5.10.2", "hook_head_index": None}
        path.write_text(json.dumps(old))
        keep(folder, some_rows(), SAE.load_from_disk(folder / "sae"), f"{architecture}, config of version 5, random")


def write_batch_topk(out: Path) -> None:
    """Write BatchTopK and Matryoshka with drawn weights: in the middle of a training, and exported."""
    for seed, (architecture, settings) in enumerate(BATCH_TOPK.items()):
        for rescaled in (True, False):
            made, config = get_sae_training_class(architecture)
            given = {"d_in": D_IN, "d_sae": N_FEATURES, "k": 8.0, "rescale_acts_by_decoder_norm": rescaled}
            sae = made(config(**given | settings))
            draw(sae, 20 + seed)
            sae.topk_threshold.fill_(0.7)
            name = f"{architecture}{'_rescaled' if rescaled else ''}"
            for way, save in {"training": sae.save_model, "export": sae.save_inference_model}.items():
                folder = out / f"saelens_{name}_{way}"
                save(folder / "sae")
                keep(folder, some_rows(), exported(sae), f"{architecture} {way}, rescaled {rescaled}, random")


def batches(rows: np.ndarray, seed: int) -> Iterator[torch.Tensor]:
    """Yield batches of the rows for ever, in an order of their own each time."""
    source = np.random.default_rng(seed)
    while True:
        order = source.permutation(len(rows))
        for start in range(0, len(rows) - BATCH + 1, BATCH):
            yield torch.from_numpy(rows[order[start : start + BATCH]])


def trainer_of(rows: np.ndarray, architecture: str, settings: dict[str, Any]) -> SAETrainer:
    """Return SAELens' own trainer with an SAE of 1,024 features for rows [n, d]."""
    torch.manual_seed(7)
    made, config = get_sae_training_class(architecture)
    sae = made(config(**{"d_in": rows.shape[1], "d_sae": 1024} | settings))
    given = {"total_training_samples": STEPS * BATCH, "train_batch_size_samples": BATCH, "lr": 1e-3}
    given |= {"lr_end": 1e-4, "n_batches_for_norm_estimate": 10, "dead_feature_window": 50}
    return SAETrainer(SAETrainerConfig(**given), sae, batches(rows, 0))


def write_trained(out: Path, rows: np.ndarray) -> None:
    """Train each architecture with SAELens' trainer and write its export and its last checkpoint."""
    for architecture, settings in TRAINED.items():
        trainer = trainer_of(rows, architecture, settings)
        sae = trainer.fit()
        for way in ("export", "checkpoint"):
            folder = out / f"saelens_trained_{architecture}_{way}"
            if way == "export":
                sae.save_inference_model(folder / "sae")
            else:
                trainer.save_checkpoint("sae", base_path=folder)
            keep(folder, rows[:500], exported(sae), f"{architecture} {settings}, {way}, trained {STEPS} steps")


def write_scaled(out: Path, rows: np.ndarray) -> None:
    """Write checkpoints whose scale of the inputs still lies apart, in activation_scaler.json."""
    for architecture in ("topk", "batchtopk", "jumprelu"):
        settings = TRAINED[architecture] | {"normalize_activations": "expected_average_only_in"}
        trainer = trainer_of(rows, architecture, settings)
        trainer.activation_scaler.estimate_scaling_factor(rows.shape[1], trainer.data_provider, 10)
        for _ in range(STEPS // 3):
            trainer.step(next(trainer.data_provider))
            trainer.n_training_steps += 1
        folder = out / f"saelens_trained_{architecture}_scale_apart"
        trainer.save_checkpoint("sae", base_path=folder)
        trainer.sae.fold_activation_norm_scaling_factor(trainer.activation_scaler.scaling_factor)
        keep(folder, rows[:500], exported(trainer.sae), f"{architecture}, scale apart, trained {STEPS // 3} steps")


def main() -> None:
    """Write all cases into the folder named on the command line."""
    if len(sys.argv) != 3:
        raise SystemExit(__doc__)
    out, rows = Path(sys.argv[1]), np.load(sys.argv[2]).astype(np.float32)
    torch.set_num_threads(1)
    write_random(out)
    write_old(out)
    write_batch_topk(out)
    write_trained(out, rows)
    write_scaled(out, rows)


if __name__ == "__main__":
    main()
