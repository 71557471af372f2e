"""Our own layout holds what SAELens' cannot, comes back with the same bits, and is not mistaken for SAELens'."""

from __future__ import annotations

import json
from dataclasses import replace

import numpy as np
import pytest
import torch

from featurelib.sae.checkpoints import load_sae, save_sae
from featurelib.sae.formats.saelens import save_saelens
from featurelib.sae.gates import Capped, Gated, GroupMax, JumpReLU, KeepsMax, Relu, TopK
from featurelib.sae.model import SAE
from featurelib.schema import Refusal
from tests.sae.test_sae import random_sae

X = np.random.default_rng(5).normal(size=(40, 48)).astype(np.float32)
THRESHOLD = torch.linspace(0.2, 1.1, 192)
FOREIGN = {
    "groupmax": {"gate": GroupMax(6)},
    "keepsmax": {"gate": KeepsMax(THRESHOLD + 9)},
    "capped": {"gate": Capped(THRESHOLD, 5)},
    "skip": {"gate": TopK(4), "W_skip": torch.eye(48) / 7},
    "no way back": {"gate": TopK(4), "norm": "layer_norm", "shift_back": False},
    "standardise": {"gate": Relu(), "norm": "standardise", "subtract_b_dec": False},
    "gated, standardised": {"gate": Gated(-THRESHOLD, THRESHOLD, THRESHOLD / 9), "norm": "standardise"},
}


def foreign(name: str) -> SAE:
    return replace(random_sae(), **FOREIGN[name])


@pytest.mark.parametrize("name", FOREIGN)
def test_what_saelens_cannot_hold_comes_back_with_the_same_bits(name, tmp_path):
    sae = foreign(name)
    assert save_sae(sae, tmp_path / "sae") == "featurelib"
    again = load_sae(tmp_path / "sae")
    assert torch.equal(again.encode(X), sae.encode(X)) and bool((sae.encode(X) > 0).any())
    assert torch.equal(again.reconstruct(X), sae.reconstruct(X))
    assert save_sae(again, tmp_path / "again") == "featurelib"
    for file in ("cfg.json", "sae_weights.safetensors"):
        assert (tmp_path / "sae" / file).read_bytes() == (tmp_path / "again" / file).read_bytes()


@pytest.mark.parametrize("name", FOREIGN)
def test_writing_it_in_saelens_layout_is_refused(name, tmp_path):
    with pytest.raises(Refusal, match="has no place for this SAE"):
        save_saelens(foreign(name), tmp_path / "sae")
    assert not (tmp_path / "sae").exists()


def test_what_saelens_can_hold_is_written_so(tmp_path):
    assert save_sae(replace(random_sae(), gate=JumpReLU(THRESHOLD)), tmp_path / "sae") == "SAELens"
    assert json.loads((tmp_path / "sae" / "cfg.json").read_text())["architecture"] == "jumprelu"


def z_and_gates() -> tuple[np.ndarray, dict[str, np.ndarray]]:
    """Pre-activations, and what each gate makes of them by a plain loop over rows."""
    z = np.random.default_rng(0).normal(size=(30, 12)).astype(np.float32)
    z[3] = -1
    relu = np.maximum(z, 0)
    expected = {name: np.zeros_like(z) for name in ("groupmax", "keepsmax", "capped")}
    for row in range(len(z)):
        for group in range(3):
            best = 4 * group + int(z[row, 4 * group : 4 * group + 4].argmax())
            expected["groupmax"][row, best] = relu[row, best]
        passing = relu[row] > 1.4
        passing[int(relu[row].argmax())] = True
        expected["keepsmax"][row, passing] = relu[row, passing]
        order = sorted((-relu[row, feature], feature) for feature in range(12) if relu[row, feature] > 0.3)
        for _, feature in order[:2]:
            expected["capped"][row, feature] = relu[row, feature]
    return z, expected


def test_gates_are_those_of_a_plain_loop():
    z, expected = z_and_gates()
    level = torch.full((12,), 1.4)
    gates = {"groupmax": GroupMax(3), "keepsmax": KeepsMax(level), "capped": Capped(torch.full((12,), 0.3), 2)}
    for name, gate in gates.items():
        np.testing.assert_array_equal(gate(torch.from_numpy(z)).numpy(), expected[name])


def test_the_way_back_of_each_norm_is_its_formula():
    sae = random_sae()
    a, mean, std = sae.encode(X), X.mean(axis=1, keepdims=True), X.std(axis=1, ddof=1, keepdims=True)
    inside = a.numpy() @ sae.W_dec.numpy() + sae.b_dec.numpy()
    wanted = {
        "layer_norm": inside * std + mean,
        "standardise": inside * (std + 1e-5) + mean,
    }
    for norm, expected in wanted.items():
        there = replace(sae, norm=norm)
        np.testing.assert_allclose(there.decode(a, there.scale(X)).numpy(), expected, atol=2e-6)
        np.testing.assert_allclose(there.rebuild(X, a).numpy(), expected, atol=2e-6)
        np.testing.assert_allclose(replace(there, shift_back=False).rebuild(X, a).numpy(), inside, atol=2e-6)
    skip = torch.randn(48, 48, generator=torch.Generator().manual_seed(0))
    np.testing.assert_allclose(replace(sae, W_skip=skip).rebuild(X, a).numpy(), inside + X @ skip.numpy(), atol=1e-4)


@pytest.mark.parametrize(
    ("change", "sentence"),
    [
        ({"gate": "softmax"}, "names the gate 'softmax'"),
        ({"shift_back": "no"}, "shift_back = 'no'"),
        ({"k": 193}, "k is 193"),
        ({"k": None}, "--k"),
        ({"d_sae": 96}, "d_sae = 96"),
        ({"norm": "batch"}, "normalisation 'batch'"),
    ],
)
def test_a_config_that_was_changed_is_refused(change, sentence, tmp_path):
    save_sae(foreign("groupmax"), tmp_path / "sae")
    path = tmp_path / "sae" / "cfg.json"
    path.write_text(json.dumps(json.loads(path.read_text()) | change))
    with pytest.raises(Refusal, match=sentence):
        load_sae(tmp_path / "sae")


def test_groups_that_do_not_divide_the_features_are_refused():
    with pytest.raises(Refusal, match="192 features .* 5 groups"):
        replace(random_sae(), gate=GroupMax(5))


def test_a_threshold_that_is_asked_for_takes_the_place_of_a_files_own_or_is_refused(tmp_path):
    save_sae(replace(random_sae(), gate=JumpReLU(THRESHOLD)), tmp_path / "jumprelu")
    with pytest.warns(UserWarning, match="its own gate stays unused; the threshold asked for is used \\(1.25\\)"):
        sae = load_sae(tmp_path / "jumprelu", threshold=1.25)
    z = random_sae().pre_activations(X)
    assert torch.equal(sae.encode(X), z.relu() * (z > 1.25)) and bool((sae.encode(X) > 0).any())
    save_sae(foreign("groupmax"), tmp_path / "groupmax")
    with pytest.raises(Refusal, match="--threshold cannot take the place of this SAE's gate \\(groupmax\\)"):
        load_sae(tmp_path / "groupmax", threshold=1.25)
