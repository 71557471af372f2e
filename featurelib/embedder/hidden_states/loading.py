"""A transformers model and its tokenizer, loaded: the one door to transformers.

Before anything is loaded, its size is compared with the free memory. A GGUF file is converted once, into a cache of
safetensors, because reading it takes a hundred times as long.
"""

from __future__ import annotations

import json
import os
import struct
from functools import partial
from pathlib import Path
from typing import Any, NamedTuple

from featurelib.embedder.lookup import EmbedderFiles
from featurelib.schema import Refusal
from featurelib.storage import files
from featurelib.storage.converted import converted

DTYPES = ("float32", "bfloat16", "float16")
NO_GGUF = "a GGUF file is read with two more packages; pip install gguf accelerate."
FAILURES = (OSError, ValueError, KeyError, TypeError, AttributeError, ImportError, RuntimeError)
"""What transformers raises for a folder whose files do not fit each other, or whose model it does not know."""
BYTES_OF = {"F64": 8, "F32": 4, "BF16": 2, "F16": 2, "I64": 8}


class LoadedModel(NamedTuple):
    """A transformers model, and what turns text into its tokens."""

    model: Any
    """The torch module, in eval mode."""
    tokenizer: Any
    """A fast tokenizer, which tells where in a text its tokens stand."""
    name: str
    """What people call it."""
    device: str
    """cpu or cuda."""
    dtype: str
    """The numbers it computes with."""

    @property
    def dimension(self) -> int:
        """The length of a hidden state."""
        return int(self.model.config.get_text_config().hidden_size)

    @property
    def is_causal(self) -> bool:
        """Whether a token sees only those before it: a model that continues texts."""
        config = self.model.config.get_text_config()
        names = " ".join(config.architectures or [type(self.model).__name__])
        return "CausalLM" in names or "LMHead" in names or getattr(config, "is_decoder", False)


def load_model(
    model_files: EmbedderFiles, *, device: str, dtype: str | None = None, with_head: bool = False
) -> LoadedModel:
    """Load a model; `with_head` with what predicts the next token. dtype None is float32 on a cpu, else bfloat16.

    Raises Refusal when it does not fit into the free memory, needs code of its own, or has no fast tokenizer.
    """
    import torch
    import transformers
    from transformers.utils import logging

    logging.disable_progress_bar()  # type: ignore[no-untyped-call]
    # it would list the head's weights as unexpected where only the states are read
    logging.set_verbosity_error()  # type: ignore[no-untyped-call]
    name, folder = model_files.name, model_files.folder
    if folder is None:
        raise Refusal(f"the embedder {name} has no hidden states; give a transformers model, or leave --layer out.")
    if folder.suffix == ".gguf":
        folder = converted(f"gguf-{model_files.weights_sha256[:32]}", partial(_convert, folder))
    dtype = dtype or ("float32" if device == "cpu" else "bfloat16")
    _check_memory(name, folder, dtype, device)
    kind = transformers.AutoModelForCausalLM if with_head else transformers.AutoModel
    try:
        tokenizer = transformers.AutoTokenizer.from_pretrained(folder, trust_remote_code=False, local_files_only=True)
        model = kind.from_pretrained(
            folder,
            dtype=getattr(torch, dtype),
            trust_remote_code=False,
            local_files_only=True,
            use_safetensors=True,
        )
    except FAILURES as error:
        raise _not_loaded(name, folder, error) from error
    if not getattr(tokenizer, "is_fast", False):
        raise Refusal(
            f"the tokenizer of {name} does not tell where its tokens stand in a text; give a model with tokenizer.json."
        )
    return LoadedModel(model.eval().requires_grad_(False).to(device), tokenizer, name, device, dtype)


def _not_loaded(name: str, folder: Path, error: Exception) -> Refusal:
    reason = " ".join(str(error).split()).replace(str(folder), name)[:160]
    return Refusal(
        f"the model {name} cannot be loaded ({type(error).__name__}: {reason}); give a model that transformers loads "
        "without code of its own."
    )


def _check_memory(name: str, folder: Path, dtype: str, device: str) -> None:
    """Refuse a model that is larger than what is free."""
    needed = sum(map(_n_numbers, _weight_files(folder))) * (4 if dtype == "float32" else 2)
    free = _free_memory() if device == "cpu" else _free_on_gpu()
    if free is not None and needed > free:
        raise Refusal(
            f"the model {name} takes {needed / 1e9:.1f} GB as {dtype}, but {free / 1e9:.1f} GB of memory are free; "
            f"{'give --dtype bfloat16, ' if dtype == 'float32' else ''}use a smaller model or another machine."
        )


def _weight_files(folder: Path) -> list[Path]:
    """The files that transformers loads: those that the index names, else all of the folder's."""
    index = folder / "model.safetensors.index.json"
    if not index.is_file():
        whole = folder / "model.safetensors"
        return [whole] if whole.is_file() else sorted(folder.glob("*.safetensors"))
    named = {Path(str(file)).name for file in (files.read_json(index).get("weight_map") or {}).values()}
    return [folder / name for name in sorted(named) if (folder / name).is_file()]


def _check_memory_of_gguf(path: Path) -> None:
    """Refuse a GGUF file that has no room while it is converted: its weights as float32, twice for a moment."""
    try:
        from gguf import GGUFReader
    except ImportError as error:
        raise Refusal(NO_GGUF) from error
    try:
        needed = 2 * 4 * sum(int(tensor.n_elements) for tensor in GGUFReader(path).tensors)
    except (ValueError, IndexError, KeyError, TypeError, OverflowError, MemoryError) as error:
        raise Refusal(
            f"{path.name} cannot be read as a GGUF file ({' '.join(str(error).split())[:120]}); give a whole one."
        ) from error
    free = _free_memory()
    if free is not None and needed > free:
        raise Refusal(
            f"the GGUF file {path.name} takes {needed / 1e9:.1f} GB while it is converted, but {free / 1e9:.1f} GB of "
            "memory are free; use a smaller model or another machine, and bring ~/.cache/feature-browser along."
        )


def _n_numbers(path: Path) -> int:
    """How many numbers a safetensors file holds, read from its header."""
    with path.open("rb") as opened:
        (length,) = struct.unpack("<Q", opened.read(8))
        if length > path.stat().st_size:
            raise Refusal(f"{path.name} is no safetensors file; download the model again.")
        header = json.loads(opened.read(length))
    tensors = [entry for key, entry in header.items() if key != "__metadata__"]
    return sum(
        (entry["data_offsets"][1] - entry["data_offsets"][0]) // BYTES_OF.get(entry["dtype"], 1) for entry in tensors
    )


def _free_memory() -> int | None:
    meminfo = Path("/proc/meminfo")
    if meminfo.is_file():
        for line in meminfo.read_text().splitlines():
            if line.startswith("MemAvailable:"):
                return int(line.split()[1]) * 1024
    if "SC_AVPHYS_PAGES" in os.sysconf_names:
        return int(os.sysconf("SC_AVPHYS_PAGES") * os.sysconf("SC_PAGE_SIZE"))
    return None


def _free_on_gpu() -> int:
    import torch

    return int(torch.cuda.mem_get_info()[0])


def _convert(path: Path, folder: Path) -> None:
    """Write the model of a GGUF file, its weights taken out of their quantisation, as transformers saves models."""
    import transformers

    _check_memory_of_gguf(path)
    try:
        tokenizer = transformers.AutoTokenizer.from_pretrained(path.parent, gguf_file=path.name)
        model = transformers.AutoModelForCausalLM.from_pretrained(path.parent, gguf_file=path.name, dtype="float32")
    except ImportError as error:
        raise Refusal(NO_GGUF) from error
    except FAILURES as error:
        reason = " ".join(str(error).split()).replace(str(path.parent), "")[:160]
        raise Refusal(
            f"{path.name} cannot be read as a GGUF file with a model and its tokenizer "
            f"({type(error).__name__}: {reason}); give a whole one, or a folder that save_pretrained() wrote."
        ) from error
    if not tokenizer.get_vocab():
        raise Refusal(f"the GGUF file {path.name} holds no tokenizer; give one that does, or a folder of the model.")
    # transformers would quantise again what is saved with this entry
    del model.config.quantization_config
    plain = type(model)(model.config)
    plain.load_state_dict(model.state_dict())
    plain.save_pretrained(folder)
    tokenizer.save_pretrained(folder)
