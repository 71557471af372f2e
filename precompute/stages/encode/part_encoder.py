"""Making one part of the activations, here or on another machine."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq

from featurelib.sae.checkpoints import load_sae
from featurelib.sae.model import SAE
from featurelib.sae.pooling import DEFAULT
from featurelib.schema import SAE_SPLIT
from featurelib.storage.runs import Generation
from precompute.build.config import BuildConfig
from precompute.build.job import Job
from precompute.engines import PartMaker
from precompute.stages.encode.measuring import SPLITS, Encoder, Means, PartFiles, RunRows


def encode_parts(job: Job, sae: SAE, split: np.ndarray) -> dict[str, Any]:
    """Write the activations and measurements of each part that lacks them; split [n_texts] holds numbers of SPLITS.

    Returns the traits of whoever made them.
    """
    rows = RunRows(job)
    generation, config = job.generation, job.config
    missing = {
        number: rows.sizes[number]
        for number, part in enumerate(rows.parts)
        if not PartFiles.of(generation, config, part.name).exist
    }
    if not missing:
        return {"device": sae.device.type}
    means = Means.find(sae, (rows.read(number) for number in range(len(rows.parts))), split)
    elsewhere = EncoderOpener(generation, config, rows, means)
    here = elsewhere.with_encoder(sae, split, rows)
    with job.progress(len(split), "texts", len(split) - sum(missing.values())) as bar:
        return job.engine.make_parts(missing, here, elsewhere, bar.advance)


def read_split(generation: Generation) -> np.ndarray:
    """Return each text's split as its number in SPLITS, int8 [n_texts]."""
    names = pq.read_table(generation.file(SAE_SPLIT))["sae_split"].combine_chunks()
    numbers: np.ndarray = pa.compute.index_in(names, value_set=pa.array(SPLITS)).to_numpy().astype(np.int8)
    return numbers


@dataclass(frozen=True)
class PartEncoder:
    """Encodes single parts of a run."""

    encoder: Encoder
    """What encodes and measures."""
    rows: RunRows
    """What it reads."""
    files_of: Callable[[int], PartFiles]
    """Where what is made of a part lies."""

    @property
    def traits(self) -> dict[str, Any]:
        """Where the SAE computes."""
        return {"device": self.encoder.sae.device.type}

    def __call__(self, number: int, advance: Callable[[int], None]) -> None:
        """Write the activations and measurements of part `number`."""
        self.encoder.encode(self.rows.read(number), self.files_of(number))
        advance(self.rows.sizes[number])


@dataclass(frozen=True)
class EncoderOpener:
    """Opens the SAE of a run on another machine."""

    generation: Generation
    """The generation."""
    config: BuildConfig
    """What the build was asked for."""
    rows: RunRows
    """The rows of the run."""
    means: Means
    """The mean of each split."""

    uses_gpu = True

    @property
    def folder(self) -> Path:
        """The generation's folder."""
        return self.generation.path

    def files_of(self, number: int) -> PartFiles:
        """Where what is made of part `number` lies."""
        return PartFiles.of(self.generation, self.config, self.rows.parts[number].name)

    def exists(self, number: int) -> bool:
        """Whether activations and measurements of the part are there."""
        return self.files_of(number).exist

    def with_encoder(self, sae: SAE, split: np.ndarray, rows: RunRows) -> PartEncoder:
        """The maker of parts, with the SAE and the split that are open in this process."""
        return PartEncoder(Encoder(sae, split, self.means, self.config.pool or DEFAULT), rows, self.files_of)

    def open(self, device: str) -> PartMaker:
        """See `Opener.open`."""
        from featurelib.sae.training.trainer import find_device

        config = self.config.elsewhere(device)
        sae, split = load_sae(self.generation.sae_folder).to(find_device(device)), read_split(self.generation)
        return self.with_encoder(sae, split, self.rows.on(self.generation, config))
