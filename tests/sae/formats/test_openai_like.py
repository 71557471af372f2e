"""Files of OpenAI, sentence-transformers, saerch and HypotheSAEs against vectors, formulas and one library."""

from __future__ import annotations

import json
import pickle
from collections import OrderedDict

import numpy as np
import pytest
import torch

from featurelib.sae.checkpoints import load_sae
from featurelib.schema import Refusal
from tests.sae.test_sae import B_DEC, B_ENC, VECTORS, W_DEC, W_ENC, numbers
from tests.support.foreign import X64, agree, checkpoint, relu, safe, tensors, top

MORE_VECTORS = {
    "D1 topk, layer norm": (
        "0 0 0 1.55496 2.41698 0; 0 1.10091 2.19079 0 0 0; 0 0 0 0 2.14876 2.37259",
        "1.50925 1.33272 0.95111 0.55796; -0.13575 -0.77566 -1.35042 -1.56995; -0.10469 -0.33629 -0.14125 0.41560",
    ),
    "E1 tied": (
        "0 0 0 1.02745 1.65936 0; 0 1.02722 1.86485 0 0 0; 0 0 0 0 2.47746 2.62552",
        "-1.09729 1.88066 1.48945 -1.43612; -0.00923 -2.25650 -0.04506 2.53545; 2.30689 3.59584 -1.72965 -3.49868",
    ),
}
UNTIED = {"encoder.weight": W_ENC.T, "decoder.weight": W_DEC.T, "latent_bias": B_ENC, "pre_bias": B_DEC}
SEEN = torch.arange(6)
OPENAI = UNTIED | {
    "stats_last_nonzero": SEEN,
    "latents_activation_frequency": np.ones(6),
    "latents_mean_square": np.zeros(6),
}
TIED = {"decoder.linear.weight": W_ENC.T, "latent_bias": B_ENC, "pre_bias": B_DEC, "stats_last_nonzero": SEEN}
HYPOTHESES = {
    "input_bias": B_DEC,
    "neuron_bias": B_ENC,
    "threshold": torch.tensor(0.0),
    "encoder.weight": W_ENC.T,
    "decoder.weight": W_DEC.T,
}


def published(sae, name):
    agree(sae, *(numbers(text) for text in (MORE_VECTORS | VECTORS)[name]))


def openai(folder, arrays=OPENAI, activation="TopK", settings=(("k", 2), ("postact_fn", "ReLU"))):
    """As torch.save(autoencoder.state_dict(), …), which puts the activation among the tensors."""
    folder.mkdir(exist_ok=True)
    state = OrderedDict(tensors(arrays))
    if activation:
        state |= {"activation": activation, "activation_state_dict": OrderedDict(settings)}
    torch.save(state, folder / "location.pt")
    return folder / "location.pt"


def csr(folder, arrays=TIED, **changes):
    """As SparseAutoEncoder.save, without its library."""
    config = {"input_dim": 4, "hidden_dim": 6, "k": 2, "k_aux": 512, "normalize": False, "dead_threshold": 30}
    return safe(folder, arrays, without_gaps(config | changes), "model.safetensors", "config.json")


def saerch(folder, arrays=UNTIED, name="astroPH_2_6_4.pth"):
    """As torch.save(ae.state_dict(), …)."""
    folder.mkdir(exist_ok=True)
    torch.save(OrderedDict(tensors(arrays)), folder / name)
    return folder / name


def hypothesaes(folder, arrays=HYPOTHESES, **changes):
    """As SparseAutoencoder.save."""
    config = {
        "input_dim": 4, "m_total_neurons": 6, "k_active_neurons": 2, "aux_k": 4, "multi_k": None,
        "dead_neuron_threshold_steps": 256, "prefix_lengths": None, "use_batch_topk": False,
    }  # fmt: skip
    folder.mkdir(exist_ok=True)
    content = {"config": without_gaps(config | changes), "state_dict": OrderedDict(tensors(arrays))}
    torch.save(content, folder / "SAE_M=6_K=2.pt", pickle_module=pickle)
    return folder


def without_gaps(config):
    return {key: value for key, value in config.items() if value is not ...}


def centred(x, eps=1e-5):
    """The rows, standardised by their sample deviation; their means and deviations."""
    mean, std = x.mean(1, keepdims=True), x.std(1, ddof=1, keepdims=True)
    return (x - mean) / (std + eps), mean, std


def test_openai_gives_the_published_vectors(tmp_path):
    read = checkpoint(openai(tmp_path / "relu", activation="ReLU", settings=()))
    assert read.format == "OpenAI" and read.remarks == () and read.sae.norm == "none"
    published(read.sae, "B1 standard")
    published(load_sae(openai(tmp_path / "topk")), "D1 topk, layer norm")


@pytest.mark.parametrize(
    ("changes", "sentence"),
    [
        ({"activation": "Identity", "settings": ()}, "activation 'Identity'; expected ReLU"),
        ({"activation": "JumpReLU"}, "activation 'JumpReLU'"),
        ({"settings": (("k", 2), ("postact_fn", "Identity"))}, "'TopK, then Identity'"),
        ({"settings": (("k", 7), ("postact_fn", "ReLU"))}, "k is 7 but the SAE has 6"),
        ({"settings": ()}, "--k"),
        ({"activation": None}, r"--architecture vanilla\|topk"),
    ],
)
def test_an_openai_activation_that_cannot_be_is_refused(changes, sentence, tmp_path):
    with pytest.raises(Refusal, match=sentence):
        load_sae(openai(tmp_path / "sae", **changes))


def test_csr_gives_the_published_vectors_under_either_name_of_its_matrix(tmp_path):
    twice = TIED | {"encoder.weight": W_ENC.T}
    published(load_sae(csr(tmp_path / "first")), "E1 tied")
    published(load_sae(csr(tmp_path / "both", twice)), "E1 tied")
    twice.pop("decoder.linear.weight")
    published(load_sae(csr(tmp_path / "other", twice)), "E1 tied")
    with pytest.raises(Refusal, match="differ in model.safetensors"):
        load_sae(csr(tmp_path / "apart", TIED | {"encoder.weight": W_DEC}))


def test_a_normalising_csr_is_its_formula(tmp_path):
    xn, mean, std = centred(X64)
    a = relu(top((xn - B_DEC) @ W_ENC + B_ENC, 2))
    np.testing.assert_allclose(a, numbers(MORE_VECTORS["D1 topk, layer norm"][0]), atol=6e-6)
    agree(load_sae(csr(tmp_path / "sae", normalize=True)), a, (a @ W_ENC.T + B_DEC) * std + mean)


def test_the_real_sparse_encoder_gives_the_same_features_alone_and_in_its_model(tmp_path):
    from sentence_transformers.sparse_encoder.modules import SparseAutoEncoder

    torch.manual_seed(0)
    module = SparseAutoEncoder(16, 48, k=30, k_aux=4, normalize=True)
    for bias in (module.pre_bias, module.latent_bias):
        torch.nn.init.normal_(bias)
    x = torch.randn(40, 16)
    with torch.inference_mode():
        activations = module({"sentence_embedding": x.clone()})["sentence_embedding"]
        rebuilt = module.decode(activations, module.prepare(x)[1])
    inside = tmp_path / "model" / "1_SparseAutoEncoder"
    for place, safely in ((tmp_path / "safe", True), (tmp_path / "bin", False), (inside, True)):
        place.mkdir(parents=True)
        module.save(str(place), safe_serialization=safely)
        agree(load_sae(place), activations.numpy(), rebuilt.numpy(), x.numpy())
    (tmp_path / "model" / "model.safetensors").write_bytes(b"the embedder's")
    around = tmp_path / "model" / "config_sentence_transformers.json"
    around.write_text(json.dumps({"max_active_dims": 30}))
    assert checkpoint(tmp_path / "model").remarks == ()
    around.write_text(json.dumps({"max_active_dims": 5}))
    with pytest.warns(UserWarning, match=r"keeps 5 features .* its own k, 30"):
        agree(load_sae(tmp_path / "model"), activations.numpy(), rebuilt.numpy(), x.numpy())


def test_saerch_takes_k_from_the_name_and_says_so(tmp_path):
    for name in ("astroPH_2_6_4.pth", "csLG_2_6_4.pth", "2_6_4_auxk_epoch_50.pth", "2_6_128_auxk_csLG_epoch_137.pth"):
        read = checkpoint(saerch(tmp_path / name, name=name))
        published(read.sae, "B2 topk")
        assert read.format == "saerch" and "2 is read from its name" in read.remarks[0]


@pytest.mark.parametrize("name", ["sae.pth", "astroPH_2_3072_4.pth", "astroPH_0_6_4.pth", "v1_2_6.pth"])
def test_saerch_without_its_name_is_asked_for_k(name, tmp_path):
    path = saerch(tmp_path / "sae", name=name)
    with pytest.raises(Refusal, match="--k"):
        load_sae(path)
    published(load_sae(path, k=2), "B2 topk")
    with pytest.raises(Refusal, match="k is 9 but the SAE has 6"):
        load_sae(path, k=9)


def test_saerch_refuses_a_k_that_its_name_contradicts(tmp_path):
    with pytest.raises(Refusal, match="--k is 3 but astroPH_2_6_4.pth says 2"):
        load_sae(saerch(tmp_path / "sae"), k=3)


def test_hypothesaes_gives_the_published_vectors(tmp_path):
    read = checkpoint(hypothesaes(tmp_path / "sae"))
    assert read.format == "HypotheSAEs" and read.remarks == () and read.lacks_threshold_for is None
    published(read.sae, "B2 topk")
    old = {name: array for name, array in HYPOTHESES.items() if name != "threshold"}
    read = checkpoint(hypothesaes(tmp_path / "old", old, use_batch_topk=..., prefix_lengths=[2, 6]))
    published(read.sae, "B2 topk")
    assert read.sae.architecture == "matryoshka" and read.sae.prefixes == (2, 6)


def test_a_batchtopk_of_hypothesaes_has_its_learned_threshold(tmp_path):
    learned = HYPOTHESES | {"threshold": torch.tensor(1.5)}
    read = checkpoint(hypothesaes(tmp_path / "sae", learned, use_batch_topk=True))
    published(read.sae, "C1 batchtopk with threshold 1.5")
    assert read.sae.architecture == "batchtopk" and read.sae.k == 2 and read.lacks_threshold_for is None


@pytest.mark.parametrize("missing", [False, True])
def test_a_batchtopk_of_hypothesaes_that_never_learned_waits_for_a_threshold(missing, tmp_path):
    arrays = {name: array for name, array in HYPOTHESES.items() if not (missing and name == "threshold")}
    folder = hypothesaes(tmp_path / "sae", arrays, use_batch_topk=True, prefix_lengths=[2, 6])
    assert checkpoint(folder).lacks_threshold_for == 2
    with pytest.raises(Refusal, match="k 2 whose file holds no threshold.*--threshold"):
        load_sae(folder)
    with pytest.warns(UserWarning, match="the threshold asked for"):
        sae = load_sae(folder, threshold=1.5)
    published(sae, "C1 batchtopk with threshold 1.5")
    assert sae.architecture == "matryoshka"


@pytest.mark.parametrize(
    ("write", "changes", "sentence"),
    [
        (csr, {"k": ...}, "--k"),
        (csr, {"k": 7}, "k is 7 but the SAE has 6"),
        (csr, {"k": True}, "k = True"),
        (csr, {"normalize": 1}, "normalize = 1"),
        (csr, {"hidden_dim": 12}, "hidden_dim = 12 but the tensors say 6"),
        (csr, {"input_dim": 8}, "input_dim = 8 but the tensors say 4"),
        (hypothesaes, {"k_active_neurons": ...}, "--k"),
        (hypothesaes, {"k_active_neurons": 7}, "k is 7 but the SAE has 6"),
        (hypothesaes, {"k_active_neurons": 7, "use_batch_topk": True}, "k is 7 but the SAE has 6"),
        (hypothesaes, {"m_total_neurons": 12}, "m_total_neurons = 12 but the tensors say 6"),
        (hypothesaes, {"input_dim": 8}, "input_dim = 8 but the tensors say 4"),
        (hypothesaes, {"use_batch_topk": "no"}, "use_batch_topk = 'no'"),
    ],
)
def test_a_config_that_contradicts_is_refused(write, changes, sentence, tmp_path):
    with pytest.raises(Refusal, match=sentence):
        load_sae(write(tmp_path / "sae", **changes))


def test_a_csr_or_hypothesaes_without_its_config_is_refused(tmp_path):
    (csr(tmp_path / "csr") / "config.json").unlink()
    with pytest.raises(Refusal, match="put its config.json beside it"):
        load_sae(tmp_path / "csr")
    state = {f"state_dict.{name}": array for name, array in HYPOTHESES.items()}
    with pytest.raises(Refusal, match="holds no config beside its state_dict"):
        load_sae(saerch(tmp_path / "hypothesaes", state, "SAE.pt"))


FILES = {
    "openai": (openai, OPENAI),
    "csr": (csr, TIED),
    "saerch": (saerch, UNTIED),
    "hypothesaes": (hypothesaes, HYPOTHESES),
}
DAMAGE = {
    "missing": lambda name, array: {name: None},
    "renamed": lambda name, array: {name: None, f"{name}s": array},
    "beside another": lambda name, array: {"another": array},
    "short": lambda name, array: {name: array[:-1] if array.ndim else array.repeat(2)},
    "not finite": lambda name, array: {name: torch.full_like(array, torch.nan) if array.is_floating_point() else None},
    "whole numbers": lambda name, array: {name: array.round().to(torch.int64) if array.is_floating_point() else None},
    "transposed": lambda name, array: {name: array.T if array.ndim == 2 else None},
}


@pytest.mark.parametrize("damage", DAMAGE)
@pytest.mark.parametrize("kind", FILES)
def test_each_tensor_that_is_not_as_it_should_be_is_refused(kind, damage, tmp_path):
    write, arrays = FILES[kind]
    whole = tensors(arrays)
    for number, name in enumerate(whole):
        changed = whole | DAMAGE[damage](name, whole[name])
        changed = {key: array.clone().contiguous() for key, array in changed.items() if array is not None}
        with pytest.raises(Refusal):
            load_sae(write(tmp_path / str(number), changed))
    checkpoint(write(tmp_path / "whole", whole))
