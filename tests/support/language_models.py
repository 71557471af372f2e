"""Tiny language models with random weights, saved as transformers saves models; their tokens are words."""

from __future__ import annotations

from pathlib import Path

import torch
from tokenizers import Tokenizer
from tokenizers.models import WordLevel
from tokenizers.pre_tokenizers import Whitespace
from transformers import GPT2Config, GPT2LMHeadModel, LlamaConfig, LlamaForCausalLM, PreTrainedTokenizerFast

from featurelib.sae.gates import Relu, TopK
from featurelib.sae.model import SAE

WORDS = [f"w{number}" for number in range(58)]
"""The words that the tokenizer knows; others become <unk>."""
D, LAYERS, CONTEXT = 32, 4, 64


def save_language_model(folder: Path, kind: str = "llama") -> Path:
    """Write a tiny Llama or GPT-2 with its tokenizer; equal calls give equal weights."""
    torch.manual_seed(0)
    sizes = {"vocab_size": 64, "bos_token_id": 0, "eos_token_id": 1, "pad_token_id": 1}
    if kind == "llama":
        model: torch.nn.Module = LlamaForCausalLM(
            LlamaConfig(
                hidden_size=D, intermediate_size=64, num_hidden_layers=LAYERS, num_attention_heads=4,
                num_key_value_heads=2, max_position_embeddings=CONTEXT, **sizes,
            )
        )  # fmt: skip
    else:
        model = GPT2LMHeadModel(GPT2Config(n_embd=D, n_layer=LAYERS, n_head=4, n_positions=CONTEXT, **sizes))
    with torch.no_grad():
        for parameter in model.parameters():
            parameter.mul_(6 if parameter.ndim > 1 else 1)  # random logits that differ enough to continue a prompt
    model.save_pretrained(folder)
    vocabulary = {word: number for number, word in enumerate(["<s>", "</s>", "<unk>", *WORDS])}
    tokenizer = Tokenizer(WordLevel(vocabulary, unk_token="<unk>"))
    tokenizer.pre_tokenizer = Whitespace()
    PreTrainedTokenizerFast(
        tokenizer_object=tokenizer, bos_token="<s>", eos_token="</s>", unk_token="<unk>", model_max_length=CONTEXT
    ).save_pretrained(folder)
    return folder


def random_sae(
    n_features: int = 48, *, d: int = D, k: int | None = None, norm: str = "none", shift_back: bool = True
) -> SAE:
    """An SAE with random directions that are not of unit length; `k` makes it a TopK."""
    draw = torch.Generator().manual_seed(n_features)
    W_dec = torch.randn(n_features, d, generator=draw)
    return SAE(
        W_enc=torch.randn(d, n_features, generator=draw) / d**0.5,
        b_enc=0.1 * torch.randn(n_features, generator=draw),
        W_dec=W_dec,
        b_dec=0.1 * torch.randn(d, generator=draw),
        gate=Relu() if k is None else TopK(k),
        norm=norm,
        shift_back=shift_back,
    )
