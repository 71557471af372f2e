"""Files of sparsify and latent-sae against vectors and formulas; and what we write in sparsify's layout."""

from __future__ import annotations

import json
from dataclasses import replace

import numpy as np
import pytest
import torch

from featurelib.sae.checkpoints import load_sae
from featurelib.sae.formats.sparsify import save_sparsify
from featurelib.sae.gates import GroupMax, JumpReLU, TopK
from featurelib.schema import Refusal
from tests.sae.formats.test_openai_like import DAMAGE
from tests.sae.formats.test_opensae import OPEN
from tests.sae.test_sae import B_DEC, B_ENC, I4, THRESHOLD, VECTORS, W_DEC, W_ENC, numbers, random_sae
from tests.support.foreign import X64, agree, checkpoint, relu, safe, tensors, top

SPARSIFY_VECTORS = {
    "G1 groupmax": (
        "0 0 0 0 1.65936 0; 0 0 1.86485 0 0 0; 2.44065 0 0 0 0 2.62552",
        "1.38725 0.48987 -0.59088 -1.32318; 0.51856 -0.70445 -1.54913 -1.59467; -3.48002 -3.54265 -1.89208 0.71891",
    ),
    "G2 skip": (
        "0 0 0 1.02745 1.65936 0; 0 1.02722 1.86485 0 0 0; 0 0 0 0 2.47746 2.62552",
        "0.34859 0.46947 0.35662 0.24409; 0.78288 -0.09052 -0.92794 -1.44769; -0.31839 -0.42205 -0.12404 0.54487",
    ),
}
SKIPPING = OPEN | {"W_skip": 0.1 * (I4[:, None] - I4)}  # applied as x @ W_skip.T
LATENT = {
    "TOPK": OPEN,
    "JUMPRELU": OPEN | {"log_threshold": np.log(THRESHOLD)},
    "BATCHTOPK": OPEN | {"batchtopk_threshold": torch.tensor(1.5)},
    "MATRYOSHKA": OPEN,
    "CENTRED": OPEN | {"input_mean": B_DEC * 3},
    "SKIPPING": OPEN | {"W_skip.weight": SKIPPING["W_skip"]},
    "LOW RANK": OPEN | {"W_skip_down.weight": W_ENC[:2, :4], "W_skip_up.weight": W_DEC[:4, :2]},
}
Z = (X64 - B_DEC) @ W_ENC + B_ENC


def published(sae, name):
    agree(sae, *(numbers(text) for text in (SPARSIFY_VECTORS | VECTORS)[name]))


def sparsify(folder, arrays=OPEN, **changes):
    """As SparseCoder.save_to_disk, every setting of SparseCoderConfig."""
    config = {
        "activation": "topk", "expansion_factor": 32, "normalize_decoder": True, "num_latents": 6, "k": 2,
        "multi_topk": False, "skip_connection": False, "transcode": False, "d_in": 4,
    }  # fmt: skip
    config = {key: value for key, value in (config | changes).items() if value is not ...}
    return safe(folder, arrays, config, "sae.safetensors")


def latent(folder, arrays=None, kind="TOPK", **changes):
    """As latent-sae's Sae.save_to_disk; its fork has no activation, skip_connection or transcode."""
    said = dict.fromkeys(("activation", "skip_connection", "transcode"), ...)
    said |= {
        "sae_type": kind if kind in ("JUMPRELU", "BATCHTOPK", "MATRYOSHKA") else "TOPK",
        "matryoshka_sizes": "2,6" if kind == "MATRYOSHKA" else "",
        "matryoshka_ks": "1,2" if kind == "MATRYOSHKA" else "",
        "mean_center": kind == "CENTRED",
        "use_skip": kind in ("SKIPPING", "LOW RANK"),
        "skip_rank": 2 if kind == "LOW RANK" else 0,
    }
    return sparsify(folder, LATENT[kind] if arrays is None else arrays, **said | changes)


def test_sparsify_gives_the_published_vectors(tmp_path):
    read = checkpoint(sparsify(tmp_path / "topk"))
    assert read.format == "sparsify" and read.remarks == ()
    published(read.sae, "B2 topk")
    published(load_sae(sparsify(tmp_path / "groupmax", activation="groupmax")), "G1 groupmax")
    published(load_sae(sparsify(tmp_path / "skip", SKIPPING, skip_connection=True)), "G2 skip")


def test_an_early_file_of_sparsify_is_read_and_its_signed_ones_refused(tmp_path):
    early = {"activation": ..., "multi_topk": ..., "skip_connection": ..., "transcode": ..., "signed": False}
    published(load_sae(sparsify(tmp_path / "early", **early)), "B2 topk")
    with pytest.raises(Refusal, match="signed = true"):
        load_sae(sparsify(tmp_path / "early", **early | {"signed": True}))


def test_a_transcoder_is_refused(tmp_path):
    with pytest.raises(Refusal, match="transcoder rebuilds something else"):
        load_sae(sparsify(tmp_path / "sae", transcode=True))


def test_without_num_latents_the_expansion_factor_counts(tmp_path):
    six = {"encoder.weight": W_ENC.T[:4], "encoder.bias": B_ENC[:4], "W_dec": W_DEC[:4], "b_dec": B_DEC}
    a = top(relu(Z[:, :4]), 2)
    agree(load_sae(sparsify(tmp_path / "sae", six, num_latents=0, expansion_factor=1)), a, a @ W_DEC[:4] + B_DEC)
    with pytest.raises(Refusal, match="expansion_factor = 2 but the tensors say 1.0"):
        load_sae(sparsify(tmp_path / "sae", six, num_latents=0, expansion_factor=2))


def test_latent_sae_gives_the_published_vectors(tmp_path):
    read = checkpoint(latent(tmp_path / "topk"))
    assert read.format == "latent-sae" and read.remarks == ()
    published(read.sae, "B2 topk")
    published(load_sae(latent(tmp_path / "jumprelu", kind="JUMPRELU")), "B4 jumprelu")
    matryoshka = load_sae(latent(tmp_path / "matryoshka", kind="MATRYOSHKA", k=5))
    published(matryoshka, "B2 topk")
    assert matryoshka.architecture == "matryoshka" and matryoshka.prefixes == (2, 6)
    third = OPEN | {"batchtopk_threshold": torch.tensor(1.5)}
    batchwise = latent(tmp_path / "both", third, "MATRYOSHKA", matryoshka_use_batchtopk=True)
    published(load_sae(batchwise), "B2 topk")


def test_a_batchtopk_of_latent_sae_passes_its_threshold_and_keeps_at_most_k(tmp_path):
    read = checkpoint(latent(tmp_path / "sae", kind="BATCHTOPK"))
    a = top(relu(Z) * (relu(Z) >= 1.5), 2)
    assert (a > 0).sum(1).tolist() == [1, 1, 2] and (Z[2] > 1.5).sum() == 3
    agree(read.sae, a, a @ W_DEC + B_DEC)
    assert read.sae.architecture == "batchtopk" and read.remarks == ()
    at_it = float(relu(read.sae.pre_activations(X64))[0].max())
    on_it = latent(tmp_path / "on", OPEN | {"batchtopk_threshold": torch.tensor(at_it)}, "BATCHTOPK")
    assert load_sae(on_it).encode(X64)[0].max() == at_it  # at the threshold it fires


def test_a_batchtopk_of_latent_sae_that_never_learned_is_a_topk_and_says_so(tmp_path):
    folder = latent(tmp_path / "sae", OPEN | {"batchtopk_threshold": torch.tensor(0.0)}, "BATCHTOPK")
    with pytest.warns(UserWarning, match="never learned"):
        published(load_sae(folder), "B2 topk")


@pytest.mark.parametrize(("changes", "cap"), [({}, 4), ({"jumprelu_max_active": 3}, 3), ({"k": 2}, 6)])
def test_a_jumprelu_of_latent_sae_keeps_at_most_its_cap(changes, cap, tmp_path):
    low = OPEN | {"log_threshold": np.full(6, np.log(1e-6)), "encoder.bias": B_ENC + 9}
    sae = load_sae(latent(tmp_path / "sae", low, "JUMPRELU", **{"k": 1} | changes))
    a = top(Z + 9, cap)
    agree(sae, a, a @ W_DEC + B_DEC)
    assert sae.architecture == "jumprelu"


def test_latent_saes_mean_and_skips_are_their_formulas(tmp_path):
    mean, full = B_DEC * 3, SKIPPING["W_skip"]
    down, up = W_ENC[:2, :4], W_DEC[:4, :2]
    a = top(relu((X64 - mean - B_DEC) @ W_ENC + B_ENC), 2)
    agree(load_sae(latent(tmp_path / "centred", kind="CENTRED")), a, a @ W_DEC + B_DEC + mean)
    both = LATENT["CENTRED"] | {"W_skip.weight": full}
    sae = load_sae(latent(tmp_path / "both", both, "CENTRED", use_skip=True))
    agree(sae, a, a @ W_DEC + B_DEC + mean + (X64 - mean) @ full.T)
    a = top(relu(Z), 2)
    agree(load_sae(latent(tmp_path / "skip", kind="SKIPPING")), a, a @ W_DEC + B_DEC + X64 @ full.T)
    low_rank = load_sae(latent(tmp_path / "low", kind="LOW RANK"))
    agree(low_rank, a, a @ W_DEC + B_DEC + X64 @ down.T @ up.T)


@pytest.mark.parametrize(
    ("write", "changes", "sentence"),
    [
        (sparsify, {"k": ...}, "--k"),
        (sparsify, {"k": 7}, "k is 7 but the SAE has 6"),
        (sparsify, {"k": "2"}, "k = '2'"),
        (sparsify, {"activation": "groupmax", "k": 4}, "do not fall into 4 groups"),
        (sparsify, {"activation": "relu"}, "activation = 'relu'"),
        (sparsify, {"num_latents": 12}, "num_latents = 12 but the tensors say 6"),
        (sparsify, {"d_in": 8}, "d_in = 8 but the tensors say 4"),
        (sparsify, {"skip_connection": True}, "lacks W_skip"),
        (sparsify, {"arrays": SKIPPING}, "also holds W_skip"),
        (sparsify, {"arrays": SKIPPING | {"W_skip": W_ENC}, "skip_connection": True}, "W_skip has shape"),
        (sparsify, {"transcode": "no"}, "transcode = 'no'"),
        (latent, {"k": ...}, "--k"),
        (latent, {"k": 7}, "k is 7 but the SAE has 6"),
        (latent, {"kind": "BATCHTOPK", "k": 7}, "k is 7 but the SAE has 6"),
        (latent, {"kind": "MATRYOSHKA", "matryoshka_ks": ..., "matryoshka_sizes": ...}, "--k"),
        (latent, {"kind": "MATRYOSHKA", "matryoshka_sizes": "2,12"}, r"matryoshka_sizes = \[2, 12\]"),
        (latent, {"kind": "MATRYOSHKA", "matryoshka_ks": "1,2,3"}, r"matryoshka_ks = \[1, 2, 3\]"),
        (latent, {"kind": "MATRYOSHKA", "matryoshka_ks": "1,two"}, "no numbers with commas"),
        (latent, {"kind": "MATRYOSHKA", "matryoshka_ks": [1, 2]}, "no numbers with commas"),
        (latent, {"sae_type": "BATCHTOPK"}, "lacks batchtopk_threshold"),
        (latent, {"sae_type": "SOFTMAX"}, "sae_type = 'SOFTMAX'; expected one of TOPK"),
        (latent, {"sae_type": "GATED"}, "sae_type = GATED, which chooses features by one encoder"),
        (latent, {"sae_type": "lista"}, "sae_type = LISTA, which lets features"),
        (latent, {"sae_type": "COSINE"}, "sae_type = COSINE, which scores"),
        (latent, {"sae_type": "ABSTOPK"}, "sae_type = ABSTOPK, which has negative"),
        (latent, {"kind": "CENTRED", "mean_center": False}, "also holds input_mean"),
        (latent, {"kind": "SKIPPING", "use_skip": False}, "also holds W_skip.weight"),
        (latent, {"kind": "SKIPPING", "skip_rank": 2}, "lacks W_skip_down.weight, W_skip_up.weight"),
        (latent, {"kind": "LOW RANK", "skip_rank": 3}, "skip_rank = 3 but the tensors say 2"),
        (latent, {"kind": "JUMPRELU", "jumprelu_max_active": 0}, "jumprelu_max_active = 0"),
        (latent, {"d_in": 8}, "d_in = 8 but the tensors say 4"),
    ],
)
def test_a_config_that_contradicts_or_asks_for_the_impossible_is_refused(write, changes, sentence, tmp_path):
    with pytest.raises(Refusal, match=sentence):
        load_sae(write(tmp_path / "sae", **changes))


def test_the_gated_files_of_latent_sae_are_refused_by_what_they_do(tmp_path):
    arrays = {"W_gate.weight": W_ENC.T, "W_gate.bias": B_ENC, "W_mag.weight": W_ENC.T.copy(), "r_mag": B_ENC.copy()}
    arrays |= {"W_dec": W_DEC, "b_dec": B_DEC}
    with pytest.raises(Refusal, match="GATED, which chooses features by one encoder"):
        load_sae(latent(tmp_path / "sae", arrays, sae_type="GATED"))


@pytest.mark.parametrize("damage", DAMAGE)
@pytest.mark.parametrize("kind", ["sparsify", *LATENT])
def test_each_tensor_that_is_not_as_it_should_be_is_refused(kind, damage, tmp_path):
    whole = tensors(LATENT.get(kind, SKIPPING))
    options = {"kind": kind} if kind in LATENT else {"skip_connection": True}
    write = latent if kind in LATENT else sparsify
    for number, name in enumerate(whole):
        changed = whole | DAMAGE[damage](name, whole[name])
        changed = {key: array.clone().contiguous() for key, array in changed.items() if array is not None}
        if damage == "transposed" and name in ("W_skip", "W_skip.weight"):
            continue  # a square matrix, whose transpose has the same shape
        with pytest.raises(Refusal):
            load_sae(write(tmp_path / str(number), changed, **options))
    checkpoint(write(tmp_path / "whole", whole, **options))


@pytest.mark.parametrize("changes", [{}, {"gate": GroupMax(6)}, {"W_skip": torch.arange(48.0 * 48).reshape(48, 48)}])
def test_what_we_write_in_sparsifys_layout_comes_back_with_the_same_bits(changes, tmp_path):
    sae = replace(random_sae(), **{"gate": TopK(5)} | changes)
    save_sparsify(sae, tmp_path / "sae")
    again = load_sae(tmp_path / "sae")
    for name in ("W_enc", "b_enc", "W_dec", "b_dec", "W_skip"):
        ours, theirs = getattr(sae, name), getattr(again, name)
        assert (ours is theirs is None) or torch.equal(ours, theirs)
    assert again.gate == sae.gate and again.subtract_b_dec
    config = json.loads((tmp_path / "sae" / "cfg.json").read_text())
    assert config["normalize_decoder"] and config["num_latents"] == 192 and config["d_in"] == 48
    save_sparsify(again, tmp_path / "again")
    for file in ("cfg.json", "sae.safetensors"):
        assert (tmp_path / "sae" / file).read_bytes() == (tmp_path / "again" / file).read_bytes()


@pytest.mark.parametrize(
    "changes", [{"gate": JumpReLU(torch.ones(192))}, {"norm": "layer_norm"}, {"subtract_b_dec": False}]
)
def test_what_sparsifys_layout_cannot_hold_is_not_written(changes, tmp_path):
    with pytest.raises(Refusal, match="has no place for this SAE"):
        save_sparsify(replace(random_sae(), **{"gate": TopK(5)} | changes), tmp_path / "sae")
    assert not (tmp_path / "sae").exists()
