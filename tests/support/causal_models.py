"""Tiny causal language models with random weights and a tokenizer of words, saved as folders."""

from __future__ import annotations

from pathlib import Path
from typing import Any

HOSTILE = "<img/src=x>*a*"
WORDS = [
    *(
        "the",
        "a",
        "of",
        "black",
        "hole",
        "star",
        "galaxy",
        "light",
        "we",
        "study",
        "measure",
        "that",
        "in",
        "and",
        "is",
    ),
    *("field", "graph", "proof", "theorem", ".", HOSTILE),
]
SIZES = {"hidden_size": 16, "num_hidden_layers": 3, "num_attention_heads": 2, "max_position_embeddings": 64}
TEXTS = [
    "we study the light of a black hole .",
    "the proof of the theorem is in the graph and that is a measure of the field .",
    "a star in the galaxy",
    "light",
    "we measure the field of the star and we study that graph in the light of the theorem .",
]


def make_model(folder: Path, family: str, *, bos: bool = False, seed: int = 0, **options: Any) -> Path:
    """A model of a family (gpt2, llama, gemma, gemma2, gpt_neox) in which tokens, gains and biases all differ."""
    import torch
    from transformers import AutoModelForCausalLM

    torch.manual_seed(seed)
    folder.mkdir(parents=True)
    tokenizer = _tokenizer(bos)
    model = AutoModelForCausalLM.from_config(_config(family, len(tokenizer), options)).eval()
    with torch.no_grad():
        for name, parameter in model.named_parameters():
            is_norm = "norm" in name or "ln_" in name
            parameter.copy_(0.4 * torch.randn(parameter.shape) + (1 if is_norm and name.endswith("weight") else 0))
    model.save_pretrained(folder)
    tokenizer.save_pretrained(folder)
    return folder


def _tokenizer(bos: bool) -> Any:
    from tokenizers import Tokenizer, models, pre_tokenizers
    from transformers import PreTrainedTokenizerFast

    vocabulary = {word: number for number, word in enumerate(["<unk>", "<s>", *WORDS])}
    plain = Tokenizer(models.WordLevel(vocabulary, unk_token="<unk>"))
    plain.pre_tokenizer = pre_tokenizers.WhitespaceSplit()
    named = {"bos_token": "<s>"} if bos else {}
    return PreTrainedTokenizerFast(tokenizer_object=plain, unk_token="<unk>", **named)


def _config(family: str, n_tokens: int, options: dict[str, Any]) -> Any:
    from transformers import AutoConfig

    sizes = dict(SIZES, vocab_size=n_tokens, bos_token_id=1, eos_token_id=None, pad_token_id=None)
    if family != "gpt2":
        sizes |= {"intermediate_size": 32}
    if family in ("gemma", "gemma2", "llama"):
        sizes |= {"head_dim": 8, "num_key_value_heads": 1}
    return AutoConfig.for_model(family, **(sizes | options))
