"""Three sets of texts that share no text: labels are made from the first, chosen on the second, tested on the third."""

from __future__ import annotations

import hashlib
from collections.abc import Sequence

import numpy as np

SPLITS = NAMING, CHOOSING, TESTING = ("named", "chosen", "judged")
"""The naming texts, the choosing texts and the label test texts, as the table evidence_parts has them."""
QUARTERS = (NAMING, NAMING, CHOOSING, TESTING)


def label_split(text: str) -> str:
    """Return which of SPLITS a text belongs to: NAMING for half of the texts, CHOOSING and TESTING for a quarter each.

    It depends on the text's words alone (upper case and white space do not count): texts that are equal but for these
    are in the same set, whatever else is in the corpus. Near copies may be in two sets.
    """
    words = " ".join(text.casefold().split()).encode("utf-8", "surrogatepass")
    return QUARTERS[hashlib.sha256(words).digest()[0] % 4]


def label_splits(texts: Sequence[str]) -> np.ndarray:
    """Return which of SPLITS each text belongs to, as an object array of n strings."""
    return np.array([label_split(text) for text in texts], dtype=object)
