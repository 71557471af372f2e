"""A complete token run of a tiny Llama, built once by the real command."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pandas as pd
import pytest

from featurelib.storage.runs import Run
from precompute.__main__ import main
from tests.conftest import STAND_IN
from tests.support.causal_models import WORDS, make_model
from tests.support.shared import build_once

N_TEXTS = 240
FLAGS = ("--keyword-embedder", STAND_IN, "--features", "40", "--k", "4", "--layer", "1", "--pooling", "none")


def write_corpus(path: Path) -> None:
    """Texts of random words, each its own."""
    draw = np.random.default_rng(0)
    texts = [" ".join(draw.choice(WORDS, draw.integers(4, 14))) for _ in range(N_TEXTS)]
    pd.DataFrame({"text": texts}).to_csv(path, index=False)


def build(folder: Path) -> None:
    """The run `tokens` of a model that stands beside it."""
    model = make_model(folder / "models" / "tiny-llama", "llama", bos=True)
    write_corpus(folder / "corpus.csv")
    command = ["build", str(folder / "corpus.csv"), "--name", "tokens", "--data", str(folder / "data")]
    assert main([*command, "--embedder", str(model), *FLAGS]) == 0


@pytest.fixture(scope="session")
def token_folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with models/tiny-llama, corpus.csv and data/tokens; read it, never write to it."""
    return build_once(tmp_path_factory, "language model", build)


@pytest.fixture(scope="session")
def token_run(token_folder: Path) -> Run:
    """The token run."""
    return Run(token_folder / "data" / "tokens")
