"""The SAE against numbers worked out elsewhere, and its files against everything that may be wrong with one."""

from __future__ import annotations

import json
import struct

import numpy as np
import pytest
import torch
from safetensors.torch import load_file, save_file

from featurelib.sae.checkpoints import load_sae
from featurelib.sae.evaluation import nearest_directions
from featurelib.sae.formats.saelens import save_saelens
from featurelib.sae.gates import Gated, JumpReLU, Relu, TopK
from featurelib.sae.model import SAE
from featurelib.sae.sparse import Sparse
from featurelib.schema import Refusal

I6, I4, I3 = np.arange(6.0), np.arange(4.0), np.arange(3.0)
W_ENC = np.sin(1 + 1.3 * (6 * I4[:, None] + I6))
W_DEC = np.cos(2 + 0.7 * (4 * I6[:, None] + I4))
B_ENC, B_DEC = 0.1 * (I6 - 2), 0.05 * (I4 + 1)
X = (1.5 * np.sin(0.9 * (4 * I3[:, None] + I4) + 0.3)).astype(np.float32)
THRESHOLD = 0.3 + 0.1 * I6

# The vectors come from the formulas in float64, printed to 5 decimals; rows are separated by ";".
VECTORS = {
    "B1 standard": (
        "0 0 0 1.02745 1.65936 0.15330; 0 1.02722 1.86485 0 0 0; 2.44065 0 0 0 2.47746 2.62552",
        "0.66405 0.51311 0.16787 -0.18577; 0.60844 0.02351 -0.52545 -0.75674; -1.48347 -2.96057 -2.99823 -1.55523",
    ),
    "B2 topk": (
        "0 0 0 1.02745 1.65936 0; 0 1.02722 1.86485 0 0 0; 0 0 0 0 2.47746 2.62552",
        "0.81087 0.59696 0.14933 -0.29799; 0.60844 0.02351 -0.52545 -0.75674; -0.46781 -0.75404 -0.63861 -0.15228",
    ),
    "B3 topk rescaled": (
        "0 0 0 1.39377 2.19299 0; 0 1.51263 2.64094 0 0 0; 3.66556 0 0 0 0 3.48981",
        "0.81087 0.59696 0.14933 -0.29799; 0.60844 0.02351 -0.52545 -0.75674; -3.48002 -3.54265 -1.89208 0.71891",
    ),
    "B4 jumprelu": (
        "0 0 0 1.02745 1.65936 0; 0 1.02722 1.86485 0 0 0; 2.44065 0 0 0 2.47746 2.62552",
        "0.81087 0.59696 0.14933 -0.29799; 0.60844 0.02351 -0.52545 -0.75674; -1.48347 -2.96057 -2.99823 -1.55523",
    ),
    "B5 jumprelu without b_dec": (
        "0 0 0 1.13604 1.58874 0; 0 0.98749 1.99357 0 0 0; 2.29068 0 0 0 2.40685 2.47915",
        "0.69304 0.59169 0.25909 -0.12481; 0.63731 -0.06017 -0.68232 -0.91302; -1.33780 -2.76151 -2.83941 -1.51134",
    ),
    "B6 constant_norm_rescale": (
        "0 0 0 1.04438 1.68205 0.14852; 0 1.00129 1.81732 0 0 0; 2.23320 0 0 0 2.29366 2.44402",
        "0.66654 0.51442 0.16663 -0.19011; 0.60875 0.02626 -0.52039 -0.75003; -1.49606 -2.96378 -2.98628 -1.52732",
    ),
    "B7 layer_norm": (
        "0.04842 0 0 1.55496 2.41698 0.03112; 0 1.10091 2.19079 0.07116 0 0; 2.13536 0 0 0 2.14876 2.37259",
        "1.47942 1.29640 0.92539 0.55493; -0.16929 -0.76943 -1.30735 -1.51030; -1.12132 -2.54489 -2.50309 -0.98866",
    ),
    "B8 gated": (
        "0 0 0 0.82745 1.41284 0; 0 1.02289 1.68739 0 0 0; 2.15624 0 0 0 2.31699 2.54040",
        "0.72440 0.51820 0.11531 -0.27126; 0.56348 0.09699 -0.36808 -0.58949; -1.41292 -2.69458 -2.66190 -1.30674",
    ),
    "C1 batchtopk with threshold 1.5": (
        "0 0 0 0 1.65936 0; 0 0 1.86485 0 0 0; 2.44065 0 0 0 2.47746 2.62552",
        "1.38725 0.48987 -0.59088 -1.32318; 0.51856 -0.70445 -1.54913 -1.59467; -1.48347 -2.96057 -2.99823 -1.55523",
    ),
}


def tensor(values) -> torch.Tensor:
    return torch.as_tensor(np.asarray(values), dtype=torch.float32)


def numbers(text: str) -> np.ndarray:
    return np.array([[float(word) for word in row.split()] for row in text.split(";")])


def build(name: str, folder) -> SAE:
    """The SAE of a vector, written the way SAELens writes it and loaded by ours."""
    config = {"architecture": "standard", "d_in": 4, "d_sae": 6, "dtype": "float32", "device": "cpu", "metadata": {}}
    config |= {"apply_b_dec_to_input": "without b_dec" not in name, "normalize_activations": "none"}
    tensors = {"W_enc": tensor(W_ENC), "b_enc": tensor(B_ENC), "W_dec": tensor(W_DEC), "b_dec": tensor(B_DEC)}
    if "topk" in name and "batch" not in name:
        config |= {"architecture": "topk", "k": 2, "rescale_acts_by_decoder_norm": "rescaled" in name}
    if "jumprelu" in name or "batchtopk" in name:
        config["architecture"] = "jumprelu"
        tensors["threshold"] = tensor(THRESHOLD if "jumprelu" in name else np.full(6, 1.5))
    if "norm" in name:
        config["normalize_activations"] = name.split()[1]
    if "gated" in name:
        config["architecture"] = "gated"
        tensors.pop("b_enc")
        tensors |= {"b_gate": tensor(B_ENC), "b_mag": tensor(-B_ENC), "r_mag": tensor(0.1 * (I6 - 3))}
    folder.mkdir(exist_ok=True)
    (folder / "cfg.json").write_text(json.dumps(config))
    save_file(tensors, folder / "sae_weights.safetensors")
    return load_sae(folder)


@pytest.mark.parametrize("name", VECTORS)
def test_activations_and_reconstruction_are_the_published_vectors(name, tmp_path):
    sae = build(name, tmp_path / "sae")
    activations, rebuilt = (numbers(text) for text in VECTORS[name])
    np.testing.assert_allclose(sae.encode(X).numpy(), activations, atol=6e-6)
    np.testing.assert_allclose(sae.reconstruct(torch.from_numpy(X)).numpy(), rebuilt, atol=1.1e-5)
    sparse = sae.encode_sparse(X)
    dense = np.zeros((3, 6))
    dense[sparse.rows, sparse.feature_ids] = sparse.activations
    np.testing.assert_allclose(dense, activations, atol=6e-6)
    np.testing.assert_allclose(sae.decode(sparse, sae.scale(X)).numpy(), rebuilt, atol=1.1e-5)


@pytest.mark.parametrize("name", [name for name in VECTORS if "topk" not in name or "batch" in name])
def test_a_feature_fires_exactly_where_its_pre_activation_passes_its_gate_value(name, tmp_path):
    sae = build(name, tmp_path / "sae")
    fires = sae.pre_activations(X) > sae.thresholds()
    assert torch.equal(fires, sae.encode(X) > 0)
    assert torch.equal(sae.encode(X)[fires], sae.pre_activations(X)[fires])


@pytest.mark.parametrize("name", VECTORS)
def test_a_saved_sae_loads_with_the_same_activations_and_saves_to_the_same_bytes(name, tmp_path):
    sae = build(name, tmp_path / "first")
    save_saelens(sae, tmp_path / "second")
    again = load_sae(tmp_path / "second" / "sae_weights.safetensors")
    assert torch.equal(sae.encode(X), again.encode(X))
    save_saelens(again, tmp_path / "third")
    for file in ("cfg.json", "sae_weights.safetensors"):
        assert (tmp_path / "second" / file).read_bytes() == (tmp_path / "third" / file).read_bytes()
    assert set(load_file(tmp_path / "third" / "sae_weights.safetensors")) == set(
        load_file(tmp_path / "first" / "sae_weights.safetensors")
    )


def random_sae(d_in: int = 48, n_features: int = 192, seed: int = 0) -> SAE:
    draw = torch.Generator().manual_seed(seed)
    directions = torch.nn.functional.normalize(torch.randn(n_features, d_in, generator=draw), dim=1)
    return SAE(
        W_enc=directions.T.contiguous(),
        b_enc=0.1 * torch.randn(n_features, generator=draw),
        W_dec=directions,
        b_dec=0.1 * torch.randn(d_in, generator=draw),
        gate=JumpReLU(torch.full((n_features,), 0.7)),
    )


def test_a_text_alone_has_the_same_bits_as_among_others():
    sae = random_sae()
    x = np.random.default_rng(0).normal(size=(700, 48)).astype(np.float32)
    among = sae.encode(x)
    order = np.random.default_rng(1).permutation(700)
    assert torch.equal(sae.encode(x[order]), among[order])
    for row in (0, 255, 256, 699):
        assert torch.equal(sae.encode(x[row : row + 1])[0], among[row])


def test_decode_takes_dense_and_sparse_and_gives_rows_without_features_the_decoder_bias():
    sae = random_sae()
    x = np.random.default_rng(0).normal(size=(300, 48)).astype(np.float32)
    x[-2:] = sae.b_dec.numpy()  # the centre: nothing passes a threshold of 0.7
    sparse, dense = sae.encode_sparse(x), sae.encode(x)
    assert isinstance(sparse, Sparse) and sparse.rows.max() < 298
    rebuilt = sae.decode(sparse, n=300)
    np.testing.assert_allclose(rebuilt.numpy(), dense.numpy() @ sae.W_dec.numpy() + sae.b_dec.numpy(), atol=1e-5)
    assert torch.equal(rebuilt[-1], sae.b_dec)
    assert sae.scale(x) is None


def test_no_texts_give_no_rows():
    sae = random_sae()
    nothing = np.zeros((0, 48), np.float32)
    assert sae.encode(nothing).shape == (0, 192)
    assert len(sae.encode_sparse(nothing).rows) == 0
    assert sae.reconstruct(nothing).shape == (0, 48)


def test_embeddings_of_another_dimension_are_refused_with_both_numbers():
    with pytest.raises(Refusal, match="dimension 47 .* dimension 48"):
        random_sae().encode(np.zeros((2, 47), np.float32))


def test_embeddings_that_are_not_finite_are_refused():
    with pytest.raises(Refusal, match="NaN"):
        random_sae().encode(np.full((2, 48), np.nan, np.float32))


def parts(**changes) -> dict:
    sae = random_sae()
    return {name: getattr(sae, name) for name in ("W_enc", "b_enc", "W_dec", "b_dec", "gate")} | changes


@pytest.mark.parametrize(
    ("changes", "sentence"),
    [
        ({"W_dec": random_sae().W_enc}, "transposed"),
        ({"b_enc": torch.zeros(48)}, "b_enc has shape"),
        ({"b_dec": torch.full((48,), torch.inf)}, "b_dec holds NaN or infinite"),
        ({"gate": JumpReLU(torch.zeros(3))}, "threshold has shape"),
        ({"gate": TopK(193)}, "k is 193 but the SAE has 192 features"),
        ({"gate": Gated(torch.zeros(192), torch.zeros(192), torch.full((192,), torch.nan))}, "r_mag holds NaN"),
        ({"gate": Relu(), "norm": "batch"}, "normalisation 'batch' is not known"),
    ],
)
def test_parameters_that_do_not_fit_are_refused(changes, sentence):
    with pytest.raises(Refusal, match=sentence):
        SAE(**parts(**changes))


def edit_config(**changes):
    def edit(folder):
        path = folder / "cfg.json"
        config = json.loads(path.read_text()) | changes
        path.write_text(json.dumps({key: value for key, value in config.items() if value is not ...}))

    return edit


def edit_tensors(change):
    def edit(folder):
        path = folder / "sae_weights.safetensors"
        tensors = load_file(path)
        change(tensors)
        save_file({name: value.contiguous() for name, value in tensors.items()}, path)

    return edit


def edit_bytes(change):
    def edit(folder):
        path = folder / "sae_weights.safetensors"
        path.write_bytes(change(path.read_bytes()))

    return edit


@pytest.mark.parametrize(
    ("edit", "sentence"),
    [
        (edit_config(architecture="batchtopk"), "names the architecture 'batchtopk'"),
        (edit_config(architecture="standard"), "also holds threshold"),
        (edit_config(hidden_scale=3), "says hidden_scale = 3, a key that is not known"),
        (edit_config(k=8), "says k = 8, a key that is not known"),
        (edit_config(dtype=...), "dtype = None"),
        (edit_config(d_in=96), "d_in 96"),
        (edit_config(d_in=True), "d_in = True"),
        (edit_config(apply_b_dec_to_input="yes"), "apply_b_dec_to_input = 'yes'"),
        (edit_config(normalize_activations="expected_average_only_in"), "fold it into the weights"),
        (edit_config(normalize_activations="batch"), "normalize_activations = 'batch'"),
        (edit_config(reshape_activations="hook_z"), "never reshaped"),
        (lambda folder: (folder / "cfg.json").write_text("{"), "not JSON"),
        (lambda folder: (folder / "cfg.json").unlink(), "in no format that is known.*no config"),
        (edit_tensors(lambda tensors: tensors.pop("b_dec")), "lacks b_dec"),
        (edit_tensors(lambda tensors: tensors.update(extra=torch.zeros(2))), "also holds extra"),
        (edit_tensors(lambda tensors: tensors.update(W_enc=tensors["W_dec"].clone())), "W_enc .* transposed"),
        (edit_tensors(lambda tensors: tensors["b_enc"].fill_(torch.nan)), "b_enc holds NaN"),
        (edit_tensors(lambda tensors: tensors.update(b_enc=torch.zeros(192, dtype=torch.int32))), "as torch.int32"),
        (edit_bytes(lambda content: content[:-4]), "does not fit|is cut"),
        (edit_bytes(lambda content: content[:3]), "is cut or no safetensors"),
        (edit_bytes(lambda content: struct.pack("<Q", 10 << 30) + content[8:]), "header of 10737418240 bytes"),
        (edit_bytes(lambda content: content[:8] + b"{" * 40 + content[48:]), "cannot be read"),
    ],
)
def test_a_damaged_or_contradictory_file_is_refused_with_a_sentence(edit, sentence, tmp_path):
    save_saelens(random_sae(), tmp_path / "sae")
    load_sae(tmp_path / "sae")
    edit(tmp_path / "sae")
    with pytest.raises(Refusal, match=sentence):
        load_sae(tmp_path / "sae")


def test_a_source_that_is_not_there_is_refused(tmp_path):
    with pytest.raises(Refusal, match="there is no SAE at"):
        load_sae(tmp_path / "nothing")


def test_a_run_stands_for_the_sae_of_its_current_generation(tmp_path):
    save_saelens(random_sae(seed=1), tmp_path / "g0002" / "sae")
    (tmp_path / "current").write_text("g0002\n")
    x = np.ones((1, 48), np.float32)
    assert torch.equal(load_sae(tmp_path).encode(x), random_sae(seed=1).encode(x))


def test_neighbours_are_those_of_a_plain_loop_with_ties_by_id():
    sae = random_sae(d_in=3, n_features=12)
    directions = sae.W_dec.clone()
    directions[5] = directions[7] = directions[2]
    sae = SAE(sae.W_enc, sae.b_enc, directions, sae.b_dec, sae.gate)
    both = nearest_directions(sae, 4, 4)
    for opposite, neighbours in ((False, both.nearest), (True, both.opposite)):
        rows = list(zip(neighbours.feature_id, neighbours.rank, neighbours.neighbour_id, strict=True))
        for feature_id in range(12):
            cosines = (directions[feature_id] * directions).sum(1).numpy()
            others = [other for other in range(12) if other != feature_id]
            best = sorted(others, key=lambda other: (round(float(cosines[other] * (1 if opposite else -1)), 6), other))
            assert [row[2] for row in rows if row[0] == feature_id] == best[:4]
