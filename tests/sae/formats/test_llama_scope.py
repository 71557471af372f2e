"""Llama Scope's files and later ones of lm_saes, against the formulas of SAELens' loader and of lm_saes."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from safetensors.torch import save_file

from featurelib.sae.checkpoints import load_sae
from featurelib.schema import Refusal
from tests.sae.test_sae import B_DEC, B_ENC, I6, THRESHOLD, W_DEC, W_ENC
from tests.support.foreign import LENGTHS, LINEAR, MANY, agree, checkpoint, relu, safe, tensors, top

LLAMA = {
    "sae_type": "sae", "hook_point_in": "blocks.8.hook_resid_post", "hook_point_out": "blocks.8.hook_resid_post",
    "d_model": 4, "d_sae": 6, "expansion_factor": 1.5, "use_decoder_bias": True, "act_fn": "jumprelu",
    "jump_relu_threshold": 0.4, "apply_decoder_bias_to_pre_encoder": False, "norm_activation": "dataset-wise",
    "dataset_average_activation_norm": {"in": 1.25, "out": 1.25}, "sparsity_include_decoder_norm": False, "top_k": 2,
}  # fmt: skip
LLAMA_TENSORS = LINEAR | {"decoder.bias": B_DEC}
SCALED = np.sqrt(4) / 1.25
MANY64 = MANY.astype(np.float64)


def llama(folder, arrays=LLAMA_TENSORS, **changes):
    config = {key: said for key, said in (LLAMA | changes).items() if said is not ...}
    return safe(folder, arrays, config, "checkpoints/final.safetensors", "hyperparams.json")


def test_llama_scope_folds_its_scale_as_saelens_does(tmp_path):
    sae = load_sae(llama(tmp_path / "sae"))
    z = MANY64 @ (W_ENC * SCALED) + B_ENC
    a = relu(z) * (z > 0.4 * SCALED)
    agree(sae, a, a @ (W_DEC / SCALED) + B_DEC / SCALED, x=MANY)


def test_llama_scope_counts_the_length_of_directions_where_its_config_says_so(tmp_path):
    folder = llama(tmp_path / "sae", sparsity_include_decoder_norm=True)
    with pytest.warns(UserWarning, match="times the length of its direction"):
        sae = load_sae(folder)
    # lm_saes: gate and rebuild on unscaled inputs; the activations there are smaller by the scale.
    z = MANY64 @ W_ENC + B_ENC / SCALED
    a = z * (z * LENGTHS > 0.4)
    agree(sae, a * SCALED, a @ W_DEC + B_DEC / SCALED, x=MANY)
    unit = LINEAR | {"decoder.weight": (W_DEC / LENGTHS[:, None]).T, "decoder.bias": B_DEC}
    assert checkpoint(llama(tmp_path / "unit", unit, sparsity_include_decoder_norm=True)).remarks == ()


def test_later_files_hold_the_logarithm_of_each_threshold_and_the_mean_length(tmp_path):
    mean = {"dataset_average_activation_norm.blocks.8.hook_resid_post": torch.tensor(1.25)}
    arrays = LLAMA_TENSORS | {"log_jumprelu_threshold": np.log(THRESHOLD)} | mean
    folder = llama(tmp_path / "sae", arrays, dataset_average_activation_norm=..., jump_relu_threshold=..., d_sae=...)
    z = MANY64 @ (W_ENC * SCALED) + B_ENC
    a = relu(z) * (z > THRESHOLD)
    agree(load_sae(folder), a, a @ (W_DEC / SCALED) + B_DEC / SCALED, x=MANY)


@pytest.mark.parametrize("by_length", [False, True])
def test_a_topk_of_lm_saes_chooses_by_length_where_its_config_says_so(by_length, tmp_path):
    folder = llama(
        tmp_path / "sae", act_fn="topk", sparsity_include_decoder_norm=by_length, norm_activation="inference"
    )
    unit = LENGTHS if by_length else 1
    a = relu(top((MANY64 @ W_ENC + B_ENC) * unit, 2))
    agree(load_sae(folder), a, (a / unit) @ W_DEC + B_DEC, x=MANY)


def test_token_wise_normalisation_is_that_of_each_row(tmp_path):
    changes = {"norm_activation": "token-wise", "act_fn": "relu", "apply_decoder_bias_to_pre_encoder": True}
    length = np.linalg.norm(MANY64, axis=1, keepdims=True) / 2
    a = relu((MANY64 / length - B_DEC) @ W_ENC + B_ENC)
    agree(load_sae(llama(tmp_path / "sae", **changes)), a, (a @ W_DEC + B_DEC) * length, x=MANY)


@pytest.mark.parametrize(
    ("arrays", "changes", "sentence"),
    [
        ({}, {"hook_point_out": "blocks.8.hook_mlp_out"}, "a transcoder from blocks.8.hook_resid_post"),
        ({}, {"dataset_average_activation_norm": ...}, "dataset_average_activation_norm = None"),
        ({}, {"dataset_average_activation_norm": {"in": 0}}, "= 0; expected a number above 0"),
        ({}, {"norm_activation": "batch-wise"}, "batch-mates"),
        ({}, {"use_glu_encoder": True}, "use_glu_encoder"),
        ({}, {"act_fn": "gelu"}, "act_fn = 'gelu'"),
        ({}, {"jump_relu_threshold": ...}, "jump_relu_threshold = None"),
        ({}, {"use_decoder_bias": False}, "also holds decoder.bias"),
        ({}, {"d_model": 8}, "d_model = 8"),
        ({}, {"expansion_factor": 8}, "expansion_factor = 8"),
        ({}, {"act_fn": "topk", "top_k": 7}, "k is 7"),
        ({"decoder.weight": W_DEC}, {"sparsity_include_decoder_norm": True}, "transposed"),
        ({"decoder.weight": np.zeros((4, 6))}, {"sparsity_include_decoder_norm": True}, "direction of length 0"),
        ({"log_jumprelu_threshold": np.zeros(4)}, {"sparsity_include_decoder_norm": True}, "threshold has shape"),
        ({"encoder.weight": I6}, {}, "expected a matrix"),
    ],
)
def test_a_llama_scope_that_contradicts_is_refused(arrays, changes, sentence, tmp_path):
    with pytest.raises(Refusal, match=sentence):
        load_sae(llama(tmp_path / "sae", LLAMA_TENSORS | arrays, **changes))


def test_llama_scope_without_its_config_asks_for_it(tmp_path):
    save_file(tensors({name: array.copy() for name, array in LLAMA_TENSORS.items()}), tmp_path / "final.safetensors")
    with pytest.raises(Refusal, match="put its hyperparams.json"):
        load_sae(tmp_path / "final.safetensors")
