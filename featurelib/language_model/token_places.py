"""Where in a sequence the tokens of a forward pass stand, and which of them an intervention is for.

A pass with a cache sees only the tokens that are new; one without sees all of them again. So the position of a token
is what the cache holds plus its place in the pass, without the padding on its left.
"""

from __future__ import annotations

import inspect
from collections.abc import Sequence
from typing import Any, Literal, TypeAlias

from featurelib.schema import Refusal

Where: TypeAlias = "Literal['all', 'prompt', 'generated'] | Sequence[int]"
"""All tokens, those of the prompt, those after it, or the positions of some, from 0."""
CACHE_NAMES = ("cache", "past_key_values")
"""What transformers calls the states that a pass need not compute again: the second name is its older one."""
KINDS = ("all", "prompt", "generated")
NO_IDS = "the model was not given the ids of its tokens, so their places are not known; give input_ids."


def parse_where(where: Where | str) -> str | tuple[int, ...]:
    """Return one of KINDS, or positions; Refusal for anything else."""
    if isinstance(where, str):
        if where not in KINDS:
            raise Refusal(f"where is '{where[:40]}'; give {', '.join(KINDS)}, or the positions of tokens from 0.")
        return where
    positions = tuple(int(position) for position in where)
    if any(position < 0 for position in positions):
        raise Refusal(f"where holds the position {min(positions)}; positions count from 0.")
    return positions


class Places:
    """The tokens of the pass that is going on; a pass without a cache begins a sequence, unless it goes on one.

    Never chosen are tokens with the ids `left_out`, and those at the positions `left_alone`.
    """

    def __init__(self, where: str | tuple[int, ...], left_out: Sequence[int], left_alone: Sequence[int] = ()) -> None:
        self.where, self.left_out, self.left_alone = where, left_out, left_alone
        self._n_prompt: int | None = None
        self._told = False
        self._before: Any = None
        self._ids: Any = None
        self._absolute: Any = None
        self._positions: Any = None
        self._mask: Any = None

    def begin(self, n_prompt: int) -> None:
        """Say how many tokens the prompt of the next passes has, those of the model's own included."""
        self._n_prompt, self._told = n_prompt, True

    def end(self) -> None:
        """Say that what `begin` began is over: the next pass without a cache is a prompt of its own."""
        self._told = False

    def note(self, ids: Any, mask: Any, n_cached: int) -> None:
        """Note a pass: token ids [batch, n], its attention mask over all tokens or None, how many the cache holds."""
        import torch

        ids = ids.detach().cpu()
        n = ids.shape[1]
        padding = torch.zeros(len(ids), dtype=torch.long)
        own = torch.ones(ids.shape, dtype=torch.bool)
        if mask is not None and mask.ndim == 2:
            whole = mask.detach().cpu().bool()
            padding = whole.long().argmax(dim=1)
            own = whole[:, -n:]
        if not n_cached and not self._told and not self._goes_on(ids):
            self._n_prompt = n
        self._before = ids if not n_cached else self._before
        self._ids, self._mask = ids, own
        self._absolute = n_cached + torch.arange(n).expand(ids.shape)
        self._positions = self._absolute - padding[:, None]

    def _goes_on(self, ids: Any) -> bool:
        """Whether a pass without a cache holds the one before it, and one token more."""
        before = self._before
        same = before is not None and ids.shape[0] == before.shape[0] and ids.shape[1] == before.shape[1] + 1
        return bool(same and (ids[:, :-1] == before).all())

    def chosen(self, shape: tuple[int, int]) -> Any:
        """Return which tokens of the pass are to be changed, bool [batch, n] on the CPU; `shape` is that of its states.

        Raises Refusal for a pass whose token ids are not known.
        """
        import torch

        if self._ids is None or tuple(self._ids.shape) != shape:
            raise Refusal(NO_IDS)
        if self.where == "all":
            chosen = self._mask.clone()
        elif self.where == "prompt":
            chosen = self._mask & (self._absolute < (self._n_prompt or 0))
        elif self.where == "generated":
            chosen = self._mask & (self._absolute >= (self._n_prompt or 0))
        else:
            chosen = self._mask & torch.isin(self._positions, torch.tensor(self.where, dtype=torch.long))
        left = torch.isin(self._ids, torch.tensor(self.left_out, dtype=torch.long))
        return chosen & ~left & ~torch.isin(self._positions, torch.tensor(self.left_alone, dtype=torch.long))


def cache_name(model: Any) -> str:
    """Return what a model calls its cache, as an argument and in what it returns."""
    known = inspect.signature(model.forward).parameters
    return next((name for name in CACHE_NAMES if name in known), CACHE_NAMES[-1])


def follow_places(model: Any, places: Places) -> Any:
    """Have `places` note every pass of a model; returns torch's handle, whose remove() ends it."""

    def note(module: Any, args: tuple[Any, ...], kwargs: dict[str, Any]) -> None:
        ids = kwargs.get("input_ids", args[0] if args else None)
        if ids is None:
            raise Refusal(NO_IDS)
        cache = next((kwargs[name] for name in CACHE_NAMES if kwargs.get(name) is not None), None)
        n_cached = 0 if cache is None else int(cache.get_seq_length())
        places.note(ids, kwargs.get("attention_mask"), n_cached)

    return model.register_forward_pre_hook(note, with_kwargs=True)
