"""What a classifier sees of a text: features in several forms, embeddings, reconstructions, words.

A representation is written as its kind and what is done to it, in this order and joined by "+":

    features                       the activations of the SAE
    random                         those of a control: as many random directions, as many active for each text
    embedding, reconstruction      [n, d_in], dense
    words, tfidf                   counts of words (CountVectorizer), and TF-IDF (TfidfVectorizer) of the training texts
    +largest-20                    only the 20 largest of each text (MOSAIC's top_n)
    +binary                        1 where it is above 0
    +anova-50, +difference-50, +l1-50
                                   only 50 columns, chosen on the training texts of each fold: by ANOVA F, by the mean
                                   absolute difference of a class' mean to that of the others, or by L1 logistic
                                   regression
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import TYPE_CHECKING, Any

import numpy as np

from featurelib.classification.selection import keep_largest
from featurelib.schema import Refusal

if TYPE_CHECKING:
    from scipy.sparse import csr_matrix

KINDS = ("features", "random", "embedding", "reconstruction", "words", "tfidf")
SPARSE = ("features", "random")
"""Kinds that `largest` and `binary` may follow."""
CHOSEN_BY = ("anova", "difference", "l1")
PART = re.compile(r"(largest|anova|difference|l1)-([1-9][0-9]{0,5})", re.ASCII)
DRAWN_AT_ONCE = 2_000
"""Texts whose random activations are held at a time."""


@dataclass(frozen=True)
class Representation:
    """One way to show texts to a classifier."""

    kind: str
    """One of KINDS."""
    largest: int = 0
    """Values of each text that are kept, 0 for all."""
    binary: bool = False
    """Whether only 0 and 1 are left."""
    chosen_by: str = ""
    """How columns are chosen, one of CHOSEN_BY; empty for all columns."""
    n_chosen: int = 0
    """How many are chosen."""

    @classmethod
    def parse(cls, written: str) -> Representation:
        """Read a representation as it is written above; Refusal for anything else."""
        kind, *parts = written.strip().split("+")
        if kind not in KINDS:
            raise Refusal(f"'{kind[:40]}' is no representation; expected is one of {', '.join(KINDS)}.")
        largest, binary, chosen_by, n_chosen = 0, False, "", 0
        for part in parts:
            read = PART.fullmatch(part)
            if part == "binary" and kind in SPARSE:
                binary = True
            elif read and read[1] == "largest" and kind in SPARSE:
                largest = int(read[2])
            elif read and read[1] in CHOSEN_BY:
                chosen_by, n_chosen = read[1], int(read[2])
            else:
                raise Refusal(
                    f"'{part[:40]}' cannot follow '{kind}'; {' and '.join(SPARSE)} may have largest-N and binary, "
                    f"all may have {', '.join(f'{name}-N' for name in CHOSEN_BY)}."
                )
        return cls(kind, largest, binary, chosen_by, n_chosen)

    def __str__(self) -> str:
        """As it is written."""
        parts = [self.kind]
        parts += [f"largest-{self.largest}"] if self.largest else []
        parts += ["binary"] if self.binary else []
        parts += [f"{self.chosen_by}-{self.n_chosen}"] if self.chosen_by else []
        return "+".join(parts)

    @property
    def has_features(self) -> bool:
        """Whether its columns are features of the SAE, which have pages."""
        return self.kind == "features"


@dataclass(frozen=True)
class Control:
    """An SAE that has learned nothing: the control of every result."""

    per_text: int
    """Features that are active on a text at most."""
    centre: np.ndarray
    """What embeddings are centred by, float32 [d_in]."""
    seed: int
    """Seed of its directions."""


@dataclass(frozen=True)
class Shown:
    """Texts, and all that a representation may be made of."""

    activations: csr_matrix
    """[n, n_features]."""
    embeddings: np.ndarray
    """float32 [n, d_in]."""
    reconstructions: np.ndarray
    """float32 [n, d_in]."""
    texts: Sequence[str]
    """n of them."""
    seed: int = 0
    drawn: Control | None = None
    """The control, of texts that a model is only tested on; None: of these texts."""

    def matrix(self, representation: Representation) -> Any:
        """Return what a classifier's pipeline is given: [n, columns], dense or CSR; of words, the texts themselves."""
        if representation.kind in ("words", "tfidf"):
            return np.asarray(self.texts, dtype=object)
        if representation.kind == "embedding":
            return self.embeddings
        if representation.kind == "reconstruction":
            return self.reconstructions
        x = self.activations if representation.kind == "features" else self._random
        if representation.largest:
            x = keep_largest(x, representation.largest)
        if representation.binary:
            x = x.copy()
            x.data = np.ones_like(x.data)
        return x

    @cached_property
    def control(self) -> Control:
        """The control whose features are as many, and as many on a text, as those of the SAE on these texts."""
        per_text = max(1, round(self.activations.nnz / max(self.activations.shape[0], 1)))
        return self.drawn or Control(per_text, self.embeddings.mean(axis=0), self.seed)

    @cached_property
    def _random(self) -> csr_matrix:
        return random_activations(self.embeddings, self.activations.shape[1], self.control)


def random_activations(embeddings: np.ndarray, n_features: int, control: Control) -> csr_matrix:
    """Return the activations of a control, CSR [n, n_features].

    Its directions are drawn at random, of length 1; of each text, whose embedding is centred by the mean of all (test
    texts too, as the SAE's training has it), the `per_text` largest projections stay, as far as they are positive.
    """
    from scipy.sparse import csr_matrix, vstack

    draw = np.random.default_rng(control.seed)
    directions = draw.standard_normal((n_features, embeddings.shape[1])).astype(np.float32)
    directions /= np.linalg.norm(directions, axis=1, keepdims=True)
    per_text, pieces = control.per_text, []
    for first in range(0, len(embeddings), DRAWN_AT_ONCE):
        z = (embeddings[first : first + DRAWN_AT_ONCE] - control.centre) @ directions.T
        kept = np.argpartition(-z, min(per_text, n_features) - 1, axis=1)[:, :per_text]
        values = np.maximum(np.take_along_axis(z, kept, axis=1), 0)
        rows = np.repeat(np.arange(len(z)), kept.shape[1])
        piece = csr_matrix((values.ravel(), (rows, kept.ravel())), shape=z.shape)
        piece.eliminate_zeros()
        pieces.append(piece)
    return vstack(pieces, format="csr") if pieces else csr_matrix((0, n_features), dtype=np.float32)
