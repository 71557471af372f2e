"""Shares that the stage embed leaves for the stage attributions: the same as from the embedder, and never trusted."""

from __future__ import annotations

from pathlib import Path
from types import SimpleNamespace

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
import torch

from featurelib.embedder import load_embedder, transformer
from featurelib.schema import ATTRIBUTIONS, EMBEDDINGS, TEXT_WORDS, TEXTS, TOP_TEXT_ROWS
from featurelib.storage import files
from featurelib.storage.embeddings import read_embeddings
from featurelib.storage.runs import Done, Generation
from precompute.build import kept_shares
from precompute.build.config import BuildConfig
from precompute.build.job import Job
from precompute.build.kept_shares import KeptShares, from_steps, stepped
from precompute.stages import attributions, embed
from tests.support.sentence_models import make_transformer, save_model

N_TEXTS, N_FEATURES = 300, 40


@pytest.fixture(scope="module")
def models(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Path]:
    from sentence_transformers.sentence_transformer.modules import Dense, LayerNorm, Normalize

    folder = tmp_path_factory.mktemp("models")
    plain = make_transformer(folder / "plain")
    torch.manual_seed(1)
    behind = [Dense(16, 12, activation_function=torch.nn.Identity()), LayerNorm(12)]
    torch.nn.init.normal_(behind[0].linear.bias)
    return {
        "mean": save_model(folder / "mean", plain, "mean", [Normalize()]),
        "behind": save_model(folder / "behind", plain, "weightedmean", behind),
        "cls": save_model(folder / "cls", plain, "cls"),
    }


@pytest.fixture(scope="module")
def texts() -> list[str]:
    draw = np.random.default_rng(0)
    words = ["black", "hole", "graph", "galaxies", "of", "the", "(a-b),", "x"]
    return [" ".join(draw.choice(words, 1 + i % 23)) for i in range(N_TEXTS)]


@pytest.fixture
def generation(texts, tmp_path) -> Generation:
    generation = Generation(tmp_path / "run" / "g0001")
    generation.path.mkdir(parents=True)
    columns = [np.arange(N_TEXTS), np.arange(N_TEXTS), [str(i) for i in range(N_TEXTS)], texts]
    pq.write_table(pa.table(columns, schema=TEXTS.schema), generation.file(TEXTS))
    generation.mark_done("ingest", Done("", {"n_texts": N_TEXTS, "n_rows": N_TEXTS}, "", {}))
    return generation


def job(generation: Generation, model: Path, **options) -> Job:
    config = BuildConfig(source="x", name="run", embedder=str(model), device="cpu", **options)
    return Job(generation, config, lambda _: None)


def give_features(generation: Generation, dimension: int, monkeypatch) -> None:
    """Ten top texts of each of some features, and an SAE of random directions."""
    draw = np.random.default_rng(1)
    rows = [
        (feature_id, rank, int(text_id), 1.0)
        for feature_id in range(N_FEATURES)
        for rank, text_id in enumerate(draw.choice(N_TEXTS, 10, replace=False), 1)
    ]
    generation.write_rows(TOP_TEXT_ROWS, rows)
    generation.mark_done("summarise", Done("", {}, "", {}))
    directions = torch.from_numpy(draw.standard_normal((dimension, N_FEATURES)).astype(np.float32))

    def linear_at(x):
        return directions[:, ids].double().numpy(), np.zeros(len(ids))

    ids: list[int] = []

    def readout(sae, feature_ids):
        ids[:] = feature_ids
        return SimpleNamespace(linear_at=linear_at)

    sae = SimpleNamespace(pre_activations=lambda x: torch.from_numpy(x) @ directions)
    monkeypatch.setattr(attributions, "load_sae", lambda folder: sae)
    monkeypatch.setattr(attributions, "readout", readout)


def attributions_of(generation: Generation) -> tuple[list[dict], list[dict]]:
    return tuple(pq.read_table(generation.file(table)).to_pylist() for table in (TEXT_WORDS, ATTRIBUTIONS))


@pytest.mark.parametrize("name", ["mean", "behind"])
@pytest.mark.parametrize("normalize", [None, True])
def test_kept_shares_are_those_of_the_embedder_and_sum_to_the_embedding(generation, models, texts, name, normalize):
    embed.embed(job(generation, models[name], normalize=normalize))
    kept = KeptShares(generation)
    x = np.concatenate([read_embeddings(path) for path in generation.parts(EMBEDDINGS)])
    embedder = load_embedder(str(models[name]), device="cpu", normalize=normalize)
    assert np.array_equal(x, embed_in_parts(embedder, texts)), "keeping shares must not touch the embeddings"
    for text_id, states in enumerate(embedder.token_states(texts)):
        shares = kept.read(text_id)
        largest = np.abs(states.shares).max()
        assert np.abs(shares[:-1] - states.shares).max() < 1e-5 * largest
        assert np.abs(shares[-1] - states.offset).max() < 1e-5 * max(largest, np.abs(states.offset).max())
        assert np.abs(shares.sum(axis=0, dtype=np.float64) - x[text_id]).max() < 2e-6 * np.abs(x[text_id]).max()


def embed_in_parts(embedder, texts: list[str]) -> np.ndarray:
    return np.concatenate([embedder.embed(texts[:256]), embedder.embed(texts[256:])])


def test_rounding_errors_do_not_add_up(monkeypatch):
    monkeypatch.setattr(kept_shares, "LEVELS", 1000)  # so coarse that float32's own rounding does not count
    shares = np.random.default_rng(2).standard_normal((4001, 8)).astype(np.float32)
    shares[-1] *= 1000
    steps = np.abs(shares[:-1]).max(axis=0) / 1000
    again = from_steps(stepped(shares))
    assert (again[-1] == shares[-1]).all(), "the offset is as it was"
    assert (np.abs(again - shares)[:-1] <= steps * 1.02).all()
    sums = (again[:-1].astype(np.float64) - shares[:-1]).sum(axis=0)
    # errors that add up would be some 18 steps here
    assert (np.abs(sums) <= steps).all()
    assert not from_steps(stepped(np.zeros((3, 2), np.float32))).any()


def test_shares_keep_their_sign_and_seven_digits():
    shares = np.random.default_rng(3).standard_normal((50, 8)).astype(np.float32)
    again = from_steps(stepped(shares))
    assert np.abs(again - shares).max() < 4e-7 * np.abs(shares).max()


@pytest.mark.parametrize(("dtype", "tolerance"), [(None, 1e-5), ("bfloat16", 0.05)])
def test_attributions_of_kept_shares_are_those_of_the_embedder_which_computes_nothing(
    generation, models, monkeypatch, dtype, tolerance
):
    work = job(generation, models["mean"], dtype=dtype)
    give_features(generation, 16, monkeypatch)
    embed.embed(work)
    KeptShares(generation).remove()
    assert attributions.make_attributions(work).facts["largest_difference"] < tolerance
    words, rows = attributions_of(generation)
    files.remove(generation.path / "embeddings")
    files.remove(generation.work("attributions"))
    embed.embed(work)
    with monkeypatch.context() as patched:
        patched.setattr(transformer.SentenceEmbedder, "_split", lambda *args: pytest.fail("embedded again"))
        facts = attributions.make_attributions(work).facts
    again = attributions_of(generation)
    assert again[0] == words and facts["largest_difference"] < 1e-5
    for row, other in zip(rows, again[1], strict=True):
        assert np.abs(np.array(row["parts"]) - other["parts"]).max() < tolerance * max(1, abs(row["pre_activation"]))
    assert not generation.work(kept_shares.FOLDER).exists(), "the folder is removed"


@pytest.mark.parametrize("damage", ["another text's", "a part is missing"])
def test_shares_that_are_not_the_texts_are_made_again(generation, models, monkeypatch, damage):
    work = job(generation, models["mean"])
    give_features(generation, 16, monkeypatch)
    embed.embed(work)
    folder = generation.work(kept_shares.FOLDER)
    if damage == "a part is missing":
        (folder / "00000.npz").unlink()
    else:
        levels = (folder / "00000.levels").read_bytes()
        (folder / "00000.levels").write_bytes(levels[3200:] + levels[:3200])
    facts = attributions.make_attributions(work).facts
    assert facts["largest_difference"] < 1e-5
    rows = attributions_of(generation)
    files.remove(generation.work("attributions"))
    attributions.make_attributions(work)
    for row, other in zip(rows[1], attributions_of(generation)[1], strict=True):
        assert np.abs(np.array(row["parts"]) - other["parts"]).max() < 1e-5 * max(1, abs(row["pre_activation"]))


def test_shares_are_kept_only_where_there_is_room_and_they_are_sums(generation, models, monkeypatch):
    embed.embed(job(generation, models["cls"]))
    assert not generation.work(kept_shares.FOLDER).exists()
    files.remove(generation.path / "embeddings")
    with monkeypatch.context() as patched:
        patched.setattr(kept_shares.shutil, "disk_usage", lambda folder: SimpleNamespace(free=100_000))
        embed.embed(job(generation, models["mean"]))
    assert not generation.work(kept_shares.FOLDER).exists()
    files.remove(generation.path / "embeddings")
    embed.embed(job(generation, models["mean"]))
    assert len(list(generation.work(kept_shares.FOLDER).glob("*.npz"))) == 2


def test_the_rows_are_joined_alike_however_many_are_collected_together(generation, models, monkeypatch):
    work = job(generation, models["mean"])
    give_features(generation, 16, monkeypatch)
    embed.embed(work)
    attributions.make_attributions(work)
    whole = generation.file(ATTRIBUTIONS).read_bytes()
    rows = pq.read_table(generation.file(ATTRIBUTIONS), columns=["feature_id", "text_id"]).to_pylist()
    assert [tuple(row.values()) for row in rows] == sorted(tuple(row.values()) for row in rows)
    assert len(rows) == 10 * N_FEATURES
    monkeypatch.setattr(attributions, "ROWS_AT_ONCE", 33)
    attributions.make_attributions(work)
    assert generation.file(ATTRIBUTIONS).read_bytes() == whole
