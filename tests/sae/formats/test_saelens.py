"""SAELens' files of versions 5 and older, and those it leaves in the middle of a training."""

from __future__ import annotations

import json

import numpy as np
import pytest
import torch
from safetensors.torch import save_file

from featurelib.sae.checkpoints import load_sae
from featurelib.schema import Refusal
from tests.sae.test_sae import B_DEC, B_ENC, I6, THRESHOLD, W_DEC, W_ENC, tensor
from tests.support.foreign import FOUR, GATED, LENGTHS, X64, agree, checkpoint, published, relu, safe

V5 = {
    "architecture": "standard", "d_in": 4, "d_sae": 6, "activation_fn_str": "relu", "activation_fn_kwargs": {},
    "apply_b_dec_to_input": True, "finetuning_scaling_factor": False, "context_size": 128, "model_name": "gpt2-small",
    "hook_name": "blocks.8.hook_resid_pre", "hook_layer": 8, "hook_head_index": None, "prepend_bos": True,
    "dataset_path": "Skylion007/openwebtext", "dataset_trust_remote_code": True, "normalize_activations": "none",
    "dtype": "torch.float32", "device": "cuda", "sae_lens_training_version": "5.10.2", "neuronpedia_id": None,
    "model_from_pretrained_kwargs": {}, "seqpos_slice": [None],
}  # fmt: skip
V2 = {
    "model_name": "gpt2-small", "hook_point": "blocks.0.hook_resid_pre", "hook_point_layer": 0, "d_in": 4, "d_sae": 6,
    "hook_point_head_index": None, "dataset_path": "Skylion007/openwebtext", "dtype": "torch.float32", "device": "mps",
    "context_size": 128, "l1_coefficient": 8e-05, "lr": 0.0004, "use_ghost_grads": True, "normalize_activations": False,
}  # fmt: skip


@pytest.mark.parametrize(
    ("arrays", "config", "name"),
    [
        (FOUR, V5, "B1 standard"),
        (FOUR, V2, "B1 standard"),
        (FOUR | {"scaling_factor": np.ones(6)}, V5, "B1 standard"),
        (FOUR, V5 | {"normalize_activations": None}, "B1 standard"),
        (FOUR, V5 | {"activation_fn_str": "topk", "activation_fn_kwargs": {"k": 2}}, "B2 topk"),
        (FOUR, {**V2, "activation_fn": "topk", "activation_fn_kwargs": {"k": 2}}, "B2 topk"),
        (FOUR, V5 | {"architecture": "topk", "activation_fn_kwargs": {"k": 2}}, "B2 topk"),
        (FOUR | {"threshold": THRESHOLD}, V5 | {"architecture": "jumprelu"}, "B4 jumprelu"),
        (
            FOUR | {"threshold": THRESHOLD},
            V5 | {"architecture": "jumprelu", "apply_b_dec_to_input": False},
            "B5 jumprelu without b_dec",
        ),
        (FOUR, V5 | {"normalize_activations": "constant_norm_rescale"}, "B6 constant_norm_rescale"),
        (FOUR, V5 | {"normalize_activations": "layer_norm"}, "B7 layer_norm"),
        (
            {key: FOUR[key] for key in ("W_enc", "W_dec", "b_dec")} | GATED,
            V5 | {"architecture": "gated"},
            "B8 gated",
        ),
    ],
)
def test_old_saelens_files_give_the_published_vectors(arrays, config, name, tmp_path):
    read = checkpoint(safe(tmp_path / "sae", arrays, config))
    assert read.format == "SAELens 5 or older" and read.remarks == ()
    published(read.sae, name)


def test_a_finetuned_scale_multiplies_activations_when_they_are_decoded(tmp_path):
    factor = 0.5 + 0.2 * I6
    folder = safe(tmp_path / "sae", FOUR | {"scaling_factor": factor}, V5 | {"finetuning_scaling_factor": True})
    a = relu((X64 - B_DEC) @ W_ENC + B_ENC)
    agree(load_sae(folder), a, (a * factor) @ W_DEC + B_DEC)


@pytest.mark.parametrize(
    ("arrays", "changes", "sentence"),
    [
        ({"scaling_factor": 0.5 + I6}, {}, "not 1, but cfg.json does not say finetuning_scaling_factor"),
        ({"scaling_factor": np.arange(1.0, 5)}, {"finetuning_scaling_factor": True}, "scaling_factor has shape"),
        ({}, {"finetuning_scaling_factor": True}, "holds no scaling_factor"),
        ({}, {"normalize_activations": True}, "fold it into the weights"),
        ({}, {"normalize_activations": "expected_average_only_in"}, "fold it into the weights"),
        ({}, {"activation_fn_str": "tanh-relu"}, "'tanh-relu'; expected relu or topk"),
        ({}, {"activation_fn_str": "topk"}, "k = None"),
        ({}, {"activation_fn_str": "topk", "activation_fn_kwargs": {"k": 7}}, "k is 7"),
        ({}, {"hook_name": "blocks.0.attn.hook_z"}, "never reshaped"),
        ({}, {"d_sae": 12}, "d_sae 12"),
        ({"W_enc": W_ENC.T}, {}, "transposed"),
        ({"extra": I6}, {}, "also holds extra"),
    ],
)
def test_an_old_saelens_file_that_contradicts_is_refused(arrays, changes, sentence, tmp_path):
    with pytest.raises(Refusal, match=sentence):
        load_sae(safe(tmp_path / "sae", FOUR | arrays, V5 | changes))


def test_the_densities_beside_the_weights_are_read(tmp_path):
    folder = safe(tmp_path / "sae", FOUR, V5)
    save_file({"sparsity": tensor(-I6)}, folder / "sparsity.safetensors")
    assert checkpoint(folder).log_density.tolist() == [0, -1, -2, -3, -4, -5]
    save_file({"sparsity": tensor(-np.arange(8.0))}, folder / "sparsity.safetensors")
    with pytest.raises(Refusal, match=r"holds \(8,\) but the SAE beside it has 6 features"):
        load_sae(folder)


TRAINING = {
    "d_in": 4, "d_sae": 6, "dtype": "float32", "device": "cpu", "apply_b_dec_to_input": True,
    "normalize_activations": "none", "reshape_activations": "none", "metadata": {"sae_lens_version": "6.54.0"},
    "decoder_init_norm": 0.1,
}  # fmt: skip
BATCH = TRAINING | {
    "architecture": "batchtopk", "k": 2.0, "use_sparse_activations": False, "aux_loss_coefficient": 1.0,
    "rescale_acts_by_decoder_norm": True, "topk_threshold_lr": 0.01,
}  # fmt: skip


def held(threshold):
    return {"topk_threshold": torch.tensor(threshold, dtype=torch.float64)}


@pytest.mark.parametrize("rescaled", [True, False])
@pytest.mark.parametrize("architecture", ["batchtopk", "matryoshka_batchtopk"])
def test_a_batchtopk_in_training_is_read_as_it_would_be_exported(architecture, rescaled, tmp_path):
    config = BATCH | {"architecture": architecture, "rescale_acts_by_decoder_norm": rescaled}
    read = checkpoint(safe(tmp_path / "sae", FOUR | held(1.5), config | {"matryoshka_widths": [3, 6]}))
    z = relu((X64 - B_DEC) @ W_ENC + B_ENC) * (LENGTHS if rescaled else 1)
    a = z * (z > 1.5)
    agree(read.sae, a, (a / (LENGTHS if rescaled else 1)) @ W_DEC + B_DEC)
    assert read.sae.architecture == {"batchtopk": "batchtopk"}.get(architecture, "matryoshka")
    assert read.sae.target_k == 2 and read.lacks_threshold_for is None
    assert read.sae.prefixes == (None if architecture == "batchtopk" else (3, 6))


@pytest.mark.parametrize("rescaled", [True, False])
def test_a_scale_that_is_still_apart_is_folded(rescaled, tmp_path):
    config = BATCH | {"normalize_activations": "expected_average_only_in", "rescale_acts_by_decoder_norm": rescaled}
    folder = safe(tmp_path / "sae", FOUR | held(1.5), config)
    with pytest.raises(Refusal, match="whose factor is not in the file"):
        load_sae(folder)
    (folder / "activation_scaler.json").write_text(json.dumps({"scaling_factor": 2.0, "has_whitening": False}))
    unit = LENGTHS / 2 if rescaled else 1
    z = relu((2 * X64 - B_DEC) @ W_ENC + B_ENC) * unit
    a = z * (z > (0.75 if rescaled else 1.5))
    agree(load_sae(folder), a, ((a / unit) @ W_DEC + B_DEC) / 2)


def test_a_threshold_that_no_step_has_moved_is_none(tmp_path):
    folder = safe(tmp_path / "sae", FOUR | held(0.0), BATCH)
    assert checkpoint(folder).lacks_threshold_for == 2
    with pytest.raises(Refusal, match="--threshold"):
        load_sae(folder)


@pytest.mark.parametrize(
    ("arrays", "changes", "name"),
    [
        ({}, {"architecture": "standard", "l1_coefficient": 1.0, "lp_norm": 1.0, "l1_warm_up_steps": 0}, "B1 standard"),
        ({}, {"architecture": "topk", "k": 2, "rescale_acts_by_decoder_norm": False}, "B2 topk"),
        ({}, {"architecture": "topk", "k": 2, "rescale_acts_by_decoder_norm": True}, "B3 topk rescaled"),
        ({"threshold": THRESHOLD}, {"architecture": "jumprelu", "l0_coefficient": 1.0}, "B4 jumprelu"),
        ({"log_threshold": np.log(THRESHOLD)}, {"architecture": "jumprelu", "jumprelu_bandwidth": 0.05}, "B4 jumprelu"),
    ],
)
def test_other_trainings_are_read_in_the_middle_too(arrays, changes, name, tmp_path):
    read = checkpoint(safe(tmp_path / "sae", FOUR | arrays, TRAINING | changes))
    assert read.format == "SAELens, mid-training"
    published(read.sae, name)


@pytest.mark.parametrize(
    ("arrays", "changes", "sentence"),
    [
        (held(1.5) | {"extra": I6}, {}, "also holds extra"),
        (held(float("nan")), {}, "topk_threshold in .* is nan"),
        ({"topk_threshold": torch.tensor(2)}, {}, "torch.int64.*expected one finite float"),
        (held(-1.0), {}, "topk_threshold in .* is -1"),
        (held(1.5), {"k": 0}, "k = 0"),
        (held(1.5), {"k": 7}, "k is 7 but the SAE has 6"),
        (held(1.5), {"hidden_bias": 1}, "says hidden_bias = 1, a key that is not known"),
        (held(1.5), {"architecture": "standard"}, "also holds topk_threshold"),
        (held(1.5), {"architecture": ["batchtopk"]}, "names the architecture"),
        (held(1.5), {"rescale_acts_by_decoder_norm": "no"}, "rescale_acts_by_decoder_norm = 'no'"),
        (held(1.5) | {"W_dec": np.zeros((6, 4))}, {}, "direction of length 0"),
        ({}, {}, "lacks topk_threshold"),
    ],
)
def test_a_checkpoint_in_training_that_contradicts_is_refused(arrays, changes, sentence, tmp_path):
    with pytest.raises(Refusal, match=sentence):
        load_sae(safe(tmp_path / "sae", FOUR | arrays, BATCH | changes))


def test_an_export_tells_what_it_was_trained_as(tmp_path):
    settings = {"k": 2.0, "matryoshka_widths": [2, 4]}
    details = {"training_architecture": "matryoshka_batchtopk", "training_architecture_details": settings}
    config = {key: TRAINING[key] for key in TRAINING if key != "decoder_init_norm"}
    config |= {"architecture": "jumprelu", "metadata": details}
    sae = load_sae(safe(tmp_path / "sae", FOUR | {"threshold": THRESHOLD}, config))
    assert (sae.architecture, sae.target_k, sae.prefixes) == ("matryoshka", 2, (2, 4, 6))
    published(sae, "B4 jumprelu")


@pytest.mark.parametrize(
    ("said", "prefixes"),
    [
        ([2, 6], (2, 6)),
        ([2, 3], (2, 3, 6)),
        ([6], None),
        ([], None),
        ([4, 2, 6], None),
        ([0, 6], None),
        ([-1, 6], None),
        ([2, 9], None),
        ([True, 6], None),
        ([2.0, 6], None),
        ("2,6", None),
        ({"2": 6}, None),
    ],
)
def test_prefixes_are_kept_where_they_can_be_meant_and_no_reason_to_refuse(said, prefixes, tmp_path):
    config = {key: TRAINING[key] for key in TRAINING if key != "decoder_init_norm"}
    config |= {"architecture": "jumprelu", "metadata": {"trained_as": "matryoshka", "prefixes": said}}
    sae = load_sae(safe(tmp_path / "sae", FOUR | {"threshold": THRESHOLD}, config))
    assert sae.prefixes == prefixes
    published(sae, "B4 jumprelu")
