"""The client of the worker that holds embedder and SAE, so that the server never imports torch.

One worker process per `Live`, `python -m featurelib.live`, spoken to in lines of JSON. It is started when it is first
needed, started again when it has died, stopped when a question takes too long, and ends when its parent does.
"""

from __future__ import annotations

import re
import threading
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from featurelib.live.worker import Worker, WorkerDied
from featurelib.schema import Refusal, RunNotReady

LONGEST_TEXT = 20_000
"""Characters."""
START_SECONDS = 180.0
"""How long the worker may take to import its libraries; 3 s on a machine that is free."""
ANSWER_SECONDS = 60.0
"""How long an answer may take, loading included; 0.05 s once everything is loaded."""
_SURROGATE = re.compile("[\ud800-\udfff]")


@dataclass(frozen=True)
class TriedText:
    """What a text of the user's own does in a run."""

    feature_ids: np.ndarray
    """int32 [n_active], the most strongly active first."""
    activations: np.ndarray
    """float32 [n_active]."""
    n_tokens: int
    """Tokens of the text, prompt and special tokens included."""
    truncated: bool
    """Whether the embedder does not read it to its end."""
    cut: int
    """The character at which it stops reading; -1 when it reads all."""
    fvu: float
    """‖x − x̂‖² / ‖x − x̄‖² of this one text, x̄ the mean of the run's texts."""
    cosine: float
    """cos(x, x̂)."""


@dataclass(frozen=True)
class Tested:
    """What a text does to one feature."""

    activation: float
    """The feature's value after its gate; 0 when it does not fire."""
    pre_activation: float
    """The value before its gate."""
    gate: float
    """The value that must be passed."""
    fires: bool
    """Whether the feature is active."""


class Live:
    """Answers questions about texts that are not in the corpus; many threads may ask, one at a time is served.

    Every question raises Refusal for an empty text, for one longer than 20,000 characters, when the run's embedder is
    not known or not here, when the worker cannot be started and when it takes too long.
    """

    def __init__(self, *, start_seconds: float = START_SECONDS, answer_seconds: float = ANSWER_SECONDS) -> None:
        self._start_seconds, self._answer_seconds = start_seconds, answer_seconds
        self._asking = threading.Lock()
        self._worker: Worker | None = None

    @property
    def seconds_to_start(self) -> float | None:
        """How long the running worker took to start; None when none runs."""
        return self._worker.seconds_to_start if self._worker else None

    def try_text(self, generation: Path, text: str) -> TriedText:
        """Return the features that `text` turns on in a generation of a run."""
        told = self._ask("try_text", generation, text)
        told["feature_ids"] = np.array(told["feature_ids"], dtype=np.int32)
        told["activations"] = np.array(told["activations"], dtype=np.float32)
        return TriedText(**told)

    def pre_activation(self, generation: Path, text: str, feature_id: int) -> Tested:
        """Return what `text` does to one feature."""
        return Tested(**self._ask("pre_activation", generation, text, feature_id=int(feature_id)))

    def embed(self, generation: Path, text: str) -> np.ndarray:
        """Return the embedding of `text`, float32 [d], made as those of the run's texts were."""
        return np.array(self._ask("embed", generation, text)["embedding"], dtype=np.float32)

    def close(self) -> None:
        """Stop the worker; the next question starts another."""
        with self._asking:
            self._stop()

    def _ask(self, question: str, generation: Path, text: str, **more: Any) -> dict[str, Any]:
        text = _SURROGATE.sub("\ufffd", text)
        if not text.strip():
            raise Refusal("the text is empty; type a sentence.")
        if len(text) > LONGEST_TEXT:
            raise Refusal(f"the text has {len(text):,} characters; at most {LONGEST_TEXT:,} can be tried: shorten it.")
        told = self._exchange({"question": question, "generation": str(generation.resolve()), "text": text, **more})
        if "refusal" in told:
            raise (RunNotReady if told["not_ready"] else Refusal)(told["refusal"])
        return told["answer"]

    def _exchange(self, asked: dict[str, Any]) -> dict[str, Any]:
        if not self._asking.acquire(timeout=self._start_seconds + self._answer_seconds):
            raise Refusal("too many texts are being tried at once; try again in a minute.")
        try:
            try:
                return self._running().exchange(asked, self._answer_seconds)
            except WorkerDied:
                self._stop()
                return self._running().exchange(asked, self._answer_seconds)
        except WorkerDied as error:
            self._stop()
            raise Refusal(f"the worker that embeds texts stopped twice ({error}); see the server's log.") from error
        except TimeoutError as error:
            self._stop()
            raise Refusal(
                f"no answer came within {error} seconds, so the worker that embeds texts was stopped; "
                "try again, perhaps with a shorter text."
            ) from error
        finally:
            self._asking.release()

    def _running(self) -> Worker:
        if self._worker is None or not self._worker.alive:
            self._stop()
            self._worker = Worker(self._start_seconds)
        return self._worker

    def _stop(self) -> None:
        if self._worker is not None:
            self._worker.stop()
            self._worker = None
