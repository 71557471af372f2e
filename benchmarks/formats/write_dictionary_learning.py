"""Write SAEs with dictionary_learning's own code, random and trained, and what it makes of some embeddings.

    python benchmarks/formats/write_dictionary_learning.py OUT EMBEDDINGS.npy
                                                              (where `pip install dictionary-learning` was done)

One case folder each (see case.py): every class of its utils.load_dictionary with drawn weights, and what trainSAE of
its trainers leaves on disk. Activations are those of the SAE that load_dictionary returns. Backups of trainings that
stopped early, which the repository's trainSAE writes and the package's not yet, have that function's form around the
package's own unscaled state; there the SAE that is compared with is the same one after scale_biases.
"""

from __future__ import annotations

import json
import shutil
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import torch
from case import D_IN, N_FEATURES, some_rows, write_case
from dictionary_learning.dictionary import AutoEncoder, AutoEncoderNew, GatedAutoEncoder, JumpReluAutoEncoder
from dictionary_learning.trainers.batch_top_k import BatchTopKSAE, BatchTopKTrainer
from dictionary_learning.trainers.gdm import GatedSAETrainer
from dictionary_learning.trainers.jumprelu import JumpReluTrainer
from dictionary_learning.trainers.matryoshka_batch_top_k import MatryoshkaBatchTopKSAE, MatryoshkaBatchTopKTrainer
from dictionary_learning.trainers.standard import StandardTrainer
from dictionary_learning.trainers.top_k import AutoEncoderTopK, TopKTrainer
from dictionary_learning.training import trainSAE
from dictionary_learning.utils import load_dictionary

CHOOSING = {"k": 8}
RANDOM = {
    "AutoEncoder": (AutoEncoder, {}),
    "AutoEncoderNew": (AutoEncoderNew, {}),
    "GatedAutoEncoder": (GatedAutoEncoder, {}),
    "JumpReluAutoEncoder": (JumpReluAutoEncoder, {}),
    "AutoEncoderTopK": (AutoEncoderTopK, CHOOSING),
    "BatchTopKSAE": (BatchTopKSAE, CHOOSING),
    "MatryoshkaBatchTopKSAE": (MatryoshkaBatchTopKSAE, CHOOSING | {"group_sizes": [24, 72]}),
}
STEPS, BATCH = 200, 512
EARLY = {"threshold_start_step": 100, "threshold_beta": 0.9, "warmup_steps": 20}
TRAINED = {
    "standard": (StandardTrainer, {"l1_penalty": 0.05, "warmup_steps": 20, "sparsity_warmup_steps": 50}),
    "gated": (GatedSAETrainer, {"l1_penalty": 0.05, "lr": 1e-3, "warmup_steps": 20, "sparsity_warmup_steps": 50}),
    "jumprelu": (JumpReluTrainer, {"lr": 1e-3, "warmup_steps": 20, "sparsity_warmup_steps": 50}),
    "topk": (TopKTrainer, {"k": 16} | EARLY),
    "batchtopk": (BatchTopKTrainer, {"k": 16} | EARLY),
    "batchtopk_too_short": (BatchTopKTrainer, {"k": 16, "warmup_steps": 20}),
    "matryoshka": (MatryoshkaBatchTopKTrainer, {"k": 16, "group_fractions": [0.25, 0.75]} | EARLY),
}
GIVEN_THRESHOLD = 0.3
"""For the training that ends before its threshold is first estimated."""


@torch.no_grad()
def draw(dictionary: Any, seed: int) -> None:
    """Give every parameter values that no other parameter has; thresholds are above 0."""
    source = torch.Generator().manual_seed(seed)
    for name, parameter in dictionary.named_parameters():
        drawn = torch.randn(parameter.shape, generator=source)
        parameter.copy_(0.3 + 0.05 * drawn if name == "threshold" else 0.2 * drawn)
    if "threshold" in dict(dictionary.named_buffers()):
        dictionary.threshold.fill_(0.7)


@torch.no_grad()
def keep(folder: Path, x: np.ndarray, dictionary: Any, note: str, **asked: Any) -> None:
    """Write the case of files that lie in `folder`/sae and of which `dictionary` is the library's own reading."""
    rows = torch.from_numpy(x)
    note = f"dictionary-learning: {type(dictionary).__name__}, {note}"
    write_case(folder, x, dictionary.encode(rows).numpy(), dictionary(rows).numpy(), note, **asked)


def write_random(out: Path) -> None:
    """Write each class with drawn weights, as trainSAE saves it."""
    for seed, (name, (made, settings)) in enumerate(RANDOM.items()):
        dictionary = made(D_IN, N_FEATURES, **settings)
        draw(dictionary, seed)
        folder = out / f"dictionary_learning_{name}"
        (folder / "sae").mkdir(parents=True)
        torch.save({key: value.cpu() for key, value in dictionary.state_dict().items()}, folder / "sae" / "ae.pt")
        trainer = {"dict_class": name, "activation_dim": D_IN, "dict_size": N_FEATURES} | settings
        (folder / "sae" / "config.json").write_text(json.dumps({"trainer": trainer, "buffer": {}}))
        keep(folder, some_rows(), load_dictionary(folder / "sae", "cpu")[0], "random")


def batches(rows: np.ndarray, seed: int) -> Iterator[torch.Tensor]:
    """Yield batches of the rows for ever, in an order of their own each time."""
    source = np.random.default_rng(seed)
    while True:
        order = source.permutation(len(rows))
        for start in range(0, len(rows) - BATCH + 1, BATCH):
            yield torch.from_numpy(rows[order[start : start + BATCH]])


def train(folder: Path, rows: np.ndarray, trainer: type, settings: dict[str, Any], normalised: bool) -> Any:
    """Run trainSAE into `folder`/sae and return its trainer."""
    made = []

    def make(**given: Any) -> Any:
        made.append(trainer(**given))
        return made[0]

    config = {"trainer": make, "steps": STEPS, "activation_dim": rows.shape[1], "dict_size": 1024, "layer": 0}
    config |= {"lm_name": "embeddings", "seed": 3, "device": "cpu"} | settings
    trained = folder.with_name(f"{folder.name}_trained")
    trainSAE(batches(rows, 0), [config], STEPS, save_dir=trained, normalize_activations=normalised, device="cpu")
    folder.mkdir(parents=True)
    shutil.move(trained / "trainer_0", folder / "sae")
    trained.rmdir()
    return made[0]


def write_trained(out: Path, rows: np.ndarray) -> None:
    """Write what trainSAE leaves, with and without its normalize_activations."""
    for name, (trainer, settings) in TRAINED.items():
        for normalised in (False, True):
            if normalised and name in ("standard", "batchtopk_too_short"):
                continue
            folder = out / f"dictionary_learning_trained_{name}{'_normalised' if normalised else ''}"
            scaled = 3 * rows if normalised else rows
            train(folder, scaled, trainer, settings, normalised)
            dictionary = load_dictionary(folder / "sae", "cpu")[0]
            asked = {}
            if name == "batchtopk_too_short":
                asked = {"threshold": GIVEN_THRESHOLD}
                dictionary.threshold.fill_(GIVEN_THRESHOLD)
            keep(folder, scaled[:500], dictionary, f"normalised {normalised}, trained {STEPS} steps", **asked)


def write_backups(out: Path, rows: np.ndarray) -> None:
    """Write backups of trainings on normalised activations."""
    for name in ("gated", "jumprelu", "topk", "batchtopk", "matryoshka"):
        folder = out / f"dictionary_learning_backup_{name}"
        trainer = train(folder, 3 * rows, *TRAINED[name], normalised=True)
        factor = trainer.config.get("norm_factor") or measured(3 * rows)
        trainer.ae.scale_biases(1 / factor)
        backup = {"step": STEPS // 2, "ae": trainer.ae.state_dict(), "optimizer": trainer.optimizer.state_dict()}
        torch.save(backup | {"config": trainer.config, "norm_factor": factor}, folder / "sae" / "ae.pt")
        trainer.ae.scale_biases(factor)
        keep(folder, 3 * rows[:500], trainer.ae, f"backup, norm_factor {factor:.6g}, trained {STEPS} steps")


def measured(rows: np.ndarray) -> float:
    """Return the library's norm factor of rows: config is made anew at each look, so what trainSAE puts in is lost."""
    return float(np.sqrt((rows.astype(np.float64) ** 2).sum(1).mean()))


def main() -> None:
    """Write all cases into the folder named on the command line."""
    if len(sys.argv) != 3:
        raise SystemExit(__doc__)
    out, rows = Path(sys.argv[1]), np.load(sys.argv[2]).astype(np.float32)
    torch.set_num_threads(1)
    write_random(out)
    write_trained(out, rows)
    write_backups(out, rows)


if __name__ == "__main__":
    main()
