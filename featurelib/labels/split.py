"""Which texts a name is made from, which it is chosen on and which judge it: three parts that share no text."""

from __future__ import annotations

import hashlib
from collections.abc import Sequence

import numpy as np

from featurelib.schema import EVIDENCE

NAMED, CHOSEN, JUDGED = EVIDENCE
QUARTERS = (NAMED, NAMED, CHOSEN, JUDGED)


def evidence_part(text: str) -> str:
    """Return the part of a text: half of the texts are "named", a quarter "chosen", a quarter "judged".

    It follows from the text's words alone (upper case and white space do not count), so that copies that differ in
    nothing else are in one part, whatever else is in the corpus; near copies may be in two.
    """
    words = " ".join(text.casefold().split()).encode("utf-8", "surrogatepass")
    return QUARTERS[hashlib.sha256(words).digest()[0] % 4]


def evidence_parts(texts: Sequence[str]) -> np.ndarray:
    """Return the part of each text, as an array of n strings."""
    return np.array([evidence_part(text) for text in texts], dtype=object)
