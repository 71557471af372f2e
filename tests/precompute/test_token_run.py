"""A token run from end to end on a tiny Llama: every table of tokens, and what is pooled, against numpy."""

from __future__ import annotations

import numpy as np
import pandas as pd
import pyarrow.parquet as pq
import pytest
import torch
from transformers import AutoModel, AutoTokenizer

from featurelib import queries, schema
from featurelib.labels.split import NAMING, label_split
from featurelib.live.worker import attribution, try_text
from featurelib.sae.checkpoints import load_sae
from featurelib.sae.evaluation import evaluate_usual_tokens
from featurelib.schema import Refusal
from featurelib.storage.activation_rows import read_rows
from featurelib.storage.index.making import make_index
from featurelib.storage.run_manifest import missing_or_resized
from featurelib.storage.store import open_store
from precompute.build.build import build
from precompute.build.config import BuildConfig, one_each_layer
from precompute.build.config_file import read_yaml
from precompute.build.stage_selection import Span
from precompute.stages.encode.measuring import Encoder, Means, PartRows
from precompute.stages.labels.fired_words import read_token_words
from tests.support.language_models import WORDS, D, random_sae, save_language_model

N_TEXTS, N_FEATURES = 150, 40
LAYER = 1


@pytest.fixture(scope="module")
def corpus(tmp_path_factory):
    """A model, and texts of 2 to 30 of its words, some of them longer than its context of 12 tokens."""
    folder = tmp_path_factory.mktemp("corpus")
    draw = np.random.default_rng(0)
    topics = [WORDS[start : start + 20] for start in (0, 18, 36)]
    texts = [" ".join(draw.choice(topics[n % 3], draw.integers(2, 30))) for n in range(N_TEXTS)]
    pd.DataFrame({"text": texts, "topic": [n % 3 for n in range(N_TEXTS)]}).to_csv(folder / "texts.csv", index=False)
    return folder / "texts.csv", save_language_model(folder / "llama")


def config_of(corpus, **options):
    source, model = corpus
    given = {
        "source": str(source), "name": "run", "embedder": str(model), "layer": str(LAYER), "pooling": "none",
        "context_size": 12, "features": N_FEATURES, "k": 5, "epochs": 20,
    }  # fmt: skip
    return BuildConfig(**(given | options))


@pytest.fixture(scope="module")
def run(corpus, tmp_path_factory):
    said = []
    folder = tmp_path_factory.mktemp("token runs")
    generation = build(config_of(corpus), folder, Span(), said.append)
    return generation, said


@pytest.fixture(scope="module")
def by_hand(corpus, run):
    """Each text's tokens by transformers alone: words, states, and activations by the SAE's formula."""
    source, folder = corpus
    tokenizer, model = AutoTokenizer.from_pretrained(folder), AutoModel.from_pretrained(folder)
    sae = load_sae(run[0].sae_folder)
    texts = []
    for text in pd.read_csv(source)["text"]:
        words = text.split()
        states = []
        for first in range(0, len(words), 11):
            ids = [0, *tokenizer(" ".join(words[first : first + 11]), add_special_tokens=False)["input_ids"]]
            with torch.no_grad():
                states.append(model(torch.tensor([ids]), output_hidden_states=True).hidden_states[LAYER + 1][0, 1:])
        x = torch.cat(states).numpy()
        z = (x - sae.subtract_b_dec * sae.b_dec.numpy()) @ sae.W_enc.numpy() + sae.b_enc.numpy()
        activations = np.where(z > sae.thresholds().numpy(), np.maximum(z, 0), 0)
        texts.append((text, words, x, activations))
    return texts


def table(generation, one):
    return pd.concat([pq.read_table(part).to_pandas() for part in generation.parts(one)], ignore_index=True)


def test_tokens_stand_where_the_words_stand(run, by_hand):
    tokens = table(run[0], schema.TOKENS)
    words = dict(zip(*table(run[0], schema.VOCABULARY)[["token_id", "token"]].to_numpy().T, strict=True))
    for text_id, (text, expected, *_) in enumerate(by_hand):
        own = tokens[tokens.text_id == text_id]
        assert own.position.tolist() == list(range(len(expected)))
        assert [text[start:end] for start, end in zip(own.start, own.end, strict=True)] == expected
        assert [words[token_id] for token_id in own.token_id] == expected


def test_states_and_their_means_are_those_of_the_model(run, by_hand):
    states = np.stack(table(run[0], schema.TOKEN_STATES)["embedding"])
    means = np.stack(table(run[0], schema.EMBEDDINGS)["embedding"])
    np.testing.assert_allclose(states, np.concatenate([x for *_, x, _ in by_hand]), atol=3e-5)
    np.testing.assert_allclose(means, np.stack([x.mean(0) for *_, x, _ in by_hand]), atol=3e-5)


def dense_of(rows, by_hand):
    lengths = [len(words) for _, words, *_ in by_hand]
    starts = np.cumsum([0, *lengths])
    dense = np.zeros((starts[-1], N_FEATURES))
    dense[starts[rows.text_ids] + rows.positions, rows.feature_ids] = rows.activations
    return dense, starts


def test_token_activations_are_those_of_the_formula_in_both_orders(run, by_hand):
    expected = np.concatenate([activations for *_, activations in by_hand])
    for order in (schema.TOKEN_BY_TEXT, schema.TOKEN_BY_FEATURE):
        parts = [read_rows(part) for part in run[0].parts(order)]
        for rows in parts:
            dense, starts = dense_of(rows, by_hand)
            if len(parts) == 1:
                np.testing.assert_allclose(dense, expected, atol=2e-4)
    rows = read_rows(run[0].parts(schema.TOKEN_BY_FEATURE)[0])
    keys = list(zip(rows.feature_ids, -rows.activations, rows.text_ids, rows.positions, strict=True))
    assert keys == sorted(keys) and len(keys)


def test_a_texts_activation_is_the_largest_of_its_tokens(run, by_hand):
    rows = [read_rows(part) for part in run[0].parts(schema.BY_TEXT)]
    dense = np.zeros((N_TEXTS, N_FEATURES))
    for part in rows:
        dense[part.text_ids, part.feature_ids] = part.activations
    np.testing.assert_allclose(dense, np.stack([activations.max(0) for *_, activations in by_hand]), atol=2e-4)


def test_metrics_are_over_tokens(run, by_hand):
    sae = load_sae(run[0].sae_folder)
    rows = table(run[0], schema.EVALUATION)
    x = np.concatenate([x for *_, x, _ in by_hand])
    a = np.concatenate([activations for *_, activations in by_hand])
    rebuilt = a @ sae.W_dec.numpy() + sae.b_dec.numpy()
    fvu = ((x - rebuilt) ** 2).sum() / ((x - x.mean(0)) ** 2).sum()
    of_all = rows[rows.split == "all"].set_index("metric")
    assert of_all.value["fvu"] == pytest.approx(fvu, rel=1e-3)
    assert of_all.value["l0"] == pytest.approx((a > 0).sum() / len(a), rel=1e-3)
    assert f"{len(x):,} tokens" in of_all.formula["fvu"] and of_all.n_texts["fvu"] == N_TEXTS
    lengths = np.linalg.norm(x, axis=1)
    usual = lengths <= 5 * np.median(lengths)
    if usual.all():
        assert "fvu_usual" not in of_all.index
    summaries = table(run[0], schema.TEXT_SUMMARIES)
    for text_id in (0, 7, 149):
        _, _, own, activations = by_hand[text_id]
        error = ((own - activations @ sae.W_dec.numpy() - sae.b_dec.numpy()) ** 2).sum()
        expected = error / ((own - x.mean(0)) ** 2).sum()
        assert summaries.fvu[text_id] == pytest.approx(expected, rel=1e-3)


def test_tokens_of_enormous_length_have_an_fvu_of_their_own():
    sae = random_sae(12, d=4)
    draw = np.random.default_rng(0)
    x = draw.normal(size=(60, 4)).astype(np.float32)
    x[7] *= 300
    split, text_ids = np.array([0, 0, 0, 1, 1, 1], np.int8), np.repeat(np.arange(6), 10)
    part = PartRows(text_ids, np.tile(np.arange(10, dtype=np.int32), 6), x)
    encoder = Encoder(sae, split, Means.find(sae, [part], split), "max")
    measured = encoder._measure(part, sae.encode_sparse(x), np.zeros(60))
    error, spread, split_spread, n_usual = encoder._usual(part, measured, text_ids)
    rebuilt, mean = sae.reconstruct(x).numpy().astype(np.float64), x.astype(np.float64).mean(0)
    kept = np.arange(60) != 7
    assert n_usual.tolist() == [9, 10, 10, 10, 10, 10]
    [metric] = evaluate_usual_tokens(error, spread, n_usual, 60, "all")
    expected = ((x - rebuilt) ** 2)[kept].sum() / ((x - mean) ** 2)[kept].sum()
    assert metric.value == pytest.approx(expected, rel=1e-6) and "59 of 60 tokens" in metric.formula
    second = x[30:].astype(np.float64)
    assert split_spread[3:].sum() == pytest.approx(((second - second.mean(0)) ** 2).sum(), rel=1e-6)


def test_densities_of_tokens_and_the_tokens_a_feature_fires_on(run, by_hand):
    a = np.concatenate([activations for *_, activations in by_hand])
    words = np.array([word for _, own, *_ in by_hand for word in own])
    features = table(run[0], schema.TOKEN_FEATURES)
    np.testing.assert_array_equal(features.n_tokens, (a > 0).sum(0))
    np.testing.assert_allclose(features.density, (a > 0).mean(0))
    store = open_store(run[0])
    feature_id = int((a > 0).sum(0).argmax())
    fires = a[:, feature_id] > 0
    counted = pd.Series(words[fires]).value_counts()
    rows = queries.feature_tokens(store, feature_id, limit=5).to_pylist()
    assert [row["n_fired"] for row in rows] == counted.tolist()[:5]
    for row in rows:
        on = fires & (words == row["token"])
        assert row["n_fired"] == on.sum() and row["n_corpus"] == (words == row["token"]).sum()
        assert row["mean_activation"] == pytest.approx(a[on, feature_id].mean(), rel=1e-4)
    strong = queries.feature_tokens(store, feature_id, by="strong", limit=5)["mean_activation"].to_pylist()
    means = {word: a[fires & (words == word), feature_id].mean() for word in counted[counted > 1].index}
    np.testing.assert_allclose(strong, sorted(means.values(), reverse=True)[:5], rtol=1e-4)
    store.close()


def test_questions_about_tokens_have_one_answer_with_an_index_and_without(run, by_hand):
    generation = run[0]
    with_index = open_store(generation)
    assert make_index(generation).is_dir() and with_index.index is not None
    without = open_store(generation)
    without._in_use.look = lambda: None
    without.from_index = lambda read: None
    for feature_id in range(0, N_FEATURES, 7):
        answers = [queries.token_activations(store, feature_id, [3, 0, 77]) for store in (with_index, without)]
        assert answers[0].keys() == answers[1].keys()
        for text_id, own in answers[0].items():
            _, _, _, activations = by_hand[text_id]
            on = np.flatnonzero(activations[:, feature_id] > 0)
            np.testing.assert_allclose(own.activations, activations[on, feature_id], rtol=1e-3)
            for mine, other in zip(own, answers[1][text_id], strict=True):
                np.testing.assert_array_equal(mine, other)
        bands = [queries.token_bands(store, feature_id) for store in (with_index, without)]
        assert bands[0].to_pylist() == bands[1].to_pylist()
    with_index.close()
    without.close()


def test_the_maximum_of_a_feature_on_tokens_and_its_densities_in_bins(run, by_hand):
    store = open_store(run[0])
    assert queries.pooling(store) == "max"
    activations = np.concatenate([text[3] for text in by_hand])
    for feature_id in range(N_FEATURES):
        maximum = queries.token_maximum(store, feature_id)
        assert maximum == pytest.approx(activations[:, feature_id].max(), abs=3e-4)
    bins = queries.token_density_bins(store)
    assert sum(bins["n_features"].to_pylist()) == (activations > 0).any(axis=0).sum()
    store.close()


def test_bands_are_quarters_of_the_activations_on_tokens(run, by_hand):
    a = np.concatenate([activations for *_, activations in by_hand])
    feature_id = int((a > 0).sum(0).argmax())
    values = np.sort(a[a[:, feature_id] > 0, feature_id])[::-1]
    edges = np.linspace(0, len(values), 5).round().astype(int)
    store = open_store(run[0])
    rows = queries.token_bands(store, feature_id).to_pylist()
    assert {row["band"] for row in rows} == {1, 2, 3, 4}
    for row in rows:
        first, last = edges[row["band"] - 1], edges[row["band"]]
        assert row["n_band"] == last - first
        assert row["high"] == pytest.approx(values[first], rel=1e-3)
        assert row["low"] == pytest.approx(values[last - 1], rel=1e-3)
        assert row["low"] - 1e-5 <= row["activation"] <= row["high"] + 1e-5
    store.close()


def test_near_misses_are_texts_of_which_no_token_fires(run, by_hand):
    sae = load_sae(run[0].sae_folder)
    misses = table(run[0], schema.NEAR_MISSES)
    thresholds = sae.thresholds().numpy()
    shift = sae.subtract_b_dec * sae.b_dec.numpy()
    pre_activations = [(x - shift) @ sae.W_enc.numpy() + sae.b_enc.numpy() for *_, x, _ in by_hand]
    margins = np.stack([(own - thresholds).max(0) for own in pre_activations])
    fires = np.stack([activations.max(0) > 0 for *_, activations in by_hand])
    for feature_id in range(0, N_FEATURES, 5):
        own = misses[misses.feature_id == feature_id].sort_values("rank")
        silent = np.where(fires[:, feature_id], -np.inf, margins[:, feature_id])
        expected = np.sort(silent[np.isfinite(silent)])[::-1][:10]
        np.testing.assert_allclose(own.pre_activation - own.needed, expected, atol=2e-4)


def test_a_word_has_the_largest_activation_of_its_tokens(run, by_hand):
    rows, words = table(run[0], schema.ATTRIBUTIONS), table(run[0], schema.TEXT_WORDS).set_index("text_id")
    assert len(rows) > 50
    for row in rows.iloc[::17].itertuples():
        text, own, _, activations = by_hand[row.text_id]
        assert [text[s:e] for s, e in zip(*words.loc[row.text_id], strict=True)] == own
        np.testing.assert_allclose(row.parts, activations[:, row.feature_id], atol=3e-4)
        assert row.pre_activation == pytest.approx(activations[:, row.feature_id].max(), abs=3e-4)


def test_states_that_are_not_kept_are_read_from_the_model_with_the_same_tables(corpus, run, tmp_path):
    said = []
    other = build(config_of(corpus, keep_embeddings=False), tmp_path, Span(end="summarise"), said.append)
    assert not other.file(schema.TOKEN_STATES).exists()
    assert any("not stored" in sentence for sentence in said)
    for one in (schema.TOKENS, schema.BY_FEATURE, schema.TOKEN_BY_FEATURE, schema.FEATURES, schema.FEATURE_TOKENS):
        assert table(other, one).equals(table(run[0], one)), one.view


def test_an_sae_that_exists_reads_states_that_are_not_kept(corpus, run, tmp_path):
    given = {"keep_embeddings": False, "sae": str(run[0].sae_folder), "features": None, "epochs": None, "k": None}
    other = build(config_of(corpus, **given), tmp_path, Span(end="encode"), lambda sentence: None)
    pd.testing.assert_frame_equal(table(other, schema.TOKEN_BY_TEXT), table(run[0], schema.TOKEN_BY_TEXT), rtol=1e-5)


def test_features_are_named_by_the_words_on_which_they_fire(run, by_hand):
    naming = [text_id for text_id, text in enumerate(by_hand) if label_split(text[0]) == NAMING]
    labels = table(run[0], schema.LABELS)
    named = labels[labels.source == "tokens"]
    assert len(named) > 5
    for feature_id, label in zip(named.feature_id, named.label, strict=True):
        sums = {}
        for text_id in naming:
            _, words, _, activations = by_hand[text_id]
            for word, activation in zip(words, activations[:, feature_id], strict=True):
                sums[word] = sums.get(word, 0) + float(activation)
        keywords = label.split(" · ")
        shares = [sums[keyword] / sum(sums.values()) for keyword in keywords]
        assert sum(shares) >= 0.12
        assert len(keywords) == len(set(keywords)) <= 3


def test_without_a_naming_text_no_feature_is_named_by_its_words(run):
    assert read_token_words(run[0], np.empty(0, np.int64), N_FEATURES) == {}


@pytest.mark.parametrize("pool", ["sum", "last", "top2"])
def test_another_pooling_changes_texts_and_not_tokens(corpus, run, tmp_path, pool):
    run_folder = run[0].path.parent.parent
    said = []
    config = config_of(corpus, pool=pool, name=f"run-{pool}")
    other = build(config, run_folder, Span(end="encode"), said.append)
    assert any("taken from run/" in sentence for sentence in said), "the SAE is the same and need not be trained again"
    assert table(other, schema.TOKEN_BY_TEXT).equals(table(run[0], schema.TOKEN_BY_TEXT))
    assert not table(other, schema.BY_TEXT).equals(table(run[0], schema.BY_TEXT))
    assert other.done("encode").facts["pool"] == pool
    store = open_store(other)
    assert queries.pooling(store) == pool
    store.close()


def test_a_typed_text_is_encoded_as_the_runs_own(run, by_hand):
    generation = run[0].path
    store = open_store(run[0])
    for text_id in (4, 60):
        text = by_hand[text_id][0]
        tried = try_text.try_text(generation, text)
        stored = queries.text_features(store, text_id)
        np.testing.assert_array_equal(tried.feature_ids, stored["feature_id"].to_numpy())
        np.testing.assert_allclose(tried.activations, stored["activation"].to_numpy(), rtol=1e-4)
        assert tried.fvu == pytest.approx(table(run[0], schema.TEXT_SUMMARIES).fvu[text_id], rel=1e-3)
        feature_id = int(tried.feature_ids[0])
        on_tokens = attribution.attributions(generation, text, [feature_id])[0]
        own = queries.token_activations(store, feature_id, [text_id])[text_id]
        np.testing.assert_array_equal(on_tokens.starts, own.starts)
        np.testing.assert_allclose(on_tokens.by_word, own.activations, rtol=1e-4)
        assert not on_tokens.is_sum
        on_feature = try_text.pre_activation(generation, text, feature_id)
        assert on_feature.fires and on_feature.activation == pytest.approx(float(tried.activations[0]))
    store.close()


def test_the_size_is_said_before_states_are_stored_and_a_full_disk_is_a_sentence(corpus, run, tmp_path, monkeypatch):
    assert any(f"of {D} dimensions" in sentence and "GB as float32" in sentence for sentence in run[1])
    import shutil

    monkeypatch.setattr(shutil, "disk_usage", lambda path: shutil._ntuple_diskusage(10, 9, 1))
    with pytest.raises(Refusal, match="--embedding-dtype float16 halves that"):
        build(config_of(corpus), tmp_path, Span(end="embed"), lambda sentence: None)


def test_every_stage_of_a_token_run_is_there_and_verified(run):
    assert run[0].complete and not missing_or_resized(run[0])
    assert any("run 'run' is complete" in sentence for sentence in run[1])


@pytest.mark.parametrize(
    ("options", "words"),
    [
        ({"layer": None}, "--pooling is for hidden states"),
        ({"pooling": "mean", "pool": "max"}, "--pool is for token runs"),
        ({"pool": "median"}, "one of max, mean, sum, last or topN"),
        ({"embedder": None}, "--layer needs a model"),
        ({"layer": "blocks.1.hook_z"}, "there is no hook"),
        ({"normalize": True}, "--normalize is for embeddings of texts"),
    ],
)
def test_options_that_contradict_each_other_are_a_sentence(corpus, options, words):
    with pytest.raises(Refusal, match=words):
        config_of(corpus, **options)


def test_several_layers_make_several_runs():
    keys = {"source": "x.csv", "name": "run", "embedder": "m", "layer": "3, 15,blocks.2.hook_mlp_out"}
    configs = one_each_layer(keys)
    assert [config.name for config in configs] == ["run-layer3", "run-layer15", "run-blocks.2.hook_mlp_out"]
    assert [config.layer for config in configs] == ["3", "15", "blocks.2.hook_mlp_out"]
    assert one_each_layer(keys | {"layer": "3"})[0].name == "run"


def test_a_layer_may_be_a_number_in_yaml(tmp_path):
    (tmp_path / "run.yaml").write_text("source: x.csv\nname: run\nembedder: m\nlayer: 3\n")
    assert read_yaml(tmp_path / "run.yaml")["layer"] == "3"


def test_a_pooled_run_keeps_no_token_tables_of_the_run_before(corpus, tmp_path):
    build(config_of(corpus), tmp_path, Span(), lambda sentence: None)
    pooled = build(config_of(corpus, pooling="mean"), tmp_path, Span(end="encode"), lambda sentence: None)
    left = [one.view for one in schema.TABLES if one.only_tokens and pooled.file(one).exists()]
    assert left == [] and "language_model" not in pooled.volatile()
