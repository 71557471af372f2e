"""What a build refuses before it begins: options that contradict each other, have no meaning or are out of range."""

from __future__ import annotations

import dataclasses
import math
import re
from typing import TYPE_CHECKING

from featurelib.embedder.backends import find_backend
from featurelib.embedder.hidden_states.hooks import parse_hook
from featurelib.embedder.lookup import is_stand_in
from featurelib.llm.context import LEAST_CONTEXT
from featurelib.llm.language_model import check_language_model
from featurelib.sae.training.loggers import check_logger
from featurelib.schema import TOP_TEXTS, Refusal
from featurelib.storage.runs import check_name
from precompute.build.flag import flag
from precompute.build.memory import memory_bytes

if TYPE_CHECKING:
    from precompute.build.config import BuildConfig

SEEDS = 2**32
"""The number of seeds that every library accepts."""
COUNTS = (
    *("sample", "features", "k", "epochs", "patience", "batch_size", "keyword_texts", "max_seq_length"),
    *("attributed_texts", "labelled_features", "context_size"),
)
"""The options that are whole numbers from 1."""
NO_THRESHOLD = {
    "topk": "which keeps the k largest activations of a text",
    "vanilla": "whose features fire where they are above 0",
    "gated": "whose gates decide which features fire",
}
"""The architectures that are trained without a threshold, and what they have instead."""
HIDDEN_STATE_OPTIONS = (
    *("pooling", "pool", "context_size", "bos", "special_tokens", "chat_template", "keep_embeddings"),
)
"""What has no meaning without --layer."""
ADDRESS = re.compile(r"([\w.-]{1,253}|\[[0-9a-fA-F:.]{2,45}\]):[0-9]{1,5}", re.ASCII)
"""HOST:PORT."""
POOL = re.compile(r"max|mean|sum|last|top[1-9][0-9]{0,4}", re.ASCII)


def check(config: BuildConfig) -> None:
    """Raise Refusal for values that contradict each other or their range."""
    check_name(config.name)
    for field in dataclasses.fields(config):
        # an empty prompt means none; any other empty text is a variable of a shell that was not set
        if field.default is None and getattr(config, field.name) == "" and field.name != "prompt":
            raise Refusal(f"{flag(field.name)} is empty; give a value, or leave it out.")
    _check_ranges(config)
    memory_bytes(config.memory)
    if config.shuffle and config.sample is None:
        raise Refusal("--shuffle draws a sample; give its size with --sample N.")
    _check_training(config)
    _check_embeddings(config)
    _check_hidden_states(config)
    _check_dtype(config)
    _check_backend(config)
    _check_engine(config)
    _check_labeller(config)


def _check_ranges(config: BuildConfig) -> None:
    for name in COUNTS:
        value = getattr(config, name)
        if value is not None and value < 1:
            raise Refusal(f"{flag(name)} is {value}; give a whole number from 1.")
    for name in ("keyword_texts", "attributed_texts"):
        value = getattr(config, name)
        if value > TOP_TEXTS:
            raise Refusal(f"{flag(name)} is {value}; of a feature {TOP_TEXTS} top texts are kept.")
    for name in ("merge_at", "pair_at", "cluster_at"):
        if not -1 <= getattr(config, name) <= 1:
            raise Refusal(f"{flag(name)} is {getattr(config, name)}; it is a cosine: give a number from -1 to 1.")
    if config.threshold is not None and not 0 <= config.threshold < math.inf:
        raise Refusal(f"--threshold is {config.threshold}; give a number from 0.")
    if not 0 <= config.seed < SEEDS:
        raise Refusal(f"--seed is {config.seed}; give a whole number from 0 to {SEEDS - 1}.")
    if config.features and config.k and config.k > config.features:
        raise Refusal(f"--k is {config.k} but there are only {config.features} features; give a smaller --k.")


def _check_training(config: BuildConfig) -> None:
    for name in ("features", "epochs", "patience", "logger"):
        if config.sae and getattr(config, name) not in (None, "none"):
            raise Refusal(
                f"{flag(name)} has no meaning together with --sae, which is not trained; leave one of them out."
            )
    if not config.sae and config.threshold is not None and config.architecture in NO_THRESHOLD:
        instead = NO_THRESHOLD[config.architecture]
        raise Refusal(f"--threshold has no meaning for --architecture {config.architecture}, {instead}; leave it out.")
    check_logger(config.logger)


def _check_embeddings(config: BuildConfig) -> None:
    for name in ("prompt", "normalize", "revision"):
        if config.embeddings and not config.embedder and getattr(config, name) is not None:
            raise Refusal(
                f"{flag(name)} has no meaning for --embeddings without --embedder; name the one that made them."
            )


def _check_hidden_states(config: BuildConfig) -> None:
    for name in HIDDEN_STATE_OPTIONS:
        if config.layer is None and getattr(config, name) is not None:
            raise Refusal(f"{flag(name)} is for hidden states; say which with --layer N, or leave it out.")
    if config.layer is not None:
        parse_hook(config.layer)
        if not config.embedder:
            raise Refusal("--layer needs a model; give --embedder with a folder, a GGUF file or a hub id.")
        if config.embeddings:
            raise Refusal("--layer has no meaning for --embeddings, which exist; leave one of them out.")
    for name in ("pool", "keep_embeddings"):
        if getattr(config, name) is not None and not config.has_tokens:
            raise Refusal(f"{flag(name)} is for token runs; give --pooling none, or leave it out.")
    if config.normalize and config.has_tokens:
        raise Refusal("--normalize is for embeddings of texts, and states of tokens keep their lengths: leave it out.")
    if config.pool is not None and not POOL.fullmatch(config.pool):
        raise Refusal(f"--pool is {config.pool[:40]}; one of max, mean, sum, last or topN (such as top20) is expected.")


def _check_dtype(config: BuildConfig) -> None:
    if config.dtype is None or config.layer is not None:
        return
    if config.embeddings or is_stand_in(config.embedder):
        raise Refusal("--dtype is for a model that embeds the texts, and here none does; leave it out.")
    if config.dtype == "float16":
        raise Refusal(
            "--dtype float16 is for hidden states; a sentence encoder computes so on a GPU when nothing is asked for, "
            "and in bfloat16 or float32 when it is."
        )
    if config.embed_backend == "onnx" and config.dtype != "float32":
        raise Refusal("--embed-backend onnx computes in float32; leave --dtype out, or give --embed-backend openvino.")


def _check_backend(config: BuildConfig) -> None:
    if config.embed_backend is None:
        return
    mend = f"leave --embed-backend {config.embed_backend} out."
    if config.layer is not None:
        raise Refusal(f"--layer reads hidden states with torch; {mend}")
    if not config.has_embedder or is_stand_in(config.embedder):
        raise Refusal(f"there is no sentence encoder to compute; {mend}")
    if config.device == "cuda":
        raise Refusal(f"--device cuda embeds with torch, and {config.embed_backend} on the CPU; {mend}")
    find_backend(config.embed_backend)


def _check_engine(config: BuildConfig) -> None:
    if config.address is None:
        return
    if config.engine == "local":
        raise Refusal("--address is for a Ray cluster; give --engine ray with it, or leave it out.")
    if config.address not in ("auto", "local") and not ADDRESS.fullmatch(config.address):
        raise Refusal(
            f"--address is {config.address[:80]}; auto, local or HOST:PORT is expected, such as 10.0.0.7:6379, which "
            "`ray start --head` prints."
        )


def _check_labeller(config: BuildConfig) -> None:
    check_language_model(config.labeller, config.labeller_model)
    for name in ("labelled_features", "labeller_prompts", "labeller_context"):
        if getattr(config, name) is not None and not config.labeller:
            raise Refusal(f"{flag(name)} has no meaning without --labeller; give both, or leave it out.")
    if config.labeller_context is not None and config.labeller_context < LEAST_CONTEXT:
        raise Refusal(
            f"--labeller-context is {config.labeller_context}; a question needs {LEAST_CONTEXT} tokens or more."
        )
