"""A prompt continued as a model does by itself, and with features changed."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from contextlib import AbstractContextManager
from dataclasses import dataclass

from featurelib.embedder.hidden_states.hooks import Hook
from featurelib.embedder.hidden_states.loading import LoadedModel
from featurelib.language_model.generation import (
    Continuation,
    Generating,
    Prediction,
    PromptTokens,
    continue_prompt,
    predict,
)
from featurelib.language_model.intervention import Change, FeatureDictionary, bind
from featurelib.language_model.token_places import Places, Where


@dataclass(frozen=True)
class Comparison:
    """Both continuations of a prompt, and both predictions of what comes next."""

    before: Continuation
    """Without the changes."""
    after: Continuation
    """With them."""
    prediction: Prediction
    """The next token, and the loss of the prompt."""


@dataclass(frozen=True, eq=False)
class Intervention:
    """Features of a model that are changed at one hook."""

    loaded: LoadedModel
    """The model, with its head."""
    hook: Hook
    """Where its states are changed."""
    sae: FeatureDictionary
    """The SAE of that hook."""
    changes: Mapping[int, Change]
    """What becomes of each feature, by its id."""
    where: Where = "all"
    """Of which tokens; see `bind`."""
    special_tokens: bool = False
    """Whether BOS, other special tokens and the words of a chat template are changed too."""

    def compare(self, prompt: PromptTokens, how: Generating) -> Comparison:
        """Return what the model makes of a prompt, without and with the changes."""
        ids = prompt.ids
        alone = [] if self.special_tokens else [place for place, own in enumerate(prompt.own) if not own]
        prediction = predict(self.loaded, ids, lambda: self._bound(alone))
        before = continue_prompt(self.loaded, ids, how)
        with self._bound(alone) as places:
            after = continue_prompt(self.loaded, ids, how, places)
        return Comparison(before, after, prediction)

    def _bound(self, left_alone: Sequence[int]) -> AbstractContextManager[Places]:
        return bind(
            self.loaded,
            self.hook,
            self.sae,
            self.changes,
            self.where,
            special_tokens=self.special_tokens,
            left_alone=left_alone,
        )
