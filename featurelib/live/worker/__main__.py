"""The worker: questions in, answers out, a line of JSON each; started as `python -m featurelib.live.client`."""

from __future__ import annotations

import json
import os
import queue
import signal
import sys
import threading
from pathlib import Path
from typing import IO, Any

from featurelib.live.process import THREADS
from featurelib.schema import Refusal, RunNotReady


def main() -> None:
    """Answer until standard input ends, which it does when the parent is no more."""
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    told = _own_stdout()
    # read from the first moment on: a parent that is gone must end the worker even while it imports or computes
    asked: queue.SimpleQueue[str] = queue.SimpleQueue()
    threading.Thread(target=_read, args=(asked,), daemon=True).start()
    import torch

    from featurelib.live.worker import attribution, models, steering, texts

    torch.set_num_threads(THREADS)
    questions = {
        "try_text": texts.try_text,
        "try_lines": texts.try_lines,
        "try_closely": texts.try_closely,
        "pre_activation": models.pre_activation,
        "embed": models.embed,
    }
    questions |= {"steer": steering.steer, "similarity": steering.similarity}
    questions |= {"attributions": attribution.attributions, "without_words": attribution.without_words}
    _tell(told, {"number": "ready"})
    while True:
        question = json.loads(asked.get())
        number, answer = question.pop("number"), questions[question.pop("question")]
        _tell(told, {"number": number, **_answer(answer, **question | {"generation": Path(question["generation"])})})


def _own_stdout() -> IO[str]:
    """Keep standard output for answers alone: whatever else is printed goes to standard error."""
    sys.stdout.flush()
    told = os.fdopen(os.dup(1), "w", encoding="utf-8")
    os.dup2(2, 1)
    return told


def _read(asked: queue.SimpleQueue[str]) -> None:
    for line in sys.stdin:
        asked.put(line)
    os._exit(0)


def _tell(told: IO[str], value: dict[str, Any]) -> None:
    told.write(json.dumps(value) + "\n")
    told.flush()


def _answer(answer: Any, **question: Any) -> dict[str, Any]:
    try:
        return {"answer": answer(**question)}
    except Refusal as refusal:
        return {"refusal": str(refusal), "not_ready": isinstance(refusal, RunNotReady)}
    except (OSError, ValueError, KeyError, RuntimeError, MemoryError) as error:
        said = " ".join(str(error).split())[:160]
        sentence = f"this run's embedder or SAE could not be used ({type(error).__name__}: {said}); verify the run."
        return {"refusal": sentence, "not_ready": False}


if __name__ == "__main__":
    main()
