"""Text → embedding: any sentence-transformers model, hidden states of any transformers model, or the stand-in.

Finding an embedder needs no torch; loading one does, unless it is the stand-in.
"""

from __future__ import annotations

import functools

from featurelib.embedder.facts import (
    Embedder,
    EmbedderFacts,
    HiddenStateOptions,
    TokenCounts,
    TokenEmbedder,
    TokenRows,
    TokenStates,
)
from featurelib.embedder.lookup import DEFAULT_EMBEDDER, EmbedderFiles, find_embedder


def load_embedder(
    name: str | None = None,
    *,
    revision: str | None = None,
    prompt: str | None = None,
    normalize: bool | None = None,
    max_seq_length: int | None = None,
    device: str = "auto",
    hidden_states: HiddenStateOptions | None = None,
    backend: str = "torch",
    dtype: str | None = None,
) -> Embedder:
    """Find the embedder `name` (see `find_embedder`) and load it.

    `prompt` None means the model's own default prompt, `normalize` None and `max_seq_length` None what the model says;
    `device` is auto, cpu or cuda. A sentence encoder's transformer computes in `dtype`, float32 or bfloat16; None means
    float32 on a cpu and float16 on a GPU. What stands behind it computes in float32. With `hidden_states` it is a
    transformers model read at a hook, whose dtype is among them. `backend` (torch, onnx or openvino) computes the
    transformer of a sentence encoder, the latter two on a cpu. Raises Refusal.
    """
    model_files = find_embedder(name, revision=revision)
    if hidden_states is not None:
        from featurelib.embedder.hidden_states.embedder import HiddenStateEmbedder

        return HiddenStateEmbedder(
            model_files,
            hidden_states,
            prompt=prompt,
            normalize=normalize,
            max_seq_length=max_seq_length,
            device=device,
        )
    if model_files.folder is None:
        from featurelib.embedder.stand_in import StandIn

        return StandIn(model_files, prompt=prompt, normalize=normalize, max_seq_length=max_seq_length)
    from featurelib.embedder.transformer import SentenceEmbedder

    return SentenceEmbedder(
        model_files,
        prompt=prompt,
        normalize=normalize,
        max_seq_length=max_seq_length,
        device=device,
        backend=backend,
        dtype=dtype,
    )


open_embedder = functools.lru_cache(maxsize=1)(load_embedder)
"""`load_embedder`, which keeps the last one it returned; `open_embedder.cache_clear()` frees its memory."""
