"""A session: a language model, the SAE of one of its hooks, and what can be asked of both together."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, NamedTuple

import numpy as np

from featurelib.embedder.hidden_states.hooks import Hook, parse_hook
from featurelib.embedder.hidden_states.loading import LoadedModel
from featurelib.embedder.hidden_states.states import StateReader
from featurelib.embedder.hidden_states.windows import make_reading
from featurelib.language_model.comparison import Comparison, Intervention
from featurelib.language_model.generation import (
    Continuation,
    Generating,
    PromptTokens,
    context_of,
    continue_prompt,
    read_prompt,
)
from featurelib.language_model.intervention import Change, bind
from featurelib.language_model.token_places import Places, Where
from featurelib.schema import Refusal
from featurelib.session.origin import Origin
from featurelib.session.reading_states import TokenReader
from featurelib.session.shuffled import shuffled

if TYPE_CHECKING:
    from featurelib.sae.model import SAE
    from featurelib.sae.sparse import Sparse

MOST_CONTEXT = 1024
"""The context where neither checkpoint nor caller says it."""
BUFFER = 65_536
"""Rows of the shuffled buffer: 151 MB of dimension 576, 1.07 GB of 4,096."""


class EncodedText(NamedTuple):
    """The features of the tokens of one text."""

    tokens: tuple[str, ...]
    """What each token writes."""
    starts: np.ndarray
    """int32 [n_tokens]: its first character in the text."""
    ends: np.ndarray
    """int32 [n_tokens]: the character after its last; equal to its start for a token of the model's own."""
    activations: Sparse
    """What fires: `rows` count the tokens."""


@dataclass(eq=False)
class Session:
    """A model with its SAE; one thread may use it at a time. Made by `load_session`."""

    model: LoadedModel
    """The model with its head, and its tokenizer."""
    sae: SAE
    """The SAE, on the CPU in float32."""
    origin: Origin
    """What the checkpoint says, and what was given where it does not."""

    def __post_init__(self) -> None:
        """Find the hook in the model; Refusal where it is not there, or where the SAE is of another width."""
        if self.model.dimension != self.sae.d_in:
            raise Refusal(
                f"the SAE reads states of dimension {self.sae.d_in}, but those of {self.model.name} have "
                f"{self.model.dimension}; give model=, the one that it was trained on."
            )
        self._places: Places | None = None
        self._bound_sae = _folded(self.sae) if self.origin.centred else self.sae
        reading = make_reading(
            self.model.tokenizer,
            self.model.name,
            context_size=self.origin.context_size or min(context_of(self.model) or MOST_CONTEXT, MOST_CONTEXT),
            bos=self.origin.bos,
            is_causal=self.model.is_causal,
            chat_template=self.origin.chat_template,
        )
        reading = replace(reading, prefix=reading.prefix + self.origin.prompt)
        reader = StateReader(self.model, self.hook, shared=True)
        self._reader = TokenReader(reader, reading, self.origin.special_tokens, bool(self.origin.centred))

    @property
    def hook(self) -> Hook:
        """Where in the model the SAE reads."""
        return parse_hook(self.origin.hook or "")

    def activations(
        self, texts: Iterable[str], batch: int = 4096, buffer: int = BUFFER, seed: int = 0
    ) -> Iterator[np.ndarray]:
        """Yield shuffled batches of the hidden states of texts, float32 [batch, d], the last one shorter.

        Memory is bounded by `buffer` rows; equal texts and seeds give equal batches. The states are those on which
        the SAE was trained: special tokens as `origin` says. Texts are read each by itself, and not packed.
        """
        states = (window.states for window in self._reader.read(texts))
        return shuffled(states, batch=batch, buffer=buffer, seed=seed)

    def encode(self, text: str) -> EncodedText:
        """Return the features of the tokens of a text that count; Refusal for a text without a token."""
        windows = list(self._reader.read([text]))
        if not windows:
            raise Refusal("the text has no token for this model; type a few words.")
        ids = np.concatenate([window.ids for window in windows])
        sparse = self.sae.encode_sparse(np.concatenate([window.states for window in windows]))
        words = tuple(self.model.tokenizer.decode([int(token)]) for token in ids)
        starts, ends = (np.concatenate(column) for column in zip(*((w.starts, w.ends) for w in windows), strict=True))
        return EncodedText(words, starts, ends, sparse)

    @contextmanager
    def bind(
        self, features: Mapping[int, Change], where: Where = "all", *, special_tokens: bool = False
    ) -> Iterator[None]:
        """Change features in every forward pass of `model` inside the block, as language_model/intervention.py says.

        `features` maps feature_id to set_to(…), add(…) or multiply(…); `where` is all, prompt, generated or positions.
        """
        outer = self._places
        with bind(
            self.model, self.hook, self._bound_sae, features, where, special_tokens=special_tokens
        ) as self._places:
            try:
                yield
            finally:
                self._places = outer

    def generate(self, prompt: str, how: Generating | None = None, **changed: object) -> Continuation:
        """Return what the model writes after a prompt, with what `bind` changes if a block of it is open.

        `how` holds the limits and the sampling; its fields may be given by name: n_tokens=40, temperature=0.7, seed=1.
        """
        how = replace(how or Generating(), **changed)  # type: ignore[arg-type]
        return continue_prompt(self.model, self.prompt_ids(prompt), how, self._places)

    def compare(
        self, prompt: str, features: Mapping[int, Change], where: Where = "all", how: Generating | None = None
    ) -> Comparison:
        """Return both continuations of a prompt, the next token's probabilities and the loss, before and after."""
        change = Intervention(self.model, self.hook, self._bound_sae, features, where)
        return change.compare(self._read_prompt(prompt), how or Generating())

    def prompt_ids(self, prompt: str) -> list[int]:
        """Return the tokens of a prompt, BOS and chat template as the SAE was trained."""
        return self._read_prompt(prompt).ids

    def _read_prompt(self, prompt: str) -> PromptTokens:
        said = self.origin
        return read_prompt(self.model, prompt, bos=said.bos, chat_template=said.chat_template, prefix=said.prompt)


def _folded(sae: SAE) -> SAE:
    """Return the SAE for states whose mean is not taken off: (x − x̄)·W = x·(W − W̄), the bias b_dec taken along.

    Raises Refusal for an SAE that normalises.
    """
    if sae.norm != "none":
        raise Refusal(f"an SAE with the normalisation {sae.norm} on centred states is not known; give centred=False.")
    shift = sae.b_dec @ sae.W_enc if sae.subtract_b_dec else 0.0
    return replace(
        sae, W_enc=sae.W_enc - sae.W_enc.mean(0, keepdim=True), b_enc=sae.b_enc - shift, subtract_b_dec=False
    )
