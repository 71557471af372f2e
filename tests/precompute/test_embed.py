"""The verb embed: parts that are whole or absent, embeddings that are given, numbers that are finite."""

from __future__ import annotations

import shutil
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from featurelib.embedder import load_embedder, precomputed
from featurelib.schema import EMBEDDINGS, TEXTS, Refusal
from featurelib.storage.runs import Done, Generation
from precompute.build.config import BuildConfig
from precompute.build.job import Job
from precompute.stages import embed as verb
from tests.support.sentence_models import make_transformer, save_model

N_TEXTS = 600
SOURCE_ROWS = np.delete(np.arange(N_TEXTS + 3), [0, 5, 100])
"""Three rows of the source were dropped."""


@pytest.fixture(scope="module")
def texts() -> list[str]:
    draw = np.random.default_rng(0)
    return [" ".join(draw.choice(["black", "hole", "prime", "graph", "$\\alpha$"], 1 + i % 90)) for i in range(N_TEXTS)]


@pytest.fixture
def generation(texts, tmp_path) -> Generation:
    generation = Generation(tmp_path / "run" / "g0001")
    generation.path.mkdir(parents=True)
    columns = [np.arange(N_TEXTS), SOURCE_ROWS, [str(i) for i in range(N_TEXTS)], texts]
    # row groups that do not fit the parts
    pq.write_table(pa.table(columns, schema=TEXTS.schema), generation.file(TEXTS), row_group_size=100)
    generation.mark_done("ingest", Done("", {"n_texts": N_TEXTS, "n_rows": N_TEXTS + 3}, "", {}))
    return generation


def job(generation: Generation, **options) -> Job:
    return Job(generation, BuildConfig(source="x", name="run", **{"embedder": "stand-in:16"} | options), lambda _: None)


def given(generation: Generation, path: Path | str, **options) -> Job:
    return job(generation, embeddings=str(path), **{"embedder": None} | options)


def embeddings_of(generation: Generation) -> np.ndarray:
    column = pa.concat_tables(pq.read_table(path) for path in generation.parts(EMBEDDINGS))["embedding"]
    return np.array(column.to_pylist(), dtype=np.float32)


def test_embeddings_lie_in_parts_of_a_fixed_grid_in_the_order_of_the_texts(generation, texts):
    made = verb.embed(job(generation))
    tables = [pq.read_table(path) for path in generation.parts(EMBEDDINGS)]
    assert [len(table) for table in tables] == [256, 256, 88]
    whole = pa.concat_tables(tables)
    assert whole["text_id"].to_pylist() == list(range(N_TEXTS))
    assert whole.schema.field("embedding").type == pa.list_(pa.float32(), 16)
    n_words = [len(text.split()) for text in texts]
    assert whole["n_tokens"].to_pylist() == n_words
    assert made.facts["n_truncated"] == sum(n > 64 for n in n_words) == sum(whole["truncated"].to_pylist())
    assert (embeddings_of(generation) == load_embedder("stand-in:16").embed(texts)).all()


def test_a_killed_stage_writes_only_the_parts_that_are_missing_and_the_same_bytes(generation):
    before = verb.embed(job(generation))
    paths = generation.parts(EMBEDDINGS)
    bytes_before, times = [path.read_bytes() for path in paths], [path.stat().st_mtime_ns for path in paths]
    paths[1].unlink()
    paths[1].with_name(paths[1].name + ".aside").write_bytes(b"half")
    again = verb.embed(job(generation))
    assert [path.read_bytes() for path in generation.parts(EMBEDDINGS)] == bytes_before
    assert [path.stat().st_mtime_ns == t for path, t in zip(paths, times, strict=True)] == [True, False, True]
    assert again.facts == before.facts and again.line == before.line


def test_float16_is_what_float32_rounds_to(generation, texts):
    assert verb.embed(job(generation, embedding_dtype="float16")).facts["dtype"] == "float16"
    assert pq.read_schema(generation.parts(EMBEDDINGS)[0]).field("embedding").type == pa.list_(pa.float16(), 16)
    expected = load_embedder("stand-in:16").embed(texts).astype(np.float16)
    assert (embeddings_of(generation) == expected).all()


@pytest.mark.parametrize("has_instructions", [True, False])
def test_a_run_says_what_its_transformer_computed_with(generation, tmp_path, monkeypatch, has_instructions):
    model = save_model(tmp_path / "model", make_transformer(tmp_path / "plain"), "mean")
    monkeypatch.setattr(verb, "multiplies_in_bfloat16", lambda: has_instructions)
    said: list[str] = []
    config = BuildConfig(source="x", name="run", embedder=str(model), device="cpu", dtype="bfloat16")
    assert verb.embed(Job(generation, config, said.append)).facts["precision"] == "bfloat16"
    assert [line.startswith("warning: this CPU has no instructions for bfloat16") for line in said] == (
        [] if has_instructions else [True]
    )


def test_the_identity_changes_with_the_embedder_and_with_the_given_file(generation, tmp_path):
    np.save(tmp_path / "e.npy", np.ones((2, 2), np.float32))
    identities = [verb.identity(job(generation, embedder=name).config) for name in ("stand-in:16", "stand-in:17", None)]
    identities.append(verb.identity(given(generation, tmp_path / "e.npy").config))
    np.save(tmp_path / "e.npy", np.zeros((2, 2), np.float32))
    identities.append(verb.identity(given(generation, tmp_path / "e.npy").config))
    assert len({str(identity) for identity in identities}) == 5


@pytest.mark.parametrize("by", ["text_id", "source_row"])
def test_given_embeddings_go_to_their_texts(generation, tmp_path, by):
    n_rows = N_TEXTS if by == "text_id" else N_TEXTS + 3
    matrix = np.random.default_rng(1).standard_normal((n_rows, 8)).astype(np.float32)
    np.save(tmp_path / "e.npy", matrix)
    made = verb.embed(given(generation, tmp_path / "e.npy"))
    assert (embeddings_of(generation) == (matrix if by == "text_id" else matrix[SOURCE_ROWS])).all()
    assert (made.facts["origin"], made.facts["name"], made.facts["matched_by"]) == ("precomputed", "e.npy", by)
    assert pq.read_table(generation.parts(EMBEDDINGS)[0])["n_tokens"].null_count == 256


def test_embeddings_of_more_rows_than_a_sample_are_matched_only_where_that_is_sure():
    matrix = np.zeros((900, 4), np.float32)
    more = precomputed.Precomputed(Path("e.npy"), None, matrix)
    assert more.matched_by(100, 100, True) == "source_row"
    with pytest.raises(Refusal, match="it cannot be told which embedding is whose"):
        more.matched_by(100, 103, True)
    with pytest.raises(Refusal, match="900 rows"):
        more.matched_by(100, 103, False)


def test_options_of_an_embedder_that_is_not_named_are_refused():
    with pytest.raises(Refusal, match="--normalize has no meaning for --embeddings without --embedder"):
        BuildConfig(source="x", name="run", embeddings="e.npy", normalize=True)


@pytest.mark.parametrize("kind", [pa.list_(pa.float64()), pa.list_(pa.float16(), 8), pa.large_list(pa.float32())])
def test_a_parquet_column_is_the_same_as_the_matrix_in_it(generation, tmp_path, kind):
    matrix = np.random.default_rng(1).standard_normal((N_TEXTS, 8)).astype(np.float16)
    pq.write_table(pa.table({"id": range(N_TEXTS), "e": pa.array(list(matrix), kind)}), tmp_path / "a:b.parquet")
    verb.embed(given(generation, f"{tmp_path / 'a:b.parquet'}:e"))
    assert (embeddings_of(generation) == matrix.astype(np.float32)).all()


def test_what_is_not_finite_is_named_and_nothing_is_left_of_the_part(generation, tmp_path):
    matrix = np.ones((N_TEXTS, 4), np.float32)
    matrix[[300, 301], 2] = np.nan, np.inf
    np.save(tmp_path / "e.npy", matrix)
    with pytest.raises(Refusal, match=r"2 texts hold NaN or infinity \(text_id 300, 301\)"):
        verb.embed(given(generation, tmp_path / "e.npy"))
    assert [path.name for path in generation.parts(EMBEDDINGS)] == ["part-00000.parquet"]
    np.save(tmp_path / "e.npy", np.full((N_TEXTS, 4), 1e5, np.float32))
    shutil.rmtree(generation.file(EMBEDDINGS))
    with pytest.raises(Refusal, match="too large for float16"):
        verb.embed(given(generation, tmp_path / "e.npy", embedding_dtype="float16"))


@pytest.mark.parametrize(
    ("matrix", "reason"),
    [
        (np.ones((N_TEXTS - 1, 4), np.float32), "599 rows"),
        (np.ones(N_TEXTS, np.float32), "of shape"),
        (np.ones((N_TEXTS, 4), np.int64), "int64"),
        (np.array([{"a": 1}] * N_TEXTS), "not an npy file of numbers"),
        (b"not npy", "not an npy file of numbers"),
        (b"", "not an npy file of numbers"),
    ],
)
def test_a_file_that_is_no_matrix_of_these_texts_is_a_sentence(generation, tmp_path, matrix, reason):
    path = tmp_path / "e.npy"
    path.write_bytes(matrix) if isinstance(matrix, bytes) else np.save(path, matrix, allow_pickle=True)
    with pytest.raises(Refusal, match=reason):
        verb.embed(given(generation, path))


@pytest.mark.parametrize(
    ("column", "reason"),
    [
        (pa.array([[1.0, 2.0], None] * 300), "null in row 1"),
        (pa.array([[1.0, 2.0], [1.0]] * 300), "rows of 1 and of 2"),
        (pa.array(["a"] * 600), "lists of floats"),
        (pa.array([[1, 2]] * 600), "lists of floats"),
    ],
)
def test_a_column_that_is_no_matrix_is_a_sentence(generation, tmp_path, column, reason):
    pq.write_table(pa.table({"e": column}), tmp_path / "e.parquet")
    with pytest.raises(Refusal, match=reason):
        verb.embed(given(generation, f"{tmp_path / 'e.parquet'}:e"))


def test_a_missing_file_or_column_is_refused_before_anything_is_built(generation, tmp_path):
    pq.write_table(pa.table({"e": [[1.0]]}), tmp_path / "e.parquet")
    for name, reason in [
        ("nowhere.npy", "there is no file"),
        (f"{tmp_path}/e.parquet", "names no column"),
        (f"{tmp_path}/e.parquet:f", "no column 'f'; its columns are e"),
    ]:
        with pytest.raises(Refusal, match=reason):
            verb.identity(given(generation, name).config)


def test_an_embedder_named_beside_given_embeddings_must_give_the_same(generation, texts, tmp_path):
    own = load_embedder("stand-in:16").embed(texts)
    np.save(tmp_path / "e.npy", own * 3)
    made = verb.embed(given(generation, tmp_path / "e.npy", embedder="stand-in:16"))
    assert made.facts["embedder"]["name"] == "stand-in:16"
    np.save(tmp_path / "e.npy", np.roll(own, 1, axis=0))
    with pytest.raises(Refusal, match="was not made by stand-in:16"):
        verb.embed(given(generation, tmp_path / "e.npy", embedder="stand-in:16"))
    with pytest.raises(Refusal, match="16 dimensions but stand-in:8 gives 8"):
        verb.embed(given(generation, tmp_path / "e.npy", embedder="stand-in:8"))
