"""The seven classes of dictionary_learning, and the backups of its trainings."""

from __future__ import annotations

from collections import OrderedDict

import numpy as np
import pytest
import torch

from featurelib.sae.checkpoints import load_sae
from featurelib.schema import Refusal
from tests.sae.test_sae import B_DEC, B_ENC, THRESHOLD, W_DEC, W_ENC
from tests.support.foreign import (
    FOUR,
    GATED,
    JUMPING,
    LENGTHS,
    LINEAR,
    X64,
    agree,
    checkpoint,
    pt,
    published,
    relu,
    tensors,
)

K = {"k": torch.tensor(2, dtype=torch.int32)}
LEARNED = K | {"threshold": torch.tensor(1.5)}
GROUPS = {"group_sizes": torch.tensor([2, 4])}


def dl(folder, dict_class, arrays, **trainer):
    trainer = {"dict_class": dict_class, "activation_dim": 4, "dict_size": 6, "lr": 1e-3, "device": "cpu"} | trainer
    return pt(folder, arrays, {"trainer": trainer, "buffer": {"d_submodule": 4}}, "ae.pt")


@pytest.mark.parametrize(
    ("dict_class", "arrays", "name"),
    [
        (
            "GatedAutoEncoder",
            {"encoder.weight": W_ENC.T, "decoder.weight": W_DEC.T, "decoder_bias": B_DEC}
            | {"r_mag": GATED["r_mag"], "gate_bias": B_ENC, "mag_bias": -B_ENC},
            "B8 gated",
        ),
        ("JumpReluAutoEncoder", JUMPING, "B5 jumprelu without b_dec"),
        ("AutoEncoderTopK", LINEAR | {"b_dec": B_DEC} | LEARNED, "B2 topk"),
        ("AutoEncoderTopK", LINEAR | {"b_dec": B_DEC} | K, "B2 topk"),
        ("BatchTopKSAE", LINEAR | {"b_dec": B_DEC} | LEARNED, "C1 batchtopk with threshold 1.5"),
        ("MatryoshkaBatchTopKSAE", FOUR | LEARNED | GROUPS, "C1 batchtopk with threshold 1.5"),
    ],
)
def test_dictionary_learning_gives_the_published_vectors(dict_class, arrays, name, tmp_path):
    chooses = {"k": 2} if "k" in arrays else {}
    read = checkpoint(dl(tmp_path / "trainer_0", dict_class, arrays, **chooses))
    assert read.format == "dictionary_learning" and read.remarks == () and read.lacks_threshold_for is None
    published(read.sae, name)


def test_an_autoencoder_has_its_directions_brought_to_length_1(tmp_path):
    read = checkpoint(dl(tmp_path / "long", "AutoEncoder", LINEAR | {"bias": B_DEC}))
    z = (X64 - B_DEC) @ (W_ENC * LENGTHS) + B_ENC * LENGTHS
    agree(read.sae, relu(z), relu(z) @ (W_DEC / LENGTHS[:, None]) + B_DEC)
    assert "brought to length 1" in read.remarks[0] and read.sae.architecture == "vanilla"
    unit = W_DEC / LENGTHS[:, None]
    read = checkpoint(dl(tmp_path / "unit", "AutoEncoder", LINEAR | {"decoder.weight": unit.T, "bias": B_DEC}))
    a = relu((X64 - B_DEC) @ W_ENC + B_ENC)
    agree(read.sae, a, a @ unit + B_DEC)
    assert read.remarks == ()


def test_an_autoencoder_of_the_april_update_takes_no_bias_from_its_input(tmp_path):
    sae = load_sae(dl(tmp_path / "new", "AutoEncoderNew", LINEAR | {"decoder.bias": B_DEC}))
    a = relu(X64 @ W_ENC + B_ENC)
    agree(sae, a, a @ W_DEC + B_DEC)


@pytest.mark.parametrize(
    ("dict_class", "arrays"),
    [("BatchTopKSAE", LINEAR | {"b_dec": B_DEC}), ("MatryoshkaBatchTopKSAE", FOUR | GROUPS)],
)
def test_a_threshold_that_was_never_learned_is_none(dict_class, arrays, tmp_path):
    folder = dl(tmp_path / "trainer_0", dict_class, arrays | K | {"threshold": torch.tensor(-1.0)}, k=2)
    read = checkpoint(folder)
    assert read.lacks_threshold_for == 2
    assert read.sae.architecture == ("batchtopk" if dict_class == "BatchTopKSAE" else "matryoshka")
    with pytest.raises(Refusal, match="--threshold"):
        load_sae(folder)
    with pytest.warns(UserWarning, match="threshold asked for"):
        published(load_sae(folder, threshold=1.5), "C1 batchtopk with threshold 1.5")


def test_topk_and_batchtopk_without_a_config_are_told_apart_by_the_flag(tmp_path):
    folder = pt(tmp_path / "bare", LINEAR | {"b_dec": B_DEC} | LEARNED, name="ae.pt")
    with pytest.raises(Refusal, match=r"--architecture topk\|batchtopk"):
        load_sae(folder)
    published(load_sae(folder, architecture="topk"), "B2 topk")
    published(load_sae(folder, architecture="batchtopk"), "C1 batchtopk with threshold 1.5")
    with pytest.raises(Refusal, match="--k is 3 but ae.pt says 2"):
        load_sae(folder, architecture="topk", k=3)


def test_the_other_classes_need_no_config(tmp_path):
    with pytest.warns(UserWarning, match="b_dec is not taken from the input"):
        published(load_sae(pt(tmp_path / "jump", JUMPING, name="ae.pt")), "B5 jumprelu without b_dec")
    sae = load_sae(pt(tmp_path / "nested", FOUR | LEARNED | GROUPS, name="ae.pt"))
    published(sae, "C1 batchtopk with threshold 1.5")
    assert sae.architecture == "matryoshka" and sae.prefixes == (2, 6)


def backup(folder, arrays, dict_class, factor, **changes):
    """As trainSAE leaves ae.pt when it stops before its end."""
    folder.mkdir()
    weights = torch.nn.Parameter(torch.zeros(3))
    optimizer = torch.optim.Adam([weights])
    weights.sum().backward()
    optimizer.step()
    trainer = {"dict_class": dict_class, "activation_dim": 4, "dict_size": 6, "norm_factor": factor}
    content = {"step": 500, "ae": OrderedDict(tensors(arrays)), "optimizer": optimizer.state_dict(), "config": trainer}
    content = content | {"norm_factor": factor} | changes
    torch.save({key: value for key, value in content.items() if value is not ...}, folder / "ae.pt")
    return folder


@pytest.mark.parametrize("learned", [True, False])
def test_a_backup_is_scaled_as_the_end_of_its_training_would_have(learned, tmp_path):
    tensors = K | {"threshold": torch.tensor(0.75 if learned else -1.0)}
    folder = backup(tmp_path / "early", LINEAR | {"b_dec": B_DEC} | tensors, "BatchTopKSAE", 2.0)
    with pytest.warns(UserWarning) as warned:
        sae = load_sae(folder, threshold=None if learned else 1.5)
    assert "stopped at step 500; its biases are multiplied by its norm_factor (2)" in str(warned[0].message)
    z = relu((X64 / 2 - B_DEC) @ W_ENC + B_ENC)
    a = z * (z > 0.75)
    agree(sae, a * 2, (a @ W_DEC + B_DEC) * 2)


def test_a_gated_backup_keeps_the_scale_of_its_magnitudes(tmp_path):
    arrays = {"encoder.weight": W_ENC.T, "decoder.weight": W_DEC.T, "decoder_bias": B_DEC}
    arrays |= {"r_mag": GATED["r_mag"], "gate_bias": B_ENC, "mag_bias": -B_ENC}
    with pytest.warns(UserWarning, match="norm_factor"):
        sae = load_sae(backup(tmp_path / "early", arrays, "GatedAutoEncoder", 2.0))
    z = (X64 / 2 - B_DEC) @ W_ENC
    a = relu(z * np.exp(GATED["r_mag"]) - B_ENC) * (z + B_ENC > 0)
    agree(sae, a * 2, (a @ W_DEC + B_DEC) * 2)


def test_a_backup_without_normalisation_and_a_finished_file_in_its_form_are_not_scaled(tmp_path):
    arrays = LINEAR | {"b_dec": B_DEC} | LEARNED
    published(load_sae(backup(tmp_path / "none", arrays, "BatchTopKSAE", None)), "C1 batchtopk with threshold 1.5")
    done = backup(tmp_path / "done", arrays, "BatchTopKSAE", 2.0, optimizer=...)
    published(load_sae(done), "C1 batchtopk with threshold 1.5")


@pytest.mark.parametrize("factor", [0.0, -1.0, float("nan"), "two", True])
def test_a_norm_factor_that_is_no_length_is_refused(factor, tmp_path):
    with pytest.raises(Refusal, match="norm_factor = .*; expected a number above 0"):
        load_sae(backup(tmp_path / "early", LINEAR | {"b_dec": B_DEC} | LEARNED, "BatchTopKSAE", factor))


@pytest.mark.parametrize(
    ("dict_class", "arrays", "trainer", "sentence"),
    [
        ("AutoEncoderNew", LINEAR | {"bias": B_DEC}, {}, "lacks decoder.bias and also holds bias"),
        ("AutoEncoder", LINEAR | {"bias": B_DEC} | K, {}, "also holds k"),
        ("IdentityDict", LINEAR | {"bias": B_DEC}, {}, "dict_class = 'IdentityDict'; expected one of"),
        (["AutoEncoder"], LINEAR | {"bias": B_DEC}, {}, r"dict_class = \['AutoEncoder'\]"),
        ("AutoEncoder", LINEAR | {"bias": B_DEC}, {"dict_size": 12}, "dict_size = 12 but the tensors say 6"),
        ("AutoEncoder", LINEAR | {"bias": B_DEC}, {"activation_dim": 8}, "activation_dim = 8"),
        ("AutoEncoder", LINEAR | {"bias": B_DEC, "decoder.weight": W_DEC}, {}, "transposed"),
        ("AutoEncoder", LINEAR | {"bias": B_DEC, "decoder.weight": np.zeros((4, 6))}, {}, "direction of length 0"),
        ("AutoEncoder", LINEAR | {"bias": np.full(4, np.inf)}, {}, "b_dec holds NaN or inf"),
        ("BatchTopKSAE", LINEAR | {"b_dec": B_DEC} | LEARNED, {"k": 3}, "k = 3 but the tensors say 2"),
        ("BatchTopKSAE", LINEAR | {"b_dec": B_DEC} | LEARNED | {"k": torch.tensor(7)}, {}, "k is 7 but the SAE has 6"),
        ("AutoEncoderTopK", LINEAR | {"b_dec": B_DEC} | {"k": torch.tensor(7)}, {}, "k is 7 but the SAE has 6"),
        ("AutoEncoderTopK", LINEAR | {"b_dec": B_DEC} | {"k": torch.tensor(1.5)}, {}, "k in ae.pt is 1.5"),
        ("AutoEncoderTopK", LINEAR | {"b_dec": B_DEC}, {}, "--k"),
        ("AutoEncoderTopK", LINEAR | {"b_dec": B_DEC, "threshold": torch.tensor(1.5)}, {"k": 2}, "lacks k"),
        (
            "BatchTopKSAE",
            LINEAR | {"b_dec": B_DEC} | K | {"threshold": torch.tensor(torch.nan)},
            {},
            "threshold .* nan",
        ),
        ("BatchTopKSAE", LINEAR | {"b_dec": B_DEC} | K | {"threshold": torch.ones(6)}, {}, "expected one number"),
        ("MatryoshkaBatchTopKSAE", FOUR | LEARNED | {"group_sizes": torch.tensor([2, 3])}, {}, "that sum to the 6"),
        ("MatryoshkaBatchTopKSAE", FOUR | LEARNED | {"group_sizes": torch.tensor([8, -2])}, {}, "numbers above 0"),
        ("JumpReluAutoEncoder", FOUR | {"threshold": THRESHOLD[:4]}, {}, "threshold has shape"),
    ],
)
def test_a_dictionary_that_contradicts_is_refused(dict_class, arrays, trainer, sentence, tmp_path):
    with pytest.raises(Refusal, match=sentence):
        load_sae(dl(tmp_path / "trainer_0", dict_class, arrays, **trainer))


def test_the_architecture_asked_for_may_not_contradict_the_config(tmp_path):
    folder = dl(tmp_path / "trainer_0", "BatchTopKSAE", LINEAR | {"b_dec": B_DEC} | LEARNED, k=2)
    with pytest.raises(Refusal, match="--architecture is topk but config.json says batchtopk"):
        load_sae(folder, architecture="topk")
