"""What a checkpoint says about the language model that its SAE was trained on.

SAELens 6 has it in the metadata of cfg.json, older versions and mats_sae_training among the other keys, OpenSAE in
config.json (input_hookpoint is the name of a module), a run of ours in the embedder chapter of run.json.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from featurelib.schema import Refusal
from featurelib.storage import files

if TYPE_CHECKING:
    from featurelib.sae.sources.place import Place
    from featurelib.sae.weights.contents import Contents

MODELS = {
    "gpt2": "openai-community/gpt2",
    "gpt2-small": "openai-community/gpt2",
    **{f"gpt2-{size}": f"openai-community/gpt2-{size}" for size in ("medium", "large", "xl")},
    **{f"pythia-{size}": f"EleutherAI/pythia-{size}" for size in ("70m", "160m", "410m", "1b", "1.4b", "2.8b")},
    **{f"pythia-{size}-deduped": f"EleutherAI/pythia-{size}-deduped" for size in ("70m", "160m", "410m", "1.4b")},
    **{name: f"google/{name}" for name in ("gemma-2b", "gemma-2b-it", "gemma-7b", "gemma-2-2b", "gemma-2-9b")},
    "mistral-7b": "mistralai/Mistral-7B-v0.1",
    **{f"tiny-stories-{size}": f"roneneldan/TinyStories-{size}" for size in ("1M", "3M", "8M", "28M", "33M")},
}
"""Hub ids by TransformerLens' short names, which SAELens' files use."""
HOOK_KEYS = ("hook_name", "hook_point", "input_hookpoint")
DATASET_KEYS = ("dataset_path", "dataset")
KINDS = {str: "a name", int: "a whole number", bool: "true or false"}


@dataclass(frozen=True)
class Origin:
    """Where an SAE's hidden states came from; None is what the checkpoint does not say."""

    model: str | None = None
    """A hub id, a folder, or another name that `find_embedder` knows."""
    revision: str | None = None
    """Its commit on the hub."""
    weights_sha256: str | None = None
    """The sha256 of its weights, where a run of ours tells it."""
    hook: str | None = None
    """Where in the model."""
    context_size: int | None = None
    """Tokens that it read at a time."""
    bos: bool | None = None
    """Whether each window began with BOS."""
    special_tokens: bool = False
    """Whether the states of BOS and other special tokens were among those it was trained on."""
    chat_template: bool = False
    """Whether texts were put into the chat template."""
    prompt: str = ""
    """What stood before each text."""
    dtype: str | None = None
    """The numbers that the model computed with."""
    dataset: str | None = None
    """The texts, by the name of their data set."""
    centred: bool | None = None
    """Whether each state's mean over its dimensions was taken off first, as TransformerLens' processed weights do."""


def read_origin(place: Place[Path], contents: Contents) -> Origin:
    """Return what the files of an SAE say about its model; Refusal where a value is of no kind that it can be."""
    run_file = place.weights.parent.parent / "run.json"
    if place.weights.parent.name == "sae" and run_file.is_file():
        return _of_run(run_file)
    pickled = _pickled_config(contents.plain)
    metadata = contents.config.get("metadata")
    said = pickled | contents.config | (metadata if isinstance(metadata, dict) else {})
    file = contents.config_file
    loading = said.get("model_from_pretrained_kwargs")
    centres = loading.get("center_writing_weights") if isinstance(loading, dict) else bool(pickled) or None
    name = _value(said, ("model_name",), str, file)
    excluded = said.get("exclude_special_tokens")
    return Origin(
        model=MODELS.get(name, name) if name else None,
        hook=_hook(said, file),
        context_size=_value(said, ("context_size",), int, file),
        bos=_value(said, ("prepend_bos",), bool, file),
        special_tokens=not excluded,
        dataset=_value(said, DATASET_KEYS, str, file),
        centred=None if centres is None else centres is True,
    )


def _of_run(path: Path) -> Origin:
    described = files.read_json(path)
    facts = described.get("embedder") or {}
    facts = facts.get("embedder") or facts
    states = facts.get("hidden_states")
    if states is None:
        raise Refusal(
            f"run '{path.parent.parent.name}' has an SAE on the embeddings of {facts.get('name', 'a file')}, which is "
            "no language model that is read at a hook; a session needs a run that was built with --layer."
        )
    if states["pooling"] != "none":
        raise Refusal(
            f"the SAE of run '{path.parent.parent.name}' reads one hidden state a text ({states['pooling']} of its "
            "tokens), and a session reads single tokens; give a run that was built with --pooling none."
        )
    return Origin(
        model=_local_folder(path.parent) if facts["origin"] == "local" else facts["name"],
        revision=facts.get("revision"),
        weights_sha256=facts.get("weights_sha256"),
        hook=states["hook"],
        context_size=states["context_size"],
        bos=states["bos"],
        special_tokens=states["special_tokens"],
        chat_template=states["chat_template"],
        prompt=facts.get("prompt") or "",
        dtype=states["dtype"],
        dataset=(described.get("corpus") or {}).get("source"),
        centred=False,
    )


def _local_folder(generation: Path) -> str | None:
    """Where a local model lay when this generation was built here; None when it is not there any more."""
    volatile = generation / "volatile.json"
    folder = files.read_json(volatile).get("embed", {}).get("embedder_folder") if volatile.is_file() else None
    return folder if folder and Path(folder).exists() else None


def _pickled_config(plain: Any) -> dict[str, Any]:
    """The config in a file of mats_sae_training: beside the weights, or in the first SAE of a group."""
    if isinstance(plain, dict):
        if isinstance(plain.get("cfg"), dict):
            config: dict[str, Any] = plain["cfg"]
            return config
        return _pickled_config(plain.get("autoencoders"))
    if isinstance(plain, list):
        return next((config for member in plain if (config := _pickled_config(member))), {})
    return {}


def _hook(said: Mapping[str, Any], file: str) -> str | None:
    """The name of the hook; older files have {layer} in it and the layer's number beside it."""
    hook = _value(said, HOOK_KEYS, str, file)
    layer = said.get("hook_point_layer", said.get("hook_layer"))
    return hook.replace("{layer}", str(layer)) if hook else None


def _value(said: Mapping[str, Any], keys: tuple[str, ...], kind: type, file: str) -> Any:
    """The first value under one of the keys; None where there is none."""
    for key in keys:
        value = said.get(key)
        if value is None:
            continue
        if not isinstance(value, kind) or (kind is int and isinstance(value, bool)):
            raise Refusal(f"{file} says {key} = {value!r:.60}; expected {KINDS[kind]}.")
        return value
    return None
