"""The numbers that a sentence encoder's transformer computes with: bfloat16 where it is asked for, stated and kept."""

from __future__ import annotations

import importlib.util
from dataclasses import asdict
from pathlib import Path

import numpy as np
import pytest
import torch

from featurelib.embedder import backends, load_embedder
from featurelib.embedder.batches import multiplies_in_bfloat16
from featurelib.schema import Refusal
from featurelib.storage import files
from precompute.build.config import BuildConfig
from precompute.build.stage_table import _options
from precompute.stages.embed import STAGE
from tests.support.sentence_models import make_transformer, save_model

TEXTS = [
    "Black holes.",
    "We study the entropy of black holes. " * 12,
    "中文 🙂 text",
    "x",
    "graph neural networks " * 150,
]


@pytest.fixture(scope="module")
def behind(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A transformer, pooling by weighted mean, a Dense layer and LayerNorm."""
    from sentence_transformers.sentence_transformer.modules import Dense, LayerNorm

    folder = tmp_path_factory.mktemp("dtype")
    torch.manual_seed(0)
    modules = [Dense(16, 12, activation_function=torch.nn.Identity()), LayerNorm(12)]
    return save_model(folder / "model", make_transformer(folder / "plain"), "weightedmean", modules)


def cosines(rows: np.ndarray, others: np.ndarray) -> np.ndarray:
    lengths = np.linalg.norm(rows.astype(np.float64), axis=1) * np.linalg.norm(others.astype(np.float64), axis=1)
    return np.sum(rows.astype(np.float64) * others, axis=1) / lengths


def test_bfloat16_embeddings_are_those_of_the_transformer_under_autocast_pooled_in_float32():
    embedder = load_embedder(device="cpu", dtype="bfloat16")
    own, exact = embedder.embed(TEXTS), load_embedder(device="cpu").embed(TEXTS)
    assert embedder.precision == "bfloat16" and own.dtype == np.float32
    similar = cosines(own, exact)
    assert similar.min() > 0.999 and not np.array_equal(own, exact), similar
    assert np.abs(np.linalg.norm(own, axis=1) - 1).max() < 1e-6, "brought to length 1 in float32"
    assert np.array_equal(own, embedder.embed(TEXTS)), "the same list, the same bytes"
    model = embedder._model
    for row, text in enumerate(TEXTS):
        features = model.preprocess([text])
        with torch.inference_mode(), torch.autocast("cpu", torch.bfloat16):
            states = model[0].model(**{name: features[name] for name in ("input_ids", "attention_mask")})
        mean = states.last_hidden_state[0].float().mean(dim=0).numpy()
        assert cosines(embedder.embed([text]), mean[None]) > 1 - 1e-6, f"text {row}"


def test_shares_sum_to_the_bfloat16_embedding(behind):
    embedder = load_embedder(str(behind), device="cpu", dtype="bfloat16")
    shares: dict[int, np.ndarray] = {}
    x = embedder.embed(TEXTS, on_shares=shares.__setitem__)
    assert np.array_equal(x, embedder.embed(TEXTS))
    for row, own in shares.items():
        assert np.abs(own.sum(axis=0, dtype=np.float64) - x[row]).max() < 2e-6 * np.abs(x[row]).max()
    # the same texts in the same batches
    for row, states in enumerate(embedder.token_states(TEXTS)):
        assert np.abs(states.embedding - x[row]).max() < 2e-6 * np.abs(x[row]).max()


@pytest.mark.skipif(not importlib.util.find_spec("openvino"), reason="openvino is not installed")
@pytest.mark.skipif(not multiplies_in_bfloat16(), reason="this CPU has no instructions for bfloat16")
def test_openvino_computes_in_bfloat16_too(tmp_path, monkeypatch):
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path))
    embedder = load_embedder(device="cpu", backend="openvino", dtype="bfloat16")
    own, exact = embedder.embed(TEXTS), load_embedder(device="cpu").embed(TEXTS)
    similar = cosines(own, exact)
    assert embedder.precision == "bfloat16" and similar.min() > 0.999
    assert similar.min() < 1 - 1e-6, "it computes in float32"


def test_what_no_device_or_backend_computes_in_is_refused(tmp_path, monkeypatch):
    from sentence_transformers import SentenceTransformer
    from sentence_transformers.sentence_transformer.modules import StaticEmbedding
    from tokenizers import Tokenizer
    from tokenizers.models import WordLevel

    monkeypatch.setattr(backends, "find_backend", lambda name: None)
    with pytest.raises(Refusal, match="ONNX Runtime computes in float32, not in bfloat16"):
        load_embedder(device="cpu", backend="onnx", dtype="bfloat16")
    static = SentenceTransformer(modules=[StaticEmbedding(Tokenizer(WordLevel({"a": 0}, "a")), embedding_dim=4)])
    static.save_pretrained(str(tmp_path / "static"))
    with pytest.raises(Refusal, match="static has no transformer to compute in bfloat16; leave --dtype out"):
        load_embedder(str(tmp_path / "static"), device="cpu", dtype="bfloat16")
    with pytest.raises(Refusal, match="computes in float32 or bfloat16, and float16 was asked for"):
        load_embedder(device="cpu", dtype="float16")
    assert load_embedder("stand-in:8", device="cpu").precision == "float32"


@pytest.mark.parametrize(
    ("options", "reason"),
    [
        ({"embedder": "stand-in:8"}, "a model that embeds the texts, and here none does"),
        ({"embeddings": "x.npy", "embedder": "y"}, "a model that embeds the texts, and here none does"),
        ({"dtype": "float16"}, "--dtype float16 is for hidden states"),
        ({"embed_backend": "onnx"}, "onnx computes in float32; leave --dtype out, or give --embed-backend openvino"),
    ],
)
def test_a_dtype_without_a_meaning_is_refused(options, reason):
    with pytest.raises(Refusal, match=reason):
        BuildConfig(**{"source": "x", "name": "run", "dtype": "bfloat16"} | options)


def test_older_runs_stand_and_another_dtype_makes_other_embeddings(behind):
    plain = BuildConfig(source="x", name="run", embedder=str(behind))
    assert "dtype" not in _options(STAGE, plain)
    half = BuildConfig(source="x", name="run", embedder=str(behind), dtype="bfloat16")
    assert _options(STAGE, half) == _options(STAGE, plain) | {"dtype": "bfloat16"}
    assert half.elsewhere("cpu").dtype == "bfloat16", "on the machines of a cluster too"


@pytest.mark.parametrize("precision", ["float32", "bfloat16", "float16", None])
def test_pages_embed_what_is_typed_as_the_run_was_embedded(behind, tmp_path, precision):
    from featurelib.live.worker import models

    embedder = load_embedder(str(behind), device="cpu")
    facts = asdict(embedder.facts) | {"precision": precision}
    files.write_json(tmp_path / "run.json", {"embedder": facts})
    files.write_json(tmp_path / "volatile.json", {"embed": {"embedder_folder": str(behind)}})
    assert models.open_embedder(tmp_path).precision == ("bfloat16" if precision == "bfloat16" else "float32")


def test_what_stands_behind_the_transformer_gets_float32(behind):
    """Some transformers return what autocast makes, such as one that ends with a linear layer."""
    embedder = load_embedder(str(behind), device="cpu", dtype="bfloat16")
    seen: list[torch.dtype] = []
    transformer, pooling = embedder._model[0], embedder._model[1]
    transformer.register_forward_hook(
        lambda module, inputs, features: {**features, "token_embeddings": features["token_embeddings"].bfloat16()}
    )
    pooling.register_forward_hook(lambda module, inputs, features: seen.append(inputs[0]["token_embeddings"].dtype))
    embedder.embed(TEXTS)
    assert set(seen) == {torch.float32}
