"""Readers take turns: few draw at once, in their order, and one that waits for something is in nobody's way."""

from __future__ import annotations

import threading
import time
from concurrent.futures import ThreadPoolExecutor

import pytest

from featurelib.ui.kit.turns import Turns


def test_no_more_than_a_few_draw_at_once_and_all_do() -> None:
    turns, lock, drawing, most, drawn = Turns(at_once=2, longest=60), threading.Lock(), [], [], []

    def draw(number: int) -> None:
        with turns.turn():
            with lock:
                drawing.append(number)
                most.append(len(drawing))
            time.sleep(0.005)
            with lock:
                drawing.remove(number)
                drawn.append(number)

    with ThreadPoolExecutor(40) as pool:
        list(pool.map(draw, range(200)))
    assert sorted(drawn) == list(range(200)) and max(most) == 2


def test_turns_are_taken_in_the_order_of_coming() -> None:
    turns, begun, threads = Turns(at_once=1, longest=60), [], []

    def draw(number: int) -> None:
        with turns.turn():
            begun.append(number)

    with turns.turn():
        for number in range(20):
            threads.append(threading.Thread(target=draw, args=(number,)))
            threads[-1].start()
            while len(turns._waiting) <= number:
                time.sleep(0.001)
        assert begun == []
    for thread in threads:
        thread.join(10)
    assert begun == list(range(20))


def test_who_takes_long_no_longer_counts_and_an_error_ends_a_turn() -> None:
    turns, ended = Turns(at_once=2, longest=0.1), threading.Event()

    def wait() -> None:
        with turns.turn():
            ended.wait(30)

    slow = [threading.Thread(target=wait) for _ in range(6)]
    for thread in slow:
        thread.start()
    with pytest.raises(ZeroDivisionError), turns.turn():
        raise ZeroDivisionError
    assert all(thread.is_alive() for thread in slow)
    ended.set()
    for thread in slow:
        thread.join(10)
    assert turns._ends == {} and not turns._waiting
