"""Which texts a classifier is fitted on and which test it; copies of a text stay on one side."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from featurelib.classification.probes import TEST_SHARE, Division
from featurelib.classification.target import is_there
from featurelib.schema import Refusal

TRAIN, TEST = "train", "test"
INSTEAD = ("validation", "valid", "val", "dev")
"""What test texts are called in a corpus that has none called test."""
PARTS = round(1 / TEST_SHARE)


def groups_of(texts: Sequence[str]) -> np.ndarray:
    """Return a number for each text that equal texts share, int64 [n]; blanks and capitals do not count."""
    known: dict[str, int] = {}
    codes = [known.setdefault(" ".join(text.casefold().split()), len(known)) for text in texts]
    return np.array(codes, np.int64)


def joined(groups: np.ndarray, values: Sequence[object]) -> np.ndarray:
    """Return groups in which texts that share a value are in one group too, int64 [n]; blanks share with none."""
    from scipy.sparse import coo_matrix
    from scipy.sparse.csgraph import connected_components

    known: dict[object, int] = {}
    keys = [value if is_there(value) else (place,) for place, value in enumerate(values)]
    codes = [known.setdefault(key, len(known)) for key in keys]
    n = int(groups.max(initial=-1)) + 1
    pairs = (np.ones(len(groups)), (groups, n + np.array(codes, np.int64)))
    _, parts = connected_components(coo_matrix(pairs, shape=(n + len(known), n + len(known))), directed=False)
    own: np.ndarray = parts[groups].astype(np.int64)
    return own


def stratified(codes: np.ndarray, groups: np.ndarray, seed: int = 0) -> Division:
    """Divide texts 80 to 20 so that each class has about its share on both sides, and no group is on both."""
    from sklearn.model_selection import StratifiedGroupKFold

    if len(np.unique(groups)) < PARTS:
        raise Refusal(
            f"{len(np.unique(groups))} different texts have a label; {PARTS} or more are needed to divide them."
        )
    folds = StratifiedGroupKFold(PARTS, shuffle=True, random_state=seed)
    train, test = next(folds.split(np.zeros(len(codes)), codes, groups))
    return Division(train, test)


def by_column(split: Sequence[object], groups: np.ndarray) -> tuple[Division, list[str]]:
    """Return the division that a column gives, texts called train and test, and a sentence for each thing to know.

    Where no text is called test, those of INSTEAD are taken, the first that there are.

    Training texts that are copies of a test text are left out. Refusal when one of the two sides is empty.
    """
    words = np.array([str(value) for value in split], dtype=object)
    named = next((name for name in (TEST, *INSTEAD) if (words == name).any()), TEST)
    train, test = np.flatnonzero(words == TRAIN), np.flatnonzero(words == named)
    if not len(train) or not len(test):
        known = ", ".join(sorted(set(words.tolist()))[:8])
        raise Refusal(
            f"the split holds {len(train):,} texts called '{TRAIN}' and {len(test):,} called '{TEST}' (its values: "
            f"{known}); both are expected: leave the split out, and texts are drawn."
        )
    said = [] if named == TEST else [f"No text is called '{TEST}': those called '{named}' are the test texts."]
    others = len(words) - len(train) - len(test)
    if others:
        said.append(f"{others:,} texts are neither '{TRAIN}' nor '{named}' and are left out.")
    copied = np.isin(groups[train], groups[test])
    if copied.any():
        said.append(f"{int(copied.sum()):,} training texts that are copies of test texts are left out.")
    return Division(train[~copied], test), said


def check_division(codes: np.ndarray, names: Sequence[str], groups: np.ndarray, division: Division, folds: int) -> None:
    """Refuse a division on whose training texts no classifier can be fitted, or its settings not be found."""
    train = division.train
    trained = np.unique(codes[train])
    if len(trained) < 2 or not len(division.test):
        raise Refusal(
            f"{len(trained)} classes in {len(train):,} training texts, and {len(division.test):,} test texts; "
            "two classes and a test text are needed: use another split."
        )
    different = np.array([len(np.unique(groups[train[codes[train] == code]])) for code in trained])
    if different.min() < folds:
        name = names[trained[different.argmin()]]
        raise Refusal(
            f"the class '{name[:60]}' has {different.min()} different training texts; {folds}, one for each fold, are "
            "needed: use another split, or leave it out."
        )
