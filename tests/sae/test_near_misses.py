"""What a gate needs, and the texts that come nearest to it, against brute force for every gate."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pandas as pd
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
import torch

from featurelib import queries
from featurelib.sae.gates import Capped, Gated, GroupMax, JumpReLU, KeepsMax, Relu, TopK
from featurelib.sae.model import SAE
from featurelib.sae.near_misses import PER_FEATURE, NearMisses, ranks
from featurelib.schema import BY_TEXT, COPIES, EMBEDDINGS, NEAR_MISSES, Refusal
from featurelib.storage import files
from featurelib.storage.embeddings import read_embeddings
from featurelib.storage.runs import Done
from featurelib.storage.store import open_store
from precompute.stages import near_misses as miss_verb
from precompute.stages.near_misses import find_near_misses
from tests.support.numpy_run import DEAD, N_FEATURES, NumpyRun, QuietJob, make_run

N, D, F = 700, 8, 24
DRAW = torch.Generator().manual_seed(5)
LEVEL = torch.rand(F, generator=DRAW) * 3 - 0.5
GATES = {
    "relu": Relu(),
    "topk": TopK(3),
    "topk of all": TopK(F),
    "jumprelu": JumpReLU(LEVEL),
    "gated": Gated(LEVEL - 1, 0.3 * LEVEL, 0.2 * LEVEL),
    "groupmax": GroupMax(6),
    "groups of one": GroupMax(F),
    "keepsmax": KeepsMax(LEVEL + 4),
    "capped": Capped(LEVEL, 2),
}


@pytest.fixture(scope="module")
def rows() -> np.ndarray:
    """Embeddings with copies (ties between texts) and a row of zeros."""
    x = np.random.default_rng(2).standard_normal((N, D)).astype(np.float32)
    x[300:330], x[-1] = x[:30], 0
    return x


def sae_with(gate) -> SAE:
    weights = torch.randn(D, F, generator=torch.Generator().manual_seed(1))
    return SAE(weights, torch.full((F,), -0.2), weights.T.clone(), torch.zeros(D), gate)


@pytest.mark.parametrize("name", GATES)
def test_a_feature_fires_exactly_where_it_exceeds_what_it_needs(name: str, rows: np.ndarray) -> None:
    sae = sae_with(GATES[name])
    blocks = list(sae.at_gate(rows))
    above = torch.cat([block.pre_activations > block.thresholds for block in blocks])
    fires = torch.cat([block.fires for block in blocks])
    assert torch.equal(fires, sae.encode(rows) > 0) and 0 < fires.sum() < fires.numel()
    assert torch.equal(torch.cat([block.pre_activations for block in blocks]), sae.pre_activations(rows))
    margins = torch.cat([block.pre_activations - block.thresholds for block in blocks])
    # A gated SAE decides by other numbers than its pre-activations, so the last bits may differ.
    unsure = margins.abs() < (1e-6 if name == "gated" else 0)
    assert torch.equal(above | unsure, fires | unsure) and unsure.sum() < 5


@pytest.mark.parametrize("name", ["topk", "groupmax", "capped"])
def test_what_is_needed_is_the_value_of_the_rival(name: str) -> None:
    z = torch.tensor([[5.0, 3.0, 4.0, -1.0], [0.5, 0.2, -2.0, -3.0], [-1.0, -2.0, -3.0, -4.0]])
    gate = {"topk": TopK(2), "groupmax": GroupMax(2), "capped": Capped(torch.tensor([0.0, 0, 0.3, 0.3]), 2)}[name]
    expected = {
        "topk": [[3, 4, 3, 4], [0, 0, 0.2, 0.2], [0, 0, 0, 0]],
        "groupmax": [[3, 5, 0, 4], [0.2, 0.5, 0, 0], [0, 0, 0, 0]],
        "capped": [[3, 4, 3, 4], [0, 0, 0.3, 0.3], [0, 0, 0.3, 0.3]],
    }[name]
    assert gate.row_thresholds(z).tolist() == torch.tensor(expected).tolist()


def test_of_features_that_tie_for_the_last_place_none_is_above_what_it_needs() -> None:
    z = torch.tensor([[2.0, 1.0, 1.0, 0.5]])
    fires, above = TopK(2)(z) > 0, z > TopK(2).row_thresholds(z)
    assert fires.sum() == 2 and above.tolist() == [[True, False, False, False]]


def brute(sae: SAE, rows: np.ndarray, per_feature: int = PER_FEATURE) -> pd.DataFrame:
    """All texts on which a feature does not fire, sorted by hand."""
    pre = sae.pre_activations(rows).numpy()
    fires = sae.encode(rows).numpy() > 0
    needed = torch.cat([block.thresholds for block in sae.at_gate(rows)]).numpy()
    listed = []
    for feature_id in range(F):
        texts = np.flatnonzero(~fires[:, feature_id])
        margins = pre[texts, feature_id] - needed[texts, feature_id]
        for rank, place in enumerate(sorted(range(len(texts)), key=lambda i: (-margins[i], texts[i]))[:per_feature], 1):
            text_id = texts[place]
            listed.append((feature_id, rank, text_id, pre[text_id, feature_id], needed[text_id, feature_id]))
    return pd.DataFrame(listed, columns=NEAR_MISSES.schema.names)


@pytest.mark.parametrize("step", [15, 90, N])
@pytest.mark.parametrize("name", GATES)
def test_the_nearest_misses_are_those_of_brute_force(name: str, step: int, rows: np.ndarray) -> None:
    sae = sae_with(GATES[name])
    nearest = NearMisses(F)
    for first in range(0, N, step):
        nearest.add(sae, rows[first : first + step], first)
    misses = nearest.misses
    expected = brute(sae, rows)
    columns = [misses.feature_ids, ranks(misses), misses.text_ids, misses.pre_activations, misses.thresholds]
    for column, wanted in zip(columns, NEAR_MISSES.schema.names, strict=True):
        np.testing.assert_array_equal(column, expected[wanted].to_numpy(), wanted)
    assert (misses.margins <= 0).all() and (nearest.n_fires == (sae.encode(rows) > 0).sum(0).numpy()).all()


@pytest.mark.parametrize("name", GATES)
def test_features_that_tie_are_told_by_what_fires(name: str, rows: np.ndarray) -> None:
    """Each encoder stands twice, so that of two equal pre-activations only one may be among the largest."""
    weights = torch.randn(D, F // 2, generator=torch.Generator().manual_seed(1)).repeat(1, 2)
    sae = SAE(weights, torch.full((F,), -0.2), weights.T.clone(), torch.zeros(D), GATES[name])
    nearest = NearMisses(F)
    nearest.add(sae, rows, 0)
    expected = brute(sae, rows)
    np.testing.assert_array_equal(nearest.misses.feature_ids, expected["feature_id"])
    np.testing.assert_array_equal(nearest.misses.text_ids, expected["text_id"])
    np.testing.assert_array_equal(nearest.n_fires, (sae.encode(rows) > 0).sum(0))


def test_a_feature_that_always_fires_has_none_and_one_that_never_does_has_some(rows: np.ndarray) -> None:
    sae = sae_with(JumpReLU(torch.full((F,), 50.0)))
    nearest = NearMisses(F)
    nearest.add(sae, rows, 0)
    assert (np.bincount(nearest.misses.feature_ids, minlength=F) == PER_FEATURE).all() and not nearest.n_fires.any()
    assert (nearest.misses.margins < -1).all()
    always = SAE(torch.zeros(D, F), torch.ones(F), torch.randn(F, D), torch.zeros(D), Relu())
    nearest = NearMisses(F)
    nearest.add(always, rows, 0)
    assert not len(nearest.misses.text_ids) and (nearest.n_fires == N).all()


@pytest.fixture(scope="module")
def made(tmp_path_factory: pytest.TempPathFactory) -> NumpyRun:
    """A run written with numpy, its near misses found by the stage."""
    truth = make_run(tmp_path_factory.mktemp("misses") / "small")
    generation = truth.generation
    misses = find_near_misses(QuietJob(generation))
    generation.mark_done("near_misses", Done("near_misses", misses.facts, misses.line, {}))
    generation.path.joinpath("manifest.json").unlink()
    return truth


def test_the_stage_finds_what_numpy_finds(made: NumpyRun) -> None:
    table = pq.read_table(made.generation.file(NEAR_MISSES)).to_pandas()
    for feature_id in (0, 5, *DEAD):
        rows = table[table["feature_id"] == feature_id]
        assert not (made.activations[rows["text_id"], feature_id] > 0).any() and len(rows) == PER_FEATURE
        assert rows["rank"].tolist() == list(range(1, PER_FEATURE + 1))
    facts = made.generation.done("near_misses").facts
    assert facts["n_dead"] == len(DEAD) and facts["n_dead_nearly"] == 0 and facts["median_gap"] > 0
    assert 0 < facts["dead_reached"] < 0.5 and facts["rows"] == len(table) == N_FEATURES * PER_FEATURE


def test_a_killed_stage_goes_on_and_ends_in_the_same_bytes(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    generation = make_run(tmp_path / "killed").generation
    whole = find_near_misses(QuietJob(generation))
    expected = files.sha256_file(generation.file(NEAR_MISSES))
    files.remove(generation.work("near_misses"))
    files.remove(generation.file(NEAR_MISSES))
    read: list[str] = []

    def stop_at_third(part: Path) -> np.ndarray:
        read.append(part.name)
        if len(read) == 3:
            raise KeyboardInterrupt
        return read_embeddings(part)

    monkeypatch.setattr(miss_verb, "SAVE_SECONDS", -1)
    monkeypatch.setattr(miss_verb, "read_embeddings", stop_at_third)
    with pytest.raises(KeyboardInterrupt):
        find_near_misses(QuietJob(generation))
    assert find_near_misses(QuietJob(generation)) == whole
    names = [part.name for part in generation.parts(EMBEDDINGS)]
    assert files.sha256_file(generation.file(NEAR_MISSES)) == expected and read == names[:3] + names[2:]


def test_the_question_brings_texts_what_was_needed_and_stands_for_copies(made: NumpyRun) -> None:
    store = open_store(made.generation)
    table = pq.read_table(made.generation.file(NEAR_MISSES)).to_pandas()
    misses = queries.near_misses(store, 4).to_pylist()
    rows = table[table["feature_id"] == 4]
    assert [row["text_id"] for row in misses] == rows["text_id"].tolist()
    for row, wanted in zip(misses, rows.itertuples(), strict=True):
        assert row["text"] == made.texts["text"][row["text_id"]] and row["n_copies"] == 0
        assert (row["rank"], row["pre_activation"]) == (wanted.rank, pytest.approx(wanted.pre_activation))
        assert row["needed"] == pytest.approx(wanted.needed) and row["pre_activation"] <= row["needed"]
    assert {"source_id", "cut", "sae_split", "title", "group"} <= set(misses[0])
    assert queries.near_misses(store, N_FEATURES + 5).num_rows == 0


def test_equal_texts_are_one_near_miss(made: NumpyRun) -> None:
    store = open_store(made.generation)
    copies = {"text_id": [100, 200], "copy_of": [100, 100], "n_copies": [1, 1], "exact": [True, True]}
    files.write_parquet(made.generation.file(COPIES), COPIES.schema.empty_table(), COPIES.schema)
    table = pq.read_table(made.generation.file(NEAR_MISSES)).to_pandas()
    feature_id = int(table[table["text_id"].isin([100, 200])].groupby("feature_id").size().idxmax())
    before = [row["text_id"] for row in queries.near_misses(store, feature_id).to_pylist()]
    assert 100 in before and 200 in before
    files.write_parquet(made.generation.file(COPIES), pa.table(copies, schema=COPIES.schema), COPIES.schema)
    after = {row["text_id"]: row["n_copies"] for row in queries.near_misses(store, feature_id).to_pylist()}
    assert list(after) == [text_id for text_id in before if text_id != 200]
    assert after[100] == 1 and sum(after.values()) == 1


def test_a_run_without_the_stage_says_which_is_missing(tmp_path: Path) -> None:
    store = open_store(make_run(tmp_path / "early", upto="summarise").generation)
    with pytest.raises(Refusal, match="stage 'near_misses' is not done"):
        queries.near_misses(store, 1)
    assert store.has(BY_TEXT)
