"""A column of labels that is to be predicted: which texts have one, and what is wrong with it."""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from featurelib.schema import Refusal

LEAST_TEXTS = 5
"""Texts that a class needs: one for each fold."""
MOST_CLASSES = 1_000
MOST_NUMBERS = 50
"""Different numbers that a column may have and still be taken as classes."""
LEAK = 0.3
"""The share of texts in which a class' own words stand, from which on it is warned of."""
WORD = re.compile(r"[^\W\d_]{3,}")


@dataclass(frozen=True)
class Target:
    """The texts that have a label, and their labels."""

    column: str
    rows: np.ndarray
    """The texts, ascending, int64 [n]."""
    codes: np.ndarray
    """The place of each one's label in `names`, int64 [n]."""
    names: list[str]
    """The different labels, ascending."""
    warnings: list[str]
    """A sentence for each thing that a reader of the scores must know."""

    @property
    def n_classes(self) -> int:
        """How many labels there are."""
        return len(self.names)


def read_target(column: str, values: Sequence[object], texts: Sequence[str]) -> Target:
    """Take a column as classes; Refusal when nothing can be learned from it.

    Texts without a value are left out, and so are classes of fewer than LEAST_TEXTS texts; both are said.
    """
    known = np.array([place for place, value in enumerate(values) if is_there(value)], np.int64)
    words = np.array([str(values[place]) for place in known], dtype=object)
    _refuse_numbers(column, [values[place] for place in known])
    warnings = []
    if len(known) < len(values):
        missing = len(values) - len(known)
        warnings.append(f"{missing:,} of {len(values):,} texts have no '{column}' and are left out.")
    names, codes = np.unique(words, return_inverse=True)
    counts = different_texts(codes, [texts[place] for place in known.tolist()], len(names))
    rare = counts < LEAST_TEXTS
    if rare.any() and not rare.all():
        n_left_out = int(rare[codes].sum())
        warnings.append(
            f"{int(rare.sum())} classes of fewer than {LEAST_TEXTS} different texts are left out: {n_left_out:,} texts."
        )
        kept = ~rare[codes]
        known, words = known[kept], words[kept]
        names, codes = np.unique(words, return_inverse=True)
    _refuse(column, names, counts)
    target = Target(column, known, codes, [str(name) for name in names], warnings)
    share = leaked_share(target, texts)
    if share >= LEAK:
        warnings.append(
            f"In {share:.0%} of the texts a word of their own label stands: it may be read there instead of learned."
        )
    return target


def is_there(value: object) -> bool:
    """Whether a text has a value: neither None, nor NaN, nor blank."""
    return value is not None and value == value and bool(str(value).strip())


def different_texts(codes: np.ndarray, texts: Sequence[str], n_classes: int) -> np.ndarray:
    """Return how many different texts each class has, int64 [n_classes]."""
    pairs = {(code, text) for code, text in zip(codes.tolist(), texts, strict=True)}
    return np.bincount([code for code, _ in pairs], minlength=n_classes)


def _refuse_numbers(column: str, values: Sequence[object]) -> None:
    numbers = {value for value in values if isinstance(value, int | float) and not isinstance(value, bool)}
    if len(numbers) > MOST_NUMBERS:
        raise Refusal(
            f"'{column}' holds {len(numbers):,} different numbers; classes are expected: choose another column, or see "
            "which features follow it on the page Columns."
        )


def _refuse(column: str, names: np.ndarray, counts: np.ndarray) -> None:
    if len(names) < 2 or counts.max(initial=0) < LEAST_TEXTS:
        found = f"{len(counts):,} values, the commonest in {counts.max(initial=0):,} different texts"
        raise Refusal(f"'{column}' has {found}; at least two classes of {LEAST_TEXTS} texts each are expected.")
    if len(names) > MOST_CLASSES:
        raise Refusal(
            f"'{column}' has {len(names):,} classes; {MOST_CLASSES:,} are possible at most: choose a coarser column."
        )


def leaked_share(target: Target, texts: Sequence[str]) -> float:
    """Return the share of the texts in which a word of their own label stands that no other label has."""
    own = [set(map(str.lower, WORD.findall(name.replace("_", " ")))) for name in target.names]
    common = {word for place, words in enumerate(own) for other in own[place + 1 :] for word in words & other}
    own = [words - common for words in own]
    hits = 0
    for row, code in zip(target.rows.tolist(), target.codes.tolist(), strict=True):
        if own[code]:
            hits += bool(own[code] & set(map(str.lower, WORD.findall(texts[row]))))
    return hits / max(len(target.rows), 1)
