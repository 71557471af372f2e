"""The tutorial runs as it is printed, and says what the Parquet files say."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import duckdb
import pytest

from tests.support import ROOT

DEMO = ROOT / "data" / "demo"


@pytest.mark.real_model
def test_the_tutorial_prints_what_the_tables_hold(tmp_path: Path) -> None:
    (tmp_path / "data").symlink_to(ROOT / "data")
    environment = {**os.environ, "PYTHONPATH": str(ROOT), "HF_HUB_OFFLINE": "1"}
    tutorial = subprocess.run(
        [sys.executable, ROOT / "docs" / "tutorial.py"], cwd=tmp_path, env=environment, capture_output=True, text=True
    )
    assert tutorial.returncode == 0, tutorial.stderr
    generation = DEMO / (DEMO / "current").read_text().strip()
    features = f"'{generation}/summaries/features.parquet'"
    n_features, n_dead, median = duckdb.sql(
        f"select count(*), count(*) filter (dead), median(density) filter (not dead) from {features}"
    ).fetchall()[0]
    assert f"{n_dead} of {n_features:,} features are dead; median density {median:.2%}" in tutorial.stdout
    feature_id = int(tutorial.stdout.split("the strongest are [")[1].split(",")[0])
    top = duckdb.sql(
        f"select activation, text from '{generation}/summaries/top_texts.parquet' "
        f"join '{generation}/texts.parquet' using (text_id) where feature_id = {feature_id} and rank = 1"
    ).fetchall()[0]
    assert f"{top[0]:.3f}  {top[1][:90]}" in tutorial.stdout
    label = duckdb.sql(
        f"select label from '{generation}/summaries/labels.parquet' where feature_id = {feature_id}"
    ).fetchall()[0][0]
    assert f"label: {label} (AUROC" in tutorial.stdout
    assert (tmp_path / "density.html").stat().st_size > 10_000
