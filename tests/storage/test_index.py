"""The index of a generation: the same answers as DuckDB's, whole or absent, never older than its run."""

from __future__ import annotations

import datetime
import decimal
import json
import math
import os
import shutil
import sqlite3
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import closing, suppress
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from featurelib import queries, search
from featurelib.queries import AUDIT_SORTS, FeatureFilter, audit
from featurelib.schema import AUDIT, LABELS, TEXTS, Refusal
from featurelib.search import meaning
from featurelib.storage import files
from featurelib.storage.answers import Answers
from featurelib.storage.index import whole
from featurelib.storage.index.checking import check_index
from featurelib.storage.index.maker import IndexMaker
from featurelib.storage.index.making import make_index
from featurelib.storage.index.opened import ROWS_FILE
from featurelib.storage.runs import Done, Generation, Run
from featurelib.storage.store import Store, open_store
from featurelib.storage.watch import FileWatch, Pace
from tests.support import ROOT
from tests.support.numpy_run import CLASHING, N_FEATURES, N_TEXTS, ODD_COLUMN, NumpyRun, finish, make_run

COLUMNS = ["group", "year", "labels", ODD_COLUMN, *CLASHING[:2]]
QUESTIONS: dict[str, Callable[[Store, int], Any]] = {
    "feature": queries.feature,
    "keywords": queries.keywords,
    "top_texts": lambda store, n: queries.top_texts(store, n, limit=30, collapse=True),
    "top_texts offset": lambda store, n: queries.top_texts(store, n, offset=7, limit=3),
    "count_top_texts": lambda store, n: queries.count_top_texts(store, n, collapse=True),
    **{
        f"{name} by {column}": lambda store, n, ask=ask, column=column: ask(store, n, column)
        for column in COLUMNS
        for name, ask in (
            ("values", lambda store, n, column: queries.metadata_values(store, n, column, limit=300)),
            ("narrowed", lambda store, n, column: _narrowed(store, n, column)),
        )
    },
    "random_texts": queries.random_texts,
    "bands": queries.bands,
    "histogram": queries.histogram,
    "near_misses": queries.near_misses,
    "active_features": lambda store, n: queries.active_features(store, [n, 7, 3 * n], without=n),
    "contributions": lambda store, n: queries.contributions(store, n, [n, 2 * n]),
    "coactivations": queries.coactivations,
    **{
        f"coactivations by {by}": lambda store, n, by=by: queries.coactivations(store, n, by=by, min_both=2)
        for by in queries.MEASURES
    },
    "neighbours": queries.neighbours,
    "opposites": queries.opposites,
    "relatives": queries.relatives,
    "fidelity": queries.fidelity,
    "keyword_evidence": queries.keyword_evidence,
    "feature_audit": queries.feature_audit,
    **{
        f"audit by {sort}": lambda store, n, sort=sort: queries.audit_rows(store, sort=sort, descending=n % 2 == 0)
        for sort in AUDIT_SORTS
    },
    "audit of a check": lambda store, n: [
        [queries.count_audit_rows(store, check), queries.audit_rows(store, check, limit=3, offset=n % 5)]
        for check in audit.CHECKS
    ],
    "explanation": queries.explanation,
    "text": queries.text,
    "texts": lambda store, n: queries.texts(store, [n, 5, 6, 200 + n, N_TEXTS + 1]),
    "text_features": queries.text_features,
    "text_metadata": queries.text_metadata,
    "features": lambda store, n: queries.features(store, sort="label", offset=n),
    "features by words": lambda store, n: queries.features(store, FeatureFilter(words=f"STRASSE key{n}".lower())),
    "find_features": lambda store, n: queries.find_features(store, f"key{n % 7}"),
    "find_features by id": lambda store, n: queries.find_features(store, str(n)),
    "families": lambda store, n: queries.families(store, "star", limit=5 + n),
    "labels": lambda store, n: queries.labels(store, [n, 2, 999]),
    "matrix": lambda store, n: queries.coactivation_matrix(store, [n, 1, 2, 3, 999]),
    "combined": lambda store, n: queries.combined_texts(store, [n, (n + 1) % N_FEATURES], [(n + 2) % N_FEATURES]),
    "combined absent": lambda store, n: queries.combined_texts(store, [], [n], offset=3),
    "count_combined": lambda store, n: queries.count_combined(store, [n], [(n + 1) % N_FEATURES]),
    "features_among": lambda store, n: queries.features_among(store, range(n, n + 40)),
    "embedding_of": meaning.embedding_of,
    "meaning": lambda store, n: _cosines(search.texts_by_meaning(store, meaning.embedding_of(store, n) + 0.1)),
    "labels_by_some_words": lambda store, n: search.labels_by_some_words(store, "galaxies label13 straße"),
}


def _narrowed(store: Store, feature_id: int, column: str) -> list[object]:
    values = queries.metadata_values(store, feature_id, column)["value"].to_pylist()
    return [queries.top_texts(store, feature_id, column=column, value=value, limit=50) for value in [*values[:3], "?"]]


def _cosines(rows: pa.Table) -> dict[str, list[Any]]:
    # float64 sums in another order differ in the last bits, and so may the order of texts that are equally near
    return {"cosine": [round(cosine, 12) for cosine in rows["cosine"].to_pylist()]}


def plain(answer: Any) -> Any:
    """An answer as lists and dicts, in which NaN equals NaN."""
    if isinstance(answer, pa.Table):
        return {name: plain(answer[name].to_pylist()) for name in answer.column_names}
    if isinstance(answer, np.ndarray):
        return plain(answer.tolist())
    if isinstance(answer, list | tuple):
        return [plain(value) for value in answer]
    if isinstance(answer, dict):
        return {name: plain(value) for name, value in answer.items()}
    if hasattr(answer, "__dataclass_fields__"):
        return {name: plain(getattr(answer, name)) for name in answer.__dataclass_fields__}
    if isinstance(answer, float):
        return "nan" if answer != answer else float(f"{answer:.12g}")
    return answer


@pytest.fixture(scope="module")
def made(tmp_path_factory: pytest.TempPathFactory) -> NumpyRun:
    """A run with an index."""
    made = make_run(tmp_path_factory.mktemp("data") / "small")
    _audit(made.generation)
    make_index(made.generation)
    return made


def _audit(generation: Generation) -> None:
    """Give a run some findings of the audit, many of them alike."""
    rng = np.random.default_rng(0)
    rows = [
        (feature_id, check, value, low, value, float(rng.choice([0.1, 0.5])), 60, bool(rng.random() < 0.5), check[::-1])
        for feature_id in range(N_FEATURES)
        for check in audit.CHECKS
        for value, low in [rng.choice([0.3, 0.6, 0.9], 2)]
    ] + [(3, "length", None, None, None, 0.5, 0, False, "")]
    columns = dict(zip(AUDIT.schema.names, zip(*rows, strict=True), strict=True))
    table = pa.table({name: pa.array(values, AUDIT.schema.field(name).type) for name, values in columns.items()})
    (generation.path / "manifest.json").unlink()
    files.write_parquet(generation.file(AUDIT), table, AUDIT.schema)
    generation.mark_done("audit", Done("audit", {}, "", {}))
    finish(generation)


@pytest.fixture
def copied(made: NumpyRun, tmp_path: Path) -> Run:
    """A copy of it, index included."""
    return Run(shutil.copytree(made.run.path, tmp_path / "copy"))


@pytest.fixture(autouse=True)
def elsewhere(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A temporary folder of the test's own."""
    folder = tmp_path / "temporary"
    folder.mkdir()
    monkeypatch.setattr("tempfile.tempdir", str(folder))
    return folder


def without_index(generation: Generation) -> Store:
    store = open_store(generation)
    store._in_use.next_look = float("inf")
    return store


@pytest.fixture(scope="module")
def stores(made: NumpyRun) -> Iterator[tuple[Store, Store]]:
    with_index, without = open_store(made.generation), without_index(made.generation)
    assert with_index.index is not None and without.index is None
    yield with_index, without
    assert with_index.index is not None, "an answer has dropped it"


@pytest.mark.parametrize("name", QUESTIONS)
@pytest.mark.parametrize("number", [0, 3, 5, 20, 39])
def test_the_index_gives_the_answers_of_duckdb(stores: tuple[Store, Store], name: str, number: int) -> None:
    answers = []
    for store in stores:
        try:
            answers.append(plain(QUESTIONS[name](store, number)))
        except Refusal as refusal:
            answers.append(str(refusal))
    assert answers[0] == answers[1] and answers[0] is not None or name == "explanation"


def asked(store: Store) -> Any:
    """Answers from its rows, its activations and its codes."""
    values = queries.metadata_values(store, 20, "group")
    return plain([queries.top_texts(store, 20), queries.text_features(store, 7), queries.bands(store, 20), values])


def columns_of(answer: pa.Table | dict[str, Any]) -> list[tuple[str, Any]]:
    """The names and values of an answer, of which two may have one name."""
    if isinstance(answer, dict):
        return [(name, plain(value)) for name, value in answer.items()]
    values = (plain(column.to_pylist()) for column in answer.columns)
    return list(zip(answer.column_names, values, strict=True))


def test_every_type_of_metadata_is_given_as_duckdb_gives_it(tmp_path: Path) -> None:
    made = make_run(tmp_path / "typed")
    path = made.generation.file(TEXTS)
    day, n = datetime.date(2024, 3, 9), N_TEXTS
    moment = datetime.datetime(2024, 3, 9, 18, 0, 1)
    own = {
        "nan": pa.array([math.nan if i % 3 == 0 else i / 2 for i in range(n)]),
        "all nan": pa.array([math.nan] * n, pa.float32()),
        "price": pa.array([decimal.Decimal(f"{i}.50") for i in range(n)], pa.decimal128(9, 2)),
        "large": pa.array([2**63 + i for i in range(n)], pa.uint64()),
        "day": pa.array([day if i % 2 else None for i in range(n)]),
        "days": pa.array([[day, None] if i % 2 else [] for i in range(n)]),
        "at": pa.array([moment] * n, pa.timestamp("ns")),
        "hour": pa.array([datetime.time(7, 30)] * n),
        "flag": pa.array([i % 2 == 0 for i in range(n)]),
        "numbers": pa.array([[i, i + 1] for i in range(n)]),
        "twice": pa.array([f"t{i}" for i in range(n)]),
        "source_rank": pa.array([f"s{i}" for i in range(n)]),
        "deep": pa.array([{"a": i} for i in range(n)]),
    }
    rows = pq.read_table(path)
    for name, values in own.items():
        rows = rows.append_column(name, values)
    pq.write_table(rows, path)
    finish(made.generation)
    make_index(made.generation)
    with_index, without = open_store(made.generation), without_index(made.generation)
    for ask in (lambda store: queries.texts(store, range(12)), lambda store: queries.text_metadata(store, 7)):
        given, wanted = (columns_of(ask(store)) for store in (with_index, without))
        assert [name for name, _ in given] == [name for name, _ in wanted]
        # a struct is words in an index
        assert [entry for entry in given if entry[0] != "deep"] == [entry for entry in wanted if entry[0] != "deep"]
    assert queries.text_metadata(with_index, 4)["rank"] == "r0" and with_index.index is not None


def test_a_question_that_the_index_cannot_read_does_not_end_it(copied: Run, caplog: pytest.LogCaptureFixture) -> None:
    store = open_store(copied.current())
    assert store.look_up("select label from labels where feature_id = $id", id=np.int64(7)).num_rows == 1
    assert queries.keywords(store, 10**30).num_rows == 0
    with pytest.raises(Refusal, match="200 are possible"):
        queries.count_features(store, FeatureFilter(words=" ".join(f"w{i}" for i in range(1200))))
    assert store.index is not None and "cannot be read" not in caplog.text


def test_another_index_in_its_place_is_opened_anew(copied: Run) -> None:
    store = open_store(copied.current())
    first = store.index
    whole.remove(whole.find(copied.current()))
    make_index(copied.current())
    store._in_use.next_look = 0.0
    assert first is not None and store.index is not None and store.index.stamp != first.stamp


def test_nothing_that_came_from_a_changed_index_is_kept_when_it_is_gone(copied: Run) -> None:
    folder, store = whole.find(copied.current()), open_store(copied.current())
    with closing(sqlite3.connect(folder / ROWS_FILE)) as con, con:
        con.execute("update cards set label = 'wrong' where feature_id = 1")
        con.execute("update card_words set searched = 'wrong' where feature_id = 2")

    def said() -> tuple[Any, int]:
        labels = queries.features(store, sort="feature_id", descending=False, limit=None)["label"].to_pylist()
        return labels[1], queries.count_features(store, FeatureFilter(words="wrong"))

    assert said() == ("wrong", 1)
    whole.remove(folder)
    store._in_use.next_look = 0.0
    assert said() == (made_label(copied, 1), 0)


def made_label(run: Run, feature_id: int) -> str:
    return pq.read_table(run.current().file(LABELS)).to_pylist()[feature_id]["label"]


def test_an_answer_that_is_under_way_when_all_is_forgotten_is_not_kept() -> None:
    answers = Answers()
    for keep in (answers.once, answers.remember):
        assert keep("key", lambda: answers.forget() or "old") == "old"
        assert keep("key", lambda: "new") == "new" == keep("key", lambda: "newer")


def test_while_an_index_is_made_it_is_said_and_then_no_longer(made: NumpyRun) -> None:
    maker = IndexMaker("this_is_no_module")
    assert maker.ask(made.generation) and maker.ask(made.generation)
    end = time.monotonic() + 30
    while maker.ask(made.generation):
        assert time.monotonic() < end
        time.sleep(0.05)


def test_an_index_that_is_not_trusted_and_cannot_be_removed_is_not_read_again(
    copied: Run, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(shutil, "rmtree", lambda *_, **__: None)
    folder = whole.find(copied.current())
    whole.remove(folder)
    assert folder.is_dir() and whole.find(copied.current()) is None


def test_an_index_is_found_in_a_copy_and_not_by_another_build(made: NumpyRun, copied: Run, tmp_path: Path) -> None:
    assert open_store(copied.current()).index is not None
    other = make_run(tmp_path / "other", seed=1)
    shutil.copytree(copied.cache_folder, other.run.cache_folder)
    store = open_store(other.generation)
    assert store.index is None and whole.key(other.generation) != whole.key(made.generation)
    assert asked(store) != asked(open_store(copied.current()))


def test_an_index_of_another_version_is_not_used(copied: Run, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(whole, "VERSION", whole.VERSION + 1)
    assert open_store(copied.current()).index is None


def each_file(run: Run) -> list[str]:
    return sorted(path.name for path in whole.find(run.current()).iterdir())


@pytest.mark.parametrize("harm", ["cut", "emptied", "removed"])
def test_an_index_with_a_file_that_is_not_whole_is_not_used(copied: Run, harm: str) -> None:
    folder = whole.find(copied.current())
    for name in each_file(copied):
        path = folder / name
        content = path.read_bytes()
        path.unlink()
        if harm != "removed":
            path.write_bytes(content[: len(content) // 2] if harm == "cut" else b"")
        assert open_store(copied.current()).index is None, name
        path.write_bytes(content)
    assert open_store(copied.current()).index is not None


@pytest.mark.parametrize("seed", range(12))
def test_random_bytes_in_an_index_never_end_the_process_and_are_noticed(copied: Run, seed: int) -> None:
    generation, draw = copied.current(), np.random.default_rng(seed)
    folder = whole.find(generation)
    path = folder / draw.choice([name for name in each_file(copied) if name != whole.CONTENTS])
    content = bytearray(path.read_bytes())
    for place in draw.integers(0, len(content), 40):
        content[place] ^= 1 << int(draw.integers(8))
    path.write_bytes(bytes(content))
    store = open_store(generation)
    with suppress(Refusal):
        asked(store)
    if whole.find(generation) is not None:  # else it was noticed already, and dropped
        with pytest.raises(Refusal, match="does not hold what its files hold"):
            check_index(generation)


def test_a_changed_index_is_removed_while_it_is_read(made: NumpyRun, copied: Run) -> None:
    generation = copied.current()
    right, store = asked(without_index(made.generation)), open_store(generation)
    assert asked(store) == right and store.index is not None
    path = whole.find(generation) / "text_features.npy"
    content = bytearray(path.read_bytes())
    content[-8] ^= 1
    path.write_bytes(bytes(content))
    watch = FileWatch(Pace(start=0.0, look=0.05, again=0.05, share=1.0))
    end = time.monotonic() + 30
    while whole.find(generation) is not None and time.monotonic() < end:
        watch.read(generation)
        time.sleep(0.05)
    assert whole.find(generation) is None and watch.read(generation) == {}
    store._in_use.next_look = 0.0
    assert store.index is None and asked(store) == right
    assert make_index(generation) and asked(open_store(generation)) == right


def test_verify_compares_the_rows_not_only_the_hashes(copied: Run) -> None:
    folder = whole.find(copied.current())
    assert check_index(copied.current()) == folder
    with closing(sqlite3.connect(folder / ROWS_FILE)) as con:
        con.execute("update labels set label = 'another' where feature_id = 7")
        con.commit()
    listed = json.loads((folder / whole.CONTENTS).read_text())
    path = folder / ROWS_FILE
    listed["files"][ROWS_FILE] = {"bytes": path.stat().st_size, "sha256": files.sha256_file(path)}
    files.write_json(folder / whole.CONTENTS, listed)
    with pytest.raises(Refusal, match="labels"):
        check_index(copied.current())


def test_a_folder_that_cannot_be_written_sends_the_index_elsewhere(copied: Run, elsewhere: Path) -> None:
    shutil.rmtree(copied.cache_folder)
    copied.cache_folder.write_text("a file where the folder would be")
    folder = make_index(copied.current())
    assert elsewhere in folder.parents
    store = open_store(copied.current())
    assert store.index is not None and store.index.folder == folder


def test_a_disk_that_fills_leaves_nothing_and_is_one_sentence(copied: Run, tmp_path: Path) -> None:
    shutil.rmtree(copied.cache_folder)
    code = f"""
import resource, signal, sys
signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
resource.setrlimit(resource.RLIMIT_FSIZE, (20_000, 20_000))
from featurelib.search.__main__ import main
sys.exit(main([{str(copied.current().path)!r}]))
"""
    environment = os.environ | {"TMPDIR": str(tmp_path / "also")}
    (tmp_path / "also").mkdir()
    ended = subprocess.run([sys.executable, "-c", code], cwd=ROOT, env=environment, capture_output=True, text=True)
    assert ended.returncode == 2 and "the index can be written nowhere" in ended.stderr, ended.stderr
    assert "Traceback" not in ended.stderr
    left = [path for place in (copied.cache_folder, tmp_path / "also") for path in place.rglob("index-*")]
    assert left == [] and open_store(copied.current()).index is None
    assert asked(open_store(copied.current()))


def test_two_at_once_make_one_index(copied: Run) -> None:
    shutil.rmtree(copied.cache_folder)
    with ThreadPoolExecutor(3) as threads:
        places = list(threads.map(lambda _: make_index(copied.current()), range(3)))
    assert len(set(places)) == 1 and check_index(copied.current()) == places[0]
    assert [path.name for path in copied.cache_folder.glob("index-*")] == [places[0].name]


def test_what_a_killed_maker_left_is_removed_in_time(copied: Run) -> None:
    shutil.rmtree(copied.cache_folder)
    old, young = (copied.cache_folder / f"index-{name}.aside" for name in ("old", "young"))
    gone = copied.cache_folder / "index-of-a-generation-that-is-gone"
    for folder in (old, young, gone):
        folder.mkdir(parents=True)
    for folder in (old, gone):
        os.utime(folder, (0, 0))
    make_index(copied.current())
    assert not old.exists() and not gone.exists() and young.exists()


def test_an_unfinished_generation_has_none(tmp_path: Path) -> None:
    made = make_run(tmp_path / "half", upto="summarise")
    assert whole.find(made.generation) is None and open_store(made.generation).index is None
