"""What went wrong in training is said in a sentence, by the build and on the page; the run is built all the same."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

from featurelib.storage.runs import Run
from precompute.__main__ import main
from precompute.stages.train.training_warnings import training_warnings
from tests.conftest import TINY_FLAGS
from tests.support.page import UseData, page_of, words
from tests.support.planted import Planted


@pytest.mark.parametrize(
    ("seen", "k", "sentences"),
    [
        ({"dead_share": 0.1, "l0": 3.2, "fvu": 0.4}, 3, []),
        ({"dead_share": 0.1, "l0": 9.0, "fvu": 0.4}, None, []),
        ({"dead_share": 0.0, "l0": 2.5, "fvu": 1.2}, 3, ["L0 is 2.5 .* and not 3", "FVU is 1.2 on the training texts"]),
        ({"dead_share": 0.1, "l0": 3.0, "fvu": None}, 3, []),
        ({"dead_share": 1.0, "l0": 0.0, "fvu": 1.1}, 3, ["no feature fires on any training text"]),
    ],
)
def test_what_looks_wrong_is_told(seen: dict, k: int | None, sentences: list[str]) -> None:
    warnings = training_warnings(seen, k)
    assert len(warnings) == len(sentences)
    assert all(re.search(sentence, warning) for warning, sentence in zip(warnings, sentences, strict=True))


def test_a_run_whose_sae_is_dead_says_so(
    planted: Planted, tmp_path: Path, use_data: UseData, capsys: pytest.CaptureFixture[str]
) -> None:
    flags = ["--name", "dead", "--data", str(tmp_path), *TINY_FLAGS, "--threshold", "1000000", "--epochs", "5"]
    assert main(["build", str(planted.path), *flags]) == 0
    printed = capsys.readouterr().out
    assert "warning: no feature fires on any training text" in printed
    assert "every one of them dead on the training texts" in printed
    assert Run(tmp_path / "dead").current().complete
    use_data(tmp_path)
    shown = words(page_of("evaluation.py", {"run": "dead"}))
    assert "No feature fires on any text of this run: this SAE is dead" in shown
