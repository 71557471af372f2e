"""The worker: its answers equal the run's tables, and it survives odd texts, broken files and being killed."""

from __future__ import annotations

import json
import os
import shutil
import signal
import subprocess
import sys
import threading
import time
from concurrent.futures import ThreadPoolExecutor, wait
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from featurelib.embedder import load_embedder
from featurelib.live.client import Live
from featurelib.schema import BY_TEXT, EMBEDDINGS, TEXT_SUMMARIES, TEXTS, Refusal, RunNotReady
from featurelib.storage.runs import Generation
from tests.conftest import STAND_IN
from tests.support import ROOT


def rows(generation: Generation, table) -> pa.Table:
    return pa.concat_tables(pq.read_table(path) for path in generation.parts(table))


def copy_of(generation: Generation, tmp_path: Path, **embedder) -> Path:
    """A copy of a generation whose embedder's facts are changed."""
    copy = Path(shutil.copytree(generation.path, tmp_path / "copy" / "g0001"))
    described = json.loads((copy / "run.json").read_text())
    described["embedder"] |= embedder
    (copy / "run.json").write_text(json.dumps(described))
    return copy


def ended(pid: int, seconds: float = 10.0) -> bool:
    """Whether a process that is not our child ends within some seconds."""
    until = time.monotonic() + seconds
    while time.monotonic() < until:
        try:
            state = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0]
        except FileNotFoundError:
            return True
        if state == "Z":
            return True
        time.sleep(0.05)
    return False


def test_a_text_of_the_corpus_does_what_the_tables_say(live, generation):
    texts, summaries = rows(generation, TEXTS), rows(generation, TEXT_SUMMARIES).to_pylist()
    activations = rows(generation, BY_TEXT)
    for text_id in (0, 7, len(texts) - 1):
        tried = live.try_text(generation.path, texts["text"][text_id].as_py())
        own = activations.filter(pa.compute.equal(activations["text_id"], text_id))
        expected = dict(zip(own["feature_id"].to_pylist(), own["activation"].to_pylist(), strict=True))
        assert dict(zip(tried.feature_ids.tolist(), tried.activations, strict=True)) == pytest.approx(
            expected, abs=1e-5
        )
        assert (np.diff(tried.activations) <= 0).all() and tried.feature_ids.dtype == np.int32
        summary = summaries[text_id]
        assert (tried.fvu, tried.cosine) == pytest.approx((summary["fvu"], summary["cosine"]), abs=1e-5)
        assert (tried.n_tokens, tried.truncated, tried.cut) == tuple(
            summary[name] for name in ("n_tokens", "truncated", "cut")
        )


def test_an_embedding_is_the_runs_own(live, generation):
    embeddings = rows(generation, EMBEDDINGS)["embedding"]
    for text_id in (3, 4):
        own = live.embed(generation.path, rows(generation, TEXTS)["text"][text_id].as_py())
        assert own.dtype == np.float32 and np.abs(own - embeddings[text_id].as_py()).max() < 1e-6


def test_a_tested_feature_fires_when_it_passes_its_gate(live, generation):
    text = rows(generation, TEXTS)["text"][0].as_py()
    tried = live.try_text(generation.path, text)
    first = live.pre_activation(generation.path, text, int(tried.feature_ids[0]))
    assert (
        first.fires
        and first.activation == pytest.approx(tried.activations[0])
        and first.pre_activation > first.threshold
    )
    for silent in sorted(set(range(32)) - set(tried.feature_ids.tolist()))[:5]:
        tested = live.pre_activation(generation.path, text, silent)
        assert not tested.fires and tested.activation == 0 and tested.pre_activation <= tested.threshold


def test_a_prompt_and_float16_are_those_of_the_run(live, generation, tmp_path):
    copy = copy_of(generation, tmp_path, prompt="about: ", dtype="float16")
    expected = load_embedder(STAND_IN, prompt="about: ").embed(["black holes"])[0].astype(np.float16)
    assert (live.embed(copy, "black holes") == expected).all()


@pytest.mark.parametrize(
    ("text", "reason"), [("", "is empty"), (" \n\t", "is empty"), ("x" * 20_001, "20,001 characters")]
)
def test_a_text_that_cannot_be_tried_is_a_sentence(live, generation, text, reason):
    with pytest.raises(Refusal, match=reason):
        live.try_text(generation.path, text)


@pytest.mark.parametrize(
    "text", ["\ud800 lone", "\x00", "\u2028 line\r\n", "\u202eright to left", "x" * 20_000, "🙂" * 500]
)
def test_odd_texts_are_answered(live, generation, text):
    assert np.isfinite(live.embed(generation.path, text)).all()


@pytest.mark.parametrize("feature_id", [-1, 32, 2**40])
def test_an_unknown_feature_is_a_sentence(live, generation, feature_id):
    with pytest.raises(Refusal, match="0 to 31"):
        live.pre_activation(generation.path, "a text", feature_id)


def test_a_run_whose_embedder_is_unknown_changed_or_away_is_a_sentence(live, generation, tmp_path):
    given = {"origin": "precomputed", "name": "e.npy", "embedder": None}
    for number, (facts, reason) in enumerate(
        [
            (given, "made from the embeddings in e.npy"),
            ({"weights_sha256": "0" * 64}, "but here it has"),
            ({"origin": "local", "name": "our-model"}, "local folder 'our-model', which is not here"),
        ]
    ):
        with pytest.raises(Refusal, match=reason):
            live.try_text(copy_of(generation, tmp_path / str(number), **facts), "a text")


def test_given_embeddings_with_a_named_embedder_can_be_tried(live, generation, tmp_path):
    facts = generation.describe()["embedder"]
    copy = copy_of(generation, tmp_path, origin="precomputed", name="e.npy", embedder=facts)
    assert (live.embed(copy, "black holes") == live.embed(generation.path, "black holes")).all()


def test_a_run_that_is_not_ready_says_what_is_missing(live, generation, tmp_path):
    with pytest.raises(RunNotReady, match="no embeddings yet"):
        live.embed(tmp_path / "nowhere" / "g0001", "a text")
    copy = copy_of(generation, tmp_path)
    (copy / "done" / "train.json").unlink()
    with pytest.raises(RunNotReady, match="no SAE yet"):
        live.try_text(copy, "a text")


def test_a_broken_sae_is_a_sentence_and_the_worker_lives_on(live, generation, tmp_path):
    copy = copy_of(generation, tmp_path)
    (copy / "sae" / "sae_weights.safetensors").write_bytes(b"broken")
    pid = live._worker.pid
    with pytest.raises(Refusal):
        live.try_text(copy, "a text")
    assert len(live.embed(generation.path, "a text")) == 64 and live._worker.pid == pid


def test_an_sae_that_was_replaced_while_a_build_goes_on_is_read_again(live, generation, tmp_path):
    from featurelib.sae.checkpoints import load_sae
    from featurelib.sae.formats import saelens

    copy = copy_of(generation, tmp_path)
    (copy / "manifest.json").unlink()  # a build that goes on has none yet
    before = live.pre_activation(copy, "black holes", 3)
    sae = load_sae(copy / "sae")
    sae.W_enc.mul_(2.0)
    saelens.save_saelens(sae, copy / "sae")
    assert live.pre_activation(copy, "black holes", 3).pre_activation != before.pre_activation


def test_many_threads_each_get_their_own_answer(live, generation):
    texts = [f"word{number} black hole" for number in range(40)]
    expected = load_embedder(STAND_IN).embed(texts)
    with ThreadPoolExecutor(8) as pool:
        answers = list(pool.map(lambda text: live.embed(generation.path, text), texts))
    assert np.abs(np.stack(answers) - expected).max() < 1e-6


def test_an_answer_that_comes_too_late_is_not_taken_for_the_next(live, generation):
    expected = live.embed(generation.path, "black holes")
    live._worker._lines.put(json.dumps({"number": -1, "answer": {"embedding": [0.0]}}))
    assert (live.embed(generation.path, "black holes") == expected).all()


def test_a_killed_worker_is_started_again(live, generation):
    before = live.embed(generation.path, "black holes")
    pid = live._worker.pid
    os.kill(pid, signal.SIGKILL)
    assert (live.embed(generation.path, "black holes") == before).all()
    assert live._worker.pid != pid and live.seconds_to_start > 0


def test_a_worker_that_hangs_is_stopped_in_time_and_the_next_question_is_answered(live, generation, monkeypatch):
    live.embed(generation.path, "black holes")
    pid = live._worker.pid
    os.kill(pid, signal.SIGSTOP)
    monkeypatch.setattr(live, "_answer_seconds", 0.5)
    began = time.monotonic()
    with pytest.raises(Refusal, match=r"no answer came within 0\.5 seconds"):
        live.embed(generation.path, "black holes")
    assert time.monotonic() - began < 3 and ended(pid)
    monkeypatch.setattr(live, "_answer_seconds", 60.0)
    assert len(live.embed(generation.path, "black holes")) == 64


WIDE = "🙂" * 20_000
"""A text of which a line of JSON takes 240 KB; a pipe that nobody reads takes some 64 KB."""


def test_a_stopped_worker_that_is_being_written_to_holds_nobody(live, generation, monkeypatch):
    expected = live.embed(generation.path, "black holes")
    pid = live._worker.pid
    os.kill(pid, signal.SIGSTOP)
    monkeypatch.setattr(live, "_answer_seconds", 3.0)
    with ThreadPoolExecutor(3) as pool:
        writer = pool.submit(live.try_lines, generation.path, [WIDE] * 4)  # 80,000 characters
        while not live._asking.locked():
            time.sleep(0.01)
        others = [pool.submit(live.embed, generation.path, "black holes") for _ in range(2)]
        if not wait([writer], timeout=60).done:
            os.kill(pid, signal.SIGKILL)  # or this test would be held too
        with pytest.raises(Refusal, match=r"no answer came within 3 seconds, so the worker .* was stopped"):
            writer.result()
        monkeypatch.setattr(live, "_answer_seconds", 60.0)
        for other in others:
            _answered_or_told(other, expected)
    assert ended(pid) and live._worker.pid != pid
    assert (live.embed(generation.path, "black holes") == expected).all()


def _answered_or_told(other, expected):
    """A reader that waited for its turn gets its answer, or the sentence that the worker was stopped."""
    try:
        assert (other.result(timeout=120) == expected).all()
    except Refusal as refusal:
        assert "no answer came within" in str(refusal)


def test_a_worker_that_is_killed_while_it_is_written_to_is_started_again_and_asked_once_more(live, generation):
    expected = live.try_lines(generation.path, [WIDE])
    pid = live._worker.pid
    os.kill(pid, signal.SIGSTOP)
    with ThreadPoolExecutor(1) as pool:
        waiting = pool.submit(live.try_lines, generation.path, [WIDE])
        while not live._asking.locked() or not live._worker._questions.empty():
            time.sleep(0.01)
        os.kill(pid, signal.SIGKILL)
        again = waiting.result(timeout=120)
    assert again[0].feature_ids.tolist() == expected[0].feature_ids.tolist() and live._worker.pid != pid


def test_a_worker_can_be_closed_while_it_is_written_to_and_its_threads_end(live, generation):
    live.embed(generation.path, "black holes")
    worker, before = live._worker, threading.active_count()
    os.kill(worker.pid, signal.SIGSTOP)
    with pytest.raises(TimeoutError):
        worker.exchange({"question": "embed", "generation": str(generation.path), "text": WIDE}, 0.5)
    worker.stop()
    assert ended(worker.pid)
    until = time.monotonic() + 10
    while threading.active_count() > before - 3 and time.monotonic() < until:
        time.sleep(0.05)
    assert threading.active_count() <= before - 3


def test_the_worker_ends_when_its_parent_is_killed(generation):
    code = (
        "import sys, time; from pathlib import Path; from featurelib.live.client import Live\n"
        f"live = Live(); live.embed(Path({str(generation.path)!r}), 'a text')\n"
        "assert 'torch' not in sys.modules; print(live._worker.pid, flush=True); time.sleep(60)"
    )
    parent = subprocess.Popen([sys.executable, "-c", code], cwd=ROOT, stdout=subprocess.PIPE, text=True)
    pid = int(parent.stdout.readline())
    parent.kill()
    parent.wait()
    parent.stdout.close()
    assert ended(pid)


def test_a_worker_that_cannot_start_is_a_sentence(monkeypatch, generation):
    monkeypatch.setattr("featurelib.live.worker_process.PROJECT", Path("/"))
    monkeypatch.setenv("PYTHONPATH", "/nowhere")
    live = Live()
    with pytest.raises(Refusal, match="No module named"):
        live.embed(generation.path, "a text")
    assert threading.active_count() < 50
