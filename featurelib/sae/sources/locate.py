"""Which of many files are an SAE: the same rules for a folder here, a repository on the hub and a W&B artifact."""

from __future__ import annotations

import re
from collections.abc import Iterable
from pathlib import Path, PurePath, PurePosixPath
from typing import Protocol

from featurelib.sae.sources.place import P, Place
from featurelib.sae.weights.sharded_safetensors import INDEX_SUFFIX, shard_pattern
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
SHARD = re.compile(r".+-\d{1,6}-of-\d{1,6}\.(safetensors|bin)", re.ASCII)
"""A file that holds a part of the tensors."""
DENSITIES = ("sparsity.safetensors", "_log_feature_sparsity.pt")
"""The densities of the features: SAELens' file beside the weights, and how its predecessor's file ends."""
BESIDE = ("sparsity.safetensors", "log_feature_sparsity", "activations_store_state", "trainer_state", "optimizer")
"""A file whose name contains one of these lies beside the weights and is not the weights."""
MODULE_SUFFIX = "_SparseAutoEncoder"
"""How sentence-transformers ends the name of an SAE's folder, beside the weights of the embedder before it."""
MOST_BYTES = 20 << 30
"""More than this is not fetched; float32 weights of 8 million features of dimension 384 are as large."""
SAFE = re.compile(r'(?!/)(?!.*(?:^|/)\.{1,2}(?:/|$))[^\\\x00-\x1f:*?"<>|]+')
"""Names of files that stay in their folder, on every system."""


class Listing(Protocol):
    """What lies in folders, here or elsewhere."""

    def files(self, folder: PurePath) -> list[str]:
        """Return the names of the files in a folder, in order."""

    def folders(self, folder: PurePath) -> list[str]:
        """Return the names of the folders in a folder, in order."""


class Disk:
    """Folders on this machine."""

    def files(self, folder: PurePath) -> list[str]:
        """Return the names of the files in a folder, in order."""
        return sorted(path.name for path in Path(folder).iterdir() if path.is_file())

    def folders(self, folder: PurePath) -> list[str]:
        """Return the names of the folders in a folder, in order."""
        return sorted(path.name for path in Path(folder).iterdir() if path.is_dir())


class Names:
    """Folders elsewhere, of which the names of all files are known; names that would leave their folder are not."""

    def __init__(self, names: Iterable[str]) -> None:
        self._paths = [PurePosixPath(name) for name in names if SAFE.fullmatch(name)]

    def files(self, folder: PurePath) -> list[str]:
        """Return the names of the files in a folder, in order."""
        return sorted(path.name for path in self._paths if path.parent == folder)

    def folders(self, folder: PurePath) -> list[str]:
        """Return the names of the folders in a folder, in order."""
        below = [path.relative_to(folder).parts for path in self._paths if path.is_relative_to(folder)]
        return sorted({parts[0] for parts in below if len(parts) > 1})


def choose(listing: Listing, folder: P, called: str | None = None) -> Place[P]:
    """Return the SAE in a folder, which people know as `called`; Refusal when it holds none, or several."""
    called = called or str(folder)
    folders = _likely_folders(listing, folder)
    for likely in folders:
        names = candidates(listing, likely)
        usual = [name for name in WEIGHT_NAMES if name in names]
        if usual or len(names) == 1:
            return complete_place(listing, likely / (usual or names)[0])
        _refuse_shards(called, names)
        if names:
            raise Refusal(
                f"'{called}' holds {len(names)} files that may be SAEs ({', '.join(names[:5])}); name one of them."
            )
    inside = [
        (likely / name).relative_to(folder).as_posix()
        for likely in folders
        for name in listing.folders(likely)
        if candidates(listing, likely / name)
    ]
    mend = f"give one of its folders ({', '.join(inside[:5])})" if inside else "give a run or the folder of an SAE"
    raise Refusal(f"'{called}' holds no weights (expected a file ending in {', '.join(SUFFIXES)}); {mend}.")


def _refuse_shards(called: str, names: list[str]) -> None:
    """Refuse shards that no index of safetensors names."""
    shards = [name for name in names if SHARD.fullmatch(name)]
    if not shards:
        return
    if shards[0].endswith(".safetensors"):
        index = shards[0].rpartition("-of-")[0].rpartition("-")[0] + INDEX_SUFFIX
        mend = f"their index {index}, which says what lies where, is not: fetch it too"
    else:
        mend = "only those of safetensors are read: save the SAE in one file, or with safe_serialization=True"
    raise Refusal(f"of '{called}' the shards are there ({', '.join(shards[:5])}), but {mend}.")


def complete_place(listing: Listing, weights: P) -> Place[P]:
    """Return a file of weights with what belongs to it: its config, its densities, the shards of an index.

    A shard that an index beside it may name stands for all of them.
    """
    names = listing.files(weights.parent)
    index = next((name for name in names if _is_of(name, weights.name)), weights.name)
    weights = weights.parent / index
    shards = tuple(weights.parent / name for name in names if _is_of(index, name))
    stem = weights.name.removesuffix(INDEX_SUFFIX)
    while stem.endswith(SUFFIXES):
        stem = stem.rpartition(".")[0]
    wanted = (DENSITIES[0], stem + DENSITIES[1])
    densities = tuple(weights.parent / name for name in names if name in wanted)
    return Place(weights, config_of(listing, weights), densities, shards)


def _is_of(index: str, name: str) -> bool:
    """Whether `index` is an index and `name` one of its shards."""
    return index.endswith(INDEX_SUFFIX) and shard_pattern(index).fullmatch(name) is not None


def check_size(called: str, n_bytes: int) -> None:
    """Refuse to fetch more than MOST_BYTES."""
    if n_bytes > MOST_BYTES:
        raise Refusal(
            f"the SAE {called} has {n_bytes / 2**30:.1f} GiB; at most {MOST_BYTES >> 30} are fetched: "
            "download it yourself and give its folder."
        )


def _likely_folders(listing: Listing, folder: P) -> list[P]:
    """Return the folders at and below `folder` in which weights may lie, the likeliest first."""
    below = listing.folders(folder)
    modules = [folder / name for name in below if name.endswith(MODULE_SUFFIX)]
    return [*modules, folder, *(folder / name for name in below if name == "checkpoints")]


def candidates(listing: Listing, folder: PurePath) -> list[str]:
    """Return the names of the files in a folder that may be weights; an index stands for its shards."""
    names = listing.files(folder)
    indexes = [name for name in names if name.endswith(INDEX_SUFFIX)]
    return [
        name
        for name in names
        if name.endswith((*SUFFIXES, INDEX_SUFFIX))
        and not any(word in name for word in BESIDE)
        and not any(_is_of(index, name) for index in indexes)
    ]


def config_of(listing: Listing, weights: P) -> P | None:
    """Return the config beside the weights, or, for weights in a folder of checkpoints, above it."""
    folders = [weights.parent] + ([weights.parent.parent] if weights.parent.name == "checkpoints" else [])
    for folder in folders:
        names = listing.files(folder)
        for name in CONFIG_NAMES:
            if name in names:
                return folder / name
    return None
