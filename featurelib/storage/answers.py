"""Answers that are kept: facts of a generation, and for a while the latest answers that many readers ask for alike."""

from __future__ import annotations

import functools
import threading
from collections import OrderedDict
from collections.abc import Callable
from typing import TYPE_CHECKING, Any, TypeVar, cast

if TYPE_CHECKING:
    from featurelib.storage.store import Store

Fact = TypeVar("Fact")

MOST_REMEMBERED = 200
"""Answers that a store remembers, of some ten kilobytes each; maps, of which there are few, have half a megabyte."""


class Answers:
    """What is known of one generation, for any number of threads."""

    def __init__(self) -> None:
        self._facts: dict[str, Any] = {}
        self._remembered: OrderedDict[str, Any] = OrderedDict()
        self._making: dict[str, threading.RLock] = {}
        self._forgotten = 0
        """How often `forget` was called: an answer that was under way then is not kept."""
        self._lock = threading.Lock()

    def once(self, key: str, make: Callable[[], Fact]) -> Fact:
        """Return what `make` returned the first time; for what does not change within a generation.

        While one thread makes a fact, others that ask for it wait instead of making it too.
        """
        with self._lock:
            if key in self._facts:
                known: Fact = self._facts[key]
                return known
            making = self._making.setdefault(key, threading.RLock())
        with making:
            with self._lock:
                if key in self._facts:
                    return cast("Fact", self._facts[key])
                began = self._forgotten
            fact = make()
            with self._lock:
                if began == self._forgotten:
                    self._facts[key] = fact
            return fact

    def remember(self, key: str, make: Callable[[], Fact]) -> Fact:
        """Return what `make` returned before, as long as it is among the latest `MOST_REMEMBERED` answers."""
        with self._lock:
            if key in self._remembered:
                self._remembered.move_to_end(key)
                found: Fact = self._remembered[key]
                return found
            began = self._forgotten
        made = make()
        with self._lock:
            if began != self._forgotten:
                return made
            self._remembered[key] = made
            while len(self._remembered) > MOST_REMEMBERED:
                self._remembered.popitem(last=False)
        return made

    def forget(self) -> None:
        """Forget everything, because it may have come from files that are not as they were written."""
        with self._lock:
            self._forgotten += 1
            self._facts.clear()
            self._remembered.clear()


def remembered(question: Callable[..., Fact]) -> Callable[..., Fact]:
    """Remember the latest answers to a question about a complete generation, by its further arguments.

    For what many readers ask alike, such as the first page of a table, and DuckDB answers in some 20 ms.
    """

    @functools.wraps(question)
    def ask(store: Store, *values: Any, **options: Any) -> Fact:
        if not store.generation.complete:
            return question(store, *values, **options)
        return store.remember(_key(question, values, options), lambda: question(store, *values, **options))

    return ask


def _key(question: Callable[..., Any], values: tuple[Any, ...], options: dict[str, Any]) -> str:
    return f"{question.__module__}.{question.__qualname__} {values} {sorted(options.items())}"


def once_per_generation(question: Callable[..., Fact]) -> Callable[..., Fact]:
    """Ask a question about a store once for each set of its further arguments, of which there are few."""

    @functools.wraps(question)
    def ask(store: Store, *values: Any, **options: Any) -> Fact:
        if not store.generation.complete:
            return question(store, *values, **options)
        return store.once(_key(question, values, options), lambda: question(store, *values, **options))

    return ask
