"""The client of the worker that holds embedder and SAE, so that the server never imports torch.

One worker process per `Live`, `python -m featurelib.live.worker`, spoken to in lines of JSON. It is started when it is
first needed, started again when it has died, stopped when a question takes too long, and ends when its parent does.
"""

from __future__ import annotations

import re
import threading
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from featurelib.live.carried import Attribution, Deletions, attributions, deletions
from featurelib.live.process import Worker, WorkerDied
from featurelib.live.tried import TriedClosely, TriedText, arrays
from featurelib.live.turned import Likeness, Turned, likeness, turned
from featurelib.schema import Refusal, RunNotReady

LONGEST_TEXT = 20_000
"""Characters."""
START_SECONDS = 180.0
"""How long the worker may take to import its libraries; 3 s on a machine that is free."""
ANSWER_SECONDS = 60.0
"""How long an answer may take, loading included; 0.05 s once everything is loaded."""
MOST_LINES = 200
"""Texts that can be tried together."""
MOST_WORDS = 200
"""Words of a text that are deleted one at a time."""
LINES_AT_ONCE = 32
"""Texts of one question to the worker, so that each stays within its time and nobody waits for all of them."""
_SURROGATE = re.compile("[\ud800-\udfff]")


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
        return TriedText(**arrays(self._ask("try_text", generation, text)))

    def try_closely(self, generation: Path, text: str) -> TriedClosely:
        """Return the same with the embedding of `text` and the features that miss their gates by least."""
        return TriedClosely(**arrays(self._ask("try_closely", generation, text)))

    def try_lines(self, generation: Path, texts: Sequence[str]) -> list[TriedText]:
        """Return what each of up to 200 texts does; asked in portions, between which others are served."""
        if len(texts) > MOST_LINES:
            raise Refusal(f"there are {len(texts):,} texts; at most {MOST_LINES} can be tried at once: try fewer.")
        checked = [_checked(text) for text in texts]
        tried = []
        for start in range(0, len(checked), LINES_AT_ONCE):
            portion = self._answer("try_lines", generation, texts=checked[start : start + LINES_AT_ONCE])
            tried += [TriedText(**arrays(told)) for told in portion["lines"]]
        return tried

    def pre_activation(self, generation: Path, text: str, feature_id: int) -> Tested:
        """Return what `text` does to one feature."""
        return Tested(**self._ask("pre_activation", generation, text, feature_id=int(feature_id)))

    def embed(self, generation: Path, text: str) -> np.ndarray:
        """Return the embedding of `text`, float32 [d], made as those of the run's texts were."""
        return np.array(self._ask("embed", generation, text)["embedding"], dtype=np.float32)

    def attributions(self, generation: Path, text: str, feature_ids: Sequence[int]) -> list[Attribution]:
        """Return what each word of `text` adds to the pre-activations of some features, in the order of the ids.

        Refusal with the reason where the run's embedder is one whose embeddings are no sums over tokens.
        """
        return attributions(self._ask("attributions", generation, text, feature_ids=[int(one) for one in feature_ids]))

    def without_words(self, generation: Path, text: str, feature_id: int, *, most: int = MOST_WORDS) -> Deletions:
        """Return how much lower a feature's pre-activation is without each of the first `most` words of `text`.

        Each word is deleted with the space before it and the rest embedded again, for 30 seconds at most; any embedder.
        """
        return deletions(self._ask("without_words", generation, text, feature_id=int(feature_id), most=int(most)))

    def steer(self, generation: Path, given: str | np.ndarray, changes: Mapping[int, float]) -> Turned:
        """Return what turning features to other activations makes of a text: typed, or the stored embedding of one.

        `changes` maps feature_id to the activation wanted, a finite number from 0. The change of the decoder is added
        and the residual kept (`featurelib.steering`). Refusal for an unknown feature and for another activation.
        """
        ids, wanted = [int(one) for one in changes], [float(one) for one in changes.values()]
        return turned(self._answer("steer", generation, given=_given(given), feature_ids=ids, activations=wanted))

    def similarity(self, generation: Path, a: str | np.ndarray, b: str | np.ndarray) -> Likeness:
        """Return the cosine of two texts and its parts; each is typed, or the stored embedding of one."""
        return likeness(self._answer("similarity", generation, a=_given(a), b=_given(b)))

    def close(self) -> None:
        """Stop the worker; the next question starts another."""
        with self._asking:
            self._stop()

    def _ask(self, question: str, generation: Path, text: str, **more: Any) -> dict[str, Any]:
        return self._answer(question, generation, text=_checked(text), **more)

    def _answer(self, question: str, generation: Path, **asked: Any) -> dict[str, Any]:
        told = self._exchange({"question": question, "generation": str(generation.resolve()), **asked})
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


def _checked(text: str) -> str:
    """The text as it can be asked about; Refusal when it is empty or too long."""
    text = _SURROGATE.sub("\ufffd", text)
    if not text.strip():
        raise Refusal("the text is empty; type a sentence.")
    if len(text) > LONGEST_TEXT:
        raise Refusal(f"the text has {len(text):,} characters; at most {LONGEST_TEXT:,} can be tried: shorten it.")
    return text


def _given(given: str | np.ndarray) -> str | list[float]:
    """A typed text, or an embedding as numbers that come back to the same bits."""
    return _checked(given) if isinstance(given, str) else np.asarray(given, dtype=np.float32).tolist()
