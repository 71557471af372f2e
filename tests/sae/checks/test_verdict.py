"""The verdict on an SAE that was taken from elsewhere, on planted directions: right ones fit, all others are caught."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
import torch

from featurelib.sae.checks.verdict import DOUBTFUL, FITS, MISFIT, judge_fit, turn
from featurelib.sae.gates import JumpReLU, TopK
from featurelib.sae.model import SAE

D, F = 128, 160


def directions(seed: int) -> np.ndarray:
    drawn = np.random.default_rng(seed).normal(size=(F, D))
    return drawn / np.linalg.norm(drawn, axis=1, keepdims=True)


def embeddings(seed: int, *, model: int = 0, mean: float = 1.0, often: np.ndarray | None = None) -> np.ndarray:
    """Sums of some four directions of a model, about its mean."""
    draw = np.random.default_rng(seed)
    fires = draw.random((3_000, F)) < (np.full(F, 4 / F) if often is None else often)
    heights = fires * draw.uniform(1, 2, fires.shape)
    centre = np.random.default_rng([model, 7]).normal(size=D)
    return (heights @ directions(model) + mean * centre).astype(np.float32)


@pytest.fixture(params=["jumprelu", "topk"])
def sae(request: pytest.FixtureRequest) -> SAE:
    W_dec = torch.from_numpy(directions(0)).float()
    centre = torch.from_numpy(np.random.default_rng([0, 7]).normal(size=D)).float()
    gate = JumpReLU(torch.full((F,), 0.7)) if request.param == "jumprelu" else TopK(5)
    return SAE(W_dec.T.contiguous(), torch.zeros(F), W_dec, centre, gate)


def test_the_right_sae_fits_also_texts_of_another_kind(sae: SAE) -> None:
    assert judge_fit(sae, embeddings(1)).verdict == FITS
    shifted = np.random.default_rng(5).permutation(np.geomspace(0.002, 0.12, F))
    found = judge_fit(sae, embeddings(2, often=shifted))
    assert found.verdict == FITS and found.reasons == () and "fits this embedder (FVU 0." in found.sentence


@pytest.mark.parametrize("factor", [3.0, 1 / 3])
def test_other_weights_and_other_scales_are_caught(sae: SAE, factor: float) -> None:
    x = embeddings(1)
    order = torch.randperm(F, generator=torch.Generator().manual_seed(0))
    wrong = [
        replace(sae, W_dec=sae.W_dec[order]),
        replace(sae, W_dec=sae.W_dec * factor),
        replace(sae, W_dec=sae.W_dec * factor, b_dec=sae.b_dec * factor, W_enc=sae.W_enc * factor),
    ]
    assert [judge_fit(each, x).verdict for each in wrong] == [MISFIT] * 3
    assert judge_fit(sae, factor * x).verdict == MISFIT


def test_the_embeddings_of_another_model_of_the_same_width_are_caught(sae: SAE) -> None:
    found = judge_fit(sae, embeddings(1, model=3))
    assert found.verdict == MISFIT and found.sentence.startswith("does not fit this embedder: ")


def test_an_sae_of_which_nothing_fires_is_caught(sae: SAE) -> None:
    silent = replace(sae, gate=JumpReLU(torch.full((F,), 1e3)))
    found = judge_fit(silent, embeddings(1))
    assert (found.verdict, found.dead_share, found.l0) == (MISFIT, 1.0, 0.0)


def test_densities_of_other_features_are_doubted_and_their_own_are_not(sae: SAE) -> None:
    often = np.random.default_rng(5).permutation(np.geomspace(0.002, 0.12, F))
    x = embeddings(2, often=often)
    own = torch.from_numpy(np.log10(often)).float()
    assert judge_fit(sae, x, own).verdict == FITS
    found = judge_fit(sae, x, own[torch.randperm(F, generator=torch.Generator().manual_seed(1))])
    assert found.verdict == DOUBTFUL and "Spearman" in found.sentence


def test_the_numbers_are_those_of_their_formulas(sae: SAE) -> None:
    x = embeddings(1)[:900]
    found = judge_fit(sae, x)
    rebuilt, fires = sae.reconstruct(x).numpy().astype(np.float64), (sae.encode(x) > 0).numpy()
    centred = ((x - x.mean(axis=0, dtype=np.float64)) ** 2).sum()
    assert found.fvu == pytest.approx(((x - rebuilt) ** 2).sum() / centred, rel=1e-6)
    assert found.dead_share == (~fires.any(axis=0)).mean() and found.l0 == pytest.approx(fires.sum(axis=1).mean())
    assert found.norm == pytest.approx(np.linalg.norm(x, axis=1).mean(), rel=1e-6)
    assert found.rebuilt_norm == pytest.approx(np.linalg.norm(rebuilt, axis=1).mean(), rel=1e-6)
    assert found.mean_norm == pytest.approx(np.linalg.norm(x.mean(axis=0)), rel=1e-5)


def test_turning_keeps_mean_lengths_and_angles() -> None:
    x = embeddings(1)[:200].astype(np.float64)
    turned = turn(x, 0).astype(np.float64)
    mean = x.mean(axis=0)
    np.testing.assert_allclose(turned.mean(axis=0), mean, atol=1e-5)
    np.testing.assert_allclose((turned - mean) @ (turned - mean).T, (x - mean) @ (x - mean).T, atol=1e-3)
    assert not np.allclose(turned, x)


def test_embeddings_that_are_all_the_same_are_not_judged(sae: SAE) -> None:
    x = np.repeat(embeddings(1)[:1], 50, axis=0)
    found = judge_fit(sae, x)
    assert found.fvu is None and found.n == 50 and found.verdict in (FITS, DOUBTFUL, MISFIT)
