"""What an SAE makes of one part of a run: activations, and how well each text is rebuilt."""

from __future__ import annotations

import copy
from collections.abc import Iterable
from dataclasses import dataclass, fields
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import pyarrow as pa

from featurelib.sae import evaluation
from featurelib.sae.evaluation import Moments, Quality
from featurelib.sae.model import SAE
from featurelib.sae.pooling import Fired, pool
from featurelib.sae.sparse import Sparse
from featurelib.schema import BY_TEXT, EMBEDDINGS, TOKEN_BY_TEXT
from featurelib.storage import files
from featurelib.storage.activation_rows import Rows, read_rows, write_rows
from featurelib.storage.embeddings import read_embeddings
from featurelib.storage.parts.part_files import PartFile, count_rows
from featurelib.storage.runs import Generation
from precompute.build.config import BuildConfig
from precompute.build.job import Job
from precompute.build.token_parts import TokenStateParts

MEASURED = pa.schema(
    {
        "text_id": pa.int64(),
        "n_active": pa.int32(),
        "error": pa.float64(),
        "spread": pa.float64(),
        "split_spread": pa.float64(),
        "cosine": pa.float64(),
        "norm_ratio": pa.float64(),
        "normal_error": pa.float64(),
        "normal_spread": pa.float64(),
        "normal_split_spread": pa.float64(),
        "n_rows": pa.int64(),
        "n_fired": pa.int64(),
        "usual_error": pa.float64(),
        "usual_spread": pa.float64(),
        "usual_split_spread": pa.float64(),
        "n_usual": pa.int64(),
    }
)
"""What is measured on each text, one file per part until all are encoded; three only if the SAE normalises.

Of a token run the errors and spreads are sums over a text's tokens, of which there are n_rows, the others means, and
n_fired is how many features fire on them, token by token. Else n_rows is 1 and n_fired is n_active. The usual ones are
the error, both spreads and the number of those rows that are no longer than USUAL times the median."""
USUAL = 5.0
"""A language model gives a few tokens (attention sinks) a state tens of times as long as the others'."""
ROWS = 256
"""Rows whose errors are measured at a time."""
SPLITS = ("train", "held_out", "unknown")


class PartRows(NamedTuple):
    """The rows of one part that an SAE reads: one for each text, or for each token of these texts."""

    text_ids: np.ndarray
    """The text of each row, int64 [n], ascending."""
    positions: np.ndarray | None
    """The token of each row, int32 [n]; None where the rows are texts."""
    x: np.ndarray
    """float32 [n, d_in]."""


class RunRows:
    """The rows of a run, part by part."""

    def __init__(self, job: Job) -> None:
        self.parts = job.generation.parts(EMBEDDINGS)
        """The part files of the embeddings of texts."""
        self.sizes = [count_rows(part) for part in self.parts]
        """The number of texts in each."""
        self._starts = np.cumsum([0, *self.sizes]).tolist()
        self._tokens = TokenStateParts(job.generation, job.config) if job.config.has_tokens else None

    def on(self, generation: Generation, config: BuildConfig) -> RunRows:
        """The same rows, those of tokens read as another machine is asked to."""
        there = copy.copy(self)
        there._tokens = TokenStateParts(generation, config) if config.has_tokens else None
        return there

    def read(self, number: int) -> PartRows:
        """Return the rows of one part."""
        if self._tokens is not None:
            part = self._tokens.read(number)
            return PartRows(part.text_ids, part.positions, part.states)
        x = read_embeddings(self.parts[number])
        return PartRows(np.arange(self._starts[number], self._starts[number] + len(x)), None, x)


@dataclass(frozen=True)
class Means:
    """The mean row of each split, and last that of all, float64 [len(SPLITS) + 1, d_in]."""

    raw: np.ndarray
    """Of the embeddings, or the tokens' states, as they are."""
    normalised: np.ndarray | None
    """Of these as the SAE normalises them; None where it does not."""
    longest: float
    """USUAL times the median length of a row."""

    @classmethod
    def find(cls, sae: SAE, parts: Iterable[PartRows], split: np.ndarray) -> Means:
        """Read all rows once."""
        raw, normal = ([Moments.none(sae.d_in) for _ in (*SPLITS, "all")] for _ in range(2))
        lengths = [np.empty(0)]
        for part in parts:
            lengths.append(np.linalg.norm(part.x, axis=1))
            own = split[part.text_ids]
            raw = _add(raw, part.x, own)
            normal = normal if sae.norm == "none" else _add(normal, sae.normalise(part.x).cpu().numpy(), own)
        means, normal_means = (np.stack([moments.mean for moments in sums]) for sums in (raw, normal))
        longest = USUAL * float(np.median(np.concatenate(lengths)))
        return cls(means, None if sae.norm == "none" else normal_means, longest)


def _add(sums: list[Moments], x: np.ndarray, split: np.ndarray) -> list[Moments]:
    return [*(moments.add(x[split == number]) for number, moments in enumerate(sums[:-1])), sums[-1].add(x)]


class PartFiles(NamedTuple):
    """Where what is made of one part lies."""

    activations: PartFile
    """Those of texts."""
    token_activations: PartFile | None
    """Those of tokens; None where the rows are texts."""
    measured: Path
    """What is measured on each text, until all are encoded."""

    @classmethod
    def of(cls, generation: Generation, config: BuildConfig, name: str) -> PartFiles:
        """Those of the part file `name`."""
        tokens = generation.part_folder(TOKEN_BY_TEXT).file(name) if config.has_tokens else None
        measured = generation.work("encode") / f"measured-{name}"
        return cls(generation.part_folder(BY_TEXT).file(name), tokens, measured)

    @property
    def exist(self) -> bool:
        """Whether all are there."""
        tokens = self.token_activations is None or self.token_activations.exists
        return tokens and self.activations.exists and self.measured.is_file()


class Encoded(NamedTuple):
    """What an SAE makes of one part."""

    of_texts: Rows
    """The activations of texts."""
    of_tokens: Rows | None
    """Those of tokens; None where the rows are texts."""
    measured: pa.Table
    """What is measured on each text: MEASURED."""


@dataclass(frozen=True)
class Encoder:
    """Encodes parts of a run, and measures them."""

    sae: SAE
    split: np.ndarray
    """The split of each text, as a number of SPLITS."""
    means: Means
    """The mean of each split."""
    how: str
    """How a text's activation is pooled from its tokens'."""

    def encode(self, part: PartRows, paths: PartFiles) -> None:
        """Write the measurements of one part, and its activations unless they exist: then these are measured."""
        stored = _read_stored(part, paths)
        encoded = self.measure(part, stored)
        if stored is None and encoded.of_tokens is not None and paths.token_activations is not None:
            write_rows(paths.token_activations, encoded.of_tokens)
        if stored is None or not paths.activations.exists:
            write_rows(paths.activations, encoded.of_texts)
        files.write_parquet(paths.measured, encoded.measured, MEASURED)

    def measure(self, part: PartRows, stored: Sparse | None = None) -> Encoded:
        """Return the activations and the measurements of one part; `stored` are its activations, where they exist."""
        sparse = self.sae.encode_sparse(part.x) if stored is None else stored
        rows = sparse.rows.numpy()
        feature_ids, activations = sparse.feature_ids.numpy().astype(np.int32), sparse.activations.numpy()
        of_rows = np.bincount(rows, minlength=len(part.x))
        measured = self._measure(part, sparse, of_rows)
        if part.positions is None:
            of_texts, of_tokens = Rows(part.text_ids[rows], feature_ids, activations), None
            columns = [part.text_ids, *measured, np.ones(len(part.x), np.int64), of_rows]
            columns += self._usual(part, measured, np.arange(len(part.x)))
        else:
            of_tokens = Rows(part.text_ids[rows], feature_ids, activations, part.positions[rows])
            texts, text_of_row = np.unique(part.text_ids, return_inverse=True)
            fired = Fired(rows, feature_ids, activations)
            pooled = pool(fired, text_of_row, len(texts), self.sae.n_features, self.how)
            of_texts = Rows(texts[pooled.rows], pooled.feature_ids, pooled.activations)
            n_active = np.bincount(pooled.rows, minlength=len(texts))
            columns = [texts, *_of_texts(measured, n_active, text_of_row)]
            columns += [np.bincount(text_of_row), np.bincount(text_of_row, of_rows).astype(np.int64)]
            columns += self._usual(part, measured, text_of_row)
        arrays = [pa.array(column, field.type) for column, field in zip(columns, MEASURED, strict=True)]
        return Encoded(of_texts, of_tokens, pa.table(arrays, schema=MEASURED))

    def _usual(self, part: PartRows, measured: list[Any], text_of_row: np.ndarray) -> list[np.ndarray]:
        """Return each text's error, both spreads and number of rows, of its rows of usual length."""
        usual = np.linalg.norm(part.x, axis=1) <= self.means.longest
        n_texts = int(text_of_row[-1]) + 1 if len(text_of_row) else 0
        sums = [np.bincount(text_of_row, column * usual, n_texts) for column in measured[1:4]]
        return [*sums, np.bincount(text_of_row, usual, n_texts).astype(np.int64)]

    def _measure(self, part: PartRows, sparse: Sparse, n_active: np.ndarray) -> list[Any]:
        """Return the columns of MEASURED from n_active to normal_split_spread, of each row."""
        own, means = self.split[part.text_ids], self.means.raw
        rebuilt = self.sae.rebuild(part.x, sparse).cpu().numpy()
        raw = _measure_blocks(part.x, rebuilt, n_active, means, own)
        columns = [raw.n_active, raw.error, raw.spread, raw.split_spread, raw.cosine, raw.norm_ratio]
        return columns + _measure_normalised(self.sae, part.x, sparse, own, self.means.normalised)


def _read_stored(part: PartRows, paths: PartFiles) -> Sparse | None:
    """Return the activations of a part's rows as they were written, or None where they were not."""
    file = paths.activations if paths.token_activations is None else paths.token_activations
    if not file.exists:
        return None
    stored = read_rows(file.part)
    rows = np.searchsorted(part.text_ids, stored.text_ids)
    if stored.positions is not None:
        rows = rows + stored.positions
    return Sparse.from_numpy(rows, stored.feature_ids, stored.activations)


def _of_texts(measured: list[Any], n_active: np.ndarray, text_of_row: np.ndarray) -> list[Any]:
    """Return the columns of texts from those of their tokens: sums of errors and spreads, means of the two cosines."""
    n_rows = np.bincount(text_of_row)
    _, error, spread, split_spread, cosine, norm_ratio, *normal = measured
    sums = [np.bincount(text_of_row, column) for column in (error, spread, split_spread)]
    means = [np.bincount(text_of_row, column) / n_rows for column in (cosine, norm_ratio)]
    of_normal = [
        [None] * len(n_rows) if isinstance(column, list) else np.bincount(text_of_row, column) for column in normal
    ]
    return [n_active, *sums, *means, *of_normal]


def _measure_blocks(
    x: np.ndarray, rebuilt: np.ndarray, n_active: np.ndarray, means: np.ndarray, own: np.ndarray
) -> Quality:
    """Return what `measure_texts` says of all rows, a few at a time, so that they stay in the processor's cache."""
    blocks = [
        evaluation.measure_texts(x[rows], rebuilt[rows], n_active[rows], means[-1], means[own[rows]])
        for rows in (slice(first, first + ROWS) for first in range(0, max(1, len(x)), ROWS))
    ]
    names = [field.name for field in fields(Quality)]
    return Quality(**{name: np.concatenate([getattr(block, name) for block in blocks]) for name in names})


def _measure_normalised(
    sae: SAE, x: np.ndarray, sparse: Sparse, own: np.ndarray, means: np.ndarray | None
) -> list[Any]:
    """Return each text's error, spread and spread in its split in normalised space; nulls if the SAE has none."""
    if means is None:
        return [[None] * len(x)] * 3
    decoded = sae.decode(sparse, n=len(x)).cpu().numpy()
    quality = _measure_blocks(sae.normalise(x).cpu().numpy(), decoded, np.zeros(len(x)), means, own)
    return [quality.error, quality.spread, quality.split_spread]
