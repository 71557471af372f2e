"""The worker: questions in, answers out, a line of JSON each; started as `python -m featurelib.live.worker`."""

from __future__ import annotations

import json
import os
import queue
import signal
import sys
import threading
from collections.abc import Callable
from pathlib import Path
from typing import IO, Any

from featurelib.live.results import to_json
from featurelib.live.worker import cancelling
from featurelib.live.worker_process import THREADS
from featurelib.schema import Refusal, RunNotReady


def main() -> None:
    """Answer questions until standard input ends, which it does when the parent process ends."""
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    answers = _own_stdout()
    # read from the first moment on: the worker must end with its parent even while it imports or computes
    lines: queue.SimpleQueue[str] = queue.SimpleQueue()
    threading.Thread(target=_read, args=(lines,), daemon=True).start()
    questions = _questions()
    _write(answers, {"number": "ready"})
    while True:
        question = json.loads(lines.get())
        number, answer = question.pop("number"), questions[question.pop("question")]
        cancelling.begin(number)
        _write(
            answers, {"number": number, **_answer(answer, **question | {"generation": Path(question["generation"])})}
        )


def _questions() -> dict[str, Callable[..., Any]]:
    """Import the models' libraries, which takes seconds, and return what can be asked."""
    import torch

    from featurelib.live.worker import attribution, intervention, steering, try_text

    torch.set_num_threads(THREADS)
    return {
        "try_text": try_text.try_text,
        "try_lines": try_text.try_lines,
        "try_closely": try_text.try_closely,
        "pre_activation": try_text.pre_activation,
        "embed": try_text.embed,
        "steer": steering.steer,
        "similarity": steering.similarity,
        "attributions": attribution.attributions,
        "attributions_of": attribution.attributions_of,
        "without_words": attribution.without_words,
        "prompt_features": intervention.prompt_features,
        "intervene": intervention.intervene,
    }


def _own_stdout() -> IO[str]:
    """Return standard output for answers alone: whatever else is printed goes to standard error."""
    sys.stdout.flush()
    answers = os.fdopen(os.dup(1), "w", encoding="utf-8")
    os.dup2(2, 1)
    return answers


def _read(lines: queue.SimpleQueue[str]) -> None:
    for line in sys.stdin:
        if line.startswith('{"cancel"'):
            cancelling.cancel(json.loads(line)["cancel"])
        else:
            lines.put(line)
    os._exit(0)


def _write(answers: IO[str], values: dict[str, Any]) -> None:
    answers.write(json.dumps(values) + "\n")
    answers.flush()


def _answer(answer: Callable[..., Any], **question: Any) -> dict[str, Any]:
    try:
        return {"answer": to_json(answer(**question))}
    except Refusal as refusal:
        return {"refusal": str(refusal), "not_ready": isinstance(refusal, RunNotReady)}
    except (OSError, ValueError, KeyError, RuntimeError, MemoryError) as error:
        message = " ".join(str(error).split())[:160]
        sentence = f"this run's embedder or SAE could not be used ({type(error).__name__}: {message}); verify the run."
        return {"refusal": sentence, "not_ready": False}


if __name__ == "__main__":
    main()
