"""Making one part of the embeddings, here or on another machine."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any, cast

import numpy as np

from featurelib.embedder import Embedder, TokenEmbedder, find_embedder
from featurelib.schema import Refusal
from precompute.build.config import BuildConfig
from precompute.build.job import Job
from precompute.build.kept_shares import KeptShares, Stepped, stepped
from precompute.engines import PartMaker
from precompute.stages.embed.parts import Parts, check_precision, precision_of_base
from precompute.stages.embed.tokens import TokenPartEmbedder


@dataclass(frozen=True)
class PartEmbedder:
    """Embeds the texts of single parts."""

    parts: Parts
    """The parts of the run."""
    embedder: Embedder
    """What embeds."""
    batch_size: int | None
    """Texts embedded at a time; None: by device."""
    keeps_shares: bool = False
    """Whether what each token brings is kept until words are attributed."""

    @property
    def traits(self) -> dict[str, Any]:
        """Where the embedder computes, and how exactly."""
        return {"device": self.embedder.device, "precision": self.embedder.precision}

    def __call__(self, number: int, advance: Callable[[int], None]) -> None:
        """Write the embeddings of part `number`."""
        texts = self.parts.texts(number)
        words = texts["text"].to_pylist()
        counts = self.embedder.tokens(words)
        shares: dict[int, Stepped] = {}

        def keep(row: int, of_text: np.ndarray) -> None:
            shares[row] = stepped(of_text)

        on_shares = keep if self.keeps_shares else None
        embeddings = self.embedder.embed(words, batch_size=self.batch_size, on_batch=advance, on_shares=on_shares)
        if self.keeps_shares:
            first_text = texts["text_id"][0].as_py()
            KeptShares(self.parts.generation).write(number, first_text, [shares[row] for row in range(len(words))])
        # the embeddings come last: a part counts as made when they are there
        self.parts.write(number, texts["text_id"], embeddings, counts)


@dataclass(frozen=True)
class EmbedderOpener:
    """Opens the embedder of a run on another machine."""

    parts: Parts
    """The parts of the run."""
    config: BuildConfig
    """What the build was asked for."""
    files_sha256: str
    """The hash of the files of the embedder that the build knows."""
    precision: str | None
    """The numbers in which the texts that are appended to were embedded; None where any will do."""

    @classmethod
    def of(cls, job: Job, parts: Parts) -> EmbedderOpener:
        """The opener of what `job` asks for; an embedder in a folder is looked for under its whole path."""
        config = job.config
        files_sha256 = find_embedder(config.embedder, revision=config.revision).files_sha256
        place = Path(config.embedder).expanduser() if config.embedder else None
        if place is not None and place.exists():
            config = replace(config, embedder=str(place.resolve()))
        return cls(parts, config, files_sha256, precision_of_base(job))

    @property
    def uses_gpu(self) -> bool:
        """Whether a GPU makes a part sooner: a backend other than torch computes on the CPU."""
        return self.config.embed_backend is None

    @property
    def folder(self) -> Path:
        """The generation's folder."""
        return self.parts.generation.path

    def exists(self, number: int) -> bool:
        """Whether the part is there: its embeddings, which are written last."""
        return self.parts.file(number).exists

    def open(self, device: str) -> PartMaker:
        """See `Opener.open`; Refusal when the embedder's files are others there."""
        found = find_embedder(self.config.embedder, revision=self.config.revision)
        if found.files_sha256 != self.files_sha256:
            raise Refusal(
                f"the files of the embedder {found.name} are others than those of the machine that runs the build; "
                "give all machines the same."
            )
        config = self.config.elsewhere(device)
        embedder = config.open_embedder()
        check_precision(self.precision, embedder.precision)
        if config.has_tokens:
            return TokenPartEmbedder.of(self.parts, cast(TokenEmbedder, embedder), config)
        return PartEmbedder(self.parts, embedder, config.batch_size)
