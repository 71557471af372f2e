"""Words find texts whatever is typed; meaning finds what numpy finds; the index is made once and whole."""

from __future__ import annotations

import os
import re
import shutil
import sqlite3
import subprocess
import sys
import unicodedata
from collections import Counter
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from featurelib.language.characters import HAS_UNSPACED, divided
from featurelib.schema import TEXTS, Refusal, RunNotReady
from featurelib.search import MARK_END, MARK_START, WordIndex, open_words, read_query, texts_by_meaning, word_index_file
from featurelib.storage.runs import Run
from featurelib.storage.store import open_store
from tests.language.test_language import SENTENCES
from tests.support import ROOT
from tests.support.numpy_run import D_IN, HOSTILE, N_TEXTS, NumpyRun, finish, make_run


@pytest.fixture(scope="module")
def made(tmp_path_factory: pytest.TempPathFactory) -> NumpyRun:
    return make_run(tmp_path_factory.mktemp("search") / "small")


@pytest.fixture(scope="module")
def words(made: NumpyRun, tmp_path_factory: pytest.TempPathFactory) -> WordIndex:
    return open_words(open_store(made.generation), tmp_path_factory.mktemp("cache"))


def tokens(text: str) -> list[str]:
    """What unicode61 without diacritics makes of a text."""
    plain = "".join(c for c in unicodedata.normalize("NFD", text.lower()) if not unicodedata.combining(c))
    return re.findall(r"[^\W_]+", plain.replace("\ue000", "").replace("\ue001", ""))


def ids(words: WordIndex, query: str) -> set[int]:
    text_ids = words.texts(query, limit=1000)["text_id"].to_pylist()
    assert len(text_ids) == len(set(text_ids)) == words.count(query)
    return set(text_ids)


def holding(made: NumpyRun, keep) -> set[int]:
    return {i for i, text in enumerate(made.texts["text"]) if keep(tokens(text))}


def test_all_words_must_occur_in_any_case_and_without_diacritics(made: NumpyRun, words: WordIndex) -> None:
    assert ids(words, "GALAXY cafe") == holding(made, lambda t: {"galaxy", "cafe"} <= set(t))
    assert ids(words, "Straße") == holding(made, lambda t: "straße" in t)
    assert ids(words, "naive") == {5}


def test_phrases_prefixes_and_exclusions(made: NumpyRun, words: WordIndex) -> None:
    assert ids(words, '"galaxy star"') == holding(made, lambda t: "galaxy star" in " ".join(t))
    assert ids(words, "number12*") == holding(made, lambda t: any(w.startswith("number12") for w in t))
    assert ids(words, "galaxy -star -wave") == holding(made, lambda t: "galaxy" in t and not {"star", "wave"} & set(t))
    assert ids(words, 'star -"galaxy star"') == holding(
        made, lambda t: "star" in t and "galaxy star" not in " ".join(t)
    )
    assert 0 < len(ids(words, "galaxy -star -wave")) < len(ids(words, "galaxy"))


@pytest.mark.parametrize(
    "typed",
    ['"', '"""', "*", "(", "a OR", "NEAR(a b)", "text:galaxy", "a AND OR NOT b", "^galaxy", "-", "--", "- galaxy",
     "\x00", "'; drop table words; --", HOSTILE, "{a b}", "a" * 5000, "a " * 3000, "galaxy*star*",
     '-"', '"galaxy', "+galaxy", "🦉", "\ue000", "\\", "%_"],
)  # fmt: skip
def test_nothing_typed_is_a_syntax_error(words: WordIndex, typed: str) -> None:
    ids(words, typed)
    words.features(typed)
    assert words.count("galaxy") > 0


def test_a_query_without_a_word_to_look_for_finds_nothing_and_says_why(words: WordIndex) -> None:
    for typed in ("", "  ", "...", "-galaxy", '""'):
        assert words.texts(typed).num_rows == 0 and words.count(typed) == 0 and read_query(typed).note
    assert read_query("galaxy").note == "" and "first" in read_query("a " * 100).note
    assert words.texts("").schema.names == words.texts("galaxy").schema.names == ["text_id", "score", "snippet"]


@pytest.fixture(scope="module")
def many_scripts(tmp_path_factory: pytest.TempPathFactory) -> tuple[list[str], WordIndex]:
    """The index of a run whose first texts are those of tests/language."""
    folder = tmp_path_factory.mktemp("scripts")
    own = make_run(folder / "small")
    texts = [text for sentences in SENTENCES.values() for text in sentences]
    path = own.generation.file(TEXTS)
    columns = pq.read_table(path)
    written = texts + columns["text"].to_pylist()[len(texts) :]
    place = columns.schema.get_field_index("text")
    pq.write_table(columns.set_column(place, columns.schema.field(place), pa.array(written)), path)
    finish(own.generation)
    return texts, open_words(open_store(own.generation), folder / "cache")


def test_every_word_of_every_script_is_found_also_in_the_middle_of_a_chinese_clause(
    many_scripts: tuple[list[str], WordIndex],
) -> None:
    texts, words = many_scripts
    for row, text in enumerate(texts):
        for word in re.findall(r"[^\s.,。、！？।]+", text):
            if word.isascii() or not HAS_UNSPACED.search(word):
                assert row in ids(words, f'"{word}"'), word
            for start in range(len(word) - 1) if HAS_UNSPACED.search(word) else ():
                # where a vowel sign follows, the letter before it would be another one
                if not any(unicodedata.category(c) == "Mn" for c in word[start : start + 3]):
                    assert row in ids(words, word[start : start + 2]), word[start : start + 2]


def test_signs_that_only_change_how_a_character_looks_make_no_difference() -> None:
    assert divided("love❤\ufe0f you 1\ufe0f\u20e3") == "love❤ you 1" and divided("naïve") == "naïve"


def test_what_does_not_stand_in_a_text_is_not_found_and_snippets_are_the_texts_own(
    many_scripts: tuple[list[str], WordIndex],
) -> None:
    texts, words = many_scripts
    assert ids(words, "桥小") == set() == ids(words, "सर्दि")
    zh = texts.index("工程师们在河上建了一座小桥。")
    assert ids(words, "小桥 河上") == {zh} == ids(words, "小桥 -橋")
    snippet = words.texts("小桥")["snippet"][0].as_py()
    assert snippet == f"工程师们在河上建了一座{MARK_START}小桥{MARK_END}。"


def test_the_order_is_total_and_pages_fit_together(words: WordIndex) -> None:
    whole = words.texts("galaxy", limit=1000).to_pandas()
    ordered = whole.sort_values(["score", "text_id"], ascending=[False, True])
    assert whole["text_id"].tolist() == ordered["text_id"].tolist() and (whole["score"] > 0).all()
    pages = [words.texts("galaxy", limit=7, offset=offset)["text_id"].to_pylist() for offset in range(0, len(whole), 7)]
    assert sum(pages, []) == whole["text_id"].tolist()


def test_of_a_common_word_the_best_texts_are_listed_and_are_those_that_a_search_finds(
    made: NumpyRun, words: WordIndex, tmp_path: Path, monkeypatch
) -> None:
    monkeypatch.setattr(word_index_file, "COMMON", 5)
    monkeypatch.setattr(word_index_file, "BEST", 12)
    own = open_words(open_store(made.generation), tmp_path)
    with sqlite3.connect(own.texts_file) as con:
        listed = dict(con.execute("select word, n_texts from common"))
        n_best = dict(con.execute("select word, count(*) from best group by word"))
    counted = Counter(word for text in made.texts["text"] for word in set(tokens(text)) if word.isascii())
    assert listed == {word: n for word, n in counted.items() if n > 5} and listed["galaxy"] > 12
    assert n_best == {word: min(n, 12) for word, n in listed.items()}
    for query in (
        "galaxy",
        "Galaxy",
        '"galaxy"',
        "galaxy star",
        "galaxy -star",
        "gal*",
        "café",
        "cafe",
        "galaxy star*",
    ):
        assert own.count(query) == words.count(query), query
        for limit, offset in ((5, 0), (5, 5), (5, 7), (5, 10), (40, 0)):
            assert own.texts(query, limit=limit, offset=offset) == words.texts(query, limit=limit, offset=offset), query


def test_snippets_mark_what_matches_and_nothing_else(made: NumpyRun, words: WordIndex) -> None:
    for row in words.texts("quantum", limit=50).to_pylist():
        marked = re.findall(f"{MARK_START}(.*?){MARK_END}", row["snippet"])
        assert marked and {mark.lower() for mark in marked} == {"quantum"}
        assert row["snippet"].replace(MARK_START, "").replace(MARK_END, "") == made.texts["text"][row["text_id"]]
    (forged,) = words.texts("marks").to_pylist()
    assert forged["snippet"] == f"{MARK_START}marks{MARK_END} inside and a nul here"


def test_features_are_found_by_label_and_keyword(made: NumpyRun, words: WordIndex) -> None:
    features = words.features("label7")
    assert features["feature_id"].to_pylist() == [7] and features["label"].to_pylist() == [made.labels[7]]
    assert words.features("key9")["feature_id"].to_pylist() == [9]


def test_an_index_is_made_once_and_opened_after(made: NumpyRun, tmp_path: Path) -> None:
    store = open_store(made.generation)
    first = open_words(store, tmp_path)
    stamps = {path: path.stat().st_mtime_ns for path in tmp_path.iterdir()}
    assert len(stamps) == 2 and open_words(store, tmp_path) == first
    assert stamps == {path: path.stat().st_mtime_ns for path in tmp_path.iterdir()}


def test_other_texts_get_another_index(made: NumpyRun, tmp_path: Path) -> None:
    other = make_run(tmp_path / "other", seed=1)
    index = open_words(open_store(made.generation), tmp_path / "cache")
    other_index = open_words(open_store(other.generation), tmp_path / "cache")
    assert index.texts_file != other_index.texts_file and other_index.count("galaxy") == len(
        [text for text in other.texts["text"] if "galaxy" in tokens(text)]
    )


def test_two_processes_and_eight_threads_may_make_it_at_once(made: NumpyRun, tmp_path: Path) -> None:
    code = (
        "import sys; from pathlib import Path; from featurelib.storage.runs import Run\n"
        "from featurelib.storage.store import open_store\n"
        "from featurelib.search import open_words\n"
        "words = open_words(open_store(Run(Path(sys.argv[1])).current()), Path(sys.argv[2]))\n"
        "print(words.count('galaxy'))"
    )
    command = [sys.executable, "-c", code, str(made.run.path), str(tmp_path)]
    started = [subprocess.Popen(command, cwd=ROOT, stdout=subprocess.PIPE, text=True) for _ in range(3)]
    with ThreadPoolExecutor(8) as pool:
        store = open_store(made.generation)
        counted = list(pool.map(lambda _: open_words(store, tmp_path).count("galaxy"), range(8)))
    printed = {int(child.communicate(timeout=60)[0]) for child in started}
    assert printed == set(counted) and len(printed) == 1
    assert sorted(path.suffix for path in tmp_path.iterdir()) == [".sqlite", ".sqlite"]


def test_a_build_that_fails_leaves_no_index(made: NumpyRun, tmp_path: Path, monkeypatch) -> None:
    monkeypatch.setattr(word_index_file, "own_temporary_folder", lambda: tmp_path / "elsewhere")
    monkeypatch.setattr(word_index_file, "rows_of", lambda table: 1 / 0)
    with pytest.raises(ZeroDivisionError):
        open_words(open_store(made.generation), tmp_path / "cache")
    assert list((tmp_path / "cache").iterdir()) == []


def test_a_run_that_cannot_be_written_to_is_indexed_elsewhere(made: NumpyRun, tmp_path: Path, monkeypatch) -> None:
    monkeypatch.setattr(word_index_file.tempfile, "gettempdir", lambda: str(tmp_path))
    (tmp_path / "a file").write_text("")
    words = open_words(open_store(made.generation), tmp_path / "a file" / "cache")
    assert words.count("galaxy") > 0 and words.texts_file.parent.parent == tmp_path
    assert words.texts_file.parent.stat().st_mode & 0o077 == 0
    monkeypatch.setattr(word_index_file, "known_temporary_folder", lambda: None)
    monkeypatch.setattr(word_index_file, "own_temporary_folder", lambda: tmp_path / "a file" / "also")
    with pytest.raises(Refusal, match="can be written nowhere"):
        open_words(open_store(made.generation), tmp_path / "a file" / "cache")


def test_a_folder_that_others_may_write_to_is_not_trusted(tmp_path: Path, monkeypatch) -> None:
    monkeypatch.setattr(word_index_file.tempfile, "gettempdir", lambda: str(tmp_path))
    monkeypatch.setattr(word_index_file.tempfile, "tempdir", str(tmp_path))
    open_to_all = tmp_path / f"featurelib-cache-{os.getuid()}"
    open_to_all.mkdir()
    open_to_all.chmod(0o777)
    assert word_index_file.own_temporary_folder() != open_to_all


def test_an_index_of_a_generation_that_is_gone_is_removed_in_time(made: NumpyRun, tmp_path: Path) -> None:
    run = Run(shutil.copytree(made.run.path, tmp_path / "copy"))
    run.cache_folder.mkdir()
    old, young = run.cache_folder / "texts-old.sqlite", run.cache_folder / "texts-young.sqlite"
    for path in (old, young):
        sqlite3.connect(path).close()
        path.touch()
    os.utime(old, (0, 0))
    open_words(open_store(run.current()), run.cache_folder)
    assert not old.exists() and young.exists()


def test_before_the_labels_texts_are_found_and_features_are_a_sentence(tmp_path: Path) -> None:
    words = open_words(open_store(make_run(tmp_path / "unlabelled", upto="summarise").generation), tmp_path / "cache")
    assert words.count("galaxy") > 0
    with pytest.raises(RunNotReady, match="stage '(keywords|labels)'"):
        words.features("galaxy")


@pytest.mark.parametrize("half", [False, True])
def test_meaning_finds_what_numpy_finds(tmp_path: Path, half: bool) -> None:
    made = make_run(tmp_path / "small", upto="encode", half=half)
    store = open_store(made.generation)
    for vector in np.random.default_rng(3).standard_normal((5, D_IN)).astype(np.float32):
        x = made.embeddings.astype(np.float64)[:-1]
        cosines = x @ vector / np.linalg.norm(x, axis=1) / np.linalg.norm(vector)
        texts = texts_by_meaning(store, vector, limit=N_TEXTS).to_pandas()
        assert len(texts) == N_TEXTS - 1
        assert texts["cosine"].to_numpy() == pytest.approx(np.sort(cosines)[::-1], abs=2e-6)
        assert cosines[texts["text_id"]] == pytest.approx(texts["cosine"].to_numpy(), abs=2e-6)
        assert (
            texts.sort_values(["cosine", "text_id"], ascending=[False, True])["text_id"].tolist()
            == texts["text_id"].tolist()
        )


@pytest.mark.parametrize("vector", [np.zeros(D_IN), np.full(D_IN, np.nan), np.ones(D_IN + 1), np.ones(0)])
def test_a_vector_that_means_nothing_is_refused(made: NumpyRun, vector: np.ndarray) -> None:
    with pytest.raises(Refusal):
        texts_by_meaning(open_store(made.generation), vector)
