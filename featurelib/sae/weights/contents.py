"""What the files of an SAE hold, not interpreted yet: tensors by name, and a config."""

from __future__ import annotations

import lzma
import tokenize
import zipfile
import zlib
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

from featurelib.sae.pickles.values import shown
from featurelib.sae.weights.json_file import read_json
from featurelib.sae.weights.safetensors_file import read_tensors
from featurelib.sae.weights.sharded_safetensors import INDEX_SUFFIX, read_shards
from featurelib.sae.weights.wrappers import without_wrappers
from featurelib.schema import Refusal

if TYPE_CHECKING:
    import torch

    from featurelib.sae.sources.place import Place

MOST_NAMES = 8
UNZIPPING = (
    *(ValueError, OSError, EOFError, KeyError, MemoryError, OverflowError, RuntimeError),
    *(zipfile.BadZipFile, zlib.error, lzma.LZMAError, tokenize.TokenError),
)
"""What zipfile and numpy raise for an archive or a header of an array that is damaged, encrypted or oddly packed."""
MOST_INFLATED = 50
"""How many times larger than the file the arrays of an .npz may be; floats hardly compress."""


@dataclass(frozen=True, eq=False)
class Contents:
    """The tensors and the config of one SAE, as its files hold them."""

    path: Path
    """The file of the weights."""
    tensors: dict[str, torch.Tensor]
    """By name, in the stored dtype; those of nested dicts by dotted names."""
    config: dict[str, Any] = field(default_factory=dict)
    """The JSON beside the weights; empty where there is none."""
    config_path: Path | None = None
    """Where that JSON lies."""
    plain: Any = None
    """What a pickle holds besides tensors: JSON-like, usually a dict; None for other files."""
    kind: str = "safetensors"
    """safetensors, npz or pickle."""

    @property
    def config_file(self) -> str:
        """The name of the file that holds the settings: the JSON, or else the weights' own."""
        return (self.config_path or self.path).name

    def has(self, *names: str) -> bool:
        """Tell whether all these tensors are there."""
        return all(name in self.tensors for name in names)

    def under(self, prefix: str) -> Contents:
        """Return the contents below a dotted prefix, such as state_dict, with that prefix taken off."""
        dotted = f"{prefix}."
        inside = {name[len(dotted) :]: value for name, value in self.tensors.items() if name.startswith(dotted)}
        return replace(self, tensors=inside)

    def only(self, required: tuple[str, ...], optional: tuple[str, ...] = ()) -> None:
        """Refuse tensors that are missing, or that are none of `required` and `optional`."""
        missing = [name for name in required if name not in self.tensors]
        extra = [name for name in self.tensors if name not in (*required, *optional)]
        if missing or extra:
            faults = [f"lacks {', '.join(missing)}"] * bool(missing)
            faults += [f"also holds {some_names(extra)}"] * bool(extra)
            raise Refusal(
                f"{self.path.name} {' and '.join(faults)}; this format has exactly {', '.join(required)}: "
                "fetch or save the SAE again."
            )

    def floats(self, name: str, *, transposed: bool = False) -> torch.Tensor:
        """Return one tensor as float32, transposed where the format stores it so; Refusal when it holds no floats."""
        import torch

        tensor = self.tensors[name]
        if not tensor.dtype.is_floating_point:
            raise Refusal(f"{name} in {self.path.name} is stored as {tensor.dtype}; expected floats.")
        if transposed and tensor.ndim != 2:
            raise Refusal(f"{name} in {self.path.name} has shape {tuple(tensor.shape)}; expected a matrix.")
        return (tensor.T if transposed else tensor).to(torch.float32).contiguous()

    def number(self, name: str) -> float:
        """Return a tensor of one entry as a number; Refusal when it has more."""
        tensor = self.tensors[name]
        if tensor.numel() != 1:
            raise Refusal(f"{name} in {self.path.name} has shape {tuple(tensor.shape)}; expected one number.")
        return float(tensor.reshape(()))

    def says(self, config: dict[str, Any] | None = None, /, **sizes: float) -> None:
        """Refuse a config (default: the JSON) that names one of these sizes and gives another number than this."""
        config = self.config if config is None else config
        for key, size in sizes.items():
            named = config.get(key)
            if named is not None and (isinstance(named, bool) or named != size):
                raise Refusal(
                    f"{self.config_file} says {key} = {named!r} but the tensors say {size}; config and weights belong "
                    "to different SAEs: fetch both again."
                )


def some_names(names: list[str]) -> str:
    """Return the first names of tensors, which come from somebody's file, fit for a sentence."""
    more = f" and {len(names) - MOST_NAMES} more" if len(names) > MOST_NAMES else ""
    return ", ".join(map(shown, names[:MOST_NAMES])) + more


def read_contents(place: Place[Path]) -> Contents:
    """Return what weights and config hold; Refusal when a file is cut, hostile or of no known kind."""
    weights = place.weights
    config = read_json(place.config) if place.config else {}
    kind = _kind(weights)
    tensors, plain = _read(weights, kind)
    return Contents(weights, without_wrappers(weights.name, tensors), config, place.config, plain, kind)


def _read(weights: Path, kind: str) -> tuple[dict[str, torch.Tensor], Any]:
    """Return the tensors of a file, or of the shards of an index, and what else is in it."""
    if weights.name.endswith(INDEX_SUFFIX):
        return read_shards(weights), None
    if kind == "pickle":
        from featurelib.sae.weights.pickle_file import read_pickle

        pickled = read_pickle(weights)
        return pickled.tensors, pickled.plain
    return read_tensors(weights) if kind == "safetensors" else _read_npz(weights), None


def _kind(path: Path) -> str:
    """Tell by its first bytes, not by its name, what a file is; an index stands for its safetensors files."""
    if path.name.endswith(INDEX_SUFFIX):
        return "safetensors"
    with path.open("rb") as opened:
        start = opened.read(9)
    if start[:4] == b"PK\x03\x04" and zipfile.is_zipfile(path):
        names = [entry.filename for entry in _entries(path)]
        return "npz" if names and all(name.endswith(".npy") for name in names) else "pickle"
    if path.suffix == ".safetensors" or start[8:9] == b"{":
        return "safetensors"
    return "pickle"


def _entries(path: Path) -> list[zipfile.ZipInfo]:
    try:
        with zipfile.ZipFile(path) as opened:
            return opened.infolist()
    except UNZIPPING as error:
        raise Refusal(f"{path.name} is a damaged archive ({shown(error)}); fetch this SAE again.") from error


def _read_npz(path: Path) -> dict[str, torch.Tensor]:
    import numpy as np
    import torch

    entries = _entries(path)
    inflated = sum(entry.file_size for entry in entries)
    if inflated > MOST_INFLATED * path.stat().st_size:
        raise Refusal(f"{path.name} would inflate to {inflated} bytes; that is no SAE: fetch it again.")
    if len({entry.filename for entry in entries}) < len(entries):
        raise Refusal(f"{path.name} holds two arrays of one name; fetch this SAE again.")
    try:
        with np.load(path, allow_pickle=False) as archive:
            arrays = {name: archive[name] for name in archive.files}
    except UNZIPPING as error:
        raise Refusal(f"{path.name} cannot be read ({shown(error)}); fetch this SAE again.") from error
    # A member that does not begin as an array does comes back as its bytes.
    wrong = [
        name
        for name, array in arrays.items()
        if not isinstance(array, np.ndarray) or array.dtype.kind not in "fiu" or array.itemsize > 8 or not array.size
    ]
    if wrong:
        raise Refusal(f"{wrong[0]} in {path.name} holds no numbers of at most 64 bits; fetch this SAE again.")
    return {
        name: torch.from_numpy(np.ascontiguousarray(array.astype(array.dtype.newbyteorder("="))))
        for name, array in arrays.items()
    }
