"""The head of a language model: the final norm and the unembedding, which turn hidden states into logits.

What a norm does is read from what it gives for random states, not from its name, and the logits that are computed here
are compared with the model's own, so that a head of another make is refused instead of misread.
"""

from __future__ import annotations

import json
from dataclasses import dataclass
from typing import Any

from featurelib.embedder.hidden_states.hooks import find_blocks
from featurelib.embedder.hidden_states.loading import LoadedModel
from featurelib.embedder.lookup import EmbedderFiles
from featurelib.schema import Refusal

FINAL_NORMS = ("norm", "ln_f", "final_layer_norm", "final_layernorm", "norm_f")
"""The names of the norm beside a model's blocks: Llama and most others, GPT-2, GPT-NeoX, Phi, MPT."""
CAUSAL = ("CausalLM", "LMHead", "ForConditionalGeneration")
"""What the class of a model that continues texts is called by."""
PROBE_TOKENS = 5
CLOSE = {"float32": 1e-3, "bfloat16": 5e-2, "float16": 1e-2}
"""How far the logits computed here may be from the model's own, as a share of the largest."""


@dataclass(frozen=True)
class Head:
    """logits = cap·tanh(z/cap) (z itself without a cap), z = factor · (W_U · norm(h) + b)."""

    unembedding: Any
    """The torch module that holds W_U, [vocabulary, d], and perhaps b."""
    gain: Any
    """What the final norm multiplies each dimension by, float32 tensor [d]."""
    centred: bool
    """Whether the norm takes the mean over the dimensions away first: LayerNorm does, RMSNorm does not."""
    factor: float
    """What the logits are multiplied by."""
    cap: float | None
    """The softcap of the logits, which Gemma 2 has; None for most."""

    @property
    def n_tokens(self) -> int:
        """How many tokens have a logit."""
        return int(self.unembedding.weight.shape[0])

    def logits(self, states: Any) -> Any:
        """Return the logits of states [n, d] that come from the final norm, float32 tensor [n, vocabulary]."""
        import torch

        plain = self.unembedding(states).float() * self.factor
        return plain if self.cap is None else self.cap * torch.tanh(plain / self.cap)


def why_no_head(model_files: EmbedderFiles) -> str | None:
    """Return why a model predicts no next token, in words without a full stop; None where it does, or may."""
    path = model_files.folder / "config.json" if model_files.folder is not None else None
    if path is None or not path.is_file():
        return None
    names = json.loads(path.read_text(encoding="utf-8")).get("architectures") or []
    if not names or any(kind in name for kind in CAUSAL for name in names):
        return None
    return f"{model_files.name} predicts no next token: its files are those of a {str(names[0])[:40]}"


def find_head(loaded: LoadedModel) -> Head:
    """Find the head of a model that was loaded with it.

    Raises Refusal for a model that predicts no next token, or whose norm or logits are computed in a way not known.
    """
    unembedding = loaded.model.get_output_embeddings()
    if unembedding is None or not loaded.is_causal:
        raise Refusal(
            f"the model {loaded.name} predicts no next token, so directions write no logits; give a causal language "
            "model with its head, such as GPT-2, Llama or Gemma."
        )
    norm = _final_norm(loaded)
    gain, centred = _read_norm(norm, loaded)
    factor, cap = _compare_logits(loaded, unembedding, norm)
    return Head(unembedding, gain, centred, factor, cap)


def _final_norm(loaded: LoadedModel) -> Any:
    """The norm that stands beside the list of blocks."""
    blocks = find_blocks(loaded.model, loaded.name)
    parent = next(module for module in loaded.model.modules() if any(child is blocks for child in module.children()))
    for name in FINAL_NORMS:
        if getattr(parent, name, None) is not None:
            return getattr(parent, name)
    children = ", ".join(child for child, _ in parent.named_children())
    raise Refusal(
        f"the model {loaded.name} has no final norm that is known ({children}); the logit lens reads models such as "
        "GPT-2, Llama, Gemma, Qwen, Mistral and GPT-NeoX."
    )


def _read_norm(norm: Any, loaded: LoadedModel) -> tuple[Any, bool]:
    """Find what a norm multiplies by and whether it takes the mean away, from what it gives for random states."""
    import torch

    dtype = getattr(torch, loaded.dtype)
    generator = torch.Generator().manual_seed(0)
    # their mean is far from 0, so that one that is taken away shows, and their spread makes epsilon vanish
    states = 100 * (torch.randn((4, loaded.dimension), generator=generator) + 1)
    states = states.to(dtype)
    given = norm(states.to(loaded.device)).float().cpu()
    bias, weight = (getattr(norm, name, None) for name in ("bias", "weight"))
    given = given if bias is None else given - bias.float().cpu()
    weight = torch.ones(loaded.dimension) if weight is None else weight.float().cpu()
    for centred in (False, True):
        x = states.float()
        x = x - x.mean(dim=1, keepdim=True) if centred else x
        x = x / x.square().mean(dim=1, keepdim=True).sqrt()
        for gain in (weight, 1 + weight):
            if (given - x * gain).abs().max() <= CLOSE[loaded.dtype] * given.abs().max():
                return gain, centred
    raise Refusal(
        f"the final norm of {loaded.name} ({type(norm).__name__}) is neither LayerNorm nor RMSNorm, so what a "
        "direction writes behind it cannot be computed; give a model such as GPT-2, Llama or Gemma."
    )


def _compare_logits(loaded: LoadedModel, unembedding: Any, norm: Any) -> tuple[float, float | None]:
    """Find the factor and the softcap of the logits; Refusal where they are not W_U times what the norm gives."""
    import torch

    ids = torch.arange(PROBE_TOKENS, device=loaded.device)[None]
    normed = []
    attached = norm.register_forward_hook(lambda module, args, output: normed.append(output))
    try:
        with torch.inference_mode():
            own = loaded.model(input_ids=ids, use_cache=False).logits[0].float()
            plain = unembedding(normed[-1][0]).float()
            trunk = unembedding(loaded.model.base_model(input_ids=ids, use_cache=False)[0][0]).float()
    finally:
        attached.remove()
    cap = getattr(loaded.model.config.get_text_config(), "final_logit_softcapping", None)
    uncapped = cap * torch.atanh(own / cap) if cap else own
    factor = float((uncapped * plain).sum() / plain.square().sum())
    # two roundings apart are the same factor
    factor = 1.0 if abs(factor - 1) < CLOSE[loaded.dtype] / 10 else factor
    worst = max(float((uncapped - factor * z).abs().max()) for z in (plain, trunk))
    if not worst <= CLOSE[loaded.dtype] * max(float(uncapped.abs().max()), 1e-6):
        raise Refusal(
            f"the logits of {loaded.name} are not its unembedding times what its final norm gives (they differ by "
            f"{worst:.2g}); give a model such as GPT-2, Llama or Gemma."
        )
    return factor, cap
