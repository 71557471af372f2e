"""The tiny run finds what was planted: a feature for every topic, named by the topic's own words."""

from __future__ import annotations

import numpy as np
import pyarrow.parquet as pq
import pytest
from scipy.stats import rankdata

import featurelib
from featurelib.schema import BY_TEXT, EMBEDDINGS, TEXTS
from featurelib.storage.runs import Run
from tests.support.planted import TOPICS, Planted


@pytest.fixture(scope="module")
def activations(tiny: Run, planted: Planted) -> np.ndarray:
    """The dense activations [n_texts, n_features], read from the by-text parts."""
    generation = tiny.current()
    n_features = generation.describe()["sae"]["n_features"]
    dense = np.zeros((len(planted.texts), n_features), np.float32)
    for part in generation.parts(BY_TEXT):
        rows = pq.read_table(part)
        dense[rows["text_id"].to_numpy(), rows["feature_id"].to_numpy()] = rows["activation"].to_numpy()
    return dense


def test_texts_are_title_then_body_in_the_order_of_the_source(tiny: Run, planted: Planted) -> None:
    texts = pq.read_table(tiny.current().file(TEXTS))
    assert texts["text"].to_pylist() == planted.texts
    assert texts["source_id"].to_pylist() == planted.ids
    assert texts["text_id"].to_pylist() == list(range(len(planted.texts)))
    assert {"title", "group", "year", "labels"} <= set(texts.column_names)


@pytest.mark.parametrize("topic", TOPICS)
def test_each_topic_has_a_feature_that_tells_it_from_the_others(
    activations: np.ndarray, planted: Planted, topic: str
) -> None:
    has = np.array([topic in topics for topics in planted.topics])
    ranks = rankdata(activations, axis=0)
    auroc = (ranks[has].sum(0) - has.sum() * (has.sum() + 1) / 2) / (has.sum() * (~has).sum())
    best = int(auroc.argmax())
    fires = activations[:, best] > 0
    assert auroc[best] > 0.85
    assert (fires & has).sum() / max(fires.sum(), 1) > 0.8


def test_the_label_of_a_topics_feature_is_made_of_its_words(
    tiny: Run, activations: np.ndarray, planted: Planted
) -> None:
    run = featurelib.open(tiny.path)
    named = 0
    for topic, words in TOPICS.items():
        has = np.array([topic in topics for topics in planted.topics])
        fires = activations > 0
        f1 = 2 * (fires & has[:, None]).sum(0) / (fires.sum(0) + has.sum())
        keywords = run.keywords(int(f1.argmax()))["keyword"].head(3)
        named += any(word in words.split() for keyword in keywords for word in keyword.split())
    assert named >= len(TOPICS) - 1


def test_the_library_encodes_the_embeddings_to_the_stored_activations(tiny: Run, activations: np.ndarray) -> None:
    parts = [pq.read_table(part)["embedding"].combine_chunks() for part in tiny.current().parts(EMBEDDINGS)]
    embeddings = np.concatenate([part.flatten().to_numpy().reshape(len(part), -1) for part in parts])
    sae = featurelib.load_sae(tiny.path)
    assert (sae.encode(embeddings).numpy() == activations).all()
    rebuilt = activations @ sae.W_dec.numpy() + sae.b_dec.numpy()
    np.testing.assert_allclose(sae.reconstruct(embeddings).numpy(), rebuilt, atol=1e-5)
