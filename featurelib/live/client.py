"""The client of the worker process that holds embedder and SAE, so that the server never imports torch.

Each `Live` has one worker, `python -m featurelib.live.worker`; questions and answers are lines of JSON. It is started
with the first question, started again when it has died, stopped when a question takes too long, and ends with its
parent.
"""

from __future__ import annotations

import re
import threading
import time
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np

from featurelib.live.results import (
    Attribution,
    Deletions,
    FeatureChange,
    FeatureOnText,
    Intervened,
    PromptFeatures,
    Similarity,
    Steered,
    TriedClosely,
    TriedText,
    from_json,
)
from featurelib.live.worker_process import LOOK_SECONDS, Worker, WorkerDied
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
"""Texts of one question to the worker: each question stays within its time, and other users need not wait for all."""
LONGEST_PROMPT = 4_000
"""Characters of a prompt that a language model continues."""
MOST_NEW = 60
"""Tokens that it writes after it."""
JOB_SECONDS = 20.0
"""How long it may write, both continuations together, once it is loaded."""
_SURROGATE = re.compile("[\ud800-\udfff]")


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
        """Return the features that fire on `text` in a generation of a run."""
        return from_json(TriedText, self._ask("try_text", generation, text))

    def try_closely(self, generation: Path, text: str) -> TriedClosely:
        """Return the same with the embedding of `text` and the features that nearly fire on it."""
        return from_json(TriedClosely, self._ask("try_closely", generation, text))

    def try_lines(self, generation: Path, texts: Sequence[str]) -> list[TriedText]:
        """Return the same for each of up to 200 texts; asked in portions, between which other questions are served."""
        if len(texts) > MOST_LINES:
            raise Refusal(f"there are {len(texts):,} texts; at most {MOST_LINES} can be tried at once: try fewer.")
        checked = [_checked(text) for text in texts]
        tried: list[TriedText] = []
        for start in range(0, len(checked), LINES_AT_ONCE):
            answers = self._answer("try_lines", generation, texts=checked[start : start + LINES_AT_ONCE])
            tried += [from_json(TriedText, answer) for answer in answers]
        return tried

    def pre_activation(self, generation: Path, text: str, feature_id: int) -> FeatureOnText:
        """Return what `text` does to one feature."""
        return from_json(FeatureOnText, self._ask("pre_activation", generation, text, feature_id=int(feature_id)))

    def embed(self, generation: Path, text: str) -> np.ndarray:
        """Return the embedding of `text`, float32 [d], made as those of the run's texts were."""
        return np.array(self._ask("embed", generation, text), dtype=np.float32)

    def attributions(self, generation: Path, text: str, feature_ids: Sequence[int]) -> list[Attribution]:
        """Return what each word of `text` adds to the pre-activations of some features, in the order of the ids.

        Refusal with the reason where the embeddings of the run's embedder are no sums over tokens.
        """
        ids = [int(feature_id) for feature_id in feature_ids]
        answers = self._ask("attributions", generation, text, feature_ids=ids)
        return [from_json(Attribution, answer) for answer in answers]

    def attributions_of(self, generation: Path, texts: Sequence[str], feature_id: int) -> list[Attribution]:
        """Return the same for one feature and several texts, in their order; Refusal as for one."""
        checked = [_checked(text[:LONGEST_TEXT]) for text in texts]
        answers = self._answer("attributions_of", generation, texts=checked, feature_id=int(feature_id))
        return [from_json(Attribution, answer) for answer in answers]

    def without_words(self, generation: Path, text: str, feature_id: int, *, most: int = MOST_WORDS) -> Deletions:
        """Return how much lower a feature's pre-activation is without each of the first `most` words of `text`.

        Each word is deleted with the space before it and the rest embedded again, for 30 seconds at most. This works
        with any embedder.
        """
        answer = self._ask("without_words", generation, text, feature_id=int(feature_id), most=int(most))
        return from_json(Deletions, answer)

    def steer(self, generation: Path, text: str | np.ndarray, changes: Mapping[int, float]) -> Steered:
        """Return the embedding of a text before and after some of its features are set to other activations.

        `text` is typed, or the stored embedding of one; `changes` maps feature_id to the activation wanted, a finite
        number from 0. The change of the decoder's output is added and the residual kept (`featurelib.steering`).
        Refusal for an unknown feature and for another activation.
        """
        ids, activations = [int(feature_id) for feature_id in changes], [float(value) for value in changes.values()]
        answer = self._answer("steer", generation, text=_sent(text), feature_ids=ids, activations=activations)
        return from_json(Steered, answer)

    def similarity(self, generation: Path, a: str | np.ndarray, b: str | np.ndarray) -> Similarity:
        """Return the cosine of two texts as a sum; each is typed, or the stored embedding of one."""
        return from_json(Similarity, self._answer("similarity", generation, a=_sent(a), b=_sent(b)))

    def prompt_features(self, generation: Path, prompt: str) -> PromptFeatures:
        """Return the features that fire on the tokens of a prompt; Refusal where the run is none of tokens."""
        return from_json(PromptFeatures, self._answer("prompt_features", generation, prompt=_checked_prompt(prompt)))

    def intervene(
        self,
        generation: Path,
        prompt: str,
        changes: Sequence[FeatureChange],
        *,
        where: str = "all",
        n_tokens: int = 40,
        temperature: float = 0.0,
        seed: int = 0,
        cancelled: Callable[[], bool] | None = None,
    ) -> Intervened:
        """Return what the run's language model makes of a prompt, as it is and with features changed.

        `where` is all, prompt or generated; up to 60 new tokens within 20 seconds. `cancelled` is asked while the
        worker computes, and where it says yes this ends with a Refusal, as it does for an unknown feature, a prompt of
        more than 4,000 characters, and a run that is none of tokens.
        """
        if not 0 <= n_tokens <= MOST_NEW:
            raise Refusal(f"{n_tokens} new tokens are asked for; at most {MOST_NEW} can be written.")
        answer = self._answer(
            "intervene",
            generation,
            cancelled,
            prompt=_checked_prompt(prompt),
            changes=[[int(change.feature_id), change.kind, float(change.value)] for change in changes],
            where=where,
            n_tokens=int(n_tokens),
            temperature=float(temperature),
            seed=int(seed),
            seconds=JOB_SECONDS,
        )
        return from_json(Intervened, answer)

    def close(self) -> None:
        """Stop the worker; the next question starts another."""
        with self._asking:
            self._stop()

    def _ask(self, question: str, generation: Path, text: str, **values: Any) -> Any:
        return self._answer(question, generation, text=_checked(text), **values)

    def _answer(
        self, question: str, generation: Path, cancelled: Callable[[], bool] | None = None, /, **values: Any
    ) -> Any:
        asked = {"question": question, "generation": str(generation.resolve()), **values}
        reply = self._exchange(asked, cancelled)
        if "refusal" in reply:
            raise (RunNotReady if reply["not_ready"] else Refusal)(reply["refusal"])
        return reply["answer"]

    def _exchange(self, question: dict[str, Any], cancelled: Callable[[], bool] | None) -> dict[str, Any]:
        self._wait_for_turn(cancelled)
        try:
            try:
                return self._running().exchange(question, self._answer_seconds, cancelled)
            except WorkerDied:
                self._stop()
                return self._running().exchange(question, self._answer_seconds, cancelled)
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

    def _wait_for_turn(self, cancelled: Callable[[], bool] | None) -> None:
        until = time.monotonic() + self._start_seconds + self._answer_seconds
        while not self._asking.acquire(timeout=LOOK_SECONDS if cancelled else self._start_seconds):
            if cancelled and cancelled():
                raise Refusal("cancelled before it began.")
            if time.monotonic() > until:
                raise Refusal("too many texts are being tried at once; try again in a minute.")

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
    """The text without lone surrogates, which JSON cannot carry; Refusal when it is empty or too long."""
    text = _SURROGATE.sub("\ufffd", text)
    if not text.strip():
        raise Refusal("the text is empty; type a sentence.")
    if len(text) > LONGEST_TEXT:
        raise Refusal(f"the text has {len(text):,} characters; at most {LONGEST_TEXT:,} can be tried: shorten it.")
    return text


def _checked_prompt(prompt: str) -> str:
    """The prompt as `_checked` leaves a text; Refusal when it is empty or too long to be continued."""
    if len(prompt) > LONGEST_PROMPT:
        raise Refusal(
            f"the prompt has {len(prompt):,} characters; at most {LONGEST_PROMPT:,} can be continued: shorten it."
        )
    return _checked(prompt)


def _sent(text: str | np.ndarray) -> str | list[float]:
    """A typed text, or an embedding as numbers that come back to the same bits."""
    if isinstance(text, str):
        return _checked(text)
    numbers: list[float] = np.asarray(text, dtype=np.float32).tolist()
    return numbers
