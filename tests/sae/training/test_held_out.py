"""Texts that are there several times: held out together, and without FVU where there are no others."""

from __future__ import annotations

import numpy as np
import pyarrow.parquet as pq
import pytest

from featurelib.schema import TEXT_SUMMARIES, Refusal
from precompute.stages.train import train
from precompute.stages.train.held_out import draw_held_out, first_rows
from tests.precompute.test_encode import TRAINING, begin_run, build, planted_rows, work_on


def test_texts_that_are_there_several_times_are_held_out_together(tmp_path):
    generation = begin_run(tmp_path, planted_rows(200), ids=[f"id-{number % 40}" for number in range(200)])
    first = first_rows(generation)
    assert first.tolist() == [number % 40 for number in range(200)]
    held_out = draw_held_out(first, 0)
    assert held_out.sum() == 20 and not set(first[held_out]) & set(first[~held_out])
    two = begin_run(tmp_path / "two", planted_rows(50), ids=["one"] * 25 + ["two"] * 25)
    with pytest.raises(Refusal, match="the 50 texts are too few different ones for --patience"):
        train(work_on(two, **TRAINING, patience=2))
    alike = begin_run(tmp_path / "alike", planted_rows(50), ids=["one"] * 50)
    with pytest.raises(Refusal, match="the 50 texts are all the same"):
        train(work_on(alike, **TRAINING))


def test_texts_that_are_all_the_same_have_no_fvu(tmp_path):
    source = begin_run(tmp_path / "source", planted_rows())
    build(source, **TRAINING)
    generation = begin_run(tmp_path / "same", np.repeat(planted_rows(1), 33, axis=0))
    trained, encoded = build(generation, sae=str(source.path.parent))
    assert "no FVU" in trained.line and "no FVU" in encoded.line and "nan" not in trained.line + encoded.line
    assert trained.facts["measured"]["fvu"] is None and encoded.facts["fvu"] is None
    assert pq.read_table(generation.file(TEXT_SUMMARIES))["fvu"].null_count == 33
