"""Tensors whose names were changed by torch's wrappers: the SAE is that of the bare module."""

from __future__ import annotations

import copy

import numpy as np
import pytest
import torch
from safetensors.torch import save_file

from featurelib.sae.checkpoints import load_sae
from featurelib.schema import Refusal
from tests.sae.formats.test_unknown_keys import EXPORT
from tests.sae.test_sae import B_DEC, THRESHOLD, X
from tests.support.foreign import JUMPING, LINEAR, checkpoint, pt, published, safe, tensors
from tests.support.sae_files import examples, planted_rows

TRAINER = {"dict_class": "BatchTopKSAE", "trainer_class": "BatchTopKTrainer", "activation_dim": 4, "dict_size": 6}
TRAINED = LINEAR | {"b_dec": B_DEC, "k": torch.tensor(2), "threshold": torch.tensor(float(THRESHOLD[0]))}
CONFIG = {"trainer": TRAINER | {"k": 2}, "buffer": {}}


def renamed(prefix, arrays):
    return {f"{prefix}{name}": array for name, array in arrays.items()}


@pytest.mark.parametrize(
    "prefix", ["_orig_mod.", "module.", "module._orig_mod.", "_orig_mod.module.", "_fsdp_wrapped_module._orig_mod."]
)
def test_prefixes_alone_and_nested_are_taken_off_in_both_kinds_of_file(prefix, tmp_path):
    published(load_sae(safe(tmp_path / "safe", renamed(prefix, JUMPING), EXPORT)), "B4 jumprelu")
    bare = load_sae(pt(tmp_path / "bare", TRAINED, CONFIG, name="ae.pt")).encode(X)
    wrapped = load_sae(pt(tmp_path / "wrapped", renamed(prefix, TRAINED), CONFIG, name="ae.pt")).encode(X)
    assert (bare > 0).any() and torch.equal(bare, wrapped)


def test_what_torch_itself_writes_of_wrapped_modules_is_read(tmp_path):
    class Dictionary(torch.nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.encoder, self.decoder = torch.nn.Linear(4, 6), torch.nn.Linear(6, 4, bias=False)
            self.b_dec = torch.nn.Parameter(torch.zeros(4))
            self.register_buffer("k", torch.tensor(2))
            self.register_buffer("threshold", torch.tensor(0.0))

    bare = Dictionary()
    bare.load_state_dict(tensors(TRAINED))
    expected = load_sae(pt(tmp_path / "bare", bare.state_dict(), CONFIG, name="ae.pt")).encode(X)
    part = copy.deepcopy(bare)
    part.encoder = torch.compile(part.encoder)
    wrapped = {
        "whole": torch.compile(bare),
        "part": part,
        "parallel": torch.nn.DataParallel(torch.compile(bare)),
        "averaged": torch.optim.swa_utils.AveragedModel(bare),
    }
    for name, module in wrapped.items():
        state = module.state_dict()
        assert state.keys() != bare.state_dict().keys()
        assert torch.equal(load_sae(pt(tmp_path / name, state, CONFIG, name="ae.pt")).encode(X), expected), name


@pytest.mark.parametrize("name", examples(32, 48))
def test_a_wrapped_module_in_any_format_is_that_of_the_bare_module(name, tmp_path):
    example, x = examples(32, 48)[name], planted_rows(32)[:20]
    bare = load_sae(example.write(tmp_path / "bare", example.tensors), **example.asked).encode(x)
    wrapped = example.write(tmp_path / "wrapped", renamed("module._orig_mod.", example.tensors))
    assert (bare > 0).any() and torch.equal(load_sae(wrapped, **example.asked).encode(x), bare)


def test_a_file_that_holds_a_tensor_with_and_without_its_wrapper_is_refused(tmp_path):
    folder = safe(tmp_path / "sae", JUMPING, EXPORT)
    both = tensors(JUMPING) | {"_orig_mod.b_dec": torch.tensor(np.zeros(4))}
    save_file({name: tensor.contiguous() for name, tensor in both.items()}, folder / "sae_weights.safetensors")
    with pytest.raises(Refusal, match="holds b_dec twice, with and without the name of a wrapper"):
        checkpoint(folder)
