"""A sentence-transformers model as an embedder: the one door to sentence-transformers."""

from __future__ import annotations

import contextlib
import threading
from collections.abc import Callable, Iterator, Sequence
from typing import Any, NamedTuple

import numpy as np

from featurelib.embedder import token_states as states
from featurelib.embedder.backends import use_backend
from featurelib.embedder.batches import BATCH_TOKENS, choose_device, gpu_memory, spread_over_threads
from featurelib.embedder.facts import EmbedderFacts, OnShares, TokenCounts, TokenStates
from featurelib.embedder.lookup import EmbedderFiles
from featurelib.embedder.positions import limit_length
from featurelib.schema import Refusal

BATCH_TEXTS = {"cpu": 256, "cuda": 1024}
"""The most texts that go through the model at a time."""
DTYPES = ("float32", "bfloat16")
"""What a sentence encoder may be asked to compute in; float16 is what a GPU computes in when nothing is asked for."""
NO_LIMIT = 1_000_000
"""A max_seq_length from here on stands for none."""


class _Embedded(NamedTuple):
    """The embeddings of a batch, float32 [n, d], and the shares of each text where these were asked for."""

    rows: np.ndarray
    shares: list[np.ndarray]


class SentenceEmbedder:
    """A sentence-transformers model that is loaded; made by `load_embedder`."""

    def __init__(
        self,
        model_files: EmbedderFiles,
        *,
        prompt: str | None,
        normalize: bool | None,
        max_seq_length: int | None,
        device: str,
        backend: str = "torch",
        dtype: str | None = None,
    ) -> None:
        self.device = choose_device(device) if backend == "torch" else "cpu"
        self._backend = backend
        self._model = _load(model_files, self.device)
        self._model.eval()
        self.precision = _precision(dtype, self.device, self._model, model_files.name)
        self._tokenizing = threading.Lock()
        own_normalize = type(self._model[-1]).__name__ == "Normalize"
        if own_normalize and normalize is False:
            del self._model[-1]
        self._renormalize = normalize is True and not own_normalize
        limit_length(self._model, model_files.name, max_seq_length)
        self._prompt = self._model.prompts.get(self._model.default_prompt_name) if prompt is None else prompt
        if backend != "torch":
            use_backend(self._model, backend, model_files, self.precision)
        limit = self._model.max_seq_length
        self.whole_reason = states.why_whole(self._model)
        # on a GPU, and where there is no transformer, texts are embedded again in no time
        self.gives_shares = self.whole_reason is None and self.device == "cpu" and not _is_bare(self._model.tokenizer)
        self.facts = EmbedderFacts(
            name=model_files.name,
            origin=model_files.origin,
            revision=model_files.revision,
            weights_sha256=model_files.weights_sha256,
            prompt=self._prompt or None,
            pooling=_pooling(self._model),
            normalize=own_normalize if normalize is None else normalize,
            max_seq_length=int(limit) if limit is not None and limit < NO_LIMIT else None,
            dimension=int(self._model.get_embedding_dimension()),
        )

    def embed(
        self,
        texts: Sequence[str],
        *,
        batch_size: int | None = None,
        with_prompt: bool = True,
        on_batch: Callable[[int], None] | None = None,
        on_shares: OnShares | None = None,
    ) -> np.ndarray:
        """Return float32 [n, dimension]; see `Embedder.embed`.

        Texts go through the model in the order of their length, longest first, so that little is spent on padding;
        `batch_size` fixes the number of texts in a batch, which otherwise follows from their length.
        """
        texts = list(texts)
        prompt = (self._prompt or "") if with_prompt else ""
        embeddings = np.zeros((len(texts), self.facts.dimension), dtype=np.float32)
        batches = list(self._batches(self._lengths(texts), batch_size))
        with spread_over_threads(self.device, len(batches)) as each:

            def work(batch: np.ndarray) -> _Embedded:
                return self._embed_batch([texts[i] for i in batch], prompt, on_shares is not None)

            for batch, embedded in each(work, batches):
                embeddings[batch] = embedded.rows
                if on_shares:
                    for row, shares in zip(batch.tolist(), embedded.shares, strict=True):
                        on_shares(row, shares)
                if on_batch:
                    on_batch(len(batch))
        return embeddings

    def tokens(self, texts: Sequence[str]) -> TokenCounts:
        """Return the tokens of each text and where reading stops; see `Embedder.tokens`."""
        prompted = [(self._prompt or "") + text for text in texts]
        n_tokens = np.array([len(ids) for ids in self._token_ids(prompted)], dtype=np.int32)
        limit = self.facts.max_seq_length
        truncated = n_tokens > limit if limit is not None else np.zeros(len(prompted), dtype=bool)
        cut = np.full(len(prompted), -1, dtype=np.int32)
        long = np.flatnonzero(truncated)
        if len(long):
            ends = np.array(self._ends([prompted[i] for i in long]), dtype=np.int32)
            cut[long] = np.where(ends < 0, -1, np.maximum(ends - len(self._prompt or ""), 0))
        return TokenCounts(n_tokens, truncated, cut)

    def token_states(self, texts: Sequence[str], known: Sequence[np.ndarray | None] = ()) -> list[TokenStates]:
        """Return what each token of each text brings to its embedding; see `Embedder.token_states`."""
        if self.whole_reason is not None:
            raise Refusal(
                f"an embedding of {self.facts.name} is no sum over tokens: {self.whole_reason}; "
                "only deleting words can be shown for it."
            )
        texts = list(texts)
        states_of_texts = self._known_states(texts, known) if any(x is not None for x in known) else [None] * len(texts)
        rest = np.array([row for row, text_states in enumerate(states_of_texts) if text_states is None], dtype=np.int64)
        batches = [rest[batch] for batch in self._batches(self._lengths([texts[row] for row in rest]), None)]
        with spread_over_threads(self.device, len(batches)) as each:
            for batch, batch_states in each(lambda batch: self._split([texts[i] for i in batch]), batches):
                for row, text_states in zip(batch, batch_states, strict=True):
                    states_of_texts[row] = text_states
        return [states for states in states_of_texts if states is not None]

    def _known_states(self, texts: list[str], known: Sequence[np.ndarray | None]) -> list[TokenStates | None]:
        spans = states.find_spans(self._model.tokenizer, texts, self._prompt or "", self.facts.max_seq_length)
        return [
            states.known_states(shares, of_text) if shares is not None else None
            for shares, of_text in zip(known, spans, strict=True)
        ]

    def _split(self, texts: list[str]) -> list[TokenStates]:
        import torch

        with self._tokenizing:
            spans = states.find_spans(self._model.tokenizer, texts, self._prompt or "", self.facts.max_seq_length)
        with gpu_memory(len(texts)), torch.inference_mode():
            if _is_bare(self._model.tokenizer):
                states_of_texts = [states.split_static(self._model, text_spans) for text_spans in spans]
            else:
                states_of_texts = self._split_batch(texts, spans)
        return (
            [states.normalized(text_states) for text_states in states_of_texts]
            if self._renormalize
            else states_of_texts
        )

    def _split_batch(self, texts: list[str], spans: list[states.Spans]) -> list[TokenStates]:
        with self._tokenizing:
            features = self._model.preprocess(texts, prompt=self._prompt or "")
        features = {name: _moved(value, self.device) for name, value in features.items()}
        return states.split_batch(self._model, self._transformed(features), spans)

    def _lengths(self, texts: list[str]) -> np.ndarray:
        """int64 [n]: tokens that the model will read, without the prompt."""
        lengths = np.array([len(ids) for ids in self._token_ids(texts)], dtype=np.int64)
        return np.minimum(lengths, self.facts.max_seq_length or NO_LIMIT)

    def _token_ids(self, texts: list[str]) -> list[list[int]]:
        if not texts:
            return []
        tokenizer = self._model.tokenizer
        if _is_bare(tokenizer):
            return [encoding.ids for encoding in tokenizer.encode_batch(texts)]
        encodings = tokenizer(texts, truncation=False, padding=False, return_attention_mask=False, verbose=False)
        ids: list[list[int]] = encodings["input_ids"]
        return ids

    def _ends(self, texts: list[str]) -> list[int]:
        """The character at which the last token that is read ends, for each text; -1 where it cannot be told."""
        tokenizer = self._model.tokenizer
        if _is_bare(tokenizer) or not tokenizer.is_fast or tokenizer.truncation_side != "right":
            return [-1] * len(texts)
        encodings = tokenizer(
            texts, truncation="longest_first", max_length=self.facts.max_seq_length, return_offsets_mapping=True
        )
        return [max(end for _, end in offsets) for offsets in encodings["offset_mapping"]]

    def _batches(self, lengths: np.ndarray, batch_size: int | None) -> Iterator[np.ndarray]:
        order = np.argsort(-lengths, kind="stable")
        budget, most = BATCH_TOKENS[self.device], BATCH_TEXTS[self.device]
        start = 0
        while start < len(order):
            longest = max(int(lengths[order[start]]), 1)
            size = batch_size or max(1, min(most, budget // longest))
            yield order[start : start + size]
            start += size

    def _embed_batch(self, texts: list[str], prompt: str, with_shares: bool = False) -> _Embedded:
        with gpu_memory(len(texts)):
            return self._forward(texts, prompt, with_shares)

    def _forward(self, texts: list[str], prompt: str, with_shares: bool) -> _Embedded:
        import torch

        with self._tokenizing:
            features = self._model.preprocess(texts, prompt=prompt)
        with torch.inference_mode():
            features = {name: _moved(value, self.device) for name, value in features.items()}
            features = self._compute(features)
            embedded = features["sentence_embedding"].float()
            if self._renormalize:
                embedded = torch.nn.functional.normalize(embedded, p=2, dim=1)
            split = states.batch_shares(self._model, features) if with_shares else []
            shares = [torch.vstack([own, offset]).cpu().numpy() for own, offset in split]
        if self._renormalize:
            shares = [states.shares_normalized(own) for own in shares]
        return _Embedded(embedded.cpu().numpy(), shares)

    def _compute(self, features: dict[str, Any]) -> dict[str, Any]:
        """What the model makes of its features; what stands behind the transformer computes in float32."""
        features = self._transformed(features)
        for module in list(self._model)[1:]:
            features = module(features)
        return features

    def _transformed(self, features: dict[str, Any]) -> dict[str, Any]:
        """What the transformer makes of its features, in `precision`; as float32."""
        import torch

        is_exact = self.precision == "float32" or self._backend != "torch"  # another backend sees to it itself
        numbers = getattr(torch, self.precision)
        with contextlib.nullcontext() if is_exact else torch.autocast(self.device, numbers):
            features = self._model[0](features)
        return {name: _in_float32(value) for name, value in features.items()}


def _precision(dtype: str | None, device: str, model: Any, name: str) -> str:
    """The numbers that a transformer computes with where `dtype` is asked for; Refusal where it has no meaning."""
    if dtype not in (None, *DTYPES):
        raise Refusal(f"a sentence encoder computes in {' or '.join(DTYPES)}, and {dtype} was asked for.")
    if dtype == "bfloat16" and type(model[0]).__name__ != "Transformer":
        raise Refusal(f"{name} has no transformer to compute in bfloat16; leave --dtype out.")
    return dtype or ("float16" if device == "cuda" else "float32")


def _in_float32(value: Any) -> Any:
    import torch

    return value.float() if torch.is_tensor(value) and value.is_floating_point() else value


def _moved(value: Any, device: str) -> Any:
    return value.to(device) if hasattr(value, "to") else value


def _load(model_files: EmbedderFiles, device: str) -> Any:
    import torch
    from sentence_transformers import SentenceTransformer
    from transformers.utils import logging

    logging.disable_progress_bar()  # type: ignore[no-untyped-call]
    try:
        return SentenceTransformer(
            str(model_files.folder),
            device=device,
            trust_remote_code=False,
            local_files_only=True,
            model_kwargs={"use_safetensors": True, "dtype": torch.float32},
        )
    except (OSError, ValueError, KeyError, TypeError, AttributeError, ImportError, RuntimeError) as error:
        reason = " ".join(str(error).split()).replace(str(model_files.folder), model_files.name)[:160]
        raise Refusal(
            f"the embedder {model_files.name} cannot be loaded ({type(error).__name__}: {reason}); "
            "give a model that sentence-transformers loads without code of its own."
        ) from error


def _pooling(model: Any) -> str:
    for module in model:
        mode = getattr(module, "pooling_mode", None)
        if mode is not None:
            return mode if isinstance(mode, str) else "+".join(mode)
    return "mean" if type(model[0]).__name__ == "StaticEmbedding" else type(model[0]).__name__


def _is_bare(tokenizer: Any) -> bool:
    """Whether it is a tokenizer of the tokenizers library, as static embeddings have, which reads texts whole."""
    return hasattr(tokenizer, "encode_batch") and not hasattr(tokenizer, "is_fast")
