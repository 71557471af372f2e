"""Questions cut to what a model can read, by hand or since its server complained."""

from __future__ import annotations

import json
import re

import pytest

from featurelib.llm.context import PER_TOKEN, answer_tokens, fit
from featurelib.llm.language_model import LanguageModel
from featurelib.llm.prompts import Example, ask_explanation, ask_verdicts
from featurelib.llm.shown_texts import ShownText, shorten
from featurelib.schema import Refusal
from tests.support.chat_server import Reply, chat_server, completion, refusal

WORDS = " ".join(f"word{n:03d}" for n in range(200))
TEXT = ShownText(WORDS, WORDS.index("word100"))
COMPLAINTS = [
    "This model's maximum context length is {n} tokens, however you requested 4200 tokens. Please reduce the length.",
    "Requested tokens (4200) exceed context window of {n}",
    "the request exceeds the available context size ({n} tokens), try increasing it",
    "'max_tokens' is too large: 2000. This model's maximum context length is {n} tokens and your request has 500.",
    "Prompt is too long",
]


@pytest.mark.parametrize("characters", [20, 57, 100, 399, 10_000])
@pytest.mark.parametrize("focus", [0, 700, len(WORDS) - 3])
def test_a_text_is_cut_around_its_focus(characters: int, focus: int) -> None:
    short = shorten(ShownText(WORDS, focus), characters)
    inner = short.text.strip("…")
    assert len(inner) <= characters and inner in WORDS
    assert short.text[short.focus] == WORDS[focus]
    assert short.text.startswith("…") == (not WORDS.startswith(inner))
    assert short.text.endswith("…") == (not WORDS.endswith(inner))


def test_marks_are_not_cut_in_two() -> None:
    text = "one «two» three «four» five «six» seven"
    for characters in range(6, len(text)):
        for focus in (text.index("two"), text.index("four"), text.index("six")):
            short = shorten(ShownText(text, focus), characters).text
            assert not re.sub("«[^«»]*»", "", short).strip("… ").count("»"), short
            assert "«" not in re.sub("«[^«»]*»", "", short), short


@pytest.mark.parametrize("context", [768, 1024, 2048, 4096, 32_768])
def test_a_question_fits_into_the_context(context: int) -> None:
    for question in (
        ask_explanation([Example(TEXT, 3)] * 12, [TEXT] * 6),
        ask_verdicts("detect", "Texts about words.", [TEXT] * 5),
        ask_verdicts("fuzz", "Texts about words.", [TEXT] * 5),
    ):
        cut = fit(question, context)
        tokens = len(cut.material) / PER_TOKEN + len(cut.instructions) / 4 + answer_tokens(cut, context)
        assert tokens <= context
        assert all("word100" in shown.text for shown in cut.texts), "the focus stays"
        assert len(cut.texts) == len(question.texts) or question.explanation is None
    shown = json.loads(fit(ask_explanation([Example(TEXT, 3)] * 12, [TEXT] * 6), 32_768).material)
    assert (len(shown["fires_on"]), len(shown["silent_on"])) == (12, 6)
    assert shown["fires_on"][0]["text"] == WORDS
    shown = json.loads(fit(ask_explanation([Example(TEXT, 3)] * 12, [TEXT] * 6), 1024).material)
    assert 12 > len(shown["fires_on"]) > len(shown["silent_on"]) > 0, "fewer texts rather than stumps"


@pytest.mark.parametrize("complaint", COMPLAINTS)
def test_a_server_that_reads_less_is_asked_less_from_then_on(complaint: str) -> None:
    """The server counts 4 characters as a token, and the answer that it is asked for."""

    def small(body: dict) -> Reply:
        asked = sum(len(message["content"]) for message in body["messages"]) / 4 + body["max_tokens"]
        return refusal(400, complaint.format(n=2048)) if asked > 2048 else completion("yes")

    question = ask_explanation([Example(TEXT, 3)] * 12, [TEXT] * 6)
    with chat_server(small) as server:
        model = LanguageModel(server.url, "m", retries=0)
        assert model.ask(question).text == "yes"
        n_asked = len(server.bodies)
        assert model.ask(question).text == "yes" and len(server.bodies) == n_asked + 1
    assert 2 <= n_asked <= 6
    assert "word100" in server.bodies[-1]["messages"][1]["content"]


def test_a_server_that_reads_next_to_nothing_is_a_sentence() -> None:
    with (
        chat_server(lambda body: refusal(400, "maximum context length is 256 tokens")) as server,
        pytest.raises(Refusal, match="reads too few tokens .*256 tokens.* start its server with a context of 2,048"),
    ):
        LanguageModel(server.url, "m", retries=0).ask(ask_verdicts("detect", "Words.", [TEXT]))


def test_a_question_that_is_asked_again_can_have_another_answer() -> None:
    with chat_server(lambda body: completion("yes")) as server:
        LanguageModel(server.url, "m").ask(ask_verdicts("detect", "Words.", [TEXT]), again=True)
    assert server.bodies[0]["temperature"] > 0


@pytest.mark.parametrize("name", ["detect", "fuzz"])
def test_a_short_question_ends_with_the_question(name: str) -> None:
    question = ask_verdicts(name, "Texts about words.", [TEXT]).shortened()
    material = json.loads(question.material)
    assert list(material) == ["description", "text", "question"] and material["question"].endswith("Answer yes or no.")
    assert "word100" in material["text"] and len(material["text"]) <= 202 and len(question.instructions) < 80


def test_a_short_question_for_a_sentence_shows_the_strongest_texts_and_their_marked_words() -> None:
    texts = [Example(ShownText(f"the «star» and «sun {n}»"), 10 - n) for n in range(9)]
    material = json.loads(ask_explanation(texts, [ShownText("silent")], marked=True).shortened().material)
    assert material["texts"] == [f"the «star» and «sun {n}»" for n in range(6)] and "words" in material["question"]
    assert material["words"] == ["star", *(f"sun {n}" for n in range(6))]
    plain = json.loads(ask_explanation(texts, [ShownText("silent")]).shortened().material)
    assert list(plain) == ["texts", "question"] and "texts" in plain["question"]
