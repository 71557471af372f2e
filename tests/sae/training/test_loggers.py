"""What a training logs is read back with TensorBoard's own reader; a client that is missing is named."""

from __future__ import annotations

import sys
from pathlib import Path

import pytest
from tensorboard.backend.event_processing.event_accumulator import EventAccumulator

from featurelib.sae.training.loggers import EVERY, log_reading, open_logger
from featurelib.sae.training.loop import Reading
from featurelib.schema import Refusal
from featurelib.storage.runs import Run
from precompute.__main__ import main
from tests.conftest import TINY_FLAGS
from tests.support.planted import Planted


def events(folder: Path) -> dict[str, list[tuple[int, float]]]:
    """Steps and values by name, as TensorBoard reads them."""
    read = EventAccumulator(str(folder)).Reload()
    return {name: [(event.step, event.value) for event in read.Scalars(name)] for name in read.Tags()["scalars"]}


def reading(step: int) -> Reading:
    return Reading(step=step, loss=1 / step, fvu=0.5, l0=3.25, dead=2, rate=1e-3)


def test_every_fiftieth_reading_reaches_tensorboard(tmp_path: Path) -> None:
    with open_logger("tensorboard", tmp_path, "try", {}) as logger:
        for step in range(1, 2 * EVERY + 10):
            log_reading(logger, reading(step))
    scalars = events(tmp_path)
    assert scalars.keys() == {"loss", "fvu", "l0", "dead", "rate"}
    assert scalars["loss"] == [(50, pytest.approx(1 / 50)), (100, pytest.approx(1 / 100))]
    assert scalars["l0"] == [(50, 3.25), (100, 3.25)] and scalars["dead"][0] == (50, 2)


def test_nobody_watching_leaves_nothing_behind(tmp_path: Path) -> None:
    with open_logger("none", tmp_path / "logs", "try", {}) as logger:
        log_reading(logger, reading(50))
    assert not (tmp_path / "logs").exists()


def test_a_log_that_ends_in_an_error_is_still_written(tmp_path: Path) -> None:
    with pytest.raises(KeyboardInterrupt), open_logger("tensorboard", tmp_path, "try", {}) as logger:
        log_reading(logger, reading(50))
        raise KeyboardInterrupt
    assert events(tmp_path)["fvu"] == [(50, 0.5)]


@pytest.mark.parametrize("client", ["wandb", "tensorboard"])
def test_a_client_that_is_missing_is_named_before_anything_is_built(
    client: str, planted: Planted, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setitem(sys.modules, client, None)
    with pytest.raises(Refusal, match=f"pip install {client}"), open_logger(client, tmp_path, "try", {}):
        pass
    flags = ["--name", "new", "--data", str(tmp_path), *TINY_FLAGS, "--logger", client]
    assert main(["build", str(planted.path), *flags]) == 2
    assert f"pip install {client}" in capsys.readouterr().err and not (tmp_path / "new").exists()


def test_a_build_logs_beside_its_generations_and_the_weights_do_not_depend_on_it(
    planted: Planted, tmp_path: Path
) -> None:
    flags = ["--name", "one", *TINY_FLAGS, "--to", "train", "--patience", "3", "--architecture", "gated"]
    for logger in ("tensorboard", "none"):
        assert main(["build", str(planted.path), "--data", str(tmp_path / logger), *flags, "--logger", logger]) == 0
    watched, alone = (Run(tmp_path / logger / "one").generations()[-1] for logger in ("tensorboard", "none"))
    facts = watched.done("train").facts
    assert facts == alone.done("train").facts
    assert facts["architecture"] == "gated" and facts["n_set_aside"] == 27 and facts["n_train"] == 513
    scalars = events(watched.path.parent / "logs" / watched.name)
    assert [step for step, _ in scalars["l0"]] == list(range(50, 50 * len(scalars["l0"]) + 1, 50))
    assert scalars["held_out_fvu"] == [(facts["n_samples"] // 64, pytest.approx(facts["held_out"]["fvu"]))]
    assert not (alone.path.parent / "logs").exists()
