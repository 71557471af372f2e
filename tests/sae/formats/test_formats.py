"""Files of BatchTopK, the thesis and Gemma Scope, read by ours, against the published vectors and their formulas."""

from __future__ import annotations

import numpy as np
import pytest
import torch

from featurelib.sae.checkpoints import load_sae
from featurelib.schema import Refusal
from tests.sae.test_sae import B_DEC, B_ENC, I6, THRESHOLD, W_DEC, W_ENC
from tests.support.foreign import A_VECTORS, FOUR, JUMPING, X64, agree, checkpoint, pt, published, relu, safe

THESIS = {
    "seed": 49, "batch_size": 32, "l1_coeff": 0.0, "dtype": "torch.float32", "act_size": 4, "dict_size": 6,
    "device": "cuda", "input_unit_norm": True, "n_batches_to_dead": 5, "top_k": 2, "top_k_aux": 32, "bandwidth": 0.001,
}  # fmt: skip


def bb(folder, architecture, **changes):
    arrays = FOUR | ({"jumprelu.log_threshold": np.log(THRESHOLD)} if architecture == "jumprelu" else {})
    return pt(folder, arrays, THESIS | {"sae_type": architecture} | changes)


@pytest.mark.parametrize("name", A_VECTORS)
@pytest.mark.filterwarnings("ignore:.*threshold:UserWarning", "ignore:.*b_enc:UserWarning")
def test_batchtopk_gives_the_published_vectors(name, tmp_path):
    architecture = name.split()[1]
    sae = load_sae(bb(tmp_path / "run", architecture), threshold=1.3 if architecture == "batchtopk" else None)
    published(sae, name)
    assert sae.architecture == architecture


def test_batchtopk_without_its_norm_is_read_without(tmp_path):
    sae = load_sae(bb(tmp_path / "run", "vanilla", input_unit_norm=False))
    published(sae, "B1 standard")


@pytest.mark.filterwarnings("ignore:.*b_enc:UserWarning")
def test_a_batchtopk_waits_for_a_threshold_and_says_which_it_got(tmp_path):
    read = checkpoint(bb(tmp_path / "run", "batchtopk"))
    assert read.lacks_threshold_for == 2 and read.sae.target_k == 2 and read.sae.architecture == "batchtopk"
    assert any("b_enc is left out" in remark for remark in read.remarks)
    with pytest.raises(Refusal, match="k 2 whose file holds no threshold.*--threshold"):
        load_sae(tmp_path / "run")
    with pytest.warns(UserWarning, match=r"the threshold asked for is used \(1.3\)"):
        load_sae(tmp_path / "run", threshold=1.3)


def test_zero_b_enc_is_left_out_without_a_word(tmp_path):
    folder = pt(tmp_path / "run", FOUR | {"b_enc": np.zeros(6)}, THESIS | {"sae_type": "topk"})
    assert checkpoint(folder).remarks == ()


@pytest.mark.filterwarnings("ignore:.*b_enc:UserWarning")
def test_without_config_the_architecture_and_k_are_asked_for_by_their_flags(tmp_path):
    folder = pt(tmp_path / "run", FOUR)
    with pytest.raises(Refusal, match=r"--architecture vanilla\|topk\|batchtopk"):
        load_sae(folder)
    with pytest.raises(Refusal, match="--k"):
        load_sae(folder, architecture="topk")
    with pytest.warns(UserWarning, match="taken to standardise its input"):
        published(load_sae(folder, architecture="topk", k=2), "A2 topk")
    with pytest.raises(Refusal, match="'jumprelu' cannot be"):
        load_sae(folder, architecture="jumprelu")
    with pytest.warns(UserWarning, match="taken to standardise"):
        folder = pt(tmp_path / "jump", FOUR | {"jumprelu.log_threshold": np.log(THRESHOLD)})
        published(load_sae(folder), "A4 jumprelu")


@pytest.mark.parametrize(
    ("architecture", "changes", "sentence"),
    [
        ("jumprelu", {"sae_type": "vanilla"}, "also holds jumprelu.log_threshold"),
        ("vanilla", {"sae_type": "jumprelu"}, "lacks jumprelu.log_threshold"),
        ("vanilla", {"sae_type": "global_topk"}, "sae_type = 'global_topk'; expected one of vanilla"),
        ("topk", {"top_k": 7}, "k is 7 but the SAE has 6"),
        ("batchtopk", {"top_k": 7}, "k is 7 but the SAE has 6"),
        ("topk", {"top_k": "two"}, "k = 'two'"),
        ("topk", {"dict_size": 12}, "dict_size = 12 but the tensors say 6"),
        ("topk", {"act_size": 8}, "act_size = 8 but the tensors say 4"),
        ("vanilla", {"input_unit_norm": "yes"}, "input_unit_norm = 'yes'"),
        ("topk", {"use_encoder_bias": True}, "early experiment"),
    ],
)
def test_a_batchtopk_config_that_contradicts_is_refused(architecture, changes, sentence, tmp_path):
    with pytest.raises(Refusal, match=sentence):
        load_sae(bb(tmp_path / "run", architecture, **changes), threshold=1.3)


@pytest.mark.parametrize(
    ("change", "sentence"),
    [
        ({"W_enc": W_ENC.T}, "transposed|asks for"),
        ({"W_dec": W_ENC}, "transposed"),
        ({"b_dec": B_ENC}, "b_dec has shape"),
        ({"extra": B_ENC}, "also holds extra"),
        ({"b_enc": np.full(6, np.nan)}, "b_enc holds NaN"),
        ({"jumprelu.log_threshold": np.full(6, -np.inf)}, "jumprelu.log_threshold in sae.pt holds NaN or inf"),
        ({"W_enc": torch.ones(4, 6, dtype=torch.int64)}, "stored as torch.int64"),
    ],
)
def test_wrong_tensors_of_a_batchtopk_are_refused(change, sentence, tmp_path):
    architecture = "jumprelu" if "jumprelu.log_threshold" in change else "topk"
    with pytest.raises(Refusal, match=sentence):
        load_sae(pt(tmp_path / "run", FOUR | change, THESIS | {"sae_type": architecture}))


@pytest.mark.parametrize("small", [False, True])
def test_gemma_scope_gives_the_published_vectors(small, tmp_path):
    arrays = {name.replace("W_", "w_") if small else name: array.astype(np.float32) for name, array in JUMPING.items()}
    np.savez(tmp_path / "params.npz", **arrays)
    read = checkpoint(tmp_path / "params.npz")
    assert read.format == "Gemma Scope" and read.remarks == ()
    published(read.sae, "B5 jumprelu without b_dec")


def test_the_second_series_is_read_and_its_transcoders_refused(tmp_path):
    arrays = {name.replace("W_", "w_"): array for name, array in JUMPING.items()}
    config = {"architecture": "jump_relu", "hf_hook_point_in": "model.layers.5.output", "width": 6}
    folder = safe(tmp_path / "sae", arrays, config, "params.safetensors", "config.json")
    published(load_sae(folder), "B5 jumprelu without b_dec")
    safe(folder, arrays, config | {"hf_hook_point_out": "model.layers.6.output"}, "params.safetensors", "config.json")
    with pytest.raises(Refusal, match="transcoder"):
        load_sae(folder)
    safe(folder, arrays, config | {"architecture": "relu"}, "params.safetensors", "config.json")
    with pytest.raises(Refusal, match="architecture = 'relu'"):
        load_sae(folder)


@pytest.mark.parametrize("folder", ["embedding/width_4k/average_l0_6", "embeddings/width_4k", "embedding/a/b/c"])
def test_only_the_sae_of_the_token_embeddings_is_scaled(folder, tmp_path):
    (tmp_path / folder).mkdir(parents=True)
    np.savez(tmp_path / folder / "params.npz", **{name: array.astype(np.float32) for name, array in JUMPING.items()})
    read = checkpoint(tmp_path / folder)
    scaled = folder == "embedding/width_4k/average_l0_6"
    root = np.sqrt(4) if scaled else 1
    z = X64 @ (W_ENC / root) + B_ENC
    a = relu(z) * (z > THRESHOLD)
    agree(read.sae, a, a @ (W_DEC * root) + B_DEC)
    assert bool(read.remarks) == scaled


@pytest.mark.parametrize(
    ("change", "sentence"),
    [
        ({"extra": I6}, "also holds extra"),
        ({"threshold": np.array(["a"])}, "holds no numbers"),
        ({"threshold": THRESHOLD[:4]}, "threshold has shape"),
        ({"W_dec": W_ENC}, "transposed"),
        ({"b_enc": np.arange(6)}, "stored as torch.int64"),
    ],
)
def test_wrong_arrays_of_gemma_scope_are_refused(change, sentence, tmp_path):
    np.savez(tmp_path / "params.npz", **(JUMPING | change))
    with pytest.raises(Refusal, match=sentence):
        load_sae(tmp_path / "params.npz")
