"""What a build says of its time before the long part begins."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from featurelib.schema import TEXTS
from featurelib.storage.runs import Done, Generation
from precompute.build import estimate
from precompute.build.config import BuildConfig
from precompute.build.job import Job

N_TEXTS = 3000


@pytest.fixture
def generation(tmp_path: Path) -> Generation:
    generation = Generation(tmp_path / "run" / "g0001")
    generation.path.mkdir(parents=True)
    ids = np.arange(N_TEXTS)
    columns = [ids, ids, [str(number) for number in ids], [f"text {number}" for number in ids]]
    pq.write_table(pa.table(columns, schema=TEXTS.schema), generation.file(TEXTS))
    generation.mark_done("ingest", Done("", {"n_texts": N_TEXTS, "n_rows": N_TEXTS}, "", {}))
    return generation


def said(generation: Generation, **options: object) -> str:
    lines: list[str] = []
    config = BuildConfig(source="x", name="run", device="cpu", **options)
    estimate.say_estimate(Job(generation, config, lines.append))
    assert len(lines) == 1
    return lines[0]


def test_fewer_bits_are_named_where_they_would_help(generation: Generation, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(estimate, "_measure_rates", lambda job, n_texts: estimate._Rates(5.0, 200.0))
    monkeypatch.setattr(estimate, "multiplies_in_bfloat16", lambda: True)
    assert said(generation).endswith(" minutes, and --dtype bfloat16 embeds sooner on this CPU.")
    assert "bfloat16" not in said(generation, dtype="bfloat16")
    assert "bfloat16" not in said(generation, dtype="float32"), "it was asked for"
    monkeypatch.setattr(estimate, "multiplies_in_bfloat16", lambda: False)
    assert "bfloat16" not in said(generation)


def test_an_embedder_without_a_transformer_has_nothing_to_gain(
    generation: Generation, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(estimate, "multiplies_in_bfloat16", lambda: True)
    monkeypatch.setattr(estimate, "WORTH_SAYING", 0.0)
    sentence = said(generation, embedder="stand-in:16")
    assert "would take about" in sentence and "bfloat16" not in sentence
