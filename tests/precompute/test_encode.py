"""The verbs train and encode on small runs, against plain numpy; the split of an SAE taken from another run."""

from __future__ import annotations

import hashlib
from dataclasses import replace
from pathlib import Path

import numpy as np
import pandas as pd
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from featurelib.sae.checkpoints import load_sae, save_sae
from featurelib.sae.gates import TopK
from featurelib.schema import (
    BY_FEATURE,
    BY_TEXT,
    EMBEDDINGS,
    EVALUATION,
    NEIGHBOUR_ROWS,
    OPPOSITE_ROWS,
    SAE_SPLIT,
    TEXT_SUMMARIES,
    TEXTS,
    THRESHOLDS,
    Refusal,
)
from featurelib.storage import files
from featurelib.storage.activation_rows import (
    Rows,
    count_by_feature,
    read_rows,
    sort_by_feature,
    split_features,
    write_rows,
)
from featurelib.storage.parts.part_files import PartFolder
from featurelib.storage.runs import Generation
from precompute.build.config import BuildConfig
from precompute.build.job import Job
from precompute.stages.encode import encode, measuring
from precompute.stages.encode.measuring import Encoder, Means, PartRows
from precompute.stages.train import held_out, identity, train
from precompute.stages.train.held_out import draw_held_out, draw_judged

N, DIMENSION = 700, 16
TRAINING = {"features": 32, "k": 3, "epochs": 10}


def planted_rows(n: int = N, dimension: int = DIMENSION) -> np.ndarray:
    draw = np.random.default_rng(3)
    directions = draw.normal(size=(12, dimension))
    rows = np.maximum(draw.normal(size=(n, 12)) - 0.8, 0) @ directions + draw.normal(size=(n, dimension)) * 0.05 + 1
    return (rows / np.linalg.norm(rows, axis=1, keepdims=True)).astype(np.float32)


def begin_run(folder: Path, rows: np.ndarray, ids: list[str] | None = None, step: int = 256) -> Generation:
    """A generation whose stages ingest and embed are done."""
    generation = Generation(folder / "g0001")
    ids = ids or [f"id-{number}" for number in range(len(rows))]
    texts = pa.table(
        [pa.array(range(len(rows))), pa.array(range(len(rows))), ids, [f"text of {source_id}" for source_id in ids]],
        schema=TEXTS.schema,
    )
    files.write_parquet(generation.file(TEXTS), texts, TEXTS.schema)
    for number, start in enumerate(range(0, len(rows), step)):
        part = rows[start : start + step]
        n = len(part)
        table = pa.table(
            {
                "text_id": pa.array(np.arange(start, start + n)),
                "embedding": pa.FixedSizeListArray.from_arrays(
                    pa.array(part.astype(np.float16).ravel()), part.shape[1]
                ),
                "n_tokens": pa.array(np.arange(n, dtype=np.int32)),
                "truncated": pa.array(np.arange(n) % 2 == 0),
                "cut": pa.array(np.full(n, -1, np.int32)),
            }
        )
        files.write_parquet(generation.file(EMBEDDINGS) / f"part-{number:05d}.parquet", table, table.schema)
    finish(generation, "ingest", {"columns": {"text": "text", "id": "id"}})
    (folder / "current").write_text("g0001\n")
    files.write_json(generation.path / "run.json", {"format_version": 1})
    return generation


def finish(generation: Generation, stage: str, facts: dict) -> None:
    files.write_json(generation.path / "done" / f"{stage}.json", {"fingerprint": stage, "facts": facts, "line": ""})


def work_on(generation: Generation, **options) -> Job:
    return Job(generation, BuildConfig(source="planted", name="planted", **options), lambda sentence: None)


def build(generation: Generation, **options) -> tuple:
    job = work_on(generation, **options)
    trained = train(job)
    finish(generation, "train", trained.facts)
    encoded = encode(job)
    finish(generation, "encode", encoded.facts)
    return trained, encoded


@pytest.fixture(scope="module")
def run(tmp_path_factory):
    generation = begin_run(tmp_path_factory.mktemp("data") / "planted", planted_rows())
    return generation, *build(generation, **TRAINING)


def embeddings(generation: Generation) -> np.ndarray:
    tables = [pq.read_table(part) for part in generation.parts(EMBEDDINGS)]
    return np.concatenate([np.stack(table["embedding"].to_numpy()) for table in tables]).astype(np.float32)


def plain_activations(generation: Generation) -> np.ndarray:
    """The formula, in numpy and float64, from the embeddings and the saved SAE."""
    sae = load_sae(generation.sae_folder)
    x = embeddings(generation).astype(np.float64)
    z = (x - sae.b_dec.numpy()) @ sae.W_enc.numpy() + sae.b_enc.numpy()
    return np.where(z > sae.gate.threshold.numpy(), np.maximum(z, 0), 0)


def all_rows(parts: list[Path]) -> pa.Table:
    return pa.concat_tables(pq.read_table(part) for part in parts)


def hashes(generation: Generation) -> dict[str, str]:
    return {
        path.relative_to(generation.path).as_posix(): hashlib.sha256(path.read_bytes()).hexdigest()
        for path in sorted(generation.path.rglob("*"))
        if path.is_file() and "work" not in path.parts
    }


def test_activations_by_text_are_those_of_plain_numpy(run):
    expected = plain_activations(run[0])
    rows = all_rows(run[0].parts(BY_TEXT)).to_pandas()
    matrix = np.zeros_like(expected)
    matrix[rows.text_id, rows.feature_id] = rows.activation
    assert rows.equals(rows.sort_values(["text_id", "feature_id"], ignore_index=True))
    assert ((matrix > 0) == (expected > 0)).mean() > 0.9999
    assert np.abs(matrix - expected)[(matrix > 0) == (expected > 0)].max() < 1e-5
    assert [part.name for part in run[0].parts(BY_TEXT)] == [part.name for part in run[0].parts(EMBEDDINGS)]


def test_activations_by_feature_are_the_same_rows_in_their_order(run):
    by_text = all_rows(run[0].parts(BY_TEXT)).to_pandas()
    by_feature = all_rows(run[0].parts(BY_FEATURE)).to_pandas()
    expected = by_text.sort_values(
        ["feature_id", "activation", "text_id"], ascending=[True, False, True], ignore_index=True
    )
    assert by_feature.equals(expected)


def test_each_text_has_its_reconstruction_error_and_its_split(run):
    generation = run[0]
    sae, x = load_sae(generation.sae_folder), embeddings(generation).astype(np.float64)
    activations = plain_activations(generation)
    rebuilt = activations @ sae.W_dec.numpy() + sae.b_dec.numpy()
    texts = pq.read_table(generation.file(TEXT_SUMMARIES)).to_pandas()
    fvu = ((x - rebuilt) ** 2).sum(1) / ((x - x.mean(0)) ** 2).sum(1)
    np.testing.assert_allclose(texts.fvu, fvu, rtol=1e-3, atol=1e-6)
    cosine = (x * rebuilt).sum(1) / np.linalg.norm(x, axis=1) / np.linalg.norm(rebuilt, axis=1)
    np.testing.assert_allclose(texts.cosine, cosine, atol=1e-6)
    assert (texts.n_active == (activations > 0).sum(1)).mean() > 0.999
    assert (texts.sae_split == "held_out").sum() == 70
    assert texts.sae_split.tolist() == pq.read_table(generation.file(SAE_SPLIT))["sae_split"].to_pylist()
    assert texts.n_tokens.tolist() == [number % 256 for number in range(N)]


def test_the_evaluation_is_that_of_its_formulas_on_each_split(run):
    generation = run[0]
    sae, x, activations = (
        load_sae(generation.sae_folder),
        embeddings(generation).astype(np.float64),
        plain_activations(run[0]),
    )
    rebuilt = activations @ sae.W_dec.numpy() + sae.b_dec.numpy()
    held_out = pq.read_table(generation.file(SAE_SPLIT)).to_pandas().sae_split == "held_out"
    metrics = pq.read_table(generation.file(EVALUATION)).to_pandas().set_index(["split", "metric"])
    for split, mask in (("held_out", held_out), ("train", ~held_out), ("all", held_out | True)):
        part = x[mask]
        fvu = ((part - rebuilt[mask]) ** 2).sum() / ((part - part.mean(0)) ** 2).sum()
        row = metrics.loc[(split, "fvu")]
        assert row.value == pytest.approx(fvu, abs=1e-5) and row.low < fvu < row.high and row.n_texts == mask.sum()
        assert metrics.loc[(split, "explained_variance")].value == pytest.approx(1 - fvu, abs=1e-5)
        assert metrics.loc[(split, "l0")].value == pytest.approx((activations[mask] > 0).sum(1).mean(), abs=0.02)
        density = (activations[mask] > 0).mean(0)
        assert metrics.loc[(split, "dead_share")].value == (density == 0).mean()
        assert metrics.loc[(split, "dense_share_10")].value == pytest.approx((density > 0.1).mean(), abs=0.04)
    assert metrics.formula.str.len().min() > 10
    assert run[1].facts["held_out"]["fvu"] == pytest.approx(metrics.loc[("held_out", "fvu")].value, abs=1e-6)


def metrics_of(generation: Generation) -> pd.DataFrame:
    return pq.read_table(generation.file(EVALUATION)).to_pandas().set_index(["split", "metric"])


def test_the_distributions_over_texts_are_numpys_quantiles_of_each_split(run):
    generation = run[0]
    sae, x, activations = (
        load_sae(generation.sae_folder),
        embeddings(generation).astype(np.float64),
        plain_activations(generation),
    )
    rebuilt = activations @ sae.W_dec.numpy() + sae.b_dec.numpy()
    lengths, rebuilt_lengths = np.linalg.norm(x, axis=1), np.linalg.norm(rebuilt, axis=1)
    per_text = {
        "text_fvu": ((x - rebuilt) ** 2).sum(1) / ((x - x.mean(0)) ** 2).sum(1),
        "text_cosine": (x * rebuilt).sum(1) / lengths / rebuilt_lengths,
        "text_l0": (activations > 0).sum(1),
    }
    held_out = (pq.read_table(generation.file(SAE_SPLIT)).to_pandas().sae_split == "held_out").to_numpy()
    metrics = metrics_of(generation)
    for split, mask in (("held_out", held_out), ("train", ~held_out), ("all", held_out | True)):
        for name, values in per_text.items():
            for share in (0.05, 0.25, 0.5, 0.75, 0.95):
                row = metrics.loc[(split, f"{name}_q{100 * share:02.0f}")]
                assert row.value == pytest.approx(np.quantile(values[mask], share), rel=1e-4, abs=0.05 * ("l0" in name))
                assert row.low <= row.value <= row.high and row.n_texts == mask.sum()
                assert f"{100 * share:.0f} %" in row.formula
        ratio = metrics.loc[(split, "norm_ratio")]
        assert ratio.value == pytest.approx((rebuilt_lengths / lengths)[mask].mean(), abs=1e-5)
        assert ratio.low < ratio.value < ratio.high and ratio.space == "raw"
    assert ("held_out", "fvu_normalised") not in metrics.index


@pytest.mark.parametrize("norm", ["layer_norm", "standardise", "constant_norm_rescale"])
def test_a_normalising_sae_has_its_fvu_in_both_spaces(run, tmp_path, norm):
    sae = replace(load_sae(run[0].sae_folder), norm=norm, gate=TopK(4))
    save_sae(sae, tmp_path / "normalising")
    generation = begin_run(tmp_path / "fourth", 3 * planted_rows(300))
    build(generation, sae=str(tmp_path / "normalising"))
    x = embeddings(generation).astype(np.float64)
    if norm == "constant_norm_rescale":
        shift, std = 0.0, np.linalg.norm(x, axis=1, keepdims=True) / DIMENSION**0.5
    else:
        shift, std = x.mean(1, keepdims=True), x.std(1, ddof=1, keepdims=True)
    xn = (x - shift) / (std + (0 if norm == "constant_norm_rescale" else 1e-5))
    z = (xn - sae.b_dec.numpy()) @ sae.W_enc.numpy() + sae.b_enc.numpy()
    activations = np.where(z >= np.sort(z, axis=1)[:, -4:-3], np.maximum(z, 0), 0)
    decoded = activations @ sae.W_dec.numpy() + sae.b_dec.numpy()
    rebuilt = decoded * (std + (1e-5 if norm == "standardise" else 0)) + shift
    metrics = metrics_of(generation)
    for name, space, truth, guess in (("fvu_normalised", "normalised", xn, decoded), ("fvu", "raw", x, rebuilt)):
        row = metrics.loc[("unknown", name)]
        expected = ((truth - guess) ** 2).sum() / ((truth - truth.mean(0)) ** 2).sum()
        assert row.value == pytest.approx(expected, rel=1e-4) and row.low < expected < row.high
        assert row.space == space and row.n_texts == 300
    assert metrics.loc[("all", "fvu_normalised")].value == pytest.approx(
        metrics.loc[("unknown", "fvu_normalised")].value
    )
    assert not [name for _, name in metrics.index if name.startswith("threshold")]


def test_the_weights_are_told_by_alignment_redundancy_and_thresholds(run):
    sae, metrics = load_sae(run[0].sae_folder), metrics_of(run[0])
    reads, writes = sae.W_enc.numpy().T, sae.W_dec.numpy()
    aligned = [np.dot(a, b) / np.linalg.norm(a) / np.linalg.norm(b) for a, b in zip(reads, writes, strict=True)]
    gates = pq.read_table(run[0].file(THRESHOLDS)).to_pandas()
    np.testing.assert_allclose(gates.alignment, aligned, atol=1e-6)
    unit = writes / np.linalg.norm(writes, axis=1, keepdims=True)
    largest = (unit @ unit.T - 3 * np.eye(len(unit))).max(1)
    expected = {
        "alignment": np.mean(aligned),
        "redundancy": largest.mean(),
        "threshold_min": gates.gate.min(),
        "threshold_median": gates.gate.median(),
        "threshold_max": gates.gate.max(),
    }
    for name, value in expected.items():
        row = metrics.loc[("weights", name)]
        assert row.value == pytest.approx(value, abs=1e-6) and np.isnan(row.low) and row.n_texts == 0


def test_texts_that_are_all_the_same_have_no_fvu_and_no_distribution_of_it(run, tmp_path):
    save_sae(load_sae(run[0].sae_folder), tmp_path / "lonely")
    generation = begin_run(tmp_path / "same", np.tile(planted_rows(1), (60, 1)))
    _, encoded = build(generation, sae=str(tmp_path / "lonely"))
    metrics = metrics_of(generation)
    assert np.isnan(metrics.loc[("all", "fvu")].value) and encoded.facts["fvu"] is None
    names = {name for split, name in metrics.index if split == "all"}
    assert not [name for name in names if name.startswith("text_fvu")] and "text_cosine_q50" in names


def test_neighbours_opposites_and_gates_are_written_for_every_feature(run):
    neighbours = pq.read_table(run[0].file(NEIGHBOUR_ROWS)).to_pandas()
    assert len(neighbours) == 32 * 31 and (neighbours.feature_id != neighbours.neighbour_id).all()
    assert (neighbours.groupby("feature_id").cosine.diff().dropna() <= 0).all()
    opposites = pq.read_table(run[0].file(OPPOSITE_ROWS)).to_pandas()
    assert len(opposites) == 320 and (opposites.groupby("feature_id").cosine.diff().dropna() >= 0).all()
    gates = pq.read_table(run[0].file(THRESHOLDS))["gate"].to_numpy()
    np.testing.assert_array_equal(gates, load_sae(run[0].sae_folder).thresholds().numpy())


def test_how_many_texts_are_measured_at_a_time_changes_nothing(run, monkeypatch):
    generation, sae = run[0], load_sae(run[0].sae_folder)
    x = embeddings(generation)
    split = np.random.default_rng(0).integers(0, 2, N).astype(np.int8)
    part = PartRows(np.arange(N), None, x)
    encoder = Encoder(replace(sae, norm="layer_norm"), split, Means.find(sae, [part], split), "max")
    tables = []
    for rows in (7, 2 * N):
        monkeypatch.setattr(measuring, "ROWS", rows)
        tables.append(encoder.measure(part).measured)
    assert tables[0].equals(tables[1]) and len(tables[0]) == N


def test_a_killed_encode_goes_on_to_the_same_bytes(run, tmp_path, monkeypatch):
    generation = begin_run(tmp_path / "again", planted_rows())
    job = work_on(generation, **TRAINING)
    finish(generation, "train", train(job).facts)
    whole = Encoder.encode
    written = []

    def killed(encoder, part, paths):
        if len(written) == 2:
            raise KeyboardInterrupt
        written.append(int(part.text_ids[0]))
        whole(encoder, part, paths)

    monkeypatch.setattr(Encoder, "encode", killed)
    with pytest.raises(KeyboardInterrupt):
        encode(job)
    written.clear()
    encode(job)
    assert written == [512]
    finish(generation, "encode", {})
    undisturbed, resumed = hashes(run[0]), hashes(generation)
    differing = {name for name in undisturbed if undisturbed[name] != resumed[name]}
    assert undisturbed.keys() == resumed.keys() and differing <= {"done/encode.json"}


def test_an_sae_of_a_run_is_taken_with_the_texts_it_was_trained_on(run, tmp_path):
    rows = planted_rows()
    ids = [f"id-{number}" for number in range(400)] + [f"new-{number}" for number in range(300)]
    generation = begin_run(tmp_path / "second", rows, ids)
    trained, _ = build(generation, sae=str(run[0].path.parent))
    split = pq.read_table(generation.file(SAE_SPLIT))["sae_split"].to_pylist()
    origin = pq.read_table(run[0].file(SAE_SPLIT))["sae_split"].to_pylist()
    assert split[:400] == origin[:400] and split[400:] == ["held_out"] * 300
    for name in ("cfg.json", "sae_weights.safetensors"):
        assert (generation.sae_folder / name).read_bytes() == (run[0].sae_folder / name).read_bytes()
    assert trained.facts["architecture"] == "batchtopk" and trained.facts["source"] == "planted"
    assert trained.facts["n_train"] == split.count("train")


def test_an_sae_of_elsewhere_has_seen_unknown_texts(run, tmp_path):
    lonely = tmp_path / "lonely"
    lonely.mkdir()
    for path in run[0].sae_folder.iterdir():
        (lonely / path.name).write_bytes(path.read_bytes())
    generation = begin_run(tmp_path / "third", planted_rows(200))
    _, encoded = build(generation, sae=str(lonely), threshold=0.25)
    assert set(pq.read_table(generation.file(SAE_SPLIT))["sae_split"].to_pylist()) == {"unknown"}
    assert set(pq.read_table(generation.file(THRESHOLDS))["gate"].to_pylist()) == {0.25}
    assert {"unknown", "all"} < set(pq.read_table(generation.file(EVALUATION))["split"].to_pylist())
    assert "held-out" not in encoded.line
    assert identity(BuildConfig(name="x", sae=str(lonely))) != identity(
        BuildConfig(name="x", sae=str(run[0].path.parent))
    )


@pytest.mark.parametrize(
    ("rows", "options", "sentence"),
    [
        (planted_rows(300, 12), {"sae": True}, "dimension 12 but the SAE .* dimension 16"),
        (planted_rows(19), TRAINING, "19 texts are too few"),
        (planted_rows(100), {**TRAINING, "features": 200}, "90 training texts are fewer than 200"),
        (np.ones((100, 8), np.float32), {}, "all the same"),
        (np.where(np.arange(100)[:, None] == 41, np.nan, planted_rows(100)), TRAINING, "the first that of text 41"),
        (planted_rows(100), {"threshold": -1.0, **TRAINING}, "--threshold is -1.0"),
    ],
)
def test_what_cannot_be_trained_or_taken_is_refused_and_leaves_no_sae(run, rows, options, sentence, tmp_path):
    generation = begin_run(tmp_path / "refused", rows.astype(np.float32))
    if "sae" in options:
        options = {"sae": str(run[0].path.parent)}
    with pytest.raises(Refusal, match=sentence):
        train(work_on(generation, **options))
    assert not generation.sae_folder.exists()


def test_the_held_out_texts_are_a_tenth_at_least_one_and_at_most_ten_thousand():
    assert [int(draw_held_out(np.arange(n), 0).sum()) for n in (2, 20, 1000, 200_000)] == [1, 2, 100, 10_000]
    assert (draw_held_out(np.arange(1000), 0) == draw_held_out(np.arange(1000), 0)).all()
    assert (draw_held_out(np.arange(1000), 0) != draw_held_out(np.arange(1000), 1)).any()


def test_an_sae_is_judged_on_all_training_texts_or_on_fifty_thousand_at_even_distances():
    among = np.random.default_rng(0).random(130_000) < 0.9
    judged = np.flatnonzero(draw_judged(among))
    places = np.searchsorted(np.flatnonzero(among), judged)
    assert len(judged) == 50_000 and among[judged].all() and set(np.diff(places)) == {2, 3}
    assert (draw_judged(among[:50_000]) == among[:50_000]).all()


def test_a_larger_corpus_says_on_how_many_of_its_texts_the_sae_was_judged(run, tmp_path, monkeypatch):
    assert "n_judged" not in run[1].facts and "dead on the training texts" in run[1].line
    monkeypatch.setattr(held_out, "MAX_JUDGED", 200)
    generation = begin_run(tmp_path / "larger", planted_rows())
    trained = train(work_on(generation, **TRAINING))
    assert trained.facts["n_judged"] == 200 and "dead on 200 of the training texts" in trained.line
    split = pq.read_table(generation.file(SAE_SPLIT))["sae_split"].to_numpy(zero_copy_only=False)
    among = np.flatnonzero(split == "train")
    fired = plain_activations(generation)[among[np.arange(200) * len(among) // 200]] > 0
    assert trained.facts["dead_share"] == pytest.approx((~fired.any(axis=0)).mean())
    same = trained.facts.keys() - {"n_judged", "dead_share"}
    assert {name: trained.facts[name] for name in same} == {name: run[1].facts[name] for name in same}


def test_of_many_held_out_texts_some_are_measured_and_the_line_says_how_many(tmp_path, monkeypatch):
    monkeypatch.setattr(held_out, "MAX_JUDGED", 20)
    generation = begin_run(tmp_path / "larger", planted_rows())
    trained = train(work_on(generation, **TRAINING))
    split = pq.read_table(generation.file(SAE_SPLIT))["sae_split"].to_numpy(zero_copy_only=False)
    held = np.flatnonzero(split == "held_out")
    assert trained.facts["n_held_out"] == len(held) > 20 == trained.facts["measured"]["n_texts"]
    assert " of 20 texts, " in trained.line
    fired = plain_activations(generation)[held[np.arange(20) * len(held) // 20]] > 0
    assert trained.facts["measured"]["l0"] == pytest.approx(fired.sum(axis=1).mean())


def test_the_order_by_feature_needs_few_rows_in_memory_and_keeps_features_whole(tmp_path):
    draw = np.random.default_rng(0)
    parts = []
    for number in range(4):
        text_ids = np.repeat(np.arange(number * 50, number * 50 + 50), 6)
        feature_ids = np.concatenate([np.sort(draw.choice(20, 6, replace=False)) for _ in range(50)]).astype(np.int32)
        activations = draw.integers(1, 4, 300).astype(np.float32)
        parts.append(tmp_path / f"by_text-{number}.parquet")
        write_rows(parts[-1], Rows(text_ids, feature_ids, activations))
    counts = count_by_feature(parts, 21, np.zeros(200, np.int8), 1)[0]
    assert counts.sum() == 1200 and counts[20] == 0
    advanced = []
    options = {"rows_per_part": 150, "rows_in_memory": 400}
    sort_by_feature(parts, PartFolder(tmp_path / "sorted"), counts, advanced.append, **options)
    written = sorted((tmp_path / "sorted").glob("part-*.parquet"))
    assert len(written) == len(split_features(counts, 150)) > 5 and sum(advanced) == 1200
    ours = all_rows(written).to_pandas()
    expected = (
        all_rows(parts)
        .to_pandas()
        .sort_values(["feature_id", "activation", "text_id"], ascending=[True, False, True], ignore_index=True)
    )
    assert ours.equals(expected)
    assert sum(len(set(read_rows(part).feature_ids)) for part in written) == 20
    before = [path.read_bytes() for path in written]
    written[2].unlink()
    sort_by_feature(parts, PartFolder(tmp_path / "sorted"), counts, advanced.append, **options)
    assert [path.read_bytes() for path in written] == before
