"""Continuing a prompt with and without an intervention: both texts, the next token's probabilities, the loss."""

from __future__ import annotations

import math
import time
from collections.abc import Callable, Sequence
from contextlib import AbstractContextManager, nullcontext
from dataclasses import dataclass, replace
from typing import Any, NamedTuple

import numpy as np

from featurelib.embedder.hidden_states.loading import LoadedModel
from featurelib.embedder.hidden_states.windows import before_answer, make_reading
from featurelib.language_model.token_places import Places, cache_name
from featurelib.schema import Refusal

ROWS = 64
"""Tokens whose probabilities are in memory at once, as float64: of 50,000 words they take 26 MB."""
LIKELIEST = 10
"""Next tokens of which the probability is told, before and after each."""


def _never() -> bool:
    return False


@dataclass(frozen=True)
class Generating:
    """How a prompt is continued, and when that ends."""

    n_tokens: int = 60
    """The most new tokens."""
    seconds: float = math.inf
    """After so many seconds no further token is begun."""
    temperature: float = 0.0
    """0 takes the likeliest token each time; else one is drawn from softmax(logits / temperature)."""
    seed: int = 0
    """What tokens are drawn by: with and without a change they are drawn by the same numbers."""
    cancelled: Callable[[], bool] = _never
    """Asked before each token; where it says yes, the continuation ends there."""

    def __post_init__(self) -> None:
        """Refuse limits that leave nothing to do."""
        if self.n_tokens < 0 or not self.seconds > 0 or not 0 <= self.temperature < math.inf:
            raise Refusal(
                f"n_tokens is {self.n_tokens}, seconds {self.seconds:g} and temperature {self.temperature:g}; give "
                "tokens and a temperature from 0 and seconds above 0."
            )


@dataclass(frozen=True)
class Continuation:
    """What a model writes after a prompt."""

    text: str
    """The new text alone."""
    ids: tuple[int, ...]
    """The numbers of its tokens."""
    ended: str
    """Why it ends there: stop (the model's own end), tokens, seconds, context or cancelled."""


class NextToken(NamedTuple):
    """One token that may come next."""

    id: int
    """Its number in the vocabulary."""
    text: str
    """What it writes."""
    before: float
    """Its probability without the change."""
    after: float
    """Its probability with it."""


@dataclass(frozen=True)
class Prediction:
    """What comes after a prompt, and how well the prompt itself is predicted; without and with a change."""

    next_tokens: tuple[NextToken, ...]
    """The ten likeliest of each, the likeliest before the change first."""
    kl: float
    """KL(before ‖ after) of the next token, Σ p·ln(p/q) over the vocabulary, in nats."""
    loss_before: float | None
    """Mean −ln p of the prompt's tokens, each given those before it, in nats; None for a prompt of one token."""
    loss_after: float | None
    """The same with the change."""


class PromptTokens(NamedTuple):
    """The tokens that a model reads before it goes on."""

    ids: list[int]
    """All of them, BOS first where it is read."""
    own: list[bool]
    """Which are the prompt's own, and not BOS, a special token, or what the chat template or a prefix brings."""


def read_prompt(
    loaded: LoadedModel, prompt: str, *, bos: bool | None = None, chat_template: bool = False, prefix: str = ""
) -> PromptTokens:
    """Return the tokens of a prompt as the model reads it, BOS first where it has one (`bos` None).

    With `chat_template` the prompt is what the user says, and the model's turn begins after it; `prefix` stands before
    the prompt, as the run's --prompt did before its texts. Raises Refusal for a prompt without a token, one longer than
    the model's context, a chat template or BOS that there is not, and a model that predicts no next token.
    """
    if not loaded.is_causal:
        raise Refusal(f"{loaded.name} predicts no next token, so it cannot go on writing; give a causal model.")
    room = context_of(loaded) or 10**9
    reading = make_reading(
        loaded.tokenizer,
        loaded.name,
        context_size=room,
        bos=bos,
        is_causal=loaded.is_causal,
        chat_template=chat_template,
    )
    reading = before_answer(replace(reading, prefix=reading.prefix + prefix), loaded.name)
    tokens = reading.tokens([prompt])[0]
    ids = [*reading.before, *tokens.ids.tolist()]
    if len(ids) <= len(reading.before) and not reading.before:
        raise Refusal("the prompt has no token for this model; type a few words.")
    if len(ids) >= room:
        raise Refusal(f"the prompt has {len(ids):,} tokens, but {loaded.name} reads {room:,} in all; shorten it.")
    own = ~tokens.special & ~np.isin(tokens.ids, loaded.tokenizer.all_special_ids)
    return PromptTokens([int(token) for token in ids], [False] * len(reading.before) + own.tolist())


def context_of(loaded: LoadedModel) -> int | None:
    """Return how many tokens a model has positions for; None where its config does not say."""
    config = loaded.model.config.get_text_config()
    n_positions = getattr(config, "max_position_embeddings", None) or getattr(config, "n_positions", None)
    return None if n_positions is None else int(n_positions)


def continue_prompt(
    loaded: LoadedModel, ids: Sequence[int], how: Generating, places: Places | None = None, *, use_cache: bool = True
) -> Continuation:
    """Return what the model writes after the tokens `ids`, its own cache at work; `places` is what `bind` yielded."""
    import torch

    if places is not None:
        places.begin(len(ids))
    draw = torch.Generator().manual_seed(how.seed)
    until = time.monotonic() + how.seconds
    ends, most = _end_ids(loaded), context_of(loaded) or math.inf
    whole, cache, ended = list(ids), None, "tokens"
    while len(whole) - len(ids) < how.n_tokens:
        if how.cancelled():
            ended = "cancelled"
        elif time.monotonic() > until:
            ended = "seconds"
        elif len(whole) >= most:
            ended = "context"
        if ended != "tokens":
            break
        logits, cache = _last_logits(loaded, whole, cache, use_cache)
        token = _choose(logits, how.temperature, draw)
        if token in ends:
            ended = "stop"
            break
        whole.append(token)
    if places is not None:
        places.end()
    return Continuation(_new_text(loaded, whole, len(ids)), tuple(whole[len(ids) :]), ended)


def predict(loaded: LoadedModel, ids: Sequence[int], changed: Callable[[], AbstractContextManager[Any]]) -> Prediction:
    """Return what comes after the tokens `ids` and their loss, without and inside the block that `changed` opens."""
    import torch

    p, loss_before = _read(loaded, ids, nullcontext())
    q, loss_after = _read(loaded, ids, changed())
    likely = sorted(
        {*p.topk(min(LIKELIEST, len(p))).indices.tolist(), *q.topk(min(LIKELIEST, len(q))).indices.tolist()}
    )
    tokens = tuple(
        NextToken(token, _written(loaded, ids, token), math.exp(float(p[token])), math.exp(float(q[token])))
        for token in sorted(likely, key=lambda token: -float(p[token]))
    )
    if q.isnan().any():
        raise Refusal("with these changes the model's numbers overflow; give smaller ones.")
    certain = torch.where(p.isinf(), 0.0, p - q)
    # rounding may bring the sum of two equal distributions below 0
    return Prediction(tokens, max(0.0, float((p.exp() * certain).sum())), loss_before, loss_after)


def _read(loaded: LoadedModel, ids: Sequence[int], changed: AbstractContextManager[Any]) -> tuple[Any, float | None]:
    """The ln p of the next token, float64 [vocabulary], and the loss of the tokens; see `Prediction`."""
    import torch

    tokens = torch.tensor([list(ids)], device=loaded.device)
    with torch.inference_mode(), changed as places:
        if places is not None:
            places.begin(len(ids))
        logits = loaded.model(input_ids=tokens, use_cache=False).logits[0]
        total = 0.0
        for start in range(0, len(ids) - 1, ROWS):
            own = tokens[0, start + 1 : start + ROWS + 1, None]
            total -= float(_ln(logits[start : start + len(own)]).gather(1, own.cpu()).sum())
    return _ln(logits[-1]), total / (len(ids) - 1) if len(ids) > 1 else None


def _ln(logits: Any) -> Any:
    """The ln softmax of logits over the vocabulary, float64 on the CPU."""
    return logits.double().cpu().log_softmax(dim=-1)


def _last_logits(loaded: LoadedModel, whole: Sequence[int], cache: Any, use_cache: bool) -> tuple[Any, Any]:
    """The logits after the last token, float32 [vocabulary] on the CPU, and the cache after it."""
    import torch

    fresh = whole if cache is None else whole[-1:]
    name = cache_name(loaded.model)
    tokens = torch.tensor([list(fresh)], device=loaded.device)
    with torch.inference_mode():
        passed = loaded.model(input_ids=tokens, use_cache=use_cache, **{name: cache})
    return passed.logits[0, -1].float().cpu(), passed[name] if use_cache else None


def _choose(logits: Any, temperature: float, draw: Any) -> int:
    import torch

    if not temperature:
        return int(logits.argmax())
    return int(torch.multinomial(torch.softmax(logits / temperature, dim=-1), 1, generator=draw))


def _end_ids(loaded: LoadedModel) -> set[int]:
    """The tokens by which a model ends what it writes."""
    known = [getattr(loaded.model.generation_config, "eos_token_id", None), loaded.tokenizer.eos_token_id]
    ends: set[int] = set()
    for ids in known:
        ends |= set(ids) if isinstance(ids, list | tuple) else {ids} if ids is not None else set()
    return ends


def _new_text(loaded: LoadedModel, whole: Sequence[int], n_prompt: int) -> str:
    """What the tokens after the prompt write: with the prompt before them, which some tokenizers need for a space."""
    prompt, text = (loaded.tokenizer.decode(list(ids)) for ids in (whole[:n_prompt], whole))
    return text[len(prompt) :] if text.startswith(prompt) else str(loaded.tokenizer.decode(list(whole[n_prompt:])))


def _written(loaded: LoadedModel, ids: Sequence[int], token: int) -> str:
    """What a token writes behind others; of the whole prompt only the end is needed."""
    return _new_text(loaded, [*ids[-8:], token], len(ids[-8:]))
