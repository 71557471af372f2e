"""The worker on prompts: the features on their tokens, and their continuations with features changed.

Only the worker imports this file. It holds one language model with its head, beside the one without that reads states.
"""

from __future__ import annotations

from collections.abc import Sequence
from functools import lru_cache
from pathlib import Path
from typing import Any

import numpy as np

from featurelib.embedder import HiddenStateOptions, find_embedder
from featurelib.embedder.hidden_states.hooks import Hook, parse_hook
from featurelib.embedder.hidden_states.loading import LoadedModel, load_model
from featurelib.embedder.hidden_states.states import StateReader
from featurelib.embedder.hidden_states.windows import Window
from featurelib.language_model.comparison import Intervention
from featurelib.language_model.generation import Generating, PromptTokens, read_prompt
from featurelib.language_model.intervention import Change, add, multiply, set_to
from featurelib.live.results import Intervened, PromptFeatures
from featurelib.live.worker import cancelling
from featurelib.live.worker.models import check_features, embedder_facts, local_folder, open_sae
from featurelib.schema import Refusal

MOST_TOKENS = 512
"""Tokens of a prompt."""
MOST_FEATURES = 200
"""Features of a prompt of which the answer tells."""
CHANGES = {"set": set_to, "add": add, "multiply": multiply}


def prompt_features(generation: Path, prompt: str) -> PromptFeatures:
    """Return the features that fire on the tokens of a prompt, that with the strongest token first."""
    loaded, hook, options = _model(generation)
    tokens = _tokens(generation, loaded, options, prompt)
    ids, own = tokens.ids, np.array(tokens.own)
    window = Window(0, np.array(ids, np.int32), 0, 0, len(ids))
    states = StateReader(loaded, hook, shared=True).read([window])[0]
    activations = open_sae(generation).encode(states[own]).numpy()
    strongest = activations.max(axis=0, initial=0.0)
    fired = np.flatnonzero(strongest)
    order = fired[np.lexsort((fired, -strongest[fired]))][:MOST_FEATURES]
    return PromptFeatures(
        tokens=tuple(loaded.tokenizer.decode([token]) for token in np.array(ids)[own].tolist()),
        feature_ids=order.astype(np.int32),
        activations=strongest[order],
        places=activations[:, order].argmax(axis=0).astype(np.int32) if own.any() else np.zeros(0, np.int32),
    )


def intervene(
    generation: Path,
    prompt: str,
    changes: Sequence[tuple[int, str, float]],
    where: str,
    n_tokens: int,
    temperature: float,
    seed: int,
    seconds: float,
) -> Intervened:
    """Return what the run's language model makes of a prompt, as it is and with features changed."""
    loaded, hook, options = _model(generation)
    sae = open_sae(generation)
    check_features(sae, [feature_id for feature_id, _, _ in changes])
    tokens = _tokens(generation, loaded, options, prompt)
    wanted = {feature_id: _change(kind, value) for feature_id, kind, value in changes}
    intervention = Intervention(loaded, hook, sae, wanted, where, special_tokens=options.special_tokens)  # type: ignore[arg-type]
    how = Generating(n_tokens, seconds / 2, temperature, seed, cancelling.is_cancelled)
    compared = intervention.compare(tokens, how)
    if cancelling.is_cancelled():
        raise Refusal("cancelled.")
    before, after, prediction = compared.before, compared.after, compared.prediction
    return Intervened(
        before_text=before.text,
        after_text=after.text,
        before_end=before.ended,
        after_end=after.ended,
        next_words=tuple(token.text for token in prediction.next_tokens),
        before_shares=np.array([token.before for token in prediction.next_tokens]),
        after_shares=np.array([token.after for token in prediction.next_tokens]),
        kl=prediction.kl,
        before_loss=prediction.loss_before,
        after_loss=prediction.loss_after,
        n_prompt=len(tokens.ids),
    )


def _change(kind: str, value: float) -> Change:
    if kind not in CHANGES:
        raise Refusal(f"a feature cannot be changed by '{kind[:40]}'; give {', '.join(CHANGES)}.")
    return CHANGES[kind](value)


def _tokens(generation: Path, loaded: LoadedModel, options: HiddenStateOptions, prompt: str) -> PromptTokens:
    prefix = _facts(generation).get("prompt") or ""
    tokens = read_prompt(loaded, prompt, bos=options.bos, chat_template=options.chat_template, prefix=prefix)
    n = len(tokens.ids)
    if n > MOST_TOKENS:
        raise Refusal(f"the prompt has {n:,} tokens; at most {MOST_TOKENS} can be continued here: shorten it.")
    return tokens


def _facts(generation: Path) -> dict[str, Any]:
    facts = embedder_facts(generation)
    inner: dict[str, Any] = facts.get("embedder") or facts
    return inner


def _model(generation: Path) -> tuple[LoadedModel, Hook, HiddenStateOptions]:
    """The language model of a run of tokens, loaded once, and where its states were read."""
    facts = _facts(generation)
    if facts.get("hidden_states") is None or facts["pooling"] != "none":
        raise Refusal(
            f"the SAE of run '{generation.parent.name}' does not read the tokens of a language model, so nothing can "
            "be changed inside one; build a run with --layer and --pooling none."
        )
    options = HiddenStateOptions(**facts["hidden_states"])
    place = local_folder(generation) if facts["origin"] == "local" else facts["name"]
    loaded = _loaded(place, facts["name"], facts["revision"], facts["weights_sha256"], options.dtype)
    return loaded, parse_hook(options.hook), options


@lru_cache(maxsize=1)
def _loaded(place: str, name: str, revision: str | None, weights_sha256: str, dtype: str | None) -> LoadedModel:
    model_files = find_embedder(place, revision=revision)
    if model_files.weights_sha256 != weights_sha256:
        raise Refusal(
            f"the run was made by {name} with the weights {weights_sha256[:12]}…, but here it has "
            f"{model_files.weights_sha256[:12]}…; bring back the former weights or build the run again."
        )
    return load_model(model_files, device="cpu", dtype=dtype, with_head=True)
