"""A small token run: a tiny language model, texts of its words, the run that the command makes of both."""

from __future__ import annotations

import csv
import random
from pathlib import Path

from precompute.__main__ import main
from tests.support.language_models import WORDS, save_language_model

N_FEATURES = 32
LAYER = 2


def token_run_data(folder: Path, *more_flags: str) -> Path:
    """Build the run `tok` in the data folder that is returned."""
    model = save_language_model(folder / "lm")
    draw = random.Random(0)
    with (folder / "texts.csv").open("w", newline="") as opened:
        writer = csv.writer(opened)
        writer.writerow(["text"])
        writer.writerows([[" ".join(draw.choice(WORDS) for _ in range(draw.randint(5, 20)))] for _ in range(120)])
    flags = ["--layer", str(LAYER), "--pooling", "none", "--features", str(N_FEATURES), "--k", "4"]
    flags += ["--embedder", str(model), "--keyword-embedder", "stand-in:64"]
    command = ["build", str(folder / "texts.csv"), "--name", "tok", "--data", str(folder / "data")]
    assert main([*command, *flags, *more_flags]) == 0
    return folder / "data"
