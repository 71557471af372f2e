"""The store: right rows for every thread, no way out of the run's folder, a sentence for what is missing or damaged."""

from __future__ import annotations

import re
import shutil
import subprocess
import sys
import threading
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import numpy as np
import pytest

import featurelib
from featurelib import queries, schema
from featurelib.schema import Refusal, RunNotReady
from featurelib.storage import files
from featurelib.storage.runs import Generation, Run
from featurelib.storage.store import Store, open_store
from tests.support import ROOT
from tests.support.numpy_run import HOSTILE, N_FEATURES, N_TEXTS, NumpyRun, finish, make_run


@pytest.fixture(scope="module")
def made(tmp_path_factory: pytest.TempPathFactory) -> NumpyRun:
    return make_run(tmp_path_factory.mktemp("store") / "small")


@pytest.fixture
def store(made: NumpyRun):
    opened = open_store(made.generation)
    yield opened
    opened.close()


@pytest.fixture
def copied(made: NumpyRun, tmp_path: Path) -> Generation:
    return Run(shutil.copytree(made.run.path, tmp_path / "copy")).current()


def ask_from_threads(store: Store, truth: np.ndarray, n_threads: int = 8, n_questions: int = 200) -> tuple[int, int]:
    """Ask for features' texts from several threads at once; return the numbers of wrong answers and of exceptions."""
    expected = [np.nonzero(truth[:, f])[0].tolist() for f in range(N_FEATURES)]
    start = threading.Barrier(n_threads)

    def one_thread(number: int) -> tuple[int, int]:
        draw = np.random.default_rng(number)
        wrong = raised = 0
        start.wait()
        for feature_id in draw.integers(0, N_FEATURES, n_questions).tolist():
            try:
                rows = store.ask(
                    "select text_id from activations_by_feature where feature_id = $feature_id order by text_id",
                    feature_id=feature_id,
                )
                wrong += rows["text_id"].to_pylist() != expected[feature_id]
            except Exception:  # noqa: BLE001  (a shared connection fails in ways that differ from run to run)
                raised += 1
        return wrong, raised

    with ThreadPoolExecutor(n_threads) as pool:
        counted = list(pool.map(one_thread, range(n_threads)))
    return sum(wrong for wrong, _ in counted), sum(raised for _, raised in counted)


def test_eight_threads_get_1600_right_answers_from_one_store(store: Store, made: NumpyRun) -> None:
    assert ask_from_threads(store, made.activations) == (0, 0)


def test_the_same_goes_wrong_when_the_connection_is_shared(made: NumpyRun) -> None:
    # In a process of its own: a connection used by two threads at once may do anything, ending the process included.
    code = (
        "import sys; from pathlib import Path; from featurelib.storage.runs import Run\n"
        "from featurelib.storage.store import Store, open_store\n"
        "from tests.storage.test_store import ask_from_threads; import numpy as np\n"
        "Store._cursor = lambda self: self._con\n"
        "truth = np.load(sys.argv[2])\n"
        "wrong, raised = ask_from_threads(open_store(Run(Path(sys.argv[1])).current()), truth)\n"
        "print(wrong, 'wrong,', raised, 'raised'); sys.exit(3 if wrong + raised else 0)"
    )
    truth = made.run.path.parent / "truth.npy"
    np.save(truth, made.activations)
    ended = subprocess.run(
        [sys.executable, "-c", code, str(made.run.path), str(truth)], cwd=ROOT, capture_output=True, text=True
    )
    assert ended.returncode == 3 or ended.returncode < 0, ended.stdout + ended.stderr


def test_duckdb_is_spoken_to_in_the_store_alone() -> None:
    spoken = re.compile(r"\b(duckdb|\.execute\(|\.sql\(|executemany)")
    for path in sorted((ROOT / "featurelib").rglob("*.py")):
        room = path.relative_to(ROOT / "featurelib").parts[0].removesuffix(".py")
        if room in ("queries", "ui", "charts", "live", "summaries", "__init__"):
            assert not spoken.search(path.read_text(encoding="utf-8")), path


def test_importing_featurelib_brings_neither_duckdb_nor_torch() -> None:
    code = "import featurelib, sys; print(sorted({'duckdb', 'torch', 'pandas', 'pyarrow'} & set(sys.modules)))"
    printed = subprocess.run([sys.executable, "-c", code], cwd=ROOT, capture_output=True, text=True, check=True)
    assert printed.stdout.strip() == "[]"


@pytest.mark.parametrize(
    "sql",
    [
        "drop view texts",
        "select 1; drop view texts",
        "select 1; select 2",
        "insert into texts values (1)",
        "update texts set text = ''",
        "delete from texts",
        "create table t as select 1",
        "create or replace view texts as select 1",
        "copy texts to 'x.csv'",
        "copy (select 1) to 'featurelib_escape.csv'",
        "attach 'featurelib_escape.db'",
        "install httpfs",
        "load httpfs",
        "set threads = 1",
        "set enable_external_access = true",
        "pragma database_list",
        "export database 'featurelib_escape'",
        "call pragma_version()",
        "explain analyze select 1",
        "",
        "selec 1",
        "-- only a comment",
    ],
)
def test_ask_takes_one_select_and_nothing_else(store: Store, sql: str) -> None:
    with pytest.raises(Refusal):
        store.select(sql)
    assert store.ask("select count(*) as n from texts")["n"].to_pylist() == [N_TEXTS]


@pytest.mark.parametrize(
    "sql",
    [
        "select * from read_csv('/etc/passwd')",
        "select * from read_text('/etc/passwd')",
        "select * from read_blob('/etc/passwd')",
        "select * from '/etc/passwd'",
        "select * from glob('/etc/*')",
        "select * from read_parquet('/etc/*.parquet')",
        "select * from read_text('{run}/../other/secret.txt')",
        "select * from read_text('{run}/g0001/../../other/secret.txt')",
        "select * from read_text('{run}/current')",
        "select * from made",
        "select getenv('HOME')",
        "select * from read_csv('https://example.org/x.csv')",
    ],
)
def test_a_select_cannot_leave_the_generations_folder(store: Store, made: NumpyRun, sql: str) -> None:
    other = made.run.path.parent / "other"
    other.mkdir(exist_ok=True)
    (other / "secret.txt").write_text("secret")
    with pytest.raises(Refusal):
        store.select(sql.replace("{run}", made.run.path.as_posix()))


def test_a_slow_select_is_stopped_and_the_store_goes_on(store: Store) -> None:
    with pytest.raises(Refusal, match="longer than 0.3 seconds"):
        store.select("select sum(a.range * b.range) from range(10000000) a, range(10000000) b", seconds=0.3)
    assert store.select("select 1 as one")["one"].to_pylist() == [1]


def test_too_many_rows_are_refused_with_the_number(store: Store) -> None:
    with pytest.raises(Refusal, match="more than 50 rows"):
        store.select("select * from range(51)", row_cap=50)
    assert store.select("select * from range(50)", row_cap=50).num_rows == 50


def test_a_select_keeps_its_own_order_and_its_trailing_comment(store: Store) -> None:
    rows = store.select("select text_id from texts order by text_id % 7, text_id desc; -- ordered")[
        "text_id"
    ].to_pylist()
    assert rows == sorted(range(N_TEXTS), key=lambda text_id: (text_id % 7, -text_id))


def test_an_answer_that_does_not_fit_into_memory_is_a_sentence(made: NumpyRun) -> None:
    store = open_store(made.generation, memory_limit="60MB")
    with pytest.raises(Refusal, match="needs more than 60MB of memory"):
        store.select("select list(a.range) from range(100000000) a", seconds=20)


STAGES_OF_QUERIES = {
    "ingest": lambda store: queries.text(store, 1),
    "encode": lambda store: queries.evaluation(store),
    "summarise": lambda store: queries.counts(store),
    "keywords": lambda store: queries.keywords(store, 1),
    "layout": lambda store: queries.layout(store),
}


@pytest.mark.parametrize("upto", ["ingest", "embed", "train", "encode", "summarise", "keywords"])
def test_an_unfinished_run_answers_what_it_can_and_names_the_stage_of_the_rest(tmp_path: Path, upto: str) -> None:
    store = open_store(make_run(tmp_path / "unfinished", upto=upto).generation)
    done = schema.STAGES[: schema.STAGES.index(upto) + 1]
    for stage, question in STAGES_OF_QUERIES.items():
        if stage in done:
            question(store)
        else:
            with pytest.raises(RunNotReady) as refused:
                question(store)
            assert any(
                f"stage '{missing}' is not done" in str(refused.value)
                for missing in schema.STAGES
                if missing not in done
            )
    if upto == "summarise":
        assert queries.features(store)["label"][0].as_py().startswith("feature ")
        assert queries.feature(store, 0).cluster is None


def test_a_table_made_while_the_store_is_open_is_seen(tmp_path: Path) -> None:
    made = make_run(tmp_path / "growing", upto="summarise")
    store = open_store(made.generation)
    assert not store.has(schema.LABELS) and queries.labels(store, [1]) == {1: "feature 1"}
    from tests.support.numpy_run import _labels, _write_empty

    _labels(made.generation, made)
    _write_empty(made.generation, "labels")
    made.generation.mark_done("labels", made.generation.done("summarise"))
    assert queries.labels(store, [1]) == {1: made.labels[1]} and store.has(schema.LABELS)


@pytest.mark.parametrize(
    "name", ["texts.parquet", "summaries/labels.parquet", "activations/by_text/part-00001.parquet"]
)
def test_a_missing_or_cut_file_is_named_at_open(copied: Generation, name: str) -> None:
    raw = (copied.path / name).read_bytes()
    (copied.path / name).write_bytes(raw[:-10])
    with pytest.raises(Refusal, match=name):
        open_store(copied)
    (copied.path / name).unlink()
    with pytest.raises(Refusal, match=f"{name} is missing"):
        open_store(copied)


def test_a_file_that_is_no_parquet_is_a_sentence_even_without_a_manifest(copied: Generation) -> None:
    (copied.path / "manifest.json").unlink()
    (copied.path / "summaries/labels.parquet").write_bytes(b"no parquet at all")
    with pytest.raises(Refusal, match="labels"):
        open_store(copied)


def test_a_generation_that_vanishes_under_an_open_store_is_a_sentence(copied: Generation) -> None:
    store = open_store(copied)
    files.remove(copied.path)
    with pytest.raises(Refusal, match="is gone"):
        queries.top_texts(store, 1)


def test_bytes_that_rot_under_an_open_store_are_a_sentence_or_unseen_and_never_the_end(copied: Generation) -> None:
    store = open_store(copied)
    path = copied.path / "texts.parquet"
    whole, right = path.read_bytes(), queries.top_texts(store, 1, column="group", value="g1")
    refused = 0
    for place in np.random.default_rng(0).integers(0, len(whole), 60).tolist():
        rotten = bytearray(whole)
        rotten[place] ^= 0x10
        path.write_bytes(rotten)
        try:
            queries.top_texts(store, 1, column="group", value="g1")
        except Refusal as sentence:
            refused += "verify copy" in str(sentence)
        path.write_bytes(whole)
        assert queries.top_texts(store, 1, column="group", value="g1").equals(right)
    assert refused > 5


@pytest.mark.parametrize("name", ["with space", "glob[a]*?", "quote'quote", "Ünï"])
def test_any_folder_name_can_hold_a_run(made: NumpyRun, tmp_path: Path, name: str) -> None:
    folder = shutil.copytree(made.run.path, tmp_path / name / "small")
    assert queries.counts(open_store(Run(folder).current())).n_texts == N_TEXTS


def test_a_relative_path_stands_when_the_working_folder_changes(made: NumpyRun, monkeypatch) -> None:
    monkeypatch.chdir(made.run.path.parent)
    store = open_store(Run(Path("small")).current())
    monkeypatch.chdir("/")
    assert queries.counts(store).n_texts == N_TEXTS


def test_a_notebook_gets_frames(made: NumpyRun) -> None:
    run = featurelib.open(made.run.path)
    assert repr(run).startswith("OpenRun('small', g0001: 300 texts, 40 features")
    assert list(run.features()["feature_id"]) == list(run.features(sort="density")["feature_id"])
    assert len(run.features()) == N_FEATURES and len(run.top_texts(1, limit=4)) == 4
    assert list(run.keywords(1)["rank"]) == [1, 2, 3]
    assert run.ask("select text_id from texts where text = $text", text=HOSTILE)["text_id"].tolist() == [5]
    with pytest.raises(Refusal, match="0 to 39"):
        run.top_texts(40)


def test_what_is_no_run_is_a_sentence(tmp_path: Path) -> None:
    with pytest.raises(Refusal, match="is not a run"):
        featurelib.open(tmp_path)


def test_a_run_of_an_older_version_opens_without_the_tables_that_came_later(tmp_path: Path) -> None:
    made = make_run(tmp_path / "older")
    generation = made.generation
    for path in (
        "done/near_misses.json",
        "summaries/near_misses.parquet",
        "summaries/text_layout.parquet",
        "manifest.json",
    ):
        (generation.path / path).unlink()
    finish(generation)
    store = open_store(generation)
    assert queries.labels(store, [1]) == {1: made.labels[1]} and queries.layout(store).num_rows
    with pytest.raises(RunNotReady, match="no near_misses yet: its stage 'near_misses' is not done; give its"):
        queries.near_misses(store, 1)
    with pytest.raises(RunNotReady, match="its stage 'layout' is not done as it is now, only by an older version"):
        store.ask("select * from text_layout")
