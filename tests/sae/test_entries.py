"""The entries that fire, found by comparing first, against the dense activations of every gate; and other devices."""

from __future__ import annotations

import numpy as np
import pytest
import torch

from featurelib.sae.device import find_true, on_device, product
from featurelib.sae.gates import Capped, Gated, GroupMax, JumpReLU, KeepsMax, Relu, TopK
from featurelib.sae.model import SAE
from featurelib.sae.near_misses import Misses, NearMisses, nearest_at_gate

N, D, F = 700, 8, 24
LEVEL = torch.rand(F, generator=torch.Generator().manual_seed(5)) * 3 - 0.5
GATES = {
    "relu": Relu(),
    "topk": TopK(3),
    "topk of all": TopK(F),
    "jumprelu": JumpReLU(LEVEL),
    "gated": Gated(LEVEL - 1, 0.3 * LEVEL, 0.2 * LEVEL),
    "groupmax": GroupMax(6),
    "keepsmax": KeepsMax(LEVEL + 4),
    "capped": Capped(LEVEL, 2),
}


def sae_with(gate) -> SAE:
    weights = torch.randn(D, F, generator=torch.Generator().manual_seed(1))
    return SAE(weights, torch.full((F,), -0.2), weights.T.clone(), torch.full((D,), 0.1), gate)


def draw_rows(n: int = N) -> np.ndarray:
    x = np.random.default_rng(2).standard_normal((n, D)).astype(np.float32)
    x[-1] = 0
    return x


def pre_activations(name: str) -> torch.Tensor:
    """Numbers with ties in rows, zeros of both signs, and values exactly at and next to every threshold."""
    z = torch.randn(300, F, generator=torch.Generator().manual_seed(3)).mul(4).round().div(4)
    gate = GATES[name]
    level = -gate.b_gate if isinstance(gate, Gated) else gate.thresholds(F)
    z[0], z[1], z[2], z[3], z[4] = (
        level,
        level.nextafter(torch.tensor(9.0)),
        level.nextafter(torch.tensor(-9.0)),
        0,
        -0.0,
    )
    return z


@pytest.mark.parametrize("name", GATES)
def test_the_entries_of_a_gate_are_its_activations_that_are_not_zero(name: str) -> None:
    z = pre_activations(name)
    activations = GATES[name](z)
    rows, feature_ids = activations.nonzero(as_tuple=True)
    entries = GATES[name].entries(z)
    assert (
        torch.equal(entries.rows, rows) and torch.equal(entries.feature_ids, feature_ids) and 0 < len(rows) < z.numel()
    )
    assert torch.equal(entries.activations, activations[rows, feature_ids])


@pytest.mark.parametrize("name", GATES)
def test_only_gates_that_fire_by_threshold_say_so(name: str) -> None:
    gate, z = GATES[name], pre_activations(name)
    if gate.by_threshold:
        assert torch.equal(gate.pre_activations(z) > gate.row_thresholds(z), gate(z) > 0)
    assert gate.by_threshold == (name in ("relu", "jumprelu", "keepsmax"))


@pytest.mark.parametrize("name", GATES)
def test_sparse_activations_are_those_of_the_formula_block_by_block(name: str) -> None:
    sae, x = sae_with(GATES[name]), draw_rows()
    padded = torch.cat([torch.from_numpy(x) - sae.b_dec, torch.zeros(68, D)])
    dense = torch.cat([sae.gate(block @ sae.W_enc + sae.b_enc) for block in padded.split(256)])[:N]
    rows, feature_ids = dense.nonzero(as_tuple=True)
    sparse = sae.encode_sparse(x)
    assert torch.equal(sparse.rows, rows) and torch.equal(sparse.feature_ids, feature_ids)
    assert torch.equal(sparse.activations, dense[rows, feature_ids]) and torch.equal(sae.encode(x), dense)


def test_true_entries_are_found_row_by_row() -> None:
    mask = torch.rand(37, 11, generator=torch.Generator().manual_seed(0)) > 0.7
    for some in (mask, mask[:0], torch.zeros(4, 5, dtype=torch.bool), mask.T):
        for ours, theirs in zip(find_true(some), some.nonzero(as_tuple=True), strict=True):
            assert torch.equal(ours, theirs)


@pytest.mark.parametrize("name", ["jumprelu", "topk"])
def test_tokens_are_judged_text_by_text_wherever_blocks_end(name: str) -> None:
    sae, x = sae_with(GATES[name]), draw_rows(1500)
    lengths = np.array([3, 200, 60, 1, 700, 256, 12, 268])
    text_ids = np.repeat(np.arange(len(lengths)) + 40, lengths)
    nearest = NearMisses(F)
    nearest.add_tokens(sae, x, text_ids)
    expected = []
    for text_id in np.unique(text_ids):
        at_gate = nearest_at_gate(sae, x[text_ids == text_id])
        for feature_id in (~at_gate.fires[0]).nonzero()[:, 0].tolist():
            pair = (float(at_gate.pre_activations[0, feature_id]), float(at_gate.thresholds[0, feature_id]))
            expected.append((feature_id, -np.float32(np.float32(pair[0]) - np.float32(pair[1])), int(text_id), *pair))
    misses = nearest.misses
    found = zip(*(column.tolist() for column in (misses.feature_ids, misses.text_ids, *misses[2:])), strict=True)
    assert list(found) == [(row[0], *row[2:]) for row in sorted(expected)] and expected
    fires = np.stack([nearest_at_gate(sae, x[text_ids == text_id]).fires[0] for text_id in np.unique(text_ids)])
    assert (nearest.n_fires == fires.sum(axis=0)).all()


@pytest.mark.parametrize("name", ["relu", "jumprelu", "topk"])
def test_larger_blocks_find_the_same(name: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """Another device multiplies more rows at a time; here they are the only thing that is different."""
    sae, x = sae_with(GATES[name]), draw_rows()
    sparse, dense, rebuilt, nearest = sae.encode_sparse(x), sae.encode(x), sae.reconstruct(x), NearMisses(F)
    nearest.add(sae, x, 5)
    monkeypatch.setattr(SAE, "block", 512)
    other = NearMisses(F)
    other.add(sae, x, 5)
    assert [len(z) for z in sae.gate_inputs(x)] == [512, 188]
    larger = sae.encode_sparse(x)
    assert torch.equal(larger.rows, sparse.rows) and torch.equal(larger.feature_ids, sparse.feature_ids)
    torch.testing.assert_close(larger.activations, sparse.activations, atol=1e-5, rtol=0)
    torch.testing.assert_close(sae.encode(x), dense, atol=1e-5, rtol=0)
    torch.testing.assert_close(sae.reconstruct(x), rebuilt, atol=1e-4, rtol=0)
    np.testing.assert_array_equal(other.misses.text_ids, nearest.misses.text_ids)
    np.testing.assert_array_equal(other.n_fires, nearest.n_fires)


def test_every_parameter_goes_to_a_device() -> None:
    """The device "meta" holds no numbers, but says where they would be."""
    for gate in GATES.values():
        moved = on_device(gate, "meta")
        assert type(moved) is type(gate) and vars(moved).keys() == vars(gate).keys()
        assert {tensor.device.type for tensor in moved.tensors().values()} <= {"meta"}
        assert {name: value for name, value in vars(moved).items() if not torch.is_tensor(value)} == {
            name: value for name, value in vars(gate).items() if not torch.is_tensor(value)
        }
    sae = sae_with(GATES["jumprelu"])
    assert sae.to("cpu") is sae and sae.device == torch.device("cpu")


def test_a_product_on_a_device_is_exact_and_leaves_the_precision_as_it_was(monkeypatch: pytest.MonkeyPatch) -> None:
    a, b = torch.randn(3, 4), torch.randn(4, 2)
    settle, settled = torch.set_float32_matmul_precision, []
    torch.set_float32_matmul_precision("high")
    monkeypatch.setattr(torch, "set_float32_matmul_precision", lambda name: (settled.append(name), settle(name)))
    try:
        assert torch.equal(product(a, b), a @ b) and settled == []
        assert product(a.to("meta"), b.to("meta")).shape == (3, 2)
        assert settled == ["highest", "high"] and torch.get_float32_matmul_precision() == "high"
    finally:
        settle("highest")


def test_misses_are_sorted_as_by_feature_then_margin_then_text() -> None:
    """Margins of both signs, both zeros, and many that are equal; a gated SAE may have some above 0."""
    draw = np.random.default_rng(4)
    feature_ids = draw.integers(0, F, 2000).astype(np.int32)
    margins = draw.choice([-3e38, -2.5, -1e-40, -0.0, 0.0, 1e-40, 1e-7, 2.0, *draw.standard_normal(20)], 2000)
    margins = margins.astype(np.float32)
    misses = Misses(feature_ids, np.arange(2000), margins, np.zeros(2000, np.float32))
    nearest = NearMisses(F, per_feature=30)
    nearest.resume(misses, np.zeros(F, np.int64))
    order = np.lexsort((misses.text_ids, -margins, feature_ids))
    place = np.concatenate([np.arange(count) for count in np.bincount(feature_ids)])
    np.testing.assert_array_equal(nearest.misses.text_ids, order[place < 30])
