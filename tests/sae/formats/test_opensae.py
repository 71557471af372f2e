"""Files of OpenSAE against vectors and its formula."""

from __future__ import annotations

from collections import OrderedDict

import numpy as np
import pytest
import torch

from featurelib.sae.checkpoints import load_sae
from featurelib.schema import Refusal
from tests.sae.formats.test_openai_like import DAMAGE, centred, without_gaps
from tests.sae.test_sae import B_DEC, B_ENC, VECTORS, W_DEC, W_ENC, numbers
from tests.support.foreign import X64, agree, checkpoint, relu, safe, tensors, top

OPENSAE_VECTORS = {
    "F1 not shifted back": (
        "0 0 0 1.55496 2.41698 0; 0 1.10091 2.19079 0 0 0; 0 0 0 0 2.14876 2.37259",
        "1.12549 0.82995 0.19110 -0.46708; 0.69679 -0.06488 -0.74899 -1.01030; -0.49048 -0.69292 -0.52244 -0.03570",
    ),
    "F2 shifted back": (
        "0 0 0 1.55496 2.41698 0; 0 1.10091 2.19079 0 0 0; 0 0 0 0 2.14876 2.37259",
        "1.50926 1.33272 0.95111 0.55795; -0.13575 -0.77566 -1.35042 -1.56996; -0.10470 -0.33630 -0.14126 0.41560",
    ),
}
OPEN = {"encoder.weight": W_ENC.T, "encoder.bias": B_ENC, "W_dec": W_DEC, "b_dec": B_DEC}


def published(sae, name):
    agree(sae, *(numbers(text) for text in (OPENSAE_VECTORS | VECTORS)[name]))


def opensae(folder, arrays=OPEN, name="model.safetensors", **changes):
    """As save_pretrained: the weights, and every setting of OpenSaeConfig."""
    config = {
        "architectures": ["OpenSae"], "hidden_size": 4, "feature_size": 6, "input_normalize": True,
        "normalize_shift_back": False, "input_normalize_eps": 1e-5, "activation": "topk", "k": 2, "multi_topk": 4,
        "normalize_decoder": True, "decoder_impl": "triton", "torch_dtype": "bfloat16", "auxk_alpha": 0.01,
    }  # fmt: skip
    return safe(folder, arrays, without_gaps(config | changes), name, "config.json")


def test_opensae_gives_the_published_vectors_in_either_space(tmp_path):
    read = checkpoint(opensae(tmp_path / "inside"))
    assert read.format == "OpenSAE" and read.remarks == ()
    published(read.sae, "F1 not shifted back")
    shifted = load_sae(opensae(tmp_path / "back", normalize_shift_back=True))
    published(shifted, "F2 shifted back")
    plain = load_sae(opensae(tmp_path / "plain", input_normalize=False))
    published(plain, "B2 topk")


def test_opensae_gives_back_the_deviation_with_its_epsilon(tmp_path):
    x = 1e-4 * X64  # where 1e-5 is much of the deviation
    xn, mean, std = centred(x)
    a = relu(top((xn - B_DEC) @ W_ENC + B_ENC, 2))
    sae = load_sae(opensae(tmp_path / "sae", normalize_shift_back=True))
    expected = (a @ W_DEC + B_DEC) * (std + 1e-5) + mean
    np.testing.assert_allclose(sae.reconstruct(x).numpy(), expected, rtol=2e-4, atol=1e-9)


def test_a_jumprelu_of_opensae_keeps_the_largest_feature_of_each_text(tmp_path):
    sae = load_sae(opensae(tmp_path / "sae", activation="jumprelu", k=..., jumprelu_theta=2.3, input_normalize=False))
    z = relu((X64 - B_DEC) @ W_ENC + B_ENC)
    a = z * (z > np.minimum(2.3, z.max(1, keepdims=True) - 1e-6))
    assert (a > 0).sum(1).tolist() == [1, 1, 3] and z.max(1)[0] < 2.3
    agree(sae, a, a @ W_DEC + B_DEC)


def test_the_file_of_opensaes_trainer_needs_the_config_beside_it(tmp_path):
    folder = tmp_path / "saes"
    folder.mkdir()
    torch.save(OrderedDict(tensors(OPEN)), folder / "iter_0001000.pt")
    with pytest.raises(Refusal, match="nothing that says how they normalise.*put its cfg.json or config.json beside"):
        load_sae(folder)
    config = opensae(tmp_path / "saved") / "config.json"
    (folder / "config.json").write_text(config.read_text())
    published(load_sae(folder), "F1 not shifted back")


@pytest.mark.parametrize(
    ("changes", "sentence"),
    [
        ({"input_normalize_eps": 1e-6}, "input_normalize_eps = 1e-06"),
        ({"num_experts": 4}, "num_experts = 4"),
        ({"activation": "relu"}, "activation = 'relu'"),
        ({"activation": "jumprelu", "jumprelu_theta": None}, "jumprelu_theta = None"),
        ({"input_normalize": "yes"}, "input_normalize = 'yes'"),
        ({"hidden_size": 8}, "hidden_size = 8 but the tensors say 4"),
        ({"feature_size": 12}, "feature_size = 12 but the tensors say 6"),
        ({"k": 7}, "k is 7 but the SAE has 6"),
        ({"k": ...}, "--k"),
    ],
)
def test_a_config_that_contradicts_or_asks_for_the_impossible_is_refused(changes, sentence, tmp_path):
    with pytest.raises(Refusal, match=sentence):
        load_sae(opensae(tmp_path / "sae", **changes))


@pytest.mark.parametrize("damage", DAMAGE)
def test_each_tensor_that_is_not_as_it_should_be_is_refused(damage, tmp_path):
    whole = tensors(OPEN)
    for number, name in enumerate(whole):
        changed = whole | DAMAGE[damage](name, whole[name])
        changed = {key: array.clone().contiguous() for key, array in changed.items() if array is not None}
        with pytest.raises(Refusal):
            load_sae(opensae(tmp_path / str(number), changed))
    checkpoint(opensae(tmp_path / "whole", whole))
