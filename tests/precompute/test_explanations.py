"""The stage explanations: a tiny run described and scored by a server that follows a rule, so that scores are known."""

from __future__ import annotations

import json
import re
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from featurelib import queries
from featurelib.embedder import load_embedder
from featurelib.labels.split import label_split
from featurelib.llm.prompts import CHARACTERS, PROMPTS
from featurelib.llm.sampling import ChosenTexts
from featurelib.sae.checkpoints import load_sae
from featurelib.schema import BY_FEATURE, EXPLANATIONS, FEATURES, TEXT_SUMMARIES, TEXTS
from featurelib.storage import files
from featurelib.storage.runs import Generation, Run
from featurelib.storage.store import open_store
from precompute.__main__ import main
from precompute.build.config import BuildConfig
from precompute.build.job import Job
from precompute.stages.explanations.markers import AttributionMarker
from precompute.stages.explanations.material import materials
from tests.conftest import STAND_IN, TINY_FLAGS
from tests.support.chat_server import ChatServer, Reply, chat_server, completion, refusal
from tests.support.page import bodies, text_of
from tests.support.planted import TOPICS, Planted

KEY = "sk-this-must-stay-secret"
N = 6


# The server's rule


def topic_words(text: str) -> dict[str, int]:
    said = re.findall(r"[a-z]+", text.lower())
    return {topic: sum(word in words.split() for word in said) for topic, words in TOPICS.items()}


def rule(body: dict[str, Any]) -> Reply:
    """Describe by the topic whose words are most frequent; answer 1 for the texts that `rule_says` are of the topic."""
    asked = json.loads(body["messages"][1]["content"])
    if "fires_on" in asked:
        total = topic_words(" ".join(example["text"] for example in asked["fires_on"]))
        return completion(f"Explanation: Texts about {max(total, key=total.get)}.")
    topic = asked["explanation"].removeprefix("Texts about ").removesuffix(".")
    return completion(json.dumps([int(rule_says(topic, text)) for text in asked["texts"]]))


def rule_says(topic: str, text: str) -> bool:
    """Whether half of the marked words are the topic's; in a text without marks, whether three words are."""
    marks = re.findall("«(.*?)»", text)
    if marks:
        return 2 * topic_words(" ".join(marks))[topic] >= len(marks)
    return topic_words(text)[topic] >= 3


def build(planted: Planted, folder: Path, server_url: str, *flags: str) -> int:
    own = ("--labeller", server_url, "--labeller-model", "rule-judge", *flags)
    return main(["build", str(planted.path), "--name", "tiny", "--data", str(folder), *TINY_FLAGS, *own])


def rows_of(folder: Path) -> list[dict[str, Any]]:
    return pq.read_table(Run(folder / "tiny").current().file(EXPLANATIONS)).to_pylist()


def fires_on(generation: Generation, feature_id: int) -> set[str]:
    texts = pq.read_table(generation.file(TEXTS))["text"].to_pylist()
    rows = pq.read_table(generation.file(BY_FEATURE), filters=[("feature_id", "=", feature_id)])
    return {texts[text_id] for text_id in rows["text_id"].to_pylist()}


@pytest.fixture(scope="module")
def described(planted: Planted, tiny_data: Path, tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, ChatServer]:
    """A data folder whose run was described by the rule, and what was asked."""
    import shutil

    folder = shutil.copytree(tiny_data, tmp_path_factory.mktemp("described") / "data")
    with pytest.MonkeyPatch.context() as patch, chat_server(rule) as server:
        patch.setenv("OPENAI_API_KEY", KEY)
        assert build(planted, folder, server.url, "--labelled-features", str(N)) == 0
    return folder, server


def test_texts_of_given_embeddings_of_which_nothing_is_known_are_shown(own_data: Path) -> None:
    generation = Run(own_data / "tiny").current()
    known = pq.read_table(generation.file(TEXT_SUMMARIES))
    unknown = known.set_column(known.schema.get_field_index("cut"), "cut", pa.nulls(len(known), pa.int32()))
    files.write_parquet(generation.file(TEXT_SUMMARIES), unknown, known.schema)
    (generation.path / "manifest.json").unlink()
    marker = AttributionMarker(Job(generation, BuildConfig("x", "x", embeddings="given.npy"), lambda _: None))
    choice = ChosenTexts(0, ((0, 10),), (1,), (2,), (3,))
    (material,) = materials(open_store(generation), [choice], marker, 0)
    assert material.fires_on[0].shown.text == pq.read_table(generation.file(TEXTS))["text"][0].as_py()[:CHARACTERS]
    assert marker.reason and material.fuzzing == []


def test_without_a_labeller_nothing_is_said(tiny: Run) -> None:
    generation = tiny.current()
    assert generation.done("explanations").line == "no labeller was asked for"
    assert pq.read_table(generation.file(EXPLANATIONS)).num_rows == 0
    assert queries.explanation(open_store(generation), 0) is None


def test_detection_is_what_the_rule_and_the_activations_give(described: tuple[Path, ChatServer]) -> None:
    folder, server = described
    generation = Run(folder / "tiny").current()
    rows = {row["feature_id"]: row for row in rows_of(folder) if row["scorer"] == "detection"}
    features = pq.read_table(generation.file(FEATURES)).to_pandas()
    usual = features[(features["density"] <= 0.1) & ~features["dead"]].sort_values("n_active", ascending=False)
    assert len(rows) == N and set(rows) <= set(usual["feature_id"]) | set(features["feature_id"])
    checked = 0
    for feature_id, row in rows.items():
        own = fires_on(generation, feature_id)
        topic = row["explanation"].removeprefix("Texts about ").removesuffix(".")
        asked = [
            text
            for question in server.of("texts")
            if question["explanation"] == row["explanation"] and "«" not in "".join(question["texts"])
            for text in question["texts"]
        ]
        same = [other for other in rows.values() if other["explanation"] == row["explanation"]]
        if len(same) > 1 or row["score"] is None:
            continue
        truth, said = np.array([text in own for text in asked]), np.array([rule_says(topic, text) for text in asked])
        assert row["score"] == pytest.approx((said[truth].mean() + (~said[~truth]).mean()) / 2)
        assert (row["n_texts"], row["n_fires"], row["n_unread"]) == (len(asked), truth.sum(), 0)
        assert row["low"] <= row["score"] <= row["high"] and row["reason"] is None
        checked += 1
    assert checked >= 2 and max(row["score"] for row in rows.values() if row["score"] is not None) > 0.9


def test_texts_that_describe_never_judge(described: tuple[Path, ChatServer]) -> None:
    _, server = described
    asked = server.of("fires_on")
    assert len(asked) == N
    for question in asked:
        texts = [shown["text"] for shown in question["fires_on"]] + question["silent_on"]
        assert {label_split(text) for text in texts} == {"named"}
        assert [shown["strength"] for shown in question["fires_on"]][0] <= 10
    judging = [re.sub("[«»]", "", text) for question in server.of("texts") for text in question["texts"]]
    assert {label_split(text) for text in judging} == {"judged"}
    for body in server.bodies:
        assert [message["role"] for message in body["messages"]] == ["system", "user"]
        assert body["messages"][0]["content"] in [
            path.read_text(encoding="utf-8").strip() for path in PROMPTS.glob("*.txt")
        ]


def test_marked_words_are_those_that_carry_the_feature(described: tuple[Path, ChatServer]) -> None:
    folder, server = described
    generation = Run(folder / "tiny").current()
    rows = [row for row in rows_of(folder) if row["scorer"] == "fuzzing" and row["score"] is not None]
    assert rows and max(row["score"] for row in rows) > 0.85, "the marks tell a planted topic from other words"
    sae, embedder = load_sae(generation.sae_folder), load_embedder(STAND_IN, normalize=False)
    kept = [files.read_json(path) for path in sorted((folder / "tiny" / ".cache" / "labeller").rglob("feature-*.json"))]
    assert len(kept) == N
    read = 0
    for row in rows:
        if sum(other["explanation"] == row["explanation"] for other in rows) > 1:
            continue
        weights = sae.W_enc.numpy()[:, row["feature_id"]]
        weights = weights - weights.mean() if sae.norm in ("layer_norm", "standardise") else weights
        asked = [
            text
            for question in server.of("texts")
            if question["explanation"] == row["explanation"]
            for text in question["texts"]
        ]
        for text in [text for text in asked if "«" in text]:
            words = text.split()
            carried = embedder.embed([re.sub("[«»]", "", word) for word in words]) @ weights
            marks = np.array(["«" in word for word in words])
            least = max(0.3 * carried.max(), np.sort(carried)[-min(6, len(words) // 3)] - 1e-6)
            assert (marks == (carried >= least)).all() or not (marks & (carried >= least)).any()
            read += 1
    assert read > 10


def test_what_it_costs_is_told_first_and_about_right(
    planted: Planted, own_data: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    with chat_server(rule) as server:
        assert build(planted, own_data, server.url, "--labelled-features", "4") == 0
    printed = capsys.readouterr().out
    cost = re.search(
        r"rule-judge at 127\.0\.0\.1:\d+ is to describe 4 features: about ([\d,]+) questions, ([\d,]+) tokens in and "
        r"([\d,]+) out \(4 characters count as a token\)\.",
        printed,
    )
    calls, tokens_in, tokens_out = (int(figure.replace(",", "")) for figure in cost.groups())
    assert abs(calls - len(server.bodies)) <= 0.1 * calls
    sent = sum(len(message["content"]) for body in server.bodies for message in body["messages"]) / 4
    assert tokens_in == pytest.approx(sent, rel=0.1) and 0 < tokens_out < tokens_in
    assert printed.index("is to describe") < printed.index("explanations: rule-judge described 4 features; detection")
    capsys.readouterr()
    with chat_server(rule) as again:
        assert build(planted, own_data, again.url, "--labelled-features", str(N)) == 0
    assert len(again.of("fires_on")) == N - 4, "those described before are not asked again"
    printed = capsys.readouterr().out
    assert "is to describe 2 features" in printed
    assert "; 4 were described before and are not asked again." in printed
    with chat_server(rule) as elsewhere:
        assert build(planted, own_data, elsewhere.url, "--labelled-features", str(N)) == 0
    assert not elsewhere.bodies, "a server that moved changes nothing"


def test_the_key_is_nowhere_and_the_model_and_the_host_are_in_run_json(described: tuple[Path, ChatServer]) -> None:
    folder, server = described
    assert set(server.keys) == {f"Bearer {KEY}"}
    for path in folder.rglob("*"):
        assert not path.is_file() or KEY.encode() not in path.read_bytes(), path
    generation = Run(folder / "tiny").current()
    facts = generation.describe()["explanations"]
    assert facts["model"] == "rule-judge" and facts["host"] == server.url.split("/")[2] and facts["n_explained"] == N
    assert server.url not in json.dumps(generation.done("explanations").made_from)
    assert generation.volatile()["explanations"]["calls"] == len(server.bodies)
    assert generation.volatile()["explanations"]["tokens_in"] == 100 * len(server.bodies)


def test_a_build_that_is_cut_short_goes_on_without_asking_again(
    planted: Planted, own_data: Path, described: tuple[Path, ChatServer], capsys: pytest.CaptureFixture[str]
) -> None:
    whole = len(described[1].bodies)
    counter = {"n": 0}

    def dies(body: dict) -> Reply:
        counter["n"] += 1
        return rule(body) if counter["n"] <= whole // 2 else refusal(401, "key withdrawn")

    with chat_server(dies) as first:
        assert build(planted, own_data, first.url, "--labelled-features", str(N)) == 2
    assert "refuses the key (401)" in capsys.readouterr().err
    assert Run(own_data / "tiny").current().name == "g0001", "the run that was there stands"
    with chat_server(rule) as second:
        assert build(planted, own_data, second.url, "--labelled-features", str(N)) == 0
    assert 0 < len(second.of("fires_on")) < N
    assert len(first.of("fires_on")) + len(second.of("fires_on")) <= N + 1, "one feature is lost at most"
    assert rows_of(own_data) == rows_of(described[0]), "cut short or not, the table is the same"


def test_nonsense_ends_the_build_in_a_sentence_and_is_not_kept(
    planted: Planted, own_data: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    with chat_server(lambda body: completion("<html>502 bad gateway</html>")) as server:
        assert build(planted, own_data, server.url) == 2
    assert len(server.bodies) == 10, "five features, each asked twice"
    said = capsys.readouterr().err
    assert "rule-judge answered 5 features running with nothing that can be read" in said and "502" in said
    assert not list((own_data / "tiny" / ".cache").rglob("feature-*.json"))
    assert Run(own_data / "tiny").current().name == "g0001"


def test_lists_of_a_wrong_length_are_left_out_and_counted(planted: Planted, own_data: Path) -> None:
    def careless(body: dict) -> Reply:
        asked = json.loads(body["messages"][1]["content"])
        if "texts" in asked and "«" in "".join(asked["texts"]):
            return completion("[1, 1, 1, 1, 1, 1]")
        unlucky = "texts" in asked and sum(map(len, asked["texts"])) % 4 == 0
        return completion("[1, 0, 1, 0, 1, 0, 1]") if unlucky else rule(body)

    with chat_server(careless) as server:
        assert build(planted, own_data, server.url, "--labelled-features", "4") == 0
    rows = rows_of(own_data)
    fuzzing = [row for row in rows if row["scorer"] == "fuzzing"]
    assert fuzzing and all(row["score"] is None for row in fuzzing)
    assert {row["reason"] for row in fuzzing if row["n_unread"]} == {"too few verdicts of the labeller could be read"}
    detection = [row for row in rows if row["scorer"] == "detection"]
    alone = [question for question in server.of("texts") if "«" not in "".join(question["texts"])]
    alone = [question["texts"][0] for question in alone if len(question["texts"]) == 1]
    unlucky = [text for text in alone if len(text) % 4 == 0]
    assert alone and sum(row["n_unread"] for row in detection) == len(unlucky), "asked again one at a time"


# What the page shows


def test_the_page_shows_the_sentence_as_text_with_its_scores(described: tuple[Path, ChatServer]) -> None:
    from streamlit.testing.v1 import AppTest

    explanation = queries.explanation(
        open_store(Run(described[0] / "tiny").current()), rows_of(described[0])[0]["feature_id"]
    )
    assert [score.scorer for score in explanation.scores] == ["detection", "fuzzing"]

    def page(folder: str, feature_id: int) -> None:
        import dataclasses

        from featurelib import queries
        from featurelib.storage.runs import Run
        from featurelib.storage.store import open_store
        from featurelib.ui.feature.explanation import explained

        explanation = queries.explanation(open_store(Run(__import__("pathlib").Path(folder)).current()), feature_id)
        explained(None)
        explained(dataclasses.replace(explanation, explanation="![x](http://evil/) <img src=x> $x$"))

    app = AppTest.from_function(page, args=(str(described[0] / "tiny"), explanation.feature_id)).run()
    assert not app.exception
    shown = bodies(app)
    assert len(shown) == 1 and "&lt;img src=x&gt;" in shown[0] and "<img" not in shown[0]
    words = text_of(shown[0])
    detection = explanation.scores[0]
    assert "explained by rule-judge" in words
    interval = f"({detection.low:.2f}–{detection.high:.2f}) on {detection.n_texts} texts"
    assert f"detection {detection.score:.2f} {interval}" in words
