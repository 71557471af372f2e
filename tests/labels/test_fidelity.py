"""Names with evidence: the words of names, the stage labels on a planted corpus."""

from __future__ import annotations

import re
import shutil
from collections.abc import Sequence
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from sklearn.metrics import roc_auc_score

from benchmarks import fidelity as benchmark
from featurelib import queries
from featurelib.embedder import load_embedder
from featurelib.labels import choice, phrases, words
from featurelib.labels.keywords import LONGEST_LABEL
from featurelib.language.guess import Languages
from featurelib.schema import (
    BY_FEATURE,
    BY_TEXT,
    EMBEDDINGS,
    FIDELITY,
    KEYWORD_EVIDENCE,
    KEYWORDS,
    LABEL_SPLIT,
    LABEL_VECTORS,
    LABELS,
    TEXTS,
    TOP_TEXT_ROWS,
    Refusal,
)
from featurelib.storage import files
from featurelib.storage.runs import Generation, Run
from featurelib.storage.store import open_store
from precompute.build.config import BuildConfig
from precompute.build.job import Job
from precompute.stages.labels import candidates, choices, make_labels
from tests.conftest import STAND_IN
from tests.support import page
from tests.support.page import Open
from tests.support.planted import FILLER, TOPICS, Planted

WRITTEN = (LABELS, FIDELITY, KEYWORD_EVIDENCE, LABEL_VECTORS)


# --- the words of names ------------------------------------------------------------------------------------------


def phrases_of(texts: Sequence[str], rows: Sequence[int], weights: Sequence[float], most: int = 50) -> dict[str, float]:
    words = phrases.TextWords.read(texts, Languages({"en": 1.0}))
    index = phrases.Phrases(words)
    listed = index.candidates(np.array(rows), np.array(weights, np.float32), most)
    assert [phrase.contrast for phrase in listed] == sorted((phrase.contrast for phrase in listed), reverse=True)
    return {phrase.phrase: phrase.contrast for phrase in listed}


def test_contrast_is_the_share_of_activation_times_the_log_of_its_lift() -> None:
    texts = ["dark matter halos", "dark matter", "the star", "a star of the halo", "star dust", "galaxy"]
    contrasts = phrases_of(texts, [0, 1, 4], [2.0, 1.0, 1.0])
    assert contrasts["dark matter"] == pytest.approx(0.75 * np.log(0.75 * 7 / 2.5))
    # in two of three texts, and more frequent than elsewhere; "dark" stands in this phrase alone
    assert set(contrasts) == {"dark matter"}
    assert "star" not in contrasts


def test_no_phrase_runs_over_a_mark_or_into_another_text_or_begins_with_a_stop_word() -> None:
    texts = [
        "x-ray flux, black hole. equation of state",
        "x-ray flux; black hole: equation of state",
        "other words here",
    ]
    texts += [f"filling number{place}" for place in range(5)]
    candidates = set(phrases_of(texts, [0, 1], [1, 1]))
    assert {"x-ray flux", "black hole", "equation of state"} <= candidates
    assert not candidates & {
        "x-ray",
        "state",
        "flux black",
        "hole equation",
        "of state",
        "equation of",
        "of",
        "state x-ray",
    }


@pytest.mark.parametrize("texts", [[""], ["", "!!! ... 12 3"], ["x" * 5000], ["类星体观测" * 20], ["\u202eabc\u200b"]])
def test_texts_without_words_give_no_error(texts: list[str]) -> None:
    assert all(len(phrase) <= LONGEST_LABEL for phrase in phrases_of(texts, range(len(texts)), [1.0] * len(texts)))


def test_a_text_holds_a_keyword_when_it_holds_all_its_words_whole() -> None:
    texts = ["Dark energy and matter", "darkness matters", "STRASSE Dark-Matter", "", "x-ray"]
    holders = words.TextsContaining(texts, ["dark matter", "Straße", "ray", "nowhere", "?!"])
    assert holders("dark matter").tolist() == [True, False, True, False, False]
    assert holders("Straße").tolist() == [False, False, True, False, False]
    assert holders("ray").tolist() == [False, False, False, False, True]
    assert not holders("nowhere").any() and not holders("?!").any()


@pytest.mark.parametrize(
    ("keyword", "label", "new"),
    [
        ("galaxies", ["galaxy"], False),
        ("galaxy clusters", ["galaxy"], False),
        ("galaxy", ["galaxy clusters"], False),
        ("dark matter", ["galaxy clusters"], True),
        ("quantum wells", ["quantum dots"], True),
        ("proton", ["proton-proton"], False),
        ("superconductivity", ["superconductor"], False),
        ("glass", ["gas"], True),
        ("optimize", ["optimization"], False),
        ("participant", ["particle"], True),
        ("matter dark", ["dark matter"], False),
        ("?", [], False),
    ],
)
def test_a_keyword_joins_a_label_only_with_a_word_of_its_own(keyword: str, label: list[str], new: bool) -> None:
    assert words.adds(keyword, label) is new


def test_names_are_the_same_whatever_their_order_case_and_number() -> None:
    assert words.label_stems("Galaxies · dark matter") == words.label_stems("matter dark · galaxy")
    assert words.label_words("a b · C") == words.label_words("c · B a") != words.label_words("a b")
    assert words.repeats("lidar lidars") and not words.repeats("dark matter")


def test_of_two_features_that_want_a_name_the_one_with_more_evidence_has_it() -> None:
    wanted = {7: [(0.9, ["star"]), (0.2, ["sun"])], 3: [(0.8, ["stars"]), (0.5, ["moon"])], 5: [(0.7, ["Moon"])]}
    assert choice.share_out(wanted) == {7: ["star"], 5: ["Moon"], 3: ["stars"]}  # nothing of its own is left for 3
    wanted[3].append((0.1, ["comet"]))
    assert choice.share_out(wanted) == {7: ["star"], 5: ["Moon"], 3: ["comet"]}


# --- the verb ----------------------------------------------------------------------------------------------------


def job_of(generation: Generation, **options: object) -> Job:
    return Job(generation, BuildConfig(**{"source": "x", "name": "x", "embedder": STAND_IN, **options}), lambda _: None)


def tables(generation: Generation) -> dict[str, bytes]:
    return {table.view: generation.file(table).read_bytes() for table in WRITTEN}


def rows_of(generation: Generation, table: object) -> list[dict]:
    return pq.read_table(generation.file(table)).to_pylist()


@pytest.fixture
def own(own_data: Path) -> Generation:
    return Run(own_data / "tiny").current()


def test_names_are_of_the_topics_that_fire_and_predict_better_than_the_seeds(tiny: Run, planted: Planted) -> None:
    rows = pa.concat_tables([pq.read_table(path) for path in tiny.current().parts(BY_FEATURE)]).to_pandas()
    of = {topic: np.array([topic in own for own in planted.topics]) for topic in TOPICS}
    shares = []
    for row in rows_of(tiny.current(), LABELS):
        fires = np.isin(range(600), rows.loc[rows["feature_id"] == row["feature_id"], "text_id"])
        topic = max(of, key=lambda name: roc_auc_score(fires, of[name]))
        if row["source"] == "evidence" and roc_auc_score(fires, of[topic]) > 0.9:
            words = re.findall(r"\w+", row["label"])
            shares.append(np.mean([word in TOPICS[topic].split() for word in words]))
    assert len(shares) >= 10 and np.mean(shares) > 0.9
    facts = tiny.current().done("labels").facts["fidelity"]["resembles"]
    for measure in ("auroc_mean", "ap_mean"):
        assert facts["ours"][measure]["value"] > facts["seed"][measure]["value"]


def test_fidelity_is_what_scikit_learn_finds_with_the_labels_as_written(tiny: Run) -> None:
    generation = tiny.current()
    table = pq.read_table(generation.file(FIDELITY)).to_pandas()
    ground = benchmark.ground_of(generation.path, by_meaning=True)
    names = sorted({keyword for label in table["label"] for keyword in label.split(" · ")})
    vectors = benchmark.keyword_vectors(generation.describe()["embedder"], names)
    again = benchmark.measure_again(generation.path, table, ground, vectors)
    assert len(again) > 80 and set(again["method"]) == {"ours", "seed"}
    for measure in ("auroc", "ap"):
        np.testing.assert_allclose(again[measure], again[f"{measure} again"], atol=1e-3)
        assert (again[f"{measure}_low"] <= again[measure]).all() and (again[measure] <= again[f"{measure}_high"]).all()
    assert (again["n_fires"] == again["fires again"]).all() and (again["n_texts"] == len(ground.text_ids)).all()
    few = table[table["auroc"].isna()]
    assert (few["n_fires"] < 5).all() and few["ap"].isna().all() and few["ap_low"].isna().all()


def test_every_candidate_went_through_the_embedder_and_the_sae(tiny: Run) -> None:
    import featurelib

    generation = tiny.current()
    rows = rows_of(generation, KEYWORD_EVIDENCE)
    sae = featurelib.load_sae(generation.sae_folder)
    x = load_embedder(STAND_IN).embed([row["keyword"] for row in rows])
    ids = [row["feature_id"] for row in rows]
    pre, encoded = sae.pre_activations(x).numpy()[range(len(ids)), ids], sae.encode(x).numpy()[range(len(ids)), ids]
    np.testing.assert_allclose([row["pre_activation"] for row in rows], pre, atol=1e-6)
    assert [row["fires"] for row in rows] == (encoded > 0).tolist()
    labels = {row["feature_id"]: row["label"] for row in rows_of(generation, LABELS)}
    for feature_id, label in labels.items():
        chosen = {row["keyword"] for row in rows if row["feature_id"] == feature_id and row["chosen"]}
        assert chosen == set(label.split(" · ")) or label == f"feature {feature_id}"
        ranks = [row["rank"] for row in rows if row["feature_id"] == feature_id]
        assert ranks == list(range(1, len(ranks) + 1)) and len(ranks) <= 12


def test_a_labels_vector_is_the_mean_of_its_keywords_unit_embeddings(tiny: Run) -> None:
    generation = tiny.current()
    labels = {row["feature_id"]: row["label"] for row in rows_of(generation, LABELS) if row["source"] != "none"}
    vectors = {row["feature_id"]: row["embedding"] for row in rows_of(generation, LABEL_VECTORS)}
    assert vectors.keys() == labels.keys()
    embedder = load_embedder(STAND_IN)
    for feature_id, label in labels.items():
        mean = embedder.embed(label.split(" · ")).mean(axis=0)
        np.testing.assert_allclose(vectors[feature_id], mean / np.linalg.norm(mean), atol=1e-6)


def test_no_two_features_have_one_name(tiny: Run) -> None:
    labels = [row["label"] for row in rows_of(tiny.current(), LABELS)]
    assert len({words.label_stems(label) for label in labels}) == len(labels)


def test_judging_again_gives_the_same_bytes(own: Generation) -> None:
    before = tables(own)
    make_labels(job_of(own))
    assert tables(own) == before


@pytest.mark.parametrize("at", ["candidates", "choices"])
def test_a_killed_run_goes_on_and_ends_with_the_same_bytes(
    own: Generation, monkeypatch: pytest.MonkeyPatch, at: str
) -> None:
    before = tables(own)
    shutil.rmtree(own.work("labels"), ignore_errors=True)
    monkeypatch.setattr(choices, "FEATURES_PER_PART", 8)
    made = []

    def killed(*arguments: object) -> object:
        if len(made) == (1 if at == "candidates" else 20):
            raise KeyboardInterrupt
        made.append(arguments)
        return real(*arguments)

    with monkeypatch.context() as patched, pytest.raises(KeyboardInterrupt):
        module, name = (files, "write_array") if at == "candidates" else (choices, "choose")
        monkeypatch.setattr(candidates, "STRINGS_PER_PART", 64)
        real = getattr(module, name)
        patched.setattr(module, name, killed)
        make_labels(job_of(own))
    kept = {path: path.stat().st_mtime_ns for path in own.work("labels").iterdir()}
    assert len(kept) > 1
    make_labels(job_of(own))
    assert tables(own) == before
    assert all(path.stat().st_mtime_ns == stamp for path, stamp in kept.items())


def test_what_a_judged_text_says_changes_no_name(own: Generation) -> None:
    before = tables(own)
    judged = np.flatnonzero(pq.read_table(own.file(LABEL_SPLIT))["part"].to_numpy() == "judged")
    rewrite_texts(own, judged)
    make_labels(job_of(own))
    after = tables(own)
    for view in ("labels", "keyword_evidence", "label_vectors"):
        assert after[view] == before[view], view
    assert after["fidelity"] != before["fidelity"]


def test_what_a_named_text_says_does_change_names(own: Generation) -> None:
    before = tables(own)
    named = np.flatnonzero(pq.read_table(own.file(LABEL_SPLIT))["part"].to_numpy() == "named")
    rewrite_texts(own, named[::2])
    make_labels(job_of(own))
    assert tables(own)["labels"] != before["labels"]


def test_texts_that_say_a_word_again_and_again_are_named_too(own: Generation) -> None:
    fired = pa.concat_tables([pq.read_table(path) for path in own.parts(BY_TEXT)]).to_pandas()
    strongest = fired.sort_values("activation").groupby("text_id")["feature_id"].last()
    draw = np.random.default_rng(0)
    table = pq.read_table(own.file(TEXTS))
    words = [[f"{letter}{strongest.get(text_id, 99)}" for letter in "abcdef"] for text_id in range(table.num_rows)]
    texts = pa.array([" ".join(draw.choice(own_words, 10)) for own_words in words])
    files.write_parquet(
        own.file(TEXTS), table.set_column(table.schema.get_field_index("text"), "text", texts), table.schema
    )
    make_labels(job_of(own))
    origins = {row["origin"] for row in rows_of(own, KEYWORD_EVIDENCE)}
    assert {"active texts", "encoder"} <= origins <= {"top texts", "active texts", "encoder"}
    assert sum(row["source"] == "evidence" for row in rows_of(own, LABELS)) > 20


def rewrite_texts(generation: Generation, text_ids: np.ndarray) -> None:
    """Give these texts other words and embeddings, and all features' activations on them to other ones of them."""
    table = pq.read_table(generation.file(TEXTS))
    texts = np.array(table["text"].to_pylist(), dtype=object)
    texts[text_ids] = [f"zeppelin {' '.join(FILLER)} number{number}" for number in text_ids]
    place = table.schema.get_field_index("text")
    files.write_parquet(generation.file(TEXTS), table.set_column(place, "text", pa.array(texts)), table.schema)
    draw = np.random.default_rng(0)
    moved = dict(zip(text_ids.tolist(), draw.permutation(text_ids).tolist(), strict=True))
    for table_of in (BY_FEATURE, BY_TEXT):
        for path in generation.parts(table_of):
            rows = pq.read_table(path)
            ids = pa.array([moved.get(text_id, text_id) for text_id in rows["text_id"].to_pylist()], pa.int64())
            files.write_parquet(path, rows.set_column(0, "text_id", ids), rows.schema)
    for path in generation.parts(EMBEDDINGS):
        rows = pq.read_table(path)
        vectors = np.stack(rows["embedding"].to_pylist()).astype(np.float32)
        mine = np.isin(rows["text_id"].to_numpy(), text_ids)
        vectors[mine] = draw.standard_normal((mine.sum(), vectors.shape[1]))
        values = pa.FixedSizeListArray.from_arrays(pa.array(vectors.ravel()), vectors.shape[1])
        where = rows.schema.get_field_index("embedding")
        files.write_parquet(path, rows.set_column(where, "embedding", values), rows.schema)


def test_a_feature_that_no_chosen_text_fires_has_a_name_and_one_without_named_texts_has_none(own: Generation) -> None:
    parts = pq.read_table(own.file(LABEL_SPLIT))["part"].to_numpy()
    for path in own.parts(BY_FEATURE):
        rows = pq.read_table(path)
        feature_ids, of = rows["feature_id"].to_numpy(), parts[rows["text_id"].to_numpy()]
        kept = ~((feature_ids == 0) & (of == "chosen")) & ~((feature_ids == 1) & (of == "named"))
        files.write_parquet(path, rows.filter(pa.array(kept)), rows.schema)
    # One feature fires on named texts, but none of them is among its strongest, which give the keywords.
    others = [row for row in rows_of(own, FIDELITY) if row["feature_id"] > 1]
    beaten = max(others, key=lambda row: row["n_fires"])["feature_id"]
    top = pq.read_table(own.file(TOP_TEXT_ROWS))
    named = parts[top["text_id"].to_numpy()] == "named"
    kept = ~(np.isin(top["feature_id"].to_numpy(), [1, beaten]) & named)
    files.write_parquet(own.file(TOP_TEXT_ROWS), top.filter(pa.array(kept)), top.schema)
    make_labels(job_of(own))
    labels = {row["feature_id"]: row for row in rows_of(own, LABELS)}
    assert [labels[feature_id]["source"] for feature_id in (0, 1, beaten)] == ["evidence", "none", "none"]
    measured = [row for row in rows_of(own, FIDELITY) if row["feature_id"] in (1, beaten)]
    assert {row["method"] for row in measured} == {"seed"}
    assert all(row["auroc"] is None and row["n_fires"] >= 5 for row in measured)
    assert {row["auroc"] for row in rows_of(own, KEYWORD_EVIDENCE) if row["feature_id"] == 0} == {None}


def test_a_run_of_given_embeddings_alone_is_judged_by_words(own: Generation) -> None:
    made = make_labels(job_of(own, embedder=None, embeddings="given.npy"))
    rows = rows_of(own, FIDELITY)
    assert {row["predictor"] for row in rows} == {"contains"} and any(row["ap"] for row in rows)
    assert rows_of(own, LABEL_VECTORS) == []
    assert {row["fires"] for row in rows_of(own, KEYWORD_EVIDENCE)} == {None}
    assert made.line.endswith("the run has no embedder, so labels have no vectors")
    facts = made.facts["fidelity"]["contains"]
    # ours has fewer words, so it may rank a little less finely
    assert facts["ours"]["ap_mean"]["value"] > facts["seed"]["ap_mean"]["value"] - 0.01


def test_a_run_without_keywords_has_numbers_for_names(own: Generation) -> None:
    files.write_parquet(own.file(KEYWORDS), KEYWORDS.schema.empty_table(), KEYWORDS.schema)
    for path in own.parts(BY_FEATURE):
        rows = pq.read_table(path)
        files.write_parquet(path, rows.schema.empty_table(), rows.schema)
    made = make_labels(job_of(own))
    assert [row["label"] for row in rows_of(own, LABELS)] == [f"feature {number}" for number in range(32)]
    assert rows_of(own, FIDELITY) == [] and made.line.endswith("none could be measured")


# --- questions and pages -----------------------------------------------------------------------------------------


def test_questions_give_what_the_tables_hold(tiny: Run) -> None:
    generation = tiny.current()
    store = open_store(generation)
    table = pq.read_table(generation.file(FIDELITY)).to_pandas()
    scores = queries.fidelity(store, 4)
    assert [(score.method, score.predictor) for score in scores] == [
        *(("ours", "resembles"), ("ours", "contains"), ("seed", "resembles"), ("seed", "contains"))
    ]
    row = table[(table["feature_id"] == 4) & (table["method"] == "ours") & (table["predictor"] == "resembles")].iloc[0]
    assert (scores[0].auroc, scores[0].ap_high, scores[0].n_fires) == (row["auroc"], row["ap_high"], row["n_fires"])
    assert scores[0].chance == row["n_fires"] / row["n_texts"]
    both = table.dropna(subset=["auroc"]).groupby(["predictor", "method"])
    for summary in queries.fidelity_summary(store).to_pylist():
        own = both.get_group((summary["predictor"], summary["method"]))
        assert (summary["n_features"], summary["auroc_mean"]) == (len(own), pytest.approx(own["auroc"].mean()))
        assert summary["ap_median"] == pytest.approx(own["ap"].median())
    bins = queries.fidelity_bins(store, "ap", n_bins=4).to_pandas()
    ours = both.get_group(("resembles", "ours"))["ap"]
    counted = bins[bins["split"] == "ours"]
    assert counted["n_features"].tolist() == np.histogram(ours, bins=4, range=(0, 1))[0].tolist()
    assert counted["share"].sum() == pytest.approx(1)
    with pytest.raises(Refusal, match="auroc and ap are known"):
        queries.fidelity_bins(store, "label")
    evidence = queries.keyword_evidence(store, 4).to_pylist()
    assert [row["keyword"] for row in evidence if row["chosen"]]
    assert any(row["score"] for row in evidence if row["origin"] == "top texts")


def test_the_pages_tell_how_well_names_predict(open_tiny: Open, tiny: Run) -> None:
    row = next(
        row
        for row in rows_of(tiny.current(), FIDELITY)
        if row["auroc"] and row["method"] == "ours" and row["predictor"] == "resembles"
    )
    said = page.words(open_tiny("feature.py", feature=row["feature_id"]))
    assert f"AUROC {row['auroc']:.2f} ({row['auroc_low']:.2f}–{row['auroc_high']:.2f})" in said
    assert f"on {row['n_texts']} label test texts, it fires on {row['n_fires']}" in said
    said = page.words(open_tiny("evaluation.py"))
    assert "How well names predict firing" in said and "mean AUROC, our names" in said
    assert "the baseline's" in said
    shown = page.table(open_tiny("features.py", sort="auroc", auroc=0.9)).numbers("AUROC")
    assert min(shown) >= 0.9 and shown == sorted(shown, reverse=True)
