"""Where an SAE lies: a file, a folder, a run."""

from __future__ import annotations

from pathlib import Path
from typing import NamedTuple

from featurelib.schema import Refusal

CONFIG_NAMES = ("cfg.json", "config.json", "hyperparams.json")
WEIGHT_NAMES = (
    "sae_weights.safetensors",
    "sae.safetensors",
    "final.safetensors",
    "model.safetensors",
    "ae.pt",
    "sae.pt",
    "params.npz",
)
"""The names that formats give to their weights; the first that is there counts."""
SUFFIXES = (".safetensors", ".npz", ".pt", ".pth", ".pkl", ".bin", ".gz")
BESIDE = ("sparsity.safetensors", "log_feature_sparsity", "activations_store_state", "trainer_state", "optimizer")
"""What parts of names tell that a file lies beside weights without being them."""


class Place(NamedTuple):
    """The files of one SAE."""

    weights: Path
    """The file of its tensors."""
    config: Path | None
    """The JSON that goes with it, where there is one."""


def find_place(source: str | Path) -> Place:
    """Return the files that `source` means: a file, a folder that holds one SAE, a run, or a generation of one."""
    path = Path(source).expanduser()
    if not path.exists():
        raise Refusal(
            f"there is no SAE at '{source}'; give a file, folder or run that is there, or a hub id (org/name)."
        )
    if path.is_file() and path.suffix != ".json":
        return Place(path, _config_of(path))
    weights = _weights_in(_run_folder(path if path.is_dir() else path.parent))
    return Place(weights, _config_of(weights))


def _run_folder(folder: Path) -> Path:
    """Return the folder of the SAE where `folder` is a run or a generation, else `folder`."""
    if (folder / "current").is_file():
        folder = folder / (folder / "current").read_text(encoding="utf-8").strip()
    return folder / "sae" if (folder / "sae").is_dir() and not _candidates(folder) else folder


def _weights_in(folder: Path) -> Path:
    places = [folder, *(folder / name for name in ("checkpoints", "2_SparseAutoEncoder") if (folder / name).is_dir())]
    for place in places:
        found = _candidates(place)
        named = [path for name in WEIGHT_NAMES for path in found if path.name == name]
        if named or len(found) == 1:
            return (named or found)[0]
        if found:
            several = ", ".join(path.name for path in found[:5])
            raise Refusal(f"'{folder}' holds {len(found)} files that may be SAEs ({several}); name one of them.")
    inside = sorted(path.name for path in folder.iterdir() if path.is_dir() and _candidates(path))
    mend = f"give one of its folders ({', '.join(inside[:5])})" if inside else "give a run or the folder of an SAE"
    raise Refusal(f"'{folder}' holds no weights (expected a file ending in {', '.join(SUFFIXES)}); {mend}.")


def _candidates(folder: Path) -> list[Path]:
    return sorted(
        path
        for path in folder.iterdir()
        if path.is_file() and path.suffix in SUFFIXES and not any(word in path.name for word in BESIDE)
    )


def _config_of(weights: Path) -> Path | None:
    """Return the config beside the weights, or, for weights in a folder of checkpoints, above it."""
    folders = [weights.parent] + ([weights.parent.parent] if weights.parent.name == "checkpoints" else [])
    for folder in folders:
        for name in CONFIG_NAMES:
            if (folder / name).is_file():
                return folder / name
    return None
