"""Answers as small models give them; the ones marked as SmolLM2's were recorded from its 135 million parameters."""

from __future__ import annotations

import pytest

from featurelib.llm.replies import read_explanation, read_verdicts

LOOP = "The sentence is about finding the feature of the feature of the feature of the feature of the feature of the"
ECHO = (
    'The sentence is:\n\n"The sentence is:\n\nThe sentence is:\n\nThe sentence is:\n\nThe sentence is:\n\n'
    "The sentence is:\n\nThe sentence is:\n"
)
COPIED = (
    'The sentence is "On the supersymmetrization of inflation in f(R) gravity. An N=1 Poincaré supergravity action, '
    "suitable for describing the Starobinsky inflation, is proposed. It extends f(R) gravity to supergravity in its"
)
NAMES = (
    'The words "Copulas", "Euclidian", "Einstein", "Standard", "Eddardi", "Einstein", "Eddardi", "Einstein", '
    '"Eddardi", "Eddardi", "Eddardi", "Edd'
)
COMMON = (
    "These texts share a common thread of exploring the intersection of heterotic string geometry and superfluidity."
)


@pytest.mark.parametrize(
    "answer, sentence",
    [
        pytest.param(LOOP, None, id="SmolLM2: a loop"),
        pytest.param(ECHO, None, id="SmolLM2: a loop of lines"),
        pytest.param(COMMON, COMMON, id="SmolLM2: a sentence without its keyword"),
        pytest.param(NAMES, None, id="SmolLM2: names one after the other, and on"),
        pytest.param(COMMON + " They are also about a type", COMMON, id="SmolLM2: broken off in a second sentence"),
        pytest.param("Explanation: " + "stars and planets, " * 9, None, id="a loop behind the keyword"),
        pytest.param('```json\n{"explanation": "Texts about stars."}\n```', "Texts about stars.", id="fenced JSON"),
        pytest.param('{"explanation": "Texts about \\"old\\" sta', 'Texts about "old" sta', id="half JSON"),
        pytest.param('{"explanation": "Texts about stars.", "conf', "Texts about stars.", id="half JSON behind it"),
        pytest.param("```\nExplanation: Texts about stars.", "Texts about stars.", id="a fence that never closes"),
        pytest.param("I'm sorry, but I cannot describe these texts.", None, id="an apology"),
        pytest.param("Explanation: I'm unable to help with that.", None, id="an apology behind the keyword"),
        pytest.param("As an AI language model, I do not know.", None, id="an excuse"),
        pytest.param("Es tut mir leid, das kann ich nicht.", None, id="an apology in German"),
        pytest.param("对不起，我无法回答。", None, id="an apology in Chinese"),
        pytest.param("解释：关于星星的文章。", "关于星星的文章。", id="Chinese"),
        pytest.param("Erklärung: Texte über Sterne.", "Texte über Sterne.", id="German"),
        pytest.param("Explanation: the sentence", None, id="the prompt's own words"),
        pytest.param('{"fires_on": [{"strength": 10, "text": "A star."}', None, id="the question given back"),
        pytest.param(
            "Explanation: Texts about stars. They " + " ".join(f"word{n}" for n in range(90)),
            "Texts about stars.",
            id="a long answer: its first sentence",
        ),
    ],
)
def test_a_sentence_is_found_where_there_is_one(answer: str, sentence: str | None) -> None:
    assert read_explanation(answer) == sentence


@pytest.mark.parametrize(
    "answer, n, verdicts",
    [
        pytest.param(COPIED, 5, None, id="SmolLM2: a text given back"),
        pytest.param("No, the description does not fit the", 1, [False], id="SmolLM2: a sentence for one text"),
        pytest.param("Yes. The description fits the text perfectly", 1, [True], id="SmolLM2: yes and more"),
        pytest.param("Yes. The description fits the text perfectly", 2, None, id="one word for two texts"),
        pytest.param("**Yes**", 1, [True], id="bold"),
        pytest.param("Not at all", 1, None, id="not is not no"),
        pytest.param("1", 1, [True], id="a number"),
        pytest.param("1, 0, 1", 1, None, id="three numbers for one text"),
        pytest.param("1. yes\n2. no\n3. yes", 3, [True, False, True], id="numbered lines"),
        pytest.param("Text 1: 0\nText 2: 1\nText 3: 0", 3, [False, True, False], id="lines with their texts"),
        pytest.param("1. yes\n3. no\n2. yes", 3, None, id="numbers out of order"),
        pytest.param("[yes, no, yes]", 3, [True, False, True], id="words without quotes"),
        pytest.param("```json\n[1, 0, 1]\n```", 3, [True, False, True], id="a fence"),
        pytest.param("[0, 1, 0]", 5, None, id="the prompt's example given back"),
        pytest.param("[0, 1, 0, 1, 0, 1, 0, 1, 0, 1", 5, None, id="a list that never ends"),
        pytest.param("I'm sorry, but I can't judge that.", 5, None, id="an apology"),
        pytest.param('{"answer": [1, 0, 1]', 3, [True, False, True], id="half JSON around a list"),
    ],
)
def test_verdicts_are_found_where_there_is_one_for_each_text(answer: str, n: int, verdicts: list[bool] | None) -> None:
    assert read_verdicts(answer, n) == verdicts
