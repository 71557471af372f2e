"""The answers of the worker, as the client gives them back; between the two processes they are JSON.

The answer about two texts is `featurelib.steering.Similarity`. A number keeps all its bits on the way: a float32 is
written as the float64 it equals and read back as float32.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, fields
from typing import Any, NamedTuple, TypeVar

import numpy as np

from featurelib.steering import Similarity as Similarity

Answer = TypeVar("Answer")

DTYPES: dict[str, Any] = {
    **dict.fromkeys(("feature_ids", "after_ids", "missed_ids", "pairs", "starts", "ends", "places"), np.int32),
    **dict.fromkeys(("activations", "after_activations", "missed_pre_activations", "missed_thresholds"), np.float32),
    **dict.fromkeys(("embedding", "before", "after", "by_word", "changes"), np.float32),
    **dict.fromkeys(("shares", "pair_shares", "before_shares", "after_shares"), np.float64),
}
"""The type of each array, by the name of its field."""
PAIRED = {("Similarity", "activations"), ("Similarity", "pairs")}
"""The arrays of shape [n, 2], by class (`featurelib.steering.Similarity`) and field; all others have one dimension."""


@dataclass(frozen=True, eq=False)
class TriedText:
    """What a text of the user's own does in a run."""

    feature_ids: np.ndarray
    """The features that fire, the most strongly active first, int32 [n_active]."""
    activations: np.ndarray
    """float32 [n_active]."""
    n_tokens: int
    """Tokens of the text, prompt and special tokens included."""
    truncated: bool
    """Whether the embedder stops before the end of the text."""
    cut: int
    """The character at which it stops; -1 when it reads the whole text."""
    fvu: float
    """‖x − x̂‖² / ‖x − x̄‖² of this one text, x̄ the mean of the run's texts."""
    cosine: float
    """cos(x, x̂)."""
    wordless: bool
    """Whether the embedder finds no token in it beyond those that the empty text has."""


@dataclass(frozen=True, eq=False)
class TriedClosely(TriedText):
    """A tried text with its embedding and the features that nearly fire on it."""

    embedding: np.ndarray
    """float32 [d], rounded as the run's own embeddings are."""
    missed_ids: np.ndarray
    """The features that do not fire, the one nearest to its threshold first, int32 [up to 20]."""
    missed_pre_activations: np.ndarray
    """Their pre-activations, float32."""
    missed_thresholds: np.ndarray
    """Their thresholds on this text, float32."""


@dataclass(frozen=True)
class FeatureOnText:
    """What a text does to one feature."""

    activation: float
    """The feature's value after its gate; 0 when it does not fire."""
    pre_activation: float
    """The value before its gate."""
    threshold: float
    """The value that must be exceeded, as the SAE stores it; 0 where that depends on the text (TopK)."""
    fires: bool
    """Whether the feature is active."""


@dataclass(frozen=True, eq=False)
class Attribution:
    """A feature's pre-activation on a text as a sum: Σ by_word + special + constant = pre_activation.

    In a token run it is no sum: `by_word` is the activation on each token on which the feature fires, and the
    pre-activation that of the token nearest to firing.
    """

    feature_id: int
    """The feature."""
    starts: np.ndarray
    """The first character of each word that the embedder reads, int32 [n_words]."""
    ends: np.ndarray
    """The character after its last, int32 [n_words]."""
    by_word: np.ndarray
    """What each word adds, float32 [n_words]."""
    special: float
    """What the model's own tokens ([CLS], [SEP]) and those of the prompt add."""
    constant: float
    """What no token adds: the biases."""
    pre_activation: float
    """The feature's value on this text before its gate."""
    threshold: float
    """What must be exceeded on this text for the feature to fire."""
    is_sum: bool = True
    """Whether it is a sum; not in a token run."""


@dataclass(frozen=True, eq=False)
class Deletions:
    """How a feature's pre-activation changes when one word of a text is deleted and the rest embedded again."""

    starts: np.ndarray
    """The first character of each word that was deleted, int32 [n_words]; each was deleted alone."""
    ends: np.ndarray
    """The character after its last, int32 [n_words]."""
    changes: np.ndarray
    """The pre-activation with the word minus that without it, float32 [n_words]."""
    n_words_left_out: int
    """Words that were not deleted, because there were too many or the time was up."""
    pre_activation: float
    """The feature's value on the whole text before its gate."""
    by_word: np.ndarray | None
    """The attributions of the same words, float32 [n_words]; None where the embedding is no sum over tokens."""
    rank_correlation: float | None
    """Spearman's, of attributions and changes over these words; None without attributions and for a constant one."""
    correlation: float | None
    """Pearson's, likewise: decided by the few words that matter, where ranks are decided by the many that hardly do."""
    whole_reason: str | None
    """Why there are no attributions; None where there are."""


@dataclass(frozen=True, eq=False)
class Steered:
    """An embedding before and after steering, and the features that fire on both."""

    before: np.ndarray
    """The embedding, float32 [d]."""
    after: np.ndarray
    """The steered embedding, float32 [d]; the same bits as `before` when no activation differs."""
    cosine: float | None
    """cos(before, after); None where one of them is zero."""
    renormalised: bool
    """Whether the run's embeddings have length 1, so that a steered one was brought back to it."""
    scale: float
    """What one unit of activation is in the embedding: the spread that the SAE's normalisation removed, else 1."""
    feature_ids: np.ndarray
    """The features that fire on `before`, the most strongly active first, int32 [n]."""
    activations: np.ndarray
    """float32 [n]."""
    after_ids: np.ndarray
    """The features that fire when `after` is encoded again, the most strongly active first, int32 [m]."""
    after_activations: np.ndarray
    """float32 [m]."""


@dataclass(frozen=True, eq=False)
class PromptFeatures:
    """The features that fire on the tokens of a prompt."""

    tokens: tuple[str, ...]
    """What each token writes, BOS and the chat template's left out."""
    feature_ids: np.ndarray
    """The features, that with the strongest token first, int32 [n]."""
    activations: np.ndarray
    """The greatest activation of each, float32 [n]."""
    places: np.ndarray
    """Which of the tokens has it, int32 [n]."""


@dataclass(frozen=True, eq=False)
class Intervened:
    """A prompt continued by a run's language model, as it is and with features changed."""

    before_text: str
    """What it writes as it is."""
    after_text: str
    """What it writes with the changes."""
    before_end: str
    """Why the first ends where it does: stop, tokens, seconds or context."""
    after_end: str
    """Why the second does."""
    next_words: tuple[str, ...]
    """The next tokens that are likeliest in one of both."""
    before_shares: np.ndarray
    """The probability of each as the model is, float64 [n]."""
    after_shares: np.ndarray
    """With the changes."""
    kl: float
    """KL(before ‖ after) of the next token, in nats."""
    before_loss: float | None
    """Mean −ln p of the prompt's tokens, in nats; None for a prompt of one token."""
    after_loss: float | None
    """The same with the changes."""
    n_prompt: int
    """Tokens of the prompt, BOS included."""


class FeatureChange(NamedTuple):
    """What is done to the activation of one feature."""

    feature_id: int
    kind: str
    """set, add or multiply."""
    value: float


def to_json(answer: Any) -> Any:
    """Return an answer (a dataclass, an array, or a list of such) as values that JSON can write."""
    if isinstance(answer, list):
        return [to_json(member) for member in answer]
    if isinstance(answer, np.ndarray):
        return answer.tolist()
    values = {field.name: getattr(answer, field.name) for field in fields(answer)}
    return {name: value.tolist() if isinstance(value, np.ndarray) else value for name, value in values.items()}


def from_json(kind: type[Answer], values: Mapping[str, Any]) -> Answer:
    """Return what `to_json` wrote of a result of this kind; DTYPES says which of its fields are arrays."""
    return kind(**{name: _field(kind.__name__, name, value) for name, value in values.items()})


def _field(kind: str, name: str, value: Any) -> Any:
    if name not in DTYPES or value is None:
        return tuple(value) if isinstance(value, list) else value
    array = np.array(value, DTYPES[name])
    return array.reshape(-1, 2) if (kind, name) in PAIRED else array
