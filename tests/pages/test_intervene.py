"""The page Intervene and the worker behind it, on a small token run against the library; hostile tokens; a text run."""

from __future__ import annotations

import json
import threading
import time
from pathlib import Path

import numpy as np
import pytest

import featurelib
from featurelib.language_model.generation import Generating
from featurelib.live.results import FeatureChange
from featurelib.schema import Refusal
from featurelib.session import multiply, set_to
from featurelib.storage.runs import Run
from featurelib.ui.intervene.changes import read_changes, written
from featurelib.ui.intervene.features_to_change import token_chip
from tests.support.page import bodies, page_of, param, words
from tests.support.shared import build_once
from tests.support.token_run import N_FEATURES, token_run_data

PROMPT = "w1 w2 w3 w10 w20"


@pytest.fixture(scope="module")
def data(tmp_path_factory) -> Path:
    return build_once(tmp_path_factory, "token-run", token_run_data) / "data"


@pytest.fixture(scope="module")
def place(data) -> Path:
    return Run(data / "tok").current().path


@pytest.fixture(scope="module")
def session(data):
    return featurelib.load_session(data / "tok")


def changes_for(session) -> list[FeatureChange]:
    strongest = session.encode(PROMPT).activations
    fired = int(strongest.feature_ids[strongest.activations.argmax()])
    silent = next(i for i in range(N_FEATURES) if i not in strongest.feature_ids.tolist())
    return [FeatureChange(fired, "multiply", 3.0), FeatureChange(silent, "set", 9.0)]


def test_a_token_run_is_a_session(session, place):
    described = json.loads((place / "run.json").read_text())["embedder"]["hidden_states"]
    assert session.hook.name == described["hook"] == "blocks.2.hook_resid_post"
    assert session.origin.dataset == "texts.csv" and not session.origin.special_tokens


def test_the_features_of_a_prompt_are_those_of_the_session(live, place, session):
    found = live.prompt_features(place, PROMPT)
    encoded = session.encode(PROMPT)
    assert tuple(word.strip() for word in found.tokens) == tuple(PROMPT.split())
    dense = np.zeros((5, N_FEATURES), np.float32)
    dense[encoded.activations.rows, encoded.activations.feature_ids] = encoded.activations.activations
    assert set(found.feature_ids.tolist()) == set(np.flatnonzero(dense.max(axis=0)).tolist())
    np.testing.assert_allclose(found.activations, dense.max(axis=0)[found.feature_ids], atol=1e-4)
    assert (found.places == dense.argmax(axis=0)[found.feature_ids]).all()
    assert (np.diff(found.activations) <= 0).all()


@pytest.mark.parametrize("where", ["all", "prompt", "generated"])
def test_an_intervention_of_the_worker_is_that_of_the_session(live, place, session, where):
    changes = changes_for(session)
    found = live.intervene(place, PROMPT, changes, where=where, n_tokens=8)
    asked = {changes[0].feature_id: multiply(3.0), changes[1].feature_id: set_to(9.0)}
    expected = session.compare(PROMPT, asked, where, Generating(n_tokens=8))
    assert (found.before_text, found.after_text) == (expected.before.text, expected.after.text)
    assert found.kl == pytest.approx(expected.prediction.kl, rel=1e-3, abs=1e-9)
    assert found.before_loss == pytest.approx(expected.prediction.loss_before, abs=1e-4)
    assert found.after_loss == pytest.approx(expected.prediction.loss_after, abs=1e-4)
    assert found.n_prompt == 6 and len(found.next_words) == len(found.before_shares) == len(found.after_shares)
    assert (found.kl > 0) == (where != "generated")


def test_what_cannot_be_done_is_a_sentence(live, place, generation):
    with pytest.raises(Refusal, match="100,000 characters; at most 4,000"):
        live.intervene(place, "x" * 100_000, [])
    with pytest.raises(Refusal, match="100,000 characters; at most 4,000"):
        live.prompt_features(place, "x" * 100_000)
    with pytest.raises(Refusal, match="no feature 32; this run has the features 0 to 31"):
        live.intervene(place, PROMPT, [FeatureChange(32, "set", 0.0)])
    with pytest.raises(Refusal, match="cannot be changed by 'turn'"):
        live.intervene(place, PROMPT, [FeatureChange(1, "turn", 0.0)])
    with pytest.raises(Refusal, match="at most 60"):
        live.intervene(place, PROMPT, [], n_tokens=61)
    with pytest.raises(Refusal, match="the prompt has 201 tokens"):
        live.prompt_features(place, "w1 " * 200)
    with pytest.raises(Refusal, match="does not read the tokens of a language model"):
        live.prompt_features(generation.path, "black holes")
    with pytest.raises(Refusal, match="empty"):
        live.intervene(place, "  ", [])


def test_a_cancelled_job_ends_and_the_worker_goes_on(live, place, session):
    changes = changes_for(session)
    with pytest.raises(Refusal, match="cancelled"):
        live.intervene(place, PROMPT, changes, n_tokens=50, cancelled=lambda: True)
    assert live.intervene(place, PROMPT, changes, n_tokens=2, cancelled=lambda: False).after_text


def test_one_job_at_a_time_and_who_waits_may_leave(live, place):
    live._asking.acquire()
    try:
        began = time.monotonic()
        with pytest.raises(Refusal, match="cancelled before it began"):
            live.intervene(place, PROMPT, [], cancelled=lambda: time.monotonic() - began > 0.3)
    finally:
        live._asking.release()
    answers: list[str] = []
    asking = [
        threading.Thread(target=lambda: answers.append(live.intervene(place, PROMPT, [], n_tokens=4).before_text))
        for _ in range(3)
    ]
    for thread in asking:
        thread.start()
    for thread in asking:
        thread.join(60)
    assert len(answers) == 3 and len(set(answers)) == 1


def test_the_address_holds_the_changes():
    changes = [FeatureChange(7, "set", 0.0), FeatureChange(12, "multiply", -2.5), FeatureChange(3, "add", 1e-3)]
    assert read_changes(written(changes), 32) == (changes, [])
    read, complaints = read_changes("7:set:0,7:add:3,40:set:1,x,5:set:nan,6:set:1e99,8:turn:2,9:add:--", 32)
    assert read == [FeatureChange(7, "add", 3.0)] and len(complaints) == 6
    assert "features 0 to 31" in complaints[0] and "change=x" in complaints[1]
    many, complaints = read_changes(",".join(f"{i}:set:1" for i in range(25)), 32)
    assert len(many) == 20 and "at most 20" in complaints[0]


def open_page(data, use_data, **params):
    use_data(data)
    return page_of("intervene.py", {"run": "tok", **params})


def test_the_page_shows_both_continuations_and_the_probabilities(data, use_data, session, place, live):
    changes = changes_for(session)
    app = open_page(data, use_data, t=PROMPT, change=written(changes), n=6)
    expected = live.intervene(place, PROMPT, changes, n_tokens=6)
    shown = words(app)
    assert " ".join(expected.before_text.split()) in shown and " ".join(expected.after_text.split()) in shown
    assert "loss of the prompt, before and after" in shown and "What comes next" in shown
    table = next(body for body in bodies(app) if "intervene-next" in body)
    assert table.count("<tr>") == 1 + len(expected.next_words)
    assert f"feature={changes[0].feature_id}" in " ".join(bodies(app))
    assert [box.value for box in app.number_input if box.key.startswith("value ")] == [3.0, 9.0]
    assert [box.value for box in app.selectbox if box.key.startswith("kind ")] == ["multiply", "set"]
    app.button(key=f"remove {changes[1].feature_id}").click().run()
    assert param(app, "change") == written(changes[:1])
    app.number_input(key=f"value {changes[0].feature_id}").set_value(0.0).run()
    assert param(app, "change") == f"{changes[0].feature_id}:multiply:0" and not app.exception


def test_a_feature_is_chosen_from_the_prompt_and_by_number(data, use_data, session):
    app = open_page(data, use_data, t=PROMPT)
    assert "Choose a feature to change" in words(app)
    first = next(button for button in app.button if button.key.startswith("on prompt "))
    first.click().run()
    assert param(app, "change") == f"{first.key.split()[-1]}:multiply:2" and "With the changes" in words(app)
    app = open_page(data, use_data, t=PROMPT, add="5", n=2)
    next(button for button in app.button if button.key == "found 5").click().run()
    assert param(app, "change").startswith("5:")


def test_without_a_prompt_or_with_a_wrong_address_the_page_says_so(data, use_data):
    assert "Type a prompt" in words(open_page(data, use_data))
    shown = words(open_page(data, use_data, t=PROMPT, change="99:set:1,nonsense"))
    assert "this run has the features 0 to 31" in shown and "change=nonsense" in shown
    assert "where=there" in words(open_page(data, use_data, t=PROMPT, where="there"))
    assert "The prompt has 667 tokens" in words(open_page(data, use_data, t="w1 " * 666, change="1:set:0"))


def test_a_text_run_is_told_what_the_page_needs(open_tiny):
    app = open_tiny("intervene.py", t="black holes")
    assert "reads whole texts and not the tokens of a language model" in words(app)
    assert "steer" in " ".join(bodies(app)) and not app.text_area


@pytest.mark.parametrize("token", ["<script>alert(1)</script>", "![x](http://evil)", "\n", "  ", "\x00"])
def test_a_token_is_escaped_and_its_white_space_seen(token):
    shown = str(token_chip(token))
    assert "<script>" not in shown and "\x00" not in shown
    if not token.strip():
        assert "⏎" in shown or "␣" in shown
