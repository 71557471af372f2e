"""A sentence-transformers model taken apart: which token brings what to the embedding of a text.

Pooling by mean, weighted mean or sum over the square root of the length adds token states up; what may stand behind it
(a Dense layer without an activation, LayerNorm, Normalize) is linear once the text's own scalars are known. So the
embedding is exactly a sum over tokens and an offset. Read from sentence-transformers 6.2: sentence_transformer/modules
(pooling, static_embedding, layer_norm, dropout) and base/modules (dense, normalize).
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any, NamedTuple

import numpy as np

from featurelib.embedder.facts import TokenStates
from featurelib.schema import Refusal

SUMS = ("mean", "mean_sqrt_len_tokens", "weightedmean")
"""The poolings that add token states up, each with a weight of its own."""
NO_SUMS = {
    "cls": "its pooling takes the state of the first token alone (cls)",
    "lasttoken": "its pooling takes the state of the last token alone (lasttoken)",
    "max": "its pooling takes the largest value of each dimension (max)",
}
BEFORE = ("Transformer", "Dense", "Dropout", "LSTM", "CNN", "Normalize", "WeightedLayerPooling")
"""The modules before the pooling that keep one state for each token."""
TINY = 1e-12
"""The least length by which Normalize divides (torch.nn.functional.normalize)."""


class Spans(NamedTuple):
    """The tokens that are read of one text."""

    ids: list[int]
    """Their numbers in the vocabulary."""
    starts: np.ndarray
    """int32: the first character of each in the text without its prompt."""
    ends: np.ndarray
    """int32: the character after its last."""
    special: np.ndarray
    """bool: whether it belongs to the prompt or to the model."""


def why_whole(model: Any) -> str | None:
    """Return None where the embeddings of a loaded model are sums over tokens, else why not, without a full stop."""
    kinds = [type(module).__name__ for module in model]
    if kinds[0] == "StaticEmbedding":
        bag = model[0].embedding
        if bag.mode not in ("mean", "sum") or bag.padding_idx is not None:
            return f"its static embedding joins tokens in a way that is not known here ({bag.mode})"
        return _why_not_behind(list(model)[1:])
    if "Pooling" not in kinds:
        return f"it has no pooling over tokens that is known here ({', '.join(kinds)})"
    at = kinds.index("Pooling")
    unknown = [kind for kind in kinds[:at] if kind not in BEFORE]
    if unknown or kinds[0] != "Transformer":
        return f"a module that is not known here stands before its pooling ({(unknown or kinds)[0]})"
    mode = model[at].pooling_mode
    if not isinstance(mode, str):
        return f"it joins several poolings ({', '.join(mode)})"
    if mode not in SUMS:
        return NO_SUMS.get(mode, f"its pooling is not known here ({mode[:40]})")
    if not getattr(model.tokenizer, "is_fast", False):
        return "its tokenizer does not tell where in a text its tokens stand"
    return _why_not_behind(list(model)[at + 1 :])


def _why_not_behind(modules: Sequence[Any]) -> str | None:
    for module in modules:
        kind = type(module).__name__
        if kind not in STEPS:
            return f"a module that is not known here stands behind its pooling ({kind})"
        ends = {getattr(module, name, "sentence_embedding") for name in ("module_input_name", "module_output_name")}
        if ends != {"sentence_embedding"}:
            return f"its {kind} layer reads or writes something else than the embedding ({', '.join(sorted(ends))})"
        activation = type(getattr(module, "activation_function", None)).__name__
        if kind == "Dense" and activation != "Identity":
            return f"behind its pooling stands a Dense layer that is not linear ({activation})"
    return None


def find_spans(tokenizer: Any, texts: Sequence[str], prompt: str, limit: int | None) -> list[Spans]:
    """Return the tokens that are read of each text when `prompt` stands before it and reading stops after `limit`."""
    prompted = [prompt + text for text in texts]
    if not prompted:
        return []
    if not hasattr(tokenizer, "is_fast"):
        encodings = tokenizer.encode_batch(prompted, add_special_tokens=False)
        return [
            _spans(encoding.ids, encoding.offsets, encoding.special_tokens_mask, len(prompt)) for encoding in encodings
        ]
    cut = {"truncation": "longest_first", "max_length": limit} if limit is not None else {"truncation": False}
    encodings = tokenizer(prompted, **cut, return_offsets_mapping=True, return_special_tokens_mask=True, verbose=False)
    columns = (encodings[name] for name in ("input_ids", "offset_mapping", "special_tokens_mask"))
    return [_spans(ids, offsets, mask, len(prompt)) for ids, offsets, mask in zip(*columns, strict=True)]


def _spans(ids: list[int], offsets: list[tuple[int, int]], mask: list[int], n_prompt: int) -> Spans:
    places = np.array(offsets, np.int32).reshape(-1, 2)
    special = np.array(mask, dtype=bool) | ((places[:, 1] <= n_prompt) & (n_prompt > 0))
    own = np.where(special[:, None], 0, np.maximum(places - n_prompt, 0)).astype(np.int32)
    return Spans(list(ids), own[:, 0], own[:, 1], special)


def split_static(model: Any, spans: Spans) -> TokenStates:
    """Return the shares of a text's tokens in an embedding that StaticEmbedding makes."""
    import torch

    bag = model[0].embedding
    states = bag.weight[torch.tensor(spans.ids, dtype=torch.long, device=bag.weight.device)]
    shares = states / max(len(spans.ids), 1) if bag.mode == "mean" else states
    return _placed(*_behind(list(model)[1:], shares), spans)


def split_batch(model: Any, features: dict[str, Any], batch: Sequence[Spans]) -> list[TokenStates]:
    """Return the shares of the tokens of some texts; `features` is what the model's first module made of them."""
    for module in list(model)[1 : _pooling_at(model)]:
        features = module(features)
    _check_tokens(features["input_ids"], features["attention_mask"], features["token_embeddings"], batch)
    return [_placed(*split, spans) for split, spans in zip(batch_shares(model, features), batch, strict=True)]


def batch_shares(model: Any, features: dict[str, Any]) -> list[tuple[Any, Any]]:
    """Return the shares [n_tokens, d] and the offset [d] of each text; `features` hold the states of their tokens."""
    import torch

    modules, at = list(model), _pooling_at(model)
    states, mask = features["token_embeddings"].float(), features["attention_mask"]
    # pooling is linear in the states: what it makes of the rows of the identity are the weights of the tokens
    rows = torch.eye(states.shape[1], device=states.device).expand(len(states), -1, -1)
    weights = modules[at]({**features, "token_embeddings": rows})["sentence_embedding"]
    shares = states * weights.unsqueeze(-1)
    is_read = mask.bool()
    return [_behind(modules[at + 1 :], shares[row][is_read[row]]) for row in range(len(shares))]


def _pooling_at(model: Any) -> int:
    return next(number for number, module in enumerate(model) if type(module).__name__ == "Pooling")


def _check_tokens(ids: Any, mask: Any, states: Any, batch: Sequence[Spans]) -> None:
    same = states.shape[:2] == ids.shape == mask.shape
    if not same or any(ids[row][mask[row].bool()].tolist() != spans.ids for row, spans in enumerate(batch)):
        raise Refusal(
            "the embedder reads other tokens than its tokenizer gives, so it is not known which words they are; "
            "only deleting words can be shown for it."
        )


def _behind(modules: Sequence[Any], shares: Any) -> tuple[Any, Any]:
    """Send shares through what stands behind the pooling; return them and the offset."""
    offset = shares.new_zeros(shares.shape[1])
    for module in modules:
        shares, offset = STEPS[type(module).__name__](module, shares, offset)
    return shares, offset


def _placed(shares: Any, offset: Any, spans: Spans) -> TokenStates:
    return TokenStates(shares.cpu().numpy(), offset.cpu().numpy(), spans.starts, spans.ends, spans.special)


def _dense(module: Any, shares: Any, offset: Any) -> tuple[Any, Any]:
    def linear(x: Any) -> Any:
        added = 0.0
        if module.use_residual:
            added = x if module.in_features == module.out_features else module.residual(x)
        return x @ module.linear.weight.T + added

    return linear(shares), linear(offset) + (module.linear.bias if module.linear.bias is not None else 0.0)


def _normalize(module: Any, shares: Any, offset: Any) -> tuple[Any, Any]:
    length = max(float((shares.double().sum(0) + offset).norm()), TINY)
    return shares / length, offset / length


def _layer_norm(module: Any, shares: Any, offset: Any) -> tuple[Any, Any]:
    norm = module.norm
    spread = (shares.double().sum(0) + offset).var(correction=0)
    scale = (1.0 if norm.weight is None else norm.weight) / float((spread + norm.eps).sqrt())
    shares, offset = shares - shares.mean(1, keepdim=True), offset - offset.mean()
    return shares * scale, offset * scale + (0.0 if norm.bias is None else norm.bias)


STEPS: dict[str, Callable[[Any, Any, Any], tuple[Any, Any]]] = {
    "Dense": _dense,
    "Normalize": _normalize,
    "LayerNorm": _layer_norm,
    "Dropout": lambda module, shares, offset: (shares, offset),
}
"""What each module that may stand behind the pooling does to the shares and the offset; Dropout does nothing here."""


def known_states(shares: np.ndarray, spans: Spans) -> TokenStates | None:
    """Return the states of a text whose shares (the offset as last row) are known; None where its tokens are others."""
    if len(shares) != len(spans.ids) + 1:
        return None
    return TokenStates(shares[:-1], shares[-1], spans.starts, spans.ends, spans.special)


def normalized(states: TokenStates) -> TokenStates:
    """Return the shares of the embedding brought to length 1."""
    shares = shares_normalized(np.vstack([states.shares, states.offset]))
    return TokenStates(shares[:-1], shares[-1], states.starts, states.ends, states.special)


def shares_normalized(shares: np.ndarray) -> np.ndarray:
    """Return shares, float32 with the offset as last row, of the embedding brought to length 1."""
    length = max(float(np.linalg.norm(shares.sum(axis=0, dtype=np.float64))), TINY)
    return shares / np.float32(length)
