"""Neuronpedia's files of a token run, against numpy from the run's tables; what cannot be written is a sentence."""

from __future__ import annotations

import json

import numpy as np
import pandas as pd
import pyarrow.parquet as pq
import pytest

from featurelib import schema
from featurelib.sae.checkpoints import load_sae
from precompute.__main__ import main

# The keys of SAEDashboard 0.8's NeuronpediaDashboardFeature and NeuronpediaDashboardActivation.
FEATURE_KEYS = {
    "feature_index", "neuron_alignment_indices", "neuron_alignment_values", "neuron_alignment_l1",
    "correlated_neurons_indices", "correlated_neurons_l1", "correlated_neurons_pearson", "correlated_features_indices",
    "correlated_features_l1", "correlated_features_pearson", "neg_str", "neg_values", "pos_str", "pos_values",
    "frac_nonzero", "freq_hist_data_bar_values", "freq_hist_data_bar_heights", "logits_hist_data_bar_heights",
    "logits_hist_data_bar_values", "n_prompts_total", "n_tokens_in_prompt", "dataset", "decoder_weights_dist",
    "activations", "vector",
}  # fmt: skip
TEXT_KEYS = {"bin_min", "bin_max", "bin_contains", "tokens", "values", "qualifying_token_index"}


def frame(generation, table):
    return pd.concat([pq.read_table(part).to_pandas() for part in generation.parts(table)], ignore_index=True)


@pytest.fixture(scope="module")
def written(token_run, tmp_path_factory):
    folder = tmp_path_factory.mktemp("out") / "neuronpedia"
    assert main(["export", str(token_run.path), str(folder), "--layout", "neuronpedia"]) == 0
    return folder


@pytest.fixture(scope="module")
def features(written):
    batches = [json.loads(path.read_text()) for path in sorted(written.glob("batch-*.json"))]
    assert [(batch["model_id"], batch["layer"], batch["sae_set"]) for batch in batches] == [("tiny-llama", 1, "tokens")]
    return {feature["feature_index"]: feature for batch in batches for feature in batch["features"]}


@pytest.fixture(scope="module")
def dense(token_run):
    """Every token with its word, and its activations of all features."""
    generation = token_run.current()
    tokens = frame(generation, schema.TOKENS).merge(frame(generation, schema.VOCABULARY), on="token_id")
    tokens = tokens.sort_values(["text_id", "position"], ignore_index=True)
    rows = frame(generation, schema.TOKEN_BY_TEXT).merge(
        tokens[["text_id", "position"]].reset_index(names="place"), on=["text_id", "position"]
    )
    activations = np.zeros((len(tokens), 40), np.float32)
    activations[rows.place, rows.feature_id] = rows.activation
    return tokens, activations


def test_every_live_feature_is_written_and_the_others_are_named(written, features, dense):
    alive = set(np.flatnonzero((dense[1] > 0).any(axis=0)).tolist())
    skipped = json.loads((written / "skipped_indexes.json").read_text())
    assert set(features) == alive and set(skipped["skipped_indexes"]) == set(range(40)) - alive
    assert all(set(feature) == FEATURE_KEYS for feature in features.values())
    assert all(set(text) == TEXT_KEYS for feature in features.values() for text in feature["activations"])


def test_densities_and_histograms_are_those_of_the_tokens(features, dense):
    for feature_id, feature in features.items():
        own = dense[1][:, feature_id]
        assert feature["frac_nonzero"] == pytest.approx((own > 0).mean(), abs=1e-12)
        heights, edges = np.histogram(own[own > 0], bins=50, range=(0, own.max()))
        assert feature["freq_hist_data_bar_heights"] == heights.tolist()
        assert feature["freq_hist_data_bar_values"] == pytest.approx((edges[1:] + edges[:-1]) / 2, rel=1e-4)


def test_texts_are_those_with_the_largest_activations_and_some_of_each_interval(features, dense):
    tokens, activations = dense
    for feature_id, feature in features.items():
        own = pd.Series(activations[:, feature_id]).groupby(tokens.text_id).max().sort_values(ascending=False)
        top = [text for text in feature["activations"] if text["bin_min"] == -1]
        assert [max(text["values"]) for text in top] == pytest.approx(own[own > 0][:20].tolist(), rel=1e-4)
        edges = np.linspace(0, own.max(), 6)
        others = [text for text in feature["activations"] if text["bin_min"] != -1]
        ends = [text["bin_max"] for text in others]
        assert ends == sorted(ends, reverse=True) and len(others) > 0
        for text in others:
            n = int(np.argmin(abs(edges - text["bin_max"]))) - 1
            assert (text["bin_min"], text["bin_max"]) == pytest.approx((edges[n], edges[n + 1]), rel=1e-4)
            value = text["values"][text["qualifying_token_index"]]
            assert edges[n] * 0.999 <= value <= edges[n + 1] * 1.001
            inside = (activations[:, feature_id] > edges[n]) & (activations[:, feature_id] <= edges[n + 1] + 1e-6)
            assert text["bin_contains"] == pytest.approx(inside.mean(), abs=1e-9)


def test_the_tokens_of_a_text_have_their_words_and_values(features, dense):
    tokens, activations = dense
    rows = {text_id: own.index for text_id, own in tokens.groupby("text_id")}
    known = {tuple(tokens.token[own]): own for own in rows.values()}
    for feature_id in list(features)[:5]:
        for text in features[feature_id]["activations"]:
            own = known[tuple(text["tokens"])]  # texts are shorter than 128 tokens, so they are whole
            assert text["values"] == pytest.approx(activations[own, feature_id].tolist(), rel=1e-4)


def test_directions_and_logits_are_those_of_the_run(features, token_run):
    generation = token_run.current()
    decoder = load_sae(generation.sae_folder).W_dec.numpy()
    lens = frame(generation, schema.LOGIT_LENS).merge(frame(generation, schema.VOCABULARY), on="token_id")
    for feature_id, feature in features.items():
        aligned = np.argsort(-decoder[feature_id], kind="stable")[:3]
        assert feature["neuron_alignment_indices"] == aligned.tolist()
        share = abs(decoder[feature_id][aligned]) / abs(decoder[feature_id]).sum()
        assert feature["neuron_alignment_l1"] == pytest.approx(share, rel=1e-4)
        for key, side in (("pos", "raised"), ("neg", "lowered")):
            own = lens[(lens.feature_id == feature_id) & (lens.side == side)].sort_values("rank")
            assert feature[f"{key}_str"] == own.token.tolist()
            assert feature[f"{key}_values"] == pytest.approx(own.logit.tolist(), rel=1e-4)


def test_a_long_text_is_cut_around_its_token(monkeypatch, token_run, tmp_path, dense):
    from precompute.commands import neuronpedia

    monkeypatch.setattr(neuronpedia, "MOST_TOKENS", 4)
    assert main(["export", str(token_run.path), str(tmp_path / "short"), "--layout", "neuronpedia"]) == 0
    texts = [
        text
        for feature in json.loads((tmp_path / "short" / "batch-0.json").read_text())["features"]
        for text in feature["activations"]
    ]
    assert {len(text["tokens"]) for text in texts} == {4} == {len(text["values"]) for text in texts}
    assert all(text["values"][text["qualifying_token_index"]] > 0 for text in texts)


def test_what_is_no_token_run_is_refused_with_a_sentence(tiny, token_run, tmp_path, capsys):
    for source, words in (
        (tiny.path, "reads whole texts"),
        (tmp_path / "alone", "is no run"),
    ):
        if source == tmp_path / "alone":
            assert main(["export", str(token_run.path), str(source), "--layout", "saelens"]) == 0
        assert main(["export", str(source), str(tmp_path / "out"), "--layout", "neuronpedia"]) == 2
        assert words in capsys.readouterr().err
        assert not (tmp_path / "out").exists()
