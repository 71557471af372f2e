"""Features found by describing them, and texts of the reader's own: every number recomputed with numpy."""

from __future__ import annotations

import hashlib
import json
import re
import struct
from collections.abc import Iterator
from pathlib import Path
from urllib.parse import urlencode

import numpy as np
import pyarrow as pa
import pytest

import featurelib
from featurelib import queries, search, ui
from featurelib.embedder import load_embedder
from featurelib.live.client import LINES_AT_ONCE, MOST_LINES, Live
from featurelib.queries import OpenRun
from featurelib.schema import LABEL_VECTORS, Refusal, RunNotReady
from featurelib.storage import files
from featurelib.storage.runs import Generation, Run
from featurelib.storage.store import open_store
from featurelib.ui.kit.elements import number
from featurelib.ui.texts import text_input
from featurelib.ui.try_text.lines import lines_of, rows_of
from tests.conftest import STAND_IN
from tests.support.numpy_run import NumpyRun, make_run
from tests.support.page import Open, UseData, bodies, cards, lines, links, page_of, param, table, text_of, words

DESCRIPTION = "galaxy and quasar near a telescope"


@pytest.fixture(scope="module")
def made(tmp_path_factory: pytest.TempPathFactory) -> NumpyRun:
    return make_run(tmp_path_factory.mktemp("find") / "small")


@pytest.fixture(scope="module")
def live() -> Iterator[Live]:
    live = Live()
    yield live
    live.close()


@pytest.fixture(scope="module")
def opened(tiny: Run) -> OpenRun:
    return featurelib.open(tiny.path)


@pytest.fixture(scope="module")
def sae(tiny: Run) -> dict[str, np.ndarray]:
    """The tiny run's SAE, read from its file: a header of JSON, then float32 numbers."""
    raw = (tiny.current().sae_folder / "sae_weights.safetensors").read_bytes()
    size = struct.unpack("<Q", raw[:8])[0]
    header = json.loads(raw[8 : 8 + size])
    return {
        name: np.frombuffer(raw[8 + size :][slice(*entry["data_offsets"])], np.float32).reshape(entry["shape"])
        for name, entry in header.items()
        if name != "__metadata__"
    }


def encoded(sae: dict[str, np.ndarray], x: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Pre-activations and activations of a JumpReLU SAE whose encoder subtracts the decoder's bias."""
    z = (x - sae["b_dec"]) @ sae["W_enc"] + sae["b_enc"]
    return z, np.where(z > sae["threshold"], z, 0)


def test_the_sae_of_the_tiny_run_is_what_the_formula_says(opened: OpenRun, sae: dict[str, np.ndarray]) -> None:
    config = json.loads((opened.generation.sae_folder / "cfg.json").read_text())
    assert config["architecture"] == "jumprelu" and config["apply_b_dec_to_input"]
    stored = opened.ask("select feature_id, activation from activations_by_text where text_id = 5 order by feature_id")
    text = opened.ask("select text from texts where text_id = 5")["text"][0]
    activations = encoded(sae, load_embedder(STAND_IN).embed([text]))[1][0]
    assert np.flatnonzero(activations).tolist() == stored["feature_id"].tolist()
    assert activations[activations > 0] == pytest.approx(stored["activation"], abs=1e-5)


def test_a_close_look_tells_the_embedding_and_what_is_just_below_the_threshold(
    live: Live, opened: OpenRun, sae
) -> None:
    tried = live.try_closely(opened.generation.path, DESCRIPTION)
    x = load_embedder(STAND_IN).embed([DESCRIPTION])
    z, activations = (matrix[0] for matrix in encoded(sae, x))
    assert np.abs(tried.embedding - x[0]).max() < 1e-6
    silent = np.flatnonzero(activations == 0)
    order = silent[np.argsort((sae["threshold"] - z)[silent], kind="stable")][:20]
    assert tried.missed_ids.tolist() == order.tolist()
    assert tried.missed_pre_activations == pytest.approx(
        z[order], abs=1e-5
    ) and tried.missed_thresholds == pytest.approx(sae["threshold"][order])
    assert (tried.missed_pre_activations <= tried.missed_thresholds).all() and not tried.wordless
    assert sorted(tried.feature_ids.tolist()) == np.flatnonzero(activations).tolist()


def test_lines_are_tried_each_by_itself(live: Live, opened: OpenRun, sae: dict[str, np.ndarray]) -> None:
    texts = opened.ask("select text from texts order by text_id")["text"].tolist()[: LINES_AT_ONCE + 9]
    texts += ["galaxy", " leading space and  two", "word " * 100]
    tried = live.try_lines(opened.generation.path, texts)
    x = load_embedder(STAND_IN).embed(texts)
    activations = encoded(sae, x)[1]
    vectors = opened.ask("select embedding::float[] as e from embeddings order by text_id")["e"]
    mean = np.stack(vectors.to_list()).astype(np.float64).mean(0)
    rebuilt = activations @ sae["W_dec"] + sae["b_dec"]
    for row, text in enumerate(tried):
        order = np.lexsort((np.arange(activations.shape[1]), -activations[row]))[: np.count_nonzero(activations[row])]
        assert text.feature_ids.tolist() == order.tolist()
        assert text.activations == pytest.approx(activations[row][order], abs=1e-5)
        fvu = ((x[row] - rebuilt[row]) ** 2).sum() / ((x[row] - mean) ** 2).sum()
        cosine = x[row] @ rebuilt[row] / np.linalg.norm(x[row]) / np.linalg.norm(rebuilt[row])
        assert (text.fvu, text.cosine) == pytest.approx((fvu, cosine), abs=1e-4)
        assert (text.n_tokens, text.truncated) == (len(texts[row].split()), len(texts[row].split()) > 64)
    assert live.try_lines(opened.generation.path, []) == []


def test_too_many_lines_or_an_empty_one_are_refused(live: Live, opened: OpenRun) -> None:
    with pytest.raises(Refusal, match="201 texts; at most 200"):
        live.try_lines(opened.generation.path, ["a"] * (MOST_LINES + 1))
    with pytest.raises(Refusal, match="is empty"):
        live.try_lines(opened.generation.path, ["a", " "])


@pytest.mark.real_model
def test_a_text_of_no_tokens_is_told_by_the_real_model(monkeypatch: pytest.MonkeyPatch, opened: OpenRun) -> None:
    from featurelib.live.worker import try_text as lines

    minilm = load_embedder(device="cpu")
    monkeypatch.setattr(lines, "open_embedder", lambda _: minilm)
    texts = ["\u200b\u200d", "\u200bgalaxy", "שלום", "\u00ad"]
    tried = lines._tried(opened.generation.path, texts, load_embedder(STAND_IN).embed(texts))
    assert [text.wordless for text in tried] == [True, False, False, True]


def vectors_of(generation: Generation) -> tuple[np.ndarray, np.ndarray]:
    rows = open_store(generation).ask("select feature_id, embedding from label_vectors order by feature_id")
    return rows["feature_id"].to_numpy(), np.stack([np.array(vector) for vector in rows["embedding"].to_pylist()])


@pytest.fixture
def with_vectors(own_data: Path) -> Generation:
    """A copy of the tiny run whose labels have the stand-in's embeddings."""
    generation = Run(own_data / "tiny").current()
    labels = open_store(generation).ask("select feature_id, label from labels order by feature_id")
    vectors = load_embedder(STAND_IN).embed([label.replace("·", " ") for label in labels["label"].to_pylist()])
    columns = [labels["feature_id"].combine_chunks(), pa.array(list(vectors), pa.list_(pa.float32()))]
    rows = pa.table(columns, schema=LABEL_VECTORS.schema)
    files.write_parquet(generation.file(LABEL_VECTORS), rows, LABEL_VECTORS.schema)
    (generation.path / "manifest.json").unlink()
    return generation


def test_labels_by_meaning_are_numpys_cosines(with_vectors: Generation) -> None:
    store = open_store(with_vectors)
    ids, vectors = vectors_of(with_vectors)
    named = store.ask("select feature_id from labels where source <> 'none' order by feature_id")["feature_id"]
    named = named.to_numpy()
    vectors = vectors[np.isin(ids, named)]
    asked = load_embedder(STAND_IN).embed([DESCRIPTION])[0]
    lengths = np.linalg.norm(vectors, axis=1) * np.linalg.norm(asked)
    cosines = np.divide(vectors @ asked, lengths, out=np.full(len(named), np.nan), where=lengths > 0)
    order = np.lexsort((named, -cosines))[:7]
    labels = search.labels_by_meaning(store, asked, limit=7)
    assert labels["feature_id"].to_pylist() == named[order].tolist()
    assert labels["cosine"].to_pylist() == pytest.approx(cosines[order], abs=1e-6)


def test_vectors_that_cannot_be_compared_are_refused(with_vectors: Generation, made: NumpyRun, tmp_path: Path) -> None:
    store = open_store(with_vectors)
    for vector, reason in (
        (np.zeros(64), "zero or not finite"),
        (np.full(64, np.nan), "zero or not finite"),
        (np.ones(7), "has 7 numbers; those of this run's labels 64"),
    ):
        with pytest.raises(Refusal, match=reason):
            search.labels_by_meaning(store, vector)
    with pytest.raises(Refusal, match="have no embeddings"):
        search.labels_by_meaning(open_store(made.generation), np.ones(16))
    early = make_run(tmp_path / "early", upto="layout").generation
    with pytest.raises(RunNotReady, match="labels"):
        search.labels_by_meaning(open_store(early), np.ones(16))


def test_labels_that_hold_some_words_are_counted_as_python_counts(made: NumpyRun) -> None:
    asked = "the galaxies of GALAXY-key7 and straße, label13! alaxy"
    wanted = search.words_of(asked)
    assert wanted == ["galaxies", "galaxy", "key7", "straße", "label13", "alaxy"]
    counted = []
    for feature_id, label in made.labels.items():
        keywords = made.keywords.query("feature_id == @feature_id")["keyword"]
        word_lists = [re.findall(r"[^\W_]+", each.lower()) for each in (" ".join([label, *keywords]), label)]
        n_words, n_label = (
            sum(any(word.startswith(prefix) for word in each) for prefix in wanted) for each in word_lists
        )
        density = (made.activations[:, feature_id] > 0).mean()
        if n_words:
            counted.append((-n_words, -n_label, -density, feature_id))
    features = search.labels_by_some_words(open_store(made.generation), asked, limit=40)
    assert features["feature_id"].to_pylist() == [row[-1] for row in sorted(counted)][:40]
    assert features["n_words"].to_pylist() == [-row[0] for row in sorted(counted)][:40]
    assert not search.words_of("the and of - !") and "_" not in "".join(search.words_of("snake_case"))


def test_the_three_lists_are_what_numpy_finds(with_vectors: Generation, sae, use_data: UseData) -> None:
    use_data(with_vectors.path.parent.parent)
    app = page_of("search.py", {"run": "tiny", "by": "features", "q": DESCRIPTION})
    for title in ("By words", "By the meaning of names", "Features that fire on it", "Just below the threshold"):
        assert title in words(app)
    store = open_store(with_vectors)
    x = load_embedder(STAND_IN).embed([DESCRIPTION])
    labels = dict(store.ask("select feature_id, label from labels").to_pandas().itertuples(index=False))
    z, activations = (matrix[0] for matrix in encoded(sae, x))
    by_name = search.labels_by_meaning(store, x[0], limit=12).to_pylist()
    fires = np.lexsort((np.arange(len(z)), -activations))[: np.count_nonzero(activations)][:12]
    drawn = [line[:2] for line in lines(app)]
    n_some = search.labels_by_some_words(store, DESCRIPTION, limit=12).num_rows
    assert n_some and drawn[n_some : n_some + len(by_name)] == [
        (row["label"], f"{row['cosine']:.2f}") for row in by_name
    ]
    start = n_some + len(by_name)
    assert drawn[start : start + len(fires)] == [
        (labels[feature_id], number(float(activations[feature_id]))) for feature_id in fires
    ]
    silent = np.flatnonzero(activations == 0)
    nearest = silent[np.argsort((sae["threshold"] - z)[silent], kind="stable")][:6]
    assert drawn[start + len(fires) :] == [(labels[feature_id], number(float(z[feature_id]))) for feature_id in nearest]


def test_by_words_needs_no_worker_and_the_others_say_why_they_are_missing(made: NumpyRun, use_data: UseData) -> None:
    use_data(made.run.path.parent)
    app = page_of("search.py", {"run": "small", "by": "features", "q": "label13"})
    assert made.labels[13] in [line[0] for line in lines(app)]
    assert words(app).count("has no embeddings yet") == 2
    some = page_of("search.py", {"run": "small", "by": "features", "q": "label13 nonesuch"})
    assert (made.labels[13], "1 of 2") in [line[:2] for line in lines(some)]
    none = page_of("search.py", {"run": "small", "by": "features", "q": "nonesuch"})
    assert "No label or keyword contains these words." in words(none)
    begin = page_of("search.py", {"run": "small", "by": "features"})
    assert "Describe what a feature should be about" in words(begin)


def test_words_lead_to_the_search_for_features(made: NumpyRun, use_data: UseData) -> None:
    use_data(made.run.path.parent)
    app = page_of("search.py", {"run": "small", "q": "galaxy"})
    assert "find features by this description ›" in links(app)


def test_a_tried_text_shows_its_features_its_words_and_the_nearest_texts(opened: OpenRun, open_tiny: Open, sae) -> None:
    text = "galaxy star quasar nebula and a <b>ring</b> of **polynomial** words שלום \u200b"
    app = open_tiny("try.py", t=text)
    x = load_embedder(STAND_IN).embed([text])
    activations = encoded(sae, x)[1][0]
    order = np.lexsort((np.arange(len(activations)), -activations))[: np.count_nonzero(activations)]
    labels = opened.ask("select label from labels order by feature_id")["label"]
    assert lines(app)[: len(order)] == [
        (labels[feature_id], number(float(activations[feature_id])), ui.density(float(density_of(opened, feature_id))))
        for feature_id in order
    ]
    assert f"feature {order[0]}" in words(app) and "What each word adds to the pre-activation" in words(app)
    assert any("&lt;b&gt;ring&lt;/b&gt;" in body for body in bodies(app))
    assert not any("<b>ring</b>" in body for body in bodies(app))
    rows = opened.ask("select embedding::float[] as e from embeddings order by text_id")["e"]
    vectors = np.stack(rows.to_list()).astype(np.float64)
    cosines = np.sort(vectors @ x[0] / np.linalg.norm(vectors, axis=1) / np.linalg.norm(x[0]))[::-1][:5]
    shown = [float(re.search(r"<bdi>(-?[\d.]+)</bdi>", card).group(1)) for card in cards(app)]
    assert shown == pytest.approx(cosines, abs=6e-3)


def density_of(opened: OpenRun, feature_id: int) -> float:
    return queries.feature(opened.store, int(feature_id)).density


def test_a_feature_of_the_address_is_taken_apart_even_where_it_is_silent(opened: OpenRun, open_tiny: Open, sae) -> None:
    text = "galaxy star quasar nebula"
    x = load_embedder(STAND_IN).embed([text])
    z, activations = (matrix[0] for matrix in encoded(sae, x))
    silent = int(np.flatnonzero(activations == 0)[0])
    app = open_tiny("try.py", t=text, feature=silent)
    assert f"feature {silent}" in words(app)
    assert number(float(z[silent])).replace("-", "−") in words(app)
    lost = open_tiny("try.py", t=text, feature=999)
    assert "there is no feature 999" in words(lost).lower() and "Features that fire" in words(lost)
    assert "there is no feature 999999999999" in words(open_tiny("try.py", t=text, feature=999999999999)).lower()


def test_a_run_without_summaries_says_so_and_still_shows_the_nearest_texts(own_data: Path, use_data: UseData) -> None:
    generation = Run(own_data / "tiny").current()
    (generation.path / "manifest.json").unlink()
    (generation.path / "done" / "summarise.json").unlink()
    use_data(own_data)
    app = page_of("try.py", {"run": "tiny", "t": "galaxy star quasar nebula"})
    assert "its stage 'summarise' is not done" in words(app) and "Nearest texts of the corpus" in words(app)


def test_deleting_words_is_asked_for(open_tiny: Open) -> None:
    app = open_tiny("try.py", t="galaxy star quasar nebula polynomial")
    assert "What changes when the word is deleted" not in words(app)
    app = open_tiny("try.py", t="galaxy star quasar nebula polynomial", deleted="yes")
    assert "What changes when the word is deleted" in words(app)


@pytest.mark.parametrize(
    ("text", "said"),
    [
        (" \n\t ", "The text is only white space"),
        ("", "Or one from the corpus"),
        ("x" * 2001, "more than 2,000 characters of text"),
    ],
)
def test_a_text_that_is_none_or_too_much_gets_a_sentence(open_tiny: Open, text: str, said: str) -> None:
    assert said in words(open_tiny("try.py", t=text))


@pytest.mark.parametrize("text", ["\u200b\u200d", "\u202eשלום مرحبا\u202c", "\x00\x1b", "![x](http://e/x.png) $x$ <q>"])
def test_odd_texts_are_tried_and_shown_letter_by_letter(open_tiny: Open, text: str) -> None:
    app = open_tiny("try.py", t=text)
    assert "cosine to its reconstruction" in words(app)
    assert ui.plain(text) in " ".join(text_of(body) for body in bodies(app))
    assert not any("<q>" in body for body in bodies(app))


def test_a_long_text_is_kept_in_the_session_and_not_in_the_address(open_tiny: Open) -> None:
    app = open_tiny("try.py")
    text = "galaxy star " * 400
    app.text_area(key="address t").set_value(text).run()
    assert not app.exception
    name = hashlib.sha256(text.encode()).hexdigest()[:16]
    assert param(app, "kept") == name and "t" not in app.query_params
    assert f"{len(text):,} of at most 20,000 characters" in words(app) and "in this session only" in words(app)
    assert "Features that fire" in words(app) and app.text_area(key="address t").value == text
    assert "more texts near it in meaning ›" not in links(app)
    app.text_area(key="address t").set_value("galaxy").run()
    assert param(app, "t") == "galaxy" and "kept" not in app.query_params
    assert "kept only in the session" in words(open_tiny("try.py", kept=name))


def test_a_megabyte_is_cut_with_a_sentence(open_tiny: Open) -> None:
    app = open_tiny("try.py")
    app.text_area(key="address t").set_value("galaxies merge. " * 62_500).run()
    assert not app.exception
    assert "1,000,000 characters were pasted; the first 200,000 are kept." in words(app)
    assert "at most 20,000 can be tried" in words(app) and "200,000 of at most 20,000 characters" in words(app)
    assert app.text_area(key="address t").value == "galaxies merge. " * 12_500
    app.run()
    assert "were pasted" not in words(app)


@pytest.mark.parametrize("text", ["a" * 2000, "é" * 2000, "漢" * 600, "漢" * 700, "a b\n" * 500, "🙂" * 2000])
def test_an_address_never_grows_beyond_what_proxies_take(monkeypatch: pytest.MonkeyPatch, text: str) -> None:
    monkeypatch.setattr(text_input.st, "session_state", {})
    params = text_input.in_address(text)
    assert len(urlencode(params)) < 6_100
    kept = text_input.st.session_state.get(text_input.STORED, {})
    assert params == {"t": text} or kept == {params["kept"]: text}


def test_a_session_keeps_the_last_long_texts(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(text_input.st, "session_state", {})
    names = [text_input.in_address(f"{number} " * 3000)["kept"] for number in range(text_input.MOST_STORED + 3)]
    assert list(text_input.st.session_state[text_input.STORED]) == names[3:]


def test_lines_become_a_table_whose_rows_are_the_lines_alone(opened: OpenRun, open_tiny: Open, live: Live) -> None:
    texts = opened.ask("select text from texts order by text_id")["text"].tolist()[:3]
    pasted = f"{texts[0]}\n\n  \n{texts[1]}\ngalaxy <b>x</b>"
    app = open_tiny("try.py", t=pasted, lines="yes")
    shown = table(app)
    assert [row["line"] for row in shown.rows] == ["1", "4", "5"]
    assert shown.opens == [f"try?{urlencode({'run': 'tiny', 't': text})}" for text in lines_texts(pasted)]
    lines = lines_of(pasted)
    rows = rows_of(opened.store, lines, live.try_lines(opened.generation.path, [text for _, text in lines])).to_pandas()
    assert rows["text"].tolist() == [texts[0], texts[1], "galaxy <b>x</b>"] == lines_texts(pasted)
    labels = opened.ask("select label from labels order by feature_id")["label"]
    for text, row in zip(rows["text"], rows.to_dict("records"), strict=True):
        alone = live.try_text(opened.generation.path, text)
        assert row["features"].tolist() == alone.feature_ids.tolist() and row["n_active"] == len(alone.feature_ids)
        assert row["activations"] == pytest.approx(alone.activations, abs=1e-6)
        assert (row["explained"], row["cosine"]) == pytest.approx((1 - alone.fvu, alone.cosine), abs=1e-5)
        assert (row["n_tokens"], row["truncated"]) == (alone.n_tokens, alone.truncated)
        named = [
            f"{labels[feature_id]} {value:.2f}"
            for feature_id, value in zip(alone.feature_ids, alone.activations, strict=True)
        ]
        assert row["strongest"] == ";  ".join(named[:3])
    for row, read in zip(rows.to_dict("records"), shown.rows, strict=True):
        assert read["strongest features"] == row["strongest"] and read["cosine"] == f"{row['cosine']:.3f}"
        assert read["explained"] == f"{100 * row['explained']:.2f} %" and read["truncated"] == "no"
    by_cosine = open_tiny("try.py", t=pasted, lines="yes", sort="cosine", order="rising")
    assert table(by_cosine).numbers("cosine") == sorted(shown.numbers("cosine"))


def lines_texts(pasted: str) -> list[str]:
    return [text for _, text in lines_of(pasted)]


def test_the_table_of_lines_names_what_it_leaves_out(open_tiny: Open) -> None:
    app = open_tiny("try.py", lines="yes")
    app.text_area(key="address t").set_value("\n".join(["galaxy"] * 203 + ["x" * 20_001])).run()
    assert "Lines longer than 20,000 characters are left out: 204." in words(app)
    assert "The first 200 of 203 lines are tried" in words(app) and len(table(app).rows) == 200
    assert lines_of("a\n \n\tb\n") == [(1, "a"), (3, "\tb")]
