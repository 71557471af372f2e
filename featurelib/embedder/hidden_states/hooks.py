"""Hooks: the places in a language model where hidden states are read or changed, by TransformerLens' names.

A model of transformers has its blocks in one ModuleList as long as its config says; within a block, attention and MLP
are found by the names that its families use. Gemma 2 and its kin normalise what attention and MLP give before it is
added to the residual stream; as in TransformerLens, `hook_attn_out` and `hook_mlp_out` are what is added.
"""

from __future__ import annotations

import difflib
import inspect
import re
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

from featurelib.schema import Refusal

SITES = ("hook_resid_pre", "hook_resid_post", "hook_mlp_out", "hook_attn_out")
"""What enters a block, what leaves it, and what its MLP and its attention add."""
HOOK_NAME = re.compile(r"blocks\.(\d{1,4})\.(hook_\w+)", re.ASCII)
LAYER = re.compile(r"\d{1,4}", re.ASCII)
MODULE_NAME = re.compile(r"(?:(?:model|transformer|gpt_neox)\.)?(?:layers|h)\.(\d{1,4})", re.ASCII)
"""How sparsify and OpenSAE name a hook: by the module whose output is read."""
ATTENTIONS = ("self_attn", "attn", "attention", "self_attention")
MLPS = ("mlp", "feed_forward", "ffn")
ADDED_ATTENTION, ADDED_MLP = "post_attention_layernorm", "post_feedforward_layernorm"
"""In a block that has the second, both norms stand behind attention and MLP instead of before them."""


@dataclass(frozen=True)
class Hook:
    """One place in a language model."""

    layer: int
    """The number of the block, from 0."""
    site: str
    """One of SITES."""

    @property
    def name(self) -> str:
        """The name that TransformerLens and SAELens use."""
        return f"blocks.{self.layer}.{self.site}"


def parse_hook(name: str) -> Hook:
    """Return the hook of a name: blocks.12.hook_resid_pre, a layer's number or layers.12 (both: what leaves block 12).

    Raises Refusal for a name that nobody knows.
    """
    if LAYER.fullmatch(name):
        return Hook(int(name), "hook_resid_post")
    if match := MODULE_NAME.fullmatch(name):
        return Hook(int(match[1]), "hook_resid_post")
    if (match := HOOK_NAME.fullmatch(name)) and match[2] in SITES:
        return Hook(int(match[1]), match[2])
    near = difflib.get_close_matches(name, [f"blocks.{match[1] if match else 12}.{site}" for site in SITES], n=1)
    mend = (
        f"did you mean {near[0]}?"
        if near
        else f"give a layer's number, or blocks.12.X with X one of {', '.join(SITES)}."
    )
    raise Refusal(f"there is no hook '{name[:80]}'; {mend}")


def find_blocks(model: Any, name: str) -> Any:
    """Return the ModuleList of a model's blocks; Refusal where none is as long as its config says."""
    import torch

    n_layers = getattr(model.config.get_text_config(), "num_hidden_layers", None)
    lists = [module for module in model.modules() if isinstance(module, torch.nn.ModuleList)]
    blocks = next((module for module in lists if len(module) == n_layers), None)
    if blocks is None:
        raise Refusal(
            f"the model {name} has no list of {n_layers} blocks, so its layers cannot be found; "
            "give a decoder or encoder of transformers, such as GPT-2, Llama, Gemma or BERT."
        )
    return blocks


def attach(model: Any, hook: Hook, name: str, act: Callable[[Any], Any]) -> Any:
    """Call `act` with the hidden states [batch, tokens, d] at a hook; what it returns takes their place, unless None.

    Returns torch's handle, whose remove() takes the hook off. `name` is what people call the model. Raises Refusal for
    a layer that is not there, or a block without that part.
    """
    blocks = find_blocks(model, name)
    if hook.layer >= len(blocks):
        raise Refusal(f"the model {name} has the layers 0 to {len(blocks) - 1}; there is no layer {hook.layer}.")
    block = blocks[hook.layer]
    if hook.site == "hook_resid_pre":
        return block.register_forward_pre_hook(_before(act), with_kwargs=True)
    scale = getattr(model.config.get_text_config(), "residual_multiplier", None)
    if hook.site != "hook_resid_post" and scale not in (None, 1):
        raise Refusal(
            f"the model {name} multiplies what attention and MLP give by {scale:g} before adding it; use "
            "hook_resid_pre or hook_resid_post."
        )
    module = block if hook.site == "hook_resid_post" else _part(block, hook, name)
    return module.register_forward_hook(_after(act))


def _part(block: Any, hook: Hook, name: str) -> Any:
    of_attention = hook.site == "hook_attn_out"
    if hasattr(block, ADDED_MLP):
        return getattr(block, ADDED_ATTENTION if of_attention else ADDED_MLP)
    for part in ATTENTIONS if of_attention else MLPS:
        if hasattr(block, part):
            _refuse_with_residual(getattr(block, part), hook, name)
            return getattr(block, part)
    children = ", ".join(child for child, _ in block.named_children())
    raise Refusal(
        f"a block of the model {name} has no part that is known as {'attention' if of_attention else 'MLP'} "
        f"({children}); use hook_resid_pre or hook_resid_post."
    )


def _refuse_with_residual(part: Any, hook: Hook, name: str) -> None:
    """Refuse a part that adds the residual stream itself (BLOOM, MPT), or a norm behind it (BERT, MPNet)."""
    takes_it = "residual" in inspect.signature(part.forward).parameters
    if takes_it or any(child.endswith("LayerNorm") for child, _ in part.named_modules()):
        raise Refusal(
            f"in a block of the model {name} what {hook.site} means is not there by itself: its {type(part).__name__} "
            "adds the residual stream too; use hook_resid_pre or hook_resid_post."
        )


def _before(act: Callable[[Any], Any]) -> Callable[..., Any]:
    def pre_hook(module: Any, args: tuple[Any, ...], kwargs: dict[str, Any]) -> Any:
        states = args[0] if args else kwargs["hidden_states"]
        changed = act(states)
        if changed is None:
            return None
        return ((changed, *args[1:]), kwargs) if args else (args, kwargs | {"hidden_states": changed})

    return pre_hook


def _after(act: Callable[[Any], Any]) -> Callable[..., Any]:
    def hook(module: Any, args: tuple[Any, ...], output: Any) -> Any:
        alone = not isinstance(output, tuple)
        changed = act(output if alone else output[0])
        if changed is None:
            return None
        return changed if alone else (changed, *output[1:])

    return hook
