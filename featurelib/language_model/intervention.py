"""Changing features inside a language model: a hook adds what an SAE's decoder changes by, and nothing else.

At the hook the hidden state of a token is h = x̂ + e, the SAE's reconstruction and its error. A changed activation a'
in place of a gives

    h' = h + s·Σ_f (a'_f − a_f)·d_f

with the directions d (rows of W_dec) and s what the SAE's normalisation divides the state by (1 where it does not
normalise, or does not scale its reconstruction back): the error e stays as it is. Replacing h by the changed
reconstruction instead, as OpenSAE does, changes a model before any feature is changed. Where no activation differs
h keeps its bits.
"""

from __future__ import annotations

import math
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any, Protocol

from featurelib.embedder.hidden_states.hooks import Hook, attach
from featurelib.embedder.hidden_states.loading import LoadedModel
from featurelib.language_model.token_places import Places, Where, follow_places, parse_where
from featurelib.schema import Refusal


class FeatureDictionary(Protocol):
    """What an intervention needs of an SAE (featurelib.sae.model.SAE has it)."""

    @property
    def d_in(self) -> int:
        """The dimension of the states that it reads."""

    @property
    def n_features(self) -> int:
        """How many features there are."""

    @property
    def W_dec(self) -> Any:  # noqa: N802
        """The features' directions, float32 [n_features, d_in]."""

    @property
    def shift_back(self) -> bool:
        """Whether its reconstruction is scaled back."""

    def encode(self, x: Any) -> Any:
        """Return the activations of states [n, d_in], float32 [n, n_features]."""

    def scale(self, x: Any) -> Any:
        """Return what normalisation takes from each row, as .std [n, 1], or None."""


@dataclass(frozen=True)
class Change:
    """What becomes of a feature's activation a: times·a + plus. `multiply(2) | add(1)` does one after the other."""

    times: float
    """What the activation is multiplied by."""
    plus: float
    """What is added."""

    def __post_init__(self) -> None:
        """Refuse what is no finite number."""
        if not (math.isfinite(self.times) and math.isfinite(self.plus)):
            raise Refusal(f"a feature cannot be changed by {self.times:g}·a + {self.plus:g}; give finite numbers.")

    def __or__(self, after: Change) -> Change:
        """Return this change with another one after it."""
        return Change(after.times * self.times, after.times * self.plus + after.plus)

    @property
    def changes_nothing(self) -> bool:
        """Whether every activation stays as it is."""
        return self.times == 1 and self.plus == 0


def set_to(activation: float) -> Change:
    """Return the change that gives a feature this activation, whether it fires or not; below 0 is against it."""
    return Change(0.0, float(activation))


def add(activation: float) -> Change:
    """Return the change that adds to a feature's activation, also where it does not fire."""
    return Change(1.0, float(activation))


def multiply(factor: float) -> Change:
    """Return the change that multiplies a feature's activation: it does nothing where the feature does not fire."""
    return Change(float(factor), 0.0)


@contextmanager
def bind(
    loaded: LoadedModel,
    hook: Hook,
    sae: FeatureDictionary,
    changes: Mapping[int, Change],
    where: Where = "all",
    *,
    special_tokens: bool = False,
    left_alone: Sequence[int] = (),
) -> Iterator[Places]:
    """Change features in every forward pass inside the block; the hook comes off with its end, also by an exception.

    `where` is all, prompt, generated, or the positions of tokens in the sequence, from 0 and with BOS counted;
    `special_tokens` lets BOS and other special tokens be changed too; those at the positions `left_alone` never are,
    such as the words of a chat template. Yields the `Places`, whose `begin` says how long a prompt is where the first
    pass is not the whole prompt. Raises Refusal for a feature or a layer that is not there,
    and for an SAE of another width than the model.
    """
    check_changes(loaded, sae, changes)
    real = {feature_id: change for feature_id, change in changes.items() if not change.changes_nothing}
    left_out = () if special_tokens else tuple(loaded.tokenizer.all_special_ids)
    places = Places(parse_where(where), left_out, left_alone)
    attached = [attach(loaded.model, hook, loaded.name, _StateChange(sae, real, places))]
    try:
        if real:
            attached.append(follow_places(loaded.model, places))
        else:
            attached.pop().remove()
        yield places
    finally:
        for hook_on in attached:
            hook_on.remove()


def check_changes(loaded: LoadedModel, sae: FeatureDictionary, changes: Mapping[int, Change]) -> None:
    """Raise Refusal for a feature that is not there, and for an SAE of another width than the model."""
    if loaded.dimension != sae.d_in:
        raise Refusal(
            f"the SAE reads states of dimension {sae.d_in}, but those of {loaded.name} have {loaded.dimension}; "
            "choose the model that it was trained on."
        )
    for feature_id in changes:
        if not 0 <= feature_id < sae.n_features:
            raise Refusal(f"there is no feature {feature_id}; this SAE has the features 0 to {sae.n_features - 1}.")


class _StateChange:
    """What the hook does with the states that pass by."""

    def __init__(self, sae: FeatureDictionary, changes: Mapping[int, Change], places: Places) -> None:
        import torch

        self.sae, self.places = sae, places
        self.ids = list(changes)
        self.times, self.plus = (
            torch.tensor([getattr(change, name) for change in changes.values()], dtype=torch.float32)
            for name in ("times", "plus")
        )

    def __call__(self, states: Any) -> Any:
        """Return the changed states [batch, tokens, d]; None where none is changed."""
        chosen = self.places.chosen(tuple(states.shape[:2]))
        if not chosen.any():
            return None
        rows = chosen.nonzero()
        delta = self._delta(states[rows[:, 0], rows[:, 1]].detach().float().cpu())
        differs = delta.any(dim=1)
        if not differs.any():
            return None
        batch, token = rows[differs].T
        changed = states.clone()
        changed[batch, token] += delta[differs].to(states.device, states.dtype)
        return changed

    def _delta(self, x: Any) -> Any:
        """What is added to states x, float32 [n, d_in]: exactly 0 where no activation differs."""
        import torch

        now = self.sae.encode(x)[:, self.ids]
        change = now * self.times + self.plus - now
        delta = torch.zeros_like(x)
        differs = change.any(dim=1)
        scale = self.sae.scale(x[differs]) if self.sae.shift_back else None
        added = change[differs] @ self.sae.W_dec[self.ids]
        delta[differs] = added if scale is None else added * scale.std
        return delta
