"""Words that carry a feature, in a run: stored by the stage, returned by the worker, drawn on a page."""

from __future__ import annotations

import dataclasses
import json
import re
import shutil
from pathlib import Path

import numpy as np
import pyarrow.parquet as pq
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from featurelib import queries
from featurelib.embedder import load_embedder
from featurelib.live.client import Attribution, Deletions
from featurelib.sae.checkpoints import load_sae
from featurelib.schema import ATTRIBUTIONS, FEATURES, TEXT_WORDS, TEXTS, TOP_TEXT_ROWS, Refusal
from featurelib.storage import files
from featurelib.storage.runs import Generation
from featurelib.storage.store import open_store
from featurelib.ui.texts import highlight
from precompute.build.config import BuildConfig
from precompute.stages import attributions as stage
from precompute.stages.attributions import make_attributions
from tests.conftest import STAND_IN
from tests.support.numpy_run import QuietJob
from tests.support.page import text_of
from tests.support.planted import TOPICS
from tests.support.sentence_models import make_transformer, save_model


@pytest.fixture(scope="module")
def cls_model(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("cls")
    return save_model(folder / "model", make_transformer(folder / "plain", hidden=64), "cls")


@pytest.fixture
def copy(generation: Generation, tmp_path: Path) -> Generation:
    return Generation(Path(shutil.copytree(generation.path, tmp_path / "own" / "g0001")))


def texts_of(generation: Generation) -> list[str]:
    return pq.read_table(generation.file(TEXTS))["text"].to_pylist()


def rows_of(generation: Generation) -> list[dict]:
    words = {row["text_id"]: row for row in pq.read_table(generation.file(TEXT_WORDS)).to_pylist()}
    rows = pq.read_table(generation.file(ATTRIBUTIONS)).to_pylist()
    return [words[row["text_id"]] | row for row in rows]


def job(generation: Generation, **options) -> QuietJob:
    made = QuietJob(generation)
    made.config = BuildConfig(**{"source": "x", "name": "tiny", "embedder": STAND_IN, "device": "cpu"} | options)
    return made


# the stage


def test_every_live_feature_has_the_words_of_its_ten_strongest_texts(generation):
    top = pq.read_table(generation.file(TOP_TEXT_ROWS)).to_pandas()
    expected = top[top["rank"] <= 10].sort_values(["feature_id", "text_id"])
    rows = rows_of(generation)
    assert [(row["feature_id"], row["text_id"]) for row in rows] == list(
        zip(expected["feature_id"], expected["text_id"], strict=True)
    )
    text_words = pq.read_table(generation.file(TEXT_WORDS)).to_pandas()
    assert text_words["text_id"].tolist() == sorted(expected["text_id"].unique())
    facts = generation.done("attributions").facts
    assert facts["reason"] is None and facts["n_texts"] == len(text_words) and facts["n_contributions"] == len(rows)
    assert facts["n_words"] == sum(map(len, text_words["starts"])) and facts["largest_difference"] < 1e-5


def test_the_stored_parts_are_those_of_the_definition(generation):
    """A part of the stand-in is the word's direction through the encoder, over the length of their sum."""
    sae, texts = load_sae(generation.sae_folder), texts_of(generation)
    plain = load_embedder(STAND_IN, normalize=False)
    activations = {
        (row["feature_id"], row["text_id"]): row["activation"]
        for row in pq.read_table(generation.file(TOP_TEXT_ROWS)).to_pylist()
    }
    for row in rows_of(generation)[::17]:
        text, feature_id = texts[row["text_id"]], row["feature_id"]
        words = [text[start:end] for start, end in zip(row["starts"], row["ends"], strict=True)]
        assert words == text.split()
        directions = plain.embed(words)
        w = sae.W_enc[:, feature_id].numpy()
        expected = directions @ w / np.linalg.norm(directions.sum(axis=0))
        assert np.abs(expected - row["parts"]).max() < 2e-5
        bias = float(sae.b_enc[feature_id]) - float(sae.b_dec.numpy() @ w) * sae.subtract_b_dec
        assert row["special"] == 0 and row["constant"] == pytest.approx(bias, abs=1e-5)
        assert row["pre_activation"] == pytest.approx(activations[feature_id, row["text_id"]], abs=1e-5)
        total = sum(row["parts"]) + row["special"] + row["constant"]
        assert total == pytest.approx(row["pre_activation"], abs=1e-5)


def test_the_word_that_carries_a_feature_of_a_topic_is_a_word_of_it(generation, planted):
    texts, rows = texts_of(generation), rows_of(generation)
    right = []
    for feature_id in {row["feature_id"] for row in rows}:
        own = [row for row in rows if row["feature_id"] == feature_id]
        shares = {topic: np.mean([topic in planted.topics[row["text_id"]] for row in own]) for topic in TOPICS}
        topic = max(shares, key=shares.get)
        if shares[topic] == 1 and sorted(shares.values())[-2] < 0.7:
            for row in own:
                best = int(np.argmax(row["parts"]))
                word = texts[row["text_id"]][row["starts"][best] : row["ends"][best]].strip(".")
                right.append(word in TOPICS[topic].split())
    assert len(right) > 100 and np.mean(right) > 0.85


def test_equal_builds_are_equal_bytes_and_a_killed_one_goes_on(copy, monkeypatch):
    before = [copy.file(table).read_bytes() for table in (TEXT_WORDS, ATTRIBUTIONS)]
    written = stage._part

    def fails_at_the_third(*args):
        if len(list(copy.work("attributions").glob("rows-*"))) == 2:
            raise KeyboardInterrupt
        return written(*args)

    with monkeypatch.context() as patched, pytest.raises(KeyboardInterrupt):
        patched.setattr(stage, "_part", fails_at_the_third)
        make_attributions(job(copy))
    kept = {path: path.stat().st_mtime_ns for path in copy.work("attributions").iterdir()}
    assert len(kept) == 4
    make_attributions(job(copy))
    assert all(path.stat().st_mtime_ns == moment for path, moment in kept.items())
    assert [copy.file(table).read_bytes() for table in (TEXT_WORDS, ATTRIBUTIONS)] == before


def test_fewer_texts_a_feature_and_too_many(copy):
    facts = make_attributions(job(copy, attributed_texts=2)).facts
    live = pq.read_table(copy.file(FEATURES))["n_active"].to_numpy() > 0
    assert facts["n_contributions"] <= 2 * live.sum() and facts["n_features"] == live.sum()
    with pytest.raises(Refusal, match="--attributed-texts is 101"):
        job(copy, attributed_texts=101)


def test_token_states_of_long_texts_are_made_a_few_at_a_time(copy, monkeypatch):
    expected = pq.read_table(copy.file(ATTRIBUTIONS))
    monkeypatch.setattr(stage, "STATES_BYTES", 30_000)
    make_attributions(job(copy))
    assert pq.read_table(copy.file(ATTRIBUTIONS)).equals(expected)


@pytest.mark.parametrize(
    ("options", "reason"),
    [
        ({"embeddings": "e.npy", "embedder": None}, "what made the embeddings is not known"),
        ({"embedder": "cls"}, r"its pooling takes the state of the first token alone \(cls\)"),
    ],
)
def test_a_run_whose_embeddings_are_no_sums_has_empty_tables_and_says_why(copy, cls_model, options, reason):
    made = make_attributions(job(copy, **options | ({"embedder": str(cls_model)} if options["embedder"] else {})))
    assert re.search(f"no words, because {reason}", made.line) and re.search(reason, made.facts["reason"])
    assert not rows_of(copy) and not pq.read_metadata(copy.file(TEXT_WORDS)).num_rows


def test_a_run_of_dead_features_has_empty_tables(copy):
    files.write_parquet(copy.file(TOP_TEXT_ROWS), TOP_TEXT_ROWS.schema.empty_table(), TOP_TEXT_ROWS.schema)
    made = make_attributions(job(copy))
    assert (made.facts["n_features"], made.facts["n_words"], made.facts["reason"]) == (0, 0, None) and not rows_of(copy)


# asked


def test_contributions_come_in_the_order_asked_for_and_unknown_ones_give_nothing(generation):
    store = open_store(generation)
    by_feature = [row for row in rows_of(generation) if row["feature_id"] == rows_of(generation)[0]["feature_id"]]
    asked = [by_feature[3]["text_id"], 10**6, by_feature[0]["text_id"], by_feature[3]["text_id"]]
    contributions = queries.contributions(store, by_feature[0]["feature_id"], asked).to_pylist()
    assert [row["text_id"] for row in contributions] == [asked[0], asked[2]]
    assert contributions[0] == {name: by_feature[3][name] for name in contributions[0]}
    assert queries.no_words_reason(store) is None
    store.close()


# the worker


def test_the_worker_tells_what_is_stored(live, generation):
    texts = texts_of(generation)
    for row in rows_of(generation)[::40]:
        attribution = live.attributions(generation.path, texts[row["text_id"]], [row["feature_id"]])[0]
        assert attribution.starts.tolist() == row["starts"] and attribution.ends.tolist() == row["ends"]
        assert np.abs(attribution.by_word - row["parts"]).max() < 2e-5
        assert (attribution.special, attribution.constant, attribution.pre_activation) == pytest.approx(
            (row["special"], row["constant"], row["pre_activation"]), abs=1e-5
        )
        total = attribution.by_word.sum(dtype=np.float64) + attribution.special + attribution.constant
        assert abs(total - attribution.pre_activation) < 1e-5 and attribution.pre_activation > attribution.threshold


def test_a_deleted_word_changes_what_embedding_the_rest_again_says(live, generation):
    text, feature_id = texts_of(generation)[7], 5
    deletions = live.without_words(generation.path, text, feature_id)
    words = text.split()
    rest = [" ".join(words[:number] + words[number + 1 :]) for number in range(len(words))]
    sae, embedder = load_sae(generation.sae_folder), load_embedder(STAND_IN)
    z = sae.pre_activations(embedder.embed([text, *rest]))[:, feature_id].numpy()
    assert np.abs(deletions.changes - (z[0] - z[1:])).max() < 1e-5 and deletions.n_words_left_out == 0
    attributed = live.attributions(generation.path, text, [feature_id])[0]
    assert np.abs(deletions.by_word - attributed.by_word).max() < 1e-6 and deletions.whole_reason is None
    assert deletions.correlation == pytest.approx(np.corrcoef(deletions.by_word, deletions.changes)[0, 1], abs=1e-4)
    assert -1 <= deletions.rank_correlation <= 1
    few = live.without_words(generation.path, text, feature_id, most=3)
    assert len(few.changes) == 3 and few.n_words_left_out == len(words) - 3


def test_an_encoder_that_is_no_sum_tells_why_and_still_deletes_words(live, copy, cls_model):
    described = json.loads((copy.path / "run.json").read_text())
    facts = dataclasses.asdict(load_embedder(str(cls_model), device="cpu").facts)
    described["embedder"] |= facts
    (copy.path / "run.json").write_text(json.dumps(described))
    (copy.path / "volatile.json").write_text(json.dumps({"embed": {"embedder_folder": str(cls_model)}}))
    with pytest.raises(Refusal, match=r"no sum over tokens: .*\(cls\); only deleting words can be shown"):
        live.attributions(copy.path, "a galaxy", [1])
    deletions = live.without_words(copy.path, "a (black) galaxy", 1)
    assert [len(deletions.changes), deletions.by_word, deletions.rank_correlation] == [5, None, None]
    assert "(cls)" in deletions.whole_reason
    assert np.abs(deletions.changes).max() > 0


@pytest.mark.parametrize("text", ["<b>x</b>", "שלום עולם", "\u200b", "a\u200bb", "word " * 3000, "\ud800 x"])
def test_odd_texts_are_taken_apart(live, generation, text):
    attributions = live.attributions(generation.path, text, [0, 3])
    for attribution in attributions:
        assert attribution.by_word.sum(dtype=float) + attribution.special + attribution.constant == pytest.approx(
            attribution.pre_activation, abs=1e-5
        )
    assert len(live.without_words(generation.path, text, 0, most=4).changes) == min(4, len(attributions[0].starts))


def test_what_cannot_be_told_is_a_sentence(live, generation):
    with pytest.raises(Refusal, match="is empty"):
        live.attributions(generation.path, " ", [0])
    with pytest.raises(Refusal, match="at most 20,000"):
        live.without_words(generation.path, "x " * 500_000, 0)
    for ask in (
        lambda: live.attributions(generation.path, "x", [99]),
        lambda: live.without_words(generation.path, "x", -1),
    ):
        with pytest.raises(Refusal, match="there is no feature"):
            ask()


# drawn


def test_a_highlighted_text_is_the_text_escaped_and_coloured_by_sign():
    text = 'Title <img src=x onerror="a()"> **md** שלום'
    starts, ends = np.array([0, 7, 30]), np.array([5, 10, 36])
    drawn = highlight.highlighted(text, starts, ends, [0.5, -0.25, 0.001], title="Title")
    assert text_of(drawn) == text and "<img" not in drawn and "<bdi>" not in drawn
    assert "<i class=up style=--p:62 data-add=+0.500><b>Title</b></i>" in drawn
    assert "<i class=down style=--p:31 data-add=−0.250>img</i>" in drawn
    assert drawn.count("<i ") == 2  # the third is too faint to be seen


def test_what_the_embedder_did_not_read_is_grey():
    drawn = highlight.highlighted("one two three four", [0, 4], [3, 7], [1.0, 1.0], cut=7)
    assert drawn.endswith("three four</span></div>") and 'class="unread"' in drawn


def opening_of(text: str, starts: object, ends: object, parts: object, length: int, title: str = "") -> str:
    return highlight.opening(highlight.coloured_text(text, starts, ends, parts, title=title), length)


def test_the_window_holds_the_words_that_add_most():
    words = [f"w{number}" for number in range(200)]
    text = " ".join(words)
    starts = np.cumsum([0, *(len(word) + 1 for word in words[:-1])])
    ends = starts + [len(word) for word in words]
    parts = np.zeros(200)
    parts[150:153] = 1
    first, last = highlight.strongest_window(text, starts, ends, parts, 60)
    assert first in starts and last in ends and last - first <= 60
    assert first < starts[150] and ends[152] < last
    assert highlight.strongest_window(text, starts, ends, -parts, 60) == (0, 60)
    drawn = opening_of(text, starts, ends, parts, 100)
    first, last = highlight.strongest_window(text, starts, ends, parts, 100)
    assert text_of(drawn) == f"… {text[first:last]} …"
    titled = opening_of(text, starts, ends, parts, 105, title="w0 w1")
    assert text_of(titled) == f"w0 w1 … {text[first:last]} …"
    begins = opening_of(text, starts, ends, np.arange(200) == 2, 105, title="w0 w1")
    assert text_of(begins).startswith("w0 w1 w2 w3") and "<b>w0 w1</b>" in begins
    for place in (0, 199):
        parts = np.zeros(200)
        parts[place] = 1
        first, last = highlight.strongest_window(text, starts, ends, parts, 60)
        assert first <= starts[place] and ends[place] <= last and last - first <= 60


@settings(max_examples=200, deadline=None)
@given(
    st.lists(st.tuples(st.integers(1, 30), st.floats(-1, 1, width=16)), max_size=40),
    st.integers(20, 80),
    st.integers(0, 30),
)
def test_a_window_never_leaves_the_text_and_shows_the_strongest_word_that_fits(drawn, length, after):
    text = " ".join("x" * n for n, _ in drawn)
    starts = np.cumsum([0, *(n + 1 for n, _ in drawn)])[:-1].astype(int)
    ends, parts = starts + [n for n, _ in drawn], np.array([part for _, part in drawn])
    after = min(after, len(text))
    first, last = highlight.strongest_window(text, starts, ends, parts, length, after=after)
    assert after <= first <= last <= len(text) and (last - first <= length or len(text) <= after + length)
    fits = (starts >= after) & (ends - starts <= length)
    if (parts[fits] > 0).any():
        assert ((starts >= first) & (ends <= last) & (parts > 0)).any()


def test_the_sum_can_be_followed():
    attribution = Attribution(
        3, np.array([0, 4]), np.array([3, 8]), np.array([0.5, -0.1], np.float32), 0.05, -0.2, 0.25, 0.2
    )
    said = text_of(highlight.bars(attribution))
    assert (
        "+0.400" in said
        and "+0.0500" in said
        and "−0.200" in said
        and "= pre-activation" in said
        and "threshold" in said
    )
    assert "rounding" not in said
    off = dataclasses.replace(attribution, pre_activation=0.28)
    assert "+0.0300rounding of the stored embedding" in text_of(highlight.bars(off))
    row = {"starts": [0, 4], "ends": [3, 8], "parts": [0.5, -0.1], "special": 0.05, "constant": -0.2}
    assert highlight.bars(highlight.stored(row | {"pre_activation": 0.25}, 3, 0.2)) == highlight.bars(attribution)
    assert "threshold" not in text_of(highlight.bars(highlight.stored(row | {"pre_activation": 0.25}, 3, 0.0)))
    assert "one" in highlight.attributed_text("one twoo", attribution)


def test_the_deletions_say_what_they_are_and_how_far_they_agree():
    arrays = (np.array([0, 4], np.int32), np.array([3, 7], np.int32), np.array([0.2, -0.1], np.float32))
    deletions = Deletions(*arrays, 7, 0.3, arrays[2], 0.512, -0.25, None)
    said = text_of(highlight.deletion_text("one two", deletions))
    assert (
        "What changes when the word is deleted" in said
        and "correlation −0.25, rank correlation 0.51 over 2 words" in said
    )
    assert "7 more words were not deleted" in said
    only = dataclasses.replace(
        deletions,
        by_word=None,
        rank_correlation=None,
        correlation=None,
        whole_reason="its pooling is (cls)",
        n_words_left_out=0,
    )
    assert "Only this can be shown for this run's embedder: its pooling is (cls)." in text_of(
        highlight.deletion_text("one two", only)
    )
