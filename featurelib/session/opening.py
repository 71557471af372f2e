"""Opening a session: SAE, model and hook from what a checkpoint says of itself."""

from __future__ import annotations

import warnings
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

from featurelib.embedder import find_embedder
from featurelib.embedder.hidden_states.loading import LoadedModel, load_model
from featurelib.sae.checkpoints import give_threshold, interpret
from featurelib.sae.formats.checkpoint import LoadOptions
from featurelib.sae.sources.find import find_place
from featurelib.schema import Refusal
from featurelib.session.language_session import Session
from featurelib.session.origin import MODELS, Origin, read_origin

if TYPE_CHECKING:
    from featurelib.sae.model import SAE


def load_session(
    source: str | Path,
    model: str | Path | LoadedModel | None = None,
    hook: str | None = None,
    *,
    context_size: int | None = None,
    bos: bool | None = None,
    special_tokens: bool | None = None,
    chat_template: bool | None = None,
    centred: bool | None = None,
    dtype: str | None = None,
    device: str = "auto",
    options: LoadOptions = LoadOptions(),  # noqa: B008  (frozen, so shared safely)
) -> Session:
    """Return the session of the SAE at `source`; see `featurelib.load_session`."""
    sae, origin = _read(source, options)
    given: dict[str, Any] = {
        "hook": hook,
        "context_size": context_size,
        "bos": bos,
        "special_tokens": special_tokens,
        "chat_template": chat_template,
        "centred": centred,
        "dtype": dtype,
    }
    origin = replace(origin, **{name: value for name, value in given.items() if value is not None})
    if isinstance(model, str | Path):
        name = str(model)
        origin = replace(origin, model=MODELS.get(name, name), revision=None, weights_sha256=None)
    _ask(source, origin, model)
    loaded = model if isinstance(model, LoadedModel) else _load(origin, device)
    return Session(loaded, sae, replace(origin, model=loaded.name))


def _ask(source: str | Path, origin: Origin, model: object) -> None:
    """Refuse a checkpoint that does not say where its states came from, naming the argument that does."""
    name = Path(source).name
    if model is None and origin.model is None:
        raise Refusal(f"'{name}' does not say which model its SAE was trained on; give model=, a folder or a hub id.")
    if origin.hook is None:
        raise Refusal(
            f"'{name}' does not say where in the model its SAE was trained; give hook=, such as "
            "blocks.8.hook_resid_pre."
        )


def _read(source: str | Path, options: LoadOptions) -> tuple[SAE, Origin]:
    """The SAE, and what its files say about its model; the files are read once."""
    from featurelib.sae.checks.manifest import check_manifest
    from featurelib.sae.checks.self_check import check_sae
    from featurelib.sae.weights.contents import read_contents

    place = find_place(source)
    check_manifest(place)
    contents = read_contents(place)
    checkpoint = give_threshold(interpret(contents, options), None)
    origin = read_origin(place, contents)
    for remark in (*checkpoint.remarks, *check_sae(checkpoint.sae, None).warnings, *_open_questions(origin)):
        warnings.warn(f"{Path(source).name}: {remark}", stacklevel=3)
    return checkpoint.sae, origin


def _open_questions(origin: Origin) -> list[str]:
    """What a checkpoint should say and does not, without which a session still opens."""
    is_gpt2 = origin.centred is None and "gpt2" in (origin.model or "").lower()
    if not is_gpt2:
        return []
    return [
        "it does not say whether its states were centred, as those of TransformerLens' GPT-2 are; they are read as "
        "they come: give centred=True where they were."
    ]


def _load(origin: Origin, device: str) -> LoadedModel:
    from featurelib.embedder.batches import choose_device

    model_files = find_embedder(origin.model, revision=origin.revision)
    if origin.weights_sha256 not in (None, model_files.weights_sha256):
        raise Refusal(
            f"the SAE was trained on {origin.model} with the weights {origin.weights_sha256[:12]}…, but here it has "
            f"{model_files.weights_sha256[:12]}…; bring back the former weights, or give model=."
        )
    return load_model(model_files, device=choose_device(device), dtype=origin.dtype, with_head=True)
