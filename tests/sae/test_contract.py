"""OpenSAE's interface against the published vectors of its formulas, and against its formulas in numpy."""

from __future__ import annotations

import numpy as np
import pytest
import torch

from featurelib.sae.contract import OpenSae
from featurelib.schema import Refusal
from tests.sae.formats.test_openai_like import centred
from tests.sae.formats.test_opensae import OPENSAE_VECTORS, opensae
from tests.sae.test_sae import B_DEC, B_ENC, VECTORS, W_DEC, W_ENC, X, build, numbers
from tests.support.foreign import X64, relu, top


def dense(encoded, n_features=6):
    flat = np.zeros((int(np.prod(encoded.sparse_feature_indices.shape[:-1])), n_features))
    k = encoded.sparse_feature_indices.shape[-1]
    np.put_along_axis(
        flat, encoded.sparse_feature_indices.reshape(-1, k).numpy(),
        encoded.sparse_feature_activations.reshape(-1, k).numpy(), 1,
    )  # fmt: skip
    return flat


@pytest.mark.parametrize(("name", "back"), [("F1 not shifted back", False), ("F2 shifted back", True)])
def test_a_file_of_opensae_gives_the_published_vectors(name, back, tmp_path):
    sae = OpenSae.from_pretrained(opensae(tmp_path / "sae", normalize_shift_back=back))
    activations, output = (numbers(text) for text in OPENSAE_VECTORS[name])
    encoded = sae.encode(X)
    np.testing.assert_allclose(dense(encoded), activations, atol=1e-4)
    assert encoded.sparse_feature_indices.shape == (3, 2) and encoded.all_features is None
    xn, mean, std = centred(X64)
    if back:
        np.testing.assert_allclose(encoded.input_mean.numpy(), mean, atol=1e-6)
        np.testing.assert_allclose(encoded.input_std.numpy(), std, atol=1e-6)
    else:
        assert encoded.input_mean is None and encoded.input_std is None
    decoded = sae.decode(
        encoded.sparse_feature_indices, encoded.sparse_feature_activations, encoded.input_mean, encoded.input_std
    )
    np.testing.assert_allclose(decoded.sae_output.numpy(), output, atol=1e-4)
    every = sae.encode(X, return_all_features=True).all_features
    np.testing.assert_allclose(every.numpy(), relu((xn - B_DEC) @ W_ENC + B_ENC), atol=1e-4)


@pytest.mark.parametrize("back", [False, True])
def test_forward_and_its_loss_are_the_formulas(back, tmp_path):
    sae = OpenSae.from_pretrained(opensae(tmp_path / "sae", normalize_shift_back=back))
    xn, mean, std = centred(X64)
    output = relu(top((xn - B_DEC) @ W_ENC + B_ENC, 2)) @ W_DEC + B_DEC
    output = output * (std + 1e-5) + mean if back else output
    squares = ((output - X64) ** 2).sum(0)
    variance = np.maximum(((X64 - X64.mean(0)) ** 2).sum(0), 1.0)
    passed = sae(torch.from_numpy(X))
    np.testing.assert_allclose(passed.sae_output.numpy(), output, atol=1e-4)
    assert float(passed.reconstruction_loss) == pytest.approx((squares / variance).mean(), abs=1e-4)
    assert passed.loss == passed.reconstruction_loss
    parts = sae.reconstruction_loss(X, variance.astype(np.float32), output.astype(np.float32))
    np.testing.assert_allclose(parts.reconstruction_error.numpy(), output - X64, atol=1e-4)
    assert float(parts.l2_loss) == pytest.approx(squares.mean(), abs=1e-4)


@pytest.mark.parametrize("name", [name for name in VECTORS if "topk" not in name or "batch" in name])
def test_any_sae_of_ours_has_the_interface(name, tmp_path):
    sae = OpenSae(build(name, tmp_path / "sae"))
    activations, output = (numbers(text) for text in VECTORS[name])
    hidden = torch.from_numpy(X).reshape(1, 3, 4).to(torch.float64)
    passed = sae.forward(hidden)
    np.testing.assert_allclose(dense(passed), activations, atol=1e-4)
    np.testing.assert_allclose(passed.sae_output.numpy()[0], output, atol=1e-4)
    assert passed.sae_output.shape == (1, 3, 4)
    assert passed.sparse_feature_indices.shape == (1, 3, (activations > 0).sum(1).max())
    named_once = [len(set(row)) for row in passed.sparse_feature_indices[0].tolist()]
    assert named_once == [passed.sparse_feature_indices.shape[-1]] * 3


def test_what_does_not_fit_is_a_sentence(tmp_path):
    sae = OpenSae.from_pretrained(opensae(tmp_path / "sae", normalize_shift_back=True))
    encoded = sae.encode(X)
    with pytest.raises(Refusal, match="input_mean and input_std"):
        sae.decode(encoded.sparse_feature_indices, encoded.sparse_feature_activations)
    with pytest.raises(Refusal, match=r"\(3, 2\) and feature_activations \(3,\)"):
        sae.decode(encoded.sparse_feature_indices, encoded.sparse_feature_activations[:, 0])
    with pytest.raises(Refusal, match="not among the 6"):
        sae.decode([[6]], [[1.0]], [[0.0]], [[1.0]])
    with pytest.raises(Refusal, match=r"reads \[..., 4\]"):
        sae.encode(np.zeros((2, 5)))
    with pytest.raises(Refusal, match="NaN"):
        sae.encode(np.full((1, 4), np.nan))
    assert sae.encode(np.zeros((0, 4))).sparse_feature_indices.shape == (0, 2)
