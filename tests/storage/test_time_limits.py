"""A question that takes too long is ended, whoever asks it, and the others go on."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest

import featurelib
from featurelib.schema import Refusal
from featurelib.search import open_words, word_index
from featurelib.storage.store import Store, open_store
from featurelib.storage.time_limits import asks_for, limited
from tests.support.numpy_run import NumpyRun, make_run

ENDLESS = "select sum(a.range * b.range) from range(10000000) a, range(10000000) b"
SORTED = "select count(*) from (select a.range * b.range as n from range(3000) a, range(3000000) b order by n desc)"
"""Two questions that would take hours."""


@pytest.fixture(scope="module")
def made(tmp_path_factory: pytest.TempPathFactory) -> NumpyRun:
    return make_run(tmp_path_factory.mktemp("limits") / "small")


@pytest.fixture(scope="module")
def store(made: NumpyRun) -> Store:
    return open_store(made.generation, seconds=0.4)


@pytest.mark.parametrize("sql", [ENDLESS, SORTED])
def test_a_question_of_a_page_is_ended_with_a_sentence_and_the_store_goes_on(store: Store, sql: str) -> None:
    with pytest.raises(Refusal, match=r"longer than 0\.4 seconds, so it was ended"):
        store.ask(sql)
    with pytest.raises(Refusal, match=r"longer than 0\.4 seconds"):
        store.count(sql)
    assert store.count("select count(*) from texts") == 300


def test_slow_questions_of_several_readers_are_all_ended_and_quick_ones_are_not(store: Store) -> None:
    def ask(number: int) -> str:
        try:
            return str(store.count(ENDLESS if number % 3 == 0 else "select 7"))
        except Refusal:
            return "ended"

    with ThreadPoolExecutor(6) as pool:
        answers = list(pool.map(ask, range(12)))
    assert answers == ["ended" if number % 3 == 0 else "7" for number in range(12)]


def test_a_question_whose_reader_has_left_is_ended_and_no_other(made: NumpyRun) -> None:
    store, left, other_left = open_store(made.generation, seconds=60), threading.Event(), threading.Event()

    def ask(has_left: Callable[[], bool]) -> None:
        asks_for(has_left)
        with pytest.raises(Refusal, match="ended"):
            store.ask(ENDLESS)

    with ThreadPoolExecutor(2) as pool:
        of_reader, of_another = pool.submit(ask, left.is_set), pool.submit(ask, other_left.is_set)
        time.sleep(0.6)
        assert not of_reader.done() and not of_another.done()
        left.set()
        of_reader.result(timeout=20)
        assert not of_another.done() and store.count("select 7") == 7
        other_left.set()
        of_another.result(timeout=20)


def test_a_run_in_a_notebook_has_a_limit_where_one_is_asked_for(made: NumpyRun) -> None:
    run = featurelib.open(made.run.path)
    assert run.store.seconds is None
    with pytest.raises(Refusal, match=r"longer than 0\.3 seconds"):
        run.ask(ENDLESS, seconds=0.3)
    assert run.ask("select count(*) as n from texts")["n"].tolist() == [300]


def test_a_search_of_words_is_ended_too(made: NumpyRun, tmp_path: Path) -> None:
    index = open_words(open_store(made.generation), tmp_path).texts_file
    endless = "with recursive n(i) as (select 1 union all select i + 1 from n) select count(*) from n where i > ?"
    with pytest.raises(Refusal, match=r"longer than 0\.3 seconds"):
        word_index._ask(index, endless, (0,), 0.3)
    assert word_index._ask(index, "select count(*) from words where words match ?", ("galaxy",), 0.3)[0][0] > 0


def test_nothing_is_interrupted_after_its_block_and_many_blocks_need_one_thread() -> None:
    interrupted: list[int] = []
    for number in range(2000):
        with limited(0.05, lambda number=number: interrupted.append(number)):
            pass
    assert sum(thread.name == "time limits" for thread in threading.enumerate()) == 1
    late = threading.Event()
    with limited(60, lambda: interrupted.append(-1)), limited(0.02, late.set):  # the sooner end comes second
        assert late.wait(10)
    time.sleep(0.1)
    assert interrupted == []
