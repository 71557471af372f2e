"""Training on planted directions: what is found, what is the same after a kill, what is refused."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pyarrow as pa
import pytest
import torch

from featurelib import files
from featurelib.sae import training
from featurelib.sae.embeddings import EmbeddingParts
from featurelib.sae.recipe import Recipe, check_sizes, find_recipe
from featurelib.sae.threshold import find_threshold, with_threshold
from featurelib.sae.training import train
from featurelib.schema import Refusal

N_PLANTED, DIMENSION = 24, 32
RECIPE = Recipe(n_features=48, k=3, n_samples=120_000, batch=128, lr=3e-3, dead_after=2_000)
SHORT = replace(RECIPE, n_samples=10_000, dead_after=500)


def planted(n: int, seed: int = 0) -> tuple[np.ndarray, np.ndarray]:
    """Texts that are each the sum of three of 24 planted directions, off centre and longer than 1: rows, directions."""
    draw = np.random.default_rng(seed)
    directions = np.random.default_rng(99).normal(size=(N_PLANTED, DIMENSION))
    directions /= np.linalg.norm(directions, axis=1, keepdims=True)
    amounts = np.zeros((n, N_PLANTED))
    for row in amounts:
        row[draw.choice(N_PLANTED, 3, replace=False)] = draw.uniform(4, 8, size=3)
    rows = amounts @ directions + 5 + 0.02 * draw.normal(size=(n, DIMENSION))
    return rows.astype(np.float32), directions


def write_parts(folder, rows: np.ndarray, step: int = 512, mask: np.ndarray | None = None, **options) -> EmbeddingParts:
    for start in range(0, len(rows), step):
        part = rows[start : start + step]
        column = pa.FixedSizeListArray.from_arrays(pa.array(part.ravel()), rows.shape[1])
        table = pa.table({"text_id": pa.array(np.arange(start, start + len(part))), "embedding": column})
        files.write_parquet(folder / f"part-{start // step:05d}.parquet", table, table.schema)
    return EmbeddingParts(
        tuple(sorted(folder.glob("*.parquet"))), np.ones(len(rows), bool) if mask is None else mask, **options
    )


@pytest.fixture(scope="module")
def corpus(tmp_path_factory) -> EmbeddingParts:
    return write_parts(tmp_path_factory.mktemp("parts"), planted(3000)[0])


@pytest.fixture(scope="module")
def trained(corpus):
    return train(corpus, RECIPE)


@pytest.fixture(scope="module")
def undisturbed(corpus):
    return train(corpus, SHORT)


def same(one, other) -> bool:
    return all(
        torch.equal(getattr(one, name), getattr(other, name)) for name in ("W_enc", "b_enc", "W_dec", "b_dec")
    ) and (torch.equal(one.gate.threshold, other.gate.threshold))


def test_planted_directions_are_recovered(trained):
    _, directions = planted(1)
    cosines = directions @ trained.W_dec.numpy().T
    assert cosines.max(axis=1).mean() > 0.9


def test_texts_that_were_not_seen_are_rebuilt_with_the_l0_asked_for(trained):
    rows, _ = planted(1000, seed=7)
    rebuilt = trained.reconstruct(rows).numpy()
    fvu = ((rows - rebuilt) ** 2).sum() / ((rows - rows.mean(axis=0)) ** 2).sum()
    assert fvu < 0.1
    assert len(trained.encode_sparse(rows).rows) / 1000 == pytest.approx(3, abs=0.3)


def test_directions_have_unit_norm(trained):
    np.testing.assert_allclose(trained.W_dec.norm(dim=1).numpy(), 1, atol=1e-5)


def test_the_threshold_gives_the_l0_asked_for_on_the_training_texts(trained, corpus):
    rows = np.concatenate(list(corpus.in_order()))
    assert len(trained.encode_sparse(rows).rows) == pytest.approx(3 * len(rows), abs=6)
    wider = with_threshold(trained, find_threshold(trained, corpus, 5))
    assert len(wider.encode_sparse(rows).rows) == pytest.approx(5 * len(rows), abs=6)


def test_equal_seeds_give_equal_bits_and_other_seeds_do_not(undisturbed, corpus):
    assert same(undisturbed, train(corpus, SHORT))
    assert not same(undisturbed, train(corpus, replace(SHORT, seed=1)))


def test_a_killed_training_goes_on_to_the_same_bits(undisturbed, corpus, tmp_path, monkeypatch):
    monkeypatch.setattr(training, "STATE_SECONDS", 0.0)
    state_file = tmp_path / "state.safetensors"

    def kill_at(step):
        def report(reading):
            if reading.step == step:
                raise KeyboardInterrupt

        return report

    for step in (3, 40, 41, 70):
        with pytest.raises(KeyboardInterrupt):
            train(corpus, SHORT, state_file=state_file, report=kill_at(step))
    began_at = []
    resumed = train(corpus, SHORT, state_file=state_file, report=lambda reading: began_at.append(reading.step))
    assert began_at[0] == 70
    assert same(resumed, undisturbed)


def test_batches_go_on_where_they_stopped_whether_or_not_the_corpus_fits_in_memory(tmp_path):
    rows = np.arange(1000, dtype=np.float32)[:, None] * np.ones((1, 4), np.float32)
    mask = np.ones(1000, bool)
    mask[::7] = False
    for buffer_bytes in (10**9, 3 * 128 * 16):
        embeddings = write_parts(tmp_path / str(buffer_bytes), rows, step=128, mask=mask, buffer_bytes=buffer_bytes)
        stream = embeddings.batches(50, seed=3)
        first = [next(stream)[:, 0] for _ in range(60)]
        for start in (0, 1, 16, 17, 44):
            again = embeddings.batches(50, seed=3, start=start)
            np.testing.assert_array_equal(next(again)[:, 0], first[start])
        epoch = np.concatenate(first[:15])
        assert len(set(epoch)) == len(epoch) and not set(epoch) & set(range(0, 1000, 7))
        assert not np.array_equal(first[0], np.sort(first[0]))


def test_sizes_are_chosen_from_the_corpus_and_can_be_given():
    small, large = find_recipe(900, 384), find_recipe(5_000_000, 384)
    assert small.n_features < 900 and small.k <= small.n_features
    assert large.n_features == 16_384
    for n_texts in (18, 27, 63, 64, 90):
        check_sizes(find_recipe(n_texts, 64), n_texts)
    assert [find_recipe(n_texts, 64).n_features for n_texts in (18, 27, 63, 64)] == [16, 16, 32, 64]
    given = find_recipe(900, 384, n_features=100, k=7, epochs=2, seed=5)
    assert (given.n_features, given.k, given.n_samples, given.seed) == (100, 7, 1800, 5)


@pytest.mark.parametrize(
    ("rows", "recipe", "sentence"),
    [
        (planted(600)[0], Recipe(n_features=20, k=21, n_samples=1000, batch=64), "--k 21 is more than --features 20"),
        (
            planted(100)[0],
            Recipe(n_features=200, k=2, n_samples=1000, batch=64),
            "100 training texts are fewer than 200",
        ),
        (np.ones((600, 8), np.float32), Recipe(n_features=20, k=2, n_samples=1000, batch=64), "all the same"),
        (np.full((600, 8), np.nan, np.float32), Recipe(n_features=20, k=2, n_samples=1000, batch=64), "NaN .* text 0"),
    ],
)
def test_a_corpus_that_cannot_teach_is_refused(rows, recipe, sentence, tmp_path):
    with pytest.raises(Refusal, match=sentence):
        train(write_parts(tmp_path, rows), recipe)
