"""Where a training can be watched: TensorBoard or Weights & Biases, through their own clients."""

from __future__ import annotations

import importlib.util
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any, Protocol

from featurelib.schema import Refusal

if TYPE_CHECKING:
    from featurelib.sae.training.loop import Reading

LOGGERS = ("none", "tensorboard", "wandb")
EVERY = 50
"""Steps from one reading that is logged to the next."""


class Logger(Protocol):
    """Receives how a training goes."""

    def log(self, step: int, **values: float) -> None:
        """Note `values` at a step of the training."""

    def close(self) -> None:
        """Write what is still buffered, and end."""


class NoLogger:
    """Logs nothing."""

    def log(self, step: int, **values: float) -> None:
        """Do nothing."""

    def close(self) -> None:
        """Do nothing."""


class TensorBoard:
    """Event files that `tensorboard --logdir FOLDER` shows."""

    def __init__(self, folder: Path) -> None:
        """Write into `folder`."""
        from torch.utils.tensorboard import SummaryWriter

        self._writer = SummaryWriter(folder)

    def log(self, step: int, **values: float) -> None:
        """Note `values` at a step of the training."""
        for name, value in values.items():
            self._writer.add_scalar(name, value, step)

    def close(self) -> None:
        """Write what is still buffered, and end."""
        self._writer.close()


class WeightsAndBiases:
    """A run at Weights & Biases, or with WANDB_MODE=offline in a folder that `wandb sync` uploads later."""

    def __init__(self, folder: Path, name: str, settings: dict[str, Any]) -> None:
        """Begin a run called `name`, in the project that WANDB_PROJECT names; Refusal when there is no account."""
        import wandb

        folder.mkdir(parents=True, exist_ok=True)
        try:
            self._run = wandb.init(dir=folder, name=name, config=settings)
        except wandb.errors.Error as error:
            raise Refusal(
                f"Weights & Biases refused to begin a run ({' '.join(str(error).split())[:160]}); "
                "give `wandb login` once, or set WANDB_MODE=offline."
            ) from error

    def log(self, step: int, **values: float) -> None:
        """Note `values` at a step of the training."""
        self._run.log(values, step=step)

    def close(self) -> None:
        """Write what is still buffered, and end."""
        self._run.finish()


def check_logger(choice: str) -> None:
    """Refuse a logger whose client is not installed."""
    if choice != "none" and importlib.util.find_spec(choice) is None:
        raise Refusal(f"--logger {choice} needs its client, which is not installed: pip install {choice}.")


@contextmanager
def open_logger(choice: str, folder: Path, name: str, settings: dict[str, Any]) -> Iterator[Logger]:
    """Give the logger `choice`, one of LOGGERS, for a training of this name and settings; files go to `folder`."""
    check_logger(choice)
    logger: Logger = NoLogger()
    if choice == "tensorboard":
        logger = TensorBoard(folder)
    elif choice == "wandb":
        logger = WeightsAndBiases(folder, name, settings)
    try:
        yield logger
    finally:
        logger.close()


def log_reading(logger: Logger, reading: Reading) -> None:
    """Log loss, FVU, L0, dead features and rate, every EVERY steps."""
    if reading.step % EVERY == 0:
        logger.log(reading.step, **{name: value for name, value in reading._asdict().items() if name != "step"})
