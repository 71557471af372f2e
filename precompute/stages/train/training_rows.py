"""What an SAE is trained and measured on: the embeddings of texts, or in a token run the states of their tokens."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from featurelib.schema import EMBEDDINGS
from featurelib.storage.embeddings import EmbeddingParts
from featurelib.storage.parts.part_files import Part, count_rows
from precompute.build.job import Job
from precompute.build.token_parts import TokenStateParts


@dataclass(frozen=True)
class TrainingRows:
    """The rows of a run: one for each text, or one for each token."""

    parts: tuple[Part, ...]
    """The part files of the embeddings of texts."""
    tokens: TokenStateParts | None
    """The states of the tokens; None where the rows are texts."""

    @classmethod
    def of(cls, job: Job) -> TrainingRows:
        """The rows of the generation that is being built."""
        tokens = TokenStateParts(job.generation, job.config) if job.config.has_tokens else None
        return cls(tuple(job.generation.parts(EMBEDDINGS)), tokens)

    @property
    def n_texts(self) -> int:
        """The number of texts."""
        return sum(count_rows(part) for part in self.parts)

    @property
    def unit(self) -> str:
        """What a row is, in words."""
        return "texts" if self.tokens is None else "tokens"

    def of_texts(self, mask: np.ndarray) -> EmbeddingParts:
        """The rows of the texts in `mask`, bool [n_texts]."""
        if self.tokens is None:
            return EmbeddingParts(self.parts, mask)
        return self.tokens.rows(mask[self.tokens.text_ids])
